//! The outcomes that callers received, compared with the simulator's ledger.

use crate::support::client::Client;
use crate::support::world::{APP, World, token};
use serde_json::{Value, json};
use simulator::{Ledger, Totals};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// Notifications in a request.
const BATCH: usize = 50;
/// Callers side by side.
const CALLERS: usize = 4;

/// Number of notifications by outcome and reason: `accepted`, `not_sent ServiceUnavailable`.
pub type Tally = BTreeMap<String, usize>;

/// The outcome that a caller received for one notification.
#[derive(Debug, Clone)]
pub struct Told {
    pub outcome: String,
    pub status: Option<u64>,
    pub reason: Option<String>,
    pub attempts: u64,
    /// The caller prefers a duplicate to a loss.
    retry_unknown: bool,
}

/// The outcomes that the callers of one app received, by apns-id.
pub struct Outcomes {
    app: String,
    /// The given `tokens`, else a new token for each notification.
    tokens: Vec<String>,
    next: usize,
    told: HashMap<String, Told>,
}

impl Outcomes {
    pub fn new() -> Self {
        Self::of(APP)
    }

    /// The outcomes of another app.
    pub fn of(app: &str) -> Self {
        Self { app: app.to_owned(), tokens: Vec::new(), next: 0, told: HashMap::new() }
    }

    /// Sends to these device tokens from now on, in turn.
    pub fn to(&mut self, tokens: Vec<String>) {
        self.tokens = tokens;
    }

    /// Sends so many over REST, a few requests side by side, and records the outcomes.
    pub async fn send(&mut self, world: &World, count: usize) -> Tally {
        self.send_with(world, "", count).await
    }

    /// Sends with a query, which begins with `?`.
    pub async fn send_with(&mut self, world: &World, query: &str, count: usize) -> Tally {
        let path = format!("{}/notifications{query}", self.app);
        let mut callers = tokio::task::JoinSet::new();
        let batches: Vec<Value> = (0..count.div_ceil(BATCH))
            .map(|at| Value::Array((0..BATCH.min(count - at * BATCH)).map(|_| self.next_one()).collect()))
            .collect();
        for caller in 0..CALLERS.min(batches.len()) {
            let mine: Vec<String> = batches.iter().skip(caller).step_by(CALLERS).map(Value::to_string).collect();
            let (mut client, path) = (Client::connect(world.node.address).await, path.clone());
            callers.spawn(async move {
                let mut answers = Vec::new();
                for batch in mine {
                    let answer = client.post(&path, batch).await;
                    assert_eq!(answer.status, 201, "{answer:?}");
                    answers.extend(answer.response().as_array().expect("a list").clone());
                }
                answers
            });
        }
        let mut tally = Tally::new();
        let mut received = 0;
        while let Some(answers) = callers.join_next().await {
            for answer in answers.expect("a caller without a fault") {
                received += 1;
                self.note(&answer, query.contains("retry_unknown=true"), &mut tally);
            }
        }
        assert_eq!(received, count, "one outcome each");
        tally
    }

    /// Sends while something else happens, which waits for what it needs itself.
    pub async fn send_during(&mut self, world: &World, count: usize, play: impl Future<Output = ()>) -> Tally {
        tokio::join!(self.send(world, count), play).0
    }

    fn next_one(&mut self) -> Value {
        let number = self.next;
        self.next += 1;
        let token = match self.tokens.len() {
            0 => token(number),
            count => self.tokens[number % count].clone(),
        };
        json!({"token": token, "payload": {"aps": {"badge": number}}})
    }

    fn note(&mut self, outcome: &Value, retry_unknown: bool, tally: &mut Tally) {
        let id = outcome["apns_id"].as_str().expect("an apns-id").to_owned();
        let told = Told {
            outcome: outcome["outcome"].as_str().expect("an outcome").to_owned(),
            status: outcome["status"].as_u64(),
            reason: outcome["reason"].as_str().map(str::to_owned),
            attempts: outcome["attempts"].as_u64().expect("a number"),
            retry_unknown,
        };
        let reason = told.reason.as_ref().map(|reason| format!(" {reason}")).unwrap_or_default();
        *tally.entry(format!("{}{reason}", told.outcome)).or_default() += 1;
        assert!(self.told.insert(id, told).is_none(), "two outcomes for one notification");
    }

    /// All outcomes so far.
    pub fn told(&self) -> impl Iterator<Item = &Told> {
        self.told.values()
    }

    /// Compares with the ledger. Every notification reported accepted is there. One reported otherwise is not, unless
    /// it is `unknown`. None appears twice, unless the caller allowed a resend.
    pub fn check(&self, world: &World) {
        let arrived = world.simulator.ledger().accepted_ids();
        for (id, told) in &self.told {
            let times = arrived.get(id).copied().unwrap_or(0);
            match told.outcome.as_str() {
                "accepted" => assert!(times >= 1 && told.status == Some(200), "{id}: Apple never had it: {told:?}"),
                "unknown" => {}
                _ => assert_eq!(times, 0, "{id}: Apple has it: {told:?}"),
            }
            let resent = told.retry_unknown && told.attempts > 1;
            assert!(times <= 1 || resent, "{id}: {times} times at Apple: {told:?}");
        }
        let totals = world.simulator.ledger().totals();
        assert_eq!(totals.over_limit, 0, "the stream limit was kept: {totals:?}");
    }

    /// Sends on until all of a request is accepted; prints and returns how long that took since `since`.
    pub async fn recover(&mut self, world: &World, what: &str, since: Instant, within: Duration) -> Duration {
        loop {
            let tally = self.send(world, 20).await;
            let took = since.elapsed();
            if only(&tally, "accepted") {
                println!("{what}: recovered {} ms after it began or was lifted", took.as_millis());
                return took;
            }
            assert!(took < within, "{what}: after {took:?} still {tally:?}");
        }
    }
}

/// Returns `true` if all ended with this outcome.
pub fn only(tally: &Tally, how: &str) -> bool {
    tally.keys().all(|key| key == how)
}

/// Waits until Apple has so many more requests than now.
pub async fn after(ledger: &Ledger, requests: u64) -> Totals {
    let before = ledger.totals().requests;
    ledger.wait_until(|totals| totals.requests >= before + requests).await
}
