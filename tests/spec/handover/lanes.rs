//! The lanes of one app are spread over the nodes, and their number changes under load.

use super::NAMES;
use crate::support::load::Load;
use crate::support::site::{Node, Site};
use pyapns::cluster::{Member, MemberState, Pins, View};
use pyapns::model::{AppId, AppKey, Environment, NodeSession};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::sleep;

fn member(name: &&str) -> Member {
    let (node, session) = (name.parse().expect("a name"), NodeSession::from_bits(1));
    Member { node, session, address: "127.0.0.1:1".to_owned(), weight: 1, state: MemberState::Active }
}

/// The names of the nodes that own the first lanes of an app.
fn owners(app: &str, lanes: u16) -> BTreeSet<String> {
    let view = View::of(NAMES.iter().map(member), Pins::default());
    let key = AppKey::new(AppId::new(app).expect("an id"), Environment::Sandbox);
    let owner = |lane| view.owner(&key, lane).expect("a member").node.to_string();
    (0..lanes).map(owner).collect()
}

/// Changes the number of lanes through one node, and waits until all nodes know it.
async fn set_lanes(site: &Site, nodes: &[Node; 3], app: &str, lanes: u16) {
    let body = json!({"certificate": site.simulator.identity().client_pem, "lanes": lanes});
    let answer = nodes[1].client().await.post(app, body.to_string()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    for node in nodes {
        node.wait("it knows the lanes", async |node| node.client().await.get(app).await.response()["lanes"] == lanes)
            .await;
    }
}

/// The nodes that sent something within the next second.
async fn senders(nodes: &[Node; 3]) -> BTreeSet<String> {
    let mut before = Vec::new();
    for node in nodes {
        before.push(node.metric("pyapns_attempts_total").await);
    }
    sleep(Duration::from_secs(1)).await;
    let mut senders = BTreeSet::new();
    for (node, before) in nodes.iter().zip(before) {
        if node.metric("pyapns_attempts_total").await > before {
            senders.insert(node.name.to_owned());
        }
    }
    senders
}

#[tokio::test]
async fn lanes_of_a_hot_app_are_spread_over_the_nodes_and_their_number_changes_under_load_without_loss() {
    // One lane, and six of all nodes, and two that belong to two nodes.
    let wanted = |app: &String| (owners(app, 6).len(), owners(app, 2).len()) == (3, 2);
    let app = (0..).map(|number| format!("hot-{number}")).find(wanted).expect("one of many");
    let path = format!("/apps/{app}/sandbox");
    let site = Site::new(&[]).await;
    let nodes = site.ready(NAMES, std::slice::from_ref(&path)).await;
    let fronts = nodes.each_ref().map(|node| node.process.address);
    let load = Load::new(&fronts, std::slice::from_ref(&path)).per_second(400).per_request(10).start();
    sleep(Duration::from_millis(500)).await;
    for lanes in [1, 6, 2] {
        set_lanes(&site, &nodes, &path, lanes).await;
        // What was split before goes to the lanes that there were.
        sleep(Duration::from_millis(500)).await;
        assert_eq!(senders(&nodes).await, owners(&app, lanes), "{lanes} lanes");
    }
    let told = load.stop().await;
    told.assert_true(site.simulator.ledger());
    assert_eq!(told.accepted(), told.notes.len(), "{:?}", told.tally());
    println!("{} notifications, {:?}", told.notes.len(), told.tally());
    assert!(told.notes.len() > 1_000);
    for node in nodes {
        node.process.stop().await;
    }
}
