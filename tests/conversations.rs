//! The desk: customers' conversations, who sees which, who has one, and what is never sent.

use std::collections::BTreeSet;

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use sqlx::{Connection, Executor};
use uuid::Uuid;

use crate::{
    desk::{
        Desk, Feed, Visitor, agent, answer, behind, desk, next, note, only, queue, read, said, set, take, take_next,
    },
    harness::{App, Db, Person},
    workspaces::{at, join, make, ok},
};

const DESK: &str = "conversations/server_fns";

#[tokio::test]
async fn a_customer_asks_an_agent_takes_it_they_talk_and_it_is_resolved_and_opened_again() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let vi = Visitor::new(&app, &key).await;
    assert!(queue(&app, &ada, &place, "waiting").await.is_empty(), "opening the bubble is no question");
    vi.say(&app, "Where is my parcel?").await;
    let row = &queue(&app, &ada, &place, "waiting").await[0];
    assert_eq!((said(row), row["status"].as_str().unwrap()), ("Where is my parcel?".to_owned(), "waiting"));
    let id = only(&app, &ada, &place, "waiting").await;
    assert_eq!(take(&app, &ada, &place, &id).await.status, StatusCode::OK);
    assert!(queue(&app, &ada, &place, "waiting").await.is_empty());
    assert_eq!(only(&app, &ada, &place, "mine").await, id);
    note(&app, &ada, &place, &id, "she is a regular").await;
    assert_eq!(answer(&app, &ada, &place, &id, "On its way.", None).await.status, StatusCode::OK);
    assert_eq!(vi.reads(&app).await, ["Where is my parcel?", "On its way."]);
    let own = vi.own(&app).await;
    assert_eq!((&own["status"], &own["lines"][1]["author"]), (&"claimed".into(), &"Ada".into()));
    assert_eq!(set(&app, &ada, &place, &id, "resolved").await.status, StatusCode::OK);
    assert_eq!(only(&app, &ada, &place, "resolved").await, id);
    vi.say(&app, "It is not here.").await;
    assert_eq!(only(&app, &ada, &place, "waiting").await, id);
    // Everything that was said and done, in order and without a gap.
    let lines = read(&app, &ada, &place, &id).await["messages"].as_array().unwrap().clone();
    let seqs: Vec<_> = lines.iter().map(|line| line["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, (1..=lines.len() as i64).collect::<Vec<_>>());
    let texts: Vec<_> = lines.iter().map(|line| line["text"].as_str().unwrap()).collect();
    let whole =
        ["Where is my parcel?", "took this", "she is a regular", "On its way.", "resolved this", "It is not here."];
    assert_eq!(texts, whole);
}

#[tokio::test]
async fn zero_leak_a_member_lists_and_reads_the_conversations_of_their_own_workspace_and_nothing_of_another() {
    let app = App::new().await;
    let one = desk(&app, "ada@example.org", "One").await;
    let two = desk(&app, "bob@example.org", "Two").await;
    Visitor::new(&app, &one.key).await.say(&app, "C1").await;
    Visitor::new(&app, &two.key).await.say(&app, "C2").await;
    let c1 = only(&app, &one.ada, &one.place, "open").await;
    let c2 = only(&app, &two.ada, &two.place, "open").await;
    assert_ne!(c1, c2);
    // Without any filter, by the policies alone; and each sees their own, so that the zeros are real.
    for (who, mine, other) in [(&one, &c1, &c2), (&two, &c2, &c1)] {
        let mut opening = who.ada.opening();
        opening.place = Some(who.place.parse().unwrap());
        let mut lane = app.state.lanes.workspace(&opening).await.unwrap();
        let ids = async |lane: &mut moat::server::lanes::UserLane, sql: &'static str| -> Vec<Uuid> {
            sqlx::query_scalar(sql).fetch_all(lane.conn()).await.unwrap()
        };
        let (mine, other) = (mine.parse::<Uuid>().unwrap(), other.parse::<Uuid>().unwrap());
        assert_eq!(ids(&mut lane, "select id from app.conversations").await, [mine]);
        assert_eq!(ids(&mut lane, "select distinct conversation_id from app.conversation_messages").await, [mine]);
        let direct: i64 = sqlx::query_scalar(
            "select (select count(*) from app.conversations where id = $1) + (select count(*) from app.conversation_messages where conversation_id = $1)",
        )
        .bind(other)
        .fetch_one(lane.conn())
        .await
        .unwrap();
        assert_eq!(direct, 0);
    }
    ok(&app, &one.ada, &one.place, &format!("{DESK}/be_here"), &[]).await;
    // And by every door: the same as for what does not exist.
    let nobodys = Uuid::new_v4().to_string();
    for (function, fields) in [
        ("read_conversation", vec![]),
        ("take_conversation", vec![]),
        ("answer_conversation", vec![("text", "x"), ("client", &nobodys), ("seen", "9")]),
        ("answer_conversation", vec![("text", "x"), ("client", &nobodys), ("note", "true")]),
        ("set_conversation", vec![("status", "resolved")]),
        ("hand_conversation", vec![("member", &one.place)]),
        ("block_customer", vec![("blocked", "true")]),
    ] {
        let mut told = Vec::new();
        for id in [&c2, &nobodys] {
            let fields: Vec<_> = fields.iter().copied().chain([("conversation", id.as_str())]).collect();
            let answer = at(&app, &one.ada, &one.place, &format!("{DESK}/{function}"), &fields).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{function}: {}", answer.body);
            told.push(crate::workspaces::told(&answer));
        }
        assert_eq!(told[0], told[1], "{function}");
    }
}

