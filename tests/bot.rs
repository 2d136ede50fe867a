//! The assistant: what it answers from, when it hands over, and that it is silent once somebody else has the conversation.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::http::StatusCode;
use futures::{StreamExt, stream::BoxStream};
use moat::{
    answers::answerer::{AnswerError, Answerer, Piece, Talk, Turn},
    bot::run,
};
use serde_json::Value;
use sqlx::Executor;
use tokio::sync::Semaphore;

use crate::{
    desk::{Desk, Visitor, answer, desk, only, queue, read, said},
    harness::{App, Db, Person, SECRET, config},
    workspaces::{at, join, ok},
};

const DESK: &str = "conversations/server_fns";

/// Says what it is told to when it is let, and remembers what it was asked.
struct Puppet {
    words: Mutex<Vec<Result<String, AnswerError>>>,
    asked: Mutex<Vec<Turn>>,
    /// An answer ends when there is a permit.
    go: Arc<Semaphore>,
    begun: AtomicUsize,
}

impl Puppet {
    fn new(words: Vec<Result<&str, AnswerError>>) -> Arc<Self> {
        let words = words.into_iter().rev().map(|w| w.map(str::to_owned)).collect();
        Arc::new(Self {
            words: Mutex::new(words),
            asked: Mutex::default(),
            go: Arc::new(Semaphore::new(0)),
            begun: AtomicUsize::new(0),
        })
    }
}

struct Hand(Arc<Puppet>);

impl Answerer for Hand {
    fn model(&self) -> &str {
        "puppet"
    }
    fn answer(&self, turn: Turn) -> BoxStream<'static, Result<Piece, AnswerError>> {
        let puppet = self.0.clone();
        puppet.asked.lock().unwrap().push(turn);
        puppet.begun.fetch_add(1, Ordering::SeqCst);
        futures::stream::once(async move {
            puppet.go.acquire().await.unwrap().forget();
            puppet.words.lock().unwrap().pop().expect("something to say").map(Piece::Text)
        })
        .boxed()
    }
}

async fn app_with(puppet: &Arc<Puppet>) -> App {
    let db = Db::new().await;
    let mut state = moat::server::boot::state(config(&[]), db.lanes(8), SECRET).unwrap();
    state.answerer = Arc::new(Hand(puppet.clone()));
    App::of(db, state).await
}

/// A desk whose assistant answers first.
async fn desk_with_bot(app: &App, email: &str, name: &'static str) -> Desk {
    let it = desk(app, email, name).await;
    let fields = [("on", "true"), ("name", "Botty"), ("words", "refund")];
    ok(app, &it.ada, &it.place, "bot/server_fns/set_bot", &fields).await;
    it
}

async fn write_article(app: &App, by: &Person, place: &str, title: &str, body: &str, published: bool) -> String {
    let made = ok(app, by, place, "articles/server_fns/make_article", &[("place", place), ("title", title)]).await;
    let id = made.as_str().unwrap().to_owned();
    let mut fields = vec![("article", id.as_str()), ("title", title), ("body", body)];
    if published {
        fields.push(("published", "true"));
    }
    ok(app, by, place, "articles/server_fns/change_article", &fields).await;
    id
}

/// An article that has a word of everything that is asked here.
async fn knows(app: &App, it: &Desk) {
    let words = "question, first, second, something else, again";
    write_article(app, &it.ada, &it.place, "Everything", words, true).await;
}

async fn take(app: &App, person: &Person, place: &str, id: &str) {
    ok(app, person, place, &format!("{DESK}/take_conversation"), &[("conversation", id)]).await;
}

async fn set(app: &App, person: &Person, place: &str, id: &str, status: &str) -> StatusCode {
    let seen = read(app, person, place, id).await["seen"].to_string();
    let fields = [("conversation", id), ("status", status), ("seen", &seen)];
    at(app, person, place, &format!("{DESK}/set_conversation"), &fields).await.status
}

