//! The faulty device tokens, listed by a test or over the control port.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize;

use super::rules::TokenState;

/// States by token, lower-case hex.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    states: HashMap<String, TokenState>,
    /// The remaining sends of dying tokens; shared by all copies.
    left: HashMap<String, Arc<AtomicU64>>,
}

impl Tokens {
    /// The state of a token of either case; `None` = valid.
    pub fn state(&self, token: &str) -> Option<&TokenState> {
        if self.states.is_empty() {
            return None;
        }
        self.states.get(token).or_else(|| self.states.get(&token.to_ascii_lowercase()))
    }

    /// Sets a token's state; `None` makes it valid again.
    pub fn set(&mut self, token: &str, state: Option<TokenState>) {
        let token = token.to_ascii_lowercase();
        match state {
            Some(TokenState::Dying { after, .. }) => self.left.insert(token.clone(), Arc::new(AtomicU64::new(after))),
            _ => self.left.remove(&token),
        };
        match state {
            Some(state) => self.states.insert(token, state),
            None => self.states.remove(&token),
        };
    }

    /// Counts a send to a dying token. Returns true if it still lives.
    pub fn lives(&self, token: &str) -> bool {
        let Some(left) = self.left.get(&token.to_ascii_lowercase()) else { return true };
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    pub fn len(&self) -> usize {
        self.states.len()
    }

    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }
}

/// An item of `POST /tokens`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenListing {
    token: String,
    state: StateName,
    reason: Option<DeadReason>,
    /// Milliseconds since the epoch. Absent: now. `null`: the answer has none.
    #[serde(default, deserialize_with = "present")]
    timestamp: Option<Option<i64>>,
    /// The number of sends before the token is dead.
    after: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StateName {
    Good,
    Bad,
    WrongTopic,
    Dead,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum DeadReason {
    Unregistered,
    ExpiredToken,
}

/// `reason`, `timestamp` and `after` belong to dead tokens only.
#[derive(Debug, thiserror::Error)]
#[error("token {0} is not \"dead\", so it takes no reason, timestamp or after")]
pub struct ListingError(String);

impl TokenListing {
    /// The token and its state.
    pub fn into_state(self, now_ms: i64) -> Result<(String, Option<TokenState>), ListingError> {
        if self.state != StateName::Dead && (self.reason.is_some() || self.timestamp.is_some() || self.after.is_some())
        {
            return Err(ListingError(self.token));
        }
        let state = match self.state {
            StateName::Good => None,
            StateName::Bad => Some(TokenState::Bad),
            StateName::WrongTopic => Some(TokenState::WrongTopic),
            StateName::Dead => {
                let reason = match self.reason {
                    Some(DeadReason::ExpiredToken) => "ExpiredToken",
                    Some(DeadReason::Unregistered) | None => "Unregistered",
                };
                let timestamp = self.timestamp.unwrap_or(Some(now_ms));
                Some(match self.after {
                    Some(after) => TokenState::Dying { after, reason, timestamp },
                    None => TokenState::Dead { reason, timestamp },
                })
            }
        };
        Ok((self.token, state))
    }
}

fn present<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Option<i64>>, D::Error> {
    Option::<i64>::deserialize(value).map(Some)
}
