use sqlx::types::time::OffsetDateTime;

use super::model::{MessageView, Place, Posted, ThreadRow};
use crate::{
    error::AppError,
    server::lanes::UserLane,
    types::{ClientId, GenerationId, MessageId, Role, Status, ThreadId},
};

type Row = (ThreadId, String, OffsetDateTime, bool);

fn row((id, title, at, answering): Row) -> ThreadRow {
    ThreadRow { id, title, at: Place { micros: (at.unix_timestamp_nanos() / 1000) as i64, id }, answering }
}

/// The newest threads after a place, one more than `limit` if there are more.
pub async fn list(lane: &mut UserLane, after: Option<Place>, limit: i64) -> Result<Vec<ThreadRow>, AppError> {
    let rows: Vec<Row> = match after {
        None => {
            sqlx::query_as(
                "select t.id, t.title, t.active_at,
                        exists (select from app.generations g where g.thread_id = t.id and g.status = 'running')
                   from app.threads t
                  order by t.active_at desc, t.id desc limit $1",
            )
            .bind(limit + 1)
            .fetch_all(lane.conn())
            .await?
        }
        Some(place) => {
            sqlx::query_as(
                "select t.id, t.title, t.active_at,
                        exists (select from app.generations g where g.thread_id = t.id and g.status = 'running')
                   from app.threads t
                  where (t.active_at, t.id) < (to_timestamp(0) + $2 * interval '1 microsecond', $3)
                  order by t.active_at desc, t.id desc limit $1",
            )
            .bind(limit + 1)
            .bind(place.micros)
            .bind(place.id)
            .fetch_all(lane.conn())
            .await?
        }
    };
    Ok(rows.into_iter().map(row).collect())
}

pub async fn thread(lane: &mut UserLane, id: ThreadId) -> Result<ThreadRow, AppError> {
    let found: Row = sqlx::query_as(
        "select t.id, t.title, t.active_at,
                exists (select from app.generations g where g.thread_id = t.id and g.status = 'running')
           from app.threads t where t.id = $1",
    )
    .bind(id)
    .fetch_one(lane.conn())
    .await?;
    Ok(row(found))
}

/// A thread and its first message. The same client id gives the same thread.
pub async fn start(
    lane: &mut UserLane,
    client: ClientId,
    title: &str,
    text: &str,
    model: &str,
) -> Result<(Posted, bool), AppError> {
    let (thread, message, answer, generation, created): (ThreadId, MessageId, MessageId, Option<GenerationId>, bool) =
        sqlx::query_as(
            "select thread_id, message_id, answer_id, generation_id, created from app.start_thread($1, $2, $3, $4)",
        )
        .bind(client)
        .bind(title)
        .bind(text)
        .bind(model)
        .fetch_one(lane.conn())
        .await?;
    Ok((Posted { thread, message, answer, generation }, created))
}

/// A message at the end of a thread. The same client id gives the same message; `true` when it is new.
pub async fn post(
    lane: &mut UserLane,
    thread: ThreadId,
    client: ClientId,
    text: &str,
    model: &str,
) -> Result<(Posted, bool), AppError> {
    let (message, answer, generation, created): (MessageId, MessageId, Option<GenerationId>, bool) =
        sqlx::query_as("select message_id, answer_id, generation_id, created from app.post_message($1, $2, $3, $4)")
            .bind(thread)
            .bind(client)
            .bind(text)
            .bind(model)
            .fetch_one(lane.conn())
            .await?;
    Ok((Posted { thread, message, answer, generation }, created))
}

/// A new answer beside an old one.
pub async fn answer_again(
    lane: &mut UserLane,
    answer: MessageId,
    model: &str,
) -> Result<(ThreadId, MessageId, GenerationId), AppError> {
    Ok(sqlx::query_as("select thread_id, answer_id, generation_id from app.answer_again($1, $2)")
        .bind(answer)
        .bind(model)
        .fetch_one(lane.conn())
        .await?)
}

