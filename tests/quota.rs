//! How many answers somebody may ask for in a day, and which address a request counts for.

use std::net::SocketAddr;

use axum::{
    extract::ConnectInfo,
    http::{StatusCode, header},
};
use serde_json::json;
use sqlx::Executor;
use uuid::Uuid;

use crate::harness::{Answer, App, Db, PASSWORD, Person, SECRET, config, post};

const START: &str = "threads/server_fns/start_thread";
const SEND: &str = "threads/server_fns/send_message";

async fn start(app: &App, who: &Person, client: Uuid) -> Answer {
    app.call(Some(who), START, &[("client", &client.to_string()), ("text", "a question")]).await
}

async fn count(app: &App, what: &'static str) -> i64 {
    sqlx::query_scalar(what).fetch_one(&mut app.db.superuser().await).await.unwrap()
}

#[tokio::test]
async fn a_day_has_as_many_answers_as_the_setting_says_and_a_refused_message_is_not_stored() {
    let app = App::with(&["--quota", "2"]).await;
    let (ada, grace) = (app.sign_up("ada@example.org").await, app.sign_up("grace@example.org").await);
    let client = Uuid::new_v4();
    let first = start(&app, &ada, client).await;
    assert_eq!(first.status, 200);
    // Sent again: the same answer, counted once.
    for _ in 0..5 {
        assert_eq!(start(&app, &ada, client).await.json(), first.json());
    }
    assert_eq!(start(&app, &ada, Uuid::new_v4()).await.status, 200);
    let stored = count(&app, "select count(*) from app.messages").await;
    let refused = start(&app, &ada, Uuid::new_v4()).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{}", refused.body);
    let wait: u64 = refused.headers[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=86_400).contains(&wait));
    assert_eq!(refused.json(), json!({ "error": "used_up", "answers": 2, "retry_after": wait }));
    let thread = first.json()["thread"].as_str().unwrap().to_owned();
    app.until("the first answer's end", async || {
        (count(&app, "select count(*) from app.generations where status = 'running'").await == 0).then_some(())
    })
    .await;
    let sent = [("thread", thread.as_str()), ("client", &Uuid::new_v4().to_string()), ("text", "more")];
    assert_eq!(app.call(Some(&ada), SEND, &sent).await.status, 429);
    let again = first.json()["answer"].as_str().unwrap().to_owned();
    let tried = app.call(Some(&ada), "threads/server_fns/answer_again", &[("message", &again)]).await;
    assert_eq!(tried.status, 429, "{}", tried.body);
    assert_eq!(count(&app, "select count(*) from app.messages").await, stored);
    assert_eq!(count(&app, "select count(*) from app.threads").await, 2);
    // What is stored is still what its sender gets.
    assert_eq!(start(&app, &ada, client).await.json(), first.json());
    // Deleting does not give any back, and somebody else has their own.
    assert_eq!(app.call(Some(&ada), "threads/server_fns/delete_thread", &[("thread", &thread)]).await.status, 200);
    assert_eq!(start(&app, &ada, Uuid::new_v4()).await.status, 429);
    assert_eq!(start(&app, &grace, Uuid::new_v4()).await.status, 200);
    // The next day.
    app.db.superuser().await.execute("update app.quotas set day = day - 1").await.unwrap();
    assert_eq!(start(&app, &ada, Uuid::new_v4()).await.status, 200);
    assert_eq!(start(&app, &ada, Uuid::new_v4()).await.status, 200);
    assert_eq!(start(&app, &ada, Uuid::new_v4()).await.status, 429);
}

#[tokio::test]
async fn requests_at_once_on_two_servers_share_one_count() {
    let db = Db::new().await;
    let other = moat::server::boot::state(config(&["--quota", "5"]), db.lanes(8), SECRET).unwrap();
    let app = std::sync::Arc::new(App::on(db, config(&["--quota", "5"])).await);
    let ada = app.sign_up("ada@example.org").await;
    let twin = moat::server::router::router(other);
    let tries = (0..40).map(|n| {
        let (app, twin, ada) = (app.clone(), twin.clone(), ada.clone());
        tokio::spawn(async move {
            if n % 2 == 0 {
                return start(&app, &ada, Uuid::new_v4()).await.status;
            }
            let mut request =
                post(&format!("/api/moat/{START}"), &[("client", &Uuid::new_v4().to_string()), ("text", "x")]);
            request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {}", ada.access).parse().unwrap());
            tower::ServiceExt::oneshot(twin, request).await.unwrap().status()
        })
    });
    let statuses: Vec<StatusCode> = futures::future::join_all(tries).await.into_iter().map(|s| s.unwrap()).collect();
    assert_eq!(statuses.iter().filter(|s| **s == 200).count(), 5, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|s| **s == 429).count(), 35, "{statuses:?}");
    assert_eq!(count(&app, "select count(*) from app.generations").await, 5);
}

