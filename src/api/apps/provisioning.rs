//! The body that provisions an app: a JSON object, or the certificate's file as it is.

use crate::api::json;
use crate::api::object::{Object, ObjectFault};
use crate::credentials::Secret;
use crate::credentials::paths::{FILE_BYTES_MAX, is_pem};
use crate::registry::{LANES_DEFAULT, TIMEOUT_SECONDS_DEFAULT};
use zeroize::Zeroizing;

/// What a caller asks for. Neither the credential nor any range is checked yet.
#[derive(Debug, PartialEq)]
pub struct Provisioning {
    pub credential: Given,
    pub topic: Option<String>,
    /// For connecting to Apple.
    pub timeout_seconds: u32,
    pub lanes: u16,
}

/// Which credential it is.
#[derive(Debug, PartialEq)]
pub enum Given {
    Certificate(Source),
    Key { key: Source, key_id: String, team_id: String },
}

/// Where its text is.
#[derive(Debug, PartialEq)]
pub enum Source {
    Text(Secret),
    /// On the server.
    Path(String),
}

/// Why a body provisions nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProvisioningFault {
    #[error(transparent)]
    Object(#[from] ObjectFault),
    #[error("no credential is given: send `certificate`, or `key` with `key_id` and `team_id`")]
    NoCredential,
    #[error("both `certificate` and `key` are given: an app has one credential")]
    TwoCredentials,
    #[error("`{missing}` is missing: a signing key needs `key_id` and `team_id` beside it")]
    KeyIncomplete { missing: &'static str },
    #[error("`{name}` belongs to a signing key, and a certificate is given: leave it out")]
    NotOfCertificate { name: &'static str },
    #[error("the certificate has lost its line breaks on the way: send its file with `curl --data-binary @file`")]
    LineBreaksLost,
    #[error("`{name}` is longer than {FILE_BYTES_MAX} bytes")]
    TooLong { name: &'static str },
}

/// Reads a provisioning body.
pub fn read(body: &[u8]) -> Result<Provisioning, ProvisioningFault> {
    let text = json::text(body).map_err(ObjectFault::from)?;
    if !text.trim_start().starts_with('{') && is_pem(text) {
        // What `curl -d @file` makes of a file.
        if !text.trim().contains(['\n', '\r']) {
            return Err(ProvisioningFault::LineBreaksLost);
        }
        let credential = Given::Certificate(source("certificate", text.to_owned().into())?);
        return Ok(Provisioning {
            credential,
            topic: None,
            timeout_seconds: TIMEOUT_SECONDS_DEFAULT,
            lanes: LANES_DEFAULT,
        });
    }
    let mut object = Object::read(text)?;
    object
        .refuse("pkcs12", "turn it into PEM with `openssl pkcs12 -in FILE -nodes`, and send that as `certificate`")?;
    object.refuse("passphrase", "decrypt the key with `openssl pkey -in FILE`")?;
    let read = Provisioning {
        credential: given(&mut object)?,
        topic: object.take("topic", "a string: the app's bundle id")?,
        timeout_seconds: object.take("timeout", "an integer: seconds")?.unwrap_or(TIMEOUT_SECONDS_DEFAULT),
        lanes: object.take("lanes", "an integer")?.unwrap_or(LANES_DEFAULT),
    };
    object.finish()?;
    Ok(read)
}

fn given(object: &mut Object<'_>) -> Result<Given, ProvisioningFault> {
    const PEM: &str = "a string: PEM text, or a path on the server";
    let certificate = object.take::<String>("certificate", PEM)?.map(Zeroizing::new);
    let key = object.take::<String>("key", PEM)?.map(Zeroizing::new);
    let key_id = object.take("key_id", "a string: the ten characters that Apple shows beside the key")?;
    let team_id = object.take("team_id", "a string: the ten characters of your team at Apple")?;
    match (certificate, key, key_id, team_id) {
        (None, None, ..) => Err(ProvisioningFault::NoCredential),
        (Some(_), Some(_), ..) => Err(ProvisioningFault::TwoCredentials),
        (Some(_), None, Some::<String>(_), _) => Err(ProvisioningFault::NotOfCertificate { name: "key_id" }),
        (Some(_), None, _, Some::<String>(_)) => Err(ProvisioningFault::NotOfCertificate { name: "team_id" }),
        (Some(certificate), None, None, None) => Ok(Given::Certificate(source("certificate", certificate)?)),
        (None, Some(_), None, _) => Err(ProvisioningFault::KeyIncomplete { missing: "key_id" }),
        (None, Some(_), _, None) => Err(ProvisioningFault::KeyIncomplete { missing: "team_id" }),
        (None, Some(key), Some(key_id), Some(team_id)) => Ok(Given::Key { key: source("key", key)?, key_id, team_id }),
    }
}

fn source(name: &'static str, text: Zeroizing<String>) -> Result<Source, ProvisioningFault> {
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(ProvisioningFault::TooLong { name });
    }
    Ok(if is_pem(&text) { Source::Text(Secret::from(text.as_str())) } else { Source::Path(text.to_string()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

    fn refused(body: &str) -> String {
        read(body.as_bytes()).expect_err("a bad body").to_string()
    }

    #[test]
    fn a_certificate_comes_as_text_as_a_path_or_as_the_whole_body() {
        let json =
            serde_json::json!({"certificate": PEM, "timeout": 30, "topic": "com.example", "lanes": 4}).to_string();
        let whole = read(json.as_bytes()).unwrap();
        assert_eq!(whole.credential, Given::Certificate(Source::Text(PEM.into())));
        assert_eq!((whole.timeout_seconds, whole.topic.as_deref(), whole.lanes), (30, Some("com.example"), 4));

        let path = read(br#"{"certificate": "app.pem", "timeout": null}"#).unwrap();
        assert_eq!(path.credential, Given::Certificate(Source::Path("app.pem".to_owned())));
        assert_eq!((path.timeout_seconds, path.lanes), (15, 1));

        for raw in [PEM.to_owned(), format!("Bag Attributes\n    localKeyID: 01\n{PEM}")] {
            let raw_body = read(raw.as_bytes()).unwrap();
            assert_eq!(raw_body.credential, Given::Certificate(Source::Text(raw.as_str().into())));
        }
    }

    #[test]
    fn a_signing_key_comes_with_its_two_ids() {
        let key = read(br#"{"key": "AuthKey.p8", "key_id": "ABC123DEFG", "team_id": "DEF123GHIJ"}"#).unwrap();
        let Given::Key { key, key_id, team_id } = key.credential else { panic!("a key") };
        assert_eq!(
            (key, key_id.as_str(), team_id.as_str()),
            (Source::Path("AuthKey.p8".into()), "ABC123DEFG", "DEF123GHIJ")
        );
    }

    #[test]
    fn what_makes_no_sense_is_told_and_no_value_is_repeated() {
        let table = [
            ("", "the body is empty: send JSON"),
            ("[]", "the body has to be a JSON object"),
            ("{}", "no credential is given: send `certificate`, or `key` with `key_id` and `team_id`"),
            (r#"{"certificate":"a","key":"b"}"#, "both `certificate` and `key` are given: an app has one credential"),
            (
                r#"{"key":"b","team_id":"t"}"#,
                "`key_id` is missing: a signing key needs `key_id` and `team_id` beside it",
            ),
            (
                r#"{"key":"b","key_id":"k"}"#,
                "`team_id` is missing: a signing key needs `key_id` and `team_id` beside it",
            ),
            (
                r#"{"certificate":"a","key_id":"k"}"#,
                "`key_id` belongs to a signing key, and a certificate is given: leave it out",
            ),
            (r#"{"certificate":["SECRET"]}"#, "`certificate` has to be a string: PEM text, or a path on the server"),
            (r#"{"certificate":"a","timeout":"15"}"#, "`timeout` has to be an integer: seconds"),
            (r#"{"certificate":"a","lanes":-1}"#, "`lanes` has to be an integer"),
            (r#"{"certificate":"a","certificate":"b"}"#, "`certificate` stands there twice"),
        ];
        for (body, sentence) in table {
            assert_eq!(refused(body), sentence, "{body}");
        }
        assert!(
            refused(r#"{"certificate":"a","cert":"b"}"#).starts_with("`cert` is not known here: known are certificate")
        );
        assert!(refused(r#"{"pkcs12":"a"}"#).starts_with("`pkcs12` is not built yet: "));
        assert!(refused("{\"certificate\":\"-----BEGIN\nCERT\"}").contains("curl --data-binary @file"));
        assert_eq!(refused(&format!("{PEM}{}", "x".repeat(65_536))), "`certificate` is longer than 65536 bytes");
    }

    #[test]
    fn private_keys_do_not_print() {
        let read = read(format!("{PEM}-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n").as_bytes()).unwrap();
        assert!(!format!("{read:?}").contains("c2VjcmV0"));
    }
}
