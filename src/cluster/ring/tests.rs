//! Placements that no release may change, and the ring against a naive one.

use super::*;
use crate::model::{AppId, Environment};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// The owners of 1,000 lanes, ten lines for each set of nodes, each digit an index. Made by a program in another language.
const GOLDEN: &str = include_str!("golden.txt");

fn names(names: &[(&str, u8)]) -> Vec<(NodeName, u8)> {
    names.iter().map(|(name, weight)| (name.parse().unwrap(), *weight)).collect()
}

fn ring(nodes: &[(NodeName, u8)]) -> Ring {
    Ring::of((0..).zip(nodes).map(|(index, (name, weight))| (index, name, *weight)))
}

fn numbered(count: usize) -> Vec<(NodeName, u8)> {
    (0..count).map(|number| (format!("node-{number}").parse().unwrap(), 1)).collect()
}

/// Four lanes of each of many apps.
fn lane(number: u16) -> (AppKey, u16) {
    let app = number / 4;
    let environment = if app.is_multiple_of(2) { Environment::Sandbox } else { Environment::Production };
    (AppKey::new(AppId::new(&format!("com.example.app{app}")).unwrap(), environment), number % 4)
}

fn owners(ring: &Ring, lanes: u16) -> Vec<u16> {
    (0..lanes).map(lane).map(|(app, lane)| ring.owner(&app, lane).expect("a node")).collect()
}

/// The ring by its definition: for each unit of weight 256 places that follow from the name, and each lane to the first
/// place from its own on.
fn naive(nodes: &[(NodeName, u8)], (app, lane): &(AppKey, u16)) -> u16 {
    let mut places = BTreeMap::new();
    for (index, (name, weight)) in (0..).zip(nodes) {
        // As in the papers: the state grows by a fixed step, and each number is a mix of it.
        for step in 0..256 * u64::from(*weight) {
            let state = fnv_1a(name.as_str().as_bytes()).wrapping_add(step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            places.insert(splitmix64(state), index);
        }
    }
    let own = splitmix64(fnv_1a(format!("{app}/{lane}").as_bytes()));
    *places.range(own..).chain(places.iter()).next().expect("a node").1
}

#[test]
fn lanes_stay_with_the_nodes_that_every_release_gives_them() {
    let sets = [
        names(&[("n1", 1), ("n2", 1), ("n3", 1)]),
        names(&[("n1", 1), ("n2", 1), ("n3", 1), ("n4", 1), ("n5", 1)]),
        names(&[("eu-1.example.com", 1), ("eu-2.example.com", 2), ("us-1.example.com", 4)]),
    ];
    let lines: Vec<&str> = GOLDEN.lines().collect();
    assert_eq!(lines.len(), 30);
    for (nodes, golden) in sets.iter().zip(lines.chunks(10)) {
        let placed: String = owners(&ring(nodes), 1000).iter().map(u16::to_string).collect();
        assert_eq!(placed, golden.concat(), "{nodes:?}");
    }
}

#[test]
fn an_empty_ring_owns_nothing_and_a_single_node_all() {
    let (app, _) = lane(0);
    assert_eq!(ring(&[]).owner(&app, 0), None);
    assert!(owners(&ring(&numbered(1)), 100).iter().all(|owner| *owner == 0));
}

#[test]
fn the_environment_and_the_lane_are_part_of_what_is_placed() {
    let ring = ring(&numbered(16));
    let app = |environment| AppKey::new(AppId::new("shop").unwrap(), environment);
    let of = |environment| (0..64).map(|lane| ring.owner(&app(environment), lane).unwrap()).collect::<Vec<_>>();
    let (sandbox, production) = (of(Environment::Sandbox), of(Environment::Production));
    assert_ne!(sandbox, production);
    let distinct = |owners: &[u16]| owners.iter().collect::<std::collections::BTreeSet<_>>().len();
    assert!(distinct(&sandbox) > 8 && distinct(&production) > 8, "{sandbox:?} {production:?}");
}

/// The most loaded node has at most a quarter more than the mean, from 100 lanes a node on.
#[test]
fn nodes_of_equal_weight_get_about_equal_shares() {
    for count in [2_u16, 3, 4, 5, 8] {
        let lanes = 1000 * count;
        let mut shares = vec![0_u16; usize::from(count)];
        owners(&ring(&numbered(usize::from(count))), lanes).iter().for_each(|owner| shares[usize::from(*owner)] += 1);
        assert!(shares.iter().all(|share| (750..=1250).contains(share)), "{count} nodes: {shares:?}");
    }
}

#[test]
fn a_node_gets_lanes_in_proportion_to_its_weight() {
    let mut nodes = numbered(3);
    (nodes[0].1, nodes[1].1, nodes[2].1) = (1, 2, 4);
    let mut shares = [0; 3];
    owners(&ring(&nodes), 7000).iter().for_each(|owner| shares[usize::from(*owner)] += 1);
    for (share, expected) in shares.into_iter().zip([1000_i32, 2000, 4000]) {
        assert!((share - expected).abs() < expected / 5, "{shares:?}");
    }
    (nodes[0].1, nodes[2].1) = (0, 255);
    assert!(owners(&ring(&nodes), 1000).contains(&0), "a weight outside 1 to 16 is taken as the nearest of them");
}

#[test]
fn a_node_that_joins_takes_its_share_and_one_that_leaves_gives_only_its_own_away() {
    for count in 1..8 {
        let (fewer, more) = (numbered(count), numbered(count + 1));
        let (before, after) = (owners(&ring(&fewer), 2000), owners(&ring(&more), 2000));
        let moved: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
        assert!(
            moved.iter().all(|(_, after)| usize::from(**after) == count),
            "all go to the new one, and come from it"
        );
        let most = 2000 / (count + 1) + 100;
        assert!(moved.len() <= most, "{count} nodes and one more: {} lanes move, at most {most} may", moved.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_ring_is_the_one_of_its_definition(
        nodes in prop::collection::btree_map("[a-z0-9.-]{1,20}", 1_u8..4, 1..6),
        numbers in prop::collection::vec(0_u16..20_000, 20),
    ) {
        let nodes: Vec<_> = nodes.into_iter().map(|(name, weight)| (name.parse().unwrap(), weight)).collect();
        let ring = ring(&nodes);
        for number in numbers {
            let (app, at) = lane(number);
            prop_assert_eq!(ring.owner(&app, at), Some(naive(&nodes, &(app, at))));
        }
    }
}
