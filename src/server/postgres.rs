//! The embedded cluster: Postgres's own binaries, a data folder, a unix socket and no TCP port. Tests use it too.
//!
//! Every process that uses a data folder holds a shared lock on `use.lock`; the system drops it however the process ends.
//! Whoever leaves and can take that lock alone was the last, and stops the cluster. After a `kill -9` nobody does, and the
//! next start finds the cluster running and adopts it.
//!
//! One file, since finding, making, starting and leaving a cluster rest on the same few facts about its folder.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use sqlx::{Connection, Executor, postgres::PgConnectOptions};

use super::{lanes::Logins, pool};

/// The owner of the schema in an embedded cluster: may make roles, is no superuser.
pub const OWNER: &str = "moat_owner";
/// The login role of the user lane in an embedded cluster.
pub const USER_LOGIN: &str = "moat_user";
/// The login role of the service lane in an embedded cluster.
pub const SERVICE_LOGIN: &str = "moat_service";
/// The login role of the visitors' lane in an embedded cluster.
pub const VISITOR_LOGIN: &str = "moat_visitor";
pub const SUPERUSER: &str = "postgres";
const DATABASE: &str = "moat";
/// A unix socket's path ends at 107 bytes; the file name in it takes 20.
const SOCKET_DIR_MAX: usize = 85;

#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    #[error(
        "Postgres is not installed: no folder with `postgres` and `initdb` was found. Install it (Debian: `apt-get install postgresql`), or name the folder in MOAT_PG_BIN, or set DATABASE_URL to use a server of your own."
    )]
    NotInstalled,
    #[error(
        "The data folder {folder} was made by Postgres {made}; installed is {installed}. Install Postgres {made}, or move the data over: dump it with version {made}'s pg_dump, set MOAT_DATA to a new folder, and restore."
    )]
    OtherVersion { folder: String, made: String, installed: String },
    #[error("`{command}` failed: {said}")]
    Command { command: &'static str, said: String },
    #[error("{what}: {cause}")]
    Io { what: String, cause: io::Error },
    #[error("The embedded database does not answer: {0}")]
    Sql(#[from] sqlx::Error),
}

/// A running cluster that this process uses.
pub struct Embedded {
    folder: PathBuf,
    socket: PathBuf,
    bin: PathBuf,
    run_as: Option<Account>,
    using: File,
}

/// Who `initdb` and `postgres` run as when root starts us; both refuse root.
#[derive(Clone, Copy)]
struct Account {
    uid: u32,
    gid: u32,
}

/// How safe the data must be. Throw-away clusters of tests skip the disk's confirmations.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    Fsync,
    ThrowAway,
}

impl Embedded {
    /// Makes the cluster if there is none, starts it if it is not running, and counts this process among its users.
    /// `bin` is the folder of Postgres's programs, when the settings name one.
    pub async fn start(wanted: &Path, bin: Option<&Path>, durability: Durability) -> Result<Self, PostgresError> {
        let run_as = unprivileged();
        let folder = reachable(wanted, run_as)?;
        let mode = if run_as.is_some() { 0o711 } else { 0o700 };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(&folder)
            .map_err(io_at("make the data folder", &folder))?;
        let folder = folder.canonicalize().map_err(io_at("enter the data folder", &folder))?;
        let starting = lock_file(&folder.join("start.lock"))?;
        starting.lock().map_err(io_at("lock the data folder", &folder))?;
        let using = lock_file(&folder.join("use.lock"))?;
        using.lock_shared().map_err(io_at("lock the data folder", &folder))?;

        let cluster = folder.join("pg");
        let made = fs::read_to_string(cluster.join("PG_VERSION")).ok().map(|v| v.trim().to_owned());
        let bin = find_bin(bin, made.as_deref(), &folder)?;
        let socket = socket_folder(&folder, run_as)?;
        let this = Self { folder, socket, bin, run_as, using };
        if made.is_none() {
            this.init()?;
        }
        this.make_run(durability).await?;
        this.prepare().await?;
        Ok(this)
    }

    /// The folder that holds the cluster, the secret and the demo sign-in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How to connect as a role; every role of an embedded cluster is trusted, because only its owner can enter the folder
    /// of the socket.
    pub fn options(&self, role: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass().socket(&self.socket).username(role).database(DATABASE)
    }

