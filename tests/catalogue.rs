//! The catalogue: the boot check finds every hole that is made on purpose, and policies cost one look-up a statement.

use moat::server::{
    check::{self, CHECKS},
    postgres::{SERVICE_LOGIN, USER_LOGIN, VISITOR_LOGIN},
};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::harness::Db;

async fn broken(conn: &mut PgConnection) -> Vec<&'static str> {
    let findings = check::run_on(conn, [USER_LOGIN, SERVICE_LOGIN, VISITOR_LOGIN]).await.unwrap();
    findings.iter().filter(|f| !f.offenders.is_empty()).map(|f| f.check.name).collect()
}

#[tokio::test]
async fn the_wall_stands_after_the_migrations() {
    let db = Db::new().await;
    let findings = check::run(&db.logins()).await.unwrap();
    assert_eq!(findings.len(), CHECKS.len());
    assert_eq!(check::report(&findings, false), "");
}

#[tokio::test]
async fn every_check_finds_the_hole_that_it_is_for() {
    let db = Db::new().await;
    let mut conn = db.superuser().await;
    let holes: &[(&str, &str)] = &[
        ("login roles can do nothing by themselves", "alter role moat_user bypassrls"),
        ("login roles can do nothing by themselves", "alter role moat_service inherit"),
        ("a login role is a member of its lane's role alone", "grant service to moat_user"),
        ("a login role is a member of its lane's role alone", "revoke authenticated from moat_user"),
        ("a login role is a member of its lane's role alone", "grant authenticated to moat_visitor"),
        ("login roles can do nothing by themselves", "alter role moat_visitor inherit"),
        (
            "login roles may call their opening functions and nothing else",
            "grant select on app.visitors to moat_visitor",
        ),
        ("login and lane roles own nothing", "alter table app.threads owner to moat_user"),
        ("login and lane roles own nothing", "create schema s authorization authenticated"),
        ("lane roles are plain", "alter role service bypassrls"),
        ("lane roles are plain", "grant moat_owner to authenticated"),
        ("nobody can become moat_definer", "grant moat_definer to authenticated"),
        ("nobody can become moat_definer", "grant moat_definer to moat_owner"),
        ("row security is enabled and forced on every table", "create table app.t (id int)"),
        ("row security is enabled and forced on every table", "alter table app.threads no force row level security"),
        ("row security is enabled and forced on every table", "alter table app.messages disable row level security"),
        ("no table, view or sequence of ours stands in public", "create table public.t (id int)"),
        ("a view shows its reader's rows", "create view app.v as select id from app.threads"),
        ("a view shows its reader's rows", "create materialized view app.v as select id from app.threads"),
        ("nothing is granted to everybody", "grant select on app.threads to public"),
        ("nothing is granted to everybody", "grant select (title) on app.threads to public"),
        ("nothing is granted to everybody", "grant execute on function app.sequence_feed(int) to public"),
        ("nothing is granted to everybody", "grant usage on schema app to public"),
        ("login roles may call their opening functions and nothing else", "grant select on app.threads to moat_user"),
        ("login roles may call their opening functions and nothing else", "grant usage on schema app to moat_service"),
        (
            "login roles may call their opening functions and nothing else",
            "grant execute on function gate.open_service(text, uuid) to moat_user",
        ),
        (
            "every policy names its role",
            "create policy p on app.threads for select using (user_id = (select auth.uid()))",
        ),
        (
            "only moat_definer is shown everything",
            "create policy p on app.threads for select to authenticated using (true)",
        ),
        ("only moat_definer is shown everything", "alter policy insert_own on app.threads with check (true)"),
        ("functions with other rights are pinned", "alter function app.sequence_feed(int) reset search_path"),
        ("functions with other rights are pinned", "alter function app.sequence_feed(int) owner to postgres"),
        ("no request role may truncate, refer or set triggers", "grant truncate on app.threads to authenticated"),
        ("rows do not change hands", "grant update on app.threads to authenticated"),
        (
            "nobody may make temporary tables or functions",
            "do $$ begin execute format('grant temporary on database %I to public', current_database()); end $$",
        ),
    ];
    for (name, hole) in holes {
        let mut tx = conn.begin().await.unwrap();
        tx.execute(*hole).await.unwrap_or_else(|e| panic!("{hole}: {e}"));
        let found = broken(&mut tx).await;
        assert!(found.contains(name), "{hole}: found {found:?}");
        tx.rollback().await.unwrap();
    }
    for check in CHECKS {
        assert!(holes.iter().any(|(name, _)| *name == check.name), "no hole was made for: {}", check.name);
    }
    assert!(broken(&mut conn).await.is_empty());
}

