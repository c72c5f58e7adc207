//! Bulk sends: one payload to many devices, and streams of lines.

use crate::support::client::Client;
use crate::support::daemon::Daemon;
use crate::support::full;
use crate::support::stream::{self, Outcomes, Protocol};
use crate::support::world::{APP, World, to, token};
use bytes::Bytes;
use serde_json::{Value, json};
use simulator::{LedgerMode, Options, TokenState};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

/// The number of lines of one write.
const LINES: usize = 500;
/// Every hundredth line is bad.
const BAD_EVERY: usize = 100;

#[tokio::test]
async fn one_payload_goes_to_many_with_an_outcome_for_each_in_order() {
    let world = World::start().await;
    world.simulator.set_token(&token(3), Some(TokenState::Bad));
    let tokens: Vec<String> = (0..1000).map(token).collect();
    let payload = json!({"aps": {"alert": "Hello, all"}});
    let answer = world.send(&json!({"tokens": tokens, "payload": payload, "identifier": "all"})).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let outcomes = answer.response().as_array().expect("a list");
    assert_eq!(outcomes.len(), tokens.len());
    for (at, outcome) in outcomes.iter().enumerate() {
        assert_eq!((&outcome["token"], &outcome["identifier"]), (&json!(tokens[at]), &json!("all")));
        assert_eq!(outcome["outcome"], if at == 3 { "rejected" } else { "accepted" });
    }
    let entries = world.simulator.ledger().entries();
    let arrived: HashSet<_> = entries.iter().map(|entry| entry.token.clone()).collect();
    assert!(entries.len() == 1000 && arrived == tokens.into_iter().collect(), "each token once");
    assert!(entries.iter().all(|entry| entry.body == payload.to_string()));
    assert_eq!(world.simulator.ledger().totals().accepted_ids, 999, "each under its own apns-id");
    let refused = world.send(&json!([to(&token(1)), {"tokens": [token(1), "xy"], "payload": {}}])).await;
    assert_eq!((refused.status, refused.reason()), (400, "token_not_hex"), "{refused:?}");
    assert_eq!(refused.body["args"], json!({"index": 1, "field": "tokens", "token_index": 1}));
    assert_eq!(world.simulator.ledger().totals().requests, 1000, "nothing of a bad request is sent");
    world.stop().await;
}

#[tokio::test]
async fn lines_with_a_bad_size_are_in_the_disconnection_log_before_their_outcome() {
    let world = World::start().await;
    let large = json!({"aps": {}, "text": "x".repeat(5000)});
    let lines = [
        json!({"token": "xyz", "payload": {"aps": {}}, "identifier": "a", "expiry": 7}),
        json!({"token": "abc", "payload": {}, "identifier": 2}),
        to(&token(1)),
        json!({"token": token(2), "payload": large, "identifier": "large"}),
        json!({"token": "", "payload": {}}),
        json!({"token": token(3), "payload": {}, "colour": 1}),
    ];
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let mut client = world.client().await;
    let kind = ("content-type", "application/x-ndjson");
    assert_eq!(client.post_with(&format!("{APP}/notifications"), kind, lines).await.status, 201);
    let log = client.get(&format!("{APP}/disconnections")).await;
    let shown = |event: &Value| {
        let of = |field: &str| event[field].clone();
        json!([of("code"), of("verbose_message"), of("reason"), of("offending_notification")])
    };
    let shown: Vec<_> = log.response().as_array().expect("a list").iter().map(shown).collect();
    let notification = |expiry: Value, identifier: Value, payload: Value, token: &str| json!({"type": "notification", "expiry": expiry, "identifier": identifier, "payload": payload, "token": token});
    let size = "Invalid token size";
    let expected = [
        json!([5, size, "token_not_hex", notification(json!(7), json!("a"), json!({"aps": {}}), "xyz")]),
        json!([5, size, "token_odd_length", notification(Value::Null, json!(2), json!({}), "abc")]),
        json!([
            7,
            "Invalid payload size",
            "payload_too_large",
            notification(Value::Null, json!("large"), large, &token(2))
        ]),
    ];
    assert_eq!(shown, expected);
    let refused = world.send(&json!([{"token": "xyz", "payload": {}}])).await;
    assert_eq!((refused.status, refused.reason()), (400, "token_not_hex"));
    let log = client.get(&format!("{APP}/disconnections")).await;
    assert_eq!(log.response().as_array().map(Vec::len), Some(3), "of a request that is refused whole nothing happened");
    world.stop().await;
}

