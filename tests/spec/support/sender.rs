//! Delivery as the node builds it, over a gateway of the test's own: apps, batches, outcomes.

use pyapns::apns::connect::Connect;
use pyapns::apns::trust::Trust;
use pyapns::clock::Clock;
use pyapns::credentials::{Credential, Material, Secret};
use pyapns::delivery::intake::Limits;
use pyapns::delivery::lane::Parts;
use pyapns::delivery::lanes::{Apple, Lanes};
use pyapns::delivery::status::AppStatus;
use pyapns::delivery::{Intake, Refused, Sending, metrics};
use pyapns::drain::Drain;
use pyapns::events::Events;
use pyapns::model::{AppId, AppKey, Batch, Draft, Environment, Outcome, OutcomeKind};
use pyapns::registry::App;
use pyapns::store::{Cursor, Memory, Revision};
use pyapns::telemetry::Metrics;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Deadline of a plain send.
pub const DEADLINE: Duration = Duration::from_secs(30);

static GENERATION: AtomicU64 = AtomicU64::new(1);

/// Sends for apps through one [`Intake`].
pub struct Sender {
    intake: Arc<Intake>,
    events: Events,
    telemetry: Metrics,
}

/// An app with a signing key, provisioned again by each call.
pub fn app(name: &str) -> Arc<App> {
    app_of_lanes(name, 1)
}

/// An app with this number of lanes.
pub fn app_of_lanes(name: &str, lanes: u16) -> Arc<App> {
    let p8 = Secret::from(rcgen::KeyPair::generate().expect("a key").serialize_pem());
    let material = Material::Key { p8, key_id: "KEY1234567".into(), team_id: "TEAM123456".into() };
    Arc::new(App {
        key: AppKey::new(AppId::new(name).expect("an id"), Environment::Production),
        credential: Arc::new(Credential::parse(&material).expect("a key")),
        topic: "com.example.app".to_owned(),
        push_type: None,
        timeout_seconds: 15,
        lanes,
        certificate_echo: String::new(),
        generation: GENERATION.fetch_add(1, Ordering::Relaxed),
        revision: Revision::NONE,
        sealed_under: None,
    })
}

impl Sender {
    pub fn new(gateway: &Arc<impl Connect + 'static>) -> Self {
        Self::with(gateway, |lanes| lanes)
    }

    pub fn with(gateway: &Arc<impl Connect + 'static>, change: impl FnOnce(Lanes) -> Lanes) -> Self {
        Self::bounded(gateway, Limits { node_bytes: 1 << 28, app_bytes: 1 << 28 }, change)
    }

    pub fn bounded(gateway: &Arc<impl Connect + 'static>, limits: Limits, change: impl FnOnce(Lanes) -> Lanes) -> Self {
        let telemetry = Metrics::new();
        let endpoint = vec!["https://gateway.test".parse().expect("a URL")];
        let trust = Arc::new(Trust::load(None).expect("no file to read"));
        let apple = Apple { connect: gateway.clone(), trust, sandbox: endpoint.clone(), production: endpoint };
        let events = Events::new(Arc::new(Memory::new()), &telemetry);
        let parts = Parts {
            clock: Clock::manual(1_800_000_000.0),
            events: events.clone(),
            metrics: metrics::Metrics::new(&telemetry),
            drain: Drain::new(),
        };
        Self { intake: Arc::new(Intake::new(change(Lanes::new(apple, parts)), limits)), events, telemetry }
    }

    /// Begins to send `(token, number)` pairs as one batch; each must end within `deadline`, which is checked.
    pub fn begin(&self, app: &Arc<App>, pairs: Vec<(usize, usize)>, deadline: Duration) -> JoinHandle<Vec<Outcome>> {
        self.begin_with(app, pairs, deadline, false)
    }

    pub fn begin_with(
        &self,
        app: &Arc<App>,
        pairs: Vec<(usize, usize)>,
        deadline: Duration,
        retry_unknown: bool,
    ) -> JoinHandle<Vec<Outcome>> {
        let trying = self.attempt(app, pairs, deadline, retry_unknown);
        tokio::spawn(async { trying.await.expect("taken") })
    }

