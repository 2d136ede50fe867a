//! Chats of a Supabase-style schema: what is kept, what is dropped, and that twice is once.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use moat::server::{
    adopt::{AdoptError, How, Report, adopt},
    caller::now,
    check, jobs,
    postgres::{OWNER, SUPERUSER},
};
use serde_json::json;
use sqlx::{AssertSqlSafe, Executor};

use crate::harness::{Answer, App, Db, config, post};

const ISS: &str = "https://project.example/auth/v1";
const SECRET: &str = "a secret that is shared with the issuer";

/// Five people, of whom one was removed; chats with and without an owner; messages of all kinds.
const OLD: &str = r#"
    create table auth.users (id uuid primary key, email text, email_confirmed_at timestamptz, confirmed_at timestamptz,
      deleted_at timestamptz, banned_until timestamptz, created_at timestamptz);
    insert into auth.users values
      ('a0000000-0000-4000-8000-000000000001', 'Ada@Example.org', now(), now(), null, null, '2024-01-01'),
      ('a0000000-0000-4000-8000-000000000002', 'grace@example.org', null, now(), null, null, null),
      ('a0000000-0000-4000-8000-000000000003', 'joan@example.org', now(), now(), null, 'infinity', '2024-01-01'),
      ('a0000000-0000-4000-8000-000000000004', 'gone@example.org', now(), now(), now(), null, '2024-01-01'),
      ('a0000000-0000-4000-8000-000000000005', 'taken@example.org', now(), now(), null, null, '2024-01-01');
    create table public.threads (id uuid, user_id uuid, created_at timestamptz);
    insert into public.threads
      select ('b0000000-0000-4000-8000-00000000000' || n)::uuid, u::uuid, '2024-02-01'
        from (values (1, 'a0000000-0000-4000-8000-000000000001'), (2, 'a0000000-0000-4000-8000-000000000002'),
          (3, 'a0000000-0000-4000-8000-000000000003'), (4, null), (5, 'a0000000-0000-4000-8000-000000000009'),
          (6, 'a0000000-0000-4000-8000-000000000004'), (7, 'a0000000-0000-4000-8000-000000000001'),
          (8, 'a0000000-0000-4000-8000-000000000005')) t(n, u);
    create table public.messages (id uuid default gen_random_uuid(), thread_id uuid, role text, content json, created_at timestamptz);
    insert into public.messages (id, thread_id, role, content, created_at) values
      ('c0000000-0000-4000-8000-000000000002', 'b0000000-0000-4000-8000-000000000001', 'assistant', '{"text": "an answer"}', '2024-02-01 00:00:01'),
      ('c0000000-0000-4000-8000-000000000001', 'b0000000-0000-4000-8000-000000000001', 'user', '"a question"', '2024-02-01 00:00:01'),
      ('c0000000-0000-4000-8000-000000000003', 'b0000000-0000-4000-8000-000000000001', 'system', '"be kind"', '2024-02-01 00:00:00'),
      ('c0000000-0000-4000-8000-000000000004', 'b0000000-0000-4000-8000-000000000001', 'tool', '{}', '2024-02-01 00:00:02'),
      ('c0000000-0000-4000-8000-000000000005', 'b0000000-0000-4000-8000-000000000001', 'user', '[{"type": "text", "text": "one"}, {"type": "image"}, {"type": "text", "text": "two"}]', '2024-02-01 00:00:03'),
      ('c0000000-0000-4000-8000-000000000000', 'b0000000-0000-4000-8000-000000000001', 'assistant', '"nul\u0000"', '2024-02-01 00:00:04'),
      ('c0000000-0000-4000-8000-000000000007', 'b0000000-0000-4000-8000-000000000001', 'user', '[]', '2024-02-01 00:00:05'),
      ('c0000000-0000-4000-8000-000000000008', 'b0000000-0000-4000-8000-000000000001', 'user', null, null),
      ('c0000000-0000-4000-8000-000000000011', 'b0000000-0000-4000-8000-000000000002', 'user', '"of grace"', null),
      ('c0000000-0000-4000-8000-000000000012', 'b0000000-0000-4000-8000-000000000003', 'assistant', '"for joan"', '2024-02-01'),
      ('c0000000-0000-4000-8000-000000000013', 'b0000000-0000-4000-8000-000000000008', 'user', '"of the taken"', '2024-02-01');
    insert into public.messages (thread_id, role, content, created_at) values
      ('b0000000-0000-4000-8000-000000000004', 'user', '"nobody''s"', now()), ('b0000000-0000-4000-8000-000000000005', 'user', '"a stranger''s"', now()),
      ('b0000000-0000-4000-8000-000000000006', 'user', '"of somebody removed"', now()), ('b0000000-0000-4000-8000-000000000006', 'user', '"more"', now()),
      (null, 'user', '"an orphan"', now()), ('b0000000-0000-4000-8000-00000000000f', 'user', '"another"', now()),
      ('b0000000-0000-4000-8000-00000000000f', 'user', '"a third"', now());
    insert into public.messages (thread_id, role, content, created_at)
      select 'b0000000-0000-4000-8000-000000000003', 'user', to_json(repeat('x', 1000001)), now();
