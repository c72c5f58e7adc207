//! A send that bypasses the router has the same answer and metrics as one through the router.

use super::*;
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::duplex;
use tokio::task::JoinHandle;

type Sent = HttpRequest<Full<Bytes>>;

const PATH: &str = "/apps/com.example.app/sandbox/notifications";
/// It has expired, so that its outcome does not depend on earlier notifications.
const GOOD: &str = r#"{"token":"00fc","payload":{"aps":{"alert":"é"}},"identifier":"00000000-0000-4000-8000-000000000001","expiry":1}"#;
const FAN_OUT: &str = r#"{"tokens":["00fc","00fd"],"payload":{"aps":{}},"identifier":7,"expiry":1}"#;

/// One of the two paths, with its metrics.
struct Way {
    service: ApiService,
    api: Arc<Api>,
    counted: telemetry::Metrics,
}

impl Way {
    fn new(api: &Arc<Api>, build: impl FnOnce(Arc<Api>, Arc<Metrics>, Guard) -> ApiService) -> Self {
        let counted = telemetry::Metrics::new();
        let guard = Guard { keys: None, exposure: Exposure::Whole, browsers: None, clock: api.clock.clone() };
        let service = build(Arc::clone(api), Arc::new(Metrics::new(&counted, NOTIFICATIONS)), guard);
        Self { service, api: Arc::clone(api), counted }
    }

    /// The response as hyper sends it, with the headers that axum leaves to hyper.
    async fn answer(&self, request: Sent, version: u8) -> impl PartialEq + std::fmt::Debug + use<> {
        let (ours, theirs) = duplex(64 << 10);
        let (entry, limits) = (self.service.clone(), self.api.limits.clone());
        let server = tokio::spawn(server::answer(theirs, entry, Drain::new(), limits));
        let io = TokioIo::new(ours);
        let (response, driver): (_, JoinHandle<()>) = if version == 1 {
            let (mut sender, connection) = http1::handshake(io).await.expect("HTTP/1");
            let driver = tokio::spawn(async { drop(connection.await) });
            (sender.send_request(request).await, driver)
        } else {
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
            let driver = tokio::spawn(async { drop(connection.await) });
            (sender.send_request(request).await, driver)
        };
        let (mut head, body) = response.expect("an answer").into_parts();
        let body = String::from_utf8(body.collect().await.expect("a whole body").to_bytes().to_vec()).expect("text");
        driver.abort();
        server.abort();
        let dated = head.headers.remove(header::DATE).is_some();
        // A generated id is different each time.
        let id = head.headers.remove(observe::X_REQUEST_ID).map(|id| Some(id).filter(|id| id.len() != 32));
        (head.status, head.version, head.headers, dated, id, without_made_ids(&body))
    }

