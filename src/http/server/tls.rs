//! TLS on a listener, with the certificate and key from two files that may change while it listens.

use crate::credentials::paths::{self, PathError};
use crate::drain::Drain;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The time limit of a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// The interval at which the files are checked for changes.
const FILE_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// HTTP/2 first: a client that speaks both multiplexes its requests on one connection.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Two PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The server's certificate first, then its intermediates.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// An error that keeps a listener from using TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{0}")]
    Unreadable(#[from] PathError),
    #[error("there is no PEM certificate in {}", .0.display())]
    NoCertificate(PathBuf),
    #[error("there is no PEM key without a passphrase in {}", .0.display())]
    NoKey(PathBuf),
    #[error("certificate and key cannot be used together: {0}")]
    Unusable(#[from] rustls::Error),
}

/// The identity of a file's content: inode, size, modification time in seconds and nanoseconds.
type FileStamp = (u64, u64, i64, i64);

/// The TLS configuration of a listener. It is replaced when its files change.
pub struct Tls {
    files: Files,
    current: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Loads the two files. Blocks on the disk.
    pub fn load(files: Files) -> Result<Self, TlsError> {
        let current = RwLock::new(Arc::new(load_config(&files)?));
        Ok(Self { files, current })
    }

    /// A client's stream after the handshake.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        let handshake = TlsAcceptor::from(config).accept(stream);
        tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// Reloads the files whenever they change. Never returns. New connections get the new certificate. Unusable files,
    /// such as half-written ones, change nothing.
    pub async fn follow(self: Arc<Self>, drain: &Drain) {
        let mut last_stamps = stamps(&self.files).await;
        loop {
            tokio::time::sleep(FILE_POLL_INTERVAL).await;
            let found = stamps(&self.files).await;
            if found == last_stamps {
                continue;
            }
            last_stamps = found;
            let files = self.files.clone();
            match drain.spawn_blocking(move || load_config(&files)).await {
                Ok(Ok(config)) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                    tracing::info!(certificate = %self.files.certificate.display(), "the listener's certificate was reloaded");
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the listener's certificate cannot be reloaded: it keeps the previous one")
                }
                Err(_) => {}
            }
        }
    }
}

async fn stamps(files: &Files) -> [Option<FileStamp>; 2] {
    [stamp(&files.certificate).await, stamp(&files.key).await]
}

async fn stamp(path: &Path) -> Option<FileStamp> {
    let file = tokio::fs::metadata(path).await.ok()?;
    Some((file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
}

fn load_config(files: &Files) -> Result<ServerConfig, TlsError> {
    let certificates = paths::read_trusted(&files.certificate)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates.expose()).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| TlsError::NoCertificate(files.certificate.clone()))?;
    let key = paths::read_trusted(&files.key)?;
    let key = PrivateKeyDer::from_pem_slice(key.expose()).map_err(|_| TlsError::NoKey(files.key.clone()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config.with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
    Ok(config)
}
