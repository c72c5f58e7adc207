//! Behaviour for clients of v0.5 that other clients do not need. Each is a setting that is off by default.

use crate::json::number;
use crate::model::Batch;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

/// UNIX seconds (March 1973) below which an `expiry` is not a date.
const EARLIEST_EXPIRY_SECONDS: u64 = 100_000_000;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compat {
    /// `GET …/feedback` and `GET …/disconnections` delete the entries that they return, as v0.5 did.
    pub clear_on_read: bool,
    /// An `expiry` before 1973 counts as 0, try once: the documentation of v0.5 has `"expiry": 30`, and Apple treated
    /// it as 0.
    pub early_expiry_is_zero: bool,
    /// `GET …/disconnections` answers as v0.5 did, whose client reads `'offending_notification' in event` and
    /// `int(notification['expiry'])`: missing values are left out, and a number or a string is never `null`.
    pub v05_shapes: bool,
}

/// An `offending_notification` as v0.5 showed it.
#[derive(Deserialize, Serialize)]
struct V05Notification<'a> {
    r#type: &'a str,
    #[serde(borrow)]
    expiry: &'a RawValue,
    #[serde(borrow)]
    identifier: &'a RawValue,
    #[serde(borrow)]
    payload: &'a RawValue,
    #[serde(borrow)]
    token: &'a RawValue,
}

/// Replaces `null` where clients of v0.5 read a number or a string; `None` if the JSON is not a notification.
pub fn without_nulls(offending: &str) -> Option<Box<RawValue>> {
    let shown: V05Notification<'_> = serde_json::from_str(offending).ok()?;
    let expiry = to_raw_value(&number::unsigned(shown.expiry.get()).unwrap_or(0)).ok()?;
    let nothing = to_raw_value("").ok()?;
    let identifier = if shown.identifier.get() == "null" { &nothing } else { shown.identifier };
    to_raw_value(&V05Notification { expiry: &expiry, identifier, ..shown }).ok()
}

impl Compat {
    /// Applies `early_expiry_is_zero` to a request's notifications.
    pub fn apply_legacy_expiry(self, batch: &mut Batch) {
        if self.early_expiry_is_zero {
            batch.try_once_where_expiry_is_before(EARLIEST_EXPIRY_SECONDS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Draft;

    #[test]
    fn a_number_or_string_that_clients_of_v05_read_is_never_null() {
        let shown = |expiry: &str, identifier: &str| {
            format!(
                r#"{{"type":"notification","expiry":{expiry},"identifier":{identifier},"payload":{{"aps": {{ }}}},"token":"00"}}"#
            )
        };
        for (kept, answered) in [
            (("null", "null"), ("0", r#""""#)),
            (("1900000000", "7"), ("1900000000", "7")),
            (("455.0", r#""\u00e9""#), ("455", r#""\u00e9""#)),
            // The value of refused lines.
            ((r#""soon""#, r#""a""#), ("0", r#""a""#)),
            (("1e400", "null"), ("0", r#""""#)),
            (("-1", "-1"), ("0", "-1")),
        ] {
            let answer = without_nulls(&shown(kept.0, kept.1)).expect("a notification");
            assert_eq!(answer.get(), shown(answered.0, answered.1));
        }
        for kept in ["", "null", "{}", "[]", "text"] {
            assert!(without_nulls(kept).is_none(), "{kept}");
        }
    }

    #[test]
    fn an_early_expiry_means_try_once_only_with_the_setting_for_old_clients() {
        let expiries = [
            None,
            Some(0),
            Some(30),
            Some(EARLIEST_EXPIRY_SECONDS - 1),
            Some(EARLIEST_EXPIRY_SECONDS),
            Some(1_800_000_000),
        ];
        let read = |compat: Compat| {
            let mut batch = Batch::default();
            for expiry in expiries {
                batch
                    .push(Draft { token: "00fc", payload: "{}", expiry, ..Draft::default() }, uuid::Uuid::new_v4)
                    .expect("a notification");
            }
            compat.apply_legacy_expiry(&mut batch);
            batch.items().iter().map(|item| item.expiry).collect::<Vec<_>>()
        };
        assert_eq!(read(Compat::default()), expiries);
        let meant = [None, Some(0), Some(0), Some(0), Some(EARLIEST_EXPIRY_SECONDS), Some(1_800_000_000)];
        assert_eq!(read(Compat { early_expiry_is_zero: true, ..Compat::default() }), meant);
    }
}
