//! Keeps records that the store could not write in memory until it can: a full disk must not lose a dead token.

use super::Events;
use crate::drain::Drain;
use crate::model::Records;
use crate::store::StoreError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The maximum number of pending entries of a node. Further entries are lost and logged.
const UNWRITTEN_MAX: usize = 10_000;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Records that the store did not write, and the error.
#[derive(Debug)]
pub struct Unwritten {
    pub records: Arc<Records>,
    pub error: StoreError,
}

/// Counts the pending entries. Clones share the count.
#[derive(Debug, Clone, Default)]
pub struct PendingWrites(Arc<AtomicUsize>);

impl PendingWrites {
    /// Returns the number of pending entries.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Reserves room for `count` entries, until the result is dropped.
    fn take(&self, entries: usize) -> Option<Room> {
        let room = Room { pending: self.clone(), entries };
        let before = self.0.fetch_add(entries, Ordering::Relaxed);
        (before + entries <= UNWRITTEN_MAX).then_some(room)
    }
}

struct Room {
    pending: PendingWrites,
    entries: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.pending.0.fetch_sub(self.entries, Ordering::Relaxed);
    }
}

impl Events {
    /// Drops the records that [`Events::record`] failed to write, and counts them.
    pub fn drop_records(&self, Unwritten { records, error }: &Unwritten) {
        let (app, entries) = (app_of(records), records.len());
        tracing::error!(app, %error, entries, "feedback and disconnections are lost");
        self.metrics.lost.inc_by(entries as u64);
    }

    /// Retries the records that [`Events::record`] failed to write, with exponential back-off, until they are written,
    /// or once more when the node stops.
    pub async fn retry_until_written(&self, Unwritten { records, error }: Unwritten, drain: &Drain) {
        let (app, entries) = (app_of(&records), records.len());
        let Some(_room) = self.pending.take(entries) else {
            tracing::error!(app, %error, entries, "feedback and disconnections are lost: too many are waiting for the store");
            return self.metrics.lost.inc_by(entries as u64);
        };
        tracing::error!(app, %error, entries, "feedback and disconnections wait in memory until the store can be written");
        let mut pause = FIRST_PAUSE;
        loop {
            let last = tokio::select! {
                biased;
                () = drain.cancelled() => true,
                () = tokio::time::sleep(pause) => false,
            };
            match self.write(&records).await {
                Ok(()) => return tracing::info!(app, entries, "the waiting feedback and disconnections are written"),
                Err(error) if last => {
                    tracing::error!(app, %error, entries, "feedback and disconnections are lost: the node ends");
                    return self.metrics.lost.inc_by(entries as u64);
                }
                Err(_) => pause = (2 * pause).min(LONGEST_PAUSE),
            }
        }
    }
}

/// The app of the records, for the log: records of one write are of one app.
fn app_of(records: &Records) -> Option<String> {
    let feedback = records.feedback.first().map(|entry| entry.app.to_string());
    feedback.or_else(|| records.disconnections.first().map(|entry| entry.app.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pending_entries_are_limited_and_counted_until_they_are_written() {
        let pending = PendingWrites::default();
        let first = pending.take(UNWRITTEN_MAX - 1).expect("room");
        assert!(pending.take(2).is_none());
        assert_eq!(pending.count(), UNWRITTEN_MAX - 1);
        let second = pending.take(1).expect("room for one");
        drop(first);
        assert_eq!(pending.count(), 1);
        drop(second);
        assert_eq!(pending.count(), 0);
    }
}
