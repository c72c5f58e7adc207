//! A cluster explains itself: who its members are, which of them sends for an app and why; and operators can decide.
//!
//! Tests that wait for a lease to end take up to 10 s.

mod decided;
mod shown;
mod summed;

use crate::support::site::Node;
use serde_json::{Value, json};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// The `response` of `GET /cluster`.
async fn cluster(node: &Node) -> Value {
    let answer = node.client().await.get("/cluster").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.response().clone()
}

/// The entry of that node in a list of the cluster.
fn entry<'a>(cluster: &'a Value, list: &str, node: &str) -> &'a Value {
    let entries = cluster[list].as_array().expect("a list");
    entries.iter().find(|entry| entry["node"] == node).unwrap_or(&Value::Null)
}

/// The answer to the question for the owner of the only lane of an app: owner, substitute and reason.
async fn owner(node: &Node, app: &str) -> (String, Option<String>, String) {
    let id = app.split('/').nth(2).expect("an id");
    let body = json!({"app_id": id, "environment": "sandbox"}).to_string();
    let answer = node.client().await.post("/cluster/owner", body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let lane = &answer.response()["lanes"][0];
    let text = |field: &str| lane[field].as_str().map(str::to_owned);
    (text("owner").unwrap_or_default(), text("substitute"), text("why").expect("a reason"))
}

/// Waits until each of these nodes gives the lane this owner for this reason.
async fn wait_owner(nodes: &[Node], app: &str, wanted: &str, why: &str) {
    for node in nodes {
        let is_so = async |node: &Node| {
            let (owner, _, because) = owner(node, app).await;
            (owner.as_str(), because.as_str()) == (wanted, why)
        };
        node.wait(&format!("{wanted} owns {app}: {why}"), is_so).await;
    }
}
