//! The status of apps over all nodes of a cluster.

use crate::api::Api;
use crate::delivery::peer::peers::figures::PeerStatuses;
use crate::delivery::status::AppStatus;
use crate::model::NodeName;
use crate::registry::App;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The longest wait for the other nodes.
const ANSWERS_WITHIN: Duration = Duration::from_millis(250);

/// The status of the apps of one response.
pub struct Statuses<'a> {
    api: &'a Api,
    of_peers: Option<PeerStatuses>,
}

impl<'a> Statuses<'a> {
    /// Asks the other nodes of the cluster, if there are any, once for all of these apps.
    pub async fn of(api: &'a Api, apps: &[Arc<App>]) -> Self {
        let Some(cluster) = &api.cluster else { return Self { api, of_peers: None } };
        let keys: Vec<_> = apps.iter().map(|app| app.key.clone()).collect();
        let of_peers = cluster.peers.statuses(&keys, Instant::now() + ANSWERS_WITHIN).await;
        Self { api, of_peers: Some(of_peers) }
    }

    /// The sum of an app over this node and the nodes that answered, and the owners of its lanes that did not.
    pub fn sum(&self, app: &App) -> (AppStatus, Vec<NodeName>) {
        let mut sum = self.api.intake.status(app).unwrap_or_default();
        let Some(of_peers) = &self.of_peers else { return (sum, Vec::new()) };
        sum.add(of_peers.sum(&app.key, app.revision.number()));
        (sum, of_peers.missing(app))
    }
}
