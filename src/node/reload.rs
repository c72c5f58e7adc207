//! Reads the configuration again while the node runs: on SIGHUP, and when its file or a file that it names changes.

use crate::api::auth::config::ApiKeyConfig as KeyEntry;
use crate::api::auth::key::Keys;
use crate::autoprovision::{Autoprovision, ConfiguredApp};
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

/// The time without a change after which files are read, so that no half-written file is read.
const QUIET_PERIOD: Duration = Duration::from_millis(200);
/// Snapshots of files that keep changing, before the reload is put off.
const SNAPSHOTS_MAX: usize = 25;
/// Settings that take effect while the node runs.
const LIVE_SETTINGS: [&str; 2] = ["autoprovision", "log.level"];
/// A further live setting, if the node was started with API keys.
const LIVE_SETTING_WITH_KEYS: &str = "api_keys";

/// The identity of a file's content: device, inode, size, and the times when content and inode changed.
type FileStamp = Option<(u64, u64, u64, [i64; 4])>;

/// The task that reads the configuration again when it changes.
pub struct Reload {
    drain: Drain,
    origin: Origin,
    hangup: Signal,
    logging: Option<Logging>,
    /// The settings that the process was started with.
    started: Settings,
    level: Level,
    poll_interval: Option<Duration>,
    entries: Vec<ConfiguredApp>,
    /// The API keys that callers must show; `None` if the node was started without any.
    keys: Option<Arc<Keys>>,
    key_entries: Vec<KeyEntry>,
    seen: Vec<FileStamp>,
    /// The changed settings for which a restart warning was logged.
    restart_warned: Vec<&'static str>,
    /// The warnings about world-readable secrets that were logged.
    world_readable: Vec<String>,
    /// The faults of API keys whose secret file cannot be used.
    key_faults: Vec<String>,
    /// The reason for which the store did not take the apps of the last configuration.
    store_fault: Option<&'static str>,
}

