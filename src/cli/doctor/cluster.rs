//! The cluster of a node: the key files, the clock, the other members, and the check of a load balancer.

use super::Report;
use crate::cli::healthcheck;
use crate::clock::Clock;
use crate::cluster::{Identity, Member, MemberState, decode_member};
use crate::config::Config;
use crate::credentials::{Keyring, Unopened, check};
use crate::delivery::peer::membership::Membership;
use crate::delivery::peer::probe::probe;
use crate::delivery::peer::wire::Limits;
use crate::http::client::{NodeUrl, refusal};
use crate::model::{NodeName, NodeSession};
use crate::store::members::{CLOCKS_APART_MAX, Session};
use crate::store::redis::{Redis, Stored};
use std::sync::Arc;
use std::time::Duration;

/// The longest wait for the answer of a running node: one that hangs takes connections, and answers none.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Digits of a fingerprint that are shown: enough to compare by eye.
const FINGERPRINT_DIGITS: usize = 16;

/// Checks everything that makes a node of this configuration a member.
pub async fn examine(report: &mut Report, config: &Config, store: &Redis, clock: &Clock) {
    keys(report, config, store).await;
    time(report, store, clock).await;
    let identity = match Identity::load(&config.cluster.identity_files) {
        Ok(identity) => identity,
        Err(error) => return report.fail("identity", error),
    };
    let fingerprint = identity.fingerprint();
    let (shown, files) = (&fingerprint[..FINGERPRINT_DIGITS], config.cluster.identity_files.len());
    report.ok("identity", format!("shows {shown}…, accepts {files}: these must be the same on all nodes"));
    peers(report, config, store, &identity).await;
}

/// Opens the constant that the nodes of the store have encrypted.
async fn keys(report: &mut Report, config: &Config, store: &Redis) {
    let keyring = match Keyring::load(&config.key_files, &config.data_dir) {
        Ok(keyring) => keyring,
        Err(error) => return report.fail("keys", error),
    };
    let stored = match store.check().await {
        Ok(Some(stored)) => stored,
        Ok(None) => return report.ok("keys", "no node has used the store yet: the first one decides about the key"),
        Err(error) => return report.fail("keys", error),
    };
    match check::open(&keyring, &stored) {
        Ok(true) => report.ok("keys", "credentials.key_files opens what the nodes have encrypted"),
        Ok(false) => report.ok("keys", "credentials.key_files opens what the nodes have encrypted, with an older key"),
        Err(Unopened::KeyMissing { id }) => {
            let what = "which is not in credentials.key_files: add its file";
            report.fail("keys", format!("the nodes of the store encrypt credentials with the key {id}, {what}"));
        }
        Err(Unopened::Damaged | Unopened::Newer) => {
            report.fail("keys", "the check of the key in the store is damaged, or a newer version wrote it");
        }
    }
}

/// Compares the clock of this machine with that of Redis.
async fn time(report: &mut Report, store: &Redis, clock: &Clock) {
    let offset = match store.clock_offset(clock).await {
        Ok(offset) => offset,
        Err(error) => return report.fail("clock", error),
    };
    let side = if offset > 0.0 { "ahead of" } else { "behind" };
    let text = format!("{:.1} s {side} the clock of Redis", offset.abs());
    if offset.abs() > CLOCKS_APART_MAX.as_secs_f64() {
        report.fail("clock", format!("{text}: synchronise both machines with NTP"));
    } else {
        report.ok("clock", text);
    }
}

/// Connects to each member, as this node's links do.
async fn peers(report: &mut Report, config: &Config, store: &Redis, identity: &Identity) {
    let Some(node) = config.node_name.clone() else { return };
    let listed = match store.members().list().await {
        Ok(listed) => listed,
        Err(error) => return report.fail("peer", error),
    };
    if listed.is_empty() {
        return report.ok("peer", "the cluster has no members now");
    }
    let membership = match membership(config, store, identity, node.clone()).await {
        Ok(membership) => membership,
        Err(error) => return report.fail("peer", error),
    };
    for stored in listed {
        peer(report, config, &membership, &stored).await;
    }
}

async fn membership(config: &Config, store: &Redis, identity: &Identity, node: NodeName) -> anyhow::Result<Membership> {
    let allow = config.cluster.allow.clone();
    Ok(Membership {
        node,
        session: NodeSession::from(Session::new()),
        epoch: store.epoch().await?,
        client_tls: Arc::new(identity.client()?),
        server_tls: Arc::new(identity.server()?),
        allow: Arc::new(move |address| allow.iter().any(|network| network.holds(address))),
        limits: Limits::of_requests(config.limits.body_bytes, config.limits.items),
    })
}

async fn peer(report: &mut Report, config: &Config, own: &Membership, Stored { member, is_live }: &Stored) {
    let node = &member.node;
    let member = match decode_member(member) {
        Ok(member) => member,
        Err(why) => return report.fail("peer", format!("{node} is left out: {why}")),
    };
    let Member { address, state, .. } = &member;
    if !is_live {
        let what = "it has stopped, or does not reach Redis; it is no member 60 seconds after that";
        return report.warn("peer", format!("{node} at {address} has no lease: {what}"));
    }
    if *state == MemberState::Gone {
        return report.ok("peer", format!("{node} at {address} is about to stop"));
    }
    if *node == own.node {
        let advertised = config.cluster.advertised().map(|address| address.to_string()).unwrap_or_default();
        if advertised != *address {
            let what = "restart the node, or run doctor with the configuration of the running node";
            report.warn(
                "peer",
                format!("the running {node} advertises {address}, this configuration {advertised}: {what}"),
            );
        }
    }
    let is_own = if *node == own.node { ", which is this node," } else { "" };
    match probe(&member, own).await {
        Ok(hello) => {
            let (oldest, newest) = hello.versions;
            let versions = if oldest == newest { newest.to_string() } else { format!("{oldest}-{newest}") };
            let state = state.as_str();
            report.ok("peer", format!("{node} at {address}{is_own} is {state}, and answers in version {versions}"));
        }
        Err(error) => report.fail("peer", format!("{node} at {address}{is_own} cannot be used: {error}")),
    }
}

/// Asks the listener of callers as a load balancer does.
pub async fn balancer(report: &mut Report, config: &Config) {
    let node = NodeUrl::of_listener(&config.listen, config.tls.is_some());
    match healthcheck::ask(&node, ANSWER_TIMEOUT).await {
        Ok((200, _)) => report.ok("balancer", format!("{node}/readyz answers 200: a load balancer uses this node")),
        Ok((status, body)) => {
            let why = refusal(status, &body);
            report.fail(
                "balancer",
                format!("{node}/readyz answers {status}: a load balancer leaves this node out: {why}"),
            );
        }
        Err(error) => {
            report.fail("balancer", format!("{error:#}; run doctor with the configuration of the running node"))
        }
    }
}
