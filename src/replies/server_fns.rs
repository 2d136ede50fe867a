use leptos::prelude::*;

use super::model::Reply;
use crate::{
    error::AppError,
    types::{ClientId, ConversationId, ReplyId},
};

/// Words that are sent often, as they are kept.
#[server]
pub async fn list_replies() -> Result<Vec<Reply>, AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::workspace().await?;
    let replies = sql::replies(&mut lane).await?;
    lane.commit().await?;
    Ok(replies)
}

/// Keeps words, and what is done besides, under a name that no other has: new ones, or those of `reply` anew. `priority`: 0 to 3, or
/// nothing. `next`: where the conversation goes then, or nothing.
#[server]
pub async fn put_reply(
    reply: Option<ReplyId>,
    name: String,
    #[server(default)] text: String,
    #[server(default)] labels: String,
    #[server(default)] priority: String,
    #[server(default)] next: String,
) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::server::lanes;
    let kept = model::reply(&name, &text, &labels, &priority, &next)?;
    let mut lane = lanes::changing().await?;
    crate::workspaces::sql::managed(&mut lane).await?;
    sql::put_reply(&mut lane, reply, &kept).await?;
    lane.commit().await
}

#[server]
pub async fn remove_reply(reply: ReplyId) -> Result<(), AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::changing().await?;
    crate::workspaces::sql::managed(&mut lane).await?;
    sql::remove_reply(&mut lane, reply).await?;
    lane.commit().await
}

/// Says words that are kept, and does what is kept with them, all or nothing: labels, how urgent it is, where it goes. `seen` as for
/// an answer; `mark`: which form of the reply was on screen; `client`: as it stood there. Doing the same twice to what was seen says it
/// once, and not at all if it was taken back in between.
#[server]
pub async fn run_reply(
    conversation: ConversationId,
    reply: ReplyId,
    #[server(default)] seen: i64,
    mark: String,
    client: Option<ClientId>,
) -> Result<(), AppError> {
    use super::sql;
    use crate::{
        conversations::{self, model},
        later,
        server::{lanes, state},
    };
    let mut lane = lanes::acting().await?;
    let (reply, subject, priority, mut labels) = sql::reply_for(&mut lane, reply, conversation).await?;
    if reply.mark != mark {
        return Err(AppError::Conflict { what: "This saved reply has been changed. Read it, then go on.".into() });
    }
    let client = match client {
        Some(client) => client,
        None => {
            let turn = conversations::sql::turn(&mut lane, conversation, seen).await?;
            model::client_of(conversation, reply.id.0, turn)
        }
    };
    let mut held = None;
    if !reply.text.is_empty() {
        // What goes somewhere else is said first: a customer does not read that it is resolved before they read why.
        let wait = if reply.next.is_some() { 0 } else { conversations::sql::undo(&mut lane).await? };
        if wait > 0 {
            held = later::sql::keep(&mut lane, conversation, client, &reply.text, seen, wait).await?;
        } else {
            match conversations::sql::answer(&mut lane, conversation, client, &reply.text, seen, false).await? {
                Ok(_) => {}
                Err(why) => held = Some(why),
            }
        }
    }
    if held.is_none() && (!reply.labels.is_empty() || reply.priority.is_some()) {
        labels.extend(reply.labels.into_iter().filter(|label| !labels.contains(label)).collect::<Vec<_>>());
        let labels = model::labels(&labels.join(","))?;
        conversations::sql::describe(&mut lane, conversation, &subject, reply.priority.unwrap_or(priority), &labels)
            .await?;
    }
    if let (None, Some(next)) = (held, reply.next) {
        held = conversations::sql::set(&mut lane, conversation, next, None, seen).await?.err();
    }
    // Half of it is none of it.
    if let Some(held) = held {
        return Err(held.told());
    }
    conversations::sql::look(&mut lane, conversation, seen, Some(false)).await?;
    lane.commit().await?;
    let state = state::current()?;
    state.hub.wake();
    state.due.notify_one();
    Ok(())
}
