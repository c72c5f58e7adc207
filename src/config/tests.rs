//! Valid configurations, and the faults of invalid ones.

use super::*;
use crate::api::auth::config::SecretSource as KeySecret;
use crate::autoprovision::{CredentialFile, Passphrase};
use crate::delivery::lane::Bounds;
use std::cell::RefCell;
use std::collections::BTreeSet;

mod channels;
mod paths;
mod shared;

fn nothing(_: &str) -> Option<String> {
    None
}

fn read(text: &str) -> Result<Config, Faults> {
    Config::parse(Some(File { name: "test.toml", text }), &nothing)
}

fn faults(text: &str) -> Vec<String> {
    read(text).expect_err("a bad configuration").0.iter().map(Fault::to_string).collect()
}

#[test]
fn the_documented_file_has_the_defaults() {
    let config = Config::parse(None, &nothing).unwrap();
    assert_eq!(read(DEFAULTS).unwrap(), config);
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.log, logging::Config::default());
    assert_eq!(config.listen.to_string(), "127.0.0.1:8088");
    assert_eq!(config.apple.production, [Endpoint::apple(Environment::Production, 443)]);
    assert_eq!(config.apple.proxy, None);
    assert_eq!(config.apple.connections, Bounds::default().connections);
    assert_eq!((config.credentials_dir, config.insecure, config.compat), (None, false, Compat::default()));
}

#[test]
fn lines_commented_out_in_the_documented_file_are_settings_too() {
    let is_setting =
        |line: &str| line.starts_with("[[") || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let shown = |line: &'static str| line.strip_prefix("# ").filter(|shown| is_setting(shown)).unwrap_or(line);
    let whole: Vec<_> = DEFAULTS.lines().map(shown).collect();
    // Without a shared store, half of it is refused.
    let config = read(&whole.join("\n").replace("url = \"\"", "url = \"rediss://redis.example\"")).unwrap();
    let apps: Vec<_> = config.autoprovision.iter().map(|entry| entry.key.to_string()).collect();
    assert_eq!(apps, ["com.example.app/production", "com.example.other/sandbox"]);
    assert_eq!(config.credentials_dir, Some("/etc/pyapns/credentials".into()));
    assert_eq!(config.key_files, [PathBuf::from("/etc/pyapns/credentials.key")]);
    assert_eq!(config.apple.sandbox, ["https://localhost:2197", "https://[::1]:2197"].map(|url| url.parse().unwrap()));
    assert!(config.apple.sandbox.iter().all(|endpoint| !endpoint.is_apple()));
    assert_eq!(config.apple.proxy.unwrap().to_string(), "proxy.example:3128");
    assert_eq!(config.tls.unwrap().key, PathBuf::from("/etc/pyapns/server.key"));
    assert_eq!(config.admin_listen.unwrap().to_string(), "127.0.0.1:8089");
    assert_eq!(config.limits.shared_addresses.len(), 3);
    assert_eq!((config.api_keys[0].id.as_str(), config.api_keys[0].expires_at), ("shop", Some(1_896_048_000)));
    assert_eq!(config.api_keys[1].secret, KeySecret::File("blog.key".into()));
    assert_eq!(config.store.password_file, Some("/etc/pyapns/redis.password".into()));
    assert_eq!(config.cluster.advertised().unwrap().to_string(), "push-1.example.com:8090");
}

#[test]
fn a_variable_wins_over_the_file_and_the_file_over_the_default() {
    let variable = |name: &str| match name {
        "PYAPNS_LIMITS_ITEMS" => Some("7".to_owned()),
        "PYAPNS_DATA_DIR" => Some("/var/lib/7".to_owned()),
        _ => None,
    };
    let text = "node_name = 'push-1'\ndata_dir = '/file'\n[limits]\nitems = 5\nconnections = 6\n[apple]\nport = 2197\n[log]\nformat = 'json'";
    let config = Config::parse(Some(File { name: "test.toml", text }), &variable).unwrap();
    assert_eq!((config.limits.items, config.limits.connections), (7, 6));
    assert_eq!(config.data_dir, PathBuf::from("/var/lib/7"));
    assert_eq!(config.node_name.map(|name| name.to_string()).as_deref(), Some("push-1"));
    assert_eq!(config.apple.sandbox[0].port(), 2197);
    assert_eq!(config.log.format, logging::Format::Json);
}

