//! A node that hangs with open sockets, behind the balancer that checks nodes.

use super::{Balanced, Kind, NAMES};
use crate::support::client::Client;
use crate::support::world::{to, token};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Two checks of 500 ms that time out, and the time between them; the rest is for a busy machine.
const NOTICED_WITHIN: Duration = Duration::from_secs(3);

impl Balanced {
    /// Signals the first node, and waits until HAProxy says again that it is in this state.
    async fn signal_until(&self, signal: &str, state: &str) -> Duration {
        let said = format!("Server nodes/{} is {state}", NAMES[0]);
        let times = || self.balancer.log().matches(&said).count();
        let (before, began) = (times(), Instant::now());
        self.nodes[0].process.signal(signal);
        while times() == before {
            assert!(began.elapsed() < Duration::from_secs(20), "{said}: {}", self.balancer.log());
            sleep(Duration::from_millis(10)).await;
        }
        began.elapsed()
    }
}

#[tokio::test]
async fn haproxy_gives_no_more_requests_to_a_node_that_hangs_until_it_goes_on() {
    let balanced = Balanced::start(Kind::Haproxy).await;
    let apps: Vec<_> = (0..12).map(|number| format!("/apps/app-{number}/sandbox")).collect();
    balanced.provision(&apps).await;
    let send_all = async |first: usize| {
        let mut front = Client::connect(balanced.balancer.address).await;
        let mut slowest = Duration::ZERO;
        for (number, app) in apps.iter().enumerate() {
            let (path, began) = (format!("{app}/notifications?timeout=10"), Instant::now());
            let answer = front.post(&path, to(&token(first + number)).to_string()).await;
            assert_eq!(answer.outcomes(), ["accepted"], "{answer:?}");
            slowest = slowest.max(began.elapsed());
        }
        slowest
    };
    // HAProxy learns the owners: the node that will hang is one of them.
    for _ in 0..3 {
        send_all(0).await;
    }
    let noticed = balanced.signal_until("STOP", "DOWN").await;
    for node in &balanced.nodes[1..] {
        node.wait_metric(&format!("pyapns_peer_reachable{{node=\"{}\"}}", NAMES[0]), 0.0).await;
    }
    let slowest = send_all(100).await;
    println!("DOWN after {noticed:?}; slowest send then {slowest:?}");
    assert!(noticed < NOTICED_WITHIN, "{noticed:?}");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    balanced.signal_until("CONT", "UP").await;
    balanced.wait_joined().await;
    send_all(200).await;
    balanced.stop().await;
}
