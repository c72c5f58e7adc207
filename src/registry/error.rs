//! Why an app is not provisioned: each fault with its field, its stable word, and what to do.

use super::{LANES_MAX, TIMEOUT_SECONDS_MAX, topic};
use crate::credentials::CredentialError;
use crate::model::AppId;
use crate::store::StoreError;

/// Why an app is not provisioned; nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error(
        "`topic` is 1 to {} printable ASCII characters without spaces: mostly the bundle id",
        topic::TOPIC_BYTES_MAX
    )]
    BadTopic,
    #[error(
        "the app has no topic: the credential names none, and its id `{id}` is no bundle id; give `topic` beside the credential (over REST in JSON), mostly the bundle id, like com.example.app"
    )]
    TopicMissing { id: AppId },
    #[error(
        "the certificate is not for the topic `{topic}`: it is for {listed}; take one of them, or leave `topic` out, or use another certificate"
    )]
    TopicNotOfCertificate { topic: String, listed: String },
    #[error(
        "the file holds certificates for several topics: {}; give one of them as `topic` beside the credential (over REST in JSON)",
        topics.join(", ")
    )]
    SeveralTopics { topics: Vec<String> },
    #[error("`timeout` is 1 to {TIMEOUT_SECONDS_MAX} seconds")]
    BadTimeout,
    #[error("`lanes` is 1 to {LANES_MAX}")]
    BadLanes,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ProvisionError {
    /// The field to blame, where it is one.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Credential(CredentialError::BadKeyId) => Some("key_id"),
            Self::Credential(CredentialError::BadTeamId) => Some("team_id"),
            Self::Credential(CredentialError::PassphraseMissing | CredentialError::PassphraseWrong) => {
                Some("passphrase")
            }
            Self::BadTopic
            | Self::TopicMissing { .. }
            | Self::TopicNotOfCertificate { .. }
            | Self::SeveralTopics { .. } => Some("topic"),
            Self::BadTimeout => Some("timeout"),
            Self::BadLanes => Some("lanes"),
            Self::Credential(_) | Self::Store(_) => None,
        }
    }

    /// True if 0.6 took the credential that is refused here: the file's first certificate, of any purpose.
    pub fn is_unfit(&self) -> bool {
        matches!(self, Self::SeveralTopics { .. } | Self::Credential(CredentialError::NotForPush { .. }))
    }

    /// The topics to choose from.
    pub fn topics(&self) -> Option<&[String]> {
        match self {
            Self::SeveralTopics { topics } => Some(topics),
            _ => None,
        }
    }

    /// The names of the certificates to blame.
    pub fn certificates(&self) -> Option<&[String]> {
        match self {
            Self::Credential(CredentialError::NotForPush { names }) => Some(names),
            _ => None,
        }
    }

    /// The stable word for it in an answer.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Credential(refused) => refused.reason(),
            Self::BadTopic => "bad_topic",
            Self::TopicMissing { .. } => "topic_missing",
            Self::TopicNotOfCertificate { .. } => "topic_not_of_certificate",
            Self::SeveralTopics { .. } => "several_topics",
            Self::BadTimeout => "bad_timeout",
            Self::BadLanes => "bad_lanes",
            Self::Store(failed) => failed.reason(),
        }
    }
}