#[tokio::test]
async fn of_many_who_take_one_conversation_one_has_it_and_the_others_are_told() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    Visitor::new(&app, &key).await.say(&app, "who wants it?").await;
    let id = only(&app, &ada, &place, "waiting").await;
    let mut crew = vec![(ada, place.clone())];
    for n in 0..7 {
        let who = app.sign_up(&format!("agent{n}@example.org")).await;
        let at = join(&app, &place, &who, "project_creator").await;
        agent(&app, &crew[0].0, &place, &at, "Agent", "5").await;
        crew.push((who, at));
    }
    // All of them look at it before any of them has it.
    let mut other = app.db.superuser().await;
    other.execute("begin; select from app.conversations for update").await.unwrap();
    let tries = crew.iter().map(|(who, at)| take(&app, who, at, &id));
    let (answers, ()) = tokio::join!(futures::future::join_all(tries), async {
        app.until("some of them wait", async || (app.waiting().await >= 4).then_some(())).await;
        other.execute("commit").await.unwrap();
    });
    let won = answers.iter().filter(|answer| answer.status == StatusCode::OK).count();
    assert_eq!(won, 1, "{:?}", answers.iter().map(|a| a.status).collect::<Vec<_>>());
    for answer in answers.iter().filter(|answer| answer.status != StatusCode::OK) {
        assert_eq!(answer.status, StatusCode::CONFLICT);
        assert!(answer.body.contains("Somebody else has this conversation"), "{}", answer.body);
    }
    // Having it, one takes it again without harm.
    let winner = answers.iter().position(|answer| answer.status == StatusCode::OK).unwrap();
    assert_eq!(take(&app, &crew[winner].0, &crew[winner].1, &id).await.status, StatusCode::OK);
    assert_eq!(app.count("select count(*) from app.conversation_messages where role = 'system'").await, 1);
}

#[tokio::test]
async fn a_storm_of_take_next_gives_each_conversation_to_one_agent_and_none_more_than_they_can_have() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    for n in 0..30 {
        Visitor::new(&app, &key).await.say(&app, &format!("question {n}")).await;
    }
    let mut crew = Vec::new();
    for n in 0..8 {
        let who = app.sign_up(&format!("agent{n}@example.org")).await;
        let at = join(&app, &place, &who, "project_creator").await;
        agent(&app, &ada, &place, &at, "Agent", "3").await;
        crew.push((who, at));
    }
    // Each asks five times at once, and has room for three.
    let tries = crew.iter().flat_map(|(who, here)| {
        let app = &app;
        (0..5).map(move |_| async move { take_next(app, who, here, &Uuid::new_v4().to_string()).await })
    });
    let answers = futures::future::join_all(tries).await;
    let taken: Vec<String> = answers
        .iter()
        .filter(|answer| answer.status == StatusCode::OK)
        .map(|answer| answer.json().as_str().unwrap().to_owned())
        .collect();
    assert_eq!(taken.len(), 24);
    assert_eq!(taken.iter().collect::<BTreeSet<_>>().len(), 24, "none twice");
    for answer in answers.iter().filter(|answer| answer.status != StatusCode::OK) {
        assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.body);
    }
    let most = app.count("select max(n) from (select count(*) as n from app.conversations where status = 'claimed' group by claimed_by) x").await;
    assert_eq!((most, app.count("select count(*) from app.conversations where status = 'waiting'").await), (3, 6));
}

#[tokio::test]
async fn the_next_one_is_the_most_urgent_and_of_those_who_has_waited_longest() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    for text in ["first", "second", "urgent"] {
        Visitor::new(&app, &key).await.say(&app, text).await;
    }
    behind(&app, "update app.conversations t set priority = 3 where exists (select from app.conversation_messages m where m.conversation_id = t.id and m.content ->> 'text' = 'urgent')").await;
    let listed: Vec<_> = queue(&app, &ada, &place, "waiting").await.iter().map(said).collect();
    assert_eq!(listed, ["urgent", "first", "second"]);
    for text in ["urgent", "first", "second"] {
        let taken = next(&app, &ada, &place).await;
        let lines = read(&app, &ada, &place, &taken).await;
        assert_eq!(lines["messages"][0]["text"], text);
    }
    let none = take_next(&app, &ada, &place, &Uuid::new_v4().to_string()).await;
    assert_eq!((none.status, none.body.contains("Nobody waits")), (StatusCode::CONFLICT, true));
}

