//! Scripted faults of channel calls and broadcasts, compared with the channels that exist afterwards.

use super::support::*;
use crate::{Act, Call, Ending, Environment, Fault, GoAway, Malformed, Options, Script, Simulator, When};

async fn start_with_fault(fault: Fault) -> Simulator {
    let script = Script { faults: vec![fault], ..Script::default() };
    start_with(Options { script, ..Options::default() }).await
}

async fn manage(simulator: &Simulator) -> Client {
    Client::connect_to_channels(simulator, Environment::Sandbox, Auth::Token).await
}

fn create() -> Push {
    Push::create_channel(POLICIES[0])
}

fn of_create(act: Act) -> Fault {
    Fault { call: Some(Call::CreateChannel), times: Some(1), ..Fault::new(act) }
}

#[tokio::test]
async fn a_reset_leaves_the_channel_behind_only_if_it_came_after_the_processing() {
    for (processed, channels) in [(true, 1), (false, 0)] {
        let simulator = start_with_fault(of_create(Act::Reset { code: 2, processed })).await;
        let mut client = manage(&simulator).await;
        client.push(list()).await.unwrap();
        let error = client.push(create()).await.unwrap_err();
        assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR));
        assert_eq!(simulator.channels().len(), channels);
        let entry = simulator.ledger().entries().pop().unwrap();
        assert_eq!((entry.processed, entry.answered, entry.channel_id.is_some()), (processed, false, processed));
        assert_eq!(client.push(create()).await.unwrap().status, 201, "the fault applies once");
    }
}

fn list() -> Push {
    Push::channels(http::Method::GET, ALL_CHANNELS)
}

#[tokio::test]
async fn a_connection_cut_after_the_processing_leaves_the_channel_behind() {
    let goaway = GoAway { times: Some(1), ..GoAway::new(When::ConnectionRequests(2), Ending::Cut) };
    let script = Script { goaway: Some(goaway), ..Script::default() };
    let simulator = start_with(Options { script, ..Options::default() }).await;
    let mut client = manage(&simulator).await;
    assert_eq!(client.push(list()).await.unwrap().status, 200);
    assert!(client.push(create()).await.is_err());
    let id = simulator.channels()[0].id.clone();
    let answer = manage(&simulator).await.push(list()).await.unwrap();
    assert_eq!(answer.json(), serde_json::json!({ "channels": [id] }));
}

#[tokio::test]
async fn a_goaway_before_the_processing_leaves_nothing_behind() {
    let goaway = GoAway { last_stream_id: Some(1), ..GoAway::new(When::ConnectionRequests(2), Ending::Single) };
    let script = Script { goaway: Some(goaway), ..Script::default() };
    let simulator = start_with(Options { script, ..Options::default() }).await;
    let mut client = manage(&simulator).await;
    assert_eq!(client.push(list()).await.unwrap().status, 200);
    assert!(client.push(create()).await.unwrap_err().is_go_away());
    assert_eq!(client.goaways(), [(1, 0, r#"{"reason":"Shutdown"}"#.to_owned())]);
    assert_eq!(simulator.channels(), []);
}

#[tokio::test]
async fn an_answer_that_never_comes_leaves_the_channel_behind() {
    let simulator = start_with_fault(of_create(Act::Silence { processed: true })).await;
    let mut client = manage(&simulator).await;
    client.push(list()).await.unwrap();
    let pending = client.begin(create()).await.unwrap();
    soon(simulator.ledger().wait_until(|totals| totals.requests == 2)).await;
    assert_eq!(simulator.channels().len(), 1);
    drop(pending);
    assert_eq!(client.push(list()).await.unwrap().json()["channels"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_fault_of_one_call_spares_all_others() {
    let act = Act::Answer { status: 503, reason: "ServiceUnavailable".to_owned() };
    let simulator = start_with_fault(Fault { call: Some(Call::Broadcast), ..Fault::new(act) }).await;
    let id = manage(&simulator).await.push(create()).await.unwrap().header("apns-channel-id").to_owned();
    let mut client = Client::connect(&simulator, Auth::Token).await;
    assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
    let answer = client.push(Push::broadcast(&id)).await.unwrap();
    assert_eq!((answer.status, answer.reason().as_str()), (503, "ServiceUnavailable"));
    assert_eq!(answer.header("apns-request-id").len(), 36);
    assert_eq!(simulator.channels()[0].broadcasts, 0);
}

#[tokio::test]
async fn the_reasons_without_a_rule_are_answered_as_scripted_and_change_nothing() {
    for (status, reason) in [
        (400, "IdleTimeout"),
        (403, "BadCertificate"),
        (403, "BadCertificateEnvironment"),
        (500, "InternalServerError"),
        (503, "Shutdown"),
    ] {
        let simulator = start_with_fault(of_create(Act::Answer { status, reason: reason.to_owned() })).await;
        let answer = manage(&simulator).await.push(create()).await.unwrap();
        assert_eq!((answer.status, answer.reason().as_str()), (status, reason));
        assert_eq!((answer.header("apns-request-id").len(), simulator.channels().len()), (36, 0));
    }
}

#[tokio::test]
async fn a_malformed_answer_still_has_the_new_channel() {
    let act = Act::Malformed(Box::new(Malformed { continuation: true, ..Malformed::default() }));
    let simulator = start_with_fault(of_create(act)).await;
    let mut client = manage(&simulator).await;
    let answer = client.push(create()).await.unwrap();
    assert_eq!((answer.status, answer.header("apns-channel-id")), (201, simulator.channels()[0].id.as_str()));
    assert_eq!((answer.header("apns-request-id").len(), answer.header("apns-id")), (36, ""));
}
