//! `GET /export/<id or all>.<md or json>`: chats as a file, streamed. Each piece is read in a lane of its own, so that a slow
//! download holds no connection; a download that can't go on breaks off, and never looks complete.

use std::collections::HashSet;

use axum::{
    Extension,
    body::Body,
    extract::{Path, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use tokio::sync::mpsc::Sender;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    model::{Said, Talk},
    sql::{self, Head},
};
use crate::{
    error::AppError,
    server::{caller::Caller, db_error::internal, lanes::Opening, state::AppState},
    types::{Role, ThreadId},
};

/// Threads and messages that are read at once.
const PAGE: i64 = 200;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Markdown,
    Json,
}

pub async fn export(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(file): Path<String>,
) -> Response {
    let Caller::User(opening) = caller else { return AppError::Unauthenticated.into_response() };
    match open(state, opening, &file).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn open(state: AppState, opening: Opening, file: &str) -> Result<Response, AppError> {
    let (what, ending) = file.split_once('.').ok_or(AppError::NotFound)?;
    let (form, kind) = match ending {
        "md" => (Form::Markdown, "text/markdown; charset=utf-8"),
        "json" => (Form::Json, "application/json"),
        _ => return Err(AppError::NotFound),
    };
    let one: Option<ThreadId> = if what == "all" { None } else { Some(what.parse().map_err(|_| AppError::NotFound)?) };
    let mut lane = state.lanes.user(&opening).await?;
    let head = match one {
        Some(id) => Some(sql::head(&mut lane, id).await?),
        None => None,
    };
    lane.commit().await?;
    let name = head.as_ref().map_or_else(|| "moat".to_owned(), |head| file_name(&head.title));
    let (send, receive) = tokio::sync::mpsc::channel::<Result<String, std::io::Error>>(8);
    tokio::spawn(async move {
        let writing = Writing { state, opening, form, send };
        if let Err(error) = writing.whole(head).await {
            tracing::warn!(%error, "an export broke off");
            drop(writing.send.send(Err(std::io::Error::other("broken off"))).await);
        }
    });
    let mut response = Body::from_stream(ReceiverStream::new(receive)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.{ending}\"")) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// A title as a file's name on any system.
fn file_name(title: &str) -> String {
    let name: String = title.chars().take(60).map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = name.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
    if name.is_empty() { "chat".to_owned() } else { name }
}

struct Writing {
    state: AppState,
    opening: Opening,
    form: Form,
    send: Sender<Result<String, std::io::Error>>,
}

impl Writing {
    async fn put(&self, text: String) -> Result<(), AppError> {
        // Nobody reads any more.
        self.send.send(Ok(text)).await.map_err(|_| AppError::Unavailable)
    }

    async fn whole(&self, one: Option<Head>) -> Result<(), AppError> {
        let mut first = true;
        if self.form == Form::Json {
            let mut lane = self.state.lanes.user(&self.opening).await?;
            let folders = sql::folders(&mut lane, one.as_ref().map(|head| head.id)).await?;
            lane.commit().await?;
            let folders = serde_json::json!(folders);
            self.put(format!(r#"{{"format":"moat","version":1,"folders":{folders},"threads":["#)).await?;
        }
        if let Some(head) = one {
            self.thread(&head, &mut first).await?;
        } else {
            let (mut after, mut done) = (None, HashSet::new());
            loop {
                let mut lane = self.state.lanes.user(&self.opening).await?;
                let heads = sql::heads(&mut lane, after, PAGE).await?;
                lane.commit().await?;
                for head in &heads {
                    after = Some((head.active_at, head.id));
                    if done.insert(head.id) {
                        self.thread(head, &mut first).await?;
                    }
                }
                if (heads.len() as i64) < PAGE {
                    break;
                }
            }
        }
        if self.form == Form::Json {
            self.put("]}\n".to_owned()).await?;
        }
        Ok(())
    }

    async fn thread(&self, head: &Head, first: &mut bool) -> Result<(), AppError> {
        let seconds = |at: sqlx::types::time::OffsetDateTime| at.unix_timestamp_nanos() as f64 / 1e9;
        let begin = match self.form {
            Form::Markdown => format!("{}# {}\n", if *first { "" } else { "\n---\n\n" }, head.title),
            Form::Json => {
                let talk = Talk {
                    id: head.id.to_string(),
                    title: head.title.clone(),
                    created_at: seconds(head.created_at),
                    active_at: seconds(head.active_at),
                    folder: head.folder.clone(),
                    pinned: head.pinned,
                    archived: head.archived,
                    model: head.model.clone(),
                    instructions: head.instructions.clone(),
                    shown: head.leaf_id.map(|id| id.to_string()),
                    messages: Vec::new(),
                };
                let whole = serde_json::to_string(&talk).map_err(internal)?;
                let begun = whole.strip_suffix("]}").unwrap_or(&whole);
                format!("{}{begun}", if *first { "\n" } else { ",\n" })
            }
        };
        *first = false;
        self.put(begin).await?;
        let mut after = 0;
        let mut lane = self.state.lanes.user(&self.opening).await?;
        // To be read: what is shown. To be imported: everything.
        let shown = match self.form {
            Form::Markdown => Some(sql::shown(&mut lane, head.id).await?),
            Form::Json => None,
        };
        lane.commit().await?;
        loop {
            let mut lane = self.state.lanes.user(&self.opening).await?;
            let page = sql::said(&mut lane, head.id, after, PAGE).await?;
            lane.commit().await?;
            let mut text = String::new();
            for (seq, said) in &page {
                if shown.as_ref().is_none_or(|shown| shown.contains(&said.id)) {
                    self.message(&mut text, said, after == 0);
                }
                after = *seq;
            }
            self.put(text).await?;
            if (page.len() as i64) < PAGE {
                break;
            }
        }
        if self.form == Form::Json { self.put("]}".to_owned()).await } else { Ok(()) }
    }

    fn message(&self, text: &mut String, said: &Said, first: bool) {
        match self.form {
            Form::Json => {
                if !first {
                    text.push_str(",\n");
                }
                text.push_str(&serde_json::json!(said).to_string());
            }
            Form::Markdown if said.text.is_empty() => {}
            Form::Markdown => {
                let who = if said.role == Role::User { "You" } else { "moat" };
                let cut = if said.ended.is_some() { "\n*This answer is not whole.*\n" } else { "" };
                text.push_str(&format!("\n**{who}**\n\n{}\n{cut}", said.text.trim_end()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_becomes_a_name_that_no_system_trips_over() {
        for (title, name) in [
            ("Which region grew fastest?", "Which-region-grew-fastest"),
            ("../../etc/passwd", "etc-passwd"),
            ("\"\r\nSet-Cookie: x", "Set-Cookie-x"),
            ("図書館", "chat"),
        ] {
            assert_eq!(file_name(title), name);
        }
    }
}