#[tokio::test]
async fn an_answer_is_held_when_somebody_else_has_it_or_something_was_said_unseen_and_is_sent_once() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    agent(&app, &ada, &place, &bobs, "Bob", "5").await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "one").await;
    let id = only(&app, &ada, &place, "waiting").await;
    // Nobody had it: whoever answers has it.
    assert_eq!(answer(&app, &ada, &place, &id, "to one", None).await.status, StatusCode::OK);
    assert_eq!(only(&app, &ada, &place, "mine").await, id);
    // Bob read it before that.
    let late = answer(&app, &bob, &bobs, &id, "to one as well", Some(1)).await;
    assert_eq!((late.status, late.body.contains("Somebody else")), (StatusCode::CONFLICT, true));
    // The customer goes on, and Ada has not seen it.
    let seen = read(&app, &ada, &place, &id).await["seen"].as_i64().unwrap();
    vi.say(&app, "two").await;
    let blind = answer(&app, &ada, &place, &id, "blind", Some(seen)).await;
    assert_eq!((blind.status, blind.body.contains("had not seen")), (StatusCode::CONFLICT, true));
    let unseen = [("conversation", id.as_str()), ("status", "resolved"), ("seen", &seen.to_string())];
    let resolved = at(&app, &ada, &place, &format!("{DESK}/set_conversation"), &unseen).await;
    assert_eq!(resolved.status, StatusCode::CONFLICT, "a question that nobody has read is not resolved");
    // A colleague's note counts as well.
    let seen = read(&app, &ada, &place, &id).await["seen"].as_i64().unwrap();
    note(&app, &bob, &bobs, &id, "do not promise anything").await;
    assert_eq!(answer(&app, &ada, &place, &id, "I promise", Some(seen)).await.status, StatusCode::CONFLICT);
    // Sent ten times at once, under one id.
    let seen = read(&app, &ada, &place, &id).await["seen"].to_string();
    let client = Uuid::new_v4().to_string();
    let fields = [("conversation", id.as_str()), ("client", &client), ("text", "to two"), ("seen", &seen)];
    let path = format!("{DESK}/answer_conversation");
    let tries = (0..10).map(|_| at(&app, &ada, &place, &path, &fields));
    for answer in futures::future::join_all(tries).await {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
    let other = [("conversation", id.as_str()), ("client", &client), ("text", "another"), ("seen", "99")];
    assert_eq!(at(&app, &ada, &place, &path, &other).await.status, StatusCode::CONFLICT);
    // That is Ada's answer: the same words of somebody else's, or as another kind of line, are not it.
    assert_eq!(at(&app, &bob, &bobs, &path, &fields).await.status, StatusCode::CONFLICT);
    let noted = [&fields[..], &[("note", "true")]].concat();
    assert_eq!(at(&app, &ada, &place, &path, &noted).await.status, StatusCode::CONFLICT);
    let customers: String =
        sqlx::query_scalar("select client_id::text from app.conversation_messages where content ->> 'text' = 'two'")
            .fetch_one(&mut app.db.superuser().await)
            .await
            .unwrap();
    let parrot = [("conversation", id.as_str()), ("client", &customers), ("text", "two"), ("seen", &seen)];
    assert_eq!(at(&app, &ada, &place, &path, &parrot).await.status, StatusCode::CONFLICT);
    let parrot = [&parrot[..], &[("wait", "60")]].concat();
    assert_eq!(at(&app, &ada, &place, &path, &parrot).await.status, StatusCode::CONFLICT);
    // Nobody has seen what was not said yet: whoever says so has seen nothing.
    let ahead = read(&app, &ada, &place, &id).await["seen"].as_i64().unwrap() + 1;
    let blind = answer(&app, &ada, &place, &id, "blind", Some(ahead)).await;
    assert_eq!((blind.status, blind.body.contains("had not seen")), (StatusCode::CONFLICT, true));
    let unseen = [("conversation", id.as_str()), ("status", "resolved"), ("seen", &ahead.to_string())];
    let resolved = at(&app, &ada, &place, &format!("{DESK}/set_conversation"), &unseen).await;
    assert_eq!(resolved.status, StatusCode::CONFLICT);
    assert_eq!(vi.reads(&app).await, ["one", "to one", "two", "to two"]);
    // And what a customer says, likewise; two first words at once begin one conversation.
    let wim = Visitor::new(&app, &key).await;
    let (first, second) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    let mut other = app.db.superuser().await;
    other.execute("begin; select from app.visitors for update").await.unwrap();
    let tries = (0..12).map(|n| {
        wim.say_as(&app, if n % 2 == 0 { &first } else { &second }, if n % 2 == 0 { "hello" } else { "there" })
    });
    let (answers, ()) = tokio::join!(futures::future::join_all(tries), async {
        app.until("some of them wait", async || (app.waiting().await >= 2).then_some(())).await;
        other.execute("commit").await.unwrap();
    });
    for answer in answers {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
    assert_eq!(
        wim.reads(&app).await.into_iter().collect::<BTreeSet<_>>(),
        ["hello".to_owned(), "there".to_owned()].into()
    );
    assert_eq!(wim.reads(&app).await.len(), 2);
    assert_eq!(wim.say_as(&app, &first, "something else").await.status, StatusCode::CONFLICT);
    assert_eq!(app.count("select count(*) from app.conversations").await, 2);
}

#[tokio::test]
async fn members_read_and_note_agents_answer_and_nobody_becomes_one_by_themselves() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    Visitor::new(&app, &key).await.say(&app, "hello").await;
    let id = only(&app, &bob, &bobs, "waiting").await;
    note(&app, &bob, &bobs, &id, "I know her").await;
    for refused in [
        take(&app, &bob, &bobs, &id).await,
        answer(&app, &bob, &bobs, &id, "hi", None).await,
        set(&app, &bob, &bobs, &id, "resolved").await,
        take_next(&app, &bob, &bobs, &Uuid::new_v4().to_string()).await,
    ] {
        assert_eq!(
            (refused.status, refused.body.contains("Only agents")),
            (StatusCode::CONFLICT, true),
            "{}",
            refused.body
        );
    }
    for (function, fields) in [
        ("put_agent", vec![("member", bobs.as_str())]),
        ("remove_agent", vec![("member", place.as_str())]),
        ("set_desk", vec![("name", "Mine")]),
        ("put_widget_key", vec![("name", "mine")]),
    ] {
        let refused = at(&app, &bob, &bobs, &format!("desks/server_fns/{function}"), &fields).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{function}: {}", refused.body);
    }
    let desk = ok(&app, &ada, &place, "desks/server_fns/read_desk", &[]).await;
    assert_eq!((desk["name"].as_str(), desk["agents"].as_array().map(Vec::len)), (Some("Acme"), Some(1)));
    // A personal workspace has none.
    let own = crate::workspaces::places(&app, &bob).await;
    let own = own.iter().find(|place| place["personal"] == true).unwrap()["id"].as_str().unwrap().to_owned();
    let personal = at(&app, &bob, &own, "desks/server_fns/set_desk", &[("name", "Mine")]).await;
    assert_eq!(personal.status, StatusCode::CONFLICT, "{}", personal.body);
}

