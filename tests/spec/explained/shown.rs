//! Each node shows the cluster, and the owner of each app, as they are.

use super::{NAMES, cluster, entry, owner};
use crate::support::fault_proxy::Way;
use crate::support::fleet::{Fleet, Plan, app_owned_among, name};
use crate::support::site::{Node, Site, apps_of};
use crate::support::world::{to, token};
use serde_json::json;
use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[tokio::test]
async fn each_node_shows_the_members_its_links_its_lanes_and_the_same_ring() {
    let site = Site::new(&[]).await;
    let apps: Vec<_> = (0..3).flat_map(|index| apps_of(&NAMES, index, 1)).collect();
    let nodes = site.ready(NAMES, &apps).await;
    for (number, app) in apps.iter().enumerate() {
        nodes[0].sends(app, number).await;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    let mut rings = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        node.wait("it has measured its links", async |node| {
            cluster(node).await["links"].as_array().is_some_and(|links| {
                links.len() == 2 && links.iter().all(|link| link["round_trip_seconds"].as_f64() > Some(0.0))
            })
        })
        .await;
        let shown = cluster(node).await;
        assert_eq!((&shown["node"], &shown["state"]), (&json!(node.name), &json!("active")));
        assert_eq!(shown["degraded"], json!([]));
        for name in NAMES {
            let member = entry(&shown, "members", name);
            let since = member["since"].as_u64().expect("a time");
            assert!(since <= now + 5 && since + 100 > now, "{member}");
            let rest = (&member["state"], &member["live"], &member["cordoned"], &member["weight"], &member["fault"]);
            assert_eq!(rest, (&json!("active"), &json!(true), &json!(false), &json!(1), &json!(null)));
            assert_eq!(member["version"], env!("CARGO_PKG_VERSION"));
            assert!(member["address"].as_str().is_some_and(|address| address.starts_with("127.")), "{member}");
            let is_linked = entry(&shown, "links", name)["reachable"] == json!(true);
            assert_eq!(is_linked, name != node.name, "{shown}");
        }
        let id = apps[index].split('/').nth(2).expect("an id");
        let lane = json!({"app_id": id, "environment": "sandbox", "lane": 0});
        assert_eq!((&shown["lanes"], &shown["lanes_held"]), (&json!([lane]), &json!(1)), "{}", node.name);
        // The metric has the first 53 bits.
        let ring = u64::from_str_radix(shown["ring"].as_str().expect("text"), 16).expect("hex");
        assert_eq!((ring >> 11) as f64, node.metric("pyapns_cluster_ring").await);
        rings.push(ring);
    }
    rings.dedup();
    assert_eq!(rings.len(), 1, "all agree");
}

