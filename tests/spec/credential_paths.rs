//! Credentials that callers name by a path: which files of the machine are read for them.

use crate::support::process::Home;
use crate::support::world::World;
use serde_json::json;
use std::path::Path;

const SHOP: &str = "/apps/shop/sandbox";

#[tokio::test]
async fn a_path_over_the_api_is_read_only_inside_credentials_dir_and_the_log_has_the_cause() {
    let world = World::start().await;
    let home = Home::new(&world, "paths", "pyapns.toml");
    std::fs::create_dir(home.folder.join("credentials")).expect("a folder");
    let pem = &world.simulator.identity().client_pem;
    home.put("credentials/shop.pem", pem);
    home.put("outside.pem", pem);
    home.configure(&format!("listen = '127.0.0.1:0'\ncredentials_dir = '{}'", home.path("credentials")));
    let mut process = home.start().await;
    let mut client = process.client().await;
    let made = client.post(SHOP, json!({"certificate": "shop.pem"}).to_string()).await;
    assert_eq!((made.status, &made.response()["certificate"]), (201, &json!("shop.pem")), "{made:?}");
    let mut refusals = std::collections::HashSet::new();
    for path in ["../outside.pem", &home.path("outside.pem"), "missing.pem", "/etc/passwd"] {
        let refused = client.post(SHOP, json!({"certificate": path}).to_string()).await;
        assert_eq!(refused.reason(), "credential_path_refused");
        refusals.insert((refused.status, refused.body["error"].to_string()));
    }
    assert_eq!(refusals.len(), 1, "the responses reveal no file: {refusals:?}");
    process.logs("it leads out of credentials_dir", 3).await;
    process.logs("No such file", 1).await;
    process.stop().await;
    world.stop().await;
}

/// A volume of Kubernetes: files are links through `..data`, which is a link to the newest folder.
fn lay_like_kubernetes(home: &Home, pem: &str) {
    let folder = home.folder.join("credentials");
    std::fs::create_dir_all(folder.join("..2026_01_01")).expect("a folder");
    std::fs::write(folder.join("..2026_01_01/shop.pem"), pem).expect("a file");
    std::fs::write(home.folder.join("outside.pem"), pem).expect("a file");
    let links = [
        ("..data", Path::new("..2026_01_01")),
        ("shop.pem", Path::new("..data/shop.pem")),
        ("absolute.pem", &folder.join("shop.pem")),
        ("leading_out.pem", &home.folder.join("outside.pem")),
        ("up", Path::new("..")),
    ];
    for (name, target) in links {
        std::os::unix::fs::symlink(target, folder.join(name)).expect("a link");
    }
}

#[tokio::test]
async fn links_inside_credentials_dir_work_and_none_leads_out_with_any_kernel() {
    let world = World::start().await;
    let home = Home::new(&world, "links", "pyapns.toml");
    lay_like_kubernetes(&home, &world.simulator.identity().client_pem);
    home.configure(&format!("listen = '127.0.0.1:0'\ncredentials_dir = '{}'", home.path("credentials")));
    for kernel in ["today's", "ENOSYS", "EPERM"] {
        let mut process = match kernel {
            "today's" => home.start().await,
            error => home.start_without_openat2(error).await,
        };
        let mut client = process.client().await;
        for path in ["shop.pem", "..data/shop.pem", "absolute.pem", &home.path("credentials/shop.pem")] {
            let made = client.post(SHOP, json!({"certificate": path}).to_string()).await;
            assert_eq!((made.status, &made.response()["certificate"]), (201, &json!(path)), "{kernel}: {made:?}");
        }
        for path in ["leading_out.pem", "up/outside.pem", "..data/../../outside.pem"] {
            let refused = client.post(SHOP, json!({"certificate": path}).to_string()).await;
            assert_eq!((refused.status, refused.reason()), (400, "credential_path_refused"), "{kernel}: {path}");
        }
        process.logs("it leads out of credentials_dir", 3).await;
        process.stop().await;
    }
    world.stop().await;
}
