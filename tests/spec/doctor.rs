//! `pyapns doctor`: it finds what is wrong, says what to do, and finds nothing where nothing is wrong.

use crate::support::client::Client;
use crate::support::daemon::Daemon;
use crate::support::process::entry;
use crate::support::world::{APP, Credential, World, to, token};
use serde_json::json;
use simulator::{Options, Simulator};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;
use tokio::process::Command;

/// Runs it on a data directory beside the simulator's, with these variables.
async fn doctor(simulator: &Simulator, data: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pyapns"));
    let gateway = format!("https://{}", simulator.address());
    command.args(["doctor", "--data-dir"]).arg(data).args(arguments).kill_on_drop(true);
    command.env("PYAPNS_APPLE_SANDBOX", &gateway).env("PYAPNS_APPLE_PRODUCTION", &gateway);
    command.env("PYAPNS_APPLE_CA_FILE", simulator.identity().file("ca.pem").expect("it has a folder"));
    command.envs(variables.iter().copied()).output().await.expect("the program runs")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The lines that begin with `verdict` and are about `what`.
fn lines<'a>(told: &'a str, verdict: &str, what: &str) -> Vec<&'a str> {
    let head = format!("{verdict:<5} {what:<14} ");
    told.lines().filter_map(|line| line.strip_prefix(&head)).collect()
}

fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_all_is_well_every_line_is_ok() {
    let world = World::start().await;
    assert_eq!(world.provision("/apps/key/production", Credential::Token).await.status, 201);
    let World { simulator, node, directory } = world;
    node.stop().await;
    let (requests, data) = (simulator.ledger().totals().requests, directory.path().join("data"));
    let output = doctor(&simulator, &data, &[], &[]).await;
    let said = told(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for what in ["configuration", "clock", "disk", "dns", "tcp", "tls", "alpn", "store"] {
        assert_eq!(lines(&said, "ok", what).len(), 1, "{what}: {said}");
    }
    assert_eq!(lines(&said, "ok", "credential").len(), 2, "{said}");
    let apple = lines(&said, "ok", "apple");
    assert!(apple[0].starts_with("com.example.app/sandbox: accepts the credential"), "{said}");
    assert!(apple[1].starts_with("key/production: accepts the credential"), "{said}");
    assert!(said.lines().last().is_some_and(|line| line.starts_with("0 failures, ")), "{said}");
    assert_eq!(simulator.ledger().totals().requests, requests + 2, "one push each");
    let quiet = doctor(&simulator, &data, &[], &["--no-push"]).await;
    assert_eq!((quiet.status.code(), lines(&told(&quiet), "ok", "apple").len()), (Some(0), 0));
    assert_eq!(simulator.ledger().totals().requests, requests + 2, "Apple is not asked");
    simulator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_on_the_way_to_apple_has_its_own_line() {
    let world = World::start().await;
    let data = world.directory.path().join("empty");
    let closed = format!("https://{}", nobody());
    let output = doctor(&world.simulator, &data, &[("PYAPNS_APPLE_PRODUCTION", &closed)], &[]).await;
    let said = told(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(lines(&said, "fail", "tcp")[0].contains("cannot connect to"), "{said}");
    assert_eq!(lines(&said, "ok", "alpn").len(), 1, "the other gateway works: {said}");
    assert!(lines(&said, "ok", "store")[0].contains("the first start creates it"), "{said}");
    assert!(!data.exists(), "and it was not created now");

    let stranger = rcgen::KeyPair::generate().expect("a key");
    let stranger = rcgen::CertificateParams::default().self_signed(&stranger).expect("a certificate").pem();
    let authority = world.directory.path().join("stranger.pem");
    std::fs::write(&authority, stranger).expect("a file");
    let authority = authority.to_str().expect("text");
    let output = doctor(&world.simulator, &data, &[("PYAPNS_APPLE_CA_FILE", authority)], &[]).await;
    let said = told(&output);
    assert_eq!((output.status.code(), lines(&said, "ok", "tcp").len()), (Some(1), 1), "{said}");
    assert!(lines(&said, "fail", "tls")[0].contains("no authority trusted here has signed its certificate"), "{said}");

    let output = doctor(&world.simulator, &data, &[("PYAPNS_APPLE_CA_FILE", "gone.pem")], &[]).await;
    let said = told(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(lines(&said, "fail", "configuration")[0].contains("gone.pem"), "{said}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_that_apple_refuses_is_found_before_anybody_sends() {
    let world = World::start().await;
    let (_, foreign) = simulator::generate_key("ABCDE12345", "FGHIJ67890").expect("a key");
    let body = json!({"key": foreign, "key_id": "ABCDE12345", "team_id": "FGHIJ67890", "topic": "com.example.app"});
    let mut client = world.client().await;
    assert_eq!(client.post("/apps/foreign/sandbox", body.to_string()).await.status, 201);
    drop(client);
    let data = world.directory.path().join("copy");
    std::fs::create_dir(&data).expect("a folder");
    // The files that a killed node leaves.
    for file in ["pyapns.db", "pyapns.db-wal", "credentials.key"] {
        std::fs::copy(world.directory.path().join("data").join(file), data.join(file)).expect("a file");
    }
    let output = doctor(&world.simulator, &data, &[], &[]).await;
    let said = told(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let refused = lines(&said, "fail", "apple");
    assert!(refused[0].starts_with("foreign/sandbox: refuses the credential: InvalidProviderToken"), "{said}");
    assert_eq!(lines(&said, "ok", "apple").len(), 1, "the other one works: {said}");

    std::fs::remove_file(data.join("credentials.key")).expect("a file");
    let said = told(&doctor(&world.simulator, &data, &[], &[]).await);
    assert_eq!(lines(&said, "fail", "credential").len(), 2, "{said}");
    assert!(lines(&said, "fail", "credential")[0].contains("provision the app again"), "{said}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_node_is_asked_instead_of_its_store() {
    let world = World::start().await;
    let daemon = Daemon::start(&world).await;
    let data = world.directory.path().join("daemon");
    let listen = daemon.address.to_string();
    let output = doctor(&world.simulator, &data, &[], &["--listen", &listen]).await;
    let said = told(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(lines(&said, "ok", "store")[0].contains("is held by a running node"), "{said}");
    assert_eq!(lines(&said, "ok", "node"), [format!("http://{listen} is ready")], "{said}");
    assert!(lines(&said, "ok", "credential")[0].starts_with("com.example.app/sandbox: "), "{said}");
    assert_eq!(lines(&said, "ok", "apple"), ["com.example.app/sandbox: accepts the credential"], "{said}");
    let path = format!("{APP}/notifications");
    let answer = Client::connect(daemon.address).await.post(&path, to(&token(1)).to_string()).await;
    assert_eq!(answer.outcomes(), ["accepted"], "the node was not disturbed");

    let elsewhere = doctor(&world.simulator, &data, &[], &["--listen", &nobody().to_string()]).await;
    assert_eq!(elsewhere.status.code(), Some(1));
    assert!(lines(&told(&elsewhere), "fail", "node")[0].contains("no node answers at"), "{}", told(&elsewhere));
    world.stop().await;
}

/// An entry of the configuration with a signing key in `file`, and the ids as given.
fn key_entry(app_id: &str, file: &Path, key_id: &str, team_id: &str) -> String {
    let file = file.display();
    format!(
        "[[autoprovision]]\napp_id = '{app_id}'\nenvironment = 'sandbox'\nkey = '{file}'\nkey_id = '{key_id}'\nteam_id = \
         '{team_id}'\ntopic = 'com.example.app'\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configurations_apps_are_asked_about_before_the_first_start_and_after_each_change() {
    let directory = tempfile::tempdir().expect("a folder");
    let options = Options { directory: Some(directory.path().join("simulator")), ..Options::default() };
    let simulator = Simulator::start(options).await.expect("a simulator");
    let identity = simulator.identity();
    let (key, pem) = (directory.path().join("key.p8"), directory.path().join("shop.pem"));
    std::fs::write(&key, &identity.key_pem).expect("a file");
    std::fs::write(&pem, &identity.client_pem).expect("a file");
    let (config, data) = (directory.path().join("pyapns.toml"), directory.path().join("data"));
    let exchanged = key_entry("chat", &key, &identity.team_id, &identity.key_id);
    std::fs::write(&config, entry("shop", &pem, "") + &exchanged).expect("a file");
    let arguments = ["--config", config.to_str().expect("text")];
    let output = doctor(&simulator, &data, &[], &arguments).await;
    let said = told(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(lines(&said, "ok", "apple"), ["shop/sandbox: accepts the credential"], "{said}");
    let refused = lines(&said, "fail", "apple");
    assert!(refused[0].starts_with("chat/sandbox: refuses the credential: InvalidProviderToken: "), "{said}");
    assert!(refused[0].contains("the two may be exchanged"), "{said}");
    assert!(lines(&said, "ok", "credential").iter().all(|line| !line.starts_with("chat/")), "{said}");
    assert!(!data.exists(), "and nothing was made");

    let right = key_entry("chat", &key, &identity.key_id, &identity.team_id);
    std::fs::write(&config, entry("shop", &pem, "") + &right).expect("a file");
    let said = told(&doctor(&simulator, &data, &[], &arguments).await);
    assert_eq!((lines(&said, "ok", "apple").len(), lines(&said, "fail", "apple").len()), (2, 0), "{said}");
    let said = told(&doctor(&simulator, &data, &[], &["--config", arguments[1], "--no-push"]).await);
    assert!(lines(&said, "ok", "credential")[0].ends_with("Apple was not asked about it"), "{said}");
    simulator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_a_running_node_no_credential_is_ok_that_apple_refuses_and_the_node_is_not_disturbed() {
    let world = World::start().await;
    let daemon = Daemon::start(&world).await;
    let data = world.directory.path().join("daemon");
    let identity = world.simulator.identity();
    let (key, key_id, team_id) = (&identity.key_pem, &identity.team_id, &identity.key_id);
    let body = json!({"key": key, "key_id": key_id, "team_id": team_id, "topic": identity.topic}).to_string();
    let mut client = daemon.client().await;
    assert_eq!(client.post("/apps/chat/sandbox", body).await.status, 201);
    let listen = daemon.address.to_string();
    let output = doctor(&world.simulator, &data, &[], &["--listen", &listen]).await;
    let said = told(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let refused = lines(&said, "fail", "apple").iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    assert!(refused[0].starts_with("chat/sandbox: refuses the credential: InvalidProviderToken: "), "{said}");
    assert_eq!(lines(&said, "ok", "apple"), ["com.example.app/sandbox: accepts the credential"], "{said}");
    assert!(lines(&said, "ok", "credential").iter().all(|line| !line.starts_with("chat/")), "{said}");
    for list in ["feedback", "disconnections"] {
        for app in ["chat", "com.example.app"] {
            let events = client.get(&format!("/apps/{app}/sandbox/{list}")).await;
            assert_eq!(events.response(), &json!([]), "doctor asks by itself, not through the node");
        }
    }

    let sent = client.post("/apps/chat/sandbox/notifications", to(&token(1)).to_string()).await;
    assert_eq!(sent.outcomes(), ["not_sent"]);
    let app = client.get("/apps/chat/sandbox").await;
    let last_error = app.response()["last_error"].as_str().expect("a sentence").to_owned();
    let advice = refused[0].split_once("InvalidProviderToken: ").expect("an advice").1;
    assert!(last_error.ends_with(advice), "the same words: {last_error}");
    let said = told(&doctor(&world.simulator, &data, &[], &["--listen", &listen]).await);
    let node = format!("chat/sandbox: the running node says credential_error: {last_error}");
    assert_eq!(lines(&said, "fail", "credential"), [node.as_str()], "{said}");
    assert!(lines(&said, "fail", "apple")[0].starts_with("chat/sandbox: refuses the credential: "), "{said}");
    world.stop().await;
}
