//! Invitations: whom they let in, whom they do not, and how often.

use axum::http::{StatusCode, header};
use serde_json::{Value, json};
use sqlx::{Connection, Executor};

use crate::{
    harness::{Answer, App, PASSWORD, Person, config, post},
    workspaces::{at, join, make, members, ok, places, project, told},
};

const INVITE: &str = "invitations/server_fns/invite";
const ACCEPT: &str = "invitations/server_fns/accept_invitation";
const AS_NEW: &str = "invitations/server_fns/accept_as_new";
const READ: &str = "invitations/server_fns/read_invitation";

/// Invites, and gives the link's token: this server sends no mail.
async fn link(app: &App, owner: &Person, place: &str, email: &str, role: &str) -> String {
    let told = ok(app, owner, place, INVITE, &[("emails", email), ("role", role)]).await;
    token(told[0]["outcome"]["link"].as_str().unwrap_or_else(|| panic!("{told}")))
}

fn token(text: &str) -> String {
    let rest = text.split("/invitation?t=").nth(1).unwrap_or_else(|| panic!("no link: {text}"));
    rest.split_whitespace().next().unwrap().to_owned()
}

async fn call(app: &App, person: Option<&Person>, function: &str, token: &str) -> Answer {
    app.call(person, function, &[("token", token)]).await
}

#[tokio::test]
async fn a_pasted_list_is_invited_with_a_line_for_each_address() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    join(&app, &place, &bob, "admin").await;
    let list = "Cy <CY@example.org>, bob@example.org; nonsense@\ndee@example.org cy@example.org";
    let told = ok(&app, &ada, &place, INVITE, &[("emails", list), ("role", "project_creator")]).await;
    let outcome = |n: usize| match &told[n]["outcome"] {
        Value::String(word) => word.clone(),
        link => link.as_object().unwrap().keys().next().unwrap().clone(),
    };
    let lines: Vec<_> = (0..4).map(|n| (told[n]["email"].as_str().unwrap().to_owned(), outcome(n))).collect();
    let expected = [
        ("cy@example.org", "link"),
        ("bob@example.org", "member"),
        ("nonsense@", "wrong"),
        ("dee@example.org", "link"),
    ];
    assert_eq!(lines, expected.map(|(email, word)| (email.to_owned(), word.to_owned())));
    let again = ok(&app, &ada, &place, INVITE, &[("emails", "dee@example.org"), ("role", "admin")]).await;
    assert_eq!(again[0]["outcome"], "open");
    for (emails, role) in [
        ("", "admin"),
        (&*"a@example.org ".repeat(3), ""),
        (&*(0..101).map(|n| format!("{n}@x.org ")).collect::<String>(), "admin"),
    ] {
        let refused = at(&app, &ada, &place, INVITE, &[("emails", emails), ("role", role)]).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{emails}");
    }
    // Without a script the page shows the lines, and the links in them.
    let page = app
        .form(
            Some(&ada),
            &format!("/w/{place}/invitations?do=invite"),
            &[("emails", "eve@example.org"), ("role", "admin")],
        )
        .await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("/invitation?t=") && page.body.contains("eve@example.org"), "{}", page.body);
    let later = app.page(Some(&ada), &format!("/w/{place}/invitations")).await;
    assert!(!later.body.contains("/invitation?t=") && later.body.contains("eve@example.org"));
}

