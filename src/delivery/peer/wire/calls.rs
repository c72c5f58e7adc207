//! The bodies of CALL and RESULT: calls of channels and broadcasts for the owner of an app, and their results.

use super::scanner::{Scanner, put_app, put_short_text};
use super::{Kind, Refusal, WireError, outcomes};
use crate::apns::channels::{Call, Channel, Reply};
use crate::delivery::calls::CallResult;
use crate::model::broadcast::BROADCAST_PAYLOAD_BYTES_MAX;
use crate::model::{AppKey, Broadcast, ChannelId, Priority, StoragePolicy};
use bytes::Bytes;
use http::HeaderValue;
use std::sync::Arc;
use uuid::Uuid;

/// All of a CALL but its calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallHead {
    /// On the monotonic clock of the receiver, in milliseconds: nothing is written to Apple after it.
    pub deadline_ms: u64,
    /// Repeat a broadcast that Apple may have got already.
    pub retry_unknown: bool,
    /// The revision of the app that the sender has, to be compared for equality.
    pub revision: i64,
    pub app: AppKey,
    /// The caller's `X-Request-Id`, for the log.
    pub request_id: Option<HeaderValue>,
}

/// The content of a RESULT: a result for each call, or the reason that none of them was made.
pub type CallAnswer = Result<Vec<CallResult>, Refusal>;

const CREATE: u8 = 1;
const READ: u8 = 2;
const LIST: u8 = 3;
const DELETE: u8 = 4;
const BROADCAST: u8 = 5;

const RESULTS: u8 = 0;
const REFUSED: u8 = 1;

const NOTHING: u8 = 0;
const CREATED: u8 = 1;
const CHANNEL: u8 = 2;
const CHANNELS: u8 = 3;
const DONE: u8 = 4;

const NO_DETAIL: u8 = 0;
const DETAIL: u8 = 1;
/// That of the call before.
const SAME_DETAIL: u8 = 2;
/// Longest sentence about a connection or a credential, in bytes.
const DETAIL_BYTES_MAX: usize = 2_000;

/// Fewest bytes of a call: its kind.
const CALL_BYTES_MIN: usize = 1;
/// Fewest bytes of a result: the outcome, and that there is neither content nor detail.
const RESULT_BYTES_MIN: usize = outcomes::SINGLE_BYTES_MIN + 2;
/// Fewest bytes of a channel in a list.
const ID_BYTES_MIN: usize = 3;

const PRIORITIES: [Priority; 3] = [Priority::Immediate, Priority::Considerate, Priority::Lowest];

/// The body of a CALL.
pub fn encode_call(head: &CallHead, calls: &[Call]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&head.deadline_ms.to_le_bytes());
    out.push(u8::from(head.retry_unknown));
    out.extend_from_slice(&head.revision.to_le_bytes());
    put_app(&mut out, &head.app);
    let request_id = head.request_id.as_ref().and_then(|id| id.to_str().ok());
    put_short_text(&mut out, request_id.filter(|id| id.len() <= 255).unwrap_or_default());
    put_count(&mut out, calls.len());
    calls.iter().for_each(|call| put_one(&mut out, call));
    out
}

fn put_one(out: &mut Vec<u8>, call: &Call) {
    match call {
        Call::Create(policy) => out.extend_from_slice(&[CREATE, policy.number()]),
        Call::Read(id) => {
            out.push(READ);
            put_text(out, id.as_str());
        }
        Call::List => out.push(LIST),
        Call::Delete(id) => {
            out.push(DELETE);
            put_text(out, id.as_str());
        }
        Call::Broadcast(broadcast) => {
            out.push(BROADCAST);
            put_text(out, broadcast.channel.as_str());
            out.extend_from_slice(broadcast.id.as_bytes());
            out.extend_from_slice(&broadcast.expiry.to_le_bytes());
            let priority = PRIORITIES.iter().position(|priority| *priority == broadcast.priority);
            out.push(priority.unwrap_or_default() as u8);
            put_count(out, broadcast.payload.len());
            out.extend_from_slice(&broadcast.payload);
        }
    }
}

