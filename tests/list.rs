//! The list of threads: what it finds, how it is sorted, and what is done with many at once.

use axum::http::{StatusCode, header};
use moat::{
    error::AppError,
    server::{jobs, lanes::Reason},
    threads::{model::Place, sql},
    types::{FolderId, Shelf},
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::{
    answers::{Manner, app_with_model},
    harness::{Answer, App, Db, Person, post},
};

const LIST: &str = "threads/server_fns/list_threads";
const SEARCH: &str = "threads/server_fns/search_threads";
const FILE: &str = "threads/server_fns/file_threads";
const READ: &str = "threads/server_fns/read_thread";

async fn start(app: &App, person: &Person, fields: &[(&str, &str)]) -> String {
    let client = Uuid::new_v4().to_string();
    let mut all = vec![("client", client.as_str())];
    all.extend_from_slice(fields);
    let answer = app.call(Some(person), "threads/server_fns/start_thread", &all).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let thread = answer.json()["thread"].as_str().unwrap().to_owned();
    ended(app, person, &thread).await;
    thread
}

async fn ended(app: &App, person: &Person, thread: &str) {
    app.until("an answer's end", async || {
        (app.call(Some(person), READ, &[("thread", thread)]).await.json()["answering"] == false).then_some(())
    })
    .await;
}

async fn file(app: &App, person: &Person, threads: &[&str], act: &str) -> Answer {
    let mut fields: Vec<(&str, &str)> = threads.iter().map(|t| ("threads[]", *t)).collect();
    fields.push(("act", act));
    app.call(Some(person), FILE, &fields).await
}

async fn titles(app: &App, person: &Person, fields: &[(&str, &str)]) -> Vec<String> {
    let page = app.call(Some(person), LIST, fields).await.json();
    page["rows"].as_array().unwrap().iter().map(|r| r["title"].as_str().unwrap().to_owned()).collect()
}

async fn found(app: &App, person: &Person, query: &str) -> Vec<Value> {
    let answer = app.call(Some(person), SEARCH, &[("query", query)]).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    answer.json().as_array().unwrap().clone()
}

async fn sql(app: &App, statement: &str) {
    app.db.superuser().await.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
}

async fn count(app: &App, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(&mut app.db.superuser().await).await.unwrap()
}

// Search.

/// A thread with these messages, made behind the wall.
async fn talk(conn: &mut PgConnection, user: Uuid, title: &str, texts: &[&str]) -> Uuid {
    let thread: Uuid = sqlx::query_scalar(
        "insert into app.threads (user_id, client_id, title) values ($1, gen_random_uuid(), $2) returning id",
    )
    .bind(user)
    .bind(title)
    .fetch_one(&mut *conn)
    .await
    .unwrap();
    sqlx::query(
        "insert into app.messages (thread_id, user_id, seq, client_id, role, content, created_at)
         select $1, $2, n, gen_random_uuid(), 'user', jsonb_build_object('text', t), clock_timestamp() from unnest($3) with ordinality x(t, n)",
    )
    .bind(thread)
    .bind(user)
    .bind(texts)
    .execute(&mut *conn)
    .await
    .unwrap();
    thread
}

#[tokio::test]
async fn what_was_deleted_can_be_taken_back_for_half_a_minute_and_not_after() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let client = Uuid::new_v4().to_string();
    let made = app.call(Some(&ada), "threads/server_fns/start_thread", &[("client", &client), ("text", "Here")]).await;
    let thread = made.json()["thread"].as_str().unwrap().to_owned();
    let act = async |act: &str| {
        let fields = [("threads[0]", thread.as_str()), ("act", act)];
        app.call(Some(&ada), "threads/server_fns/file_threads", &fields).await.status
    };
    assert_eq!(
        (act("delete").await, act("restore").await, act("delete").await),
        (StatusCode::OK, StatusCode::OK, StatusCode::OK)
    );
    let mut conn = app.db.superuser().await;
    conn.execute("update app.threads set deleted_at = now() - interval '41 seconds'").await.unwrap();
    assert_eq!(act("restore").await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_search_joins_what_it_found_and_not_all_chats_there_are() {
    let app = App::new().await;
    let ada = app.sign_up("a@example.org").await;
    let mut conn = app.db.superuser().await;
    talk(&mut conn, ada.id.0, "Old", &["a rare word"]).await;
    sqlx::query(
        "insert into app.threads (user_id, client_id, title, active_at)
         select $1, gen_random_uuid(), 'thread ' || n, now() + n * interval '1 second' from generate_series(1, 20000) n",
    )
    .bind(ada.id)
    .execute(&mut conn)
    .await
    .unwrap();
    conn.execute("vacuum analyze app.threads").await.unwrap();
    let lanes = app.db.lanes(1);
    let mut lane = lanes.user(&ada.opening()).await.unwrap();
    assert_eq!(sql::search(&mut lane, "UTC", "rare ", 30).await.unwrap().len(), 1);
    let read: i64 = sqlx::query_scalar(
        "select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where schemaname = 'app' and relname = 'threads'",
    )
    .fetch_one(lane.conn())
    .await
    .unwrap();
    // The newest 1,000 titles are walked.
    assert!(read < 2000, "{read} chats were read");
}

#[tokio::test]
async fn a_chat_is_found_by_words_of_its_messages_and_of_its_title() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("a@example.org").await, app.sign_up("b@example.org").await);
    let mut conn = app.db.superuser().await;
    let old = talk(&mut conn, ada.id.0, "Old", &["Where is the Café in src/threads/list.rs?", "nothing"]).await;
    let titled = talk(&mut conn, ada.id.0, "The café of my dreams", &["something"]).await;
    let new = talk(&mut conn, ada.id.0, "New", &["cafe one", "CAFÉ two", "it's <b>bold</b> in 国立図書館"]).await;
    talk(&mut conn, bob.id.0, "His café", &["café café"]).await;
    let ids =
        |found: &[Value]| found.iter().map(|f| f["thread"].as_str().unwrap().parse().unwrap()).collect::<Vec<Uuid>>();
    for (query, expected) in [
        ("cafe", vec![titled, new, old]),
        ("CAFÉ", vec![titled, new, old]),
        ("caf", vec![titled, new, old]),
        ("caf ", vec![]),
        ("\"caf\"", vec![]),
        ("cafe two", vec![new]),
        ("two cafe", vec![new]),
        ("\"two cafe\"", vec![]),
        ("\"cafe two\"", vec![new]),
        ("\"cafe two", vec![new]),
        ("one two", vec![]),
        ("list.rs", vec![old]),
        ("threads", vec![old]),
        ("it's", vec![new]),
        ("図書", vec![new]),
        ("書図", vec![]),
        ("bold", vec![new]),
        ("his", vec![]),
        ("", vec![]),
        (" \t", vec![]),
        ("!!! ' \\ : * & | ( <->", vec![]),
        ("\"", vec![]),
    ] {
        assert_eq!(ids(&found(&app, &ada, query).await), expected, "{query:?}");
    }
    let hits = found(&app, &ada, "cafe").await;
    assert_eq!(hits[0]["title"], json!([[false, "The "], [true, "café"], [false, " of my dreams"]]));
    assert_eq!(hits[0]["message"], Value::Null);
    assert_eq!(hits[1]["snippet"], json!([[true, "CAFÉ"], [false, " two"]]), "the newest message of a chat");
    assert!(hits[1]["message"].is_string());
    for (query, status) in [("x".repeat(200), 200), ("x".repeat(201), 400), ("a\0b".to_owned(), 400)] {
        assert_eq!(app.call(Some(&ada), SEARCH, &[("query", &query)]).await.status, status);
    }
    // The same without a script, and no text of somebody's is a part of the page.
    let page = app.page(Some(&ada), "/chat?q=bold").await;
    let html = page.body.replace("<!>", "");
    assert!(html.contains("&lt;b&gt;<mark>bold</mark>&lt;/b&gt; in") && !html.contains("<b>bold"), "{html}");
    assert!(html.contains(&format!("href=\"/chat/{new}\"")) && html.matches("class=\"hit\"").count() == 1);
    assert!(app.page(Some(&ada), "/chat?q=absent").await.body.contains("No chat has these words."));
    // What is deleted or temporary is not found; what is archived is.
    sql(&app, &format!("update app.threads set archived = true where id = '{old}'; update app.threads set deleted_at = now() where id = '{new}'; update app.threads set temporary = true where id = '{titled}'")).await;
    let hits = found(&app, &ada, "cafe").await;
    assert_eq!((ids(&hits), &hits[0]["archived"]), (vec![old], &json!(true)));
}

