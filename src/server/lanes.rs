//! The only ways to the database. A lane is one transaction that runs as a lane role with its caller's claims set, so that
//! row-level security decides what every statement in it sees. Two types, not one with a flag: a function that takes
//! `&mut UserLane` can't be run with a job's rights.

use std::{str::FromStr, time::Duration};

use serde_json::{Value, json};
use sqlx::{
    Connection, Executor, PgConnection, Postgres, Row,
    postgres::{PgConnectOptions, PgRow},
};

use super::{
    caller::Caller,
    pool::{LIFETIME, Lent, Pool},
    state,
};
use crate::{
    error::AppError,
    types::{ArticleId, PlaceId, SessionId, UserId, WorkspaceId},
};

/// Why a job may enter without a caller. Every use of the service lane names one; the database knows the same list and
/// what each may touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Sign-up, sign-in, token rotation and their rate limits: nobody is signed in yet.
    SignIn,
    /// Writing the answer that this user asked for, after their request has ended.
    Generation(UserId),
    /// Moving the outbox into the feed, and reading the feed for all listeners of this process.
    Live,
    /// Clearing up: answers whose writer died, forgotten feed rows, old rate limits, accounts that are to be erased.
    Sweep,
    /// Sending the mail and text messages that wait.
    Mail,
    /// What whoever runs the server asks for on the command line: an account, or whether the audit trails are whole.
    Operate,
    /// Finding out which of the ids that people asked for in vain are somebody else's.
    Denials,
    /// Writing down what DNS said of a workspace's domain.
    Domains,
    /// What the assistant has to say to a customer whose answer it owes.
    BotTurn,
    /// Sending answers to the addresses of workspaces.
    Webhooks,
}

/// A connection that does not answer for this long has lost its server: a host that went away says nothing.
const SILENCE: Duration = Duration::from_secs(5);

impl Reason {
    const fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::Generation(_) => "generation",
            Self::Live => "live",
            Self::Sweep => "sweep",
            Self::Mail => "mail",
            Self::Operate => "operate",
            Self::Denials => "denials",
            Self::Domains => "domains",
            Self::BotTurn => "bot_turn",
            Self::Webhooks => "webhooks",
        }
    }

    const fn user(self) -> Option<UserId> {
        match self {
            Self::Generation(user) => Some(user),
            _ => None,
        }
    }
}

/// What the lanes log in as. One login role each, and that role is a member of nothing but its lane's role.
#[derive(Clone)]
pub struct Logins {
    pub user: PgConnectOptions,
    pub service: PgConnectOptions,
    pub visitor: PgConnectOptions,
}

/// A pool for each login.
#[derive(Clone)]
pub struct Lanes {
    user: Pool,
    service: Pool,
    visitor: Pool,
}

/// A transaction as `authenticated`, with the caller's claims. Dropping it rolls back.
pub struct UserLane(Lane, UserId);

/// A transaction as `service`, for one [`Reason`]. Dropping it rolls back.
pub struct ServiceLane(Lane);

/// A transaction as `visitor`, for one customer and the one talk that is theirs. Dropping it rolls back.
pub struct VisitorLane(Lane);

/// What a web page may know of a desk before anybody has said a word.
#[derive(Clone, Debug)]
pub struct Desk {
    pub name: String,
    pub welcome: String,
    /// The pages that may show the talk; none: any.
    pub origins: Vec<String>,
    /// Whether somebody is there to answer.
    pub open: bool,
    /// What the assistant is called that answers first, if there is one.
    pub bot: Option<String>,
    /// When its hours begin again, in words, while nobody is there and they are over.
    pub opens: Option<String>,
}

/// What a user lane is opened with. A token's claims, already verified.
#[derive(Clone, Debug)]
pub struct Opening {
    pub user: UserId,
    /// `None` for work on the command line, which has an account and no session.
    pub session: Option<SessionId>,
    /// Seconds since 1970.
    pub issued_at: i64,
    pub ip: String,
    pub user_agent: String,
    /// Where the request says that it acts. Nothing is believed of it: the database looks whether it is the caller's.
    pub place: Option<PlaceId>,
    /// The workspace that a program's token is for. Whether they still belong to it, the database looks as well.
    pub workspace: Option<WorkspaceId>,
}

impl Lanes {
    /// Pools of at most `size` connections each. Connects lazily.
    pub fn new(logins: Logins, size: u32) -> Self {
        Self::with_lifetime(logins, size, LIFETIME)
    }

