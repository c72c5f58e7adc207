//! Faults of whole connections and of listeners, as data.

use serde::{Deserialize, Serialize};

use super::ScriptError;

const WINDOW_MAX: u32 = (1 << 31) - 1;
const PROTOCOL_BYTES_MAX: usize = 255;

/// A fault of the connections that meet every given condition when their sockets are accepted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionFault {
    /// Only connections to this listener, counted from 0.
    #[serde(default)]
    pub listener: Option<usize>,
    /// Every n-th connection that meets the other conditions.
    #[serde(default)]
    pub every: Option<u64>,
    /// Chance in percent, drawn per connection.
    #[serde(default)]
    pub percent: Option<f64>,
    /// The total number of connections; absent: no limit.
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
    /// It works up to this point, and then breaks as given.
    Break { at: Point, how: Breakage },
    /// A TLS alert of this number, sent at this point of the handshake.
    Alert { code: u8, to: AlertTo },
    /// The server's certificate is faulty.
    Certificate(Flaw),
    /// The protocols offered in place of `h2` (ALPN); an empty list: ALPN is left out.
    Alpn(Vec<String>),
    /// Flow control: the initial window of each stream, and if windows are ever enlarged.
    Window { stream: u32, updates: bool },
}

/// The point up to which a connection works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// The socket is accepted, and no byte is read.
    Accept,
    /// TLS is complete, and no SETTINGS are sent.
    Tls,
    /// SETTINGS are sent.
    Settings,
    /// This number of answers was written.
    Answers(u64),
    /// This number of bytes of HTTP/2 was read; the last may be within a request's body.
    BytesIn(u64),
    /// This number of bytes of HTTP/2 was written; the last may be within an answer.
    BytesOut(u64),
    /// Nothing was read for this time.
    IdleMs(u64),
}

/// The kind of a connection's break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Breakage {
    /// A black hole: input is lost, and nothing is answered, not even a PING.
    Silence,
    /// A black hole that does not read, so that the peer's writes block soon.
    Deaf,
    /// Nothing is written any more (close_notify, FIN), while requests are still read and processed.
    HalfClose,
    /// The socket is closed.
    Close,
    /// The socket is closed with a RST.
    Reset,
}

/// The client's message that an alert answers.
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
    /// An untrusted authority signed it.
    Untrusted,
    Expired,
    /// The certificate is for another name.
    WrongName,
}

/// A listener that accepts no connections, for a while or until the next script.
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

/// The kind of a listener's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shut {
    /// The port is not listening: connections are refused.
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
    /// A fault that matches every connection.
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
