//! The audit trail: everything is in it, nobody changes it, and it tells nobody what they may not know.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use moat::{
    audit::{
        chain::{self, Broken},
        verify,
    },
    server::{jobs, lanes::Reason},
};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor};
use uuid::Uuid;

use crate::{
    harness::{Answer, App, PASSWORD, Person},
    workspaces::{at, join, make, members, ok, places, project, put, told},
};

const LIST: &str = "audit/server_fns/list_events";
const INVITE: &str = "invitations/server_fns/invite";

/// The events that somebody reads in a place, the oldest first.
async fn events(app: &App, person: &Person, place: &str, narrow: &[(&str, &str)]) -> Vec<Value> {
    let fields: Vec<_> = narrow.iter().map(|(name, value)| (format!("wanted[{name}]"), *value)).collect();
    let mut fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    fields.push(("wanted[none]", ""));
    let page = ok(app, person, place, LIST, &fields).await;
    let mut events = page["events"].as_array().unwrap().clone();
    events.reverse();
    events
}

/// An event in a line: who, what, whom.
fn line(event: &Value) -> String {
    let who = match &event["by"] {
        Value::String(by) => by.clone(),
        by => by["person"]["email"].as_str().unwrap().to_owned(),
    };
    let name = |who: &str| who.split('@').next().unwrap().to_owned();
    let whom = event["person"]["email"].as_str().map(|email| format!(" {}", name(email))).unwrap_or_default();
    format!("{} {}{whom}", name(&who), event["kind"].as_str().unwrap())
}

fn lines(events: &[Value]) -> Vec<String> {
    events.iter().map(line).collect()
}

fn last(events: &[Value]) -> &Value {
    events.last().unwrap()
}

async fn export(app: &App, person: &Person, place: &str) -> Answer {
    let request = Request::get(format!("/w/{place}/audit.jsonl")).header(header::COOKIE, person.cookie());
    app.send(request.body(Body::empty()).unwrap()).await
}

fn check(file: &str) -> Result<chain::Copy, Broken> {
    chain::check(file.lines().map(|line| Ok::<_, ()>(line.to_owned())))
}

async fn behind(app: &App, sql: &str) {
    app.db.superuser().await.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
}

