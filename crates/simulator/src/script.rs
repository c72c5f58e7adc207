//! The script: the simulator's faults as data, from Rust or from the control port.

mod active;
mod budget;
mod connects;
mod guard;
mod latency;
mod malformed;
mod settings;

use serde::{Deserialize, Serialize};

pub use active::{ActiveScript, Plan, StreamPosition};
pub use budget::{ErrorBudget, Spent};
pub use connects::{
    AlertTo, Breakage, CERTIFICATE_ALERTS, ConnectRate, ConnectionAct, ConnectionFault, Flaw, ListenerFault, Point,
    Shut,
};
pub use latency::Latency;
pub use malformed::Malformed;
pub use settings::{At, Change, Delay, SettingsPlay, Values, Violation};

use super::base64_bytes;
use super::rules::TokenRate;
use super::site::Call;

/// A whole script. The default has no fault.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// Seed of every random choice; each connection draws from its own generator, seeded with this plus its number.
    pub seed: u64,
    /// Delay of each answer after its request was processed.
    pub latency: Option<Latency>,
    pub goaway: Option<GoAway>,
    /// The first fault that matches a request is applied to it.
    pub faults: Vec<Fault>,
    /// 429 `TooManyRequests` for a device token pushed to more often.
    pub token_rate: Option<TokenRate>,
    /// Channels of an app in one environment; absent: Apple's 10,000.
    pub channel_limit: Option<usize>,
    /// 429 `TooManyRequests` for an app that makes more broadcasts and channel calls.
    pub channel_rate: Option<TokenRate>,
    /// The SETTINGS that connections receive.
    pub settings: Option<SettingsPlay>,
    /// Ends connections that cause too many rejections.
    pub error_budget: Option<ErrorBudget>,
    /// Later connections record the representation of each header field.
    pub record_headers: bool,
    /// The first fault that matches a connection is applied to it.
    pub connections: Vec<ConnectionFault>,
    /// The first fault that names a listener is applied to it.
    pub listeners: Vec<ListenerFault>,
    /// Blocks sources that connect too often.
    pub connect_rate: Option<ConnectRate>,
}

/// The scripted end of connections.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoAway {
    pub when: When,
    pub kind: Ending,
    /// Error code of the frame.
    #[serde(default)]
    pub code: u32,
    #[serde(default)]
    pub debug: DebugData,
    /// The last stream id to announce, with `connection_requests` only: streams above it are left unprocessed from the
    /// start. Absent: the stream of the request that triggered (single), or the highest seen (graceful).
    #[serde(default)]
    pub last_stream_id: Option<u32>,
    /// With `abrupt` and `cut`: the number of requests, up to the trigger, that are processed but not answered. More
    /// than one only with `connection_requests`.
    #[serde(default = "one")]
    pub unanswered: u64,
    /// Between the two frames of a graceful end.
    #[serde(default = "grace")]
    pub second_after_ms: u64,
    /// The total number of connections to end; absent: no limit. With `connection_requests` these are the first that
    /// carry a request.
    #[serde(default)]
    pub times: Option<u64>,
    /// A second GOAWAY, without debug data, follows immediately.
    #[serde(default)]
    pub second_empty: bool,
    /// With `graceful` and `single`.
    #[serde(default)]
    pub close: Close,
}

/// The time at which a connection closes after its GOAWAY.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Close {
    /// Once the streams up to the last id are answered.
    #[default]
    Drained,
    /// Then, but at the earliest this many milliseconds after the last GOAWAY.
    AfterMs(u64),
    /// Never: streams above the last id are refused (REFUSED_STREAM) until the peer closes.
    Never,
}

/// The trigger that ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Every open connection, once, as soon as the script arrives.
    Now,
    /// Each connection right after its SETTINGS, before any request is processed.
    Connect,
    /// Every n-th request that the whole simulator processes; the connection that carried it ends.
    Requests(u64),
    /// The n-th request of each connection, counted from its start or from the script's.
    ConnectionRequests(u64),
}

/// The kind of a connection's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// GOAWAY with 2^31-1, later a second one with the real last stream id; lower streams finish.
    Graceful,
    /// One GOAWAY with the last stream id; streams up to it finish, streams above it are not processed.
    Single,
    /// GOAWAY and immediate close: processed requests without an answer stay unanswered.
    Abrupt,
    /// Like `abrupt`, without GOAWAY.
    Cut,
}

