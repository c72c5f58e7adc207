//! Load of plain sends at a steady rate, and two ledgers: the callers' and the simulator's.
//!
//! The loop is open: each request has a time at which it starts, whatever has become of earlier ones. Each notification
//! has a token of its own, so the ledgers can be compared without the help of the program under test.

mod connections;
pub mod told;

use super::world::to;
use connections::{Connections, Exchanged};
use serde::Deserialize;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
pub use told::{End, Note, Told, Verdict};

/// Requests without an answer at one time. A load that needs more waits, which [`Told::latest_start`] shows.
const IN_FLIGHT_MAX: usize = 2_000;
/// A caller waits for this much longer than the timeout that the request names.
const PATIENCE: Duration = Duration::from_secs(5);

static LOADS: AtomicUsize = AtomicUsize::new(1);

/// The settings of a load.
#[derive(Debug, Clone)]
pub struct Load {
    fronts: Vec<SocketAddr>,
    apps: Vec<String>,
    per_second: usize,
    per_request: usize,
    timeout_seconds: u32,
}

/// A load that goes on until it is stopped.
pub struct Running {
    shared: Arc<Shared>,
    driver: JoinHandle<Vec<Note>>,
}

struct Shared {
    load: Load,
    /// Part of each token, so that the tokens of two loads differ.
    stamp: usize,
    fronts: Mutex<Vec<SocketAddr>>,
    connections: Connections,
    began: Instant,
    is_over: AtomicBool,
    /// Notifications whose requests have started.
    sent: AtomicUsize,
}

impl Load {
    /// 200 notifications a second, each in a request of its own, to the paths of `apps` in turn, through the addresses of
    /// `fronts` in turn. A request names a timeout of 8 seconds.
    pub fn new(fronts: &[SocketAddr], apps: &[String]) -> Self {
        assert!(!fronts.is_empty() && !apps.is_empty(), "a load has an address and an app");
        Self { fronts: fronts.into(), apps: apps.into(), per_second: 200, per_request: 1, timeout_seconds: 8 }
    }

    /// Notifications a second.
    pub fn per_second(self, per_second: usize) -> Self {
        Self { per_second, ..self }
    }

    /// Notifications a request.
    pub fn per_request(self, per_request: usize) -> Self {
        Self { per_request, ..self }
    }

    /// The timeout that each request names.
    pub fn timeout_seconds(self, timeout_seconds: u32) -> Self {
        Self { timeout_seconds, ..self }
    }

    /// Starts it on the runtime of the caller.
    pub fn start(self) -> Running {
        let shared = Arc::new(Shared {
            stamp: LOADS.fetch_add(1, Ordering::Relaxed),
            fronts: Mutex::new(self.fronts.clone()),
            connections: Connections::default(),
            began: Instant::now(),
            is_over: AtomicBool::new(false),
            sent: AtomicUsize::new(0),
            load: self,
        });
        let driver = tokio::spawn(drive(Arc::clone(&shared)));
        Running { shared, driver }
    }

    /// Runs it for so long, and waits for all answers.
    pub async fn run(self, how_long: Duration) -> Told {
        let running = self.start();
        sleep(how_long).await;
        running.stop().await
    }
}

impl Running {
    /// The token of the notification of that number, sent already or not.
    pub fn token(&self, number: usize) -> String {
        token(self.shared.stamp, number)
    }

