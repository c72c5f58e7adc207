//! A network of its own whose cable can be pulled: what is sent into it meanwhile gets no answer, not even a refusal.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A network namespace behind a pair of virtual Ethernet devices. It ends with the test.
pub struct BlackHole {
    name: String,
    /// The address inside the namespace.
    pub address: String,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl BlackHole {
    /// None where the test may not make one: that needs root.
    pub fn new() -> Option<Self> {
        let id = std::process::id() % 100_000 * 10 + NEXT.fetch_add(1, Ordering::Relaxed) % 10;
        let name = format!("bh{id}");
        // 10.240.0.0/12 in pairs of four addresses.
        let net = 0x0af0_0000 | (id << 2 & 0x000f_fffc);
        let address = |host: u32| std::net::Ipv4Addr::from(net | host).to_string();
        let (outer, inner) = (format!("{}/30", address(1)), format!("{}/30", address(2)));
        if !ip(&["netns", "add", &name]) {
            return None;
        }
        let hole = Self { name, address: address(2) };
        let (near, far) = (format!("{}n", hole.name), format!("{}f", hole.name));
        let made = ip(&["link", "add", &near, "type", "veth", "peer", "name", &far, "netns", &hole.name])
            && ip(&["addr", "add", &outer, "dev", &near])
            && ip(&["link", "set", &near, "up"])
            && ip(&["-n", &hole.name, "addr", "add", &inner, "dev", &far])
            && ip(&["-n", &hole.name, "link", "set", &far, "up"])
            && ip(&["-n", &hole.name, "link", "set", "lo", "up"]);
        made.then_some(hole)
    }

    /// The beginning of a command line that runs a program inside.
    pub fn exec<'a>(&'a self, program: &'a str) -> Vec<&'a str> {
        vec!["ip", "netns", "exec", &self.name, program]
    }

    /// Pulls the cable at the far end: the near end sends on into nothing.
    pub fn open(&self) {
        assert!(ip(&["-n", &self.name, "link", "set", &format!("{}f", self.name), "down"]));
    }

    pub fn close(&self) {
        assert!(ip(&["-n", &self.name, "link", "set", &format!("{}f", self.name), "up"]));
    }
}

impl Drop for BlackHole {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).output().is_ok_and(|output| output.status.success())
}
