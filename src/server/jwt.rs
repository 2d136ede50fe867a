//! Access tokens of our own: HS256, five minutes, one key id. What a token says is believed only after the algorithm, the
//! key, the audience, the issuer, the times and the role are all as we make them.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};

use crate::types::{SessionId, UserId, WorkspaceId};

const KEY_ID: &str = "moat-1";
/// Nobody else's name.
pub const ISSUER: &str = "moat";
const AUDIENCE: &str = "authenticated";
/// The only database role that a user's token may name.
pub const ROLE: &str = "authenticated";
/// Seconds that an access token lives.
pub const LIFETIME: i64 = 300;

/// What a token carries. `role` is the database role, never a role of the product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub sub: UserId,
    pub sid: SessionId,
    pub role: String,
    pub aud: String,
    pub iss: String,
    pub iat: i64,
    pub exp: i64,
    /// The workspace that a program acts in. Browsers' tokens have none: there each request says where it acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org_id: Option<WorkspaceId>,
}

/// Signs and checks.
#[derive(Clone)]
pub struct Tokens {
    key: EncodingKey,
    check: DecodingKey,
    rules: Validation,
}

/// Why a token was refused: for the log alone, since every caller hears the same.
#[derive(Debug, thiserror::Error)]
pub enum BadToken {
    #[error(transparent)]
    Form(#[from] jsonwebtoken::errors::Error),
    #[error("unknown key id")]
    Key,
    #[error("another role")]
    Role,
}

impl Tokens {
    pub fn new(secret: &[u8]) -> Self {
        let mut rules = Validation::new(Algorithm::HS256);
        rules.set_issuer(&[ISSUER]);
        rules.set_audience(&[AUDIENCE]);
        rules.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        rules.leeway = 0;
        rules.validate_nbf = true;
        Self { key: EncodingKey::from_secret(secret), check: DecodingKey::from_secret(secret), rules }
    }

    /// A token for a session, issued at `now` (seconds since 1970).
    pub fn mint(&self, user: UserId, session: SessionId, now: i64) -> Result<String, BadToken> {
        self.sign(user, session, None, now, now + LIFETIME)
    }

    /// The same for a program, in a workspace, until `exp`.
    pub fn mint_in(
        &self,
        user: UserId,
        session: SessionId,
        workspace: WorkspaceId,
        now: i64,
        exp: i64,
    ) -> Result<String, BadToken> {
        self.sign(user, session, Some(workspace), now, exp)
    }

    fn sign(
        &self,
        user: UserId,
        session: SessionId,
        workspace: Option<WorkspaceId>,
        now: i64,
        exp: i64,
    ) -> Result<String, BadToken> {
        let header = Header { kid: Some(KEY_ID.into()), ..Header::new(Algorithm::HS256) };
        let claims = Claims {
            sub: user,
            sid: session,
            role: ROLE.into(),
            aud: AUDIENCE.into(),
            iss: ISSUER.into(),
            iat: now,
            exp,
            org_id: workspace,
        };
        Ok(encode(&header, &claims, &self.key)?)
    }

    pub fn verify(&self, token: &str) -> Result<Claims, BadToken> {
        if decode_header(token)?.kid.as_deref() != Some(KEY_ID) {
            return Err(BadToken::Key);
        }
        let claims = decode::<Claims>(token, &self.check, &self.rules)?.claims;
        if claims.role != ROLE {
            return Err(BadToken::Role);
        }
        Ok(claims)
    }
}
