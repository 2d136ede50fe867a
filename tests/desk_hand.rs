//! What agents do by hand: taking a conversation, saying whose it is, shutting its customer out.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::Executor;

use crate::{
    desk::{Desk, Visitor, agent, answer, desk, next, only, queue, read, said, seen},
    harness::{App, Person},
    workspaces::{at, join, ok},
};

const DESK: &str = "conversations/server_fns";

/// What stands in the lines of a conversation that say what was done.
fn deeds(whole: &Value) -> Vec<String> {
    let lines = whole["messages"].as_array().unwrap().iter();
    lines
        .filter(|m| m["role"] == "system")
        .map(|m| format!("{} {}", m["author"].as_str().unwrap(), m["text"].as_str().unwrap()))
        .collect()
}

async fn name(app: &App, person: &Person, place: &str, id: &str, name: &str, email: &str) -> StatusCode {
    let fields = [("conversation", id), ("name", name), ("email", email)];
    at(app, person, place, &format!("{DESK}/name_customer"), &fields).await.status
}

async fn block(app: &App, person: &Person, place: &str, id: &str, blocked: &str) -> StatusCode {
    at(app, person, place, &format!("{DESK}/block_customer"), &[("conversation", id), ("blocked", blocked)])
        .await
        .status
}

#[tokio::test]
async fn what_agents_call_a_customer_is_shown_until_the_customer_says_it_themselves() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "hello").await;
    let id = only(&app, &ada, &place, "waiting").await;
    let hello = [("name", "Hello"), ("text", "Hello {{customer}}, {{agent}} here.")];
    ok(&app, &ada, &place, "replies/server_fns/put_reply", &hello).await;
    let text = async || read(&app, &ada, &place, &id).await["replies"][0]["text"].clone();
    assert_eq!(text().await, "Hello, Ada here.");
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    let other = desk(&app, "eve@example.org", "Other").await;
    assert_eq!(name(&app, &bob, &bobs, &id, "Bobby", "").await, StatusCode::CONFLICT, "for agents");
    assert_eq!(name(&app, &other.ada, &other.place, &id, "Eve", "").await, StatusCode::NOT_FOUND);
    assert_eq!(name(&app, &ada, &place, &id, "Vi", "not an address").await, StatusCode::BAD_REQUEST);
    assert_eq!(queue(&app, &ada, &place, "waiting").await[0]["customer"], "Visitor");
    assert_eq!(name(&app, &ada, &place, &id, "Vi", "").await, StatusCode::OK);
    assert_eq!(name(&app, &ada, &place, &id, "Vi", "").await, StatusCode::OK);
    assert_eq!(text().await, "Hello Vi, Ada here.");
    // Whoever leaves an address alone keeps the name.
    vi.call(&app, "widget/server_fns/introduce", &[("email", "vi@example.org")]).await;
    let whole = read(&app, &ada, &place, &id).await;
    assert_eq!((&whole["known"], &whole["email"]), (&json!("Vi"), &json!("vi@example.org")));
    assert_eq!(deeds(&whole), ["Ada changed who the customer is"], "once");
    vi.call(&app, "widget/server_fns/introduce", &[("name", "Viola"), ("email", "vi@example.org")]).await;
    assert_eq!(read(&app, &ada, &place, &id).await["known"], "Viola");
    // A form that was shown before that changes what was changed in it, and nothing else; one can be emptied.
    let old = [("conversation", &*id), ("name", "Violetta"), ("email", ""), ("was", r#"["Vi",""]"#)];
    ok(&app, &ada, &place, &format!("{DESK}/name_customer"), &old).await;
    let whole = read(&app, &ada, &place, &id).await;
    assert_eq!((&whole["known"], &whole["email"]), (&json!("Violetta"), &json!("vi@example.org")));
    let empty = [
        ("conversation", &*id),
        ("name", ""),
        ("email", "vi@example.org"),
        ("was", r#"["Violetta","vi@example.org"]"#),
    ];
    ok(&app, &ada, &place, &format!("{DESK}/name_customer"), &empty).await;
    assert_eq!(read(&app, &ada, &place, &id).await["known"], "");
    let about = |subject: &'static str, labels: &'static str, was: &'static str| {
        [
            ("conversation", id.clone()),
            ("subject", subject.to_owned()),
            ("priority", "1".to_owned()),
            ("labels", labels.to_owned()),
            ("was", was.to_owned()),
        ]
    };
    for fields in [about("", "air", ""), about("Parcels", "", r#"["",1,""]"#)] {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        ok(&app, &ada, &place, &format!("{DESK}/describe_conversation"), &fields).await;
    }
    let whole = read(&app, &ada, &place, &id).await;
    assert_eq!((&whole["subject"], &whole["labels"]), (&json!("Parcels"), &json!(["air"])));
    assert_eq!(vi.reads(&app).await, ["hello"]);
}

#[tokio::test]
async fn a_customer_who_is_blocked_is_answered_no_more_and_their_conversation_is_resolved_unless_a_colleague_has_it() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    agent(&app, &ada, &place, &bobs, "Bob", "3").await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "buy this").await;
    let id = only(&app, &ada, &place, "waiting").await;
    assert_eq!(block(&app, &ada, &place, &id, "true").await, StatusCode::OK);
    assert_eq!(block(&app, &ada, &place, &id, "true").await, StatusCode::OK);
    let whole = read(&app, &ada, &place, &id).await;
    assert_eq!((&whole["status"], &whole["blocked"]), (&json!("resolved"), &json!(true)));
    assert_eq!(deeds(&whole), ["Ada blocked this customer"]);
    let held = answer(&app, &ada, &place, &id, "no", None).await;
    assert_eq!(held.status, StatusCode::CONFLICT);
    assert!(held.json()["what"].as_str().unwrap().contains("blocked"), "{}", held.body);
    let later = [
        ("conversation", &*id),
        ("client", "00000000-0000-4000-8000-0000000000a1"),
        ("text", "no"),
        ("seen", &seen(&app, &ada, &place, &id).await),
        ("wait", "3600"),
    ];
    assert_eq!(
        at(&app, &ada, &place, &format!("{DESK}/answer_conversation"), &later).await.status,
        StatusCode::CONFLICT
    );
    assert_eq!(block(&app, &ada, &place, &id, "false").await, StatusCode::OK);
    assert_eq!(vi.reads(&app).await, ["buy this"]);
    // What a colleague has stays theirs.
    let take = [("conversation", &*id)];
    ok(&app, &bob, &bobs, &format!("{DESK}/take_conversation"), &take).await;
    assert_eq!(block(&app, &ada, &place, &id, "true").await, StatusCode::OK);
    let whole = read(&app, &bob, &bobs, &id).await;
    assert_eq!((&whole["status"], &whole["mine"]), (&json!("claimed"), &json!(true)));
    // Given back, or left, it waits for nobody who could not answer it.
    let back = [("conversation", &*id), ("status", "waiting"), ("seen", "99")];
    ok(&app, &bob, &bobs, &format!("{DESK}/set_conversation"), &back).await;
    assert_eq!(read(&app, &bob, &bobs, &id).await["status"], "resolved");
    assert!(queue(&app, &ada, &place, "waiting").await.is_empty());
    let other = desk(&app, "eve@example.org", "Other").await;
    assert_eq!(block(&app, &other.ada, &other.place, &id, "false").await, StatusCode::NOT_FOUND);
    assert_eq!(read(&app, &bob, &bobs, &id).await["blocked"], true);
}

