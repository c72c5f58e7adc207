//! Against another implementation: the server half of the h2 crate, strict about windows, limits and HPACK.

#![expect(clippy::disallowed_methods, reason = "a peer in the same test, which waits for it")]

use std::collections::BTreeSet;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::super::Config;
use super::support::*;

const REQUESTS: u32 = 500;

/// Answers bodies of odd length with 200, others with 410 and a reason, and returns what it saw of each request.
async fn serve(io: DuplexStream, window: u32, streams_max: u32, table: u32) -> Vec<(String, usize)> {
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(window).max_concurrent_streams(streams_max).header_table_size(table);
    let mut connection = builder.handshake::<_, Bytes>(io).await.expect("our first flight is right");
    let mut seen = Vec::new();
    let mut tasks = tokio::task::JoinSet::new();
    while let Some(request) = connection.accept().await {
        let (request, mut respond) = request.expect("our frames are right");
        tasks.spawn(async move {
            let topic = request.headers()["apns-topic"].to_str().unwrap().to_owned();
            let id = request.headers()["apns-id"].clone();
            let mut body = request.into_body();
            let mut length = 0;
            while let Some(data) = body.data().await {
                let data = data.unwrap();
                length += data.len();
                body.flow_control().release_capacity(data.len()).unwrap();
            }
            let accepted = length % 2 == 1;
            let answer = http::Response::builder().status(if accepted { 200 } else { 410 }).header("apns-id", id);
            let mut stream = respond.send_response(answer.body(()).unwrap(), accepted).unwrap();
            if !accepted {
                stream.send_data(Bytes::from_static(b"{\"reason\":\"Unregistered\"}"), true).unwrap();
            }
            (topic, length)
        });
    }
    while let Some(task) = tasks.join_next().await {
        seen.push(task.unwrap());
    }
    seen
}

/// Sends all requests, with bodies of 1 to 3,000 bytes, and returns what came of them.
async fn send_all(mut io: DuplexStream) -> Vec<Seen> {
    let mut client = Client::new(Config::default());
    let (mut ends, mut next) = (Vec::new(), 0);
    let mut input = vec![0; 4_096];
    while ends.len() < REQUESTS as usize {
        while next < REQUESTS && client.request(next, &vec![b'x'; (next * 7 % 3_000 + 1) as usize]).is_ok() {
            next += 1;
        }
        io.write_all(&client.drain()).await.unwrap();
        let count = io.read(&mut input).await.unwrap();
        assert_ne!(count, 0, "the server hung up: {ends:?}");
        let seen = client.feed(&input[..count]);
        ends.extend(seen.into_iter().filter(|seen| *seen != Seen::Settings));
    }
    client.session.shut_down();
    io.write_all(&client.drain()).await.unwrap();
    ends
}

#[tokio::test]
async fn a_strict_server_understands_every_request_and_we_every_answer() {
    for (window, streams_max, table) in [(65_535, 100, 4_096), (700, 7, 0), (100_000, 1, 100)] {
        let (ours, theirs) = tokio::io::duplex(10_000);
        let (ends, seen) = tokio::join!(send_all(ours), serve(theirs, window, streams_max, table));
        assert_eq!(seen.len(), REQUESTS as usize);
        assert!(seen.iter().all(|(topic, _)| topic == "com.example.app"));
        let mut tags = BTreeSet::new();
        for end in ends {
            let Seen::Answered { tag, status, apns_id, body, complete: true } = end else { panic!("{end:?}") };
            assert!(tags.insert(tag));
            assert_eq!(apns_id.as_deref(), Some("123e4567-e89b-12d3-a456-426655440000"));
            let accepted = (tag * 7 % 3_000 + 1) % 2 == 1;
            let expected = if accepted { (200, "") } else { (410, "{\"reason\":\"Unregistered\"}") };
            assert_eq!((status, &body[..]), expected);
        }
    }
}
