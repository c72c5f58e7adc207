//! The operator's sentences for Apple's reasons about an app's credential, with the remedy. `last_error`, the log and
//! `pyapns doctor` use this table. Pure.

use crate::credentials::Summary;
use crate::model::{AppleReason, Environment};
use crate::registry::App;

/// The likely causes of a refusal with the remedy, without a full stop and without the reason's name. `None` for a
/// reason that is not about the credential or its use (apns-protocol.md 4, 9 and 11).
pub fn advice(reason: AppleReason, app: &App) -> Option<String> {
    use AppleReason as R;
    let Summary { kind, key_id, team_id, .. } = app.credential.summary();
    let (key, team) = (key_id.as_deref().unwrap_or("?"), team_id.as_deref().unwrap_or("?"));
    let (here, there, topic) = (app.key.environment.as_str(), other(app.key.environment), &app.topic);
    let advice = match reason {
        R::InvalidProviderToken => format!(
            "the provider token is signed as key_id {key} of team_id {team}: the two may be exchanged (both have ten \
             characters), the key may be revoked, or the .p8 file belongs to another key_id or team; compare them with \
             Keys and Membership in Apple's developer portal and provision the app again. A clock that is hours ahead \
             looks the same: check that NTP keeps this machine's"
        ),
        R::ExpiredProviderToken => "the provider token was made within the last hour by this machine's clock, and for \
             Apple it is older than an hour: the clock is wrong; set it and check that NTP keeps it (timedatectl, \
             chronyc tracking). The credential is probably good"
            .to_owned(),
        R::BadEnvironmentKeyIdInToken | R::BadEnvironmentKeyInToken => format!(
            "the key {key} is for one environment only, and not for {here}: provision the app with a key for {here}, \
             or provision this key for {there}"
        ),
        R::UnrelatedKeyIdInToken => format!(
            "the key {key} is not related to the key that Apple saw first on the connection: keys for certain topics \
             cannot share one. pyapns gives each app its own connections, so look for a proxy that joins them, and \
             check in Apple's developer portal that the key {key} covers {topic}"
        ),
        R::MissingProviderToken if kind == "certificate" => "Apple saw neither a client certificate nor a provider \
             token: something on the way, a proxy or a firewall, takes TLS apart and drops the certificate; let the \
             connection through untouched"
            .to_owned(),
        R::MissingProviderToken => {
            "the `authorization` header did not reach Apple: something on the way, a proxy or a \
             firewall, takes TLS apart and drops it; let the connection through untouched"
                .to_owned()
        }
        R::BadCertificate => "the certificate is revoked, expired, or no push certificate: make another in Apple's \
             developer portal and provision the app with it"
            .to_owned(),
        R::BadCertificateEnvironment => format!(
            "the certificate is not for {here}: provision the app with one for {here}, or provision this one for {there}"
        ),
        R::Forbidden => "the team may not do this: its membership may have ended, an agreement may wait to be \
             accepted, or push is not enabled for the app id or the key; look in Apple's developer portal"
            .to_owned(),
        R::TopicMismatch | R::TopicDisallowed => format!(
            "the credential does not cover the topic {topic}: provision the app with a credential of the team and app \
             that the topic belongs to, or with another `topic`"
        ),
        R::BadTopic | R::MissingTopic => format!(
            "Apple does not know the topic {topic}: provision the app with `topic`, usually the bundle id, such as \
             com.example.app"
        ),
        R::TooManyProviderTokenUpdates => format!(
            "Apple takes a new provider token of the key {key} every 20 minutes at most, and pyapns changes its own no \
             more often: another program or node uses the same key, or its clock differs; give it a separate key and \
             check the clocks. What waits is sent again later"
        ),
        _ => return None,
    };
    Some(advice)
}

/// The reason with its advice, for `last_error` and the log.
pub fn sentence(reason: AppleReason, app: &App) -> String {
    match advice(reason, app) {
        Some(advice) => format!("Apple refuses the app's credential ({}): {advice}", reason.as_str()),
        None => format!("Apple refuses the app's credential ({}): provision the app again", reason.as_str()),
    }
}

fn other(environment: Environment) -> &'static str {
    match environment {
        Environment::Sandbox => Environment::Production.as_str(),
        Environment::Production => Environment::Sandbox.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apns::response::Response;
    use crate::delivery::verdict::{self, SideEffect};
    use crate::model::Reason;
    use std::collections::HashSet;

    #[test]
    fn every_reason_that_stops_an_app_has_a_separate_sentence() {
        let (app, mut told) = (App::sample(), HashSet::new());
        for &reason in AppleReason::ALL {
            let response = Response {
                status: 403,
                reason: Some(Reason::Apple(reason)),
                dead_since: None,
                retry_after_seconds: None,
            };
            let stops = verdict::answered(&response, 2).side_effect == SideEffect::CredentialBroken;
            let advice = advice(reason, &app);
            assert!(!stops || advice.is_some(), "{reason:?}");
            // One of Apple's reasons has two spellings.
            if let Some(advice) = advice.filter(|_| stops && reason != AppleReason::BadEnvironmentKeyInToken) {
                assert!(!advice.contains("   ") && !advice.ends_with('.'), "{advice}");
                assert!(told.insert(advice), "{reason:?} says what another reason says");
            }
        }
        assert!(told.len() >= 8, "{told:?}");
    }

    #[test]
    fn a_sentence_names_the_ids_the_environment_and_the_clock() {
        let app = App::sample();
        let ids = sentence(AppleReason::InvalidProviderToken, &app);
        assert!(ids.contains("key_id KEY1234567 of team_id TEAM123456") && ids.contains("exchanged"), "{ids}");
        assert!(sentence(AppleReason::ExpiredProviderToken, &app).contains("NTP"));
        let environment = sentence(AppleReason::BadEnvironmentKeyInToken, &app);
        assert!(environment.contains("not for sandbox") && environment.contains("for production"), "{environment}");
    }
}
