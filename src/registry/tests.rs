//! The registry's promises, over the reference store and over SQLite.

use super::*;
use crate::credentials::Material;
use crate::credentials::sealed::Opened;
use crate::credentials::testing::{EXPIRES_AT, NOW, Recipe, signing_key};
use crate::model::{AppId, Environment};
use crate::store::{Expect, Memory, Sqlite};

mod following;

fn key(environment: Environment) -> AppKey {
    AppKey::new(AppId::new("shop").unwrap(), environment)
}

fn wanted() -> Provision {
    Provision::new(key(Environment::Sandbox), Recipe::default().material())
}

fn keyring() -> Keyring {
    Keyring::of([[7; 32]])
}

async fn registry_over(store: Arc<dyn Apps>) -> Registry {
    Registry::load(store, keyring(), Clock::manual(NOW as f64), Drain::new()).await.unwrap()
}

async fn registry() -> Registry {
    registry_over(Arc::new(Memory::new())).await
}

#[tokio::test]
async fn a_provisioned_app_is_found_with_its_defaults() {
    let registry = registry().await;
    assert!(registry.get(&key(Environment::Sandbox)).is_none());
    let app = registry.provision(wanted()).await.unwrap();
    assert_eq!((app.topic.as_str(), app.timeout_seconds, app.lanes), ("com.example.app", 15, 1));
    assert_eq!(app.certificate_echo, app.credential.summary().fingerprint);
    assert!(Arc::ptr_eq(&app, &registry.get(&key(Environment::Sandbox)).unwrap()));
    assert!(registry.get(&key(Environment::Production)).is_none());
}

#[tokio::test]
async fn the_topic_is_the_configured_one_else_the_certificates() {
    let registry = registry().await;
    let configured = Provision { material: signing_key(), topic: Some("com.example.other".to_owned()), ..wanted() };
    assert_eq!(registry.provision(configured).await.unwrap().topic, "com.example.other");
    assert_eq!(registry.provision(wanted()).await.unwrap().topic, "com.example.app");
}

#[tokio::test]
async fn an_app_without_a_topic_is_only_taken_from_old_configurations_and_is_loaded_ever_after() {
    let store = Arc::new(Memory::new());
    let registry = registry_over(store.clone()).await;
    let token = || Provision { material: signing_key(), ..wanted() };
    assert_eq!(registry.provision(token()).await.unwrap_err().reason(), "topic_missing");
    let old = Provision { even_without_topic: true, ..token() };
    assert_eq!(registry.provision(old).await.unwrap().topic, "shop");
    let again = registry_over(store).await;
    assert_eq!(again.get(&key(Environment::Sandbox)).unwrap().topic, "shop");
}

#[tokio::test]
async fn each_provisioning_has_a_higher_generation_and_the_old_app_lives_on_where_it_is_held() {
    let registry = registry().await;
    let old = registry.provision(wanted()).await.unwrap();
    let new = registry.provision(Provision { lanes: 2, ..wanted() }).await.unwrap();
    assert!(new.generation > old.generation);
    assert_eq!((old.lanes, registry.get(&old.key).unwrap().lanes), (1, 2));
    assert!(registry.remove(&old.key, Expect::Any).await.unwrap());
    let again = registry.provision(wanted()).await.unwrap();
    assert!(again.generation > new.generation);
}

#[tokio::test]
async fn a_removed_app_is_gone_and_cannot_be_removed_twice() {
    let registry = registry().await;
    let app = registry.provision(wanted()).await.unwrap();
    assert!(registry.remove(&app.key, Expect::Any).await.unwrap());
    assert!(!registry.remove(&app.key, Expect::Any).await.unwrap());
    assert!(registry.get(&app.key).is_none());
    assert!(registry.list().is_empty());
}

#[tokio::test]
async fn apps_of_both_kinds_are_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let by_path = Provision { certificate_path: Some("shop.pem".to_owned()), ..wanted() };
    let by_key = Provision { key: key(Environment::Production), lanes: 3, timeout_seconds: 20, ..wanted() };
    let by_key = Provision { material: signing_key(), topic: Some("t".to_owned()), ..by_key };
    let shown = |registry: &Registry| {
        let shown = |app: &Arc<App>| {
            let summary = app.credential.summary();
            (app.key.clone(), summary, app.topic.clone(), app.timeout_seconds, app.lanes, app.certificate_echo.clone())
        };
        registry.list().iter().map(shown).collect::<Vec<_>>()
    };
    let before = {
        let registry = registry_over(Arc::new(Sqlite::open(directory.path()).unwrap())).await;
        registry.provision(by_key).await.unwrap();
        registry.provision(by_path).await.unwrap();
        shown(&registry)
    };
    let registry = registry_over(Arc::new(Sqlite::open(directory.path()).unwrap())).await;
    assert_eq!(shown(&registry), before);
    assert_eq!(registry.get(&key(Environment::Sandbox)).unwrap().certificate_echo, "shop.pem");
}

