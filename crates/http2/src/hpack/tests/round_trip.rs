//! A decoder reads everything that the encoder writes: any Heads, any messages, any SETTINGS of the peer.

use proptest::prelude::*;

use super::super::Encoder;
use super::{Decoder, Field, decode, entries};
use crate::request::{Head, Method, Request};

const NAMES: [&str; 5] = ["apns-id", "apns-expiration", "apns-collapse-id", "apns-request-id", "content-type"];

#[derive(Debug, Clone)]
enum Step {
    TableSize(u32),
    AllowRestart,
    Send { head: usize, token: String, fields: Vec<(usize, Vec<u8>)> },
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![0u32..200, 200u32..5000, Just(4096), Just(u32::MAX)];
    let fields = proptest::collection::vec((0..NAMES.len(), proptest::collection::vec(any::<u8>(), 0..90)), 0..4);
    let send = (any::<usize>(), "[0-9a-f]{0,200}", fields);
    prop_oneof![
        1 => size.prop_map(Step::TableSize),
        1 => Just(Step::AllowRestart),
        12 => send.prop_map(|(head, token, fields)| Step::Send { head, token, fields }),
    ]
}

fn head() -> impl Strategy<Value = Head> {
    let method = prop_oneof![Just(Method::Get), Just(Method::Post), Just(Method::Delete)];
    let field = ("(authorization|apns-topic|apns-priority|x-[a-c])", "[ -~]{0,200}");
    (method, "[a-z.]{1,40}", proptest::collection::vec(field, 0..8)).prop_map(|(method, authority, fields)| {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        Head::new(method, &authority, &fields)
    })
}

fn wanted(request: &Request<'_>) -> Vec<Field> {
    let owned = |(name, value): (&[u8], &[u8])| (name.to_vec(), value.to_vec());
    let path = (b":path".to_vec(), request.path.concat());
    let own = request.fields.iter().map(|(name, value)| owned((name.as_bytes(), value)));
    request.head.pseudo().map(owned).chain([path]).chain(request.head.fields().map(owned)).chain(own).collect()
}

proptest! {
    #[test]
    fn every_request_arrives_unchanged_and_both_tables_agree(
        heads in proptest::collection::vec(head(), 1..30),
        steps in proptest::collection::vec(step(), 0..60),
    ) {
        let (mut encoder, mut peer) = (Encoder::new(), Decoder::new(4096));
        let mut limit = 4096;
        for step in steps {
            match step {
                Step::TableSize(size) => {
                    encoder.set_table_size_max(size);
                    limit = size;
                }
                Step::AllowRestart => encoder.allow_restart(),
                Step::Send { head, token, fields } => {
                    let fields: Vec<_> = fields.iter().map(|(name, value)| (NAMES[*name], &value[..])).collect();
                    let path = [&b"/3/device/"[..], token.as_bytes()];
                    let request = Request { head: &heads[head % heads.len()], path, fields: &fields, body: b"" };
                    let mut block = b"before".to_vec();
                    encoder.encode(&request, &mut block);
                    prop_assert!(block.starts_with(b"before"));
                    prop_assert!(block.len() <= b"before".len() + request.list_size() + 6);
                    prop_assert_eq!(decode(&mut peer, &block[b"before".len()..]), Ok(wanted(&request)));
                    prop_assert_eq!(entries(encoder.table()), entries(peer.table()));
                    prop_assert!(peer.table().size_max() <= usize::try_from(limit).unwrap());
                }
            }
        }
    }
}
