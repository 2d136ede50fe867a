//! `GET /live?after=<place>`: the caller's events, as server-sent events, and with `desks` those of desks that they are members
//! of. `Last-Event-ID` goes before both, so that a browser which lost its connection goes on where it was. With `once` it ends when
//! all that there was is told: for a browser behind something that holds streams back until they end.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io::Write,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Extension,
    body::Body,
    extract::{Query, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use hyper::body::{Bytes, Frame};
use tokio::time::{Instant, Sleep};

use super::{
    hub::{Item, Subscription, event_json, is_inner},
    sql,
};
use crate::{
    error::AppError,
    server::{
        caller::{Caller, Until, now as now_in_seconds},
        lanes::{Opening, UserLane},
        state::AppState,
    },
    types::PlaceId,
};

/// Rows read at once while catching up.
const PAGE: i32 = 500;
/// Whoever has missed more than this reads the page anew: that is less to send, and nothing to keep in memory.
pub const TOO_MUCH: usize = 5000;
const RESYNC: &str = r#"{"kind":"resync"}"#;

/// Desks that one stream tells of.
const DESKS: usize = 8;

#[derive(serde::Deserialize)]
pub struct After {
    after: Option<i64>,
    /// `<place>.<place in its feed>`, with commas between: the desks to tell of.
    desks: Option<String>,
    once: Option<bool>,
}

/// A sign of life. A name of its own: a browser shows a script no comments, and one that hears nothing can't say whether it is up to
/// date. The first comes before everything else: until then nobody knows that bytes come through.
const ALIVE: &[u8] = b"event: alive\ndata: 1\n\n";
/// A stream is silent for no longer than this.
const EVERY: Duration = Duration::from_secs(15);
/// What waits is sent together, up to about this many bytes.
const PIECE: usize = 16 * 1024;

/// The desks of an address: each place, and after which of its events to go on.
fn desks(named: &str) -> Option<Vec<(PlaceId, i64)>> {
    let one = |desk: &str| {
        let (place, after) = desk.split_once('.')?;
        Some((place.parse().ok()?, after.parse().ok()?))
    };
    let desks: Vec<_> = named.split(',').filter(|desk| !desk.is_empty()).map(one).collect::<Option<_>>()?;
    (desks.len() <= DESKS).then_some(desks)
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
    let wrong = || AppError::invalid("after", "This is no place in the feed.").into_response();
    let Ok(Query(After { mut after, desks: named, once })) = after else { return wrong() };
    let Some(mut desks) = desks(&named.unwrap_or_default()) else { return wrong() };
    // A browser that lost its connection says how far it had come in each.
    if let Some(resumed) = headers.get("last-event-id").and_then(|v| v.to_str().ok()) {
        let mut places = resumed.split(',').map(|place| place.parse().ok());
        after = places.next().flatten().or(after);
        for (desk, place) in desks.iter_mut().zip(places) {
            desk.1 = place.unwrap_or(desk.1);
        }
    }
    match open(state, opening, after, desks, until.map(|Extension(until)| until), once.unwrap_or_default()).await {
        Ok(telling) => {
            // The last is for proxies, some of which hold everything back otherwise.
            let headers = [
                (header::CONTENT_TYPE.as_str(), "text/event-stream"),
                (header::CACHE_CONTROL.as_str(), "no-cache"),
                ("x-accel-buffering", "no"),
            ];
            (headers, Body::new(telling)).into_response()
        }
        Err(error) => error.into_response(),
    }
}

/// First the place at the hub, then the permission: see [`crate::live::hub::Hub::subscribe`].
async fn open(
    state: AppState,
    opening: Opening,
    after: Option<i64>,
    desks: Vec<(PlaceId, i64)>,
    until: Option<Until>,
    once: bool,
) -> Result<Telling, AppError> {
    let subscription = state.hub.subscribe(opening.user, opening.session)?;
    let now = Instant::now();
    let left = |Until(at): Until| Duration::from_secs((at - now_in_seconds()).max(0).unsigned_abs());
    let mut telling = Telling {
        waiting: VecDeque::new(),
        subscription,
        topics: Vec::new(),
        begun: false,
        over: once,
        ends: until.map(|until| Box::pin(tokio::time::sleep(left(until)))),
        told: now,
        heartbeat: Box::pin(tokio::time::sleep(EVERY)),
    };
    let mut lane = state.lanes.user(&opening).await?;
    let now = sql::cursor(&mut lane, false).await?;
    telling.catch_up(&mut lane, None, now, after).await?;
    lane.commit().await?;
    for (place, after) in desks {
        let opening = Opening { place: Some(place), ..opening.clone() };
        match telling.hear_desk(&state, &opening, place, after).await {
            // Not theirs, or not any more: the others go on.
            Err(AppError::NotFound) => telling.closed(place, after),
            heard => heard?,
        }
    }
    // What was caught up with may be younger than the end of the session: the desks' lanes were open before.
    if telling.topics.len() > 1 {
        state.lanes.user(&opening).await?.commit().await?;
    }
    // One that ends at once takes nobody's place.
    if !once {
        state.hub.make_room(opening.user);
    }
    Ok(telling)
}

/// The body of a stream. It is asked for each of its pieces, a thousand times for an event that a thousand hear, so that it makes
/// nothing anew for one but the bytes.
struct Telling {
    /// What is told before the hub is asked.
    waiting: VecDeque<Item>,
    subscription: Subscription,
    topics: Vec<Topic>,
    begun: bool,
    /// Nothing comes after what waits.
    over: bool,
    /// With a bearer token: when it ends. There may be no session whose end could be told.
    ends: Option<Pin<Box<Sleep>>>,
    /// When something was told last.
    told: Instant,
    heartbeat: Pin<Box<Sleep>>,
}

/// One of the topics of a stream, by its number there.
struct Topic {
    /// Whose desk; `None` for the caller's own.
    desk: Option<PlaceId>,
    /// What has been told of it; `None` for one that is closed.
    last: Option<i64>,
}

impl Telling {
    /// First the place at the hub, here as well; then what the lane says once more.
    async fn hear_desk(
        &mut self,
        state: &AppState,
        opening: &Opening,
        place: PlaceId,
        after: i64,
    ) -> Result<(), AppError> {
        let mut lane = state.lanes.workspace(opening).await?;
        let topic = sql::cursor(&mut lane, true).await?.topic;
        state.hub.also(&self.subscription, self.topics.len(), topic, place);
        // Past the removal of whoever hears, this finds nothing, and what the hub has for that number is passed over.
        match sql::cursor(&mut lane, true).await {
            Ok(now) => self.catch_up(&mut lane, Some(place), now, Some(after)).await?,
            Err(AppError::NotFound) => self.closed(place, after),
            Err(error) => return Err(error),
        }
        lane.commit().await
    }

    /// A desk that is not to be heard.
    fn closed(&mut self, place: PlaceId, after: i64) {
        self.topics.push(Topic { desk: Some(place), last: None });
        let event = Arc::from(r#"{"kind":"desk.closed"}"#);
        self.waiting.push_back(Item { topic: self.topics.len() - 1, pos: after, event });
    }

    /// What is committed up to `now` is in the table; what comes later comes from the hub, which was asked before.
    async fn catch_up(
        &mut self,
        lane: &mut UserLane,
        desk: Option<PlaceId>,
        now: sql::Cursor,
        after: Option<i64>,
    ) -> Result<(), AppError> {
        let (topic, from) = (self.topics.len(), now.pos);
        let after = after.unwrap_or(from);
        // Older than what is kept, or from a feed that is not this one (a restored database): nothing can be told again.
        let mut lost = after < now.floor || after > from || after < 0;
        let mut missed = Vec::new();
        let mut at = after;
        while !lost && at < from {
            let rows = sql::mine(lane, desk.is_some(), at, from, PAGE).await?;
            let full = rows.len() == PAGE as usize;
            for (pos, kind, payload) in rows {
                at = pos;
                // The hub keeps these to itself; so does catching up.
                if !is_inner(&kind) {
                    missed.push(Item { topic, pos, event: event_json(&kind, payload) });
                }
            }
            lost = missed.len() > TOO_MUCH;
            if !full {
                break;
            }
        }
        if lost {
            missed = vec![Item { topic, pos: from, event: Arc::from(RESYNC) }];
        }
        self.waiting.extend(missed);
        self.topics.push(Topic { desk, last: Some(if lost { from } else { after }) });
        Ok(())
    }

    /// As it travels. Its id is how far this stream has come in each of its topics.
    fn write(&mut self, out: &mut Vec<u8>, item: &Item) -> std::io::Result<()> {
        let told = &mut self.topics[item.topic];
        told.last = told.last.map(|_| item.pos);
        let desk = told.desk;
        for (n, topic) in self.topics.iter().enumerate() {
            out.extend_from_slice(if n == 0 { b"id: " } else { b"," });
            match topic.last {
                Some(last) => write!(out, "{last}")?,
                None => out.push(b'-'),
            }
        }
        out.extend_from_slice(b"\ndata: {");
        if let Some(desk) = desk {
            write!(out, r#""desk":"{desk}","#)?;
        }
        write!(out, "\"pos\":{},\"event\":{}}}\n\n", item.pos, item.event)
    }

    /// What there is to tell at this moment; `None` when its reader may hear no more.
    fn piece(&mut self, cx: &mut Context<'_>) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        if !self.begun {
            self.begun = true;
            out.extend_from_slice(ALIVE);
        }
        while out.len() < PIECE {
            if self.subscription.is_cut() {
                return None;
            }
            let item = match self.waiting.pop_front() {
                Some(item) => item,
                None if self.over => break,
                None => match self.subscription.poll_next(cx) {
                    Poll::Pending => break,
                    // Already told from the table, or before the client's own cursor.
                    Poll::Ready(Some(item)) if self.has_told(&item) => continue,
                    Poll::Ready(Some(item)) => item,
                    Poll::Ready(None) => {
                        self.over = true;
                        if self.subscription.was_too_slow() {
                            // Each of its pages reads anew; the stream ends after the last of them.
                            let topics = self.topics.iter().enumerate().filter_map(|(n, topic)| Some((n, topic.last?)));
                            let resync = |(topic, pos)| Item { topic, pos, event: Arc::from(RESYNC) };
                            self.waiting.extend(topics.map(resync));
                        }
                        continue;
                    }
                },
            };
            // Memory is written to; that does not fail.
            self.write(&mut out, &item).ok()?;
        }
        Some(out)
    }

    fn has_told(&self, item: &Item) -> bool {
        self.topics.get(item.topic).and_then(|topic| topic.last).is_none_or(|last| item.pos <= last)
    }
}

impl hyper::body::Body for Telling {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.ends.as_mut().is_some_and(|ends| ends.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(None);
        }
        let Some(piece) = self.piece(cx) else { return Poll::Ready(None) };
        if !piece.is_empty() {
            self.told = Instant::now();
            return Poll::Ready(Some(Ok(Frame::data(piece.into()))));
        }
        if self.over {
            return Poll::Ready(None);
        }
        // Set anew when it fires and not for each event, which would cost more than the event.
        while self.heartbeat.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if self.told + EVERY <= now {
                self.told = now;
                self.heartbeat.as_mut().reset(now + EVERY);
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(ALIVE)))));
            }
            let next = self.told + EVERY;
            self.heartbeat.as_mut().reset(next);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::desks;

    #[test]
    fn desks_are_named_by_places_and_how_far_one_had_come() {
        let place = "00000000-0000-4000-8000-000000000001";
        assert_eq!(desks(""), Some(vec![]));
        assert_eq!(desks(&format!("{place}.7,")), Some(vec![(place.parse().unwrap(), 7)]));
        for wrong in ["x.7", place, &format!("{place}.x"), &[format!("{place}.7").as_str(); 9].join(",")] {
            assert_eq!(desks(wrong), None, "{wrong}");
        }
    }
}
