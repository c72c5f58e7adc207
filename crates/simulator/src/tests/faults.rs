//! Faults of single requests: resets, scripted answers, silence, latency; exact in number and in the ledger.

use std::time::{Duration, Instant};

use super::support::*;
use crate::{Act, Fault, Latency, Options, Script, Simulator};

const REFUSED_STREAM: u32 = 7;
const INTERNAL_ERROR: u32 = 2;

async fn start_with_fault(fault: Fault) -> Simulator {
    start_with(Options { script: Script { faults: vec![fault], ..Script::default() }, ..Options::default() }).await
}

#[tokio::test]
async fn a_reset_before_processing_leaves_nothing_accepted() {
    let act = Act::Reset { code: REFUSED_STREAM, processed: false };
    let simulator = start_with_fault(Fault { times: Some(1), ..Fault::new(act) }).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let error = client.push(Push::new()).await.unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::REFUSED_STREAM));
    assert_eq!(simulator.ledger().accepted(APNS_ID), 0);
    let entry = &simulator.ledger().entries()[0];
    assert_eq!((entry.processed, entry.accepted, entry.status), (false, false, None));
    assert_eq!(entry.fault.as_deref(), Some("reset with code 7"));
    assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
    assert_eq!(simulator.ledger().accepted(APNS_ID), 1);
}

#[tokio::test]
async fn a_reset_after_processing_is_accepted_and_unanswered() {
    let act = Act::Reset { code: INTERNAL_ERROR, processed: true };
    let simulator = start_with_fault(Fault { times: Some(1), ..Fault::new(act) }).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let error = client.push(Push::new()).await.unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR));
    assert_eq!(simulator.ledger().accepted(APNS_ID), 1);
    let entry = &simulator.ledger().entries()[0];
    assert_eq!((entry.processed, entry.accepted, entry.answered, entry.status), (true, true, false, Some(200)));
    assert_eq!(client.frames_of(RST_STREAM)[0].payload, [0, 0, 0, 2]);
    assert!(client.frames_of(HEADERS).is_empty());
}

#[tokio::test]
async fn every_nth_request_is_hit_over_all_connections() {
    let act = Act::Answer { status: 503, reason: "ServiceUnavailable".to_owned() };
    let simulator = start_with_fault(Fault { every: Some(3), ..Fault::new(act) }).await;
    let mut clients =
        [Client::connect(&simulator, Auth::Certificate).await, Client::connect(&simulator, Auth::Certificate).await];
    let mut statuses = Vec::new();
    for number in 0..9 {
        statuses.push(clients[number % 2].push(Push::new()).await.unwrap().status);
    }
    assert_eq!(statuses, [200, 200, 503, 200, 200, 503, 200, 200, 503]);
    assert_eq!(simulator.ledger().totals().statuses, [(200, 6), (503, 3)].into());
    assert_eq!(simulator.ledger().accepted(APNS_ID), 6);
}

#[tokio::test]
async fn a_percentage_is_drawn_from_the_seed() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let act = Act::Answer { status: 500, reason: "InternalServerError".to_owned() };
        let simulator = start_with_fault(Fault { percent: Some(30.0), ..Fault::new(act) }).await;
        let mut client = Client::connect(&simulator, Auth::Certificate).await;
        let mut statuses = Vec::new();
        for _ in 0..100 {
            statuses.push(client.push(Push::new()).await.unwrap().status);
        }
        let hit = statuses.iter().filter(|status| **status == 500).count();
        assert!((15..45).contains(&hit), "{hit} of 100");
        runs.push(statuses);
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn a_burst_hits_so_many_requests_and_then_ends() {
    let act = Act::Answer { status: 500, reason: "InternalServerError".to_owned() };
    let simulator = start_with_fault(Fault { times: Some(4), ..Fault::new(act) }).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let mut answers = Vec::new();
    for _ in 0..10 {
        answers.push(client.begin(Push::new()).await.unwrap());
    }
    let mut failed = 0;
    for answer in answers {
        let answer = soon(finish(answer)).await.unwrap();
        failed += u64::from(answer.reason() == "InternalServerError");
    }
    assert_eq!((failed, simulator.ledger().totals().accepted), (4, 6));
}

#[tokio::test]
async fn a_fault_can_be_meant_for_one_token_or_one_connection() {
    let act = || Act::Answer { status: 503, reason: "Shutdown".to_owned() };
    let of_token = Fault { token: Some("00FF".to_owned()), ..Fault::new(act()) };
    let of_connection = Fault { connection: Some(2), ..Fault::new(act()) };
    let script = Script { faults: vec![of_token, of_connection], ..Script::default() };
    let simulator = start_with(Options { script, ..Options::default() }).await;
    let mut first = Client::connect(&simulator, Auth::Certificate).await;
    assert_eq!(first.push(Push::new()).await.unwrap().status, 200);
    assert_eq!(first.push(Push::new().to("/3/device/00ff")).await.unwrap().reason(), "Shutdown");
    let mut second = Client::connect(&simulator, Auth::Certificate).await;
    assert_eq!(second.push(Push::new()).await.unwrap().reason(), "Shutdown");
}

#[tokio::test]
async fn silence_accepts_or_not_and_gives_the_slot_back_after_a_reset() {
    let act = Act::Silence { processed: true };
    let simulator = start_with_fault(Fault { token: Some("00ff".to_owned()), ..Fault::new(act) }).await;
    let mut client = Client::connect(&simulator, Auth::Token).await;
    assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
    for _ in 0..3 {
        let mut silent = Vec::new();
        for _ in 0..999 {
            silent.push(client.begin(Push::new().to("/3/device/00ff")).await.unwrap());
        }
        assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
    }
    let totals = simulator.ledger().totals();
    assert_eq!((totals.accepted, totals.answered, totals.over_limit), (4 + 3 * 999, 4, 0));
}

#[tokio::test]
async fn latency_delays_every_answer_and_nothing_else() {
    let script = Script { latency: Some(Latency::FixedMs(40.0)), ..Script::default() };
    let simulator = start_with(Options { script, ..Options::default() }).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let begun = Instant::now();
    let mut answers = Vec::new();
    for _ in 0..50 {
        answers.push(client.begin(Push::new()).await.unwrap());
    }
    let totals = soon(simulator.ledger().wait_until(|totals| totals.accepted == 50)).await;
    assert_eq!(totals.answered, 0, "entered when processed, before the answer");
    for answer in answers {
        assert_eq!(soon(finish(answer)).await.unwrap().status, 200);
    }
    assert!(begun.elapsed() >= Duration::from_millis(40));
    let entries = simulator.ledger().entries();
    assert!(entries.len() == 50 && entries.iter().all(|entry| entry.answered));
}

#[tokio::test]
async fn answers_overtake_each_other_under_varying_latency() {
    let script = Script { latency: Some(Latency::UniformMs(0.0, 40.0)), seed: 3, ..Script::default() };
    let simulator = start_with(Options { script, ..Options::default() }).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    let mut answers = Vec::new();
    for _ in 0..30 {
        answers.push(client.begin(Push::new()).await.unwrap());
    }
    for answer in answers {
        assert_eq!(soon(finish(answer)).await.unwrap().status, 200);
    }
    let order: Vec<u32> = client.frames_of(HEADERS).iter().map(|frame| frame.stream).collect();
    assert!(order.len() == 30 && !order.is_sorted(), "{order:?}");
}
