//! Workspaces and projects: who belongs, as what, and what that opens.

use axum::http::{StatusCode, header};
use moat::{
    accounts,
    error::AppError,
    server::lanes::Reason,
    types::{MemberId, MemberRole, PlaceId},
    workspaces::{model::Wanted, sql},
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor};
use uuid::Uuid;

use crate::harness::{Answer, App, Person, post};

const WORKSPACES: &str = "workspaces/server_fns";
const PROJECTS: &str = "projects/server_fns";

/// A server function, called in a place.
pub async fn at(app: &App, person: &Person, place: &str, function: &str, fields: &[(&str, &str)]) -> Answer {
    let mut request = post(&format!("/api/moat/{function}"), fields);
    request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {}", person.access).parse().unwrap());
    request.headers_mut().insert("x-moat-place", place.parse().unwrap());
    app.send(request).await
}

pub async fn ok(app: &App, person: &Person, place: &str, function: &str, fields: &[(&str, &str)]) -> Value {
    let answer = at(app, person, place, function, fields).await;
    assert_eq!(answer.status, StatusCode::OK, "{function}: {}", answer.body);
    answer.json()
}

/// A workspace of this person's; their place in it.
pub async fn make(app: &App, owner: &Person, name: &str) -> String {
    let answer = app.call(Some(owner), &format!("{WORKSPACES}/make_workspace"), &[("name", name)]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.json().as_str().unwrap().to_owned()
}

/// Puts somebody into the workspace that `place` is in, behind the wall; their own place there.
pub async fn join(app: &App, place: &str, person: &Person, role: &str) -> String {
    let made: Uuid = sqlx::query_scalar(
        "insert into app.workspace_members (workspace_id, user_id, role)
         select workspace_id, $2, $3 from app.workspace_members where id = $1 returning id",
    )
    .bind(place.parse::<Uuid>().unwrap())
    .bind(person.id)
    .bind(role)
    .fetch_one(&mut app.db.superuser().await)
    .await
    .unwrap();
    made.to_string()
}

pub async fn project(app: &App, person: &Person, place: &str, name: &str) -> String {
    let client = Uuid::new_v4();
    let fields = [("client", client.to_string()), ("name", name.to_owned())];
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    ok(app, person, place, &format!("{PROJECTS}/make_project"), &fields).await;
    ok(app, person, place, &format!("{PROJECTS}/make_project"), &fields).await;
    let made: Uuid = sqlx::query_scalar("select id from app.projects where client_id = $1")
        .bind(client)
        .fetch_one(&mut app.db.superuser().await)
        .await
        .unwrap();
    made.to_string()
}

/// Puts somebody into a project, behind the wall; their place in it.
pub async fn put(app: &App, project: &str, person: &Person, role: &str) -> String {
    let made: Uuid = sqlx::query_scalar(
        "insert into app.project_members (project_id, workspace_id, user_id, role)
         select id, workspace_id, $2, $3 from app.projects where id = $1 returning id",
    )
    .bind(project.parse::<Uuid>().unwrap())
    .bind(person.id)
    .bind(role)
    .fetch_one(&mut app.db.superuser().await)
    .await
    .unwrap();
    made.to_string()
}

pub async fn places(app: &App, person: &Person) -> Vec<Value> {
    let answer = app.call(Some(person), &format!("{WORKSPACES}/list_places"), &[]).await;
    answer.json().as_array().unwrap().clone()
}

pub async fn members(app: &App, person: &Person, place: &str, fields: &[(&str, &str)]) -> Vec<Value> {
    let page = ok(app, person, place, &format!("{WORKSPACES}/list_members"), fields).await;
    page["rows"].as_array().unwrap().clone()
}

fn emails(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["email"].as_str().unwrap()).collect()
}

/// Everything by which two answers could be told apart, but for what differs in each.
pub fn told(answer: &Answer) -> (StatusCode, String, Vec<(String, String)>) {
    let headers = answer
        .headers
        .iter()
        .filter(|(name, _)| !["x-request-id", "date", "content-security-policy"].contains(&name.as_str()));
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    (answer.status, answer.body.clone(), headers)
}

#[tokio::test]
async fn everybody_has_a_workspace_of_their_own_with_a_project_in_it_that_nobody_else_can_be_in() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let mine = places(&app, &ada).await;
    assert_eq!(mine.len(), 1);
    assert_eq!((&mine[0]["workspace"], &mine[0]["personal"]), (&json!("Personal"), &json!(true)));
    let place = mine[0]["id"].as_str().unwrap();
    let projects = ok(&app, &ada, place, &format!("{PROJECTS}/list_projects"), &[]).await;
    assert_eq!(projects["rows"][0]["name"], "Personal");
    let left = at(&app, &ada, place, &format!("{WORKSPACES}/leave_workspace"), &[("member", place)]).await;
    assert_eq!(left.status, StatusCode::CONFLICT, "{}", left.body);
    let gone =
        at(&app, &ada, place, &format!("{WORKSPACES}/delete_workspace"), &[("place", place), ("name", "Personal")])
            .await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    let bob = app.sign_up("bob@example.org").await;
    let pushed = sqlx::query(
        "insert into app.workspace_members (workspace_id, user_id, role) select workspace_id, $2, 'admin' from app.workspace_members where id = $1",
    )
    .bind(place.parse::<Uuid>().unwrap())
    .bind(bob.id)
    .execute(&mut app.db.superuser().await)
    .await;
    assert!(pushed.is_err(), "somebody else is in a personal workspace");
}

