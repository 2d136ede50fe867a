//! Mail: queued with what caused it, sent by a real SMTP conversation, links that work once, and nothing told to strangers.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{Request, StatusCode, header},
};
use moat::{
    accounts::{deliver, sql},
    server::{lanes::Reason, mailer::Mailer},
};
use sqlx::Executor;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

use crate::harness::{Answer, App, PASSWORD, Person, config, token};

const OUTBOX: &[&str] = &["--dev-outbox"];
const NEW: &str = "another long password";
const CONFIRM: &str = "accounts/server_fns/confirm_address";
const HERE: (&str, &str) = ("host", "127.0.0.1:3000");

/// A mail server that keeps what it is given, and refuses the first so and so many.
#[derive(Clone, Default)]
struct Smtp {
    got: Arc<Mutex<Vec<String>>>,
    refuse: Arc<Mutex<usize>>,
}

impl Smtp {
    async fn start(refuse: usize) -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let smtp = Self { got: Arc::default(), refuse: Arc::new(Mutex::new(refuse)) };
        let server = smtp.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move { server.talk(socket).await });
            }
        });
        (smtp, url)
    }

    async fn talk(&self, socket: tokio::net::TcpStream) {
        let (read, mut write) = socket.into_split();
        let mut lines = BufReader::new(read).lines();
        let mut mail: Option<String> = None;
        write.write_all(b"220 test\r\n").await.unwrap();
        while let Ok(Some(line)) = lines.next_line().await {
            let answer = if let Some(text) = &mut mail {
                if line != "." {
                    text.push_str(&line);
                    text.push('\n');
                    continue;
                }
                self.got.lock().unwrap().push(mail.take().unwrap());
                "250 taken"
            } else {
                match line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase().as_str() {
                    "EHLO" => "250 test",
                    "RCPT"
                        if {
                            let mut left = self.refuse.lock().unwrap();
                            let no = *left > 0;
                            *left = left.saturating_sub(1);
                            no
                        } =>
                    {
                        "451 later"
                    }
                    "DATA" => {
                        mail = Some(String::new());
                        "354 go on"
                    }
                    "QUIT" => "221 bye",
                    _ => "250 ok",
                }
            };
            if write.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() {
                return;
            }
        }
    }

    fn letters(&self) -> Vec<String> {
        self.got.lock().unwrap().iter().map(|raw| raw.replace("=\n", "").replace("=3D", "=")).collect()
    }
}

async fn with_smtp(refuse: usize) -> (App, Smtp) {
    let (smtp, url) = Smtp::start(refuse).await;
    let app = App::with(&["--smtp-url", &url, "--mail-from", "moat <moat@example.org>"]).await;
    (app, smtp)
}

async fn sign_up(app: &App, email: &str, password: &str) -> Answer {
    app.call(None, "accounts/server_fns/sign_up", &[("email", email), ("password", password)]).await
}

async fn ask(app: &App, what: &str, email: &str) -> Answer {
    app.call(None, &format!("accounts/server_fns/ask_{what}"), &[("email", email)]).await
}

async fn follow(app: &App, what: &str, fields: &[(&str, &str)]) -> Answer {
    app.call(None, &format!("accounts/server_fns/{what}"), fields).await
}

fn signed_in(answer: &Answer) -> bool {
    answer.cookies().iter().any(|(name, value)| name == "__Host-moat-access" && !value.is_empty())
}

fn location(answer: &Answer) -> &str {
    answer.headers[header::LOCATION].to_str().unwrap()
}

