//! The client of a model server that speaks OpenAI's chat completions, streaming. What goes out is the history that was
//! read in the caller's lane, and nothing else: no address, no id.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream::BoxStream};
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use super::config::{BadSetting, Config};
use crate::answers::answerer::{AnswerError, Answerer, Turn};

/// From the request to the first byte, and from one piece to the next.
const PATIENCE: Duration = Duration::from_secs(60);
/// Tries of a request that has not begun to answer.
const TRIES: u32 = 3;
/// A provider that asks to wait longer than this is "busy" to the person who waits.
const LONGEST_WAIT: u64 = 5;
/// Bytes of a line that is still a line of an event stream.
const LINE_MAX: usize = 1024 * 1024;

pub struct OpenAi(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    url: String,
    key: Option<String>,
    /// The usual one first.
    models: Vec<String>,
    patience: Duration,
}

impl OpenAi {
    pub fn new(config: &Config) -> Result<Self, BadSetting> {
        Self::with_patience(config, PATIENCE)
    }

    /// Tests don't wait a minute for a server that stalls.
    pub fn with_patience(config: &Config, patience: Duration) -> Result<Self, BadSetting> {
        let bad = |why: String| BadSetting { setting: "MOAT_OPENAI_URL", why };
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| bad(e.to_string()))?;
        let url = format!("{}/chat/completions", config.openai_url.trim_end_matches('/'));
        reqwest::Url::parse(&url).map_err(|e| bad(e.to_string()))?;
        let mut models = vec![config.openai_model.clone()];
        models.extend(config.openai_models.iter().filter(|m| **m != config.openai_model).cloned());
        Ok(Self(Arc::new(Inner { http, url, key: config.openai_key.clone(), models, patience })))
    }
}

impl Answerer for OpenAi {
    fn model(&self) -> &str {
        &self.0.models[0]
    }

    fn models(&self) -> Vec<String> {
        self.0.models.clone()
    }

    fn answer(&self, turn: Turn) -> BoxStream<'static, Result<String, AnswerError>> {
        let inner = self.0.clone();
        let (send, receive) = tokio::sync::mpsc::channel::<Result<String, AnswerError>>(16);
        tokio::spawn(async move {
            tokio::select! {
                // Nobody reads any more: a request that is still on its way is dropped, and not paid for.
                () = send.closed() => {}
                talked = inner.talk(turn, &send) => {
                    if let Err(error) = talked {
                        tracing::warn!(%error, "model server");
                        drop(send.send(Err(error)).await);
                    }
                }
            }
        });
        tokio_stream::wrappers::ReceiverStream::new(receive).boxed()
    }
}

type Pieces = tokio::sync::mpsc::Sender<Result<String, AnswerError>>;

impl Inner {
    async fn talk(&self, turn: Turn, pieces: &Pieces) -> Result<(), AnswerError> {
        let response = self.ask(&turn).await?;
        let mut body = response.bytes_stream();
        let mut line = Vec::new();
        let mut ended = false;
        loop {
            let chunk = timeout(self.patience, body.next()).await.map_err(|_| AnswerError::Stalled)?;
            let Some(chunk) = chunk else { break };
            for byte in chunk.map_err(|_| AnswerError::Cut)? {
                if byte != b'\n' {
                    line.push(byte);
                    if line.len() > LINE_MAX {
                        return Err(AnswerError::Malformed);
                    }
                    continue;
                }
                match read_line(&line)? {
                    Line::Piece(text, last) => {
                        ended |= last;
                        if !text.is_empty() && pieces.send(Ok(text)).await.is_err() {
                            return Ok(());
                        }
                    }
                    Line::Done => return Ok(()),
                    Line::Nothing => {}
                }
                line.clear();
            }
        }
        // A stream that ends without saying so was cut off, except that some servers leave the last line out.
        if ended { Ok(()) } else { Err(AnswerError::Cut) }
    }

    /// Sends the request until it begins to be answered.
    async fn ask(&self, turn: &Turn) -> Result<reqwest::Response, AnswerError> {
        let body = json!({ "model": turn.model, "stream": true, "messages": messages(turn) });
        let mut wait = Duration::from_millis(300);
        let mut tries_left = TRIES;
        loop {
            tries_left -= 1;
            let mut request = self.http.post(&self.url).json(&body);
            if let Some(key) = &self.key {
                request = request.bearer_auth(key);
            }
            let error = match timeout(self.patience, request.send()).await {
                Err(_) => return Err(AnswerError::Stalled),
                Ok(Err(_)) => AnswerError::Unreachable,
                Ok(Ok(response)) => match response.status().as_u16() {
                    200..=299 => return Ok(response),
                    429 | 503 => {
                        let seconds = response
                            .headers()
                            .get("retry-after")
                            .and_then(|v| v.to_str().ok())
                            .and_then(|v| v.parse().ok());
                        let seconds = seconds.unwrap_or(1);
                        if seconds > LONGEST_WAIT {
                            return Err(AnswerError::Busy(seconds));
                        }
                        wait = Duration::from_secs(seconds);
                        AnswerError::Busy(seconds)
                    }
                    status @ (500 | 502 | 504) => AnswerError::Refused(status),
                    status => return Err(AnswerError::Refused(status)),
                },
            };
            if tries_left == 0 {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
    }
}

/// What the model is shown.
fn messages(turn: &Turn) -> Vec<serde_json::Value> {
    let message = |role: &str, content: &str| json!({ "role": role, "content": content });
    let mut messages = Vec::new();
    if !turn.instructions.is_empty() {
        messages.push(message("system", &turn.instructions));
    }
    messages.extend(turn.history.iter().map(|said| message(said.role.as_str(), &said.text)));
    if !turn.begun.is_empty() {
        messages.push(message("assistant", &turn.begun));
        messages.push(message("user", "Go on exactly where you stopped. Repeat nothing and add no introduction."));
    }
    messages
}

enum Line {
    /// Text, and whether the model says that it is the last of it.
    Piece(String, bool),
    Done,
    Nothing,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<String>,
}

fn read_line(line: &[u8]) -> Result<Line, AnswerError> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let Some(data) = line.strip_prefix(b"data:") else {
        return Ok(Line::Nothing);
    };
    let data = data.strip_prefix(b" ").unwrap_or(data);
    if data == b"[DONE]" {
        return Ok(Line::Done);
    }
    let chunk: Chunk = serde_json::from_slice(data).map_err(|_| AnswerError::Malformed)?;
    let last = chunk.choices.iter().any(|c| c.finish_reason.is_some());
    let text = chunk.choices.into_iter().filter_map(|c| c.delta.content).collect();
    Ok(Line::Piece(text, last))
}
