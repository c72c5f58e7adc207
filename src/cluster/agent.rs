//! The task by which a node is a member of its cluster: it beats, and hands on what its beats say.

use super::clock_offset::{Agreement, ClockOffset};
use super::metrics::Metrics;
use super::standing::Standing;
use super::tracker::{Changes, Own, Tracker};
use super::view::{MemberState, View};
use crate::clock::{Clock, boot_ms};
use crate::drain::Drain;
use crate::health::{Cause, Component, Health};
use crate::store::members::Members;
use crate::store::{Epoch, StoreError};
use crate::telemetry;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// From one beat to the next, about.
const INTERVAL: Duration = Duration::from_millis(500);
/// The same while the node joins, so that it does so soon.
const INTERVAL_JOINING: Duration = Duration::from_millis(100);
/// The part by which an interval is longer or shorter, so that nodes that start together do not beat together.
const JITTER: f64 = 0.1;
/// A process that slept for this much longer than it wanted was stopped, or its machine was.
const STOOD_STILL_MS: u64 = 1_000;
/// More than a beat takes without an answer.
const BEAT_MAX_MS: u64 = 7_000;

const NAME_TAKEN: Cause = Cause {
    reason: "node_name_taken",
    why: "its node_name belongs to another process, or to its own last run, whose lease ends within 6 seconds: it sends everything itself until then; if another node has this name, give one of them another node_name",
};
const STORE_AWAY: Cause = Cause {
    reason: "membership_unknown",
    why: "the shared store does not answer: the node keeps the members that it knew, and sees none come or go (sending goes on)",
};

const CLOCK_OFF: Cause = Cause {
    reason: "clock_off",
    why: "its clock and the clock of the shared store are more than 5 seconds apart: synchronise both machines with NTP (sending goes on)",
};

/// The parts of a node that follow its cluster. No call may block.
pub trait Follower: Send + Sync {
    /// Takes over another view.
    fn set_view(&self, view: &Arc<View>);

    /// The store has this epoch.
    fn set_epoch(&self, epoch: Epoch);

    /// The node is ready to own lanes: its links are up, and the connections of lanes that it takes over.
    fn is_ready(&self) -> bool;

    /// Reads the changes of apps.
    fn sync_registry(&self);

    /// Reads the quarantines.
    fn sync_quarantines(&self);
}

/// The signals of a node that stops, in their order.
#[derive(Clone, Default)]
pub struct Phases {
    /// The node hands its lanes over, and owns them until then.
    pub leaving: Drain,
    /// Its lanes are others'.
    pub gone: Drain,
    /// Nothing is in flight any more: the lease is given back.
    pub end: Drain,
}

/// The node's membership. It ends with [`Agent::run`].
pub struct Agent {
    tracker: Tracker,
    members: Box<dyn Members>,
    follower: Arc<dyn Follower>,
    clock: Clock,
    health: Health,
    metrics: Metrics,
    standing: watch::Sender<Standing>,
}

impl Agent {
    /// Prepares it. Nothing is written before [`Self::run`].
    pub fn new(
        own: Own,
        members: Box<dyn Members>,
        follower: Arc<dyn Follower>,
        clock: Clock,
        health: Health,
        telemetry: &telemetry::Metrics,
    ) -> Self {
        let (metrics, standing) = (Metrics::new(telemetry), watch::Sender::default());
        Self { tracker: Tracker::new(own), members, follower, clock, health, metrics, standing }
    }

    /// Sends the members to `standing` after each beat.
    pub fn shown_in(self, standing: watch::Sender<Standing>) -> Self {
        Self { standing, ..self }
    }

    /// Beats until the node has ended, and gives the lease back then.
    pub async fn run(mut self, Phases { leaving, gone, end }: Phases) {
        let mut pause = Duration::ZERO;
        loop {
            let from = boot_ms();
            tokio::select! {
                biased;
                () = end.cancelled() => break,
                () = gone.cancelled(), if self.tracker.state() != MemberState::Gone => self.tracker.go(),
                () = leaving.cancelled(), if !self.is_leaving() => self.tracker.leave(),
                () = tokio::time::sleep(pause) => {}
            }
            self.notice_standstill(from, pause);
            let is_complete = self.beat().await;
            let state = self.tracker.state();
            self.metrics.show(self.tracker.view(), state, self.tracker.valid_until());
            self.standing.send_replace(self.tracker.standing());
            pause = if is_complete { self.pause() } else { Duration::ZERO };
        }
        self.leave().await;
    }

