//! The cluster as a node knows it, beat by beat, in the time of the tests.

use super::*;
use crate::model::{AppKey, Environment, NodeSession};

/// A store with leases, in the time of the tests.
struct Store {
    epoch: i64,
    version: i64,
    members: BTreeMap<NodeName, (members::Member, u64)>,
    pins: Vec<Pin>,
}

impl Store {
    fn new(epoch: i64) -> Self {
        Self { epoch, version: 0, members: BTreeMap::new(), pins: Vec::new() }
    }

    /// The answer to a beat at this time.
    fn beat(&mut self, beat: Beat, now: u64) -> Heard {
        let Beat { node, session, lease, record, known } = beat;
        let held = self.members.get(&node).filter(|(_, until)| *until > now).map(|(member, _)| member.session);
        let lease_state = match held {
            Some(holder) if holder != session => Lease::Taken,
            Some(_) => Lease::Renewed,
            None => Lease::Made,
        };
        if lease_state != Lease::Taken {
            let member = members::Member { node: node.clone(), session, record };
            let until = now + lease.as_millis() as u64;
            let before = self.members.insert(node, (member.clone(), until));
            self.version += i64::from(before.is_none_or(|(before, _)| before != member));
        }
        let all: Vec<_> = self.members.values().map(|(member, _)| member.clone()).collect();
        let live = self.members.values().filter(|(_, until)| *until > now).map(|(member, _)| member.node.clone());
        let members_version = Version::stored(self.version);
        Heard {
            lease: lease_state,
            time: now as i64,
            epoch: Epoch::stored(self.epoch),
            revision: Revision::stored(1),
            quarantines: Version::NONE,
            members_version,
            live: live.collect(),
            pins: if members_version == known { Vec::new() } else { self.pins.clone() },
            members: (members_version != known).then_some(all),
        }
    }
}

fn tracker(name: &str, session: u128) -> Tracker {
    let (node, session) = (name.parse().unwrap(), NodeSession::from_bits(session));
    Tracker::new(Own { node, session, address: format!("{name}:8090"), weight: 1 })
}

/// Beats once, with the links up.
fn beat(tracker: &mut Tracker, store: &mut Store, now: u64) -> Changes {
    let beat = tracker.beat(now, true);
    let heard = store.beat(beat, now);
    tracker.heard(now, now, heard)
}

/// The members that a node knows, with the first letter of their state.
fn seen(tracker: &Tracker) -> String {
    let each = tracker.view().members().iter().map(|member| format!("{}:{}", member.node, &member.state.as_str()[..1]));
    each.collect::<Vec<_>>().join(" ")
}

/// Two nodes that are active in one store at the time 0.
fn two() -> (Store, Tracker, Tracker) {
    let (mut store, mut one, mut other) = (Store::new(1), tracker("a", 1), tracker("b", 2));
    for _ in 0..3 {
        beat(&mut one, &mut store, 0);
        beat(&mut other, &mut store, 0);
    }
    assert_eq!((seen(&one), seen(&other)), ("a:a b:a".into(), "a:a b:a".into()));
    (store, one, other)
}

#[test]
fn a_node_joins_with_its_first_beat_and_is_active_once_it_is_ready() {
    let (mut store, mut node) = (Store::new(1), tracker("a", 1));
    assert!(!node.is_joining());
    let first = beat(&mut node, &mut store, 0);
    assert!(first.registry && first.quarantines && first.view.is_some());
    assert_eq!((seen(&node), node.is_joining()), ("a:j".into(), true));
    let heard = store.beat(node.beat(7_999, false), 7_999);
    node.heard(7_999, 7_999, heard);
    assert_eq!(seen(&node), "a:j", "it is not ready");
    let heard = store.beat(node.beat(8_000, false), 8_000);
    let changes = node.heard(8_000, 8_005, heard);
    assert_eq!((seen(&node), node.is_joining()), ("a:a".into(), false), "it waits no longer than 8 s");
    assert!(!changes.registry && !changes.quarantines);
    assert_eq!(node.valid_until(), 13_000, "from the start of the beat");
    assert!(beat(&mut node, &mut store, 8_500).view.is_none(), "nothing changed");
}

#[test]
fn decisions_of_operators_come_with_a_beat_and_stay_until_they_are_taken_back() {
    let (mut store, mut node, _) = two();
    let app = AppKey::new("shop".parse().unwrap(), Environment::Sandbox);
    let owner = |node: &Tracker, lane| node.view().owner(&app, lane).unwrap().node.to_string();
    let lane = (0..).find(|lane| owner(&node, *lane) == "b").unwrap();
    let hash = node.view().hash();
    let mut decide = |node: &mut Tracker, pins: &[Pin], now| {
        (store.pins, store.version) = (pins.to_vec(), store.version + 1);
        assert!(beat(node, &mut store, now).view.is_some());
        assert!(beat(node, &mut store, now).view.is_none(), "they are known");
    };
    let to_a = Pin::Lane { app: app.clone(), lane, node: "a".parse().unwrap() };
    decide(&mut node, std::slice::from_ref(&to_a), 500);
    assert!(owner(&node, lane) == "a" && node.view().hash() != hash);
    decide(&mut node, &[to_a, Pin::Cordoned("a".parse().unwrap())], 1_000);
    assert_eq!((0..64).filter(|lane| owner(&node, *lane) == "a").collect::<Vec<_>>(), [lane]);
    decide(&mut node, &[], 1_500);
    assert_eq!((owner(&node, lane).as_str(), node.view().hash()), ("b", hash));
}

