use leptos::prelude::*;

use super::model::ImportRow;
use crate::error::AppError;

/// The caller's newest imports.
#[server]
pub async fn list_imports() -> Result<Vec<ImportRow>, AppError> {
    use super::sql;
    use crate::server::{lanes, state};
    let mut lane = lanes::user().await?;
    let rows = sql::list(&mut lane, &state::zone()).await?;
    lane.commit().await?;
    Ok(rows)
}
