//! A connection's entries in the ledger.

use std::sync::Arc;

use aws_lc_rs::digest;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Session;
use super::arrival::Arrival;
use crate::ledger::{Entry, LedgerMode};
use crate::rules::{Push, Verdict, is_canonical_uuid, verdict};
use crate::site::Service;

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Adds a request to the batch. No verdict: it was not processed. Sending marks it answered.
    pub fn record(&mut self, arrival: &Arrival, id: &AnswerId, verdict: Option<&Verdict>, fault: Option<&str>) {
        let push = arrival.push();
        let status = verdict.map(verdict::status);
        let totals = &mut self.batch.totals;
        totals.requests += 1;
        totals.channel_calls += u64::from(push.service == Service::Channels);
        if let Some(status) = status {
            totals.processed += 1;
            if status == 200 && push.service != Service::Channels {
                totals.accepted += 1;
            } else {
                *totals.statuses.entry(status).or_default() += 1;
            }
        }
        let jwt = push.authorization.map(|header| self.provider_token(header));
        let headers = self.heads.remove(&arrival.stream);
        if self.shared.ledger.mode() == LedgerMode::Counts {
            return;
        }
        let text = |value: Option<&HeaderValue>| value.map(|value| String::from_utf8_lossy(value.as_bytes()).into());
        self.batch.entries.push(Entry {
            sequence: 0,
            time: self.shared.ledger.elapsed(),
            connection: self.number,
            stream: arrival.stream,
            identity: self.credential.caller().map(Arc::clone),
            apns_id: String::from_utf8_lossy(id.value.as_bytes()).into(),
            service: push.service,
            environment: self.site.environment,
            call: push.call(),
            request: request_line(&push),
            channel_id: channel_id(&push, verdict),
            token: push.device_token().unwrap_or_default().to_owned(),
            topic: text(push.topic),
            push_type: text(push.push_type),
            priority: text(push.priority),
            expiration: text(push.expiration),
            collapse_id: text(push.collapse_id),
            // A slice would keep the whole read buffer of the connection.
            body: Bytes::copy_from_slice(&arrival.kept),
            processed: status.is_some(),
            accepted: verdict.is_some_and(Result::is_ok),
            status,
            reason: verdict.and_then(|verdict| verdict.as_ref().err()).map(|rejection| rejection.reason.to_string()),
            answered: false,
            fault: fault.map(str::to_owned),
            jwt,
            headers,
        });
    }

    /// The ledger's name of the provider token in this header: the same for the same token.
    fn provider_token(&mut self, header: &HeaderValue) -> Arc<str> {
        if let Some((known, name)) = &self.jwt
            && known == header
        {
            return Arc::clone(name);
        }
        let hash = digest::digest(&digest::SHA256, header.as_bytes());
        let name: Arc<str> = hash.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
        self.jwt = Some((header.clone(), Arc::clone(&name)));
        name
    }

    /// Adds the pump's observations.
    pub fn take_seen(&mut self) {
        let Some(seen) = self.pump.take_seen() else { return };
        seen.acknowledged.into_iter().for_each(|after| self.limits.acknowledge(after));
        self.heads.extend(seen.heads);
        self.batch.totals.priority_frames += seen.priorities;
    }

    /// Enters the batch into the ledger.
    pub fn enter(&mut self) {
        if !self.batch.is_empty() {
            let first = self.shared.ledger.append(&mut self.batch, self.shared.clock.now_ms());
            self.waiting.entered(first);
        }
    }
}

/// The id of an answer, with the header that it is sent in.
#[derive(Clone)]
pub struct AnswerId {
    pub name: HeaderName,
    pub value: HeaderValue,
}

const APNS_ID: HeaderName = HeaderName::from_static("apns-id");
const APNS_REQUEST_ID: HeaderName = HeaderName::from_static("apns-request-id");

impl AnswerId {
    /// Returns `true` if it answers a device push.
    pub fn is_of_device(&self) -> bool {
        self.name == APNS_ID
    }
}

/// The caller's id, unchanged, or a generated one in upper case like Apple's.
pub fn answer_id(arrival: &Arrival) -> AnswerId {
    let push = arrival.push();
    let name = if push.service == Service::Device { APNS_ID } else { APNS_REQUEST_ID };
    let value = match push.id {
        Some(id) if is_canonical_uuid(id.as_bytes()) => id.clone(),
        _ => {
            let made = uuid::Uuid::new_v4().to_string().to_ascii_uppercase();
            HeaderValue::from_str(&made).unwrap_or(HeaderValue::from_static(""))
        }
    };
    AnswerId { name, value }
}

/// Method and path of anything but a device push.
fn request_line(push: &Push<'_>) -> Option<String> {
    (push.service != Service::Device).then(|| format!("{} {}", push.method, push.path))
}

/// The channel that was created, else the one in the request.
fn channel_id(push: &Push<'_>, verdict: Option<&Verdict>) -> Option<String> {
    let created = verdict.and_then(|verdict| verdict.as_ref().ok()?.channel_id.clone());
    created.or_else(|| push.channel_id.map(|id| String::from_utf8_lossy(id.as_bytes()).into()))
}
