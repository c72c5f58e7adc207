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
}

enum State {
    /// The next call connects.
    Unconnected,
    Connected(Connection),
    /// Until `until` calls get `error` at once.
    Failed {
        error: StoreError,
        attempts: i32,
        until: Instant,
    },
}

impl Link {
    /// Reads the files that the settings name, and connects with the first call. Blocks.
    pub fn new(settings: &Settings) -> Result<Self, StoreError> {
        Ok(Self { target: Arc::new(Target::new(settings)?), state: Mutex::new(State::Unconnected) })
    }

    /// Another connection to the same store, for calls that must not wait behind others.
    pub fn another(&self) -> Self {
        Self { target: Arc::clone(&self.target), state: Mutex::new(State::Unconnected) }
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
        let attempts = match &*state {
            // On a closed connection nothing would be sent: the call goes to a new one.
            State::Connected(connection) if !connection.is_closed() => return Ok(connection.clone()),
            State::Failed { error, until, .. } if Instant::now() < *until => return Err(error.clone()),
            State::Failed { attempts, .. } => *attempts,
            State::Connected(_) | State::Unconnected => 0,
        };
        match self.target.connect().await {
            Ok(connection) => {
                tracing::info!(address = %connection.address, "connected to Redis");
                *state = State::Connected(connection.clone());
                Ok(connection)
            }
            Err(error) => {
                if attempts == 0 {
                    tracing::warn!(%error, "cannot connect to Redis; trying again until it works");
                }
                let pause = PAUSE.mul_f64(PAUSE_GROWTH.powi(attempts.min(8))).min(PAUSE_MAX);
                let attempts = attempts.saturating_add(1);
                *state = State::Failed { error: error.clone(), attempts, until: Instant::now() + pause };
                Err(error)
            }
        }
    }

    /// Gives up the connection if the result says that it does not work.
    async fn judge<T>(&self, used: &Connection, result: RedisResult<T>) -> Result<T, StoreError> {
        let error = match result {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let meaning = of_redis(&error, &used.address);
        if ends_connection(&error) {
            let mut state = self.state.lock().await;
            if matches!(&*state, State::Connected(current) if current.is_same_as(used)) {
                tracing::warn!(error = %meaning, "lost the connection to Redis");
                *state = State::Unconnected;
            }
        }
        Err(meaning)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Link")
    }
}
