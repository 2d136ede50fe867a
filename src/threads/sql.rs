use sqlx::types::time::{Date, OffsetDateTime};

use super::{
    days,
    model::{Facts, MANY, MessageView, Place, Posted, ThreadRow},
};
use crate::{
    error::AppError,
    server::lanes::{ServiceLane, UserLane},
    types::{Act, ClientId, FolderId, GenerationId, MessageId, Role, Shelf, Status, ThreadId},
};

pub async fn thread(lane: &mut UserLane, id: ThreadId) -> Result<ThreadRow, AppError> {
    line(lane, id, "UTC").await
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

/// A message at the end of a thread: of the branch through `after`, or of the one that is shown. The same client id gives
/// the same message; `true` when it is new.
pub async fn post(
    lane: &mut UserLane,
    thread: ThreadId,
    client: ClientId,
    after: Option<MessageId>,
    text: &str,
    model: &str,
) -> Result<(Posted, bool), AppError> {
    // What is said goes where it was said: another window may have turned to another branch since.
    if let Some(after) = after {
        sqlx::query(
            "select app.choose_branch(m.id) from app.threads t join app.messages m on m.thread_id = t.id
              where t.id = $1 and m.id = $2 and t.leaf_id is distinct from m.id
                and not exists (select from app.messages x where x.client_id = $3 and x.thread_id = t.id)",
        )
        .bind(thread)
        .bind(after)
        .bind(client)
        .execute(lane.conn())
        .await?;
    }
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
    Ok(sqlx::query_scalar(
        "select m.content ->> 'text' from app.messages m join app.threads t on t.id = m.thread_id
          where m.id = $1 and t.deleted_at is null",
    )
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
                 select m.id, m.thread_id, m.user_id, $2 from app.messages m join app.threads t on t.id = m.thread_id
                  where m.id = $1 and m.role = 'assistant' and t.deleted_at is null
                 on conflict (message_id, user_id) do update set up = excluded.up",
            )
            .bind(answer)
            .bind(up)
            .execute(lane.conn())
            .await?
        }
        None => {
            sqlx::query("delete from app.thumbs where message_id = $1").bind(answer).execute(lane.conn()).await?;
            sqlx::query(
                "select m.id from app.messages m join app.threads t on t.id = m.thread_id where m.id = $1 and t.deleted_at is null",
            )
            .bind(answer)
            .execute(lane.conn())
            .await?
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
    let done = sqlx::query("update app.threads set model = $2, instructions = $3 where id = $1 and deleted_at is null")
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

/// Tokens: what the newest answer of the shown branch was told and said, where its model server counted them, and what all
/// answers of the thread cost.
pub async fn usage(lane: &mut UserLane, thread: ThreadId) -> Result<(Option<i64>, i64), AppError> {
    Ok(sqlx::query_as(
        "select (select g.tokens_read::bigint + g.tokens_written from app.generations g
                  where g.message_id = t.leaf_id and g.thread_id = t.id),
                (select coalesce(sum(g.tokens_read::bigint + g.tokens_written), 0)::bigint from app.generations g
                  where g.thread_id = t.id and g.tokens_read is not null)
           from app.threads t where t.id = $1",
    )
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
    let done = sqlx::query("update app.threads set title = $2, title_by = 'user' where id = $1 and deleted_at is null")
        .bind(thread)
        .bind(title)
        .execute(lane.conn())
        .await?;
    found(done.rows_affected())
}

fn found(rows: u64) -> Result<(), AppError> {
    if rows == 0 { Err(AppError::NotFound) } else { Ok(()) }
}

/// Where a page of a transcript ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At the end of the branch that is shown.
    Newest,
    /// Above this message, on its branch.
    Above(MessageId),
    /// Some messages below this one, on its branch, whichever is shown.
    Around(MessageId),
}

/// Messages that stand below the one that a page is [`End::Around`].
const BELOW: i32 = 10;

/// The last messages before such an end, oldest first, and whether there are more. The texts are as they were written: see
/// `markdown::render`. `zone`: of the times.
pub async fn transcript(
    lane: &mut UserLane,
    thread: ThreadId,
    end: End,
    limit: i64,
    zone: &str,
) -> Result<(Vec<MessageView>, bool), AppError> {
    let (above, at) = match end {
        End::Newest => (None, None),
        End::Above(message) => (Some(message), None),
        End::Around(message) => (None, Some(below(lane, thread, message).await?)),
    };
    let mut rows = branch(lane, thread, above, at, limit + 1, zone).await?;
    let more = rows.len() as i64 > limit;
    rows.truncate(limit as usize);
    rows.reverse();
    Ok((rows, more))
}

/// The newest words of the branch that is shown, oldest first: whether they are the owner's, and as they were written. Without what
/// was deleted, is empty, or is still being written.
pub async fn words(lane: &mut UserLane, thread: ThreadId) -> Result<Vec<(MessageId, bool, String)>, AppError> {
    let rows = branch(lane, thread, None, None, WORDS, "UTC").await?;
    let whole = |view: &MessageView| !view.deleted && !view.text.is_empty() && view.status != Some(Status::Running);
    let mut words: Vec<_> =
        rows.into_iter().filter(whole).map(|view| (view.id, view.role == Role::User, view.text)).collect();
    words.reverse();
    Ok(words)
}

/// Messages of a chat that can be taken along from it.
const WORDS: i64 = 50;

/// The message that stands [`BELOW`] another one, or the last one, by the newest of each.
async fn below(lane: &mut UserLane, thread: ThreadId, message: MessageId) -> Result<MessageId, AppError> {
    Ok(sqlx::query_scalar(
        "with recursive down as (
             select m.id, 0 as depth from app.messages m where m.id = $2 and m.thread_id = $1
             union all
             select c.id, down.depth + 1 from down cross join lateral (
                 select x.id from app.messages x where x.parent_id = down.id and x.thread_id = $1
                  order by x.seq desc limit 1) c
              where down.depth < $3
         )
         select d.id from down d order by d.depth desc limit 1",
    )
    .bind(thread)
    .bind(message)
    .bind(BELOW)
    .fetch_one(lane.conn())
    .await?)
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
    time: String,
    day: String,
    model: Option<String>,
    tokens_read: Option<i32>,
    tokens_written: Option<i32>,
}