#[tokio::test]
async fn what_is_refused_changes_nothing() {
    let registry = registry().await;
    let good = registry.provision(wanted()).await.unwrap();
    let topic = |text: &str| Provision { topic: Some(text.to_owned()), ..wanted() };
    let bad_pem = Material::Certificate { pem: "no PEM".into() };
    let production_only = Recipe { sandbox: false, ..Recipe::default() };
    let refused = [
        (Provision { material: bad_pem, ..wanted() }, "certificate_not_pem"),
        (Provision { material: production_only.material(), ..wanted() }, "wrong_environment"),
        (topic(""), "bad_topic"),
        (topic("a\r\nb"), "bad_topic"),
        (topic(&"t".repeat(256)), "bad_topic"),
        (topic("com.example.other"), "topic_not_of_certificate"),
        (Provision { timeout_seconds: 0, ..wanted() }, "bad_timeout"),
        (Provision { timeout_seconds: 301, ..wanted() }, "bad_timeout"),
        (Provision { lanes: 0, ..wanted() }, "bad_lanes"),
        (Provision { lanes: 65, ..wanted() }, "bad_lanes"),
    ];
    for (wanted, reason) in refused {
        assert_eq!(registry.provision(wanted).await.unwrap_err().reason(), reason);
        assert!(Arc::ptr_eq(&good, &registry.get(&good.key).unwrap()));
    }
}

#[tokio::test]
async fn an_expired_certificate_is_refused_when_new_but_kept_when_it_expires_later() {
    let store = Arc::new(Memory::new());
    let app = registry_over(store.clone()).await.provision(wanted()).await.unwrap();
    let later = Registry::load(store, keyring(), Clock::manual(EXPIRES_AT as f64 + 1.0), Drain::new()).await.unwrap();
    assert!(later.get(&app.key).is_some());
    assert_eq!(later.provision(wanted()).await.unwrap_err().reason(), "certificate_expired");
}

#[tokio::test]
async fn an_app_that_cannot_be_read_does_not_keep_the_others_away() {
    let store = Arc::new(Memory::new());
    let good = registry_over(store.clone()).await.provision(wanted()).await.unwrap();
    let record = store.get(good.key.clone()).await.unwrap().unwrap();
    let newer = zeroize::Zeroizing::new(vec![99]);
    let bad = AppRecord { key: key(Environment::Production), credential: newer, ..record };
    store.put(bad.clone(), Expect::Any).await.unwrap();
    let registry = registry_over(store).await;
    assert!(registry.get(&good.key).unwrap().credential.unusable().is_none());
    let shown = registry.get(&bad.key).unwrap();
    assert!(shown.credential.unusable().unwrap().contains("newer pyapns"), "{shown:?}");
    assert!(registry.remove(&bad.key, Expect::Any).await.unwrap(), "it can be cleared away");
}

/// A blob as 0.6 sealed it: the text as it was given.
async fn stored_by_0_6(material: &Material, topic: Option<&str>) -> Registry {
    let store = Arc::new(Memory::new());
    let key = key(Environment::Sandbox);
    let record = AppRecord {
        credential: sealed::seal(&keyring(), &key, material),
        key,
        certificate_path: None,
        topic: topic.map(str::to_owned),
        timeout_seconds: 15,
        lanes: 1,
        entry: None,
        revision: Revision::NONE,
    };
    store.put(record, Expect::Any).await.unwrap();
    registry_over(store).await
}

#[tokio::test]
async fn what_0_6_stored_and_would_be_refused_today_loads_as_it_was() {
    let developer = || Recipe { uid: Some("ABCDE12345"), sandbox: false, production: false, ..Recipe::default() };
    let (one, two) = (Recipe::default(), Recipe { uid: Some("com.example.other"), ..Recipe::default() });
    let texts = [(developer().pem(), "ABCDE12345"), (one.pem() + &two.pem(), "com.example.app")];
    for (text, topic) in texts {
        let material = Material::Certificate { pem: text.into() };
        let provisioned = registry().await.provision(Provision { material: material.clone(), ..wanted() }).await;
        assert!(provisioned.unwrap_err().is_unfit());
        let loaded = stored_by_0_6(&material, None).await;
        assert_eq!(why(&loaded), None);
        assert_eq!(loaded.list()[0].topic, topic);
        let kept = Provision { material, even_unfit: true, ..wanted() };
        assert_eq!(registry().await.provision(kept).await.unwrap().topic, topic, "as an old configuration has it");
    }
}

#[tokio::test]
async fn what_0_6_stored_with_the_wrong_certificate_first_is_right_after_a_start() {
    let developer = Recipe { uid: Some("ABCDE12345"), sandbox: false, production: false, ..Recipe::default() };
    let expired = Recipe { years: [2020, 2021], ..Recipe::default() };
    let text = developer.pem() + &expired.pem() + &Recipe::default().pem();
    let loaded = stored_by_0_6(&Material::Certificate { pem: text.into() }, None).await;
    let app = &loaded.list()[0];
    assert_eq!((app.topic.as_str(), app.credential_error(NOW)), ("com.example.app", None));
}