#[tokio::test]
async fn a_form_beyond_the_quota_comes_back_with_the_reason_and_with_what_was_typed() {
    let app = App::with(&["--quota", "1"]).await;
    let ada = app.sign_up("ada@example.org").await;
    assert_eq!(start(&app, &ada, Uuid::new_v4()).await.status, 200);
    let mut form = post("/chat?do=start", &[("client", &Uuid::new_v4().to_string()), ("text", "what I wrote")]);
    form.headers_mut().insert(header::COOKIE, ada.cookie().parse().unwrap());
    form.headers_mut().insert(header::ACCEPT, "text/html".parse().unwrap());
    let back = app.send(form).await;
    assert_eq!(back.status, 429);
    assert!(back.headers.contains_key(header::RETRY_AFTER));
    assert!(back.body.contains("answers are used up. You can ask again in"), "{}", back.body);
    assert!(back.body.contains("what I wrote"), "{}", back.body);
}

#[tokio::test]
async fn without_the_setting_nothing_is_counted() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    for _ in 0..5 {
        assert_eq!(start(&app, &ada, Uuid::new_v4()).await.status, 200);
    }
    assert_eq!(count(&app, "select count(*) from app.quotas").await, 0);
}

/// A request over a connection from there, with this header.
async fn from(app: &App, peer: &str, forwarded: &str, email: &str, password: &str) -> Answer {
    let mut request = post("/api/moat/accounts/server_fns/sign_in", &[("email", email), ("password", password)]);
    request.extensions_mut().insert(ConnectInfo::<SocketAddr>(format!("{peer}:4711").parse().unwrap()));
    request.headers_mut().insert("x-forwarded-for", forwarded.parse().unwrap());
    app.send(request).await
}

#[tokio::test]
async fn a_session_and_a_limit_are_for_the_address_that_our_own_proxy_saw() {
    let app = App::with(&["--proxies", "10.0.0.0/8,127.0.0.1"]).await;
    app.sign_up("ada@example.org").await;
    let address = async || -> String {
        sqlx::query_scalar("select ip from app.sessions order by created_at desc limit 1")
            .fetch_one(&mut app.db.superuser().await)
            .await
            .unwrap()
    };
    for (peer, forwarded, expected) in [
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "1.1.1.1, 203.0.113.9, 10.7.7.7", "203.0.113.9"),
        ("198.51.100.1", "203.0.113.9", "198.51.100.1"),
        ("10.0.0.1", "203.0.113.9, garbage", "10.0.0.1"),
    ] {
        assert_eq!(from(&app, peer, forwarded, "ada@example.org", PASSWORD).await.status, 200);
        assert_eq!(address().await, expected, "{peer} {forwarded}");
    }
    // Guessing from one address through the proxy, with another spoofed address each time: one limit.
    let mut refused = false;
    for n in 0..40 {
        let spoofed = format!("1.1.1.{n}, 203.0.113.10");
        refused |= from(&app, "10.0.0.1", &spoofed, "ada@example.org", "guess guess").await.status == 429;
    }
    assert!(refused, "spoofing makes a new address of each guess");
    // Whoever else is behind the same proxy is not meant by it.
    assert_eq!(from(&app, "10.0.0.1", "203.0.113.11", "ada@example.org", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn without_the_setting_a_forwarded_address_is_nobodys() {
    let app = App::new().await;
    app.sign_up("ada@example.org").await;
    assert_eq!(from(&app, "127.0.0.1", "203.0.113.9", "ada@example.org", PASSWORD).await.status, 200);
    let ips: Vec<String> = sqlx::query_scalar("select ip from app.sessions order by created_at")
        .fetch_all(&mut app.db.superuser().await)
        .await
        .unwrap();
    assert_eq!(ips.last().unwrap(), "127.0.0.1");
}
