//! Signing in by telephone: a code of six digits, a few tries, a little time; and the number is one more way into one account.

use std::sync::{Arc, Mutex};

use axum::{Json, Router, extract::State, http::HeaderMap, http::header, routing::post};
use moat::accounts::deliver;
use serde_json::{Value, json};
use sqlx::Executor;
use uuid::Uuid;

use crate::harness::{Answer, App, PASSWORD, Person};

const OUTBOX: &[&str] = &["--dev-outbox"];
const NUMBER: &str = "+49 30 1234567";

/// Asks for a code and gives the request's id, as the next page has it.
async fn ask(app: &App, who: Option<&Person>, number: &str) -> String {
    let door = if who.is_some() { "/account/phone?do=link-phone" } else { "/sign-in/phone?do=code" };
    let answer = app.form(who, door, &[("number", number)]).await;
    let to = answer.headers.get(header::LOCATION).unwrap_or_else(|| panic!("{}", answer.body)).to_str().unwrap();
    assert!(!to.contains("1234567"), "{to}");
    to.split("ask=").nth(1).unwrap().to_owned()
}

async fn code(app: &App) -> String {
    app.letter().await.text[..6].to_owned()
}

async fn sign_in(app: &App, ask: &str, code: &str) -> Answer {
    app.form(None, "/sign-in/code?do=sign-in-by-code", &[("ask", ask), ("code", code)]).await
}

fn in_by(app: &App, answer: &Answer) -> Person {
    assert_eq!(answer.headers[header::LOCATION], "/chat", "{}", answer.body);
    app.person("", answer)
}

fn other_than(code: &str) -> String {
    format!("{:06}", (code.parse::<u32>().unwrap() + 1) % 1_000_000)
}

async fn chats(app: &App, who: &Person) -> Value {
    app.call(Some(who), "threads/server_fns/list_threads", &[]).await.json()["rows"].clone()
}

