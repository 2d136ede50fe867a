//! The desk under fire: two servers on one database, customers and agents spread over both, while servers and database processes are
//! killed. What was acknowledged is there once and in order, whoever has a conversation has it alone, and nobody has too many.
//! `STORM=20 cargo test storms` kills that often, and does the other storms at full size.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::process::{Folder, Server, run};

/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(400);
const CUSTOMERS: usize = 6;
const AGENTS: usize = 3;
const CAPACITY: i64 = 2;

/// Whoever asks: one server, and when it does not answer, the other, until it was done.
#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    servers: Arc<Mutex<[String; 2]>>,
    turn: Arc<AtomicUsize>,
    began: Instant,
}

impl Client {
    /// Status and body. A server that is dead, dying or without its database is no answer.
    async fn call(&self, headers: &[(&str, &str)], function: &str, fields: &[(&str, &str)]) -> (u16, String) {
        loop {
            assert!(self.began.elapsed() < LIMIT, "never answered: {function}");
            let n = self.turn.fetch_add(1, Ordering::Relaxed);
            let base = self.servers.lock().unwrap()[n % 2].clone();
            let mut request = self.http.post(format!("{base}/api/moat/{function}"));
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let body = fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
            let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
            if let Ok(answer) = request.send().await {
                let status = answer.status().as_u16();
                // Too much at once is no answer either.
                if let (true, Ok(text)) = (status < 500 && status != 429, answer.text().await) {
                    return (status, text);
                }
            }
            tokio::task::yield_now().await;
        }
    }

    async fn ok(&self, headers: &[(&str, &str)], function: &str, fields: &[(&str, &str)]) -> Value {
        let (status, body) = self.call(headers, function, fields).await;
        assert_eq!(status, 200, "{function}: {body}");
        serde_json::from_str(&body).unwrap_or(Value::Null)
    }
}

/// Says all of its messages, each until it is acknowledged.
async fn customer(client: Client, key: String, n: usize, messages: usize) -> Vec<String> {
    let token = client.ok(&[], "widget/server_fns/begin_visit", &[("key", &key)]).await;
    let bearer = format!("Bearer {}", token.as_str().unwrap());
    for m in 0..messages {
        let (id, text) = (Uuid::new_v4().to_string(), format!("c{n}m{m}"));
        client.ok(&[("authorization", &bearer)], "widget/server_fns/say", &[("client", &id), ("text", &text)]).await;
    }
    let own = client.ok(&[("authorization", &bearer)], "widget/server_fns/read_own", &[]).await;
    own["lines"].as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap().to_owned()).collect()
}

