//! Rows 7 to 9 of the table: payload, device token, and the rate limit of one token.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::{Context, Push, Rejection};

pub const PAYLOAD_EMPTY: Rejection = Rejection::new(400, "PayloadEmpty");
pub const PAYLOAD_TOO_LARGE: Rejection = Rejection::new(413, "PayloadTooLarge");
const BAD_DEVICE_TOKEN: Rejection = Rejection::new(400, "BadDeviceToken");
const NOT_FOR_TOPIC: Rejection = Rejection::new(400, "DeviceTokenNotForTopic");
const TOO_MANY_REQUESTS: Rejection = Rejection::new(429, "TooManyRequests");

/// Bytes of the body for every push type but VoIP.
pub const PAYLOAD_MAX: usize = 4096;
/// Bytes of the body of a VoIP push: the largest of all.
pub const PAYLOAD_VOIP_MAX: usize = 5120;
const TOKEN_HEX_MAX: usize = 512;

/// The fault of a device token; a token without a state is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenState {
    /// 410 with this reason; the timestamp (milliseconds) is left out when `None`.
    Dead {
        reason: &'static str,
        timestamp: Option<i64>,
    },
    /// Valid for this number of sends, then dead.
    Dying {
        after: u64,
        reason: &'static str,
        timestamp: Option<i64>,
    },
    Bad,
    WrongTopic,
}

pub fn payload(push: &Push<'_>) -> Result<(), Rejection> {
    let voip = match push.push_type {
        Some(push_type) => push_type == "voip",
        None => push.topic.is_some_and(|topic| topic.as_bytes().ends_with(b".voip")),
    };
    match push.length {
        0 => Err(PAYLOAD_EMPTY),
        length if length > if voip { PAYLOAD_VOIP_MAX } else { PAYLOAD_MAX } => Err(PAYLOAD_TOO_LARGE),
        _ => Ok(()),
    }
}

/// Row 8. Tokens have no fixed length.
pub fn device_token(push: &Push<'_>, context: &Context<'_>) -> Result<(), Rejection> {
    let token = push.device_token().unwrap_or_default();
    let well_formed = token.len().is_multiple_of(2) && token.bytes().all(|byte| byte.is_ascii_hexdigit());
    if token.is_empty() || token.len() > TOKEN_HEX_MAX || !well_formed {
        return Err(BAD_DEVICE_TOKEN);
    }
    match context.tokens.state(token) {
        None => Ok(()),
        Some(TokenState::Bad) => Err(BAD_DEVICE_TOKEN),
        Some(TokenState::WrongTopic) => Err(NOT_FOR_TOPIC),
        Some(TokenState::Dying { .. }) if context.tokens.lives(token) => Ok(()),
        Some(TokenState::Dead { reason, timestamp } | TokenState::Dying { reason, timestamp, .. }) => {
            Err(Rejection { status: 410, reason: Cow::Borrowed(reason), timestamp: *timestamp })
        }
    }
}

/// Row 9.
pub fn rate(push: &Push<'_>, context: &Context<'_>) -> Result<(), Rejection> {
    let Some(rates) = context.rates else { return Ok(()) };
    if rates.count(push.device_token().unwrap_or_default(), context.now_ms) { Ok(()) } else { Err(TOO_MANY_REQUESTS) }
}

/// The rate limit of one device token, or of one app's broadcasts and channel calls.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRate {
    pub limit: u32,
    pub seconds: u32,
}

/// Fixed windows per device token or app, shared by all connections.
pub struct TokenRates {
    rate: TokenRate,
    windows: Mutex<HashMap<String, Window>>,
}

struct Window {
    started_ms: i64,
    taken: u32,
}

impl TokenRates {
    pub fn new(rate: TokenRate) -> Self {
        Self { rate, windows: Mutex::default() }
    }

    /// Counts a request; `false` if it is one too many.
    pub fn count(&self, token: &str, now_ms: i64) -> bool {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.entry(token.to_ascii_lowercase()).or_insert(Window { started_ms: now_ms, taken: 0 });
        if now_ms - window.started_ms >= i64::from(self.rate.seconds) * 1000 {
            *window = Window { started_ms: now_ms, taken: 0 };
        }
        window.taken = window.taken.saturating_add(1);
        window.taken <= self.rate.limit
    }
}
