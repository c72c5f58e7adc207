//! Row 4 of the table: the caller's identity, by client certificate or provider token, and the binding of the
//! connection.

use std::sync::Arc;

use serde::Serialize;

use super::{Context, Push, Rejection};
use crate::certificate::ClientCertificate;
use crate::jwt::{self, Claims};

const MISSING: Rejection = Rejection::new(403, "MissingProviderToken");
const INVALID: Rejection = Rejection::new(403, "InvalidProviderToken");
const EXPIRED: Rejection = Rejection::new(403, "ExpiredProviderToken");
const BAD_ENVIRONMENT: Rejection = Rejection::new(403, "BadEnvironmentKeyInToken");
const BAD_ENVIRONMENT_DOCUMENTED: Rejection = Rejection::new(403, "BadEnvironmentKeyIdInToken");
const UNRELATED: Rejection = Rejection::new(403, "UnrelatedKeyIdInToken");
const TOO_MANY_UPDATES: Rejection = Rejection::new(429, "TooManyProviderTokenUpdates");

const TOKEN_AGE_MAX_SECONDS: i64 = 3600;
const TOKEN_UPDATE_MIN_MS: i64 = 20 * 60 * 1000;
/// Distinct provider tokens whose verification a connection remembers.
const VERIFIED_MAX: usize = 16;

/// The sender of a request, for the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Caller {
    Certificate { uid: String, fingerprint: String },
    Token { team_id: String, key_id: String },
}

/// The credentials that a connection has shown.
#[derive(Default)]
pub struct Credential {
    certificate: Option<ClientCertificate>,
    first: Option<Claims>,
    in_use: Option<InUse>,
    verified: Vec<(Box<[u8]>, Option<Claims>)>,
    caller: Option<Arc<Caller>>,
}

struct InUse {
    header: Box<[u8]>,
    claims: Claims,
    since_ms: i64,
}

impl Credential {
    /// The state of a fresh connection. With a certificate, `authorization` headers are ignored.
    pub fn new(certificate: Option<ClientCertificate>) -> Self {
        let caller = certificate
            .as_ref()
            .map(|shown| Caller::Certificate { uid: shown.uid.clone(), fingerprint: shown.fingerprint.clone() });
        Self { certificate, caller: caller.map(Arc::new), ..Self::default() }
    }

    pub fn certificate(&self) -> Option<&ClientCertificate> {
        self.certificate.as_ref()
    }

    /// The claims of the provider token in use.
    pub fn claims(&self) -> Option<&Claims> {
        self.in_use.as_ref().map(|in_use| &in_use.claims)
    }

    /// The certificate, or the last provider token found good on this connection.
    pub fn caller(&self) -> Option<&Arc<Caller>> {
        self.caller.as_ref()
    }

    /// Rows 4b to 4g.
    pub fn check(&mut self, push: &Push<'_>, context: &Context<'_>) -> Result<(), Rejection> {
        if self.certificate.is_some() {
            return Ok(());
        }
        let header = push.authorization.ok_or(MISSING)?.as_bytes();
        if let Some(in_use) = &self.in_use
            && *in_use.header == *header
        {
            return in_time(&in_use.claims, context);
        }
        let claims = self.verify(header, context).ok_or(INVALID)?;
        in_time(&claims, context)?;
        if !claims.key.environment.meets(context.site.environment) {
            return Err(if context.settings.documented_spelling {
                BAD_ENVIRONMENT_DOCUMENTED
            } else {
                BAD_ENVIRONMENT
            });
        }
        self.bind(header, claims, context)
    }

    /// Each distinct token is verified once per connection, good or bad.
    fn verify(&mut self, header: &[u8], context: &Context<'_>) -> Option<Claims> {
        if let Some((_, claims)) = self.verified.iter().find(|(known, _)| **known == *header) {
            return claims.clone();
        }
        let claims = jwt::verify(header, &context.settings.keys, context.settings.lenient);
        if self.verified.len() == VERIFIED_MAX {
            self.verified.remove(0);
        }
        self.verified.push((header.into(), claims.clone()));
        claims
    }

    /// The first good token binds the connection to its team and key; another one may come after twenty minutes.
    fn bind(&mut self, header: &[u8], claims: Claims, context: &Context<'_>) -> Result<(), Rejection> {
        if let Some(first) = &self.first {
            if first.key.team_id != claims.key.team_id {
                return Err(INVALID);
            }
            let related = first.key.related.as_deref() == Some(claims.key.key_id.as_str());
            if first.key.key_id != claims.key.key_id && !related {
                return Err(UNRELATED);
            }
        }
        if let Some(in_use) = &self.in_use
            && context.now_ms - in_use.since_ms < TOKEN_UPDATE_MIN_MS
        {
            return Err(TOO_MANY_UPDATES);
        }
        let key = &claims.key;
        self.caller = Some(Arc::new(Caller::Token { team_id: key.team_id.clone(), key_id: key.key_id.clone() }));
        self.first.get_or_insert_with(|| claims.clone());
        self.in_use = Some(InUse { header: header.into(), claims, since_ms: context.now_ms });
        Ok(())
    }
}

/// Row 4d.
fn in_time(claims: &Claims, context: &Context<'_>) -> Result<(), Rejection> {
    let now = context.now_ms.div_euclid(1000);
    if claims.issued_at < now - TOKEN_AGE_MAX_SECONDS {
        return Err(EXPIRED);
    }
    if claims.issued_at > now + TOKEN_AGE_MAX_SECONDS {
        return Err(INVALID);
    }
    Ok(())
}
