//! A node that joins connects to Apple for the lanes that it takes, before it owns them.

use super::NAMES;
use crate::support::site::{Site, apps_of};

#[tokio::test]
async fn a_node_that_joins_is_connected_for_its_lanes_when_it_becomes_their_owner() {
    let site = Site::new(&[]).await;
    let apps = apps_of(&NAMES, 2, 3);
    let [a, b] = site.ready(["a", "b"], &apps).await;
    for app in &apps {
        a.sends(app, 1).await;
    }
    // Lanes without connections are nobody's to warm.
    let quiet = apps_of(&NAMES, 2, 4).remove(3);
    assert_eq!(site.provision(&a, &quiet).await.status, 201);
    let c = site.start("c", "c").await;
    c.wait_metric("pyapns_cluster_state{state=\"active\"}", 1.0).await;
    assert_eq!(c.metric("pyapns_connections").await, 3.0, "before its first notification");
    assert_eq!(c.metric("pyapns_attempts_total").await, 0.0);
    site.wait_joined(&[&a, &b, &c]).await;
    for (number, app) in apps.iter().enumerate() {
        a.sends(app, 100 + number).await;
    }
    assert_eq!(c.metric("pyapns_attempts_total").await, 3.0);
    assert_eq!(c.metric("pyapns_connects_total").await, 3.0, "the connections that it had were used");
    for node in [a, b, c] {
        node.process.stop().await;
    }
}