/// Newest first. Up the tree from the leaf that is shown, a key look-up a message: the page costs the same in a thread of a
/// million: the leaf is found first, in a step of its own, or the planner reads the whole table for it. Siblings are looked up in two halves, since an index finds no row by `is not distinct from`.
async fn branch(
    lane: &mut UserLane,
    thread: ThreadId,
    above: Option<MessageId>,
    at: Option<MessageId>,
    limit: i64,
    zone: &str,
) -> Result<Vec<MessageView>, AppError> {
    let rows: Vec<MessageRow> = sqlx::query_as(
        "with recursive leaf as materialized (
             select case when $4::uuid is not null then $4
                    when $2::uuid is null
                    then coalesce((select t.leaf_id from app.threads t where t.id = $1),
                                  (select x.id from app.messages x where x.thread_id = $1 order by x.seq desc limit 1))
                    else (select x.parent_id from app.messages x where x.id = $2 and x.thread_id = $1) end as id
         ), path as (
             select m.id, m.parent_id, m.seq, m.role, m.client_id, m.content, m.created_at, m.deleted_at
               from leaf l join app.messages m on m.id = l.id and m.thread_id = $1
             union all
             select m.id, m.parent_id, m.seq, m.role, m.client_id, m.content, m.created_at, m.deleted_at
               from path p join app.messages m on m.id = p.parent_id and m.thread_id = $1
         ), page as (select * from path limit $3), here as materialized (
             select z.zone, date_trunc('day', now() at time zone z.zone) as today from (select app.zone($5) as zone) z
         )
         select p.id, p.parent_id, p.seq, p.role, p.client_id, p.deleted_at is not null as deleted,
                case when g.status = 'running' then coalesce(w.text, '') else p.content ->> 'text' end as text,
                coalesce(g.status, p.content ->> 'ended') as status, coalesce(g.why, '') as why, coalesce(w.pieces, 0)::int as pieces,
                s.place, s.siblings, s.previous, s.next, h.up as thumb,
                to_char(l.at, 'HH24:MI') as time,
                coalesce(to_char(l.at, case when l.at >= here.today then null when l.at >= date_trunc('year', here.today) then 'FMDD Mon'
                                   else 'FMDD Mon YYYY' end), '') as day,
                coalesce(g.model, p.content ->> 'model') as model, g.tokens_read, g.tokens_written
           from page p cross join here
          cross join lateral (select p.created_at at time zone here.zone as at) l
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
    .bind(above)
    .bind(limit)
    .bind(at)
    .bind(zone)
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
        facts: Facts {
            time: row.time,
            day: row.day,
            model: row.model.unwrap_or_default(),
            tokens: row.tokens_read.zip(row.tokens_written),
        },
    }
}

// The list.

#[derive(sqlx::FromRow)]
struct Row {
    id: ThreadId,
    title: String,
    active_at: OffsetDateTime,
    answering: bool,
    pinned: bool,
    archived: bool,
    unread: bool,
    folder_id: Option<FolderId>,
    goes: Option<String>,
    day: Date,
    today: Date,
}

fn row(row: Row) -> ThreadRow {
    ThreadRow {
        id: row.id,
        title: row.title,
        at: Place { micros: (row.active_at.unix_timestamp_nanos() / 1000) as i64, id: row.id },
        answering: row.answering,
        pinned: row.pinned,
        archived: row.archived,
        unread: row.unread,
        folder: row.folder_id,
        goes: row.goes,
        group: days::group(row.day, row.today),
    }
}

