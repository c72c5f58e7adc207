//! Records that the store could not take wait in memory until it can: a full disk must not lose a dead token.

use super::Events;
use crate::drain::Drain;
use crate::model::Records;
use crate::store::StoreError;
use std::sync::Arc;
use std::time::Duration;

/// Entries of a node that wait; what comes beyond is lost, and the log says so.
pub const UNWRITTEN_MAX: usize = 10_000;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Records that the store did not take, and the reason.
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
            tracing::error!(app, %error, entries, "feedback and disconnections are lost: too many wait for the store already");
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
                Ok(()) => return tracing::info!(app, entries, "what waited for the store is written"),
                Err(error) if last => {
                    tracing::error!(app, %error, entries, "feedback and disconnections are lost: the node ends");
                    return self.metrics.lost.inc_by(entries as u64);
                }
                Err(_) => pause = (2 * pause).min(LONGEST_PAUSE),
            }
        }
    }
}

/// The app that the records belong to, for the log: what is recorded at once is of one app.
fn app_of(records: &Records) -> Option<String> {
    let feedback = records.feedback.first().map(|entry| entry.app.to_string());
    feedback.or_else(|| records.disconnections.first().map(|entry| entry.app.to_string()))
}
