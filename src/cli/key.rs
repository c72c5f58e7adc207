//! `pyapns key`: makes an API key.

use super::print;
use crate::api::auth::key::{Digest, KeyId, Scope, new_secret};
use crate::model::AppId;
use anyhow::Context;
use std::process::ExitCode;

pub const EXAMPLES: &str = "\
Examples:
  pyapns key --id shop --app com.example.app >> /etc/pyapns/pyapns.toml
  pyapns key --id ops --scope apps:read,apps:write,metrics >> /etc/pyapns/pyapns.toml";

/// Make an API key. The key is printed on standard error and stored nowhere. Its entry for the configuration file,
/// which has only its hash, is printed on standard output: `pyapns key --id shop >> pyapns.toml`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The key's name in the configuration.
    #[arg(long, value_name = "NAME")]
    id: KeyId,
    /// Its scopes: send, feedback, apps:read, apps:write, metrics, admin.
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',', default_value = "send,feedback,apps:read")]
    scopes: Vec<Scope>,
    /// An app that the key may use; may be repeated. Without it the key may use all apps.
    #[arg(long = "app", value_name = "APP_ID", value_delimiter = ',', value_parser = app_id)]
    apps: Vec<AppId>,
}

pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let secret = new_secret().context("the system's random number generator failed")?;
    let id = arguments.id.as_str();
    print::note(format_args!("the key, which is shown only once: {id}.{}", *secret));
    let list = |texts: Vec<&str>| texts.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", ");
    let (digest, scopes) =
        (Digest::of(secret.as_bytes()), arguments.scopes.iter().map(|scope| scope.as_str()).collect());
    print::line(format_args!(
        "\n[[api_keys]]\nid = \"{id}\"\nsecret_sha256 = \"{digest}\"\nscopes = [{}]",
        list(scopes)
    ))?;
    if !arguments.apps.is_empty() {
        let apps = arguments.apps.iter().map(AppId::as_str).collect();
        print::line(format_args!("apps = [{}]", list(apps)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn app_id(text: &str) -> Result<AppId, String> {
    AppId::new(text).map_err(|error| error.to_string())
}
