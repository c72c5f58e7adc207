//! Lanes change their owner: nodes join and leave, and callers do not notice.

mod owner_header;
