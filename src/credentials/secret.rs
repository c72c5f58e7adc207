//! Bytes that are never printed, and wiped from memory when dropped.

use std::fmt;
use zeroize::Zeroizing;

/// Secret bytes, such as a private key.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// The bytes. The name makes every use easy to find.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        text.as_bytes().to_vec().into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "<secret of {} bytes>", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_output_of_a_secret_has_no_content() {
        let printed = format!("{:?}", Some(Secret::from("hunter2")));
        assert_eq!(printed, "Some(<secret of 7 bytes>)");
    }
}