#[tokio::test]
async fn with_a_mail_server_an_account_is_made_by_the_mailed_link_and_the_chosen_password() {
    let (app, smtp) = with_smtp(0).await;
    let asked = sign_up(&app, "Ada@example.org", PASSWORD).await;
    assert_eq!((asked.status, location(&asked)), (StatusCode::OK, "/sent"));
    assert!(!signed_in(&asked));
    assert_eq!(app.count("select count(*) from app.users").await, 0, "nobody has an account by typing an address");
    deliver::all(&app.state).await.unwrap();
    let letters = smtp.letters();
    assert_eq!(letters.len(), 1);
    assert!(
        letters[0].contains("To: ada@example.org") && letters[0].contains("From: moat <moat@example.org>")
            || letters[0].contains("moat@example.org")
    );
    let token = token(&letters[0]);
    // Looking at the page changes nothing, however often.
    for _ in 0..2 {
        let page = app.page(None, &format!("/link?t={token}")).await;
        assert_eq!(page.status, 200);
        assert!(page.body.contains("Create account") && page.body.contains("ada@example.org"), "{}", page.body);
    }
    assert_eq!(app.count("select count(*) from app.users").await, 0);
    // The mail alone is not enough: a stranger may have typed this address with a password of theirs.
    let wrong = app.form(None, "/link?do=finish-sign-up", &[("token", &token), ("password", "a guess, a guess")]).await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.body.contains("not the password that was chosen") && wrong.body.contains(&token));
    let made = app.form(None, "/link?do=finish-sign-up", &[("token", &token), ("password", PASSWORD)]).await;
    assert_eq!((made.status, location(&made)), (StatusCode::SEE_OTHER, "/chat"));
    let ada = app.person("ada@example.org", &made);
    assert_eq!(app.page(Some(&ada), "/chat").await.status, 200);
    assert_eq!(app.count("select count(*) from app.users where email_verified_at is not null").await, 1);
    let again = app.page(None, &format!("/link?t={token}")).await;
    assert_eq!(again.status, StatusCode::GONE);
    assert!(again.body.contains("used already") && again.body.contains("Go to sign-in"));
    assert_eq!(follow(&app, "finish_sign_up", &[("token", &token), ("password", PASSWORD)]).await.status, 409);
}

#[tokio::test]
async fn with_a_mail_server_nothing_tells_a_stranger_whether_somebody_has_an_account() {
    let (app, smtp) = with_smtp(0).await;
    let phc = app.state.passwords.hash(PASSWORD.into()).await.unwrap();
    let mut conn = app.db.superuser().await;
    conn.execute("insert into app.users (email) values ('ada@example.org')").await.unwrap();
    sqlx::query("insert into app.credentials (user_id, password_phc) select id, $1 from app.users")
        .bind(phc)
        .execute(&mut conn)
        .await
        .unwrap();
    // For this while, whoever looks at an account gets an error.
    conn.execute("revoke all on app.users, app.credentials from moat_definer").await.unwrap();
    for (known, unknown) in [
        (sign_up(&app, "ada@example.org", NEW).await, sign_up(&app, "eve@example.org", NEW).await),
        (ask(&app, "reset", "ada@example.org").await, ask(&app, "reset", "eve@example.org").await),
        (ask(&app, "magic", "ada@example.org").await, ask(&app, "magic", "eve@example.org").await),
    ] {
        assert_eq!((known.status, location(&known)), (StatusCode::OK, "/sent"));
        assert_eq!((known.status, &known.body, location(&known)), (unknown.status, &unknown.body, location(&unknown)));
        assert_eq!(known.cookies(), unknown.cookies());
    }
    conn.execute("grant select, insert, update on app.users, app.credentials to moat_definer").await.unwrap();
    deliver::all(&app.state).await.unwrap();
    let letters = smtp.letters();
    let to = |who: &str, what: &str| {
        letters.iter().filter(|l| l.contains(&format!("To: {who}")) && l.contains(&format!("Subject: {what}"))).count()
    };
    assert_eq!(to("ada@example.org", "You have an account already"), 1);
    assert_eq!(to("eve@example.org", "Finish your account"), 1);
    assert_eq!((to("ada@example.org", "Set a new password"), to("ada@example.org", "Sign in")), (1, 1));
    assert_eq!(letters.len(), 4, "{letters:#?}");
    // Her password is still hers.
    assert!(signed_in(&app.sign_in("ada@example.org", PASSWORD).await));
    assert!(!signed_in(&app.sign_in("ada@example.org", NEW).await));
}

#[tokio::test]
async fn a_mail_that_the_server_refuses_is_tried_again_and_arrives_once() {
    let (app, smtp) = with_smtp(1).await;
    sign_up(&app, "ada@example.org", PASSWORD).await;
    deliver::all(&app.state).await.unwrap();
    assert_eq!((smtp.letters().len(), app.count("select count(*) from app.outgoing").await), (0, 1));
    // Not at once: it waits for its time.
    deliver::all(&app.state).await.unwrap();
    assert_eq!(smtp.letters().len(), 0);
    app.db.superuser().await.execute("update app.outgoing set due_at = now()").await.unwrap();
    deliver::all(&app.state).await.unwrap();
    deliver::all(&app.state).await.unwrap();
    assert_eq!((smtp.letters().len(), app.count("select count(*) from app.outgoing").await), (1, 0));
    let token = token(&smtp.letters()[0]);
    assert!(signed_in(&follow(&app, "finish_sign_up", &[("token", &token), ("password", PASSWORD)]).await));
}

