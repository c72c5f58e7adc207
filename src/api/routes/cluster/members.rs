//! The members of a cluster in responses.

use crate::cluster::{About, KnownMember, Member, Standing, View};
use crate::model::NodeName;
use serde::Serialize;

#[derive(Serialize)]
pub struct MemberObject {
    node: String,
    /// The address of its links, as it advertises it.
    address: Option<String>,
    state: Option<&'static str>,
    weight: Option<u8>,
    /// The version of pyapns; `null` if the member is of an older one that does not write it.
    version: Option<String>,
    /// The time since which it has its lease, by the store's clock, in UNIX seconds; `null` while it joins.
    since: Option<u64>,
    /// It has a lease.
    live: bool,
    /// It owns only the lanes that are pinned to it.
    cordoned: bool,
    /// The reason that this node leaves the member out.
    fault: Option<String>,
}

impl MemberObject {
    fn new(view: &View, node: &NodeName, is_live: bool) -> Self {
        let cordoned = view.pins().cordoned.contains(node);
        let (address, state, weight, version, since, fault) = (None, None, None, None, None, None);
        Self { node: node.to_string(), address, state, weight, version, since, live: is_live, cordoned, fault }
    }

    fn with(self, member: Member, About { version, since }: About) -> Self {
        let (state, weight) = (Some(member.state.as_str()), Some(member.weight));
        Self { address: Some(member.address), state, weight, version, since, ..self }
    }
}

/// The members that the store lists. Before the first beat: those of the view.
pub fn of(standing: &Standing, view: &View) -> Vec<MemberObject> {
    if standing.state.is_none() {
        let members = view.members().iter();
        return members
            .map(|member| MemberObject::new(view, &member.node, true).with(member.clone(), About::default()))
            .collect();
    }
    let known = standing.members().into_iter().map(|KnownMember { node, is_live, record }| {
        let object = MemberObject::new(view, &node, is_live);
        match record {
            Ok((member, about)) => object.with(member, about),
            Err(fault) => MemberObject { fault: Some(fault.to_string()), ..object },
        }
    });
    known.collect()
}