/// Debug data of a GOAWAY frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DebugData {
    /// Apple's shape: `{"reason":"…"}`.
    Reason(String),
    Text(String),
    #[serde(with = "base64_bytes")]
    Base64(Vec<u8>),
}

impl Default for DebugData {
    fn default() -> Self {
        Self::Reason("Shutdown".to_owned())
    }
}

impl DebugData {
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Reason(reason) => serde_json::json!({ "reason": reason }).to_string().into_bytes(),
            Self::Text(text) => text.clone().into_bytes(),
            Self::Base64(bytes) => bytes.clone(),
        }
    }

    /// It must fit one frame beside the last stream id and the code.
    pub fn check(&self) -> Result<(), ScriptError> {
        const MOST: usize = 16_384 - 8;
        if self.bytes().len() > MOST { Err(ScriptError::TooLong("debug", MOST)) } else { Ok(()) }
    }
}

/// A fault of the requests that meet every given condition.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Every n-th request that meets the other conditions, over the whole simulator.
    #[serde(default)]
    pub every: Option<u64>,
    /// Chance in percent, drawn per request.
    #[serde(default)]
    pub percent: Option<f64>,
    /// Only this call.
    #[serde(default)]
    pub call: Option<Call>,
    /// Only requests to this device token.
    #[serde(default)]
    pub token: Option<String>,
    /// Only requests on this connection.
    #[serde(default)]
    pub connection: Option<u64>,
    /// Only the request on this stream.
    #[serde(default)]
    pub stream: Option<u32>,
    /// The total number of applications of the fault; absent: no limit.
    #[serde(default)]
    pub times: Option<u64>,
    /// Only from this many milliseconds after the script arrived.
    #[serde(default)]
    pub after_ms: Option<u64>,
    /// Only within this many milliseconds after the script arrived.
    #[serde(default)]
    pub for_ms: Option<u64>,
    pub act: Act,
}

/// The treatment of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    /// RST_STREAM with this code: before the request is processed, or after it was (and is in the ledger as accepted).
    Reset { code: u32, processed: bool },
    /// This answer in place of processing.
    Answer { status: u16, reason: String },
    /// An answer unlike Apple's.
    #[serde(rename = "odd")]
    Malformed(Box<Malformed>),
    /// No answer, ever.
    Silence { processed: bool },
    /// This answer in place of processing, to this request and to all later ones of its connection, for this number of
    /// milliseconds (absent: until its end).
    Poison { status: u16, reason: String, for_ms: Option<u64> },
    /// This answer in place of processing, then a GOAWAY with the same reason, and the connection ends.
    AnswerAndGoaway { status: u16, reason: String },
    /// Processed as usual, and answered after this time, regardless of `latency`.
    Delay { ms: u64 },
    /// This answer in place of processing: its headers immediately, its body after this time.
    SlowBody { after_ms: u64, status: u16, reason: String },
    /// This answer to the request's headers, without waiting for its body; the rest of the body is refused with
    /// RST_STREAM (NO_ERROR).
    EarlyAnswer { status: u16, reason: String },
}

/// The reason that a script was refused.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    #[error("percent must be between 0 and 100")]
    Percent,
    #[error(
        "latency must be finite and not negative, its lower bound not above the upper one, and its measurements one at least"
    )]
    Latency,
    #[error("the status of an answer must be between 400 and 599")]
    Status,
    #[error("{0} needs \"when\": {{\"connection_requests\": n}}")]
    NeedsConnectionRequests(&'static str),
    #[error("odd.table_size cannot be combined with latency: late answers would still use the table")]
    Latecomers,
    #[error("{0} must be between {1}")]
    Bounds(&'static str, &'static str),
    #[error("{0} is empty: give at least one value")]
    Nothing(&'static str),
    #[error("{0} must be at most {1} bytes long")]
    TooLong(&'static str, usize),
    #[error("{0} needs \"kind\": {1}")]
    NeedsKind(&'static str, &'static str),
    #[error("after_ms must be less than for_ms: both count from the script's arrival")]
    NeverNow,
    #[error(
        "an alert to the client's certificate must be one of 42, 43, 44, 45, 46, 48 and 49; any other goes to \"hello\""
    )]
    Alert,
    #[error("alpn lists the protocols offered in place of h2, so it must not contain h2")]
    AlpnH2,
    #[error("a protocol of alpn must have 1 to 255 bytes")]
    AlpnLength,
    #[error("window.stream must be less than 2^31")]
    Window,
    #[error("half_close needs a point after the start of HTTP/2: settings or a later one")]
    HalfClose,
}

