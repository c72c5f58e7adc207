//! The lanes of calls of this node: one for each app and service, started on first use.

use super::lane::CallLane;
use super::work::Order;
use super::{CallRefused, CallResult, CallResults, Caller};
use crate::apns::channels::{Call, Service};
use crate::apns::connect::Connect;
use crate::apns::endpoint::Endpoint;
use crate::apns::trust::Trust;
use crate::delivery::admission::{Pools, RETRY_AFTER_SECONDS, Room};
use crate::delivery::descriptors::Descriptors;
use crate::delivery::lane::{Gateway, Parts};
use crate::delivery::send::{Refused, Sending};
use crate::model::{AppKey, Environment, NodeReason, Outcome, OutcomeKind};
use crate::registry::App;
use crate::subject::Subject;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

/// The capacity of a lane's inbox, in requests of callers. Further ones are refused.
const INBOX_ORDERS: usize = 1024;
/// The memory of a call besides its payload, in bytes.
const CALL_BYTES: usize = 1 << 10;
/// The time without a call after which the connections of a lane close. Management is rare. Broadcasts of a live event
/// are minutes apart, and Apple asks for connections that last.
const MANAGEMENT_IDLE: Duration = Duration::from_secs(60);
const BROADCASTS_IDLE: Duration = Duration::from_secs(600);

/// Apple's gateways for calls, or others in place of them.
pub struct Gateways {
    pub connect: Arc<dyn Connect>,
    pub trust: Arc<Trust>,
    /// Of the sandbox, then of production; empty if none is set.
    pub management: [Vec<Endpoint>; 2],
    /// The same: at least one each.
    pub broadcasts: [Vec<Endpoint>; 2],
    pub descriptors: Descriptors,
}

impl Gateways {
    /// `None` if the settings name no gateway.
    fn gateway(&self, environment: Environment, service: Service) -> Option<Gateway> {
        let endpoints = match service {
            Service::Management => &self.management,
            Service::Broadcasts => &self.broadcasts,
        };
        let endpoints = endpoints[usize::from(environment == Environment::Production)].clone();
        let (connect, trust) = (Arc::clone(&self.connect), Arc::clone(&self.trust));
        let descriptors = self.descriptors.clone();
        (!endpoints.is_empty()).then_some(Gateway { connect, trust, endpoints, descriptors })
    }
}

/// The way on which calls came to this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// From a caller of this node.
    Caller,
    /// The same. A peer had them before, and may have made them.
    Repeat,
    /// From a peer, which counts their results.
    Peer,
}

/// An app's lane for a service.
struct Entry {
    generation: u64,
    inbox: mpsc::Sender<Vec<Order>>,
}

/// The lanes of calls of a node.
pub struct CallLanes {
    gateways: Gateways,
    parts: Parts,
    pools: Arc<Pools>,
    /// `None` once the node drains.
    lanes: Mutex<Option<HashMap<(AppKey, Service), Entry>>>,
}

impl CallLanes {
    /// `pools` limits the calls together with the notifications in flight.
    pub fn new(gateways: Gateways, parts: Parts, pools: Arc<Pools>) -> Self {
        Self { gateways, parts, pools, lanes: Mutex::new(Some(HashMap::new())) }
    }

    /// Takes bytes of the node's pool and of the app's for these calls.
    ///
    /// # Errors
    /// There is no room.
    pub fn hold(&self, app: &App, calls: &[Call]) -> Result<Room, CallRefused> {
        let bytes = calls.iter().map(|call| call.bytes() + CALL_BYTES).sum();
        Ok(Room::Own(self.pools.hold(&app.key, bytes)?))
    }

    /// Makes calls in this node, whichever node owns the app.
    ///
    /// # Errors
    /// None of the calls was made.
    pub fn call_here(
        &self,
        app: &Arc<App>,
        calls: Vec<Call>,
        sending: Sending,
        origin: Origin,
    ) -> Result<CallResults, CallRefused> {
        let Some(service) = calls.first().map(Call::service) else { return Ok(Box::pin(async { Vec::new() })) };
        debug_assert!(calls.iter().all(|call| call.service() == service), "one service takes all of them");
        let room = Arc::new(self.hold(app, &calls)?);
        let (mut orders, mut results) = (Vec::with_capacity(calls.len()), Vec::with_capacity(calls.len()));
        for call in calls {
            let (reply, result) = oneshot::channel();
            orders.push(Order { call, sending, origin, reply, _room: Arc::clone(&room) });
            results.push(result);
        }
        self.send(app, service, orders)?;
        let clock = self.parts.clock.clone();
        Ok(Box::pin(async move {
            let mut ended = Vec::with_capacity(results.len());
            for result in results {
                ended.push(result.await.unwrap_or_else(|_| lost(clock.unix_time())));
            }
            ended
        }))
    }

    /// Lets the app's lanes finish their calls and end.
    pub fn remove(&self, key: &AppKey) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        for service in [Service::Management, Service::Broadcasts] {
            lanes.as_mut().and_then(|lanes| lanes.remove(&(key.clone(), service)));
        }
    }

    /// Takes no more calls; finishes the taken ones.
    pub fn close(&self) {
        *self.lanes.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn send(&self, app: &Arc<App>, service: Service, orders: Vec<Order>) -> Result<(), CallRefused> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lanes = lanes.as_mut().ok_or(Refused::ShuttingDown)?;
        let key = (app.key.clone(), service);
        // A new provisioning starts another lane: no connection is shared with the former credential, whose calls finish
        // in the former lane.
        let known = lanes.get(&key).filter(|lane| lane.generation >= app.generation);
        let orders = match known {
            None => orders,
            Some(lane) => match lane.inbox.try_send(orders) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(_)) => return Err(overloaded()),
                // The lane just ended for lack of calls.
                Err(TrySendError::Closed(orders)) => orders,
            },
        };
        let (environment, parts) = (app.key.environment, &self.parts);
        let gateway = self.gateways.gateway(environment, service).ok_or(CallRefused::NoGateway { environment })?;
        let idle_after = match service {
            Service::Management => MANAGEMENT_IDLE,
            Service::Broadcasts => BROADCASTS_IDLE,
        };
        let (inbox, received) = mpsc::channel(INBOX_ORDERS);
        inbox.try_send(orders).map_err(|_| overloaded())?;
        lanes.insert(key, Entry { generation: app.generation, inbox });
        let lane = CallLane::new(received, Arc::clone(app), gateway, idle_after, parts);
        // Outside the subject of the request that happens to be the first.
        let subject = Subject::App(app.key.to_string().into());
        parts.drain.spawn("calls", subject.scope(lane.run()));
        Ok(())
    }
}

impl Caller for CallLanes {
    fn call(&self, app: Arc<App>, calls: Vec<Call>, sending: Sending) -> Result<CallResults, CallRefused> {
        self.call_here(&app, calls, sending, Origin::Caller)
    }
}

fn overloaded() -> CallRefused {
    Refused::AppOverloaded { retry_after_seconds: RETRY_AFTER_SECONDS }.into()
}

/// The result of a call whose lane panicked.
fn lost(timestamp: f64) -> CallResult {
    let (status, attempts) = (None, 0);
    let reason = Some(NodeReason::ConnectionLost.into());
    let outcome = Outcome { kind: OutcomeKind::Unknown, status, reason, timestamp, attempts };
    CallResult { outcome, reply: None, detail: None }
}
