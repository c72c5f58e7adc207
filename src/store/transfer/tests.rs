//! Copies between stores of both kinds, compared through the public contract.

use super::*;
use crate::model::{AppId, Disconnection, Environment};
use crate::store::contract::{app, dead, failure, key, shop};
use crate::store::redis::redis_server::RedisServer;
use crate::store::redis::{Link, Redis, RedisUrl, Settings};
use crate::store::{Apps, EntryRecord, Epoch, Events, FeedbackLog, Memory, Sqlite};

/// More than one page.
const MANY: u32 = PAGE as u32 + 7;

fn chat() -> AppKey {
    key("com.example.chat", Environment::Sandbox)
}

fn bad(app: AppKey, token: &str, timestamp: f64) -> Feedback {
    Feedback { reason: "BadDeviceToken".to_owned(), ..dead(app, token, timestamp) }
}

/// Seals "again" by turning the bytes around.
fn turned(app: &AppRecord) -> Result<Zeroizing<Vec<u8>>, String> {
    Ok(Zeroizing::new(app.credential.iter().rev().copied().collect()))
}

async fn fill(store: &dyn Transfer) {
    let entry = |name: &str| Some(name.to_owned());
    store.put(AppRecord { entry: entry("shop"), ..app(shop()) }, Expect::Any).await.unwrap();
    store.put(AppRecord { entry: entry("chat"), ..app(chat()) }, Expect::Any).await.unwrap();
    store.put(app(chat()), Expect::Any).await.unwrap();
    let gone = key("gone", Environment::Sandbox);
    store.put(AppRecord { entry: entry("gone"), ..app(gone.clone()) }, Expect::Any).await.unwrap();
    store.delete(gone, Expect::Any).await.unwrap();
    for number in 0..MANY {
        let id = AppId::new(&format!("app-{number}")).unwrap();
        store.put(app(AppKey::new(id, Environment::Production)), Expect::Any).await.unwrap();
    }
    let mut feedback: Vec<_> = (0..MANY).rev().map(|number| dead(shop(), &format!("{number:08x}"), 1.5)).collect();
    feedback.push(dead(shop(), "00000003", 2.25));
    let log: Vec<Disconnection> = (0..MANY).map(|number| failure(shop(), number)).collect();
    store.record(Arc::new(Records { feedback, disconnections: log })).await.unwrap();
    let read = store.feedback(shop(), Cursor::START, 2).await.unwrap().cursor;
    store.acknowledge_feedback(shop(), read).await.unwrap();
    let read = store.disconnections(shop(), Cursor::START, 3).await.unwrap().cursor;
    store.acknowledge_disconnections(shop(), read).await.unwrap();
    store.quarantine(chat(), Quarantine { since: 7.5, why: "a spike".to_owned() }).await.unwrap();
    let mut held: Vec<_> = (0..MANY).map(|number| bad(chat(), &format!("{number:08x}"), 3.0)).collect();
    held.push(dead(chat(), "00000001", 4.0));
    store.record(Arc::new(Records { feedback: held, disconnections: vec![failure(chat(), 1)] })).await.unwrap();
}

/// Everything in a store but what differs from store to store: revisions and positions.
#[derive(Debug, PartialEq)]
struct Everything {
    apps: Vec<AppRecord>,
    /// The order of their changes.
    order: Vec<AppKey>,
    entries: Vec<EntryRecord>,
    quarantines: Vec<(AppKey, Quarantine)>,
    feedback: Vec<Vec<Feedback>>,
    held: Vec<Vec<Feedback>>,
    disconnections: Vec<Vec<Disconnection>>,
}

