//! A node without the key of the others' credentials.

use super::*;
use crate::support::shared::pyapns;
use crate::support::site::{Seat, apps_of};

/// Seals again through the node. Returns what the command prints.
async fn reseal(node: &Node) -> String {
    let url = format!("http://{}", node.process.address);
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_pyapns"));
    let done = command.args(["cluster", "reseal", "--node", &url]).output().await.expect("it runs");
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).expect("text")
}

#[tokio::test]
async fn the_key_of_a_cluster_changes_while_it_sends_and_no_app_is_provisioned_again() {
    let site = Site::new(&[]).await;
    let app = apps_of(&["a", "b"], 1, 1).remove(0);
    let [a, b] = site.ready(["a", "b"], std::slice::from_ref(&app)).await;
    b.sends(&app, 1).await;
    let other = site.folder().join("other");
    assert!(pyapns(&["cluster", "init", other.to_str().expect("text")]).status.success());
    let (old, new) = (site.seat("a").key, other.join("credentials.key").display().to_string());
    let with = |name: &'static str, first: &str, second: &str| {
        let key = format!("{first}', '{second}");
        site.start_at(Seat { key, ..site.seat(name) })
    };
    a.process.stop().await;
    let a = with("a", &old, &new).await;
    b.process.stop().await;
    let b = with("b", &new, &old).await;
    a.process.stop().await;
    let a = with("a", &new, &old).await;
    site.wait_joined(&[&a, &b]).await;
    b.sends(&app, 1).await;
    assert_eq!(reseal(&a).await, "1 of 1 credentials were encrypted again, with the first key of the node.\n");
    assert_eq!(reseal(&b).await, "0 of 1 credentials were encrypted again, with the first key of the node.\n");
    b.sends(&app, 1).await;
    assert_eq!(site.connections_of(1).len(), 2, "one for each run of the owner");
    a.process.stop().await;
    b.process.stop().await;
    let b = site.start_at(Seat { key: new.clone(), ..site.seat("b") }).await;
    wait_well(&b).await;
    b.sends(&app, 2).await;
    assert_eq!(reseal(&b).await, "0 of 1 credentials were encrypted again, with the first key of the node.\n");
    b.process.stop().await;
}

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
