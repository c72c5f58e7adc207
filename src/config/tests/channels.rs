//! The gateways of channels and broadcasts.

use super::*;

fn urls(endpoints: &[Endpoint]) -> Vec<String> {
    endpoints.iter().map(ToString::to_string).collect()
}

#[test]
fn channels_are_managed_at_apples_own_hosts_and_broadcasts_go_where_notifications_go() {
    let apple = read("").unwrap().apple;
    assert_eq!(urls(&apple.sandbox_channels), ["api-manage-broadcast.sandbox.push.apple.com:2195"]);
    assert_eq!(urls(&apple.production_channels), ["api-manage-broadcast.push.apple.com:2196"]);
    assert!(
        apple.sandbox_channels[0].is_apple() && apple.production_channels[0].is_apple(),
        "Apple's roots are trusted"
    );
    assert_eq!((&apple.sandbox_broadcasts, &apple.production_broadcasts), (&apple.sandbox, &apple.production));
    let on_2197 = read("[apple]\nport = 2197").unwrap().apple;
    assert_eq!(urls(&on_2197.production_broadcasts), ["api.push.apple.com:2197"]);
}

#[test]
fn another_gateway_takes_broadcasts_and_manages_no_channels_unless_a_setting_names_its_place() {
    let apple = read("[apple]\nsandbox = 'https://a:1'").unwrap().apple;
    assert_eq!((apple.sandbox_channels.len(), urls(&apple.sandbox_broadcasts)), (0, vec!["a:1".to_owned()]));
    assert_eq!(apple.production_channels.len(), 1, "the other environment is Apple's");
    let apple = read(
        "[apple]\nsandbox = 'https://a:1'\nsandbox_channels = 'https://b:2'\nsandbox_broadcasts = ['https://c:3']",
    );
    let apple = apple.unwrap().apple;
    assert_eq!(
        (urls(&apple.sandbox_channels), urls(&apple.sandbox_broadcasts)),
        (vec!["b:2".into()], vec!["c:3".into()])
    );
    let told = faults("[apple]\nsandbox_channels = 'https://api-manage-broadcast.push.apple.com:2196'");
    assert!(told[0].contains("Apple's hosts are the default"), "{told:?}");
}

#[test]
fn apples_own_hosts_for_broadcasts_may_be_named_each_in_its_environment() {
    const SANDBOX: &str = "https://api-broadcast.sandbox.push.apple.com";
    const PRODUCTION: &str = "https://api-broadcast.push.apple.com";
    let apple =
        read(&format!("[apple]\nsandbox_broadcasts = '{SANDBOX}:2197'\nproduction_broadcasts = '{PRODUCTION}'"));
    let apple = apple.unwrap().apple;
    assert_eq!(urls(&apple.sandbox_broadcasts), ["api-broadcast.sandbox.push.apple.com:2197"]);
    assert_eq!(urls(&apple.production_broadcasts), ["api-broadcast.push.apple.com:443"]);
    let mut both = apple.sandbox_broadcasts.iter().chain(&apple.production_broadcasts);
    assert!(both.all(Endpoint::is_apple), "Apple's roots are trusted");
    for (setting, host) in [
        ("sandbox_broadcasts", PRODUCTION),
        ("production_broadcasts", SANDBOX),
        ("production_broadcasts", "https://api.push.apple.com"),
        ("production_broadcasts", "https://api-broadcast.push.apple.com."),
        ("production", PRODUCTION),
        ("sandbox_channels", SANDBOX),
    ] {
        let told = faults(&format!("[apple]\n{setting} = '{host}'"));
        assert!(told[0].contains("Apple's hosts"), "{setting}: {told:?}");
    }
}
