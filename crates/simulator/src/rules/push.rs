//! A request for the rules: Apple's headers, read in one pass.

use http::request::Parts;
use http::{HeaderValue, Method};

/// A request whose body has ended.
pub struct Push<'a> {
    pub method: &'a Method,
    pub path: &'a str,
    /// A header appeared more than once.
    pub repeated: bool,
    pub authorization: Option<&'a HeaderValue>,
    pub topic: Option<&'a HeaderValue>,
    pub push_type: Option<&'a HeaderValue>,
    pub id: Option<&'a HeaderValue>,
    pub expiration: Option<&'a HeaderValue>,
    pub priority: Option<&'a HeaderValue>,
    pub collapse_id: Option<&'a HeaderValue>,
    /// Bytes of the body.
    pub length: usize,
}

const DEVICE: &str = "/3/device/";

impl<'a> Push<'a> {
    /// Of a repeated header the first value counts.
    pub fn new(head: &'a Parts, length: usize) -> Self {
        let headers = &head.headers;
        let mut push = Push {
            method: &head.method,
            path: head.uri.path_and_query().map_or("", |path| path.as_str()),
            repeated: headers.len() != headers.keys_len(),
            authorization: None,
            topic: None,
            push_type: None,
            id: None,
            expiration: None,
            priority: None,
            collapse_id: None,
            length,
        };
        for (name, value) in headers {
            let place = match name.as_str() {
                "authorization" => &mut push.authorization,
                "apns-topic" => &mut push.topic,
                "apns-push-type" => &mut push.push_type,
                "apns-id" => &mut push.id,
                "apns-expiration" => &mut push.expiration,
                "apns-priority" => &mut push.priority,
                "apns-collapse-id" => &mut push.collapse_id,
                _ => continue,
            };
            place.get_or_insert(value);
        }
        push
    }

    /// The part of the path after `/3/device/`; `None` on another path.
    pub fn device_token(&self) -> Option<&'a str> {
        self.path.strip_prefix(DEVICE)
    }
}
