//! The hash ring of a cluster: the node that owns a lane. Pure.
//!
//! The same nodes with the same weights give the same ring on every node, in every order and after every restart. A node
//! that leaves gives its lanes away and moves no others; one that joins takes its share and moves no others.
//!
//! A node has 256 places on the ring for each unit of its weight: the first numbers of SplitMix64, seeded with the FNV-1a
//! hash of its name. A lane belongs to the node of the first place from its own on, which is the first number of
//! SplitMix64 seeded with the FNV-1a hash of `app_id/environment/lane`.

use crate::hash::{Fnv, SplitMix64, fnv_1a, splitmix64};
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
pub struct Ring(consistent_hash_ring::Ring<Place, BuildHasherDefault<Mixer>>);

impl Ring {
    /// The ring of these nodes: index, name and weight, which is taken as 1 to [`WEIGHT_MAX`]. The names differ.
    pub fn of<'a>(nodes: impl IntoIterator<Item = (u16, &'a NodeName, u8)>) -> Self {
        let mut places: Vec<Place> =
            nodes.into_iter().flat_map(|(index, name, weight)| places(index, name, weight)).collect();
        // The crate keeps a sorted list, and what comes in its order needs no moving. It is given each place as a node of
        // its own, since it would insert the places of a node in any order.
        places.sort_unstable();
        let weighted = places.into_iter().map(|place| (place, 1));
        Self(RingBuilder::new(BuildHasherDefault::default()).weighted_nodes_iter(weighted).build())
    }

    /// The index of the node that owns a lane; `None` if the ring has no node.
    pub fn owner(&self, app: &AppKey, lane: u16) -> Option<u16> {
        self.0.try_get(lane_hash(app, lane)).map(|place| place.index)
    }
}

fn places(index: u16, name: &NodeName, weight: u8) -> impl Iterator<Item = Place> {
    let count = PLACES_PER_WEIGHT * usize::from(weight.clamp(1, WEIGHT_MAX));
    SplitMix64::seeded(fnv_1a(name.as_str().as_bytes())).take(count).map(move |position| Place { position, index })
}

/// The hash of a lane: FNV-1a of `app_id/environment/lane`.
fn lane_hash(app: &AppKey, lane: u16) -> u64 {
    let app = Fnv::new().and(app.id.as_str().as_bytes()).and(b"/").and(app.environment.as_str().as_bytes());
    app.and(b"/").and(itoa::Buffer::new().format(lane).as_bytes()).hash()
}

/// A place on the ring, and the node that it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    position: u64,
    index: u16,
}

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.position.to_le_bytes());
    }
}

/// Takes the position of a place as it is, and mixes the hash of a lane.
#[derive(Debug, Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, position: &[u8]) {
        self.0 = position.first_chunk().map_or(0, |position| u64::from_le_bytes(*position));
    }

    fn write_u64(&mut self, lane_hash: u64) {
        self.0 = splitmix64(lane_hash);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;
