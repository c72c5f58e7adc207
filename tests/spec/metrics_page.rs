//! `docs/metrics.md` lists every family of metrics, with its kind, its labels, its unit and the node's own sentence.

use crate::support::client::Client;
use crate::support::process::Home;
use crate::support::shared::Cluster;
use crate::support::world::{APP, Running, World, to, token};
use pyapns::config::Origin;
use pyapns::node::{Node, World as Outside};
use pyapns::telemetry::families::Family;
use simulator::TokenState;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// The only family that a node has by way of its log, which the nodes of this process do not have.
const LOG_LINES: &str = "pyapns_log_lines_dropped_total";

/// A row of the page.
#[derive(Debug)]
struct Row {
    kind: String,
    labels: Vec<String>,
    unit: String,
    meaning: String,
}

fn page() -> BTreeMap<String, Row> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md")).expect("the page");
    let mut rows = BTreeMap::new();
    let is_row = |line: &&str| line.starts_with("| `pyapns_") || line.starts_with("| `process_");
    for line in text.lines().filter(is_row) {
        let cells: Vec<_> = line.trim_matches('|').split(" |").map(str::trim).collect();
        let [name, kind, labels, unit, meaning] = cells[..] else { panic!("a row has five columns: {line}") };
        let plain = |text: &str| text.trim_matches('`').to_owned();
        let labels = labels.split(", ").filter(|label| !label.is_empty()).map(plain).collect();
        let (kind, unit, meaning) = (kind.to_owned(), unit.to_owned(), meaning.to_owned());
        let known = rows.insert(plain(name), Row { kind, labels, unit, meaning });
        assert!(known.is_none(), "{name} is in one row only");
    }
    rows
}

/// The differences between a row and the family of a node.
fn faults(row: &Row, family: &Family) -> Vec<String> {
    let Family { name, kind, labels, help } = family;
    let has_unit = |unit: &str| row.unit == unit || !name.replace("_total", "").ends_with(&format!("_{unit}"));
    let faults = [
        (row.kind != *kind, format!("{name} is a {kind}")),
        (row.labels != *labels, format!("{name} has the labels {labels:?}")),
        (!row.meaning.starts_with(help), format!("the meaning of {name} begins with: {help}")),
        (!has_unit("seconds") || !has_unit("bytes"), format!("{name} has its unit in its name")),
        (row.unit.is_empty(), format!("{name} has a unit")),
    ];
    faults.into_iter().filter(|(is_fault, _)| *is_fault).map(|(_, fault)| fault).collect()
}

/// The names of the families in the output of a node, with their kinds.
fn scraped(text: &str) -> BTreeMap<String, String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

fn assert_on_page(page: &BTreeMap<String, Row>, metrics: &str) {
    for (name, kind) in scraped(metrics) {
        let row = page.get(&name).unwrap_or_else(|| panic!("docs/metrics.md lacks {name}"));
        assert_eq!(row.kind, kind, "{name}");
    }
}

async fn member(cluster: &Cluster, world: &World, name: &str) -> Node {
    let (folder, gateway) = (world.directory.path().display(), world.simulator.address());
    let more = format!(
        "data_dir = '{folder}/{name}'\nmetrics.app_latency = true\n[apple]\nca_file = '{folder}/simulator/ca.pem'\n\
         sandbox = 'https://{gateway}'\nproduction = 'https://{gateway}'\n"
    );
    let file = world.directory.path().join(format!("{name}.toml"));
    fs::write(&file, cluster.settings(name) + &more).expect("a file");
    let config = Origin::new(Some(file), |_| None).load().expect("good settings");
    let outside = Outside::real(&config);
    Node::build(config, outside).await.expect("a node")
}

#[tokio::test]
async fn the_page_about_metrics_lists_every_family_of_a_node_in_a_cluster_and_no_other() {
    let world = World::start().await;
    let cluster = Cluster::make(&world.directory.path().join("cluster"));
    let node = member(&cluster, &world, "push-1").await;
    let (telemetry, page) = (node.telemetry().clone(), page());
    let running = Running::run(node);
    let client = || Client::connect(running.address);
    let joined = async {
        while !client().await.text("/metrics").await.contains("pyapns_cluster_state{state=\"active\"} 1") {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), joined).await.expect("the node joins");
    let families = telemetry.families();
    let lacking: Vec<_> = families.iter().filter(|family| !page.contains_key(&family.name)).collect();
    assert!(lacking.is_empty(), "docs/metrics.md lacks {lacking:#?}");
    let faults: Vec<_> = families.iter().flat_map(|family| faults(&page[&family.name], family)).collect();
    assert!(faults.is_empty(), "docs/metrics.md: {faults:#?}");
    let names: BTreeSet<_> = families.iter().map(|family| family.name.as_str()).collect();
    let invented: Vec<_> = page.keys().filter(|name| !names.contains(name.as_str())).collect();
    assert_eq!(invented, [LOG_LINES], "no code has these families of docs/metrics.md");

    assert_eq!(client().await.post(APP, world.simulator.identity().client_pem.clone()).await.status, 201);
    assert_eq!(client().await.post(&format!("{APP}/notifications"), to(&token(1)).to_string()).await.status, 201);
    let metrics = client().await.text("/metrics").await;
    for family in ["pyapns_app_notification_seconds", "pyapns_cluster_state", "pyapns_events_spooled"] {
        assert!(scraped(&metrics).contains_key(family), "{family}: {metrics}");
    }
    assert_on_page(&page, &metrics);
    running.stop().await;
}

#[tokio::test]
async fn the_page_about_metrics_lists_every_family_of_a_single_node() {
    let world = World::start().await;
    let home = Home::new(&world, "alone", "pyapns.toml");
    home.configure("listen = '127.0.0.1:0'\ndrain_notice_seconds = 0\n");
    let process = home.start().await;
    let client = || Client::connect(process.address);
    assert_eq!(client().await.post(APP, world.simulator.identity().client_pem.clone()).await.status, 201);
    world.simulator.set_token(&token(2), Some(TokenState::Dead { reason: "Unregistered", timestamp: None }));
    for number in [1, 2] {
        let body = to(&token(number)).to_string();
        assert_eq!(client().await.post(&format!("{APP}/notifications"), body).await.status, 201);
    }
    let metrics = client().await.text("/metrics").await;
    for family in [LOG_LINES, "pyapns_app_rejections_total", "pyapns_failed_notifications_total"] {
        assert!(scraped(&metrics).contains_key(family), "{family}: {metrics}");
    }
    assert!(!metrics.contains("pyapns_cluster_"), "the page says that only the nodes of a cluster have these");
    assert_on_page(&page(), &metrics);
    process.stop().await;
}
