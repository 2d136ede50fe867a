//! What a request can reach.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use axum::http::request::Parts;
use leptos::{config::LeptosOptions, prelude::use_context};
use tokio::sync::{Notify, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    caller::{Caller, Visiting},
    config::Config,
    dns::Resolver,
    issuers::Issuers,
    jwt::Tokens,
    keys::Keys,
    lanes::Lanes,
    mailer::{Mailer, Outbox},
    misses::Misses,
    passwords::Passwords,
    sms::SmsSender,
};
use crate::{
    answers::answerer::Answerer, error::AppError, guide::library::Library, live::hub::Hub, relay::send::Sender,
    types::PlaceId,
};

/// Every request clones this several times on its way in: one count up, not twenty.
#[derive(Clone)]
pub struct AppState(Arc<Services>);

/// The parts of [`AppState`].
#[derive(Clone)]
pub struct Services {
    pub config: Arc<Config>,
    pub leptos: LeptosOptions,
    pub lanes: Lanes,
    pub keys: Keys,
    pub tokens: Tokens,
    pub issuers: Issuers,
    pub passwords: Passwords,
    pub hub: Hub,
    pub answerer: Arc<dyn Answerer>,
    pub resolver: Arc<dyn Resolver>,
    pub guide: Arc<Library>,
    pub mailer: Mailer,
    /// `None`: nobody can sign in by telephone.
    pub sms: Option<Arc<dyn SmsSender>>,
    /// `None` unless the settings switch it on.
    pub outbox: Option<Outbox>,
    /// Answers under way; the server waits for them when it stops.
    pub tasks: TaskTracker,
    /// Files that are read at once. Each keeps a processor busy and a lane open; the others wait for their turn.
    pub imports: Arc<Semaphore>,
    /// What was asked for in vain since a job looked last.
    pub misses: Misses,
    /// Told when a customer may have said something that the assistant is to answer.
    pub owed: Arc<Notify>,
    /// Sends answers to the addresses of workspaces, and is told when there may be one.
    pub sender: Sender,
    pub due: Arc<Notify>,
    /// Cancelled when the server stops: streams end, and clients come back to another process.
    pub stopping: CancellationToken,
}

impl From<Services> for AppState {
    fn from(services: Services) -> Self {
        Self(Arc::new(services))
    }
}

impl Deref for AppState {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.0
    }
}

/// For whoever puts a server together: what has been handed out already does not change.
impl DerefMut for AppState {
    fn deref_mut(&mut self) -> &mut Services {
        Arc::make_mut(&mut self.0)
    }
}

/// The state of the server that the current server function runs in. It is gone where whoever asked for a page has hung up
/// while it was rendered: what the page was still reading finds out here, and nobody reads its error.
pub fn current() -> Result<AppState, AppError> {
    use_context::<AppState>().ok_or_else(|| {
        tracing::debug!("no state in this context");
        AppError::Unavailable
    })
}

/// Who asks, as the middleware found out.
pub fn caller() -> Caller {
    use_context::<Parts>().and_then(|parts| parts.extensions.get::<Caller>().cloned()).unwrap_or(Caller::Nobody)
}

/// The customer who asks, if it is one.
pub fn visiting() -> Option<Visiting> {
    use_context::<Parts>().and_then(|parts| parts.extensions.get::<Visiting>().cloned())
}

/// Where the current request acts, as it says itself.
pub fn place() -> Option<PlaceId> {
    match caller() {
        Caller::User(opening) => opening.place,
        Caller::Nobody => None,
    }
}

/// The time zone of whoever asks, as their browser remembers it; UTC until it does. The database decides whether it is one.
pub fn zone() -> String {
    known_zone().unwrap_or_else(|| "UTC".to_owned())
}

/// The same; `None` until their browser has said it.
pub fn known_zone() -> Option<String> {
    let cookie = use_context::<Parts>().and_then(|parts| {
        // A frame on somebody else's page has no cookie of ours.
        if let Some(zone) = parts.headers.get("x-moat-zone") {
            return zone.to_str().ok().map(str::to_owned);
        }
        let header = parts.headers.get(axum::http::header::COOKIE)?.to_str().ok()?.to_owned();
        header.split(';').find_map(|pair| pair.trim().strip_prefix("moat-tz=").map(str::to_owned))
    });
    let zone = cookie.map(|value| percent_encoding::percent_decode_str(&value).decode_utf8_lossy().into_owned());
    let known = |zone: &String| {
        zone.len() <= 64
            && zone.contains(|c: char| c.is_ascii_alphabetic())
            && zone.chars().all(|c| c.is_ascii_alphanumeric() || "/_+-".contains(c))
    };
    zone.filter(known)
}

/// In a browser, the page of the signed-in turns into the sign-in page. A program with a bearer token hears 401 alone.
pub fn send_to_sign_in() {
    let browser =
        use_context::<Parts>().is_some_and(|parts| !parts.headers.contains_key(axum::http::header::AUTHORIZATION));
    if browser {
        leptos_axum::redirect("/sign-in");
    }
}
