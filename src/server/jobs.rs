//! What a process does by itself: clearing up, a little at a time, each thing in a lane of its own.

use std::{sync::Arc, time::Duration};

use tokio::sync::{Notify, Semaphore};

use super::{lanes::Reason, misses, state::AppState};
use crate::{
    accounts, answers, audit, bot, conversations, domains, error::AppError, later, live, relay, targets, threads,
    workspaces,
};

/// How often it is looked for answers whose writer died, and for threads whose time is over.
const SWEEP: Duration = Duration::from_secs(2);
/// How often old rows are forgotten.
const FORGET: Duration = Duration::from_secs(60);
/// How often it is looked for what is owed and nobody was told of.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is looked which of the misses are denials.
const DENIALS: Duration = Duration::from_secs(1);
/// Seconds that the feed is kept for clients that come back.
const KEEP_FEED: f64 = 3600.0;

/// Until the server stops. Each by itself: a deletion may take minutes, and an answer whose writer died waits for none.
pub async fn run(state: AppState) {
    tokio::join!(
        every(&state, SWEEP, async |state| answers::run::sweep(state).await),
        every(&state, SWEEP, async |state| sweep_threads(state).await),
        every(&state, SWEEP, async |state| sweep_desks(state).await),
        every(&state, LOOK, async |state| send_later(state).await),
        every(&state, LOOK, async |state| deal(state).await),
        every(&state, FORGET, async |state| mend_due(state).await),
        every(&state, FORGET, async |state| forget(state).await),
        every(&state, DENIALS, async |state| note_misses(state).await),
        every(&state, FORGET, async |state| check_domains(state).await),
        drain(&state, 16, &state.owed, bot::run::take, bot::run::write),
        drain(&state, 8, &state.due, relay::send::take, relay::send::deliver),
        every(&state, FORGET, async |state| relay::send::forget(state).await),
    );
}

/// Does something soon, and then again and again. What fails is logged and tried again.
async fn every(state: &AppState, pause: Duration, job: impl AsyncFn(&AppState) -> Result<(), AppError>) {
    let mut wait = SWEEP;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = state.stopping.cancelled() => return,
        }
        if let Err(error) = job(state).await {
            tracing::warn!(%error, "clearing up");
        }
        wait = pause;
    }
}

/// Does what is owed, so much of it at once: as soon as this process is told, and every second what others left. What fails is left
/// to its lease.
async fn drain<T, F>(
    state: &AppState,
    at_once: usize,
    told: &Notify,
    take: impl AsyncFn(&AppState) -> Result<Option<T>, AppError>,
    work: impl Fn(AppState, T) -> F,
) where
    F: Future<Output = Result<(), AppError>> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(at_once));
    loop {
        let seat = tokio::select! {
            seat = room.clone().acquire_owned() => seat,
            () = state.stopping.cancelled() => return,
        };
        let Ok(seat) = seat else { return };
        match take(state).await {
            Ok(Some(owed)) => {
                let done = work(state.clone(), owed);
                state.tasks.spawn(async move {
                    if let Err(error) = done.await {
                        tracing::warn!(%error, "what was owed; its lease will lapse");
                    }
                    drop(seat);
                });
                continue;
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "looking for what is owed"),
        }
        drop(seat);
        tokio::select! {
            () = told.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
            () = state.stopping.cancelled() => return,
        }
    }
}

/// Hands over what was asked for in vain. What can't be written is kept for the next time.
pub async fn note_misses(state: &AppState) -> Result<(), AppError> {
    let asked = state.misses.take();
    if asked.is_empty() {
        return Ok(());
    }
    let write = async {
        let mut lane = state.lanes.service(Reason::Denials).await?;
        audit::sql::note_misses(&mut lane, &misses::rows(&asked)).await?;
        lane.commit().await
    };
    let outcome = write.await;
    if outcome.is_err() {
        state.misses.put_back(asked);
    }
    outcome
}

