//! Chooses the certificate of an app from a file with several: Keychain exports the whole selection, and renewed
//! certificates are appended to old ones.

use super::{ProvisionError, topic};
use crate::credentials::{Certificate, Credential, CredentialError, Material};
use crate::model::AppKey;

/// The app and the time of a choice.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub key: &'a AppKey,
    pub topic: Option<&'a str>,
    /// UNIX seconds.
    pub now: u64,
}

/// A credential, and the number of credentials in its file.
#[derive(Debug)]
pub struct Chosen {
    pub credential: Credential,
    pub among: usize,
}

impl Chosen {
    /// Logs the choice if there are several.
    pub fn tell(self, app: &AppKey) -> Credential {
        if let (Some(certificate), 2..) = (self.credential.certificate(), self.among) {
            let (name, fingerprint, among) = (certificate.name(), certificate.fingerprint(), self.among);
            tracing::info!(%app, name, fingerprint, "chose one of {among} certificates with their keys");
        }
        self.credential
    }
}

/// Filters the push certificates by the requested topic, then by environment, then by validity, and chooses the one
/// that expires last. A filter that leaves none is skipped: a later check reports its fault. Fails if no certificate is
/// for push, or if several topics are left and none was requested.
pub fn choose(material: &Material, asked: Asked<'_>) -> Result<Chosen, ProvisionError> {
    let mut found = Credential::all(material)?;
    let among = found.len();
    let has =
        |credential: &Credential, wanted: &dyn Fn(&Certificate) -> bool| credential.certificate().is_none_or(wanted);
    if !narrow(&mut found, |one| has(one, &Certificate::is_for_push)) {
        let names = found.iter().filter_map(Credential::certificate).map(|one| one.name().to_owned());
        return Err(CredentialError::NotForPush { names: distinct(names) }.into());
    }
    if let Some(wanted) = asked.topic {
        let exactly = |one: &Credential| one.base_topic() == Some(wanted);
        let listed = |one: &Credential| one.summary().topics.iter().any(|topic| topic == wanted);
        let covered = |one: &Credential| topic::check(Some(wanted), one, &asked.key.id).is_ok();
        if !narrow(&mut found, exactly)
            && !narrow(&mut found, listed)
            && !narrow(&mut found, covered)
            && found.len() > 1
        {
            let listed = distinct(found.iter().flat_map(|one| one.summary().topics)).join(", ");
            return Err(ProvisionError::TopicNotOfCertificate { topic: wanted.to_owned(), listed });
        }
    }
    let environment = asked.key.environment;
    narrow(&mut found, |one| has(one, &|one| one.only_for().is_none_or(|only| only == environment)));
    narrow(&mut found, |one| has(one, &|one| one.is_valid_at(asked.now)));
    let topics = distinct(found.iter().filter_map(topic_of));
    if asked.topic.is_none() && topics.len() > 1 {
        return Err(ProvisionError::SeveralTopics { topics });
    }
    // The first of several equal ones.
    let last = found.into_iter().rev().max_by_key(Credential::expires_at);
    Ok(Chosen { credential: last.ok_or(CredentialError::KeyMismatch)?, among })
}

/// The part of a credential to store: the chosen certificate with its key.
pub fn kept(chosen: &Credential, material: Material) -> Result<Material, CredentialError> {
    match chosen.certificate() {
        Some(certificate) => Ok(Material::Certificate { pem: certificate.pem()? }),
        None => Ok(material),
    }
}

/// Keeps the wanted items, if there are any. Returns true if there are.
fn narrow(found: &mut Vec<Credential>, wanted: impl Fn(&Credential) -> bool) -> bool {
    let any = found.iter().any(&wanted);
    if any {
        found.retain(wanted);
    }
    any
}

fn topic_of(credential: &Credential) -> Option<String> {
    credential.base_topic().map(str::to_owned).or_else(|| credential.summary().topics.into_iter().next())
}

/// The items without duplicates, in their order.
fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut distinct = Vec::new();
    names.for_each(|name| {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    });
    distinct
}

#[cfg(test)]
mod tests;
