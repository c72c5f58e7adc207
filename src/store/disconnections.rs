//! The contract of the disconnection log.

use super::{Cursor, Page, Pending};
use crate::model::{AppKey, Disconnection};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The maximum number of disconnections per app: the newest are kept.
pub const DISCONNECTIONS_MAX: usize = 5_000;

/// The disconnection log of each app.
pub trait DisconnectionLog: Send + Sync {
    /// Returns at most `limit` entries after the cursor, oldest position first.
    fn disconnections(&self, app: AppKey, after: Cursor, limit: usize) -> Pending<'_, Page<Disconnection>>;

    /// Deletes the disconnections up to and including the cursor. Returns their number.
    fn acknowledge_disconnections(&self, app: AppKey, through: Cursor) -> Pending<'_, u64>;
}

/// A disconnection as stores write it: as JSON, below its app.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredDisconnection<'a> {
    code: u8,
    internal_identifier: u32,
    offending_notification: Option<Cow<'a, str>>,
    timestamp: f64,
    verbose_message: Cow<'a, str>,
    reason: Cow<'a, str>,
    status: Option<u16>,
    apns_id: Option<Cow<'a, str>>,
    affected: u32,
    #[serde(default)]
    node: Option<Cow<'a, str>>,
}

impl<'a> From<&'a Disconnection> for StoredDisconnection<'a> {
    fn from(entry: &'a Disconnection) -> Self {
        Self {
            code: entry.code,
            internal_identifier: entry.internal_identifier,
            offending_notification: entry.offending_notification.as_deref().map(Cow::from),
            timestamp: entry.timestamp,
            verbose_message: Cow::from(&entry.verbose_message),
            reason: Cow::from(&entry.reason),
            status: entry.status,
            apns_id: entry.apns_id.as_deref().map(Cow::from),
            affected: entry.affected,
            node: entry.node.as_ref().map(|name| Cow::from(name.as_str())),
        }
    }
}

impl StoredDisconnection<'_> {
    pub(super) fn of(self, app: &AppKey) -> Disconnection {
        Disconnection {
            app: app.clone(),
            code: self.code,
            internal_identifier: self.internal_identifier,
            offending_notification: self.offending_notification.map(Cow::into_owned),
            timestamp: self.timestamp,
            verbose_message: self.verbose_message.into_owned(),
            reason: self.reason.into_owned(),
            status: self.status,
            apns_id: self.apns_id.map(Cow::into_owned),
            affected: self.affected,
            node: self.node.and_then(|name| name.parse().ok()),
        }
    }
}
