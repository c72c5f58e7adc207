//! The checks that broadcasts and channel management share: credential, app, request id and rate.

use http::HeaderValue;

use super::{Context, Credential, Push, Rejection, headers};
use crate::channels::Missing;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const TOPIC_DISALLOWED: Rejection = Rejection::new(400, "TopicDisallowed");
const TOPIC_MISMATCH: Rejection = Rejection::new(403, "TopicMismatch");
const FEATURE_NOT_ENABLED: Rejection = Rejection::new(400, "BroadcastFeatureNotEnabled");
const FEATURE_NOT_ENABLED_DOCUMENTED: Rejection = Rejection::new(400, "FeatureNotEnabled");
const BAD_MESSAGE_ID: Rejection = Rejection::new(400, "BadMessageId");
const MISSING_CHANNEL_ID: Rejection = Rejection::new(400, "MissingChannelId");
const BAD_CHANNEL_ID: Rejection = Rejection::new(400, "BadChannelId");
const CHANNEL_NOT_REGISTERED: Rejection = Rejection::new(400, "ChannelNotRegistered");
const TOO_MANY_REQUESTS: Rejection = Rejection::new(429, "TooManyRequests");

/// Characters of a channel id. Apple's have 24.
const CHANNEL_ID_LENGTH_MAX: usize = 128;

/// The checks of every request for an app.
pub fn check(
    bundle: &str,
    push: &Push<'_>,
    credential: &mut Credential,
    context: &Context<'_>,
) -> Result<(), Rejection> {
    headers::duplicates(push)?;
    credential.check(push, context)?;
    if headers::suffixes().any(|suffix| bundle.ends_with(suffix)) {
        return Err(TOPIC_DISALLOWED);
    }
    if !covers(credential, bundle) {
        return Err(TOPIC_MISMATCH);
    }
    if !context.channels.has_broadcast(bundle) {
        return Err(if context.settings.documented_spelling {
            FEATURE_NOT_ENABLED_DOCUMENTED
        } else {
            FEATURE_NOT_ENABLED
        });
    }
    if push.id.is_some_and(|id| !headers::is_canonical_uuid(id.as_bytes())) {
        return Err(BAD_MESSAGE_ID);
    }
    match context.channel_rates {
        Some(rates) if !rates.count(bundle, context.now_ms) => Err(TOO_MANY_REQUESTS),
        _ => Ok(()),
    }
}

/// A credential covers an app by its bundle id alone.
fn covers(credential: &Credential, bundle: &str) -> bool {
    if let Some(certificate) = credential.certificate() {
        return certificate.topics.iter().any(|covered| covered == bundle);
    }
    let listed = credential.claims().and_then(|claims| claims.key.topics.as_deref());
    listed.is_none_or(|bundles| bundles.iter().any(|covered| covered == bundle))
}

/// The id of the channel that the request names.
pub fn channel_id<'a>(push: &Push<'a>) -> Result<&'a str, Rejection> {
    let id: &HeaderValue = push.channel_id.ok_or(MISSING_CHANNEL_ID)?;
    let id = id.to_str().map_err(|_| BAD_CHANNEL_ID)?;
    let decodes = STANDARD.decode(id).is_ok_and(|bytes| !bytes.is_empty());
    if id.len() > CHANNEL_ID_LENGTH_MAX || !decodes { Err(BAD_CHANNEL_ID) } else { Ok(id) }
}

/// The answer for a channel that is not there, as seen in the sandbox.
pub fn absent(missing: Missing) -> Rejection {
    match missing {
        Missing::Deleted => CHANNEL_NOT_REGISTERED,
        Missing::NeverExisted => BAD_CHANNEL_ID,
    }
}

/// Returns `true` for a bundle id as Apple allows them.
pub fn is_bundle(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-')
}
