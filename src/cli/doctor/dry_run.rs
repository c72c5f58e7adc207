//! The apps of this node as its next start would have them, built in memory: those of the store, and what the
//! configuration's entries make of them. Nothing of it is written anywhere.

use super::Report;
use crate::apns::connect::Connect;
use crate::apns::trust::Trust;
use crate::autoprovision::{Autoprovision, ConfiguredApp};
use crate::clock::Clock;
use crate::config::Config;
use crate::credentials::Keyring;
use crate::delivery::intake::Limits;
use crate::delivery::lane::Parts;
use crate::delivery::lanes::{Apple, Lanes};
use crate::delivery::{Intake, metrics};
use crate::drain::Drain;
use crate::events::Events;
use crate::registry::{App, Registry};
use crate::store::{Apps, Kept, Memory, StoreError};
use crate::telemetry::Metrics;
use std::sync::Arc;
use std::time::Duration;

const CLOSE_TIMEOUT: Duration = Duration::from_secs(15);
const IN_FLIGHT_BYTES: usize = 1 << 20;

/// Apps, and lanes that send for them as a node's do.
pub struct DryRun {
    pub intake: Arc<Intake>,
    registry: Registry,
    autoprovision: Autoprovision,
    drain: Drain,
}

impl DryRun {
    /// One with the apps that a store keeps; `keyring` opens their credentials.
    pub async fn new(
        config: &Config,
        (kept, keyring): (Kept, Keyring),
        clock: Clock,
        connect: Arc<dyn Connect>,
        trust: Arc<Trust>,
    ) -> Result<Self, StoreError> {
        let (drain, telemetry, store) = (Drain::new(), Metrics::new(), Arc::new(Memory::new()));
        store.keep(kept);
        let events = Events::new(store.clone(), &telemetry);
        let metrics = metrics::Metrics::new(&telemetry);
        let parts = Parts { clock: clock.clone(), events, metrics, drain: drain.clone() };
        let (sandbox, production) = (config.apple.sandbox.clone(), config.apple.production.clone());
        let lanes = Lanes::new(Apple { connect, trust, sandbox, production }, parts);
        let intake = Arc::new(Intake::new(lanes, Limits { node_bytes: IN_FLIGHT_BYTES, app_bytes: IN_FLIGHT_BYTES }));
        let registry = Registry::load(store as Arc<dyn Apps>, keyring, clock.clone(), drain.clone()).await?;
        let autoprovision = Autoprovision::new(registry.clone(), clock, drain.clone());
        Ok(Self { intake, registry, autoprovision, drain })
    }

    /// Makes of the apps what the configuration's entries say, and reports each entry that cannot be carried out.
    pub async fn apply_configured_apps(&self, report: &mut Report, entries: &[ConfiguredApp]) {
        match self.autoprovision.apply(entries).await {
            Ok(faults) => {
                faults.iter().for_each(|fault| report.fail("credential", format!("{}: {}", fault.place, fault.what)))
            }
            Err(error) => report.fail("credential", format!("[[autoprovision]]: {error}")),
        }
    }

    pub fn apps(&self) -> Vec<Arc<App>> {
        self.registry.list()
    }

    /// Closes the connections to Apple.
    pub async fn finish(self) {
        self.intake.close();
        self.drain.finish(CLOSE_TIMEOUT).await;
    }
}
