//! The metrics of each app: bounded, and in a cluster what the callers got.

use crate::support::client::Client;
use crate::support::fault_proxy::Way;
use crate::support::fleet::{Fleet, Plan, app_owned_among, key};
use crate::support::process::{Home, entry};
use crate::support::sender::{app, app_like, sum};
use crate::support::stream::{self, Protocol};
use crate::support::world::{APP, Credential, World, to, token};
use nix::time::{ClockId, clock_gettime};
use pyapns::delivery::metrics::Metrics;
use pyapns::delivery::metrics::apps::{AppTable, Settings};
use pyapns::model::{AppleReason, NodeReason, Outcome, OutcomeKind};
use pyapns::registry::App;
use pyapns::telemetry;
use serde_json::{Value, json};
use simulator::{Latency, Script, TokenState};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Notifications by app and outcome, or by app and reason.
type Counts = BTreeMap<(String, String), u64>;

/// The outcomes that callers got.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Ledger {
    outcomes: Counts,
    rejections: Counts,
}

impl Ledger {
    fn add(&mut self, app: &str, outcome: &Value) {
        let app = key(app).id.to_string();
        let text = |field: &str| outcome[field].as_str().unwrap_or_default().to_owned();
        if outcome["outcome"] != "accepted" && AppleReason::parse(&text("reason")).is_some() {
            *self.rejections.entry((app.clone(), text("reason"))).or_default() += 1;
        }
        *self.outcomes.entry((app, text("outcome"))).or_default() += 1;
    }

    fn add_all(&mut self, app: &str, outcomes: &[Value]) {
        outcomes.iter().for_each(|outcome| self.add(app, outcome));
    }

    /// The sum of the metrics of all nodes.
    async fn of_metrics(fleet: &Fleet) -> Self {
        let mut ledger = Self::default();
        for node in &fleet.nodes {
            let text = Client::connect(node.address).await.text("/metrics").await;
            add_series(&text, "app_notifications_total", "outcome", &mut ledger.outcomes);
            add_series(&text, "app_rejections_total", "reason", &mut ledger.rejections);
        }
        ledger
    }
}

/// Adds the series of a metric that are not 0, by app and another label.
fn add_series(metrics: &str, name: &str, label: &str, counts: &mut Counts) {
    let of_label = |line: &str, label: &str| {
        let (_, rest) = line.split_once(&format!("{label}=\"")).expect("the label");
        rest.split('"').next().expect("its value").to_owned()
    };
    for line in metrics.lines().filter(|line| line.starts_with(&format!("pyapns_{name}{{"))) {
        let count: f64 = line.rsplit(' ').next().expect("a value").parse().expect("a number");
        if count > 0.0 {
            *counts.entry((of_label(line, "app_id"), of_label(line, label))).or_default() += count as u64;
        }
    }
}

async fn post(fleet: &Fleet, node: usize, app: &str, list: Value, told: &mut Ledger) {
    let answer = fleet.send(node, app, &list).await;
    told.add_all(app, answer.response().as_array().unwrap_or_else(|| panic!("{answer:?}")));
}

