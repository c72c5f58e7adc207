//! The forms of callers' requests, with their bodies.

use std::fmt::Write as _;

/// A way to send.
pub struct Shape {
    pub name: &'static str,
    /// Connections, each with one request at a time.
    pub callers: usize,
    /// Notifications of one request.
    pub notifications: usize,
    /// Requests of each caller before counting begins: connections stand and buffers have grown by then.
    pub warm_up: usize,
    /// Requests of each caller that are counted.
    pub counted: usize,
    body: fn(usize, usize) -> String,
    content_type: &'static str,
}

const JSON: &str = "application/json";

/// All of them; up to 500 notifications are in flight at a time.
pub const ALL: [Shape; 5] = [
    Shape {
        name: "batch_of_100",
        callers: 5,
        notifications: 100,
        warm_up: 3,
        counted: 8,
        body: list,
        content_type: JSON,
    },
    Shape {
        name: "batch_of_10",
        callers: 50,
        notifications: 10,
        warm_up: 3,
        counted: 8,
        body: list,
        content_type: JSON,
    },
    Shape { name: "single", callers: 64, notifications: 1, warm_up: 3, counted: 16, body: one, content_type: JSON },
    Shape {
        name: "fan_out",
        callers: 1,
        notifications: 1000,
        warm_up: 2,
        counted: 4,
        body: fan_out,
        content_type: JSON,
    },
    Shape {
        name: "stream",
        callers: 1,
        notifications: 4000,
        warm_up: 1,
        counted: 1,
        body: lines,
        content_type: "application/x-ndjson",
    },
];

impl Shape {
    /// The bytes of a caller's request.
    pub fn request(&self, caller: usize) -> Vec<u8> {
        let body = (self.body)(caller * self.notifications, self.notifications);
        post(crate::run::APP, "/notifications", self.content_type, body.as_bytes())
    }
}

/// An HTTP/1 request as a client library writes it.
pub fn post(app: &str, below: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {app}{below} HTTP/1.1\r\nhost: 127.0.0.1:8088\r\nuser-agent: gate/1\r\naccept: */*\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// 160 bytes.
fn payload() -> String {
    let (start, end) = (r#"{"aps":{"alert":{"title":"Bench","body":""#, r#""},"sound":"default"}}"#);
    format!("{start}{}{end}", "x".repeat(160 - start.len() - end.len()))
}

fn token(number: usize) -> String {
    format!("{:064x}", (number as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

fn one(number: usize, _: usize) -> String {
    format!(r#"{{"token":"{}","payload":{},"identifier":"{number}"}}"#, token(number), payload())
}

fn list(from: usize, count: usize) -> String {
    let items: Vec<_> = (from..from + count).map(|number| one(number, 1)).collect();
    format!("[{}]", items.join(","))
}

fn fan_out(from: usize, count: usize) -> String {
    let tokens: Vec<_> = (from..from + count).map(|number| format!("\"{}\"", token(number))).collect();
    format!(r#"{{"tokens":[{}],"payload":{},"identifier":"all"}}"#, tokens.join(","), payload())
}

fn lines(from: usize, count: usize) -> String {
    let mut lines = String::new();
    (from..from + count).for_each(|number| writeln!(lines, "{}", one(number, 1)).expect("memory"));
    lines
}
