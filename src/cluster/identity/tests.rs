//! Links over real TLS: who is let in, and who is not.

use super::*;
use rustls::version::TLS12;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A folder with identity files.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn file(&self, name: &str, text: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
        path
    }

    /// A file with a new identity.
    fn identity(&self, name: &str) -> PathBuf {
        self.file(name, generate().expect("an identity").expose())
    }
}

fn load(files: &[&PathBuf]) -> Identity {
    Identity::load(&files.iter().map(|path| path.to_path_buf()).collect::<Vec<_>>()).expect("good files")
}

/// Opens a link, and sends a byte each way: what the client and the server see of it.
async fn link(client: ClientConfig, server: ServerConfig) -> (io::Result<u8>, io::Result<u8>) {
    let (near, far) = tokio::io::duplex(64 << 10);
    let opened = async {
        let mut stream = TlsConnector::from(Arc::new(client)).connect(Identity::server_name(), near).await?;
        stream.write_u8(1).await?;
        stream.flush().await?;
        stream.read_u8().await
    };
    let taken = async {
        let mut stream = TlsAcceptor::from(Arc::new(server)).accept(far).await?;
        stream.write_u8(2).await?;
        stream.flush().await?;
        stream.read_u8().await
    };
    tokio::join!(opened, taken)
}

async fn between(client: &Identity, server: &Identity) -> (io::Result<u8>, io::Result<u8>) {
    link(client.client().unwrap(), server.server().unwrap()).await
}

fn is_open((client, server): (io::Result<u8>, io::Result<u8>)) -> bool {
    matches!((client, server), (Ok(2), Ok(1)))
}

#[tokio::test]
async fn nodes_with_the_same_identity_open_a_link_in_tls_1_3() {
    let folder = Folder::new();
    let file = folder.identity("cluster.pem");
    let (one, other) = (load(&[&file]), load(&[&file]));
    assert_eq!(one.fingerprint(), other.fingerprint());
    assert!(is_open(between(&one, &other).await));
}

#[tokio::test]
async fn a_node_with_another_identity_is_refused_by_both_sides_with_the_remedy() {
    let folder = Folder::new();
    let (ours, theirs) = (load(&[&folder.identity("a.pem")]), load(&[&folder.identity("b.pem")]));
    assert_ne!(ours.fingerprint(), theirs.fingerprint());
    let (client, server) = between(&theirs, &ours).await;
    let refused = LinkRefused::from(client.expect_err("another server"));
    assert_eq!(refused, LinkRefused::OtherIdentity);
    assert!(refused.to_string().contains("give all nodes the same `cluster.identity_files`"), "{refused}");
    assert_eq!(LinkRefused::from(server.expect_err("refused")), LinkRefused::OwnIdentity);
    // A liar that accepts any server shows its own certificate.
    let mut liar = ours.client().unwrap();
    liar.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(Arc::clone(&theirs.shown)));
    let (client, server) = link(liar, ours.server().unwrap()).await;
    assert_eq!(LinkRefused::from(server.expect_err("another client")), LinkRefused::OtherIdentity);
    assert_eq!(LinkRefused::from(client.expect_err("refused")), LinkRefused::OwnIdentity);
}

#[tokio::test]
async fn the_certificate_without_its_key_opens_nothing() {
    let folder = Folder::new();
    let (ours, theirs) = (load(&[&folder.identity("a.pem")]), load(&[&folder.identity("b.pem")]));
    // The certificate is public: an attacker can show it with another key.
    let forged = CertifiedKey::new(ours.shown.cert.clone(), Arc::clone(&theirs.shown.key));
    let resolver = Arc::new(SingleCertAndKey::from(forged));
    let mut client = ours.client().unwrap();
    client.client_auth_cert_resolver = Arc::clone(&resolver) as _;
    let (_, refused) = link(client, ours.server().unwrap()).await;
    assert!(refused.expect_err("a forged client").to_string().contains("BadSignature"));
    let mut server = ours.server().unwrap();
    server.cert_resolver = resolver;
    let (refused, _) = link(ours.client().unwrap(), server).await;
    assert!(refused.expect_err("a forged server").to_string().contains("BadSignature"));
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let folder = Folder::new();
    let ours = load(&[&folder.identity("cluster.pem")]);
    let builder = ClientConfig::builder_with_provider(Arc::clone(&ours.provider)).with_protocol_versions(&[&TLS13]);
    let anonymous = builder.unwrap().dangerous().with_custom_certificate_verifier(Arc::clone(&ours.accepted) as _);
    let (client, server) = link(anonymous.with_no_client_auth(), ours.server().unwrap()).await;
    assert_eq!(LinkRefused::from(client.expect_err("refused")), LinkRefused::OwnIdentity);
    assert_eq!(LinkRefused::from(server.expect_err("no certificate")), LinkRefused::NoCertificate);
}

