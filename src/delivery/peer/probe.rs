//! A connection to a peer that only reads its HELLO, to find out if links to it can work. The peer logs nothing about it.

use super::dial;
use super::greeting::{self, Mismatch};
use super::membership::Membership;
use super::pipe::Pipe;
use super::wire::{self, Decoder, Frame, Hello, Received};
use crate::cluster::Member;
use crate::cluster::identity::LinkRefused;
use crate::model::NodeName;
use std::future::poll_fn;
use std::io;
use std::task::{Poll, ready};
use std::time::Duration;

/// The longest wait for HELLO on an open connection.
const HELLO_TIMEOUT: Duration = Duration::from_secs(3);

/// The reason that no link to a peer can work.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("{0}: check that the node runs, and that no firewall is between")]
    Unreachable(io::Error),
    #[error("{0}: add it to cluster.allow on every node, or correct cluster.advertise of that node")]
    ForeignAddress(io::Error),
    #[error("it closes the connection before TLS: add the address of this machine to its cluster.allow")]
    NotAllowed,
    #[error(transparent)]
    Tls(LinkRefused),
    #[error("it closes the connection and does not introduce itself: its log names the reason")]
    Closed,
    #[error("it does not introduce itself within {} seconds", HELLO_TIMEOUT.as_secs())]
    Silent,
    #[error("the node {0} answers there: give each node its own cluster.advertise")]
    AnotherNode(NodeName),
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
}

/// Connects to a member, reads its HELLO and checks it as a link does. Sends nothing.
pub async fn probe(member: &Member, membership: &Membership) -> Result<Hello, ProbeError> {
    let open = dial::to(member.address.clone(), membership.clone());
    let mut pipe = open().await.map_err(not_opened)?;
    let reading = read_hello(&mut pipe, membership.limits);
    let theirs = tokio::time::timeout(HELLO_TIMEOUT, reading).await.map_err(|_| ProbeError::Silent)??;
    if theirs.node != member.node {
        return Err(ProbeError::AnotherNode(theirs.node));
    }
    greeting::check(&membership.hello(0, membership.epoch), &theirs, theirs.session == member.session)?;
    Ok(theirs)
}

fn not_opened(error: io::Error) -> ProbeError {
    match (dial::refusal(&error), error.kind()) {
        (Some("address"), _) => ProbeError::ForeignAddress(error),
        (Some(_), _) => ProbeError::Tls(error.into()),
        (None, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => ProbeError::NotAllowed,
        (None, _) => ProbeError::Unreachable(error),
    }
}

async fn read_hello(pipe: &mut Pipe, limits: wire::Limits) -> Result<Hello, ProbeError> {
    let mut decoder = Decoder::new(limits);
    poll_fn(|cx| {
        loop {
            // A peer that refuses this node's certificate says so only now.
            let mut input = match ready!(pipe.poll_read(cx)) {
                Ok([]) => return Poll::Ready(Err(ProbeError::Closed)),
                Ok(input) => input,
                Err(error) => return Poll::Ready(Err(ProbeError::Tls(error.into()))),
            };
            match decoder.next(&mut input).map_err(Mismatch::from)? {
                Some(Received { frame: Frame::Hello(hello), .. }) => return Poll::Ready(Ok(hello)),
                Some(_) => return Poll::Ready(Err(Mismatch::Unexpected.into())),
                None => {}
            }
        }
    })
    .await
}
