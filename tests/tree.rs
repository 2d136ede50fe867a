//! A thread is a tree: edits, other answers, forks and deletions keep it whole, and the branch that was chosen is remembered.

use axum::http::StatusCode;
use moat::{
    answers,
    error::AppError,
    server::lanes::{Lanes, Opening, Reason},
    threads::{self, model::Posted, sql::End},
    types::{ClientId, MessageId, Status, ThreadId},
};
use serde_json::Value;
use sqlx::{Connection, Executor};
use uuid::Uuid;

use crate::harness::{App, Person, post};

const OPEN: &str = "threads/server_fns/open_thread";

fn fresh() -> String {
    Uuid::new_v4().to_string()
}

async fn call(app: &App, who: &Person, name: &str, fields: &[(&str, &str)]) -> Value {
    let answer = app.call(Some(who), &format!("threads/server_fns/{name}"), fields).await;
    assert_eq!(answer.status, 200, "{name}: {}", answer.body);
    answer.json()
}

/// The transcript when nothing is being written.
async fn settled(app: &App, who: &Person, thread: &str) -> Vec<Value> {
    app.until("the end of an answer", async || {
        let page = app.call(Some(who), OPEN, &[("thread", thread)]).await.json();
        let answering = page["thread"]["answering"] == true;
        (!answering).then(|| page["messages"].as_array().unwrap().clone())
    })
    .await
}

async fn start(app: &App, who: &Person, text: &str) -> String {
    let thread = call(app, who, "start_thread", &[("client", &fresh()), ("text", text)]).await["thread"].clone();
    thread.as_str().unwrap().to_owned()
}

async fn say(app: &App, who: &Person, thread: &str, text: &str) {
    call(app, who, "send_message", &[("thread", thread), ("client", &fresh()), ("text", text)]).await;
    settled(app, who, thread).await;
}

fn id(message: &Value) -> &str {
    message["id"].as_str().unwrap()
}

/// What the caller's own messages of a transcript say.
fn said(page: &[Value]) -> Vec<String> {
    let own = page.iter().filter(|m| m["role"] == "user");
    own.map(|m| m["html"].as_str().unwrap().trim().replace("<p>", "").replace("</p>", "")).collect()
}

#[tokio::test]
async fn an_edit_stands_beside_what_it_replaces_and_each_branch_is_found_where_it_was_left() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let thread = start(&app, &ada, "one").await;
    settled(&app, &ada, &thread).await;
    say(&app, &ada, &thread, "two").await;
    say(&app, &ada, &thread, "three").await;
    let old = settled(&app, &ada, &thread).await;
    assert_eq!(said(&old), ["one", "two", "three"]);

    // The first message can have a sibling, too.
    let edit = [("message", id(&old[0])), ("client", &fresh()), ("text", "uno")];
    let posted = call(&app, &ada, "edit_message", &edit).await;
    assert_eq!(call(&app, &ada, "edit_message", &edit).await, posted, "sent twice, stored once");
    let new = settled(&app, &ada, &thread).await;
    assert_eq!(said(&new), ["uno"]);
    assert_eq!((new[0]["place"].as_i64(), new[0]["siblings"].as_i64()), (Some(2), Some(2)));
    assert_eq!((&new[0]["previous"], &new[0]["next"]), (&old[0]["id"], &Value::Null));
    say(&app, &ada, &thread, "due").await;

    // Back: to the end of the old branch, and that is what a reload and every other window show from now on.
    call(&app, &ada, "choose_branch", &[("to", id(&old[0]))]).await;
    let back = settled(&app, &ada, &thread).await;
    assert_eq!(said(&back), ["one", "two", "three"]);
    let html = app.page(Some(&ada), &format!("/chat/{thread}")).await.body;
    assert!(html.contains("three") && !html.contains(">due<"));

    // A branch within that branch; leaving it at the top and coming back leads to it, not to the newest message.
    let edit = [("message", id(&old[2])), ("client", &fresh()), ("text", "two, edited")];
    call(&app, &ada, "edit_message", &edit).await;
    settled(&app, &ada, &thread).await;
    call(&app, &ada, "choose_branch", &[("to", id(&new[0]))]).await;
    assert_eq!(said(&settled(&app, &ada, &thread).await), ["uno", "due"]);
    call(&app, &ada, "choose_branch", &[("to", id(&old[0]))]).await;
    assert_eq!(said(&settled(&app, &ada, &thread).await), ["one", "two, edited"]);
    call(&app, &ada, "choose_branch", &[("to", id(&old[2]))]).await;
    assert_eq!(said(&settled(&app, &ada, &thread).await), ["one", "two", "three"]);
}

