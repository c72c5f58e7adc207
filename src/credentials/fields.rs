//! The binary format of a credential: its kind, then each field after its length (4 bytes, big-endian).

use super::{Material, Secret};
use zeroize::Zeroizing;

const CERTIFICATE: u8 = 1;
const KEY: u8 = 2;

pub fn write(material: &Material) -> Zeroizing<Vec<u8>> {
    let (kind, fields): (u8, Vec<&[u8]>) = match material {
        Material::Certificate { pem } => (CERTIFICATE, vec![pem.expose()]),
        Material::Key { p8, key_id, team_id } => (KEY, vec![p8.expose(), key_id.as_bytes(), team_id.as_bytes()]),
    };
    // Reserved in advance: a growing vector would leave copies of the key in memory.
    let mut bytes = Vec::with_capacity(1 + fields.iter().map(|field| 4 + field.len()).sum::<usize>());
    bytes.push(kind);
    for field in fields {
        let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(field);
    }
    Zeroizing::new(bytes)
}

/// Parses the output of [`write()`]; `None` for anything else.
pub fn read(bytes: &[u8]) -> Option<Material> {
    let (kind, rest) = bytes.split_first()?;
    match (*kind, split(rest)?.as_slice()) {
        (CERTIFICATE, [pem]) => Some(Material::Certificate { pem: Secret::from(pem.to_vec()) }),
        (KEY, [p8, key_id, team_id]) => {
            Some(Material::Key { p8: Secret::from(p8.to_vec()), key_id: text(key_id)?, team_id: text(team_id)? })
        }
        _ => None,
    }
}

fn split(mut rest: &[u8]) -> Option<Vec<&[u8]>> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (field, after) = after.split_at_checked(length)?;
        fields.push(field);
        rest = after;
    }
    Some(fields)
}

fn text(field: &[u8]) -> Option<String> {
    String::from_utf8(field.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncated_fields_do_not_parse() {
        let key = Material::Key { p8: "p8".into(), key_id: "KEY1234567".into(), team_id: "TEAM123456".into() };
        for material in [Material::Certificate { pem: "pem".into() }, key] {
            let bytes = write(&material);
            assert_eq!(read(&bytes), Some(material));
            for end in 0..bytes.len() {
                assert_eq!(read(&bytes[..end]), None, "{end}");
            }
        }
    }
}
