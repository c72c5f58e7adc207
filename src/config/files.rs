//! The files and folders that settings name: tried before anything starts, so that what is wrong with them is told too.

use super::Config;
use super::reader::Reader;
use crate::api::server::tls::Tls;
use crate::apns::trust::Trust;
use crate::clock::Clock;
use crate::credentials::Keyring;
use std::path::Path;

/// Adds a fault for each that is of no use.
pub(super) fn try_all(config: &Config, read: &mut Reader<'_>) {
    if let Some(folder) = &config.credentials_dir
        && let Err(error) = std::fs::read_dir(folder)
    {
        read.fault("credentials_dir", &format!("the folder {} cannot be read: {error}", folder.display()));
    }
    for file in &config.key_files {
        // With a file given, the node's own key is not asked for.
        if let Err(error) = Keyring::load(std::slice::from_ref(file), Path::new("")) {
            read.fault("credentials.key_files", &error.to_string());
        }
    }
    let clock = Clock::system();
    for entry in &config.autoprovision {
        if let Err(fault) = entry.check(&clock) {
            read.fault_at(fault.place, fault.what);
        }
    }
    if let Err(error) = Trust::load(config.apple.ca_file.as_deref()) {
        read.fault("apple.ca_file", &error.to_string());
    }
    if let Some(Err(error)) = config.tls.clone().map(Tls::load) {
        read.fault("tls.certificate", &error.to_string());
    }
}
