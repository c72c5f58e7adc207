//! Keeps records that the store could not write in memory until it can: a full disk must not lose a dead token.

use super::Events;
use crate::drain::Drain;
use crate::model::Records;
use crate::store::StoreError;
use std::sync::Arc;
use std::time::Duration;

/// The maximum number of pending entries of a node. Further entries are lost and logged.
pub const UNWRITTEN_MAX: usize = 10_000;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Records that the store did not write, and the error.
#[derive(Debug)]
pub struct Unwritten {
    pub records: Arc<Records>,
    pub error: StoreError,
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
        let Some(_permit) = self.pending.try_acquire(entries) else {
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
