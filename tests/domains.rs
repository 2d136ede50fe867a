//! Joining by an e-mail domain, and the waiting list: who gets in by an address, and who does not. DNS is a real server here.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::http::{StatusCode, header};
use moat::{
    accounts,
    domains::{
        check::{self, Seen},
        named,
        sql::Asked,
    },
    error::AppError,
    server::{jobs, lanes::Reason},
    types::{DomainId, UserStatus},
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::{net::UdpSocket, sync::Notify};
use uuid::Uuid;

use crate::{
    harness::{Answer, App, PASSWORD, Person, token},
    workspaces::{at, join, make, members, ok, places},
};

const LIST: &str = "domains/server_fns/list_domains";
const ADD: &str = "domains/server_fns/add_domain";
const CHECK: &str = "domains/server_fns/check_domain";
const REMOVE: &str = "domains/server_fns/remove_domain";
const JOIN: &str = "domains/server_fns/join_by_domain";
const OFFERS: &str = "domains/server_fns/list_offers";

/// What a name server says of a name. Of names that it does not know it says that they do not exist.
#[derive(Clone)]
enum Says {
    Texts(Vec<String>),
    /// Fails with this code.
    Code(u8),
    /// Tells that it was asked, and answers when it is told to.
    Holds(Arc<Notify>, Arc<Notify>),
}

/// A name server on loopback.
struct Zone {
    at: SocketAddr,
    says: Arc<Mutex<BTreeMap<String, Says>>>,
}

impl Zone {
    async fn start() -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let (at, says) = (socket.local_addr().unwrap(), Arc::<Mutex<BTreeMap<String, Says>>>::default());
        let known = says.clone();
        tokio::spawn(async move {
            let mut packet = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut packet).await {
                let (known, socket, packet) = (known.clone(), socket.clone(), packet[..length].to_vec());
                tokio::spawn(async move {
                    let (name, end) = question(&packet);
                    let said = known.lock().unwrap().get(&name).cloned();
                    if let Some(Says::Holds(asked, go)) = &said {
                        asked.notify_one();
                        go.notified().await;
                    }
                    drop(socket.send_to(&answer(&packet, end, said.as_ref()), from).await);
                });
            }
        });
        Self { at, says }
    }

    fn set(&self, name: &str, says: Says) {
        self.says.lock().unwrap().insert(name.to_owned(), says);
    }

    fn texts(&self, name: &str, texts: &[&str]) {
        self.set(name, Says::Texts(texts.iter().map(|t| (*t).to_owned()).collect()));
    }

    fn forget(&self, name: &str) {
        self.says.lock().unwrap().remove(name);
    }
}

/// The name that a question is about, and where the question ends.
fn question(packet: &[u8]) -> (String, usize) {
    let (mut at, mut labels) = (12, Vec::new());
    while packet[at] != 0 {
        let end = at + 1 + packet[at] as usize;
        labels.push(String::from_utf8_lossy(&packet[at + 1..end]).to_lowercase());
        at = end;
    }
    (labels.join("."), at + 5)
}

fn answer(packet: &[u8], end: usize, says: Option<&Says>) -> Vec<u8> {
    let is_text = packet[end - 4..end - 2] == [0, 16];
    let (code, texts): (u8, &[String]) = match says {
        Some(Says::Texts(texts)) if is_text => (0, texts),
        Some(Says::Code(code)) => (*code, &[]),
        Some(_) => (0, &[]),
        None => (3, &[]),
    };
    let mut out = packet[..2].to_vec();
    out.extend([0x81, 0x80 | code, 0, 1, 0, texts.len() as u8, 0, 0, 0, 0]);
    out.extend(&packet[12..end]);
    for text in texts {
        // In strings of at most 30 bytes: what a record says is all of them together.
        let data: Vec<u8> = text.as_bytes().chunks(30).flat_map(|c| [&[c.len() as u8], c].concat()).collect();
        out.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
        out.extend(data);
    }
    out
}

async fn world(args: &[&str]) -> (App, Zone) {
    let zone = Zone::start().await;
    let at = zone.at.to_string();
    let app = App::with(&[&["--dns", &at][..], args].concat()).await;
    (app, zone)
}

async fn behind(app: &App, statement: &'static str) {
    app.db.superuser().await.execute(statement).await.unwrap();
}

async fn confirm(app: &App, person: &Person) {
    sqlx::query("update app.users set email_verified_at = now() where id = $1")
        .bind(person.id)
        .execute(&mut app.db.superuser().await)
        .await
        .unwrap();
}

/// Adds a domain; its row in the list.
async fn add(app: &App, owner: &Person, place: &str, domain: &str) -> Value {
    ok(app, owner, place, ADD, &[("domain", domain)]).await;
    row(app, owner, place, domain).await
}

async fn row(app: &App, owner: &Person, place: &str, domain: &str) -> Value {
    let rows = ok(app, owner, place, LIST, &[]).await;
    rows.as_array().unwrap().iter().find(|row| row["domain"] == domain).cloned().unwrap_or(Value::Null)
}

fn text(row: &Value, field: &str) -> String {
    row[field].as_str().unwrap().to_owned()
}

async fn press(app: &App, owner: &Person, place: &str, row: &Value) -> Answer {
    at(app, owner, place, CHECK, &[("domain", &text(row, "id"))]).await
}

/// A domain of the workspace, proven by its record.
async fn proven(app: &App, zone: &Zone, owner: &Person, place: &str, domain: &str) -> Value {
    let row = add(app, owner, place, domain).await;
    zone.texts(&format!("_moat.{domain}"), &[&text(&row, "value")]);
    let checked = press(app, owner, place, &row).await;
    assert_eq!(checked.status, StatusCode::OK, "{}", checked.body);
    row
}

