//! A node that is started and watched by systemd, which a datagram socket plays here.

use crate::support::daemon::Daemon;
use crate::support::world::World;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Returns the next message to the supervisor.
fn told(socket: &UnixDatagram) -> String {
    let mut text = [0; 1024];
    let length = socket.recv(&mut text).expect("a message");
    String::from_utf8(text[..length].to_vec()).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_hears_of_the_start_of_every_tick_and_of_the_end() {
    let world = World::start().await;
    let path = world.directory.path().join("notify.sock");
    let name = format!("pyapns-test-{}", std::process::id());
    let in_a_folder = UnixDatagram::bind(&path).expect("a socket");
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let without_a_file = UnixDatagram::bind_addr(&address).expect("a socket");
    for (number, (socket, name)) in
        [(in_a_folder, path.display().to_string()), (without_a_file, format!("@{name}"))].into_iter().enumerate()
    {
        socket.set_read_timeout(Some(Duration::from_secs(9))).expect("a socket option");
        let data = world.directory.path().join(format!("supervised-{number}"));
        let daemon = Daemon::on(&world, &data, &[("NOTIFY_SOCKET", &name), ("WATCHDOG_USEC", "200000")]).await;
        let mut heard = Vec::new();
        while heard.iter().filter(|said| *said == "WATCHDOG=1").count() < 3 {
            heard.push(told(&socket));
        }
        let ready = heard.iter().find(|said| said.starts_with("READY=1\n")).expect("it said that it is ready");
        assert!(ready.contains(&format!("STATUS=listening on http://{}", daemon.address)), "{ready}");
        let stopped = tokio::task::spawn_blocking(move || daemon.stop());
        while !told(&socket).starts_with("STOPPING=1\n") {}
        assert!(stopped.await.expect("no panic"), "it ended well");
    }
    world.stop().await;
}
