//! Every door there is, and who it opens for.

use futures::StreamExt;
use std::collections::BTreeSet;

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use moat::server::{
    forms::FORMS,
    jwt::Claims,
    lanes::{Lanes, Logins},
    router::{OPEN_SERVER_FNS, ROUTES, Serves},
};
use serde_json::json;
use sqlx::Executor;

use crate::harness::{App, Db, SECRET, config, post, raw_post};

fn server_fns() -> BTreeSet<&'static str> {
    leptos::server_fn::axum::server_fn_paths().map(|(path, _)| path).collect()
}

#[tokio::test]
async fn the_pages_of_the_app_are_the_pages_of_the_table() {
    let _app = App::new().await;
    let waking = leptos_axum::generate_route_list(moat::app::App);
    let plain = leptos_axum::generate_route_list(moat::app::Plain);
    for (serves, pages) in [(Serves::App, waking), (Serves::Plain, plain)] {
        let pages: BTreeSet<String> = pages.iter().map(|route| route.path().to_owned()).collect();
        // A customer's page is a plain one, in another's frame.
        let is = |d: &Serves| *d == serves || (serves == Serves::Plain && *d == Serves::Widget);
        let table: BTreeSet<String> = ROUTES.iter().filter(|d| is(&d.serves)).map(|d| d.path.to_owned()).collect();
        assert_eq!(pages, table, "{serves:?}");
    }
}

#[tokio::test]
async fn a_plain_page_names_no_script_and_the_chat_does() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    for door in ROUTES.iter().filter(|d| matches!(d.serves, Serves::App | Serves::Plain)) {
        let path = door.path.replace("{page}", "chats").replace("{id}", "20000000-0000-4000-8000-000000000001");
        let page = app.page(Some(&ada), &path).await;
        assert_eq!(page.body.contains(".wasm"), door.serves == Serves::App, "{path}");
    }
}

#[tokio::test]
async fn a_door_that_is_not_listed_as_open_is_shut_to_those_who_are_not_signed_in() {
    let app = App::new().await;
    for door in ROUTES {
        let path = door
            .path
            .replace("{id}", "20000000-0000-4000-8000-000000000001")
            .replace("{page}", "chats")
            .replace("{*path}", "none.js");
        let method = if matches!(door.serves, Serves::Import | Serves::Relay) { Method::POST } else { Method::GET };
        let answer = app
            .send(
                Request::builder()
                    .method(method)
                    .uri(&path)
                    .header(header::ACCEPT, "text/html")
                    .body(Body::empty())
                    .unwrap(),
            )
            .await;
        match (door.open, door.serves) {
            // Open, and nothing is there without a token, or without the switch.
            (true, _) if ["/link", "/invitation", "/dev/outbox"].contains(&path.as_str()) => {
                assert_eq!(answer.status, 404, "{path}")
            }
            (true, _) if path.starts_with("/help/") => assert_eq!(answer.status, 404, "{path}: no such key"),
            (true, Serves::Widget) => assert_eq!(answer.status, 404, "{path}"),
            (true, Serves::Relay) => assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}"),
            // For those with a token of its own kind.
            (true, Serves::WidgetLive) => assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}"),
            (true, Serves::Files) => assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{path}"),
            (true, _) => assert_eq!(answer.status, StatusCode::OK, "{path}"),
            (false, Serves::App | Serves::Plain) => {
                assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}");
                assert!(answer.headers[header::LOCATION].to_str().unwrap().starts_with("/sign-in?next="), "{path}");
            }
            (false, _) => assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}"),
        }
    }
    let all = server_fns();
    assert!(all.len() >= 14, "{all:?}");
    for open in OPEN_SERVER_FNS {
        assert!(all.contains(open), "{open} is no door");
    }
    for path in &all {
        let answer = app.send(raw_post(path, "")).await;
        if path.contains("/widget/") {
            // For a customer's token, which is none of a person's.
            assert!(OPEN_SERVER_FNS.contains(path), "{path}");
        } else if OPEN_SERVER_FNS.contains(path) {
            assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
        } else {
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
            assert_eq!(answer.json(), json!({ "error": "unauthenticated" }), "{path}");
        }
    }
    for (name, path) in FORMS {
        assert!(all.contains(path), "the form {name} leads nowhere");
    }
}

