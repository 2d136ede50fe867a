//! What those at a desk need all day: search, what is unread, who looks, who is named, lists, labels, and what customers thought.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use moat::server::lanes::UserLane;
use sqlx::Executor;
use uuid::Uuid;

use crate::{
    desk::{Desk, Visitor, agent, answer, desk, next, only, queue, read, said, set},
    harness::{App, Person},
    workspaces::{at, join, ok},
};

const DESK: &str = "conversations/server_fns";

async fn list(app: &App, person: &Person, place: &str, fields: &[(&str, &str)]) -> Vec<String> {
    let page = ok(app, person, place, &format!("{DESK}/list_conversations"), fields).await;
    page["rows"].as_array().unwrap().iter().map(said).collect()
}

async fn describe(app: &App, person: &Person, place: &str, id: &str, priority: &str, labels: &str) -> StatusCode {
    let fields = [("conversation", id), ("subject", "parcels"), ("priority", priority), ("labels", labels)];
    at(app, person, place, &format!("{DESK}/describe_conversation"), &fields).await.status
}

#[tokio::test]
async fn a_search_finds_what_the_plain_query_finds_under_the_policies_and_nothing_of_another_desk() {
    let app = App::new().await;
    let one = desk(&app, "ada@example.org", "One").await;
    let two = desk(&app, "bob@example.org", "Two").await;
    for (at, texts) in [
        (&one, ["red kite over Paris", "blue kite", "Kites, kites!", "nothing", "a red car"]),
        (&two, ["red kite of the other", "blue kite", "secret", "kite", "kite red"]),
    ] {
        for text in texts {
            Visitor::new(&app, &at.key).await.say(&app, text).await;
        }
    }
    for who in [&one, &two] {
        for query in ["kite", "red kite", "\"red kite\"", "kit", "paris", "secret", "zebra", "blue "] {
            let found: BTreeSet<String> =
                list(&app, &who.ada, &who.place, &[("narrow[words]", query)]).await.into_iter().collect();
            let mut opening = who.ada.opening();
            opening.place = Some(who.place.parse().unwrap());
            let mut lane: UserLane = app.state.lanes.workspace(&opening).await.unwrap();
            let plain: Vec<String> = sqlx::query_scalar(
                "select m.content ->> 'text' from app.conversation_messages m where m.words @@ app.search_terms($1)",
            )
            .bind(query)
            .fetch_all(lane.conn())
            .await
            .unwrap();
            assert_eq!(found, plain.into_iter().collect(), "{query}");
        }
    }
    // Far behind the newest 3,000 messages as well.
    app.db.superuser().await.execute(
        "insert into app.conversation_messages (conversation_id, workspace_id, seq, role, content, created_at)
           select t.id, t.workspace_id, 100 + n, 'agent', jsonb_build_object('text', 'filling ' || n), now() + n * interval '1 ms'
             from (select * from app.conversations order by created_at limit 1) t, generate_series(1, 3100) n",
    )
    .await
    .unwrap();
    assert_eq!(list(&app, &one.ada, &one.place, &[("narrow[words]", "paris")]).await, ["red kite over Paris"]);
    // Whoever asks is found by their name, before all words.
    let vi = Visitor::new(&app, &one.key).await;
    vi.say(&app, "hello").await;
    vi.call(&app, "widget/server_fns/introduce", &[("name", "Paris Pan")]).await;
    let found = list(&app, &one.ada, &one.place, &[("narrow[words]", "paris")]).await;
    assert_eq!(found, ["hello", "red kite over Paris"]);
}

