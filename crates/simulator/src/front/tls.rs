//! TLS like Apple's gateway, and its scripted failures.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, RootCertStore, ServerConfig,
    SignatureScheme,
};
use tokio_rustls::TlsAcceptor;

use crate::error::SimulatorError;
use crate::identity::{Authority, Identity, IdentityError};
use crate::script::{AlertTo, ConnectionAct, Flaw};

/// Makes the acceptor of a connection.
pub struct Tls {
    plain: Arc<ServerConfig>,
    /// The identity with the authority that the clients trust.
    expired: (CertificateDer<'static>, PrivateKeyDer<'static>),
    wrong_name: (CertificateDer<'static>, PrivateKeyDer<'static>),
    untrusted: (CertificateDer<'static>, PrivateKeyDer<'static>),
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Tls {
    /// A client certificate is requested but not required; ALPN `h2`.
    pub fn new(identity: &Identity, host: &str) -> Result<Self, SimulatorError> {
        let authority = &identity.authority;
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate().clone()).map_err(|error| refused(&error))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .allow_unauthenticated()
            .build()
            .map_err(|error| refused(&error))?;
        let stranger = Authority::named("untrusted CA").map_err(IdentityError::from)?;
        Ok(Self {
            plain: Arc::new(config(authority.server_certificate(host).map_err(IdentityError::from)?, &verifier)?),
            expired: authority.flawed_server_certificate(&[host, "localhost"], 2021).map_err(IdentityError::from)?,
            wrong_name: authority.flawed_server_certificate(&["gateway.invalid"], 2100).map_err(IdentityError::from)?,
            untrusted: stranger.server_certificate(host).map_err(IdentityError::from)?,
            verifier,
        })
    }

    /// The acceptor of a connection with this fault.
    pub fn acceptor(&self, act: Option<&ConnectionAct>) -> Result<TlsAcceptor, SimulatorError> {
        let config = match act {
            Some(ConnectionAct::Certificate(flaw)) => {
                let (certificate, key) = match flaw {
                    Flaw::Untrusted => &self.untrusted,
                    Flaw::Expired => &self.expired,
                    Flaw::WrongName => &self.wrong_name,
                };
                Arc::new(config((certificate.clone(), key.clone_key()), &self.verifier)?)
            }
            Some(ConnectionAct::Alpn(names)) => {
                let mut made = (*self.plain).clone();
                made.alpn_protocols = names.iter().map(|name| name.clone().into_bytes()).collect();
                Arc::new(made)
            }
            Some(ConnectionAct::Alert { code, to: AlertTo::Certificate }) => {
                let refusing = Refusing { code: *code, inner: Arc::clone(&self.verifier) };
                let (certificate, key) = &self.untrusted;
                let mut made = config((certificate.clone(), key.clone_key()), &(Arc::new(refusing) as _))?;
                made.cert_resolver = Arc::clone(&self.plain.cert_resolver);
                Arc::new(made)
            }
            _ => Arc::clone(&self.plain),
        };
        Ok(TlsAcceptor::from(config))
    }
}

fn refused(error: &dyn std::fmt::Display) -> SimulatorError {
    SimulatorError::Tls(error.to_string())
}

fn config(
    (certificate, key): (CertificateDer<'static>, PrivateKeyDer<'static>),
    verifier: &Arc<dyn ClientCertVerifier>,
) -> Result<ServerConfig, SimulatorError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(&error))?
        .with_client_cert_verifier(Arc::clone(verifier))
        .with_single_cert(vec![certificate], key)
        .map_err(|error| refused(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// A TLS record with a fatal alert, as it answers a ClientHello (RFC 8446 5.1 and 6).
pub fn alert(code: u8) -> [u8; 7] {
    const ALERT: u8 = 21;
    const FATAL: u8 = 2;
    [ALERT, 3, 3, 0, 2, FATAL, code]
}

/// Refuses every client certificate with one alert.
#[derive(Debug)]
struct Refusing {
    code: u8,
    inner: Arc<dyn ClientCertVerifier>,
}

impl Refusing {
    /// The error that rustls turns into the alert.
    fn error(&self) -> CertificateError {
        match self.code {
            42 => CertificateError::BadEncoding,
            43 => CertificateError::InvalidPurpose,
            44 => CertificateError::Revoked,
            45 => CertificateError::Expired,
            48 => CertificateError::UnknownIssuer,
            49 => CertificateError::ApplicationVerificationFailure,
            _ => CertificateError::Other(OtherError(Arc::new(std::fmt::Error))),
        }
    }
}

impl ClientCertVerifier for Refusing {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Err(rustls::Error::InvalidCertificate(self.error()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
