//! The calls of channels and broadcasts as requests to Apple, and Apple's answers to them (apns-protocol.md 11). Pure.

use crate::model::{Broadcast, ChannelId, PushType, StoragePolicy};
use http2::{Answer, Head, Method, Request};
use serde::Deserialize;
use std::borrow::Cow;
use std::sync::Arc;

/// The maximum size of an answer's body, in bytes: 10,000 channels with the longest ids seen take 600 KiB.
pub const ANSWER_BYTES_MAX: usize = 2 << 20;
/// The channels of the longest list. Apple allows 10,000 of an app.
const CHANNELS_MAX: usize = 100_000;
/// The maximum length of a push type in an answer, in bytes.
const PUSH_TYPE_BYTES_MAX: usize = 64;
/// The only push type that channels have, as their management spells it.
const PUSH_TYPE: &str = "LiveActivity";

/// Something that Apple is asked to do with an app's channels.
#[derive(Debug, Clone)]
pub enum Call {
    Create(StoragePolicy),
    Read(ChannelId),
    List,
    Delete(ChannelId),
    Broadcast(Arc<Broadcast>),
}

/// The two gateways that take calls. An app has separate connections to each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    Management,
    Broadcasts,
}

/// The content of Apple's answer to a call that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Created(ChannelId),
    Channel(Channel),
    Channels(Vec<ChannelId>),
    /// The channel is deleted, or the broadcast is accepted.
    Done,
}

/// A channel as Apple describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// See [`StoragePolicy`].
    pub message_storage_policy: u64,
    /// In lower case, as for notifications.
    pub push_type: String,
}

impl Call {
    pub const NAMES: [&'static str; 5] = ["create", "read", "list", "delete", "broadcast"];

    /// The word for metrics and logs.
    pub fn name(&self) -> &'static str {
        Self::NAMES[match self {
            Self::Create(_) => 0,
            Self::Read(_) => 1,
            Self::List => 2,
            Self::Delete(_) => 3,
            Self::Broadcast(_) => 4,
        }]
    }

    pub fn service(&self) -> Service {
        match self {
            Self::Create(_) | Self::Read(_) | Self::List | Self::Delete(_) => Service::Management,
            Self::Broadcast(_) => Service::Broadcasts,
        }
    }

    /// Returns true if Apple may get the call twice without harm. Each creation makes another channel, and each broadcast
    /// arrives again.
    pub fn is_idempotent(&self) -> bool {
        matches!(self, Self::Read(_) | Self::List | Self::Delete(_))
    }

    /// Returns true if the call changes nothing at Apple.
    pub fn is_reading(&self) -> bool {
        matches!(self, Self::Read(_) | Self::List)
    }

    /// The memory that the call takes while it waits, in bytes, besides itself.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Broadcast(broadcast) => broadcast.payload.len(),
            _ => 0,
        }
    }

    /// Reads the answer to a call that succeeded. `None` if it lacks what the call asked for.
    pub fn read(&self, answer: &Answer<'_>) -> Option<Reply> {
        match self {
            Self::Create(_) => answer.channel_id.and_then(ChannelId::of_apple).map(Reply::Created),
            Self::Read(_) => channel(answer.body).filter(|_| answer.complete).map(Reply::Channel),
            Self::List => channels(answer.body).filter(|_| answer.complete).map(Reply::Channels),
            Self::Delete(_) | Self::Broadcast(_) => Some(Reply::Done),
        }
    }
}

/// Reads `{"message-storage-policy":1,"push-type":"LiveActivity"}`.
fn channel(body: &[u8]) -> Option<Channel> {
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Body<'a> {
        message_storage_policy: u64,
        #[serde(borrow)]
        push_type: Cow<'a, str>,
    }
    let Body { message_storage_policy, push_type } = serde_json::from_slice(body).ok()?;
    let fits = push_type.len() <= PUSH_TYPE_BYTES_MAX;
    fits.then(|| Channel { message_storage_policy, push_type: push_type.to_lowercase() })
}

/// Reads `{"channels":["dHN0LXNyY2gtY2hubA=="]}`.
fn channels(body: &[u8]) -> Option<Vec<ChannelId>> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        channels: Vec<Cow<'a, str>>,
    }
    let Body { channels } =
        serde_json::from_slice(body).ok().filter(|Body { channels }| channels.len() <= CHANNELS_MAX)?;
    channels.iter().map(|id| ChannelId::of_apple(id.as_bytes())).collect()
}

/// The heads and paths of an app's calls on one connection.
pub struct CallHeads {
    get: Head,
    post: Head,
    delete: Head,
    broadcast: Head,
    channels_path: String,
    all_channels_path: String,
    broadcasts_path: String,
}

impl CallHeads {
    /// `authority` is the gateway's host; `authorization` the header of the provider token, unless a certificate is
    /// used; `topic` the app's topic, of which Apple gets the bundle id.
    pub fn new(authority: &str, authorization: Option<&str>, topic: &str) -> Self {
        let authorization: Vec<_> = authorization.map(|token| ("authorization", token)).into_iter().collect();
        let head = |method, more: &[(&str, &str)]| Head::new(method, authority, &[&authorization, more].concat());
        let bundle = PushType::bundle_id(topic);
        Self {
            get: head(Method::Get, &[]),
            post: head(Method::Post, &[("content-type", "application/json")]),
            delete: head(Method::Delete, &[]),
            broadcast: head(Method::Post, &[("apns-push-type", PushType::LiveActivity.as_str())]),
            channels_path: format!("/1/apps/{bundle}/channels"),
            all_channels_path: format!("/1/apps/{bundle}/all-channels"),
            broadcasts_path: format!("/4/broadcasts/apps/{bundle}"),
        }
    }

