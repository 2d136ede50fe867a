//! `GET /widget-live`: word that something has happened in a visitor's conversation, as server-sent events. Their page reads it
//! anew then, as it does whenever the stream begins: what happened before is in the page, and nothing has to be told again.

use std::{convert::Infallible, time::Duration};

use axum::{
    Extension,
    extract::State,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::{Stream, stream};

use super::sql;
use crate::{
    error::AppError,
    live::hub::Subscription,
    server::{caller::Visiting, state::AppState},
};

pub async fn live(State(state): State<AppState>, visiting: Option<Extension<Visiting>>) -> Response {
    let Some(Extension(visiting)) = visiting else { return AppError::Unauthenticated.into_response() };
    match open(state, &visiting).await {
        Ok(events) => Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response(),
        Err(error) => error.into_response(),
    }
}

/// First the place at the hub, then the permission, as for everybody.
async fn open(
    state: AppState,
    visiting: &Visiting,
) -> Result<impl Stream<Item = Result<Event, Infallible>> + use<>, AppError> {
    let mut lane = state.lanes.visitor(&visiting.0).await?;
    let (topic, desk) = sql::topics(&mut lane).await?;
    lane.commit().await?;
    let subscription = state.hub.visit(topic, desk)?;
    let mut lane = state.lanes.visitor(&visiting.0).await?;
    sql::topics(&mut lane).await?;
    lane.commit().await?;
    let begun = Event::default().data("begun");
    Ok(stream::unfold((Some(begun), subscription, state.stopping.clone()), next))
}

type Telling = (Option<Event>, Subscription, tokio_util::sync::CancellationToken);

async fn next((begun, mut subscription, stopping): Telling) -> Option<(Result<Event, Infallible>, Telling)> {
    if let Some(event) = begun {
        return Some((Ok(event), (None, subscription, stopping)));
    }
    tokio::select! {
        item = subscription.next() => {
            item?;
            Some((Ok(Event::default().data("changed")), (None, subscription, stopping)))
        }
        () = stopping.cancelled() => None,
    }
}
