//! Links to begin with: each kind of frame, good and spoilt.

use super::super::frames::LIMITS;
use super::Seed;
use http::HeaderValue;
use pyapns::apns::channels::{Call, Channel, Reply};
use pyapns::delivery::calls::CallResult;
use pyapns::delivery::peer::wire::calls::{CallHead, encode_call, encode_result};
use pyapns::delivery::peer::wire::{self, AppFigures, BatchHead, Features, Hello, Lane, Refusal, Seen, StatusOf};
use pyapns::model::{
    AppId, AppKey, AppleReason, Batch, Broadcast, ChannelId, Draft, Environment, NodeReason, NodeSession, Outcome,
    OutcomeKind, Priority, Reason, StoragePolicy,
};
use pyapns::store::Epoch;
use std::sync::Arc;
use uuid::Uuid;

fn app(id: &str) -> AppKey {
    AppKey::new(AppId::new(id).expect("an app id"), Environment::Production)
}

fn hello() -> Vec<u8> {
    let hello = Hello {
        versions: (1, 1),
        features: Features::CALLS,
        limits: LIMITS,
        ring: 7,
        session: NodeSession::from_bits(8),
        epoch: Epoch::stored(9),
        node: "n1".parse().expect("a name"),
    };
    let mut out = Vec::new();
    wire::put_hello(&mut out, &hello);
    out
}

