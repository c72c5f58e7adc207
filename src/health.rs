//! The degraded components of a node: one list for `/readyz`, the metrics and the log.

use crate::clock::Clock;
use crate::telemetry;
use crate::telemetry::sampled::Kind;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A component that can be degraded. The list is closed: each is a value of the metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// Nothing can be written to the store.
    Store,
    /// The data directory is not where it was.
    DataDirectory,
    /// A key of the credentials in the shared store is missing.
    CredentialKeys,
    /// The changes of other nodes cannot be read from the shared store.
    Registry,
    /// The node does not see who the members of its cluster are.
    Cluster,
    /// The node's clock and that of the store that nodes share are apart.
    Clock,
    /// Nothing can be written to the store that nodes share.
    SharedStore,
    /// The node uses its copy of the apps, since the store that nodes share did not answer at the start; or it cannot write
    /// this copy.
    RegistryCopy,
    /// No app is known, since there was neither the store that nodes share nor a copy at the start.
    Apps,
}

impl Component {
    pub const ALL: [Self; 9] = [
        Self::Store,
        Self::DataDirectory,
        Self::CredentialKeys,
        Self::Registry,
        Self::Cluster,
        Self::Clock,
        Self::SharedStore,
        Self::RegistryCopy,
        Self::Apps,
    ];

    /// The component's name in responses and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::SharedStore => "shared_store",
            Self::DataDirectory => "data_directory",
            Self::CredentialKeys => "credential_keys",
            Self::Registry => "registry",
            Self::Cluster => "cluster",
            Self::Clock => "clock",
            Self::RegistryCopy => "registry_copy",
            Self::Apps => "apps",
        }
    }

    /// Returns true if a node without this component should get no traffic, though it still answers requests.
    pub fn is_required(self) -> bool {
        match self {
            Self::Store | Self::DataDirectory | Self::CredentialKeys | Self::Apps => true,
            // It sends for the apps that it knows, and everything itself if it knows no other member.
            Self::Registry | Self::RegistryCopy | Self::Cluster => false,
            // Deadlines and timers use another clock, and Apple refuses a provider token only an hour later.
            Self::Clock => false,
            // All nodes lose it at the same time: without them nothing would be sent at all.
            Self::SharedStore => false,
        }
    }
}

/// The cause of a degradation, for callers: it names no path and nothing else of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cause {
    /// A stable word for programs.
    pub reason: &'static str,
    /// A sentence for people.
    pub why: &'static str,
}

/// A fact about a degradation that differs from case to case.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Detail {
    /// The time of what the node uses instead, UNIX seconds.
    AsOf(f64),
    /// The id of a key that is missing.
    Key([u8; 8]),
}

/// A degraded component.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Degraded {
    pub component: Component,
    pub cause: Cause,
    pub detail: Option<Detail>,
    /// UNIX seconds.
    pub since: f64,
}

/// The list. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct Health {
    clock: Clock,
    list: Arc<Mutex<BTreeMap<Component, Degraded>>>,
}

impl Health {
    /// An empty list, with its metric.
    pub fn new(clock: Clock, node: &telemetry::Metrics) -> Self {
        let health = Self { clock, list: Arc::default() };
        let shown = health.clone();
        let help = "1 for each part of the node that does not work as it should, else 0.";
        node.sampled(Kind::Gauge, "degraded", help, &["what"], move || {
            let list = shown.list();
            let sample = |component: Component| {
                (vec![component.as_str().to_owned()], f64::from(u8::from(list.contains_key(&component))))
            };
            Component::ALL.map(sample).into()
        });
        health
    }

    /// Puts a component on the list. `log` is only logged, once for each cause.
    pub fn degrade(&self, component: Component, cause: Cause, log: impl Display) {
        self.degrade_with(component, cause, None, log);
    }

    /// Puts a component on the list with a detail, as [`Self::degrade`] does without one.
    pub fn degrade_with(&self, component: Component, cause: Cause, detail: Option<Detail>, log: impl Display) {
        let mut list = self.list();
        let known = list.get(&component).copied();
        if known.is_some_and(|known| (known.cause, known.detail) == (cause, detail)) {
            return;
        }
        let since = known.map_or_else(|| self.clock.unix_time(), |known| known.since);
        list.insert(component, Degraded { component, cause, detail, since });
        drop(list);
        tracing::error!(what = component.as_str(), reason = cause.reason, detail = %log, "degraded: {}", cause.why);
    }

    /// Takes a component off the list.
    pub fn restore(&self, component: Component) {
        if self.list().remove(&component).is_some() {
            tracing::info!(what = component.as_str(), "works again");
        }
    }

    /// All degraded components, in the order of [`Component::ALL`].
    pub fn degraded(&self) -> Vec<Degraded> {
        self.list().values().copied().collect()
    }

    fn list(&self) -> MutexGuard<'_, BTreeMap<Component, Degraded>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_component_is_listed_from_its_first_failure_until_it_works_again() {
        let (clock, node) = (Clock::manual(1_000.0), telemetry::Metrics::new());
        let health = Health::new(clock.clone(), &node);
        let lines = |store: u8, directory: u8| {
            let text = node.render();
            assert!(text.contains(&format!("\npyapns_degraded{{what=\"store\"}} {store}\n")), "{text}");
            assert!(text.contains(&format!("\npyapns_degraded{{what=\"data_directory\"}} {directory}\n")), "{text}");
        };
        lines(0, 0);
        let (full, slow) = (Cause { reason: "full", why: "a" }, Cause { reason: "slow", why: "b" });
        health.degrade(Component::Store, full, "");
        clock.advance(Duration::from_secs(5));
        health.degrade(Component::Store, slow, "");
        health.degrade(Component::DataDirectory, full, "");
        lines(1, 1);
        let listed = [(Component::Store, slow, 1_000.0), (Component::DataDirectory, full, 1_005.0)];
        let listed = listed.map(|(component, cause, since)| Degraded { component, cause, detail: None, since });
        assert_eq!(health.degraded(), listed);
        health.restore(Component::Store);
        assert_eq!(health.degraded(), listed[1..]);
        lines(0, 1);
        assert_eq!(node.faults(), Vec::<String>::new());
    }

    #[test]
    fn each_component_has_its_own_name() {
        let mut names = Component::ALL.map(Component::as_str).to_vec();
        names.dedup();
        assert_eq!(names.len(), Component::ALL.len());
    }
}
