//! The account's own pages: profile, sessions, password, leaving.

use axum::http::{StatusCode, header};
use sqlx::{AssertSqlSafe, Executor, Row};
use uuid::Uuid;

use crate::harness::{App, PASSWORD, Person, token};

const NEW: &str = "another long password";

async fn again(app: &App, email: &str) -> Person {
    let answer = app.sign_in(email, PASSWORD).await;
    app.person(email, &answer)
}

async fn alive(app: &App, who: &Person) -> bool {
    app.call(Some(who), "accounts/server_fns/whoami", &[]).await.status == 200
}

#[tokio::test]
async fn a_profile_is_kept_and_the_time_zone_is_mirrored_in_a_cookie() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let fields = [("name", " Ada <b>L</b> "), ("language", "en"), ("time_zone", "Europe/Berlin")];
    let saved = app.form(Some(&ada), "/account?do=profile", &fields).await;
    assert_eq!(saved.headers[header::LOCATION], "/account?done=profile");
    let cookie = saved
        .headers
        .get_all(header::SET_COOKIE)
        .iter()
        .find_map(|v| v.to_str().ok().filter(|v| v.starts_with("moat-tz=")))
        .unwrap();
    assert!(
        cookie.starts_with("moat-tz=Europe/Berlin; Path=/;")
            && cookie.contains("HttpOnly")
            && cookie.contains("SameSite=Lax")
    );
    let page = app.page(Some(&ada), "/account?done=profile").await;
    assert!(
        page.body.contains("Your profile is saved.") && page.body.contains("Ada &lt;b&gt;L")
            || page.body.contains("value=\"Ada <b>L</b>\""),
        "{}",
        page.body
    );
    assert!(page.body.contains("<option value=\"Europe/Berlin\" selected>"), "{}", page.body);
    // A new browser knows it from its sign-in on.
    let elsewhere = app.sign_in("ada@example.org", PASSWORD).await;
    assert!(elsewhere.cookies().contains(&("moat-tz".into(), "Europe/Berlin".into())));
    assert!(app.page(Some(&ada), "/account/sessions").await.status == 200);
    for (field, wrong) in [("time_zone", "Mars/Olympus"), ("language", "tlh"), ("name", &"x".repeat(81))] {
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(n, v)| (*n, if *n == field { wrong } else { *v })).collect();
        assert_eq!(app.form(Some(&ada), "/account?do=profile", &fields).await.status, 400, "{field}");
    }
    let none =
        app.form(Some(&ada), "/account?do=profile", &[("name", ""), ("language", "en"), ("time_zone", "")]).await;
    assert!(
        none.headers
            .get_all(header::SET_COOKIE)
            .iter()
            .any(|v| v.to_str().unwrap().starts_with("moat-tz=; Path=/; Max-Age=0"))
    );
    // Words that are not ours are never shown.
    assert!(!app.page(Some(&ada), "/account?done=You%20won").await.body.contains("You won"));
    // Nothing of it is left for whoever signs in next.
    let left = app.call(Some(&ada), "accounts/server_fns/sign_out", &[]).await;
    let gone = |v: &header::HeaderValue| v.to_str().unwrap().starts_with("moat-tz=; Path=/; Max-Age=0");
    assert!(left.headers.get_all(header::SET_COOKIE).iter().any(gone));
}

#[tokio::test]
async fn postgres_knows_every_time_zone_that_can_be_chosen() {
    let app = App::new().await;
    let zones: Vec<String> = moat::accounts::zones::all().map(str::to_owned).collect();
    assert!(zones.len() > 300);
    let unknown: Vec<String> =
        sqlx::query_scalar("select z from unnest($1::text[]) z where z not in (select name from pg_timezone_names)")
            .bind(&zones)
            .fetch_all(&mut app.db.superuser().await)
            .await
            .unwrap();
    assert_eq!(unknown, Vec::<String>::new());
}