#[test]
fn a_member_is_out_of_the_view_once_its_lease_has_ended() {
    let (mut store, mut node, _) = two();
    for now in (500..6_000).step_by(500) {
        assert!(beat(&mut node, &mut store, now).view.is_none(), "at {now}");
    }
    assert!(beat(&mut node, &mut store, 6_000).view.is_some());
    assert_eq!(seen(&node), "a:a");
}

#[test]
fn a_member_that_leaves_is_seen_to_do_so() {
    let (mut store, mut node, mut other) = two();
    other.leave();
    beat(&mut other, &mut store, 100);
    beat(&mut node, &mut store, 500);
    assert_eq!(seen(&node), "a:a b:l");
}

#[test]
fn after_an_outage_the_view_stands_until_all_nodes_had_the_time_to_beat_again() {
    let (mut store, mut node, mut other) = two();
    node.failed();
    other.failed();
    assert_eq!(seen(&node), "a:a b:a");
    // All leases have ended meanwhile.
    assert!(beat(&mut node, &mut store, 60_000).view.is_none());
    assert_eq!(seen(&node), "a:a b:a");
    assert!(beat(&mut other, &mut store, 61_000).view.is_none());
    for now in (60_500..72_000).step_by(500) {
        assert!(beat(&mut node, &mut store, now).view.is_none(), "at {now}");
        assert!(beat(&mut other, &mut store, now).view.is_none(), "at {now}");
    }
}

#[test]
fn a_member_that_does_not_come_back_after_an_outage_is_dropped_six_seconds_after_it() {
    let (mut store, mut node, _) = two();
    node.failed();
    for now in (60_000..66_000).step_by(500) {
        assert!(beat(&mut node, &mut store, now).view.is_none(), "at {now}");
    }
    // Another failure begins the time again.
    node.failed();
    for now in (66_500..72_500).step_by(500) {
        assert!(beat(&mut node, &mut store, now).view.is_none(), "at {now}");
    }
    assert!(beat(&mut node, &mut store, 72_500).view.is_some());
    assert_eq!(seen(&node), "a:a");
}

#[test]
fn an_emptied_store_moves_no_lane_though_its_numbers_are_the_known_ones() {
    let (_, mut node, mut other) = two();
    let mut emptied = Store::new(2);
    // The version that the nodes know, by chance.
    let known = node.beat(1_000, true).known;
    emptied.version = known.number() - 1;
    let changes = beat(&mut node, &mut emptied, 1_000);
    assert_eq!(changes.epoch, Some(Epoch::stored(2)));
    assert!(changes.is_incomplete && changes.registry && changes.view.is_none());
    assert!(!beat(&mut node, &mut emptied, 1_000).is_incomplete);
    beat(&mut other, &mut emptied, 1_400);
    beat(&mut other, &mut emptied, 1_400);
    for now in (1_500..12_000).step_by(500) {
        assert!(beat(&mut node, &mut emptied, now).view.is_none(), "at {now}");
        assert!(beat(&mut other, &mut emptied, now).view.is_none(), "at {now}");
    }
    assert_eq!(seen(&node), "a:a b:a");
}

#[test]
fn a_node_whose_name_is_taken_knows_nobody_until_the_lease_has_ended() {
    let (mut store, mut node, _) = two();
    let mut second = tracker("a", 3);
    let changes = beat(&mut second, &mut store, 100);
    assert!(second.is_name_taken() && !second.is_joining() && changes.registry);
    assert_eq!((seen(&second), second.valid_until()), (String::new(), 0));
    // The first one stops to beat.
    beat(&mut second, &mut store, 5_999);
    assert!(second.is_name_taken());
    beat(&mut second, &mut store, 6_000);
    assert!(!second.is_name_taken() && second.is_joining());
    beat(&mut second, &mut store, 6_100);
    assert_eq!(seen(&second), "a:a");
    // The first one wakes up, and finds its name taken.
    node.stood_still();
    let changes = beat(&mut node, &mut store, 6_200);
    assert!(changes.view.is_some_and(|view| view.members().is_empty()));
    assert!(node.is_name_taken() && node.valid_until() == 0);
}

#[test]
fn a_node_that_stood_still_takes_over_what_its_next_beat_says() {
    let (mut store, mut node, mut other) = two();
    for now in (500..8_000).step_by(500) {
        beat(&mut other, &mut store, now);
    }
    assert_eq!(seen(&other), "b:a");
    let mut third = tracker("c", 3);
    (0..3).for_each(|_| drop(beat(&mut third, &mut store, 8_000)));
    node.stood_still();
    assert!(beat(&mut node, &mut store, 8_100).view.is_some());
    assert_eq!(seen(&node), "a:a b:a c:a");
}

#[test]
fn a_record_that_cannot_be_read_is_left_out_and_reported_once() {
    let (mut store, mut node, _) = two();
    let (member, _) = store.members.get_mut(&"b".parse().unwrap()).unwrap();
    member.record = "{}".to_owned();
    store.version += 1;
    let changes = beat(&mut node, &mut store, 100);
    assert_eq!(changes.left_out, [("b".parse().unwrap(), BadRecord::Unreadable)]);
    assert_eq!(seen(&node), "a:a");
    assert_eq!(beat(&mut node, &mut store, 600).left_out, []);
}