#[tokio::test]
async fn each_change_in_a_workspace_is_noted_with_who_did_it_and_what_it_was_before() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let told = ok(&app, &ada, &place, INVITE, &[("emails", "bob@example.org"), ("role", "project_creator")]).await;
    let url = told[0]["outcome"]["link"].as_str().unwrap().to_owned();
    let token = url.split("t=").nth(1).unwrap().to_owned();
    let joined = app.call(Some(&bob), "invitations/server_fns/accept_invitation", &[("token", &token)]).await;
    assert_eq!(joined.status, StatusCode::OK, "{}", joined.body);
    let roof = project(&app, &ada, &place, "Roof").await;
    let put = [("project", roof.as_str()), ("email", "bob@example.org"), ("role", "viewer")];
    ok(&app, &ada, &place, "projects/server_fns/put_person", &put).await;
    let all = members(&app, &ada, &place, &[]).await;
    let bobs = all.iter().find(|m| m["email"] == "bob@example.org").unwrap()["id"].as_str().unwrap().to_owned();
    ok(&app, &ada, &place, "workspaces/server_fns/set_member_role", &[("member", &bobs), ("role", "admin")]).await;
    ok(&app, &ada, &place, "workspaces/server_fns/set_member_role", &[("member", &bobs), ("role", "admin")]).await;
    let changed = [("project", roof.as_str()), ("name", "Tower"), ("description", "High")];
    ok(&app, &ada, &place, "projects/server_fns/change_project", &changed).await;
    ok(&app, &ada, &place, "workspaces/server_fns/change_workspace", &[("name", "Acme & Co")]).await;
    ok(&app, &ada, &place, "projects/server_fns/archive_project", &[("project", &roof), ("archived", "true")]).await;
    ok(&app, &ada, &place, "workspaces/server_fns/remove_member", &[("member", &bobs)]).await;

    let events = events(&app, &ada, &place, &[]).await;
    let expected = [
        "ada workspace.added",
        "ada member.added",
        "ada invitation.added bob",
        "bob member.added",
        "bob invitation.changed",
        "ada project.added",
        "ada person.added",
        "ada person.added bob",
        "ada member.changed bob",
        "ada project.changed",
        "ada workspace.changed",
        "ada project.changed",
        "ada member.removed bob",
        "ada person.removed bob",
    ];
    assert_eq!(lines(&events), expected);
    let seqs: Vec<_> = events.iter().map(|e| e["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, (1..=14).collect::<Vec<_>>());
    let change = |n: usize| (events[n]["old"].clone(), events[n]["new"].clone());
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(change(8), (json(r#"{"role": "project_creator"}"#), json(r#"{"role": "admin"}"#)));
    assert_eq!(change(9), (json(r#"{"name": "Roof"}"#), json(r#"{"name": "Tower", "description": "High"}"#)));
    assert_eq!(change(12), (json(r#"{"role": "admin", "status": "active"}"#), json("{}")));
    assert_eq!(events[13]["project"], serde_json::json!([roof, "Tower"]));
    // Where it came from, and no secret.
    assert_eq!(events[8]["by"]["person"]["user_agent"], "");
    assert_eq!(events[2]["new"]["token_hash"], "(not shown)");
    let bodies: Vec<String> =
        sqlx::query_scalar("select body from app.audit_events").fetch_all(&mut app.db.superuser().await).await.unwrap();
    for secret in [&token, &ada.access, "argon2", "ada@example.org", "bob@example.org"] {
        assert!(!bodies.iter().any(|body| body.contains(secret)), "{secret}");
    }
}

#[tokio::test]
async fn where_a_change_came_from_is_noted_and_one_that_is_undone_is_not() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let place = make(&app, &ada, "Acme").await;
    let mut request = crate::harness::post(&format!("/w/{place}/settings?do=change-workspace"), &[("name", "Roof")]);
    request.headers_mut().insert(header::COOKIE, ada.cookie().parse().unwrap());
    request.headers_mut().insert(header::USER_AGENT, "A browser".parse().unwrap());
    assert_eq!(app.send(request).await.status, StatusCode::SEE_OTHER);
    let seen = events(&app, &ada, &place, &[]).await;
    assert_eq!(last(&seen)["by"]["person"]["user_agent"], "A browser");
    assert_eq!(last(&seen)["by"]["person"]["ip"], "0.0.0.0");

    let mut opening = ada.opening();
    opening.place = Some(place.parse().unwrap());
    let mut lane = app.state.lanes.writing(&opening).await.unwrap();
    lane.conn().execute("update app.workspaces set name = 'never'").await.unwrap();
    drop(lane);
    assert_eq!(events(&app, &ada, &place, &[]).await, seen);
    assert_eq!(app.count("select count(*) from app.audit_pending").await, 0);
}

#[tokio::test]
async fn what_happens_to_an_account_is_in_its_own_trail_without_what_is_secret() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let home = places(&app, &ada).await[0]["id"].as_str().unwrap().to_owned();
    let other = app.sign_in("ada@example.org", PASSWORD).await;
    let other = app.person("ada@example.org", &other);
    let revoke = [("session", other.session.to_string())];
    let revoke: Vec<_> = revoke.iter().map(|(n, v)| (*n, v.as_str())).collect();
    assert_eq!(app.call(Some(&ada), "accounts/server_fns/revoke_session", &revoke).await.status, StatusCode::OK);
    let fields = [("name", "Ada L"), ("language", "en"), ("time_zone", "Europe/Berlin")];
    let saved = app.call(Some(&ada), "accounts/server_fns/save_profile", &fields).await;
    assert_eq!(saved.status, StatusCode::OK, "{}", saved.body);
    let all = events(&app, &ada, &home, &[]).await;
    let kinds: Vec<_> = all.iter().map(|e| e["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["password.added", "session.added", "session.added", "session.changed", "account.changed"]);
    assert!(all.iter().all(|e| e["by"]["person"]["email"] == "ada@example.org" && e["person"].is_null()), "{all:?}");
    assert_eq!(last(&all)["new"], serde_json::json!({ "display_name": "(not shown)", "time_zone": "Europe/Berlin" }));
    // Nobody else's, and no workspace's.
    let bob = app.sign_up("bob@example.org").await;
    assert_eq!(at(&app, &bob, &home, LIST, &[("wanted[about]", "")]).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn whoever_runs_the_server_is_not_introduced_to_those_whom_they_keep_out() {
    let app = App::new().await;
    let (ada, bob, root) = (
        app.sign_up("ada@example.org").await,
        app.sign_up("bob@example.org").await,
        app.sign_up("root@example.org").await,
    );
    let place = make(&app, &ada, "Acme").await;
    join(&app, &place, &bob, "admin").await;
    behind(&app, "update app.users set superuser = true where email = 'root@example.org'").await;
    let id = bob.id.to_string();
    let fields = [("user", id.as_str()), ("status", "banned")];
    let done = app.call(Some(&root), "accounts/server_fns/set_account_status", &fields).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.body);
    let all = events(&app, &ada, &place, &[]).await;
    assert_eq!(line(last(&all)), "operator member.changed bob");
    assert_eq!(last(&all)["new"], serde_json::json!({ "status": "banned" }));
    let ids = app.db.superuser().await;
    let bodies: Vec<String> = sqlx::query_scalar("select body || coalesce((select string_agg(p.data, '') from app.audit_people p where p.workspace_id = e.workspace_id and p.seq = e.seq), '')
        from app.audit_events e where kind in ('member.changed', 'account.changed') and body like '%banned%'")
        .fetch_all(&mut { ids }).await.unwrap();
    assert_eq!(bodies.len(), 2);
    assert!(!bodies.iter().any(|b| b.contains("root@example.org") || b.contains(&root.id.to_string())), "{bodies:?}");
}

#[tokio::test]
async fn nobody_at_all_changes_an_event() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let place = make(&app, &ada, "Acme").await;
    let mut opening = ada.opening();
    opening.place = Some(place.parse().unwrap());
    let before = export(&app, &ada, &place).await.body;
    for statement in [
        "update app.audit_events set body = body",
        "delete from app.audit_events",
        "truncate app.audit_events cascade",
        "update app.audit_people set data = '{}'",
        "insert into app.audit_events (workspace_id, seq, body, hash) select workspace_id, 99, body, hash from app.audit_events limit 1",
        "update app.audit_heads set seq = 0",
    ] {
        let mut lane = app.state.lanes.workspace(&opening).await.unwrap();
        assert!(lane.conn().execute(statement).await.is_err(), "owner: {statement}");
        for reason in [Reason::Sweep, Reason::Operate, Reason::Denials] {
            let mut lane = app.state.lanes.service(reason).await.unwrap();
            assert!(lane.conn().execute(statement).await.is_err(), "service: {statement}");
        }
        // The role of the definer functions, and the owner of the schema: refused, or shown nothing.
        for role in ["moat_definer", "moat_owner"] {
            let mut conn = app.db.superuser().await;
            conn.execute("begin").await.unwrap();
            conn.execute(AssertSqlSafe(format!("set local role {role}"))).await.unwrap();
            drop(conn.execute(statement).await);
            drop(conn.execute("commit").await);
        }
        if !statement.contains("insert") && !statement.contains("heads") {
            let error = app.db.superuser().await.execute(statement).await.unwrap_err();
            assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("42501"), "superuser: {statement}");
        }
    }
    // moat_definer does write events and heads, by its functions alone: nothing of the above has happened.
    assert_eq!(export(&app, &ada, &place).await.body, before);
}

#[tokio::test]
async fn a_trail_that_was_changed_behind_the_servers_back_is_found_out() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let place = make(&app, &ada, "Acme").await;
    for name in ["One", "Two", "Three"] {
        ok(&app, &ada, &place, "workspaces/server_fns/change_workspace", &[("name", name)]).await;
    }
    let copy = export(&app, &ada, &place).await;
    assert_eq!(copy.status, StatusCode::OK);
    let known = check(&copy.body).unwrap();
    assert_eq!((known.workspace.as_str(), known.end.seq), ("Three", 5));
    let ids: Vec<Uuid> =
        sqlx::query_scalar("select id from app.workspaces").fetch_all(&mut app.db.superuser().await).await.unwrap();
    assert!(!ids.iter().any(|id| copy.body.contains(&id.to_string()) || copy.body.contains(&id.simple().to_string())));
    ok(&app, &ada, &place, "workspaces/server_fns/change_workspace", &[("name", "Four")]).await;
    let whole = verify::server(&app.state, Some(&known)).await.unwrap();
    assert!(whole.holds && whole.text.contains("2 audit trails"), "{}", whole.text);

    let of_acme = "workspace_id = (select id from app.workspaces where personal_of is null)";
    let tamper = async |statements: &str| {
        behind(
            &app,
            &format!(
                "create table if not exists public.kept as select workspace_id, seq, body, hash from app.audit_events;
            create table if not exists public.heads as select * from app.audit_heads;
            set session_replication_role = replica; {statements}"
            ),
        )
        .await;
        let report = verify::server(&app.state, Some(&known)).await.unwrap();
        behind(&app, "set session_replication_role = replica; delete from app.audit_events; delete from app.audit_heads;
            insert into app.audit_events (workspace_id, seq, body, hash) select * from public.kept; insert into app.audit_heads select * from public.heads").await;
        assert!(verify::server(&app.state, Some(&known)).await.unwrap().holds);
        assert!(!report.holds, "{statements}");
        report.text
    };
    let told =
        tamper(&format!("update app.audit_events set body = replace(body, 'Two', 'Six') where seq = 4 and {of_acme}"))
            .await;
    assert!(told.contains("event 4"), "{told}");
    let told = tamper(&format!("delete from app.audit_events where seq = 3 and {of_acme}")).await;
    assert!(told.contains("event 4 is not the one"), "{told}");
    let told = tamper(&format!("delete from app.audit_events where seq = 6 and {of_acme}")).await;
    assert!(told.contains("the last event is 5"), "{told}");
    // Somebody who works all of it out anew, from the third event on: the chain holds, and only the copy knows.
    let told = tamper(&format!(
        "do $$ declare prev bytea; e record; begin
        select hash into prev from app.audit_events where seq = 2 and {of_acme};
        update app.audit_events set body = replace(body, 'One', 'Ten') where {of_acme};
        for e in select * from app.audit_events where seq > 2 and {of_acme} order by seq loop
          prev := sha256(prev || convert_to(e.body, 'UTF8'));
          update app.audit_events x set hash = prev where x.workspace_id = e.workspace_id and x.seq = e.seq;
        end loop;
        update app.audit_heads set hash = prev where {of_acme}; end $$"
    ))
    .await;
    assert!(told.contains("all that is in the copy"), "{told}");
}

#[tokio::test]
async fn whoever_is_erased_leaves_what_they_did_and_not_who_they_were() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    ok(&app, &ada, &place, INVITE, &[("emails", "bob@example.org"), ("role", "admin")]).await;
    let bobs = join(&app, &place, &bob, "admin").await;
    ok(&app, &bob, &bobs, "workspaces/server_fns/change_workspace", &[("name", "Bob's")]).await;
    let before = export(&app, &ada, &place).await.body;
    assert!(before.contains("bob@example.org"));
    let gone = app
        .call(Some(&bob), "accounts/server_fns/erase_account", &[("password", PASSWORD), ("name", "bob@example.org")])
        .await;
    assert_eq!(gone.status, StatusCode::OK, "{}", gone.body);
    jobs::erase(&app.state).await.unwrap();
    let after = export(&app, &ada, &place).await.body;
    assert!(!after.contains("bob@example.org"), "{after}");
    let copy = check(&after).unwrap();
    assert!(copy.end.seq > check(&before).unwrap().end.seq);
    let report = verify::server(&app.state, Some(&check(&before).unwrap())).await.unwrap();
    assert!(report.holds, "{}", report.text);
    let all = events(&app, &ada, &place, &[]).await;
    assert!(lines(&all).contains(&" workspace.changed".to_owned()), "{:?}", lines(&all));
    assert_eq!(line(last(&all)), "server member.removed ");
    assert_eq!(app.count("select count(*) from app.audit_people where email = 'bob@example.org'").await, 0);
}

#[tokio::test]
async fn owners_and_admins_read_the_trail_and_managers_of_a_project_that_projects_alone() {
    let app = App::new().await;
    let mut people = Vec::new();
    for name in ["ada", "bob", "cy", "dee"] {
        people.push(app.sign_up(&format!("{name}@example.org")).await);
    }
    let [ada, bob, cy, dee] = &people[..] else { unreachable!() };
    let place = make(&app, ada, "Acme").await;
    let (bobs, cys) = (join(&app, &place, bob, "admin").await, join(&app, &place, cy, "project_creator").await);
    let elsewhere = make(&app, dee, "Other").await;
    let (roof, cellar) = (project(&app, cy, &cys, "Roof").await, project(&app, ada, &place, "Cellar").await);
    let whole = events(&app, ada, &place, &[]).await;
    assert!(whole.len() > 6);
    assert_eq!(events(&app, bob, &bobs, &[]).await, whole);
    assert_eq!(lines(&events(&app, cy, &cys, &[("project", &roof)]).await), ["cy project.added", "cy person.added"]);
    for (who, at_place, wanted) in [(cy, &cys, ""), (cy, &cys, cellar.as_str())] {
        let refused = at(&app, who, at_place, LIST, &[("wanted[project]", wanted), ("wanted[about]", "")]).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{wanted}");
    }
    // By no other way either: a lane of cy's, asked for everything.
    let mut opening = cy.opening();
    opening.place = Some(cys.parse().unwrap());
    let mut lane = app.state.lanes.workspace(&opening).await.unwrap();
    let seen: Vec<Option<Uuid>> =
        sqlx::query_scalar("select project_id from app.audit_events").fetch_all(lane.conn()).await.unwrap();
    assert_eq!(seen, [Some(roof.parse().unwrap()); 2]);
    assert_eq!(export(&app, cy, &cys).await.status, StatusCode::FORBIDDEN);
    assert_eq!(export(&app, dee, &place).await.status, StatusCode::NOT_FOUND);
    assert_eq!(events(&app, dee, &elsewhere, &[("project", &roof)]).await, Vec::<Value>::new());
    // Somebody who is not an admin any more reads nothing from the next request on.
    let bob_row = members(&app, ada, &place, &[]).await;
    let bob_row = bob_row.iter().find(|m| m["email"] == "bob@example.org").unwrap()["id"].as_str().unwrap().to_owned();
    ok(
        &app,
        ada,
        &place,
        "workspaces/server_fns/set_member_role",
        &[("member", &bob_row), ("role", "project_creator")],
    )
    .await;
    assert_eq!(at(&app, bob, &bobs, LIST, &[("wanted[about]", "")]).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_trail_is_narrowed_by_person_by_kind_and_by_day_and_read_page_by_page() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let bobs = join(&app, &place, &bob, "admin").await;
    for n in 0..60 {
        let name = format!("Name {n}");
        ok(&app, &bob, &bobs, "workspaces/server_fns/change_workspace", &[("name", &name)]).await;
    }
    project(&app, &ada, &place, "Roof").await;
    let of_bob = events(&app, &ada, &place, &[("person", "bob@example.org"), ("about", "member")]).await;
    assert_eq!(lines(&of_bob), ["database member.added bob"]);
    let of_ada = events(&app, &ada, &place, &[("person", "ada@example.org")]).await;
    assert_eq!(lines(&of_ada), ["ada workspace.added", "ada member.added", "ada project.added", "ada person.added"]);
    assert_eq!(lines(&events(&app, &ada, &place, &[("about", "project")]).await), ["ada project.added"]);
    assert!(events(&app, &ada, &place, &[("to", "2026-01-31")]).await.is_empty());
    assert_eq!(events(&app, &ada, &place, &[("from", "2026-01-31"), ("to", "9998-12-31")]).await.len(), 50);
    for wrong in ["2026-02-30", "soon", "99999999999-1-1", "2026-1"] {
        let answer = at(&app, &ada, &place, LIST, &[("wanted[from]", wrong)]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let mut all = Vec::new();
    let mut before = String::new();
    loop {
        let page = ok(&app, &ada, &place, LIST, &[("wanted[before]", &before), ("wanted[about]", "")]).await;
        all.extend(page["events"].as_array().unwrap().iter().map(|e| e["seq"].as_i64().unwrap()));
        let Some(next) = page["next"].as_i64() else { break };
        before = next.to_string();
    }
    assert_eq!(all, (1..=65).rev().collect::<Vec<_>>());
    // The page, without a script.
    let page = app.page(Some(&ada), &format!("/w/{place}/audit?about=project")).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("made the project Roof") && page.body.contains("audit.jsonl"), "{}", page.body);
    // An admin, in his own place.
    let moved = app.page(Some(&bob), &format!("/w/{place}/audit")).await;
    let own = moved.headers[header::LOCATION].to_str().unwrap();
    assert_eq!((moved.status, app.page(Some(&bob), own).await.status), (StatusCode::SEE_OTHER, StatusCode::OK));
}

#[tokio::test]
async fn what_is_asked_for_in_vain_is_told_to_those_whose_it_is_and_by_no_answer() {
    let app = App::new().await;
    let mut people = Vec::new();
    for name in ["ada", "bob", "eve"] {
        people.push(app.sign_up(&format!("{name}@example.org")).await);
    }
    let [ada, bob, eve] = &people[..] else { unreachable!() };
    let place = make(&app, ada, "Acme").await;
    let bobs = join(&app, &place, bob, "project_creator").await;
    let eves = make(&app, eve, "Evil").await;
    let cellar = project(&app, ada, &place, "Cellar").await;
    ok(&app, ada, &place, INVITE, &[("emails", "cy@example.org"), ("role", "admin")]).await;
    let started = app
        .call(
            Some(ada),
            "threads/server_fns/start_thread",
            &[("client", &Uuid::new_v4().to_string()), ("text", "Mine")],
        )
        .await;
    let thread = started.json()["thread"].as_str().unwrap().to_owned();
    let before = events(&app, ada, &place, &[]).await.len();

    let absent = Uuid::new_v4().to_string();
    let asked = async |id: &str, who: &Person, at_place: &str| {
        told(&at(&app, who, at_place, "projects/server_fns/read_project", &[("project", id)]).await)
    };
    // A member without the project, somebody from elsewhere; their places, a page, a form, a chat.
    assert_eq!(asked(&cellar, bob, &bobs).await, asked(&absent, bob, &bobs).await);
    assert_eq!(asked(&cellar, eve, &eves).await, asked(&absent, eve, &eves).await);
    assert_eq!(asked(&cellar, eve, &eves).await.0, StatusCode::NOT_FOUND);
    let page = async |path: &str| app.page(Some(eve), path).await.status;
    assert_eq!(page(&format!("/w/{place}/members")).await, StatusCode::NOT_FOUND);
    assert_eq!(page(&format!("/chat/{thread}")).await, page(&format!("/chat/{absent}")).await);
    let form = app.form(Some(eve), &format!("/w/{eves}/members?do=remove-member"), &[("member", &place)]).await;
    assert_eq!(form.status, StatusCode::NOT_FOUND);
    assert_eq!(events(&app, ada, &place, &[]).await.len(), before, "the answer waited for it");
    jobs::note_misses(&app.state).await.unwrap();

    let denied = events(&app, ada, &place, &[("about", "security")]).await;
    let mut found: Vec<_> = denied
        .iter()
        .map(|e| (line(e), e["new"]["what"].as_str().unwrap().to_owned(), e["new"]["times"].as_i64().unwrap()))
        .collect();
    found.sort();
    let row = |who: &str, what: &str, times| (format!("{who} security.denied"), what.to_owned(), times);
    assert_eq!(found, [row("bob", "project", 1), row("stranger", "member", 2), row("stranger", "project", 2)]);
    // Of a stranger nothing but that there was one.
    assert!(!export(&app, ada, &place).await.body.contains(&eve.id.to_string()));
    assert!(!export(&app, ada, &place).await.body.contains("eve@example.org"));
    let home = places(&app, ada).await[0]["id"].as_str().unwrap().to_owned();
    let own = events(&app, ada, &home, &[("about", "security")]).await;
    assert_eq!((own.len(), own[0]["new"]["what"].as_str()), (1, Some("chat")));
    // Whoever asked finds nothing of it in any trail of theirs.
    for at_place in [&eves, places(&app, eve).await[0]["id"].as_str().unwrap()] {
        assert!(events(&app, eve, at_place, &[("about", "security")]).await.is_empty());
    }
    // Once is enough.
    jobs::note_misses(&app.state).await.unwrap();
    assert_eq!(events(&app, ada, &place, &[]).await.len(), before + 3);
}

#[tokio::test]
async fn a_flood_of_misses_fills_no_trail_whether_it_hits_or_not() {
    let app = App::new().await;
    let (ada, eve) = (app.sign_up("ada@example.org").await, app.sign_up("eve@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let mut ids = Vec::new();
    for n in 0..70 {
        ids.push(project(&app, &ada, &place, &format!("P{n}")).await);
    }
    let misses = |ids: &[String]| -> Value {
        ids.iter().map(|id| serde_json::json!({ "sub": eve.id, "id": id, "n": 1 })).collect()
    };
    let note = async |rows: &Value| {
        let mut lane = app.state.lanes.service(Reason::Denials).await.unwrap();
        moat::audit::sql::note_misses(&mut lane, rows).await.unwrap();
        lane.commit().await.unwrap();
    };
    note(&misses(&ids)).await;
    let denied = app.count("select count(*) from app.audit_events where kind = 'security.denied'").await;
    assert!((60..=61).contains(&denied), "{denied}");
    // What is limited is asking, not hitting: nothing but air uses it up just the same.
    let cy = app.sign_up("cy@example.org").await;
    let rows: Value = (0..70).map(|_| serde_json::json!({ "sub": cy.id, "id": Uuid::nil(), "n": 1 })).collect();
    note(&rows).await;
    note(&serde_json::json!([{ "sub": cy.id, "id": ids[0], "n": 1 }])).await;
    assert_eq!(app.count("select count(*) from app.audit_events where kind = 'security.denied'").await, denied);
}

#[tokio::test]
async fn many_changes_at_once_in_many_workspaces_make_whole_chains_and_nobody_waits_for_ever() {
    let app = App::with(&["--pool", "12"]).await;
    let ada = app.sign_up("ada@example.org").await;
    let (mut places, mut crowd) = (Vec::new(), Vec::new());
    for n in 0..4 {
        places.push(make(&app, &ada, &format!("W{n}")).await);
    }
    for n in 0..4 {
        let person = app.sign_up(&format!("p{n}@example.org")).await;
        for place in &places {
            join(&app, place, &person, "project_creator").await;
        }
        crowd.push(person);
    }
    let before = app.count("select count(*) from app.audit_events").await;
    let renames = async |place: &String| {
        for n in 0..10 {
            let name = format!("N{n}");
            ok(&app, &ada, place, "workspaces/server_fns/change_workspace", &[("name", &name)]).await;
        }
    };
    // Each of these notes something in all four, in the order in which the rows lie.
    let bans = async |person: &Person| {
        for status in ["inactive", "active", "inactive", "active", "inactive"] {
            let sql = format!("update app.users set status = '{status}' where id = '{}'", person.id);
            app.db.superuser().await.execute(AssertSqlSafe(sql)).await.unwrap();
        }
    };
    tokio::join!(
        renames(&places[0]),
        renames(&places[1]),
        renames(&places[2]),
        renames(&places[3]),
        bans(&crowd[0]),
        bans(&crowd[1]),
        bans(&crowd[2]),
        bans(&crowd[3]),
    );
    // A rename that a waiting one had overtaken may have found its name there already; a status is another one each time.
    let after = app.count("select count(*) from app.audit_events").await;
    assert_eq!(after - before, 4 * 10 + 4 * 5 * 5);
    let report = verify::server(&app.state, None).await.unwrap();
    assert!(report.holds, "{}", report.text);
    assert_eq!(app.count("select count(*) from app.audit_pending").await, 0);
}

#[tokio::test]
async fn a_trail_goes_with_its_workspace_and_the_others_hold() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let place = make(&app, &ada, "Acme").await;
    ok(&app, &ada, &place, "workspaces/server_fns/delete_workspace", &[("name", "Acme")]).await;
    behind(&app, "update app.workspaces set deleted_at = now() - interval '31 days' where deleted_at is not null")
        .await;
    assert_eq!(jobs::sweep_workspaces(&app.state).await.unwrap(), 1);
    assert_eq!(app.count("select count(*) from app.audit_events e where not exists (select from app.workspaces w where w.id = e.workspace_id)").await, 0);
    assert!(verify::server(&app.state, None).await.unwrap().holds);
}

async fn erase(app: &App, person: &Person, email: &str) {
    let fields = [("password", PASSWORD), ("name", email)];
    let gone = app.call(Some(person), "accounts/server_fns/erase_account", &fields).await;
    assert_eq!(gone.status, StatusCode::OK, "{}", gone.body);
    jobs::erase(&app.state).await.unwrap();
}

/// What is in a workspace's trail of what was asked for in vain, after the job has looked.
async fn denials(app: &App, person: &Person, place: &str) -> Vec<String> {
    jobs::note_misses(&app.state).await.unwrap();
    lines(&events(app, person, place, &[("about", "security")]).await)
}

#[tokio::test]
async fn nobody_asks_quietly_by_putting_sixteen_ids_of_nothing_in_front() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    let cellar = project(&app, &ada, &place, "Cellar").await;
    let junk = format!("x={}", Uuid::nil()) + &format!("&x={}", Uuid::nil()).repeat(15);
    let function = format!("projects/server_fns/read_project?{junk}");
    let answer = at(&app, &bob, &bobs, &function, &[("project", &cellar)]).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.body);
    assert_eq!(denials(&app, &ada, &place).await, ["bob security.denied"]);
}

#[tokio::test]
async fn nobody_asks_quietly_by_a_form_that_does_not_say_that_it_is_one() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    let cellar = project(&app, &ada, &place, "Cellar").await;
    for (n, kind) in ["Application/X-WWW-Form-Urlencoded", "text/plain", ""].into_iter().enumerate() {
        let mut request = crate::harness::post("/api/moat/projects/server_fns/read_project", &[("project", &cellar)]);
        request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {}", bob.access).parse().unwrap());
        request.headers_mut().insert("x-moat-place", bobs.parse().unwrap());
        request.headers_mut().insert(header::CONTENT_TYPE, kind.parse().unwrap());
        let answer = app.send(request).await;
        // Whoever is not told that there is nothing has not asked in vain.
        if answer.status == StatusCode::NOT_FOUND {
            assert_eq!(denials(&app, &ada, &place).await.len(), n + 1, "{kind:?}");
        }
    }
}

#[tokio::test]
async fn a_link_that_leads_nowhere_and_words_with_an_id_in_them_accuse_nobody() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    join(&app, &place, &bob, "project_creator").await;
    let cellar = project(&app, &ada, &place, "Cellar").await;
    assert_eq!(app.page(Some(&bob), &format!("/nowhere?see={cellar}")).await.status, StatusCode::NOT_FOUND);
    assert!(denials(&app, &ada, &place).await.is_empty(), "a link accused whoever pressed it");
    let (thread, client) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    let words = format!("Why does Ada speak of {cellar}?");
    let fields = [("thread", thread.as_str()), ("client", &client), ("text", &words)];
    let answer = app.call(Some(&bob), "threads/server_fns/send_message", &fields).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.body);
    assert!(denials(&app, &ada, &place).await.is_empty(), "what somebody wrote was taken for what they asked for");
}

#[tokio::test]
async fn asking_for_anything_else_of_somebodys_is_in_their_trail_too() {
    let app = App::new().await;
    let (ada, eve) = (app.sign_up("ada@example.org").await, app.sign_up("eve@example.org").await);
    let home = places(&app, &ada).await[0]["id"].as_str().unwrap().to_owned();
    let client = Uuid::new_v4().to_string();
    let fields = [("client", client.as_str()), ("text", "Mine")];
    let started = app.call(Some(&ada), "threads/server_fns/start_thread", &fields).await;
    assert_eq!(started.status, StatusCode::OK, "{}", started.body);
    let made = app.call(Some(&ada), "folders/server_fns/make_folder", &[("name", "Mine")]).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.body);
    let mut behind = app.db.superuser().await;
    let one = async |conn: &mut sqlx::PgConnection, sql: &'static str| -> String {
        sqlx::query_scalar::<_, Uuid>(sql).fetch_one(conn).await.unwrap().to_string()
    };
    let message = one(&mut behind, "select id from app.messages limit 1").await;
    let folder = one(&mut behind, "select id from app.folders limit 1").await;
    let fork = [("message", message.as_str()), ("client", &client)];
    assert_eq!(app.call(Some(&eve), "threads/server_fns/fork_thread", &fork).await.status, StatusCode::NOT_FOUND);
    let change = [("folder", folder.as_str()), ("name", "x")];
    assert_eq!(app.call(Some(&eve), "folders/server_fns/change_folder", &change).await.status, StatusCode::NOT_FOUND);
    assert_eq!(denials(&app, &ada, &home).await, ["stranger security.denied"; 2]);
}

#[tokio::test]
async fn an_address_that_somebody_had_before_goes_with_them_as_well() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let place = make(&app, &ada, "Acme").await;
    let told = ok(&app, &ada, &place, INVITE, &[("emails", "bob@example.org"), ("role", "admin")]).await;
    let token = told[0]["outcome"]["link"].as_str().unwrap().split("t=").nth(1).unwrap().to_owned();
    let bob = app.sign_up("bob@example.org").await;
    let joined = app.call(Some(&bob), "invitations/server_fns/accept_invitation", &[("token", &token)]).await;
    assert_eq!(joined.status, StatusCode::OK, "{}", joined.body);
    behind(&app, "update app.users set email = 'robert@example.org' where email = 'bob@example.org'").await;
    erase(&app, &bob, "robert@example.org").await;
    let after = export(&app, &ada, &place).await.body;
    assert!(!after.contains("robert@example.org"));
    assert!(!after.contains("bob@example.org"), "{after}");
}

#[tokio::test]
async fn whoever_has_an_address_after_somebody_and_is_erased_takes_no_name_of_theirs_along() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let bobs = join(&app, &place, &bob, "admin").await;
    ok(&app, &bob, &bobs, "workspaces/server_fns/change_workspace", &[("name", "Bob's")]).await;
    behind(&app, "update app.users set email = 'robert@example.org' where email = 'bob@example.org'").await;
    let other = app.sign_up("bob@example.org").await;
    erase(&app, &other, "bob@example.org").await;
    let all = lines(&events(&app, &ada, &place, &[("about", "workspace")]).await);
    assert_eq!(all, ["ada workspace.added", "bob workspace.changed"]);
}

#[tokio::test]
async fn what_was_under_way_while_somebody_was_erased_keeps_no_name_of_theirs() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let bobs = join(&app, &place, &bob, "admin").await;
    let mut opening = bob.opening();
    opening.place = Some(bobs.parse().unwrap());
    let mut lane = app.state.lanes.writing(&opening).await.unwrap();
    lane.conn().execute("update app.workspaces set name = 'by bob'").await.unwrap();
    let mut erasing = app.db.superuser().await;
    erasing.execute("begin").await.unwrap();
    erasing
        .execute(
            "update app.users set email = null, display_name = '', erased_at = now() where email = 'bob@example.org'",
        )
        .await
        .unwrap();
    let written = tokio::spawn(lane.commit());
    app.until("written, or waiting", async || (written.is_finished() || app.waiting().await > 0).then_some(())).await;
    erasing.execute("commit").await.unwrap();
    drop(written.await.unwrap());
    jobs::erase(&app.state).await.unwrap();
    assert_eq!(app.count("select count(*) from app.audit_people where email = 'bob@example.org'").await, 0);
}

#[tokio::test]
async fn a_guest_who_deletes_a_project_is_who_took_its_people_out_of_it() {
    let app = App::new().await;
    let mut people = Vec::new();
    for name in ["ada", "bob", "cy"] {
        people.push(app.sign_up(&format!("{name}@example.org")).await);
    }
    let [ada, bob, cy] = &people[..] else { unreachable!() };
    let place = make(&app, ada, "Acme").await;
    join(&app, &place, bob, "project_creator").await;
    let roof = project(&app, ada, &place, "Roof").await;
    put(&app, &roof, bob, "viewer").await;
    let cys = put(&app, &roof, cy, "owner").await;
    let fields = [("project", roof.as_str()), ("place", &cys), ("name", "Roof")];
    ok(&app, cy, &cys, "projects/server_fns/delete_project", &fields).await;
    let all = events(&app, ada, &place, &[("about", "person")]).await;
    let mut removed: Vec<_> = lines(&all).into_iter().filter(|line| line.contains("removed")).collect();
    removed.sort();
    assert_eq!(removed, ["cy person.removed", "cy person.removed ada", "cy person.removed bob"]);
    // Of which project it was is told as well.
    assert!(all.iter().all(|e| e["project"][0] == roof.as_str()), "{all:?}");
}

#[tokio::test]
async fn an_admin_who_is_removed_at_that_moment_is_who_did_what_they_did() {
    let app = App::new().await;
    let mut people = Vec::new();
    for name in ["ada", "bob", "cy"] {
        people.push(app.sign_up(&format!("{name}@example.org")).await);
    }
    let [ada, bob, cy] = &people[..] else { unreachable!() };
    let place = make(&app, ada, "Acme").await;
    let (bobs, cys) = (join(&app, &place, bob, "admin").await, join(&app, &place, cy, "project_creator").await);
    let mut opening = ada.opening();
    opening.place = Some(place.parse().unwrap());
    let mut lane = app.state.lanes.writing(&opening).await.unwrap();
    lane.conn().execute("delete from app.workspace_members where email = 'bob@example.org'").await.unwrap();
    let member = [("member", cys.as_str())];
    let removing = at(&app, bob, &bobs, "workspaces/server_fns/remove_member", &member);
    let out = async {
        app.until("bob waits", async || (app.waiting().await > 0).then_some(())).await;
        lane.commit().await.unwrap();
    };
    let (answer, ()) = tokio::join!(removing, out);
    let all = lines(&events(&app, ada, &place, &[("about", "member")]).await);
    if answer.status == StatusCode::OK {
        assert_eq!(all.last().unwrap(), "bob member.removed cy");
    } else {
        assert_eq!(all.last().unwrap(), "ada member.removed bob");
    }
}

#[tokio::test]
async fn whoever_runs_the_server_is_not_introduced_where_they_are_a_member_either() {
    let app = App::new().await;
    let mut people = Vec::new();
    for name in ["ada", "bob", "root"] {
        people.push(app.sign_up(&format!("{name}@example.org")).await);
    }
    let [ada, bob, root] = &people[..] else { unreachable!() };
    let place = make(&app, ada, "Acme").await;
    join(&app, &place, bob, "admin").await;
    join(&app, &place, root, "project_creator").await;
    behind(&app, "update app.users set superuser = true where email = 'root@example.org'").await;
    let id = bob.id.to_string();
    let fields = [("user", id.as_str()), ("status", "banned")];
    assert_eq!(app.call(Some(root), "accounts/server_fns/set_account_status", &fields).await.status, StatusCode::OK);
    let all = events(&app, ada, &place, &[]).await;
    assert_eq!(line(last(&all)), "operator member.changed bob");
}

#[tokio::test]
async fn a_session_that_a_copied_token_ended_was_not_ended_by_its_owner() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let home = places(&app, &ada).await[0]["id"].as_str().unwrap().to_owned();
    let replay = async || {
        let request = Request::get("/account").header(header::ACCEPT, "text/html");
        let request = request.header(header::COOKIE, format!("__Host-moat-refresh={}", ada.refresh));
        app.send(request.body(Body::empty()).unwrap()).await
    };
    replay().await;
    behind(&app, "update app.refresh_tokens set used_at = now() - interval '1 hour' where used_at is not null").await;
    replay().await;
    let again = app.person("ada@example.org", &app.sign_in("ada@example.org", PASSWORD).await);
    let all = events(&app, &again, &home, &[("about", "session")]).await;
    let ended = all.iter().find(|e| e["kind"] == "session.changed").unwrap();
    assert_eq!(line(ended), "server session.changed ada");
}

#[tokio::test]
async fn a_copy_with_something_behind_its_end_is_not_whole() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let place = make(&app, &ada, "Acme").await;
    let copy = export(&app, &ada, &place).await.body;
    let forged = copy.lines().nth(1).unwrap().replace("\"seq\":1", "\"seq\":3");
    assert!(check(&copy).is_ok());
    assert!(check(&format!("{copy}{forged}\n")).is_err(), "an event behind the end");
    let ends = copy.lines().last().unwrap();
    let both = format!("{},{}", ends.trim_end_matches('}'), forged.trim_start_matches('{'));
    assert!(check(&copy.replace(ends, &both)).is_err(), "an event in the last line");
}

