//! `apns-push-type`: the eleven values Apple knows, and what follows from each.

/// Payload limit of everything but VoIP, in bytes of the body that goes out.
pub const PAYLOAD_BYTES_MAX: usize = 4096;
/// Payload limit of VoIP pushes, in bytes of the body that goes out.
pub const VOIP_PAYLOAD_BYTES_MAX: usize = 5120;

/// The value of the `apns-push-type` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PushType {
    Alert,
    Background,
    Voip,
    Complication,
    FileProvider,
    Mdm,
    Location,
    LiveActivity,
    PushToTalk,
    Controls,
    Widgets,
}

impl PushType {
    pub const ALL: [Self; 11] = [
        Self::Alert,
        Self::Background,
        Self::Voip,
        Self::Complication,
        Self::FileProvider,
        Self::Mdm,
        Self::Location,
        Self::LiveActivity,
        Self::PushToTalk,
        Self::Controls,
        Self::Widgets,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Background => "background",
            Self::Voip => "voip",
            Self::Complication => "complication",
            Self::FileProvider => "fileprovider",
            Self::Mdm => "mdm",
            Self::Location => "location",
            Self::LiveActivity => "liveactivity",
            Self::PushToTalk => "pushtotalk",
            Self::Controls => "controls",
            Self::Widgets => "widgets",
        }
    }

    /// The push type of that name, `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|push_type| push_type.as_str() == text)
    }

    /// What the topic carries after the bundle id.
    pub fn topic_suffix(self) -> &'static str {
        match self {
            Self::Alert | Self::Background | Self::Mdm => "",
            Self::Voip => ".voip",
            Self::Complication => ".complication",
            Self::FileProvider => ".pushkit.fileprovider",
            Self::Location => ".location-query",
            Self::LiveActivity => ".push-type.liveactivity",
            Self::PushToTalk => ".voip-ptt",
            Self::Controls => ".push-type.controls",
            Self::Widgets => ".push-type.widgets",
        }
    }

    /// The most bytes a payload of this type may have.
    pub fn payload_bytes_max(self) -> usize {
        match self {
            Self::Voip => VOIP_PAYLOAD_BYTES_MAX,
            _ => PAYLOAD_BYTES_MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PushType;

    #[test]
    fn every_push_type_reads_back_from_its_own_name() {
        for push_type in PushType::ALL {
            assert_eq!(PushType::parse(push_type.as_str()), Some(push_type));
        }
        assert_eq!(PushType::parse("Alert"), None);
    }
}
