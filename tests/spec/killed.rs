//! `kill -9` at random points: every response that a caller received is true afterwards.

use crate::support::client::Client;
use crate::support::daemon::Daemon;
use crate::support::full;
use crate::support::world::{APP, World, to, token};
use serde_json::{Value, json};
use simulator::TokenState;
use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Apps that come, change and go.
const APPS: usize = 12;
/// Dead tokens in a batch.
const DEAD: usize = 10;
/// Feedback entries that are read, and then acknowledged, at a time.
const PAGE: usize = 25;

/// Promises that follow from what callers requested and received.
#[derive(Default)]
struct Known {
    /// The topics that an app may have; `None` = it may not be there. More than one while a change is not answered.
    apps: BTreeMap<String, Vec<Option<String>>>,
    /// Dead tokens sent to, told dead, being acknowledged, acknowledged.
    sent: HashSet<String>,
    told: HashSet<String>,
    going: HashSet<String>,
    gone: HashSet<String>,
    next_token: usize,
    next_topic: usize,
}

struct Callers {
    known: Mutex<Known>,
    /// A permit for each answer.
    answered: Semaphore,
}

impl Callers {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no panic")
    }

    /// Provisions, changes and removes apps until the node dies.
    async fn provision(self: Arc<Self>, node: SocketAddr, key: Value, mut random: fastrand::Rng) {
        let mut client = Client::connect(node).await;
        loop {
            let app = format!("app-{}", random.usize(..APPS));
            let topic = (random.u8(..4) > 0).then(|| {
                let mut known = self.known();
                known.next_topic += 1;
                format!("topic-{}", known.next_topic)
            });
            self.known().apps.entry(app.clone()).or_insert_with(|| vec![None]).push(topic.clone());
            let path = format!("/apps/{app}/sandbox");
            let answer = match &topic {
                Some(topic) => {
                    let mut body = key.clone();
                    body["topic"] = json!(topic);
                    client.attempt("POST", &path, body.to_string()).await
                }
                None => client.attempt("DELETE", &path, "").await,
            };
            let Some(answer) = answer else { return };
            let expected = if topic.is_some() { [201, 201] } else { [200, 404] };
            assert!(expected.contains(&answer.status), "{answer:?}");
            self.known().apps.insert(app, vec![topic]);
            self.answered.add_permits(1);
        }
    }

    /// Sends to tokens that are dead until the node dies.
    async fn send(self: Arc<Self>, node: SocketAddr, world: Arc<World>) {
        let mut client = Client::connect(node).await;
        loop {
            let first = self.known().next_token;
            let tokens: Vec<String> = (first..first + DEAD).map(token).collect();
            for token in &tokens {
                let dead = TokenState::Dead { reason: "Unregistered", timestamp: None };
                world.simulator.set_token(token, Some(dead));
            }
            {
                let mut known = self.known();
                known.next_token += DEAD;
                known.sent.extend(tokens.iter().cloned());
            }
            let batch = Value::Array(tokens.iter().map(|token| to(token)).collect());
            let answer = client.attempt("POST", &format!("{APP}/notifications"), batch.to_string()).await;
            let Some(answer) = answer else { return };
            let outcomes = answer.response().as_array().unwrap_or_else(|| panic!("{answer:?}"));
            let dead = outcomes.iter().filter(|outcome| outcome["status"] == 410);
            self.known().told.extend(dead.map(|outcome| outcome["token"].as_str().expect("a token").to_owned()));
            self.answered.add_permits(1);
        }
    }

    /// Reads and acknowledges feedback until the node dies.
    async fn acknowledge(self: Arc<Self>, node: SocketAddr) {
        let mut client = Client::connect(node).await;
        loop {
            let Some(page) = client.attempt("GET", &format!("{APP}/feedback?limit={PAGE}"), "").await else { return };
            let tokens = tokens(&page.body);
            let cursor = page.body["cursor"].as_str().expect("a cursor").to_owned();
            self.known().going = tokens.clone();
            let through = format!("{APP}/feedback?through={cursor}");
            let Some(answer) = client.attempt("DELETE", &through, "").await else { return };
            assert_eq!(answer.status, 200, "{answer:?}");
            {
                let mut known = self.known();
                known.gone.extend(tokens);
                known.going.clear();
            }
            self.answered.add_permits(1);
        }
    }

    /// Asserts that a restarted node agrees with the responses that its callers received.
    async fn check(&self, node: SocketAddr) {
        let mut client = Client::connect(node).await;
        let apps = client.get("/apps").await;
        let feedback = client.get(&format!("{APP}/feedback?limit=10000")).await;
        let apps = apps.response().as_array().expect("a list");
        assert!(apps.iter().all(|app| app["state"] == "ok"), "every credential opens: {apps:?}");
        let mut known = self.known();
        known.check_apps(apps);
        known.check_feedback(&tokens(&feedback.body));
    }
}

