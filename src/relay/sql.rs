use uuid::Uuid;

use super::model::{Dead, Relay};
use crate::{
    error::AppError,
    server::lanes::{ServiceLane, UserLane},
    types::{DeliveryId, SecretId, WebhookId},
};

/// Everything of the relay that is set up.
pub async fn relay(lane: &mut UserLane, origin: &str) -> Result<Relay, AppError> {
    let secrets = sqlx::query_as(
        "select s.id, s.name, extract(epoch from now() - s.used_at)::bigint from app.relay_secrets s order by s.created_at, s.id limit 50",
    )
    .fetch_all(lane.conn())
    .await?;
    let webhooks = sqlx::query_as("select h.id, h.url from app.webhooks h order by h.created_at, h.id limit 50")
        .fetch_all(lane.conn())
        .await?;
    let dead: Vec<(DeliveryId, String, i32, String, i64)> = sqlx::query_as(
        "select d.id, h.url, d.tries, d.why, extract(epoch from now() - d.dead_at)::bigint
           from app.deliveries d join app.webhooks h on h.id = d.webhook_id and h.workspace_id = d.workspace_id
          where d.dead_at is not null order by d.dead_at desc, d.id limit 100",
    )
    .fetch_all(lane.conn())
    .await?;
    let waiting = sqlx::query_scalar(
        "select count(*) from (select from app.deliveries d where d.sent_at is null and d.dead_at is null limit 1000) few",
    )
    .fetch_one(lane.conn())
    .await?;
    let dead = dead.into_iter().map(|(id, url, tries, why, since)| Dead { id, url, tries, why, since }).collect();
    Ok(Relay { secrets, webhooks, dead, waiting, origin: origin.to_owned() })
}

pub async fn make_secret(lane: &mut UserLane, name: &str, hash: &[u8]) -> Result<(), AppError> {
    sqlx::query("insert into app.relay_secrets (name, token_hash) values ($1, $2)")
        .bind(name)
        .bind(hash)
        .execute(lane.conn())
        .await?;
    Ok(())
}

pub async fn remove_secret(lane: &mut UserLane, secret: SecretId) -> Result<(), AppError> {
    let done = sqlx::query("delete from app.relay_secrets where id = $1").bind(secret).execute(lane.conn()).await?;
    if done.rows_affected() > 0 { Ok(()) } else { Err(AppError::NotFound) }
}

pub async fn make_webhook(lane: &mut UserLane, url: &str, secret: &[u8]) -> Result<(), AppError> {
    sqlx::query("insert into app.webhooks (url, secret) values ($1, $2)")
        .bind(url)
        .bind(secret)
        .execute(lane.conn())
        .await?;
    Ok(())
}

/// What was still to be sent there is not sent any more.
pub async fn remove_webhook(lane: &mut UserLane, webhook: WebhookId) -> Result<(), AppError> {
    let done = sqlx::query("delete from app.webhooks where id = $1").bind(webhook).execute(lane.conn()).await?;
    if done.rows_affected() > 0 { Ok(()) } else { Err(AppError::NotFound) }
}

/// Sends something again that was given up.
pub async fn resend(lane: &mut UserLane, delivery: DeliveryId) -> Result<(), AppError> {
    let done = sqlx::query(
        "update app.deliveries set dead_at = null, tries = 0, due_at = now() where id = $1 and dead_at is not null",
    )
    .bind(delivery)
    .execute(lane.conn())
    .await?;
    if done.rows_affected() > 0 { Ok(()) } else { Err(AppError::NotFound) }
}

/// Something that is to be sent.
#[derive(Debug)]
pub struct Due {
    pub id: DeliveryId,
    pub url: String,
    pub secret: Vec<u8>,
    pub body: String,
    /// The first time is 1.
    pub tries: i32,
}

/// The next thing to send; `None` when nothing is due. It is this lease's for a minute.
pub async fn take(lane: &mut ServiceLane, lease: Uuid) -> Result<Option<Due>, AppError> {
    type Row = (Option<DeliveryId>, Option<String>, Option<Vec<u8>>, Option<String>, Option<i32>);
    let row: Row = sqlx::query_as("select id, url, secret, body, tries from app.take_delivery($1)")
        .bind(lease)
        .fetch_one(lane.conn())
        .await?;
    let (Some(id), Some(url), Some(secret), Some(body), Some(tries)) = row else { return Ok(None) };
    Ok(Some(Due { id, url, secret, body, tries }))
}

/// How it went: taken, or sent again after so many seconds, or given up.
pub async fn end(
    lane: &mut ServiceLane,
    id: DeliveryId,
    lease: Uuid,
    taken: bool,
    why: &str,
    again: Option<u32>,
) -> Result<(), AppError> {
    sqlx::query("select app.end_delivery($1, $2, $3, $4, $5)")
        .bind(id)
        .bind(lease)
        .bind(taken)
        .bind(why)
        .bind(again.map(f64::from))
        .execute(lane.conn())
        .await?;
    Ok(())
}

/// Forgets what was taken a week ago, some at once.
pub async fn forget(lane: &mut ServiceLane) -> Result<(), AppError> {
    sqlx::query("select app.sweep_deliveries(1000)").execute(lane.conn()).await?;
    Ok(())
}
