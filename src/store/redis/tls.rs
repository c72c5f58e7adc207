//! The TLS settings of connections to Redis and Sentinel.

use super::{Settings, Unfit};
use crate::store::StoreError;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;

/// TLS 1.2 or later. Trusts `ca_file`, or the public roots without one; shows `certificate` if there is one. Reads the
/// files: blocks.
pub(super) fn client_config(settings: &Settings) -> Result<Arc<ClientConfig>, StoreError> {
    let unusable = |error: rustls::Error| Unfit::Tls { cause: error.to_string() };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(unusable)?.with_root_certificates(roots(settings.ca_file.as_deref())?);
    let config = match (&settings.certificate, &settings.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(certificate), Some(key)) => {
            let chain = certificates("store.certificate", certificate)?;
            let private = PrivateKeyDer::from_pem_file(key).map_err(|cause| file("store.key", key, cause))?;
            let fits = builder.with_client_auth_cert(chain, private);
            fits.map_err(|cause| file("store.key", key, cause))?
        }
        _ => return Err(Unfit::HalfAnIdentity.into()),
    };
    Ok(Arc::new(config))
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, StoreError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca_file else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(roots);
    };
    for certificate in certificates("store.ca_file", path)? {
        roots.add(certificate).map_err(|cause| file("store.ca_file", path, cause))?;
    }
    Ok(roots)
}

/// The certificates of a file, at least one.
fn certificates(setting: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|cause| file(setting, path, cause))?;
    if certificates.is_empty() {
        return Err(file(setting, path, "it holds no certificate in PEM form"));
    }
    Ok(certificates)
}

fn file(setting: &'static str, path: &Path, cause: impl std::fmt::Display) -> StoreError {
    Unfit::File { setting, path: path.to_owned(), cause: cause.to_string() }.into()
}
