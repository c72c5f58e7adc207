//! The services of Apple's side, each with a listener of its own, and the calls that they take.

use serde::{Deserialize, Serialize};

use super::rules::Environment;

/// A service of Apple's gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// `/3/device/<token>`.
    Device,
    /// `/4/broadcasts/apps/<bundle>`, on the listeners of the device service and on listeners of its own.
    Broadcasts,
    /// Channel management: `/1/apps/<bundle>/…`, on listeners of its own.
    Channels,
}

/// A call of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    Push,
    Broadcast,
    CreateChannel,
    ReadChannel,
    DeleteChannel,
    ListChannels,
}

/// The service and the environment of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site {
    /// A listener of `Device` takes broadcasts too.
    pub service: Service,
    pub environment: Environment,
}
