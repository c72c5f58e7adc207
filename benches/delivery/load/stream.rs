//! A stream of lines with a bounded number of them unanswered.

use super::connection::{Connection, Tally};
use super::message::{STREAM_END, stream_head};
use crate::shape::IN_FLIGHT;
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

const READ_BYTES: usize = 64 << 10;

/// Streams so many chunks of so many lines each, over and over the same ones; gives the time it took.
pub async fn run(address: &str, chunks: Vec<Bytes>, total: usize, lines: usize) -> Duration {
    let (mut reader, mut writer) = Connection::open(address).await.into_socket().into_split();
    let began = Instant::now();
    let room = Arc::new(Semaphore::new(IN_FLIGHT / lines));
    let free = Arc::clone(&room);
    let writing = tokio::spawn(async move {
        writer.write_all(&stream_head()).await.expect("the daemon reads");
        for chunk in chunks.iter().cycle().take(total) {
            room.acquire().await.expect("it is never closed").forget();
            writer.write_all(chunk).await.expect("the daemon reads");
        }
        writer.write_all(STREAM_END).await.expect("the daemon reads");
        writer
    });
    let (mut tally, mut end) = (Tally::default(), [0; STREAM_END.len()]);
    let mut heard = Vec::with_capacity(READ_BYTES);
    while end != STREAM_END {
        heard.clear();
        let read = reader.read_buf(&mut heard).await.expect("the daemon answers");
        assert!(read > 0, "the daemon hung up after {} of {} lines", tally.accepted, total * lines);
        let before = tally.accepted / lines;
        tally.add(&heard);
        free.add_permits(tally.accepted / lines - before);
        let kept = heard.len().min(end.len());
        end.rotate_left(kept);
        let at = end.len() - kept;
        end[at..].copy_from_slice(&heard[heard.len() - kept..]);
    }
    drop(writing.await.expect("the writer is well"));
    assert_eq!(tally.accepted, total * lines, "not all lines were accepted");
    began.elapsed()
}
