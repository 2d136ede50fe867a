//! The live feed: nothing lost, nothing doubled, in order, and to nobody whose time is over.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    body::Body,
    http::{Request, header},
};
use futures::StreamExt;
use moat::{
    answers::run,
    live::{
        hub::{Hub, QUEUE},
        stream::TOO_MUCH,
    },
    server::{jobs, router},
};
use serde_json::Value;
use sqlx::Executor;
use tower::ServiceExt;
use uuid::Uuid;

use crate::{
    answers::{Manner, app_with_model},
    harness::{App, DEADLINE, Person},
};

/// An open stream of a person: events as they come.
struct Stream {
    body: axum::body::BodyDataStream,
    rest: String,
}

impl Stream {
    async fn open(app: &App, who: &Person, after: Option<i64>, last_event_id: Option<i64>) -> Self {
        Self::of(app.open(Self::request(who, after, last_event_id)).await)
    }

    fn request(who: &Person, after: Option<i64>, last_event_id: Option<i64>) -> Request<Body> {
        let path = after.map_or_else(|| "/live".to_owned(), |after| format!("/live?after={after}"));
        let mut request = Request::get(path).header(header::COOKIE, who.cookie());
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id.to_string());
        }
        request.body(Body::empty()).unwrap()
    }

    fn of(response: axum::response::Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), rest: String::new() }
    }

    /// The next event; `None` when the stream has ended.
    async fn next(&mut self) -> Option<(i64, Value)> {
        // For the event, not for each piece: the stream's signs of life would put it off for ever.
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            if let Some((event, rest)) = self.rest.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.rest = rest;
                if event.starts_with("event: alive") {
                    continue;
                }
                if let Some(data) = event.lines().find_map(|l| l.strip_prefix("data: ")) {
                    let told: Value = serde_json::from_str(data).unwrap();
                    let id = event.lines().find_map(|l| l.strip_prefix("id: ")).unwrap().parse().unwrap();
                    assert_eq!(told["pos"], id);
                    return Some((id, told["event"].clone()));
                }
                continue;
            }
            let piece = tokio::time::timeout_at(deadline, self.body.next()).await.expect("an event")?;
            self.rest.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
        }
    }

    /// Reads up to and including an event of this kind.
    async fn until(&mut self, kind: &str) -> Vec<(i64, Value)> {
        let mut seen = Vec::new();
        loop {
            let event = self.next().await.unwrap_or_else(|| panic!("the stream ended before {kind}: {seen:?}"));
            let done = event.1["kind"] == kind;
            seen.push(event);
            if done {
                return seen;
            }
        }
    }
}

fn pieces(events: &[(i64, Value)]) -> (String, Vec<i64>) {
    let chunks: Vec<&Value> = events.iter().map(|(_, e)| e).filter(|e| e["kind"] == "answer.chunk").collect();
    (
        chunks.iter().map(|e| e["text"].as_str().unwrap()).collect(),
        chunks.iter().map(|e| e["n"].as_i64().unwrap()).collect(),
    )
}

/// This many events of somebody's, waiting in the outbox.
async fn tell(app: &App, who: &Person, many: usize) {
    sqlx::query(
        "insert into app.outbox (topic, kind, payload) select $1, 'thread.changed', '{}' from generate_series(1, $2)",
    )
    .bind(who.id)
    .bind(many as i64)
    .execute(&mut app.db.superuser().await)
    .await
    .unwrap();
    app.state.hub.wake();
}

/// Waits until this many events of everybody's are in the feed.
async fn fed(app: &App, many: usize) {
    app.until("the feed", async || (app.count("select count(*) from app.feed").await == many as i64).then_some(()))
        .await;
}

async fn places(stream: &mut Stream, many: usize) -> Vec<i64> {
    let mut places = Vec::new();
    for _ in 0..many {
        let (pos, event) = stream.next().await.expect("an event");
        assert_eq!(event["kind"], "thread.changed");
        places.push(pos);
    }
    places
}

