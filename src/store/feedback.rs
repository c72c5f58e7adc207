//! The contract of feedback: dead tokens, and those of them that are held back.

use super::{Cursor, Page, Pending};
use crate::model::{AppKey, AppleReason, Feedback, Quarantine, Resolution};

/// The dead tokens of each app, and the ones that are held back.
pub trait FeedbackLog: Send + Sync {
    /// Holds back the app's doubtful feedback from now on, and what of it waits to be acknowledged: how many entries
    /// that were. An existing quarantine stays as it is.
    fn quarantine(&self, app: AppKey, quarantine: Quarantine) -> Pending<'_, u64>;

    /// The holds of all apps.
    fn quarantines(&self) -> Pending<'_, Vec<(AppKey, Quarantine)>>;

    /// Ends the app's quarantine, if any, and returns how many entries were held. What is released takes a new
    /// position, and does not replace what is newer.
    fn resolve(&self, app: AppKey, resolution: Resolution) -> Pending<'_, u64>;

    /// At most `limit` entries after the cursor, oldest position first.
    fn feedback(&self, app: AppKey, after: Cursor, limit: usize) -> Pending<'_, Page<Feedback>>;

    /// Forgets the feedback up to and with the cursor: how many entries that were.
    fn acknowledge_feedback(&self, app: AppKey, through: Cursor) -> Pending<'_, u64>;
}

/// True if an entry may stem from a wrong environment or topic, and not from a dead token.
pub(super) fn is_doubtful(entry: &Feedback) -> bool {
    entry.reason == DOUBTFUL
}

/// The reason of doubtful feedback.
pub(super) const DOUBTFUL: &str = AppleReason::BadDeviceToken.as_str();
