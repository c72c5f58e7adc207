//! The ledger: every request in order of arrival, with its result. Tests compare clients with it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::base64_bytes;
use super::pump::Field;
use super::rules::{Caller, Environment};
use super::site::{Call, Service};

const TWENTY_MINUTES_MS: i64 = 20 * 60 * 1000;

/// The amount of detail that the ledger keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerMode {
    /// Every request, and the number of acceptances of each apns-id.
    Full,
    /// Totals only: memory stays constant for any number of requests.
    Counts,
}

/// A request whose body ended (or whose headers ended, if it was refused over the stream limit).
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// Counts from 0 and never restarts, not even after a reset.
    pub sequence: u64,
    /// Since the simulator started, monotonic.
    #[serde(rename = "time_us", serialize_with = "microseconds")]
    pub time: Duration,
    /// Connections count from 1.
    pub connection: u64,
    pub stream: u32,
    #[serde(serialize_with = "behind_arc")]
    pub identity: Option<Arc<Caller>>,
    /// The service that the request is for.
    pub service: Service,
    /// The environment of the listener.
    pub environment: Environment,
    /// `None` for a path or method that the service does not have.
    pub call: Option<Call>,
    /// The apns-id in the answer (apns-request-id unless it is a device push): the caller's, or a generated one.
    pub apns_id: String,
    /// Method and path of anything but a device push.
    pub request: Option<String>,
    /// The channel that was created, else the one in the request.
    pub channel_id: Option<String>,
    pub token: String,
    pub topic: Option<String>,
    pub push_type: Option<String>,
    pub priority: Option<String>,
    pub expiration: Option<String>,
    pub collapse_id: Option<String>,
    #[serde(serialize_with = "text_or_base64")]
    pub body: Bytes,
    /// `true` if the rules (or a scripted answer) decided on it; `false` if it was reset, parked or refused before
    /// processing.
    pub processed: bool,
    /// Decided to succeed, answered or not: Apple would deliver it, or did the channel call.
    pub accepted: bool,
    /// Status decided on, `None` when not processed.
    pub status: Option<u16>,
    pub reason: Option<String>,
    /// The answer was passed to the connection.
    pub answered: bool,
    /// The fault that was applied, in words.
    pub fault: Option<String>,
    /// The name of its provider token: the same for the same token.
    #[serde(serialize_with = "behind_arc")]
    pub jwt: Option<Arc<str>>,
    /// The header fields in order, each with its representation, on connections that record them.
    pub headers: Option<Vec<Field>>,
}

/// Sums since the start or the last reset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// TCP connections accepted, including failed ones.
    pub sockets: u64,
    /// The part of them that was broken because their source connected too often.
    pub blocked: u64,
    /// TLS connections.
    pub connections: u64,
    pub failed_handshakes: u64,
    pub requests: u64,
    pub processed: u64,
    /// Device pushes and broadcasts.
    pub accepted: u64,
    pub answered: u64,
    /// Requests to channel management.
    pub channel_calls: u64,
    /// Distinct apns-ids among the accepted. Always 0 in `counts` mode.
    pub accepted_ids: u64,
    /// RST_STREAM frames a script asked for.
    pub resets: u64,
    /// Streams refused because they broke MAX_CONCURRENT_STREAMS.
    pub over_limit: u64,
    /// GOAWAY frames.
    pub goaways: u64,
    /// The maximum number of concurrent streams of a connection.
    pub streams_highest: u64,
    /// PRIORITY frames received.
    pub priority_frames: u64,
    /// Distinct provider tokens. Always 0 in `counts` mode.
    pub jwts: u64,
    /// The maximum number of new ones within 20 minutes, by the simulator's clock.
    pub jwts_in_20_minutes: u64,
    /// Decided statuses, including unsent ones.
    pub statuses: BTreeMap<u16, u64>,
}

/// The entries and totals that a connection adds in one batch.
#[derive(Debug, Default)]
pub struct Batch {
    /// Its `statuses` leave out the 200s that `accepted` counts.
    pub totals: Totals,
    pub entries: Vec<Entry>,
    /// Sequence numbers of earlier entries whose answers were sent since.
    pub answered: Vec<u64>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.totals == Totals::default()
    }
}

/// Shared by all connections; one lock per batch.
pub struct Ledger {
    mode: LedgerMode,
    started: Instant,
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    totals: Totals,
    entries: Vec<Entry>,
    /// Sequence number of the first entry still here.
    base: u64,
    accepted: HashMap<String, u64>,
    /// Provider tokens, and when each was first seen.
    jwts: Vec<(Arc<str>, i64)>,
}

impl Ledger {
    pub fn new(mode: LedgerMode) -> Self {
        Self { mode, started: Instant::now(), inner: Mutex::default(), changed: Notify::new() }
    }

    pub fn mode(&self) -> LedgerMode {
        self.mode
    }

