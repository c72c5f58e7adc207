//! The owners of lanes while members join, leave, and cannot be reached.

mod sixteen;

use super::*;
use crate::model::{AppId, Environment};
use proptest::prelude::*;

fn member(name: &str) -> Member {
    Member {
        node: name.parse().unwrap(),
        session: NodeSession::from_bits(7),
        address: format!("{name}:7070"),
        weight: 1,
        state: MemberState::Active,
    }
}

fn node(number: usize) -> NodeName {
    format!("n{number}").parse().unwrap()
}

fn members(count: usize) -> Vec<Member> {
    (0..count).map(|number| member(&format!("n{number}"))).collect()
}

fn app(number: u16) -> AppKey {
    AppKey::new(AppId::new(&format!("app{number}")).unwrap(), Environment::Production)
}

fn view(members: Vec<Member>) -> Arc<View> {
    Arc::new(View::of(members, Pins::default()))
}

/// The owners of many lanes.
fn owners(view: &View) -> Vec<Option<String>> {
    (0..300).map(|number| view.owner(&app(number), 0).map(|member| member.node.to_string())).collect()
}

fn targets(route: &Route) -> Vec<Option<String>> {
    (0..300).map(|number| route.target(&app(number), 0).map(|member| member.node.to_string())).collect()
}

#[test]
fn members_that_are_active_or_leaving_own_lanes_and_no_others() {
    for state in MemberState::ALL {
        let mut members = members(3);
        members[1].state = state;
        let view = view(members);
        let owns = owners(&view).contains(&Some("n1".to_owned()));
        assert_eq!(owns, matches!(state, MemberState::Active | MemberState::Leaving), "{state:?}");
        assert_eq!(view.ring_members().count(), if owns { 3 } else { 2 });
        assert_eq!(view.member(&node(1)).map(|member| member.state), Some(state), "it is a member all the same");
        assert_eq!(MemberState::parse(state.as_str()), Some(state));
    }
    assert_eq!(view(Vec::new()).owner(&app(1), 0), None);
    assert_eq!(MemberState::parse("Active"), None);
}

#[test]
fn of_two_records_of_one_node_the_later_one_counts() {
    let mut again = member("n1");
    again.session = NodeSession::from_bits(8);
    let view = View::of([member("n1"), member("n0"), again.clone()], Pins::default());
    assert_eq!(view.members(), [member("n0"), again]);
}

#[test]
fn a_cordoned_node_owns_only_what_is_pinned_to_it() {
    let mut pins = Pins { cordoned: [node(1)].into(), ..Pins::default() };
    let view = View::of(members(3), pins.clone());
    assert!(!owners(&view).contains(&Some("n1".to_owned())));
    pins.lanes.entry(app(5)).or_default().insert(2, node(1));
    let view = View::of(members(3), pins);
    assert_eq!(view.owner(&app(5), 2).map(|member| &member.node), Some(&node(1)));
    assert!(!owners(&view).contains(&Some("n1".to_owned())), "other lanes of that app included");
}

#[test]
fn a_pin_to_a_node_that_is_not_there_leaves_the_lane_to_the_ring() {
    let free = view(members(3));
    let owner = |view: &View| view.owner(&app(5), 2).map(|member| member.node.clone());
    for (pinned, state) in [("n9", MemberState::Active), ("n1", MemberState::Gone), ("n1", MemberState::Joining)] {
        let mut pins = Pins::default();
        pins.lanes.entry(app(5)).or_default().insert(2, pinned.parse().unwrap());
        let mut all = members(3);
        all[1].state = state;
        let expected = owner(&view(all.clone()));
        assert_eq!(owner(&View::of(all, pins)), expected, "{pinned} {state:?}");
    }
    assert!(owner(&free).is_some());
}

#[test]
fn the_lanes_of_an_unreachable_owner_go_where_they_would_go_if_it_were_gone() {
    let all = view(members(4));
    for missing in 0..4 {
        let route = Route::of(&all, [node(missing)]);
        let without = view(members(4).into_iter().filter(|member| member.node != node(missing)).collect());
        assert_eq!(targets(&route), owners(&without));
        for number in 0..300 {
            let owner = all.owner(&app(number), 0).unwrap();
            assert_eq!(route.is_substituted(&app(number), 0), owner.node == node(missing));
            if owner.node != node(missing) {
                assert_eq!(route.target(&app(number), 0), Some(owner), "lanes of the others stay");
            }
        }
    }
}