#[tokio::test]
async fn another_answer_stands_beside_any_answer_and_is_stored_once() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let thread = start(&app, &ada, "How do I rename a chat?").await;
    settled(&app, &ada, &thread).await;
    say(&app, &ada, &thread, "thanks").await;
    let old = settled(&app, &ada, &thread).await;
    let client = fresh();
    let again = [("message", id(&old[1])), ("client", client.as_str())];
    let first = call(&app, &ada, "answer_again", &again).await;
    let new = settled(&app, &ada, &thread).await;
    assert_eq!(call(&app, &ada, "answer_again", &again).await, first, "sent again after its end");
    let taken = old[0]["client_id"].as_str().unwrap();
    let odd =
        app.call(Some(&ada), "threads/server_fns/answer_again", &[("message", id(&old[1])), ("client", taken)]).await;
    assert_eq!(odd.status, StatusCode::CONFLICT, "an id that a message has: {}", odd.body);
    assert_eq!(new.len(), 2, "what was said after the old answer is on its branch");
    assert_eq!((new[1]["place"].as_i64(), new[1]["siblings"].as_i64()), (Some(2), Some(2)));
    assert_eq!(new[1]["html"].as_str().unwrap(), old[1]["html"].as_str().unwrap());
    call(&app, &ada, "choose_branch", &[("to", id(&old[1]))]).await;
    assert_eq!(settled(&app, &ada, &thread).await.len(), 4);
}

#[tokio::test]
async fn a_message_is_said_to_what_its_writer_saw_whatever_another_window_shows_since() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let thread = start(&app, &ada, "one").await;
    settled(&app, &ada, &thread).await;
    say(&app, &ada, &thread, "two").await;
    let old = settled(&app, &ada, &thread).await;
    let edit = [("message", id(&old[2])), ("client", &fresh()), ("text", "two, edited")];
    call(&app, &ada, "edit_message", &edit).await;
    let new = settled(&app, &ada, &thread).await;
    assert_eq!(said(&new), ["one", "two, edited"]);

    let client = fresh();
    let reply = [("thread", &*thread), ("client", &client), ("text", "three"), ("after", id(&old[3]))];
    let posted = call(&app, &ada, "send_message", &reply).await;
    assert_eq!(said(&settled(&app, &ada, &thread).await), ["one", "two", "three"]);
    // Two that waited behind one answer stand one below the other.
    let next = [("thread", &*thread), ("client", &fresh()), ("text", "four"), ("after", id(&old[3]))];
    call(&app, &ada, "send_message", &next).await;
    assert_eq!(said(&settled(&app, &ada, &thread).await), ["one", "two", "three", "four"]);
    // Sent again it is the same message, and turns no page.
    call(&app, &ada, "choose_branch", &[("to", id(&new[2]))]).await;
    assert_eq!(call(&app, &ada, "send_message", &reply).await, posted);
    assert_eq!(said(&settled(&app, &ada, &thread).await), ["one", "two, edited"]);
    // What is no message of this thread says nothing about where it goes.
    let bobs = start(&app, &bob, "bob's").await;
    let bobs = settled(&app, &bob, &bobs).await;
    let elsewhere = start(&app, &ada, "elsewhere").await;
    let elsewhere = settled(&app, &ada, &elsewhere).await;
    for (n, after) in [id(&bobs[0]), id(&elsewhere[0]), &fresh()].into_iter().enumerate() {
        let client = fresh();
        let text = format!("odd {n}");
        call(
            &app,
            &ada,
            "send_message",
            &[("thread", &thread), ("client", &client), ("text", &text), ("after", after)],
        )
        .await;
        assert_eq!(said(&settled(&app, &ada, &thread).await).last().unwrap(), &text);
    }
}

