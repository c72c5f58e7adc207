//! The reasons that an app is not provisioned, each with its field, its `reason` and the remedy.

use super::{LANES_MAX, TIMEOUT_SECONDS_MAX, topic};
use crate::credentials::CredentialError;
use crate::model::AppId;
use crate::store::StoreError;

/// The reason that an app is not provisioned. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error(
        "`topic` must be 1 to {} printable ASCII characters without spaces: usually the bundle id",
        topic::TOPIC_BYTES_MAX
    )]
    BadTopic,
    #[error(
        "the app has no topic: the credential names none, and its id `{id}` is not a bundle id; give `topic` together with the credential (over REST in JSON), usually the bundle id, such as com.example.app"
    )]
    TopicMissing { id: AppId },
    #[error(
        "the certificate is not for the topic `{topic}` but for {listed}: give one of these topics, or leave out `topic`, or use another certificate"
    )]
    TopicNotOfCertificate { topic: String, listed: String },
    #[error(
        "the file has certificates for several topics: {}; give one of them as `topic` together with the credential (over REST in JSON)",
        topics.join(", ")
    )]
    SeveralTopics { topics: Vec<String> },
    #[error("`timeout` must be 1 to {TIMEOUT_SECONDS_MAX} seconds")]
    BadTimeout,
    #[error("`lanes` must be 1 to {LANES_MAX}")]
    BadLanes,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ProvisionError {
    /// The field at fault, if there is one.
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

    /// Returns true if 0.6 accepted the refused credential: it used the file's first certificate for any purpose.
    pub fn is_unfit(&self) -> bool {
        matches!(self, Self::SeveralTopics { .. } | Self::Credential(CredentialError::NotForPush { .. }))
    }

    /// The topics to choose from, for the response.
    pub fn topics(&self) -> Option<&[String]> {
        match self {
            Self::SeveralTopics { topics } => Some(topics),
            _ => None,
        }
    }

    /// The names of the certificates at fault.
    pub fn certificates(&self) -> Option<&[String]> {
        match self {
            Self::Credential(CredentialError::NotForPush { names }) => Some(names),
            _ => None,
        }
    }

    /// The error's `reason` in a response.
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
