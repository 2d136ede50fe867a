//! Time at the desk: what is due by when, answers that leave later, and the figures.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use moat::server::jobs;
use proptest::prelude::*;
use serde_json::Value;
use sqlx::Executor;
use uuid::Uuid;

use crate::{
    desk::{Desk, Visitor, agent, answer, behind, desk, only, queue, read, said, seen, set},
    harness::{Answer, App, Db, PASSWORD, Person},
    workspaces::{at, join, ok},
};

const DESK: &str = "conversations/server_fns";

/// Targets of a desk in UTC; hours as the form sends them.
async fn targets(app: &App, by: &Person, place: &str, reply: &str, resolve: &str, hours: &[&str]) {
    let names: Vec<String> = (0..hours.len()).map(|n| format!("hours[{n}]")).collect();
    let mut fields = vec![("reply", reply), ("resolve", resolve), ("zone", "UTC")];
    fields.extend(names.iter().map(String::as_str).zip(hours.iter().copied()));
    ok(app, by, place, "targets/server_fns/set_targets", &fields).await;
}

/// An answer that leaves in so many seconds.
async fn later(app: &App, person: &Person, place: &str, id: &str, client: &str, text: &str, wait: &str) -> Answer {
    let seen = read(app, person, place, id).await["seen"].to_string();
    let fields = [("conversation", id), ("client", client), ("text", text), ("seen", &seen), ("wait", wait)];
    at(app, person, place, &format!("{DESK}/answer_conversation"), &fields).await
}

/// As if the time of all of them had come.
async fn come(app: &App) {
    app.db.superuser().await.execute("update app.later_answers set send_at = now() - interval '1 s'").await.unwrap();
    jobs::send_later(&app.state).await.unwrap();
}

