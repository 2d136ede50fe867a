use std::collections::HashSet;

use sqlx::types::{Json, time::OffsetDateTime};

use super::model::{ImportRow, Kept, Said};
use crate::{
    error::AppError,
    server::lanes::UserLane,
    threads::model::MANY,
    types::{ImportId, MessageId, Role, ThreadId},
};

/// A thread that is exported, without its messages.
#[derive(sqlx::FromRow)]
pub struct Head {
    pub id: ThreadId,
    pub title: String,
    pub created_at: OffsetDateTime,
    pub active_at: OffsetDateTime,
    pub folder: Option<String>,
    pub pinned: bool,
    pub archived: bool,
    pub model: String,
    pub instructions: String,
    pub leaf_id: Option<MessageId>,
}

/// Threads with what is exported of them, that meet a condition.
macro_rules! heads {
    ($rest:literal) => {
        concat!(
            "select t.id, t.title, t.created_at, t.active_at, f.name as folder, t.pinned, t.archived, t.model, t.instructions, t.leaf_id
               from app.threads t left join app.folders f on f.id = t.folder_id where t.deleted_at is null and ",
            $rest
        )
    };
}

pub async fn head(lane: &mut UserLane, id: ThreadId) -> Result<Head, AppError> {
    Ok(sqlx::query_as(heads!("t.id = $1")).bind(id).fetch_one(lane.conn()).await?)
}

/// The next threads, longest unused first: one that is written in meanwhile comes again at the end, and none is left out.
pub async fn heads(
    lane: &mut UserLane,
    after: Option<(OffsetDateTime, ThreadId)>,
    limit: i64,
) -> Result<Vec<Head>, AppError> {
    let (at, id) = after.unwrap_or((OffsetDateTime::UNIX_EPOCH, ThreadId(uuid::Uuid::nil())));
    Ok(sqlx::query_as(heads!("not t.temporary and (t.active_at, t.id) > ($1, $2) order by t.active_at, t.id limit $3"))
        .bind(at)
        .bind(id)
        .bind(limit)
        .fetch_all(lane.conn())
        .await?)
}

/// All folders, or that of one thread.
pub async fn folders(lane: &mut UserLane, thread: Option<ThreadId>) -> Result<Vec<Kept>, AppError> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "select f.name, f.instructions from app.folders f
          where $1::uuid is null or f.id = (select t.folder_id from app.threads t where t.id = $1)
          order by lower(f.name), f.id",
    )
    .bind(thread)
    .fetch_all(lane.conn())
    .await?;
    Ok(rows.into_iter().map(|(name, instructions)| Kept { name, instructions }).collect())
}

#[derive(sqlx::FromRow)]
struct SaidRow {
    seq: i64,
    id: MessageId,
    parent_id: Option<MessageId>,
    role: Role,
    text: String,
    at: f64,
    ended: Option<String>,
    deleted: bool,
    model: String,
    thumb: Option<bool>,
    left_at: Option<MessageId>,
}

/// The next messages of a thread after a place, with their places. One that was emptied keeps its own, so that what stands
/// below it hangs where it hung.
pub async fn said(lane: &mut UserLane, thread: ThreadId, after: i64, limit: i64) -> Result<Vec<(i64, Said)>, AppError> {
    // Where a branch was left is out of date once it has gone on from there: its reader came back, and has not left it again.
    let rows: Vec<SaidRow> = sqlx::query_as(
        "select m.seq, m.id, m.parent_id, m.role,
                case when g.status = 'running'
                     then coalesce((select string_agg(c.text, '' order by c.n) from app.generation_chunks c where c.generation_id = g.id), '')
                     else m.content ->> 'text' end as text,
                extract(epoch from m.created_at)::float8 as at,
                case coalesce(g.status, m.content ->> 'ended', 'done') when 'done' then null when 'running' then 'interrupted'
                     else coalesce(g.status, m.content ->> 'ended') end as ended,
                m.deleted_at is not null as deleted, coalesce(g.model, m.content ->> 'model', '') as model, h.up as thumb,
                (select b.leaf_id from app.branches b where b.message_id = m.id
                    and not exists (select from app.messages c where c.parent_id = b.leaf_id and c.thread_id = $1)) as left_at
           from app.messages m left join app.generations g on g.message_id = m.id left join app.thumbs h on h.message_id = m.id
          where m.thread_id = $1 and m.seq > $2 order by m.seq limit $3",
    )
    .bind(thread)
    .bind(after)
    .bind(limit)
    .fetch_all(lane.conn())
    .await?;
    let said = |row: SaidRow| {
        let said = Said {
            id: row.id.to_string(),
            parent: row.parent_id.map(|p| p.to_string()),
            role: row.role,
            text: row.text,
            at: row.at,
            ended: row.ended.filter(|_| !row.deleted),
            deleted: row.deleted,
            model: if row.deleted { String::new() } else { row.model },
            thumb: row.thumb,
            left: row.left_at.map(|id| id.to_string()),
        };
        (row.seq, said)
    };
    Ok(rows.into_iter().map(said).collect())
}

