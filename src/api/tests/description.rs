//! Tests that the API description and the code have the same routes, parameters, fields and values. `Client::send`
//! compares every answer of the other tests with the description.

use super::api_description::{compare, fields, file, resolve};
use super::*;
use crate::api::auth::Need;
use crate::api::auth::key::{ApiKey, Digest, Keys, Scope};
use crate::api::routes::description::DESCRIPTION;
use crate::cluster::MemberState;
use crate::delivery::bound::Bound;
use crate::delivery::peer::peers::shown::Why;
use crate::events::guard::BadTokenSpike;
use crate::health::{Cause, Component, Detail};
use crate::http::browser::BrowserPolicy;
use crate::model::{AppleReason, NodeReason, OutcomeKind, PushType};
use crate::store::{CopyState, Epoch, Pending, Recovery};
use std::collections::BTreeSet;

/// An operation of the description.
struct Described {
    method: String,
    path: &'static str,
    operation: &'static Value,
    /// The parameters of the path and of the operation.
    parameters: Vec<&'static Value>,
}

fn described() -> Vec<Described> {
    let mut all = Vec::new();
    for (path, item) in file()["paths"].as_object().expect("paths") {
        let shared = item["parameters"].as_array();
        for (method, operation) in item.as_object().expect("an item").iter().filter(|(name, _)| *name != "parameters") {
            let own = operation["parameters"].as_array();
            let parameters = shared.into_iter().chain(own).flatten().map(resolve).collect();
            all.push(Described { method: method.to_uppercase(), path, operation, parameters });
        }
    }
    all
}

impl Described {
    fn named(&self, place: &str) -> BTreeSet<String> {
        let there = self.parameters.iter().filter(|one| one["in"] == place);
        there.map(|one| text(&one["name"]).to_owned()).collect()
    }

    /// The path for the tests' app.
    fn path(&self) -> String {
        let path = self.path.replace("{app_id}", "com.example.app").replace("{environment}", "sandbox");
        path.replace("{node}", "a").replace("{lane}", "0").replace("{id}", "abcd")
    }

