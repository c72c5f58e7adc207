//! Tests of the disconnection log's entry for each end of a notification or a connection.

use super::*;
use crate::model::{AppId, Draft, Environment};

const IDENTIFIERS: Identifiers = Identifiers { own: 7, last_accepted: 5 };

fn app(id: &str) -> AppKey {
    AppKey::new(AppId::new(id).unwrap(), Environment::Sandbox)
}

fn batch() -> Batch {
    let mut batch = Batch::default();
    let payload = r#"{"aps": {"alert":"hä"}}"#;
    let (identifier, expiry) = (Some(r#""order \"7\"""#), Some(0));
    batch
        .push(Draft { token: "00FC 13ad", payload, identifier, expiry, ..Draft::default() }, uuid::Uuid::new_v4)
        .unwrap();
    batch
}

fn ended(kind: OutcomeKind, reason: Option<Reason>) -> Option<Disconnection> {
    let batch = batch();
    let outcome = Outcome { kind, status: Some(400), reason, timestamp: 1_800_000_000.5, attempts: 1 };
    of_notification(&app("shop"), IDENTIFIERS, &batch, &batch.items()[0], &outcome)
}

fn failed(reason: impl Into<Reason>) -> Option<Disconnection> {
    ended(OutcomeKind::Rejected, Some(reason.into()))
}

#[test]
fn a_rejected_notification_is_shown_as_v05_showed_it() {
    let entry = failed(AppleReason::BadDeviceToken).unwrap();
    assert_eq!(
        (entry.code, entry.verbose_message.as_str(), entry.reason.as_str()),
        (8, "Invalid token", "BadDeviceToken")
    );
    assert_eq!((entry.internal_identifier, entry.status, entry.affected), (7, Some(400), 0));
    assert_eq!(entry.apns_id.map(|id| id.len()), Some(36));
    let expected = r#"{"type":"notification","expiry":0,"identifier":"order \"7\"","payload":{"aps": {"alert":"hä"}},"token":"00fc13ad"}"#;
    assert_eq!(entry.offending_notification.as_deref(), Some(expected));
}

#[test]
fn every_reason_of_apple_has_the_code_of_the_table() {
    let mut seen: Vec<(&str, u8)> = Vec::new();
    for reason in AppleReason::ALL {
        if let Some(entry) = failed(*reason).filter(|entry| entry.code != 255) {
            seen.push((reason.as_str(), entry.code));
        }
    }
    let expected = [
        ("BadDeviceToken", 8),
        ("BadTopic", 6),
        ("DeviceTokenNotForTopic", 8),
        ("MissingDeviceToken", 2),
        ("MissingTopic", 3),
        ("PayloadEmpty", 4),
        ("TopicDisallowed", 6),
        ("PayloadTooLarge", 7),
        ("TooManyRequests", 1),
        ("InternalServerError", 1),
        ("ServiceUnavailable", 1),
        ("Shutdown", 10),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn every_code_is_one_that_clients_of_v05_know() {
    let reasons = AppleReason::ALL.iter().map(|reason| Reason::from(*reason));
    let reasons = reasons.chain(NodeReason::ALL.iter().map(|reason| Reason::from(*reason)));
    for reason in reasons.chain([Reason::Unlisted("BrandNew".into())]) {
        let codes = [failed(reason.clone()), of_connection(&app("shop"), &reason, 5, 1, 1.0)];
        for entry in codes.into_iter().flatten() {
            assert!(matches!(entry.code, 0..=8 | 10 | 255), "{reason}: {}", entry.code);
        }
    }
}

#[test]
fn accepted_and_expired_notifications_and_dead_tokens_make_no_entry() {
    assert_eq!(ended(OutcomeKind::Accepted, None), None);
    assert_eq!(ended(OutcomeKind::Expired, Some(NodeReason::Expired.into())), None);
    assert_eq!(failed(AppleReason::Unregistered), None);
    assert_eq!(failed(AppleReason::ExpiredToken), None);
}

#[test]
fn the_entry_of_a_broken_credential_names_no_notification() {
    for reason in [AppleReason::InvalidProviderToken, AppleReason::BadCertificate] {
        let entry = failed(reason).unwrap();
        assert_eq!((entry.code, entry.offending_notification, entry.apns_id, entry.affected), (255, None, None, 1));
    }
}

#[test]
fn an_undocumented_reason_of_apple_is_stored_verbatim() {
    let entry = failed(Reason::Unlisted("BrandNew".into())).unwrap();
    assert_eq!((entry.code, entry.reason.as_str(), entry.offending_notification.is_some()), (255, "BrandNew", true));
}

#[test]
fn incidents_of_one_batch_become_one_entry_per_app_reason_and_status() {
    let entry = |id: &str, reason: AppleReason| Disconnection { app: app(id), ..failed(reason).unwrap() };
    let forbidden = |id| entry(id, AppleReason::Forbidden);
    let folded = fold_incidents(vec![
        forbidden("shop"),
        entry("shop", AppleReason::BadPriority),
        forbidden("chat"),
        Disconnection { internal_identifier: 9, ..forbidden("shop") },
        entry("shop", AppleReason::BadPriority),
        Disconnection { status: None, ..forbidden("shop") },
    ]);
    let shown: Vec<_> =
        folded.iter().map(|e| (e.app.id.as_str(), e.reason.as_str(), e.affected, e.internal_identifier)).collect();
    let expected = [
        ("shop", "Forbidden", 2, 9),
        ("shop", "BadPriority", 0, 7),
        ("chat", "Forbidden", 1, 7),
        ("shop", "BadPriority", 0, 7),
        ("shop", "Forbidden", 1, 7),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn a_connection_that_ends_normally_and_affects_no_notification_makes_no_entry() {
    let shop = app("shop");
    assert_eq!(of_connection(&shop, &AppleReason::IdleTimeout.into(), 5, 0, 1.0), None);
    assert_eq!(of_connection(&shop, &AppleReason::Shutdown.into(), 5, 0, 1.0), None);
    let harmed = of_connection(&shop, &AppleReason::Shutdown.into(), 5, 3, 1.0).unwrap();
    assert_eq!((harmed.code, harmed.affected, harmed.offending_notification), (10, 3, None));
    let lost = of_connection(&shop, &NodeReason::ConnectionLost.into(), 5, 0, 1.0).unwrap();
    assert_eq!((lost.code, lost.reason.as_str()), (255, "connection_lost"));
}

#[test]
fn the_entry_of_a_shutdown_has_the_last_accepted_notification_and_others_the_failed_one() {
    let shop = app("shop");
    let identifier = |entry: Option<Disconnection>| entry.map(|entry| entry.internal_identifier);
    assert_eq!(identifier(failed(AppleReason::Shutdown)), Some(5));
    assert_eq!(identifier(failed(NodeReason::GoneAway)), Some(5));
    assert_eq!(identifier(failed(AppleReason::BadDeviceToken)), Some(7));
    assert_eq!(identifier(failed(AppleReason::Forbidden)), Some(7));
    assert_eq!(identifier(of_connection(&shop, &AppleReason::Shutdown.into(), 5, 3, 1.0)), Some(5));
    assert_eq!(identifier(of_connection(&shop, &NodeReason::ConnectionLost.into(), 5, 3, 1.0)), Some(0));
}