/// Asks the writer of a thread's answer to stop, wherever it runs. Nothing happens when nothing is being written.
pub async fn stop(lane: &mut UserLane, thread: ThreadId) -> Result<(), AppError> {
    sqlx::query("update app.generations set stop_asked_at = now() where thread_id = $1 and status = 'running' and stop_asked_at is null")
        .bind(thread)
        .execute(lane.conn())
        .await?;
    Ok(())
}

pub async fn rename(lane: &mut UserLane, thread: ThreadId, title: &str) -> Result<(), AppError> {
    let done = sqlx::query("update app.threads set title = $2, title_by = 'user' where id = $1")
        .bind(thread)
        .bind(title)
        .execute(lane.conn())
        .await?;
    found(done.rows_affected())
}

pub async fn delete(lane: &mut UserLane, thread: ThreadId) -> Result<(), AppError> {
    // In the order in which the writer of an answer locks: its generation first. The other way round, the two deadlock.
    sqlx::query("select id from app.generations where thread_id = $1 for update")
        .bind(thread)
        .fetch_all(lane.conn())
        .await?;
    let done = sqlx::query("delete from app.threads where id = $1").bind(thread).execute(lane.conn()).await?;
    found(done.rows_affected())
}

fn found(rows: u64) -> Result<(), AppError> {
    if rows == 0 { Err(AppError::NotFound) } else { Ok(()) }
}

/// The newest messages of the branch that ends with the thread's newest message, oldest first, and whether there are more.
/// With `before`, those above that message. The texts are as they were written: see `markdown::render`.
pub async fn transcript(
    lane: &mut UserLane,
    thread: ThreadId,
    before: Option<MessageId>,
    limit: i64,
) -> Result<(Vec<MessageView>, bool), AppError> {
    let mut rows = branch(lane, thread, before, limit + 1).await?;
    let more = rows.len() as i64 > limit;
    rows.truncate(limit as usize);
    rows.reverse();
    Ok((rows, more))
}

type MessageRow = (MessageId, i64, Role, Option<ClientId>, String, Option<Status>, Option<String>, i32);

/// Newest first. Up the tree from its newest leaf, a key look-up a message: the page costs the same in a thread of a
/// million.
async fn branch(
    lane: &mut UserLane,
    thread: ThreadId,
    before: Option<MessageId>,
    limit: i64,
) -> Result<Vec<MessageView>, AppError> {
    let rows: Vec<MessageRow> = sqlx::query_as(
        "with recursive path as (
             (select m.id, m.parent_id, m.seq, m.role, m.client_id, m.content
                from app.messages m
               where m.thread_id = $1
                 and m.id = case when $2::uuid is null
                      then (select x.id from app.messages x where x.thread_id = $1 order by x.seq desc limit 1)
                      else (select x.parent_id from app.messages x where x.id = $2 and x.thread_id = $1) end)
             union all
             select m.id, m.parent_id, m.seq, m.role, m.client_id, m.content
               from path p join app.messages m on m.id = p.parent_id and m.thread_id = $1
         ), page as (select * from path limit $3)
         select p.id, p.seq, p.role, p.client_id,
                case when g.status = 'running' then coalesce(w.text, '') else p.content ->> 'text' end,
                g.status, g.why, coalesce(w.pieces, 0)::int
           from page p
           left join app.generations g on g.message_id = p.id
           left join lateral (
                select string_agg(c.text, '' order by c.n) as text, count(*) as pieces
                  from app.generation_chunks c where c.generation_id = g.id and g.status = 'running') w on true
          order by p.seq desc",
    )
    .bind(thread)
    .bind(before)
    .bind(limit)
    .fetch_all(lane.conn())
    .await?;
    Ok(rows.into_iter().map(message).collect())
}

fn message((id, seq, role, client_id, text, status, why, next_piece): MessageRow) -> MessageView {
    MessageView {
        id,
        seq,
        role,
        client_id,
        html: String::new(),
        text,
        next_piece,
        status,
        why: why.unwrap_or_default(),
    }
}
