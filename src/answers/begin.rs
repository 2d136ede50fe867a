use super::{
    answerer::{Metadata, Said, Turn},
    run, sql,
};
use crate::{
    error::AppError,
    server::{lanes::UserLane, state::AppState},
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
    lane.commit().await?;
    if let (true, Some(generation)) = (new, posted.generation) {
        state.hub.wake();
        // An answer that failed before its first word says nothing, and some servers refuse an empty message.
        let history =
            said.into_iter().filter(|(_, text)| !text.is_empty()).map(|(role, text)| Said { role, text }).collect();
        run::start(state, generation, Turn { history, metadata });
    }
    Ok(())
}
