//! "Who can see this?": the answer is what the live policies say, to each person, and to those who may ask.

use axum::http::StatusCode;
use moat::{error::AppError, types::PlaceId};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor};

use crate::{
    harness::{Answer, App, Person},
    workspaces::{at, join, make, ok, project, put, told},
};

const ASK: &str = "readers/server_fns/who_can_see";
const THREAD: &str = "threads/server_fns/start_thread";

async fn behind(app: &App, sql: &str) {
    app.db.superuser().await.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
}

/// A line for each reader: who it is, whether they see it, and why.
fn lines(page: &Value) -> Vec<String> {
    let line = |reader: &Value| {
        let why: Vec<_> = reader["why"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
        // The day on which the test runs is no part of what it asserts.
        let why: Vec<_> = why.iter().map(|w| w.split(" since ").next().unwrap()).collect();
        let who = reader["email"].as_str().unwrap().split('@').next().unwrap();
        format!("{who} {}: {}", if reader["sees"] == true { "sees" } else { "does not" }, why.join(", "))
    };
    page["readers"].as_array().unwrap().iter().map(line).collect()
}

async fn ask(app: &App, person: &Person, place: &str, subject: &str, id: &str) -> Vec<String> {
    lines(&ok(app, person, place, ASK, &[("subject", subject), ("id", id)]).await)
}

async fn thread(app: &App, person: &Person) -> String {
    let answer =
        app.call(Some(person), THREAD, &[("client", "0d000000-0000-4000-8000-000000000001"), ("text", "Hello")]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    sqlx::query_scalar::<_, uuid::Uuid>("select id from app.threads where user_id = $1")
        .bind(person.id)
        .fetch_one(&mut app.db.superuser().await)
        .await
        .unwrap()
        .to_string()
}

/// Of a thread, which is in no workspace.
async fn ask_thread(app: &App, person: &Person, id: &str) -> Answer {
    app.call(Some(person), ASK, &[("subject", "thread"), ("id", id)]).await
}

struct World {
    app: App,
    /// Owner, admin, manager of the project, its viewer, a member who is not in it, a guest of it, a guest of another one.
    people: [Person; 7],
    place: String,
    places: Vec<String>,
    roof: String,
}

async fn world() -> World {
    let app = App::new().await;
    let mut people = Vec::new();
    for name in ["ada", "ben", "cleo", "dan", "eve", "fay", "gus"] {
        people.push(app.sign_up(&format!("{name}@example.org")).await);
    }
    let people: [Person; 7] = people.try_into().unwrap_or_else(|_| unreachable!());
    let place = make(&app, &people[0], "Acme").await;
    let mut places = vec![place.clone()];
    for (person, role) in [(1, "admin"), (2, "project_creator"), (3, "project_creator"), (4, "project_creator")] {
        places.push(join(&app, &place, &people[person], role).await);
    }
    let roof = project(&app, &people[0], &place, "Roof").await;
    let cellar = project(&app, &people[0], &place, "Cellar").await;
    put(&app, &roof, &people[2], "manager").await;
    put(&app, &roof, &people[3], "viewer").await;
    places.push(put(&app, &roof, &people[5], "customer_signer").await);
    places.push(put(&app, &cellar, &people[6], "viewer").await);
    World { app, people, place, places, roof }
}

const OF_ROOF: [&str; 5] = [
    "ada sees: Owner of the workspace, Owner of the project",
    "ben sees: Admin of the workspace",
    "cleo sees: Manager of the project",
    "dan sees: Viewer of the project",
    "fay sees: Customer who signs of the project",
];

#[tokio::test]
async fn of_a_project_it_names_exactly_those_who_can_see_it_and_why_to_every_member_who_can() {
    let World { app, people, place, places, roof } = world().await;
    for asker in [0, 1, 2, 3] {
        let page = ok(&app, &people[asker], &places[asker], ASK, &[("subject", "project"), ("id", &roof)]).await;
        assert_eq!(lines(&page), OF_ROOF, "asked by {asker}");
        // Whoever is no owner or admin may not know who is a guest of other projects, and hears of no number of these.
        let known = if asker < 2 { (7, true) } else { (6, false) };
        assert_eq!((&page["people"], &page["all"], &page["next"]), (&known.0.into(), &known.1.into(), &Value::Null));
    }
    // It is the state of this moment.
    behind(&app, "update app.users set status = 'banned' where email = 'dan@example.org'").await;
    behind(&app, "delete from app.project_members where email = 'cleo@example.org'").await;
    let now = ask(&app, &people[0], &place, "project", &roof).await;
    assert_eq!(now[2], "dan does not: Viewer of the project, The account: banned.");
    assert_eq!((now.len(), now[3].as_str()), (4, "fay sees: Customer who signs of the project"));
    behind(&app, "delete from app.workspace_members where role = 'admin'").await;
    assert!(!ask(&app, &people[0], &place, "project", &roof).await.iter().any(|line| line.starts_with("ben")));
}

#[tokio::test]
async fn whoever_does_not_see_a_project_and_whoever_is_a_guest_learns_nothing_by_asking() {
    let World { app, people, places, roof, .. } = world().await;
    let nothing = "0e000000-0000-4000-8000-00000000000e";
    for asker in [4, 5, 6] {
        let ask =
            async |id: &str| at(&app, &people[asker], &places[asker], ASK, &[("subject", "project"), ("id", id)]).await;
        let (there, not) = (ask(&roof).await, ask(nothing).await);
        assert_eq!(there.status, StatusCode::NOT_FOUND, "{}", there.body);
        assert_eq!(told(&there), told(&not));
    }
    let stranger = app.sign_up("zoe@example.org").await;
    let theirs = make(&app, &stranger, "Zoo").await;
    let by = |place: &str| (place.to_owned(), [("subject", "project"), ("id", roof.as_str())]);
    for (place, fields) in [by(&theirs), by(&places[0]), by(nothing)] {
        let answer = at(&app, &stranger, &place, ASK, &fields).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.body);
    }
    let nowhere = app.call(Some(&people[0]), ASK, &[("subject", "project"), ("id", &roof)]).await;
    assert_eq!(nowhere.status, StatusCode::FORBIDDEN);
    assert_eq!(app.call(None, ASK, &[("subject", "project"), ("id", &roof)]).await.status, StatusCode::UNAUTHORIZED);
    for id in ["", "x", "1", "0", "99999999999999999999", "' or true --"] {
        let answer = at(&app, &people[0], &places[0], ASK, &[("subject", "project"), ("id", id)]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{id}: {}", answer.body);
    }
}

#[tokio::test]
async fn of_a_chat_only_its_owner_may_ask_and_hears_that_nobody_else_can_see_it() {
    let World { app, people, .. } = world().await;
    let id = thread(&app, &people[0]).await;
    let page = ask_thread(&app, &people[0], &id).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    assert_eq!(lines(&page.json()), ["ada sees: It is your chat."]);
    assert_eq!(page.json()["people"], 5, "{}", page.body);
    for other in [1, 5] {
        let there = ask_thread(&app, &people[other], &id).await;
        let not = ask_thread(&app, &people[other], "0e000000-0000-4000-8000-00000000000e").await;
        assert_eq!(there.status, StatusCode::NOT_FOUND);
        assert_eq!(told(&there), told(&not));
    }
    // Whoever shares nothing with anybody asks for themselves alone.
    let zoe = app.sign_up("zoe@example.org").await;
    let hers = thread(&app, &zoe).await;
    let page = ask_thread(&app, &zoe, &hers).await.json();
    assert_eq!((lines(&page), &page["people"]), (vec!["zoe sees: It is your chat.".to_owned()], &1.into()));
    // A guest asks for the people of their project.
    let fays = thread(&app, &people[5]).await;
    let page = ask_thread(&app, &people[5], &fays).await.json();
    assert_eq!((lines(&page), &page["people"]), (vec!["fay sees: It is your chat.".to_owned()], &4.into()));
}

#[tokio::test]
async fn of_an_event_it_names_whoever_reads_the_trail_that_it_is_in() {
    let World { app, people, place, places, roof } = world().await;
    let number = async |kind: &str| -> String {
        sqlx::query_scalar::<_, i64>(
            "select e.seq from app.audit_events e join app.workspaces w on w.id = e.workspace_id
              where w.name = 'Acme' and e.kind = $1 and (e.project_id = $2 or e.project_id is null) order by e.seq limit 1",
        )
        .bind(kind)
        .bind(roof.parse::<uuid::Uuid>().unwrap())
        .fetch_one(&mut app.db.superuser().await)
        .await
        .unwrap()
        .to_string()
    };
    let (of_workspace, of_project) = (number("member.added").await, number("project.added").await);
    assert_eq!(
        ask(&app, &people[1], &places[1], "event", &of_workspace).await,
        ["ada sees: Owner of the workspace", "ben sees: Admin of the workspace"]
    );
    let three = [
        "ada sees: Owner of the workspace, Owner of the project",
        "ben sees: Admin of the workspace",
        "cleo sees: Manager of the project",
    ];
    assert_eq!(ask(&app, &people[0], &place, "event", &of_project).await, three);
    assert_eq!(ask(&app, &people[2], &places[2], "event", &of_project).await, three);
    for (asker, id) in [(2, &of_workspace), (3, &of_project), (4, &of_project), (5, &of_project)] {
        let answer = at(&app, &people[asker], &places[asker], ASK, &[("subject", "event"), ("id", id)]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{asker}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_policy_that_is_wrong_shows_itself_in_the_answer() {
    let World { app, people, place, roof, .. } = world().await;
    let id = thread(&app, &people[0]).await;
    let of_thread = async || lines(&ask_thread(&app, &people[0], &id).await.json());
    let of_roof = async || ask(&app, &people[0], &place, "project", &roof).await;
    let alone = ["ada sees: It is your chat."];
    assert_eq!(of_thread().await, alone);
    assert_eq!(of_roof().await, OF_ROOF);

    behind(&app, "alter policy select_member on app.projects using (workspace_id = (select app.member_org()))").await;
    let wide = of_roof().await;
    assert_eq!(wide[0], "eve sees: ", "whoever should not see it comes first");
    assert_eq!(wide[1..], OF_ROOF);
    behind(&app, "alter policy select_member on app.projects using (false)").await;
    behind(&app, "alter policy select_member on app.project_members using (true)").await;
    // Nobody sees the project, so nobody may ask; its people are seen by everybody.
    let answer = at(&app, &people[0], &place, ASK, &[("subject", "project"), ("id", &roof)]).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    behind(&app, "alter policy select_member on app.projects using (id = any((select app.my_projects())::uuid[]))")
        .await;
    assert_eq!(of_roof().await[..2], ["eve sees: ", "gus sees: "]);

    // A membership branch, and words without the chat that they stand in.
    behind(
        &app,
        "alter policy select_own on app.threads using (user_id = (select auth.uid()) or (select app.member_org()) is not null)",
    )
    .await;
    let wide = of_thread().await;
    assert_eq!((wide.len(), wide[0].as_str(), wide[4].as_str()), (5, "ben sees: ", alone[0]));
    behind(&app, "alter policy select_own on app.threads using (user_id = (select auth.uid()))").await;
    assert_eq!(of_thread().await, alone);
    behind(&app, "alter policy select_own on app.messages using (true)").await;
    assert_eq!(of_thread().await.len(), 7);

    behind(&app, "alter policy select_manager on app.audit_people using (true)").await;
    assert_eq!(ask(&app, &people[0], &place, "event", "2").await.len(), 7);
}

#[tokio::test]
async fn looking_through_somebody_says_yes_or_no_and_writes_nothing() {
    let World { app, people, places, roof, .. } = world().await;
    let asker = people[0].opening();
    let place = |n: usize| places[n].parse::<PlaceId>().unwrap();
    let sees = "select exists (select from app.projects p where p.id = $1::uuid)";
    let look = async |who: usize, place: PlaceId, question| {
        app.state.lanes.look(&asker, people[who].id, place, question, &roof, &[]).await
    };
    assert_eq!(look(3, place(3), sees).await, Ok(true));
    assert_eq!(look(4, place(4), sees).await, Ok(false));
    // Somebody else's place, and one of a workspace that whoever asks is not in.
    assert_eq!(look(4, place(3), sees).await, Ok(false));
    let zoe = app.sign_up("zoe@example.org").await;
    let zoo = make(&app, &zoe, "Zoo").await.parse().unwrap();
    let own = "select (select auth.uid()) is not null and $1 <> ''";
    assert_eq!(app.state.lanes.look(&asker, zoe.id, zoo, own, "x", &[]).await, Err(AppError::NotFound));
    assert_eq!(app.state.lanes.look(&zoe.opening(), zoe.id, zoo, own, "x", &[]).await, Ok(true));
    // What would write is refused, also after asking to be let write.
    let writes = "with w as (update app.users set display_name = $1 returning 1) select exists (select from w)";
    assert!(matches!(look(3, place(3), writes).await, Err(AppError::Internal { .. })));
    let asks = "select set_config('transaction_read_only', 'off', true) = 'off' and $1 <> ''";
    assert!(matches!(look(3, place(3), asks).await, Err(AppError::Internal { .. })));
    assert_eq!(app.count("select count(*) from app.users where display_name <> ''").await, 0);
    // Nothing of it is left on the connection: whoever borrows it next can write.
    for _ in 0..8 {
        let named = app.call(Some(&people[1]), "folders/server_fns/list_folders", &[]).await;
        assert_eq!(named.status, StatusCode::OK, "{}", named.body);
        project(&app, &people[0], &places[0], "Another").await;
    }
    behind(&app, "update app.sessions set revoked_at = now() where user_id = (select id from app.users where email = 'ada@example.org')").await;
    assert_eq!(look(3, place(3), sees).await, Err(AppError::Unauthenticated));
}

#[tokio::test]
async fn a_hundred_and_twenty_people_are_asked_for_once_each_and_those_with_a_reason_first() {
    let World { app, people, place, roof, .. } = world().await;
    behind(
        &app,
        "insert into app.users (id, email) select md5('m' || n)::uuid, 'm' || lpad(n::text, 3, '0') || '@example.org' from generate_series(1, 113) n;
         insert into app.workspace_members (workspace_id, user_id, role)
           select w.id, md5('m' || n)::uuid, 'project_creator' from app.workspaces w, generate_series(1, 113) n where w.name = 'Acme';
         insert into app.project_members (project_id, workspace_id, user_id, role)
           select p.id, p.workspace_id, md5('m' || n)::uuid, 'viewer' from app.projects p, generate_series(50, 113) n where p.name = 'Roof'",
    )
    .await;
    let (mut after, mut pages) = (None::<String>, Vec::new());
    loop {
        let mut fields = vec![("subject", "project"), ("id", roof.as_str())];
        fields.extend(after.as_deref().map(|after| ("after", after)));
        let page = ok(&app, &people[0], &place, ASK, &fields).await;
        assert_eq!(page["people"].as_i64(), after.is_none().then_some(120));
        pages.push(lines(&page));
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [50, 19, 0]);
    let mut all = pages.concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 69, "nobody twice");
    // Everybody was asked for, on whichever page: where a policy shows it to all of them, all of them are named once.
    behind(&app, "alter policy select_member on app.projects using (workspace_id = (select app.member_org()))").await;
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let mut fields = vec![("subject", "project"), ("id", roof.as_str())];
        fields.extend((!after.is_empty()).then_some(("after", after.as_str())));
        let page = ok(&app, &people[0], &place, ASK, &fields).await;
        all.extend(lines(&page));
        // Nobody is named by where a page begins.
        after = page["next"].as_str().unwrap_or_default().to_owned();
        assert!(!after.starts_with('1') || !after.contains('@'), "{after}");
        if after.is_empty() {
            break;
        }
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 119, "all but the guest of another project");
    for after in ["x", "~", "0ada~x", "\0~0e000000-0000-4000-8000-00000000000e"] {
        let answer =
            at(&app, &people[0], &place, ASK, &[("subject", "project"), ("id", &roof), ("after", after)]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.body);
    }
}

#[tokio::test]
async fn the_pages_name_those_who_can_see_it_and_hold_no_id_of_anybody() {
    let World { app, people, place, roof, .. } = world().await;
    let id = thread(&app, &people[0]).await;
    let workspace: uuid::Uuid = sqlx::query_scalar("select id from app.workspaces where name = 'Acme'")
        .fetch_one(&mut app.db.superuser().await)
        .await
        .unwrap();
    for (path, named) in [
        (format!("/w/{place}/projects/{roof}/readers"), true),
        (format!("/w/{place}/audit/2/readers"), false),
        (format!("/chat/{id}/readers"), false),
    ] {
        let page = app.page(Some(&people[0]), &path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(page.body.contains("ada@example.org") && page.body.contains("Asked for: "), "{path}");
        assert_eq!(page.body.contains("fay@example.org"), named, "{path}");
        assert!(!page.body.contains("eve@example.org") && !page.body.contains("gus@example.org"), "{path}");
        for secret in people.iter().map(|p| p.id.to_string()).chain([workspace.to_string()]) {
            assert!(!page.body.contains(&secret), "{path}: {secret}");
        }
    }
    for path in
        [format!("/w/{place}/projects/x/readers"), format!("/w/{place}/audit/x/readers"), "/chat/x/readers".into()]
    {
        assert_eq!(app.page(Some(&people[0]), &path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn whoever_is_removed_while_they_ask_hears_nothing_false() {
    let World { app, people, places, roof, .. } = world().await;
    let asker = people[1].opening();
    behind(&app, "delete from app.workspace_members where role = 'admin'").await;
    let sees = "select exists (select from app.projects p where p.id = $1::uuid)";
    let place = places[0].parse::<PlaceId>().unwrap();
    let said = app.state.lanes.look(&asker, people[0].id, place, sees, &roof, &[]).await;
    assert_eq!(said, Err(AppError::NotFound), "a no would be believed");
}

#[tokio::test]
async fn every_table_that_holds_a_part_of_a_chat_or_a_project_is_asked() {
    use moat::{readers::sql::question, types::Subject};
    let app = App::new().await;
    for (column, subject) in
        [("thread_id", Subject::Thread), ("generation_id", Subject::Thread), ("project_id", Subject::Project)]
    {
        let tables: Vec<String> = sqlx::query_scalar(
            "select c.relname::text from pg_attribute a join pg_class c on c.oid = a.attrelid and c.relkind = 'r'
              where c.relnamespace = 'app'::regnamespace and a.attname = $1 and has_column_privilege('authenticated', c.oid, a.attname, 'select')",
        )
        .bind(column)
        .fetch_all(&mut app.db.superuser().await)
        .await
        .unwrap();
        assert!(!tables.is_empty(), "{column}");
        for table in tables {
            assert!(question(subject).contains(&format!("from app.{table} ")), "{column} of {table}");
        }
    }
}

#[tokio::test]
async fn asking_has_its_limit() {
    let World { app, people, place, roof, .. } = world().await;
    let mut answers = Vec::new();
    for _ in 0..70 {
        answers.push(at(&app, &people[0], &place, ASK, &[("subject", "project"), ("id", &roof)]).await.status);
    }
    assert!(answers[..60].iter().all(|status| *status == StatusCode::OK));
    assert_eq!(answers[69], StatusCode::TOO_MANY_REQUESTS);
}
