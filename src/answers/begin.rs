use super::{
    answerer::{Metadata, Said, Talk, Turn},
    run, sql,
};
use crate::{
    error::AppError,
    folders,
    server::{db_error::internal, lanes::UserLane, state::AppState},
    threads::{self, model::Posted},
};

/// Messages that an answerer is shown.
const HISTORY: i64 = 100;

/// Commits a message that was posted and begins its answer. The history is read in the lane that posted it, so that nothing
/// goes to the answerer that the caller may not see. `new` is false for a message that was sent again: its answer is under
/// way already.
pub async fn begin(state: &AppState, lane: UserLane, posted: &Posted, new: bool) -> Result<(), AppError> {
    go_on(state, lane, posted, new, String::new()).await
}

/// The same for an answer whose beginning is there.
pub async fn go_on(
    state: &AppState,
    mut lane: UserLane,
    posted: &Posted,
    new: bool,
    begun: String,
) -> Result<(), AppError> {
    // Before the commit, so that a message beyond the quota is not stored and stays with whoever wrote it. One that is sent
    // again is counted already.
    if new && state.config.quota > 0 {
        sql::spend(&mut lane, state.config.quota).await?;
    }
    let generation = posted.generation.filter(|_| new);
    let turn = match generation {
        Some(_) => Some(turn(state, &mut lane, posted, begun).await?),
        None => None,
    };
    let task = state.clone();
    // A task of its own: whoever closes the window in this moment must not leave a message behind that nobody answers.
    let begun = state.tasks.spawn(async move {
        lane.commit().await?;
        if let (Some(generation), Some(turn)) = (generation, turn) {
            task.hub.wake();
            run::start(&task, generation, turn);
        }
        Ok(())
    });
    begun.await.map_err(internal)?
}

async fn turn(state: &AppState, lane: &mut UserLane, posted: &Posted, begun: String) -> Result<Turn, AppError> {
    let metadata = Metadata { user_id: lane.user(), talk: Talk::Thread(posted.thread) };
    let said = sql::history(lane, posted.thread, posted.answer, HISTORY).await?;
    let (model, own) = threads::sql::options(lane, posted.thread).await?;
    // The folder's first: a thread's own may narrow them.
    let mut instructions = folders::sql::instructions(lane, posted.thread).await?;
    if !instructions.is_empty() && !own.is_empty() {
        instructions.push_str("\n\n");
    }
    instructions.push_str(&own);
    let history = said
        .into_iter()
        // An answer that failed before its first word says nothing, and some servers refuse an empty message.
        .filter(|(_, text)| !text.is_empty())
        .map(|(role, text)| Said { role, text })
        .collect();
    // One that was chosen when there were others.
    let known = state.answerer.models().contains(&model);
    let model = if known { model } else { state.answerer.model().to_owned() };
    Ok(Turn { history, metadata, model, instructions, begun, material: None })
}
