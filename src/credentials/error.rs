//! The reasons that a credential is refused, one variant each, with the remedy.

use crate::model::Environment;

/// The reason that a credential cannot be used. It never has a secret part of the credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    #[error(
        "the credential is neither PEM nor PKCS#12, or is cut off: send the file unchanged, or one text with the certificate and its key, including the BEGIN and END lines of both"
    )]
    NotPem,
    #[error(
        "there is no certificate beside the private key: add its `BEGIN CERTIFICATE` block, or export both together"
    )]
    CertificateMissing,
    #[error(
        "this is a signing key (.p8), not a certificate: send it as `key`, together with `key_id` and `team_id` (over REST in JSON: {{\"key\", \"key_id\", \"team_id\", \"topic\"}}); if it is the key of a certificate, add the certificate"
    )]
    SigningKeyAlone,
    #[error(
        "there is no private key beside the certificate (a .cer from Apple's developer portal holds the certificate alone): add the `BEGIN PRIVATE KEY` block of the key that the request was made with, or export both together from Keychain as .p12"
    )]
    KeyMissing,
    #[error(
        "the credential is encrypted: send its passphrase too, as `passphrase` in JSON or in the header `X-Passphrase`"
    )]
    PassphraseMissing,
    #[error("the passphrase does not open the credential, or the file is damaged")]
    PassphraseWrong,
    #[error("the credential is damaged, or is not PKCS#12: export it again")]
    Damaged,
    #[error(
        "the credential's encryption is not supported: encrypt it again with `openssl pkcs12 -export` or `openssl pkcs8 -topk8`"
    )]
    EncryptionUnknown,
    #[error(
        "decrypting the credential takes more work than is allowed ({} iterations, scrypt in 128 MiB): encrypt it again with fewer",
        super::import::ITERATIONS_MAX
    )]
    TooCostly,
    #[error("the certificate is not valid X.509: export it again")]
    CertificateUnreadable,
    #[error("the private key is not valid PKCS#8, PKCS#1 (RSA of 2048 bits or more) or SEC1: export it again")]
    KeyUnreadable,
    #[error("the certificate's key is on an elliptic curve that TLS does not use: make a key on P-256, or of RSA-2048")]
    UnknownCurve,
    #[error("the private key does not belong to the certificate: export both together")]
    KeyMismatch,
    #[error(
        "{} not for push, since {} none of Apple's push extensions: send the app's certificate of the kind `Apple Push Notification service SSL` (or VoIP Services, Pass Type ID, Website Push ID, MDM) with its key",
        are(names),
        if names.len() == 1 { "it has" } else { "they have" }
    )]
    NotForPush { names: Vec<String> },
    #[error(
        "the file is text in UTF-16, as old Windows editors and PowerShell's `>` write it: save it as UTF-8, or copy the file as Apple made it"
    )]
    Utf16,
    #[error(
        "the certificate is in OpenSSL's format `TRUSTED CERTIFICATE`: write a plain one with `openssl x509 -in FILE -out plain.pem`, and add its key"
    )]
    TrustedCertificate,
    #[error(
        "this is a certificate signing request (CSR), not a certificate: upload it in Apple's developer portal, and send the certificate from there with the key that the request was made with"
    )]
    CertificateRequest,
    #[error(
        "this is a public key, and the private key is needed: send the `BEGIN PRIVATE KEY` block, or the file that has it"
    )]
    PublicKey,
    #[error(
        "this is a provisioning profile (.mobileprovision) for building apps, not a certificate or a signing key: export the push certificate with its key from Keychain as .p12, or make a .p8 in Apple's developer portal"
    )]
    ProvisioningProfile,
    #[error(
        "this is PKCS#7 (.p7b, .p7c, .p7m), which has certificates without a key: export the certificate with its key as .p12, or as PEM"
    )]
    Pkcs7,
    #[error(
        "this is a key in OpenSSH's format, which Apple does not use: send the .p8 file from Apple or the .p12 file from Keychain, or convert the key with `ssh-keygen -p -m PKCS8 -f FILE`"
    )]
    OpensshKey,
    #[error(
        "this is a Java keystore: convert it to PKCS#12 with `keytool -importkeystore -srckeystore FILE -destkeystore app.p12 -deststoretype PKCS12`"
    )]
    JavaKeystore,
    #[error("this is a web page (HTML), probably a login page, not a credential: download the credential again")]
    WebPage,
    #[error(
        "this is a certificate, not a signing key (.p8): send it as `certificate`, together with its private key, and leave out `key_id` and `team_id`"
    )]
    CertificateAsSigningKey,
    #[error("the certificate expired on {on}: renew it in Apple's developer portal")]
    Expired { on: String },
    #[error(
        "the certificate is only for {allowed}, and the app is for {wanted}: use the other environment, or another certificate"
    )]
    WrongEnvironment { allowed: Environment, wanted: Environment },
    #[error("the signing key is not valid: send the text of Apple's .p8 file unchanged")]
    SigningKeyUnreadable,
    #[error("the signing key is not an elliptic curve key on P-256, as Apple's are: send Apple's .p8 file")]
    SigningKeyWrongCurve,
    #[error("`key_id` must be 10 characters of A-Z 0-9: Apple's developer portal shows it at the key")]
    BadKeyId,
    #[error("`team_id` must be 10 characters of A-Z 0-9: Apple's developer portal shows it under Membership")]
    BadTeamId,
}

impl CredentialError {
    /// The error's `reason` in a response.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotPem => "certificate_not_pem",
            Self::CertificateMissing => "certificate_missing",
            Self::SigningKeyAlone => "signing_key_as_certificate",
            Self::KeyMissing => "key_missing",
            Self::PassphraseMissing => "passphrase_missing",
            Self::PassphraseWrong => "passphrase_wrong",
            Self::Damaged => "credential_damaged",
            Self::EncryptionUnknown => "encryption_unknown",
            Self::TooCostly => "encryption_too_costly",
            Self::CertificateUnreadable => "certificate_unreadable",
            Self::KeyUnreadable => "key_unreadable",
            Self::UnknownCurve => "unknown_curve",
            Self::KeyMismatch => "key_mismatch",
            Self::NotForPush { .. } => "certificate_not_for_push",
            Self::Utf16 => "credential_utf16",
            Self::TrustedCertificate => "trusted_certificate",
            Self::CertificateRequest => "certificate_request",
            Self::PublicKey => "public_key",
            Self::ProvisioningProfile => "provisioning_profile",
            Self::Pkcs7 => "pkcs7",
            Self::OpensshKey => "openssh_key",
            Self::JavaKeystore => "java_keystore",
            Self::WebPage => "web_page",
            Self::CertificateAsSigningKey => "certificate_as_signing_key",
            Self::Expired { .. } => "certificate_expired",
            Self::WrongEnvironment { .. } => "wrong_environment",
            Self::SigningKeyUnreadable => "signing_key_unreadable",
            Self::SigningKeyWrongCurve => "signing_key_wrong_curve",
            Self::BadKeyId => "bad_key_id",
            Self::BadTeamId => "bad_team_id",
        }
    }
}

/// `the certificate A is`, `the certificates A and B are`.
fn are(names: &[String]) -> String {
    let quoted = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
    match quoted.as_slice() {
        [one] => format!("the certificate {one} is"),
        several => format!("the certificates {} are", several.join(", ")),
    }
}
