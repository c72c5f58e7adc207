//! The ends of errands that the peer does not answer.

use super::{End, Exchange, Written};
use crate::delivery::errand::Forwarded;
use crate::model::NodeReason;
use tokio::time::Instant;

impl Exchange {
    /// Ends everything, since the node ends.
    pub fn finish(&mut self, now: Instant) {
        let mut ids: Vec<u64> = self.items.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let is_sent = !self.take_back(id);
            let Some(forwarded) = self.remove(id) else { continue };
            let why = NodeReason::ShuttingDown;
            self.ended.push((forwarded, if is_sent { End::Unknown(why) } else { End::NotSent(why) }));
        }
        self.lose_calls(NodeReason::ShuttingDown);
        self.liveness.set_busy(false, now);
    }

    /// Ends the errands whose time is over.
    pub(super) fn end_due(&mut self, now: Instant) {
        while let Some((_, id)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            let is_sent = !self.take_back(id);
            let Some(forwarded) = self.remove(id) else { continue };
            let why = NodeReason::DeadlinePassed;
            self.ended.push((forwarded, if is_sent { End::Unknown(why) } else { End::NotSent(why) }));
        }
    }

    /// Takes back every errand of which TLS took nothing, and sends it another way.
    pub(super) fn withdraw(&mut self, now: Instant) {
        let mut unsent: Vec<u64> = self.items.keys().copied().collect();
        unsent.sort_unstable();
        for id in unsent {
            if self.take_back(id)
                && let Some(forwarded) = self.remove(id)
            {
                self.reroute(forwarded, now);
            }
        }
        self.withdraw_calls();
    }

    /// Takes the frame of an errand back. Returns false if TLS took some of it.
    pub(super) fn take_back(&mut self, id: u64) -> bool {
        self.items.get(&id).and_then(|item| item.written).is_none_or(|written| self.take_back_frame(written))
    }

    /// Takes a frame back. Returns false if TLS took some of it.
    pub(super) fn take_back_frame(&mut self, Written { begins, length }: Written) -> bool {
        if !self.outbox.remove(begins, length) {
            return false;
        }
        let batches = self.items.values_mut().filter_map(|item| item.written.as_mut());
        for later in batches.chain(self.calls.values_mut().map(|item| &mut item.written)) {
            if later.begins > begins {
                later.begins -= length;
            }
        }
        true
    }

    pub(super) fn reroute(&mut self, forwarded: Forwarded, now: Instant) {
        let end = if self.budget.spend(now) { End::Elsewhere } else { End::NotSent(NodeReason::PeerLost) };
        self.ended.push((forwarded, end));
    }

    pub(super) fn end(&mut self, id: u64, end: End) {
        if let Some(forwarded) = self.remove(id) {
            self.ended.push((forwarded, end));
        }
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Forwarded> {
        let item = self.items.remove(&id)?;
        self.due.remove(&(item.due, id));
        if item.written.is_none() {
            self.waiting.retain(|waiting| *waiting != id);
        }
        Some(item.forwarded)
    }
}
