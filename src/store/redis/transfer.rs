//! The operations that only a copy of the whole store needs, and the start of a node.

use super::keys::name_of;
use super::reply::read;
use super::{Redis, feedback, pins};
use crate::model::{AppKey, Feedback};
use crate::store::members::Pin;
use crate::store::{Epoch, Pending, StoreError, Transfer};
use redis::{Pipeline, cmd};

/// Entries of held feedback that one call reads, about.
const HELD_PAGE: usize = 500;

/// The field of `meta` with the source of an unfinished copy.
const UNFINISHED: &str = "unfinished_copy";

impl Redis {
    /// The epoch of the store, which begins with this call if nothing was stored before.
    pub async fn epoch(&self) -> Result<Epoch, StoreError> {
        self.begin().await
    }

    /// The names of nodes that use the store at the time: they hold a lease.
    pub async fn live_nodes(&self) -> Result<Vec<String>, StoreError> {
        let names: Vec<String> = read(self.query(cmd("HKEYS").arg(self.keys.members())).await?)?;
        let mut live = Vec::new();
        for name in names {
            let lease = format!("{}{name}", self.keys.leases());
            if read::<Option<String>>(self.query(cmd("GET").arg(lease)).await?)?.is_some() {
                live.push(name);
            }
        }
        Ok(live)
    }
}

impl Transfer for Redis {
    fn is_empty(&self) -> Pending<'_, bool> {
        Box::pin(async move {
            let mut lengths = Pipeline::new();
            for key in [self.keys.apps(), self.keys.entries(), self.keys.holds(), self.keys.pins()] {
                lengths.cmd("HLEN").arg(key);
            }
            let lengths: Vec<u64> = self.link.pipe(&lengths).await?;
            Ok(lengths.iter().all(|length| *length == 0))
        })
    }

    fn held(&self, app: AppKey, from: Option<String>) -> Pending<'_, (Vec<Feedback>, Option<String>)> {
        Box::pin(async move {
            let from = from.unwrap_or_else(|| "0".to_owned());
            let mut scan = cmd("HSCAN");
            scan.arg(self.keys.held(&app)).arg(from).arg("COUNT").arg(HELD_PAGE);
            let (next, fields): (String, Vec<(String, String)>) = read(self.query(&scan).await?)?;
            let entries = fields.iter().map(|(token, stored)| feedback::entry_of(&app, token, stored));
            Ok((entries.collect::<Result<_, _>>()?, Some(next).filter(|next| next != "0")))
        })
    }

    fn put_entries(&self, entries: Vec<(AppKey, String)>) -> Pending<'_, ()> {
        Box::pin(async move {
            if entries.is_empty() {
                return Ok(());
            }
            let mut set = cmd("HSET");
            set.arg(self.keys.entries());
            for (app, fingerprint) in entries {
                set.arg(name_of(&app)).arg(fingerprint);
            }
            self.query(&set).await.map(drop)
        })
    }

    fn decisions(&self) -> Pending<'_, Vec<Pin>> {
        Box::pin(async move {
            let stored: Vec<String> = read(self.query(cmd("HGETALL").arg(self.keys.pins())).await?)?;
            Ok(pins::decode(&stored))
        })
    }

    fn put_decisions(&self, decisions: Vec<Pin>) -> Pending<'_, u64> {
        Box::pin(async move {
            let mut put = Pipeline::new();
            put.cmd("DEL").arg(self.keys.pins()).ignore();
            for (subject, decision) in decisions.iter().map(pins::encode) {
                put.cmd("HSET").arg(self.keys.pins()).arg(subject).arg(decision).ignore();
            }
            self.link.pipe::<()>(&put).await?;
            Ok(decisions.len() as u64)
        })
    }

    fn unfinished_copy(&self) -> Pending<'_, Option<String>> {
        Box::pin(async move { read(self.query(cmd("HGET").arg(self.keys.meta()).arg(UNFINISHED)).await?) })
    }

    fn mark_copy(&self, source: Option<String>) -> Pending<'_, ()> {
        Box::pin(async move {
            self.begin().await?;
            let change = match source {
                Some(source) => cmd("HSET").arg(self.keys.meta()).arg(UNFINISHED).arg(source).to_owned(),
                None => cmd("HDEL").arg(self.keys.meta()).arg(UNFINISHED).to_owned(),
            };
            self.query(&change).await.map(drop)
        })
    }
}