#[tokio::test]
async fn a_message_that_is_looked_for_is_shown_among_its_own_and_nothing_is_turned_by_looking() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let thread = start(&app, &ada, "one").await;
    settled(&app, &ada, &thread).await;
    say(&app, &ada, &thread, "two").await;
    let old = settled(&app, &ada, &thread).await;
    call(&app, &ada, "edit_message", &[("message", id(&old[0])), ("client", &fresh()), ("text", "uno")]).await;
    let new = settled(&app, &ada, &thread).await;
    let at =
        async |who: &Person, thread: &str, at: &str| app.call(Some(who), OPEN, &[("thread", thread), ("at", at)]).await;
    // On the branch that is shown: the newest page.
    let page = at(&ada, &thread, id(&new[0])).await.json();
    assert_eq!(
        (said(page["messages"].as_array().unwrap()), &page["older"]),
        (vec!["uno".to_owned()], &Value::Bool(false))
    );
    // On another one.
    let page = at(&ada, &thread, id(&old[0])).await.json();
    assert_eq!(said(page["messages"].as_array().unwrap()), ["one", "two"]);
    assert_eq!((&page["older"], &page["more"]), (&Value::Bool(true), &Value::Bool(false)));
    let html = app.page(Some(&ada), &format!("/chat/{thread}?at={}", id(&old[2]))).await.body;
    assert!(html.contains(&format!("id=\"m-{}\"", id(&old[2]))), "{html}");
    assert_eq!(said(&settled(&app, &ada, &thread).await), ["uno"], "looking turns nothing");
    // Somebody else's, and one that is not there.
    let bobs = start(&app, &bob, "bob's").await;
    let bobs = settled(&app, &bob, &bobs).await;
    let (foreign, random) = (at(&ada, &thread, id(&bobs[0])).await, at(&ada, &thread, &fresh()).await);
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    assert_eq!((foreign.status, &foreign.body), (random.status, &random.body));
    // Far up: it has the ten below it, and what stands above.
    let long = start(&app, &ada, "0").await;
    settled(&app, &ada, &long).await;
    sqlx::query(
        "insert into app.messages (id, thread_id, user_id, seq, parent_id, client_id, role, content)
         select md5(n::text)::uuid, $1, $2, n, case when n = 3 then (select id from app.messages where thread_id = $1 and seq = 2) else md5((n - 1)::text)::uuid end,
                gen_random_uuid(), 'user', '{\"text\": \"said\"}' from generate_series(3, 200) n",
    )
    .bind(long.parse::<Uuid>().unwrap())
    .bind(ada.id)
    .execute(&mut app.db.superuser().await)
    .await
    .unwrap();
    sqlx::query("update app.threads set leaf_id = md5('200')::uuid, last_seq = 200 where id = $1")
        .bind(long.parse::<Uuid>().unwrap())
        .execute(&mut app.db.superuser().await)
        .await
        .unwrap();
    let hundredth: Uuid =
        sqlx::query_scalar("select md5('100')::uuid").fetch_one(&mut app.db.superuser().await).await.unwrap();
    let page = at(&ada, &long, &hundredth.to_string()).await.json();
    let seqs: Vec<i64> = page["messages"].as_array().unwrap().iter().map(|m| m["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, (61..=110).collect::<Vec<_>>());
    assert_eq!((&page["older"], &page["more"]), (&Value::Bool(true), &Value::Bool(true)));
}

#[tokio::test]
async fn every_message_says_when_it_was_sent_in_the_readers_own_time() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let thread = start(&app, &ada, "one").await;
    settled(&app, &ada, &thread).await;
    sqlx::query("update app.messages set created_at = '2020-03-01T23:30:00Z'")
        .execute(&mut app.db.superuser().await)
        .await
        .unwrap();
    for (zone, when) in [
        ("Europe/Berlin", "Sent 2 Mar 2020, 00:30"),
        ("UTC", "Sent 1 Mar 2020, 23:30"),
        ("no/where", "Sent 1 Mar 2020, 23:30"),
    ] {
        let mut request = post(&format!("/api/moat/{OPEN}"), &[("thread", &thread)]);
        request.headers_mut().insert("cookie", format!("{}; moat-tz={zone}", ada.cookie()).parse().unwrap());
        let page = app.send(request).await.json();
        assert!(
            page["messages"][0]["actions"].as_str().unwrap().contains(when),
            "{zone}: {}",
            page["messages"][0]["actions"]
        );
    }
}

