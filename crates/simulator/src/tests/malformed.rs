//! Answers unlike Apple's, and what the ledger knows of requests beyond their content.

use super::support::*;
use crate::{Act, DebugData, Fault, Form, Malformed, Options, Script, Simulator, TokenState};

const CONTINUATION: u8 = 9;

async fn playing(malformed: Malformed) -> Simulator {
    let fault = Fault::new(Act::Malformed(Box::new(malformed)));
    start_with(Options { script: Script { faults: vec![fault], ..Script::default() }, ..Options::default() }).await
}

#[tokio::test]
async fn an_answer_may_lack_its_id_and_bring_headers_and_trailers() {
    let pair = |name: &str| vec![(name.to_owned(), "1".to_owned())];
    let malformed =
        Malformed { apns_id: false, headers: pair("x-new"), trailers: pair("x-late"), ..Malformed::default() };
    let simulator = playing(malformed).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    for _ in 0..3 {
        let (head, mut body) = soon(client.begin(Push::new()).await.unwrap()).await.unwrap().into_parts();
        assert_eq!((head.status.as_u16(), head.headers.len(), &head.headers["x-new"]), (200, 1, &"1".parse().unwrap()));
        assert!(body.data().await.is_none());
        assert_eq!(soon(body.trailers()).await.unwrap().unwrap()["x-late"], "1");
    }
    assert_eq!(simulator.ledger().accepted(APNS_ID), 3);
    assert!(simulator.ledger().entries().iter().all(|entry| entry.answered && entry.fault.is_some()));
}

#[tokio::test]
async fn a_block_may_come_in_several_frames_after_statuses_1xx() {
    let malformed = Malformed { continuation: true, informational: vec![100, 103], ..Malformed::default() };
    let simulator = playing(malformed).await;
    simulator.set_token("00ff", Some(TokenState::Bad));
    let mut client = Client::connect(&simulator, Auth::Token).await;
    assert_eq!(client.push(Push::new()).await.unwrap().header("apns-id"), APNS_ID);
    let answer = client.push(Push::new().to("/3/device/00ff")).await.unwrap();
    assert_eq!((answer.status, answer.reason().as_str()), (400, "BadDeviceToken"));
    assert_eq!((client.frames_of(HEADERS).len(), client.frames_of(CONTINUATION).len()), (6, 12));
}

#[tokio::test]
async fn the_dynamic_table_may_be_taken_away_for_good() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
    let malformed = Act::Malformed(Box::new(Malformed { table_size: Some(0), ..Malformed::default() }));
    let fault = Fault { times: Some(1), ..Fault::new(malformed) };
    simulator.set_script(Script { faults: vec![fault], ..Script::default() }).unwrap();
    simulator.set_token("00ff", Some(TokenState::Bad));
    for _ in 0..3 {
        assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
        assert_eq!(client.push(Push::new().to("/3/device/00ff")).await.unwrap().reason(), "BadDeviceToken");
    }
    let blocks: Vec<u8> = client.frames_of(HEADERS).iter().map(|frame| frame.payload[0]).collect();
    assert_eq!((blocks[1], &blocks[2..]), (0x20, &[0; 5][..]), "literals from then on");
}

#[tokio::test]
async fn statuses_and_bodies_may_be_anything() {
    for (status, body, expected) in [
        (Some(418), Some(DebugData::Reason("Novelty".into())), r#"{"reason":"Novelty"}"#),
        (Some(400), Some(DebugData::Text("{\"reason\":".into())), "{\"reason\":"),
        (Some(299), Some(DebugData::Text(String::new())), ""),
        (None, Some(DebugData::Base64(vec![b'x'; 100])), &"x".repeat(100)),
    ] {
        let simulator = playing(Malformed { status, body, ..Malformed::default() }).await;
        let mut client = Client::connect(&simulator, Auth::Certificate).await;
        let answer = client.push(Push::new()).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (status.unwrap_or(200), expected.as_bytes()));
        assert_eq!(simulator.ledger().accepted(APNS_ID), u64::from(status.is_none()));
    }
}

#[tokio::test]
async fn an_answer_may_be_reset_in_place_of_its_end() {
    let simulator = playing(Malformed { status: Some(413), reset: Some(0), ..Malformed::default() }).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let response = soon(client.begin(Push::new()).await.unwrap()).await.unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(client.frames_of(RST_STREAM)[0].payload, [0; 4]);
}

#[tokio::test]
async fn the_ledger_names_forms_of_headers_and_provider_tokens() {
    let script = Script { record_headers: true, ..Script::default() };
    let simulator = start_with(Options { script, ..Options::default() }).await;
    let mut client = Client::connect(&simulator, Auth::Token).await;
    client.push(Push::new()).await.unwrap();
    client.push(Push::new()).await.unwrap();
    let mut other = Client::connect(&simulator, Auth::Token).await;
    other.push(Push::new().with("authorization", &bearer_aged(&simulator, 90))).await.unwrap();
    simulator.set_script(Script::default()).unwrap();
    let mut plain = Client::connect(&simulator, Auth::Certificate).await;
    plain.push(Push::new()).await.unwrap();
    simulator.clock().advance(20 * 60 * 1000);
    plain.push(Push::new().with("authorization", "bearer nonsense")).await.unwrap();

    let entries = simulator.ledger().entries();
    // The h2 client keeps paths out of the table and everything else in it.
    let form = |at: usize, name: &str| {
        let fields = entries[at].headers.as_ref().unwrap();
        fields.iter().find(|field| field.name == name).map(|field| field.form)
    };
    assert_eq!((form(0, ":method"), form(0, ":path")), (Some(Form::Indexed), Some(Form::Literal)));
    assert_eq!((form(0, "apns-id"), form(1, "apns-id")), (Some(Form::Incremental), Some(Form::Indexed)));
    assert_eq!((form(0, "apns-topic"), form(1, "apns-topic")), (Some(Form::Incremental), Some(Form::Indexed)));
    assert!(entries[3].headers.is_none(), "only connections made under the script are recorded");
    assert_eq!((&entries[0].jwt, entries[0].jwt == entries[2].jwt), (&entries[1].jwt, false));
    assert!(entries[3].jwt.is_none());
    let totals = simulator.ledger().totals();
    assert_eq!((totals.jwts, totals.jwts_in_20_minutes, totals.priority_frames), (3, 2, 0));
}

#[tokio::test]
async fn the_ledger_knows_how_many_streams_were_open_at_a_time() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let silence = Fault { times: Some(9), ..Fault::new(Act::Silence { processed: true }) };
    simulator.set_script(Script { faults: vec![silence], ..Script::default() }).unwrap();
    let mut silent = Vec::new();
    for _ in 0..9 {
        silent.push(client.begin(Push::new()).await.unwrap());
    }
    client.push(Push::new()).await.unwrap();
    client.push(Push::new()).await.unwrap();
    assert_eq!(simulator.ledger().totals().streams_highest, 10);
}
