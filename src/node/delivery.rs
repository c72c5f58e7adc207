//! A node's delivery: its lanes, the links to its peers, and the intake before both.

use super::StartError;
use super::cluster::{Around, Cluster, Setup};
use super::descriptors::Shares;
use crate::apns::connect::Connect;
use crate::apns::trust::Trust;
use crate::config::Config;
use crate::delivery::descriptors::Descriptors;
use crate::delivery::lane::Parts;
use crate::delivery::lanes::{Apple, Lanes};
use crate::delivery::{Intake, intake, metrics};
use crate::telemetry;
use std::sync::Arc;
use tokio::time::Instant;

/// Builds the intake, and the node's part in a cluster if it is a member of one.
pub(super) fn build(
    config: &Config,
    connect: Arc<dyn Connect>,
    parts: Parts,
    cluster: Option<Setup>,
    shares: Shares,
    telemetry: &telemetry::Metrics,
) -> Result<(Arc<Intake>, Option<Cluster>), StartError> {
    let trust = Arc::new(Trust::load(config.apple.ca_file.as_deref())?);
    let (sandbox, production) = (config.apple.sandbox.clone(), config.apple.production.clone());
    let apple = Apple { connect, trust, sandbox, production };
    let descriptors = Descriptors::new(shares.apple, Instant::now());
    metrics::watch_descriptors(telemetry, &descriptors);
    let (clock, drain) = (parts.clock.clone(), parts.drain.clone());
    let lanes = Lanes::new(apple, parts).with_connections_max(config.apple.connections).with_descriptors(descriptors);
    let lanes = Arc::new(lanes);
    let (node_bytes, app_bytes) = (config.limits.in_flight_bytes, config.limits.in_flight_app_bytes);
    let intake = Intake::new(Arc::clone(&lanes), intake::Limits { node_bytes, app_bytes });
    let around = Around { config, lanes, clock, telemetry, drain };
    match cluster.map(|setup| Cluster::new(setup, around)).transpose()? {
        Some(cluster) => Ok((Arc::new(intake.with_peers(Arc::clone(&cluster.peers))), Some(cluster))),
        None => Ok((Arc::new(intake), None)),
    }
}