fn texts(whole: &Value, role: &str) -> Vec<String> {
    let lines = whole["messages"].as_array().unwrap().iter().filter(|m| m["role"] == role);
    lines.map(|m| m["text"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_is_due_next_comes_first_and_goes_with_an_answer() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "first").await;
    assert!(queue(&app, &ada, &place, "due").await.is_empty(), "no target, nothing due");
    // A target holds for what is open already.
    targets(&app, &ada, &place, "30", "", &[]).await;
    let due = queue(&app, &ada, &place, "due").await;
    assert_eq!(due.iter().map(said).collect::<Vec<_>>(), ["first"]);
    let left = due[0]["due"].as_i64().unwrap();
    assert!((1700..=1800).contains(&left), "{left}");
    Visitor::new(&app, &key).await.say(&app, "second").await;
    app.db
        .superuser()
        .await
        .execute("update app.conversations t set waiting_since = now() - interval '40 minutes' from app.conversation_messages m
                   where m.conversation_id = t.id and m.content ->> 'text' = 'second'")
        .await
        .unwrap();
    let due = queue(&app, &ada, &place, "due").await;
    assert_eq!(due.iter().map(said).collect::<Vec<_>>(), ["second", "first"]);
    assert!(due[0]["due"].as_i64().unwrap() < 0, "late");
    let page = ok(&app, &ada, &place, &format!("{DESK}/list_conversations"), &[]).await;
    assert_eq!(page["counts"]["late"], 1);
    let id = due[0]["id"].as_str().unwrap();
    answer(&app, &ada, &place, id, "here", None).await;
    assert_eq!(queue(&app, &ada, &place, "due").await.iter().map(said).collect::<Vec<_>>(), ["first"]);
    // With a target for the end, what was answered is due again, and nothing is once it is resolved or put off.
    targets(&app, &ada, &place, "30", "600", &[]).await;
    assert_eq!(queue(&app, &ada, &place, "due").await.len(), 2);
    for status in ["snoozed", "resolved"] {
        assert_eq!(set(&app, &ada, &place, id, status).await.status, StatusCode::OK);
        assert_eq!(queue(&app, &ada, &place, "due").await.len(), 1, "{status}");
    }
    // Hours as the form sends them, in the order of their numbers.
    let mut hours = [""; 14];
    (hours[0], hours[1], hours[12], hours[13]) = ("09:00", "17:30", "10:00", "00:00");
    targets(&app, &ada, &place, "30", "", &hours).await;
    let kept = ok(&app, &ada, &place, "targets/server_fns/read_targets", &[]).await;
    assert_eq!(kept["hours"], serde_json::json!([540, 1050, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 600, 1440]));
    targets(&app, &ada, &place, "30", "600", &[]).await;
    // Members who look after nothing set no targets.
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    let refused = at(&app, &bob, &bobs, "targets/server_fns/set_targets", &[("zone", "UTC")]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(ok(&app, &bob, &bobs, "targets/server_fns/read_targets", &[]).await["reply"], 30);
}

#[tokio::test]
async fn targets_count_the_minutes_of_the_hours_alone_in_their_zone_across_changes_of_the_clock() {
    let db = Db::new().await;
    let mut conn = db.superuser().await;
    let week = "'{540,1020,540,1020,540,1020,540,1020,540,1020,0,0,0,0}'";
    for (since, minutes, zone, hours, due) in [
        // A Friday at half past four, with half an hour left of the day and the weekend between.
        ("2026-01-09 16:30Z", 60, "UTC", week, "2026-01-12 09:30Z"),
        ("2026-01-09 16:30Z", 30, "UTC", week, "2026-01-09 17:00Z"),
        ("2026-01-10 03:00Z", 1, "UTC", week, "2026-01-12 09:01Z"),
        ("2026-01-09 16:30Z", 60, "UTC", "'{}'", "2026-01-09 17:30Z"),
        // Closed on each day: every minute counts.
        ("2026-01-09 16:30Z", 60, "UTC", "'{0,0,0,0,0,0,0,0,0,0,0,0,0,0}'", "2026-01-09 17:30Z"),
        // The night on which Berlin's clocks go forward has an hour less.
        (
            "2026-03-29 00:30Z",
            120,
            "Europe/Berlin",
            "'{0,1440,0,1440,0,1440,0,1440,0,1440,0,1440,0,1440}'",
            "2026-03-29 02:30Z",
        ),
        ("2026-03-27 15:30Z", 60, "Europe/Berlin", week, "2026-03-30 07:30Z"),
        // Years, week by week: none goes back in time.
        ("2026-01-05 09:00Z", 240_000, "UTC", week, "2027-12-03 17:00Z"),
        ("2026-01-05 09:00Z", 300_000, "UTC", week, "2028-05-26 17:00Z"),
        ("2026-01-05 00:00Z", 10_080, "UTC", "'{0,60,0,0,0,0,0,0,0,0,0,0,0,0}'", "2029-03-19 01:00Z"),
        // A whole working week, of 40 hours.
        ("2026-01-05 09:00Z", 2400, "UTC", week, "2026-01-09 17:00Z"),
    ] {
        let query = format!(
            "select to_char(app.working_time('{since}', {minutes}, '{zone}', {hours}) at time zone 'UTC', 'YYYY-MM-DD HH24:MI') || 'Z'"
        );
        let found: String = sqlx::query_scalar(sqlx::AssertSqlSafe(query.as_str())).fetch_one(&mut conn).await.unwrap();
        assert_eq!(found, due, "{since} {minutes} {zone}");
    }
}

/// Counts one minute after the other.
fn counted(since: i64, minutes: i64, hours: &[i64]) -> i64 {
    let mut left = minutes;
    let mut now = since;
    loop {
        // 5 January 2026 was a Monday.
        let (day, minute) = (now.div_euclid(1440).rem_euclid(7), now.rem_euclid(1440));
        let open = (hours[2 * day as usize]..hours[2 * day as usize + 1]).contains(&minute);
        now += 1;
        if open {
            left -= 1;
        }
        if left == 0 {
            return now;
        }
    }
}

#[test]
fn a_target_is_where_counting_minute_by_minute_ends() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let db = runtime.block_on(Db::new());
    let conn = std::cell::RefCell::new(runtime.block_on(db.superuser()));
    let day = (0i64..1440, 1i64..=1440).prop_map(|(a, b)| if a < b { [a, b] } else { [0, 0] });
    let config = ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(since in 0i64..20_000, minutes in 1i64..3_000, week in proptest::collection::vec(day, 7))| {
        let hours: Vec<i64> = week.concat();
        prop_assume!(hours.chunks(2).any(|pair| pair[0] < pair[1]));
        let whole: Vec<i32> = hours.iter().map(|n| *n as i32).collect();
        let found: i64 = runtime.block_on(
            sqlx::query_scalar(
                "select (extract(epoch from app.working_time('2026-01-05 00:00Z'::timestamptz + make_interval(mins => $1), $2, 'UTC', $3)
                          - '2026-01-05 00:00Z'::timestamptz) / 60)::bigint",
            )
            .bind(since as i32)
            .bind(minutes as i32)
            .bind(whole)
            .fetch_one(&mut *conn.borrow_mut()),
        ).unwrap();
        prop_assert_eq!(found, counted(since, minutes, &hours));
    });
}