#[tokio::test]
async fn a_deleted_message_keeps_its_place_and_loses_its_words() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let thread = start(&app, &ada, "a slip of the tongue").await;
    settled(&app, &ada, &thread).await;
    say(&app, &ada, &thread, "and on").await;
    let page = settled(&app, &ada, &thread).await;
    let foreign = app.call(Some(&bob), "threads/server_fns/delete_message", &[("message", id(&page[0]))]).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    call(&app, &ada, "delete_message", &[("message", id(&page[0]))]).await;
    let page = settled(&app, &ada, &thread).await;
    assert_eq!(page.iter().map(|m| m["seq"].as_i64().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(page.iter().map(|m| m["deleted"] == true).collect::<Vec<_>>(), [true, false, false, false]);
    let found: i64 = sqlx::query_scalar("select count(*) from app.messages where content::text like '%slip%'")
        .fetch_one(&mut app.db.superuser().await)
        .await
        .unwrap();
    assert_eq!(found, 0);
    let again = [("message", id(&page[1]))];
    let refused = app.call(Some(&ada), "threads/server_fns/answer_again", &again).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.body);
    assert!(refused.body.contains("The question was deleted"), "{}", refused.body);
    let edit = [("message", id(&page[0])), ("client", &fresh()), ("text", "better")];
    let gone = app.call(Some(&ada), "threads/server_fns/edit_message", &edit).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_fork_is_a_thread_of_its_own_with_everything_down_to_there() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let thread = start(&app, &ada, "one").await;
    settled(&app, &ada, &thread).await;
    say(&app, &ada, &thread, "two").await;
    let page = settled(&app, &ada, &thread).await;
    let client = fresh();
    let fields = [("message", id(&page[1])), ("client", client.as_str())];
    let fork = call(&app, &ada, "fork_thread", &fields).await;
    assert_eq!(call(&app, &ada, "fork_thread", &fields).await, fork, "sent twice, made once");
    let fork = fork.as_str().unwrap().to_owned();
    let copy = settled(&app, &ada, &fork).await;
    assert_eq!(copy.len(), 2);
    for (new, old) in copy.iter().zip(&page) {
        assert_eq!((&new["html"], &new["role"], &new["seq"]), (&old["html"], &old["role"], &old["seq"]));
        assert_ne!(new["id"], old["id"]);
    }
    say(&app, &ada, &fork, "only here").await;
    assert_eq!(said(&settled(&app, &ada, &fork).await), ["one", "only here"]);
    assert_eq!(said(&settled(&app, &ada, &thread).await), ["one", "two"]);
    let foreign = app.call(Some(&bob), "threads/server_fns/fork_thread", &fields).await;
    let random = [("message", fresh()), ("client", fresh())];
    let random: Vec<(&str, &str)> = random.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let missing = app.call(Some(&bob), "threads/server_fns/fork_thread", &random).await;
    assert_eq!((foreign.status, foreign.body), (StatusCode::NOT_FOUND, missing.body));
}

