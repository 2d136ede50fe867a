//! The relay: what programs bring and what goes out to them, signed, in order, once taken, and never into the server's own network.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, Request, StatusCode, header},
    routing::post,
};
use moat::relay::send;
use serde_json::{Value, json};
use sqlx::Executor;
use uuid::Uuid;

use crate::{
    desk::{Desk, answer, desk, only, queue, read, said},
    harness::{Answer, App},
    workspaces::{at, join, ok},
};

/// Answers what it is told to, and keeps what it was sent.
#[derive(Clone, Default)]
struct Hook {
    got: Arc<Mutex<Vec<(HeaderMap, String)>>>,
    /// Statuses of the next answers, the last one first; then 204.
    answers: Arc<Mutex<Vec<u16>>>,
}

impl Hook {
    async fn listen(&self) -> SocketAddr {
        let take = |State(hook): State<Hook>, headers: HeaderMap, body: String| async move {
            hook.got.lock().unwrap().push((headers, body));
            let status = hook.answers.lock().unwrap().pop().unwrap_or(204);
            (StatusCode::from_u16(status).unwrap(), [(header::LOCATION, "http://127.0.0.1:1/")])
        };
        let router = axum::Router::new().route("/hook", post(take)).with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        at
    }

    fn texts(&self) -> Vec<String> {
        let got = self.got.lock().unwrap();
        got.iter()
            .map(|(_, body)| serde_json::from_str::<Value>(body).unwrap()["data"]["text"].as_str().unwrap().to_owned())
            .collect()
    }
}

async fn bring(app: &App, secret: &str, body: &Value) -> Answer {
    bring_raw(app, &format!("Bearer {secret}"), body.to_string()).await
}

async fn bring_raw(app: &App, authorization: &str, body: String) -> Answer {
    let request = Request::post("/orchestrator/message")
        .header(header::AUTHORIZATION, authorization)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body))
        .unwrap();
    app.send(request).await
}

fn message(id: &str, customer: &str, text: &str) -> Value {
    json!({ "message_id": id, "customer": { "id": customer, "name": "Vi", "email": "vi@example.org" }, "text": text })
}

