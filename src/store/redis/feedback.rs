//! Feedback, and feedback that is held back.

use super::Redis;
use super::keys::{app_of, name_of};
use super::reply::{epoch, number, odd, read};
use super::scripts::{DROP, FEEDBACK_ACKNOWLEDGE, FEEDBACK_PAGE, QUARANTINE, RELEASE};
use crate::model::{AppKey, Feedback, Quarantine, Resolution};
use crate::store::{Cursor, DOUBTFUL, FeedbackLog, Page, Pending, StoreError};
use serde::{Deserialize, Serialize};

/// Entries that one call of a script handles. It keeps other callers of the server waiting for about a millisecond.
const STEP: usize = 500;

/// A quarantine as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredQuarantine<'a> {
    since: f64,
    why: std::borrow::Cow<'a, str>,
}

/// An entry as it is stored under its token. The timestamp reads back as the same number.
pub(super) fn stored(entry: &Feedback) -> String {
    format!("{} {}", entry.timestamp, entry.reason)
}

pub(super) fn entry_of(app: &AppKey, token: &str, stored: &str) -> Result<Feedback, StoreError> {
    let parts = stored.split_once(' ').and_then(|(timestamp, reason)| Some((timestamp.parse().ok()?, reason)));
    let (timestamp, reason) = parts.ok_or_else(|| odd("an entry of feedback"))?;
    Ok(Feedback { app: app.clone(), token: token.to_owned(), reason: reason.to_owned(), timestamp })
}

impl FeedbackLog for Redis {
    /// One operation for up to `STEP` entries that wait. Of more, the rest stays readable until it is reached; a
    /// repeat of a call that failed goes on with it.
    fn quarantine(&self, app: AppKey, quarantine: Quarantine) -> Pending<'_, u64> {
        Box::pin(async move {
            let value = StoredQuarantine { since: quarantine.since, why: quarantine.why.into() };
            let value = serde_json::to_string(&value).map_err(|error| odd(&error.to_string()))?;
            let (mut count, mut rest) = (0, Vec::<String>::new());
            loop {
                let mut call = QUARANTINE.prepare_invoke();
                self.feedback_keys(&mut call, &app).key(self.keys.held(&app)).key(self.keys.holds());
                call.arg(self.new_epoch()).arg(name_of(&app)).arg(&value).arg(DOUBTFUL).arg(STEP);
                call.arg(rest.as_slice());
                // The number of entries and, if entries are left, the two positions to go on with.
                rest = read(self.run(&call).await?)?;
                count += number(rest.first().map_or("", String::as_str))?.unsigned_abs();
                rest.remove(0);
                if rest.is_empty() {
                    return Ok(count);
                }
            }
        })
    }

    fn quarantines(&self) -> Pending<'_, Vec<(AppKey, Quarantine)>> {
        Box::pin(async move {
            let mut get = redis::cmd("HGETALL");
            let stored: Vec<(String, String)> = read(self.query(get.arg(self.keys.holds())).await?)?;
            let quarantine = |(name, value): &(String, String)| {
                let StoredQuarantine { since, why } = serde_json::from_str(value).ok()?;
                Some((app_of(name)?, Quarantine { since, why: why.into_owned() }))
            };
            stored.iter().map(|stored| quarantine(stored).ok_or_else(|| odd("a quarantine"))).collect()
        })
    }

    /// To drop is one operation. So is to release up to `STEP` entries; of more, the quarantine ends with the last one,
    /// and a repeat of a call that failed goes on with the rest.
    fn resolve(&self, app: AppKey, resolution: Resolution) -> Pending<'_, u64> {
        Box::pin(async move {
            if resolution == Resolution::Drop {
                let mut call = DROP.prepare_invoke();
                call.key(self.keys.meta()).key(self.keys.held(&app)).key(self.keys.holds());
                call.arg(self.new_epoch()).arg(name_of(&app));
                return read(self.run(&call).await?);
            }
            let mut count = 0;
            loop {
                let mut call = RELEASE.prepare_invoke();
                self.feedback_keys(&mut call, &app).key(self.keys.held(&app)).key(self.keys.holds());
                call.arg(self.new_epoch()).arg(name_of(&app)).arg(STEP);
                let (released, left): (u64, u64) = read(self.run(&call).await?)?;
                count += released;
                if left == 0 {
                    return Ok(count);
                }
            }
        })
    }

    fn feedback(&self, app: AppKey, after: Cursor, limit: usize) -> Pending<'_, Page<Feedback>> {
        Box::pin(async move {
            let (mut of, mut position) = after.parts();
            let mut entries = Vec::new();
            loop {
                let step = STEP.min(limit - entries.len());
                let mut call = FEEDBACK_PAGE.prepare_invoke();
                self.feedback_keys(&mut call, &app).arg(of.number()).arg(position).arg(step);
                let page: Option<Vec<String>> = read(self.run(&call).await?)?;
                let page = page.ok_or(StoreError::ForeignCursor)?;
                let (now, found) = page.split_first().ok_or_else(|| odd("a page of feedback"))?;
                of = epoch(now)?;
                for one in found.chunks_exact(3) {
                    position = number(&one[0])?;
                    entries.push((position, entry_of(&app, &one[1], &one[2])?));
                }
                if found.len() < 3 * step || entries.len() == limit {
                    return Ok(Page::new(entries, of, position));
                }
            }
        })
    }

    fn acknowledge_feedback(&self, app: AppKey, through: Cursor) -> Pending<'_, u64> {
        Box::pin(async move {
            let (of, position) = through.parts();
            let mut count = 0;
            loop {
                let mut call = FEEDBACK_ACKNOWLEDGE.prepare_invoke();
                self.feedback_keys(&mut call, &app).arg(of.number()).arg(position).arg(STEP);
                let gone: Option<u64> = read(self.run(&call).await?)?;
                let gone = gone.ok_or(StoreError::ForeignCursor)?;
                count += gone;
                if gone < STEP as u64 {
                    return Ok(count);
                }
            }
        })
    }
}
