//! Follows the configuration while the node runs: on SIGHUP, and when its file, or one that its entries name, is another.

use crate::api::auth::entry::Entry as KeyEntry;
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

/// For so long nothing may change before it is read: who writes a file should be done by then.
const QUIET_PERIOD: Duration = Duration::from_millis(200);
/// Looks at files that keep changing before they are left for later.
const SNAPSHOTS_MAX: usize = 25;
/// Settings that take effect while the node runs.
const LIVE_SETTINGS: [&str; 2] = ["autoprovision", "log.level"];
/// One more, if the node asks for keys at all.
const LIVE_SETTING_WITH_KEYS: &str = "api_keys";

/// What shows that a file is another: device, inode, size, and when its content and its inode changed.
type FileStamp = Option<(u64, u64, u64, [i64; 4])>;

/// See the module.
pub struct Reload {
    drain: Drain,
    origin: Origin,
    hangup: Signal,
    logging: Option<Logging>,
    /// What the process was started with.
    started: Settings,
    level: Level,
    poll_interval: Option<Duration>,
    entries: Vec<ConfiguredApp>,
    /// Those that callers are asked for; `None` if the node was started without any.
    keys: Option<Arc<Keys>>,
    key_entries: Vec<KeyEntry>,
    seen: Vec<FileStamp>,
    /// What was said to need a restart.
    restart_warned: Vec<&'static str>,
    /// What was said of files that everyone may read.
    world_readable: Vec<String>,
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
            poll_interval: config.reload_every,
            entries: config.autoprovision.clone(),
            keys,
            key_entries: config.api_keys.clone(),
            seen: Vec::new(),
            restart_warned: Vec::new(),
            world_readable: config.notices.clone(),
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
                None => tracing::warn!("the configuration's files keep changing: they are read when they stand still"),
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
                tracing::error!("the configuration file is empty: what was read before stays in force");
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

    async fn adopt(&mut self, config: Config, autoprovision: &Autoprovision) {
        if config.log.level != self.level {
            self.level = config.log.level;
            self.logging.iter().for_each(|logging| logging.set_level(self.level));
        }
        self.warn_of_restart_settings(&config);
        self.entries = config.autoprovision;
        self.key_entries = config.api_keys;
        // Looked at before they are read, so that nothing is missed; of the configuration's file that was done already.
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
                    tracing::error!("the app stays as it was: {fault}");
                }
                tracing::info!(entries = self.entries.len(), faults = faults.len(), "read the configuration again");
            }
            Err(error) => {
                tracing::error!(%error, "the configuration's apps could not be stored: tried again soon");
                self.seen.clear();
            }
        }
        if retry {
            self.seen.clear();
        }
    }

    /// Callers with a key that has left are refused from now on; the doors do not open because the last one has. Whether
    /// a file is to be tried once more, since what stands in the way may pass.
    async fn adopt_keys(&mut self) -> bool {
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
        let have_changed = faults != self.key_faults;
        self.key_faults = faults;
        have_changed && !self.key_faults.is_empty()
    }

    fn warn_of_restart_settings(&mut self, config: &Config) {
        let mut changed = self.started.differing(&config.settings);
        let is_live = |key: &&str| LIVE_SETTINGS.contains(key) || *key == LIVE_SETTING_WITH_KEYS && self.keys.is_some();
        changed.retain(|key| !is_live(key));
        if changed != self.restart_warned && !changed.is_empty() {
            tracing::warn!("changed, and in force only after a restart: {}", changed.join(", "));
        }
        self.restart_warned = changed;
    }
}

/// Makes the keys what the entries say: which stay as they were, and why.
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
