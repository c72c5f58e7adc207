//! Tests of the calls about a cluster, as one member answers them.

use super::*;
use crate::api::auth::key::{ApiKey, Digest, Keys, Scope};
use crate::cluster::{Member, MemberState, Pins, Standing, View};
use crate::delivery::peer::peers::tests as peers;
use crate::model::NodeSession;
use crate::store::members::{Beat, Heard, Members, PINS_MAX, Pin, Pinned, Session};
use crate::store::{Pending, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use tokio::sync::watch;

const PIN: &str = "/cluster/pins/com.example.app/sandbox/0";
const OWNER: &str = r#"{"app_id":"com.example.app","environment":"sandbox"}"#;

/// A store of decisions that answers with this.
struct Decisions(Mutex<Result<Pinned, StoreError>>);

impl Members for Decisions {
    fn beat(&self, _: Beat) -> Pending<'_, Heard> {
        Box::pin(async { Err(StoreError::NotShared) })
    }

    fn leave(&self, _: crate::model::NodeName, _: Session) -> Pending<'_, bool> {
        Box::pin(async { Ok(false) })
    }

    fn pin(&self, _: Pin) -> Pending<'_, Pinned> {
        let mut next = self.0.lock().expect("no panic");
        let answer = std::mem::replace(&mut *next, Ok(Pinned::Same));
        Box::pin(async { answer })
    }

    fn unpin(&self, _: Pin) -> Pending<'_, bool> {
        Box::pin(async { Ok(true) })
    }
}

/// The API of the member `a`; the other one is `b`, which cannot be reached.
pub(super) async fn clustered() -> Api {
    clustered_over(Ok(Pinned::Changed), Pins::default()).await
}

/// The same, with the next answer of the store and these decisions. The app's only lane is pinned to `b`.
async fn clustered_over(next: Result<Pinned, StoreError>, pins: Pins) -> Api {
    let (api, drain) = (api(Limits::default(), telemetry::Metrics::new()).await, Drain::new());
    let lanes = peers::lanes(&drain);
    let peers = peers::peers_over(Arc::clone(&lanes), &drain);
    let member = |node: &str, session| Member {
        node: node.parse().expect("a name"),
        session: NodeSession::from_bits(session),
        address: "127.0.0.1:1".to_owned(),
        weight: 1,
        state: MemberState::Active,
    };
    let key = AppKey::new(AppId::new("com.example.app").expect("an id"), Environment::Sandbox);
    let lane = BTreeMap::from([(0, "b".parse().expect("a name"))]);
    let pins = Pins { lanes: BTreeMap::from([(key, lane)]), ..pins };
    peers.set_view(&Arc::new(View::of([member("a", 1), member("b", 2)], pins)));
    let limits = delivery::intake::Limits { node_bytes: 1 << 20, app_bytes: 1 << 20 };
    let intake = Arc::new(Intake::new(lanes, limits).with_peers(Arc::clone(&peers)));
    let decisions: Arc<dyn Members> = Arc::new(Decisions(Mutex::new(next)));
    let standing = watch::Sender::new(Standing::default()).subscribe();
    let cluster = Some(ClusterAccess { peers, standing, decisions: Some(decisions) });
    Api { intake, cluster, ..api }
}

