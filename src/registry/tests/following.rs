//! A registry that follows a store which others change too.

use super::*;
use crate::store::{Changes, Epoch, Pending, REMOVED_MAX};
use std::sync::atomic::{AtomicUsize, Ordering};

fn clock() -> Clock {
    Clock::manual(NOW as f64)
}

async fn shared_with(store: &Arc<Memory>, keyring: Keyring) -> Registry {
    Registry::load_shared(store.clone(), keyring, clock(), Drain::new()).await.unwrap()
}

async fn two_over(store: &Arc<Memory>) -> [Registry; 2] {
    [shared_with(store, keyring()).await, shared_with(store, keyring()).await]
}

fn of(id: &str) -> Provision {
    Provision { key: AppKey::new(AppId::new(id).unwrap(), Environment::Sandbox), ..wanted() }
}

/// The facts about all apps that every node must agree on.
fn told(registry: &Registry) -> Vec<(AppKey, Revision, u16, String)> {
    let of_app = |app: &Arc<App>| (app.key.clone(), app.revision, app.lanes, app.credential.summary().fingerprint);
    registry.list().iter().map(of_app).collect()
}

#[tokio::test]
async fn what_one_registry_changes_and_removes_the_other_has_after_a_synchronisation() {
    let [one, other] = two_over(&Arc::new(Memory::new())).await;
    for id in ["a", "b", "c"] {
        one.provision(of(id)).await.unwrap();
    }
    other.sync().await.unwrap();
    assert_eq!((told(&other), other.list().len()), (told(&one), 3));
    other.provision(Provision { lanes: 4, ..of("b") }).await.unwrap();
    assert!(other.remove(&of("c").key, Expect::Any).await.unwrap());
    one.sync().await.unwrap();
    assert_eq!((told(&one), one.list()[1].lanes), (told(&other), 4));
    assert_eq!(one.list().len(), 2);
}

#[tokio::test]
async fn a_change_makes_a_new_generation_and_what_did_not_change_stays_the_same_object() {
    let [one, other] = two_over(&Arc::new(Memory::new())).await;
    let own = one.provision(of("own")).await.unwrap();
    let first = other.provision(of("a")).await.unwrap();
    one.sync().await.unwrap();
    let before = one.get(&first.key).unwrap();
    other.provision(of("a")).await.unwrap();
    one.sync().await.unwrap();
    let after = one.get(&first.key).unwrap();
    assert!(after.generation > before.generation && after.revision > before.revision, "a breaker of it is cleared");
    assert!(Arc::ptr_eq(&own, &one.get(&own.key).unwrap()));
    one.sync().await.unwrap();
    assert!(Arc::ptr_eq(&after, &one.get(&first.key).unwrap()));
}

#[tokio::test]
async fn a_change_is_refused_where_another_node_was_first_and_memory_stays_as_it_was() {
    let [one, other] = two_over(&Arc::new(Memory::new())).await;
    let first = one.provision(of("a")).await.unwrap();
    let second = other.provision(Provision { lanes: 2, ..of("a") }).await.unwrap();
    let expect = Expect::Is(first.revision);
    let refused = one.provision(Provision { lanes: 3, expect, ..of("a") }).await.unwrap_err();
    assert_eq!(refused.reason(), "changed_meanwhile");
    let refused = one.remove(&first.key, expect).await.unwrap_err();
    assert!(matches!(refused, StoreError::Conflict { revision } if revision == Some(second.revision)), "{refused}");
    assert!(Arc::ptr_eq(&first, &one.get(&first.key).unwrap()));
    let expect = Expect::Is(second.revision);
    assert_eq!(one.provision(Provision { lanes: 3, expect, ..of("a") }).await.unwrap().lanes, 3);
}