#[tokio::test]
async fn whoever_was_erased_begins_anew_and_finds_nothing_of_before() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "my secret").await;
    let id = only(&app, &ada, &place, "waiting").await;
    ok(&app, &ada, &place, &format!("{DESK}/erase_customer"), &[("conversation", &id), ("place", &place)]).await;
    assert_eq!(vi.call(&app, "widget/server_fns/read_own", &[]).await.status, StatusCode::UNAUTHORIZED);
    let again = Visitor::new(&app, &key).await;
    again.say(&app, "hello again").await;
    assert_eq!(again.reads(&app).await, ["hello again"]);
}

#[tokio::test]
async fn a_customer_is_told_when_their_words_were_read_and_not_by_whom_or_what_else() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let (vi, wim) = (Visitor::new(&app, &key).await, Visitor::new(&app, &key).await);
    vi.say(&app, "hello").await;
    let id = only(&app, &ada, &place, "waiting").await;
    wim.say(&app, "hi").await;
    let first = vi.own(&app).await["lines"][0]["id"].clone();
    assert_eq!(vi.own(&app).await["read"], Value::Null);
    let look = [("conversation", &*id), ("seen", "1")];
    for _ in 0..2 {
        ok(&app, &ada, &place, &format!("{DESK}/look_at"), &look).await;
    }
    // And not how many of them have.
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    ok(&app, &bob, &bobs, &format!("{DESK}/look_at"), &look).await;
    app.state.hub.sequence().await.unwrap();
    let told =
        "select count(*) from app.feed f join app.conversations t on t.id = f.topic where f.kind = 'conversation.read'";
    assert_eq!(app.count(told).await, 1, "once");
    assert_eq!(vi.own(&app).await["read"], first);
    assert_eq!(wim.own(&app).await["read"], Value::Null);
    // Nobody has seen what was not said yet.
    ok(&app, &ada, &place, &format!("{DESK}/look_at"), &[("conversation", &id), ("seen", "9007199254740991")]).await;
    // What comes after it was not read, and what was answered was.
    vi.say(&app, "are you there?").await;
    assert_eq!(vi.own(&app).await["read"], first);
    assert_eq!(answer(&app, &ada, &place, &id, "yes", None).await.status, StatusCode::OK);
    let own = vi.own(&app).await;
    assert_eq!(own["read"], own["lines"][1]["id"]);
    // The assistant answers what it was asked, whoever of the staff has looked.
    vi.say(&app, "thanks").await;
    app.db
        .superuser()
        .await
        .execute(
            "with t as (update app.conversations t set last_seq = t.last_seq + 1
               where exists (select from app.conversation_messages m where m.conversation_id = t.id and m.content ->> 'text' = 'thanks')
              returning t.id, t.workspace_id, t.last_seq)
             insert into app.conversation_messages (conversation_id, workspace_id, seq, role, content, author_name)
               select t.id, t.workspace_id, t.last_seq, 'bot', '{\"text\": \"You are welcome.\"}', 'Botty' from t",
        )
        .await
        .unwrap();
    let own = vi.own(&app).await;
    assert_eq!((&own["read"], own["lines"][3]["text"].as_str()), (&own["lines"][3]["id"], Some("thanks")));
    // That whoever has it types is told as well, once.
    for _ in 0..2 {
        ok(&app, &ada, &place, &format!("{DESK}/look_at"), &[("conversation", &id), ("typing", "true")]).await;
    }
    app.state.hub.sequence().await.unwrap();
    let told = "select count(*) from app.feed f join app.conversations t on t.id = f.topic where f.kind = 'conversation.typing'";
    assert_eq!(app.count(told).await, 1);
}

