//! The test certificate authority: signs the server's certificate and client certificates like Apple's.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

const UID: [u64; 7] = [0, 9, 2342, 19_200_300, 100, 1, 1];
const APPLE_PUSH: [u64; 7] = [1, 2, 840, 113_635, 100, 6, 3];
const SANDBOX: u64 = 1;
const PRODUCTION: u64 = 2;
const TOPICS: u64 = 6;

/// The names and environments of a client certificate to generate.
#[derive(Debug, Clone)]
pub struct ClientSubject<'a> {
    /// The bundle id: the subject's UID, and part of its common name.
    pub bundle: &'a str,
    /// Topic and kind (`app`, `voip`, `complication`), pairwise. Empty leaves the topic extension out.
    pub topics: &'a [(&'a str, &'a str)],
    pub sandbox: bool,
    pub production: bool,
    pub not_before_year: i32,
    pub not_after_year: i32,
}

/// A certificate authority made for one directory, or for one test.
pub struct Authority {
    certificate_pem: String,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn generate() -> Result<Self, rcgen::Error> {
        Self::named("pyapns simulator CA")
    }

    pub fn named(name: &str) -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = new_key()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            certificate_pem: certificate.pem(),
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        })
    }

    /// The authority saved earlier as certificate and key, both PEM.
    pub fn load(certificate_pem: &str, key_pem: &str) -> Result<Self, rcgen::Error> {
        use rustls::pki_types::pem::PemObject;
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|_| rcgen::Error::CouldNotParseCertificate)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, KeyPair::from_pem(key_pem)?)?;
        Ok(Self { certificate_pem: certificate_pem.to_owned(), certificate, issuer })
    }

    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The authority's private key, which can sign for the simulator.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A server certificate for localhost, both loopback addresses and `extra_name`, with its key.
    pub fn server_certificate(
        &self,
        extra_name: &str,
    ) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), rcgen::Error> {
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        if !extra_name.is_empty() && !names.iter().any(|name| name == extra_name) {
            names.push(extra_name.to_owned());
        }
        self.server(CertificateParams::new(names)?)
    }

    /// A server certificate for these names, valid from 2020 to the first day of `not_after_year`.
    pub fn flawed_server_certificate(
        &self,
        names: &[&str],
        not_after_year: i32,
    ) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), rcgen::Error> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(not_after_year, 1, 1);
        self.server(params)
    }

    fn server(
        &self,
        mut params: CertificateParams,
    ) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), rcgen::Error> {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "pyapns simulator");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = new_key()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok((certificate.der().clone(), key))
    }

    /// A client certificate with Apple's extensions and its key, PEM, in that order.
    pub fn client_certificate(&self, subject: &ClientSubject<'_>) -> Result<String, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(subject.not_before_year, 1, 1);
        params.not_after = rcgen::date_time_ymd(subject.not_after_year, 1, 1);
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("Apple Push Services: {}", subject.bundle));
        params.distinguished_name.push(DnType::from_oid(&UID), subject.bundle);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        if subject.sandbox {
            params.custom_extensions.push(apple_extension(SANDBOX, der::null()));
        }
        if subject.production {
            params.custom_extensions.push(apple_extension(PRODUCTION, der::null()));
        }
        if !subject.topics.is_empty() {
            params.custom_extensions.push(apple_extension(TOPICS, topic_list(subject.topics)));
        }
        let key = new_key()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(format!("{}{}", certificate.pem(), key.serialize_pem()))
    }
}

fn new_key() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
}

fn apple_extension(last_arc: u64, content: Vec<u8>) -> CustomExtension {
    let mut oid = APPLE_PUSH.to_vec();
    oid.push(last_arc);
    CustomExtension::from_oid_content(&oid, content)
}

fn topic_list(topics: &[(&str, &str)]) -> Vec<u8> {
    let mut items = Vec::new();
    for (topic, kind) in topics {
        items.extend(der::utf8(topic));
        items.extend(der::sequence(&der::utf8(kind)));
    }
    der::sequence(&items)
}

/// The three shapes of DER that Apple's extensions need.
mod der {
    pub fn null() -> Vec<u8> {
        vec![0x05, 0x00]
    }

    pub fn utf8(text: &str) -> Vec<u8> {
        element(0x0c, text.as_bytes())
    }

    pub fn sequence(content: &[u8]) -> Vec<u8> {
        element(0x30, content)
    }

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        let length = content.len().to_be_bytes();
        let significant = length.iter().position(|byte| *byte != 0).map_or(&length[..0], |first| &length[first..]);
        match content.len() {
            0..=127 => out.push(content.len() as u8),
            _ => {
                out.push(0x80 | significant.len() as u8);
                out.extend(significant);
            }
        }
        out.extend(content);
        out
    }
}
