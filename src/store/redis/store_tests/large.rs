//! More than one call of a script handles.

use super::*;
use crate::model::Environment;
use crate::model::{Feedback, Quarantine, Records, Resolution};
use crate::store::contract::{app, dead, failure, key, shop};
use crate::store::{
    AppRecord, Apps, Counts, Cursor, DISCONNECTIONS_MAX, DisconnectionLog, Events, Expect, FeedbackLog, Revision,
};
use zeroize::Zeroizing;

const MANY: usize = 2_500;

#[tokio::test]
async fn thousands_of_entries_are_held_released_read_and_acknowledged() {
    let server = RedisServer::start();
    let store = store(&server, &fresh_prefix());
    let bad = |at: usize| Feedback { reason: "BadDeviceToken".to_owned(), ..dead(shop(), &format!("{at:064x}"), 1.0) };
    let feedback = (0..MANY).map(bad).chain([dead(shop(), "aa", 1.0)]).collect();
    store.record(Arc::new(Records { feedback, disconnections: vec![] })).await.unwrap();

    let quarantine = Quarantine { since: 1.0, why: "a spike".to_owned() };
    assert_eq!(store.quarantine(shop(), quarantine).await.unwrap(), MANY as u64);
    let counts = store.counts(shop()).await.unwrap();
    assert_eq!(counts, Counts { feedback: 1, held: MANY as u64, disconnections: 0 });
    assert_eq!(store.resolve(shop(), Resolution::Release).await.unwrap(), MANY as u64);
    assert_eq!(store.quarantines().await.unwrap(), []);

    let page = store.feedback(shop(), Cursor::START, 2_000).await.unwrap();
    assert_eq!(page.entries.len(), 2_000);
    let rest = store.feedback(shop(), page.cursor, usize::MAX).await.unwrap();
    assert_eq!(rest.entries.len(), MANY + 1 - 2_000);
    let mut tokens: Vec<_> = page.entries.iter().chain(&rest.entries).map(|entry| &entry.token).collect();
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), MANY + 1, "none twice");
    assert_eq!(store.acknowledge_feedback(shop(), page.cursor).await.unwrap(), 2_000);
    assert_eq!(store.acknowledge_feedback(shop(), rest.cursor).await.unwrap(), MANY as u64 + 1 - 2_000);
    assert_eq!(store.counts(shop()).await.unwrap(), Counts::default());
}

#[tokio::test]
async fn records_of_megabytes_are_stored_in_order_by_calls_that_hold_no_other_caller_up() {
    let server = RedisServer::start();
    let store = store(&server, "p:");
    let entry = |number: usize| {
        let notification = Some(format!(r#"{{"payload":"{}"}}"#, "x".repeat(4_000)));
        crate::model::Disconnection { offending_notification: notification, ..failure(shop(), number as u32) }
    };
    let disconnections = (0..DISCONNECTIONS_MAX + 10).map(entry).collect();
    store.record(Arc::new(Records { feedback: vec![], disconnections })).await.unwrap();
    let statistics = server.cli(&["INFO", "commandstats"]);
    let calls = statistics.split("cmdstat_evalsha:calls=").nth(1).and_then(|rest| rest.split(',').next());
    // 20 MB in calls of 256 KiB, each of which holds the server for half a millisecond.
    let calls: usize = calls.unwrap().parse().unwrap();
    assert!((80..200).contains(&calls), "{statistics}");
    let log = store.disconnections(shop(), Cursor::START, usize::MAX).await.unwrap();
    let numbers = log.entries.iter().map(|entry| entry.internal_identifier as usize);
    assert!(numbers.eq(10..DISCONNECTIONS_MAX + 10));
}

#[tokio::test]
async fn no_app_is_missing_among_the_changes_however_large_the_credentials_are() {
    let server = RedisServer::start();
    let store = store(&server, &fresh_prefix());
    let credential = Zeroizing::new(vec![7; 30_000]);
    for number in 0..70 {
        let key = key(&format!("app-{number}"), Environment::Sandbox);
        store.put(AppRecord { credential: credential.clone(), ..app(key) }, Expect::Any).await.unwrap();
    }
    for limit in [9, 70, 256] {
        let (mut since, mut seen) = (Revision::NONE, 0);
        loop {
            let page = store.changes(since, limit).await.unwrap();
            (since, seen) = (page.revision, seen + page.len());
            if page.len() < limit {
                break;
            }
        }
        assert_eq!(seen, 70, "in pages of {limit}");
    }
    assert_eq!(store.list(None, 256).await.unwrap().len(), 70);
}