async fn ask(app: &App, who: &Person, text: &str) -> String {
    let client = Uuid::new_v4().to_string();
    let answer = app.call(Some(who), "threads/server_fns/start_thread", &[("client", &client), ("text", text)]).await;
    answer.json()["thread"].as_str().unwrap().to_owned()
}

async fn open(app: &App, who: &Person, thread: &str) -> Value {
    app.call(Some(who), "threads/server_fns/open_thread", &[("thread", thread)]).await.json()
}

#[tokio::test]
async fn a_stream_begins_with_a_sign_of_life_and_one_that_is_asked_for_once_ends_with_what_there_was() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    tell(&app, &ada, 3).await;
    fed(&app, 3).await;
    let once =
        Request::get("/live?after=0&once=true").header(header::COOKIE, ada.cookie()).body(Body::empty()).unwrap();
    let told = app.send(once).await.body;
    assert!(told.starts_with("event: alive\ndata: 1\n\n"), "{told}");
    let ids: Vec<&str> = told.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    assert_eq!(ids.len(), 3, "{told}");
    let rest = format!("/live?after={}&once=true", ids[2]);
    let rest = Request::get(rest).header(header::COOKIE, ada.cookie()).body(Body::empty()).unwrap();
    assert!(!app.send(rest).await.body.contains("id: "));
    let mut open = app.open(Stream::request(&ada, Some(0), None)).await.into_body().into_data_stream();
    assert!(open.next().await.unwrap().unwrap().starts_with(b"event: alive\n"));
}

#[tokio::test]
async fn two_windows_hear_the_answer_to_its_end_and_a_third_that_comes_late_catches_up() {
    let (app, model) = app_with_model().await;
    let ada = app.sign_up("ada@example.org").await;
    let (mut one, mut two) = (Stream::open(&app, &ada, None, None).await, Stream::open(&app, &ada, None, None).await);
    model.next(Manner::Hold(vec!["The ".into(), "north".into()], vec![", by ".into(), "12 %".into()]));
    let thread = ask(&app, &ada, "Which region?").await;
    let mut first = one.until("answer.chunk").await;
    // A page that is loaded now has a part of the answer, and the place from which the stream goes on.
    let page = app
        .until("the first piece in the page", async || {
            let page = open(&app, &ada, &thread).await;
            (page["messages"][1]["text"] == "The north").then_some(page)
        })
        .await;
    let (text, n) =
        (page["messages"][1]["text"].as_str().unwrap().to_owned(), page["messages"][1]["next_piece"].as_i64().unwrap());
    let mut late = Stream::open(&app, &ada, Some(page["live"]["pos"].as_i64().unwrap()), None).await;
    model.go_on();
    first.extend(one.until("answer.ended").await);
    let second = two.until("answer.ended").await;
    assert_eq!(first, second);
    let (whole, numbers) = pieces(&first);
    assert_eq!(whole, "The north, by 12 %");
    assert_eq!(numbers, (0..numbers.len() as i64).collect::<Vec<_>>(), "without gaps or doubles");
    assert!(first.windows(2).all(|pair| pair[0].0 < pair[1].0), "in order");
    let events = late.until("answer.ended").await;
    let rest: String = events
        .iter()
        .map(|(_, e)| e)
        .filter(|e| e["kind"] == "answer.chunk" && e["n"].as_i64().unwrap() >= n)
        .map(|e| e["text"].as_str().unwrap())
        .collect();
    assert_eq!(text + &rest, "The north, by 12 %", "page and stream together are the answer, byte for byte");
}