#[tokio::test]
async fn blocking_does_not_stand_in_the_way_of_what_the_customer_writes_or_of_whoever_blocks_as_well() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "hello").await;
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    agent(&app, &ada, &place, &bobs, "Bob", "5").await;
    let id = only(&app, &ada, &place, "waiting").await;
    // Whatever they have already waits for the customer, whom the others hold first as well.
    let mut behind = app.db.superuser().await;
    behind.execute("begin; select from app.visitors for no key update").await.unwrap();
    let (one, two, ()) =
        tokio::join!(block(&app, &ada, &place, &id, "true"), block(&app, &bob, &bobs, &id, "true"), async {
            app.until("both wait", async || (app.waiting().await == 2).then_some(())).await;
            let free = "select id from app.conversations for no key update nowait";
            behind.execute(free).await.expect("neither holds the talk");
            behind.execute("commit").await.unwrap();
        });
    assert_eq!((one, two), (StatusCode::OK, StatusCode::OK));
    let said = deeds(&read(&app, &ada, &place, &id).await);
    assert!(said == ["Ada blocked this customer"] || said == ["Bob blocked this customer"], "once: {said:?}");
}

#[tokio::test]
async fn the_queue_shows_what_the_customer_said_last_whoever_has_answered_since() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "where is my parcel?").await;
    let id = only(&app, &ada, &place, "waiting").await;
    assert_eq!(answer(&app, &ada, &place, &id, "On its way.", Some(1)).await.status, StatusCode::OK);
    let rows = queue(&app, &ada, &place, "mine").await;
    assert_eq!(said(&rows[0]), "where is my parcel?");
    // It is ticked as it was seen, the answer included.
    assert_eq!(rows[0]["seq"], 3);
}

