//! Reads a body and cuts it into blocks of whole lines, of bounded size.

use super::block::LINE_BYTES_MAX;
use axum::body::{Body, HttpBody};
use bytes::{Buf, Bytes};
use memchr::memchr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// The maximum size of a block, in bytes.
const BLOCK_BYTES: usize = 2 * LINE_BYTES_MAX;
/// The maximum number of lines of a block.
pub const LINES_MAX: usize = 1000;

/// An error that ends a stream early. Its whole lines are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    #[error("the connection closed before the stream of lines was complete")]
    BrokeOff,
    #[error("the stream of lines was silent for too long")]
    Silent,
}

/// The body of a stream, as blocks of lines.
pub struct Input {
    body: Body,
    /// The rest of the last frame.
    frame: Bytes,
    block: Vec<u8>,
    /// The number of the block's bytes that are whole lines.
    whole: usize,
    /// The rest of a line that is too long is being skipped.
    skipping: bool,
    end: Option<Result<(), InputError>>,
    silence_timeout: Duration,
    alarm: Pin<Box<Sleep>>,
    waiting: bool,
}

impl Input {
    /// The stream ends with [`InputError::Silent`] after `silence_timeout` without bytes.
    pub fn new(body: Body, silence_timeout: Duration) -> Self {
        Self {
            body,
            frame: Bytes::new(),
            block: Vec::with_capacity(BLOCK_BYTES),
            whole: 0,
            skipping: false,
            end: None,
            silence_timeout,
            alarm: Box::pin(sleep(silence_timeout)),
            waiting: false,
        }
    }

    /// Changes the silence timeout.
    pub fn limit_silence(&mut self, silence_timeout: Duration) {
        self.silence_timeout = silence_timeout;
        self.waiting = false;
    }

    /// Waits for the first bytes, or the end.
    pub async fn first_bytes(&mut self) {
        std::future::poll_fn(|cx| {
            self.fill(cx);
            if self.block.is_empty() && self.end.is_none() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    /// Reads until the block is full, the body has ended, or no more bytes have arrived yet.
    pub fn fill(&mut self, cx: &mut Context<'_>) {
        while self.end.is_none() {
            self.take_frame();
            if self.is_full() {
                return;
            }
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.waiting = false;
                    self.frame = frame.into_data().unwrap_or_default();
                }
                Poll::Ready(Some(Err(_))) => self.finish(Err(InputError::BrokeOff)),
                Poll::Ready(None) => self.finish(Ok(())),
                Poll::Pending if self.is_silent(cx) => self.finish(Err(InputError::Silent)),
                Poll::Pending => return,
            }
        }
    }

    /// Returns true if the block cannot grow any more.
    pub fn is_full(&self) -> bool {
        self.end.is_some() || !self.frame.is_empty() || self.block.len() >= BLOCK_BYTES
    }

    /// The end of the body, once it has ended.
    pub fn end(&self) -> Option<Result<(), InputError>> {
        self.end
    }

    /// Takes the whole lines that have arrived, if any.
    pub fn take_lines(&mut self) -> Option<Bytes> {
        if self.whole == 0 {
            return None;
        }
        let end = end_of_lines(&self.block[..self.whole], LINES_MAX);
        self.whole -= end;
        let mut rest = Vec::with_capacity(BLOCK_BYTES);
        rest.extend_from_slice(&self.block[end..]);
        let mut lines = std::mem::replace(&mut self.block, rest);
        lines.truncate(end);
        // The limit on bytes in flight counts the buffer's length.
        lines.shrink_to_fit();
        Some(lines.into())
    }

    /// Moves as much of the frame as fits into the block.
    fn take_frame(&mut self) {
        if self.skipping {
            let end = memchr(b'\n', &self.frame).unwrap_or(self.frame.len());
            self.skipping = end == self.frame.len();
            self.frame.advance(self.frame.len().min(end + 1));
        }
        let room = BLOCK_BYTES.saturating_sub(self.block.len());
        let taken = self.frame.split_to(room.min(self.frame.len()));
        if let Some(at) = taken.iter().rposition(|byte| *byte == b'\n') {
            self.whole = self.block.len() + at + 1;
        }
        self.block.extend_from_slice(&taken);
        if self.block.len() == BLOCK_BYTES && self.whole == 0 {
            // Keeps enough of it to recognise it as too long.
            self.block.truncate(LINE_BYTES_MAX + 1);
            self.block.push(b'\n');
            self.whole = self.block.len();
            self.skipping = true;
        }
    }

    /// Ends the input. The last line needs no line end, unless the connection was cut.
    fn finish(&mut self, end: Result<(), InputError>) {
        self.end = Some(end);
        if end.is_err() {
            self.block.truncate(self.whole);
        } else if self.whole < self.block.len() {
            self.block.push(b'\n');
            self.whole = self.block.len();
        }
    }

    fn is_silent(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.waiting {
            self.waiting = true;
            self.alarm.as_mut().reset(Instant::now() + self.silence_timeout);
        }
        self.alarm.as_mut().poll(cx).is_ready()
    }
}

/// The position where the first `most` of some whole lines end.
fn end_of_lines(lines: &[u8], most: usize) -> usize {
    // Counting processes many bytes at a time, and few blocks have more lines.
    if lines.iter().filter(|byte| **byte == b'\n').count() <= most {
        return lines.len();
    }
    let mut ends = lines.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    ends.nth(most - 1).map_or(lines.len(), |(at, _)| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::body::Frame;
    use std::convert::Infallible;
    use std::task::Waker;
    use tokio::sync::mpsc;

    /// An input, with the sender of its bytes.
    fn input() -> (mpsc::Sender<Bytes>, Input) {
        let (sender, pieces) = mpsc::channel(1024);
        (sender, Input::new(Body::new(Pieces(pieces)), Duration::from_secs(75)))
    }

    struct Pieces(mpsc::Receiver<Bytes>);

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
        }
    }

