//! Why a credential is refused: each fault its own variant, with what to do about it.

use crate::model::Environment;

/// A credential that cannot be used. Nothing of the credential's secret part is ever in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    #[error(
        "the credential is neither PEM nor PKCS#12, or cut off: give the file as it is, or one text with the certificate and its key, the BEGIN and END lines of both included"
    )]
    NotPem,
    #[error(
        "there is no certificate beside the private key: add its `BEGIN CERTIFICATE` block, or export the two together"
    )]
    CertificateMissing,
    #[error(
        "this is a signing key (.p8), not a certificate: give it as `key`, with `key_id` and `team_id` beside it (over REST in JSON: {{\"key\", \"key_id\", \"team_id\", \"topic\"}}); if it is a certificate's own key, add the certificate"
    )]
    SigningKeyAlone,
    #[error(
        "there is no private key beside the certificate (a .cer from Apple's developer portal holds the certificate alone): add the `BEGIN PRIVATE KEY` block of the key that the request was made with, or export the two together from Keychain as .p12"
    )]
    KeyMissing,
    #[error(
        "the credential is encrypted: send its passphrase too, as `passphrase` in JSON or in the header `X-Passphrase`"
    )]
    PassphraseMissing,
    #[error("the passphrase does not open the credential, or the file is damaged")]
    PassphraseWrong,
    #[error("the credential is damaged, or no PKCS#12: export it again")]
    Damaged,
    #[error(
        "the credential is encrypted in a way that is not known here: encrypt it anew with `openssl pkcs12 -export` or `openssl pkcs8 -topk8`"
    )]
    EncryptionUnknown,
    #[error(
        "opening the credential takes more work than is allowed ({} iterations, scrypt in 128 MiB): encrypt it anew with fewer",
        super::import::ITERATIONS_MAX
    )]
    TooCostly,
    #[error("the certificate cannot be read as X.509: export it again")]
    CertificateUnreadable,
    #[error("the private key cannot be read as PKCS#8, PKCS#1 (RSA of 2048 bits or more) or SEC1: export it again")]
    KeyUnreadable,
    #[error("the certificate's key is on an elliptic curve that TLS does not use: make one on P-256, or with RSA-2048")]
    UnknownCurve,
    #[error("the private key does not belong to the certificate: export the two together")]
    KeyMismatch,
    #[error(
        "{} not for push, since {} none of Apple's push extensions: give the app's certificate of the kind `Apple Push Notification service SSL` (or VoIP Services, Pass Type ID, Website Push ID, MDM) with its key",
        are(names),
        if names.len() == 1 { "it has" } else { "they have" }
    )]
    NotForPush { names: Vec<String> },
    #[error(
        "the file is text in UTF-16, as old Windows editors and PowerShell's `>` write it: save it as UTF-8, or copy the file as Apple made it"
    )]
    Utf16,
    #[error(
        "the certificate is in OpenSSL's own form `TRUSTED CERTIFICATE`: write a plain one with `openssl x509 -in FILE -out plain.pem`, and add its key"
    )]
    TrustedCertificate,
    #[error(
        "this is a certificate signing request (CSR), not a certificate: upload it in Apple's developer portal, and give the certificate that you get there, with the key that the request was made with"
    )]
    CertificateRequest,
    #[error(
        "this is a public key, and the private one is needed: give the `BEGIN PRIVATE KEY` block, or the file that holds it"
    )]
    PublicKey,
    #[error(
        "this is a provisioning profile (.mobileprovision), which apps are built with, and push needs a certificate or a signing key: export the push certificate with its key from Keychain as .p12, or make a .p8 in Apple's developer portal"
    )]
    ProvisioningProfile,
    #[error(
        "this is PKCS#7 (.p7b, .p7c, .p7m), which holds certificates without a key: export the certificate with its key as .p12, or as PEM"
    )]
    Pkcs7,
    #[error(
        "this is a key in OpenSSH's form, which no certificate of Apple's comes with: give the .p8 or the .p12 as you have it from Apple or Keychain, or write the key anew with `ssh-keygen -p -m PKCS8 -f FILE`"
    )]
    OpensshKey,
    #[error(
        "this is a Java keystore: make PKCS#12 of it with `keytool -importkeystore -srckeystore FILE -destkeystore app.p12 -deststoretype PKCS12`"
    )]
    JavaKeystore,
    #[error(
        "this is a web page (HTML), not a credential: the download led to a page, mostly a login; download it again"
    )]
    WebPage,
    #[error(
        "this is a certificate, not a signing key (.p8): give it as `certificate`, together with its own key, and leave `key_id` and `team_id` out"
    )]
    CertificateAsSigningKey,
    #[error("the certificate expired on {on}: renew it in Apple's developer portal")]
    Expired { on: String },
    #[error(
        "the certificate is for {allowed} only, and the app is for {wanted}: use the other environment, or another certificate"
    )]
    WrongEnvironment { allowed: Environment, wanted: Environment },
    #[error("the signing key cannot be read: give the text of the .p8 file as Apple made it")]
    SigningKeyUnreadable,
    #[error("the signing key is not an elliptic curve key on P-256, as Apple's are: give the .p8 file Apple made")]
    SigningKeyWrongCurve,
    #[error("`key_id` is not 10 characters of A-Z 0-9: it stands beside the key in Apple's developer portal")]
    BadKeyId,
    #[error("`team_id` is not 10 characters of A-Z 0-9: it stands under Membership in Apple's developer portal")]
    BadTeamId,
}

impl CredentialError {
    /// The stable word for it in an answer.
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
