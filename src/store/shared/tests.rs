//! The shared store of a node, on a real redis-server that goes away and comes back.

use super::*;
use crate::model::AppleReason;
use crate::store::contract::{Note, app, dead, failure, key, put, shop};
use crate::store::redis::redis_server::RedisServer;
use crate::store::redis::{Link, Settings};
use std::path::Path;

const PERSISTENT: [&str; 2] = ["appendonly yes", "appendfsync always"];

async fn opened(server: &RedisServer, folder: &Path) -> Shared {
    let url = RedisUrl::parse(&server.url()).unwrap();
    let redis = Redis::new(Link::new(&Settings::new(url.clone())).unwrap(), "p:");
    Shared::new(redis, &url, Arc::new(Sqlite::open(folder).unwrap())).await.unwrap()
}

async fn ready(server: &RedisServer, folder: &Path) -> Shared {
    let shared = opened(server, folder).await;
    shared.examine(&Clock::system()).await.unwrap();
    shared.admit();
    shared
}

/// Hands over what waits, as soon as Redis takes it.
async fn flush(shared: &Shared) {
    let flushed = async {
        while shared.flush().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(8), flushed).await.expect("Redis takes events again");
    assert_eq!(shared.spooled(), (0, 0));
}

async fn tokens(shared: &Shared) -> Vec<String> {
    let page = shared.feedback(shop(), Cursor::START, 100).await.unwrap();
    page.entries.into_iter().map(|entry| entry.token).collect()
}

async fn numbers(shared: &Shared) -> Vec<u32> {
    let page = shared.disconnections(shop(), Cursor::START, 100).await.unwrap();
    page.entries.iter().map(|entry| entry.internal_identifier).collect()
}

