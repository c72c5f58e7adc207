//! Streams of lines through a balancer: outcomes come back while the caller still sends.

use super::{Balanced, Kind};
use crate::support::stream::{Protocol, open_for};
use crate::support::world::{to, token};

async fn outcomes_arrive_while_lines_are_sent(kind: Kind) {
    let balanced = Balanced::start(kind).await;
    let apps: Vec<_> = (0..4).map(|number| format!("/apps/app-{number}/sandbox")).collect();
    balanced.provision(&apps).await;
    for app in &apps {
        let (lines, mut outcomes) = open_for(app, balanced.balancer.address, Protocol::Http1).await;
        assert_eq!((outcomes.status, outcomes.kind.as_str()), (201, "application/x-ndjson"));
        // Each line waits for the outcome of the one before it.
        for number in 0..5 {
            lines.send(format!("{}\n", to(&token(number))).into()).await.expect("an open stream");
            let told = outcomes.more().await.expect("an outcome");
            assert_eq!((told.len(), &told[0]["outcome"]), (1, &"accepted".into()), "{told:?}");
        }
        drop(lines);
        assert!(outcomes.more().await.is_none());
    }
    balanced.stop().await;
}

#[tokio::test]
async fn through_haproxy_outcomes_of_a_stream_arrive_while_lines_are_sent() {
    outcomes_arrive_while_lines_are_sent(Kind::Haproxy).await;
}

#[tokio::test]
async fn through_nginx_outcomes_of_a_stream_arrive_while_lines_are_sent() {
    outcomes_arrive_while_lines_are_sent(Kind::Nginx).await;
}
