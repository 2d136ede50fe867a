//! Private threads: what their owner can do, what nobody else can, and that nothing is stored twice.

use std::{collections::BTreeSet, sync::Arc};

use axum::http::{StatusCode, header};
use serde_json::{Value, json};
use sqlx::Executor;
use uuid::Uuid;

use crate::harness::{App, Person, post, raw_post};

const START: &str = "threads/server_fns/start_thread";
const SEND: &str = "threads/server_fns/send_message";
const OPEN: &str = "threads/server_fns/open_thread";
const LIST: &str = "threads/server_fns/list_threads";

fn fresh() -> String {
    Uuid::new_v4().to_string()
}

async fn start(app: &App, person: &Person, text: &str) -> String {
    let answer = app.call(Some(person), START, &[("client", &fresh()), ("text", text)]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["thread"].as_str().unwrap().to_owned()
}

/// The transcript once its last answer has ended.
async fn ended(app: &App, person: &Person, thread: &str) -> Value {
    app.until("an answer's end", async || {
        let page = app.call(Some(person), OPEN, &[("thread", thread)]).await.json();
        let last = page["messages"].as_array().unwrap().last().unwrap().clone();
        (last["status"] != "running").then_some(page)
    })
    .await
}

async fn count(app: &App, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(&mut app.db.superuser().await).await.unwrap()
}

#[tokio::test]
async fn a_question_is_answered_and_the_list_names_it() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let thread = start(&app, &ada, "How do I stop an answer?").await;
    let page = ended(&app, &ada, &thread).await;
    assert_eq!(page["thread"]["title"], "How do I stop an answer?");
    let messages = page["messages"].as_array().unwrap();
    assert_eq!(messages.iter().map(|m| m["role"].as_str().unwrap()).collect::<Vec<_>>(), ["user", "assistant"]);
    assert_eq!(messages.iter().map(|m| m["seq"].as_i64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(messages[1]["status"], "done");
    assert!(messages[1]["html"].as_str().unwrap().contains("href=\"/guide/answers#"), "{}", messages[1]);
    let list = app.call(Some(&ada), LIST, &[]).await.json();
    assert_eq!(list["rows"][0]["id"], json!(thread));
    assert_eq!(
        count(&app, "select count(*) from app.generation_chunks").await,
        0,
        "the pieces have become the message"
    );
}

// The checklist of the seed document, one test a line.

#[tokio::test]
async fn a_cannot_see_bs_threads() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("a@example.org").await, app.sign_up("b@example.org").await);
    let hers = start(&app, &ada, "hers alone").await;
    let his = start(&app, &bob, "his alone").await;
    for (who, own, other) in [(&ada, &hers, "his alone"), (&bob, &his, "hers alone")] {
        let list = app.call(Some(who), LIST, &[]).await;
        let rows = list.json()["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>();
        assert_eq!(rows, std::slice::from_ref(own));
        for path in ["/chat".to_owned(), format!("/chat/{own}")] {
            let page = app.page(Some(who), &path).await;
            assert!(page.body.contains(own.as_str()) && !page.body.contains(other), "{path}");
        }
    }
}

#[tokio::test]
async fn direct_access_by_thread_id_fails_and_looks_like_an_id_that_is_not_there() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("a@example.org").await, app.sign_up("b@example.org").await);
    let hers = start(&app, &ada, "hers alone").await;
    let page = ended(&app, &ada, &hers).await;
    let answer = page["messages"][1]["id"].as_str().unwrap().to_owned();
    let nothing = fresh();
    let same_but_the_id = |text: &str, id: &str| text.replace(id, "ID");
    for (function, field, existing, more) in [
        (OPEN, "thread", &hers, vec![]),
        ("threads/server_fns/read_thread", "thread", &hers, vec![]),
        (SEND, "thread", &hers, vec![("client", fresh()), ("text", "mine now".to_owned())]),
        ("threads/server_fns/stop_answer", "thread", &hers, vec![]),
        ("threads/server_fns/rename_thread", "thread", &hers, vec![("title", "mine".to_owned())]),
        ("threads/server_fns/delete_thread", "thread", &hers, vec![]),
        ("threads/server_fns/answer_again", "message", &answer, vec![]),
    ] {
        let call = async |id: &str| {
            let mut fields = vec![(field, id)];
            fields.extend(more.iter().map(|(k, v)| (*k, v.as_str())));
            let answer = app.call(Some(&bob), function, &fields).await;
            let mut headers: Vec<String> = answer
                .headers
                .iter()
                .filter(|(name, _)| !["x-request-id", "date", "content-security-policy"].contains(&name.as_str()))
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect();
            headers.sort();
            (answer.status, headers, same_but_the_id(&answer.body, id))
        };
        let (foreign, missing) = (call(existing).await, call(&nothing).await);
        assert_eq!(foreign.0, StatusCode::NOT_FOUND, "{function}: {}", foreign.2);
        assert_eq!(foreign, missing, "{function}");
    }
    let (foreign, missing) =
        (app.page(Some(&bob), &format!("/chat/{hers}")).await, app.page(Some(&bob), &format!("/chat/{nothing}")).await);
    assert_eq!((foreign.status, missing.status), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND));
    assert_eq!(without_fresh(&foreign.body, &hers), without_fresh(&missing.body, &nothing));
    // The positive control: for their owner, the same calls find them.
    assert_eq!(app.call(Some(&ada), OPEN, &[("thread", &hers)]).await.status, 200);
    assert_eq!(app.page(Some(&ada), &format!("/chat/{hers}")).await.status, 200);
    assert_eq!(count(&app, "select count(*) from app.messages").await, 2);
}