#[tokio::test]
async fn a_stream_that_broke_off_goes_on_where_it_was() {
    let (app, model) = app_with_model().await;
    let ada = app.sign_up("ada@example.org").await;
    let mut stream = Stream::open(&app, &ada, None, None).await;
    model.next(Manner::Hold(vec!["one".into()], vec![" two".into()]));
    ask(&app, &ada, "count").await;
    let before = stream.until("answer.chunk").await;
    let seen = before.last().unwrap().0;
    drop(stream);
    model.go_on();
    app.until("the end", async || {
        let n: i64 = sqlx::query_scalar("select count(*) from app.feed where kind = 'answer.ended'")
            .fetch_one(&mut app.db.superuser().await)
            .await
            .unwrap();
        (n == 1).then_some(())
    })
    .await;
    // The browser's own cursor goes before the address, which is as old as the page.
    let mut again = Stream::open(&app, &ada, Some(0), Some(seen)).await;
    let after = again.until("answer.ended").await;
    assert!(after.iter().all(|(pos, _)| *pos > seen));
    assert_eq!(pieces(&before).0 + &pieces(&after).0, "one two");
}

#[tokio::test]
async fn nobody_hears_of_somebody_elses_chats() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let mut his = Stream::open(&app, &bob, Some(0), None).await;
    let hers = ask(&app, &ada, "How do I stop an answer?").await;
    let mut stream = Stream::open(&app, &ada, Some(0), None).await;
    let heard = stream.until("answer.ended").await;
    assert!(heard.iter().any(|(_, e)| e["thread"] == hers), "the positive control");
    let own = ask(&app, &bob, "How do I rename a chat?").await;
    for (_, event) in his.until("answer.ended").await {
        assert_eq!(event["thread"], own, "{event}");
    }
}

#[tokio::test]
async fn a_session_that_ends_hears_nothing_that_comes_after_and_another_one_does() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let other = {
        let answer = app
            .call(
                None,
                "accounts/server_fns/sign_in",
                &[("email", "ada@example.org"), ("password", crate::harness::PASSWORD)],
            )
            .await;
        app.person("ada@example.org", &answer)
    };
    let (mut ending, mut staying) =
        (Stream::open(&app, &ada, None, None).await, Stream::open(&app, &other, None, None).await);
    // What was told in time and not read yet is not read any more either.
    ask(&app, &other, "before the end").await;
    staying.until("answer.ended").await;
    assert_eq!(app.call(Some(&ada), "accounts/server_fns/sign_out", &[]).await.status, 200);
    let thread = ask(&app, &other, "after the end").await;
    let heard = staying.until("message.posted").await;
    assert!(heard.iter().all(|(_, e)| e["thread"] == thread));
    assert_eq!(ending.next().await, None, "not a word after the end");
    let request = Request::get("/live").header(header::COOKIE, ada.cookie()).body(Body::empty()).unwrap();
    assert_eq!(app.open(request).await.status(), 401);
}