"#;

async fn old() -> Db {
    let db = Db::new().await;
    db.superuser().await.execute(OLD).await.unwrap();
    db
}

async fn app() -> App {
    let issuers = json!([{ "issuer": ISS, "audience": "authenticated", "hs256_secret": SECRET }]).to_string();
    let app = App::on(Db::new().await, config(&["--issuers", &issuers])).await;
    app.sign_up("taken@example.org").await;
    app
}

fn how() -> How {
    How { issuer: Some(ISS.into()), ..How::default() }
}

async fn run(app: &App, old: &Db, how: &How) -> Report {
    adopt(&app.db.options(OWNER), &old.options(SUPERUSER), how).await.unwrap()
}

/// Everything that could have changed, as text.
async fn all(app: &App) -> String {
    let mut conn = app.db.superuser().await;
    let mut whole = String::new();
    for table in ["users", "identities", "adopted", "threads", "messages", "outbox", "feed"] {
        let query = format!("select coalesce(string_agg(t::text, e'\\n' order by t::text), '') from app.{table} t");
        whole += &sqlx::query_scalar::<_, String>(AssertSqlSafe(query)).fetch_one(&mut conn).await.unwrap();
    }
    whole
}

async fn ask(app: &App, n: u8, function: &str, fields: &[(&str, &str)]) -> Answer {
    let claims = json!({
        "iss": ISS, "aud": "authenticated", "role": "authenticated", "iat": now() - 600, "exp": now() + 300,
        "sub": format!("a0000000-0000-4000-8000-00000000000{n}"),
    });
    let token = encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap();
    let mut request = post(&format!("/api/moat/threads/server_fns/{function}"), fields);
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    app.send(request).await
}

async fn the_wall_stands(db: &Db) {
    let findings = check::run(&db.logins()).await.unwrap();
    assert_eq!(check::report(&findings, false), "");
    let silent: i64 = sqlx::query_scalar("select count(*) from pg_trigger where tgenabled <> 'O'")
        .fetch_one(&mut db.superuser().await)
        .await
        .unwrap();
    assert_eq!(silent, 0, "a trigger was left disabled");
}

