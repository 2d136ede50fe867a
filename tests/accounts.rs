//! Signing up, in and out; a session's line of tokens.

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode, header};
use moat::server::keys::RefreshToken;
use serde_json::json;
use sqlx::Executor;

use crate::harness::{Answer, App, PASSWORD, Person, post};

const SIGN_IN: &str = "accounts/server_fns/sign_in";
const SIGN_UP: &str = "accounts/server_fns/sign_up";

#[tokio::test]
async fn somebody_signs_up_signs_out_and_signs_in_again() {
    let app = App::new().await;
    let ada = app.sign_up("Ada@Example.org ").await;
    let who = app.call(Some(&ada), "accounts/server_fns/whoami", &[]).await;
    assert_eq!(who.json(), json!({ "email": "ada@example.org" }));
    let out = app.call(Some(&ada), "accounts/server_fns/sign_out", &[]).await;
    assert_eq!(out.status, 200);
    assert!(out.cookies().iter().all(|(_, value)| value.is_empty()));
    // The access token has minutes to live, but its session is over: the very next request is refused.
    assert_eq!(app.call(Some(&ada), "accounts/server_fns/whoami", &[]).await.status, 401);
    assert_eq!(app.page(Some(&ada), "/chat").await.status, StatusCode::FOUND);
    // Signing out twice is no error.
    assert_eq!(app.call(Some(&ada), "accounts/server_fns/sign_out", &[]).await.status, 200);
    let back = app.call(None, SIGN_IN, &[("email", "ada@example.org"), ("password", PASSWORD)]).await;
    let again = app.person("ada@example.org", &back);
    assert_eq!(again.id, ada.id);
    assert_ne!(again.session, ada.session);
}

