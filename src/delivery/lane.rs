//! A lane: the task that sends an app's notifications, or those to a share of its device tokens, from its queue to the
//! sockets. A batch arrives as one message, and its answer is one message. Between them nothing is shared, locked or
//! allocated for a single notification.

mod addresses;
pub(super) mod dialer;
pub(super) mod health;
mod link;
mod pool;
mod queue;
mod routes;
mod stopped;
mod throttle;
mod work;

pub use dialer::Gateway;
pub use health::StopReason;
pub use pool::Bounds;

use super::bound::Bound;
use super::job::Job;
use super::metrics::{Metrics, Tally};
use super::status::Reporter;
use crate::clock::Clock;
use crate::drain::Drain;
use crate::events::guard::BadTokenSpike;
use crate::events::{Events, GuardHandle};
use crate::model::{AppKey, NodeReason, Records};
use crate::registry::App;
use pool::Pool;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;
use work::{Now, Work};

/// The time without traffic after which a lane and its connections end.
const IDLE_AFTER: Duration = Duration::from_secs(3600);
/// The number of rounds before the task yields.
const ROUNDS_MAX: usize = 16;

/// The services of the node that a lane needs.
#[derive(Clone)]
pub struct Parts {
    pub clock: Clock,
    pub events: Events,
    pub metrics: Metrics,
    pub drain: Drain,
}

