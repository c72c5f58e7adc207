//! SETTINGS by script: the first ones, the choke, changes, lateness, and what breaking a limit costs.

use std::time::{Duration, Instant};

use super::support::*;
use crate::{At, Change, Delay, Latency, Options, Script, SettingsPlay, Simulator, TokenState, Values, Violation};

fn script(settings: SettingsPlay) -> Script {
    Script { settings: Some(settings), ..Script::default() }
}

async fn playing(settings: SettingsPlay) -> Simulator {
    start_with(Options { script: script(settings), ..Options::default() }).await
}

/// The value of MAX_CONCURRENT_STREAMS in each SETTINGS frame that names it.
fn limits(client: &Client) -> Vec<u32> {
    values(client, 3)
}

fn values(client: &Client, id: u16) -> Vec<u32> {
    let frames = client.frames_of(SETTINGS);
    let entries = frames.iter().flat_map(|frame| frame.payload.as_chunks::<6>().0);
    entries
        .filter(|entry| entry[..2] == id.to_be_bytes())
        .map(|entry| u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]))
        .collect()
}

#[tokio::test]
async fn the_first_settings_are_those_of_the_script() {
    let first = Values {
        header_table_size: Some(0),
        max_concurrent_streams: Some(7),
        initial_window_size: Some(100),
        max_frame_size: Some(20_000),
        max_header_list_size: Some(9000),
    };
    let simulator = playing(SettingsPlay { first, ..Default::default() }).await;
    let mut client = Client::connect(&simulator, Auth::Token).await;
    client.settled().await;
    let told: Vec<u32> = [1, 3, 4, 5, 6].map(|id| values(&client, id)).concat();
    assert_eq!(told, [0, 1, 100, 20_000, 9000]);
    assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
    client.until(|_| limits(&client) == [1, 7]).await;
}

#[tokio::test]
async fn a_choke_follows_rejections_and_a_success_ends_it() {
    let simulator = playing(SettingsPlay { choke: true, ..Default::default() }).await;
    simulator.set_token("00ff", Some(TokenState::Bad));
    simulator.set_token("00fe", Some(TokenState::Dead { reason: "Unregistered", timestamp: None }));
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    for (path, expected) in [
        ("/3/device/00fe", vec![1000]),
        ("/3/device/00ff", vec![1000, 1]),
        ("/3/device/00ff", vec![1000, 1]),
        ("/3/device/0001", vec![1000, 1, 1000]),
    ] {
        client.push(Push::new().to(path)).await.unwrap();
        client.until(|_| limits(&client) == expected).await;
    }
}

#[tokio::test]
async fn changes_come_with_their_request_or_in_their_time() {
    let changes = vec![
        Change { at: At::Requests(2), set: Values { initial_window_size: Some(0), ..Default::default() } },
        Change { at: At::Ms(1), set: Values { initial_window_size: Some(65_535), ..Default::default() } },
        Change { at: At::Requests(3), set: Values::streams(2) },
    ];
    let simulator = playing(SettingsPlay { changes, connection: Some(1), ..Default::default() }).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
    assert!(values(&client, 4).is_empty());
    for expected in [vec![1000], vec![1000, 2]] {
        assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
        client.until(|_| limits(&client) == expected && values(&client, 4) == [0, 65_535]).await;
    }
    let mut other = Client::connect(&simulator, Auth::Certificate).await;
    for _ in 0..4 {
        assert_eq!(other.push(Push::new()).await.unwrap().status, 200);
    }
    assert!(values(&other, 4).is_empty(), "meant for the first connection");
}

#[tokio::test]
async fn streams_in_flight_when_the_limit_falls_are_no_violation() {
    let changes = vec![Change { at: At::Requests(5), set: Values::streams(1) }];
    let script =
        Script { latency: Some(Latency::FixedMs(20.0)), ..script(SettingsPlay { changes, ..Default::default() }) };
    let simulator = start_with(Options { script, ..Options::default() }).await;
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    client.settled().await;
    let mut answers = Vec::new();
    for _ in 0..50 {
        answers.push(client.begin(Push::new()).await.unwrap());
    }
    for answer in answers {
        assert_eq!(soon(finish(answer)).await.unwrap().status, 200);
    }
    assert_eq!(simulator.ledger().totals().over_limit, 0);
    assert_eq!(limits(&client), [1000, 1]);
}

#[tokio::test]
async fn a_violation_can_end_the_connection_with_apples_words() {
    let simulator = playing(SettingsPlay { violation: Violation::Goaway, ..Default::default() }).await;
    let mut client = Client::connect(&simulator, Auth::Token).await;
    // Written before SETTINGS are read: the client does not know of the limit yet.
    let first = client.begin(Push::new()).await.unwrap();
    let second = client.begin(Push::new()).await.unwrap();
    let _ = soon(finish(first)).await;
    assert!(soon(finish(second)).await.is_err());
    client.until(|frames| frames.iter().any(|frame| frame.kind == GOAWAY)).await;
    let (_, code, text) = client.goaways()[0].clone();
    assert_eq!((code, text.as_str()), (7, "Maximum active streams violated for this endpoint."));
    assert_eq!(simulator.ledger().totals().over_limit, 1);
}

#[tokio::test]
async fn settings_can_come_late_or_never() {
    let simulator = playing(SettingsPlay { delay: Some(Delay::Ms(200)), ..Default::default() }).await;
    let began = Instant::now();
    let mut client = Client::connect(&simulator, Auth::Certificate).await;
    assert_eq!(client.push(Push::new()).await.unwrap().status, 200);
    assert!(began.elapsed() >= Duration::from_millis(200));
    simulator.set_script(script(SettingsPlay { delay: Some(Delay::Never), ..Default::default() })).unwrap();
    let mut silent = Client::connect(&simulator, Auth::Certificate).await;
    let waiting = silent.begin(Push::new()).await.unwrap();
    assert_eq!(client.push(Push::new()).await.unwrap().status, 200, "the old connection goes on");
    assert!(silent.frames().is_empty());
    drop(waiting);
}
