//! Tokens that others have made: real keys of every kind, a real server of keys that rolls them.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use axum::{
    Router,
    body::Body,
    extract::State,
    http::{Request, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use moat::{
    accounts::sql::outside_user,
    server::{caller::now, issuers::Issuers, lanes::Reason},
};
use serde_json::{Value, json};
use sqlx::Executor;

use crate::harness::{Answer, App, DEADLINE, post, raw_post};

const ISS: &str = "https://project.example/auth/v1";
const SECRET: &str = "a secret that is shared with the issuer";
const ADA: &str = "a0000000-0000-4000-8000-000000000001";
const LIST: &str = "threads/server_fns/list_threads";
const WHOAMI: &str = "accounts/server_fns/whoami";

/// A key that signs, and what a set says of it.
struct Key {
    sign: EncodingKey,
    algorithm: Algorithm,
    kid: String,
    jwk: Value,
}

impl Key {
    fn new(algorithm: Algorithm, kid: &str) -> Self {
        let sign = match algorithm {
            Algorithm::EdDSA => {
                EncodingKey::from_ed_der(Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap().as_ref())
            }
            Algorithm::ES256 => EncodingKey::from_ec_der(
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap().as_ref(),
            ),
            Algorithm::RS256 => {
                let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
                // The library wants the key itself, which stands behind the 26 bytes that say what it is.
                EncodingKey::from_rsa_der(&pair.as_der().unwrap().as_ref()[26..])
            }
            other => panic!("{other:?}"),
        };
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&sign, algorithm).unwrap()).unwrap();
        jwk["kid"] = json!(kid);
        jwk["use"] = json!("sig");
        Self { sign, algorithm, kid: kid.into(), jwk }
    }

    fn token(&self, claims: &Value) -> String {
        encode(&Header { kid: Some(self.kid.clone()), ..Header::new(self.algorithm) }, claims, &self.sign).unwrap()
    }
}

fn set(keys: &[&Key]) -> Value {
    json!({ "keys": keys.iter().map(|key| key.jwk.clone()).collect::<Vec<_>>() })
}

/// What Supabase puts into a token of a signed-in person.
fn claims(sub: &str) -> Value {
    json!({
        "iss": ISS, "aud": "authenticated", "sub": sub, "role": "authenticated", "iat": now() - 600, "exp": now() + 300,
        "email": "ada@example.org", "phone": "", "session_id": "b0000000-0000-4000-8000-000000000001",
        "app_metadata": { "provider": "email", "providers": ["email"] }, "user_metadata": { "email_verified": true },
        "aal": "aal1", "amr": [{ "method": "password", "timestamp": now() - 600 }], "is_anonymous": false,
    })
}

fn with(change: &[(&str, Value)]) -> Value {
    let mut all = claims(ADA);
    for (name, value) in change {
        match value {
            Value::Null => drop(all.as_object_mut().unwrap().remove(*name)),
            value => all[*name] = value.clone(),
        }
    }
    all
}

fn hs(claims: &Value) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// A server of keys.
#[derive(Clone, Default)]
struct Keys(Arc<(Mutex<(StatusCode, Value)>, AtomicUsize)>);