#[test]
fn one_run_reports_every_fault() {
    let variable = |name: &str| (name == "PYAPNS_LISTEN").then(|| "everywhere".to_owned());
    let text = "
        listen = '127.0.0.1:1'
        insecure = 'maybe'
        datadir = 'x'
        log = { level = 'loud', colour = 'red' }
        [limits]
        body_bytes = 10
        items = [1]
        [apple]
        port = 80
        connections = 0
        sandbox = 'http://localhost'
        [aple]
        port = 443";
    let faults = Config::parse(Some(File { name: "test.toml", text }), &variable).expect_err("a bad configuration");
    let told: Vec<_> = faults.0.iter().map(|fault| fault.place.as_str()).collect();
    let expected = [
        "PYAPNS_LISTEN",
        "insecure in test.toml",
        "apple.port in test.toml",
        "apple.sandbox in test.toml",
        "apple.connections in test.toml",
        "limits.body_bytes in test.toml",
        "limits.items in test.toml",
        "log.level in test.toml",
        "aple in test.toml",
        "datadir in test.toml",
        "log.colour in test.toml",
    ];
    assert_eq!(told, expected);
    assert_eq!(faults.to_string().lines().count(), expected.len());
}

#[test]
fn the_fault_of_a_number_or_a_boolean_names_the_values_allowed() {
    let seconds = "must be a whole number from 0 to 3600, not `";
    for (text, told) in [
        ("limits.body_bytes = 'x'", "must be a whole number from 1024 to 1073741824, not `x`"),
        ("reload_seconds = -1", &format!("{seconds}-1`")),
        ("reload_seconds = 1.5", &format!("{seconds}1.5`")),
        ("reload_seconds = 3601", &format!("{seconds}3601`")),
        ("reload_seconds = '99999999999999999999'", &format!("{seconds}99999999999999999999`")),
        ("apple.port = true", "must be a whole number from 1 to 65535, not `true`"),
        ("insecure = 'yes'", "must be true or false, not `yes`"),
        ("insecure = 1", "must be true or false, not `1`"),
        (&format!("insecure = '{}'", "long".repeat(9)), "must be true or false"),
    ] {
        let key = text.split(' ').next().expect("a key");
        assert_eq!(faults(text), [format!("{key} in test.toml: {told}")]);
    }
    let variable = |name: &str| (name == "PYAPNS_LIMITS_ITEMS").then(|| "abc".to_owned());
    let told = Config::parse(None, &variable).expect_err("no number").to_string();
    assert_eq!(told, "PYAPNS_LIMITS_ITEMS: must be a whole number from 1 to 1000000, not `abc`");
}

#[test]
fn a_setting_of_type_string_refuses_every_other_type() {
    for text in [
        "data_dir = 5",
        "credentials_dir = true",
        "socket_mode = 0o660",
        "listen = 8088",
        "log.level = 1",
        "apple.ca_file = 2030-01-31",
        "apple.proxy = 5",
        "tls = { certificate = 1, key = 'a' }",
        "credentials.key_files = [1]",
    ] {
        let told = faults(text);
        assert!(told[0].ends_with(" in test.toml: must be a string, in quotes"), "{text}: {told:?}");
    }
    let entry = "[[autoprovision]]\napp_id = 1\nenvironment = 'sandbox'\ncertificate = 2\npassphrase = 1234";
    let told = faults(entry);
    assert_eq!(told.iter().filter(|told| told.ends_with("must be a string, in quotes")).count(), 3, "{told:?}");
    assert!(!told.concat().contains("1234"), "{told:?}");
}

#[test]
fn the_fault_of_a_flag_names_the_flag() {
    let origin = Origin::new(None, |name| (name == "PYAPNS_LISTEN").then(|| "127.0.0.1:1".to_owned()));
    let faults = |origin: Origin| origin.load().expect_err("nonsense").to_string();
    let with = |text: &str| origin.clone().with_flag("--listen", "PYAPNS_LISTEN", Some(text.to_owned()));
    assert!(faults(with("nonsense")).starts_with("--listen: must be an IP address and a port"));
    assert!(faults(with("0.0.0.0:1")).starts_with("--listen: other machines can reach this address"));
    assert_eq!(with("127.0.0.1:2").load().expect("good").listen.to_string(), "127.0.0.1:2");
    let without = origin.clone().with_flag("--listen", "PYAPNS_LISTEN", None);
    assert_eq!(without.load().expect("good").listen.to_string(), "127.0.0.1:1");
}

