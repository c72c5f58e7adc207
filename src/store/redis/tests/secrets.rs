//! No password is printed.

use super::*;
use std::io::Write;
use std::sync::{Arc, Mutex};

const SECRET: &str = "correct-horse-battery";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_log_line_no_error_and_no_debug_output_holds_a_password() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    // With a single subscriber a line is switched off for good by the thread that reaches it first, if that has none.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    tracing::callsite::rebuild_interest_cache();
    let mut printed = String::new();
    let mut server = RedisServer::with(&[format!("requirepass {SECRET}")]);
    for password in [SECRET.to_owned(), format!("wrong-{SECRET}")] {
        let mut settings = settings(&server.url());
        settings.password = Some(password.into());
        let link = link(&settings);
        printed += &format!("{settings:?} {link:?} {:?} {:?}\n", check(&settings).await, write(&link).await);
    }
    let mut settings = settings(&server.url());
    settings.password = Some(SECRET.to_owned().into());
    let link = link(&settings);
    printed += &format!("{:?}\n", write(&link).await);
    server.kill();
    printed += &format!("{:?} {:?}\n", write(&link).await, write(&link).await);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("connected to Redis") && log.contains("Redis is away"), "{log}");
    assert!(printed.contains("password: Some(***)"), "{printed}");
    assert!(!format!("{log}{printed}").contains(SECRET), "{log}{printed}");
}
