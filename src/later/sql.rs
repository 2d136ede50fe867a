use super::model::Later;
use crate::{
    conversations::model::Held,
    error::AppError,
    server::lanes::{ServiceLane, UserLane},
    types::{ClientId, ConversationId},
};

/// Keeps an answer for so many seconds from now. `seen` as for an answer that leaves at once. `Some`: why not.
pub async fn keep(
    lane: &mut UserLane,
    conversation: ConversationId,
    client: ClientId,
    text: &str,
    seen: i64,
    seconds: u32,
) -> Result<Option<Held>, AppError> {
    let held: Option<String> = sqlx::query_scalar("select app.answer_later($1, $2, $3, $4, $5)")
        .bind(conversation)
        .bind(client)
        .bind(text)
        .bind(seen)
        .bind(seconds as i32)
        .fetch_one(lane.conn())
        .await
        .map_err(|error| match error.as_database_error().and_then(|db| db.constraint()) {
            Some("later_answers_pkey") => AppError::Conflict {
                what: "This was sent before, in another conversation. Send it as a new message.".into(),
            },
            _ => error.into(),
        })?;
    Ok(held.map(|held| Held::of(&held)))
}

pub async fn take_back(lane: &mut UserLane, answer: ClientId) -> Result<(), AppError> {
    let done =
        sqlx::query("update app.later_answers set taken_back_at = now() where id = $1 and taken_back_at is null")
            .bind(answer)
            .execute(lane.conn())
            .await?;
    if done.rows_affected() > 0 { Ok(()) } else { Err(AppError::NotFound) }
}

/// What is about to be said in a conversation, the next first.
pub async fn of(lane: &mut UserLane, conversation: ConversationId, zone: &str) -> Result<Vec<Later>, AppError> {
    let rows: Vec<(ClientId, String, bool, String, String, i64, bool)> = sqlx::query_as(
        "select l.id, coalesce(a.name, m.name, ''), l.user_id = (select auth.uid()), l.text,
                to_char(l.send_at at time zone (select app.zone($2)),
                        case when (l.send_at at time zone (select app.zone($2)))::date = (now() at time zone (select app.zone($2)))::date
                             then 'HH24:MI' else 'FMDD Mon, HH24:MI' end),
                ceil(extract(epoch from l.send_at - now()))::bigint,
                exists (select from app.conversation_messages x where x.conversation_id = l.conversation_id and x.seq > l.seen
                          and x.role <> 'system' and (x.author_id is distinct from l.user_id or x.content ? 'from') and not x.content ? 'draft')
           from app.later_answers l
           left join app.agents a on a.user_id = l.user_id
           left join app.workspace_members m on m.user_id = l.user_id
          where l.conversation_id = $1 and l.taken_back_at is null order by l.send_at, l.id limit 20",
    )
    .bind(conversation)
    .bind(zone)
    .fetch_all(lane.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|(id, author, mine, text, at, left, stale)| Later { id, author, mine, text, at, left, stale })
        .collect())
}

/// Says what is due; how much that was.
pub async fn send(lane: &mut ServiceLane) -> Result<i32, AppError> {
    Ok(sqlx::query_scalar("select app.send_later_answers(50)").fetch_one(lane.conn()).await?)
}
