//! One process's end of the feed: it moves its own writes into the feed, listens once for everybody, and hands each event
//! to those who subscribed. The order of the feed is the order of delivery, and the end of a session is an event like any
//! other: whoever is cut off by it hears nothing that comes after it.

use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::task::AtomicWaker;
use sqlx::{postgres::PgListener, postgres::PgPoolOptions};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::sql;
use crate::{
    error::AppError,
    server::lanes::{Lanes, Reason},
    types::{GenerationId, PlaceId, SessionId, TopicId, UserId},
};

/// Events that may wait for one slow listener; after that it is told to read its page anew.
pub const QUEUE: usize = 512;
/// Streams that one person may have open here. A browser has one for all its tabs, so these are as many browsers.
const STREAMS: usize = 16;
/// Streams of one conversation's customer: the tabs in which they have it open.
const VISITS: usize = 8;
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
    /// The process stops: a stream that begins now would be ended by nobody.
    stopped: bool,
    listeners: HashMap<TopicId, Vec<Listener>>,
    /// Answers that this process is writing, by generation.
    writers: HashMap<GenerationId, CancellationToken>,
}

/// A topic that a stream hears, with its number among those of the stream.
struct Listener {
    topic: usize,
    /// Of a desk: where its reader stands there.
    place: Option<PlaceId>,
    /// Hears nothing of the topic but its closing, and ends with it.
    ends_with: bool,
    line: Arc<Line>,
}

/// A stream's end here, shared by all its topics.
struct Line {
    session: Option<SessionId>,
    send: mpsc::Sender<Item>,
    missed: AtomicBool,
    over: AtomicBool,
    /// Whoever waits for the next event.
    waits: AtomicWaker,
}

impl Line {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire) || self.send.is_closed()
    }

    fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.waits.wake();
    }
}

impl Listener {
    /// False when there is no room: then the whole stream is over, and its reader is told to read anew.
    fn pass(&self, pos: i64, event: &Arc<str>) -> bool {
        if self.line.is_over() {
            return false;
        }
        match self.line.send.try_send(Item { topic: self.topic, pos, event: event.clone() }) {
            Ok(()) => true,
            Err(error) => {
                self.line.missed.fetch_or(matches!(error, mpsc::error::TrySendError::Full(_)), Ordering::AcqRel);
                self.line.end();
                false
            }
        }
    }
}

/// What a subscriber receives: which of its topics, a place in that, and the event's JSON.
#[derive(Clone, Debug)]
pub struct Item {
    pub topic: usize,
    pub pos: i64,
    pub event: Arc<str>,
}

/// A place at the feed. Dropping it ends the subscription.
pub struct Subscription {
    events: mpsc::Receiver<Item>,
    line: Arc<Line>,
}

