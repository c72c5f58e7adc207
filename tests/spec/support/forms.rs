//! One credential in every usual format, created by the `openssl` command.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// The passphrase of the encrypted ones. It is not ASCII, as some people's is not; no part of it occurs by chance.
pub const PASSPHRASE: &str = "pässphräse-cänary-€-😀-7f3a";

/// A certificate and its key in one file.
pub struct Form {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    /// The passphrase, if anything is encrypted.
    pub passphrase: Option<&'static str>,
}

impl Form {
    /// PKCS#12, or something else in DER.
    pub fn is_binary(&self) -> bool {
        self.bytes[0] == 0x30
    }
}

/// The forms, and the numbers that make their keys private.
pub struct Forms {
    pub forms: Vec<Form>,
    private_numbers: Vec<Vec<u8>>,
}

/// Arguments of `openssl` that read `key.pem` and write a form of the key.
const KEYS: &[(&str, bool, &str)] = &[
    ("PKCS#8", false, "pkey -in rsa.pem"),
    ("PKCS#1", false, "rsa -in rsa.pem -traditional"),
    ("EC in PKCS#8", false, "pkey -in ec.pem"),
    ("EC with its parameters", false, "ecparam -name prime256v1"),
    ("encrypted PKCS#8", true, "pkcs8 -topk8 -in rsa.pem -passout env:PASS"),
    (
        "encrypted PKCS#8, AES-128",
        true,
        "pkcs8 -topk8 -in rsa.pem -v2 aes-128-cbc -v2prf hmacWithSHA1 -passout env:PASS",
    ),
    (
        "encrypted PKCS#8, SHA-512",
        true,
        "pkcs8 -topk8 -in ec.pem -v2 aes-256-cbc -v2prf hmacWithSHA512 -iter 20000 -passout env:PASS",
    ),
    ("encrypted PKCS#8, 3DES", true, "pkcs8 -topk8 -in rsa.pem -v2 des3 -passout env:PASS"),
    ("encrypted PKCS#8, scrypt", true, "pkcs8 -topk8 -in rsa.pem -scrypt -passout env:PASS"),
    ("encrypted PKCS#8, PKCS#12's 3DES", true, "pkcs8 -topk8 -in rsa.pem -v1 PBE-SHA1-3DES -passout env:PASS"),
    (
        "encrypted PKCS#8, PKCS#12's 3DES of 2 keys",
        true,
        "pkcs8 -topk8 -in rsa.pem -v1 PBE-SHA1-2DES -passout env:PASS",
    ),
    (
        "encrypted PKCS#8, PKCS#12's RC2-128",
        true,
        "pkcs8 -topk8 -in rsa.pem -v1 PBE-SHA1-RC2-128 -passout env:PASS -provider legacy -provider default",
    ),
    ("Proc-Type, 3DES", true, "rsa -in rsa.pem -traditional -des3 -passout env:PASS"),
    ("Proc-Type, AES-128", true, "rsa -in rsa.pem -traditional -aes128 -passout env:PASS"),
    ("Proc-Type, AES-192", true, "rsa -in rsa.pem -traditional -aes192 -passout env:PASS"),
    ("Proc-Type, AES-256", true, "rsa -in rsa.pem -traditional -aes256 -passout env:PASS"),
    ("EC, Proc-Type", true, "ec -in ec.pem -aes256 -passout env:PASS"),
];

/// Further arguments of `openssl pkcs12 -export` for a PKCS#12 file.
const PKCS12: &[(&str, Option<&str>, &str)] = &[
    ("PKCS#12 of OpenSSL 3", Some(PASSPHRASE), "-in rsa.crt -inkey rsa.pem"),
    ("PKCS#12 of Keychain: RC2-40, 3DES, SHA-1", Some(PASSPHRASE), "-in rsa.crt -inkey rsa.pem -legacy"),
    (
        "PKCS#12, 3DES throughout",
        Some(PASSPHRASE),
        "-in rsa.crt -inkey rsa.pem -certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES -macalg sha1",
    ),
    (
        "PKCS#12 with a chain and a name",
        Some(PASSPHRASE),
        "-in rsa.crt -inkey rsa.pem -certfile ec.crt -name Äpp -macalg sha512 -iter 20000",
    ),
    (
        "PKCS#12, SHA-384",
        Some(PASSPHRASE),
        "-in ec.crt -inkey ec.pem -macalg sha384 -certpbe AES-128-CBC -keypbe AES-192-CBC",
    ),
    ("PKCS#12 without a MAC", Some(PASSPHRASE), "-in rsa.crt -inkey rsa.pem -nomac"),
    ("PKCS#12 with nothing but a MAC", Some(PASSPHRASE), "-in rsa.crt -inkey rsa.pem -certpbe NONE -keypbe NONE"),
    ("PKCS#12 without a passphrase", None, "-in rsa.crt -inkey rsa.pem -legacy"),
];