/// A page without what is new in every page: its id, nonces, client ids and places in the feed.
fn without_fresh(page: &str, id: &str) -> String {
    let nonce = page.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
    page.replace(id, "ID").replace(nonce, "NONCE")
}

#[tokio::test]
async fn cross_user_inserts_are_blocked() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("a@example.org").await, app.sign_up("b@example.org").await);
    let hers = start(&app, &ada, "hers alone").await;
    // Past the screens and past our queries: any statement in a lane that was opened for Bob.
    for statement in [
        format!("insert into app.threads (user_id, client_id) values ('{}', gen_random_uuid())", ada.id),
        format!(
            "insert into app.messages (thread_id, user_id, seq, client_id, role, content) values ('{hers}', '{}', 9, gen_random_uuid(), 'user', '{{\"text\": \"x\"}}')",
            ada.id
        ),
        format!(
            "insert into app.messages (thread_id, seq, client_id, role, content) values ('{hers}', 9, gen_random_uuid(), 'user', '{{\"text\": \"x\"}}')"
        ),
        format!("select app.post_message('{hers}', gen_random_uuid(), 'x', '')"),
    ] {
        let mut lane = app.state.lanes.user(&bob.opening()).await.unwrap();
        let error = lane.conn().execute(sqlx::AssertSqlSafe(statement.clone())).await.unwrap_err();
        let code = error.as_database_error().unwrap().code().unwrap().into_owned();
        assert!(["42501", "23503", "P0404"].contains(&code.as_str()), "{statement}: {code}");
    }
    assert_eq!(count(&app, "select count(*) from app.messages").await, 2);
}

#[tokio::test]
async fn new_threads_always_have_an_owner() {
    let app = App::new().await;
    let ada = app.sign_up("a@example.org").await;
    start(&app, &ada, "hello").await;
    let owners: Vec<Uuid> =
        sqlx::query_scalar("select user_id from app.threads").fetch_all(&mut app.db.superuser().await).await.unwrap();
    assert_eq!(owners, [ada.id.0]);
    let error = app
        .db
        .superuser()
        .await
        .execute("insert into app.threads (client_id, user_id) values (gen_random_uuid(), null)")
        .await
        .unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().unwrap(), "23502");
}

#[tokio::test]
async fn old_chats_go_with_their_thread_and_threads_go_with_their_user() {
    let app = App::new().await;
    let ada = app.sign_up("a@example.org").await;
    let (one, two) = (start(&app, &ada, "one").await, start(&app, &ada, "two").await);
    ended(&app, &ada, &one).await;
    ended(&app, &ada, &two).await;
    assert_eq!(app.call(Some(&ada), "threads/server_fns/delete_thread", &[("thread", &one)]).await.status, 200);
    app.db
        .superuser()
        .await
        .execute("update app.threads set deleted_at = now() - interval '2 minutes' where deleted_at is not null")
        .await
        .unwrap();
    moat::server::jobs::sweep_threads(&app.state).await.unwrap();
    assert_eq!(count(&app, "select count(*) from app.messages").await, 2);
    app.db.superuser().await.execute("delete from app.users").await.unwrap();
    for sql in [
        "select count(*) from app.threads",
        "select count(*) from app.messages",
        "select count(*) from app.generations",
        "select count(*) from app.sessions",
    ] {
        assert_eq!(count(&app, sql).await, 0, "{sql}");
    }
}

