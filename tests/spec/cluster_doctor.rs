//! `pyapns doctor` on a node of a cluster: Redis, key files, clock, identity, the other members, and the load balancer's view.

use crate::support::false_peer::{FalsePeer, frames, hello};
use crate::support::fleet::new_identity;
use crate::support::lasting_address::lasting_address;
use crate::support::redis_certificates::RedisCertificates;
use crate::support::redis_server::RedisServer;
use crate::support::shared::{Cluster, said};
use crate::support::site::{Node, Seat, Site};
use pyapns::cluster::Identity;
use pyapns::model::NodeSession;
use pyapns::store::Epoch;
use std::net::SocketAddr;
use std::path::Path;
use tokio::net::TcpListener;

/// Runs it with the configuration of the node of this name.
async fn doctor(site: &Site, name: &str) -> (Option<i32>, String) {
    let config = site.folder().join(format!("{name}.toml"));
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_pyapns"));
    command.args(["doctor", "--no-push", "--config"]).arg(config).kill_on_drop(true);
    said(&command.output().await.expect("the program runs"))
}

/// The lines that begin with `verdict` and are about `what`.
fn lines<'a>(text: &'a str, verdict: &str, what: &str) -> Vec<&'a str> {
    let head = format!("{verdict:<5} {what:<14} ");
    text.lines().filter_map(|line| line.strip_prefix(&head)).collect()
}

