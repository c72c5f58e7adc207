//! The settings of a shared store and of a cluster, and every way in which they are refused.

use super::*;

/// A configuration with all that a shared store needs.
const SHARED: &str = "
    node_name = 'push-1'
    drain_notice_seconds = 3
    credentials.key_files = ['credentials.key']
    store.url = 'rediss://redis.example/2'
    cluster.listen = '10.0.0.1:8090'
    cluster.allow = ['10.0.0.0/24', '10.1.0.0/24']
    cluster.identity_files = ['new.pem', 'old.pem']";

/// The same, with another line in place of the one of the same setting.
fn shared_with(line: &str) -> String {
    let key = line.split(" = ").next().expect("a key");
    let others = SHARED.lines().filter(|other| !other.trim_start().starts_with(&format!("{key} = ")));
    others.chain([line]).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_shared_store_is_read_with_all_that_belongs_to_it() {
    let text = format!(
        "{SHARED}
        cluster.advertise = 'push-1.example.com:9'
        cluster.weight = 16
        store.prefix = 'push:'
        store.username = 'pyapns'
        store.password_file = '/etc/pw'
        store.ca_file = 'ca.pem'
        store.certificate = 'client.pem'
        store.key = 'client.key'"
    );
    let Config { store, cluster, notices, .. } = read(&text).unwrap();
    assert_eq!(store.to_string(), "rediss://redis.example:6379/2");
    assert_eq!((store.prefix.as_str(), store.username.as_deref()), ("push:", Some("pyapns")));
    let files = [store.password_file, store.ca_file, store.certificate, store.key];
    assert_eq!(files, ["/etc/pw", "ca.pem", "client.pem", "client.key"].map(|file| Some(PathBuf::from(file))));
    assert_eq!(cluster.listen.map(|address| address.to_string()).as_deref(), Some("10.0.0.1:8090"));
    assert_eq!(cluster.advertised().map(|address| address.to_string()).as_deref(), Some("push-1.example.com:9"));
    assert_eq!((cluster.allow.len(), cluster.identity_files.len(), cluster.weight), (2, 2, 16));
    assert_eq!(notices, [""; 0]);

    let plain = read(SHARED).unwrap();
    assert_eq!((plain.store.prefix.as_str(), plain.cluster.weight), ("pyapns:", 1));
    assert_eq!(plain.cluster.advertised().map(|address| address.to_string()).as_deref(), Some("10.0.0.1:8090"));
    assert_eq!(read("").unwrap().store.url, None);
}

#[test]
fn all_that_a_shared_store_needs_and_misses_is_told_at_once() {
    let variable = |name: &str| (name == "PYAPNS_STORE_URL").then(|| "redis://localhost".to_owned());
    let told = Config::parse(None, &variable).expect_err("too little").0;
    let keys: Vec<_> = told.iter().map(|fault| fault.place.split(' ').next().unwrap()).collect();
    assert_eq!(
        keys,
        ["node_name", "credentials.key_files", "cluster.listen", "cluster.allow", "cluster.identity_files"]
    );
    assert!(
        told.iter().all(|fault| fault.what.starts_with("it is missing, and a shared store needs it: ")),
        "{told:?}"
    );
    let invalid = faults(&shared_with("cluster.listen = 'everywhere'"));
    assert_eq!(invalid.len(), 1, "what is wrong is not missing, too: {invalid:?}");
}

#[test]
fn what_needs_a_shared_store_is_refused_without_one() {
    for line in [
        "cluster.listen = '10.0.0.1:1'",
        "cluster.advertise = 'a:1'",
        "cluster.allow = '10.0.0.0/8'",
        "cluster.identity_files = 'a'",
        "store.username = 'a'",
        "store.password_file = 'a'",
        "store.ca_file = 'a'",
        "store.certificate = 'a'",
        "store.key = 'a'",
    ] {
        let told = faults(line);
        assert!(told.len() == 1 && told[0].contains("store.url names none"), "{line}: {told:?}");
    }
    assert!(read("node_name = 'a'\ncredentials.key_files = 'a'\ncluster.weight = 2").is_ok());
}

#[test]
fn an_address_that_other_nodes_cannot_connect_to_is_refused() {
    for (line, told) in [
        ("cluster.listen = '0.0.0.0:8090'", "other nodes cannot connect to 0.0.0.0:8090"),
        ("cluster.listen = '[::]:8090'", "other nodes cannot connect to [::]:8090"),
        ("cluster.listen = '10.0.0.1:0'", "other nodes cannot connect to 10.0.0.1:0"),
        ("cluster.advertise = '10.0.0.1:0'", "other nodes cannot connect to 10.0.0.1:0"),
        ("cluster.advertise = 'name:0'", "other nodes cannot connect to name:0"),
        ("cluster.listen = '127.0.0.1:8090'", "127.0.0.1:8090 is this machine only"),
        ("cluster.advertise = '[::1]:8090'", "[::1]:8090 is this machine only"),
        ("cluster.advertise = 'LocalHost.:8090'", "LocalHost.:8090 is this machine only"),
        ("cluster.advertise = 'push.localhost:8090'", "push.localhost:8090 is this machine only"),
        ("cluster.advertise = '[::ffff:127.0.0.1]:8090'", "is this machine only"),
        ("cluster.advertise = '224.0.0.1:8090'", "other nodes cannot connect to 224.0.0.1:8090"),
        ("cluster.advertise = '255.255.255.255:8090'", "other nodes cannot connect to 255.255.255.255:8090"),
    ] {
        let refused = faults(&shared_with(line));
        assert!(refused.len() == 1 && refused[0].contains(told), "{line}: {refused:?}");
        assert!(refused[0].starts_with("cluster.advertise in"), "{line}: {refused:?}");
    }
    let everywhere = shared_with("cluster.listen = '0.0.0.0:8090'") + "\ncluster.advertise = '10.0.0.1:8090'";
    assert!(read(&everywhere).is_ok());
    let one_machine =
        SHARED.replace("10.0.0.1:8090", "127.0.0.1:8090").replace("'10.0.0.0/24', '10.1.0.0/24'", "'127.0.0.1'");
    assert!(read(&one_machine).is_ok(), "nodes of one machine");
    for bad in ["", "a", "a:", "a:b", ":1", "a b:1", "300.1.1.1:1", "::1:80", "a:+1", "a..b:1", "http://a:1"] {
        let refused = faults(&shared_with(&format!("cluster.advertise = '{bad}'")));
        assert!(refused[0].contains("it must be an IP address or a name, and a port"), "{bad}: {refused:?}");
    }
}

#[test]
fn a_listener_that_no_other_node_reaches_is_refused() {
    let advertised = "\ncluster.advertise = '10.0.0.1:8090'";
    for (line, told) in [
        ("cluster.listen = '10.0.0.1:0'", "port 0 is another port after each start"),
        ("cluster.listen = '127.0.0.1:8090'", "only this machine connects to 127.0.0.1:8090"),
        ("cluster.listen = '[::1]:8090'", "only this machine connects to [::1]:8090"),
        ("cluster.listen = '127.0.0.1:8088'", "is already the address of listen"),
        ("cluster.listen = '0.0.0.0:8088'", "0.0.0.0:8088 is already the address of listen: give it another port"),
    ] {
        let refused = faults(&(shared_with(line) + advertised));
        assert!(refused.iter().any(|fault| fault.contains(told)), "{line}: {refused:?}");
        assert!(refused.iter().all(|fault| fault.starts_with("cluster.listen in")), "{line}: {refused:?}");
    }
    let admin = format!("{SHARED}\nadmin.listen = '10.0.0.1:8090'\ninsecure = true");
    assert!(faults(&admin).concat().contains("10.0.0.1:8090 is already the address of admin.listen"));
    let proxied = shared_with("cluster.listen = '127.0.0.1:8090'").replace("'10.1.0.0/24'", "'127.0.0.1'");
    assert!(read(&(proxied + advertised)).is_ok(), "a proxy on this machine hands connections on");
}

#[test]
fn what_looks_wrong_in_a_cluster_is_a_warning() {
    let notices = |text: &str| read(text).unwrap().notices.join("; ");
    let short = notices(&shared_with("drain_notice_seconds = 2"));
    assert!(short.contains("drain_notice_seconds is 2") && short.contains("set it to 3 or more"), "{short}");
    let outside = notices(&shared_with("cluster.listen = '10.9.0.1:8090'"));
    assert!(outside.contains("10.9.0.1:8090 is not in that of this node"), "{outside}");
    assert_eq!(notices("drain_notice_seconds = 2"), "");
}

#[test]
fn a_prefix_a_weight_and_a_network_have_to_be_plain() {
    let long = "a".repeat(65);
    for bad in ["", "a*", "a b", "{a}", "ü", &long] {
        let refused = faults(&shared_with(&format!("store.prefix = '{bad}'")));
        assert!(refused[0].contains("it must be 1 to 64 characters"), "{bad}: {refused:?}");
    }
    for bad in ["0", "17", "'x'"] {
        assert!(faults(&format!("cluster.weight = {bad}"))[0].contains("a whole number from 1 to 16"), "{bad}");
    }
    assert!(faults(&shared_with("cluster.allow = ['10.0.0.0/8', 'all']"))[0].starts_with("cluster.allow in test.toml"));
}

#[test]
fn a_password_in_the_url_is_refused_and_nowhere_printed() {
    for url in ["redis://:tiger@h:1", "rediss://scott:tiger@h", "redis+sentinel://:tiger@a,b/c", "tiger://h"] {
        let refused = faults(&shared_with(&format!("store.url = '{url}'")));
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert!(refused[0].starts_with("store.url in test.toml: ") && !refused[0].contains("tiger"), "{refused:?}");
        let origin = Origin::new(None, |_| None).with_flag("--store", "PYAPNS_STORE_URL", Some(url.to_owned()));
        let told = origin.load().expect_err("a password").to_string();
        assert!(told.contains("--store: store.url must") && !told.contains("tiger"), "{told}");
    }
    let secret = faults(&shared_with("store.url = 'redis://:tiger@h'")).concat();
    assert!(secret.contains("store.password_file"), "{secret}");
}

#[test]
fn files_of_the_shared_store_are_tried_and_the_password_is_read_without_its_line_end() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let password = put("password", "tiger and lion\r\n");
    let line = |key: &str, file: &str| format!("{SHARED}\nstore.{key} = '{file}'");
    let store = read(&line("password_file", &password)).unwrap().store;
    let settings = store.redis().unwrap().unwrap();
    assert_eq!(settings.password.as_ref().map(|password| password.expose()), Some("tiger and lion"));
    assert!(!format!("{settings:?}").contains("tiger"), "{settings:?}");
    for (key, file, told) in [
        ("password_file", "gone", "store.password_file in"),
        ("password_file", &put("empty", "\n"), "must hold the password on one line"),
        ("password_file", &put("two", "a\nb\n"), "must hold the password on one line"),
        ("ca_file", "gone.pem", "store.ca_file in"),
        ("ca_file", &put("no.pem", "x"), "store.ca_file in"),
        ("key", "alone.key", "store.certificate and store.key belong together"),
    ] {
        let text = line(key, file);
        let file = File { name: "test.toml", text: &text };
        let told_all = Config::parse_and_check_files(Some(file), &nothing).expect_err("a bad file").to_string();
        assert!(told_all.contains(told) && !told_all.contains("tiger"), "{key}: {told_all}");
    }
}