#[tokio::test]
async fn whatever_ends_a_session_ends_its_stream_and_nothing_is_heard_after_it() {
    use crate::harness::{PASSWORD, token};
    let app = App::with(&["--dev-outbox"]).await;
    for (what, ends_asker) in
        [("revoke", false), ("others", false), ("password", false), ("reset", true), ("close", true), ("erase", true)]
    {
        let email = format!("{what}@example.org");
        let asker = app.sign_up(&email).await;
        let ending = {
            let answer = app.sign_in(&email, PASSWORD).await;
            app.person(&email, &answer)
        };
        let (mut stays, mut ends) =
            (Stream::open(&app, &asker, None, None).await, Stream::open(&app, &ending, None, None).await);
        // The positive control: until then it hears.
        ask(&app, &asker, "before the end").await;
        ends.until("answer.ended").await;
        stays.until("answer.ended").await;
        let form = async |path: &str, fields: &[(&str, &str)]| app.form(Some(&asker), path, fields).await;
        let answer = match what {
            "revoke" => form("/account/sessions?do=revoke", &[("session", &ending.session.to_string())]).await,
            "others" => form("/account/sessions?do=revoke-others", &[]).await,
            "password" => {
                form(
                    "/account/password?do=change-password",
                    &[("password", PASSWORD), ("new_password", "another long one")],
                )
                .await
            }
            "reset" => {
                app.call(None, "accounts/server_fns/ask_reset", &[("email", &email)]).await;
                let token = token(&app.letter().await.text);
                form("/link?do=new-password", &[("token", &token), ("password", "another long one")]).await
            }
            "close" => form("/account/leave?do=close", &[("password", PASSWORD)]).await,
            _ => form("/account/leave?do=erase", &[("name", &email), ("password", PASSWORD)]).await,
        };
        assert_eq!(answer.status, 303, "{what}: {}", answer.body);
        // Committed after the end, by whoever is left; for those who are gone, by the database itself.
        if ends_asker {
            // The job that erases tells the end once more, in place of what it has deleted: until then it is not told.
            if what == "erase" {
                app.until("the account's end", async || {
                    let left: i64 = sqlx::query_scalar("select count(*) from app.users where id = $1")
                        .bind(asker.id)
                        .fetch_one(&mut app.db.superuser().await)
                        .await
                        .unwrap();
                    (left == 0).then_some(())
                })
                .await;
            }
            sqlx::query("insert into app.outbox (topic, kind, payload) values ($1, 'thread.changed', '{}')")
                .bind(asker.id)
                .execute(&mut app.db.superuser().await)
                .await
                .unwrap();
            assert_eq!(stays.next().await, None, "{what}");
        } else {
            ask(&app, &asker, "after the end").await;
            stays.until("message.posted").await;
        }
        let mut heard = Vec::new();
        while let Some(event) = ends.next().await {
            heard.push(event);
        }
        assert!(
            heard.iter().all(|(_, e)| e["kind"] == "thread.changed" && !ends_asker || e["kind"] == "thread.gone"),
            "{what}: {heard:?}"
        );
        let request = Request::get("/live").header(header::COOKIE, ending.cookie()).body(Body::empty()).unwrap();
        assert_eq!(app.open(request).await.status(), 401, "{what}");
    }
}

#[tokio::test]
async fn closing_an_account_ends_its_streams() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let mut stream = Stream::open(&app, &ada, None, None).await;
    app.db.superuser().await.execute("update app.users set status = 'banned'").await.unwrap();
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn a_place_that_is_forgotten_or_was_never_given_is_answered_with_resync() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    ask(&app, &ada, "hello").await;
    app.until("the feed", async || {
        let n: i64 =
            sqlx::query_scalar("select pos from app.feed_head").fetch_one(&mut app.db.superuser().await).await.unwrap();
        (n > 3).then_some(())
    })
    .await;
    app.db.superuser().await.execute("update app.feed_topics set floor = 2").await.unwrap();
    for wrong in [0, -1, 1_000_000, i64::MAX] {
        let mut stream = Stream::open(&app, &ada, Some(wrong), None).await;
        assert_eq!(stream.next().await.unwrap().1["kind"], "resync", "{wrong}");
    }
    let bad = Request::get("/live?after=x").header(header::COOKIE, ada.cookie()).body(Body::empty()).unwrap();
    assert_eq!(app.open(bad).await.status(), 400);
}

#[tokio::test]
async fn a_listener_that_is_too_slow_is_told_to_read_anew_and_holds_up_nobody() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let mut slow = app.state.hub.subscribe(ada.id, None).unwrap();
    let many = QUEUE * 2;
    tell(&app, &ada, many).await;
    app.until("the slow one is let go", async || (app.state.hub.subscribers() == 0).then_some(())).await;
    let mut heard = 0;
    while slow.next().await.is_some() {
        heard += 1;
    }
    assert!(slow.was_too_slow());
    assert!(heard <= QUEUE);
    // Somebody who reads hears all of them.
    let mut stream = Stream::open(&app, &ada, Some(0), None).await;
    assert_eq!(places(&mut stream, many).await, (1..=many as i64).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_stream_that_can_not_keep_up_is_told_to_read_anew_and_comes_back_to_where_it_was() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let mut slow = Stream::open(&app, &ada, None, None).await;
    // Nobody reads it while these come.
    tell(&app, &ada, QUEUE * 2).await;
    app.until("the slow one is let go", async || (app.state.hub.subscribers() == 0).then_some(())).await;
    let last = QUEUE as i64;
    assert_eq!(places(&mut slow, QUEUE).await, (1..=last).collect::<Vec<_>>());
    let (pos, event) = slow.next().await.expect("a word of why it ends");
    assert_eq!((pos, event["kind"].as_str()), (last, Some("resync")));
    assert_eq!(slow.next().await, None);
    let mut again = Stream::open(&app, &ada, None, Some(pos)).await;
    assert_eq!(places(&mut again, QUEUE).await, (last + 1..=last * 2).collect::<Vec<_>>());
}

