//! The names in a gateway's certificates, for the log: they show a change of Apple's authorities early.

use rustls::pki_types::CertificateDer;
use std::fmt;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Displays each certificate's subject and last day, the gateway's first, and the issuer of the last.
pub struct Chain<'a>(pub &'a [CertificateDer<'static>]);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, certificate) in self.0.iter().enumerate() {
            let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
                out.write_str("an unreadable certificate; ")?;
                continue;
            };
            let until = certificate.validity().not_after;
            write!(out, "{} until {until}", printable(certificate.subject()))?;
            if at + 1 < self.0.len() {
                out.write_str("; ")?;
            } else {
                write!(out, "; signed by {}", printable(certificate.issuer()))?;
            }
        }
        Ok(())
    }
}

/// Makes a name printable: only the part of a chain that leads to a root is verified, and the rest may contain
/// anything.
fn printable(name: &impl ToString) -> String {
    name.to_string().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    #[test]
    fn a_chain_prints_subjects_and_last_days_on_one_line() {
        let certificate = |name: &str| {
            let mut params = CertificateParams::default();
            params.not_after = date_time_ymd(2031, 2, 3);
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
            params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
        };
        let chain = [certificate("a\nb"), CertificateDer::from(vec![1]), certificate("c")];
        assert_eq!(
            Chain(&chain).to_string(),
            "CN=a\\nb until Feb  3 00:00:00 2031 +00:00; an unreadable certificate; CN=c until Feb  3 00:00:00 2031 \
             +00:00; signed by CN=c"
        );
    }
}