#[tokio::test]
async fn nodes_with_their_keys_in_another_order_do_not_seal_each_others_apps_again() {
    let store = Arc::new(Memory::new());
    let [one, two] = [[[1; 32], [2; 32]], [[2; 32], [1; 32]]].map(Keyring::of);
    let revision = shared_with(&store, one).await.provision(of("a")).await.unwrap().revision;
    let other = shared_with(&store, two).await;
    assert_eq!((other.list()[0].revision, why(&other)), (revision, None));
    assert_eq!(other.reseal().await.unwrap(), 1, "an operator can ask for it");
}

#[tokio::test]
async fn an_app_that_is_only_sealed_again_keeps_its_generation_on_every_node() {
    let store = Arc::new(Memory::new());
    let keys = || Keyring::of([[2; 32], [1; 32]]);
    let old = shared_with(&store, Keyring::of([[1; 32]])).await;
    for wanted in [of("a"), Provision { material: signing_key(), topic: Some("t".to_owned()), ..of("b") }] {
        old.provision(wanted).await.unwrap();
    }
    let [one, two] = [shared_with(&store, keys()).await, shared_with(&store, keys()).await];
    let before = two.list();
    assert_eq!(one.reseal().await.unwrap(), 2);
    two.sync().await.unwrap();
    for (before, after) in before.iter().zip(two.list()) {
        assert_eq!(after.generation, before.generation);
        assert!(after.revision > before.revision && Arc::ptr_eq(&after.credential, &before.credential));
    }
    one.sync().await.unwrap();
    assert_eq!(one.reseal().await.unwrap(), 0);
    let after = shared_with(&store, Keyring::of([[2; 32]])).await;
    assert!(after.list().iter().all(|app| app.credential.unusable().is_none()), "the old key is not needed");
}

#[tokio::test]
async fn after_its_own_sealing_a_single_node_knows_the_present_revisions() {
    let store = Arc::new(Memory::new());
    let load = |keyring| Registry::load(store.clone(), keyring, clock(), Drain::new());
    let first = load(Keyring::of([[1; 32]])).await.unwrap().provision(of("a")).await.unwrap();
    let registry = load(Keyring::of([[2; 32], [1; 32]])).await.unwrap();
    let app = registry.get(&first.key).unwrap();
    assert!(app.revision > first.revision);
    assert!(registry.remove(&app.key, Expect::Is(app.revision)).await.unwrap());
}

#[tokio::test]
async fn a_store_that_lost_its_apps_takes_none_from_memory_and_gets_no_changes() {
    let store = Arc::new(Memory::new());
    let registry = shared_with(&store, keyring()).await;
    let [first, _] = [registry.provision(of("a")).await.unwrap(), registry.provision(of("b")).await.unwrap()];
    registry.sync().await.unwrap();
    let before = told(&registry);
    let epoch = store.changes(Revision::NONE, 1).await.unwrap().epoch;
    for now in [Epoch::new(), epoch] {
        store.lose_all(now);
        assert_eq!(registry.sync().await.unwrap_err().reason(), "registry_foreign");
        assert_eq!(registry.provision(of("c")).await.unwrap_err().reason(), "registry_foreign");
        assert_eq!(registry.remove(&first.key, Expect::Any).await.unwrap_err().reason(), "registry_foreign");
        assert_eq!(registry.remove_entry(&first.key).await.unwrap_err().reason(), "registry_foreign");
        assert_eq!(told(&registry), before);
    }
    assert_eq!(shared_with(&store, keyring()).await.list().len(), 0, "a restart takes what is there");
}

/// Moves the store's newest revision past all that it had before.
async fn move_on(registry: &Registry) {
    for lanes in [1, 2, 1, 2, 1, 2] {
        registry.provision(Provision { lanes, ..of("new") }).await.unwrap();
    }
}