async fn secret(app: &App, desk: &Desk) -> String {
    let shown = ok(app, &desk.ada, &desk.place, "relay/server_fns/make_relay_secret", &[("name", "mail")]).await;
    shown["secret"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_a_program_brings_is_stored_once_in_its_customers_one_conversation_and_refused_without_a_secret() {
    let app = App::new().await;
    let it = desk(&app, "ada@example.org", "Acme").await;
    let other = desk(&app, "bob@example.org", "Other").await;
    let (key, others) = (secret(&app, &it).await, secret(&app, &other).await);
    for wrong in ["", "Bearer x", "Bearer relay.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "Basic abc"] {
        let answer = bring_raw(&app, wrong, message("1", "vi", "hello").to_string()).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{wrong}");
    }
    let person = format!("Bearer {}", it.ada.access);
    assert_eq!(
        bring_raw(&app, &person, message("1", "vi", "hello").to_string()).await.status,
        StatusCode::UNAUTHORIZED
    );
    // Ten times at once, under one id.
    let hello = message("1", "vi", "hello");
    let tries = (0..10).map(|_| bring(&app, &key, &hello));
    let mut ids: Vec<_> = futures::future::join_all(tries)
        .await
        .into_iter()
        .map(|answer| {
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
            answer.json()["message"].as_str().unwrap().to_owned()
        })
        .collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(bring(&app, &key, &message("1", "vi", "other words")).await.status, StatusCode::CONFLICT);
    assert_eq!(bring(&app, &key, &message("2", "vi", "again")).await.status, StatusCode::OK);
    // Another customer's "1", and another workspace's customer of the same name.
    assert_eq!(bring(&app, &key, &message("1", "wu", "of wu")).await.status, StatusCode::OK);
    assert_eq!(bring(&app, &others, &message("1", "vi", "elsewhere")).await.status, StatusCode::OK);
    let rows = queue(&app, &it.ada, &it.place, "waiting").await;
    assert_eq!(rows.iter().map(said).collect::<Vec<_>>(), ["again", "of wu"]);
    assert_eq!(rows[0]["customer"], "Vi");
    let whole = read(&app, &it.ada, &it.place, rows[0]["id"].as_str().unwrap()).await;
    let texts: Vec<_> = whole["messages"].as_array().unwrap().iter().map(|m| m["text"].as_str().unwrap()).collect();
    assert_eq!((texts, whole["email"].as_str().unwrap()), (vec!["hello", "again"], "vi@example.org"));
    assert_eq!(only(&app, &other.ada, &other.place, "waiting").await.len(), 36);
    // What is no message, and what is too long.
    for wrong in
        [json!({}), message("", "vi", "x"), message("3", "", "x"), message("3", "vi", " "), message("3", "v\0", "x")]
    {
        assert_eq!(bring(&app, &key, &wrong).await.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let long = bring(&app, &key, &message("3", "vi", &"x".repeat(70_000))).await;
    assert_eq!(long.status, StatusCode::PAYLOAD_TOO_LARGE);
    // Whoever is blocked writes no more; a removed secret opens nothing.
    let fields = [("conversation", rows[0]["id"].as_str().unwrap()), ("blocked", "true")];
    ok(&app, &it.ada, &it.place, "conversations/server_fns/block_customer", &fields).await;
    assert_eq!(bring(&app, &key, &message("4", "vi", "x")).await.status, StatusCode::FORBIDDEN);
    let set = ok(&app, &it.ada, &it.place, "relay/server_fns/read_relay", &[]).await;
    let id = set["secrets"][0][0].as_str().unwrap();
    assert!(!set.to_string().contains(&key));
    ok(&app, &it.ada, &it.place, "relay/server_fns/remove_relay_secret", &[("secret", id)]).await;
    assert_eq!(bring(&app, &key, &message("5", "wu", "x")).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_a_program_brings_while_its_customer_is_erased_is_the_first_word_of_a_new_one() {
    let app = App::new().await;
    let it = desk(&app, "ada@example.org", "Acme").await;
    let key = secret(&app, &it).await;
    assert_eq!(bring(&app, &key, &message("1", "vi", "hello")).await.status, StatusCode::OK);
    let mut behind = app.db.superuser().await;
    behind.execute("begin; select from app.visitors for no key update").await.unwrap();
    let more = message("2", "vi", "and more");
    let (told, ()) = tokio::join!(bring(&app, &key, &more), async {
        app.until("it waits", async || (app.waiting().await == 1).then_some(())).await;
        behind.execute("delete from app.conversations; delete from app.visitors").await.unwrap();
        behind.execute("commit").await.unwrap();
    });
    assert_eq!(told.status, StatusCode::OK, "{}", told.body);
    let id = only(&app, &it.ada, &it.place, "waiting").await;
    let whole = read(&app, &it.ada, &it.place, &id).await;
    let texts: Vec<_> = whole["messages"].as_array().unwrap().iter().map(|m| m["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["and more"]);
}

#[tokio::test]
async fn answers_go_out_signed_in_order_and_again_until_they_are_taken_or_given_up_and_an_admin_sends_them_anew() {
    let app = App::with(&["--webhooks-private"]).await;
    let it = desk(&app, "ada@example.org", "Acme").await;
    let (key, hook) = (secret(&app, &it).await, Hook::default());
    let url = format!("http://{}/hook", hook.listen().await);
    let shown = ok(&app, &it.ada, &it.place, "relay/server_fns/make_webhook", &[("url", &url)]).await;
    let shown = shown["secret"].as_str().unwrap().strip_prefix("whsec_").unwrap().to_owned();
    bring(&app, &key, &message("1", "vi", "hello")).await;
    let id = only(&app, &it.ada, &it.place, "waiting").await;
    answer(&app, &it.ada, &it.place, &id, "one", None).await;
    let note = [
        ("conversation", id.as_str()),
        ("client", &Uuid::new_v4().to_string()),
        ("text", "between us"),
        ("note", "true"),
    ];
    ok(&app, &it.ada, &it.place, "conversations/server_fns/answer_conversation", &note).await;
    answer(&app, &it.ada, &it.place, &id, "two", None).await;
    // The first one is not taken: the second one waits behind it.
    *hook.answers.lock().unwrap() = vec![500];
    assert_eq!(send::all(&app.state).await.unwrap(), 1);
    assert_eq!(hook.texts(), ["one"]);
    let due = "update app.deliveries set due_at = now() where sent_at is null and dead_at is null";
    app.db.superuser().await.execute(due).await.unwrap();
    assert_eq!(send::all(&app.state).await.unwrap(), 2);
    assert_eq!(hook.texts(), ["one", "one", "two"], "no note, and in order");
    assert_eq!(send::all(&app.state).await.unwrap(), 0, "what was taken is not sent again");
    // As whoever checks it would: the same id for the same thing, and the signature over it, the time and the body.
    let got = hook.got.lock().unwrap().clone();
    assert_eq!(got[0].0["webhook-id"], got[1].0["webhook-id"]);
    assert_ne!(got[1].0["webhook-id"], got[2].0["webhook-id"]);
    use base64::{Engine, engine::general_purpose::STANDARD};
    let (headers, body) = &got[2];
    let time: u64 = headers["webhook-timestamp"].to_str().unwrap().parse().unwrap();
    let signed =
        send::signature(&STANDARD.decode(&shown).unwrap(), headers["webhook-id"].to_str().unwrap(), time, body);
    assert_eq!(headers["webhook-signature"], signed.as_str());
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        (&body["data"]["customer"], &body["data"]["role"], &body["data"]["author"]),
        (&"vi".into(), &"agent".into(), &"Ada".into())
    );
    // Given up after eight times; what comes after it goes out; an admin sends it anew.
    *hook.answers.lock().unwrap() = vec![500; 8];
    answer(&app, &it.ada, &it.place, &id, "three", None).await;
    for _ in 0..8 {
        send::all(&app.state).await.unwrap();
        app.db.superuser().await.execute(due).await.unwrap();
    }
    let set = ok(&app, &it.ada, &it.place, "relay/server_fns/read_relay", &[]).await;
    assert_eq!((&set["dead"][0]["tries"], &set["dead"][0]["why"]), (&8.into(), &"Answered with status 500.".into()));
    answer(&app, &it.ada, &it.place, &id, "four", None).await;
    send::all(&app.state).await.unwrap();
    assert_eq!(hook.texts().last().unwrap(), "four");
    let dead = set["dead"][0]["id"].as_str().unwrap();
    ok(&app, &it.ada, &it.place, "relay/server_fns/resend_delivery", &[("delivery", dead)]).await;
    send::all(&app.state).await.unwrap();
    assert_eq!(hook.texts().last().unwrap(), "three");
    // A redirection is no way around: it is not followed.
    *hook.answers.lock().unwrap() = vec![302];
    answer(&app, &it.ada, &it.place, &id, "five", None).await;
    send::all(&app.state).await.unwrap();
    assert_eq!(app.count("select count(*) from app.deliveries where why = 'Answered with status 302.'").await, 1);
    // Of a customer on a page of the workspace's, nothing goes out.
    let vi = crate::desk::Visitor::new(&app, &it.key).await;
    vi.say(&app, "from the page").await;
    let before = app.count("select count(*) from app.deliveries").await;
    let web = only(&app, &it.ada, &it.place, "waiting").await;
    answer(&app, &it.ada, &it.place, &web, "to the page", None).await;
    assert_eq!(app.count("select count(*) from app.deliveries").await, before);
}

#[tokio::test]
async fn no_answer_is_sent_into_the_servers_own_network_by_figures_or_by_name() {
    let app = App::new().await;
    let it = desk(&app, "ada@example.org", "Acme").await;
    let (key, hook) = (secret(&app, &it).await, Hook::default());
    let at = hook.listen().await;
    let urls = [
        format!("http://127.0.0.1:{}/hook", at.port()),
        format!("http://localhost:{}/hook", at.port()),
        format!("http://[::ffff:127.0.0.1]:{}/hook", at.port()),
        format!("http://2130706433:{}/hook", at.port()),
        format!("http://0x7f.1:{}/hook", at.port()),
    ];
    for url in &urls {
        ok(&app, &it.ada, &it.place, "relay/server_fns/make_webhook", &[("url", url)]).await;
    }
    bring(&app, &key, &message("1", "vi", "hello")).await;
    let id = only(&app, &it.ada, &it.place, "waiting").await;
    answer(&app, &it.ada, &it.place, &id, "one", None).await;
    assert_eq!(send::all(&app.state).await.unwrap(), urls.len());
    assert!(hook.texts().is_empty());
    let why = "select count(*) from app.deliveries where sent_at is null and why like '%own network%'";
    assert_eq!(app.count(why).await, urls.len() as i64);
}

#[tokio::test]
async fn owners_and_admins_alone_set_up_the_relay_and_only_for_their_own_desk() {
    let app = App::new().await;
    let it = desk(&app, "ada@example.org", "Acme").await;
    let other = desk(&app, "eve@example.org", "Other").await;
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &it.place, &bob, "project_creator").await;
    secret(&app, &it).await;
    ok(&app, &it.ada, &it.place, "relay/server_fns/make_webhook", &[("url", "https://a.example/hook")]).await;
    let set = ok(&app, &it.ada, &it.place, "relay/server_fns/read_relay", &[]).await;
    let (secret, hook) = (set["secrets"][0][0].as_str().unwrap(), set["webhooks"][0][0].as_str().unwrap());
    for (function, fields) in [
        ("read_relay", vec![]),
        ("make_relay_secret", vec![("name", "x")]),
        ("remove_relay_secret", vec![("secret", secret)]),
        ("make_webhook", vec![("url", "https://b.example/")]),
        ("remove_webhook", vec![("webhook", hook)]),
        ("resend_delivery", vec![("delivery", hook)]),
    ] {
        let answer = at(&app, &bob, &bobs, &format!("relay/server_fns/{function}"), &fields).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{function}");
        if !fields.is_empty() && !function.starts_with("make") {
            let answer = at(&app, &other.ada, &other.place, &format!("relay/server_fns/{function}"), &fields).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{function}");
        }
    }
    let page = app.page(Some(&it.ada), &format!("/w/{}/desk/relay", it.place)).await;
    assert!(page.body.contains("https://a.example/hook"), "{}", page.body);
}
