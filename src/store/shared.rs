//! The shared store as a node of a cluster uses it: Redis, and beside it the database of this node. The database has a copy of
//! the apps, and keeps events while Redis does not take them.

mod copy;
mod entry;
mod spool;

pub use spool::SPOOL_BYTES_MAX;

use super::opening::refuse_unfinished;
use super::redis::{Redis, RedisUrl};
use super::sqlite::Ownership;
use super::{
    AppRecord, Apps, Changes, CopyState, Counts, Cursor, DisconnectionLog, Durability, EntryRecord, Epoch, Events,
    Expect, FeedbackLog, Page, Pending, Recovery, Revision, Sqlite, StoreError, Transfer,
};
use crate::clock::Clock;
use crate::model::{AppKey, Disconnection, Feedback, Quarantine, Records, Resolution};
use copy::Copy;
use entry::Entry;
use spool::Spool;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// The longest wait for Redis before events are kept in the database.
const RECORD_TIMEOUT: Duration = Duration::from_secs(1);

/// Redis, and the database of this node beside it.
pub struct Shared {
    redis: Arc<Redis>,
    local: Arc<Sqlite>,
    copy: Copy,
    spool: Spool,
    /// The reason that Redis is not used yet; `None` once it was examined.
    closed: watch::Sender<Option<StoreError>>,
    changed: Arc<Notify>,
}

impl Shared {
    /// Nothing is sent to Redis before [`Self::admit`], except by [`Self::examine`].
    pub async fn new(redis: Redis, url: &RedisUrl, local: Arc<Sqlite>) -> Result<Self, StoreError> {
        let redis = Arc::new(redis);
        let spool = Spool::open(Arc::clone(&redis), Arc::clone(&local)).await?;
        let copy = Copy::new(Arc::clone(&redis), Arc::clone(&local));
        let unexamined = StoreError::Away { address: url.to_string(), cause: "not connected yet".to_owned() };
        let (closed, changed) = (watch::Sender::new(Some(unexamined)), Arc::default());
        Ok(Self { redis, local, copy, spool, closed, changed })
    }

    /// Checks that Redis can be the shared store of this node. Returns sentences for the operator.
    pub async fn examine(&self, clock: &Clock) -> Result<Vec<String>, StoreError> {
        let examined = async {
            let notices = self.redis.check_server(clock).await?;
            refuse_unfinished(&*self.redis).await?;
            let epoch = self.redis.epoch().await?;
            if self.local.ownership().await? == Ownership::Own {
                self.local.set_copy_of(epoch).await?;
            }
            Ok(notices)
        };
        examined.await.inspect_err(|error: &StoreError| drop(self.closed.send_replace(Some(error.clone()))))
    }

    /// Lets all operations use Redis from now on.
    pub fn admit(&self) {
        self.closed.send_replace(None);
        self.spool.wake();
    }

    /// Resolves once [`Self::admit`] was called.
    pub async fn admitted(&self) {
        // The sender lives as long as `self`.
        let _ = self.closed.subscribe().wait_for(Option::is_none).await;
    }

    pub fn redis(&self) -> &Arc<Redis> {
        &self.redis
    }

    /// Notified when this node has changed an app.
    pub fn changed(&self) -> &Arc<Notify> {
        &self.changed
    }

    /// Brings the copy up to the newest change of the store, if the store still has this epoch. `now` is the time in UNIX
    /// seconds.
    pub async fn follow(&self, epoch: Epoch, now: f64) -> Result<(), StoreError> {
        self.open()?;
        self.copy.follow(epoch, now).await
    }

    /// Hands the events that wait in the database over to Redis as soon as it takes them. Never returns.
    pub async fn replay(&self) {
        self.admitted().await;
        self.spool.replay().await;
    }

    /// Hands over all events that wait, or fails.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.open()?;
        self.spool.flush().await
    }

    /// The number of writes that wait in the database, and their bytes.
    pub fn spooled(&self) -> (u64, u64) {
        self.spool.usage()
    }

    /// The quarantines that wait in the database.
    pub async fn spooled_quarantines(&self) -> Result<Vec<(AppKey, Quarantine)>, StoreError> {
        self.spool.quarantines().await
    }

    fn open(&self) -> Result<&Redis, StoreError> {
        match &*self.closed.borrow() {
            None => Ok(&self.redis),
            Some(error) => Err(error.clone()),
        }
    }

    /// Redis, once everything that waits has arrived there: what an operator removes must not come back afterwards.
    async fn open_flushed(&self) -> Result<&Redis, StoreError> {
        let redis = self.open()?;
        if !self.spool.is_empty() {
            self.spool.flush().await?;
        }
        Ok(redis)
    }

    fn notify<T>(&self, changed: Result<T, StoreError>) -> Result<T, StoreError> {
        if changed.is_ok() {
            self.changed.notify_one();
        }
        changed
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Shared")
    }
}

