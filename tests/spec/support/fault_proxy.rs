//! A TCP proxy between two nodes that can be made to fail: hold everything back, delay it, or cut it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The treatment of bytes by the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Passes them on.
    Open,
    /// Passes them on after this.
    Delayed(Duration),
    /// Keeps them: both ends see an open connection on which nothing comes.
    Stalled,
    /// Keeps what the target answers, and passes on what comes to it.
    AnswersStalled,
    /// Ends all connections, and takes no new ones.
    Cut,
}

pub struct FaultProxy {
    pub address: SocketAddr,
    way: Arc<watch::Sender<Way>>,
}

impl FaultProxy {
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let way = Arc::new(watch::Sender::new(Way::Open));
        let ways = Arc::clone(&way);
        tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                if *ways.borrow() == Way::Cut {
                    continue;
                }
                let Ok(to) = TcpStream::connect(target).await else { continue };
                let (from_reader, from_writer) = from.into_split();
                let (to_reader, to_writer) = to.into_split();
                tokio::spawn(pump(from_reader, to_writer, ways.subscribe(), false));
                tokio::spawn(pump(to_reader, from_writer, ways.subscribe(), true));
            }
        });
        Self { address, way }
    }

    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: watch::Receiver<Way>, is_answers: bool) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let held = |way: &Way| *way == Way::Stalled || (*way == Way::AnswersStalled && is_answers);
        let now = *way.borrow_and_update();
        if now == Way::Cut {
            return;
        }
        if held(&now) {
            if way.changed().await.is_err() {
                return;
            }
            continue;
        }
        let count = tokio::select! {
            read = from.read(&mut buffer) => read.unwrap_or(0),
            _ = way.changed() => continue,
        };
        if count == 0 {
            return;
        }
        // It may be stalled by now; what was read then waits here.
        let passes = way.wait_for(|way| !held(way)).await.map(|way| *way);
        match passes {
            Ok(Way::Cut) | Err(_) => return,
            Ok(Way::Delayed(delay)) => tokio::time::sleep(delay).await,
            Ok(_) => {}
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