#[tokio::test]
async fn an_answer_for_later_is_read_by_the_customer_when_its_time_comes_and_can_be_taken_back_until_then() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "hello").await;
    let id = only(&app, &ada, &place, "waiting").await;
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    agent(&app, &ada, &place, &bobs, "Bob", "5").await;
    let client = Uuid::new_v4().to_string();
    for _ in 0..3 {
        let kept = later(&app, &ada, &place, &id, &client, "hi", "3600").await;
        assert_eq!(kept.status, StatusCode::OK, "{}", kept.body);
    }
    assert_eq!(later(&app, &ada, &place, &id, &client, "other", "3600").await.status, StatusCode::CONFLICT);
    assert_eq!(vi.reads(&app).await, ["hello"]);
    // The whole desk sees it, its writer alone takes it back.
    assert_eq!(read(&app, &bob, &bobs, &id).await["later"][0]["text"], "hi");
    let back = async |person: &Person, place: &str| {
        at(&app, person, place, "later/server_fns/take_back", &[("answer", &client)]).await.status
    };
    assert_eq!(back(&bob, &bobs).await, StatusCode::NOT_FOUND);
    assert_eq!(back(&ada, &place).await, StatusCode::OK);
    come(&app).await;
    assert_eq!(vi.reads(&app).await, ["hello"]);
    // A late copy of the request that made it makes it not again.
    assert_eq!(later(&app, &ada, &place, &id, &client, "hi", "3600").await.status, StatusCode::OK);
    come(&app).await;
    assert_eq!(vi.reads(&app).await, ["hello"]);
    // Another one, and now its time comes; a retry of what has been sent sends nothing more.
    let client = Uuid::new_v4().to_string();
    later(&app, &ada, &place, &id, &client, "hi", "3600").await;
    come(&app).await;
    assert_eq!(vi.reads(&app).await, ["hello", "hi"]);
    let gone = at(&app, &ada, &place, "later/server_fns/take_back", &[("answer", &client)]).await.status;
    assert_eq!(gone, StatusCode::NOT_FOUND);
    later(&app, &ada, &place, &id, &client, "hi", "3600").await;
    come(&app).await;
    assert_eq!(vi.reads(&app).await, ["hello", "hi"]);
    // One that was given back on purpose stays in the queue; one that lapsed has been answered, and waits for its customer.
    later(&app, &ada, &place, &id, &Uuid::new_v4().to_string(), "more", "60").await;
    let fields = [("conversation", id.as_str()), ("status", "waiting"), ("seen", "9")];
    ok(&app, &ada, &place, &format!("{DESK}/set_conversation"), &fields).await;
    come(&app).await;
    assert_eq!(vi.reads(&app).await, ["hello", "hi", "more"]);
    assert_eq!(only(&app, &ada, &place, "waiting").await, id);
    later(&app, &ada, &place, &id, &Uuid::new_v4().to_string(), "and more", "60").await;
    app.db.superuser().await.execute("update app.conversations set claimed_by = null").await.unwrap();
    come(&app).await;
    assert_eq!(vi.reads(&app).await, ["hello", "hi", "more", "and more"]);
    assert_eq!(only(&app, &ada, &place, "snoozed").await, id);
    // Nothing else is stored under its id, and it under no other's: a note would be lost with it.
    let (third, fourth) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    later(&app, &ada, &place, &id, &third, "third", "60").await;
    let note = |client: &str, text: &str| {
        [
            ("conversation", id.clone()),
            ("client", client.to_owned()),
            ("text", text.to_owned()),
            ("note", "true".to_owned()),
        ]
    };
    let keep = async |client: &str, text: &str| {
        let fields = note(client, text);
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        at(&app, &bob, &bobs, &format!("{DESK}/answer_conversation"), &fields).await.status
    };
    assert_eq!(keep(&third, "third").await, StatusCode::CONFLICT);
    assert_eq!(keep(&fourth, "fourth").await, StatusCode::OK);
    assert_eq!(later(&app, &ada, &place, &id, &fourth, "fourth", "60").await.status, StatusCode::CONFLICT);
    // Sent now after all, it waits no longer, and can't be taken back.
    let fifth = Uuid::new_v4().to_string();
    later(&app, &ada, &place, &id, &fifth, "fifth", "3600").await;
    assert_eq!(later(&app, &ada, &place, &id, &fifth, "fifth", "0").await.status, StatusCode::OK);
    let waits = read(&app, &ada, &place, &id).await["later"].to_string();
    assert!(waits.contains("third") && !waits.contains("fifth"), "{waits}");
    let gone = at(&app, &ada, &place, "later/server_fns/take_back", &[("answer", &fifth)]).await.status;
    assert_eq!(gone, StatusCode::NOT_FOUND);
    // Nor are the same words of somebody else's, who could send them now: hers would be taken for sent.
    agent(&app, &ada, &place, &bobs, "Bob", "5").await;
    assert_eq!(set(&app, &ada, &place, &id, "waiting").await.status, StatusCode::OK);
    assert_eq!(later(&app, &bob, &bobs, &id, &third, "third", "0").await.status, StatusCode::CONFLICT);
    assert_eq!(later(&app, &bob, &bobs, &id, &third, "third", "60").await.status, StatusCode::CONFLICT);
    come(&app).await;
    assert_eq!(vi.reads(&app).await, ["hello", "hi", "more", "and more", "fifth"]);
    assert_eq!(texts(&read(&app, &ada, &place, &id).await, "note"), ["fourth", "third"], "Bob's note came first");
}