#[tokio::test]
async fn taking_one_says_so_once_and_keeps_a_lease_that_is_long_enough() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    for text in ["one", "two", "three"] {
        Visitor::new(&app, &key).await.say(&app, text).await;
    }
    let until = async || -> String {
        let mut db = app.db.superuser().await;
        sqlx::query_scalar("select here_until::text from app.agents").fetch_one(&mut db).await.unwrap()
    };
    let take = async || next(&app, &ada, &place).await;
    take().await;
    let first = until().await;
    take().await;
    assert_eq!(until().await, first);
    let rows = queue(&app, &ada, &place, "mine").await;
    for row in &rows {
        let whole = read(&app, &ada, &place, row["id"].as_str().unwrap()).await;
        assert_eq!(deeds(&whole), ["Ada took this"]);
        assert_eq!(whole["seen"], 2);
    }
    assert_eq!(rows.len(), 2);
    app.db.superuser().await.execute("update app.agents set here_until = now() + interval '30 s'").await.unwrap();
    let short = until().await;
    take().await;
    assert!(until().await > short);
}

#[tokio::test]
async fn a_saved_reply_that_was_undone_can_be_said_after_all_and_a_second_agent_is_told_who_was_faster() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    agent(&app, &ada, &place, &bobs, "Bob", "3").await;
    ok(&app, &ada, &place, "targets/server_fns/set_targets", &[("zone", "UTC"), ("undo", "true")]).await;
    let keep = [("name", "Sent"), ("text", "On its way. {{agent}}"), ("labels", "parcel")];
    ok(&app, &ada, &place, "replies/server_fns/put_reply", &keep).await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "where is it?").await;
    let id = only(&app, &ada, &place, "waiting").await;
    let shown = async |who: &Person, place: &str| read(&app, who, place, &id).await["replies"][0].clone();
    let run = async |who: &Person, place: &str, shown: &Value| {
        let of = |name: &str| shown[name].as_str().unwrap().to_owned();
        let (reply, mark, client) = (of("id"), of("mark"), of("client"));
        let fields = [("conversation", &*id), ("reply", &reply), ("seen", "1"), ("mark", &mark), ("client", &client)];
        at(&app, who, place, "replies/server_fns/run_reply", &fields).await
    };
    let (hers, his) = (shown(&ada, &place).await, shown(&bob, &bobs).await);
    assert_eq!(run(&ada, &place, &hers).await.status, StatusCode::OK);
    // A second click, on the page that has the line of the first one by now, says it no second time.
    assert_eq!(run(&ada, &place, &shown(&ada, &place).await).await.status, StatusCode::OK);
    assert_eq!(read(&app, &ada, &place, &id).await["later"].as_array().unwrap().len(), 1);
    let undo = async || {
        let later = read(&app, &ada, &place, &id).await["later"].clone();
        let answer = [("answer", later[0]["id"].as_str().unwrap())];
        ok(&app, &ada, &place, "later/server_fns/take_back", &answer).await;
    };
    undo().await;
    let waits = async || read(&app, &ada, &place, &id).await["later"].as_array().unwrap().len();
    // A late copy of the first click says nothing, and a click on what is shown now does.
    assert_eq!(run(&ada, &place, &hers).await.status, StatusCode::OK);
    assert_eq!(waits().await, 0);
    assert_eq!(run(&ada, &place, &shown(&ada, &place).await).await.status, StatusCode::OK);
    assert_eq!(waits().await, 1);
    // As often as it is undone, though nothing else was said.
    undo().await;
    assert_eq!(run(&ada, &place, &shown(&ada, &place).await).await.status, StatusCode::OK);
    assert_eq!(waits().await, 1);
    let late = run(&bob, &bobs, &his).await;
    assert_eq!((late.status, late.body.contains("Somebody else has")), (StatusCode::CONFLICT, true), "{}", late.body);
    assert_eq!(waits().await, 1);
}

