//! A caller on a pipe in memory: it sends its request again and again, and keeps the answers. Hardly any of it is counted.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Both ends of the pipe; clones share it.
#[derive(Clone)]
pub struct Caller(Arc<Mutex<State>>);

struct State {
    request: Vec<u8>,
    /// Number of accepted outcomes that a response must hold.
    accepted: usize,
    /// Bytes of the request that were read.
    sent: usize,
    begun: usize,
    answered: usize,
    allowed: usize,
    answer: Vec<u8>,
    /// Bytes that the answer will have, once its head tells.
    length: Option<usize>,
    answers: Vec<Vec<u8>>,
    reader: Option<Waker>,
    waiter: Option<Waker>,
}

impl Caller {
    pub fn new(request: Vec<u8>, accepted: usize) -> Self {
        let state = State {
            sent: request.len(),
            request,
            accepted,
            begun: 0,
            answered: 0,
            allowed: 0,
            answer: Vec::new(),
            length: None,
            answers: Vec::new(),
            reader: None,
            waiter: None,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Lets it send so many more requests.
    pub fn allow(&self, requests: usize) {
        let mut state = self.state();
        state.allowed += requests;
        state.reader.take().into_iter().for_each(Waker::wake);
    }

    /// Returns `true` if all it sent was accepted.
    pub fn check(&self) {
        let state = self.state();
        for answer in &state.answers {
            let text = String::from_utf8_lossy(answer);
            assert!(text.starts_with("HTTP/1.1 201 "), "{text}");
            assert_eq!(text.matches(r#""outcome":"accepted""#).count(), state.accepted, "{text}");
        }
        assert_eq!((state.answers.len(), state.begun), (state.allowed, state.allowed));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic")
    }

    #[inline(never)]
    fn uncounted_wait(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        state.waiter = Some(cx.waker().clone());
        if state.answered == state.allowed { Poll::Ready(()) } else { Poll::Pending }
    }

    #[inline(never)]
    fn uncounted_read(&self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        if state.sent == state.request.len() {
            if state.answered < state.begun || state.begun == state.allowed {
                state.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            state.begun += 1;
            state.sent = 0;
        }
        let end = state.request.len().min(state.sent + into.remaining());
        into.put_slice(&state.request[state.sent..end]);
        state.sent = end;
        Poll::Ready(Ok(()))
    }

    #[inline(never)]
    fn uncounted_write(&self, slices: &[io::IoSlice<'_>]) -> usize {
        let mut state = self.state();
        slices.iter().for_each(|slice| state.answer.extend_from_slice(slice));
        if state.is_whole() {
            let answer = std::mem::take(&mut state.answer);
            state.answers.push(answer);
            state.length = None;
            state.answered += 1;
            state.reader.take().into_iter().for_each(Waker::wake);
            if state.answered == state.allowed {
                state.waiter.take().into_iter().for_each(Waker::wake);
            }
        }
        slices.iter().map(|slice| slice.len()).sum()
    }
}

/// Resolves once every request allowed so far is answered.
impl Future for &Caller {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.uncounted_wait(cx)
    }
}

impl State {
    fn is_whole(&mut self) -> bool {
        let answer = &self.answer;
        let length = *self.length.get_or_insert_with(|| {
            let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("the head comes whole") + 4;
            let head = String::from_utf8_lossy(&answer[..end]);
            let body = head.split_once("content-length: ").and_then(|(_, rest)| rest.lines().next());
            body.map_or(usize::MAX, |body| end + body.parse::<usize>().expect("a length"))
        });
        if length == usize::MAX { answer.ends_with(b"\r\n0\r\n\r\n") } else { answer.len() == length }
    }
}

impl AsyncRead for Caller {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.uncounted_read(cx, into)
    }
}

impl AsyncWrite for Caller {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(self.uncounted_write(&[io::IoSlice::new(bytes)])))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(self.uncounted_write(slices)))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