#[tokio::test]
async fn events_of_an_outage_wait_on_disk_and_arrive_in_their_order_even_after_a_restart_of_the_node() {
    let (mut server, folder) = (RedisServer::with(&PERSISTENT), tempfile::tempdir().unwrap());
    let shared = ready(&server, folder.path()).await;
    shared.note(vec![dead(shop(), "aa", 1.0)], vec![failure(shop(), 1)]).await.unwrap();
    assert_eq!(shared.spooled(), (0, 0));
    server.kill();
    shared.note(vec![dead(shop(), "bb", 1.0)], vec![failure(shop(), 2)]).await.unwrap();
    shared.note(vec![dead(shop(), "cc", 1.0)], vec![failure(shop(), 3)]).await.unwrap();
    assert_eq!(shared.spooled().0, 2);
    assert!(matches!(shared.feedback(shop(), Cursor::START, 1).await, Err(StoreError::Away { .. })));
    drop(shared);

    let shared = opened(&server, folder.path()).await;
    assert_eq!(shared.spooled().0, 2);
    assert!(shared.examine(&Clock::system()).await.unwrap_err().is_temporary());
    shared.note(vec![dead(shop(), "dd", 1.0)], vec![failure(shop(), 4)]).await.unwrap();
    server.restart();
    while shared.examine(&Clock::system()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    shared.admit();
    // What comes later waits behind.
    shared.note(vec![dead(shop(), "ee", 1.0)], vec![failure(shop(), 5)]).await.unwrap();
    assert_eq!(shared.spooled().0, 4);
    flush(&shared).await;
    assert_eq!(tokens(&shared).await, ["aa", "bb", "cc", "dd", "ee"]);
    assert_eq!(numbers(&shared).await, [1, 2, 3, 4, 5]);
    shared.note(vec![dead(shop(), "ff", 1.0)], vec![]).await.unwrap();
    assert_eq!((shared.spooled(), tokens(&shared).await.len()), ((0, 0), 6));
}

#[tokio::test]
async fn an_event_whose_answer_was_lost_is_stored_once_whoever_hands_it_over_again() {
    let (server, folder) = (RedisServer::start(), tempfile::tempdir().unwrap());
    let shared = ready(&server, folder.path()).await;
    shared.note(vec![dead(shop(), "aa", 1.0)], vec![failure(shop(), 1)]).await.unwrap();
    server.pause();
    // Redis has the call in its socket, and executes it later.
    shared.note(vec![dead(shop(), "bb", 1.0)], vec![failure(shop(), 2)]).await.unwrap();
    shared.note(vec![dead(shop(), "cc", 1.0)], vec![failure(shop(), 3)]).await.unwrap();
    let (_, before) = shared.local.spooled(0).await.unwrap().remove(0);
    server.resume();
    flush(&shared).await;
    let read = shared.feedback(shop(), Cursor::START, 100).await.unwrap();
    assert_eq!((read.entries.len(), numbers(&shared).await), (3, vec![1, 2, 3]));
    assert_eq!(shared.acknowledge_feedback(shop(), read.cursor).await.unwrap(), 3);

    // The process ends after Redis has it, and before its own database forgets it.
    shared.local.spool(before).await.unwrap();
    drop(shared);
    let shared = ready(&server, folder.path()).await;
    assert_eq!(shared.spooled().0, 1);
    flush(&shared).await;
    assert_eq!((tokens(&shared).await, numbers(&shared).await), (vec![], vec![1, 2, 3]));
}

#[tokio::test]
async fn many_calls_after_an_event_that_waits_do_not_make_redis_take_it_for_an_old_one() {
    let (server, folder) = (RedisServer::start(), tempfile::tempdir().unwrap());
    let shared = ready(&server, folder.path()).await;
    let records = Arc::new(Records { feedback: vec![dead(shop(), "aa", 1.0)], disconnections: vec![] });
    let call = shared.redis.hold_call(&records).unwrap();
    drop(records);
    for number in 0..200 {
        // Calls whose callers do not wait make the writer search for records that are gone.
        let records = || Arc::new(Records { feedback: vec![], disconnections: vec![failure(shop(), number)] });
        tokio::select! {
            biased;
            _ = shared.redis.record(records()) => {}
            () = std::future::ready(()) => {}
        }
        shared.redis.record(records()).await.unwrap();
    }
    let records = Arc::new(Records { feedback: vec![dead(shop(), "aa", 1.0)], disconnections: vec![] });
    shared.spool.keep(Entry::Records { call, records }).await.unwrap();
    flush(&shared).await;
    assert_eq!(tokens(&shared).await, ["aa"]);
}

#[tokio::test]
async fn a_quarantine_of_an_outage_holds_back_what_waits_behind_it() {
    let (mut server, folder) = (RedisServer::with(&PERSISTENT), tempfile::tempdir().unwrap());
    let shared = ready(&server, folder.path()).await;
    server.kill();
    let doubtful = |token: &str| {
        let reason = AppleReason::BadDeviceToken.as_str().to_owned();
        vec![Feedback { reason, ..dead(shop(), token, 1.0) }]
    };
    let quarantine = Quarantine { since: 7.0, why: "a wave".to_owned() };
    shared.note(doubtful("aa"), vec![]).await.unwrap();
    assert_eq!(shared.quarantine(shop(), quarantine.clone()).await.unwrap(), 0);
    shared.note(doubtful("bb"), vec![]).await.unwrap();
    shared.note(vec![dead(shop(), "cc", 1.0)], vec![]).await.unwrap();
    assert_eq!(shared.spooled_quarantines().await.unwrap(), [(shop(), quarantine.clone())]);
    assert!(shared.resolve(shop(), Resolution::Release).await.is_err());
    server.restart();
    // One that Redis does not know yet is not over.
    while shared.quarantines().await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(shared.quarantines().await.unwrap(), [(shop(), quarantine.clone())]);
    flush(&shared).await;
    assert_eq!(shared.quarantines().await.unwrap(), [(shop(), quarantine)]);
    assert_eq!(shared.counts(shop()).await.unwrap(), Counts { feedback: 1, held: 2, disconnections: 0 });
    assert_eq!(shared.resolve(shop(), Resolution::Release).await.unwrap(), 2);
}

/// Repeats a call until Redis is back.
async fn once_back<T>(call: impl AsyncFn() -> Result<T, StoreError>) -> T {
    let called = async {
        loop {
            match call().await {
                Ok(value) => return value,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    timeout(Duration::from_secs(8), called).await.expect("Redis is back")
}

#[tokio::test]
async fn what_an_operator_resolves_or_removes_after_an_outage_does_not_come_back_with_what_waits() {
    let (mut server, folder) = (RedisServer::with(&PERSISTENT), tempfile::tempdir().unwrap());
    let shared = ready(&server, folder.path()).await;
    put(&shared, app(shop())).await;
    server.kill();
    let quarantine = Quarantine { since: 7.0, why: "a wave".to_owned() };
    let doubtful = Feedback { reason: AppleReason::BadDeviceToken.as_str().to_owned(), ..dead(shop(), "aa", 1.0) };
    shared.quarantine(shop(), quarantine).await.unwrap();
    shared.note(vec![doubtful], vec![failure(shop(), 1)]).await.unwrap();
    server.restart();
    assert_eq!(once_back(async || shared.resolve(shop(), Resolution::Drop).await).await, 1, "it has arrived before");
    flush(&shared).await;
    assert_eq!(shared.quarantines().await.unwrap(), []);
    server.kill();
    shared.note(vec![dead(shop(), "bb", 1.0)], vec![failure(shop(), 2)]).await.unwrap();
    server.restart();
    once_back(async || shared.delete(shop(), Expect::Any).await).await;
    flush(&shared).await;
    assert_eq!(shared.counts(shop()).await.unwrap(), Counts { feedback: 0, held: 0, disconnections: 0 });
}

#[tokio::test]
async fn events_go_to_redis_again_after_an_outage_though_they_never_pause() {
    let (mut server, folder) = (RedisServer::with(&PERSISTENT), tempfile::tempdir().unwrap());
    let shared = ready(&server, folder.path()).await;
    server.kill();
    shared.note(vec![dead(shop(), "first", 1.0)], vec![]).await.unwrap();
    server.restart();
    let flow = async || {
        loop {
            let token = format!("{:016x}", fastrand::u64(..));
            shared.note(vec![dead(shop(), &token, 1.0)], vec![]).await.expect("it is kept");
        }
    };
    let caught_up = async {
        while shared.spooled().0 > 0 {
            tokio::task::yield_now().await;
        }
    };
    let all = async {
        tokio::select! {
            biased;
            () = caught_up => {}
            () = shared.replay() => {}
            () = flow() => {}
            () = flow() => {}
            () = flow() => {}
            () = flow() => {}
        }
    };
    timeout(Duration::from_secs(8), all).await.expect("nothing waits any more");
}

#[tokio::test]
async fn the_events_that_wait_have_a_maximum_and_what_is_refused_is_not_lost_by_it() {
    let (mut server, folder) = (RedisServer::with(&PERSISTENT), tempfile::tempdir().unwrap());
    let shared = ready(&server, folder.path()).await;
    server.kill();
    let large = |number: u32| {
        let offending_notification = Some("x".repeat(10_000));
        Arc::new(Records {
            feedback: vec![],
            disconnections: vec![Disconnection { offending_notification, ..failure(shop(), number) }],
        })
    };
    let mut taken = 0;
    let refused = loop {
        let records = large(taken);
        match shared.record(Arc::clone(&records)).await {
            Ok(_) => taken += 1,
            Err(error) => break (records, error),
        }
        assert!(shared.spooled().1 <= SPOOL_BYTES_MAX);
    };
    let (records, error) = refused;
    assert_eq!((error.reason(), taken), ("spool_full", 6));
    server.restart();
    flush(&shared).await;
    shared.record(records).await.unwrap();
    flush(&shared).await;
    assert_eq!(numbers(&shared).await, [0, 1, 2, 3, 4, 5, 6]);
}

/// The apps of the copy with their revisions.
async fn copied(shared: &Shared) -> Vec<AppRecord> {
    shared.copied(None, 100).await.unwrap()
}

#[tokio::test]
async fn the_copy_has_every_change_of_the_store_under_its_revision() {
    let (server, folder) = (RedisServer::start(), tempfile::tempdir().unwrap());
    let shared = ready(&server, folder.path()).await;
    let epoch = shared.redis.epoch().await.unwrap();
    assert_eq!(shared.copy_state().await.unwrap(), None);
    let other = key("com.example.other", crate::model::Environment::Sandbox);
    let first = put(&shared, AppRecord { entry: Some("0123".to_owned()), ..app(shop()) }).await;
    let second = put(&shared, app(other.clone())).await;
    shared.follow(epoch, 5.0).await.unwrap();
    assert_eq!(copied(&shared).await, [second.clone(), first.clone()]);
    let state = CopyState { epoch, revision: second.revision, at: 5.0 };
    assert_eq!(shared.copy_state().await.unwrap(), Some(state));

    let changed = put(&shared, AppRecord { lanes: 2, ..app(shop()) }).await;
    shared.delete(other, Expect::Any).await.unwrap();
    shared.follow(epoch, 6.0).await.unwrap();
    assert_eq!(copied(&shared).await, std::slice::from_ref(&changed));
    // The entry stays, though the app is no longer its own.
    let entry = shared.local.entries().await.unwrap().remove(0);
    assert_eq!((entry.key, entry.fingerprint.as_str(), entry.app_is_its_own), (shop(), "0123", false));
    drop(shared);
    let shared = opened(&server, folder.path()).await;
    assert_eq!(copied(&shared).await, [changed]);
    assert_eq!(shared.copy_state().await.unwrap().unwrap().at, 6.0);
}

#[tokio::test]
async fn the_copy_keeps_what_an_emptied_store_has_lost_until_it_is_to_follow_the_new_one() {
    let (server, folder) = (RedisServer::start(), tempfile::tempdir().unwrap());
    let shared = ready(&server, folder.path()).await;
    let epoch = shared.redis.epoch().await.unwrap();
    let lost = put(&shared, app(shop())).await;
    shared.follow(epoch, 5.0).await.unwrap();
    server.cli(&["FLUSHALL"]);
    let other = key("com.example.other", crate::model::Environment::Sandbox);
    let new = put(&shared, app(other)).await;
    shared.follow(epoch, 6.0).await.unwrap();
    assert_eq!(copied(&shared).await, [lost], "the store has another epoch");
    let now = shared.redis.epoch().await.unwrap();
    shared.follow(now, 7.0).await.unwrap();
    assert_eq!(copied(&shared).await, [new]);
    assert_eq!(shared.copy_state().await.unwrap().unwrap().epoch, now);
}

#[tokio::test]
async fn a_store_takes_the_place_of_another_only_under_the_epoch_that_the_caller_knows() {
    let server = RedisServer::start();
    let shared = ready(&server, tempfile::tempdir().unwrap().path()).await;
    let (present, lost) = (shared.redis.epoch().await.unwrap(), Epoch::new());
    assert_eq!(shared.succeed(Epoch::new(), lost).await.unwrap(), present);
    let succeeds = async || shared.changes(Revision::NONE, 1).await.unwrap().succeeds;
    assert_eq!(succeeds().await, []);
    assert_eq!(shared.succeed(present, lost).await.unwrap(), present);
    assert_eq!(shared.succeed(present, lost).await.unwrap(), present);
    assert_eq!(succeeds().await, [lost]);
    let next = shared.succeed(present, present).await.unwrap();
    assert_ne!(next, present);
    assert_eq!((succeeds().await, shared.redis.epoch().await.unwrap()), (vec![present, lost], next));
    for _ in 0..40 {
        shared.succeed(next, Epoch::new()).await.unwrap();
    }
    assert_eq!(succeeds().await.len(), 16);
}

#[tokio::test]
async fn events_that_wait_are_dropped_if_another_node_removes_their_app_meanwhile_and_no_others() {
    let (mut server, folder) = (RedisServer::with(&PERSISTENT), tempfile::tempdir().unwrap());
    let shared = ready(&server, folder.path()).await;
    let other = key("com.example.other", crate::model::Environment::Sandbox);
    for one in [shop(), other.clone()] {
        put(&shared, app(one)).await;
    }
    server.kill();
    let both = vec![dead(shop(), "aa", 1.0), dead(other.clone(), "bb", 1.0)];
    shared.note(both, vec![failure(shop(), 1), failure(other.clone(), 2)]).await.unwrap();
    shared.quarantine(shop(), Quarantine { since: 1.0, why: "a spike".to_owned() }).await.unwrap();
    assert_eq!(shared.spooled().0, 2);
    server.restart();
    // The other node removes it straight in Redis.
    while shared.redis.delete(shop(), Expect::Any).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    flush(&shared).await;
    let counts = async |app: AppKey| shared.counts(app).await.unwrap();
    assert_eq!((counts(shop()).await, shared.quarantines().await.unwrap()), (Counts::default(), vec![]));
    let kept = counts(other.clone()).await;
    assert_eq!((kept.feedback, kept.disconnections), (1, 1));
    // An app that was never there is another matter: Redis may have lost it.
    let lost = key("com.example.lost", crate::model::Environment::Sandbox);
    let records = Arc::new(Records { feedback: vec![dead(lost.clone(), "cc", 1.0)], disconnections: vec![] });
    let call = shared.redis.hold_call(&records).unwrap();
    shared.spool.keep(Entry::Records { call, records }).await.unwrap();
    flush(&shared).await;
    assert_eq!(counts(lost).await.feedback, 1);
}

#[tokio::test]
async fn events_that_wait_are_kept_if_an_older_snapshot_has_the_removal_of_their_app_and_not_what_came_after_it() {
    let (server, folder) = (RedisServer::start(), tempfile::tempdir().unwrap());
    let shared = ready(&server, folder.path()).await;
    put(&shared, app(shop())).await;
    shared.delete(shop(), Expect::Any).await.unwrap();
    let removal = shared.redis.removal(&shop()).await.unwrap().expect("a removal");
    put(&shared, app(shop())).await;
    let epoch = shared.changes(Revision::NONE, 1).await.unwrap().epoch;
    shared.follow(epoch, 5.0).await.unwrap();
    assert_eq!(shared.redis.removal(&shop()).await.unwrap(), None);
    server.cli(&["HDEL", "p:apps", "production/com.example.shop"]);
    server.cli(&["ZADD", "p:removed", &removal.to_string(), "production/com.example.shop"]);
    assert_eq!(shared.redis.removal(&shop()).await.unwrap(), Some(removal));
    let records = Arc::new(Records { feedback: vec![dead(shop(), "aa", 1.0)], disconnections: vec![] });
    let call = shared.redis.hold_call(&records).unwrap();
    shared.spool.keep(Entry::Records { call, records }).await.unwrap();
    flush(&shared).await;
    assert_eq!(shared.counts(shop()).await.unwrap().feedback, 1);
}

#[tokio::test]
async fn a_caller_that_gives_up_while_events_are_handed_over_leaves_no_wrong_count() {
    let (server, folder) = (RedisServer::start(), tempfile::tempdir().unwrap());
    let shared = ready(&server, folder.path()).await;
    let waker = std::task::Waker::noop();
    for number in 0.. {
        let records = Arc::new(Records { feedback: vec![], disconnections: vec![failure(shop(), number)] });
        let call = shared.redis.hold_call(&records).unwrap();
        shared.spool.keep(Entry::Records { call, records }).await.unwrap();
        let mut handing_over = Box::pin(shared.flush());
        let is_done = loop {
            if handing_over.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_ready() {
                break true;
            }
            if shared.local.spool_usage().await.unwrap().0 < shared.spooled().0 {
                break false;
            }
        };
        drop(handing_over);
        if !is_done {
            break;
        }
    }
    assert_eq!(shared.spooled().0, 1, "its row is gone, and it was not counted");
    flush(&shared).await;
    assert_eq!(shared.redis.lowest_call(), None, "no number waits for a repeat");
}