impl Keys {
    async fn serving(value: Value) -> (Self, String) {
        let keys = Self::default();
        keys.now(StatusCode::OK, value);
        async fn answer(State(keys): State<Keys>) -> Response {
            keys.0.1.fetch_add(1, Ordering::Relaxed);
            let (status, value) = keys.0.0.lock().unwrap().clone();
            (status, axum::Json(value)).into_response()
        }
        let app = Router::new().route("/jwks.json", get(answer)).with_state(keys.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (keys, url)
    }

    fn now(&self, status: StatusCode, value: Value) {
        *self.0.0.lock().unwrap() = (status, value);
    }

    fn asked(&self) -> usize {
        self.0.1.load(Ordering::Relaxed)
    }
}

async fn app_with(issuers: Value, more: &[&str]) -> App {
    let issuers = issuers.to_string();
    App::with(&[&["--issuers", issuers.as_str()], more].concat()).await
}

async fn app_of_secret(more: &[&str]) -> App {
    app_with(json!([{ "issuer": ISS, "audience": "authenticated", "hs256_secret": SECRET }]), more).await
}

async fn ask(app: &App, token: &str, function: &str) -> Answer {
    let mut request = post(&format!("/api/moat/{function}"), &[]);
    request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
    app.send(request).await
}

/// Who our users are, with their addresses and subjects.
async fn people(app: &App) -> Vec<(Option<String>, String)> {
    sqlx::query_as("select u.email, i.subject from app.users u join app.identities i on i.user_id = u.id order by 2, 1")
        .fetch_all(&mut app.db.superuser().await)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_token_of_each_kind_of_key_works_on_every_server_function() {
    let keys = [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256].map(|alg| Key::new(alg, &format!("{alg:?}")));
    let (_server, url) = Keys::serving(set(&keys.each_ref())).await;
    // An issuer that is on its way from a secret to keys stands there with both.
    let app = app_with(
        json!([
            { "issuer": ISS, "audience": "authenticated", "jwks_url": url },
            { "issuer": ISS, "audience": "authenticated", "hs256_secret": SECRET },
        ]),
        &[],
    )
    .await;
    let mut tokens: Vec<String> = keys.iter().map(|key| key.token(&claims(ADA))).collect();
    tokens.push(hs(&claims(ADA)));
    for token in &tokens {
        for (path, _) in leptos::server_fn::axum::server_fn_paths() {
            let mut request = raw_post(path, "");
            request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
            let status = app.send(request).await.status;
            // What a customer's page asks for needs a token of another kind.
            if path.contains("/widget/") {
                continue;
            }
            assert_ne!(status, StatusCode::UNAUTHORIZED, "{path}");
            assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        }
        assert_eq!(ask(&app, token, WHOAMI).await.status, 200);
        assert_eq!(ask(&app, token, LIST).await.status, 200);
    }
    assert_eq!(people(&app).await.len(), 1, "one person, whatever signed for them");
}

#[tokio::test]
async fn what_an_issuers_person_writes_is_theirs_alone() {
    let app = app_of_secret(&[]).await;
    let ours = app.sign_up("grace@example.org").await;
    let mut request = post(
        "/api/moat/threads/server_fns/start_thread",
        &[("client", "c0000000-0000-4000-8000-000000000001"), ("text", "hello")],
    );
    request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {}", hs(&claims(ADA))).parse().unwrap());
    let posted = app.send(request).await;
    assert_eq!(posted.status, 200, "{}", posted.body);
    let thread = posted.json()["thread"].as_str().unwrap().to_owned();
    assert_eq!(ask(&app, &hs(&claims(ADA)), LIST).await.json()["rows"].as_array().unwrap().len(), 1);
    assert_eq!(ask(&app, &hs(&claims("another")), LIST).await.json()["rows"], json!([]));
    assert_eq!(app.call(Some(&ours), LIST, &[]).await.json()["rows"], json!([]));
    let read = app.call(Some(&ours), "threads/server_fns/open_thread", &[("thread", &thread)]).await;
    assert_eq!(read.status, 404);
}

#[tokio::test]
async fn a_token_that_is_not_wholly_right_is_refused_with_the_one_body() {
    let [ed, es, rs] = [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256].map(|a| Key::new(a, &format!("{a:?}")));
    let stranger = Key::new(Algorithm::ES256, "ES256");
    let mut encrypts = Key::new(Algorithm::ES256, "enc");
    encrypts.jwk["use"] = json!("enc");
    let mut misnamed = Key::new(Algorithm::RS256, "misnamed");
    misnamed.jwk["alg"] = json!("RS512");
    let mut published = set(&[&ed, &es, &rs, &encrypts, &misnamed]);
    // A secret in a set that everybody can read.
    published["keys"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "kty": "oct", "kid": "oct", "alg": "HS256", "k": B64.encode(SECRET) }));
    let (_server, url) = Keys::serving(published.clone()).await;
    const OLD: &str = "https://old.example/auth";
    let app = app_with(
        json!([
            { "issuer": ISS, "audience": "authenticated", "jwks_url": url },
            { "issuer": OLD, "audience": "authenticated", "hs256_secret": SECRET },
        ]),
        &[],
    )
    .await;
    let good = claims(ADA);
    assert_eq!(ask(&app, &es.token(&good), LIST).await.status, 200);
    let old = |change: &[(&str, Value)]| {
        let mut all = with(change);
        if !change.iter().any(|(name, _)| *name == "iss") {
            all["iss"] = json!(OLD);
        }
        hs(&all)
    };
    assert_eq!(ask(&app, &old(&[]), LIST).await.status, 200);

