use super::model::{Colleague, Desk, WidgetKey};
use crate::{
    bot,
    error::AppError,
    server::lanes::UserLane,
    types::{KeyId, MemberId},
};

/// Who answers here, by name.
pub async fn colleagues(lane: &mut UserLane) -> Result<Vec<Colleague>, AppError> {
    let rows: Vec<(MemberId, String, bool, i64, i32, bool)> = sqlx::query_as(
        "select m.id, a.name, a.here_until > now() and a.available,
                (select count(*) from app.conversations t where t.claimed_by = a.user_id), a.capacity, a.user_id = (select auth.uid())
           from app.agents a join app.workspace_members m on m.user_id = a.user_id and m.workspace_id = a.workspace_id
          order by lower(a.name), m.id limit 200",
    )
    .fetch_all(lane.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|(member, name, here, has, capacity, me)| Colleague { member, name, here, has, capacity, me })
        .collect())
}

/// The desk of the lane's workspace; `None` when there is none yet.
pub async fn desk(lane: &mut UserLane, origin: &str) -> Result<Option<Desk>, AppError> {
    let found: Option<(String, String)> =
        sqlx::query_as("select d.name, d.welcome from app.desks d").fetch_optional(lane.conn()).await?;
    let Some((name, welcome)) = found else { return Ok(None) };
    let agents = colleagues(lane).await?;
    let keys: Vec<(KeyId, String, String, Vec<String>)> = sqlx::query_as(
        "select k.id, k.key, k.name, k.origins from app.widget_keys k order by k.created_at, k.id limit 100",
    )
    .fetch_all(lane.conn())
    .await?;
    let keys = keys.into_iter().map(|(id, key, name, origins)| WidgetKey { id, key, name, origins }).collect();
    let others = sqlx::query_as(
        "select m.id, coalesce(nullif(m.name, ''), m.email) from app.workspace_members m
          where not exists (select from app.agents a where a.user_id = m.user_id) order by m.sort_name, m.id limit 200",
    )
    .fetch_all(lane.conn())
    .await?;
    let bot = bot::sql::bot(lane).await?.unwrap_or_default();
    Ok(Some(Desk { name, welcome, agents, keys, bot, origin: origin.to_owned(), others }))
}

/// Opens the workspace's desk, or changes what it says.
pub async fn set_desk(lane: &mut UserLane, name: &str, welcome: &str) -> Result<(), AppError> {
    let done = sqlx::query("update app.desks set name = $1, welcome = $2")
        .bind(name)
        .bind(welcome)
        .execute(lane.conn())
        .await?;
    if done.rows_affected() == 0 {
        sqlx::query("insert into app.desks (name, welcome) values ($1, $2)")
            .bind(name)
            .bind(welcome)
            .execute(lane.conn())
            .await?;
    }
    Ok(())
}

/// Makes a member an agent, or changes what they are called and how much they take.
pub async fn put_agent(lane: &mut UserLane, member: MemberId, name: &str, capacity: i32) -> Result<(), AppError> {
    let done = sqlx::query(
        "insert into app.agents (user_id, name, capacity)
           select m.user_id, coalesce(nullif($2, ''), nullif(m.name, ''), split_part(m.email, '@', 1)), $3 from app.workspace_members m where m.id = $1
         on conflict (workspace_id, user_id) do update set name = excluded.name, capacity = excluded.capacity",
    )
    .bind(member)
    .bind(name)
    .bind(capacity)
    .execute(lane.conn())
    .await?;
    if done.rows_affected() > 0 { Ok(()) } else { Err(AppError::NotFound) }
}

pub async fn remove_agent(lane: &mut UserLane, member: MemberId) -> Result<(), AppError> {
    let done = sqlx::query(
        "delete from app.agents where user_id = (select m.user_id from app.workspace_members m where m.id = $1)",
    )
    .bind(member)
    .execute(lane.conn())
    .await?;
    if done.rows_affected() > 0 { Ok(()) } else { Err(AppError::NotFound) }
}

/// A new key for a web page, or what is kept with one.
pub async fn put_key(lane: &mut UserLane, key: Option<KeyId>, name: &str, origins: &[String]) -> Result<(), AppError> {
    let text = match key {
        Some(_) => "update app.widget_keys set name = $1, origins = $2 where id = $3",
        None => "insert into app.widget_keys (name, origins) select $1, $2 where $3::uuid is null",
    };
    let done = sqlx::query(text).bind(name).bind(origins).bind(key).execute(lane.conn()).await?;
    if done.rows_affected() > 0 { Ok(()) } else { Err(AppError::NotFound) }
}

pub async fn remove_key(lane: &mut UserLane, key: KeyId) -> Result<(), AppError> {
    let done = sqlx::query("delete from app.widget_keys where id = $1").bind(key).execute(lane.conn()).await?;
    if done.rows_affected() > 0 { Ok(()) } else { Err(AppError::NotFound) }
}