#[tokio::test]
async fn no_policy_calls_a_function_for_each_row() {
    let db = Db::new().await;
    let mut conn = db.superuser().await;

    conn.execute("set enable_seqscan = off").await.unwrap();
    let tables: Vec<(String, String)> = sqlx::query_as(
        "select distinct tablename::text, r::text from pg_policies, unnest(roles) r where cmd in ('SELECT', 'UPDATE', 'DELETE') and r in ('authenticated', 'service')",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    assert!(tables.len() >= 6);
    for (table, role) in tables {
        for statement in [
            format!("select from app.{table}"),
            format!("select from app.{table} for no key update"),
            format!("delete from app.{table}"),
        ] {
            let mut tx = conn.begin().await.unwrap();
            tx.execute(AssertSqlSafe(format!("grant update, delete on app.{table} to {role}; set local role {role}")))
                .await
                .unwrap();
            let plan: Vec<String> = match sqlx::query_scalar(AssertSqlSafe(format!("explain (costs off) {statement}")))
                .fetch_all(&mut *tx)
                .await
            {
                Ok(plan) => plan,
                Err(error) => panic!("{statement}: {error}"),
            };
            let whole = plan.join("\n");
            for line in plan.iter().filter(|l| l.contains("Filter") || l.contains("Cond")) {
                // What is computed once stands there as $0.
                let called =
                    ["SubPlan", "current_setting(", "auth.", "app.", "gate."].iter().any(|name| line.contains(name));
                assert!(!called, "{role} on {table}:\n{whole}");
            }
            if !whole.contains("One-Time Filter: false") {
                assert!(whole.contains("InitPlan"), "{role} on {table}:\n{whole}");
            }
            tx.rollback().await.unwrap();
        }
    }
}

/// The functions that policies ask who belongs.
const WHO_BELONGS: [&str; 4] = ["app.member_org()", "app.managed_org()", "app.my_projects()", "app.managed_projects()"];

/// As many rows as a call for each of them would show by, in a workspace of its owner's and 40 that they are not in.
const CROWD: &str = "
    set session_replication_role = replica;
    insert into app.users (id, email) values ('00000000-0000-4000-8000-00000000000a', 'a@example.org');
    insert into app.workspaces (id, name) select gen_random_uuid(), 'foreign' from generate_series(1, 40);
    insert into app.workspaces (id, name) values ('aa000000-0000-4000-8000-00000000000a', 'of A');
    insert into app.workspace_members (workspace_id, user_id, role)
      select 'aa000000-0000-4000-8000-00000000000a', case when n = 1 then '00000000-0000-4000-8000-00000000000a' else gen_random_uuid() end, 'owner'
        from generate_series(1, 40) n;
    insert into app.projects (workspace_id, name) select 'aa000000-0000-4000-8000-00000000000a', 'p' from generate_series(1, 40);
    insert into app.project_members (project_id, workspace_id, user_id, role)
      select p.id, p.workspace_id, '00000000-0000-4000-8000-00000000000a', 'owner' from app.projects p;
    insert into app.invitations (workspace_id, email)
      select 'aa000000-0000-4000-8000-00000000000a', n || '@example.org' from generate_series(1, 40) n;
    insert into app.invitation_projects (invitation_id, workspace_id, project_id, role)
      select i.id, i.workspace_id, gen_random_uuid(), 'viewer' from app.invitations i;
    insert into app.workspace_domains (workspace_id, domain)
      select 'aa000000-0000-4000-8000-00000000000a', 'd' || n || '.example' from generate_series(1, 40) n;
    insert into app.audit_events (workspace_id, seq, body, hash)
      select 'aa000000-0000-4000-8000-00000000000a', n, json_build_object('seq', n, 'kind', 'member.added', 'at', n), 'h' from generate_series(1, 40) n;
    insert into app.desks (workspace_id, name) values ('aa000000-0000-4000-8000-00000000000a', 'd');
    insert into app.widget_keys (workspace_id, name) select 'aa000000-0000-4000-8000-00000000000a', 'k' from generate_series(1, 40);
    insert into app.articles (workspace_id, title) select 'aa000000-0000-4000-8000-00000000000a', 't' from generate_series(1, 40) n;
    insert into app.agents (workspace_id, user_id, name) select m.workspace_id, m.user_id, 'a' from app.workspace_members m;
    insert into app.visitors (workspace_id, token_hash) select 'aa000000-0000-4000-8000-00000000000a', n::text::bytea from generate_series(1, 40) n;
    insert into app.conversations (workspace_id) select 'aa000000-0000-4000-8000-00000000000a' from generate_series(1, 40);
    insert into app.conversation_messages (conversation_id, workspace_id, seq, role, content)
      select t.id, t.workspace_id, 1, 'note', '{\"text\": \"\"}' from app.conversations t;
    insert into app.readings (conversation_id, workspace_id, user_id) select t.id, t.workspace_id, '00000000-0000-4000-8000-00000000000a' from app.conversations t;
    insert into app.replies (workspace_id, name, text) select 'aa000000-0000-4000-8000-00000000000a', 'r' || n, 'x' from generate_series(1, 40) n;
    insert into app.saved_views (workspace_id, name, query) select 'aa000000-0000-4000-8000-00000000000a', 'v' || n, '' from generate_series(1, 40) n;
    insert into app.later_answers (id, conversation_id, workspace_id, user_id, text, seen, send_at)
      select gen_random_uuid(), t.id, t.workspace_id, '00000000-0000-4000-8000-00000000000a', 'x', 1, now() from app.conversations t;
    insert into app.relay_secrets (workspace_id, name, token_hash) select 'aa000000-0000-4000-8000-00000000000a', 'r', n::text::bytea from generate_series(1, 40) n;
    insert into app.webhooks (workspace_id, url, secret) select 'aa000000-0000-4000-8000-00000000000a', 'https://a.example', repeat('x', 32)::bytea from generate_series(1, 40) n;
    insert into app.deliveries (workspace_id, webhook_id, conversation_id, seq, body) select h.workspace_id, h.id, gen_random_uuid(), 1, '{}' from app.webhooks h;
    insert into app.audit_people (workspace_id, seq, side, salt, data) select e.workspace_id, e.seq, 'actor', 's', '{}' from app.audit_events e;
    reset session_replication_role;
";

/// Forty rows more.
fn inserted(table: &str) -> &'static str {
    match table {
        "projects" => "(workspace_id, name) select org, 'q' from app.crowd",
        "invitations" => "(workspace_id, email) select org, n || '@example.com' from app.crowd",
        "invitation_projects" => {
            "(invitation_id, workspace_id, project_id, role) select gen_random_uuid(), org, gen_random_uuid(), 'viewer' from app.crowd"
        }
        "workspace_domains" => "(workspace_id, domain) select org, 'e' || n || '.example' from app.crowd",
        "widget_keys" => "(workspace_id, name) select org, 'k' from app.crowd",
        "readings" => {
            "(conversation_id, workspace_id, user_id) select gen_random_uuid(), org, '00000000-0000-4000-8000-00000000000a' from app.crowd"
        }
        "replies" => "(workspace_id, name, text) select org, 's' || n, 'x' from app.crowd",
        "saved_views" => "(workspace_id, name, query) select org, 's' || n, '' from app.crowd",
        "later_answers" => {
            "(id, conversation_id, workspace_id, user_id, text, seen, send_at) select gen_random_uuid(), gen_random_uuid(), org, '00000000-0000-4000-8000-00000000000a', 'x', 1, now() from app.crowd"
        }
        "relay_secrets" => "(workspace_id, name, token_hash) select org, 'r', ('s' || n)::bytea from app.crowd",
        "webhooks" => {
            "(workspace_id, url, secret) select org, 'https://b.example', repeat('x', 32)::bytea from app.crowd"
        }
        "articles" => "(workspace_id, title) select org, 't' from app.crowd",
        "agents" => "(workspace_id, user_id, name) select org, gen_random_uuid(), 'a' from app.crowd",
        "conversations" => "(workspace_id, subject) select org, 's' from app.crowd",
        "conversation_messages" => {
            "(conversation_id, workspace_id, seq, role, content, author_id) select gen_random_uuid(), org, n, 'note', '{\"text\": \"\"}', '00000000-0000-4000-8000-00000000000a' from app.crowd"
        }
        table => panic!("no insert is known for {table}"),
    }
}