#[tokio::test]
async fn a_mail_is_queued_with_what_caused_it_or_not_at_all() {
    let app = App::with(OUTBOX).await;
    let ada = app.sign_up("ada@example.org").await;
    let waiting = async || app.count("select count(*) from app.outgoing").await;
    let mut lane = app.state.lanes.user(&ada.opening()).await.unwrap();
    moat::accounts::sql::ask_my_mail(&mut lane, "change", "new@example.org").await.unwrap();
    drop(lane);
    assert_eq!(waiting().await, 0, "rolled back with its transaction");
    let answer = app
        .call(Some(&ada), "accounts/server_fns/change_password", &[("password", PASSWORD), ("new_password", NEW)])
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(waiting().await, 1);
    // Two senders at once: one letter.
    let (one, two) = tokio::join!(deliver::all(&app.state), deliver::all(&app.state));
    one.and(two).unwrap();
    let letters = app.state.outbox.as_ref().unwrap().read();
    assert_eq!(letters.iter().map(|l| l.subject.as_str()).collect::<Vec<_>>(), ["Your password was changed"]);
}

#[tokio::test]
async fn no_token_or_code_is_stored_where_it_could_be_read() {
    let app = App::with(OUTBOX).await;
    app.sign_up("ada@example.org").await;
    ask(&app, "reset", "ada@example.org").await;
    let token = token(&app.letter().await.text);
    let dump: Vec<String> =
        sqlx::query_scalar("select t::text from app.mail_tokens t union all select o::text from app.outgoing o")
            .fetch_all(&mut app.db.superuser().await)
            .await
            .unwrap();
    assert_eq!(dump.len(), 1);
    assert!(dump.iter().all(|row| !row.contains(&token)));
    assert_eq!(app.count("select count(*) from app.mail_tokens where octet_length(hash) = 32").await, 1);
}

#[tokio::test]
async fn a_password_is_set_anew_by_mail_and_every_other_session_ends() {
    let app = App::with(OUTBOX).await;
    let ada = app.sign_up("ada@example.org").await;
    ask(&app, "reset", "ada@example.org").await;
    let old = token(&app.letter().await.text);
    ask(&app, "reset", "ada@example.org").await;
    let token = token(&app.letter().await.text);
    let short = app.form(None, "/link?do=new-password", &[("token", &token), ("password", "short")]).await;
    assert_eq!(short.status, 400);
    assert!(short.body.contains("Use at least 10 characters."));
    let done = app.form(None, "/link?do=new-password", &[("token", &token), ("password", NEW)]).await;
    assert_eq!((done.status, location(&done)), (StatusCode::SEE_OTHER, "/account?done=mine"), "{}", done.body);
    let back = app.person("ada@example.org", &done);
    assert_eq!(app.call(Some(&back), "accounts/server_fns/whoami", &[]).await.status, 200);
    assert_eq!(app.call(Some(&ada), "accounts/server_fns/whoami", &[]).await.status, 401, "the old session");
    assert!(!signed_in(&app.sign_in("ada@example.org", PASSWORD).await));
    assert!(signed_in(&app.sign_in("ada@example.org", NEW).await));
    for dead in [&token, &old] {
        let again = follow(&app, "reset_password", &[("token", dead), ("password", PASSWORD)]).await;
        assert_eq!(again.status, 409, "a link works once, and none of before the new password does");
    }
    assert_eq!(app.letter().await.subject, "Your password was changed");
}

#[tokio::test]
async fn a_magic_link_signs_in_once_and_proves_the_address() {
    let app = App::with(OUTBOX).await;
    let ada = app.sign_up("ada@example.org").await;
    ask(&app, "magic", " ADA@example.org").await;
    let token = token(&app.letter().await.text);
    assert_eq!(app.count("select count(*) from app.users where email_verified_at is not null").await, 0);
    // Two who press at the same moment: one gets in.
    let fields = [("token", token.as_str())];
    let (one, two) = tokio::join!(follow(&app, "sign_in_by_link", &fields), follow(&app, "sign_in_by_link", &fields));
    assert_ne!(signed_in(&one), signed_in(&two));
    let who = app.person("ada@example.org", if signed_in(&one) { &one } else { &two });
    assert_eq!(who.id, ada.id);
    assert_ne!(who.session, ada.session);
    assert_eq!(app.count("select count(*) from app.users where email_verified_at is not null").await, 1);
}