    /// Notifications whose requests have started.
    pub fn sent(&self) -> usize {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// The time since the load began, as [`Note::at`] counts it.
    pub fn now(&self) -> Duration {
        self.shared.began.elapsed()
    }

    /// Sends through these addresses from now on.
    pub fn set_fronts(&self, fronts: &[SocketAddr]) {
        *self.shared.fronts.lock().expect("no panic") = fronts.into();
    }

    /// Starts no more requests, and waits for the answers to all that were started.
    pub async fn stop(self) -> Told {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let mut notes = self.driver.await.expect("a load without a fault");
        notes.sort_by_key(|note| note.number);
        Told { stamp: self.shared.stamp, notes }
    }
}

/// A device token of 64 hex digits, which says its number.
fn token(stamp: usize, number: usize) -> String {
    // Lanes are chosen by the whole token.
    format!("{stamp:08x}{number:08x}{:048x}", (number as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced))
}

async fn drive(shared: Arc<Shared>) -> Vec<Note> {
    let gap = Duration::from_secs(shared.load.per_request as u64) / shared.load.per_second as u32;
    let places = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let (mut callers, mut notes) = (JoinSet::new(), Vec::new());
    for request in 0.. {
        let meant = gap * request as u32;
        sleep_until(shared.began + meant).await;
        let place = Arc::clone(&places).acquire_owned().await.expect("never closed");
        if shared.is_over.load(Ordering::Relaxed) {
            break;
        }
        let caller = Arc::clone(&shared);
        callers.spawn(async move {
            let notes = caller.call(request, meant).await;
            drop(place);
            notes
        });
        while let Some(told) = callers.try_join_next() {
            notes.extend(told.expect("a caller without a fault"));
        }
    }
    while let Some(told) = callers.join_next().await {
        notes.extend(told.expect("a caller without a fault"));
    }
    notes
}

/// An answer, as far as the ledger needs it.
#[derive(Deserialize)]
struct Answer {
    response: Option<Value>,
    reason: Option<String>,
}

impl Shared {
    async fn call(&self, request: usize, meant: Duration) -> Vec<Note> {
        let Load { apps, per_request, timeout_seconds, .. } = &self.load;
        let first = request * per_request;
        self.sent.fetch_add(*per_request, Ordering::Relaxed);
        let app = request % apps.len();
        let mut list: Vec<Value> = (first..first + per_request).map(|number| to(&token(self.stamp, number))).collect();
        let body = if *per_request == 1 { list.remove(0) } else { Value::Array(list) };
        let path = format!("{}/notifications?timeout={timeout_seconds}", apps[app]);
        let fronts = self.fronts.lock().expect("no panic").clone();
        let started = self.began.elapsed();
        let until = self.began + started + Duration::from_secs(u64::from(*timeout_seconds)) + PATIENCE;
        // Each app goes through each front.
        let turn = request / apps.len() + app;
        let exchange = self.connections.exchange(&fronts, turn, &path, body.to_string());
        let exchanged = timeout_at(until, exchange).await.unwrap_or(Exchanged::Broken { front: None });
        let ended = self.began.elapsed();
        let (front, ends) = self.read(first, exchanged);
        let note = |(number, end)| Note { number, app, front, at: meant, started, ended, end };
        (first..).zip(ends).map(note).collect()
    }

    /// The end of each notification of a request.
    fn read(&self, first: usize, exchanged: Exchanged) -> (Option<SocketAddr>, Vec<End>) {
        let count = self.load.per_request;
        let (front, status, bytes) = match exchanged {
            Exchanged::Answered { front, status, body } => (front, status, body),
            Exchanged::Broken { front } => return (front, vec![End::Broken; count]),
            Exchanged::Unreached => return (None, vec![End::Unreached; count]),
        };
        let answer = serde_json::from_slice(&bytes).unwrap_or(Answer { response: None, reason: None });
        let list = match answer.response {
            Some(Value::Array(list)) => list,
            Some(one @ Value::Object(_)) if count == 1 => vec![one],
            _ => {
                let reason = answer.reason.unwrap_or_else(|| String::from_utf8_lossy(&bytes).into_owned());
                return (Some(front), vec![End::Refused { status, reason }; count]);
            }
        };
        assert_eq!(list.len(), count, "an outcome for each notification");
        let end = |(number, outcome): (usize, &Value)| {
            assert_eq!(outcome["token"], token(self.stamp, number), "the outcome of this notification");
            let text = |field: &str| outcome[field].as_str().unwrap_or_default().to_owned();
            End::Told { outcome: text("outcome"), reason: text("reason") }
        };
        (Some(front), (first..).zip(&list).map(end).collect())
    }
}
