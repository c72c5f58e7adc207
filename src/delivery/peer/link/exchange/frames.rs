//! The frames that a link receives.

use super::{End, Exchange, Phase, milliseconds};
use crate::delivery::peer::greeting::{self, Mismatch};
use crate::delivery::peer::wire::{Frame, Hello, Received, Refusal, Seen};
use crate::delivery::send::Refused;
use crate::model::Outcome;
use std::time::Duration;
use tokio::time::Instant;

impl Exchange {
    /// Takes bytes that arrived. After an error the connection is to be closed.
    pub fn received(&mut self, bytes: &[u8], now: Instant) -> Result<(), Mismatch> {
        self.liveness.heard(now);
        let mut input = bytes;
        while let Some(received) = self.next_frame(&mut input)? {
            self.take_frame(received, now)?;
        }
        self.liveness.set_busy(self.awaits(), now);
        Ok(())
    }

    fn next_frame(&mut self, input: &mut &[u8]) -> Result<Option<Received>, Mismatch> {
        let Some(decoder) = &mut self.decoder else { return Ok(None) };
        Ok(decoder.next(input)?)
    }

    fn take_frame(&mut self, Received { id, frame }: Received, now: Instant) -> Result<(), Mismatch> {
        match (self.phase, frame) {
            (Phase::Greeting, Frame::Hello(hello)) => self.greeted(&hello, now),
            (Phase::Greeting, _) => Err(Mismatch::Unexpected),
            (_, Frame::Pong { clock_ms }) => {
                self.ponged(id, clock_ms, now);
                Ok(())
            }
            (_, Frame::Outcomes(outcomes)) => self.answered(id, outcomes),
            (_, Frame::Refused(refusal)) => self.refused(id, refusal),
            (_, Frame::Ready(lanes) | Frame::Seen(Seen::Held(lanes))) => self.told_lanes(id, lanes),
            (_, Frame::Result(answer)) => self.resulted(id, &answer),
            (_, Frame::Seen(Seen::Apps(figures))) => self.told_figures(id, figures),
            (_, Frame::Leaving) => {
                self.left();
                Ok(())
            }
            _ => Err(Mismatch::Unexpected),
        }
    }

    fn greeted(&mut self, theirs: &Hello, now: Instant) -> Result<(), Mismatch> {
        let (Some(own), Some(decoder)) = (&self.own, &mut self.decoder) else { return Err(Mismatch::Unexpected) };
        let is_member = theirs.node == self.peer.node && theirs.session == self.peer.session;
        let agreed = greeting::check(own, theirs, is_member)?;
        decoder.agree(agreed);
        self.agreed = Some(agreed);
        self.phase = Phase::Probing;
        self.ping(now);
        Ok(())
    }

    /// The time from the last answered PING to its PONG, if it was not taken yet.
    pub fn take_round_trip(&mut self) -> Option<Duration> {
        self.round_trip.take()
    }

    /// A PONG to a PING that is not known has no meaning, and does no harm.
    fn ponged(&mut self, id: u64, theirs_ms: u64, now: Instant) {
        let Some(at) = self.pings.iter().position(|(ping, _)| *ping == id) else { return };
        if let Some((_, sent)) = self.pings.drain(..=at).next_back() {
            self.round_trip = Some(now.saturating_duration_since(sent));
            let (sent, received) = (milliseconds(self.origin, sent), milliseconds(self.origin, now));
            self.clock.pong(sent, received, theirs_ms);
        }
        if self.pings.is_empty() {
            self.liveness.ponged();
        }
        self.phase = Phase::Up;
        (self.failures, self.is_answering) = (0, true);
    }

    /// An answer to an errand that has ended is late, and does no harm.
    fn answered(&mut self, id: u64, outcomes: Vec<Outcome>) -> Result<(), Mismatch> {
        let Some(count) = self.unanswered(id)? else { return Ok(()) };
        if outcomes.len() != count {
            return Err(Mismatch::Unexpected);
        }
        self.end(id, End::Answered(outcomes));
        Ok(())
    }

    fn refused(&mut self, id: u64, refusal: Refusal) -> Result<(), Mismatch> {
        if self.unanswered(id)?.is_none() {
            return Ok(());
        }
        self.end(
            id,
            match refusal {
                Refusal::NodeOverloaded { retry_after_seconds } => {
                    End::Refused(Refused::NodeOverloaded { retry_after_seconds })
                }
                Refusal::AppOverloaded { retry_after_seconds } => {
                    End::Refused(Refused::AppOverloaded { retry_after_seconds })
                }
                // The lane's next owner sends it. This node already knows that the peer leaves, or learns it soon.
                Refusal::Leaving => End::Elsewhere,
                Refusal::UnknownApp | Refusal::Malformed => End::Here,
            },
        );
        Ok(())
    }

    /// The notifications of an errand that awaits an answer; `None` for one that has ended. An answer to an errand of
    /// which TLS took nothing is an error of the peer.
    fn unanswered(&self, id: u64) -> Result<Option<usize>, Mismatch> {
        match self.items.get(&id) {
            Some(item) if item.written.is_some_and(|written| self.outbox.has_taken(written.begins)) => {
                Ok(Some(item.forwarded.errand.batch.len()))
            }
            None if id < self.next_id => Ok(None),
            _ => Err(Mismatch::Unexpected),
        }
    }

    /// The peer takes nothing new. What it has not got takes another way, which costs nothing: the peer asked for it.
    fn left(&mut self) {
        self.is_leaving = true;
        let mut unsent: Vec<u64> = self.items.keys().copied().collect();
        unsent.sort_unstable();
        for id in unsent {
            if self.take_back(id) {
                self.end(id, End::Elsewhere);
            }
        }
        self.withdraw_calls();
    }
}