    /// What the lanes log in as.
    pub fn logins(&self) -> Logins {
        let [user, service, visitor] = [USER_LOGIN, SERVICE_LOGIN, VISITOR_LOGIN].map(|role| self.options(role));
        Logins { user, service, visitor }
    }

    /// The same as an address for other programs.
    pub fn url(&self, role: &str) -> String {
        let host: String = self
            .socket
            .to_string_lossy()
            .bytes()
            .map(|b| {
                if b.is_ascii_alphanumeric() || b"-._".contains(&b) {
                    (b as char).to_string()
                } else {
                    format!("%{b:02X}")
                }
            })
            .collect();
        format!("postgres://{role}@{host}/{DATABASE}")
    }

    pub fn owner(&self) -> PgConnectOptions {
        self.options(OWNER)
    }

    pub fn superuser(&self) -> PgConnectOptions {
        self.options(SUPERUSER)
    }

    /// Looks each second whether the cluster still takes connections, and starts it anew when its process is gone: whoever killed it
    /// did not mean us. Until it is dropped.
    pub async fn keep_running(&self) {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            // Asked at the door first: pg_ctl is a program to be started each time.
            if self.answers().await {
                continue;
            }
            match self.run_again() {
                Ok(true) => tracing::warn!("the embedded database was gone, and has been started anew"),
                Ok(false) => {}
                // Its last processes are still ending, as a rule.
                Err(error) => tracing::warn!(%error, "the embedded database is gone, and does not start yet"),
            }
        }
    }

    /// One after the other with whoever starts or leaves.
    fn run_again(&self) -> Result<bool, PostgresError> {
        let starting = lock_file(&self.folder.join("start.lock"))?;
        starting.lock().map_err(io_at("lock the data folder", &self.folder))?;
        if self.is_running() {
            return Ok(false);
        }
        self.run(Durability::Fsync).map(|()| true)
    }

    /// Stops the cluster if no other process uses it. Says whether it did.
    pub fn leave(self) -> Result<bool, PostgresError> {
        let starting = lock_file(&self.folder.join("start.lock"))?;
        starting.lock().map_err(io_at("lock the data folder", &self.folder))?;
        self.using.unlock().map_err(io_at("unlock the data folder", &self.folder))?;
        if self.using.try_lock().is_err() {
            return Ok(false);
        }
        let cluster = self.folder.join("pg");
        let stopped = self.tool("pg_ctl", |c| c.args(["stop", "-w", "-m", "fast", "-D"]).arg(&cluster));
        // Whoever stops a service may stop all of its processes at once: then there is nothing left to stop.
        if stopped.is_err() && !self.is_running() { Ok(true) } else { stopped.map(|()| true) }
    }

    /// Into a folder beside, then renamed: one that was cut off in the middle is not taken for a cluster.
    fn init(&self) -> Result<(), PostgresError> {
        let half = self.folder.join("pg.half");
        if half.exists() {
            fs::remove_dir_all(&half).map_err(io_at("clear a half-made cluster", &half))?;
        }
        own_folder(&half, self.run_as)?;
        self.tool("initdb", |c| {
            c.args(["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--username", SUPERUSER, "-D"]).arg(&half)
        })?;
        fs::rename(&half, self.folder.join("pg")).map_err(io_at("name the new cluster", &half))
    }

    fn is_running(&self) -> bool {
        let cluster = self.folder.join("pg");
        self.tool("pg_ctl", |c| c.args(["status", "-D"]).arg(&cluster)).is_ok()
    }

    /// Starts it unless it takes connections. Where the last one was killed, its processes may still be ending, or be dead and not yet
    /// gone: `pg_ctl` takes them for a cluster that runs, and a new one does not start beside them.
    async fn make_run(&self, durability: Durability) -> Result<(), PostgresError> {
        let died = self.folder.join("pg/postmaster.pid").exists();
        for tries in 0.. {
            if self.answers().await {
                break;
            }
            match if self.is_running() { Ok(()) } else { self.run(durability) } {
                Err(error) if !died || tries > 80 => return Err(error),
                // Connecting says what is wrong.
                _ if tries > 80 => break,
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        Ok(())
    }

    /// Whether somebody listens behind its door.
    async fn answers(&self) -> bool {
        tokio::net::UnixStream::connect(self.socket.join(".s.PGSQL.5432")).await.is_ok()
    }

    fn run(&self, durability: Durability) -> Result<(), PostgresError> {
        let cluster = self.folder.join("pg");
        let log = cluster.join("server.log");
        let mut settings = format!("-k '{}' -c listen_addresses='' -c max_connections=200", self.socket.display());
        if durability == Durability::ThrowAway {
            settings.push_str(" -c fsync=off -c full_page_writes=off -c synchronous_commit=off");
        }
        self.tool("pg_ctl", |c| {
            c.args(["start", "-w", "-t", "60", "-D"]).arg(&cluster).arg("-l").arg(&log).arg("-o").arg(&settings)
        })
    }

    /// The database and its owner. Repeated at each start, since a start may have been cut off in between.
    async fn prepare(&self) -> Result<(), PostgresError> {
        let mut conn = pool::connect(&self.superuser().database(SUPERUSER)).await?;
        let made: bool = sqlx::query_scalar("select exists (select from pg_roles where rolname = $1)")
            .bind(OWNER)
            .fetch_one(&mut conn)
            .await?;
        if !made {
            conn.execute("create role moat_owner login createrole").await?;
        }
        let made: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
            .bind(DATABASE)
            .fetch_one(&mut conn)
            .await?;
        if !made {
            conn.execute("create database moat owner moat_owner").await?;
        }
        conn.close().await?;
        Ok(())
    }

    fn tool(&self, name: &'static str, with: impl FnOnce(&mut Command) -> &mut Command) -> Result<(), PostgresError> {
        let mut command = Command::new(self.bin.join(name));
        // A folder that everybody can enter: postgres complains about a current folder that it can't.
        command.current_dir("/").env_remove("PGDATA");
        // Ctrl-C is for us: it must not break off what stops the database.
        command.process_group(0);
        if let Some(Account { uid, gid }) = self.run_as {
            command.uid(uid).gid(gid);
        }
        with(&mut command);
        let output = command.output().map_err(|cause| PostgresError::Io { what: format!("run {name}"), cause })?;
        if output.status.success() {
            return Ok(());
        }
        let said =
            String::from_utf8_lossy(&output.stderr).trim().to_owned() + String::from_utf8_lossy(&output.stdout).trim();
        Err(PostgresError::Command { command: name, said })
    }
}

fn io_at(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PostgresError {
    let what = format!("{what} {}", path.display());
    move |cause| PostgresError::Io { what, cause }
}

fn lock_file(path: &Path) -> Result<File, PostgresError> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path).map_err(io_at("open", path))
}

