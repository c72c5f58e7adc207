//! Opens the connections of lanes before the first batch needs them, so that a change of their owner costs callers no
//! time.

use super::lanes::Lanes;
use crate::model::{AppKey, Environment};
use crate::registry::App;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// Connections that are begun per second to one address of Apple's: a node that takes over many lanes must not look like
/// an attack.
const PER_ADDRESS_AND_SECOND: u32 = 5;
/// Between two looks at the lanes.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Lanes to be connected, the most important one first.
pub type Wanted = Vec<(Arc<App>, u16)>;

/// Connects these lanes to Apple, until `until` at most. Returns those that are connected then.
pub async fn warm(lanes: &Lanes, wanted: Wanted, until: Instant) -> Vec<(AppKey, u16)> {
    let (sandbox, production): (Wanted, Wanted) =
        wanted.into_iter().partition(|(app, _)| app.key.environment == Environment::Sandbox);
    let sandbox = warm_one(lanes, Environment::Sandbox, sandbox, until);
    let (mut ready, more) = tokio::join!(sandbox, warm_one(lanes, Environment::Production, production, until));
    ready.extend(more);
    ready
}

async fn warm_one(lanes: &Lanes, environment: Environment, wanted: Wanted, until: Instant) -> Vec<(AppKey, u16)> {
    let (mut begun, mut waiting, mut ready) = (Vec::new(), VecDeque::new(), Vec::new());
    for (app, lane) in wanted {
        match state(lanes, &app.key, lane) {
            State::Connected => ready.push((app.key.clone(), lane)),
            _ => waiting.push_back((app, lane)),
        }
    }
    if waiting.is_empty() {
        return ready;
    }
    let addresses = timeout_at(until, lanes.addresses(environment)).await.unwrap_or(1);
    let pause = Duration::from_secs(1) / PER_ADDRESS_AND_SECOND / u32::try_from(addresses).unwrap_or(u32::MAX);
    let mut next = Instant::now();
    loop {
        let now = Instant::now();
        while next <= now
            && let Some((app, lane)) = waiting.pop_front()
        {
            if lanes.begin(&app, lane) {
                begun.push((app.key.clone(), lane));
                next += pause;
            }
        }
        begun.retain(|(key, lane)| match state(lanes, key, *lane) {
            State::Connected => {
                ready.push((key.clone(), *lane));
                false
            }
            State::Opening => true,
            State::Stopped => false,
        });
        if (waiting.is_empty() && begun.is_empty()) || now >= until {
            return ready;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// The state of a lane, as far as its connection goes.
enum State {
    Connected,
    Opening,
    /// It cannot connect soon: Apple refuses its credential, cannot be reached, or the lane has ended.
    Stopped,
}

fn state(lanes: &Lanes, key: &AppKey, lane: u16) -> State {
    match lanes.metrics().board.lane_status(key, lane) {
        Some(status) if status.streams > 0 => State::Connected,
        Some(status) if status.is_running && status.stop_reason.is_none() => State::Opening,
        _ => State::Stopped,
    }
}
