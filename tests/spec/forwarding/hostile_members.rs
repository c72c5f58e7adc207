//! A member with the cluster's identity that keeps to no limit costs the node no memory and no notification of others.

use super::always;
use super::liars::{connect, refused};
use crate::support::false_peer::{LIMITS, frames, hello};
use crate::support::fleet::{Fleet, Plan, app_owned_among, key};
use crate::support::world::token;
use bytes::Bytes;
use pyapns::delivery::peer::wire::{self, Agreed, BatchHead, Decoder, Frame, Lane, Refusal, Seen, StatusOf};
use pyapns::model::{Batch, Draft, OutcomeKind};
use simulator::Act;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(8);

/// A BATCH of one notification, with `unused` bytes that no notification needs.
pub fn batch(app: &str, id: u64, number: usize, unused: usize, deadline_ms: u64) -> Vec<u8> {
    let mut batch = Batch::over(Bytes::from(vec![b' '; unused]));
    let token = token(number);
    batch.push(Draft { token: &token, payload: "{}", ..Draft::default() }, Uuid::new_v4).expect("a good one");
    let head = BatchHead {
        deadline_ms,
        retry_unknown: false,
        revision: 0,
        app: key(app),
        lane: 0,
        lanes: 1,
        request_id: None,
    };
    let mut bytes = Vec::new();
    wire::put_batch(&mut bytes, id, &head, &batch, LIMITS).expect("it is small");
    bytes
}

/// The frames that the node sends to this member.
pub struct Ear {
    stream: ReadHalf<TlsStream<TcpStream>>,
    decoder: Decoder,
    buffer: Vec<u8>,
    heard: std::collections::VecDeque<(u64, Frame)>,
}

impl Ear {
    /// `None` once the node has closed the connection.
    pub async fn next(&mut self) -> Option<(u64, Frame)> {
        while self.heard.is_empty() {
            let read = timeout(PATIENCE, self.stream.read(&mut self.buffer)).await.expect("the node says nothing");
            let count = read.unwrap_or(0);
            if count == 0 {
                return None;
            }
            let mut input = &self.buffer[..count];
            while let Some(received) = self.decoder.next(&mut input).expect("frames") {
                if let Frame::Hello(hello) = &received.frame {
                    self.decoder.agree(Agreed { version: 1, features: hello.features, limits: LIMITS });
                }
                self.heard.push_back((received.id, received.frame));
            }
        }
        self.heard.pop_front()
    }
}

/// A connection to the second node in the name of the first one. HELLO is exchanged.
async fn join(fleet: &Fleet) -> (WriteHalf<TlsStream<TcpStream>>, Ear) {
    join_with(fleet, &frames(&hello(0), &[])).await
}

/// The same with these bytes for HELLO.
pub async fn join_with(fleet: &Fleet, hello: &[u8]) -> (WriteHalf<TlsStream<TcpStream>>, Ear) {
    let stream = connect(fleet, &fleet.identity).await.expect("TLS");
    let (stream, mut mouth) = tokio::io::split(stream);
    mouth.write_all(hello).await.expect("written");
    let (decoder, buffer) = (Decoder::new(LIMITS), vec![0; 64 << 10]);
    let mut ear = Ear { stream, decoder, buffer, heard: Default::default() };
    assert!(matches!(ear.next().await, Some((_, Frame::Hello(_)))));
    (mouth, ear)
}

#[tokio::test]
async fn every_batch_gets_one_answer_whatever_its_id_and_none_is_sent_after_its_deadline() {
    let app = app_owned_among(2, 1);
    let fleet = Fleet::ready(Plan::of(2), &[&app]).await;
    let (mut mouth, mut ear) = join(&fleet).await;
    let bytes = [batch(&app, 7, 1, 0, u64::MAX), batch(&app, 7, 2, 0, u64::MAX), batch(&app, 8, 3, 0, 1)].concat();
    mouth.write_all(&bytes).await.expect("written");
    let mut ends = Vec::new();
    for _ in 0..3 {
        let Some((id, Frame::Outcomes(outcomes))) = ear.next().await else { panic!("OUTCOMES") };
        ends.push((id, outcomes[0].kind, outcomes[0].attempts));
    }
    ends.sort_by_key(|(id, ..)| *id);
    let accepted = (7, OutcomeKind::Accepted, 1);
    assert_eq!(ends, [accepted, accepted, (8, OutcomeKind::NotSent, 0)]);
    assert_eq!(fleet.simulator.ledger().totals().requests, 2);
    // A batch that breaks a rule ends the connection, and is not sent.
    let mut bad = batch(&app, 9, 0xab, 0, u64::MAX);
    let at = bad.len() - 4;
    bad[at] = b'X';
    mouth.write_all(&bad).await.expect("written");
    assert!(ear.next().await.is_none());
    fleet.wait_metric(1, &refused("malformed"), 1.0).await;
    assert_eq!(fleet.simulator.ledger().totals().requests, 2);
    fleet.stop().await;
}

