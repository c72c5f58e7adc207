//! The urgency of a notification, for the `apns-priority` header.

use super::push_type::PushType;

/// The value of the `apns-priority` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Priority {
    /// 10: immediately.
    Immediate,
    /// 5: when it spares the device's power.
    Considerate,
    /// 1: never wake the device.
    Lowest,
}

impl Priority {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Immediate => "10",
            Self::Considerate => "5",
            Self::Lowest => "1",
        }
    }

    pub fn parse(number: u64) -> Option<Self> {
        match number {
            10 => Some(Self::Immediate),
            5 => Some(Self::Considerate),
            1 => Some(Self::Lowest),
            _ => None,
        }
    }

    /// The default priority: Apple accepts background pushes only at 5.
    pub fn default_for(push_type: PushType) -> Self {
        match push_type {
            PushType::Background => Self::Considerate,
            _ => Self::Immediate,
        }
    }
}
