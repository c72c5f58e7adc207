//! Keeps notifications to one token in order if an app has several connections. Pure.
//!
//! Tokens fall into buckets. While a notification of a bucket is in flight on a connection that accepts work, or is
//! held for it, that connection also gets the bucket's other notifications, in order. A bucket without any goes to any
//! connection with room. A connection that is leaving owns no bucket: its notifications are written already, and so
//! precede later ones. With one connection no routes are needed or stored.

use super::throttle::fingerprint;
use crate::delivery::job::ItemRef;
use std::collections::VecDeque;

/// The number of buckets: about ten times the notifications in flight on several connections, so that few tokens share
/// a bucket.
const BUCKETS: usize = 1 << BUCKET_BITS;
const BUCKET_BITS: u32 = 13;

/// The id of a connection of the lane; never reused.
pub type LinkId = u32;

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// The owner: the connection that got the last item.
    link: LinkId,
    /// The number of items in flight or held.
    count: u32,
}

/// The items held for one connection.
#[derive(Debug)]
struct HeldItems {
    link: LinkId,
    item_refs: VecDeque<ItemRef>,
}

/// The assignment of token buckets to connections.
#[derive(Debug, Default)]
pub struct Routes {
    /// Empty while at most one connection accepts work.
    buckets: Vec<Bucket>,
    /// The connections that accept work, in the order in which they are filled.
    links: Vec<HeldItems>,
    moved: bool,
}

/// The bucket of a token.
pub fn bucket(token: &[u8]) -> u16 {
    (fingerprint(token) >> (u64::BITS - BUCKET_BITS)) as u16
}

impl Routes {
    /// Returns true if more than one connection accepts work.
    pub fn is_active(&self) -> bool {
        !self.buckets.is_empty()
    }

    /// Returns true if these are the connections that accept work.
    pub fn knows(&self, taking: impl Iterator<Item = LinkId> + Clone) -> bool {
        let needs_none = taking.clone().nth(1).is_none() && !self.is_active();
        needs_none || taking.eq(self.links.iter().map(|held| held.link))
    }

    /// Sets the connections that accept work; `in_flight` returns the connection of each item in flight, if owners are
    /// needed. Returns the items held for other connections, oldest first.
    pub fn set<I>(&mut self, taking: &[LinkId], in_flight: impl FnOnce() -> I) -> Vec<ItemRef>
    where
        I: Iterator<Item = (LinkId, u16)>,
    {
        let mut before = std::mem::take(&mut self.links);
        if taking.len() >= 2 {
            self.links =
                taking.iter().map(|&link| HeldItems { link, item_refs: items_held_for(&mut before, link) }).collect();
        }
        let back: Vec<ItemRef> = before.into_iter().flat_map(|held| held.item_refs).collect();
        back.iter().for_each(|item_ref| self.leave(item_ref.bucket));
        match (taking.len() >= 2, self.is_active()) {
            (true, false) => {
                self.buckets = vec![Bucket::default(); BUCKETS];
                in_flight().for_each(|(link, bucket)| self.enter(bucket, link));
            }
            (false, true) => self.buckets = Vec::new(),
            _ => {}
        }
        back
    }

    /// The connection that must get this bucket's next item, if it is another than `link`.
    pub fn owner(&self, bucket: u16, link: LinkId) -> Option<LinkId> {
        let Bucket { link: owner, count } = *self.buckets.get(usize::from(bucket))?;
        let elsewhere = count > 0 && owner != link && self.links.iter().any(|held| held.link == owner);
        elsewhere.then_some(owner)
    }

    /// Records that an item of this bucket goes to `link`.
    pub fn enter(&mut self, bucket: u16, link: LinkId) {
        if let Some(entry) = self.buckets.get_mut(usize::from(bucket)) {
            (entry.link, entry.count) = (link, entry.count + 1);
        }
    }

    /// Records that an item of this bucket has ended, or may go to any connection again.
    pub fn leave(&mut self, bucket: u16) {
        if let Some(entry) = self.buckets.get_mut(usize::from(bucket)) {
            entry.count = entry.count.saturating_sub(1);
        }
    }

