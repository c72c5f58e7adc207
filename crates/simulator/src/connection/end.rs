//! The scripted end of a connection: its time, its GOAWAY frames, and the end of its streams.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Duration, Instant};

use super::{LINGER, Session};
use crate::pump;
use crate::script::{Close, DebugData, Ending, GoAway, When};

const LAST_ID_MAX: u32 = (1 << 31) - 1;

/// The progress of a connection's end.
#[derive(Default)]
pub struct EndProgress {
    stage: Stage,
    /// Requests since the connection began, or since the script arrived.
    requests: u64,
    /// The script's endings suffice for this connection. Decided at its first request, so that nothing is
    /// withheld on a connection that will not end.
    granted: bool,
    /// The pump has orders, which it executes when h2 flushes.
    ordered: bool,
}

#[derive(Default, Clone, Copy)]
enum Stage {
    #[default]
    Open,
    /// The first frame of a graceful end is sent; all requests are still served.
    Announced { second_at: Instant, code: u32, close: Close },
    /// The last stream id is fixed. Streams up to it finish, then the connection closes.
    Draining { last: u32, close: Close, since: Instant },
    /// The pump closes as soon as the answers have left. Nothing is processed any more, for it could not be answered.
    Closing { linger_until: Instant },
}

/// The effect of the number of requests so far.
#[derive(Default, Clone, Copy)]
pub struct Signal {
    /// This request ends the connection.
    pub fires: bool,
    /// This request is processed but not answered.
    pub withhold: bool,
}

impl EndProgress {
    /// The time of the next step.
    pub fn step_at(&self) -> Option<Instant> {
        match self.stage {
            Stage::Announced { second_at, .. } => Some(second_at),
            Stage::Draining { close: Close::AfterMs(late), since, .. } => {
                Some(since + Duration::from_millis(late)).filter(|at| *at > Instant::now())
            }
            _ => None,
        }
    }