#[tokio::test]
async fn whoever_is_no_admin_any_more_in_the_middle_of_an_export_gets_no_whole_copy() {
    use http_body_util::BodyExt;
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let bobs = join(&app, &place, &bob, "admin").await;
    behind(
        &app,
        "do $$ begin for n in 1..6000 loop
           update app.workspaces set name = 'N' || n where personal_of is null; commit;
         end loop; end $$",
    )
    .await;
    let request = Request::get(format!("/w/{bobs}/audit.jsonl")).header(header::COOKIE, bob.cookie());
    let response = app.open(request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    behind(
        &app,
        "update app.workspace_members set role = 'project_creator' where email = 'bob@example.org' and role = 'admin'",
    )
    .await;
    let (mut body, mut file) = (response.into_body(), Vec::new());
    while let Some(Ok(frame)) = body.frame().await {
        file.extend(frame.into_data().unwrap());
    }
    let file = String::from_utf8(file).unwrap();
    assert!(file.lines().count() < 6000, "it was all there before bob was demoted");
    assert!(check(&file).is_err(), "{}", file.lines().last().unwrap());
}

#[tokio::test]
async fn a_person_whom_nobody_can_be_called_is_looked_for_without_an_error() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let place = make(&app, &ada, "Acme").await;
    for field in ["wanted[person]", "wanted[about]", "wanted[from]"] {
        let answer = at(&app, &ada, &place, LIST, &[(field, "\0"), ("wanted[none]", "")]).await;
        assert_ne!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{field}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_project_with_many_people_can_be_deleted() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let place = make(&app, &ada, "Acme").await;
    let roof = project(&app, &ada, &place, "Roof").await;
    behind(
        &app,
        "set session_replication_role = replica;
         insert into app.users (id, email) select md5(n::text)::uuid, 'p' || n || '@example.org' from generate_series(1, 20000) n;
         insert into app.workspace_members (workspace_id, user_id, role, email) select w.id, u.id, 'project_creator', u.email from app.workspaces w, app.users u where w.name = 'Acme' and u.email like 'p%';
         insert into app.project_members (project_id, workspace_id, user_id, role, email) select p.id, p.workspace_id, u.id, 'viewer', u.email from app.projects p, app.users u where p.name = 'Roof' and u.email like 'p%'",
    )
    .await;
    let fields = [("project", roof.as_str()), ("place", &place), ("name", "Roof")];
    let gone = at(&app, &ada, &place, "projects/server_fns/delete_project", &fields).await;
    assert_eq!(gone.status, StatusCode::OK, "{}", gone.body);
    assert_eq!(app.count("select count(*) from app.audit_events where kind = 'person.removed'").await, 20_001);
}

#[test]
fn what_could_not_be_handed_over_is_kept_and_no_more_than_that() {
    use moat::{server::misses::Misses, types::UserId};
    let misses = Misses::default();
    let user = UserId(Uuid::from_u128(1));
    for round in 0..3_u128 {
        misses.put_back((0..10_000).map(|n| ((user, Uuid::from_u128(round << 64 | n)), 1)).collect());
    }
    assert_eq!(misses.take().len(), 10_000);
}

#[tokio::test]
async fn a_guest_who_manages_a_project_reads_no_address_of_somebody_who_is_not_in_it() {
    let app = App::new().await;
    let mut people = Vec::new();
    for name in ["ada", "bob", "cy"] {
        people.push(app.sign_up(&format!("{name}@example.org")).await);
    }
    let [ada, bob, cy] = &people[..] else { unreachable!() };
    let place = make(&app, ada, "Acme").await;
    let bobs = join(&app, &place, bob, "project_creator").await;
    let roof = project(&app, ada, &place, "Roof").await;
    let cys = put(&app, &roof, cy, "manager").await;
    at(&app, bob, &bobs, "projects/server_fns/read_project", &[("project", &roof)]).await;
    jobs::note_misses(&app.state).await.unwrap();
    let seen = at(&app, cy, &cys, LIST, &[("wanted[project]", &roof)]).await;
    assert!(!seen.body.contains("bob@example.org"), "{}", seen.body);
}

/// What the job hands over: who asked for which ids.
async fn asked_in_vain(app: &App, person: &Person, ids: &[&str]) {
    let rows: Value = ids.iter().map(|id| serde_json::json!({ "sub": person.id, "id": id, "n": 1 })).collect();
    let mut lane = app.state.lanes.service(Reason::Denials).await.unwrap();
    moat::audit::sql::note_misses(&mut lane, &rows).await.unwrap();
    lane.commit().await.unwrap();
}

async fn one(app: &App, sql: &str) -> String {
    sqlx::query_scalar::<_, String>(AssertSqlSafe(sql.to_owned()))
        .fetch_one(&mut app.db.superuser().await)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_invitation_into_a_project_and_what_a_guest_does_there_is_noted_with_their_name() {
    let app = App::new().await;
    let (ada, cy) = (app.sign_up("ada@example.org").await, app.sign_up("cy@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let roof = project(&app, &ada, &place, "Roof").await;
    let fields = [("emails", "bob@example.org"), ("projects[0]", roof.as_str()), ("project_role", "viewer")];
    ok(&app, &ada, &place, INVITE, &fields).await;
    let offers = events(&app, &ada, &place, &[("about", "offer")]).await;
    assert_eq!(lines(&offers), ["ada offer.added bob"]);
    assert_eq!(offers[0]["project"], serde_json::json!([roof, "Roof"]));
    assert_eq!(offers[0]["new"], serde_json::json!({ "role": "viewer" }));
    let id = one(&app, "select id::text from app.invitations").await;
    ok(&app, &ada, &place, "invitations/server_fns/revoke_invitation", &[("invitation", &id)]).await;
    let all = events(&app, &ada, &place, &[("about", "invitation")]).await;
    assert_eq!(lines(&all), ["ada invitation.added bob", "ada invitation.removed bob"]);

    let bob = app.sign_up("bob@example.org").await;
    let (bobs, cys) = (put(&app, &roof, &bob, "viewer").await, put(&app, &roof, &cy, "manager").await);
    let role = [("member", bobs.as_str()), ("role", "contributor")];
    ok(&app, &cy, &cys, "projects/server_fns/set_person_role", &role).await;
    let all = events(&app, &ada, &place, &[("about", "person")]).await;
    assert_eq!(line(last(&all)), "cy person.changed bob");
}

#[tokio::test]
async fn what_the_command_line_and_the_server_do_is_told_from_what_people_do() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    join(&app, &place, &bob, "admin").await;
    let home = places(&app, &bob).await[0]["id"].as_str().unwrap().to_owned();
    for status in [moat::types::UserStatus::Inactive, moat::types::UserStatus::Active] {
        let mut lane = app.state.lanes.service(Reason::Operate).await.unwrap();
        assert!(moat::accounts::sql::operate(&mut lane, "bob@example.org", Some(status), Some(true)).await.unwrap());
        lane.commit().await.unwrap();
    }
    let all = lines(&events(&app, &ada, &place, &[("about", "member")]).await);
    assert_eq!(all[1..], ["database member.added bob", "operator member.changed bob", "operator member.changed bob"]);
    let own = events(&app, &bob, &home, &[("about", "account")]).await;
    assert_eq!(lines(&own), ["operator account.changed bob"; 2]);
    assert_eq!(own[0]["new"], serde_json::json!({ "status": "inactive", "superuser": true }));
    // Where a session was started from stands beside it.
    let sessions = events(&app, &bob, &home, &[("about", "session")]).await;
    assert_eq!(sessions[0]["by"]["person"]["ip"], "0.0.0.0");
}

#[tokio::test]
async fn each_thing_of_somebodys_is_told_apart_from_what_is_ones_own_and_from_what_one_looks_after() {
    let app = App::new().await;
    let mut people = Vec::new();
    for name in ["ada", "bob", "cy", "dee", "eve"] {
        people.push(app.sign_up(&format!("{name}@example.org")).await);
    }
    let [ada, bob, cy, dee, eve] = &people[..] else { unreachable!() };
    let place = make(&app, ada, "Acme").await;
    let (bobs, dees) = (join(&app, &place, bob, "project_creator").await, join(&app, &place, dee, "admin").await);
    let (roof, cellar) = (project(&app, ada, &place, "Roof").await, project(&app, ada, &place, "Cellar").await);
    let in_roof = put(&app, &roof, bob, "viewer").await;
    let cys = put(&app, &roof, cy, "viewer").await;
    let in_cellar = one(&app, "select m.id::text from app.project_members m join app.projects p on p.id = m.project_id where p.name = 'Cellar'").await;
    ok(&app, ada, &place, INVITE, &[("emails", "x@example.org"), ("role", "admin")]).await;
    let invitation = one(&app, "select id::text from app.invitations").await;
    let everything = [&place, &bobs, &dees, &roof, &cellar, &in_roof, &cys, &in_cellar, &invitation];
    let everything: Vec<&str> = everything.iter().map(|id| id.as_str()).collect();

    let noted = async || {
        let all = events(&app, ada, &place, &[("about", "security")]).await;
        let mut found: Vec<_> = all
            .iter()
            .map(|e| (line(e), e["new"]["what"].as_str().unwrap().to_owned(), e["new"]["id"].clone()))
            .collect();
        found.sort_by_key(|(who, what, _)| (who.clone(), what.clone()));
        found.into_iter().map(|(who, what, id)| (who, what, id.as_str().unwrap().to_owned())).collect::<Vec<_>>()
    };
    // Those who look after the workspace are told of nothing there.
    asked_in_vain(&app, ada, &everything).await;
    asked_in_vain(&app, dee, &everything).await;
    assert_eq!(noted().await, []);
    // A member: not of what is theirs, of the other members, and of a project that they are in.
    asked_in_vain(&app, bob, &everything).await;
    let row = |who: &str, what: &str, id: &str| (format!("{who} security.denied"), what.to_owned(), id.to_owned());
    let of_bob =
        [row("bob", "invitation", &invitation), row("bob", "person", &in_cellar), row("bob", "project", &cellar)];
    assert_eq!(noted().await, of_bob);
    // A guest is known there as well.
    asked_in_vain(&app, cy, &[&roof, &cys, &in_roof, &cellar]).await;
    let mut all = of_bob.to_vec();
    all.push(row("cy", "project", &cellar));
    assert_eq!(noted().await, all);
    asked_in_vain(&app, eve, &[&invitation, &in_cellar]).await;
    all.extend([row("stranger", "invitation", &invitation), row("stranger", "person", &in_cellar)]);
    assert_eq!(noted().await, all);
    // Nobody is told of what they asked of their own.
    let client = Uuid::new_v4().to_string();
    let fields = [("client", client.as_str()), ("text", "Mine")];
    assert_eq!(app.call(Some(eve), "threads/server_fns/start_thread", &fields).await.status, StatusCode::OK);
    let thread = one(&app, "select id::text from app.threads limit 1").await;
    asked_in_vain(&app, eve, &[&thread]).await;
    let home = places(&app, eve).await[0]["id"].as_str().unwrap().to_owned();
    assert!(events(&app, eve, &home, &[("about", "security")]).await.is_empty());
}

#[tokio::test]
async fn only_what_was_answered_with_nothing_is_noted_the_header_too_and_a_job_looks_by_itself() {
    let app = App::new().await;
    let (ada, bob, eve) = (
        app.sign_up("ada@example.org").await,
        app.sign_up("bob@example.org").await,
        app.sign_up("eve@example.org").await,
    );
    let place = make(&app, &ada, "Acme").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    let eves = make(&app, &eve, "Evil").await;
    let cellar = project(&app, &ada, &place, "Cellar").await;
    // Allowed, and refused in words: neither is "there is no such thing".
    let foreign = [("wanted[project]", cellar.as_str())];
    assert_eq!(at(&app, &eve, &eves, LIST, &foreign).await.status, StatusCode::OK);
    assert_eq!(at(&app, &bob, &bobs, LIST, &foreign).await.status, StatusCode::FORBIDDEN);
    assert_eq!(denials(&app, &ada, &place).await, Vec::<String>::new());
    let long = [("member", place.as_str()), ("text", &"x".repeat(1024 * 1024))];
    let path = format!("/w/{eves}/members?do=remove-member");
    assert_eq!(app.form(Some(&eve), &path, &long).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(denials(&app, &ada, &place).await, Vec::<String>::new());
    // What can't be written is written the next time.
    assert_eq!(at(&app, &eve, &place, LIST, &foreign).await.status, StatusCode::NOT_FOUND);
    behind(&app, "alter function app.note_misses(jsonb) rename to away").await;
    assert!(jobs::note_misses(&app.state).await.is_err());
    behind(&app, "alter function app.away(jsonb) rename to note_misses").await;
    let running = tokio::spawn(jobs::run(app.state.clone()));
    let mut all = app
        .until("the job looks", async || {
            let all = events(&app, &ada, &place, &[("about", "security")]).await;
            (!all.is_empty()).then_some(all)
        })
        .await;
    running.abort();
    all.sort_by_key(|e| e["new"]["what"].as_str().unwrap().to_owned());
    let what: Vec<_> = all.iter().map(|e| (line(e), e["new"]["what"].clone())).collect();
    let denied = || "stranger security.denied".to_owned();
    assert_eq!(what, [(denied(), "member".into()), (denied(), "project".into())]);
}

#[tokio::test]
async fn one_who_asks_a_lot_in_vain_silences_nobody_else() {
    let app = App::new().await;
    let (ada, bob, eve) = (
        app.sign_up("ada@example.org").await,
        app.sign_up("bob@example.org").await,
        app.sign_up("eve@example.org").await,
    );
    let place = make(&app, &ada, "Acme").await;
    join(&app, &place, &bob, "project_creator").await;
    let cellar = project(&app, &ada, &place, "Cellar").await;
    let nothing = Uuid::nil().to_string();
    asked_in_vain(&app, &eve, &[nothing.as_str(); 70]).await;
    asked_in_vain(&app, &bob, &[&cellar]).await;
    assert_eq!(denials(&app, &ada, &place).await, ["bob security.denied"]);
}

#[tokio::test]
async fn no_lane_but_the_one_for_it_is_handed_a_chain_or_misses() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let cy = app.sign_up("cy@example.org").await;
    let place = make(&app, &ada, "Acme").await;
    let cys = join(&app, &place, &cy, "project_creator").await;
    for (statement, wanted) in [
        ("select app.note_misses('[]')", Reason::Denials),
        ("select from app.audit_chains(null, 1)", Reason::Operate),
        ("select from app.audit_chain(null, 0, 1)", Reason::Operate),
    ] {
        for reason in [Reason::SignIn, Reason::Live, Reason::Sweep, Reason::Mail, Reason::Operate, Reason::Denials] {
            let mut lane = app.state.lanes.service(reason).await.unwrap();
            let done = lane.conn().execute(statement).await;
            assert_eq!(done.is_ok(), reason == wanted, "{statement}: {reason:?}");
        }
        let mut lane = app.state.lanes.user(&ada.opening()).await.unwrap();
        assert!(lane.conn().execute(statement).await.is_err(), "{statement}");
    }
    for (person, at_place, told) in [(&ada, &place, true), (&cy, &cys, false)] {
        let mut opening = person.opening();
        opening.place = Some(at_place.parse().unwrap());
        let mut lane = app.state.lanes.workspace(&opening).await.unwrap();
        let begins: Option<Vec<u8>> =
            sqlx::query_scalar("select app.audit_beginning()").fetch_one(lane.conn()).await.unwrap();
        assert_eq!(begins.is_some(), told, "{}", person.email);
    }
}

#[tokio::test]
async fn names_are_read_by_those_who_read_their_events_and_nobody_elses_by_an_id_that_stands_twice() {
    let app = App::new().await;
    let mut people = Vec::new();
    for name in ["ada", "bob", "cy", "eve"] {
        people.push(app.sign_up(&format!("{name}@example.org")).await);
    }
    let [ada, bob, cy, eve] = &people[..] else { unreachable!() };
    let place = make(&app, ada, "Acme").await;
    let (bobs, cys) =
        (join(&app, &place, bob, "project_creator").await, join(&app, &place, cy, "project_creator").await);
    let roof = project(&app, cy, &cys, "Roof").await;
    project(&app, ada, &place, "Cellar").await;
    ok(
        &app,
        cy,
        &cys,
        "projects/server_fns/put_person",
        &[("project", &roof), ("email", "bob@example.org"), ("role", "viewer")],
    )
    .await;
    let eves = make(&app, eve, "Evil").await;
    behind(
        &app,
        &format!(
            "set session_replication_role = replica;
             insert into app.projects (id, workspace_id, name) select '{roof}', id, 'Twin' from app.workspaces where name = 'Evil';
             insert into app.project_members (project_id, workspace_id, user_id, role) select '{roof}', id, '{}', 'owner' from app.workspaces where name = 'Evil'",
            eve.id
        ),
    )
    .await;
    let read = async |person: &Person, at_place: &str, sql: &'static str| {
        let mut opening = person.opening();
        opening.place = Some(at_place.parse().unwrap());
        let mut lane = app.state.lanes.workspace(&opening).await.unwrap();
        sqlx::query_scalar::<_, i64>(sql).fetch_one(lane.conn()).await.unwrap()
    };
    let both = ["select count(*) from app.audit_events", "select count(*) from app.audit_people"];
    let foreign = [
        "select count(distinct workspace_id) from app.audit_events",
        "select count(distinct workspace_id) from app.audit_people",
    ];
    for sql in both {
        assert!(read(ada, &place, sql).await > 6, "{sql}");
        // In the project, and no manager of it.
        assert_eq!(read(bob, &bobs, sql).await, 0, "{sql}");
    }
    // Made it, came into it, put bob in: with the name of whoever did it, and bob's.
    assert_eq!((read(cy, &cys, both[0]).await, read(cy, &cys, both[1]).await), (3, 4));
    for sql in foreign {
        assert_eq!(read(eve, &eves, sql).await, 1, "{sql}");
    }
    assert_eq!(app.count("select count(*) - count(distinct salt) from app.audit_people").await, 0);
}

#[tokio::test]
async fn whoever_changed_their_address_is_erased_under_all_of_them() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    join(&app, &place, &bob, "admin").await;
    behind(&app, "update app.users set email = 'robert@example.org' where email = 'bob@example.org'").await;
    behind(&app, "update app.workspace_members set role = 'project_creator' where email = 'robert@example.org' and role = 'admin'").await;
    let before = export(&app, &ada, &place).await.body;
    assert!(before.contains("bob@example.org") && before.contains("robert@example.org"));
    erase(&app, &bob, "robert@example.org").await;
    let after = export(&app, &ada, &place).await.body;
    assert!(!after.contains("bob@example.org") && !after.contains("robert@example.org"), "{after}");
}

#[tokio::test]
async fn a_day_is_the_readers_and_a_filter_stays_from_page_to_page() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let place = make(&app, &ada, "Acme").await;
    let roof = project(&app, &ada, &place, "Roof").await;
    let none = events(&app, &ada, &place, &[("from", "9998-12-31")]).await;
    assert!(none.is_empty(), "{none:?}");
    let short = ok(&app, &ada, &place, LIST, &[("wanted[about]", "")]).await;
    assert!(short["next"].is_null(), "{short}");
    // Half an hour before midnight in London, the first of February in Berlin.
    behind(
        &app,
        "set session_replication_role = replica;
         update app.audit_events set body = jsonb_set(body::jsonb, '{at}', to_jsonb(extract(epoch from timestamptz '2026-01-31 23:30:00+00')::bigint * 1000000))::text where seq = 1",
    )
    .await;
    for (zone, day, found) in
        [("Europe/London", "2026-01-31", 1), ("Europe/Berlin", "2026-02-01", 1), ("Europe/Berlin", "2026-01-31", 0)]
    {
        let mut request =
            crate::harness::post(&format!("/api/moat/{LIST}"), &[("wanted[from]", day), ("wanted[to]", day)]);
        request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {}", ada.access).parse().unwrap());
        request.headers_mut().insert("x-moat-place", place.parse().unwrap());
        request.headers_mut().insert(header::COOKIE, format!("moat-tz={zone}").parse().unwrap());
        let page = app.send(request).await.json();
        assert_eq!(page["events"].as_array().unwrap().len(), found, "{zone} {day}");
    }
    assert_eq!(events(&app, &ada, &place, &[("project", &roof)]).await.len(), 2);

    behind(&app, "do $$ begin for n in 1..60 loop update app.workspaces set name = 'N' || n where personal_of is null; end loop; end $$").await;
    let page = async |query: &str| app.page(Some(&ada), &format!("/w/{place}/audit?{query}")).await;
    let first = page("about=workspace").await;
    let older = first.body.split("name=\"before\"").next().unwrap().rsplit("<form").next().unwrap().to_owned();
    assert!(older.contains("name=\"about\"") && older.contains("value=\"workspace\""), "{older}");
    let of_roof = page(&format!("project={roof}")).await.body;
    assert!(of_roof.contains(&format!("value=\"{roof}\"")), "{of_roof}");
    assert!(page("person=ADA@Example.org&about=project%00").await.body.contains("made the project Roof"));

    let cy = app.sign_up("cy@example.org").await;
    let cys = join(&app, &place, &cy, "project_creator").await;
    put(&app, &roof, &cy, "manager").await;
    let theirs = app.page(Some(&cy), &format!("/w/{cys}/audit?project={roof}")).await;
    assert!(theirs.body.contains("made the project Roof") && !theirs.body.contains("audit.jsonl"), "{}", theirs.body);
}