#[tokio::test]
async fn a_thumb_is_given_turned_and_taken_back() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let thread = start(&app, &ada, "one").await;
    let page = settled(&app, &ada, &thread).await;
    let answer = id(&page[1]).to_owned();
    for (fields, expected) in [
        (vec![("message", answer.as_str()), ("up", "true")], Value::Bool(true)),
        (vec![("message", answer.as_str()), ("up", "false")], Value::Bool(false)),
        (vec![("message", answer.as_str())], Value::Null),
    ] {
        call(&app, &ada, "thumb_answer", &fields).await;
        assert_eq!(settled(&app, &ada, &thread).await[1]["thumb"], expected);
    }
    for message in [answer.as_str(), id(&page[0])] {
        let who = if message == answer { &bob } else { &ada };
        let refused =
            app.call(Some(who), "threads/server_fns/thumb_answer", &[("message", message), ("up", "true")]).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "somebody else's, and a message of one's own");
    }
}

#[tokio::test]
async fn the_forms_below_a_message_work_as_they_stand() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let thread = start(&app, &ada, "</textarea><script>one & two</script>").await;
    settled(&app, &ada, &thread).await;
    let html = app.page(Some(&ada), &format!("/chat/{thread}")).await.body;
    let page = scraper::Html::parse_document(&html);
    let one = |what: &str| {
        page.select(&scraper::Selector::parse(what).unwrap()).next().unwrap_or_else(|| panic!("{what}: {html}"))
    };
    assert_eq!(one(".edit textarea").text().collect::<String>(), "</textarea><script>one & two</script>");
    let value = |what: &str| one(what).attr("value").unwrap().to_owned();
    let (message, client) = (value(".edit input[name=message]"), value(".edit input[name=client]"));
    for by_script in [false, true] {
        let action = one(".edit form").attr("action").unwrap();
        let mut request = post(action, &[("message", &message), ("client", &client), ("text", "two")]);
        request.headers_mut().insert("cookie", ada.cookie().parse().unwrap());
        if by_script {
            request.headers_mut().insert("x-moat-form", "1".parse().unwrap());
        }
        let answer = app.send(request).await;
        if by_script {
            assert_eq!(answer.status, StatusCode::OK);
            assert!(answer.json().as_str().unwrap().starts_with(&format!("/chat/{thread}?at=")), "{}", answer.body);
        } else {
            assert_eq!(answer.status, StatusCode::SEE_OTHER);
        }
    }
    assert_eq!(said(&settled(&app, &ada, &thread).await), ["two"], "the same form, sent twice");
    let count: i64 =
        sqlx::query_scalar("select count(*) from app.messages").fetch_one(&mut app.db.superuser().await).await.unwrap();
    assert_eq!(count, 4);
    // Refused for a script: the reason, and nothing else.
    let mut request =
        post(&format!("/chat/{thread}?do=edit"), &[("message", &fresh()), ("client", &fresh()), ("text", "x")]);
    request.headers_mut().insert("cookie", ada.cookie().parse().unwrap());
    request.headers_mut().insert("x-moat-form", "1".parse().unwrap());
    let refused = app.send(request).await;
    assert_eq!((refused.status, refused.body.as_str()), (StatusCode::NOT_FOUND, "{\"error\":\"not_found\"}"));
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % sides
    }
}

const WORKERS: u64 = 8;
const STEPS: usize = 1250;

