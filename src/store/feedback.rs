//! The contract of feedback: dead tokens, and held feedback.

use super::{Cursor, Page, Pending};
use crate::model::{AppKey, AppleReason, Feedback, Quarantine, Resolution};

/// The dead tokens of each app, and its held feedback.
pub trait FeedbackLog: Send + Sync {
    /// Begins a quarantine: holds back the app's doubtful feedback, also the entries that are not acknowledged yet.
    /// Returns their number. An existing quarantine stays unchanged.
    fn quarantine(&self, app: AppKey, quarantine: Quarantine) -> Pending<'_, u64>;

    /// The quarantines of all apps.
    fn quarantines(&self) -> Pending<'_, Vec<(AppKey, Quarantine)>>;

    /// Ends the app's quarantine, if any, and returns the number of entries held. A released entry takes a new
    /// position, and does not replace a newer entry.
    fn resolve(&self, app: AppKey, resolution: Resolution) -> Pending<'_, u64>;

    /// Returns at most `limit` entries after the cursor, oldest position first.
    fn feedback(&self, app: AppKey, after: Cursor, limit: usize) -> Pending<'_, Page<Feedback>>;

    /// Deletes the feedback up to and including the cursor. Returns the number of entries.
    fn acknowledge_feedback(&self, app: AppKey, through: Cursor) -> Pending<'_, u64>;
}

/// Returns true if a wrong environment or topic may be the cause of an entry, and not a dead token.
pub(super) fn is_doubtful(entry: &Feedback) -> bool {
    entry.reason == DOUBTFUL
}

/// The reason of doubtful feedback.
pub(super) const DOUBTFUL: &str = AppleReason::BadDeviceToken.as_str();
