//! Group 1, SETTINGS: a choke, limits that fall below what is in flight, windows and tables of nothing, late ones.

use super::outcomes::{Outcomes, only};
use crate::support::world::{Credential, World, token};
use simulator::{At, Change, Delay, Latency, Options, Script, SettingsPlay, TokenState, Values, Violation};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

fn script(settings: SettingsPlay) -> Script {
    Script { settings: Some(settings), latency: Some(Latency::FixedMs(2.0)), ..Script::default() }
}

fn change(requests: u64, set: Values) -> Change {
    Change { at: At::Requests(requests), set }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_choke_after_each_rejection_slows_and_loses_nothing() {
    for credential in [Credential::Certificate, Credential::Token] {
        let world = World::with(credential).await;
        let mut outcomes = Outcomes::new();
        assert!(only(&outcomes.send(&world, 100).await, "accepted"));
        for number in (100..1000).step_by(10) {
            let bad = if number % 20 == 0 { TokenState::WrongTopic } else { TokenState::Bad };
            world.simulator.set_token(&token(number), Some(bad));
        }
        world.simulator.set_script(script(SettingsPlay { choke: true, ..Default::default() })).expect("a script");
        let told = outcomes.send(&world, 900).await;
        assert_eq!(told["accepted"], 810, "{told:?}");
        assert_eq!((told["rejected BadDeviceToken"], told["rejected DeviceTokenNotForTopic"]), (45, 45));
        let lifted = Instant::now();
        world.simulator.set_script(Script::default()).expect("a script");
        outcomes.recover(&world, "1 choke", lifted, SECOND).await;
        assert!(only(&outcomes.send(&world, 500).await, "accepted"), "wide again");
        outcomes.check(&world);
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_below_the_requests_in_flight_is_obeyed_and_its_return_used() {
    for low in [0, 1, 7] {
        let world = World::start().await;
        let mut outcomes = Outcomes::new();
        assert!(only(&outcomes.send(&world, 100).await, "accepted"));
        let play = SettingsPlay {
            changes: vec![
                change(150, Values::streams(low)),
                Change { at: At::Ms(400), set: Values::streams(20) },
                change(400, Values::streams(low)),
                Change { at: At::Ms(800), set: Values::streams(1000) },
            ],
            connection: Some(1),
            ..Default::default()
        };
        world.simulator.set_script(script(play)).expect("a script");
        let told = outcomes.send(&world, 1000).await;
        assert!(only(&told, "accepted"), "{told:?}");
        let began = Instant::now();
        outcomes.recover(&world, "1 limit", began, SECOND).await;
        outcomes.check(&world);
        assert_eq!(world.simulator.ledger().totals().accepted, 1120, "nothing twice");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_and_tables_may_shrink_to_nothing_and_come_back() {
    let window = |size| Values { initial_window_size: Some(size), ..Default::default() };
    let table = |size| Values { header_table_size: Some(size), ..Default::default() };
    let world = World::start().await;
    let mut outcomes = Outcomes::new();
    assert!(only(&outcomes.send(&world, 50).await, "accepted"));
    let play = SettingsPlay {
        changes: vec![
            change(50, table(0)),
            change(150, window(10)),
            Change { at: At::Ms(200), set: window(65_535) },
            change(300, table(100)),
            change(
                400,
                Values { initial_window_size: Some(0), header_table_size: Some(1 << 30), ..Default::default() },
            ),
            Change { at: At::Ms(600), set: window((1 << 31) - 1) },
            change(500, table(0)),
            change(501, table(4096)),
            change(
                600,
                Values { max_header_list_size: Some(8000), max_frame_size: Some(1 << 20), ..Default::default() },
            ),
        ],
        ..Default::default()
    };
    world.simulator.set_script(script(play)).expect("a script");
    let began = Instant::now();
    let told = outcomes.send(&world, 1500).await;
    assert!(only(&told, "accepted"), "{told:?}");
    outcomes.recover(&world, "1 windows and tables", began, 10 * SECOND).await;
    outcomes.check(&world);
    let totals = world.simulator.ledger().totals();
    assert!(totals.accepted >= 1570 && totals.connections <= 4, "once each, without reconnecting for it: {totals:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_settings_of_any_kind_are_obeyed_from_the_first_request_on() {
    let firsts = [
        Values { header_table_size: Some(0), ..Default::default() },
        Values { max_concurrent_streams: Some(3), ..Default::default() },
        Values { max_concurrent_streams: Some(1500), initial_window_size: Some(65_535), ..Default::default() },
        Values { max_header_list_size: Some(2000), max_frame_size: Some((1 << 24) - 1), ..Default::default() },
    ];
    for (first, credential) in firsts
        .into_iter()
        .flat_map(|first| [Credential::Certificate, Credential::Token].map(|credential| (first, credential)))
    {
        let play = SettingsPlay { first, violation: Violation::Goaway, ..Default::default() };
        let world = World::beside_with(Options { script: script(play), ..Options::default() }, credential).await;
        let mut outcomes = Outcomes::new();
        assert!(only(&outcomes.send(&world, 300).await, "accepted"), "{first:?}");
        outcomes.check(&world);
        assert_eq!(world.simulator.ledger().totals().goaways, 0);
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_settings_only_delay() {
    let world = World::start().await;
    let mut outcomes = Outcomes::new();
    let late = SettingsPlay { delay: Some(Delay::Ms(1500)), ..Default::default() };
    world.simulator.set_script(script(late)).expect("a script");
    let began = Instant::now();
    let told = outcomes.send(&world, 100).await;
    assert!(only(&told, "accepted") && began.elapsed() >= Duration::from_millis(1500), "{told:?}");
    println!("1 late SETTINGS: 100 sent {} ms after the first connect", began.elapsed().as_millis());
    outcomes.check(&world);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_without_end_under_load_cost_nothing() {
    let world = World::start().await;
    let mut outcomes = Outcomes::new();
    assert!(only(&outcomes.send(&world, 20).await, "accepted"));
    let mut changes = Vec::new();
    for at in 0..200_u64 {
        changes.push(change(at * 10, Values::streams([1000, 3, 40, 1][at as usize % 4].max(1))));
    }
    changes[0].at = At::Requests(1);
    world.simulator.set_script(script(SettingsPlay { changes, ..Default::default() })).expect("a script");
    let told = outcomes.send(&world, 2500).await;
    assert!(only(&told, "accepted"), "{told:?}");
    outcomes.check(&world);
    world.stop().await;
}