#[tokio::test]
async fn nothing_changes_on_get_and_no_other_method_is_a_door() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    for path in server_fns() {
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
            let request = Request::builder().method(method.clone()).uri(path).header(header::COOKIE, ada.cookie());
            let answer = app.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        }
    }
    let answer = app.page(Some(&ada), "/chat?do=sign-out").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(app.page(Some(&ada), "/chat").await.status, StatusCode::OK, "a link signed somebody out");
}

#[tokio::test]
async fn what_changes_something_is_accepted_from_our_own_pages_alone() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    // A server function, and the form of a page.
    let doors = ["/api/moat/threads/server_fns/start_thread", "/chat?do=start"];
    let send = async |door: &str, headers: &[(&str, &str)]| {
        let mut request = post(door, &[("client", &uuid::Uuid::new_v4().to_string()), ("text", "hello")]);
        request.headers_mut().insert(header::COOKIE, ada.cookie().parse().unwrap());
        request.headers_mut().insert(header::HOST, "127.0.0.1:3000".parse().unwrap());
        for (name, value) in headers {
            request
                .headers_mut()
                .insert(axum::http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        app.send(request).await.status
    };
    for foreign in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("origin", "http://127.0.0.1:3001")],
        &[("origin", "http://localhost:3000")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")],
    ] {
        for door in doors {
            assert_eq!(send(door, foreign).await, StatusCode::FORBIDDEN, "{door}: {foreign:?}");
        }
    }
    let count = async || {
        let rows: i64 = sqlx::query_scalar("select count(*) from app.threads")
            .fetch_one(&mut app.db.superuser().await)
            .await
            .unwrap();
        rows
    };
    assert_eq!(count().await, 0);
    for own in [
        &[("origin", "http://127.0.0.1:3000")][..],
        &[("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:3000")],
        &[("sec-fetch-site", "none")],
    ] {
        for (door, done) in doors.into_iter().zip([StatusCode::OK, StatusCode::SEE_OTHER]) {
            assert_eq!(send(door, own).await, done, "{door}: {own:?}");
        }
    }
    assert_eq!(count().await, 6);
}

