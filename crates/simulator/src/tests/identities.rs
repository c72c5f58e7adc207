//! Identities on disk: made once, found again, readable by others.

use std::os::unix::fs::PermissionsExt;

use p256::pkcs8::DecodePrivateKey;

use super::support::*;
use crate::{LedgerMode, Options, Simulator};

async fn start_in(directory: &std::path::Path) -> Simulator {
    let options = Options {
        directory: Some(directory.join("made")),
        control: Some("127.0.0.1:0".to_owned()),
        ..Options::default()
    };
    start_with(options).await
}

#[tokio::test]
async fn a_second_start_finds_the_same_identities() {
    let directory = tempfile::tempdir().unwrap();
    let first = start_in(directory.path()).await;
    let told = first.announcement();
    let (ca, client_pem, key) = (
        first.identity().authority.certificate_pem().to_owned(),
        first.identity().client_pem.clone(),
        first.identity().key_pem.clone(),
    );
    let token = bearer_aged(&first, 0);
    first.stop().await;

    let second = start_in(directory.path()).await;
    assert_eq!(second.identity().authority.certificate_pem(), ca);
    assert_eq!((&second.identity().client_pem, &second.identity().key_pem), (&client_pem, &key));
    for field in ["ca_file", "key_file", "key_id", "team_id", "topic", "certificate_file"] {
        assert_eq!(second.announcement()[field], told[field], "{field}");
    }
    let mut by_certificate = Client::with_certificate(&second, Some(&client_pem)).await.unwrap();
    assert_eq!(by_certificate.push(Push::new()).await.unwrap().status, 200);
    let mut by_token = Client::with_certificate(&second, None).await.unwrap();
    assert_eq!(by_token.push(Push::new().with("authorization", &token)).await.unwrap().status, 200);
}

#[tokio::test]
async fn the_announcement_names_files_that_are_there_and_kept_private() {
    let directory = tempfile::tempdir().unwrap();
    let simulator = start_in(directory.path()).await;
    let told = simulator.announcement();
    assert_eq!(told["listen"], simulator.address().to_string());
    assert_eq!(told["control"], simulator.control_address().unwrap().to_string());
    assert_eq!(told["topic"], "com.example.app");
    assert_eq!(told["key_id"].as_str().unwrap().len(), 10);
    assert_eq!(told["team_id"].as_str().unwrap().len(), 10);
    for (field, private) in [("ca_file", false), ("key_file", true), ("certificate_file", true)] {
        let path = told[field].as_str().unwrap();
        let mode = std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if private { 0o600 } else { 0o644 }, "{path}");
    }
    assert!(!format!("{:?}", simulator.identity()).contains("PRIVATE"));
}

#[tokio::test]
async fn the_key_file_is_a_p8_that_another_library_reads() {
    let simulator = start().await;
    assert!(simulator.identity().key_pem.starts_with("-----BEGIN PRIVATE KEY-----"));
    assert!(p256::SecretKey::from_pkcs8_pem(&simulator.identity().key_pem).is_ok());
}

#[tokio::test]
async fn a_damaged_directory_is_named_in_the_error() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("identity.json"), "{}").unwrap();
    let options = Options { directory: Some(directory.path().to_owned()), ..Options::default() };
    let error = Simulator::start(options).await.err().unwrap().to_string();
    assert!(error.contains("identity.json") && error.contains("key_id"), "{error}");
}

#[tokio::test]
async fn a_taken_port_is_named_in_the_error() {
    let simulator = start().await;
    let options = Options { listen: simulator.address().to_string(), ..Options::default() };
    let error = Simulator::start(options).await.err().unwrap().to_string();
    assert!(error.contains(&simulator.address().to_string()), "{error}");
}

#[tokio::test]
async fn the_ledger_tells_who_pushed_what() {
    let simulator = start().await;
    let mut by_certificate = Client::connect(&simulator, Auth::Certificate).await;
    let mut by_token = Client::connect(&simulator, Auth::Token).await;
    by_certificate.push(Push::new().with("apns-collapse-id", "c")).await.unwrap();
    by_token.push(Push::new().of(0)).await.unwrap();
    let entries = serde_json::to_value(simulator.ledger().entries()).unwrap();
    let first = &entries[0];
    assert_eq!(first["identity"]["kind"], "certificate");
    assert_eq!(first["identity"]["uid"], "com.example.app");
    assert_eq!(first["identity"]["fingerprint"].as_str().unwrap().len(), 64);
    assert_eq!((&first["connection"], &first["stream"]), (&1.into(), &1.into()));
    assert_eq!(first["apns_id"], APNS_ID);
    assert_eq!(first["token"], TOKEN);
    assert_eq!(first["topic"], "com.example.app");
    assert_eq!(
        (&first["push_type"], &first["priority"], &first["expiration"]),
        (&"alert".into(), &"10".into(), &"0".into())
    );
    assert_eq!(first["collapse_id"], "c");
    assert_eq!(first["body"], r#"{"aps":{"alert":"Hello"}}"#);
    assert_eq!((&first["status"], &first["accepted"]), (&200.into(), &true.into()));
    let second = &entries[1];
    assert_eq!(second["identity"]["team_id"], simulator.identity().team_id.as_str());
    assert_eq!(second["identity"]["key_id"], simulator.identity().key_id.as_str());
    assert_eq!((&second["connection"], &second["sequence"]), (&2.into(), &1.into()));
    assert_eq!((&second["status"], &second["reason"]), (&400.into(), &"PayloadEmpty".into()));
    assert_eq!(
        (&second["accepted"], &second["processed"], &second["answered"]),
        (&false.into(), &true.into(), &true.into())
    );
}

#[tokio::test]
async fn a_ledger_of_counts_keeps_no_entries() {
    let simulator = start_with(Options { ledger: LedgerMode::Counts, ..Options::default() }).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    for _ in 0..10 {
        client.push(Push::new()).await.unwrap();
    }
    client.push(Push::new().of(0)).await.unwrap();
    let totals = simulator.ledger().totals();
    assert_eq!((totals.requests, totals.accepted, totals.answered), (11, 10, 11));
    assert_eq!(totals.statuses, [(200, 10), (400, 1)].into());
    assert!(simulator.ledger().entries().is_empty());
    assert_eq!(simulator.ledger().accepted(APNS_ID), 0);
}
