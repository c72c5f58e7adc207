//! Tries the files and folders that settings name before anything starts, to report their faults too.

use super::Config;
use super::reader::Reader;
use crate::apns::trust::Trust;
use crate::autoprovision::{AppFault, ConfiguredApp};
use crate::clock::Clock;
use crate::cluster::Identity;
use crate::credentials::keyring::OWN_KEY;
use crate::credentials::{Keyring, paths};
use crate::http::server::tls::Tls;
use crate::store::StoreError;
use crate::store::redis::{Link, Unfit};
use std::path::{Path, PathBuf};

/// Adds a fault for each file that cannot be used, and a notice for each whose permissions are too open.
pub(super) fn check_all(config: &mut Config, read: &mut Reader<'_>) {
    check_files(config, read);
    check_configured_apps(config, read);
}

/// Like [`check_all`], before a node starts. The node checks the configured apps against its store, where an app may be
/// older than a check of today. They are tried here only if the node cannot start anyway, so that one run reports all
/// faults.
pub(super) fn check_before_start(config: &mut Config, read: &mut Reader<'_>) {
    check_files(config, read);
    if read.has_faults() {
        check_configured_apps(config, read);
    }
}

fn check_configured_apps(config: &mut Config, read: &mut Reader<'_>) {
    let clock = Clock::system();
    for entry in &config.autoprovision {
        match entry.validate(&clock) {
            Ok(warning) => config.notices.extend(warning.map(|AppFault { place, what }| format!("{place}: {what}"))),
            Err(fault) => read.fault_at(fault.place, fault.what),
        }
    }
}

fn check_files(config: &Config, read: &mut Reader<'_>) {
    if let Some(folder) = &config.credentials_dir
        && let Err(error) = std::fs::read_dir(folder)
    {
        read.fault("credentials_dir", &format!("the folder {} cannot be read: {error}", folder.display()));
    }
    for file in &config.key_files {
        // With a file given, the keyring does not look for the generated key.
        if let Err(error) = Keyring::load(std::slice::from_ref(file), Path::new("")) {
            read.fault("credentials.key_files", &error.to_string());
        }
    }
    check_redis(config, read);
    for file in &config.cluster.identity_files {
        if let Err(error) = Identity::load(std::slice::from_ref(file)) {
            read.fault("cluster.identity_files", &error.to_string());
        }
    }
    for key in &config.api_keys {
        if let Err(error) = key.open() {
            read.fault_at(key.place.clone(), error.to_string());
        }
    }
    if let Err(error) = Trust::load(config.apple.ca_file.as_deref()) {
        read.fault("apple.ca_file", &error.to_string());
    }
    if let Some(Err(error)) = config.tls.clone().map(Tls::load) {
        read.fault("tls.certificate", &error.to_string());
    }
}

fn check_redis(config: &Config, read: &mut Reader<'_>) {
    let settings = match config.store.redis() {
        Ok(settings) => settings,
        Err(error) => return read.fault("store.password_file", &error.to_string()),
    };
    match settings.map(|settings| Link::new(&settings)) {
        Some(Err(StoreError::RedisUnfit(Unfit::File { setting, path, cause }))) => {
            read.fault(setting, &format!("{} cannot be used: {cause}", path.display()));
        }
        Some(Err(error)) => read.fault("store.url", &error.to_string()),
        Some(Ok(_)) | None => {}
    }
}

/// A warning for each file with secrets that every user of the machine may read. Blocks on the disk.
pub(super) fn world_readable(config: &Config) -> Vec<String> {
    let own = config.data_dir.join(OWN_KEY);
    let keys = if config.key_files.is_empty() { std::slice::from_ref(&own) } else { &config.key_files };
    let keys = keys.iter().map(PathBuf::as_path);
    let tls = config.tls.iter().map(|files| files.key.as_path());
    let apps = config.autoprovision.iter().flat_map(ConfiguredApp::files);
    let cluster = config.cluster.identity_files.iter().map(PathBuf::as_path);
    let redis = config.store.secret_files().map(PathBuf::as_path);
    let callers = config.api_keys.iter().filter_map(|key| key.file());
    let mut warnings: Vec<String> =
        keys.chain(tls).chain(cluster).chain(redis).chain(apps).chain(callers).filter_map(paths::exposed).collect();
    warnings.sort();
    warnings.dedup();
    warnings
}