/// The messages of the branch that is shown.
pub async fn shown(lane: &mut UserLane, thread: ThreadId) -> Result<HashSet<String>, AppError> {
    let path: Vec<MessageId> = sqlx::query_scalar(
        "with recursive leaf as materialized (
             select coalesce(t.leaf_id, (select x.id from app.messages x where x.thread_id = $1 order by x.seq desc limit 1)) as id
               from app.threads t where t.id = $1
         ), path as (
             select m.id, m.parent_id from leaf l join app.messages m on m.id = l.id and m.thread_id = $1
             union all
             select m.id, m.parent_id from path p join app.messages m on m.id = p.parent_id and m.thread_id = $1
         )
         select p.id from path p",
    )
    .bind(thread)
    .fetch_all(lane.conn())
    .await?;
    Ok(path.into_iter().map(|id| id.to_string()).collect())
}

/// Refused while another import of the caller's is under way.
pub async fn may_begin(lane: &mut UserLane) -> Result<(), AppError> {
    let busy: bool = sqlx::query_scalar(
        "select exists (select from app.imports i where i.status = 'running' and i.updated_at > now() - interval '1 minute')",
    )
    .fetch_one(lane.conn())
    .await?;
    if busy {
        return Err(AppError::Conflict {
            what: "Another import of yours is under way. Wait until it has ended.".into(),
        });
    }
    Ok(())
}

pub async fn begin(lane: &mut UserLane, name: &str) -> Result<ImportId, AppError> {
    // One after the other, or two that begin at once would not see each other.
    sqlx::query("select u.id from app.users u for no key update").execute(lane.conn()).await?;
    may_begin(lane).await?;
    Ok(sqlx::query_scalar("insert into app.imports (name) values ($1) returning id")
        .bind(name)
        .fetch_one(lane.conn())
        .await?)
}

/// Says that an import still waits for its turn.
pub async fn keep(lane: &mut UserLane, import: ImportId) -> Result<(), AppError> {
    sqlx::query("select app.keep_import($1)").bind(import).execute(lane.conn()).await?;
    Ok(())
}

/// One conversation as it is stored.
pub struct Arrival {
    pub client: uuid::Uuid,
    pub source: Option<uuid::Uuid>,
    pub title: String,
    pub created_at: f64,
    pub active_at: f64,
    /// See `app.import_thread` and `app.import_chat`.
    pub messages: serde_json::Value,
    pub folder: Option<String>,
    pub pinned: bool,
    pub archived: bool,
    pub model: String,
    pub instructions: String,
    /// Which of the messages ends the branch that is shown.
    pub shown: Option<usize>,
}

/// What became of one.
#[derive(sqlx::FromRow)]
pub struct Arrived {
    pub created: bool,
    /// Of one that was created: false when it should be pinned, or in a folder, and is not.
    pub pinned: bool,
    pub filed: bool,
}

/// Locks what is there already of these, in the order in which everything does that changes many.
pub async fn hold(lane: &mut UserLane, talks: &[&Arrival]) -> Result<(), AppError> {
    sqlx::query(
        "select t.id from app.threads t where t.id = any($1) or t.client_id = any($2) order by t.id for no key update",
    )
    .bind(talks.iter().filter_map(|talk| talk.source).collect::<Vec<_>>())
    .bind(talks.iter().map(|talk| talk.client).collect::<Vec<_>>())
    .execute(lane.conn())
    .await?;
    Ok(())
}

pub async fn arrive(lane: &mut UserLane, import: ImportId, talk: &Arrival) -> Result<Arrived, AppError> {
    let marks = serde_json::json!({
        "folder": talk.folder, "pinned": talk.pinned, "archived": talk.archived, "model": talk.model,
        "instructions": talk.instructions, "shown": talk.shown,
    });
    Ok(sqlx::query_as(
        "select created, pinned, filed
           from app.import_chat($1, $2, $3, $4, to_timestamp($5), to_timestamp($6), $7, $8, $9)",
    )
    .bind(import)
    .bind(talk.client)
    .bind(talk.source)
    .bind(&talk.title)
    .bind(talk.created_at)
    .bind(talk.active_at)
    .bind(Json(&talk.messages))
    .bind(Json(&marks))
    .bind(MANY as i32)
    .fetch_one(lane.conn())
    .await?)
}

/// `why`: what went wrong, or was left out.
pub async fn end(lane: &mut UserLane, import: ImportId, failed: bool, why: &str) -> Result<(), AppError> {
    sqlx::query("select app.end_import($1, $2, $3)")
        .bind(import)
        .bind(if failed { "failed" } else { "done" })
        .bind(why)
        .execute(lane.conn())
        .await?;
    Ok(())
}

/// The newest imports.
pub async fn list(lane: &mut UserLane, zone: &str) -> Result<Vec<ImportRow>, AppError> {
    type Row = (String, String, String, i32, i32, i32, i32, i32, String);
    let rows: Vec<Row> = sqlx::query_as(
        "select i.name, case when i.status = 'running' and i.updated_at < now() - interval '1 minute' then 'interrupted' else i.status end,
                i.why, i.threads, i.messages, i.grown, i.appended, i.known, to_char(i.created_at at time zone (select app.zone($1)), 'FMDD Mon YYYY, HH24:MI')
           from app.imports i order by i.created_at desc limit 20",
    )
    .bind(zone)
    .fetch_all(lane.conn())
    .await?;
    let row = |(name, status, why, threads, messages, grown, appended, known, at): Row| ImportRow {
        name,
        status,
        why,
        threads,
        messages,
        grown,
        appended,
        known,
        at,
    };
    Ok(rows.into_iter().map(row).collect())
}
