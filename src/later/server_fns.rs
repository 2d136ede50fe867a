use leptos::prelude::*;

use crate::{error::AppError, types::ClientId};

/// Takes back an answer of the caller's that has not left yet. Not found: it has, or it is somebody else's.
#[server]
pub async fn take_back(answer: ClientId) -> Result<(), AppError> {
    use super::sql;
    use crate::server::{lanes, state};
    let mut lane = lanes::acting().await?;
    sql::take_back(&mut lane, answer).await?;
    lane.commit().await?;
    state::current()?.hub.wake();
    Ok(())
}
