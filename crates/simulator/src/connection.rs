//! A connection: takes requests from h2 in batches, judges and answers them by the rules, and obeys the script.
//!
//! A single task does all of it, without a task, timer or lock per request. The order within a turn is what makes the
//! ledger exact: requests are read, then the script is read, then the requests are judged and entered, then answers are
//! sent.

mod answer;
mod arrival;
mod end;
mod limits;
mod malformed;
mod poison;
mod record;
mod settings;
mod slow;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::certificate::ClientCertificate;
use super::channels::CHANNELS_MAX;
use super::ledger::Batch;
use super::pump::{self, Field, Pump, PumpHandle};
use super::rules::{self, Credential, Rejection, Verdict};
use super::script::{Act, Plan, Spent, StreamPosition};
use super::shared::Shared;
use super::site::Site;
use answer::Waiting;
use arrival::Arrival;
use end::EndProgress;
use limits::Limits;
use settings::Changes;
use slow::LateBody;

/// Resets by the peer that h2 remembers.
const RESETS_MAX: usize = 1000;
/// Initial size of every window (RFC 9113 6.9.2).
const WINDOW: u32 = 65_535;
/// Time that the peer may take to close after we did.
const LINGER: Duration = Duration::from_secs(5);

/// The flow control of a connection that a script changes.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// The initial window of each stream, in bytes.
    pub stream: u32,
    /// `false`: the window is never opened again, on the stream or on the connection.
    pub updates: bool,
}

/// A connection before it speaks HTTP/2.
pub struct Opening {
    /// Counts from 1.
    pub number: u64,
    pub site: Site,
    /// The certificate that TLS verified.
    pub certificate: Option<ClientCertificate>,
    /// `None` = the maximum windows.
    pub window: Option<Window>,
}

/// Serves a connection until it ends, by `plan`.
pub async fn serve<S>(stream: S, opening: Opening, shared: Arc<Shared>, mut plan: watch::Receiver<Plan>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Opening { number, site, certificate, window } = opening;
    let script = Arc::clone(&plan.borrow().script);
    let play = script.script.settings.as_ref().filter(|play| play.concerns(number));
    settings::delay(play).await;
    let (mut first, full) = settings::first(play, certificate.is_none());
    first.initial_window_size = window.map(|window| window.stream).or(first.initial_window_size);
    let (pumped, handle) = Pump::new(stream, &pump::settings(&first.wire()), script.script.record_headers);
    let handshake = h2::server::Builder::new()
        .initial_connection_window_size(window.map_or(shared.connection_window, |_| WINDOW))
        .initial_window_size(window.map_or(WINDOW, |window| window.stream))
        .max_header_list_size(first.max_header_list_size.unwrap_or(u32::MAX))
        .max_frame_size(first.max_frame_size.unwrap_or(16_384))
        .max_local_error_reset_streams(None)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_concurrent_reset_streams(RESETS_MAX)
        .data_frame_budget(usize::MAX)
        .handshake(pumped);
    let Ok(h2) = handshake.await else { return };
    let misplaced = certificate.as_ref().is_some_and(|shown| !shown.is_for(site.environment));
    let limits = Limits::new(first.max_concurrent_streams.unwrap_or(u32::MAX), full);
    let mut session =
        Session::new(h2, handle, Credential::new(certificate), (number, site), shared, plan.clone(), limits);
    session.withholds = window.is_some_and(|window| !window.updates);
    session.end_at_connect(misplaced);
    loop {
        tokio::select! {
            biased;
            changed = plan.changed() => match changed {
                Ok(()) => drop(plan.borrow_and_update()),
                Err(_) => return,
            },
            () = std::future::poll_fn(|cx| session.poll(cx)) => return,
        }
    }
}

type Stream = (RecvStream, SendResponse<Bytes>);

