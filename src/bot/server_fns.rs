use leptos::prelude::*;

use crate::error::AppError;

/// Switches the assistant on or off. `words`: whoever says one of these is for people at once, one below the other.
#[server]
pub async fn set_bot(
    #[server(default)] on: bool,
    name: String,
    #[server(default)] words: String,
) -> Result<(), AppError> {
    use super::{
        model::{self, Bot},
        sql,
    };
    use crate::{desks, server::lanes, workspaces};
    let bot = Bot { on, name: desks::model::name(&name)?, words: model::words(&words)? };
    let mut lane = lanes::changing().await?;
    workspaces::sql::managed(&mut lane).await?;
    sql::set(&mut lane, &bot).await?;
    lane.commit().await
}
