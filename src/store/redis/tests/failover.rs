//! Sentinel: the primary that it names is used, and its successor after a failover.

use super::redis_watched::Watched;
use super::*;

/// Writes are back within this time of the primary's end.
const BACK_WITHIN: Duration = Duration::from_secs(15);

/// The number of writes that the replica has.
fn writes(watched: &Watched, more: &[&str]) -> String {
    watched.replica.cli(&[more, &["HGET", "pyapns:n", "n"]].concat())
}

#[tokio::test]
async fn writes_are_back_within_15_s_after_the_primary_was_killed() {
    for _ in 0..runs(5) {
        let mut watched = Watched::start(&[], &[], &[]);
        // The first Sentinel of the URL has stopped: the node asks the next one.
        let url = watched.url("redis+sentinel").replace("127.0.0.1", "127.0.0.1:1,127.0.0.1");
        let link = link(&settings(&url));
        write(&link).await.unwrap();
        watched.primary.kill();
        assert!(written(&link, BACK_WITHIN).await < BACK_WITHIN);
        let address = link.address().await.unwrap();
        assert_eq!(*address, format!("127.0.0.1:{}", watched.replica.port));
        assert!(["1", "2"].contains(&writes(&watched, &[]).as_str()), "{}", writes(&watched, &[]));
    }
}

#[tokio::test]
async fn writes_are_back_within_15_s_after_the_primary_was_stopped_and_stay_when_it_goes_on() {
    for _ in 0..runs(5) {
        let watched = Watched::start(&[], &[], &[]);
        let link = link(&settings(&watched.url("redis+sentinel")));
        write(&link).await.unwrap();
        watched.primary.pause();
        assert!(written(&link, BACK_WITHIN).await < BACK_WITHIN);
        watched.primary.resume();
        let before: i64 = writes(&watched, &[]).parse().unwrap();
        for n in 1..=10 {
            assert_eq!(write(&link).await.unwrap(), before + n, "each write goes to the new primary");
        }
    }
}

#[tokio::test]
async fn tls_client_certificates_and_passwords_work_towards_sentinel_and_towards_its_servers() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = RedisCertificates::mint(folder.path(), "redis");
    let of_servers = ["requirepass pw", "masterauth pw"];
    let mut watched =
        Watched::start(&certificates.lines(), &of_servers, &["sentinel auth-pass main pw", "requirepass pw"]);
    let mut settings = settings(&watched.url("rediss+sentinel"));
    settings.ca_file = Some(certificates.ca);
    settings.certificate = Some(certificates.client);
    settings.key = Some(certificates.client_key);
    settings.password = Some("pw".to_owned().into());
    assert!(check(&settings).await.is_ok());
    let link = link(&settings);
    write(&link).await.unwrap();
    watched.primary.kill();
    assert!(written(&link, BACK_WITHIN).await < BACK_WITHIN);
    assert!(["1", "2"].contains(&writes(&watched, &["-a", "pw"]).as_str()));
    // Each leg checks what the other side shows.
    settings.password = Some("wrong".to_owned().into());
    assert!(check(&settings).await.unwrap_err().to_string().contains("store.password_file"));
    (settings.certificate, settings.key) = (None, None);
    assert!(check(&settings).await.unwrap_err().to_string().contains("store.certificate"));
}

#[tokio::test]
async fn a_master_that_no_sentinel_knows_is_refused_with_its_name() {
    let server = RedisServer::start();
    let sentinel = RedisServer::sentinel(&[format!("sentinel monitor main 127.0.0.1 {} 1", server.port)]);
    let at = |port: u16, name: &str| settings(&format!("redis+sentinel://127.0.0.1:{port}/{name}"));
    let error = check(&at(sentinel.port, "other")).await.unwrap_err();
    assert!(error.to_string().contains("`other`") && error.reason() == "store_unfit", "{error}");
    // A server that is no Sentinel does not know the command.
    let error = check(&at(server.port, "main")).await.unwrap_err();
    assert!(error.to_string().contains("SENTINEL"), "{error}");
    // Nothing is there.
    let error = check(&at(1, "main")).await.unwrap_err();
    assert!(matches!(error, StoreError::Away { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_sentinel_names_and_that_is_a_replica_is_not_used() {
    let server = RedisServer::start();
    let sentinel = RedisServer::sentinel(&[format!("sentinel monitor main 127.0.0.1 {} 1", server.port)]);
    let link = link(&settings(&format!("redis+sentinel://127.0.0.1:{}/main", sentinel.port)));
    server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    let error = write(&link).await.unwrap_err();
    assert!(matches!(&error, StoreError::Away { cause, .. } if cause.contains("not the primary")), "{error}");
    server.cli(&["REPLICAOF", "NO", "ONE"]);
    assert!(written(&link, Duration::from_secs(2)).await < Duration::from_secs(2));
}