#[tokio::test]
async fn what_is_set_at_the_desk_stands_in_the_trail_and_who_asks_for_anothers_conversation_too() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    agent(&app, &ada, &place, &bobs, "Bob", "2").await;
    agent(&app, &ada, &place, &bobs, "Robert", "2").await;
    ok(&app, &ada, &place, "desks/server_fns/remove_agent", &[("member", &bobs)]).await;
    Visitor::new(&app, &key).await.say(&app, "hello").await;
    let id = only(&app, &ada, &place, "waiting").await;
    ok(&app, &ada, &place, &format!("{DESK}/block_customer"), &[("conversation", &id), ("blocked", "true")]).await;
    // Somebody of another workspace, and a member whose conversation it is.
    let cy = app.sign_up("cy@example.org").await;
    let zoo = make(&app, &cy, "Zoo").await;
    let asked = at(&app, &cy, &zoo, &format!("{DESK}/read_conversation"), &[("conversation", &id)]).await;
    assert_eq!(asked.status, StatusCode::NOT_FOUND);
    moat::server::jobs::note_misses(&app.state).await.unwrap();
    let events = ok(&app, &ada, &place, "audit/server_fns/list_events", &[("wanted[about]", "")]).await;
    let kinds: Vec<_> =
        events["events"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(
        kinds[..7],
        [
            "security.denied",
            "visitor.changed",
            "agent.removed",
            "agent.changed",
            "agent.added",
            "member.added",
            "agent.added"
        ],
        "{kinds:?}"
    );
    assert_eq!(kinds[7..9], ["widget.added", "desk.added"]);
    assert_eq!(events["events"][0]["new"]["what"], "conversation");
    assert_eq!(events["events"][3]["new"]["name"], "Robert");
    assert!(!events.to_string().contains("token_hash"));
}

