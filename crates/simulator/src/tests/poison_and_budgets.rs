//! Connections and tokens that wear out: poison, error budgets, dying tokens, and GOAWAY that is not followed by the end.

use std::time::{Duration, Instant};

use super::support::*;
use crate::{Act, Close, DebugData, Ending, ErrorBudget, Fault, GoAway, Latency, Options, Script, TokenState, When};

fn playing(script: Script) -> Options {
    Options { script, ..Options::default() }
}

#[tokio::test]
async fn a_poisoned_connection_answers_the_same_to_everything_for_its_time() {
    let act = Act::Poison { status: 429, reason: "TooManyProviderTokenUpdates".into(), for_ms: Some(200) };
    let fault = Fault { stream: Some(3), connection: Some(1), ..Fault::new(act) };
    let simulator = start_with(playing(Script { faults: vec![fault], ..Script::default() })).await;
    let mut client = Client::connect(&simulator, Auth::Token).await;
    assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
    let began = Instant::now();
    let mut poisoned = 0;
    while client.push(Push::new()).await.unwrap().reason() == "TooManyProviderTokenUpdates" {
        poisoned += 1;
    }
    assert!(poisoned > 1 && began.elapsed() >= Duration::from_millis(200), "{poisoned}");
    let mut other = Client::connect(&simulator, Auth::Token).await;
    for _ in 0..3 {
        assert_eq!(other.push(Push::new()).await.unwrap().status, 200);
    }
    assert_eq!(simulator.ledger().totals().statuses[&429], poisoned);
}

#[tokio::test]
async fn an_error_budget_counts_rejections_but_410() {
    let budget = ErrorBudget { bad_device_tokens: Some(2), code: 11, ..ErrorBudget::new(3) };
    for (bad, allowed) in [("00ff", 2), ("00fe", 3), ("00fd", u64::MAX)] {
        let script = Script { error_budget: Some(budget.clone()), ..Script::default() };
        let simulator = start_with(playing(script)).await;
        simulator.set_token("00ff", Some(TokenState::Bad));
        simulator.set_token("00fe", Some(TokenState::WrongTopic));
        simulator.set_token("00fd", Some(TokenState::Dead { reason: "Unregistered", timestamp: None }));
        let mut client = Client::connect(&simulator, Auth::Certificate).await;
        for _ in 0..allowed.min(10) {
            client.push(Push::new().to(&format!("/3/device/{bad}"))).await.unwrap();
        }
        if allowed < 10 {
            client.until(|frames| frames.iter().any(|frame| frame.kind == GOAWAY)).await;
            assert_eq!((client.goaways()[0].0, client.goaways()[0].1), (allowed as u32 * 2 - 1, 11));
            let _end = soon(client.driver).await.unwrap();
        } else {
            assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
            assert!(client.goaways().is_empty());
        }
    }
}

#[tokio::test]
async fn a_dying_token_takes_its_sends_and_is_dead_then() {
    let simulator = start().await;
    let dying = TokenState::Dying { after: 2, reason: "ExpiredToken", timestamp: Some(7) };
    simulator.set_token("00FF", Some(dying));
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(client.push(Push::new().to("/3/device/00fF")).await.unwrap().status);
    }
    assert_eq!(statuses, [200, 200, 410, 410]);
    let body = client.push(Push::new().to("/3/device/00ff")).await.unwrap().body;
    assert_eq!(body, r#"{"reason":"ExpiredToken","timestamp":7}"#);
}

#[tokio::test]
async fn an_empty_goaway_can_follow_the_first() {
    let goaway = GoAway { second_empty: true, ..GoAway::new(When::ConnectionRequests(1), Ending::Single) };
    let simulator = start_with(playing(Script { goaway: Some(goaway), ..Script::default() })).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
    let _end = soon(&mut client.driver).await.unwrap();
    assert_eq!(client.goaways(), [(1, 0, r#"{"reason":"Shutdown"}"#.to_owned()), (1, 0, String::new())]);
}

#[tokio::test]
async fn a_connection_that_never_closes_refuses_what_comes_after_its_goaway() {
    let goaway = GoAway { close: Close::Never, ..GoAway::new(When::ConnectionRequests(2), Ending::Single) };
    let script = Script { goaway: Some(goaway), latency: Some(Latency::FixedMs(150.0)), ..Script::default() };
    let simulator = start_with(playing(script)).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(client.begin(Push::new()).await.unwrap());
    }
    for (at, answer) in answers.into_iter().enumerate() {
        assert_eq!(soon(finish(answer)).await.is_ok(), at < 2);
    }
    let refused = client.frames_of(RST_STREAM);
    assert_eq!(refused.iter().map(|frame| (frame.stream, frame.payload[3])).collect::<Vec<_>>(), [(5, 7), (7, 7)]);
    assert_eq!(simulator.ledger().totals().accepted, 2);
}

#[tokio::test]
async fn debug_data_that_fits_no_frame_is_refused() {
    let goaway = |debug| GoAway { debug, ..GoAway::new(When::Now, Ending::Single) };
    let script = |debug| Script { goaway: Some(goaway(debug)), ..Script::default() };
    assert!(script(DebugData::Base64(vec![0; 16_376])).check().is_ok());
    let refused = script(DebugData::Base64(vec![0; 16_377])).check().unwrap_err();
    assert!(refused.to_string().contains("16376"), "{refused}");
}
