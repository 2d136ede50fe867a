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
    workspaces::{at, join, make, members, ok, places, project, told},
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
    let mut lane = app.state.lanes.workspace(&opening).await.unwrap();
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
    assert!(verify::server(&app.state, Some(&check(&before).unwrap())).await.unwrap().holds);
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
    assert_eq!(app.page(Some(&bob), &format!("/w/{place}/audit")).await.status, StatusCode::NOT_FOUND);
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
    let thread =
        started.json()["id"].as_str().map(str::to_owned).unwrap_or_else(|| started.body.trim_matches('"').to_owned());
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