#[tokio::test]
async fn sessions_are_listed_with_their_device_and_ended_one_by_one_or_all_but_this() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let bob = app.sign_up("bob@example.org").await;
    let (one, two, three) = (
        again(&app, "ada@example.org").await,
        again(&app, "ada@example.org").await,
        again(&app, "ada@example.org").await,
    );
    sqlx::query("update app.sessions set device = 'Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0', ip = '192.0.2.7', last_seen_at = now() - interval '3 hours' where id = $1")
        .bind(one.session)
        .execute(&mut app.db.superuser().await)
        .await
        .unwrap();
    let page = app.page(Some(&ada), "/account/sessions").await;
    assert!(
        page.body.contains("Firefox on Linux") && page.body.contains("192.0.2.7") && page.body.contains("3 hours ago"),
        "{}",
        page.body
    );
    assert!(!page.body.contains(&bob.session.to_string()) && !page.body.contains(&ada.session.to_string()));
    assert_eq!(page.body.matches("do=revoke\"").count(), 3);

    let end = async |who: &Person, session: String| {
        app.form(Some(who), "/account/sessions?do=revoke", &[("session", &session)]).await
    };
    assert_eq!(end(&ada, one.session.to_string()).await.headers[header::LOCATION], "/account/sessions?done=revoked");
    assert!(!alive(&app, &one).await && alive(&app, &two).await);
    // Somebody else's, one that has ended and one that never was are all the same nothing.
    let nothing = end(&ada, Uuid::new_v4().to_string()).await;
    let foreign = end(&ada, bob.session.to_string()).await;
    let ended = end(&ada, one.session.to_string()).await;
    assert_eq!(nothing.status, StatusCode::NOT_FOUND);
    let body = |a: &crate::harness::Answer| a.body.contains("There is nothing here, or it is not yours.");
    assert!(foreign.status == 404 && ended.status == 404 && body(&nothing) && body(&foreign) && body(&ended));
    assert!(alive(&app, &bob).await);

    assert_eq!(app.form(Some(&ada), "/account/sessions?do=revoke-others", &[]).await.status, 303);
    assert!(
        alive(&app, &ada).await && !alive(&app, &two).await && !alive(&app, &three).await && alive(&app, &bob).await
    );
    assert!(!app.page(Some(&ada), "/account/sessions").await.body.contains("End all other sessions"));
}

