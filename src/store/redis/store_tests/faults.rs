//! A server that is full, emptied or holds what others wrote.

use super::*;
use crate::model::{Quarantine, Records, Resolution};
use crate::store::contract::{Note, app, dead, failure, shop};
use crate::store::{
    Apps, Cursor, DisconnectionLog, Durability, Events, Expect, FeedbackLog, Pending, Revision, StoreError,
};

fn quarantine() -> Quarantine {
    Quarantine { since: 1.0, why: "a spike".to_owned() }
}

#[tokio::test]
async fn scripts_are_loaded_again_when_the_server_has_lost_them() {
    let server = RedisServer::start();
    let store = store(&server, "p:");
    store.put(app(shop()), Expect::Any).await.unwrap();
    server.cli(&["SCRIPT", "FLUSH"]);
    store.note(vec![dead(shop(), "aa", 1.0)], vec![]).await.unwrap();
    store.delete(shop(), Expect::Any).await.unwrap();
}

#[tokio::test]
async fn a_full_server_refuses_apps_whole_and_still_takes_events_and_makes_room() {
    let server = RedisServer::start();
    let store = store(&server, "p:");
    let revision = store.put(app(shop()), Expect::Any).await.unwrap();
    store.note(vec![dead(shop(), "aa", 1.0)], vec![failure(shop(), 1)]).await.unwrap();
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);

    let changed = crate::store::AppRecord { lanes: 9, ..app(shop()) };
    let full = [
        store.put(changed.clone(), Expect::Any).await.map(drop),
        store.put_all(vec![crate::store::AppRecord { revision, ..changed }]).await.map(drop),
        store.file_entry(shop(), "print".to_owned()).await,
        store.try_writing().await,
    ];
    assert!(full.iter().all(|refused| matches!(refused, Err(StoreError::RedisFull))), "{full:?}");
    let kept = store.get(shop()).await.unwrap().unwrap();
    assert_eq!((kept.lanes, kept.revision), (app(shop()).lanes, revision));

    store.note(vec![dead(shop(), "bb", 1.0)], vec![failure(shop(), 2)]).await.unwrap();
    store.quarantine(shop(), quarantine()).await.unwrap();
    store.resolve(shop(), Resolution::Release).await.unwrap();
    let feedback = store.feedback(shop(), Cursor::START, 10).await.unwrap();
    let log = store.disconnections(shop(), Cursor::START, 10).await.unwrap();
    assert_eq!((feedback.entries.len(), log.entries.len()), (2, 2));
    assert_eq!(store.acknowledge_feedback(shop(), feedback.cursor).await.unwrap(), 2);
    assert_eq!(store.acknowledge_disconnections(shop(), log.cursor).await.unwrap(), 2);
    super::members::beats_and_leaves(&store).await;
    assert!(store.delete(shop(), Expect::Any).await.unwrap().is_some());
}

#[tokio::test]
async fn an_emptied_server_begins_another_history_and_refuses_cursors_of_the_lost_one() {
    let server = RedisServer::start();
    let store = store(&server, "p:");
    let before = store.put(app(shop()), Expect::Any).await.unwrap();
    store.note(vec![dead(shop(), "aa", 1.0)], vec![failure(shop(), 1)]).await.unwrap();
    let cursor = store.feedback(shop(), Cursor::START, 10).await.unwrap().cursor;
    let epoch = store.changes(Revision::NONE, 10).await.unwrap().epoch;
    server.cli(&["FLUSHALL"]);

    let changes = store.changes(before, 10).await.unwrap();
    assert!(changes.is_empty() && changes.epoch != epoch && changes.revision < before, "{changes:?}");
    assert_eq!(store.changes(before, 10).await.unwrap().epoch, changes.epoch);
    assert!(matches!(store.feedback(shop(), cursor, 10).await, Err(StoreError::ForeignCursor)));
    store.note(vec![dead(shop(), "bb", 1.0)], vec![]).await.unwrap();
    assert!(matches!(store.acknowledge_feedback(shop(), cursor).await, Err(StoreError::ForeignCursor)));
    assert!(store.put(app(shop()), Expect::Absent).await.unwrap() > before, "no revision is given twice");
}