    pub fn linger_until(&self) -> Option<Instant> {
        match self.stage {
            Stage::Closing { linger_until } => Some(linger_until),
            _ => None,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Ends the connection right after SETTINGS if the certificate is of the other environment, or the script requests
    /// it.
    pub fn end_at_connect(&mut self, misplaced: bool) {
        if misplaced {
            let reason = DebugData::Reason("BadCertificateEnvironment".to_owned());
            self.end(&GoAway { debug: reason, ..GoAway::new(When::Connect, Ending::Single) });
        } else if self.scripted_when() == Some(When::Connect) {
            self.end_unasked();
        }
    }

    pub fn script_arrived(&mut self) {
        self.ending.requests = 0;
        self.ending.granted = false;
        if self.scripted_when() == Some(When::Now) {
            self.end_unasked();
        }
    }

    /// Streams above it are neither processed nor answered.
    pub fn last_id(&self) -> u32 {
        match self.ending.stage {
            Stage::Open if self.ending.granted => self.chosen_last_id().unwrap_or(LAST_ID_MAX),
            Stage::Open => LAST_ID_MAX,
            Stage::Announced { .. } => LAST_ID_MAX,
            Stage::Draining { last, .. } => last,
            Stage::Closing { .. } => 0,
        }
    }

    /// Returns `true` until something has ended the connection.
    pub fn is_open(&self) -> bool {
        matches!(self.ending.stage, Stage::Open)
    }

    /// Returns `true` if streams above the last id are refused rather than ignored.
    pub fn refuses_late(&self) -> bool {
        matches!(self.ending.stage, Stage::Draining { close: Close::Never, .. })
    }

    /// Writes a frame between two of h2's, in this turn.
    pub fn order(&mut self, frame: &[u8]) {
        self.pump.inject(frame);
        self.ending.ordered = true;
    }

    /// Writes frames after h2's current frames, in this turn: h2's header blocks stay in order.
    pub fn order_last(&mut self, frames: &[u8]) {
        self.pump.inject_last(frames);
        self.ending.ordered = true;
    }

    /// Counts a request that is about to be processed, or parked above a last stream id chosen beforehand.
    pub fn count(&mut self) -> Signal {
        let Some(goaway) = &self.active.script.script.goaway else { return Signal::default() };
        if !matches!(self.ending.stage, Stage::Open) {
            return Signal::default();
        }
        self.ending.requests += 1;
        let unanswered = if goaway.drops_answers() { goaway.unanswered } else { 0 };
        match goaway.when {
            When::Now | When::Connect => Signal::default(),
            When::Requests(every) => {
                let fires =
                    self.active.script.count_request().is_multiple_of(every) && self.active.script.take_ending();
                Signal { fires, withhold: fires && unanswered > 0 }
            }
            When::ConnectionRequests(count) => {
                if self.ending.requests == 1 {
                    self.ending.granted = self.active.script.take_ending();
                }
                let left = count.saturating_sub(self.ending.requests);
                let granted = self.ending.granted;
                Signal { fires: granted && left == 0, withhold: granted && left < unanswered }
            }
        }
    }

    /// Ends the connection by the script.
    pub fn end_scripted(&mut self) {
        if let Some(goaway) = self.active.script.script.goaway.clone() {
            self.end(&goaway);
        }
    }

    /// An ending that no request triggers.
    fn end_unasked(&mut self) {
        if matches!(self.ending.stage, Stage::Open) && self.active.script.take_ending() {
            self.end_scripted();
        }
    }

    /// Ends the connection in this way, regardless of the script.
    pub fn end(&mut self, goaway: &GoAway) {
        let last = self.chosen_last_id().map_or(self.highest_processed, |last| last.max(self.highest_processed));
        if goaway.kind == Ending::Graceful {
            self.send_goaway(LAST_ID_MAX, goaway.code, &goaway.debug.bytes());
            let second_at = Instant::now() + Duration::from_millis(goaway.second_after_ms);
            self.ending.stage = Stage::Announced { second_at, code: goaway.code, close: goaway.close };
            return;
        }
        if goaway.kind != Ending::Cut {
            self.send_goaway(last, goaway.code, &goaway.debug.bytes());
        }
        if goaway.second_empty {
            self.send_goaway(last, goaway.code, b"");
        }
        if goaway.drops_answers() {
            self.parked.extend(self.waiting.abandon());
            self.close();
        } else {
            self.ending.stage = Stage::Draining { last, close: goaway.close, since: Instant::now() };
        }
    }

    /// Advances an end that has begun by one step; `true` if h2 must be polled again for it.
    pub fn advance_end(&mut self) -> bool {
        match self.ending.stage {
            Stage::Announced { second_at, code, close } if second_at <= Instant::now() => {
                self.send_goaway(self.highest_seen, code, b"");
                self.ending.stage = Stage::Draining { last: self.highest_seen, close, since: Instant::now() };
            }
            Stage::Draining { last, close, since } if self.is_drained(last) && may_close(close, since) => self.close(),
            _ => {}
        }
        std::mem::take(&mut self.ending.ordered)
    }

    fn is_drained(&self, last: u32) -> bool {
        self.waiting.is_empty()
            && self.late_bodies.is_empty()
            && self.incomplete.iter().all(|arrival| arrival.stream > last)
    }

    fn close(&mut self) {
        self.pump.close_after(self.ended);
        self.ending.ordered = true;
        self.ending.stage = Stage::Closing { linger_until: Instant::now() + LINGER };
    }

    fn send_goaway(&mut self, last: u32, code: u32, debug: &[u8]) {
        self.order(&pump::goaway(last, code, debug));
        self.batch.totals.goaways += 1;
    }

    fn scripted_when(&self) -> Option<When> {
        self.active.script.script.goaway.as_ref().map(|goaway| goaway.when)
    }

    fn chosen_last_id(&self) -> Option<u32> {
        self.active.script.script.goaway.as_ref().and_then(|goaway| goaway.last_stream_id)
    }
}

fn may_close(close: Close, since: Instant) -> bool {
    match close {
        Close::Drained => true,
        Close::AfterMs(late) => since + Duration::from_millis(late) <= Instant::now(),
        Close::Never => false,
    }
}
