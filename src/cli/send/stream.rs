//! Sends a file of notifications: lines go to the node as they are read, outcomes come back at the same time, and
//! memory stays constant.

use super::tally::Tally;
use crate::cli::print;
use crate::drain::Drain;
use crate::http::client::{Client, LineBody, refusal};
use anyhow::{Context, bail};
use bytes::{Buf, Bytes, BytesMut};
use http::Request;
use http_body_util::{BodyExt, Either};
use hyper::body::Incoming;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that are read ahead of the connection.
const CHUNKS_AHEAD: usize = 2;
const PROGRESS_EVERY: Duration = Duration::from_millis(200);
const INTERRUPTED: &str = "interrupted";

/// The source of the lines.
pub struct Source {
    input: File,
    /// The size in bytes, if the source is a file.
    size: Option<u64>,
}

impl Source {
    /// Opens a file, or stdin for `-`.
    pub async fn open(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            let stdin = io::stdin().as_fd().try_clone_to_owned()?;
            return Ok(Self { input: File::from_std(stdin.into()), size: None });
        }
        let opened = File::open(path).await;
        let file = opened.with_context(|| format!("cannot read {}", path.display()))?;
        let about = file.metadata().await?;
        Ok(Self { input: file, size: about.is_file().then_some(about.len()) })
    }
}

/// The progress of the lines.
#[derive(Default)]
struct Sent {
    /// Lines that are not blank: each has an outcome.
    lines: AtomicU64,
    bytes: AtomicU64,
    /// The source could not be read to its end.
    read_failed: AtomicBool,
}

/// Reads whole lines and passes them on, until the end of the source or `stop`.
struct Feeder {
    input: File,
    lines: mpsc::Sender<Bytes>,
    sent: Arc<Sent>,
    stop: CancellationToken,
}

impl Feeder {
    async fn run(mut self) {
        let mut rest = BytesMut::with_capacity(2 * CHUNK_BYTES);
        loop {
            rest.reserve(CHUNK_BYTES);
            let read = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                read = self.input.read_buf(&mut rest) => read,
            };
            let whole = match read {
                Ok(0) => rest.len(),
                Ok(_) => rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1),
                Err(error) => {
                    print::note(format_args!("pyapns: cannot read the rest of the input: {error}"));
                    self.sent.read_failed.store(true, Ordering::Relaxed);
                    return;
                }
            };
            if whole > 0 && !self.hand(rest.split_to(whole).freeze()).await {
                return;
            }
            if matches!(read, Ok(0)) {
                return;
            }
        }
    }

    async fn hand(&self, chunk: Bytes) -> bool {
        let (bytes, lines) = (chunk.len(), chunk.split(|byte| *byte == b'\n'));
        let lines = lines.filter(|line| !line.trim_ascii().is_empty()).count();
        let permit = tokio::select! {
            biased;
            () = self.stop.cancelled() => return false,
            permit = self.lines.reserve() => permit,
        };
        // The receiver is closed: the node accepts no more, and its answer says why.
        let Ok(permit) = permit else { return false };
        self.sent.lines.fetch_add(lines as u64, Ordering::Relaxed);
        self.sent.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        permit.send(chunk);
        true
    }
}

/// The result of sending a file.
pub struct StreamResult {
    pub tally: Tally,
    /// Lines that were sent to the node, and lines that it answered.
    pub sent: u64,
    /// The source was not read to its end.
    pub stopped: bool,
    /// The reason that the answer ended early, if it did.
    pub failure: Option<String>,
}

