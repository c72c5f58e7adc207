//! Calls whose answer did not come.

use super::*;
use crate::model::{Environment, Records};
use crate::store::contract::{Note, app, dead, failure, key, shop};
use crate::store::{Apps, Counts, Cursor, DisconnectionLog, Events, Expect, FeedbackLog, StoreError};

/// Runs a call against a stopped server, and lets the server carry it out afterwards. The server must know the script.
async fn unanswered<T>(server: &RedisServer, store: &Redis, call: impl Future<Output = Result<T, StoreError>>) {
    store.counts(shop()).await.expect("a connection, on which the call is sent");
    server.pause();
    let result = call.await;
    server.resume();
    assert!(matches!(result, Err(StoreError::Away { .. })));
}

#[tokio::test]
async fn records_that_are_sent_again_after_a_time_out_are_stored_once() {
    let server = RedisServer::start();
    let store = store(&server, "p:");
    store.note(vec![], vec![failure(shop(), 0)]).await.unwrap();
    let records = Arc::new(Records {
        feedback: vec![dead(shop(), "aa", 1.0)],
        disconnections: vec![failure(shop(), 1), failure(shop(), 2)],
    });
    unanswered(&server, &store, store.record(Arc::clone(&records))).await;
    // Another cause is recorded before the repeat.
    store.note(vec![dead(shop(), "bb", 1.0)], vec![failure(shop(), 3)]).await.unwrap();
    let first = store.feedback(shop(), Cursor::START, 10).await.unwrap();
    assert_eq!(first.entries.len(), 2, "the server carried out the call that timed out");
    assert_eq!(store.record(Arc::clone(&records)).await.unwrap(), 0);
    let log = store.disconnections(shop(), Cursor::START, 10).await.unwrap();
    let numbers: Vec<u32> = log.entries.iter().map(|entry| entry.internal_identifier).collect();
    assert_eq!(numbers, [0, 1, 2, 3]);
    assert_eq!(store.counts(shop()).await.unwrap().feedback, 2);
}

#[tokio::test]
async fn the_rest_of_records_whose_first_part_is_stored_follows_with_the_repeat() {
    let server = RedisServer::start();
    let prefix = fresh_prefix();
    let store = store(&server, &prefix);
    let other = key("com.example.other", Environment::Sandbox);
    let log = format!("{prefix}log:sandbox/com.example.other");
    server.cli(&["SET", &log, "in the way"]);
    let records = Arc::new(Records {
        feedback: vec![],
        disconnections: vec![failure(shop(), 1), failure(other.clone(), 2), failure(shop(), 3)],
    });
    assert!(matches!(store.record(Arc::clone(&records)).await, Err(StoreError::RedisRefused { .. })));
    assert_eq!(store.counts(shop()).await.unwrap().disconnections, 1);
    server.cli(&["DEL", &log]);
    store.record(records).await.unwrap();
    for (app, count) in [(shop(), 2), (other, 1)] {
        let counts = Counts { feedback: 0, held: 0, disconnections: count };
        assert_eq!(store.counts(app).await.unwrap(), counts);
    }
}

#[tokio::test]
async fn an_app_that_is_put_again_after_a_time_out_keeps_the_revision_that_the_first_call_made() {
    let server = RedisServer::start();
    let store = store(&server, "p:");
    store.put(app(shop()), Expect::Any).await.unwrap();
    let before = store.delete(shop(), Expect::Any).await.unwrap().unwrap();
    unanswered(&server, &store, store.put(app(shop()), Expect::Absent)).await;
    let stored = store.get(shop()).await.unwrap().expect("the server carried it out").revision;
    let made = store.put(app(shop()), Expect::Absent).await.unwrap();
    assert!(made == stored && made > before);
    let changed = crate::store::AppRecord { lanes: 7, ..app(shop()) };
    unanswered(&server, &store, store.put(changed.clone(), Expect::Is(made))).await;
    assert_eq!(store.get(shop()).await.unwrap().unwrap().lanes, 7);
    let second = store.put(changed, Expect::Is(made)).await.unwrap();
    assert!(second > made);
    unanswered(&server, &store, store.delete(shop(), Expect::Is(second))).await;
    assert_eq!(store.delete(shop(), Expect::Is(second)).await.unwrap(), None);
}

#[tokio::test]
async fn the_memory_of_calls_is_as_short_as_what_can_be_repeated() {
    let server = RedisServer::start();
    let prefix = fresh_prefix();
    let store = store(&server, &prefix);
    for number in 0..50 {
        store.note(vec![], vec![failure(shop(), number)]).await.unwrap();
    }
    let calls = format!("{prefix}calls:{}", store.calls.writer);
    assert_eq!(server.cli(&["ZCARD", &calls]), "2", "the last call, and the lowest that may be repeated");
    assert!(server.cli(&["PTTL", &calls]).parse::<u64>().unwrap() > 0);
}
