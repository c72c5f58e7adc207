//! Faults of whole connections, and of the listeners they come to, as data.

use serde::{Deserialize, Serialize};

use super::ScriptError;

const WINDOW_MAX: u32 = (1 << 31) - 1;
const PROTOCOL_BYTES_MAX: usize = 255;

/// A fault of whole connections: those that every given condition picks, as their sockets are accepted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionFault {
    /// Only connections to this listener, counted from 0.
    #[serde(default)]
    pub listener: Option<usize>,
    /// Every n-th connection that the other conditions pick.
    #[serde(default)]
    pub every: Option<u64>,
    /// Chance in percent, drawn per connection.
    #[serde(default)]
    pub percent: Option<f64>,
    /// Number of connections to pick in all; absent: no limit.
    #[serde(default)]
    pub times: Option<u64>,
    /// Only within this many milliseconds after the script arrived.
    #[serde(default)]
    pub for_ms: Option<u64>,
    pub act: ConnectionAct,
}

/// The fault of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ConnectionAct {
    /// It works up to this point, and breaks there in this way.
    Break { at: Point, how: Breakage },
    /// A TLS alert of this number, sent at this point of the handshake.
    Alert { code: u8, to: AlertTo },
    /// The server's certificate is not as it should be.
    Certificate(Flaw),
    /// The protocols offered in place of `h2` (ALPN); an empty list: ALPN is left out.
    Alpn(Vec<String>),
    /// Flow control: bytes that each stream may send at first, and whether windows are ever opened again.
    Window { stream: u32, updates: bool },
}

/// The point up to which a connection works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// The socket is accepted, and no byte is read.
    Accept,
    /// TLS stands, and no SETTINGS are sent.
    Tls,
    /// SETTINGS are sent.
    Settings,
    /// So many answers were written.
    Answers(u64),
    /// So many bytes of HTTP/2 were read: the last of them may lie within a request's body.
    BytesIn(u64),
    /// So many bytes of HTTP/2 were written: the last of them may lie within an answer.
    BytesOut(u64),
    /// Nothing was read for so long.
    IdleMs(u64),
}

/// The way in which a connection breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Breakage {
    /// A black hole: what comes is lost, nothing is said, not even to a PING.
    Silence,
    /// The same, and the peer's writes block before long, because nothing is read.
    Deaf,
    /// Nothing is written any more (close_notify, FIN), while requests are still read and processed.
    HalfClose,
    /// The socket is closed.
    Close,
    /// The socket is closed with a RST.
    Reset,
}

/// Which of the client's messages an alert answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertTo {
    /// The ClientHello.
    Hello,
    /// The client's certificate: after the handshake under TLS 1.3. A client without one gets no alert.
    Certificate,
}

/// The fault of the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flaw {
    /// An authority that nobody trusts signed it.
    Untrusted,
    Expired,
    /// It is for another name.
    WrongName,
}

/// A listener that does not take connections, for a while or until another script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerFault {
    /// Counted from 0; absent: all.
    #[serde(default)]
    pub listener: Option<usize>,
    pub state: Shut,
    /// Only within this many milliseconds after the script arrived.
    #[serde(default)]
    pub for_ms: Option<u64>,
}

/// The way in which a listener takes no connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shut {
    /// Nobody listens on the port: connections are refused.
    Closed,
    /// Its backlog is full: the kernel drops each SYN.
    Stalled,
}

/// Blocks a source address for a while after too many connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectRate {
    /// Connections within `seconds` that are still served.
    pub limit: u32,
    pub seconds: u32,
    /// Time for which every connection of a source over the limit breaks as soon as it is accepted.
    pub block_ms: u64,
    /// `close`, `reset`, `silence` or `deaf`.
    pub how: Breakage,
}

/// Certificate alerts that rustls can be made to send.
pub const CERTIFICATE_ALERTS: [u8; 7] = [42, 43, 44, 45, 46, 48, 49];

impl ConnectionFault {
    /// A fault that picks every connection.
    pub fn new(act: ConnectionAct) -> Self {
        Self { listener: None, every: None, percent: None, times: None, for_ms: None, act }
    }

    pub(super) fn check(&self) -> Result<(), ScriptError> {
        if self.every == Some(0) {
            return Err(ScriptError::Zero("connections.every"));
        }
        if self.percent.is_some_and(|percent| !(0.0..=100.0).contains(&percent)) {
            return Err(ScriptError::Percent);
        }
        match &self.act {
            ConnectionAct::Break { at, how } => check_break(*at, *how),
            ConnectionAct::Alert { code, to: AlertTo::Certificate } if !CERTIFICATE_ALERTS.contains(code) => {
                Err(ScriptError::Alert)
            }
            ConnectionAct::Alpn(names) if names.iter().any(|name| name == "h2") => Err(ScriptError::AlpnH2),
            ConnectionAct::Alpn(names) if names.iter().any(|name| !(1..=PROTOCOL_BYTES_MAX).contains(&name.len())) => {
                Err(ScriptError::AlpnLength)
            }
            ConnectionAct::Window { stream, .. } if *stream > WINDOW_MAX => Err(ScriptError::Window),
            _ => Ok(()),
        }
    }
}

fn check_break(at: Point, how: Breakage) -> Result<(), ScriptError> {
    match (at, how) {
        (Point::Answers(0) | Point::BytesIn(0) | Point::BytesOut(0) | Point::IdleMs(0), _) => {
            Err(ScriptError::Zero("connections.act.break.at"))
        }
        (Point::Accept | Point::Tls, Breakage::HalfClose) => Err(ScriptError::HalfClose),
        _ => Ok(()),
    }
}

impl ConnectRate {
    pub(super) fn check(&self) -> Result<(), ScriptError> {
        if self.seconds == 0 || self.block_ms == 0 {
            return Err(ScriptError::Zero("connect_rate.seconds and connect_rate.block_ms"));
        }
        check_break(Point::Accept, self.how)
    }
}
