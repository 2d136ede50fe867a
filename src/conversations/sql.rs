use super::model::{
    COUNT_MAX, Colleague, Conversation, Counts, Desk, Held, MESSAGES_PAGE, QUEUE_PAGE, Queue, QueueRow, Said, View,
    WidgetKey, customer,
};
use crate::{
    error::AppError,
    live,
    server::lanes::{ServiceLane, UserLane},
    types::{ClientId, ConversationId, ConversationRole, ConversationStatus, KeyId, MemberId, MessageId, UserId},
    workspaces::model::{bad_cursor, cursor, place_of},
};

type Row = (
    ConversationId,
    String,
    String,
    Option<String>,
    ConversationStatus,
    i16,
    Option<i64>,
    Option<String>,
    bool,
    String,
);

/// Those of a view, by what was said last. One text for each, so that each is asked of its own index.
macro_rules! listed {
    ($which:literal) => {
        concat!(
            "select t.id, t.customer_name, t.customer_email, said.text, t.status, t.priority,
                    extract(epoch from now() - t.waiting_since)::bigint, a.name, coalesce(t.claimed_by = (select auth.uid()), false),
                    (extract(epoch from t.active_at) * 1000000)::bigint::text
               from app.conversations t
               left join app.agents a on a.user_id = t.claimed_by
               left join lateral (
                 select left(m.content ->> 'text', 160) as text from app.conversation_messages m
                  where m.conversation_id = t.id and m.role in ('customer', 'bot', 'agent') order by m.seq desc limit 1) said on true
              where ",
            $which,
            " and ($1::bigint is null or (t.active_at, t.id) < (to_timestamp($1::float8 / 1000000), $2))
              order by t.active_at desc, t.id desc limit $3"
        )
    };
}

/// A page of a view, with the counts of all of them. Those that wait come in the order in which they are taken, the others by
/// what was said last.
pub async fn queue(lane: &mut UserLane, view: View, after: Option<&str>) -> Result<Queue, AppError> {
    let pos = live::sql::cursor(lane, true).await?.pos;
    let (key, id) = place_of::<ConversationId>(after)?;
    let mut rows: Vec<Row> = if view == View::Waiting {
        let (priority, since) =
            match key.as_deref().map(|key| key.split_once(':').ok_or_else(bad_cursor)).transpose()? {
                Some((priority, since)) => (
                    Some(priority.parse::<i16>().map_err(|_| bad_cursor())?),
                    Some(since.parse::<i64>().map_err(|_| bad_cursor())?),
                ),
                None => (None, None),
            };
        sqlx::query_as(
            "select t.id, t.customer_name, t.customer_email, said.text, t.status, t.priority,
                    extract(epoch from now() - t.waiting_since)::bigint, null::text, false,
                    t.priority || ':' || (extract(epoch from t.waiting_since) * 1000000)::bigint
               from app.conversations t
               left join lateral (
                 select left(m.content ->> 'text', 160) as text from app.conversation_messages m
                  where m.conversation_id = t.id and m.role in ('customer', 'bot', 'agent') order by m.seq desc limit 1) said on true
              where t.status = 'waiting'
                and ($1::smallint is null or t.priority < $1
                     or (t.priority = $1 and (t.waiting_since, t.id) > (to_timestamp($2::float8 / 1000000), $3)))
              order by t.priority desc, t.waiting_since, t.id limit $4",
        )
        .bind(priority)
        .bind(since)
        .bind(id)
        .bind(QUEUE_PAGE as i64 + 1)
        .fetch_all(lane.conn())
        .await?
    } else {
        let before = key.map(|key| key.parse::<i64>().map_err(|_| bad_cursor())).transpose()?;
        let text = match view {
            View::Mine => listed!("t.claimed_by = (select auth.uid())"),
            View::Snoozed => listed!("t.status = 'snoozed'"),
            View::Resolved => listed!("t.status = 'resolved'"),
            _ => listed!("t.status in ('bot', 'waiting', 'claimed')"),
        };
        sqlx::query_as(text).bind(before).bind(id).bind(QUEUE_PAGE as i64 + 1).fetch_all(lane.conn()).await?
    };
    let more = rows.len() > QUEUE_PAGE;
    rows.truncate(QUEUE_PAGE);
    let next = rows.last().filter(|_| more).map(|row| cursor(&row.9, row.0));
    let row = |(id, name, email, said, status, priority, waiting, agent, mine, _): Row| QueueRow {
        id,
        customer: customer(&name, &email),
        said: said.unwrap_or_default(),
        status,
        priority,
        waiting,
        agent,
        mine,
    };
    let (counts, open, agent) = counts(lane).await?;
    Ok(Queue { rows: rows.into_iter().map(row).collect(), counts, next, open, agent, pos })
}

