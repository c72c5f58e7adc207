//! The status of apps on the peers.

use super::{Peers, Table};
use crate::delivery::peer::link::exchange::Question;
use crate::delivery::peer::wire::AppFigures;
use crate::delivery::status::AppStatus;
use crate::delivery::status::figures::{self, Told};
use crate::model::{AppKey, NodeName};
use crate::registry::App;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// Apps of one question. Their figures fit into the smallest frame that a node takes.
const APPS_MAX: usize = 1_000;

/// The status of apps on the peers that answered in time.
pub struct PeerStatuses {
    table: Arc<Table>,
    own: NodeName,
    told: HashMap<AppKey, Vec<Told>>,
    answered: HashSet<NodeName>,
}

/// A question to a peer without an answer so far.
type Asked = (NodeName, oneshot::Receiver<Vec<AppFigures>>);

impl Peers {
    /// Asks all peers for the status of these apps, with one question for each 1,000 apps. Waits for the answers until
    /// `until` at most.
    pub async fn statuses(&self, apps: &[AppKey], until: Instant) -> PeerStatuses {
        let table = self.table();
        let asked: Vec<Asked> = apps.chunks(APPS_MAX).flat_map(|apps| ask_all(&table, apps)).collect();
        let (mut all_told, mut unanswered) = (HashMap::<AppKey, Vec<Told>>::new(), HashSet::new());
        let mut answered: HashSet<_> = asked.iter().map(|(node, _)| node.clone()).collect();
        for (node, answer) in asked {
            let told = timeout_at(until, answer).await.ok().and_then(Result::ok);
            let told = told.and_then(|told| told.into_iter().map(read).collect::<Option<HashMap<_, _>>>());
            match told {
                Some(told) => told.into_iter().for_each(|(app, told)| all_told.entry(app).or_default().push(told)),
                None => drop(unanswered.insert(node)),
            }
        }
        answered.retain(|node| !unanswered.contains(node));
        PeerStatuses { table, own: self.membership.node.clone(), told: all_told, answered }
    }
}

/// Asks every peer that can be reached.
fn ask_all(table: &Table, apps: &[AppKey]) -> Vec<Asked> {
    let reachable = table.peers.iter().filter(|(_, peer)| peer.is_reachable());
    let ask = reachable.map(|(node, peer)| {
        let (reply, answer) = oneshot::channel();
        peer.links[0].ask(Question::Figures(apps.to_vec(), reply));
        (node.clone(), answer)
    });
    ask.collect()
}

fn read(AppFigures { app, json }: AppFigures) -> Option<(AppKey, Told)> {
    Some((app, figures::from_json(&json)?))
}

impl PeerStatuses {
    /// The sum of an app's status over the peers, for a node that knows the app under this revision.
    pub fn sum(&self, app: &AppKey, revision: i64) -> AppStatus {
        let mut sum = AppStatus::default();
        self.told.get(app).into_iter().flatten().for_each(|told| sum.add(told.under(revision)));
        sum
    }

    /// The owners of the app's lanes that are not in the sum, in the order of their names.
    pub fn missing(&self, app: &App) -> Vec<NodeName> {
        let view = self.table.route.view();
        let is_missing = |node: &NodeName| *node != self.own && !self.answered.contains(node);
        if !view.members().iter().any(|member| is_missing(&member.node)) {
            return Vec::new();
        }
        let owners = (0..app.lanes).filter_map(|lane| view.owner(&app.key, lane)).map(|owner| &owner.node);
        let missing: BTreeSet<_> = owners.filter(|node| is_missing(node)).collect();
        missing.into_iter().cloned().collect()
    }
}