/// Reads the body of a CALL of at most `items_max` calls, all for one service.
pub fn decode_call(body: &[u8], items_max: u32) -> Result<(CallHead, Vec<Call>), WireError> {
    let mut body = Scanner::new(Kind::Call, body);
    let (deadline_ms, retry_unknown, revision) = (body.u64()?, body.u8()?, body.i64()?);
    let (app, request_id) = (body.app()?, body.short_text()?);
    let request_id = Some(request_id).filter(|id| !id.is_empty()).map(HeaderValue::from_str).transpose();
    let request_id = request_id.map_err(|_| body.bad("request id"))?;
    let count = body.count(CALL_BYTES_MIN)?;
    if count > items_max as usize {
        return Err(WireError::TooManyItems { items: count as u32, limit: items_max });
    }
    let calls: Vec<_> = (0..count).map(|_| one(&mut body)).collect::<Result<_, _>>()?;
    let service = calls.first().map(Call::service);
    if service.is_none() || calls.iter().any(|call| Some(call.service()) != service) {
        return Err(body.bad("calls: one service takes all of a frame"));
    }
    body.finish()?;
    Ok((CallHead { deadline_ms, retry_unknown: retry_unknown != 0, revision, app, request_id }, calls))
}

fn one(body: &mut Scanner<'_>) -> Result<Call, WireError> {
    match body.u8()? {
        CREATE => StoragePolicy::parse(body.u8()?.into()).map(Call::Create).ok_or(body.bad("policy")),
        READ => channel_id(body).map(Call::Read),
        LIST => Ok(Call::List),
        DELETE => channel_id(body).map(Call::Delete),
        BROADCAST => {
            let (channel, id, expiry) = (channel_id(body)?, body.bytes(16)?, body.u64()?);
            let id = Uuid::from_slice(id).map_err(|_| body.bad("id"))?;
            let priority = *PRIORITIES.get(usize::from(body.u8()?)).ok_or(body.bad("priority"))?;
            let bytes = body.count(1)?;
            if bytes > BROADCAST_PAYLOAD_BYTES_MAX {
                return Err(body.bad("payload"));
            }
            let payload = Bytes::copy_from_slice(body.bytes(bytes)?);
            let broadcast = Broadcast { channel, payload, identifier: None, id, expiry, priority };
            Ok(Call::Broadcast(Arc::new(broadcast)))
        }
        _ => Err(body.bad("call")),
    }
}

/// The body of a RESULT.
pub fn encode_result(answer: &CallAnswer) -> Vec<u8> {
    let mut out = Vec::new();
    let results = match answer {
        Ok(results) => results,
        Err(refusal) => {
            out.push(REFUSED);
            refusal.put(&mut out);
            return out;
        }
    };
    out.push(RESULTS);
    put_count(&mut out, results.len());
    let mut last = None;
    for CallResult { outcome, reply, detail } in results {
        outcomes::put_single(&mut out, outcome);
        put_reply(&mut out, reply.as_ref());
        match detail.as_deref() {
            None => out.push(NO_DETAIL),
            same if same == last => out.push(SAME_DETAIL),
            Some(detail) => {
                out.push(DETAIL);
                put_text(&mut out, &detail[..detail.floor_char_boundary(DETAIL_BYTES_MAX)]);
            }
        }
        last = detail.as_deref().or(last);
    }
    out
}