    fn counts(&self) -> Vec<String> {
        let all = self.counted.render();
        let ours =
            |line: &&str| line.starts_with("pyapns_api_requests_total") || line.contains("request_seconds_count");
        let mut lines: Vec<_> = all.lines().filter(ours).map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

/// The body without generated `apns_id`s.
fn without_made_ids(body: &str) -> String {
    let mut parts = body.split(r#""apns_id":""#);
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (id, rest) = part.split_once('"').expect("an id ends");
        plain.push_str(if id.starts_with("00000000") { id } else { "one of ours" });
        plain.push_str(rest);
    }
    plain
}

fn bodies() -> Vec<String> {
    let lines = format!("{GOOD}\n{{\"token\":\"xy\",\"payload\":{{}},\"identifier\":3}}\n\nnonsense\n{GOOD}");
    let good = [GOOD.to_owned(), format!("[{GOOD},{GOOD}]"), FAN_OUT.to_owned(), format!(" [\n{FAN_OUT} ]"), lines];
    let bad = [
        "",
        " ",
        "[]",
        "{}",
        "7",
        "{",
        "text",
        "[{\"token\":\"00\"}]",
        r#"{"token":"xy","payload":{}}"#,
        r#"{"token":"00","payload":{},"colour":1}"#,
        r#"{"token":"00","token":"00","payload":{}}"#,
        r#"{"token":"00","payload":{},"expiry":"soon"}"#,
        r#"{"token":"00","payload":{},"identifier":{}}"#,
    ];
    let (too_large, too_many) = ("x".repeat(65 << 10), format!("[{GOOD},{GOOD},{GOOD},{GOOD}]"));
    let long = format!(r#"{{"token":"00","payload":{{"text":"{}"}}}}"#, "x".repeat(5000));
    good.into_iter().chain(bad.map(str::to_owned)).chain([too_large, too_many, long]).collect()
}

fn paths() -> Vec<String> {
    let queries = ["", "?timeout=2", "?retry_unknown=true&wait=true", "?wait=false", "?timeout=0", "?timeot=5"];
    let more = ["?timeout=5&timeout=6", "?", "?timeout=%32", "?retry_unknown=1"];
    let known = queries.into_iter().chain(more).map(|query| format!("{PATH}{query}"));
    let others = [
        "/apps/nobody/sandbox/notifications",
        "/apps/com.example.app/production/notifications",
        "/apps/com.example.app/staging/notifications",
        "/apps/com%2Eexample.app/sandbox/notifications?wait=true",
        "/apps/com.example.app/sandbox/notifications/?wait=true",
        "/apps/com.example.app/sandbox//notifications",
        "/apps/no%20app/sandbox/notifications",
        "/apps/no+app/sandbox/notifications",
        "/apps/%ff/sandbox/notifications",
        "/apps//sandbox/notifications",
        "/apps/a/b/sandbox/notifications",
    ];
    known.chain(others.map(str::to_owned)).collect()
}

const HEADERS: [(&str, &str); 16] = [
    ("content-type", "application/json"),
    ("content-type", "application/x-www-form-urlencoded"),
    ("content-type", "text/plain; charset=latin1"),
    ("content-type", "application/x-ndjson"),
    ("content-type", "Application/X-NDJSON; charset=utf-8"),
    ("content-encoding", "gzip"),
    ("content-encoding", "identity"),
    ("prefer", "respond-async"),
    ("prefer", "return=minimal"),
    ("idempotency-key", "1"),
    ("authorization", "Bearer nobody.asks"),
    ("x-request-id", "mine-1"),
    ("x-request-id", "two words"),
    ("accept", "text/html"),
    ("accept-encoding", "gzip"),
    ("origin", "https://elsewhere.example"),
];

/// Valid and invalid requests of callers.
fn requests() -> Vec<Sent> {
    let build = |method: &str, path: &str, headers: &[(&str, &str)], body: &str| {
        let request = HttpRequest::builder().method(method).uri(format!("http://localhost{path}"));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.header("host", "localhost").body(Full::from(body.to_owned())).expect("a request")
    };
    let mut requests = Vec::new();
    for body in bodies() {
        for headers in [&[][..], &[("content-type", "application/x-ndjson")]] {
            requests.push(build("POST", PATH, headers, &body));
        }
    }
    for path in paths() {
        for (method, body) in [("POST", GOOD), ("POST", "{"), ("HEAD", ""), ("GET", ""), ("OPTIONS", ""), ("PUT", "{}")]
        {
            requests.push(build(method, &path, &[], body));
        }
    }
    for header in HEADERS {
        requests.push(build("POST", PATH, &[header], GOOD));
        requests.push(build("POST", "/apps/nobody/sandbox/notifications", &[header], GOOD));
    }
    let long = "x".repeat(16 << 10);
    requests.push(build("POST", PATH, &[("x-long", &long)], GOOD));
    requests
}

#[tokio::test(start_paused = true)]
async fn a_send_that_bypasses_the_router_is_answered_and_counted_as_through_the_router() {
    let node = Client::provisioned().await;
    let short = Way::new(&node.api, service);
    let long = Way::new(&node.api, |api, metrics, guard| {
        let observer = Observer::new(metrics, &api.limits, guard.browsers.clone(), POLICY);
        ApiService::new(router(api, observer, guard), None)
    });
    for version in [1, 2] {
        for request in requests() {
            let told = format!("{request:.400?} over HTTP/{version}");
            let past = short.answer(request.clone(), version).await;
            assert_eq!(past, long.answer(request, version).await, "{told}");
            assert_eq!(short.counts(), long.counts(), "{told}");
        }
    }
    let counts = short.counts().join("\n");
    for status in [201, 400, 404, 405, 413, 415, 431, 501] {
        assert!(counts.contains(&format!("status=\"{status}\"")), "no {status} among them: {counts}");
    }
}
