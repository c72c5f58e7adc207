//! What old clients expect and others should not have to live with, each a setting that is off by default.

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compat {
    /// `GET …/feedback` and `GET …/disconnections` clear what they return, as those of v0.5 did.
    pub clear_on_read: bool,
}