/// How many there are in each view, whether there is a desk, and whether the caller answers there.
async fn counts(lane: &mut UserLane) -> Result<(Counts, bool, bool), AppError> {
    let (mine, waiting, open, snoozed, desk, agent) = sqlx::query_as(
        "select (select count(*) from app.conversations t where t.claimed_by = (select auth.uid())),
                (select count(*) from (select from app.conversations t where t.status = 'waiting' limit $1) few),
                (select count(*) from (select from app.conversations t where t.status in ('bot', 'waiting', 'claimed') limit $1) few),
                (select count(*) from (select from app.conversations t where t.status = 'snoozed' limit $1) few),
                exists (select from app.desks d),
                exists (select from app.agents a where a.user_id = (select auth.uid()))",
    )
    .bind(COUNT_MAX)
    .fetch_one(lane.conn())
    .await?;
    Ok((Counts { mine, waiting, open, snoozed }, desk, agent))
}

/// A conversation with its newest messages, or those before one.
pub async fn conversation(
    lane: &mut UserLane,
    id: ConversationId,
    before: Option<i64>,
    zone: &str,
) -> Result<Conversation, AppError> {
    let (name, email, status, agent, mine, blocked): (String, String, ConversationStatus, Option<String>, Option<bool>, bool) =
        sqlx::query_as(
            "select t.customer_name, t.customer_email, t.status, coalesce(a.name, m.name, ''), t.claimed_by = (select auth.uid()),
                    exists (select from app.visitors v where v.id = t.visitor_id and v.blocked_at is not null)
               from app.conversations t
               left join app.agents a on a.user_id = t.claimed_by
               left join app.workspace_members m on m.user_id = t.claimed_by
              where t.id = $1",
        )
        .bind(id)
        .fetch_one(lane.conn())
        .await?;
    let mut messages: Vec<Said> = sqlx::query_as(
        "select m.id, m.seq, m.role, m.author_name, m.content ->> 'text',
                to_char(m.created_at at time zone (select app.zone($3)),
                        case when (m.created_at at time zone (select app.zone($3)))::date = (now() at time zone (select app.zone($3)))::date then 'HH24:MI' else 'FMDD Mon, HH24:MI' end), m.author_id = (select auth.uid())
           from app.conversation_messages m
          where m.conversation_id = $1 and ($2::bigint is null or m.seq < $2) order by m.seq desc limit $4",
    )
    .bind(id)
    .bind(before)
    .bind(zone)
    .bind(MESSAGES_PAGE)
    .fetch_all(lane.conn())
    .await?
    .into_iter()
    .map(|(id, seq, role, author, text, at, mine): (MessageId, i64, ConversationRole, String, String, String, Option<bool>)| Said {
        id,
        seq,
        role,
        author,
        text,
        at,
        mine: mine.unwrap_or_default(),
    })
    .collect();
    let seen = messages.first().map_or(0, |message| message.seq);
    messages.reverse();
    let earlier = messages.first().map(|message| message.seq).filter(|seq| *seq > 1);
    let colleagues = colleagues(lane).await?;
    let (customer, mine) = (customer(&name, &email), mine.unwrap_or_default());
    let agent = agent.filter(|_| status == ConversationStatus::Claimed);
    Ok(Conversation { id, customer, email, status, agent, mine, blocked, messages, earlier, seen, colleagues })
}