    fn is_leaving(&self) -> bool {
        matches!(self.tracker.state(), MemberState::Leaving | MemberState::Gone)
    }

    /// The next pause. A node that is ready joins at once.
    fn pause(&self) -> Duration {
        let joins = self.tracker.is_joining();
        let interval = match joins {
            true if self.follower.is_ready() => Duration::ZERO,
            true => INTERVAL_JOINING,
            false => INTERVAL,
        };
        interval.mul_f64(1.0 - JITTER + 2.0 * JITTER * fastrand::f64())
    }

    fn notice_standstill(&mut self, from: u64, pause: Duration) {
        let late = boot_ms().saturating_sub(from).saturating_sub(pause.as_millis() as u64);
        if late > STOOD_STILL_MS {
            self.stand_still(late);
        }
    }

    fn stand_still(&mut self, for_ms: u64) {
        tracing::warn!(for_ms, "this process stood still: it asks who the members are");
        self.tracker.stood_still();
    }

    /// Returns false if another beat has to follow at once.
    async fn beat(&mut self) -> bool {
        let sent = boot_ms();
        let beat = self.tracker.beat(sent, self.follower.is_ready());
        let heard = self.members.beat(beat).await;
        let now = boot_ms();
        match heard {
            // It stood still during the call: an answer is old, and an error says nothing about the store.
            _ if now - sent > BEAT_MAX_MS => {
                self.stand_still(now - sent);
                false
            }
            Ok(heard) => {
                self.metrics.heard(sent, now);
                self.compare_clocks(Duration::from_millis(now - sent), heard.time);
                let changes = self.tracker.heard(sent, now, heard);
                let is_complete = !changes.is_incomplete;
                self.hand_on(changes);
                is_complete
            }
            Err(error) => {
                self.fail(&error);
                true
            }
        }
    }

    /// Raises the alarm about the clock, or ends it. `store_micros` is the store's time.
    fn compare_clocks(&self, round_trip: Duration, store_micros: i64) {
        let offset = ClockOffset::of(self.clock.unix_time(), round_trip, store_micros);
        self.metrics.show_clock_offset(offset.seconds);
        match offset.agreement() {
            Agreement::Agree => self.health.restore(Component::Clock),
            Agreement::Apart => {
                let side = if offset.seconds > 0.0 { "ahead of" } else { "behind" };
                let apart = offset.seconds.abs();
                let detail = format_args!("this node's clock is {apart:.1} s {side} the shared store's");
                self.health.degrade(Component::Clock, CLOCK_OFF, detail);
            }
            Agreement::Unsure => {}
        }
    }

    fn hand_on(&mut self, changes: Changes) {
        if self.tracker.is_name_taken() {
            self.health.degrade(Component::Cluster, NAME_TAKEN, &self.tracker.own().node);
        } else {
            self.health.restore(Component::Cluster);
        }
        for (node, why) in &changes.left_out {
            tracing::error!(%node, "this member of the cluster is left out: {why}");
        }
        if let Some(epoch) = changes.epoch {
            self.follower.set_epoch(epoch);
        }
        if let Some(view) = &changes.view {
            let names: Vec<_> =
                view.members().iter().map(|member| format!("{} {}", member.node, member.state.as_str())).collect();
            tracing::info!(members = names.join(", "), "the members of the cluster");
            self.metrics.view_changes.inc();
            self.follower.set_view(view);
        }
        if changes.registry {
            self.follower.sync_registry();
        }
        if changes.quarantines {
            self.follower.sync_quarantines();
        }
    }

    fn fail(&mut self, error: &StoreError) {
        self.metrics.beat_failures.inc();
        self.tracker.failed();
        self.health.degrade(Component::Cluster, STORE_AWAY, error);
        // So that its own state says that changes are not seen.
        self.follower.sync_registry();
    }

    async fn leave(&self) {
        let Own { node, session, .. } = self.tracker.own().clone();
        if let Err(error) = self.members.leave(node, session.into()).await {
            tracing::warn!(%error, "the lease in the shared store could not be given back: it ends by itself");
        }
    }
}
