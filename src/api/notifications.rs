//! `POST /apps/:app_id/:environment/notifications`: the hot path.

pub mod answer;
pub mod fault;
pub mod field;
pub mod parse;
