//! What is done once, however often it is asked for or whoever comes in between: taking the next one, putting off and coming back,
//! joining, and leaving a page.

use axum::http::StatusCode;
use moat::server::jobs;
use serde_json::{Value, json};
use sqlx::Executor;
use uuid::Uuid;

use crate::{
    desk::{Desk, Visitor, agent, answer, desk, next, only, queue, read, said, set, take, take_next},
    harness::{App, Person},
    workspaces::{at, join, ok},
};

const DESK: &str = "conversations/server_fns";

/// A colleague who answers at the same desk.
async fn bob(app: &App, ada: &Person, place: &str) -> (Person, String) {
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(app, place, &bob, "project_creator").await;
    agent(app, ada, place, &bobs, "Bob", "5").await;
    ok(app, &bob, &bobs, &format!("{DESK}/be_here"), &[]).await;
    (bob, bobs)
}

async fn off(app: &App, person: &Person, place: &str, id: &str) {
    let answer = set(app, person, place, id, "snoozed").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

#[tokio::test]
async fn asking_again_for_the_next_one_gives_the_one_that_was_taken_then_and_no_second() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let (bob, bobs) = bob(&app, &ada, &place).await;
    for text in ["one", "two", "three"] {
        Visitor::new(&app, &key).await.say(&app, text).await;
    }
    let client = Uuid::new_v4().to_string();
    // At once as well: whoever comes second waits for the first.
    let (one, again) = tokio::join!(take_next(&app, &ada, &place, &client), take_next(&app, &ada, &place, &client));
    assert_eq!((one.status, again.status), (StatusCode::OK, StatusCode::OK), "{} {}", one.body, again.body);
    assert_eq!(one.body, again.body);
    let taken = only(&app, &ada, &place, "mine").await;
    assert_eq!(one.json(), taken.as_str());
    assert_eq!(said(&queue(&app, &ada, &place, "mine").await[0]), "one");
    // Once it is resolved, a late copy of the request takes nothing else.
    set(&app, &ada, &place, &taken, "resolved").await;
    assert_eq!(take_next(&app, &ada, &place, &client).await.json(), taken.as_str());
    assert!(queue(&app, &ada, &place, "mine").await.is_empty());
    // A page that somebody comes back to after a while may have the id still: then it is another one.
    app.db
        .superuser()
        .await
        .execute("update app.conversation_messages set created_at = created_at - interval '1 h'")
        .await
        .unwrap();
    let later = take_next(&app, &ada, &place, &client).await.json().as_str().unwrap().to_owned();
    assert_eq!(said(&queue(&app, &ada, &place, "mine").await[0]), "two");
    set(&app, &ada, &place, &later, "waiting").await;
    // It is the caller's own: a colleague who uses the id gets one of theirs; and another id is another one.
    let theirs = take_next(&app, &bob, &bobs, &client).await;
    assert_eq!(said(&queue(&app, &bob, &bobs, "mine").await[0]), "two");
    assert_ne!(theirs.json(), taken.as_str());
    next(&app, &ada, &place).await;
    assert_eq!(said(&queue(&app, &ada, &place, "mine").await[0]), "three");
}