#[tokio::test]
async fn the_outcomes_that_all_nodes_count_are_those_that_their_callers_got() {
    let apps: Vec<String> = (0..3).map(|owner| app_owned_among(3, owner)).collect();
    let spread = "/apps/com.example.spread/sandbox";
    let fleet = Fleet::ready(Plan::of(3).proxied(&[1]), &[&apps[0], &apps[1], &apps[2]]).await;
    fleet.provision(spread, &json!({"lanes": 16})).await;
    fleet.simulator.set_token(&token(90), Some(TokenState::Dead { reason: "Unregistered", timestamp: None }));
    fleet.simulator.set_token(&token(91), Some(TokenState::Bad));
    let mut told = Ledger::default();
    for node in 0..3 {
        for app in apps.iter().map(String::as_str).chain([spread]) {
            let mut list: Vec<Value> = (0..40).map(|number| to(&token(number))).collect();
            list.extend([to(&token(90)), to(&token(91))]);
            list.push(json!({"token": token(1), "payload": {"aps": {}}, "expiry": 1_000_000_000}));
            post(&fleet, node, app, Value::Array(list), &mut told).await;
        }
    }
    // Lines that are no notification are outcomes, too.
    let (lines, mut answer) = stream::open_for(&apps[1], fleet.nodes[2].address, Protocol::Http2).await;
    let text = format!("{}\nno JSON\n{}\n{{\"token\": 7}}\n", to(&token(1)), to(&token(91)));
    lines.send(text.into()).await.expect("the stream is read");
    drop(lines);
    let mut outcomes = Vec::new();
    while let Some(more) = answer.more().await {
        outcomes.extend(more);
    }
    assert_eq!(outcomes.len(), 4, "{outcomes:?}");
    told.add_all(&apps[1], &outcomes);
    // Apple accepts these, but their caller cannot know: the owner is lost meanwhile.
    let before = fleet.simulator.ledger().totals().accepted;
    let latency = Some(Latency::FixedMs(700.0));
    fleet.simulator.set_script(Script { latency, ..Script::default() }).expect("a good script");
    let (mut client, path) = (fleet.client(0).await, format!("{}/notifications", apps[1]));
    let list = Value::Array((0..5).map(|number| to(&token(number))).collect());
    let lost = tokio::spawn(async move { client.post(&path, list.to_string()).await });
    let lost_id = key(&apps[1]).id;
    let waiting = format!("pyapns_app_in_flight{{app_id=\"{lost_id}\",environment=\"sandbox\"}}");
    fleet.wait_counted(1, &waiting).await;
    fleet.proxies[1].as_ref().expect("a proxy").set(Way::Cut);
    let lost = lost.await.expect("an answer");
    assert_eq!(lost.outcomes(), ["unknown"; 5], "{lost:?}");
    told.add_all(&apps[1], lost.response().as_array().expect("a list"));
    fleet.simulator.ledger().wait_until(|totals| totals.accepted >= before + 5).await;
    fleet.simulator.set_script(Script::default()).expect("a good script");
    // A substitute of the lost owner.
    post(&fleet, 0, &apps[1], json!([to(&token(2)), to(&token(91))]), &mut told).await;

    let until = Instant::now() + Duration::from_secs(5);
    let mut counted = Ledger::of_metrics(&fleet).await;
    while counted != told && Instant::now() < until {
        sleep(Duration::from_millis(5)).await;
        counted = Ledger::of_metrics(&fleet).await;
    }
    assert_eq!(counted, told);
    let (mut taken, mut ended) = (0.0, 0.0);
    for node in 0..3 {
        let text = Client::connect(fleet.nodes[node].address).await.text("/metrics").await;
        taken += sum(&text, "taken_notifications_total");
        ended += sum(&text, "notifications_total");
    }
    assert_eq!((taken, ended), (told.outcomes.values().sum::<u64>() as f64, taken));
    // What was sent counts where it was sent.
    assert!(fleet.attempts(1).await >= 3 * 42 + 5);
    fleet.simulator.stop().await;
}

/// The series of this metric, without their values.
fn series<'a>(metrics: &'a str, name: &str) -> Vec<&'a str> {
    let begin = format!("pyapns_{name}{{");
    let lines = metrics.lines().filter(|line| line.starts_with(&begin));
    lines.map(|line| line.rsplit_once(' ').expect("a value").0).collect()
}

