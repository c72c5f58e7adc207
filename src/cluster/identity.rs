//! The common identity of a cluster's nodes: one certificate with its key, which all of them have, and the TLS settings
//! that let nobody else in.
//!
//! A peer is accepted if its certificate is, byte for byte, one of this node's own files, and if it proves in TLS 1.3
//! that it has the key. There are no names, no authority and no expiry. To change the identity, add the new file behind
//! the old one on all nodes, then put it first on all, then remove the old one.

mod refused;
mod verifier;

pub use refused::LinkRefused;

use crate::credentials::paths::{self, PathError};
use crate::credentials::{Secret, sha256_hex};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{CipherSuite, ClientConfig, ServerConfig};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use verifier::OwnCertificates;
use zeroize::Zeroizing;

/// The name in a generated certificate. Nothing compares it.
const COMMON_NAME: &str = "pyapns cluster";
/// The name that a link's client has to give to TLS. It is neither sent nor compared.
const SERVER_NAME: &str = "pyapns.cluster";

/// The reason that a cluster identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("no identity file is given: list at least one in `cluster.identity_files`")]
    NoFile,
    #[error("{0}")]
    Unreadable(#[from] PathError),
    #[error("the identity file {path} holds no PEM certificate: make one with `pyapns cluster init`")]
    NoCertificate { path: PathBuf },
    #[error("the identity file {path} holds more than one certificate: an identity is one that signed itself")]
    SeveralCertificates { path: PathBuf },
    #[error("the identity file {path} holds no PEM key without a passphrase: make one with `pyapns cluster init`")]
    NoKey { path: PathBuf },
    #[error("certificate and key of the identity file {path} cannot be used together: {cause}")]
    Unusable { path: PathBuf, cause: rustls::Error },
    #[error("no identity can be made: {0}")]
    CannotMake(rcgen::Error),
}

/// Makes a new identity: a certificate for a new P-256 key, signed with it, and the key, both as PEM. Every call makes
/// another one.
pub fn generate() -> Result<Secret, IdentityError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(IdentityError::CannotMake)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, COMMON_NAME);
    let certificate = params.self_signed(&key).map_err(IdentityError::CannotMake)?;
    let (certificate, key) = (certificate.pem(), Zeroizing::new(key.serialize_pem()));
    // Reserved at once: a growing vector would leave copies of the key behind.
    let mut text = Vec::with_capacity(certificate.len() + key.len());
    text.extend_from_slice(certificate.as_bytes());
    text.extend_from_slice(key.as_bytes());
    Ok(Secret::from(text))
}

/// The identity of this node in its cluster. It never prints a key.
#[derive(Clone)]
pub struct Identity {
    shown: Arc<CertifiedKey>,
    accepted: Arc<OwnCertificates>,
    provider: Arc<CryptoProvider>,
}

impl Identity {
    /// Reads the identity files: the first is shown to peers, and each of them is accepted from peers. A file that others
    /// than its owner may write is refused. Blocks on the disk.
    pub fn load(files: &[PathBuf]) -> Result<Self, IdentityError> {
        let provider = Arc::new(provider());
        let read = |path: &PathBuf| read(path, &paths::read_trusted(path)?, &provider);
        let identities = files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let accepted = identities.iter().flat_map(|identity| identity.cert.iter().cloned()).collect();
        let accepted = Arc::new(OwnCertificates::new(accepted, &provider));
        let shown = identities.into_iter().next().ok_or(IdentityError::NoFile)?;
        Ok(Self { shown: Arc::new(shown), accepted, provider })
    }

    /// The SHA-256 of the certificate that is shown, in hex.
    pub fn fingerprint(&self) -> String {
        sha256_hex(&self.shown.cert[0])
    }

    /// The settings of the side that opens a link: TLS 1.3, this identity, and no peer but one with an accepted one.
    pub fn client(&self) -> Result<ClientConfig, rustls::Error> {
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(&self.provider)).with_protocol_versions(&[&TLS13])?;
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::clone(&self.accepted) as _);
        let mut config = builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&self.shown))));
        config.enable_sni = false;
        // A resumed session would let a peer in whose identity is no longer accepted.
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    /// The settings of the side that takes a link, as strict as [`Self::client`].
    pub fn server(&self) -> Result<ServerConfig, rustls::Error> {
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&self.provider)).with_protocol_versions(&[&TLS13])?;
        let builder = builder.with_client_cert_verifier(Arc::clone(&self.accepted) as _);
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&self.shown))));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// The name to give to the TLS library for every peer.
    pub fn server_name() -> ServerName<'static> {
        ServerName::try_from(SERVER_NAME).expect("a valid name")
    }
}

/// The algorithms of links. AES-128 comes before AES-256, since it costs a quarter less.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    provider
}

impl fmt::Debug for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Identity").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

fn read(path: &Path, text: &Secret, provider: &CryptoProvider) -> Result<CertifiedKey, IdentityError> {
    let path = || path.to_owned();
    let mut certificates = CertificateDer::pem_slice_iter(text.expose()).filter_map(Result::ok);
    let certificate = certificates.next().ok_or_else(|| IdentityError::NoCertificate { path: path() })?;
    if certificates.next().is_some() {
        return Err(IdentityError::SeveralCertificates { path: path() });
    }
    let key = PrivateKeyDer::from_pem_slice(text.expose()).map_err(|_| IdentityError::NoKey { path: path() })?;
    let unusable = |cause| IdentityError::Unusable { path: path(), cause };
    CertifiedKey::from_der(vec![certificate], key, provider).map_err(unusable)
}

#[cfg(test)]
mod tests;
