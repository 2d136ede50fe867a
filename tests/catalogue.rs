//! The catalogue: the boot check finds every hole that is made on purpose, and policies cost one look-up a statement.

use moat::server::{
    check::{self, CHECKS},
    postgres::{SERVICE_LOGIN, USER_LOGIN},
};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::harness::Db;

async fn broken(conn: &mut PgConnection) -> Vec<&'static str> {
    let findings = check::run_on(conn, USER_LOGIN, SERVICE_LOGIN).await.unwrap();
    findings.iter().filter(|f| !f.offenders.is_empty()).map(|f| f.check.name).collect()
}

#[tokio::test]
async fn the_wall_stands_after_the_migrations() {
    let db = Db::new().await;
    let findings = check::run(&db.options(USER_LOGIN), &db.options(SERVICE_LOGIN)).await.unwrap();
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
        for statement in [format!("select from app.{table}"), format!("select from app.{table} for no key update")] {
            let mut tx = conn.begin().await.unwrap();
            tx.execute(AssertSqlSafe(format!("grant update on app.{table} to {role}; set local role {role}")))
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
                assert!(
                    !line.contains("current_setting") && !line.contains("uid()") && !line.contains("job_user"),
                    "{role} on {table}:\n{whole}"
                );
            }
            if !whole.contains("One-Time Filter: false") {
                assert!(whole.contains("InitPlan"), "{role} on {table}:\n{whole}");
            }
            tx.rollback().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_look_up_by_key_has_the_owner_in_its_index_condition() {
    let db = Db::new().await;
    let mut conn = db.superuser().await;
    conn.execute("set enable_seqscan = off; set enable_bitmapscan = off; set role authenticated").await.unwrap();
    for statement in [
        "select from app.threads where id = '20000000-0000-4000-8000-00000000000a'",
        "select from app.messages where id = '20000000-0000-4000-8000-00000000000a'",
        "select from app.messages where thread_id = '20000000-0000-4000-8000-00000000000a' order by seq desc limit 50",
        "select from app.generations where id = '20000000-0000-4000-8000-00000000000a'",
        "select from app.sessions where id = '20000000-0000-4000-8000-00000000000a'",
        "select from app.threads order by active_at desc, id desc limit 50",
    ] {
        let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!("explain (costs off) {statement}")))
            .fetch_all(&mut conn)
            .await
            .unwrap();
        let whole = plan.join("\n");
        assert!(plan.iter().any(|l| l.contains("Index Cond") && l.contains("user_id = ")), "{statement}\n{whole}");
        assert!(!whole.contains("Sort"), "{statement}\n{whole}");
    }
}
