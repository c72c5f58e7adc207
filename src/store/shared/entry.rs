//! An event that waits for the shared store, as the database keeps it: JSON.

use crate::model::{AppId, AppKey, Environment, Feedback, Quarantine, Records};
use crate::store::StoreError;
use crate::store::disconnections::StoredDisconnection;
use crate::store::redis::CallName;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

/// The beginning of every quarantine, and of nothing else.
pub(super) const QUARANTINE: &str = r#"{"kind":"quarantine""#;

/// An event that waits.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Entry {
    Records { call: CallName, records: Arc<Records> },
    Quarantine { app: AppKey, quarantine: Quarantine },
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Stored<'a> {
    Records {
        call: Cow<'a, CallName>,
        #[serde(borrow)]
        feedback: Vec<StoredFeedback<'a>>,
        #[serde(borrow)]
        disconnections: Vec<(StoredApp<'a>, StoredDisconnection<'a>)>,
    },
    Quarantine {
        #[serde(borrow)]
        app: StoredApp<'a>,
        since: f64,
        why: Cow<'a, str>,
    },
}

/// App id and environment.
#[derive(Serialize, Deserialize)]
struct StoredApp<'a>(Cow<'a, str>, Cow<'a, str>);

#[derive(Serialize, Deserialize)]
struct StoredFeedback<'a> {
    #[serde(borrow)]
    app: StoredApp<'a>,
    token: Cow<'a, str>,
    reason: Cow<'a, str>,
    timestamp: f64,
}

impl<'a> From<&'a AppKey> for StoredApp<'a> {
    fn from(app: &'a AppKey) -> Self {
        Self(app.id.as_str().into(), app.environment.as_str().into())
    }
}

impl StoredApp<'_> {
    fn key(&self) -> Option<AppKey> {
        Some(AppKey::new(AppId::stored(&self.0).ok()?, Environment::parse(&self.1)?))
    }
}

impl Entry {
    /// The entry as JSON.
    pub fn text(&self) -> Result<String, StoreError> {
        let stored = match self {
            Self::Records { call, records } => Stored::Records {
                call: Cow::Borrowed(call),
                feedback: records.feedback.iter().map(StoredFeedback::from).collect(),
                disconnections: records
                    .disconnections
                    .iter()
                    .map(|entry| ((&entry.app).into(), entry.into()))
                    .collect(),
            },
            Self::Quarantine { app, quarantine } => {
                Stored::Quarantine { app: app.into(), since: quarantine.since, why: (&quarantine.why).into() }
            }
        };
        serde_json::to_string(&stored).map_err(|error| StoreError::Database(Arc::new(error)))
    }

    /// Reads what [`Self::text`] wrote; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        match serde_json::from_str(text).ok()? {
            Stored::Records { call, feedback, disconnections } => {
                let feedback = feedback.into_iter().map(StoredFeedback::entry).collect::<Option<_>>()?;
                let disconnections = disconnections
                    .into_iter()
                    .map(|(app, entry)| Some(entry.of(&app.key()?)))
                    .collect::<Option<_>>()?;
                let records = Arc::new(Records { feedback, disconnections });
                Some(Self::Records { call: call.into_owned(), records })
            }
            Stored::Quarantine { app, since, why } => {
                Some(Self::Quarantine { app: app.key()?, quarantine: Quarantine { since, why: why.into_owned() } })
            }
        }
    }
}

impl<'a> From<&'a Feedback> for StoredFeedback<'a> {
    fn from(entry: &'a Feedback) -> Self {
        Self {
            app: (&entry.app).into(),
            token: (&entry.token).into(),
            reason: (&entry.reason).into(),
            timestamp: entry.timestamp,
        }
    }
}

impl StoredFeedback<'_> {
    fn entry(self) -> Option<Feedback> {
        let (token, reason) = (self.token.into_owned(), self.reason.into_owned());
        Some(Feedback { app: self.app.key()?, token, reason, timestamp: self.timestamp })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::{dead, failure, shop};

    #[test]
    fn an_entry_reads_back_as_it_was_written_and_nothing_else_does() {
        let call = CallName { writer: "0f".repeat(16), first: 7 };
        let feedback = vec![dead(shop(), "00fc", 1_764_417_600.125)];
        let records = Arc::new(Records { feedback, disconnections: vec![failure(shop(), 1)] });
        let quarantine = Quarantine { since: 1.5, why: "51 of \"60\"\n\u{e4}".to_owned() };
        for entry in [Entry::Records { call, records }, Entry::Quarantine { app: shop(), quarantine }] {
            let text = entry.text().unwrap();
            assert_eq!(text.starts_with(QUARANTINE), matches!(entry, Entry::Quarantine { .. }), "{text}");
            assert_eq!(Entry::parse(&text), Some(entry));
            for end in 0..text.len() {
                assert_eq!(text.get(..end).and_then(Entry::parse), None);
            }
        }
        for odd in ["{}", r#"{"kind":"newer"}"#, r#"{"kind":"quarantine","app":["a b","sandbox"],"since":1,"why":""}"#]
        {
            assert_eq!(Entry::parse(odd), None, "{odd}");
        }
    }
}
