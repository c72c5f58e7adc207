//! The body that provisions an app: a JSON object, or the certificate's file as it is.

use crate::api::json;
use crate::api::object::{Object, ObjectFault};
use std::time::Duration;
use zeroize::Zeroizing;

/// Longest text of a certificate or key, in bytes.
const CREDENTIAL_BYTES_MAX: usize = 64 << 10;
/// Seconds.
const CONNECT_TIMEOUT: std::ops::RangeInclusive<f64> = 1.0..=300.0;

/// What a caller gave. No `Debug`: it holds private keys.
#[derive(Default)]
pub struct Provisioning {
    /// PEM text, or a path on the server.
    pub certificate: Option<Zeroizing<String>>,
    /// .p8 text, or a path on the server.
    pub key: Option<Zeroizing<String>>,
    pub key_id: Option<String>,
    pub team_id: Option<String>,
    pub topic: Option<String>,
    pub lanes: Option<u16>,
    /// For connecting to Apple.
    pub timeout: Option<Duration>,
}

/// Reads a provisioning body.
pub fn read(body: &[u8]) -> Result<Provisioning, ObjectFault> {
    let text = json::text(body)?;
    if text.trim_start().starts_with("-----BEGIN ") || text.trim_start().starts_with("Bag Attributes") {
        return Ok(Provisioning { certificate: Some(short("certificate", text)?), ..Provisioning::default() });
    }
    let mut object = Object::read(text)?;
    object.refuse("pkcs12", "turn it into PEM with `openssl pkcs12 -in FILE -nodes`")?;
    object.refuse("passphrase", "give the key without one: `openssl rsa -in FILE`")?;
    let pem = "a string: PEM text, or a path on the server";
    let timeout = "a number of seconds from 1 to 300";
    let read = Provisioning {
        certificate: secret(&mut object, "certificate", pem)?,
        key: secret(&mut object, "key", pem)?,
        key_id: object.take("key_id", "a string: the ten characters Apple shows beside the key")?,
        team_id: object.take("team_id", "a string: the ten characters of your Apple team")?,
        topic: object.take("topic", "a string: the app's bundle id")?,
        lanes: object.take("lanes", "an integer from 1 to 64")?,
        timeout: match object.take("timeout", timeout)? {
            Some(seconds) if CONNECT_TIMEOUT.contains(&seconds) => Some(Duration::from_secs_f64(seconds)),
            Some(_) => return Err(ObjectFault::WrongType { name: "timeout", expected: timeout }),
            None => None,
        },
    };
    object.finish()?;
    Ok(read)
}

fn secret(
    object: &mut Object<'_>,
    name: &'static str,
    expected: &'static str,
) -> Result<Option<Zeroizing<String>>, ObjectFault> {
    let text = object.take::<String>(name, expected)?.map(Zeroizing::new);
    text.map(|text| short(name, &text)).transpose()
}

fn short(name: &'static str, text: &str) -> Result<Zeroizing<String>, ObjectFault> {
    if text.len() > CREDENTIAL_BYTES_MAX {
        return Err(ObjectFault::WrongType { name, expected: "at most 64 KiB of text" });
    }
    Ok(Zeroizing::new(text.to_owned()))
}
