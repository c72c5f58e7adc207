//! The trusted authorities of gateways, and the TLS settings of one identity.

use super::endpoint::Endpoint;
use crate::credentials::Credential;
use rustls::client::WantsClientCert;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The only protocol offered, since Apple's gateway supports no other.
pub const ALPN: &[u8] = b"h2";

/// USERTrust RSA Certification Authority, which Apple's gateways chain to. The public root programmes drop it in 2028
/// while Apple's certificates still need it.
const USERTRUST_RSA: &[u8] = include_bytes!("trust/usertrust_rsa.pem");

/// The reason that the operator's `ca_file` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("cannot read the ca_file {path}: {cause}")]
    Unreadable { path: PathBuf, cause: rustls::pki_types::pem::Error },
    #[error("the ca_file {path} has no certificate: it must be PEM")]
    Empty { path: PathBuf },
    #[error("a certificate in the ca_file {path} is unusable: {cause}")]
    Unusable { path: PathBuf, cause: rustls::Error },
}

/// The trusted roots: the public ones, the pinned one and `ca_file` for Apple's hosts, only `ca_file` for any other.
pub struct Trust {
    apple: Arc<RootCertStore>,
    other: Arc<RootCertStore>,
}

impl Trust {
    pub fn load(ca_file: Option<&Path>) -> Result<Self, TrustError> {
        let mut other = RootCertStore::empty();
        if let Some(path) = ca_file {
            let path = path.to_owned();
            let unreadable = |cause| TrustError::Unreadable { path: path.clone(), cause };
            for certificate in CertificateDer::pem_file_iter(&path).map_err(unreadable)? {
                let certificate = certificate.map_err(unreadable)?;
                let unusable = |cause| TrustError::Unusable { path: path.clone(), cause };
                other.add(certificate).map_err(unusable)?;
            }
            if other.is_empty() {
                return Err(TrustError::Empty { path });
            }
        }
        let mut apple = other.clone();
        apple.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        pin_usertrust(&mut apple);
        Ok(Self { apple: Arc::new(apple), other: Arc::new(other) })
    }

    /// TLS 1.2 or later, ALPN `h2`, and the client certificate if the credential is one.
    pub fn client_config(&self, endpoint: &Endpoint, credential: &Credential) -> Result<ClientConfig, rustls::Error> {
        let builder = self.builder(endpoint)?;
        let config = match credential {
            Credential::Certificate(certificate) => {
                let (chain, key) = certificate.client_auth();
                builder.with_client_auth_cert(chain, key)?
            }
            Credential::Token(_) => builder.with_no_client_auth(),
            Credential::Unusable { why } => return Err(rustls::Error::General(why.clone())),
        };
        Ok(for_http2(config))
    }

    /// The TLS settings without a client certificate.
    pub fn anonymous(&self, endpoint: &Endpoint) -> Result<ClientConfig, rustls::Error> {
        Ok(for_http2(self.builder(endpoint)?.with_no_client_auth()))
    }

    fn builder(&self, endpoint: &Endpoint) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, rustls::Error> {
        let roots = if endpoint.is_apple() { &self.apple } else { &self.other };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(builder.with_root_certificates(Arc::clone(roots)))
    }
}

fn for_http2(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![ALPN.to_vec()];
    config
}

/// A test reads the compiled-in certificate.
fn pin_usertrust(roots: &mut RootCertStore) {
    let certificate = CertificateDer::from_pem_slice(USERTRUST_RSA).expect("the compiled-in root is PEM");
    roots.add(certificate).expect("the compiled-in root is a certificate");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_root_is_the_same_as_in_the_public_programme() {
        let mut pinned = RootCertStore::empty();
        pin_usertrust(&mut pinned);
        assert_eq!(pinned.len(), 1);
        assert!(webpki_roots::TLS_SERVER_ROOTS.contains(&pinned.roots[0]));
    }

    #[test]
    fn apples_hosts_are_trusted_through_the_pinned_root_and_others_only_through_ca_file() {
        let trust = Trust::load(None).unwrap();
        assert!(trust.other.is_empty());
        assert_eq!(trust.apple.len(), webpki_roots::TLS_SERVER_ROOTS.len() + 1);
    }

    #[test]
    fn a_ca_file_is_added_for_apple_and_alone_for_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, USERTRUST_RSA).unwrap();
        let trust = Trust::load(Some(&path)).unwrap();
        assert_eq!(trust.other.len(), 1);
        assert_eq!(trust.apple.len(), webpki_roots::TLS_SERVER_ROOTS.len() + 2);
    }

    #[test]
    fn the_refusal_of_a_ca_file_without_a_valid_certificate_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let refused = |text: Option<&str>| {
            if let Some(text) = text {
                std::fs::write(&path, text).unwrap();
            }
            let error = Trust::load(Some(&path)).err().expect("a refusal").to_string();
            assert!(error.contains(path.to_str().unwrap()), "{error}");
            error
        };
        assert!(refused(None).starts_with("cannot read"));
        assert!(refused(Some("no PEM")).contains("has no certificate"));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(refused(Some(broken)).contains("unusable"));
    }
}
