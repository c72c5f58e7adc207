//! Group 8, stream resets: every code, before and after Apple has processed the request.

use super::outcomes::{Outcomes, only};
use crate::support::world::World;
use simulator::{Act, Fault, Script};
use std::time::{Duration, Instant};

const REFUSED_STREAM: u32 = 7;
/// The codes of RFC 9113 7, and an undefined one.
const CODES: [u32; 15] = [0, 1, 2, 3, 4, 5, 6, REFUSED_STREAM, 8, 9, 10, 11, 12, 13, 0xff];

fn resets(code: u32, processed: bool) -> Script {
    let fault = Fault { every: Some(10), times: Some(20), ..Fault::new(Act::Reset { code, processed }) };
    Script { faults: vec![fault], ..Script::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_reset_with_any_code_affects_only_itself_and_is_reported_truly() {
    let world = World::start().await;
    let mut outcomes = Outcomes::new();
    assert!(only(&outcomes.send(&world, 100).await, "accepted"));
    // REFUSED_STREAM after processing would be a false proof that no client can detect, so it is not tested.
    let kinds = CODES.into_iter().flat_map(|code| [(code, false), (code, true)]);
    for (code, processed) in kinds.filter(|kind| *kind != (REFUSED_STREAM, true)) {
        world.simulator.set_script(resets(code, processed)).expect("a script");
        let told = outcomes.send(&world, 200).await;
        if code == REFUSED_STREAM {
            assert!(only(&told, "accepted"), "{code}: {told:?}");
        } else {
            assert_eq!((told["accepted"], told["unknown stream_reset"]), (180, 20), "{code} {processed}: {told:?}");
        }
        world.simulator.set_script(Script::default()).expect("a script");
        outcomes.recover(&world, &format!("8 reset {code}"), Instant::now(), Duration::from_secs(1)).await;
        outcomes.check(&world);
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reset_notifications_are_resent_only_for_callers_who_prefer_duplicates() {
    const CANCEL: u32 = 8;
    for processed in [false, true] {
        let world = World::start().await;
        let mut outcomes = Outcomes::new();
        world.simulator.set_script(resets(CANCEL, processed)).expect("a script");
        let told = outcomes.send_with(&world, "?retry_unknown=true", 300).await;
        assert!(only(&told, "accepted"), "{told:?}");
        outcomes.check(&world);
        let duplicates = world.simulator.ledger().accepted_ids().values().filter(|times| **times > 1).count();
        assert_eq!(duplicates, if processed { 20 } else { 0 });
        world.stop().await;
    }
}
