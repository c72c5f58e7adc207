//! Checks each app's credential: its decryption, its validity, and Apple's answer to it.

use super::Report;
use super::store::RunningNode;
use crate::delivery::{Intake, Sending, refusal};
use crate::model::{AppleReason, Batch, Draft, Outcome, OutcomeKind, Reason};
use crate::registry::App;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The days before a certificate's end in which doctor asks for its renewal.
const RENEW_DAYS: i64 = 30;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// The result of asking Apple about a credential.
enum AppleCheck {
    Works(String),
    Fails(String),
}

/// Checks an app's credential. `intake` asks Apple about it; `node` has the app's state in a running node.
pub async fn examine(
    report: &mut Report,
    app: &Arc<App>,
    now: u64,
    intake: Option<&Intake>,
    node: Option<&RunningNode>,
) {
    let key = &app.key;
    if let Some(why) = app.credential.unusable() {
        return report.fail("credential", format!("{key}: {why}"));
    }
    if let Err(refused) = app.credential.check(key.environment, now) {
        return report.fail("credential", format!("{key}: {refused}"));
    }
    // Ask Apple first: a credential that Apple refuses must not be reported ok.
    let check = match intake {
        Some(intake) => Some(ask(app, intake).await),
        None => None,
    };
    if let Some((what, failure)) = node.and_then(|node| node.app_failure(key)) {
        report.fail(what, format!("{key}: the running node says {failure}"));
    } else if !matches!(check, Some(AppleCheck::Fails(_))) {
        validity(report, app, now, check.is_some());
    }
    match check {
        Some(AppleCheck::Works(text)) => report.ok("apple", format!("{key}: {text}")),
        Some(AppleCheck::Fails(text)) => report.fail("apple", format!("{key}: {text}")),
        None => {}
    }
}

/// Reports the kind of the credential and its validity.
fn validity(report: &mut Report, app: &App, now: u64, is_asked: bool) {
    let (key, summary) = (&app.key, app.credential.summary());
    let days_left = summary.days_left(now);
    let about = match (&summary.key_id, days_left) {
        (Some(key_id), _) => format!("{key}: signing key {key_id}"),
        (None, Some(days)) => format!("{key}: certificate for {}, {days} days left", app.topic),
        (None, None) => format!("{key}: certificate for {}", app.topic),
    };
    match days_left {
        Some(..RENEW_DAYS) => report.warn("credential", format!("{about}: renew it in Apple's developer portal")),
        _ if is_asked => report.ok("credential", &about),
        _ => report.ok("credential", format!("{about}; Apple was not asked about it")),
    }
}

/// Sends to a device that does not exist, through the code that sends real notifications. Apple checks the credential
/// before the device token (apns-protocol.md 4).
async fn ask(app: &Arc<App>, intake: &Intake) -> AppleCheck {
    let nothing = || AppleCheck::Fails("nothing could be sent".to_owned());
    let mut batch = Batch::default().with_push_type(app.push_type);
    let draft = Draft { token: &"0".repeat(64), payload: r#"{"aps":{}}"#, expiry: Some(0), ..Draft::default() };
    if batch.push(draft, uuid::Uuid::new_v4).is_err() {
        return nothing();
    }
    let sending = Sending { deadline: Instant::now() + ANSWER_TIMEOUT, retry_unknown: false };
    let Ok(mut sent) = intake.send(Arc::clone(app), batch, sending).await else { return nothing() };
    let Some(outcome) = sent.outcomes.pop() else { return nothing() };
    // The last error has the cause if there was no answer from Apple.
    let cause = intake
        .status(app)
        .and_then(|status| status.last_error)
        .map(|error| format!(": {}", error.what))
        .unwrap_or_default();
    judge(app, &outcome, &cause)
}

fn judge(app: &App, outcome: &Outcome, cause: &str) -> AppleCheck {
    use AppleReason::{BadTopic, MissingTopic, TopicDisallowed};
    let reason = outcome.reason.as_ref().map_or("no reason given", Reason::as_str);
    let advice = match &outcome.reason {
        Some(Reason::Apple(reason)) => refusal::advice(*reason, app).map(|advice| format!(": {advice}")),
        _ => None,
    };
    match (outcome.kind, &outcome.reason, outcome.status) {
        (OutcomeKind::Accepted, ..) => AppleCheck::Works("accepts the credential".to_owned()),
        (OutcomeKind::Rejected, Some(Reason::Apple(TopicDisallowed | BadTopic | MissingTopic)), _) => {
            let advice = advice.unwrap_or_default();
            AppleCheck::Fails(format!("accepts the credential, but not for the topic {} ({reason}){advice}", app.topic))
        }
        (OutcomeKind::Rejected, ..) => AppleCheck::Works(format!("accepts the credential (and answered {reason})")),
        (_, _, Some(403)) => {
            let advice = advice.unwrap_or_else(|| "; provision another credential".to_owned());
            AppleCheck::Fails(format!("refuses the credential: {reason}{advice}"))
        }
        _ => AppleCheck::Fails(format!("no answer to a push: {reason}{}", advice.as_deref().unwrap_or(cause))),
    }
}
