//! The simulator's identity: its certificate authority, a demo certificate and a demo key, kept in a directory.

mod authority;

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde::{Deserialize, Serialize};

pub use authority::{Authority, ClientSubject};

use super::jwt::Key;

const DEMO_TOPIC: &str = "com.example.app";
const NOT_BEFORE_YEAR: i32 = 2020;
const NOT_AFTER_YEAR: i32 = 2100;

/// The reason that the identities could not be created or read.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("cannot {verb} {path}: {source}")]
    File { verb: &'static str, path: PathBuf, source: io::Error },
    #[error("{path} does not describe a simulator identity ({source}); delete the directory to create a new one")]
    Description { path: PathBuf, source: serde_json::Error },
    #[error("a key or certificate of the simulator cannot be used: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// The identities of one simulator. Tests take them from memory, other processes from the directory.
pub struct Identity {
    pub authority: Authority,
    /// Ten characters, like Apple's.
    pub key_id: String,
    /// Ten characters, like Apple's.
    pub team_id: String,
    /// The topic that the demo certificate is for. The demo key is good for every topic.
    pub topic: String,
    /// PKCS#8 PEM of the P-256 key that signs provider tokens.
    pub key_pem: String,
    /// PEM of the client certificate and its key.
    pub client_pem: String,
    directory: Option<PathBuf>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("key_id", &self.key_id)
            .field("team_id", &self.team_id)
            .field("topic", &self.topic)
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    key_id: String,
    team_id: String,
    topic: String,
}

impl Identity {
    /// New identities that live in memory only.
    pub fn generate() -> Result<Self, IdentityError> {
        let authority = Authority::generate()?;
        let voip = format!("{DEMO_TOPIC}.voip");
        let complication = format!("{DEMO_TOPIC}.complication");
        let client_pem = authority.client_certificate(&ClientSubject {
            bundle: DEMO_TOPIC,
            topics: &[(DEMO_TOPIC, "app"), (&voip, "voip"), (&complication, "complication")],
            sandbox: true,
            production: true,
            not_before_year: NOT_BEFORE_YEAR,
            not_after_year: NOT_AFTER_YEAR,
        })?;
        Ok(Self {
            authority,
            key_id: apple_id(),
            team_id: apple_id(),
            topic: DEMO_TOPIC.to_owned(),
            key_pem: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?.serialize_pem(),
            client_pem,
            directory: None,
        })
    }

    /// Reads the identities in `directory`; creates them and the directory if there are none.
    pub fn open(directory: &Path) -> Result<Self, IdentityError> {
        let description = directory.join("identity.json");
        if !description.exists() {
            let made = Self { directory: Some(directory.to_owned()), ..Self::generate()? };
            made.save(directory)?;
            return Ok(made);
        }
        let text = read_pem(&description)?;
        let named: Description =
            serde_json::from_str(&text).map_err(|source| IdentityError::Description { path: description, source })?;
        Ok(Self {
            authority: Authority::load(
                &read_pem(&directory.join("ca.pem"))?,
                &read_pem(&directory.join("ca-key.pem"))?,
            )?,
            key_id: named.key_id,
            team_id: named.team_id,
            topic: named.topic,
            key_pem: read_pem(&directory.join("key.p8"))?,
            client_pem: read_pem(&directory.join("client.pem"))?,
            directory: Some(directory.to_owned()),
        })
    }

    /// The public half of the demo key, for the rules.
    pub fn key(&self) -> Result<Key, IdentityError> {
        let pair = KeyPair::from_pem(&self.key_pem)?;
        Ok(Key::new(&self.key_id, &self.team_id, pair.public_key_raw()))
    }

    /// The path of a file of this identity, `None` for identities in memory.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        self.directory.as_ref().map(|directory| directory.join(name))
    }

    /// `identity.json` is written last: a directory without it is written again.
    fn save(&self, directory: &Path) -> Result<(), IdentityError> {
        let failed = |source| IdentityError::File { verb: "create", path: directory.to_owned(), source };
        fs::create_dir_all(directory).map_err(failed)?;
        write(&directory.join("ca.pem"), self.authority.certificate_pem(), 0o644)?;
        write(&directory.join("ca-key.pem"), &self.authority.key_pem(), 0o600)?;
        write(&directory.join("client.pem"), &self.client_pem, 0o600)?;
        write(&directory.join("key.p8"), &self.key_pem, 0o600)?;
        let description =
            Description { key_id: self.key_id.clone(), team_id: self.team_id.clone(), topic: self.topic.clone() };
        let path = directory.join("identity.json");
        let text = serde_json::to_string_pretty(&description)
            .map_err(|source| IdentityError::Description { path: path.clone(), source })?;
        write(&path, &text, 0o644)
    }
}

/// A key for another team or another key id, with its PEM, for tests of foreign keys.
pub fn generate_key(key_id: &str, team_id: &str) -> Result<(Key, String), IdentityError> {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    Ok((Key::new(key_id, team_id, pair.public_key_raw()), pair.serialize_pem()))
}

fn apple_id() -> String {
    let letters = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    (0..10).map(|_| char::from(letters[fastrand::usize(..letters.len())])).collect()
}

fn read_pem(path: &Path) -> Result<String, IdentityError> {
    fs::read_to_string(path).map_err(|source| IdentityError::File { verb: "read", path: path.to_owned(), source })
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), IdentityError> {
    let failed = |source| IdentityError::File { verb: "write", path: path.to_owned(), source };
    let mut options = fs::OpenOptions::new();
    let mut file = options.create(true).write(true).truncate(true).mode(mode).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}
