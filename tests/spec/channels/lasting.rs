//! The connections of calls over hours, in virtual time: when they are opened, kept, replaced and closed.

use crate::support::pipes::{Gateway, Manner, Peer, talk};
use crate::support::sender::{app, app_like, sum};
use pyapns::apns::channels::Call;
use pyapns::apns::trust::Trust;
use pyapns::clock::Clock;
use pyapns::delivery::admission::{Limits, Pools};
use pyapns::delivery::calls::{CallLanes, CallRefused, CallResult, Gateways, Origin};
use pyapns::delivery::descriptors::Descriptors;
use pyapns::delivery::lane::Parts;
use pyapns::delivery::{Refused, Sending, metrics};
use pyapns::drain::Drain;
use pyapns::events::Events;
use pyapns::model::broadcast::BroadcastDraft;
use pyapns::model::{Broadcast, OutcomeKind};
use pyapns::registry::App;
use pyapns::store::Memory;
use pyapns::telemetry::Metrics;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Makes calls over a gateway of the test's own.
struct Office {
    lanes: CallLanes,
    clock: Clock,
    telemetry: Metrics,
    drain: Drain,
}

impl Office {
    fn new(gateway: &Arc<Gateway>) -> Self {
        Self::bounded(gateway, 1 << 20)
    }

    fn bounded(gateway: &Arc<Gateway>, app_bytes: usize) -> Self {
        let (telemetry, clock, drain) = (Metrics::new(), Clock::manual(1_800_000_000.0), Drain::new());
        let metrics = metrics::Metrics::new(&telemetry);
        let limits = Limits { node_bytes: 1 << 28, app_bytes };
        let pools = Arc::new(Pools::new(limits, metrics.queue_bytes.clone()));
        let events = Events::new(Arc::new(Memory::new()), &telemetry);
        let place = || [(), ()].map(|()| vec!["https://gateway.test".parse().expect("a URL")]);
        let gateways = Gateways {
            connect: gateway.clone(),
            trust: Arc::new(Trust::load(None).expect("no file to read")),
            management: place(),
            broadcasts: place(),
            descriptors: Descriptors::unlimited(Instant::now()),
        };
        let parts = Parts { clock: clock.clone(), events, metrics, drain: drain.clone() };
        Self { lanes: CallLanes::new(gateways, parts, pools), clock, telemetry, drain }
    }

    async fn send(&self, app: &Arc<App>, count: usize, within: Duration) -> Result<Vec<CallResult>, CallRefused> {
        let sending = Sending { deadline: Instant::now() + within, retry_unknown: true };
        Ok(self.lanes.call_here(app, (0..count).map(|_| broadcast()).collect(), sending, Origin::Caller)?.await)
    }

    /// Sends one broadcast. Returns its outcome.
    async fn one(&self, app: &Arc<App>) -> CallResult {
        self.send(app, 1, 30 * SECOND).await.expect("taken").pop().expect("one")
    }

    /// Lets time pass for both clocks.
    async fn wait(&self, time: Duration) {
        self.clock.advance(time);
        sleep(time).await;
    }
}

fn broadcast() -> Call {
    let payload = r#"{"aps":{}}"#;
    let draft = BroadcastDraft { channel: "abcd", payload, identifier: None, expiry: None, priority: None };
    Call::Broadcast(Arc::new(Broadcast::new(draft, uuid::Uuid::new_v4).expect("a good draft")))
}

fn accepting() -> Arc<Gateway> {
    Gateway::new(|peer| talk(peer.serve(100, SECOND / 10)))
}