#[tokio::test]
async fn changes_that_a_failover_lost_are_found_even_after_the_store_has_gone_on() {
    let store = Arc::new(Memory::new());
    let [one, other] = two_over(&store).await;
    for id in ["a", "b"] {
        one.provision(of(id)).await.unwrap();
    }
    let before = store.copied();
    one.provision(Provision { lanes: 4, ..of("a") }).await.unwrap();
    one.remove(&of("b").key, Expect::Any).await.unwrap();
    let only_here = one.provision(of("c")).await.unwrap();
    for registry in [&one, &other] {
        registry.sync().await.unwrap();
    }
    store.go_back_to(&before);
    for registry in [&one, &other] {
        assert_eq!(registry.sync().await.unwrap_err().reason(), "registry_foreign");
    }
    let restarted = shared_with(&store, keyring()).await;
    move_on(&restarted).await;
    for _ in 0..2 {
        assert_eq!(one.sync().await.unwrap_err().reason(), "registry_foreign", "the store lost an app");
        assert_eq!(one.provision(of("d")).await.unwrap_err().reason(), "registry_foreign");
        assert!(Arc::ptr_eq(&only_here, &one.get(&only_here.key).unwrap()), "which stays here");
    }
    restarted.provision(of("c")).await.unwrap();
    for registry in [&one, &other] {
        registry.sync().await.unwrap();
        assert_eq!(told(registry), told(&restarted), "all that the store has holds everywhere");
    }
    one.provision(of("d")).await.unwrap();
}

#[tokio::test]
async fn a_loss_is_found_by_a_node_that_never_saw_the_store_without_its_changes() {
    let store = Arc::new(Memory::new());
    let [one, other] = two_over(&store).await;
    let before = store.copied();
    // `one` loses what it changed itself and has not read, `other` what it has read.
    one.provision(of("c")).await.unwrap();
    other.sync().await.unwrap();
    store.go_back_to(&before);
    move_on(&shared_with(&store, keyring()).await).await;
    for registry in [&one, &other] {
        assert_eq!(registry.sync().await.unwrap_err().reason(), "registry_foreign");
        assert!(registry.get(&of("c").key).is_some());
        registry.sync().await.unwrap_err();
    }
    shared_with(&store, keyring()).await.remove(&of("c").key, Expect::Any).await.unwrap();
    let restarted = shared_with(&store, keyring()).await;
    restarted.provision(of("c")).await.unwrap();
    restarted.remove(&of("c").key, Expect::Any).await.unwrap();
    for registry in [&one, &other] {
        registry.sync().await.unwrap();
        assert_eq!(told(registry), told(&restarted), "an operator has decided");
    }
}

#[tokio::test]
async fn a_removal_that_the_store_has_forgotten_reaches_a_node_that_was_away() {
    let store = Arc::new(Memory::new());
    let [one, away] = two_over(&store).await;
    let kept = one.provision(of("kept")).await.unwrap();
    let gone = one.provision(of("gone")).await.unwrap();
    away.sync().await.unwrap();
    let same = away.get(&kept.key).unwrap();
    one.remove(&gone.key, Expect::Any).await.unwrap();
    for number in 0..2 * REMOVED_MAX {
        let app = one.provision(of(&format!("app-{number}"))).await.unwrap();
        one.remove(&app.key, Expect::Any).await.unwrap();
    }
    away.sync().await.unwrap();
    assert_eq!(told(&away), told(&one));
    assert_eq!(away.list().len(), 1);
    assert!(Arc::ptr_eq(&same, &away.get(&kept.key).unwrap()), "what did not change stays as it is");
}

