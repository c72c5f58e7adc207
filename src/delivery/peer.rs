//! Forwarding between the nodes of a cluster: the frames on a link between two of them, and the clock of deadlines.

pub mod clock;
mod dial;
mod greeting;
pub mod link;
pub mod listen;
pub mod membership;
pub mod metrics;
mod outbox;
pub mod peers;
mod pipe;
pub mod probe;
pub mod wire;