#[tokio::test]
async fn a_claim_goes_back_when_its_agent_is_gone_removed_or_no_agent_any_more_and_one_who_is_back_keeps_theirs() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let bob = app.sign_up("bob@example.org").await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "hello").await;
    let id = only(&app, &ada, &place, "waiting").await;
    let epoch = "select epoch::bigint from app.conversations";
    for end in ["lapsed", "no agent", "removed"] {
        let bobs = join(&app, &place, &bob, "project_creator").await;
        agent(&app, &ada, &place, &bobs, "Bob", "5").await;
        assert_eq!(take(&app, &bob, &bobs, &id).await.status, StatusCode::OK, "{end}");
        // Nobody waits for an answer at that moment.
        assert_eq!(answer(&app, &bob, &bobs, &id, end, None).await.status, StatusCode::OK);
        let before = app.count(epoch).await;
        match end {
            "lapsed" => {
                moat::server::jobs::sweep_desks(&app.state).await.unwrap();
                assert_eq!(only(&app, &bob, &bobs, "mine").await, id, "the lease is young");
                behind(&app, "update app.agents set here_until = now() - interval '1 second' where name = 'Bob'").await;
                // Back in time: nothing is taken from them.
                ok(&app, &bob, &bobs, &format!("{DESK}/be_here"), &[]).await;
                moat::server::jobs::sweep_desks(&app.state).await.unwrap();
                assert_eq!(only(&app, &bob, &bobs, "mine").await, id);
                behind(&app, "update app.agents set here_until = now() - interval '1 second' where name = 'Bob'").await;
                moat::server::jobs::sweep_desks(&app.state).await.unwrap();
                ok(&app, &ada, &place, "workspaces/server_fns/remove_member", &[("member", &bobs)]).await;
            }
            "no agent" => {
                ok(&app, &ada, &place, "desks/server_fns/remove_agent", &[("member", &bobs)]).await;
                assert_eq!(read(&app, &bob, &bobs, &id).await["status"], "waiting", "and they still read it");
                ok(&app, &ada, &place, "workspaces/server_fns/remove_member", &[("member", &bobs)]).await;
            }
            _ => drop(ok(&app, &ada, &place, "workspaces/server_fns/remove_member", &[("member", &bobs)]).await),
        }
        assert_eq!(only(&app, &ada, &place, "waiting").await, id, "{end}");
        assert!(app.count(epoch).await > before, "{end}: a new turn");
        assert_eq!(
            at(&app, &bob, &bobs, &format!("{DESK}/list_conversations"), &[]).await.status,
            StatusCode::NOT_FOUND
        );
    }
    assert_eq!(vi.reads(&app).await, ["hello", "lapsed", "no agent", "removed"]);
}

#[tokio::test]
async fn an_answer_that_waits_while_its_writer_is_removed_or_the_workspace_deleted_is_not_sent() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    agent(&app, &ada, &place, &bobs, "Bob", "5").await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "hello").await;
    let id = only(&app, &ada, &place, "waiting").await;
    // Whoever removes holds the membership: the answer waits for that, and finds itself out.
    let mut other = app.db.superuser().await;
    other.execute("begin; delete from app.workspace_members m using app.workspaces w where w.id = m.workspace_id and w.name = 'Acme' and m.email = 'bob@example.org'").await.unwrap();
    let (sent, ()) = tokio::join!(answer(&app, &bob, &bobs, &id, "late", Some(9)), async {
        app.until("bob waits", async || (app.waiting().await > 0).then_some(())).await;
        other.execute("commit").await.unwrap();
    });
    assert_eq!(sent.status, StatusCode::NOT_FOUND, "{}", sent.body);
    let mut other = app.db.superuser().await;
    other.execute("begin; update app.workspaces set deleted_at = now() where name = 'Acme'").await.unwrap();
    let (sent, ()) = tokio::join!(answer(&app, &ada, &place, &id, "late", Some(9)), async {
        app.until("ada waits", async || (app.waiting().await > 0).then_some(())).await;
        other.execute("commit").await.unwrap();
    });
    assert_eq!(sent.status, StatusCode::NOT_FOUND, "{}", sent.body);
    assert_eq!(app.count("select count(*) from app.conversation_messages where role = 'agent'").await, 0);
}

#[tokio::test]
async fn nobody_delays_their_own_removal_or_the_end_of_the_workspace_by_going_on() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    let mut ids = Vec::new();
    for text in ["one", "two"] {
        Visitor::new(&app, &key).await.say(&app, text).await;
        ids = queue(&app, &ada, &place, "waiting")
            .await
            .iter()
            .map(|row| row["id"].as_str().unwrap().to_owned())
            .collect();
    }
    let keep = async |who: &Person, place: &str, id: &str| {
        let fields =
            [("conversation", id), ("client", &*Uuid::new_v4().to_string()), ("text", "a note"), ("note", "true")];
        at(&app, who, place, &format!("{DESK}/answer_conversation"), &fields).await.status
    };
    let delete = [("name", "Acme")];
    let remove = [("member", &*bobs)];
    for (ends, fields, who, from) in [
        ("workspaces/server_fns/remove_member", &remove, &bob, &bobs),
        ("workspaces/server_fns/delete_workspace", &delete, &ada, &place),
    ] {
        // One of theirs is under way; what comes after the removal was asked for comes after it.
        let mut behind = app.db.superuser().await;
        let hold = format!("begin; select from app.conversations where id = '{}' for update", ids[0]);
        behind.execute(sqlx::AssertSqlSafe(hold)).await.unwrap();
        let waits =
            async |many: i64| app.until("they wait", async || (app.waiting().await == many).then_some(())).await;
        let (before, ended, after, ()) = tokio::join!(
            keep(who, from, &ids[0]),
            async {
                waits(1).await;
                at(&app, &ada, &place, ends, fields).await.status
            },
            async {
                waits(2).await;
                keep(who, from, &ids[1]).await
            },
            async {
                waits(3).await;
                behind.execute("commit").await.unwrap();
            }
        );
        assert_eq!((before, after), (StatusCode::OK, StatusCode::NOT_FOUND), "{ends}");
        assert!(ended.as_u16() < 400, "{ends}: {ended}");
    }
}

