//! `GET /live?after=<place>`: the caller's events, as server-sent events, and with `desks` those of desks that they are members
//! of. `Last-Event-ID` goes before both, so that a browser which lost its connection goes on where it was. With `once` it ends when
//! all that there was is told: for a browser behind something that holds streams back until they end.

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
use futures::{Stream, StreamExt, stream};
use tokio::time::Instant;

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
fn alive() -> Event {
    Event::default().event("alive").data("1")
}

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
        Ok(events) => {
            let events = stream::once(async { Ok(alive()) }).chain(events);
            let every = KeepAlive::new().interval(Duration::from_secs(15)).event(alive());
            Sse::new(events).keep_alive(every).into_response()
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
) -> Result<impl Stream<Item = Result<Event, Infallible>> + use<>, AppError> {
    let subscription = state.hub.subscribe(opening.user, opening.session)?;
    let mut telling = Telling {
        waiting: VecDeque::new(),
        subscription,
        topics: Vec::new(),
        told_slow: false,
        once,
        stopping: state.stopping.clone(),
        ends: until
            .map(|Until(at)| Instant::now() + Duration::from_secs((at - now_in_seconds()).max(0).unsigned_abs())),
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
    Ok(stream::unfold(telling, next))
}

struct Telling {
    waiting: VecDeque<Item>,
    subscription: Subscription,
    topics: Vec<Topic>,
    told_slow: bool,
    /// Ends with what there was.
    once: bool,
    stopping: tokio_util::sync::CancellationToken,
    /// With a bearer token: when it ends. There may be no session whose end could be told.
    ends: Option<Instant>,
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
    fn event(&mut self, item: &Item) -> Event {
        let Item { topic, pos, event } = item;
        let told = &mut self.topics[*topic];
        told.last = told.last.map(|_| *pos);
        let desk = told.desk.map_or(String::new(), |desk| format!(r#""desk":"{desk}","#));
        let places = self.topics.iter().map(|topic| topic.last.map_or("-".to_owned(), |last| last.to_string()));
        Event::default()
            .id(places.collect::<Vec<_>>().join(","))
            .data(format!(r#"{{{desk}"pos":{pos},"event":{event}}}"#))
    }
}

/// Never, without an end.
async fn ended(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn next(mut t: Telling) -> Option<(Result<Event, Infallible>, Telling)> {
    if t.subscription.is_cut() {
        return None;
    }
    if let Some(item) = t.waiting.pop_front() {
        let event = t.event(&item);
        return Some((Ok(event), t));
    }
    if t.once {
        return None;
    }
    loop {
        let item = tokio::select! {
            item = t.subscription.next() => item,
            () = t.stopping.cancelled() => return None,
            () = ended(t.ends) => return None,
        };
        match item {
            // Already told from the table, or before the client's own cursor.
            Some(item) if t.topics.get(item.topic).and_then(|topic| topic.last).is_none_or(|last| item.pos <= last) => {
            }
            Some(item) => {
                let event = t.event(&item);
                return Some((Ok(event), t));
            }
            None if t.subscription.was_too_slow() && !t.told_slow => {
                t.told_slow = true;
                // Each of its pages reads anew; the stream ends after the last of them.
                for (topic, pos) in t.topics.iter().enumerate().filter_map(|(n, topic)| Some((n, topic.last?))) {
                    t.waiting.push_back(Item { topic, pos, event: Arc::from(RESYNC) });
                }
                let item = t.waiting.pop_front()?;
                let event = t.event(&item);
                return Some((Ok(event), t));
            }
            None => return None,
        }
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