struct Session<S> {
    number: u64,
    site: Site,
    shared: Arc<Shared>,
    h2: h2::server::Connection<Pump<S>, Bytes>,
    pump: PumpHandle,
    plan: watch::Receiver<Plan>,
    active: Plan,
    credential: Credential,
    random: fastrand::Rng,
    ending: EndProgress,
    /// Streams whose body has not ended.
    incomplete: Vec<Arrival>,
    complete: Vec<Arrival>,
    /// Delayed answers.
    waiting: Waiting,
    /// Streams that get neither answer nor reset; dropping them would reset them.
    parked: Vec<Stream>,
    /// Streams that were answered without h2.
    passed: Vec<Stream>,
    /// The peer's dynamic table was set to size 0, and h2 does not know.
    without_table: bool,
    /// The header blocks of later requests, by stream, if they are recorded.
    heads: HashMap<u32, Vec<Field>>,
    /// The last provider token, and its name in the ledger.
    jwt: Option<(HeaderValue, Arc<str>)>,
    late_bodies: Vec<LateBody>,
    /// No window is ever opened again.
    withholds: bool,
    /// Bodies of answered requests: dropping them would open windows.
    withheld: Vec<RecvStream>,
    limits: Limits,
    changes: Changes,
    /// The state of the script's error budget.
    spent: Spent,
    /// The answer to every request, and the time until which it applies.
    poison: Option<(Option<Instant>, Rejection)>,
    /// Streams taken from h2 and not ended.
    open: u32,
    /// The number of answers passed to h2.
    ended: u64,
    highest_seen: u32,
    highest_processed: u32,
    batch: Batch,
    timer: Pin<Box<Sleep>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    fn new(
        h2: h2::server::Connection<Pump<S>, Bytes>,
        pump: PumpHandle,
        credential: Credential,
        (number, site): (u64, Site),
        shared: Arc<Shared>,
        mut plan: watch::Receiver<Plan>,
        limits: Limits,
    ) -> Self {
        let active = plan.borrow_and_update().clone();
        let random = fastrand::Rng::with_seed(active.script.script.seed.wrapping_add(number));
        Self {
            number,
            site,
            shared,
            h2,
            pump,
            plan,
            active,
            credential,
            random,
            ending: EndProgress::default(),
            incomplete: Vec::new(),
            complete: Vec::new(),
            waiting: Waiting::default(),
            parked: Vec::new(),
            passed: Vec::new(),
            without_table: false,
            heads: HashMap::new(),
            jwt: None,
            late_bodies: Vec::new(),
            withholds: false,
            withheld: Vec::new(),
            limits,
            changes: Changes::default(),
            spent: Spent::default(),
            poison: None,
            open: 0,
            ended: 0,
            highest_seen: 0,
            highest_processed: 0,
            batch: Batch::default(),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
        }
    }

