//! A TLS server that may be wrong in one point: its certificate, its protocols, or whom it lets in.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// The settings of the server. The default is as Apple's, for `localhost`, without client certificates.
pub struct Recipe {
    pub names: Vec<&'static str>,
    pub not_before_year: i32,
    pub not_after_year: i32,
    /// It presents the authority's certificate in place of a server's.
    pub shows_authority: bool,
    pub protocols: &'static [&'static [u8]],
    pub versions: &'static [&'static SupportedProtocolVersion],
    pub clients: Clients,
}

/// The clients that are admitted.
pub enum Clients {
    Any,
    /// Clients with a certificate of an unknown authority.
    Nobody,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            names: vec!["localhost"],
            not_before_year: 2020,
            not_after_year: 2100,
            shows_authority: false,
            protocols: &[b"h2"],
            versions: rustls::ALL_VERSIONS,
            clients: Clients::Any,
        }
    }
}

/// A running server: it completes handshakes, and then only listens. It ends with the test's runtime.
pub struct TlsServer {
    pub address: SocketAddr,
    /// PEM of its authority.
    authority: String,
}

impl TlsServer {
    pub async fn start(recipe: Recipe) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (config, authority) = recipe.build();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(acceptor.clone(), socket));
            }
        });
        Self { address, authority }
    }

    /// Writes the authority's certificate where a `ca_file` can point.
    pub fn write_authority(&self, path: &Path) {
        std::fs::write(path, &self.authority).expect("a file");
    }
}

async fn serve(acceptor: TlsAcceptor, socket: TcpStream) {
    if let Ok(mut stream) = acceptor.accept(socket).await {
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard).await;
    }
}

impl Recipe {
    fn build(self) -> (ServerConfig, String) {
        let authority = Authority::new("Test Authority");
        let (certificate, key) = if self.shows_authority {
            (authority.certificate.clone(), authority.issuer.key().serialize_der())
        } else {
            self.certificate(&authority)
        };
        let key = PrivateKeyDer::try_from(key).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(self.versions)
            .expect("known versions");
        let builder = match self.clients {
            Clients::Any => builder.with_no_client_auth(),
            Clients::Nobody => {
                let mut roots = RootCertStore::empty();
                roots.add(Authority::new("Another").certificate).expect("a root");
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.expect("a verifier"))
            }
        };
        let mut config = builder.with_single_cert(vec![certificate], key).expect("a certificate with its key");
        config.alpn_protocols = self.protocols.iter().map(|name| name.to_vec()).collect();
        (config, authority.pem)
    }

    fn certificate(&self, authority: &Authority) -> (CertificateDer<'static>, Vec<u8>) {
        let names: Vec<String> = self.names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = date_time_ymd(self.not_before_year, 1, 1);
        params.not_after = date_time_ymd(self.not_after_year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &authority.issuer).expect("a certificate");
        (certificate.der().clone(), key.serialize_der())
    }
}

struct Authority {
    pem: String,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self { pem: certificate.pem(), certificate: certificate.der().clone(), issuer: Issuer::new(params, key) }
    }
}