fn put_reply(out: &mut Vec<u8>, reply: Option<&Reply>) {
    match reply {
        None => out.push(NOTHING),
        Some(Reply::Created(id)) => {
            out.push(CREATED);
            put_text(out, id.as_str());
        }
        Some(Reply::Channel(Channel { message_storage_policy, push_type })) => {
            out.push(CHANNEL);
            out.extend_from_slice(&message_storage_policy.to_le_bytes());
            put_text(out, push_type);
        }
        Some(Reply::Channels(ids)) => {
            out.push(CHANNELS);
            put_count(out, ids.len());
            ids.iter().for_each(|id| put_text(out, id.as_str()));
        }
        Some(Reply::Done) => out.push(DONE),
    }
}

/// Reads the body of a RESULT of at most `items_max` results.
pub fn decode_result(body: &[u8], items_max: u32) -> Result<CallAnswer, WireError> {
    let mut body = Scanner::new(Kind::Result, body);
    match body.u8()? {
        REFUSED => Refusal::decode(body.rest()).map(Err),
        RESULTS => {
            let count = body.count(RESULT_BYTES_MIN)?;
            if count > items_max as usize {
                return Err(WireError::TooManyItems { items: count as u32, limit: items_max });
            }
            let (mut results, mut last) = (Vec::with_capacity(count), None);
            for _ in 0..count {
                let (outcome, reply) = (outcomes::single(&mut body)?, reply(&mut body)?);
                let detail = match body.u8()? {
                    NO_DETAIL => None,
                    DETAIL => Some(detail(&mut body)?),
                    SAME_DETAIL => Some(Option::clone(&last).ok_or(body.bad("detail"))?),
                    _ => return Err(body.bad("detail")),
                };
                last = detail.clone().or(last);
                results.push(CallResult { outcome, reply, detail });
            }
            body.finish()?;
            Ok(Ok(results))
        }
        _ => Err(body.bad("answer")),
    }
}

fn detail(body: &mut Scanner<'_>) -> Result<Arc<str>, WireError> {
    let text = text(body)?;
    if text.len() <= DETAIL_BYTES_MAX { Ok(text.into()) } else { Err(body.bad("detail")) }
}

fn reply(body: &mut Scanner<'_>) -> Result<Option<Reply>, WireError> {
    match body.u8()? {
        NOTHING => Ok(None),
        CREATED => channel_id(body).map(|id| Some(Reply::Created(id))),
        CHANNEL => {
            let (message_storage_policy, push_type) = (body.u64()?, text(body)?.to_owned());
            Ok(Some(Reply::Channel(Channel { message_storage_policy, push_type })))
        }
        CHANNELS => {
            let count = body.count(ID_BYTES_MIN)?;
            let ids = (0..count).map(|_| channel_id(body)).collect::<Result<_, _>>()?;
            Ok(Some(Reply::Channels(ids)))
        }
        DONE => Ok(Some(Reply::Done)),
        _ => Err(body.bad("content")),
    }
}

fn channel_id(body: &mut Scanner<'_>) -> Result<ChannelId, WireError> {
    let text = text(body)?;
    ChannelId::of_apple(text.as_bytes()).ok_or(body.bad("channel"))
}

fn text<'a>(body: &mut Scanner<'a>) -> Result<&'a str, WireError> {
    let length = body.u16()?;
    std::str::from_utf8(body.bytes(usize::from(length))?).map_err(|_| body.bad("text"))
}

