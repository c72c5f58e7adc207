//! A store as the command line names it, and what opens its credentials.

use crate::cli::print;
use crate::clock::Clock;
use crate::config::Origin;
use crate::config::store::{Prefix, StoreConfig};
use crate::credentials::keyring::OWN_KEY;
use crate::credentials::{Keyring, check};
use crate::store::redis::{self, RedisUrl};
use crate::store::sqlite::{DATABASE_FILE, Ownership};
use crate::store::{Sqlite, Transfer, opening};
use anyhow::{Context, anyhow, bail};
use std::path::{Path, PathBuf};

/// The argument that names a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    From,
    To,
}

/// The flags for a Redis that is named by its URL.
#[derive(Debug)]
pub struct RedisFlags {
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    pub prefix: Option<String>,
}

/// A store and its keys.
#[derive(Debug)]
pub struct Place {
    name: String,
    kind: Kind,
    /// None = the key in the data directory.
    keys: Vec<PathBuf>,
}

#[derive(Debug)]
enum Kind {
    Sqlite(PathBuf),
    Redis(Box<redis::Settings>),
}

impl Place {
    /// Reads an argument. Errors do not repeat it: it may be a URL with a password.
    pub fn read(side: Side, text: &str, keys: Vec<PathBuf>, flags: RedisFlags) -> anyhow::Result<Self> {
        let (argument, keys_flag) = match side {
            Side::From => ("FROM", "--from-keys"),
            Side::To => ("TO", "--to-keys"),
        };
        let (kind, keys) = if let Some(file) = text.strip_prefix("config:") {
            flags.refuse(argument)?;
            of_config(Path::new(file), keys)?
        } else if let Some(folder) = text.strip_prefix("sqlite:") {
            flags.refuse(argument)?;
            (Kind::Sqlite(folder.into()), keys)
        } else if text.contains("://") {
            (Kind::Redis(Box::new(flags.settings(text).with_context(|| format!("{argument} is of no use"))?)), keys)
        } else {
            bail!("{argument} must be sqlite:DIR, the URL of a Redis (redis://host:port/0), or config:FILE");
        };
        if keys.is_empty() && matches!(kind, Kind::Redis(_)) {
            bail!(
                "{keys_flag} is missing: the credentials in a shared store are sealed with the files of credentials.key_files"
            );
        }
        Ok(Self { name: kind.name(), kind, keys })
    }

    /// The store's name for people, and for the mark of an unfinished copy.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens it to read. No node may use it meanwhile.
    pub async fn open_source(&self, clock: &Clock) -> anyhow::Result<Box<dyn Transfer>> {
        match &self.kind {
            Kind::Sqlite(folder) if !folder.join(DATABASE_FILE).exists() => {
                bail!("there is no database in {}: give the data directory of the node", folder.display())
            }
            Kind::Sqlite(folder) => whole(Box::new(Sqlite::open(folder)?)).await,
            Kind::Redis(settings) => {
                let (store, _) = opening::connect(settings, clock).await?;
                unused(&store).await?;
                whole(Box::new(store)).await
            }
        }
    }

    /// Opens it to write. No node may use it meanwhile.
    pub async fn open_target(&self, clock: &Clock) -> anyhow::Result<Box<dyn Transfer>> {
        match &self.kind {
            Kind::Sqlite(folder) => {
                let store = Sqlite::open(folder)?;
                match store.ownership().await? {
                    Ownership::Own => Ok(Box::new(store)),
                    Ownership::CopyOf(_) => bail!("it is a node's copy of a shared store: choose another folder"),
                }
            }
            Kind::Redis(settings) => {
                let (store, notices) = opening::connect(settings, clock).await?;
                notices.iter().for_each(|notice| print::note(format_args!("warning: {notice}")));
                unused(&store).await?;
                Ok(Box::new(store))
            }
        }
    }

