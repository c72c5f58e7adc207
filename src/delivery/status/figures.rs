//! The status of an app as one node tells it to another: a JSON object. A later release may add fields. Pure.

use super::{AppState, AppStatus, LastError};
use crate::delivery::bound::{Bound, Times};
use crate::delivery::peer::wire::AppFigures;
use crate::model::AppKey;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

/// The most bytes of an error's JSON.
const ERROR_BYTES_MAX: usize = 2_000;
/// The figures of further apps in one answer have no sentence: the smallest frame that a node takes has one mebibyte.
const ERRORS_END_AT: usize = 400_000;

/// The status of an app as a node told it.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    status: AppStatus,
    /// The revision under which the node knows the app; `None` if it is of a release that does not tell it.
    revision: Option<i64>,
}

impl Told {
    /// The status for a node that knows the app under this revision. The state and the error under another revision do
    /// not count: a node learns of a new credential later than the node that took it.
    pub fn under(&self, revision: i64) -> AppStatus {
        let status = self.status.clone();
        match self.revision {
            Some(told) if told != revision => AppStatus { state: AppState::Ok, last_error: None, ..status },
            _ => status,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Figures<'a> {
    revision: Option<i64>,
    state: Cow<'a, str>,
    last_error: Option<Cow<'a, str>>,
    last_error_at: Option<f64>,
    last_success_at: Option<f64>,
    connections: usize,
    streams: usize,
    in_flight: usize,
    queued: usize,
    /// Milliseconds by bound.
    bound_ms: BTreeMap<Cow<'a, str>, u64>,
}

/// The figures of apps for one answer: those of 1,000 apps fit into a frame.
/// Each status comes with the revision under which this node knows the app.
pub fn list(statuses: impl Iterator<Item = (AppKey, i64, AppStatus)>) -> Vec<AppFigures> {
    let mut bytes = 0;
    let figures = statuses.map(|(app, revision, status)| {
        let error_bytes_max = if bytes < ERRORS_END_AT { ERROR_BYTES_MAX } else { 0 };
        let json = to_json(&status, revision, error_bytes_max);
        bytes += json.len();
        AppFigures { app, json: json.into() }
    });
    figures.collect()
}

fn to_json(status: &AppStatus, revision: i64, error_bytes_max: usize) -> Vec<u8> {
    let times = Bound::ALL.into_iter().map(|bound| (bound, status.recent[bound as usize]));
    let times = times.filter(|(_, time)| !time.is_zero());
    let figures = Figures {
        revision: Some(revision),
        state: status.state.as_str().into(),
        last_error: status.last_error.as_ref().map(|error| shortened(&error.what, error_bytes_max).into()),
        last_error_at: status.last_error.as_ref().map(|error| error.at),
        last_success_at: status.last_success,
        connections: status.connections,
        streams: status.streams,
        in_flight: status.in_flight,
        queued: status.queued,
        bound_ms: times.map(|(bound, time)| (bound.as_str().into(), milliseconds(time))).collect(),
    };
    serde_json::to_vec(&figures).expect("strings and numbers")
}

/// The status that a node told; `None` for what this release cannot read.
pub fn from_json(json: &[u8]) -> Option<Told> {
    let figures: Figures<'_> = serde_json::from_slice(json).ok()?;
    let mut recent = Times::default();
    for bound in Bound::ALL {
        let time = figures.bound_ms.get(bound.as_str()).copied().unwrap_or_default();
        recent[bound as usize] = Duration::from_millis(time);
    }
    let error = figures.last_error.zip(figures.last_error_at);
    let status = AppStatus {
        state: AppState::ALL.into_iter().find(|state| state.as_str() == figures.state)?,
        last_error: error.map(|(what, at)| LastError { at, what: what.into_owned() }),
        last_success: figures.last_success_at,
        connections: figures.connections,
        streams: figures.streams,
        in_flight: figures.in_flight,
        queued: figures.queued,
        recent,
    };
    Some(Told { status, revision: figures.revision })
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The longest beginning of a sentence whose JSON is short enough: a control character takes six bytes.
fn shortened(sentence: &str, bytes_max: usize) -> &str {
    let mut bytes = 0;
    let end = sentence.char_indices().find(|(_, character)| {
        bytes += if character.is_control() { 6 } else { character.len_utf8() + 1 };
        bytes > bytes_max
    });
    end.map_or(sentence, |(end, _)| &sentence[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::peer::wire::{self, Limits, Seen};
    use crate::model::{AppId, Environment};

    #[test]
    fn what_a_node_tells_reads_back_and_a_later_release_may_add_to_it() {
        let error = LastError { at: 2.5, what: "no \"route\"\nto host".to_owned() };
        let millisecond = Duration::from_millis(1);
        let status = AppStatus {
            state: AppState::CannotConnect,
            last_error: Some(error),
            last_success: Some(1_700_000_000.25),
            connections: 1,
            streams: 1000,
            in_flight: 2,
            queued: 3,
            recent: [millisecond, Duration::ZERO, 2 * millisecond, Duration::ZERO, Duration::ZERO],
        };
        let json = to_json(&status, 7, 100);
        assert_eq!(from_json(&json), Some(Told { status, revision: Some(7) }));
        let later = [br#"{"later":[1,2],"#.as_slice(), &json[1..]].concat();
        assert_eq!(from_json(&later), from_json(&json));
        for none in [&b""[..], b"{}", b"[]", &json[..json.len() - 1]] {
            assert_eq!(from_json(none), None);
        }
        let unknown = String::from_utf8(json).expect("JSON").replace("cannot_connect", "asleep");
        assert_eq!(from_json(unknown.as_bytes()), None, "a state that this release does not know");
    }

    #[test]
    fn a_state_and_an_error_under_another_revision_do_not_count() {
        let status = AppStatus {
            state: AppState::CredentialError,
            last_error: Some(LastError { at: 2.5, what: "Apple refused the certificate".to_owned() }),
            connections: 3,
            ..AppStatus::default()
        };
        let json = to_json(&status, 7, 100);
        let told = from_json(&json).expect("readable");
        assert_eq!(told.under(7), status);
        for other in [6, 8] {
            assert_eq!(told.under(other), AppStatus { connections: 3, ..AppStatus::default() });
        }
        let before = String::from_utf8(json).expect("JSON").replace("\"revision\":7,", "");
        assert_eq!(from_json(before.as_bytes()).expect("readable").under(8), status, "a release before revisions");
    }

    #[test]
    fn the_longest_figures_of_a_thousand_apps_fit_into_the_smallest_frame() {
        for what in ["\u{1}", "\"", "\u{1f4a9}", "x"] {
            let status = AppStatus {
                last_error: Some(LastError { at: f64::MAX, what: what.repeat(5000) }),
                last_success: Some(f64::MAX),
                connections: usize::MAX,
                streams: usize::MAX,
                in_flight: usize::MAX,
                queued: usize::MAX,
                recent: [Duration::MAX; 5],
                ..AppStatus::default()
            };
            let app = |number| {
                let id = AppId::new(&format!("{number:0128}")).expect("an id");
                (AppKey::new(id, Environment::Production), i64::MIN, status.clone())
            };
            let told = list((0..1_000).map(app));
            let first = from_json(&told[0].json).expect("readable").status.last_error.expect("an error");
            assert!(
                first.what.len() >= 300
                    && status.last_error.as_ref().is_some_and(|error| error.what.starts_with(&first.what))
            );
            assert!(told.iter().all(|told| from_json(&told.json).is_some()));
            let mut frame = Vec::new();
            wire::put_seen(&mut frame, 1, &Seen::Apps(told));
            let smallest = Limits::of_requests(1, 1).frame_bytes as usize;
            assert!(frame.len() <= smallest, "{} of {smallest}", frame.len());
        }
    }
}
