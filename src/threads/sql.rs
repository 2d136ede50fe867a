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

/// A message beside an old one of the caller's, with an answer of its own: the old one is edited. Otherwise as [`post`].
pub async fn edit(
    lane: &mut UserLane,
    old: MessageId,
    client: ClientId,
    text: &str,
    model: &str,
) -> Result<(Posted, bool), AppError> {
    let (thread, message, answer, generation, created): (ThreadId, MessageId, MessageId, Option<GenerationId>, bool) =
        sqlx::query_as(
            "select m.thread_id, p.message_id, p.answer_id, p.generation_id, p.created
               from app.messages m cross join lateral app.post_message(m.thread_id, $2, $3, $4, m.id) p where m.id = $1",
        )
        .bind(old)
        .bind(client)
        .bind(text)
        .bind(model)
        .fetch_one(lane.conn())
        .await?;
    Ok((Posted { thread, message, answer, generation }, created))
}

/// A new answer beside an old one. The same client id gives the same answer; `true` when it is new.
pub async fn answer_again(
    lane: &mut UserLane,
    answer: MessageId,
    client: Option<ClientId>,
    model: &str,
) -> Result<(Posted, bool), AppError> {
    let (thread, again, generation, created): (ThreadId, MessageId, Option<GenerationId>, bool) =
        sqlx::query_as("select thread_id, answer_id, generation_id, created from app.answer_again($1, $2, $3)")
            .bind(answer)
            .bind(model)
            .bind(client)
            .fetch_one(lane.conn())
            .await?;
    Ok((Posted { thread, message: answer, answer: again, generation }, created))
}

/// What a message says, as it was written. What is still being written does not count yet.
pub async fn text(lane: &mut UserLane, message: MessageId) -> Result<String, AppError> {
    Ok(sqlx::query_scalar("select m.content ->> 'text' from app.messages m where m.id = $1")
        .bind(message)
        .fetch_one(lane.conn())
        .await?)
}

/// Shows the branch through a message; gives its thread.
pub async fn choose_branch(lane: &mut UserLane, message: MessageId) -> Result<ThreadId, AppError> {
    Ok(sqlx::query_scalar("select app.choose_branch($1)").bind(message).fetch_one(lane.conn()).await?)
}

/// Empties a message; gives its thread.
pub async fn delete_message(lane: &mut UserLane, message: MessageId) -> Result<ThreadId, AppError> {
    Ok(sqlx::query_scalar("select app.delete_message($1)").bind(message).fetch_one(lane.conn()).await?)
}

/// Copies the branch down to a message into a new thread. The same client id gives the same thread.
pub async fn fork(lane: &mut UserLane, message: MessageId, client: ClientId) -> Result<ThreadId, AppError> {
    Ok(sqlx::query_scalar("select app.fork_thread($1, $2)").bind(message).bind(client).fetch_one(lane.conn()).await?)
}

/// What the caller thinks of an answer; `None` takes it back.
pub async fn thumb(lane: &mut UserLane, answer: MessageId, up: Option<bool>) -> Result<(), AppError> {
    let done = match up {
        Some(up) => {
            sqlx::query(
                "insert into app.thumbs (message_id, thread_id, user_id, up)
                 select m.id, m.thread_id, m.user_id, $2 from app.messages m where m.id = $1 and m.role = 'assistant'
                 on conflict (message_id, user_id) do update set up = excluded.up",
            )
            .bind(answer)
            .bind(up)
            .execute(lane.conn())
            .await?
        }
        None => {
            sqlx::query("delete from app.thumbs where message_id = $1").bind(answer).execute(lane.conn()).await?;
            sqlx::query("select m.id from app.messages m where m.id = $1").bind(answer).execute(lane.conn()).await?
        }
    };
    found(done.rows_affected())
}

/// How a thread is answered: by which model (empty: the usual one), and with what in mind.
pub async fn set_options(
    lane: &mut UserLane,
    thread: ThreadId,
    model: &str,
    instructions: &str,
) -> Result<(), AppError> {
    let done = sqlx::query("update app.threads set model = $2, instructions = $3 where id = $1")
        .bind(thread)
        .bind(model)
        .bind(instructions)
        .execute(lane.conn())
        .await?;
    found(done.rows_affected())
}