#[tokio::test]
async fn every_removal_is_given_to_its_reader_and_waits_until_that_has_ended_what_served_the_app() {
    let [one, other] = two_over(&Arc::new(Memory::new())).await;
    let app = one.provision(of("a")).await.unwrap();
    other.sync().await.unwrap();
    let [mut removals, mut of_other] = [one.removals(), other.removals()];
    let removing = one.remove(&app.key, Expect::Any);
    let (removed, key) = tokio::join!(removing, async {
        let removal = removals.next().await.unwrap();
        assert!(one.get(&removal.key).is_none(), "nobody finds it any more");
        assert!(one.inner.change.try_lock().is_err(), "no app of its name comes meanwhile");
        removal.key.clone()
    });
    assert_eq!((removed.unwrap(), key), (true, app.key.clone()));
    let (synced, key) = tokio::join!(other.sync(), async { of_other.next().await.unwrap().key.clone() });
    assert_eq!((synced.is_ok(), key), (true, app.key.clone()));
    drop(removals);
    one.provision(of("a")).await.unwrap();
    assert!(one.remove(&app.key, Expect::Any).await.unwrap(), "a reader that ended holds nothing up");
}

/// A store that counts its readings, and lets all others run at each.
struct Counting(Memory, AtomicUsize);

impl Apps for Counting {
    fn changes(&self, since: Revision, limit: usize) -> Pending<'_, Changes> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.0.changes(since, limit).await
        })
    }

    fn put(&self, app: AppRecord, expect: Expect) -> Pending<'_, Revision> {
        self.0.put(app, expect)
    }

    fn put_all(&self, apps: Vec<AppRecord>) -> Pending<'_, u64> {
        self.0.put_all(apps)
    }

    fn get(&self, key: AppKey) -> Pending<'_, Option<AppRecord>> {
        self.0.get(key)
    }

    fn delete(&self, key: AppKey, expect: Expect) -> Pending<'_, Option<Revision>> {
        self.0.delete(key, expect)
    }

    fn list(&self, after: Option<AppKey>, limit: usize) -> Pending<'_, Vec<AppRecord>> {
        self.0.list(after, limit)
    }

    fn entries(&self) -> Pending<'_, Vec<EntryRecord>> {
        self.0.entries()
    }

    fn file_entry(&self, key: AppKey, fingerprint: String) -> Pending<'_, ()> {
        self.0.file_entry(key, fingerprint)
    }

    fn delete_entry(&self, key: AppKey) -> Pending<'_, bool> {
        self.0.delete_entry(key)
    }
}

#[tokio::test]
async fn synchronisations_at_the_same_time_read_the_store_once_or_twice() {
    let store = Arc::new(Counting(Memory::new(), AtomicUsize::default()));
    let registry = Registry::load_shared(store.clone(), keyring(), clock(), Drain::new()).await.unwrap();
    store.1.store(0, Ordering::Relaxed);
    let drain = Drain::new();
    let sync = |_| {
        let registry = registry.clone();
        drain.spawn("sync", async move { registry.sync().await })
    };
    for one in (0..100).map(sync).collect::<Vec<_>>() {
        one.await.unwrap().unwrap();
    }
    assert!((1..=2).contains(&store.1.load(Ordering::Relaxed)), "{:?}", store.1);
}

#[tokio::test]
async fn thousands_of_apps_are_read_in_pages_each_once() {
    let store = Counting(Memory::new(), AtomicUsize::default());
    let material = signing_key();
    for number in 0..2_000 {
        let key = of(&format!("app-{number}")).key;
        let record = AppRecord {
            credential: sealed::seal(&keyring(), &key, &material),
            key,
            certificate_path: None,
            topic: Some("com.example.app".to_owned()),
            timeout_seconds: 15,
            lanes: 1,
            entry: None,
            revision: Revision::NONE,
        };
        store.put(record, Expect::Absent).await.unwrap();
    }
    let store = Arc::new(store);
    let registry = Registry::load_shared(store.clone(), keyring(), clock(), Drain::new()).await.unwrap();
    assert_eq!(registry.list().len(), 2_000);
    assert_eq!(store.1.swap(0, Ordering::Relaxed), 2_000 / 256 + 1);
    assert_eq!(registry.list().iter().map(|app| app.generation).max(), Some(2_000), "none was entered twice");
    registry.sync().await.unwrap();
    assert_eq!(store.1.load(Ordering::Relaxed), 1, "later only what changed is read");
}
