//! What is stored outlives the migrations that come after it: they are run by the owner of the tables, whom the policies bind as well.

use sqlx::Executor;

use crate::harness::Db;

#[tokio::test]
async fn answers_for_later_are_there_after_an_upgrade_and_those_of_former_agents_are_drafts() {
    let db = Db::before(47).await;
    let mut conn = db.superuser().await;
    let [space, ada, bob, talk] = [1, 2, 3, 4].map(|n| format!("'00000000-0000-4000-8000-00000000000{n}'::uuid"));
    let rows = format!(
        "set session_replication_role = replica;
         insert into app.users (id, email) values ({ada}, 'ada@example.org'), ({bob}, 'bob@example.org');
         insert into app.workspaces (id, name) values ({space}, 'Acme');
         insert into app.workspace_members (workspace_id, user_id, role, email, name)
           values ({space}, {ada}, 'owner', 'ada@example.org', ''), ({space}, {bob}, 'project_creator', 'bob@example.org', 'Bob');
         insert into app.desks (workspace_id, name) values ({space}, 'Acme');
         insert into app.agents (workspace_id, user_id, name) values ({space}, {ada}, 'Ada');
         insert into app.conversations (id, workspace_id, status, last_seq, snoozed_until, waiting_since)
           values ({talk}, {space}, 'snoozed', 1, null, null);
         insert into app.later_answers (id, conversation_id, workspace_id, user_id, text, seen, send_at)
           select gen_random_uuid(), {talk}, {space}, u.id, 'of ' || u.email, 1, now() + interval '1 day' from app.users u;
         set session_replication_role = origin",
    );
    conn.execute(sqlx::AssertSqlSafe(rows)).await.unwrap();
    db.migrate().await;
    let kept: Vec<(String, String)> =
        sqlx::query_as("select text, author_name from app.later_answers").fetch_all(&mut conn).await.unwrap();
    assert_eq!(kept, [("of ada@example.org".to_owned(), "Ada".to_owned())]);
    let drafts: Vec<(String, String, String, i64)> = sqlx::query_as(
        "select m.content ->> 'text', m.author_name, t.status, m.seq from app.conversation_messages m
           join app.conversations t on t.id = m.conversation_id",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    assert_eq!(drafts, [("of bob@example.org".to_owned(), "Bob".to_owned(), "waiting".to_owned(), 2)]);
    let forced: i64 = sqlx::query_scalar(
        "select count(*) from pg_class where relname in ('later_answers', 'agents', 'workspace_members') and relforcerowsecurity",
    )
    .fetch_one(&mut conn)
    .await
    .unwrap();
    assert_eq!(forced, 3);
}
