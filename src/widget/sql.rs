use super::model::{LINES_MAX, OwnConversation};
use crate::{
    bot::model::Source,
    conversations::model::Said,
    error::AppError,
    server::lanes::VisitorLane,
    threads::markdown,
    types::{ClientId, ConversationRole, ConversationStatus, MessageId, TopicId},
};

type Row = (MessageId, ConversationRole, String, String, String, ClientId, Option<sqlx::types::Json<Vec<Source>>>);

/// The visitor's conversation, with what was said last.
pub async fn own(lane: &mut VisitorLane, zone: &str) -> Result<OwnConversation, AppError> {
    let status: Option<ConversationStatus> =
        sqlx::query_scalar("select t.status from app.conversations t").fetch_optional(lane.conn()).await?;
    let (name, email, agent, bot, writing, typing, rating, read, elsewhere) = sqlx::query_as(
        "select name, email, agent, coalesce(bot, ''), coalesce(writing, false), app.is_typed_to(),
                (select t.rating > 0 from app.conversations t), app.own_read(), app.goes_on_elsewhere() from app.known_as()",
    )
    .fetch_one(lane.conn())
    .await?;
    // The policy gives the conversation; naming it here as well is what the index needs to give the order.
    let mut lines: Vec<Said> = sqlx::query_as(
        "select m.id, m.role, m.author_name, m.content ->> 'text', to_char(m.created_at at time zone z.zone,
                case when (m.created_at at time zone z.zone)::date = (now() at time zone z.zone)::date then 'HH24:MI' else 'FMDD Mon, HH24:MI' end),
                m.client_id, m.content -> 'sources'
           from (select app.zone($1) as zone offset 0) z cross join app.conversations t
           join app.conversation_messages m on m.conversation_id = t.id and m.workspace_id = t.workspace_id
          order by m.seq desc limit $2",
    )
    .bind(zone)
    .bind(LINES_MAX)
    .fetch_all(lane.conn())
    .await?
    .into_iter()
    .map(|(id, role, author, text, at, client, sources): Row| Said {
        id,
        seq: 0,
        role,
        author,
        html: if role == ConversationRole::Bot { markdown::to_html(&text) } else { markdown::linked(&text) },
        text,
        at,
        mine: role == ConversationRole::Customer,
        client: Some(client).filter(|_| role == ConversationRole::Customer),
        sources: sources.map(|json| json.0).unwrap_or_default(),
        draft: false,
        late: false,
    })
    .collect();
    lines.reverse();
    Ok(OwnConversation { status, lines, name, email, agent, bot, writing, typing, rating, read, elsewhere })
}

pub async fn say(lane: &mut VisitorLane, client: ClientId, text: &str) -> Result<MessageId, AppError> {
    Ok(sqlx::query_scalar("select app.say($1, $2)").bind(client).bind(text).fetch_one(lane.conn()).await?)
}

/// What the customer thought of it. `NotFound` while it is not resolved.
pub async fn rate(lane: &mut VisitorLane, helped: bool, words: &str) -> Result<(), AppError> {
    sqlx::query("select app.rate($1, $2)").bind(if helped { 1 } else { -1 }).bind(words).execute(lane.conn()).await?;
    Ok(())
}

/// From the assistant to people; nothing where people have it already.
pub async fn ask_person(lane: &mut VisitorLane) -> Result<(), AppError> {
    sqlx::query("select app.ask_person()").execute(lane.conn()).await?;
    Ok(())
}

/// `None` leaves what there is.
pub async fn introduce(lane: &mut VisitorLane, name: Option<String>, email: Option<String>) -> Result<(), AppError> {
    sqlx::query("select app.introduce($1, $2)").bind(name).bind(email).execute(lane.conn()).await?;
    Ok(())
}

/// The topics of the visitor's conversation and of its desk; `NotFound` before the first word.
pub async fn topics(lane: &mut VisitorLane) -> Result<(TopicId, TopicId), AppError> {
    let (topic, desk): (Option<TopicId>, TopicId) =
        sqlx::query_as("select topic, desk from app.visitor_topics()").fetch_one(lane.conn()).await?;
    Ok((topic.ok_or(AppError::NotFound)?, desk))
}