fn lines(conversation: &Value) -> Vec<(&str, &str)> {
    conversation["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| (m["role"].as_str().unwrap(), m["text"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn the_assistant_answers_from_what_is_published_here_names_its_source_and_says_when_it_knows_nothing() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk_with_bot(&app, "ada@example.org", "Acme").await;
    let other = desk(&app, "bob@example.org", "Other").await;
    let shipping = "We ship every day.\n\n## Delivery times\nA parcel takes three days. It takes five to islands.\n";
    let article = write_article(&app, &ada, &place, "Shipping", shipping, true).await;
    write_article(&app, &ada, &place, "Secrets", "The vault code is 4711.", false).await;
    write_article(&app, &other.ada, &other.place, "Theirs", "The magic word is zebra.", true).await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "How long does a parcel take?").await;
    assert_eq!(vi.own(&app).await["writing"], true);
    assert!(queue(&app, &ada, &place, "waiting").await.is_empty(), "nobody has to do anything");
    assert_eq!(run::all(&app.state).await.unwrap(), 1);
    let own = vi.own(&app).await;
    let said = &own["lines"][1];
    assert_eq!((&said["role"], &said["author"]), (&"bot".into(), &"Botty".into()));
    assert_eq!(said["text"], "A parcel takes three days. It takes five to islands.");
    let source = &said["sources"][0];
    assert_eq!(
        (&source["article"], &source["title"], &source["section"]),
        (&article.as_str().into(), &"Shipping".into(), &"Delivery times".into())
    );
    assert_eq!((&own["status"], &own["writing"]), (&"bot".into(), &false.into()));
    // What is a draft, and what is somebody else's, it does not know.
    for question in ["What is the vault code?", "What is the magic word, zebra?"] {
        let vi = Visitor::new(&app, &key).await;
        vi.say(&app, question).await;
        run::all(&app.state).await.unwrap();
        let reads = vi.reads(&app).await;
        assert!(reads[1].starts_with("I don't know"), "{reads:?}");
    }
    assert_eq!(run::all(&app.state).await.unwrap(), 0, "each is answered once");
}

#[tokio::test]
async fn people_get_a_conversation_that_asks_for_them_with_what_was_asked_and_quoted_and_the_customer_reads_no_note() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk_with_bot(&app, "ada@example.org", "Acme").await;
    write_article(&app, &ada, &place, "Shipping", "A parcel takes three days.", true).await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "How long does a parcel take?").await;
    run::all(&app.state).await.unwrap();
    let answer = vi.call(&app, "widget/server_fns/ask_person", &[]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let id = only(&app, &ada, &place, "waiting").await;
    let whole = read(&app, &ada, &place, &id).await;
    let told = lines(&whole);
    assert_eq!(told[2], ("system", "handed this to the team: the customer asked for a person"));
    assert_eq!(told[3], ("note", "They asked:\n- How long does a parcel take?\nI quoted what is named below."));
    assert_eq!(whole["messages"][3]["sources"][0]["title"], "Shipping");
    assert_eq!(vi.reads(&app).await.len(), 2);
    assert_eq!(vi.own(&app).await["status"], "waiting");
    // Asking twice is asking once, and what they write then is for people.
    vi.call(&app, "widget/server_fns/ask_person", &[]).await;
    vi.say(&app, "Hello?").await;
    assert_eq!(run::all(&app.state).await.unwrap(), 0);
    assert_eq!(read(&app, &ada, &place, &id).await["messages"].as_array().unwrap().len(), 5);
    // By words, of the customer's and of the desk's.
    for (words, why) in [
        ("Let me talk to a human", "the customer asked for a person"),
        ("I want a refund now", "the customer wrote “refund”"),
    ] {
        let vi = Visitor::new(&app, &key).await;
        vi.say(&app, words).await;
        run::all(&app.state).await.unwrap();
        assert!(vi.reads(&app).await[1].starts_with("I'm getting somebody"));
        let rows = queue(&app, &ada, &place, "waiting").await;
        let id = rows.iter().find(|row| said(row) != "Hello?" && row["waiting"].is_number()).unwrap()["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let whole = read(&app, &ada, &place, &id).await;
        assert_eq!(lines(&whole)[2], ("system", format!("handed this to the team: {why}").as_str()));
        take(&app, &ada, &place, &id).await;
    }
}

#[tokio::test]
async fn an_answer_that_comes_after_somebody_took_the_conversation_is_a_draft_for_them_and_never_reaches_the_customer()
{
    let puppet = Puppet::new(vec![Ok("late words")]);
    let app = app_with(&puppet).await;
    let it = desk_with_bot(&app, "ada@example.org", "Acme").await;
    knows(&app, &it).await;
    let Desk { ada, place, key } = it;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "Question").await;
    let id = only(&app, &ada, &place, "open").await;
    let owed = run::take(&app.state).await.unwrap().unwrap();
    take(&app, &ada, &place, &id).await;
    assert_eq!(answer(&app, &ada, &place, &id, "I am here.", None).await.status, StatusCode::OK);
    puppet.go.add_permits(1);
    run::write(app.state.clone(), owed).await.unwrap();
    assert_eq!(vi.reads(&app).await, ["Question", "I am here."]);
    let whole = read(&app, &ada, &place, &id).await;
    let draft = whole["messages"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&draft["role"], &draft["text"], &draft["draft"]), (&"note".into(), &"late words".into(), &true.into()));
    assert_eq!(run::all(&app.state).await.unwrap(), 0);
    // Taking it and giving it back is not the assistant's turn again: people were asked.
    assert_eq!(set(&app, &ada, &place, &id, "waiting").await, StatusCode::OK);
    vi.say(&app, "And?").await;
    assert_eq!(run::all(&app.state).await.unwrap(), 0);
}

