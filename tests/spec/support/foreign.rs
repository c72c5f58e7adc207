//! Servers of other projects, each on its port, and a plain driver that connects our session to them.

use http2::{Config, Event, Head, Method, Request, Session};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(8);

/// A foreign server's process; it ends with the test.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    /// Debian's nghttpd, in clear text, serving the folder `root`.
    pub fn nghttpd(root: &std::path::Path, arguments: &[&str]) -> Self {
        // nghttpd cannot say which port it took: let the kernel name a free one first.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
        let child = Command::new("nghttpd")
            .args(["--no-tls", "--address=127.0.0.1", "--htdocs"])
            .arg(root)
            .args(arguments)
            .arg(address.port().to_string())
            .stdout(Stdio::null())
            .spawn()
            .expect("nghttpd: tests/run installs it");
        let server = Self { child, address };
        server.wait_until_it_listens();
        server
    }

    /// Python's h2 with the script in `tests/python`; it prints its port.
    pub fn python(behaviour: &str) -> Self {
        let python = std::env::var("PYAPNS_TEST_PYTHON").unwrap_or_else(|_| "target/python/bin/python".into());
        let mut child = Command::new(python)
            .args(["tests/python/h2_server.py", behaviour])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the python environment: tests/run makes it");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a port");
        let port: u16 = line.trim().parse().expect("a port");
        Self { child, address: ([127, 0, 0, 1], port).into() }
    }

    fn wait_until_it_listens(&self) {
        let began = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            assert!(began.elapsed() < PATIENCE, "the server does not listen");
            std::thread::yield_now();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The end of a request, without its borrows.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    Answered { status: u16, body: Vec<u8>, complete: bool },
    Without(http2::End),
}

/// The result of an exchange.
#[derive(Debug, Default)]
pub struct Talk {
    /// By the request's number.
    pub ends: Vec<(usize, Ended)>,
    pub goaways: Vec<(u32, u32, Vec<u8>)>,
    pub fault: Option<String>,
}

/// Sends `count` requests with that body, as many at a time as the server takes, and gives what came of each.
pub fn talk(address: SocketAddr, path: &str, count: usize, body: &[u8]) -> Talk {
    let mut socket = TcpStream::connect(address).expect("the server listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    let mut session = Session::new(Config::default());
    let head =
        Head::new(Method::Post, &address.to_string(), &[("apns-topic", "com.example.app"), ("apns-priority", "10")]);
    let mut talk = Talk::default();
    let mut next = 0;
    let mut buffer = vec![0; 16_384];
    while talk.ends.len() < count && talk.fault.is_none() {
        while next < count {
            let id = format!("{next:036}");
            let fields = [("apns-id", id.as_bytes())];
            let request = Request { head: &head, path: [b"/", path.as_bytes()], fields: &fields, body };
            if session.request(&request, next).is_err() {
                break;
            }
            next += 1;
        }
        let output = session.output().to_vec();
        if !output.is_empty() {
            socket.write_all(&output).expect("the server takes what we write");
            session.handed(output.len());
        }
        let read = socket.read(&mut buffer).expect("the server answers in time");
        let mut input = &buffer[..read];
        while let Some(event) = session.receive(&mut input) {
            talk.note(event);
        }
        if read == 0 {
            while let Some(event) = session.closed() {
                talk.note(event);
            }
            break;
        }
    }
    talk
}

impl Talk {
    fn note(&mut self, event: Event<'_, usize>) {
        match event {
            Event::Answered { tag, answer } => {
                let (status, body, complete) = (answer.status, answer.body.to_vec(), answer.complete);
                self.ends.push((tag, Ended::Answered { status, body, complete }));
            }
            Event::Ended { tag, end } => self.ends.push((tag, Ended::Without(end))),
            Event::GoAway { last_id, code, debug } => self.goaways.push((last_id, code, debug.to_vec())),
            Event::Fault(fault) => self.fault = Some(fault.to_string()),
            Event::Settings | Event::Pong(_) => {}
        }
    }

    /// Returns how many were answered with this status.
    pub fn answered(&self, wanted: u16) -> usize {
        self.ends.iter().filter(|(_, end)| matches!(end, Ended::Answered { status, .. } if *status == wanted)).count()
    }
}
