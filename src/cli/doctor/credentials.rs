//! Each app's credential: whether it opens, how long it is valid, and what Apple says to it.

use super::Report;
use crate::apns::connect::Connect;
use crate::apns::trust::Trust;
use crate::clock::Clock;
use crate::config::Config;
use crate::delivery::Sending;
use crate::delivery::intake::Limits;
use crate::delivery::lane::Parts;
use crate::delivery::lanes::{Apple, Lanes};
use crate::delivery::{Intake, metrics};
use crate::drain::Drain;
use crate::events::Events;
use crate::model::{AppleReason, Batch, Draft, Outcome, OutcomeKind, Reason};
use crate::registry::App;
use crate::store::Memory;
use crate::telemetry::Metrics;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A certificate that ends within these days has to be renewed.
const DAYS_FEW: i64 = 30;
const PATIENCE: Duration = Duration::from_secs(15);
const BYTES: usize = 1 << 20;

/// Asks Apple about credentials by the way that real notifications take; what it learns is kept nowhere.
pub struct Prober {
    intake: Intake,
    drain: Drain,
}

impl Prober {
    pub fn new(config: &Config, clock: Clock, connect: Arc<dyn Connect>, trust: Arc<Trust>) -> Self {
        let (drain, telemetry) = (Drain::new(), Metrics::new());
        let (sandbox, production) = (config.apple.sandbox.clone(), config.apple.production.clone());
        let parts = Parts {
            clock,
            events: Events::new(Arc::new(Memory::new()), &telemetry),
            metrics: metrics::Metrics::new(&telemetry),
            drain: drain.clone(),
        };
        let lanes = Lanes::new(Apple { connect, trust, sandbox, production }, parts);
        Self { intake: Intake::new(lanes, Limits { node_bytes: BYTES, app_bytes: BYTES }), drain }
    }

    /// What Apple says to a push to a device that does not exist: a credential that it takes gets as far as that.
    async fn ask(&self, app: &Arc<App>) -> Option<Outcome> {
        let mut batch = Batch::default().with_push_type(app.push_type);
        let draft = Draft { token: &"0".repeat(64), payload: r#"{"aps":{}}"#, expiry: Some(0), ..Draft::default() };
        batch.push(draft).ok()?;
        let sending = Sending { deadline: Instant::now() + PATIENCE, retry_unknown: false };
        self.intake.send(Arc::clone(app), batch, sending).await.ok()?.outcomes.pop()
    }

    /// Closes the connections.
    pub async fn finish(self) {
        self.intake.close();
        self.drain.finish(PATIENCE).await;
    }
}

/// Looks at an app's credential; with a prober, Apple is asked, too.
pub async fn examine(report: &mut Report, app: &Arc<App>, now: u64, prober: Option<&Prober>) {
    let key = &app.key;
    if let Some(why) = app.credential.unusable() {
        return report.fail("credential", format!("{key}: {why}"));
    }
    if let Err(refused) = app.credential.check(key.environment, now) {
        return report.fail("credential", format!("{key}: {refused}"));
    }
    let summary = app.credential.summary();
    let days_left = summary.days_left(now);
    let about = match (&summary.key_id, days_left) {
        (Some(key_id), _) => format!("{key}: signing key {key_id}"),
        (None, Some(days)) => format!("{key}: certificate for {}, {days} days left", app.topic),
        (None, None) => format!("{key}: certificate for {}", app.topic),
    };
    match days_left {
        Some(..DAYS_FEW) => report.warn("credential", format!("{about}: renew it in Apple's developer portal")),
        _ => report.ok("credential", &about),
    }
    if let Some(prober) = prober {
        judge(report, app, prober.ask(app).await);
    }
}

fn judge(report: &mut Report, app: &App, outcome: Option<Outcome>) {
    const WHAT: &str = "apple";
    let key = &app.key;
    let Some(outcome) = outcome else { return report.fail(WHAT, format!("{key}: nothing could be sent")) };
    let reason = outcome.reason.as_ref().map_or("no reason given", Reason::as_str);
    match (outcome.kind, &outcome.reason, outcome.status) {
        (OutcomeKind::Accepted, ..) => report.ok(WHAT, format!("{key}: takes the credential")),
        (
            OutcomeKind::Rejected,
            Some(Reason::Apple(AppleReason::TopicDisallowed | AppleReason::BadTopic | AppleReason::MissingTopic)),
            _,
        ) => report.fail(
            WHAT,
            format!(
                "{key}: takes the credential, but not for the topic {} ({reason}): provision with another",
                app.topic
            ),
        ),
        (OutcomeKind::Rejected, ..) => report.ok(WHAT, format!("{key}: takes the credential (and said {reason})")),
        (_, _, Some(403)) => report.fail(WHAT, format!("{key}: refuses the credential: {reason}; provision another")),
        _ => report.fail(WHAT, format!("{key}: no answer to a push: {reason}")),
    }
}
