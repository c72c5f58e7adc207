//! The state that every handler shares.

use super::Compat;
use super::error::Failure;
use super::routes::node::Rendered;
use super::routes::readiness::Readiness;
use crate::clock::Clock;
use crate::delivery::Intake;
use crate::drain::Drain;
use crate::events::Events;
use crate::health::Health;
use crate::http::Limits;
use crate::http::body::Bodies;
use crate::model::AppKey;
use crate::registry::{App, Registry};
use crate::telemetry;
use std::path::PathBuf;
use std::sync::Arc;

/// The node as handlers see it.
pub struct Api {
    pub registry: Registry,
    pub intake: Arc<Intake>,
    pub events: Events,
    pub clock: Clock,
    pub telemetry: telemetry::Metrics,
    pub limits: Limits,
    pub compat: Compat,
    pub bodies: Bodies,
    /// The folder that certificate paths may point into; `None` = nowhere.
    pub credentials_dir: Option<PathBuf>,
    pub health: Health,
    pub readiness: Readiness,
    pub rendered: Rendered,
    /// Begins when the node stops: open streams then come to an end.
    pub drain: Drain,
}

impl Api {
    /// Returns a provisioned app.
    ///
    /// # Errors
    /// [`Failure::UnknownApp`] if none is provisioned under this key.
    pub fn app(&self, key: &AppKey) -> Result<Arc<App>, Failure> {
        self.registry.get(key).ok_or_else(|| Failure::UnknownApp { key: key.clone() })
    }
}