    fn fill(input: &mut Input) {
        input.fill(&mut Context::from_waker(Waker::noop()));
    }

    /// All blocks of a body that arrives in these pieces.
    fn blocks(pieces: &[&[u8]]) -> Vec<Bytes> {
        let (sender, mut input) = input();
        pieces.iter().for_each(|piece| sender.try_send(Bytes::copy_from_slice(piece)).expect("room"));
        drop(sender);
        let mut blocks = Vec::new();
        loop {
            fill(&mut input);
            match input.take_lines() {
                Some(block) => blocks.push(block),
                None => break,
            }
        }
        assert_eq!(input.end(), Some(Ok(())));
        blocks
    }

    #[tokio::test(start_paused = true)]
    async fn lines_stay_whole_in_every_division_into_frames() {
        let expected = ["one\n\ntwo\nthree\n"];
        assert_eq!(blocks(&[b"one\n\ntwo\nthree\n"]), expected);
        assert_eq!(blocks(&[b"o", b"ne", b"\n\ntw", b"o\n", b"three"]), expected);
        assert!(blocks(&[b""]).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn whole_lines_are_available_before_the_rest_arrives() {
        let (sender, mut input) = input();
        sender.try_send(Bytes::from_static(b"one\ntw")).unwrap();
        fill(&mut input);
        assert!(!input.is_full());
        assert_eq!(input.take_lines().as_deref(), Some(&b"one\n"[..]));
        assert_eq!(input.take_lines(), None);
        sender.try_send(Bytes::from_static(b"o\n")).unwrap();
        fill(&mut input);
        assert_eq!(input.take_lines().as_deref(), Some(&b"two\n"[..]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_block_has_a_bounded_number_of_bytes_and_lines() {
        let many = b"x\n".repeat(2 * LINES_MAX + 1);
        let lengths: Vec<_> = blocks(&[&many]).iter().map(Bytes::len).collect();
        assert_eq!(lengths, [2 * LINES_MAX, 2 * LINES_MAX, 2]);
        let line = [b"x".repeat(999), b"\n".to_vec()].concat();
        let blocks = blocks(&[&line.repeat(300)]);
        assert!(blocks.len() > 2 && blocks.iter().all(|block| block.len() <= BLOCK_BYTES && block.ends_with(b"\n")));
        assert_eq!(blocks.concat(), line.repeat(300));
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_without_end_is_skipped_in_constant_memory() {
        let long = b"y".repeat(BLOCK_BYTES / 2 - 1);
        let pieces = [b"one\n", &long[..], &long, &long, &long, &long, b"y\ntwo\n"];
        let text = blocks(&pieces).concat();
        let lines: Vec<_> = text.split(|byte| *byte == b'\n').map(<[u8]>::len).collect();
        assert_eq!(lines, [3, LINE_BYTES_MAX + 1, 3, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_ends_after_its_timeout() {
        let (sender, mut input) = input();
        sender.try_send(Bytes::from_static(b"one\nhal")).unwrap();
        let began = Instant::now();
        std::future::poll_fn(|cx| {
            input.fill(cx);
            if input.end().is_some() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert_eq!((input.end(), began.elapsed().as_secs()), (Some(Err(InputError::Silent)), 75));
        assert_eq!(input.take_lines().as_deref(), Some(&b"one\n"[..]));
        assert_eq!(input.take_lines(), None);
    }
}