#[tokio::test]
async fn no_statement_in_a_lane_for_somebody_else_finds_a_trace() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("a@example.org").await, app.sign_up("b@example.org").await);
    start(&app, &ada, "a secret word").await;
    app.until("the feed", async || (count(&app, "select count(*) from app.feed").await > 3).then_some(())).await;
    let tables: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_class where relnamespace = 'app'::regnamespace and relkind = 'r'",
    )
    .fetch_all(&mut app.db.superuser().await)
    .await
    .unwrap();
    for table in tables {
        let mut lane = app.state.lanes.user(&bob.opening()).await.unwrap();
        let found: Result<Vec<String>, _> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select t::text from app.{table} t")))
                .fetch_all(lane.conn())
                .await;
        for row in found.unwrap_or_default() {
            assert!(
                !row.contains("secret") && !row.contains("a@example.org") && !row.contains(&ada.id.to_string()),
                "{table}: {row}"
            );
        }
    }
    let mut lane = app.state.lanes.user(&bob.opening()).await.unwrap();
    let told: i64 = sqlx::query_scalar("select count(*) from app.my_feed(false, 0, 1000000, 1000) f")
        .fetch_one(lane.conn())
        .await
        .unwrap();
    assert_eq!(told, 0);
}

// Exactly once.

#[tokio::test]
async fn the_same_message_fifty_times_at_once_is_one_row_and_one_answer() {
    let app = Arc::new(App::new().await);
    let ada = app.sign_up("ada@example.org").await;
    let client = fresh();
    let starts = (0..50).map(|_| {
        let (app, ada, client) = (app.clone(), ada.clone(), client.clone());
        tokio::spawn(async move { app.call(Some(&ada), START, &[("client", &client), ("text", "once")]).await.body })
    });
    let bodies: BTreeSet<String> = futures::future::join_all(starts).await.into_iter().map(|b| b.unwrap()).collect();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    let posted: Value = serde_json::from_str(bodies.first().unwrap()).unwrap();
    let thread = posted["thread"].as_str().unwrap().to_owned();
    ended(&app, &ada, &thread).await;
    assert_eq!(count(&app, "select count(*) from app.threads").await, 1);
    assert_eq!(count(&app, "select count(*) from app.messages").await, 2);

    let client = fresh();
    let sends = (0..50).map(|_| {
        let (app, ada, client, thread) = (app.clone(), ada.clone(), client.clone(), thread.clone());
        tokio::spawn(async move {
            app.call(Some(&ada), SEND, &[("thread", &thread), ("client", &client), ("text", "again")]).await.body
        })
    });
    let bodies: BTreeSet<String> = futures::future::join_all(sends).await.into_iter().map(|b| b.unwrap()).collect();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    ended(&app, &ada, &thread).await;
    let seqs: Vec<i64> = sqlx::query_scalar("select seq from app.messages order by seq")
        .fetch_all(&mut app.db.superuser().await)
        .await
        .unwrap();
    assert_eq!(seqs, [1, 2, 3, 4]);
    assert_eq!(count(&app, "select count(*) from app.generations").await, 2);
    // A retry that comes long after still finds it.
    let late = app.call(Some(&ada), SEND, &[("thread", &thread), ("client", &client), ("text", "again")]).await;
    assert_eq!(late.body, *bodies.first().unwrap());
    // The same id with another text is somebody's mistake, and is said.
    let other = app.call(Some(&ada), SEND, &[("thread", &thread), ("client", &client), ("text", "other")]).await;
    assert_eq!((other.status, other.json()["error"].as_str()), (StatusCode::CONFLICT, Some("conflict")));
    assert_eq!(count(&app, "select count(*) from app.messages").await, 4);
}

#[tokio::test]
async fn two_people_may_use_the_same_client_id() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("a@example.org").await, app.sign_up("b@example.org").await);
    let client = fresh();
    let one = app.call(Some(&ada), START, &[("client", &client), ("text", "hers")]).await;
    let two = app.call(Some(&bob), START, &[("client", &client), ("text", "his")]).await;
    assert_eq!((one.status, two.status), (StatusCode::OK, StatusCode::OK));
    assert_ne!(one.json()["thread"], two.json()["thread"]);
}