#[test]
fn a_list_is_an_array_in_the_file_and_has_commas_in_its_variable() {
    let files = |text: &str| read(text).unwrap().key_files;
    assert_eq!(files("[credentials]\nkey_files = ['new', 'old']"), ["new", "old"].map(PathBuf::from));
    assert_eq!(files("[credentials]\nkey_files = 'one'"), [PathBuf::from("one")]);
    assert!(files("").is_empty());
    let variable = |name: &str| (name == "PYAPNS_CREDENTIALS_KEY_FILES").then(|| "new, old".to_owned());
    assert_eq!(Config::parse(None, &variable).unwrap().key_files, ["new", "old"].map(PathBuf::from));
    let refused = faults("[credentials]\nkey_files = ['a', ['b']]\nkey = 'c'");
    assert_eq!(refused[0], "credentials.key_files in test.toml: must be a string, in quotes");
    assert_eq!(
        refused[1], "credentials.key in test.toml: is not a setting; did you mean credentials.key_files?",
        "{refused:?}"
    );
}

#[test]
fn the_fault_of_an_unknown_setting_names_only_the_nearest() {
    let told = |text| faults(text).join("; ");
    let said = |name, near| format!("{name} in test.toml: is not a setting{near}");
    for (text, name, near) in [
        ("limit.items = 1", "limit", "; did you mean the section [limits]?"),
        ("[limits]\nitem = 1", "limits.item", "; did you mean limits.items?"),
        ("items = 1", "items", "; did you mean limits.items?"),
        ("lisen = 'x'", "lisen", "; did you mean listen?"),
        ("[aple]\nport = 443", "aple", "; did you mean the section [apple]?"),
        ("redis = 'x'", "redis", ""),
    ] {
        assert_eq!(told(text), said(name, near), "{text}");
    }
}

#[test]
fn hosts_is_a_list_of_names_without_scheme_and_port() {
    let hosts = |text: &str| read(text).unwrap().hosts.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        hosts("hosts = ['Push.example.com', 'pyapns.', '10.0.0.1']"),
        ["push.example.com", "pyapns", "10.0.0.1"]
    );
    assert_eq!(hosts("hosts = 'pyapns'"), ["pyapns"]);
    assert!(hosts("hosts = []").is_empty() && hosts("hosts = ''").is_empty() && hosts("").is_empty());
    let variable = |text: &'static str| move |name: &str| (name == "PYAPNS_HOSTS").then(|| text.to_owned());
    assert_eq!(Config::parse(None, &variable("a, b")).unwrap().hosts.len(), 2);
    assert!(Config::parse(Some(File { name: "t", text: "hosts = ['a']" }), &variable("")).unwrap().hosts.is_empty());
    for bad in ["['http://a']", "['a:8088']", "['*']", "7", "[7]"] {
        assert!(faults(&format!("hosts = {bad}"))[0].starts_with("hosts in test.toml: must be"), "{bad}");
    }
}

/// The names of all settings in the documented file, those that are commented out included.
fn documented() -> BTreeSet<String> {
    let mut section = String::new();
    let mut names = BTreeSet::new();
    for line in DEFAULTS.lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        if let Some(list) = line.strip_prefix("[[") {
            section = list.trim_end_matches(']').to_owned();
            names.insert(section.clone());
            section.push_str("[]");
        } else if line.starts_with('[') {
            section = line.trim_matches(['[', ']']).to_owned();
        } else if let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.contains(' ')) {
            names.insert(if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") });
        }
    }
    names.retain(|name| !name.contains("[]"));
    names
}

#[test]
fn every_documented_setting_has_its_variable_and_every_variable_its_documentation() {
    let asked = RefCell::new(BTreeSet::new());
    let variable = |name: &str| {
        asked.borrow_mut().insert(name.to_owned());
        None
    };
    Config::parse(None, &variable).unwrap();
    let variables = |name: &String| format!("PYAPNS_{}", name.replace('.', "_").to_ascii_uppercase());
    assert!(documented().len() > 20, "{:?}", documented());
    assert_eq!(documented().iter().map(variables).collect::<BTreeSet<_>>(), *asked.borrow());
}

