//! The customer's side: what a visitor reads and hears, who is shut out, and on which pages the widget is shown.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use moat::{error::AppError, types::ClientId};
use sqlx::Executor;
use uuid::Uuid;

use crate::{
    desk::{Desk, Feed, Visitor, answer, behind, desk, note, only, queue, read},
    harness::App,
    workspaces::{at, ok},
};

const DESK: &str = "conversations/server_fns";

#[tokio::test]
async fn a_visitor_reads_one_conversation_and_never_a_note_a_line_of_the_staff_or_somebody_elses() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let (vi, wim) = (Visitor::new(&app, &key).await, Visitor::new(&app, &key).await);
    vi.say(&app, "of Vi").await;
    let id = only(&app, &ada, &place, "open").await;
    wim.say(&app, "of Wim").await;
    note(&app, &ada, &place, &id, "between us").await;
    answer(&app, &ada, &place, &id, "to Vi", None).await;
    assert_eq!(vi.reads(&app).await, ["of Vi", "to Vi"]);
    assert_eq!(wim.reads(&app).await, ["of Wim"]);
    let own = vi.own(&app).await.to_string();
    for hidden in ["between us", "took this", "of Wim", "ada@example.org", &place] {
        assert!(!own.contains(hidden), "{hidden} in {own}");
    }
    assert!(own.contains("\"seq\":0"), "a gap would tell of a note");
    // Every door of the staff and of people is shut, and so is the visitor's without a token.
    for function in [
        "conversations/server_fns/list_conversations",
        "workspaces/server_fns/list_places",
        "threads/server_fns/list_threads",
    ] {
        assert_eq!(vi.call(&app, function, &[]).await.status, StatusCode::UNAUTHORIZED, "{function}");
    }
    let stranger = Visitor("visitor.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into());
    assert_eq!(stranger.call(&app, "widget/server_fns/read_own", &[]).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(stranger.say_as(&app, &Uuid::new_v4().to_string(), "x").await.status, StatusCode::UNAUTHORIZED);
    let nobody = app.call(None, "widget/server_fns/begin_visit", &[("key", "no such key")]).await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
    // In the visitor's own lane too: what is granted, and no more.
    let hash: Vec<u8> = sqlx::query_scalar(
        "select v.token_hash from app.visitors v join app.conversations t on t.visitor_id = v.id where t.id = $1",
    )
    .bind(id.parse::<Uuid>().unwrap())
    .fetch_one(&mut app.db.superuser().await)
    .await
    .unwrap();
    for (statement, code) in [
        ("select claimed_by from app.conversations", "42501"),
        ("select customer_email from app.conversations", "42501"),
        ("select author_id from app.conversation_messages", "42501"),
        ("select from app.visitors", "42501"),
        ("select from app.agents", "42501"),
        ("select from app.workspace_members", "42501"),
        ("select from app.users", "42501"),
        ("select from app.threads", "42501"),
        ("update app.conversations set status = 'resolved', resolved_at = now(), waiting_since = null", "P0403"),
        ("update app.conversations set claimed_by = null", "42501"),
        ("delete from app.conversation_messages", "42501"),
        ("select app.take_next(gen_random_uuid())", "42501"),
    ] {
        let mut lane = app.state.lanes.visitor(&hash).await.unwrap();
        let refused = lane.conn().execute(statement).await.expect_err(statement);
        assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some(code), "{statement}");
    }
}

#[tokio::test]
async fn an_id_that_the_staff_has_used_is_refused_to_a_customer_as_any_that_is_spent() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "hello").await;
    let id = only(&app, &ada, &place, "waiting").await;
    let client = "00000000-0000-4000-8000-0000000000b1";
    let note = [("conversation", &*id), ("client", client), ("text", "between us"), ("note", "true")];
    ok(&app, &ada, &place, &format!("{DESK}/answer_conversation"), &note).await;
    let refused = vi.say_as(&app, client, "between us").await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.body);
    assert_eq!(vi.reads(&app).await, ["hello"]);
}