#[tokio::test]
async fn a_bearer_token_works_on_every_server_function_and_a_bad_one_is_refused_with_one_body() {
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    for path in server_fns() {
        let mut request = raw_post(path, "");
        request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {}", ada.access).parse().unwrap());
        assert_ne!(app.send(request).await.status, StatusCode::UNAUTHORIZED, "{path}");
        if path.ends_with("sign_out") {
            break;
        }
    }

    let ada = app.sign_up("ada2@example.org").await;
    let key = EncodingKey::from_secret(&app.state.keys.jwt);
    let now = moat::server::caller::now();
    let good = Claims {
        sub: ada.id,
        sid: ada.session,
        role: "authenticated".into(),
        aud: "authenticated".into(),
        iss: "moat".into(),
        iat: now,
        exp: now + 60,
        org_id: None,
    };
    let header_of = |kid: Option<&str>, alg| Header { kid: kid.map(Into::into), ..Header::new(alg) };
    let hs = || header_of(Some("moat-1"), Algorithm::HS256);
    let sign = |header: &Header, claims: &serde_json::Value| encode(header, claims, &key).unwrap();
    let with = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut claims = serde_json::to_value(&good).unwrap();
        change(&mut claims);
        sign(&hs(), &claims)
    };
    let unsigned = |alg: &str, token: &str| {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
        let claims = token.split('.').nth(1).unwrap();
        format!("{}.{claims}.", B64.encode(format!(r#"{{"alg":"{alg}","typ":"JWT","kid":"moat-1"}}"#)))
    };
    let whole = with(&|_| {});
    assert_eq!(
        app.call(
            Some(&crate::harness::Person { access: whole.clone(), ..ada.clone() }),
            "accounts/server_fns/whoami",
            &[]
        )
        .await
        .status,
        200
    );
    let mut flipped = whole.clone();
    flipped.pop();
    let bad: Vec<(&str, String)> = vec![
        ("expired", with(&|c| c["exp"] = json!(now - 1))),
        ("another audience", with(&|c| c["aud"] = json!("anon"))),
        ("another issuer", with(&|c| c["iss"] = json!("supabase"))),
        ("another role", with(&|c| c["role"] = json!("service"))),
        ("no sub", with(&|c| drop(c.as_object_mut().unwrap().remove("sub")))),
        ("no exp", with(&|c| drop(c.as_object_mut().unwrap().remove("exp")))),
        ("a sub that is no uuid", with(&|c| c["sub"] = json!("ada"))),
        ("unknown key id", sign(&header_of(Some("other"), Algorithm::HS256), &serde_json::to_value(&good).unwrap())),
        ("no key id", sign(&header_of(None, Algorithm::HS256), &serde_json::to_value(&good).unwrap())),
        (
            "another algorithm",
            sign(&header_of(Some("moat-1"), Algorithm::HS512), &serde_json::to_value(&good).unwrap()),
        ),
        ("alg none", unsigned("none", &whole)),
        ("alg None", unsigned("None", &whole)),
        ("another key", encode(&hs(), &good, &EncodingKey::from_secret(b"guess")).unwrap()),
        ("a cut signature", flipped),
        ("no token", String::new()),
        ("nonsense", "a.b.c".into()),
        ("the refresh token", ada.refresh.clone()),
        ("a session that is another's", with(&|c| c["sid"] = json!(uuid::Uuid::new_v4()))),
        ("a sub that is another's", with(&|c| c["sub"] = json!(uuid::Uuid::new_v4()))),
    ];
    let mut bodies = BTreeSet::new();
    for (what, token) in bad {
        let person = crate::harness::Person { access: token, ..ada.clone() };
        let answer = app.call(Some(&person), "threads/server_fns/list_threads", &[]).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}: {}", answer.body);
        assert!(answer.headers.get(header::LOCATION).is_none(), "{what}");
        bodies.insert(answer.body);
    }
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}

#[tokio::test]
async fn every_answer_tells_the_browser_what_it_may_do() {
    let app = App::new().await;
    let mut nonces = BTreeSet::new();
    for path in ["/", "/sign-in", "/healthz", "/nothing-here", "/guide/chats"] {
        let answer = app.page(None, path).await;
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
        assert!(!policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"), "{policy}");
        assert!(
            policy.contains("frame-ancestors 'none'")
                && policy.contains("base-uri 'none'")
                && policy.contains("form-action 'self'")
                && policy.contains("default-src 'none'")
        );
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["referrer-policy"], "same-origin");
        assert_eq!(answer.headers["cache-control"], "no-store");
        for script in answer.body.split("<script").skip(1) {
            assert!(script.split('>').next().unwrap().contains(&format!("nonce=\"{nonce}\"")), "{path}: {script}");
        }
        nonces.insert(nonce.to_owned());
    }
    assert_eq!(nonces.len(), 5, "a nonce is used once");
}

#[tokio::test]
async fn a_name_that_no_disk_knows_is_not_there() {
    let app = App::new().await;
    let answer = app.page(None, &format!("/pkg/{}", "x".repeat(3000))).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_page_that_is_asked_for_many_times_at_once_comes_every_time() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let fields = [("client", "20000000-0000-4000-8000-000000000001"), ("text", "hello")];
    let thread = app.call(Some(&ada), "threads/server_fns/start_thread", &fields).await.json()["thread"].clone();
    let page = format!("/chat/{}", thread.as_str().unwrap());
    let answers = futures::stream::iter(0..200).map(|_| app.page(Some(&ada), &page)).buffer_unordered(12);
    let late_or_bad: Vec<(bool, String)> = answers
        .filter_map(|answer| async move {
            // A machine that has too much to do may say so; it must not fail, and not show half of a page.
            let busy = answer.status == StatusCode::SERVICE_UNAVAILABLE;
            let fine = answer.status == StatusCode::OK && answer.body.contains("<title>hello · moat</title>");
            (!fine).then(|| (busy, format!("{}: {}", answer.status, answer.body)))
        })
        .collect()
        .await;
    let bad: Vec<&String> = late_or_bad.iter().filter(|(busy, _)| !busy).map(|(_, what)| what).collect();
    assert!(bad.is_empty(), "{} of 200: {}", bad.len(), bad[0]);
    assert!(late_or_bad.len() < 10, "{} of 200 came too late", late_or_bad.len());
}

#[tokio::test]
async fn a_fault_of_ours_is_answered_with_its_id_and_with_the_headers_of_every_answer() {
    use futures::stream::BoxStream;
    use moat::answers::answerer::{AnswerError, Answerer, Piece, Turn};
    struct Broken;
    impl Answerer for Broken {
        fn model(&self) -> &str {
            panic!("broken on purpose")
        }
        fn answer(&self, _: Turn) -> BoxStream<'static, Result<Piece, AnswerError>> {
            panic!("broken on purpose")
        }
    }
    let db = Db::new().await;
    let mut state = moat::server::boot::state(config(&[]), db.lanes(8), SECRET).unwrap();
    state.answerer = std::sync::Arc::new(Broken);
    let app = App::of(db, state).await;
    let ada = app.sign_up("ada@example.org").await;
    let fields = [("client", "20000000-0000-4000-8000-000000000001"), ("text", "hello")];
    let answer = app.call(Some(&ada), "threads/server_fns/start_thread", &fields).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{}", answer.body);
    assert_eq!(answer.json()["error"], "internal");
    assert_eq!(answer.json()["id"].as_str().unwrap().len(), 8);
    assert!(!answer.body.contains("on purpose"));
    let whole = app.page(None, "/healthz").await;
    for name in whole.headers.keys().filter(|name| *name != header::CONTENT_LENGTH) {
        assert!(answer.headers.contains_key(name), "{name} is missing: {:?}", answer.headers);
    }
    assert!(answer.headers.contains_key("content-security-policy"));
}

