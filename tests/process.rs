//! The program itself: the embedded database's life, kill -9, two servers on one folder, the commands.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use crate::harness::{DEADLINE, PASSWORD};

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// A folder that is gone when the test is.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!(
            "moat-process-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        )))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Ok(pid) = fs::read_to_string(self.0.join("pg/postmaster.pid")) {
            drop(Command::new("kill").args(["-QUIT", pid.lines().next().unwrap_or_default()]).status());
        }
        drop(fs::remove_dir_all(&self.0));
    }
}

fn moat(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moat"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("MOAT_DATA", folder);
    command
}

fn run(folder: &Path, args: &[&str]) -> (bool, String) {
    let output = moat(folder).args(args).output().unwrap();
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
    )
}

struct Server {
    child: Child,
    address: String,
    demo: Option<String>,
}

impl Server {
    fn start(folder: &Path) -> Self {
        // A port that was free a moment ago; the server says so in words if it is not any more.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = moat(folder)
            .env("MOAT_ADDR", format!("127.0.0.1:{port}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let (mut address, mut demo) = (None, None);
        let mut line = String::new();
        while address.is_none() || !line.trim().is_empty() {
            line.clear();
            if out.read_line(&mut line).unwrap() == 0 {
                panic!("the server ended: {:?}", child.wait());
            }
            if let Some(at) = line.trim().strip_prefix("moat is at ") {
                address = Some(at.to_owned());
            }
            if let Some(sign_in) = line.trim().strip_prefix("demo sign-in: ") {
                demo = Some(sign_in.to_owned());
            }
        }
        std::thread::spawn(move || drop(out.read_to_end(&mut Vec::new())));
        let server = Self { child, address: address.unwrap(), demo };
        server.ready();
        server
    }

    fn ready(&self) {
        let began = Instant::now();
        while self.get("/readyz", "").0 != 200 {
            assert!(began.elapsed() < DEADLINE, "not ready");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn get(&self, path: &str, cookie: &str) -> (u16, String, Vec<String>) {
        self.request(&["-H", &format!("Cookie: {cookie}")], path)
    }

    fn post(&self, path: &str, cookie: &str, body: &str) -> (u16, String, Vec<String>) {
        self.request(&["-H", &format!("Cookie: {cookie}"), "--data", body], path)
    }

    /// Status, body, cookies. By curl: a client that shares no code with the server.
    fn request(&self, args: &[&str], path: &str) -> (u16, String, Vec<String>) {
        let output = Command::new("curl")
            .args(["-s", "-i", "--max-time", "30"])
            .args(args)
            .arg(format!("{}{path}", self.address))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        let cookies = head
            .lines()
            .filter(|l| l.to_lowercase().starts_with("set-cookie: "))
            .map(|l| l[12..].split(';').next().unwrap().to_owned())
            .collect();
        (status, body.to_owned(), cookies)
    }

    fn sign_up(&self, email: &str) -> String {
        let (status, body, cookies) = self.post(
            "/api/moat/accounts/server_fns/sign_up",
            "",
            &format!("email={email}&password={}", PASSWORD.replace(' ', "+")),
        );
        assert_eq!(status, 200, "{body}");
        cookies.join("; ")
    }

    fn start_thread(&self, cookie: &str, text: &str) -> String {
        let (status, body, _) = self.post(
            "/api/moat/threads/server_fns/start_thread",
            cookie,
            &format!("client={}&text={}", uuid::Uuid::new_v4(), text.replace(' ', "+")),
        );
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<serde_json::Value>(&body).unwrap()["thread"].as_str().unwrap().to_owned()
    }

    fn open(&self, cookie: &str, thread: &str) -> serde_json::Value {
        let (status, body, _) =
            self.post("/api/moat/threads/server_fns/open_thread", cookie, &format!("thread={thread}"));
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    fn stop(mut self) {
        self.signal("-TERM");
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn cluster_runs(folder: &Path) -> bool {
    let Ok(pid) = fs::read_to_string(folder.join("pg/postmaster.pid")) else { return false };
    Path::new("/proc").join(pid.lines().next().unwrap()).exists()
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < DEADLINE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_killed_server_loses_nothing_that_was_confirmed_and_its_answer_is_interrupted() {
    let folder = Folder::new();
    let server = Server::start(&folder.0);
    let ada = server.sign_up("ada@example.org");
    let thread = server.start_thread(&ada, "Who can read my chats and what is sent to a model server?");
    wait_for("a piece of the answer", || {
        (!server.open(&ada, &thread)["messages"][1]["text"].as_str().unwrap().is_empty()).then_some(())
    });
    server.signal("-KILL");
    drop(server);
    assert!(cluster_runs(&folder.0), "the database survives the server");

    let server = Server::start(&folder.0);
    let page = wait_for("the interruption", || {
        let page = server.open(&ada, &thread);
        (page["messages"][1]["status"] == "interrupted").then_some(page)
    });
    assert!(page["messages"][0]["html"].as_str().unwrap().contains("Who can read my chats"));
    assert!(!page["messages"][1]["html"].as_str().unwrap().is_empty(), "what was shown is kept");
    let (status, body, _) = server.post(
        "/api/moat/threads/server_fns/answer_again",
        &ada,
        &format!("message={}", page["messages"][1]["id"].as_str().unwrap()),
    );
    assert_eq!(status, 200, "{body}");
    wait_for("the whole answer", || (server.open(&ada, &thread)["messages"][1]["status"] == "done").then_some(()));
    server.stop();
    assert!(!cluster_runs(&folder.0), "the last one out stops the database");
}

#[test]
fn two_servers_share_a_folder_and_the_last_one_out_stops_the_database() {
    let folder = Folder::new();
    let one = Server::start(&folder.0);
    let two = Server::start(&folder.0);
    assert_eq!(one.demo, two.demo, "one demo sign-in a folder");
    let ada = one.sign_up("ada@example.org");
    let thread = one.start_thread(&ada, "How do I stop an answer?");
    wait_for("the answer, seen from the other server", || {
        (two.open(&ada, &thread)["messages"][1]["status"] == "done").then_some(())
    });
    let (ok, said) = run(&folder.0, &["seed"]);
    assert!(ok && said.contains("ada@moat.example"), "{said}");
    one.stop();
    assert!(cluster_runs(&folder.0));
    assert_eq!(two.get("/readyz", "").0, 200);
    two.stop();
    assert!(!cluster_runs(&folder.0));
}

#[test]
fn the_commands_do_what_they_say_without_a_server() {
    let folder = Folder::new();
    for _ in 0..2 {
        let (ok, said) = run(&folder.0, &["migrate"]);
        assert!(ok && said.contains("up to date"), "{said}");
        let (ok, said) = run(&folder.0, &["seed"]);
        assert!(ok && said.contains("3 chats") && said.contains("2 chats"), "{said}");
    }
    let (ok, said) = run(&folder.0, &["check"]);
    assert!(ok && !said.contains("BROKEN") && said.lines().count() >= 15, "{said}");
    let (ok, said) = run(&folder.0, &["adopt", "--dry-run"]);
    assert!(!ok && said.contains("There is no public.threads"), "{said}");
    for (role, name) in [("login", "moat_user"), ("owner", "moat_owner"), ("super", "postgres")] {
        let (ok, said) = run(&folder.0, &["db", "url", "--role", role]);
        assert!(ok && said.starts_with(&format!("postgres://{name}@")), "{said}");
    }
    assert!(run(&folder.0, &["db", "url"]).1.starts_with("postgres://postgres@"));
    let (ok, said) = run(&folder.0, &["--help"]);
    assert!(ok && said.contains("MOAT_DATA") && said.contains("DATABASE_URL"), "{said}");
    assert!(!cluster_runs(&folder.0));
    // The cluster keeps what it confirms.
    let settings = fs::read_to_string(folder.0.join("pg/postmaster.opts")).unwrap();
    assert!(!settings.contains("fsync=off") && settings.contains("listen_addresses="), "{settings}");
    // Secrets are for their owner alone.
    use std::os::unix::fs::PermissionsExt;
    for name in ["secret", "pg"] {
        let mode = fs::metadata(folder.0.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name} is open to others");
    }
    // A folder of another major version is not touched.
    fs::write(folder.0.join("pg/PG_VERSION"), "9\n").unwrap();
    let (ok, said) = run(&folder.0, &["check"]);
    assert!(!ok && said.contains("made by Postgres 9") && said.contains("Install Postgres 9"), "{said}");
}

#[test]
fn a_wall_with_a_hole_is_not_served() {
    let folder = Folder::new();
    let server = Server::start(&folder.0);
    let url = run(&folder.0, &["db", "url"]).1;
    let psql = Command::new("psql")
        .arg(url.trim())
        .args(["-c", "alter table app.threads no force row level security"])
        .output()
        .unwrap();
    assert!(psql.status.success(), "{psql:?}");
    let (ok, said) = run(&folder.0, &["check"]);
    assert!(!ok && said.contains("BROKEN") && said.contains("app.threads"), "{said}");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (ok, said) = run(&folder.0, &["--addr", &format!("127.0.0.1:{port}")]);
    assert!(!ok && said.contains("The wall has a hole") && said.contains("app.threads"), "{said}");
    server.stop();
}

#[test]
fn settings_that_would_be_unsafe_or_can_not_work_are_refused_in_words() {
    let folder = Folder::new();
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = busy.local_addr().unwrap().to_string();
    for (args, words) in [
        (vec!["--addr", "0.0.0.0:0"], "Plain http"),
        (vec!["--origin", "http://chat.example.org"], "Plain http"),
        (vec!["--origin", "chat.example.org"], "https://"),
        (vec!["--secret", "short"], "32 characters"),
        (vec!["--signup", "domain"], "MOAT_SIGNUP_DOMAINS"),
        (vec!["--database-url", "postgres://x@localhost/y"], "MOAT_SERVICE_URL"),
        (vec!["--issuers", "[7]"], "MOAT_ISSUERS"),
        (vec!["--proxies", "10.0.0.1,proxy.example"], "give an address or a network"),
        (vec!["--quota=-1"], "quota"),
        (vec!["--addr", &busy], "MOAT_ADDR"),
    ] {
        let (ok, said) = run(&folder.0, &args);
        assert!(!ok && said.contains(words), "{args:?}: {said}");
    }
    let own = [
        "--database-url",
        "postgres://x@localhost/y",
        "--service-url",
        "postgres://z@localhost/y",
        "--secret",
        "a secret of more than 32 characters",
    ];
    for (command, words) in
        [("migrate", "MOAT_MIGRATE_URL"), ("adopt", "MOAT_MIGRATE_URL"), ("seed", "embedded database alone")]
    {
        let (ok, said) = run(&folder.0, &[&own[..], &[command]].concat());
        assert!(!ok && said.contains(words), "{command}: {said}");
    }
    assert!(!folder.0.exists(), "nothing was made for nothing");
}