#[tokio::test]
async fn cookies_are_out_of_reach_of_scripts_and_of_sibling_domains() {
    let app = App::new().await;
    let answer = app.call(None, SIGN_UP, &[("email", "ada@example.org"), ("password", PASSWORD)]).await;
    let set: Vec<&str> = answer.headers.get_all(header::SET_COOKIE).iter().map(|v| v.to_str().unwrap()).collect();
    assert_eq!(set.len(), 2, "{set:?}");
    for cookie in set {
        assert!(cookie.starts_with("__Host-moat-"), "{cookie}");
        for part in ["HttpOnly", "Secure", "SameSite=Lax", "Path=/"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        assert!(!cookie.contains("Domain"), "{cookie}");
    }
    assert!(!answer.body.contains("eyJ"), "no token in a body: {}", answer.body);
    let stored: Vec<Vec<u8>> = sqlx::query_scalar("select hash from app.refresh_tokens")
        .fetch_all(&mut app.db.superuser().await)
        .await
        .unwrap();
    let ada = app.person("ada@example.org", &answer);
    assert!(stored.iter().all(|hash| hash.len() == 32 && hash != ada.refresh.as_bytes()));
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_sound_the_same() {
    let app = App::new().await;
    app.sign_up("ada@example.org").await;
    let wrong = app.call(None, SIGN_IN, &[("email", "ada@example.org"), ("password", "not her password")]).await;
    let unknown = app.call(None, SIGN_IN, &[("email", "eve@example.org"), ("password", "not her password")]).await;
    assert_eq!(wrong.status, 400);
    assert_eq!((wrong.status, wrong.body), (unknown.status, unknown.body));
    let mut conn = app.db.superuser().await;
    conn.execute("update app.users set status = 'banned'").await.unwrap();
    let banned = app.call(None, SIGN_IN, &[("email", "ada@example.org"), ("password", PASSWORD)]).await;
    assert_eq!(banned.json()["error"], "invalid");
    assert!(banned.cookies().is_empty());
}

#[tokio::test]
async fn a_taken_address_is_told_and_makes_no_second_account() {
    let app = App::new().await;
    app.sign_up("ada@example.org").await;
    let taken = app.call(None, SIGN_UP, &[("email", "ADA@example.org"), ("password", PASSWORD)]).await;
    assert_eq!((taken.status, taken.json()["field"].as_str()), (StatusCode::BAD_REQUEST, Some("email")));
    let users: i64 =
        sqlx::query_scalar("select count(*) from app.users").fetch_one(&mut app.db.superuser().await).await.unwrap();
    assert_eq!(users, 1);
}

#[tokio::test]
async fn guessing_is_slowed_down_for_an_account_and_says_how_long() {
    let app = App::new().await;
    app.sign_up("ada@example.org").await;
    let mut refused = None;
    for _ in 0..12 {
        let answer = app.call(None, SIGN_IN, &[("email", "ada@example.org"), ("password", "guess guess")]).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a limit");
    let wait: u64 = refused.headers[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait));
    // The right password has to wait as well, and somebody else does not.
    assert_eq!(app.call(None, SIGN_IN, &[("email", "ada@example.org"), ("password", PASSWORD)]).await.status, 429);
    assert_eq!(app.call(None, SIGN_IN, &[("email", "eve@example.org"), ("password", "guess guess")]).await.status, 400);
}

#[tokio::test]
async fn who_may_sign_up_is_a_setting() {
    let invite = App::with(&["--signup", "invite"]).await;
    assert_eq!(invite.call(None, SIGN_UP, &[("email", "a@example.org"), ("password", PASSWORD)]).await.status, 400);
}

/// A page asked for with the refresh token alone; gives the new pair, if there is one.
async fn refresh(app: &App, ada: &Person, token: &str) -> Option<Person> {
    let request =
        Request::get("/").header(header::COOKIE, format!("__Host-moat-refresh={token}")).body(Body::empty()).unwrap();
    let answer = app.send(request).await;
    let kept = answer.cookies().iter().any(|(name, value)| name == "__Host-moat-refresh" && !value.is_empty());
    kept.then(|| app.person(&ada.email, &answer))
}

#[tokio::test]
async fn a_refresh_token_is_spent_for_one_child_and_for_the_same_one_within_ten_seconds() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let first = refresh(&app, &ada, &ada.refresh).await.unwrap();
    let again = refresh(&app, &ada, &ada.refresh).await.unwrap();
    assert_ne!(first.refresh, ada.refresh);
    assert_eq!(first.refresh, again.refresh);
    assert_eq!(first.session, ada.session);
    assert_eq!(app.call(Some(&first), "accounts/server_fns/whoami", &[]).await.status, 200);
}

#[tokio::test]
async fn a_spent_token_is_forgiven_for_ten_seconds_and_not_for_longer() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let parent = RefreshToken::parse(&ada.refresh).unwrap();
    let child = app.state.keys.child(&parent);
    refresh(&app, &ada, &ada.refresh).await.unwrap();
    let mut conn = app.db.superuser().await;
    for (ago, outcome) in [(9, "ok"), (11, "reused")] {
        // Side by side in the database, so that a slow machine does not make the seconds more.
        conn.execute(
            "begin; select set_config('request.jwt.claims', '{\"role\": \"service\", \"reason\": \"sign_in\"}', true)",
        )
        .await
        .unwrap();
        sqlx::query(
            "update app.refresh_tokens set used_at = clock_timestamp() - make_interval(secs => $1) where hash = $2",
        )
        .bind(f64::from(ago))
        .bind(parent.hash().as_slice())
        .execute(&mut conn)
        .await
        .unwrap();
        let found: String = sqlx::query_scalar("select outcome from app.rotate_session($1, $2, '')")
            .bind(parent.hash().as_slice())
            .bind(child.hash().as_slice())
            .fetch_one(&mut conn)
            .await
            .unwrap();
        conn.execute("commit").await.unwrap();
        assert_eq!(found, outcome, "{ago} s after it was spent");
        assert_eq!(app.count("select count(*) from app.refresh_tokens").await, 2, "no second child");
        let lives = app.count("select count(*) from app.sessions where revoked_at is null").await;
        assert_eq!(lives, i64::from(outcome == "ok"));
    }
}

#[tokio::test]
async fn a_session_that_has_run_out_is_not_renewed() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    app.db.superuser().await.execute("update app.sessions set expires_at = now()").await.unwrap();
    assert!(refresh(&app, &ada, &ada.refresh).await.is_none());
    assert_eq!(app.count("select count(*) from app.refresh_tokens").await, 1);
    assert_eq!(app.count("select count(*) from app.sessions where expires_at > now()").await, 0);
}

