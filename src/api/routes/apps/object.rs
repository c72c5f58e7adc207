//! An app in the API's responses: no secrets, and the field names that clients of v0.5 read.

use crate::credentials::Summary;
use crate::delivery::status::AppStatus;
use crate::model::{NodeName, Quarantine};
use crate::registry::App;
use serde::Serialize;

#[derive(Serialize)]
pub struct AppObject<'a> {
    r#type: &'static str,
    app_id: &'a str,
    /// A copy of the app id, for clients of v0.5.
    name: &'a str,
    environment: &'static str,
    /// The given path, or the fingerprint of the uploaded credential.
    certificate: &'a str,
    /// Seconds.
    timeout: u32,
    credential: CredentialObject,
    topic: &'a str,
    lanes: u16,
    /// Names what was provisioned: another one after every change. The `ETag` without its quotes.
    revision: String,
    /// `ok`, `connecting`, `cannot_connect` (after 5 s), `breaker_open` or `credential_error`.
    state: &'static str,
    /// The reason for a state other than `ok`, or the last error since the app was provisioned.
    last_error: Option<String>,
    /// UNIX seconds; `null` for an error of the credential itself.
    last_error_at: Option<f64>,
    /// The time when Apple last accepted a notification, in UNIX seconds.
    last_success_at: Option<f64>,
    connections: usize,
    /// The requests that Apple allows in flight on all connections.
    streams: usize,
    in_flight: usize,
    queued: usize,
    /// The current bound of the app's throughput.
    bound_by: &'static str,
    /// The quarantine of dead tokens, if there is one.
    feedback_held: Option<HoldObject>,
    /// The owners of lanes whose part is not in the status.
    nodes_missing: Vec<String>,
}

#[derive(Serialize)]
struct HoldObject {
    /// UNIX seconds.
    since: f64,
    why: String,
}

#[derive(Serialize)]
struct CredentialObject {
    kind: &'static str,
    fingerprint: String,
    topics: Vec<String>,
    team_id: Option<String>,
    key_id: Option<String>,
    /// UNIX seconds.
    expires_at: Option<i64>,
    days_left: Option<i64>,
}

impl<'a> AppObject<'a> {
    /// `status` is the app's sending status, with the owners of lanes that it lacks; `quarantine` the reason that its
    /// feedback is held back; `now` the time in UNIX seconds.
    pub fn new(
        app: &'a App,
        (status, missing): (AppStatus, Vec<NodeName>),
        quarantine: Option<Quarantine>,
        now: u64,
    ) -> Self {
        let bound_by = status.bound_by();
        let (state, last_error, last_error_at) = match (app.credential_error(now), status.last_error) {
            (Some(why), _) => ("credential_error", Some(why), None),
            (None, Some(last)) => (status.state.as_str(), Some(last.what), Some(last.at)),
            (None, None) => (status.state.as_str(), None, None),
        };
        Self {
            r#type: "app",
            app_id: app.key.id.as_str(),
            name: app.key.id.as_str(),
            environment: app.key.environment.as_str(),
            certificate: &app.certificate_echo,
            timeout: app.timeout_seconds,
            credential: CredentialObject::new(app.credential.summary(), now),
            topic: &app.topic,
            lanes: app.lanes,
            revision: app.revision.to_string(),
            state,
            last_error,
            last_error_at,
            last_success_at: status.last_success,
            connections: status.connections,
            streams: status.streams,
            in_flight: status.in_flight,
            queued: status.queued,
            bound_by: bound_by.as_str(),
            feedback_held: quarantine.map(|Quarantine { since, why }| HoldObject { since, why }),
            nodes_missing: missing.iter().map(NodeName::to_string).collect(),
        }
    }
}

impl CredentialObject {
    fn new(summary: Summary, now: u64) -> Self {
        let days_left = summary.days_left(now);
        let Summary { kind, fingerprint, topics, team_id, key_id, expires_at } = summary;
        Self { kind, fingerprint, topics, team_id, key_id, expires_at, days_left }
    }
}
