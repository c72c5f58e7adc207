//! The causes and remedies of Apple's reasons for channels and broadcasts (apns-protocol.md 11).

use crate::delivery::refusal;
use crate::model::broadcast::BROADCAST_PAYLOAD_BYTES_MAX;
use crate::model::{AppleReason, PushType, Reason};
use crate::registry::App;

/// The sentence for a reason of Apple, without its name and without a full stop; `None` for a reason of pyapns or one
/// that is not documented.
pub fn advice(reason: &Reason, app: &App) -> Option<String> {
    use AppleReason as R;
    let Reason::Apple(reason) = *reason else { return None };
    let (environment, bundle) = (app.key.environment.as_str(), PushType::bundle_id(&app.topic));
    Some(match reason {
        R::FeatureNotEnabled | R::BroadcastFeatureNotEnabled => format!(
            "broadcasts are not enabled for {bundle}: enable the broadcast capability of this App ID in Apple's \
             developer portal, and send the request again"
        ),
        R::BadChannelId | R::ChannelNotRegistered => format!(
            "{bundle} has no such channel in {environment}: it was deleted, or it belongs to the other environment or \
             to another app; GET …/channels lists the channels"
        ),
        R::CannotCreateChannelConfig => format!(
            "{bundle} has as many channels in {environment} as Apple allows (10,000): delete channels that are no \
             longer used"
        ),
        R::TopicDisallowed => format!(
            "Apple does not take channels and broadcasts for the topic {bundle}: provision the app with its bundle id, \
             without a suffix, as `topic`, and with a credential that covers it"
        ),
        R::BadExpirationDate => {
            "the channel stores no message (storage policy 0), and then `expiry` must be 0 or left \
             out; a channel with the storage policy 1 takes a date in UNIX seconds"
                .to_owned()
        }
        R::BadPriority => "`priority` must be 10 or 5".to_owned(),
        R::PayloadTooLarge => {
            format!("Apple takes at most {BROADCAST_PAYLOAD_BYTES_MAX} bytes of payload in a broadcast: shorten it")
        }
        R::PayloadEmpty => "Apple got no payload: send a JSON object as `payload`".to_owned(),
        R::TooManyRequests => {
            "Apple gets too many requests for this app at this time: send fewer, and send again later".to_owned()
        }
        R::InternalServerError | R::ServiceUnavailable | R::Shutdown | R::IdleTimeout => {
            "Apple's service fails at this time: send again later".to_owned()
        }
        R::BadMessageId
        | R::DuplicateHeaders
        | R::InvalidPushType
        | R::MissingPushType
        | R::MissingChannelId
        | R::BadRequestParams
        | R::BadRequestPayload
        | R::BadPath
        | R::MethodNotAllowed => {
            "Apple does not understand the request that pyapns makes: a proxy on the way may have changed it, or Apple \
             may have changed its interface; look for a newer version of pyapns, or report it with the request's id"
                .to_owned()
        }
        reason => return refusal::advice(reason, app),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_channels_has_advice() {
        let app = App::sample();
        let of_devices = [
            AppleReason::BadCollapseId,
            AppleReason::BadDeviceToken,
            AppleReason::DeviceTokenNotForTopic,
            AppleReason::MissingDeviceToken,
            AppleReason::ExpiredToken,
            AppleReason::Unregistered,
        ];
        for reason in AppleReason::ALL.iter().filter(|reason| !of_devices.contains(reason)) {
            let advice = advice(&Reason::Apple(*reason), &app);
            let advice = advice.unwrap_or_else(|| panic!("{reason:?} has advice"));
            assert!(!advice.contains("  ") && !advice.ends_with('.'), "{advice}");
        }
    }

    #[test]
    fn the_advice_names_the_bundle_id_without_a_suffix() {
        let app = App { topic: "com.example.shop.push-type.liveactivity".to_owned(), ..App::sample() };
        let advice = advice(&AppleReason::BroadcastFeatureNotEnabled.into(), &app).expect("advice");
        assert!(advice.contains("for com.example.shop: enable"), "{advice}");
    }
}