#[tokio::test]
async fn whoever_writes_while_they_are_erased_or_shut_out_or_their_desk_goes_is_told_which() {
    let app = App::new().await;
    let Desk { key, .. } = desk(&app, "ada@example.org", "Acme").await;
    for (n, what, told) in [
        (1, "update app.visitors set blocked_at = now()", AppError::Forbidden),
        (2, "delete from app.visitors", AppError::Unauthenticated),
        // It may come back: their page keeps their token.
        (3, "update app.workspaces set deleted_at = now() where personal_of is null", AppError::NotFound),
    ] {
        app.state.lanes.make_visitor(&key, &[n; 32]).await.unwrap();
        let mut lane = app.state.lanes.visitor(&[n; 32]).await.unwrap();
        behind(&app, what).await;
        let said = moat::widget::sql::say(&mut lane, ClientId::fresh(), "hello").await;
        assert_eq!(said, Err(told), "{what}");
    }
    assert_eq!(app.count("select count(*) from app.conversations").await, 0);
}

#[tokio::test]
async fn what_a_customer_did_not_change_in_the_form_is_not_written_over_what_the_staff_calls_them() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let vi = Visitor::new(&app, &key).await;
    vi.say(&app, "hello").await;
    let introduce = async |name: &str, email: &str, was: &str| {
        let fields = [("name", name), ("email", email), ("was", was)];
        assert_eq!(vi.call(&app, "widget/server_fns/introduce", &fields).await.status, StatusCode::OK);
        let own = vi.own(&app).await;
        (own["name"].as_str().unwrap().to_owned(), own["email"].as_str().unwrap().to_owned())
    };
    let is = |name: &str, email: &str| (name.to_owned(), email.to_owned());
    assert_eq!(introduce("Vi", "vi@exmaple.org", r#"["",""]"#).await, is("Vi", "vi@exmaple.org"));
    let id = only(&app, &ada, &place, "waiting").await;
    let fields = [("conversation", &*id), ("name", "Vivian of Acme"), ("email", "vi@exmaple.org")];
    ok(&app, &ada, &place, &format!("{DESK}/name_customer"), &fields).await;
    // The address alone is mended.
    let mended = introduce("Vi", "vi@example.org", r#"["Vi","vi@exmaple.org"]"#).await;
    assert_eq!(mended, is("Vi", "vi@example.org"), "what the staff calls them is the staff's");
    let whole = read(&app, &ada, &place, &id).await;
    assert_eq!((&whole["customer"], &whole["email"]), (&"Vivian of Acme".into(), &"vi@example.org".into()));
    // Nothing in a name turns the letters around it.
    assert_eq!(introduce("Ann\u{202e}gnp\u{200b}", "", "").await, is("Anngnp", "vi@example.org"));
    assert_eq!(introduce("Vi", "", "").await, is("Vi", "vi@example.org"));
    // What is cleared is gone; a form that says nothing of what was clears nothing.
    assert_eq!(introduce("", "vi@example.org", "").await, is("Vi", "vi@example.org"));
    assert_eq!(introduce("", "vi@example.org", r#"["Vi","vi@example.org"]"#).await, is("", "vi@example.org"));
}

#[tokio::test]
async fn whoever_is_blocked_or_whose_desk_has_gone_is_out_at_once() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let (vi, wim) = (Visitor::new(&app, &key).await, Visitor::new(&app, &key).await);
    vi.say(&app, "rude").await;
    let id = only(&app, &ada, &place, "open").await;
    ok(&app, &ada, &place, &format!("{DESK}/block_customer"), &[("conversation", &id), ("blocked", "true")]).await;
    // Not as somebody whom nobody knows any more: that one may begin anew.
    assert_eq!(vi.say_as(&app, &Uuid::new_v4().to_string(), "again").await.status, StatusCode::FORBIDDEN);
    assert_eq!(vi.call(&app, "widget/server_fns/read_own", &[]).await.status, StatusCode::FORBIDDEN);
    ok(&app, &ada, &place, &format!("{DESK}/block_customer"), &[("conversation", &id), ("blocked", "false")]).await;
    assert_eq!(vi.reads(&app).await, ["rude"]);
    wim.say(&app, "hello").await;
    ok(&app, &ada, &place, "workspaces/server_fns/delete_workspace", &[("name", "Acme")]).await;
    // Not as somebody whom nobody knows: they find their conversation again when the workspace comes back.
    assert_eq!(wim.call(&app, "widget/server_fns/read_own", &[]).await.status, StatusCode::NOT_FOUND);
    let gone = app.call(None, "widget/server_fns/begin_visit", &[("key", &key)]).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    // What customers said is not swept away with it.
    behind(&app, "update app.workspaces set deleted_at = now() - interval '40 days' where deleted_at is not null")
        .await;
    moat::server::jobs::sweep_workspaces(&app.state).await.unwrap();
    assert_eq!(app.count("select count(*) from app.conversations").await, 2);
}

#[tokio::test]
async fn an_event_stream_of_a_visitor_tells_that_something_happened_and_ends_when_they_are_blocked() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let (vi, wim) = (Visitor::new(&app, &key).await, Visitor::new(&app, &key).await);
    let stream = async |who: &Visitor| {
        let request = Request::get("/widget-live").header(header::AUTHORIZATION, format!("Bearer {}", who.0));
        app.open(request.body(Body::empty()).unwrap()).await
    };
    assert_eq!(stream(&vi).await.status(), StatusCode::NOT_FOUND, "there is nothing to hear yet");
    vi.say(&app, "hello").await;
    wim.say(&app, "hello too").await;
    app.state.hub.sequence().await.unwrap();
    let mut hers = Feed::of(stream(&vi).await);
    assert_eq!(hers.line().await.as_deref(), Some("begun"));
    let id = queue(&app, &ada, &place, "waiting").await[0]["id"].as_str().unwrap().to_owned();
    answer(&app, &ada, &place, &id, "yes?", None).await;
    assert_eq!(hers.line().await.as_deref(), Some("changed"));
    ok(&app, &ada, &place, &format!("{DESK}/block_customer"), &[("conversation", &id), ("blocked", "true")]).await;
    while let Some(line) = hers.line().await {
        assert_eq!(line, "changed");
    }
    assert_eq!(stream(&vi).await.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_widget_is_shown_by_the_pages_that_its_key_names_and_everything_else_by_none() {
    let app = App::new().await;
    let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
    let fields = [("name", "other"), ("origins", "https://www.example.org")];
    ok(&app, &ada, &place, "desks/server_fns/put_widget_key", &fields).await;
    let read = ok(&app, &ada, &place, "desks/server_fns/read_desk", &[]).await;
    let named = read["keys"][1]["key"].as_str().unwrap();
    let framed = async |path: &str| {
        let page = app.page(Some(&ada), path).await;
        let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        (
            policy.split("frame-ancestors ").nth(1).unwrap().to_owned(),
            page.headers.contains_key(header::X_FRAME_OPTIONS),
        )
    };
    assert_eq!(framed(&format!("/widget/{key}")).await, ("*".to_owned(), false));
    assert_eq!(framed(&format!("/widget/{named}")).await, ("'self' https://www.example.org".to_owned(), false));
    assert_eq!(framed("/widget/nothing").await, ("*".to_owned(), false), "it says that there is nothing, in the frame");
    assert_eq!(framed(&format!("/w/{place}/desk")).await, ("'none'".to_owned(), true));
    for wrong in ["https://a.example;script-src *", "*", "https://a.example/x"] {
        let refused =
            at(&app, &ada, &place, "desks/server_fns/put_widget_key", &[("name", "x"), ("origins", wrong)]).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    // What is kept with a key can be changed, and its line in the page stays; of another workspace's there is none.
    let id = read["keys"][1]["id"].as_str().unwrap();
    let change = [("key", id), ("name", "shop"), ("origins", "https://shop.example.org")];
    ok(&app, &ada, &place, "desks/server_fns/put_widget_key", &change).await;
    assert_eq!(framed(&format!("/widget/{named}")).await.0, "'self' https://shop.example.org");
    let other = desk(&app, "eve@example.org", "Other").await;
    let foreign = [("key", id), ("name", "mine")];
    let refused = at(&app, &other.ada, &other.place, "desks/server_fns/put_widget_key", &foreign).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    let kept = ok(&app, &ada, &place, "desks/server_fns/read_desk", &[]).await;
    assert_eq!((kept["keys"].as_array().unwrap().len(), &kept["keys"][1]["name"]), (2, &"shop".into()));
    let script = app.page(None, "/widget.js").await;
    assert_eq!(script.headers["cross-origin-resource-policy"], "cross-origin");
    assert_eq!(app.page(None, "/desk.js").await.headers["cross-origin-resource-policy"], "same-origin");
}