/// A small random stream that is the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

#[tokio::test]
async fn the_search_finds_what_the_plain_query_finds_under_the_policies() {
    const WORDS: [&str; 24] = [
        "a",
        "ab",
        "abc",
        "Ábc",
        "b-c",
        "c",
        "don't",
        "é",
        "Éa",
        "1",
        "12",
        "3.14",
        "x_y",
        "図",
        "図書",
        "ß",
        "И",
        "и",
        "<b>",
        "\"q\"",
        "a/b",
        "mail@x.org",
        "🦀",
        "the",
    ];
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("a@example.org").await, app.sign_up("b@example.org").await);
    let mut dice = Dice(42);
    let mut conn = app.db.superuser().await;
    let phrase = |dice: &mut Dice, most: usize| {
        (0..=dice.roll(most)).map(|_| WORDS[dice.roll(WORDS.len())]).collect::<Vec<_>>().join(" ")
    };
    let mut tx = conn.begin().await.unwrap();
    for n in 0..400 {
        let who = if n % 2 == 0 { &ada } else { &bob };
        let texts: Vec<String> = (0..dice.roll(5)).map(|_| phrase(&mut dice, 6)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let title = phrase(&mut dice, 3);
        talk(&mut tx, who.id.0, &title, &texts).await;
    }
    tx.execute("update app.threads set deleted_at = now() where id in (select id from app.threads order by client_id limit 20);
                update app.threads set temporary = true where id in (select id from app.threads order by client_id desc limit 20);
                update app.messages set deleted_at = now() where id in (select id from app.messages order by client_id limit 40)")
        .await
        .unwrap();
    // Old and common things are found by the index alone: more new messages than are walked through, without any of the words.
    for who in [&ada, &bob] {
        sqlx::query("with t as (insert into app.threads (user_id, client_id, title) select $1, gen_random_uuid(), 'noise' from generate_series(1, 1200) returning id)
                     insert into app.messages (thread_id, user_id, seq, client_id, role, content) select id, $1, n, gen_random_uuid(), 'user', '{\"text\": \"noise\"}' from t, generate_series(1, 3) n")
            .bind(who.id.0)
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
    let plain = "with q as (select app.search_terms($1) as q), titles as (
            select t.id, 0 as kind, t.active_at as at, t.id as tie, 0::bigint as seq, null::uuid as message from app.threads t, q
             where t.title_words @@ q.q and t.deleted_at is null and not t.temporary
        ), messages as (
            select distinct on (m.thread_id) m.thread_id as id, 1 as kind, m.created_at as at, m.thread_id as tie, m.seq, m.id as message
              from app.messages m join app.threads t on t.id = m.thread_id, q
             where m.words @@ q.q and m.deleted_at is null and t.deleted_at is null and not t.temporary and not t.title_words @@ q.q
             order by m.thread_id, m.created_at desc, m.seq desc
        )
        select x.id, x.message from (select * from titles union all select * from messages) x
         order by x.kind, x.at desc, x.tie desc, x.seq desc limit $2";
    let mut nonempty = 0;
    for n in 0..150 {
        let mut query = phrase(&mut dice, 2);
        if dice.roll(4) == 0 {
            query = format!("\"{query}\"");
        }
        if n == 0 {
            query = "noise".into();
        }
        let limit = [5, 30, 300][dice.roll(3)];
        for who in [&ada, &bob] {
            let mut lane = app.state.lanes.user(&who.opening()).await.unwrap();
            let expected: Vec<(Uuid, Option<Uuid>)> =
                sqlx::query_as(plain).bind(&query).bind(limit).fetch_all(lane.conn()).await.unwrap();
            let got: Vec<(Uuid, Option<Uuid>)> =
                sqlx::query_as("select thread_id, message_id from app.search_threads($1, $2)")
                    .bind(&query)
                    .bind(limit)
                    .fetch_all(lane.conn())
                    .await
                    .unwrap();
            assert_eq!(got, expected, "{query:?}, {limit}");
            nonempty += usize::from(!got.is_empty());
        }
    }
    assert!(nonempty > 150, "the queries find too little to tell: {nonempty}");
}

// The list.

#[tokio::test]
async fn days_are_those_of_the_readers_time_zone() {
    let app = App::new().await;
    let ada = app.sign_up("a@example.org").await;
    // The first second of today in UTC is yesterday or today, west and east of it.
    sqlx::query(
        "insert into app.threads (user_id, client_id, title, active_at) values
        ($1, gen_random_uuid(), 'midnight', date_trunc('day', now() at time zone 'utc') at time zone 'utc'),
        ($1, gen_random_uuid(), 'long ago', '2024-02-10 12:00Z')",
    )
    .bind(ada.id.0)
    .execute(&mut app.db.superuser().await)
    .await
    .unwrap();
    let groups = async |zone: &str| {
        let mut request = post(&format!("/api/moat/{LIST}"), &[]);
        let cookie = format!("{}; moat-tz={zone}", ada.cookie());
        request.headers_mut().insert(header::COOKIE, cookie.parse().unwrap());
        let rows = app.send(request).await.json()["rows"].clone();
        (rows[0]["group"].as_str().unwrap().to_owned(), rows[1]["group"].as_str().unwrap().to_owned())
    };
    for zone in ["", "UTC", "Nowhere/Atlantis", "'; drop table app.threads; --", "%00", "%F0%9F%A6%80"] {
        assert_eq!(groups(zone).await, ("Today".to_owned(), "February 2024".to_owned()), "{zone}");
    }
    // One of the two is across the date line from UTC at any time.
    let (west, east) = (groups("Pacific/Pago_Pago").await.0, groups("Pacific%2FKiritimati").await.0);
    assert!(
        west == "Yesterday" || east == "Yesterday" || west != east || groups("UTC").await.0 == west,
        "{west} {east}"
    );
    let local: Vec<(String, bool)> = sqlx::query_as("select z, ((date_trunc('day', now() at time zone 'utc') at time zone 'utc') at time zone z)::date = (now() at time zone z)::date from unnest(array['Pacific/Pago_Pago', 'Pacific/Kiritimati']) z")
        .fetch_all(&mut app.db.superuser().await)
        .await
        .unwrap();
    for (zone, today) in local {
        assert_eq!(groups(&zone).await.0, if today { "Today" } else { "Yesterday" }, "{zone}");
    }
}

#[tokio::test]
async fn pinned_chats_stand_on_top_and_archived_ones_in_a_list_of_their_own() {
    let app = App::new().await;
    let ada = app.sign_up("a@example.org").await;
    let one = start(&app, &ada, &[("text", "one")]).await;
    let two = start(&app, &ada, &[("text", "two")]).await;
    start(&app, &ada, &[("text", "three")]).await;
    assert_eq!(titles(&app, &ada, &[]).await, ["three", "two", "one"]);
    assert_eq!(file(&app, &ada, &[&one], "pin").await.status, 200);
    assert_eq!(titles(&app, &ada, &[]).await, ["one", "three", "two"]);
    assert!(app.page(Some(&ada), "/chat").await.body.contains(">Pinned<"));
    assert_eq!(file(&app, &ada, &[&two], "archive").await.status, 200);
    assert_eq!(titles(&app, &ada, &[]).await, ["one", "three"]);
    assert_eq!(titles(&app, &ada, &[("shelf", "archived")]).await, ["two"]);
    let archived = app.page(Some(&ada), "/chat?view=archived").await;
    assert!(archived.body.contains(&two), "{}: {}", archived.status, archived.body);
    assert!(!app.page(Some(&ada), "/chat").await.body.contains(&two));
    assert_eq!(file(&app, &ada, &[&two], "unarchive").await.status, 200);
    assert_eq!(file(&app, &ada, &[&one], "unpin").await.status, 200);
    assert_eq!(titles(&app, &ada, &[]).await, ["three", "two", "one"]);
    assert_eq!(file(&app, &ada, &[], "pin").await.status, 400);
    assert_eq!(file(&app, &ada, &[&one], "burn").await.status, 400);
}

#[tokio::test]
async fn what_is_deleted_is_nowhere_and_comes_back_whole_until_it_is_swept() {
    let app = App::new().await;
    let ada = app.sign_up("a@example.org").await;
    let thread = start(&app, &ada, &[("text", "a word to find")]).await;
    let other = start(&app, &ada, &[("text", "stays")]).await;
    let open = app.call(Some(&ada), "threads/server_fns/open_thread", &[("thread", &thread)]).await.json();
    let ids = open["messages"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(file(&app, &ada, &[&thread], "delete").await.status, 200);
    assert_eq!(titles(&app, &ada, &[]).await, ["stays"]);
    assert!(found(&app, &ada, "find").await.is_empty());
    let client = Uuid::new_v4().to_string();
    for (function, fields) in [
        ("threads/server_fns/open_thread", vec![]),
        (READ, vec![]),
        ("threads/server_fns/send_message", vec![("client", client.as_str()), ("text", "more")]),
        ("threads/server_fns/rename_thread", vec![("title", "x")]),
        ("threads/server_fns/delete_thread", vec![]),
    ] {
        let mut all = vec![("thread", thread.as_str())];
        all.extend(fields);
        assert_eq!(app.call(Some(&ada), function, &all).await.status, StatusCode::NOT_FOUND, "{function}");
    }
    let (asked, answer) = (("message", ids[0]), ("message", ids[1]));
    for (function, fields) in [
        ("edit_message", vec![asked, ("client", client.as_str()), ("text", "else")]),
        ("answer_again", vec![answer, ("client", client.as_str())]),
        ("choose_branch", vec![("to", ids[0])]),
        ("delete_message", vec![asked]),
        ("fork_thread", vec![answer, ("client", client.as_str())]),
        ("thumb_answer", vec![answer, ("up", "true")]),
        ("thumb_answer", vec![answer]),
        ("read_text", vec![asked]),
        ("set_options", vec![("thread", thread.as_str()), ("instructions", "x")]),
        ("show_row", vec![("thread", thread.as_str()), ("query", ""), ("known", "true")]),
    ] {
        let answer = app.call(Some(&ada), &format!("threads/server_fns/{function}"), &fields).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{function}: {}", answer.body);
    }
    for act in ["pin", "archive", "unread", "delete", "move"] {
        assert_eq!(file(&app, &ada, &[&thread], act).await.status, StatusCode::NOT_FOUND, "{act}");
    }
    assert_eq!(app.page(Some(&ada), &format!("/chat/{thread}")).await.status, StatusCode::NOT_FOUND);
    let page = app.page(Some(&ada), "/chat").await.body;
    assert!(page.contains("Undo") && page.contains(&thread), "the list offers it back");
    // A sweep that comes too early leaves it.
    jobs::sweep_threads(&app.state).await.unwrap();
    assert_eq!(file(&app, &ada, &[&thread], "restore").await.status, 200);
    assert_eq!(titles(&app, &ada, &[]).await, ["stays", "a word to find"]);
    assert_eq!(found(&app, &ada, "find").await.len(), 1);
    assert_eq!(file(&app, &ada, &[&thread], "delete").await.status, 200);
    sql(&app, "update app.threads set deleted_at = deleted_at - interval '2 minutes' where deleted_at is not null")
        .await;
    assert!(!app.page(Some(&ada), "/chat").await.body.contains("Undo"));
    jobs::sweep_threads(&app.state).await.unwrap();
    assert_eq!(file(&app, &ada, &[&thread], "restore").await.status, StatusCode::NOT_FOUND);
    assert_eq!(count(&app, "select count(*) from app.messages").await, 2);
    assert_eq!(app.call(Some(&ada), READ, &[("thread", &other)]).await.status, 200);
}

#[tokio::test]
async fn a_chat_is_unread_from_the_end_of_its_answer_until_it_is_seen() {
    let app = App::new().await;
    let ada = app.sign_up("a@example.org").await;
    let (first, second) =
        (start(&app, &ada, &[("text", "first")]).await, start(&app, &ada, &[("text", "second")]).await);
    let unread = async || titles(&app, &ada, &[("shelf", "unread")]).await;
    assert_eq!(unread().await, ["second", "first"]);
    assert_eq!(file(&app, &ada, &[&first, &second], "read").await.status, 200);
    assert!(unread().await.is_empty());
    // A title, made or typed, neither moves a chat nor makes it unread.
    let place = |row: &Value| (row["at"].clone(), row["unread"].clone());
    let before = app.call(Some(&ada), READ, &[("thread", &first)]).await.json();
    let renamed =
        app.call(Some(&ada), "threads/server_fns/rename_thread", &[("thread", &first), ("title", "other")]).await;
    assert_eq!(renamed.status, 200);
    let after = app.call(Some(&ada), READ, &[("thread", &first)]).await.json();
    assert_eq!((place(&before), after["title"].as_str()), (place(&after), Some("other")));
    assert_eq!(titles(&app, &ada, &[]).await, ["second", "other"]);
    assert_eq!(file(&app, &ada, &[&second], "unread").await.status, 200);
    assert_eq!(unread().await, ["second"]);
    assert_eq!(titles(&app, &ada, &[]).await, ["second", "other"], "no mark moves a chat");
    // Looking at the page changes nothing: what is seen is told by the window that shows it.
    app.page(Some(&ada), &format!("/chat/{second}")).await;
    assert_eq!(unread().await, ["second"]);
}

#[tokio::test]
async fn many_chats_are_handled_at_once_without_a_script_and_nobody_elses() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("a@example.org").await, app.sign_up("b@example.org").await);
    let one = start(&app, &ada, &[("text", "one")]).await;
    let two = start(&app, &ada, &[("text", "two")]).await;
    let three = start(&app, &ada, &[("text", "three")]).await;
    let his = start(&app, &bob, &[("text", "his")]).await;
    let page = app.page(Some(&ada), "/chat?select").await.body;
    let html = scraper::Html::parse_document(&page);
    let boxes = scraper::Selector::parse("input[type=checkbox][name='threads[]'][form=bulk]").unwrap();
    assert_eq!(html.select(&boxes).count(), 3);
    let send = async |person: &Person, fields: &[(&str, &str)]| {
        let mut form = post("/chat?do=file", fields);
        form.headers_mut().insert(header::COOKIE, person.cookie().parse().unwrap());
        form.headers_mut().insert(header::ACCEPT, "text/html".parse().unwrap());
        app.send(form).await
    };
    let form = send(
        &ada,
        &[("threads[]", &one), ("threads[]", &his), ("threads[]", &three), ("folder", ""), ("act", "archive")],
    )
    .await;
    assert_eq!((form.status, form.headers[header::LOCATION].to_str().unwrap()), (StatusCode::SEE_OTHER, "/chat"));
    assert_eq!(titles(&app, &ada, &[]).await, ["two"]);
    assert_eq!(titles(&app, &bob, &[]).await, ["his"], "it is not hers to archive");
    let nothing = send(&ada, &[("folder", ""), ("act", "archive")]).await;
    assert_eq!(nothing.status, StatusCode::BAD_REQUEST);
    assert!(nothing.body.contains("Choose between 1 and 200 chats."));
    for thread in [&his, &Uuid::new_v4().to_string()] {
        let foreign = send(&ada, &[("threads[]", thread), ("act", "delete")]).await;
        assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(send(&ada, &[("threads[]", &two), ("act", "delete")]).await.status, StatusCode::SEE_OTHER);
    assert!(titles(&app, &ada, &[]).await.is_empty());
}

#[tokio::test]
async fn a_temporary_chat_goes_a_day_after_its_last_message() {
    let app = App::new().await;
    let ada = app.sign_up("a@example.org").await;
    let thread = start(&app, &ada, &[("text", "a passing thought"), ("temporary", "true")]).await;
    start(&app, &ada, &[("text", "a lasting thought")]).await;
    let row = app.call(Some(&ada), READ, &[("thread", &thread)]).await.json();
    assert!(row["goes"].as_str().unwrap().contains(':'), "{row}");
    assert_eq!(found(&app, &ada, "thought").await.len(), 1, "it is not searched");
    sql(&app, "update app.threads set active_at = now() - interval '23 hours 59 minutes'").await;
    jobs::sweep_threads(&app.state).await.unwrap();
    assert_eq!(titles(&app, &ada, &[]).await.len(), 2);
    sql(&app, "update app.threads set active_at = now() - interval '24 hours'").await;
    jobs::sweep_threads(&app.state).await.unwrap();
    assert_eq!(titles(&app, &ada, &[]).await, ["a lasting thought"]);
    assert_eq!(count(&app, "select count(*) from app.messages").await, 2);
}

#[tokio::test]
async fn a_folder_speaks_to_the_answerer_of_its_chats_alone_and_leaves_them_when_it_goes() {
    let (app, model) = app_with_model().await;
    model.next(Manner::Say(vec!["Yes.".into()]));
    let (ada, bob) = (app.sign_up("a@example.org").await, app.sign_up("b@example.org").await);
    let make = async |who: &Person, name: &str, instructions: &str| {
        app.call(Some(who), "folders/server_fns/make_folder", &[("name", name), ("instructions", instructions)]).await
    };
    let hers = make(&ada, "Law", "Answer like a lawyer.").await.json().as_str().unwrap().to_owned();
    let his = make(&bob, "Law", "Answer like a pirate.").await.json().as_str().unwrap().to_owned();
    assert_eq!(make(&ada, " Law ", "").await.status, StatusCode::BAD_REQUEST, "one of each name");
    let inside = start(&app, &ada, &[("text", "inside"), ("folder", &hers)]).await;
    let outside = start(&app, &ada, &[("text", "outside")]).await;
    start(&app, &ada, &[("text", "stolen"), ("folder", &his)]).await;
    let sent = |n: usize| model.requests()[n].1["messages"].clone();
    assert_eq!(
        sent(0),
        json!([{ "role": "system", "content": "Answer like a lawyer." }, { "role": "user", "content": "inside" }])
    );
    assert_eq!(sent(1), json!([{ "role": "user", "content": "outside" }]));
    assert_eq!(sent(2), json!([{ "role": "user", "content": "stolen" }]));
    let own = [("thread", inside.as_str()), ("instructions", "Be short.")];
    assert_eq!(app.call(Some(&ada), "threads/server_fns/set_options", &own).await.status, 200);
    let client = Uuid::new_v4().to_string();
    let more = [("thread", inside.as_str()), ("client", client.as_str()), ("text", "more")];
    assert_eq!(app.call(Some(&ada), "threads/server_fns/send_message", &more).await.status, 200);
    ended(&app, &ada, &inside).await;
    assert_eq!(sent(3)[0], json!({ "role": "system", "content": "Answer like a lawyer.\n\nBe short." }));
    sql(&app, "update app.threads set active_at = created_at").await;
    assert_eq!(titles(&app, &ada, &[("folder", &hers)]).await, ["inside"]);
    assert!(titles(&app, &ada, &[("folder", &his)]).await.is_empty());
    let moved = async |folder: &str| {
        app.call(Some(&ada), FILE, &[("threads[]", &outside), ("act", "move"), ("folder", folder)]).await.status
    };
    assert_eq!(
        (moved(&his).await, moved(&Uuid::new_v4().to_string()).await),
        (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND)
    );
    assert_eq!((moved("x").await, moved(&hers).await), (StatusCode::BAD_REQUEST, StatusCode::OK));
    assert_eq!(titles(&app, &ada, &[("folder", &hers)]).await, ["outside", "inside"]);
    for function in ["read_folder", "delete_folder"] {
        let path = format!("folders/server_fns/{function}");
        let foreign = app.call(Some(&ada), &path, &[("folder", &his)]).await;
        let missing = app.call(Some(&ada), &path, &[("folder", &Uuid::new_v4().to_string())]).await;
        assert_eq!((foreign.status, foreign.body), (StatusCode::NOT_FOUND, missing.body), "{function}");
    }
    let page = app.page(Some(&ada), &format!("/folders/{hers}")).await.body;
    assert!(page.contains("Answer like a lawyer.") && page.contains("Law"));
    assert_eq!(app.page(Some(&ada), &format!("/folders/{his}")).await.status, StatusCode::NOT_FOUND);
    assert!(app.page(Some(&ada), &format!("/folders?thread={inside}")).await.body.contains("(it is here)"));
    assert_eq!(app.call(Some(&ada), "folders/server_fns/delete_folder", &[("folder", &hers)]).await.status, 200);
    assert_eq!(titles(&app, &ada, &[]).await, ["stolen", "outside", "inside"]);
    assert_eq!(app.call(Some(&ada), READ, &[("thread", &inside)]).await.json()["folder"], Value::Null);
}

#[tokio::test]
async fn every_list_is_the_beginning_of_an_index() {
    let db = Db::new().await;
    let mut conn = db.superuser().await;
    conn.execute("set enable_seqscan = off; set enable_bitmapscan = off; set enable_sort = off; set role authenticated; set plan_cache_mode = force_generic_plan").await.unwrap();
    for (index, condition) in [
        ("threads_listed", "not t.pinned and not t.archived"),
        ("threads_pinned", "t.pinned and not t.archived"),
        ("threads_archived", "t.archived"),
        ("threads_unread", "t.unread and not t.archived"),
        ("threads_in_folder", "not t.archived and t.folder_id = '20000000-0000-4000-8000-00000000000a'"),
    ] {
        let statement = format!(
            "explain (costs off) select t.id from app.threads t where t.deleted_at is null and {condition} order by t.active_at desc, t.id desc limit 51"
        );
        let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(statement)).fetch_all(&mut conn).await.unwrap();
        let whole = plan.join("\n");
        assert!(whole.contains(&format!(" using {index} ")) && whole.contains("user_id = "), "{index}\n{whole}");
        assert!(!whole.contains("Sort") && !whole.contains("Filter"), "{index}\n{whole}");
    }
    // And the queries of the list are these: a place and a shelf narrow them, and no two shelves show one thread.
    let app = App::new().await;
    let ada = app.sign_up("a@example.org").await;
    sqlx::query("insert into app.threads (user_id, client_id, title, archived, unread, active_at) select $1, gen_random_uuid(), 't' || n, n % 3 = 0, n % 2 = 0, timestamptz '2026-01-01' + n / 2 * interval '1 second' from generate_series(1, 60) n")
        .bind(ada.id.0)
        .execute(&mut app.db.superuser().await)
        .await
        .unwrap();
    for (shelf, expected) in [(Shelf::All, 40), (Shelf::Archived, 20), (Shelf::Unread, 20)] {
        let mut lane = app.state.lanes.user(&ada.opening()).await.unwrap();
        let (mut seen, mut after) = (Vec::new(), None::<Place>);
        loop {
            let page = sql::list(&mut lane, "UTC", shelf, None::<FolderId>, after, 6).await.unwrap();
            seen.extend(page.iter().take(6).map(|r| r.at));
            if page.len() <= 6 {
                break;
            }
            after = Some(page[5].at);
        }
        assert!(seen.len() == expected && seen.windows(2).all(|w| w[0] > w[1]), "{shelf:?}: {}", seen.len());
    }
}

#[tokio::test]
async fn a_copy_of_a_chat_is_as_temporary_as_its_original_and_in_the_same_folder() {
    let app = App::new().await;
    let ada = app.sign_up("a@example.org").await;
    let folder = app.call(Some(&ada), "folders/server_fns/make_folder", &[("name", "Law"), ("instructions", "")]).await;
    let folder = folder.json().as_str().unwrap().to_owned();
    let thread = start(&app, &ada, &[("text", "one"), ("folder", &folder), ("temporary", "true")]).await;
    let open = app.call(Some(&ada), "threads/server_fns/open_thread", &[("thread", &thread)]).await.json();
    let (last, client) = (open["messages"][1]["id"].as_str().unwrap(), Uuid::new_v4().to_string());
    let fork = app.call(Some(&ada), "threads/server_fns/fork_thread", &[("message", last), ("client", &client)]).await;
    let row = app.call(Some(&ada), READ, &[("thread", fork.json().as_str().unwrap())]).await.json();
    assert_eq!(row["folder"], folder.as_str());
    assert!(row["goes"].is_string());
}

#[tokio::test]
async fn a_line_is_written_for_the_list_that_it_stands_in_and_for_no_other() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("a@example.org").await, app.sign_up("b@example.org").await);
    let thread = start(&app, &ada, &[("text", "<b>one</b> & \"two\"")]).await;
    let line = async |who: &Person, query: &str, known: &str| {
        let fields = [("thread", thread.as_str()), ("query", query), ("known", known)];
        app.call(Some(who), "threads/server_fns/show_row", &fields).await
    };
    let html = line(&ada, "view=all", "false").await.json().as_str().unwrap().to_owned();
    assert!(html.contains("&lt;b&gt;one&lt;/b&gt; &amp;") && !html.contains("<b>one"), "{html}");
    assert!(html.contains("aria-label=\"Unread\"") && !html.contains("checkbox"), "{html}");
    assert!(line(&ada, "view=all&select=1", "false").await.body.contains("checkbox"));
    assert_eq!(line(&ada, "view=archived", "true").await.json(), Value::Null);
    assert!(line(&ada, "view=unread", "false").await.json().is_string());
    assert_eq!(file(&app, &ada, &[&thread], "read").await.status, 200);
    assert_eq!(line(&ada, "view=unread", "false").await.json(), Value::Null);
    assert!(line(&ada, "view=unread", "true").await.json().is_string(), "nothing moves away under the eyes");
    assert_eq!(line(&bob, "view=all", "true").await.status, StatusCode::NOT_FOUND);
}

