//! `GET /live?after=<place>`: the caller's events, as server-sent events. `Last-Event-ID` goes before `after`, so that a
//! browser which lost its connection goes on where it was.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::{Query, State},
    http::HeaderMap,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::{Stream, stream};
use tokio::time::Instant;

use super::{
    hub::{Item, Subscription, event_json},
    sql,
};
use crate::{
    error::AppError,
    server::{
        caller::{Caller, Until, now as now_in_seconds},
        lanes::Opening,
        state::AppState,
    },
};

/// Rows read at once while catching up.
const PAGE: i32 = 500;
/// Whoever has missed more than this reads the page anew: that is less to send, and nothing to keep in memory.
pub const TOO_MUCH: usize = 5000;

#[derive(serde::Deserialize)]
pub struct After {
    after: Option<i64>,
}

pub async fn live(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    until: Option<Extension<Until>>,
    after: Result<Query<After>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let Caller::User(opening) = caller else {
        return AppError::Unauthenticated.into_response();
    };
    let Ok(Query(After { after })) = after else {
        return AppError::invalid("after", "This is no place in the feed.").into_response();
    };
    let resumed = headers.get("last-event-id").and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    match open(state, opening, resumed.or(after), until.map(|Extension(until)| until)).await {
        Ok(events) => Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response(),
        Err(error) => error.into_response(),
    }
}

/// First the place at the hub, then the permission: see [`crate::live::hub::Hub::subscribe`].
async fn open(
    state: AppState,
    opening: Opening,
    after: Option<i64>,
    until: Option<Until>,
) -> Result<impl Stream<Item = Result<Event, Infallible>> + use<>, AppError> {
    let subscription = state.hub.subscribe(opening.user, opening.session)?;
    let mut lane = state.lanes.user(&opening).await?;
    let now = sql::cursor(&mut lane).await?;
    // What is committed up to here is in the table; what comes later comes from the hub, which was asked before.
    let from = now.pos;
    let after = after.unwrap_or(from);
    // Older than what is kept, or from a feed that is not this one (a restored database): nothing can be told again.
    let mut lost = after < now.floor || after > from || after < 0;
    let mut waiting: VecDeque<Item> = VecDeque::new();
    if !lost {
        let mut at = after;
        while at < from {
            let rows = sql::mine(&mut lane, at, from, PAGE).await?;
            let full = rows.len() == PAGE as usize;
            for (pos, kind, payload) in rows {
                at = pos;
                // The hub keeps these to itself; so does catching up.
                if !matches!(kind.as_str(), "session.ended" | "user.closed" | "answer.stop") {
                    waiting.push_back((pos, event_json(&kind, payload)));
                }
            }
            if waiting.len() > TOO_MUCH {
                lost = true;
                waiting.clear();
                break;
            }
            if !full {
                break;
            }
        }
    }
    if lost {
        waiting.push_back((from, Arc::from(r#"{"kind":"resync"}"#)));
    }
    lane.commit().await?;
    state.hub.make_room(opening.user);
    let state = Telling {
        waiting,
        subscription,
        last: if lost { from } else { after },
        told_slow: false,
        stopping: state.stopping.clone(),
        ends: until
            .map(|Until(at)| Instant::now() + Duration::from_secs((at - now_in_seconds()).max(0).unsigned_abs())),
    };
    Ok(stream::unfold(state, next))
}

struct Telling {
    waiting: VecDeque<Item>,
    subscription: Subscription,
    last: i64,
    told_slow: bool,
    stopping: tokio_util::sync::CancellationToken,
    /// With a bearer token: when it ends. There may be no session whose end could be told.
    ends: Option<Instant>,
}

/// Never, without an end.
async fn ended(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn next(mut t: Telling) -> Option<(Result<Event, Infallible>, Telling)> {
    if let Some(item) = t.waiting.pop_front() {
        t.last = item.0;
        return Some((Ok(event(&item)), t));
    }
    loop {
        let item = tokio::select! {
            item = t.subscription.events.recv() => item,
            () = t.stopping.cancelled() => return None,
            () = ended(t.ends) => return None,
        };
        match item {
            // Already told from the table, or before the client's own cursor.
            Some((pos, _)) if pos <= t.last => {}
            Some(item) => {
                t.last = item.0;
                return Some((Ok(event(&item)), t));
            }
            None if t.subscription.was_too_slow() && !t.told_slow => {
                t.told_slow = true;
                return Some((Ok(event(&(t.last, Arc::from(r#"{"kind":"resync"}"#)))), t));
            }
            None => return None,
        }
    }
}

fn event((pos, json): &Item) -> Event {
    Event::default().id(pos.to_string()).data(format!(r#"{{"pos":{pos},"event":{json}}}"#))
}
