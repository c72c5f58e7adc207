//! The nouns of the domain, valid once constructed, without I/O, clock or randomness.

pub mod app;
pub mod broadcast;
pub mod channel;
pub mod device_token;
pub mod event;
mod expiry;
pub mod identifier;
pub mod node_name;
pub mod node_session;
pub mod notification;
pub mod outcome;
pub mod payload;
pub mod priority;
pub mod push_type;
pub mod reason;

pub use app::{AppId, AppKey, Environment};
pub use broadcast::Broadcast;
pub use channel::{ChannelId, StoragePolicy};
pub use event::{Disconnection, Feedback, Quarantine, Records, Resolution};
pub use node_name::NodeName;
pub use node_session::NodeSession;
pub use notification::{BadBatch, Batch, Draft, Invalid, Notification, Span};
pub use outcome::{Outcome, OutcomeKind};
pub use priority::Priority;
pub use push_type::PushType;
pub use reason::{AppleReason, NodeReason, Reason};
