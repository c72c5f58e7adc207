//! The error budget: the number of rejections that a connection may cause before it is ended.

use serde::{Deserialize, Serialize};

use super::{DebugData, Ending, ScriptError};

/// The number of rejections after which a connection is ended. 410 does not count (apns-protocol 9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorBudget {
    /// Answers 4xx, `BadDeviceToken` among them.
    pub errors: u64,
    /// The limit of `BadDeviceToken` among them; absent: as many as `errors`.
    #[serde(default)]
    pub bad_device_tokens: Option<u64>,
    #[serde(default = "single")]
    pub kind: Ending,
    /// Of the GOAWAY frame.
    #[serde(default)]
    pub code: u32,
    #[serde(default)]
    pub debug: DebugData,
}

impl ErrorBudget {
    /// A budget whose end is a single GOAWAY.
    pub fn new(errors: u64) -> Self {
        Self { errors, bad_device_tokens: None, kind: single(), code: 0, debug: DebugData::default() }
    }

    pub fn check(&self) -> Result<(), ScriptError> {
        match (self.errors, self.bad_device_tokens) {
            (0, _) => Err(ScriptError::Zero("error_budget.errors")),
            (_, Some(0)) => Err(ScriptError::Zero("error_budget.bad_device_tokens")),
            _ => self.debug.check(),
        }
    }
}

/// The part of the budget that a connection has spent.
#[derive(Debug, Default)]
pub struct Spent {
    errors: u64,
    bad_device_tokens: u64,
}

impl Spent {
    /// Counts a rejection. Returns true if the budget is exceeded.
    pub fn count(&mut self, status: u16, reason: &str, budget: &ErrorBudget) -> bool {
        if !(400..500).contains(&status) || status == 410 {
            return false;
        }
        self.errors += 1;
        self.bad_device_tokens += u64::from(reason == "BadDeviceToken");
        self.errors >= budget.errors || budget.bad_device_tokens.is_some_and(|most| self.bad_device_tokens >= most)
    }
}

fn single() -> Ending {
    Ending::Single
}
