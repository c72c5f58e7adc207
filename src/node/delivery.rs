//! A node's delivery: its lanes, the links to its peers, and the intake before both.

use super::StartError;
use super::cluster::{Around, Cluster, Setup};
use super::descriptors::Shares;
use crate::apns::connect::Connect;
use crate::apns::trust::Trust;
use crate::config::Config;
use crate::delivery::calls::{CallLanes, Caller, ForwardingCaller, Gateways};
use crate::delivery::descriptors::Descriptors;
use crate::delivery::lane::Parts;
use crate::delivery::lanes::{Apple, Lanes};
use crate::delivery::{Intake, intake, metrics};
use crate::telemetry;
use std::sync::Arc;
use tokio::time::Instant;

/// A node's delivery.
pub(super) struct Delivery {
    pub intake: Arc<Intake>,
    pub calls: Arc<CallLanes>,
    /// Makes calls in the node that owns the app.
    pub caller: Arc<dyn Caller>,
    /// The node's part in a cluster, if it is a member of one.
    pub cluster: Option<Cluster>,
}

/// Builds the delivery.
pub(super) fn build(
    config: &Config,
    connect: Arc<dyn Connect>,
    parts: Parts,
    cluster: Option<Setup>,
    shares: Shares,
    telemetry: &telemetry::Metrics,
) -> Result<Delivery, StartError> {
    let trust = Arc::new(Trust::load(config.apple.ca_file.as_deref())?);
    let (sandbox, production) = (config.apple.sandbox.clone(), config.apple.production.clone());
    let descriptors = Descriptors::new(shares.apple, Instant::now());
    let gateways = Gateways {
        connect: Arc::clone(&connect),
        trust: Arc::clone(&trust),
        management: [config.apple.sandbox_channels.clone(), config.apple.production_channels.clone()],
        broadcasts: [config.apple.sandbox_broadcasts.clone(), config.apple.production_broadcasts.clone()],
        descriptors: descriptors.clone(),
    };
    let apple = Apple { connect, trust, sandbox, production };
    metrics::watch_descriptors(telemetry, &descriptors);
    let (clock, drain) = (parts.clock.clone(), parts.drain.clone());
    let of_calls = parts.clone();
    let lanes = Lanes::new(apple, parts).with_connections_max(config.apple.connections).with_descriptors(descriptors);
    let lanes = Arc::new(lanes);
    let (node_bytes, app_bytes) = (config.limits.in_flight_bytes, config.limits.in_flight_app_bytes);
    let intake = Intake::new(Arc::clone(&lanes), intake::Limits { node_bytes, app_bytes });
    let calls = Arc::new(CallLanes::new(gateways, of_calls, Arc::clone(intake.pools())));
    let of_caller = (lanes.metrics().calls.clone(), clock.clone(), drain.clone());
    let around = Around { config, lanes, calls: Arc::clone(&calls), clock, telemetry, drain };
    let Some(cluster) = cluster.map(|setup| Cluster::new(setup, around)).transpose()? else {
        let caller = Arc::clone(&calls) as Arc<dyn Caller>;
        return Ok(Delivery { intake: Arc::new(intake), calls, caller, cluster: None });
    };
    let ((metrics, clock, drain), peers) = (of_caller, Arc::clone(&cluster.peers));
    let caller = Arc::new(ForwardingCaller { here: Arc::clone(&calls), peers, metrics, clock, drain });
    let intake = intake.with_peers(Arc::clone(&cluster.peers));
    Ok(Delivery { intake: Arc::new(intake), calls, caller, cluster: Some(cluster) })
}
