//! The server's keys: all derived from one secret, each for one purpose.

use aws_lc_rs::{digest, hmac, rand};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// Never printed, never sent.
#[derive(Clone)]
pub struct Keys {
    refresh: hmac::Key,
    live: hmac::Key,
    code: hmac::Key,
    /// Signs our own access tokens (HS256).
    pub jwt: Vec<u8>,
}

/// An opaque refresh token as the cookie has it: 32 bytes, base64url.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken(String);

/// The token of a mailed link: the same 32 bytes, stored as the same hash.
pub type LinkToken = RefreshToken;

#[derive(Debug, thiserror::Error)]
#[error("The system gives no random bytes.")]
pub struct NoRandomness;

impl Keys {
    pub fn new(secret: &[u8]) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derive = |purpose: &str| hmac::sign(&root, purpose.as_bytes()).as_ref().to_vec();
        Self {
            refresh: hmac::Key::new(hmac::HMAC_SHA256, &derive("moat refresh token v1")),
            live: hmac::Key::new(hmac::HMAC_SHA256, &derive("moat live channel v1")),
            code: hmac::Key::new(hmac::HMAC_SHA256, &derive("moat code v1")),
            jwt: derive("moat access token v1"),
        }
    }

    /// The one child of a refresh token: whoever holds the parent and asks twice gets the same one, and nobody without
    /// the key can work it out.
    pub fn child(&self, parent: &RefreshToken) -> RefreshToken {
        RefreshToken(URL_SAFE_NO_PAD.encode(hmac::sign(&self.refresh, parent.0.as_bytes())))
    }

    /// What is stored of a code: without the key, its six digits can't be found by trying.
    pub fn code(&self, ask: uuid::Uuid, code: &str) -> Vec<u8> {
        hmac::sign(&self.code, format!("{ask} {code}").as_bytes()).as_ref().to_vec()
    }

    /// Names the channel over which one browser's tabs share their stream, without naming the user.
    pub fn live_channel(&self, user: crate::types::UserId) -> String {
        URL_SAFE_NO_PAD.encode(&hmac::sign(&self.live, user.0.as_bytes()).as_ref()[..12])
    }
}

impl RefreshToken {
    pub fn fresh() -> Result<Self, NoRandomness> {
        let mut bytes = [0u8; 32];
        rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// `None` for anything that can't be one.
    pub fn parse(text: &str) -> Option<Self> {
        (URL_SAFE_NO_PAD.decode(text).ok()?.len() == 32).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is stored.
    pub fn hash(&self) -> Vec<u8> {
        digest::digest(&digest::SHA256, self.0.as_bytes()).as_ref().to_vec()
    }
}

/// A token that somebody sends as a bearer and that opens one thing: a word tells it from a JWT and from the others, and its hash is stored.
macro_rules! bearer {
    ($(#[$doc:meta])* $name:ident, $mark:literal) => {
        $(#[$doc])*
        pub struct $name(RefreshToken);

        impl $name {
            pub fn fresh() -> Result<Self, NoRandomness> {
                Ok(Self(RefreshToken::fresh()?))
            }

            /// `None` for anything that can't be one.
            pub fn parse(bearer: &str) -> Option<Self> {
                RefreshToken::parse(bearer.strip_prefix($mark)?).map(Self)
            }

            pub fn as_bearer(&self) -> String {
                format!("{}{}", $mark, self.0.as_str())
            }

            /// What is stored.
            pub fn hash(&self) -> Vec<u8> {
                self.0.hash()
            }
        }
    };
}

bearer!(
    /// What opens a visitor's conversation, as their page sends it.
    VisitorToken,
    "visitor."
);
bearer!(
    /// What a workspace's program shows that brings customers' words.
    RelayToken,
    "relay."
);

/// Six digits.
pub fn fresh_code() -> Result<String, NoRandomness> {
    let mut bytes = [0u8; 8];
    rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(format!("{:06}", u64::from_le_bytes(bytes) % 1_000_000))
}

/// A new secret for a data folder.
pub fn fresh_secret() -> Result<String, NoRandomness> {
    Ok(RefreshToken::fresh()?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_depends_on_its_parent_and_on_the_key_and_on_nothing_else() {
        let (ours, theirs) = (Keys::new(b"one secret"), Keys::new(b"another secret"));
        let (a, b) = (RefreshToken::fresh().unwrap(), RefreshToken::fresh().unwrap());
        assert!(ours.child(&a) == ours.child(&a));
        assert!(ours.child(&a) != ours.child(&b));
        assert!(ours.child(&a) != theirs.child(&a));
        assert!(RefreshToken::parse(ours.child(&a).as_str()).is_some());
    }

    #[test]
    fn nothing_but_32_bytes_is_a_refresh_token() {
        for text in ["", "a", "not base64 !", &"A".repeat(42), &"A".repeat(400)] {
            assert!(RefreshToken::parse(text).is_none(), "{text}");
        }
    }
}
