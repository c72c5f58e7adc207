//! The callers. They share this program's one thread, so that little of the machine is theirs.

pub mod connection;
pub mod message;
mod stream;

use crate::latency::{self, Percentiles};
use crate::pair;
use crate::process::Program;
use crate::shape::{APPS, Form, LANES, Shape};
use bytes::Bytes;
use connection::{CREATED, Connection};
use message::{LANES_APP, SIGNING_KEY_APP, app_path, post};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// Connections of an open loop: enough that a request rarely waits for one.
const PACED_CALLERS: usize = 64;

/// Gives the daemon its apps: [`APPS`] with the simulator's certificate, one with its signing key, and one of [`LANES`].
pub fn provision(daemon: &Program, simulator: &Program) {
    let said = simulator.json();
    let read = |key: &str| std::fs::read_to_string(said[key].as_str().expect("a path")).expect("a credential");
    let (certificate, key) = (read("certificate_file"), read("key_file"));
    let key = serde_json::json!({
        "key": key, "key_id": said["key_id"], "team_id": said["team_id"], "topic": said["topic"],
    });
    let lanes = serde_json::json!({"certificate": certificate, "lanes": LANES});
    runtime().block_on(async {
        let mut connection = Connection::open(daemon.address()).await;
        for app in 0..APPS {
            connection.ask(&post(&app_path(app), &certificate), CREATED).await;
        }
        connection.ask(&post(&app_path(SIGNING_KEY_APP), &key.to_string()), CREATED).await;
        connection.ask(&post(&app_path(LANES_APP), &lanes.to_string()), CREATED).await;
    });
}

/// Gives each node of the pair the app that is forwarded.
pub fn provision_pair(pair: &Program, simulator: &Program) {
    let said = simulator.json();
    let file = said["certificate_file"].as_str().expect("a path");
    let certificate = std::fs::read_to_string(file).expect("a credential");
    runtime().block_on(async {
        for address in pair::addresses(pair) {
            Connection::open(&address).await.ask(&post(&app_path(0), &certificate), CREATED).await;
        }
    });
}

/// Replaces the simulator's script.
pub fn script(simulator: &Program, script: &str) {
    let said = simulator.json();
    let control = said["control"].as_str().expect("a control port");
    runtime().block_on(async {
        Connection::open(control).await.ask(&post("/script", script), b"HTTP/1.1 200 ").await;
    });
}

/// A shape's load on a daemon, ready to run.
pub struct Load {
    shape: &'static Shape,
    address: String,
    runtime: Runtime,
    messages: Vec<Vec<Bytes>>,
}

/// The number of notifications sent, and the time that it took.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    pub notifications: usize,
    pub wall: Duration,
}

impl Load {
    pub fn new(daemon: &Program, shape: &'static Shape) -> Self {
        let messages = (0..shape.callers).map(|caller| message::of_caller(shape, caller)).collect();
        Self { shape, address: daemon.address().to_owned(), runtime: runtime(), messages }
    }

    /// Closed loop: every caller sends its next request when it has the answer to the last, about `notifications` in all.
    /// Panics unless each of them is accepted.
    pub fn run(&self, notifications: usize) -> Sent {
        let each = self.shape.requests_per_caller(notifications);
        let wall = match self.shape.form {
            Form::Lines(count) => {
                self.runtime.block_on(stream::run(&self.address, self.messages[0].clone(), each, count))
            }
            _ => self.runtime.block_on(self.requests(each)),
        };
        Sent { notifications: each * self.shape.callers * self.shape.form.notifications(), wall }
    }

    async fn requests(&self, each: usize) -> Duration {
        let mut callers = JoinSet::new();
        let mut connections = Vec::new();
        for _ in 0..self.shape.callers {
            connections.push(Connection::open(&self.address).await);
        }
        let began = Instant::now();
        for (mut connection, messages) in connections.into_iter().zip(&self.messages) {
            let (messages, count) = (messages.clone(), self.shape.form.notifications());
            callers.spawn(async move {
                for request in messages.iter().cycle().take(each) {
                    connection.send(request, count).await;
                }
            });
        }
        while let Some(done) = callers.join_next().await {
            done.expect("a caller without a fault");
        }
        began.elapsed()
    }

    /// Open loop: requests leave when they are meant to, on as many connections as it takes. Their latencies.
    pub fn paced(&self, requests: usize, per_second: f64) -> Percentiles {
        self.runtime.block_on(async {
            let mut callers = JoinSet::new();
            let mut connections = Vec::new();
            for _ in 0..PACED_CALLERS {
                connections.push(Connection::open(&self.address).await);
            }
            let due = Arc::new(Mutex::new(latency::pace(requests, per_second)));
            for (caller, mut connection) in connections.into_iter().enumerate() {
                let messages = self.messages[caller % self.messages.len()].clone();
                let (due, count) = (Arc::clone(&due), self.shape.form.notifications());
                callers.spawn(async move {
                    let mut latencies = Vec::new();
                    for request in messages.iter().cycle() {
                        let Some(due) = due.lock().await.recv().await else { break };
                        connection.send(request, count).await;
                        latencies.push(due.elapsed());
                    }
                    latencies
                });
            }
            Percentiles::of(callers.join_all().await.concat())
        })
    }

    /// Closed loop without an end: notifications a second, and the count of `meter` during that time, once it runs
    /// evenly.
    pub fn steady<M: std::ops::Sub<Output = M>>(
        &self,
        warm_up: Duration,
        measured: Duration,
        meter: impl Fn() -> M,
    ) -> (Sent, M) {
        let (done, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        self.runtime.block_on(async {
            let mut callers = JoinSet::new();
            for messages in self.messages.clone() {
                let mut connection = Connection::open(&self.address).await;
                let (done, stop, count) = (Arc::clone(&done), Arc::clone(&stop), self.shape.form.notifications());
                callers.spawn(async move {
                    for request in messages.iter().cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
                        connection.send(request, count).await;
                        done.fetch_add(count, Ordering::Relaxed);
                    }
                });
            }
            tokio::time::sleep(warm_up).await;
            let (began, before, meter_before) = (Instant::now(), done.load(Ordering::Relaxed), meter());
            tokio::time::sleep(measured).await;
            let sent = Sent { notifications: done.load(Ordering::Relaxed) - before, wall: began.elapsed() };
            let metered = meter() - meter_before;
            stop.store(true, Ordering::Relaxed);
            callers.join_all().await;
            (sent, metered)
        })
    }
}

/// One thread.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
