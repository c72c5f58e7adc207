//! The peers of this node: who of them owns a lane, who takes batches now, and the links to them.

pub mod calls;
pub mod figures;
mod handover;
pub mod shown;

use super::dial;
use super::link::exchange::{self, Exchange};
use super::link::{Inbox, Link, Parts, Sign};
use super::membership::Membership;
use super::metrics::{Metrics, PeerMetrics};
use super::wire::Hello;
use crate::clock::Clock;
use crate::cluster::{Member, MemberState, Pins, Route, View};
use crate::delivery::errand::{Errand, Forwarded};
use crate::delivery::lanes::{Lanes, NotTaken};
use crate::delivery::route::Place;
use crate::delivery::shard;
use crate::drain::Drain;
use crate::model::{AppKey, Batch, NodeName, NodeReason, NodeSession};
use crate::registry::App;
use crate::store::Epoch;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::Instant;

/// Links to each peer. A large batch delays only its own link's; those of one app keep their order.
const LINKS: usize = 2;
/// Peers that an errand is given to at most, before this node sends it.
const ROUTES_MAX: u8 = 3;
/// A node that joins opens its links after this time: every other node has beaten by then, and knows it for a member.
const KNOWN_AFTER: Duration = Duration::from_millis(600);
/// The time after its last batch for which a lane that another node owns keeps its connections: batches of nodes that do
/// not know the new owner yet arrive meanwhile.
const RETIRED_AFTER: Duration = Duration::from_secs(10);

/// A peer and its links.
struct Peer {
    session: NodeSession,
    address: String,
    links: [Inbox; LINKS],
    metrics: PeerMetrics,
}

impl Peer {
    /// Returns `true` if its links lead to this start of this member.
    fn leads_to(&self, member: &Member) -> bool {
        self.session == member.session && self.address == member.address
    }

    /// It takes errands through all of its links. One that fails alone says enough: both lead to the same process.
    fn is_reachable(&self) -> bool {
        self.links.iter().all(Inbox::is_reachable)
    }

    /// The link of an app.
    fn link(&self, key: &AppKey) -> &Inbox {
        &self.links[usize::from(shard::lane_of(key.id.as_str().as_bytes(), LINKS as u16))]
    }
}

/// The node that sends each lane, as of the last change. Replaced as a whole.
struct Table {
    /// Without the nodes that cannot be reached: all nodes that miss the same ones choose the same substitute.
    route: Route,
    peers: HashMap<NodeName, Arc<Peer>>,
    /// The node takes no more.
    is_closed: bool,
}

impl Table {
    /// The peer that sends this lane's batches now; `None` if this node does.
    fn peer(&self, key: &AppKey, lane: u16) -> Option<&Arc<Peer>> {
        self.peers.get(&self.route.target(key, lane)?.node)
    }

    /// Counts that another node sends, where the owner cannot be reached.
    fn count_surrogate(&self, key: &AppKey, lane: u16) {
        if !self.route.unreachable().is_empty()
            && self.route.is_substituted(key, lane)
            && let Some(owner) = self.route.view().owner(key, lane).and_then(|owner| self.peers.get(&owner.node))
        {
            owner.metrics.surrogate.inc();
        }
    }
}

/// All peers of this node.
pub struct Peers {
    membership: Membership,
    lanes: Arc<Lanes>,
    clock: Clock,
    metrics: Metrics,
    drain: Drain,
    /// The number of the epoch of the cluster's store.
    epoch: AtomicI64,
    table: RwLock<Arc<Table>>,
    /// One change of the table at a time.
    change: Mutex<()>,
    /// The node has handed its lanes over, and sends only what peers still give it.
    has_left: AtomicBool,
}

impl Peers {
    /// The links of a node are tasks of `drain`. There are none until [`Self::set_view`].
    pub fn new(membership: Membership, lanes: Arc<Lanes>, clock: Clock, metrics: Metrics, drain: Drain) -> Arc<Self> {
        let nobody = Arc::new(View::of([], Pins::default()));
        let table = Table { route: Route::of(&nobody, []), peers: HashMap::new(), is_closed: false };
        let (table, change) = (RwLock::new(Arc::new(table)), Mutex::new(()));
        let epoch = AtomicI64::new(membership.epoch.number());
        let has_left = AtomicBool::new(false);
        Arc::new(Self { membership, lanes, clock, metrics, drain, epoch, table, change, has_left })
    }

    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// UNIX seconds.
    pub fn unix_time(&self) -> f64 {
        self.clock.unix_time()
    }

    /// This node's introduction.
    pub fn hello(&self) -> Hello {
        let ring = self.table().route.view().hash();
        self.membership.hello(ring, Epoch::stored(self.epoch.load(Ordering::Relaxed)))
    }

    /// The store has begun another epoch: links that open from now on compare this one.
    pub fn set_epoch(&self, epoch: Epoch) {
        self.epoch.store(epoch.number(), Ordering::Relaxed);
    }

    /// Returns `true` if every peer takes batches.
    pub fn is_connected(&self) -> bool {
        self.table().peers.values().all(|peer| peer.is_reachable())
    }

    /// Lets lanes that other nodes send for by now end, if their last batch came `RETIRED_AFTER` ago.
    pub fn retire_lanes(&self, now: Instant) {
        let table = self.table();
        if !table.peers.is_empty() {
            self.lanes.retire(now, RETIRED_AFTER, |app, lane| table.peer(app, lane).is_none());
        }
    }