/// The lines `from..to`; each hundredth is bad, some are blank.
fn lines(from: usize, to: usize) -> Bytes {
    let mut text = String::new();
    for number in from..to {
        let (token, n) = (token(number), number);
        let _ = match n % BAD_EVERY {
            7 if n % 200 == 7 => writeln!(text, "\n{{\"token\":\"xyz\",\"payload\":{{}},\"identifier\":{n}}}\r"),
            7 => writeln!(text, "{{\"identifier\":{n},\"token\":"),
            _ => {
                writeln!(text, "{{\"identifier\":{n},\"token\":\"{token}\",\"payload\":{{\"aps\":{{\"badge\":{n}}}}}}}")
            }
        };
    }
    text.into()
}

/// Checks that these are the outcomes of the lines from `next` on.
fn check(outcomes: &[Value], next: usize) {
    for (number, outcome) in (next..).zip(outcomes) {
        let (kind, reason, identifier) = match number % BAD_EVERY {
            7 if number % 200 == 7 => ("rejected", json!("token_not_hex"), json!(number)),
            7 => ("rejected", json!("malformed_json"), Value::Null),
            _ => ("accepted", Value::Null, json!(number)),
        };
        let told = (&outcome["outcome"], &outcome["reason"], &outcome["identifier"]);
        assert_eq!(told, (&json!(kind), &reason, &identifier), "line {number}: {outcome}");
        assert_eq!(outcome["token"].is_null(), kind == "rejected");
    }
}

/// Streams `total` lines and checks every outcome. What `measure` says after a tenth of them, and at the end.
async fn stream_all(node: SocketAddr, protocol: Protocol, total: usize, measure: impl Fn() -> usize) -> (usize, usize) {
    let (sender, mut outcomes) = stream::open(node, protocol).await;
    assert_eq!((outcomes.status, outcomes.kind.as_str()), (201, "application/x-ndjson"));
    let writer = tokio::spawn(async move {
        for from in (0..total).step_by(LINES) {
            sender.send(lines(from, from + LINES)).await.expect("the node reads on");
        }
    });
    let (mut told, mut early) = (0, 0);
    while let Some(some) = outcomes.more().await {
        check(&some, told);
        told += some.len();
        if early == 0 && told >= total / 10 {
            early = measure();
        }
    }
    writer.await.expect("no panic");
    assert_eq!(told, total, "an outcome for each line");
    (early, measure())
}

/// A million lines in the long form, which then keeps no ledger but its totals.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_lines_gets_an_outcome_for_each_in_order_and_in_flat_memory() {
    let total = if full() { 1_000_000 } else { 20_000 };
    let ledger = if full() { LedgerMode::Counts } else { LedgerMode::Full };
    let world = World::beside(Options { ledger, ..Options::default() }).await;
    let daemon = Daemon::start(&world).await;
    let (early, late) = stream_all(daemon.address, Protocol::Http1, total, || daemon.resident()).await;
    println!("resident: {} KiB after a tenth, {} KiB at the end", early >> 10, late >> 10);
    let good = (total - total / BAD_EVERY) as u64;
    let totals = world.simulator.ledger().totals();
    assert_eq!((totals.requests, totals.accepted), (good, good));
    assert!(late < early + (8 << 20), "{early} bytes after a tenth, {late} at the end");
    if !full() {
        let numbers = (0..total).filter(|number| number % BAD_EVERY != 7);
        let expected = numbers.map(|number| (token(number), json!({"aps": {"badge": number}}).to_string().into()));
        let entries = world.simulator.ledger().entries().into_iter().map(|entry| (entry.token, entry.body));
        assert!(entries.collect::<HashSet<(String, Bytes)>>() == expected.collect());
    }
    world.stop().await;
}

#[tokio::test]
async fn a_stream_works_over_http2_too() {
    let world = World::start().await;
    stream_all(world.node.address, Protocol::Http2, 4_000, || 0).await;
    assert_eq!(world.simulator.ledger().totals().accepted, 3_960);
    world.stop().await;
}

#[tokio::test]
async fn a_line_is_answered_before_the_next_one_comes() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let world = World::start().await;
        let (sender, mut outcomes) = stream::open(world.node.address, protocol).await;
        for number in 0..10 {
            sender.send(lines(number, number + 1)).await.expect("the node reads");
            let told = outcomes.more().await.expect("an outcome");
            assert_eq!(told.len(), 1);
            check(&told, number);
        }
        // The last line needs no end.
        sender.send(to(&token(1)).to_string().into()).await.expect("the node reads");
        drop(sender);
        assert_eq!(outcomes.more().await.expect("an outcome")[0]["outcome"], "accepted");
        assert!(outcomes.more().await.is_none());
        world.stop().await;
    }
}

