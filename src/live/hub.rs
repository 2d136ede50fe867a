//! One process's end of the feed: it moves its own writes into the feed, listens once for everybody, and hands each event
//! to those who subscribed. The order of the feed is the order of delivery, and the end of a session is an event like any
//! other: whoever is cut off by it hears nothing that comes after it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{postgres::PgListener, postgres::PgPoolOptions};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::sql;
use crate::{
    error::AppError,
    server::lanes::{Lanes, Reason},
    types::{GenerationId, SessionId, UserId},
};

/// Events that may wait for one slow listener; after that it is told to read its page anew.
pub const QUEUE: usize = 512;
/// Streams that one person may have open here. A browser has one for all its tabs, so these are as many browsers.
const STREAMS: usize = 16;
/// Rows a statement moves or reads.
const BATCH: i32 = 500;
/// Without any notification, the feed is looked at this often: a process that died between its commit and its wake-up
/// costs others this long and no event.
const POLL: Duration = Duration::from_secs(1);
/// Wake-ups within this time share one turn of the sequencer.
const COALESCE: Duration = Duration::from_millis(5);

/// Shared by everything in the process; cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    lanes: Lanes,
    work: Notify,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    /// The place up to which subscribers have been told; `None` until the feed has been looked at.
    pos: Option<i64>,
    listeners: HashMap<UserId, Vec<Listener>>,
    /// Answers that this process is writing, by generation.
    writers: HashMap<GenerationId, CancellationToken>,
}

struct Listener {
    session: Option<SessionId>,
    send: mpsc::Sender<Item>,
    missed: Arc<AtomicBool>,
}

/// What a subscriber receives: a place among the user's own events, and the event's JSON.
pub type Item = (i64, Arc<str>);

/// A place at the feed. Dropping it ends the subscription.
pub struct Subscription {
    pub events: mpsc::Receiver<Item>,
    missed: Arc<AtomicBool>,
}

impl Subscription {
    /// After the last event: whether it ended because this listener was too slow.
    pub fn was_too_slow(&self) -> bool {
        self.missed.load(Ordering::Acquire)
    }
}

impl Hub {
    pub fn new(lanes: Lanes) -> Self {
        Self(Arc::new(Inner { lanes, work: Notify::new(), heard: Mutex::default() }))
    }

    /// Call after a commit that changed something: the outbox has work.
    pub fn wake(&self) {
        self.0.work.notify_one();
    }

    /// From now on, this user's events. What the caller may hear has to be decided after this call and before the first
    /// event is passed on: a session that ends in between is then either refused there or ended here.
    ///
    /// `Unavailable` before [`Hub::prepare`]: without a place to go on from, what lies between would be lost in silence.
    pub fn subscribe(&self, user: UserId, session: Option<SessionId>) -> Result<Subscription, AppError> {
        let (send, events) = mpsc::channel(QUEUE);
        let missed = Arc::new(AtomicBool::new(false));
        let mut heard = self.heard();
        if heard.pos.is_none() {
            return Err(AppError::Unavailable);
        }
        let listeners = heard.listeners.entry(user).or_default();
        listeners.retain(|l| !l.send.is_closed());
        listeners.push(Listener { session, send, missed: missed.clone() });
        Ok(Subscription { events, missed })
    }

    /// Ends the oldest streams of somebody who has too many. The oldest and not the newest is refused: it may hang on a
    /// network that is long gone, while somebody looks at the newest. One that is alive comes back with its cursor and misses
    /// nothing. Call once it is decided that the newest may hear.
    pub fn make_room(&self, user: UserId) {
        if let Some(listeners) = self.heard().listeners.get_mut(&user) {
            listeners.retain(|l| !l.send.is_closed());
            let over = listeners.len().saturating_sub(STREAMS);
            listeners.drain(..over);
        }
    }

    /// Finds the end of the feed, once: what is older than this is for pages to read.
    pub async fn prepare(&self) -> Result<(), AppError> {
        if self.heard().pos.is_some() {
            return Ok(());
        }
        let mut lane = self.0.lanes.service(Reason::Live).await?;
        let end = sql::end(&mut lane).await?;
        lane.commit().await?;
        self.heard().pos.get_or_insert(end);
        Ok(())
    }

    /// How many streams are open here.
    pub fn subscribers(&self) -> usize {
        self.heard().listeners.values().flatten().filter(|l| !l.send.is_closed()).count()
    }

