//! `GET /w/<place>/audit.jsonl`: the whole trail of a workspace as a file that `moat audit verify` checks, streamed. Each piece is
//! read in a lane of its own; whoever loses the right to it meanwhile gets no more, and a file that has broken off has no last line.

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use tokio::sync::mpsc::Sender;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    chain::{Chain, first_line, last_line, line},
    sql,
};
use crate::{
    error::AppError,
    server::{caller::Caller, lanes::Opening, state::AppState},
};

/// Events that are read at once.
const PAGE: i64 = 500;

pub async fn export(State(state): State<AppState>, Extension(caller): Extension<Caller>) -> Response {
    let Caller::User(opening) = caller else { return AppError::Unauthenticated.into_response() };
    match open(state, opening).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn open(state: AppState, opening: Opening) -> Result<Response, AppError> {
    let mut lane = state.lanes.workspace(&opening).await?;
    let (begins, name) = sql::beginning(&mut lane).await?;
    lane.commit().await?;
    let (send, receive) = tokio::sync::mpsc::channel::<Result<String, std::io::Error>>(8);
    tokio::spawn(async move {
        if let Err(error) = write(&state, &opening, begins, &name, &send).await {
            tracing::debug!(%error, "a copy of a trail broke off");
            drop(send.send(Err(std::io::Error::other("broken off"))).await);
        }
    });
    let mut response = Body::from_stream(ReceiverStream::new(receive)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl; charset=utf-8"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"audit.jsonl\""));
    Ok(response)
}

async fn write(
    state: &AppState,
    opening: &Opening,
    begins: Vec<u8>,
    name: &str,
    to: &Sender<Result<String, std::io::Error>>,
) -> Result<(), AppError> {
    let put = async |text| to.send(Ok(text)).await.map_err(|_| AppError::Unavailable);
    put(first_line(name, &begins)).await?;
    let mut end = Chain::beginning(begins);
    loop {
        let mut lane = state.lanes.workspace(opening).await?;
        let links = sql::links(&mut lane, end.seq, PAGE).await?;
        // At the end, or because whoever asks may read it no more.
        if links.is_empty() {
            sql::beginning(&mut lane).await?;
        }
        lane.commit().await?;
        let Some(last) = links.last() else { break };
        end = Chain { seq: last.seq, hash: last.hash.clone() };
        put(links.iter().map(line).collect()).await?;
    }
    put(last_line(&end)).await
}
