//! The commands. Each says what it did in words, and ends with a status that a script can use.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand, ValueEnum};

use super::{
    adopt,
    boot::{Database, Stop, kept, missing_files, state},
    check,
    config::{AnswererKind, Config, Signup},
    demo,
    issuers::Issuers,
    jobs, keys,
    lanes::{self, Lanes, Logins, Reason},
    postgres, router,
    state::AppState,
    telemetry,
};
use crate::{accounts, audit, types::UserStatus};

/// Private AI chat in which Postgres itself is the wall between people.
///
/// Without DATABASE_URL it runs a database of its own, in the folder MOAT_DATA.
#[derive(Parser)]
#[command(name = "moat", version, about, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    config: Config,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the pages (what `moat` does by itself).
    Serve,
    /// Bring the schema up to date and make the login roles.
    Migrate,
    /// Make demo people with demo chats.
    Seed,
    /// Prove that the wall stands; exits with 1 when it has a hole.
    Check,
    /// Take over the threads and messages of a Supabase-style schema; says what was kept and what was dropped.
    ///
    /// Reads public.threads, public.messages and, where it is there, auth.users. While it runs, the server waits. Repeating
    /// it changes nothing.
    Adopt {
        /// The address of the database that has them, as somebody who may read all their rows. Unset: this database.
        #[arg(long)]
        from: Option<String>,
        /// Whose tokens the people have. Unset: the issuer of MOAT_ISSUERS, if there is one.
        #[arg(long)]
        issuer: Option<String>,
        /// Give chats to an account here that has the same address. Only if you know that these addresses are theirs.
        #[arg(long)]
        by_address: bool,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// Let somebody in or keep them out, or make them a super user, who does that in the browser at /operations.
    User {
        /// Their address.
        email: String,
        /// What their account is: only somebody active gets in.
        #[arg(long, value_enum, required_unless_present = "superuser")]
        status: Option<AccountStatus>,
        /// Whether they are a super user. It shows them accounts, and nothing that is in them.
        #[arg(long = "super", value_name = "true|false")]
        superuser: Option<bool>,
    },
    /// About the audit trails.
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// About the database.
    Db {
        #[command(subcommand)]
        command: DbCommand,
    },
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Prove that no audit trail was changed; exits with 1 when one was.
    Verify {
        /// A copy that somebody exported. By itself it is checked without a database.
        copy: Option<PathBuf>,
        /// Also that this server's trail still has all that is in the copy.
        #[arg(long, requires = "copy")]
        here: bool,
    },
}

