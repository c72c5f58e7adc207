//! The nodes of a cluster: their common identity, the members as one table, and the owner of each lane.

pub mod agent;
mod clock_offset;
pub mod identity;
mod metrics;
mod record;
pub mod ring;
mod standing;
mod tracker;
pub mod view;

pub use agent::{Agent, Follower, Phases};
pub use identity::Identity;
pub use record::{About, BadRecord, decode as decode_member};
pub use standing::{KnownMember, Standing};
pub use tracker::Own;
pub use view::{Member, MemberState, Pins, Route, View};