/// Appends a text of at most 65,535 bytes behind its length.
fn put_text(out: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("ids and sentences have at most 2,000 bytes");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).expect("a frame is far below 4 GiB").to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AppId, AppleReason, Environment, NodeReason, Outcome, OutcomeKind};

    fn id(text: &str) -> ChannelId {
        ChannelId::of_apple(text.as_bytes()).expect("an id")
    }

    fn head() -> CallHead {
        CallHead {
            deadline_ms: 7,
            retry_unknown: true,
            revision: -3,
            app: AppKey::new(AppId::new("com.example.app").expect("an id"), Environment::Production),
            request_id: Some(HeaderValue::from_static("4f1c")),
        }
    }

    fn calls() -> [Vec<Call>; 2] {
        let broadcast = Broadcast {
            channel: id("dHN0LXNyY2gtY2hubA=="),
            payload: Bytes::from_static(b"{\"aps\":{}}"),
            identifier: None,
            id: Uuid::from_u128(9),
            expiry: u64::MAX,
            priority: Priority::Lowest,
        };
        let long = "x".repeat(256);
        let policies = [StoragePolicy::NoMessage, StoragePolicy::MostRecentMessage].map(Call::Create);
        let management = policies.into_iter().chain([Call::Read(id(&long)), Call::List, Call::Delete(id("a"))]);
        [management.collect(), vec![Call::Broadcast(Arc::new(broadcast)); 3]]
    }

    fn results() -> Vec<CallResult> {
        let outcome = |kind, reason| Outcome { kind, status: Some(201), reason, timestamp: 1.5, attempts: 2 };
        let done =
            |reply| CallResult { outcome: outcome(OutcomeKind::Accepted, None), reply: Some(reply), detail: None };
        let channel = Channel { message_storage_policy: 1, push_type: "liveactivity".to_owned() };
        let failed = |reason, detail: &str| CallResult {
            outcome: Outcome { status: None, ..outcome(OutcomeKind::NotSent, Some(reason)) },
            reply: None,
            detail: Some(Arc::from(detail)),
        };
        let cannot = || crate::model::Reason::Node(NodeReason::CannotConnect);
        let new = crate::model::Reason::Unlisted("AReasonOfTomorrow".into());
        vec![
            done(Reply::Created(id("abcd"))),
            done(Reply::Channel(channel)),
            done(Reply::Channels(vec![])),
            done(Reply::Channels(vec![id("a"), id("bc")])),
            failed(cannot(), "no route"),
            done(Reply::Done),
            failed(crate::model::Reason::Apple(AppleReason::BadPath), "no route"),
            failed(new, "another one"),
        ]
    }

    /// Everything a broadcast has, since it has no equality.
    fn text(calls: &[Call]) -> String {
        format!("{calls:?}")
    }

    #[test]
    fn calls_and_results_read_back_as_they_were_written() {
        for calls in calls() {
            let (read, back) = decode_call(&encode_call(&head(), &calls), 10).expect("good");
            assert_eq!((read, text(&back)), (head(), text(&calls)));
        }
        for answer in [Ok(results()), Err(Refusal::AppOverloaded { retry_after_seconds: 3 }), Err(Refusal::UnknownApp)]
        {
            assert_eq!(decode_result(&encode_result(&answer), 10).expect("good"), answer);
        }
        let same = encode_result(&Ok(results()));
        assert_eq!(same.windows(8).filter(|part| part == b"no route").count(), 1, "a sentence is written once");
    }

    #[test]
    fn whatever_is_cut_short_too_long_or_mixed_is_refused_and_nothing_panics() {
        for body in calls().iter().map(|calls| encode_call(&head(), calls)) {
            for end in 0..body.len() {
                assert!(decode_call(&body[..end], 10).is_err(), "{end}");
            }
            assert!(decode_call(&[&body[..], b"x"].concat(), 10).is_err());
            assert!(matches!(decode_call(&body, 2), Err(WireError::TooManyItems { limit: 2, .. })));
            for at in 0..body.len() {
                let mut odd = body.clone();
                odd[at] ^= 0xff;
                let _ = decode_call(&odd, 10);
            }
        }
        let [management, broadcasts] = calls();
        assert!(decode_call(&encode_call(&head(), &[management, broadcasts].concat()), 10).is_err());
        assert!(decode_call(&encode_call(&head(), &[]), 10).is_err());
        let body = encode_result(&Ok(results()));
        for at in 0..body.len() {
            assert!(decode_result(&body[..at], 10).is_err());
            let mut odd = body.clone();
            odd[at] ^= 0xff;
            let _ = decode_result(&odd, 10);
        }
        assert!(decode_result(&body, 3).is_err());
    }
}