#[tokio::test]
async fn a_server_without_its_database_says_that_it_is_alive_and_not_ready_and_is_ready_again_by_itself() {
    let app = App::new().await;
    let look =
        async || (app.page(None, "/healthz").await.status.as_u16(), app.page(None, "/readyz").await.status.as_u16());
    assert_eq!(look().await, (200, 200));
    let options = app.db.options("postgres");
    let name = options.get_database().unwrap().to_owned();
    let mut outside =
        <sqlx::PgConnection as sqlx::Connection>::connect_with(&options.database("postgres")).await.unwrap();
    let mut admin = async |statement: String| {
        outside.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    };
    let cut_off = format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'");
    admin(format!("alter database {name} allow_connections false")).await;
    admin(cut_off.clone()).await;
    assert_eq!(look().await, (200, 503));
    admin(format!("alter database {name} allow_connections true")).await;
    assert_eq!(look().await, (200, 200));
    // Connections that died in the meantime are no reason not to be ready.
    admin(cut_off).await;
    assert_eq!(look().await, (200, 200));
    // Each of the logins counts.
    let unknown = app.db.options("nobody_of_this_name");
    assert!(Lanes::new(app.db.logins(), 1).ready().await);
    assert!(!Lanes::new(Logins { user: unknown.clone(), ..app.db.logins() }, 1).ready().await);
    assert!(!Lanes::new(Logins { service: unknown.clone(), ..app.db.logins() }, 1).ready().await);
    assert!(!Lanes::new(Logins { visitor: unknown, ..app.db.logins() }, 1).ready().await);
}

