//! Canary strings in keys, passphrases, tokens and payloads, and where they may be seen: nowhere but where they belong.

use crate::support::client::Client;
use crate::support::daemon::Daemon;
use crate::support::forms::{Forms, PASSPHRASE};
use crate::support::world::{APP, World};
use serde_json::{Value, json};
use simulator::{Act, Ending, Fault, GoAway, Script, TokenState, When};
use std::path::Path;

const KEY_ID: &str = "CANARY1234";
const TEAM_ID: &str = "CANARY5678";
const PAYLOAD: &str = "payload-canary-5d2e";
/// The first digits of every device token here.
const TOKEN: &str = "ca9a61e5";

/// Everything that was answered, and whether it may show tokens and payloads: outcomes and the lists of an app's own
/// events do.
#[derive(Default)]
struct Seen(Vec<(String, bool)>);

impl Seen {
    async fn call(&mut self, client: &mut Client, method: &str, path: &str, body: &str) -> u16 {
        let answer = client.call(method, path, body.to_owned()).await;
        let path = path.split('?').next().unwrap_or_default();
        let ours = answer.status < 300 && !path.ends_with("sandbox") && path != "/apps";
        self.0.push((format!("{path}: {}", answer.body), ours));
        answer.status
    }
}

/// Credentials in pasted formats, which are accepted.
fn pasted(pem: &str) -> Vec<String> {
    let one_line = pem.replace('\n', "");
    vec![
        json!({"pkcs12": pem, "passphrase": PASSPHRASE}).to_string(),
        json!({"certificate": one_line, "passphrase": PASSPHRASE}).to_string(),
        json!(pem).to_string(),
        one_line,
    ]
}

/// Common mistakes in provisioning, each with the key and the passphrase in it somewhere.
fn malformed(pem: &str, p8: &str) -> Vec<String> {
    let bare: String = p8.lines().filter(|line| !line.starts_with("-----")).collect();
    let whole = json!({"key": p8, "key_id": KEY_ID, "team_id": TEAM_ID, "passphrase": PASSPHRASE}).to_string();
    vec![
        whole[..whole.len() - 3].to_owned(),
        whole.replace("\\n", "\n"),
        format!("{whole}{whole}"),
        whole.replace("\"passphrase\"", "\"passphrse\""),
        whole.replace("\"key_id\"", "\"key\""),
        json!({"key": [p8], "key_id": KEY_ID, "team_id": TEAM_ID}).to_string(),
        json!({"key": {"pem": p8}, "key_id": KEY_ID, "team_id": TEAM_ID}).to_string(),
        json!({"key": p8, "key_id": PASSPHRASE, "team_id": TEAM_ID}).to_string(),
        json!({"key": p8, "key_id": KEY_ID, "team_id": TEAM_ID, "topic": "no topic", "timeout": 0}).to_string(),
        json!({"key": bare, "key_id": KEY_ID, "team_id": TEAM_ID}).to_string(),
        json!({"certificate": bare, "passphrase": PASSPHRASE}).to_string(),
        json!({"certificate": p8, "passphrase": [PASSPHRASE]}).to_string(),
        json!([{"certificate": pem}]).to_string(),
        p8.to_owned(),
        format!("key={p8}&passphrase={PASSPHRASE}"),
        p8.replace("PRIVATE KEY", "PRIVATE KAY"),
        pem.replace("END CERTIFICATE", "END"),
        bare,
    ]
}

async fn provision(client: &mut Client, seen: &mut Seen, pem: &str, p8: &str) {
    let key =
        json!({"key": p8, "key_id": KEY_ID, "team_id": TEAM_ID, "topic": "com.example.app", "passphrase": PASSPHRASE});
    let key = key.to_string();
    assert_eq!(seen.call(client, "POST", "/apps/key/sandbox", &key).await, 201);
    assert_eq!(seen.call(client, "POST", "/apps/pem/sandbox", pem).await, 201);
    for body in pasted(pem) {
        assert_eq!(seen.call(client, "POST", "/apps/pasted/sandbox", &body).await, 201);
    }
    for body in malformed(pem, p8) {
        let status = seen.call(client, "POST", "/apps/bad/sandbox", &body).await;
        assert_eq!(status, 400, "{}", seen.0.last().expect("an answer").0);
    }
    let lost = seen.call(client, "POST", "/apps/bad/sandbox?passphrase=wrong-canary", pem).await;
    assert_eq!(lost, 400, "a passphrase does not belong there");
    for path in ["/apps/key/sandbox", "/apps/pem/sandbox", "/apps", "/healthz", "/apps/pem"] {
        seen.call(client, "GET", path, "").await;
    }
}

fn push(number: u32) -> Value {
    json!({"token": format!("{TOKEN}{number:056x}"), "payload": {"aps": {"alert": PAYLOAD}}, "expiry": 0})
}

