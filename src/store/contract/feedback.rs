//! The promises of every store about feedback, and about feedback that is held back.

use super::*;
use crate::model::{Quarantine, Resolution};

pub(in crate::store) async fn of_a_token_only_the_newest_feedback_is_kept(store: &dyn Store) {
    let entries = vec![dead(shop(), "aa", 5.0), dead(shop(), "aa", 7.5), dead(shop(), "aa", 6.0)];
    store.note(entries, vec![]).await.unwrap();
    store.note(vec![dead(shop(), "aa", 7.0)], vec![]).await.unwrap();
    let page = store.feedback(shop(), Cursor::START, 10).await.unwrap();
    assert_eq!(page.entries, [dead(shop(), "aa", 7.5)]);
}

pub(in crate::store) async fn feedback_of_one_token_is_kept_per_app(store: &dyn Store) {
    store.note(vec![dead(shop(), "aa", 1.0), dead(chat(), "aa", 2.0)], vec![]).await.unwrap();
    assert_eq!(store.feedback(shop(), Cursor::START, 10).await.unwrap().entries, [dead(shop(), "aa", 1.0)]);
    assert_eq!(store.feedback(chat(), Cursor::START, 10).await.unwrap().entries, [dead(chat(), "aa", 2.0)]);
}

pub(in crate::store) async fn an_acknowledgement_through_an_old_cursor_does_not_lose_newer_feedback(store: &dyn Store) {
    store.note(vec![dead(shop(), "aa", 1.0), dead(shop(), "bb", 1.0)], vec![]).await.unwrap();
    let read = store.feedback(shop(), Cursor::START, 10).await.unwrap();
    store.note(vec![dead(shop(), "aa", 2.0), dead(shop(), "bb", 1.0)], vec![]).await.unwrap();
    assert_eq!(store.acknowledge_feedback(shop(), read.cursor).await.unwrap(), 1);
    assert_eq!(tokens(store, shop()).await, ["aa"]);
    store.note(vec![dead(shop(), "bb", 1.0)], vec![]).await.unwrap();
    assert_eq!(tokens(store, shop()).await, ["aa", "bb"]);
}

fn bad(app: AppKey, token: &str, timestamp: f64) -> Feedback {
    Feedback { reason: "BadDeviceToken".to_owned(), ..dead(app, token, timestamp) }
}

fn hold(since: f64) -> Quarantine {
    Quarantine { since, why: "a wave".to_owned() }
}

pub(in crate::store) async fn what_is_held_is_no_feedback_until_it_is_released(store: &dyn Store) {
    assert_eq!(store.quarantine(shop(), hold(1.0)).await.unwrap(), 0);
    let entries = vec![bad(shop(), "aa", 1.0), dead(shop(), "bb", 1.0), bad(shop(), "cc", 1.0)];
    assert_eq!(store.note(entries, vec![failure(shop(), 1)]).await.unwrap(), 2);
    assert_eq!(store.note(vec![bad(shop(), "aa", 2.0)], vec![]).await.unwrap(), 1);
    assert_eq!(tokens(store, shop()).await, ["bb"]);
    assert_eq!(store.counts(shop()).await.unwrap(), Counts { feedback: 1, held: 2, disconnections: 1 });

    assert_eq!(store.resolve(shop(), Resolution::Release).await.unwrap(), 2);
    assert_eq!(store.counts(shop()).await.unwrap(), Counts { feedback: 3, held: 0, disconnections: 1 });
    let page = store.feedback(shop(), Cursor::START, 10).await.unwrap();
    assert!(page.entries.contains(&bad(shop(), "aa", 2.0)), "of a token the newest");
    assert_eq!(store.note(vec![bad(shop(), "dd", 1.0)], vec![]).await.unwrap(), 0, "the hold has ended");
    assert_eq!(store.resolve(shop(), Resolution::Release).await.unwrap(), 0);
}

pub(in crate::store) async fn what_is_dropped_does_not_come_back(store: &dyn Store) {
    store.quarantine(shop(), hold(1.0)).await.unwrap();
    store.note(vec![bad(shop(), "aa", 1.0)], vec![]).await.unwrap();
    assert_eq!(store.resolve(shop(), Resolution::Drop).await.unwrap(), 1);
    assert_eq!(store.counts(shop()).await.unwrap(), Counts::default());
    assert_eq!(store.quarantines().await.unwrap(), []);
    store.note(vec![bad(shop(), "aa", 1.0)], vec![]).await.unwrap();
    assert_eq!(tokens(store, shop()).await, ["aa"]);
}

pub(in crate::store) async fn a_hold_takes_what_waits_and_leaves_definite_entries_and_other_apps_alone(
    store: &dyn Store,
) {
    for key in [shop(), chat()] {
        let entries = vec![bad(key.clone(), "aa", 1.0), dead(key.clone(), "bb", 1.0)];
        store.note(entries, vec![]).await.unwrap();
    }
    assert_eq!(store.quarantine(shop(), hold(1.0)).await.unwrap(), 1);
    assert_eq!(tokens(store, shop()).await, ["bb"]);
    assert_eq!(tokens(store, chat()).await, ["aa", "bb"]);
    assert_eq!(store.note(vec![bad(chat(), "cc", 1.0)], vec![]).await.unwrap(), 0);
    assert_eq!(store.counts(chat()).await.unwrap(), Counts { feedback: 3, held: 0, disconnections: 0 });
}

pub(in crate::store) async fn what_is_released_is_new_to_readers_and_replaces_nothing_newer(store: &dyn Store) {
    store.quarantine(shop(), hold(1.0)).await.unwrap();
    store.note(vec![bad(shop(), "aa", 1.0), bad(shop(), "bb", 3.0)], vec![]).await.unwrap();
    store.note(vec![dead(shop(), "aa", 2.0), dead(shop(), "bb", 2.0)], vec![]).await.unwrap();
    let read = store.feedback(shop(), Cursor::START, 10).await.unwrap().cursor;
    assert_eq!(store.resolve(shop(), Resolution::Release).await.unwrap(), 2);
    let fresh = store.feedback(shop(), read, 10).await.unwrap().entries;
    assert_eq!(fresh, [bad(shop(), "bb", 3.0)]);
    let all = store.feedback(shop(), Cursor::START, 10).await.unwrap().entries;
    assert_eq!(all, [dead(shop(), "aa", 2.0), bad(shop(), "bb", 3.0)]);
}

pub(in crate::store) async fn holds_are_listed_and_the_first_one_stands(store: &dyn Store) {
    put(store, app(shop())).await;
    store.quarantine(shop(), hold(1.5)).await.unwrap();
    store.quarantine(shop(), hold(2.0)).await.unwrap();
    store.note(vec![bad(shop(), "aa", 1.0)], vec![]).await.unwrap();
    assert_eq!(store.quarantines().await.unwrap(), [(shop(), hold(1.5))]);
    store.delete(shop(), Expect::Any).await.unwrap();
    assert_eq!(store.quarantines().await.unwrap(), []);
    assert_eq!(store.counts(shop()).await.unwrap().held, 0);
}
