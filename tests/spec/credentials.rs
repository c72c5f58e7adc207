//! Credentials in usual formats over HTTP, and their absence from every output.

use crate::support::client::{Answer, Client};
use crate::support::forms::{Form, Forms, PASSPHRASE, openssl};
use crate::support::world::{APP, Credential, World, to, token};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The unchanged file, with its passphrase in the header.
async fn post_raw(client: &mut Client, app: &str, form: &Form) -> Answer {
    match form.passphrase {
        Some(passphrase) => client.post_with(app, ("x-passphrase", passphrase), form.bytes.clone()).await,
        None => client.post(app, form.bytes.clone()).await,
    }
}

/// The form inside JSON.
fn in_json(form: &Form, passphrase: Option<&str>) -> String {
    let (name, content) = match form.is_binary() {
        true => ("pkcs12", STANDARD.encode(&form.bytes)),
        false => ("certificate", String::from_utf8_lossy(&form.bytes).into_owned()),
    };
    json!({name: content, "passphrase": passphrase}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_of_credential_is_accepted_as_a_body_and_in_json() {
    let world = World::start().await;
    let mut client = world.client().await;
    for form in &Forms::get().forms {
        let raw = post_raw(&mut client, "/apps/forms/production", form).await;
        let boxed = client.post("/apps/forms/production", in_json(form, form.passphrase)).await;
        for answer in [raw, boxed] {
            assert_eq!(answer.status, 201, "{}: {answer:?}", form.name);
            let credential = &answer.response()["credential"];
            assert_eq!(credential["topics"], json!(["com.example.app"]), "{}", form.name);
            assert_eq!(credential["team_id"], "TEAM123456", "{}", form.name);
            assert!(credential["days_left"].as_i64().is_some_and(|days| days > 3_640), "{}: {answer:?}", form.name);
        }
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_does_not_open_is_a_400_with_the_cause() {
    let world = World::start().await;
    let mut client = world.client().await;
    let forms = Forms::get();
    for form in forms.forms.iter().filter(|form| form.passphrase.is_some()) {
        for (passphrase, reason) in [(None, "passphrase_missing"), (Some("wrong-canary"), "passphrase_wrong")] {
            let answer = client.post("/apps/forms/production", in_json(form, passphrase)).await;
            assert_eq!((answer.status, answer.reason()), (400, reason), "{}", form.name);
            assert!(!answer.body.to_string().contains("wrong-canary"), "{answer:?}");
        }
    }
    for (form, reason) in forms.bad() {
        let answer = post_raw(&mut client, "/apps/forms/production", &form).await;
        assert_eq!((answer.status, answer.reason()), (400, reason), "{}", form.name);
    }
    let pem = &forms.forms[0];
    let both = client.post_with("/apps/forms/production", ("x-passphrase", "a"), in_json(pem, Some("b"))).await;
    assert_eq!((both.status, both.reason()), (400, "passphrase_ambiguous"));
    assert_eq!(client.get("/apps/forms/production").await.status, 404, "nothing was provisioned");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_from_keychain_sends() {
    let world = World::start().await;
    let folder = world.directory.path();
    std::fs::write(folder.join("client.pem"), &world.simulator.identity().client_pem).expect("a file");
    let export = "pkcs12 -export -in client.pem -passout env:PASS -legacy";
    let keychain = openssl(folder, export, &[], PASSPHRASE);
    let answer = world.client().await.post_with(APP, ("x-passphrase", PASSPHRASE), keychain).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(world.send(&to(&token(1))).await.outcomes(), ["accepted"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_without_its_key_reports_it_and_works_after_provisioning() {
    const OTHER: &str = "/apps/other/sandbox";
    let World { simulator, node, directory } = World::start().await;
    node.stop().await;
    std::fs::remove_file(directory.path().join("data/credentials.key")).expect("the node made a key");
    let node = crate::support::world::Running::start(directory.path(), simulator.address()).await;
    let world = World { simulator, node, directory };
    assert_eq!(world.provision(OTHER, Credential::Certificate).await.status, 201);

    let app = world.client().await.get(APP).await;
    assert_eq!(app.response()["state"], "credential_error", "{app:?}");
    assert!(
        app.response()["last_error"].as_str().is_some_and(|why| why.contains("provision the app again")),
        "{app:?}"
    );
    let began = std::time::Instant::now();
    let answer = world.send(&to(&token(1))).await;
    assert_eq!((answer.status, answer.outcomes()), (201, vec!["not_sent"]));
    assert_eq!(answer.response()["reason"], "credential_error");
    assert!(began.elapsed().as_secs() < 5, "at once");
    let other = world.client().await.post(&format!("{OTHER}/notifications"), to(&token(1)).to_string()).await;
    assert_eq!(other.outcomes(), ["accepted"], "others work");

    let healed = world.provision(APP, Credential::Certificate).await;
    assert_eq!((healed.response()["state"].as_str(), &healed.response()["last_error"]), (Some("ok"), &Value::Null));
    assert_eq!(world.send(&to(&token(2))).await.outcomes(), ["accepted"]);
    world.restart().await.stop().await;
}

/// The daemon as installed, with its whole log.
struct Daemon {
    process: Child,
    announced: String,
    log: PathBuf,
}

impl Daemon {
    fn start(folder: &Path) -> Self {
        let log = folder.join("log");
        let mut process = Command::new(env!("CARGO_BIN_EXE_pyapns"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.join("data"))
            .env("PYAPNS_LOG_LEVEL", "debug")
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).expect("a log"))
            .spawn()
            .expect("the daemon starts");
        let mut announced = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut announced).expect("a line");
        Self { process, announced, log }
    }

    async fn client(&self) -> Client {
        let (_, address) = self.announced.trim().rsplit_once("//").expect("an address");
        Client::connect(address.parse().expect("an address")).await
    }

    /// Kills it, so that its files stay as they are in use; gives all of them and the log.
    fn end(mut self, folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
        let data = std::fs::read_dir(folder.join("data")).expect("data").map(|entry| entry.expect("a file").path());
        data.chain([self.log]).map(|path| (path.clone(), std::fs::read(&path).expect("a file"))).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_keys_nor_passphrases_are_in_the_data_directory_in_answers_or_in_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let forms = Forms::get();
    let daemon = Daemon::start(folder.path());
    let mut client = daemon.client().await;
    let mut seen = Vec::new();
    for (number, form) in forms.forms.iter().enumerate() {
        let app = format!("/apps/canary-{number}/sandbox");
        seen.push(post_raw(&mut client, &app, form).await);
        seen.push(client.post(&app, in_json(form, form.passphrase)).await);
        seen.push(client.post(&app, in_json(form, Some("wrong-canary"))).await);
        seen.push(client.get(&app).await);
    }
    for (form, _) in forms.bad() {
        seen.push(post_raw(&mut client, "/apps/bad/sandbox", &form).await);
    }
    seen.push(client.get("/apps").await);
    let metrics = client.text("/metrics").await;
    let mut places = daemon.end(folder.path());
    assert!(places.iter().any(|(path, bytes)| path.ends_with("pyapns.db") && bytes.len() > 100_000), "data");
    assert!(places.iter().any(|(path, bytes)| path.ends_with("log") && bytes.len() > 1_000), "a log");
    places.push(("answers".into(), format!("{seen:?}").into_bytes()));
    places.push(("metrics".into(), metrics.into_bytes()));
    for (place, bytes) in &places {
        for canary in forms.canaries() {
            let found = bytes.windows(canary.len()).any(|window| window == canary);
            assert!(!found, "{} of {canary:x?} in {}", canary.len(), place.display());
        }
    }
}
