//! Translates the JSON file of pyapns 0.5 into current settings.

use super::fault::but_got;
use crate::json::number;
use serde_json::{Map, Value};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use toml::Table;

/// A translated file.
pub struct Translated {
    pub settings: Table,
    /// Warnings about settings that have no meaning any more.
    pub notices: Vec<String>,
    /// The faults, by the setting's name in the file.
    pub faults: Vec<(&'static str, String)>,
}

/// The port of the REST API if the file has none.
const REST_PORT_V05: u16 = 8088;

/// Returns true if a text is a JSON file: no TOML begins with a brace.
pub fn is_v05(text: &str) -> bool {
    text.trim_start_matches('\u{feff}').trim_start().starts_with('{')
}

/// Translates the file, or returns the line in which it is not JSON. Turns on all of `[compat]`, since old clients rely
/// on it.
pub fn translate(text: &str) -> Result<Translated, String> {
    let mut file: Map<String, Value> =
        serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| error.to_string())?;
    let mut settings = Table::new();
    let (mut notices, mut faults) = (Vec::new(), Vec::new());
    let on = ["clear_on_read", "early_expiry_is_zero", "v05_shapes"].map(|name| (name.to_owned(), true.into()));
    settings.insert("compat".to_owned(), Table::from_iter(on).into());
    if let Some(listen) = listen(file.remove("host"), file.remove("rest_port"), &mut faults) {
        settings.insert("listen".to_owned(), listen.into());
    }
    if let Some(apps) = file.remove("autoprovision") {
        settings.insert("autoprovision".to_owned(), autoprovision(apps, &mut notices));
    }
    for key in file.keys() {
        let replacement = match key.as_str() {
            "port" => "XML-RPC was removed, and REST listens on `rest_port`",
            "log_file_name" => "the log goes to standard error: let a supervisor or `2>> FILE` store it",
            "log_level" | "debug" | "verbose" => "set PYAPNS_LOG_LEVEL",
            name if name.starts_with("log") => "the log goes to standard error",
            name if name.starts_with("ssl") || name.starts_with("tls") => {
                "put the certificate into [tls] of a TOML file"
            }
            _ => "use a TOML file or a variable PYAPNS_… for other settings",
        };
        notices.push(format!("`{key}` has no meaning any more: {replacement}"));
    }
    Ok(Translated { settings, notices, faults })
}

/// The old daemon also accepted a name, and an empty one for all addresses.
fn listen(host: Option<Value>, port: Option<Value>, faults: &mut Vec<(&'static str, String)>) -> Option<String> {
    let to_text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let given = |value: Option<Value>| value.filter(|value| !value.is_null()).map(normalized).map(to_text);
    let (host, port) = (given(host), given(port));
    if host.is_none() && port.is_none() {
        return None;
    }
    let host = match host.as_deref() {
        None | Some("localhost") => Some(IpAddr::from(Ipv4Addr::LOCALHOST)),
        Some("" | "*") => Some(Ipv4Addr::UNSPECIFIED.into()),
        Some(other) => other.trim_matches(['[', ']']).parse().ok(),
    };
    if host.is_none() {
        faults.push(("host", "must be an IP address, or localhost".to_owned()));
    }
    let number = port.as_ref().map_or(Some(REST_PORT_V05), |port| port.parse().ok());
    if let (None, Some(port)) = (number, port) {
        faults.push(("rest_port", format!("must be a whole number from 0 to 65535{}", but_got(&port.into()))));
    }
    Some(SocketAddr::new(host?, number?).to_string())
}

/// Translates the apps. A value that is not a list of objects stays unchanged, and the reader reports it.
fn autoprovision(apps: Value, notices: &mut Vec<String>) -> toml::Value {
    let Value::Array(apps) = apps else { return toml::Value::String(apps.to_string()) };
    let entries = apps.into_iter().enumerate().map(|(index, app)| {
        let Value::Object(mut app) = app else { return toml::Value::String(app.to_string()) };
        let mut entry = Table::new();
        for (old, new) in
            [("app_id", "app_id"), ("cert", "certificate"), ("environment", "environment"), ("timeout", "timeout")]
        {
            let given = app.remove(old).filter(|given| !given.is_null()).map(normalized);
            let given = given.and_then(|given| toml::Value::try_from(given).ok());
            entry.extend(given.map(|given| (new.to_owned(), given)));
        }
        let unused = |key: &String| format!("`{key}` of autoprovision {} has no meaning any more", index + 1);
        notices.extend(app.keys().map(unused));
        entry.into()
    });
    toml::Value::Array(entries.collect())
}

/// Converts a number to a TOML integer: JSON also writes 15 as 15.0.
fn normalized(value: Value) -> Value {
    let integer = value.as_number().and_then(|written| number::unsigned(&written.to_string()));
    integer.map_or(value, Value::from)
}
