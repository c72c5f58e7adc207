//! The hash ring of a cluster: the node that owns a lane. Pure.
//!
//! The same nodes with the same weights give the same ring on every node, in every order and after every restart. A node
//! that leaves gives its lanes away and moves no others; one that joins takes its share and moves no others.

use crate::hash::{Fnv, fnv_1a, splitmix64};
use crate::model::{AppKey, NodeName};
use consistent_hash_ring::RingBuilder;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// The number of this way to place lanes. Nodes with different numbers place them differently.
pub const RING_FORMAT: u32 = 1;
/// Places on the ring for each unit of weight. With fewer the shares differ more.
const PLACES_PER_WEIGHT: usize = 256;
/// Largest weight of a node.
pub const WEIGHT_MAX: u8 = 16;

/// Nodes on a ring, each named by its index in the caller's list.
#[derive(Clone)]
pub struct Ring(consistent_hash_ring::Ring<Node, BuildHasherDefault<Mixer>>);

impl Ring {
    /// The ring of these nodes: index, name and weight, which is taken as 1 to [`WEIGHT_MAX`]. The names differ.
    pub fn of<'a>(nodes: impl IntoIterator<Item = (u16, &'a NodeName, u8)>) -> Self {
        let weighted = nodes.into_iter().map(|(index, name, weight)| {
            let node = Node { index, hash: fnv_1a(name.as_str().as_bytes()) };
            (node, PLACES_PER_WEIGHT * usize::from(weight.clamp(1, WEIGHT_MAX)))
        });
        Self(RingBuilder::new(BuildHasherDefault::default()).weighted_nodes_iter(weighted).build())
    }

    /// The index of the node that owns a lane; `None` if the ring has no node.
    pub fn owner(&self, app: &AppKey, lane: u16) -> Option<u16> {
        self.0.try_get(lane_hash(app, lane)).map(|node| node.index)
    }
}

/// The hash of a lane: FNV-1a of `app_id/environment/lane`.
fn lane_hash(app: &AppKey, lane: u16) -> u64 {
    let app = Fnv::new().and(app.id.as_str().as_bytes()).and(b"/").and(app.environment.as_str().as_bytes());
    app.and(b"/").and(itoa::Buffer::new().format(lane).as_bytes()).hash()
}

/// A node on the ring. Its places follow from its name alone.
#[derive(Debug, Clone, Copy)]
struct Node {
    index: u16,
    hash: u64,
}

impl Hash for Node {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for Node {}

/// SplitMix64 over numbers that are hashes already. The ring hashes hashes again for a node's further places, so that
/// this must be a bijection: else places of different nodes would meet.
#[derive(Debug, Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn write_u64(&mut self, number: u64) {
        self.0 = splitmix64(self.0 ^ number);
    }

    fn write(&mut self, bytes: &[u8]) {
        self.write_u64(fnv_1a(bytes));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;
