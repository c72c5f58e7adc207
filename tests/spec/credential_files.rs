//! Files as people really have them, each given to a node as its owner would: several identities in one, keys pasted,
//! BER, and files that are not credentials. Created here by OpenSSL and the simulator's authority.

use crate::support::client::{Answer, Client};
use crate::support::forms::openssl;
use crate::support::process::{Home, entry};
use crate::support::world::{World, to, token};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use simulator::ClientSubject;
use std::fs;
use std::path::Path;
use std::process::Command;

const SHOP: &str = "/apps/shop/sandbox";
const TOPIC: &str = "com.example.app";
const DEVELOPER: &str = "Apple Distribution: Example GmbH (ABCDE12345)";

/// A push certificate of the stand-in's authority with its key.
fn push(world: &World, bundle: &str, until: i32) -> String {
    let subject = ClientSubject {
        bundle,
        topics: &[],
        sandbox: true,
        production: true,
        not_before_year: 2020,
        not_after_year: until,
    };
    world.simulator.identity().authority.client_certificate(&subject).expect("a certificate")
}

/// The certificate, and the key.
fn parts(pem: &str) -> (&str, &str) {
    pem.split_at(pem.find("-----BEGIN PRIVATE KEY").expect("a key"))
}

/// A certificate that apps are signed with, for a key of this file or a new one.
fn developer(folder: &Path, key: Option<&str>) -> String {
    if let Some(key) = key {
        fs::write(folder.join("developer.key"), key).expect("a file");
    } else {
        openssl(folder, "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out developer.key", &[], "");
    }
    let subject = format!("/UID=ABCDE12345/CN={DEVELOPER}/OU=ABCDE12345/O=Example GmbH/C=DE");
    let marks = "-addext 1.2.840.113635.100.6.1.4=ASN1:NULL";
    let made = openssl(folder, &format!("req -x509 -key developer.key -days 3650 {marks}"), &["-subj", &subject], "");
    String::from_utf8(made).expect("PEM")
}

fn in_pkcs12(folder: &Path, pem: &str) -> Vec<u8> {
    fs::write(folder.join("all.pem"), pem).expect("a file");
    openssl(folder, "pkcs12 -export -in all.pem -out all.p12 -legacy -passout env:PASS", &[], "secret");
    fs::read(folder.join("all.p12")).expect("a file")
}