#[tokio::test]
async fn what_was_put_off_comes_back_to_whoever_put_it_off_while_they_are_there_and_have_room() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let (bob, bobs) = bob(&app, &ada, &place).await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "hello").await;
    let id = next(&app, &ada, &place).await;
    off(&app, &ada, &place, &id).await;
    assert_eq!(read(&app, &ada, &place, &id).await["keeper"], "you");
    assert_eq!(read(&app, &bob, &bobs, &id).await["keeper"], "Ada");
    // Put off, it is nobody's, and nothing brings it back before its time.
    jobs::deal(&app.state).await.unwrap();
    assert!(queue(&app, &ada, &place, "mine").await.is_empty());
    vi.say(&app, "are you there?").await;
    jobs::deal(&app.state).await.unwrap();
    assert_eq!(only(&app, &ada, &place, "mine").await, id);
    let lines = read(&app, &ada, &place, &id).await["messages"].as_array().unwrap().clone();
    assert_eq!(
        (&lines.last().unwrap()["author"], &lines.last().unwrap()["text"]),
        (&json!("Ada"), &json!("has this again"))
    );
    // By its time as well.
    off(&app, &ada, &place, &id).await;
    app.db
        .superuser()
        .await
        .execute("update app.conversations set snoozed_until = now() - interval '1 s'")
        .await
        .unwrap();
    jobs::sweep_desks(&app.state).await.unwrap();
    jobs::deal(&app.state).await.unwrap();
    assert_eq!(only(&app, &ada, &place, "mine").await, id);
    // Nor is it dealt to others while they could have it and are only busy for a moment.
    ok(&app, &ada, &place, "targets/server_fns/set_targets", &[("zone", "UTC"), ("deals", "true")]).await;
    off(&app, &ada, &place, &id).await;
    let mut busy = app.db.superuser().await;
    busy.execute("begin; select from app.agents where name = 'Ada' for no key update").await.unwrap();
    vi.say(&app, "now?").await;
    jobs::deal(&app.state).await.unwrap();
    assert!(queue(&app, &bob, &bobs, "mine").await.is_empty());
    busy.execute("rollback").await.unwrap();
    jobs::deal(&app.state).await.unwrap();
    assert_eq!(only(&app, &ada, &place, "mine").await, id);
    ok(&app, &ada, &place, "targets/server_fns/set_targets", &[("zone", "UTC")]).await;
    // Away, or with no room: it waits for anybody, and whoever takes it has it for good.
    for hinder in [
        "update app.agents set available = false where name = 'Ada'",
        "update app.agents set available = true, here_until = now() - interval '1 s' where name = 'Ada'",
        "update app.agents set capacity = 1, here_until = now() + interval '1 h' where name = 'Ada'",
    ] {
        off(&app, &ada, &place, &id).await;
        Visitor::new(&app, &key).await.say(&app, "another").await;
        next(&app, &ada, &place).await;
        app.db.superuser().await.execute(hinder).await.unwrap();
        vi.say(&app, "hello?").await;
        jobs::deal(&app.state).await.unwrap();
        assert_eq!(only(&app, &ada, &place, "waiting").await, id, "{hinder}");
        assert_eq!(take(&app, &bob, &bobs, &id).await.status, StatusCode::OK);
        app.db
            .superuser()
            .await
            .execute("update app.agents set available = true, capacity = 5, here_until = now() + interval '1 h'")
            .await
            .unwrap();
        set(&app, &bob, &bobs, &id, "waiting").await;
        jobs::deal(&app.state).await.unwrap();
        assert_eq!(only(&app, &ada, &place, "waiting").await, id, "Bob gave it back to anybody");
        take(&app, &ada, &place, &id).await;
        for row in queue(&app, &ada, &place, "mine").await {
            if row["id"] != id.as_str() {
                set(&app, &ada, &place, row["id"].as_str().unwrap(), "resolved").await;
            }
        }
    }
    // Nor does it come back to whoever put it off once somebody else has had it, and has gone.
    off(&app, &ada, &place, &id).await;
    vi.say(&app, "once more").await;
    take(&app, &bob, &bobs, &id).await;
    app.db
        .superuser()
        .await
        .execute("update app.agents set here_until = now() - interval '1 h' where name = 'Bob'")
        .await
        .unwrap();
    jobs::sweep_desks(&app.state).await.unwrap();
    jobs::deal(&app.state).await.unwrap();
    assert_eq!(only(&app, &ada, &place, "waiting").await, id);
    take(&app, &ada, &place, &id).await;
    // Whoever opens it again by hand gives it to anybody; and whoever answers here no more has nothing back.
    off(&app, &ada, &place, &id).await;
    set(&app, &bob, &bobs, &id, "waiting").await;
    jobs::deal(&app.state).await.unwrap();
    assert_eq!(only(&app, &bob, &bobs, "waiting").await, id);
    take(&app, &bob, &bobs, &id).await;
    off(&app, &bob, &bobs, &id).await;
    assert_eq!(read(&app, &bob, &bobs, &id).await["keeper"], "you");
    ok(&app, &ada, &place, "desks/server_fns/remove_agent", &[("member", &bobs)]).await;
    assert_eq!(read(&app, &bob, &bobs, &id).await["keeper"], Value::Null);
    agent(&app, &ada, &place, &bobs, "Bob", "5").await;
    set(&app, &bob, &bobs, &id, "waiting").await;
    take(&app, &bob, &bobs, &id).await;
    off(&app, &bob, &bobs, &id).await;
    ok(&app, &ada, &place, "workspaces/server_fns/remove_member", &[("member", &bobs)]).await;
    assert_eq!(read(&app, &ada, &place, &id).await["keeper"], Value::Null);
    vi.say(&app, "and now?").await;
    jobs::deal(&app.state).await.unwrap();
    assert_eq!(only(&app, &ada, &place, "waiting").await, id);
}

