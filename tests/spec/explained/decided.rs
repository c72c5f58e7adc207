//! Operators pin lanes and cordon nodes: all nodes follow, and nothing is lost.

use super::{NAMES, cluster, entry, wait_owner};
use crate::support::client::Answer;
use crate::support::load::Load;
use crate::support::shared::pyapns;
use crate::support::site::{Node, Seat, Site, apps_of};
use serde_json::json;

/// `/apps/APP/sandbox` as the path of the pin of its lane 0.
fn pin_of(app: &str) -> String {
    format!("/cluster/pins/{}/0", app.trim_start_matches("/apps/"))
}

async fn pin(by: &Node, app: &str, to: &str) -> Answer {
    by.client().await.call("PUT", &pin_of(app), json!({"node": to}).to_string()).await
}

async fn decide(by: &Node, node: &str, action: &str) -> Answer {
    by.client().await.post(&format!("/cluster/nodes/{node}"), json!({"action": action}).to_string()).await
}

#[tokio::test]
async fn a_pinned_lane_and_the_lanes_of_a_cordoned_node_move_on_every_node_and_come_back() {
    let site = Site::new(&[]).await;
    let app = apps_of(&NAMES, 1, 1).remove(0);
    let mut nodes = site.ready(NAMES, std::slice::from_ref(&app)).await;
    let pinned = pin(&nodes[0], &app, "c").await;
    assert_eq!((pinned.status, &pinned.response()["changed"]), (200, &json!(true)), "{pinned:?}");
    assert_eq!(pin(&nodes[1], &app, "c").await.response()["changed"], false, "it is there already");
    wait_owner(&nodes, &app, "c", "pin").await;
    nodes[0].sends(&app, 1).await;
    assert_eq!(nodes[2].metric("pyapns_attempts_total").await, 1.0);
    let id = app.split('/').nth(2).expect("an id");
    let shown = json!({"app_id": id, "environment": "sandbox", "lane": 0, "node": "c"});
    assert_eq!(cluster(&nodes[1]).await["pins"], json!([shown]));

    // A cordoned node keeps what is pinned to it.
    assert_eq!(decide(&nodes[0], "c", "cordon").await.status, 200);
    for node in &nodes {
        let is_cordoned = async |node: &Node| entry(&cluster(node).await, "members", "c")["cordoned"] == json!(true);
        node.wait("it knows the cordon", is_cordoned).await;
    }
    wait_owner(&nodes, &app, "c", "pin").await;
    assert_eq!(decide(&nodes[1], "c", "uncordon").await.status, 200);
    let unpinned = nodes[2].client().await.call("DELETE", &pin_of(&app), "").await;
    assert_eq!((unpinned.status, &unpinned.response()["changed"]), (200, &json!(true)), "{unpinned:?}");
    wait_owner(&nodes, &app, "b", "ring").await;

    assert_eq!(decide(&nodes[2], "b", "cordon").await.status, 200);
    let elsewhere = apps_of(&["a", "c"], 0, 1000).contains(&app);
    let next = if elsewhere { 0 } else { 2 };
    wait_owner(&nodes, &app, NAMES[next], "cordon").await;
    let before = nodes[next].metric("pyapns_attempts_total").await;
    nodes[1].sends(&app, 2).await;
    assert_eq!(nodes[next].metric("pyapns_attempts_total").await, before + 1.0, "also what it takes itself");
    assert_eq!(decide(&nodes[0], "b", "uncordon").await.status, 200);
    wait_owner(&nodes, &app, "b", "ring").await;

    assert_eq!(pin(&nodes[0], &app, "nobody").await.reason(), "unknown_node");
    assert_eq!(decide(&nodes[0], "nobody", "cordon").await.reason(), "unknown_node");
    nodes[0].process.logs("an operator's decision about a node is stored", 1).await;
    assert_eq!(nodes[0].process.lines_with("an operator's decision about a lane is stored"), 1);
}

