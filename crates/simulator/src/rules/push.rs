//! A request for the rules: Apple's headers, read in one pass.

use http::request::Parts;
use http::{HeaderValue, Method};

use super::channels;
use crate::site::{Call, Service};

/// A request whose body has ended.
pub struct Push<'a> {
    pub service: Service,
    pub method: &'a Method,
    pub path: &'a str,
    /// A header appeared more than once.
    pub repeated: bool,
    pub authorization: Option<&'a HeaderValue>,
    pub topic: Option<&'a HeaderValue>,
    pub push_type: Option<&'a HeaderValue>,
    /// The apns-id of a device push, the apns-request-id of other requests.
    pub id: Option<&'a HeaderValue>,
    pub expiration: Option<&'a HeaderValue>,
    pub priority: Option<&'a HeaderValue>,
    pub collapse_id: Option<&'a HeaderValue>,
    pub channel_id: Option<&'a HeaderValue>,
    /// The start of the body: all of it unless it is too large for every call.
    pub body: &'a [u8],
    /// Bytes of the whole body.
    pub length: usize,
}

const DEVICE: &str = "/3/device/";
const BROADCASTS: &str = "/4/broadcasts";

impl<'a> Push<'a> {
    /// A request to a listener of this service. Of a repeated header the first value counts.
    pub fn new(head: &'a Parts, service: Service, body: &'a [u8], length: usize) -> Self {
        let headers = &head.headers;
        let path = head.uri.path_and_query().map_or("", |path| path.as_str());
        let service = match service {
            Service::Device if path.starts_with(BROADCASTS) => Service::Broadcasts,
            service => service,
        };
        let id_name = if service == Service::Device { "apns-id" } else { "apns-request-id" };
        let mut push = Push {
            service,
            method: &head.method,
            path,
            repeated: headers.len() != headers.keys_len(),
            authorization: None,
            topic: None,
            push_type: None,
            id: None,
            expiration: None,
            priority: None,
            collapse_id: None,
            channel_id: None,
            body,
            length,
        };
        for (name, value) in headers {
            let place = match name.as_str() {
                "authorization" => &mut push.authorization,
                "apns-topic" => &mut push.topic,
                "apns-push-type" => &mut push.push_type,
                name if name == id_name => &mut push.id,
                "apns-expiration" => &mut push.expiration,
                "apns-priority" => &mut push.priority,
                "apns-collapse-id" => &mut push.collapse_id,
                "apns-channel-id" => &mut push.channel_id,
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

    /// The call; `None` if its path or method is none of the service.
    pub fn call(&self) -> Option<Call> {
        match self.service {
            Service::Device => Some(Call::Push),
            Service::Broadcasts => Some(Call::Broadcast),
            Service::Channels => channels::call(self.method, self.path),
        }
    }
}