#[tokio::test]
async fn a_node_that_is_in_no_cluster_says_so() {
    let client = Client::provisioned().await;
    for (method, path, body) in [
        (Method::GET, "/cluster", ""),
        (Method::GET, "/cluster?format=haproxy", ""),
        (Method::POST, "/cluster/owner", OWNER),
        (Method::POST, "/cluster/nodes/a", r#"{"action":"cordon"}"#),
        (Method::PUT, PIN, r#"{"node":"a"}"#),
        (Method::DELETE, PIN, ""),
    ] {
        assert_eq!(error(&client.call(method, path, body).await), (409, "not_clustered"), "{path}");
    }
}

#[tokio::test]
async fn a_lane_of_an_owner_that_cannot_be_reached_names_the_owner_the_substitute_and_the_reason() {
    let client = Client::of(clustered().await);
    client.post(APP, &pem()).await;
    let answer = client.post("/cluster/owner", OWNER).await;
    let lane = json!({"lane": 0, "owner": "b", "substitute": "a", "why": "pin"});
    assert_eq!(answer.body["response"]["lanes"], json!([lane]), "{}", answer.text);
    let cluster = client.get("/cluster").await;
    let link = json!({"node": "b", "reachable": false, "round_trip_seconds": null, "in_flight": 0});
    assert_eq!(cluster.body["response"]["links"], json!([link]), "{}", cluster.text);
    let map = client.get("/cluster?format=haproxy").await;
    assert_eq!(map.text, "com.example.app/sandbox a\n", "the node that sends now");

    let all = BTreeSet::from(["a", "b"].map(|node| node.parse().expect("a name")));
    let client = Client::of(clustered_over(Ok(Pinned::Changed), Pins { cordoned: all, ..Pins::default() }).await);
    client.post("/apps/com.example.other/sandbox", &pem()).await;
    let answer = client.post("/cluster/owner", &OWNER.replace("example.app", "example.other")).await;
    let lane = json!({"lane": 0, "owner": null, "substitute": null, "why": "no_owner"});
    assert_eq!(answer.body["response"]["lanes"], json!([lane]), "{}", answer.text);
}

#[tokio::test]
async fn a_decision_that_the_store_does_not_take_is_refused_with_the_reason() {
    let away = || StoreError::Away { address: "redis".to_owned(), cause: "down".to_owned() };
    for (next, expected) in [(Err(away()), (503, "store_away")), (Ok(Pinned::Full), (507, "pins_full"))] {
        let client = Client::of(clustered_over(next, Pins::default()).await);
        let answer = client.post("/cluster/nodes/b", r#"{"action":"cordon"}"#).await;
        assert_eq!(error(&answer), expected, "{PINS_MAX} at most");
    }
    let client = Client::of(clustered().await);
    client.post(APP, &pem()).await;
    for (method, path, body, expected) in [
        (Method::POST, "/cluster/nodes/c", r#"{"action":"cordon"}"#, (404, "unknown_node")),
        (Method::POST, "/cluster/nodes/a%20b", r#"{"action":"uncordon"}"#, (404, "unknown_node")),
        (Method::POST, "/cluster/nodes/b", r#"{"action":"drain"}"#, (400, "wrong_type")),
        (Method::PUT, PIN, r#"{"node":"c"}"#, (404, "unknown_node")),
        (Method::PUT, PIN, "{}", (400, "wrong_type")),
        (Method::PUT, &PIN.replace("/0", "/1"), r#"{"node":"b"}"#, (404, "unknown_lane")),
        (Method::PUT, &PIN.replace("/0", "/-1"), r#"{"node":"b"}"#, (404, "unknown_lane")),
        (Method::DELETE, &PIN.replace("/0", "/x"), "", (404, "unknown_lane")),
        (Method::PUT, &PIN.replace("app/", "absent/"), r#"{"node":"b"}"#, (404, "unknown_app")),
        (Method::PUT, &PIN.replace("sandbox", "staging"), r#"{"node":"b"}"#, (404, "unknown_environment")),
        (Method::POST, "/cluster/owner", &OWNER.replace("}", r#","token":"xy"}"#), (400, "token_not_hex")),
        (Method::POST, "/cluster/owner", r#"{"environment":"sandbox"}"#, (400, "wrong_type")),
        (Method::POST, "/cluster/owner", &OWNER.replace("example.app", "absent"), (404, "unknown_app")),
        (Method::GET, "/cluster?format=xml", "", (400, "bad_parameter")),
    ] {
        let answer = client.call(method, path, body).await;
        assert_eq!(error(&answer), expected, "{path} {body}");
    }
    // A node that is gone for good can be uncordoned, and a lane that is no more can be unpinned.
    for (method, path) in [(Method::POST, "/cluster/nodes/c"), (Method::DELETE, "/cluster/pins/gone/sandbox/9")] {
        assert_eq!(client.call(method, path, r#"{"action":"uncordon"}"#).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn an_admin_key_for_some_apps_sees_and_pins_only_these_and_cordons_no_node() {
    let api = clustered().await;
    let apps = Some(vec![AppId::new("com.example.other").expect("an id")]);
    let key = ApiKey {
        id: "own".parse().expect("an id"),
        digest: Digest::of(b"s3cret"),
        scopes: vec![Scope::Admin],
        apps,
        expires_at: None,
    };
    let open = Client::of(api);
    for app in [APP, "/apps/com.example.other/sandbox"] {
        assert_eq!(open.post(app, &pem()).await.status, 201);
    }
    let guard = Guard {
        keys: Some(Arc::new(Keys::new([key]))),
        exposure: Exposure::Whole,
        browsers: None,
        clock: open.api.clock.clone(),
    };
    let metrics = Arc::new(Metrics::new(&telemetry::Metrics::new(), NOTIFICATIONS));
    let client = Client { service: service(Arc::clone(&open.api), metrics, guard), api: Arc::clone(&open.api) };
    let call = async |method: Method, path: &str, body: &str| {
        let request = HttpRequest::builder().method(method).uri(path).header("authorization", "Bearer own.s3cret");
        client.send(request.body(Body::from(body.to_owned())).expect("a request")).await
    };
    assert_eq!(open.get("/cluster").await.body["response"]["pins"].as_array().map(Vec::len), Some(1));
    assert_eq!(call(Method::GET, "/cluster", "").await.body["response"]["pins"], json!([]));
    let map = call(Method::GET, "/cluster?format=haproxy", "").await.text;
    assert!(map.starts_with("com.example.other/sandbox ") && map.lines().count() == 1, "{map}");
    let forbidden = (403, "app_forbidden");
    assert_eq!(error(&call(Method::POST, "/cluster/owner", OWNER).await), forbidden);
    assert_eq!(error(&call(Method::PUT, PIN, r#"{"node":"b"}"#).await), forbidden);
    assert_eq!(error(&call(Method::DELETE, PIN, "").await), forbidden);
    assert_eq!(error(&call(Method::POST, "/cluster/nodes/b", r#"{"action":"cordon"}"#).await), forbidden);
    let accept = call(Method::POST, "/cluster/registry", r#"{"action":"accept"}"#).await;
    assert_eq!(error(&accept), forbidden, "it concerns the apps of others");
    let other = PIN.replace("example.app", "example.other");
    assert_eq!(call(Method::PUT, &other, r#"{"node":"b"}"#).await.status, 200);
}