/// A folder that only the account which runs Postgres can enter.
fn own_folder(path: &Path, run_as: Option<Account>) -> Result<(), PostgresError> {
    if !path.exists() {
        fs::DirBuilder::new().mode(0o700).create(path).map_err(io_at("make", path))?;
    }
    let (owner, group) = run_as.map_or_else(|| (rustix::process::getuid().as_raw(), None), |a| (a.uid, Some(a.gid)));
    chown(path, Some(owner), group).map_err(io_at("hand over", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(io_at("close", path))
}

fn socket_folder(folder: &Path, run_as: Option<Account>) -> Result<PathBuf, PostgresError> {
    let near = folder.join("run");
    let path = if near.as_os_str().len() <= SOCKET_DIR_MAX {
        near
    } else {
        std::env::temp_dir().join(format!("moat-{}", short_name(folder)))
    };
    // Somebody else's folder of that name in /tmp makes this fail: an ordinary user can't take it over.
    own_folder(&path, run_as)?;
    Ok(path)
}

fn short_name(folder: &Path) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, folder.as_os_str().as_encoded_bytes());
    digest.as_ref()[..6].iter().map(|b| format!("{b:02x}")).collect()
}

/// The account for Postgres when we are root: `postgres`, else `nobody`.
fn unprivileged() -> Option<Account> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let find = |name: &str| {
        passwd.lines().find_map(|line| {
            let mut parts = line.split(':');
            (parts.next() == Some(name)).then(|| parts.nth(1))??;
            let mut parts = line.split(':').skip(2);
            Some(Account { uid: parts.next()?.parse().ok()?, gid: parts.next()?.parse().ok()? })
        })
    };
    find("postgres").or_else(|| find("nobody"))
}

