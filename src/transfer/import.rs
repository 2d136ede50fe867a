//! `POST /import/file`: a file goes to the disk as it comes, and is read from there in the background, in the lane of whoever
//! sent it. Signing out ends that; sending the file again goes on where it ended.

use std::{
    fs::File,
    io::BufReader,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    pin::pin,
    time::Duration,
};

use axum::{
    Extension,
    extract::{Multipart, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use tokio::{io::AsyncWriteExt, sync::SemaphorePermit};

use super::{
    model::FILE_MAX,
    parse::{self, Found, Item, Loss},
    sql,
};
use crate::{
    error::AppError,
    folders,
    server::{caller::Caller, db_error::internal, lanes::Opening, state::AppState},
    threads::model::{instructions, known_model},
    types::ImportId,
};

/// Conversations that share a transaction.
const BATCH: usize = 20;
/// One that waits for its turn says so this often; after a minute of silence it counts as interrupted.
const KEEP: Duration = Duration::from_secs(20);

/// A file on the disk until this is dropped.
struct Kept(PathBuf);

impl Drop for Kept {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(%error, "an imported file could not be removed");
        }
    }
}

pub async fn import(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    form: Result<Multipart, axum::extract::multipart::MultipartRejection>,
) -> Response {
    let Caller::User(opening) = caller else { return AppError::Unauthenticated.into_response() };
    let Ok(form) = form else {
        return AppError::invalid("file", "Send a file from the import page.").into_response();
    };
    match receive(&state, &opening, form).await {
        Ok(()) => (StatusCode::SEE_OTHER, [(header::LOCATION, "/import")]).into_response(),
        Err(error) => error.into_response(),
    }
}

async fn receive(state: &AppState, opening: &Opening, mut form: Multipart) -> Result<(), AppError> {
    // Whose session has ended, or who has an import under way, does not fill our disk.
    let mut lane = state.lanes.user(opening).await?;
    sql::may_begin(&mut lane).await?;
    lane.commit().await?;
    let nothing = || AppError::invalid("file", "Choose a file.");
    let mut field = loop {
        let field = form.next_field().await.map_err(|_| nothing())?.ok_or_else(nothing)?;
        if field.name() == Some("file") {
            break field;
        }
    };
    let name: String = field.file_name().unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect();
    let path = std::env::temp_dir().join(format!("moat-import-{}", uuid::Uuid::new_v4()));
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(internal)?;
    let kept = Kept(path);
    let mut file = tokio::fs::File::from_std(file);
    let mut size = 0;
    let mut problem = None;
    while problem.is_none() {
        match field.chunk().await {
            Ok(Some(chunk)) => {
                size += chunk.len();
                if size > FILE_MAX {
                    problem = Some("The file is larger than 100 MB.");
                }
                file.write_all(&chunk).await.map_err(internal)?;
            }
            Ok(None) => break,
            Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                problem = Some("The file is larger than 100 MB.")
            }
            Err(_) => problem = Some("The file did not arrive whole."),
        }
    }
    file.flush().await.map_err(internal)?;
    let mut lane = state.lanes.user(opening).await?;
    let import = sql::begin(&mut lane, if name.is_empty() { "a file" } else { &name }).await?;
    if let Some(why) = problem {
        sql::end(&mut lane, import, true, why).await?;
        return lane.commit().await;
    }
    lane.commit().await?;
    let (state, opening) = (state.clone(), opening.clone());
    state.tasks.clone().spawn(async move { run(&state, &opening, import, kept).await });
    Ok(())
}

/// Reads the file once it is its turn.
async fn run(state: &AppState, opening: &Opening, import: ImportId, kept: Kept) {
    let (failed, why) = match turn(state, opening, import).await {
        Ok(_turn) => whole(state, opening, import, kept).await,
        Err(error) => (true, error.to_string()),
    };
    if let Err(error) = end(state, opening, import, failed, &why).await {
        tracing::warn!(%error, "an import could not be ended; it is shown as interrupted");
    }
}

