//! The record of a member, as the other nodes read it in the shared store: one JSON object. Pure.

use super::ring::{RING_FORMAT, WEIGHT_MAX};
use super::view::{Member, MemberState};
use crate::store::members;
use serde::{Deserialize, Serialize};

/// Longest version that is taken.
const VERSION_MAX: usize = 64;
/// Longest address that is taken: a DNS name and a port.
const ADDRESS_MAX: usize = 300;

/// The fields of a record. Later versions may add some, which this one passes over.
#[derive(Serialize, Deserialize)]
struct Record {
    address: String,
    weight: u8,
    state: String,
    /// The number of the way to place lanes.
    ring: u32,
}

/// A record as it is written.
#[derive(Serialize)]
struct Written {
    #[serde(flatten)]
    record: Record,
    #[serde(flatten)]
    about: About,
}

/// The fields of a record that decide nothing. Older versions of pyapns write none of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The version of pyapns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The time when the node got its lease, by the store's clock, in UNIX seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
}

/// The reason that a record of another node cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    #[error("its record cannot be read")]
    Unreadable,
    #[error("it places lanes in another way: run the same version of pyapns on all nodes")]
    RingFormat,
}

/// The record of a member that has had its lease since this time, in UNIX seconds.
pub fn encode(member: &Member, since: Option<u64>) -> String {
    let Member { address, weight, state, .. } = member;
    let about = About { version: Some(env!("CARGO_PKG_VERSION").to_owned()), since };
    let (address, state) = (address.clone(), state.as_str().into());
    let record = Record { address, weight: *weight, state, ring: RING_FORMAT };
    serde_json::to_string(&Written { record, about }).expect("strings and numbers")
}

/// The member of a stored record.
pub fn decode(stored: &members::Member) -> Result<Member, BadRecord> {
    let record: Record = serde_json::from_str(&stored.record).map_err(|_| BadRecord::Unreadable)?;
    if record.ring != RING_FORMAT {
        return Err(BadRecord::RingFormat);
    }
    let state = MemberState::parse(&record.state).ok_or(BadRecord::Unreadable)?;
    if record.address.is_empty() || record.address.len() > ADDRESS_MAX || !(1..=WEIGHT_MAX).contains(&record.weight) {
        return Err(BadRecord::Unreadable);
    }
    let Record { address, weight, .. } = record;
    Ok(Member { node: stored.node.clone(), session: stored.session.into(), address, weight, state })
}

/// The fields of a stored record that decide nothing. One that cannot be read has none.
pub fn about(stored: &members::Member) -> About {
    let about: About = serde_json::from_str(&stored.record).unwrap_or_default();
    About { version: about.version.filter(|version| version.len() <= VERSION_MAX), ..about }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NodeSession;

    fn stored(record: &str) -> members::Member {
        members::Member {
            node: "n1".parse().unwrap(),
            session: NodeSession::from_bits(7).into(),
            record: record.into(),
        }
    }

    #[test]
    fn a_record_reads_back_as_it_was_written_and_what_later_versions_add_is_passed_over() {
        for state in MemberState::ALL {
            let (node, session) = ("n1".parse().unwrap(), NodeSession::from_bits(7));
            let member = Member { node, session, address: "10.0.0.1:8090".into(), weight: 3, state };
            let text = encode(&member, Some(5));
            let version = Some(env!("CARGO_PKG_VERSION").to_owned());
            assert_eq!(about(&stored(&text)), About { version, since: Some(5) });
            assert_eq!(decode(&stored(&text)), Ok(member.clone()));
            assert_eq!(decode(&stored(&text.replace('{', r#"{"later":5,"#))), Ok(member));
        }
    }

    #[test]
    fn a_record_that_cannot_be_used_is_refused_with_the_reason() {
        let good = r#"{"address":"a:1","weight":1,"state":"active","ring":1}"#;
        assert!(decode(&stored(good)).is_ok());
        for (from, to, why) in [
            (good, "", BadRecord::Unreadable),
            ("\"weight\":1", "\"weight\":0", BadRecord::Unreadable),
            ("\"weight\":1", "\"weight\":17", BadRecord::Unreadable),
            ("active", "asleep", BadRecord::Unreadable),
            ("a:1", "", BadRecord::Unreadable),
            ("a:1", &"a".repeat(301), BadRecord::Unreadable),
            ("\"ring\":1", "\"ring\":2", BadRecord::RingFormat),
        ] {
            assert_eq!(decode(&stored(&good.replace(from, to))), Err(why), "{to}");
        }
    }
}