/// Somebody who made an account with another person's address, and keeps two sessions, a number and a change of address in it.
async fn squatted(app: &App) -> (Vec<Person>, String) {
    let one = app.sign_up("ada@example.org").await;
    let two = app.person("ada@example.org", &app.sign_in("ada@example.org", PASSWORD).await);
    let change = async |email: &str| {
        let fields = [("email", email), ("password", PASSWORD)];
        let asked = app.form(Some(&one), "/account/address?do=change-address", &fields).await;
        assert_eq!(location(&asked), "/account?done=mailed");
    };
    change("eve@example.org").await;
    let mailed = token(&app.letter().await.text);
    change("eve2@example.org").await;
    let mut conn = app.db.superuser().await;
    conn.execute("update app.users set phone = '+49301234567'").await.unwrap();
    conn.execute("update app.outgoing set due_at = 'infinity'").await.unwrap();
    (vec![one, two], mailed)
}

#[tokio::test]
async fn whoever_first_shows_that_an_address_is_theirs_is_alone_in_its_account() {
    for way in ["magic", "reset"] {
        let app = App::with(OUTBOX).await;
        let (squatters, mailed) = squatted(&app).await;
        ask(&app, way, "ada@example.org").await;
        let letter = app.letter().await;
        assert!(letter.text.contains("Nobody has confirmed this address before"), "{}", letter.text);
        let link = token(&letter.text);
        let page = app.page(None, &format!("/link?t={link}")).await;
        assert!(page.body.contains("Nobody has confirmed this address before"), "{}", page.body);
        let done = match way {
            "magic" => app.form(None, "/link?do=sign-in-by-link", &[("token", &link)]).await,
            _ => app.form(None, "/link?do=new-password", &[("token", &link), ("password", NEW)]).await,
        };
        for squatter in &squatters {
            assert_eq!(app.call(Some(squatter), "accounts/server_fns/whoami", &[]).await.status, 401, "{way}");
            let refresh = Person { access: "over".into(), ..squatter.clone() };
            assert_eq!(app.page(Some(&refresh), "/chat").await.status, 303, "{way}");
        }
        assert!(!signed_in(&app.sign_in("ada@example.org", PASSWORD).await), "{way}: the stranger's password");
        assert_eq!(app.count("select count(*) from app.users where phone is not null").await, 0, "{way}");
        assert_eq!(app.count("select count(*) from app.outgoing where kind = 'change'").await, 0, "{way}");
        assert_eq!(location(&done), "/account?done=mine", "{way}");
        let ada = app.person("ada@example.org", &done);
        let page = app.page(Some(&ada), "/account?done=mine").await;
        assert!(page.body.contains("yours alone") && !page.body.contains("not confirmed"), "{}", page.body);
        let late = app.call(Some(&ada), CONFIRM, &[("token", &mailed)]).await;
        assert_eq!(late.status, 409, "{way}: a change of address that the stranger asked for");
        // From now on it is hers, and such a link ends nothing of hers.
        let set = [("password", if way == "magic" { "" } else { NEW }), ("new_password", PASSWORD)];
        assert_eq!(app.call(Some(&ada), "accounts/server_fns/change_password", &set).await.status, 200, "{way}");
        ask(&app, "magic", "ada@example.org").await;
        let letter = app.letter().await;
        assert!(!letter.text.contains("Nobody has confirmed"), "{}", letter.text);
        let again = app.form(None, "/link?do=sign-in-by-link", &[("token", &token(&letter.text))]).await;
        assert_eq!(location(&again), "/chat");
        assert_eq!(app.call(Some(&ada), "accounts/server_fns/whoami", &[]).await.status, 200, "{way}");
        assert!(signed_in(&app.sign_in("ada@example.org", PASSWORD).await), "{way}");
    }
}

