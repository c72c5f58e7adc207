//! The cause and the remedy in `last_error` and the log when Apple does not take an app's pushes.

use crate::support::pipes::{Gateway, Manner, address, talk};
use crate::support::process::{Home, entry};
use crate::support::sender::{DEADLINE, Sender, app};
use crate::support::world::{APP, Running, World, to, token};
use pyapns::delivery::refusal;
use pyapns::model::AppleReason;
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn each_reason_of_a_refused_credential_is_reported_with_its_cause() {
    use AppleReason::{
        BadCertificate, BadCertificateEnvironment, BadEnvironmentKeyIdInToken, BadEnvironmentKeyInToken,
        ExpiredProviderToken, Forbidden, InvalidProviderToken, MissingProviderToken, UnrelatedKeyIdInToken,
    };
    for reason in [
        BadCertificate,
        BadCertificateEnvironment,
        BadEnvironmentKeyIdInToken,
        BadEnvironmentKeyInToken,
        ExpiredProviderToken,
        Forbidden,
        InvalidProviderToken,
        MissingProviderToken,
        UnrelatedKeyIdInToken,
    ] {
        let gateway = Gateway::new(move |mut peer| {
            talk(async move {
                peer.handshake(100).await;
                while let Some(push) = peer.next().await {
                    peer.refuse(&push, 403, reason.as_str()).await;
                }
            })
        });
        let (sender, app) = (Sender::new(&gateway), app("any"));
        let outcome = sender.one(&app, 1, 1).await;
        assert_eq!(outcome.status, Some(403), "{reason:?}");
        let seen = sender.seen(&app);
        let told = seen.last_error.expect("an error").what;
        assert_eq!(
            (seen.state.as_str(), told.as_str()),
            ("credential_error", refusal::sentence(reason, &app).as_str())
        );
        assert!(refusal::advice(reason, &app).is_some_and(|advice| told.ends_with(&advice)), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_goaway_about_the_certificate_and_too_frequent_token_changes_are_reported_alike() {
    let gateway = Gateway::new(|mut peer| {
        talk(async move {
            peer.handshake(100).await;
            peer.goaway(0, r#"{"reason":"BadCertificateEnvironment"}"#).await;
            peer.hang().await;
        })
    });
    let (sender, one) = (Sender::new(&gateway), app("any"));
    sender.one(&one, 1, 1).await;
    let told = sender.seen(&one).last_error.expect("an error").what;
    assert_eq!(told, refusal::sentence(AppleReason::BadCertificateEnvironment, &one));

    let gateway = Gateway::new(|mut peer| {
        talk(async move {
            peer.handshake(100).await;
            while let Some(push) = peer.next().await {
                peer.refuse(&push, 429, "TooManyProviderTokenUpdates").await;
            }
        })
    });
    let (sender, one) = (Sender::new(&gateway), app("any"));
    sender.one(&one, 1, 1).await;
    let told = sender.seen(&one).last_error.expect("an error").what;
    assert_eq!(told, refusal::sentence(AppleReason::TooManyProviderTokenUpdates, &one));
}

#[tokio::test(start_paused = true)]
async fn a_gateway_without_settings_shows_after_five_seconds() {
    let gateway = Gateway::new(|peer| talk(peer.hang()));
    let (sender, app) = (Sender::new(&gateway), app("any"));
    let begun = sender.begin(&app, vec![(1, 1)], DEADLINE);
    sleep(SECOND * 49 / 10).await;
    let seen = sender.seen(&app);
    assert_eq!((seen.state.as_str(), seen.last_error), ("connecting", None), "it may still come");
    sleep(SECOND / 5).await;
    let seen = sender.seen(&app);
    let told = seen.last_error.expect("an error").what;
    assert_eq!(seen.state.as_str(), "cannot_connect");
    assert!(told.contains(&format!("{} with TLS, and no HTTP/2 SETTINGS came within 5 s", address(1))), "{told}");
    sleep(5 * SECOND).await;
    let told = sender.seen(&app).last_error.expect("an error").what;
    assert!(told.contains("sent no HTTP/2 SETTINGS within 10 s"), "{told}");
    begun.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_takes_no_connection_shows_after_five_seconds() {
    let gateway = Gateway::new(|_| Manner::Swallow);
    let (sender, app) = (Sender::new(&gateway), app("any"));
    let begun = sender.begin(&app, vec![(1, 1)], DEADLINE);
    sleep(SECOND * 51 / 10).await;
    let seen = sender.seen(&app);
    let told = seen.last_error.expect("an error").what;
    assert_eq!(seen.state.as_str(), "cannot_connect");
    assert!(told.contains("TCP and TLS with") && told.contains(&address(1).to_string()), "{told}");
    begun.await.expect("no panic");
}

/// `openssl s_server` takes the handshake, offers `h2`, and then says nothing.
#[tokio::test]
async fn a_tls_server_that_is_not_a_gateway_is_reported_as_one_without_settings() {
    let directory = tempfile::tempdir().expect("a folder");
    let simulator = directory.path().join("simulator");
    std::fs::create_dir(&simulator).expect("a folder");
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name").self_signed(&key);
    let certificate = certificate.expect("a certificate").pem();
    std::fs::write(simulator.join("ca.pem"), &certificate).expect("a file");
    std::fs::write(simulator.join("server.pem"), certificate + &key.serialize_pem()).expect("a file");
    let mut server = Command::new("openssl");
    server.args(["s_server", "-accept", "127.0.0.1:0", "-alpn", "h2", "-cert", "server.pem"]);
    server.current_dir(&simulator).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut server = server.spawn().expect("openssl");
    let _silent = server.stdin.take();
    let mut lines = BufReader::new(server.stdout.take().expect("piped")).lines();
    let port = loop {
        let line = lines.next_line().await.expect("text").expect("it says where it listens");
        if let Some(port) = line.strip_prefix("ACCEPT ").and_then(|at| at.rsplit(':').next()?.parse::<u16>().ok()) {
            break port;
        }
    };
    let node = Running::with(directory.path(), &format!("sandbox = 'https://localhost:{port}'")).await;
    let (key, key_id, team_id) = (KeyPair::generate().expect("a key").serialize_pem(), "KEY1234567", "TEAM123456");
    let body = json!({"key": key, "key_id": key_id, "team_id": team_id, "topic": "com.example.app"});
    let mut client = crate::support::client::Client::connect(node.address).await;
    assert_eq!(client.post(APP, body.to_string()).await.status, 201);
    let path = format!("{APP}/notifications?timeout=7");
    let mut sender = crate::support::client::Client::connect(node.address).await;
    let sending = tokio::spawn(async move { sender.post(&path, to(&token(1)).to_string()).await });
    let began = Instant::now();
    let shown = loop {
        let app = client.get(APP).await;
        if app.response()["state"] == "cannot_connect" {
            break app;
        }
        assert_eq!(app.response()["last_error"], Value::Null, "{app:?}");
        assert!(began.elapsed() < 8 * SECOND, "{app:?}");
        sleep(SECOND / 20).await;
    };
    let told = shown.response()["last_error"].as_str().unwrap_or_default().to_owned();
    assert!(began.elapsed() >= 4 * SECOND, "not before its time");
    assert!(told.contains("no HTTP/2 SETTINGS came within 5 s"), "{told}");
    assert_eq!(sending.await.expect("no panic").outcomes(), ["not_sent"]);
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn exchanged_ids_of_a_signing_key_are_reported_in_the_app_and_the_log() {
    let world = World::start().await;
    let home = Home::new(&world, "exchanged", "pyapns.toml");
    let identity = world.simulator.identity();
    home.put("shop.pem", &identity.client_pem);
    home.configure(&format!("listen = '127.0.0.1:0'\n[log]\nformat = 'json'\n{}", entry("shop", "shop.pem", "")));
    let mut process = home.start().await;
    let mut client = process.client().await;
    let (key, key_id, team_id) = (&identity.key_pem, &identity.team_id, &identity.key_id);
    let body = json!({"key": key, "key_id": key_id, "team_id": team_id, "topic": identity.topic});
    assert_eq!(client.post("/apps/chat/sandbox", body.to_string()).await.status, 201, "both have ten characters");
    let sent = client.post("/apps/chat/sandbox/notifications", to(&token(1)).to_string()).await;
    assert_eq!(
        (&sent.response()["outcome"], &sent.response()["reason"]),
        (&json!("not_sent"), &json!("InvalidProviderToken"))
    );
    let app = client.get("/apps/chat/sandbox").await;
    let told = app.response()["last_error"].as_str().expect("a sentence").to_owned();
    assert_eq!(app.response()["state"], "credential_error");
    assert!(told.contains(&format!("key_id {key_id} of team_id {team_id}: the two may be exchanged")), "{told}");

    process.logs("the two may be exchanged", 1).await;
    let line = process.line_with("the two may be exchanged");
    let line: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((line["message"].as_str(), &line["app"]), (Some(told.as_str()), &json!("chat/sandbox")), "{line}");
    drop(client);
    process.stop().await;
    world.stop().await;
}
