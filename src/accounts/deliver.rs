//! Sends what waits in `app.outgoing`, one after the other. A row is taken in one transaction, sent outside of any, and
//! removed in another: a process that dies in between leaves it to be sent again.

use std::time::Duration;

use uuid::Uuid;

use super::{letters, sql};
use crate::{
    accounts::sql::Taken,
    error::AppError,
    server::{
        db_error::internal,
        keys::{LinkToken, fresh_code},
        lanes::Reason,
        mailer::SendError,
        state::AppState,
    },
};

/// How often it is looked without being told: for what another process left.
const POLL: Duration = Duration::from_secs(2);
/// After these, about eight hours, it is given up.
const TRIES: i32 = 15;

/// Until the server stops.
pub async fn run(state: AppState) {
    loop {
        tokio::select! {
            () = state.mailer.woken() => {}
            () = tokio::time::sleep(POLL) => {}
            () = state.stopping.cancelled() => return,
        }
        if let Err(error) = all(&state).await {
            tracing::warn!(%error, "sending mail");
        }
    }
}

/// Everything that is due now.
pub async fn all(state: &AppState) -> Result<(), AppError> {
    loop {
        let mut lane = state.lanes.service(Reason::Mail).await?;
        let Some(taken) = sql::take_outgoing(&mut lane).await? else { return lane.commit().await };
        let what = if taken.kind == "code" {
            let code = fresh_code().map_err(internal)?;
            let wanted = sql::prepare_code(&mut lane, taken.id, &state.keys.code(taken.id, &code)).await?;
            if wanted { What::Code(code) } else { What::Nothing }
        } else {
            let token = LinkToken::fresh().map_err(internal)?;
            What::Letter(sql::prepare_mail(&mut lane, taken.id, &token.hash()).await?, token)
        };
        lane.commit().await?;
        match send(state, &taken, what).await {
            Ok(()) => done(state, taken.id).await?,
            Err(error) if taken.tries >= TRIES => {
                tracing::error!(%error, kind = taken.kind, tries = taken.tries, "a message is given up");
                done(state, taken.id).await?;
            }
            Err(error) => tracing::warn!(%error, kind = taken.kind, "a message is tried again later"),
        }
    }
}

enum What {
    Code(String),
    Letter(String, LinkToken),
    Nothing,
}

async fn send(state: &AppState, taken: &Taken, what: What) -> Result<(), SendError> {
    match what {
        What::Code(code) => {
            let text = format!("{code} is your code for moat. It works for 10 minutes. Tell it to nobody.");
            state.sms.as_ref().ok_or(SendError::NoWay)?.send(&taken.address, &text).await
        }
        What::Letter(what, token) => match letters::letter(&what, &state.config.origin(), token.as_str()) {
            Some(letter) => state.mailer.send(taken.id, &taken.address, letter).await,
            None => Ok(()),
        },
        What::Nothing => Ok(()),
    }
}

async fn done(state: &AppState, id: Uuid) -> Result<(), AppError> {
    let mut lane = state.lanes.service(Reason::Mail).await?;
    sql::outgoing_done(&mut lane, id).await?;
    lane.commit().await
}