    /// Tests don't wait half an hour for a connection to grow old.
    pub fn with_lifetime(logins: Logins, size: u32, lifetime: Duration) -> Self {
        let pool = |login| pool(login, size, lifetime);
        Self { user: pool(logins.user), service: pool(logins.service), visitor: pool(logins.visitor) }
    }

    /// Opens a lane for a verified caller, for what is theirs alone. `Unauthenticated` when their session, their account or their
    /// token has ended; `Forbidden` for a program's token, which is for a workspace.
    pub async fn user(&self, opening: &Opening) -> Result<UserLane, AppError> {
        let lane = self.private(opening).await?;
        if opening.workspace.is_some() { Err(AppError::Forbidden) } else { Ok(lane) }
    }

    async fn private(&self, opening: &Opening) -> Result<UserLane, AppError> {
        let claims = claims(opening);
        let query = || {
            sqlx::query(
                "select set_config('request.jwt.claims', $1, true),
                        set_config('role', gate.open($2, $3, to_timestamp($4), $5), true)",
            )
            .bind(Value::to_string(&claims))
            .bind(opening.user)
            .bind(opening.session)
            .bind(opening.issued_at as f64)
            .bind(None::<uuid::Uuid>)
        };
        let (lane, role) = open(&self.user, query).await?;
        if role != "authenticated" {
            lane.close();
            return Err(AppError::Unauthenticated);
        }
        Ok(UserLane(lane, opening.user))
    }

    /// Opens a lane in the workspace that the caller's place is in; the workspace's id goes from the row of their membership into
    /// the claims. `Forbidden` where the request names no place, `NotFound` where it is none of theirs, or not any more.
    /// A program's token names the workspace itself: `Forbidden` where its caller does not belong there any more.
    ///
    /// It reads, and the database holds it to that: a change that did not go through [`changing`] would not wait its turn.
    pub async fn workspace(&self, opening: &Opening) -> Result<UserLane, AppError> {
        self.placed(opening, "on").await
    }

    /// The same, for a change. Whoever opens it says what is changed after what: see [`changing`].
    pub async fn writing(&self, opening: &Opening) -> Result<UserLane, AppError> {
        self.placed(opening, "off").await
    }

    async fn placed(&self, opening: &Opening, read_only: &'static str) -> Result<UserLane, AppError> {
        let claims = claims(opening);
        let query = || {
            let query = match opening.workspace {
                None => {
                    "select set_config('transaction_read_only', $6, true),
                            set_config('role', gate.open($1, $2, $3, to_timestamp($4), $5), true)"
                }
                Some(_) => {
                    "select set_config('transaction_read_only', $6, true),
                            set_config('role', gate.open_org($1, $2, $3, to_timestamp($4), $7, $5), true)"
                }
            };
            let query = sqlx::query(query)
                .bind(Value::to_string(&claims))
                .bind(opening.user)
                .bind(opening.session)
                .bind(opening.issued_at as f64)
                .bind(opening.place)
                .bind(read_only);
            match opening.workspace {
                None => query,
                Some(workspace) => query.bind(workspace),
            }
        };
        if opening.place.is_some() || opening.workspace.is_some() {
            let (lane, role) = open(&self.user, query).await?;
            if role == "authenticated" {
                return Ok(UserLane(lane, opening.user));
            }
            lane.close();
        }
        // Whoever is signed out is told that, whatever they asked for.
        drop(self.private(opening).await?);
        Err(if opening.place.is_some() { AppError::NotFound } else { AppError::Forbidden })
    }

    /// What the policies say to somebody else who shares a workspace with whoever asks: the answer to a yes-or-no `question` about
    /// the `id` in it and the ids of its `parts`, asked as that person in a lane that can't write. The lane itself is handed to
    /// nobody. No to everything for those for whom no lane opens; `Unauthenticated` when the session of whoever asks has ended,
    /// `NotFound` when they are not in that workspace any more.
    pub async fn look(
        &self,
        asker: &Opening,
        person: UserId,
        place: PlaceId,
        question: &'static str,
        id: &str,
        parts: &[uuid::Uuid],
    ) -> Result<bool, AppError> {
        let claims = json!({ "sub": person, "sid": null, "role": "authenticated" });
        let query = || {
            sqlx::query("select null, set_config('role', gate.look($1, $2, to_timestamp($3), $4, $5, $6), true)")
                .bind(asker.user)
                .bind(asker.session)
                .bind(asker.issued_at as f64)
                .bind(Value::to_string(&claims))
                .bind(person)
                .bind(place)
        };
        let (mut lane, role) = open(&self.user, query).await?;
        if role != "authenticated" {
            lane.close();
            return Ok(false);
        }
        Ok(sqlx::query_scalar(question).bind(id).bind(parts).fetch_one(lane.conn()).await?)
    }