/// The model and the instructions of a thread, as [`set_options`] left them.
pub async fn options(lane: &mut UserLane, thread: ThreadId) -> Result<(String, String), AppError> {
    Ok(sqlx::query_as("select t.model, t.instructions from app.threads t where t.id = $1")
        .bind(thread)
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

/// The newest messages of the branch that is shown, oldest first, and whether there are more. With `before`, those above
/// that message. The texts are as they were written: see `markdown::render`.
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

#[derive(sqlx::FromRow)]
struct MessageRow {
    id: MessageId,
    parent_id: Option<MessageId>,
    seq: i64,
    role: Role,
    client_id: Option<ClientId>,
    deleted: bool,
    text: String,
    status: Option<Status>,
    why: Option<String>,
    pieces: i32,
    place: i32,
    siblings: i32,
    previous: Option<MessageId>,
    next: Option<MessageId>,
    thumb: Option<bool>,
}

/// Newest first. Up the tree from the leaf that is shown, a key look-up a message: the page costs the same in a thread of a
/// million: the leaf is found first, in a step of its own, or the planner reads the whole table for it. Siblings are looked up in two halves, since an index finds no row by `is not distinct from`.
async fn branch(
    lane: &mut UserLane,
    thread: ThreadId,
    before: Option<MessageId>,
    limit: i64,
) -> Result<Vec<MessageView>, AppError> {
    let rows: Vec<MessageRow> = sqlx::query_as(
        "with recursive leaf as materialized (
             select case when $2::uuid is null
                    then coalesce((select t.leaf_id from app.threads t where t.id = $1),
                                  (select x.id from app.messages x where x.thread_id = $1 order by x.seq desc limit 1))
                    else (select x.parent_id from app.messages x where x.id = $2 and x.thread_id = $1) end as id
         ), path as (
             select m.id, m.parent_id, m.seq, m.role, m.client_id, m.content, m.deleted_at
               from leaf l join app.messages m on m.id = l.id and m.thread_id = $1
             union all
             select m.id, m.parent_id, m.seq, m.role, m.client_id, m.content, m.deleted_at
               from path p join app.messages m on m.id = p.parent_id and m.thread_id = $1
         ), page as (select * from path limit $3)
         select p.id, p.parent_id, p.seq, p.role, p.client_id, p.deleted_at is not null as deleted,
                case when g.status = 'running' then coalesce(w.text, '') else p.content ->> 'text' end as text,
                g.status, g.why, coalesce(w.pieces, 0)::int as pieces,
                s.place, s.siblings, s.previous, s.next, h.up as thumb
           from page p
           left join app.generations g on g.message_id = p.id
           left join app.thumbs h on h.message_id = p.id
           left join lateral (
                select string_agg(c.text, '' order by c.n) as text, count(*) as pieces
                  from app.generation_chunks c where c.generation_id = g.id and g.status = 'running') w on true
          cross join lateral (
                select count(*) filter (where x.seq <= p.seq)::int as place, count(*)::int as siblings,
                       (array_agg(x.id order by x.seq desc) filter (where x.seq < p.seq))[1] as previous,
                       (array_agg(x.id order by x.seq) filter (where x.seq > p.seq))[1] as next
                  from (select y.id, y.seq from app.messages y where y.parent_id = p.parent_id and y.thread_id = $1
                        union all
                        select y.id, y.seq from app.messages y
                         where p.parent_id is null and y.parent_id is null and y.thread_id = $1) x) s
          order by p.seq desc",
    )
    .bind(thread)
    .bind(before)
    .bind(limit)
    .fetch_all(lane.conn())
    .await?;
    Ok(rows.into_iter().map(message).collect())
}

fn message(row: MessageRow) -> MessageView {
    MessageView {
        id: row.id,
        parent: row.parent_id,
        seq: row.seq,
        role: row.role,
        client_id: row.client_id,
        deleted: row.deleted,
        html: String::new(),
        actions: String::new(),
        text: row.text,
        next_piece: row.pieces,
        status: row.status,
        why: row.why.unwrap_or_default(),
        place: row.place,
        siblings: row.siblings,
        previous: row.previous,
        next: row.next,
        thumb: row.thumb,
    }
}