async fn everything(store: &dyn Transfer) -> Everything {
    let changes = store.changes(Revision::NONE, usize::MAX).await.unwrap();
    let mut entries = store.entries().await.unwrap();
    entries.sort_by(|one, other| one.key.cmp(&other.key));
    let bare = |app: AppRecord| AppRecord { revision: Revision::NONE, ..app };
    let mut all = Everything {
        apps: store.list(None, usize::MAX).await.unwrap().into_iter().map(bare).collect(),
        order: changes.changed.into_iter().map(|app| app.key).collect(),
        entries,
        quarantines: store.quarantines().await.unwrap(),
        feedback: Vec::new(),
        held: Vec::new(),
        disconnections: Vec::new(),
    };
    for app in [shop(), chat()] {
        all.feedback.push(store.feedback(app.clone(), Cursor::START, usize::MAX).await.unwrap().entries);
        all.disconnections.push(store.disconnections(app.clone(), Cursor::START, usize::MAX).await.unwrap().entries);
        let (mut held, mut from) = (Vec::new(), None);
        loop {
            let (part, next) = store.held(app.clone(), from).await.unwrap();
            held.extend(part);
            from = next;
            if from.is_none() {
                break;
            }
        }
        held.sort_by(|one, other| one.token.cmp(&other.token));
        all.held.push(held);
    }
    all
}

#[tokio::test]
async fn a_copy_through_every_kind_of_store_has_everything_in_its_order() {
    let directory = tempfile::tempdir().unwrap();
    let (first, last) = (Memory::new(), Memory::new());
    let middle = Sqlite::open(directory.path()).unwrap();
    let server = RedisServer::start();
    let redis = Settings::new(RedisUrl::parse(&server.url()).unwrap());
    let redis = Redis::new(Link::new(&redis).unwrap(), "copy:");
    fill(&first).await;
    let before = everything(&first).await;
    assert_eq!((before.held[1].len(), before.feedback[0].len()), (MANY as usize, MANY as usize - 2));
    let copied = copy(&first, &middle, "first", &turned).await.unwrap();
    let expected = Copied {
        apps: u64::from(MANY) + 2,
        entries: 3,
        feedback: u64::from(MANY) - 1,
        held: u64::from(MANY),
        disconnections: u64::from(MANY) - 2,
        decisions: 0,
    };
    assert_eq!(copied, expected);
    assert_eq!(middle.unfinished_copy().await.unwrap(), None);
    assert_ne!(everything(&middle).await.apps[0].credential, before.apps[0].credential, "sealed for the target");
    assert_eq!(copy(&middle, &redis, "middle", &turned).await.unwrap(), expected);
    assert_eq!(everything(&redis).await, before);
    assert!(!redis.is_empty().await.unwrap());
    assert_eq!(redis.unfinished_copy().await.unwrap(), None);
    let again = Memory::new();
    assert_eq!(copy(&redis, &again, "redis", &turned).await.unwrap(), expected);
    assert_eq!(copy(&again, &last, "again", &turned).await.unwrap(), expected);
    assert_eq!(everything(&last).await, before);
    assert_eq!(everything(&first).await, before, "the source is as it was");

    let theirs = first.feedback(shop(), Cursor::START, 1).await.unwrap().cursor;
    assert!(matches!(last.feedback(shop(), theirs, 1).await, Err(StoreError::ForeignCursor)));
    last.record(Arc::new(Records { feedback: vec![bad(chat(), "ff", 9.0)], disconnections: Vec::new() }))
        .await
        .unwrap();
    assert_eq!(last.counts(chat()).await.unwrap().held, u64::from(MANY) + 1, "what was held back still is");
}

#[tokio::test]
async fn a_target_that_holds_anything_is_refused_unless_it_is_an_unfinished_copy_of_the_same_source() {
    let directory = tempfile::tempdir().unwrap();
    let (source, target) = (Memory::new(), Sqlite::open(directory.path()).unwrap());
    fill(&source).await;
    // What a copy leaves that is cut off in the middle.
    target.mark_copy(Some("source".to_owned())).await.unwrap();
    target.put(AppRecord { entry: Some("cut".to_owned()), ..app(shop()) }, Expect::Any).await.unwrap();
    target.put(app(key("no-longer-there", Environment::Sandbox)), Expect::Any).await.unwrap();
    target
        .record(Arc::new(Records { feedback: vec![dead(shop(), "aa", 1.0)], disconnections: vec![failure(shop(), 9)] }))
        .await
        .unwrap();
    let refused = copy(&source, &target, "another", &turned).await.unwrap_err();
    assert!(matches!(&refused, CopyError::OtherCopy { from } if from == "source"), "{refused}");
    copy(&source, &target, "source", &turned).await.unwrap();
    let whole = Memory::new();
    copy(&source, &whole, "source", &turned).await.unwrap();
    assert_eq!(everything(&target).await, everything(&whole).await, "nothing twice, nothing of the cut one");
    let refused = copy(&source, &target, "source", &turned).await.unwrap_err();
    assert!(matches!(refused, CopyError::TargetInUse), "{refused}");
}

