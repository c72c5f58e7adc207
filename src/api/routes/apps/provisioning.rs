//! The body that provisions an app: a JSON object, or the unchanged file of the certificate, PEM or PKCS#12.

use crate::credentials::Secret;
use crate::credentials::import::{PASSPHRASE_BYTES_MAX, decode_base64, has_armour, is_der, is_utf16, unwrap_base64};
use crate::credentials::paths::FILE_BYTES_MAX;
use crate::json::{self, Object, ObjectFault, form};
use crate::registry::{LANES_DEFAULT, TIMEOUT_SECONDS_DEFAULT};
use zeroize::Zeroizing;

/// Names of a form's first field. Other names prove nothing: openssl writes `subject=` before PEM.
const FORM_FIELDS: [&str; 10] =
    ["certificate", "pkcs12", "key", "key_id", "team_id", "passphrase", "topic", "timeout", "lanes", "file"];

/// A caller's request. Neither the credential nor the ranges of values are checked yet.
#[derive(Debug, PartialEq)]
pub struct Provisioning {
    pub credential: GivenCredential,
    /// The passphrase of the credential, if it is encrypted.
    pub passphrase: Option<Secret>,
    pub topic: Option<String>,
    /// The time limit for connecting to Apple.
    pub timeout_seconds: u32,
    pub lanes: u16,
}

/// The given credential.
#[derive(Debug, PartialEq)]
pub enum GivenCredential {
    Certificate(CredentialSource),
    Key { key: CredentialSource, key_id: String, team_id: String },
}

/// The source of a certificate or key.
#[derive(Debug, PartialEq)]
pub enum CredentialSource {
    /// PEM, or PKCS#12 for a certificate.
    Content(Secret),
    /// A path on the server.
    Path(String),
}

/// The reasons to refuse a provisioning body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProvisioningFault {
    #[error(transparent)]
    Object(#[from] ObjectFault),
    #[error("no credential is given: send `certificate`, or `pkcs12`, or `key` with `key_id` and `team_id`")]
    NoCredential,
    #[error("`{first}` and `{second}` are both given: send only one, since an app has one credential")]
    TwoCredentials { first: &'static str, second: &'static str },
    #[error("`{missing}` is missing: a signing key needs `key_id` and `team_id`")]
    KeyIncomplete { missing: &'static str },
    #[error("`{name}` belongs to a signing key, and a certificate is given: leave it out")]
    NotOfCertificate { name: &'static str },
    #[error(
        "this is a form; send JSON, or the file alone with `curl --data-binary @FILE` and its passphrase in the header `X-Passphrase`"
    )]
    Form,
    #[error(
        "the body is text in UTF-16, as old Windows editors and PowerShell's `>` write it: save it as UTF-8, or send the file as Apple made it"
    )]
    Utf16,
    #[error(
        "`certificate` is neither PEM nor a path: send the text of the file with its BEGIN and END lines, or a .p12 in base64 as `pkcs12`"
    )]
    CertificateNotPem,
    #[error("`key` is neither PEM nor a path: send the text of the .p8 file with its BEGIN and END lines")]
    KeyNotPem,
    #[error("`pkcs12` is not base64: send the output of `base64 FILE`, or the file itself as the whole body")]
    NotBase64,
    #[error("`passphrase` and the header `X-Passphrase` are both given: send only one")]
    TwoPassphrases,
    #[error("`{name}` is longer than {limit} bytes")]
    TooLong { name: &'static str, limit: usize },
}

impl ProvisioningFault {
    /// The field at fault, if there is one.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Object(fault) => fault.field(),
            Self::NoCredential | Self::Form | Self::Utf16 => None,
            Self::TwoCredentials { second, .. } => Some(second),
            Self::KeyIncomplete { missing: name } | Self::NotOfCertificate { name } | Self::TooLong { name, .. } => {
                Some(name)
            }
            Self::CertificateNotPem => Some("certificate"),
            Self::KeyNotPem => Some("key"),
            Self::NotBase64 => Some("pkcs12"),
            Self::TwoPassphrases => Some("passphrase"),
        }
    }

    /// The limit that was exceeded, in bytes.
    pub fn limit(&self) -> Option<usize> {
        match self {
            Self::TooLong { limit, .. } => Some(*limit),
            _ => None,
        }
    }
}

