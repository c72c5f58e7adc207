//! Leases and the table of members.

use super::*;
use crate::model::{AppKey, NodeName};
use crate::store::StoreError;
use crate::store::contract::{app, key, put, shop};
use crate::store::members::{Beat, Heard, Lease, Members, PINS_MAX, Pin, Pinned, Session, Version};
use crate::store::{AppRecord, Apps, Expect, FeedbackLog};
use std::time::Duration;

const LEASE: Duration = Duration::from_secs(6);

fn of(node: &str, session: Session) -> Beat {
    let record = format!(r#"{{"address":"{node}:7000"}}"#);
    Beat { node: node.parse().unwrap(), session, lease: LEASE, record, known: Version::NONE }
}

pub(super) async fn beat(store: &Redis, node: &str, session: Session) -> Result<Heard, StoreError> {
    store.members().beat(of(node, session)).await
}

/// A node from its first beat to its end.
pub(super) async fn beats_and_leaves(store: &Redis) {
    let session = Session::new();
    assert_eq!(beat(store, "passer-by", session).await.unwrap().lease, Lease::Made);
    assert_eq!(beat(store, "passer-by", session).await.unwrap().lease, Lease::Renewed);
    assert!(store.members().leave("passer-by".parse().unwrap(), session).await.unwrap());
}

fn names(heard: &Heard) -> Vec<&str> {
    let mut names: Vec<&str> = heard.live.iter().map(|name| name.as_str()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_beat_makes_and_renews_the_lease_and_lists_the_live_nodes() {
    let (server, prefix) = (RedisServer::start(), fresh_prefix());
    let store = store(&server, &prefix);
    let [one, two] = [Session::new(), Session::new()];
    let first = beat(&store, "n1", one).await.unwrap();
    assert_eq!((first.lease, names(&first)), (Lease::Made, vec!["n1"]));
    let second = beat(&store, "n2", two).await.unwrap();
    assert_eq!((second.lease, names(&second)), (Lease::Made, vec!["n1", "n2"]));
    assert_eq!(second.epoch, first.epoch);
    let again = beat(&store, "n1", one).await.unwrap();
    assert_eq!((again.lease, names(&again)), (Lease::Renewed, vec!["n1", "n2"]));
    let left: u64 = server.cli(&["PTTL", &format!("{prefix}lease:n1")]).parse().unwrap();
    assert!((5_000..=6_000).contains(&left), "{left}");
    let mut members = again.members.unwrap();
    members.sort_by(|one, other| one.node.as_str().cmp(other.node.as_str()));
    let sessions: Vec<_> = members.iter().map(|member| (member.node.as_str(), member.session)).collect();
    assert_eq!(sessions, [("n1", one), ("n2", two)]);
    assert_eq!(members[0].record, of("n1", one).record);
}

#[tokio::test]
async fn the_members_come_with_a_beat_only_when_they_changed() {
    let server = RedisServer::start();
    let store = store(&server, &fresh_prefix());
    let [one, two] = [Session::new(), Session::new()];
    let known = beat(&store, "n1", one).await.unwrap().members_version;
    let with_known = |session, record: &str| Beat { known, record: record.to_owned(), ..of("n1", session) };
    let members = store.members();
    let same = members.beat(with_known(one, &of("n1", one).record)).await.unwrap();
    assert_eq!((same.members_version, same.members), (known, None));
    beat(&store, "n2", two).await.unwrap();
    let grown = members.beat(with_known(one, &of("n1", one).record)).await.unwrap();
    assert_eq!((grown.members_version != known, grown.members.map(|all| all.len())), (true, Some(2)));
    let changed = members.beat(with_known(one, "leaving")).await.unwrap();
    assert_ne!(changed.members_version, grown.members_version);
    assert!(changed.members.unwrap().iter().any(|member| member.record == "leaving"));
}

#[tokio::test]
async fn a_second_node_of_the_same_name_is_refused_until_the_first_one_ended() {
    let (server, prefix) = (RedisServer::start(), fresh_prefix());
    let store = store(&server, &prefix);
    let [one, two] = [Session::new(), Session::new()];
    let members = store.members();
    beat(&store, "n1", one).await.unwrap();
    let second = members.beat(Beat { record: "intruder".to_owned(), ..of("n1", two) }).await.unwrap();
    assert_eq!(second.lease, Lease::Taken);
    assert!(second.members.unwrap().iter().all(|member| member.session == one && member.record != "intruder"));
    assert!(!members.leave("n1".parse().unwrap(), two).await.unwrap(), "it ends only its own");
    assert_eq!(beat(&store, "n1", one).await.unwrap().lease, Lease::Renewed);
    assert!(members.leave("n1".parse().unwrap(), one).await.unwrap());
    let after = beat(&store, "n1", two).await.unwrap();
    assert_eq!((after.lease, after.members.unwrap()[0].session), (Lease::Made, two));
}

#[tokio::test]
async fn a_lease_that_ended_is_seen_by_the_next_beat_of_any_node_and_of_its_own() {
    let (server, prefix) = (RedisServer::start(), fresh_prefix());
    let store = store(&server, &prefix);
    let [one, two] = [Session::new(), Session::new()];
    let known = beat(&store, "n1", one).await.unwrap();
    beat(&store, "n2", two).await.unwrap();
    // As time does.
    server.cli(&["DEL", &format!("{prefix}lease:n1")]);
    let seen = beat(&store, "n2", two).await.unwrap();
    assert_eq!(names(&seen), ["n2"]);
    assert_eq!(seen.members.unwrap().len(), 2, "it is still a member");
    let woken = beat(&store, "n1", one).await.unwrap();
    assert_eq!((woken.lease, names(&woken)), (Lease::Made, vec!["n1", "n2"]));
    assert_eq!(woken.epoch, known.epoch);
}

#[tokio::test]
async fn somebody_who_is_no_member_lists_the_members_and_their_leases_and_changes_nothing() {
    let (server, prefix) = (RedisServer::start(), fresh_prefix());
    let store = store(&server, &prefix);
    assert_eq!(store.members().list().await.unwrap(), []);
    let sessions = [Session::new(), Session::new()];
    for (node, session) in ["n2", "n1"].into_iter().zip(sessions) {
        beat(&store, node, session).await.unwrap();
    }
    server.cli(&["DEL", &format!("{prefix}lease:n1")]);
    // Another run has the name, and its record is not written yet.
    beat(&store, "n3", sessions[0]).await.unwrap();
    server.cli(&["SET", &format!("{prefix}lease:n3"), &sessions[1].to_string()]);
    let before = server.cli(&["HGETALL", &format!("{prefix}members")]);
    let listed = store.members().list().await.unwrap();
    let seen: Vec<_> =
        listed.iter().map(|stored| (stored.member.node.as_str(), stored.member.session, stored.is_live)).collect();
    assert_eq!(seen, [("n1", sessions[1], false), ("n2", sessions[0], true), ("n3", sessions[0], false)]);
    assert_eq!(listed[0].member.record, of("n1", sessions[1]).record);
    assert_eq!(server.cli(&["HGETALL", &format!("{prefix}members")]), before);
    for odd in ["", "0", "0 session", "0 short record"] {
        server.cli(&["HSET", &format!("{prefix}members"), "n4", odd]);
        assert_eq!(store.members().list().await.unwrap_err().reason(), "store_refused", "{odd:?}");
    }
}

#[tokio::test]
async fn a_lease_ends_by_itself() {
    let server = RedisServer::start();
    let store = store(&server, &fresh_prefix());
    let [one, two] = [Session::new(), Session::new()];
    store.members().beat(Beat { lease: Duration::from_millis(50), ..of("n1", one) }).await.unwrap();
    let until = std::time::Instant::now() + Duration::from_secs(5);
    while names(&beat(&store, "n2", two).await.unwrap()) != ["n2"] {
        assert!(std::time::Instant::now() < until);
    }
}

#[tokio::test]
async fn a_member_is_forgotten_a_minute_after_its_lease_ended() {
    let (server, prefix) = (RedisServer::start(), fresh_prefix());
    let store = store(&server, &prefix);
    let [one, two] = [Session::new(), Session::new()];
    beat(&store, "n1", one).await.unwrap();
    server.cli(&["DEL", &format!("{prefix}lease:n1")]);
    let before = beat(&store, "n2", two).await.unwrap();
    let table = format!("{prefix}members");
    let stored = server.cli(&["HGET", &table, "n1"]);
    let (since, rest) = stored.split_once(' ').unwrap();
    assert!(since.parse::<i64>().unwrap() >= before.time, "it is noted when the lease was missed: {since}");
    for (gone_for, members) in [(59_000_000, 2), (61_000_000, 1)] {
        let back = format!("{} {rest}", before.time - gone_for);
        server.cli(&["HSET", &table, "n1", &back]);
        let heard = beat(&store, "n2", two).await.unwrap();
        assert_eq!(heard.members.unwrap().len(), members, "{gone_for}");
        assert_eq!(heard.members_version == before.members_version, members == 2);
    }
}

#[tokio::test]
async fn a_beat_shows_that_apps_or_quarantines_changed() {
    let server = RedisServer::start();
    let store = store(&server, &fresh_prefix());
    let session = Session::new();
    let empty = beat(&store, "n1", session).await.unwrap();
    let revision = store.put(app(shop()), Expect::Any).await.unwrap();
    let put = beat(&store, "n1", session).await.unwrap();
    assert_eq!((put.revision, put.epoch), (revision, empty.epoch));
    assert_eq!(put.quarantines, empty.quarantines);
    let quarantine = crate::model::Quarantine { since: 1.0, why: "a spike".to_owned() };
    store.quarantine(shop(), quarantine).await.unwrap();
    let held = beat(&store, "n1", session).await.unwrap();
    assert_ne!(held.quarantines, put.quarantines);
    store.delete(shop(), Expect::Any).await.unwrap();
    let gone = beat(&store, "n1", session).await.unwrap();
    assert!(gone.quarantines != held.quarantines && gone.revision > revision);
}

#[tokio::test]
async fn after_the_server_was_emptied_the_first_beat_shows_another_epoch() {
    let server = RedisServer::start();
    let store = store(&server, "p:");
    let session = Session::new();
    let before = beat(&store, "n1", session).await.unwrap();
    server.cli(&["FLUSHALL"]);
    let after = beat(&store, "n1", session).await.unwrap();
    assert_eq!((after.lease, names(&after)), (Lease::Made, vec!["n1"]));
    assert_ne!(after.epoch, before.epoch);
    assert_ne!(after.members_version, before.members_version);
}

#[tokio::test]
async fn decisions_of_operators_reach_every_node_with_its_next_beat_and_only_then() {
    let (server, prefix) = (RedisServer::start(), fresh_prefix());
    let store = store(&server, &prefix);
    let members = store.members();
    put(&store, app(shop())).await;
    let first = beat(&store, "n1", Session::new()).await.unwrap();
    assert_eq!(first.pins, []);
    let node: NodeName = "n2".parse().unwrap();
    let lane = Pin::Lane { app: shop(), lane: 3, node: node.clone() };
    let cordon = Pin::Cordoned(node);
    for pin in [&lane, &cordon] {
        assert_eq!(members.pin(pin.clone()).await.unwrap(), Pinned::Changed);
        assert_eq!(members.pin(pin.clone()).await.unwrap(), Pinned::Same);
    }
    let session = Session::new();
    let heard = beat(&store, "n3", session).await.unwrap();
    assert!(heard.pins.len() == 2 && [lane.clone(), cordon.clone()].iter().all(|pin| heard.pins.contains(pin)));
    let known = Beat { known: heard.members_version, ..of("n3", session) };
    assert_eq!(members.beat(known.clone()).await.unwrap().pins, [], "nothing has changed");
    assert!(members.unpin(lane.clone()).await.unwrap() && !members.unpin(lane).await.unwrap());
    assert_eq!(members.beat(known).await.unwrap().pins, [cordon]);
}

#[tokio::test]
async fn a_store_takes_no_more_decisions_than_nodes_can_read() {
    let (server, prefix) = (RedisServer::start(), fresh_prefix());
    let store = store(&server, &prefix);
    let members = store.members();
    put(&store, app(shop())).await;
    let pin = |lane| Pin::Lane { app: shop(), lane, node: "n1".parse().unwrap() };
    members.pin(pin(0)).await.unwrap();
    let fill = format!("for at = 1, {} do redis.call('HSET', KEYS[1], 'filled:' .. at, '1') end", PINS_MAX - 1);
    server.cli(&["EVAL", &fill, "1", &format!("{prefix}pins")]);
    assert_eq!(members.pin(pin(1)).await.unwrap(), Pinned::Full);
    assert_eq!(members.pin(pin(0)).await.unwrap(), Pinned::Same);
    assert!(members.unpin(pin(0)).await.unwrap());
    assert_eq!(members.pin(pin(1)).await.unwrap(), Pinned::Changed);
}

#[tokio::test]
async fn the_pins_of_a_removed_app_go_with_it_and_those_made_after_it_is_back_stay() {
    let (server, prefix) = (RedisServer::start(), fresh_prefix());
    let store = store(&server, &prefix);
    let members = store.members();
    let node: NodeName = "n1".parse().unwrap();
    let pin = |app: &AppKey, lane| Pin::Lane { app: app.clone(), lane, node: node.clone() };
    let other = key(&format!("{}.more", shop().id.as_str()), shop().environment);
    for app in [shop(), other.clone()] {
        assert_eq!(members.pin(pin(&app, 0)).await.unwrap(), Pinned::NoApp);
    }
    for one in [shop(), other.clone()] {
        put(&store, app(one)).await;
    }
    for pin in [pin(&shop(), 0), pin(&shop(), 63), pin(&other, 0), Pin::Cordoned(node.clone())] {
        assert_eq!(members.pin(pin).await.unwrap(), Pinned::Changed);
    }
    let session = Session::new();
    let heard = beat(&store, "n1", session).await.unwrap();
    assert_eq!(heard.pins.len(), 4);
    let known = Beat { known: heard.members_version, ..of("n1", session) };
    store.delete(shop(), Expect::Any).await.unwrap();
    put(&store, app(shop())).await;
    assert_eq!(members.pin(pin(&shop(), 1)).await.unwrap(), Pinned::Changed);
    let left = members.beat(known).await.unwrap().pins;
    let expected = [pin(&shop(), 1), pin(&other, 0), Pin::Cordoned(node.clone())];
    assert!(left.len() == 3 && expected.iter().all(|pin| left.contains(pin)), "{left:?}");
    // An app of the configuration goes by its entry.
    put(&store, AppRecord { entry: Some("made".to_owned()), ..app(other.clone()) }).await;
    assert!(store.delete_entry(other).await.unwrap());
    assert_eq!(beat(&store, "n2", Session::new()).await.unwrap().pins.len(), 2);
}
