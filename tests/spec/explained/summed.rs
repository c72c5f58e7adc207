//! The status of an app is the sum over the nodes that send for it, on whichever node one asks.

use crate::forwarding::false_peers::outcomes;
use crate::forwarding::releases::by_hand;
use crate::support::client::Answer;
use crate::support::false_peer::{FalsePeer, Telling, frames, hello};
use crate::support::fleet::{Fleet, Plan, app_owned_among};
use crate::support::site::{Node, Site, apps_of};
use crate::support::world::{to, token};
use pyapns::delivery::peer::wire::{self, AppFigures, Features, Seen};
use pyapns::model::AppKey;
use serde_json::{Value, json};
use simulator::{Act, Fault, Script};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// These fields of an app, in an answer or in an entry of a list.
fn fields<'a, const N: usize>(app: &'a Value, names: [&str; N]) -> [&'a Value; N] {
    names.map(|name| &app[name])
}

/// Waits until a node shows the app so.
async fn wait_app(fleet: &Fleet, index: usize, app: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let shown = async {
        loop {
            last = fleet.client(index).await.get(app).await.response().clone();
            if is_so(&last) {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = timeout(Duration::from_secs(8), shown).await;
    assert!(waited.is_ok(), "node {index}: {last}");
    last
}

#[tokio::test]
async fn every_node_shows_the_sum_of_the_lanes_of_all_nodes() {
    let app = "/apps/com.example.app/sandbox";
    let fleet = Fleet::start(Plan::of(3)).await;
    fleet.provision(app, &json!({"lanes": 12})).await;
    fleet.wait_reachable().await;
    let tokens: Vec<_> = (0..200).map(token).collect();
    let sent = fleet.send(0, app, &json!({"tokens": tokens, "payload": {"aps": {"alert": "Hi"}}})).await;
    assert_eq!(sent.outcomes(), vec!["accepted"; 200]);
    let mut connections = [0.0; 3];
    for (index, connections) in connections.iter_mut().enumerate() {
        *connections = fleet.metric(index, "pyapns_connections").await;
        assert!(*connections >= 1.0, "node {index} sends for some of the lanes");
    }
    assert_eq!(connections.iter().sum::<f64>(), 12.0);
    for index in 0..3 {
        let shown = wait_app(&fleet, index, app, |app| app["connections"] == 12).await;
        let [streams, in_flight, queued] = fields(&shown, ["streams", "in_flight", "queued"]);
        assert_eq!((streams, in_flight, queued), (&json!(12 * 1000), &json!(0), &json!(0)), "{shown}");
        assert_eq!(fields(&shown, ["state", "nodes_missing"]), [&json!("ok"), &json!([])], "{shown}");
        let list = fleet.client(index).await.get("/apps").await;
        assert_eq!(list.response()[0]["connections"], 12, "{list:?}");
    }
    fleet.stop().await;
}

#[tokio::test]
async fn the_refusal_that_an_owner_got_from_apple_is_shown_by_every_node() {
    let site = Site::new(&[]).await;
    let names = ["a", "b"];
    let [app] = apps_of(&names, 1, 1).try_into().expect("one app");
    let [a, b] = site.ready(names, std::slice::from_ref(&app)).await;
    let refused = Fault::new(Act::Answer { status: 403, reason: "InvalidProviderToken".to_owned() });
    site.simulator.set_script(Script { faults: vec![refused], ..Script::default() }).expect("a good script");
    assert_eq!(a.send(&app, 1).await.outcomes(), ["not_sent"]);
    let is_refused = async |node: &Node| node.client().await.get(&app).await.response()["state"] == "credential_error";
    b.wait("the owner shows the refusal", is_refused).await;
    let [of_owner, shown] = [b.client().await.get(&app).await, a.client().await.get(&app).await];
    let names = ["state", "last_error", "last_error_at", "nodes_missing"];
    assert_eq!(fields(shown.response(), names), fields(of_owner.response(), names));
    let error = of_owner.response()["last_error"].as_str();
    assert!(error.is_some_and(|error| error.contains("InvalidProviderToken")), "{of_owner:?}");
}

#[tokio::test]
async fn an_error_of_an_owner_that_knows_another_revision_of_the_app_is_not_shown() {
    let app = app_owned_among(2, 1);
    let revision = Arc::new(AtomicI64::new(0));
    let told = Arc::clone(&revision);
    let telling: Telling = Box::new(move |id, apps| {
        let json = json!({"revision": told.load(Ordering::SeqCst), "state": "credential_error", "last_error": "refused",
            "last_error_at": 9.5, "last_success_at": 8.0, "connections": 2, "streams": 100, "in_flight": 3, "queued": 4,
            "bound_ms": {}});
        let told = apps.iter().map(|app| AppFigures { app: app.clone(), json: json.to_string().into_bytes().into() });
        let mut bytes = Vec::new();
        wire::put_seen(&mut bytes, id, &Seen::Apps(told.collect()));
        bytes
    });
    let (fleet, _peer) = beside(by_hand(1, (1, 2), [0xff; 4], &[]), telling, &[&app]).await;
    let names = ["state", "last_error", "last_error_at", "connections", "nodes_missing"];
    let (of_other, _) = shown(&fleet, &app).await;
    assert_eq!(json!(fields(of_other.response(), names)), json!(["ok", null, null, 2, []]), "{of_other:?}");
    let known = of_other.response()["revision"].as_str().and_then(|revision| revision.parse().ok());
    revision.store(known.expect("a number"), Ordering::SeqCst);
    let (of_same, _) = shown(&fleet, &app).await;
    let expected = json!(["credential_error", "refused", 9.5, 2, []]);
    assert_eq!(json!(fields(of_same.response(), names)), expected, "{of_same:?}");
    let changed = fleet.provision_on(&fleet.nodes[0], &app, &json!({"timeout": 20})).await;
    assert_eq!(json!(fields(changed.response(), names)), json!(["ok", null, null, 2, []]), "{changed:?}");
    fleet.stop().await;
}

#[tokio::test]
async fn an_owner_that_hangs_is_named_after_250_milliseconds_and_its_apps_are_listed_without_its_part() {
    let site = Site::new(&[]).await;
    let names = ["a", "b"];
    let apps: Vec<_> = (0..2).flat_map(|index| apps_of(&names, index, 1)).collect();
    let [a, b] = site.ready(names, &apps).await;
    for (number, app) in apps.iter().enumerate() {
        a.sends(app, number).await;
    }
    let connections =
        async |node: &Node, app: &str| node.client().await.get(app).await.response()["connections"].clone();
    a.wait("it shows both connections", async |a| {
        connections(a, &apps[0]).await == 1 && connections(a, &apps[1]).await == 1
    })
    .await;
    let mut client = a.client().await;
    b.process.signal("STOP");
    let began = Instant::now();
    let one = client.get(&apps[1]).await;
    let one_took = began.elapsed();
    let list = client.get("/apps").await;
    let took = began.elapsed() - one_took;
    b.process.signal("CONT");
    for took in [one_took, took] {
        assert!(took >= Duration::from_millis(240) && took < Duration::from_millis(900), "{took:?}");
    }
    assert_eq!(fields(one.response(), ["connections", "nodes_missing"]), [&json!(0), &json!(["b"])], "{one:?}");
    let entry = |app: &str| {
        let of_app = |entry: &&Value| app.contains(entry["app_id"].as_str().expect("an id"));
        list.response().as_array().and_then(|list| list.iter().find(of_app)).expect("every app is listed")
    };
    assert_eq!(fields(entry(&apps[0]), ["connections", "nodes_missing"]), [&json!(1), &json!([])], "{list:?}");
    assert_eq!(fields(entry(&apps[1]), ["connections", "nodes_missing"]), [&json!(0), &json!(["b"])], "{list:?}");
    a.wait("it shows both again", async |a| connections(a, &apps[1]).await == 1).await;
}

/// One node beside a member that the test plays, with these apps of which the member owns the first.
async fn beside(greeting: Vec<u8>, telling: Telling, apps: &[&str]) -> (Fleet, Arc<FalsePeer>) {
    let mut fleet = Fleet::ready(Plan::of(2).played(), apps).await;
    let listener = fleet.played.take().expect("a listener");
    let peer = FalsePeer::new(1, Box::new(|id, _, batch| Some(outcomes(id, batch.len()))));
    let peer = FalsePeer { greeting: Box::new(move |_| greeting.clone()), telling, ..peer };
    let peer = peer.start(listener, &fleet.identity);
    fleet.wait_link(0, 1, true).await;
    (fleet, peer)
}

async fn shown(fleet: &Fleet, path: &str) -> (Answer, Duration) {
    let (mut client, began) = (fleet.client(0).await, Instant::now());
    (client.get(path).await, began.elapsed())
}

#[tokio::test]
async fn an_owner_of_a_release_before_the_question_is_named_at_once_and_stays_linked() {
    let app = app_owned_among(2, 1);
    let (fleet, peer) = beside(by_hand(1, (1, 1), [0; 4], &[]), Box::new(|_, _| Vec::new()), &[&app]).await;
    let (answer, took) = shown(&fleet, &app).await;
    assert_eq!(answer.response()["nodes_missing"], json!(["node-1"]), "{answer:?}");
    assert!(took < Duration::from_millis(200), "nobody waits for it: {took:?}");
    assert_eq!(fleet.send(0, &app, &to(&token(1))).await.outcomes(), ["accepted"]);
    assert_eq!((peer.questions(), peer.batches(), peer.connections()), (0, 1, 2), "both links are the first ones");
    fleet.stop().await;
}

/// Figures of apps as a later release may tell them.
fn later(id: u64, apps: &[AppKey]) -> Vec<u8> {
    let json = r#"{"weather":"fine","state":"breaker_open","last_error":"no route","last_error_at":9.5,
        "last_success_at":8,"connections":2,"streams":100,"in_flight":3,"queued":4,
        "bound_ms":{"moon":9000,"window":10}}"#;
    let told = apps.iter().map(|app| AppFigures { app: app.clone(), json: json.into() });
    let mut bytes = Vec::new();
    wire::put_seen(&mut bytes, id, &Seen::Apps(told.collect()));
    bytes
}

#[tokio::test]
async fn an_owner_of_a_later_release_is_asked_once_for_a_page_and_adds_its_part() {
    let owned = app_owned_among(2, 1);
    let apps: Vec<_> = (0..30).map(|number| format!("/apps/com.example.more{number}/sandbox")).collect();
    let all: Vec<&str> = apps.iter().map(String::as_str).chain([owned.as_str()]).collect();
    let (fleet, peer) = beside(by_hand(1, (1, 2), [0xff; 4], &[7; 30]), Box::new(later), &all).await;
    let asked_before = peer.questions();
    let (list, _) = shown(&fleet, "/apps").await;
    assert_eq!(peer.questions() - asked_before, 1, "one question for {} apps", all.len());
    let list = list.response().as_array().expect("a list").clone();
    assert_eq!(list.len(), all.len());
    let (one, _) = shown(&fleet, &owned).await;
    for shown in list.iter().chain([one.response()]) {
        let counts = fields(shown, ["connections", "streams", "in_flight", "queued"]).map(|count| count.as_u64());
        assert_eq!(counts, [2, 100, 3, 4].map(Some), "{shown}");
        let rest = ["state", "last_error", "last_error_at", "last_success_at", "bound_by", "nodes_missing"];
        let expected = json!(["breaker_open", "no route", 9.5, 8.0, "window", []]);
        assert_eq!(json!(fields(shown, rest)), expected, "{shown}");
    }
    fleet.stop().await;
}

#[tokio::test]
async fn a_member_that_tells_what_nobody_can_read_is_named_and_one_that_answers_another_question_is_closed() {
    let app = app_owned_among(2, 1);
    let mut own = hello(1);
    own.features = Features::APP_FIGURES;
    let odd: Telling = Box::new(|id, apps| {
        let mut bytes = Vec::new();
        let told = apps.iter().map(|app| AppFigures { app: app.clone(), json: "{\"state\":7}".into() });
        wire::put_seen(&mut bytes, id, &Seen::Apps(told.collect()));
        bytes
    });
    let (fleet, peer) = beside(frames(&own, &[]), odd, &[&app]).await;
    assert_eq!(shown(&fleet, &app).await.0.response()["nodes_missing"], json!(["node-1"]));
    assert_eq!(peer.connections(), 2);
    fleet.stop().await;

    let wrong: Telling = Box::new(|id, _| {
        let mut bytes = Vec::new();
        wire::put_ready(&mut bytes, id, &[]);
        bytes
    });
    let (fleet, _) = beside(frames(&own, &[]), wrong, &[&app]).await;
    assert_eq!(shown(&fleet, &app).await.0.response()["nodes_missing"], json!(["node-1"]));
    fleet.wait_counted(0, "pyapns_peer_refused_total{why=\"malformed\"}").await;
    fleet.stop().await;
}
