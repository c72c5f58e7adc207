//! The load that other tests use, and its comparison of what callers read with what Apple had.

use crate::support::load::{End, Load, Note, Verdict};
use crate::support::site::{Site, apps_of};
use crate::support::world::{APP, World, to};
use std::net::SocketAddr;
use std::time::Duration;

#[tokio::test]
async fn a_comparison_of_two_ledgers_finds_what_is_lost_doubled_and_reported_wrong() {
    let world = World::start().await;
    let running = Load::new(&[world.node.address], &[APP.to_owned()]).start();
    let (third, nowhere) = (running.token(3), SocketAddr::from(([127, 0, 0, 1], 1)));
    while running.sent() < 20 {
        tokio::task::yield_now().await;
    }
    // The last ones find no address.
    running.set_fronts(&[nowhere]);
    let until = running.sent() + 5;
    while running.sent() < until {
        tokio::task::yield_now().await;
    }
    let mut told = running.stop().await;
    let ledger = world.simulator.ledger();
    assert_eq!(told.compare(ledger), Verdict::default(), "{:?}", told.tally());
    let last = told.notes.len() - 1;
    assert_eq!(told.notes[last].end, End::Unreached);
    assert!(told.accepted() >= 20 && told.seen(ledger).len() == told.accepted(), "{:?}", told.tally());

    let answer = world.send(&to(&third)).await;
    assert_eq!(answer.outcomes(), ["accepted"]);
    let told_so = |outcome: &str| End::Told { outcome: outcome.to_owned(), reason: String::new() };
    told.notes[last].end = told_so("accepted");
    told.notes[5].end = told_so("not_sent");
    told.notes[6].end = End::Refused { status: 503, reason: "node_overloaded".to_owned() };
    told.notes[7].end = End::Unreached;
    // Of these two nothing is said.
    told.notes[8].end = told_so("unknown");
    told.notes[9].end = End::Broken;
    let expected = Verdict { lost: vec![last], doubled: vec![3], wrong: vec![5, 6, 7] };
    assert_eq!(told.compare(ledger), expected);
    world.stop().await;
}

#[tokio::test]
async fn three_nodes_send_a_steady_load_of_many_apps_and_callers_and_apple_agree() {
    const NAMES: [&str; 3] = ["a", "b", "c"];
    let site = Site::new(&[]).await;
    let apps: Vec<_> = (0..3).flat_map(|index| apps_of(&NAMES, index, 3)).collect();
    let nodes = site.ready(NAMES, &apps).await;
    let fronts = nodes.each_ref().map(|node| node.process.address);
    let load = Load::new(&fronts, &apps).per_second(300).per_request(3).timeout_seconds(10);
    let told = load.run(Duration::from_secs(2)).await;
    told.assert_true(site.simulator.ledger());
    println!("{:?}, latest start {:?}", told.tally(), told.latest_start());
    assert_eq!(told.accepted(), told.notes.len(), "{:?}", told.tally());
    assert!(told.notes.len() >= 500, "{}", told.notes.len());
    // Each app was sent through each node.
    for app in 0..apps.len() {
        for front in fronts {
            let is_here = |note: &&Note| note.app == app && note.front == Some(front);
            assert!(told.notes.iter().any(|note| is_here(&note)), "{app} {front}");
        }
    }
    for node in nodes {
        node.process.stop().await;
    }
}
