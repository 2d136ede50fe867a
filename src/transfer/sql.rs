use std::collections::HashSet;

use sqlx::types::{Json, time::OffsetDateTime};

use super::model::{ImportRow, Said};
use crate::{
    error::AppError,
    server::lanes::UserLane,
    types::{ImportId, MessageId, Role, ThreadId},
};

/// A thread that is exported, without its messages.
#[derive(sqlx::FromRow)]
pub struct Head {
    pub id: ThreadId,
    pub title: String,
    pub created_at: OffsetDateTime,
    pub active_at: OffsetDateTime,
}

pub async fn head(lane: &mut UserLane, id: ThreadId) -> Result<Head, AppError> {
    Ok(sqlx::query_as(
        "select t.id, t.title, t.created_at, t.active_at from app.threads t where t.id = $1 and t.deleted_at is null",
    )
    .bind(id)
    .fetch_one(lane.conn())
    .await?)
}

/// The next threads, longest unused first: one that is written in meanwhile comes again at the end, and none is left out.
pub async fn heads(
    lane: &mut UserLane,
    after: Option<(OffsetDateTime, ThreadId)>,
    limit: i64,
) -> Result<Vec<Head>, AppError> {
    let (at, id) = after.unwrap_or((OffsetDateTime::UNIX_EPOCH, ThreadId(uuid::Uuid::nil())));
    Ok(sqlx::query_as(
        "select t.id, t.title, t.created_at, t.active_at from app.threads t
          where t.deleted_at is null and not t.temporary and (t.active_at, t.id) > ($1, $2)
          order by t.active_at, t.id limit $3",
    )
    .bind(at)
    .bind(id)
    .bind(limit)
    .fetch_all(lane.conn())
    .await?)
}

/// The next messages of a thread after a place, with their places. One that was emptied keeps its own, so that what stands
/// below it hangs where it hung.
pub async fn said(lane: &mut UserLane, thread: ThreadId, after: i64, limit: i64) -> Result<Vec<(i64, Said)>, AppError> {
    type Row = (i64, MessageId, Option<MessageId>, Role, String, f64, Option<String>, bool);
    let rows: Vec<Row> = sqlx::query_as(
        "select m.seq, m.id, m.parent_id, m.role,
                case when g.status = 'running'
                     then coalesce((select string_agg(c.text, '' order by c.n) from app.generation_chunks c where c.generation_id = g.id), '')
                     else m.content ->> 'text' end,
                extract(epoch from m.created_at)::float8,
                case coalesce(g.status, m.content ->> 'ended', 'done') when 'done' then null when 'running' then 'interrupted'
                     else coalesce(g.status, m.content ->> 'ended') end,
                m.deleted_at is not null
           from app.messages m left join app.generations g on g.message_id = m.id where m.thread_id = $1 and m.seq > $2 order by m.seq limit $3",
    )
    .bind(thread)
    .bind(after)
    .bind(limit)
    .fetch_all(lane.conn())
    .await?;
    let said = |(seq, id, parent, role, text, at, ended, deleted): Row| {
        let ended = ended.filter(|_| !deleted);
        (seq, Said { id: id.to_string(), parent: parent.map(|p| p.to_string()), role, text, at, ended, deleted })
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

/// One conversation as it is stored; false when it is there already.
pub struct Arrival {
    pub client: uuid::Uuid,
    pub source: Option<uuid::Uuid>,
    pub title: String,
    pub created_at: f64,
    pub active_at: f64,
    pub messages: serde_json::Value,
}

pub async fn arrive(lane: &mut UserLane, import: ImportId, talk: &Arrival) -> Result<bool, AppError> {
    Ok(sqlx::query_scalar("select app.import_thread($1, $2, $3, $4, to_timestamp($5), to_timestamp($6), $7)")
        .bind(import)
        .bind(talk.client)
        .bind(talk.source)
        .bind(&talk.title)
        .bind(talk.created_at)
        .bind(talk.active_at)
        .bind(Json(&talk.messages))
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
    let rows: Vec<(String, String, String, i32, i32, i32, String)> = sqlx::query_as(
        "select i.name, case when i.status = 'running' and i.updated_at < now() - interval '1 minute' then 'interrupted' else i.status end,
                i.why, i.threads, i.known, i.messages, to_char(i.created_at at time zone (select app.zone($1)), 'FMDD Mon YYYY, HH24:MI')
           from app.imports i order by i.created_at desc limit 20",
    )
    .bind(zone)
    .fetch_all(lane.conn())
    .await?;
    let row = |(name, status, why, threads, known, messages, at)| ImportRow {
        name,
        status,
        why,
        threads,
        known,
        messages,
        at,
    };
    Ok(rows.into_iter().map(row).collect())
}
