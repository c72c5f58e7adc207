//! Losses of data, as those of a server that restarts or fails over.

use super::{Memory, State};
use crate::store::Epoch;
use std::sync::Mutex;

impl Memory {
    /// Loses everything, as a server that comes back without its data, and goes on in this epoch.
    pub fn lose_all(&self, epoch: Epoch) {
        *self.state() = State { epoch, ..State::default() };
    }

    /// A copy of the state, for [`Self::go_back_to`].
    pub fn copied(&self) -> Self {
        Self { state: Mutex::new(self.state().clone()) }
    }

    /// Loses all changes since the copy was made, as a server whose replica had not got them yet.
    pub fn go_back_to(&self, copied: &Self) {
        *self.state() = copied.state().clone();
    }
}