#[tokio::test]
async fn two_that_are_joined_have_the_labels_of_both_and_the_higher_priority_and_the_customer_reads_that_it_goes_on() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let (phone, laptop) = (Visitor::new(&app, &key).await, Visitor::new(&app, &key).await);
    let mut ids = Vec::new();
    for (visitor, text, name) in [(&phone, "from my phone", "Vi"), (&laptop, "from my laptop", "")] {
        visitor.say(&app, text).await;
        let me = [("name", name), ("email", "vi@example.org")];
        visitor.call(&app, "widget/server_fns/introduce", &me).await;
        ids.push(next(&app, &ada, &place).await);
    }
    let describe = async |id: &str, subject: &str, priority: &str, labels: &str| {
        let fields = [("conversation", id), ("subject", subject), ("priority", priority), ("labels", labels)];
        ok(&app, &ada, &place, &format!("{DESK}/describe_conversation"), &fields).await;
    };
    describe(&ids[0], "A parcel", "3", "parcel, late").await;
    describe(&ids[1], "", "0", "billing, parcel").await;
    let fields = [("conversation", &*ids[1]), ("other", &*ids[0])];
    ok(&app, &ada, &place, &format!("{DESK}/join_conversation"), &fields).await;
    let whole = read(&app, &ada, &place, &ids[1]).await;
    assert_eq!(
        (&whole["known"], &whole["subject"], &whole["priority"], &whole["labels"]),
        (&json!(""), &json!(""), &json!(3), &json!(["billing", "parcel", "late"]))
    );
    // It is not offered again; it is once its customer has written there again.
    assert_eq!(whole["others"][0][1], true);
    assert_eq!(
        (&phone.own(&app).await["elsewhere"], &laptop.own(&app).await["elsewhere"]),
        (&json!(true), &json!(false))
    );
    phone.say(&app, "still here").await;
    assert_eq!(phone.own(&app).await["elsewhere"], false);
    assert_eq!(read(&app, &ada, &place, &ids[1]).await["others"][0][1], false);
    // It is joined no more: resolved by itself, it is resolved.
    let end = async |id: &str| assert_eq!(set(&app, &ada, &place, id, "resolved").await.status, StatusCode::OK);
    end(&ids[0]).await;
    assert_eq!(phone.own(&app).await["elsewhere"], false);
    assert_eq!(read(&app, &ada, &place, &ids[0]).await["merged"], Value::Null);
    // What comes after can be joined once more; and nobody goes on in one that is resolved.
    phone.say(&app, "one more thing").await;
    ok(&app, &ada, &place, &format!("{DESK}/join_conversation"), &fields).await;
    let notes = read(&app, &ada, &place, &ids[1]).await["messages"].to_string().matches("From their other").count();
    assert_eq!((notes, &phone.own(&app).await["elsewhere"]), (2, &json!(true)));
    // Both customers hear of the end of it.
    let told = async || {
        app.state.hub.sequence().await.unwrap();
        app.count("select count(*) from app.feed f join app.conversations t on t.id = f.topic and t.merged_into is not null where f.kind = 'conversation.changed'").await
    };
    let before = told().await;
    end(&ids[1]).await;
    assert_eq!(told().await, before + 1);
    assert_eq!(
        (&phone.own(&app).await["elsewhere"], &laptop.own(&app).await["elsewhere"]),
        (&json!(false), &json!(false))
    );
}