#[tokio::test]
async fn a_link_about_an_address_works_only_where_the_account_that_asked_is_signed_in() {
    let app = App::with(OUTBOX).await;
    let (stranger, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@example.org").await);
    app.form(Some(&stranger), "/account/address?do=ask-confirmation", &[]).await;
    let confirm = token(&app.letter().await.text);
    let fields = [("email", "eve@example.org"), ("password", PASSWORD)];
    app.form(Some(&stranger), "/account/address?do=change-address", &fields).await;
    let change = token(&app.letter().await.text);
    for token in [&confirm, &change] {
        let page = app.page(None, &format!("/link?t={token}")).await;
        assert_eq!(page.status, 200);
        assert!(!page.body.contains("<button"), "{}", page.body);
        assert!(page.body.contains(&format!("/sign-in?next=%2Flink%3Ft%3D{token}")), "{}", page.body);
        let page = app.page(Some(&bob), &format!("/link?t={token}")).await;
        assert!(!page.body.contains("<button") && page.body.contains("another account"), "{}", page.body);
        let pressed = app.form(None, "/link?do=confirm-address", &[("token", token)]).await;
        assert!(location(&pressed).starts_with("/sign-in"), "{}", location(&pressed));
        assert_eq!(app.form(Some(&bob), "/link?do=confirm-address", &[("token", token)]).await.status, 409);
    }
    assert_eq!(app.count("select count(*) from app.users where email_verified_at is not null").await, 0);
    assert_eq!(app.count("select count(*) from app.users where email = 'eve@example.org'").await, 0);
    // None of that used anything up.
    let done = app.form(Some(&stranger), "/link?do=confirm-address", &[("token", &confirm)]).await;
    assert_eq!(location(&done), "/account?done=confirmed");
    let done = app.form(Some(&stranger), "/link?do=confirm-address", &[("token", &change)]).await;
    assert_eq!(location(&done), "/account?done=changed");
}

#[tokio::test]
async fn a_link_ends_with_its_time_its_purpose_and_its_account() {
    let app = App::with(OUTBOX).await;
    let ada = app.sign_up("ada@example.org").await;
    let fresh = async || {
        app.db.superuser().await.execute("delete from app.rate_limits").await.unwrap();
        ask(&app, "magic", "ada@example.org").await;
        token(&app.letter().await.text)
    };
    let run_out = fresh().await;
    app.db.superuser().await.execute("update app.mail_tokens set expires_at = now()").await.unwrap();
    let page = app.page(None, &format!("/link?t={run_out}")).await;
    assert_eq!(page.status, StatusCode::GONE);
    assert!(page.body.contains("This link has run out") && page.body.contains("Send a new link"));
    assert_eq!(follow(&app, "sign_in_by_link", &[("token", &run_out)]).await.status, 409);
    let other = fresh().await;
    assert_eq!(follow(&app, "reset_password", &[("token", &other), ("password", NEW)]).await.status, 409);
    assert_eq!(follow(&app, "finish_sign_up", &[("token", &other), ("password", NEW)]).await.status, 409);
    assert_eq!(app.call(Some(&ada), CONFIRM, &[("token", &other)]).await.status, 409);
    app.db.superuser().await.execute("update app.users set status = 'banned'").await.unwrap();
    assert!(!signed_in(&follow(&app, "sign_in_by_link", &[("token", &other)]).await), "a closed account");
    for nonsense in ["", "x", &"A".repeat(43), "%00"] {
        let page = app.page(None, &format!("/link?t={nonsense}")).await;
        assert_eq!(page.status, 404, "{nonsense}");
        assert!(page.body.contains("This link is not valid"));
        assert_eq!(follow(&app, "sign_in_by_link", &[("token", nonsense)]).await.status, 409, "{nonsense}");
    }
}

#[tokio::test]
async fn an_address_is_changed_at_the_new_one_and_the_old_one_is_told() {
    let app = App::with(OUTBOX).await;
    let ada = app.sign_up("ada@example.org").await;
    app.sign_up("bob@example.org").await;
    let change = async |email: &str, password: &str| {
        app.form(Some(&ada), "/account/address?do=change-address", &[("email", email), ("password", password)]).await
    };
    let wrong = change("new@example.org", "not her password").await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.body.contains("This is not your password.") && wrong.body.contains("new@example.org"));
    // A link that was asked for before is no way back in for whoever reads the old mail.
    ask(&app, "magic", "ada@example.org").await;
    let magic = token(&app.letter().await.text);
    change("older@example.org", PASSWORD).await;
    let older = token(&app.letter().await.text);
    assert_eq!(location(&change("new@example.org", PASSWORD).await), "/account?done=mailed");
    let letter = app.letter().await;
    assert_eq!(letter.to, "new@example.org");
    assert_eq!(
        app.count("select count(*) from app.users where email = 'ada@example.org'").await,
        1,
        "not before it is used"
    );
    let done = app.form(Some(&ada), "/link?do=confirm-address", &[("token", &token(&letter.text))]).await;
    assert_eq!(location(&done), "/account?done=changed");
    assert_eq!(
        app.count("select count(*) from app.users where email = 'new@example.org' and email_verified_at is not null")
            .await,
        1
    );
    let told = app.letter().await;
    assert_eq!((told.to.as_str(), told.subject.as_str()), ("ada@example.org", "Your address was changed"));
    assert!(!told.text.contains("new@example.org"));
    assert_eq!(follow(&app, "sign_in_by_link", &[("token", &magic)]).await.status, 409);
    assert_eq!(app.call(Some(&ada), CONFIRM, &[("token", &older)]).await.status, 409);
    assert!(signed_in(&app.sign_in("new@example.org", PASSWORD).await));
    // An address that somebody else has is answered the same, and its owner hears of it.
    assert_eq!(location(&change("bob@example.org", PASSWORD).await), "/account?done=mailed");
    let told = app.letter().await;
    assert_eq!((told.to.as_str(), told.subject.as_str()), ("bob@example.org", "This address has an account already"));
    assert!(!told.text.contains("/link?"));
}

