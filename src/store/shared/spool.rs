//! The events that wait in this node's database for Redis, in their order.

use super::entry::{Entry, QUARANTINE};
use crate::model::{AppKey, Quarantine};
use crate::store::redis::Redis;
use crate::store::{Apps, FeedbackLog, Sqlite, StoreError};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, Notify, RwLock};
use tokio::time::{sleep, timeout};

/// The maximum size of all events that wait. Further events wait in memory.
pub const SPOOL_BYTES_MAX: u64 = if cfg!(test) { 64 << 10 } else { 256 << 20 };
/// The pause after Redis took no event.
const PAUSE: Duration = Duration::from_millis(250);

pub(super) struct Spool {
    redis: Arc<Redis>,
    local: Arc<Sqlite>,
    entries: AtomicU64,
    /// Those of them that are quarantines.
    quarantines: AtomicU64,
    /// Redis has just taken what waited longest.
    is_draining: AtomicBool,
    bytes: AtomicU64,
    /// Held by the one that hands events over.
    replaying: Mutex<()>,
    /// Held for reading by those that add events, and for writing while the counts are corrected.
    adding: RwLock<()>,
    filled: Notify,
}

impl Spool {
    pub async fn open(redis: Arc<Redis>, local: Arc<Sqlite>) -> Result<Self, StoreError> {
        let (entries, bytes) = local.spool_usage().await?;
        if entries > 0 {
            tracing::info!(entries, bytes, "feedback and disconnections of the last run wait for the shared store");
        }
        let quarantines = local.spooled_with(QUARANTINE).await?.len() as u64;
        let [entries, bytes, quarantines] = [entries, bytes, quarantines].map(AtomicU64::new);
        let (is_draining, filled) = (AtomicBool::new(false), Notify::new());
        let (replaying, adding) = (Mutex::default(), RwLock::default());
        Ok(Self { redis, local, entries, bytes, quarantines, is_draining, replaying, adding, filled })
    }

    pub fn is_empty(&self) -> bool {
        self.entries.load(Ordering::Acquire) == 0
    }

    /// Records may overtake those that wait, once Redis takes them: their order does not matter to it, and under a steady
    /// flow of events the last one would never arrive otherwise. They never overtake a quarantine.
    pub fn lets_records_pass(&self) -> bool {
        self.is_empty() || (self.is_draining.load(Ordering::Acquire) && self.quarantines.load(Ordering::Acquire) == 0)
    }

    pub fn usage(&self) -> (u64, u64) {
        (self.entries.load(Ordering::Acquire), self.bytes.load(Ordering::Acquire))
    }

    pub fn wake(&self) {
        self.filled.notify_one();
    }

    /// Keeps an event. Once it resolves, the event is on disk.
    pub async fn keep(&self, entry: Entry) -> Result<(), StoreError> {
        let kept = self.append(&entry).await;
        if let (Err(_), Entry::Records { call, records }) = (&kept, &entry) {
            self.redis.give_back_call(records, call);
        }
        kept
    }