#[tokio::test]
async fn what_a_customer_says_while_the_assistant_writes_is_answered_with_it_and_once() {
    let puppet = Puppet::new(vec![Ok("to the first"), Ok("to both")]);
    let app = app_with(&puppet).await;
    let it = desk_with_bot(&app, "ada@example.org", "Acme").await;
    knows(&app, &it).await;
    let key = it.key;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "First").await;
    let owed = run::take(&app.state).await.unwrap().unwrap();
    assert!(run::take(&app.state).await.unwrap().is_none(), "one writes it");
    vi.say(&app, "Second").await;
    assert!(run::take(&app.state).await.unwrap().is_none(), "one still writes it");
    puppet.go.add_permits(2);
    run::write(app.state.clone(), owed).await.unwrap();
    assert_eq!(vi.reads(&app).await, ["First", "Second"], "an answer to less than what was said is none");
    assert_eq!(run::all(&app.state).await.unwrap(), 1);
    assert_eq!(vi.reads(&app).await, ["First", "Second", "to both"]);
    let asked = puppet.asked.lock().unwrap();
    let history: Vec<_> = asked[1].history.iter().map(|said| said.text.as_str()).collect();
    assert_eq!(history, ["First", "Second"]);
    assert!(matches!(asked[1].metadata.talk, Talk::Conversation(_)));
}

#[tokio::test]
async fn a_turn_whose_writer_died_is_written_by_somebody_else_and_once_if_they_were_only_slow() {
    let puppet = Puppet::new(vec![Ok("from the first, late"), Ok("from the second"), Ok("from nobody")]);
    let app = app_with(&puppet).await;
    let it = desk_with_bot(&app, "ada@example.org", "Acme").await;
    knows(&app, &it).await;
    let key = it.key;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "Question").await;
    let owed = run::take(&app.state).await.unwrap().unwrap();
    app.db.superuser().await.execute("update app.bot_turns set leased_until = now() - interval '1 s'").await.unwrap();
    puppet.go.add_permits(3);
    let second = run::take(&app.state).await.unwrap().unwrap();
    run::write(app.state.clone(), owed).await.unwrap();
    assert_eq!(vi.reads(&app).await, ["Question"], "somebody else writes it by now");
    run::write(app.state.clone(), second).await.unwrap();
    assert_eq!(run::all(&app.state).await.unwrap(), 0);
    assert_eq!(vi.reads(&app).await, ["Question", "from the second"]);
}