#[tokio::test]
async fn an_address_from_before_there_was_mail_is_confirmed_by_a_link() {
    let app = App::with(OUTBOX).await;
    let ada = app.sign_up("ada@example.org").await;
    assert!(app.page(Some(&ada), "/account").await.body.contains("not confirmed"));
    let asked = app.form(Some(&ada), "/account/address?do=ask-confirmation", &[]).await;
    assert_eq!(location(&asked), "/account?done=mailed");
    let token = token(&app.letter().await.text);
    let done = app.form(Some(&ada), "/link?do=confirm-address", &[("token", &token)]).await;
    assert_eq!(location(&done), "/account?done=confirmed");
    assert!(!app.page(Some(&ada), "/account").await.body.contains("not confirmed"));
}

#[tokio::test]
async fn mail_to_one_address_is_limited_wherever_it_is_asked_for_and_whatever_it_is() {
    let app = App::with(OUTBOX).await;
    for email in ["ada@example.org", "nobody@example.org"] {
        let mut refused = None;
        for i in 0..8 {
            let answer = ask(&app, if i % 2 == 0 { "reset" } else { "magic" }, email).await;
            if answer.status == StatusCode::TOO_MANY_REQUESTS {
                refused = Some((i, answer));
                break;
            }
        }
        let (tries, refused) = refused.expect("a limit");
        assert_eq!(tries, 5);
        assert!(refused.headers[header::RETRY_AFTER].to_str().unwrap().parse::<u64>().unwrap() > 0);
    }
    let page = app.form(None, "/reset?do=reset", &[("email", "ada@example.org")]).await;
    assert_eq!(page.status, 429);
    assert!(page.headers.contains_key(header::RETRY_AFTER) && page.body.contains("Too many tries"));
}

#[tokio::test]
async fn a_server_that_sends_no_mail_offers_none() {
    let app = App::new().await;
    let page = app.page(None, "/sign-in").await;
    assert!(!page.body.contains("/reset") && !page.body.contains("/sign-in/phone"), "{}", page.body);
    let asked = app.form(None, "/reset?do=reset", &[("email", "ada@example.org")]).await;
    assert_eq!(asked.status, 409);
    assert!(asked.body.contains("This server sends no mail."));
    let offered = App::with(OUTBOX).await.page(None, "/sign-in").await;
    assert!(offered.body.contains("/reset") && offered.body.contains("/sign-in/phone"));
}