fn batch(part: Option<&[u32]>) -> Vec<u8> {
    let mut batch = Batch::over(b"00fc {\"aps\":{}} unused"[..].into());
    for (token, identifier) in [("00fc", Some("7")), ("<AB>", Some(r#""caf\u00e9""#)), ("01", None)] {
        let topic = identifier.map(|_| "com.example.app");
        let draft = Draft { token, payload: r#"{"aps":{}}"#, identifier, topic, expiry: Some(0), ..Draft::default() };
        batch.push(draft, || Uuid::from_u128(5)).expect("a good draft");
    }
    let head = BatchHead {
        deadline_ms: 1_000,
        retry_unknown: true,
        revision: 3,
        app: app("shop"),
        lane: 1,
        lanes: 4,
        request_id: Some(HeaderValue::from_static("r1")),
    };
    let batch = Arc::new(batch);
    let mut out = Vec::new();
    let put = match part {
        Some(positions) => wire::put_batch(&mut out, 1, &head, &batch.part(positions), LIMITS),
        None => wire::put_batch(&mut out, 1, &head, &batch, LIMITS),
    };
    put.expect("a small batch");
    out
}

fn call_head() -> CallHead {
    let request_id = Some(HeaderValue::from_static("r1"));
    CallHead { deadline_ms: 1_000, retry_unknown: false, revision: 3, app: app("shop"), request_id }
}

fn channel() -> ChannelId {
    ChannelId::parse("dHN0LXNyY2gtY2hubA==").expect("an id")
}

fn management() -> Vec<u8> {
    let create = Call::Create(StoragePolicy::MostRecentMessage);
    encode_call(&call_head(), &[create, Call::Read(channel()), Call::List, Call::Delete(channel())])
}

fn broadcast() -> Vec<u8> {
    let (payload, identifier, id) = (r#"{"aps":{}}"#.into(), None, Uuid::from_u128(5));
    let broadcast =
        Broadcast { channel: channel(), payload, identifier, id, expiry: 9, priority: Priority::Considerate };
    encode_call(&call_head(), &[Call::Broadcast(Arc::new(broadcast))])
}

fn results() -> Vec<u8> {
    let result = |kind, reason, reply, detail: Option<&str>| CallResult {
        outcome: Outcome { kind, status: Some(200), reason, timestamp: 1.5, attempts: 1 },
        reply,
        detail: detail.map(Arc::from),
    };
    let done = |reply| result(OutcomeKind::Accepted, None, Some(reply), None);
    let cannot = || result(OutcomeKind::NotSent, Some(NodeReason::CannotConnect.into()), None, Some("no route"));
    let described = Channel { message_storage_policy: 1, push_type: "liveactivity".to_owned() };
    let content =
        [Reply::Created(channel()), Reply::Channel(described), Reply::Channels(vec![channel(); 2]), Reply::Done];
    encode_result(&Ok(content.map(done).into_iter().chain([cannot(), cannot()]).collect()))
}

fn outcomes() -> Vec<u8> {
    let reasons: [Option<Reason>; 5] = [
        None,
        Some(AppleReason::Unregistered.into()),
        Some(NodeReason::PeerLost.into()),
        Some(Reason::Unlisted("Novelty".into())),
        Some(Reason::Unlisted("Novelty".into())),
    ];
    let outcomes = OutcomeKind::ALL.into_iter().zip(reasons).map(|(kind, reason)| {
        let status = reason.is_some().then_some(400);
        Outcome { kind, status, reason, timestamp: 1.5, attempts: 1 }
    });
    let mut out = Vec::new();
    wire::put_outcomes(&mut out, 1, &outcomes.collect::<Vec<_>>());
    out
}

fn rest() -> Vec<Seed> {
    let lanes = [Lane { app: app("shop"), lane: 0 }, Lane { app: app("a.b"), lane: 63 }];
    let figures = AppFigures { app: app("shop"), json: (&b"{}"[..]).into() };
    let of = |put: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        put(&mut out);
        out
    };
    vec![
        ("refused", of(&|out| wire::put_refused(out, 1, Refusal::AppOverloaded { retry_after_seconds: 1 }))),
        ("ping", of(&|out| wire::put_ping(out, 2))),
        ("pong", of(&|out| wire::put_pong(out, 2, 123_456))),
        ("warm", of(&|out| wire::put_warm(out, 3, &lanes))),
        ("ready", of(&|out| wire::put_ready(out, 3, &lanes))),
        ("status_held", of(&|out| wire::put_status(out, 4, &StatusOf::Held))),
        ("status_apps", of(&|out| wire::put_status(out, 4, &StatusOf::Apps(vec![app("shop")])))),
        ("seen_held", of(&|out| wire::put_seen(out, 4, &Seen::Held(lanes.to_vec())))),
        ("seen_apps", of(&|out| wire::put_seen(out, 4, &Seen::Apps(vec![figures.clone()])))),
        ("leaving", of(&wire::put_leaving)),
        ("call", of(&|out| wire::put_call(out, 5, b"body"))),
        ("result", of(&|out| wire::put_result(out, 5, b"body"))),
        ("call_management", of(&|out| wire::put_call(out, 5, &management()))),
        ("call_broadcast", of(&|out| wire::put_call(out, 5, &broadcast()))),
        ("results", of(&|out| wire::put_result(out, 5, &results()))),
    ]
}

pub fn seeds() -> Vec<Seed> {
    let mut frames = rest();
    frames.extend([
        ("batch_whole", batch(None)),
        ("batch_part", batch(Some(&[2, 0]))),
        ("batch_empty", batch(Some(&[]))),
        ("outcomes", outcomes()),
    ]);
    let all = [&hello()[..], &frames.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect::<Vec<_>>()].concat();
    let mut seeds: Vec<Seed> = frames.into_iter().map(|(name, bytes)| (name, [&[1, 3], &bytes[..]].concat())).collect();
    seeds.push(("hello", [&[0, 5], &hello()[..]].concat()));
    seeds.push(("hello_twice", [&[0, 7], &hello()[..], &hello()[..]].concat()));
    seeds.push(("hello_and_all", [&[0, 250], &all[..]].concat()));
    seeds.push(("http", b"\0\x01GET / HTTP/1.1\r\n\r\n".to_vec()));
    seeds.push(("length_over_the_limit", b"\x01\x01\xff\xff\xff\xff\x02\0\0\0\0\0\0\0\0\0\0\0".to_vec()));
    seeds
}