async fn take(app: &App, person: &Person, row: &Value) -> Answer {
    app.call(Some(person), JOIN, &[("domain", &text(row, "id"))]).await
}

async fn offers(app: &App, person: &Person) -> Vec<String> {
    let offers = app.call(Some(person), OFFERS, &[]).await.json();
    offers.as_array().unwrap().iter().map(|o| text(o, "workspace")).collect()
}

fn location(answer: &Answer) -> &str {
    answer.headers.get(header::LOCATION).map_or("", |v| v.to_str().unwrap())
}

fn signed_in(answer: &Answer) -> bool {
    answer.cookies().iter().any(|(name, value)| name.starts_with("__Host-moat") && !value.is_empty())
}

/// Signs up where mail is sent, to the end of the mailed link.
async fn by_mail(app: &App, email: &str) -> Answer {
    let asked = app.call(None, "accounts/server_fns/sign_up", &[("email", email), ("password", PASSWORD)]).await;
    assert_eq!((asked.status, location(&asked)), (StatusCode::OK, "/sent"), "{}", asked.body);
    let letter = app.letter().await;
    assert_eq!(letter.to, email);
    let fields = [("token", token(&letter.text)), ("password", PASSWORD.to_owned())];
    let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
    app.call(None, "accounts/server_fns/finish_sign_up", &fields).await
}

