//! Variables in paths: `${NAME}`.

use super::*;

#[test]
fn every_path_may_name_a_variable() {
    const TEXT: &str = "
        data_dir = '${HERE}/data'
        credentials_dir = '${HERE}/apps'
        tls = { certificate = '${HERE}/tls.pem', key = '${HERE}/tls.key' }
        apple.ca_file = '${HERE}/ca.pem'
        credentials.key_files = ['${HERE}/new.key', 'old.key']
        [store]
        url = 'rediss://redis.example'
        password_file = '${HERE}/password'
        ca_file = '${HERE}/redis-ca.pem'
        certificate = '${HERE}/redis.pem'
        key = '${HERE}/redis.key'
        [cluster]
        identity_files = '${HERE}/cluster.pem'
        listen = '127.0.0.1:8090'
        allow = '127.0.0.1/32'
        [[autoprovision]]
        app_id = 'shop'
        environment = 'production'
        certificate = '${HERE}/shop.p12'
        passphrase_file = '${HERE}/shop.passphrase'
        [[autoprovision]]
        app_id = 'chat'
        environment = 'sandbox'
        key = '${HERE}/chat.p8'
        key_id = 'ABCDE12345'
        team_id = 'FGHIJ67890'
        [[api_keys]]
        id = 'shop'
        scopes = ['send']
        secret_file = '${HERE}/shop.secret'";
    let file = File { name: "/etc/pyapns/pyapns.toml", text: TEXT };
    let variable = |name: &str| match name {
        "HERE" => Some("/run/credentials/7".to_owned()),
        "PYAPNS_NODE_NAME" => Some("push-1".to_owned()),
        _ => None,
    };
    let config = Config::parse(Some(file), &variable).unwrap();
    let shown = format!("{config:?}");
    assert_eq!((shown.matches("/run/credentials/7/").count(), shown.contains("HERE")), (15, false), "{shown}");
    assert_eq!(config.key_files, ["/run/credentials/7/new.key", "old.key"].map(PathBuf::from));

    let without = Config::parse(Some(file), &|name| variable(name).filter(|_| name != "HERE"));
    let faults = without.expect_err("a variable that is not set").0;
    assert!(faults.iter().all(|fault| fault.what.starts_with("the variable HERE is not set")), "{faults:?}");
    assert_eq!(faults.len(), 15);
}

#[test]
fn a_variable_overrides_no_setting_of_an_entry() {
    let text = "[[autoprovision]]\napp_id = 'shop'\nenvironment = 'sandbox'\ncertificate = 'shop.pem'";
    let variable = |name: &str| (name == "PYAPNS_CERTIFICATE").then(|| "other.pem".to_owned());
    let config = Config::parse(Some(File { name: "test.toml", text }), &variable).unwrap();
    assert_eq!(config.autoprovision[0].credential, CredentialFile::Certificate("shop.pem".into()));
}

#[test]
fn a_path_in_a_file_of_the_old_daemon_stays_as_it_is() {
    let text = r#"{"autoprovision": [{"app_id": "shop", "cert": "/c/${X}.pem", "environment": "sandbox"}]}"#;
    assert_eq!(read(text).unwrap().autoprovision[0].credential, CredentialFile::Certificate("/c/${X}.pem".into()));
}
