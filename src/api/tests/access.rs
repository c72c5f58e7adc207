//! Tests of every route with every scope, and of the isolation between keys of different apps.

use super::*;
use crate::api::auth::key::{ApiKey, Digest, Keys, Scope};

const SECRET: &str = "s3cret";
/// The scope that each route requires, for reading and changing; `None` = none, `any` = a key of any scope.
const EXPECTED: [(&str, &str, &str); 20] = [
    ("/", "admin", "admin"),
    ("/apps", "apps:read", "apps:write"),
    ("/apps/{app_id}/{environment}", "apps:read", "apps:write"),
    ("/apps/{app_id}/{environment}/notifications", "send", "send"),
    ("/apps/{app_id}/{environment}/notifications/{id}", "send", "send"),
    ("/apps/{app_id}/{environment}/broadcasts", "send", "send"),
    ("/apps/{app_id}/{environment}/channels", "apps:read", "apps:write"),
    ("/apps/{app_id}/{environment}/channels/{id}", "apps:read", "apps:write"),
    ("/apps/{app_id}/{environment}/feedback", "feedback", "feedback"),
    ("/apps/{app_id}/{environment}/feedback/held", "feedback", "feedback"),
    ("/apps/{app_id}/{environment}/disconnections", "feedback", "feedback"),
    ("/metrics", "metrics", "metrics"),
    ("/healthz", "none", "none"),
    ("/readyz", "none", "none"),
    ("/openapi.json", "any", "any"),
    ("/cluster", "admin", "admin"),
    ("/cluster/owner", "admin", "admin"),
    ("/cluster/nodes/{node}", "admin", "admin"),
    ("/cluster/pins/{app_id}/{environment}/{lane}", "admin", "admin"),
    ("/cluster/registry", "admin", "admin"),
];

fn key(id: &str, scope: Scope) -> ApiKey {
    let digest = Digest::of(SECRET.as_bytes());
    ApiKey { id: id.parse().expect("an id"), digest, scopes: vec![scope], apps: None, expires_at: None }
}

fn name_of(scope: Scope) -> String {
    scope.as_str().replace(':', "-")
}

impl Client {
    /// Puts the node behind a guard.
    fn guarded(&self, keys: Option<Vec<ApiKey>>, exposure: Exposure) -> Self {
        let guard = Guard {
            keys: keys.map(|keys| Arc::new(Keys::new(keys))),
            exposure,
            browsers: None,
            clock: self.api.clock.clone(),
        };
        let metrics = Arc::new(Metrics::new(&telemetry::Metrics::new(), NOTIFICATIONS));
        Self { service: service(Arc::clone(&self.api), metrics, guard), api: Arc::clone(&self.api) }
    }

    async fn call_as(&self, id: &str, method: Method, path: &str) -> Answer {
        let shown = format!("Bearer {id}.{SECRET}");
        let request = HttpRequest::builder().method(method).uri(path).header("authorization", shown);
        self.send(request.body(Body::empty()).expect("a request")).await
    }
}

#[tokio::test]
async fn every_route_is_open_to_its_scope_and_to_admin_and_to_no_other() {
    let node = Client::provisioned().await;
    let client = node.guarded(Some(Scope::ALL.map(|scope| key(&name_of(scope), scope)).into()), Exposure::Whole);
    let mut seen = 0;
    for route in ROUTES.iter().map(|route| route.path) {
        seen += 1;
        let (_, reading, changing) = EXPECTED
            .into_iter()
            .find(|(path, ..)| *path == route)
            .unwrap_or_else(|| panic!("{route} is not in the table"));
        let path =
            route.replace("{app_id}", "com.example.app").replace("{environment}", "sandbox").replace("{id}", "1");
        let path = path.replace("{node}", "a").replace("{lane}", "0");
        for slash in ["", "/"] {
            let path = if path == "/" { path.clone() } else { format!("{path}{slash}") };
            for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE] {
                let wanted = if method.is_safe() { reading } else { changing };
                let without = client.call(method.clone(), &path, "").await;
                assert_eq!(without.status == 401, wanted != "none", "{method} {path} without a key: {}", without.text);
                for scope in Scope::ALL {
                    // Removing the app would change the other responses.
                    if method == Method::DELETE && wanted == "apps:write" && slash.is_empty() {
                        continue;
                    }
                    let answer = client.call_as(&name_of(scope), method.clone(), &path).await;
                    let allowed =
                        scope == Scope::Admin || wanted == scope.as_str() || wanted == "any" || wanted == "none";
                    let refused = answer.status == 401 || answer.status == 403;
                    assert_eq!(refused, !allowed, "{method} {path} with {scope}: {} {}", answer.status, answer.text);
                    if refused && method != Method::HEAD {
                        assert_eq!(error(&answer), (403, "scope_missing"));
                        assert_eq!(answer.body["args"], json!({"scope": wanted}));
                    }
                }
                if method == Method::DELETE {
                    node.post(APP, &pem()).await;
                }
            }
        }
    }
    assert_eq!(seen, EXPECTED.len());
}

