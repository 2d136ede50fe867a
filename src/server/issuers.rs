//! Tokens that others have made. The settings name the issuers and where their keys are; the kind of key decides the
//! algorithm, never the token: HS256 for a shared secret, EdDSA, ES256 or RS256 for a key of a set, found by its `kid`.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    dangerous::insecure_decode_claims,
    decode, decode_header,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;
use tokio::{sync::Mutex, time::Instant};

use super::{caller::now, config::BadSetting, jwt, mailer};

/// Seconds that an issuer's clock may be ahead of ours. Nothing is added to a token's end.
const AHEAD: i64 = 30;
/// Longer ones are no tokens.
const TOKEN_MAX: usize = 16 * 1024;
/// As long as the database keeps.
const SUBJECT_MAX: usize = 255;
const ISSUER_MAX: usize = 300;
/// A shorter secret than the hash's own length can be guessed.
const SECRET_MIN: usize = 32;
/// A key that was taken out of the set stops working after this long.
const FRESH: Duration = Duration::from_secs(600);
/// When a set could not be read, or is being read: until the next look without need.
const LATER: Duration = Duration::from_secs(30);
/// A set arrives within this time or not at all.
const PATIENCE: Duration = Duration::from_secs(5);
/// A larger set is none.
const SET_MAX: usize = 256 * 1024;
/// Looks at an issuer's set: this many at once, then one each `EVERY`, however many unknown key ids come.
const BURST: u32 = 4;
const EVERY: Duration = Duration::from_secs(15);

/// The issuers of the settings. Cheap to clone.
#[derive(Clone, Default)]
pub struct Issuers(Arc<Vec<Issuer>>);

struct Issuer {
    name: String,
    /// All addresses that this issuer names have been verified by it, says the setting.
    emails_verified: bool,
    rules: Validation,
    keys: Keys,
}

enum Keys {
    Secret(DecodingKey),
    Set(Arc<KeySet>),
}

/// An entry of MOAT_ISSUERS.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    issuer: String,
    audience: String,
    hs256_secret: Option<String>,
    jwks_url: Option<String>,
    jwks_file: Option<PathBuf>,
    #[serde(default)]
    emails_verified: bool,
}

/// What a token of an outside issuer says, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outsider {
    pub issuer: String,
    pub subject: String,
    /// Only one that the issuer has verified.
    pub email: Option<String>,
    /// Seconds since 1970.
    pub issued_at: i64,
    pub expires_at: i64,
}

/// What is read of the claims. Whatever else a token carries (Supabase's `session_id`, `app_metadata`, `user_metadata`) says
/// nothing here: the session is not ours, and the last one is the user's own to write.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    // A time may have a fraction.
    iat: f64,
    exp: f64,
    /// The database role in Supabase's convention; other issuers have none.
    role: Option<String>,
    email: Option<Value>,
    email_verified: Option<Value>,
    #[serde(default)]
    is_anonymous: bool,
}

/// Why a token was refused: for the log alone.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Form(#[from] jsonwebtoken::errors::Error),
    #[error("no key of the issuer fits the token's algorithm and key id")]
    Key,
    #[error("the issuer's keys have never been read")]
    NoKeys,
    #[error("the claim {0} is not one that we take")]
    Claim(&'static str),
}

