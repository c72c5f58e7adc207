//! The members of a cluster in Redis: a lease of each node, and a table of all.

use super::keys::{Keys, name_of};
use super::link::Link;
use super::pins;
use super::reply::{epoch, number, odd, read};
use super::scripts::{BEAT, LEAVE, PIN, UNPIN};
use crate::model::NodeName;
use crate::store::members::{
    Beat, FORGOTTEN_AFTER, Heard, Lease, Member, Members, PINS_MAX, Pin, Pinned, Session, Version,
};
use crate::store::{Epoch, Pending, Revision, StoreError};
use redis::cmd;
use std::collections::BTreeMap;
use std::fmt;

/// Members over a connection of their own: a beat must not wait behind anything else.
pub struct RedisMembers {
    link: Link,
    keys: Keys,
}

impl RedisMembers {
    pub(super) fn new(link: Link, keys: Keys) -> Self {
        Self { link, keys }
    }
}

/// A member as it is stored, and its lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub member: Member,
    /// Its lease lasts.
    pub is_live: bool,
}

impl RedisMembers {
    /// All members by name, for somebody who is none. Changes nothing.
    pub async fn list(&self) -> Result<Vec<Stored>, StoreError> {
        let found: BTreeMap<String, String> = self.link.query(cmd("HGETALL").arg(self.keys.members())).await?;
        let mut listed = Vec::new();
        for (name, stored) in found {
            // Since when its lease is gone, session, record.
            let mut parts = stored.splitn(3, ' ').skip(1).map(str::to_owned);
            let (Some(session), Some(record)) = (parts.next(), parts.next()) else { return Err(odd("a member")) };
            let member = member(&[name, session.clone(), record])?;
            let lease: Option<String> = self.link.query(cmd("GET").arg(self.keys.lease(&member.node))).await?;
            listed.push(Stored { member, is_live: lease == Some(session) });
        }
        Ok(listed)
    }
}

impl fmt::Debug for RedisMembers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("RedisMembers")
    }
}

/// Lease, clock, epoch, the three counters, live nodes. The members and the decisions of operators follow, if their counter
/// is not the known one.
type Reply = (String, String, String, String, String, String, Vec<String>);

impl Members for RedisMembers {
    fn beat(&self, beat: Beat) -> Pending<'_, Heard> {
        Box::pin(async move {
            let mut call = BEAT.prepare_invoke();
            call.key(self.keys.lease(&beat.node)).key(self.keys.members()).key(self.keys.meta());
            call.key(self.keys.pins());
            call.arg(Epoch::new().number()).arg(beat.node.as_str()).arg(beat.session.to_string());
            call.arg(beat.lease.as_millis() as u64).arg(beat.record).arg(beat.known.number());
            call.arg(self.keys.leases()).arg(FORGOTTEN_AFTER.as_micros() as u64);
            heard(self.link.call(&call).await?)
        })
    }

    fn leave(&self, node: NodeName, session: Session) -> Pending<'_, bool> {
        Box::pin(async move {
            let mut call = LEAVE.prepare_invoke();
            call.key(self.keys.lease(&node)).key(self.keys.members()).key(self.keys.meta());
            call.arg(node.as_str()).arg(session.to_string());
            read(self.link.call(&call).await?)
        })
    }

    fn pin(&self, pin: Pin) -> Pending<'_, Pinned> {
        Box::pin(async move {
            let (subject, decision) = pins::encode(&pin);
            let mut call = PIN.prepare_invoke();
            call.key(self.keys.pins()).key(self.keys.meta()).key(self.keys.apps());
            call.arg(Epoch::new().number()).arg(subject).arg(decision).arg(PINS_MAX);
            if let Pin::Lane { app, .. } = &pin {
                call.arg(name_of(app));
            }
            match read::<String>(self.link.call(&call).await?)?.as_str() {
                "changed" => Ok(Pinned::Changed),
                "same" => Ok(Pinned::Same),
                "full" => Ok(Pinned::Full),
                "no_app" => Ok(Pinned::NoApp),
                _ => Err(odd("a decision")),
            }
        })
    }

    fn unpin(&self, pin: Pin) -> Pending<'_, bool> {
        Box::pin(async move {
            let mut call = UNPIN.prepare_invoke();
            call.key(self.keys.pins()).key(self.keys.meta()).arg(pins::encode(&pin).0);
            read(self.link.call(&call).await?)
        })
    }
}

fn heard(reply: redis::Value) -> Result<Heard, StoreError> {
    let (reply, members, pins) = match reply {
        redis::Value::Array(mut parts) if parts.len() == 9 => {
            let pins = parts.pop().map(read::<Vec<String>>).transpose()?.unwrap_or_default();
            let members = parts.pop().map(read::<Vec<String>>).transpose()?;
            (redis::Value::Array(parts), members, pins)
        }
        short => (short, None, Vec::new()),
    };
    let (lease, time, of, revision, quarantines, members_version, live): Reply = read(reply)?;
    let lease = match lease.as_str() {
        "renewed" => Lease::Renewed,
        "made" => Lease::Made,
        "taken" => Lease::Taken,
        _ => return Err(odd("a lease")),
    };
    Ok(Heard {
        lease,
        time: number(&time)?,
        epoch: epoch(&of)?,
        revision: Revision::stored(number(&revision)?),
        quarantines: Version::stored(number(&quarantines)?),
        members_version: Version::stored(number(&members_version)?),
        live: live.iter().map(|name| node(name)).collect::<Result<_, _>>()?,
        members: members.map(|members| members.chunks_exact(3).map(member).collect()).transpose()?,
        pins: pins::decode(&pins),
    })
}

fn member(stored: &[String]) -> Result<Member, StoreError> {
    let [name, session, record] = stored else { return Err(odd("a member")) };
    let session = Session::parse(session).ok_or_else(|| odd("a session"))?;
    Ok(Member { node: node(name)?, session, record: record.clone() })
}

fn node(name: &str) -> Result<NodeName, StoreError> {
    name.parse().map_err(|_| odd("the name of a node"))
}