#[tokio::test]
async fn only_an_account_with_the_invited_address_gets_in_and_the_link_works_once() {
    let app = App::new().await;
    let (ada, bob, eve) = (
        app.sign_up("ada@example.org").await,
        app.sign_up("bob@example.org").await,
        app.sign_up("eve@example.org").await,
    );
    let (acme, other) = (make(&app, &ada, "Acme").await, make(&app, &ada, "Other").await);
    let t = link(&app, &ada, &acme, "bob@example.org", "admin").await;
    assert_eq!(call(&app, None, ACCEPT, &t).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(call(&app, Some(&eve), ACCEPT, &t).await.status, StatusCode::CONFLICT);
    let taken = app.call(None, AS_NEW, &[("token", &t), ("password", PASSWORD)]).await;
    assert_eq!(taken.status, StatusCode::CONFLICT, "{}", taken.body);
    assert_eq!(places(&app, &eve).await.len(), 1);
    // Looking changes nothing.
    for reader in [None, Some(&eve), Some(&bob)] {
        let page = app.page(reader, &format!("/invitation?t={t}")).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.body.contains("Acme") && page.body.contains("ada@example.org") && !page.body.contains("Other"));
    }
    let joined = app.form(Some(&bob), "/invitation?do=accept-invitation", &[("token", &t)]).await;
    assert_eq!(joined.status, StatusCode::SEE_OTHER, "{}", joined.body);
    let here = joined.headers[header::LOCATION].to_str().unwrap().to_owned();
    assert_eq!(app.page(Some(&bob), &here).await.status, StatusCode::OK);
    let names: Vec<_> = places(&app, &bob).await.iter().map(|p| p["workspace"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["Personal", "Acme"], "exactly that one");
    assert_eq!(call(&app, Some(&bob), ACCEPT, &t).await.status, StatusCode::CONFLICT);
    assert_eq!(app.page(Some(&bob), &format!("/invitation?t={t}")).await.status, StatusCode::GONE);
    // Whoever has been removed does not come back by the old link.
    let his = here.trim_start_matches("/w/").to_owned();
    ok(&app, &ada, &acme, "workspaces/server_fns/remove_member", &[("member", &his)]).await;
    assert_eq!(call(&app, Some(&bob), ACCEPT, &t).await.status, StatusCode::CONFLICT);
    assert_eq!(members(&app, &ada, &acme, &[]).await.len(), 1);
    assert_eq!(members(&app, &ada, &other, &[]).await.len(), 1);
}

#[tokio::test]
async fn an_invitation_makes_an_account_for_its_address_where_nobody_may_sign_up() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let place = make(&app, &ada, "Acme").await;
    let t = link(&app, &ada, &place, "new@example.org", "project_creator").await;
    let short = app.call(None, AS_NEW, &[("token", &t), ("password", "short")]).await;
    assert_eq!(short.status, StatusCode::BAD_REQUEST);
    let made = app.form(None, "/invitation?do=accept-as-new", &[("token", &t), ("password", PASSWORD)]).await;
    assert_eq!(made.status, StatusCode::SEE_OTHER, "{}", made.body);
    let new = app.person("new@example.org", &made);
    let here = made.headers[header::LOCATION].to_str().unwrap();
    assert!(app.page(Some(&new), here).await.body.contains("Acme"));
    assert_eq!(places(&app, &new).await.len(), 2);
    let unproven = "select count(*) from app.users where email = 'new@example.org' and email_verified_at is not null";
    assert_eq!(app.count(unproven).await, 0, "a link that was handed over proves no mailbox");
}

#[tokio::test]
async fn fifty_accepts_at_the_same_moment_give_one_membership() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let t = link(&app, &ada, &place, "bob@example.org", "project_creator").await;
    // All of them have come as far as they can before the first is through.
    let mut other = app.db.superuser().await;
    let mut held = other.begin().await.unwrap();
    held.execute("select from app.workspaces for update").await.unwrap();
    let tries = futures::future::join_all((0..50).map(|_| call(&app, Some(&bob), ACCEPT, &t)));
    let (answers, ()) = tokio::join!(tries, async {
        app.until("they wait", async || (app.waiting().await > 4).then_some(())).await;
        held.commit().await.unwrap();
    });
    assert_eq!(answers.iter().filter(|a| a.status.is_success() || a.status.is_redirection()).count(), 1);
    assert!(answers.iter().all(|a| a.status != StatusCode::INTERNAL_SERVER_ERROR));
    assert_eq!(members(&app, &ada, &place, &[]).await.len(), 2);
    let t = link(&app, &ada, &place, "new@example.org", "project_creator").await;
    let fields = [("token", t.as_str()), ("password", PASSWORD)];
    let answers = futures::future::join_all((0..10).map(|_| app.call(None, AS_NEW, &fields))).await;
    assert_eq!(answers.iter().filter(|a| a.status.is_success() || a.status.is_redirection()).count(), 1);
    assert_eq!(members(&app, &ada, &place, &[]).await.len(), 3);
}

