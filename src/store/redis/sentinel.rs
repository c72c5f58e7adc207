//! The server to connect to: the one of the URL, or the one that the Sentinels name at the time.

use super::address::{HostPort, Place};
use super::dial::{Connection, Socket, dial, in_time};
use super::error::of_first;
use super::{Settings, Unfit, tls};
use crate::store::StoreError;
use redis::{Cmd, RedisConnectionInfo, RedisError};
use rustls::ClientConfig;
use std::sync::Arc;

/// Everything that a connection needs, read once.
pub(super) struct Target {
    place: Place,
    tls: Option<Arc<ClientConfig>>,
    login: RedisConnectionInfo,
}

impl Target {
    /// Reads the files that the settings name. Blocks.
    pub fn new(settings: &Settings) -> Result<Self, StoreError> {
        let tls = settings.url.is_tls().then(|| tls::client_config(settings)).transpose()?;
        let files = [&settings.ca_file, &settings.certificate, &settings.key];
        if tls.is_none() && files.iter().any(|file| file.is_some()) {
            return Err(Unfit::FilesWithoutTls.into());
        }
        // CLIENT SETINFO came with Redis 7.2, and an ACL of 7.0 cannot name it.
        let mut login = RedisConnectionInfo::default().set_db(settings.url.db.into()).set_skip_set_lib_name();
        if let Some(username) = &settings.username {
            // A user without a password takes any.
            login = login.set_username(username).set_password("");
        }
        if let Some(password) = &settings.password {
            login = login.set_password(password.expose());
        }
        Ok(Self { place: settings.url.place.clone(), tls, login })
    }

    /// A connection to the server, or to the primary that a Sentinel names. Each of the servers asked for that has
    /// one second.
    pub async fn connect(&self) -> Result<Connection, StoreError> {
        match &self.place {
            Place::Server { server, .. } => self.answering(self.tcp(server)).await,
            Place::Unix { path } => self.answering(Socket::Unix { path }).await,
            Place::Sentinel { sentinels, master, .. } => self.primary(sentinels, master).await,
        }
    }

    fn tcp<'a>(&'a self, server: &'a HostPort) -> Socket<'a> {
        Socket::Tcp { server, tls: self.tls.as_ref() }
    }

    async fn answering(&self, socket: Socket<'_>) -> Result<Connection, StoreError> {
        in_time(socket, async {
            let mut connection = dial(socket, &self.login).await?;
            let answer = redis::cmd("PING").exec_async(&mut connection.redis).await;
            answer.map_err(|error| of_first(&error, socket))?;
            Ok(connection)
        })
        .await
    }

    /// Asks the Sentinels in turn, as a Sentinel may be behind the others, or cut off from them. The error is that of
    /// a primary that was named, else that of a Sentinel.
    async fn primary(&self, sentinels: &[HostPort], master: &str) -> Result<Connection, StoreError> {
        let (mut of_primary, mut of_sentinel) = (None, None);
        for sentinel in sentinels {
            match self.ask(sentinel, master).await {
                Ok(named) => match self.confirmed(&named).await {
                    Ok(connection) => return Ok(connection),
                    Err(error) => of_primary = Some(error),
                },
                Err(error) => of_sentinel = Some(error),
            }
        }
        let none = || Unfit::UnknownMaster { master: master.to_owned() }.into();
        Err(of_primary.or(of_sentinel).unwrap_or_else(none))
    }

    /// The primary that one Sentinel names. The Sentinel is shown the user and the password only if it asks for them.
    async fn ask(&self, sentinel: &HostPort, master: &str) -> Result<HostPort, StoreError> {
        let socket = self.tcp(sentinel);
        let question = redis::cmd("SENTINEL").arg("get-master-addr-by-name").arg(master).take();
        let answer = in_time(socket, async {
            let mut connection = dial(socket, &RedisConnectionInfo::default().set_skip_set_lib_name()).await?;
            let mut answer: Result<Option<(String, u16)>, RedisError> =
                question.query_async(&mut connection.redis).await;
            if let (Err(error), Some(auth)) = (&answer, self.auth())
                && matches!(error.code(), Some("NOAUTH" | "NOPERM"))
            {
                let shown = auth.exec_async(&mut connection.redis).await;
                shown.map_err(|error| of_first(&error, socket))?;
                answer = question.query_async(&mut connection.redis).await;
            }
            answer.map_err(|error| of_first(&error, socket))
        });
        match answer.await? {
            Some((host, port)) => Ok(HostPort { host, port }),
            None => Err(Unfit::UnknownMaster { master: master.to_owned() }.into()),
        }
    }

    fn auth(&self) -> Option<Cmd> {
        let password = self.login.password()?;
        let mut auth = redis::cmd("AUTH");
        if let Some(username) = self.login.username() {
            auth.arg(username);
        }
        Some(auth.arg(password).take())
    }

    /// A connection to a server that says itself that it is a primary. A Sentinel names the old one until it has
    /// finished a failover.
    async fn confirmed(&self, named: &HostPort) -> Result<Connection, StoreError> {
        let socket = self.tcp(named);
        in_time(socket, async {
            let mut connection = dial(socket, &self.login).await?;
            let info = redis::cmd("INFO").arg("replication").take();
            let info: Result<String, RedisError> = info.query_async(&mut connection.redis).await;
            let info = info.map_err(|error| of_first(&error, socket))?;
            if info.lines().any(|line| line == "role:master") {
                return Ok(connection);
            }
            Err(StoreError::Away { address: named.to_string(), cause: "it is a replica, not the primary".to_owned() })
        })
        .await
    }
}