impl Script {
    /// Checks the conditions that the types do not express.
    pub fn check(&self) -> Result<(), ScriptError> {
        if self.latency.as_ref().is_some_and(|latency| !latency.is_valid()) {
            return Err(ScriptError::Latency);
        }
        self.goaway.as_ref().map_or(Ok(()), GoAway::check)?;
        self.faults.iter().try_for_each(Fault::check)?;
        self.settings.as_ref().map_or(Ok(()), SettingsPlay::check)?;
        let takes_table =
            |fault: &Fault| matches!(&fault.act, Act::Malformed(malformed) if malformed.table_size.is_some());
        if self.latency.is_some() && self.faults.iter().any(takes_table) {
            return Err(ScriptError::Latecomers);
        }
        self.error_budget.as_ref().map_or(Ok(()), ErrorBudget::check)?;
        self.connections.iter().try_for_each(ConnectionFault::check)?;
        self.connect_rate.as_ref().map_or(Ok(()), ConnectRate::check)?;
        for (rate, name) in [(self.token_rate, "token_rate.seconds"), (self.channel_rate, "channel_rate.seconds")] {
            if rate.is_some_and(|rate| rate.seconds == 0) {
                return Err(ScriptError::Zero(name));
            }
        }
        Ok(())
    }
}

impl GoAway {
    /// An ending with Apple's usual values: code 0 and the reason `Shutdown`.
    pub fn new(when: When, kind: Ending) -> Self {
        Self {
            when,
            kind,
            code: 0,
            debug: DebugData::default(),
            last_stream_id: None,
            unanswered: one(),
            second_after_ms: grace(),
            times: None,
            second_empty: false,
            close: Close::Drained,
        }
    }

    /// Returns `true` if the ending leaves processed requests without an answer.
    pub fn drops_answers(&self) -> bool {
        matches!(self.kind, Ending::Abrupt | Ending::Cut)
    }

    fn check(&self) -> Result<(), ScriptError> {
        let per_connection = matches!(self.when, When::ConnectionRequests(_));
        self.debug.check()?;
        if self.drops_answers() && self.close != Close::Drained {
            return Err(ScriptError::NeedsKind("goaway.close", r#""graceful" or "single""#));
        }
        if self.second_empty && !matches!(self.kind, Ending::Single | Ending::Abrupt) {
            return Err(ScriptError::NeedsKind("goaway.second_empty", r#""single" or "abrupt""#));
        }
        match self.when {
            When::Requests(0) | When::ConnectionRequests(0) => Err(ScriptError::Zero("goaway.when")),
            _ if self.last_stream_id.is_some() && !per_connection => {
                Err(ScriptError::NeedsConnectionRequests("goaway.last_stream_id"))
            }
            _ if self.unanswered > 1 && !per_connection => {
                Err(ScriptError::NeedsConnectionRequests("goaway.unanswered above 1"))
            }
            _ => Ok(()),
        }
    }
}

impl Fault {
    /// A fault that matches every request.
    pub fn new(act: Act) -> Self {
        Self {
            every: None,
            percent: None,
            call: None,
            token: None,
            connection: None,
            stream: None,
            times: None,
            after_ms: None,
            for_ms: None,
            act,
        }
    }

    fn check(&self) -> Result<(), ScriptError> {
        if self.every == Some(0) {
            return Err(ScriptError::Zero("faults.every"));
        }
        if self.percent.is_some_and(|percent| !(0.0..=100.0).contains(&percent)) {
            return Err(ScriptError::Percent);
        }
        if self.after_ms.zip(self.for_ms).is_some_and(|(after, until)| after >= until) {
            return Err(ScriptError::NeverNow);
        }
        match &self.act {
            Act::Answer { status, .. }
            | Act::Poison { status, .. }
            | Act::AnswerAndGoaway { status, .. }
            | Act::SlowBody { status, .. }
            | Act::EarlyAnswer { status, .. }
                if !(400..=599).contains(status) =>
            {
                Err(ScriptError::Status)
            }
            Act::Malformed(malformed) => malformed.check(),
            _ => Ok(()),
        }
    }
}

fn one() -> u64 {
    1
}

fn grace() -> u64 {
    50
}
