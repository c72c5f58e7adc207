//! A node without the key of the others' credentials.

use super::*;
use crate::support::shared::pyapns;
use crate::support::site::{Seat, apps_of};

#[tokio::test]
async fn a_node_that_lacks_the_key_is_not_ready_names_it_and_joins_no_ring() {
    let site = Site::new(&[]).await;
    let app = apps_of(&["a", "b"], 1, 1).remove(0);
    let [a] = site.ready(["a"], std::slice::from_ref(&app)).await;
    let other = site.folder().join("other");
    assert!(pyapns(&["cluster", "init", other.to_str().expect("text")]).status.success());
    let key = other.join("credentials.key").display().to_string();
    let mut b = site.start_at(Seat { key, ..site.seat("b") }).await;
    let ready = b.client().await.get("/readyz").await;
    assert_refused(&ready, 503, "credential_key_missing");
    let missing = degraded(&b, "credential_keys").await;
    let id = missing["key"].as_str().expect("an id").to_owned();
    assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{missing}");
    b.process.logs(&format!("sealed with the key {id}"), 1).await;
    assert_refused(&site.provision(&b, &app).await, 503, "credential_key_missing");
    // Two beats.
    tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    assert_eq!(site.redis.cli(&["HLEN", "pyapns:members"]), "1");
    assert_eq!(a.metric("pyapns_cluster_members").await, 1.0);
    a.sends(&app, 1).await;
    b.process.stop().await;

    // With the key it is a member like any other.
    let b = site.start("b", "b").await;
    site.wait_joined(&[&a, &b]).await;
    wait_well(&b).await;
    b.sends(&app, 2).await;
    for node in [a, b] {
        node.process.stop().await;
    }
}