#[tokio::test]
async fn lanes_that_operators_move_under_load_lose_and_double_nothing() {
    let site = Site::new(&[]).await;
    let app = apps_of(&NAMES, 0, 1).remove(0);
    let nodes = site.ready(NAMES, std::slice::from_ref(&app)).await;
    let fronts = nodes.each_ref().map(|node| node.process.address);
    let per_second = if std::env::var_os("PYAPNS_TEST_FULL").is_some() { 1_500 } else { 300 };
    let load = Load::new(&fronts, std::slice::from_ref(&app)).per_second(per_second).per_request(10).start();
    let lasts = async || {
        let until = load.sent() + per_second / 2;
        nodes[0].wait("more is sent", async |_| load.sent() >= until).await;
    };
    lasts().await;
    assert_eq!(pin(&nodes[1], &app, "b").await.status, 200);
    wait_owner(&nodes, &app, "b", "pin").await;
    lasts().await;
    assert_eq!(nodes[2].client().await.call("DELETE", &pin_of(&app), "").await.status, 200);
    wait_owner(&nodes, &app, "a", "ring").await;
    lasts().await;
    assert_eq!(decide(&nodes[0], "a", "cordon").await.status, 200);
    let next = if apps_of(&["b", "c"], 0, 1000).contains(&app) { "b" } else { "c" };
    wait_owner(&nodes, &app, next, "cordon").await;
    lasts().await;
    assert_eq!(decide(&nodes[1], "a", "uncordon").await.status, 200);
    wait_owner(&nodes, &app, "a", "ring").await;
    lasts().await;
    let told = load.stop().await;
    told.assert_true(site.simulator.ledger());
    assert_eq!(told.accepted(), told.notes.len(), "{:?}", told.tally());
    println!("{} notifications, {:?}", told.notes.len(), told.tally());
    let mut senders = 0;
    for node in &nodes {
        senders += usize::from(node.metric("pyapns_attempts_total").await > 0.0);
    }
    assert!(senders >= 2, "the lane moved");
}

#[tokio::test]
async fn a_decision_while_redis_is_away_is_refused_and_every_node_still_answers_about_the_cluster() {
    let mut site = Site::new(&[]).await;
    let app = apps_of(&["a", "b"], 1, 1).remove(0);
    let nodes = site.ready(["a", "b"], std::slice::from_ref(&app)).await;
    site.redis.kill();
    for answer in [pin(&nodes[0], &app, "a").await, decide(&nodes[0], "b", "cordon").await] {
        assert_eq!((answer.status, answer.reason()), (503, "store_away"), "{answer:?}");
    }
    let is_degraded = async |node: &Node| {
        let degraded = cluster(node).await["degraded"].clone();
        degraded.as_array().is_some_and(|list| list.iter().any(|part| part["what"] == "cluster"))
    };
    for node in &nodes {
        node.wait("it says that its view is old", is_degraded).await;
    }
    wait_owner(&nodes, &app, "b", "ring").await;
}

#[tokio::test]
async fn the_line_of_a_decision_names_the_key_of_the_operator() {
    let key = pyapns(&["key", "--id", "ops", "--scope", "admin"]);
    let told = String::from_utf8(key.stderr).expect("text");
    let secret = told.split_whitespace().last().expect("the key").to_owned();
    let more = String::from_utf8(key.stdout).expect("text");
    let site = Site::new(&[]).await;
    let mut node = site.start_at(Seat { more, ..site.seat("a") }).await;
    node.process.logs("a active", 1).await;
    let bearer = format!("Bearer {secret}");
    let path = "/cluster/nodes/a";
    let refused = node.client().await.post(path, r#"{"action":"cordon"}"#).await;
    assert_eq!((refused.status, refused.reason()), (401, "api_key_missing"));
    let header = ("authorization", bearer.as_str());
    let cordoned = node.client().await.post_with(path, header, r#"{"action":"cordon"}"#).await;
    assert_eq!(cordoned.status, 200, "{cordoned:?}");
    let text = "an operator's decision about a node is stored";
    node.process.logs(text, 1).await;
    let line = node.process.line_with(text);
    for part in ["ops", "cordon", "INFO"] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!line.contains(secret.split_once('.').expect("ID.SECRET").1));
}
