//! Answers out of the ordinary in time, and those that end a connection.

use std::time::{Duration, Instant};

use super::support::*;
use crate::{Act, ConnectionAct, ConnectionFault, Fault, Options, Script, Simulator};

async fn start_with_fault(fault: Fault) -> Simulator {
    start_with(Options { script: Script { faults: vec![fault], ..Script::default() }, ..Options::default() }).await
}

#[tokio::test]
async fn one_token_is_answered_late_and_the_others_overtake_it() {
    let late = Fault { token: Some("00ff".to_owned()), ..Fault::new(Act::Delay { ms: 100 }) };
    let simulator = start_with_fault(late).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let slow = client.begin(Push::new().to("/3/device/00ff")).await.unwrap();
    assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
    assert_eq!(soon(finish(slow)).await.unwrap().status, 200);
    let order: Vec<u32> = client.frames_of(HEADERS).iter().map(|frame| frame.stream).collect();
    assert_eq!(order, [3, 1]);
    assert!(simulator.ledger().entries().iter().all(|entry| entry.accepted && entry.answered));
}

#[tokio::test]
async fn headers_come_immediately_and_the_body_later() {
    let act = Act::SlowBody { after_ms: 100, status: 400, reason: "BadTopic".to_owned() };
    let simulator = start_with_fault(Fault { times: Some(1), ..Fault::new(act) }).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let answer = client.begin(Push::new()).await.unwrap();
    let (head, mut body) = soon(answer).await.unwrap().into_parts();
    let begun = Instant::now();
    assert_eq!(head.status, 400);
    let data = soon(body.data()).await.unwrap().unwrap();
    assert_eq!(&data[..], br#"{"reason":"BadTopic"}"#);
    assert!(begun.elapsed() >= Duration::from_millis(50), "{:?}", begun.elapsed());
    assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
}

#[tokio::test]
async fn an_answer_may_precede_the_end_of_its_request() {
    let act = Act::EarlyAnswer { status: 413, reason: "PayloadTooLarge".to_owned() };
    let script = Script {
        faults: vec![Fault { times: Some(1), ..Fault::new(act) }],
        connections: vec![ConnectionFault::new(ConnectionAct::Window { stream: 100, updates: true })],
        ..Script::default()
    };
    let simulator = start_with(Options { script, ..Options::default() }).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    client.settled().await;
    assert_eq!(client.push(Push::new().of(4000)).await.unwrap().reason(), "PayloadTooLarge");
    client.until(|frames| frames.iter().any(|frame| frame.kind == RST_STREAM)).await;
    assert_eq!(client.frames_of(RST_STREAM)[0].payload, [0, 0, 0, 0]);
    let entry = &simulator.ledger().entries()[0];
    assert_eq!((entry.status, entry.accepted, entry.answered), (Some(413), false, true));
    assert_eq!(client.push(Push::new().of(4000)).await.unwrap().status, 200, "the next body arrives whole");
}

#[tokio::test]
async fn shutdown_is_answered_and_then_said() {
    let act = Act::AnswerAndGoaway { status: 503, reason: "Shutdown".to_owned() };
    let simulator = start_with_fault(Fault { every: Some(3), times: Some(1), ..Fault::new(act) }).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(client.push(Push::new()).await.unwrap().status);
    }
    assert_eq!(statuses, [200, 200, 503]);
    client.until(|frames| frames.iter().any(|frame| frame.kind == GOAWAY)).await;
    assert_eq!(client.goaways(), [(5, 0, r#"{"reason":"Shutdown"}"#.to_owned())]);
    assert!(soon(client.driver).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_fault_may_begin_later_than_its_script() {
    let act = Act::Answer { status: 500, reason: "InternalServerError".to_owned() };
    let simulator = start_with_fault(Fault { after_ms: Some(200), times: Some(1), ..Fault::new(act) }).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
    soon(async { while client.push(Push::new()).await.unwrap().status == 200 {} }).await;
    assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
}
