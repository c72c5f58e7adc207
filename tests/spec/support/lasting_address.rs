//! Loopback addresses that stay free while the program that uses them restarts.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the ports that Linux gives to outgoing connections, which would take a port while nobody listens on it.
const FIRST: u32 = 20_000;
const COUNT: u32 = 12_000;

static TAKEN: AtomicU32 = AtomicU32::new(0);

/// A free address, which this process hands out once.
pub fn lasting_address() -> SocketAddr {
    // Several processes of tests may run at one time.
    let start = std::process::id().wrapping_mul(97);
    let candidates = (0..COUNT).map(|_| start.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % COUNT);
    let mut addresses = candidates.map(|offset| SocketAddr::from(([127, 0, 0, 1], (FIRST + offset) as u16)));
    addresses.find(|address| TcpListener::bind(address).is_ok()).expect("a free port")
}
