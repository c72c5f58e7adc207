//! Calls of channels and broadcasts through the service, with every result that Apple and the network can cause.

use super::*;
use crate::apns::channels::{Call, Channel, Reply};
use crate::delivery::Sending;
use crate::delivery::calls::{CallRefused, CallResult, CallResults};
use crate::model::{AppleReason, ChannelId, NodeReason, Outcome, OutcomeKind, Reason};
use crate::registry::App;

/// Makes calls without Apple.
pub(super) struct Scripted(pub fn(&Call) -> CallResult);

impl Caller for Scripted {
    fn call(&self, _: Arc<App>, calls: Vec<Call>, _: Sending) -> Result<CallResults, CallRefused> {
        let results: Vec<_> = calls.iter().map(self.0).collect();
        Ok(Box::pin(async move { results }))
    }
}

/// A node with the app, whose calls have these results.
pub(super) async fn client(script: fn(&Call) -> CallResult) -> Client {
    let api = api(Limits::default(), telemetry::Metrics::new()).await;
    let client = Client::of(Api { caller: Arc::new(Scripted(script)), ..api });
    assert_eq!(client.post(APP, &pem()).await.status, 201);
    client
}

fn result(kind: OutcomeKind, status: Option<u16>, reason: Option<Reason>) -> CallResult {
    let outcome = Outcome { kind, status, reason, timestamp: 7.5, attempts: 1 };
    CallResult { outcome, reply: None, detail: None }
}

/// The result of a call that Apple did.
pub(super) fn done(call: &Call) -> CallResult {
    let id = || ChannelId::parse("a+b/").expect("an id");
    let reply = match call {
        Call::Create(_) => Reply::Created(id()),
        Call::Read(_) => Reply::Channel(Channel { message_storage_policy: 1, push_type: "liveactivity".to_owned() }),
        Call::List => Reply::Channels(["cccc", "aaaa", "bbbb"].map(|id| ChannelId::parse(id).expect("an id")).into()),
        Call::Delete(_) | Call::Broadcast(_) => Reply::Done,
    };
    CallResult { reply: Some(reply), ..result(OutcomeKind::Accepted, Some(200), None) }
}

pub(super) fn rejected(status: u16, reason: Reason) -> CallResult {
    result(OutcomeKind::Rejected, Some(status), Some(reason))
}

pub(super) fn unknown(reason: NodeReason) -> CallResult {
    result(OutcomeKind::Unknown, None, Some(reason.into()))
}

const POLICY: &str = r#"{"message_storage_policy":1}"#;

#[tokio::test]
async fn a_list_is_sorted_and_has_pages() {
    let client = client(done).await;
    let ids = |answer: &Answer| -> Vec<String> {
        let list = answer.body["response"].as_array().expect("a list").iter();
        list.map(|channel| channel["id"].as_str().expect("an id").to_owned()).collect()
    };
    let all = client.get(&format!("{APP}/channels")).await;
    assert_eq!((ids(&all), &all.body["cursor"]), (vec!["aaaa".into(), "bbbb".into(), "cccc".into()], &json!("cccc")));
    let first = client.get(&format!("{APP}/channels?limit=2")).await;
    assert_eq!((ids(&first), &first.body["cursor"]), (vec!["aaaa".into(), "bbbb".into()], &json!("bbbb")));
    let rest = client.get(&format!("{APP}/channels?limit=2&cursor=bbbb")).await;
    assert_eq!((ids(&rest), &rest.body["cursor"]), (vec!["cccc".into()], &json!("cccc")));
    let end = client.get(&format!("{APP}/channels?limit=2&cursor=cccc")).await;
    assert_eq!((ids(&end).len(), &end.body["cursor"]), (0, &json!("cccc")));
}

#[tokio::test]
async fn an_id_in_the_path_is_read_in_either_alphabet() {
    let client = client(done).await;
    for id in ["a-b_", "a%2Bb%2F", "a+b%2f", "a%2Db%5F"] {
        for path in [format!("{APP}/channels/{id}"), format!("{APP}/channels/{id}/")] {
            let shown = client.get(&path).await;
            assert_eq!((shown.status, &shown.body["response"]["id"]), (200, &json!("a+b/")), "{path}");
        }
        let deleted = client.delete(&format!("{APP}/channels/{id}")).await;
        assert_eq!(deleted.body["response"], json!({"type": "channel", "id": "a+b/"}), "{id}");
    }
    for (id, reason) in [("a%20b", "bad_channel"), ("x", "bad_channel"), ("abc%3D%3D", "bad_channel")] {
        assert_eq!(error(&client.get(&format!("{APP}/channels/{id}")).await).1, reason, "{id}");
    }
}

