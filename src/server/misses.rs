//! What people ask for and are told that there is none of. Each such request is noted alike, after its answer, whether there is
//! anything or not: a job finds out later, so that neither the answer nor its time tells.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{MatchedPath, Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{caller::Caller, forms, router, state::AppState};
use crate::{error::AppError, types::UserId};

/// Who asked for which id in vain, and how often.
type Asked = HashMap<(UserId, Uuid), u32>;

/// More than these are not kept between two looks of the job: a flood of them is no news.
const MAX: usize = 10_000;
/// Of one request.
const IDS: usize = 256;

#[derive(Clone, Default)]
pub struct Misses(Arc<Mutex<Asked>>);

impl Misses {
    fn add(&self, user: UserId, ids: impl Iterator<Item = Uuid>) {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ids: HashSet<Uuid> = ids.collect();
        for id in ids.into_iter().take(IDS) {
            if asked.len() < MAX || asked.contains_key(&(user, id)) {
                *asked.entry((user, id)).or_default() += 1;
            }
        }
    }

    /// What there is so far; it is forgotten here.
    pub fn take(&self) -> Asked {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn put_back(&self, old: Asked) {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, n) in old {
            if asked.len() < MAX || asked.contains_key(&key) {
                *asked.entry(key).or_default() += n;
            }
        }
    }
}

/// As the database takes them.
pub fn rows(asked: &Asked) -> Value {
    asked.iter().map(|((user, id), n)| json!({ "sub": user, "id": id, "n": n })).collect()
}

/// Fields in which people write: an id there is not asked for.
const WORDS: [&str; 5] = ["text", "name", "title", "description", "instructions"];

/// Around every door: of a request that was answered with 404, all ids that stood in its address and its form. An address that is
/// no door of ours is a link that leads nowhere, and accuses nobody.
pub async fn note(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let user = match request.extensions().get::<Caller>() {
        Some(Caller::User(opening)) => opening.user,
        _ => return next.run(request).await,
    };
    let Some(door) = request.extensions().get::<MatchedPath>().cloned() else { return next.run(request).await };
    let (parts, body) = request.into_parts();
    let header = |name| parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let mut text = format!("{} {} ", parts.uri, header(super::caller::PLACE)).into_bytes();
    // Whatever it says that it is: server functions take it all the same. Files alone are too long.
    let (bytes, body) = if door.as_str() != "/import/file" {
        match whole(body, router::TIMEOUT).await {
            Ok(bytes) => (bytes.clone(), Body::from(bytes)),
            Err(error) => return error.into_response(),
        }
    } else {
        (Bytes::new(), body)
    };
    let response = next.run(Request::from_parts(parts, body)).await;
    if response.status() == StatusCode::NOT_FOUND {
        let fields = form_urlencoded::parse(&bytes).filter(|(name, _)| !WORDS.contains(&name.as_ref()));
        for (name, value) in fields {
            text.extend_from_slice(format!("{name} {value} ").as_bytes());
        }
        state.misses.add(user, ids(&text).into_iter());
    }
    response
}

/// A form's body. It is read out here, where the doors' own timeout does not reach.
async fn whole(body: Body, patience: Duration) -> Result<Bytes, AppError> {
    let read = tokio::time::timeout(patience, to_bytes(body, forms::BODY_MAX)).await;
    read.map_err(|_| AppError::Unavailable)?.map_err(|_| AppError::TooLarge)
}

/// The ids in a text, with dashes or without.
fn ids(text: &[u8]) -> Vec<Uuid> {
    let text: Vec<u8> = percent_encoding::percent_decode(text).collect();
    text.split(|byte| !byte.is_ascii_hexdigit() && *byte != b'-')
        .filter(|word| word.len() == 32 || word.len() == 36)
        .filter_map(|word| Uuid::try_parse_ascii(word).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_however_they_stand_in_a_request() {
        let id = Uuid::from_u128(0x1234_5678_9abc_4def_8123_4567_89ab_cdef);
        for text in [
            format!("/w/{id}/projects/{id}?at={id}"),
            format!("thread={}&threads%5B%5D={}", id.simple(), id),
            format!("%7B{}%7D", id.to_string().to_uppercase()),
        ] {
            let found = ids(text.as_bytes());
            assert!(!found.is_empty() && found.iter().all(|f| *f == id), "{text}: {found:?}");
        }
        assert!(ids(b"/chat/none?text=12345678-1234").is_empty());
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_to_its_end_is_not_waited_for() {
        let never = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(whole(never, Duration::from_millis(1)).await, Err(AppError::Unavailable));
        assert_eq!(whole(Body::from("a=b"), router::TIMEOUT).await, Ok(Bytes::from("a=b")));
    }

    #[test]
    fn a_flood_is_not_kept() {
        let misses = Misses::default();
        let user = UserId(Uuid::from_u128(1));
        for n in 0..MAX as u128 + 100 {
            misses.add(user, std::iter::once(Uuid::from_u128(n)));
        }
        misses.add(user, std::iter::once(Uuid::from_u128(0)));
        let asked = misses.take();
        assert_eq!((asked.len(), asked[&(user, Uuid::from_u128(0))]), (MAX, 2));
        assert!(misses.take().is_empty());
    }
}