impl Subscription {
    /// The next event; `None` when there will be no more.
    pub async fn next(&mut self) -> Option<Item> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The same for a body, which is asked for each of its pieces: it makes nothing anew for an event.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        if let Poll::Ready(item) = self.events.poll_recv(cx) {
            return Poll::Ready(item);
        }
        // First who waits, then whether it is over: the other way round, an end in between would wake nobody.
        self.line.waits.register(cx.waker());
        // What waits may be held back for a moment, so that others have their turn.
        if self.line.over.load(Ordering::Acquire) && self.events.is_empty() { Poll::Ready(None) } else { Poll::Pending }
    }

    /// Whether its reader may hear no more, whatever still waits.
    pub fn is_cut(&self) -> bool {
        self.line.over.load(Ordering::Acquire) && !self.was_too_slow()
    }

    /// After the last event: whether it ended because this listener was too slow.
    pub fn was_too_slow(&self) -> bool {
        self.line.missed.load(Ordering::Acquire)
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
    /// `Unavailable` before [`Hub::prepare`]: without a place to go on from, what lies between would be lost in silence. And while the
    /// process stops.
    pub fn subscribe(&self, user: UserId, session: Option<SessionId>) -> Result<Subscription, AppError> {
        self.hear(TopicId(user.0), session)
    }

    /// The same for a customer, of their conversation, until its desk is closed.
    pub fn visit(&self, conversation: TopicId, desk: TopicId) -> Result<Subscription, AppError> {
        let subscription = self.hear(conversation, None)?;
        let line = subscription.line.clone();
        if let Some(listeners) = self.heard().listeners.get_mut(&conversation) {
            listeners.retain(|l| !l.line.is_over());
            let over = listeners.len().saturating_sub(VISITS);
            listeners.drain(..over).for_each(|l| l.line.end());
        }
        self.heard().listen(desk, Listener { topic: 1, place: None, ends_with: true, line });
        Ok(subscription)
    }

    fn hear(&self, topic: TopicId, session: Option<SessionId>) -> Result<Subscription, AppError> {
        let (send, events) = mpsc::channel(QUEUE);
        let (missed, over) = (AtomicBool::new(false), AtomicBool::new(false));
        let line = Arc::new(Line { session, send, missed, over, waits: AtomicWaker::new() });
        let mut heard = self.heard();
        if heard.pos.is_none() || heard.stopped {
            return Err(AppError::Unavailable);
        }
        heard.listen(topic, Listener { topic: 0, place: None, ends_with: false, line: line.clone() });
        Ok(Subscription { events, line })
    }

    /// From now on, this topic's events too, under this number. Whether the caller may hear them has to be decided once more
    /// after this call: whoever loses that in between is either refused then or cut off here.
    pub fn also(&self, subscription: &Subscription, number: usize, topic: TopicId, place: PlaceId) {
        let line = subscription.line.clone();
        self.heard().listen(topic, Listener { topic: number, place: Some(place), ends_with: false, line });
    }

    /// Ends the oldest streams of somebody who has too many. The oldest and not the newest is refused: it may hang on a
    /// network that is long gone, while somebody looks at the newest. One that is alive comes back with its cursor and misses
    /// nothing. Call once it is decided that the newest may hear.
    pub fn make_room(&self, user: UserId) {
        if let Some(listeners) = self.heard().listeners.get_mut(&TopicId(user.0)) {
            listeners.retain(|l| !l.line.is_over());
            let over = listeners.len().saturating_sub(STREAMS);
            listeners.drain(..over).for_each(|l| l.line.end());
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
        self.heard().listeners.values().flatten().filter(|l| l.topic == 0 && !l.line.is_over()).count()
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
                let mut heard = self.heard();
                heard.stopped = true;
                for listener in heard.listeners.drain().flat_map(|(_, listeners)| listeners) {
                    listener.line.end();
                }
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
    fn listen(&mut self, topic: TopicId, listener: Listener) {
        let listeners = self.listeners.entry(topic).or_default();
        listeners.retain(|l| !l.line.is_over());
        listeners.push(listener);
    }

    /// Ends the streams of these listeners.
    fn hang_up(&mut self, topic: TopicId, whose: impl Fn(&Line) -> bool) {
        for listener in self.listeners.get(&topic).into_iter().flatten().filter(|l| whose(&l.line)) {
            listener.line.end();
        }
        self.purge(topic);
    }

    /// Tells these listeners that this topic is closed to them, and nothing of it after that. Their streams go on.
    fn close(&mut self, topic: TopicId, pos: i64, whose: impl Fn(&Listener) -> bool) {
        let closed = event_json("desk.closed", serde_json::json!({}));
        if let Some(listeners) = self.listeners.get_mut(&topic) {
            listeners.retain(|l| {
                let cut = whose(l);
                if cut && l.ends_with {
                    l.line.end();
                } else if cut {
                    l.pass(pos, &closed);
                }
                !cut
            });
        }
        self.purge(topic);
    }

    fn purge(&mut self, topic: TopicId) {
        if let Some(listeners) = self.listeners.get_mut(&topic) {
            listeners.retain(|l| !l.line.is_over());
            if listeners.is_empty() {
                self.listeners.remove(&topic);
            }
        }
    }

    fn tell(&mut self, row: sql::FeedRow) {
        self.pos = Some(row.pos);
        match row.kind.as_str() {
            "session.ended" => {
                let ended: Option<SessionId> = field(&row, "sid");
                return self.hang_up(row.topic, |line| line.session.is_some() && line.session == ended);
            }
            "user.closed" => return self.hang_up(row.topic, |_| true),
            "place.gone" => {
                let gone: Option<PlaceId> = field(&row, "place");
                return self.close(row.topic, row.tpos, |l| l.place.is_some() && l.place == gone);
            }
            "conversation.closed" => return self.hang_up(row.topic, |_| true),
            "desk.closed" => return self.close(row.topic, row.tpos, |_| true),
            "answer.stop" => {
                let asked: Option<GenerationId> = field(&row, "generation");
                if let Some(writer) = asked.and_then(|id| self.writers.get(&id)) {
                    writer.cancel();
                }
                return;
            }
            _ => {}
        }
        if let Some(listeners) = self.listeners.get_mut(&row.topic) {
            let event = event_json(&row.kind, row.payload);
            listeners.retain(|l| l.ends_with || l.pass(row.tpos, &event));
            self.purge(row.topic);
        }
    }
}

/// A field of an event that is for the hub alone.
fn field<T: serde::de::DeserializeOwned>(row: &sql::FeedRow, name: &str) -> Option<T> {
    row.payload.get(name).and_then(|value| serde_json::from_value(value.clone()).ok())
}

/// Whether an event is for the hub alone and told to nobody.
pub fn is_inner(kind: &str) -> bool {
    matches!(
        kind,
        "session.ended" | "user.closed" | "answer.stop" | "place.gone" | "desk.closed" | "conversation.closed"
    )
}

/// The event as it travels: the payload and its kind.
pub fn event_json(kind: &str, payload: serde_json::Value) -> Arc<str> {
    let mut event = payload;
    if let Some(fields) = event.as_object_mut() {
        fields.insert("kind".into(), kind.into());
    }
    event.to_string().into()
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::AtomicUsize,
        task::{Wake, Waker},
    };

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::AcqRel);
        }
    }

    #[test]
    fn whoever_waits_for_the_next_event_is_woken_by_the_end_and_hears_what_was_told_in_time() {
        let (send, events) = mpsc::channel(QUEUE);
        let (missed, over) = (AtomicBool::new(false), AtomicBool::new(false));
        let line = Arc::new(Line { session: None, send, missed, over, waits: AtomicWaker::new() });
        let mut subscription = Subscription { events, line: line.clone() };
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        assert!(subscription.poll_next(&mut cx).is_pending());
        let listener = Listener { topic: 0, place: None, ends_with: false, line: line.clone() };
        assert!(listener.pass(1, &Arc::from("{}")));
        assert_eq!(woken.0.load(Ordering::Acquire), 1);
        assert!(matches!(subscription.poll_next(&mut cx), Poll::Ready(Some(Item { pos: 1, .. }))));
        assert!(subscription.poll_next(&mut cx).is_pending());
        line.end();
        assert_eq!(woken.0.load(Ordering::Acquire), 2);
        assert!(subscription.is_cut());
        assert!(matches!(subscription.poll_next(&mut cx), Poll::Ready(None)));
        assert!(!listener.pass(2, &Arc::from("{}")), "nothing more");
    }
}