#[tokio::test]
async fn a_policy_must_be_0_or_1() {
    let client = client(done).await;
    for body in
        ["{}", r#"{"message_storage_policy":2}"#, r#"{"message_storage_policy":"1"}"#, "[]", "{\"type\":\"app\"}"]
    {
        let refused = client.post(&format!("{APP}/channels"), body).await;
        assert_eq!(refused.status, 400, "{body}");
    }
    let refused = client.post(&format!("{APP}/channels"), r#"{"message_storage_policy":2}"#).await;
    let sentence = refused.body["error"].as_str().expect("a sentence");
    assert!(sentence.starts_with("`message_storage_policy` must be 0 (Apple stores no message"), "{sentence}");
    let created = client.post(&format!("{APP}/channels"), r#"{"message_storage_policy":0,"type":"channel"}"#).await;
    let channel = json!({"type": "channel", "id": "a+b/", "message_storage_policy": 0, "push_type": "liveactivity"});
    assert_eq!((created.status, &created.body["response"]), (201, &channel));
}

#[tokio::test]
async fn each_failure_has_its_status_its_reason_and_the_remedy() {
    use AppleReason as R;
    type Script = fn(&Call) -> CallResult;
    let table: [(Script, u16, &str, &str); 14] = [
        (|_| rejected(400, R::FeatureNotEnabled.into()), 409, "broadcast_not_enabled", "developer portal"),
        (|_| rejected(400, R::BroadcastFeatureNotEnabled.into()), 409, "broadcast_not_enabled", "developer portal"),
        (|_| rejected(400, R::CannotCreateChannelConfig.into()), 409, "channel_limit", "delete channels"),
        (|_| rejected(400, R::TopicDisallowed.into()), 409, "topic_not_allowed", "without a suffix"),
        (|_| rejected(403, R::TopicMismatch.into()), 409, "topic_not_allowed", "provision the app"),
        (|_| rejected(403, R::InvalidProviderToken.into()), 409, "credential_error", "key_id"),
        (|_| rejected(400, R::BadRequestParams.into()), 502, "refused_by_apple", "newer version"),
        (|_| rejected(405, R::MethodNotAllowed.into()), 502, "refused_by_apple", "newer version"),
        (|_| rejected(400, Reason::Unlisted("New".into())), 502, "refused_by_apple", "does not know this reason"),
        (
            |_| result(OutcomeKind::NotSent, Some(429), Some(R::TooManyRequests.into())),
            429,
            "apple_rate_limit",
            "send again later",
        ),
        (
            |_| result(OutcomeKind::NotSent, Some(503), Some(R::ServiceUnavailable.into())),
            503,
            "apple_unavailable",
            "send again later",
        ),
        (
            |_| result(OutcomeKind::NotSent, None, Some(NodeReason::DeadlinePassed.into())),
            503,
            "apple_unavailable",
            "nothing was changed",
        ),
        (
            |_| result(OutcomeKind::NotSent, None, Some(NodeReason::CredentialError.into())),
            409,
            "credential_error",
            "nothing was sent (credential_error)",
        ),
        (|_| unknown(NodeReason::ConnectionLost), 504, "unknown", "the channel may exist"),
    ];
    for (script, status, reason, remedy) in table {
        let refused = client(script).await.post(&format!("{APP}/channels"), POLICY).await;
        assert_eq!(error(&refused), (status, reason), "{}", refused.text);
        assert!(refused.body["error"].as_str().is_some_and(|sentence| sentence.contains(remedy)), "{}", refused.text);
        let is_temporary = matches!(reason, "apple_rate_limit" | "apple_unavailable");
        assert_eq!(refused.headers.contains_key(header::RETRY_AFTER), is_temporary, "{reason}");
    }
}

#[tokio::test]
async fn an_unknown_channel_is_404_whatever_apple_calls_it() {
    let path = format!("{APP}/channels/abcd");
    for script in [
        (|_| rejected(400, AppleReason::BadChannelId.into())) as fn(&Call) -> CallResult,
        |_| rejected(400, AppleReason::ChannelNotRegistered.into()),
        |_| rejected(404, AppleReason::BadPath.into()),
    ] {
        let client = client(script).await;
        for answer in [client.get(&path).await, client.delete(&path).await] {
            assert_eq!(error(&answer), (404, "unknown_channel"), "{}", answer.text);
            assert_eq!(answer.body["args"]["channel"], "abcd");
            assert!(answer.body["error"].as_str().is_some_and(|sentence| sentence.contains("it was deleted")));
        }
    }
    let client = client(|_| unknown(NodeReason::ConnectionLost)).await;
    let deleted = client.delete(&path).await;
    assert_eq!(error(&deleted), (504, "unknown"));
    assert!(deleted.body["error"].as_str().is_some_and(|sentence| sentence.contains("send the DELETE again")));
    assert_eq!(
        deleted.body["args"],
        json!({"outcome": "unknown", "cause": "connection_lost", "attempts": 1, "channel": "abcd"})
    );
}

#[tokio::test]
async fn broadcasts_get_outcomes_with_the_remedy() {
    let broadcasts = format!("{APP}/broadcasts");
    let accepted = client(done).await.post(&broadcasts, r#"{"channel":"a-b_","payload":{},"identifier":"x"}"#).await;
    let outcome = &accepted.body["response"];
    assert_eq!((accepted.status, &outcome["outcome"], &outcome["channel"]), (201, &json!("accepted"), &json!("a+b/")));
    assert_eq!((&outcome["identifier"], &outcome["error"]), (&json!("x"), &Value::Null));
    let refused = client(|_| rejected(400, AppleReason::BadExpirationDate.into())).await;
    let refused = refused.post(&broadcasts, r#"[{"channel":"abcd","payload":{},"expiry":9}]"#).await;
    let outcome = &refused.body["response"][0];
    assert_eq!((refused.status, &outcome["reason"]), (201, &json!("BadExpirationDate")));
    assert!(outcome["error"].as_str().is_some_and(|sentence| sentence.contains("storage policy 0")), "{outcome}");
    let client = client(done).await;
    for (query, body, status, reason) in [
        ("?wait=false", "[]", 501, "not_built"),
        ("", "[{}]", 400, "channel_missing"),
        ("", r#"{"channel":"abcd"}"#, 400, "payload_missing"),
        ("", r#"{"channel":"ab cd","payload":{}}"#, 400, "bad_channel"),
        ("", "7", 400, "not_broadcasts"),
        ("", "{", 400, "malformed_json"),
    ] {
        assert_eq!(error(&client.post(&format!("{broadcasts}{query}"), body).await), (status, reason), "{body}");
    }
    assert_eq!(client.post(&broadcasts, "[]").await.body, json!({"response": [], "code": 201}));
}
