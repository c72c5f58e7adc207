//! Splits the input into frames. Whole frames are borrowed; only an incomplete frame is copied.

use crate::frame::{FrameHead, HEAD_LENGTH};

/// An empty buffer larger than this is freed.
const SPARE_MAX: usize = 4_096;

/// The place of a frame's payload.
#[derive(Clone, Copy)]
pub enum Payload<'i> {
    /// In the caller's input.
    Lent(&'i [u8]),
    /// In the reader, after the frame's head, until the next frame is read.
    Kept,
}

#[derive(Default)]
pub struct Reader {
    // At most one frame: 9 + 16,384 bytes, for the caller of `payload` has checked the length.
    pub(super) kept: Vec<u8>,
    kept_is_used: bool,
}

impl Reader {
    /// The next frame's head, as often as asked for; `None` once all input is taken and more is needed.
    pub fn head(&mut self, input: &mut &[u8]) -> Option<FrameHead> {
        if self.kept_is_used {
            self.release();
        }
        if self.kept.is_empty()
            && let Some(head) = input.first_chunk()
        {
            return Some(FrameHead::parse(head));
        }
        self.keep(HEAD_LENGTH, input);
        self.kept.first_chunk().map(FrameHead::parse)
    }

    /// The payload that belongs to the head just read; `None` once all input is taken and more is needed.
    pub fn payload<'i>(&mut self, head: FrameHead, input: &mut &'i [u8]) -> Option<Payload<'i>> {
        let whole = HEAD_LENGTH + head.length;
        if self.kept.is_empty()
            && let Some((frame, rest)) = input.split_at_checked(whole)
        {
            *input = rest;
            return Some(Payload::Lent(&frame[HEAD_LENGTH..]));
        }
        self.keep(whole, input);
        self.kept_is_used = self.kept.len() == whole;
        self.kept_is_used.then_some(Payload::Kept)
    }

    /// Lends out the kept frame while the session works on it; `put_back` must follow.
    pub fn take_kept(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.kept)
    }

    pub fn put_back(&mut self, kept: Vec<u8>) {
        self.kept = kept;
    }

    pub fn kept_payload(&self) -> &[u8] {
        self.kept.get(HEAD_LENGTH..).unwrap_or_default()
    }

    /// Bytes of a frame that has begun and not ended.
    pub fn kept_length(&self) -> usize {
        if self.kept_is_used { 0 } else { self.kept.len() }
    }

    pub fn release(&mut self) {
        self.kept_is_used = false;
        self.kept.clear();
        if self.kept.capacity() > SPARE_MAX {
            self.kept = Vec::new();
        }
    }

    fn keep(&mut self, wanted: usize, input: &mut &[u8]) {
        let missing = wanted.saturating_sub(self.kept.len()).min(input.len());
        let (now, rest) = input.split_at(missing);
        self.kept.extend_from_slice(now);
        *input = rest;
    }
}