    /// Holds an item for `link`.
    pub fn hold(&mut self, link: LinkId, item_ref: ItemRef) {
        if let Some(held) = self.links.iter_mut().find(|held| held.link == link) {
            held.item_refs.push_back(item_ref);
            self.enter(item_ref.bucket, link);
            self.moved = true;
        }
    }

    /// The item that `link` must send first.
    pub fn first(&self, link: LinkId) -> Option<ItemRef> {
        self.links.iter().find(|held| held.link == link)?.item_refs.front().copied()
    }

    /// Removes the item of [`Self::first`], which still counts for its bucket.
    pub fn take_first(&mut self, link: LinkId) {
        if let Some(held) = self.links.iter_mut().find(|held| held.link == link) {
            held.item_refs.pop_front();
        }
    }

    /// Removes and returns the held items that `which` selects.
    pub fn withdraw(&mut self, which: impl Fn(&ItemRef) -> bool) -> Vec<ItemRef> {
        let mut out = Vec::new();
        for held in &mut self.links {
            held.item_refs.retain(|item_ref| {
                let chosen = which(item_ref);
                out.extend(chosen.then_some(*item_ref));
                !chosen
            });
        }
        out.iter().for_each(|item_ref| self.leave(item_ref.bucket));
        out
    }

    /// Returns true if an item was held since the last call: a connection served before may have room for it.
    pub fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }
}

fn items_held_for(before: &mut [HeldItems], link: LinkId) -> VecDeque<ItemRef> {
    let held = before.iter_mut().find(|held| held.link == link);
    held.map(|held| std::mem::take(&mut held.item_refs)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item_ref(item: u32, bucket: u16) -> ItemRef {
        ItemRef { bucket, ..ItemRef::fresh(0, item) }
    }

    #[test]
    fn a_bucket_stays_with_its_connection_until_all_its_items_have_ended() {
        let mut routes = Routes::default();
        assert!(routes.set(&[1, 2], || [(1, 7)].into_iter()).is_empty());
        assert_eq!((routes.owner(7, 1), routes.owner(7, 2), routes.owner(8, 2)), (None, Some(1), None));
        routes.hold(1, item_ref(0, 7));
        routes.leave(7);
        assert_eq!(routes.owner(7, 2), Some(1), "one is held still");
        assert_eq!(routes.first(1), Some(item_ref(0, 7)));
        routes.take_first(1);
        routes.leave(7);
        assert_eq!(routes.owner(7, 2), None);
    }

    #[test]
    fn items_held_for_a_leaving_connection_are_returned_in_order() {
        let mut routes = Routes::default();
        routes.set(&[1, 2, 3], || [(1, 7), (2, 8)].into_iter());
        routes.hold(1, item_ref(0, 7));
        routes.hold(2, item_ref(1, 8));
        routes.hold(1, item_ref(2, 7));
        assert_eq!(routes.set(&[2, 3], std::iter::empty), [item_ref(0, 7), item_ref(2, 7)]);
        assert_eq!(routes.owner(7, 2), None, "who leaves owns nothing");
        assert_eq!(routes.set(&[3], std::iter::empty), [item_ref(1, 8)]);
        assert!(!routes.is_active());
    }

    #[test]
    fn one_connection_needs_no_routes() {
        let mut routes = Routes::default();
        assert!(routes.knows([].into_iter()) && routes.knows([4].into_iter()) && !routes.knows([4, 5].into_iter()));
        routes.set(&[4, 5], std::iter::empty);
        assert!(routes.knows([4, 5].into_iter()) && !routes.knows([5].into_iter()));
        routes.enter(9, 4);
        assert_eq!(routes.owner(9, 5), Some(4));
    }

    #[test]
    fn a_withdrawn_item_does_not_count_any_more() {
        let mut routes = Routes::default();
        routes.set(&[1, 2], std::iter::empty);
        routes.hold(1, item_ref(0, 7));
        routes.hold(1, item_ref(1, 9));
        assert_eq!(routes.withdraw(|item_ref| item_ref.item == 0), [item_ref(0, 7)]);
        assert_eq!((routes.owner(7, 2), routes.owner(9, 2)), (None, Some(1)));
    }
}