#[tokio::test]
async fn different_messages_at_once_keep_seq_gapless_and_the_tree_whole() {
    let app = Arc::new(App::new().await);
    let ada = app.sign_up("ada@example.org").await;
    let thread = start(&app, &ada, "first").await;
    ended(&app, &ada, &thread).await;
    let sends = (0..20).map(|i| {
        let (app, ada, thread) = (app.clone(), ada.clone(), thread.clone());
        tokio::spawn(async move {
            app.call(Some(&ada), SEND, &[("thread", &thread), ("client", &fresh()), ("text", &format!("message {i}"))])
                .await
                .status
        })
    });
    let statuses: Vec<StatusCode> = futures::future::join_all(sends).await.into_iter().map(|s| s.unwrap()).collect();
    let sent = statuses.iter().filter(|s| **s == StatusCode::OK).count() as i64;
    assert!(sent >= 1);
    assert!(statuses.iter().all(|s| [StatusCode::OK, StatusCode::CONFLICT].contains(s)), "{statuses:?}");
    let seqs: Vec<i64> = sqlx::query_scalar("select seq from app.messages order by seq")
        .fetch_all(&mut app.db.superuser().await)
        .await
        .unwrap();
    assert_eq!(seqs, (1..=2 + 2 * sent).collect::<Vec<_>>());
    assert_eq!(count(&app, "select count(*) from app.messages where parent_id is null").await, 1);
}

// The list and the transcript by pages.

#[tokio::test]
async fn the_list_comes_newest_first_in_pages_without_gaps_or_doubles() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    // Three of each time, so that the id has to break the tie.
    sqlx::query("insert into app.threads (user_id, client_id, title, active_at) select $1, gen_random_uuid(), 't' || n, timestamptz '2026-01-01' + (n / 3) * interval '1 second' from generate_series(1, 120) n")
        .bind(ada.id)
        .execute(&mut app.db.superuser().await)
        .await
        .unwrap();
    let mut seen: Vec<(i64, String)> = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let fields: Vec<(&str, &str)> = after.iter().map(|a| ("after", a.as_str())).collect();
        let page = app.call(Some(&ada), LIST, &fields).await.json();
        for row in page["rows"].as_array().unwrap() {
            seen.push((row["at"]["micros"].as_i64().unwrap(), row["id"].as_str().unwrap().to_owned()));
        }
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(seen.len(), 120);
    assert!(seen.windows(2).all(|pair| pair[0] > pair[1]), "newest first, each once");
    let html = app.page(Some(&ada), "/chat").await.body;
    assert_eq!(html.matches("class=\"thread\"").count(), 50);
    assert!(html.contains("Older chats"));
}

#[tokio::test]
async fn a_long_transcript_is_read_upwards_in_pages() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let thread = start(&app, &ada, "message 1").await;
    ended(&app, &ada, &thread).await;
    sqlx::query(
        "with recursive chain as (
            select 3 as n, gen_random_uuid() as id, (select id from app.messages where seq = 2) as parent
            union all select n + 1, gen_random_uuid(), id from chain where n < 130)
         insert into app.messages (id, thread_id, user_id, seq, parent_id, client_id, role, content)
         select id, $1, $2, n, parent, gen_random_uuid(), 'user', jsonb_build_object('text', 'message ' || n) from chain order by n",
    )
    .bind(thread.parse::<Uuid>().unwrap())
    .bind(ada.id)
    .execute(&mut app.db.superuser().await)
    .await
    .unwrap();
    app.db
        .superuser()
        .await
        .execute("update app.threads set leaf_id = (select id from app.messages where seq = 130)")
        .await
        .unwrap();
    let mut seqs: Vec<i64> = Vec::new();
    let mut before: Option<String> = None;
    loop {
        let mut fields = vec![("thread", thread.as_str())];
        fields.extend(before.iter().map(|b| ("before", b.as_str())));
        let page = app.call(Some(&ada), OPEN, &fields).await.json();
        let messages = page["messages"].as_array().unwrap();
        let mut part: Vec<i64> = messages.iter().map(|m| m["seq"].as_i64().unwrap()).collect();
        part.append(&mut seqs);
        seqs = part;
        before = messages.first().map(|m| m["id"].as_str().unwrap().to_owned());
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(seqs, (1..=130).collect::<Vec<_>>());
    let html = app.page(Some(&ada), &format!("/chat/{thread}")).await.body;
    assert!(
        html.contains("message 130") && html.contains("Earlier messages") && !html.contains("message 7<"),
        "the newest are in the page"
    );
}