    /// Notes in a shared store which key seals its credentials, so that a node without it sees that.
    pub async fn note_keys(&self, sealing: &Keyring, clock: &Clock) -> anyhow::Result<()> {
        let Kind::Redis(settings) = &self.kind else { return Ok(()) };
        let (store, _) = opening::connect(settings, clock).await?;
        let known = store.check().await?;
        store.set_check(&check::seal(sealing), known.as_deref()).await?;
        Ok(())
    }

    /// The keys that open the credentials. None is made: a new one would open nothing.
    pub fn source_keyring(&self) -> anyhow::Result<Keyring> {
        match &self.kind {
            Kind::Sqlite(folder) if self.keys.is_empty() && !folder.join(OWN_KEY).exists() => Ok(Keyring::passing()?),
            _ => self.target_keyring(),
        }
    }

    /// The keys whose first one seals the credentials.
    pub fn target_keyring(&self) -> anyhow::Result<Keyring> {
        let folder = match &self.kind {
            Kind::Sqlite(folder) => folder.as_path(),
            Kind::Redis(_) => Path::new(""),
        };
        Ok(Keyring::load(&self.keys, folder)?)
    }
}

impl Kind {
    fn name(&self) -> String {
        match self {
            Self::Sqlite(folder) => {
                let folder = folder.canonicalize().or_else(|_| std::path::absolute(folder));
                format!("sqlite:{}", folder.unwrap_or_default().display())
            }
            Self::Redis(settings) => format!("{} (keys {}*)", settings.url, settings.prefix),
        }
    }
}

/// The store of a configuration file, and its keys unless others are given. The environment's variables are ignored: they
/// would be those of FROM and of TO.
fn of_config(file: &Path, keys: Vec<PathBuf>) -> anyhow::Result<(Kind, Vec<PathBuf>)> {
    let config = Origin::new(Some(file.to_owned()), |_| None).load().map_err(|faults| anyhow!("{faults}"))?;
    let keys = if keys.is_empty() { config.key_files } else { keys };
    Ok(match config.store.redis()? {
        Some(settings) => (Kind::Redis(Box::new(settings)), keys),
        None => (Kind::Sqlite(config.data_dir), keys),
    })
}

/// Refuses half a store.
async fn whole(store: Box<dyn Transfer>) -> anyhow::Result<Box<dyn Transfer>> {
    match store.unfinished_copy().await? {
        Some(from) => bail!("it is the unfinished copy of {from}: finish that first, by the same command"),
        None => Ok(store),
    }
}

async fn unused(store: &redis::Redis) -> anyhow::Result<()> {
    match store.live_nodes().await?.as_slice() {
        [] => Ok(()),
        nodes => {
            bail!("nodes use it: stop {} first (a node that was killed is gone after 6 seconds)", nodes.join(", "))
        }
    }
}

impl RedisFlags {
    fn refuse(&self, argument: &str) -> anyhow::Result<()> {
        let Self { username, password_file, ca_file, prefix } = self;
        if username.is_none() && password_file.is_none() && ca_file.is_none() && prefix.is_none() {
            return Ok(());
        }
        let flag = argument.to_ascii_lowercase();
        bail!(
            "--{flag}-username, --{flag}-password-file, --{flag}-ca-file and --{flag}-prefix belong to a Redis that {argument} names by its URL"
        )
    }

    fn settings(self, url: &str) -> anyhow::Result<redis::Settings> {
        let url = RedisUrl::parse(url)?;
        let prefix = self.prefix.unwrap_or_else(|| redis::Settings::new(url.clone()).prefix);
        let config = StoreConfig {
            url: Some(url),
            prefix: prefix.parse::<Prefix>().map_err(|error| anyhow!("the prefix: {error}"))?,
            username: self.username,
            password_file: self.password_file,
            ca_file: self.ca_file,
            certificate: None,
            key: None,
        };
        Ok(config.redis()?.expect("it has a URL"))
    }
}
