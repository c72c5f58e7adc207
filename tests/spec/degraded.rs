//! A cluster whose Redis fails: what callers still get, and what arrives once Redis is back.
//!
//! The tests wait for outages: each takes at most 40 s, and in the long form (`PYAPNS_TEST_FULL`) two minutes.

mod emptied;
mod keys;
mod outages;
mod restarted;

use crate::support::client::Answer;
use crate::support::load::{Load, Running};
use crate::support::site::{Node, Site};
use crate::support::world::token;
use serde_json::{Value, json};
use simulator::TokenState;
use std::collections::BTreeSet;

const NAMES: [&str; 3] = ["a", "b", "c"];

/// A steady load through all of these nodes.
fn load(nodes: &[&Node], apps: &[String]) -> Running {
    let fronts: Vec<_> = nodes.iter().map(|node| node.process.address).collect();
    Load::new(&fronts, apps).per_second(120).per_request(2).start()
}

/// Makes the token of that number dead for Apple.
fn kill_token(site: &Site, number: usize) {
    site.simulator.set_token(&token(number), Some(TokenState::Dead { reason: "BadDeviceToken", timestamp: None }));
}

/// Sends to the token of that number, which is dead.
async fn rejects(node: &Node, app: &str, number: usize) {
    let answer = node.send(app, number).await;
    assert_eq!(answer.outcomes(), ["rejected"], "by {}: {answer:?}", node.name);
}

/// Tokens of these numbers.
fn tokens(numbers: impl IntoIterator<Item = usize>) -> BTreeSet<String> {
    numbers.into_iter().map(token).collect()
}

/// The tokens in an app's feedback; an empty set while the node cannot read it.
async fn feedback(node: &Node, app: &str) -> BTreeSet<String> {
    let page = node.client().await.get(&format!("{app}/feedback")).await;
    let entries = page.response().as_array().cloned().unwrap_or_default();
    entries.iter().map(|entry| entry["token"].as_str().expect("a token").to_owned()).collect()
}

/// The numbers of entries in an app's disconnection log for each token.
async fn logged(node: &Node, app: &str) -> Vec<String> {
    let page = node.client().await.get(&format!("{app}/disconnections")).await;
    let entries = page.response().as_array().cloned().unwrap_or_default();
    entries
        .iter()
        .map(|entry| entry["offending_notification"]["token"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// The entry of one part in the node's `/readyz`; `null` if the part works.
async fn degraded(node: &Node, what: &str) -> Value {
    let ready = node.client().await.get("/readyz").await;
    let parts = ready.response()["degraded"].as_array().cloned().unwrap_or_default();
    parts.into_iter().find(|part| part["what"] == what).unwrap_or(Value::Null)
}

/// Waits until nothing of the node is degraded.
async fn wait_well(node: &Node) {
    let is_well = async |node: &Node| {
        let ready = node.client().await.get("/readyz").await;
        (ready.status, &ready.response()["status"]) == (200, &json!("ready"))
    };
    node.wait("it is ready, and nothing is degraded", is_well).await;
}

/// The ids of a node's apps.
async fn apps_of_node(node: &Node) -> BTreeSet<String> {
    let answer = node.client().await.get("/apps").await;
    let id = |app: &Value| app["app_id"].as_str().expect("an id").to_owned();
    answer.response().as_array().expect("a list").iter().map(id).collect()
}

fn assert_refused(answer: &Answer, status: u16, reason: &str) {
    assert_eq!((answer.status, answer.reason()), (status, reason), "{answer:?}");
}