    /// Builds the request of a call, and passes it to `send`.
    pub fn with_request<R>(&self, call: &Call, send: impl FnOnce(&Request<'_>) -> R) -> R {
        let channels = [self.channels_path.as_bytes(), b""];
        match call {
            Call::Create(policy) => {
                let number = policy.number();
                let body = format!(r#"{{"message-storage-policy":{number},"push-type":"{PUSH_TYPE}"}}"#);
                send(&Request { head: &self.post, path: channels, fields: &[], body: body.as_bytes() })
            }
            Call::Read(id) => send(&Request { head: &self.get, path: channels, fields: &[of_channel(id)], body: b"" }),
            Call::Delete(id) => {
                send(&Request { head: &self.delete, path: channels, fields: &[of_channel(id)], body: b"" })
            }
            Call::List => {
                let path = [self.all_channels_path.as_bytes(), b""];
                send(&Request { head: &self.get, path, fields: &[], body: b"" })
            }
            Call::Broadcast(broadcast) => {
                let (id, expiry) = (broadcast.id.hyphenated().to_string(), broadcast.expiry.to_string());
                let fields = [
                    of_channel(&broadcast.channel),
                    ("apns-expiration", expiry.as_bytes()),
                    ("apns-priority", broadcast.priority.as_str().as_bytes()),
                    ("apns-request-id", id.as_bytes()),
                ];
                let path = [self.broadcasts_path.as_bytes(), b""];
                send(&Request { head: &self.broadcast, path, fields: &fields, body: &broadcast.payload })
            }
        }
    }
}

fn of_channel(id: &ChannelId) -> (&'static str, &[u8]) {
    ("apns-channel-id", id.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer<'a>(channel_id: Option<&'a [u8]>, body: &'a [u8]) -> Answer<'a> {
        let (apns_id, unique_id, request_id, retry_after) = (None, None, None, None);
        Answer { status: 200, apns_id, unique_id, channel_id, request_id, retry_after, body, complete: true }
    }

    fn id(text: &str) -> ChannelId {
        ChannelId::parse(text).unwrap()
    }

    #[test]
    fn each_call_has_apples_method_path_and_headers() {
        let heads = CallHeads::new("localhost", Some("bearer x"), "com.example.app.push-type.liveactivity");
        let broadcast = Broadcast {
            channel: id("abcd"),
            payload: "{}".into(),
            identifier: None,
            id: uuid::Uuid::nil(),
            expiry: 9,
            priority: crate::model::Priority::Considerate,
        };
        for (call, method, path, fields, body) in [
            (
                Call::Create(StoragePolicy::MostRecentMessage),
                "POST",
                "/1/apps/com.example.app/channels",
                "",
                r#"{"message-storage-policy":1,"push-type":"LiveActivity"}"#,
            ),
            (Call::Read(id("abcd")), "GET", "/1/apps/com.example.app/channels", "apns-channel-id: abcd\n", ""),
            (Call::Delete(id("abcd")), "DELETE", "/1/apps/com.example.app/channels", "apns-channel-id: abcd\n", ""),
            (Call::List, "GET", "/1/apps/com.example.app/all-channels", "", ""),
            (
                Call::Broadcast(Arc::new(broadcast)),
                "POST",
                "/4/broadcasts/apps/com.example.app",
                "apns-channel-id: abcd\napns-expiration: 9\napns-priority: 5\n\
                 apns-request-id: 00000000-0000-0000-0000-000000000000\n",
                "{}",
            ),
        ] {
            heads.with_request(&call, |request| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let head: Vec<_> = request.head.pseudo().map(|(_, value)| text(value)).collect();
                let sent: String =
                    request.fields.iter().map(|(name, value)| format!("{name}: {}\n", text(value))).collect();
                assert_eq!((head[0].as_str(), text(&request.path.concat())), (method, path.to_owned()));
                assert_eq!((sent.as_str(), text(request.body).as_str()), (fields, body), "{}", call.name());
                assert!(request.head.fields().any(|(name, value)| (name, value) == (b"authorization", b"bearer x")));
            });
        }
    }

    #[test]
    fn an_answer_has_what_the_call_asked_for_or_is_not_read() {
        let create = Call::Create(StoragePolicy::NoMessage);
        assert_eq!(create.read(&answer(Some(b"abcd"), b"")), Some(Reply::Created(id("abcd"))));
        assert_eq!(create.read(&answer(None, b"")), None);
        let read = Call::Read(id("abcd"));
        let body = br#"{"message-storage-policy":1,"push-type":"LiveActivity","new":[]}"#;
        let channel = Channel { message_storage_policy: 1, push_type: "liveactivity".to_owned() };
        assert_eq!(read.read(&answer(None, body)), Some(Reply::Channel(channel)));
        assert_eq!(read.read(&Answer { complete: false, ..answer(None, body) }), None);
        let body = br#"{"channels":["abcd","a\/bc"]}"#;
        assert_eq!(Call::List.read(&answer(None, body)), Some(Reply::Channels(vec![id("abcd"), id("a/bc")])));
        assert_eq!(Call::List.read(&answer(None, br#"{"channels":[]}"#)), Some(Reply::Channels(Vec::new())));
        for malformed in [&b""[..], b"[]", b"{}", br#"{"channels":["a b"]}"#, br#"{"channels":[1]}"#] {
            assert_eq!(Call::List.read(&answer(None, malformed)), None);
            assert_eq!(read.read(&answer(None, malformed)), None);
        }
    }
}