    /// Registers the writer of an answer; the token is cancelled when somebody, in whatever process, asks it to stop.
    pub fn writing(&self, generation: GenerationId) -> CancellationToken {
        let token = CancellationToken::new();
        self.heard().writers.insert(generation, token.clone());
        token
    }

    pub fn written(&self, generation: GenerationId) {
        self.heard().writers.remove(&generation);
    }

    /// Runs the sequencer and the listener until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let sequencer = self.clone();
        let until = stop.clone();
        tokio::join!(
            async move {
                while !until.is_cancelled() {
                    tokio::select! {
                        () = sequencer.0.work.notified() => {}
                        () = tokio::time::sleep(POLL) => {}
                        () = until.cancelled() => break,
                    }
                    if let Err(error) = sequencer.sequence().await {
                        if until.is_cancelled() {
                            break;
                        }
                        tracing::warn!(%error, "the feed could not be moved on; it is tried again");
                        tokio::time::sleep(POLL).await;
                    }
                    tokio::time::sleep(COALESCE).await;
                }
            },
            async move {
                while !stop.is_cancelled() {
                    tokio::select! {
                        () = stop.cancelled() => break,
                        ended = self.listen() => {
                            if let Err(error) = ended {
                                if stop.is_cancelled() {
                                    break;
                                }
                                tracing::warn!(%error, "the feed can't be heard; it is tried again");
                            }
                            tokio::time::sleep(POLL).await;
                        }
                    }
                }
                self.heard().listeners.clear();
            }
        );
    }

    /// Moves everything that waits in the outbox.
    pub async fn sequence(&self) -> Result<(), AppError> {
        loop {
            let mut lane = self.0.lanes.service(Reason::Live).await?;
            let moved = sql::sequence(&mut lane, BATCH).await?;
            lane.commit().await?;
            if moved < BATCH {
                return Ok(());
            }
        }
    }

    async fn listen(&self) -> Result<(), AppError> {
        let pool = PgPoolOptions::new().max_connections(1).connect_with(self.0.lanes.listener_options()).await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen("moat_feed").await?;
        self.prepare().await?;
        loop {
            while self.pass_on().await? {}
            match tokio::time::timeout(POLL, listener.recv()).await {
                Ok(Ok(_)) | Err(_) => {}
                Ok(Err(error)) => return Err(error.into()),
            }
        }
    }

    /// Reads the next rows and tells them; true when there may be more.
    async fn pass_on(&self) -> Result<bool, AppError> {
        let after = self.heard().pos.ok_or(AppError::Unavailable)?;
        let mut lane = self.0.lanes.service(Reason::Live).await?;
        let rows = sql::read(&mut lane, after, BATCH).await?;
        lane.commit().await?;
        let more = rows.len() == BATCH as usize;
        let mut heard = self.heard();
        for row in rows {
            heard.tell(row);
        }
        Ok(more)
    }

    /// No code panics while holding it, and a poisoned feed would silence everybody.
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heard {
    fn tell(&mut self, row: sql::FeedRow) {
        self.pos = Some(row.pos);
        match row.kind.as_str() {
            "session.ended" => {
                let ended: Option<SessionId> =
                    row.payload.get("sid").and_then(|v| serde_json::from_value(v.clone()).ok());
                if let Some(listeners) = self.listeners.get_mut(&row.user) {
                    listeners.retain(|l| l.session.is_none() || l.session != ended);
                }
                return;
            }
            "user.closed" => {
                self.listeners.remove(&row.user);
                return;
            }
            "answer.stop" => {
                let asked: Option<GenerationId> =
                    row.payload.get("generation").and_then(|v| serde_json::from_value(v.clone()).ok());
                if let Some(writer) = asked.and_then(|id| self.writers.get(&id)) {
                    writer.cancel();
                }
                return;
            }
            _ => {}
        }
        let Some(listeners) = self.listeners.get_mut(&row.user) else {
            return;
        };
        let event = event_json(&row.kind, row.payload);
        listeners.retain(|l| match l.send.try_send((row.upos, event.clone())) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                l.missed.store(true, Ordering::Release);
                false
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        });
        if listeners.is_empty() {
            self.listeners.remove(&row.user);
        }
    }
}

/// The event as it travels: the payload and its kind.
pub fn event_json(kind: &str, payload: serde_json::Value) -> Arc<str> {
    let mut event = payload;
    if let Some(fields) = event.as_object_mut() {
        fields.insert("kind".into(), kind.into());
    }
    event.to_string().into()
}
