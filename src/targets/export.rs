//! `GET /w/<place>/desk/conversations.csv`: a line for each conversation, streamed. Each piece is read in a lane of its own: whoever
//! loses the right to it meanwhile gets no more, and the file breaks off.

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use tokio::sync::mpsc::Sender;
use tokio_stream::wrappers::ReceiverStream;

use super::sql::{self, COLUMNS};
use crate::{
    error::AppError,
    server::{caller::Caller, db_error::internal, lanes::Opening, state::AppState},
    workspaces,
};

/// Conversations that are read at once.
const PAGE: i64 = 500;

pub async fn export(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    // What stands in the trail is that somebody took the file: not that a program asked whether there is one, nor that another site
    // made a browser ask.
    let elsewhere = headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site");
    if method != Method::GET || elsewhere {
        return AppError::Forbidden.into_response();
    }
    let Caller::User(opening) = caller else { return AppError::Unauthenticated.into_response() };
    match open(state, opening).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn open(state: AppState, opening: Opening) -> Result<Response, AppError> {
    let mut lane = state.lanes.writing(&opening).await?;
    workspaces::sql::managed(&mut lane).await?;
    sql::note_file(&mut lane).await?;
    lane.commit().await?;
    let (send, receive) = tokio::sync::mpsc::channel::<Result<Vec<u8>, std::io::Error>>(8);
    tokio::spawn(async move {
        if let Err(error) = write(&state, &opening, &send).await {
            tracing::debug!(%error, "a file of conversations broke off");
            drop(send.send(Err(std::io::Error::other("broken off"))).await);
        }
    });
    let mut response = Body::from_stream(ReceiverStream::new(receive)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"conversations.csv\""));
    Ok(response)
}

async fn write(
    state: &AppState,
    opening: &Opening,
    to: &Sender<Result<Vec<u8>, std::io::Error>>,
) -> Result<(), AppError> {
    let put = async |bytes| to.send(Ok(bytes)).await.map_err(|_| AppError::Unavailable);
    put(csv(std::iter::once(COLUMNS.map(str::to_owned).to_vec()))?).await?;
    let mut last = None;
    loop {
        let mut lane = state.lanes.workspace(opening).await?;
        workspaces::sql::managed(&mut lane).await?;
        let lines = sql::lines(&mut lane, last, PAGE).await?;
        lane.commit().await?;
        let Some((id, _)) = lines.last() else { return Ok(()) };
        last = Some(*id);
        put(csv(lines.into_iter().map(|(_, line)| line.into_iter().map(harmless).collect()))?).await?;
    }
}

fn csv(lines: impl Iterator<Item = Vec<String>>) -> Result<Vec<u8>, AppError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in lines {
        writer.write_record(&line).map_err(internal)?;
    }
    writer.into_inner().map_err(internal)
}

/// What a customer wrote is no formula: a spreadsheet takes a cell that begins with one of these for one.
fn harmless(cell: String) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<i64>().is_err() {
        format!("'{cell}")
    } else {
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn a_cell_is_never_a_formula_and_figures_stay_figures() {
        assert_eq!(harmless("=1+1".into()), "'=1+1");
        assert_eq!(harmless("@sum".into()), "'@sum");
        assert_eq!(harmless("-1".into()), "-1");
        assert_eq!(harmless("-1+x".into()), "'-1+x");
        assert_eq!(harmless("plain = text".into()), "plain = text");
    }
}