    /// Opens a lane for a job. `Forbidden` when the user it is for is no longer active.
    pub async fn service(&self, reason: Reason) -> Result<ServiceLane, AppError> {
        tracing::trace!(reason = reason.name(), "service lane");
        let claims = json!({ "role": "service", "reason": reason.name(), "sub": reason.user() });
        // An answer's batches may be lost by a crash of the machine (the lease then says "interrupted"), so they do not
        // wait for the disk; its end does, and takes them with it.
        let sync = if matches!(reason, Reason::Generation(_)) { "off" } else { "on" };
        let query = || {
            sqlx::query(
                "select set_config('request.jwt.claims', $1, true),
                        set_config('role', gate.open_service($2, $3), true),
                        set_config('synchronous_commit', $4, true)",
            )
            .bind(Value::to_string(&claims))
            .bind(reason.name())
            .bind(reason.user())
            .bind(sync)
        };
        let (lane, role) = open(&self.service, query).await?;
        if role != "service" {
            lane.close();
            return Err(AppError::Forbidden);
        }
        Ok(ServiceLane(lane))
    }

    /// Opens a lane for a customer, by the hash of the token that their page holds. `Unauthenticated` for one that nobody gave or whose
    /// visitor was erased, `Forbidden` for one whose visitor was blocked, `NotFound` where the workspace is deleted.
    pub async fn visitor(&self, token: &[u8]) -> Result<VisitorLane, AppError> {
        let query = || sqlx::query("select null, set_config('role', gate.open_visitor($1), true)").bind(token);
        let (lane, role) = open(&self.visitor, query).await?;
        if role != "visitor" {
            lane.close();
            return Err(AppError::Unauthenticated);
        }
        Ok(VisitorLane(lane))
    }

    /// Opens a lane for a customer behind a relay, by the hash of its secret and what it calls them. They begin to exist with this,
    /// under the name and address that it gives. `Unauthenticated` for a secret that nobody gave; `Forbidden` when this customer
    /// was blocked.
    pub async fn relay(&self, secret: &[u8], key: &str, name: &str, email: &str) -> Result<VisitorLane, AppError> {
        let query = || {
            sqlx::query("select null, set_config('role', gate.open_relay($1, $2, $3, $4), true)")
                .bind(secret)
                .bind(key)
                .bind(name)
                .bind(email)
        };
        let (lane, role) = open(&self.visitor, query).await?;
        if role != "visitor" {
            lane.close();
            return Err(AppError::Unauthenticated);
        }
        Ok(VisitorLane(lane))
    }

    /// What a web page's key leads to; `NotFound` when it is none.
    /// `zone` is theirs who ask.
    pub async fn read_desk(&self, key: &str, zone: &str) -> Result<Desk, AppError> {
        let query = || {
            sqlx::query("select name, 'none' as role, welcome, origins, open, bot, opens from gate.read_desk($1, $2)")
                .bind(key.to_owned())
                .bind(zone.to_owned())
        };
        let (lane, row) = opened(&self.visitor, query).await?;
        let name: Option<String> = row.try_get(0)?;
        let desk = match name {
            Some(name) => Ok(Desk {
                name,
                welcome: row.try_get(2)?,
                origins: row.try_get(3)?,
                open: row.try_get(4)?,
                bot: row.try_get(5)?,
                opens: row.try_get(6)?,
            }),
            None => Err(AppError::NotFound),
        };
        lane.commit().await?;
        desk
    }