impl Issuers {
    /// From MOAT_ISSUERS: a list in JSON, or the path of a file with one.
    pub fn read(setting: Option<&str>) -> Result<Self, BadSetting> {
        let bad = |why: String| BadSetting { setting: "MOAT_ISSUERS", why };
        let Some(setting) = setting else { return Ok(Self::default()) };
        let inline = setting.trim_start().starts_with('[');
        let json = if inline {
            setting.to_owned()
        } else {
            fs::read_to_string(setting).map_err(|e| bad(format!("The file {setting} can't be read: {e}")))?
        };
        let entries: Vec<Entry> =
            serde_json::from_str(&json).map_err(|e| bad(format!("This is no list of issuers: {e}")))?;
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| bad(e.to_string()))?;
        let issuers: Result<Vec<Issuer>, String> = entries.into_iter().map(|e| issuer(e, &http)).collect();
        issuers.map(|issuers| Self(Arc::new(issuers))).map_err(bad)
    }

    /// The one issuer there is, if there is just one.
    pub fn only(&self) -> Option<&str> {
        let first = self.0.first()?;
        self.0.iter().all(|issuer| issuer.name == first.name).then_some(first.name.as_str())
    }

    /// `None` when the token names none of these issuers, and so is for somebody else to judge.
    pub async fn verify(&self, token: &str) -> Option<Result<Outsider, Refused>> {
        /// Believed for one thing alone: whose keys to check the token with.
        #[derive(Deserialize)]
        struct Named {
            iss: String,
        }
        if self.0.is_empty() || token.len() > TOKEN_MAX {
            return None;
        }
        let named = insecure_decode_claims::<Named>(token).ok()?.iss;
        let mut outcome = None;
        // An issuer may stand here twice: with its old secret and its new keys, or for two audiences.
        for issuer in self.0.iter().filter(|issuer| issuer.name == named) {
            outcome = Some(issuer.verify(token).await);
            if matches!(outcome, Some(Ok(_))) {
                break;
            }
        }
        outcome
    }
}

fn issuer(entry: Entry, http: &reqwest::Client) -> Result<Issuer, String> {
    let name = entry.issuer;
    if name.is_empty() || name.len() > ISSUER_MAX || name == jwt::ISSUER {
        return Err(format!("{name:?} can't be an issuer's name."));
    }
    if entry.audience.is_empty() {
        return Err(format!("{name}: name the audience that its tokens for this server carry."));
    }
    let keys = match (entry.hs256_secret, entry.jwks_url, entry.jwks_file) {
        (Some(secret), None, None) if secret.len() < SECRET_MIN => {
            return Err(format!("{name}: the secret needs {SECRET_MIN} characters or more."));
        }
        (Some(secret), None, None) => Keys::Secret(DecodingKey::from_secret(secret.as_bytes())),
        (None, Some(url), None) => {
            let url = reqwest::Url::parse(&url).map_err(|e| format!("{name}: {url} is no address: {e}"))?;
            let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
            let loopback = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
            if url.scheme() != "https" && !loopback {
                return Err(format!("{name}: keys that come over plain http are anybody's. Give an https address."));
            }
            Keys::Set(Arc::new(KeySet::new(Source::Url(url, http.clone()))))
        }
        (None, None, Some(path)) => {
            let set = KeySet::new(Source::File(path.clone()));
            set.look_at_file(&path).map_err(|e| format!("{name}: {}: {e}", path.display()))?;
            Keys::Set(Arc::new(set))
        }
        _ => return Err(format!("{name}: give one of hs256_secret, jwks_url and jwks_file.")),
    };
    let mut rules = Validation::new(Algorithm::HS256);
    rules.set_issuer(&[&name]);
    rules.set_audience(&[&entry.audience]);
    rules.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
    rules.validate_nbf = true;
    rules.leeway = AHEAD.unsigned_abs();
    // Takes the leeway away again where it would lengthen a token's life.
    rules.reject_tokens_expiring_in_less_than = AHEAD.unsigned_abs();
    Ok(Issuer { name, emails_verified: entry.emails_verified, rules, keys })
}

impl Issuer {
    async fn verify(&self, token: &str) -> Result<Outsider, Refused> {
        let header = decode_header(token)?;
        // Whoever sets it asks to be refused by those who don't understand what it names.
        if header.crit.is_some() {
            return Err(Refused::Claim("crit"));
        }
        let claims: Claims = match &self.keys {
            Keys::Secret(secret) => decode(token, secret, &self.rules)?.claims,
            Keys::Set(set) => {
                if !matches!(header.alg, Algorithm::EdDSA | Algorithm::ES256 | Algorithm::RS256) {
                    return Err(Refused::Key);
                }
                let key = set.key(header.kid.as_deref().ok_or(Refused::Key)?).await?;
                decode(token, &key.key, &Validation { algorithms: vec![key.algorithm], ..self.rules.clone() })?.claims
            }
        };
        self.outsider(claims)
    }