#[tokio::test]
async fn an_answer_for_later_is_a_draft_when_something_else_came_first() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    agent(&app, &ada, &place, &bobs, "Bob", "5").await;
    ok(&app, &bob, &bobs, &format!("{DESK}/be_here"), &[]).await;
    // The customer wrote, somebody else has it, the customer is shut out, its writer answers no more: nobody reads it.
    for what in ["news", "taken", "blocked", "no agent", "banned", "resolved by another"] {
        let vi = Visitor::new(&app, &key).await;
        vi.say(&app, what).await;
        let id = only(&app, &ada, &place, "waiting").await;
        let client = Uuid::new_v4().to_string();
        later(&app, &ada, &place, &id, &client, "late words", "3600").await;
        let conversation = ("conversation", id.as_str());
        match what {
            "news" => {
                vi.say(&app, "wait").await;
                assert_eq!(read(&app, &ada, &place, &id).await["later"][0]["stale"], true, "said before its time");
                // Its writer hears of it at once, and not when its time would have come.
                jobs::send_later(&app.state).await.unwrap();
                assert_eq!(only(&app, &ada, &place, "mentions").await, id);
            }
            "taken" => {
                let hand = [conversation, ("member", bobs.as_str())];
                ok(&app, &ada, &place, &format!("{DESK}/hand_conversation"), &hand).await;
            }
            "blocked" => {
                ok(&app, &ada, &place, &format!("{DESK}/block_customer"), &[conversation, ("blocked", "true")]).await;
            }
            "no agent" => {
                ok(&app, &ada, &place, "desks/server_fns/remove_agent", &[("member", &place)]).await;
            }
            "banned" => {
                app.db
                    .superuser()
                    .await
                    .execute("update app.users set status = 'banned' where email = 'ada@example.org'")
                    .await
                    .unwrap();
            }
            _ => {
                let back = [conversation, ("status", "waiting"), ("seen", "2")];
                ok(&app, &ada, &place, &format!("{DESK}/set_conversation"), &back).await;
                assert_eq!(set(&app, &bob, &bobs, &id, "resolved").await.status, StatusCode::OK);
            }
        }
        come(&app).await;
        app.db
            .superuser()
            .await
            .execute("update app.users set status = 'active' where email = 'ada@example.org'")
            .await
            .unwrap();
        let whole = read(&app, &ada, &place, &id).await;
        assert!(texts(&whole, "agent").is_empty(), "{what}: {whole}");
        let notes: Vec<_> = whole["messages"].as_array().unwrap().iter().filter(|m| m["role"] == "note").collect();
        assert_eq!(
            (notes.len(), &notes[0]["text"], &notes[0]["late"]),
            (1, &"late words".into(), &true.into()),
            "{what}"
        );
        assert!(whole["later"].as_array().unwrap().is_empty());
        // Its writer is told.
        assert!(queue(&app, &ada, &place, "mentions").await.iter().any(|row| row["id"] == id.as_str()), "{what}");
        agent(&app, &ada, &place, &place, "Ada", "5").await;
        app.db.superuser().await.execute("update app.conversations set status = 'resolved', resolved_at = now(), waiting_since = null, claimed_by = null, claimed_at = null").await.unwrap();
    }
}

