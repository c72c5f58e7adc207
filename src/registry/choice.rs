//! Which certificate of a file an app gets, where there are several: Keychain exports what was marked, and renewed ones
//! are appended to the old.

use super::{ProvisionError, topic};
use crate::credentials::{Certificate, Credential, CredentialError, Material};
use crate::model::AppKey;

/// For whom a certificate is chosen, and when.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub key: &'a AppKey,
    pub topic: Option<&'a str>,
    /// UNIX seconds.
    pub now: u64,
}

/// A credential, and how many of its kind the file holds.
#[derive(Debug)]
pub struct Chosen {
    pub credential: Credential,
    pub among: usize,
}

impl Chosen {
    /// Says which one it is where there are several.
    pub fn tell(self, app: &AppKey) -> Credential {
        if let (Some(certificate), 2..) = (self.credential.certificate(), self.among) {
            let (name, fingerprint, among) = (certificate.name(), certificate.fingerprint(), self.among);
            tracing::info!(%app, name, fingerprint, "took one of {among} certificates with their keys");
        }
        self.credential
    }
}

/// Of the certificates that Apple made for push those for the topic asked for, of these those for the environment, of
/// these the valid ones, and of these the one that expires last. Where none is left, what was there before stays: the
/// fault is told by the checks that follow. Fails where there is none for push, or where several topics are left and
/// none is asked for.
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
    // Of equals the first.
    let last = found.into_iter().rev().max_by_key(Credential::expires_at);
    Ok(Chosen { credential: last.ok_or(CredentialError::KeyMismatch)?, among })
}

/// The part of a credential that is kept: the chosen certificate of a file with several, and only the key it needs.
pub fn kept(chosen: &Credential, material: Material) -> Result<Material, CredentialError> {
    match chosen.certificate() {
        Some(certificate) => Ok(Material::Certificate { pem: certificate.pem()? }),
        None => Ok(material),
    }
}

/// Keeps those that are wanted, if there are any: whether there are.
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

/// In their order, each once.
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