/// One of `WORKERS` who do what they like to the same threads at once. Gives how many messages it has deleted.
async fn meddle(lanes: Lanes, ada: Opening, threads: Vec<ThreadId>, seed: u64) -> usize {
    let mut dice = Dice(seed);
    let mut known: Vec<MessageId> = Vec::new();
    let mut deleted = 0;
    for step in 0..STEPS {
        let thread = threads[dice.roll(threads.len())];
        let client = ClientId(Uuid::from_u128(u128::from(seed) << 64 | step as u128));
        let message = if known.is_empty() { None } else { Some(known[dice.roll(known.len())]) };
        let mut lane = lanes.user(&ada).await.unwrap();
        let done: Result<Option<Posted>, AppError> = match (dice.roll(10), message) {
            (0..=2, _) | (_, None) => {
                threads::sql::post(&mut lane, thread, client, message, "said", "m").await.map(|(p, _)| Some(p))
            }
            (3 | 4, Some(m)) => threads::sql::edit(&mut lane, m, client, "edited", "m").await.map(|(p, _)| Some(p)),
            (5 | 6, Some(m)) => threads::sql::answer_again(&mut lane, m, Some(client), "m").await.map(|(p, _)| Some(p)),
            (7, Some(m)) => threads::sql::choose_branch(&mut lane, m).await.map(|_| None),
            (8, Some(m)) => {
                // In the order in which everything locks: the thread first.
                sqlx::query("select app.lock_thread(thread_id) from app.messages where id = $1")
                    .bind(m)
                    .execute(lane.conn())
                    .await
                    .unwrap();
                let before: Option<bool> =
                    sqlx::query_scalar("select deleted_at is null from app.messages where id = $1")
                        .bind(m)
                        .fetch_optional(lane.conn())
                        .await
                        .unwrap();
                let done = threads::sql::delete_message(&mut lane, m).await.map(|_| None);
                deleted += usize::from(done.is_ok() && before == Some(true));
                done
            }
            (_, Some(m)) => threads::sql::fork(&mut lane, m, client).await.map(|_| None),
        };
        match done {
            Ok(posted) => {
                lane.commit().await.unwrap();
                let Some(Posted { message, answer, generation: Some(generation), .. }) = posted else { continue };
                known.extend([message, answer]);
                let mut lane = lanes.service(Reason::Generation(ada.user)).await.unwrap();
                answers::sql::append(&mut lane, generation, 0, "answered").await.unwrap();
                answers::sql::finish(&mut lane, generation, Status::Done, "", None).await.unwrap();
                lane.commit().await.unwrap();
            }
            // Busy, of the wrong kind, or deleted.
            Err(AppError::Conflict { .. } | AppError::NotFound) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    deleted
}

/// What holds for every tree, whoever has made it.
pub async fn whole(app: &App) {
    let mut conn = app.db.superuser().await;
    for (what, wrong) in [
        ("a gap in seq", "select count(*) from (select m.seq - row_number() over (partition by m.thread_id order by m.seq) as off from app.messages m) x where x.off <> 0"),
        ("a last_seq that is not the last", "select count(*) from app.threads t where t.last_seq <> (select max(m.seq) from app.messages m where m.thread_id = t.id)"),
        ("an orphan, or a parent that is not older", "select count(*) from app.messages m left join app.messages p on p.id = m.parent_id and p.thread_id = m.thread_id where m.parent_id is not null and (p.id is null or p.seq >= m.seq)"),
        ("a branch that was left outside of it", "select count(*) from app.branches b where not exists (
            with recursive up as (select m.id, m.parent_id from app.messages m where m.id = b.leaf_id union all select m.id, m.parent_id from up join app.messages m on m.id = up.parent_id)
            select from up where up.id = b.message_id)"),
        ("an answer without its words", "select count(*) from app.messages m join app.generations g on g.message_id = m.id where m.deleted_at is null and g.status = 'done' and m.content ->> 'text' = ''"),
        ("words in a tombstone", "select count(*) from app.messages m where m.deleted_at is not null and m.content <> '{\"text\": \"\"}'"),
    ] {
        let found: i64 = sqlx::query_scalar(wrong).fetch_one(&mut conn).await.unwrap();
        assert_eq!(found, 0, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_edits_reruns_forks_and_deletions_at_once_leave_the_tree_whole() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let mut threads = Vec::new();
    for n in 0..4 {
        let thread = start(&app, &ada, &format!("thread {n}")).await;
        settled(&app, &ada, &thread).await;
        threads.push(thread.parse().unwrap());
    }
    let lanes = app.db.lanes(8);
    let workers = (1..=WORKERS).map(|seed| tokio::spawn(meddle(lanes.clone(), ada.opening(), threads.clone(), seed)));
    let mut deleted = 0;
    for worker in workers.collect::<Vec<_>>() {
        deleted += worker.await.unwrap();
    }
    whole(&app).await;
    let mut conn = app.db.superuser().await;
    let alike = "select count(*) from app.messages m join app.messages p on p.id = m.parent_id where m.role = p.role";
    assert_eq!(app.count(alike).await, 0, "an answer to an answer, or a message to a message");
    let ids: Vec<Uuid> = threads.iter().map(|t: &ThreadId| t.0).collect();
    let tombstones: i64 =
        sqlx::query_scalar("select count(*) from app.messages where deleted_at is not null and thread_id = any($1)")
            .bind(&ids)
            .fetch_one(&mut conn)
            .await
            .unwrap();
    assert_eq!(tombstones as usize, deleted);
    let forks: i64 = sqlx::query_scalar("select count(*) from app.threads where id <> all($1)")
        .bind(&ids)
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert!(deleted > 100 && forks > 100, "{deleted} deleted, {forks} forks: nothing was tried");
}

#[tokio::test]
async fn a_page_of_a_long_thread_is_found_by_keys_alone() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let thread = start(&app, &ada, "one").await;
    settled(&app, &ada, &thread).await;
    let mut conn = app.db.superuser().await;
    sqlx::query(
        "insert into app.messages (id, thread_id, user_id, seq, parent_id, client_id, role, content)
         select md5(n::text)::uuid, $1, $2, n, case when n = 3 then (select id from app.messages where seq = 2) else md5((n - 1)::text)::uuid end,
                gen_random_uuid(), 'user', '{\"text\": \"said\"}' from generate_series(3, 30000) n",
    )
    .bind(thread.parse::<Uuid>().unwrap())
    .bind(ada.id)
    .execute(&mut conn)
    .await
    .unwrap();
    for chosen in ["update app.threads set leaf_id = null", "update app.threads set leaf_id = md5('20000')::uuid"] {
        sqlx::query(chosen).execute(&mut conn).await.unwrap();
        sqlx::query("analyze").execute(&mut conn).await.unwrap();
        let lanes = app.db.lanes(1);
        let mut lane = lanes.user(&ada.opening()).await.unwrap();
        let (page, more) =
            threads::sql::transcript(&mut lane, thread.parse().unwrap(), End::Newest, 50, "UTC").await.unwrap();
        assert_eq!((page.len(), more), (50, true));
        let read: i64 = sqlx::query_scalar(
            "select seq_tup_read from pg_stat_xact_user_tables where schemaname = 'app' and relname = 'messages'",
        )
        .fetch_one(lane.conn())
        .await
        .unwrap();
        assert_eq!(read, 0, "{chosen}: rows that were read by going through the table");
    }
}

#[tokio::test]
async fn an_answer_goes_on_from_what_the_old_one_says_when_its_turn_comes() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let thread = start(&app, &ada, "one").await;
    let answer = settled(&app, &ada, &thread).await[1].clone();
    let mut other = app.db.superuser().await;
    let mut held = other.begin().await.unwrap();
    held.execute("select from app.threads for no key update").await.unwrap();
    held.execute("update app.messages set content = '{\"text\": \"Changed meanwhile.\"}' where role = 'assistant'")
        .await
        .unwrap();
    let fields = [("message", id(&answer)), ("go_on", "true")];
    tokio::join!(call(&app, &ada, "answer_again", &fields), async {
        app.until("it waits for the thread", async || (app.waiting().await > 0).then_some(())).await;
        held.commit().await.unwrap();
    });
    settled(&app, &ada, &thread).await;
    let goes_on = "select count(*) from app.messages where seq = 3 and content ->> 'text' like 'Changed meanwhile.%'";
    assert_eq!(app.count(goes_on).await, 1);
}