/// Takes, answers and resolves until all customers are done and nobody waits. Gives what was acknowledged, by conversation.
async fn agent(client: Client, cookie: String, place: String, left: Arc<AtomicUsize>) -> Vec<(String, String)> {
    let headers = [("cookie", cookie.as_str()), ("x-moat-place", place.as_str())];
    let desk = |function: &str| format!("conversations/server_fns/{function}");
    let mut sent = Vec::new();
    loop {
        let mine = client.ok(&headers, &desk("list_conversations"), &[("view", "mine")]).await;
        let mine: Vec<String> =
            mine["rows"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
        assert!(mine.len() as i64 <= CAPACITY, "{mine:?}");
        for id in &mine {
            let whole = client.ok(&headers, &desk("read_conversation"), &[("conversation", id)]).await;
            let seen = whole["seen"].to_string();
            let (text, key) = (format!("a{}", Uuid::new_v4().simple()), Uuid::new_v4().to_string());
            let fields = [("conversation", id.as_str()), ("client", &key), ("text", &text), ("seen", &seen)];
            let (status, body) = client.call(&headers, &desk("answer_conversation"), &fields).await;
            match status {
                200 => sent.push((id.clone(), text)),
                // Held: something was said meanwhile.
                409 => continue,
                _ => panic!("{status} {body}"),
            }
            let whole = client.ok(&headers, &desk("read_conversation"), &[("conversation", id)]).await;
            let seen = whole["seen"].to_string();
            let fields = [("conversation", id.as_str()), ("status", "resolved"), ("seen", &seen)];
            let (status, body) = client.call(&headers, &desk("set_conversation"), &fields).await;
            assert!(status == 200 || status == 409, "{status} {body}");
        }
        let (status, body) = client
            .call(&headers, &desk("take_next"), &[("place", &place), ("client", &Uuid::new_v4().to_string())])
            .await;
        assert!(status == 200 || status == 409, "{status} {body}");
        if status == 409 && mine.is_empty() && left.load(Ordering::SeqCst) == 0 {
            return sent;
        }
    }
}

#[test]
fn nothing_is_lost_doubled_out_of_order_or_had_by_two_while_servers_and_the_database_are_killed() {
    let kills: usize = std::env::var("STORM").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    // So that there is something to disturb until the end.
    let messages = 7 + kills;
    let folder = Folder::new();
    let mut servers = [Server::start(&folder.0), Server::start(&folder.0)];
    let ada = servers[0].sign_up("ada@example.org");
    let agents: Vec<String> = (0..AGENTS).map(|n| servers[0].sign_up(&format!("agent{n}@example.org"))).collect();
    let url = run(&folder.0, &["db", "url", "--role", "super"]).1.trim().to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let client = Client {
        http: reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap(),
        servers: Arc::new(Mutex::new([servers[0].address.clone(), servers[1].address.clone()])),
        turn: Arc::default(),
        began: Instant::now(),
    };
    let left = Arc::new(AtomicUsize::new(CUSTOMERS));
    let (said, sent) = runtime.block_on(async {
        let owner = [("cookie", ada.as_str())];
        let place = client.ok(&owner, "workspaces/server_fns/make_workspace", &[("name", "Storm")]).await;
        let place = place.as_str().unwrap().to_owned();
        let owner = [("cookie", ada.as_str()), ("x-moat-place", place.as_str())];
        client.ok(&owner, "desks/server_fns/set_desk", &[("name", "Storm")]).await;
        client.ok(&owner, "desks/server_fns/put_widget_key", &[("name", "page")]).await;
        let mut places = Vec::new();
        let mut conn = PgConnection::connect(&url).await.unwrap();
        for n in 0..AGENTS {
            let made: Uuid = sqlx::query_scalar(
                "insert into app.workspace_members (workspace_id, user_id, role)
                   select m.workspace_id, u.id, 'project_creator' from app.workspace_members m, app.users u
                    where m.id = $1 and u.email = $2 returning id",
            )
            .bind(place.parse::<Uuid>().unwrap())
            .bind(format!("agent{n}@example.org"))
            .fetch_one(&mut conn)
            .await
            .unwrap();
            let fields = [("member", made.to_string()), ("name", format!("Agent{n}")), ("capacity", CAPACITY.to_string())];
            let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            client.ok(&owner, "desks/server_fns/put_agent", &fields).await;
            places.push(made.to_string());
        }
        drop(conn);
        let desk = client.ok(&owner, "desks/server_fns/read_desk", &[]).await;
        let key = desk["keys"][0]["key"].as_str().unwrap().to_owned();

        let customers: Vec<_> = (0..CUSTOMERS)
            .map(|n| {
                let (client, key, left) = (client.clone(), key.clone(), left.clone());
                tokio::spawn(async move {
                    let read = customer(client, key, n, messages).await;
                    left.fetch_sub(1, Ordering::SeqCst);
                    read
                })
            })
            .collect();
        let agents: Vec<_> = agents
            .into_iter()
            .zip(places)
            .map(|(cookie, place)| tokio::spawn(agent(client.clone(), cookie, place, left.clone())))
            .collect();
        // One after the other, each as soon as the last one is back; as long as there is something to disturb.
        for n in 0..kills {
            let slot = n % 2;
            servers[slot].signal("-KILL");
            let again = tokio::task::block_in_place(|| Server::start(&folder.0));
            client.servers.lock().unwrap()[slot] = again.address.clone();
            drop(std::mem::replace(&mut servers[slot], again));
            // The database itself, every third time: a server that finds it gone starts it anew.
            if n % 3 == 2 {
                let pid = std::fs::read_to_string(folder.0.join("pg/postmaster.pid")).unwrap_or_default();
                drop(std::process::Command::new("kill").args(["-KILL", pid.lines().next().unwrap_or("0")]).status());
                continue;
            }
            // A process of the database that dies takes all the others along: Postgres starts anew from its log.
            if let Ok(mut conn) = PgConnection::connect(&url).await {
                let backend: Option<i32> = sqlx::query_scalar(
                    "select pid from pg_stat_activity where usename in ('moat_user', 'moat_visitor') order by random() limit 1",
                )
                .fetch_optional(&mut conn)
                .await
                .unwrap_or_default();
                if let Some(pid) = backend {
                    drop(std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status());
                }
            }
        }
        let mut said = Vec::new();
        for one in customers {
            said.push(one.await.unwrap());
        }
        let mut sent = Vec::new();
        for one in agents {
            sent.extend(one.await.unwrap());
        }
        (said, sent)
    });
    for (n, read) in said.iter().enumerate() {
        let own: Vec<&String> = read.iter().filter(|text| text.starts_with('c')).collect();
        let whole: Vec<String> = (0..messages).map(|m| format!("c{n}m{m}")).collect();
        assert_eq!(own, whole.iter().collect::<Vec<_>>(), "customer {n}");
    }
    runtime.block_on(async {
        let mut conn = loop {
            assert!(client.began.elapsed() < LIMIT);
            if let Ok(conn) = PgConnection::connect(&url).await {
                break conn;
            }
        };
        let lines: Vec<(Uuid, i64, String, String, String)> = sqlx::query_as(
            "select conversation_id, seq, role, author_name, content ->> 'text' from app.conversation_messages order by conversation_id, seq",
        )
        .fetch_all(&mut conn)
        .await
        .unwrap();
        let mut by: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for (id, seq, role, author, text) in lines {
            by.entry(id.to_string()).or_default().push((seq, role, author, text));
        }
        assert_eq!(by.len(), CUSTOMERS, "one conversation each");
        for (id, lines) in &by {
            let seqs: Vec<i64> = lines.iter().map(|line| line.0).collect();
            assert_eq!(seqs, (1..=lines.len() as i64).collect::<Vec<_>>(), "without a gap");
            // Whoever answers has taken it, and nobody takes it before it was given up.
            let mut had_by: Option<&str> = None;
            for (_, role, author, text) in lines {
                match (role.as_str(), text.as_str()) {
                    ("system", "took this") => {
                        assert_eq!(had_by.replace(author), None, "{id}: {lines:?}");
                    }
                    ("system", "resolved this") => assert_eq!(had_by.take(), Some(author.as_str()), "{id}: {lines:?}"),
                    ("agent", _) => assert_eq!(had_by, Some(author.as_str()), "{id}: {lines:?}"),
                    _ => {}
                }
            }
        }
        // Each acknowledged answer once; none that was not acknowledged twice either.
        for (id, text) in &sent {
            let times = by[id].iter().filter(|line| line.3 == *text).count();
            assert_eq!(times, 1, "{text}");
        }
        let doubled = "select count(*) from (select from app.conversation_messages where role = 'agent' group by content having count(*) > 1) x";
        let doubled: i64 = sqlx::query_scalar(doubled).fetch_one(&mut conn).await.unwrap();
        assert_eq!(doubled, 0);
        assert!(!sent.is_empty());
    });
}

/// A workspace with a desk, so many agents with room for one, and the key of a page.
async fn staff(client: &Client, servers: &[Server; 2], url: &str, many: usize) -> (String, Vec<(String, String)>) {
    let ada = servers[0].sign_up("ada@example.org");
    let owner = [("cookie", ada.as_str())];
    let place = client.ok(&owner, "workspaces/server_fns/make_workspace", &[("name", "Storm")]).await;
    let place = place.as_str().unwrap().to_owned();
    let owner = [("cookie", ada.as_str()), ("x-moat-place", place.as_str())];
    client.ok(&owner, "desks/server_fns/set_desk", &[("name", "Storm")]).await;
    client.ok(&owner, "desks/server_fns/put_widget_key", &[("name", "page")]).await;
    let mut agents = Vec::new();
    let mut conn = PgConnection::connect(url).await.unwrap();
    for n in 0..many {
        let email = format!("agent{n}@example.org");
        // All of them sign up from one address.
        sqlx::query("delete from app.rate_limits").execute(&mut conn).await.unwrap();
        let cookie = servers[n % 2].sign_up(&email);
        let made: Uuid = sqlx::query_scalar(
            "insert into app.workspace_members (workspace_id, user_id, role)
               select m.workspace_id, u.id, 'project_creator' from app.workspace_members m, app.users u
                where m.id = $1 and u.email = $2 returning id",
        )
        .bind(place.parse::<Uuid>().unwrap())
        .bind(email)
        .fetch_one(&mut conn)
        .await
        .unwrap();
        let (member, name) = (made.to_string(), format!("Agent{n}"));
        let fields = [("member", member.as_str()), ("name", name.as_str()), ("capacity", "1")];
        client.ok(&owner, "desks/server_fns/put_agent", &fields).await;
        agents.push((cookie, member));
    }
    let desk = client.ok(&owner, "desks/server_fns/read_desk", &[]).await;
    (desk["keys"][0]["key"].as_str().unwrap().to_owned(), agents)
}

fn client(servers: &[Server; 2]) -> Client {
    Client {
        http: reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap(),
        servers: Arc::new(Mutex::new([servers[0].address.clone(), servers[1].address.clone()])),
        turn: Arc::default(),
        began: Instant::now(),
    }
}

/// Whether this is the storm at full size.
fn full() -> bool {
    std::env::var_os("STORM").is_some()
}

#[test]
fn many_agents_who_take_the_next_one_at_once_have_one_each_and_none_twice_though_a_server_is_killed() {
    let (agents, conversations, rounds) = if full() { (50, 1000, 200) } else { (12, 60, 4) };
    let folder = Folder::new();
    let mut servers = [Server::start(&folder.0), Server::start(&folder.0)];
    let url = run(&folder.0, &["db", "url", "--role", "super"]).1.trim().to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut client = client(&servers);
    runtime.block_on(async {
        let (_, agents) = staff(&client, &servers, &url, agents).await;
        let mut conn = PgConnection::connect(&url).await.unwrap();
        sqlx::query(
            "insert into app.conversations (workspace_id, waiting_since)
               select d.workspace_id, now() - n * interval '1 s' from app.desks d, generate_series(1, $1) n",
        )
        .bind(conversations)
        .execute(&mut conn)
        .await
        .unwrap();
        client.began = Instant::now();
        for round in 0..rounds {
            let taking: Vec<_> = agents
                .iter()
                .cloned()
                .map(|(cookie, place)| {
                    let client = client.clone();
                    tokio::spawn(async move {
                        let headers = [("cookie", cookie.as_str()), ("x-moat-place", place.as_str())];
                        let function = "conversations/server_fns/take_next";
                        let id = Uuid::new_v4().to_string();
                        // Tried again after a lost answer, it is the one of the first try.
                        let taken = client.ok(&headers, function, &[("place", &place), ("client", &id)]).await;
                        let view = [("view", "mine")];
                        let mine = client.ok(&headers, "conversations/server_fns/list_conversations", &view).await;
                        let ids: Vec<_> = mine["rows"].as_array().unwrap().iter().map(|row| row["id"].clone()).collect();
                        assert_eq!(ids, [taken], "one each: {mine}");
                        ids[0].as_str().unwrap().to_owned()
                    })
                })
                .collect();
            if round == rounds / 2 {
                servers[1].signal("-KILL");
                let again = tokio::task::block_in_place(|| Server::start(&folder.0));
                client.servers.lock().unwrap()[1] = again.address.clone();
                drop(std::mem::replace(&mut servers[1], again));
            }
            let mut taken = Vec::new();
            for one in taking {
                taken.push(one.await.unwrap());
            }
            let had: std::collections::BTreeSet<_> = taken.iter().collect();
            assert_eq!(had.len(), agents.len(), "one winner each");
            // Those who had waited longest, whoever of them has which.
            let most: i64 = sqlx::query_scalar("select max(c) from (select count(*) as c from app.conversations where claimed_by is not null group by claimed_by) x")
                .fetch_one(&mut conn)
                .await
                .unwrap();
            assert_eq!(most, 1, "nobody has too many");
            let giving: Vec<_> = agents
                .iter()
                .cloned()
                .zip(taken)
                .map(|((cookie, place), id)| {
                    let client = client.clone();
                    tokio::spawn(async move {
                        let headers = [("cookie", cookie.as_str()), ("x-moat-place", place.as_str())];
                        // Half of them come back to the queue.
                        let status = if id.as_bytes()[0] % 2 == 0 { "resolved" } else { "waiting" };
                        let fields = [("conversation", id.as_str()), ("status", status), ("seen", "9999")];
                        client.ok(&headers, "conversations/server_fns/set_conversation", &fields).await;
                    })
                })
                .collect();
            for one in giving {
                one.await.unwrap();
            }
            sqlx::query("update app.conversations set status = 'waiting', waiting_since = now(), resolved_at = null where status = 'resolved'")
                .execute(&mut conn)
                .await
                .unwrap();
        }
        let claims: i64 = sqlx::query_scalar("select count(*) from app.conversation_messages where content ->> 'text' = 'took this'")
            .fetch_one(&mut conn)
            .await
            .unwrap();
        assert_eq!(claims, (agents.len() * rounds) as i64, "each claim once");
    });
}

#[test]
fn what_is_sent_until_it_is_acknowledged_is_stored_once_however_many_replies_are_lost() {
    let (senders, each) = if full() { (10, 1000) } else { (5, 40) };
    let folder = Folder::new();
    let servers = [Server::start(&folder.0), Server::start(&folder.0)];
    let url = run(&folder.0, &["db", "url", "--role", "super"]).1.trim().to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let client = client(&servers);
    runtime.block_on(async {
        let (_, agents) = staff(&client, &servers, &url, senders).await;
        let mut conn = PgConnection::connect(&url).await.unwrap();
        sqlx::query("insert into app.conversations (workspace_id) select d.workspace_id from app.desks d, generate_series(1, $1)")
            .bind(senders as i64)
            .execute(&mut conn)
            .await
            .unwrap();
        let sending: Vec<_> = agents
            .into_iter()
            .enumerate()
            .map(|(n, (cookie, place))| {
                let client = client.clone();
                tokio::spawn(async move {
                    let headers = [("cookie", cookie.as_str()), ("x-moat-place", place.as_str())];
                    let desk = |function: &str| format!("conversations/server_fns/{function}");
                    client.ok(&headers, &desk("take_next"), &[("place", &place), ("client", &Uuid::new_v4().to_string())]).await;
                    let mine = client.ok(&headers, &desk("list_conversations"), &[("view", "mine")]).await;
                    let conversation = mine["rows"][0]["id"].as_str().unwrap();
                    for m in 0..each {
                        let (id, text) = (Uuid::new_v4().to_string(), format!("s{n}m{m}"));
                        let fields = [("conversation", conversation), ("client", &id), ("text", &text), ("seen", "99999")];
                        // Given up after a while that is different each time: before it is sent, while it is stored, or while it is told.
                        for wait in 0..m % 4 {
                            let patience = Duration::from_micros(500 * (wait + 1) as u64 * (1 + m as u64 % 9));
                            let sent = client.call(&headers, "conversations/server_fns/answer_conversation", &fields);
                            drop(tokio::time::timeout(patience, sent).await);
                        }
                        client.ok(&headers, &desk("answer_conversation"), &fields).await;
                    }
                })
            })
            .collect();
        for one in sending {
            one.await.unwrap();
        }
        let (stored, different): (i64, i64) = sqlx::query_as(
            "select count(*), count(distinct content ->> 'text') from app.conversation_messages where role = 'agent'",
        )
        .fetch_one(&mut conn)
        .await
        .unwrap();
        assert_eq!((stored, different), ((senders * each) as i64, (senders * each) as i64));
        let wrong: i64 = sqlx::query_scalar(
            "select count(*) from (select content ->> 'text' as text, row_number() over (partition by conversation_id order by seq) - 1 as n
               from app.conversation_messages where role = 'agent') x where split_part(text, 'm', 2)::bigint <> n",
        )
        .fetch_one(&mut conn)
        .await
        .unwrap();
        assert_eq!(wrong, 0, "in the order in which they were sent");
    });
}