#[tokio::test]
async fn a_clock_that_goes_back_gives_no_position_or_revision_twice() {
    let server = RedisServer::start();
    let prefix = fresh_prefix();
    let store = store(&server, &prefix);
    store.note(vec![dead(shop(), "aa", 1.0)], vec![failure(shop(), 1)]).await.unwrap();
    let ahead = 8_000_000_000_000_000_i64;
    for counter in ["pos_f", "pos_d", "rev"] {
        server.cli(&["HSET", &format!("{prefix}meta"), counter, &ahead.to_string()]);
    }
    store.note(vec![dead(shop(), "bb", 1.0), dead(shop(), "cc", 1.0)], vec![failure(shop(), 2)]).await.unwrap();
    let page = store.feedback(shop(), Cursor::START, 10).await.unwrap();
    let log = store.disconnections(shop(), Cursor::START, 10).await.unwrap();
    assert!(page.cursor.to_string().ends_with(&format!("-{}", ahead + 2)), "{}", page.cursor);
    assert!(log.cursor.to_string().ends_with(&format!("-{}", ahead + 1)), "{}", log.cursor);
    assert_eq!(store.put(app(shop()), Expect::Any).await.unwrap(), Revision::stored(ahead + 1));
}

/// Each operation of the store, with its result reduced to success.
fn operations(store: &Redis, cursor: Cursor) -> Vec<(&'static str, Pending<'_, ()>)> {
    fn of<'a, T: Send + 'a>(name: &'static str, pending: Pending<'a, T>) -> (&'static str, Pending<'a, ()>) {
        (name, Box::pin(async { pending.await.map(drop) }))
    }
    let records = Records { feedback: vec![dead(shop(), "bb", 9.0)], disconnections: vec![failure(shop(), 9)] };
    vec![
        of("list", store.list(None, 10)),
        of("get", store.get(shop())),
        of("changes", store.changes(Revision::NONE, 10)),
        of("entries", store.entries()),
        of("counts", store.counts(shop())),
        of("feedback", store.feedback(shop(), Cursor::START, 10)),
        of("log", store.disconnections(shop(), Cursor::START, 10)),
        of("quarantines", store.quarantines()),
        of("record", store.record(Arc::new(records))),
        of("acknowledge log", store.acknowledge_disconnections(shop(), cursor)),
        of("quarantine", store.quarantine(shop(), quarantine())),
        of("acknowledge feedback", store.acknowledge_feedback(shop(), cursor)),
        of("release", store.resolve(shop(), Resolution::Release)),
        of("drop", store.resolve(shop(), Resolution::Drop)),
        of("file entry", store.file_entry(shop(), "other".to_owned())),
        of("put", store.put(app(shop()), Expect::Any)),
        of("delete entry", store.delete_entry(shop())),
        of("delete", store.delete(shop(), Expect::Any)),
        of("try writing", store.try_writing()),
        of("look", store.look()),
    ]
}

/// Keys of the store, and the operations that meet each.
const KEYS: &[(&str, &[&str])] = &[
    (
        "meta",
        &["changes", "feedback", "log", "record", "acknowledge log", "put", "delete", "try writing", "release", "look"],
    ),
    ("apps", &["list", "get", "changes", "put", "delete", "file entry", "delete entry"]),
    ("entries", &["entries", "file entry", "delete entry"]),
    ("changed", &["changes"]),
    ("holds", &["quarantines", "record", "quarantine"]),
    ("fb:production/com.example.shop", &["counts", "feedback", "record"]),
    ("fbpos:production/com.example.shop", &["feedback", "record", "quarantine", "acknowledge feedback"]),
    ("held:production/com.example.shop", &["counts", "release", "drop"]),
    ("log:production/com.example.shop", &["counts", "log", "record", "acknowledge log"]),
];

