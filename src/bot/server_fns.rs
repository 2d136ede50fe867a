use leptos::prelude::*;

use super::model::Bot;
use crate::error::AppError;

/// The assistant of the desk that the request is in, if there is a desk.
#[server]
pub async fn read_bot() -> Result<Option<Bot>, AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::workspace().await?;
    let bot = sql::bot(&mut lane).await?;
    lane.commit().await?;
    Ok(bot)
}

/// Switches the assistant on or off. `words`: whoever says one of these is for people at once, one below the other.
#[server]
pub async fn set_bot(
    #[server(default)] on: bool,
    name: String,
    #[server(default)] words: String,
) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::{conversations, server::lanes, workspaces};
    let bot = Bot { on, name: conversations::model::name(&name)?, words: model::words(&words)? };
    let mut lane = lanes::changing().await?;
    workspaces::sql::managed(&mut lane).await?;
    sql::set(&mut lane, &bot).await?;
    lane.commit().await
}
