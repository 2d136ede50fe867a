//! What tests stand on: a cluster made by the server's own code, a database for each test, people, requests without a port.

use std::{
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use clap::{CommandFactory, FromArgMatches, Parser};
use http_body_util::BodyExt;
use moat::{
    server::{
        boot,
        config::Config,
        lanes::{Lanes, Logins, Opening},
        migrate::{self, Passwords},
        postgres::{Durability, Embedded, SERVICE_LOGIN, USER_LOGIN, VISITOR_LOGIN},
        router,
        state::AppState,
    },
    types::{SessionId, UserId},
};
use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection, migrate::Migrator, postgres::PgConnectOptions};
use tokio::sync::{Mutex, OnceCell};
use tower::ServiceExt;

/// How long anything may take before a test gives up: generous, since tests assert order and content, not times.
pub const DEADLINE: Duration = Duration::from_secs(60);

struct Cluster {
    embedded: Embedded,
    /// Ends the cluster when this process ends, however it does: its input closes then.
    _watchdog: Child,
}

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
static CLONING: Mutex<()> = Mutex::const_new(());
static NEXT: AtomicUsize = AtomicUsize::new(1);

async fn cluster() -> &'static Cluster {
    CLUSTER
        .get_or_init(|| async {
            let folder = std::env::temp_dir().join(format!("moat-test-{}", std::process::id()));
            let embedded = Embedded::start(&folder, None, Durability::ThrowAway).await.expect("a throw-away cluster");
            let script = format!(
                "cat > /dev/null; kill -QUIT $(head -1 '{0}/pg/postmaster.pid'); sleep 1; rm -rf '{0}'",
                embedded.folder().display()
            );
            let watchdog = Command::new("sh")
                .arg("-c")
                .arg(script)
                .stdin(Stdio::piped())
                .process_group(0)
                .spawn()
                .expect("a watchdog");
            migrate::migrate(&embedded.owner(), &embedded.logins(), &Passwords::default()).await.expect("migrations");
            Cluster { embedded, _watchdog: watchdog }
        })
        .await
}

/// A migrated database of its own.
pub struct Db {
    name: String,
    cluster: &'static Cluster,
}

impl Db {
    pub async fn new() -> Self {
        let cluster = cluster().await;
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        // Postgres refuses to copy a database that another copy is being made of.
        let _one_at_a_time = CLONING.lock().await;
        let mut conn = PgConnection::connect_with(&cluster.embedded.superuser().database("postgres")).await.unwrap();
        conn.execute(sqlx::AssertSqlSafe(format!("create database {name} template moat owner moat_owner")))
            .await
            .unwrap();
        // A copy has the tables' rights, not the database's own.
        conn.execute(sqlx::AssertSqlSafe(format!("revoke temporary on database {name} from public"))).await.unwrap();
        Self { name, cluster }
    }

    /// One of a server that was stopped before it knew this migration and what comes after it.
    pub async fn before(version: i64) -> Self {
        let cluster = cluster().await;
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut conn = PgConnection::connect_with(&cluster.embedded.superuser().database("postgres")).await.unwrap();
        conn.execute(sqlx::AssertSqlSafe(format!("create database {name} template template0 owner moat_owner")))
            .await
            .unwrap();
        let db = Self { name, cluster };
        let known = migrate::MIGRATIONS.iter().filter(|one| one.version < version).cloned().collect();
        Migrator::with_migrations(known).run(&mut db.owner().await).await.unwrap();
        db
    }

    /// Brings it up to date.
    pub async fn migrate(&self) {
        migrate::MIGRATIONS.run(&mut self.owner().await).await.unwrap();
    }

    async fn owner(&self) -> PgConnection {
        PgConnection::connect_with(&self.cluster.embedded.owner().database(&self.name)).await.unwrap()
    }

    pub fn options(&self, role: &str) -> PgConnectOptions {
        self.cluster.embedded.options(role).database(&self.name)
    }

    pub async fn connect(&self, role: &str) -> PgConnection {
        PgConnection::connect_with(&self.options(role)).await.unwrap()
    }

    /// Sees and does everything: for preparing and for looking behind the wall.
    pub async fn superuser(&self) -> PgConnection {
        self.connect("postgres").await
    }

    pub fn logins(&self) -> Logins {
        let [user, service, visitor] = [USER_LOGIN, SERVICE_LOGIN, VISITOR_LOGIN].map(|role| self.options(role));
        Logins { user, service, visitor }
    }

    pub fn lanes(&self, size: u32) -> Lanes {
        Lanes::new(self.logins(), size)
    }
}

/// The settings' defaults, with these arguments.
pub fn config(args: &[&str]) -> Config {
    #[derive(Parser)]
    struct Settings {
        #[command(flatten)]
        config: Config,
    }
    let matches = Settings::command().get_matches_from(std::iter::once("test").chain(args.iter().copied()));
    Settings::from_arg_matches(&matches).unwrap().config
}

/// A whole server without a port.
pub struct App {
    pub db: Db,
    pub state: AppState,
    router: Router,
}