async fn turn<'s>(state: &'s AppState, opening: &Opening, import: ImportId) -> Result<SemaphorePermit<'s>, AppError> {
    let mut turn = pin!(state.imports.acquire());
    loop {
        let mut lane = state.lanes.user(opening).await?;
        sql::keep(&mut lane, import).await?;
        lane.commit().await?;
        tokio::select! {
            turn = &mut turn => return turn.map_err(internal),
            () = tokio::time::sleep(KEEP) => {}
            () = state.stopping.cancelled() => return Err(AppError::Unavailable),
        }
    }
}

/// To the file's end, or to where it is broken; what was read until then stays. Whether it failed, and what is to be said of it.
async fn whole(state: &AppState, opening: &Opening, import: ImportId, kept: Kept) -> (bool, String) {
    let (send, mut receive) = tokio::sync::mpsc::channel(BATCH);
    let stopping = state.stopping.clone();
    let reading = tokio::task::spawn_blocking(move || {
        read(&kept.0, |item| !stopping.is_cancelled() && send.blocking_send(item).is_ok())
    });
    let (mut batch, mut read, mut stored, mut lost) = (Vec::new(), 0, Ok(()), Vec::new());
    while stored.is_ok() && receive.recv_many(&mut batch, BATCH).await > 0 {
        read += batch.len();
        stored = store(state, opening, import, std::mem::take(&mut batch)).await.map(|losses| lost.extend(losses));
    }
    drop(receive);
    let mut found = reading.await.unwrap_or_else(|_| Found::broken("The file could not be read."));
    for loss in lost {
        found.lose(loss, 1);
    }
    if let Err(error) = stored {
        tracing::warn!(%error, "an import stopped");
        found.broken = Some(error.to_string());
    }
    let failed = found.broken.is_some() || (read == 0 && !found.losses.is_empty());
    (failed, found.to_string().chars().take(500).collect())
}

fn read(path: &Path, take: impl FnMut(Item) -> bool) -> Found {
    match File::open(path) {
        Ok(file) => parse::items(BufReader::new(file), take),
        Err(_) => Found::broken("The file could not be read."),
    }
}

/// Some of a file, in a transaction of their own. What is lost of them by the way.
async fn store(state: &AppState, opening: &Opening, import: ImportId, items: Vec<Item>) -> Result<Vec<Loss>, AppError> {
    let mut lane = state.lanes.user(opening).await?;
    let models = state.answerer.models();
    let mut lost = Vec::new();
    let talks: Vec<&sql::Arrival> = items.iter().filter_map(Item::talk).collect();
    sql::hold(&mut lane, &talks).await?;
    for item in items {
        match item {
            Item::Folder(kept) => {
                if !folders::sql::find_or_make(&mut lane, &kept.name, &kept.instructions).await? {
                    lost.push(Loss::Folder);
                }
            }
            Item::Talk(mut talk) => {
                // As if its owner set them.
                let model = known_model(&models, Some(std::mem::take(&mut talk.model)));
                let minded = instructions(&talk.instructions);
                (talk.model, talk.instructions) =
                    (model.as_deref().unwrap_or_default().to_owned(), minded.as_deref().unwrap_or_default().to_owned());
                let arrived = sql::arrive(&mut lane, import, &talk).await?;
                if arrived.created {
                    let whole = [
                        (Loss::Homeless, arrived.filed),
                        (Loss::Instructions, minded.is_ok()),
                        (Loss::Model, model.is_ok()),
                        (Loss::Pin, arrived.pinned),
                    ];
                    lost.extend(whole.into_iter().filter(|(_, kept)| !kept).map(|(loss, _)| loss));
                }
            }
        }
    }
    lane.commit().await?;
    Ok(lost)
}

async fn end(state: &AppState, opening: &Opening, import: ImportId, failed: bool, why: &str) -> Result<(), AppError> {
    let mut lane = state.lanes.user(opening).await?;
    sql::end(&mut lane, import, failed, why).await?;
    lane.commit().await?;
    state.hub.wake();
    Ok(())
}