#[tokio::test]
async fn without_a_token_without_a_place_and_with_somebody_elses_nothing_opens() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let theirs = project(&app, &ada, &place, "Secret").await;
    let his = make(&app, &bob, "Other").await;
    let random = Uuid::new_v4().to_string();
    let functions: &[(&str, &[(&str, &str)])] = &[
        ("workspaces/server_fns/read_workspace", &[]),
        ("workspaces/server_fns/list_members", &[]),
        ("workspaces/server_fns/change_workspace", &[("name", "x")]),
        ("workspaces/server_fns/set_member_role", &[("member", &place), ("role", "admin")]),
        ("workspaces/server_fns/remove_member", &[("member", &place)]),
        ("projects/server_fns/list_projects", &[]),
        ("projects/server_fns/read_project", &[("project", &theirs)]),
        ("projects/server_fns/change_project", &[("project", &theirs), ("name", "x")]),
        ("projects/server_fns/list_people", &[("project", &theirs)]),
    ];
    for (function, fields) in functions {
        assert_eq!(app.call(None, function, fields).await.status, StatusCode::UNAUTHORIZED, "{function}");
        let nowhere = app.call(Some(&bob), function, fields).await;
        assert_eq!(
            (nowhere.status, nowhere.json()),
            (StatusCode::FORBIDDEN, json!({ "error": "forbidden" })),
            "{function}"
        );
        let foreign = told(&at(&app, &bob, &place, function, fields).await);
        assert_eq!(foreign.0, StatusCode::NOT_FOUND, "{function}: {}", foreign.1);
        assert_eq!(foreign, told(&at(&app, &bob, &random, function, fields).await), "{function}");
    }
    // In a workspace of one's own, another's ids are nothing.
    for (function, field) in [
        ("workspaces/server_fns/remove_member", "member"),
        ("projects/server_fns/read_project", "project"),
        ("projects/server_fns/remove_person", "member"),
    ] {
        let id = if field == "project" { &theirs } else { &place };
        let foreign = told(&at(&app, &bob, &his, function, &[(field, id)]).await);
        assert_eq!(foreign.0, StatusCode::NOT_FOUND, "{function}");
        assert_eq!(foreign, told(&at(&app, &bob, &his, function, &[(field, &random)]).await), "{function}");
    }
    for page in ["", "/members", "/settings", &format!("/projects/{theirs}")] {
        let foreign = app.page(Some(&bob), &format!("/w/{place}{page}")).await;
        assert_eq!(foreign.status, StatusCode::NOT_FOUND, "{page}");
        assert!(!foreign.body.contains("Acme") && !foreign.body.contains("Secret"), "{page}");
        assert_eq!(app.page(Some(&ada), &format!("/w/{place}{page}")).await.status, StatusCode::OK, "{page}");
        assert_eq!(app.page(Some(&ada), &format!("/w/x{page}")).await.status, StatusCode::NOT_FOUND, "{page}");
    }
    assert_eq!(app.page(Some(&bob), &format!("/p/{place}")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn two_windows_in_two_workspaces_do_not_disturb_each_other() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let (one, two) = (make(&app, &ada, "One").await, make(&app, &ada, "Two").await);
    for _ in 0..10 {
        let (first, second) = (format!("/w/{one}"), format!("/w/{two}"));
        let (a, b) = tokio::join!(app.page(Some(&ada), &first), app.page(Some(&ada), &second));
        assert!(a.body.contains(">One<") && !a.body.contains(">Two<"));
        assert!(b.body.contains(">Two<") && !b.body.contains(">One<"));
    }
    // What a form does is done where its page stands.
    for (place, name) in [(&one, "First"), (&two, "Second")] {
        let done = app.form(Some(&ada), &format!("/w/{place}/settings?do=change-workspace"), &[("name", name)]).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
    }
    let names: Vec<_> = places(&app, &ada).await.iter().map(|p| p["workspace"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["Personal", "First", "Second"]);
}

#[tokio::test]
async fn owners_are_made_by_owners_and_nobody_raises_themselves() {
    let app = App::new().await;
    let [ada, bob, cy] = ["ada", "bob", "cy"].map(|n| format!("{n}@example.org"));
    let (ada, bob, cy) = (app.sign_up(&ada).await, app.sign_up(&bob).await, app.sign_up(&cy).await);
    let owner = make(&app, &ada, "Acme").await;
    let admin = join(&app, &owner, &bob, "admin").await;
    let member = join(&app, &owner, &cy, "project_creator").await;
    let role = format!("{WORKSPACES}/set_member_role");
    let set = async |by: &Person, place: &str, of: &str, to: &str| {
        at(&app, by, place, &role, &[("member", of), ("role", to)]).await.status
    };
    assert_eq!(set(&cy, &member, &member, "admin").await, StatusCode::FORBIDDEN);
    assert_eq!(set(&cy, &member, &owner, "project_creator").await, StatusCode::FORBIDDEN);
    assert_eq!(set(&bob, &admin, &admin, "owner").await, StatusCode::FORBIDDEN);
    assert_eq!(set(&bob, &admin, &member, "owner").await, StatusCode::FORBIDDEN);
    assert_eq!(set(&bob, &admin, &owner, "admin").await, StatusCode::FORBIDDEN);
    let remove = format!("{WORKSPACES}/remove_member");
    assert_eq!(at(&app, &bob, &admin, &remove, &[("member", &owner)]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(at(&app, &cy, &member, &remove, &[("member", &admin)]).await.status, StatusCode::FORBIDDEN);
    // Past the server functions, in their own lanes.
    let lanes = app.db.lanes(2);
    for (person, place) in [(&bob, &admin), (&cy, &member)] {
        for statement in [
            "update app.workspace_members set role = 'owner'",
            "update app.workspace_members set role = 'owner' where user_id = (select auth.uid())",
            "delete from app.workspace_members where role = 'owner'",
            "insert into app.workspace_members (workspace_id, user_id, role) select workspace_id, user_id, 'owner' from app.workspace_members",
        ] {
            let mut opening = person.opening();
            opening.place = Some(place.parse().unwrap());
            let mut lane = lanes.workspace(&opening).await.unwrap();
            let done = lane.conn().execute(statement).await;
            assert!(done.is_err() || done.unwrap().rows_affected() == 0, "{statement}");
        }
    }
    assert_eq!(set(&bob, &admin, &member, "admin").await, StatusCode::OK);
    assert_eq!(set(&ada, &owner, &member, "owner").await, StatusCode::OK);
    assert_eq!(set(&cy, &member, &owner, "admin").await, StatusCode::OK, "ownership is handed over");
    let rows = members(&app, &bob, &admin, &[]).await;
    let roles: Vec<_> = rows.iter().map(|row| row["role"].as_str().unwrap()).collect();
    assert_eq!(
        (emails(&rows), roles),
        (vec!["ada@example.org", "bob@example.org", "cy@example.org"], vec!["admin", "admin", "owner"])
    );
}

#[tokio::test]
async fn the_last_owner_stays_one_by_whichever_way_they_would_go() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    join(&app, &place, &bob, "admin").await;
    for (function, fields) in [
        ("leave_workspace", &[("member", place.as_str())][..]),
        ("remove_member", &[("member", &place)]),
        ("set_member_role", &[("member", &place), ("role", "admin")]),
    ] {
        let refused = at(&app, &ada, &place, &format!("{WORKSPACES}/{function}"), fields).await;
        assert_eq!(refused.status, StatusCode::CONFLICT, "{function}: {}", refused.body);
        assert!(refused.body.contains("always has an owner"), "{}", refused.body);
    }
    let password = [("password", crate::harness::PASSWORD)];
    let closed = app.call(Some(&ada), "accounts/server_fns/close_account", &password).await;
    assert_eq!(closed.status, StatusCode::CONFLICT, "{}", closed.body);
    let mut behind = app.db.superuser().await;
    // Whoever is shut out is followed by the oldest admin.
    behind.execute("update app.users set status = 'banned' where email = 'ada@example.org'").await.unwrap();
    let owners = "select count(*) from app.workspace_members m join app.workspaces w on w.id = m.workspace_id where w.name = 'Acme' and m.role = 'owner' and m.email = 'bob@example.org'";
    assert_eq!(app.count(owners).await, 1);
    behind.execute("update app.users set status = 'active' where email = 'ada@example.org'").await.unwrap();
    // Whoever is alone leaves nobody behind.
    behind.execute("delete from app.workspace_members where email = 'bob@example.org' and workspace_id in (select id from app.workspaces where name = 'Acme')").await.unwrap();
    assert_eq!(app.call(Some(&ada), "accounts/server_fns/close_account", &password).await.status, StatusCode::OK);
}

#[tokio::test]
async fn fifty_demotions_at_the_same_moment_leave_one_owner() {
    let app = App::new().await;
    let mut owners = vec![app.sign_up("0@example.org").await];
    let first = make(&app, &owners[0], "Acme").await;
    let mut places = vec![first.clone()];
    for n in 1..5 {
        let owner = app.sign_up(&format!("{n}@example.org")).await;
        places.push(join(&app, &first, &owner, "owner").await);
        owners.push(owner);
    }
    let tries = (0..50).map(|n| {
        let (app, by, place, of) = (&app, &owners[n % 5], &places[n % 5], &places[(n * 7 + 1 + n / 5) % 5]);
        async move {
            let fields = [("member", of.as_str()), ("role", "admin")];
            at(app, by, place, "workspaces/server_fns/set_member_role", &fields).await.status
        }
    });
    let seen = futures::future::join_all(tries).await;
    assert!(seen.iter().all(|s| [200, 403, 409].contains(&s.as_u16())), "{seen:?}");
    assert_eq!(app.count("select count(*) from app.workspace_members m join app.workspaces w on w.id = m.workspace_id where w.name = 'Acme' and m.role = 'owner'").await, 1);
}

#[tokio::test]
async fn of_two_owners_who_demote_each_other_at_the_same_moment_one_stays() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let his = join(&app, &place, &bob, "owner").await;
    let lanes = app.db.lanes(2);
    let (mut hers, mut other) = (ada.opening(), bob.opening());
    (hers.place, other.place) = (Some(place.parse().unwrap()), Some(his.parse().unwrap()));
    let mut first = lanes.writing(&hers).await.unwrap();
    let mut second = lanes.writing(&other).await.unwrap();
    sql::set_role(&mut first, his.parse().unwrap(), MemberRole::Admin).await.unwrap();
    // The second has looked, or waits to look, before the first is there for all to see.
    let over = std::cell::Cell::new(false);
    let (done, ()) = tokio::join!(
        async {
            let done = sql::set_role(&mut second, place.parse().unwrap(), MemberRole::Admin).await;
            over.set(true);
            done
        },
        async {
            app.until("it waits or is through", async || (over.get() || app.waiting().await > 0).then_some(())).await;
            first.commit().await.unwrap();
        }
    );
    assert!(matches!(done, Err(AppError::Conflict { .. } | AppError::Forbidden)), "{done:?}");
    let rows = members(&app, &ada, &place, &[]).await;
    let roles: Vec<_> = rows.iter().map(|row| row["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["owner", "admin"]);
}

#[tokio::test]
async fn whoever_is_removed_is_out_at_their_next_request_by_every_door() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let his = join(&app, &place, &bob, "project_creator").await;
    let plan = project(&app, &bob, &his, "Plan").await;
    let saved = format!("/w/{his}/projects/{plan}");
    assert_eq!(app.page(Some(&bob), &saved).await.status, StatusCode::OK);
    ok(&app, &ada, &place, &format!("{WORKSPACES}/remove_member"), &[("member", &his)]).await;
    for page in [saved.as_str(), &format!("/w/{his}"), &format!("/w/{his}/members"), &format!("/w/{his}/settings")] {
        let answer = app.page(Some(&bob), page).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{page}");
        assert!(!answer.body.contains("Plan") && !answer.body.contains("Acme"), "{page}");
    }
    let read = at(&app, &bob, &his, "projects/server_fns/read_project", &[("project", &plan)]).await;
    assert_eq!(read.status, StatusCode::NOT_FOUND);
    assert_eq!(places(&app, &bob).await.len(), 1, "his own is left");
    // What he made stays, and is nobody's for as long as nobody takes it.
    let page = app.page(Some(&ada), &format!("/w/{place}/projects/{plan}")).await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(app.count("select count(*) from app.project_members m join app.projects p on p.id = m.project_id where p.name = 'Plan'").await, 0);
    // A claim that names the workspace all the same opens nothing.
    let mut conn = app.db.superuser().await;
    let workspace: Uuid =
        sqlx::query_scalar("select id from app.workspaces where name = 'Acme'").fetch_one(&mut conn).await.unwrap();
    let claims = json!({ "sub": bob.id, "sid": bob.session, "role": "authenticated", "org_id": workspace }).to_string();
    sqlx::query("select set_config('request.jwt.claims', $1, false)").bind(claims).execute(&mut conn).await.unwrap();
    conn.execute("set role authenticated").await.unwrap();
    for table in ["workspaces", "workspace_members", "projects", "project_members"] {
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from app.{table}")))
            .fetch_one(&mut conn)
            .await
            .unwrap();
        assert_eq!(rows, 0, "{table}");
    }
}

#[tokio::test]
async fn a_guest_of_a_project_sees_that_project_and_nothing_of_its_workspace() {
    let app = App::new().await;
    let (ada, eve) = (app.sign_up("ada@example.org").await, app.sign_up("eve@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let (plan, other) = (project(&app, &ada, &place, "Plan").await, project(&app, &ada, &place, "Other").await);
    let hers = put(&app, &plan, &eve, "customer_signer").await;
    let page = app.page(Some(&eve), &format!("/p/{hers}")).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains(">Plan<") && !page.body.contains("Other"));
    assert_eq!(places(&app, &eve).await.iter().filter(|p| p["is"]["Guest"][0] == "Plan").count(), 1);
    for (function, fields) in [
        ("workspaces/server_fns/read_workspace", &[][..]),
        ("projects/server_fns/read_project", &[("project", other.as_str())]),
        ("projects/server_fns/list_people", &[("project", &other)]),
        ("projects/server_fns/change_project", &[("project", &other), ("name", "x")]),
    ] {
        let answer = at(&app, &eve, &hers, function, fields).await;
        assert!(answer.status == StatusCode::NOT_FOUND || answer.json() == json!([]), "{function}: {}", answer.body);
    }
    assert_eq!(members(&app, &eve, &hers, &[]).await.len(), 0);
    let projects = ok(&app, &eve, &hers, &format!("{PROJECTS}/list_projects"), &[]).await;
    assert_eq!(projects["rows"].as_array().unwrap().len(), 1);
    let made = at(
        &app,
        &eve,
        &hers,
        &format!("{PROJECTS}/make_project"),
        &[("client", &Uuid::new_v4().to_string()), ("name", "x")],
    )
    .await;
    assert_eq!(made.status, StatusCode::NOT_FOUND, "{}", made.body);
    assert_eq!(app.count("select count(*) from app.projects where name = 'x'").await, 0);
}

#[tokio::test]
async fn in_a_project_its_roles_decide_who_writes() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let place = make(&app, &ada, "Acme").await;
    let plan = project(&app, &ada, &place, "Plan").await;
    let rename = format!("{PROJECTS}/change_project");
    for (role, may) in [("manager", true), ("contributor", false), ("viewer", false), ("customer_signer", false)] {
        let person = app.sign_up(&format!("{role}@example.org")).await;
        let theirs = join(&app, &place, &person, "project_creator").await;
        let in_project = put(&app, &plan, &person, role).await;
        let done = at(&app, &person, &theirs, &rename, &[("project", &plan), ("name", role)]).await;
        assert_eq!(done.status, if may { StatusCode::OK } else { StatusCode::FORBIDDEN }, "{role}: {}", done.body);
        let raised = [("member", in_project.as_str()), ("role", "owner")];
        let raised = at(&app, &person, &theirs, &format!("{PROJECTS}/set_person_role"), &raised).await;
        assert_eq!(raised.status, StatusCode::FORBIDDEN, "{role}: {}", raised.body);
        let put = [("project", plan.as_str()), ("email", "ada@example.org"), ("role", "viewer")];
        let put = at(&app, &person, &theirs, &format!("{PROJECTS}/put_person"), &put).await;
        assert_eq!(
            put.status,
            if may { StatusCode::BAD_REQUEST } else { StatusCode::NOT_FOUND },
            "{role}: {}",
            put.body
        );
    }
    let project = ok(&app, &ada, &place, &format!("{PROJECTS}/read_project"), &[("project", &plan)]).await;
    assert_eq!((&project["name"], &project["owned"]), (&json!("manager"), &json!(true)));
}

#[tokio::test]
async fn pages_of_twenty_thousand_members_hold_everybody_once_in_each_order() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let place = make(&app, &ada, "Acme").await;
    let mut conn = app.db.superuser().await;
    conn.execute("set session_replication_role = replica").await.unwrap();
    conn.execute("insert into app.users (id, email, display_name) select md5(n::text)::uuid, 'p' || n || '@example.org', case when n % 3 = 0 then 'Same' when n % 3 = 1 then 'N' || n % 100 else '' end from generate_series(1, 19999) n").await.unwrap();
    conn.execute(
        "insert into app.workspace_members (workspace_id, user_id, role, email, name, status, created_at, seen_at)
         select w.id, u.id, case when u.email like 'p1%' then 'admin' else 'project_creator' end, u.email, u.display_name,
                case when u.email like '%9@example.org' then 'banned' else 'active' end, now() - length(u.email) * interval '1 hour', now() - length(u.display_name) * interval '1 hour'
           from app.workspaces w, app.users u where w.name = 'Acme' and u.email like 'p%'",
    )
    .await
    .unwrap();
    conn.execute("vacuum analyze app.workspace_members").await.unwrap();
    let lanes = app.db.lanes(1);
    let mut opening = ada.opening();
    opening.place = Some(place.parse().unwrap());
    for (sort, order) in [
        ("name", "m.sort_name, m.id"),
        ("joined", "m.created_at desc, m.id desc"),
        ("seen", "m.seen_at desc, m.id desc"),
    ] {
        let expected: Vec<MemberId> = sqlx::query_scalar(AssertSqlSafe(format!(
            "select m.id from app.workspace_members m join app.workspaces w on w.id = m.workspace_id where w.name = 'Acme' order by {order}"
        )))
        .fetch_all(&mut conn)
        .await
        .unwrap();
        let (mut seen, mut after) = (Vec::new(), None::<String>);
        let mut lane = lanes.workspace(&opening).await.unwrap();
        loop {
            let wanted = Wanted::of(|name| match name {
                "sort" => Some(sort.to_owned()),
                "after" => after.clone(),
                _ => None,
            });
            let page = sql::members(&mut lane, &wanted).await.unwrap();
            seen.extend(page.rows.iter().map(|row| row.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), 20_000);
        assert!(seen == expected, "{sort}: not everybody once in order");
    }
    let narrowed =
        members(&app, &ada, &place, &[("search", "P1999"), ("role", "admin"), ("status", "banned"), ("sort", "name")])
            .await;
    let mut found = emails(&narrowed);
    found.sort_unstable();
    assert_eq!(found, ["p19999@example.org", "p1999@example.org"]);
    let nonsense =
        at(&app, &ada, &place, "workspaces/server_fns/list_members", &[("sort", "seen"), ("after", "x~y")]).await;
    assert_eq!(nonsense.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_a_member_is_called_is_what_they_call_themselves_now() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    join(&app, &place, &bob, "project_creator").await;
    let named = app
        .call(
            Some(&bob),
            "accounts/server_fns/save_profile",
            &[("name", "Bob B."), ("language", "en"), ("time_zone", "")],
        )
        .await;
    assert_eq!(named.status, StatusCode::OK, "{}", named.body);
    let rows = members(&app, &ada, &place, &[("search", "bob b")]).await;
    assert_eq!((rows.len(), &rows[0]["name"]), (1, &json!("Bob B.")));
    let mut behind = app.db.superuser().await;
    behind.execute("update app.users set status = 'banned' where email = 'bob@example.org'").await.unwrap();
    assert_eq!(members(&app, &ada, &place, &[("status", "banned")]).await.len(), 1);
    let next = app.page(Some(&bob), "/workspaces").await;
    assert!(next.status.is_redirection() && next.headers[header::LOCATION].to_str().unwrap().starts_with("/sign-in"));
}

#[tokio::test]
async fn a_deleted_workspace_is_gone_for_everybody_until_an_owner_takes_it_back() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let his = join(&app, &place, &bob, "admin").await;
    let delete = format!("{WORKSPACES}/delete_workspace");
    let tried = at(&app, &bob, &his, &delete, &[("place", &his), ("name", "Acme")]).await;
    assert_eq!(tried.status, StatusCode::NOT_FOUND, "an admin deleted it");
    let wrong = at(&app, &ada, &place, &delete, &[("place", &place), ("name", "acme")]).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    ok(&app, &ada, &place, &delete, &[("place", &place), ("name", "Acme")]).await;
    for (person, place) in [(&ada, &place), (&bob, &his)] {
        assert_eq!(app.page(Some(person), &format!("/w/{place}")).await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(places(&app, &bob).await.len(), 1);
    let restore = format!("{WORKSPACES}/restore_workspace");
    assert_eq!(app.call(Some(&bob), &restore, &[("place", &his)]).await.status, StatusCode::NOT_FOUND);
    assert_eq!(app.call(Some(&ada), &restore, &[("place", &place)]).await.status, StatusCode::OK);
    assert_eq!(app.page(Some(&bob), &format!("/w/{his}")).await.status, StatusCode::OK);
    ok(&app, &ada, &place, &delete, &[("place", &place), ("name", "Acme")]).await;
    app.db
        .superuser()
        .await
        .execute("update app.workspaces set deleted_at = now() - interval '31 days' where name = 'Acme'")
        .await
        .unwrap();
    moat::server::jobs::forget(&app.state).await.unwrap();
    assert_eq!(app.count("select count(*) from app.workspaces where name = 'Acme'").await, 0);
}

#[tokio::test]
async fn the_search_for_projects_finds_what_the_plain_query_finds_and_no_other_workspaces() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let (place, his) = (make(&app, &ada, "Acme").await, make(&app, &bob, "Other").await);
    for name in ["Quarterly numbers", "Numbers of the café", "Plan"] {
        project(&app, &ada, &place, name).await;
    }
    project(&app, &bob, &his, "Numbers too").await;
    let member = join(&app, &place, &bob, "project_creator").await;
    let found = async |person: &Person, place: &str, query: &str| {
        let page = ok(&app, person, place, &format!("{PROJECTS}/list_projects"), &[("search", query)]).await;
        let rows = page["rows"].as_array().unwrap().clone();
        rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found(&ada, &place, "numb").await, ["Numbers of the café", "Quarterly numbers"]);
    assert_eq!(found(&ada, &place, "cafe").await, ["Numbers of the café"]);
    assert_eq!(found(&bob, &his, "numbers").await, ["Numbers too"]);
    assert_eq!(found(&bob, &member, "numbers").await, Vec::<String>::new(), "he is in no project there");
    assert_eq!(found(&ada, &place, "\"").await, Vec::<String>::new());
    // The function itself gives nothing away that the policies would not, to somebody who is in a project there.
    let plan: Uuid = sqlx::query_scalar("select id from app.projects where name = 'Plan'")
        .fetch_one(&mut app.db.superuser().await)
        .await
        .unwrap();
    put(&app, &plan.to_string(), &bob, "viewer").await;
    let lanes = app.db.lanes(1);
    let mut opening = bob.opening();
    opening.place = Some(member.parse().unwrap());
    let mut lane = lanes.workspace(&opening).await.unwrap();
    let given: i64 = sqlx::query_scalar("select count(*) from app.search_projects('numbers', 10)")
        .fetch_one(lane.conn())
        .await
        .unwrap();
    assert_eq!(given, 0);
}

#[tokio::test]
async fn who_belongs_is_looked_up_once_a_statement_and_twice_for_a_change() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let place = make(&app, &ada, "Acme").await;
    project(&app, &ada, &place, "Plan").await;
    let mut conn = app.db.superuser().await;
    let workspace: Uuid =
        sqlx::query_scalar("select id from app.workspaces where name = 'Acme'").fetch_one(&mut conn).await.unwrap();
    let claims = json!({ "sub": ada.id, "role": "authenticated", "org_id": workspace }).to_string();
    for (statement, function, calls) in [
        ("select from app.workspace_members where role = 'owner' limit 50", "app.member_org()", 1),
        ("select from app.workspaces", "app.member_org()", 1),
        ("select from app.projects order by sort_name limit 50", "app.my_projects()", 1),
        ("select from app.project_members", "app.my_projects()", 1),
        ("update app.workspaces set name = 'x'", "app.managed_org()", 2),
        ("update app.projects set name = 'x'", "app.managed_projects()", 2),
    ] {
        let mut tx = sqlx::Connection::begin(&mut conn).await.unwrap();
        tx.execute("set local track_functions = 'all'").await.unwrap();
        sqlx::query("select set_config('request.jwt.claims', $1, true)").bind(&claims).execute(&mut *tx).await.unwrap();
        tx.execute("set local role authenticated").await.unwrap();
        // Since the numbers were last told, which is not at each transaction's end.
        let count = "select coalesce(pg_stat_get_xact_function_calls($1::regprocedure), 0)";
        let before: i64 = sqlx::query_scalar(count).bind(function).fetch_one(&mut *tx).await.unwrap();
        tx.execute(statement).await.unwrap();
        let after: i64 = sqlx::query_scalar(count).bind(function).fetch_one(&mut *tx).await.unwrap();
        let seen = after - before;
        assert!((1..=calls).contains(&seen), "{statement}: {function} was called {seen} times");
        tx.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn a_lane_without_a_place_is_in_no_workspace_and_one_with_a_foreign_place_is_none() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place: PlaceId = make(&app, &ada, "Acme").await.parse().unwrap();
    let lanes = app.db.lanes(1);
    let mut opening = ada.opening();
    assert_eq!(lanes.workspace(&opening).await.map(drop), Err(AppError::Forbidden));
    let mut lane = lanes.user(&opening).await.unwrap();
    assert_eq!(sql::workspace(&mut lane).await.map(drop), Err(AppError::NotFound));
    drop(lane);
    opening.place = Some(place);
    let mut lane = lanes.workspace(&opening).await.unwrap();
    let workspace = sql::workspace(&mut lane).await.unwrap();
    assert_eq!((workspace.name.as_str(), workspace.role), ("Acme", MemberRole::Owner));
    drop(lane);
    let mut stranger = bob.opening();
    stranger.place = Some(place);
    assert_eq!(lanes.workspace(&stranger).await.map(drop), Err(AppError::NotFound));
    opening.issued_at -= 10_000_000;
    assert_eq!(lanes.workspace(&opening).await.map(drop), Err(AppError::Unauthenticated));
}

#[tokio::test]
async fn a_super_user_decides_who_gets_in_and_reads_nothing_that_is_theirs() {
    let app = App::new().await;
    let [ada, bob, eve] = ["ada", "bob", "eve"].map(|n| format!("{n}@example.org"));
    let (ada, bob, eve) = (app.sign_up(&ada).await, app.sign_up(&bob).await, app.sign_up(&eve).await);
    let place = make(&app, &bob, "Secret").await;
    project(&app, &bob, &place, "Plan").await;
    let client = Uuid::new_v4().to_string();
    let started = app
        .call(Some(&bob), "threads/server_fns/start_thread", &[("client", &client), ("text", "for nobody else")])
        .await;
    let thread = started.json()["thread"].as_str().unwrap().to_owned();
    let mut lane = app.state.lanes.service(Reason::Operate).await.unwrap();
    assert!(accounts::sql::operate(&mut lane, "ada@example.org", None, Some(true)).await.unwrap());
    assert!(!accounts::sql::operate(&mut lane, "nobody@example.org", None, Some(true)).await.unwrap());
    lane.commit().await.unwrap();

    const FIND: &str = "accounts/server_fns/find_accounts";
    const SET: &str = "accounts/server_fns/set_account_status";
    let found = app.call(Some(&ada), FIND, &[("search", "BOB")]).await.json();
    assert_eq!((found.as_array().unwrap().len(), &found[0]["email"]), (1, &json!("bob@example.org")));
    // Nothing of what is private or in a workspace, by a door or by a query in their own lane.
    let read = [("thread", thread.as_str())];
    assert_eq!(app.call(Some(&ada), "threads/server_fns/read_thread", &read).await.status, StatusCode::NOT_FOUND);
    assert_eq!(app.page(Some(&ada), &format!("/chat/{thread}")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(app.page(Some(&ada), &format!("/w/{place}")).await.status, StatusCode::NOT_FOUND);
    let mut lane = app.state.lanes.user(&ada.opening()).await.unwrap();
    for table in ["threads", "messages", "generations", "workspaces", "projects", "workspace_members", "invitations"] {
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from app.{table}")))
            .fetch_one(lane.conn())
            .await
            .unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    drop(lane);
    // To everybody else there is no such page.
    let nobody = Uuid::new_v4().to_string();
    for fields in [&[][..], &[("search", "bob")]] {
        assert_eq!(app.call(Some(&eve), FIND, fields).await.status, StatusCode::NOT_FOUND);
    }
    for user in [&bob.id.to_string(), &nobody] {
        let tried = app.call(Some(&eve), SET, &[("user", user), ("status", "banned")]).await;
        assert_eq!(tried.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(app.page(Some(&eve), "/operations").await.status, StatusCode::NOT_FOUND);
    assert_eq!(app.page(Some(&ada), "/operations").await.status, StatusCode::OK);
    // A banned person's next request fails, and they are let in again.
    let set = async |user: &Person, status: &str| {
        app.call(Some(&ada), SET, &[("user", &user.id.to_string()), ("status", status)]).await.status
    };
    assert_eq!(set(&bob, "banned").await, StatusCode::OK);
    assert_eq!(app.call(Some(&bob), "threads/server_fns/read_thread", &read).await.status, StatusCode::UNAUTHORIZED);
    assert_ne!(app.sign_in("bob@example.org", crate::harness::PASSWORD).await.status, StatusCode::OK);
    assert_eq!(set(&bob, "active").await, StatusCode::OK);
    assert_eq!(app.sign_in("bob@example.org", crate::harness::PASSWORD).await.status, StatusCode::OK);
    assert_eq!(set(&ada, "banned").await, StatusCode::NOT_FOUND, "a super user is changed on the command line");
    // Who has been one reads no list any more.
    let mut lane = app.state.lanes.service(Reason::Operate).await.unwrap();
    accounts::sql::operate(&mut lane, "ada@example.org", None, Some(false)).await.unwrap();
    lane.commit().await.unwrap();
    assert_eq!(app.call(Some(&ada), FIND, &[]).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_project_is_not_reached_by_its_id_from_another_workspace() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let (place, his) = (make(&app, &ada, "Acme").await, make(&app, &bob, "Other").await);
    let plan = project(&app, &ada, &place, "Plan").await;
    // Nobody chooses a project's id.
    let lanes = app.db.lanes(1);
    let mut opening = bob.opening();
    opening.place = Some(his.parse().unwrap());
    let mut lane = lanes.writing(&opening).await.unwrap();
    let chosen = sqlx::query("insert into app.projects (id, name) values ($1, 'mine')")
        .bind(plan.parse::<Uuid>().unwrap())
        .execute(lane.conn())
        .await
        .unwrap_err();
    assert_eq!(chosen.as_database_error().unwrap().code().as_deref(), Some("42501"));
    drop(lane);
    // And if there were such a row, it would open itself alone.
    sqlx::query("insert into app.projects (id, workspace_id, name, created_by) select $1, m.workspace_id, 'mine', m.user_id from app.workspace_members m where m.id = $2")
        .bind(plan.parse::<Uuid>().unwrap())
        .bind(his.parse::<Uuid>().unwrap())
        .execute(&mut app.db.superuser().await)
        .await
        .unwrap();
    let read = [("project", plan.as_str())];
    let listed = ok(&app, &bob, &his, &format!("{PROJECTS}/list_projects"), &[]).await;
    let names: Vec<_> = listed["rows"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["mine"]);
    assert_eq!(ok(&app, &bob, &his, &format!("{PROJECTS}/read_project"), &read).await["name"], "mine");
    let people = ok(&app, &bob, &his, &format!("{PROJECTS}/list_people"), &read).await;
    assert_eq!(emails(people.as_array().unwrap()), ["bob@example.org"]);
    ok(&app, &bob, &his, &format!("{PROJECTS}/change_project"), &[("project", &plan), ("name", "changed")]).await;
    ok(
        &app,
        &bob,
        &his,
        &format!("{PROJECTS}/delete_project"),
        &[("project", &plan), ("place", &his), ("name", "changed")],
    )
    .await;
    assert_eq!(ok(&app, &ada, &place, &format!("{PROJECTS}/read_project"), &read).await["name"], "Plan");
    let people = ok(&app, &ada, &place, &format!("{PROJECTS}/list_people"), &read).await;
    assert_eq!(emails(people.as_array().unwrap()), ["ada@example.org"]);
}

#[tokio::test]
async fn whoever_is_put_into_a_project_while_they_are_removed_is_not_left_in_it() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let his = join(&app, &place, &bob, "project_creator").await;
    let plan = project(&app, &ada, &place, "Plan").await;
    let lanes = app.db.lanes(2);
    let mut opening = ada.opening();
    opening.place = Some(place.parse().unwrap());
    let (mut first, mut second) = (lanes.writing(&opening).await.unwrap(), lanes.writing(&opening).await.unwrap());
    sqlx::query("select app.put_in_project($1, $2, 'viewer')")
        .bind(plan.parse::<Uuid>().unwrap())
        .bind(his.parse::<Uuid>().unwrap())
        .execute(first.conn())
        .await
        .unwrap();
    let over = std::cell::Cell::new(false);
    tokio::join!(
        async {
            sql::remove(&mut second, his.parse().unwrap()).await.unwrap();
            over.set(true);
        },
        async {
            app.until("it waits or is through", async || (over.get() || app.waiting().await > 0).then_some(())).await;
            first.commit().await.unwrap();
        }
    );
    second.commit().await.unwrap();
    assert_eq!(app.count("select count(*) from app.project_members m join app.projects p on p.id = m.project_id where p.name = 'Plan'").await, 1);
    assert_eq!(places(&app, &bob).await.len(), 1);
}

#[tokio::test]
async fn a_workspace_says_whose_it_is_in_a_colour_that_its_owners_and_admins_choose() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    let looks = [("name", "Acme"), ("company", " Acme Ltd <b> "), ("colour", "teal")];
    let saved = app.form(Some(&ada), &format!("/w/{place}/settings?do=change-workspace"), &looks).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.body);
    let page = app.page(Some(&bob), &format!("/w/{bobs}")).await.body;
    assert!(page.contains("Acme Ltd &lt;b&gt;") && page.contains("data-colour=\"teal\""), "{page}");
    let change = format!("{WORKSPACES}/change_workspace");
    assert_eq!(at(&app, &bob, &bobs, &change, &looks).await.status, StatusCode::FORBIDDEN);
    let long = "x".repeat(81);
    for (company, colour) in [(long.as_str(), "teal"), ("a\0b", "teal"), ("Acme", "#fff"), ("Acme", "teal; x")] {
        let fields = [("name", "Acme"), ("company", company), ("colour", colour)];
        assert_eq!(
            at(&app, &ada, &place, &change, &fields).await.status,
            StatusCode::BAD_REQUEST,
            "{company} {colour}"
        );
    }
    let now: (String, String) = sqlx::query_as("select company, colour from app.workspaces where name = 'Acme'")
        .fetch_one(&mut app.db.superuser().await)
        .await
        .unwrap();
    assert_eq!(now, ("Acme Ltd <b>".to_owned(), "teal".to_owned()));
    let trail = ok(&app, &ada, &place, "audit/server_fns/list_events", &[("wanted[about]", "workspace")]).await;
    assert_eq!(trail["events"][0]["new"], json!({ "company": "Acme Ltd <b>", "colour": "teal" }));
}

#[tokio::test]
async fn whoever_leaves_a_project_goes_on_where_they_still_are() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let eve = app.sign_up("eve@example.org").await;
    let place = make(&app, &ada, "Acme").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    let plan = project(&app, &ada, &place, "Plan").await;
    let (member, guest) = (put(&app, &plan, &bob, "viewer").await, put(&app, &plan, &eve, "viewer").await);
    let leave = async |person: &Person, page: &str, member: &str| {
        let left = app.form(Some(person), &format!("{page}?do=remove-person"), &[("member", member)]).await;
        assert_eq!(left.status, StatusCode::SEE_OTHER, "{}", left.body);
        let to = left.headers[header::LOCATION].to_str().unwrap().to_owned();
        assert_eq!(app.page(Some(person), &to).await.status, StatusCode::OK, "{to}");
        to
    };
    assert_eq!(leave(&eve, &format!("/p/{guest}"), &guest).await, "/workspaces");
    assert_eq!(leave(&bob, &format!("/w/{bobs}/projects/{plan}"), &member).await, format!("/w/{bobs}"));
    // Whoever removes somebody else stays where they are.
    let again = put(&app, &plan, &bob, "viewer").await;
    let here = format!("/w/{place}/projects/{plan}");
    assert_eq!(leave(&ada, &here, &again).await, here);
}

#[tokio::test]
async fn a_change_of_role_leaves_the_search_and_the_page_as_they_were() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    let asked = format!("/w/{place}/members?q=bob%40example.org&role=project_creator&sort=seen");
    let page = app.page(Some(&ada), &asked).await.body;
    let action = page.split("action=\"").find(|rest| rest.contains("do=set-role")).unwrap().split('"').next().unwrap();
    let action = action.replace("&amp;", "&");
    let saved = app.form(Some(&ada), &action, &[("member", &bobs), ("role", "admin")]).await;
    let to = saved.headers[header::LOCATION].to_str().unwrap();
    for part in ["q=bob%40example.org", "role=project_creator", "sort=seen"] {
        assert!(to.contains(part), "{to}");
    }
    assert!(!to.contains("do="), "{to}");
    // And when it is refused.
    let refused = app.form(Some(&ada), &action, &[("member", &place), ("role", "admin")]).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.body);
    assert!(refused.body.contains("value=\"bob@example.org\""), "{}", refused.body);
}

/// Everything that changes something in a workspace, as an admin would send it.
fn changes<'a>(
    project: &'a str,
    member: &'a str,
    person: &'a str,
    invitation: &'a str,
    domain: &'a str,
    client: &'a str,
) -> Vec<(&'static str, Vec<(&'static str, &'a str)>)> {
    vec![
        ("workspaces/server_fns/change_workspace", vec![("name", "Mine")]),
        ("workspaces/server_fns/set_member_role", vec![("member", member), ("role", "admin")]),
        ("workspaces/server_fns/remove_member", vec![("member", member)]),
        ("invitations/server_fns/invite", vec![("emails", "friend@example.org"), ("role", "admin")]),
        ("invitations/server_fns/resend_invitation", vec![("invitation", invitation)]),
        ("invitations/server_fns/set_invited_role", vec![("invitation", invitation), ("role", "admin")]),
        ("invitations/server_fns/revoke_invitation", vec![("invitation", invitation)]),
        ("projects/server_fns/make_project", vec![("client", client), ("name", "Mine")]),
        ("projects/server_fns/change_project", vec![("project", project), ("name", "Mine")]),
        ("projects/server_fns/archive_project", vec![("project", project), ("archived", "true")]),
        (
            "projects/server_fns/put_person",
            vec![("project", project), ("email", "eve@example.org"), ("role", "manager")],
        ),
        ("projects/server_fns/set_person_role", vec![("member", person), ("role", "manager")]),
        ("projects/server_fns/remove_person", vec![("member", person)]),
        ("projects/server_fns/delete_project", vec![("project", project), ("place", client), ("name", "Plan")]),
        ("domains/server_fns/add_domain", vec![("domain", "acme.example")]),
        ("domains/server_fns/remove_domain", vec![("domain", domain)]),
        ("workspaces/server_fns/leave_workspace", vec![]),
        ("workspaces/server_fns/delete_workspace", vec![("name", "Acme")]),
    ]
}

#[tokio::test]
async fn a_lane_for_reading_in_a_workspace_changes_nothing_there() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let place = make(&app, &ada, "Acme").await;
    // One connection, which each lane has after the other.
    let lanes = app.db.lanes(1);
    let mut opening = ada.opening();
    opening.place = Some(place.parse().unwrap());
    let change = "update app.workspaces set description = description || 'x'";
    let mut program = opening.clone();
    (program.place, program.workspace) = (None, Some(crate::programs::workspace(&app, "Acme").await));
    for opening in [&opening, &program] {
        let mut lane = lanes.workspace(opening).await.unwrap();
        let refused = lane.conn().execute(change).await.unwrap_err();
        assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("25006"));
        drop(lane);
        let mut lane = lanes.writing(opening).await.unwrap();
        assert_eq!(lane.conn().execute(change).await.unwrap().rows_affected(), 1);
        lane.commit().await.unwrap();
    }
    let there: String = sqlx::query_scalar("select description from app.workspaces where name = 'Acme'")
        .fetch_one(&mut app.db.superuser().await)
        .await
        .unwrap();
    assert_eq!(there, "xx");
    // What is theirs alone is not held to reading by the lane before.
    drop(lanes.workspace(&opening).await.unwrap());
    let mut lane = lanes.user(&opening).await.unwrap();
    lane.conn().execute("insert into app.threads (client_id) values (gen_random_uuid())").await.unwrap();
}

#[tokio::test]
async fn whatever_still_waits_when_somebody_is_removed_is_refused() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let (cy, eve) = (app.sign_up("cy@example.org").await, app.sign_up("eve@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let (cys, _eves) =
        (join(&app, &place, &cy, "project_creator").await, join(&app, &place, &eve, "project_creator").await);
    let plan = project(&app, &ada, &place, "Plan").await;
    let person = put(&app, &plan, &cy, "viewer").await;
    ok(
        &app,
        &ada,
        &place,
        "invitations/server_fns/invite",
        &[("emails", "x@example.org"), ("role", "project_creator")],
    )
    .await;
    let invitation: Uuid = sqlx::query_scalar("select id from app.invitations where email = 'x@example.org'")
        .fetch_one(&mut app.db.superuser().await)
        .await
        .unwrap();
    ok(&app, &ada, &place, "domains/server_fns/add_domain", &[("domain", "acme.org")]).await;
    let domain: Uuid = sqlx::query_scalar("select id from app.workspace_domains")
        .fetch_one(&mut app.db.superuser().await)
        .await
        .unwrap();
    let (invitation, client) = (invitation.to_string(), Uuid::new_v4().to_string());
    let state = async || -> String {
        sqlx::query_scalar(
            "select concat((select json_agg(json_build_array(name, description, deleted_at) order by id) from app.workspaces), (select json_agg(domain order by id) from app.workspace_domains), (select json_agg(json_build_array(email, role) order by id) from app.workspace_members where email <> 'bob@example.org'),
                    (select json_agg(json_build_array(name, archived_at) order by id) from app.projects), (select json_agg(json_build_array(email, role) order by id) from app.project_members),
                    (select json_agg(json_build_array(email, role, token_hash) order by id) from app.invitations))",
        )
        .fetch_one(&mut app.db.superuser().await)
        .await
        .unwrap()
    };
    let before = state().await;
    for (function, fields) in changes(&plan, &cys, &person, &invitation, &domain.to_string(), &client) {
        let bobs = join(&app, &place, &bob, "admin").await;
        let mut other = app.db.superuser().await;
        other.execute("begin; select from app.workspaces where name = 'Acme' for update").await.unwrap();
        let (answer, ()) = tokio::join!(at(&app, &bob, &bobs, function, &fields), async {
            app.until("bob waits", async || (app.waiting().await > 0).then_some(())).await;
            // Nothing that the removal needs is held by whoever waits.
            other.execute("set local lock_timeout = '1s'; delete from app.workspace_members m using app.workspaces w where w.id = m.workspace_id and w.name = 'Acme' and m.email = 'bob@example.org'; commit").await.unwrap();
        });
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{function}: {}", answer.body);
        assert_eq!(state().await, before, "{function}");
    }
    // And where the whole workspace is deleted.
    let bobs = join(&app, &place, &bob, "admin").await;
    let mut other = app.db.superuser().await;
    other.execute("begin; select from app.workspaces where name = 'Acme' for update").await.unwrap();
    let (answer, ()) =
        tokio::join!(at(&app, &bob, &bobs, "workspaces/server_fns/change_workspace", &[("name", "Mine")]), async {
            app.until("bob waits", async || (app.waiting().await > 0).then_some(())).await;
            other.execute("update app.workspaces set deleted_at = now() where name = 'Acme'; commit").await.unwrap();
        });
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.body);
    other.execute("update app.workspaces set deleted_at = null").await.unwrap();
    assert_eq!(state().await, before);
}