#[tokio::test]
async fn accounts_are_made_from_one_address_only_so_fast() {
    let app = App::new().await;
    app.sign_up("ada@example.org").await;
    let sign_up = async |seconds: i32, email: &str| {
        sqlx::query("update app.rate_limits set free_at = clock_timestamp() + make_interval(secs => $1) where key like 'sign-up:%'")
            .bind(f64::from(seconds))
            .execute(&mut app.db.superuser().await)
            .await
            .unwrap();
        app.call(None, SIGN_UP, &[("email", email), ("password", PASSWORD)]).await
    };
    // Thirty at once and then one in ten seconds: with 29 of them taken there is one left, with 30 there is none.
    assert_eq!(sign_up(290, "bob@example.org").await.status, 200);
    let refused = sign_up(300, "eve@example.org").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{}", refused.body);
    let wait: u64 = refused.headers[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=10).contains(&wait), "{wait}");
    assert!(refused.cookies().is_empty());
    assert_eq!(app.count("select count(*) from app.users").await, 2);
}

#[tokio::test]
async fn a_hundred_refreshes_at_once_make_one_line() {
    let app = std::sync::Arc::new(App::new().await);
    let ada = app.sign_up("ada@example.org").await;
    let tries = (0..100).map(|_| {
        let (app, ada) = (app.clone(), ada.clone());
        tokio::spawn(async move { refresh(&app, &ada, &ada.refresh).await.unwrap().refresh })
    });
    let children: std::collections::BTreeSet<String> =
        futures::future::join_all(tries).await.into_iter().map(|child| child.unwrap()).collect();
    assert_eq!(children.len(), 1);
    let rows: i64 = sqlx::query_scalar("select count(*) from app.refresh_tokens")
        .fetch_one(&mut app.db.superuser().await)
        .await
        .unwrap();
    assert_eq!(rows, 2);
}

#[tokio::test]
async fn an_old_token_that_comes_back_ends_the_whole_session_with_all_its_descendants() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let child = refresh(&app, &ada, &ada.refresh).await.unwrap();
    let grandchild = refresh(&app, &ada, &child.refresh).await.unwrap();
    let other = {
        let answer = app.call(None, SIGN_IN, &[("email", "ada@example.org"), ("password", PASSWORD)]).await;
        app.person("ada@example.org", &answer)
    };
    app.db
        .superuser()
        .await
        .execute("update app.refresh_tokens set used_at = used_at - interval '11 seconds'")
        .await
        .unwrap();
    assert!(refresh(&app, &ada, &ada.refresh).await.is_none(), "the thief");
    for descendant in [&child, &grandchild] {
        assert!(refresh(&app, &ada, &descendant.refresh).await.is_none(), "a descendant refreshed");
        assert_eq!(app.call(Some(descendant), "accounts/server_fns/whoami", &[]).await.status, 401);
    }
    assert!(refresh(&app, &ada, &other.refresh).await.is_some(), "another session of hers goes on");
}

#[tokio::test]
async fn a_made_up_refresh_token_is_taken_away() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    for token in ["x", &"A".repeat(43), "", &"%00".repeat(20)] {
        assert!(refresh(&app, &ada, token).await.is_none(), "{token}");
    }
}

#[tokio::test]
async fn a_page_with_a_lapsed_access_token_renews_it_before_it_is_rendered() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let lapsed = app.state.tokens.mint(ada.id, ada.session, moat::server::caller::now() - 400).unwrap();
    let old = Person { access: lapsed, ..ada.clone() };
    let page = app.page(Some(&old), "/chat").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("ada@example.org"));
    let renewed = app.person("ada@example.org", &page);
    assert_ne!(renewed.access, old.access);
    assert_ne!(renewed.refresh, old.refresh);
}