#[test]
fn every_default_can_be_given_in_its_variable() {
    let config = Config::parse(None, &nothing).unwrap();
    for (key, text) in &config.settings.0 {
        let name = format!("PYAPNS_{}", key.replace('.', "_").to_ascii_uppercase());
        let read = Config::parse(None, &|asked| (asked == name).then(|| text.clone()));
        assert_eq!(read.unwrap(), config, "{name}");
        let nonsense = Config::parse(None, &|asked| (asked == name).then(|| "\u{1}".to_owned()));
        match nonsense {
            Ok(read) => assert_eq!(read.settings.differing(&config.settings), [*key]),
            // With a shared store more settings are needed, which are told in the same run.
            Err(Faults(faults)) if *key == "store.url" => assert_eq!(faults[0].place, name, "{faults:?}"),
            Err(Faults(faults)) => assert!(faults.iter().all(|fault| fault.place == name), "{faults:?}"),
        }
    }
}

#[derive(Debug, PartialEq)]
struct Entry {
    name: String,
    lanes: u16,
}

fn entries(file: Option<&str>, variable: Option<&str>) -> Result<Vec<Entry>, Faults> {
    let file = file.map(|text| File { name: "test.toml", text });
    let variable = |name: &str| variable.filter(|_| name == "PYAPNS_THINGS").map(str::to_owned);
    let mut read = Reader::new(file, &variable);
    let entries = read.tables("things", |entry| {
        let (name, lanes) = (entry.required("name"), entry.optional_number("lanes", 1..=64).unwrap_or(1));
        Some(Entry { name: name?, lanes })
    });
    read.finish(entries)
}

#[test]
fn a_list_of_tables_is_read_entry_by_entry_and_its_variable_wins() {
    let of = |name: &str, lanes| Entry { name: name.to_owned(), lanes };
    let file = "[[things]]\nname = 'a'\nlanes = 2\n[[things]]\nname = 'b'";
    assert_eq!(entries(Some(file), None).unwrap(), [of("a", 2), of("b", 1)]);
    assert_eq!(entries(Some(file), Some("[{ name = 'c' }]")).unwrap(), [of("c", 1)]);
    assert_eq!(entries(Some(file), Some("[]")).unwrap(), []);
    assert_eq!(entries(None, None).unwrap(), []);
}

#[test]
fn every_fault_of_a_list_of_tables_names_its_entry() {
    let told = |file, variable| entries(file, variable).expect_err("a bad list").to_string();
    let text = told(Some("[[things]]\nlanes = 'x'\n[[things]]\nname = 'b'\nnam = 'c'"), None);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(lines[0], "name in [[things]] 1 of test.toml: is missing");
    assert!(lines[1].starts_with("lanes in [[things]] 1 of test.toml: "), "{text}");
    assert_eq!(lines[2], "nam in [[things]] 2 of test.toml: is not a setting; did you mean name?");
    assert_eq!(told(None, Some("[{}]")), "name in [[things]] 1 of PYAPNS_THINGS: is missing");
    for bad in ["things = 5", "things = 'a'", "[things]\nname = 'a'"] {
        assert!(told(Some(bad), None).starts_with("things in test.toml: must be a list of tables"), "{bad}");
    }
    assert_eq!(told(Some("things = [1]"), None), "[[things]] 1 of test.toml: must be a table");
    for bad in ["x", "1", "[{ name = 'a' }]\nother = 1"] {
        assert!(told(None, Some(bad)).starts_with("PYAPNS_THINGS: must be a list of tables"), "{bad}");
    }
}