impl Known {
    fn check_apps(&mut self, listed: &[Value]) {
        for (app, may) in &mut self.apps {
            let found = listed.iter().find(|object| object["app_id"] == app.as_str());
            let found = found.map(|object| object["topic"].as_str().expect("a topic").to_owned());
            assert!(may.contains(&found), "{app} is {found:?}, and was reported as one of {may:?}");
            *may = vec![found];
        }
    }

    fn check_feedback(&mut self, listed: &HashSet<String>) {
        let there =
            |token: &&String| listed.contains(*token) || self.gone.contains(*token) || self.going.contains(*token);
        let lost = self.told.iter().filter(|token| !there(token)).count();
        assert_eq!(lost, 0, "told dead, not acknowledged, and not there");
        assert_eq!(listed.intersection(&self.gone).count(), 0, "acknowledged entries came back");
        assert!(listed.is_subset(&self.sent), "nothing else is there");
        let kept = self.going.intersection(listed).count();
        assert!(kept == 0 || kept == self.going.len(), "an acknowledgement happens whole or not at all");
        let going = std::mem::take(&mut self.going);
        self.gone.extend(going.into_iter().filter(|token| !listed.contains(token)));
    }
}

fn tokens(page: &Value) -> HashSet<String> {
    let entries = page["response"].as_array().unwrap_or_else(|| panic!("{page}"));
    entries.iter().map(|entry| entry["token"].as_str().expect("a token").to_owned()).collect()
}

/// 50 kills in the long form, some in the short one. States its own limit: three minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_reported_before_a_kill_is_true_after_it() {
    let (kills, seed) = (if full() { 50 } else { 6 }, fastrand::u64(..));
    println!("{kills} kills, seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let world = Arc::new(World::start().await);
    let data = world.directory.path().join("killed");
    let identity = world.simulator.identity();
    let (pem, key) = (identity.client_pem.clone(), &identity.key_pem);
    let key = json!({"key": key, "key_id": identity.key_id, "team_id": identity.team_id});
    let callers = Arc::new(Callers { known: Mutex::default(), answered: Semaphore::new(0) });
    let daemon = Daemon::on(&world, &data, &[]).await;
    assert_eq!(daemon.client().await.post(APP, pem.clone()).await.status, 201);
    daemon.kill();
    for _ in 0..kills {
        let daemon = Daemon::on(&world, &data, &[]).await;
        let node = daemon.address;
        callers.check(node).await;
        callers.answered.forget_permits(usize::MAX);
        let tasks = [
            tokio::spawn(Arc::clone(&callers).provision(node, key.clone(), random.fork())),
            tokio::spawn(Arc::clone(&callers).send(node, Arc::clone(&world))),
            tokio::spawn(Arc::clone(&callers).acknowledge(node)),
        ];
        let enough = callers.answered.acquire_many(random.u32(1..60)).await;
        enough.expect("it is never closed").forget();
        // Any point within the next answers.
        tokio::time::sleep(Duration::from_micros(random.u64(..5_000))).await;
        daemon.kill();
        for task in tasks {
            task.await.expect("a caller without a fault");
        }
    }
    let daemon = Daemon::on(&world, &data, &[]).await;
    callers.check(daemon.address).await;
    let known = std::mem::take(&mut *callers.known());
    println!("{} topics, {} told dead, {} acknowledged", known.next_topic, known.told.len(), known.gone.len());
    assert!(known.told.len() > kills && known.gone.len() > kills && known.next_topic > kills, "something happened");
}
