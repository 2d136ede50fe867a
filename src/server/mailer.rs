//! Mail. With an SMTP server in the settings it goes there; else into an outbox in memory, which the developer of this
//! machine reads in the browser; else nowhere, and no page offers it.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    extract::ConnectInfo,
    http::{Extensions, HeaderMap, HeaderName, header, request::Parts},
};
use futures::future::BoxFuture;
use leptos::prelude::use_context;
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
};
use tokio::sync::Notify;

use super::{
    config::{BadSetting, Config},
    sms::SmsSender,
    state,
};
use crate::{
    accounts::model::{Letter, Posted},
    error::AppError,
};

/// Less than the time for which a queued mail is taken: two processes must not send the same one.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Letters that the outbox keeps.
const KEPT: usize = 100;

/// Why something was not sent. For the log: nobody who asked hears of it.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("the mail server: {0}")]
    Smtp(#[from] lettre::transport::smtp::Error),
    #[error("the mail can't be written: {0}")]
    Form(#[from] lettre::error::Error),
    #[error("no address for mail: {0}")]
    Address(#[from] lettre::address::AddressError),
    #[error("the gateway for text messages: {0}")]
    Sms(#[from] reqwest::Error),
    #[error("there is no way to send it")]
    NoWay,
}

/// The longest address, in bytes: the database keeps no longer one.
const ADDRESS_MAX: usize = 254;

/// An address as it was typed, in the one spelling that is stored and compared (trimmed, lower case), if mail can be sent there.
/// The parser is the one that the mail is written with. Beyond ASCII it takes more than mail servers do, and has several
/// spellings for one mailbox.
pub fn address(typed: &str) -> Result<String, AppError> {
    let wrong = || AppError::invalid("email", "This is no e-mail address.");
    let email = typed.trim().to_lowercase();
    let parsed: Address = email.parse().map_err(|_| wrong())?;
    let quoted = parsed.user().starts_with('"');
    if !email.is_ascii() || email.len() > ADDRESS_MAX || quoted || !parsed.domain().contains('.') {
        return Err(wrong());
    }
    Ok(email)
}

/// What was sent to nobody: the newest letters, in memory alone, since they contain what signs people in.
#[derive(Clone, Default)]
pub struct Outbox(Arc<Mutex<VecDeque<Posted>>>);

#[derive(Clone)]
pub struct Mailer(Arc<Inner>);

struct Inner {
    way: Way,
    work: Notify,
}

enum Way {
    Smtp { transport: Box<AsyncSmtpTransport<Tokio1Executor>>, from: Mailbox },
    Outbox(Outbox),
    Nowhere,
}

impl Mailer {
    /// `outbox` is there when the settings switch it on.
    pub fn new(config: &Config, outbox: Option<Outbox>) -> Result<Self, BadSetting> {
        let bad = |setting, why: String| BadSetting { setting, why };
        let way = match (&config.smtp_url, &config.mail_from) {
            (Some(url), Some(from)) => {
                let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
                    .map_err(|e| bad("MOAT_SMTP_URL", e.to_string()))?
                    .timeout(Some(TIMEOUT))
                    .build();
                let from = from.parse().map_err(|_| bad("MOAT_MAIL_FROM", "This is no address for mail.".into()))?;
                Way::Smtp { transport: Box::new(transport), from }
            }
            (Some(_), None) => return Err(bad("MOAT_MAIL_FROM", "With MOAT_SMTP_URL, say whom mail is from.".into())),
            (None, _) => outbox.map_or(Way::Nowhere, Way::Outbox),
        };
        Ok(Self(Arc::new(Inner { way, work: Notify::new() })))
    }

    /// Whether a mail gets to anybody.
    pub fn sends(&self) -> bool {
        !matches!(self.0.way, Way::Nowhere)
    }

    /// Whether mail reaches the holder of an address, so that its links prove something: then nobody has an account
    /// before that.
    pub fn proves(&self) -> bool {
        matches!(self.0.way, Way::Smtp { .. })
    }

    /// Sends one letter. `id` stays the same when it is tried again, so that mail programs know a double.
    pub async fn send(&self, id: uuid::Uuid, to: &str, letter: Letter) -> Result<(), SendError> {
        match &self.0.way {
            Way::Smtp { transport, from } => {
                let message = Message::builder()
                    .from(from.clone())
                    .to(Mailbox::new(None, to.parse()?))
                    .subject(letter.subject)
                    .message_id(Some(format!("<{id}@{}>", from.email.domain())))
                    .header(ContentType::TEXT_PLAIN)
                    .body(letter.text)?;
                transport.send(message).await?;
                Ok(())
            }
            Way::Outbox(outbox) => {
                outbox.put(to, letter);
                Ok(())
            }
            Way::Nowhere => Err(SendError::NoWay),
        }
    }

    /// Call after a commit that queued something.
    pub fn wake(&self) {
        self.0.work.notify_one();
    }

    pub async fn woken(&self) {
        self.0.work.notified().await;
    }
}

impl Outbox {
    pub fn put(&self, to: &str, letter: Letter) {
        let mut letters = self.letters();
        letters.push_front(Posted { to: to.to_owned(), subject: letter.subject, text: letter.text });
        letters.truncate(KEPT);
    }

    /// The newest first.
    pub fn read(&self) -> Vec<Posted> {
        self.letters().iter().cloned().collect()
    }

    fn letters(&self) -> MutexGuard<'_, VecDeque<Posted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Text messages land beside the mail.
impl SmsSender for Outbox {
    fn send<'a>(&'a self, to: &'a str, text: &'a str) -> BoxFuture<'a, Result<(), SendError>> {
        self.put(to, Letter { subject: "Text message".into(), text: text.to_owned() });
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The outbox, for whoever sits at this machine. To everybody else there is no such page.
pub fn outbox() -> Result<Vec<Posted>, AppError> {
    let state = state::current()?;
    let parts = use_context::<Parts>().ok_or(AppError::NotFound)?;
    match &state.outbox {
        Some(outbox) if is_local(&parts.extensions, &parts.headers) => Ok(outbox.read()),
        _ => Err(AppError::NotFound),
    }
}

/// What browsers send, besides what begins with `accept` or `sec-`. Proxies have no end of headers of their own: whatever is not
/// known here is taken for one of those.
const BROWSERS: &[&str] = &[
    "authorization",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "dnt",
    "host",
    "if-modified-since",
    "if-none-match",
    "origin",
    "pragma",
    "priority",
    "purpose",
    "referer",
    "save-data",
    "te",
    "upgrade-insecure-requests",
    "user-agent",
    // Ours: put there on the way in.
    "x-request-id",
];

/// A request from this machine that no proxy passed on, to a name of this machine: behind a proxy everybody comes from
/// loopback, and a page of another site may let its own name point here.
pub fn is_local(extensions: &Extensions, headers: &HeaderMap) -> bool {
    let stranger = headers
        .keys()
        .map(HeaderName::as_str)
        .find(|name| !BROWSERS.contains(name) && !name.starts_with("accept") && !name.starts_with("sec-"));
    if let Some(header) = stranger {
        tracing::debug!(header, "not for the outbox");
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let local_name = host.is_some_and(|host| super::config::is_loopback_origin(&format!("http://{host}")));
    let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    stranger.is_none() && local_name && peer.is_some_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_of_an_address_is_stored() {
        assert_eq!(address("  Ada@Example.ORG ").unwrap(), "ada@example.org");
        assert_eq!(address("o'hara+tag@xn--mller-kva.example").unwrap(), "o'hara+tag@xn--mller-kva.example");
        let long = format!("{}@example.org", "a".repeat(64));
        for wrong in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "a b@example.org",
            "ada@example",
            "a@b@example.org",
            "a\0@example.org",
            "ada@.org",
            "ada@example.org.",
            "ada@127.0.0.1@x.y",
            "<script>@x.y",
            "\"a b\"@example.org",
            "\u{ff41}da@example.org",
            "ada@\u{ff45}xample.org",
            "\u{212a}im@example.org\u{301}",
            &format!("a{long}"),
            &format!("a@{}org", "example.".repeat(32)),
        ] {
            assert!(address(wrong).is_err(), "{wrong:?}");
        }
        assert!(address(&long).is_ok());
    }
}
