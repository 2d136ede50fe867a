use leptos::prelude::*;

use super::model::{Folder, FolderRow};
use crate::{error::AppError, types::FolderId};

/// All folders of the caller, by name.
#[server]
pub async fn list_folders() -> Result<Vec<FolderRow>, AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::user().await?;
    let rows = sql::list(&mut lane).await?;
    lane.commit().await?;
    Ok(rows)
}

#[server]
pub async fn read_folder(folder: FolderId) -> Result<Folder, AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::user().await?;
    let found = sql::folder(&mut lane, folder).await?;
    lane.commit().await?;
    Ok(found)
}

#[server]
pub async fn make_folder(name: String, #[server(default)] instructions: String) -> Result<FolderId, AppError> {
    use super::{model, sql};
    use crate::server::lanes;
    let (name, instructions) = (model::name(&name)?, model::instructions(&instructions)?);
    let mut lane = lanes::user().await?;
    let made = sql::make(&mut lane, &name, &instructions).await?;
    lane.commit().await?;
    leptos_axum::redirect("/folders");
    Ok(made)
}

/// A new name and new instructions.
#[server]
pub async fn change_folder(
    folder: FolderId,
    name: String,
    #[server(default)] instructions: String,
) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::server::lanes;
    let (name, instructions) = (model::name(&name)?, model::instructions(&instructions)?);
    let mut lane = lanes::user().await?;
    sql::change(&mut lane, folder, &name, &instructions).await?;
    lane.commit().await?;
    leptos_axum::redirect("/folders");
    Ok(())
}

/// Takes a folder away; its chats stay, in no folder.
#[server]
pub async fn delete_folder(folder: FolderId) -> Result<(), AppError> {
    use super::sql;
    use crate::server::{lanes, state};
    let state = state::current()?;
    let mut lane = lanes::user().await?;
    sql::delete(&mut lane, folder).await?;
    lane.commit().await?;
    state.hub.wake();
    leptos_axum::redirect("/folders");
    Ok(())
}
