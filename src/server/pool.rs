//! The connections of one login role. Our own and not the library's pool: that one asks the server, before it takes a
//! connection back, whether it is still there, which costs every request a round trip; a lane finds out with its first
//! statement. And it hands its connections out to whoever asks.

use std::{
    io::ErrorKind,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a request waits for a connection before it hears that the server can't be reached.
const PATIENCE: Duration = Duration::from_secs(10);
/// After this a connection is made anew, so that none lives on where the database once was.
pub const LIFETIME: Duration = Duration::from_secs(30 * 60);

const BETWEEN_TRIES: Duration = Duration::from_millis(100);

/// Lends connections, at most a fixed number at a time, the one that was given back last first.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    options: PgConnectOptions,
    permits: Arc<Semaphore>,
    lifetime: Duration,
    idle: Mutex<Vec<(PgConnection, Instant)>>,
}

/// A connection on loan. Dropping it closes it; see [`Lent::give_back`].
pub struct Lent {
    /// Always there until it is given back.
    conn: Option<PgConnection>,
    made: Instant,
    /// Made for this loan: if it does not work, no other will.
    pub is_fresh: bool,
    pool: Pool,
    permit: Option<OwnedSemaphorePermit>,
}

impl Pool {
    /// Connects when it has to.
    pub fn new(options: PgConnectOptions, size: u32, lifetime: Duration) -> Self {
        let options = options.disable_statement_logging();
        let permits = Arc::new(Semaphore::new(size as usize));
        Self(Arc::new(Inner { options, permits, lifetime, idle: Mutex::default() }))
    }

    pub fn options(&self) -> &PgConnectOptions {
        &self.0.options
    }

    /// One that was used before, if there is one: it may have died since. Or a fresh one.
    pub async fn lend(&self) -> Result<Lent, sqlx::Error> {
        let lend = async {
            let permit = Some(self.0.permits.clone().acquire_owned().await.map_err(|_| sqlx::Error::PoolClosed)?);
            let young = |idle: &mut Vec<(PgConnection, Instant)>| {
                idle.retain(|(_, made)| made.elapsed() < self.0.lifetime);
                idle.pop()
            };
            if let Some((conn, made)) = self.idle(young) {
                return Ok(Lent { conn: Some(conn), made, is_fresh: false, pool: self.clone(), permit });
            }
            let conn = loop {
                match PgConnection::connect_with(&self.0.options).await {
                    Err(error) if is_coming_up(&error) => tokio::time::sleep(BETWEEN_TRIES).await,
                    done => break done?,
                }
            };
            Ok(Lent { conn: Some(conn), made: Instant::now(), is_fresh: true, pool: self.clone(), permit })
        };
        tokio::time::timeout(PATIENCE, lend).await.map_err(|_| sqlx::Error::PoolTimedOut)?
    }

    /// Closes what nobody uses, and what is in use when it comes back.
    pub async fn close(&self) {
        self.0.permits.close();
        for (conn, _) in self.idle(std::mem::take) {
            drop(conn.close().await);
        }
    }

    fn idle<T>(&self, with: impl FnOnce(&mut Vec<(PgConnection, Instant)>) -> T) -> T {
        with(&mut self.0.idle.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The database is restarting, or has no room yet: it is worth waiting for.
fn is_coming_up(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(io) => matches!(io.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound),
        sqlx::Error::Database(db) => matches!(db.code().as_deref(), Some("57P03" | "53300")),
        _ => false,
    }
}

impl Lent {
    #[expect(clippy::expect_used, reason = "the connection leaves only when the loan ends")]
    pub fn conn(&mut self) -> &mut PgConnection {
        self.conn.as_mut().expect("a lent connection is there")
    }

    /// For the next one. Only without an open transaction.
    pub fn give_back(mut self) {
        if self.made.elapsed() < self.pool.0.lifetime && !self.pool.0.permits.is_closed() {
            let entry = self.conn.take().map(|conn| (conn, self.made));
            self.pool.idle(|idle| idle.extend(entry));
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(conn), Ok(runtime)) = (self.conn.take(), tokio::runtime::Handle::try_current()) {
            let permit = self.permit.take();
            // Told goodbye, the server ends at once what may still run on it. Until then it counts.
            runtime.spawn(async move {
                drop(tokio::time::timeout(Duration::from_secs(5), conn.close()).await);
                drop(permit);
            });
        }
    }
}

/// A connection of a command's or of a server's beginning. A database that is starting, or that mends itself after a crash, is waited
/// for: half a minute.
pub async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let began = Instant::now();
    loop {
        let outcome = PgConnection::connect_with(options).await;
        let is_starting =
            matches!(&outcome, Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("57P03"));
        if !is_starting || began.elapsed() > Duration::from_secs(30) {
            return outcome;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