#[tokio::test]
async fn whoever_leaves_a_page_looks_at_it_no_longer_and_what_they_had_read_stays_read() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let (bob, bobs) = bob(&app, &ada, &place).await;
    Visitor::new(&app, &key).await.say(&app, "hello").await;
    let id = only(&app, &ada, &place, "waiting").await;
    let look = async |typing: &str, gone: &str| {
        let fields = [("conversation", &*id), ("seen", "1"), ("typing", typing), ("gone", gone)];
        ok(&app, &bob, &bobs, &format!("{DESK}/look_at"), &fields).await;
        read(&app, &ada, &place, &id).await["looking"].clone()
    };
    let told = async || {
        app.count("select count(*) from (select kind from app.outbox union all select kind from app.feed) x where kind = 'conversation.looking'")
            .await
    };
    assert_eq!(look("true", "false").await, json!([["Bob", true]]));
    assert_eq!(look("false", "false").await, json!([["Bob", false]]));
    let before = told().await;
    // Whoever types to the last and leaves types no more either.
    assert_eq!(look("true", "true").await, json!([]));
    assert_eq!(told().await, before + 1);
    assert_eq!(queue(&app, &bob, &bobs, "waiting").await[0]["unread"], false);
}

#[tokio::test]
async fn what_was_begun_while_the_targets_changed_has_the_new_ones_a_moment_later() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "hello").await;
    let id = next(&app, &ada, &place).await;
    set(&app, &ada, &place, &id, "resolved").await;
    // Opened again by somebody who knows of no target yet, and is not done when there is one.
    let mut slow = app.db.superuser().await;
    slow.execute("begin; update app.conversations set status = 'waiting', waiting_since = now(), resolved_at = null")
        .await
        .unwrap();
    ok(&app, &ada, &place, "targets/server_fns/set_targets", &[("zone", "UTC"), ("reply", "5")]).await;
    slow.execute("commit").await.unwrap();
    assert_eq!(read(&app, &ada, &place, &id).await["due"], Value::Null);
    jobs::mend_due(&app.state).await.unwrap();
    assert!(read(&app, &ada, &place, &id).await["due"].as_i64().unwrap() <= 300);
    // What is as it should be is not written again.
    let mark = "select xmin::text::bigint from app.conversations";
    let before = app.count(mark).await;
    jobs::mend_due(&app.state).await.unwrap();
    assert_eq!(app.count(mark).await, before);
}

#[tokio::test]
async fn an_answer_waits_for_a_look_at_what_the_assistant_would_have_said_unless_it_can_still_be_undone() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "hello").await;
    let id = next(&app, &ada, &place).await;
    let mut conn = app.db.superuser().await;
    conn.execute(
        "update app.conversations set last_seq = last_seq + 1;
         insert into app.conversation_messages (conversation_id, workspace_id, seq, role, content, author_name)
           select id, workspace_id, last_seq, 'note', '{\"text\": \"what the assistant would have said\", \"draft\": true}', 'Botty' from app.conversations",
    )
    .await
    .unwrap();
    assert_eq!(answer(&app, &ada, &place, &id, "blind", Some(2)).await.status, StatusCode::CONFLICT);
    let client = Uuid::new_v4().to_string();
    let fields =
        [("conversation", &*id), ("client", &*client), ("text", "can be undone"), ("seen", "2"), ("wait", "10")];
    let kept = at(&app, &ada, &place, &format!("{DESK}/answer_conversation"), &fields).await;
    assert_eq!(kept.status, StatusCode::OK, "{}", kept.body);
    assert_eq!(answer(&app, &ada, &place, &id, "seen", Some(3)).await.status, StatusCode::OK);
    assert_eq!(vi.reads(&app).await, ["hello", "seen"]);
}

