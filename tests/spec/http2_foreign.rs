//! Our HTTP/2 client core against servers that others wrote: nghttpd, Python's h2, and the h2 crate.

use crate::support::foreign::{Ended, Server, Talk, talk};
use http2::{Cause, End, Processed};

fn nghttpd(arguments: &[&str], count: usize) -> Talk {
    let root = tempfile::tempdir().expect("a folder");
    std::fs::write(root.path().join("push"), "taken").expect("a file");
    let server = Server::nghttpd(root.path(), arguments);
    talk(server.address, "push", count, &[b'x'; 300])
}

/// nghttpd closes the connection on any slip of the client's.
#[test]
fn nghttpd_accepts_our_frames_with_every_setting() {
    let settings: &[&[&str]] = &[
        &[],
        &["-c", "0"],
        &["-m", "1"],
        &["-w", "10"],
        &["-b", "255"],
        &["--trailer", "checksum: 1"],
        &["--early-response"],
        &["--encoder-header-table-size=0"],
    ];
    for arguments in settings {
        let talk = nghttpd(arguments, 300);
        assert_eq!(talk.fault, None, "{arguments:?}");
        assert_eq!(talk.answered(200), 300, "{arguments:?}: {:?}", talk.goaways);
        let whole = |end: &Ended| matches!(end, Ended::Answered { body, .. } if body == b"taken");
        let whole = talk.ends.iter().filter(|(_, end)| whole(end)).count();
        assert!(whole == 300 || arguments == &["--early-response"], "{arguments:?}: {whole} whole bodies");
    }
}

#[test]
fn pythons_h2_gets_every_request_whole_and_we_every_answer() {
    let server = Server::python("echo");
    let talk = talk(server.address, "3/device/00fc", 500, br#"{"aps":{}}"#);
    assert_eq!((talk.fault, talk.ends.len()), (None, 500));
    for (_, end) in &talk.ends {
        assert_eq!(*end, Ended::Answered { status: 200, body: br#"{"aps":{}}"#.to_vec(), complete: true });
    }
}

#[test]
fn a_stream_that_pythons_h2_refuses_or_resets_ends_so() {
    let server = Server::python("reset");
    let talk = talk(server.address, "x", 30, b"{}");
    let ends = |wanted: End| talk.ends.iter().filter(|(_, end)| *end == Ended::Without(wanted)).count();
    assert_eq!(ends(End { processed: Processed::No, cause: Cause::Refused }), 10);
    assert_eq!(ends(End { processed: Processed::Maybe, cause: Cause::Reset(8) }), 10);
    assert_eq!(talk.answered(200), 10);
}

#[test]
fn a_goaway_of_pythons_h2_splits_the_streams_at_its_last_id() {
    let server = Server::python("goaway");
    let talk = talk(server.address, "x", 20, b"{}");
    assert_eq!(talk.goaways, [(19, 0, br#"{"reason":"Shutdown"}"#.to_vec())]);
    let above = Ended::Without(End { processed: Processed::No, cause: Cause::AboveLastId });
    assert_eq!(talk.ends.iter().filter(|(_, end)| *end == above).count(), 10);
    assert_eq!(talk.answered(200), 10);
}

#[test]
fn settings_that_pythons_h2_changes_in_mid_flight_are_obeyed() {
    let server = Server::python("settings");
    let talk = talk(server.address, "x", 200, &[b'x'; 3000]);
    assert_eq!((&talk.fault, talk.answered(200)), (&None, 200), "{:?}", talk.goaways);
}

#[test]
fn the_h2_crate_takes_a_thousand_requests() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("an address");
    runtime.spawn(async move {
        let (socket, _) = listener.accept().await.expect("a connection");
        let mut connection = h2::server::handshake(socket).await.expect("HTTP/2");
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            assert_eq!(request.headers()["apns-topic"], "com.example.app");
            let answer = http::Response::builder().status(200).header("apns-id", &request.headers()["apns-id"]);
            respond.send_response(answer.body(()).expect("an answer"), true).expect("a stream");
        }
    });
    let talk = talk(address, "3/device/00fc", 1000, b"{}");
    assert_eq!((&talk.fault, talk.answered(200)), (&None, 1000), "{:?}", talk.goaways);
}