#[tokio::test]
async fn a_caller_without_a_valid_key_is_refused_with_the_cause_before_its_body_is_read() {
    let node = Client::provisioned().await;
    let expired = ApiKey { expires_at: Some(testing::NOW), ..key("old", Scope::Send) };
    let client = node.guarded(Some(vec![key("shop", Scope::Send), expired]), Exposure::Whole);
    let table = [
        (None, "api_key_missing"),
        (Some("Bearer shop.wrong"), "api_key_unknown"),
        (Some("Bearer nobody.s3cret"), "api_key_unknown"),
        (Some("Digest shop.s3cret"), "api_key_unknown"),
        (Some("Bearer old.s3cret"), "api_key_expired"),
        // An expired key does not reveal if its secret is right.
        (Some("Bearer old.wrong"), "api_key_unknown"),
    ];
    for (header, reason) in table {
        let mut request = HttpRequest::post(format!("{APP}/notifications"));
        if let Some(header) = header {
            request = request.header("authorization", header);
        }
        let answer = client.send(request.body(Body::from("not even JSON")).expect("a request")).await;
        assert_eq!(error(&answer), (401, reason), "{header:?}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"pyapns\"");
        assert!(!answer.text.contains("s3cret") && !answer.text.contains("wrong"), "{}", answer.text);
    }
    assert_eq!(error(&client.get("/nowhere").await), (401, "api_key_missing"));
    assert_eq!(error(&client.call_as("shop", Method::GET, "/nowhere").await), (404, "no_such_path"));
}

#[tokio::test]
async fn a_key_for_some_apps_cannot_tell_a_foreign_app_from_an_absent_one() {
    let node = Client::provisioned().await;
    node.post("/apps/com.example.other/sandbox", &pem()).await;
    let own = Some(vec![AppId::new("com.example.app").expect("an id")]);
    let client = node.guarded(Some(vec![ApiKey { apps: own, ..key("shop", Scope::Admin) }]), Exposure::Whole);
    assert_eq!(client.call_as("shop", Method::GET, APP).await.status, 200);
    assert_eq!(error(&client.call_as("shop", Method::GET, "/apps/com.example.app/production").await).0, 404);

    let listed = client.call_as("shop", Method::GET, "/apps").await;
    let names: Vec<_> = listed.body["response"].as_array().expect("a list").iter().map(|app| &app["app_id"]).collect();
    assert_eq!(names, ["com.example.app"]);

    let mut told = Vec::new();
    for app in ["com.example.other", "com.example.absent", "com%2Eexample%2Eother", "com.example.app2", "com.example"] {
        for (method, below) in
            [(Method::GET, ""), (Method::DELETE, ""), (Method::POST, "/notifications"), (Method::GET, "/feedback")]
        {
            let mut answer = client.call_as("shop", method, &format!("/apps/{app}/sandbox{below}")).await;
            assert_eq!(error(&answer), (403, "app_forbidden"), "{app}{below}");
            answer.headers.remove("x-request-id");
            told.push((answer.text, answer.headers));
        }
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
}

#[tokio::test]
async fn a_metrics_key_for_some_apps_sees_no_series_of_another() {
    let node = Client::provisioned().await;
    node.api.registry.watch(&node.api.telemetry);
    node.post("/apps/com.example.app2/sandbox", &pem()).await;
    let own = ApiKey { apps: Some(vec![AppId::new("com.example.app").expect("an id")]), ..key("own", Scope::Metrics) };
    let client = node.guarded(Some(vec![key("all", Scope::Metrics), own]), Exposure::Whole);
    let apps = async |id: &str| {
        let text = client.call_as(id, Method::GET, "/metrics").await.text;
        assert!(text.contains("\npyapns_build_info{"), "what is of no app is shown");
        let apps = ["com.example.app", "com.example.app2"];
        apps.into_iter().filter(|app| text.contains(&format!("\"{app}\""))).collect::<Vec<_>>()
    };
    assert_eq!(apps("own").await, ["com.example.app"]);
    assert_eq!(apps("all").await, ["com.example.app", "com.example.app2"]);
    assert_eq!(apps("own").await, ["com.example.app"], "also after others were answered");
}

#[tokio::test]
async fn a_metrics_key_for_some_apps_does_not_see_the_series_of_all_other_apps_together() {
    let node = Client::provisioned().await;
    let id = |text: &str| AppId::new(text).expect("an id");
    let told = node.api.intake.told();
    for app in ["other", "com.example.app"] {
        told.reject(&AppKey::new(id(app), Environment::Sandbox), ["expired"].into_iter());
    }
    let own = ApiKey { apps: Some(vec![id("com.example.app"), id("other")]), ..key("own", Scope::Metrics) };
    let client = node.guarded(Some(vec![key("all", Scope::Metrics), own]), Exposure::Whole);
    let series = "pyapns_app_notifications_total{app_id=\"other\"";
    let sees = async |id: &str| {
        let text = client.call_as(id, Method::GET, "/metrics").await.text;
        (text.contains(series), text.contains(&series.replace("\"other\"", "\"com.example.app\"")))
    };
    assert_eq!(sees("all").await, (true, true));
    assert_eq!(sees("own").await, (false, true), "an app of this name has no series of its own");
}

#[tokio::test]
async fn with_an_admin_listener_the_public_one_neither_provisions_nor_shows_metrics() {
    let node = Client::provisioned().await;
    let client = node.guarded(None, Exposure::Public);
    for (method, path) in [
        (Method::POST, APP),
        (Method::DELETE, APP),
        (Method::GET, "/metrics"),
        (Method::GET, "/cluster"),
        (Method::POST, "/cluster/owner"),
        (Method::POST, "/cluster/nodes/a"),
        (Method::PUT, "/cluster/pins/com.example.app/sandbox/0"),
        (Method::DELETE, "/cluster/pins/com.example.app/sandbox/0"),
        (Method::GET, "/"),
    ] {
        assert_eq!(error(&client.call(method, path, "").await), (403, "admin_listener_only"), "{path}");
    }
    for path in ["/healthz", "/apps", APP, "/apps/com.example.app/sandbox/feedback"] {
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
    assert_eq!(client.post(&format!("{APP}/notifications"), "[]").await.status, 201);
}
