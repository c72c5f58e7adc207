//! `apns-push-type`: Apple's eleven values with their properties. A topic ends in the suffix of its push type
//! (apns-protocol.md 6), so that each decides the other.

/// The payload limit of all types except VoIP, in bytes of the body sent.
pub const PAYLOAD_BYTES_MAX: usize = 4096;
/// The payload limit of VoIP pushes, in bytes of the body sent.
pub const VOIP_PAYLOAD_BYTES_MAX: usize = 5120;

/// The value of the `apns-push-type` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PushType {
    Alert,
    Background,
    Voip,
    Complication,
    FileProvider,
    Mdm,
    Location,
    LiveActivity,
    PushToTalk,
    Controls,
    Widgets,
}

impl PushType {
    pub const ALL: [Self; 11] = [
        Self::Alert,
        Self::Background,
        Self::Voip,
        Self::Complication,
        Self::FileProvider,
        Self::Mdm,
        Self::Location,
        Self::LiveActivity,
        Self::PushToTalk,
        Self::Controls,
        Self::Widgets,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Background => "background",
            Self::Voip => "voip",
            Self::Complication => "complication",
            Self::FileProvider => "fileprovider",
            Self::Mdm => "mdm",
            Self::Location => "location",
            Self::LiveActivity => "liveactivity",
            Self::PushToTalk => "pushtotalk",
            Self::Controls => "controls",
            Self::Widgets => "widgets",
        }
    }

    /// The push type with that name, `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|push_type| push_type.as_str() == text)
    }

    /// The push type whose suffix `topic` ends in; `None` for a bundle id, which several types use.
    pub fn of_topic(topic: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|push_type| push_type.bundle_of(topic).is_some())
    }

    /// The topic of a push of this type, for an app with this base topic. If the base topic has a suffix already, it is
    /// not added twice, and this type's suffix replaces another type's. A type without a suffix leaves the base topic
    /// unchanged.
    pub fn topic_for(self, base: &str) -> String {
        let suffix = self.topic_suffix();
        let bundle = match Self::of_topic(base) {
            Some(other) if !suffix.is_empty() => other.bundle_of(base).unwrap_or(base),
            _ => base,
        };
        format!("{bundle}{suffix}")
    }

    /// The bundle id of a topic: without the suffix of a push type, if it ends in one.
    pub fn bundle_id(topic: &str) -> &str {
        Self::of_topic(topic).and_then(|push_type| push_type.bundle_of(topic)).unwrap_or(topic)
    }

    /// The bundle id in `topic`, if it ends in this type's suffix.
    fn bundle_of(self, topic: &str) -> Option<&str> {
        let suffix = self.topic_suffix();
        topic.strip_suffix(suffix).filter(|bundle| !suffix.is_empty() && !bundle.is_empty())
    }

    /// The suffix of the topic after the bundle id.
    pub fn topic_suffix(self) -> &'static str {
        match self {
            Self::Alert | Self::Background | Self::Mdm => "",
            Self::Voip => ".voip",
            Self::Complication => ".complication",
            Self::FileProvider => ".pushkit.fileprovider",
            Self::Location => ".location-query",
            Self::LiveActivity => ".push-type.liveactivity",
            Self::PushToTalk => ".voip-ptt",
            Self::Controls => ".push-type.controls",
            Self::Widgets => ".push-type.widgets",
        }
    }

    /// The maximum size of a payload of this type, in bytes.
    pub fn payload_bytes_max(self) -> usize {
        match self {
            Self::Voip => VOIP_PAYLOAD_BYTES_MAX,
            _ => PAYLOAD_BYTES_MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PushType;

    #[test]
    fn every_push_type_is_parsed_from_its_name() {
        for push_type in PushType::ALL {
            assert_eq!(PushType::parse(push_type.as_str()), Some(push_type));
        }
        assert_eq!(PushType::parse("Alert"), None);
    }

    #[test]
    fn a_topic_with_a_suffix_decides_its_push_type_and_is_its_topic() {
        for push_type in PushType::ALL {
            let topic = push_type.topic_for("com.example.app");
            let told = (!push_type.topic_suffix().is_empty()).then_some(push_type);
            assert_eq!(PushType::of_topic(&topic), told, "{topic}");
            assert_eq!(push_type.topic_for(&topic), topic, "no suffix twice");
        }
        for bare in ["com.example.app", "com.example.voipx", ".voip", "voip", "", "com.example.push-type"] {
            assert_eq!(PushType::of_topic(bare), None, "{bare}");
        }
    }

    #[test]
    fn the_suffix_of_another_push_type_replaces_a_suffix_and_a_type_without_one_keeps_it() {
        for (push_type, base, topic) in [
            (PushType::Complication, "com.example.app.voip", "com.example.app.complication"),
            (PushType::Voip, "com.example.app.voip-ptt", "com.example.app.voip"),
            (PushType::Widgets, "com.example.app.push-type.controls", "com.example.app.push-type.widgets"),
            (PushType::Alert, "com.example.app.voip", "com.example.app.voip"),
            (PushType::Voip, ".voip", ".voip.voip"),
        ] {
            assert_eq!(push_type.topic_for(base), topic, "{} of {base}", push_type.as_str());
        }
    }
}