/// The wanted folder, or one under /var/lib when we are root and the unprivileged account could not get into it.
fn reachable(wanted: &Path, run_as: Option<Account>) -> Result<PathBuf, PostgresError> {
    let wanted = std::path::absolute(wanted).map_err(io_at("find", wanted))?;
    if run_as.is_none() {
        return Ok(wanted);
    }
    let closed = wanted.ancestors().skip(1).any(|a| a.metadata().is_ok_and(|m| m.mode() & 0o001 == 0));
    Ok(if closed { Path::new("/var/lib/moat").join(short_name(&wanted)) } else { wanted })
}

/// Whether a folder is one of Postgres's programs.
pub fn has_programs(bin: &Path) -> bool {
    ["postgres", "initdb", "pg_ctl"].iter().all(|name| bin.join(name).is_file())
}

fn major(bin: &Path) -> Option<String> {
    let output = Command::new(bin.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split_whitespace().find(|w| w.starts_with(|c: char| c.is_ascii_digit()))?;
    Some(version.split(|c: char| !c.is_ascii_digit()).next()?.to_owned())
}

/// The programs of the version that made the folder, or of the newest one.
fn find_bin(named: Option<&Path>, made: Option<&str>, folder: &Path) -> Result<PathBuf, PostgresError> {
    let mut found: Vec<PathBuf> = Vec::new();
    found.extend(named.map(Path::to_owned));
    // A named folder goes first, but data that another version made needs that version.
    if named.is_none() || made.is_some() {
        if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
            found.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
        }
        for (parent, child) in
            [("/usr/lib/postgresql", "bin"), ("/opt/homebrew/opt", "bin"), ("/usr/local/opt", "bin"), ("/usr", "bin")]
        {
            let Ok(entries) = fs::read_dir(parent) else {
                continue;
            };
            found.extend(entries.flatten().map(|e| e.path().join(child)));
        }
    }
    let mut usable: Vec<(u32, String, PathBuf)> = found
        .into_iter()
        .filter(|bin| has_programs(bin))
        .filter_map(|bin| {
            let major = major(&bin)?;
            Some((major.parse().ok()?, major, bin))
        })
        .collect();
    if made.is_some() || named.is_none() {
        usable.sort_by_key(|(n, ..)| std::cmp::Reverse(*n));
    }
    let Some((_, newest, _)) = usable.first() else {
        return Err(PostgresError::NotInstalled);
    };
    match made {
        None => Ok(usable.swap_remove(0).2),
        Some(made) => usable.iter().find(|(_, major, _)| major == made).map(|(.., bin)| bin.clone()).ok_or_else(|| {
            PostgresError::OtherVersion {
                folder: folder.display().to_string(),
                made: made.to_owned(),
                installed: newest.clone(),
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_postgres_could_not_enter_is_replaced_by_one_of_its_own_under_var_lib() {
        let outer = std::env::temp_dir().join(format!("moat-reachable-{}", std::process::id()));
        fs::create_dir_all(outer.join("open")).unwrap();
        let set = |mode| fs::set_permissions(&outer, fs::Permissions::from_mode(mode)).unwrap();
        let postgres = Some(Account { uid: 1, gid: 1 });
        let (wanted, other) = (outer.join("open/data"), outer.join("open/other"));
        set(0o711);
        assert_eq!(reachable(&wanted, postgres).unwrap(), wanted);
        set(0o700);
        let fallback = reachable(&wanted, postgres).unwrap();
        let others = reachable(&other, postgres).unwrap();
        let own = reachable(&wanted, None).unwrap();
        fs::remove_dir_all(&outer).unwrap();
        assert_eq!(fallback.parent(), Some(Path::new("/var/lib/moat")));
        assert_ne!(fallback, others, "each data folder has its own");
        assert_eq!(own, wanted, "whoever is not root runs Postgres themselves");
    }
}