#[tokio::test]
async fn an_assistant_that_fails_three_times_or_knows_nothing_twice_leaves_it_to_people() {
    let fail = || Err(AnswerError::Unreachable);
    let puppet = Puppet::new(vec![fail(), fail(), fail(), Ok("I don't know."), Ok("I don’t know.")]);
    let app = app_with(&puppet).await;
    let it = desk_with_bot(&app, "ada@example.org", "Acme").await;
    knows(&app, &it).await;
    let Desk { ada, place, key } = it;
    puppet.go.add_permits(5);
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "Question").await;
    for _ in 0..3 {
        let owed = run::take(&app.state).await.unwrap().unwrap();
        run::write(app.state.clone(), owed).await.unwrap();
        app.db.superuser().await.execute("update app.bot_turns set leased_until = '-infinity'").await.unwrap();
    }
    assert_eq!(puppet.begun.load(Ordering::SeqCst), 3);
    let id = only(&app, &ada, &place, "waiting").await;
    let whole = read(&app, &ada, &place, &id).await;
    assert_eq!(lines(&whole)[1].0, "bot");
    assert!(lines(&whole)[2].1.contains("the assistant failed"), "{whole}");
    take(&app, &ada, &place, &id).await;
    let wu = Visitor::new(&app, &key).await;
    wu.say(&app, "Something else").await;
    run::all(&app.state).await.unwrap();
    assert_eq!(wu.own(&app).await["status"], "bot", "once is no reason");
    wu.say(&app, "Again").await;
    run::all(&app.state).await.unwrap();
    assert_eq!(wu.own(&app).await["status"], "waiting");
    assert!(wu.reads(&app).await[3].contains("Somebody from the team"));
}

#[tokio::test]
async fn an_assistant_that_is_switched_off_is_silent_at_once_and_people_get_what_it_had() {
    let puppet = Puppet::new(vec![Ok("too late")]);
    let app = app_with(&puppet).await;
    let it = desk_with_bot(&app, "ada@example.org", "Acme").await;
    knows(&app, &it).await;
    let Desk { ada, place, key } = it;
    let (vi, wu) = (Visitor::new(&app, &key).await, Visitor::new(&app, &key).await);
    vi.say(&app, "Question").await;
    let owed = run::take(&app.state).await.unwrap().unwrap();
    wu.say(&app, "Question").await;
    ok(&app, &ada, &place, "bot/server_fns/set_bot", &[("name", "Botty")]).await;
    puppet.go.add_permits(1);
    run::write(app.state.clone(), owed).await.unwrap();
    run::all(&app.state).await.unwrap();
    assert_eq!(
        (vi.reads(&app).await, wu.reads(&app).await),
        (vec!["Question".to_owned()], vec!["Question".to_owned()])
    );
    assert_eq!(puppet.begun.load(Ordering::SeqCst), 1);
    let rows = queue(&app, &ada, &place, "waiting").await;
    assert_eq!(rows.len(), 2);
    for row in rows {
        let whole = read(&app, &ada, &place, row["id"].as_str().unwrap()).await;
        assert!(lines(&whole).iter().any(|(_, text)| text.contains("switched off")), "{whole}");
    }
    // New ones are for people from the beginning.
    let xi = Visitor::new(&app, &key).await;
    xi.say(&app, "Question").await;
    assert_eq!((xi.own(&app).await["status"].as_str(), run::all(&app.state).await.unwrap()), (Some("waiting"), 0));
}