#[tokio::test]
async fn lists_are_narrowed_by_label_urgency_and_who_has_it_and_kept_for_everybody_at_the_desk() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    for text in ["one", "two", "three"] {
        Visitor::new(&app, &key).await.say(&app, text).await;
    }
    let rows = queue(&app, &ada, &place, "waiting").await;
    let id = |text: &str| rows.iter().find(|row| said(row) == text).unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(describe(&app, &bob, &bobs, &id("one"), "3", "x").await, StatusCode::CONFLICT, "for agents");
    assert_eq!(describe(&app, &ada, &place, &id("one"), "3", "Billing, bug").await, StatusCode::OK);
    assert_eq!(describe(&app, &ada, &place, &id("two"), "1", "bug").await, StatusCode::OK);
    assert_eq!(describe(&app, &ada, &place, &id("two"), "4", "").await, StatusCode::BAD_REQUEST);
    ok(&app, &ada, &place, &format!("{DESK}/take_conversation"), &[("conversation", &id("three"))]).await;
    let open = ("view", "open");
    assert_eq!(list(&app, &bob, &bobs, &[open, ("narrow[label]", "bug")]).await.len(), 2);
    assert_eq!(list(&app, &bob, &bobs, &[open, ("narrow[label]", "billing")]).await, ["one"]);
    assert_eq!(list(&app, &bob, &bobs, &[("view", "waiting"), ("narrow[priority]", "3")]).await, ["one"]);
    assert_eq!(list(&app, &bob, &bobs, &[open, ("narrow[agent]", &place)]).await, ["three"]);
    assert_eq!(list(&app, &bob, &bobs, &[open, ("narrow[channel]", "relay")]).await.len(), 0);
    assert_eq!(list(&app, &bob, &bobs, &[open, ("narrow[minutes]", "15")]).await.len(), 0);
    app.db
        .superuser()
        .await
        .execute("update app.conversations set waiting_since = now() - interval '1 hour' where 'billing' = any(labels)")
        .await
        .unwrap();
    assert_eq!(list(&app, &bob, &bobs, &[open, ("narrow[minutes]", "15")]).await, ["one"]);
    let keep = [("name", "Burning"), open, ("narrow[priority]", "3"), ("narrow[label]", "a & b")];
    ok(&app, &bob, &bobs, &format!("{DESK}/save_view"), &keep).await;
    let page = ok(&app, &ada, &place, &format!("{DESK}/list_conversations"), &[]).await;
    assert_eq!(page["saved"][0][1], "Burning");
    assert_eq!(page["saved"][0][2], "view=open&label=a%20%26%20b&priority=3");
    assert_eq!(page["labels"], serde_json::json!(["billing", "bug"]));
    let other = desk(&app, "eve@example.org", "Other").await;
    let saved = page["saved"][0][0].as_str().unwrap();
    let refused = at(&app, &other.ada, &other.place, &format!("{DESK}/remove_view"), &[("saved", saved)]).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    ok(&app, &ada, &place, &format!("{DESK}/remove_view"), &[("saved", saved)]).await;
}

