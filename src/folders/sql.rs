use super::model::{FOLDERS_MAX, Folder, FolderRow};
use crate::{
    error::AppError,
    server::lanes::UserLane,
    types::{FolderId, ThreadId},
};

/// All folders, by name.
pub async fn list(lane: &mut UserLane) -> Result<Vec<FolderRow>, AppError> {
    let rows: Vec<(FolderId, String)> =
        sqlx::query_as("select f.id, f.name from app.folders f order by lower(f.name), f.id limit $1")
            .bind(FOLDERS_MAX)
            .fetch_all(lane.conn())
            .await?;
    Ok(rows.into_iter().map(|(id, name)| FolderRow { id, name }).collect())
}

pub async fn folder(lane: &mut UserLane, id: FolderId) -> Result<Folder, AppError> {
    let (id, name, instructions) =
        sqlx::query_as("select f.id, f.name, f.instructions from app.folders f where f.id = $1")
            .bind(id)
            .fetch_one(lane.conn())
            .await?;
    Ok(Folder { id, name, instructions })
}

/// A new folder.
pub async fn make(lane: &mut UserLane, name: &str, instructions: &str) -> Result<FolderId, AppError> {
    let made: Option<FolderId> = sqlx::query_scalar(
        "insert into app.folders (name, instructions) select $1, $2 where (select count(*) from app.folders) < $3 returning id",
    )
    .bind(name)
    .bind(instructions)
    .bind(FOLDERS_MAX)
    .fetch_optional(lane.conn())
    .await
    .map_err(taken)?;
    made.ok_or_else(|| AppError::Conflict { what: "You have 100 folders, which is all there can be.".into() })
}

/// A folder of this name, which may be there; one that is stays as it is. False: there is room for no more.
pub async fn find_or_make(lane: &mut UserLane, name: &str, instructions: &str) -> Result<bool, AppError> {
    sqlx::query(
        "insert into app.folders (name, instructions) select $1, $2 where (select count(*) from app.folders) < $3
         on conflict do nothing",
    )
    .bind(name)
    .bind(instructions)
    .bind(FOLDERS_MAX)
    .execute(lane.conn())
    .await?;
    Ok(sqlx::query_scalar("select exists (select from app.folders f where f.name = $1)")
        .bind(name)
        .fetch_one(lane.conn())
        .await?)
}

pub async fn change(lane: &mut UserLane, id: FolderId, name: &str, instructions: &str) -> Result<(), AppError> {
    let done = sqlx::query("update app.folders set name = $2, instructions = $3 where id = $1")
        .bind(id)
        .bind(name)
        .bind(instructions)
        .execute(lane.conn())
        .await
        .map_err(taken)?;
    if done.rows_affected() == 0 { Err(AppError::NotFound) } else { Ok(()) }
}

/// Takes a folder away; its threads stay.
pub async fn delete(lane: &mut UserLane, id: FolderId) -> Result<(), AppError> {
    let done = sqlx::query("delete from app.folders where id = $1").bind(id).execute(lane.conn()).await?;
    if done.rows_affected() == 0 { Err(AppError::NotFound) } else { Ok(()) }
}

/// What the folder of a thread says to whoever answers in it.
pub async fn instructions(lane: &mut UserLane, thread: ThreadId) -> Result<String, AppError> {
    let said: Option<String> = sqlx::query_scalar(
        "select f.instructions from app.threads t join app.folders f on f.id = t.folder_id where t.id = $1",
    )
    .bind(thread)
    .fetch_optional(lane.conn())
    .await?;
    Ok(said.unwrap_or_default())
}

fn taken(error: sqlx::Error) -> AppError {
    match error.as_database_error().and_then(|db| db.constraint()) {
        Some("folders_name_once") => AppError::invalid("name", "You have a folder with this name."),
        _ => error.into(),
    }
}
