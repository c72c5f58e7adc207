//! 300 apps: which node holds their connections, and which node their requests enter at.

use super::{Balanced, Kind, NAMES};
use crate::support::client::Client;
use crate::support::world::{to, token};
use pyapns::cluster::{Member, MemberState, Pins, View};
use pyapns::model::{AppId, AppKey, Environment, NodeSession};
use std::collections::{BTreeMap, BTreeSet};

const APPS: usize = 300;
/// Rounds after which, of 300 apps that enter at random nodes, hardly one has never missed its owner.
const LEARNING: usize = 6;
const ROUNDS: usize = 4;

fn apps() -> Vec<String> {
    (0..APPS).map(|number| format!("/apps/app-{number}/sandbox")).collect()
}

/// The index of the owner of each app among the first so many nodes.
fn owners(nodes: usize) -> Vec<usize> {
    let member = |name: &&str| Member {
        node: name.parse().expect("a name"),
        session: NodeSession::from_bits(1),
        address: "127.0.0.1:1".to_owned(),
        weight: 1,
        state: MemberState::Active,
    };
    let view = View::of(NAMES[..nodes].iter().map(member), Pins::default());
    let owner = |number: usize| {
        let key = AppKey::new(AppId::new(&format!("app-{number}")).expect("an id"), Environment::Sandbox);
        let owner = view.owner(&key, 0).expect("a member");
        NAMES.iter().position(|name| owner.node.as_str() == *name).expect("one of them")
    };
    (0..APPS).map(owner).collect()
}

/// The number of apps of each node.
fn shares(owners: &[usize]) -> BTreeMap<usize, usize> {
    owners.iter().fold(BTreeMap::new(), |mut shares, owner| {
        *shares.entry(*owner).or_default() += 1;
        shares
    })
}

impl Balanced {
    /// Sends one notification of each app through the balancer, so many times, to tokens that begin with `first`.
    async fn send_all(&self, first: usize, rounds: usize) {
        let mut front = Client::connect(self.balancer.address).await;
        for _ in 0..rounds {
            for (number, app) in apps().iter().enumerate() {
                let body = to(&token(first + number)).to_string();
                let answer = front.post(&format!("{app}/notifications"), body).await;
                assert_eq!((answer.outcomes(), &answer.owner), (vec!["accepted"], &None), "{answer:?}");
            }
        }
    }

    async fn attempts(&self) -> Vec<usize> {
        let mut attempts = Vec::new();
        for node in &self.nodes {
            attempts.push(node.metric("pyapns_attempts_total").await as usize);
        }
        attempts
    }

    /// Notifications that entered at another node than the one that sent them.
    async fn misses(&self) -> usize {
        self.sum("pyapns_forwarded_received_total").await as usize
    }

    /// The only connection to Apple of each app, by the tokens that begin with `first`.
    fn connections(&self, first: usize) -> Vec<u64> {
        let mut by_token: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
        for entry in self.site.simulator.ledger().entries() {
            by_token.entry(entry.token).or_default().insert(entry.connection);
        }
        let only = |number: usize| {
            let connections = &by_token[&token(first + number)];
            assert_eq!(connections.len(), 1, "app-{number} has connections at one node");
            *connections.first().expect("one")
        };
        (0..APPS).map(only).collect()
    }
}

/// Notifications that entered at another node than the one that sent them.
struct Misses {
    /// Of the first rounds, in which each app enters at random nodes until the balancer knows the owner.
    learning: usize,
    /// Of the next rounds.
    known: usize,
    /// Of the rounds after a fourth node has joined, beside the first notification of each app that has moved.
    moved: usize,
}

async fn three_nodes_then_four(kind: Kind) -> Misses {
    let mut balanced = Balanced::start(kind).await;
    balanced.provision(&apps()).await;
    balanced.send_all(0, LEARNING).await;
    let learning = balanced.misses().await;
    balanced.send_all(0, ROUNDS).await;
    let known = balanced.misses().await - learning;
    let (before, three, sent) = (balanced.connections(0), owners(3), LEARNING + ROUNDS);
    for (index, attempts) in balanced.attempts().await.into_iter().enumerate() {
        let owned = three.iter().filter(|owner| **owner == index).count();
        assert_eq!(attempts, owned * sent, "{} sends for the apps that it owns, and for no others", NAMES[index]);
    }
    println!(
        "{kind:?}: {:?} apps a node; misses: {learning} of {} while learning, then {known} of {}",
        shares(&three),
        LEARNING * APPS,
        ROUNDS * APPS
    );

    let fourth = balanced.run(3).await;
    balanced.nodes.push(fourth);
    balanced.wait_joined().await;
    let before_moves = balanced.misses().await;
    balanced.send_all(1_000, ROUNDS).await;
    let misses = balanced.misses().await - before_moves;
    let (after, four) = (balanced.connections(1_000), owners(4));
    let moved: Vec<usize> = (0..APPS).filter(|app| after[*app] != before[*app]).collect();
    println!("{kind:?}: {:?} apps a node with the fourth; {} have moved, misses: {misses}", shares(&four), moved.len());
    assert!(moved.len() <= APPS * 30 / 100, "{}", moved.len());
    let expected: Vec<usize> = (0..APPS).filter(|app| four[*app] == 3).collect();
    assert_eq!(moved, expected, "those that the ring gives to the fourth");
    assert_eq!(balanced.attempts().await[3], moved.len() * ROUNDS, "all that move go to the fourth");
    balanced.stop().await;
    Misses { learning, known, moved: misses.saturating_sub(moved.len()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_haproxy_one_node_sends_for_each_app_and_nearly_all_requests_enter_there() {
    let misses = three_nodes_then_four(Kind::Haproxy).await;
    let of = ROUNDS * APPS;
    assert!(misses.learning <= APPS + LEARNING * APPS * 5 / 100, "one for each app: {}", misses.learning);
    assert!(misses.known * 100 <= of * 5, "{} of {of}", misses.known);
    assert!(misses.moved * 100 <= of * 5, "{} of {of}", misses.moved);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_nginx_one_node_sends_for_each_app_wherever_its_requests_enter() {
    let misses = three_nodes_then_four(Kind::Nginx).await;
    assert!(misses.known * 2 > ROUNDS * APPS, "Nginx does not know the owners: {}", misses.known);
}