#[tokio::test]
async fn what_is_unread_stays_so_for_each_until_they_read_it_and_whoever_looks_or_types_is_seen() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    agent(&app, &ada, &place, &bobs, "Bob", "5").await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "hello").await;
    let id = only(&app, &ada, &place, "waiting").await;
    let unread = async |person: &Person, place: &str| queue(&app, person, place, "open").await[0]["unread"] == true;
    assert!(unread(&ada, &place).await && unread(&bob, &bobs).await);
    let look = |seen: &'static str, typing: &'static str| [("seen", seen), ("typing", typing)];
    let fields = [&[("conversation", id.as_str())][..], &look("1", "false")].concat();
    ok(&app, &ada, &place, &format!("{DESK}/look_at"), &fields).await;
    assert!(!unread(&ada, &place).await && unread(&bob, &bobs).await);
    assert_eq!(read(&app, &bob, &bobs, &id).await["looking"], serde_json::json!([["Ada", false]]));
    assert_eq!(read(&app, &ada, &place, &id).await["looking"], serde_json::json!([]));
    // The customer sees that somebody types once it is theirs to answer.
    let fields = [&[("conversation", id.as_str())][..], &look("1", "true")].concat();
    ok(&app, &ada, &place, &format!("{DESK}/look_at"), &fields).await;
    assert_eq!(read(&app, &bob, &bobs, &id).await["looking"], serde_json::json!([["Ada", true]]));
    assert_eq!(vi.own(&app).await["typing"], false);
    ok(&app, &ada, &place, &format!("{DESK}/take_conversation"), &[("conversation", &id)]).await;
    assert_eq!(vi.own(&app).await["typing"], true);
    // Looking back at something older makes nothing unread again, and what comes then is.
    vi.say(&app, "more").await;
    assert!(unread(&ada, &place).await);
    let fields = [&[("conversation", id.as_str())][..], &look("9", "false")].concat();
    ok(&app, &ada, &place, &format!("{DESK}/look_at"), &fields).await;
    let fields = [&[("conversation", id.as_str())][..], &look("1", "false")].concat();
    ok(&app, &ada, &place, &format!("{DESK}/look_at"), &fields).await;
    assert!(!unread(&ada, &place).await);
    // Whoever left is not there.
    app.db.superuser().await.execute("update app.readings set looking_until = now() - interval '1 s'").await.unwrap();
    assert_eq!(read(&app, &bob, &bobs, &id).await["looking"], serde_json::json!([]));
    let other = desk(&app, "eve@example.org", "Other").await;
    let strange = at(&app, &other.ada, &other.place, &format!("{DESK}/look_at"), &fields).await;
    assert_eq!(strange.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_note_that_names_somebody_is_in_their_list_until_they_read_it_and_in_nobody_elses() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    agent(&app, &ada, &place, &bobs, "Bob", "5").await;
    let cy = app.sign_up("cy@example.org").await;
    let cys = join(&app, &place, &cy, "project_creator").await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "hello @Bob").await;
    let id = only(&app, &ada, &place, "waiting").await;
    assert!(queue(&app, &bob, &bobs, "mentions").await.is_empty(), "a customer names nobody");
    let client = Uuid::new_v4().to_string();
    let fields =
        [("conversation", id.as_str()), ("client", &client), ("text", "@bob, do you know her?"), ("note", "true")];
    ok(&app, &ada, &place, &format!("{DESK}/answer_conversation"), &fields).await;
    assert_eq!(only(&app, &bob, &bobs, "mentions").await, id);
    assert!(
        queue(&app, &cy, &cys, "mentions").await.is_empty() && queue(&app, &ada, &place, "mentions").await.is_empty()
    );
    ok(&app, &bob, &bobs, &format!("{DESK}/look_at"), &[("conversation", &id), ("seen", "2")]).await;
    assert!(queue(&app, &bob, &bobs, "mentions").await.is_empty());
}

#[tokio::test]
async fn a_customer_says_whether_they_were_helped_once_it_is_resolved_and_the_staff_reads_it() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "hello").await;
    let id = only(&app, &ada, &place, "waiting").await;
    let rate = async |helped: &'static str| {
        vi.call(&app, "widget/server_fns/rate", &[("helped", helped), ("words", "fine")]).await.status
    };
    assert_eq!(rate("true").await, StatusCode::NOT_FOUND, "not yet");
    answer(&app, &ada, &place, &id, "hi", None).await;
    assert_eq!(set(&app, &ada, &place, &id, "resolved").await.status, StatusCode::OK);
    assert_eq!(rate("false").await, StatusCode::OK);
    assert_eq!(rate("true").await, StatusCode::OK);
    assert_eq!(read(&app, &ada, &place, &id).await["rating"], serde_json::json!([true, "fine"]));
    assert_eq!(vi.own(&app).await["rating"], true);
}

