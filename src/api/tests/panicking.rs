//! Tests that a handler's panic is logged in the log's format, with the request's id and without the request's data.

use super::*;
use crate::telemetry::Logging;
use crate::telemetry::logging::{Config, Format, Level};
use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::Frame;
use std::convert::Infallible;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};
use tokio::process::Command;

/// The variable with the log's format for the process that panics: hook and log belong to a whole process.
const PANICS: &str = "PYAPNS_TEST_PANICS";
const SECRET: &str = "hunter2";

/// A body that panics while it is read, in the middle of its handler's work.
struct Mined;

impl HttpBody for Mined {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        panic!("no caller may read {SECRET}")
    }
}

impl Connect for Mined {
    fn resolve(&self, _: &Endpoint) -> Resolving {
        panic!("no lane may get past {SECRET}")
    }

    fn connect(&self, endpoint: &Endpoint, _: SocketAddr, _: Arc<rustls::ClientConfig>, _: Duration) -> Connecting {
        let error = ConnectError::Timeout { endpoint: endpoint.clone(), stage: Stage::Tcp, seconds: 1 };
        Box::pin(async { Err(error) })
    }
}

fn mined(path: &str, kind: &str, id: &str) -> HttpRequest<Body> {
    let request = HttpRequest::builder().method(Method::POST).uri(path);
    let request = request.header(header::HOST, "localhost").header(header::CONTENT_TYPE, kind);
    let request = request.header(observe::X_REQUEST_ID, id);
    request.body(Body::new(Mined)).expect("a request")
}

/// The child's work: a handler panics in the route of provisioning, one past the router, one while it streams, and a
/// lane.
async fn panic_four_times(format: Format) {
    let logging = Logging::install(Config { format, level: Level::Info }).expect("the first log of this process");
    let client = Client::provisioned().await;
    let notifications = format!("{APP}/notifications");
    assert_eq!(client.send(mined(APP, "application/json", "provisioning-1")).await.status, 500);
    assert_eq!(client.send(mined(&notifications, "application/json", "sending-2")).await.status, 500);
    let stream = client.service.clone().answer(mined(&notifications, "application/x-ndjson", "streaming-3")).await;
    assert_eq!(stream.status(), 201, "it had begun");
    let cut = stream.into_body().collect().await.expect_err("it ends early");
    assert_eq!(cut.to_string(), "the response could not be finished");
    assert_eq!(client.get("/healthz").await.status, 200, "the others are answered");

    let mut api = api(Limits::default(), telemetry::Metrics::new()).await;
    api.intake = Arc::new(intake_over(Arc::new(Mined), &api.events, &telemetry::Metrics::new()));
    let client = Client::of(api);
    assert_eq!(client.post(APP, &pem()).await.status, 201);
    let sent = client.post(&notifications, r#"{"token":"00fc","payload":{"aps":{}}}"#).await;
    assert_eq!(sent.body["response"]["outcome"], "unknown", "{}", sent.text);
    logging.flush(Duration::from_secs(10));
}

/// The log of a process whose handlers panic.
async fn log(format: &str) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    child.args(["--exact", "api::tests::panicking::a_handler_that_panics_is_logged_as_json_under_its_requests_id"]);
    child.arg("--nocapture").env(PANICS, format).env_remove("RUST_BACKTRACE").stdin(Stdio::null());
    let output = child.output().await.expect("it runs");
    let (out, log) = [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("text")).into();
    assert!(output.status.success() && out.contains("1 passed"), "{out}\n{log}");
    log.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_handler_that_panics_is_logged_as_json_under_its_requests_id() {
    if let Ok(format) = std::env::var(PANICS) {
        return panic_four_times(format.parse().expect("a format")).await;
    }
    let log = log("json").await;
    let lines: Vec<Value> =
        log.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    let panics: Vec<&Value> = lines.iter().filter(|line| line["location"].is_string()).collect();
    let ids: Vec<&Value> = panics.iter().map(|line| &line["request_id"]).collect();
    assert_eq!(ids, [&json!("provisioning-1"), &json!("sending-2"), &json!("streaming-3"), &Value::Null], "{log:#?}");
    assert_eq!(panics[3]["app"], "com.example.app/sandbox", "a lane works for its app, not for the first request");
    let lost = lines
        .iter()
        .find(|line| line["message"] == "a lane task died without answering: Apple may have received its notifications")
        .expect("its line");
    assert_eq!(lost["app"], "com.example.app/sandbox", "{lost}");
    for line in panics {
        assert!(line["level"] == "ERROR" && line["timestamp"].is_string(), "{line}");
        assert!(
            line["message"].as_str().is_some_and(|message| message.starts_with("a panic, which is a bug")),
            "{line}"
        );
        assert!(line["location"].as_str().is_some_and(|at| at.starts_with("src/api/tests/panicking.rs:")), "{line}");
    }
    assert!(!log.concat().contains(SECRET), "{log:#?}");
}

#[tokio::test]
async fn a_handler_that_panics_is_logged_in_one_line_of_the_human_format() {
    let log = log("human").await;
    let panics: Vec<&String> = log.iter().filter(|line| line.contains("a panic, which is a bug in pyapns")).collect();
    assert_eq!(panics.len(), 4, "{log:#?}");
    assert!(panics[0].contains("ERROR") && panics[0].contains("request_id=\"provisioning-1\""), "{log:#?}");
    assert!(!log.concat().contains(SECRET) && !log.concat().contains("panicked at"), "{log:#?}");
}
