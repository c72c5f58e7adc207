//! The promises of every store about apps and the entries of the configuration.

use super::*;

pub(in crate::store) async fn an_app_is_found_as_it_was_put(store: &dyn Store) {
    let kept = put(store, app(shop())).await;
    assert_eq!(store.get(shop()).await.unwrap(), Some(kept));
    assert_eq!(store.get(chat()).await.unwrap(), None);
}

pub(in crate::store) async fn a_second_put_replaces_the_first(store: &dyn Store) {
    put(store, app(shop())).await;
    let changed = AppRecord { topic: Some("topic".to_owned()), certificate_path: None, lanes: 1, ..app(shop()) };
    let changed = put(store, changed).await;
    assert_eq!(store.list(None, 1_000).await.unwrap(), [changed]);
}

pub(in crate::store) async fn only_apps_that_nobody_changed_meanwhile_are_sealed_again(store: &dyn Store) {
    let third = key("com.example.third", Environment::Sandbox);
    let [left, changed, removed] = [put(store, app(chat())).await, put(store, app(shop())).await, app(third)];
    let removed = put(store, removed).await;
    store.note(vec![dead(chat(), "aa", 1.0)], vec![]).await.unwrap();
    let newer = put(store, AppRecord { lanes: 9, ..changed.clone() }).await;
    store.delete(removed.key.clone(), Expect::Any).await.unwrap();
    let again = |record: AppRecord| AppRecord { credential: Zeroizing::new(vec![7; 4]), ..record };
    let sealed = [left, changed, removed].map(again);
    assert_eq!(store.put_all(sealed.to_vec()).await.unwrap(), 1);
    let listed = store.list(None, 1_000).await.unwrap();
    assert!(listed[0].is_same(&sealed[0]) && listed[0].revision > newer.revision, "copies of the store follow");
    assert_eq!(listed[1..], [newer]);
    assert_eq!(store.counts(chat()).await.unwrap().feedback, 1);
    let changes = store.changes(listed[1].revision, 10).await.unwrap();
    assert_eq!(changes.changed, [listed[0].clone()]);
}

pub(in crate::store) async fn apps_are_listed_in_the_order_of_their_keys(store: &dyn Store) {
    let mut keys = Vec::new();
    for id in ["b", "a", "B", "a.b"] {
        for environment in [Environment::Production, Environment::Sandbox] {
            put(store, app(key(id, environment))).await;
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

pub(in crate::store) async fn a_deleted_app_takes_its_events_with_it_and_no_others(store: &dyn Store) {
    let other = key("com.example.shop", Environment::Sandbox);
    for key in [shop(), other.clone()] {
        put(store, app(key.clone())).await;
        store.note(vec![dead(key.clone(), "aa", 1.0)], vec![failure(key, 1)]).await.unwrap();
    }
    assert!(store.delete(shop(), Expect::Any).await.unwrap().is_some());
    assert_eq!(store.delete(shop(), Expect::Any).await.unwrap(), None);
    assert_eq!(store.get(shop()).await.unwrap(), None);
    assert_eq!(store.counts(shop()).await.unwrap(), Counts::default());
    assert_eq!(store.counts(other).await.unwrap(), Counts { feedback: 1, held: 0, disconnections: 1 });
}

pub(in crate::store) async fn an_entry_outlives_what_happens_to_its_app(store: &dyn Store) {
    let made = |entry: &str| AppRecord { entry: Some(entry.to_owned()), ..app(shop()) };
    let entries = async || store.entries().await.unwrap();
    let kept = put(store, made("one")).await;
    assert_eq!(store.get(shop()).await.unwrap(), Some(kept));
    assert_eq!(entries().await, [entry("one", true)]);
    put(store, app(shop())).await;
    put(store, app(chat())).await;
    assert_eq!(entries().await, [entry("one", false)], "a caller's app is in its place");
    assert!(store.delete(shop(), Expect::Any).await.unwrap().is_some());
    assert_eq!(entries().await, [entry("one", false)]);
    put(store, made("two")).await;
    assert_eq!(entries().await, [entry("two", true)]);
}

fn entry(fingerprint: &str, app_is_its_own: bool) -> EntryRecord {
    EntryRecord { key: shop(), fingerprint: fingerprint.to_owned(), app_is_its_own }
}

pub(in crate::store) async fn an_entry_filed_anew_leaves_its_app_as_it_is(store: &dyn Store) {
    let made = |entry: &str| AppRecord { entry: Some(entry.to_owned()), ..app(shop()) };
    let file = async |fingerprint: &str| store.file_entry(shop(), fingerprint.to_owned()).await.unwrap();
    file("none").await;
    assert_eq!(store.entries().await.unwrap(), [], "an entry that is not kept is not made");
    let kept = put(store, made("one")).await;
    file("two").await;
    assert_eq!(store.entries().await.unwrap(), [entry("two", true)]);
    assert_eq!(store.get(shop()).await.unwrap(), Some(AppRecord { revision: kept.revision, ..made("two") }));
    let kept = put(store, app(shop())).await;
    file("three").await;
    assert_eq!(store.entries().await.unwrap(), [entry("three", false)]);
    assert_eq!(store.get(shop()).await.unwrap(), Some(kept), "what a caller made stays a caller's");
    assert!(store.delete(shop(), Expect::Any).await.unwrap().is_some());
    file("four").await;
    assert_eq!(store.entries().await.unwrap(), [entry("four", false)]);
    assert_eq!(store.get(shop()).await.unwrap(), None);
}

pub(in crate::store) async fn with_an_entry_goes_only_the_app_that_it_made(store: &dyn Store) {
    let made = |key: AppKey| AppRecord { entry: Some("made".to_owned()), ..app(key) };
    for key in [shop(), chat()] {
        put(store, made(key.clone())).await;
        store.note(vec![dead(key, "aa", 1.0)], vec![]).await.unwrap();
    }
    let kept = put(store, app(chat())).await;
    let before = store.get(shop()).await.unwrap().unwrap().revision;
    assert!(store.delete_entry(shop()).await.unwrap());
    assert!(!store.delete_entry(chat()).await.unwrap(), "another was put in its place");
    assert!(!store.delete_entry(shop()).await.unwrap());
    assert_eq!(store.entries().await.unwrap(), []);
    assert_eq!(store.changes(before, 10).await.unwrap().removed, [shop()]);
    assert_eq!(store.list(None, 1_000).await.unwrap(), [kept]);
    let left = [store.counts(shop()).await.unwrap().feedback, store.counts(chat()).await.unwrap().feedback];
    assert_eq!(left, [0, 1]);
}
