//! Outcomes compared with the simulator's ledger, while connections end in every ordinary way.

use crate::support::client::Client;
use crate::support::full;
use crate::support::world::{APP, World, token};
use serde_json::{Value, json};
use simulator::{Act, Ending, Fault, GoAway, Script, TokenState, When};
use std::collections::{HashMap, HashSet};

const BATCH: usize = 100;
const CALLERS: usize = 5;
/// Connections that end in each phase.
const ENDINGS: usize = 5;
/// One token in a hundred is dead.
const DEAD_EVERY: usize = 100;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;

/// The outcomes that callers received, by apns-id.
#[derive(Default)]
struct Told {
    outcomes: HashMap<String, String>,
    /// Tokens that Apple said are dead.
    dead: Vec<String>,
    reasons: HashMap<String, usize>,
}

impl Told {
    fn note(&mut self, answer: &Value) {
        for outcome in answer.as_array().expect("a list") {
            let id = outcome["apns_id"].as_str().expect("an apns-id").to_owned();
            let kind = outcome["outcome"].as_str().expect("an outcome").to_owned();
            if outcome["status"] == 410 {
                self.dead.push(outcome["token"].as_str().expect("a token").to_owned());
            }
            *self.reasons.entry(format!("{kind}: {}", outcome["reason"])).or_default() += 1;
            assert_eq!(self.outcomes.insert(id, kind), None, "two outcomes for one notification");
        }
    }

    fn extend(&mut self, other: Self) {
        self.outcomes.extend(other.outcomes);
        self.dead.extend(other.dead);
        for (reason, count) in other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
    }

    fn ids(&self, kind: &str) -> HashSet<&str> {
        self.outcomes.iter().filter(|(_, told)| *told == kind).map(|(id, _)| id.as_str()).collect()
    }
}

fn dead_since(number: usize) -> i64 {
    1_700_000_000_000 + number as i64
}

/// Every `every` requests a connection ends so; some streams are refused, some reset after Apple has processed them.
fn script(ending: Ending, every: u64) -> Script {
    let fault = |every, act| Fault { every: Some(every), ..Fault::new(act) };
    Script {
        goaway: Some(GoAway::new(When::Requests(every), ending)),
        faults: vec![
            fault(every / 20, Act::Reset { code: REFUSED_STREAM, processed: false }),
            fault(every / 10, Act::Reset { code: CANCEL, processed: true }),
        ],
        ..Script::default()
    }
}

/// Sends the notifications `from..to` in batches, and records the outcomes.
async fn send(world: &World, from: usize, to: usize) -> Told {
    let batches: Vec<usize> = (from..to).step_by(BATCH).collect();
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let mine: Vec<usize> = batches.iter().copied().skip(caller).step_by(CALLERS).collect();
        let mut client = Client::connect(world.node.address).await;
        callers.spawn(async move {
            let mut answers = Vec::new();
            for first in mine {
                let one = |number| json!({"token": token(number), "payload": {"aps": {"badge": number}}});
                let batch = Value::Array((first..first + BATCH).map(one).collect());
                let answer = client.post(&format!("{APP}/notifications"), batch.to_string()).await;
                assert_eq!(answer.status, 201, "{answer:?}");
                answers.push(answer.response().clone());
            }
            answers
        });
    }
    let mut told = Told::default();
    while let Some(answers) = callers.join_next().await {
        answers.expect("a caller without a fault").iter().for_each(|answer| told.note(answer));
    }
    told
}

/// The whole feedback list, page by page: token and timestamp.
async fn feedback(world: &World) -> Vec<(String, f64)> {
    let mut client = world.client().await;
    let mut entries = Vec::new();
    let mut cursor = String::from("0");
    loop {
        let page = client.get(&format!("{APP}/feedback?limit=500&cursor={cursor}")).await;
        let list = page.response().as_array().unwrap_or_else(|| panic!("{page:?}")).clone();
        if list.is_empty() {
            return entries;
        }
        cursor = page.body["cursor"].as_str().expect("a cursor").to_owned();
        let entry =
            |one: &Value| (one["token"].as_str().unwrap_or_default().into(), one["timestamp"].as_f64().unwrap_or(0.0));
        entries.extend(list.iter().map(entry));
    }
}

/// At least 200,000 in the long form, a tenth of that in the short one; a connection ends every 10,000 (1,000) requests, 20
/// in all and five in each way. States its own limit: five minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_notification_has_one_true_outcome_with_every_end_of_connections() {
    let every = if full() { 10_000 } else { 1_000 };
    let world = World::start().await;
    // Twice what is sent at least: what is lost with a connection does not count as a request, so a phase may be longer.
    let dead_numbers = (0..2 * 4 * ENDINGS * every).step_by(DEAD_EVERY);
    for number in dead_numbers.clone() {
        let dead = TokenState::Dead { reason: "Unregistered", timestamp: Some(dead_since(number)) };
        world.simulator.set_token(&token(number), Some(dead));
    }
    assert_eq!(send(&world, 0, BATCH).await.outcomes.len(), BATCH, "the first connection is open");
    let mut next = BATCH;
    let mut dead = vec![token(0)];
    for ending in [Ending::Graceful, Ending::Single, Ending::Abrupt, Ending::Cut] {
        world.simulator.set_script(script(ending, every as u64)).expect("a good script");
        let (before, first) = (world.simulator.ledger().totals().connections, next);
        let mut told = Told::default();
        let mut ended = 0;
        // Traffic goes on after each end, and so on another connection.
        while next < first + ENDINGS * every || ended < ENDINGS as u64 {
            told.extend(send(&world, next, next + every).await);
            next += every;
            ended = world.simulator.ledger().totals().connections - before;
        }
        println!("{ending:?}: {} sent, {ended} ends, {:?}", next - first, told.reasons);
        check(&world, &told, next - first, every / 10, ending);
        dead.extend(told.dead);
    }
    let since: HashMap<String, f64> =
        dead_numbers.map(|number| (token(number), dead_since(number) as f64 / 1000.0)).collect();
    assert!(dead.len() > next / DEAD_EVERY * 9 / 10, "most dead tokens were reported");
    let mut dead: Vec<(String, f64)> = dead.into_iter().map(|token| (token.clone(), since[&token])).collect();
    let mut told = feedback(&world).await;
    told.sort_by(|one, other| one.0.cmp(&other.0));
    dead.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(told, dead, "every 410 is in the feedback, once, with its timestamp");
    world.stop().await;
}

/// `reset_every`: the number of requests that Apple processes before it resets one.
fn check(world: &World, told: &Told, sent: usize, reset_every: usize, ending: Ending) {
    assert_eq!(told.outcomes.len(), sent, "one outcome each");
    let arrived = world.simulator.ledger().accepted_ids();
    for id in &told.ids("accepted") {
        assert!(arrived.contains_key(*id), "{id} was reported accepted, and Apple never had it");
    }
    for (id, kind) in &told.outcomes {
        let times = arrived.get(id).copied().unwrap_or(0);
        assert!(times <= 1, "{id}, told {kind}, arrived {times} times");
        assert!(times == 0 || kind == "accepted" || kind == "unknown", "{id} arrived and was reported {kind}");
    }
    assert_eq!(told.ids("not_sent").len() + told.ids("expired").len(), 0, "nothing is lost: {:?}", told.reasons);
    if matches!(ending, Ending::Graceful | Ending::Single) {
        let unknown = told.ids("unknown").len();
        assert!(
            unknown <= sent / reset_every + 1,
            "only what was reset after processing is unknown: {:?}",
            told.reasons
        );
    }
}