#[tokio::test]
async fn whoever_has_missed_too_much_reads_anew_and_whoever_has_missed_a_little_less_is_told_all_of_it() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    tell(&app, &ada, TOO_MUCH + 1).await;
    fed(&app, TOO_MUCH + 1).await;
    let end = TOO_MUCH as i64 + 1;
    let mut late = Stream::open(&app, &ada, Some(0), None).await;
    let (pos, event) = late.next().await.unwrap();
    assert_eq!((pos, event["kind"].as_str()), (end, Some("resync")));
    let mut just = Stream::open(&app, &ada, Some(1), None).await;
    assert_eq!(places(&mut just, TOO_MUCH).await, (2..=end).collect::<Vec<_>>());
    tell(&app, &ada, 1).await;
    for stream in [&mut late, &mut just] {
        assert_eq!(places(stream, 1).await, [end + 1], "what comes next");
    }
}

#[tokio::test]
async fn what_was_told_from_the_table_is_not_told_again_by_the_hub() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    // A process that knows where the feed ends and has not begun to hear it.
    let mut state = app.state.clone();
    state.hub = Hub::new(app.db.lanes(4));
    let hub = state.hub.clone();
    hub.prepare().await.unwrap();
    tell(&app, &ada, 3).await;
    fed(&app, 3).await;
    let response = router::router(state).oneshot(Stream::request(&ada, Some(0), None)).await.unwrap();
    let mut stream = Stream::of(response);
    tokio::spawn(hub.run(app.state.stopping.clone()));
    tell(&app, &ada, 1).await;
    assert_eq!(places(&mut stream, 4).await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn whoever_catches_up_is_told_of_their_own_chats_alone() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let hers = ask(&app, &ada, "How do I stop an answer?").await;
    let his = ask(&app, &bob, "How do I rename a chat?").await;
    app.until("both answers", async || {
        (app.count("select count(*) from app.feed where kind = 'answer.ended'").await == 2).then_some(())
    })
    .await;
    for (who, own) in [(&ada, hers), (&bob, his)] {
        let told = Stream::open(&app, who, Some(0), None).await.until("answer.ended").await;
        for (_, event) in told {
            assert_eq!(event["thread"], own, "{event}");
        }
    }
}

#[tokio::test]
async fn forgetting_takes_what_is_old_and_leaves_what_is_young() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    tell(&app, &ada, 6).await;
    tell(&app, &bob, 2).await;
    fed(&app, 8).await;
    sqlx::query("update app.feed set created_at = now() - interval '2 hours' where topic = $1 and tpos <= 3")
        .bind(ada.id)
        .execute(&mut app.db.superuser().await)
        .await
        .unwrap();
    // The second time there is nothing old, and what was forgotten stays so.
    for _ in 0..2 {
        jobs::forget(&app.state).await.unwrap();
        assert_eq!(app.count("select count(*) from app.feed").await, 5);
        let mut knows = Stream::open(&app, &ada, Some(3), None).await;
        assert_eq!(places(&mut knows, 3).await, [4, 5, 6]);
        let (pos, event) = Stream::open(&app, &ada, Some(2), None).await.next().await.unwrap();
        assert_eq!((pos, event["kind"].as_str()), (6, Some("resync")));
        let mut his = Stream::open(&app, &bob, Some(0), None).await;
        assert_eq!(places(&mut his, 2).await, [1, 2]);
    }
}