    /// Returns `true` if this start of this node is a member, and not this node itself.
    pub fn is_member(&self, node: &NodeName, session: NodeSession) -> bool {
        let table = self.table();
        let member = table.route.view().member(node).filter(|_| *node != self.membership.node);
        member.is_some_and(|member| member.session == session)
    }

    /// Takes over another list of members: links to new ones are opened; those to members that are gone, or that have
    /// another session or address, finish what they have and end.
    pub fn set_view(self: &Arc<Self>, view: &Arc<View>) {
        let _one_at_a_time = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.table();
        if old.is_closed {
            return;
        }
        let is_joining = view.member(&self.membership.node).is_some_and(|own| own.state == MemberState::Joining);
        let first_dial = Instant::now() + if is_joining { KNOWN_AFTER } else { Duration::ZERO };
        let mut peers = HashMap::new();
        // A node that is gone takes nothing more, and closes its listener.
        let others = view.members().iter().filter(|member| member.state != MemberState::Gone);
        for member in others.filter(|member| member.node != self.membership.node) {
            let kept = old.peers.get(&member.node).filter(|peer| peer.leads_to(member));
            let peer = kept.map_or_else(|| Arc::new(self.link_to(member, first_dial)), Arc::clone);
            peers.insert(member.node.clone(), peer);
        }
        for gone in old.peers.keys().filter(|node| !peers.contains_key(*node)) {
            self.metrics.forget(gone.as_str());
        }
        self.replace(view, peers);
    }

    /// Builds the ring again after a link became reachable or unreachable.
    pub fn refresh(&self) {
        let _one_at_a_time = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.table();
        if !old.is_closed {
            self.replace(old.route.view(), old.peers.clone());
        }
    }

    fn replace(&self, view: &Arc<View>, peers: HashMap<NodeName, Arc<Peer>>) {
        for peer in peers.values() {
            peer.metrics.reachable.set(i64::from(peer.is_reachable()));
        }
        let unreachable = peers.iter().filter(|(_, peer)| !peer.is_reachable()).map(|(node, _)| node.clone());
        let left = self.has_left.load(Ordering::Relaxed).then(|| self.membership.node.clone());
        let route = Route::of(view, unreachable.chain(left));
        self.set_table(Table { route, peers, is_closed: false });
    }

    fn link_to(self: &Arc<Self>, member: &Member, first_dial: Instant) -> Peer {
        let metrics = self.metrics.of_peer(member.node.as_str());
        let links = [(); LINKS].map(|()| {
            let (inbox, outlet) = Inbox::new();
            let peer = exchange::Member { node: member.node.clone(), session: member.session };
            let link = Link::new(Parts {
                node: member.node.clone(),
                inbox: outlet,
                exchange: Exchange::new(peer, Instant::now()).not_before(first_dial),
                dial: dial::to(member.address.clone(), self.membership.clone()),
                peers: Arc::clone(self),
                metrics: metrics.clone(),
                forced: self.drain.finish_forced(),
            });
            self.drain.spawn("link", link.run());
            inbox
        });
        Peer { session: member.session, address: member.address.clone(), links, metrics }
    }

    /// A place for a batch, or a part of one, where its lane is owned.
    pub fn reserve(&self, app: &Arc<App>, lane: u16, batch: &Batch) -> Result<Place, NotTaken> {
        let table = self.table();
        if table.is_closed {
            return Err(NotTaken::Closed);
        }
        let lane = self.lanes.known(app, lane);
        table.count_surrogate(&app.key, lane);
        match table.peer(&app.key, lane) {
            None => self.lanes.reserve(app, lane).map(Place::Lane),
            Some(peer) => peer.link(&app.key).reserve(batch).map(Place::Peer),
        }
    }

    /// The peer that sends for a lane now; `None` if this node does.
    pub fn forwards_to(&self, app: &AppKey, lane: u16) -> Option<NodeName> {
        let table = self.table();
        let target = table.route.target(app, lane)?;
        table.peers.contains_key(&target.node).then(|| target.node.clone())
    }

    /// Sends an errand another way than through the link `from`: through another one, or from this node.
    pub fn reroute(&self, forwarded: Forwarded, from: &Arc<Sign>) {
        let Errand { app, lane, batch, .. } = &forwarded.errand;
        let table = self.table();
        let link = table.peer(&app.key, *lane).map(|peer| peer.link(&app.key));
        let link = link.filter(|link| forwarded.routes < ROUTES_MAX && !link.is_of(from) && link.is_reachable());
        table.count_surrogate(&app.key, *lane);
        match link.map(|link| link.reserve(batch)) {
            Some(Ok(place)) => place.send(forwarded),
            Some(Err(NotTaken::Full)) => forwarded.end_not_sent(NodeReason::Overloaded, self.unix_time()),
            Some(Err(NotTaken::Closed)) | None => self.send_here(forwarded),
        }
    }

    /// Sends an errand from this node.
    pub fn send_here(&self, forwarded: Forwarded) {
        let Errand { app, lane, batch, .. } = &forwarded.errand;
        match self.lanes.reserve(app, *lane) {
            Ok(place) => {
                self.lanes.count_taken(batch.len(), forwarded.errand.told.is_some());
                place.send(forwarded.into_job());
            }
            Err(why) => forwarded.end_refused(why.into(), self.unix_time()),
        }
    }

    /// Takes no more errands; links finish what they have and end.
    pub fn close(&self) {
        let _one_at_a_time = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let route = self.table().route.clone();
        self.set_table(Table { route, peers: HashMap::new(), is_closed: true });
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_table(&self, table: Table) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
    }
}

#[cfg(test)]
pub mod tests;