#[tokio::test]
async fn a_conversation_is_handed_to_somebody_who_is_there_and_over_an_agents_head_by_managers_alone() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let (bob, cy) = (app.sign_up("bob@example.org").await, app.sign_up("cy@example.org").await);
    let (bobs, cys) =
        (join(&app, &place, &bob, "project_creator").await, join(&app, &place, &cy, "project_creator").await);
    agent(&app, &ada, &place, &bobs, "Bob", "1").await;
    agent(&app, &ada, &place, &cys, "Cy", "1").await;
    Visitor::new(&app, &key).await.say(&app, "hello").await;
    let id = only(&app, &ada, &place, "waiting").await;
    let hand = async |by: &Person, from: &str, to: &str| {
        at(&app, by, from, &format!("{DESK}/hand_conversation"), &[("conversation", &id), ("member", to)]).await
    };
    assert_eq!(take(&app, &bob, &bobs, &id).await.status, StatusCode::OK);
    behind(&app, "update app.agents set here_until = now() - interval '1 second' where name = 'Cy'").await;
    let away = hand(&bob, &bobs, &cys).await;
    assert_eq!((away.status, away.body.contains("not at the desk")), (StatusCode::CONFLICT, true), "{}", away.body);
    ok(&app, &cy, &cys, &format!("{DESK}/be_here"), &[]).await;
    // Nobody who may not sign in is there.
    behind(&app, "update app.users set status = 'inactive' where email = 'cy@example.org'").await;
    assert_eq!(hand(&bob, &bobs, &cys).await.status, StatusCode::CONFLICT);
    behind(&app, "update app.users set status = 'active' where email = 'cy@example.org'").await;
    ok(&app, &cy, &cys, &format!("{DESK}/be_here"), &[]).await;
    assert_eq!(hand(&cy, &cys, &cys).await.status, StatusCode::FORBIDDEN, "it is Bob's");
    assert_eq!(hand(&bob, &bobs, &cys).await.status, StatusCode::OK);
    assert_eq!(only(&app, &cy, &cys, "mine").await, id);
    // Cy has as many as they can have.
    Visitor::new(&app, &key).await.say(&app, "me too").await;
    let second = only(&app, &ada, &place, "waiting").await;
    let fields = [("conversation", second.as_str()), ("member", &cys)];
    let full = at(&app, &ada, &place, &format!("{DESK}/hand_conversation"), &fields).await;
    assert_eq!(full.status, StatusCode::CONFLICT, "{}", full.body);
    assert_eq!(hand(&ada, &place, &bobs).await.status, StatusCode::OK, "an owner may");
    assert_eq!(only(&app, &bob, &bobs, "mine").await, id);
    // And takes it over herself, with a note that is kept once.
    let over = [("conversation", &*id), ("member", &place), ("note", "I know her"), ("seen", "5")];
    for _ in 0..2 {
        ok(&app, &ada, &place, &format!("{DESK}/hand_conversation"), &over).await;
    }
    let whole = read(&app, &ada, &place, &id).await;
    let last: Vec<_> =
        whole["messages"].as_array().unwrap().iter().rev().take(3).map(|m| m["text"].as_str().unwrap()).collect();
    assert_eq!(
        (whole["mine"].as_bool(), last),
        (Some(true), vec!["took this over", "I know her", "handed this to Bob"])
    );
    assert_eq!(hand(&bob, &bobs, &bobs).await.status, StatusCode::FORBIDDEN, "it is hers");
    assert_eq!(hand(&ada, &place, &bobs).await.status, StatusCode::OK);
    let nobody = hand(&ada, &place, &Uuid::new_v4().to_string()).await;
    assert_eq!(nobody.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn what_is_put_off_comes_back_at_its_time_or_when_the_customer_says_something() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "hello").await;
    let id = only(&app, &ada, &place, "waiting").await;
    let unseen = [("conversation", id.as_str()), ("status", "snoozed"), ("hours", "24"), ("seen", "0")];
    let put_off = at(&app, &ada, &place, &format!("{DESK}/set_conversation"), &unseen).await;
    assert_eq!(put_off.status, StatusCode::CONFLICT, "nobody has read what she said");
    let fields = [("conversation", id.as_str()), ("status", "snoozed"), ("hours", "24"), ("seen", "1")];
    ok(&app, &ada, &place, &format!("{DESK}/set_conversation"), &fields).await;
    moat::server::jobs::sweep_desks(&app.state).await.unwrap();
    assert_eq!(only(&app, &ada, &place, "snoozed").await, id);
    behind(&app, "update app.conversations set snoozed_until = now() - interval '1 second'").await;
    moat::server::jobs::sweep_desks(&app.state).await.unwrap();
    assert_eq!(only(&app, &ada, &place, "waiting").await, id);
    ok(&app, &ada, &place, &format!("{DESK}/set_conversation"), &fields).await;
    vi.say(&app, "well?").await;
    assert_eq!(only(&app, &ada, &place, "waiting").await, id);
    assert_eq!(app.count("select count(*) from app.conversations where snoozed_until is not null").await, 0);
}

