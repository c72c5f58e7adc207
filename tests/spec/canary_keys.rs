//! Canary strings in API keys, valid and invalid: they appear in no output, for any caller.

use super::canaries::{files, holds};
use crate::support::bare_node::curl;
use crate::support::daemon::Daemon;
use crate::support::world::{APP, World};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pyapns::api::auth::key::Digest;
use serde_json::json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

const SECRET: &str = "canary-right-c2VjcmV0";
const WRONG: &str = "canary-wrong-c2VjcmV0";

fn digest() -> String {
    Digest::of(SECRET.as_bytes()).to_string()
}

/// Nothing of these may be seen.
fn canaries() -> Vec<String> {
    let basic = |secret: &str| STANDARD.encode(format!("shop:{secret}"));
    vec!["canary-right".into(), "canary-wrong".into(), basic(SECRET), basic(WRONG), digest()]
}

fn configuration() -> String {
    let key = |id: &str, more: &str| format!("[[api_keys]]\nid = '{id}'\nsecret_sha256 = '{}'\n{more}\n", digest());
    let keys = [
        key("shop", "scopes = ['admin']"),
        key("reader", "scopes = ['feedback']"),
        key("other", "scopes = ['apps:read']\napps = ['other']"),
        key("old", "scopes = ['admin']\nexpires = 2020-01-01"),
    ];
    keys.concat()
}

/// Forms of an `Authorization` header, with the status that each gets at the world's app.
fn shown() -> Vec<(String, u16)> {
    let basic = |secret: &str| format!("Basic {}", STANDARD.encode(format!("shop:{secret}")));
    vec![
        (format!("Bearer shop.{SECRET}"), 200),
        (basic(SECRET), 200),
        (format!("Bearer shop.{WRONG}"), 401),
        (format!("Bearer nobody.{SECRET}"), 401),
        (format!("Bearer old.{SECRET}"), 401),
        (format!("Bearer reader.{SECRET}"), 403),
        (format!("Bearer other.{SECRET}"), 403),
        (format!("Bearer {WRONG}"), 401),
        (format!("Token shop.{SECRET}"), 401),
        (format!("shop.{SECRET}"), 401),
        (basic(WRONG), 401),
        (format!("Basic shop:{WRONG}"), 401),
        (format!("Bearer shop.{WRONG}{}", "x".repeat(20_000)), 431),
    ]
}

/// The responses to callers with any key.
fn call(url: &str) -> String {
    let mut told = String::new();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        for (header, status) in shown() {
            let header = format!("Authorization: {header}");
            let answer = curl(&["-i", version, "-H", &header, &format!("{url}{APP}")]);
            assert_eq!(answer.status, status, "{version} {header:.60}: {answer:?}");
            told.push_str(&answer.text);
            let others: &[_] = if version == "--http1.1" { &["/metrics", "/cluster", "/nowhere"] } else { &[] };
            for path in others {
                told.push_str(&curl(&["-i", version, "-H", &header, &format!("{url}{path}")]).text);
            }
            let body = json!({"token": "00fc", "payload": {"aps": {}}, "expiry": 1}).to_string();
            let path = format!("{url}{APP}/notifications");
            told.push_str(&curl(&["-i", version, "-H", &header, "-d", &body, &path]).text);
        }
    }
    let twice =
        ["-H", &format!("Authorization: Bearer shop.{SECRET}"), "-H", &format!("Authorization: Bearer a.{WRONG}")];
    told + &curl(&[&["-i"], &twice[..], &[&format!("{url}/apps")]].concat()).text
}

/// Bytes with a key that are not a request.
fn garble(address: SocketAddr) -> String {
    let key = format!("authorization: Bearer shop.{SECRET}");
    let garbled = [
        format!("GET /apps HTTP/1.1\r\nhost: localhost\r\n{key}\r\nbad header\r\n\r\n"),
        format!("GET /apps HTTP/1.1\r\nhost: localhost\r\n{key}\u{1}\r\n\r\n"),
        format!("GET /apps HTTP/1.1\r\nhost: localhost\r\n{key}\r\ncontent-length: x\r\n\r\n"),
        format!("{key}\r\n\r\n"),
        format!("GET /apps HTTP/1.1\r\nhost: localhost\r\n{}\r\n", format!("{key}\r\n").repeat(2_000)),
    ];
    let mut told = String::new();
    for text in garbled {
        let mut socket = TcpStream::connect(address).expect("it listens");
        // It may be closed before all was sent, and reset after the answer.
        let _ = socket.write_all(text.as_bytes());
        let _ = socket.read_to_string(&mut told);
    }
    told
}

