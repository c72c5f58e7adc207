//! The owner of an app manages its channels and sends its broadcasts, whichever node is asked.

use super::hostile_members::{batch, join_with};
use super::liars::refused;
use super::releases::by_hand;
use crate::support::client::{Answer, Client};
use crate::support::false_peer::{Calling, FalsePeer, LIMITS, frames, hello};
use crate::support::fault_proxy::Way;
use crate::support::fleet::{Fleet, Plan, app_owned_among, key};
use crate::support::site::{Seat, Site, apps_of};
use pyapns::apns::channels::{Call as Asked, Reply};
use pyapns::delivery::calls::CallResult;
use pyapns::delivery::peer::wire::calls::{CallHead, decode_result, encode_call, encode_result};
use pyapns::delivery::peer::wire::{self, Features, Frame, Refusal};
use pyapns::model::{ChannelId, Outcome, OutcomeKind, StoragePolicy};
use serde_json::{Value, json};
use simulator::{Act, Call, Environment, Fault, Script, Service, Simulator};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;

const POLICY: &str = r#"{"message_storage_policy": 0}"#;

async fn create(node: SocketAddr, app: &str) -> Answer {
    Client::connect(node).await.post(&format!("{app}/channels"), POLICY).await
}

/// The id of a channel that the node must have created.
async fn created(node: SocketAddr, app: &str) -> String {
    let answer = create(node, app).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.response()["id"].as_str().expect("an id").to_owned()
}