/// Reads a provisioning body; `passphrase` is from the header.
pub fn read(body: &[u8], passphrase: Option<Secret>) -> Result<Provisioning, ProvisioningFault> {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    if is_utf16(body) {
        return Err(ProvisioningFault::Utf16);
    }
    if is_form(body) {
        return Err(ProvisioningFault::Form);
    }
    let is_json = body.trim_ascii_start().first().is_some_and(|first| b"{[".contains(first));
    let read = if is_der(body) || !is_json && has_armour(body) {
        file(body.to_vec().into())?
    } else {
        match unwrap_base64(body) {
            Some(wrapped) => file(wrapped)?,
            None => object(body)?,
        }
    };
    let passphrase = match (read.passphrase, passphrase) {
        (Some(_), Some(_)) => return Err(ProvisioningFault::TwoPassphrases),
        (inside, beside) => inside.or(beside),
    };
    if passphrase.as_ref().is_some_and(|passphrase| passphrase.expose().len() > PASSPHRASE_BYTES_MAX) {
        return Err(ProvisioningFault::TooLong { name: "passphrase", limit: PASSPHRASE_BYTES_MAX });
    }
    Ok(Provisioning { passphrase, ..read })
}

/// Returns true if a body is a form: a multipart form, or an URL-encoded form with one of our fields.
fn is_form(body: &[u8]) -> bool {
    let is_ours = |name: &[u8]| FORM_FIELDS.iter().any(|field| field.as_bytes() == name);
    form::is_multipart(body) || form::first_name(body).is_some_and(is_ours)
}

/// Reads a body that is only the certificate's file.
fn file(content: Secret) -> Result<Provisioning, ProvisioningFault> {
    Ok(Provisioning {
        credential: GivenCredential::Certificate(bounded("certificate", content)?),
        passphrase: None,
        topic: None,
        timeout_seconds: TIMEOUT_SECONDS_DEFAULT,
        lanes: LANES_DEFAULT,
    })
}

fn object(body: &[u8]) -> Result<Provisioning, ProvisioningFault> {
    let text = json::text(body).map_err(ObjectFault::from)?;
    let mut object = Object::read(text)?;
    let fields = Fields::take(&mut object)?;
    let passphrase = object.take::<String>("passphrase", "a string")?.map(Secret::from);
    let topic = object.take("topic", "a string: the app's bundle id")?;
    let timeout_seconds = object.take_integer("timeout", "an integer: seconds")?.unwrap_or(TIMEOUT_SECONDS_DEFAULT);
    let lanes = object.take_integer("lanes", "an integer")?.unwrap_or(LANES_DEFAULT);
    object.take_type("app", "`app`, or left out")?;
    // Unknown fields first: a missing field may be present under a mistyped name.
    object.finish()?;
    Ok(Provisioning { credential: given(fields)?, passphrase, topic, timeout_seconds, lanes })
}

/// The credential's fields of an object.
struct Fields {
    certificate: Option<Zeroizing<String>>,
    pkcs12: Option<Zeroizing<String>>,
    key: Option<Zeroizing<String>>,
    key_id: Option<String>,
    team_id: Option<String>,
}

impl Fields {
    fn take(object: &mut Object<'_>) -> Result<Self, ObjectFault> {
        const PEM: &str = "a string: PEM text, or a path on the server";
        Ok(Self {
            certificate: object.take::<String>("certificate", PEM)?.map(Zeroizing::new),
            pkcs12: object.take::<String>("pkcs12", "a string: the file in base64")?.map(Zeroizing::new),
            key: object.take::<String>("key", PEM)?.map(Zeroizing::new),
            key_id: object.take("key_id", "a string: ten characters, which Apple shows at the key")?,
            team_id: object.take("team_id", "a string: ten characters, the id of your team at Apple")?,
        })
    }
}

fn given(Fields { certificate, pkcs12, key, key_id, team_id }: Fields) -> Result<GivenCredential, ProvisioningFault> {
    let certificate = match (certificate, pkcs12) {
        (Some(_), Some(_)) => {
            return Err(ProvisioningFault::TwoCredentials { first: "certificate", second: "pkcs12" });
        }
        (Some(text), None) => Some(source("certificate", text, ProvisioningFault::CertificateNotPem)?),
        (None, Some(base64)) => Some(bounded("pkcs12", decode(&base64)?)?),
        (None, None) => None,
    };
    match (certificate, key, key_id, team_id) {
        (None, None, ..) => Err(ProvisioningFault::NoCredential),
        (Some(_), Some(_), ..) => Err(ProvisioningFault::TwoCredentials { first: "certificate", second: "key" }),
        (Some(_), None, Some(_), _) => Err(ProvisioningFault::NotOfCertificate { name: "key_id" }),
        (Some(_), None, _, Some(_)) => Err(ProvisioningFault::NotOfCertificate { name: "team_id" }),
        (Some(certificate), None, None, None) => Ok(GivenCredential::Certificate(certificate)),
        (None, Some(_), None, _) => Err(ProvisioningFault::KeyIncomplete { missing: "key_id" }),
        (None, Some(_), _, None) => Err(ProvisioningFault::KeyIncomplete { missing: "team_id" }),
        (None, Some(key), Some(key_id), Some(team_id)) => {
            Ok(GivenCredential::Key { key: source("key", key, ProvisioningFault::KeyNotPem)?, key_id, team_id })
        }
    }
}