#[tokio::test]
async fn an_answer_that_was_undone_keeps_nobody_from_being_dealt() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    agent(&app, &ada, &place, &bobs, "Bob", "3").await;
    ok(&app, &ada, &place, "targets/server_fns/set_targets", &[("zone", "UTC"), ("deals", "true")]).await;
    Visitor::new(&app, &key).await.say(&app, "hello").await;
    let id = only(&app, &ada, &place, "waiting").await;
    let client = "00000000-0000-4000-8000-0000000000a2";
    let later = [("conversation", &*id), ("client", client), ("text", "later"), ("seen", "1"), ("wait", "3600")];
    ok(&app, &ada, &place, &format!("{DESK}/answer_conversation"), &later).await;
    ok(&app, &ada, &place, "later/server_fns/take_back", &[("answer", client)]).await;
    let back = [("conversation", &*id), ("status", "waiting"), ("seen", "9")];
    ok(&app, &ada, &place, &format!("{DESK}/set_conversation"), &back).await;
    ok(&app, &bob, &bobs, &format!("{DESK}/be_here"), &[]).await;
    moat::server::jobs::deal(&app.state).await.unwrap();
    assert_eq!(only(&app, &bob, &bobs, "mine").await, id);
}

#[tokio::test]
async fn resolving_and_going_on_gives_one_more_however_often_it_is_asked_and_none_beyond_the_room() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    for text in ["one", "two", "three"] {
        Visitor::new(&app, &key).await.say(&app, text).await;
    }
    let first = next(&app, &ada, &place).await;
    let go_on = async |id: &str| {
        let fields = [
            ("conversation", id),
            ("status", "resolved"),
            ("seen", &seen(&app, &ada, &place, id).await),
            ("next", &*place),
        ];
        at(&app, &ada, &place, &format!("{DESK}/set_conversation"), &fields).await.status
    };
    assert_eq!(go_on(&first).await, StatusCode::OK);
    let second = only(&app, &ada, &place, "mine").await;
    assert_eq!(go_on(&first).await, StatusCode::OK);
    assert_eq!(only(&app, &ada, &place, "mine").await, second);
    // One that nobody has is resolved by somebody who has no room for another.
    agent(&app, &ada, &place, &place, "Ada", "1").await;
    let third = only(&app, &ada, &place, "waiting").await;
    Visitor::new(&app, &key).await.say(&app, "four").await;
    assert_eq!(go_on(&third).await, StatusCode::OK);
    assert_eq!(only(&app, &ada, &place, "mine").await, second);
    assert_eq!(read(&app, &ada, &place, &third).await["status"], "resolved");
}

#[tokio::test]
async fn an_agent_who_takes_two_at_once_has_no_more_than_they_can() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    agent(&app, &ada, &place, &place, "Ada", "1").await;
    // With a lease that nothing has to renew: its row is held all the same.
    ok(&app, &ada, &place, &format!("{DESK}/be_here"), &[]).await;
    for text in ["one", "two"] {
        Visitor::new(&app, &key).await.say(&app, text).await;
    }
    let rows = queue(&app, &ada, &place, "waiting").await;
    let take = async |row: &Value| {
        let fields = [("conversation", row["id"].as_str().unwrap())];
        at(&app, &ada, &place, &format!("{DESK}/take_conversation"), &fields).await.status
    };
    // Nobody can tell what they have done: whoever has counted waits before the end.
    let mut behind = app.db.superuser().await;
    behind.execute("begin; lock table app.outbox in share mode").await.unwrap();
    let (one, two, ()) = tokio::join!(take(&rows[0]), take(&rows[1]), async {
        app.until("both wait", async || (app.waiting().await == 2).then_some(())).await;
        behind.execute("commit").await.unwrap();
    });
    // Refused, or on a busy machine waited too long to be heard.
    assert_eq!([one, two].iter().filter(|status| **status == StatusCode::OK).count(), 1, "{one} {two}");
    assert_eq!(queue(&app, &ada, &place, "mine").await.len(), 1);
}