    let part = |value: Value| B64.encode(value.to_string());
    let forged = |head: Value| format!("{}.{}.", part(head), part(good.clone()));
    let under = |alg: Algorithm, kid: &str, secret: &[u8]| {
        let header = Header { kid: Some(kid.into()), ..Header::new(alg) };
        encode(&header, &good, &EncodingKey::from_secret(secret)).unwrap()
    };
    let modulus = B64.decode(rs.jwk["n"].as_str().unwrap()).unwrap();
    let point = B64.decode(ed.jwk["x"].as_str().unwrap()).unwrap();
    let mut critical = Header { kid: Some("ES256".into()), ..Header::new(Algorithm::ES256) };
    critical.crit = Some(vec!["b64".into()]);
    let unnamed = Header::new(Algorithm::ES256);
    let swapped = {
        let (ada, eve) = (es.token(&good), es.token(&claims("eve")));
        let [head, _, signature] = ada.split('.').collect::<Vec<_>>()[..] else { panic!() };
        format!("{head}.{}.{signature}", eve.split('.').nth(1).unwrap())
    };
    let mut bad = vec![
        ("alg none", forged(json!({ "alg": "none", "kid": "ES256" }))),
        ("alg nOnE", forged(json!({ "alg": "nOnE", "kid": "ES256" }))),
        ("the public key as a secret", under(Algorithm::HS256, "RS256", &modulus)),
        ("the other public key as a secret", under(Algorithm::HS256, "EdDSA", &point)),
        ("the set's text as a secret", under(Algorithm::HS256, "RS256", published.to_string().as_bytes())),
        ("a secret from the public set", under(Algorithm::HS256, "oct", SECRET.as_bytes())),
        ("another issuer's secret", under(Algorithm::HS256, "ES256", SECRET.as_bytes())),
        ("one key's id on another's signature", {
            encode(&Header { kid: Some("EdDSA".into()), ..Header::new(Algorithm::ES256) }, &good, &es.sign).unwrap()
        }),
        ("another algorithm of the same key", {
            encode(&Header { kid: Some("RS256".into()), ..Header::new(Algorithm::RS512) }, &good, &rs.sign).unwrap()
        }),
        ("another algorithm of the same family", {
            encode(&Header { kid: Some("RS256".into()), ..Header::new(Algorithm::PS256) }, &good, &rs.sign).unwrap()
        }),
        ("a key that is for encrypting", encrypts.token(&good)),
        ("a key that is for another algorithm", misnamed.token(&good)),
        ("an unknown kid", Key::new(Algorithm::ES256, "unknown").token(&good)),
        ("no kid", encode(&unnamed, &good, &es.sign).unwrap()),
        ("a stranger's key under a known kid", stranger.token(&good)),
        ("a key of its own in the header", {
            let mut header = Header { kid: Some("ES256".into()), ..Header::new(Algorithm::ES256) };
            header.jwk = serde_json::from_value(stranger.jwk.clone()).ok();
            encode(&header, &good, &stranger.sign).unwrap()
        }),
        ("a header that must be understood", encode(&critical, &good, &es.sign).unwrap()),
        ("another person's claims", swapped),
        ("another secret", {
            let claims = with(&[("iss", json!(OLD))]);
            encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(b"another")).unwrap()
        }),
        ("a longer hash of the secret", {
            let claims = with(&[("iss", json!(OLD))]);
            encode(&Header::new(Algorithm::HS384), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
        }),
        ("an endless token", format!("{}.{}", es.token(&good), "A".repeat(20_000))),
    ];
    for (what, change) in [
        ("an issuer that is not configured", vec![("iss", json!("https://evil.example"))]),
        ("two issuers", vec![("iss", json!([ISS, OLD]))]),
        ("our own name", vec![("iss", json!("moat"))]),
        ("no issuer", vec![("iss", Value::Null)]),
        ("another audience", vec![("aud", json!("anon"))]),
        ("no audience", vec![("aud", Value::Null)]),
        ("an audience among which we are not", vec![("aud", json!(["a", "b"]))]),
        ("expired", vec![("exp", json!(now() - 1))]),
        ("no end", vec![("exp", Value::Null)]),
        ("an end that is no time", vec![("exp", json!("tomorrow"))]),
        ("not yet", vec![("nbf", json!(now() + 120))]),
        ("from the future", vec![("iat", json!(now() + 120))]),
        ("from no time", vec![("iat", Value::Null)]),
        ("no subject", vec![("sub", Value::Null)]),
        ("an empty subject", vec![("sub", json!(""))]),
        ("a subject that is no text", vec![("sub", json!(7))]),
        ("a subject that can't be stored", vec![("sub", json!("a\0b"))]),
        ("an endless subject", vec![("sub", json!("x".repeat(256)))]),
        ("the key of the whole project", vec![("role", json!("service_role"))]),
        ("nobody in particular", vec![("role", json!("anon"))]),
        ("a lane of ours", vec![("role", json!("service"))]),
        ("the owner of it all", vec![("role", json!("postgres"))]),
        ("a person without a name", vec![("is_anonymous", json!(true))]),
    ] {
        bad.push((what, es.token(&with(&change))));
        bad.push((what, old(&change)));
    }
    let before = people(&app).await;
    let mut bodies = BTreeSet::new();
    for (what, token) in bad {
        for function in [LIST, WHOAMI] {
            let answer = ask(&app, &token, function).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}: {}", answer.body);
            bodies.insert(answer.body);
        }
    }
    assert_eq!(bodies.into_iter().collect::<Vec<_>>(), [r#"{"error":"unauthenticated"}"#]);
    assert_eq!(people(&app).await, before, "a token that is refused makes nobody");
    // With a role that is left out, as other issuers do, with a clock a little ahead, with a fraction, among audiences.
    for change in [
        vec![("role", Value::Null)],
        vec![("nbf", json!(now() + 10)), ("iat", json!(now() + 10))],
        vec![("exp", json!(now() as f64 + 99.5)), ("iat", json!(now() as f64 - 0.5))],
        vec![("aud", json!(["other", "authenticated"]))],
    ] {
        assert_eq!(ask(&app, &es.token(&with(&change)), LIST).await.status, 200, "{change:?}");
    }
}

#[tokio::test]
async fn keys_roll_over_without_a_restart_and_the_last_good_ones_are_kept() {
    let [old, new, newest] = ["old", "new", "newest"].map(|kid| Key::new(Algorithm::EdDSA, kid));
    let (server, url) = Keys::serving(set(&[&old])).await;
    let app = app_with(json!([{ "issuer": ISS, "audience": "authenticated", "jwks_url": url }]), &[]).await;
    let works = async |key: &Key| ask(&app, &key.token(&claims(ADA)), LIST).await.status;
    assert_eq!(server.asked(), 0, "a server starts without its issuers");
    assert_eq!(works(&old).await, 200);
    assert_eq!(works(&old).await, 200);
    assert_eq!(server.asked(), 1, "a known key is not asked for again");
    assert_eq!(works(&new).await, 401);
    server.now(StatusCode::OK, set(&[&old, &new]));
    assert_eq!(works(&new).await, 200);
    assert_eq!(works(&old).await, 200);
    for (status, broken) in [(StatusCode::BAD_GATEWAY, json!({})), (StatusCode::OK, json!({ "keys": 7 }))] {
        server.now(status, broken);
        assert_eq!(works(&newest).await, 401);
        assert_eq!(works(&old).await, 200, "the last good set is kept");
        assert_eq!(works(&new).await, 200, "the last good set is kept");
    }
}

#[tokio::test]
async fn a_key_that_was_taken_out_of_the_set_stops_working() {
    let [old, new] = ["old", "new"].map(|kid| Key::new(Algorithm::EdDSA, kid));
    let (server, url) = Keys::serving(set(&[&old])).await;
    let app = app_with(json!([{ "issuer": ISS, "audience": "authenticated", "jwks_url": url }]), &[]).await;
    assert_eq!(ask(&app, &old.token(&claims(ADA)), LIST).await.status, 200);
    server.now(StatusCode::OK, set(&[&new]));
    assert_eq!(ask(&app, &new.token(&claims(ADA)), LIST).await.status, 200);
    assert_eq!(ask(&app, &old.token(&claims(ADA)), LIST).await.status, 401);
}

#[tokio::test]
async fn unknown_key_ids_do_not_make_us_hammer_the_issuer() {
    let key = Key::new(Algorithm::EdDSA, "known");
    let (server, url) = Keys::serving(set(&[&key])).await;
    let app = Arc::new(app_with(json!([{ "issuer": ISS, "audience": "authenticated", "jwks_url": url }]), &[]).await);
    let garbage = |n: usize| {
        let (app, token) = (app.clone(), key.token(&claims(ADA)));
        let claims = token.split('.').nth(1).unwrap().to_owned();
        let head = B64.encode(json!({ "alg": "EdDSA", "kid": format!("k{n}") }).to_string());
        tokio::spawn(async move { ask(&app, &format!("{head}.{claims}.AAAA"), LIST).await.status })
    };
    for status in futures::future::join_all((0..100).map(garbage)).await {
        assert_eq!(status.unwrap(), 401);
    }
    for n in 0..20 {
        assert_eq!(garbage(n).await.unwrap(), 401);
    }
    assert!((1..=4).contains(&server.asked()), "{}", server.asked());
    assert_eq!(ask(&app, &key.token(&claims(ADA)), LIST).await.status, 200);
}

#[tokio::test]
async fn an_issuer_that_was_never_reached_is_no_reason_to_throw_a_token_away() {
    let key = Key::new(Algorithm::EdDSA, "known");
    let (server, url) = Keys::serving(json!({})).await;
    let app = app_with(json!([{ "issuer": ISS, "audience": "authenticated", "jwks_url": url }]), &[]).await;
    assert_eq!(ask(&app, &key.token(&claims(ADA)), LIST).await.status, 503);
    server.now(StatusCode::OK, set(&[&key]));
    assert_eq!(ask(&app, &key.token(&claims(ADA)), LIST).await.status, 200);
}

#[tokio::test]
async fn a_file_of_keys_is_read_again_when_it_changes() {
    let [old, new] = ["old", "a new one"].map(|kid| Key::new(Algorithm::ES256, kid));
    let path = std::env::temp_dir().join(format!("moat-test-{}-jwks.json", std::process::id()));
    std::fs::write(&path, set(&[&old]).to_string()).unwrap();
    let app = app_with(json!([{ "issuer": ISS, "audience": "authenticated", "jwks_file": path }]), &[]).await;
    let works = async |key: &Key| ask(&app, &key.token(&claims(ADA)), LIST).await.status;
    assert_eq!((works(&old).await, works(&new).await), (StatusCode::OK, StatusCode::UNAUTHORIZED));
    std::fs::write(&path, set(&[&new]).to_string()).unwrap();
    assert_eq!((works(&old).await, works(&new).await), (StatusCode::UNAUTHORIZED, StatusCode::OK));
    std::fs::write(&path, "half a fi").unwrap();
    assert_eq!(works(&new).await, StatusCode::OK, "the last good set is kept");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(works(&new).await, StatusCode::OK, "the last good set is kept");
}

#[tokio::test]
async fn a_subject_is_one_person_and_the_same_subject_of_two_issuers_is_two() {
    const OTHER: &str = "https://other.example";
    let app = app_with(
        json!([
            { "issuer": ISS, "audience": "authenticated", "hs256_secret": SECRET },
            { "issuer": OTHER, "audience": "authenticated", "hs256_secret": SECRET },
        ]),
        &[],
    )
    .await;
    // Two first tokens at once: the second one waits for the first, and finds its person.
    let mut first = app.state.lanes.service(Reason::SignIn).await.unwrap();
    let one = outside_user(&mut first, ISS, ADA, None, true).await.unwrap().unwrap();
    let lanes = app.state.lanes.clone();
    let second = tokio::spawn(async move {
        let mut lane = lanes.service(Reason::SignIn).await.unwrap();
        let two = outside_user(&mut lane, ISS, ADA, None, true).await.unwrap().unwrap();
        lane.commit().await.unwrap();
        two
    });
    app.until("the second one waits", async || {
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
        )
        .fetch_one(&mut app.db.superuser().await)
        .await
        .unwrap();
        (waiting == 1).then_some(())
    })
    .await;
    first.commit().await.unwrap();
    assert_eq!(second.await.unwrap(), one);
    assert_eq!(ask(&app, &hs(&claims(ADA)), LIST).await.status, 200);
    assert_eq!(people(&app).await.len(), 1);
    assert_eq!(ask(&app, &hs(&with(&[("iss", json!(OTHER))])), LIST).await.status, 200);
    assert_eq!(people(&app).await.len(), 2);
    assert_eq!(ask(&app, &hs(&claims("somebody else")), LIST).await.status, 200);
    assert_eq!(people(&app).await.len(), 3);
}

