//! How a credential lies in the store: one blob whose first byte tells the form, so that a later one may encrypt it.

use super::{Material, Secret};
use zeroize::Zeroizing;

/// The form: fields in clear text, under the file permissions of the store.
const CLEAR: u8 = 0;

const CERTIFICATE: u8 = 1;
const KEY: u8 = 2;

/// A blob that this version cannot open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a stored credential cannot be read: a newer pyapns wrote it, or the store is damaged; provision the app again"
)]
pub struct Unopened;

/// Makes the blob: form, kind, then each field behind its length (4 bytes, big-endian).
pub fn seal(material: &Material) -> Zeroizing<Vec<u8>> {
    let (kind, fields): (u8, Vec<&[u8]>) = match material {
        Material::Certificate { pem } => (CERTIFICATE, vec![pem.expose()]),
        Material::Key { p8, key_id, team_id } => (KEY, vec![p8.expose(), key_id.as_bytes(), team_id.as_bytes()]),
    };
    // Reserved at once: a growing vector would leave copies of the key behind.
    let mut blob = Vec::with_capacity(2 + fields.iter().map(|field| 4 + field.len()).sum::<usize>());
    blob.extend_from_slice(&[CLEAR, kind]);
    for field in fields {
        let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
        blob.extend_from_slice(&length.to_be_bytes());
        blob.extend_from_slice(field);
    }
    Zeroizing::new(blob)
}

/// Reads what [`seal`] made.
pub fn open(blob: &[u8]) -> Result<Material, Unopened> {
    let [CLEAR, kind, rest @ ..] = blob else { return Err(Unopened) };
    let material = match (*kind, fields(rest)?.as_slice()) {
        (CERTIFICATE, [pem]) => Material::Certificate { pem: Secret::from(pem.to_vec()) },
        (KEY, [p8, key_id, team_id]) => {
            Material::Key { p8: Secret::from(p8.to_vec()), key_id: text(key_id)?, team_id: text(team_id)? }
        }
        _ => return Err(Unopened),
    };
    Ok(material)
}

fn fields(mut rest: &[u8]) -> Result<Vec<&[u8]>, Unopened> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>().ok_or(Unopened)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Unopened)?;
        let (field, after) = after.split_at_checked(length).ok_or(Unopened)?;
        fields.push(field);
        rest = after;
    }
    Ok(fields)
}

fn text(field: &[u8]) -> Result<String, Unopened> {
    String::from_utf8(field.to_vec()).map_err(|_| Unopened)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn materials() -> [Material; 2] {
        let key = Material::Key { p8: "p8".into(), key_id: "KEY1234567".into(), team_id: "TEAM123456".into() };
        [Material::Certificate { pem: Secret::from(b"latin-1: \xe9".to_vec()) }, key]
    }

    #[test]
    fn what_was_sealed_opens_as_it_was() {
        for material in materials() {
            assert_eq!(open(&seal(&material)), Ok(material));
        }
    }

    #[test]
    fn a_blob_cut_short_or_of_another_form_does_not_open() {
        for material in materials() {
            let blob = seal(&material);
            for end in 0..blob.len() {
                assert_eq!(open(&blob[..end]), Err(Unopened), "{end}");
            }
            let mut newer = blob.to_vec();
            newer[0] = 1;
            assert_eq!(open(&newer), Err(Unopened));
        }
    }
}