#[tokio::test]
async fn the_desk_hears_of_every_conversation_and_whoever_is_removed_of_nothing_more() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    let mut hers = Feed::open(&app, &ada, &place).await;
    let mut his = Feed::open(&app, &bob, &bobs).await;
    // A stranger's place at somebody else's desk is no place.
    let cy = app.sign_up("cy@example.org").await;
    assert_eq!(Feed::open(&app, &cy, &place).await.next().await["event"]["kind"], "desk.closed");
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "hello").await;
    for feed in [&mut hers, &mut his] {
        let changed = feed.until("conversation.changed").await;
        assert_eq!(feed.until("conversation.message").await["event"]["role"], "customer");
        assert!(changed["event"]["conversation"].is_string());
    }
    assert!(!hers.heard.contains("hello"), "which, and not what");
    ok(&app, &ada, &place, "workspaces/server_fns/remove_member", &[("member", &bobs)]).await;
    vi.say(&app, "are you there?").await;
    assert_eq!(his.next().await["event"]["kind"], "desk.closed");
    let id = only(&app, &ada, &place, "waiting").await;
    answer(&app, &ada, &place, &id, "yes", None).await;
    hers.until("conversation.changed").await;
    // His own events go on, and are the next thing that he hears.
    app.call(Some(&bob), "threads/server_fns/start_thread", &[("client", &Uuid::new_v4().to_string()), ("text", "hi")])
        .await;
    let next = his.next().await;
    assert!(next.get("desk").is_none() && next["event"]["kind"].as_str().unwrap().starts_with("thread"), "{next}");
    let workspace: Uuid = sqlx::query_scalar("select id from app.workspaces where name = 'Acme'")
        .fetch_one(&mut app.db.superuser().await)
        .await
        .unwrap();
    for feed in [&hers, &his] {
        assert!(!feed.heard.contains(&workspace.to_string()) && !feed.heard.contains(&workspace.simple().to_string()));
    }
}

#[tokio::test]
async fn what_ends_somebodys_hearing_comes_before_what_was_committed_after_it() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let bob = app.sign_up("bob@example.org").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    let mut his = Feed::open(&app, &bob, &bobs).await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "hello").await;
    his.until("conversation.message").await;
    // Written before the removal and committed after it, while nothing is moved on.
    let mut moving = app.db.superuser().await;
    moving.execute("begin; select from app.feed_head for update").await.unwrap();
    let mut early = app.db.superuser().await;
    early.execute("begin; update app.conversations set subject = 'secret'").await.unwrap();
    behind(&app, "delete from app.workspace_members m using app.workspaces w where w.id = m.workspace_id and w.name = 'Acme' and m.email = 'bob@example.org'").await;
    early.execute("commit").await.unwrap();
    moving.execute("commit").await.unwrap();
    assert_eq!(his.next().await["event"]["kind"], "desk.closed");
    drop((ada, place));
}