async fn say(app: &App, who: &Person, text: &str) {
    let client = Uuid::new_v4().to_string();
    let answer = app.call(Some(who), "threads/server_fns/start_thread", &[("client", &client), ("text", text)]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// Somebody whose only way in is this number, from when a number made an account.
async fn by_number(app: &App, number: &str) {
    let insert = "insert into app.users (phone) values ($1)";
    sqlx::query(insert).bind(number).execute(&mut app.db.superuser().await).await.unwrap();
}

#[tokio::test]
async fn a_linked_number_opens_the_same_account() {
    let app = App::with(OUTBOX).await;
    let ada = app.sign_up("ada@example.org").await;
    say(&app, &ada, "hers, by e-mail").await;
    let asked = ask(&app, Some(&ada), NUMBER).await;
    let sent = code(&app).await;
    let done = app.form(Some(&ada), "/account/phone?do=confirm-phone", &[("ask", &asked), ("code", &sent)]).await;
    assert_eq!(done.headers[header::LOCATION], "/account?done=phone", "{}", done.body);
    let asked = ask(&app, None, "0049 (30) 123 45 67").await;
    let again = in_by(&app, &sign_in(&app, &asked, &code(&app).await).await);
    assert_eq!(again.id, ada.id);
    assert_ne!(again.session, ada.session);
    assert_eq!(chats(&app, &again).await.as_array().unwrap().len(), 1);

    by_number(&app, "+442079460000").await;
    let asked = ask(&app, None, "+44 20 7946 0000").await;
    let eve = in_by(&app, &sign_in(&app, &asked, &code(&app).await).await);
    assert_ne!(eve.id, ada.id);
    assert_eq!(chats(&app, &eve).await.as_array().unwrap().len(), 0);
    let who = app.call(Some(&eve), "accounts/server_fns/whoami", &[]).await;
    assert_eq!(who.json(), json!({ "email": "+442079460000" }));
    // Her only way in can't be taken away.
    assert_eq!(app.call(Some(&eve), "accounts/server_fns/unlink_phone", &[]).await.status, 409);
    assert_eq!(app.call(Some(&ada), "accounts/server_fns/unlink_phone", &[]).await.status, 200);
}

#[tokio::test]
async fn a_code_takes_five_tries_however_many_come_at_once() {
    let app = App::with(OUTBOX).await;
    by_number(&app, "+49301234567").await;
    let asked = ask(&app, None, NUMBER).await;
    let right = code(&app).await;
    let wrong = other_than(&right);
    let tries = (0..8).map(|_| sign_in(&app, &asked, &wrong));
    for answer in futures::future::join_all(tries).await {
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains("This code is wrong or has run out."), "{}", answer.body);
    }
    assert_eq!(app.count("select max(tries)::bigint from app.codes").await, 5);
    let late = sign_in(&app, &asked, &right).await;
    assert_eq!(late.status, 400, "the right one after five wrong ones");
    // Four leave one.
    let asked = ask(&app, None, NUMBER).await;
    let right = code(&app).await;
    for _ in 0..4 {
        assert_eq!(sign_in(&app, &asked, &other_than(&right)).await.status, 400);
    }
    in_by(&app, &sign_in(&app, &asked, &right).await);
    assert_eq!(sign_in(&app, &asked, &right).await.status, 400, "once");
}

#[tokio::test]
async fn a_code_ends_after_its_time_and_works_for_its_own_request_alone() {
    let app = App::with(OUTBOX).await;
    by_number(&app, "+49301234567").await;
    let asked = ask(&app, None, NUMBER).await;
    let right = code(&app).await;
    let minutes = app.count("select extract(epoch from expires_at - now())::bigint from app.codes").await;
    assert!((500..=600).contains(&minutes));
    assert_eq!(sign_in(&app, &Uuid::new_v4().to_string(), &right).await.status, 400);
    // A code for signing in links nothing, and one for linking signs nobody in.
    let ada = app.sign_up("ada@example.org").await;
    let stolen = app.form(Some(&ada), "/account/phone?do=confirm-phone", &[("ask", &asked), ("code", &right)]).await;
    assert_eq!(stolen.status, 400);
    let linking = ask(&app, Some(&ada), NUMBER).await;
    let links = code(&app).await;
    assert_eq!(sign_in(&app, &linking, &links).await.status, 400);
    let bob = app.sign_up("bob@example.org").await;
    let by_bob = app.form(Some(&bob), "/account/phone?do=confirm-phone", &[("ask", &linking), ("code", &links)]).await;
    assert_eq!(by_bob.status, 400, "somebody else's request");
    app.db.superuser().await.execute("update app.codes set expires_at = now()").await.unwrap();
    assert_eq!(sign_in(&app, &asked, &right).await.status, 400);
    assert_eq!(app.count("select count(*) from app.users where phone is not null").await, 1, "nobody was linked");
}

#[tokio::test]
async fn a_number_that_nobody_has_linked_gets_no_code_and_is_answered_like_a_linked_one() {
    let app = App::with(OUTBOX).await;
    let mut conn = app.db.superuser().await;
    by_number(&app, "+49301234567").await;
    let (known, unknown) = (ask(&app, None, NUMBER).await, ask(&app, None, "+442079460000").await);
    deliver::all(&app.state).await.unwrap();
    let letters = app.state.outbox.as_ref().unwrap().read();
    assert_eq!(letters.iter().map(|l| l.to.as_str()).collect::<Vec<_>>(), ["+49301234567"]);
    let right = letters[0].text[..6].to_owned();
    let wrong = other_than(&right);
    for _ in 0..6 {
        let (a, b) = (sign_in(&app, &known, &wrong).await, sign_in(&app, &unknown, &wrong).await);
        assert_eq!((a.status, b.status), (400.try_into().unwrap(), 400.try_into().unwrap()));
        assert_eq!(a.body.replace(&known, "").len(), b.body.replace(&unknown, "").len());
    }
    assert_eq!(app.count("select count(distinct tries) from app.codes").await, 1, "the same work for both");
    assert_eq!(app.count("select count(*) from app.users").await, 1, "and a number makes no account");
    conn.execute("update app.users set status = 'archived'").await.unwrap();
    let closed = ask(&app, None, NUMBER).await;
    deliver::all(&app.state).await.unwrap();
    assert_eq!(app.state.outbox.as_ref().unwrap().read().len(), 1, "nor does a closed account");
    assert_eq!(sign_in(&app, &closed, "000000").await.status, 400);
}

#[tokio::test]
async fn a_number_belongs_to_one_account() {
    let app = App::with(OUTBOX).await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    for (who, status) in [(&ada, 303), (&bob, 400)] {
        let asked = ask(&app, Some(who), NUMBER).await;
        let sent = code(&app).await;
        let answer = app.form(Some(who), "/account/phone?do=confirm-phone", &[("ask", &asked), ("code", &sent)]).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        assert_eq!(answer.body.contains("This number belongs to another account."), status == 400);
    }
    let bad = app.form(Some(&ada), "/account/phone?do=link-phone", &[("number", "030 12345")]).await;
    assert_eq!(bad.status, 400);
    assert!(bad.body.contains("with its country in front") && bad.body.contains("030 12345"), "{}", bad.body);
}

#[tokio::test]
async fn codes_for_one_number_are_limited_and_say_when_to_come_back() {
    let app = App::with(OUTBOX).await;
    for i in 0..6 {
        let answer = app.form(None, "/sign-in/phone?do=code", &[("number", NUMBER)]).await;
        assert_eq!(answer.status == 429, i == 5, "{i}: {}", answer.body);
        assert_eq!(answer.headers.contains_key(header::RETRY_AFTER), i == 5);
    }
    assert_eq!(app.form(None, "/sign-in/phone?do=code", &[("number", "+442079460000")]).await.status, 303);
}

#[tokio::test]
async fn a_gateway_gets_the_number_the_text_and_the_token_and_is_tried_again() {
    type Got = Arc<Mutex<Vec<(String, Value)>>>;
    async fn take(State(got): State<Got>, headers: HeaderMap, Json(body): Json<Value>) -> axum::http::StatusCode {
        let mut got = got.lock().unwrap();
        got.push((headers[header::AUTHORIZATION].to_str().unwrap().to_owned(), body));
        if got.len() == 1 { axum::http::StatusCode::BAD_GATEWAY } else { axum::http::StatusCode::ACCEPTED }
    }
    let got = Got::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/send", listener.local_addr().unwrap());
    let gateway = Router::new().route("/send", post(take)).with_state(got.clone());
    tokio::spawn(async move { axum::serve(listener, gateway).await.unwrap() });
    let app = App::with(&["--sms-url", &url, "--sms-token", "a token"]).await;
    assert_eq!(app.sign_in("nobody@example.org", PASSWORD).await.status, 400);
    by_number(&app, "+49301234567").await;
    let asked = ask(&app, None, NUMBER).await;
    deliver::all(&app.state).await.unwrap();
    app.db.superuser().await.execute("update app.outgoing set due_at = now()").await.unwrap();
    deliver::all(&app.state).await.unwrap();
    let got = got.lock().unwrap().clone();
    assert_eq!(got.len(), 2);
    assert!(got.iter().all(|(token, body)| token == "Bearer a token" && body["to"] == "+49301234567"));
    let right = got[1].1["text"].as_str().unwrap()[..6].to_owned();
    in_by(&app, &sign_in(&app, &asked, &right).await);
}