/// What came back.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    /// The cookies that it sets, as a Cookie header would send them; removed ones are left out.
    pub fn cookies(&self) -> Vec<(String, String)> {
        self.headers
            .get_all(header::SET_COOKIE)
            .iter()
            .filter_map(|v| v.to_str().ok()?.split(';').next()?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}

/// Somebody with an account and a session.
#[derive(Clone)]
pub struct Person {
    pub email: String,
    pub id: UserId,
    pub session: SessionId,
    pub access: String,
    pub refresh: String,
}

impl Person {
    pub fn opening(&self) -> Opening {
        Opening {
            user: self.id,
            session: Some(self.session),
            issued_at: moat::server::caller::now(),
            ip: String::new(),
            user_agent: String::new(),
            place: None,
            workspace: None,
        }
    }

    pub fn cookie(&self) -> String {
        format!("__Host-moat-access={}; __Host-moat-refresh={}", self.access, self.refresh)
    }
}

pub const SECRET: &str = "a secret for tests, and for tests alone";
pub const PASSWORD: &str = "correct horse battery";

impl App {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    pub async fn with(args: &[&str]) -> Self {
        let db = Db::new().await;
        Self::on(db, config(args)).await
    }

    pub async fn on(db: Db, config: Config) -> Self {
        let state = boot::state(config, db.lanes(8), SECRET).unwrap();
        Self::of(db, state).await
    }

    pub async fn of(db: Db, state: AppState) -> Self {
        state.hub.prepare().await.unwrap();
        let router = router::router(state.clone());
        tokio::spawn(state.hub.clone().run(state.stopping.clone()));
        Self { db, state, router }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response =
            tokio::time::timeout(DEADLINE, self.router.clone().oneshot(request)).await.expect("an answer").unwrap();
        let (parts, body) = response.into_parts();
        let body = tokio::time::timeout(DEADLINE, body.collect()).await.expect("a body").unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body: String::from_utf8_lossy(&body).into_owned() }
    }

    /// The answer before its body is read: for streams.
    pub async fn open(&self, request: Request<Body>) -> axum::response::Response {
        tokio::time::timeout(DEADLINE, self.router.clone().oneshot(request)).await.expect("an answer").unwrap()
    }

    /// A server function as a program calls it.
    pub async fn call(&self, person: Option<&Person>, function: &str, fields: &[(&str, &str)]) -> Answer {
        let mut request = post(&format!("/api/moat/{function}"), fields);
        if let Some(person) = person {
            request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {}", person.access).parse().unwrap());
        }
        self.send(request).await
    }

    /// A page as a browser without scripts asks for it.
    pub async fn page(&self, person: Option<&Person>, path: &str) -> Answer {
        let mut request = Request::get(path).header(header::ACCEPT, "text/html");
        if let Some(person) = person {
            request = request.header(header::COOKIE, person.cookie());
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub async fn sign_up(&self, email: &str) -> Person {
        let answer = self.call(None, "accounts/server_fns/sign_up", &[("email", email), ("password", PASSWORD)]).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        self.person(email, &answer)
    }

    /// A form of a plain page, as a browser sends it.
    pub async fn form(&self, person: Option<&Person>, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut request = post(path, fields);
        request.headers_mut().insert(header::ACCEPT, "text/html".parse().unwrap());
        if let Some(person) = person {
            request.headers_mut().insert(header::COOKIE, person.cookie().parse().unwrap());
        }
        self.send(request).await
    }

    /// Somebody's next session.
    pub async fn sign_in(&self, email: &str, password: &str) -> Answer {
        self.call(None, "accounts/server_fns/sign_in", &[("email", email), ("password", password)]).await
    }

    /// Sends what waits, and gives the newest letter of the outbox.
    pub async fn letter(&self) -> moat::accounts::model::Posted {
        moat::accounts::deliver::all(&self.state).await.unwrap();
        self.state.outbox.as_ref().unwrap().read().first().cloned().expect("a letter")
    }

    /// How many rows a question of the superuser's counts.
    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&mut self.db.superuser().await).await.unwrap()
    }

    /// How many connections wait for a lock.
    pub async fn waiting(&self) -> i64 {
        self.count(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
        )
        .await
    }

    /// The person that an answer's cookies sign in.
    pub fn person(&self, email: &str, answer: &Answer) -> Person {
        let cookies = answer.cookies();
        let of = |name: &str| cookies.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).unwrap();
        let (access, refresh) = (of("__Host-moat-access"), of("__Host-moat-refresh"));
        let claims = self.state.tokens.verify(&access).unwrap();
        Person { email: email.into(), id: claims.sub, session: claims.sid, access, refresh }
    }

    /// Waits until something holds; looks again each time the feed may have moved.
    pub async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(tokio::time::Instant::now() < deadline, "never happened: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.state.stopping.cancel();
    }
}

/// The token in the link of a letter.
pub fn token(text: &str) -> String {
    let rest = text.split("/link?t=").nth(1).unwrap_or_else(|| panic!("no link: {text}"));
    rest.split_whitespace().next().unwrap().to_owned()
}

/// A POST with a form's body, from our own origin.
pub fn post(path: &str, fields: &[(&str, &str)]) -> Request<Body> {
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(fields);
    raw_post(path, body.finish())
}

pub fn raw_post(path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json")
        .body(body.into())
        .unwrap()
}
