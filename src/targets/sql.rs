use super::model::{Figures, Targets};
use crate::{
    error::AppError,
    server::lanes::{ServiceLane, UserLane},
    types::ConversationId,
};

/// What is set at the desk of the lane's workspace; an error where there is none.
pub async fn targets(lane: &mut UserLane) -> Result<Targets, AppError> {
    let (reply, resolve, zone, hours, undo, deals) = sqlx::query_as(
        "select d.reply_minutes, d.resolve_minutes, d.zone, d.hours, d.undo_seconds, d.deals from app.desks d",
    )
    .fetch_one(lane.conn())
    .await?;
    Ok(Targets { reply, resolve, zone, hours, undo, deals })
}

pub async fn set_targets(lane: &mut UserLane, targets: &Targets) -> Result<(), AppError> {
    let done = sqlx::query(
        "update app.desks set reply_minutes = $1, resolve_minutes = $2, zone = $3, hours = $4, undo_seconds = $5, deals = $6",
    )
    .bind(targets.reply)
    .bind(targets.resolve)
    .bind(&targets.zone)
    .bind(&targets.hours)
    .bind(targets.undo)
    .bind(targets.deals)
    .execute(lane.conn())
    .await?;
    if done.rows_affected() > 0 { Ok(()) } else { Err(AppError::NotFound) }
}

/// Mends what is due where a conversation came in the moment in which its desk's targets changed; how many there were.
pub async fn sweep(lane: &mut ServiceLane) -> Result<i32, AppError> {
    Ok(sqlx::query_scalar("select app.sweep_due(100)").fetch_one(lane.conn()).await?)
}

/// For the trail: the caller takes all conversations along.
pub async fn note_file(lane: &mut UserLane) -> Result<(), AppError> {
    sqlx::query("select app.hold_membership(), app.note_file()").execute(lane.conn()).await?;
    Ok(())
}

/// How the desk does, with days as `zone` has them.
pub async fn figures(lane: &mut UserLane, zone: &str) -> Result<Figures, AppError> {
    type Now = (i64, Option<i64>, i64, i64);
    let (waiting, longest, open, late): Now = sqlx::query_as(
        "select count(*) filter (where t.status = 'waiting'),
                extract(epoch from now() - min(t.waiting_since) filter (where t.status = 'waiting'))::bigint,
                count(*), count(*) filter (where t.due_at < now())
           from app.conversations t where t.status in ('bot', 'waiting', 'claimed')",
    )
    .fetch_one(lane.conn())
    .await?;
    let reply: Option<f64> = sqlx::query_scalar(
        "select percentile_cont(0.5) within group (order by t.reply_seconds)
           from app.conversations t where t.first_reply_at > now() - interval '30 days'",
    )
    .fetch_one(lane.conn())
    .await?;
    let (helped, rated): (i64, i64) = sqlx::query_as(
        "select count(*) filter (where t.rating = 1), count(t.rating)
           from app.conversations t where t.resolved_at > now() - interval '30 days'",
    )
    .fetch_one(lane.conn())
    .await?;
    let days = sqlx::query_as(
        "select to_char(d.day, 'FMDD Mon'), count(t.resolved_at)
           from (select ((now() at time zone z.zone)::date - n) as day, z.zone
                   from (select app.zone($1) as zone offset 0) z, generate_series(0, 29) n offset 0) d
           left join app.conversations t
             on t.resolved_at > now() - interval '32 days' and t.resolved_at >= d.day::timestamp at time zone d.zone and t.resolved_at < (d.day + 1)::timestamp at time zone d.zone
          group by d.day order by d.day",
    )
    .bind(zone)
    .fetch_all(lane.conn())
    .await?;
    Ok(Figures { waiting, longest, open, late, reply: reply.map(|seconds| seconds as i64), helped, rated, days })
}

/// A line of the file: as it stands there.
pub type Line = Vec<String>;

/// The names of what a [`Line`] has.
pub const COLUMNS: [&str; 15] = [
    "id",
    "customer",
    "address",
    "channel",
    "status",
    "priority",
    "subject",
    "labels",
    "answered_by",
    "created",
    "first_reply_seconds",
    "resolved",
    "rating",
    "rating_words",
    "messages",
];

/// Conversations after one, in the order of their ids, so many of them.
pub async fn lines(
    lane: &mut UserLane,
    after: Option<ConversationId>,
    most: i64,
) -> Result<Vec<(ConversationId, Line)>, AppError> {
    Ok(sqlx::query_as(
        "select t.id, array[t.id::text, t.customer_name, t.customer_email, t.channel, t.status, (array['low', 'normal', 'high', 'urgent'])[t.priority + 1], t.subject,
                  array_to_string(t.labels, ', '), coalesce((
                    select m.author_name from app.conversation_messages m
                     where m.conversation_id = t.id and m.role = 'agent' order by m.seq desc limit 1), ''), to_char(t.created_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),
                  coalesce(t.reply_seconds::text, ''), coalesce(to_char(t.resolved_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), ''),
                  coalesce(t.rating::text, ''), t.rating_words,
                  (select count(*) from app.conversation_messages m where m.conversation_id = t.id and m.role in ('customer', 'bot', 'agent'))::text]
           from app.conversations t
          where $1::uuid is null or t.id > $1 order by t.id limit $2",
    )
    .bind(after)
    .bind(most)
    .fetch_all(lane.conn())
    .await?)
}
