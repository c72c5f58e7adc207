//! The stored form of a credential: encrypted with AES-256-GCM under one of the keyring's keys.

use super::Material;
use super::fields;
use super::keyring::{KEY_ID_BYTES, Key, KeyId, Keyring};
use crate::model::AppKey;
use aws_lc_rs::aead::{Aad, NONCE_LEN, Nonce};
use zeroize::Zeroizing;

/// The form of the first versions: fields in clear text, under the file permissions of the store. Still read.
const CLEAR: u8 = 0;
/// Form, key id, nonce, then the encrypted fields and their tag.
const SEALED: u8 = 1;

const TAG_BYTES: usize = 16;

/// A blob that cannot be opened. The app it belongs to can be provisioned again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unopened {
    #[error(
        "the stored credential is sealed with the key {id}, which is not there: add its file to `key_files`, or provision the app again"
    )]
    KeyMissing { id: KeyId },
    #[error("the stored credential does not open: it is damaged, or belongs to another app; provision the app again")]
    Damaged,
    #[error("the stored credential is in a form of a newer pyapns: run that version, or provision the app again")]
    Newer,
}

/// The content of a blob.
#[derive(Debug, PartialEq)]
pub struct Opened {
    pub material: Material,
    /// True if it must be sealed again: it is in clear text, or under a key that is no longer the first.
    pub stale: bool,
}

/// Seals for one app: the blob opens for no other.
pub fn seal(keyring: &Keyring, app: &AppKey, material: &Material) -> Zeroizing<Vec<u8>> {
    let key = keyring.first();
    let mut fields = fields::write(material);
    let aad = Aad::from(context(key, app));
    let sealed = key.cipher().seal_in_place_separate_tag(aad, &mut fields);
    let (nonce, tag) = sealed.expect("a credential is far below the limit of AES-GCM");
    Zeroizing::new([&[SEALED], &key.id().0[..], nonce.as_ref(), &fields, tag.as_ref()].concat())
}

/// The key that a blob names as its own; `None` for a blob in clear text, or in a form that is not known.
pub fn key_of(blob: &[u8]) -> Option<KeyId> {
    match blob {
        [SEALED, rest @ ..] => rest.first_chunk::<KEY_ID_BYTES>().copied().map(KeyId),
        _ => None,
    }
}

/// Opens what [`seal`] made for this app, and what older versions stored in clear text.
pub fn open(keyring: &Keyring, app: &AppKey, blob: &[u8]) -> Result<Opened, Unopened> {
    match blob {
        [CLEAR, fields @ ..] => {
            let material = fields::read(fields).ok_or(Unopened::Damaged)?;
            Ok(Opened { material, stale: true })
        }
        [SEALED, rest @ ..] => open_sealed(keyring, app, rest).map(|(material, stale)| Opened { material, stale }),
        [] => Err(Unopened::Damaged),
        _ => Err(Unopened::Newer),
    }
}

fn open_sealed(keyring: &Keyring, app: &AppKey, sealed: &[u8]) -> Result<(Material, bool), Unopened> {
    let (id, sealed) = sealed.split_first_chunk::<KEY_ID_BYTES>().ok_or(Unopened::Damaged)?;
    let id = KeyId(*id);
    let key = keyring.find(id).ok_or(Unopened::KeyMissing { id })?;
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(Unopened::Damaged)?;
    let mut fields = Zeroizing::new(sealed.to_vec());
    let aad = Aad::from(context(key, app));
    let opened = key.cipher().open_in_place(Nonce::from(nonce), aad, &mut fields);
    opened.map_err(|_| Unopened::Damaged)?;
    let end = fields.len() - TAG_BYTES;
    let material = fields::read(&fields[..end]).ok_or(Unopened::Damaged)?;
    Ok((material, id != keyring.first().id()))
}

/// The associated data of a blob: its form, the key, the app.
fn context(key: &Key, app: &AppKey) -> Vec<u8> {
    let id = app.id.as_str().as_bytes();
    let length = u32::try_from(id.len()).unwrap_or(u32::MAX);
    [&[SEALED], &key.id().0[..], &length.to_be_bytes(), id, app.environment.as_str().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Secret;
    use crate::model::{AppId, Environment};

    fn app(id: &str, environment: Environment) -> AppKey {
        AppKey::new(AppId::new(id).unwrap(), environment)
    }

    fn shop() -> AppKey {
        app("shop", Environment::Sandbox)
    }

    fn materials() -> [Material; 2] {
        let key = Material::Key { p8: "p8".into(), key_id: "KEY1234567".into(), team_id: "TEAM123456".into() };
        [Material::Certificate { pem: Secret::from(b"latin-1: \xe9".to_vec()) }, key]
    }

    #[test]
    fn what_was_sealed_opens_as_it_was_and_shows_nothing_of_it() {
        let keyring = Keyring::of([[7; 32]]);
        for material in materials() {
            let blob = seal(&keyring, &shop(), &material);
            assert_eq!(open(&keyring, &shop(), &blob), Ok(Opened { material, stale: false }));
            for secret in [&b"latin"[..], b"KEY1234567"] {
                assert!(!blob.windows(secret.len()).any(|window| window == secret));
            }
            assert_ne!(blob, seal(&keyring, &shop(), &materials()[0]), "each has its own nonce");
        }
    }

    #[test]
    fn a_blob_opens_for_its_own_app_only() {
        let keyring = Keyring::of([[7; 32]]);
        let blob = seal(&keyring, &shop(), &materials()[0]);
        for other in [app("shop", Environment::Production), app("shops", Environment::Sandbox)] {
            assert_eq!(open(&keyring, &other, &blob), Err(Unopened::Damaged));
        }
    }

    #[test]
    fn during_a_rotation_both_keys_open_and_the_first_seals() {
        let [old, both, new] = [Keyring::of([[1; 32]]), Keyring::of([[2; 32], [1; 32]]), Keyring::of([[2; 32]])];
        let [material, _] = materials();
        let blob = seal(&old, &shop(), &material);
        assert_eq!(open(&both, &shop(), &blob), Ok(Opened { material: material.clone(), stale: true }));
        assert_eq!(open(&new, &shop(), &blob), Err(Unopened::KeyMissing { id: old.first().id() }));
        let blob = seal(&both, &shop(), &material);
        assert_eq!(open(&new, &shop(), &blob), Ok(Opened { material, stale: false }));
    }

    #[test]
    fn what_older_versions_stored_in_clear_text_still_opens() {
        for material in materials() {
            let clear = [&[CLEAR][..], &fields::write(&material)].concat();
            assert_eq!(open(&Keyring::of([[7; 32]]), &shop(), &clear), Ok(Opened { material, stale: true }));
        }
    }

    #[test]
    fn a_blob_that_was_cut_or_changed_anywhere_does_not_open() {
        let keyring = Keyring::of([[7; 32]]);
        let blob = seal(&keyring, &shop(), &materials()[1]);
        for end in 0..blob.len() {
            assert!(open(&keyring, &shop(), &blob[..end]).is_err(), "{end}");
        }
        for at in 0..blob.len() {
            let mut changed = blob.to_vec();
            changed[at] ^= 0x80;
            assert!(open(&keyring, &shop(), &changed).is_err(), "{at}");
        }
        assert_eq!(open(&keyring, &shop(), &[2]), Err(Unopened::Newer));
    }
}