/// One lane: the task that sends an app's notifications.
pub struct Lane {
    inbox: mpsc::Receiver<Job>,
    /// No more jobs will arrive.
    closed: bool,
    /// All ready tasks had a turn since the lane was woken. They may have added jobs, which are then sent in the same
    /// write.
    has_yielded: bool,
    work: Work,
    pool: Pool,
    key: AppKey,
    guard: GuardHandle,
    reporter: Reporter,
    parts: Parts,
    timer: Pin<Box<Sleep>>,
    /// `None` once there is no time to finish.
    forced_finish: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Lane {
    /// Creates the app's lane with this number, from 0.
    pub fn new(
        number: u16,
        inbox: mpsc::Receiver<Job>,
        app: Arc<App>,
        gateway: Gateway,
        bounds: Bounds,
        parts: Parts,
    ) -> Self {
        let now = Now { instant: Instant::now(), unix: parts.clock.unix_time() };
        let tally = Tally::new(parts.metrics.clone(), &app.key);
        Self {
            inbox,
            closed: false,
            has_yielded: false,
            work: Work::new(now, Arc::clone(&app), tally),
            key: app.key.clone(),
            guard: parts.events.guard_of(&app.key),
            reporter: parts.metrics.board.begin(&app, number, now.instant),
            pool: Pool::new(gateway, app, bounds),
            forced_finish: Some(Box::pin(parts.drain.finish_forced())),
            parts,
            timer: Box::pin(tokio::time::sleep_until(now.instant + IDLE_AFTER)),
        }
    }

    /// Runs until the inbox is closed, or an hour passed without traffic, and every taken job is answered.
    pub async fn run(mut self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.has_yielded, true) {
            self.poll_force_finish(cx);
            for _ in 0..ROUNDS_MAX {
                let moved = self.round(cx);
                if self.closed && self.work.is_empty() && self.pool.is_empty() {
                    return Poll::Ready(());
                }
                if !moved && self.poll_timer(cx).is_pending() {
                    self.has_yielded = false;
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn round(&mut self, cx: &mut Context<'_>) -> bool {
        self.work.tick(Now { instant: Instant::now(), unix: self.parts.clock.unix_time() });
        let mut moved = self.take_jobs(cx);
        if self.forced_finish.is_none() {
            self.work.force_finish();
        }
        for job in self.work.on_time() {
            self.pool.cut_off(job, &mut self.work);
        }
        if self.pool.has_credential() {
            self.work.end_what_is_stopped();
        } else {
            self.work.end_all(NodeReason::CredentialError);
        }
        moved |= self.pool.turn(cx, &mut self.work);
        self.finish_jobs();
        self.report(moved);
        moved
    }

    /// Publishes the lane's status, and its bound until the next round.
    fn report(&mut self, moved: bool) {
        let Self { work, pool, reporter, .. } = self;
        let status = &mut reporter.status;
        pool.report(status, work);
        status.stop_reason = work.health.stop_reason();
        status.last_job = work.last_job();
        status.in_flight = pool.in_flight();
        status.queued = work.unsettled().saturating_sub(status.in_flight);
        if work.tally.flush(status.in_flight, status.queued, status.stop_reason) {
            status.last_success = Some(work.now.unix);
        }
        status.account.elapse(work.now.instant);
        status.account.set_current(match pool.bound(work) {
            Bound::Caller => Bound::Caller,
            // The next round follows immediately.
            _ if moved => Bound::Cpu,
            bound => bound,
        });
        reporter.publish(work.take_last_error());
    }

    fn take_jobs(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while !self.closed {
            match self.inbox.poll_recv(cx) {
                Poll::Ready(Some(job)) => {
                    self.pool.serve(&job.app, &mut self.work);
                    self.work.accept(job);
                    moved = true;
                }
                Poll::Ready(None) => self.closed = true,
                Poll::Pending => break,
            }
        }
        if self.work.is_empty() && self.work.now.instant.duration_since(self.work.last_job()) >= IDLE_AFTER {
            self.inbox.close();
        }
        if self.closed && self.work.is_empty() {
            self.pool.finish();
        }
        moved
    }

    /// Answers the callers of finished jobs, after their events are written.
    fn finish_jobs(&mut self) {
        let finished = self.work.take_finished();
        let disconnections = self.work.take_incidents(self.closed);
        if !disconnections.is_empty() {
            self.record(Records { disconnections, ..Records::default() }, None, || ());
        }
        for mut job in finished {
            let spike = self.observe_answers(&job);
            if job.records.is_empty() && spike.is_none() {
                job.reply();
            } else {
                self.record(std::mem::take(&mut job.records), spike, || job.reply());
            }
        }
    }

    /// Passes a job's answers to the app's guard, and returns a detected spike.
    fn observe_answers(&self, job: &Job) -> Option<BadTokenSpike> {
        let mut guard = self.guard.lock();
        job.report(&mut guard);
        guard.take_spike()
    }

    /// Writes a detected spike's quarantine, then the records, then runs `then`. A failing store does not delay the
    /// callers' answers, which are true in any case: refused records are written later.
    fn record(&self, records: Records, spike: Option<BadTokenSpike>, then: impl FnOnce() + Send + 'static) {
        let (events, drain) = (self.parts.events.clone(), self.parts.drain.clone());
        let (app, now) = (self.key.clone(), self.work.now.unix);
        self.parts.drain.spawn("record", async move {
            if let Some(spike) = spike
                && let Err(error) = events.quarantine(&app, spike, now).await
            {
                tracing::error!(%app, %error, "a spike of bad tokens could not be held back");
            }
            let written = events.record(records).await;
            then();
            if let Err(unwritten) = written {
                events.retry_until_written(unwritten, &drain).await;
            }
        });
    }

    /// Checks if there is still time to finish.
    fn poll_force_finish(&mut self, cx: &mut Context<'_>) {
        if self.forced_finish.as_mut().is_some_and(|forced_finish| forced_finish.as_mut().poll(cx).is_ready()) {
            self.forced_finish = None;
        }
    }

    /// Sleeps until the next deadline. `Ready` means that it has passed.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let idle = (!self.closed).then_some(self.work.last_job() + IDLE_AFTER);
        let due = [self.work.next_time(), self.pool.next_time(&self.work), idle];
        let Some(due) = due.into_iter().flatten().min() else { return Poll::Pending };
        if self.timer.deadline() != due {
            self.timer.as_mut().reset(due);
        }
        self.timer.as_mut().poll(cx)
    }
}
