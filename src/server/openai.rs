//! The client of a model server that speaks OpenAI's chat completions, streaming. What goes out is the history that was
//! read in the caller's lane, and nothing else: no address, no id.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream::BoxStream};
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use super::config::{BadSetting, Config};
use crate::answers::answerer::{AnswerError, Answerer, Piece, Turn, Usage};

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
    context: Option<i32>,
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
        Ok(Self(Arc::new(Inner {
            http,
            url,
            key: config.openai_key.clone(),
            models,
            context: config.openai_context,
            patience,
        })))
    }
}

impl Answerer for OpenAi {
    fn model(&self) -> &str {
        &self.0.models[0]
    }

    fn models(&self) -> Vec<String> {
        self.0.models.clone()
    }

    fn context(&self) -> Option<i32> {
        self.0.context
    }

    fn answer(&self, turn: Turn) -> BoxStream<'static, Result<Piece, AnswerError>> {
        let inner = self.0.clone();
        let (send, receive) = tokio::sync::mpsc::channel::<Result<Piece, AnswerError>>(16);
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

type Pieces = tokio::sync::mpsc::Sender<Result<Piece, AnswerError>>;

impl Inner {
    async fn talk(&self, turn: Turn, pieces: &Pieces) -> Result<(), AnswerError> {
        let response = self.ask(&turn).await?;
        let mut body = response.bytes_stream();
        let mut line = Vec::new();
        let mut ended = None;
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
                    Line::Chunk(chunk) => {
                        let mut told = Vec::new();
                        for choice in chunk.choices {
                            // What comes after the end of the answer still counts its tokens.
                            // Some say "stop" once more behind the reason that matters.
                            ended = ended.filter(|e| e != "stop").or(choice.finish_reason);
                            told.extend(choice.delta.content.filter(|text| !text.is_empty()).map(Piece::Text));
                        }
                        told.extend(chunk.usage.and_then(usage).map(Piece::Usage));
                        for piece in told {
                            if pieces.send(Ok(piece)).await.is_err() {
                                return Ok(());
                            }
                        }
                    }
                    Line::Done => return end(ended.as_deref().unwrap_or("stop")),
                    Line::Nothing => {}
                }
                line.clear();
            }
        }
        // A stream that ends without saying so was cut off, except that some servers leave the last line out.
        end(&ended.ok_or(AnswerError::Cut)?)
    }

    /// Sends the request until it begins to be answered.
    async fn ask(&self, turn: &Turn) -> Result<reqwest::Response, AnswerError> {
        let mut body = json!({
            "model": turn.model,
            "stream": true,
            "stream_options": { "include_usage": true },
            "messages": messages(turn),
        });
        let mut wait = Duration::from_millis(300);
        let mut tries_left = TRIES;
        loop {
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
                    status @ (500 | 502 | 504) => AnswerError::Broken(status),
                    status @ (400 | 413 | 422) => {
                        if is_full(response, self.patience).await {
                            return Err(AnswerError::Full);
                        }
                        // A server that does not know the option is asked without it.
                        match body.as_object_mut().and_then(|body| body.remove("stream_options")) {
                            Some(_) => continue,
                            None => return Err(AnswerError::Refused(status)),
                        }
                    }
                    status @ (401 | 403 | 404) => {
                        // Of keys and models, and of nobody's chat.
                        let said: String = said(response, self.patience).await.chars().take(300).collect();
                        tracing::warn!(status, said, "the model server refuses");
                        return Err(if status == 404 { AnswerError::NoModel } else { AnswerError::Locked(status) });
                    }
                    status => return Err(AnswerError::Refused(status)),
                },
            };
            tries_left -= 1;
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

/// Whether a refusal is about the length of what was sent: servers say so in words of their own.
async fn is_full(response: reqwest::Response, patience: Duration) -> bool {
    let said = said(response, patience).await.to_lowercase();
    ["context_length_exceeded", "context length", "context window", "too many tokens", "prompt is too long"]
        .iter()
        .any(|words| said.contains(words))
}

/// The beginning of what a server says.
async fn said(response: reqwest::Response, patience: Duration) -> String {
    let mut said = Vec::new();
    let mut body = response.bytes_stream();
    while said.len() < 16 * 1024
        && let Ok(Some(Ok(chunk))) = timeout(patience, body.next()).await
    {
        said.extend_from_slice(&chunk);
    }
    String::from_utf8_lossy(&said).into_owned()
}

/// What the model gives as the reason of its end.
fn end(reason: &str) -> Result<(), AnswerError> {
    match reason {
        "length" => Err(AnswerError::Limit),
        "content_filter" => Err(AnswerError::Withheld),
        _ => Ok(()),
    }
}

enum Line {
    Chunk(Chunk),
    Done,
    Nothing,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Counted>,
}

/// As a server tells it: with any number that it likes.
#[derive(Deserialize)]
struct Counted {
    #[serde(default)]
    prompt_tokens: i64,
    #[serde(default)]
    completion_tokens: i64,
}

fn usage(told: Counted) -> Option<Usage> {
    let count = |n: i64| i32::try_from(n).ok().filter(|n| *n >= 0);
    Some(Usage { read: count(told.prompt_tokens)?, written: count(told.completion_tokens)? })
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
    Ok(Line::Chunk(chunk))
}
