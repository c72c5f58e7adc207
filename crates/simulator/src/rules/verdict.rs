//! The verdict of the rules on a request: the answer's status, reason and contents.

use std::borrow::Cow;

use bytes::Bytes;

/// The answer to a request.
pub type Verdict = Result<Acceptance, Rejection>;

/// An answer with a 2xx status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    pub status: u16,
    /// The id of a channel just created.
    pub channel_id: Option<String>,
    /// JSON.
    pub body: Option<String>,
}

impl Acceptance {
    /// 200 without a body.
    pub const OK: Self = Self { status: 200, channel_id: None, body: None };
}

/// An answer with another status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    pub status: u16,
    pub reason: Cow<'static, str>,
    /// Milliseconds since the UNIX epoch, on 410.
    pub timestamp: Option<i64>,
}

impl Rejection {
    pub const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason: Cow::Borrowed(reason), timestamp: None }
    }

    /// An answer that a script asks for.
    pub fn scripted(status: u16, reason: String) -> Self {
        Self { status, reason: reason.into(), timestamp: None }
    }

    /// The JSON body of the answer.
    pub fn body(&self) -> String {
        let reason = serde_json::Value::from(self.reason.as_ref());
        match self.timestamp {
            Some(timestamp) => format!("{{\"reason\":{reason},\"timestamp\":{timestamp}}}"),
            None => format!("{{\"reason\":{reason}}}"),
        }
    }
}

pub fn status(verdict: &Verdict) -> u16 {
    match verdict {
        Ok(acceptance) => acceptance.status,
        Err(rejection) => rejection.status,
    }
}

/// The body of the answer; `None` for an empty one.
pub fn body(verdict: &Verdict) -> Option<Bytes> {
    match verdict {
        Ok(acceptance) => acceptance.body.clone().map(Bytes::from),
        Err(rejection) => Some(Bytes::from(rejection.body())),
    }
}