#[tokio::test]
async fn long_trails_and_many_of_them_are_followed_to_their_ends() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let place = make(&app, &ada, "Acme").await;
    behind(&app, "do $$ begin for n in 1..1100 loop update app.workspaces set name = 'N' || n where personal_of is null; end loop; end $$").await;
    behind(&app, "insert into app.workspaces (name) select 'W' || n from generate_series(1, 600) n").await;
    let copy = check(&export(&app, &ada, &place).await.body).unwrap();
    assert_eq!(copy.end.seq, 1102);
    let report = verify::server(&app.state, Some(&copy)).await.unwrap();
    assert!(report.holds && report.text.contains("602 audit trails"), "{}", report.text);
    // A copy whose hash is another's, and one of a workspace that is not here.
    let of = |begins: &[u8], hash: &[u8]| chain::Copy {
        workspace: String::new(),
        begins: begins.to_vec(),
        end: chain::Chain { seq: 1102, hash: hash.to_vec() },
    };
    let other = of(&copy.begins, &[0; 32]);
    assert!(!verify::server(&app.state, Some(&other)).await.unwrap().holds);
    let other = of(&[0; 32], &copy.end.hash);
    let report = verify::server(&app.state, Some(&other)).await.unwrap();
    assert!(!report.holds && report.text.contains("not on this server"), "{}", report.text);
    let last = "workspace_id = (select max(id::text)::uuid from app.workspaces)";
    behind(&app, &format!("set session_replication_role = replica; update app.audit_events set body = replace(body, 'W', 'V') where {last}")).await;
    assert!(!verify::server(&app.state, None).await.unwrap().holds);
    behind(&app, &format!("set session_replication_role = replica; update app.audit_events set body = replace(body, 'V', 'W') where {last}; update app.audit_heads set hash = '' where {last}")).await;
    assert!(!verify::server(&app.state, None).await.unwrap().holds);
}

