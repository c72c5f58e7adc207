//! The calls of channels and broadcasts that the owner of an app makes.

use super::{Peer, Peers};
use crate::delivery::peer::link::exchange::{ForwardedCalls, Question};
use crate::model::AppKey;
use std::sync::Arc;

/// The peer that makes the calls of an app.
pub struct CallOwner {
    peer: Arc<Peer>,
    app: AppKey,
}

impl Peers {
    /// The peer that makes the calls of an app; `None` if this node does. It is the one that sends for the first lane.
    pub fn call_owner(&self, app: &AppKey) -> Option<CallOwner> {
        let table = self.table();
        let peer = Arc::clone(table.peer(app, 0)?);
        Some(CallOwner { peer, app: app.clone() })
    }
}

impl CallOwner {
    /// Gives calls to the peer.
    pub fn call(&self, calls: ForwardedCalls) {
        self.peer.link(&self.app).ask(Question::Calls(calls));
    }
}