#[tokio::test]
async fn a_member_that_sends_more_than_a_link_may_is_refused_the_rest() {
    const FRAME: usize = 3 << 20;
    let app = app_owned_among(2, 1);
    let plan = Plan::of(2).set("[limits]\nin_flight_bytes = 1000000000\nin_flight_app_bytes = 1000000000");
    let fleet = Fleet::ready(plan, &[&app]).await;
    fleet.simulator.set_script(always(Act::Silence { processed: false })).expect("a good script");
    let (mut mouth, mut ear) = join(&fleet).await;
    let (count, fitting) = (30, (64 << 20) / FRAME);
    let sending = tokio::spawn(async move {
        for id in 0..count {
            mouth.write_all(&batch(&app, id as u64, id, FRAME, u64::MAX)).await.expect("written");
        }
        mouth
    });
    for _ in fitting..count {
        let Some((id, Frame::Refused(refusal))) = ear.next().await else { panic!("REFUSED") };
        assert!(matches!(refusal, Refusal::NodeOverloaded { .. }) && id as usize >= fitting, "{id}: {refusal:?}");
    }
    let _open = sending.await.expect("all is written");
    fleet.simulator.stop().await;
}

#[tokio::test]
async fn a_member_has_only_lanes_connected_that_exist_and_one_list_at_a_time() {
    let app = app_owned_among(2, 1);
    let fleet = Fleet::ready(Plan::of(2), &[&app]).await;
    let (mut mouth, mut ear) = join(&fleet).await;
    let lane = |app: &str, lane| Lane { app: key(app), lane };
    let unknown = (0..20_000).map(|number| lane(&format!("/apps/unknown{number}/sandbox"), 0)).collect::<Vec<_>>();
    let no_lanes = (1..=u16::MAX).map(|number| lane(&app, number)).collect::<Vec<_>>();
    let (mut bytes, mut answers) = (Vec::new(), Vec::new());
    for (id, lanes) in [(1, unknown), (2, no_lanes)] {
        wire::put_warm(&mut bytes, id, &lanes);
    }
    wire::put_warm(&mut bytes, 3, &[lane(&app, 0)]);
    wire::put_status(&mut bytes, 4, &StatusOf::Held);
    mouth.write_all(&bytes).await.expect("written");
    for _ in 0..4 {
        match ear.next().await {
            Some((id, Frame::Ready(lanes) | Frame::Seen(Seen::Held(lanes)))) => answers.push((id, lanes)),
            other => panic!("{other:?}"),
        }
    }
    answers.sort_by_key(|(id, _)| *id);
    assert_eq!(answers, [1, 2, 3, 4].map(|id| (id, Vec::new())), "the third list came too early");
    assert_eq!(fleet.metric(1, "pyapns_connects_total").await, 0.0);
    let mut bytes = Vec::new();
    wire::put_warm(&mut bytes, 5, &[lane(&app, 0)]);
    mouth.write_all(&bytes).await.expect("written");
    let Some((5, Frame::Ready(ready))) = ear.next().await else { panic!("READY") };
    assert_eq!((ready, fleet.metric(1, "pyapns_connections").await), (vec![lane(&app, 0)], 1.0));
    fleet.stop().await;
}

#[tokio::test]
async fn a_member_that_does_not_mind_leaving_does_not_hold_up_the_end_of_a_node() {
    let app = app_owned_among(2, 1);
    let mut fleet = Fleet::ready(Plan::of(2), &[&app]).await;
    let (mut mouth, mut ear) = join(&fleet).await;
    let ending = tokio::spawn(fleet.nodes.remove(1).stop());
    assert!(matches!(ear.next().await, Some((_, Frame::Leaving))));
    let (mut taken, mut refused) = (0, 0);
    for id in 0..200 {
        // Fails once the node has gone.
        let _ = mouth.write_all(&batch(&app, id, id as usize, 0, u64::MAX)).await;
        match ear.next().await {
            Some((_, Frame::Outcomes(outcomes))) => taken += usize::from(outcomes[0].kind == OutcomeKind::Accepted),
            Some((_, Frame::Refused(Refusal::Leaving))) => refused += 1,
            Some(other) => panic!("{other:?}"),
            None => break,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(taken > 0 && refused > 0, "{taken} were on their way, {refused} came too late");
    timeout(PATIENCE, ending).await.expect("it ends soon").expect("a node that ends well");
    assert_eq!(fleet.simulator.ledger().totals().requests as usize, taken, "what it refused was not sent");
    fleet.stop().await;
}
