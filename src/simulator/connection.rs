//! One connection: takes requests from h2 in batches, has them judged, answers, and obeys the script.
//!
//! A single task does all of it, without a task, timer or lock per request. The order within a turn is what makes the
//! ledger exact: requests are read, then the script is looked at, then they are judged and entered, then answers leave.

mod answer;
mod arrival;
mod farewell;
mod record;
mod slow;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::certificate::ClientCertificate;
use super::ledger::Batch;
use super::pump::{self, Pump, PumpHandle};
use super::rules::{self, Credential, Rejection};
use super::script::{Act, DebugData, Plan};
use super::server::Shared;
use answer::Waiting;
use arrival::Arrival;
use farewell::Farewell;
use slow::LateBody;

const MAX_CONCURRENT_STREAMS: u16 = 3;
/// SETTINGS as Apple's gateway sends them; the second is replaced by 1 for token connections.
const HEADER_TABLE_SIZE: (u16, u32) = (1, 4096);
const STREAMS_MAX: u32 = 1000;
const MAX_FRAME_SIZE: (u16, u32) = (5, 16_384);
const MAX_HEADER_LIST_SIZE: (u16, u32) = (6, 8000);
const INITIAL_WINDOW_SIZE: u16 = 4;
/// What every window holds at first (RFC 9113 6.9.2).
const CONNECTION_WINDOW: u32 = 65_535;
/// How long the peer may take to close after we did.
const LINGER: Duration = Duration::from_secs(5);

/// The flow control of a connection that a script has put its hand on.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Bytes that each stream may send at first.
    pub stream: u32,
    /// Whether more may follow, on the stream and on the connection.
    pub updates: bool,
}

/// What a connection is before it speaks HTTP/2.
pub struct Opening {
    /// Counts from 1.
    pub number: u64,
    /// What TLS verified.
    pub certificate: Option<ClientCertificate>,
    /// `None` is wide open.
    pub window: Option<Window>,
}