    /// The published help articles of the desk that a web page's key leads to, in their order: id, title, and of the one that was
    /// asked for the Markdown.
    pub async fn read_help(
        &self,
        key: &str,
        article: Option<ArticleId>,
    ) -> Result<Vec<(ArticleId, String, Option<String>)>, AppError> {
        // One row, as an opening gives.
        let query = || {
            sqlx::query(
                "select coalesce(jsonb_agg(jsonb_build_array(h.id, h.title, h.body)), '[]'), 'none' from gate.read_help($1, $2) h",
            )
            .bind(key.to_owned())
            .bind(article)
        };
        let (lane, row) = opened(&self.visitor, query).await?;
        let found: sqlx::types::Json<Vec<(ArticleId, String, Option<String>)>> = row.try_get(0)?;
        lane.commit().await?;
        Ok(found.0)
    }

    /// A new visitor, who is known by this hash from now on; `NotFound` when there is no such key.
    pub async fn make_visitor(&self, key: &str, token: &[u8]) -> Result<(), AppError> {
        let query =
            || sqlx::query("select gate.make_visitor($1, $2), 'none'").bind(key.to_owned()).bind(token.to_vec());
        let (lane, row) = opened(&self.visitor, query).await?;
        let made: bool = row.try_get(0)?;
        lane.commit().await?;
        if made { Ok(()) } else { Err(AppError::NotFound) }
    }

    /// True when the login roles reach the database.
    pub async fn ready(&self) -> bool {
        let ping = async |pool: &Pool| {
            while let Ok(mut lent) = pool.lend().await {
                match answered(lent.conn().ping()).await {
                    Ok(()) => {
                        lent.give_back();
                        return true;
                    }
                    Err(error) if lent.is_fresh || is_silence(&error) => return false,
                    // One that was used before may have died with a database that is back since.
                    Err(_) => {}
                }
            }
            false
        };
        ping(&self.user).await && ping(&self.service).await && ping(&self.visitor).await
    }

    /// The options that the feed's listening connection is made with.
    pub fn listener_options(&self) -> PgConnectOptions {
        self.service.options().clone()
    }

    pub async fn close(&self) {
        self.user.close().await;
        self.service.close().await;
        self.visitor.close().await;
    }
}

/// A lane for the caller of the current request, from a server function: for what is theirs alone.
pub async fn user() -> Result<UserLane, AppError> {
    signed_in(async |lanes, opening| lanes.user(&opening).await).await
}

/// The same in the workspace or project that the request's address names, for reading.
pub async fn workspace() -> Result<UserLane, AppError> {
    signed_in(async |lanes, opening| lanes.workspace(&opening).await).await
}

/// The same for a change, which comes one after the other in a workspace: what its caller may do is decided after all that was done
/// before, a removal of theirs among it.
pub async fn changing() -> Result<UserLane, AppError> {
    let mut lane = signed_in(async |lanes, opening| lanes.writing(&opening).await).await?;
    sqlx::query("select app.hold_workspace()").execute(lane.conn()).await?;
    Ok(lane)
}

/// The same for a change that waits for nobody else's, as an answer does: its caller's own removal waits for it, or has been before.
pub async fn acting() -> Result<UserLane, AppError> {
    let mut lane = signed_in(async |lanes, opening| lanes.writing(&opening).await).await?;
    sqlx::query("select app.hold_membership()").execute(lane.conn()).await?;
    Ok(lane)
}

/// A lane for the customer whose request it is; `None` where it is nobody's.
pub async fn visiting() -> Result<Option<VisitorLane>, AppError> {
    match state::visiting() {
        Some(visiting) => state::current()?.lanes.visitor(&visiting.0).await.map(Some),
        None => Ok(None),
    }
}

/// [`Lanes::look`] for whoever is signed in.
pub async fn look(
    person: UserId,
    place: PlaceId,
    question: &'static str,
    id: &str,
    parts: &[uuid::Uuid],
) -> Result<bool, AppError> {
    match state::caller() {
        Caller::User(asker) => state::current()?.lanes.look(&asker, person, place, question, id, parts).await,
        Caller::Nobody => Err(AppError::Unauthenticated),
    }
}

async fn signed_in(
    open: impl AsyncFnOnce(&Lanes, Opening) -> Result<UserLane, AppError>,
) -> Result<UserLane, AppError> {
    let state = state::current()?;
    let lane = match state::caller() {
        Caller::User(opening) => open(&state.lanes, opening).await,
        Caller::Nobody => Err(AppError::Unauthenticated),
    };
    if let Err(AppError::Unauthenticated) = lane {
        state::send_to_sign_in();
    }
    lane
}

/// The claims of somebody's lane, before a workspace is added to them.
fn claims(opening: &Opening) -> Value {
    json!({
        "sub": opening.user, "sid": opening.session, "role": "authenticated",
        "ip": opening.ip, "user_agent": opening.user_agent,
    })
}