/// A store with one of everything, and a cursor behind it.
async fn filled(server: &RedisServer, prefix: &str) -> (Redis, Cursor) {
    let store = store(server, prefix);
    store.put(crate::store::AppRecord { entry: Some("print".to_owned()), ..app(shop()) }, Expect::Any).await.unwrap();
    let bad = |token: &str| crate::model::Feedback { reason: "BadDeviceToken".to_owned(), ..dead(shop(), token, 1.0) };
    store.note(vec![dead(shop(), "aa", 1.0), bad("cc")], vec![failure(shop(), 1)]).await.unwrap();
    store.quarantine(shop(), quarantine()).await.unwrap();
    let cursor = store.feedback(shop(), Cursor::START, 10).await.unwrap().cursor;
    (store, cursor)
}

#[tokio::test]
async fn keys_of_another_type_are_an_error_that_says_so_and_change_nothing_else() {
    let server = RedisServer::start();
    for (key, meet) in KEYS {
        let prefix = fresh_prefix();
        let (store, cursor) = filled(&server, &prefix).await;
        let name = format!("{prefix}{key}");
        assert_eq!(server.cli(&["EXISTS", &name]), "1", "{name}");
        server.cli(&["SET", &name, "not ours"]);
        let mut met = Vec::new();
        for (operation, pending) in operations(&store, cursor) {
            match pending.await {
                Err(StoreError::RedisRefused { what }) => {
                    assert!(what.contains("WRONGTYPE"), "{operation} on {key}: {what}");
                    met.push(operation);
                }
                // What the store forgets is forgotten whatever it is, and is well formed from then on.
                Ok(()) => {}
                Err(other) => panic!("{operation} on {key}: {other:?}"),
            }
        }
        let missing: Vec<_> = meet.iter().filter(|operation| !met.contains(operation)).collect();
        assert!(missing.is_empty(), "{key}: {missing:?} of {met:?}");
    }
}

#[tokio::test]
async fn values_that_pyapns_did_not_write_are_an_error_and_no_panic() {
    let server = RedisServer::start();
    let of_app = "production/com.example.shop";
    for value in ["", "x", "1 ", "-1", "1 1 5\n", "nan nan", "{}", "9999999999999999999 x", "\u{e4}"] {
        let prefix = fresh_prefix();
        let (store, cursor) = filled(&server, &prefix).await;
        for (key, field) in [
            ("apps", of_app),
            ("apps", value),
            ("holds", of_app),
            ("holds", value),
            (&format!("fb:{of_app}"), "aa"),
            (&format!("held:{of_app}"), "cc"),
            ("meta", "epoch"),
            ("meta", "rev"),
            ("meta", "pos_f"),
            ("meta", "pos_d"),
            ("members", "node"),
            ("members", value),
        ] {
            server.cli(&["HSET", &format!("{prefix}{key}"), field, value]);
        }
        server.cli(&["ZADD", &format!("{prefix}fbpos:{of_app}"), "1.5", value]);
        server.cli(&["ZADD", &format!("{prefix}changed"), "1.5", value]);
        server.cli(&["XADD", &format!("{prefix}log:{of_app}"), "9000000000000000-7", value, value]);
        for (operation, pending) in operations(&store, cursor) {
            match pending.await {
                Ok(()) | Err(StoreError::RedisRefused { .. } | StoreError::ForeignCursor) => {}
                Err(other) => panic!("{operation} with {value:?}: {other:?}"),
            }
        }
        let beat = super::members::beat(&store, "node", crate::store::members::Session::new()).await;
        assert!(matches!(beat, Ok(_) | Err(StoreError::RedisRefused { .. })), "{beat:?}");
    }
}

#[tokio::test]
async fn a_store_in_a_newer_format_is_left_as_it_is() {
    let server = RedisServer::start();
    let prefix = fresh_prefix();
    let (store, cursor) = filled(&server, &prefix).await;
    server.cli(&["HSET", &format!("{prefix}meta"), "format", "2"]);
    assert!(matches!(store.look().await, Err(StoreError::RedisRefused { .. })));
    for (operation, pending) in operations(&store, cursor) {
        let result = pending.await;
        let changes =
            ["record", "quarantine", "release", "drop", "put", "delete", "delete entry", "file entry", "try writing"];
        if changes.contains(&operation) {
            let what = result.unwrap_err().to_string();
            assert!(what.contains("newer pyapns") && what.contains("store.prefix"), "{operation}: {what}");
        }
    }
}
