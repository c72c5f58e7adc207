//! Every way to reach a server.

use super::*;

#[tokio::test]
async fn a_link_calls_scripts_and_commands_over_tcp_and_a_unix_socket() {
    let server = RedisServer::start();
    for url in [server.url(), format!("redis+unix://{}", server.socket().display())] {
        let link = link(&settings(&url));
        let first = write(&link).await.unwrap();
        let _: () = link.query(redis::cmd("SCRIPT").arg("FLUSH")).await.unwrap();
        assert_eq!(write(&link).await.unwrap(), first + 1, "a script that Redis forgot is loaded again");
        let (pong, n): (String, i64) =
            link.pipe(redis::pipe().cmd("PING").cmd("HGET").arg("pyapns:n").arg("n")).await.unwrap();
        assert_eq!((pong.as_str(), n), ("PONG", first + 1));
    }
}

#[tokio::test]
async fn the_database_of_the_url_is_used_on_tcp_and_on_a_unix_socket() {
    let server = RedisServer::start();
    write(&link(&settings(&server.url().replace("/0", "/3")))).await.unwrap();
    write(&link(&settings(&format!("unix://{}?db=4", server.socket().display())))).await.unwrap();
    let sizes: Vec<_> = ["0", "3", "4"].iter().map(|db| server.cli(&["-n", db, "DBSIZE"])).collect();
    assert_eq!(sizes, ["0", "1", "1"]);
}

#[tokio::test]
async fn tls_with_an_authority_and_a_client_certificate_works() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = RedisCertificates::mint(folder.path(), "redis");
    let server = RedisServer::with(&certificates.lines());
    let mut settings = settings(&format!("rediss://127.0.0.1:{}", server.port));
    settings.ca_file = Some(certificates.ca);
    settings.certificate = Some(certificates.client);
    settings.key = Some(certificates.client_key);
    assert_eq!(write(&link(&settings)).await.unwrap(), 1);
    assert_eq!(server.cli(&["CONFIG", "GET", "port"]), "port\n0", "there is no port without TLS");
}
