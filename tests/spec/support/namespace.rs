//! A network of the test's own, behind cables that can be pulled: what is sent into one meanwhile gets no answer, not even
//! a refusal.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A network namespace behind pairs of virtual Ethernet devices. It ends with the test.
pub struct Namespace {
    name: String,
    pub cables: Vec<Cable>,
}

/// The addresses of both ends.
#[derive(Debug, Clone, Copy)]
pub struct Cable {
    pub outside: Ipv4Addr,
    pub inside: Ipv4Addr,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Namespace {
    /// `None`, and a word about that, where the test may not make one: that needs root.
    pub fn new(cables: usize) -> Option<Self> {
        let own = std::process::id() % 25_000 * 10 + NEXT.fetch_add(1, Ordering::Relaxed) % 10;
        let mut space = Self { name: format!("pyapns-{own}"), cables: Vec::new() };
        if !ip(&["netns", "add", &space.name]) || !ip(&["-n", &space.name, "link", "set", "lo", "up"]) {
            println!("skipped: without root no network namespace can be made");
            return None;
        }
        for number in 0..cables {
            // 10.224.0.0/12 in pairs of four addresses, 10.208.0.0/12 for second cables, and so on.
            let net = (0x0ae0_0000 - ((number as u32) << 20)) | (own << 2);
            let cable = Cable { outside: Ipv4Addr::from(net | 1), inside: Ipv4Addr::from(net | 2) };
            if !space.lay(own, number, cable) {
                println!("skipped: this machine has no virtual Ethernet");
                return None;
            }
            space.cables.push(cable);
        }
        Some(space)
    }

    fn lay(&self, own: u32, number: usize, Cable { outside, inside }: Cable) -> bool {
        let (near, far) = (format!("py{own}n{number}"), device(own, number));
        ip(&["link", "add", &near, "type", "veth", "peer", "name", &far, "netns", &self.name])
            && ip(&["addr", "add", &format!("{outside}/30"), "dev", &near])
            && ip(&["link", "set", &near, "up"])
            && ip(&["-n", &self.name, "addr", "add", &format!("{inside}/30"), "dev", &far])
            && ip(&["-n", &self.name, "link", "set", &far, "up"])
    }

    /// The beginning of a command line that runs a program inside.
    pub fn exec(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name].map(str::to_owned).into()
    }

    /// Pulls a cable at the far end: the near end sends on into nothing.
    pub fn pull(&self, number: usize) {
        self.set(number, "down");
    }

    pub fn plug(&self, number: usize) {
        self.set(number, "up");
    }

    fn set(&self, number: usize, state: &str) {
        let own = self.name.trim_start_matches("pyapns-").parse().expect("a number");
        assert!(ip(&["-n", &self.name, "link", "set", &device(own, number), state]));
    }
}

fn device(own: u32, number: usize) -> String {
    format!("py{own}f{number}")
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).output().is_ok_and(|output| output.status.success())
}