impl Apps for Shared {
    fn put(&self, app: AppRecord, expect: Expect) -> Pending<'_, Revision> {
        Box::pin(async move { self.notify(self.open()?.put(app, expect).await) })
    }

    fn put_all(&self, apps: Vec<AppRecord>) -> Pending<'_, u64> {
        Box::pin(async move { self.notify(self.open()?.put_all(apps).await) })
    }

    fn get(&self, key: AppKey) -> Pending<'_, Option<AppRecord>> {
        Box::pin(async move { self.open()?.get(key).await })
    }

    fn delete(&self, key: AppKey, expect: Expect) -> Pending<'_, Option<Revision>> {
        Box::pin(async move { self.notify(self.open_flushed().await?.delete(key, expect).await) })
    }

    fn list(&self, after: Option<AppKey>, limit: usize) -> Pending<'_, Vec<AppRecord>> {
        Box::pin(async move { self.open()?.list(after, limit).await })
    }

    fn changes(&self, since: Revision, limit: usize) -> Pending<'_, Changes> {
        Box::pin(async move { self.open()?.changes(since, limit).await })
    }

    fn entries(&self) -> Pending<'_, Vec<EntryRecord>> {
        Box::pin(async move { self.open()?.entries().await })
    }

    fn file_entry(&self, key: AppKey, fingerprint: String) -> Pending<'_, ()> {
        Box::pin(async move { self.notify(self.open()?.file_entry(key, fingerprint).await) })
    }

    fn delete_entry(&self, key: AppKey) -> Pending<'_, bool> {
        Box::pin(async move { self.notify(self.open_flushed().await?.delete_entry(key).await) })
    }
}

impl Recovery for Shared {
    fn copy_state(&self) -> Pending<'_, Option<CopyState>> {
        self.local.copy_state()
    }

    fn copied(&self, after: Option<AppKey>, limit: usize) -> Pending<'_, Vec<AppRecord>> {
        self.local.list(after, limit)
    }

    fn restore_entries(&self) -> Pending<'_, ()> {
        Box::pin(async move {
            let there: HashSet<AppKey> = self.open()?.fingerprints().await?.into_iter().map(|(key, _)| key).collect();
            let copied = self.local.entries().await?.into_iter().map(|entry| (entry.key, entry.fingerprint));
            let missing: Vec<_> = copied.filter(|(key, _)| !there.contains(key)).collect();
            for page in missing.chunks(copy::PAGE) {
                self.redis.put_entries(page.to_vec()).await?;
            }
            Ok(())
        })
    }

    fn restore_check(&self, sealed: Vec<u8>) -> Pending<'_, ()> {
        Box::pin(async move { self.open()?.set_check(&sealed, None).await.map(drop) })
    }

    fn succeed(&self, present: Epoch, replaced: Epoch) -> Pending<'_, Epoch> {
        Box::pin(async move { self.open()?.succeed(present, replaced).await })
    }
}

impl Events for Shared {
    /// While Redis does not take them, the records are kept in the database, and no entry counts as held back.
    fn record(&self, records: Arc<Records>) -> Pending<'_, u64> {
        Box::pin(async move {
            if self.spool.lets_records_pass()
                && let Ok(redis) = self.open()
                && let Ok(Ok(held)) = timeout(RECORD_TIMEOUT, redis.record(Arc::clone(&records))).await
            {
                return Ok(held);
            }
            let call = self.redis.hold_call(&records)?;
            self.spool.keep(Entry::Records { call, records }).await.map(|()| 0)
        })
    }

    fn counts(&self, app: AppKey) -> Pending<'_, Counts> {
        Box::pin(async move { self.open()?.counts(app).await })
    }
}

impl FeedbackLog for Shared {
    /// While Redis does not take it, the quarantine is kept in the database. It arrives before the records that follow it.
    fn quarantine(&self, app: AppKey, quarantine: Quarantine) -> Pending<'_, u64> {
        Box::pin(async move {
            if self.spool.is_empty()
                && let Ok(redis) = self.open()
                && let Ok(Ok(held)) = timeout(RECORD_TIMEOUT, redis.quarantine(app.clone(), quarantine.clone())).await
            {
                return Ok(held);
            }
            self.spool.keep(Entry::Quarantine { app, quarantine }).await.map(|()| 0)
        })
    }

    fn quarantines(&self) -> Pending<'_, Vec<(AppKey, Quarantine)>> {
        Box::pin(async move {
            // Those that wait are read first: they may arrive meanwhile.
            let waiting = self.spool.quarantines().await?;
            let mut all = self.open()?.quarantines().await?;
            let known: HashSet<AppKey> = all.iter().map(|(app, _)| app.clone()).collect();
            all.extend(waiting.into_iter().filter(|(app, _)| !known.contains(app)));
            Ok(all)
        })
    }

    fn resolve(&self, app: AppKey, resolution: Resolution) -> Pending<'_, u64> {
        Box::pin(async move { self.open_flushed().await?.resolve(app, resolution).await })
    }

    fn feedback(&self, app: AppKey, after: Cursor, limit: usize) -> Pending<'_, Page<Feedback>> {
        Box::pin(async move { self.open()?.feedback(app, after, limit).await })
    }

    fn acknowledge_feedback(&self, app: AppKey, through: Cursor) -> Pending<'_, u64> {
        Box::pin(async move { self.open()?.acknowledge_feedback(app, through).await })
    }
}

impl DisconnectionLog for Shared {
    fn disconnections(&self, app: AppKey, after: Cursor, limit: usize) -> Pending<'_, Page<Disconnection>> {
        Box::pin(async move { self.open()?.disconnections(app, after, limit).await })
    }

    fn acknowledge_disconnections(&self, app: AppKey, through: Cursor) -> Pending<'_, u64> {
        Box::pin(async move { self.open()?.acknowledge_disconnections(app, through).await })
    }
}

impl Durability for Shared {
    fn try_writing(&self) -> Pending<'_, ()> {
        Box::pin(async move { self.open()?.try_writing().await })
    }

    fn look(&self) -> Pending<'_, ()> {
        Box::pin(async move { self.open()?.look().await })
    }
}

#[cfg(test)]
mod tests;