/// Rows of the list that meet a condition; `$1` is the reader's time zone.
macro_rules! rows {
    ($rest:literal) => {
        concat!(
            "select t.id, t.title, t.active_at, t.pinned, t.archived, t.unread, t.folder_id,
                    exists (select from app.generations g where g.thread_id = t.id and g.status = 'running') as answering,
                    case when t.temporary then
                         to_char((t.active_at + interval '24 hours') at time zone (select app.zone($1)), 'FMDD Mon, HH24:MI') end as goes,
                    (t.active_at at time zone (select app.zone($1)))::date as day,
                    (now() at time zone (select app.zone($1)))::date as today
               from app.threads t where t.deleted_at is null and ",
            $rest
        )
    };
    // Each shelf's condition is word for word that of its index.
    (page $shelf:literal) => {
        concat!(
            rows!($shelf),
            " and (t.active_at, t.id) < (to_timestamp(0) + $3 * interval '1 microsecond', $4) order by t.active_at desc, t.id desc limit $2"
        )
    };
}

/// Before everything: the first page.
const TOP: Place = Place { micros: 253_402_300_799_000_000, id: ThreadId(uuid::Uuid::max()) };

/// The newest threads of a shelf after a place, one more than `limit` if there are more. Without the pinned ones.
pub async fn list(
    lane: &mut UserLane,
    zone: &str,
    shelf: Shelf,
    folder: Option<FolderId>,
    after: Option<Place>,
    limit: i64,
) -> Result<Vec<ThreadRow>, AppError> {
    let query = match (folder, shelf) {
        (Some(_), _) => sqlx::query_as(rows!(page "not t.archived and t.folder_id = $5")),
        (None, Shelf::All) => sqlx::query_as(rows!(page "not t.pinned and not t.archived")),
        (None, Shelf::Archived) => sqlx::query_as(rows!(page "t.archived")),
        (None, Shelf::Unread) => sqlx::query_as(rows!(page "t.unread and not t.archived")),
    };
    let place = after.unwrap_or(TOP);
    let mut query = query.bind(zone).bind(limit + 1).bind(place.micros).bind(place.id);
    if let Some(folder) = folder {
        query = query.bind(folder);
    }
    let rows: Vec<Row> = query.fetch_all(lane.conn()).await?;
    Ok(rows.into_iter().map(row).collect())
}

/// The pinned threads, newest first. All: those that are taken back may be more than can be pinned, and they stand nowhere else.
pub async fn pinned(lane: &mut UserLane, zone: &str) -> Result<Vec<ThreadRow>, AppError> {
    let rows: Vec<Row> = sqlx::query_as(rows!("t.pinned and not t.archived order by t.active_at desc, t.id desc"))
        .bind(zone)
        .fetch_all(lane.conn())
        .await?;
    Ok(rows.into_iter().map(row).collect())
}

/// One line of the list.
pub async fn line(lane: &mut UserLane, id: ThreadId, zone: &str) -> Result<ThreadRow, AppError> {
    Ok(row(sqlx::query_as(rows!("t.id = $2")).bind(zone).bind(id).fetch_one(lane.conn()).await?))
}

/// Threads that were deleted in the last half minute, with their titles: the newest few.
pub async fn deleted(lane: &mut UserLane) -> Result<Vec<(ThreadId, String)>, AppError> {
    Ok(sqlx::query_as(
        "select t.id, t.title from app.threads t where t.deleted_at > now() - interval '30 seconds' order by t.deleted_at desc limit 10",
    )
    .fetch_all(lane.conn())
    .await?)
}

/// Where a thread begins: in a folder, or as one that goes by itself.
pub async fn settle(
    lane: &mut UserLane,
    thread: ThreadId,
    temporary: bool,
    folder: Option<FolderId>,
) -> Result<(), AppError> {
    // A folder that is not the caller's is none: it may have been deleted since the page was loaded.
    sqlx::query("update app.threads set temporary = $2, folder_id = (select f.id from app.folders f where f.id = $3) where id = $1")
        .bind(thread)
        .bind(temporary)
        .bind(folder)
        .execute(lane.conn())
        .await?;
    Ok(())
}