#[tokio::test]
async fn of_a_file_with_several_certificates_only_the_chosen_one_is_stored() {
    let store = Arc::new(Memory::new());
    let developer = Recipe { uid: Some("ABCDE12345"), sandbox: false, production: false, ..Recipe::default() };
    let text = developer.pem() + &Recipe::default().pem();
    let material = Material::Certificate { pem: text.into() };
    let app = registry_over(store.clone()).await.provision(Provision { material, ..wanted() }).await.unwrap();
    let record = store.get(app.key.clone()).await.unwrap().unwrap();
    let Opened { material, .. } = sealed::open(&keyring(), &app.key, &record.credential).unwrap();
    let stored = Credential::all(&material).unwrap();
    let fingerprints: Vec<_> = stored.iter().map(|one| one.summary().fingerprint).collect();
    assert_eq!(fingerprints, [app.credential.summary().fingerprint]);
}

async fn loaded(directory: &std::path::Path, keyring: Keyring) -> Registry {
    let store = Arc::new(Sqlite::open(directory).unwrap());
    Registry::load(store, keyring, Clock::manual(NOW as f64), Drain::new()).await.unwrap()
}

fn why(registry: &Registry) -> Option<String> {
    registry.list()[0].credential.unusable().map(str::to_owned)
}

#[tokio::test]
async fn a_key_is_changed_over_a_restart_and_the_old_one_is_not_needed_again() {
    let directory = tempfile::tempdir().unwrap();
    let keyrings = [Keyring::of([[1; 32]]), Keyring::of([[2; 32], [1; 32]]), Keyring::of([[2; 32]])];
    let mut registry = None;
    for keyring in keyrings {
        drop(registry.take());
        let loaded = loaded(directory.path(), keyring).await;
        if loaded.list().is_empty() {
            loaded.provision(wanted()).await.unwrap();
        }
        assert_eq!(why(&loaded), None);
        registry = Some(loaded);
    }
}

#[tokio::test]
async fn without_its_key_an_app_says_so_and_provisioning_heals_it() {
    let directory = tempfile::tempdir().unwrap();
    let fingerprint = {
        let registry = loaded(directory.path(), Keyring::of([[1; 32]])).await;
        registry.provision(wanted()).await.unwrap().credential.summary().fingerprint
    };
    let registry = loaded(directory.path(), Keyring::of([[2; 32]])).await;
    let told = why(&registry).unwrap();
    assert!(told.contains(&Keyring::of([[1; 32]]).first().id().to_string()), "{told}");
    drop(registry);
    let registry = loaded(directory.path(), Keyring::of([[1; 32]])).await;
    assert_eq!(registry.list()[0].credential.summary().fingerprint, fingerprint, "the old key brings it back");
    drop(registry);
    let registry = loaded(directory.path(), Keyring::of([[2; 32]])).await;
    registry.provision(wanted()).await.unwrap();
    assert_eq!(why(&registry), None);
}

#[tokio::test]
async fn what_was_stored_in_clear_text_is_sealed_and_nothing_of_it_is_left_on_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let secret = Recipe::default().pem();
    let clear = [&[0, 1][..], &(secret.len() as u32).to_be_bytes(), secret.as_bytes()].concat();
    let store = Arc::new(Sqlite::open(directory.path()).unwrap());
    for id in ["a", "b", "c", "d"] {
        let key = AppKey::new(AppId::new(id).unwrap(), Environment::Sandbox);
        let record = AppRecord {
            key,
            credential: zeroize::Zeroizing::new(clear.clone()),
            certificate_path: None,
            topic: None,
            timeout_seconds: 15,
            lanes: 1,
            entry: None,
            revision: Revision::NONE,
        };
        store.put(record, Expect::Any).await.unwrap();
    }
    let line = secret.lines().rev().nth(2).unwrap().as_bytes();
    let found = || {
        let files = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
        let holds =
            |path: &std::path::PathBuf| std::fs::read(path).unwrap().windows(line.len()).any(|window| window == line);
        files.filter(holds).collect::<Vec<_>>()
    };
    assert!(!found().is_empty(), "it was there");
    let registry = Registry::load(store, keyring(), Clock::manual(NOW as f64), Drain::new()).await.unwrap();
    assert_eq!(registry.list().len(), 4);
    assert_eq!(why(&registry), None);
    assert!(found().is_empty(), "{:?}", found());
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_part_memory_from_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Sqlite::open(directory.path()).unwrap());
    let drain = Drain::new();
    let registry = Registry::load(store.clone(), keyring(), Clock::manual(NOW as f64), drain.clone()).await.unwrap();
    let mut provisioning = Box::pin(registry.provision(wanted()));
    assert!(
        std::future::poll_fn(|context| std::task::Poll::Ready(provisioning.as_mut().poll(context).is_pending())).await
    );
    drop(provisioning);
    assert!(drain.finish(std::time::Duration::from_secs(5)).await);
    assert!(registry.get(&key(Environment::Sandbox)).is_some());
    assert!(store.get(key(Environment::Sandbox)).await.unwrap().is_some());
}
