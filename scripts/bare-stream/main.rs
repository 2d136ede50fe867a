//! The least that fans out server-sent events with moat's own libraries and its allocator: everybody hears everything, nobody is
//! asked who they are, and there is no cursor. What moat needs beyond this is what its feed costs.
//!   bare-stream <port>
//! GET /live is the stream. POST /tell takes events, a line for the id and one for the data each, and tells them.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{
        IntoResponse, Sse,
        sse::{Event, KeepAlive},
    },
    routing::{get, post},
};
use futures::StreamExt;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Its id and its data, shared by all streams.
type Told = Arc<(String, String)>;

async fn live(State(everybody): State<broadcast::Sender<Told>>) -> impl IntoResponse {
    // Whoever falls behind is cut off, as with moat: events that were passed over in silence would look like speed.
    let events = BroadcastStream::new(everybody.subscribe())
        .take_while(|told| std::future::ready(told.is_ok()))
        .filter_map(async |told| told.ok())
        .map(|told| Ok::<_, Infallible>(Event::default().id(&told.0).data(&told.1)));
    Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}

async fn tell(State(everybody): State<broadcast::Sender<Told>>, events: String) -> StatusCode {
    let mut lines = events.lines();
    while let (Some(id), Some(data)) = (lines.next(), lines.next()) {
        if everybody.send(Arc::new((id.to_owned(), data.to_owned()))).is_err() {
            return StatusCode::GONE;
        }
    }
    StatusCode::NO_CONTENT
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).ok_or("which port?")?.parse()?;
    let (everybody, _) = broadcast::channel(512); // as many as moat keeps for a slow stream
    let doors = Router::new().route("/live", get(live)).route("/tell", post(tell)).with_state(everybody);
    axum::serve(tokio::net::TcpListener::bind(("127.0.0.1", port)).await?, doors).await?;
    Ok(())
}