#[tokio::test]
async fn who_has_nothing_to_answer_from_is_not_asked_and_whoever_waited_keeps_their_place() {
    let puppet = Puppet::new(vec![]);
    let app = app_with(&puppet).await;
    let Desk { ada, place, key } = desk_with_bot(&app, "ada@example.org", "Acme").await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "Hello!").await;
    run::all(&app.state).await.unwrap();
    assert_eq!(vi.reads(&app).await, ["Hello!", "Hello. What can I help you with?"]);
    vi.say(&app, "Where is it?").await;
    run::all(&app.state).await.unwrap();
    assert!(vi.reads(&app).await[3].starts_with("I don't know"));
    assert_eq!(puppet.begun.load(Ordering::SeqCst), 0);
    vi.say(&app, "I want a refund").await;
    app.db
        .superuser()
        .await
        .execute("update app.conversations set waiting_since = now() - interval '2 hours'")
        .await
        .unwrap();
    run::all(&app.state).await.unwrap();
    assert!(queue(&app, &ada, &place, "waiting").await[0]["waiting"].as_i64().unwrap() >= 7200);
}

#[tokio::test]
async fn what_the_assistant_has_handed_over_twice_does_not_come_back_to_it() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk_with_bot(&app, "ada@example.org", "Acme").await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "I want a refund").await;
    run::all(&app.state).await.unwrap();
    let id = only(&app, &ada, &place, "waiting").await;
    assert_eq!(read(&app, &ada, &place, &id).await["bot"], true);
    assert_eq!(set(&app, &ada, &place, &id, "bot").await, StatusCode::OK);
    assert_eq!(vi.own(&app).await["writing"], true, "the customer waits, so it owes an answer");
    run::all(&app.state).await.unwrap();
    assert_eq!(only(&app, &ada, &place, "waiting").await, id);
    assert_eq!(read(&app, &ada, &place, &id).await["bot"], false);
    assert_eq!(set(&app, &ada, &place, &id, "bot").await, StatusCode::CONFLICT);
}

#[tokio::test]
async fn owners_and_admins_write_articles_and_steer_the_assistant_and_whoever_has_a_pages_key_reads_what_is_published()
{
    let app = App::new().await;
    let Desk { ada, place, key } = desk_with_bot(&app, "ada@example.org", "Acme").await;
    let other = desk(&app, "eve@example.org", "Other").await;
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    let out = write_article(&app, &ada, &place, "Shipping", "# Fast\n<script>alert(1)</script>We ship.", true).await;
    let draft = write_article(&app, &ada, &place, "Prices", "Secret", false).await;
    let listed = ok(&app, &bob, &bobs, "articles/server_fns/list_articles", &[]).await;
    assert_eq!(listed.as_array().unwrap().len(), 2, "members read all of them");
    for (function, fields) in [
        ("articles/server_fns/make_article", vec![("place", bobs.as_str()), ("title", "x")]),
        ("articles/server_fns/change_article", vec![("article", out.as_str()), ("title", "x")]),
        ("articles/server_fns/move_article", vec![("article", out.as_str()), ("up", "true")]),
        ("articles/server_fns/delete_article", vec![("place", bobs.as_str()), ("article", out.as_str())]),
        ("bot/server_fns/set_bot", vec![("name", "x")]),
    ] {
        let answer = at(&app, &bob, &bobs, function, &fields).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{function}");
    }
    // The order is theirs.
    ok(&app, &ada, &place, "articles/server_fns/move_article", &[("article", &draft), ("up", "true")]).await;
    let listed = ok(&app, &ada, &place, "articles/server_fns/list_articles", &[]).await;
    assert_eq!((&listed[0]["title"], &listed[1]["title"]), (&"Prices".into(), &"Shipping".into()));
    // Customers: by the key, published alone, and safe to show.
    let page = app.page(None, &format!("/help/{key}")).await;
    assert!(page.body.contains("Shipping") && !page.body.contains("Prices"), "{}", page.body);
    let page = app.page(None, &format!("/help/{key}/{out}")).await;
    assert!(page.body.contains("We ship.") && !page.body.contains("<script>alert"), "{}", page.body);
    for (key, article) in [(&key, &draft), (&other.key, &out), (&"nonsense".to_owned(), &out)] {
        let answer = app.call(None, "articles/server_fns/read_help", &[("key", key), ("article", article)]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
    }
    ok(&app, &ada, &place, "articles/server_fns/delete_article", &[("place", &place), ("article", &out)]).await;
    let answer = app.call(None, "articles/server_fns/read_help", &[("key", &key), ("article", &out)]).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_word_that_cannot_be_stored_is_refused_as_such() {
    let app = App::new().await;
    let Desk { ada, place, .. } = desk(&app, "ada@example.org", "Acme").await;
    let fields = [("on", "true"), ("name", "Robin"), ("words", "re\0fund")];
    let refused = at(&app, &ada, &place, "bot/server_fns/set_bot", &fields).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.body);
}

#[tokio::test]
async fn the_assistant_is_a_user_to_whom_nothing_belongs_and_as_whom_nobody_enters() {
    let app = App::new().await;
    let Desk { ada, place, .. } = desk_with_bot(&app, "ada@example.org", "Acme").await;
    ok(&app, &ada, &place, "bot/server_fns/set_bot", &[("on", "true"), ("name", "Other")]).await;
    assert_eq!(app.count("select count(*) from app.users where kind = 'bot'").await, 1, "the same as before");
    let owned = "select count(*) from app.users u where u.kind = 'bot' and (u.email is not null or u.status = 'active'
                   or exists (select from app.workspaces w where w.personal_of = u.id) or exists (select from app.credentials c where c.user_id = u.id))";
    assert_eq!(app.count(owned).await, 0);
    let bot: uuid::Uuid = sqlx::query_scalar("select id from app.users where kind = 'bot'")
        .fetch_one(&mut app.db.superuser().await)
        .await
        .unwrap();
    let mut opening = ada.opening();
    opening.user = moat::types::UserId(bot);
    opening.session = None;
    assert!(app.state.lanes.user(&opening).await.is_err());
}

