//! What every store promises: one list of sentences, run on each kind of store.

use super::*;
use crate::model::{AppId, Environment};
use std::sync::Arc;
use tempfile::TempDir;

/// A store under test, with the directory it may need.
pub(super) struct Opened {
    pub store: Arc<dyn Store>,
    _directory: Option<TempDir>,
}

impl Opened {
    pub(super) fn memory() -> Self {
        Self { store: Arc::new(Memory::new()), _directory: None }
    }

    pub(super) fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Sqlite::open(directory.path()).unwrap());
        Self { store, _directory: Some(directory) }
    }
}

/// Records these.
pub(super) trait Note: Events {
    fn note(&self, feedback: Vec<Feedback>, disconnections: Vec<Disconnection>) -> Pending<'_, u64> {
        self.record(Arc::new(Records { feedback, disconnections }))
    }
}

impl<T: Events + ?Sized> Note for T {}

/// One test per sentence of the contract, on what the expression opens.
macro_rules! kept_by {
    ($opened:expr) => {
        $crate::store::contract::kept_by! { $opened;
            an_app_is_found_as_it_was_put,
            a_second_put_replaces_the_first,
            many_apps_are_replaced_at_once,
            apps_are_listed_in_the_order_of_their_keys,
            a_deleted_app_takes_its_events_with_it_and_no_others,
            an_entry_outlives_what_happens_to_its_app,
            an_entry_filed_anew_leaves_its_app_as_it_is,
            with_an_entry_goes_only_the_app_that_it_made,
            of_a_token_only_the_newest_feedback_is_kept,
            feedback_of_one_token_is_kept_per_app,
            an_acknowledgement_through_an_old_cursor_does_not_lose_newer_feedback,
            pages_follow_each_other_without_gap_or_repetition,
            an_acknowledgement_touches_one_list_of_one_app,
            a_position_is_never_given_twice,
            a_cursor_stays_good_when_all_is_acknowledged,
            a_cursor_that_another_store_gave_out_is_refused_whatever_its_position,
            a_cursor_behind_the_newest_entry_is_refused,
            the_start_and_the_cursor_of_an_empty_page_are_taken_everywhere,
            the_newest_five_thousand_disconnections_are_kept,
            a_disconnection_comes_back_whole,
            what_is_held_is_no_feedback_until_it_is_released,
            what_is_dropped_does_not_come_back,
            a_hold_takes_what_waits_and_leaves_definite_entries_and_other_apps_alone,
            what_is_released_is_new_to_readers_and_replaces_nothing_newer,
            holds_are_listed_and_the_first_one_stands,
        }
    };
    ($opened:expr; $($sentence:ident,)*) => {
        $(#[tokio::test]
        async fn $sentence() {
            let opened = $opened;
            $crate::store::contract::$sentence(&*opened.store).await;
        })*
    };
}
pub(super) use kept_by;

pub(super) fn key(id: &str, environment: Environment) -> AppKey {
    AppKey::new(AppId::new(id).unwrap(), environment)
}

pub(super) fn shop() -> AppKey {
    key("com.example.shop", Environment::Production)
}

fn chat() -> AppKey {
    key("com.example.chat", Environment::Sandbox)
}

pub(super) fn app(key: AppKey) -> AppRecord {
    AppRecord {
        key,
        credential: Zeroizing::new(vec![0, 1, 2, 255]),
        certificate_path: Some("/etc/pyapns/shop.pem".to_owned()),
        topic: None,
        timeout_seconds: 15,
        lanes: 4,
        entry: None,
    }
}

pub(super) fn dead(app: AppKey, token: &str, timestamp: f64) -> Feedback {
    Feedback { app, token: token.to_owned(), reason: "Unregistered".to_owned(), timestamp }
}

