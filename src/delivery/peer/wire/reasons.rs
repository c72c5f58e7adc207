//! The numbers of reasons on the wire. A number is never given to another reason.
//!
//! A reason that is added in a later version goes as text, with the code that says whose it is: a node that knows it
//! reads it as such, and another one as an unlisted text.

use crate::model::{AppleReason, NodeReason, Reason};

/// No reason.
pub const NONE: u16 = 0;
/// Numbers of our own reasons begin here.
const NODE: u16 = 1000;
/// A text of Apple's, in the frame.
pub const TEXT_OF_APPLE: u16 = 0xfffe;
/// A text of a node's, in the frame.
pub const TEXT_OF_NODE: u16 = 0xffff;

/// Apple's reasons in the order of their numbers, from 1.
const APPLE_REASONS: [AppleReason; 34] = [
    AppleReason::BadCollapseId,
    AppleReason::BadDeviceToken,
    AppleReason::BadExpirationDate,
    AppleReason::BadMessageId,
    AppleReason::BadPriority,
    AppleReason::BadTopic,
    AppleReason::DeviceTokenNotForTopic,
    AppleReason::DuplicateHeaders,
    AppleReason::IdleTimeout,
    AppleReason::InvalidPushType,
    AppleReason::MissingDeviceToken,
    AppleReason::MissingTopic,
    AppleReason::PayloadEmpty,
    AppleReason::TopicDisallowed,
    AppleReason::BadCertificate,
    AppleReason::BadCertificateEnvironment,
    AppleReason::ExpiredProviderToken,
    AppleReason::Forbidden,
    AppleReason::InvalidProviderToken,
    AppleReason::MissingProviderToken,
    AppleReason::UnrelatedKeyIdInToken,
    AppleReason::BadEnvironmentKeyIdInToken,
    AppleReason::BadEnvironmentKeyInToken,
    AppleReason::BadPath,
    AppleReason::MethodNotAllowed,
    AppleReason::ExpiredToken,
    AppleReason::Unregistered,
    AppleReason::PayloadTooLarge,
    AppleReason::TopicMismatch,
    AppleReason::TooManyProviderTokenUpdates,
    AppleReason::TooManyRequests,
    AppleReason::InternalServerError,
    AppleReason::ServiceUnavailable,
    AppleReason::Shutdown,
];

/// Our reasons in the order of their numbers, from 1000.
const NODE_REASONS: [NodeReason; 18] = [
    NodeReason::Expired,
    NodeReason::DeadlinePassed,
    NodeReason::CannotConnect,
    NodeReason::ConnectionLost,
    NodeReason::ConnectionSilent,
    NodeReason::ProtocolError,
    NodeReason::StreamReset,
    NodeReason::StreamRefused,
    NodeReason::GoneAway,
    NodeReason::MalformedAnswer,
    NodeReason::CredentialError,
    NodeReason::BreakerOpen,
    NodeReason::NoDescriptors,
    NodeReason::HeadersTooLarge,
    NodeReason::AppRemoved,
    NodeReason::Overloaded,
    NodeReason::ShuttingDown,
    NodeReason::PeerLost,
];

/// The number of a reason, and the text that goes with it.
pub fn code(reason: Option<&Reason>) -> (u16, &str) {
    match reason {
        None => (NONE, ""),
        Some(Reason::Apple(reason)) => match position(&APPLE_REASONS, reason) {
            Some(at) => (at + 1, ""),
            None => (TEXT_OF_APPLE, reason.as_str()),
        },
        Some(Reason::Unlisted(text)) => (TEXT_OF_APPLE, text),
        Some(Reason::Node(reason)) => match position(&NODE_REASONS, reason) {
            Some(at) => (NODE + at, ""),
            None => (TEXT_OF_NODE, reason.as_str()),
        },
    }
}

fn position<T: PartialEq>(reasons: &[T], reason: &T) -> Option<u16> {
    reasons.iter().position(|listed| listed == reason).and_then(|at| u16::try_from(at).ok())
}

/// The reason of a number; the outer `None` is for a number that no reason has.
pub fn reason(code: u16, text: &str) -> Option<Option<Reason>> {
    let unlisted = || Reason::Unlisted(text.into());
    let reason = match code {
        NONE => return Some(None),
        TEXT_OF_APPLE => AppleReason::parse(text).map_or_else(unlisted, Reason::Apple),
        TEXT_OF_NODE => NodeReason::parse(text).map_or_else(unlisted, Reason::Node),
        NODE.. => Reason::Node(*NODE_REASONS.get(usize::from(code - NODE))?),
        _ => Reason::Apple(*APPLE_REASONS.get(usize::from(code - 1))?),
    };
    Some(Some(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reasons of channels, which nodes learned later.
    const AS_TEXT: [AppleReason; 9] = [
        AppleReason::FeatureNotEnabled,
        AppleReason::BroadcastFeatureNotEnabled,
        AppleReason::MissingChannelId,
        AppleReason::BadChannelId,
        AppleReason::ChannelNotRegistered,
        AppleReason::BadRequestParams,
        AppleReason::BadRequestPayload,
        AppleReason::MissingPushType,
        AppleReason::CannotCreateChannelConfig,
    ];

    #[test]
    fn every_reason_reads_back_from_its_number_or_from_its_text() {
        let apples = AppleReason::ALL.iter().map(|reason| Reason::Apple(*reason));
        let ours = NodeReason::ALL.iter().map(|reason| Reason::Node(*reason));
        for known in apples.chain(ours) {
            let (code, text) = code(Some(&known));
            assert_eq!(reason(code, text), Some(Some(known.clone())));
            let is_later = AS_TEXT.iter().any(|later| known == Reason::Apple(*later));
            assert_eq!(text.is_empty(), !is_later, "{known} has a number, unless older nodes do not know it");
        }
    }

    #[test]
    fn the_numbers_are_those_that_other_releases_read() {
        let numbers = [
            (Reason::Apple(AppleReason::BadCollapseId), 1),
            (Reason::Apple(AppleReason::Unregistered), 27),
            (Reason::Apple(AppleReason::Shutdown), 34),
            (Reason::Node(NodeReason::Expired), 1000),
            (Reason::Node(NodeReason::NoDescriptors), 1012),
            (Reason::Node(NodeReason::PeerLost), 1017),
        ];
        for (reason, number) in numbers {
            assert_eq!(code(Some(&reason)), (number, ""), "{reason}");
        }
    }

    #[test]
    fn a_text_is_read_as_the_reason_of_its_side_and_an_unknown_number_as_none() {
        let of = |code, text| reason(code, text).flatten();
        assert_eq!(of(TEXT_OF_APPLE, "Forbidden"), Some(AppleReason::Forbidden.into()));
        assert_eq!(of(TEXT_OF_APPLE, "expired"), Some(Reason::Unlisted("expired".into())));
        assert_eq!(of(TEXT_OF_NODE, "expired"), Some(NodeReason::Expired.into()));
        assert_eq!(of(TEXT_OF_NODE, "on_holiday"), Some(Reason::Unlisted("on_holiday".into())));
        for unknown in [35, 999, 1018, 0xfffd] {
            assert_eq!(reason(unknown, ""), None, "{unknown}");
        }
        assert_eq!(reason(NONE, ""), Some(None));
    }
}