fn labelled(metrics: &str, name: &str, app: &str, more: &str) -> Option<f64> {
    let begin = format!("pyapns_{name}{{app_id=\"{app}\",environment=\"sandbox\"{more}}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&begin)).map(|value| value.parse().expect("a number"))
}

#[tokio::test]
async fn the_first_apps_keep_their_series_and_all_later_ones_are_other() {
    let world = World::start().await;
    let home = Home::new(&world, "home", "pyapns.toml");
    let certificate = world.directory.path().join("simulator/client.pem");
    let apps = ["first", "second", "third", "fourth", "other"];
    let entries: String = apps.iter().map(|app| entry(app, &certificate, "topic = \"com.example.app\"")).collect();
    home.configure(&format!("listen = '127.0.0.1:0'\n[metrics]\napps = 2\n{entries}"));
    let process = home.start().await;
    let mut client = process.client().await;
    for (count, app) in (1..).zip(apps) {
        let list: Vec<Value> = (0..count).map(|number| to(&token(number))).collect();
        let path = format!("/apps/{app}/sandbox");
        let answer = client.post(&format!("{path}/notifications"), Value::Array(list).to_string()).await;
        assert_eq!(answer.outcomes(), vec!["accepted"; count], "{answer:?}");
    }
    const ACCEPTED: &str = ",outcome=\"accepted\"";
    let text = client.text("/metrics").await;
    let counts =
        ["first", "second", "third", "other"].map(|app| labelled(&text, "app_notifications_total", app, ACCEPTED));
    assert_eq!(counts, [Some(1.0), Some(2.0), None, Some(3.0 + 4.0 + 5.0)], "{text}");
    let states = ["first", "second", "third", "other"].map(|app| labelled(&text, "app_state", app, ",state=\"ok\""));
    assert_eq!(states, [Some(1.0), Some(1.0), None, Some(3.0)], "{text}");
    assert_eq!(labelled(&text, "app_queue", "first", ""), Some(0.0));
    assert_eq!(series(&text, "app_notification_seconds_count"), [""; 0], "only by the setting");

    // A removed app keeps its counters, which nobody else gets. Its gauges go.
    assert_eq!(client.call("DELETE", "/apps/first/sandbox", "").await.status, 200);
    let list = json!([to(&token(1))]).to_string();
    client.post("/apps/third/sandbox/notifications", list).await;
    let text = client.text("/metrics").await;
    assert_eq!(labelled(&text, "app_notifications_total", "first", ACCEPTED), Some(1.0));
    assert_eq!(labelled(&text, "app_notifications_total", "other", ACCEPTED), Some(13.0));
    for gauge in ["app_in_flight", "app_queue"] {
        assert_eq!(labelled(&text, gauge, "first", ""), None, "{gauge}");
        assert!(labelled(&text, gauge, "second", "").is_some(), "{gauge}");
    }
    assert_eq!(series(&text, "app_state").len(), 2, "{text}");
    process.stop().await;
    world.stop().await;
}

#[tokio::test]
async fn an_app_shows_why_its_notifications_fail_and_its_state() {
    let world = World::with(Credential::Token).await;
    world.simulator.set_token(&token(1), Some(TokenState::Bad));
    let list = json!([to(&token(1)), to(&token(1)), to(&token(2))]);
    assert_eq!(world.send(&list).await.outcomes(), ["rejected", "rejected", "accepted"]);
    let text = world.metrics().await;
    let app = key(APP).id;
    assert_eq!(labelled(&text, "app_rejections_total", app.as_str(), ",reason=\"BadDeviceToken\""), Some(2.0));
    let strange = simulator::Fault::new(simulator::Act::Answer { status: 400, reason: "ANewReason".to_owned() });
    world.simulator.set_script(Script { faults: vec![strange], ..Script::default() }).expect("a script");
    assert_eq!(world.send(&to(&token(2))).await.outcomes(), ["rejected"]);
    let refuse =
        simulator::Fault::new(simulator::Act::Answer { status: 403, reason: "InvalidProviderToken".to_owned() });
    world.simulator.set_script(Script { faults: vec![refuse], ..Script::default() }).expect("a script");
    assert_eq!(world.send(&to(&token(2))).await.outcomes(), ["not_sent"]);
    let text = world.metrics().await;
    let of_reason =
        |reason: &str| labelled(&text, "app_rejections_total", app.as_str(), &format!(",reason=\"{reason}\""));
    assert_eq!((of_reason("other"), of_reason("InvalidProviderToken")), (Some(1.0), Some(1.0)), "{text}");
    assert!(!text.contains("ANewReason"), "a label is never a text of Apple's");
    assert_eq!(labelled(&text, "app_state", app.as_str(), ",state=\"credential_error\""), Some(1.0), "{text}");
    world.stop().await;
}

#[tokio::test]
async fn an_app_that_got_a_good_credential_is_not_stopped_in_the_metrics_even_if_it_sends_nothing() {
    let world = World::with(Credential::Token).await;
    assert_eq!(world.send(&to(&token(1))).await.outcomes(), ["accepted"]);
    let refuse =
        simulator::Fault::new(simulator::Act::Answer { status: 403, reason: "InvalidProviderToken".to_owned() });
    world.simulator.set_script(Script { faults: vec![refuse], ..Script::default() }).expect("a script");
    assert_eq!(world.send(&to(&token(2))).await.outcomes(), ["not_sent"]);
    let is_stopped = async || world.metrics().await.contains("pyapns_credentials_refused 1\n");
    sleep(Duration::from_millis(1_500)).await;
    assert!(is_stopped().await, "its credential is still the refused one");

    world.simulator.set_script(Script::default()).expect("a script");
    assert_eq!(world.provision(APP, Credential::Token).await.status, 201);
    let recovers = async {
        while is_stopped().await || world.metrics().await.contains("state=\"credential_error\"") {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(5), recovers).await.expect("no alert about the credential goes on");
    let seen = world.client().await.get(APP).await;
    assert_eq!(seen.response()["state"], "ok");
    assert!(seen.response()["last_success_at"].is_f64(), "{seen:?}");
    assert_eq!(world.send(&to(&token(2))).await.outcomes(), ["accepted"]);
    world.stop().await;
}

/// The node's metrics, as a table of so many apps counts them, and lanes that run.
struct Counted {
    telemetry: telemetry::Metrics,
    _metrics: Metrics,
    _lanes: Vec<pyapns::delivery::status::Reporter>,
}

impl Counted {
    /// Each app has notifications with several ends.
    fn of(apps: usize, settings: Settings) -> Self {
        let telemetry = telemetry::Metrics::new();
        let metrics = Metrics::with(&telemetry, AppTable::new(settings));
        let outcome = |kind, reason: Option<pyapns::model::Reason>| Outcome {
            kind,
            status: None,
            reason,
            timestamp: 0.0,
            attempts: 1,
        };
        let outcomes = [
            outcome(OutcomeKind::Accepted, None),
            outcome(OutcomeKind::Rejected, Some(AppleReason::BadDeviceToken.into())),
            outcome(OutcomeKind::Rejected, Some(AppleReason::Unregistered.into())),
            outcome(OutcomeKind::NotSent, Some(NodeReason::CannotConnect.into())),
        ];
        let first = app("first");
        let apps: Vec<Arc<App>> = (0..apps).map(|number| app_like(&first, &format!("app-{number:05}"))).collect();
        let lanes = apps.iter().map(|app| {
            metrics.told.end(&app.key, &outcomes, 40);
            metrics.board.begin(app, 0, Instant::now())
        });
        let lanes = lanes.collect();
        Self { telemetry, _metrics: metrics, _lanes: lanes }
    }

    /// The least of several measurements of this thread's processor time for the text of `/metrics`.
    fn cost(&self) -> Duration {
        let now = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock"));
        let measured = (0..7).map(|_| {
            let began = now();
            assert!(!self.telemetry.render().is_empty());
            now() - began
        });
        measured.min().expect("seven of them")
    }

    fn series(&self) -> usize {
        self.telemetry.render().lines().filter(|line| line.starts_with("pyapns_app_")).count()
    }
}

#[test]
fn ten_thousand_apps_have_as_many_series_as_a_thousand_and_cost_at_most_three_times_as_much() {
    for settings in [Settings::default(), Settings { app_latency: true, ..Settings::default() }] {
        let (few, many) = (Counted::of(1_000, settings), Counted::of(10_000, settings));
        let (of_few, of_many) = (few.series(), many.series());
        // Those of the app `other`.
        assert!(of_many > of_few && of_many < of_few + 50, "{of_few}, {of_many}");
        let (few, many) = (few.cost(), many.cost());
        println!("1,000 apps: {few:?}; 10,000 apps: {many:?}; {of_many} series");
        assert!(many <= 3 * few, "{few:?}, {many:?}");
    }
}

#[tokio::test]
async fn the_time_to_an_outcome_is_measured_for_each_app_by_a_setting() {
    let world = World::start().await;
    let home = Home::new(&world, "home", "pyapns.toml");
    let certificate = world.directory.path().join("simulator/client.pem");
    home.configure(&format!(
        "listen = '127.0.0.1:0'\nmetrics.app_latency = true\n{}",
        entry("com.example.app", &certificate, "")
    ));
    let process = home.start().await;
    let mut client = process.client().await;
    world
        .simulator
        .set_script(Script { latency: Some(Latency::FixedMs(40.0)), ..Script::default() })
        .expect("a script");
    let list = json!([to(&token(1)), to(&token(2)), to(&token(3))]).to_string();
    assert_eq!(client.post(&format!("{APP}/notifications"), list).await.status, 201);
    let text = client.text("/metrics").await;
    assert_eq!(labelled(&text, "app_notification_seconds_count", "com.example.app", ""), Some(3.0), "{text}");
    let total = labelled(&text, "app_notification_seconds_sum", "com.example.app", "").expect("a sum");
    assert!((0.12..30.0).contains(&total), "{total}");
    process.stop().await;
    world.stop().await;
}