#[tokio::test]
async fn an_address_counts_when_the_issuer_has_verified_it_and_never_opens_an_account_that_has_it() {
    let app = app_of_secret(&[]).await;
    let ada = app.sign_up("ada@example.org").await;
    app.call(Some(&ada), "threads/server_fns/start_thread", &[("client", ADA), ("text", "private")]).await;
    for (sub, change) in [
        ("1 taken", vec![("email_verified", json!(true))]),
        ("2 verified", vec![("email", json!("Grace@Example.org")), ("email_verified", json!(true))]),
        ("3 unverified", vec![("email", json!("joan@example.org")), ("email_verified", json!(false))]),
        // The person themselves can write this one.
        ("4 claimed", vec![("email", json!("joan@example.org")), ("user_metadata", json!({ "email_verified": true }))]),
        ("5 no address", vec![("email", json!("")), ("email_verified", json!(true))]),
    ] {
        let token = hs(&with(&[&change[..], &[("sub", json!(sub))]].concat()));
        let list = ask(&app, &token, LIST).await;
        assert_eq!((list.status, &list.json()["rows"]), (StatusCode::OK, &json!([])), "{sub}");
    }
    let expected = [
        (None, "1 taken"),
        (Some("grace@example.org"), "2 verified"),
        (None, "3 unverified"),
        (None, "4 claimed"),
        (None, "5 no address"),
    ];
    let found = people(&app).await;
    assert_eq!(found.iter().map(|(e, s)| (e.as_deref(), s.as_str())).collect::<Vec<_>>(), expected);
    assert_eq!(
        ask(&app, &hs(&with(&[("sub", json!("2 verified"))])), WHOAMI).await.json()["email"],
        "grace@example.org"
    );
    assert_eq!(ask(&app, &hs(&with(&[("sub", json!("1 taken"))])), WHOAMI).await.json()["email"], "");

    let trusted = app_with(
        json!([{ "issuer": ISS, "audience": "authenticated", "hs256_secret": SECRET, "emails_verified": true }]),
        &[],
    )
    .await;
    assert_eq!(ask(&trusted, &hs(&claims(ADA)), WHOAMI).await.json()["email"], "ada@example.org");
    let said_otherwise =
        with(&[("sub", json!("x")), ("email", json!("x@example.org")), ("email_verified", json!(false))]);
    assert_eq!(ask(&trusted, &hs(&said_otherwise), WHOAMI).await.json()["email"], "");
}

