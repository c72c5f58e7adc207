//! What a configuration may say, and every way it is refused.

use super::*;
use crate::delivery::lane::Bounds;

fn nothing(_: &str) -> Option<String> {
    None
}

fn read(text: &str) -> Result<Config, Faults> {
    Config::read(Some(File { name: "test.toml", text }), &nothing)
}

fn faults(text: &str) -> Vec<String> {
    read(text).expect_err("a bad configuration").0.iter().map(Fault::to_string).collect()
}

#[test]
fn the_documented_file_is_the_defaults() {
    let config = Config::read(None, &nothing).unwrap();
    assert_eq!(read(DEFAULTS).unwrap(), config);
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.log, logging::Config::default());
    assert_eq!(config.listen.to_string(), "127.0.0.1:8088");
    assert_eq!(config.apple.production, [Endpoint::apple(Environment::Production, 443)]);
    assert_eq!(config.apple.proxy, None);
    assert_eq!(config.apple.connections, Bounds::default().connections);
    assert_eq!((config.credentials_dir, config.insecure), (None, false));
}

#[test]
fn what_is_commented_out_in_the_documented_file_is_a_setting_too() {
    let shown: Vec<_> = DEFAULTS.lines().filter_map(|line| line.strip_prefix("# ")).collect();
    let commented = shown.iter().filter(|line| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')));
    assert_eq!(commented.count(), 6);
    let whole: Vec<_> = DEFAULTS
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(setting) if setting.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) => setting,
            _ => line,
        })
        .collect();
    let config = read(&whole.join("\n")).unwrap();
    assert_eq!(config.credentials_dir, Some("/etc/pyapns/credentials".into()));
    assert_eq!(config.key_files, [PathBuf::from("/etc/pyapns/credentials.key")]);
    assert_eq!(config.apple.sandbox, ["https://localhost:2197", "https://[::1]:2197"].map(|url| url.parse().unwrap()));
    assert!(config.apple.sandbox.iter().all(|endpoint| !endpoint.is_apple()));
    assert_eq!(config.apple.proxy.unwrap().to_string(), "proxy.example:3128");
}

#[test]
fn a_variable_wins_over_the_file_and_the_file_over_the_default() {
    let variable = |name: &str| match name {
        "PYAPNS_LIMITS_ITEMS" => Some("7".to_owned()),
        "PYAPNS_DATA_DIR" => Some("/var/lib/7".to_owned()),
        _ => None,
    };
    let text = "data_dir = '/file'\n[limits]\nitems = 5\nconnections = 6\n[apple]\nport = 2197\n[log]\nformat = 'json'";
    let config = Config::read(Some(File { name: "test.toml", text }), &variable).unwrap();
    assert_eq!((config.limits.items, config.limits.connections), (7, 6));
    assert_eq!(config.data_dir, PathBuf::from("/var/lib/7"));
    assert_eq!(config.apple.sandbox[0].port(), 2197);
    assert_eq!(config.log.format, logging::Format::Json);
}

#[test]
fn every_fault_is_told_in_one_run() {
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
    let faults = Config::read(Some(File { name: "test.toml", text }), &variable).expect_err("a bad configuration");
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
fn a_list_is_written_as_one_or_with_commas_in_its_variable() {
    let files = |text: &str| read(text).unwrap().key_files;
    assert_eq!(files("[credentials]\nkey_files = ['new', 'old']"), ["new", "old"].map(PathBuf::from));
    assert_eq!(files("[credentials]\nkey_files = 'one'"), [PathBuf::from("one")]);
    assert!(files("").is_empty());
    let variable = |name: &str| (name == "PYAPNS_CREDENTIALS_KEY_FILES").then(|| "new, old".to_owned());
    assert_eq!(Config::read(None, &variable).unwrap().key_files, ["new", "old"].map(PathBuf::from));
    let refused = faults("[credentials]\nkey_files = ['a', ['b']]\nkey = 'c'");
    assert_eq!(refused[0], "credentials.key_files in test.toml: it has to be a text, a number, or true or false");
    assert!(refused[1].starts_with("credentials.key in test.toml: there is no such setting"), "{refused:?}");
}

#[test]
fn an_address_that_others_can_reach_needs_a_word() {
    let refused = faults("listen = '0.0.0.0:8088'");
    assert_eq!(refused.len(), 1);
    assert!(refused[0].starts_with("listen in test.toml: other machines can reach"), "{refused:?}");
    assert!(read("listen = '0.0.0.0:8088'\ninsecure = true").is_ok());
    assert!(read("listen = '[::1]:0'").is_ok());
}

#[test]
fn limits_have_to_fit_together() {
    let refused = faults("[limits]\nin_flight_bytes = 2048");
    assert!(refused[0].contains("less than limits.body_bytes"), "{refused:?}");
}

#[test]
fn a_file_that_is_no_toml_is_told_with_its_line() {
    let refused = faults("listen = \n");
    assert!(refused[0].starts_with("test.toml: ") && refused[0].contains("line 1"), "{refused:?}");
}

#[test]
fn several_gateways_are_a_list_in_the_file_and_commas_in_a_variable() {
    let variable = |name: &str| (name == "PYAPNS_APPLE_PRODUCTION").then(|| "https://c:3, https://d:4".to_owned());
    let text = "[apple]\nsandbox = ['https://a:1', 'https://b:2']\nproduction = 'https://e:5'";
    let apple = Config::read(Some(File { name: "test.toml", text }), &variable).unwrap().apple;
    assert_eq!(apple.sandbox, ["https://a:1", "https://b:2"].map(|url| url.parse().unwrap()));
    assert_eq!(apple.production, ["https://c:3", "https://d:4"].map(|url| url.parse().unwrap()));

    for bad in ["[]", "[1]", "['https://a:1', 'b:2']", "'https://a:1,'"] {
        let refused = faults(&format!("[apple]\nsandbox = {bad}"));
        assert_eq!(refused.len(), 1, "{bad}");
        assert!(refused[0].starts_with("apple.sandbox in test.toml: it has to"), "{refused:?}");
    }
}

#[test]
fn a_proxys_password_is_in_no_fault_and_no_debug_print() {
    let variable = |name: &str| (name == "PYAPNS_APPLE_PROXY").then(|| "http://scott:tiger@h:1".to_owned());
    let config = Config::read(None, &variable).unwrap();
    assert_eq!(config.apple.proxy, Some("http://scott:tiger@h:1".parse().unwrap()));
    assert!(!format!("{config:?}").contains("tiger"), "{config:?}");

    for bad in ["'ftp://scott:tiger@h:1'", "'http://scott:tiger@h'", "http://scott:tiger@h:1", "['tiger']"] {
        let refused = faults(&format!("\n[apple]\nproxy = {bad}"));
        assert!(!refused.is_empty() && !refused.concat().contains("tiger"), "{refused:?}");
    }
}