#[test]
fn a_link_has_the_number_that_stands_in_it_and_a_copy_the_end_that_it_says() {
    let sha256 = |prev: &[u8], text: &str| {
        let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        context.update(prev);
        context.update(text.as_bytes());
        context.finish().as_ref().to_vec()
    };
    let link = |seq: i64, said: i64| {
        let event = serde_json::json!({ "seq": said }).to_string();
        let hash = sha256(&[7; 32], &event);
        chain::Link { seq, event, hash, actor: None, person: None }
    };
    let follow = |link: &chain::Link| chain::Chain::beginning(vec![7; 32]).follow(link);
    assert_eq!(follow(&link(1, 1)), Ok(()));
    assert_eq!(follow(&link(1, 2)), Err(Broken::Missing(1)));
    assert_eq!(follow(&link(2, 1)), Err(Broken::Missing(2)));
    let mut named = link(1, 1);
    named.person = Some(chain::Label { salt: vec![1], data: "{}".into() });
    assert_eq!(follow(&named), Err(Broken::Names(1)));

    let one = link(1, 1);
    let end = chain::Chain { seq: 1, hash: one.hash.clone() };
    let file = |first: String, end: &chain::Chain| first + &chain::line(&one) + &chain::last_line(end);
    let first = || chain::first_line("Roof", &[7; 32]);
    assert!(check(&file(first(), &end)).is_ok());
    assert_eq!(check(&file(first(), &chain::Chain { seq: 2, hash: end.hash.clone() })), Err(Broken::Cut(1)));
    assert_eq!(check(&file(first(), &chain::Chain { seq: 1, hash: vec![0; 32] })), Err(Broken::Cut(1)));
    assert_eq!(check(&file(first().replace("\"version\":1", "\"version\":2"), &end)), Err(Broken::Line(1)));
    assert_eq!(check(&file(first().replace("moat-audit", "other"), &end)), Err(Broken::Line(1)));
}