#[tokio::test]
async fn a_telephone_number_in_an_address_is_refused_on_every_door() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let mut paths: BTreeSet<String> = server_fns().into_iter().map(str::to_owned).collect();
    paths.extend(ROUTES.iter().map(|door| door.path.replace(['{', '}', '*'], "")));
    for path in paths {
        for query in ["phone=%2B49301234567", "a=b&Phone=1", "%70hone=", "phone"] {
            for method in [Method::GET, Method::POST] {
                let request = Request::builder()
                    .method(method.clone())
                    .uri(format!("{path}?{query}"))
                    .header(header::COOKIE, ada.cookie())
                    .body(Body::empty())
                    .unwrap();
                let answer = app.send(request).await;
                assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{method} {path}?{query}");
                assert!(!answer.body.contains("301234567"), "{}", answer.body);
            }
        }
    }
    assert_eq!(app.page(Some(&ada), "/chat?telephone=1").await.status, 200);
}

#[tokio::test]
async fn too_large_a_body_is_refused_before_it_is_read() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let text = "x".repeat(5_000_000);
    let answer = app
        .call(
            Some(&ada),
            "threads/server_fns/start_thread",
            &[("client", &uuid::Uuid::new_v4().to_string()), ("text", &text)],
        )
        .await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{}", answer.body);
    let mut form = post("/chat?do=start", &[("client", &uuid::Uuid::new_v4().to_string()), ("text", &text)]);
    form.headers_mut().insert(header::COOKIE, ada.cookie().parse().unwrap());
    assert_eq!(app.send(form).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn whoever_is_signed_in_is_led_past_the_pages_that_sign_in() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    for (path, to) in [
        ("/sign-in", "/chat"),
        ("/sign-up", "/chat"),
        ("/sign-in?next=%2Fguide%2Fchats", "/guide/chats"),
        ("/sign-in?next=%2Flink%3Ft%3Dabc", "/link?t=abc"),
        ("/sign-in?next=https%3A%2F%2Fevil.example", "/chat"),
        ("/sign-up?next=%2F%2Fevil.example", "/chat"),
        ("/sign-in?next=%2Fa%0D%0ASet-Cookie%3A%20x", "/chat"),
    ] {
        let answer = app.page(Some(&ada), path).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}");
        assert_eq!(answer.headers[header::LOCATION], to, "{path}");
    }
    assert_eq!(app.page(None, "/sign-in").await.status, StatusCode::OK);
    // A form that is posted there still signs in as whom it says.
    app.sign_up("bob@example.org").await;
    let fields = [("email", "bob@example.org"), ("password", crate::harness::PASSWORD)];
    let bob = app.form(Some(&ada), "/sign-in?do=sign-in", &fields).await;
    assert_ne!(app.person("bob@example.org", &bob).id, ada.id);
    // A session that has ended, with a token that has not: the page is shown, and nobody is sent in a circle.
    app.call(Some(&ada), "accounts/server_fns/sign_out", &[]).await;
    assert_eq!(app.page(Some(&ada), "/sign-in").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_browser_is_told_to_come_by_https_alone_where_that_is_the_address() {
    for (args, told) in [
        (&["--origin", "https://chat.example.org"][..], Some("max-age=31536000")),
        (&["--origin", "http://localhost:3000"], None),
        (&[], None),
    ] {
        let app = App::with(args).await;
        for path in ["/", "/healthz", "/nothing-here", "/chat"] {
            let answer = app.page(None, path).await;
            let header = answer.headers.get(header::STRICT_TRANSPORT_SECURITY).map(|v| v.to_str().unwrap());
            assert_eq!(header, told, "{args:?} {path}");
        }
    }
}

#[test]
fn what_a_page_still_reads_when_its_reader_has_gone_is_no_fault_of_ours() {
    assert_eq!(moat::server::state::current().map(drop), Err(moat::error::AppError::Unavailable));
}

#[tokio::test]
async fn a_form_that_is_nested_without_end_is_refused_and_ends_nothing() {
    let app = App::new().await;
    // The parser's own limit counts the fields before, and would go as deep as this is long.
    let deep = format!("{}b{}=1", "a&".repeat(60_000), "[c]".repeat(60_000));
    let coded = format!("b{}=1", "%5Bc%5D".repeat(6));
    for body in [deep, coded] {
        let request = Request::post("/api/moat/widget/server_fns/begin_visit")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::HOST, "localhost")
            .body(Body::from(body))
            .unwrap();
        assert_eq!(app.send(request).await.status, StatusCode::BAD_REQUEST);
    }
}