// Bad input.

#[tokio::test]
async fn what_is_no_message_is_refused_with_a_reason_and_nothing_is_stored() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let long = "é".repeat(32_001);
    for (what, client, text) in [
        ("empty", fresh(), ""),
        ("blank", fresh(), " \n\t "),
        ("too long", fresh(), long.as_str()),
        ("NUL", fresh(), "a\0b"),
        ("an id that is no uuid", "x".to_owned(), "hello"),
        ("an id in other words", "20000000-0000-4000-8000-00000000000g".to_owned(), "hello"),
    ] {
        let answer = app.call(Some(&ada), START, &[("client", &client), ("text", text)]).await;
        assert_eq!(
            (answer.status, answer.json()["error"].as_str()),
            (StatusCode::BAD_REQUEST, Some("invalid")),
            "{what}: {}",
            answer.body
        );
        assert!(answer.json()["why"].as_str().unwrap().len() > 10, "{what}");
    }
    for (what, body) in [
        ("invalid utf-8", &b"client=20000000-0000-4000-8000-000000000001&text=%ff%fe"[..]),
        ("raw bytes", b"client=20000000-0000-4000-8000-000000000001&text=\xff\xfe"),
        ("no text", b"client=20000000-0000-4000-8000-000000000001"),
        ("nothing", b""),
        ("a list", b"client=20000000-0000-4000-8000-000000000001&text[]=a&text[]=b"),
        ("json", br#"{"client": "20000000-0000-4000-8000-000000000001", "text": "x"}"#),
    ] {
        let mut request = raw_post(&format!("/api/moat/{START}"), body.to_vec());
        request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {}", ada.access).parse().unwrap());
        let answer = app.send(request).await;
        assert!(answer.status.is_client_error(), "{what}: {} {}", answer.status, answer.body);
    }
    for (function, field, value) in [
        (LIST, "after", "tampered"),
        (OPEN, "thread", "1"),
        (OPEN, "thread", "' or 1=1"),
        ("threads/server_fns/rename_thread", "title", "x"),
    ] {
        let answer = app.call(Some(&ada), function, &[(field, value)]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{function} {value}: {}", answer.body);
    }
    assert_eq!(count(&app, "select count(*) from app.threads").await, 0);
    assert_eq!(app.page(Some(&ada), "/chat/not-an-id").await.status, 404);
    assert_eq!(app.page(Some(&ada), "/chat?after=tampered").await.status, 400);
}

#[tokio::test]
async fn a_form_that_is_refused_brings_back_what_was_typed() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let thread = start(&app, &ada, "first").await;
    ended(&app, &ada, &thread).await;
    let client = fresh();
    let long = format!("<b>kept</b> {}", "word ".repeat(7000));
    for (page, form, fields) in [
        ("/chat".to_owned(), "start", vec![("client", client.as_str()), ("text", long.as_str())]),
        (
            format!("/chat/{thread}"),
            "send",
            vec![("client", client.as_str()), ("thread", thread.as_str()), ("text", long.as_str())],
        ),
    ] {
        let mut request = post(&format!("{page}?do={form}"), &fields);
        request.headers_mut().insert(header::COOKIE, ada.cookie().parse().unwrap());
        request.headers_mut().insert(header::ACCEPT, "text/html".parse().unwrap());
        let answer = app.send(request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{form}");
        let html = scraper::Html::parse_document(&answer.body);
        let area = html.select(&scraper::Selector::parse(".composer textarea").unwrap()).next().unwrap();
        assert_eq!(area.text().collect::<String>(), long, "{form}");
        assert!(answer.body.contains("This is longer than 32,000 characters."), "{form}");
        let id = html
            .select(&scraper::Selector::parse(".composer input[name=client]").unwrap())
            .next()
            .unwrap()
            .value()
            .attr("value")
            .unwrap();
        assert_eq!(id, client, "{form}: sending it again is the same message");
    }
    // What is typed at a message or into the menu comes back there, opened.
    let message = ended(&app, &ada, &thread).await["messages"][0]["id"].as_str().unwrap().to_owned();
    for (form, field, area) in [
        ("edit", "text", "details.edit[open] textarea"),
        ("options", "instructions", "details.menu[open] textarea"),
        ("rename", "title", "details.menu[open] input[name=title]"),
    ] {
        let fields = [("client", &*client), ("thread", &thread), ("message", &message), (field, &long)];
        let mut request = post(&format!("/chat/{thread}?do={form}"), &fields);
        request.headers_mut().insert(header::COOKIE, ada.cookie().parse().unwrap());
        request.headers_mut().insert(header::ACCEPT, "text/html".parse().unwrap());
        let answer = app.send(request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{form}");
        let html = scraper::Html::parse_document(&answer.body);
        let area = html.select(&scraper::Selector::parse(area).unwrap()).next().expect(form);
        let typed = area.value().attr("value").map_or_else(|| area.text().collect::<String>(), str::to_owned);
        assert_eq!(typed, long, "{form}");
    }
    assert_eq!(count(&app, "select count(*) from app.messages").await, 2);
    // And one that is accepted goes on to the thread.
    let mut request =
        post(&format!("/chat/{thread}?do=send"), &[("client", &client), ("thread", &thread), ("text", "short")]);
    request.headers_mut().insert(header::COOKIE, ada.cookie().parse().unwrap());
    request.headers_mut().insert(header::ACCEPT, "text/html".parse().unwrap());
    let answer = app.send(request).await;
    assert_eq!(
        (answer.status, answer.headers[header::LOCATION].to_str().unwrap()),
        (StatusCode::SEE_OTHER, format!("/chat/{thread}").as_str())
    );
}

#[tokio::test]
async fn a_thread_is_renamed_and_keeps_its_place() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let (old, new) = (start(&app, &ada, "old").await, start(&app, &ada, "new").await);
    ended(&app, &ada, &old).await;
    ended(&app, &ada, &new).await;
    assert_eq!(
        app.call(Some(&ada), "threads/server_fns/rename_thread", &[("thread", &old), ("title", "  The   old one ")])
            .await
            .status,
        200
    );
    let list = app.call(Some(&ada), LIST, &[]).await.json();
    let titles: Vec<&str> = list["rows"].as_array().unwrap().iter().map(|r| r["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["new", "The old one"]);
}

#[tokio::test]
async fn a_form_whose_id_was_spent_on_another_text_comes_back_with_a_fresh_one() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let client = fresh();
    assert_eq!(app.call(Some(&ada), START, &[("client", &client), ("text", "first")]).await.status, 200);
    let mut request = post("/chat?do=start", &[("client", &client), ("text", "second")]);
    request.headers_mut().insert(header::COOKIE, ada.cookie().parse().unwrap());
    request.headers_mut().insert(header::ACCEPT, "text/html".parse().unwrap());
    let answer = app.send(request).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert!(answer.body.contains(">second</textarea>"));
    let html = scraper::Html::parse_document(&answer.body);
    let input = html.select(&scraper::Selector::parse("input[name=client]").unwrap()).next().unwrap();
    assert_ne!(input.value().attr("value").unwrap(), client, "sending it again would be refused for ever");
}

#[tokio::test]
async fn no_text_of_somebodys_becomes_a_part_of_the_page() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let attack = "</title></textarea><meta http-equiv=refresh content=0;//evil.example>&lt;";
    let thread = start(&app, &ada, attack).await;
    ended(&app, &ada, &thread).await;
    let mut form =
        post("/chat?do=start", &[("client", "no id"), ("text", attack), ("title", attack), ("email", attack)]);
    form.headers_mut().insert(header::COOKIE, ada.cookie().parse().unwrap());
    form.headers_mut().insert(header::ACCEPT, "text/html".parse().unwrap());
    let refused = app.send(form).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let opened = app.page(Some(&ada), &format!("/chat/{thread}")).await;
    let all = |html: &str, of: &str| {
        let html = scraper::Html::parse_document(html);
        html.select(&scraper::Selector::parse(of).unwrap()).map(|e| e.text().collect::<String>()).collect::<Vec<_>>()
    };
    for page in [&opened.body, &refused.body] {
        assert!(all(page, "meta[http-equiv]").is_empty(), "{page}");
    }
    assert!(all(&opened.body, "title")[0].starts_with("</title>"));
    assert_eq!(all(&refused.body, "textarea"), [attack]);
}

#[tokio::test]
async fn a_link_puts_no_words_into_our_pages_and_no_address_into_our_answers() {
    let app = App::new().await;
    let error = "eyJlcnJvciI6ImludmFsaWQiLCJmaWVsZCI6InBhc3N3b3JkIiwid2h5IjoiY2FsbCAwOTAwIn0";
    let page = app.page(None, &format!("/sign-in?__path=/api/moat/accounts/server_fns/sign_in&__err={error}")).await;
    assert!(!page.body.contains("0900"));
    let mut request = raw_post("/api/moat/accounts/server_fns/sign_out", "");
    request.headers_mut().insert(header::ACCEPT, "text/html".parse().unwrap());
    request.headers_mut().insert(header::REFERER, "https://evil.example/x".parse().unwrap());
    request.headers_mut().insert("x-request-id", "mine".parse().unwrap());
    let answer = app.send(request).await;
    assert!(!format!("{:?}", answer.headers).contains("evil.example"), "{:?}", answer.headers);
    assert_ne!(answer.headers["x-request-id"], "mine");
}

#[tokio::test]
async fn a_form_that_is_sent_after_the_session_has_ended_brings_back_what_was_typed() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let thread = start(&app, &ada, "first").await;
    ended(&app, &ada, &thread).await;
    assert_eq!(app.call(Some(&ada), "accounts/server_fns/sign_out", &[]).await.status, 200);
    let text = "kept </textarea><b>&";
    for cookie in [ada.cookie(), String::new()] {
        let mut form =
            post(&format!("/chat/{thread}?do=send"), &[("client", &fresh()), ("thread", &thread), ("text", text)]);
        form.headers_mut().insert(header::COOKIE, cookie.parse().unwrap());
        form.headers_mut().insert(header::ACCEPT, "text/html".parse().unwrap());
        let answer = app.send(form).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        let html = scraper::Html::parse_document(&answer.body);
        let area = html.select(&scraper::Selector::parse("textarea").unwrap()).next().unwrap();
        assert_eq!(area.text().collect::<String>(), text);
        assert!(answer.body.contains(&format!("/sign-in?next=%2Fchat%2F{thread}")), "{}", answer.body);
    }
    assert_eq!(count(&app, "select count(*) from app.messages").await, 2);
}