fn source(
    name: &'static str,
    text: Zeroizing<String>,
    neither: ProvisioningFault,
) -> Result<CredentialSource, ProvisioningFault> {
    if has_armour(text.as_bytes()) {
        bounded(name, Secret::from(text.as_str()))
    } else if let Some(content) = unwrap_base64(text.as_bytes()) {
        bounded(name, content)
    } else if text.trim().is_empty() || text.contains(['\n', '\r']) {
        // No file has such a name.
        Err(neither)
    } else {
        Ok(CredentialSource::Path(text.to_string()))
    }
}

fn bounded(name: &'static str, content: Secret) -> Result<CredentialSource, ProvisioningFault> {
    let limit = FILE_BYTES_MAX as usize;
    if content.expose().len() > limit {
        return Err(ProvisioningFault::TooLong { name, limit });
    }
    Ok(CredentialSource::Content(content))
}

/// PEM in its place is accepted too.
fn decode(base64: &str) -> Result<Secret, ProvisioningFault> {
    match has_armour(base64.as_bytes()) {
        true => Ok(base64.into()),
        false => decode_base64(base64.as_bytes()).ok_or(ProvisioningFault::NotBase64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

    fn read(body: &[u8]) -> Result<Provisioning, ProvisioningFault> {
        super::read(body, None)
    }

    fn refused(body: &str) -> String {
        read(body.as_bytes()).expect_err("a bad body").to_string()
    }

    #[test]
    fn a_certificate_is_accepted_as_text_as_a_path_or_as_the_whole_body() {
        let json =
            serde_json::json!({"certificate": PEM, "timeout": 30, "topic": "com.example", "lanes": 4}).to_string();
        let whole = read(json.as_bytes()).unwrap();
        assert_eq!(whole.credential, GivenCredential::Certificate(CredentialSource::Content(PEM.into())));
        assert_eq!((whole.timeout_seconds, whole.topic.as_deref(), whole.lanes), (30, Some("com.example"), 4));

        let path = read(br#"{"certificate": "app.pem", "timeout": null}"#).unwrap();
        assert_eq!(path.credential, GivenCredential::Certificate(CredentialSource::Path("app.pem".to_owned())));
        assert_eq!((path.timeout_seconds, path.lanes), (15, 1));

        for raw in [PEM.to_owned(), format!("Bag Attributes\n    localKeyID: 01\n{PEM}")] {
            let raw_body = read(raw.as_bytes()).unwrap();
            assert_eq!(
                raw_body.credential,
                GivenCredential::Certificate(CredentialSource::Content(raw.as_str().into()))
            );
        }
    }

    #[test]
    fn a_signing_key_has_its_two_ids() {
        let key = read(br#"{"key": "AuthKey.p8", "key_id": "ABC123DEFG", "team_id": "DEF123GHIJ"}"#).unwrap();
        let GivenCredential::Key { key, key_id, team_id } = key.credential else { panic!("a key") };
        assert_eq!(
            (key, key_id.as_str(), team_id.as_str()),
            (CredentialSource::Path("AuthKey.p8".into()), "ABC123DEFG", "DEF123GHIJ")
        );
    }

    #[test]
    fn an_invalid_field_is_named_and_no_value_is_repeated() {
        let table = [
            ("", "the body is empty: send JSON"),
            ("[]", "the body must be a JSON object"),
            ("{}", "no credential is given: send `certificate`, or `pkcs12`, or `key` with `key_id` and `team_id`"),
            (
                r#"{"certificate":"a","key":"b"}"#,
                "`certificate` and `key` are both given: send only one, since an app has one credential",
            ),
            (
                r#"{"certificate":"a","pkcs12":"b"}"#,
                "`certificate` and `pkcs12` are both given: send only one, since an app has one credential",
            ),
            (
                r#"{"pkcs12":"a b.c"}"#,
                "`pkcs12` is not base64: send the output of `base64 FILE`, or the file itself as the whole body",
            ),
            (r#"{"certificate":"a","passphrase":7}"#, "`passphrase` must be a string"),
            (r#"{"key":"b","team_id":"t"}"#, "`key_id` is missing: a signing key needs `key_id` and `team_id`"),
            (r#"{"key":"b","key_id":"k"}"#, "`team_id` is missing: a signing key needs `key_id` and `team_id`"),
            (
                r#"{"certificate":"a","key_id":"k"}"#,
                "`key_id` belongs to a signing key, and a certificate is given: leave it out",
            ),
            (r#"{"certificate":["SECRET"]}"#, "`certificate` must be a string: PEM text, or a path on the server"),
            (r#"{"certificate":"a","timeout":"15"}"#, "`timeout` must be an integer: seconds"),
            (r#"{"certificate":"a","lanes":-1}"#, "`lanes` must be an integer"),
            (r#"{"certificate":"a","certificate":"b"}"#, "`certificate` appears twice"),
        ];
        for (body, sentence) in table {
            assert_eq!(refused(body), sentence, "{body}");
        }
        for unknown in [r#"{"certificate":"a","cert":"b"}"#, r#"{"cert":"b"}"#, r#"{"cert":"b","key":"c"}"#] {
            let told = refused(unknown);
            assert!(told.starts_with("`cert` is not a known field: the fields are certificate"), "{unknown}: {told}");
        }
        assert!(refused("{\"certificate\":\"-----BEGIN\nCERT\"}").contains("curl --data-binary @file"));
        assert_eq!(refused(&format!("{PEM}{}", "x".repeat(65_536))), "`certificate` is longer than 65536 bytes");
    }

    #[test]
    fn a_form_is_recognised_even_with_pem_in_it() {
        let escaped = "certificate=-----BEGIN%20CERTIFICATE-----%0AMIIB%0A-----END%20CERTIFICATE-----";
        let multipart = "--b4d\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n".as_bytes();
        let bodies = [
            format!("certificate={PEM}").into_bytes(),
            escaped.into(),
            [multipart, b"\x30\x82\xff\x80\r\n--b4d--"].concat(),
        ];
        for body in bodies {
            let told = read(&body).expect_err("a form").to_string();
            assert!(told.starts_with("this is a form; send JSON"), "{}: {told}", body.escape_ascii());
        }
        let openssl = format!("subject=CN = com.example.app\nissuer=CN = Apple\n{PEM}");
        assert!(read(openssl.as_bytes()).is_ok());
    }

    #[test]
    fn an_object_may_have_a_type_and_any_notation_of_integers() {
        let whole = read(br#"{"type": "app", "certificate": "app.pem", "timeout": 30.0, "lanes": 2e0}"#).unwrap();
        assert_eq!((whole.timeout_seconds, whole.lanes), (30, 2));
        assert_eq!(refused(r#"{"certificate":"a","timeout":1.5}"#), "`timeout` must be an integer: seconds");
        assert_eq!(refused(r#"{"certificate":"a","type":"feedback"}"#), "`type` must be `app`, or left out");
    }

    #[test]
    fn a_text_that_is_neither_pem_nor_a_possible_path_is_refused() {
        for text in ["", " ", "not a pem at all\nreally", "a\r\nb"] {
            let certificate = serde_json::json!({"certificate": text}).to_string();
            assert_eq!(read(certificate.as_bytes()), Err(ProvisioningFault::CertificateNotPem), "{text}");
            let key = serde_json::json!({"key": text, "key_id": "k", "team_id": "t"}).to_string();
            assert_eq!(read(key.as_bytes()), Err(ProvisioningFault::KeyNotPem), "{text}");
        }
        for path in ["app.pem", "MII", "/etc/pyapns/com.example.app/production", &"folder/".repeat(20)] {
            let certificate = serde_json::json!({"certificate": path}).to_string();
            let expected = GivenCredential::Certificate(CredentialSource::Path(path.to_owned()));
            assert_eq!(read(certificate.as_bytes()).unwrap().credential, expected);
        }
    }

    #[test]
    fn a_file_in_base64_is_recognised() {
        let key = [&[0x30, 0x81, 0x87, 0x02][..], &[7; 134]].concat();
        for content in [key.clone(), PEM.into()] {
            let expected = GivenCredential::Certificate(CredentialSource::Content(content.clone().into()));
            let base64 = STANDARD.encode(&content);
            for text in [base64.clone(), format!("{base64}\n"), format!("\"{base64}\"")] {
                let json = serde_json::json!({"certificate": text}).to_string();
                assert_eq!(read(json.as_bytes()).unwrap().credential, expected, "{text}");
                assert_eq!(read(text.as_bytes()).unwrap().credential, expected, "{text}");
            }
        }
        let json = serde_json::json!({"key": STANDARD.encode(&key), "key_id": "k", "team_id": "t"}).to_string();
        let GivenCredential::Key { key: given, .. } = read(json.as_bytes()).unwrap().credential else {
            panic!("a key")
        };
        assert_eq!(given, CredentialSource::Content(key.into()));
        let pem = serde_json::json!({"pkcs12": PEM}).to_string();
        assert_eq!(
            read(pem.as_bytes()).unwrap().credential,
            GivenCredential::Certificate(CredentialSource::Content(PEM.into()))
        );
    }

    #[test]
    fn the_refusal_of_a_form_or_utf_16_names_the_format() {
        let part = "--b0undary\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n";
        let forms = [
            format!("{part}{PEM}\r\n--b0undary--\r\n"),
            format!("{part}\u{30}\u{1}"),
            format!("certificate={PEM}"),
            "passphrase=a&certificate=-----BEGIN%20CERTIFICATE-----".to_owned(),
        ];
        for form in forms {
            assert_eq!(read(form.as_bytes()), Err(ProvisioningFault::Form), "{form}");
        }
        let noise = format!("subject=CN = app\n{PEM}");
        assert!(read(noise.as_bytes()).is_ok(), "what openssl writes before PEM");
        for text in [PEM, r#"{"certificate": "app.pem"}"#] {
            let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
            for body in [little.clone(), big, [&[0xff, 0xfe], little.as_slice()].concat()] {
                assert_eq!(read(&body), Err(ProvisioningFault::Utf16), "{text}");
            }
        }
    }

    #[test]
    fn a_byte_order_mark_before_a_body_is_ignored() {
        for body in [PEM, r#"{"certificate":"app.pem"}"#] {
            assert_eq!(read(format!("\u{feff}{body}").as_bytes()), read(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn pkcs12_is_accepted_as_base64_or_as_the_whole_body() {
        let file = [&[0x30, 0x82, 0x01, 0x00][..], &[7; 256]].concat();
        let expected = GivenCredential::Certificate(CredentialSource::Content(Secret::from(file.clone())));
        assert_eq!(read(&file).unwrap().credential, expected);
        let base64 = STANDARD.encode(&file);
        let lines = format!("{}\n{}\r\n", &base64[..64], &base64[64..]);
        for text in [&base64, base64.trim_end_matches('='), &lines] {
            let json = serde_json::json!({"pkcs12": text}).to_string();
            assert_eq!(read(json.as_bytes()).unwrap().credential, expected, "{text}");
        }
        let large = [file, vec![0; 65_536]].concat();
        assert_eq!(read(&large), Err(ProvisioningFault::TooLong { name: "certificate", limit: 65_536 }));
        let json = serde_json::json!({"pkcs12": STANDARD.encode(large)}).to_string();
        assert_eq!(read(json.as_bytes()), Err(ProvisioningFault::TooLong { name: "pkcs12", limit: 65_536 }));
    }

    #[test]
    fn a_passphrase_is_in_the_object_or_in_the_header() {
        let object = |passphrase: Option<&str>| serde_json::json!({"certificate": PEM, "passphrase": passphrase});
        let read = |body: String, beside: Option<&str>| super::read(body.as_bytes(), beside.map(Secret::from));
        let inside = read(object(Some("hunter2")).to_string(), None).unwrap();
        assert_eq!(inside.passphrase, Some("hunter2".into()));
        assert!(!format!("{inside:?}").contains("hunter2"));
        assert_eq!(read(object(None).to_string(), Some("beside")).unwrap().passphrase, Some("beside".into()));
        assert_eq!(read(PEM.to_owned(), Some("beside")).unwrap().passphrase, Some("beside".into()));
        let both = read(object(Some("hunter2")).to_string(), Some("beside"));
        assert_eq!(both, Err(ProvisioningFault::TwoPassphrases));
        let long = read(PEM.to_owned(), Some(&"x".repeat(1025)));
        assert_eq!(long, Err(ProvisioningFault::TooLong { name: "passphrase", limit: 1024 }));
    }

    #[test]
    fn debug_output_has_no_private_key() {
        let read = read(format!("{PEM}-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n").as_bytes()).unwrap();
        assert!(!format!("{read:?}").contains("c2VjcmV0"));
    }
}
