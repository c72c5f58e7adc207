//! Group 13, the ledger: what the node writes, header by header, and how it spends streams, connections and tokens.

use super::outcomes::{Outcomes, only};
use crate::support::world::{APP, Credential, World, token};
use serde_json::{Value, json};
use simulator::{Entry, Form, Latency, Options, Script};
use std::collections::HashMap;

const PER_MESSAGE: [&str; 3] = [":path", "apns-id", "apns-collapse-id"];

fn form(entry: &Entry, name: &str) -> Option<Form> {
    let fields = entry.headers.as_ref().expect("a recorded connection");
    assert!(fields.iter().filter(|field| field.name == name).count() <= 1, "{name} twice");
    fields.iter().find(|field| field.name == name).map(|field| field.form)
}

/// Names may enter the table once with a value of theirs; values of single messages must not follow.
fn check_forms(entries: &[Entry]) {
    let mut inserted: HashMap<(u64, &str), usize> = HashMap::new();
    for entry in entries {
        assert_ne!(form(entry, ":path"), Some(Form::Incremental), "a device token in the table");
        for name in ["apns-id", "apns-collapse-id"] {
            if form(entry, name) == Some(Form::Incremental) {
                *inserted.entry((entry.connection, name)).or_default() += 1;
            }
            assert_ne!(form(entry, name), Some(Form::Indexed), "{name} is new each time");
        }
    }
    assert!(inserted.values().all(|times| *times == 1), "{inserted:?}");
    let last = entries.last().expect("entries");
    let fields = last.headers.as_ref().expect("recorded");
    for field in fields.iter().filter(|field| !PER_MESSAGE.contains(&field.name.as_str())) {
        assert_eq!(field.form, Form::Indexed, "{} costs a byte by now", field.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_written_as_apple_asks() {
    for credential in [Credential::Certificate, Credential::Token] {
        let script = Script { record_headers: true, latency: Some(Latency::FixedMs(5.0)), ..Script::default() };
        let world = World::with_one_connection(Options { script, ..Options::default() }, credential).await;
        let mut outcomes = Outcomes::new();
        assert!(only(&outcomes.send(&world, 500).await, "accepted"));
        let one = |at| json!({"token": token(at), "payload": {"aps": {}}, "collapse_id": format!("c{at}")});
        let answer = world.send(&Value::Array((0..200).map(one).collect())).await;
        assert!(answer.outcomes().iter().all(|how| *how == "accepted"));
        outcomes.check(&world);
        let entries = world.simulator.ledger().entries();
        check_forms(&entries);
        let totals = world.simulator.ledger().totals();
        assert_eq!((totals.priority_frames, totals.over_limit, totals.connections), (0, 0, 1), "{totals:?}");
        assert!((1..=1000).contains(&totals.streams_highest), "{totals:?}");
        assert_eq!(totals.jwts, u64::from(credential == Credential::Token));
        println!("13 {credential:?}: {} streams at a time at most", totals.streams_highest);
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_sends_apple_one_token_from_any_number_of_apps_and_nodes() {
    let world = World::with(Credential::Token).await;
    let world = {
        let other = "/apps/com.example.app/production";
        assert_eq!(world.provision(other, Credential::Token).await.status, 201);
        let (mut outcomes, mut others) = (Outcomes::new(), Outcomes::of(other));
        let (one, two) = tokio::join!(outcomes.send(&world, 300), others.send(&world, 300));
        assert!(only(&one, "accepted") && only(&two, "accepted"), "{one:?} {two:?}");
        let world = world.restart().await;
        assert_eq!(world.provision(APP, Credential::Token).await.status, 201, "even provisioned again");
        assert!(only(&outcomes.send(&world, 100).await, "accepted"));
        outcomes.check(&world);
        others.check(&world);
        world
    };
    let totals = world.simulator.ledger().totals();
    assert!(totals.connections >= 3);
    // Two when the half hour, by which the node dates tokens, ended in between.
    assert!((1..=2).contains(&totals.jwts_in_20_minutes), "{totals:?}");
    world.stop().await;
}