#[test]
fn an_entry_configures_an_app_with_paths_relative_to_the_file() {
    let text = "[[autoprovision]]
        app_id = 'shop'
        environment = 'sandbox'
        certificate = 'shop.pem'
        [[autoprovision]]
        app_id = 'shop'
        environment = 'production'
        key = '/keys/shop.p8'
        key_id = 'ABCDE12345'
        team_id = 'FGHIJ67890'
        passphrase = 'canary'
        topic = 'com.example.shop'
        timeout = 30
        lanes = 2";
    let config = Config::parse(Some(File { name: "/etc/pyapns/pyapns.toml", text }), &nothing).unwrap();
    let [first, second] = config.autoprovision.as_slice() else { panic!("{config:?}") };
    assert_eq!(first.key.to_string(), "shop/sandbox");
    assert_eq!(first.credential, CredentialFile::Certificate("/etc/pyapns/shop.pem".into()));
    assert_eq!((first.timeout_seconds, first.lanes, first.topic.as_deref()), (15, 1, None));
    let (file, key_id, team_id) = ("/keys/shop.p8".into(), "ABCDE12345".to_owned(), "FGHIJ67890".to_owned());
    assert_eq!(second.credential, CredentialFile::Key { file, key_id, team_id });
    assert_eq!(second.passphrase, Some(Passphrase::Text("canary".into())));
    assert!(!first.even_without_topic && !second.even_without_topic);
    assert_eq!((second.timeout_seconds, second.lanes, second.topic.as_deref()), (30, 2, Some("com.example.shop")));
    assert!(!format!("{config:?}").contains("canary"));
}

#[test]
fn every_fault_of_an_entry_is_reported() {
    let entry = |text: &str| {
        let text = format!("[[autoprovision]]\napp_id = 'a'\nenvironment = 'sandbox'\n{text}");
        let told = faults(&text).concat();
        told.replace(" in [[autoprovision]] 1 of test.toml", "")
    };
    for (text, told) in [
        ("", "certificate: is missing"),
        ("certificate = 'a'\nkey = 'b'", "key: is given beside `certificate`"),
        ("certificate = 'a'\nkey_id = 'b'", "key_id: belongs to a signing key"),
        ("key = 'a'\nkey_id = 'b'", "team_id: is missing"),
        ("certificate = 'a'\ntimeout = 0", "timeout: must be a whole number from 1 to 300, not `0`"),
        ("certificate = 'a'\nlanes = 65", "lanes: must be a whole number from 1 to 64, not `65`"),
        ("certificate = 'a'\npassphrase = 'canary'\npassphrase_file = 'b'", "passphrase: is given beside"),
        ("certificate = 'a'\ncert = 'b'", "cert: is not a setting"),
    ] {
        assert!(entry(text).starts_with(told) && !entry(text).contains("canary"), "{}", entry(text));
    }
    let told = faults("[[autoprovision]]\napp_id = 'a b'\nenvironment = 'test'");
    let places: Vec<_> = told.iter().map(|fault| fault.split(' ').next().unwrap()).collect();
    assert_eq!(places, ["app_id", "environment", "certificate"]);
    let one = "[[autoprovision]]\napp_id = 'a'\nenvironment = 'sandbox'\ncertificate = 'a'\n";
    assert!(faults(&one.repeat(2))[0].contains("[[autoprovision]] 2 of test.toml: a/sandbox is in the list twice"));
}

#[test]
fn differing_settings_are_named_and_their_values_are_not_printed() {
    let of = |text| read(text).unwrap().settings;
    let (plain, other) = (of(""), of("insecure = true\n[apple]\nproxy = 'http://scott:tiger@h:1'"));
    assert_eq!(plain.differing(&other), ["apple.proxy", "insecure"]);
    assert_eq!(plain.differing(&of(DEFAULTS)), [""; 0]);
    assert!(!format!("{other:?}").contains("tiger"), "{other:?}");
}

#[test]
fn an_address_that_other_machines_can_reach_needs_keys_or_insecure() {
    let refused = faults("listen = '0.0.0.0:8088'");
    assert_eq!(refused.len(), 1);
    assert!(refused[0].starts_with("listen in test.toml: other machines can reach"), "{refused:?}");
    assert!(read("listen = '0.0.0.0:8088'\ninsecure = true").is_ok());
    assert!(read("listen = '[::1]:0'").is_ok());
    assert!(read("listen = 'unix:/run/api.sock'\nsocket_mode = '0600'").is_ok());
    let key = format!("[[api_keys]]\nid = 'a'\nsecret_sha256 = '{}'\nscopes = 'send'", "0".repeat(64));
    assert!(read(&format!("listen = '0.0.0.0:8088'\n{key}")).is_ok());
    assert!(faults("[admin]\nlisten = '0.0.0.0:1'")[0].starts_with("admin.listen in test.toml: other machines"));
    assert!(faults("[tls]\nkey = 'x'")[0].starts_with("tls.certificate in test.toml: is missing: TLS needs"));
}