/// Serves one connection until it ends. `plan` is what to obey.
pub async fn serve<S>(stream: S, opening: Opening, shared: Arc<Shared>, mut plan: watch::Receiver<Plan>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Opening { number, certificate, window } = opening;
    let streams_max = if certificate.is_some() { STREAMS_MAX } else { 1 };
    let mut first =
        vec![HEADER_TABLE_SIZE, (MAX_CONCURRENT_STREAMS, streams_max), MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE];
    first.extend(window.map(|window| (INITIAL_WINDOW_SIZE, window.stream)));
    let (pumped, handle) = Pump::new(stream, &pump::settings(&first));
    let handshake = h2::server::Builder::new()
        .initial_connection_window_size(window.map_or(shared.connection_window, |_| CONNECTION_WINDOW))
        .initial_window_size(window.map_or(CONNECTION_WINDOW, |window| window.stream))
        .max_header_list_size(MAX_HEADER_LIST_SIZE.1)
        .max_frame_size(MAX_FRAME_SIZE.1)
        .max_local_error_reset_streams(None)
        .max_pending_accept_reset_streams(STREAMS_MAX as usize)
        .max_concurrent_reset_streams(STREAMS_MAX as usize)
        .data_frame_budget(usize::MAX)
        .handshake(pumped);
    let Ok(h2) = handshake.await else { return };
    let misplaced = certificate.as_ref().is_some_and(|shown| !shown.is_for(shared.rules.environment));
    let mut session = Session::new(h2, handle, Credential::new(certificate), number, shared, plan.clone());
    session.limit = streams_max;
    session.withholds = window.is_some_and(|window| !window.updates);
    session.greet(misplaced);
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
    shared: Arc<Shared>,
    h2: h2::server::Connection<Pump<S>, Bytes>,
    pump: PumpHandle,
    plan: watch::Receiver<Plan>,
    active: Plan,
    credential: Credential,
    random: fastrand::Rng,
    farewell: Farewell,
    /// Streams whose body has not ended.
    incomplete: Vec<Arrival>,
    complete: Vec<Arrival>,
    /// Answers that wait for their time.
    waiting: Waiting,
    /// Streams that get neither answer nor reset; dropping them would reset them.
    parked: Vec<Stream>,
    late_bodies: Vec<LateBody>,
    /// No window is ever opened again.
    withholds: bool,
    /// Bodies of answered requests: dropping them would open windows.
    withheld: Vec<RecvStream>,
    /// MAX_CONCURRENT_STREAMS as advertised last.
    limit: u32,
    /// Streams taken from h2 and not ended.
    open: u32,
    /// Answers given to h2.
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
        number: u64,
        shared: Arc<Shared>,
        mut plan: watch::Receiver<Plan>,
    ) -> Self {
        let active = plan.borrow_and_update().clone();
        let random = fastrand::Rng::with_seed(active.script.script.seed.wrapping_add(number));
        Self {
            number,
            shared,
            h2,
            pump,
            plan,
            active,
            credential,
            random,
            farewell: Farewell::default(),
            incomplete: Vec::new(),
            complete: Vec::new(),
            waiting: Waiting::default(),
            parked: Vec::new(),
            late_bodies: Vec::new(),
            withholds: false,
            withheld: Vec::new(),
            limit: STREAMS_MAX,
            open: 0,
            ended: 0,
            highest_seen: 0,
            highest_processed: 0,
            batch: Batch::default(),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
        }
    }

    /// One or more turns, until nothing is left to do; ready when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.poll_accept(cx).is_ready() {
                self.enter();
                return Poll::Ready(());
            }
            self.adopt_plan();
            arrival::poll_bodies(&mut self.incomplete, &mut self.complete, &mut self.open, cx);
            let now_ms = self.shared.clock.now_ms();
            let mut worked = !self.complete.is_empty();
            for arrival in std::mem::take(&mut self.complete) {
                self.take(arrival, now_ms);
            }
            worked |= self.answer_due();
            worked |= self.send_late_bodies();
            worked |= self.part();
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
                    let arrival = Arrival::new(request, respond, self.withholds);
                    self.highest_seen = self.highest_seen.max(arrival.stream);
                    if self.open > self.limit {
                        self.forget_reset_streams(cx);
                    }
                    if self.open > self.limit && arrival.stream <= self.last_id() {
                        self.refuse(arrival);
                    } else if let Some(arrival) = self.answer_early(arrival) {
                        self.incomplete.push(arrival);
                    }
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Requests sent after a script was set find it in force: it is looked at after they were read.
    fn adopt_plan(&mut self) {
        if !self.plan.has_changed().unwrap_or(false) {
            return;
        }
        let plan = self.plan.borrow_and_update().clone();
        let new_script = !Arc::ptr_eq(&plan.script, &self.active.script);
        self.active = plan;
        if new_script {
            self.random = fastrand::Rng::with_seed(self.active.script.script.seed.wrapping_add(self.number));
            self.script_arrived();
        }
    }

    /// A request whose body has ended: parked, or processed; then the connection may have to end.
    fn take(&mut self, arrival: Arrival, now_ms: i64) {
        let signal = self.count();
        if arrival.stream > self.last_id() {
            self.record(&arrival, &record::answer_id(&arrival), None, Some("not taken by the ending connection"));
            self.parked.push(arrival.into_stream());
        } else {
            self.process(arrival, signal.withhold, now_ms);
        }
        if signal.fires {
            self.end_scripted();
        }
    }

    fn process(&mut self, mut arrival: Arrival, withhold: bool, now_ms: i64) {
        self.highest_processed = self.highest_processed.max(arrival.stream);
        let id = record::answer_id(&arrival);
        match self.active.script.fault(&arrival.push(), self.number, &mut self.random).cloned() {
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
                let verdict = Err(Rejection { status, reason: reason.into(), timestamp: None });
                self.record(&arrival, &id, Some(&verdict), Some("scripted answer"));
                self.answer(arrival, id, verdict);
            }
            Some(Act::Reset { code, processed }) => {
                let verdict = processed.then(|| self.judge(&arrival, now_ms));
                self.record(&arrival, &id, verdict.as_ref(), Some(&format!("reset with code {code}")));
                self.batch.totals.resets += 1;
                self.open -= 1;
                arrival.respond.send_reset(Reason::from(code));
            }
            Some(Act::AnswerAndGoaway { status, reason }) => {
                let debug = DebugData::Reason(reason.clone());
                let verdict = Err(Rejection { status, reason: reason.into(), timestamp: None });
                self.record(&arrival, &id, Some(&verdict), Some("scripted answer, and GOAWAY"));
                self.answer(arrival, id, verdict);
                self.end_after_answer(debug);
            }
            Some(Act::Delay { ms }) => {
                let verdict = self.judge(&arrival, now_ms);
                self.record(&arrival, &id, Some(&verdict), Some("delayed"));
                self.answer_after(ms, arrival, id, verdict);
            }
            Some(Act::SlowBody { after_ms, status, reason }) => {
                let rejection = Rejection { status, reason: reason.into(), timestamp: None };
                self.record(&arrival, &id, Some(&Err(rejection.clone())), Some("headers first, the body later"));
                self.answer_in_parts(after_ms, arrival, id, rejection);
            }
            // Picked at the request's headers.
            Some(Act::EarlyAnswer { .. }) => {}
            Some(Act::Silence { processed }) => {
                let verdict = processed.then(|| self.judge(&arrival, now_ms));
                self.record(&arrival, &id, verdict.as_ref(), Some("silence"));
                self.parked.push(arrival.into_stream());
            }
        }
    }

    /// The verdict of the rules. The first acceptance on a token connection raises its stream limit.
    fn judge(&mut self, arrival: &Arrival, now_ms: i64) -> Result<(), Rejection> {
        let context = rules::Context {
            settings: &self.shared.rules,
            tokens: &self.active.tokens,
            rates: self.active.script.rates.as_ref(),
            now_ms,
        };
        let verdict = rules::judge(&arrival.push(), &mut self.credential, &context);
        if verdict.is_ok() && self.limit < STREAMS_MAX {
            self.limit = STREAMS_MAX;
            self.pump.inject(&pump::settings(&[(MAX_CONCURRENT_STREAMS, STREAMS_MAX)]));
        }
        verdict
    }

    /// Streams that the client has reset since are not open any more, though nobody told us.
    fn forget_reset_streams(&mut self, cx: &mut Context<'_>) {
        let held = self.parked.len() + self.waiting.len();
        self.parked.retain_mut(|(_, respond)| respond.poll_reset(cx).is_pending());
        self.waiting.forget_reset(cx);
        self.open -= (held - self.parked.len() - self.waiting.len()) as u32;
    }

    /// RFC 9113 5.1.2: the stream was not processed and may be sent again.
    fn refuse(&mut self, mut arrival: Arrival) {
        self.record(&arrival, &record::answer_id(&arrival), None, Some("over MAX_CONCURRENT_STREAMS"));
        self.batch.totals.over_limit += 1;
        self.open -= 1;
        arrival.respond.send_reset(Reason::REFUSED_STREAM);
    }

    /// Ready when the earliest deadline passed: `true` if it was the connection's last.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let last = self.farewell.linger_until();
        let due = [self.waiting.next_due(), self.next_late_body(), self.farewell.second_at(), last];
        let due = due.into_iter().flatten().min();
        let Some(due) = due else { return Poll::Pending };
        if self.timer.deadline() != due {
            self.timer.as_mut().reset(due);
        }
        self.timer.as_mut().poll(cx).map(|()| last.is_some_and(|last| last <= Instant::now()))
    }
}