    fn outsider(&self, claims: Claims) -> Result<Outsider, Refused> {
        if claims.role.is_some_and(|role| role != jwt::ROLE) {
            return Err(Refused::Claim("role"));
        }
        // An account for whoever asks, with nobody behind it.
        if claims.is_anonymous {
            return Err(Refused::Claim("is_anonymous"));
        }
        let subject = claims.sub;
        if subject.is_empty() || subject.len() > SUBJECT_MAX || subject.chars().any(char::is_control) {
            return Err(Refused::Claim("sub"));
        }
        // A token from the future would outlive "signed out everywhere".
        let issued_at = claims.iat as i64;
        if issued_at > now() + AHEAD {
            return Err(Refused::Claim("iat"));
        }
        let verified = match claims.email_verified {
            Some(Value::Bool(verified)) => verified,
            Some(Value::String(verified)) => verified == "true",
            Some(_) => false,
            None => self.emails_verified,
        };
        let email = claims.email.as_ref().and_then(Value::as_str).filter(|_| verified);
        Ok(Outsider {
            issuer: self.name.clone(),
            subject,
            email: email.and_then(|email| mailer::address(email).ok()),
            issued_at,
            expires_at: claims.exp as i64,
        })
    }
}

/// A public key and the one algorithm it is for.
#[derive(Clone)]
struct Key {
    algorithm: Algorithm,
    key: DecodingKey,
}

enum Source {
    Url(reqwest::Url, reqwest::Client),
    File(PathBuf),
}

/// An issuer's keys as they were last read. What can't be read anew stays as it was.
struct KeySet {
    source: Source,
    held: RwLock<Held>,
    /// One look at a time, and not too many.
    looks: Mutex<Looks>,
}

#[derive(Default)]
struct Held {
    /// `None` until the set has been read once.
    keys: Option<HashMap<String, Key>>,
    /// When it is looked for another one without need.
    again: Option<Instant>,
    /// How often it has been looked, successfully or not.
    looked: u64,
    /// Of the file that was last looked at.
    stamp: Option<(SystemTime, u64)>,
}

struct Looks {
    free_at: Instant,
}

impl KeySet {
    fn new(source: Source) -> Self {
        Self { source, held: RwLock::default(), looks: Mutex::new(Looks { free_at: Instant::now() }) }
    }

    async fn key(self: &Arc<Self>, kid: &str) -> Result<Key, Refused> {
        if let Source::File(path) = &self.source {
            if let Err(error) = self.look_at_file(path) {
                tracing::warn!(%error, path = %path.display(), "an issuer's keys can't be read; the last ones hold");
            }
            return self.known(kid).0.ok_or(Refused::Key);
        }
        let (known, looked) = self.known(kid);
        if let Some(key) = known {
            if self.is_due() {
                let set = self.clone();
                tokio::spawn(async move { set.look(looked).await });
            }
            return Ok(key);
        }
        self.look(looked).await;
        match self.known(kid).0 {
            Some(key) => Ok(key),
            None if self.held(|held| held.keys.is_none()) => Err(Refused::NoKeys),
            None => Err(Refused::Key),
        }
    }

    fn known(&self, kid: &str) -> (Option<Key>, u64) {
        self.held(|held| (held.keys.as_ref().and_then(|keys| keys.get(kid).cloned()), held.looked))
    }

    /// True for one caller at a time.
    fn is_due(&self) -> bool {
        self.held(|held| {
            let due = held.again.is_none_or(|again| again <= Instant::now());
            if due {
                held.again = Some(Instant::now() + LATER);
            }
            due
        })
    }

    /// Reads the set anew, unless somebody else has done so since `looked` or it was done too often.
    async fn look(&self, looked: u64) {
        let Source::Url(url, http) = &self.source else { return };
        let mut looks = self.looks.lock().await;
        if self.held(|held| held.looked) != looked {
            return;
        }
        let now = Instant::now();
        let free_at = looks.free_at.max(now) + EVERY;
        if free_at > now + EVERY * BURST {
            tracing::debug!(%url, "an issuer's keys were looked at often enough");
            return;
        }
        looks.free_at = free_at;
        let read = match tokio::time::timeout(PATIENCE, fetch(url, http)).await {
            Ok(read) => read,
            Err(_) => Err("it takes too long".to_owned()),
        };
        self.held(|held| {
            held.looked += 1;
            match read {
                Ok(keys) => {
                    held.keys = Some(keys);
                    held.again = Some(Instant::now() + FRESH);
                }
                Err(error) => {
                    tracing::warn!(%url, error, "an issuer's keys can't be read; the last ones hold");
                    held.again = Some(Instant::now() + LATER);
                }
            }
        });
    }

