//! Forwarding between the nodes of a cluster: the frames on a link between two of them, and the clock of deadlines.

pub mod clock;
pub mod wire;
