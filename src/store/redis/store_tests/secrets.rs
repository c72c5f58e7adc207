//! Redis's own dump of everything that is stored.

use super::*;
use crate::credentials::keyring::Keyring;
use crate::credentials::{Material, sealed};
use crate::store::contract::{Note, app, dead, failure, shop};
use crate::store::{AppRecord, Apps, Expect};

const SIGNING_KEY: &str = "-----BEGIN PRIVATE KEY-----\nTHEBASE64OFASIGNINGKEYOFSOMEBODY\n-----END PRIVATE KEY-----";

fn contains(dump: &[u8], text: &[u8]) -> bool {
    dump.windows(text.len()).any(|window| window == text)
}

#[tokio::test]
async fn a_dump_of_the_server_holds_the_apps_and_none_of_their_keys() {
    let server = RedisServer::with(&["rdbcompression no"]);
    let store = store(&server, "p:");
    let keyring = Keyring::passing().unwrap();
    let material = Material::Key { p8: SIGNING_KEY.into(), key_id: "KEY1234567".into(), team_id: "TEAM123456".into() };
    let credential = sealed::seal(&keyring, &shop(), &material);
    let topic = Some("com.example.the-topic".to_owned());
    store.put(AppRecord { credential, topic, ..app(shop()) }, Expect::Any).await.unwrap();
    store.note(vec![dead(shop(), "aa", 1.0)], vec![failure(shop(), 1)]).await.unwrap();
    let stored = store.get(shop()).await.unwrap().unwrap();
    let opened = sealed::open(&keyring, &shop(), &stored.credential).unwrap();
    assert!(matches!(opened.material, Material::Key { p8, .. } if p8.expose() == SIGNING_KEY.as_bytes()));

    server.cli(&["SAVE"]);
    let dump = std::fs::read(server.folder().join("dump.rdb")).unwrap();
    for there in ["com.example.shop", "com.example.the-topic", "Unregistered"] {
        assert!(contains(&dump, there.as_bytes()), "{there}");
    }
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(SIGNING_KEY);
    for secret in ["PRIVATE KEY", "THEBASE64OFASIGNINGKEY", "KEY1234567", "TEAM123456", &encoded[..40]] {
        assert!(!contains(&dump, secret.as_bytes()), "{secret}");
    }
}
