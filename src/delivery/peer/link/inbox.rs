//! The entrance of a link: the room for errands, and the questions to its peer.

use super::exchange::Question;
use crate::budget::{Budget, Permit};
use crate::delivery::errand::Forwarded;
use crate::delivery::lanes::NotTaken;
use crate::delivery::peer::wire;
use crate::model::Batch;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, OwnedPermit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Errands that a link may have without an end.
pub const ERRANDS_MAX: usize = 1024;
/// Their bytes on the wire. One errand may have more.
pub const ERRAND_BYTES_MAX: usize = 64 << 20;
/// Questions that wait for the link's task.
const QUESTIONS_MAX: usize = 256;

/// The entrance of a link.
pub struct Inbox {
    sender: mpsc::Sender<Forwarded>,
    asker: mpsc::Sender<Question>,
    seats: Arc<Semaphore>,
    bytes: Arc<Budget>,
    pub(super) sign: Arc<Sign>,
}

/// Says if a link takes errands. It is the link's own: two links have different ones.
#[derive(Debug, Default)]
pub struct Sign(pub(super) AtomicBool);

/// The end of an inbox that the link's task has.
pub struct Outlet {
    pub(super) receiver: mpsc::Receiver<Forwarded>,
    pub(super) questions: mpsc::Receiver<Question>,
    pub(super) sign: Arc<Sign>,
}

impl Inbox {
    /// An inbox for one link. The link ends after the inbox is dropped.
    pub fn new() -> (Self, Outlet) {
        let (sender, receiver) = mpsc::channel(ERRANDS_MAX);
        let (asker, questions) = mpsc::channel(QUESTIONS_MAX);
        let (seats, bytes) = (Arc::new(Semaphore::new(ERRANDS_MAX)), Budget::new(ERRAND_BYTES_MAX));
        let sign = Arc::<Sign>::default();
        let inbox = Self { sender, asker, seats, bytes, sign: Arc::clone(&sign) };
        (inbox, Outlet { receiver, questions, sign })
    }

    /// The peer takes errands through this link.
    pub fn is_reachable(&self) -> bool {
        self.sign.0.load(Ordering::Acquire)
    }

    /// Returns `true` if this is the inbox of the link with that sign.
    pub fn is_of(&self, sign: &Arc<Sign>) -> bool {
        Arc::ptr_eq(&self.sign, sign)
    }

    /// Asks the peer. The question is dropped if the peer cannot be asked now.
    pub fn ask(&self, question: Question) {
        let _ = self.asker.try_send(question);
    }

    /// A place for a batch, or a part of one.
    pub fn reserve(&self, batch: &Batch) -> Result<LinkPlace, NotTaken> {
        let seat = Arc::clone(&self.seats).try_acquire_owned().map_err(|_| NotTaken::Full)?;
        let bytes = self.bytes.try_acquire_any_if_unused(wire::batch_bytes(batch)).ok_or(NotTaken::Full)?;
        let permit = self.sender.clone().try_reserve_owned().map_err(|error| match error {
            TrySendError::Full(_) => NotTaken::Full,
            TrySendError::Closed(_) => NotTaken::Closed,
        })?;
        Ok(LinkPlace { permit, seat: Seat { _seat: seat, _bytes: bytes } })
    }
}

/// A place in a link's inbox: what is sent to it arrives, since the link does not end before.
pub struct LinkPlace {
    permit: OwnedPermit<Forwarded>,
    seat: Seat,
}

impl LinkPlace {
    pub fn send(self, forwarded: Forwarded) {
        self.permit.send(Forwarded { seat: Some(self.seat), routes: forwarded.routes.saturating_add(1), ..forwarded });
    }
}

/// One errand's part of what a link may have without an end. Dropping it gives it back.
#[derive(Debug)]
pub struct Seat {
    _seat: OwnedSemaphorePermit,
    _bytes: Permit,
}
