//! The peer: the Rust library a2, a separate package in `benches/peers/a2`, built here and run on the same simulator.
//!
//! It only knows Apple's addresses and the public authorities. So it is built from a copy of its source in which these
//! two, and nothing else, are replaced by what the environment names.

use crate::process::Program;
use crate::sender::{Order, Used};
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

const NAME: &str = "a2";
/// Text in the library's source, and its replacement.
const REPLACED: [(&str, &str); 2] = [
    (
        r#"Endpoint::Sandbox => "api.development.push.apple.com","#,
        r#"Endpoint::Sandbox => {
                static GATEWAY: std::sync::LazyLock<String> =
                    std::sync::LazyLock::new(|| std::env::var("PEER_GATEWAY").expect("PEER_GATEWAY"));
                GATEWAY.as_str()
            }"#,
    ),
    (
        r#".with_webpki_roots()
        .with_client_auth_cert"#,
        r#".with_root_certificates({
            let mut roots = rustls::RootCertStore::empty();
            let pem = std::fs::read(std::env::var("PEER_CA_FILE").expect("PEER_CA_FILE"))?;
            let authorities: Result<Vec<_>, _> = rustls_pemfile::certs(&mut &pem[..]).collect();
            roots.add_parsable_certificates(authorities?);
            roots
        })
        .with_client_auth_cert"#,
    ),
];

/// The peer, built.
pub struct Peer {
    program: PathBuf,
}

impl Peer {
    /// Builds it; what it needs is fetched on the first time.
    pub fn build() -> Result<Self, Box<dyn Error>> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (package, copy) = (root.join("benches/peers/a2"), root.join("target/peers/a2"));
        let library = library(&package)?;
        let ported = copy.join(NAME);
        copy_package(&package, &copy, &[])?;
        copy_package(&library, &ported, &REPLACED)?;
        let client = fs::read_to_string(ported.join("src/client.rs"))?;
        if let Some((lacking, _)) = REPLACED.iter().find(|(_, to)| !client.contains(to)) {
            return Err(format!("the library's source does not hold {lacking:?}").into());
        }
        let config = format!("patch.crates-io.{NAME}.path = {ported:?}");
        let mut build = cargo("build", &copy);
        build.args(["--release", "--quiet", "--config", &config, "--target-dir"]).arg(copy.join("target"));
        if !build.status()?.success() {
            return Err("the peer does not build".into());
        }
        Ok(Self { program: copy.join("target/release/peer-a2") })
    }

    /// Runs it and reads what it used.
    pub fn run(&self, simulator: &Program, notifications: usize) -> Used {
        let order = Order::closed(simulator, notifications);
        let mut command = Command::new(&self.program);
        command.env("PEER_GATEWAY", &order.listen).env("PEER_CA_FILE", &order.ca_file);
        order.give(&mut command)
    }
}

fn cargo(verb: &str, package: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.arg(verb).arg("--manifest-path").arg(package.join("Cargo.toml"));
    command
}

/// The folder of the library's source.
fn library(package: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let told = cargo("metadata", package).args(["--locked", "--format-version", "1"]).output()?;
    if !told.status.success() {
        return Err(String::from_utf8_lossy(&told.stderr).into());
    }
    let told: serde_json::Value = serde_json::from_slice(&told.stdout)?;
    let packages = told["packages"].as_array().ok_or("cargo names no packages")?;
    let found = packages.iter().find(|package| package["name"] == NAME).ok_or("cargo does not know the library")?;
    let manifest = Path::new(found["manifest_path"].as_str().ok_or("the library has no manifest")?);
    Ok(manifest.parent().ok_or("the manifest lies nowhere")?.to_owned())
}

/// Copies manifest, lock file and sources, with parts of the text replaced.
fn copy_package(from: &Path, to: &Path, replaced: &[(&str, &str)]) -> io::Result<()> {
    fs::create_dir_all(to)?;
    ["Cargo.toml", "Cargo.lock", "src"].iter().try_for_each(|name| copy(&from.join(name), &to.join(name), replaced))
}

/// An unchanged file keeps its time, so that it is not built again.
fn copy(from: &Path, to: &Path, replaced: &[(&str, &str)]) -> io::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        return fs::read_dir(from)?.try_for_each(|entry| {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()), replaced)
        });
    }
    let text = replaced.iter().fold(fs::read_to_string(from)?, |text, (from, to)| text.replacen(from, to, 1));
    let is_there = fs::read_to_string(to).is_ok_and(|there| there == text);
    if is_there { Ok(()) } else { fs::write(to, text) }
}
