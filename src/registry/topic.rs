//! The topic of an app: its source, and its check against the certificate.

use super::ProvisionError;
use crate::credentials::Credential;
use crate::model::{AppId, PushType};

pub const TOPIC_BYTES_MAX: usize = 255;

/// The configured topic, else the certificate's, else the app id if it is a bundle id.
pub fn of<'a>(configured: Option<&'a str>, credential: &'a Credential, id: &'a AppId) -> Option<&'a str> {
    configured.or(credential.base_topic()).or(id.is_bundle_id().then(|| id.as_str()))
}

/// The push type for notifications without one, if the base topic decides it: by its suffix, or because the certificate
/// lists the base topic only with the suffix of one type.
pub fn push_type(base: &str, credential: &Credential) -> Option<PushType> {
    PushType::of_topic(base).or_else(|| {
        let listed = credential.summary().topics;
        let mut possible = PushType::ALL.into_iter().filter(|push_type| listed.contains(&push_type.topic_for(base)));
        possible.next().filter(|_| possible.next().is_none())
    })
}

/// Checks that the app has a topic, and that the certificate allows it.
pub fn check(configured: Option<&str>, credential: &Credential, id: &AppId) -> Result<(), ProvisionError> {
    if let Some(topic) = configured {
        if !is_topic(topic) {
            return Err(ProvisionError::BadTopic);
        }
        let listed = credential.summary().topics;
        if !listed.is_empty() && credential.base_topic() != Some(topic) && !listed.iter().any(|one| is_for(one, topic))
        {
            return Err(ProvisionError::TopicNotOfCertificate { topic: topic.to_owned(), listed: listed.join(", ") });
        }
    }
    match of(configured, credential, id) {
        Some(_) => Ok(()),
        None => Err(ProvisionError::TopicMissing { id: id.clone() }),
    }
}

/// Returns true if the text can be a topic.
pub fn is_topic(text: &str) -> bool {
    (1..=TOPIC_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Also matches with a suffix: a certificate may list only the topic of one push type, and pyapns adds that suffix when
/// it sends.
fn is_for(listed: &str, topic: &str) -> bool {
    let suffix = listed.strip_prefix(topic);
    suffix.is_some_and(|suffix| PushType::ALL.iter().any(|push_type| push_type.topic_suffix() == suffix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::testing::{Recipe, signing_key};

    fn credential(uid: Option<&'static str>, topics: &'static [&'static str]) -> Credential {
        Credential::parse(&Recipe { uid, topics, ..Recipe::default() }.material()).unwrap()
    }

    fn told(configured: Option<&str>, credential: &Credential, id: &str) -> &'static str {
        let checked = check(configured, credential, &AppId::new(id).unwrap());
        checked.map_or_else(|refused| refused.reason(), |()| "good")
    }

    #[test]
    fn a_topic_comes_from_the_caller_the_certificate_or_an_app_id_that_is_a_bundle_id() {
        let (key, certificate) = (Credential::parse(&signing_key()).unwrap(), credential(Some("com.example.app"), &[]));
        let (id, bundle) = (AppId::new("p1").unwrap(), AppId::new("com.example.other").unwrap());
        assert_eq!(of(Some("com.example.x"), &key, &bundle), Some("com.example.x"));
        assert_eq!(of(None, &certificate, &bundle), Some("com.example.app"));
        assert_eq!(of(None, &key, &bundle), Some("com.example.other"));
        assert_eq!(of(None, &key, &id), None);
        for (id, expected) in [("p1", "topic_missing"), ("com.example.other", "good"), ("shop:com.a", "topic_missing")]
        {
            assert_eq!(told(None, &key, id), expected, "{id}");
            assert_eq!(told(None, &certificate, id), "good", "{id}");
            assert_eq!(told(None, &credential(None, &[]), id), expected, "{id}");
        }
    }

    #[test]
    fn a_suffix_decides_the_push_type_and_so_does_a_certificate_of_one_type() {
        let key = Credential::parse(&signing_key()).unwrap();
        let all = credential(Some("com.example.app"), &["com.example.app", "com.example.app.voip"]);
        let voip = credential(Some("com.example.app"), &["com.example.app.voip"]);
        let two = credential(Some("com.example.app"), &["com.example.app.voip", "com.example.app.complication"]);
        let suffixed = credential(Some("com.example.app.voip"), &[]);
        for (base, credential, expected) in [
            ("com.example.app", &key, None),
            ("com.example.app.voip", &key, Some(PushType::Voip)),
            ("com.example.app.push-type.liveactivity", &key, Some(PushType::LiveActivity)),
            ("com.example.app", &all, None),
            ("com.example.app.voip", &all, Some(PushType::Voip)),
            ("com.example.app", &voip, Some(PushType::Voip)),
            ("com.example.app", &two, None),
            ("com.example.app.voip", &suffixed, Some(PushType::Voip)),
            ("com.example.app", &credential(None, &[]), None),
        ] {
            assert_eq!(push_type(base, credential), expected, "{base}");
        }
    }

    #[test]
    fn a_topic_that_the_certificate_does_not_list_is_refused() {
        let listed = credential(Some("com.example.app"), &["com.example.app", "com.example.app.voip"]);
        let voip = credential(Some("com.example.app.voip"), &["com.example.app.voip"]);
        for (topic, credential, expected) in [
            ("com.example.app", &listed, "good"),
            ("com.example.app.voip", &listed, "good"),
            ("com.example.app", &voip, "good"),
            ("com.example", &listed, "topic_not_of_certificate"),
            ("com.example.other", &listed, "topic_not_of_certificate"),
            ("com.example.other", &credential(Some("com.example.app"), &[]), "topic_not_of_certificate"),
            ("com.example.other", &credential(None, &[]), "good"),
            ("com.example.other", &Credential::parse(&signing_key()).unwrap(), "good"),
            ("a b", &listed, "bad_topic"),
        ] {
            assert_eq!(told(Some(topic), credential, "shop"), expected, "{topic}");
        }
    }
}