#[tokio::test]
async fn the_outbox_is_for_this_machine_alone_and_only_when_it_is_switched_on() {
    let app = App::with(OUTBOX).await;
    app.sign_up("ada@example.org").await;
    ask(&app, "magic", "ada@example.org").await;
    app.letter().await;
    let look = async |app: &App, peer: &str, headers: &[(&str, &str)]| {
        let mut request = Request::get("/dev/outbox").header(header::ACCEPT, "text/html");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        let peer: IpAddr = peer.parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(peer, 5000)));
        let answer = app.send(request).await;
        assert_eq!(answer.status == 200, answer.body.contains("/link?t="), "{}", answer.body);
        answer.status
    };
    for peer in ["127.0.0.1", "::1", "127.3.2.1", "::ffff:127.0.0.1"] {
        assert_eq!(look(&app, peer, &[("host", "localhost:3000")]).await, 200, "{peer}");
    }
    for peer in ["10.0.0.1", "192.168.1.1", "2001:db8::1", "0.0.0.0"] {
        assert_eq!(look(&app, peer, &[HERE]).await, 404, "{peer}");
    }
    for proxied in [
        "forwarded",
        "x-forwarded-for",
        "X-Forwarded-Host",
        "x-forwarded-anything",
        "x-real-ip",
        "via",
        "cf-connecting-ip",
        "cf-ray",
        "true-client-ip",
        "x-client-ip",
        "client-ip",
        "fly-client-ip",
        "fastly-client-ip",
        "x-cluster-client-ip",
        "x-original-host",
        "x-envoy-external-address",
        "x-amzn-trace-id",
        "cdn-loop",
        "x-what-the-next-proxy-adds",
    ] {
        assert_eq!(look(&app, "127.0.0.1", &[HERE, (proxied, "127.0.0.1")]).await, 404, "{proxied}");
    }
    assert_eq!(look(&app, "127.0.0.1", &[]).await, 404, "no Host");
    for header in ["user-agent", "accept-language", "sec-fetch-site", "sec-ch-ua-platform", "cookie", "referer"] {
        assert_eq!(look(&app, "127.0.0.1", &[HERE, (header, "x")]).await, 200, "{header}, which browsers send");
    }
    for host in ["evil.example", "chat.example.org:3000", "127.0.0.1.evil.example"] {
        assert_eq!(look(&app, "127.0.0.1", &[("host", host)]).await, 404, "{host}");
    }
    let off = App::new().await;
    assert_eq!(look(&off, "127.0.0.1", &[HERE]).await, 404);
    assert_eq!(app.call(None, "accounts/server_fns/read_outbox", &[]).await.status, 404);
}

#[tokio::test]
async fn a_mail_server_that_would_hear_the_password_in_clear_or_has_no_sender_is_refused() {
    let check = |args: &[&str]| {
        let config = config(args);
        config.check().and_then(|()| Mailer::new(&config, None).map(|_| ())).map_err(|e| e.setting)
    };
    let from = ["--mail-from", "moat@example.org"];
    let with = |url: &'static str| check(&["--smtp-url", url, from[0], from[1]]);
    for url in [
        "smtps://me:pw@mail.example.org",
        "smtp://me:pw@mail.example.org?tls=required",
        "smtp://me:pw@127.0.0.1:2525",
        "smtp://relay:25",
    ] {
        assert_eq!(with(url), Ok(()), "{url}");
    }
    for url in [
        "smtp://me:pw@mail.example.org",
        "smtp://me:pw@mail.example.org?tls=opportunistic",
        "mail.example.org",
        "http://x",
    ] {
        assert_eq!(with(url), Err("MOAT_SMTP_URL"), "{url}");
    }
    assert_eq!(check(&["--smtp-url", "smtp://relay:25"]), Err("MOAT_MAIL_FROM"));
    assert_eq!(check(&["--smtp-url", "smtp://relay:25", "--mail-from", "nobody"]), Err("MOAT_MAIL_FROM"));
}

/// The links of one person, in the hands of another who is signed in.
#[tokio::test]
async fn a_link_belongs_to_its_account_whoever_presses_the_button() {
    let app = App::with(OUTBOX).await;
    let ada = app.sign_up("ada@example.org").await;
    let bob = app.sign_up("bob@example.org").await;
    ask(&app, "magic", "ada@example.org").await;
    let token = token(&app.letter().await.text);
    let answer = app.form(Some(&bob), "/link?do=sign-in-by-link", &[("token", &token)]).await;
    let who: Person = app.person("ada@example.org", &answer);
    assert_eq!(who.id, ada.id);
}