/// Threads whose time is over, while there are any, one in a lane.
pub async fn sweep_threads(state: &AppState) -> Result<(), AppError> {
    loop {
        let mut lane = state.lanes.service(Reason::Sweep).await?;
        let gone = threads::sql::sweep(&mut lane).await?;
        lane.commit().await?;
        if gone == 0 {
            return Ok(());
        }
        state.hub.wake();
    }
}

/// Conversations whose agent has gone, and those that were put off until now, while there are any.
pub async fn sweep_desks(state: &AppState) -> Result<(), AppError> {
    loop {
        let mut lane = state.lanes.service(Reason::Sweep).await?;
        let moved = conversations::sql::sweep(&mut lane).await?;
        lane.commit().await?;
        if moved == 0 {
            return Ok(());
        }
        state.hub.wake();
    }
}

/// Answers that were to leave by now, while there are any.
pub async fn send_later(state: &AppState) -> Result<(), AppError> {
    loop {
        let mut lane = state.lanes.service(Reason::Sweep).await?;
        let sent = later::sql::send(&mut lane).await?;
        lane.commit().await?;
        if sent == 0 {
            return Ok(());
        }
        state.hub.wake();
        state.due.notify_one();
    }
}

/// Gives those who wait to whoever is there, at desks that want that, while there are any and there is room.
pub async fn deal(state: &AppState) -> Result<(), AppError> {
    loop {
        let mut lane = state.lanes.service(Reason::Sweep).await?;
        let dealt = conversations::sql::deal(&mut lane).await?;
        lane.commit().await?;
        if dealt == 0 {
            return Ok(());
        }
        state.hub.wake();
    }
}

/// What is due of conversations that came while their desk's targets changed, while there are any. In a lane of its own: it may take a
/// while, and nobody waits for it.
pub async fn mend_due(state: &AppState) -> Result<(), AppError> {
    loop {
        let mut lane = state.lanes.service(Reason::Sweep).await?;
        let mended = targets::sql::sweep(&mut lane).await?;
        lane.commit().await?;
        if mended == 0 {
            return Ok(());
        }
    }
}

/// One round of forgetting. Two lanes: the feed's head is locked while it is pruned, and every stream waits for that.
pub async fn forget(state: &AppState) -> Result<(), AppError> {
    let mut lane = state.lanes.service(Reason::Sweep).await?;
    live::sql::prune(&mut lane, KEEP_FEED).await?;
    lane.commit().await?;
    let mut lane = state.lanes.service(Reason::Sweep).await?;
    accounts::sql::sweep(&mut lane).await?;
    lane.commit().await?;
    erase(state).await?;
    while sweep_workspaces(state).await? > 0 {}
    Ok(())
}

/// Workspaces that were deleted a month ago, some in a lane; gives how many.
pub async fn sweep_workspaces(state: &AppState) -> Result<i32, AppError> {
    let mut lane = state.lanes.service(Reason::Sweep).await?;
    let gone = workspaces::sql::sweep(&mut lane).await?;
    lane.commit().await?;
    Ok(gone)
}

/// Asks DNS again about domains whose proof is a day old, one after the other. No lane is open while it is asked.
pub async fn check_domains(state: &AppState) -> Result<(), AppError> {
    while !state.stopping.is_cancelled() {
        let mut lane = state.lanes.service(Reason::Domains).await?;
        let taken = domains::sql::take(&mut lane).await?;
        lane.commit().await?;
        let Some(asked) = taken else { break };
        domains::check::check(state, &asked).await?;
    }
    Ok(())
}

/// Deletes the accounts that are to be erased, one in a lane.
pub async fn erase(state: &AppState) -> Result<(), AppError> {
    loop {
        let mut lane = state.lanes.service(Reason::Sweep).await?;
        let more = accounts::sql::erase_next(&mut lane).await?;
        lane.commit().await?;
        state.hub.wake();
        if !more {
            return Ok(());
        }
    }
}
