//! The recording of events, and the checks of the server.

use super::calls::{CallName, Numbers};
use super::keys::name_of;
use super::reply::{odd, read};
use super::scripts::{COUNTS, RECORD, TRY_WRITING};
use super::{CALL_BYTES, Redis, feedback, log};
use crate::model::{AppKey, Records};
use crate::store::{Counts, DISCONNECTIONS_MAX, DOUBTFUL, Durability, Events, Pending, Revision, StoreError};
use redis::cmd;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// The format of the store, as the scripts have it.
const FORMAT: &str = "1";

/// Entries of one call of a script, which take it about a millisecond.
const CALL_ENTRIES: usize = 500;

/// A call that was not repeated for so long takes effect again.
const REPEATED_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);

/// Records of one app that one call stores.
struct Chunk<'a> {
    app: &'a AppKey,
    bytes: usize,
    /// Token and entry of each.
    feedback: Vec<(&'a str, String)>,
    log: Vec<String>,
}

impl Chunk<'_> {
    fn is_empty(&self) -> bool {
        self.feedback.is_empty() && self.log.is_empty()
    }

    fn clear(&mut self) {
        self.feedback.clear();
        self.log.clear();
    }
}

impl Events for Redis {
    /// Records of one app with no more than `CALL_BYTES` and `CALL_ENTRIES` are stored whole or not at all. Larger
    /// ones are stored in parts: if a call fails, the parts before it stay stored, and the repeat of the call with the same [`Arc`]
    /// stores the rest. A repeat stores nothing twice, whether or not the failed call had taken effect.
    fn record(&self, records: Arc<Records>) -> Pending<'_, u64> {
        Box::pin(async move {
            let chunks = chunks(&records)?;
            let Numbers { first, lowest } = self.calls.begin(&records, chunks.len());
            let held = self.record_chunks(chunks, &self.calls.writer, first, lowest).await?;
            self.calls.end(&records);
            Ok(held)
        })
    }

    fn counts(&self, app: AppKey) -> Pending<'_, Counts> {
        Box::pin(async move {
            let mut call = COUNTS.prepare_invoke();
            call.key(self.keys.feedback(&app)).key(self.keys.held(&app)).key(self.keys.log(&app));
            let (feedback, held, disconnections) = read(self.run(&call).await?)?;
            Ok(Counts { feedback, held, disconnections })
        })
    }
}

impl Redis {
    /// The name under which [`Events::record`] stores these records. [`Self::repeat`] may use it until
    /// [`Self::end_call`], whether the records still exist or not.
    pub fn hold_call(&self, records: &Arc<Records>) -> Result<CallName, StoreError> {
        let Numbers { first, .. } = self.calls.begin(records, chunks(records)?.len());
        self.calls.hold(records, first);
        Ok(CallName { writer: self.calls.writer.clone(), first })
    }

    /// Stores records under a name from [`Self::hold_call`], of this process or an earlier one, unless a call of this name
    /// has stored them already. Those of the apps in `removed` are left out. Returns the number of entries held back.
    pub async fn repeat(
        &self,
        records: &Records,
        name: &CallName,
        removed: &HashSet<AppKey>,
    ) -> Result<u64, StoreError> {
        // Nobody else knows which calls of another process are still to be repeated.
        let is_own = name.writer == self.calls.writer;
        let lowest = if is_own { self.calls.lowest().unwrap_or(name.first).min(name.first) } else { 0 };
        let mut chunks = chunks(records)?;
        // The others keep their numbers.
        chunks.iter_mut().filter(|chunk| removed.contains(chunk.app)).for_each(Chunk::clear);
        self.record_chunks(chunks, &name.writer, name.first, lowest).await
    }

    /// The revision that removed the app; `None` if it was not removed, or was provisioned since. The store forgets the
    /// oldest of many removals.
    pub async fn removal(&self, app: &AppKey) -> Result<Option<Revision>, StoreError> {
        let mut score = cmd("ZSCORE");
        let found: Option<f64> = read(self.query(score.arg(self.keys.removed()).arg(name_of(app))).await?)?;
        Ok(found.map(|revision| Revision::stored(revision as i64)))
    }

    /// Ends [`Self::hold_call`]: a later [`Events::record`] of the same records uses the same name.
    pub fn give_back_call(&self, records: &Arc<Records>, name: &CallName) {
        self.calls.give_back(records, name.first);
    }

    /// Ends the name of records that are stored.
    pub fn end_call(&self, name: &CallName) {
        if name.writer == self.calls.writer {
            self.calls.release(name.first);
        }
    }

    /// The lowest number of a call that may be repeated.
    #[cfg(test)]
    pub fn lowest_call(&self) -> Option<u64> {
        self.calls.lowest()
    }

    async fn record_chunks(
        &self,
        chunks: Vec<Chunk<'_>>,
        writer: &str,
        first: u64,
        lowest: u64,
    ) -> Result<u64, StoreError> {
        let mut held = 0;
        for (number, chunk) in (first..).zip(chunks).filter(|(_, chunk)| !chunk.is_empty()) {
            held += self.record_chunk(chunk, writer, number, lowest).await?;
        }
        Ok(held)
    }