/// The credential was accepted, and Apple accepts it.
async fn assert_sends(client: &mut Client, answer: &Answer, what: &str) {
    assert_eq!(answer.status, 201, "{what}: {answer:?}");
    assert_eq!(answer.response()["topic"], TOPIC, "{what}");
    let sent = client.post(&format!("{SHOP}/notifications"), to(&token(1)).to_string()).await;
    assert_eq!(sent.outcomes(), ["accepted"], "{what}: {sent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_identities_in_a_file_the_one_for_push_that_is_valid_longest_sends() {
    let world = World::start().await;
    let (folder, mut client) = (world.directory.path(), world.client().await);
    let good = push(&world, TOPIC, 2100);
    let (certificate, key) = parts(&good);
    let signed_with_its_key = developer(folder, Some(key)) + &good;
    let two_identities =
        developer(folder, None) + &fs::read_to_string(folder.join("developer.key")).expect("a key") + &good;
    let renewed = push(&world, TOPIC, 2021) + &push(&world, TOPIC, 2027) + certificate + key;
    for (what, pem) in [("one key", &signed_with_its_key), ("two identities", &two_identities), ("renewed", &renewed)] {
        let answer = client.post(SHOP, pem.clone()).await;
        assert_sends(&mut client, &answer, what).await;
        let days = answer.response()["credential"]["days_left"].as_i64();
        assert!(days.is_some_and(|days| days > 20_000), "{what}: {answer:?}");
    }
    // OpenSSL exports one key: the developer's certificate comes first all the same.
    let mut keychain = in_pkcs12(folder, &signed_with_its_key);
    for _ in 0..2 {
        let answer = client.post_with(SHOP, ("x-passphrase", "secret"), keychain).await;
        assert_sends(&mut client, &answer, "PKCS#12").await;
        keychain = in_pkcs12(folder, &good);
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_topics_are_a_400_that_lists_them_and_the_topic_asked_for_selects() {
    let world = World::start().await;
    let mut client = world.client().await;
    let both = push(&world, "com.example.other", 2101) + &push(&world, TOPIC, 2100);
    let refused = client.post(SHOP, both.clone()).await;
    assert_eq!((refused.status, refused.reason()), (400, "several_topics"), "{refused:?}");
    assert_eq!(refused.body["args"], json!({"field": "topic", "topics": ["com.example.other", TOPIC]}));
    let answer = client.post(SHOP, json!({"certificate": both, "topic": TOPIC}).to_string()).await;
    assert_sends(&mut client, &answer, "the topic asked for").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_for_push_is_refused_by_its_name() {
    let world = World::start().await;
    let (folder, mut client) = (world.directory.path(), world.client().await);
    let pem = developer(folder, None) + &fs::read_to_string(folder.join("developer.key")).expect("a key");
    let keychain = in_pkcs12(folder, &pem);
    for answer in [client.post(SHOP, pem).await, client.post_with(SHOP, ("x-passphrase", "secret"), keychain).await] {
        assert_eq!((answer.status, answer.reason()), (400, "certificate_not_for_push"), "{answer:?}");
        assert_eq!(answer.body["args"], json!({"certificates": [DEVELOPER]}));
        let sentence = answer.body["error"].as_str().expect("a sentence");
        assert!(sentence.contains(DEVELOPER) && sentence.contains("Apple Push Notification service SSL"), "{sentence}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_certificates_are_accepted_in_every_pasted_format() {
    let world = World::start().await;
    let (folder, mut client) = (world.directory.path(), world.client().await);
    let identity = world.simulator.identity();
    let p8 = identity.key_pem.clone();
    fs::write(folder.join("key.p8"), &p8).expect("a file");
    let sec1 = String::from_utf8(openssl(folder, "ec -in key.p8", &[], "")).expect("PEM");
    assert!(sec1.starts_with("-----BEGIN EC PRIVATE KEY"));
    let pasted = [
        ("with literal line breaks", p8.replace('\n', "\\n")),
        ("on one line", p8.trim().replace('\n', " ")),
        ("indented", p8.lines().map(|line| format!("    {line}\n")).collect()),
        ("from Windows", format!("\u{feff}{}", p8.replace('\n', "\r\n"))),
        ("in quotes", format!("\"{}\"", p8.trim())),
        ("in base64", STANDARD.encode(&p8)),
        ("without its armour", p8.lines().filter(|line| !line.starts_with('-')).collect::<Vec<_>>().join("\n")),
        ("as SEC1", sec1),
    ];
    for (how, key) in pasted {
        let body = json!({"key": key, "key_id": identity.key_id, "team_id": identity.team_id, "topic": TOPIC});
        let answer = client.post(SHOP, body.to_string()).await;
        assert_sends(&mut client, &answer, how).await;
    }
    let pem = push(&world, TOPIC, 2100);
    let keychain = STANDARD.encode(in_pkcs12(folder, &pem));
    let lines = keychain.as_bytes().chunks(76).map(|line| format!("{}\\n", String::from_utf8_lossy(line)));
    let bodies = [
        ("glued", pem.replace("-----\n-----BEGIN", "----------BEGIN").into_bytes()),
        ("as `curl -d @file` sends it", pem.replace('\n', "").into_bytes()),
        ("in base64", STANDARD.encode(&pem).into_bytes()),
        ("in base64 in JSON", json!({"certificate": STANDARD.encode(&pem)}).to_string().into_bytes()),
        ("escaped twice", json!({"certificate": pem.replace('\n', "\\n")}).to_string().into_bytes()),
        ("PKCS#12", json!({"pkcs12": lines.collect::<String>(), "passphrase": "secret"}).to_string().into_bytes()),
        ("PKCS#12 as certificate", json!({"certificate": keychain, "passphrase": "secret"}).to_string().into_bytes()),
    ];
    for (how, body) in bodies {
        let answer = client.post(SHOP, body).await;
        assert_sends(&mut client, &answer, how).await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_refusal_of_another_file_names_its_format_and_the_remedy() {
    let world = World::start().await;
    let (folder, mut client) = (world.directory.path(), world.client().await);
    let pem = push(&world, TOPIC, 2100);
    fs::write(folder.join("all.pem"), &pem).expect("a file");
    fs::write(folder.join("profile"), "<?xml version=\"1.0\"?><plist version=\"1.0\"><dict/></plist>").expect("a file");
    let sign = "cms -sign -in profile -signer all.pem -inkey all.pem -nodetach -binary -outform DER";
    let make = |arguments: &str| openssl(folder, arguments, &[], "secret");
    let key = "pkey -in all.pem";
    let (_, plain_key) = parts(&pem);
    let trusted = [make("x509 -in all.pem -trustout -addtrust clientAuth"), plain_key.into()].concat();
    let request = openssl(folder, "req -new -key all.pem", &["-subj", "/CN=Request"], "");
    let utf16: Vec<u8> = pem.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let sealed = [make("x509 -in all.pem"), make("pkcs8 -topk8 -in all.pem -passout env:PASS")].concat();
    let table: [(&str, Vec<u8>, &str, &str); 16] = [
        ("UTF-16", utf16.clone(), "credential_utf16", "save it as UTF-8"),
        ("UTF-16 with its mark", [vec![0xff, 0xfe], utf16].concat(), "credential_utf16", "PowerShell"),
        ("TRUSTED CERTIFICATE", trusted, "trusted_certificate", "openssl x509 -in FILE"),
        (
            "a .cer of Apple's portal",
            make("x509 -in all.pem -outform DER"),
            "key_missing",
            ".cer from Apple's developer portal",
        ),
        ("a certificate alone", make("x509 -in all.pem"), "key_missing", "Keychain as .p12"),
        ("a CSR", request.clone(), "certificate_request", "upload it in Apple's developer portal"),
        ("a CSR beside its key", [request, plain_key.into()].concat(), "certificate_request", "CSR"),
        (
            "a CSR in DER",
            openssl(folder, "req -new -key all.pem -outform DER", &["-subj", "/CN=R"], ""),
            "certificate_request",
            "CSR",
        ),
        ("a public key", make(&format!("{key} -pubout")), "public_key", "the private key is needed"),
        ("a public key in DER", make(&format!("{key} -pubout -outform DER")), "public_key", "public key"),
        ("an encrypted key", sealed, "passphrase_missing", "`passphrase`"),
        ("a profile", make(sign), "provisioning_profile", ".mobileprovision"),
        ("a profile in BER", make(&format!("{sign} -stream")), "provisioning_profile", "signing key"),
        ("a .p7b", make("crl2pkcs7 -nocrl -certfile all.pem -outform DER"), "pkcs7", ".p7b"),
        ("a .p7b in PEM", make("crl2pkcs7 -nocrl -certfile all.pem"), "pkcs7", "without a key"),
        ("a key alone", plain_key.into(), "signing_key_as_certificate", "`key_id`"),
    ];
    for (what, bytes, reason, hint) in table {
        let wrapped = json!({"certificate": STANDARD.encode(&bytes)}).to_string();
        for answer in [client.post(SHOP, bytes).await, client.post(SHOP, wrapped).await] {
            assert_eq!((answer.status, answer.reason()), (400, reason), "{what}: {answer:?}");
            assert!(answer.body["error"].as_str().is_some_and(|told| told.contains(hint)), "{what}: {answer:?}");
        }
    }
    let certificate = json!({"key": pem, "key_id": "ABCDE12345", "team_id": "ABCDE12345"});
    let certificate = client.post(SHOP, certificate.to_string()).await;
    assert_eq!(certificate.reason(), "topic_missing", "its key could sign: {certificate:?}");
    for boundary in ["--b", "--------------------------d74496d66958873e"] {
        let part = format!("{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.p12\"\r\n\r\n");
        let form = [part.into_bytes(), in_pkcs12(folder, &pem), format!("\r\n{boundary}--\r\n").into_bytes()].concat();
        let answer = client.post_with(SHOP, ("x-passphrase", "secret"), form).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.body["error"].as_str().is_some_and(|told| told.starts_with("this is a form")), "{answer:?}");
    }
    assert_eq!(client.get(SHOP).await.status, 404, "nothing was provisioned");
    world.stop().await;
}

/// Files with which 0.6 started.
#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_0_6_accepted_starts_and_reports_the_faults_of_its_files() {
    let world = World::start().await;
    let home = Home::new(&world, "unfit", "pyapns.toml");
    let key = |folder: &Path| fs::read_to_string(folder.join("developer.key")).expect("a key");
    home.put("developer.pem", &(developer(&home.folder, None) + &key(&home.folder)));
    home.put("topics.pem", &(push(&world, TOPIC, 2100) + &push(&world, "com.example.other", 2101)));
    home.put("mixed.pem", &(developer(&home.folder, None) + &key(&home.folder) + &push(&world, TOPIC, 2100)));
    let entries = ["developer", "topics", "mixed"].map(|name| entry(name, format!("{name}.pem"), ""));
    home.configure(&format!("listen = '127.0.0.1:0'\n{}", entries.concat()));
    let mut check = Command::new(env!("CARGO_BIN_EXE_pyapns"));
    let checked = check.args(["check-config", "--config", &home.path("pyapns.toml")]).output().expect("it runs");
    let said = String::from_utf8_lossy(&checked.stdout);
    let warned = said.lines().filter(|line| line.starts_with("warning: [[autoprovision]] ")).count();
    assert!(checked.status.success() && warned == 2, "{said}");
    let mut process = home.start().await;
    process.logs("uses the first certificate of the file, as 0.6 did", 2).await;
    process.logs("is not for push", 1).await;
    process.logs("certificates for several topics: com.example.app, com.example.other", 1).await;
    let topic = async |process: &crate::support::process::Process, app: &str| {
        let answer = process.client().await.get(&format!("/apps/{app}/sandbox")).await;
        answer.response()["topic"].clone()
    };
    for (app, expected) in [("developer", "ABCDE12345"), ("topics", TOPIC), ("mixed", TOPIC)] {
        assert_eq!(topic(&process, app).await, Value::from(expected), "{app}");
    }
    home.put("mixed.pem", &(developer(&home.folder, None) + &key(&home.folder)));
    process.logs("the app stays unchanged: mixed/sandbox", 1).await;
    assert_eq!(topic(&process, "mixed").await, TOPIC, "what works gives way to nothing that does not");
    process.stop().await;
    let again = home.start().await;
    assert_eq!(topic(&again, "mixed").await, TOPIC);
    again.stop().await;
    world.stop().await;
}