impl Forms {
    /// Made once in a process.
    pub fn get() -> &'static Self {
        static FORMS: OnceLock<Forms> = OnceLock::new();
        FORMS.get_or_init(Self::make)
    }

    fn make() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path();
        for (name, algorithm) in [("rsa", "rsa:2048"), ("ec", "ec -pkeyopt ec_paramgen_curve:prime256v1")] {
            let made = format!("req -x509 -noenc -days 3650 -newkey {algorithm} -keyout {name}.pem -out {name}.crt");
            let marks = ["1", "2"].map(|last| format!("-addext 1.2.840.113635.100.6.3.{last}=ASN1:NULL")).join(" ");
            let subject = "/UID=com.example.app/CN=Apple Push Services: com.example.app/OU=TEAM123456/O=Example/C=US";
            openssl(dir, &format!("{made} {marks}"), &["-subj", subject], "");
        }
        let mut forms = Vec::new();
        for &(name, encrypted, arguments) in KEYS {
            let owner = if name.starts_with("EC") || arguments.contains("ec.pem") { "ec" } else { "rsa" };
            let mut bytes = fs::read(dir.join(format!("{owner}.crt"))).expect("a certificate");
            bytes.extend(openssl(dir, arguments, &[], PASSPHRASE));
            if arguments.starts_with("ecparam") {
                bytes.extend(openssl(dir, "ec -in ec.pem", &[], ""));
            }
            forms.push(Form { name, bytes, passphrase: encrypted.then_some(PASSPHRASE) });
        }
        for &(name, passphrase, arguments) in PKCS12 {
            let arguments = format!("pkcs12 -export -passout env:PASS {arguments}");
            let bytes = openssl(dir, &arguments, &[], passphrase.unwrap_or_default());
            forms.push(Form { name, bytes, passphrase });
        }
        fs::write(dir.join("file.p12"), &forms[forms.len() - 5].bytes).expect("a file");
        let text = openssl(dir, "pkcs12 -in file.p12 -nodes -passin env:PASS", &[], PASSPHRASE);
        assert!(text.starts_with(b"Bag Attributes"));
        forms.push(Form { name: "Bag Attributes", bytes: text, passphrase: None });
        let private_numbers = ["rsa", "ec"].map(|name| private_number(dir, name)).to_vec();
        Self { forms, private_numbers }
    }

    /// The secrets that must appear nowhere: the passphrases, and the keys in binary, hex and all forms of base64.
    pub fn canaries(&self) -> Vec<Vec<u8>> {
        let mut canaries = vec![PASSPHRASE.into(), b"wrong-canary".to_vec(), b"PRIVATE KEY-----".to_vec()];
        for number in &self.private_numbers {
            canaries.push(number.clone());
            canaries.push(number.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect());
            // Base64 of the same bytes depends on their position in a group of three, and lines end somewhere.
            canaries.extend(number.windows(9).map(|part| STANDARD_NO_PAD.encode(part).into_bytes()));
        }
        canaries
    }

    /// Bad files, and the reason each is refused with.
    pub fn bad(&self) -> Vec<(Form, &'static str)> {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path();
        let keychain = self.forms.iter().find(|form| form.name.contains("Keychain")).expect("it is in the table");
        fs::write(dir.join("file.p12"), &keychain.bytes).expect("a file");
        openssl(dir, "pkcs12 -in file.p12 -legacy -nodes -passin env:PASS -out all.pem", &[], PASSPHRASE);
        let der = openssl(dir, "x509 -in all.pem -outform DER", &[], "");
        let export = "pkcs12 -export -in all.pem -passout env:PASS";
        let certificate_alone = openssl(dir, &format!("{export} -nokeys"), &[], PASSPHRASE);
        let costly = openssl(dir, &format!("{export} -iter 100000 -nomac"), &[], PASSPHRASE);
        // Only the number is large: the work is not done.
        let costly = replaced(&costly, &[2, 3, 1, 0x86, 0xa0], &[2, 3, 0x7f, 0xff, 0xff]);
        let key = "pkcs8 -topk8 -in all.pem -passout env:PASS";
        let costly_key = openssl(dir, &format!("{key} -outform DER -iter 100000"), &[], PASSPHRASE);
        let costly_key = pem(dir, &replaced(&costly_key, &[2, 3, 1, 0x86, 0xa0], &[2, 3, 0x7f, 0xff, 0xff]));
        let scrypt = openssl(dir, &format!("{key} -outform DER -scrypt"), &[], PASSPHRASE);
        let no_cost = pem(dir, &replaced(&scrypt, &[2, 2, 0x40, 0], &[2, 2, 0, 0]));
        let scrypt = pem(dir, &replaced(&scrypt, &[2, 2, 0x40, 0, 2, 1, 8], &[2, 2, 0x40, 0, 2, 1, 0x7f]));
        let single_des =
            "pkcs8 -topk8 -in all.pem -v1 PBE-MD5-DES -passout env:PASS -provider legacy -provider default";
        let single_des = openssl(dir, single_des, &[], PASSPHRASE);
        let old = openssl(dir, "rsa -in all.pem -traditional -aes256 -passout env:PASS", &[], PASSPHRASE);
        let camellia = replaced(&old, b"DEK-Info: AES-256-CBC", b"DEK-Info: CAM-256-CBC");
        let cut = old[..old.len() - 60].to_vec();
        let table = [
            ("PKCS#12 cut short", keychain.bytes[..keychain.bytes.len() / 2].to_vec(), "credential_damaged"),
            ("PKCS#12 with a certificate alone", certificate_alone, "key_missing"),
            ("a certificate alone in DER", der, "key_missing"),
            ("PKCS#12 with millions of iterations", costly, "encryption_too_costly"),
            ("a key with millions of iterations", costly_key, "encryption_too_costly"),
            ("a key with too much scrypt", scrypt, "encryption_too_costly"),
            ("a key with no scrypt at all", no_cost, "encryption_unknown"),
            ("a key encrypted with single DES", single_des, "encryption_unknown"),
            ("an old key of an unknown cipher", camellia, "encryption_unknown"),
            ("an old key cut short", cut, "certificate_not_pem"),
            ("DER of something else", [&[0x30, 0x82, 0x01, 0x00][..], &[7; 256]].concat(), "credential_damaged"),
        ];
        let form = |(name, bytes, reason)| (Form { name, bytes, passphrase: Some(PASSPHRASE) }, reason);
        table.map(form).into()
    }
}

fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let mut bytes = bytes.to_vec();
    let places: Vec<_> =
        (0..bytes.len().saturating_sub(old.len())).filter(|&at| bytes[at..].starts_with(old)).collect();
    assert!(!places.is_empty(), "{old:?} is somewhere");
    for at in places {
        bytes[at..at + new.len()].copy_from_slice(new);
    }
    bytes
}

/// An encrypted PKCS#8 key in PEM.
fn pem(dir: &Path, der: &[u8]) -> Vec<u8> {
    fs::write(dir.join("key.der"), der).expect("a file");
    let base64 = openssl(dir, "base64 -in key.der", &[], "");
    [&b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"[..], &base64, b"-----END ENCRYPTED PRIVATE KEY-----\n"].concat()
}

/// The private part of the key: RSA's first prime, or the scalar.
fn private_number(dir: &Path, name: &str) -> Vec<u8> {
    let text = openssl(dir, &format!("pkey -in {name}.pem -noout -text"), &[], "");
    let text = String::from_utf8(text).expect("text");
    let label = if name == "rsa" { "prime1:" } else { "priv:" };
    let lines = text.lines().skip_while(|line| *line != label).skip(1).take_while(|line| line.starts_with(' '));
    let hex = lines.map(str::trim).collect::<String>();
    let bytes: Vec<u8> = hex.split(':').filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
    // A zero before the number is not always there.
    bytes[bytes.len() - 31..].to_vec()
}

/// Runs `openssl` in `dir` and returns what it prints; `env:PASS` names the passphrase.
pub fn openssl(dir: &Path, arguments: &str, more: &[&str], passphrase: &str) -> Vec<u8> {
    let mut command = Command::new("openssl");
    let command = command.current_dir(dir).env("PASS", passphrase).args(arguments.split(' ')).args(more);
    let output = command.output().expect("openssl is installed");
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