    async fn record_chunk(&self, chunk: Chunk<'_>, writer: &str, number: u64, lowest: u64) -> Result<u64, StoreError> {
        let Chunk { app, feedback, log, .. } = chunk;
        let mut call = RECORD.prepare_invoke();
        self.feedback_keys(&mut call, app).key(self.keys.held(app)).key(self.keys.holds());
        call.key(self.keys.log(app)).key(self.keys.calls(writer));
        call.arg(self.new_epoch()).arg(name_of(app)).arg(DOUBTFUL).arg(number).arg(lowest);
        call.arg(DISCONNECTIONS_MAX).arg(REPEATED_WITHIN.as_millis() as u64).arg(feedback.len());
        call.arg(feedback).arg(log);
        read(self.run(&call).await?)
    }
}

/// Cuts records into calls, in their order within each app. The same records are always cut the same way.
fn chunks(records: &Records) -> Result<Vec<Chunk<'_>>, StoreError> {
    let mut chunks = Vec::new();
    for entry in &records.feedback {
        let value = feedback::stored(entry);
        room_for(&mut chunks, &entry.app, entry.token.len() + value.len()).feedback.push((&entry.token, value));
    }
    for entry in &records.disconnections {
        let value = log::stored(entry)?;
        room_for(&mut chunks, &entry.app, value.len()).log.push(value);
    }
    Ok(chunks)
}

impl Chunk<'_> {
    fn has_room(&self, bytes: usize) -> bool {
        self.bytes + bytes <= CALL_BYTES && self.feedback.len() + self.log.len() < CALL_ENTRIES
    }
}

/// The last chunk if it is this app's and has room, else a new one.
fn room_for<'a, 'b>(chunks: &'b mut Vec<Chunk<'a>>, app: &'a AppKey, bytes: usize) -> &'b mut Chunk<'a> {
    match chunks.last_mut() {
        Some(last) if last.app == app && last.has_room(bytes) => last.bytes += bytes,
        _ => chunks.push(Chunk { app, bytes, feedback: Vec::new(), log: Vec::new() }),
    }
    let last = chunks.len() - 1;
    &mut chunks[last]
}

impl Durability for Redis {
    /// Fails while the server is full or takes no writes.
    fn try_writing(&self) -> Pending<'_, ()> {
        Box::pin(async move {
            let mut call = TRY_WRITING.prepare_invoke();
            call.key(self.keys.meta()).arg(self.new_epoch());
            self.run(&call).await.map(drop)
        })
    }

    /// Asks for the format of what is stored.
    fn look(&self) -> Pending<'_, ()> {
        Box::pin(async move {
            let mut get = redis::cmd("HGET");
            let format: Option<String> = read(self.query(get.arg(self.keys.meta()).arg("format")).await?)?;
            match format.as_deref() {
                None | Some(FORMAT) => Ok(()),
                Some(_) => Err(odd("keys of a newer pyapns")),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::redis_server::RedisServer;
    use super::super::{Link, RedisUrl, Settings};
    use super::*;
    use crate::model::Environment;
    use crate::store::contract::{Note, dead, failure, key, shop};
    use crate::store::{Cursor, FeedbackLog};

    #[tokio::test]
    async fn a_call_that_arrives_long_after_its_repeat_changes_nothing() {
        let server = RedisServer::start();
        let settings = Settings::new(RedisUrl::parse(&server.url()).unwrap());
        let store = Redis::new(Link::new(&settings).unwrap(), "p:");
        let records =
            Arc::new(Records { feedback: vec![dead(shop(), "aa", 1.0)], disconnections: vec![failure(shop(), 1)] });
        // Its packets are held up in the network.
        let late = store.calls.begin(&records, 1);
        store.record(Arc::clone(&records)).await.unwrap();
        store.note(vec![dead(shop(), "bb", 1.0)], vec![failure(shop(), 2)]).await.unwrap();
        store.note(vec![], vec![failure(shop(), 3)]).await.unwrap();
        let read = store.feedback(shop(), Cursor::START, 10).await.unwrap().cursor;
        assert_eq!(store.acknowledge_feedback(shop(), read).await.unwrap(), 2);
        let chunk = chunks(&records).unwrap().pop().unwrap();
        assert_eq!(store.record_chunk(chunk, &store.calls.writer, late.first, late.lowest).await.unwrap(), 0);
        let counts = Counts { feedback: 0, held: 0, disconnections: 3 };
        assert_eq!(store.counts(shop()).await.unwrap(), counts, "neither an entry twice nor one that was acknowledged");
    }

    #[test]
    fn large_records_are_cut_into_calls_of_bounded_size_in_their_order() {
        let other = key("com.example.other", Environment::Sandbox);
        let mut feedback: Vec<_> = (0..5_000).map(|at| dead(shop(), &format!("{at:064x}"), 1.0)).collect();
        feedback.push(dead(other.clone(), "aa", 1.0));
        let disconnections = (0..2_000).map(|number| failure(other.clone(), number)).collect();
        let records = Records { feedback, disconnections };
        let chunks = chunks(&records).unwrap();
        assert!(chunks.iter().all(|chunk| chunk.bytes <= CALL_BYTES));
        assert_eq!(chunks.len(), 5_000 / CALL_ENTRIES + (1 + 2_000usize).div_ceil(CALL_ENTRIES));
        let tokens = chunks.iter().flat_map(|chunk| chunk.feedback.iter().map(|(token, _)| *token));
        assert!(tokens.eq(records.feedback.iter().map(|entry| entry.token.as_str())));
        assert_eq!(chunks.iter().map(|chunk| chunk.log.len()).sum::<usize>(), 2_000);
    }
}