#[tokio::test]
async fn where_the_outbox_is_not_shown_there_is_nothing_that_tells_of_it() {
    for app in [App::with(OUTBOX).await, App::new().await] {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"] {
            for accept in ["text/html", "*/*"] {
                let ask = async |path: &str| {
                    let request = Request::builder().method(method).uri(path).header(header::ACCEPT, accept);
                    let mut answer = app.send(request.body(Body::empty()).unwrap()).await;
                    answer.headers.remove("x-request-id");
                    let policy = answer.headers.remove("content-security-policy").unwrap();
                    let nonce = policy.to_str().unwrap().split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
                    (answer.status, format!("{:?}", answer.headers), answer.body.replace(nonce, ""))
                };
                let (outbox, nothing) = (ask("/dev/outbox").await, ask("/dev/nothing").await);
                assert_eq!(outbox, nothing, "{method} {accept}");
                assert_eq!(outbox.0, 404);
                assert_eq!(outbox.2.contains("<title>Nothing here · moat</title>"), outbox.2.contains("<html"));
            }
        }
    }
}

#[tokio::test]
async fn a_session_does_not_start_on_a_password_that_was_taken_away_while_it_was_compared() {
    let app = App::with(OUTBOX).await;
    let ada = app.sign_up("ada@example.org").await;
    let lane = async || app.state.lanes.service(Reason::SignIn).await.unwrap();
    let known = sql::credential(&mut lane().await, "ada@example.org").await.unwrap().unwrap();
    assert!(sql::hold_password(&mut lane().await, ada.id, &known.phc).await.unwrap());
    ask(&app, "magic", "ada@example.org").await;
    let link = token(&app.letter().await.text);
    follow(&app, "sign_in_by_link", &[("token", &link)]).await;
    assert!(!sql::hold_password(&mut lane().await, ada.id, &known.phc).await.unwrap());
    // While one that holds it has not ended, the link waits, and then ends its session too.
    app.db.superuser().await.execute("update app.users set email_verified_at = null").await.unwrap();
    let phc = app.state.passwords.hash(NEW.into()).await.unwrap();
    let insert = "insert into app.credentials (user_id, password_phc) select id, $1 from app.users";
    sqlx::query(insert).bind(&phc).execute(&mut app.db.superuser().await).await.unwrap();
    ask(&app, "magic", "ada@example.org").await;
    let link = token(&app.letter().await.text);
    let mut held = lane().await;
    assert!(sql::hold_password(&mut held, ada.id, &phc).await.unwrap());
    let session = sql::start_session(&mut held, ada.id, b"a hash", "", "").await.unwrap();
    let fields = [("token", link.as_str())];
    let (answer, ()) = tokio::join!(follow(&app, "sign_in_by_link", &fields), async {
        let waits =
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        app.until("the link waits", async || (app.count(waits).await > 0).then_some(())).await;
        held.commit().await.unwrap();
    });
    assert!(signed_in(&answer), "{}", answer.body);
    let over: bool = sqlx::query_scalar("select revoked_at is not null from app.sessions where id = $1")
        .bind(session)
        .fetch_one(&mut app.db.superuser().await)
        .await
        .unwrap();
    assert!(over);
}

#[tokio::test]
async fn a_way_in_that_is_being_made_for_a_stranger_is_not_made_once_the_owner_has_come() {
    let app = App::with(OUTBOX).await;
    let eve = app.sign_up("ada@example.org").await;
    let mut conn = app.db.superuser().await;
    conn.execute(
        "delete from app.credentials;
         insert into app.codes (id, phone, user_id, hash) select '90000000-0000-4000-8000-000000000001', '+49301234567', id, 'code' from app.users",
    )
    .await
    .unwrap();
    let lane = async || app.state.lanes.user(&eve.opening()).await.unwrap();
    let (mut linking, mut choosing) = (lane().await, lane().await);
    let mut cleaning = sqlx::Connection::begin(&mut conn).await.unwrap();
    cleaning.execute("select from app.users for update; update app.sessions set revoked_at = now()").await.unwrap();
    let ask = "90000000-0000-4000-8000-000000000001".parse().unwrap();
    let (linked, chosen, ()) = tokio::join!(
        async {
            let linked = sql::link_phone(&mut linking, ask, b"code").await;
            linking.commit().await.unwrap();
            linked
        },
        async {
            let chosen = sql::change_password(&mut choosing, None, "phc of a stranger").await;
            choosing.commit().await.unwrap();
            chosen
        },
        async {
            app.until("both wait", async || (app.waiting().await == 2).then_some(())).await;
            cleaning.commit().await.unwrap();
        }
    );
    assert_eq!((linked.unwrap().as_str(), chosen.unwrap()), ("wrong", false));
    assert_eq!(app.count("select count(*) from app.users where phone is not null").await, 0);
    assert_eq!(app.count("select count(*) from app.credentials").await, 0);
}