#[test]
fn limits_must_fit_together() {
    let refused = faults("[limits]\nin_flight_bytes = 2048");
    assert!(refused[0].contains("must be at least limits.body_bytes"), "{refused:?}");
    let refused = faults("drain_seconds = 5\ndrain_notice_seconds = 5");
    assert!(
        refused[0].starts_with("drain_notice_seconds in test.toml: must be less than drain_seconds"),
        "{refused:?}"
    );
}

#[test]
fn the_fault_of_a_file_that_is_not_toml_names_the_line() {
    let refused = faults("listen = \n");
    assert!(refused[0].starts_with("test.toml: ") && refused[0].contains("line 1"), "{refused:?}");
}

#[test]
fn several_gateways_are_a_list_in_the_file_and_commas_in_a_variable() {
    let variable = |name: &str| (name == "PYAPNS_APPLE_PRODUCTION").then(|| "https://c:3, https://d:4".to_owned());
    let text = "[apple]\nsandbox = ['https://a:1', 'https://b:2']\nproduction = 'https://e:5'";
    let apple = Config::parse(Some(File { name: "test.toml", text }), &variable).unwrap().apple;
    assert_eq!(apple.sandbox, ["https://a:1", "https://b:2"].map(|url| url.parse().unwrap()));
    assert_eq!(apple.production, ["https://c:3", "https://d:4"].map(|url| url.parse().unwrap()));

    for bad in ["[]", "[1]", "['https://a:1', 'b:2']", "'https://a:1,'"] {
        let refused = faults(&format!("[apple]\nsandbox = {bad}"));
        assert_eq!(refused.len(), 1, "{bad}");
        assert!(refused[0].starts_with("apple.sandbox in test.toml: must "), "{refused:?}");
    }
}

#[test]
fn a_proxys_password_is_in_no_fault_and_no_debug_print() {
    let variable = |name: &str| (name == "PYAPNS_APPLE_PROXY").then(|| "http://scott:tiger@h:1".to_owned());
    let config = Config::parse(None, &variable).unwrap();
    assert_eq!(config.apple.proxy, Some("http://scott:tiger@h:1".parse().unwrap()));
    assert!(!format!("{config:?}").contains("tiger"), "{config:?}");

    for bad in ["'ftp://scott:tiger@h:1'", "'http://scott:tiger@h'", "http://scott:tiger@h:1", "['tiger']"] {
        let refused = faults(&format!("\n[apple]\nproxy = {bad}"));
        assert!(!refused.is_empty() && !refused.concat().contains("tiger"), "{refused:?}");
    }
}

#[test]
fn the_file_of_0_5_is_read_as_it_is() {
    let text = r#"
        {"host": "127.0.0.1", "port": 7077, "rest_port": 8089, "log_file_name": "x", "log_file_dir": "y", "timeout": 3,
         "autoprovision": [{"app_id": "shop", "cert": "/c/shop.pem", "environment": "production", "timeout": 20.0},
                           {"app_id": "chat", "cert": "chat.pem", "environment": "sandbox", "timeout": null, "x": 1}]}"#;
    let config = Config::parse(Some(File { name: "/etc/pyapns.json", text }), &nothing).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8089");
    assert_eq!(config.compat, Compat { clear_on_read: true, early_expiry_is_zero: true, v05_shapes: true });
    assert!(config.autoprovision.iter().all(|entry| entry.even_without_topic));
    let apps = config
        .autoprovision
        .iter()
        .map(|entry| (entry.key.to_string(), entry.credential.file(), entry.timeout_seconds));
    let expected = [("shop/production", "/c/shop.pem", 20), ("chat/sandbox", "/etc/chat.pem", 15)];
    assert_eq!(
        apps.collect::<Vec<_>>(),
        expected.map(|(app, file, timeout)| (app.to_owned(), Path::new(file), timeout))
    );
    let named: Vec<_> = config.notices.iter().map(|notice| notice.split(' ').next().unwrap()).collect();
    assert_eq!(named, ["`x`", "`log_file_dir`", "`log_file_name`", "`port`", "`timeout`"]);

    let off = |name: &str| (name == "PYAPNS_COMPAT_CLEAR_ON_READ").then(|| "false".to_owned());
    assert!(!Config::parse(Some(File { name: "a", text }), &off).unwrap().compat.clear_on_read, "a variable wins");
    let config = Config::parse(Some(File { name: "a", text: "\u{feff} {}" }), &nothing).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8088");
    assert!(read("").unwrap().notices.is_empty());
}