/// Sweeps while a change is being made, which ends once the sweep has, or waits for it.
async fn swept_beside(app: &App, change: &'static str) {
    let mut other = app.db.superuser().await;
    let mut changing = other.begin().await.unwrap();
    changing.execute(change).await.unwrap();
    let state = app.state.clone();
    let sweep = tokio::spawn(async move { jobs::sweep_threads(&state).await });
    app.until("the sweep ends or waits", async || (sweep.is_finished() || app.waiting().await > 0).then_some(())).await;
    changing.commit().await.unwrap();
    sweep.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_chat_that_is_taken_back_or_written_in_at_the_last_moment_stays() {
    let app = App::new().await;
    let ada = app.sign_up("a@example.org").await;
    let thread = start(&app, &ada, &[("text", "deleted")]).await;
    start(&app, &ada, &[("text", "temporary"), ("temporary", "true")]).await;
    assert_eq!(file(&app, &ada, &[&thread], "delete").await.status, 200);
    sql(&app, "update app.threads set deleted_at = now() - interval '1 hour' where deleted_at is not null").await;
    swept_beside(&app, "update app.threads set deleted_at = null").await;
    sql(&app, "update app.threads set active_at = now() - interval '25 hours' where temporary").await;
    swept_beside(&app, "update app.threads set active_at = clock_timestamp() where temporary").await;
    assert_eq!(titles(&app, &ada, &[]).await, ["temporary", "deleted"]);
}

#[tokio::test]
async fn deleted_chats_go_one_at_a_time_and_each_has_the_time_it_takes() {
    let app = App::new().await;
    let ada = app.sign_up("a@example.org").await;
    let mut conn = app.db.superuser().await;
    for title in ["one", "two", "three"] {
        talk(&mut conn, ada.id.0, title, &["x"]).await;
    }
    conn.execute(
        "create function app.look() returns trigger language plpgsql as $$
         begin
           if current_setting('statement_timeout') <> '30min' then raise exception 'too little time'; end if;
           return old;
         end $$;
         create trigger look before delete on app.messages for each row execute function app.look();
         update app.threads set deleted_at = now() - interval '1 hour'",
    )
    .await
    .unwrap();
    let mut lane = app.state.lanes.service(Reason::Sweep).await.unwrap();
    assert_eq!(sql::sweep(&mut lane).await.unwrap(), 1);
    lane.commit().await.unwrap();
    jobs::sweep_threads(&app.state).await.unwrap();
    assert_eq!(app.count("select count(*) from app.threads").await, 0);
}

#[tokio::test]
async fn an_answer_whose_writer_died_is_marked_while_a_long_deletion_is_under_way() {
    let app = App::new().await;
    let ada = app.sign_up("a@example.org").await;
    let (gone, stays) = (start(&app, &ada, &[("text", "gone")]).await, start(&app, &ada, &[("text", "stays")]).await);
    assert_eq!(file(&app, &ada, &[&gone], "delete").await.status, 200);
    sql(&app, "update app.threads set deleted_at = now() - interval '1 hour' where deleted_at is not null").await;
    let mut other = app.db.superuser().await;
    let mut held = other.begin().await.unwrap();
    held.execute(AssertSqlSafe(format!("select from app.messages where thread_id = '{gone}' for update")))
        .await
        .unwrap();
    tokio::spawn(jobs::run(app.state.clone()));
    let deletion = async || {
        let waits = "select pid || ' ' || xact_start from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        sqlx::query_scalar::<_, String>(waits).fetch_optional(&mut app.db.superuser().await).await.unwrap()
    };
    let before = app.until("the deletion waits", deletion).await;
    let lapse = format!(
        "update app.generations set status = 'running', lease_until = now() - interval '1 minute' where thread_id = '{stays}'"
    );
    sql(&app, &lapse).await;
    app.until("the answer's end", async || {
        (app.count("select count(*) from app.generations where status = 'interrupted'").await == 1).then_some(())
    })
    .await;
    assert_eq!(deletion().await, Some(before), "the deletion goes on");
}

#[tokio::test]
async fn a_chat_begun_anew_under_the_id_of_a_deleted_one_is_another_and_the_old_one_can_be_taken_back() {
    let app = App::new().await;
    let ada = app.sign_up("a@example.org").await;
    let client = Uuid::new_v4().to_string();
    let begin = async || {
        let fields = [("client", client.as_str()), ("text", "once more")];
        let answer = app.call(Some(&ada), "threads/server_fns/start_thread", &fields).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let thread = answer.json()["thread"].as_str().unwrap().to_owned();
        ended(&app, &ada, &thread).await;
        thread
    };
    let first = begin().await;
    assert_eq!(begin().await, first);
    assert_eq!(file(&app, &ada, &[&first], "delete").await.status, 200);
    let second = begin().await;
    assert_eq!(begin().await, second);
    assert_ne!(first, second);
    assert_eq!(file(&app, &ada, &[&first], "restore").await.status, 200);
    assert_eq!(titles(&app, &ada, &[]).await, ["once more", "once more"]);
    // So is a copy.
    let open = app.call(Some(&ada), "threads/server_fns/open_thread", &[("thread", &first)]).await.json();
    let (last, client) = (open["messages"][1]["id"].as_str().unwrap().to_owned(), Uuid::new_v4().to_string());
    let fork = async || {
        let fields = [("message", last.as_str()), ("client", client.as_str())];
        app.call(Some(&ada), "threads/server_fns/fork_thread", &fields).await.json().as_str().unwrap().to_owned()
    };
    let copy = fork().await;
    assert_eq!(file(&app, &ada, &[&copy], "delete").await.status, 200);
    let other = fork().await;
    assert_eq!(app.call(Some(&ada), READ, &[("thread", &other)]).await.status, 200);
    assert_eq!(fork().await, other);
    assert_eq!(file(&app, &ada, &[&copy], "restore").await.status, 200);
}

#[tokio::test]
async fn two_hundred_chats_are_pinned_at_most_and_one_that_is_taken_back_is_seen_all_the_same() {
    let app = App::new().await;
    let ada = app.sign_up("a@example.org").await;
    sqlx::query("insert into app.threads (user_id, client_id, title, pinned) select $1, gen_random_uuid(), 'p' || n, n <= 200 from generate_series(1, 202) n")
        .bind(ada.id.0)
        .execute(&mut app.db.superuser().await)
        .await
        .unwrap();
    let of = async |title: &str| {
        let id = "select id::text from app.threads where title = $1";
        sqlx::query_scalar::<_, String>(id).bind(title).fetch_one(&mut app.db.superuser().await).await.unwrap()
    };
    let (first, second, next, last) = (of("p1").await, of("p2").await, of("p201").await, of("p202").await);
    assert_eq!(file(&app, &ada, &[&first, &second], "pin").await.status, 200, "they are pinned already");
    assert_eq!(file(&app, &ada, &[&first, &next], "pin").await.status, StatusCode::CONFLICT);
    assert_eq!(file(&app, &ada, &[&first], "delete").await.status, 200);
    assert_eq!(file(&app, &ada, &[&next], "pin").await.status, 200);
    assert_eq!(file(&app, &ada, &[&last], "pin").await.status, StatusCode::CONFLICT);
    assert_eq!(file(&app, &ada, &[&first], "restore").await.status, 200);
    assert_eq!(titles(&app, &ada, &[]).await.len(), 202);
}

#[tokio::test]
async fn those_who_stop_many_answers_at_once_go_in_one_order_and_a_deadlock_is_a_matter_of_trying_again() {
    let app = App::new().await;
    let ada = app.sign_up("a@example.org").await;
    // The one whose thread and row come first has the higher id.
    for (n, generation) in [(1, 'f'), (2, '0')] {
        sql(&app, &format!(
            "insert into app.threads (id, user_id, client_id, title) values ('10000000-0000-4000-8000-00000000000{n}', '{0}', gen_random_uuid(), 'x');
             insert into app.messages (id, thread_id, user_id, seq, role, content)
               values ('20000000-0000-4000-8000-00000000000{n}', '10000000-0000-4000-8000-00000000000{n}', '{0}', 1, 'assistant', '{{\"text\": \"\"}}');
             insert into app.generations (id, user_id, thread_id, message_id)
               values ('{generation}0000000-0000-4000-8000-000000000000', '{0}', '10000000-0000-4000-8000-00000000000{n}', '20000000-0000-4000-8000-00000000000{n}')",
            ada.id.0
        ))
        .await;
    }
    let mut other = app.db.superuser().await;
    let mut held = other.begin().await.unwrap();
    held.execute("select from app.generations where id::text like '0%' for update").await.unwrap();
    let threads = ["10000000-0000-4000-8000-000000000001", "10000000-0000-4000-8000-000000000002"];
    let (answer, ()) = tokio::join!(file(&app, &ada, &threads, "delete"), async {
        app.until("it waits", async || (app.waiting().await > 0).then_some(())).await;
        let free =
            "select count(*) from (select from app.generations where id::text like 'f%' for update skip locked) x";
        assert_eq!(app.count(free).await, 1, "it waits for the lowest and holds none above it");
        held.rollback().await.unwrap();
    });
    assert_eq!(answer.status, 200);
    let mut lane = app.state.lanes.user(&ada.opening()).await.unwrap();
    let deadlock = "do $$ begin raise exception using errcode = '40P01'; end $$";
    let error = AppError::from(sqlx::query(deadlock).execute(lane.conn()).await.unwrap_err());
    assert!(matches!(error, AppError::Unavailable), "{error:?}");
}
