use leptos::prelude::*;

use super::model::{Figures, Targets};
use crate::error::AppError;

/// What is set at the desk of the workspace that the request is in.
#[server]
pub async fn read_targets() -> Result<Targets, AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::workspace().await?;
    let targets = sql::targets(&mut lane).await?;
    lane.commit().await?;
    Ok(targets)
}

/// By when customers are to be answered. `reply` and `resolve`: minutes, or nothing. `hours`: fourteen times, from and until of each
/// day from Monday on, empty where it is closed; nothing at all: always open.
#[server]
pub async fn set_targets(
    #[server(default)] reply: String,
    #[server(default)] resolve: String,
    zone: String,
    #[server(default)] hours: Vec<String>,
    #[server(default)] undo: bool,
    #[server(default)] deals: bool,
) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::{
        server::{lanes, state},
        workspaces,
    };
    let targets = Targets {
        reply: model::minutes("reply", &reply, 43_200)?,
        resolve: model::minutes("resolve", &resolve, 525_600)?,
        zone: model::zone(&zone)?,
        hours: model::hours(&hours)?,
        undo: if undo { 10 } else { 0 },
        deals,
    };
    let mut lane = lanes::changing().await?;
    workspaces::sql::managed(&mut lane).await?;
    sql::set_targets(&mut lane, &targets).await?;
    lane.commit().await?;
    state::current()?.hub.wake();
    Ok(())
}

/// How the desk does.
#[server]
pub async fn read_figures() -> Result<Figures, AppError> {
    use super::sql;
    use crate::server::{lanes, state};
    let mut lane = lanes::workspace().await?;
    let figures = sql::figures(&mut lane, &state::zone()).await?;
    lane.commit().await?;
    Ok(figures)
}