#[tokio::test]
async fn a_removal_holds_nothing_that_somebody_who_accepts_an_invitation_waits_for() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let bobs = join(&app, &place, &bob, "admin").await;
    let mut other = app.db.superuser().await;
    // As whoever accepts begins, and goes on to the row of whoever invited.
    other.execute("begin; select from app.workspaces where name = 'Acme' for no key update").await.unwrap();
    let fields = [("member", bobs.as_str())];
    let (answer, ()) = tokio::join!(at(&app, &ada, &place, "workspaces/server_fns/remove_member", &fields), async {
        app.until("ada waits", async || (app.waiting().await > 0).then_some(())).await;
        other
            .execute("select from app.workspace_members where email = 'bob@example.org' for key share nowait; commit")
            .await
            .unwrap();
    });
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

#[tokio::test]
async fn a_link_that_a_colleague_passed_on_opens_in_ones_own_place_and_for_nobody_else() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let (gus, zoe) = (app.sign_up("gus@example.org").await, app.sign_up("zoe@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    let plan = project(&app, &ada, &place, "Plan").await;
    put(&app, &plan, &bob, "viewer").await;
    put(&app, &plan, &gus, "viewer").await;
    let other = make(&app, &zoe, "Zoo").await;
    for rest in ["", "/members?q=b%20c&sort=seen", &format!("/projects/{plan}")] {
        let moved = app.page(Some(&bob), &format!("/w/{place}{rest}")).await;
        assert_eq!(moved.status, StatusCode::SEE_OTHER, "{rest}");
        assert_eq!(moved.headers[header::LOCATION], format!("/w/{bobs}{rest}"));
        assert_eq!(app.page(Some(&bob), &format!("/w/{bobs}{rest}")).await.status, StatusCode::OK, "{rest}");
        for stranger in [&gus, &zoe] {
            let there = app.page(Some(stranger), &format!("/w/{place}{rest}")).await;
            let not = app.page(Some(stranger), &format!("/w/0e000000-0000-4000-8000-00000000000e{rest}")).await;
            assert_eq!((there.status, not.status), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND), "{rest}");
            assert!(!there.body.contains("Acme"), "{rest}");
        }
    }
    // What is not theirs in it stays nothing; and their own place leads nowhere else.
    let hidden = project(&app, &ada, &place, "Hidden").await;
    let moved = app.page(Some(&bob), &format!("/w/{place}/projects/{hidden}")).await;
    assert_eq!(moved.headers[header::LOCATION], format!("/w/{bobs}/projects/{hidden}"));
    assert_eq!(app.page(Some(&bob), &format!("/w/{bobs}/projects/{hidden}")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(app.page(Some(&zoe), &format!("/w/{other}/projects/{plan}")).await.status, StatusCode::NOT_FOUND);
    // By a form nothing is moved: it acts where it stood.
    let saved = app.form(Some(&bob), &format!("/w/{place}/settings?do=leave-workspace"), &[]).await;
    assert_eq!(saved.status, StatusCode::NOT_FOUND);
    // Whoever was removed, and a workspace that was deleted.
    ok(&app, &ada, &place, "workspaces/server_fns/remove_member", &[("member", &bobs)]).await;
    assert_eq!(app.page(Some(&bob), &format!("/w/{place}")).await.status, StatusCode::NOT_FOUND);
}
