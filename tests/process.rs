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
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
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

pub fn run(folder: &Path, args: &[&str]) -> (bool, String) {
    let mut child = moat(folder).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let read = |mut out: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut said = Vec::new();
            out.read_to_end(&mut said).unwrap();
            String::from_utf8_lossy(&said).into_owned()
        })
    };
    let (out, err) = (read(Box::new(child.stdout.take().unwrap())), read(Box::new(child.stderr.take().unwrap())));
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if began.elapsed() > DEADLINE {
            break None;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    if status.is_none() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let said = out.join().unwrap() + &err.join().unwrap();
    (status.unwrap_or_else(|| panic!("{args:?} did not end: {said}")).success(), said)
}

pub struct Server {
    child: Child,
    pub address: String,
    demo: Option<String>,
}

impl Server {
    pub fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[])
    }

    fn start_with(folder: &Path, settings: &[(&str, &str)]) -> Self {
        Self::start_logging(folder, settings, Stdio::null())
    }

    /// Its log goes there.
    fn start_logging(folder: &Path, settings: &[(&str, &str)], log: impl Into<Stdio>) -> Self {
        // A port that was free a moment ago; the server says so in words if it is not any more.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = moat(folder)
            .env("MOAT_ADDR", format!("127.0.0.1:{port}"))
            .envs(settings.iter().map(|(name, value)| (name, value.replace("PORT", &port.to_string()))))
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let (mut begun, mut demo) = (false, None);
        let mut line = String::new();
        while !begun || !line.trim().is_empty() {
            line.clear();
            if out.read_line(&mut line).unwrap() == 0 {
                panic!("the server ended: {:?}", child.wait());
            }
            begun |= line.trim().starts_with("moat is at ");
            if let Some(sign_in) = line.trim().strip_prefix("demo sign-in: ") {
                demo = Some(sign_in.to_owned());
            }
        }
        std::thread::spawn(move || drop(out.read_to_end(&mut Vec::new())));
        let server = Self { child, address: format!("http://127.0.0.1:{port}"), demo };
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

    pub fn sign_up(&self, email: &str) -> String {
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

    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    fn stop(self) {
        self.signal("-TERM");
        self.ended();
    }

    fn ended(mut self) {
        assert!(wait_for("the server's end", || self.child.try_wait().unwrap()).success());
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
    assert!(one.demo.is_some());
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
    assert_eq!(said.trim_end().lines().last(), Some("The wall is whole."));
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
    assert_eq!(said.trim_end().lines().last(), Some("The wall has 1 hole."));
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
        (vec!["--addr", "0.0.0.0:0"], "MOAT_ADDR: Plain http"),
        (vec!["--addr", "0.0.0.0:0"], "MOAT_ORIGIN=https://"),
        (vec!["--addr", "0.0.0.0:0"], "MOAT_ALLOW_PLAIN_HTTP=true"),
        (vec!["--pg-bin", "/nope"], "MOAT_PG_BIN: /nope"),
        (vec!["--origin", "http://chat.example.org"], "Plain http"),
        (vec!["--origin", "chat.example.org"], "https://"),
        (vec!["--secret", "short"], "32 characters"),
        (vec!["--dns", "ns.example"], "--dns"),
        (vec!["--database-url", "postgres://x@localhost/y"], "MOAT_SERVICE_URL"),
        (
            vec!["--database-url", "postgres://x@localhost/y", "--service-url", "postgres://x@localhost/y"],
            "MOAT_VISITOR_URL",
        ),
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
        "--visitor-url",
        "postgres://v@localhost/y",
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

#[test]
fn a_server_that_is_told_to_stop_ends_its_streams_and_finishes_the_answer_under_way() {
    let folder = Folder::new();
    let question = "Who can read my chats and what is sent to a model server?";
    let server = Server::start(&folder.0);
    let ada = server.sign_up("ada@example.org");
    let mut listener = Command::new("curl")
        .args(["-s", "-N", "--max-time", "120", "-H", &format!("Cookie: {ada}")])
        .arg(format!("{}/live?after=0", server.address))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let thread = server.start_thread(&ada, question);
    let mut heard = BufReader::new(listener.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("answer.chunk") {
        line.clear();
        assert_ne!(heard.read_line(&mut line).unwrap(), 0, "the stream ended early");
    }
    server.stop();
    let rest = std::io::read_to_string(heard).unwrap();
    assert!(!rest.contains("answer.ended"), "the stream did not wait for the answer");
    assert!(listener.wait().unwrap().success(), "the stream ended in order");

    let server = Server::start(&folder.0);
    let settled = |thread: &str| {
        wait_for("the answer's end", || {
            let message = server.open(&ada, thread)["messages"][1].clone();
            (message["status"] != "running").then_some(message)
        })
    };
    let answer = settled(&thread);
    assert_eq!(answer["status"], "done");
    let whole = settled(&server.start_thread(&ada, question));
    assert_eq!(answer["html"], whole["html"], "to its last word");
    server.stop();
}

#[test]
fn the_demo_sign_in_is_for_this_machine_and_for_the_embedded_database_alone() {
    let folder = Folder::new();
    let demo = |settings: &[(&str, &str)]| {
        let server = Server::start_with(&folder.0, settings);
        let demo = server.demo.clone();
        server.stop();
        demo
    };
    let (proxied, open) = (
        [("MOAT_ORIGIN", "https://chat.example.org")],
        [("MOAT_ADDR", "0.0.0.0:PORT"), ("MOAT_ALLOW_PLAIN_HTTP", "true")],
    );
    assert_eq!((demo(&proxied), demo(&open)), (None, None));
    assert!(!folder.0.join("demo-sign-in").exists(), "nobody was made");
    let here = Server::start(&folder.0);
    assert!(here.demo.is_some());
    assert_eq!((demo(&proxied), demo(&open)), (None, None), "nor is one told that was made before");
    let user = run(&folder.0, &["db", "url", "--role", "login"]).1.trim().to_owned();
    let service = user.replace("//moat_user@", "//moat_service@");
    let visitor = user.replace("//moat_user@", "//moat_visitor@");
    let secret = "a secret of more than 32 characters";
    let own = [("DATABASE_URL", user), ("MOAT_SERVICE_URL", service), ("MOAT_VISITOR_URL", visitor)];
    let own = own.each_ref().map(|(name, url)| (*name, url.as_str()));
    assert_eq!(demo(&[own[0], own[1], own[2], ("MOAT_SECRET", secret)]), None);
    here.stop();
}

#[test]
fn starts_at_once_make_one_cluster() {
    let folder = Folder::new();
    let starts: Vec<_> = (0..4)
        .map(|_| {
            let folder = folder.0.clone();
            std::thread::spawn(move || run(&folder, &["migrate"]))
        })
        .collect();
    for start in starts {
        let (ok, said) = start.join().unwrap();
        assert!(ok && said.contains("up to date"), "{said}");
    }
    assert!(!cluster_runs(&folder.0));
}

#[test]
fn a_data_folder_with_a_long_path_has_its_socket_elsewhere() {
    let folder = Folder::new();
    let long = Folder(folder.0.join("a".repeat(60)).join("b".repeat(60)));
    let (ok, said) = run(&long.0, &["migrate"]);
    assert!(ok && said.contains("up to date"), "{said}");
    let url = run(&long.0, &["db", "url"]).1;
    let socket = url.trim().split(['@', '/']).nth(3).unwrap().replace("%2F", "/");
    assert!(socket.len() < 86 && !socket.contains("bbb"), "{socket}");
    assert!(long.0.join("pg/PG_VERSION").exists() && !cluster_runs(&long.0));
    // For its owner alone, as the one beside the data is.
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o700);
    fs::remove_dir_all(socket).unwrap();
}

#[test]
fn what_make_hands_to_a_command_can_be_piped() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Folder::new();
    fs::create_dir_all(folder.0.join("scripts")).unwrap();
    fs::create_dir_all(folder.0.join("release")).unwrap();
    fs::copy(root.join("Makefile"), folder.0.join("Makefile")).unwrap();
    for (name, text) in [
        ("scripts/setup", "#!/bin/sh\necho a step of the set-up\n"),
        ("scripts/env", "MOAT_TARGET=$PWD\nbuild_release_if_needed() { echo a line of the build; }\n"),
        ("release/moat", "#!/bin/sh\necho \"$@\"\n"),
    ] {
        use std::os::unix::fs::PermissionsExt;
        fs::write(folder.0.join(name), text).unwrap();
        fs::set_permissions(folder.0.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let output = Command::new("make").args(["-s", "run", "ARGS=db url"]).current_dir(&folder.0).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "db url\n");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("a step of the set-up") && said.contains("a line of the build"), "{said}");
}

#[test]
fn a_folder_for_postgres_that_has_none_is_refused_by_the_scripts_too() {
    let env = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/env");
    let with = |folder: &str| {
        let script = format!("source '{}' && echo sourced", env.display());
        let output = Command::new("bash").args(["-c", &script]).env("MOAT_PG_BIN", folder).output().unwrap();
        (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (out, said) = with("/nope");
    assert!(!out.contains("sourced") && said.contains("MOAT_PG_BIN: /nope"), "{out}{said}");
    assert!(with("").0.contains("sourced"));
}

#[test]
fn where_nobody_can_be_mailed_the_server_warns_that_all_wait_and_the_command_lets_somebody_in() {
    let folder = Folder::new();
    let log = folder.0.with_extension("log");
    let settings = [("MOAT_SIGNUP", "domain"), ("MOAT_SIGNUP_DOMAINS", "example.org")];
    let server = Server::start_logging(&folder.0, &settings, fs::File::create(&log).unwrap());
    assert_eq!(server.sign_up("ada@example.org"), "", "nobody is signed in");
    let sign_in = || {
        let body = format!("email=ada@example.org&password={}", PASSWORD.replace(' ', "+"));
        server.post("/api/moat/accounts/server_fns/sign_in", "", &body).2
    };
    assert_eq!(sign_in(), Vec::<String>::new());
    let (ok, said) = run(&folder.0, &["user", "ada@example.org", "--status", "active"]);
    assert!(ok && said.contains("ada@example.org is changed."), "{said}");
    assert!(sign_in().iter().any(|cookie| cookie.starts_with("__Host-moat-access=")));
    server.stop();
    let said = fs::read_to_string(&log).unwrap();
    fs::remove_file(&log).unwrap();
    assert!(said.contains("MOAT_SIGNUP=domain without a mail server"), "{said}");
}

#[test]
fn a_server_that_is_told_to_stop_warns_of_nothing() {
    let folder = Folder::new();
    for signal in ["-INT", "-TERM"] {
        let log = folder.0.with_extension("log");
        let server = Server::start_logging(&folder.0, &[], fs::File::create(&log).unwrap());
        let ada = server.sign_up(&format!("ada{signal}@example.org"));
        server.start_thread(&ada, "How do I stop an answer?");
        let mut stream = Command::new("curl")
            .args(["-sN", "-H", &format!("Cookie: {ada}"), &format!("{}/live", server.address)])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = [0; 1];
        server.start_thread(&ada, "How do I rename a chat?");
        stream.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        // Twice, as somebody does who thinks that the first was not heard.
        server.signal(signal);
        server.signal(signal);
        server.ended();
        stream.wait().unwrap();
        let said = fs::read_to_string(&log).unwrap();
        fs::remove_file(&log).unwrap();
        let (_, said) = said.split_once("stopping").unwrap_or_else(|| panic!("{signal}: {said}"));
        assert!(!said.contains("WARN") && !said.contains("ERROR"), "{signal}: {said}");
    }
    // All processes of a service are told at once: a database that is gone already is no failure.
    let server = Server::start(&folder.0);
    let pid = fs::read_to_string(folder.0.join("pg/postmaster.pid")).unwrap();
    assert!(Command::new("kill").args(["-QUIT", pid.lines().next().unwrap()]).status().unwrap().success());
    wait_for("the database to be gone", || (!cluster_runs(&folder.0)).then_some(()));
    server.stop();
}
