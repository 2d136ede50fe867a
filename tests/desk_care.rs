//! What is done at a desk in one step: replies that act, many conversations at once, two that are joined, a customer forgotten, and
//! conversations that are dealt.

use axum::http::StatusCode;
use moat::server::jobs;
use serde_json::{Value, json};
use sqlx::Executor;
use uuid::Uuid;

use crate::{
    desk::{Desk, Visitor, agent, answer, desk, only, queue, read, said, seen, set},
    harness::{App, Person},
    workspaces::{at, join, ok},
};

const DESK: &str = "conversations/server_fns";

async fn say(app: &App, key: &str, text: &str) -> Visitor {
    let visitor = Visitor::new(app, key).await;
    visitor.say(app, text).await;
    visitor
}

/// The conversation that began with these words.
async fn begun(app: &App, person: &Person, place: &str, text: &str) -> Value {
    let rows = queue(app, person, place, "open").await;
    rows.into_iter().find(|row| said(row) == text).unwrap_or_else(|| panic!("{text}"))
}

fn id(row: &Value) -> String {
    row["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_reply_that_acts_says_its_words_once_labels_and_resolves_or_does_nothing_at_all() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let vi = say(&app, &key, "where is it?").await;
    vi.call(&app, "widget/server_fns/introduce", &[("name", "Vi")]).await;
    let keep = [
        ("name", "Sent"),
        ("text", "On its way, {{customer}}."),
        ("labels", "parcel"),
        ("priority", "0"),
        ("next", "resolved"),
    ];
    ok(&app, &ada, &place, "replies/server_fns/put_reply", &keep).await;
    let nothing = at(&app, &ada, &place, "replies/server_fns/put_reply", &[("name", "x")]).await;
    assert_eq!(nothing.status, StatusCode::BAD_REQUEST);
    let row = begun(&app, &ada, &place, "where is it?").await;
    let kept = read(&app, &ada, &place, &id(&row)).await["replies"][0].clone();
    let (reply, mark) = (kept["id"].as_str().unwrap().to_owned(), kept["mark"].as_str().unwrap().to_owned());
    let run = async |person: &Person, place: &str, seen: &str| {
        let fields = [("conversation", &*id(&row)), ("reply", &reply), ("seen", seen), ("mark", &mark)];
        at(&app, person, place, "replies/server_fns/run_reply", &fields).await.status
    };
    // To less than what was said: nothing of it happens.
    vi.say(&app, "hello?").await;
    assert_eq!(run(&ada, &place, "1").await, StatusCode::CONFLICT);
    let whole = read(&app, &ada, &place, &id(&row)).await;
    assert_eq!((&whole["status"], &whole["labels"], &whole["priority"]), (&"waiting".into(), &json!([]), &1.into()));
    assert_eq!(vi.reads(&app).await, ["where is it?", "hello?"]);
    // Twice at the same words says it once.
    let seen = whole["seen"].to_string();
    assert_eq!(run(&ada, &place, &seen).await, StatusCode::OK);
    assert_eq!(run(&ada, &place, &seen).await, StatusCode::OK);
    assert_eq!(vi.reads(&app).await, ["where is it?", "hello?", "On its way, Vi."]);
    let whole = read(&app, &ada, &place, &id(&row)).await;
    assert_eq!(
        (&whole["status"], &whole["labels"], &whole["priority"]),
        (&"resolved".into(), &json!(["parcel"]), &0.into())
    );
    let other = desk(&app, "eve@example.org", "Other").await;
    assert_eq!(run(&other.ada, &other.place, &seen).await, StatusCode::NOT_FOUND);
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    assert_eq!(run(&bob, &bobs, &seen).await, StatusCode::CONFLICT, "for agents");
    // Whoever looks after nothing changes nothing that agents say by a click; and what was changed meanwhile is read first.
    for function in ["put_reply", "remove_reply"] {
        let fields = [("name", "Sent"), ("text", "Your account is closed."), ("reply", &*reply)];
        let refused = at(&app, &bob, &bobs, &format!("replies/server_fns/{function}"), &fields).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{function}");
    }
    vi.say(&app, "thanks").await;
    // No other reply takes its name; itself it can be changed, its name too.
    let change = [("name", "Sent"), ("text", "It is lost."), ("next", "resolved")];
    let taken = at(&app, &ada, &place, "replies/server_fns/put_reply", &change).await;
    assert_eq!(taken.status, StatusCode::BAD_REQUEST);
    let change = [("reply", &*reply), ("name", "Lost"), ("text", "It is lost."), ("next", "resolved")];
    ok(&app, &ada, &place, "replies/server_fns/put_reply", &change).await;
    let kept = read(&app, &ada, &place, &id(&row)).await["replies"].clone();
    assert_eq!((kept.as_array().unwrap().len(), &kept[0]["id"], &kept[0]["name"]), (1, &json!(reply), &json!("Lost")));
    let elsewhere = at(&app, &other.ada, &other.place, "replies/server_fns/put_reply", &change).await;
    assert_eq!(elsewhere.status, StatusCode::NOT_FOUND);
    let seen = read(&app, &ada, &place, &id(&row)).await["seen"].to_string();
    assert_eq!(run(&ada, &place, &seen).await, StatusCode::CONFLICT);
    assert!(!vi.reads(&app).await.contains(&"It is lost.".to_owned()));
}

#[tokio::test]
async fn many_are_changed_each_by_itself_with_a_line_that_says_what_came_of_it() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    agent(&app, &ada, &place, &bobs, "Bob", "5").await;
    say(&app, &key, "one").await;
    let two = say(&app, &key, "two").await;
    say(&app, &key, "three").await;
    let rows = [
        begun(&app, &ada, &place, "one").await,
        begun(&app, &ada, &place, "two").await,
        begun(&app, &ada, &place, "three").await,
    ];
    // Somebody has the third, and the second has news.
    ok(&app, &bob, &bobs, &format!("{DESK}/take_conversation"), &[("conversation", &id(&rows[2]))]).await;
    two.say(&app, "more").await;
    let other = desk(&app, "eve@example.org", "Other").await;
    say(&app, &other.key, "elsewhere").await;
    let foreign = begun(&app, &other.ada, &other.place, "elsewhere").await;
    let ticks: Vec<String> = rows.iter().chain([&foreign]).map(|row| format!("{}.{}", id(row), row["seq"])).collect();
    let change = async |what: &str, label: &str| {
        let mut fields = vec![("change", what), ("label", label)];
        fields.extend(ticks.iter().map(|tick| ("conversations[]", tick.as_str())));
        let told = ok(&app, &ada, &place, &format!("{DESK}/change_conversations"), &fields).await;
        told.as_array().unwrap().iter().map(|one| one["problem"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let told = change("resolve", "").await;
    assert_eq!(told[0], None);
    assert!(told[1].as_ref().unwrap().contains("had not seen"), "{told:?}");
    assert!(told[2].as_ref().unwrap().contains("Somebody else"), "{told:?}");
    assert!(told[3].as_ref().unwrap().contains("nobody there"), "{told:?}");
    assert_eq!(queue(&app, &ada, &place, "resolved").await.len(), 1);
    assert_eq!(queue(&app, &other.ada, &other.place, "waiting").await.len(), 1);
    // One that was put off until tomorrow is put off until its customer writes.
    let one = id(&rows[0]);
    let seen = seen(&app, &ada, &place, &one).await;
    let hours = [("conversation", &*one), ("status", "snoozed"), ("hours", "24"), ("seen", &seen)];
    ok(&app, &ada, &place, &format!("{DESK}/set_conversation"), &hours).await;
    assert_eq!(change("put_off", "").await[0], None);
    let until: Option<String> =
        sqlx::query_scalar("select snoozed_until::text from app.conversations where status = 'snoozed'")
            .fetch_one(&mut app.db.superuser().await)
            .await
            .unwrap();
    assert_eq!(until, None);
    assert_eq!(change("label", "later, Big").await[..3], [None, None, None]);
    let null = [("change", "label"), ("label", "a\0b"), ("conversations[]", ticks[0].as_str())];
    let refused = at(&app, &ada, &place, &format!("{DESK}/change_conversations"), &null).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(read(&app, &ada, &place, &id(&rows[1])).await["labels"], json!(["later", "big"]));
    assert_eq!(change("urgent", "").await[..3], [None, None, None]);
    assert_eq!(read(&app, &ada, &place, &id(&rows[2])).await["priority"], 3);
    // Nobody is shut out by a tick for what nobody has read, or in a conversation that a colleague has.
    let told = change("block", "").await;
    assert_eq!(told[0], None);
    assert!(told[1].as_ref().unwrap().contains("had not seen"), "{told:?}");
    assert!(told[2].as_ref().unwrap().contains("Somebody else"), "{told:?}");
    for (row, blocked) in rows.iter().zip([true, false, false]) {
        assert_eq!(read(&app, &ada, &place, &id(row)).await["blocked"], blocked);
    }
    assert_eq!(two.say_as(&app, &Uuid::new_v4().to_string(), "x").await.status, StatusCode::OK);
    for fields in [vec![("change", "resolve")], vec![("change", "resolve"), ("conversations[]", "x")]] {
        let refused = at(&app, &ada, &place, &format!("{DESK}/change_conversations"), &fields).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn two_that_are_joined_go_on_in_one_and_neither_customer_reads_the_other() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let phone = say(&app, &key, "from my phone").await;
    let laptop = say(&app, &key, "from my laptop").await;
    for visitor in [&phone, &laptop] {
        visitor.call(&app, "widget/server_fns/introduce", &[("name", "Vi"), ("email", "vi@example.org")]).await;
    }
    let from = id(&begun(&app, &ada, &place, "from my phone").await);
    let into = id(&begun(&app, &ada, &place, "from my laptop").await);
    assert_eq!(read(&app, &ada, &place, &into).await["others"][0][0]["id"], from.as_str());
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    agent(&app, &ada, &place, &bobs, "Bob", "5").await;
    ok(&app, &bob, &bobs, &format!("{DESK}/take_conversation"), &[("conversation", &from)]).await;
    let join_them = async |person: &Person, place: &str| {
        let fields = [("conversation", into.as_str()), ("other", from.as_str())];
        at(&app, person, place, &format!("{DESK}/join_conversation"), &fields).await.status
    };
    assert_eq!(join_them(&ada, &place).await, StatusCode::CONFLICT, "somebody else has it");
    let back = [("conversation", from.as_str()), ("status", "waiting"), ("seen", "9")];
    ok(&app, &bob, &bobs, &format!("{DESK}/set_conversation"), &back).await;
    let other = desk(&app, "eve@example.org", "Other").await;
    assert_eq!(join_them(&other.ada, &other.place).await, StatusCode::NOT_FOUND);
    // Twice joins once.
    assert_eq!(join_them(&ada, &place).await, StatusCode::OK);
    assert_eq!(join_them(&ada, &place).await, StatusCode::OK);
    let whole = read(&app, &ada, &place, &into).await;
    let notes: Vec<_> = whole["messages"].as_array().unwrap().iter().filter(|m| m["role"] == "note").collect();
    assert_eq!(notes.len(), 1);
    assert_eq!(notes[0]["text"], "From their other conversation:\nVi: from my phone");
    let gone = read(&app, &ada, &place, &from).await;
    assert_eq!((&gone["status"], &gone["merged"]), (&"resolved".into(), &into.as_str().into()));
    // What came with it is news, for whoever joined it too.
    let stale = [("conversation", into.as_str()), ("status", "resolved"), ("seen", "1")];
    let held = at(&app, &ada, &place, &format!("{DESK}/set_conversation"), &stale).await;
    assert_eq!(held.status, StatusCode::CONFLICT);
    assert_eq!(answer(&app, &ada, &place, &into, "blind", Some(1)).await.status, StatusCode::CONFLICT);
    answer(&app, &ada, &place, &into, "hello", None).await;
    assert_eq!(laptop.reads(&app).await, ["from my laptop", "hello"]);
    assert_eq!(phone.reads(&app).await, ["from my phone"]);
    // Whoever waited there waits here, though this one was resolved; and a customer's words name nobody of the staff.
    assert!(queue(&app, &bob, &bobs, "mentions").await.is_empty());
    assert_eq!(set(&app, &ada, &place, &into, "resolved").await.status, StatusCode::OK);
    phone.say(&app, "hello @Bob").await;
    assert_eq!(join_them(&ada, &place).await, StatusCode::OK);
    assert_eq!(only(&app, &ada, &place, "waiting").await, into);
    assert!(queue(&app, &bob, &bobs, "mentions").await.is_empty());
    assert_eq!(set(&app, &ada, &place, &into, "resolved").await.status, StatusCode::OK);
    // Whoever writes there again is heard there again.
    phone.say(&app, "again").await;
    assert_eq!(only(&app, &ada, &place, "waiting").await, from);
}

#[tokio::test]
async fn an_erased_customer_leaves_no_word_behind_and_a_line_in_the_trail_that_has_none_either() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let vi = say(&app, &key, "my secret").await;
    let too = say(&app, &key, "secret as well").await;
    let uma = say(&app, &key, "somebody else").await;
    for visitor in [&vi, &too] {
        visitor.call(&app, "widget/server_fns/introduce", &[("name", "Vivian"), ("email", "vi@example.org")]).await;
    }
    uma.call(&app, "widget/server_fns/introduce", &[("email", "uma@example.org")]).await;
    let first = id(&begun(&app, &ada, &place, "my secret").await);
    answer(&app, &ada, &place, &first, "about your secret", None).await;
    // A copy of it stands in one that has another address by now. Of somebody else's there is none.
    let umas = id(&begun(&app, &ada, &place, "somebody else").await);
    let foreign = [("conversation", umas.as_str()), ("other", first.as_str())];
    let refused = at(&app, &ada, &place, &format!("{DESK}/join_conversation"), &foreign).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    uma.call(&app, "widget/server_fns/introduce", &[("email", "vi@example.org")]).await;
    let copied = [("conversation", umas.as_str()), ("other", first.as_str())];
    ok(&app, &ada, &place, &format!("{DESK}/join_conversation"), &copied).await;
    assert!(read(&app, &ada, &place, &umas).await.to_string().contains("my secret"));
    uma.call(&app, "widget/server_fns/introduce", &[("email", "uma@example.org")]).await;
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    agent(&app, &ada, &place, &bobs, "Bob", "5").await;
    let erase = async |person: &Person, place: &str, all: &str| {
        let fields = [("conversation", first.as_str()), ("place", place), ("all", all)];
        at(&app, person, place, &format!("{DESK}/erase_customer"), &fields).await.status
    };
    assert_eq!(erase(&bob, &bobs, "true").await, StatusCode::FORBIDDEN);
    let other = desk(&app, "eve@example.org", "Other").await;
    assert_eq!(erase(&other.ada, &other.place, "true").await, StatusCode::NOT_FOUND);
    assert_eq!(erase(&ada, &place, "true").await, StatusCode::OK);
    assert_eq!(erase(&ada, &place, "true").await, StatusCode::NOT_FOUND);
    let rows = queue(&app, &ada, &place, "open").await;
    assert_eq!(rows.iter().map(said).collect::<Vec<_>>(), ["somebody else"]);
    for visitor in [&vi, &too] {
        let refused = visitor.say_as(&app, &Uuid::new_v4().to_string(), "x").await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{}", refused.body);
    }
    assert_eq!(uma.reads(&app).await, ["somebody else"]);
    // Not in any table.
    let mut conn = app.db.superuser().await;
    let tables: Vec<String> = sqlx::query_scalar("select tablename::text from pg_tables where schemaname = 'app'")
        .fetch_all(&mut conn)
        .await
        .unwrap();
    assert!(tables.len() > 40);
    for table in tables {
        let query = format!("select count(*) from app.{table} t where to_jsonb(t)::text ~ 'secret|Vivian|vi@example'");
        let found: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(query.as_str())).fetch_one(&mut conn).await.unwrap();
        assert_eq!(found, 0, "{table}");
    }
    let kinds: Vec<String> = sqlx::query_scalar("select kind from app.audit_events where kind like 'customer.%'")
        .fetch_all(&mut conn)
        .await
        .unwrap();
    assert_eq!(kinds, ["customer.removed", "customer.removed"]);
    let page = app.page(Some(&ada), &format!("/w/{place}/audit")).await;
    assert!(page.body.contains("erased a customer"), "{}", page.body);
}

#[tokio::test]
async fn who_waits_is_dealt_to_those_who_are_there_in_turn_and_to_nobody_beyond_their_room() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    let cy = app.sign_up("cy@example.org").await;
    let cys = join(&app, &place, &cy, "project_creator").await;
    agent(&app, &ada, &place, &place, "Ada", "2").await;
    agent(&app, &ada, &place, &bobs, "Bob", "2").await;
    agent(&app, &ada, &place, &cys, "Cy", "9").await;
    for (person, at) in [(&ada, &place), (&bob, &bobs), (&cy, &cys)] {
        ok(&app, person, at, &format!("{DESK}/be_here"), &[]).await;
    }
    ok(&app, &cy, &cys, &format!("{DESK}/set_available"), &[("available", "false")]).await;
    for n in 1..=5 {
        say(&app, &key, &format!("c{n}")).await;
    }
    jobs::deal(&app.state).await.unwrap();
    assert_eq!(queue(&app, &ada, &place, "waiting").await.len(), 5, "nobody asked for that");
    ok(&app, &ada, &place, "targets/server_fns/set_targets", &[("zone", "UTC"), ("deals", "true")]).await;
    jobs::deal(&app.state).await.unwrap();
    let mine = async |person: &Person, place: &str| {
        let mut rows: Vec<String> = queue(&app, person, place, "mine").await.iter().map(said).collect();
        rows.sort();
        rows
    };
    let (adas, bobs_own) = (mine(&ada, &place).await, mine(&bob, &bobs).await);
    assert_eq!((adas.len(), bobs_own.len()), (2, 2));
    assert!(adas == ["c1", "c3"] || adas == ["c2", "c4"], "in turn: {adas:?}");
    assert!(mine(&cy, &cys).await.is_empty(), "away");
    let left = queue(&app, &ada, &place, "waiting").await;
    assert_eq!(left.iter().map(said).collect::<Vec<_>>(), ["c5"]);
    // Many processes at once give nobody more than they have room for, and nobody to two.
    ok(&app, &cy, &cys, &format!("{DESK}/set_available"), &[("available", "true")]).await;
    agent(&app, &ada, &place, &cys, "Cy", "3").await;
    for n in 6..=12 {
        say(&app, &key, &format!("c{n}")).await;
    }
    let deals: Vec<_> = (0..4)
        .map(|_| {
            let state = app.state.clone();
            tokio::spawn(async move { jobs::deal(&state).await.unwrap() })
        })
        .collect();
    for deal in deals {
        deal.await.unwrap();
    }
    jobs::deal(&app.state).await.unwrap();
    assert_eq!(mine(&cy, &cys).await, ["c5", "c6", "c7"]);
    assert_eq!(queue(&app, &ada, &place, "waiting").await.len(), 5);
    let taken: i64 = sqlx::query_scalar(
        "select count(*) from app.conversation_messages where content ->> 'text' = 'was given this'",
    )
    .fetch_one(&mut app.db.superuser().await)
    .await
    .unwrap();
    assert_eq!(taken, 7);
    // Whoever gives somebody back is not given them again at once.
    app.db.superuser().await.execute("update app.agents set capacity = 50 where name = 'Cy'; update app.agents set here_until = now() - interval '1 s' where name <> 'Cy'").await.unwrap();
    jobs::deal(&app.state).await.unwrap();
    assert_eq!(queue(&app, &ada, &place, "waiting").await.len(), 0);
    let had = id(&queue(&app, &cy, &cys, "mine").await[0]);
    let back = [("conversation", had.as_str()), ("status", "waiting"), ("seen", "9")];
    ok(&app, &cy, &cys, &format!("{DESK}/set_conversation"), &back).await;
    jobs::deal(&app.state).await.unwrap();
    assert_eq!(only(&app, &ada, &place, "waiting").await, had);
    // A desk whose only agent with room is shut out keeps nobody else from theirs.
    let other = desk(&app, "eve@example.org", "Other").await;
    ok(&app, &other.ada, &other.place, "targets/server_fns/set_targets", &[("zone", "UTC"), ("deals", "true")]).await;
    ok(&app, &other.ada, &other.place, &format!("{DESK}/be_here"), &[]).await;
    say(&app, &other.key, "theirs").await;
    app.db
        .superuser()
        .await
        .execute("update app.users set status = 'banned' where email = 'cy@example.org'")
        .await
        .unwrap();
    sqlx::query(
        "insert into app.conversations (workspace_id, waiting_since, priority)
           select t.workspace_id, now() - interval '1 day', 3 from app.conversations t, generate_series(1, 60) where t.id = $1::uuid",
    )
    .bind(&had)
    .execute(&mut app.db.superuser().await)
    .await
    .unwrap();
    jobs::deal(&app.state).await.unwrap();
    assert_eq!(queue(&app, &other.ada, &other.place, "mine").await.iter().map(said).collect::<Vec<_>>(), ["theirs"]);
    app.db.superuser().await.execute("delete from app.conversations where priority = 3").await.unwrap();
    // Whoever left is given nobody.
    app.db
        .superuser()
        .await
        .execute("update app.agents set here_until = now() - interval '1 s', capacity = 50")
        .await
        .unwrap();
    jobs::deal(&app.state).await.unwrap();
    assert_eq!(queue(&app, &ada, &place, "waiting").await.len(), 1);
}