#[tokio::test]
async fn whoever_guesses_in_a_session_that_they_stole_keeps_no_other_from_the_password() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let stolen = app.sign_in("ada@example.org", PASSWORD).await;
    let stolen = app.person("ada@example.org", &stolen);
    let change = async |person: &Person, old: &str| {
        let fields = [("password", old), ("new_password", NEW)];
        app.form(Some(person), "/account/password?do=change-password", &fields).await.status
    };
    let mut guesses = Vec::new();
    for _ in 0..12 {
        guesses.push(change(&stolen, "not her password").await);
    }
    assert_eq!(guesses.last(), Some(&StatusCode::TOO_MANY_REQUESTS), "{guesses:?}");
    assert_eq!(change(&ada, PASSWORD).await, StatusCode::SEE_OTHER);
    assert_ne!(app.page(Some(&stolen), "/account").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_new_password_needs_the_old_one_and_ends_the_other_sessions() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let other = again(&app, "ada@example.org").await;
    let change = async |old: &str, new: &str| {
        app.form(Some(&ada), "/account/password?do=change-password", &[("password", old), ("new_password", new)]).await
    };
    let wrong = change("not her password", NEW).await;
    assert!(wrong.status == 400 && wrong.body.contains("This is not your password.") && alive(&app, &other).await);
    let short = change(PASSWORD, "short").await;
    assert!(
        short.status == 400 && short.body.contains("aria-describedby=\"new_password-note\" aria-invalid=\"true\""),
        "{}",
        short.body
    );
    assert_eq!(change(PASSWORD, NEW).await.headers[header::LOCATION], "/account?done=password");
    assert!(alive(&app, &ada).await && !alive(&app, &other).await);
    assert_eq!(app.sign_in("ada@example.org", PASSWORD).await.status, 400);
    assert_eq!(app.sign_in("ada@example.org", NEW).await.status, 200);
    // Guessing at it from a stolen session is slowed down as well.
    let mut last = StatusCode::OK;
    for _ in 0..12 {
        last = change("guess guess", NEW).await.status;
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_closed_account_lets_nobody_in_keeps_everything_and_can_be_opened_again() {
    let app = App::with(&["--dev-outbox"]).await;
    let ada = app.sign_up("ada@example.org").await;
    let client = Uuid::new_v4().to_string();
    app.call(Some(&ada), "threads/server_fns/start_thread", &[("client", &client), ("text", "kept")]).await;
    app.call(None, "accounts/server_fns/ask_magic", &[("email", "ada@example.org")]).await;
    let link = token(&app.letter().await.text);
    let wrong = app.form(Some(&ada), "/account/leave?do=close", &[("password", "not hers at all")]).await;
    assert!(wrong.status == 400 && alive(&app, &ada).await);
    assert!(wrong.body.contains("aria-describedby=\"close-password-note\" aria-invalid=\"true\""), "{}", wrong.body);
    let closed = app.form(Some(&ada), "/account/leave?do=close", &[("password", PASSWORD)]).await;
    assert_eq!(closed.headers[header::LOCATION], "/sign-in?done=closed");
    assert_eq!(closed.headers["clear-site-data"], "\"storage\"");
    assert!(closed.cookies().iter().all(|(_, value)| value.is_empty()));
    assert!(!alive(&app, &ada).await);
    assert_eq!(app.sign_in("ada@example.org", PASSWORD).await.status, 400);
    assert_eq!(app.call(None, "accounts/server_fns/sign_in_by_link", &[("token", &link)]).await.status, 409);
    app.call(None, "accounts/server_fns/ask_magic", &[("email", "ada@example.org")]).await;
    let told = app.letter().await;
    assert!(told.subject == "Your account is closed" && !told.text.contains("/link?"));
    assert_eq!(app.count("select count(*) from app.messages where content ->> 'text' = 'kept'").await, 1);
    app.db.superuser().await.execute("update app.users set status = 'active'").await.unwrap();
    let back = again(&app, "ada@example.org").await;
    let rows = app.call(Some(&back), "threads/server_fns/list_threads", &[]).await.json();
    assert_eq!(rows["rows"].as_array().unwrap().len(), 1);
    assert!(!alive(&app, &ada).await, "the old session stays over");
}

#[tokio::test]
async fn an_erased_account_leaves_no_row_behind_and_its_address_is_free() {
    let app = App::with(&["--dev-outbox"]).await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    for who in [&ada, &bob] {
        let client = Uuid::new_v4().to_string();
        app.call(Some(who), "threads/server_fns/start_thread", &[("client", &client), ("text", "secret words")]).await;
        app.call(None, "accounts/server_fns/ask_reset", &[("email", &who.email)]).await;
        app.form(Some(who), "/account/phone?do=link-phone", &[("number", "+49 30 1234567")]).await;
    }
    app.letter().await;
    app.form(Some(&ada), "/account/address?do=ask-confirmation", &[]).await;
    app.until("the answers", async || {
        (app.count("select count(*) from app.generations where status = 'done'").await == 2).then_some(())
    })
    .await;
    let mut conn = app.db.superuser().await;
    let tables: Vec<String> = sqlx::query("select table_name::text from information_schema.columns where table_schema = 'app' and column_name in ('user_id', 'topic')")
        .fetch_all(&mut conn)
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert!(tables.len() >= 11, "{tables:?}");
    let leave = async |name: &str, password: &str| {
        app.form(Some(&ada), "/account/leave?do=erase", &[("name", name), ("password", password)]).await
    };
    for (name, password) in [("bob@example.org", PASSWORD), ("", PASSWORD), ("ada@example.org", "not her password")] {
        let refused = leave(name, password).await;
        assert!(refused.status == 400 && refused.body.contains("aria-invalid"), "{name}");
    }
    assert!(alive(&app, &ada).await);
    let gone = leave(" Ada@Example.org", PASSWORD).await;
    assert_eq!(gone.headers[header::LOCATION], "/sign-in?done=erased", "{}", gone.body);
    assert!(!alive(&app, &ada).await);
    moat::server::jobs::erase(&app.state).await.unwrap();
    app.until("the job", async || (app.count("select count(*) from app.users").await == 1).then_some(())).await;
    app.state.hub.sequence().await.unwrap();
    for table in tables {
        let left = |who: moat::types::UserId| {
            let sql = format!(
                "select to_jsonb(t)::text from app.{table} t where coalesce(to_jsonb(t) ->> 'user_id', to_jsonb(t) ->> 'topic') = '{who}'"
            );
            let options = app.db.options("postgres");
            async move {
                use sqlx::Connection;
                let mut conn = sqlx::PgConnection::connect_with(&options).await.unwrap();
                let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut conn).await.unwrap();
                rows
            }
        };
        // The feed keeps for an hour that this id has ended, and a counter.
        let hers: Vec<String> = left(ada.id)
            .await
            .into_iter()
            .filter(|row| !row.contains("user.closed") && table != "feed_topics")
            .collect();
        assert_eq!(hers, Vec::<String>::new(), "{table}");
        if ["threads", "messages", "sessions", "credentials", "mail_tokens", "codes", "feed"].contains(&table.as_str())
        {
            assert!(!left(bob.id).await.is_empty(), "{table}: his are there");
        }
    }
    assert!(alive(&app, &bob).await);
    let anew = app.sign_up("ada@example.org").await;
    assert_ne!(anew.id, ada.id);
}

#[tokio::test]
async fn the_account_pages_are_for_the_signed_in_and_every_one_reads_for_them() {
    let app = App::with(&["--dev-outbox"]).await;
    let ada = app.sign_up("ada@example.org").await;
    for path in
        ["/account", "/account/address", "/account/password", "/account/phone", "/account/sessions", "/account/leave"]
    {
        let page = app.page(Some(&ada), path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(page.body.contains("<h1>") && !page.body.contains("did not load"), "{path}: {}", page.body);
        assert_eq!(app.page(None, path).await.status, 303, "{path}");
    }
}