impl UserLane {
    /// Whose lane it is.
    pub fn user(&self) -> UserId {
        self.1
    }

    pub fn conn(&mut self) -> &mut PgConnection {
        self.0.conn()
    }

    /// Without this, everything that the lane did is undone.
    pub async fn commit(self) -> Result<(), AppError> {
        self.0.commit().await
    }
}

impl VisitorLane {
    pub fn conn(&mut self) -> &mut PgConnection {
        self.0.conn()
    }

    /// Without this, everything that the lane did is undone.
    pub async fn commit(self) -> Result<(), AppError> {
        self.0.commit().await
    }
}

impl ServiceLane {
    pub fn conn(&mut self) -> &mut PgConnection {
        self.0.conn()
    }

    /// Without this, everything that the lane did is undone.
    pub async fn commit(self) -> Result<(), AppError> {
        self.0.commit().await
    }
}

struct Lane {
    /// Always there until the lane ends.
    lent: Option<Lent>,
}

impl Lane {
    #[expect(clippy::expect_used, reason = "the connection leaves only when the lane is consumed")]
    fn conn(&mut self) -> &mut PgConnection {
        self.lent.as_mut().expect("an open lane has its connection").conn()
    }

    /// The connection goes back only after its commit has succeeded.
    async fn commit(mut self) -> Result<(), AppError> {
        if let Some(mut lent) = self.lent.take() {
            lent.conn().execute("commit").await?;
            lent.give_back();
        }
        Ok(())
    }

    /// Ends the lane and its connection with it: one that could not be opened may carry anything.
    fn close(mut self) {
        self.lent = None;
    }
}

/// An error, a panic or a cancelled request ends here. The connection goes back only after its rollback has succeeded.
impl Drop for Lane {
    fn drop(&mut self) {
        if let (Some(mut lent), Ok(runtime)) = (self.lent.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                let rollback = tokio::time::timeout(Duration::from_secs(5), lent.conn().execute("rollback")).await;
                if matches!(rollback, Ok(Ok(_))) {
                    lent.give_back();
                }
            });
        }
    }
}

/// What the database says, or that it says nothing.
async fn answered<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    tokio::time::timeout(SILENCE, answer).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

fn is_silence(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::PoolTimedOut)
}

fn pool(options: PgConnectOptions, size: u32, lifetime: Duration) -> Pool {
    let limits =
        [("statement_timeout", "15s"), ("idle_in_transaction_session_timeout", "30s"), ("lock_timeout", "10s")];
    Pool::new(options.options(limits), size, lifetime)
}

type OpeningQuery<'q> = sqlx::query::Query<'q, Postgres, sqlx::postgres::PgArguments>;

/// Begins and runs the opening statement; gives the role that the database chose, which is the statement's second column.
async fn open<'q>(pool: &Pool, opening: impl Fn() -> OpeningQuery<'q>) -> Result<(Lane, String), AppError> {
    let (lane, row) = opened(pool, opening).await?;
    let role = row.try_get(1)?;
    Ok((lane, role))
}

async fn opened<'q>(pool: &Pool, opening: impl Fn() -> OpeningQuery<'q>) -> Result<(Lane, PgRow), AppError> {
    loop {
        // A lane from the first statement on, so that a caller who goes away leaves no open transaction behind.
        let lent = pool.lend().await?;
        let is_fresh = lent.is_fresh;
        let mut lane = Lane { lent: Some(lent) };
        // A connection that died while nobody used it shows itself here; the next one is tried, then a fresh one is made.
        if let Err(error) = answered(lane.conn().execute("begin")).await {
            tracing::debug!(%error, "dead connection dropped");
            lane.close();
            // Where one gets no answer, the next would wait as long for none.
            if is_fresh || is_silence(&error) {
                return Err(error.into());
            }
            continue;
        }
        return match opening().fetch_one(lane.conn()).await {
            Ok(row) => Ok((lane, row)),
            Err(error) => {
                lane.close();
                Err(error.into())
            }
        };
    }
}

/// Parses a database address from the settings.
pub fn options(url: &str) -> Result<PgConnectOptions, AppError> {
    PgConnectOptions::from_str(url).map_err(|_| AppError::invalid("DATABASE_URL", "This is no Postgres address."))
}