#[tokio::test]
async fn a_title_and_instructions_that_can_not_be_stored_are_refused_in_words_and_the_longest_fit() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let thread = start(&app, &ada, "hello").await;
    let longest = ("🦀".repeat(200), "🦀".repeat(8000));
    for (function, field, long, nul) in [
        ("threads/server_fns/rename_thread", "title", longest.0.clone() + "x", "a\0b"),
        ("threads/server_fns/set_options", "instructions", longest.1.clone() + "x", "a\0b"),
    ] {
        for typed in [long.as_str(), nul] {
            let answer = app.call(Some(&ada), function, &[("thread", &thread), (field, typed)]).await;
            assert_eq!(
                (answer.status.as_u16(), answer.json()["field"].as_str()),
                (400, Some(field)),
                "{}",
                answer.body
            );
        }
        // The same by the form of a page without a script.
        let door = format!("/chat/{thread}?do={}", if field == "title" { "rename" } else { "options" });
        let page = app.form(Some(&ada), &door, &[("thread", &thread), (field, nul)]).await;
        assert_eq!(page.status, 400, "{door}: {}", page.body);
    }
    let kept = || async {
        sqlx::query_as::<_, (String, String)>("select title, instructions from app.threads")
            .fetch_one(&mut app.db.superuser().await)
            .await
            .unwrap()
    };
    assert_eq!(kept().await, ("hello".into(), String::new()));
    for (function, field, typed) in [
        ("threads/server_fns/rename_thread", "title", &longest.0),
        ("threads/server_fns/set_options", "instructions", &longest.1),
    ] {
        let answer = app.call(Some(&ada), function, &[("thread", &thread), (field, typed)]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    assert_eq!(kept().await, longest);
}

#[tokio::test]
async fn a_chat_opens_whatever_number_of_tokens_its_model_server_told() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let thread = start(&app, &ada, "How many?").await;
    ended(&app, &ada, &thread).await;
    let told = "update app.generations set tokens_read = 2147483647, tokens_written = 2147483647";
    app.db.superuser().await.execute(told).await.unwrap();
    let page = app.call(Some(&ada), OPEN, &[("thread", &thread)]).await;
    assert_eq!(page.status, 200, "{}", page.body);
    let used = page.json()["thread"]["used"].as_str().unwrap().to_owned();
    assert!(used.contains("4,294,967,294 tokens used in this chat"), "{used}");
}
