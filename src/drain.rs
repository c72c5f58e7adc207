//! One shutdown signal for the whole node, and the only place where tasks and blocking work are started.

use crate::subject;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// Starts tasks, tells them when to end, waits until they have. Clones are handles to the same drain.
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

    /// Starts a task, for what the running one works for. From level debug on it is inside a span that carries `name`:
    /// entering one costs something on every poll. It is counted until it ends; dropping the handle lets it run on.
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

    /// Runs work that blocks, on the disk or on a computation, beside the threads that tasks run on, for what the running
    /// task works for. It is counted until it
    /// ends, as tasks are, and nothing can end it before.
    #[expect(clippy::disallowed_methods, reason = "the only place that starts blocking work")]
    pub fn spawn_blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        self.tasks.spawn_blocking(subject::with_current(work))
    }

    /// Resolves once the drain has begun, at once if it already has.
    pub async fn cancelled(&self) {
        self.signal.cancelled().await;
    }

    /// Whether the drain has begun.
    pub fn has_begun(&self) -> bool {
        self.signal.is_cancelled()
    }

    /// Tells every task to finish what it has and end. Tasks may still be started, to finish things.
    pub fn begin(&self) {
        self.signal.cancel();
    }

    /// Tells tasks that finishing what they have would take too long: they end it.
    pub fn force_finish(&self) {
        self.forced.cancel();
    }

    /// Resolves once there is no time to finish things any more.
    pub fn finish_forced(&self) -> WaitForCancellationFutureOwned {
        self.forced.clone().cancelled_owned()
    }

    /// Begins the drain if nobody has, and waits for all tasks, at most `budget`: whether all ended in time.
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
    async fn a_task_works_for_what_the_one_that_started_it_works_for() {
        let (drain, app) = (Drain::new(), subject::Subject::App("shop/sandbox".into()));
        let started = app.clone().within(|| drain.spawn("worker", async { subject::current() }));
        assert_eq!(started.await.unwrap(), Some(app));
        assert_eq!(drain.spawn("worker", async { subject::current() }).await.unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_says_when_its_budget_was_too_small() {
        let drain = Drain::new();
        drain.spawn("stubborn", std::future::pending::<()>());
        assert!(!drain.finish(Duration::from_secs(1)).await);
    }

    #[tokio::test]
    async fn a_drain_waits_for_work_that_blocks() {
        let drain = Drain::new();
        let (let_go, held) = std::sync::mpsc::channel();
        let work = drain.spawn_blocking(move || held.recv().is_ok());
        assert!(!drain.finish(Duration::ZERO).await, "it is at it");
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
