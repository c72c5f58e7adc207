//! The sealed constant of a shared store: a node that opens it has the keys of the nodes that seal credentials there.

use super::Unopened;
use super::keyring::{KEY_ID_BYTES, KeyId, Keyring};
use aws_lc_rs::aead::{Aad, NONCE_LEN, Nonce};

const PURPOSE: &[u8] = b"pyapns: the check of credential keys";
const CONSTANT: &[u8] = b"pyapns";

/// Seals the constant under the first key: key id, nonce, sealed constant and tag.
pub fn seal(keyring: &Keyring) -> Vec<u8> {
    let (key, mut text) = (keyring.first(), CONSTANT.to_vec());
    let sealed = key.cipher().seal_in_place_separate_tag(Aad::from(PURPOSE), &mut text);
    let (nonce, tag) = sealed.expect("a constant is far below the limit of AES-GCM");
    [&key.id().0[..], nonce.as_ref(), &text, tag.as_ref()].concat()
}

/// Opens what [`seal`] made with one of the keys. Returns true if that is the first one.
pub fn open(keyring: &Keyring, sealed: &[u8]) -> Result<bool, Unopened> {
    let (id, rest) = sealed.split_first_chunk::<KEY_ID_BYTES>().ok_or(Unopened::Damaged)?;
    let id = KeyId(*id);
    let key = keyring.find(id).ok_or(Unopened::KeyMissing { id })?;
    let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or(Unopened::Damaged)?;
    let mut text = rest.to_vec();
    let opened = key.cipher().open_in_place(Nonce::from(nonce), Aad::from(PURPOSE), &mut text);
    match opened {
        Ok(text) if *text == *CONSTANT => Ok(id == keyring.first().id()),
        _ => Err(Unopened::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constant_opens_with_the_key_that_sealed_it_and_no_other() {
        let sealed = seal(&Keyring::of([[7; 32], [8; 32]]));
        assert_eq!(open(&Keyring::of([[7; 32]]), &sealed), Ok(true));
        assert_eq!(open(&Keyring::of([[9; 32], [7; 32]]), &sealed), Ok(false));
        let id = Keyring::of([[7; 32]]).first().id();
        assert_eq!(open(&Keyring::of([[8; 32]]), &sealed), Err(Unopened::KeyMissing { id }));
        for at in KEY_ID_BYTES..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(open(&Keyring::of([[7; 32]]), &changed), Err(Unopened::Damaged), "{at}");
        }
        for end in 0..sealed.len() {
            assert!(open(&Keyring::of([[7; 32]]), &sealed[..end]).is_err(), "{end}");
        }
    }
}
