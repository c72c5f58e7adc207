//! Bodies that do not fit a stream's window: the slow path of sending.
//!
//! The connection's window is charged with a whole body when its request starts, so these bodies wait only for their
//! stream's window.

use super::event::ConnectionError;
use super::output::Output;
use super::window::{Overflow, SendWindow};
use super::{Cause, RawEvent, Session};
use crate::frame::{ErrorCode, PAYLOAD_MAX, StreamId, flag};

/// The maximum number of pieces of a body with small windows.
const FRAMES_MAX: u32 = 64;

/// The maximum number of bytes that wait on one connection.
const WAITING_MAX: usize = 65_536;

struct WaitingBody {
    stream: StreamId,
    body: Vec<u8>,
    sent: usize,
    frames: u32,
    window: SendWindow,
}

/// In order of arrival.
#[derive(Default)]
pub struct WaitingBodies {
    queue: Vec<WaitingBody>,
    pub(super) bytes: usize,
}

impl WaitingBodies {
    pub fn takes(&self, length: usize) -> bool {
        self.bytes + length <= WAITING_MAX
    }

    pub fn push(&mut self, stream: StreamId, body: &[u8]) {
        self.bytes += body.len();
        let body = WaitingBody { stream, body: body.to_vec(), sent: 0, frames: 0, window: SendWindow::relative() };
        self.queue.push(body);
    }

    /// Forgets the body of a stream; returns the bytes of it that were not sent, `None` if none waited.
    pub fn remove(&mut self, stream: StreamId) -> Option<usize> {
        let at = self.queue.iter().position(|body| body.stream == stream)?;
        let body = self.queue.remove(at);
        self.bytes -= body.body.len();
        Some(body.body.len() - body.sent)
    }

    /// A changed INITIAL_WINDOW_SIZE moves all stream windows (RFC 9113 6.9.2).
    pub fn check_windows(&self, initial_window: u32) -> Result<(), ConnectionError> {
        let fits = self.queue.iter().try_for_each(|body| body.window.check_maximum(initial_window));
        fits.map_err(|Overflow| ConnectionError::flow_control("SETTINGS enlarge a stream's window beyond 2^31 - 1"))
    }

    pub fn send(&mut self, initial_window: u32, output: &mut Output) {
        for body in &mut self.queue {
            body.send(initial_window, output);
        }
        self.queue.retain(|body| {
            let waits = body.sent < body.body.len();
            self.bytes -= if waits { 0 } else { body.body.len() };
            waits
        });
    }
}

impl WaitingBody {
    fn send(&mut self, initial_window: u32, output: &mut Output) {
        while self.frames < FRAMES_MAX && self.sent < self.body.len() && output.takes_data() {
            let rest = &self.body[self.sent..];
            let length = rest.len().min(self.window.available(initial_window)).min(PAYLOAD_MAX);
            if length == 0 {
                return;
            }
            let flags = if length == rest.len() { flag::END_STREAM } else { 0 };
            output.data(self.stream, &rest[..length], flags);
            self.window.spend(length);
            self.sent += length;
            self.frames += 1;
        }
    }
}

impl<T> Session<T> {
    pub(super) fn send_waiting_bodies(&mut self) {
        if !self.bodies.queue.is_empty() {
            self.bodies.send(self.peer.initial_window, &mut self.output);
        }
    }

    /// Drops the rest of a stream's body. Returns true if there was one.
    pub(super) fn drop_body(&mut self, stream: StreamId) -> bool {
        let unsent = self.bodies.remove(stream);
        self.send_window.give_back(unsent.unwrap_or(0));
        unsent.is_some()
    }

    /// WINDOW_UPDATE for an open stream. Once its body is written, its window does not matter any more.
    pub(super) fn on_stream_window(&mut self, stream: StreamId, increment: u32) -> Option<RawEvent<T>> {
        let initial_window = self.peer.initial_window;
        let body = self.bodies.queue.iter_mut().find(|body| body.stream == stream)?;
        let fault = if increment == 0 {
            Some((ErrorCode::Protocol, Cause::Malformed))
        } else if body.window.grow(increment, initial_window).is_err() {
            Some((ErrorCode::FlowControl, Cause::Malformed))
        } else if body.frames >= FRAMES_MAX {
            Some((ErrorCode::Cancel, Cause::WindowTooSmall))
        } else {
            None
        };
        if let Some((code, cause)) = fault {
            return self.reset_keeping_status(stream, false, code, cause);
        }
        self.send_waiting_bodies();
        None
    }
}