#[tokio::test]
async fn resolving_with_the_next_one_takes_who_has_waited_longest_and_nothing_when_it_is_held() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let first = Visitor::new(&app, &key).await;
    first.say(&app, "one").await;
    Visitor::new(&app, &key).await.say(&app, "two").await;
    let one = &*next(&app, &ada, &place).await;
    let resolve = async |seen: &'static str| {
        let fields = [("conversation", one), ("status", "resolved"), ("seen", seen), ("next", place.as_str())];
        at(&app, &ada, &place, &format!("{DESK}/set_conversation"), &fields).await.status
    };
    first.say(&app, "wait").await;
    assert_eq!(resolve("2").await, StatusCode::CONFLICT);
    assert_eq!(queue(&app, &ada, &place, "waiting").await.len(), 1, "the next one was not taken either");
    assert_eq!(resolve("3").await, StatusCode::OK);
    let mine = queue(&app, &ada, &place, "mine").await;
    assert_eq!(mine.iter().map(said).collect::<Vec<_>>(), ["two"]);
}

#[tokio::test]
async fn out_of_a_private_chat_what_is_picked_is_copied_to_a_desk_and_nothing_else_becomes_readable() {
    let app = App::new().await;
    let Desk { ada, place, .. } = desk(&app, "ada@example.org", "Acme").await;
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    let cy = app.sign_up("cy@example.org").await;
    let client = Uuid::new_v4().to_string();
    let fields = [("client", client.as_str()), ("text", "my secret plan")];
    let started = app.call(Some(&bob), "threads/server_fns/start_thread", &fields).await.json();
    let thread = started["thread"].as_str().unwrap().to_owned();
    app.until("the answer", async || {
        let found = app.call(Some(&bob), &format!("{DESK}/read_escalation"), &[("thread", &thread)]).await.json();
        (found["turns"].as_array()?.len() == 2).then_some(())
    })
    .await;
    let found = app.call(Some(&bob), &format!("{DESK}/read_escalation"), &[("thread", &thread)]).await.json();
    assert_eq!((&found["desks"][0][0], &found["desks"][0][2]), (&bobs.as_str().into(), &"Acme".into()));
    assert_eq!((&found["turns"][0][1], &found["turns"][0][2]), (&true.into(), &"my secret plan".into()));
    let answered = found["turns"][1].clone();
    let asked = Uuid::new_v4().to_string();
    let ask = async |person: &Person, place: &str, message: &str| {
        let fields = [
            ("thread", thread.as_str()),
            ("place", place),
            ("client", &asked),
            ("messages[]", message),
            ("text", "Is that so?"),
        ];
        app.call(Some(person), &format!("{DESK}/escalate"), &fields).await
    };
    let picked = answered[0].as_str().unwrap();
    // Twice is once; of somebody else's chat, or at somebody else's place, nothing.
    let first = ask(&bob, &bobs, picked).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    assert_eq!(ask(&bob, &bobs, picked).await.json(), first.json());
    assert_eq!(ask(&cy, &bobs, picked).await.status, StatusCode::NOT_FOUND);
    assert_eq!(ask(&bob, &place, picked).await.status, StatusCode::NOT_FOUND);
    assert_eq!(ask(&ada, &place, picked).await.status, StatusCode::NOT_FOUND);
    let id = only(&app, &ada, &place, "waiting").await;
    let whole = read(&app, &ada, &place, &id).await;
    let texts: Vec<_> =
        whole["messages"].as_array().unwrap().iter().map(|m| (m["role"].clone(), m["text"].clone())).collect();
    assert_eq!(texts, [("bot".into(), answered[2].clone()), ("customer".into(), "Is that so?".into())]);
    assert!(!whole.to_string().contains("my secret plan"));
    let closed = app.call(Some(&ada), "threads/server_fns/open_thread", &[("thread", &thread)]).await;
    assert_eq!(closed.status, StatusCode::NOT_FOUND, "the chat stays theirs: {}", closed.body);
    // They go on there, and nobody does in their name.
    assert_eq!(read(&app, &bob, &bobs, &id).await["asked"], true);
    answer(&app, &ada, &place, &id, "Yes.", None).await;
    let more = async |person: &Person, place: &str| {
        let client = Uuid::new_v4().to_string();
        let fields = [("conversation", id.as_str()), ("client", &client), ("text", "Thanks")];
        at(&app, person, place, &format!("{DESK}/ask_on"), &fields).await.status
    };
    assert_eq!((more(&bob, &bobs).await, more(&ada, &place).await), (StatusCode::OK, StatusCode::NOT_FOUND));
    let whole = read(&app, &ada, &place, &id).await;
    assert_eq!(whole["messages"].as_array().unwrap().last().unwrap()["text"], "Thanks");
    // After that as well the same request is the same question; with other words it is refused, not passed over.
    assert_eq!(ask(&bob, &bobs, picked).await.json(), first.json());
    let own = found["turns"][0][0].as_str().unwrap();
    assert_eq!(ask(&bob, &bobs, own).await.status, StatusCode::CONFLICT);
    // Whoever is removed has no desk to ask any more.
    ok(&app, &ada, &place, "workspaces/server_fns/remove_member", &[("member", &bobs)]).await;
    assert_eq!(ask(&bob, &bobs, picked).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_note_waits_for_nobody_who_is_being_removed_and_customers_and_longer_names_name_nobody() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    agent(&app, &ada, &place, &bobs, "Bob", "5").await;
    ok(&app, &ada, &place, "bot/server_fns/set_bot", &[("on", "true"), ("name", "Botty")]).await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "hello @Bob").await;
    vi.call(&app, "widget/server_fns/ask_person", &[]).await;
    let id = only(&app, &ada, &place, "waiting").await;
    let note = async |text: &'static str| {
        let client = Uuid::new_v4().to_string();
        let fields = [("conversation", id.as_str()), ("client", &client), ("text", text), ("note", "true")];
        ok(&app, &ada, &place, &format!("{DESK}/answer_conversation"), &fields).await
    };
    note("@Bobby, bob@bob.example, a@Bob").await;
    assert!(queue(&app, &bob, &bobs, "mentions").await.is_empty());
    // Their removal has their membership, and may wait for this conversation.
    let mut other = app.db.superuser().await;
    other
        .execute("begin; select from app.workspace_members where name = 'Bob' or role = 'project_creator' for update")
        .await
        .unwrap();
    note("(@Bob) look").await;
    other.execute("commit").await.unwrap();
    assert!(queue(&app, &bob, &bobs, "mentions").await.is_empty());
    note("(@Bob) look").await;
    assert_eq!(queue(&app, &bob, &bobs, "mentions").await.len(), 1);
}

