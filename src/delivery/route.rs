//! The way of an errand: into a lane of this node, or into a link to the peer that owns its lane.

use super::errand::{Errand, Forwarded};
use super::lanes::{InboxPermit, Lanes, NotTaken};
use super::peer::link::LinkPlace;
use super::peer::peers::Peers;
use crate::model::{AppKey, Batch, NodeName};
use crate::registry::App;
use crate::subject;
use std::sync::Arc;
use tokio::time::Instant;

/// A place for an errand: what is sent to it arrives.
pub enum Place {
    Lane(InboxPermit),
    Peer(LinkPlace),
}

impl Place {
    pub fn send(self, errand: Errand, now: Instant) {
        match self {
            Self::Lane(place) => {
                place.send(errand.into_job(now));
            }
            Self::Peer(place) => place.send(Forwarded::new(errand, subject::current())),
        }
    }
}

/// Finds the place of an errand. Without peers that is always a lane of this node.
pub struct Router {
    lanes: Arc<Lanes>,
    peers: Option<Arc<Peers>>,
}

impl Router {
    /// That of a node by itself.
    pub fn new(lanes: Arc<Lanes>) -> Self {
        Self { lanes, peers: None }
    }

    /// That of a node of a cluster.
    pub fn with_peers(self, peers: Arc<Peers>) -> Self {
        Self { peers: Some(peers), ..self }
    }

    pub fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// A place for a batch, or a part of one, where the app's lane is owned.
    pub fn reserve(&self, app: &Arc<App>, lane: u16, batch: &Batch) -> Result<Place, NotTaken> {
        match &self.peers {
            None => self.reserve_here(app, lane),
            Some(peers) => peers.reserve(app, lane, batch),
        }
    }

    /// The peer that sends for a lane now; `None` if this node does.
    pub fn forwards_to(&self, app: &AppKey, lane: u16) -> Option<NodeName> {
        self.peers.as_ref()?.forwards_to(app, lane)
    }

    /// A place in one of this node's lanes, whoever owns the app's lane.
    pub fn reserve_here(&self, app: &Arc<App>, lane: u16) -> Result<Place, NotTaken> {
        self.lanes.reserve(app, lane).map(Place::Lane)
    }

    /// Takes no more: what was taken is finished.
    pub fn close(&self) {
        self.lanes.close();
        self.peers.iter().for_each(|peers| peers.close());
    }
}