#[tokio::test]
async fn an_event_that_says_another_number_or_kind_is_not_stored() {
    let app = App::new().await;
    app.sign_up("ada@example.org").await;
    for (number, kind) in [(100, "member.added"), (99, "nothing"), (99, "member.seen")] {
        let body = serde_json::json!({ "seq": number, "at": 1, "kind": kind });
        let stored = sqlx::query(
            "insert into app.audit_events (workspace_id, seq, body, hash) select id, 99, $1, '' from app.workspaces",
        )
        .bind(body.to_string())
        .execute(&mut app.db.superuser().await)
        .await;
        let error = stored.unwrap_err();
        assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("23514"), "{number} {kind}");
    }
}

#[tokio::test]
async fn a_guest_who_is_shut_out_is_noted_like_a_member() {
    let app = App::new().await;
    let (ada, cy) = (app.sign_up("ada@example.org").await, app.sign_up("cy@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let roof = project(&app, &ada, &place, "Roof").await;
    put(&app, &roof, &cy, "manager").await;
    behind(&app, "update app.users set status = 'banned' where email = 'cy@example.org'").await;
    let all = events(&app, &ada, &place, &[]).await;
    assert_eq!(line(last(&all)), "database person.changed cy");
    let page = app.page(Some(&ada), &format!("/w/{place}/audit")).await;
    assert!(page.body.contains("changed the account of cy@example.org: banned"), "{}", page.body);
}

#[tokio::test]
async fn a_deleted_project_keeps_its_name_in_the_trail() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let place = make(&app, &ada, "Acme").await;
    let roof = project(&app, &ada, &place, "Roof").await;
    let fields = [("project", roof.as_str()), ("place", &place), ("name", "Roof")];
    ok(&app, &ada, &place, "projects/server_fns/delete_project", &fields).await;
    let all = events(&app, &ada, &place, &[("about", "project")]).await;
    assert_eq!(lines(&all), ["ada project.added", "ada project.removed"]);
    assert_eq!(last(&all)["project"], serde_json::json!([roof, "Roof"]));
    assert_eq!(last(&all)["old"], serde_json::json!({ "name": "Roof" }));
}

#[tokio::test]
async fn nothing_is_left_of_where_somebody_was_when_they_had_themselves_erased() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    join(&app, &place, &bob, "admin").await;
    erase(&app, &bob, "bob@example.org").await;
    let left =
        "select count(*) from app.audit_people p where not exists (select from app.users u where u.id = p.about)";
    assert_eq!(app.count(left).await, 0);
}

