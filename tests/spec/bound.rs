//! An app's bound and condition as a node reports them. Every notification taken is accounted for at any time.

use crate::support::pipes::{Gateway, talk};
use crate::support::sender::{DEADLINE, Sender, app, is_accepted, sum};
use crate::support::world::{APP, Credential, World, to, token};
use pyapns::delivery::bound::Bound;
use serde_json::{Value, json};
use simulator::{Act, Fault, Latency, Script, SettingsPlay, Values};
use std::time::Duration;
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);

fn each(count: usize) -> Vec<(usize, usize)> {
    (0..count).map(|at| (at, at)).collect()
}

/// Returns how many apps a sender reports as bound by this.
fn apps(sender: &Sender, by: &str) -> f64 {
    sender.metric(&format!("bound_by{{by=\"{by}\"}}"))
}

fn seconds(sender: &Sender, by: &str) -> f64 {
    sender.metric(&format!("bound_by_seconds_total{{by=\"{by}\"}}"))
}

#[tokio::test(start_paused = true)]
async fn few_streams_bound_an_app_until_nothing_waits_any_more() {
    let gateway = Gateway::new(|peer| talk(peer.serve(2, SECOND / 10)));
    let (sender, app) = (Sender::new(&gateway), app("hot"));
    assert_eq!(sender.seen(&app).bound_by(), Bound::Caller);
    let batch = sender.begin(&app, each(400), DEADLINE);
    sleep(2 * SECOND).await;
    let seen = sender.seen(&app);
    assert_eq!((seen.state.as_str(), seen.bound_by(), seen.last_error), ("ok", Bound::Streams, None));
    assert_eq!((seen.streams, seen.in_flight), (2 * seen.connections, 2 * seen.connections));
    assert_eq!((apps(&sender, "streams"), apps(&sender, "caller")), (1.0, 0.0));
    assert_eq!(sender.metric("streams_granted"), seen.streams as f64);
    assert!(seconds(&sender, "streams") > 1.5, "{}", seconds(&sender, "streams"));
    assert!(batch.await.expect("no panic").iter().all(is_accepted));
    sleep(2 * SECOND).await;
    let before = (seconds(&sender, "streams"), seconds(&sender, "caller"));
    assert_eq!((apps(&sender, "streams"), apps(&sender, "caller")), (0.0, 1.0));
    sleep(10 * SECOND).await;
    let after = (seconds(&sender, "streams"), seconds(&sender, "caller"));
    assert_eq!(after.0, before.0);
    assert!((after.1 - before.1 - 10.0).abs() < 0.01, "an idle lane's time passes, too: {before:?} {after:?}");
    let seen = sender.seen(&app);
    assert_eq!((seen.bound_by(), seen.in_flight, seen.queued), (Bound::Caller, 0, 0));
    assert!(seen.last_success.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_window_that_the_peer_never_widens_is_the_bound_of_an_app() {
    let gateway = Gateway::new(|peer| talk(peer.serve(1000, SECOND / 10)));
    let (sender, app) = (Sender::new(&gateway), app("wide"));
    let batch = sender.begin(&app, each(4000), 9 * SECOND);
    sleep(4 * SECOND).await;
    assert_eq!((sender.seen(&app).bound_by(), apps(&sender, "window")), (Bound::Window, 1.0));
    batch.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_no_bytes_bounds_an_app_by_its_socket() {
    let gateway = Gateway::new(|mut peer| {
        talk(async move {
            peer.handshake(1000).await;
            peer.hang().await;
        })
    });
    let (sender, app) = (Sender::new(&gateway), app("stuck"));
    let batch = sender.begin(&app, each(3000), 4 * SECOND);
    sleep(2 * SECOND).await;
    assert_eq!((sender.seen(&app).bound_by(), apps(&sender, "socket")), (Bound::Socket, 1.0));
    batch.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn every_taken_notification_is_ended_in_flight_or_queued_at_any_time() {
    let gateway = Gateway::new(|mut peer| {
        talk(async move {
            peer.handshake(20).await;
            let mut count = 0;
            while let Some(push) = peer.next().await {
                sleep(SECOND / 100).await;
                count += 1;
                match count % 50 {
                    7 => peer.refuse(&push, 503, "ServiceUnavailable").await,
                    9 => peer.refuse(&push, 400, "BadDeviceToken").await,
                    49 => return,
                    _ => peer.accept(&push).await,
                }
            }
        })
    });
    let (sender, app) = (Sender::new(&gateway), app("any"));
    let balance = || {
        let ended = sender.metric("notifications_total");
        assert_eq!(sender.metric("taken_notifications_total"), ended + waiting(&sender));
        ended
    };
    let mut begun = Vec::new();
    let mut ended = 0.0;
    for round in 0..60 {
        begun.push(sender.begin(&app, (0..10).map(|at| (round * 10 + at, round)).collect(), 4 * SECOND));
        sleep(SECOND / 20).await;
        ended = balance();
    }
    assert!((1.0..600.0).contains(&ended), "{ended}: it was looked at on the way");
    for batch in begun {
        batch.await.expect("no panic");
    }
    assert_eq!((balance(), waiting(&sender)), (600.0, 0.0));
    assert_eq!(sender.metric("queue_bytes"), 0.0);
    assert_eq!(sender.metric("notification_seconds_count"), 600.0);
    assert!(sender.metric("retries_total") >= 1.0 && sender.metric("connections_lost_total{why=\"closed\"}") >= 1.0);
    assert!(sender.metric("attempts_total") - sender.metric("retries_total") <= 600.0);
    let mean = sender.metric("apple_seconds_sum") / sender.metric("apple_seconds_count");
    assert!((0.009..0.5).contains(&mean), "{mean} s from a request to its answer");
}

fn waiting(sender: &Sender) -> f64 {
    sender.metric("queued_notifications") + sender.metric("in_flight_requests")
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_is_seen_in_pings_and_lost_connections() {
    let gateway = Gateway::new(|mut peer| {
        talk(async move {
            peer.handshake(100).await;
            peer.silent = true;
            while peer.next().await.is_some() {}
        })
    });
    let (sender, app) = (Sender::new(&gateway), app("any"));
    sender.begin(&app, vec![(1, 1)], 20 * SECOND).await.expect("no panic");
    sleep(5 * SECOND).await;
    assert!(sender.metric("pings_total") >= 1.0);
    assert!(sender.metric("connections_lost_total{why=\"silent\"}") >= 1.0);
    let error = sender.seen(&app).last_error.expect("it is remembered");
    assert!(error.what.contains("not even a PING"), "{error:?}");
}

async fn shown(world: &World) -> Value {
    world.client().await.get(APP).await.response().clone()
}

#[tokio::test]
async fn an_app_shows_its_bound() {
    let world = World::start().await;
    let first = Values { max_concurrent_streams: Some(1), ..Values::default() };
    let settings = Some(SettingsPlay { first, ..SettingsPlay::default() });
    let latency = Some(Latency::FixedMs(100.0));
    world.simulator.set_script(Script { latency, settings, ..Script::default() }).expect("a good script");
    let batch = Value::Array((0..100).map(|at| to(&token(at))).collect());
    let (sent, app) = tokio::join!(world.send_with("?timeout=5", &batch), async {
        let mut app = shown(&world).await;
        while app["bound_by"] != "streams" || app["in_flight"] == 0 {
            tokio::task::yield_now().await;
            app = shown(&world).await;
        }
        app
    });
    assert_eq!(sent.status, 201);
    assert_eq!(app["streams"], app["connections"], "{app}");
    assert!(app["queued"].as_u64().is_some_and(|queued| queued > 0), "{app}");
    let text = world.metrics().await;
    let accounted = sum(&text, "notifications_total") + sum(&text, "queued_notifications");
    assert_eq!((sum(&text, "taken_notifications_total"), accounted), (100.0, 100.0));
    world.stop().await;
}

#[tokio::test]
async fn an_app_with_a_refused_credential_reports_it_until_it_is_provisioned_again() {
    let world = World::with(Credential::Token).await;
    let before = shown(&world).await;
    assert_eq!((&before["state"], &before["last_success_at"]), (&json!("ok"), &Value::Null));
    let refuse = Act::Answer { status: 403, reason: "InvalidProviderToken".to_owned() };
    world.simulator.set_script(Script { faults: vec![Fault::new(refuse)], ..Script::default() }).expect("a script");
    assert_eq!(world.send(&to(&token(1))).await.outcomes(), ["not_sent"]);
    let app = shown(&world).await;
    assert_eq!(app["state"], "credential_error");
    assert!(app["last_error"].as_str().is_some_and(|why| why.contains("InvalidProviderToken")), "{app}");
    assert!(app["last_error_at"].as_f64().is_some_and(|at| at > 1_600_000_000.0), "{app}");
    let list = world.client().await.get("/apps").await;
    assert_eq!(list.response()[0]["state"], "credential_error");

    world.simulator.set_script(Script::default()).expect("a script");
    assert_eq!(world.provision(APP, Credential::Token).await.response()["state"], "ok");
    assert_eq!(world.send(&to(&token(1))).await.outcomes(), ["accepted"]);
    let app = shown(&world).await;
    assert_eq!((&app["state"], &app["last_error"]), (&json!("ok"), &Value::Null));
    assert!(app["last_success_at"].as_f64().is_some_and(|at| at > 1_600_000_000.0), "{app}");
    world.stop().await;
}

#[tokio::test]
async fn prometheus_learns_when_a_certificate_expires_as_long_as_the_app_is_there() {
    let world = World::start().await;
    let ends = shown(&world).await["credential"]["expires_at"].as_f64().expect("a time");
    let name = "credential_expires_timestamp_seconds{app_id=\"com.example.app\",environment=\"sandbox\"}";
    assert_eq!(sum(&world.metrics().await, name), ends);
    assert_eq!(world.client().await.call("DELETE", APP, "").await.status, 200);
    assert!(!world.metrics().await.contains("credential_expires"));
    world.stop().await;
}