#[tokio::test]
async fn tls_1_2_is_refused_in_both_directions() {
    let folder = Folder::new();
    let ours = load(&[&folder.identity("cluster.pem")]);
    let (shown, accepted) = (Arc::clone(&ours.shown), Arc::clone(&ours.accepted));
    let provider = || Arc::clone(&ours.provider);
    let old = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS12]).unwrap();
    let old = old.dangerous().with_custom_certificate_verifier(accepted);
    let old = old.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&shown))));
    let (client, server) = link(old, ours.server().unwrap()).await;
    assert_eq!(LinkRefused::from(server.expect_err("an old client")), LinkRefused::NoTls13);
    assert_eq!(LinkRefused::from(client.expect_err("refused")), LinkRefused::NoTls13);
    let old = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS12]).unwrap();
    let old = old.with_client_cert_verifier(Arc::clone(&ours.accepted) as _);
    let old = old.with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    let (client, _) = link(ours.client().unwrap(), old).await;
    assert_eq!(LinkRefused::from(client.expect_err("an old server")), LinkRefused::NoTls13);
}

#[tokio::test]
async fn an_identity_is_changed_without_a_moment_in_which_nodes_refuse_each_other() {
    let folder = Folder::new();
    let (old, new) = (folder.identity("old.pem"), folder.identity("new.pem"));
    let steps = [load(&[&old]), load(&[&old, &new]), load(&[&new, &old]), load(&[&new])];
    for pair in steps.windows(2) {
        assert!(is_open(between(&pair[0], &pair[1]).await));
        assert!(is_open(between(&pair[1], &pair[0]).await));
    }
    assert!(!is_open(between(&steps[0], &steps[3]).await), "once it is removed, the old one is refused");
    assert!(!is_open(between(&steps[3], &steps[0]).await));
}

/// A ticket would let a peer in without its certificate being compared again.
#[tokio::test]
async fn no_session_is_resumed() {
    let folder = Folder::new();
    let ours = load(&[&folder.identity("cluster.pem")]);
    let (client, server) = (Arc::new(ours.client().unwrap()), Arc::new(ours.server().unwrap()));
    for _ in 0..2 {
        let (near, far) = tokio::io::duplex(64 << 10);
        let connector = TlsConnector::from(Arc::clone(&client));
        let (opened, taken) = tokio::join!(
            connector.connect(Identity::server_name(), near),
            TlsAcceptor::from(Arc::clone(&server)).accept(far)
        );
        let (mut opened, mut taken) = (opened.unwrap(), taken.unwrap());
        let (_, read) = tokio::join!(taken.write_all(b"x"), opened.read_u8());
        read.unwrap();
        assert_eq!(opened.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
}

#[test]
fn a_file_that_is_no_identity_is_named_with_the_remedy() {
    let folder = Folder::new();
    let refused = |file: PathBuf| Identity::load(&[file]).expect_err("no identity").to_string();
    let text = generate().unwrap();
    let text = std::str::from_utf8(text.expose()).unwrap();
    let other = generate().unwrap();
    let other = std::str::from_utf8(other.expose()).unwrap();
    let key_at = |text: &str| text.find("-----BEGIN PRIVATE").unwrap();
    let (certificate, key) = text.split_at(key_at(text));
    for (content, expected) in [
        (String::new(), "holds no PEM certificate: make one with `pyapns cluster init`"),
        (key.to_owned(), "holds no PEM certificate"),
        (certificate.to_owned(), "holds no PEM key without a passphrase"),
        (format!("{text}{other}"), "holds more than one certificate"),
        (format!("{certificate}{}", &other[key_at(other)..]), "cannot be used together"),
    ] {
        let refused = refused(folder.file("bad.pem", content.as_bytes()));
        assert!(refused.contains(expected) && refused.contains("bad.pem"), "{refused}");
        assert!(!refused.contains(&key[30..60]), "no part of the key is shown: {refused}");
    }
    assert!(refused(folder.0.path().join("missing.pem")).contains("missing.pem"));
    let none = Identity::load(&[]).expect_err("no file").to_string();
    assert_eq!(none, "no identity file is given: list at least one in `cluster.identity_files`");
}

#[test]
fn a_file_that_others_may_write_is_refused() {
    let folder = Folder::new();
    let file = folder.identity("cluster.pem");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o622)).unwrap();
    assert!(matches!(Identity::load(&[file]), Err(IdentityError::Unreadable(PathError::Writable { .. }))));
}

#[test]
fn an_identity_never_prints_its_key_and_none_is_made_twice() {
    let folder = Folder::new();
    let file = folder.identity("cluster.pem");
    let identity = load(&[&file]);
    let shown = format!("{identity:?}");
    assert_eq!(shown, format!("Identity {{ fingerprint: {:?}, .. }}", identity.fingerprint()));
    assert_ne!(generate().unwrap(), generate().unwrap());
}