#[tokio::test]
async fn chats_are_taken_over_with_their_people_and_what_has_no_owner_is_dropped_and_counted() {
    let (app, old) = (app().await, old().await);
    let before = all(&app).await;
    let would = run(&app, &old, &How { dry_run: true, ..how() }).await;
    assert_eq!(all(&app).await, before, "a dry run changes nothing");
    the_wall_stands(&app.db).await;

    let report = run(&app, &old, &how()).await;
    the_wall_stands(&app.db).await;
    let expected = Report {
        dry_run: false,
        people_made: 4,
        people_known: 0,
        addresses_taken: 1,
        threads: 5,
        messages: 8,
        threads_known: 0,
        ownerless: 3,
        owner_gone: 0,
        threadless: 3,
        messages_dropped: 4,
        other_roles: [("system".to_owned(), 1), ("tool".to_owned(), 1)].into(),
        without_text: 2,
        with_nul: 1,
        cut: 1,
    };
    assert_eq!(report, expected);
    assert_eq!(would, Report { dry_run: true, ..expected });
    let words = report.to_string();
    for line in
        ["       5  chats\n", "       3  messages without a chat\n", "       1  messages of the role \"tool\"\n"]
    {
        assert!(words.contains(line), "{words}");
    }

    let mut conn = app.db.superuser().await;
    let people: Vec<(Option<String>, String)> =
        sqlx::query_as("select email, status from app.users where id::text like 'a0000000-%' order by id")
            .fetch_all(&mut conn)
            .await
            .unwrap();
    let people: Vec<(Option<&str>, &str)> = people.iter().map(|(e, s)| (e.as_deref(), s.as_str())).collect();
    assert_eq!(
        people,
        [(Some("ada@example.org"), "active"), (None, "active"), (Some("joan@example.org"), "banned"), (None, "active")]
    );
    let tree: Vec<(i64, Option<i64>, String, String)> = sqlx::query_as(
        "select m.seq, p.seq, m.role, m.content ->> 'text' from app.messages m left join app.messages p on p.id = m.parent_id
          where m.thread_id = 'b0000000-0000-4000-8000-000000000001' order by m.seq",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    let line = |seq, parent, role: &str, text: &str| (seq, parent, role.to_owned(), text.to_owned());
    assert_eq!(
        tree,
        [
            line(1, None, "user", "a question"),
            line(2, Some(1), "assistant", "an answer"),
            line(3, Some(2), "user", "one\n\ntwo"),
            line(4, Some(3), "assistant", "nul"),
        ]
    );
    let heads: Vec<(String, i64, i64)> = sqlx::query_as(
        "select t.title, t.last_seq, (select count(*) from app.messages m where m.thread_id = t.id) from app.threads t order by t.id",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    assert!(heads.iter().all(|(_, last, count)| last == count), "{heads:?}");
    assert_eq!((heads[0].0.as_str(), heads[3].0.as_str()), ("a question", "Untitled"));

    // Their own tokens open their chats, and they go on talking in them.
    let list = ask(&app, 1, "list_threads", &[]).await.json();
    assert_eq!(list["rows"].as_array().unwrap().len(), 2, "{list}");
    let thread = [("thread", "b0000000-0000-4000-8000-000000000001")];
    assert_eq!(ask(&app, 1, "open_thread", &thread).await.json()["messages"].as_array().unwrap().len(), 4);
    assert_eq!(ask(&app, 2, "open_thread", &thread).await.status, 404);
    let more = [thread[0], ("client", "d0000000-0000-4000-8000-000000000001"), ("text", "go on")];
    assert_eq!(ask(&app, 1, "send_message", &more).await.status, 200);
    assert_eq!(ask(&app, 3, "list_threads", &[]).await.status, 401, "a ban comes along");
    assert_eq!(ask(&app, 5, "list_threads", &[]).await.json()["rows"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_second_run_changes_nothing_and_brings_nothing_back() {
    let (app, old) = (app().await, old().await);
    run(&app, &old, &how()).await;
    let before = all(&app).await;
    let again = run(&app, &old, &how()).await;
    assert_eq!(all(&app).await, before);
    assert_eq!((again.people_made, again.people_known, again.threads, again.messages), (0, 4, 0, 0));
    assert_eq!((again.threads_known, again.ownerless, again.threadless), (5, 3, 3));
    // What people do here stays done.
    let thread = [("thread", "b0000000-0000-4000-8000-000000000001")];
    assert_eq!(ask(&app, 1, "delete_thread", &thread).await.status, 200);
    let mut conn = app.db.superuser().await;
    conn.execute("update app.threads set deleted_at = deleted_at - interval '2 minutes'").await.unwrap();
    jobs::sweep_threads(&app.state).await.unwrap();
    conn.execute("delete from app.users where id = 'a0000000-0000-4000-8000-000000000002'").await.unwrap();
    old.superuser()
        .await
        .execute("insert into public.threads values ('b0000000-0000-4000-8000-00000000000a', 'a0000000-0000-4000-8000-000000000002', now())")
        .await
        .unwrap();
    let third = run(&app, &old, &how()).await;
    assert_eq!((third.people_made, third.threads, third.owner_gone), (0, 0, 1));
    let left: i64 = sqlx::query_scalar("select count(*) from app.threads").fetch_one(&mut conn).await.unwrap();
    assert_eq!(left, 3);
    the_wall_stands(&app.db).await;
}

#[tokio::test]
async fn an_account_gets_chats_by_its_token_or_by_its_address_if_the_operator_says_so() {
    let (app, old) = (app().await, old().await);
    // Ada has been here with a token already.
    assert_eq!(ask(&app, 1, "list_threads", &[]).await.status, 200);
    let report = run(&app, &old, &How { by_address: true, ..how() }).await;
    assert_eq!((report.people_made, report.people_known, report.addresses_taken), (2, 2, 0));
    assert_eq!(ask(&app, 1, "list_threads", &[]).await.json()["rows"].as_array().unwrap().len(), 2);
    let owners: Vec<String> = sqlx::query_scalar(
        "select u.email from app.threads t join app.users u on u.id = t.user_id where t.id = 'b0000000-0000-4000-8000-000000000008'",
    )
    .fetch_all(&mut app.db.superuser().await)
    .await
    .unwrap();
    assert_eq!(owners, ["taken@example.org"]);
}

#[tokio::test]
async fn an_old_schema_without_users_and_with_other_ids_is_taken_over_too() {
    let (app, old) = (app().await, Db::new().await);
    old.superuser()
        .await
        .execute(
            "create table public.threads (id serial, user_id text, created_at timestamp);
             insert into public.threads (user_id, created_at) values ('+49 1', now()), ('+49 1', null), ('+49 2', now()), (null, now());
             create table public.messages (id serial, thread_id int, role text, content text, created_at timestamp);
             insert into public.messages (thread_id, role, content, created_at)
               select 1 + n % 3, case n / 3 % 2 when 0 then 'user' else 'assistant' end, 'text ' || n, now() from generate_series(0, 8999) n;",
        )
        .await
        .unwrap();
    let report = run(&app, &old, &How::default()).await;
    assert_eq!((report.people_made, report.threads, report.messages, report.ownerless), (2, 3, 9000, 1));
    let broken: i64 = sqlx::query_scalar(
        "select count(*) from app.messages m left join app.messages p on p.id = m.parent_id and p.thread_id = m.thread_id
          where m.seq <> coalesce(p.seq, 0) + 1",
    )
    .fetch_one(&mut app.db.superuser().await)
    .await
    .unwrap();
    assert_eq!(broken, 0);
    let before = all(&app).await;
    run(&app, &old, &How::default()).await;
    assert_eq!(all(&app).await, before);
}

#[tokio::test]
async fn rows_that_a_policy_hides_are_not_taken_for_rows_that_are_not_there() {
    let (app, old) = (app().await, old().await);
    let try_it = async || adopt(&app.db.options(OWNER), &old.options(OWNER), &how()).await.unwrap_err();
    assert!(matches!(try_it().await, AdoptError::MayNotRead));
    let mut conn = old.superuser().await;
    conn.execute("grant select on auth.users, public.threads, public.messages to moat_owner; alter table public.threads enable row level security")
        .await
        .unwrap();
    assert!(matches!(try_it().await, AdoptError::MayNotRead));
    conn.execute("drop table public.threads").await.unwrap();
    assert!(matches!(try_it().await, AdoptError::Missing(what) if what.starts_with("public.threads")));
    the_wall_stands(&app.db).await;
}