#[tokio::test(start_paused = true)]
async fn a_connection_for_broadcasts_closes_after_ten_minutes_without_one_and_is_opened_again_on_use() {
    let gateway = accepting();
    let (office, app) = (Office::new(&gateway), app("a"));
    for _ in 0..2 {
        assert_eq!(office.one(&app).await.outcome.kind, OutcomeKind::Accepted);
        office.wait(9 * MINUTE).await;
    }
    assert_eq!(gateway.ledger().dials.len(), 1);
    assert_eq!(gateway.ledger().closed.len(), 0);
    office.wait(2 * MINUTE).await;
    assert_eq!(gateway.ledger().closed.len(), 1);
    assert_eq!(sum(&office.telemetry.render(), "connections"), 0.0);
    assert_eq!(office.one(&app).await.outcome.kind, OutcomeKind::Accepted);
    assert_eq!(gateway.ledger().dials.len(), 2);
    office.lanes.close();
    assert!(office.drain.finish(MINUTE).await, "the lane ends when its work is done");
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_replaced_once_there_is_a_newer_provider_token_and_its_own_is_old() {
    let gateway = accepting();
    let (office, app) = (Office::new(&gateway), app("a"));
    for _ in 0..65 {
        let result = office.one(&app).await;
        assert_eq!((result.outcome.kind, result.outcome.attempts), (OutcomeKind::Accepted, 1));
        office.wait(MINUTE).await;
    }
    let ages = gateway.dial_gaps();
    assert!(ages.len() == 2 && ages.iter().all(|gap| (gap / 60.0 - 30.0).abs() < 1.5), "{ages:?}");
}

#[tokio::test(start_paused = true)]
async fn another_provisioning_gets_connections_of_its_own() {
    let gateway = accepting();
    let (office, first) = (Office::new(&gateway), app("a"));
    assert_eq!(office.one(&first).await.outcome.kind, OutcomeKind::Accepted);
    let again = app_like(&first, "a");
    assert_eq!(office.one(&again).await.outcome.kind, OutcomeKind::Accepted);
    assert_eq!(gateway.ledger().dials.len(), 2);
    office.wait(SECOND).await;
    assert_eq!(gateway.ledger().closed.len(), 1, "the former one closes at once");
}

/// The first connection falls silent, and the others work.
fn silent_once(mut peer: Peer) -> Manner {
    if peer.number > 0 {
        return talk(peer.serve(100, SECOND / 10));
    }
    talk(async move {
        peer.handshake(100).await;
        peer.hang().await;
    })
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_falls_silent_is_replaced_within_12_seconds() {
    let gateway = Gateway::new(silent_once);
    let (office, app, began) = (Office::new(&gateway), app("a"), Instant::now());
    let result = office.one(&app).await;
    assert_eq!((result.outcome.kind, result.outcome.attempts), (OutcomeKind::Accepted, 2), "{result:?}");
    assert!(began.elapsed() < 12 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn calls_of_a_gateway_that_refuses_connections_end_before_their_deadline_and_a_probe_starts_them_again() {
    let gateway =
        Gateway::new(|peer| if peer.number < 8 { Manner::Refuse } else { talk(peer.serve(100, SECOND / 10)) });
    let (office, app) = (Office::new(&gateway), app("a"));
    let results = office.send(&app, 3, 100 * SECOND).await.expect("taken");
    for result in &results {
        let reason = result.outcome.reason.as_ref().expect("a reason").to_string();
        assert_eq!((result.outcome.kind, reason.as_str()), (OutcomeKind::NotSent, "breaker_open"), "{result:?}");
        assert!(result.detail.as_deref().is_some_and(|told| told.contains("cannot connect to Apple")), "{result:?}");
    }
    for _ in 0..60 {
        office.wait(6 * SECOND).await;
        if office.one(&app).await.outcome.kind == OutcomeKind::Accepted {
            assert_eq!(office.one(&app).await.outcome.kind, OutcomeKind::Accepted);
            return;
        }
    }
    panic!("no probe succeeded: {:?}", gateway.dial_gaps());
}

#[tokio::test(start_paused = true)]
async fn calls_over_the_limit_of_bytes_in_flight_are_refused_together() {
    let gateway = Gateway::new(|peer| talk(peer.hang()));
    let (office, app) = (Office::bounded(&gateway, 4 << 10), app("a"));
    let waiting = office.send(&app, 3, 5 * SECOND);
    tokio::pin!(waiting);
    assert!(is_pending(&mut waiting).await, "three wait");
    let refused = office.send(&app, 2, SECOND).await.expect_err("refused");
    assert_eq!(refused, CallRefused::Refused(Refused::AppOverloaded { retry_after_seconds: 1 }));
    let results = waiting.await.expect("taken");
    assert!(results.iter().all(|result| result.outcome.kind == OutcomeKind::NotSent), "{results:?}");
    assert_eq!(office.send(&app, 1, SECOND).await.map(|results| results.len()), Ok(1), "their bytes are free again");
}

/// Polls once. Returns true if it is pending.
async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending())).await
}
