//! The address of a listener: a TCP address, or a Unix socket in the file system.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// `HOST:PORT` or `unix:/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Address {
    /// Returns true if only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(_) => Err("must have an absolute path: unix:/run/pyapns/api.sock"),
            None => text.parse().map(Self::Tcp).map_err(
                |_| "must be an IP address and a port, 127.0.0.1:8088 or [::1]:8088, or a Unix socket, unix:/path",
            ),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(out),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

/// The permissions of a Unix socket, written in octal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(pub u32);

impl FromStr for Mode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
        mode.map(Self).ok_or("must be permissions in octal, as in \"0660\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_displays_in_its_parsed_form() {
        for (text, local) in [
            ("127.0.0.1:8088", true),
            ("[::1]:0", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:8088", false),
            ("[::]:8088", false),
            ("10.0.0.1:8088", false),
            ("unix:/run/pyapns.sock", true),
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!((address.to_string().as_str(), address.is_local()), (text, local));
        }
        for bad in ["", "localhost:1", "8088", "unix:relative", "unix:"] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
        assert_eq!(("0660".parse(), "7777".parse::<Mode>().is_err()), (Ok(Mode(0o660)), true));
    }
}