#[tokio::test]
async fn who_wrote_for_an_earlier_turn_says_nothing_in_a_later_one() {
    let puppet = Puppet::new(vec![Err(AnswerError::TooLong), Ok("to the last question")]);
    let app = app_with(&puppet).await;
    let it = desk_with_bot(&app, "ada@example.org", "Acme").await;
    knows(&app, &it).await;
    let Desk { ada, place, key } = it;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "Question").await;
    let owed = run::take(&app.state).await.unwrap().unwrap();
    let id = only(&app, &ada, &place, "open").await;
    take(&app, &ada, &place, &id).await;
    answer(&app, &ada, &place, &id, "I am here.", None).await;
    assert_eq!(set(&app, &ada, &place, &id, "bot").await, StatusCode::OK);
    vi.say(&app, "Second").await;
    puppet.go.add_permits(2);
    run::write(app.state.clone(), owed).await.unwrap();
    assert_eq!(vi.reads(&app).await, ["Question", "I am here.", "Second"]);
    assert_eq!(run::all(&app.state).await.unwrap(), 1);
    assert_eq!(vi.reads(&app).await.last().unwrap(), "to the last question");
    // Given to it while the customer still waits: the same.
    let puppet = Puppet::new(vec![Err(AnswerError::TooLong), Ok("in its turn")]);
    let app = app_with(&puppet).await;
    let it = desk_with_bot(&app, "ada@example.org", "Acme").await;
    knows(&app, &it).await;
    let Desk { ada, place, key } = it;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "Question").await;
    let owed = run::take(&app.state).await.unwrap().unwrap();
    let id = only(&app, &ada, &place, "open").await;
    take(&app, &ada, &place, &id).await;
    assert_eq!(set(&app, &ada, &place, &id, "bot").await, StatusCode::OK);
    puppet.go.add_permits(2);
    run::write(app.state.clone(), owed).await.unwrap();
    assert_eq!(vi.reads(&app).await, ["Question"]);
    assert_eq!(run::all(&app.state).await.unwrap(), 1);
    assert_eq!(vi.reads(&app).await, ["Question", "in its turn"]);
}