    /// Runs turns until nothing is left to do; ready when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.poll_accept(cx).is_ready() {
                self.enter();
                return Poll::Ready(());
            }
            self.take_seen();
            self.adopt_plan();
            arrival::poll_bodies(&mut self.incomplete, &mut self.complete, &mut self.open, cx);
            let now_ms = self.shared.clock.now_ms();
            let mut worked = !self.complete.is_empty();
            for arrival in std::mem::take(&mut self.complete) {
                self.receive(arrival, now_ms);
            }
            worked |= self.answer_due();
            worked |= self.send_late_bodies();
            self.make_changes();
            worked |= self.advance_end();
            self.enter();
            match self.poll_timer(cx) {
                Poll::Ready(true) => return Poll::Ready(()),
                Poll::Ready(false) => worked = true,
                Poll::Pending => {}
            }
            if !worked {
                return Poll::Pending;
            }
        }
    }

    /// Takes everything that has arrived; ready when h2 says that the connection is over.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.h2.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.open += 1;
                    let highest = &mut self.batch.totals.streams_highest;
                    *highest = u64::from(self.open).max(*highest);
                    let arrival = Arrival::new(request, respond, self.site.service, self.withholds);
                    self.highest_seen = self.highest_seen.max(arrival.stream);
                    let stream = arrival.stream;
                    if self.is_over_limit(stream) {
                        self.forget_reset_streams(cx);
                    }
                    if self.is_over_limit(stream) && stream <= self.last_id() {
                        self.refuse_over_limit(arrival);
                    } else if let Some(arrival) = self.answer_early(arrival) {
                        self.incomplete.push(arrival);
                    }
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Requests sent after a script was set are subject to it, because the script is read after them.
    fn adopt_plan(&mut self) {
        if !self.plan.has_changed().unwrap_or(false) {
            return;
        }
        let plan = self.plan.borrow_and_update().clone();
        let new_script = !Arc::ptr_eq(&plan.script, &self.active.script);
        self.active = plan;
        if new_script {
            self.random = fastrand::Rng::with_seed(self.active.script.script.seed.wrapping_add(self.number));
            (self.changes, self.spent, self.poison) = (Changes::default(), Spent::default(), None);
            self.script_arrived();
        }
    }

    /// A request whose body has ended: parked, or processed; then the connection may have to end.
    fn receive(&mut self, arrival: Arrival, now_ms: i64) {
        let signal = self.count();
        if arrival.stream > self.last_id() && self.refuses_late() {
            self.refuse(arrival, "refused after the GOAWAY");
        } else if arrival.stream > self.last_id() {
            self.record(&arrival, &record::answer_id(&arrival), None, Some("not taken by the ending connection"));
            self.parked.push(arrival.into_stream());
        } else {
            self.process(arrival, signal.withhold, now_ms);
        }
        if signal.fires {
            self.end_scripted();
        }
        self.count_for_changes();
    }

    fn process(&mut self, mut arrival: Arrival, withhold: bool, now_ms: i64) {
        self.highest_processed = self.highest_processed.max(arrival.stream);
        let id = record::answer_id(&arrival);
        if let Some(rejection) = self.poisoned() {
            return self.answer_scripted(arrival, id, rejection, "poisoned connection");
        }
        let position = StreamPosition { connection: self.number, stream: arrival.stream };
        match self.active.script.fault(&arrival.push(), position, &mut self.random).cloned() {
            None => {
                let verdict = self.judge(&arrival, now_ms);
                if withhold {
                    self.record(&arrival, &id, Some(&verdict), Some("connection ended before the answer"));
                    self.parked.push(arrival.into_stream());
                } else {
                    self.record(&arrival, &id, Some(&verdict), None);
                    self.answer(arrival, id, verdict);
                }
            }
            Some(Act::Answer { status, reason }) => {
                let rejection = Rejection::scripted(status, reason);
                self.answer_scripted(arrival, id, rejection, "scripted answer");
            }
            Some(Act::Poison { status, reason, for_ms }) => {
                let rejection = Rejection::scripted(status, reason);
                let until = for_ms.map(|ms| Instant::now() + Duration::from_millis(ms));
                self.poison = Some((until, rejection.clone()));
                self.answer_scripted(arrival, id, rejection, "poisons the connection");
            }
            Some(Act::Malformed(malformed)) => self.answer_malformed(arrival, id, &malformed, now_ms),
            Some(Act::Reset { code, processed }) => {
                let verdict = processed.then(|| self.judge(&arrival, now_ms));
                self.record(&arrival, &id, verdict.as_ref(), Some(&format!("reset with code {code}")));
                self.batch.totals.resets += 1;
                self.open -= 1;
                arrival.respond.send_reset(Reason::from(code));
            }
            Some(Act::Silence { processed }) => {
                let verdict = processed.then(|| self.judge(&arrival, now_ms));
                self.record(&arrival, &id, verdict.as_ref(), Some("silence"));
                self.parked.push(arrival.into_stream());
            }
            Some(act) => self.process_timed(act, arrival, id, now_ms),
        }
    }

    /// The verdict of the rules.
    fn judge(&mut self, arrival: &Arrival, now_ms: i64) -> Verdict {
        let script = &self.active.script;
        let context = rules::Context {
            settings: &self.shared.rules,
            site: self.site,
            tokens: &self.active.tokens,
            rates: script.rates.as_ref(),
            channels: &self.shared.channels,
            channel_limit: script.script.channel_limit.unwrap_or(CHANNELS_MAX),
            channel_rates: script.channel_rates.as_ref(),
            now_ms,
        };
        let verdict = rules::judge(&arrival.push(), &mut self.credential, &context);
        self.decided(&verdict);
        verdict
    }

    /// Streams that the client has reset since are not open any more, although h2 does not report it.
    fn forget_reset_streams(&mut self, cx: &mut Context<'_>) {
        let held = self.parked.len() + self.waiting.len();
        self.parked.retain_mut(|(_, respond)| respond.poll_reset(cx).is_pending());
        self.waiting.forget_reset(cx);
        self.open -= (held - self.parked.len() - self.waiting.len()) as u32;
    }

    /// Resets a stream that was not processed and may be sent again.
    fn refuse(&mut self, mut arrival: Arrival, fault: &str) {
        self.record(&arrival, &record::answer_id(&arrival), None, Some(fault));
        self.open -= 1;
        arrival.respond.send_reset(Reason::REFUSED_STREAM);
    }

    /// Ready when the earliest deadline passed: `true` if it was the connection's last.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let last = self.ending.linger_until();
        let steps = [self.ending.step_at(), self.next_change_at(), last];
        let answers = [self.waiting.next_due(), self.next_late_body()];
        let due = steps.into_iter().chain(answers).flatten().min();
        let Some(due) = due else { return Poll::Pending };
        if self.timer.deadline() != due {
            self.timer.as_mut().reset(due);
        }
        self.timer.as_mut().poll(cx).map(|()| last.is_some_and(|last| last <= Instant::now()))
    }
}