#[tokio::test]
async fn a_change_in_two_workspaces_waits_for_the_one_without_holding_the_other() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    make(&app, &ada, "One").await;
    make(&app, &ada, "Two").await;
    let ids: Vec<Uuid> = sqlx::query_scalar("select id from app.workspaces where personal_of is null order by id")
        .fetch_all(&mut app.db.superuser().await)
        .await
        .unwrap();
    let [small, big] = ids[..] else { unreachable!() };
    let (mut holding, mut writing) = (app.db.superuser().await, app.db.superuser().await);
    holding.execute("begin").await.unwrap();
    let head = format!("select from app.audit_heads where workspace_id = '{small}' for update");
    holding.execute(AssertSqlSafe(head)).await.unwrap();
    writing.execute("begin").await.unwrap();
    for id in [big, small] {
        writing
            .execute(AssertSqlSafe(format!("update app.workspaces set name = 'x' where id = '{id}'")))
            .await
            .unwrap();
    }
    let other = async {
        app.until("it waits", async || (app.waiting().await > 0).then_some(())).await;
        let head = format!("select from app.audit_heads where workspace_id = '{big}' for update nowait");
        let free = app.db.superuser().await.execute(AssertSqlSafe(head)).await;
        holding.execute("commit").await.unwrap();
        free
    };
    let (written, free) = tokio::join!(writing.execute("commit"), other);
    assert!(written.is_ok() && free.is_ok(), "{free:?}");
}

