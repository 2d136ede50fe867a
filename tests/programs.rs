//! Programs: their token names the workspace that they act in, and it opens no more than its owner's membership does.

use axum::http::{StatusCode, header};
use moat::{server::caller, types::WorkspaceId};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor};

use crate::{
    harness::{Answer, App, Person, post},
    workspaces::{at, join, make, ok, project, put, told},
};

const TOKEN: &str = "accounts/server_fns/make_token";
const MEMBERS: &str = "workspaces/server_fns/list_members";
const PROJECTS: &str = "projects/server_fns/list_projects";

pub async fn workspace(app: &App, name: &'static str) -> WorkspaceId {
    sqlx::query_scalar("select id from app.workspaces where name = $1")
        .bind(name)
        .fetch_one(&mut app.db.superuser().await)
        .await
        .unwrap()
}

async fn behind(app: &App, sql: &str) {
    app.db.superuser().await.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
}

/// The same person with a program's token.
async fn program(app: &App, person: &Person, place: &str) -> Person {
    let made = ok(app, person, place, TOKEN, &[]).await;
    assert_eq!((&made["token_type"], &made["expires_in"]), (&"Bearer".into(), &made["expires_in"]));
    assert!((200..=300).contains(&made["expires_in"].as_i64().unwrap()), "{made}");
    Person { access: made["access_token"].as_str().unwrap().to_owned(), ..person.clone() }
}