#[tokio::test]
async fn nothing_is_given_to_whoever_cannot_have_it_by_then_nor_what_somebody_else_is_at() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    Visitor::new(&app, &key).await.say(&app, "one").await;
    Visitor::new(&app, &key).await.say(&app, "two").await;
    ok(&app, &ada, &place, &format!("{DESK}/be_here"), &[]).await;
    let mut conn = app.db.superuser().await;
    // Nobody waits for anybody here.
    conn.execute("set lock_timeout = '5s'").await.unwrap();
    let give = "select app.give_to(t.id, t.workspace_id, a.user_id, false) from app.conversations t, app.agents a
                 where exists (select from app.conversation_messages m where m.conversation_id = t.id and m.content ->> 'text' = 'one')";
    // Each as if it had happened since somebody looked who could have it.
    for (since, given) in [
        ("update app.agents set available = false", None),
        ("update app.agents set here_until = now() - interval '1 s'", None),
        ("update app.agents set capacity = 1; update app.conversations t set status = 'claimed', claimed_by = (select user_id from app.agents), claimed_at = now()
           where exists (select from app.conversation_messages m where m.conversation_id = t.id and m.content ->> 'text' = 'two')", None),
        ("update app.users set status = 'banned'", None),
        ("update app.workspaces set deleted_at = now()", Some(false)),
        ("update app.conversations set status = 'snoozed'", Some(false)),
        ("update app.conversations set status = 'bot'", Some(false)),
    ] {
        conn.execute("begin").await.unwrap();
        conn.execute(since).await.unwrap_or_else(|error| panic!("{since}: {error}"));
        let given_now: Option<bool> = sqlx::query_scalar(give).fetch_one(&mut conn).await.unwrap();
        assert_eq!(given_now, given, "{since}");
        conn.execute("rollback").await.unwrap();
    }
    let mut other = app.db.superuser().await;
    for (held, given) in [
        ("select from app.users for update", None),
        ("select from app.workspace_members for update", None),
        ("select from app.agents for no key update", None),
        ("select from app.conversations for no key update", Some(false)),
    ] {
        other.execute("begin").await.unwrap();
        other.execute(held).await.unwrap();
        conn.execute("begin").await.unwrap();
        let given_now: Option<bool> = sqlx::query_scalar(give).fetch_one(&mut conn).await.unwrap();
        assert_eq!(given_now, given, "{held}");
        conn.execute("rollback").await.unwrap();
        other.execute("rollback").await.unwrap();
    }
    // It is theirs when they put it off alone; and with nothing in the way it is given.
    let again = give.replace("false)", "true)");
    let given_now: Option<bool> = sqlx::query_scalar(sqlx::AssertSqlSafe(again)).fetch_one(&mut conn).await.unwrap();
    assert_eq!(given_now, Some(false));
    let given_now: Option<bool> = sqlx::query_scalar(give).fetch_one(&mut conn).await.unwrap();
    assert_eq!(given_now, Some(true));
    assert_eq!(said(&queue(&app, &ada, &place, "mine").await[0]), "one");
}

#[tokio::test]
async fn whoever_erases_a_customer_holds_what_was_joined_before_anything_that_comes_after_it() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    for text in ["one", "two"] {
        let visitor = Visitor::new(&app, &key).await;
        visitor.say(&app, text).await;
        visitor.call(&app, "widget/server_fns/introduce", &[("email", "vi@example.org")]).await;
    }
    let rows = queue(&app, &ada, &place, "waiting").await;
    let mut ids: Vec<String> = rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    let (first, second) = (&*ids[0], &*ids[1]);
    let fields = [("conversation", second), ("other", first)];
    ok(&app, &ada, &place, &format!("{DESK}/join_conversation"), &fields).await;
    let hold = |id: &str| format!("select from app.conversations where id = '{id}' for no key update nowait");
    let mut behind = app.db.superuser().await;
    behind.execute("begin").await.unwrap();
    behind.execute(sqlx::AssertSqlSafe(hold(first))).await.unwrap();
    let erase = [("conversation", second), ("place", &*place)];
    let function = format!("{DESK}/erase_customer");
    let (erased, ()) = tokio::join!(at(&app, &ada, &place, &function, &erase), async {
        app.until("it waits", async || (app.waiting().await == 1).then_some(())).await;
        behind.execute(sqlx::AssertSqlSafe(hold(second))).await.expect("the other is not held yet");
        behind.execute("commit").await.unwrap();
    });
    assert!(erased.status.as_u16() < 400, "{} {}", erased.status, erased.body);
    assert_eq!(app.count("select count(*) from app.conversations").await, 1);
    assert_eq!(read(&app, &ada, &place, first).await["merged"], Value::Null);
}
