//! Follows the configuration while the node runs: on SIGHUP, and when its file, or one that its entries name, is another.

use crate::api::auth::config::ApiKeyConfig as KeyEntry;
use crate::api::auth::key::Keys;
use crate::autoprovision::{Autoprovision, Entry};
use crate::config::{Config, Fault, Faults, Origin, Settings};
use crate::drain::Drain;
use crate::telemetry::Logging;
use crate::telemetry::logging::Level;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

/// For so long nothing may change before it is read: who writes a file should be done by then.
const SETTLED: Duration = Duration::from_millis(200);
/// Looks at files that keep changing before they are left for later.
const LOOKS_MAX: usize = 25;
/// Settings that take effect while the node runs.
const LIVE: [&str; 2] = ["autoprovision", "log.level"];
/// One more, if the node asks for keys at all.
const LIVE_WITH_KEYS: &str = "api_keys";

/// What shows that a file is another: device, inode, size, and when its content and its inode changed.
type Stamp = Option<(u64, u64, u64, [i64; 4])>;

/// See the module.
pub struct Reload {
    drain: Drain,
    origin: Origin,
    hangup: Signal,
    logging: Option<Logging>,
    /// What the process was started with.
    started: Settings,
    level: Level,
    every: Option<Duration>,
    entries: Vec<Entry>,
    /// Those that callers are asked for; `None` if the node was started without any.
    keys: Option<Arc<Keys>>,
    key_entries: Vec<KeyEntry>,
    seen: Vec<Stamp>,
    /// What was said to need a restart.
    told: Vec<&'static str>,
    /// What was said of files that everyone may read.
    exposed: Vec<String>,
    /// The API keys whose file stands in the way.
    key_faults: Vec<String>,
}

impl Reload {
    /// From now on SIGHUP is ours, and what changes is seen.
    pub fn new(
        origin: Origin,
        config: &Config,
        keys: Option<Arc<Keys>>,
        logging: Option<Logging>,
        drain: Drain,
    ) -> io::Result<Self> {
        let reload = Self {
            drain,
            hangup: signal(SignalKind::hangup())?,
            logging,
            started: config.settings.clone(),
            level: config.log.level,
            every: config.reload_every,
            entries: config.autoprovision.clone(),
            keys,
            key_entries: config.api_keys.clone(),
            seen: Vec::new(),
            told: Vec::new(),
            exposed: config.notices.clone(),
            key_faults: Vec::new(),
            origin,
        };
        let mut reload = Self { seen: stamps(reload.files()), ..reload };
        if let Some(keys) = &reload.keys {
            // They were read before they were looked at.
            reload.key_faults = key_faults(keys, &reload.key_entries);
        }
        Ok(reload)
    }

    /// Reads the configuration as soon as it runs, as if it had changed: what it asks for was not done yet.
    pub fn at_once(mut self) -> Self {
        self.seen.clear();
        self
    }

