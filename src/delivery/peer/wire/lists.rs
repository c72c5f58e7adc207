//! WARM and READY, STATUS and SEEN: lists of apps and lanes.

use super::scanner::{Scanner, put_app};
use super::{Kind, WireError, put_frame};
use crate::model::AppKey;
use bytes::Bytes;

/// Fewest bytes of an app in a list: environment, and an id of one byte with its length.
const APP_BYTES_MIN: usize = 3;
const LANE_BYTES_MIN: usize = APP_BYTES_MIN + 2;

/// A lane of an app.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lane {
    pub app: AppKey,
    pub lane: u16,
}

/// The question of a STATUS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusOf {
    /// The lanes that the receiver holds connections for.
    Held,
    /// The figures of these apps on the receiver.
    Apps(Vec<AppKey>),
}

/// The answer to a STATUS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    Held(Vec<Lane>),
    Apps(Vec<AppFigures>),
}

/// An app's figures on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppFigures {
    pub app: AppKey,
    /// A JSON object, so that figures can be added without another version of the frames.
    pub json: Bytes,
}

const HELD: u8 = 1;
const APPS: u8 = 2;

pub fn put_warm(out: &mut Vec<u8>, id: u64, lanes: &[Lane]) {
    put_frame(out, Kind::Warm, id, |out| put_lanes(out, lanes));
}

pub fn put_ready(out: &mut Vec<u8>, id: u64, lanes: &[Lane]) {
    put_frame(out, Kind::Ready, id, |out| put_lanes(out, lanes));
}

pub fn put_status(out: &mut Vec<u8>, id: u64, of: &StatusOf) {
    put_frame(out, Kind::Status, id, |out| match of {
        StatusOf::Held => out.push(HELD),
        StatusOf::Apps(apps) => {
            out.push(APPS);
            put_count(out, apps.len());
            apps.iter().for_each(|app| put_app(out, app));
        }
    });
}

pub fn put_seen(out: &mut Vec<u8>, id: u64, seen: &Seen) {
    put_frame(out, Kind::Seen, id, |out| match seen {
        Seen::Held(lanes) => {
            out.push(HELD);
            put_lanes(out, lanes);
        }
        Seen::Apps(apps) => {
            out.push(APPS);
            put_count(out, apps.len());
            for figures in apps {
                put_app(out, &figures.app);
                put_count(out, figures.json.len());
                out.extend_from_slice(&figures.json);
            }
        }
    });
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).expect("a frame is far below 4 GiB").to_le_bytes());
}

fn put_lanes(out: &mut Vec<u8>, lanes: &[Lane]) {
    put_count(out, lanes.len());
    for lane in lanes {
        put_app(out, &lane.app);
        out.extend_from_slice(&lane.lane.to_le_bytes());
    }
}

pub(super) fn decode_lanes(kind: Kind, body: &[u8]) -> Result<Vec<Lane>, WireError> {
    let mut body = Scanner::new(kind, body);
    let lanes = lanes(&mut body)?;
    body.finish()?;
    Ok(lanes)
}

pub(super) fn decode_status(body: &[u8]) -> Result<StatusOf, WireError> {
    let mut body = Scanner::new(Kind::Status, body);
    let of = match body.u8()? {
        HELD => StatusOf::Held,
        APPS => {
            let count = body.count(APP_BYTES_MIN)?;
            StatusOf::Apps((0..count).map(|_| body.app()).collect::<Result<_, _>>()?)
        }
        _ => return Err(body.bad("question")),
    };
    body.finish()?;
    Ok(of)
}

pub(super) fn decode_seen(body: &[u8]) -> Result<Seen, WireError> {
    let mut body = Scanner::new(Kind::Seen, body);
    let seen = match body.u8()? {
        HELD => Seen::Held(lanes(&mut body)?),
        APPS => {
            let count = body.count(APP_BYTES_MIN + 4)?;
            Seen::Apps((0..count).map(|_| figures(&mut body)).collect::<Result<_, _>>()?)
        }
        _ => return Err(body.bad("question")),
    };
    body.finish()?;
    Ok(seen)
}

fn lanes(body: &mut Scanner<'_>) -> Result<Vec<Lane>, WireError> {
    let count = body.count(LANE_BYTES_MIN)?;
    (0..count).map(|_| Ok(Lane { app: body.app()?, lane: body.u16()? })).collect()
}

fn figures(body: &mut Scanner<'_>) -> Result<AppFigures, WireError> {
    let app = body.app()?;
    let length = body.u32()? as usize;
    Ok(AppFigures { app, json: Bytes::copy_from_slice(body.bytes(length)?) })
}
