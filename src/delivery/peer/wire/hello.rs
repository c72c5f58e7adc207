//! HELLO: who speaks, in which versions, and what it takes.

use super::scanner::{Scanner, put_short_text};
use super::{Kind, Limits, WireError, put_frame};
use crate::model::{NodeName, NodeSession};
use crate::store::Epoch;

/// The oldest and the newest version of the frames that this build speaks. Two releases that follow each other have one
/// in common, so that a cluster can be updated node by node.
pub const VERSION_MIN: u16 = 1;
pub const VERSION_MAX: u16 = 1;

/// A set of optional parts of the protocol, each a bit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features(pub u32);

impl Features {
    pub const NONE: Self = Self(0);
    /// CALL and RESULT: the receiver makes calls of channels, and broadcasts.
    pub const CALLS: Self = Self(1);
    /// STATUS of apps, and SEEN of them.
    pub const APP_FIGURES: Self = Self(2);
    /// Those of this build.
    pub const OURS: Self = Self(Self::CALLS.0 | Self::APP_FIGURES.0);

    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Those of both sets.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// A node's introduction of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The oldest and the newest version it speaks.
    pub versions: (u16, u16),
    pub features: Features,
    /// The largest frame and batch it takes.
    pub limits: Limits,
    /// The hash of its ring, to be compared and shown.
    pub ring: u64,
    pub session: NodeSession,
    /// The epoch of its store.
    pub epoch: Epoch,
    pub node: NodeName,
}

/// The version and features that two nodes use, and the limits of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreed {
    pub version: u16,
    pub features: Features,
    pub limits: Limits,
}

/// The error for two nodes that have no version of the frames in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} speaks versions {}-{} of the frames between nodes, and this node {}-{}: update the older one",
    "the other node", .theirs.0, .theirs.1, .ours.0, .ours.1
)]
pub struct NoCommonVersion {
    pub ours: (u16, u16),
    pub theirs: (u16, u16),
}

impl Hello {
    /// The newest version that both speak, and the features and limits of both.
    pub fn agree(&self, theirs: &Self) -> Result<Agreed, NoCommonVersion> {
        let version = self.versions.1.min(theirs.versions.1);
        if version < self.versions.0.max(theirs.versions.0) {
            return Err(NoCommonVersion { ours: self.versions, theirs: theirs.versions });
        }
        let (features, limits) = (self.features.and(theirs.features), self.limits.of_both(theirs.limits));
        Ok(Agreed { version, features, limits })
    }

    /// Ignores fields that a newer version has appended.
    pub(super) fn decode(body: &[u8]) -> Result<Self, WireError> {
        let mut body = Scanner::new(Kind::Hello, body);
        let versions = (body.u16()?, body.u16()?);
        if versions.0 == 0 || versions.0 > versions.1 {
            return Err(body.bad("versions"));
        }
        Ok(Self {
            versions,
            features: Features(body.u32()?),
            limits: Limits { frame_bytes: body.u32()?, items: body.u32()? },
            ring: body.u64()?,
            session: NodeSession::from_bits(body.u128()?),
            epoch: Epoch::stored(body.i64()?),
            node: body.short_text()?.parse().map_err(|_| body.bad("node"))?,
        })
    }
}

/// Appends HELLO.
pub fn put_hello(out: &mut Vec<u8>, hello: &Hello) {
    put_frame(out, Kind::Hello, 0, |out| {
        out.extend_from_slice(&hello.versions.0.to_le_bytes());
        out.extend_from_slice(&hello.versions.1.to_le_bytes());
        out.extend_from_slice(&hello.features.0.to_le_bytes());
        out.extend_from_slice(&hello.limits.frame_bytes.to_le_bytes());
        out.extend_from_slice(&hello.limits.items.to_le_bytes());
        out.extend_from_slice(&hello.ring.to_le_bytes());
        out.extend_from_slice(&hello.session.bits().to_le_bytes());
        out.extend_from_slice(&hello.epoch.number().to_le_bytes());
        put_short_text(out, hello.node.as_str());
    });
}
