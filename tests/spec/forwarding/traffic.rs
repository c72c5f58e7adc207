//! Traffic over three nodes while links fail: what callers are told, against what Apple saw.

use crate::support::client::Client;
use crate::support::fault_proxy::Way;
use crate::support::fleet::{Fleet, Plan, app_owned_among};
use crate::support::world::token;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

const SPAN: Duration = Duration::from_secs(5);
const EVERY: Duration = Duration::from_millis(20);

#[tokio::test]
async fn under_failing_links_every_caller_is_told_the_truth_of_every_notification() {
    let apps = [0, 1, 2].map(|index| app_owned_among(3, index));
    let fleet = Fleet::ready(Plan::of(3).proxied(&[1, 2]), &apps.each_ref().map(String::as_str)).await;
    let spread = "/apps/com.example.spread/sandbox".to_owned();
    fleet.provision(&spread, &json!({"lanes": 8})).await;
    let apps: Vec<String> = apps.into_iter().chain([spread]).collect();
    let (began, mut clock, mut callers, mut sent) = (Instant::now(), interval(EVERY), JoinSet::new(), 0);
    while began.elapsed() < SPAN {
        clock.tick().await;
        let way = |from: u128, to: u128, way| {
            if (from..to).contains(&began.elapsed().as_millis()) { way } else { Way::Open }
        };
        fleet.proxies[1].as_ref().expect("a proxy").set(way(500, 900, Way::Cut));
        fleet.proxies[2].as_ref().expect("a proxy").set(way(1000, 3000, Way::Stalled));
        for (at, app) in apps.iter().enumerate() {
            let count = if at == 1 { 1 } else { 5 };
            let one = |number| json!({"token": token(number), "payload": {"aps": {"badge": number}}});
            let body = Value::Array((sent..sent + count).map(one).collect()).to_string();
            sent += count;
            let address = fleet.nodes[0].address;
            let query = if sent % 2 == 0 { "?timeout=8" } else { "?timeout=8&retry_unknown=true" };
            let path = format!("{app}/notifications{query}");
            callers.spawn(async move { (query, Client::connect(address).await.post(&path, body).await) });
        }
    }
    let (mut told, mut tally) = (HashMap::new(), BTreeMap::new());
    while let Some(answered) = callers.join_next().await {
        let (query, answer) = answered.expect("a caller without a fault");
        assert_eq!(answer.status, 201, "{answer:?}");
        for outcome in answer.response().as_array().expect("a list") {
            let text = |field: &str| outcome[field].as_str().unwrap_or_default().to_owned();
            *tally.entry(format!("{} {}", text("outcome"), text("reason"))).or_insert(0) += 1;
            assert!(told.insert(text("apns_id"), (text("outcome"), query)).is_none(), "told twice");
        }
    }
    println!("{sent} sent: {tally:?}");
    assert_eq!(told.len(), sent);
    let ledger = fleet.simulator.ledger().accepted_ids();
    for (id, (outcome, query)) in &told {
        let times = ledger.get(id).copied().unwrap_or(0);
        match outcome.as_str() {
            "accepted" => assert!(times >= 1, "{id} was reported accepted, and Apple does not have it"),
            "unknown" => {}
            other => assert_eq!(times, 0, "Apple has {id}, which was reported {other}"),
        }
        assert!(times <= 1 || query.contains("retry_unknown"), "Apple has {id} {times} times");
    }
    assert!(ledger.keys().all(|id| told.contains_key(id)), "Apple has what nobody sent");
    assert!(tally.get("accepted ").is_some_and(|accepted| accepted * 10 >= sent * 7), "{tally:?}");
    fleet.wait_reachable().await;
    fleet.stop().await;
}