#[tokio::test]
async fn a_form_without_a_script_comes_back_with_the_reason_and_with_what_was_typed() {
    let app = App::new().await;
    let mut request = post("/sign-up?do=sign-up", &[("email", "ada <b>@example"), ("password", "very secret word")]);
    request.headers_mut().insert(header::ACCEPT, "text/html".parse().unwrap());
    let answer = app.send(request).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.body.contains("This is no e-mail address."), "{}", answer.body);
    assert!(
        answer.body.contains("value=\"ada &lt;b&gt;@example\"") || answer.body.contains("value=\"ada <b>@example\""),
        "{}",
        answer.body
    );
    assert!(!answer.body.contains("very secret word"));

    let mut request = post("/sign-up?do=sign-up", &[("email", "ada@example.org"), ("password", PASSWORD)]);
    request.headers_mut().insert(header::ACCEPT, "text/html".parse().unwrap());
    let answer = app.send(request).await;
    assert_eq!((answer.status, answer.headers[header::LOCATION].to_str().unwrap()), (StatusCode::SEE_OTHER, "/chat"));
    let ada = app.person("ada@example.org", &answer);
    assert_eq!(app.page(Some(&ada), "/chat").await.status, 200);

    let mut request = post(
        "/sign-in?do=sign-in",
        &[("email", "ada@example.org"), ("password", PASSWORD), ("next", "https://evil.example/")],
    );
    request.headers_mut().insert(header::ACCEPT, "text/html".parse().unwrap());
    assert_eq!(app.send(request).await.headers[header::LOCATION].to_str().unwrap(), "/chat");
}

#[tokio::test]
async fn signing_out_everywhere_ends_refresh_tokens_too() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    app.db.superuser().await.execute("update app.users set tokens_valid_from = now()").await.unwrap();
    assert!(refresh(&app, &ada, &ada.refresh).await.is_none());
}

/// A server function, called from an address on the network.
async fn call_from(app: &App, ip: &str, function: &str, fields: &[(&str, &str)]) -> Answer {
    let mut request = post(&format!("/api/moat/{function}"), fields);
    let ip: std::net::IpAddr = ip.parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(std::net::SocketAddr::new(ip, 5000)));
    app.send(request).await
}

fn is_limited(answer: &Answer) -> bool {
    let limited = answer.status == StatusCode::TOO_MANY_REQUESTS;
    assert_eq!(limited, answer.headers.contains_key(header::RETRY_AFTER));
    limited
}

#[tokio::test]
async fn asking_whether_addresses_are_taken_is_limited_for_who_asks_and_for_each_address() {
    let app = App::new().await;
    let people = "insert into app.users (email) select 'p' || n || '@example.org' from generate_series(0, 40) n";
    app.db.superuser().await.execute(people).await.unwrap();
    let try_it = async |ip: &str, email: &str| {
        is_limited(&call_from(&app, ip, SIGN_UP, &[("email", email), ("password", PASSWORD)]).await)
    };
    // Making accounts does not count: a class may sign up behind one address.
    for n in 0..12 {
        assert!(!try_it("203.0.113.1", &format!("new{n}@example.org")).await, "{n}");
    }
    let mut told = 0;
    while !try_it("203.0.113.1", &format!("p{told}@example.org")).await {
        told += 1;
    }
    assert_eq!(told, 10, "from one address");
    told = 0;
    while !try_it(&format!("203.0.113.{}", 2 + told), "p30@example.org").await {
        told += 1;
    }
    assert_eq!(told, 5, "about one address");
    assert!(!try_it("203.0.113.200", "p31@example.org").await);
}

#[tokio::test]
async fn signing_in_often_locks_nobody_out() {
    let app = App::new().await;
    app.sign_up("ada@example.org").await;
    for i in 0..14 {
        let answer = app.sign_in("ada@example.org", PASSWORD).await;
        assert!(!is_limited(&answer), "{i}");
        assert_eq!(answer.status, 200);
    }
    let used = app
        .count(
            "select count(*) from app.rate_limits where key like 'sign-in%' and free_at > now() + interval '1 second'",
        )
        .await;
    assert_eq!(used, 0, "what was right left nothing behind, for her or for others at her address");
}