fn names(answer: &Answer) -> Vec<String> {
    let page: Value = answer.json();
    let rows = page["rows"].as_array().unwrap_or_else(|| panic!("{}", answer.body)).clone();
    rows.iter().map(|row| row["email"].as_str().or(row["name"].as_str()).unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_programs_token_opens_the_workspace_that_it_names_and_no_other() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let (acme, zoo) = (make(&app, &ada, "Acme").await, make(&app, &ada, "Zoo").await);
    join(&app, &acme, &bob, "project_creator").await;
    let ours = program(&app, &ada, &acme).await;
    assert_eq!(app.state.tokens.verify(&ours.access).unwrap().org_id, Some(workspace(&app, "Acme").await));
    assert_eq!(names(&app.call(Some(&ours), MEMBERS, &[]).await), ["ada@example.org", "bob@example.org"]);
    assert_eq!(names(&at(&app, &ours, &acme, MEMBERS, &[]).await).len(), 2);
    // Its own workspace's place or none: another of the same person's is not where this token acts.
    let (other, none) = (
        at(&app, &ours, &zoo, MEMBERS, &[]).await,
        at(&app, &ours, "0e000000-0000-4000-8000-00000000000e", MEMBERS, &[]).await,
    );
    assert_eq!(other.status, StatusCode::NOT_FOUND);
    assert_eq!(told(&other), told(&none));
    assert_eq!(names(&app.call(Some(&program(&app, &ada, &zoo).await), MEMBERS, &[]).await), ["ada@example.org"]);
    // A token for a workspace that its owner is not in, however it was come by.
    let minted = app
        .state
        .tokens
        .mint_in(bob.id, bob.session, workspace(&app, "Zoo").await, caller::now(), caller::now() + 60)
        .unwrap();
    let answer = app.call(Some(&Person { access: minted, ..bob.clone() }), MEMBERS, &[]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.body);
}

#[tokio::test]
async fn whoever_is_removed_takes_no_workspace_along_in_a_token() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let eve = app.sign_up("eve@example.org").await;
    let acme = make(&app, &ada, "Acme").await;
    let bobs = join(&app, &acme, &bob, "admin").await;
    let roof = project(&app, &ada, &acme, "Roof").await;
    project(&app, &ada, &acme, "Cellar").await;
    let eves = put(&app, &roof, &eve, "viewer").await;
    let (member, guest, owner) =
        (program(&app, &bob, &bobs).await, program(&app, &eve, &eves).await, program(&app, &ada, &acme).await);
    assert_eq!(names(&app.call(Some(&member), PROJECTS, &[]).await), ["Cellar", "Roof"]);
    assert_eq!(names(&app.call(Some(&guest), PROJECTS, &[]).await), ["Roof"]);
    assert_eq!(names(&app.call(Some(&guest), MEMBERS, &[]).await), [""; 0]);
    ok(&app, &ada, &acme, "workspaces/server_fns/remove_member", &[("member", &bobs)]).await;
    behind(&app, "delete from app.project_members where email = 'eve@example.org'").await;
    for out in [&member, &guest] {
        let answer = app.call(Some(out), PROJECTS, &[]).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::FORBIDDEN, r#"{"error":"forbidden"}"#));
    }
    behind(&app, "update app.workspaces set deleted_at = now() where name = 'Acme'").await;
    assert_eq!(app.call(Some(&owner), PROJECTS, &[]).await.status, StatusCode::FORBIDDEN);
    behind(&app, "update app.workspaces set deleted_at = null where name = 'Acme'").await;
    assert_eq!(app.call(Some(&owner), PROJECTS, &[]).await.status, StatusCode::OK);
    assert_eq!(app.call(Some(&ada), "accounts/server_fns/sign_out", &[]).await.status, StatusCode::OK);
    assert_eq!(app.call(Some(&owner), PROJECTS, &[]).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_token_for_programs_is_made_for_no_browser_and_is_no_cookie() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let acme = make(&app, &ada, "Acme").await;
    assert_eq!(app.call(None, TOKEN, &[]).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(app.call(Some(&ada), TOKEN, &[]).await.status, StatusCode::FORBIDDEN, "without a place");
    assert_eq!(at(&app, &ada, "0e000000-0000-4000-8000-00000000000e", TOKEN, &[]).await.status, StatusCode::NOT_FOUND);
    let ask = async |headers: &[(header::HeaderName, String)]| {
        let mut request = post(&format!("/api/moat/{TOKEN}"), &[]);
        request.headers_mut().insert("x-moat-place", acme.parse().unwrap());
        for (name, value) in headers {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        app.send(request).await
    };
    let bearer = (header::AUTHORIZATION, format!("Bearer {}", ada.access));
    let fetch = (header::HeaderName::from_static("sec-fetch-site"), "same-origin".to_owned());
    assert_eq!(ask(&[(header::COOKIE, ada.cookie())]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(ask(&[bearer.clone(), fetch]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(ask(&[bearer]).await.status, StatusCode::OK);

    let ours = program(&app, &ada, &acme).await;
    let mut request = post("/api/moat/threads/server_fns/list_threads", &[]);
    let cookie = format!("__Host-moat-access={}", ours.access);
    request.headers_mut().insert(header::COOKIE, cookie.parse().unwrap());
    assert_eq!(app.send(request).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_programs_token_opens_nothing_that_is_its_owners_alone_and_makes_no_other() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let (acme, zoo) = (make(&app, &ada, "Acme").await, make(&app, &ada, "Zoo").await);
    let ours = program(&app, &ada, &acme).await;
    let ends = |person: &Person| app.state.tokens.verify(&person.access).unwrap().exp;
    assert_eq!(ends(&ours), ends(&ada), "no longer than what it was made with");
    for (function, fields) in [
        ("threads/server_fns/list_threads", &[][..]),
        ("threads/server_fns/start_thread", &[("client", "0d000000-0000-4000-8000-000000000001"), ("text", "Hello")]),
        ("workspaces/server_fns/list_places", &[]),
        ("workspaces/server_fns/make_workspace", &[("name", "Mine")]),
        ("workspaces/server_fns/restore_workspace", &[("place", zoo.as_str())]),
        ("accounts/server_fns/list_sessions", &[]),
        ("accounts/server_fns/revoke_others", &[]),
        ("domains/server_fns/list_offers", &[]),
        (TOKEN, &[]),
    ] {
        for place in [None, Some(&acme)] {
            let answer = match place {
                Some(place) => at(&app, &ours, place, function, fields).await,
                None => app.call(Some(&ours), function, fields).await,
            };
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{function}: {}", answer.body);
        }
    }
    // A place that can't be read is nobody's, and not none.
    assert_eq!(at(&app, &ours, "x", MEMBERS, &[]).await.status, StatusCode::NOT_FOUND);
    assert_eq!(app.count("select count(*) from app.threads").await, 0);
}
