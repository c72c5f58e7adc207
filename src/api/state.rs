//! The state that every handler shares.

use super::Compat;
use super::error::ApiError;
use super::routes::health::StoreCheck;
use super::routes::metrics::RenderedMetrics;
use crate::clock::Clock;
use crate::delivery::Intake;
use crate::drain::Drain;
use crate::events::Events;
use crate::health::Health;
use crate::http::Limits;
use crate::http::access_log::Access;
use crate::http::body::Bodies;
use crate::model::AppKey;
use crate::registry::{App, Registry};
use crate::telemetry;
use std::path::PathBuf;
use std::sync::Arc;

/// The parts of the node that handlers use.
pub struct Api {
    pub registry: Registry,
    pub intake: Arc<Intake>,
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
}