#[tokio::test]
async fn the_owner_that_a_node_names_is_the_node_that_sends_and_the_map_has_it_for_each_app() {
    let site = Site::new(&[]).await;
    let apps: Vec<_> = (0..3).flat_map(|index| apps_of(&NAMES, index, 2)).collect();
    let nodes = site.ready(NAMES, &apps).await;
    let mut lines = Vec::new();
    for (number, app) in apps.iter().enumerate() {
        let expected = NAMES[number / 2];
        for node in &nodes {
            assert_eq!(owner(node, app).await, (expected.to_owned(), None, "ring".to_owned()), "{app}");
        }
        let sender = nodes.iter().find(|node| node.name == expected).expect("a node");
        let before = sender.metric("pyapns_attempts_total").await;
        nodes[number % 3].sends(app, number).await;
        assert_eq!(sender.metric("pyapns_attempts_total").await, before + 1.0);
        lines.push(format!("{} {expected}", app.trim_start_matches("/apps/")));
    }
    let split = json!({"certificate": site.simulator.identity().client_pem, "lanes": 8});
    assert_eq!(nodes[0].client().await.post("/apps/split/sandbox", split.to_string()).await.status, 201);
    lines.sort();
    for node in &nodes {
        node.wait("it knows the app", async |node| node.client().await.get("/apps/split/sandbox").await.status == 200)
            .await;
        let text = node.client().await.text("/cluster?format=haproxy").await;
        let mut map: Vec<_> = text.lines().collect();
        map.sort_unstable();
        assert_eq!(map, lines, "an app with several lanes has no line");
    }
    // A token names its lane: the node that it names is the one that sends to it.
    for number in 100..106 {
        let body = json!({"app_id": "split", "environment": "sandbox", "token": token(number).to_uppercase()});
        let answer = nodes[0].client().await.post("/cluster/owner", body.to_string()).await;
        let lanes = answer.response()["lanes"].as_array().expect("a list").clone();
        assert_eq!(lanes.len(), 1, "{answer:?}");
        let sender = nodes.iter().find(|node| lanes[0]["owner"] == node.name).expect("a member");
        let before = sender.metric("pyapns_attempts_total").await;
        nodes[1].sends("/apps/split/sandbox", number).await;
        assert_eq!(sender.metric("pyapns_attempts_total").await, before + 1.0, "{lanes:?}");
    }
    let all = nodes[2].client().await.post("/cluster/owner", r#"{"app_id":"split","environment":"sandbox"}"#).await;
    assert_eq!(all.response()["lanes"].as_array().map(Vec::len), Some(8));
}

#[tokio::test]
async fn an_owner_that_is_killed_is_shown_unreachable_and_without_lease_and_its_substitute_is_named() {
    let site = Site::new(&[]).await;
    let app = apps_of(&NAMES, 1, 1).remove(0);
    let [a, b, c] = site.ready(NAMES, std::slice::from_ref(&app)).await;
    b.process.signal("KILL");
    let mut substitutes = Vec::new();
    for node in [&a, &c] {
        let is_cut = async |node: &Node| entry(&cluster(node).await, "links", "b")["reachable"] == json!(false);
        let took = node.wait("its link is down", is_cut).await;
        let (owner, substitute, why) = owner(node, &app).await;
        if took < Duration::from_secs(4) {
            assert_eq!((owner.as_str(), why.as_str()), ("b", "ring"));
            substitutes.push(substitute.expect("another node"));
        }
    }
    let sender = [&a, &c].into_iter().find(|node| substitutes.first().is_none_or(|name| node.name == name));
    a.sends(&app, 1).await;
    assert!(sender.expect("a survivor").metric("pyapns_attempts_total").await > 0.0, "{substitutes:?}");
    substitutes.dedup();
    assert!(substitutes.len() <= 1, "both name the same: {substitutes:?}");
    for node in [&a, &c] {
        let is_dead = async |node: &Node| {
            let shown = cluster(node).await;
            entry(&shown, "members", "b")["live"] == json!(false) && entry(&shown, "links", "b").is_null()
        };
        node.wait("b has no lease and no link", is_dead).await;
    }
}

#[tokio::test]
async fn a_hole_in_the_mesh_is_shown_by_both_nodes_that_miss_each_other_with_the_substitutes_and_loses_nothing() {
    let apps = [0, 1, 2].map(|index| app_owned_among(3, index));
    let fleet = Fleet::ready(Plan::of(3).proxied(&[0, 1]), &apps.each_ref().map(String::as_str)).await;
    let proxies = [0, 1].map(|index| fleet.proxies[index].as_ref().expect("a proxy"));
    proxies.iter().for_each(|proxy| proxy.set(Way::Cut));
    fleet.wait_link(0, 1, false).await;
    fleet.wait_link(1, 0, false).await;
    let unreachable = async |index: usize| {
        let answer = fleet.client(index).await.get("/cluster").await;
        let links = answer.response()["links"].as_array().expect("a list").clone();
        assert_eq!(links.len(), 2, "{answer:?}");
        let down = links.into_iter().filter(|link| link["reachable"] == json!(false));
        down.map(|link| link["node"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    let lane = async |index: usize, app: &str| {
        let id = app.split('/').nth(2).expect("an id");
        let body = json!({"app_id": id, "environment": "sandbox"}).to_string();
        fleet.client(index).await.post("/cluster/owner", body).await.response()["lanes"][0].clone()
    };
    assert_eq!([unreachable(0).await, unreachable(1).await], [["node-1"], ["node-0"]]);
    assert!(unreachable(2).await.is_empty(), "it reaches both");
    let (mut sent, mut expected) = (0, [0; 3]);
    for (owner, app) in apps.iter().enumerate() {
        for index in 0..3 {
            let seen = lane(index, app).await;
            assert_eq!((&seen["owner"], &seen["why"]), (&json!(name(owner).as_str()), &json!("ring")), "node-{index}");
            let substitute = seen["substitute"].as_str();
            assert_eq!(substitute.is_some(), index + owner == 1, "node-{index} about node-{owner}: {seen}");
            let sender =
                substitute.map_or(owner, |node| (0..3).find(|index| name(*index).as_str() == node).expect("a node"));
            expected[sender] += 1;
            let answer = fleet.send(index, app, &to(&token(sent))).await;
            assert_eq!(answer.outcomes(), ["accepted"], "{answer:?}");
            sent += 1;
        }
    }
    assert_eq!([fleet.attempts(0).await, fleet.attempts(1).await, fleet.attempts(2).await], expected);
    let tokens: HashSet<_> = fleet.simulator.ledger().entries().into_iter().map(|entry| entry.token).collect();
    assert_eq!((tokens.len(), fleet.simulator.ledger().totals().requests), (sent, sent as u64), "each once");
    proxies.iter().for_each(|proxy| proxy.set(Way::Open));
    fleet.wait_link(0, 1, true).await;
    fleet.wait_link(1, 0, true).await;
    assert_eq!([unreachable(0).await.len(), unreachable(1).await.len()], [0, 0]);
    assert_eq!(lane(0, &apps[1]).await["substitute"], json!(null));
    fleet.stop().await;
}