#[tokio::test]
async fn whoever_is_removed_in_the_middle_of_their_export_gets_a_file_that_has_broken_off() {
    use http_body_util::BodyExt;
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let bobs = join(&app, &place, &bob, "admin").await;
    behind(
        &app,
        "do $$ begin for n in 1..6000 loop
           update app.workspaces set name = 'N' || n where personal_of is null; commit;
         end loop; end $$",
    )
    .await;
    let request = Request::get(format!("/w/{bobs}/audit.jsonl")).header(header::COOKIE, bob.cookie());
    let response = app.open(request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    behind(&app, "delete from app.workspace_members where email = 'bob@example.org' and role = 'admin'").await;
    let (mut body, mut file, mut broken) = (response.into_body(), Vec::new(), false);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => file.extend(frame.into_data().unwrap()),
            Err(_) => broken = true,
        }
    }
    let file = String::from_utf8(file).unwrap();
    assert!(broken && file.lines().count() < 6000, "{}", file.lines().count());
    assert!(matches!(check(&file), Err(Broken::Cut(_))));
}

#[tokio::test]
async fn a_trail_whose_end_was_set_back_is_found_out() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    make(&app, &ada, "Acme").await;
    assert!(verify::server(&app.state, None).await.unwrap().holds);
    behind(&app, "update app.audit_heads set seq = 1, hash = ''").await;
    let report = verify::server(&app.state, None).await.unwrap();
    assert!(!report.holds, "{}", report.text);
}

#[tokio::test]
async fn nobody_asks_quietly_by_writing_an_id_in_another_way() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let bobs = join(&app, &place, &bob, "project_creator").await;
    let cellar: Uuid = project(&app, &ada, &place, "Cellar").await.parse().unwrap();
    let ways = [
        cellar.simple().to_string(),
        cellar.to_string().to_uppercase(),
        format!("{{{cellar}}}"),
        cellar.urn().to_string(),
    ];
    let mut expected = 0;
    for way in ways {
        let answer = at(&app, &bob, &bobs, "projects/server_fns/read_project", &[("project", &way)]).await;
        // Whoever is told that this is no id at all has asked for nothing.
        expected += usize::from(answer.status == StatusCode::NOT_FOUND);
        assert_eq!(denials(&app, &ada, &place).await.len(), expected, "{way}");
    }
    assert!(expected > 1);
}