#[tokio::test]
async fn what_was_to_be_said_later_is_a_draft_for_others_when_its_writer_goes() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let leave = [("name", "cy@example.org"), ("password", PASSWORD)];
    // By the server, a moment later.
    let erased = async || {
        let there = "select count(*) from app.agents where name = 'Cy'";
        app.until("they are erased", async || (app.count(there).await == 0).then_some(())).await;
    };
    for what in ["no agent", "removed", "erased", "banned"] {
        let cy = app.sign_up("cy@example.org").await;
        let cys = join(&app, &place, &cy, "project_creator").await;
        agent(&app, &ada, &place, &cys, "Cy", "5").await;
        ok(&app, &cy, &cys, &format!("{DESK}/be_here"), &[]).await;
        let mut kept = Vec::new();
        // One that they have, one that they put off until the customer writes, one that they resolved, one taken back, one that was sent
        // at once after all, one of a customer who is shut out.
        for state in ["claimed", "snoozed", "resolved", "waiting", "sent", "blocked"] {
            let vi = Visitor::new(&app, &key).await;
            vi.say(&app, state).await;
            let id = only(&app, &cy, &cys, "waiting").await;
            let client = Uuid::new_v4().to_string();
            later(&app, &cy, &cys, &id, &client, "late words", "3600").await;
            if state == "waiting" {
                ok(&app, &cy, &cys, "later/server_fns/take_back", &[("answer", &client)]).await;
            }
            if state == "sent" {
                let seen = seen(&app, &cy, &cys, &id).await;
                let fields = [("conversation", &*id), ("client", &client), ("text", "late words"), ("seen", &seen)];
                ok(&app, &cy, &cys, &format!("{DESK}/answer_conversation"), &fields).await;
            }
            if state == "blocked" {
                let fields = [("conversation", &*id), ("blocked", "true")];
                ok(&app, &cy, &cys, &format!("{DESK}/block_customer"), &fields).await;
            }
            if ["snoozed", "resolved", "waiting"].contains(&state) {
                assert_eq!(set(&app, &cy, &cys, &id, state).await.status, StatusCode::OK);
            }
            if state == "waiting" {
                ok(&app, &ada, &place, &format!("{DESK}/take_conversation"), &[("conversation", &id)]).await;
            }
            kept.push((state, id, vi));
        }
        match what {
            "no agent" => drop(ok(&app, &ada, &place, "desks/server_fns/remove_agent", &[("member", &cys)]).await),
            "removed" => drop(ok(&app, &ada, &place, "workspaces/server_fns/remove_member", &[("member", &cys)]).await),
            "erased" => {
                let gone = app.call(Some(&cy), "accounts/server_fns/erase_account", &leave).await;
                assert!(gone.status.as_u16() < 400, "{}", gone.body);
                erased().await;
            }
            _ => behind(&app, "update app.users set status = 'banned' where email = 'cy@example.org'").await,
        }
        come(&app).await;
        for (state, id, vi) in kept {
            if state != "blocked" {
                let reads = if state == "sent" { &[state, "late words"][..] } else { &[state] };
                assert_eq!(vi.reads(&app).await, reads, "{what}: nobody says it by themselves");
            }
            let whole = read(&app, &ada, &place, &id).await;
            let notes: Vec<_> = whole["messages"].as_array().unwrap().iter().filter(|m| m["role"] == "note").collect();
            let drafts = usize::from(state != "waiting" && state != "sent");
            assert_eq!(notes.len(), drafts, "{what} {state}: {whole}");
            for note in notes {
                assert_eq!(
                    (&note["text"], &note["author"], &note["late"]),
                    (&"late words".into(), &"Cy".into(), &true.into())
                );
            }
            assert!(whole["later"].as_array().unwrap().is_empty(), "{what} {state}");
            // Somebody else is sought, but for what somebody has still, and for nobody who is shut out.
            let is = match (what, state) {
                (_, "waiting") => "claimed",
                (_, "blocked") => "resolved",
                ("banned", "claimed" | "sent") => "claimed",
                _ => "waiting",
            };
            assert_eq!(whole["status"], is, "{what} {state}");
        }
        behind(&app, "update app.conversations set status = 'resolved', resolved_at = now(), waiting_since = null, snoozed_until = null, claimed_by = null, claimed_at = null").await;
        if what == "no agent" {
            assert!(!queue(&app, &cy, &cys, "mentions").await.is_empty(), "whoever is still a member is told");
        }
        if what != "erased" && what != "banned" {
            app.call(Some(&cy), "accounts/server_fns/erase_account", &leave).await;
            erased().await;
        }
    }
}

