//! Wire shapes: SETTINGS, the stream limit of token connections, the frames of an answer.

use super::support::*;
use crate::{Environment, Options, TokenState};

fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    values.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect()
}

#[tokio::test]
async fn a_certificate_connection_is_offered_apples_settings_immediately() {
    let simulator = start().await;
    let client = Client::connect(&simulator, Auth::Certificate).await;
    client.settled().await;
    assert_eq!(client.frames()[0].payload, settings(&[(1, 4096), (3, 1000), (5, 16_384), (6, 8000)]));
}

#[tokio::test]
async fn a_token_connection_has_one_stream_until_a_push_is_accepted() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator, Auth::Token).await;
    client.settled().await;
    assert_eq!(client.frames()[0].payload, settings(&[(1, 4096), (3, 1), (5, 16_384), (6, 8000)]));

    assert_eq!(client.push(Push::new().without("apns-topic")).await.unwrap().status, 400);
    assert_eq!(client.send.current_max_send_streams(), 1);

    assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
    let raised = settings(&[(3, 1000)]);
    client.until(|frames| frames.iter().any(|frame| frame.kind == SETTINGS && frame.payload == raised)).await;
    assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
    assert_eq!(client.send.current_max_send_streams(), 1000);
}

#[tokio::test]
async fn many_pushes_after_the_raise_run_side_by_side() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator, Auth::Token).await;
    client.push(Push::new()).await.unwrap();
    let mut answers = Vec::new();
    for _ in 0..500 {
        answers.push(client.begin(Push::new()).await.unwrap());
    }
    for answer in answers {
        assert_eq!(soon(finish(answer)).await.unwrap().status, 200);
    }
    let totals = simulator.ledger().totals();
    assert_eq!((totals.accepted, totals.answered, totals.over_limit), (501, 501, 0));
    assert_eq!(simulator.ledger().accepted(APNS_ID), 501);
}

#[tokio::test]
async fn a_stream_over_the_limit_is_refused_and_not_processed() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator, Auth::Token).await;
    // Written before SETTINGS are read: the client does not know of the limit yet.
    let first = client.begin(Push::new()).await.unwrap();
    let second = client.begin(Push::new()).await.unwrap();
    let statuses = [soon(finish(first)).await, soon(finish(second)).await];
    assert_eq!(statuses[0].as_ref().unwrap().status, 200);
    assert_eq!(statuses[1].as_ref().unwrap_err().reason(), Some(h2::Reason::REFUSED_STREAM));
    let entries = simulator.ledger().entries();
    assert_eq!((entries[0].stream, entries[0].processed, entries[0].accepted), (3, false, false));
    assert_eq!((entries[1].stream, entries[1].processed, entries[1].accepted), (1, true, true));
    assert_eq!(simulator.ledger().totals().over_limit, 1);
}

#[tokio::test]
async fn an_accepted_push_is_answered_by_one_headers_frame() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let answer = client.push(Push::new()).await.unwrap();
    assert_eq!((answer.status, answer.header("apns-id")), (200, APNS_ID));
    assert_eq!(answer.headers.len(), 1);
    let frames = client.frames_of(HEADERS);
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].flags, 0x05, "END_HEADERS and END_STREAM");
    assert!(client.frames_of(DATA).is_empty());
}

#[tokio::test]
async fn a_refused_push_is_answered_by_headers_and_json() {
    let simulator = start().await;
    simulator.set_token(TOKEN, Some(TokenState::Dead { reason: "Unregistered", timestamp: Some(1_508_249_865_488) }));
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let answer = client.push(Push::new()).await.unwrap();
    assert_eq!(answer.status, 410);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("apns-id"), APNS_ID);
    assert_eq!(answer.body, r#"{"reason":"Unregistered","timestamp":1508249865488}"#);
    assert_eq!(client.frames_of(HEADERS)[0].flags, 0x04, "END_HEADERS");
    assert_eq!(client.frames_of(DATA)[0].flags, 0x01, "END_STREAM");
}

#[tokio::test]
async fn an_apns_id_is_echoed_unchanged_or_generated_in_upper_case() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let mixed = "123E4567-e89b-12d3-A456-426655440000";
    assert_eq!(client.push(Push::new().with("apns-id", mixed)).await.unwrap().header("apns-id"), mixed);
    let made = client.push(Push::new().without("apns-id")).await.unwrap();
    let made = made.header("apns-id");
    assert_eq!((made.len(), made.to_ascii_uppercase().as_str()), (36, made));
    assert_eq!(simulator.ledger().accepted(made), 1);
}

#[tokio::test]
async fn only_the_sandbox_names_a_unique_id() {
    for (environment, expected) in [(Environment::Both, 0), (Environment::Sandbox, 36), (Environment::Production, 0)] {
        let simulator = start_with(Options { environment, ..Options::default() }).await;
        let mut client = Client::connect(&simulator, Auth::Certificate).await;
        let answer = client.push(Push::new()).await.unwrap();
        assert_eq!(answer.header("apns-unique-id").len(), expected);
    }
}