    /// The schema of a request in JSON.
    fn request(&self) -> Option<&'static Value> {
        self.operation.pointer("/requestBody/content/application~1json/schema")
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// The texts of a list of values.
fn listed(pointer: &str) -> BTreeSet<String> {
    let list = file().pointer(pointer).and_then(Value::as_array).unwrap_or_else(|| panic!("{pointer} is a list"));
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn set<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str) -> BTreeSet<String> {
    all.iter().map(|one| name(*one).to_owned()).collect()
}

/// The roles of an operation that needs this access.
fn security(need: Need) -> Value {
    match need {
        Need::Nothing => json!([]),
        Need::AnyKey => json!([{}, {"apiKey": []}]),
        Need::Scope(scope) => json!([{}, {"apiKey": [scope.as_str()]}]),
    }
}

#[test]
fn the_description_has_exactly_the_routes_of_the_table_with_their_scopes() {
    let in_file = described().into_iter().map(|Described { method, path, operation, .. }| {
        let (id, summary) = (text(&operation["operationId"]), text(&operation["summary"]));
        (format!("{method} {path}"), id.to_owned(), summary.to_owned(), operation["security"].to_string())
    });
    let reserved = file()["x-reserved-paths"].as_object().expect("paths").iter().map(|(path, one)| {
        let (id, summary) = (text(&one["operationId"]), text(&one["summary"]));
        (format!("* {path}"), id.to_owned(), summary.to_owned(), String::new())
    });
    let in_table = ROUTES.iter().flat_map(|route| route.operations.iter().map(move |operation| (route, operation)));
    let in_table = in_table.map(|(route, operation)| {
        let call = format!("{} {}", operation.method, route.path);
        let need = operation.method.parse().map_or(Need::Nothing, |method| route.need(&method));
        let security = if operation.method == "*" { String::new() } else { security(need).to_string() };
        (call, operation.id.to_owned(), operation.summary.to_owned(), security)
    });
    let (in_file, in_table): (BTreeSet<_>, BTreeSet<_>) = (in_file.chain(reserved).collect(), in_table.collect());
    let (extra, missing) = (in_file.difference(&in_table), in_table.difference(&in_file));
    let (extra, missing): (Vec<_>, Vec<_>) = (extra.collect(), missing.collect());
    assert!(extra.is_empty() && missing.is_empty(), "only in the file: {extra:#?}; only in the table: {missing:#?}");
}

#[test]
fn the_description_has_exactly_the_parameters_of_each_path() {
    for one in described() {
        let in_path = one.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        assert_eq!(one.named("path"), in_path.map(str::to_owned).collect(), "{} {}", one.method, one.path);
    }
}

/// The known names in the refusal of an unknown field or parameter.
fn known(answer: &Answer, reason: &str) -> BTreeSet<String> {
    let known = answer.body["args"]["known"].as_array().filter(|_| answer.body["reason"] == reason);
    known.into_iter().flatten().map(|name| text(name).to_owned()).collect()
}

#[tokio::test]
async fn the_description_has_exactly_the_parameters_that_each_call_knows() {
    let client = Client::provisioned().await;
    for one in described() {
        let path = format!("{}?unknown=1", one.path());
        let answer = client.call(one.method.parse().expect("a method"), &path, "").await;
        assert_eq!(known(&answer, "unknown_parameter"), one.named("query"), "{} {path}: {}", one.method, answer.text);
    }
}

#[tokio::test]
async fn the_description_has_exactly_the_fields_that_each_request_may_have() {
    for one in described() {
        // A call may have removed the app.
        let client = Client::provisioned().await;
        let answer = client.call(one.method.parse().expect("a method"), &one.path(), r#"{"unknown": 1}"#).await;
        let names = one.request().map(fields).unwrap_or_default();
        let names = names.iter().filter_map(|field| Some(field.split_once('.')?.1.to_owned())).collect();
        assert_eq!(known(&answer, "unknown_field"), names, "{} {}: {}", one.method, one.path, answer.text);
    }
}

#[test]
fn no_object_of_a_request_has_more_fields_than_described() {
    let (mut objects, mut rest) = (0, described().iter().filter_map(Described::request).collect::<Vec<_>>());
    while let Some(schema) = rest.pop().map(resolve) {
        if schema["properties"].is_object() {
            objects += 1;
            assert_eq!(schema["additionalProperties"], false, "{schema}");
        }
        rest.extend(schema["oneOf"].as_array().into_iter().flatten().chain(schema.get("items")));
    }
    assert!(objects >= 5, "the walk finds the objects: {objects}");
}

#[test]
fn the_description_lists_exactly_the_values_that_the_code_knows() {
    let values = |schema: &str, list: &str| listed(&format!("/components/schemas/{schema}/{list}"));
    assert_eq!(values("Environment", "enum"), set(&Environment::ALL, Environment::as_str));
    assert_eq!(values("PushType", "enum"), set(&PushType::ALL, PushType::as_str));
    assert_eq!(values("OutcomeKind", "enum"), set(&OutcomeKind::ALL, OutcomeKind::as_str));
    assert_eq!(values("AppleReason", "x-extensible-enum"), set(AppleReason::ALL, AppleReason::as_str));
    assert_eq!(values("NodeReason", "x-extensible-enum"), set(NodeReason::ALL, NodeReason::as_str));
    let component = values("DegradedComponent", "properties/what/x-extensible-enum");
    assert_eq!(component, set(&Component::ALL, Component::as_str));
    assert_eq!(values("LaneOwner", "properties/why/x-extensible-enum"), set(&Why::ALL, Why::as_str));
    assert_eq!(values("MemberState", "x-extensible-enum"), set(&MemberState::ALL, MemberState::as_str));
    assert_eq!(values("App", "properties/bound_by/x-extensible-enum"), set(&Bound::ALL, Bound::as_str));
}

#[tokio::test]
async fn the_description_is_served_and_has_the_version_of_the_program() {
    let answer = Client::new().await.get("/openapi.json").await;
    assert_eq!((answer.status, answer.text.as_str()), (200, DESCRIPTION));
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/json");
    assert_eq!(answer.body["info"]["version"], env!("CARGO_PKG_VERSION"), "in src/api/openapi.json");
    assert_eq!(answer.body["openapi"], "3.1.0");
}

/// The fields of answers that tests have seen.
#[derive(Default)]
struct Seen(BTreeSet<String>);

impl Seen {
    fn add(&mut self, method: &str, path: &str, answer: &Answer) {
        let kind = answer.headers[header::CONTENT_TYPE].as_bytes();
        let compared = compare(method, path, answer.status, kind, answer.text.as_bytes());
        assert_eq!(compared.faults, [""; 0], "{method} {path}");
        self.0.extend(compared.fields);
    }

    async fn get(&mut self, client: &Client, path: &str) {
        self.add("GET", path, &client.get(path).await);
    }

    async fn post(&mut self, client: &Client, path: &str, body: &str) {
        self.add("POST", path, &client.post(path, body).await);
    }

    async fn delete(&mut self, client: &Client, path: &str) {
        self.add("DELETE", path, &client.delete(path).await);
    }

    async fn request(&mut self, client: &Client, request: axum::http::request::Builder, body: &str) {
        let request = request.body(Body::from(body.to_owned())).expect("a request");
        let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
        self.add(&method, &path, &client.send(request).await);
    }
}

/// Every field that an answer can have, by the description.
fn fields_of_answers() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for one in described() {
        for response in one.operation["responses"].as_object().expect("answers").values() {
            let contents = resolve(response)["content"].as_object().into_iter().flatten();
            contents.for_each(|(_, content)| all.extend(fields(&content["schema"])));
        }
    }
    all
}

/// Answers with all lists, quarantines and readiness.
async fn see_records(seen: &mut Seen, client: &Client) {
    let app = bad("").app;
    let offending = r#"{"type":"notification","expiry":null,"identifier":null,"payload":{},"token":"00"}"#.to_owned();
    let failed = Disconnection { offending_notification: Some(offending), ..disconnection() };
    let events = &client.api.events;
    events
        .record(records(vec![Feedback { reason: "Unregistered".to_owned(), ..bad("aa") }], vec![failed]))
        .await
        .unwrap();
    events.guard_of(&app);
    events.quarantine(&app, BadTokenSpike { suspects: 60, answers: 100 }, 7.5).await.unwrap();
    for path in ["", "/feedback", "/feedback/held", "/disconnections"] {
        seen.get(client, &format!("{APP}{path}")).await;
    }
    seen.post(client, &format!("{APP}/feedback/held"), r#"{"action":"drop"}"#).await;
    let through = client.get(&format!("{APP}/feedback")).await.body["cursor"].as_str().expect("a cursor").to_owned();
    seen.delete(client, &format!("{APP}/feedback?through={through}")).await;
    for path in ["/apps", "/healthz", "/readyz", "/openapi.json"] {
        seen.get(client, path).await;
    }
    client.api.drain.begin();
    let cause = Cause { reason: "store_away", why: "it is away" };
    for (component, detail) in
        [(Component::RegistryCopy, Detail::AsOf(1.5)), (Component::CredentialKeys, Detail::Key([7; 8]))]
    {
        client.api.health.degrade_with(component, cause, Some(detail), "");
    }
    seen.get(client, "/readyz").await;
}

/// The recovery of a node that has no copy of a shared store.
struct NoCopy;

impl Recovery for NoCopy {
    fn copy_state(&self) -> Pending<'_, Option<CopyState>> {
        Box::pin(async { Ok(None) })
    }

    fn copied(&self, _: Option<AppKey>, _: usize) -> Pending<'_, Vec<crate::store::AppRecord>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn restore_entries(&self) -> Pending<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn restore_check(&self, _: Vec<u8>) -> Pending<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn succeed(&self, present: Epoch, _: Epoch) -> Pending<'_, Epoch> {
        Box::pin(async move { Ok(present) })
    }
}

/// The answer of a node whose shared store has lost nothing.
async fn see_recovery(seen: &mut Seen) {
    let api = api(Limits::default(), telemetry::Metrics::new()).await;
    let (store, keyring) = (Arc::new(crate::store::Memory::new()), Keyring::of([[7; 32]]));
    let loaded = Registry::load_with_copy(store, Arc::new(NoCopy), keyring, api.clock.clone(), Drain::new()).await;
    let client = Client::of(Api { registry: loaded.expect("an empty store").registry, ..api });
    seen.post(&client, "/cluster/registry", r#"{"action":"accept"}"#).await;
}

/// The answers of a member of a cluster.
async fn see_cluster(seen: &mut Seen) {
    let client = Arc::new(Client::of(cluster::clustered().await));
    seen.post(&client, APP, &pem()).await;
    let waiting = Arc::clone(&client);
    let path = format!("{APP}/notifications?timeout=1");
    let sent = tokio::spawn(async move { waiting.post(&path, r#"{"token":"00","payload":{}}"#).await });
    while client.api.cluster().expect("a cluster").peers.all_held().is_empty() {
        tokio::task::yield_now().await;
    }
    for path in ["/cluster", "/cluster?format=haproxy"] {
        seen.get(&client, path).await;
    }
    assert_eq!(sent.await.expect("an answer").status, 201);
    seen.post(&client, "/cluster/owner", r#"{"app_id":"com.example.app","environment":"sandbox"}"#).await;
    for node in ["b", "nobody"] {
        seen.post(&client, &format!("/cluster/nodes/{node}"), r#"{"action":"cordon"}"#).await;
    }
    let pin = "/cluster/pins/com.example.app/sandbox/0";
    seen.add("PUT", pin, &client.call(Method::PUT, pin, r#"{"node":"b"}"#).await);
    seen.delete(&client, pin).await;
}

/// The answers of calls of channels, and of broadcasts.
async fn see_channels(seen: &mut Seen) {
    let client = channels::client(channels::done).await;
    let (path, policy) = (format!("{APP}/channels"), r#"{"message_storage_policy":1}"#);
    seen.post(&client, &path, policy).await;
    seen.get(&client, &path).await;
    seen.get(&client, &format!("{path}/abcd")).await;
    seen.delete(&client, &format!("{path}/abcd")).await;
    let broadcasts = format!("{APP}/broadcasts");
    seen.post(&client, &broadcasts, r#"[{"channel":"abcd","payload":{}}]"#).await;
    let refused = channels::client(|_| channels::rejected(400, AppleReason::BadChannelId.into())).await;
    seen.get(&refused, &format!("{path}/abcd")).await;
    seen.post(&refused, &broadcasts, r#"{"channel":"abcd","payload":{}}"#).await;
    let lost = channels::client(|_| channels::unknown(NodeReason::ConnectionLost)).await;
    seen.post(&lost, &path, policy).await;
}

/// Errors with all arguments.
async fn see_errors(seen: &mut Seen, client: &Client) {
    let notifications = format!("{APP}/notifications");
    for body in [
        "{\n",
        r#"[{"token":"xy","payload":{}},{"token":"00"}]"#,
        r#"{"tokens":["00","xy"],"payload":{}}"#,
        r#"{"token":"00","payload":{},"unknown":1}"#,
    ] {
        seen.post(client, &notifications, body).await;
    }
    seen.post(client, &notifications, &format!("[{}]", [r#"{"token":"00","payload":{}}"#; 4].join(","))).await;
    for path in ["/apps?unknown=1", "/apps/a/sandbox", "/apps/a/staging", "/nowhere"] {
        seen.get(client, path).await;
    }
    seen.add("PATCH", "/apps", &client.call(Method::PATCH, "/apps", "").await);
    let several = [
        testing::Recipe::default().pem(),
        testing::Recipe { uid: Some("com.example.b"), ..testing::Recipe::default() }.pem(),
    ];
    seen.post(client, APP, &several.concat()).await;
    let other =
        testing::Recipe { sandbox: false, production: false, name: Some("Other"), ..testing::Recipe::default() }.pem();
    seen.post(client, APP, &other).await;
    seen.request(client, HttpRequest::delete(APP).header("if-match", "\"7\""), "").await;
}

/// Refusals of callers and browsers.
async fn see_refused_callers(seen: &mut Seen, client: &Client) {
    let digest = Digest::of(b"s3cret");
    let key =
        ApiKey { id: "a".parse().expect("an id"), digest, scopes: vec![Scope::Send], apps: None, expires_at: None };
    let clock = client.api.clock.clone();
    let guard = Guard { keys: Some(Arc::new(Keys::new([key]))), exposure: Exposure::Whole, browsers: None, clock };
    let keyed = client.behind(guard.clone());
    seen.request(&keyed, HttpRequest::get("/apps").header("authorization", "Bearer a.s3cret"), "").await;
    let browsers = Some(Arc::new(BrowserPolicy::new(None, Vec::new(), false)));
    let open = client.behind(Guard { keys: None, browsers, ..guard });
    seen.request(&open, HttpRequest::get("/apps").header("host", "rebound.example"), "").await;
    seen.request(&open, HttpRequest::get("/apps").header("host", "localhost").header("origin", "http://a.example"), "")
        .await;
}

impl Client {
    fn behind(&self, guard: Guard) -> Self {
        let metrics = Arc::new(Metrics::new(&telemetry::Metrics::new(), NOTIFICATIONS));
        Self { service: service(Arc::clone(&self.api), metrics, guard), api: Arc::clone(&self.api) }
    }
}

#[tokio::test(start_paused = true)]
async fn every_field_of_an_answer_in_the_description_is_in_an_answer_of_the_code() {
    let mut seen = Seen::default();
    let client = Client::new().await;
    seen.post(&client, APP, &pem()).await;
    let stream =
        HttpRequest::post(format!("{APP}/notifications?timeout=1")).header("content-type", "application/x-ndjson");
    seen.request(&client, stream, "{\"token\":\"00\",\"payload\":{}}\n{\"token\":\"xy\",\"payload\":{}}\n").await;
    seen.post(&client, &format!("{APP}/notifications?timeout=1"), r#"[{"token":"00","payload":{}}]"#).await;
    see_errors(&mut seen, &client).await;
    see_refused_callers(&mut seen, &client).await;
    seen.post(&client, "/apps/b/production", "{}").await;
    seen.delete(&client, APP).await;
    seen.post(&client, APP, &pem()).await;
    see_records(&mut seen, &client).await;
    see_recovery(&mut seen).await;
    see_cluster(&mut seen).await;
    see_channels(&mut seen).await;
    let never: Vec<_> = fields_of_answers().difference(&seen.0).cloned().collect();
    assert_eq!(never, [""; 0], "in src/api/openapi.json, and in no answer of this test");
}

#[test]
fn an_answer_with_another_field_or_value_is_a_fault() {
    let app = json!({"type": "app", "app_id": "a", "environment": "staging", "colour": "red"});
    let answer = json!({"response": app, "code": 201});
    let compared = compare("DELETE", "/apps/a/sandbox/", 200, b"application/json", answer.to_string().as_bytes());
    let faults = compared.faults.join("; ");
    for part in ["`code` is not", "`colour` is not described", "\"staging\" is not in the list"] {
        assert!(faults.contains(part), "{faults}");
    }
    let short = compare("GET", "/healthz", 200, b"application/json", br#"{"response":{"type":"health"},"code":200}"#);
    assert_eq!(short.faults, ["Health: the field `status` is missing"]);
    assert_eq!(compare("GET", "/healthz", 200, b"text/html", b"").faults.len(), 1);
}
