//! A server that cannot be the shared store is refused at start, with the setting to change.

use super::*;
use std::io::{Read, Write};
use std::net::TcpListener;

#[track_caller]
fn assert_names(refused: Result<Vec<String>, StoreError>, reason: &str, parts: &[&str]) {
    let error = refused.expect_err("it is refused");
    let sentence = error.to_string();
    assert_eq!(error.reason(), reason, "{sentence}");
    for part in parts {
        assert!(sentence.contains(part), "{part} in: {sentence}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_refused_with_its_address() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // It accepts, and says nothing.
    assert_names(check(&settings(&format!("redis://{address}"))).await, "store_away", &[&address, "store.url", "1 s"]);
    drop(listener);
    let refused = check(&settings(&format!("redis://{address}"))).await;
    assert_names(refused, "store_away", &[&address, "store.url", "refused"]);
    let refused = check(&settings("redis+unix:///nowhere/redis.sock")).await;
    assert_names(refused, "store_away", &["/nowhere/redis.sock", "No such file"]);
}

/// A program of ours that answers PING, and everything else with `text`.
fn answering(text: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            let is_ping = buffer[..count].windows(4).any(|four| four == b"PING");
            let sent = stream.write_all(if is_ping { "+PONG\r\n" } else { text }.as_bytes());
            if sent.is_err() {
                return;
            }
        }
    });
    url
}

#[tokio::test]
async fn a_server_older_than_7_0_is_refused_with_its_version() {
    // There is no package of an old Redis here: a program of ours answers like one.
    let url = answering("$35\r\nredis_version:6.2.14\r\nrole:master\r\n\r\n");
    assert_names(check(&settings(&url)).await, "store_unfit", &["6.2.14", "7.0", "upgrade"]);
}

#[tokio::test]
async fn a_server_that_evicts_keys_is_refused() {
    let server = RedisServer::with(&["maxmemory-policy allkeys-lru"]);
    let refused = check(&settings(&server.url())).await;
    assert_names(refused, "store_unfit", &["allkeys-lru", "maxmemory-policy noeviction"]);
}

#[tokio::test]
async fn a_replica_is_refused() {
    let server = RedisServer::with(&["replicaof 127.0.0.1 1"]);
    assert_names(check(&settings(&server.url())).await, "store_unfit", &["replica", "primary", "redis+sentinel://"]);
}

#[tokio::test]
async fn a_server_of_a_redis_cluster_is_refused() {
    let server = RedisServer::with(&["cluster-enabled yes"]);
    assert_names(check(&settings(&server.url())).await, "store_unfit", &["Redis Cluster", "store.url"]);
}

#[tokio::test]
async fn a_wrong_password_a_wrong_user_and_a_missing_password_are_refused() {
    let server = RedisServer::with(&["requirepass right"]);
    let mut settings = settings(&server.url());
    assert_names(check(&settings).await, "store_unfit", &["asks for a password", "store.password_file"]);
    settings.password = Some("wrong".to_owned().into());
    assert_names(check(&settings).await, "store_unfit", &["refuses", "store.username", "store.password_file"]);
    settings.password = Some("right".to_owned().into());
    assert!(check(&settings).await.is_ok());
    settings.username = Some("nobody".to_owned());
    assert_names(check(&settings).await, "store_unfit", &["refuses", "store.username", "store.password_file"]);
}

#[tokio::test]
async fn certificates_that_do_not_fit_are_refused_with_their_setting() {
    let folder = tempfile::tempdir().unwrap();
    let right = RedisCertificates::mint(folder.path(), "right");
    let wrong = RedisCertificates::mint(folder.path(), "wrong");
    let server = RedisServer::with(&right.lines());
    let url = format!("rediss://127.0.0.1:{}", server.port);
    let with = |url: &str, ca: &RedisCertificates, client: Option<&RedisCertificates>| {
        let mut settings = settings(url);
        settings.ca_file = Some(ca.ca.clone());
        settings.certificate = client.map(|client| client.client.clone());
        settings.key = client.map(|client| client.client_key.clone());
        settings
    };
    assert!(check(&with(&url, &right, Some(&right))).await.is_ok());
    assert_names(check(&with(&url, &wrong, Some(&right))).await, "store_unfit", &["UnknownIssuer", "store.ca_file"]);
    let other_name = url.replace("127.0.0.1", "localhost");
    let refused = check(&with(&other_name, &right, Some(&right))).await;
    assert_names(refused, "store_unfit", &["localhost", "store.ca_file", "store.url"]);
    for client in [None, Some(&wrong)] {
        // The server's reason arrives, or gets lost as it closes the connection. The sentence names the settings always.
        let error = check(&with(&url, &right, client)).await.unwrap_err();
        let sentence = error.to_string();
        assert!(["store_unfit", "store_away"].contains(&error.reason()), "{sentence}");
        assert!(sentence.contains("store.certificate and store.key"), "{sentence}");
    }
}