#[tokio::test]
async fn who_may_sign_up_holds_for_first_tokens_too() {
    let invite = app_of_secret(&["--signup", "invite"]).await;
    assert_eq!(ask(&invite, &hs(&claims(ADA)), LIST).await.status, 401);
    let mut conn = invite.db.superuser().await;
    conn.execute("insert into app.users (id) values ('00000000-0000-4000-8000-00000000000a')").await.unwrap();
    sqlx::query("insert into app.identities (issuer, subject, user_id) select $1, $2, id from app.users")
        .bind(ISS)
        .bind(ADA)
        .execute(&mut conn)
        .await
        .unwrap();
    conn.execute("update app.users set tokens_valid_from = to_timestamp(0)").await.unwrap();
    assert_eq!(ask(&invite, &hs(&claims(ADA)), LIST).await.status, 200, "somebody known is let in");

    let domain = app_of_secret(&["--signup", "domain", "--signup-domains", "example.org"]).await;
    let of = |sub: &str, email: &str, verified: bool| {
        hs(&with(&[("sub", json!(sub)), ("email", json!(email)), ("email_verified", json!(verified))]))
    };
    assert_eq!(ask(&domain, &of("1", "a@example.org", false), LIST).await.status, 401);
    assert_eq!(ask(&domain, &of("2", "a@example.com", true), LIST).await.status, 401);
    assert_eq!(ask(&domain, &of("3", "a@example.org", true), LIST).await.status, 200);
    // With an address that somebody can be found by they wait, without one there is nobody.
    let waiting = "select count(*) from app.users where status = 'waitlist' and email = 'a@example.com'";
    assert_eq!((people(&domain).await.len(), domain.count(waiting).await), (2, 1));
}