#[tokio::test]
async fn writers_that_commit_out_of_order_lose_no_event() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let mut stream = Stream::open(&app, &ada, Some(0), None).await;
    let writer = |n: i64| {
        let options = app.db.options("postgres");
        let user = ada.id;
        tokio::spawn(async move {
            let mut conn = <sqlx::PgConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
            for i in 0..25 {
                conn.execute("begin").await.unwrap();
                sqlx::query("insert into app.outbox (topic, kind, payload) values ($1, 'thread.changed', jsonb_build_object('writer', $2, 'i', $3))")
                    .bind(user)
                    .bind(n)
                    .bind(i)
                    .execute(&mut conn)
                    .await
                    .unwrap();
                // Every writer keeps its id open for another while.
                sqlx::query("select pg_sleep($1)")
                    .bind(((n * 7 + i * 3) % 5) as f64 / 500.0)
                    .execute(&mut conn)
                    .await
                    .unwrap();
                conn.execute("commit").await.unwrap();
            }
        })
    };
    let second = Hub::new(app.db.lanes(2));
    tokio::spawn(second.clone().run(app.state.stopping.clone()));
    let writers: Vec<_> = (0..8).map(writer).collect();
    let mut per_writer: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    let mut last = 0;
    for _ in 0..200 {
        let (pos, event) = stream.next().await.unwrap();
        assert_eq!(pos, last + 1, "the places have no gaps");
        last = pos;
        per_writer.entry(event["writer"].as_i64().unwrap()).or_default().push(event["i"].as_i64().unwrap());
        second.wake();
    }
    assert_eq!(per_writer.len(), 8);
    assert!(per_writer.values().all(|seen| *seen == (0..25).collect::<Vec<_>>()), "{per_writer:?}");
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn another_process_tells_the_same_and_stops_what_this_one_writes() {
    let (app, model) = app_with_model().await;
    let ada = app.sign_up("ada@example.org").await;
    let other = {
        let mut state = app.state.clone();
        state.hub = Hub::new(app.db.lanes(4));
        App::of(crate::harness::Db::new().await, state).await
    };
    let mut there = Stream::open(&other, &ada, None, None).await;
    model.next(Manner::Hold(vec!["written here".into()], vec![" and no more".into()]));
    let thread = ask(&app, &ada, "go").await;
    let mut heard = there.until("answer.chunk").await;
    assert_eq!(other.call(Some(&ada), "threads/server_fns/stop_answer", &[("thread", &thread)]).await.status, 200);
    heard.extend(there.until("answer.ended").await);
    assert_eq!(heard.last().unwrap().1["status"], "stopped");
    assert_eq!(pieces(&heard).0, "written here");
}

#[tokio::test]
async fn what_a_dead_writer_left_is_marked_as_interrupted_with_what_it_wrote() {
    let (app, model) = app_with_model().await;
    let ada = app.sign_up("ada@example.org").await;
    let mut stream = Stream::open(&app, &ada, None, None).await;
    model.next(Manner::Hold(vec!["half a".into()], vec![]));
    let thread = ask(&app, &ada, "go").await;
    stream.until("answer.chunk").await;
    // As if the writer had died: nobody renews the lease.
    app.db
        .superuser()
        .await
        .execute("update app.generations set lease_until = now() - interval '1 second'")
        .await
        .unwrap();
    run::sweep(&app.state).await.unwrap();
    let ended = stream.until("answer.ended").await;
    assert_eq!(ended.last().unwrap().1["status"], "interrupted");
    let page = open(&app, &ada, &thread).await;
    assert_eq!(page["messages"][1]["status"], "interrupted");
    assert_eq!(page["messages"][1]["html"], "<p>half a</p>\n");
    let html = app.page(Some(&ada), &format!("/chat/{thread}")).await.body;
    assert!(html.contains("was interrupted") && html.contains("Try again"));
    // A writer that was only slow finds that it is over, and adds nothing.
    app.state.tasks.close();
    tokio::time::timeout(Duration::from_secs(30), app.state.tasks.wait()).await.unwrap();
    assert_eq!(open(&app, &ada, &thread).await["messages"][1]["html"], "<p>half a</p>\n");
}

