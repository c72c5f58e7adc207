//! Calls for the peer, beside errands. Each ends once, and says if the peer may have made it.

use super::{ANSWER_GRACE, Exchange, OUTBOX_BYTES, Written, milliseconds};
use crate::apns::channels::Call;
use crate::delivery::calls::CallResult;
use crate::delivery::peer::greeting::Mismatch;
use crate::delivery::peer::wire::calls::{self as body, CallHead};
use crate::delivery::peer::wire::{self, Features, Refusal};
use crate::delivery::send::Sending;
use crate::model::NodeReason;
use crate::registry::App;
use crate::subject::Subject;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Calls of one request, on their way to a peer.
pub struct ForwardedCalls {
    pub app: Arc<App>,
    pub calls: Arc<[Call]>,
    pub sending: Sending,
    pub subject: Option<Subject>,
    pub end: CallTicket,
}

/// The end of calls on a link.
#[derive(Debug, PartialEq)]
pub enum CallEnd {
    /// The peer's results, one for each call.
    Answered(Vec<CallResult>),
    /// The peer has no room. None of the calls was made.
    Refused(Refusal),
    /// The peer did not take the calls, or cannot make them. None was made.
    NotMade,
    /// The peer took some of the calls, and did not answer.
    Unknown(NodeReason),
}

/// The place of the end of calls. It gets one, also if it is dropped.
#[derive(Debug)]
pub struct CallTicket {
    reply: Option<oneshot::Sender<CallEnd>>,
    is_written: bool,
}

impl CallTicket {
    pub fn new() -> (Self, oneshot::Receiver<CallEnd>) {
        let (reply, end) = oneshot::channel();
        (Self { reply: Some(reply), is_written: false }, end)
    }

    fn end(mut self, end: CallEnd) {
        self.reply.take().map(|reply| reply.send(end));
    }
}

impl Drop for CallTicket {
    fn drop(&mut self) {
        let end = if self.is_written { CallEnd::Unknown(NodeReason::PeerLost) } else { CallEnd::NotMade };
        self.reply.take().map(|reply| reply.send(end));
    }
}

/// Calls without an end.
pub(super) struct CallItem {
    ticket: CallTicket,
    count: usize,
    due: Instant,
    pub(super) written: Written,
}

impl Exchange {
    /// Gives calls to the peer. They are not made if the peer cannot be reached, leaves, takes no bytes or not so many
    /// calls, or is of a release that makes no calls.
    pub fn call(&mut self, forwarded: ForwardedCalls, now: Instant) {
        let ForwardedCalls { app, calls, sending, subject, end: mut ticket } = forwarded;
        let Some(agreed) = self.agreed.filter(|agreed| agreed.features.contains(Features::CALLS)) else { return };
        let is_too_long = calls.len() > agreed.limits.items as usize;
        if is_too_long || !self.is_reachable() || self.outbox.pending().len() >= OUTBOX_BYTES {
            return;
        }
        let head = CallHead {
            deadline_ms: self.clock.theirs_ms(milliseconds(self.origin, sending.deadline)).unwrap_or_default(),
            retry_unknown: sending.retry_unknown,
            revision: app.revision.number(),
            app: app.key.clone(),
            request_id: subject.as_ref().and_then(Subject::request_header).cloned(),
        };
        let id = self.next_id;
        self.next_id += 1;
        let begins = self.outbox.append(|bytes| wire::put_call(bytes, id, &body::encode_call(&head, &calls)));
        let length = self.outbox.end() - begins;
        if length - wire::HEADER_BYTES as u64 > u64::from(agreed.limits.frame_bytes) {
            // It was appended last: no other frame moves.
            let _ = self.outbox.remove(begins, length);
            return;
        }
        ticket.is_written = true;
        let (count, due, written) = (calls.len(), sending.deadline + ANSWER_GRACE, Written { begins, length });
        self.calls.insert(id, CallItem { ticket, count, due, written });
        self.liveness.set_busy(true, now);
    }

    /// The answer to calls. A late one does no harm.
    pub(super) fn resulted(&mut self, id: u64, answer: &[u8]) -> Result<(), Mismatch> {
        let Some(item) = self.calls.get(&id) else {
            return if id < self.next_id { Ok(()) } else { Err(Mismatch::Unexpected) };
        };
        let items_max = u32::try_from(item.count).unwrap_or(u32::MAX);
        let answer = body::decode_result(answer, items_max)?;
        let fits = answer.as_ref().map_or(true, |results| results.len() == item.count);
        if !fits || !self.outbox.has_taken(item.written.begins) {
            return Err(Mismatch::Unexpected);
        }
        let end = match answer {
            Ok(results) => CallEnd::Answered(results),
            Err(refusal @ (Refusal::NodeOverloaded { .. } | Refusal::AppOverloaded { .. })) => {
                CallEnd::Refused(refusal)
            }
            Err(Refusal::Leaving | Refusal::UnknownApp | Refusal::Malformed) => CallEnd::NotMade,
        };
        self.end_call(id, end);
        Ok(())
    }

    /// Takes back the calls of which TLS took nothing.
    pub(super) fn withdraw_calls(&mut self) {
        let mut ids: Vec<u64> = self.calls.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            if let Some(written) = self.calls.get(&id).map(|item| item.written)
                && self.take_back_frame(written)
            {
                self.end_call(id, CallEnd::NotMade);
            }
        }
    }

    /// Ends all calls: the peer may have made those that it got.
    pub(super) fn lose_calls(&mut self, why: NodeReason) {
        self.withdraw_calls();
        self.calls.drain().for_each(|(_, item)| item.ticket.end(CallEnd::Unknown(why)));
    }

    /// Ends the calls whose time is over.
    pub(super) fn end_due_calls(&mut self, now: Instant) {
        let due: Vec<u64> = self.calls.iter().filter(|(_, item)| item.due <= now).map(|(id, _)| *id).collect();
        for id in due {
            let is_taken = self.calls.get(&id).is_some_and(|item| self.outbox.has_taken(item.written.begins));
            if is_taken {
                self.end_call(id, CallEnd::Unknown(NodeReason::DeadlinePassed));
            } else if let Some(written) = self.calls.get(&id).map(|item| item.written)
                && self.take_back_frame(written)
            {
                self.end_call(id, CallEnd::NotMade);
            }
        }
    }

    pub(super) fn next_due_call(&self) -> Option<Instant> {
        self.calls.values().map(|item| item.due).min()
    }

    fn end_call(&mut self, id: u64, end: CallEnd) {
        if let Some(item) = self.calls.remove(&id) {
            item.ticket.end(end);
        }
    }
}
