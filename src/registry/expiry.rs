//! The metric of the expiry of the apps' credentials.

use super::Registry;
use crate::telemetry::Metrics;
use crate::telemetry::metrics::APP_LABEL;
use crate::telemetry::sampled::Kind;

/// The maximum number of apps with a series: those with the earliest expiry.
const APPS_MAX: usize = 100;

impl Registry {
    /// Exports the expiry of credentials to the node's metrics.
    pub fn watch(&self, metrics: &Metrics) {
        let registry = self.clone();
        metrics.sampled(
            Kind::Gauge,
            "credential_expires_timestamp_seconds",
            "When an app's certificate expires, in UNIX seconds; of the 100 that expire first.",
            &[APP_LABEL, "environment"],
            move || {
                let apps = registry.list();
                let mut ends: Vec<_> =
                    apps.iter().filter_map(|app| Some((app.credential.expires_at()?, &app.key))).collect();
                ends.sort();
                ends.truncate(APPS_MAX);
                let sample = |(end, key): (i64, &crate::model::AppKey)| {
                    (vec![key.id.as_str().to_owned(), key.environment.as_str().to_owned()], end as f64)
                };
                ends.into_iter().map(sample).collect()
            },
        );
    }
}
