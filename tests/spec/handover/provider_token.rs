//! One provider token for a team on all nodes, although they never talk about it.

use crate::support::fleet::{Fleet, Plan, app_owned_among};
use crate::support::full;
use crate::support::world::{to, token};
use pyapns::clock::Clock;
use pyapns::cluster::{Pins, View};
use pyapns::credentials::token::BUCKET_SECONDS;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MINUTE: u64 = 60;
/// A connection keeps its token for 21 minutes, and clocks differ by one.
const AROUND_BOUNDARY: u64 = 22 * MINUTE;

/// Three nodes whose clocks differ by a minute, and one time for all.
struct Times {
    fleet: Fleet,
    clocks: Vec<Clock>,
    /// UNIX seconds.
    now: u64,
}

impl Times {
    /// Begins so long before a token's period ends.
    async fn before_boundary(skews: &[f64], seconds: u64) -> Self {
        let today = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let now = (today / BUCKET_SECONDS + 2) * BUCKET_SECONDS - seconds;
        let clocks: Vec<Clock> = skews.iter().map(|skew| Clock::manual(now as f64 + skew)).collect();
        let apps: Vec<String> = (0..clocks.len()).map(|index| app_owned_among(clocks.len(), index)).collect();
        let plan = Plan::of(clocks.len()).clocks(&clocks);
        let fleet = Fleet::ready(plan, &apps.iter().map(String::as_str).collect::<Vec<_>>()).await;
        fleet.simulator.clock().advance((now - today) as i64 * 1_000);
        Self { fleet, clocks, now }
    }

    /// Lets time pass: of the day, and for timers.
    async fn pass(&mut self, seconds: u64) {
        let span = Duration::from_secs(seconds);
        self.now += seconds;
        self.clocks.iter().for_each(|clock| clock.advance(span));
        self.fleet.simulator.clock().advance(span.as_millis() as i64);
        tokio::time::pause();
        tokio::time::advance(span).await;
        tokio::time::resume();
    }

    /// The time since the last boundary.
    fn since_boundary(&self) -> u64 {
        self.now % BUCKET_SECONDS
    }

    async fn sends(&self, node: usize, app: &str) {
        let answer = self.fleet.send(node, app, &to(&token(node))).await;
        assert_eq!(answer.outcomes(), ["accepted"], "{} s after a boundary: {answer:?}", self.since_boundary());
    }

    /// The tokens that Apple has seen since the last call.
    fn tokens(&self, from: &mut usize) -> BTreeSet<String> {
        let entries = self.fleet.simulator.ledger().entries();
        let new = entries[*from..].iter().filter_map(|entry| entry.jwt.as_deref().map(str::to_owned)).collect();
        *from = entries.len();
        new
    }

    /// All nodes take those of these indexes for members.
    fn set_members(&self, indexes: &[usize]) {
        let members: Vec<_> = indexes.iter().map(|index| self.fleet.members[*index].clone()).collect();
        let view = Arc::new(View::of(members, Pins::default()));
        self.fleet.peers.iter().for_each(|peers| peers.set_view(&view));
    }
}

#[tokio::test]
async fn nodes_whose_clocks_differ_by_a_minute_show_apple_one_token_and_two_around_a_boundary() {
    let mut times = Times::before_boundary(&[-60.0, 0.0, 60.0], 11 * MINUTE).await;
    let hours = if full() { 12 } else { 1 };
    let apps = [0, 1, 2].map(|index| app_owned_among(3, index));
    let (end, began, mut step, mut known) = (times.now + hours * 3600 + 26 * MINUTE, times.now, 0, 0);
    while times.now < end {
        let is_third_away = step % 8 >= 5;
        let members: &[usize] = if is_third_away { &[0, 1] } else { &[0, 1, 2] };
        times.set_members(members);
        for node in members {
            for app in &apps {
                times.sends(*node, app).await;
            }
        }
        let (tokens, since) = (times.tokens(&mut known), times.since_boundary());
        let is_around = !(AROUND_BOUNDARY..BUCKET_SECONDS - MINUTE).contains(&since);
        assert!(tokens.len() == 1 || (is_around && tokens.len() == 2), "{since} s after a boundary: {tokens:?}");
        let is_near = !(2 * MINUTE..BUCKET_SECONDS - 2 * MINUTE).contains(&since);
        times.pass(if is_near { 20 } else { 230 }).await;
        step += 1;
    }
    let totals = times.fleet.simulator.ledger().totals();
    let periods = end.div_ceil(BUCKET_SECONDS) - began / BUCKET_SECONDS;
    println!(
        "{} requests in {hours} h and some minutes, {} tokens, {} in 20 minutes",
        totals.requests, totals.jwts, totals.jwts_in_20_minutes
    );
    assert_eq!(totals.jwts, periods, "all nodes make the same token for a period");
    assert!(totals.jwts_in_20_minutes <= 2);
    assert_eq!(totals.statuses.keys().copied().collect::<Vec<_>>(), [200]);
}

#[tokio::test]
async fn a_connection_that_was_opened_for_a_hand_over_may_get_its_first_notification_much_later() {
    let mut times = Times::before_boundary(&[0.0, 0.0], 5 * MINUTE).await;
    let app = app_owned_among(2, 0);
    times.sends(0, &app).await;
    // The second node connects, and sends nothing so far.
    let until = tokio::time::Instant::now() + Duration::from_secs(5);
    assert_eq!(times.fleet.peers[0].warm_successors(until).await, (1, 1));
    times.fleet.peers[1].set_view(&Arc::new(View::of(times.fleet.members[1..].to_vec(), Pins::default())));
    let connects = times.fleet.metric(1, "pyapns_connects_total").await;
    times.pass(19 * MINUTE).await;
    times.sends(1, &app).await;
    times.pass(2 * MINUTE).await;
    times.sends(1, &app).await;
    assert_eq!(times.fleet.metric(1, "pyapns_connects_total").await, connects, "on the connection that it had");
    assert_eq!(times.fleet.simulator.ledger().totals().jwts, 2);
}
