//! Several nodes on one server.

use super::*;
use crate::model::{Quarantine, Records, Resolution};
use crate::store::contract::{Note, app, dead, failure, shop};
use crate::store::{Apps, Cursor, DisconnectionLog, Events, Expect, FeedbackLog, Revision, StoreError};

fn two() -> (RedisServer, [Redis; 2]) {
    let (server, prefix) = (RedisServer::start(), fresh_prefix());
    let stores = [store(&server, &prefix), store(&server, &prefix)];
    (server, stores)
}

#[tokio::test]
async fn two_nodes_see_one_list_in_one_order_and_take_each_others_cursors() {
    let (_server, [one, other]) = two();
    for number in 0..6 {
        let node = if number % 2 == 0 { &one } else { &other };
        let token = format!("{number:02}");
        node.note(vec![dead(shop(), &token, 1.0)], vec![failure(shop(), number)]).await.unwrap();
    }
    let (here, there) = (
        one.feedback(shop(), Cursor::START, 10).await.unwrap(),
        other.feedback(shop(), Cursor::START, 10).await.unwrap(),
    );
    assert_eq!(here, there);
    let tokens: Vec<&str> = here.entries.iter().map(|entry| entry.token.as_str()).collect();
    assert_eq!(tokens, ["00", "01", "02", "03", "04", "05"]);
    let half = one.disconnections(shop(), Cursor::START, 3).await.unwrap();
    assert_eq!(other.acknowledge_disconnections(shop(), half.cursor).await.unwrap(), 3);
    let rest = one.disconnections(shop(), half.cursor, 10).await.unwrap();
    assert_eq!(rest.entries.iter().map(|entry| entry.internal_identifier).collect::<Vec<_>>(), [3, 4, 5]);
}

#[tokio::test]
async fn of_two_nodes_that_change_an_app_at_once_one_is_refused() {
    let (_server, [one, other]) = two();
    for _ in 0..20 {
        let mine = crate::store::AppRecord { lanes: 1, ..app(shop()) };
        let theirs = crate::store::AppRecord { lanes: 2, ..app(shop()) };
        let results = tokio::join!(one.put(mine, Expect::Absent), other.put(theirs, Expect::Absent));
        let (won, lost) = match results {
            (Ok(won), lost) | (lost, Ok(won)) => (won, lost),
            neither => panic!("{neither:?}"),
        };
        assert!(matches!(lost, Err(StoreError::Conflict { revision: Some(stored) }) if stored == won), "{lost:?}");
        assert_eq!(one.get(shop()).await.unwrap(), other.get(shop()).await.unwrap());
        one.delete(shop(), Expect::Is(won)).await.unwrap();
    }
}

#[tokio::test]
async fn a_node_learns_each_change_that_another_made() {
    let (_server, [one, other]) = two();
    let first = one.put(app(shop()), Expect::Any).await.unwrap();
    let seen = other.changes(Revision::NONE, 10).await.unwrap();
    assert_eq!((seen.revision, seen.changed.len()), (first, 1));
    assert!(other.changes(seen.revision, 10).await.unwrap().is_empty());
    let removal = one.delete(shop(), Expect::Any).await.unwrap().unwrap();
    let seen = other.changes(seen.revision, 10).await.unwrap();
    assert_eq!((seen.revision, seen.removed), (removal, vec![shop()]));
}

#[tokio::test]
async fn feedback_of_every_node_is_held_back_once_one_of_them_began_the_quarantine() {
    let (_server, [one, other]) = two();
    let bad = |token: &str| crate::model::Feedback { reason: "BadDeviceToken".to_owned(), ..dead(shop(), token, 1.0) };
    one.quarantine(shop(), Quarantine { since: 1.0, why: "a spike".to_owned() }).await.unwrap();
    let records = Records { feedback: vec![bad("aa")], disconnections: vec![] };
    assert_eq!(other.record(Arc::new(records)).await.unwrap(), 1);
    assert_eq!(one.resolve(shop(), Resolution::Drop).await.unwrap(), 1);
    assert_eq!(other.quarantines().await.unwrap(), []);
}

#[tokio::test]
async fn nodes_that_store_the_sealed_constant_at_once_get_the_same_one() {
    let (_server, [one, other]) = two();
    assert_eq!(one.check().await.unwrap(), None);
    let (mine, theirs) = tokio::join!(one.set_check(b"\x00mine", None), other.set_check(b"theirs", None));
    let kept = mine.unwrap();
    assert_eq!(theirs.unwrap(), kept);
    assert_eq!(one.check().await.unwrap().as_ref(), Some(&kept));
    assert_eq!(other.set_check(b"next", Some(b"something else")).await.unwrap(), kept);
    assert_eq!(other.set_check(b"next", Some(&kept)).await.unwrap(), b"next");
    assert_eq!(one.check().await.unwrap().unwrap(), b"next");
}
