//! The subject of the running task: the request or app that it works for. The log names it when the task panics.

use http::HeaderValue;
use std::sync::Arc;
use tokio::task::futures::TaskLocalFuture;

tokio::task_local! {
    static SUBJECT: Subject;
}

/// The request or app that a task works for. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A request, by its `X-Request-Id`.
    Request(HeaderValue),
    /// An app, as `app_id/environment`.
    App(Arc<str>),
}

impl Subject {
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Request(id) => id.to_str().ok(),
            Self::App(_) => None,
        }
    }

    /// The same as it came, to be passed on.
    pub fn request_header(&self) -> Option<&HeaderValue> {
        match self {
            Self::Request(id) => Some(id),
            Self::App(_) => None,
        }
    }

    pub fn app(&self) -> Option<&str> {
        match self {
            Self::Request(_) => None,
            Self::App(key) => Some(key),
        }
    }

    /// Runs `work` with this subject.
    pub fn within<T>(self, work: impl FnOnce() -> T) -> T {
        SUBJECT.sync_scope(self, work)
    }

    /// Runs the future with this subject, and the tasks that it starts through the drain.
    pub fn scope<F: Future>(self, future: F) -> TaskLocalFuture<Self, F> {
        SUBJECT.scope(self, future)
    }
}

/// The subject of the running task, if it has one.
pub fn current() -> Option<Subject> {
    SUBJECT.try_with(Subject::clone).ok()
}

/// Wraps `work` so that another thread runs it with the subject of the running task.
pub fn with_current<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let subject = current();
    move || match subject {
        Some(subject) => subject.within(work),
        None => work(),
    }
}