/// Sends the whole source. The first Ctrl-C stops reading, the second exits immediately.
pub async fn send(
    caller: &mut Client,
    path: &str,
    source: Source,
    output: &mut dyn Write,
    quiet: bool,
    drain: &Drain,
) -> anyhow::Result<StreamResult> {
    let (lines, body) = mpsc::channel(CHUNKS_AHEAD);
    let (sent, stop) = (Arc::<Sent>::default(), CancellationToken::new());
    let size = source.size;
    let feeder = Feeder { input: source.input, lines, sent: Arc::clone(&sent), stop: stop.clone() };
    let request = Request::post(path).header("content-type", "application/x-ndjson");
    let mut interrupts = signal(SignalKind::interrupt())?;
    drain.spawn("feeder", feeder.run());
    let mut call = std::pin::pin!(caller.send(request.body(Either::Right(LineBody(body)))?));
    let answer = loop {
        tokio::select! {
            biased;
            _ = interrupts.recv() => {
                if is_second_interrupt(&stop) {
                    let (tally, sent) = (Tally::default(), sent.lines.load(Ordering::Relaxed));
                    return Ok(StreamResult { tally, sent, stopped: true, failure: Some(INTERRUPTED.to_owned()) });
                }
            }
            answer = call.as_mut() => break answer?,
        }
    };
    let status = answer.status().as_u16();
    if status != 201 {
        let body = answer.into_body().collect().await?.to_bytes();
        bail!("{}", refusal(status, &serde_json::from_slice(&body).unwrap_or_default()));
    }
    let shows_progress = !quiet && io::stderr().is_terminal();
    let mut receiver =
        Receiver { sent: &sent, size, output, tally: Tally::default(), began: Instant::now(), shows_progress };
    let failure = receiver.run(answer.into_body(), &stop, &mut interrupts).await?;
    receiver.clear();
    let stopped = stop.is_cancelled() || sent.read_failed.load(Ordering::Relaxed);
    let tally = receiver.tally;
    Ok(StreamResult { tally, sent: sent.lines.load(Ordering::Relaxed), stopped, failure })
}

/// Stops reading on the first interrupt. Returns true on the second, which exits immediately.
fn is_second_interrupt(stop: &CancellationToken) -> bool {
    if stop.is_cancelled() {
        return true;
    }
    stop.cancel();
    print::note("stopping: waiting for the outcomes of the notifications sent (Ctrl-C again exits immediately)");
    false
}

struct Receiver<'a> {
    sent: &'a Sent,
    size: Option<u64>,
    output: &'a mut dyn Write,
    tally: Tally,
    began: Instant,
    /// Progress is shown.
    shows_progress: bool,
}

impl Receiver<'_> {
    /// Writes outcomes as they arrive. Returns the reason if they ended early.
    async fn run(
        &mut self,
        mut answer: Incoming,
        stop: &CancellationToken,
        interrupts: &mut Signal,
    ) -> anyhow::Result<Option<String>> {
        let mut rest = BytesMut::new();
        let mut ticks = tokio::time::interval(PROGRESS_EVERY);
        loop {
            let frame = tokio::select! {
                biased;
                _ = interrupts.recv() => {
                    self.clear();
                    if is_second_interrupt(stop) {
                        return Ok(Some(INTERRUPTED.to_owned()));
                    }
                    continue;
                }
                _ = ticks.tick(), if self.shows_progress => {
                    self.show();
                    continue;
                }
                frame = answer.frame() => frame,
            };
            match frame {
                None if rest.is_empty() => return Ok(None),
                None => return Ok(Some("the answer ends within a line".to_owned())),
                Some(Err(error)) => return Ok(Some(format!("the connection closed early: {error}"))),
                Some(Ok(frame)) => {
                    rest.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
                    self.write_lines(&mut rest, stop)?;
                }
            }
        }
    }

    /// If the output is a closed pipe, stops sending and only counts the remaining outcomes.
    fn write_lines(&mut self, rest: &mut BytesMut, stop: &CancellationToken) -> anyhow::Result<()> {
        let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else { return Ok(()) };
        match self.output.write_all(&rest[..=end]).and_then(|()| self.output.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => stop.cancel(),
            written => written.context("cannot write the outcomes")?,
        }
        rest[..end].split(|byte| *byte == b'\n').for_each(|line| self.tally.count(line));
        rest.advance(end + 1);
        Ok(())
    }

    fn show(&self) {
        let line = self.tally.progress(self.sent.bytes.load(Ordering::Relaxed), self.size, self.began.elapsed());
        print::progress(line);
    }

    /// Removes the progress line.
    fn clear(&self) {
        if self.shows_progress {
            print::progress("");
        }
    }
}
