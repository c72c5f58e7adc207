//! The nodes of a cluster: their common identity, the members as one table, and the owner of each lane.

pub mod identity;
pub mod ring;
pub mod view;

pub use identity::Identity;
pub use view::{Member, MemberState, Pins, Route, View};
