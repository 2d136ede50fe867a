//! Answers from a model server that does everything right and everything wrong, and what is stored of them.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use futures::{StreamExt, stream::BoxStream};
use moat::{
    answers::{
        answerer::{AnswerError, Answerer, Metadata, Piece, Talk, Turn},
        run, sql,
    },
    server::{lanes::Reason, openai::OpenAi},
    types::GenerationId,
};
use serde_json::{Value, json};
use sqlx::Executor;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::harness::{App, Db, Person, SECRET, config};

/// A model server whose next answer is set by the test.
#[derive(Clone, Default)]
pub struct Model(Arc<Inner>);

#[derive(Default)]
struct Inner {
    manner: Mutex<Manner>,
    requests: Mutex<Vec<(HeaderMap, Value)>>,
    refused: Mutex<Option<Instant>>,
    go_on: Notify,
}

#[derive(Clone, Default)]
pub enum Manner {
    #[default]
    Empty,
    /// These pieces, then the end.
    Say(Vec<String>),
    /// These pieces, then the rest once the test says so.
    Hold(Vec<String>, Vec<String>),
    Cut(Vec<String>),
    Raw(String),
    /// This, and then neither more nor an end.
    Stuck(String),
    /// Refuses whoever comes before the second is over that it asks them to wait, then these pieces.
    Busy(Vec<String>),
    Status(u16, Option<&'static str>),
    /// 400, with this body.
    Refuse(&'static str),
    /// As an older server, which refuses to be asked for the tokens.
    Uncounted(Vec<String>),
    /// This status once, then these pieces.
    Then(u16, Option<&'static str>, Vec<String>),
}

fn line(text: &str) -> String {
    format!("data: {}\n\n", json!({ "choices": [{ "delta": { "content": text } }] }))
}

const END: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// The end of an answer for another reason.
fn ended(reason: &str) -> String {
    format!("data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"{reason}\"}}]}}\n\ndata: [DONE]\n\n")
}

impl Model {
    pub async fn start() -> (Self, String) {
        let model = Self::default();
        let app = Router::new().route("/v1/chat/completions", post(answer)).with_state(model.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (model, url)
    }

    pub fn next(&self, manner: Manner) {
        *self.0.manner.lock().unwrap() = manner;
    }

    pub fn go_on(&self) {
        self.0.go_on.notify_one();
    }

    pub fn requests(&self) -> Vec<(HeaderMap, Value)> {
        self.0.requests.lock().unwrap().clone()
    }
}

async fn answer(State(model): State<Model>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let counted = body["stream_options"]["include_usage"] == true;
    model.0.requests.lock().unwrap().push((headers, body));
    let manner = model.0.manner.lock().unwrap().clone();
    let (first, held, end) = match manner {
        Manner::Empty => (vec![], None, true),
        Manner::Say(pieces) => (pieces, None, true),
        Manner::Hold(pieces, rest) => (pieces, Some(rest), true),
        Manner::Cut(pieces) => (pieces, None, false),
        Manner::Raw(text) => return text.into_response(),
        Manner::Stuck(text) => {
            let text = futures::stream::iter([Ok::<_, std::io::Error>(text)]);
            return Body::from_stream(text.chain(futures::stream::pending())).into_response();
        }
        Manner::Busy(pieces) => {
            let refused = *model.0.refused.lock().unwrap().get_or_insert_with(Instant::now);
            if refused.elapsed() < Duration::from_secs(1) {
                return refusal(429, Some("1"));
            }
            (pieces, None, true)
        }
        Manner::Status(status, retry) => return refusal(status, retry),
        Manner::Refuse(body) => return (StatusCode::BAD_REQUEST, body).into_response(),
        Manner::Uncounted(_) if counted => {
            return (StatusCode::BAD_REQUEST, "unknown field stream_options").into_response();
        }
        Manner::Uncounted(pieces) => (pieces, None, true),
        Manner::Then(status, retry, pieces) => {
            model.next(Manner::Say(pieces));
            return refusal(status, retry);
        }
    };
    let first = futures::stream::iter(first.into_iter().map(|p| line(&p)).collect::<Vec<_>>());
    let rest = futures::stream::once(async move {
        let mut text = String::new();
        if let Some(rest) = held {
            model.0.go_on.notified().await;
            text.extend(rest.iter().map(|p| line(p)));
        }
        if end {
            text.push_str(END);
        }
        text
    });
    Body::from_stream(first.chain(rest).map(Ok::<_, std::io::Error>)).into_response()
}

fn refusal(status: u16, retry: Option<&'static str>) -> Response {
    let mut response = StatusCode::from_u16(status).unwrap().into_response();
    if let Some(retry) = retry {
        response.headers_mut().insert("retry-after", retry.parse().unwrap());
    }
    response
}

pub async fn app_with_model() -> (App, Model) {
    let (model, url) = Model::start().await;
    let db = Db::new().await;
    let config = config(&[
        "--answerer",
        "openai",
        "--openai-url",
        &url,
        "--openai-key",
        "sk-test",
        "--openai-model",
        "a-model",
        "--openai-models",
        "other-model",
        "--openai-context",
        "8000",
    ]);
    let mut state = moat::server::boot::state(config.clone(), db.lanes(8), SECRET).unwrap();
    state.answerer = Arc::new(OpenAi::with_patience(&config, Duration::from_millis(1500)).unwrap());
    (App::of(db, state).await, model)
}

async fn ask(app: &App, who: &Person, text: &str) -> String {
    let client = Uuid::new_v4().to_string();
    let answer = app.call(Some(who), "threads/server_fns/start_thread", &[("client", &client), ("text", text)]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["thread"].as_str().unwrap().to_owned()
}

/// The last message of a thread, once it looks like this.
async fn last(app: &App, who: &Person, thread: &str, what: &str, like: impl Fn(&Value) -> bool) -> Value {
    app.until(what, async || {
        let page = app.call(Some(who), "threads/server_fns/open_thread", &[("thread", thread)]).await.json();
        let last = page["messages"].as_array().unwrap().last().unwrap().clone();
        like(&last).then_some(last)
    })
    .await
}

async fn stored(app: &App) -> String {
    sqlx::query_scalar("select content ->> 'text' from app.messages where role = 'assistant' order by seq desc limit 1")
        .fetch_one(&mut app.db.superuser().await)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_streamed_answer_is_stored_byte_for_byte() {
    let (app, model) = app_with_model().await;
    let ada = app.sign_up("ada@example.org").await;
    let pieces: Vec<String> = [
        "North",
        "",
        " — by 12 %",
        "\n\n```rust\nfn main() {}\n```\n",
        "🦀",
        "e\u{301}",
        "\"quoted\" \\ back",
        "\r\nend ",
    ]
    .map(String::from)
    .to_vec();
    model.next(Manner::Say(pieces.clone()));
    let thread = ask(&app, &ada, "Which region?").await;
    last(&app, &ada, &thread, "the end", |m| m["status"] == "done").await;
    assert_eq!(stored(&app).await, pieces.concat());
}

#[tokio::test]
async fn only_the_callers_own_history_goes_out_and_no_id_with_it() {
    let (app, model) = app_with_model().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    model.next(Manner::Say(vec!["first answer".into()]));
    ask(&app, &bob, "bob's secret").await;
    let thread = ask(&app, &ada, "question one").await;
    last(&app, &ada, &thread, "the end", |m| m["status"] == "done").await;
    let sent = app
        .call(
            Some(&ada),
            "threads/server_fns/send_message",
            &[("thread", &thread), ("client", &Uuid::new_v4().to_string()), ("text", "question two")],
        )
        .await;
    assert_eq!(sent.status, 200);
    last(&app, &ada, &thread, "the second end", |m| m["seq"] == 4 && m["status"] == "done").await;
    let (headers, body) = model.requests().pop().unwrap();
    assert_eq!(
        body["messages"],
        json!([{ "role": "user", "content": "question one" }, { "role": "assistant", "content": "first answer" }, { "role": "user", "content": "question two" }])
    );
    assert_eq!((body["model"].as_str(), body["stream"].as_bool()), (Some("a-model"), Some(true)));
    assert_eq!(headers["authorization"], "Bearer sk-test");
    let out = format!("{body}{headers:?}");
    for secret in ["bob's secret", "ada@example.org", &ada.id.to_string(), &thread, &ada.access] {
        assert!(!out.contains(secret), "{secret} went out");
    }
}

#[tokio::test]
async fn the_answerer_is_told_whose_turn_it_is() {
    #[derive(Default)]
    struct Listener(Arc<Mutex<Vec<Turn>>>);
    impl Answerer for Listener {
        fn model(&self) -> &str {
            "listener"
        }
        fn answer(&self, turn: Turn) -> BoxStream<'static, Result<Piece, AnswerError>> {
            self.0.lock().unwrap().push(turn);
            futures::stream::iter([Ok(Piece::Text("heard".to_owned()))]).boxed()
        }
    }
    let db = Db::new().await;
    let turns = Arc::new(Mutex::new(Vec::new()));
    let mut state = moat::server::boot::state(config(&[]), db.lanes(8), SECRET).unwrap();
    state.answerer = Arc::new(Listener(turns.clone()));
    let app = App::of(db, state).await;
    let ada = app.sign_up("ada@example.org").await;
    let thread = ask(&app, &ada, "hello").await;
    last(&app, &ada, &thread, "the end", |m| m["status"] == "done").await;
    let turns = turns.lock().unwrap();
    assert_eq!(turns.len(), 1);
    assert_eq!(turns[0].metadata, Metadata { user_id: ada.id, talk: Talk::Thread(thread.parse().unwrap()) });
}

#[tokio::test]
async fn what_a_model_server_does_wrong_is_said_in_words_and_what_it_wrote_is_kept() {
    let (app, model) = app_with_model().await;
    let ada = app.sign_up("ada@example.org").await;
    let one = || vec!["a piece".to_owned()];
    for (manner, status, why, kept) in [
        (Manner::Cut(one()), "failed", "broke off", "a piece"),
        (Manner::Hold(one(), vec![]), "failed", "did not go on", "a piece"),
        (Manner::Raw(format!("{}data: {{not json\n\n", line("a piece"))), "failed", "no answer", "a piece"),
        (Manner::Raw("<html>a proxy's page</html>".into()), "failed", "broke off", ""),
        (Manner::Raw(format!("data: {}\n\n", "x".repeat(2_000_000))), "failed", "no answer", ""),
        // A line without an end is not kept until there is one.
        (Manner::Stuck("data: ".to_owned() + &"x".repeat(2_000_000)), "failed", "no answer", ""),
        (Manner::Status(401, None), "failed", "does not take this server's key", ""),
        (Manner::Status(404, None), "failed", "does not know this model", ""),
        (Manner::Status(418, None), "failed", "refused the request (status 418)", ""),
        (Manner::Status(500, None), "failed", "failed (status 500)", ""),
        (Manner::Status(429, Some("60")), "failed", "Try again in 60 s", ""),
        (Manner::Then(429, Some("0"), one()), "done", "", "a piece"),
        (Manner::Busy(one()), "done", "", "a piece"),
        (Manner::Then(500, None, one()), "done", "", "a piece"),
        (Manner::Raw(format!("{}{}", line("a piece"), ended("length"))), "failed", "Go on", "a piece"),
        (Manner::Raw(format!("{}{}", line("a piece"), ended("content_filter"))), "failed", "withheld", "a piece"),
        (
            Manner::Refuse("{\"error\":{\"code\":\"context_length_exceeded\"}}"),
            "failed",
            "longer than the model can read",
            "",
        ),
        (Manner::Refuse("{\"error\":\"no\"}"), "failed", "refused the request (status 400)", ""),
        (Manner::Empty, "failed", "gave no answer", ""),
        // Some say "stop" once more behind what matters.
        (
            Manner::Raw(format!("{}{}{END}", line("a piece"), ended("length").split("data: [DONE]").next().unwrap())),
            "failed",
            "Go on",
            "a piece",
        ),
        (
            Manner::Raw(format!(": keep-alive\n\nevent: x\r\n{}{END}", line("a piece").replace('\n', "\r\n"))),
            "done",
            "",
            "a piece",
        ),
    ] {
        model.next(manner);
        let thread = ask(&app, &ada, "go").await;
        let message = last(&app, &ada, &thread, why, |m| m["status"] != "running").await;
        assert_eq!(message["status"], status, "{message}");
        assert!(message["why"].as_str().unwrap().contains(why), "{message}");
        let text: String = sqlx::query_scalar("select content ->> 'text' from app.messages where id = $1")
            .bind(message["id"].as_str().unwrap().parse::<Uuid>().unwrap())
            .fetch_one(&mut app.db.superuser().await)
            .await
            .unwrap();
        assert_eq!(text, kept, "{message}");
    }
}

#[tokio::test]
async fn tokens_are_counted_as_the_model_server_tells_them() {
    let (app, model) = app_with_model().await;
    let ada = app.sign_up("ada@example.org").await;
    let counted = |read: &str, written: &str| {
        let usage = format!(
            "data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":{read},\"completion_tokens\":{written}}}}}\n\n"
        );
        Manner::Raw(format!("{}{}", line("a piece"), END.replace("data: [DONE]", &format!("{usage}data: [DONE]"))))
    };
    model.next(counted("1200", "34"));
    let thread = ask(&app, &ada, "go").await;
    let message = last(&app, &ada, &thread, "the end", |m| m["status"] == "done").await;
    assert!(message["actions"].as_str().unwrap().contains("a-model · 1200 tokens read, 34 written"), "{message}");
    let used = async || {
        app.call(Some(&ada), "threads/server_fns/open_thread", &[("thread", &thread)]).await.json()["thread"]["used"]
            .clone()
    };
    assert_eq!(used().await, "Context 1,234 of 8,000 tokens (15 %) · 1,234 tokens used in this chat");

    // A server that does not know the question is asked without it, and one that counts nonsense is not believed.
    for (seq, manner) in [(4, Manner::Uncounted(vec!["a piece".into()])), (6, counted("-5", "99999999999999"))] {
        model.next(manner);
        let client = Uuid::new_v4().to_string();
        let sent = [("thread", &*thread), ("client", &client), ("text", "more")];
        assert_eq!(app.call(Some(&ada), "threads/server_fns/send_message", &sent).await.status, 200);
        let message = last(&app, &ada, &thread, "the end", |m| m["seq"] == seq && m["status"] != "running").await;
        assert_eq!(message["status"], "done", "{message}");
        assert!(!message["actions"].as_str().unwrap().contains("tokens"), "{message}");
        assert_eq!(used().await, "1,234 tokens used in this chat");
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut_at_a_megabyte() {
    let (app, model) = app_with_model().await;
    let ada = app.sign_up("ada@example.org").await;
    model.next(Manner::Say(vec!["0123456789".repeat(1000); 1000]));
    let thread = ask(&app, &ada, "ten megabytes").await;
    let message = last(&app, &ada, &thread, "the cut", |m| m["status"] != "running").await;
    assert_eq!(message["status"], "failed");
    assert!(message["why"].as_str().unwrap().contains("1 MB"));
    assert_eq!(stored(&app).await, "0123456789".repeat(100_000));
}

#[tokio::test]
async fn a_failed_answer_is_tried_again_beside_the_first() {
    let (app, model) = app_with_model().await;
    let ada = app.sign_up("ada@example.org").await;
    model.next(Manner::Status(400, None));
    let thread = ask(&app, &ada, "go").await;
    let failed = last(&app, &ada, &thread, "the failure", |m| m["status"] == "failed").await;
    model.next(Manner::Say(vec!["better".into()]));
    let again =
        app.call(Some(&ada), "threads/server_fns/answer_again", &[("message", failed["id"].as_str().unwrap())]).await;
    assert_eq!(again.status, 200, "{}", again.body);
    let better = last(&app, &ada, &thread, "the answer", |m| m["status"] == "done").await;
    assert_eq!(better["html"], "<p>better</p>\n");
    let page = app.call(Some(&ada), "threads/server_fns/open_thread", &[("thread", &thread)]).await.json();
    assert_eq!(page["messages"].as_array().unwrap().len(), 2, "the failed one is a sibling, not a line of the talk");
    let body = model.requests().pop().unwrap().1;
    assert_eq!(body["messages"], json!([{ "role": "user", "content": "go" }]));
}

#[tokio::test]
async fn an_answer_stops_when_it_is_asked_to_even_while_nothing_comes() {
    let (app, model) = app_with_model().await;
    let ada = app.sign_up("ada@example.org").await;
    model.next(Manner::Hold(vec!["begun".into()], vec!["never".into()]));
    let thread = ask(&app, &ada, "go").await;
    last(&app, &ada, &thread, "the first piece", |m| m["text"] == "begun").await;
    let busy = app
        .call(
            Some(&ada),
            "threads/server_fns/send_message",
            &[("thread", &thread), ("client", &Uuid::new_v4().to_string()), ("text", "me too")],
        )
        .await;
    assert_eq!(busy.status, StatusCode::CONFLICT);
    assert_eq!(app.call(Some(&ada), "threads/server_fns/stop_answer", &[("thread", &thread)]).await.status, 200);
    let stopped = last(&app, &ada, &thread, "the stop", |m| m["status"] != "running").await;
    assert_eq!(stopped["status"], "stopped");
    assert_eq!(stored(&app).await, "begun");
    // And the next message can be sent.
    model.next(Manner::Say(vec!["on".into()]));
    let sent = app
        .call(
            Some(&ada),
            "threads/server_fns/send_message",
            &[("thread", &thread), ("client", &Uuid::new_v4().to_string()), ("text", "me too")],
        )
        .await;
    assert_eq!(sent.status, 200, "{}", sent.body);
}

#[tokio::test]
async fn an_answer_goes_on_when_its_user_signs_out_and_ends_when_the_account_is_closed() {
    let (app, model) = app_with_model().await;
    let ada = app.sign_up("ada@example.org").await;
    model.next(Manner::Hold(vec!["begun".into()], vec![" and done".into()]));
    let thread = ask(&app, &ada, "go").await;
    last(&app, &ada, &thread, "the first piece", |m| m["text"] == "begun").await;
    assert_eq!(app.call(Some(&ada), "accounts/server_fns/sign_out", &[]).await.status, 200);
    model.go_on();
    app.until("the end", async || (stored(&app).await == "begun and done").then_some(())).await;

    let bob = app.sign_up("bob@example.org").await;
    model.next(Manner::Hold(vec!["begun".into()], vec![" for nobody".into()]));
    let thread = ask(&app, &bob, "go").await;
    last(&app, &bob, &thread, "the first piece", |m| m["text"] == "begun").await;
    app.db.superuser().await.execute("update app.users set status = 'banned'").await.unwrap();
    model.go_on();
    app.state.tasks.close();
    app.state.tasks.wait().await;
    let chunks: Vec<String> = sqlx::query_scalar("select text from app.generation_chunks")
        .fetch_all(&mut app.db.superuser().await)
        .await
        .unwrap();
    assert_eq!(chunks, ["begun"], "nothing was written for a closed account");
}

/// Says nothing for as long as the test likes, then one thing.
struct Silent(Arc<Notify>);

impl Answerer for Silent {
    fn model(&self) -> &str {
        "silent"
    }

    fn answer(&self, _: Turn) -> BoxStream<'static, Result<Piece, AnswerError>> {
        let go_on = self.0.clone();
        futures::stream::once(async move {
            go_on.notified().await;
            Ok(Piece::Text("at last".to_owned()))
        })
        .boxed()
    }
}

async fn app_with_silence() -> (App, Arc<Notify>) {
    let (db, go_on) = (Db::new().await, Arc::new(Notify::new()));
    let mut state = moat::server::boot::state(config(&[]), db.lanes(8), SECRET).unwrap();
    state.answerer = Arc::new(Silent(go_on.clone()));
    (App::of(db, state).await, go_on)
}

#[tokio::test]
async fn an_answer_that_is_silent_for_longer_than_its_lease_is_still_its_writers() {
    let (app, go_on) = app_with_silence().await;
    let ada = app.sign_up("ada@example.org").await;
    let thread = ask(&app, &ada, "go").await;
    let lapsed = "update app.generations set lease_until = now() - interval '1 second'";
    app.db.superuser().await.execute(lapsed).await.unwrap();
    app.until("the lease's renewal", async || {
        (app.count("select count(*) from app.generations where lease_until > now()").await == 1).then_some(())
    })
    .await;
    run::sweep(&app.state).await.unwrap();
    go_on.notify_one();
    let answer = last(&app, &ada, &thread, "the end", |m| m["status"] != "running").await;
    assert_eq!((answer["status"].as_str(), answer["html"].as_str()), (Some("done"), Some("<p>at last</p>\n")));
}

#[tokio::test]
async fn of_two_messages_at_once_one_is_answered_and_the_other_is_told_what_it_would_hear_later() {
    let (app, go_on) = app_with_silence().await;
    let app = Arc::new(app);
    let ada = app.sign_up("ada@example.org").await;
    let thread = ask(&app, &ada, "first").await;
    go_on.notify_one();
    last(&app, &ada, &thread, "the end", |m| m["status"] == "done").await;
    let send = |text: &'static str| {
        let (app, ada, thread) = (app.clone(), ada.clone(), thread.clone());
        let client = Uuid::new_v4().to_string();
        tokio::spawn(async move {
            let fields = [("thread", thread.as_str()), ("client", &client), ("text", text)];
            app.call(Some(&ada), "threads/server_fns/send_message", &fields).await
        })
    };
    // Somebody holds the thread until both wait for it.
    let mut holder = app.db.superuser().await;
    holder.execute("begin; select from app.threads for update").await.unwrap();
    let both = [send("one window"), send("another window")];
    app.until("both wait", async || {
        let waiting =
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        (app.count(waiting).await == 2).then_some(())
    })
    .await;
    holder.execute("commit").await.unwrap();
    let mut answers: Vec<_> = futures::future::join_all(both).await.into_iter().map(Result::unwrap).collect();
    answers.sort_by_key(|answer| answer.status);
    assert_eq!(answers.iter().map(|a| a.status.as_u16()).collect::<Vec<_>>(), [200, 409]);
    let later = send("a third, later").await.unwrap();
    assert_eq!((later.status, &later.body), (answers[1].status, &answers[1].body));
    assert!(later.body.contains("An answer is still being written"), "{}", later.body);
    assert_eq!(app.count("select count(*) from app.messages").await, 4, "what was refused is not stored");
    go_on.notify_one();
    last(&app, &ada, &thread, "the end", |m| m["seq"] == 4 && m["status"] == "done").await;
}

#[tokio::test]
async fn nothing_is_added_to_an_answer_that_is_over() {
    let (app, model) = app_with_model().await;
    let ada = app.sign_up("ada@example.org").await;
    model.next(Manner::Say(vec!["all of it".into()]));
    let thread = ask(&app, &ada, "go").await;
    last(&app, &ada, &thread, "the end", |m| m["status"] == "done").await;
    let (generation, lease): (GenerationId, String) =
        sqlx::query_as("select id, lease_until::text from app.generations")
            .fetch_one(&mut app.db.superuser().await)
            .await
            .unwrap();
    for text in ["more", ""] {
        let mut lane = app.state.lanes.service(Reason::Generation(ada.id)).await.unwrap();
        assert!(!sql::append(&mut lane, generation, 9, text).await.unwrap(), "a late writer is told to stop");
        lane.commit().await.unwrap();
    }
    assert_eq!(app.count("select count(*) from app.generation_chunks").await, 0);
    let after: String = sqlx::query_scalar("select lease_until::text from app.generations")
        .fetch_one(&mut app.db.superuser().await)
        .await
        .unwrap();
    assert_eq!(after, lease);
    assert_eq!(stored(&app).await, "all of it");
}

#[tokio::test]
async fn of_an_unfinished_answer_the_complete_blocks_are_rendered_and_the_rest_is_as_it_came() {
    let (app, model) = app_with_model().await;
    let ada = app.sign_up("ada@example.org").await;
    model.next(Manner::Hold(
        vec!["**Bold**\n\n```rust\nfn a() {}\n\n".into(), "fn b".into()],
        vec!["() {}\n```".into()],
    ));
    let thread = ask(&app, &ada, "code").await;
    let half = last(&app, &ada, &thread, "the half", |m| m["text"].as_str().unwrap().ends_with("fn b")).await;
    assert_eq!(half["html"], "<p><strong>Bold</strong></p>\n");
    assert_eq!(half["text"], "```rust\nfn a() {}\n\nfn b");
    model.go_on();
    let whole = last(&app, &ada, &thread, "the end", |m| m["status"] == "done").await;
    assert!(whole["html"].as_str().unwrap().contains("<pre") && whole["text"] == "", "{whole}");
}

#[tokio::test]
async fn an_answer_goes_on_from_its_last_letter_and_the_old_one_stays_beside_it() {
    let (app, model) = app_with_model().await;
    let ada = app.sign_up("ada@example.org").await;
    model.next(Manner::Cut(vec!["Once upon ".into(), "a ti".into()]));
    let thread = ask(&app, &ada, "a tale").await;
    let old = last(&app, &ada, &thread, "the failure", |m| m["status"] == "failed").await;
    model.next(Manner::Say(vec!["me, it ".into(), "ended.".into()]));
    let again = [("message", old["id"].as_str().unwrap()), ("go_on", "true")];
    assert_eq!(app.call(Some(&ada), "threads/server_fns/answer_again", &again).await.status, 200);
    let whole = last(&app, &ada, &thread, "the rest", |m| m["status"] == "done").await;
    assert_eq!(whole["html"], "<p>Once upon a time, it ended.</p>\n");
    assert_eq!((whole["place"].as_i64(), whole["siblings"].as_i64()), (Some(2), Some(2)));
    assert_eq!(whole["previous"], old["id"]);
    let shown = model.requests().last().unwrap().1["messages"].clone();
    assert_eq!(shown[0], json!({ "role": "user", "content": "a tale" }));
    assert_eq!(shown[1], json!({ "role": "assistant", "content": "Once upon a ti" }));
    assert_eq!(shown[2]["role"], "user");
}

#[tokio::test]
async fn a_chat_has_a_model_and_instructions_of_its_own() {
    let (app, model) = app_with_model().await;
    let ada = app.sign_up("ada@example.org").await;
    model.next(Manner::Say(vec!["one".into()]));
    let thread = ask(&app, &ada, "before").await;
    last(&app, &ada, &thread, "the answer", |m| m["status"] == "done").await;
    let set = |model: &'static str, text: &'static str| {
        [("thread", thread.clone()), ("model", model.to_owned()), ("instructions", text.to_owned())]
    };
    let call = async |fields: [(&'static str, String); 3]| {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (*k, v.as_str())).collect();
        app.call(Some(&ada), "threads/server_fns/set_options", &fields).await
    };
    let unknown = call(set("no such model", "")).await;
    assert_eq!((unknown.status, unknown.json()["field"].clone()), (StatusCode::BAD_REQUEST, json!("model")));
    assert_eq!(call(set("other-model", "Answer in verse.")).await.status, 200);
    model.next(Manner::Say(vec!["two".into()]));
    let sent = [("thread", thread.as_str()), ("client", &Uuid::new_v4().to_string()), ("text", "after")];
    assert_eq!(app.call(Some(&ada), "threads/server_fns/send_message", &sent).await.status, 200);
    last(&app, &ada, &thread, "the answer", |m| m["seq"] == 4 && m["status"] == "done").await;
    let asked = model.requests();
    let (first, second) = (&asked[asked.len() - 2].1, &asked.last().unwrap().1);
    assert_eq!((first["model"].as_str(), first["messages"][0]["role"].as_str()), (Some("a-model"), Some("user")));
    assert_eq!(second["model"], "other-model");
    assert_eq!(second["messages"][0], json!({ "role": "system", "content": "Answer in verse." }));
    let page = app.call(Some(&ada), "threads/server_fns/open_thread", &[("thread", &thread)]).await.json();
    let menu = scraper::Html::parse_fragment(page["menu"].as_str().unwrap());
    let texts = |what: &str| {
        menu.select(&scraper::Selector::parse(what).unwrap()).map(|e| e.text().collect::<String>()).collect::<Vec<_>>()
    };
    assert_eq!(texts("option"), ["a-model", "other-model"]);
    assert_eq!(texts("option[selected]"), ["other-model"]);
    assert_eq!(texts("textarea"), ["Answer in verse."]);
}

#[tokio::test]
async fn a_new_chat_is_answered_by_the_model_that_was_chosen_for_it() {
    let (app, model) = app_with_model().await;
    let ada = app.sign_up("ada@example.org").await;
    let page = app.page(Some(&ada), "/chat").await.body;
    assert!(page.contains("<option>a-model</option><option>other-model</option>"), "{page}");
    let start = async |chosen: &str| {
        let client = Uuid::new_v4().to_string();
        let fields = [("client", client.as_str()), ("text", "hello"), ("model", chosen)];
        app.call(Some(&ada), "threads/server_fns/start_thread", &fields).await
    };
    let unknown = start("no such model").await;
    assert_eq!((unknown.status, unknown.json()["field"].clone()), (StatusCode::BAD_REQUEST, json!("model")));
    model.next(Manner::Say(vec!["one".into()]));
    let thread = start("other-model").await.json()["thread"].as_str().unwrap().to_owned();
    let answer = last(&app, &ada, &thread, "the answer", |m| m["status"] == "done").await;
    assert!(answer["actions"].as_str().unwrap().contains("title=\"other-model\""), "{answer}");
    for text in ["and on", "and on"] {
        let sent = [("thread", thread.as_str()), ("client", &Uuid::new_v4().to_string()), ("text", text)];
        assert_eq!(app.call(Some(&ada), "threads/server_fns/send_message", &sent).await.status, 200);
        last(&app, &ada, &thread, "the answer", |m| m["status"] == "done").await;
    }
    let asked = model.requests();
    assert_eq!(asked.iter().map(|(_, body)| body["model"].clone()).collect::<Vec<_>>(), ["other-model"; 3]);
}

#[tokio::test]
async fn a_message_that_is_sent_twenty_times_is_answered_by_the_model_once() {
    let (app, model) = app_with_model().await;
    let app = Arc::new(app);
    let ada = app.sign_up("ada@example.org").await;
    model.next(Manner::Say(vec!["one".into()]));
    let client = Uuid::new_v4().to_string();
    let sends = (0..20).map(|_| {
        let (app, ada, client) = (app.clone(), ada.clone(), client.clone());
        tokio::spawn(async move {
            app.call(Some(&ada), "threads/server_fns/start_thread", &[("client", &client), ("text", "once")])
                .await
                .json()
        })
    });
    let posted: Vec<Value> = futures::future::join_all(sends).await.into_iter().map(|p| p.unwrap()).collect();
    assert!(posted.iter().all(|p| *p == posted[0]), "{posted:?}");
    let thread = posted[0]["thread"].as_str().unwrap();
    let answer = last(&app, &ada, thread, "the answer", |m| m["status"] != "running").await;
    assert_eq!((answer["status"].as_str(), answer["html"].as_str()), (Some("done"), Some("<p>one</p>\n")));
    // What comes later is answered later: nothing is on its way any more.
    model.next(Manner::Say(vec!["two".into()]));
    let fields = [("thread", thread), ("client", &Uuid::new_v4().to_string()), ("text", "and on")];
    assert_eq!(app.call(Some(&ada), "threads/server_fns/send_message", &fields).await.status, 200);
    last(&app, &ada, thread, "the next answer", |m| m["seq"] == 4 && m["status"] == "done").await;
    assert_eq!(model.requests().len(), 2);
}
