use serde::Deserialize;
use serde_json::{Map, Value};
use sqlx::types::{
    Json,
    time::{Date, PrimitiveDateTime, Time},
};

use super::{
    chain::{Label, Link},
    model::{Actor, EVENTS_PAGE, Event, EventPage, Wanted, Who},
};
use crate::{
    error::AppError,
    server::lanes::{ServiceLane, UserLane},
    types::ProjectId,
};

/// What the screens read of an event's body.
#[derive(Deserialize)]
struct Body {
    kind: String,
    by: String,
    actor: Option<uuid::Uuid>,
    person: Option<uuid::Uuid>,
    person_hash: Option<String>,
    project: Option<ProjectId>,
    project_name: Option<String>,
    old: Map<String, Value>,
    new: Map<String, Value>,
}

/// A page of the trail that the lane's caller may read, the newest first. `Forbidden` where they may read none of it.
pub async fn events(lane: &mut UserLane, wanted: &Wanted, zone: &str) -> Result<EventPage, AppError> {
    let may: bool = sqlx::query_scalar(
        "select (select app.managed_org()) is not null or coalesce($1 = any((select app.managed_projects())::uuid[]), false)",
    )
    .bind(wanted.project)
    .fetch_one(lane.conn())
    .await?;
    if !may {
        return Err(AppError::Forbidden);
    }
    let mut rows: Vec<EventRow> = sqlx::query_as(
        "select e.seq, to_char(to_timestamp(e.at / 1000000.0) at time zone z.zone, 'FMDD Mon YYYY, HH24:MI:SS'), e.body::json, a.data::json, p.data::json
           from (select app.zone($1) as zone) z
          cross join app.audit_events e
           left join app.audit_people a on a.workspace_id = e.workspace_id and a.seq = e.seq and a.side = 'actor'
           left join app.audit_people p on p.workspace_id = e.workspace_id and p.seq = e.seq and p.side = 'person'
          where ($2 = '' or split_part(e.kind, '.', 1) = $2)
            and ($3::uuid is null or e.project_id = $3)
            and ($4 = '' or e.seq in (select x.seq from app.audit_people x where x.email = $4
                                       or x.about in (select y.about from app.audit_people y where y.email = $4)))
            and ($5::timestamp is null or e.at >= extract(epoch from $5 at time zone z.zone) * 1000000)
            and ($6::timestamp is null or e.at < extract(epoch from ($6 + interval '1 day') at time zone z.zone) * 1000000)
            and ($7::bigint is null or e.seq < $7)
          order by e.seq desc limit $8",
    )
    .bind(zone)
    .bind(wanted.about.replace('\0', ""))
    .bind(wanted.project)
    .bind(wanted.person.replace('\0', ""))
    .bind(day("from", &wanted.from)?)
    .bind(day("to", &wanted.to)?)
    .bind(wanted.before)
    .bind(EVENTS_PAGE as i64 + 1)
    .fetch_all(lane.conn())
    .await?;
    let more = rows.len() > EVENTS_PAGE;
    rows.truncate(EVENTS_PAGE);
    let next = rows.last().filter(|_| more).map(|row| row.0);
    Ok(EventPage { events: rows.into_iter().map(event).collect(), next })
}

/// Its number, its time, what happened, who did it, and to whom.
type EventRow = (i64, String, Json<Body>, Option<Json<Who>>, Option<Json<Who>>);

fn event((seq, time, Json(body), actor, person): EventRow) -> Event {
    let label = |label: Option<Json<Who>>| label.map(|Json(who)| who).unwrap_or_default();
    let by = match body.by.as_str() {
        "person" => Actor::Person(label(actor)),
        "operator" => Actor::Operator,
        "database" => Actor::Database,
        "stranger" => Actor::Stranger,
        _ => Actor::Server,
    };
    let other = (body.person.is_some() && body.person != body.actor) || body.person_hash.is_some();
    Event {
        seq,
        time,
        kind: body.kind,
        by,
        person: other.then(|| label(person)),
        project: body.project.map(|id| (id, body.project_name.unwrap_or_default())),
        old: body.old,
        new: body.new,
    }
}

