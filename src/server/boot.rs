//! From the settings to something that can serve: the database, the secret, the state.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    sync::Arc,
};

use leptos::config::LeptosOptions;
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    config::{AnswererKind, BadSetting, Config},
    dns::Dns,
    issuers::Issuers,
    jwt::Tokens,
    keys::{self, Keys},
    lanes::{self, Lanes, Logins},
    mailer::{Mailer, Outbox},
    migrate::{self, MigrateError},
    misses::Misses,
    openai::OpenAi,
    passwords::Passwords,
    postgres::{Durability, Embedded, PostgresError},
    sms::{Gateway, SmsSender},
    state::{AppState, Services},
};
use crate::{
    answers::{answerer::Answerer, embedded},
    error::AppError,
    guide::library::Library,
    live::hub::Hub,
    relay::send::Sender,
};

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    #[error(transparent)]
    Setting(#[from] BadSetting),
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    #[error("The database does not answer: {0}")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    App(#[from] AppError),
    #[error("{what}: {cause}")]
    Io { what: String, cause: io::Error },
    #[error("The wall has a hole, so the server does not start. `moat check` shows the same report.\n{0}")]
    Hole(String),
    #[error("{0}")]
    Words(String),
}

/// A database that is up to date, and how to let go of it.
pub struct Database {
    pub logins: Logins,
    pub embedded: Option<Embedded>,
    pub secret: String,
}

impl Database {
    /// Starts or adopts the embedded cluster, or connects to the one of the settings; migrates when it may.
    pub async fn open(config: &Config) -> Result<Self, Stop> {
        if let (Some(user), Some(service), Some(visitor)) =
            (&config.database_url, &config.service_url, &config.visitor_url)
        {
            let logins = Logins {
                user: lanes::options(user)?,
                service: lanes::options(service)?,
                visitor: lanes::options(visitor)?,
            };
            if let Some(owner) = &config.migrate_url {
                let passwords =
                    migrate::Passwords { user: password(user), service: password(service), visitor: password(visitor) };
                migrate::migrate(&lanes::options(owner)?, &logins, &passwords).await?;
            }
            return Ok(Self { logins, embedded: None, secret: config.secret.clone().unwrap_or_default() });
        }
        let embedded = Embedded::start(&config.data, config.pg_bin.as_deref(), Durability::Fsync).await?;
        let logins = embedded.logins();
        migrate::migrate(&embedded.owner(), &logins, &migrate::Passwords::default()).await?;
        let secret = match &config.secret {
            Some(secret) => secret.clone(),
            None => kept(&embedded.folder().join("secret"), 32, || {
                keys::fresh_secret().map_err(|e| Stop::Words(e.to_string()))
            })?,
        };
        Ok(Self { logins, embedded: Some(embedded), secret })
    }

    /// Stops the embedded cluster if no other process uses it.
    pub fn leave(self) -> Result<(), Stop> {
        if let Some(embedded) = self.embedded {
            embedded.leave()?;
        }
        Ok(())
    }
}

/// A line in a file that only we may read; made when it is not there, whole or not at all, and once even by two processes.
pub fn kept(path: &Path, shortest: usize, make: impl FnOnce() -> Result<String, Stop>) -> Result<String, Stop> {
    let io = |cause| Stop::Io { what: format!("keep {}", path.display()), cause };
    if !path.exists() {
        let half = path.with_extension(format!("half-{}", std::process::id()));
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&half).map_err(io)?;
        writeln!(file, "{}", make()?).and_then(|()| file.sync_all()).map_err(io)?;
        match fs::hard_link(&half, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(io(error)),
            _ => fs::remove_file(&half).map_err(io)?,
        }
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(io)?;
    let text = fs::read_to_string(path).map_err(io)?.trim().to_owned();
    if text.len() < shortest {
        return Err(Stop::Words(format!("{} is damaged: restore it, or remove it and sign in again.", path.display())));
    }
    Ok(text)
}

fn password(url: &str) -> Option<String> {
    reqwest::Url::parse(url).ok()?.password().map(|encoded| {
        let pair = format!("p={}", encoded.replace('+', "%2B"));
        form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
    })
}

/// Everything that serves requests, without listening yet.
pub fn state(config: Config, lanes: Lanes, secret: &str) -> Result<AppState, AppError> {
    let guide = Arc::new(Library::shipped());
    let answerer: Arc<dyn Answerer> = match config.answerer {
        AnswererKind::Embedded => Arc::new(embedded::Embedded::new(guide.clone())),
        AnswererKind::Openai => Arc::new(OpenAi::new(&config).map_err(|e| AppError::invalid(e.setting, &e.why))?),
    };
    let hashed =
        std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("hash.txt"))).is_some_and(|p| p.exists());
    let keys = Keys::new(secret.as_bytes());
    let wrong = |e: BadSetting| AppError::invalid(e.setting, &e.why);
    let outbox = config.dev_outbox.then(Outbox::default);
    let sms: Option<Arc<dyn SmsSender>> = match Gateway::new(&config).map_err(wrong)? {
        Some(gateway) => Some(Arc::new(gateway)),
        None => outbox.clone().map(|outbox| Arc::new(outbox) as Arc<dyn SmsSender>),
    };
    let issuers = Issuers::read(config.issuers.as_deref()).map_err(|e| AppError::invalid(e.setting, &e.why))?;
    Ok(AppState::from(Services {
        issuers,
        leptos: LeptosOptions::builder()
            .output_name("moat")
            .site_root(config.site.to_string_lossy().into_owned())
            .site_pkg_dir("pkg")
            .site_addr(config.addr)
            .hash_files(hashed && !cfg!(debug_assertions))
            .build(),
        tokens: Tokens::new(&keys.jwt),
        keys,
        passwords: Passwords::new(2)?,
        hub: Hub::new(lanes.clone()),
        lanes,
        answerer,
        resolver: Arc::new(Dns::new(config.dns)),
        guide,
        mailer: Mailer::new(&config, outbox.clone()).map_err(wrong)?,
        sms,
        outbox,
        tasks: TaskTracker::new(),
        imports: Arc::new(Semaphore::new(2)),
        misses: Misses::default(),
        owed: Arc::default(),
        sender: Sender::new(config.webhooks_private)?,
        due: Arc::default(),
        stopping: CancellationToken::new(),
        config: Arc::new(config),
    }))
}

/// Files that every page links and that the site's folder does not have. In a release their names carry hashes, which stand in a
/// file beside the program.
pub fn missing_files(options: &LeptosOptions) -> Vec<String> {
    let file = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(&*options.hash_file)));
    let hashes =
        file.filter(|_| options.hash_files).and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    let hash =
        |kind: &str| hashes.lines().find_map(|line| line.trim().strip_prefix(kind)?.strip_prefix(':').map(str::trim));
    let name = |kind: &str| hash(kind).map_or_else(|| format!("moat.{kind}"), |hash| format!("moat.{hash}.{kind}"));
    let folder = std::path::Path::new(&*options.site_root).join(&*options.site_pkg_dir);
    ["css", "js"].into_iter().map(name).filter(|name| !folder.join(name).is_file()).collect()
}
