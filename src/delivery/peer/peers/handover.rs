//! Lanes change their owner: a node that leaves, or joins, has the next owner connect to Apple first.

use super::{Peers, Table};
use crate::cluster::{Member, MemberState, Route, View};
use crate::delivery::peer::link::exchange::Question;
use crate::delivery::peer::wire::Lane;
use crate::model::NodeName;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// Lanes of one list between two nodes. More than can be connected in time are not asked for.
const LIST_MAX: usize = 1_000;

/// An answer that is awaited.
type Awaited = oneshot::Receiver<Vec<Lane>>;

impl Peers {
    /// The lanes that this node holds connections for, the last used ones first: as many as one list has.
    pub fn held(&self) -> Vec<Lane> {
        self.all_held().into_iter().take(LIST_MAX).map(|(app, lane)| Lane { app, lane }).collect()
    }

    /// Asks the nodes that own this node's lanes without it to connect these to Apple. Waits until they have, until
    /// `until` at most. Returns the number of this node's lanes, and of those that others are connected for.
    pub async fn warm_successors(&self, until: Instant) -> (usize, usize) {
        let (table, held) = (self.table(), self.held());
        let count = held.len();
        let route = route_without(&table, &self.membership.node);
        let mut lists: HashMap<NodeName, Vec<Lane>> = HashMap::new();
        for lane in held {
            if let Some(next) = route.target(&lane.app, lane.lane).filter(|next| table.peers.contains_key(&next.node)) {
                lists.entry(next.node.clone()).or_default().push(lane);
            }
        }
        let asked: Vec<_> = lists
            .into_iter()
            .filter_map(|(node, lanes)| ask(&table, &node, |reply| Question::Warm(lanes, reply)))
            .collect();
        (count, answers(asked, until).await.len())
    }

    /// This node sends nothing by itself any more, while another one can.
    pub fn leave(&self) {
        self.has_left.store(true, Ordering::Relaxed);
        self.refresh();
    }

    /// The lanes that peers hold and that this node owns once it is active. Waits for their answers until `until` at
    /// most.
    pub async fn lanes_to_take(&self, until: Instant) -> Vec<Lane> {
        let table = self.table();
        let asked: Vec<_> = table.peers.keys().filter_map(|node| ask(&table, node, Question::Held)).collect();
        let own = &self.membership.node;
        let members = table.route.view().members().iter().map(|member| match member.node == *own {
            true => Member { state: MemberState::Active, ..member.clone() },
            false => member.clone(),
        });
        let next = View::of(members, table.route.view().pins().clone());
        let (mut seen, mut to_take) = (HashSet::new(), Vec::new());
        for lane in answers(asked, until).await {
            let is_own = next.owner(&lane.app, lane.lane).is_some_and(|owner| owner.node == *own);
            if is_own && seen.insert(lane.clone()) {
                to_take.push(lane);
            }
        }
        to_take.truncate(LIST_MAX);
        to_take
    }
}

/// The ways of lanes without this node, and without others that leave too.
fn route_without(table: &Table, own: &NodeName) -> Route {
    let view = table.route.view();
    let leaving = view.members().iter().filter(|member| member.state == MemberState::Leaving);
    let unreachable = table.route.unreachable().iter().chain(leaving.map(|member| &member.node));
    Route::of(view, unreachable.chain([own]).cloned())
}

/// Asks a peer. Returns `None` if it cannot be reached.
fn ask(
    table: &Table,
    node: &NodeName,
    question: impl FnOnce(oneshot::Sender<Vec<Lane>>) -> Question,
) -> Option<Awaited> {
    let peer = table.peers.get(node).filter(|peer| peer.is_reachable())?;
    let (reply, answer) = oneshot::channel();
    peer.links[0].ask(question(reply));
    Some(answer)
}

/// The lanes of all answers that come until `until`.
async fn answers(asked: Vec<Awaited>, until: Instant) -> Vec<Lane> {
    let mut lanes = Vec::new();
    for answer in asked {
        if let Ok(Ok(more)) = timeout_at(until, answer).await {
            lanes.extend(more);
        }
    }
    lanes
}