#[tokio::test]
async fn nothing_is_copied_if_a_credential_does_not_open() {
    let (source, target) = (Memory::new(), Memory::new());
    fill(&source).await;
    let closed = |app: &AppRecord| if app.key == chat() { Err("no key".to_owned()) } else { turned(app) };
    let refused = copy(&source, &target, "source", &closed).await.unwrap_err().to_string();
    assert!(refused.ends_with("com.example.chat/sandbox: no key"), "{refused}");
    assert!(target.is_empty().await.unwrap());
    assert_eq!(target.unfinished_copy().await.unwrap(), None);
}

#[tokio::test]
async fn a_source_that_changes_meanwhile_leaves_the_copy_unfinished() {
    let (source, target) = (Arc::new(Memory::new()), Memory::new());
    fill(&*source).await;
    let calls = std::sync::atomic::AtomicU32::new(0);
    let changing = |app: &AppRecord| {
        // The last app of the second pass.
        if calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 2 * MANY + 3 {
            futures_now(source.delete(shop(), Expect::Any));
        }
        turned(app)
    };
    let refused = copy(&*source, &target, "source", &changing).await.unwrap_err();
    assert!(matches!(refused, CopyError::SourceChanged), "{refused}");
    assert_eq!(target.unfinished_copy().await.unwrap().as_deref(), Some("source"));
}

/// The result of an operation on a store in memory, which never waits.
fn futures_now<T>(pending: Pending<'_, T>) -> T {
    let mut pending = pending;
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match pending.as_mut().poll(&mut context) {
        std::task::Poll::Ready(done) => done.unwrap(),
        std::task::Poll::Pending => panic!("a store in memory never waits"),
    }
}

#[tokio::test]
async fn a_database_says_whose_it_is() {
    use crate::store::sqlite::Ownership;
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(directory.path()).unwrap();
    assert_eq!(store.ownership().await.unwrap(), Ownership::Own);
    assert!(store.is_empty().await.unwrap());
    store.set_copy_of(Epoch::stored(77)).await.unwrap();
    store
        .record(Arc::new(Records { feedback: vec![dead(shop(), "aa", 1.0)], disconnections: Vec::new() }))
        .await
        .unwrap();
    drop(store);
    let store = Sqlite::open(directory.path()).unwrap();
    assert_eq!(store.ownership().await.unwrap(), Ownership::CopyOf(Epoch::stored(77)));
    assert!(!store.is_empty().await.unwrap(), "an event without an app is something, too");
}

#[tokio::test]
async fn a_copy_from_one_redis_to_another_has_the_pins_and_cordons_of_operators() {
    use crate::store::members::{Members, Pin};
    let server = RedisServer::start();
    let settings = Settings::new(RedisUrl::parse(&server.url()).unwrap());
    let [source, target] = ["a:", "b:"].map(|prefix| Redis::new(Link::new(&settings).unwrap(), prefix));
    source.put(app(shop()), Expect::Any).await.unwrap();
    let node: crate::model::NodeName = "n1".parse().unwrap();
    let decisions = [Pin::Lane { app: shop(), lane: 7, node: node.clone() }, Pin::Cordoned(node.clone())];
    for decision in decisions.clone() {
        source.members().pin(decision).await.unwrap();
    }
    // A copy that was cut off has left another one.
    target.mark_copy(Some("source".to_owned())).await.unwrap();
    target.put_decisions(vec![Pin::Cordoned("gone".parse().unwrap())]).await.unwrap();
    let copied = copy(&source, &target, "source", &turned).await.unwrap();
    assert_eq!((copied.apps, copied.decisions), (1, 2));
    let there = target.decisions().await.unwrap();
    assert!(there.len() == 2 && decisions.iter().all(|decision| there.contains(decision)), "{there:?}");
    assert_eq!(
        copy(&target, &Memory::new(), "target", &turned).await.unwrap().decisions,
        0,
        "no cluster has this store"
    );
    target.delete(shop(), Expect::Any).await.unwrap();
    assert!(!target.is_empty().await.unwrap(), "a cordon is something to lose");
}