#[tokio::test]
async fn an_invalid_stream_is_refused_like_any_other_request() {
    let world = World::start().await;
    let mut client = world.client().await;
    assert_eq!(client.call("DELETE", APP, "").await.status, 200);
    let (_sender, outcomes) = stream::open(world.node.address, Protocol::Http2).await;
    assert_eq!((outcomes.status, outcomes.kind.as_str()), (404, "application/json"));
    world.stop().await;
}

/// Writes lines until they are not read any more, and returns their number.
async fn write_until_stuck(sender: &tokio::sync::mpsc::Sender<Bytes>, stuck: Duration) -> usize {
    let mut written = 0;
    while let Ok(sent) = tokio::time::timeout(stuck, sender.send(lines(written, written + LINES))).await {
        sent.expect("the node holds the connection");
        written += LINES;
        assert!(written < 1_000_000, "a caller that does not read is read without end");
    }
    written
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_stops_reading_is_not_read_and_delays_no_other() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let world = World::beside(Options { ledger: LedgerMode::Counts, ..Options::default() }).await;
        let daemon = Daemon::start(&world).await;
        let mut other = Client::connect(daemon.address).await;
        let before = daemon.resident();
        let (sender, mut outcomes) = stream::open(daemon.address, protocol).await;
        let written = write_until_stuck(&sender, Duration::from_secs(1)).await;
        let grown = daemon.resident().saturating_sub(before);
        println!("{protocol:?}: {written} lines went out, {} KiB more resident", grown >> 10);
        // 4 MiB are the stream's, the rest is its connection's, Apple's connections' and the allocator's.
        assert!(grown < 16 << 20, "{grown} bytes");
        for number in 0..20 {
            let answer = other.post(&format!("{APP}/notifications"), to(&token(number)).to_string()).await;
            assert_eq!(answer.outcomes(), ["accepted"]);
        }
        drop(sender);
        let told = read_all(&mut outcomes).await;
        assert_eq!(told, written, "reading on gets all of it");
        world.stop().await;
    }
}

async fn read_all(outcomes: &mut Outcomes) -> usize {
    let mut told = 0;
    while let Some(some) = outcomes.more().await {
        check(&some, told);
        told += some.len();
    }
    told
}

#[tokio::test]
async fn a_disconnecting_caller_does_not_stop_the_notifications_taken() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let world = World::start().await;
        let latency = simulator::Latency::FixedMs(100.0);
        let script = simulator::Script { latency: Some(latency), ..Default::default() };
        world.simulator.set_script(script).expect("a good script");
        let (sender, outcomes) = stream::open(world.node.address, protocol).await;
        sender.send(lines(0, 5)).await.expect("the node reads");
        world.simulator.ledger().wait_until(|totals| totals.requests == 5).await;
        outcomes.hang_up();
        world.simulator.ledger().wait_until(|totals| totals.answered == 5).await;
        let delivered = "pyapns_notifications_total{outcome=\"accepted\"";
        while !world.metrics().await.lines().any(|line| line.starts_with(delivered) && line.ends_with(" 5")) {
            tokio::task::yield_now().await;
        }
        world.stop().await;
    }
}

#[tokio::test]
async fn a_node_that_stops_answers_every_line_it_was_given_and_waits_for_no_silent_stream() {
    let world = World::start().await;
    let (sender, mut outcomes) = stream::open(world.node.address, Protocol::Http1).await;
    sender.send(lines(0, 5)).await.expect("the node reads");
    assert_eq!(outcomes.more().await.map(|told| told.len()), Some(5));
    let World { node, simulator, directory } = world;
    let stopping = tokio::spawn(node.stop());
    // How many are still sent depends on when the node hears of its end; the last are not, and their outcomes say so.
    let mut last = Value::Null;
    while last["reason"] != "shutting_down" {
        sender.send(to(&token(1)).to_string().into()).await.expect("the node reads");
        sender.send(Bytes::from_static(b"\n")).await.expect("the node reads");
        last = outcomes.more().await.expect("an outcome").pop().expect("one");
    }
    assert_eq!(last["outcome"], "not_sent");
    stopping.await.expect("the node stops in time, though the stream is open");
    simulator.stop().await;
    drop((sender, directory));
}