#[derive(Subcommand)]
enum DbCommand {
    /// Print an address of the database, for psql and pg_dump. The embedded database answers while moat runs.
    Url {
        /// As whom. Unset: super for the embedded database, else login.
        #[arg(long, value_enum)]
        role: Option<DbRole>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum AccountStatus {
    Waitlist,
    Active,
    Inactive,
    Banned,
    Archived,
}

#[derive(Clone, Copy, ValueEnum)]
enum DbRole {
    /// The user lane's login: may do nothing outside a lane.
    Login,
    /// The owner of the schema; row security binds it too.
    Owner,
    /// The superuser of the embedded database.
    Super,
}

impl Cli {
    /// Runs the command to its end.
    pub fn run(self) -> ExitCode {
        let result =
            self.config.check().and_then(|()| telemetry::start(&self.config)).map_err(Stop::from).and_then(|()| {
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .enable_all()
                    .build()
                    .map_err(|cause| Stop::Io { what: "start".into(), cause })?;
                runtime.block_on(async {
                    match self.command.unwrap_or(Command::Serve) {
                        Command::Serve => serve(self.config).await,
                        Command::Migrate => migrate_only(self.config).await,
                        Command::Seed => seed_only(self.config).await,
                        Command::Check => {
                            with_database(self.config, |_, logins| async move { report(&logins).await }).await
                        }
                        Command::Adopt { from, issuer, by_address, dry_run } => {
                            adopt_old(self.config, from, adopt::How { issuer, by_address, dry_run }).await
                        }
                        Command::User { email, status, superuser } => {
                            with_database(self.config, |state, _| async move {
                                operate(&state, &email, status, superuser).await
                            })
                            .await
                        }
                        Command::Audit { command: AuditCommand::Verify { copy, here } } => {
                            verify(self.config, copy, here).await
                        }
                        Command::Db { command: DbCommand::Url { role } } => url(&self.config, role).await,
                    }
                })
            });
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(stop) => {
                drop(writeln!(io::stderr(), "moat: {stop}"));
                ExitCode::FAILURE
            }
        }
    }
}

async fn serve(config: Config) -> Result<(), Stop> {
    let addr = config.addr;
    // First of all: a port that is taken is the commonest reason to fail, and needs no database to be found out.
    let listener = tokio::net::TcpListener::bind(addr).await.map_err(|cause| Stop::Io {
        what: format!("The address {addr} can't be used (set MOAT_ADDR to another one)"),
        cause,
    })?;
    let database = Database::open(&config).await?;
    let outcome = match &database.embedded {
        Some(embedded) => tokio::select! {
            outcome = serve_on(listener, config, &database) => outcome,
            () = embedded.keep_running() => Ok(()),
        },
        None => serve_on(listener, config, &database).await,
    };
    database.leave()?;
    outcome
}

async fn serve_on(listener: tokio::net::TcpListener, config: Config, database: &Database) -> Result<(), Stop> {
    let logins = &database.logins;
    let findings = check::run(logins).await?;
    let holes = check::report(&findings, false);
    if !holes.is_empty() {
        return Err(Stop::Hole(holes));
    }
    let (origin, loopback) = (config.origin(), config.is_loopback());
    let lanes = Lanes::new(logins.clone(), config.pool);
    let state = state(config, lanes, &database.secret)?;
    let missing = missing_files(&state.leptos);
    if !missing.is_empty() {
        tracing::warn!(
            "MOAT_SITE: {} has no {}: there will be no style and no script. Name the folder that was built with this program, and keep hash.txt beside the program.",
            state.config.site.display(),
            missing.join(", ")
        );
    }
    let mut out = io::stdout().lock();
    drop(writeln!(out, "\n  moat is at {origin}"));
    if let Some(embedded) = &database.embedded {
        drop(writeln!(out, "  its data is in {}", embedded.folder().display()));
        if loopback && let Some(password) = demo_password(&state, embedded.folder()).await? {
            drop(writeln!(out, "  demo sign-in: {} / {password}", demo::EMAIL));
        }
    }
    drop(writeln!(out));
    drop(out);
    if state.config.answerer == AnswererKind::Openai && state.config.signup == Signup::Open && state.config.quota == 0 {
        tracing::warn!(
            "anybody may sign up and ask as much as they like of the model server: set MOAT_QUOTA to limit it"
        );
    }
    if state.config.signup == Signup::Domain && !state.mailer.sends() {
        tracing::warn!(
            "MOAT_SIGNUP=domain without a mail server: no address can be confirmed, so everybody who signs up waits. Set MOAT_SMTP_URL"
        );
    }
    state.hub.prepare().await?;
    let stop = state.stopping.clone();
    let feed = tokio::spawn(state.hub.clone().run(stop.clone()));
    let sweeper = tokio::spawn(jobs::run(state.clone()));
    let post = tokio::spawn(accounts::deliver::run(state.clone()));
    tokio::spawn(async move {
        told_to_stop().await;
        tracing::info!("stopping");
        stop.cancel();
    });
    let tasks = state.tasks.clone();
    let lanes = state.lanes.clone();
    router::serve(listener, state).await.map_err(|cause| Stop::Io { what: "serve".into(), cause })?;
    // Answers under way may come to their end; one that takes longer is resumed by nobody and says "interrupted".
    tasks.close();
    if tokio::time::timeout(std::time::Duration::from_secs(20), tasks.wait()).await.is_err() {
        tracing::warn!("an answer was still being written and is left as interrupted");
    }
    drop(tokio::join!(feed, sweeper, post));
    lanes.close().await;
    Ok(())
}

/// The demo user's password, made with them. `None` when somebody has removed the file that held it.
async fn demo_password(state: &AppState, folder: &Path) -> Result<Option<String>, Stop> {
    let file = folder.join("demo-sign-in");
    if !file.exists() && demo::exists(state).await? {
        return Ok(None);
    }
    let fresh = || keys::fresh_secret().map(|s| s[..12].to_owned()).map_err(|e| Stop::Words(e.to_string()));
    let password = kept(&file, 12, fresh)?;
    demo::ensure(state, &password).await?;
    Ok(Some(password))
}

async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        _ => std::future::pending().await,
    }
}

/// A command that needs the database and no listener.
async fn with_database<F>(config: Config, work: impl FnOnce(AppState, Logins) -> F) -> Result<(), Stop>
where
    F: Future<Output = Result<String, Stop>>,
{
    let database = Database::open(&config).await?;
    let logins = database.logins.clone();
    let lanes = Lanes::new(logins.clone(), config.pool);
    let outcome = match state(config, lanes.clone(), &database.secret) {
        Ok(state) => work(state, logins).await,
        Err(error) => Err(error.into()),
    };
    lanes.close().await;
    database.leave()?;
    drop(writeln!(io::stdout(), "{}", outcome?));
    Ok(())
}