#[tokio::test]
async fn strangers_elsewhere_do_not_lock_somebody_out_of_where_they_sign_in() {
    let app = App::new().await;
    app.sign_up("ada@example.org").await;
    let sign_in = async |ip: &str, password: &str| {
        call_from(&app, ip, SIGN_IN, &[("email", "ada@example.org"), ("password", password)]).await
    };
    assert_eq!(sign_in("203.0.113.7", PASSWORD).await.status, 200);
    assert_eq!(sign_in("2001:db8:a:b::7", PASSWORD).await.status, 200);
    // Many together, so that guessing is slowed down for the account as a whole.
    for n in 0..11 {
        for _ in 0..10 {
            let guess = sign_in(&format!("198.51.100.{n}"), "guess guess").await;
            assert!(guess.status == 400 || is_limited(&guess), "{}", guess.body);
        }
    }
    assert!(is_limited(&sign_in("198.51.100.200", "guess guess").await));
    for home in ["203.0.113.7", "2001:db8:a:b::7", "2001:db8:a:b:1:2:3:4"] {
        let hers = sign_in(home, PASSWORD).await;
        assert_eq!(hers.status, 200, "{home}: {}", hers.body);
    }
    // Guessing from there is slowed down as from anywhere.
    for n in 0..11 {
        assert_eq!(is_limited(&sign_in("203.0.113.7", "guess guess").await), n == 10, "{n}");
    }
}

#[tokio::test]
async fn a_network_of_version_6_counts_as_one_address() {
    let app = App::new().await;
    for n in 0..11 {
        let fields = [("email", "ada@example.org"), ("password", "guess guess")];
        let guess = call_from(&app, &format!("2001:db8:1:2::{n}"), SIGN_IN, &fields).await;
        assert_eq!(is_limited(&guess), n == 10, "{n}");
        assert!(!is_limited(&call_from(&app, &format!("2001:db8:1:{}::1", n + 3), SIGN_IN, &fields).await), "{n}");
    }
}

#[tokio::test]
async fn an_address_that_no_mail_can_be_sent_to_gets_no_account() {
    let app = App::new().await;
    for wrong in [
        "<script>@x.y",
        "\u{ff41}da@example.org",
        "ada@\u{ff45}xample.org",
        "ada@m\u{fc}ller.example",
        "ada..b@example.org",
        "ada@-example.org",
        "ada@example",
        "ada,eve@example.org",
    ] {
        let answer = app.call(None, SIGN_UP, &[("email", wrong), ("password", PASSWORD)]).await;
        assert_eq!(
            (answer.status, answer.json()["field"].as_str()),
            (StatusCode::BAD_REQUEST, Some("email")),
            "{wrong}"
        );
    }
    for right in ["ada+tag@example.org", "o'hara@example.org", "ada@xn--mller-kva.example"] {
        let answer = app.call(None, SIGN_UP, &[("email", right), ("password", PASSWORD)]).await;
        assert_eq!(answer.status, StatusCode::OK, "{right}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_session_that_ended_long_ago_is_forgotten_and_no_other() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let mut conn = app.db.superuser().await;
    for ended in [
        "now() - interval '29 days', null",
        "now() - interval '31 days', null",
        "now() + interval '10 days', now() - interval '29 days'",
        "now() + interval '10 days', now() - interval '31 days'",
    ] {
        let insert = format!(
            "insert into app.sessions (user_id, device, expires_at, revoked_at) select id, $1, {ended} from app.users"
        );
        sqlx::query(sqlx::AssertSqlSafe(insert)).bind(ended).execute(&mut conn).await.unwrap();
    }
    conn.execute("insert into app.refresh_tokens (hash, session_id, user_id) select device::bytea, id, user_id from app.sessions").await.unwrap();
    moat::server::jobs::forget(&app.state).await.unwrap();
    assert_eq!(app.count("select count(*) from app.sessions where device like 'now%29 days%'").await, 2);
    assert_eq!(app.count("select count(*) from app.sessions where device like 'now%31 days%'").await, 0);
    assert_eq!(app.count("select count(*) from app.sessions").await, 3);
    assert_eq!(app.call(Some(&ada), "accounts/server_fns/whoami", &[]).await.status, 200);
}
