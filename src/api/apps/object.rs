//! An app as the API shows it: nothing secret, and the names that clients of v0.5 read.

use crate::credentials::Summary;
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
    state: &'static str,
    /// Why the state is not `ok`.
    last_error: Option<String>,
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
    /// `now` in UNIX seconds.
    pub fn new(app: &'a App, now: u64) -> Self {
        let last_error = app.credential_error(now);
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
            state: if last_error.is_some() { "credential_error" } else { "ok" },
            last_error,
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