async fn status(app: &App, email: &str) -> String {
    sqlx::query_scalar("select status from app.users where email = $1")
        .bind(email)
        .fetch_one(&mut app.db.superuser().await)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_domain_is_proven_by_the_record_that_its_page_shows_and_by_nothing_else() {
    let (app, zone) = world(&[]).await;
    let ada = app.sign_up("ada@example.org").await;
    let (acme, other) = (make(&app, &ada, "Acme").await, make(&app, &ada, "Other").await);
    let (mine, foreign) = (add(&app, &ada, &acme, "acme.example").await, add(&app, &ada, &other, "acme.example").await);
    assert_ne!(mine["value"], foreign["value"]);
    let path = format!("/w/{acme}/domains");
    let page = app.page(Some(&ada), &path).await;
    assert!(page.body.contains("_moat.acme.example") && page.body.contains(&text(&mine, "value")), "{}", page.body);
    let refused = async |words: &str| {
        let id = text(&mine, "id");
        let answer = app.form(Some(&ada), &format!("{path}?do=check-domain"), &[("domain", &id)]).await;
        assert_eq!(answer.status, StatusCode::CONFLICT);
        assert!(answer.body.contains(words), "{words}: {}", answer.body);
        assert_eq!(app.count("select count(*) from app.workspace_domains where verified_at is not null").await, 0);
    };
    refused("There is no TXT record at _moat.acme.example yet.").await;
    // Anywhere else it proves nothing.
    let value = text(&mine, "value");
    for name in ["acme.example", "moat.acme.example", "_moat.example", "_moat._moat.acme.example"] {
        zone.texts(name, &[&value]);
    }
    refused("There is no TXT record").await;
    zone.texts("_moat.acme.example", &["v=spf1 -all", &text(&foreign, "value")]);
    refused("says something else").await;
    for near in [&value[..value.len() - 1], &format!("{value}0"), &value.to_uppercase(), "moat-verify=", &value[12..]] {
        zone.texts("_moat.acme.example", &[near]);
        refused("TXT record").await;
    }
    zone.texts("_moat.acme.example", &["v=spf1 -all", &text(&foreign, "value"), &value]);
    let done = app.form(Some(&ada), &format!("{path}?do=check-domain"), &[("domain", &text(&mine, "id"))]).await;
    assert_eq!((done.status, location(&done)), (StatusCode::SEE_OTHER, path.as_str()), "{}", done.body);
    assert_eq!(row(&app, &ada, &acme, "acme.example").await["proven"], true);
    assert_eq!(row(&app, &ada, &other, "acme.example").await["proven"], false);
    // Who shows the record too, while it is proven elsewhere, is told what to do.
    let taken = press(&app, &ada, &other, &foreign).await;
    assert!(
        taken.status == StatusCode::CONFLICT && taken.body.contains("proven for another workspace"),
        "{}",
        taken.body
    );
}

#[tokio::test]
async fn dns_that_gives_no_answer_is_neither_a_proof_nor_a_failure() {
    let (mut app, zone) = world(&[]).await;
    let ada = app.sign_up("ada@example.org").await;
    let place = make(&app, &ada, "Acme").await;
    let row = proven(&app, &zone, &ada, &place, "acme.example").await;
    let fresh = add(&app, &ada, &place, "fresh.example").await;
    let same = "select count(*) from app.workspace_domains
                 where (domain = 'acme.example' and verified_at is not null and failing_since is null)
                    or (domain = 'fresh.example' and verified_at is null and checked_at is null)";
    let silent = async |app: &App| {
        for row in [&row, &fresh] {
            let answer = press(app, &ada, &place, row).await;
            assert!(answer.status == 409 && answer.body.contains("DNS gives no answer"), "{}", answer.body);
        }
        behind(app, "update app.workspace_domains set due_at = now()").await;
        jobs::check_domains(&app.state).await.unwrap();
        assert_eq!(app.count(same).await, 2);
    };
    for code in [2, 4, 5, 9, 15] {
        zone.set("_moat.acme.example", Says::Code(code));
        zone.set("_moat.fresh.example", Says::Code(code));
        silent(&app).await;
    }
    // Nobody is there.
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    app.state.resolver = Arc::new(moat::server::dns::Dns::new(Some(nobody)));
    let asked = |row: &Value| Asked {
        id: text(row, "id").parse::<DomainId>().unwrap(),
        domain: text(row, "domain"),
        token: text(row, "value").trim_start_matches("moat-verify=").to_owned(),
    };
    for row in [&row, &fresh] {
        assert_eq!(check::check(&app.state, &asked(row)).await.unwrap(), Seen::NoAnswer);
    }
    behind(&app, "update app.workspace_domains set due_at = now()").await;
    jobs::check_domains(&app.state).await.unwrap();
    assert_eq!(app.count(same).await, 2);
}

#[tokio::test]
async fn a_proof_ends_when_its_record_has_been_away_for_seven_days_on_end_and_whoever_is_in_stays() {
    let (app, zone) = world(&[]).await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@acme.example").await);
    confirm(&app, &bob).await;
    let place = make(&app, &ada, "Acme").await;
    let row = proven(&app, &zone, &ada, &place, "acme.example").await;
    assert_eq!(take(&app, &bob, &row).await.status, StatusCode::OK);
    let again = async || {
        behind(&app, "update app.workspace_domains set due_at = now()").await;
        jobs::check_domains(&app.state).await.unwrap();
        self::row(&app, &ada, &place, "acme.example").await
    };
    // It is asked again in a day and not before.
    zone.forget("_moat.acme.example");
    jobs::check_domains(&app.state).await.unwrap();
    assert_eq!(self::row(&app, &ada, &place, "acme.example").await["days"], Value::Null);
    let failing = again().await;
    assert_eq!((&failing["proven"], &failing["days"]), (&json!(true), &json!(7)));
    assert!(app.page(Some(&ada), &format!("/w/{place}/domains")).await.body.contains("the proof ends in 7 days"));
    behind(&app, "update app.workspace_domains set failing_since = now() - interval '6 days 23 hours'").await;
    assert_eq!(again().await["proven"], true);
    // It was there in between: seven days begin anew.
    zone.texts("_moat.acme.example", &[&text(&row, "value")]);
    assert_eq!(again().await["days"], Value::Null);
    zone.forget("_moat.acme.example");
    assert_eq!(again().await["days"], 7);
    behind(&app, "update app.workspace_domains set failing_since = now() - interval '7 days'").await;
    assert_eq!(again().await["proven"], false);
    assert_eq!(members(&app, &ada, &place, &[]).await.len(), 2, "whoever is in stays");
    let cy = app.sign_up("cy@acme.example").await;
    confirm(&app, &cy).await;
    assert_eq!(take(&app, &cy, &row).await.status, StatusCode::NOT_FOUND);
    // All of it is in the trail, in words.
    let page = app.page(Some(&ada), &format!("/w/{place}/audit?about=domain")).await.body;
    for said in [
        "added the domain acme.example",
        "found the domain acme.example proven",
        "ended the proof of the domain acme.example",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert!(!page.contains(text(&row, "value").trim_start_matches("moat-verify=")), "the token is in the trail");
    ok(&app, &ada, &place, REMOVE, &[("domain", &text(&row, "id"))]).await;
    let page = app.page(Some(&ada), &format!("/w/{place}/audit?about=domain")).await.body;
    assert!(page.contains("removed the domain acme.example"));
    assert_eq!(members(&app, &ada, &place, &[]).await.len(), 2);
}

#[tokio::test]
async fn fifty_checks_for_two_workspaces_at_once_prove_a_domain_for_one() {
    let (app, zone) = world(&[]).await;
    let (ada, eve) = (app.sign_up("ada@example.org").await, app.sign_up("eve@example.org").await);
    let (hers, other) = (make(&app, &ada, "Hers").await, make(&app, &eve, "Other").await);
    let rows = [add(&app, &ada, &hers, "acme.example").await, add(&app, &eve, &other, "acme.example").await];
    let values = rows.each_ref().map(|row| text(row, "value"));
    zone.texts("_moat.acme.example", &[&values[0], &values[1]]);
    let asked = rows.each_ref().map(|row| Asked {
        id: text(row, "id").parse().unwrap(),
        domain: "acme.example".to_owned(),
        token: text(row, "value").trim_start_matches("moat-verify=").to_owned(),
    });
    let checks = futures::future::join_all((0..50).map(|n| check::check(&app.state, &asked[n % 2]))).await;
    let seen: Vec<Seen> = checks.into_iter().map(Result::unwrap).collect();
    let won = |n: usize| seen.iter().skip(n).step_by(2).filter(|s| **s == Seen::Proven).count();
    assert!((won(0) == 25 && won(1) == 0) || (won(0) == 0 && won(1) == 25), "{seen:?}");
    assert_eq!(seen.iter().filter(|s| **s == Seen::Taken).count(), 25);
    assert_eq!(app.count("select count(*) from app.workspace_domains where verified_at is not null").await, 1);
    // Deleted, a workspace keeps its domain from nobody.
    let (winner, loser) = if won(0) > 0 { (&hers, 1) } else { (&other, 0) };
    let owner = if won(0) > 0 { &ada } else { &eve };
    let name = if won(0) > 0 { "Hers" } else { "Other" };
    ok(&app, owner, winner, "workspaces/server_fns/delete_workspace", &[("name", name)]).await;
    assert_eq!(check::check(&app.state, &asked[1 - loser]).await.unwrap(), Seen::Gone);
    assert_eq!(check::check(&app.state, &asked[loser]).await.unwrap(), Seen::Proven);
}

#[tokio::test]
async fn a_confirmed_address_at_a_proven_domain_is_offered_the_workspace_and_joins_as_a_plain_member() {
    let (app, zone) = world(&[]).await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("Bob@ACME.example").await);
    let place = make(&app, &ada, "Acme").await;
    let row = add(&app, &ada, &place, "ACME.Example.").await;
    assert_eq!(row, Value::Null, "one spelling is stored");
    let row = self::row(&app, &ada, &place, "acme.example").await;
    // A domain that is not proven, and an address that is not confirmed, open nothing.
    confirm(&app, &bob).await;
    assert_eq!((offers(&app, &bob).await.len(), take(&app, &bob, &row).await.status), (0, StatusCode::NOT_FOUND));
    zone.texts("_moat.acme.example", &[&text(&row, "value")]);
    assert_eq!(press(&app, &ada, &place, &row).await.status, StatusCode::OK);
    behind(&app, "update app.users set email_verified_at = null").await;
    assert_eq!((offers(&app, &bob).await.len(), take(&app, &bob, &row).await.status), (0, StatusCode::NOT_FOUND));
    confirm(&app, &bob).await;
    let page = app.page(Some(&bob), "/workspaces").await.body;
    assert!(page.contains("You can join Acme") && page.contains("Your address is at acme.example"), "{page}");
    assert_eq!(places(&app, &bob).await.len(), 1, "looking joins nothing");
    let joined = app.form(Some(&bob), "/workspaces?do=join-by-domain", &[("domain", &text(&row, "id"))]).await;
    assert_eq!(joined.status, StatusCode::SEE_OTHER, "{}", joined.body);
    assert!(location(&joined).starts_with("/w/"));
    assert_eq!(app.page(Some(&bob), location(&joined)).await.status, StatusCode::OK);
    let people = members(&app, &ada, &place, &[]).await;
    let his = people.iter().find(|m| m["email"] == "bob@acme.example").unwrap();
    assert_eq!(his["role"], "project_creator");
    assert!(!app.page(Some(&bob), "/workspaces").await.body.contains("You can join"));
    // Whoever is in already stays what they are.
    let member = [("member", text(his, "id")), ("role", "admin".to_owned())];
    let fields = member.each_ref().map(|(name, value)| (*name, value.as_str()));
    ok(&app, &ada, &place, "workspaces/server_fns/set_member_role", &fields).await;
    assert_eq!(take(&app, &bob, &row).await.status, StatusCode::OK);
    let people = members(&app, &ada, &place, &[]).await;
    assert_eq!(people.iter().find(|m| m["email"] == "bob@acme.example").unwrap()["role"], "admin");
    assert_eq!(people.len(), 2);
}

#[tokio::test]
async fn addresses_that_only_look_like_it_join_nothing() {
    let (app, zone) = world(&[]).await;
    let ada = app.sign_up("ada@example.org").await;
    let place = make(&app, &ada, "Acme").await;
    let row = proven(&app, &zone, &ada, &place, "acme.example").await;
    for email in [
        "a@evil-acme.example",
        "a@acme.example.evil.test",
        "a@sub.acme.example",
        "a@acme.examples",
        "a@acmeXexample.org",
        "acme.example@evil.test",
        "a@xn--cme-6la.example",
    ] {
        let eve = app.sign_up(email).await;
        confirm(&app, &eve).await;
        assert_eq!(offers(&app, &eve).await, Vec::<String>::new(), "{email}");
        assert_eq!(take(&app, &eve, &row).await.status, StatusCode::NOT_FOUND, "{email}");
    }
    assert_eq!(members(&app, &ada, &place, &[]).await.len(), 1);
}

#[tokio::test]
async fn what_counts_is_how_things_are_when_somebody_joins() {
    let (app, zone) = world(&[]).await;
    let (ada, bob) = (app.sign_up("ada@example.org").await, app.sign_up("bob@acme.example").await);
    confirm(&app, &bob).await;
    let place = make(&app, &ada, "Acme").await;
    let row = proven(&app, &zone, &ada, &place, "acme.example").await;
    for (gone, back) in [
        (
            "update app.users set email = 'bob@else.example' where email = 'bob@acme.example'",
            "update app.users set email = 'bob@acme.example' where email = 'bob@else.example'",
        ),
        ("update app.users set email_verified_at = null", "update app.users set email_verified_at = now()"),
        ("update app.workspace_domains set verified_at = null", "update app.workspace_domains set verified_at = now()"),
    ] {
        assert_eq!(offers(&app, &bob).await, ["Acme"]);
        behind(&app, gone).await;
        assert_eq!(take(&app, &bob, &row).await.status, StatusCode::NOT_FOUND, "{gone}");
        behind(&app, back).await;
    }
    // An id that never was is answered as one that is not for them.
    let nothing = app.call(Some(&bob), JOIN, &[("domain", "00000000-0000-4000-8000-000000000099")]).await;
    assert_eq!(nothing.status, StatusCode::NOT_FOUND);
    behind(&app, "update app.users set status = 'banned' where email = 'bob@acme.example'").await;
    assert_eq!(take(&app, &bob, &row).await.status, StatusCode::UNAUTHORIZED);
    behind(&app, "update app.users set status = 'active'").await;
    ok(&app, &ada, &place, "workspaces/server_fns/delete_workspace", &[("name", "Acme")]).await;
    assert_eq!(take(&app, &bob, &row).await.status, StatusCode::NOT_FOUND);
    assert_eq!(offers(&app, &bob).await, Vec::<String>::new());
    assert_eq!(places(&app, &bob).await.len(), 1);
}

#[tokio::test]
async fn owners_alone_add_check_and_remove_domains() {
    let (app, zone) = world(&[]).await;
    let (ada, bob, cy) = (
        app.sign_up("ada@example.org").await,
        app.sign_up("bob@example.org").await,
        app.sign_up("cy@example.org").await,
    );
    let place = make(&app, &ada, "Acme").await;
    let (admin, member) = (join(&app, &place, &bob, "admin").await, join(&app, &place, &cy, "project_creator").await);
    let row = proven(&app, &zone, &ada, &place, "acme.example").await;
    let id = text(&row, "id");
    for (person, here, other) in [(&bob, &admin, StatusCode::FORBIDDEN), (&cy, &member, StatusCode::NOT_FOUND)] {
        assert_eq!(at(&app, person, here, ADD, &[("domain", "else.example")]).await.status, StatusCode::FORBIDDEN);
        for function in [CHECK, REMOVE] {
            assert_eq!(at(&app, person, here, function, &[("domain", &id)]).await.status, other, "{function}");
        }
    }
    // The database says so too, whatever the code asks.
    let mut opening = bob.opening();
    opening.place = Some(admin.parse().unwrap());
    let mut lane = app.state.lanes.writing(&opening).await.unwrap();
    let tried = moat::domains::sql::add(&mut lane, "else.example").await;
    assert!(matches!(tried, Err(AppError::Forbidden)), "{tried:?}");
    assert_eq!(app.count("select count(*) from app.workspace_domains").await, 1);
    let read = app.page(Some(&bob), &format!("/w/{admin}/domains")).await;
    assert!(read.status == 200 && read.body.contains("acme.example") && !read.body.contains("do=remove-domain"));
    let shut = app.page(Some(&cy), &format!("/w/{member}/domains")).await;
    assert!(shut.status == StatusCode::FORBIDDEN && !shut.body.contains("acme.example"), "{}", shut.body);
    assert_eq!(ok(&app, &cy, &member, LIST, &[]).await, json!([]));
    // Somebody else's, from a workspace of their own.
    let his = make(&app, &cy, "His").await;
    for function in [CHECK, REMOVE] {
        assert_eq!(at(&app, &cy, &his, function, &[("domain", &id)]).await.status, StatusCode::NOT_FOUND, "{function}");
    }
    let own = text(&places(&app, &ada).await[0], "id");
    assert_eq!(at(&app, &ada, &own, ADD, &[("domain", "ada.example")]).await.status, StatusCode::CONFLICT);
    let twice = at(&app, &ada, &place, ADD, &[("domain", "@Acme.EXAMPLE")]).await;
    assert!(twice.status == 400 && twice.body.contains("in the list already"), "{}", twice.body);
    for n in 1..20 {
        ok(&app, &ada, &place, ADD, &[("domain", &format!("a{n}.example"))]).await;
    }
    let many = at(&app, &ada, &place, ADD, &[("domain", "a20.example")]).await;
    assert!(many.status == 409 && many.body.contains("20 domains at most"), "{}", many.body);
    ok(&app, &ada, &place, REMOVE, &[("domain", &id)]).await;
    assert_eq!(self::row(&app, &ada, &place, "acme.example").await, Value::Null);
}

#[tokio::test]
async fn free_mail_and_public_suffixes_are_nobodys_whoever_asks() {
    let app = App::new().await;
    let ada = app.sign_up("ada@example.org").await;
    let place = make(&app, &ada, "Acme").await;
    for (typed, words) in [
        ("gmail.com", "Anybody can get an address at gmail.com"),
        ("Yahoo.Co.UK.", "Anybody can get an address at yahoo.co.uk"),
        ("co.uk", "Anybody can get a domain below co.uk"),
        ("github.io", "Anybody can get a domain below github.io"),
        ("localhost", "Write a domain as it stands behind the @"),
        ("ada@acme.example", "Write a domain as it stands behind the @"),
    ] {
        let refused = app.form(Some(&ada), &format!("/w/{place}/domains?do=add-domain"), &[("domain", typed)]).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{typed}");
        assert!(
            refused.body.contains(words) && refused.body.contains(&format!("value=\"{typed}\"")),
            "{}",
            refused.body
        );
    }
    let mut conn = app.db.superuser().await;
    let org: Uuid =
        sqlx::query_scalar("select id from app.workspaces where name = 'Acme'").fetch_one(&mut conn).await.unwrap();
    let others = [
        "hotmail.co.uk",
        "hotmail.de",
        "live.nl",
        "yahoo.com.br",
        "gmx.at",
        "yandex.com",
        "outlook.com",
        "co.uk",
        "com.au",
    ];
    for domain in named::free_mail().chain(others) {
        let tried = sqlx::query("insert into app.workspace_domains (workspace_id, domain) values ($1, $2)")
            .bind(org)
            .bind(domain)
            .execute(&mut conn)
            .await;
        let code = tried.unwrap_err().into_database_error().unwrap().code().unwrap().into_owned();
        assert_eq!(code, "P0434", "{domain}");
        assert!(named::domain(domain).is_err(), "{domain}");
    }
    for spelled in
        ["Acme.example", "acme.example.", "acme", "a_b.example", "-a.example", "acme.1", "ä.example", "acme.example\n"]
    {
        let tried = sqlx::query("insert into app.workspace_domains (workspace_id, domain) values ($1, $2)")
            .bind(org)
            .bind(spelled)
            .execute(&mut conn)
            .await;
        assert!(tried.is_err(), "{spelled:?}");
    }
    // In another script: stored as mail servers look it up.
    ok(&app, &ada, &place, ADD, &[("domain", "Bücher.Example")]).await;
    assert_ne!(row(&app, &ada, &place, "xn--bcher-kva.example").await, Value::Null);
}

#[tokio::test]
async fn no_lane_is_open_while_dns_is_asked() {
    let (app, zone) = world(&[]).await;
    let ada = app.sign_up("ada@example.org").await;
    let place = make(&app, &ada, "Acme").await;
    let row = add(&app, &ada, &place, "acme.example").await;
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    zone.set("_moat.acme.example", Says::Holds(asked.clone(), go.clone()));
    let (answer, open) = tokio::join!(press(&app, &ada, &place, &row), async {
        asked.notified().await;
        // One that is asked for twice may wait twice.
        let open = app
            .count("select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'")
            .await;
        zone.forget("_moat.acme.example");
        go.notify_one();
        open
    });
    assert_eq!((answer.status, open), (StatusCode::CONFLICT, 0), "{}", answer.body);
}

const BY_DOMAIN: [&str; 5] =
    ["--signup", "domain", "--signup-domains", "own.example, @Second.Example.", "--dev-outbox"];

#[tokio::test]
async fn where_domains_decide_a_confirmed_address_gets_in_and_everybody_else_waits() {
    let (app, zone) = world(&BY_DOMAIN).await;
    let ada = by_mail(&app, "ada@own.example").await;
    assert_eq!(location(&ada), "/chat", "one of the server's own domains");
    let ada = app.person("ada@own.example", &ada);
    assert_eq!(location(&by_mail(&app, "ada@second.example").await), "/chat");
    let place = make(&app, &ada, "Acme").await;
    proven(&app, &zone, &ada, &place, "acme.example").await;

    let bob = by_mail(&app, "bob@acme.example").await;
    assert_eq!(location(&bob), "/chat");
    let bob = app.person("bob@acme.example", &bob);
    let names: Vec<_> = places(&app, &bob).await.iter().map(|p| text(p, "workspace")).collect();
    assert_eq!(names, ["Personal", "Acme"]);
    assert_eq!(members(&app, &ada, &place, &[("search", "bob")]).await[0]["role"], "project_creator");

    for email in ["eve@else.example", "eve@sub.acme.example", "eve@evil-acme.example", "eve@sub.own.example"] {
        let eve = by_mail(&app, email).await;
        assert_eq!((eve.status, location(&eve), signed_in(&eve)), (StatusCode::OK, "/waiting", false), "{email}");
        assert_eq!(status(&app, email).await, "waitlist", "{email}");
    }
    assert_eq!(members(&app, &ada, &place, &[]).await.len(), 2);
    // The right password is told that they wait; a wrong one what everybody is told.
    let right = app.sign_in("eve@else.example", PASSWORD).await;
    assert_eq!((right.status, location(&right), signed_in(&right)), (StatusCode::OK, "/waiting", false));
    let (wrong, nobody) =
        (app.sign_in("eve@else.example", "not the password").await, app.sign_in("nobody@else.example", PASSWORD).await);
    assert_eq!((wrong.status, &wrong.body), (StatusCode::BAD_REQUEST, &nobody.body));
    let page = app.page(None, "/waiting").await;
    assert!(
        page.status == 200
            && page.body.contains("You are on the waiting list")
            && page.body.contains("Whoever runs this server")
    );
    assert!(!page.body.contains("waitlist") && !page.body.contains("eve@"), "{}", page.body);
    // Signing up once more tells the mailbox alone.
    app.call(None, "accounts/server_fns/sign_up", &[("email", "eve@else.example"), ("password", PASSWORD)]).await;
    assert_eq!(app.letter().await.subject, "You are on the waiting list");
}

#[tokio::test]
async fn whoever_waits_is_let_in_when_their_domain_is_proven_and_their_address_confirmed() {
    let (app, zone) = world(&BY_DOMAIN).await;
    let ada = by_mail(&app, "ada@own.example").await;
    let ada = app.person("ada@own.example", &ada);
    let place = make(&app, &ada, "Acme").await;
    assert_eq!(location(&by_mail(&app, "bob@acme.example").await), "/waiting");
    assert_eq!(location(&by_mail(&app, "cy@acme.example").await), "/waiting");
    behind(&app, "update app.users set email_verified_at = null where email = 'cy@acme.example'").await;
    proven(&app, &zone, &ada, &place, "acme.example").await;
    assert_eq!(members(&app, &ada, &place, &[]).await.len(), 1);
    let bob = app.sign_in("bob@acme.example", PASSWORD).await;
    assert!(signed_in(&bob) && location(&bob) == "/chat");
    assert_eq!(location(&app.sign_in("cy@acme.example", PASSWORD).await), "/waiting", "nobody has confirmed it");
    // A link in a mail confirms it.
    app.call(None, "accounts/server_fns/ask_magic", &[("email", "cy@acme.example")]).await;
    let link = token(&app.letter().await.text);
    let cy = app.call(None, "accounts/server_fns/sign_in_by_link", &[("token", &link)]).await;
    assert!(signed_in(&cy), "{} {}", cy.body, location(&cy));
    assert_eq!(members(&app, &ada, &place, &[]).await.len(), 3);
    // And so it does for somebody who is in already and confirms an address.
    behind(&app, "update app.users set email_verified_at = null where email = 'cy@acme.example'; delete from app.workspace_members where role = 'project_creator'; delete from app.removed_members").await;
    let cy = app.person("cy@acme.example", &cy);
    app.call(Some(&cy), "accounts/server_fns/ask_confirmation", &[]).await;
    let link = token(&app.letter().await.text);
    assert_eq!(places(&app, &cy).await.len(), 1);
    let done = app.call(Some(&cy), "accounts/server_fns/confirm_address", &[("token", &link)]).await;
    assert_eq!(location(&done), "/account?done=confirmed", "{}", done.body);
    assert_eq!(places(&app, &cy).await.len(), 2);
}

#[tokio::test]
async fn where_no_mail_is_sent_no_address_is_confirmed_and_everybody_waits() {
    let app = App::with(&["--signup", "domain", "--signup-domains", "own.example"]).await;
    for email in ["ada@own.example", "eve@else.example"] {
        let answer = app.call(None, "accounts/server_fns/sign_up", &[("email", email), ("password", PASSWORD)]).await;
        assert_eq!(
            (answer.status, location(&answer), signed_in(&answer)),
            (StatusCode::OK, "/waiting", false),
            "{email}"
        );
        assert_eq!(status(&app, email).await, "waitlist");
    }
    let page = app.page(None, "/waiting").await;
    assert!(!page.body.contains("link in a mail"), "{}", page.body);
}

#[tokio::test]
async fn nobody_but_the_active_opens_a_lane_by_any_door() {
    let app = App::with(&["--dev-outbox"]).await;
    let ada = app.sign_up("ada@example.org").await;
    confirm(&app, &ada).await;
    let place = make(&app, &ada, "Acme").await;
    for status in ["invited", "waitlist", "inactive", "banned", "archived"] {
        let mut conn = app.db.superuser().await;
        conn.execute("update app.users set status = 'active'").await.unwrap();
        app.call(None, "accounts/server_fns/ask_magic", &[("email", "ada@example.org")]).await;
        let magic = token(&app.letter().await.text);
        app.call(None, "accounts/server_fns/ask_reset", &[("email", "ada@example.org")]).await;
        let reset = token(&app.letter().await.text);
        conn.execute(AssertSqlSafe(format!("update app.users set status = '{status}'"))).await.unwrap();
        let mut opening = ada.opening();
        assert!(matches!(app.state.lanes.user(&opening).await, Err(AppError::Unauthenticated)), "{status}");
        opening.place = Some(place.parse().unwrap());
        assert!(matches!(app.state.lanes.workspace(&opening).await, Err(AppError::Unauthenticated)), "{status}");
        assert!(app.state.lanes.service(Reason::Generation(ada.id)).await.is_err(), "{status}");
        for function in [
            "threads/server_fns/list_threads",
            "workspaces/server_fns/list_places",
            OFFERS,
            "accounts/server_fns/my_account",
        ] {
            assert_eq!(
                app.call(Some(&ada), function, &[]).await.status,
                StatusCode::UNAUTHORIZED,
                "{status}: {function}"
            );
        }
        let refresh = axum::http::Request::get("/workspaces")
            .header(header::COOKIE, format!("__Host-moat-refresh={}", ada.refresh));
        let refreshed = app.send(refresh.body(axum::body::Body::empty()).unwrap()).await;
        assert!(!signed_in(&refreshed), "{status}");
        for (function, token) in [("sign_in_by_link", &magic), ("reset_password", &reset)] {
            let fields = [("token", token.as_str()), ("password", PASSWORD)];
            let answer = app
                .call(
                    None,
                    &format!("accounts/server_fns/{function}"),
                    &fields[..if function == "sign_in_by_link" { 1 } else { 2 }],
                )
                .await;
            assert!(!signed_in(&answer) && !answer.status.is_server_error(), "{status}: {function}");
            assert_eq!(location(&answer) == "/waiting", status == "waitlist", "{status}: {function} {}", answer.body);
        }
        let answer = app.sign_in("ada@example.org", PASSWORD).await;
        assert!(!signed_in(&answer), "{status}");
        assert_eq!(location(&answer) == "/waiting", status == "waitlist", "{status}");
        // Its sessions have ended by now: the next round begins with another.
        conn.execute("update app.users set status = 'active'; update app.sessions set revoked_at = null")
            .await
            .unwrap();
        conn.execute("alter table app.sessions disable trigger keep_revoked; update app.sessions set revoked_at = null; alter table app.sessions enable trigger keep_revoked")
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn an_invitation_or_whoever_runs_the_server_ends_the_waiting() {
    let (app, _zone) = world(&BY_DOMAIN).await;
    let ada = by_mail(&app, "ada@own.example").await;
    let ada = app.person("ada@own.example", &ada);
    let place = make(&app, &ada, "Acme").await;
    for email in ["bob@else.example", "cy@else.example", "dee@else.example"] {
        assert_eq!(location(&by_mail(&app, email).await), "/waiting");
    }
    // On the command line: moat user bob@else.example --status active
    let mut lane = app.state.lanes.service(Reason::Operate).await.unwrap();
    accounts::sql::operate(&mut lane, "bob@else.example", Some(UserStatus::Active), None).await.unwrap();
    lane.commit().await.unwrap();
    assert_eq!(location(&app.sign_in("bob@else.example", PASSWORD).await), "/chat");
    // In the browser.
    behind(&app, "update app.users set superuser = true where email = 'ada@own.example'").await;
    let found = app.page(Some(&ada), "/operations?status=waitlist").await.body;
    assert!(found.contains("cy@else.example") && !found.contains("bob@else.example"));
    let id: Uuid = sqlx::query_scalar("select id from app.users where email = 'cy@else.example'")
        .fetch_one(&mut app.db.superuser().await)
        .await
        .unwrap();
    let fields = [("user", id.to_string()), ("status", "active".to_owned())];
    let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(app.call(Some(&ada), "accounts/server_fns/set_account_status", &fields).await.status, StatusCode::OK);
    assert_eq!(location(&app.sign_in("cy@else.example", PASSWORD).await), "/chat");
    // By an invitation: from its page to the sign-in, and back.
    let told =
        ok(&app, &ada, &place, "invitations/server_fns/invite", &[("emails", "dee@else.example"), ("role", "admin")])
            .await;
    assert_eq!(told[0]["outcome"], "mailed");
    let letter = app.letter().await;
    let link = letter.text.split("/invitation?t=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    assert!(app.page(None, &format!("/invitation?t={link}")).await.body.contains("Sign in"));
    let sign_in = async |email: &str, next: &str| {
        let fields = [("email", email), ("password", PASSWORD), ("next", next)];
        app.call(None, "accounts/server_fns/sign_in", &fields).await
    };
    let next = format!("/invitation?t={link}");
    assert_eq!(location(&by_mail(&app, "eve@else.example").await), "/waiting");
    assert_eq!(location(&sign_in("eve@else.example", &next).await), "/waiting", "it is for another address");
    assert_eq!(location(&sign_in("dee@else.example", "/invitation?t=nonsense").await), "/waiting");
    let dee = sign_in("dee@else.example", &next).await;
    assert_eq!((location(&dee), signed_in(&dee)), (next.as_str(), true));
    let dee = app.person("dee@else.example", &dee);
    let joined = app.form(Some(&dee), "/invitation?do=accept-invitation", &[("token", &link)]).await;
    assert_eq!(joined.status, StatusCode::SEE_OTHER, "{}", joined.body);
    // One who has no account yet gets one by the invitation, and waits for nothing.
    ok(&app, &ada, &place, "invitations/server_fns/invite", &[("emails", "new@else.example"), ("role", "admin")]).await;
    let letter = app.letter().await;
    let link = letter.text.split("/invitation?t=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let made =
        app.call(None, "invitations/server_fns/accept_as_new", &[("token", &link), ("password", PASSWORD)]).await;
    assert!(signed_in(&made), "{}", made.body);
    // Somebody active who is set aside by the settings of another day stays what they are.
    assert_eq!(location(&app.sign_in("dee@else.example", PASSWORD).await), "/chat");
    assert_eq!(status(&app, "dee@else.example").await, "active");
}

#[tokio::test]
async fn whoever_was_removed_does_not_come_back_by_their_domain_but_by_an_invitation() {
    let (app, zone) = world(&[]).await;
    let (ada, bob) = (app.sign_up("ada@own.example").await, app.sign_up("bob@acme.example").await);
    confirm(&app, &bob).await;
    let place = make(&app, &ada, "Acme").await;
    let row = proven(&app, &zone, &ada, &place, "acme.example").await;
    assert_eq!(take(&app, &bob, &row).await.status, StatusCode::OK);
    // Whoever leaves by themselves may come back.
    let here = async || {
        let all = members(&app, &ada, &place, &[]).await;
        all.iter().find(|m| m["email"] == "bob@acme.example").map(|m| m["id"].as_str().unwrap().to_owned())
    };
    let his =
        places(&app, &bob).await.iter().find(|p| p["workspace"] == "Acme").unwrap()["id"].as_str().unwrap().to_owned();
    ok(&app, &bob, &his, "workspaces/server_fns/leave_workspace", &[("place", &his)]).await;
    assert_eq!(offers(&app, &bob).await, ["Acme"]);
    assert_eq!(take(&app, &bob, &row).await.status, StatusCode::OK);
    ok(&app, &ada, &place, "workspaces/server_fns/remove_member", &[("member", &here().await.unwrap())]).await;
    assert_eq!(offers(&app, &bob).await, [""; 0]);
    assert_eq!(take(&app, &bob, &row).await.status, StatusCode::NOT_FOUND);
    // Also when the domain is proven anew.
    ok(&app, &ada, &place, REMOVE, &[("domain", &text(&row, "id"))]).await;
    let row = proven(&app, &zone, &ada, &place, "acme.example").await;
    assert_eq!(take(&app, &bob, &row).await.status, StatusCode::NOT_FOUND);
    assert_eq!(here().await, None);
    // Nor under another address of theirs, nor with an account that is made anew for the one that they had.
    let his = app.sign_up("other@acme.example").await;
    behind(&app, "update app.users set email = 'bob@elsewhere.example' where email = 'bob@acme.example'").await;
    behind(&app, "update app.users set email = 'bob@acme.example' where email = 'other@acme.example'").await;
    behind(&app, "update app.users set email = 'another@acme.example' where email = 'bob@elsewhere.example'").await;
    confirm(&app, &his).await;
    for who in [&bob, &his] {
        assert_eq!(offers(&app, who).await, [""; 0]);
        assert_eq!(take(&app, who, &row).await.status, StatusCode::NOT_FOUND);
    }
    behind(&app, "delete from app.users where email = 'another@acme.example'").await;
    assert_eq!(take(&app, &his, &row).await.status, StatusCode::NOT_FOUND);
    let bob = his;
    let invite = [("emails", "bob@acme.example"), ("role", "project_creator")];
    let told = ok(&app, &ada, &place, "invitations/server_fns/invite", &invite).await;
    let link = told[0]["outcome"]["link"].as_str().unwrap().split("t=").nth(1).unwrap().to_owned();
    let joined = app.call(Some(&bob), "invitations/server_fns/accept_invitation", &[("token", &link)]).await;
    assert_eq!(joined.status, StatusCode::OK, "{}", joined.body);
    assert!(here().await.is_some());
}

#[tokio::test]
async fn whoever_joins_by_a_domain_waits_for_the_workspace_and_holds_nothing_that_its_deletion_needs() {
    let (app, zone) = world(&[]).await;
    let (ada, bob) = (app.sign_up("ada@own.example").await, app.sign_up("bob@acme.example").await);
    confirm(&app, &bob).await;
    let place = make(&app, &ada, "Acme").await;
    let row = proven(&app, &zone, &ada, &place, "acme.example").await;
    let mut other = app.db.superuser().await;
    let mut deletion = other.begin().await.unwrap();
    deletion.execute("select from app.workspaces where name = 'Acme' for update").await.unwrap();
    let joined = tokio::join!(take(&app, &bob, &row), async {
        app.until("bob waits", async || (app.waiting().await > 0).then_some(())).await;
        deletion
            .execute("set local lock_timeout = '1s'; update app.workspaces set deleted_at = now() where name = 'Acme'")
            .await
            .unwrap();
        deletion.commit().await.unwrap();
    });
    assert_eq!(joined.0.status, StatusCode::NOT_FOUND, "{}", joined.0.body);
    assert_eq!(app.count("select count(*) from app.workspace_members m join app.workspaces w on w.id = m.workspace_id where w.name = 'Acme'").await, 1);
}
