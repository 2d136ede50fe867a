use leptos::prelude::*;

use super::model::{EventPage, Wanted};
use crate::error::AppError;

/// A page of the trail of the workspace that the request is in.
#[server]
pub async fn list_events(wanted: Wanted) -> Result<EventPage, AppError> {
    use super::sql;
    use crate::server::{lanes, state};
    let mut lane = lanes::workspace().await?;
    let page = sql::events(&mut lane, &wanted, &state::zone()).await?;
    lane.commit().await?;
    Ok(page)
}
