//! The link of a store to Redis: one connection that is replaced when it fails.
//!
//! The crate's own `ConnectionManager` keeps a connection on which nothing is answered, for as long as the kernel does.

use super::Settings;
use super::dial::Connection;
use super::error::{ends_connection, of_redis};
use super::sentinel::Target;
use crate::store::StoreError;
use redis::{Cmd, FromRedisValue, Pipeline, RedisResult, ScriptInvocation};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The pause after a failed attempt to connect. It grows to [`PAUSE_MAX`], so that with the second of the attempt
/// itself a link is back within two seconds of Redis.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_GROWTH: f64 = 1.5;
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Sends commands to Redis, and connects when that is needed. Every call ends within the time limits of connecting
/// (1 s for each server asked) and answering (1 s). A call whose answer did not come may have been carried out.
pub struct Link {
    target: Arc<Target>,
    state: Mutex<State>,
    /// Failures since the last command that worked. A server may accept connections and refuse every command.
    failures: AtomicI32,
}

enum State {
    /// The next call connects.
    Unconnected,
    Connected(Connection),
    /// Until `until` calls get `error` at once.
    Failed {
        error: StoreError,
        until: Instant,
    },
}

impl Link {
    /// Reads the files that the settings name, and connects with the first call. Blocks.
    pub fn new(settings: &Settings) -> Result<Self, StoreError> {
        Ok(Self::to(Arc::new(Target::new(settings)?)))
    }

    /// Another connection to the same store, for calls that must not wait behind others.
    pub fn another(&self) -> Self {
        Self::to(Arc::clone(&self.target))
    }

    fn to(target: Arc<Target>) -> Self {
        Self { target, state: Mutex::new(State::Unconnected), failures: AtomicI32::new(0) }
    }

    /// Calls a script by its hash, and loads it first where Redis does not have it.
    pub async fn call<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, StoreError> {
        let mut connection = self.connection().await?;
        let result = script.invoke_async(&mut connection.redis).await;
        self.judge(&connection, result).await
    }

    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        let mut connection = self.connection().await?;
        let result = command.query_async(&mut connection.redis).await;
        self.judge(&connection, result).await
    }

    /// Sends several commands at once. They are not a transaction: those before a failed one have been carried out.
    pub async fn pipe<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, StoreError> {
        let mut connection = self.connection().await?;
        let result = commands.query_async(&mut connection.redis).await;
        self.judge(&connection, result).await
    }

    /// The address of the server that the link is connected to.
    pub async fn address(&self) -> Option<Arc<str>> {
        match &*self.state.lock().await {
            State::Connected(connection) if !connection.is_closed() => Some(Arc::clone(&connection.address)),
            State::Connected(_) | State::Unconnected | State::Failed { .. } => None,
        }
    }

    /// The connection, or a new one. Callers that come meanwhile wait for the same attempt.
    async fn connection(&self) -> Result<Connection, StoreError> {
        let mut state = self.state.lock().await;
        match &*state {
            // On a closed connection nothing would be sent: the call goes to a new one.
            State::Connected(connection) if !connection.is_closed() => return Ok(connection.clone()),
            State::Failed { error, until } if Instant::now() < *until => return Err(error.clone()),
            State::Failed { .. } | State::Connected(_) | State::Unconnected => {}
        }
        match self.target.connect().await {
            Ok(connection) => {
                tracing::debug!(address = %connection.address, "connected to Redis");
                *state = State::Connected(connection.clone());
                Ok(connection)
            }
            Err(error) => {
                *state = self.failed(&error);
                Err(error)
            }
        }
    }

    /// Gives up the connection if the result says that it does not work.
    async fn judge<T>(&self, used: &Connection, result: RedisResult<T>) -> Result<T, StoreError> {
        let error = match result {
            Ok(value) => {
                if self.failures.swap(0, Ordering::Relaxed) > 0 {
                    tracing::info!(address = %used.address, "Redis is back");
                }
                return Ok(value);
            }
            Err(error) => error,
        };
        let meaning = of_redis(&error, &used.address);
        if ends_connection(&error) {
            let mut state = self.state.lock().await;
            if matches!(&*state, State::Connected(current) if current.is_same_as(used)) {
                let failed = self.failed(&meaning);
                // The server may be well, and only this connection broken; one that refuses commands is not.
                *state = if error.is_io_error() { State::Unconnected } else { failed };
            }
        }
        Err(meaning)
    }

    /// Counts a failure, and logs the first of a row.
    fn failed(&self, error: &StoreError) -> State {
        let before = self.failures.fetch_add(1, Ordering::Relaxed);
        if before == 0 {
            tracing::warn!(%error, "Redis is away; trying again until it is back");
        }
        let pause = PAUSE.mul_f64(PAUSE_GROWTH.powi(before.clamp(0, 8))).min(PAUSE_MAX);
        State::Failed { error: error.clone(), until: Instant::now() + pause }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Link")
    }
}
