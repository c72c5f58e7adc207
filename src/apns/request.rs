//! A notification as a request to Apple: its headers, and the part of them that many requests share.

use crate::model::{Batch, Notification, Priority, PushType};
use http2::{Head, Method, Request};

/// The path of a device push, before the token.
pub const DEVICE_PATH: &[u8] = b"/3/device/";
/// The maximum number of heads kept for reuse; the cache is cleared beyond it.
const HEADS_MAX: usize = 64;

/// The properties that decide a head within one connection.
#[derive(Clone, Copy, PartialEq)]
struct Kind<'a> {
    /// The notification's topic; `None` = the app's topic for the push type.
    topic: Option<&'a [u8]>,
    push_type: PushType,
    priority: Priority,
    /// `apns-expiration: 0`, which many notifications share; any other date is a header of the request.
    once: bool,
}

struct Made {
    topic: Option<Box<[u8]>>,
    push_type: PushType,
    priority: Priority,
    once: bool,
    head: Head,
}

impl Made {
    fn is(&self, kind: Kind<'_>) -> bool {
        self.push_type == kind.push_type
            && self.priority == kind.priority
            && self.once == kind.once
            && self.topic.as_deref() == kind.topic
    }
}

/// A cache of the heads of one identity on one connection, by their properties.
pub struct Heads {
    authority: String,
    authorization: Option<String>,
    base_topic: String,
    made: Vec<Made>,
    last: usize,
}

impl Heads {
    /// `authority` is the gateway's host; `authorization` the header of the provider token, unless a certificate is
    /// used; `base_topic` the app's topic, with or without a push type's suffix.
    pub fn new(authority: &str, authorization: Option<String>, base_topic: &str) -> Self {
        let (authority, base_topic) = (authority.to_owned(), base_topic.to_owned());
        Self { authority, authorization, base_topic, made: Vec::new(), last: 0 }
    }

    /// Replaces the provider token.
    pub fn authorize(&mut self, authorization: String) {
        self.authorization = Some(authorization);
        self.made.clear();
    }

    /// The head for this notification.
    pub fn head_for(&mut self, batch: &Batch, notification: &Notification) -> &Head {
        let kind = Kind {
            topic: notification.topic.map(|span| batch.bytes(span)),
            push_type: notification.push_type,
            priority: notification.priority,
            once: notification.expiry == Some(0),
        };
        if !self.made.get(self.last).is_some_and(|made| made.is(kind)) {
            self.last = match self.made.iter().position(|made| made.is(kind)) {
                Some(found) => found,
                None => self.make(kind),
            };
        }
        &self.made[self.last].head
    }

    fn make(&mut self, kind: Kind<'_>) -> usize {
        if self.made.len() == HEADS_MAX {
            self.made.clear();
        }
        let topic = match kind.topic {
            Some(topic) => String::from_utf8_lossy(topic).into_owned(),
            None => kind.push_type.topic_for(&self.base_topic),
        };
        let mut fields = Vec::with_capacity(5);
        if let Some(authorization) = &self.authorization {
            fields.push(("authorization", authorization.as_str()));
        }
        fields.push(("apns-topic", topic.as_str()));
        fields.push(("apns-push-type", kind.push_type.as_str()));
        fields.push(("apns-priority", kind.priority.as_str()));
        if kind.once {
            fields.push(("apns-expiration", "0"));
        }
        let head = Head::new(Method::Post, &self.authority, &fields);
        let Kind { topic, push_type, priority, once } = kind;
        self.made.push(Made { topic: topic.map(Into::into), push_type, priority, once, head });
        self.made.len() - 1
    }
}

/// Builds the request of one notification on the stack, and passes it to `send`.
pub fn with_request<R>(
    heads: &mut Heads,
    batch: &Batch,
    notification: &Notification,
    send: impl FnOnce(&Request<'_>) -> R,
) -> R {
    let head = heads.head_for(batch, notification);
    let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
    let id: &[u8] = notification.apns_id.hyphenated().encode_lower(&mut id).as_bytes();
    let mut digits = [0; 20];
    let mut fields: [(&'static str, &[u8]); 3] = [("apns-id", id), ("", b""), ("", b"")];
    let mut count = 1;
    if let Some(expiry) = notification.expiry.filter(|&expiry| expiry != 0) {
        fields[count] = ("apns-expiration", decimal(expiry, &mut digits));
        count += 1;
    }
    if let Some(id) = notification.collapse_id {
        fields[count] = ("apns-collapse-id", batch.bytes(id));
        count += 1;
    }
    send(&Request {
        head,
        path: [DEVICE_PATH, batch.bytes(notification.token)],
        fields: &fields[..count],
        body: batch.bytes(notification.payload),
    })
}

fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Draft;

    fn batch(draft: Draft<'_>) -> Batch {
        let mut batch = Batch::default();
        batch.push(Draft { token: "00fc", payload: "{}", ..draft }, uuid::Uuid::new_v4).expect("a good draft");
        batch
    }

    fn head_id(heads: &mut Heads, batch: &Batch) -> u64 {
        heads.head_for(batch, &batch.items()[0]).id()
    }

    #[test]
    fn similar_notifications_share_a_head_and_others_do_not() {
        let mut heads = Heads::new("localhost", None, "com.example.app");
        let plain = head_id(&mut heads, &batch(Draft::default()));
        assert_eq!(head_id(&mut heads, &batch(Draft { expiry: Some(7), ..Draft::default() })), plain);
        assert_ne!(head_id(&mut heads, &batch(Draft { expiry: Some(0), ..Draft::default() })), plain);
        assert_ne!(head_id(&mut heads, &batch(Draft { topic: Some("other"), ..Draft::default() })), plain);
        assert_eq!(head_id(&mut heads, &batch(Draft::default())), plain);
        heads.authorize("bearer x".into());
        assert_ne!(head_id(&mut heads, &batch(Draft::default())), plain);
    }

    #[test]
    fn a_date_is_sent_as_digits() {
        assert_eq!(decimal(0, &mut [0; 20]), b"0");
        assert_eq!(decimal(u64::MAX, &mut [0; 20]), u64::MAX.to_string().as_bytes());
    }

    #[test]
    fn a_request_has_the_headers_of_the_notifications_fields() {
        let batch = batch(Draft { expiry: Some(1_900_000_000), collapse_id: Some("news"), ..Draft::default() });
        let mut heads = Heads::new("localhost", None, "com.example.app");
        let names = with_request(&mut heads, &batch, &batch.items()[0], |request| {
            assert_eq!(request.path, [DEVICE_PATH, b"00fc"]);
            request.fields.iter().map(|(name, _)| *name).collect::<Vec<_>>()
        });
        assert_eq!(names, ["apns-id", "apns-expiration", "apns-collapse-id"]);
    }
}
