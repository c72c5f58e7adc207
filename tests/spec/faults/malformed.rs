//! Group 11, malformed answers: an unusual answer costs at most its reason, a broken one at most its own notification.

use super::outcomes::{Outcomes, Tally, only};
use crate::support::world::{Credential, World};
use simulator::{Act, DebugData, Fault, Malformed, Options, Script};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
/// Sent under each oddity, and how many of them get it.
const SENT: usize = 200;
const ODD: usize = 10;

fn play(malformed: Malformed) -> Script {
    let fault = Fault { every: Some(20), times: Some(ODD as u64), ..Fault::new(Act::Malformed(Box::new(malformed))) };
    Script { faults: vec![fault], ..Script::default() }
}

fn pairs(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), value.to_owned())]
}

fn text(text: &str) -> Option<DebugData> {
    Some(DebugData::Text(text.to_owned()))
}

/// The told outcomes where so many were malformed and told so.
fn expected(malformed: &str) -> Tally {
    match malformed {
        "accepted" => Tally::from([("accepted".to_owned(), SENT)]),
        malformed => Tally::from([("accepted".to_owned(), SENT - ODD), (malformed.to_owned(), ODD)]),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_odd_answer_is_understood_as_far_as_it_goes() {
    let malformed = Malformed::default;
    let kinds = [
        ("accepted", Malformed { apns_id: false, ..malformed() }),
        ("accepted", Malformed { headers: pairs("x-news", &"n".repeat(3000)), ..malformed() }),
        ("accepted", Malformed { trailers: pairs("x-late", "1"), ..malformed() }),
        ("accepted", Malformed { continuation: true, informational: vec![100, 103, 199], ..malformed() }),
        ("accepted", Malformed { body: text("a body on 200"), ..malformed() }),
        ("accepted", Malformed { reset: Some(2), ..malformed() }),
        ("rejected", Malformed { status: Some(400), body: text(""), ..malformed() }),
        ("rejected", Malformed { status: Some(400), body: text("{\"reason\":"), apns_id: false, ..malformed() }),
        ("rejected", Malformed { status: Some(400), body: text("[\"BadDeviceToken\"]"), ..malformed() }),
        ("rejected", Malformed { status: Some(404), body: Some(DebugData::Base64(vec![0xff; 16_000])), ..malformed() }),
        (
            "rejected Novelty",
            Malformed { status: Some(400), body: Some(DebugData::Reason("Novelty".into())), ..malformed() },
        ),
        ("rejected", Malformed { status: Some(418), body: text(""), trailers: pairs("x", "y"), ..malformed() }),
        (
            "rejected PayloadTooLarge",
            Malformed {
                status: Some(413),
                body: Some(DebugData::Reason("PayloadTooLarge".into())),
                reset: Some(0),
                ..malformed()
            },
        ),
        ("unknown", Malformed { status: Some(204), body: text(""), ..malformed() }),
        (
            "unknown",
            Malformed {
                status: Some(302),
                body: text(""),
                headers: pairs("location", "https://elsewhere.example"),
                ..malformed()
            },
        ),
        ("unknown", Malformed { status: Some(777), body: text(""), ..malformed() }),
        ("unknown malformed_answer", Malformed { headers: vec![pairs("x", "1"); 200].concat(), ..malformed() }),
        ("unknown malformed_answer", Malformed { headers: pairs(":path", "/"), ..malformed() }),
        ("unknown malformed_answer", Malformed { headers: pairs("connection", "close"), ..malformed() }),
    ];
    let world = World::with_one_connection(Options::default(), Credential::Certificate).await;
    let mut outcomes = Outcomes::new();
    assert!(only(&outcomes.send(&world, 100).await, "accepted"));
    let mut wrong = Vec::new();
    for (how, malformed) in kinds {
        world.simulator.set_script(play(malformed.clone())).expect("a script");
        let told = outcomes.send(&world, SENT).await;
        if told != expected(how) {
            wrong.push(format!("{malformed:?}: {told:?}"));
        }
        world.simulator.set_script(Script::default()).expect("a script");
        outcomes.recover(&world, &format!("11 {how}"), Instant::now(), SECOND).await;
        outcomes.check(&world);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(world.simulator.ledger().totals().connections, 1, "none of it ended the connection");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dynamic_table_of_nothing_is_kept_in_step() {
    for table_size in [0, 64] {
        let world = World::with_one_connection(Options::default(), Credential::Token).await;
        let mut outcomes = Outcomes::new();
        assert!(only(&outcomes.send(&world, 100).await, "accepted"));
        world
            .simulator
            .set_script(play(Malformed { table_size: Some(table_size), ..Malformed::default() }))
            .expect("a script");
        let told = outcomes.send(&world, 300).await;
        assert!(only(&told, "accepted"), "{told:?}");
        world.simulator.set_script(Script::default()).expect("a script");
        outcomes.recover(&world, "11 table size", Instant::now(), SECOND).await;
        outcomes.check(&world);
        assert_eq!(world.simulator.ledger().totals().connections, 1);
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_the_other_environment_stops_its_app_in_every_spelling() {
    for reason in ["BadEnvironmentKeyInToken", "BadEnvironmentKeyIdInToken"] {
        let world = World::with(Credential::Token).await;
        let mut outcomes = Outcomes::new();
        let malformed =
            Malformed { status: Some(403), body: Some(DebugData::Reason(reason.into())), ..Malformed::default() };
        let script = Script { faults: vec![Fault::new(Act::Malformed(Box::new(malformed)))], ..Script::default() };
        world.simulator.set_script(script).expect("a script");
        let told = outcomes.send(&world, 200).await;
        assert_eq!(told.values().sum::<usize>(), 200);
        assert!(told.keys().all(|how| how.starts_with("not_sent")), "{told:?}");
        assert_eq!(told[&format!("not_sent {reason}")], 1, "asked once: {told:?}");
        world.simulator.set_script(Script::default()).expect("a script");
        assert_eq!(world.provision(crate::support::world::APP, Credential::Token).await.status, 201);
        outcomes.recover(&world, &format!("11 {reason}, provisioned again"), Instant::now(), 2 * SECOND).await;
        outcomes.check(&world);
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_block_without_measure_costs_its_connection_and_no_more() {
    let world = World::with_one_connection(Options::default(), Credential::Certificate).await;
    let mut outcomes = Outcomes::new();
    assert!(only(&outcomes.send(&world, 100).await, "accepted"));
    let huge = Malformed { headers: pairs("x-huge", &"n".repeat(17_000)), continuation: true, ..Malformed::default() };
    let fault = Fault { every: Some(100), times: Some(1), ..Fault::new(Act::Malformed(Box::new(huge))) };
    world.simulator.set_script(Script { faults: vec![fault], ..Script::default() }).expect("a script");
    let began = Instant::now();
    let told = outcomes.send(&world, 300).await;
    assert_eq!(told["accepted"] + told["unknown connection_lost"], 300, "{told:?}");
    outcomes.recover(&world, "11 endless header block", began, 5 * SECOND).await;
    outcomes.check(&world);
    assert_eq!(world.simulator.ledger().totals().connections, 2);
    world.stop().await;
}
