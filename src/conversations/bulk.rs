//! One thing done with many conversations: each in a lane of its own, so that one that can't be changed stops no other.

use super::{
    model::{Change, Changed, Held, labels},
    sql,
};
use crate::{
    error::AppError,
    server::lanes,
    types::{ConversationId, ConversationStatus},
};

/// Changes one. `seen`: the newest message of it that was shown. What could not be done is said in its line: what was done with those
/// before it is told in any case. An error: whoever asks is signed out.
pub async fn change(id: ConversationId, seen: i64, change: Change, added: &[String]) -> Result<Changed, AppError> {
    let mut customer = "This conversation".to_owned();
    match one(id, seen, change, added, &mut customer).await {
        Ok(()) => Ok(Changed { id, customer, problem: None }),
        Err(AppError::Unauthenticated) => Err(AppError::Unauthenticated),
        Err(AppError::NotFound) => {
            Ok(Changed { id, customer, problem: Some("There is nobody there any more.".to_owned()) })
        }
        Err(error) => Ok(Changed { id, customer, problem: Some(error.to_string()) }),
    }
}

async fn one(
    id: ConversationId,
    seen: i64,
    change: Change,
    added: &[String],
    customer: &mut String,
) -> Result<(), AppError> {
    let mut lane = lanes::acting().await?;
    let (called, priority, subject, mut has) = sql::head(&mut lane, id).await?;
    *customer = called;
    let moved = |done: Result<Result<bool, Held>, AppError>| done?.map(drop).map_err(|held| held.told());
    match change {
        Change::Resolve => moved(sql::set(&mut lane, id, ConversationStatus::Resolved, None, seen).await)?,
        Change::PutOff => moved(sql::set(&mut lane, id, ConversationStatus::Snoozed, None, seen).await)?,
        Change::GiveBack => moved(sql::set(&mut lane, id, ConversationStatus::Waiting, None, seen).await)?,
        Change::Label => {
            has.extend(added.iter().filter(|label| !has.contains(label)).cloned().collect::<Vec<_>>());
            sql::describe(&mut lane, id, &subject, priority, &labels(&has.join(","))?).await?;
        }
        Change::Urgent => sql::describe(&mut lane, id, &subject, 3, &has).await?,
        Change::Normal => sql::describe(&mut lane, id, &subject, 1, &has).await?,
        Change::Block => {
            sql::block(&mut lane, id, true).await?;
            // Looked at while it is held, and undone: what somebody else has or nobody has read is not ended by a tick.
            if let Some(held) = sql::unseen(&mut lane, id, seen).await? {
                return Err(held.told());
            }
        }
    }
    lane.commit().await
}