#[tokio::test]
async fn what_is_taken_back_sent_again_or_too_old_leads_nowhere() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let first = link(&app, &ada, &place, "bob@example.org", "project_creator").await;
    let id = ok(&app, &ada, &place, "invitations/server_fns/list_invitations", &[]).await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let again = ok(&app, &ada, &place, "invitations/server_fns/resend_invitation", &[("invitation", &id)]).await;
    let second = token(again[0]["outcome"]["link"].as_str().unwrap());
    assert_eq!(call(&app, Some(&bob), ACCEPT, &first).await.status, StatusCode::CONFLICT);
    assert_eq!(app.page(None, &format!("/invitation?t={first}")).await.status, StatusCode::NOT_FOUND);
    let mut behind = app.db.superuser().await;
    behind.execute("update app.invitations set expires_at = now()").await.unwrap();
    assert_eq!(call(&app, Some(&bob), ACCEPT, &second).await.status, StatusCode::CONFLICT);
    assert_eq!(app.page(None, &format!("/invitation?t={second}")).await.status, StatusCode::GONE);
    let again = ok(&app, &ada, &place, "invitations/server_fns/resend_invitation", &[("invitation", &id)]).await;
    let third = token(again[0]["outcome"]["link"].as_str().unwrap());
    ok(&app, &ada, &place, "invitations/server_fns/set_invited_role", &[("invitation", &id), ("role", "admin")]).await;
    assert_eq!(call(&app, None, READ, &third).await.json()["role"], "admin");
    ok(&app, &ada, &place, "invitations/server_fns/revoke_invitation", &[("invitation", &id)]).await;
    let gone = call(&app, Some(&bob), ACCEPT, &third).await;
    assert_eq!(gone.status, StatusCode::CONFLICT);
    assert_eq!(told(&gone), told(&call(&app, Some(&bob), ACCEPT, &first).await));
    assert_eq!(members(&app, &ada, &place, &[]).await.len(), 1);
    // Nor into a workspace that is gone.
    let t = link(&app, &ada, &place, "bob@example.org", "project_creator").await;
    ok(&app, &ada, &place, "workspaces/server_fns/delete_workspace", &[("place", &place), ("name", "Acme")]).await;
    assert_eq!(call(&app, Some(&bob), ACCEPT, &t).await.status, StatusCode::CONFLICT);
    assert_eq!(app.page(None, &format!("/invitation?t={t}")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn who_invites_whom_as_what_is_for_owners_and_admins_to_say() {
    let app = App::new().await;
    let (ada, bob, cy) = (
        app.sign_up("ada@example.org").await,
        app.sign_up("bob@example.org").await,
        app.sign_up("cy@example.org").await,
    );
    let place = make(&app, &ada, "Acme").await;
    let admin = join(&app, &place, &bob, "admin").await;
    let member = join(&app, &place, &cy, "project_creator").await;
    let fields = |role| [("emails", "new@example.org"), ("role", role)];
    assert_eq!(at(&app, &cy, &member, INVITE, &fields("project_creator")).await.status, StatusCode::FORBIDDEN);
    assert_eq!(at(&app, &bob, &admin, INVITE, &fields("owner")).await.status, StatusCode::FORBIDDEN);
    ok(&app, &bob, &admin, INVITE, &fields("admin")).await;
    let id = ok(&app, &ada, &place, "invitations/server_fns/list_invitations", &[]).await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let raise = [("invitation", id.as_str()), ("role", "owner")];
    assert_eq!(
        at(&app, &bob, &admin, "invitations/server_fns/set_invited_role", &raise).await.status,
        StatusCode::FORBIDDEN
    );
    for function in ["resend_invitation", "revoke_invitation"] {
        let tried = at(&app, &cy, &member, &format!("invitations/server_fns/{function}"), &[("invitation", &id)]).await;
        assert_eq!(tried.status, StatusCode::NOT_FOUND, "{function}");
    }
    let seen = ok(&app, &cy, &member, "invitations/server_fns/list_invitations", &[]).await;
    assert_eq!(seen, json!([]));
    // Nobody comes into somebody's own workspace.
    let own = places(&app, &ada).await[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(at(&app, &ada, &own, INVITE, &fields("admin")).await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_guest_is_invited_into_projects_and_joins_nothing_else() {
    let app = App::new().await;
    let (ada, eve) = (app.sign_up("ada@example.org").await, app.sign_up("eve@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let (plan, _other) = (project(&app, &ada, &place, "Plan").await, project(&app, &ada, &place, "Other").await);
    let fields =
        [("emails", "eve@example.org"), ("role", ""), ("projects[]", &plan), ("project_role", "customer_signer")];
    let told = ok(&app, &ada, &place, INVITE, &fields).await;
    let t = token(told[0]["outcome"]["link"].as_str().unwrap());
    let offer = call(&app, Some(&eve), READ, &t).await.json();
    assert_eq!(
        (&offer["projects"], &offer["role"], &offer["reader"]),
        (&json!(["Plan"]), &Value::Null, &json!("Invited"))
    );
    let joined = app.form(Some(&eve), "/invitation?do=accept-invitation", &[("token", &t)]).await;
    let here = joined.headers[header::LOCATION].to_str().unwrap().to_owned();
    assert!(here.starts_with("/p/"), "{here}");
    assert!(app.page(Some(&eve), &here).await.body.contains("Plan"));
    assert_eq!(members(&app, &ada, &place, &[]).await.len(), 1, "a guest is no member");
    // A project of another workspace is none.
    let (bob, hers) = (app.sign_up("bob@example.org").await, place);
    let his = make(&app, &bob, "His").await;
    let foreign = [("emails", "x@example.org"), ("role", ""), ("projects[]", plan.as_str())];
    assert_eq!(at(&app, &bob, &his, INVITE, &foreign).await.status, StatusCode::NOT_FOUND);
    assert_eq!(app.count("select count(*) from app.invitations where email = 'x@example.org'").await, 0);
    drop(hers);
}

#[tokio::test]
async fn where_mail_is_sent_its_link_alone_lets_in_and_proves_the_address() {
    let app = App::on(crate::harness::Db::new().await, config(&["--dev-outbox"])).await;
    let ada = app.sign_up("ada@example.org").await;
    let place = make(&app, &ada, "Acme").await;
    let told = ok(&app, &ada, &place, INVITE, &[("emails", "new@example.org"), ("role", "admin")]).await;
    assert_eq!(told[0]["outcome"], "mailed");
    let letter = app.letter().await;
    assert_eq!((letter.to.as_str(), letter.subject.as_str()), ("new@example.org", "You are invited"));
    assert!(
        !letter.text.contains("Acme") && !letter.text.contains("ada"),
        "words of somebody's choosing: {}",
        letter.text
    );
    let made = app.call(None, AS_NEW, &[("token", &token(&letter.text)), ("password", PASSWORD)]).await;
    assert!(made.status.is_success() || made.status.is_redirection(), "{}", made.body);
    let proven = "select count(*) from app.users where email = 'new@example.org' and email_verified_at is not null";
    assert_eq!(app.count(proven).await, 1);
    // One that is taken back before it is sent is not sent.
    ok(&app, &ada, &place, INVITE, &[("emails", "late@example.org"), ("role", "admin")]).await;
    let id = ok(&app, &ada, &place, "invitations/server_fns/list_invitations", &[]).await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    ok(&app, &ada, &place, "invitations/server_fns/revoke_invitation", &[("invitation", &id)]).await;
    assert_eq!(app.letter().await.to, "new@example.org");
    assert_eq!(app.count("select count(*) from app.outgoing").await, 0);
}

#[tokio::test]
async fn an_invitation_is_looked_at_by_a_post_of_a_program_and_changed_by_no_get() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let t = link(&app, &ada, &place, "bob@example.org", "project_creator").await;
    app.page(Some(&bob), &format!("/invitation?t={t}&do=accept-invitation")).await;
    assert_eq!(members(&app, &ada, &place, &[]).await.len(), 1);
    let mut foreign = post("/invitation?do=accept-invitation", &[("token", &t)]);
    foreign.headers_mut().insert(header::COOKIE, bob.cookie().parse().unwrap());
    foreign.headers_mut().insert("sec-fetch-site", "cross-site".parse().unwrap());
    assert_eq!(app.send(foreign).await.status, StatusCode::FORBIDDEN);
    assert_eq!(members(&app, &ada, &place, &[]).await.len(), 1);
    assert_eq!(call(&app, None, READ, "nonsense").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_invitation_stands_for_as_long_as_whoever_invited_may_invite() {
    let app = App::new().await;
    let (ada, bob, cy) = (
        app.sign_up("ada@example.org").await,
        app.sign_up("bob@example.org").await,
        app.sign_up("cy@example.org").await,
    );
    let place = make(&app, &ada, "Acme").await;
    let his = join(&app, &place, &bob, "owner").await;
    let as_owner = link(&app, &bob, &his, "cy@example.org", "owner").await;
    let set = async |role: &str| {
        ok(&app, &ada, &place, "workspaces/server_fns/set_member_role", &[("member", &his), ("role", role)]).await
    };
    set("admin").await;
    assert_eq!(call(&app, Some(&cy), ACCEPT, &as_owner).await.status, StatusCode::CONFLICT);
    assert_eq!(app.page(Some(&cy), &format!("/invitation?t={as_owner}")).await.status, StatusCode::NOT_FOUND);
    // An admin neither renews nor takes back what an owner offers.
    let id = ok(&app, &ada, &place, "invitations/server_fns/list_invitations", &[]).await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for (function, fields) in [
        ("resend_invitation", &[("invitation", id.as_str())][..]),
        ("revoke_invitation", &[("invitation", &id)]),
        ("set_invited_role", &[("invitation", &id), ("role", "admin")]),
    ] {
        let tried = at(&app, &bob, &his, &format!("invitations/server_fns/{function}"), fields).await;
        assert_eq!(tried.status, StatusCode::FORBIDDEN, "{function}: {}", tried.body);
    }
    let lanes = app.db.lanes(1);
    let mut opening = bob.opening();
    opening.place = Some(his.parse().unwrap());
    for statement in ["update app.invitations set mailed = true", "update app.invitations set token_hash = 'mine'"] {
        let mut lane = lanes.workspace(&opening).await.unwrap();
        assert!(lane.conn().execute(statement).await.is_err(), "{statement}");
    }
    ok(&app, &ada, &place, "invitations/server_fns/revoke_invitation", &[("invitation", &id)]).await;
    let as_member = link(&app, &bob, &his, "cy@example.org", "project_creator").await;
    ok(&app, &ada, &place, "workspaces/server_fns/remove_member", &[("member", &his)]).await;
    assert_eq!(call(&app, Some(&cy), ACCEPT, &as_member).await.status, StatusCode::CONFLICT);
    assert_eq!(members(&app, &ada, &place, &[]).await.len(), 1);
}

#[tokio::test]
async fn an_invitation_leads_into_projects_of_its_own_workspace_alone() {
    let app = App::new().await;
    let (ada, eve) = (app.sign_up("ada@example.org").await, app.sign_up("eve@example.org").await);
    let (place, hers) = (make(&app, &ada, "Acme").await, make(&app, &eve, "Hers").await);
    let plan = project(&app, &ada, &place, "Plan").await;
    let fields = [("emails", "guest@example.org"), ("role", ""), ("projects[]", plan.as_str())];
    ok(&app, &ada, &place, INVITE, &fields).await;
    let guest = app.sign_up("guest@example.org").await;
    let t = link(&app, &eve, &hers, "guest@example.org", "project_creator").await;
    // The same id in two workspaces: nobody can make that, and it would lead nowhere.
    app.db
        .superuser()
        .await
        .execute("update app.invitations h set id = a.id from app.invitations a join app.workspaces w on w.id = a.workspace_id and w.name = 'Acme' where h.workspace_id <> a.workspace_id")
        .await
        .unwrap();
    assert_eq!(call(&app, None, READ, &t).await.json()["projects"], json!([]));
    assert!(!call(&app, Some(&guest), ACCEPT, &t).await.status.is_server_error());
    assert_eq!(app.count("select count(*) from app.project_members m join app.projects p on p.id = m.project_id where p.name = 'Plan'").await, 1);
}

#[tokio::test]
async fn whoever_is_erased_leaves_no_address_in_invitations() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let (place, other) = (make(&app, &ada, "Acme").await, make(&app, &ada, "Other").await);
    let t = link(&app, &ada, &place, "bob@example.org", "project_creator").await;
    link(&app, &ada, &other, "bob@example.org", "owner").await;
    call(&app, Some(&bob), ACCEPT, &t).await;
    assert_eq!(app.count("select count(*) from app.invitations").await, 2);
    let erased = app
        .call(Some(&bob), "accounts/server_fns/erase_account", &[("name", "bob@example.org"), ("password", PASSWORD)])
        .await;
    assert!(erased.status.is_success() || erased.status.is_redirection(), "{}", erased.body);
    assert_eq!(app.count("select count(*) from app.invitations").await, 0);
}

#[tokio::test]
async fn whoever_renews_or_raises_an_invitation_that_does_not_stand_any_more_gives_it_themselves() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    let place = make(&app, &ada, "Acme").await;
    let bobs = join(&app, &place, &bob, "admin").await;
    let cy = app.sign_up("cy@example.org").await;
    let id_of = async |email: &str| -> String {
        let id: uuid::Uuid = sqlx::query_scalar("select id from app.invitations where email = $1")
            .bind(email)
            .fetch_one(&mut app.db.superuser().await)
            .await
            .unwrap();
        id.to_string()
    };
    let token =
        |told: &serde_json::Value| told[0]["outcome"]["link"].as_str().unwrap().split("t=").nth(1).unwrap().to_owned();
    let accept = async |person: &crate::harness::Person, token: &str| {
        app.call(Some(person), "invitations/server_fns/accept_invitation", &[("token", token)]).await.status
    };
    // Raised by an owner above what the admin who invited may give.
    let link =
        ok(&app, &bob, &bobs, "invitations/server_fns/invite", &[("emails", "cy@example.org"), ("role", "admin")])
            .await;
    let id = id_of("cy@example.org").await;
    ok(&app, &ada, &place, "invitations/server_fns/set_invited_role", &[("invitation", &id), ("role", "owner")]).await;
    assert_eq!(accept(&cy, &token(&link)).await, StatusCode::OK);
    // Renewed by an owner after whoever invited was removed; without that it opens nothing.
    let dee = app.sign_up("dee@example.org").await;
    let link =
        ok(&app, &bob, &bobs, "invitations/server_fns/invite", &[("emails", "dee@example.org"), ("role", "admin")])
            .await;
    ok(&app, &ada, &place, "workspaces/server_fns/remove_member", &[("member", &bobs)]).await;
    assert_ne!(accept(&dee, &token(&link)).await, StatusCode::OK);
    let id = id_of("dee@example.org").await;
    let link = ok(&app, &ada, &place, "invitations/server_fns/resend_invitation", &[("invitation", &id)]).await;
    assert_eq!(accept(&dee, &token(&link)).await, StatusCode::OK);
    let roles: Vec<String> = sqlx::query_scalar("select role from app.workspace_members where email in ('cy@example.org', 'dee@example.org') and workspace_id = (select id from app.workspaces where name = 'Acme') order by email")
        .fetch_all(&mut app.db.superuser().await)
        .await
        .unwrap();
    assert_eq!(roles, ["owner", "admin"]);
}

#[tokio::test]
async fn whoever_opens_a_link_as_somebody_else_signs_out_and_is_back_at_it() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let place = make(&app, &ada, "Acme").await;
    let fields = [("emails", "cy@example.org"), ("role", "project_creator")];
    let told = ok(&app, &ada, &place, "invitations/server_fns/invite", &fields).await;
    let link = told[0]["outcome"]["link"].as_str().unwrap().to_owned();
    let path = format!("/invitation{}", link.split("/invitation").nth(1).unwrap());
    let page = app.page(Some(&ada), &path).await.body;
    assert!(page.contains("signed in as") && page.contains(&format!("name=\"next\" value=\"{path}\"")), "{page}");
    let evil =
        app.form(Some(&app.sign_up("bob@example.org").await), "/chat?do=sign-out", &[("next", "//evil.example")]).await;
    assert_eq!(evil.headers[header::LOCATION], "/chat");
    let out = app.form(Some(&ada), "/chat?do=sign-out", &[("next", &path)]).await;
    assert_eq!((out.status, out.headers[header::LOCATION].to_str().unwrap()), (StatusCode::SEE_OTHER, path.as_str()));
    assert!(app.page(None, &path).await.body.contains("Choose a password"));
}
