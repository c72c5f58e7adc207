//! Why a credential is refused: each fault its own variant, with what to do about it.

use crate::model::Environment;

/// A credential that cannot be used. Nothing of the credential's secret part is ever in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    #[error(
        "the credential is neither PEM nor PKCS#12: give the file as it is, or one text with the certificate and its key, line breaks and the BEGIN and END lines included"
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
        "there is no private key beside the certificate: add its `BEGIN PRIVATE KEY` block, or export the two together as .p12"
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
            Self::Expired { .. } => "certificate_expired",
            Self::WrongEnvironment { .. } => "wrong_environment",
            Self::SigningKeyUnreadable => "signing_key_unreadable",
            Self::SigningKeyWrongCurve => "signing_key_wrong_curve",
            Self::BadKeyId => "bad_key_id",
            Self::BadTeamId => "bad_team_id",
        }
    }
}
