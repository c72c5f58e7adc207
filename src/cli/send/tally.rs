//! Counts outcomes by kind and reason, and formats the counts for the operator.

use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// Every kind of outcome, success first.
const KINDS: [&str; 5] = ["accepted", "rejected", "expired", "not_sent", "unknown"];
const BAR_COLUMNS: usize = 24;

/// The counted fields of an outcome.
#[derive(Deserialize)]
struct Outcome<'a> {
    #[serde(borrow)]
    outcome: Cow<'a, str>,
    #[serde(borrow)]
    reason: Option<Cow<'a, str>>,
}

#[derive(Debug, Default)]
pub struct Tally {
    kinds: BTreeMap<usize, u64>,
    reasons: BTreeMap<(usize, String), u64>,
    /// Lines that were not an outcome.
    unrecognised: u64,
}

impl Tally {
    /// Counts an outcome in JSON.
    pub fn count(&mut self, line: &[u8]) {
        let parsed = serde_json::from_slice::<Outcome<'_>>(line).ok();
        let kind = parsed.as_ref().and_then(|read| KINDS.iter().position(|kind| *kind == read.outcome));
        let (Some(outcome), Some(kind)) = (parsed, kind) else {
            self.unrecognised += 1;
            return;
        };
        *self.kinds.entry(kind).or_default() += 1;
        if let Some(reason) = outcome.reason {
            *self.reasons.entry((kind, reason.into_owned())).or_default() += 1;
        }
    }

    pub fn total(&self) -> u64 {
        self.kinds.values().sum::<u64>() + self.unrecognised
    }

    /// Returns true if there was at least one outcome, and all were accepted.
    pub fn all_accepted(&self) -> bool {
        self.total() > 0 && self.kinds.get(&0) == Some(&self.total())
    }

    /// `3 accepted, 2 rejected (BadDeviceToken 1, Unregistered 1)`.
    pub fn summary(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        for (kind, count) in &self.kinds {
            let of_kind = self.reasons.iter().filter(|((of, _), _)| of == kind);
            let reasons: Vec<_> = of_kind.map(|((_, reason), count)| format!("{reason} {count}")).collect();
            let reasons = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
            parts.push(format!("{count} {}{reasons}", KINDS[*kind]));
        }
        if self.unrecognised > 0 {
            parts.push(format!("{} that this version does not know", self.unrecognised));
        }
        if parts.is_empty() { "nothing was answered".to_owned() } else { parts.join(", ") }
    }

    /// The progress line; `read` of `size` bytes were sent.
    pub fn progress(&self, read_bytes: u64, size: Option<u64>, elapsed: Duration) -> String {
        let mut line = String::new();
        if let Some(size) = size.filter(|size| *size > 0) {
            let share = (read_bytes as f64 / size as f64).min(1.0);
            let full = (share * BAR_COLUMNS as f64) as usize;
            let _ = write!(line, "[{}{}] {:3.0} %  ", "=".repeat(full), " ".repeat(BAR_COLUMNS - full), share * 100.0);
        }
        let rate = self.total() as f64 / elapsed.as_secs_f64().max(0.001);
        let kinds: Vec<_> = self.kinds.iter().map(|(kind, count)| format!("{count} {}", KINDS[*kind])).collect();
        let _ = write!(line, "{} answered  {rate:.0}/s  {}", self.total(), kinds.join(", "));
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.count(line.as_bytes()));
        tally
    }

    #[test]
    fn outcomes_are_counted_by_kind_and_reason() {
        let accepted = r#"{"outcome":"accepted","reason":null}"#;
        let bad = r#"{"outcome":"rejected","reason":"BadDeviceToken"}"#;
        let gone = r#"{"outcome":"rejected","reason":"Unregistered"}"#;
        let counted = tally(&[bad, accepted, gone, bad, accepted]);
        assert_eq!(counted.summary(), "2 accepted, 3 rejected (BadDeviceToken 2, Unregistered 1)");
        assert!(!counted.all_accepted());
        assert!(tally(&[accepted]).all_accepted());
        assert!(!tally(&[]).all_accepted(), "nothing is no success");
        let unrecognised = tally(&[accepted, "{", r#"{"outcome":"lost"}"#]);
        assert_eq!(unrecognised.summary(), "1 accepted, 2 that this version does not know");
        assert!(!unrecognised.all_accepted());
    }

    #[test]
    fn progress_has_a_bar_if_the_size_is_known() {
        let counted = tally(&[r#"{"outcome":"accepted"}"#]);
        let half = counted.progress(50, Some(100), Duration::from_secs(2));
        assert_eq!(half, "[============            ]  50 %  1 answered  0/s  1 accepted");
        assert_eq!(counted.progress(50, None, Duration::from_secs(1)), "1 answered  1/s  1 accepted");
    }
}