pub(super) fn failure(app: AppKey, number: u32) -> Disconnection {
    Disconnection {
        app,
        code: 8,
        internal_identifier: number,
        offending_notification: Some(r#"{"type":"notification"}"#.to_owned()),
        timestamp: 1_800_000_000.25,
        verbose_message: "Invalid token".to_owned(),
        reason: "BadDeviceToken".to_owned(),
        status: Some(400),
        apns_id: Some("0f1e2d3c-0000-4000-8000-000000000000".to_owned()),
        affected: 0,
        node: Some("node-1".parse().unwrap()),
    }
}

async fn tokens(store: &dyn Store, app: AppKey) -> Vec<String> {
    let page = store.feedback(app, Cursor::START, usize::MAX).await.unwrap();
    page.entries.into_iter().map(|entry| entry.token).collect()
}

async fn numbers(store: &dyn Store, app: AppKey) -> Vec<u32> {
    let page = store.disconnections(app, Cursor::START, usize::MAX).await.unwrap();
    page.entries.iter().map(|entry| entry.internal_identifier).collect()
}

pub(super) async fn an_app_is_found_as_it_was_put(store: &dyn Store) {
    store.put(app(shop())).await.unwrap();
    assert_eq!(store.get(shop()).await.unwrap(), Some(app(shop())));
    assert_eq!(store.get(chat()).await.unwrap(), None);
}

pub(super) async fn a_second_put_replaces_the_first(store: &dyn Store) {
    store.put(app(shop())).await.unwrap();
    let changed = AppRecord { topic: Some("topic".to_owned()), certificate_path: None, lanes: 1, ..app(shop()) };
    store.put(changed.clone()).await.unwrap();
    assert_eq!(store.list(None, 1_000).await.unwrap(), [changed]);
}

pub(super) async fn many_apps_are_replaced_at_once(store: &dyn Store) {
    store.put(app(shop())).await.unwrap();
    store.note(vec![dead(shop(), "aa", 1.0)], vec![]).await.unwrap();
    let changed = [chat(), shop()].map(|key| AppRecord { lanes: 9, ..app(key) });
    store.put_all(changed.to_vec()).await.unwrap();
    assert_eq!(store.list(None, 1_000).await.unwrap(), changed);
    assert_eq!(store.counts(shop()).await.unwrap().feedback, 1);
}

pub(super) async fn apps_are_listed_in_the_order_of_their_keys(store: &dyn Store) {
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

pub(super) async fn a_deleted_app_takes_its_events_with_it_and_no_others(store: &dyn Store) {
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

pub(super) async fn an_entry_outlives_what_happens_to_its_app(store: &dyn Store) {
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

pub(super) async fn an_entry_filed_anew_leaves_its_app_as_it_is(store: &dyn Store) {
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

pub(super) async fn with_an_entry_goes_only_the_app_that_it_made(store: &dyn Store) {
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

pub(super) async fn of_a_token_only_the_newest_feedback_is_kept(store: &dyn Store) {
    let entries = vec![dead(shop(), "aa", 5.0), dead(shop(), "aa", 7.5), dead(shop(), "aa", 6.0)];
    store.note(entries, vec![]).await.unwrap();
    store.note(vec![dead(shop(), "aa", 7.0)], vec![]).await.unwrap();
    let page = store.feedback(shop(), Cursor::START, 10).await.unwrap();
    assert_eq!(page.entries, [dead(shop(), "aa", 7.5)]);
}

pub(super) async fn feedback_of_one_token_is_kept_per_app(store: &dyn Store) {
    store.note(vec![dead(shop(), "aa", 1.0), dead(chat(), "aa", 2.0)], vec![]).await.unwrap();
    assert_eq!(store.feedback(shop(), Cursor::START, 10).await.unwrap().entries, [dead(shop(), "aa", 1.0)]);
    assert_eq!(store.feedback(chat(), Cursor::START, 10).await.unwrap().entries, [dead(chat(), "aa", 2.0)]);
}

pub(super) async fn an_acknowledgement_through_an_old_cursor_does_not_lose_newer_feedback(store: &dyn Store) {
    store.note(vec![dead(shop(), "aa", 1.0), dead(shop(), "bb", 1.0)], vec![]).await.unwrap();
    let read = store.feedback(shop(), Cursor::START, 10).await.unwrap();
    store.note(vec![dead(shop(), "aa", 2.0), dead(shop(), "bb", 1.0)], vec![]).await.unwrap();
    assert_eq!(store.acknowledge_feedback(shop(), read.cursor).await.unwrap(), 1);
    assert_eq!(tokens(store, shop()).await, ["aa"]);
    store.note(vec![dead(shop(), "bb", 1.0)], vec![]).await.unwrap();
    assert_eq!(tokens(store, shop()).await, ["aa", "bb"]);
}

pub(super) async fn pages_follow_each_other_without_gap_or_repetition(store: &dyn Store) {
    let failures = (0..5).flat_map(|number| [failure(shop(), number), failure(chat(), number)]).collect();
    store.note(vec![], failures).await.unwrap();
    let mut after = store.feedback(shop(), Cursor::START, 2).await.unwrap().cursor;
    for expected in [&[0, 1][..], &[2, 3], &[4], &[]] {
        let page = store.disconnections(shop(), after, 2).await.unwrap();
        let numbers: Vec<u32> = page.entries.iter().map(|entry| entry.internal_identifier).collect();
        assert_eq!(numbers, expected);
        assert_eq!(page.cursor != after, !expected.is_empty());
        after = page.cursor;
    }
    let empty = store.disconnections(shop(), after, 2).await.unwrap();
    assert_eq!((empty.entries.len(), empty.cursor), (0, after));
}

pub(super) async fn an_acknowledgement_touches_one_list_of_one_app(store: &dyn Store) {
    for key in [shop(), chat()] {
        store.note(vec![dead(key.clone(), "aa", 1.0)], vec![failure(key, 1)]).await.unwrap();
    }
    let log = store.disconnections(chat(), Cursor::START, 10).await.unwrap().cursor;
    let feedback = store.feedback(chat(), Cursor::START, 10).await.unwrap().cursor;
    assert_eq!(store.acknowledge_disconnections(shop(), log).await.unwrap(), 1);
    assert_eq!(store.acknowledge_disconnections(shop(), log).await.unwrap(), 0);
    assert_eq!(store.acknowledge_feedback(chat(), feedback).await.unwrap(), 1);
    assert_eq!(store.counts(shop()).await.unwrap(), Counts { feedback: 1, held: 0, disconnections: 0 });
    assert_eq!(store.counts(chat()).await.unwrap(), Counts { feedback: 0, held: 0, disconnections: 1 });
}

pub(super) async fn a_position_is_never_given_twice(store: &dyn Store) {
    store.note(vec![dead(shop(), "aa", 1.0)], vec![failure(shop(), 1)]).await.unwrap();
    let feedback = store.feedback(shop(), Cursor::START, 10).await.unwrap().cursor;
    let log = store.disconnections(shop(), Cursor::START, 10).await.unwrap().cursor;
    store.acknowledge_feedback(shop(), feedback).await.unwrap();
    store.acknowledge_disconnections(shop(), log).await.unwrap();
    store.note(vec![dead(shop(), "bb", 1.0)], vec![failure(shop(), 2)]).await.unwrap();
    assert_eq!(store.acknowledge_feedback(shop(), feedback).await.unwrap(), 0);
    assert_eq!(store.acknowledge_disconnections(shop(), log).await.unwrap(), 0);
    assert_eq!(tokens(store, shop()).await, ["bb"]);
    assert_eq!(numbers(store, shop()).await, [2]);
}

/// A dead token and a disconnection, and the cursors behind them.
async fn one_each(store: &dyn Store) -> [Cursor; 2] {
    store.note(vec![dead(shop(), "aa", 1.0)], vec![failure(shop(), 1)]).await.unwrap();
    let feedback = store.feedback(shop(), Cursor::START, 10).await.unwrap().cursor;
    [feedback, store.disconnections(shop(), Cursor::START, 10).await.unwrap().cursor]
}

pub(super) async fn a_cursor_stays_good_when_all_is_acknowledged(store: &dyn Store) {
    let [feedback, log] = one_each(store).await;
    for removed in [1, 0] {
        assert_eq!(store.acknowledge_feedback(shop(), feedback).await.unwrap(), removed);
        assert_eq!(store.acknowledge_disconnections(shop(), log).await.unwrap(), removed);
    }
    assert_eq!(store.feedback(shop(), feedback, 10).await.unwrap().cursor, feedback);
    assert_eq!(store.disconnections(shop(), log, 10).await.unwrap().cursor, log);
}

/// Each of the four operations that take a cursor refuses it, and nothing is cleared.
async fn refuses(store: &dyn Store, [feedback, log]: [Cursor; 2]) {
    let before = store.counts(shop()).await.unwrap();
    let refused = [
        store.feedback(shop(), feedback, 10).await.map(drop),
        store.disconnections(shop(), log, 10).await.map(drop),
        store.acknowledge_feedback(shop(), feedback).await.map(drop),
        store.acknowledge_disconnections(shop(), log).await.map(drop),
    ];
    for (at, refused) in refused.into_iter().enumerate() {
        assert!(matches!(refused, Err(StoreError::ForeignCursor)), "{at}: {refused:?}");
    }
    assert_eq!(store.counts(shop()).await.unwrap(), before);
}

pub(super) async fn a_cursor_that_another_store_gave_out_is_refused_whatever_its_position(store: &dyn Store) {
    let another = Memory::new();
    refuses(store, one_each(&another).await).await;
    let nothing = another.feedback(chat(), Cursor::START, 1).await.unwrap().cursor;
    refuses(store, [nothing; 2]).await;
    for _ in 0..3 {
        one_each(store).await;
    }
    refuses(store, one_each(&another).await).await;
    refuses(store, [Epoch::FIRST.cursor(1); 2]).await;
}

pub(super) async fn a_cursor_behind_the_newest_entry_is_refused(store: &dyn Store) {
    let cursors = one_each(store).await;
    let later = cursors.map(|cursor| {
        let text = cursor.to_string();
        let (epoch, _) = text.split_once('-').unwrap();
        Cursor::parse(&format!("{epoch}-{}", i64::MAX)).unwrap()
    });
    refuses(store, later).await;
}

pub(super) async fn the_start_and_the_cursor_of_an_empty_page_are_taken_everywhere(store: &dyn Store) {
    let empty = store.feedback(shop(), Cursor::START, 10).await.unwrap().cursor;
    one_each(store).await;
    for start in [Cursor::START, empty] {
        assert_eq!(store.feedback(shop(), start, 10).await.unwrap().entries.len(), 1);
        assert_eq!(store.disconnections(shop(), start, 10).await.unwrap().entries.len(), 1);
        assert_eq!(store.acknowledge_feedback(shop(), start).await.unwrap(), 0);
        assert_eq!(store.acknowledge_disconnections(shop(), start).await.unwrap(), 0);
    }
}

pub(super) async fn the_newest_five_thousand_disconnections_are_kept(store: &dyn Store) {
    let kept = DISCONNECTIONS_MAX as u32;
    store.note(vec![], vec![failure(chat(), 0)]).await.unwrap();
    store.note(vec![], (0..kept).map(|number| failure(shop(), number)).collect()).await.unwrap();
    assert_eq!(store.counts(shop()).await.unwrap().disconnections, u64::from(kept));
    store.note(vec![], vec![failure(shop(), kept), failure(chat(), 1), failure(shop(), kept + 1)]).await.unwrap();
    assert_eq!(numbers(store, shop()).await, (2..kept + 2).collect::<Vec<_>>());
    assert_eq!(numbers(store, chat()).await, [0, 1]);
}

pub(super) async fn a_disconnection_comes_back_whole(store: &dyn Store) {
    let bare = Disconnection {
        offending_notification: None,
        status: None,
        apns_id: None,
        code: 255,
        internal_identifier: u32::MAX,
        affected: u32::MAX,
        ..failure(shop(), 0)
    };
    let entries = vec![failure(shop(), 7), bare];
    store.note(vec![], entries.clone()).await.unwrap();
    assert_eq!(store.disconnections(shop(), Cursor::START, 10).await.unwrap().entries, entries);
}

fn bad(app: AppKey, token: &str, timestamp: f64) -> Feedback {
    Feedback { reason: "BadDeviceToken".to_owned(), ..dead(app, token, timestamp) }
}

fn hold(since: f64) -> Hold {
    Hold { since, why: "a wave".to_owned() }
}

pub(super) async fn what_is_held_is_no_feedback_until_it_is_released(store: &dyn Store) {
    assert_eq!(store.hold(shop(), hold(1.0)).await.unwrap(), 0);
    let entries = vec![bad(shop(), "aa", 1.0), dead(shop(), "bb", 1.0), bad(shop(), "cc", 1.0)];
    assert_eq!(store.note(entries, vec![failure(shop(), 1)]).await.unwrap(), 2);
    assert_eq!(store.note(vec![bad(shop(), "aa", 2.0)], vec![]).await.unwrap(), 1);
    assert_eq!(tokens(store, shop()).await, ["bb"]);
    assert_eq!(store.counts(shop()).await.unwrap(), Counts { feedback: 1, held: 2, disconnections: 1 });

    assert_eq!(store.settle(shop(), Settlement::Release).await.unwrap(), 2);
    assert_eq!(store.counts(shop()).await.unwrap(), Counts { feedback: 3, held: 0, disconnections: 1 });
    let page = store.feedback(shop(), Cursor::START, 10).await.unwrap();
    assert!(page.entries.contains(&bad(shop(), "aa", 2.0)), "of a token the newest");
    assert_eq!(store.note(vec![bad(shop(), "dd", 1.0)], vec![]).await.unwrap(), 0, "the hold has ended");
    assert_eq!(store.settle(shop(), Settlement::Release).await.unwrap(), 0);
}

pub(super) async fn what_is_dropped_does_not_come_back(store: &dyn Store) {
    store.hold(shop(), hold(1.0)).await.unwrap();
    store.note(vec![bad(shop(), "aa", 1.0)], vec![]).await.unwrap();
    assert_eq!(store.settle(shop(), Settlement::Drop).await.unwrap(), 1);
    assert_eq!(store.counts(shop()).await.unwrap(), Counts::default());
    assert_eq!(store.holds().await.unwrap(), []);
    store.note(vec![bad(shop(), "aa", 1.0)], vec![]).await.unwrap();
    assert_eq!(tokens(store, shop()).await, ["aa"]);
}

pub(super) async fn a_hold_takes_what_waits_and_leaves_definite_entries_and_other_apps_alone(store: &dyn Store) {
    for key in [shop(), chat()] {
        let entries = vec![bad(key.clone(), "aa", 1.0), dead(key.clone(), "bb", 1.0)];
        store.note(entries, vec![]).await.unwrap();
    }
    assert_eq!(store.hold(shop(), hold(1.0)).await.unwrap(), 1);
    assert_eq!(tokens(store, shop()).await, ["bb"]);
    assert_eq!(tokens(store, chat()).await, ["aa", "bb"]);
    assert_eq!(store.note(vec![bad(chat(), "cc", 1.0)], vec![]).await.unwrap(), 0);
    assert_eq!(store.counts(chat()).await.unwrap(), Counts { feedback: 3, held: 0, disconnections: 0 });
}

pub(super) async fn what_is_released_is_new_to_readers_and_replaces_nothing_newer(store: &dyn Store) {
    store.hold(shop(), hold(1.0)).await.unwrap();
    store.note(vec![bad(shop(), "aa", 1.0), bad(shop(), "bb", 3.0)], vec![]).await.unwrap();
    store.note(vec![dead(shop(), "aa", 2.0), dead(shop(), "bb", 2.0)], vec![]).await.unwrap();
    let read = store.feedback(shop(), Cursor::START, 10).await.unwrap().cursor;
    assert_eq!(store.settle(shop(), Settlement::Release).await.unwrap(), 2);
    let fresh = store.feedback(shop(), read, 10).await.unwrap().entries;
    assert_eq!(fresh, [bad(shop(), "bb", 3.0)]);
    let all = store.feedback(shop(), Cursor::START, 10).await.unwrap().entries;
    assert_eq!(all, [dead(shop(), "aa", 2.0), bad(shop(), "bb", 3.0)]);
}

pub(super) async fn holds_are_listed_and_the_first_one_stands(store: &dyn Store) {
    store.put(app(shop())).await.unwrap();
    store.hold(shop(), hold(1.5)).await.unwrap();
    store.hold(shop(), hold(2.0)).await.unwrap();
    store.note(vec![bad(shop(), "aa", 1.0)], vec![]).await.unwrap();
    assert_eq!(store.holds().await.unwrap(), [(shop(), hold(1.5))]);
    store.delete(shop()).await.unwrap();
    assert_eq!(store.holds().await.unwrap(), []);
    assert_eq!(store.counts(shop()).await.unwrap().held, 0);
}