#[tokio::test]
async fn the_conversations_keys_do_as_they_should_when_what_they_point_to_goes() {
    let db = Db::new().await;
    let mut conn = db.superuser().await;
    let actions: Vec<(String, String, String)> = sqlx::query_as(
        "select c.conrelid::regclass::text, (select string_agg(a.attname, ',' order by k.n) from unnest(c.conkey) with ordinality k(attnum, n) join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.attnum),
                c.confdeltype::text || coalesce((select '(' || string_agg(a.attname, ',') || ')' from unnest(c.confdelsetcols) d(attnum) join pg_attribute a on a.attrelid = c.conrelid and a.attnum = d.attnum), '')
           from pg_constraint c where c.contype = 'f' and c.conrelid in ('app.conversations'::regclass, 'app.conversation_messages'::regclass) order by 1, 2",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    let actions: Vec<_> = actions.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
    assert_eq!(
        actions,
        [
            ("app.conversation_messages", "author_id", "n"),
            ("app.conversation_messages", "conversation_id,workspace_id", "c"),
            ("app.conversations", "asked_by,workspace_id", "n(asked_by)"),
            ("app.conversations", "bot_user_id", "n"),
            ("app.conversations", "claimed_by,workspace_id", "n(claimed_by)"),
            ("app.conversations", "merged_into,workspace_id", "n(merged_into)"),
            ("app.conversations", "visitor_id,workspace_id", "n(visitor_id)"),
            ("app.conversations", "workspace_id", "a"),
        ]
    );
}

#[tokio::test]
async fn no_policy_of_conversations_reads_a_members_role_and_none_of_threads_a_membership() {
    let db = Db::new().await;
    let mut conn = db.superuser().await;
    let read: Vec<(String, String, String)> = sqlx::query_as(
        "select tablename::text, policyname::text, coalesce(qual, '') || ' ' || coalesce(with_check, '') from pg_policies
          where tablename in ('conversations', 'conversation_messages', 'threads', 'messages')",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    assert!(read.len() >= 20);
    for (table, policy, says) in read {
        if table.starts_with("conversation") {
            assert!(!says.contains("managed_org") && !says.contains("workspace_members"), "{table}.{policy}: {says}");
            // A message's own role is no member's.
            let own = table == "conversation_messages" && (policy == "insert_member" || policy.ends_with("_visitor"));
            assert!(own || !says.contains("role"), "{table}.{policy}: {says}");
        } else {
            assert!(
                !says.contains("member") && !says.contains("workspace") && !says.contains("conversation"),
                "{table}.{policy}: {says}"
            );
        }
    }
    let granted: i64 = sqlx::query_scalar(
        "select count(*) from (values ('anon'), ('authenticated'), ('visitor'), ('service')) r(role), (values ('app.conversations'), ('app.conversation_messages')) t(name)
          where has_table_privilege(r.role, t.name, 'DELETE')",
    )
    .fetch_one(&mut conn)
    .await
    .unwrap();
    assert_eq!(granted, 0, "nobody erases a customer's talk by a click");
    let indexed: Vec<String> = sqlx::query_scalar(
        "select indexdef from pg_indexes where schemaname = 'app' and tablename in ('conversations', 'conversation_messages')",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    for begins in ["(workspace_id, status", "(conversation_id, created_at)", "(bot_user_id)", "(claimed_by"] {
        assert!(indexed.iter().any(|index| index.contains(begins)), "{begins}");
    }
    conn.close().await.unwrap();
}

#[tokio::test]
async fn the_pages_of_the_desk_work_without_a_script_and_give_back_what_was_not_sent() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "<b>hello</b>").await;
    let page = app.page(Some(&ada), &format!("/w/{place}/desk")).await;
    assert!(page.status == 200 && page.body.contains("&lt;b&gt;hello"), "{}", page.body);
    let client = page.body.split("name=\"client\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let next = [("place", &*place), ("client", &*client)];
    let taken = app.form(Some(&ada), &format!("/w/{place}/desk?do=take-next"), &next).await;
    let there = taken.headers[header::LOCATION].to_str().unwrap().to_owned();
    let id = only(&app, &ada, &place, "mine").await;
    assert_eq!(there, format!("/w/{place}/desk/{id}"));
    let page = app.page(Some(&ada), &there).await;
    assert!(page.body.contains("You have this conversation."), "{}", page.body);
    vi.say(&app, "and?").await;
    let client = Uuid::new_v4().to_string();
    let fields = [("conversation", id.as_str()), ("client", &client), ("text", "half a thought"), ("seen", "1")];
    let held = app.form(Some(&ada), &format!("{there}?do=answer-conversation"), &fields).await;
    assert_eq!(held.status, StatusCode::CONFLICT);
    for shown in ["had not seen", "half a thought", "and?"] {
        assert!(held.body.contains(shown), "{shown}: {}", held.body);
    }
    let seen = read(&app, &ada, &place, &id).await["seen"].to_string();
    let fields = [("conversation", id.as_str()), ("client", &client), ("text", "a whole thought"), ("seen", &seen)];
    let sent = app.form(Some(&ada), &format!("{there}?do=answer-conversation"), &fields).await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER);
    assert_eq!(vi.reads(&app).await.last().map(String::as_str), Some("a whole thought"));
    // The customer's page, for nobody in particular and for her.
    let shell = app.page(None, &format!("/widget/{key}")).await;
    assert!(shell.status == 200 && shell.body.contains("Acme") && !shell.body.contains("whole thought"));
    let mut request = Request::get(format!("/widget/{key}")).body(Body::empty()).unwrap();
    request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {}", vi.0).parse().unwrap());
    let hers = app.send(request).await;
    assert!(hers.body.contains("a whole thought") && hers.body.contains("Ada is answering"), "{}", hers.body);
    assert_eq!(app.page(None, "/widget/nothing").await.status, StatusCode::NOT_FOUND);
}