/// A day as a form sends it; `None` for none.
fn day(field: &'static str, typed: &str) -> Result<Option<PrimitiveDateTime>, AppError> {
    if typed.is_empty() {
        return Ok(None);
    }
    let bad = || AppError::invalid(field, "A day looks like 2026-01-31.");
    let mut parts = typed.split('-');
    let mut next = || parts.next().and_then(|part| part.parse::<u16>().ok()).ok_or_else(bad);
    let (year, month, day) = (next()?, next()?, next()?);
    let month = u8::try_from(month).ok().and_then(|m| m.try_into().ok()).ok_or_else(bad)?;
    let date = Date::from_calendar_date(i32::from(year.min(9998)), month, u8::try_from(day).map_err(|_| bad())?);
    Ok(Some(PrimitiveDateTime::new(date.map_err(|_| bad())?, Time::MIDNIGHT)))
}

/// Where the trail of the lane's workspace begins, and the workspace's name. `Forbidden` for whoever may not read all of it.
pub async fn beginning(lane: &mut UserLane) -> Result<(Vec<u8>, String), AppError> {
    let row: Option<(Vec<u8>, String)> = sqlx::query_as(
        "select app.audit_beginning(), w.name from app.workspaces w where w.id = (select app.managed_org())",
    )
    .fetch_optional(lane.conn())
    .await?;
    row.ok_or(AppError::Forbidden)
}

type LinkRow = (i64, String, Vec<u8>, Option<Vec<u8>>, Option<String>, Option<Vec<u8>>, Option<String>);

fn link((seq, event, hash, actor_salt, actor, person_salt, person): LinkRow) -> Link {
    let label = |salt: Option<Vec<u8>>, data: Option<String>| salt.zip(data).map(|(salt, data)| Label { salt, data });
    Link { seq, event, hash, actor: label(actor_salt, actor), person: label(person_salt, person) }
}

/// The next links of the trail of the lane's workspace.
pub async fn links(lane: &mut UserLane, after: i64, limit: i64) -> Result<Vec<Link>, AppError> {
    let rows: Vec<LinkRow> = sqlx::query_as(
        "select e.seq, e.body, e.hash, a.salt, a.data, p.salt, p.data from app.audit_events e
           left join app.audit_people a on a.workspace_id = e.workspace_id and a.seq = e.seq and a.side = 'actor'
           left join app.audit_people p on p.workspace_id = e.workspace_id and p.seq = e.seq and p.side = 'person'
          where e.workspace_id = (select app.managed_org()) and e.seq > $1 order by e.seq limit $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(lane.conn())
    .await?;
    Ok(rows.into_iter().map(link).collect())
}

/// A workspace's trail, as the database says that it begins and ends.
#[derive(sqlx::FromRow)]
pub struct Trail {
    pub workspace: uuid::Uuid,
    pub name: String,
    pub begins: Vec<u8>,
    pub seq: i64,
    pub hash: Vec<u8>,
}

/// All trails of the server, in the order of their workspaces, after one of these.
pub async fn trails(lane: &mut ServiceLane, after: Option<uuid::Uuid>, limit: i32) -> Result<Vec<Trail>, AppError> {
    Ok(sqlx::query_as("select c.workspace, c.name, c.begins, c.seq, c.hash from app.audit_chains($1, $2) c")
        .bind(after)
        .bind(limit)
        .fetch_all(lane.conn())
        .await?)
}

/// The next links of one of them.
pub async fn links_of(
    lane: &mut ServiceLane,
    workspace: uuid::Uuid,
    after: i64,
    limit: i32,
) -> Result<Vec<Link>, AppError> {
    let rows: Vec<LinkRow> = sqlx::query_as(
        "select c.seq, c.body, c.hash, c.actor_salt, c.actor, c.person_salt, c.person from app.audit_chain($1, $2, $3) c",
    )
    .bind(workspace)
    .bind(after)
    .bind(limit)
    .fetch_all(lane.conn())
    .await?;
    Ok(rows.into_iter().map(link).collect())
}

/// Hands over what people asked for in vain; the database looks what of it there is.
pub async fn note_misses(lane: &mut ServiceLane, misses: &Value) -> Result<(), AppError> {
    sqlx::query("select app.note_misses($1)").bind(misses).execute(lane.conn()).await?;
    Ok(())
}
