//! A fault tried on a node over REST: traffic before, during and after it, and the outcomes against the ledger
//! of Apple's stand-in.

use super::client::Client;
use super::world::{APP, World, token};
use serde_json::{Value, json};
use simulator::{Ending, GoAway, Script, When};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

/// Notifications in a request.
const BATCH: usize = 5;
/// Between two requests of the traffic, which waits for no answer.
const EVERY: Duration = Duration::from_millis(50);
/// No fault may leave a node broken for longer, once it is over.
const RECOVERED_WITHIN: Duration = Duration::from_secs(15);

/// The outcome of one notification.
#[derive(Debug, Clone)]
pub struct Told {
    pub outcome: String,
    pub reason: String,
    pub attempts: u64,
    pub token: String,
    /// Until its request was answered.
    pub took: Duration,
}

/// A node under a fault, with the outcomes that its callers received.
pub struct Trial {
    pub world: World,
    /// Of the requests, with its `?`.
    query: &'static str,
    sent: usize,
    told: HashMap<String, Told>,
}

impl Trial {
    /// The traffic before: all of it must be accepted.
    pub async fn begin(world: World, query: &'static str) -> Self {
        let mut trial = Self { world, query, sent: 0, told: HashMap::new() };
        trial.healthy("before").await;
        trial
    }

    async fn healthy(&mut self, when: &str) {
        let told = self.traffic(Duration::from_millis(500)).await;
        let tally = tally(&told);
        assert!(tally.keys().all(|how| how.starts_with("accepted")), "{when} the fault: {tally:?}");
    }

    /// Sets a script; with `afresh` the current connections end immediately, so that it applies to new ones.
    pub async fn script(&self, script: Script, afresh: bool) {
        let end = afresh.then(|| GoAway::new(When::Now, Ending::Cut));
        let script = Script { goaway: end.or(script.goaway), ..script };
        self.world.simulator.set_script(script).expect("a good script");
        self.world.simulator.script_applied().await;
    }

    /// Sends in an open loop for this long and returns the outcomes.
    pub async fn traffic(&mut self, span: Duration) -> Vec<Told> {
        self.traffic_to(span, token).await
    }

    /// Sends to the caller's tokens.
    pub async fn traffic_to(&mut self, span: Duration, token: impl Fn(usize) -> String) -> Vec<Told> {
        let (end, mut clock, mut callers) = (Instant::now() + span, interval(EVERY), JoinSet::new());
        // Once at least, however late it has become.
        loop {
            clock.tick().await;
            let numbers = self.sent..self.sent + BATCH;
            self.sent += BATCH;
            let one = |number| json!({"token": token(number), "payload": {"aps": {"badge": number}}});
            let body = Value::Array(numbers.map(one).collect()).to_string();
            let (address, path) = (self.world.node.address, format!("{APP}/notifications{}", self.query));
            callers.spawn(async move {
                let began = Instant::now();
                let answer = Client::connect(address).await.post(&path, body).await;
                assert_eq!(answer.status, 201, "{answer:?}");
                (answer.response().clone(), began.elapsed())
            });
            if Instant::now() + EVERY >= end {
                break;
            }
        }
        let mut all = Vec::new();
        while let Some(answered) = callers.join_next().await {
            let (answer, took) = answered.expect("a caller without a fault");
            all.extend(answer.as_array().expect("a list").iter().map(|outcome| self.note(outcome, took)));
        }
        all
    }

    fn note(&mut self, outcome: &Value, took: Duration) -> Told {
        let text = |field: &str| outcome[field].as_str().unwrap_or_default().to_owned();
        let attempts = outcome["attempts"].as_u64().expect("a number");
        let told = Told { outcome: text("outcome"), reason: text("reason"), attempts, token: text("token"), took };
        assert!(self.told.insert(text("apns_id"), told.clone()).is_none(), "two outcomes for one notification");
        told
    }

    /// The fault is over: how long until something is accepted.
    pub async fn recover(&mut self) -> Duration {
        self.script(Script::default(), false).await;
        let began = Instant::now();
        loop {
            let told = self.traffic(Duration::from_millis(1)).await;
            if told.iter().all(|told| told.outcome == "accepted") {
                return began.elapsed();
            }
            assert!(began.elapsed() < RECOVERED_WITHIN, "{:?}", tally(&told));
        }
    }

    /// The traffic after, which must all be accepted, and the ledgers: one outcome each, nothing lost, none doubled but what
    /// was resent on request. Prints what it found.
    pub async fn end(mut self, name: &str, recovery: Duration) {
        self.healthy("after").await;
        assert_eq!(self.told.len(), self.sent, "{name}: one outcome each");
        let ledger = self.world.simulator.ledger().accepted_ids();
        for (id, told) in &self.told {
            let times = ledger.get(id).copied().unwrap_or(0);
            let may_be_there = matches!(told.outcome.as_str(), "accepted" | "unknown");
            assert!(
                told.outcome != "accepted" || times > 0,
                "{name}: {id} was reported accepted, and Apple does not have it"
            );
            assert!(times == 0 || may_be_there, "{name}: Apple has {id}, which was reported {told:?}");
            let resent = self.query.contains("retry_unknown=true") && told.attempts > 1;
            assert!(
                times <= 1 || resent,
                "{name}: Apple has {id} {times} times, and no caller requested that: {told:?}"
            );
        }
        assert!(
            ledger.keys().all(|id| self.told.contains_key(id)),
            "{name}: Apple has a notification that was not sent"
        );
        let doubled = ledger.values().filter(|times| **times > 1).count();
        println!(
            "{name}: {} sent, {doubled} doubled on request, recovered in {:.2} s, {:?}",
            self.sent,
            recovery.as_secs_f64(),
            tally(self.told.values())
        );
        self.world.stop().await;
    }
}

/// Returns the number of notifications by outcome and reason.
pub fn tally<'a>(told: impl IntoIterator<Item = &'a Told>) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for told in told {
        *tally.entry(format!("{} {}", told.outcome, told.reason).trim_end().to_owned()).or_default() += 1;
    }
    tally
}