    /// Sends a batch that may be refused as too much in flight.
    pub fn attempt(
        &self,
        app: &Arc<App>,
        pairs: Vec<(usize, usize)>,
        deadline: Duration,
        retry_unknown: bool,
    ) -> impl Future<Output = Result<Vec<Outcome>, Refused>> + use<> {
        let mut batch = Batch::default();
        for (token, number) in pairs {
            let (token, payload) = (super::world::token(token), body(token, number));
            batch
                .push(Draft { token: &token, payload: &payload, ..Draft::default() }, uuid::Uuid::new_v4)
                .expect("a good draft");
        }
        let (intake, app, count) = (Arc::clone(&self.intake), Arc::clone(app), batch.len());
        async move {
            let until = Instant::now() + deadline;
            let sent = intake.send(app, batch, Sending { deadline: until, retry_unknown }).await?;
            assert!(Instant::now() <= until + Duration::from_millis(10), "nothing hangs past its deadline");
            assert_eq!(sent.outcomes.len(), count, "one outcome each");
            Ok(sent.outcomes)
        }
    }

    /// Sends one and waits for its outcome.
    pub async fn one(&self, app: &Arc<App>, token: usize, number: usize) -> Outcome {
        let outcomes = self.begin(app, vec![(token, number)], DEADLINE).await;
        outcomes.expect("no panic").pop().expect("an outcome")
    }

    /// The value of one of the node's metrics, with its labels or as the sum of all its series.
    pub fn metric(&self, name: &str) -> f64 {
        sum(&self.telemetry.render(), name)
    }

    /// The app's disconnection log: each entry's reason, and how many notifications it affected.
    pub async fn log(&self, app: &App) -> Vec<(String, u32)> {
        let log = self.events.disconnections(&app.key, Cursor::START, 10_000).await.expect("a store in memory");
        log.entries.into_iter().map(|entry| (entry.reason, entry.affected)).collect()
    }

    /// The app's dead tokens: token, reason and timestamp.
    pub async fn feedback(&self, app: &App) -> Vec<(String, String, f64)> {
        let list = self.events.feedback(&app.key, Cursor::START, 10_000).await.expect("a store in memory");
        list.entries.into_iter().map(|entry| (entry.token, entry.reason, entry.timestamp)).collect()
    }

    /// Returns the app's sending status.
    pub fn seen(&self, app: &App) -> AppStatus {
        self.intake.status(app).unwrap_or_default()
    }
}

/// A metric's value in Prometheus's text, with its labels or as the sum of all its series.
pub fn sum(text: &str, name: &str) -> f64 {
    let (only, first) = (format!("pyapns_{name} "), format!("pyapns_{name}{{"));
    let lines = text.lines().filter(|line| line.starts_with(&only) || line.starts_with(&first));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// The payload that carries a token's number and the notification's own.
pub fn body(token: usize, number: usize) -> String {
    format!(r#"{{"token":{token},"number":{number}}}"#)
}

/// Both numbers of such a payload.
pub fn numbers(body: &str) -> (usize, usize) {
    let value: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let number = |key: &str| value[key].as_u64().expect("a number") as usize;
    (number("token"), number("number"))
}

/// Returns the number of notifications by outcome and reason.
pub fn tally<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for outcome in outcomes {
        let reason = outcome.reason.as_ref().map(|reason| format!(" {reason}")).unwrap_or_default();
        *tally.entry(format!("{}{reason}", outcome.kind.as_str())).or_default() += 1;
    }
    tally
}

/// All the outcomes of batches that were begun.
pub async fn all(begun: Vec<JoinHandle<Vec<Outcome>>>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for batch in begun {
        outcomes.extend(batch.await.expect("no panic"));
    }
    outcomes
}

pub fn is_accepted(outcome: &Outcome) -> bool {
    outcome.kind == OutcomeKind::Accepted
}

/// Another app like this one, with the same credential.
pub fn app_like(app: &App, name: &str) -> Arc<App> {
    Arc::new(App {
        key: AppKey::new(AppId::new(name).expect("an id"), Environment::Production),
        credential: Arc::clone(&app.credential),
        topic: app.topic.clone(),
        certificate_echo: String::new(),
        generation: GENERATION.fetch_add(1, Ordering::Relaxed),
        ..*app
    })
}