#[test]
fn hosts_of_the_file_of_0_5_become_addresses() {
    for (text, listen) in [
        (r#"{"host": "localhost"}"#, "127.0.0.1:8088"),
        (r#"{"host": "::1", "rest_port": "9"}"#, "[::1]:9"),
        (r#"{"host": "[::1]", "rest_port": null}"#, "[::1]:8088"),
        (r#"{"rest_port": 7}"#, "127.0.0.1:7"),
        (r#"{"rest_port": 9.0}"#, "127.0.0.1:9"),
    ] {
        assert_eq!(read(text).unwrap().listen.to_string(), listen);
    }
    for everywhere in ["", "*", "0.0.0.0"] {
        let refused = faults(&format!(r#"{{"host": "{everywhere}"}}"#));
        assert!(refused[0].contains("other machines can reach this address"), "{refused:?}");
    }
    for (bad, told) in [
        (r#"{"host": "pyapns.example"}"#, "host in test.toml: must be an IP address, or localhost"),
        (r#"{"rest_port": 80880}"#, "rest_port in test.toml: must be a whole number from 0 to 65535, not `80880`"),
        (r#"{"host": "", "rest_port": "x"}"#, "rest_port in test.toml: must be a whole number"),
        ("{", "test.toml: EOF while parsing"),
        (r#"{"autoprovision": 5}"#, "autoprovision in test.toml: must be a list"),
        (r#"{"autoprovision": [5]}"#, "[[autoprovision]] 1 of test.toml: must be a table"),
        (r#"{"autoprovision": [{"app_id": "a"}]}"#, "environment in [[autoprovision]] 1 of test.toml: is missing"),
    ] {
        assert!(faults(bad)[0].starts_with(told), "{:?}", faults(bad));
    }
}

#[test]
fn every_fault_of_an_api_key_is_reported() {
    let good = format!("[[api_keys]]\nid = 'a'\nsecret_sha256 = '{}'\nscopes = ['send', 'apps:read']", "0a".repeat(32));
    let key = read(&good).unwrap().api_keys.remove(0);
    assert_eq!((key.apps, key.expires_at), (None, None));
    let key = read(&format!("{good}\napps = '*'\nexpires = '2030-01-31'")).unwrap().api_keys.remove(0);
    assert_eq!((key.apps, key.expires_at), (None, Some(1_896_048_000)));
    let key = read(&format!("{good}\napps = ['b', 'c']\nexpires = 2030-01-31T00:00:59Z")).unwrap().api_keys.remove(0);
    assert_eq!((key.apps.unwrap().len(), key.expires_at), (2, Some(1_896_048_059)));

    let told = faults(&format!(
        "{good}\napps = ['*', 'no app']\nexpires = 'soon'\nscope = 1\n{good}\n[[api_keys]]\nid = 'x.y'\n\
         [[api_keys]]\nid = 'b'\nsecret_sha256 = 'short'\nsecret_file = 'b.key'\nscopes = 'send'"
    ));
    let places: Vec<_> =
        told.iter().filter_map(|fault| fault.split_once(" of test.toml").map(|(place, _)| place)).collect();
    let expected = [
        "apps in [[api_keys]] 1",
        "expires in [[api_keys]] 1",
        "scope in [[api_keys]] 1",
        "id in [[api_keys]] 2",
        "id in [[api_keys]] 3",
        "secret_sha256 in [[api_keys]] 3",
        "scopes in [[api_keys]] 3",
        "secret_sha256 in [[api_keys]] 4",
        "secret_file in [[api_keys]] 4",
    ];
    assert_eq!(places, expected, "{told:?}");
}