#[tokio::test]
async fn a_ban_a_closed_account_and_signing_out_everywhere_hold_for_outside_tokens() {
    let app = app_of_secret(&[]).await;
    let token = hs(&claims(ADA));
    let mut conn = app.db.superuser().await;
    assert_eq!(ask(&app, &token, LIST).await.status, 200);
    for status in ["banned", "archived", "inactive", "waitlist"] {
        sqlx::query("update app.users set status = $1").bind(status).execute(&mut conn).await.unwrap();
        let refused = ask(&app, &token, LIST).await;
        assert_eq!(
            (refused.status, refused.body.as_str()),
            (StatusCode::UNAUTHORIZED, r#"{"error":"unauthenticated"}"#)
        );
    }
    conn.execute("update app.users set status = 'active', tokens_valid_from = now()").await.unwrap();
    assert_eq!(ask(&app, &token, LIST).await.status, 401, "a token from before");
    let later = hs(&with(&[("iat", json!(now() + 1))]));
    assert_eq!(ask(&app, &later, LIST).await.status, 200);
    assert_eq!(people(&app).await.len(), 1);
}

#[tokio::test]
async fn the_stream_of_a_bearer_ends_with_the_token_or_with_the_account() {
    let app = app_of_secret(&[]).await;
    let open = async |token: &str| {
        let request = Request::get("/live").header(header::AUTHORIZATION, format!("Bearer {token}"));
        let response = app.open(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), 200);
        response.into_body()
    };
    let ends = async |body: Body| {
        tokio::time::timeout(DEADLINE / 2, axum::body::to_bytes(body, 100_000)).await.expect("an end").unwrap()
    };
    ends(open(&hs(&with(&[("exp", json!(now() + 2))]))).await).await;
    // The token has more than the deadline to live.
    let stream = open(&hs(&claims(ADA))).await;
    app.db.superuser().await.execute("update app.users set status = 'banned'").await.unwrap();
    app.state.hub.wake();
    ends(stream).await;
}