#[tokio::test]
async fn whoever_removes_an_agent_holds_their_conversations_in_order_and_before_the_answers_in_them() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    for text in ["one", "two"] {
        Visitor::new(&app, &key).await.say(&app, text).await;
    }
    let mut ids: Vec<String> =
        queue(&app, &ada, &place, "waiting").await.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    // The later one first, so that it is not their order in the table.
    ids.sort();
    for id in ids.iter().rev() {
        later(&app, &ada, &place, id, &Uuid::new_v4().to_string(), "late words", "3600").await;
    }
    let mut behind = app.db.superuser().await;
    behind.execute("begin").await.unwrap();
    let hold = |id: &str| format!("select from app.conversations where id = '{id}' for no key update nowait");
    behind.execute(sqlx::AssertSqlSafe(hold(&ids[0]))).await.unwrap();
    let gone = [("member", &*place)];
    let (removed, ()) = tokio::join!(at(&app, &ada, &place, "desks/server_fns/remove_agent", &gone), async {
        app.until("it waits", async || (app.waiting().await == 1).then_some(())).await;
        behind.execute(sqlx::AssertSqlSafe(hold(&ids[1]))).await.expect("the other is not held yet");
        behind.execute("select from app.later_answers for update nowait").await.expect("nor is what waits in them");
        behind.execute("commit").await.unwrap();
    });
    assert!(removed.status.as_u16() < 400, "{} {}", removed.status, removed.body);
    assert_eq!(app.count("select count(*) from app.conversation_messages where content ? 'late'").await, 2);
}

#[tokio::test]
async fn what_is_late_by_more_than_a_day_is_a_draft_for_its_writer() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "hello").await;
    let id = only(&app, &ada, &place, "waiting").await;
    for (late, says, drafts) in [("23 hours", 1, 0), ("25 hours", 1, 1)] {
        later(&app, &ada, &place, &id, &Uuid::new_v4().to_string(), late, "3600").await;
        let due = format!("update app.later_answers set send_at = now() - interval '{late}'");
        app.db.superuser().await.execute(sqlx::AssertSqlSafe(due)).await.unwrap();
        jobs::send_later(&app.state).await.unwrap();
        let whole = read(&app, &ada, &place, &id).await;
        assert_eq!((texts(&whole, "agent").len(), texts(&whole, "note").len()), (says, drafts), "{late}");
    }
    assert_eq!(only(&app, &ada, &place, "mentions").await, id);
}