impl Reload {
    /// Takes over SIGHUP and records the state of the files, so that a later change is noticed.
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
            poll_interval: config.reload_every,
            entries: config.autoprovision.clone(),
            keys,
            key_entries: config.api_keys.clone(),
            seen: Vec::new(),
            restart_warned: Vec::new(),
            world_readable: config.notices.clone(),
            key_faults: Vec::new(),
            store_fault: None,
            origin,
        };
        let mut reload = Self { seen: stamps(reload.files()), ..reload };
        if let Some(keys) = &reload.keys {
            // The key files were read before their stamps were taken, and may have changed in between.
            reload.key_faults = key_faults(keys, &reload.key_entries);
        }
        Ok(reload)
    }

    /// Makes [`Self::run`] read the configuration immediately: its apps were not stored at start.
    pub fn reload_at_start(mut self) -> Self {
        self.seen.clear();
        self
    }

    /// Runs until the drain begins.
    pub async fn run(mut self, autoprovision: Autoprovision) {
        loop {
            let is_signalled = tokio::select! {
                biased;
                () = self.drain.cancelled() => return,
                _ = self.hangup.recv() => true,
                () = poll_tick(self.poll_interval) => false,
            };
            let found = self.snapshot().await;
            if !is_signalled && found == self.seen {
                continue;
            }
            match self.wait_until_settled(found).await {
                Some(found) => {
                    self.seen = found;
                    self.reload(&autoprovision).await;
                }
                None => {
                    tracing::warn!("the configuration's files keep changing; they are read once they stop changing")
                }
            }
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let named = self.entries.iter().flat_map(ConfiguredApp::files);
        let secrets = self.key_entries.iter().filter_map(KeyEntry::file);
        self.origin.file().into_iter().chain(named).chain(secrets).map(ToOwned::to_owned).collect()
    }

    async fn snapshot(&self) -> Vec<FileStamp> {
        let files = self.files();
        self.drain.spawn_blocking(move || stamps(files)).await.unwrap_or_default()
    }

    async fn wait_until_settled(&self, mut found: Vec<FileStamp>) -> Option<Vec<FileStamp>> {
        for _ in 0..SNAPSHOTS_MAX {
            sleep(QUIET_PERIOD).await;
            let now = self.snapshot().await;
            if now == found {
                return Some(found);
            }
            found = now;
        }
        None
    }

    async fn reload(&mut self, autoprovision: &Autoprovision) {
        let origin = self.origin.clone();
        let load = move || origin.load().map(|config| (config.world_readable_secrets(), config));
        match self.drain.spawn_blocking(load).await {
            Ok(Ok((_, config))) if self.is_emptied(&config) => {
                tracing::error!("the configuration file is empty; the previous configuration stays in force");
            }
            Ok(Ok((world_readable, config))) => {
                for warning in world_readable.iter().filter(|warning| !self.world_readable.contains(warning)) {
                    tracing::warn!("{warning}");
                }
                self.world_readable = world_readable;
                self.adopt(config, autoprovision).await;
            }
            Ok(Err(Faults(faults))) => {
                for fault in faults {
                    tracing::error!(
                        "the changed configuration is refused and the previous one stays in force: {fault}"
                    );
                }
            }
            // The panic hook logs the panic without its message, which may hold a secret.
            Err(_) => tracing::error!("reading the configuration failed; the previous configuration stays in force"),
        }
    }

    /// Returns true for an empty file that had apps or keys before. A file being written is empty for a moment, which
    /// must not remove all apps or all keys.
    fn is_emptied(&self, config: &Config) -> bool {
        let length = self.seen.first().copied().flatten().map(|(_, _, length, _)| length);
        let apps_left = config.autoprovision.is_empty() && !self.entries.is_empty();
        let keys_left = config.api_keys.is_empty() && !self.key_entries.is_empty();
        (apps_left || keys_left) && length == Some(0)
    }

    async fn adopt(&mut self, config: Config, autoprovision: &Autoprovision) {
        if config.log.level != self.level {
            self.level = config.log.level;
            self.logging.iter().for_each(|logging| logging.set_level(self.level));
        }
        self.warn_of_restart_settings(&config);
        self.entries = config.autoprovision;
        self.key_entries = config.api_keys;
        // The stamps are taken before the files are read, so that no change is missed. The configuration file has its
        // stamp from before it was read.
        let own_stamp = self.seen.first().copied().filter(|_| self.origin.file().is_some());
        self.seen = self.snapshot().await;
        if let Some(own_stamp) = own_stamp {
            self.seen[0] = own_stamp;
        }
        let retry = self.adopt_keys().await;
        match autoprovision.apply(&self.entries).await {
            Ok(faults) => {
                for fault in &faults {
                    let fault = Fault { place: fault.place.clone(), what: fault.what.clone() };
                    tracing::error!("the configured app is refused and the app stays unchanged: {fault}");
                }
                tracing::info!(entries = self.entries.len(), faults = faults.len(), "read the configuration again");
                self.store_fault = None;
            }
            Err(error) => {
                // A shared store may be away for long.
                if self.store_fault.replace(error.reason()) != Some(error.reason()) {
                    tracing::error!(%error, "the configuration's apps could not be stored; the node tries again");
                }
                self.seen.clear();
            }
        }
        if retry {
            self.seen.clear();
        }
    }

    /// Refuses callers whose key was removed. Removing the last key does not disable authentication. Returns true if a
    /// key file is to be tried once more, since its fault may be temporary.
    async fn adopt_keys(&mut self) -> bool {
        let Some(keys) = self.keys.clone() else { return false };
        let entries = self.key_entries.clone();
        if entries.is_empty() {
            tracing::warn!(
                "no API key is left: every call is refused until one is added; after a restart no key is required"
            );
        }
        let faults = self.drain.spawn_blocking(move || key_faults(&keys, &entries)).await.unwrap_or_default();
        for fault in &faults {
            tracing::error!("the API key keeps the secret it had: {fault}");
        }
        let have_changed = faults != self.key_faults;
        self.key_faults = faults;
        have_changed && !self.key_faults.is_empty()
    }

    fn warn_of_restart_settings(&mut self, config: &Config) {
        let mut changed = self.started.differing(&config.settings);
        let is_live = |key: &&str| LIVE_SETTINGS.contains(key) || *key == LIVE_SETTING_WITH_KEYS && self.keys.is_some();
        changed.retain(|key| !is_live(key));
        if changed != self.restart_warned && !changed.is_empty() {
            tracing::warn!("these changed settings take effect only after a restart: {}", changed.join(", "));
        }
        self.restart_warned = changed;
    }
}

/// Updates the keys to the entries. Returns a sentence for each key that keeps its old secret, with the reason.
fn key_faults(keys: &Keys, entries: &[KeyEntry]) -> Vec<String> {
    keys.follow(entries).into_iter().map(|(place, error)| format!("{place}: {error}")).collect()
}

async fn poll_tick(interval: Option<Duration>) {
    match interval {
        Some(interval) => sleep(interval).await,
        None => std::future::pending().await,
    }
}

fn stamps(files: Vec<PathBuf>) -> Vec<FileStamp> {
    let stamp = |file: &PathBuf| {
        let data = std::fs::metadata(file).ok()?;
        let times = [data.mtime(), data.mtime_nsec(), data.ctime(), data.ctime_nsec()];
        Some((data.dev(), data.ino(), data.size(), times))
    };
    files.iter().map(stamp).collect()
}
