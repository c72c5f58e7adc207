//! The clock of a node is compared with that of Redis.

use crate::support::client::Client;
use crate::support::shared::Cluster;
use crate::support::world::{APP, Running, to, token};
use pyapns::clock::Clock;
use pyapns::config::{Config, File};
use pyapns::node::{Node, World as Outside};
use serde_json::Value;
use simulator::{Options, Simulator};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, sleep};

const OFFSET: &str = "pyapns_cluster_clock_offset_seconds ";

async fn offset(node: &Running) -> Option<f64> {
    let text = Client::connect(node.address).await.text("/metrics").await;
    text.lines().find_map(|line| line.strip_prefix(OFFSET)?.parse().ok())
}

/// The entry of `/readyz` about the clock; `null` if there is none. The node gets traffic in either case.
async fn alarm(node: &Running) -> Value {
    let ready = Client::connect(node.address).await.get("/readyz").await;
    assert_eq!(ready.status, 200, "{ready:?}");
    let parts = ready.response()["degraded"].as_array().cloned().unwrap_or_default();
    parts.into_iter().find(|part| part["what"] == "clock").unwrap_or(Value::Null)
}

/// Waits until the node's clock is, or is not, listed.
async fn wait_alarm(node: &Running, is_listed: bool) {
    let began = Instant::now();
    while alarm(node).await.is_null() == is_listed {
        assert!(began.elapsed() < Duration::from_secs(8), "after {:?}: {}", began.elapsed(), alarm(node).await);
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_clock_that_is_6_seconds_from_that_of_redis_raises_an_alarm_until_it_agrees_and_sending_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options { directory: Some(folder.path().join("simulator")), ..Options::default() };
    let simulator = Simulator::start(options).await.expect("a simulator");
    let cluster = Cluster::make(&folder.path().join("cluster"));
    let (place, gateway) = (folder.path().display(), simulator.address());
    let text = cluster.settings("push-1")
        + &format!(
            "data_dir = '{place}/data'\n[apple]\nca_file = '{place}/simulator/ca.pem'\n\
             sandbox = 'https://{gateway}'\nproduction = 'https://{gateway}'\n"
        );
    let config = Config::parse(Some(File { name: "test", text: &text }), &|_| None).expect("good settings");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
    // This clock stands still between the steps of the test.
    let clock = Clock::manual(now - 60.0);
    let mut outside = Outside::real(&config);
    outside.clock = clock.clone();
    let node = Running::run(Node::build(config, outside).await.expect("a node"));

    wait_alarm(&node, true).await;
    let listed = alarm(&node).await;
    assert!(listed["why"].as_str().expect("a sentence").contains("synchronise both machines with NTP"), "{listed}");
    let behind = offset(&node).await.expect("a metric");
    assert!((-100.0..-59.0).contains(&behind), "{behind}");
    let metrics = Client::connect(node.address).await.text("/metrics").await;
    assert!(metrics.contains("\npyapns_degraded{what=\"clock\"} 1\n"), "{metrics}");

    let mut client = Client::connect(node.address).await;
    assert_eq!(client.post(APP, simulator.identity().client_pem.clone()).await.status, 201);
    let sent = client.post(&format!("{APP}/notifications"), to(&token(1)).to_string()).await;
    assert_eq!(sent.outcomes(), ["accepted"], "it goes on to send");

    let set_to = |ahead: f64| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
        clock.advance(Duration::from_secs_f64(now + ahead - clock.unix_time()));
    };
    set_to(4.0);
    wait_alarm(&node, false).await;
    set_to(30.0);
    wait_alarm(&node, true).await;
    let ahead = offset(&node).await.expect("a metric");
    assert!((10.0..30.5).contains(&ahead), "{ahead}");
    node.stop().await;
    simulator.stop().await;
}
