//! The calls of an app: the management of its broadcast channels, and broadcasts. Each ends like a notification, with one
//! of the five outcomes.
//!
//! Calls are rare in comparison with notifications, so that their lanes are simpler: a queue of calls and one connection,
//! which is opened on first use and closed when idle.

mod forward;
mod lane;
pub mod lanes;
mod link;
mod verdict;
mod work;

pub use forward::ForwardingCaller;
pub use lanes::{CallLanes, Gateways, Origin};

use super::send::{Refused, Sending};
use crate::apns::channels::{Call, Reply};
use crate::model::{Environment, Outcome};
use crate::registry::App;
use std::pin::Pin;
use std::sync::Arc;

/// The result of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct CallResult {
    /// `accepted` if Apple did what was asked; `status` is then Apple's, such as 201.
    pub outcome: Outcome,
    /// The content of Apple's answer, if the outcome is `accepted`.
    pub reply: Option<Reply>,
    /// A sentence with the cause, if it is the connection or the credential.
    pub detail: Option<Arc<str>>,
}

/// The future results of calls, in the order of the calls.
pub type CallResults = Pin<Box<dyn Future<Output = Vec<CallResult>> + Send>>;

/// Makes calls for apps: in this node, or in the node that owns the app.
pub trait Caller: Send + Sync {
    /// Makes these calls for an app, all to the same service, at the same time. Dropping the results does not stop the
    /// calls.
    ///
    /// # Errors
    /// None of the calls was made.
    fn call(&self, app: Arc<App>, calls: Vec<Call>, sending: Sending) -> Result<CallResults, CallRefused>;
}

/// The reason that calls were refused. Nothing was sent to Apple.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallRefused {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(
        "apple.{0} names another gateway in place of Apple's, and nothing names the one that manages its channels: set \
         apple.{0}_channels",
        environment.as_str()
    )]
    NoGateway { environment: Environment },
}
