use super::{
    answerer::{Metadata, Said, Turn},
    run, sql,
};
use crate::{
    error::AppError,
    server::{db_error::internal, lanes::UserLane, state::AppState},
    threads::model::Posted,
};

/// Messages that an answerer is shown.
const HISTORY: i64 = 100;

/// Commits a message that was posted and begins its answer. The history is read in the lane that posted it, so that nothing
/// goes to the answerer that the caller may not see. `new` is false for a message that was sent again: its answer is under
/// way already.
pub async fn begin(state: &AppState, mut lane: UserLane, posted: &Posted, new: bool) -> Result<(), AppError> {
    let metadata = Metadata { user_id: lane.user(), thread_id: posted.thread };
    let said = if new { sql::history(&mut lane, posted.thread, posted.answer, HISTORY).await? } else { Vec::new() };
    let history = said
        .into_iter()
        // An answer that failed before its first word says nothing, and some servers refuse an empty message.
        .filter(|(_, text)| !text.is_empty())
        .map(|(role, text)| Said { role, text })
        .collect();
    let generation = posted.generation.filter(|_| new);
    let task = state.clone();
    // A task of its own: whoever closes the window in this moment must not leave a message behind that nobody answers.
    let begun = state.tasks.spawn(async move {
        lane.commit().await?;
        if let Some(generation) = generation {
            task.hub.wake();
            run::start(&task, generation, Turn { history, metadata });
        }
        Ok(())
    });
    begun.await.map_err(internal)?
}