#[tokio::test]
async fn a_port_without_tls_is_refused_for_rediss() {
    let silent = RedisServer::start();
    let url = format!("rediss://127.0.0.1:{}", silent.port);
    assert_names(check(&settings(&url)).await, "store_away", &["see that the port is for TLS"]);
    let url = answering("-ERR unknown command\r\n");
    let refused = check(&settings(&url.replace("redis://", "rediss://"))).await;
    assert_names(refused, "store_unfit", &["does not speak TLS", "redis://"]);
}

#[tokio::test]
async fn certificate_files_that_cannot_be_used_are_refused_with_their_setting_and_path() {
    let folder = tempfile::tempdir().unwrap();
    let files = RedisCertificates::mint(folder.path(), "a");
    let other = RedisCertificates::mint(folder.path(), "b");
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let with = |ca: &std::path::Path, certificate: Option<&std::path::Path>, key: Option<&std::path::Path>| {
        let mut settings = settings("rediss://127.0.0.1:1");
        settings.ca_file = Some(ca.to_owned());
        settings.certificate = certificate.map(std::path::Path::to_owned);
        settings.key = key.map(std::path::Path::to_owned);
        settings
    };
    let missing = folder.path().join("missing.pem");
    let empty_name = empty.display().to_string();
    assert_names(check(&with(&missing, None, None)).await, "store_unfit", &["store.ca_file", "missing.pem"]);
    assert_names(check(&with(&empty, None, None)).await, "store_unfit", &["store.ca_file", &empty_name]);
    let refused = check(&with(&files.ca, Some(&files.client), None)).await;
    assert_names(refused, "store_unfit", &["store.certificate and store.key"]);
    let refused = check(&with(&files.ca, Some(&files.client), Some(&other.client_key))).await;
    assert_names(refused, "store_unfit", &["store.key", "b-client-key.pem"]);
    let refused = check(&with(&files.ca, Some(&files.client), Some(&empty))).await;
    assert_names(refused, "store_unfit", &["store.key", &empty_name]);
    let mut without_tls = with(&files.ca, None, None);
    without_tls.url = RedisUrl::parse("redis://127.0.0.1:1").unwrap();
    assert_names(check(&without_tls).await, "store_unfit", &["store.ca_file", "rediss://"]);
}

#[tokio::test]
async fn what_a_server_may_lose_is_reported_and_not_refused() {
    for (lines, notice) in [
        (&[][..], Some("`appendonly yes`")),
        (&["appendonly yes", "appendfsync everysec"][..], Some("`appendfsync everysec`")),
        (&["appendonly yes", "appendfsync always"][..], None),
    ] {
        let server = RedisServer::with(lines);
        let notices = check(&settings(&server.url())).await.unwrap();
        assert_eq!(notices.len(), usize::from(notice.is_some()), "{notices:?}");
        assert!(notice.is_none_or(|notice| notices[0].contains(notice)), "{notices:?}");
    }
}

#[tokio::test]
async fn a_clock_that_is_off_by_more_than_five_seconds_is_reported() {
    let server = RedisServer::with(&["appendonly yes", "appendfsync always"]);
    let settings = settings(&server.url());
    let now = Clock::system().unix_time();
    for (at, notice) in [(now - 60.0, Some("ahead of")), (now + 60.0, Some("behind")), (now, None)] {
        let clock = Clock::manual(at);
        let notices = start::check(&link(&settings), &settings.prefix, &clock).await.unwrap();
        assert_eq!(notices.len(), usize::from(notice.is_some()), "{notices:?}");
        assert!(notice.is_none_or(|notice| notices[0].contains(notice)), "{notices:?}");
    }
}