    /// Since the simulator started.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub fn totals(&self) -> Totals {
        self.lock().totals.clone()
    }

    /// Every entry since the last reset.
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().entries.clone()
    }

    /// Up to `limit` entries from sequence number `cursor` on, and the cursor to go on with.
    pub fn page(&self, cursor: u64, limit: usize) -> (Vec<Entry>, u64) {
        let inner = self.lock();
        let skipped = usize::try_from(cursor.saturating_sub(inner.base)).unwrap_or(usize::MAX);
        let page: Vec<Entry> = inner.entries.iter().skip(skipped).take(limit).cloned().collect();
        let next = page.last().map_or(cursor, |last| last.sequence + 1);
        (page, next)
    }

    /// Returns how often the notification with this apns-id (of either case) was accepted. Always 0 in `counts` mode.
    pub fn accepted(&self, apns_id: &str) -> u64 {
        self.lock().accepted.get(&apns_id.to_ascii_lowercase()).copied().unwrap_or(0)
    }

    /// Returns how often each apns-id (lower case) was accepted.
    pub fn accepted_ids(&self) -> HashMap<String, u64> {
        self.lock().accepted.clone()
    }

    /// Waits until the totals satisfy `reached`, and returns them.
    pub async fn wait_until(&self, mut reached: impl FnMut(&Totals) -> bool) -> Totals {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let totals = self.totals();
            if reached(&totals) {
                return totals;
            }
            changed.await;
        }
    }

    /// Adds a batch, emptying it, and returns the sequence number of its first entry.
    pub fn append(&self, batch: &mut Batch, now_ms: i64) -> u64 {
        let mut inner = self.lock();
        inner.note_jwts(&batch.entries, now_ms);
        let first = inner.base + inner.entries.len() as u64;
        for (sequence, mut entry) in (first..).zip(batch.entries.drain(..)) {
            entry.sequence = sequence;
            if entry.accepted && entry.service != Service::Channels {
                *inner.accepted.entry(entry.apns_id.to_ascii_lowercase()).or_default() += 1;
            }
            inner.entries.push(entry);
        }
        for sequence in batch.answered.drain(..) {
            let base = inner.base;
            let at = sequence.checked_sub(base).and_then(|at| usize::try_from(at).ok());
            if let Some(entry) = at.and_then(|at| inner.entries.get_mut(at)) {
                entry.answered = true;
            }
        }
        inner.totals.add(&std::mem::take(&mut batch.totals));
        inner.totals.accepted_ids = inner.accepted.len() as u64;
        drop(inner);
        self.changed.notify_waiters();
        first
    }

    /// Adds events other than requests to the totals.
    pub fn add(&self, more: &Totals) {
        self.lock().totals.add(more);
        self.changed.notify_waiters();
    }

    /// Clears entries and totals. Sequence numbers continue.
    pub fn reset(&self) {
        let mut inner = self.lock();
        let base = inner.base + inner.entries.len() as u64;
        *inner = Inner { base, ..Inner::default() };
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn note_jwts(&mut self, entries: &[Entry], now_ms: i64) {
        for jwt in entries.iter().filter_map(|entry| entry.jwt.as_ref()) {
            // The newest is the usual one.
            if self.jwts.iter().rev().any(|(known, _)| known == jwt) {
                continue;
            }
            self.jwts.push((Arc::clone(jwt), now_ms));
            let recent = self.jwts.iter().filter(|(_, first)| now_ms - first < TWENTY_MINUTES_MS).count() as u64;
            self.totals.jwts = self.jwts.len() as u64;
            self.totals.jwts_in_20_minutes = self.totals.jwts_in_20_minutes.max(recent);
        }
    }
}

impl Totals {
    fn add(&mut self, more: &Totals) {
        self.sockets += more.sockets;
        self.blocked += more.blocked;
        self.connections += more.connections;
        self.failed_handshakes += more.failed_handshakes;
        self.requests += more.requests;
        self.processed += more.processed;
        self.accepted += more.accepted;
        self.answered += more.answered;
        self.channel_calls += more.channel_calls;
        self.resets += more.resets;
        self.over_limit += more.over_limit;
        self.goaways += more.goaways;
        self.streams_highest = self.streams_highest.max(more.streams_highest);
        self.priority_frames += more.priority_frames;
        if more.accepted > 0 {
            *self.statuses.entry(200).or_default() += more.accepted;
        }
        for (status, count) in &more.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
    }
}

fn behind_arc<T: Serialize + ?Sized, S: serde::Serializer>(value: &Option<Arc<T>>, out: S) -> Result<S::Ok, S::Error> {
    value.as_deref().serialize(out)
}

fn microseconds<S: serde::Serializer>(time: &Duration, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_u64(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

/// Text as a string, anything else as `{"base64": "…"}`.
fn text_or_base64<S: serde::Serializer>(body: &Bytes, out: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Encoded<'a> {
        #[serde(serialize_with = "base64_bytes::serialize")]
        base64: &'a [u8],
    }
    match std::str::from_utf8(body) {
        Ok(text) => out.serialize_str(text),
        Err(_) => Encoded { base64: body }.serialize(out),
    }
}