#[tokio::test]
async fn no_statement_of_a_visitors_stands_in_the_way_of_the_staff() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "hello").await;
    let hash: Vec<u8> = sqlx::query_scalar("select token_hash from app.visitors")
        .fetch_one(&mut app.db.superuser().await)
        .await
        .unwrap();
    let insert = |seq: &str, content: &str| {
        format!(
            "insert into app.conversation_messages (conversation_id, workspace_id, seq, role, content)
               select t.id, t.workspace_id, {seq}, 'customer', '{content}' from app.conversations t"
        )
    };
    for statement in [
        "update app.conversations set last_seq = 99".to_owned(),
        insert("t.last_seq + 1", "{\"text\": \"x\"}"),
        format!(
            "update app.conversations set last_seq = last_seq + 1; {}",
            insert("t.last_seq", "{\"text\": \"x\", \"sources\": 1}")
        ),
    ] {
        let mut lane = app.state.lanes.visitor(&hash).await.unwrap();
        let refused = lane.conn().execute(sqlx::AssertSqlSafe(statement.as_str())).await.expect_err(&statement);
        assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("P0403"), "{statement}");
    }
    let mut lane = app.state.lanes.visitor(&hash).await.unwrap();
    lane.conn()
        .execute("update app.conversations set waiting_since = '-infinity', active_at = 'infinity'")
        .await
        .unwrap();
    lane.commit().await.unwrap();
    assert!(queue(&app, &ada, &place, "waiting").await[0]["waiting"].as_i64().unwrap() < 600);
    next(&app, &ada, &place).await;
}