#[tokio::test]
async fn an_answer_for_later_leaves_once_though_many_processes_send_it_at_the_same_moment() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "hello").await;
    let id = only(&app, &ada, &place, "waiting").await;
    later(&app, &ada, &place, &id, &Uuid::new_v4().to_string(), "once", "3600").await;
    app.db.superuser().await.execute("update app.later_answers set send_at = now() - interval '1 s'").await.unwrap();
    let send = async || {
        let senders: Vec<_> = (0..4)
            .map(|_| {
                let state = app.state.clone();
                tokio::spawn(async move { jobs::send_later(&state).await.unwrap() })
            })
            .collect();
        for sender in senders {
            sender.await.unwrap();
        }
    };
    // What somebody holds is waited for by nobody, and left for the next time.
    let mut other = app.db.superuser().await;
    other.execute("begin; select from app.conversations for update").await.unwrap();
    send().await;
    other.execute("commit").await.unwrap();
    assert_eq!(vi.reads(&app).await, ["hello"]);
    send().await;
    assert_eq!(vi.reads(&app).await, ["hello", "once"]);
    // One that is being taken back at this moment is taken back.
    later(&app, &ada, &place, &id, &Uuid::new_v4().to_string(), "never", "3600").await;
    app.db.superuser().await.execute("update app.later_answers set send_at = now() - interval '1 s'").await.unwrap();
    other.execute("begin; update app.later_answers set taken_back_at = now()").await.unwrap();
    let state = app.state.clone();
    let sender = tokio::spawn(async move { jobs::send_later(&state).await.unwrap() });
    app.until("the sender waits", async || {
        let waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query ~ 'send_later'";
        let waiting: i64 = sqlx::query_scalar(waits).fetch_one(&mut app.db.superuser().await).await.unwrap();
        (waiting == 1).then_some(())
    })
    .await;
    other.execute("commit").await.unwrap();
    sender.await.unwrap();
    assert_eq!(vi.reads(&app).await, ["hello", "once"]);
}

#[tokio::test]
async fn the_assistants_draft_does_not_hold_back_an_answer_that_can_still_be_undone_nor_one_bad_row_those_of_others() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "hello").await;
    let id = only(&app, &ada, &place, "waiting").await;
    later(&app, &ada, &place, &id, &Uuid::new_v4().to_string(), "hi", "10").await;
    let mut conn = app.db.superuser().await;
    conn.execute(
        "update app.conversations set last_seq = last_seq + 1;
         insert into app.conversation_messages (conversation_id, workspace_id, seq, role, content, author_name)
           select id, workspace_id, last_seq, 'note', '{\"text\": \"what the assistant would have said\", \"draft\": true}', 'Botty' from app.conversations",
    )
    .await
    .unwrap();
    let other = desk(&app, "eve@example.org", "Other").await;
    let uma = Visitor::new(&app, &other.key).await;
    uma.say(&app, "hello").await;
    let theirs = only(&app, &other.ada, &other.place, "waiting").await;
    later(&app, &other.ada, &other.place, &theirs, &Uuid::new_v4().to_string(), "stuck", "10").await;
    // No place for it: as if a bug, or somebody's own statement, had torn the order.
    sqlx::query("update app.conversations set last_seq = 0 where id = $1::uuid")
        .bind(&theirs)
        .execute(&mut conn)
        .await
        .unwrap();
    come(&app).await;
    assert_eq!(vi.reads(&app).await, ["hello", "hi"]);
    assert_eq!(uma.reads(&app).await, ["hello"]);
    let kept: i64 = sqlx::query_scalar("select count(*) from app.later_answers where send_at > now()")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert_eq!(kept, 1);
    // One that would not leave anyway is tried before its time; if that fails too, nobody tries on and on, and it keeps its time.
    conn.execute("update app.later_answers set send_at = now() + interval '7 days', seen = -1").await.unwrap();
    jobs::send_later(&app.state).await.unwrap();
    assert_eq!(app.count("select count(*) from app.later_answers where send_at > now() + interval '6 days'").await, 1);
    // A zone that this server's database does not know, and a time before all times, stop nobody either.
    conn.execute("update app.desks set zone = 'America/Nowhere', hours = '{0,1440,0,1440,0,1440,0,1440,0,1440,0,1440,0,1440}', reply_minutes = 5").await.unwrap();
    vi.say(&app, "more").await;
    conn.execute("update app.conversations set waiting_since = '1900-01-01', first_reply_at = null").await.unwrap();
    assert_eq!(answer(&app, &ada, &place, &id, "answered", None).await.status, StatusCode::OK);
}