    async fn append(&self, entry: &Entry) -> Result<(), StoreError> {
        let text = entry.text()?;
        let _adding = self.adding.read().await;
        let bytes = text.len() as u64;
        let spend = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= SPOOL_BYTES_MAX);
        self.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, spend).map_err(|_| StoreError::SpoolFull)?;
        self.is_draining.store(false, Ordering::Release);
        let quarantines = u64::from(matches!(entry, Entry::Quarantine { .. }));
        self.quarantines.fetch_add(quarantines, Ordering::AcqRel);
        if self.entries.fetch_add(1, Ordering::AcqRel) == 0 {
            tracing::warn!("the shared store takes no events: they wait in this node's database until it does");
        }
        match self.local.spool(text).await {
            Ok(_) => {
                self.wake();
                Ok(())
            }
            Err(error) => {
                self.give_back(1, quarantines, bytes);
                Err(error)
            }
        }
    }

    fn give_back(&self, entries: u64, quarantines: u64, bytes: u64) {
        self.quarantines.fetch_sub(quarantines, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        if self.entries.fetch_sub(entries, Ordering::AcqRel) == entries {
            tracing::info!("all events that waited are in the shared store");
        }
    }

    /// Hands the events over as soon as Redis takes them. Never returns.
    pub async fn replay(&self) {
        let mut has_failed = false;
        loop {
            if self.is_empty() {
                self.filled.notified().await;
                continue;
            }
            match self.flush().await {
                Ok(()) => {
                    has_failed = false;
                    // What came meanwhile may not be on disk yet.
                    let _ = timeout(PAUSE, self.filled.notified()).await;
                }
                Err(error) => {
                    if !has_failed {
                        tracing::warn!(%error, "events wait for the shared store");
                    }
                    has_failed = true;
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Hands over what waits, in its order.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let _one = self.replaying.lock().await;
        loop {
            let page = self.local.spooled(0).await?;
            if page.is_empty() {
                return self.recount().await;
            }
            let (mut arrived, mut through, mut bytes, mut failed) = (0, 0, 0, Ok(()));
            let mut quarantines = 0;
            for (position, text) in &page {
                if let Err(error) = self.hand_over(text).await {
                    failed = Err(error);
                    break;
                }
                arrived += 1;
                through = *position;
                bytes += text.len() as u64;
                quarantines += u64::from(text.starts_with(QUARANTINE));
            }
            self.is_draining.store(failed.is_ok(), Ordering::Release);
            if arrived > 0 {
                self.local.unspool(through).await?;
                self.give_back(arrived, quarantines, bytes);
            }
            failed?;
        }
    }

    /// Corrects the counts if nothing waits: a caller may have given up in the middle of a change.
    async fn recount(&self) -> Result<(), StoreError> {
        if self.is_empty() {
            return Ok(());
        }
        let _nobody_adds = self.adding.write().await;
        let (entries, bytes, quarantines) = self.local.count_spooled(QUARANTINE).await?;
        self.entries.store(entries, Ordering::Release);
        self.bytes.store(bytes, Ordering::Release);
        self.quarantines.store(quarantines, Ordering::Release);
        Ok(())
    }

    /// Hands one event over. Those of an app that another node has removed meanwhile are dropped, and one that cannot be read
    /// is lost.
    async fn hand_over(&self, text: &str) -> Result<(), StoreError> {
        match Entry::parse(text) {
            None => tracing::error!("an event that waited for the shared store cannot be read, and is lost"),
            Some(Entry::Records { call, records }) => {
                let mut removed = HashSet::new();
                for app in records.apps() {
                    if self.is_removed(app).await? {
                        removed.insert(app.clone());
                    }
                }
                self.redis.repeat(&records, &call, &removed).await?;
                // Before the row is deleted: a caller that gives up in between leaves no number behind. Redis ignores the
                // repeat of such a row.
                self.redis.end_call(&call);
            }
            Some(Entry::Quarantine { app, quarantine }) => {
                if !self.is_removed(&app).await? {
                    self.redis.quarantine(app, quarantine).await?;
                }
            }
        }
        Ok(())
    }

    /// Returns true if another node has removed the app. A Redis that came back from an older snapshot may have the removal,
    /// and not the provisioning after it, which the copy has.
    async fn is_removed(&self, app: &AppKey) -> Result<bool, StoreError> {
        let Some(removal) = self.redis.removal(app).await? else { return Ok(false) };
        Ok(self.local.get(app.clone()).await?.is_none_or(|copied| copied.revision <= removal))
    }

    /// The quarantines that wait.
    pub async fn quarantines(&self) -> Result<Vec<(AppKey, Quarantine)>, StoreError> {
        if self.quarantines.load(Ordering::Acquire) == 0 {
            return Ok(Vec::new());
        }
        let waiting = self.local.spooled_with(QUARANTINE).await?;
        let parsed = waiting.iter().filter_map(|text| match Entry::parse(text)? {
            Entry::Quarantine { app, quarantine } => Some((app, quarantine)),
            Entry::Records { .. } => None,
        });
        Ok(parsed.collect())
    }
}