#[test]
fn settings_that_can_not_work_are_refused_in_words() {
    for (setting, words) in [
        ("/no/such/file", "can't be read"),
        ("[7]", "no list of issuers"),
        (r#"[{"issuer": "a"}]"#, "audience"),
        (r#"[{"issuer": "a", "audience": "b"}]"#, "one of hs256_secret"),
        (r#"[{"issuer": "a", "audience": "", "jwks_url": "https://a.example/"}]"#, "audience"),
        (r#"[{"issuer": "a", "audience": "b", "hs256_secret": "short"}]"#, "32 characters"),
        (r#"[{"issuer": "a", "audience": "b", "jwks_url": "http://a.example/jwks"}]"#, "plain http"),
        (r#"[{"issuer": "a", "audience": "b", "jwks_url": "http://localhost.a.example/"}]"#, "plain http"),
        (r#"[{"issuer": "a", "audience": "b", "jwks_url": "http://localhost:1@a.example/"}]"#, "plain http"),
        (r#"[{"issuer": "a", "audience": "b", "jwks_url": "jwks"}]"#, "no address"),
        (r#"[{"issuer": "a", "audience": "b", "jwks_file": "/no/such/file"}]"#, "/no/such/file"),
        (r#"[{"issuer": "moat", "audience": "b", "jwks_url": "https://a.example/"}]"#, "issuer's name"),
        (
            r#"[{"issuer": "a", "audience": "b", "jwks_url": "https://a.example/", "hs256_secret": "01234567890123456789012345678901"}]"#,
            "one of",
        ),
        (r#"[{"issuer": "a", "audience": "b", "jwks_uri": "https://a.example/"}]"#, "jwks_uri"),
    ] {
        let error = Issuers::read(Some(setting)).err().unwrap_or_else(|| panic!("{setting} was taken"));
        assert_eq!(error.setting, "MOAT_ISSUERS");
        assert!(error.why.contains(words), "{setting}: {}", error.why);
    }
    assert!(Issuers::read(Some(r#" [{"issuer": "a", "audience": "b", "jwks_url": "http://[::1]:9/"}]"#)).is_ok());
    assert!(Issuers::read(None).unwrap().only().is_none());
}
