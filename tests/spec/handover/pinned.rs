//! Decisions of operators about owners, as the store has them: every node follows them.

use super::NAMES;
use crate::support::site::{Node, Site, apps_of};

/// Changes a decision, and waits until all nodes have followed it.
async fn decide(site: &Site, nodes: &[Node; 3], command: &[&str]) {
    let before = nodes[0].metric("pyapns_cluster_ring").await;
    assert_eq!(site.redis.cli(command), "1");
    site.redis.cli(&["HINCRBY", "pyapns:meta", "members", "1"]);
    let follows = async |node: &Node| node.metric("pyapns_cluster_ring").await != before;
    for node in nodes {
        node.wait("it follows the decision", follows).await;
    }
}

/// Sends to the app through all nodes. Returns which of them sent to Apple: one.
async fn sender(site: &Site, nodes: &[Node; 3], app: &str, number: usize) -> &'static str {
    let mut before = Vec::new();
    for node in nodes {
        before.push(node.metric("pyapns_attempts_total").await);
    }
    for node in nodes {
        node.sends(app, number).await;
    }
    assert_eq!(site.connections_of(number).len(), 1, "{app} has one owner");
    for (node, before) in nodes.iter().zip(before) {
        if node.metric("pyapns_attempts_total").await == before + 3.0 {
            return node.name;
        }
    }
    panic!("nobody sent all three");
}

#[tokio::test]
async fn a_cordoned_node_owns_only_what_is_pinned_to_it() {
    let site = Site::new(&[]).await;
    let apps = apps_of(&NAMES, 1, 2);
    let nodes = site.ready(NAMES, &apps).await;
    assert_eq!(sender(&site, &nodes, &apps[0], 1).await, "b");
    decide(&site, &nodes, &["HSET", "pyapns:pins", "cordoned:b", "1"]).await;
    assert_ne!(sender(&site, &nodes, &apps[0], 2).await, "b");
    assert_ne!(sender(&site, &nodes, &apps[1], 3).await, "b");
    let lane = format!("sandbox/{}/0", apps[1].split('/').nth(2).expect("an id"));
    decide(&site, &nodes, &["HSET", "pyapns:pins", &lane, "b"]).await;
    assert_eq!(sender(&site, &nodes, &apps[1], 4).await, "b");
    assert_ne!(sender(&site, &nodes, &apps[0], 5).await, "b");
    decide(&site, &nodes, &["HDEL", "pyapns:pins", &lane]).await;
    assert_ne!(sender(&site, &nodes, &apps[1], 6).await, "b");
    decide(&site, &nodes, &["HDEL", "pyapns:pins", "cordoned:b"]).await;
    assert_eq!(sender(&site, &nodes, &apps[0], 7).await, "b");
    for node in nodes {
        node.process.stop().await;
    }
}
