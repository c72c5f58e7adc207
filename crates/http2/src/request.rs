//! A request for the session: the headers that many requests share, and its individual parts.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// The overhead of a header in a list or table, in bytes (RFC 9113 6.5.2, RFC 7541 4.1).
pub const FIELD_OVERHEAD: usize = 32;

const PATH: &str = ":path";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Delete,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// The headers that many requests share. Encoders know one by its `id`, so build it once and keep it.
pub struct Head {
    id: u64,
    pseudo: [(&'static str, Box<str>); 3],
    fields: Box<[(Box<str>, Box<str>)]>,
    list_size: usize,
}

impl Head {
    /// `fields` in the order of the wire, names in lower case. They go into the peer's table, so they should rarely change:
    /// authorization, apns-topic, apns-push-type, apns-priority, `apns-expiration: 0`.
    pub fn new(method: Method, authority: &str, fields: &[(&str, &str)]) -> Self {
        // Unique in the process, since a Head may be used on any connection.
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let pseudo =
            [(":method", method.as_str().into()), (":scheme", "https".into()), (":authority", authority.into())];
        let fields = fields.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        let mut head = Self { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), pseudo, fields, list_size: 0 };
        head.list_size = head.pseudo().chain(head.fields()).map(|(name, value)| field_size(name, value)).sum();
        head
    }

    pub fn id(&self) -> u64 {
        self.id
    }

    /// The pseudo-headers without `:path`, which differs in each request.
    pub fn pseudo(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.pseudo.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
    }

    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
    }

    /// Σ(name + value + 32) of all its headers.
    pub(super) fn list_size(&self) -> usize {
        self.list_size
    }
}

/// Only names: values may be secrets.
impl fmt::Debug for Head {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.fields.iter().map(|(name, _)| name).collect();
        formatter.debug_struct("Head").field("id", &self.id).field("fields", &names).finish_non_exhaustive()
    }
}

/// A request that borrows everything; the session copies what it sends.
pub struct Request<'a> {
    pub head: &'a Head,
    /// The two parts of `:path`, such as `/3/device/` and the token; never concatenated by the caller.
    pub path: [&'a [u8]; 2],
    /// Per message, names in lower case: apns-id, apns-expiration other than 0, apns-collapse-id. Only the names enter the
    /// peer's table.
    pub fields: &'a [(&'static str, &'a [u8])],
    pub body: &'a [u8],
}

impl Request<'_> {
    /// Σ(name + value + 32), pseudo-headers included: what the peer's MAX_HEADER_LIST_SIZE limits (RFC 9113 6.5.2).
    pub fn list_size(&self) -> usize {
        let path = PATH.len() + self.path[0].len() + self.path[1].len() + FIELD_OVERHEAD;
        let fields: usize = self.fields.iter().map(|(name, value)| field_size(name.as_bytes(), value)).sum();
        self.head.list_size() + path + fields
    }
}

/// The size of one header in a list or table (RFC 7541 4.1).
pub fn field_size(name: &[u8], value: &[u8]) -> usize {
    name.len() + value.len() + FIELD_OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_size_counts_every_header_with_its_overhead() {
        let head = Head::new(Method::Post, "api.push.apple.com", &[("apns-topic", "com.example.app")]);
        let request =
            Request { head: &head, path: [b"/3/device/", b"00fc"], fields: &[("apns-id", b"1")], body: b"{}" };
        let names = ":method:scheme:authorityapns-topic:pathapns-id".len();
        let values = "POSThttpsapi.push.apple.comcom.example.app/3/device/00fc1".len();
        assert_eq!(request.list_size(), names + values + 6 * 32);
    }

    #[test]
    fn two_heads_never_share_an_id() {
        let heads = [(); 2].map(|()| Head::new(Method::Get, "a", &[]));
        assert_ne!(heads[0].id(), heads[1].id());
    }

    #[test]
    fn a_head_prints_no_value() {
        let head = Head::new(Method::Post, "api.push.apple.com", &[("authorization", "bearer secret")]);
        let printed = format!("{head:?}");
        assert!(printed.contains("authorization") && !printed.contains("secret"), "{printed}");
    }
}
