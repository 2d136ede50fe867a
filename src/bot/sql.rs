use serde_json::Value;
use uuid::Uuid;

use super::model::{Bot, Source};
use crate::{
    error::AppError,
    server::lanes::{ServiceLane, UserLane},
    types::{ConversationId, ConversationRole, UserId},
};

/// A turn that is owed, and all that it needs.
#[derive(Debug)]
pub struct Owed {
    pub conversation: ConversationId,
    /// The newest message that this answers.
    pub seq: i64,
    /// The first time is 1.
    pub tries: i32,
    pub bot: UserId,
    /// Whether the assistant is switched on.
    pub is_on: bool,
    /// What the desk is called.
    pub desk: String,
    /// Words that are for people.
    pub words: Vec<String>,
    /// Oldest first.
    pub history: Vec<(ConversationRole, String)>,
    /// Id, title and Markdown of what is published.
    pub articles: Vec<(Uuid, String, String)>,
}

/// The oldest turn that nobody writes; `None` when nothing is owed. It is this lease's for 20 seconds.
pub async fn take(lane: &mut ServiceLane, lease: Uuid) -> Result<Option<Owed>, AppError> {
    type Row = (
        Option<ConversationId>,
        Option<i64>,
        Option<i32>,
        Option<UserId>,
        Option<bool>,
        Option<String>,
        Option<Vec<String>>,
        Option<sqlx::types::Json<Vec<(ConversationRole, String)>>>,
        Option<sqlx::types::Json<Vec<(Uuid, String, String)>>>,
    );
    let (conversation, seq, tries, bot, is_on, desk, words, history, articles): Row = sqlx::query_as(
        "select conversation, seq, tries, bot, is_on, desk, words, history, articles from app.take_bot_turn($1)",
    )
    .bind(lease)
    .fetch_one(lane.conn())
    .await?;
    let Some(conversation) = conversation else { return Ok(None) };
    Ok(Some(Owed {
        conversation,
        seq: seq.unwrap_or_default(),
        tries: tries.unwrap_or_default(),
        bot: bot.unwrap_or(UserId(Uuid::nil())),
        is_on: is_on.unwrap_or_default(),
        desk: desk.unwrap_or_default(),
        words: words.unwrap_or_default(),
        history: history.map(|json| json.0).unwrap_or_default(),
        articles: articles.map(|json| json.0).unwrap_or_default(),
    }))
}

/// Whoever writes goes on for so many seconds. False: somebody else writes by now.
pub async fn renew(lane: &mut ServiceLane, owed: &Owed, lease: Uuid, seconds: f64) -> Result<bool, AppError> {
    Ok(sqlx::query_scalar("select app.renew_bot_turn($1, $2, $3)")
        .bind(owed.conversation)
        .bind(lease)
        .bind(seconds)
        .fetch_one(lane.conn())
        .await?)
}

/// Gives back what there is to say, and why it goes to people if it does. The database decides who reads it.
pub async fn finish(
    lane: &mut ServiceLane,
    owed: &Owed,
    lease: Uuid,
    text: &str,
    sources: &[Source],
    hand_over: Option<&str>,
) -> Result<String, AppError> {
    let sources = if sources.is_empty() { None } else { Some(serde_json::to_value(sources).unwrap_or(Value::Null)) };
    Ok(sqlx::query_scalar("select app.finish_bot_turn($1, $2, $3, $4, $5, $6)")
        .bind(owed.conversation)
        .bind(lease)
        .bind(owed.seq)
        .bind(text)
        .bind(sources)
        .bind(hand_over)
        .fetch_one(lane.conn())
        .await?)
}

/// The assistant of the lane's desk; `None` where there is no desk.
pub async fn bot(lane: &mut UserLane) -> Result<Option<Bot>, AppError> {
    let row: Option<(bool, String, Vec<String>)> =
        sqlx::query_as("select d.bot, d.bot_name, d.bot_words from app.desks d").fetch_optional(lane.conn()).await?;
    Ok(row.map(|(on, name, words)| Bot { on, name, words }))
}

pub async fn set(lane: &mut UserLane, bot: &Bot) -> Result<(), AppError> {
    sqlx::query("select app.set_bot($1, $2, $3)")
        .bind(bot.on)
        .bind(&bot.name)
        .bind(&bot.words)
        .execute(lane.conn())
        .await?;
    Ok(())
}