    /// Reads the file if it is another one than the last time.
    fn look_at_file(&self, path: &Path) -> Result<(), String> {
        let said = |e: std::io::Error| e.to_string();
        let about = fs::metadata(path).map_err(said)?;
        let stamp = Some((about.modified().map_err(said)?, about.len()));
        if self.held(|held| std::mem::replace(&mut held.stamp, stamp) == stamp) {
            return Ok(());
        }
        let keys = parse(&fs::read(path).map_err(said)?)?;
        self.held(|held| held.keys = Some(keys));
        Ok(())
    }

    /// No code panics while holding it.
    fn held<T>(&self, with: impl FnOnce(&mut Held) -> T) -> T {
        with(&mut self.held.write().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn fetch(url: &reqwest::Url, http: &reqwest::Client) -> Result<HashMap<String, Key>, String> {
    let said = |e: reqwest::Error| e.without_url().to_string();
    let mut answer = http.get(url.clone()).send().await.map_err(said)?;
    if !answer.status().is_success() {
        return Err(format!("status {}", answer.status()));
    }
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(said)? {
        body.extend_from_slice(&piece);
        if body.len() > SET_MAX {
            return Err("it is too large".to_owned());
        }
    }
    parse(&body)
}

/// The keys that we can use, by id. Others in the set are left out; something that is no set is an error.
fn parse(json: &[u8]) -> Result<HashMap<String, Key>, String> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let set: Set = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    let mut keys = HashMap::new();
    for value in set.keys {
        let Ok(jwk) = serde_json::from_value::<Jwk>(value) else { continue };
        if let (Some(kid), Some(algorithm), Ok(key)) =
            (&jwk.common.key_id, algorithm(&jwk), DecodingKey::from_jwk(&jwk))
        {
            keys.entry(kid.clone()).or_insert(Key { algorithm, key });
        }
    }
    Ok(keys)
}

/// What a key is for. A secret in a set that is public is no secret, so there is none among these.
fn algorithm(jwk: &Jwk) -> Option<Algorithm> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return None,
    };
    let common = &jwk.common;
    let said = common.key_algorithm.is_none_or(|said| said == KeyAlgorithm::from(algorithm));
    let signs = common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    let verifies = common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
    (said && signs && verifies).then_some(algorithm)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: &[u8] = br#"{"keys": [
        {"kty": "OKP", "crv": "Ed25519", "kid": "old", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        {"kty": "OKP", "crv": "X25519", "kid": "agrees", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        {"kty": "EC", "crv": "P-384", "kid": "longer", "x": "AA", "y": "AA"},
        {"kty": "oct", "kid": "secret", "k": "AAAA"}, {"kty": "of tomorrow", "kid": "new"}, {"kty": 7}, 7
    ]}"#;

    #[test]
    fn keys_that_we_can_not_use_are_left_out_of_a_set() {
        let keys = parse(SET).unwrap();
        assert_eq!(keys.keys().collect::<Vec<_>>(), ["old"]);
        assert!(parse(b"[]").is_err() && parse(b"{}").is_err() && parse(b"").is_err());
    }

    #[tokio::test]
    async fn a_set_that_was_not_looked_at_for_long_is_read_again_behind_the_request_that_notices() {
        let (asked, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let app = axum::Router::new().route(
            "/",
            axum::routing::get(move || {
                let _ = asked.send(());
                async { r#"{"keys": []}"# }
            }),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = reqwest::Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        let set = Arc::new(KeySet::new(Source::Url(url, reqwest::Client::new())));
        set.held(|held| {
            held.keys = parse(SET).ok();
            held.again = Some(Instant::now() + FRESH);
        });
        assert!(set.key("old").await.is_ok());
        assert!(heard.is_empty(), "it was fresh");
        set.held(|held| held.again = Some(Instant::now()));
        assert!(set.key("old").await.is_ok(), "nobody waits for it");
        tokio::time::timeout(Duration::from_secs(60), heard.recv()).await.unwrap();
        drop(set.looks.lock().await);
        assert!(set.key("old").await.is_err(), "a key that was taken out still works");
    }
}