async fn migrate_only(config: Config) -> Result<(), Stop> {
    if !config.embedded() && config.migrate_url.is_none() {
        return Err(Stop::Words("MOAT_MIGRATE_URL is not set: only the owner of the schema can change it.".into()));
    }
    with_database(config, |_, _| async { Ok("The schema is up to date.".to_owned()) }).await
}

async fn seed_only(config: Config) -> Result<(), Stop> {
    if !config.embedded() {
        return Err(Stop::Words(
            "Demo people have known passwords: they are made in the embedded database alone.".into(),
        ));
    }
    with_database(config, |state, _| async move { Ok(demo::seed(&state).await?) }).await
}

async fn adopt_old(config: Config, from: Option<String>, mut how: adopt::How) -> Result<(), Stop> {
    if !config.embedded() && config.migrate_url.is_none() {
        return Err(Stop::Words(
            "MOAT_MIGRATE_URL is not set: only the owner of the schema can take chats over.".into(),
        ));
    }
    if how.issuer.is_none() {
        how.issuer = Issuers::read(config.issuers.as_deref())?.only().map(str::to_owned);
    }
    let from = from.map(|from| lanes::options(&from)).transpose()?;
    let database = Database::open(&config).await?;
    let owner = match (&database.embedded, &config.migrate_url) {
        (Some(embedded), _) => Ok(embedded.owner()),
        (None, url) => lanes::options(url.as_deref().unwrap_or_default()),
    };
    let outcome = match owner {
        Ok(owner) => {
            adopt::adopt(&owner, from.as_ref().unwrap_or(&owner), &how).await.map_err(|e| Stop::Words(e.to_string()))
        }
        Err(error) => Err(error.into()),
    };
    database.leave()?;
    let mut out = io::stdout().lock();
    drop(write!(out, "{}", outcome?));
    if from.is_none() {
        drop(writeln!(
            out,
            "The old tables are still there. Drop them, or move them away: moat does not serve beside them."
        ));
    }
    Ok(())
}

async fn operate(
    state: &AppState,
    email: &str,
    status: Option<AccountStatus>,
    superuser: Option<bool>,
) -> Result<String, Stop> {
    let status = status.map(|status| match status {
        AccountStatus::Waitlist => UserStatus::Waitlist,
        AccountStatus::Active => UserStatus::Active,
        AccountStatus::Inactive => UserStatus::Inactive,
        AccountStatus::Banned => UserStatus::Banned,
        AccountStatus::Archived => UserStatus::Archived,
    });
    let mut lane = state.lanes.service(Reason::Operate).await?;
    let known = accounts::sql::operate(&mut lane, &email.to_lowercase(), status, superuser).await?;
    lane.commit().await?;
    if known {
        Ok(format!("{email} is changed."))
    } else {
        Err(Stop::Words(format!("Nobody has the address {email}.")))
    }
}

async fn verify(config: Config, copy: Option<PathBuf>, here: bool) -> Result<(), Stop> {
    let copy = copy.map(|path| audit::verify::copy(&path)).transpose().map_err(Stop::Words)?;
    if let Some(copy) = &copy {
        drop(writeln!(io::stdout(), "{}", audit::verify::about(copy)));
        if !here {
            return Ok(());
        }
    }
    with_database(config, |state, _| async move {
        let report = audit::verify::server(&state, copy.as_ref()).await?;
        if report.holds { Ok(report.text) } else { Err(Stop::Words(report.text)) }
    })
    .await
}

async fn report(logins: &Logins) -> Result<String, Stop> {
    let findings = check::run(logins).await?;
    let whole = check::report(&findings, true);
    if findings.iter().all(|f| f.offenders.is_empty()) { Ok(whole) } else { Err(Stop::Words(whole)) }
}

async fn url(config: &Config, role: Option<DbRole>) -> Result<(), Stop> {
    let address = if config.embedded() {
        let database = Database::open(config).await?;
        let name = match role.unwrap_or(DbRole::Super) {
            DbRole::Login => postgres::USER_LOGIN,
            DbRole::Owner => postgres::OWNER,
            DbRole::Super => postgres::SUPERUSER,
        };
        let address = database.embedded.as_ref().map(|e| e.url(name)).unwrap_or_default();
        database.leave()?;
        address
    } else {
        let (setting, url) = match role.unwrap_or(DbRole::Login) {
            DbRole::Login => ("DATABASE_URL", &config.database_url),
            DbRole::Owner => ("MOAT_MIGRATE_URL", &config.migrate_url),
            DbRole::Super => {
                return Err(Stop::Words("Only the embedded database's superuser is known here.".into()));
            }
        };
        url.clone().ok_or_else(|| Stop::Words(format!("{setting} is not set.")))?
    };
    drop(writeln!(io::stdout(), "{address}"));
    Ok(())
}