    /// Runs until the drain begins.
    pub async fn run(mut self, autoprovision: Autoprovision) {
        loop {
            let asked = tokio::select! {
                biased;
                () = self.drain.cancelled() => return,
                _ = self.hangup.recv() => true,
                () = tick(self.every) => false,
            };
            let found = self.look().await;
            if !asked && found == self.seen {
                continue;
            }
            match self.settled(found).await {
                Some(found) => {
                    self.seen = found;
                    self.read(&autoprovision).await;
                }
                None => tracing::warn!("the configuration's files keep changing: they are read when they stand still"),
            }
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let named = self.entries.iter().flat_map(Entry::files);
        let secrets = self.key_entries.iter().filter_map(KeyEntry::file);
        self.origin.file().into_iter().chain(named).chain(secrets).map(ToOwned::to_owned).collect()
    }

    async fn look(&self) -> Vec<Stamp> {
        let files = self.files();
        self.drain.spawn_blocking(move || stamps(files)).await.unwrap_or_default()
    }

    async fn settled(&self, mut found: Vec<Stamp>) -> Option<Vec<Stamp>> {
        for _ in 0..LOOKS_MAX {
            sleep(SETTLED).await;
            let now = self.look().await;
            if now == found {
                return Some(found);
            }
            found = now;
        }
        None
    }

    async fn read(&mut self, autoprovision: &Autoprovision) {
        let origin = self.origin.clone();
        let read = move || origin.read().map(|config| (config.exposed(), config));
        match self.drain.spawn_blocking(read).await {
            Ok(Ok((_, config))) if self.is_emptied(&config) => {
                tracing::error!("the configuration file is empty: what was read before stays in force");
            }
            Ok(Ok((exposed, config))) => {
                for told in exposed.iter().filter(|told| !self.exposed.contains(told)) {
                    tracing::warn!("{told}");
                }
                self.exposed = exposed;
                self.take(config, autoprovision).await;
            }
            Ok(Err(Faults(faults))) => {
                for fault in faults {
                    tracing::error!("not taken from the configuration, what was read before stays in force: {fault}");
                }
            }
            // The panic has its own line, without its message, which may hold what was read.
            Err(_) => tracing::error!("reading the configuration failed: what was read before stays in force"),
        }
    }

    /// A file that is about to be written is empty for a moment; that is no wish to remove all apps, or all keys.
    fn is_emptied(&self, config: &Config) -> bool {
        let length = self.seen.first().copied().flatten().map(|(_, _, length, _)| length);
        let apps_left = config.autoprovision.is_empty() && !self.entries.is_empty();
        let keys_left = config.api_keys.is_empty() && !self.key_entries.is_empty();
        (apps_left || keys_left) && length == Some(0)
    }

    async fn take(&mut self, config: Config, autoprovision: &Autoprovision) {
        if config.log.level != self.level {
            self.level = config.log.level;
            self.logging.iter().for_each(|logging| logging.set_level(self.level));
        }
        self.tell_what_needs_a_restart(&config);
        self.entries = config.autoprovision;
        self.key_entries = config.api_keys;
        // Looked at before they are read, so that nothing is missed; of the configuration's file that was done already.
        let own = self.seen.first().copied().filter(|_| self.origin.file().is_some());
        self.seen = self.look().await;
        if let Some(own) = own {
            self.seen[0] = own;
        }
        let try_again = self.take_keys().await;
        match autoprovision.apply(&self.entries).await {
            Ok(faults) => {
                for fault in &faults {
                    let fault = Fault { place: fault.place.clone(), what: fault.what.clone() };
                    tracing::error!("the app stays as it was: {fault}");
                }
                tracing::info!(entries = self.entries.len(), faults = faults.len(), "read the configuration again");
            }
            Err(error) => {
                tracing::error!(%error, "the configuration's apps could not be stored: tried again soon");
                self.seen.clear();
            }
        }
        if try_again {
            self.seen.clear();
        }
    }

    /// Callers with a key that has left are refused from now on; the doors do not open because the last one has. Whether
    /// a file is to be tried once more, since what stands in the way may pass.
    async fn take_keys(&mut self) -> bool {
        let Some(keys) = self.keys.clone() else { return false };
        let entries = self.key_entries.clone();
        if entries.is_empty() {
            tracing::warn!(
                "no API key is left: every call is refused, until there is one; after a restart nobody is asked"
            );
        }
        let faults = self.drain.spawn_blocking(move || key_faults(&keys, &entries)).await.unwrap_or_default();
        for fault in &faults {
            tracing::error!("the API key keeps the secret it had: {fault}");
        }
        let are_new = faults != self.key_faults;
        self.key_faults = faults;
        are_new && !self.key_faults.is_empty()
    }

    fn tell_what_needs_a_restart(&mut self, config: &Config) {
        let mut changed = self.started.differing(&config.settings);
        let is_live = |key: &&str| LIVE.contains(key) || *key == LIVE_WITH_KEYS && self.keys.is_some();
        changed.retain(|key| !is_live(key));
        if changed != self.told && !changed.is_empty() {
            tracing::warn!("changed, and in force only after a restart: {}", changed.join(", "));
        }
        self.told = changed;
    }
}

/// Makes the keys what the entries say: which stay as they were, and why.
fn key_faults(keys: &Keys, entries: &[KeyEntry]) -> Vec<String> {
    keys.follow(entries).into_iter().map(|(place, error)| format!("{place}: {error}")).collect()
}

async fn tick(every: Option<Duration>) {
    match every {
        Some(every) => sleep(every).await,
        None => std::future::pending().await,
    }
}

fn stamps(files: Vec<PathBuf>) -> Vec<Stamp> {
    let stamp = |file: &PathBuf| {
        let data = std::fs::metadata(file).ok()?;
        let times = [data.mtime(), data.mtime_nsec(), data.ctime(), data.ctime_nsec()];
        Some((data.dev(), data.ino(), data.size(), times))
    };
    files.iter().map(stamp).collect()
}