/// Does one thing with many threads. Those that are not there, or not the caller's, are passed over; `NotFound` when that is
/// all of them.
pub async fn file(
    lane: &mut UserLane,
    threads: &[ThreadId],
    act: Act,
    folder: Option<FolderId>,
) -> Result<(), AppError> {
    if act == Act::Delete {
        stop_all(lane, threads).await?;
    }
    // In one order, so that two of these at once do not wait for each other. Taken back within half a minute, and a little for
    // whoever presses at its end.
    let there: Vec<ThreadId> = sqlx::query_scalar(
        "select t.id from app.threads t where t.id = any($1) and (t.deleted_at is not null) = $2
            and (not $2 or t.deleted_at > now() - interval '40 seconds') order by t.id for no key update",
    )
    .bind(threads)
    .bind(act == Act::Restore)
    .fetch_all(lane.conn())
    .await?;
    found(there.len() as u64)?;
    let change = match act {
        Act::Pin => {
            room_for_pins(lane, &there).await?;
            sqlx::query("update app.threads set pinned = true, archived = false where id = any($1)")
        }
        Act::Unpin => sqlx::query("update app.threads set pinned = false where id = any($1)"),
        Act::Archive => sqlx::query("update app.threads set archived = true, pinned = false where id = any($1)"),
        Act::Unarchive => sqlx::query("update app.threads set archived = false where id = any($1)"),
        Act::Read => sqlx::query("update app.threads set unread = false where id = any($1) and unread"),
        Act::Unread => sqlx::query("update app.threads set unread = true where id = any($1) and not unread"),
        Act::Delete => sqlx::query("update app.threads set deleted_at = clock_timestamp() where id = any($1)"),
        Act::Restore => sqlx::query("update app.threads set deleted_at = null where id = any($1)"),
        Act::Move => sqlx::query("update app.threads set folder_id = $2 where id = any($1)"),
    };
    let change = change.bind(&there);
    let done = if act == Act::Move { change.bind(folder) } else { change }.execute(lane.conn()).await;
    match done {
        Ok(_) => Ok(()),
        Err(error) if error.as_database_error().and_then(|db| db.constraint()) == Some("threads_folder_fkey") => {
            Err(AppError::NotFound)
        }
        Err(error) => Err(error.into()),
    }
}

/// Asks the writers of these threads' answers to stop, and locks them in the order in which a writer does: its generation
/// before its thread. The other way round, the two deadlock; so do two of these, unless both begin with the lowest.
async fn stop_all(lane: &mut UserLane, threads: &[ThreadId]) -> Result<(), AppError> {
    sqlx::query(
        "with held as materialized (
             select g.id from app.generations g where g.thread_id = any($1) and g.status = 'running' and g.stop_asked_at is null
              order by g.id for no key update
         )
         update app.generations g set stop_asked_at = now() from held h where g.id = h.id",
    )
    .bind(threads)
    .execute(lane.conn())
    .await?;
    Ok(())
}

async fn room_for_pins(lane: &mut UserLane, threads: &[ThreadId]) -> Result<(), AppError> {
    let (others, unpinned): (i64, i64) = sqlx::query_as(
        "select (select count(*) from app.threads t
                  where t.pinned and not t.archived and t.deleted_at is null and t.id <> all($1)),
                (select count(*) from app.threads t where t.id = any($1) and not (t.pinned and not t.archived))",
    )
    .bind(threads)
    .fetch_one(lane.conn())
    .await?;
    // Where they are pinned already nothing is added, also to more than there is room for.
    if unpinned > 0 && others + threads.len() as i64 > MANY as i64 {
        return Err(AppError::Conflict { what: "200 chats can be pinned. Unpin some first.".into() });
    }
    Ok(())
}

/// A chat that a search found, before its hit is cut out.
#[derive(sqlx::FromRow)]
pub struct Hit {
    pub thread: ThreadId,
    pub message: Option<MessageId>,
    pub title: String,
    pub archived: bool,
    pub text: String,
    pub day: String,
}

/// The threads that have the words, best first.
pub async fn search(lane: &mut UserLane, zone: &str, query: &str, limit: i32) -> Result<Vec<Hit>, AppError> {
    Ok(sqlx::query_as(
        "select s.thread_id as thread, s.message_id as message, t.title, t.archived,
                coalesce(left(m.content ->> 'text', 200000), '') as text,
                to_char(coalesce(m.created_at, t.active_at) at time zone (select app.zone($3)), 'FMDD Mon YYYY') as day
           from app.search_threads($1, $2) with ordinality s(thread_id, in_title, message_id, n)
           join app.threads t on t.id = s.thread_id
           left join app.messages m on m.id = s.message_id and m.thread_id = s.thread_id
          order by s.n",
    )
    .bind(query)
    .bind(limit)
    .bind(zone)
    .fetch_all(lane.conn())
    .await?)
}

/// Takes away a thread that was deleted a minute ago or, temporary, has had its day; gives how many. With all that was said in
/// it, which may take longer than a request may.
pub async fn sweep(lane: &mut ServiceLane) -> Result<i32, AppError> {
    sqlx::query("select set_config('statement_timeout', '30min', true)").execute(lane.conn()).await?;
    Ok(sqlx::query_scalar("select app.sweep_threads()").fetch_one(lane.conn()).await?)
}
