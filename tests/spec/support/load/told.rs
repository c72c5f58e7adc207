//! The callers' ledger, and its comparison with the simulator's.

use super::token;
use simulator::{Entry, Ledger};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

/// The end of one notification, as its caller saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Told {
        outcome: String,
        /// Empty if there is none.
        reason: String,
    },
    /// The request was refused as a whole: nothing of it was sent.
    Refused { status: u16, reason: String },
    /// The connection ended, or the caller's time, without an answer: it may have been sent.
    Broken,
    /// No address took a connection: it was not sent.
    Unreached,
}

/// One notification. Times count from the start of the load.
#[derive(Debug, Clone)]
pub struct Note {
    pub number: usize,
    /// The app's index.
    pub app: usize,
    /// The address that took the request.
    pub front: Option<SocketAddr>,
    /// The time at which its request was meant to start.
    pub at: Duration,
    pub started: Duration,
    pub ended: Duration,
    pub end: End,
}

/// All notifications of a load, in their order.
pub struct Told {
    pub(super) stamp: usize,
    pub notes: Vec<Note>,
}

/// The numbers of the notifications in which the two ledgers differ.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The caller has Apple's answer, and Apple never had it.
    pub lost: Vec<usize>,
    /// Apple had it more than once.
    pub doubled: Vec<usize>,
    /// The caller read that it was not sent, and Apple had it.
    pub wrong: Vec<usize>,
}

impl End {
    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Told { outcome, .. } if outcome == "accepted")
    }

    /// Apple answered, by what the caller read.
    fn was_sent(&self) -> bool {
        matches!(self, Self::Told { outcome, .. } if outcome == "accepted" || outcome == "rejected")
    }

    /// Apple may have had it, by what the caller read.
    fn may_be_sent(&self) -> bool {
        self.was_sent() || *self == Self::Broken || matches!(self, Self::Told { outcome, .. } if outcome == "unknown")
    }
}

impl Note {
    /// The time from the one at which it was meant to start to its end.
    pub fn took(&self) -> Duration {
        self.ended.saturating_sub(self.at)
    }
}

impl Told {
    pub fn accepted(&self) -> usize {
        self.notes.iter().filter(|note| note.end.is_accepted()).count()
    }

    /// The longest time by which a request started late: if it is long, the load was less than wanted.
    pub fn latest_start(&self) -> Duration {
        self.notes.iter().map(|note| note.started.saturating_sub(note.at)).max().unwrap_or_default()
    }

    /// Those that were meant to start in this span.
    pub fn between(&self, from: Duration, to: Duration) -> impl Iterator<Item = &Note> {
        self.notes.iter().filter(move |note| (from..to).contains(&note.at))
    }

    /// The number of notifications with each end.
    pub fn tally(&self) -> BTreeMap<String, usize> {
        let mut tally = BTreeMap::new();
        for note in &self.notes {
            let way = match &note.end {
                End::Told { outcome, reason } => format!("{outcome} {reason}").trim_end().to_owned(),
                End::Refused { status, reason } => format!("refused {status} {reason}"),
                End::Broken => "no answer".to_owned(),
                End::Unreached => "unreached".to_owned(),
            };
            *tally.entry(way).or_default() += 1;
        }
        tally
    }

    /// The notifications of this load that the simulator processed, by number.
    pub fn seen(&self, ledger: &Ledger) -> HashMap<usize, Vec<Entry>> {
        let numbers: HashMap<String, usize> =
            self.notes.iter().map(|note| (token(self.stamp, note.number), note.number)).collect();
        let mut seen: HashMap<usize, Vec<Entry>> = HashMap::new();
        for entry in ledger.entries().into_iter().filter(|entry| entry.processed) {
            if let Some(number) = numbers.get(&entry.token) {
                seen.entry(*number).or_default().push(entry);
            }
        }
        seen
    }

    /// Compares it with the simulator's ledger.
    pub fn compare(&self, ledger: &Ledger) -> Verdict {
        let (seen, mut verdict) = (self.seen(ledger), Verdict::default());
        for Note { number, end, .. } in &self.notes {
            let times = seen.get(number).map_or(0, Vec::len);
            if times == 0 && end.was_sent() {
                verdict.lost.push(*number);
            }
            if times > 1 {
                verdict.doubled.push(*number);
            }
            if times > 0 && !end.may_be_sent() {
                verdict.wrong.push(*number);
            }
        }
        verdict
    }

    /// The two ledgers agree: nothing is lost, doubled, or reported wrong.
    pub fn assert_true(&self, ledger: &Ledger) {
        assert_eq!(self.compare(ledger), Verdict::default(), "{:?}", self.tally());
    }
}
