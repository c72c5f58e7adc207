//! An app as the API shows it: nothing secret, and the names that clients of v0.5 read.

use crate::credentials::Summary;
use crate::delivery::status::AppStatus;
use crate::model::Quarantine;
use crate::registry::App;
use serde::Serialize;

#[derive(Serialize)]
pub struct AppObject<'a> {
    r#type: &'static str,
    app_id: &'a str,
    /// The same again, for clients of v0.5.
    name: &'a str,
    environment: &'static str,
    /// The path as it was given, or the fingerprint of what was uploaded.
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
    /// Why the state is not `ok`, or what went wrong last since the app was provisioned.
    last_error: Option<String>,
    /// UNIX seconds; `null` for what is wrong with the credential in itself.
    last_error_at: Option<f64>,
    /// When Apple accepted something last, in UNIX seconds.
    last_success_at: Option<f64>,
    connections: usize,
    /// Requests that Apple allows at once on all of them.
    streams: usize,
    in_flight: usize,
    queued: usize,
    /// The bound of the app's throughput now.
    bound_by: &'static str,
    /// The hold on dead tokens, if there is one.
    feedback_held: Option<HoldObject>,
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
    /// `status` is the app's sending status, `quarantine` why its feedback is held back, `now` in UNIX seconds.
    pub fn new(app: &'a App, status: AppStatus, quarantine: Option<Quarantine>, now: u64) -> Self {
        let (state, last_error, last_error_at) = match (app.credential_error(now), status.last_error) {
            (Some(why), _) => ("credential_error", Some(why), None),
            (None, Some(last)) => (status.state, Some(last.what), Some(last.at)),
            (None, None) => (status.state, None, None),
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
            bound_by: status.bound_by.as_str(),
            feedback_held: quarantine.map(|Quarantine { since, why }| HoldObject { since, why }),
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
