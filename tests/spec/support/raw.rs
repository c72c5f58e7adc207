//! A caller that writes its bytes itself.

use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Returns a node's response to these bytes, up to its end or the connection's. `cut`: no more bytes follow.
pub async fn said(address: SocketAddr, bytes: &[u8], cut: bool) -> String {
    let mut stream = TcpStream::connect(address).await.expect("the node listens");
    let (mut read, mut write) = stream.split();
    let send = async {
        let _ = write.write_all(bytes).await;
        if cut {
            let _ = write.shutdown().await;
        }
        std::future::pending::<()>().await;
    };
    let mut answer = Vec::new();
    let receive = async {
        let mut part = [0; 16 << 10];
        while let Ok(read @ 1..) = read.read(&mut part).await {
            answer.extend_from_slice(&part[..read]);
            if is_whole(&answer) {
                break;
            }
        }
    };
    tokio::select! {
        biased;
        () = receive => {}
        () = send => {}
    }
    String::from_utf8(answer).expect("text")
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| body.len() >= length)
}

/// Status and reason of an answer that is a whole envelope.
pub fn envelope(answer: &str) -> (u16, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let body: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("no envelope: {answer:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    assert!(head.contains("x-request-id: ") && head.contains("content-type: application/json"), "{head}");
    assert_eq!((&body["code"], &body["type"], &body["message"]), (&json!(status), &json!("error"), &body["error"]));
    assert!(body["args"].is_object(), "{body}");
    (status, body["reason"].as_str().expect("a reason").to_owned())
}