async fn listed(node: SocketAddr, app: &str) -> Vec<String> {
    let answer = Client::connect(node).await.get(&format!("{app}/channels")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let list = answer.response().as_array().expect("a list");
    list.iter().map(|channel| channel["id"].as_str().expect("an id").to_owned()).collect()
}

fn path(app: &str, id: &str) -> String {
    format!("{app}/channels/{}", id.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"))
}

/// Apple does the next such call, and does not answer.
fn silence(simulator: &Simulator, call: Call) {
    let fault = Fault { times: Some(1), call: Some(call), ..Fault::new(Act::Silence { processed: true }) };
    simulator.set_script(Script { faults: vec![fault], ..Script::default() }).expect("a good script");
}

#[tokio::test]
async fn the_owner_alone_manages_channels_and_broadcasts_and_the_node_that_was_asked_counts_them() {
    let app = app_owned_among(3, 1);
    let fleet = Fleet::ready(Plan::of(3), &[&app]).await;
    let nodes = [0, 1, 2].map(|index| fleet.nodes[index].address);
    let mut ids = Vec::new();
    for node in nodes {
        ids.push(created(node, &app).await);
    }
    ids.sort_unstable();
    for node in nodes {
        assert_eq!(listed(node, &app).await, ids);
        let mut client = Client::connect(node).await;
        let shown = client.get(&path(&app, &ids[0])).await;
        assert_eq!((shown.status, &shown.response()["message_storage_policy"]), (200, &json!(0)), "{shown:?}");
        let to = |id: &String| json!({"channel": id, "payload": {"aps": {"event": "update", "timestamp": 1_900_000_000, "content-state": {}}}});
        let all = Value::from_iter(ids.iter().map(to));
        let sent = client.post(&format!("{app}/broadcasts"), all.to_string()).await;
        assert_eq!(sent.outcomes(), ["accepted"; 3], "{sent:?}");
        let missing = client.get(&path(&app, "YWJj")).await;
        assert_eq!((missing.status, missing.reason()), (404, "unknown_channel"), "{missing:?}");
    }
    let deleted = Client::connect(nodes[2]).await.call("DELETE", &path(&app, &ids[0]), "").await;
    assert_eq!((deleted.status, fleet.simulator.channels().len()), (200, 2), "{deleted:?}");

    let entries = fleet.simulator.ledger().entries();
    for service in [Service::Channels, Service::Broadcasts] {
        let of_service = entries.iter().filter(|entry| entry.service == service);
        let connections: HashSet<_> = of_service.map(|entry| entry.connection).collect();
        assert_eq!(connections.len(), 1, "{service:?}");
    }
    let attempts = [fleet.attempts(0).await, fleet.attempts(1).await, fleet.attempts(2).await];
    assert_eq!(attempts, [0, entries.len() as u64, 0]);
    for index in 0..3 {
        for (call, outcome, count) in
            [("create", "accepted", 1.0), ("broadcast", "accepted", 3.0), ("read", "rejected", 1.0)]
        {
            let name = format!("pyapns_channel_calls_total{{call=\"{call}\",outcome=\"{outcome}\"}}");
            assert_eq!(fleet.metric(index, &name).await, count, "{name} of node-{index}");
        }
    }
    fleet.stop().await;
}

/// Cuts the link to the owner once Apple has got so many calls of channels, and waits for the answer.
async fn cut_during(fleet: &Fleet, calls: u64, request: impl Future<Output = Answer> + Send + 'static) -> Answer {
    let asked = tokio::spawn(request);
    fleet.simulator.ledger().wait_until(move |totals| totals.channel_calls == calls).await;
    let proxy = fleet.proxies[1].as_ref().expect("a proxy");
    proxy.set(Way::Cut);
    let answer = asked.await.expect("an answer");
    proxy.set(Way::Open);
    fleet.wait_link(0, 1, true).await;
    answer
}

#[tokio::test]
async fn an_owner_that_is_lost_leaves_a_creation_unknown_and_what_may_be_repeated_is_repeated() {
    let app = app_owned_among(2, 1);
    let fleet = Fleet::ready(Plan::of(2).proxied(&[1]), &[&app]).await;
    let (node, channels) = (fleet.nodes[0].address, format!("{app}/channels"));
    let id = created(node, &app).await;

    silence(&fleet.simulator, Call::CreateChannel);
    let at = channels.clone();
    let lost = cut_during(&fleet, 2, async move { Client::connect(node).await.post(&at, POLICY).await }).await;
    assert_eq!((lost.status, lost.reason()), (504, "unknown"), "{lost:?}");
    assert_eq!(lost.body["args"]["cause"], "peer_lost", "{lost:?}");
    assert_eq!((listed(node, &app).await.len(), fleet.attempts(0).await), (2, 0), "Apple has created it");

    silence(&fleet.simulator, Call::ListChannels);
    let list = cut_during(&fleet, 4, async move { Client::connect(node).await.get(&channels).await }).await;
    assert_eq!((list.status, list.response().as_array().map(Vec::len)), (200, Some(2)), "{list:?}");
    assert_eq!(fleet.attempts(0).await, 1, "the node that was asked did it");

    silence(&fleet.simulator, Call::DeleteChannel);
    let at = path(&app, &id);
    let deleted = cut_during(&fleet, 6, async move { Client::connect(node).await.call("DELETE", &at, "").await }).await;
    assert_eq!(deleted.status, 200, "gone at the second attempt is deleted at the first: {deleted:?}");
    assert_eq!((fleet.simulator.channels().len(), fleet.attempts(0).await), (1, 2));
    fleet.simulator.stop().await;
}

#[tokio::test]
async fn an_owner_that_is_killed_while_it_creates_a_channel_leaves_it_unknown_and_listed() {
    let site = Site::new(&[]).await;
    let app = apps_of(&["a", "b"], 1, 1).remove(0);
    let address = site.simulator.channels_address(Environment::Sandbox).expect("a listener");
    let more = format!("sandbox_channels = 'https://{address}'\n");
    let seats = ["a", "b"].map(|name| Seat { more: more.clone(), ..site.seat(name) });
    let [a, b] = site.ready_at(seats, std::slice::from_ref(&app)).await;
    silence(&site.simulator, Call::CreateChannel);
    let (node, at) = (a.process.address, app.clone());
    let asked = tokio::spawn(async move { create(node, &at).await });
    site.simulator.ledger().wait_until(|totals| totals.channel_calls == 1).await;
    b.process.signal("KILL");
    let lost = asked.await.expect("an answer");
    assert_eq!((lost.status, lost.reason()), (504, "unknown"), "{lost:?}");
    assert_eq!(lost.body["args"]["cause"], "peer_lost", "{lost:?}");
    assert_eq!(listed(node, &app).await, [site.simulator.channels()[0].id.as_str()]);
    created(node, &app).await;
    assert_eq!(site.simulator.channels().len(), 2);
}

/// One node beside a member that the test plays, and that owns this app.
async fn beside(greeting: Vec<u8>, calling: Calling) -> (Fleet, String, Arc<FalsePeer>) {
    let app = app_owned_among(2, 1);
    let mut fleet = Fleet::ready(Plan::of(2).played(), &[&app]).await;
    let listener = fleet.played.take().expect("a listener");
    let peer = FalsePeer::new(1, Box::new(|_, _, _| None));
    let peer = FalsePeer { greeting: Box::new(move |_| greeting.clone()), calling, ..peer };
    let peer = peer.start(listener, &fleet.identity);
    fleet.wait_link(0, 1, true).await;
    (fleet, app, peer)
}

fn result(id: u64, answer: &Result<Vec<CallResult>, Refusal>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    wire::put_result(&mut bytes, id, &encode_result(answer));
    Some(bytes)
}

#[tokio::test]
async fn an_owner_of_a_release_before_calls_stays_linked_and_the_node_that_is_asked_makes_them() {
    let (fleet, app, peer) = beside(by_hand(1, (1, 1), [0; 4], &[]), Box::new(|_, _| None)).await;
    let id = created(fleet.nodes[0].address, &app).await;
    assert_eq!(fleet.simulator.channels()[0].id, id);
    assert_eq!((peer.calls(), peer.connections(), fleet.attempts(0).await), (0, 2, 1));
    fleet.stop().await;
}

#[tokio::test]
async fn an_owner_of_a_later_release_makes_the_calls_or_refuses_them_or_is_lost_with_them() {
    let later = || by_hand(1, (1, 2), [0xff; 4], &[7; 30]);
    let makes: Calling = Box::new(|id, calls| {
        assert!(matches!(calls, [Asked::Create(StoragePolicy::NoMessage)]), "{calls:?}");
        let outcome =
            Outcome { kind: OutcomeKind::Accepted, status: Some(201), reason: None, timestamp: 1.0, attempts: 1 };
        let reply = ChannelId::of_apple(b"bGF0ZXI=").map(Reply::Created);
        result(id, &Ok(vec![CallResult { outcome, reply, detail: None }]))
    });
    let (fleet, app, peer) = beside(later(), makes).await;
    assert_eq!(created(fleet.nodes[0].address, &app).await, "bGF0ZXI=");
    assert_eq!((peer.calls(), fleet.attempts(0).await, fleet.simulator.channels().len()), (1, 0, 0));
    fleet.stop().await;

    let refuses: Calling = Box::new(|id, _| result(id, &Err(Refusal::UnknownApp)));
    let (fleet, app, peer) = beside(later(), refuses).await;
    let id = created(fleet.nodes[0].address, &app).await;
    assert_eq!((peer.calls(), fleet.simulator.channels()[0].id.as_str()), (1, id.as_str()));
    fleet.stop().await;

    let (fleet, app, peer) = beside(later(), Box::new(|_, _| None)).await;
    let lost = create(fleet.nodes[0].address, &app).await;
    assert_eq!((lost.status, lost.reason(), peer.calls()), (504, "unknown", 1), "{lost:?}");
    assert_eq!(fleet.attempts(0).await, 0, "it may exist: it is not created again");
    fleet.stop().await;
}

#[tokio::test]
async fn a_member_is_served_the_calls_that_it_agreed_on_and_is_closed_for_any_other_frame() {
    let app = app_owned_among(2, 1);
    let fleet = Fleet::ready(Plan::of(2), &[&app]).await;
    let head = |app: &str| {
        let (deadline_ms, retry_unknown, revision, request_id) = (u64::MAX, false, 0, None);
        CallHead { deadline_ms, retry_unknown, revision, app: key(app), request_id }
    };
    let call = |id, body: &[u8]| {
        let mut bytes = Vec::new();
        wire::put_call(&mut bytes, id, body);
        bytes
    };
    let create = [Asked::Create(StoragePolicy::NoMessage)];
    let mut own = hello(0);
    own.features = Features::CALLS;
    let (mut mouth, mut ear) = join_with(&fleet, &frames(&own, &[])).await;
    mouth.write_all(&call(5, &encode_call(&head(&app), &create))).await.expect("written");
    let Some((5, Frame::Result(body))) = ear.next().await else { panic!("RESULT") };
    let made = decode_result(&body, LIMITS.items).expect("good").expect("made");
    assert!(matches!(&made[..], [CallResult { reply: Some(Reply::Created(_)), .. }]), "{made:?}");
    mouth.write_all(&call(6, &encode_call(&head("/apps/nobody/sandbox"), &create))).await.expect("written");
    let Some((6, Frame::Result(body))) = ear.next().await else { panic!("RESULT") };
    assert_eq!(decode_result(&body, LIMITS.items).expect("good"), Err(Refusal::UnknownApp));
    let late = CallHead { deadline_ms: 1, ..head(&app) };
    mouth.write_all(&call(7, &encode_call(&late, &create))).await.expect("written");
    let Some((7, Frame::Result(body))) = ear.next().await else { panic!("RESULT") };
    let late = decode_result(&body, LIMITS.items).expect("good").expect("ended");
    assert_eq!((late[0].outcome.kind, late[0].outcome.attempts), (OutcomeKind::NotSent, 0));
    assert_eq!(fleet.simulator.channels().len(), 1);

    mouth.write_all(&call(8, b"nonsense")).await.expect("written");
    assert!(ear.next().await.is_none(), "a body that is none ends the link");
    fleet.wait_metric(1, &refused("malformed"), 1.0).await;
    let (mut mouth, mut ear) = join_with(&fleet, &by_hand(0, (1, 1), [0; 4], &[])).await;
    mouth.write_all(&call(5, &encode_call(&head(&app), &create))).await.expect("written");
    assert!(ear.next().await.is_none(), "it was not agreed on");
    assert_eq!(fleet.simulator.channels().len(), 1);
    fleet.stop().await;
}

#[tokio::test]
async fn an_empty_list_of_broadcasts_is_answered_by_the_node_that_is_asked_and_the_link_stays() {
    let app = app_owned_among(2, 1);
    let fleet = Fleet::ready(Plan::of(2), &[&app]).await;
    let node = fleet.nodes[0].address;
    let sent = Client::connect(node).await.post(&format!("{app}/broadcasts"), "[]").await;
    assert_eq!((sent.status, sent.response()), (201, &json!([])), "{sent:?}");
    assert_eq!(fleet.metric(1, &refused("malformed")).await, 0.0, "the owner closes no link");
    created(node, &app).await;
    assert_eq!(fleet.attempts(0).await, 0, "the owner still makes the calls");
    fleet.stop().await;
}

#[tokio::test]
async fn calls_that_hang_take_no_room_of_batches_and_those_above_their_own_limit_go_back_to_the_peer() {
    const SENT: u64 = 1_100;
    const BATCH: u64 = SENT + 1;
    let app = app_owned_among(2, 1);
    let fleet = Fleet::ready(Plan::of(2), &[&app]).await;
    let hang = Fault { call: Some(Call::CreateChannel), ..Fault::new(Act::Silence { processed: false }) };
    fleet.simulator.set_script(Script { faults: vec![hang], ..Script::default() }).expect("a good script");
    let mut own = hello(0);
    own.features = Features::CALLS;
    let (mut mouth, mut ear) = join_with(&fleet, &frames(&own, &[])).await;
    let (deadline_ms, retry_unknown, revision, request_id) = (u64::MAX, false, 0, None);
    let head = CallHead { deadline_ms, retry_unknown, revision, app: key(&app), request_id };
    let body = encode_call(&head, &[Asked::Create(StoragePolicy::NoMessage)]);
    let mut bytes = Vec::new();
    (1..=SENT).for_each(|id| wire::put_call(&mut bytes, id, &body));
    bytes.extend(batch(&app, BATCH, 1, 0, u64::MAX));
    mouth.write_all(&bytes).await.expect("written");
    let mut returned = 0;
    let outcomes = loop {
        match ear.next().await {
            Some((BATCH, Frame::Outcomes(outcomes))) => break outcomes,
            Some((_, Frame::Result(body))) => {
                let answer = decode_result(&body, LIMITS.items).expect("good");
                assert_eq!(answer, Err(Refusal::Leaving), "the peer makes the call itself");
                returned += 1;
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((outcomes[0].kind, returned), (OutcomeKind::Accepted, SENT - 256));
    fleet.simulator.stop().await;
}