#[tokio::test]
async fn who_belongs_is_asked_at_most_twice_by_a_statement_about_many_rows_whichever_policy_asks() {
    let db = Db::new().await;
    let mut conn = db.superuser().await;

    conn.execute(CROWD).await.unwrap();
    conn.execute(
        "create view app.crowd as select 'aa000000-0000-4000-8000-00000000000a'::uuid as org, n from generate_series(1, 40) n;
         grant select on app.crowd to authenticated",
    )
    .await
    .unwrap();
    let policies: Vec<(String, String)> = sqlx::query_as(
        "select distinct tablename::text, cmd from pg_policies
          where 'authenticated' = any(roles) and coalesce(qual, '') || coalesce(with_check, '') ~ 'app\\.\\w+\\('",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    assert!(policies.len() >= 20, "{policies:?}");
    for (table, cmd) in policies {
        // One of each for a workspace.
        if table == "desks" {
            continue;
        }
        let (key, rows) = if table == "workspaces" { ("id", 1) } else { ("workspace_id", 40) };
        let statement = match cmd.as_str() {
            "SELECT" => format!("select from app.{table}"),
            "UPDATE" => format!("update app.{table} set {key} = {key}"),
            "DELETE" => format!("delete from app.{table}"),
            _ => format!("insert into app.{table} {}", inserted(&table)),
        };
        let mut tx = conn.begin().await.unwrap();
        // Triggers ask as well, and a column's default does for each row.
        tx.execute(AssertSqlSafe(format!(
            "set local track_functions = 'all'; set local session_replication_role = replica; grant all on app.{table} to authenticated;
             set local request.jwt.claims = '{{\"sub\": \"00000000-0000-4000-8000-00000000000a\", \"role\": \"authenticated\", \"org_id\": \"aa000000-0000-4000-8000-00000000000a\"}}';
             set local role authenticated"
        )))
        .await
        .unwrap();
        let count = "select coalesce(pg_stat_get_xact_function_calls(f::regprocedure), 0) from unnest($1::text[]) with ordinality u(f, n) order by n";
        let before: Vec<i64> = sqlx::query_scalar(count).bind(WHO_BELONGS).fetch_all(&mut *tx).await.unwrap();
        let done = tx.execute(AssertSqlSafe(statement.as_str())).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
        let after: Vec<i64> = sqlx::query_scalar(count).bind(WHO_BELONGS).fetch_all(&mut *tx).await.unwrap();
        assert_eq!(done.rows_affected(), rows, "{statement}");
        let calls: Vec<i64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        assert!(
            calls.iter().any(|n| *n > 0) && calls.iter().all(|n| *n <= 2),
            "{statement}: {WHO_BELONGS:?} {calls:?}"
        );
        tx.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn a_look_up_by_key_has_the_owner_in_its_index_condition() {
    let db = Db::new().await;
    let mut conn = db.superuser().await;

    conn.execute("set enable_seqscan = off; set enable_bitmapscan = off; set role authenticated").await.unwrap();
    let theirs = "(user_id = $";
    let ours = "(workspace_id = $";
    let statements = [
        (theirs, "select from app.threads where id = '20000000-0000-4000-8000-00000000000a'"),
        (theirs, "select from app.messages where id = '20000000-0000-4000-8000-00000000000a'"),
        (
            theirs,
            "select from app.messages where thread_id = '20000000-0000-4000-8000-00000000000a' order by seq desc limit 50",
        ),
        (theirs, "select from app.generations where id = '20000000-0000-4000-8000-00000000000a'"),
        (theirs, "select from app.sessions where id = '20000000-0000-4000-8000-00000000000a'"),
        (theirs, "select from app.threads order by active_at desc, id desc limit 50"),
        ("(id = $0)", "select from app.workspaces"),
        (ours, "select from app.workspace_members where id = '20000000-0000-4000-8000-00000000000a'"),
        (ours, "select from app.workspace_members where user_id = '20000000-0000-4000-8000-00000000000a'"),
        (ours, "select from app.workspace_members order by sort_name, id limit 50"),
        (ours, "select from app.workspace_members order by created_at desc, id desc limit 50"),
        (ours, "select from app.workspace_members order by seen_at desc, id desc limit 50"),
        (ours, "select from app.projects where id = '20000000-0000-4000-8000-00000000000a'"),
        // Their order is no index's: the caller's projects of one workspace are sorted.
        (ours, "select from app.projects"),
        (ours, "select from app.project_members where id = '20000000-0000-4000-8000-00000000000a'"),
        (ours, "select from app.project_members where project_id = '20000000-0000-4000-8000-00000000000a'"),
        (ours, "select from app.invitations where id = '20000000-0000-4000-8000-00000000000a'"),
        (ours, "select from app.invitation_projects where invitation_id = '20000000-0000-4000-8000-00000000000a'"),
        (ours, "select from app.workspace_domains where id = '20000000-0000-4000-8000-00000000000a'"),
        (ours, "select from app.audit_events order by seq desc limit 50"),
        (ours, "select from app.audit_people where seq = 1 and side = 'actor'"),
        (ours, "select from app.desks"),
        (ours, "select from app.widget_keys where id = '20000000-0000-4000-8000-00000000000a'"),
        (ours, "select from app.agents where user_id = '20000000-0000-4000-8000-00000000000a'"),
        (ours, "select from app.articles where id = '20000000-0000-4000-8000-00000000000a'"),
        (ours, "select from app.readings where conversation_id = '20000000-0000-4000-8000-00000000000a'"),
        (ours, "select from app.replies order by name limit 200"),
        (ours, "select from app.saved_views order by name limit 50"),
        (ours, "select from app.later_answers where conversation_id = '20000000-0000-4000-8000-00000000000a'"),
        (ours, "select from app.conversations where due_at is not null order by due_at, id limit 50"),
        (ours, "select from app.conversations where resolved_at > now() - interval '30 days'"),
        (ours, "select from app.conversations where first_reply_at > now() - interval '30 days'"),
        (
            ours,
            "select from app.conversations where customer_email = 'a' and customer_email <> '' order by active_at desc, id desc limit 20",
        ),
        (ours, "select from app.relay_secrets where id = '20000000-0000-4000-8000-00000000000a'"),
        (ours, "select from app.webhooks where id = '20000000-0000-4000-8000-00000000000a'"),
        (ours, "select from app.deliveries where id = '20000000-0000-4000-8000-00000000000a'"),
        (ours, "select from app.articles order by position, id limit 500"),
        (ours, "select from app.visitors where id = '20000000-0000-4000-8000-00000000000a'"),
        (ours, "select from app.conversations where id = '20000000-0000-4000-8000-00000000000a'"),
        (
            ours,
            "select from app.conversations where status = 'waiting' order by priority desc, waiting_since, id limit 50",
        ),
        (ours, "select from app.conversations where status = 'resolved' order by active_at desc, id desc limit 50"),
        (
            ours,
            "select from app.conversation_messages where conversation_id = '20000000-0000-4000-8000-00000000000a' order by seq desc limit 50",
        ),
    ];
    let of_workspaces: Vec<String> = sqlx::query_scalar(
        "select distinct tablename::text from pg_policies where 'authenticated' = any(roles) and cmd = 'SELECT' and qual ~ 'app\\.\\w+\\('",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    for table in of_workspaces {
        let read = format!("select from app.{table}");
        let is_read = |s: &str| s.strip_prefix(&read).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
        assert!(statements.iter().any(|(_, statement)| is_read(statement)), "nothing here reads {table}");
    }
    for (owner, statement) in statements {
        let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!("explain (costs off) {statement}")))
            .fetch_all(&mut conn)
            .await
            .unwrap();
        let whole = plan.join("\n");
        let key = statement.split(" where ").nth(1).and_then(|s| s.split_once(" = ")).map(|(key, _)| key);
        let key = key.filter(|key| !key.contains(' ')).map_or(String::new(), |key| format!("({key} = "));
        let found = plan.iter().any(|l| l.contains("Index Cond") && l.contains(owner) && l.contains(&key));
        assert!(found, "{statement}\n{whole}");
        assert!(!whole.contains("Sort"), "{statement}\n{whole}");
    }
}
