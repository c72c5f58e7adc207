//! Certificates for Redis over TLS, made for one test: an authority, a server on 127.0.0.1, a client.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::path::{Path, PathBuf};

/// Files in PEM form.
pub struct RedisCertificates {
    pub ca: PathBuf,
    pub server: PathBuf,
    pub server_key: PathBuf,
    pub client: PathBuf,
    pub client_key: PathBuf,
}

impl RedisCertificates {
    /// Writes them into `folder`, with `name` at the beginning of each file's name. Each call makes another authority.
    pub fn mint(folder: &Path, name: &str) -> Self {
        let file = |part: &str, text: String| {
            let path = folder.join(format!("{name}-{part}.pem"));
            std::fs::write(&path, text).expect("a file");
            path
        };
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, format!("{name} authority"));
        let ca = file("ca", params.self_signed(&key).expect("a certificate").pem());
        let issuer = Issuer::new(params, key);
        let issue = |subject: &str| {
            let key = KeyPair::generate().expect("a key");
            let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
            params.distinguished_name.push(DnType::CommonName, subject);
            let certificate = params.signed_by(&key, &issuer).expect("a certificate");
            (file(subject, certificate.pem()), file(&format!("{subject}-key"), key.serialize_pem()))
        };
        let ((server, server_key), (client, client_key)) = (issue("server"), issue("client"));
        Self { ca, server, server_key, client, client_key }
    }

    /// Lines of redis.conf or sentinel.conf: TLS on the only port, for clients with a certificate, and towards others.
    pub fn lines(&self) -> Vec<String> {
        vec![
            "port 0".to_owned(),
            "tls-port {port}".to_owned(),
            format!("tls-cert-file {}", self.server.display()),
            format!("tls-key-file {}", self.server_key.display()),
            format!("tls-ca-cert-file {}", self.ca.display()),
            "tls-auth-clients yes".to_owned(),
            "tls-replication yes".to_owned(),
        ]
    }
}
