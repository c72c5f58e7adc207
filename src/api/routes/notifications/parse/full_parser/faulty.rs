//! Finds all invalid items of a list, once the first is found.

use super::{Item, ParseState};
use crate::api::routes::notifications::fault::FaultyIndexes;
use crate::model::{Batch, PushType};
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// The invalid items among the first `items_max` of `text`, as far as it is JSON.
pub fn items(text: &str, of_topic: Option<PushType>, items_max: usize) -> FaultyIndexes {
    let mut found = Vec::new();
    // An error that ends the list is reported elsewhere.
    let _ = serde_json::Deserializer::from_str(text).deserialize_seq(Items { found: &mut found, of_topic, items_max });
    found.into()
}

struct Items<'f> {
    found: &'f mut Vec<usize>,
    of_topic: Option<PushType>,
    items_max: usize,
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        for index in 0..self.items_max {
            let Some(item) = items.next_element::<&RawValue>()? else { break };
            let mut state = ParseState::new(Batch::default().with_push_type(self.of_topic), self.items_max);
            if Item(&mut state).deserialize(&mut serde_json::Deserializer::from_str(item.get())).is_err() {
                self.found.push(index);
            }
        }
        Ok(())
    }
}
