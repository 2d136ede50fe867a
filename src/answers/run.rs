//! Writing an answer: from the answerer's stream into chunks that are shown once they are committed. The first piece goes
//! at once, the following ones in batches; a stop is heard between two pieces and while nothing comes.

use std::time::Duration;

use futures::StreamExt;
use tokio::time::{Instant, sleep_until};

use super::{
    answerer::{AnswerError, Piece, Turn, Usage},
    sql,
};
use crate::{
    error::AppError,
    server::{lanes::Reason, state::AppState},
    threads::model::KEPT_MAX,
    types::{GenerationId, Status, UserId},
};

/// Pieces that come within this time share one transaction.
const BATCH: Duration = Duration::from_millis(25);
/// The lease is renewed this often while nothing comes; it lapses after ten seconds.
const RENEW: Duration = Duration::from_secs(3);

/// Writes the answer in the background. The request that asked may end; the server waits for it when it stops.
pub fn start(state: &AppState, generation: GenerationId, turn: Turn) {
    let state = state.clone();
    state.tasks.clone().spawn(async move { write(&state, generation, turn).await });
}

/// Writes the answer to its end.
pub async fn write(state: &AppState, generation: GenerationId, turn: Turn) {
    let user = turn.metadata.user_id;
    let mut usage = None;
    let outcome = pieces(state, generation, turn, &mut usage).await;
    state.hub.written(generation);
    let (status, why) = match &outcome {
        Ok(status) => (*status, String::new()),
        Err(Broken::Answerer(error)) => (Status::Failed, error.to_string()),
        // The database refused: the account was closed, or it is away. The lease says the rest.
        Err(Broken::Database(error)) => {
            tracing::warn!(%error, %generation, "an answer could not be written");
            (Status::Interrupted, String::new())
        }
    };
    if let Err(error) = end(state, user, generation, status, &why, usage).await {
        tracing::warn!(%error, %generation, "an answer could not be ended; its lease will lapse");
    }
}

enum Broken {
    Answerer(AnswerError),
    Database(AppError),
}

impl From<AppError> for Broken {
    fn from(error: AppError) -> Self {
        Self::Database(error)
    }
}

async fn pieces(
    state: &AppState,
    generation: GenerationId,
    turn: Turn,
    usage: &mut Option<Usage>,
) -> Result<Status, Broken> {
    let user = turn.metadata.user_id;
    let asked_to_stop = state.hub.writing(generation);
    let mut n = 0;
    let mut waiting = turn.begun.clone();
    let mut written = waiting.len();
    let mut stream = state.answerer.answer(turn);
    let mut due = Instant::now();
    loop {
        let deadline = if waiting.is_empty() { Instant::now() + RENEW } else { due };
        let piece = tokio::select! {
            biased;
            () = asked_to_stop.cancelled() => return Ok(Status::Stopped),
            () = sleep_until(deadline) => {
                if !append(state, user, generation, &mut n, &mut waiting).await? {
                    return Ok(Status::Stopped);
                }
                due = Instant::now() + BATCH;
                continue;
            }
            piece = stream.next() => piece,
        };
        match piece {
            Some(Ok(Piece::Usage(told))) => *usage = Some(told),
            Some(Ok(Piece::Text(text))) => {
                // Postgres keeps no NUL in a text.
                let text = text.replace('\0', "\u{fffd}");
                written += text.len();
                waiting.push_str(&text);
                if written > KEPT_MAX {
                    waiting.truncate(waiting.floor_char_boundary(waiting.len().saturating_sub(written - KEPT_MAX)));
                    append(state, user, generation, &mut n, &mut waiting).await?;
                    return Err(Broken::Answerer(AnswerError::TooLong));
                }
            }
            Some(Err(error)) => {
                append(state, user, generation, &mut n, &mut waiting).await?;
                return Err(Broken::Answerer(error));
            }
            None if written == 0 => return Err(Broken::Answerer(AnswerError::Empty)),
            None => {
                if !waiting.is_empty() && !append(state, user, generation, &mut n, &mut waiting).await? {
                    return Ok(Status::Stopped);
                }
                return Ok(Status::Done);
            }
        }
    }
}

/// One transaction: what waits becomes the next chunk. False: stop.
async fn append(
    state: &AppState,
    user: UserId,
    generation: GenerationId,
    n: &mut i32,
    waiting: &mut String,
) -> Result<bool, AppError> {
    let mut lane = state.lanes.service(Reason::Generation(user)).await?;
    let go_on = sql::append(&mut lane, generation, *n, waiting).await?;
    lane.commit().await?;
    if !waiting.is_empty() {
        state.hub.wake();
        *n += 1;
        waiting.clear();
    }
    Ok(go_on)
}

async fn end(
    state: &AppState,
    user: UserId,
    generation: GenerationId,
    status: Status,
    why: &str,
    usage: Option<Usage>,
) -> Result<(), AppError> {
    let mut lane = state.lanes.service(Reason::Generation(user)).await?;
    sql::finish(&mut lane, generation, status, why, usage).await?;
    lane.commit().await?;
    state.hub.wake();
    Ok(())
}

/// One round: every answer whose lease has lapsed is marked as interrupted, with what had been written of it.
pub async fn sweep(state: &AppState) -> Result<(), AppError> {
    let mut lane = state.lanes.service(Reason::Sweep).await?;
    let lapsed = sql::lapsed(&mut lane).await?;
    lane.commit().await?;
    for (generation, user) in lapsed {
        match end(state, user, generation, Status::Interrupted, "", None).await {
            // A closed account's answer stays as it is: nobody reads it.
            Ok(()) | Err(AppError::Forbidden) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
