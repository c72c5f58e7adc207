//! Decides when a lane opens a connection, and logs the obstacles.

use super::{FULL_FOR, KEPT_WITHOUT_TRAFFIC, Pool};
use crate::apns::connect::ConnectError;
use crate::delivery::descriptors::Need;
use crate::delivery::lane::dialer::Dialed;
use crate::delivery::lane::link::Link;
use crate::delivery::lane::work::Work;
use crate::delivery::status::CONNECTING_LONG;
use crate::model::NodeReason;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use tokio::time::Instant;

impl Pool {
    /// Continues to open a connection, or begins if one is needed. Returns true if there was progress.
    pub(super) fn open(&mut self, cx: &mut Context<'_>, work: &mut Work) -> bool {
        let now = work.now.instant;
        let was_busy = self.dialer.is_busy();
        let has_begun = was_busy || self.begin(cx, work);
        let is_without = self.dialer.is_waiting() || self.is_out_of_descriptors;
        work.lacks_descriptors = is_without && !self.links.iter().any(Link::is_serving);
        if !has_begun {
            return false;
        }
        if !was_busy {
            (self.opened_at, self.reported_opening) = (Some(now), false);
        }
        let in_use: Vec<SocketAddr> = self.links.iter().map(|link| link.address).collect();
        let Poll::Ready(outcome) = self.dialer.poll(cx, &self.app, &in_use, now) else { return false };
        match outcome {
            Ok(dialed) => self.opened(dialed, work),
            Err(error) => self.refused(&error, work),
        }
        true
    }

    /// Begins to open a connection if one is needed and there is a descriptor for it. Returns true if it did.
    fn begin(&mut self, cx: &mut Context<'_>, work: &mut Work) -> bool {
        if self.open_at(work).is_none_or(|at| work.now.instant < at) {
            self.dialer.claim().withdraw();
            return false;
        }
        let need = if self.has_young() { Need::More } else { Need::First };
        let waited = self.dialer.is_waiting();
        let has_begun = self.dialer.begin(cx, work.is_waiting().then_some(need));
        if need == Need::First && !waited && self.dialer.is_waiting() && self.dialer.claim().is_short() {
            self.report_shortage(work);
        }
        has_begun
    }

    /// Logs and publishes that no descriptor is left and no connection is idle.
    fn report_shortage(&mut self, work: &mut Work) {
        let budget = self.dialer.claim().budget();
        let max = budget.counts().max.unwrap_or(usize::MAX);
        let what = "no connection to Apple can be opened: all descriptors for them are in use, and none is idle; raise \
                    LimitNOFILE (systemd) or the hard limit of `ulimit -n`";
        if budget.is_news(work.now.instant) {
            tracing::warn!(app = %self.app.key, max, "{what}");
        }
        work.set_last_error(what.to_owned());
    }

    fn opened(&mut self, dialed: Dialed, work: &mut Work) {
        work.tally.metrics().connects.inc();
        work.tally.metrics().connections.inc();
        let id = self.next_link;
        self.next_link = id.wrapping_add(1);
        self.is_out_of_descriptors = false;
        self.links.push(Link::new(id, dialed, &self.app, work.now));
        self.full_since = None;
    }

    fn refused(&mut self, error: &ConnectError, work: &mut Work) {
        work.tally.metrics().connect_failures.inc();
        self.is_out_of_descriptors = error.is_out_of_descriptors();
        if !self.is_out_of_descriptors || self.dialer.claim().budget().is_news(work.now.instant) {
            tracing::warn!(app = %self.app.key, %error, "cannot connect to Apple");
        }
        work.set_connection_error(format!("cannot connect to Apple: {error}"));
        if self.is_out_of_descriptors {
            // This is not a failure of Apple.
        } else if error.is_credential() && !self.works() {
            let reason = NodeReason::CredentialError.into();
            if work.credential_failed(|_| format!("Apple refuses the app's credential: {error}")) {
                work.connection_ended(&reason, 0);
            }
        } else {
            self.count_failure(work);
        }
    }

    /// The time to open the next connection; `None` while none is needed or one is being opened.
    pub(super) fn open_at(&self, work: &Work) -> Option<Instant> {
        let now = work.now.instant;
        let needed = if self.has_young() {
            self.full_since.filter(|_| self.links.len() < self.bounds.connections)? + FULL_FOR
        } else {
            let had_work_recently =
                !self.finishing && now < work.last_job() + KEPT_WITHOUT_TRAFFIC && !self.dialer.is_used_up();
            (had_work_recently || work.is_waiting()).then_some(now)?
        };
        let may = self.dialer.ready_at().max(work.health.opens_at());
        Some(may.map_or(needed, |may| needed.max(may)))
    }

    /// Returns true if a connection accepts work and need not be replaced.
    pub(super) fn has_young(&self) -> bool {
        self.links.iter().any(|link| link.is_serving() && link.requests() < self.bounds.requests)
    }

    pub(super) fn has_ready(&self) -> bool {
        self.links.iter().any(|link| link.is_serving() && link.is_ready())
    }

    /// Returns true while a connection is being opened, from the lookup of the name to Apple's SETTINGS.
    pub(super) fn is_opening(&self) -> bool {
        self.dialer.is_busy() || self.links.iter().any(Link::is_opening)
    }

    /// The time at which a slow opening is logged, once for each, while no other connection is ready.
    pub(super) fn long_opening_at(&self) -> Option<Instant> {
        let since = self.opened_at.filter(|_| !self.reported_opening && self.is_opening() && !self.has_ready());
        since.map(|since| since + CONNECTING_LONG)
    }

    /// Logs and publishes that opening a connection takes long, with the current step.
    pub(super) fn report_long_opening(&mut self, work: &mut Work) {
        if self.long_opening_at().is_none_or(|at| work.now.instant < at) {
            return;
        }
        self.reported_opening = true;
        let seconds = CONNECTING_LONG.as_secs();
        let what = match (self.dialer.step(), self.links.iter().find(|link| link.is_opening())) {
            (Some(step), _) => format!("no connection to Apple within {seconds} s: {step}"),
            (None, Some(link)) => format!(
                "connected to Apple at {} with TLS, and no HTTP/2 SETTINGS came within {seconds} s: a proxy or firewall \
                 may hold them back, or the server there is not Apple's gateway",
                link.address
            ),
            (None, None) => return,
        };
        tracing::warn!(app = %self.app.key, "{what}");
        work.set_connection_error(what);
    }
}