/// Good and bad notifications, through every kind of trouble with Apple.
async fn send(client: &mut Client, seen: &mut Seen, world: &World) {
    let states =
        [TokenState::Dead { reason: "Unregistered", timestamp: None }, TokenState::Bad, TokenState::WrongTopic];
    for (number, state) in (1..).zip(states) {
        world.simulator.set_token(&format!("{TOKEN}{number:056x}"), Some(state));
    }
    let answer = |status, reason: &str| Fault::new(Act::Answer { status, reason: reason.to_owned() });
    let once = |fault| Fault { times: Some(1), ..fault };
    let scripts = [
        Script::default(),
        Script { faults: vec![answer(400, "NobodyKnowsThisReason")], ..Script::default() },
        Script { faults: vec![once(answer(503, "ServiceUnavailable"))], ..Script::default() },
        Script { faults: vec![Fault::new(Act::Reset { code: 8, processed: true })], ..Script::default() },
        Script { goaway: Some(GoAway::new(When::Requests(2), Ending::Cut)), ..Script::default() },
    ];
    let batch = Value::Array((0..4).map(push).collect()).to_string();
    for script in scripts {
        world.simulator.set_script(script).expect("a good script");
        for app in [APP, "/apps/key/sandbox"] {
            let path = format!("{app}/notifications?timeout=2");
            assert_eq!(seen.call(client, "POST", &path, &batch).await, 201);
        }
    }
    let mut unknown = push(5);
    unknown["colour"] = json!(PAYLOAD);
    let mut long = push(6);
    long["payload"]["text"] = json!(PAYLOAD.repeat(400));
    let mut deep = push(7);
    (0..40).for_each(|_| deep["payload"] = json!([deep["payload"]]));
    let bad_token = json!({"token": format!("{TOKEN}xyz"), "payload": {PAYLOAD: 1}});
    let bad_type = json!({"token": {"hex": TOKEN}, "payload": PAYLOAD, "expiry": PAYLOAD});
    let cut = batch[..batch.len() - 9].to_owned();
    let all = [unknown, long, deep, bad_token, bad_type].map(|bad| bad.to_string());
    for body in all.iter().chain([&cut]) {
        for app in [APP, "/apps/nobody/sandbox"] {
            let status = seen.call(client, "POST", &format!("{app}/notifications"), body).await;
            assert!((400..500).contains(&status), "{body}");
        }
    }
    for list in ["feedback", "disconnections"] {
        assert_eq!(seen.call(client, "GET", &format!("{APP}/{list}"), "").await, 200);
        seen.call(client, "GET", &format!("{APP}/{list}?cursor={PAYLOAD}"), "").await;
    }
}

pub fn holds(bytes: &[u8], canary: &[u8]) -> bool {
    let (first, rest) = canary.split_first().expect("a canary is not empty");
    let starts = bytes.iter().enumerate().filter(|(_, byte)| *byte == first);
    starts.into_iter().any(|(at, _)| bytes[at + 1..].starts_with(rest))
}

/// Every file of a folder, and of those in it.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).expect("a file")));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_tokens_and_payloads_are_seen_nowhere_but_where_they_belong() {
    let world = World::start().await;
    let forms = Forms::get();
    let form = forms.forms.iter().find(|form| form.name == "EC in PKCS#8").expect("it is in the table");
    let pem = String::from_utf8(form.bytes.clone()).expect("text");
    let p8 = &pem[pem.find("-----BEGIN PRIVATE KEY").expect("a key")..];
    let folder = tempfile::tempdir().expect("a folder");
    let (log, data) = (folder.path().join("log"), folder.path().join("data"));
    let variables = [("PYAPNS_LOG_LEVEL", "debug"), ("PYAPNS_CREDENTIALS_DIR", folder.path().to_str().expect("text"))];
    let mut command = Daemon::command(&world, &data, &variables);
    command.stderr(std::fs::File::create(&log).expect("a log"));
    let daemon = Daemon::run(command).await;
    let mut client = daemon.client().await;
    let mut seen = Seen::default();
    let apples = world.simulator.identity().client_pem.clone();
    assert_eq!(seen.call(&mut client, "POST", APP, &apples).await, 201);
    provision(&mut client, &mut seen, &pem, p8).await;
    send(&mut client, &mut seen, &world).await;
    let metrics = client.text("/metrics").await;
    daemon.kill();

    let log = std::fs::read(log).expect("a log");
    assert!(holds(&log, b"DEBUG") && log.len() > 2_000, "a log with much in it");
    let mut closed = vec![("the log".to_owned(), log), ("metrics".to_owned(), metrics.into_bytes())];
    let (open, refusals): (Vec<_>, Vec<_>) = seen.0.into_iter().partition(|(_, ours)| *ours);
    closed.push(("answers".to_owned(), refusals.into_iter().map(|(text, _)| text).collect::<String>().into_bytes()));
    let open = open.into_iter().map(|(text, _)| text).collect::<String>().into_bytes();
    assert!(holds(&open, TOKEN.as_bytes()) && holds(&open, PAYLOAD.as_bytes()), "they were really sent");
    let stored = files(&data);
    assert!(stored.iter().any(|(_, bytes)| holds(bytes, TOKEN.as_bytes())), "feedback was really written");

    let mut secrets = forms.canaries();
    secrets.push(b"bearer ".to_vec());
    let lines = pem.lines().filter(|line| line.len() == 64 && p8.contains(line));
    secrets.extend(lines.map(|line| line.as_bytes().to_vec()));
    for (place, bytes) in closed.iter().chain(&stored).chain([&("lists".to_owned(), open)]) {
        for secret in &secrets {
            let line = bytes.split(|byte| *byte == b'\n').find(|line| holds(line, secret)).map(String::from_utf8_lossy);
            assert_eq!(line, None, "{} in {place}", String::from_utf8_lossy(secret));
        }
    }
    for (place, bytes) in &closed {
        for canary in [TOKEN, PAYLOAD] {
            assert!(!holds(bytes, canary.as_bytes()), "{canary} in {place}: {}", String::from_utf8_lossy(bytes));
        }
    }
    world.stop().await;
}
