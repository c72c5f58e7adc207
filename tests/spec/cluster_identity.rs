//! The identity of a cluster's nodes, judged by OpenSSL.

use crate::support::forms::openssl;
use pyapns::cluster::Identity;
use pyapns::cluster::identity::{LinkRefused, generate};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;

/// A folder with two identities: `ours.pem` and `other.pem`.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["ours.pem", "other.pem"] {
            let path = folder.path().join(name);
            fs::write(&path, generate().expect("an identity").expose()).expect("a file");
            fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("its mode");
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// The words that a node's side of a link sends to OpenSSL's client, and why the node refuses, where it does.
async fn link_with_openssl(files: &Files, arguments: &[&str]) -> (String, Option<LinkRefused>) {
    let identity = Identity::load(&[files.path("ours.pem")]).expect("a good file");
    let acceptor = TlsAcceptor::from(Arc::new(identity.server().expect("settings")));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let client = Command::new("openssl")
        .args(["s_client", "-quiet", "-connect", &address])
        .args(arguments)
        .current_dir(files.0.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let server = async {
        let (socket, _) = listener.accept().await.expect("a connection");
        match acceptor.accept(socket).await {
            Ok(mut link) => {
                link.write_all(b"frames follow").await.expect("OpenSSL reads");
                link.shutdown().await.expect("OpenSSL reads");
                None
            }
            Err(refused) => Some(refused.into()),
        }
    };
    let (client, refused) = tokio::join!(client, server);
    (String::from_utf8(client.expect("openssl runs").stdout).expect("text"), refused)
}

#[test]
fn an_identity_is_a_p_256_certificate_that_signed_itself_with_its_key() {
    let files = Files::new();
    let openssl = |arguments: &str| String::from_utf8(openssl(files.0.path(), arguments, &[], "")).expect("text");
    let shown = openssl("x509 -in ours.pem -noout -text");
    assert!(shown.contains("NIST CURVE: P-256") && shown.contains("Subject: CN = pyapns cluster"), "{shown}");
    assert_eq!(openssl("verify -CAfile ours.pem ours.pem"), "ours.pem: OK\n");
    assert!(openssl("pkey -in ours.pem -check -noout").contains("Key is valid"));
    assert_eq!(openssl("pkey -in ours.pem -pubout"), openssl("x509 -in ours.pem -noout -pubkey"));
    let ours = Identity::load(&[files.path("ours.pem")]).expect("a good file").fingerprint();
    let theirs = openssl("x509 -in ours.pem -noout -fingerprint -sha256").trim().replace(':', "").to_lowercase();
    assert_eq!(theirs, format!("sha256 fingerprint={ours}"));
}

#[tokio::test]
async fn openssl_with_the_identity_opens_a_link_in_tls_1_3_only() {
    let files = Files::new();
    let own = ["-cert", "ours.pem", "-key", "ours.pem"];
    let (said, refused) = link_with_openssl(&files, &own).await;
    assert_eq!((&said[..], refused), ("frames follow", None));
    let (said, refused) = link_with_openssl(&files, &[&own[..], &["-tls1_2"]].concat()).await;
    assert_eq!(said, "");
    assert_eq!(refused, Some(LinkRefused::NoTls13));
}

#[tokio::test]
async fn openssl_without_the_identity_opens_none() {
    let files = Files::new();
    let (said, refused) = link_with_openssl(&files, &[]).await;
    assert_eq!((&said[..], refused), ("", Some(LinkRefused::NoCertificate)));
    let (said, refused) = link_with_openssl(&files, &["-cert", "other.pem", "-key", "other.pem"]).await;
    assert_eq!((&said[..], refused), ("", Some(LinkRefused::OtherIdentity)));
}
