//! Proof to Apple of the sender: a certificate with its key, or a signing key for provider tokens.

pub mod certificate;
pub mod check;
pub mod error;
mod fields;
pub mod import;
pub mod keyring;
pub mod paths;
pub mod sealed;
pub mod secret;
pub mod token;

pub use certificate::Certificate;
pub use error::CredentialError;
pub use keyring::Keyring;
pub use sealed::Unopened;
pub use secret::Secret;
pub use token::TokenKey;

use crate::model::Environment;

const SECONDS_PER_DAY: i64 = 86_400;

/// A credential as provisioned, not yet checked.
#[derive(Debug, Clone, PartialEq)]
pub enum Material {
    /// PEM: the certificate, its chain if any, and its private key in one text, which may hold several certificates and
    /// keys.
    Certificate { pem: Secret },
    /// The text of Apple's `.p8` file, with the key id and the team id.
    Key { p8: Secret, key_id: String, team_id: String },
}

impl Material {
    /// SHA-256 in hex of the whole material, including its secret part.
    pub fn digest(&self) -> String {
        sha256_hex(&fields::write(self))
    }
}

/// A credential ready for use, or the record of a stored one that cannot be opened.
#[derive(Debug)]
pub enum Credential {
    Certificate(Box<Certificate>),
    Token(TokenKey),
    /// The stored credential cannot be opened. The app cannot send until it is provisioned again.
    Unusable {
        why: String,
    },
}

/// The public facts about a credential: nothing secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// `certificate`, `token`, or `unusable`.
    pub kind: &'static str,
    /// SHA-256 in hex: of the certificate, or of the signing key's public key.
    pub fingerprint: String,
    /// The topics that a certificate names; empty for a signing key, which names none.
    pub topics: Vec<String>,
    pub team_id: Option<String>,
    pub key_id: Option<String>,
    /// UNIX seconds; signing keys do not expire.
    pub expires_at: Option<i64>,
}

impl Summary {
    /// Whole days until the credential expires; negative after that.
    pub fn days_left(&self, now: u64) -> Option<i64> {
        self.expires_at.map(|end| end.saturating_sub_unsigned(now).div_euclid(SECONDS_PER_DAY))
    }
}

impl Credential {
    /// Parses a credential, and checks everything that does not depend on environment and time.
    pub fn parse(material: &Material) -> Result<Self, CredentialError> {
        match material {
            Material::Certificate { pem } => Ok(Self::Certificate(Box::new(Certificate::parse(pem.expose())?))),
            Material::Key { p8, key_id, team_id } => Ok(Self::Token(TokenKey::parse(p8.expose(), key_id, team_id)?)),
        }
    }

    /// Parses every credential of a file: each certificate that has its key in the file. At least one.
    pub fn all(material: &Material) -> Result<Vec<Self>, CredentialError> {
        let Material::Certificate { pem } = material else { return Ok(vec![Self::parse(material)?]) };
        let all = Certificate::all(pem.expose())?;
        Ok(all.into_iter().map(|certificate| Self::Certificate(Box::new(certificate))).collect())
    }

    /// The certificate, if the credential is one.
    pub fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::Certificate(certificate) => Some(certificate),
            Self::Token(_) | Self::Unusable { .. } => None,
        }
    }

    /// Checks that a certificate can be used for this environment at this time (UNIX seconds). A signing key passes:
    /// only Apple can check it.
    pub fn check(&self, environment: Environment, now: u64) -> Result<(), CredentialError> {
        match self {
            Self::Certificate(certificate) => certificate.check(environment, now),
            Self::Token(_) | Self::Unusable { .. } => Ok(()),
        }
    }

    /// The base topic of a certificate.
    pub fn base_topic(&self) -> Option<&str> {
        match self {
            Self::Certificate(certificate) => certificate.base_topic(),
            Self::Token(_) | Self::Unusable { .. } => None,
        }
    }

    /// The reason that the credential cannot be used, if so.
    pub fn unusable(&self) -> Option<&str> {
        match self {
            Self::Unusable { why } => Some(why),
            Self::Certificate(_) | Self::Token(_) => None,
        }
    }

    /// UNIX seconds; signing keys do not expire.
    pub fn expires_at(&self) -> Option<i64> {
        match self {
            Self::Certificate(certificate) => Some(certificate.expires_at()),
            Self::Token(_) | Self::Unusable { .. } => None,
        }
    }

    pub fn summary(&self) -> Summary {
        match self {
            Self::Certificate(certificate) => certificate.summary(),
            Self::Token(key) => key.summary(),
            Self::Unusable { .. } => Summary {
                kind: "unusable",
                fingerprint: String::new(),
                topics: Vec::new(),
                team_id: None,
                key_id: None,
                expires_at: None,
            },
        }
    }
}

/// SHA-256 in lower-case hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub(crate) mod testing;