#[tokio::test]
async fn a_process_that_has_not_looked_at_the_feed_yet_takes_no_listener() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let hub = Hub::new(app.db.lanes(1));
    assert!(hub.subscribe(ada.id, None).is_err(), "what lies between would be lost in silence");
    hub.prepare().await.unwrap();
    assert!(hub.subscribe(ada.id, None).is_ok());
}

#[tokio::test]
async fn the_answers_of_a_closed_account_do_not_stand_in_front_of_those_of_others() {
    let (app, model) = app_with_model().await;
    let (ada, eve) = (app.sign_up("ada@example.org").await, app.sign_up("eve@example.org").await);
    let mut conn = app.db.superuser().await;
    for statement in [
        "insert into app.threads (user_id, client_id) select $1, gen_random_uuid() from generate_series(1, 120)",
        "insert into app.messages (thread_id, user_id, seq, role, content) select id, user_id, 1, 'assistant', '{\"text\": \"\"}' from app.threads where user_id = $1",
        "insert into app.generations (user_id, thread_id, message_id, lease_until) select user_id, thread_id, id, now() - interval '1 day' from app.messages where user_id = $1",
        "update app.users set status = 'banned' where id = $1",
    ] {
        sqlx::query(statement).bind(eve.id).execute(&mut conn).await.unwrap();
    }
    model.next(Manner::Hold(vec!["half".into()], vec![]));
    let thread = ask(&app, &ada, "go").await;
    app.until("a piece", async || (open(&app, &ada, &thread).await["messages"][1]["text"] == "half").then_some(()))
        .await;
    conn.execute("update app.generations set lease_until = now() - interval '1 second' where lease_until > now()")
        .await
        .unwrap();
    run::sweep(&app.state).await.unwrap();
    assert_eq!(open(&app, &ada, &thread).await["messages"][1]["status"], "interrupted");
}

#[tokio::test]
async fn what_somebody_is_told_does_not_depend_on_what_others_do() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    ask(&app, &bob, "How do I rename a chat?").await;
    let mut his = Stream::open(&app, &bob, Some(0), None).await;
    his.until("answer.ended").await;
    let list = async || app.call(Some(&bob), "threads/server_fns/list_threads", &[]).await.body;
    let before = list().await;
    let mut hers = Stream::open(&app, &ada, Some(0), None).await;
    ask(&app, &ada, "How do I stop an answer?").await;
    let heard = hers.until("answer.ended").await;
    assert_eq!(heard.iter().map(|(pos, _)| *pos).collect::<Vec<_>>(), (1..=heard.len() as i64).collect::<Vec<_>>());
    assert_eq!(list().await, before, "not a number of his has moved");
}

#[tokio::test]
async fn the_oldest_stream_of_somebody_ends_when_there_are_too_many_and_others_hear_on() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let mut his = Stream::open(&app, &bob, None, None).await;
    let mut hers = Vec::new();
    for _ in 0..17 {
        hers.push(Stream::open(&app, &ada, None, None).await);
    }
    assert!(hers[0].next().await.is_none(), "the oldest");
    assert_eq!(app.state.hub.subscribers(), 17, "sixteen of hers, and his");
    ask(&app, &ada, "How do I stop an answer?").await;
    for (n, stream) in hers.iter_mut().enumerate().skip(1) {
        assert!(!stream.until("thread.changed").await.is_empty(), "{n}");
    }
    ask(&app, &bob, "How do I stop an answer?").await;
    his.until("thread.changed").await;
}
