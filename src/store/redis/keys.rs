//! The names of the keys in Redis. Nothing else makes one.

use crate::model::{AppId, AppKey, Environment, NodeName};

/// Makes the names of a store's keys. An app or a node is the last part of a name, so no id can imitate another key.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A hash: format, epoch, the sealed constant, and the counters.
    pub fn meta(&self) -> String {
        self.named("meta")
    }

    /// A hash: the record of each app.
    pub fn apps(&self) -> String {
        self.named("apps")
    }

    /// A hash: the fingerprint of each entry of the configuration that made an app.
    pub fn entries(&self) -> String {
        self.named("entries")
    }

    /// A sorted set: apps, removed ones too, by the revision of their newest change.
    pub fn changed(&self) -> String {
        self.named("changed")
    }

    /// A sorted set: the newest of the removed apps, by the revision of their removal.
    pub fn removed(&self) -> String {
        self.named("removed")
    }

    /// A hash: each app's quarantine.
    pub fn holds(&self) -> String {
        self.named("holds")
    }

    /// A hash: an app's feedback by token.
    pub fn feedback(&self, app: &AppKey) -> String {
        self.of_app("fb", app)
    }

    /// A sorted set: the tokens of an app's feedback by position.
    pub fn feedback_positions(&self, app: &AppKey) -> String {
        self.of_app("fbpos", app)
    }

    /// A hash: an app's held feedback by token.
    pub fn held(&self, app: &AppKey) -> String {
        self.of_app("held", app)
    }

    /// A stream: an app's disconnection log.
    pub fn log(&self, app: &AppKey) -> String {
        self.of_app("log", app)
    }

    /// The keys of everything that goes with an app.
    pub fn events(&self, app: &AppKey) -> [String; 4] {
        [self.feedback(app), self.feedback_positions(app), self.held(app), self.log(app)]
    }

    /// A sorted set: the latest calls of a writer, so that none of them takes effect twice.
    pub fn calls(&self, writer: &str) -> String {
        self.named(&format!("calls:{writer}"))
    }

    /// A hash: the record of each node.
    pub fn members(&self) -> String {
        self.named("members")
    }

    /// A hash: the decisions of operators about the owners of lanes.
    pub fn pins(&self) -> String {
        self.named("pins")
    }

    /// A string that ends by itself: the session of a live node.
    pub fn lease(&self, node: &NodeName) -> String {
        format!("{}{node}", self.leases())
    }

    /// The beginning of the names of all leases; a node's name follows.
    pub fn leases(&self) -> String {
        self.named("lease:")
    }

    fn of_app(&self, kind: &str, app: &AppKey) -> String {
        format!("{}{kind}:{}", self.prefix, name_of(app))
    }

    fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// An app's name in keys and hashes: `ENVIRONMENT/APP_ID`.
pub(super) fn name_of(app: &AppKey) -> String {
    format!("{}/{}", app.environment.as_str(), app.id)
}

/// The app of a name; `None` for what [`name_of`] cannot have made.
pub(super) fn app_of(name: &str) -> Option<AppKey> {
    let (environment, id) = name.split_once('/')?;
    Some(AppKey::new(AppId::stored(id).ok()?, Environment::parse(environment)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_app_reads_back_and_nothing_else_does() {
        for id in ["com.example.shop", "a:b", "-", "x/y"] {
            for environment in Environment::ALL {
                let Ok(id) = AppId::stored(id) else { continue };
                let app = AppKey::new(id, environment);
                assert_eq!(app_of(&name_of(&app)), Some(app));
            }
        }
        for name in ["", "/", "sandbox", "sandbox/", "staging/a", "sandbox/a b", "Sandbox/a"] {
            assert_eq!(app_of(name), None, "{name}");
        }
    }

    #[test]
    fn no_two_keys_have_the_same_name_whatever_the_ids() {
        let keys = Keys::new("p:");
        let ids = ["a", "fb", "held:a", "log:sandbox", "calls:a", "lease:a", "meta"];
        let apps = ids.iter().flat_map(|id| Environment::ALL.map(|of| AppKey::new(AppId::stored(id).unwrap(), of)));
        let mut names: Vec<String> = apps.flat_map(|app| keys.events(&app)).collect();
        names.extend([
            keys.meta(),
            keys.apps(),
            keys.entries(),
            keys.changed(),
            keys.removed(),
            keys.holds(),
            keys.members(),
            keys.pins(),
        ]);
        names.extend(ids.map(|id| keys.calls(id)));
        names.extend(["a", "meta"].map(|name| keys.lease(&name.parse().unwrap())));
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