/// Who answers here, by name.
async fn colleagues(lane: &mut UserLane) -> Result<Vec<Colleague>, AppError> {
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

/// Takes this one. `Some`: who has it already.
pub async fn take(lane: &mut UserLane, id: ConversationId) -> Result<Option<UserId>, AppError> {
    Ok(sqlx::query_scalar("select app.take_conversation($1)").bind(id).fetch_one(lane.conn()).await?)
}

/// Takes the one that has waited longest among the most urgent.
pub async fn take_next(lane: &mut UserLane) -> Result<Option<ConversationId>, AppError> {
    Ok(sqlx::query_scalar("select app.take_next()").fetch_one(lane.conn()).await?)
}

/// Sends an answer, or keeps a note. `seen` is the newest message that its writer had before them.
pub async fn answer(
    lane: &mut UserLane,
    id: ConversationId,
    client: ClientId,
    text: &str,
    seen: i64,
    note: bool,
) -> Result<Result<MessageId, Held>, AppError> {
    let (stored, held): (Option<MessageId>, Option<String>) =
        sqlx::query_as("select message_id, held from app.answer_conversation($1, $2, $3, $4, $5)")
            .bind(id)
            .bind(client)
            .bind(text)
            .bind(seen)
            .bind(note)
            .fetch_one(lane.conn())
            .await?;
    Ok(stored.ok_or_else(|| Held::of(held.as_deref().unwrap_or_default())))
}

/// Resolves it, puts it off for some seconds or until a reply, or gives it back. `Some`: why not. `seen` as for an answer.
pub async fn set(
    lane: &mut UserLane,
    id: ConversationId,
    status: ConversationStatus,
    seconds: Option<f64>,
    seen: i64,
) -> Result<Option<Held>, AppError> {
    let held: Option<String> =
        sqlx::query_scalar("select app.set_conversation($1, $2, now() + make_interval(secs => $3), $4)")
            .bind(id)
            .bind(status)
            .bind(seconds)
            .bind(seen)
            .fetch_one(lane.conn())
            .await?;
    Ok(held.map(|held| Held::of(&held)))
}

pub async fn hand(lane: &mut UserLane, id: ConversationId, member: MemberId) -> Result<(), AppError> {
    sqlx::query("select app.hand_conversation($1, $2)").bind(id).bind(member).execute(lane.conn()).await?;
    Ok(())
}

/// The caller is at the desk: what they have stays theirs for a while longer.
pub async fn here(lane: &mut UserLane) -> Result<(), AppError> {
    sqlx::query("select app.hold_agent()").execute(lane.conn()).await?;
    Ok(())
}

/// Shuts the customer of a conversation out, or lets them in again. For agents.
pub async fn block(lane: &mut UserLane, id: ConversationId, blocked: bool) -> Result<(), AppError> {
    here(lane).await?;
    let done = sqlx::query(
        "update app.visitors set blocked_at = case when $2 then now() end
          where id = (select t.visitor_id from app.conversations t where t.id = $1)",
    )
    .bind(id)
    .bind(blocked)
    .execute(lane.conn())
    .await?;
    if done.rows_affected() > 0 { Ok(()) } else { Err(AppError::NotFound) }
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
    Ok(Some(Desk { name, welcome, agents, keys, origin: origin.to_owned(), others }))
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

pub async fn make_key(lane: &mut UserLane, name: &str, origins: &[String]) -> Result<(), AppError> {
    sqlx::query("insert into app.widget_keys (name, origins) values ($1, $2)")
        .bind(name)
        .bind(origins)
        .execute(lane.conn())
        .await?;
    Ok(())
}

pub async fn remove_key(lane: &mut UserLane, key: KeyId) -> Result<(), AppError> {
    let done = sqlx::query("delete from app.widget_keys where id = $1").bind(key).execute(lane.conn()).await?;
    if done.rows_affected() > 0 { Ok(()) } else { Err(AppError::NotFound) }
}

/// Gives back what lapsed, brings back what was put off until now, forgets visitors who never said anything; how many there were.
pub async fn sweep(lane: &mut ServiceLane) -> Result<i32, AppError> {
    Ok(sqlx::query_scalar("select app.sweep_claims(100) + app.sweep_snoozed(100) + app.sweep_visitors(100)")
        .fetch_one(lane.conn())
        .await?)
}
