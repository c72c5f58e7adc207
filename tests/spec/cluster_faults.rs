//! Faults of nodes and networks under a steady load. Callers and Apple agree on every notification, and what is not in
//! flight at the fault is sent in time.
//!
//! The tests wait for leases, which last 6 s: each takes at most 40 s, and in the long form (`PYAPNS_TEST_FULL`) 90 s.

mod black_hole;
mod cut;
mod killed;
mod slow;
mod stopped;

use crate::support::full;
use crate::support::load::{Load, Note, Told};
use crate::support::site::{Node, Site, apps_of};
use std::collections::BTreeSet;
use std::time::Duration;

const NAMES: [&str; 3] = ["a", "b", "c"];
/// The apps of node `b` come first, then two of each of the others.
const APPS_OF_B: usize = 4;
/// A notification that the fault does not concern takes no longer.
const REST_WITHIN: Duration = Duration::from_millis(250);
/// A peer that does not answer is left out after this.
const LEFT_OUT_AFTER: Duration = Duration::from_millis(1_500);
/// For the clock of the test, and for programs without optimisation on a machine that does other things, too.
const SLACK: Duration = Duration::from_millis(500);

fn apps() -> Vec<String> {
    [apps_of(&NAMES, 1, APPS_OF_B), apps_of(&NAMES, 0, 2), apps_of(&NAMES, 2, 2)].concat()
}

/// 1,500 notifications a second in the long form, through these nodes.
fn load(nodes: &[&Node], apps: &[String]) -> Load {
    let fronts: Vec<_> = nodes.iter().map(|node| node.process.address).collect();
    let load = Load::new(&fronts, apps);
    if full() { load.per_second(1_500).per_request(5) } else { load.per_second(160).per_request(2) }
}

/// The connections to Apple on which these notifications arrived.
fn connections<'a>(site: &Site, told: &Told, notes: impl Iterator<Item = &'a Note>) -> BTreeSet<u64> {
    let seen = told.seen(site.simulator.ledger());
    notes.filter_map(|note| seen.get(&note.number)).flatten().map(|entry| entry.connection).collect()
}

/// The longest that a notification may take that the fault does not concern. On a machine that does other things, too,
/// callers start late, and notifications were slow before the fault, once connections to Apple were open.
fn limit(told: &Told, fault: Duration) -> Duration {
    let before = told.between(Duration::from_millis(500), fault).filter(|note| note.ended < fault);
    let mut took: Vec<Duration> = before.map(|note| note.took()).collect();
    took.sort_unstable();
    let calm = took.get(took.len() * 98 / 100).copied().expect("notifications before the fault");
    let late = told.latest_start();
    println!("{:?}; before the fault 98 % within {calm:?}, latest start {late:?}", told.tally());
    REST_WITHIN + 2 * calm + late
}

/// All that were meant to start in this span are accepted, and soon.
fn assert_rest(told: &Told, from: Duration, to: Duration, within: Duration) {
    let notes: Vec<&Note> = told.between(from, to).collect();
    assert!(!notes.is_empty(), "nothing was sent from {from:?} to {to:?}");
    let bad: Vec<_> = notes.iter().filter(|note| !note.end.is_accepted()).take(5).collect();
    assert!(bad.is_empty(), "from {from:?} to {to:?}: {bad:#?}, {:?}", told.tally());
    let mut took: Vec<Duration> = notes.iter().map(|note| note.took()).collect();
    took.sort_unstable();
    let (half, most, slowest) = (took[took.len() / 2], took[took.len() * 98 / 100], took[took.len() - 1]);
    let figures = format!("half within {half:?}, 98 % within {most:?}, all within {slowest:?}");
    println!("{} sent from {from:?} to {to:?}: {figures}", took.len());
    assert!(half < within && most < within + SLACK && slowest < within + 2 * SLACK, "{within:?}: {figures}");
}
