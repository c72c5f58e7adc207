//! This node's part in a cluster, as its links and its listener need it.

use super::wire::{self, Features, Hello, Limits};
use crate::model::{NodeName, NodeSession};
use crate::store::Epoch;
use rustls::{ClientConfig, ServerConfig};
use std::net::IpAddr;
use std::sync::Arc;

/// This node among the members of a cluster. Cheap to clone.
#[derive(Clone)]
pub struct Membership {
    pub node: NodeName,
    pub session: NodeSession,
    /// The epoch of the cluster's store when the node started.
    pub epoch: Epoch,
    /// The cluster's identity, for connections to peers and from them.
    pub client_tls: Arc<ClientConfig>,
    pub server_tls: Arc<ServerConfig>,
    /// Says if a peer may have this address.
    pub allow: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
    /// The largest frame and batch that this node takes.
    pub limits: Limits,
}

impl Membership {
    /// This node's introduction, with the hash of its ring and the present epoch of the store.
    pub fn hello(&self, ring: u64, epoch: Epoch) -> Hello {
        Hello {
            versions: (wire::VERSION_MIN, wire::VERSION_MAX),
            features: Features::OURS,
            limits: self.limits,
            ring,
            session: self.session,
            epoch,
            node: self.node.clone(),
        }
    }
}
