//! The state that every handler shares.

use super::Compat;
use super::error::ApiError;
use super::routes::health::StoreCheck;
use super::routes::metrics::RenderedMetrics;
use crate::clock::Clock;
use crate::cluster::Standing;
use crate::delivery::Intake;
use crate::delivery::calls::Caller;
use crate::delivery::peer::peers::Peers;
use crate::drain::Drain;
use crate::events::Events;
use crate::health::Health;
use crate::http::Limits;
use crate::http::access_log::Access;
use crate::http::body::Bodies;
use crate::model::{AppKey, NodeName};
use crate::registry::{App, Registry};
use crate::store::StoreError;
use crate::store::members::{Members, Pin, Pinned};
use crate::telemetry;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// The parts of the node that handlers use.
pub struct Api {
    pub registry: Registry,
    pub intake: Arc<Intake>,
    /// Makes the calls of channels and broadcasts.
    pub caller: Arc<dyn Caller>,
    /// `None` on a node that is no member of a cluster.
    pub cluster: Option<ClusterAccess>,
    pub events: Events,
    pub clock: Clock,
    pub telemetry: telemetry::Metrics,
    pub limits: Limits,
    pub compat: Compat,
    /// The requests that are logged at level info.
    pub access: Access,
    pub bodies: Bodies,
    /// The folder of certificate paths; `None` = paths are refused.
    pub credentials_dir: Option<PathBuf>,
    pub health: Health,
    pub store_check: StoreCheck,
    pub rendered: RenderedMetrics,
    /// Begins when the node stops: open streams end then.
    pub drain: Drain,
}

impl Api {
    /// Returns a provisioned app.
    ///
    /// # Errors
    /// [`ApiError::UnknownApp`] if none is provisioned under this key.
    pub fn app(&self, key: &AppKey) -> Result<Arc<App>, ApiError> {
        self.registry.get(key).ok_or_else(|| ApiError::UnknownApp { key: key.clone() })
    }

    /// Returns the cluster of the node.
    ///
    /// # Errors
    /// [`ApiError::NotClustered`] if it is in none.
    pub fn cluster(&self) -> Result<&ClusterAccess, ApiError> {
        self.cluster.as_ref().ok_or(ApiError::NotClustered)
    }
}

/// The cluster of a node, as operators see and change it.
pub struct ClusterAccess {
    pub peers: Arc<Peers>,
    /// The result of the last beat.
    pub standing: watch::Receiver<Standing>,
    /// The store of decisions; `None` if the members never change.
    pub decisions: Option<Arc<dyn Members>>,
}

impl ClusterAccess {
    /// The member that a text names.
    ///
    /// # Errors
    /// [`ApiError::UnknownNode`] if there is none.
    pub fn member(&self, name: &str) -> Result<NodeName, ApiError> {
        let is_member =
            |node: &NodeName| self.standing.borrow().lists(node) || self.peers.view().member(node).is_some();
        name.parse().ok().filter(is_member).ok_or_else(|| ApiError::UnknownNode { node: name.to_owned() })
    }

    /// Stores a decision. Returns false if it was stored already.
    ///
    /// # Errors
    /// [`ApiError::PinsFull`] if there are as many decisions as are allowed, [`ApiError::UnknownApp`] if the app was just
    /// removed, and the errors of the store.
    pub async fn decide(&self, decision: Pin) -> Result<bool, ApiError> {
        let pinned = self.decisions()?.pin(decision.clone()).await?;
        match (pinned, decision) {
            (Pinned::Full, _) => Err(ApiError::PinsFull),
            (Pinned::NoApp, Pin::Lane { app, .. }) => Err(ApiError::UnknownApp { key: app }),
            (pinned, _) => Ok(pinned == Pinned::Changed),
        }
    }

    /// Takes a decision back. Returns false if there was none.
    ///
    /// # Errors
    /// The errors of the store.
    pub async fn undo(&self, decision: Pin) -> Result<bool, ApiError> {
        Ok(self.decisions()?.unpin(decision).await?)
    }

    /// The store of decisions; [`StoreError::NotShared`] if the members never change.
    fn decisions(&self) -> Result<&Arc<dyn Members>, ApiError> {
        self.decisions.as_ref().ok_or(ApiError::Store(StoreError::NotShared))
    }
}
