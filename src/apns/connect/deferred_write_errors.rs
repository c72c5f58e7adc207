//! A socket under TLS that returns write errors separately. TLS writes several records in one call. If some are written
//! and the next one fails, TLS returns only the error, and Apple may receive bytes that were not counted as written. So
//! an error after written bytes is returned by the next call, and this call reports a full socket.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A socket that returns a write error only in the call after one that wrote bytes.
#[derive(Debug)]
pub struct DeferredWriteErrors<S> {
    socket: S,
    /// Bytes were written since the socket was last full or flushed.
    wrote: bool,
    error: Option<io::Error>,
}

impl<S> DeferredWriteErrors<S> {
    pub fn new(socket: S) -> Self {
        Self { socket, wrote: false, error: None }
    }
}

impl<S: AsyncWrite + Unpin> DeferredWriteErrors<S> {
    fn write(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Some(error) = self.error.take() {
            return Poll::Ready(Err(error));
        }
        let wrote = std::mem::take(&mut self.wrote);
        match write(Pin::new(&mut self.socket), cx) {
            Poll::Ready(Err(error)) if wrote => {
                self.error = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            written => {
                self.wrote = matches!(written, Poll::Ready(Ok(_)));
                written
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for DeferredWriteErrors<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, |socket, cx| socket.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |socket, cx| socket.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wrote = false;
        match self.error.take() {
            Some(error) => Poll::Ready(Err(error)),
            None => Pin::new(&mut self.socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for DeferredWriteErrors<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
    use rustls::{ClientConfig, RootCertStore, ServerConfig};
    use std::sync::Arc;
    use tokio::io::{AsyncWriteExt, DuplexStream};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    /// A socket that accepts a number of bytes per write, then fails after `writes_left` writes; unlimited until it is
    /// set.
    struct Failing {
        io: DuplexStream,
        writes_left: Arc<std::sync::Mutex<Option<u32>>>,
    }

    const STEP: usize = 10_000;

    impl AsyncWrite for Failing {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let mut left = self.writes_left.lock().expect("no panic");
            match left.as_mut() {
                Some(0) => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                Some(left) => *left -= 1,
                None => {}
            }
            drop(left);
            Pin::new(&mut self.io).poll_write(cx, &bytes[..bytes.len().min(STEP)])
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.io).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.io).poll_shutdown(cx)
        }
    }

    impl AsyncRead for Failing {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.io).poll_read(cx, into)
        }
    }

    /// The number of bytes, of 40,000, that a TLS stream counts as taken before it returns the error, after `writes`
    /// successful writes of the socket.
    async fn taken(writes: u32) -> usize {
        let made = rcgen::generate_simple_self_signed(["gateway.test".to_owned()]).expect("a certificate");
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = || Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let server = server.expect("versions").with_no_client_auth().with_single_cert(vec![certificate.clone()], key);
        let mut roots = RootCertStore::empty();
        roots.add(certificate).expect("a root");
        let client = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let client = client.expect("versions").with_root_certificates(roots).with_no_client_auth();

        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let writes_left = Arc::default();
        let socket = DeferredWriteErrors::new(Failing { io: ours, writes_left: Arc::clone(&writes_left) });
        let name = ServerName::try_from("gateway.test").expect("a name");
        let acceptor = TlsAcceptor::from(Arc::new(server.expect("a certificate with its key")));
        let (stream, peer) =
            tokio::join!(TlsConnector::from(Arc::new(client)).connect(name, socket), acceptor.accept(theirs));
        let (mut stream, _peer) = (stream.expect("a handshake"), peer.expect("a handshake"));
        stream.flush().await.expect("nothing is wrong yet");
        *writes_left.lock().expect("no panic") = Some(writes);
        let (bytes, mut taken) = (vec![7; 40_000], 0);
        let error = loop {
            if taken == bytes.len() {
                break stream.flush().await.expect_err("not all bytes can be written");
            }
            match stream.write(&bytes[taken..]).await {
                Ok(count) => taken += count,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        taken
    }

    #[tokio::test]
    async fn bytes_written_before_an_error_count_as_taken_and_no_others() {
        assert_eq!(taken(0).await, 0, "nothing got out");
        for writes in 1..4 {
            let (taken, got_out) = (taken(writes).await, writes as usize * STEP);
            assert!(taken >= got_out - 200, "{got_out} were written, and {taken} are reported");
        }
    }
}