#[tokio::test]
async fn figures_count_what_was_answered_and_resolved_here_and_the_file_has_a_line_for_each_and_no_formula() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let other = desk(&app, "eve@example.org", "Other").await;
    Visitor::new(&app, &other.key).await.say(&app, "elsewhere").await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "one").await;
    vi.call(&app, "widget/server_fns/introduce", &[("name", "=SUM(A1)"), ("email", "vi@example.org")]).await;
    let id = only(&app, &ada, &place, "waiting").await;
    app.db
        .superuser()
        .await
        .execute("update app.conversations set waiting_since = now() - interval '90 s'")
        .await
        .unwrap();
    answer(&app, &ada, &place, &id, "hi", None).await;
    assert_eq!(set(&app, &ada, &place, &id, "resolved").await.status, StatusCode::OK);
    vi.call(&app, "widget/server_fns/rate", &[("helped", "true"), ("words", "good, \"really\"")]).await;
    Visitor::new(&app, &key).await.say(&app, "two").await;
    let figures = ok(&app, &ada, &place, "targets/server_fns/read_figures", &[]).await;
    assert_eq!((&figures["waiting"], &figures["open"], &figures["late"]), (&1.into(), &1.into(), &0.into()));
    let reply = figures["reply"].as_i64().unwrap();
    assert!((90..150).contains(&reply), "since they waited: {reply}");
    assert_eq!((&figures["helped"], &figures["rated"]), (&1.into(), &1.into()));
    let days: Vec<i64> = figures["days"].as_array().unwrap().iter().map(|day| day[1].as_i64().unwrap()).collect();
    assert_eq!((days.len(), days.iter().sum::<i64>(), days[29]), (30, 1, 1));
    let file = async |person: &Person, place: &str| {
        let request =
            Request::get(format!("/w/{place}/desk/conversations.csv")).header(header::COOKIE, person.cookie());
        app.send(request.body(Body::empty()).unwrap()).await
    };
    let csv = file(&ada, &place).await;
    assert_eq!(csv.status, StatusCode::OK);
    let lines: Vec<&str> = csv.body.lines().collect();
    assert_eq!(lines.len(), 3, "{}", csv.body);
    assert!(lines[0].starts_with("id,customer,address,channel,status"));
    let vis = lines.iter().find(|line| line.contains("vi@example.org")).unwrap();
    assert!(vis.contains(",'=SUM(A1),") && vis.contains("\"good, \"\"really\"\"\""), "{vis}");
    assert!(!csv.body.contains("elsewhere"));
    // Whoever looks after nothing takes no file, and nobody takes one of another workspace.
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    assert_eq!(file(&bob, &bobs).await.status, StatusCode::FORBIDDEN);
    assert_eq!(file(&other.ada, &place).await.status, StatusCode::NOT_FOUND);
    // The one that there was stands in the trail.
    let trail = ok(&app, &ada, &place, "audit/server_fns/list_events", &[("wanted[about]", "file")]).await;
    let kinds: Vec<_> = trail["events"].as_array().unwrap().iter().map(|e| e["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["file.added"]);
    assert!(trail["events"][0]["by"]["person"].is_object(), "{trail}");
    // Nobody's browser takes one because another site says so.
    let request = Request::get(format!("/w/{place}/desk/conversations.csv")).header(header::COOKIE, ada.cookie());
    let lured = request.header("sec-fetch-site", "cross-site").body(Body::empty()).unwrap();
    assert_eq!(app.send(lured).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_customer_reads_when_the_team_is_back_by_their_own_clock_while_nobody_is_there_and_the_hours_are_over() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let opens = async |zone: &str| app.state.lanes.read_desk(&key, zone).await.unwrap().opens;
    // The day after tomorrow alone, from nine to five.
    let (day, name): (i32, String) = sqlx::query_as(
        "select extract(isodow from d.day)::int, to_char(d.day, 'FMDay') from (select (now() at time zone 'UTC')::date + 2 as day) d",
    )
    .fetch_one(&mut app.db.superuser().await)
    .await
    .unwrap();
    let mut hours = [""; 14];
    let at = 2 * (day as usize - 1);
    (hours[at], hours[at + 1]) = ("09:00", "17:00");
    targets(&app, &ada, &place, "", "", &hours).await;
    ok(&app, &ada, &place, &format!("{DESK}/be_here"), &[]).await;
    assert_eq!(opens("UTC").await, None, "somebody is there all the same");
    ok(&app, &ada, &place, &format!("{DESK}/set_available"), &[("available", "false")]).await;
    assert_eq!(opens("UTC").await, Some(format!("on {name} at 09:00")));
    assert_eq!(opens("Etc/GMT-9").await, Some(format!("on {name} at 18:00")));
    // Within them, and without any, nothing is promised.
    targets(&app, &ada, &place, "", "", &["00:00"; 14]).await;
    assert_eq!(opens("UTC").await, None);
    targets(&app, &ada, &place, "", "", &[]).await;
    assert_eq!(opens("UTC").await, None);
}
