//! The promises of every store about apps and the entries of the configuration.

use super::*;

pub(in crate::store) async fn a_stored_app_is_found_unchanged(store: &dyn Store) {
    store.put(app(shop())).await.unwrap();
    assert_eq!(store.get(shop()).await.unwrap(), Some(app(shop())));
    assert_eq!(store.get(chat()).await.unwrap(), None);
}

pub(in crate::store) async fn a_second_put_replaces_the_first(store: &dyn Store) {
    store.put(app(shop())).await.unwrap();
    let changed = AppRecord { topic: Some("topic".to_owned()), certificate_path: None, lanes: 1, ..app(shop()) };
    store.put(changed.clone()).await.unwrap();
    assert_eq!(store.list(None, 1_000).await.unwrap(), [changed]);
}

pub(in crate::store) async fn many_apps_are_replaced_in_one_write(store: &dyn Store) {
    store.put(app(shop())).await.unwrap();
    store.note(vec![dead(shop(), "aa", 1.0)], vec![]).await.unwrap();
    let changed = [chat(), shop()].map(|key| AppRecord { lanes: 9, ..app(key) });
    store.put_all(changed.to_vec()).await.unwrap();
    assert_eq!(store.list(None, 1_000).await.unwrap(), changed);
    assert_eq!(store.counts(shop()).await.unwrap().feedback, 1);
}

pub(in crate::store) async fn apps_are_listed_in_the_order_of_their_keys(store: &dyn Store) {
    let mut keys = Vec::new();
    for id in ["b", "a", "B", "a.b"] {
        for environment in [Environment::Production, Environment::Sandbox] {
            store.put(app(key(id, environment))).await.unwrap();
            keys.push(key(id, environment));
        }
    }
    keys.sort();
    let listed: Vec<AppKey> = store.list(None, 1_000).await.unwrap().into_iter().map(|app| app.key).collect();
    assert_eq!(listed, keys);
    let mut paged = Vec::new();
    while let [.., last] = store.list(paged.last().cloned(), 3).await.unwrap().as_slice() {
        assert!(paged.last().is_none_or(|before| *before < last.key));
        paged.extend(store.list(paged.last().cloned(), 3).await.unwrap().into_iter().map(|app| app.key));
    }
    assert_eq!(paged, keys, "page by page they are the same");
}

pub(in crate::store) async fn deleting_an_app_deletes_its_events_and_no_others(store: &dyn Store) {
    let other = key("com.example.shop", Environment::Sandbox);
    for key in [shop(), other.clone()] {
        store.put(app(key.clone())).await.unwrap();
        store.note(vec![dead(key.clone(), "aa", 1.0)], vec![failure(key, 1)]).await.unwrap();
    }
    assert!(store.delete(shop()).await.unwrap());
    assert!(!store.delete(shop()).await.unwrap());
    assert_eq!(store.get(shop()).await.unwrap(), None);
    assert_eq!(store.counts(shop()).await.unwrap(), Counts::default());
    assert_eq!(store.counts(other).await.unwrap(), Counts { feedback: 1, held: 0, disconnections: 1 });
}

pub(in crate::store) async fn an_entry_stays_when_its_app_is_changed_or_deleted(store: &dyn Store) {
    let made = |entry: &str| AppRecord { entry: Some(entry.to_owned()), ..app(shop()) };
    let entries = async || store.entries().await.unwrap();
    store.put(made("one")).await.unwrap();
    assert_eq!(store.get(shop()).await.unwrap(), Some(made("one")));
    assert_eq!(entries().await, [entry("one", true)]);
    store.put(app(shop())).await.unwrap();
    store.put(app(chat())).await.unwrap();
    assert_eq!(entries().await, [entry("one", false)], "a caller's app is in its place");
    assert!(store.delete(shop()).await.unwrap());
    assert_eq!(entries().await, [entry("one", false)]);
    store.put(made("two")).await.unwrap();
    assert_eq!(entries().await, [entry("two", true)]);
}

fn entry(fingerprint: &str, app_is_its_own: bool) -> EntryRecord {
    EntryRecord { key: shop(), fingerprint: fingerprint.to_owned(), app_is_its_own }
}

pub(in crate::store) async fn replacing_an_entrys_fingerprint_leaves_its_app_unchanged(store: &dyn Store) {
    let made = |entry: &str| AppRecord { entry: Some(entry.to_owned()), ..app(shop()) };
    let file = async |fingerprint: &str| store.file_entry(shop(), fingerprint.to_owned()).await.unwrap();
    file("none").await;
    assert_eq!(store.entries().await.unwrap(), [], "an entry that is not kept is not made");
    store.put(made("one")).await.unwrap();
    file("two").await;
    assert_eq!(store.entries().await.unwrap(), [entry("two", true)]);
    assert_eq!(store.get(shop()).await.unwrap(), Some(made("two")));
    store.put(app(shop())).await.unwrap();
    file("three").await;
    assert_eq!(store.entries().await.unwrap(), [entry("three", false)]);
    assert_eq!(store.get(shop()).await.unwrap(), Some(app(shop())), "what a caller made stays a caller's");
    assert!(store.delete(shop()).await.unwrap());
    file("four").await;
    assert_eq!(store.entries().await.unwrap(), [entry("four", false)]);
    assert_eq!(store.get(shop()).await.unwrap(), None);
}

pub(in crate::store) async fn deleting_an_entry_deletes_only_the_app_that_it_created(store: &dyn Store) {
    let made = |key: AppKey| AppRecord { entry: Some("made".to_owned()), ..app(key) };
    for key in [shop(), chat()] {
        store.put(made(key.clone())).await.unwrap();
        store.note(vec![dead(key, "aa", 1.0)], vec![]).await.unwrap();
    }
    store.put(app(chat())).await.unwrap();
    assert!(store.delete_entry(shop()).await.unwrap());
    assert!(!store.delete_entry(chat()).await.unwrap(), "another was put in its place");
    assert!(!store.delete_entry(shop()).await.unwrap());
    assert_eq!(store.entries().await.unwrap(), []);
    assert_eq!(store.list(None, 1_000).await.unwrap(), [app(chat())]);
    let left = [store.counts(shop()).await.unwrap().feedback, store.counts(chat()).await.unwrap().feedback];
    assert_eq!(left, [0, 1]);
}
