//! The reason of an outcome: Apple's reasons verbatim, and ours.

use std::fmt;

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($variant,)* }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The reason with exactly this spelling, `None` if it is not listed.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

reasons! {
    /// The reasons that Apple documents, for device pushes, broadcasts and channels, and two spellings seen only on the
    /// wire.
    AppleReason {
        BadCollapseId = "BadCollapseId",
        BadDeviceToken = "BadDeviceToken",
        BadExpirationDate = "BadExpirationDate",
        BadMessageId = "BadMessageId",
        BadPriority = "BadPriority",
        BadTopic = "BadTopic",
        DeviceTokenNotForTopic = "DeviceTokenNotForTopic",
        DuplicateHeaders = "DuplicateHeaders",
        IdleTimeout = "IdleTimeout",
        InvalidPushType = "InvalidPushType",
        MissingDeviceToken = "MissingDeviceToken",
        MissingTopic = "MissingTopic",
        PayloadEmpty = "PayloadEmpty",
        TopicDisallowed = "TopicDisallowed",
        BadCertificate = "BadCertificate",
        BadCertificateEnvironment = "BadCertificateEnvironment",
        ExpiredProviderToken = "ExpiredProviderToken",
        Forbidden = "Forbidden",
        InvalidProviderToken = "InvalidProviderToken",
        MissingProviderToken = "MissingProviderToken",
        UnrelatedKeyIdInToken = "UnrelatedKeyIdInToken",
        BadEnvironmentKeyIdInToken = "BadEnvironmentKeyIdInToken",
        BadEnvironmentKeyInToken = "BadEnvironmentKeyInToken",
        BadPath = "BadPath",
        MethodNotAllowed = "MethodNotAllowed",
        ExpiredToken = "ExpiredToken",
        Unregistered = "Unregistered",
        PayloadTooLarge = "PayloadTooLarge",
        TopicMismatch = "TopicMismatch",
        TooManyProviderTokenUpdates = "TooManyProviderTokenUpdates",
        TooManyRequests = "TooManyRequests",
        InternalServerError = "InternalServerError",
        ServiceUnavailable = "ServiceUnavailable",
        Shutdown = "Shutdown",
        FeatureNotEnabled = "FeatureNotEnabled",
        BroadcastFeatureNotEnabled = "BroadcastFeatureNotEnabled",
        MissingChannelId = "MissingChannelId",
        BadChannelId = "BadChannelId",
        ChannelNotRegistered = "ChannelNotRegistered",
        BadRequestParams = "BadRequestParams",
        BadRequestPayload = "BadRequestPayload",
        MissingPushType = "MissingPushType",
        CannotCreateChannelConfig = "CannotCreateChannelConfig",
    }
}

reasons! {
    /// Our reasons, for notifications that ended without Apple's verdict.
    NodeReason {
        Expired = "expired",
        DeadlinePassed = "deadline_passed",
        CannotConnect = "cannot_connect",
        ConnectionLost = "connection_lost",
        ConnectionSilent = "connection_silent",
        ProtocolError = "protocol_error",
        StreamReset = "stream_reset",
        StreamRefused = "stream_refused",
        GoneAway = "gone_away",
        MalformedAnswer = "malformed_answer",
        CredentialError = "credential_error",
        BreakerOpen = "breaker_open",
        NoDescriptors = "no_descriptors",
        HeadersTooLarge = "headers_too_large",
        AppRemoved = "app_removed",
        Overloaded = "overloaded",
        ShuttingDown = "shutting_down",
        PeerLost = "peer_lost",
    }
}

/// The `reason` of an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    Apple(AppleReason),
    /// A reason of Apple that is not documented, unchanged.
    Unlisted(Box<str>),
    Node(NodeReason),
}

impl Reason {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Apple(reason) => reason.as_str(),
            Self::Unlisted(text) => text,
            Self::Node(reason) => reason.as_str(),
        }
    }

    /// The reason with a bounded number of values, for a metric's label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Apple(reason) => reason.as_str(),
            Self::Unlisted(_) => "other",
            Self::Node(reason) => reason.as_str(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl From<AppleReason> for Reason {
    fn from(reason: AppleReason) -> Self {
        Self::Apple(reason)
    }
}

impl From<NodeReason> for Reason {
    fn from(reason: NodeReason) -> Self {
        Self::Node(reason)
    }
}
