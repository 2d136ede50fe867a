use super::model::{Reply, filled_in};
use crate::{
    error::AppError,
    server::lanes::UserLane,
    types::{ConversationId, ConversationStatus, ReplyId},
};

/// Words that are sent often, by name.
pub async fn replies(lane: &mut UserLane) -> Result<Vec<Reply>, AppError> {
    type Row = (ReplyId, String, String, Vec<String>, Option<i16>, Option<ConversationStatus>, String);
    let rows: Vec<Row> = sqlx::query_as(
        "select x.id, x.name, x.text, x.labels, x.priority, nullif(x.next, ''),
                md5(jsonb_build_array(x.text, x.labels, x.priority, x.next)::text)
           from app.replies x order by x.name limit 200",
    )
    .fetch_all(lane.conn())
    .await?;
    let shown = |(id, name, text, labels, priority, next, mark)| Reply {
        id,
        name,
        text,
        labels,
        priority,
        next,
        mark,
        client: None,
    };
    Ok(rows.into_iter().map(shown).collect())
}

/// One of them, as it is said in a conversation: with names filled in; and what the conversation has by now.
pub async fn reply_for(
    lane: &mut UserLane,
    reply: ReplyId,
    id: ConversationId,
) -> Result<(Reply, String, i16, Vec<String>), AppError> {
    type Row = (String, String, i16, Vec<String>, String, String);
    let (name, subject, priority, labels, desk, me): Row = sqlx::query_as(
        "select t.customer_name, t.subject, t.priority, t.labels, coalesce((select d.name from app.desks d), ''),
                app.my_name(t.workspace_id)
           from app.conversations t where t.id = $1",
    )
    .bind(id)
    .fetch_one(lane.conn())
    .await?;
    let found = replies(lane).await?.into_iter().find(|r| r.id == reply).ok_or(AppError::NotFound)?;
    let text = filled_in(&found.text, &name, &me, &desk);
    Ok((Reply { text, ..found }, subject, priority, labels))
}

/// Keeps words, and what is done besides, under a name; what was kept there is replaced.
pub async fn put_reply(lane: &mut UserLane, of: Option<ReplyId>, reply: &Reply) -> Result<(), AppError> {
    let text = match of {
        Some(_) => {
            "update app.replies set name = $1, text = $2, labels = $3, priority = $4, next = coalesce($5, '') where id = $6"
        }
        None => {
            "insert into app.replies (name, text, labels, priority, next) select $1, $2, $3, $4, coalesce($5, '') where $6::uuid is null"
        }
    };
    let done = sqlx::query(text)
        .bind(&reply.name)
        .bind(&reply.text)
        .bind(&reply.labels)
        .bind(reply.priority)
        .bind(reply.next)
        .bind(of)
        .execute(lane.conn())
        .await
        .map_err(|error| match error.as_database_error().and_then(|db| db.constraint()) {
            Some("replies_workspace_id_name_key") => AppError::invalid("name", "Another reply has this name."),
            _ => error.into(),
        })?;
    if done.rows_affected() > 0 { Ok(()) } else { Err(AppError::NotFound) }
}

pub async fn remove_reply(lane: &mut UserLane, reply: ReplyId) -> Result<(), AppError> {
    let done = sqlx::query("delete from app.replies where id = $1").bind(reply).execute(lane.conn()).await?;
    if done.rows_affected() > 0 { Ok(()) } else { Err(AppError::NotFound) }
}
