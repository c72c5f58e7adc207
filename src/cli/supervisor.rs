//! Notifies systemd, or another supervisor, of the node's state: sd_notify.

use crate::drain::Drain;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

/// The other end of `$NOTIFY_SOCKET`, if there is one.
pub struct Supervisor(Option<(UnixDatagram, SocketAddr)>);

/// An abstract address, which only Linux has.
#[cfg(target_os = "linux")]
fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_name: &[u8]) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Supervisor {
    /// Reads `$NOTIFY_SOCKET`.
    pub fn from_environment() -> Self {
        let found = std::env::var_os("NOTIFY_SOCKET").and_then(|name| {
            let address = match name.as_bytes() {
                [b'@', name @ ..] => abstract_address(name),
                path => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path)),
            };
            let socket = UnixDatagram::unbound().ok()?;
            // No message is worth waiting for.
            socket.set_nonblocking(true).ok()?;
            Some((socket, address.ok()?))
        });
        Self(found)
    }

    /// Sends `state`, lines of `NAME=value`, without waiting for a supervisor that does not read.
    pub fn notify(&self, state: &str) {
        if let Some((socket, address)) = &self.0
            && let Err(error) = socket.send_to_addr(state.as_bytes(), address)
        {
            tracing::warn!(%error, "the supervisor at NOTIFY_SOCKET could not be notified");
        }
    }

    /// Feeds the watchdog twice per period, for as long as the runtime runs tasks. Returns `self` for further messages.
    pub fn with_watchdog(self, drain: &Drain) -> Arc<Self> {
        let supervisor = Arc::new(self);
        if let Some(period) = watchdog_period() {
            let feeder = Arc::clone(&supervisor);
            drain.spawn("watchdog", async move {
                loop {
                    feeder.notify("WATCHDOG=1");
                    tokio::time::sleep(period / 2).await;
                }
            });
        }
        supervisor
    }
}

/// The watchdog period that the supervisor asks for, if any.
fn watchdog_period() -> Option<Duration> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    if std::env::var_os("WATCHDOG_PID").is_some() && number("WATCHDOG_PID") != Some(std::process::id().into()) {
        return None;
    }
    number("WATCHDOG_USEC").filter(|period| *period > 0).map(Duration::from_micros)
}
