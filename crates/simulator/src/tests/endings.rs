//! GOAWAY in every variant, compared with the ledger: what the frames say must be what was processed.

use super::support::*;
use crate::{DebugData, Ending, Entry, GoAway, Latency, Options, Script, Simulator, When};

const SHUTDOWN: &str = r#"{"reason":"Shutdown"}"#;
const NO_LIMIT: u32 = (1 << 31) - 1;

fn script(goaway: GoAway) -> Options {
    let script = Script { goaway: Some(goaway), ..Script::default() };
    Options { script, ..Options::default() }
}

fn id(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// Begins `count` pushes together, on streams 1, 3, 5 and so on, and waits for the end of each.
async fn burst(client: &mut Client, count: usize) -> Vec<Result<Answer, h2::Error>> {
    let mut responses = Vec::new();
    for number in 0..count {
        responses.push(client.begin(Push::new().with("apns-id", &id(number))).await.unwrap());
    }
    let mut ends = Vec::new();
    for response in responses {
        ends.push(soon(finish(response)).await);
    }
    ends
}

fn accepted_streams(simulator: &Simulator) -> Vec<u32> {
    simulator.ledger().entries().iter().filter(|entry| entry.accepted).map(|entry| entry.stream).collect()
}

fn unprocessed(simulator: &Simulator) -> Vec<Entry> {
    simulator.ledger().entries().into_iter().filter(|entry| !entry.processed).collect()
}

fn answered(ends: &[Result<Answer, h2::Error>]) -> usize {
    ends.iter().filter(|end| end.as_ref().is_ok_and(|answer| answer.status == 200)).count()
}

#[tokio::test]
async fn a_single_goaway_processes_exactly_the_streams_up_to_its_last_id() {
    let goaway = GoAway { last_stream_id: Some(9), ..GoAway::new(When::ConnectionRequests(8), Ending::Single) };
    let simulator = start_with(script(goaway)).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let ends = burst(&mut client, 12).await;
    assert_eq!(answered(&ends[..5]), 5);
    for end in &ends[5..] {
        let error = end.as_ref().unwrap_err();
        assert!(error.is_go_away() && error.is_remote(), "{error}");
    }
    assert_eq!(client.goaways(), [(9, 0, SHUTDOWN.to_owned())]);
    assert_eq!(accepted_streams(&simulator), [1, 3, 5, 7, 9]);
    assert!(unprocessed(&simulator).iter().all(|entry| entry.stream > 9 && entry.status.is_none() && !entry.answered));
    assert_eq!(simulator.ledger().accepted(&id(4)), 1);
    assert_eq!(simulator.ledger().accepted(&id(5)), 0);
    assert!(soon(client.driver).await.unwrap().is_ok(), "the connection ends cleanly");
}

#[tokio::test]
async fn a_single_goaway_without_a_chosen_id_names_the_stream_that_triggered_it() {
    let simulator = start_with(script(GoAway::new(When::Requests(3), Ending::Single))).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let ends = burst(&mut client, 7).await;
    assert_eq!(answered(&ends), 3);
    assert_eq!(client.goaways(), [(5, 0, SHUTDOWN.to_owned())]);
    assert_eq!(accepted_streams(&simulator), [1, 3, 5]);
}

#[tokio::test]
async fn streams_at_or_below_the_last_id_finish_after_the_goaway() {
    let goaway = GoAway { last_stream_id: Some(5), ..GoAway::new(When::ConnectionRequests(6), Ending::Single) };
    let script = Script { latency: Some(Latency::FixedMs(30.0)), ..script(goaway).script };
    let simulator = start_with(Options { script, ..Options::default() }).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let ends = burst(&mut client, 6).await;
    assert_eq!(answered(&ends), 3);
    let kinds: Vec<u8> =
        client.frames().iter().map(|frame| frame.kind).filter(|kind| [HEADERS, GOAWAY].contains(kind)).collect();
    assert_eq!(kinds, [GOAWAY, HEADERS, HEADERS, HEADERS]);
    assert!(simulator.ledger().entries().iter().filter(|entry| entry.accepted).all(|entry| entry.answered));
}

#[tokio::test]
async fn a_graceful_end_says_two_to_the_31_minus_1_first_and_the_real_id_later() {
    let goaway = GoAway { second_after_ms: 10, ..GoAway::new(When::ConnectionRequests(4), Ending::Graceful) };
    // The h2 client leaves as soon as nothing is in flight, so something must be when the second frame comes.
    let script = Script { latency: Some(Latency::FixedMs(100.0)), ..script(goaway).script };
    let simulator = start_with(Options { script, ..Options::default() }).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let ends = burst(&mut client, 10).await;
    assert_eq!(answered(&ends), 10, "everything in flight at the first frame is served");
    assert_eq!(client.goaways(), [(NO_LIMIT, 0, SHUTDOWN.to_owned()), (19, 0, String::new())]);
    assert_eq!(accepted_streams(&simulator).len(), 10);
    assert!(soon(client.driver).await.unwrap().is_ok());
}

#[tokio::test]
async fn an_abrupt_end_leaves_the_last_requests_accepted_and_unanswered() {
    let goaway = GoAway { unanswered: 3, code: 2, ..GoAway::new(When::ConnectionRequests(8), Ending::Abrupt) };
    let simulator = start_with(script(goaway)).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let ends = burst(&mut client, 12).await;
    assert_eq!(answered(&ends), 5);
    assert_eq!(client.goaways(), [(15, 2, SHUTDOWN.to_owned())]);
    let entries = simulator.ledger().entries();
    assert_eq!(accepted_streams(&simulator), [1, 3, 5, 7, 9, 11, 13, 15]);
    let unanswered: Vec<u32> =
        entries.iter().filter(|entry| entry.accepted && !entry.answered).map(|entry| entry.stream).collect();
    assert_eq!(unanswered, [11, 13, 15]);
    assert!(entries.iter().filter(|entry| entry.stream > 15).all(|entry| !entry.processed));
    assert!(soon(client.driver).await.unwrap().is_err());
}

#[tokio::test]
async fn an_abrupt_end_drops_the_answers_that_wait_for_their_time() {
    let goaway = GoAway::new(When::ConnectionRequests(4), Ending::Abrupt);
    let script = Script { latency: Some(Latency::FixedMs(60_000.0)), ..script(goaway).script };
    let simulator = start_with(Options { script, ..Options::default() }).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let ends = burst(&mut client, 4).await;
    assert_eq!(answered(&ends), 0);
    let totals = simulator.ledger().totals();
    assert_eq!((totals.accepted, totals.answered), (4, 0));
}

#[tokio::test]
async fn a_cut_closes_without_goaway() {
    let goaway = GoAway { unanswered: 2, ..GoAway::new(When::ConnectionRequests(5), Ending::Cut) };
    let simulator = start_with(script(goaway)).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let ends = burst(&mut client, 9).await;
    assert_eq!(answered(&ends), 3);
    assert!(client.goaways().is_empty());
    let totals = simulator.ledger().totals();
    assert_eq!((totals.accepted, totals.answered, totals.goaways), (5, 3, 0));
}

#[tokio::test]
async fn requests_are_counted_over_the_whole_simulator() {
    let goaway = GoAway { times: Some(1), ..GoAway::new(When::Requests(4), Ending::Single) };
    let simulator = start_with(script(goaway)).await;
    let mut first = Client::connect(&simulator, Auth::Certificate).await;
    let mut second = Client::connect(&simulator, Auth::Certificate).await;
    for _ in 0..2 {
        assert_eq!(first.push(Push::new()).await.unwrap().status, 200);
        assert_eq!(second.push(Push::new()).await.unwrap().status, 200);
    }
    second.until(|frames| frames.iter().any(|frame| frame.kind == GOAWAY)).await;
    assert_eq!(second.goaways(), [(3, 0, SHUTDOWN.to_owned())]);
    for _ in 0..8 {
        assert_eq!(first.push(Push::new()).await.unwrap().status, 200, "one ending was all the script allowed");
    }
    assert!(first.goaways().is_empty());
}

#[tokio::test]
async fn requests_are_counted_per_connection() {
    let simulator = start_with(script(GoAway::new(When::ConnectionRequests(2), Ending::Single))).await;
    for _ in 0..3 {
        let mut client = Client::connect(&simulator, Auth::Token).await;
        assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
        assert!(client.goaways().is_empty());
        assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
        client.until(|frames| frames.iter().any(|frame| frame.kind == GOAWAY)).await;
    }
    assert_eq!(simulator.ledger().totals().goaways, 3);
}

#[tokio::test]
async fn maintenance_ends_every_open_connection_and_no_later_one() {
    let simulator = start().await;
    let mut clients =
        [Client::connect(&simulator, Auth::Certificate).await, Client::connect(&simulator, Auth::Token).await];
    for client in &mut clients {
        client.push(Push::new()).await.unwrap();
    }
    let now = GoAway {
        debug: DebugData::Text("Maximum active streams".to_owned()),
        code: 7,
        ..GoAway::new(When::Now, Ending::Single)
    };
    simulator.set_script(Script { goaway: Some(now), ..Script::default() }).unwrap();
    for client in clients {
        client.until(|frames| frames.iter().any(|frame| frame.kind == GOAWAY)).await;
        assert_eq!(client.goaways(), [(1, 7, "Maximum active streams".to_owned())]);
    }
    let mut later = Client::connect(&simulator, Auth::Certificate).await;
    assert_eq!(later.push(Push::new()).await.unwrap().status, 200);
    assert!(later.goaways().is_empty());
}

#[tokio::test]
async fn a_goaway_on_connect_precedes_every_request() {
    let goaway = GoAway {
        debug: DebugData::Base64(vec![0xff, 0x00]),
        times: Some(1),
        ..GoAway::new(When::Connect, Ending::Single)
    };
    let simulator = start_with(script(goaway)).await;
    let client = Client::connect(&simulator, Auth::Certificate).await;
    client.until(|frames| frames.iter().any(|frame| frame.kind == GOAWAY)).await;
    assert_eq!(client.frames_of(GOAWAY)[0].payload, [0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0]);
    let mut next = Client::connect(&simulator, Auth::Certificate).await;
    assert_eq!(next.push(Push::new()).await.unwrap().status, 200);
}

#[tokio::test]
async fn maintenance_can_be_abrupt_too() {
    for (kind, goaways) in [(Ending::Abrupt, 1), (Ending::Cut, 0)] {
        let simulator = start().await;
        let mut client = Client::connect(&simulator, Auth::Certificate).await;
        client.push(Push::new()).await.unwrap();
        let script = Script { goaway: Some(GoAway::new(When::Now, kind)), ..Script::default() };
        simulator.set_script(script).unwrap();
        let _end = soon(&mut client.driver).await.unwrap();
        assert_eq!(client.goaways().len(), goaways);
    }
}

#[tokio::test]
async fn nothing_is_withheld_once_the_endings_are_used_up() {
    let goaway = GoAway { times: Some(1), unanswered: 2, ..GoAway::new(When::ConnectionRequests(3), Ending::Cut) };
    let simulator = start_with(script(goaway)).await;
    let mut first = Client::connect(&simulator, Auth::Certificate).await;
    assert_eq!(answered(&burst(&mut first, 3).await), 1);
    let mut second = Client::connect(&simulator, Auth::Certificate).await;
    assert_eq!(answered(&burst(&mut second, 9).await), 9);
    let totals = simulator.ledger().totals();
    assert_eq!((totals.accepted, totals.answered), (12, 10));
}
