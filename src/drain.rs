//! The shutdown signal of a node, and the only place where tasks and blocking work are started.

use crate::subject;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// Starts tasks, signals them to end, and waits for them. Clones are handles to the same drain.
#[derive(Debug, Clone, Default)]
pub struct Drain {
    signal: CancellationToken,
    forced: CancellationToken,
    tasks: TaskTracker,
}

impl Drain {
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task with the subject of the running task. At level debug the task has a span named `name`; entering a
    /// span costs time on every poll. The task is counted until it ends. Dropping the handle does not stop it.
    #[expect(clippy::disallowed_methods, reason = "the only place that starts tasks")]
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let future = future.instrument(tracing::debug_span!("task", name));
        match subject::current() {
            Some(subject) => self.tasks.spawn(subject.scope(future)),
            None => self.tasks.spawn(future),
        }
    }

    /// Runs work that blocks, on the disk or on a computation, on a thread for blocking work, with the subject of the
    /// running task. It is counted until it ends, as tasks are, and cannot be cancelled.
    #[expect(clippy::disallowed_methods, reason = "the only place that starts blocking work")]
    pub fn spawn_blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        self.tasks.spawn_blocking(subject::with_current(work))
    }

    /// Resolves once the drain has begun, immediately if it already has.
    pub async fn cancelled(&self) {
        self.signal.cancelled().await;
    }

    /// Returns true once the drain has begun.
    pub fn has_begun(&self) -> bool {
        self.signal.is_cancelled()
    }

    /// Signals every task to finish its work and end. Tasks may still be started for that.
    pub fn begin(&self) {
        self.signal.cancel();
    }

    /// Signals tasks to end their work unfinished, because the drain budget is nearly used up.
    pub fn force_finish(&self) {
        self.forced.cancel();
    }

    /// Resolves once [`Self::force_finish`] was called.
    pub fn finish_forced(&self) -> WaitForCancellationFutureOwned {
        self.forced.clone().cancelled_owned()
    }

    /// Begins the drain, and waits for all tasks, at most `budget`. Returns true if all of them ended in time.
    pub async fn finish(&self, budget: Duration) -> bool {
        self.begin();
        self.tasks.close();
        tokio::time::timeout(budget, self.tasks.wait()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_drain_waits_for_tasks_that_finish_what_they_have() {
        let drain = Drain::new();
        let signal = drain.clone();
        let task = drain.spawn("worker", async move {
            signal.cancelled().await;
            tokio::time::sleep(Duration::from_secs(5)).await;
            "finished"
        });
        assert!(!drain.has_begun());
        assert!(drain.finish(Duration::from_secs(6)).await);
        assert_eq!(task.await.ok(), Some("finished"));
    }

    #[tokio::test]
    async fn a_task_has_the_subject_of_the_task_that_started_it() {
        let (drain, app) = (Drain::new(), subject::Subject::App("shop/sandbox".into()));
        let started = app.clone().within(|| drain.spawn("worker", async { subject::current() }));
        assert_eq!(started.await.unwrap(), Some(app));
        assert_eq!(drain.spawn("worker", async { subject::current() }).await.unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_reports_that_its_budget_was_too_small() {
        let drain = Drain::new();
        drain.spawn("stubborn", std::future::pending::<()>());
        assert!(!drain.finish(Duration::from_secs(1)).await);
    }

    #[tokio::test]
    async fn a_drain_waits_for_work_that_blocks() {
        let drain = Drain::new();
        let (let_go, held) = std::sync::mpsc::channel();
        let work = drain.spawn_blocking(move || held.recv().is_ok());
        assert!(!drain.finish(Duration::ZERO).await, "the work still runs");
        let_go.send(()).unwrap();
        assert!(drain.finish(Duration::from_secs(10)).await);
        assert_eq!(work.await.ok(), Some(true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_started_while_draining_is_waited_for_too() {
        let drain = Drain::new();
        drain.begin();
        let task = drain.spawn("last words", tokio::time::sleep(Duration::from_secs(2)));
        assert!(drain.finish(Duration::from_secs(3)).await);
        assert!(task.is_finished());
    }
}
