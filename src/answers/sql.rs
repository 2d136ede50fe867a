use super::answerer::Usage;
use crate::{
    error::AppError,
    server::lanes::{ServiceLane, UserLane},
    types::{GenerationId, MessageId, Role, Status, ThreadId, UserId},
};

/// What was said up to and including the message that an empty answer hangs on, oldest first: at most `limit`, the newest.
pub async fn history(
    lane: &mut UserLane,
    thread: ThreadId,
    answer: MessageId,
    limit: i64,
) -> Result<Vec<(Role, String)>, AppError> {
    let mut said: Vec<(Role, String)> = sqlx::query_as(
        "with recursive path as (
             select p.id, p.parent_id, p.role, p.content ->> 'text' as text, p.seq
               from app.messages a join app.messages p on p.id = a.parent_id and p.thread_id = a.thread_id
              where a.id = $2 and a.thread_id = $1
             union all
             select p.id, p.parent_id, p.role, p.content ->> 'text', p.seq
               from path c join app.messages p on p.id = c.parent_id and p.thread_id = $1
         )
         select role, text from path limit $3",
    )
    .bind(thread)
    .bind(answer)
    .bind(limit)
    .fetch_all(lane.conn())
    .await?;
    said.reverse();
    Ok(said)
}

/// Counts one answer more of the caller's day; `UsedUp` when there are `limit` already. Undone with the lane.
pub async fn spend(lane: &mut UserLane, limit: i32) -> Result<(), AppError> {
    let wait: i32 = sqlx::query_scalar("select app.spend_generation($1)").bind(limit).fetch_one(lane.conn()).await?;
    match u64::try_from(wait) {
        Ok(0) => Ok(()),
        wait => Err(AppError::UsedUp { answers: limit, retry_after: wait.unwrap_or_default() }),
    }
}

/// Adds a piece, and renews the lease; an empty piece only renews it. False: stop writing.
pub async fn append(lane: &mut ServiceLane, generation: GenerationId, n: i32, text: &str) -> Result<bool, AppError> {
    Ok(sqlx::query_scalar("select app.append_chunk($1, $2, $3)")
        .bind(generation)
        .bind(n)
        .bind(text)
        .fetch_one(lane.conn())
        .await?)
}

/// Ends a generation that still runs; its pieces become the message. Ending it again changes nothing.
pub async fn finish(
    lane: &mut ServiceLane,
    generation: GenerationId,
    status: Status,
    why: &str,
    usage: Option<Usage>,
) -> Result<(), AppError> {
    // The end of an answer waits for the disk, and its pieces with it.
    sqlx::query("select set_config('synchronous_commit', 'on', true)").execute(lane.conn()).await?;
    sqlx::query("select app.finish_generation($1, $2, $3, $4, $5)")
        .bind(generation)
        .bind(status.as_str())
        .bind(why)
        .bind(usage.map(|u| u.read))
        .bind(usage.map(|u| u.written))
        .execute(lane.conn())
        .await?;
    Ok(())
}

/// Generations that nobody writes any more, and whose they are.
pub async fn lapsed(lane: &mut ServiceLane) -> Result<Vec<(GenerationId, UserId)>, AppError> {
    Ok(sqlx::query_as("select generation_id, user_id from app.lapsed_generations()").fetch_all(lane.conn()).await?)
}