fn seats(site: &Site) -> [Seat; 2] {
    ["a", "b"].map(|name| Seat { port: lasting_address().port(), ..site.seat(name) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_where_all_is_well_doctor_reaches_every_member_and_leaves_no_trace() {
    let site = Site::new(&["appendonly yes", "appendfsync always"]).await;
    let nodes: [Node; 2] = site.ready_at(seats(&site), &[]).await;
    let (status, text) = doctor(&site, "a").await;
    assert_eq!(status, Some(0), "{text}");
    for what in ["redis", "identity", "keys", "balancer", "node"] {
        assert_eq!(lines(&text, "ok", what).len(), 1, "{what}: {text}");
    }
    assert!(lines(&text, "ok", "clock").iter().any(|line| line.ends_with("the clock of Redis")), "{text}");
    assert!(lines(&text, "ok", "balancer")[0].contains("/readyz answers 200"), "{text}");
    let peers = lines(&text, "ok", "peer");
    assert!(peers[0].starts_with("a at 127.0.0.1:") && peers[0].contains("which is this node"), "{text}");
    assert!(peers[1].starts_with("b at 127.0.0.1:") && peers[1].contains("is active, and answers"), "{text}");
    assert_eq!(peers.len(), 2, "{text}");
    for node in &nodes {
        assert_eq!(node.process.lines_with("refused a connection"), 0, "{}", node.name);
        assert_eq!(node.metric("pyapns_cluster_members").await, 2.0, "doctor is no member");
    }
    for node in nodes {
        node.process.stop().await;
    }
}

/// Makes a member in Redis whose lease does not end.
fn add_member(site: &Site, name: &str, session: u32, address: SocketAddr, ring: u32) {
    let record = format!(r#"{{"address":"{address}","weight":1,"state":"active","ring":{ring}}}"#);
    site.redis.cli(&["HSET", "pyapns:members", name, &format!("0 {session:032x} {record}")]);
    site.redis.cli(&["SET", &format!("pyapns:lease:{name}"), &format!("{session:032x}")]);
}

/// Plays a node that introduces itself as `name`, and returns its address.
async fn play(identity: &Identity, name: &str, session: u32, epoch: i64) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let mut own = hello(0);
    own.node = name.parse().expect("a name");
    own.session = NodeSession::from_bits(session.into());
    own.epoch = Epoch::stored(epoch);
    let mut peer = FalsePeer::new(0, Box::new(|_, _, _| None));
    peer.greeting = Box::new(move |_| frames(&own, &[]));
    peer.start(listener, identity);
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_says_of_each_member_that_no_link_reaches_what_is_wrong_with_it() {
    let site = Site::new(&[]).await;
    site.start_at(seats(&site)[0].clone()).await.process.stop().await;
    let epoch: i64 = site.redis.cli(&["HGET", "pyapns:meta", "epoch"]).parse().expect("a number");
    let own = Identity::load(&[site.folder().join("cluster/cluster.pem")]).expect("an identity");
    let foreign = new_identity(site.folder(), "foreign.pem");

    add_member(&site, "good", 1, play(&own, "good", 1, epoch).await, 1);
    add_member(&site, "closed", 2, lasting_address(), 1);
    add_member(&site, "foreign", 3, play(&foreign, "foreign", 3, epoch).await, 1);
    add_member(&site, "twin", 4, play(&own, "good", 1, epoch).await, 1);
    add_member(&site, "astray", 5, play(&own, "astray", 5, epoch + 1).await, 1);
    add_member(&site, "newer", 6, lasting_address(), 99);
    add_member(&site, "outside", 7, SocketAddr::from(([192, 0, 2, 1], 8090)), 1);
    add_member(&site, "dead", 8, lasting_address(), 1);
    site.redis.cli(&["DEL", "pyapns:lease:dead"]);
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    add_member(&site, "deaf", 9, silent.local_addr().expect("bound"), 1);
    let deaf = tokio::spawn(async move {
        // It closes the connection as a node does that does not allow the address.
        while let Ok((socket, _)) = silent.accept().await {
            drop(socket);
        }
    });

    let (status, text) = doctor(&site, "a").await;
    assert_eq!(status, Some(1), "{text}");
    assert!(lines(&text, "ok", "peer")[0].starts_with("good at "), "{text}");
    assert_eq!(lines(&text, "ok", "peer").len(), 1, "{text}");
    assert!(lines(&text, "warn", "peer")[0].starts_with("dead at ") && text.contains("has no lease"), "{text}");
    for (name, why) in [
        ("closed", "check that the node runs, and that no firewall is between"),
        ("foreign", "the peer has another cluster identity: give all nodes the same `cluster.identity_files`"),
        ("twin", "the node good answers there: give each node its own cluster.advertise"),
        ("astray", "its store has another epoch"),
        ("newer", "run the same version of pyapns on all nodes"),
        ("outside", "is in no network of cluster.allow: add it to cluster.allow on every node"),
        ("deaf", "add the address of this machine to its cluster.allow"),
    ] {
        let failed = lines(&text, "fail", "peer");
        let line = failed.iter().find(|line| line.starts_with(&format!("{name} ")));
        assert!(line.is_some_and(|line| line.contains(why)), "{name}: {text}");
    }
    assert_eq!(lines(&text, "fail", "peer").len(), 7, "{text}");
    deaf.abort();
}

/// Changes a line of the configuration of node `a`.
fn edit(site: &Site, from: &str, to: &str) {
    let file = site.folder().join("a.toml");
    let text = std::fs::read_to_string(&file).expect("a file");
    assert!(text.contains(from), "{from}: {text}");
    std::fs::write(&file, text.replace(from, to)).expect("a file");
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    std::fs::write(folder.join(name), text).expect("a file");
    folder.join(name).display().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_names_a_missing_key_another_identity_and_a_node_that_a_balancer_leaves_out() {
    let site = Site::new(&[]).await;
    let seat = seats(&site)[0].clone();
    let node = site.start_at(seat.clone()).await;
    site.wait_joined(&[&node]).await;
    let other = write(site.folder(), "other.key", &"0a".repeat(32));
    edit(&site, &seat.key, &other);
    let (status, text) = doctor(&site, "a").await;
    assert_eq!(status, Some(1), "{text}");
    assert!(lines(&text, "fail", "keys")[0].contains("which is not in credentials.key_files: add its file"), "{text}");
    edit(&site, &other, &seat.key);

    let identity = pyapns::cluster::identity::generate().expect("an identity");
    let stranger = site.folder().join("stranger.pem");
    std::fs::write(&stranger, identity.expose()).expect("a file");
    let shared = site.folder().join("cluster/cluster.pem").display().to_string();
    edit(&site, &shared, &stranger.display().to_string());
    let (status, text) = doctor(&site, "a").await;
    assert_eq!(status, Some(1), "{text}");
    assert!(lines(&text, "fail", "peer")[0].contains("another cluster identity"), "{text}");
    edit(&site, &stranger.display().to_string(), &shared);

    let port = lasting_address().port();
    edit(
        &site,
        &format!("listen = '127.0.0.1:{}'\ninsecure", seat.port),
        &format!("listen = '127.0.0.1:{port}'\ninsecure"),
    );
    let (status, text) = doctor(&site, "a").await;
    assert_eq!(status, Some(1), "{text}");
    assert!(lines(&text, "fail", "balancer")[0].contains("no node answers at"), "{text}");
    node.process.stop().await;
}

const SECRET: &str = "a-password-that-no-line-shows";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_connects_to_redis_as_a_node_does_and_names_the_setting_that_redis_refuses() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = include_str!("../../docs/redis.md");
    let user = page.lines().find(|line| line.starts_with("user pyapns on ")).expect("the page has the line");
    let [right, wrong] = ["right", "wrong"].map(|name| RedisCertificates::mint(folder.path(), name));
    let users = vec!["user default off".to_owned(), user.replace(">PASSWORD", &format!(">{}", SECRET))];
    let redis = RedisServer::with(&[right.lines(), users].concat());
    let url = format!("rediss://127.0.0.1:{}", redis.port);
    let cluster = Cluster::on(&folder.path().join("cluster"), redis);
    let apple = "[apple]\nsandbox = 'https://127.0.0.1:1'\nproduction = 'https://127.0.0.1:1'\n";
    let data = format!("data_dir = '{}'\n", folder.path().join("data").display());
    let config = write(folder.path(), "pyapns.toml", &(cluster.settings("push-1") + &data + apple));
    let [good, bad] = [("good", SECRET), ("bad", "guess")].map(|(name, text)| write(folder.path(), name, text));
    let doctor = async |password: &str, certificates: &RedisCertificates| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_pyapns"));
        command.args(["doctor", "--no-push", "--config", &config]).kill_on_drop(true);
        command.env("PYAPNS_STORE_URL", &url).env("PYAPNS_STORE_USERNAME", "pyapns");
        command.env("PYAPNS_STORE_PASSWORD_FILE", password).env("PYAPNS_STORE_CA_FILE", &certificates.ca);
        command.env("PYAPNS_STORE_CERTIFICATE", &right.client).env("PYAPNS_STORE_KEY", &right.client_key);
        let (_, text) = said(&command.output().await.expect("the program runs"));
        assert!(!text.contains(SECRET), "{text}");
        text
    };
    let text = doctor(&good, &right).await;
    assert!(
        lines(&text, "ok", "redis")[0].ends_with("connected over TLS as the user pyapns and may run scripts"),
        "{text}"
    );
    assert!(lines(&text, "ok", "keys")[0].starts_with("no node has used the store yet"), "{text}");
    assert_eq!(lines(&text, "ok", "peer"), ["the cluster has no members now"], "{text}");
    assert!(lines(&text, "ok", "store").iter().any(|line| line.ends_with("can be written, 0 apps")), "{text}");
    let text = doctor(&bad, &right).await;
    assert!(lines(&text, "fail", "store")[0].contains("refuses the user or the password"), "{text}");
    assert_eq!(lines(&text, "ok", "redis").len(), 0, "{text}");
    let text = doctor(&good, &wrong).await;
    assert!(lines(&text, "fail", "store")[0].contains("store.ca_file"), "{text}");
}