/// The output of our commands that take a key: calls that work, and calls that do not.
fn run(folder: &Path, data: &Path, url: &str) -> String {
    let mut told = String::new();
    for secret in [SECRET, WRONG] {
        let key = format!("shop.{secret}");
        let file = folder.join("key");
        std::fs::write(&file, &key).expect("a file");
        let mut send = Command::new(env!("CARGO_BIN_EXE_pyapns"));
        send.args(["send", "--app", "com.example.app", "--environment", "sandbox", "--token", "00", "--alert", "a"]);
        send.args(["--expiry", "1", "--node", url, "--api-key-file"]).arg(file);
        let mut doctor = Command::new(env!("CARGO_BIN_EXE_pyapns"));
        doctor.args(["doctor", "--no-push", "--data-dir"]).arg(data);
        doctor.env("PYAPNS_LISTEN", url.trim_start_matches("http://")).env("PYAPNS_API_KEY", &key);
        for command in [&mut send, &mut doctor] {
            let output = command.env("RUST_BACKTRACE", "1").output().expect("the program runs");
            assert!(!output.stderr.is_empty() || !output.stdout.is_empty(), "it says something");
            told.extend([output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("text")));
        }
    }
    told
}

/// The complaints about a configuration with a key in the wrong place.
fn misconfigured(folder: &Path) -> String {
    let lines = ["id", "secret_sha256", "scopes", "apps", "expires", "secret", "secret_file"];
    let mut told = String::new();
    for line in lines {
        for value in [format!("'shop.{SECRET}'"), format!("['shop.{SECRET}']"), SECRET.to_owned(), format!("'{SECRET}")]
        {
            let entry = format!("id = 'shop'\nsecret_sha256 = '{}'\nscopes = ['send']\n", digest());
            let kept: Vec<_> = entry.lines().filter(|kept| !kept.starts_with(&format!("{line} "))).collect();
            let text = format!("[[api_keys]]\n{}\n'{line}' = {value}\n", kept.join("\n"));
            std::fs::write(folder.join("wrong.toml"), text).expect("a file");
            let mut check = Command::new(env!("CARGO_BIN_EXE_pyapns"));
            let output = check.args(["check-config", "--config", "wrong.toml"]).current_dir(folder).output();
            told.push_str(&String::from_utf8(output.expect("the program runs").stderr).expect("text"));
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_key_is_seen_nowhere_whether_it_is_right_or_wrong() {
    let world = World::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (log, data, file) = (folder.path().join("log"), folder.path().join("data"), folder.path().join("pyapns.toml"));
    std::fs::write(&file, configuration()).expect("a file");
    let mut command = Daemon::command(&world, &data, &[("PYAPNS_LOG_LEVEL", "debug")]);
    command.arg("--config").arg(&file).stderr(std::fs::File::create(&log).expect("a log"));
    let daemon = Daemon::run(command).await;
    let url = format!("http://{}", daemon.address);
    let key = format!("Authorization: Bearer shop.{SECRET}");
    let pem = world.simulator.identity().client_pem.clone();
    assert_eq!(curl(&["-H", &key, "--data-binary", &pem, &format!("{url}{APP}")]).status, 201);

    let answers = call(&url) + &garble(daemon.address);
    let commands = run(folder.path(), &data, &url);
    let metrics = curl(&["-H", &key, &format!("{url}/metrics")]).text;
    let faults = misconfigured(folder.path());
    daemon.kill();
    let log = std::fs::read_to_string(log).expect("a log");
    assert!(log.contains("DEBUG") && metrics.contains("status=\"401\""), "they were really shown");
    assert!(
        answers.contains("api_key_unknown") && answers.contains("scope_missing") && faults.contains("secret_sha256")
    );

    let told =
        [("answers", answers), ("commands", commands), ("metrics", metrics), ("faults", faults), ("the log", log)];
    let told = told.map(|(place, text)| (place.to_owned(), text.into_bytes()));
    for (place, bytes) in told.into_iter().chain(files(&data)) {
        for canary in canaries() {
            let mut lines = bytes.split(|byte| *byte == b'\n');
            let line = lines.find(|line| holds(line, canary.as_bytes())).map(String::from_utf8_lossy);
            assert_eq!(line, None, "{canary} in {place}");
        }
    }
    world.stop().await;
}