#[test]
fn a_route_without_anybody_has_no_target_and_one_without_strangers_is_the_view() {
    let all = view(members(3));
    assert_eq!(targets(&Route::of(&all, [])), owners(&all));
    assert_eq!(targets(&Route::of(&all, [node(8)])), owners(&all));
    assert!(targets(&Route::of(&all, (0..3).map(node))).iter().all(Option::is_none));
}

#[test]
fn a_pinned_lane_whose_node_cannot_be_reached_goes_to_a_substitute() {
    let mut pins = Pins::default();
    let owner = view(members(3)).owner(&app(5), 2).unwrap().node.clone();
    let other = (0..3).map(node).find(|node| *node != owner).unwrap();
    pins.lanes.entry(app(5)).or_default().insert(2, other.clone());
    let all = Arc::new(View::of(members(3), pins));
    let target = |route: Route| route.target(&app(5), 2).map(|member| member.node.clone());
    assert_eq!(target(Route::of(&all, [])), Some(other.clone()));
    assert!(Route::of(&all, [other.clone()]).is_substituted(&app(5), 2));
    assert_eq!(target(Route::of(&all, [other])), Some(owner));
}

#[test]
fn the_hash_tells_views_apart_that_place_lanes_differently_and_no_others() {
    let plain = view(members(3));
    let hash = |change: fn(&mut Vec<Member>, &mut Pins)| {
        let (mut members, mut pins) = (members(3), Pins::default());
        change(&mut members, &mut pins);
        View::of(members, pins).hash()
    };
    let same: [fn(&mut Vec<Member>, &mut Pins); 4] = [
        |members, _| members.reverse(),
        |members, _| members[0].session = NodeSession::from_bits(9),
        |members, _| members[0].state = MemberState::Leaving,
        |members, _| members.push(Member { state: MemberState::Joining, ..member("n7") }),
    ];
    let other: [fn(&mut Vec<Member>, &mut Pins); 6] = [
        |members, _| members.truncate(2),
        |members, _| members[0].weight = 2,
        |members, _| members[0].state = MemberState::Gone,
        |members, _| members.push(member("n7")),
        |_, pins| pins.cordoned.extend([node(1)]),
        |_, pins| drop(pins.lanes.entry(app(1)).or_default().insert(0, node(1))),
    ];
    assert!(same.into_iter().all(|change| hash(change) == plain.hash()));
    let mut hashes: Vec<u64> = other.into_iter().map(hash).chain([plain.hash()]).collect();
    hashes.sort_unstable();
    hashes.dedup();
    // A node that is cordoned, gone or not there at all: only the first two of these cases leave different nodes.
    assert_eq!(hashes.len(), 7);
}

/// Members with random weights and states.
fn table() -> impl Strategy<Value = Vec<Member>> {
    let one = (1_u8..4, prop::sample::select(&MemberState::ALL[..]));
    prop::collection::vec(one, 1..16).prop_map(|all| {
        let numbered = all.into_iter().enumerate();
        numbered.map(|(number, (weight, state))| Member { weight, state, ..member(&format!("n{number}")) }).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn nodes_with_the_same_table_have_the_same_ring(table in table(), seed: u64) {
        let mut shuffled = table.clone();
        shuffled.sort_by_key(|member| crate::hash::splitmix64(seed ^ crate::hash::fnv_1a(member.node.as_str().as_bytes())));
        let (one, other) = (view(table), view(shuffled));
        prop_assert_eq!(one.hash(), other.hash());
        prop_assert_eq!(owners(&one), owners(&other));
    }

    #[test]
    fn all_that_miss_the_same_nodes_choose_one_substitute_which_will_be_the_owner(
        table in table(),
        missing in prop::collection::btree_set(0_usize..16, 0..5),
    ) {
        let missing: BTreeSet<NodeName> = missing.into_iter().map(node).collect();
        // One knows already that they are gone, another still misses them.
        let gone = table.iter().filter(|member| !missing.contains(&member.node)).cloned().collect();
        let route = Route::of(&view(table), missing.clone());
        prop_assert_eq!(targets(&route), owners(&view(gone)));
        prop_assert_eq!(route.unreachable(), &missing);
    }

    #[test]
    fn a_change_moves_no_lane_between_nodes_that_it_does_not_concern(table in table(), changed: prop::sample::Index, weight in 1_u8..4) {
        let before = view(table.clone());
        let mut table = table;
        let at = changed.index(table.len());
        (table[at].weight, table[at].state) = (weight, MemberState::Active);
        let name = Some(table[at].node.to_string());
        let after = view(table);
        for (before, after) in owners(&before).into_iter().zip(owners(&after)) {
            prop_assert!(before == after || before == name || after == name, "{:?} -> {:?}", before, after);
        }
    }
}
