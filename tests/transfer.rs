//! Export and import, by the doors that people use.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use serde_json::{Value, json};
use sqlx::Executor;
use uuid::Uuid;

use crate::{
    answers::{Manner, app_with_model},
    harness::{Answer, App, Person},
    tree,
};

async fn start(app: &App, person: &Person, text: &str) -> String {
    let client = Uuid::new_v4().to_string();
    let answer =
        app.call(Some(person), "threads/server_fns/start_thread", &[("client", &client), ("text", text)]).await;
    let thread = answer.json()["thread"].as_str().unwrap().to_owned();
    app.until("an answer's end", async || {
        let row = app.call(Some(person), "threads/server_fns/read_thread", &[("thread", &thread)]).await.json();
        (row["answering"] == false).then_some(())
    })
    .await;
    thread
}

async fn upload(app: &App, person: &Person, file: impl AsRef<[u8]>) -> Answer {
    let mut body = b"--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"conversations.json\"\r\ncontent-type: application/json\r\n\r\n".to_vec();
    body.extend_from_slice(file.as_ref());
    body.extend_from_slice(b"\r\n--b--\r\n");
    let request = Request::post("/import/file")
        .header(header::CONTENT_TYPE, "multipart/form-data; boundary=b")
        .header(header::COOKIE, person.cookie())
        .body(Body::from(body))
        .unwrap();
    app.send(request).await
}

/// The newest import once it has ended.
async fn imported(app: &App, person: &Person, file: impl AsRef<[u8]>) -> Value {
    let answer = upload(app, person, file).await;
    assert_eq!((answer.status, answer.headers[header::LOCATION].to_str().unwrap()), (StatusCode::SEE_OTHER, "/import"));
    app.until("the import's end", async || {
        let rows = app.call(Some(person), "transfer/server_fns/list_imports", &[]).await.json();
        (rows[0]["status"] != "running").then(|| rows[0].clone())
    })
    .await
}

async fn rows(app: &App, person: &Person) -> Vec<Value> {
    let page = app.call(Some(person), "threads/server_fns/list_threads", &[]).await.json();
    page["rows"].as_array().unwrap().clone()
}

#[tokio::test]
async fn what_is_exported_can_be_imported_by_somebody_else_once() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("a@example.org").await, app.sign_up("b@example.org").await);
    let one = start(&app, &ada, "How do I stop an answer? \"</script>\" # é 漢").await;
    start(&app, &ada, "second").await;
    let file = app.page(Some(&ada), "/export/all.json").await;
    assert_eq!(file.status, 200);
    assert_eq!(file.headers[header::CONTENT_DISPOSITION], "attachment; filename=\"moat.json\"");
    let json = file.json();
    assert_eq!(json["threads"].as_array().unwrap().len(), 2);
    assert_eq!(json["threads"][0]["messages"][0]["text"], "How do I stop an answer? \"</script>\" # é 漢");
    assert_eq!(json["threads"][0]["messages"][1]["parent"], json["threads"][0]["messages"][0]["id"]);
    let single = app.page(Some(&ada), &format!("/export/{one}.json")).await;
    assert_eq!(single.json()["threads"][0], json["threads"][0]);
    let text = app.page(Some(&ada), &format!("/export/{one}.md")).await;
    assert!(
        text.body.starts_with("# How do I stop an answer?") && text.body.contains("\n**You**\n\nHow do I"),
        "{}",
        text.body
    );
    assert!(text.body.contains("\n**moat**\n"));

    let first = imported(&app, &bob, &file.body).await;
    assert_eq!(
        (&first["status"], &first["threads"], &first["known"], &first["messages"]),
        (&json!("done"), &json!(2), &json!(0), &json!(4))
    );
    let again = imported(&app, &bob, &file.body).await;
    assert_eq!((&again["threads"], &again["known"]), (&json!(0), &json!(2)), "the same file makes no doubles");
    // In the account that it comes from everything is there already.
    let home = imported(&app, &ada, &file.body).await;
    assert_eq!((&home["threads"], &home["known"]), (&json!(0), &json!(2)));
    assert_eq!((rows(&app, &ada).await.len(), rows(&app, &bob).await.len()), (2, 2));
    let his = rows(&app, &bob).await[1]["id"].as_str().unwrap().to_owned();
    let copy = app.page(Some(&bob), &format!("/export/{his}.json")).await.json();
    for key in ["title", "created_at", "active_at"] {
        assert_eq!(copy["threads"][0][key], json["threads"][0][key], "{key}");
    }
    let texts = |thread: &Value| {
        thread["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| (m["role"].clone(), m["text"].clone(), m["at"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(texts(&copy["threads"][0]), texts(&json["threads"][0]));
    // And it goes on from there.
    let client = Uuid::new_v4().to_string();
    let sent = app
        .call(Some(&bob), "threads/server_fns/send_message", &[("thread", &his), ("client", &client), ("text", "more")])
        .await;
    assert_eq!(sent.status, 200, "{}", sent.body);
    for path in [
        format!("/export/{one}.json"),
        format!("/export/{}.json", Uuid::new_v4()),
        "/export/all.exe".into(),
        "/export/x".into(),
    ] {
        let foreign = app.page(Some(&bob), &path).await;
        assert_eq!(
            (foreign.status, foreign.body.as_str()),
            (StatusCode::NOT_FOUND, r#"{"error":"not_found"}"#),
            "{path}"
        );
    }
}

#[tokio::test]
async fn half_an_answer_is_one_in_a_fork_and_in_a_file_too_and_what_was_deleted_stays_so() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("a@example.org").await, app.sign_up("b@example.org").await);
    let thread = start(&app, &ada, "How do I stop an answer?").await;
    let shown = async |person: &Person, thread: &str| {
        let open = app.call(Some(person), "threads/server_fns/open_thread", &[("thread", thread)]).await;
        open.json()["messages"].as_array().unwrap().clone()
    };
    let answer = shown(&ada, &thread).await[1]["id"].as_str().unwrap().to_owned();
    let mut conn = app.db.superuser().await;
    conn.execute("update app.generations set status = 'stopped'").await.unwrap();
    let fork = [("message", answer.as_str()), ("client", "00000000-0000-4000-8000-0000000000f0")];
    let forked = app.call(Some(&ada), "threads/server_fns/fork_thread", &fork).await;
    assert_eq!(forked.status, 200, "{}", forked.body);
    let fork =
        forked.json()["thread"].as_str().map_or_else(|| forked.json().as_str().unwrap().to_owned(), str::to_owned);
    let copy = &shown(&ada, &fork).await[1];
    assert_eq!(copy["status"], "stopped", "{copy}");
    assert!(copy["actions"].as_str().unwrap().contains("Go on"), "{copy}");
    let on = [
        ("message", copy["id"].as_str().unwrap()),
        ("client", "00000000-0000-4000-8000-0000000000f1"),
        ("go_on", "true"),
    ];
    assert_eq!(app.call(Some(&ada), "threads/server_fns/answer_again", &on).await.status, 200);

    let gone = start(&app, &ada, "to be deleted").await;
    let question = shown(&ada, &gone).await[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(app.call(Some(&ada), "threads/server_fns/delete_message", &[("message", &question)]).await.status, 200);
    for (export, threads) in [
        (format!("/export/{thread}.json"), 1),
        (format!("/export/{fork}.json"), 1),
        (format!("/export/{gone}.json"), 1),
    ] {
        let file = app.page(Some(&ada), &export).await.body;
        let import = imported(&app, &bob, &file).await;
        assert_eq!((import["status"].as_str(), import["threads"].as_i64()), (Some("done"), Some(threads)), "{import}");
    }
    let text = app.page(Some(&ada), &format!("/export/{thread}.md")).await.body;
    assert!(text.contains("*This answer is not whole.*"), "{text}");
    let mut ended = Vec::new();
    let mut deleted = 0;
    for row in rows(&app, &bob).await {
        for message in shown(&bob, row["id"].as_str().unwrap()).await {
            ended.extend(message["status"].as_str().map(str::to_owned));
            deleted += i32::from(message["deleted"] == true);
        }
    }
    assert!(ended.iter().filter(|e| *e == "stopped").count() >= 1 && deleted == 1, "{ended:?} {deleted}");
}

#[tokio::test]
async fn chatgpts_file_is_imported_with_its_times_and_one_event() {
    let app = App::new().await;
    let ada = app.sign_up("a@example.org").await;
    let message = |role: &str, text: &str, at: f64| json!({ "author": { "role": role }, "create_time": at, "content": { "content_type": "text", "parts": [text] } });
    let conversation = |n: usize| {
        json!({ "title": format!("Chat {n}"), "create_time": 1_700_000_000.5 + n as f64, "update_time": 1_700_000_100.25 + n as f64, "conversation_id": format!("c{n}"),
            "current_node": "b", "mapping": {
                "root": { "id": "root", "parent": null, "message": null },
                "a": { "id": "a", "parent": "root", "message": message("user", "a needle in it", 1_700_000_000.5) },
                "b": { "id": "b", "parent": "a", "message": message("assistant", "**found**", 1_700_000_050.0) } } })
    };
    let file = Value::from((0..120).map(conversation).collect::<Vec<_>>()).to_string();
    let row = imported(&app, &ada, &file).await;
    assert_eq!((&row["status"], &row["threads"], &row["messages"]), (&json!("done"), &json!(120), &json!(240)));
    let newest = &rows(&app, &ada).await[0];
    assert_eq!(
        (&newest["title"], &newest["group"], &newest["unread"]),
        (&json!("Chat 119"), &json!("November 2023"), &json!(false))
    );
    let found = app.call(Some(&ada), "threads/server_fns/search_threads", &[("query", "needle")]).await.json();
    assert_eq!((found.as_array().unwrap().len(), &found[0]["day"]), (30, &json!("14 Nov 2023")));
    let told: Vec<String> = app
        .until("the feed", async || {
            let told: Vec<String> =
                sqlx::query_scalar("select kind from app.feed").fetch_all(&mut app.db.superuser().await).await.unwrap();
            (!told.is_empty()).then_some(told)
        })
        .await;
    assert_eq!(told, ["resync"]);
    let page = app.page(Some(&ada), "/import").await.body;
    assert!(page.contains("120 new chats with 240 messages, 0 brought up to date, 0 already here."), "{page}");
}

#[tokio::test]
async fn a_broken_file_says_where_and_keeps_what_came_before() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("a@example.org").await, app.sign_up("b@example.org").await);
    let good = json!({ "title": "Good", "id": "g", "mapping": { "a": { "message": { "author": { "role": "user" }, "content": { "parts": ["x\u{0}y"] } } } } });
    let row = imported(&app, &ada, format!("[{good},\n{{\"title\": \"cut")).await;
    assert_eq!((&row["status"], &row["threads"]), (&json!("failed"), &json!(1)));
    assert!(row["why"].as_str().unwrap().starts_with("Line 2, column 14: EOF"), "{row}");
    let other = imported(&app, &ada, b"PK\x03\x04 a zip file").await;
    assert!(other["why"].as_str().unwrap().starts_with("Line 1, column 1"), "{other}");
    let newer = imported(&app, &ada, r#"{"format":"moat","version":2,"threads":[]}"#).await;
    assert!(newer["why"].as_str().unwrap().contains("of a newer moat"), "{newer}");
    let mine: i64 =
        sqlx::query_scalar("select count(*) from app.imports").fetch_one(&mut app.db.superuser().await).await.unwrap();
    assert_eq!(mine, 3);
    assert!(app.call(Some(&bob), "transfer/server_fns/list_imports", &[]).await.json().as_array().unwrap().is_empty());
    // What is no form with a file.
    for (kind, body) in
        [("text/plain", "x"), ("multipart/form-data; boundary=b", "--b--\r\n"), ("multipart/form-data", "x")]
    {
        let request =
            Request::post("/import/file").header(header::CONTENT_TYPE, kind).header(header::COOKIE, ada.cookie());
        assert_eq!(app.send(request.body(Body::from(body)).unwrap()).await.status, StatusCode::BAD_REQUEST, "{kind}");
    }
    // Larger than the limit of any other form, and then larger than its own.
    let wide = json!([{ "id": "w", "mapping": { "a": { "message": { "author": { "role": "user" }, "content": { "parts": ["w ".repeat(1_500_000)] } } } } }]);
    assert_eq!(imported(&app, &ada, wide.to_string()).await["threads"], 1);
    let huge = imported(&app, &ada, vec![b' '; 100 * 1024 * 1024 + 1]).await;
    assert_eq!((&huge["status"], &huge["why"]), (&json!("failed"), &json!("The file is larger than 100 MB.")));
}

#[tokio::test]
async fn nobody_imports_into_somebody_elses_import_or_past_the_end_of_their_own() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("a@example.org").await, app.sign_up("b@example.org").await);
    imported(&app, &ada, "[]").await;
    let import: Uuid =
        sqlx::query_scalar("select id from app.imports").fetch_one(&mut app.db.superuser().await).await.unwrap();
    for who in [&ada, &bob] {
        let mut lane = app.state.lanes.user(&who.opening()).await.unwrap();
        let error = sqlx::query("select app.import_thread($1, gen_random_uuid(), null, 'x', now(), now(), '[]')")
            .bind(import)
            .execute(lane.conn())
            .await
            .unwrap_err();
        assert_eq!(error.as_database_error().unwrap().code().unwrap(), "P0404");
    }
}

/// A conversation as ChatGPT's export has it today.
fn conversation(id: &str, messages: &[Value]) -> Value {
    let mut mapping = json!({ "root": { "id": "root", "parent": null, "message": null } });
    let mut parent = "root".to_owned();
    for (n, message) in messages.iter().enumerate() {
        mapping[n.to_string()] = json!({ "id": n.to_string(), "parent": parent, "message": message });
        parent = n.to_string();
    }
    json!({ "title": id, "create_time": 1_700_000_000.5, "update_time": 1_700_000_100.25, "mapping": mapping, "current_node": parent,
        "conversation_id": id, "id": id, "is_archived": false })
}

fn said(role: &str, text: &str) -> Value {
    json!({ "author": { "role": role }, "create_time": 1_700_000_000.5, "recipient": "all", "content": { "content_type": "text", "parts": [text] } })
}

#[tokio::test]
async fn a_conversation_of_another_shape_is_left_out_and_told_and_those_after_it_come() {
    let app = App::new().await;
    let ada = app.sign_up("a@example.org").await;
    let mut searched = said("assistant", "search(\"x\")");
    searched["recipient"] = json!("web");
    let mut ran = said("assistant", "");
    ran["content"] = json!({ "content_type": "code", "text": "print(1)" });
    let whole = conversation("one", &[said("user", "q"), searched, ran, said("assistant", "a")]);
    let odd = json!({ "id": "odd", "mapping": 5 });
    let last = conversation("two", &[said("user", "q")]);
    let row = imported(&app, &ada, json!([whole, odd, 7, last]).to_string()).await;
    assert_eq!((&row["status"], &row["threads"], &row["messages"]), (&json!("done"), &json!(2), &json!(3)), "{row}");
    assert_eq!(row["why"], "2 conversations could not be read and were left out.");
    let page = app.page(Some(&ada), "/import").await.body;
    assert!(page.contains("Done. 2 conversations could not be read and were left out."), "{page}");
    // A surrogate that has lost its other half is no text.
    let half = last.to_string().replace("\"two\"", "\"\\ud83d\"");
    let row = imported(&app, &ada, format!("[{half},{}]", conversation("three", &[said("user", "q")]))).await;
    assert_eq!((&row["status"], &row["threads"]), (&json!("done"), &json!(1)), "{row}");
    assert_eq!(row["why"], "1 conversation could not be read and was left out.");
    // Ours, and a file in which nothing can be read.
    let ours = json!({ "format": "moat", "threads": [{ "id": 1 }] });
    let row = imported(&app, &ada, ours.to_string()).await;
    assert_eq!((&row["status"], &row["threads"]), (&json!("failed"), &json!(0)), "{row}");
    assert_eq!(row["why"], "1 conversation could not be read and was left out.");
}

#[tokio::test]
async fn a_message_that_is_too_long_is_cut_and_that_is_told() {
    let app = App::new().await;
    let ada = app.sign_up("a@example.org").await;
    let row =
        imported(&app, &ada, json!([conversation("long", &[said("user", &"\u{20ac}".repeat(400_000))])]).to_string())
            .await;
    assert_eq!((&row["status"], &row["messages"]), (&json!("done"), &json!(1)));
    assert_eq!(row["why"], "1 message was longer than 1 MB and was cut.");
    assert_eq!(app.count("select octet_length(content ->> 'text')::bigint from app.messages").await, 999_999);
}

#[tokio::test]
async fn what_is_imported_again_while_it_can_be_taken_back_is_there_again() {
    let app = App::new().await;
    let ada = app.sign_up("a@example.org").await;
    let theirs = json!([conversation("one", &[said("user", "q")])]).to_string();
    imported(&app, &ada, &theirs).await;
    let own = start(&app, &ada, "mine").await;
    let ours = app.page(Some(&ada), &format!("/export/{own}.json")).await.body;
    for thread in rows(&app, &ada).await {
        let fields = [("thread", thread["id"].as_str().unwrap())];
        assert_eq!(app.call(Some(&ada), "threads/server_fns/delete_thread", &fields).await.status, 200);
    }
    app.db.superuser().await.execute("update app.threads set deleted_at = now() - interval '1 hour'").await.unwrap();
    for file in [&theirs, &ours] {
        let row = imported(&app, &ada, file).await;
        assert_eq!((&row["threads"], &row["known"]), (&json!(0), &json!(1)), "{row}");
    }
    moat::server::jobs::sweep_threads(&app.state).await.unwrap();
    assert_eq!(rows(&app, &ada).await.len(), 2);
}

#[tokio::test]
async fn somebody_has_one_import_at_a_time_and_a_server_reads_two_files_at_once() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("a@example.org").await, app.sign_up("b@example.org").await);
    // No turn is free: what has begun waits, and says so.
    let turns = app.state.imports.acquire_many(2).await.unwrap();
    let file = json!([conversation("one", &[said("user", "q")])]).to_string();
    let mut other = app.db.superuser().await;
    let mut held = sqlx::Connection::begin(&mut other).await.unwrap();
    held.execute("select from app.users for update").await.unwrap();
    let (one, two, ()) = tokio::join!(upload(&app, &ada, &file), upload(&app, &ada, &file), async {
        app.until("both want to begin", async || (app.waiting().await == 2).then_some(())).await;
        held.rollback().await.unwrap();
    });
    let refused = if one.status == StatusCode::CONFLICT { &one } else { &two };
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.body.contains("Another import of yours is under way."), "{}", refused.body);
    assert!([one.status, two.status].contains(&StatusCode::SEE_OTHER));
    assert_eq!(upload(&app, &ada, &file).await.status, StatusCode::CONFLICT);
    assert_eq!(upload(&app, &bob, "[]").await.status, StatusCode::SEE_OTHER, "hers are not his");
    app.until("both wait for a turn, or have not waited", async || {
        (app.count("select count(*) from app.imports where updated_at > created_at").await == 2).then_some(())
    })
    .await;
    assert_eq!(app.count("select count(*) from app.imports where status = 'running' and threads = 0").await, 2);
    drop(turns);
    app.until("their turn", async || {
        (app.count("select count(*) from app.imports where status = 'done'").await == 2).then_some(())
    })
    .await;
    assert_eq!(rows(&app, &ada).await.len(), 1);
    // One that died keeps nobody from another.
    let died = "update app.imports set status = 'running', updated_at = now() - interval '2 minutes'";
    app.db.superuser().await.execute(died).await.unwrap();
    assert_eq!(imported(&app, &ada, &file).await["known"], 1);
}

/// A server function of the chats, which is done.
async fn call(app: &App, who: &Person, name: &str, fields: &[(&str, &str)]) -> Value {
    let answer = app.call(Some(who), &format!("threads/server_fns/{name}"), fields).await;
    assert_eq!(answer.status, 200, "{name}: {}", answer.body);
    if answer.body.is_empty() { Value::Null } else { answer.json() }
}

/// The messages of the branch that is shown, once nothing is being written.
async fn shown(app: &App, who: &Person, thread: &str) -> Vec<Value> {
    app.until("the end of an answer", async || {
        let page = call(app, who, "open_thread", &[("thread", thread)]).await;
        (page["thread"]["answering"] == false).then(|| page["messages"].as_array().unwrap().clone())
    })
    .await
}

fn id(of: &Value) -> &str {
    of["id"].as_str().unwrap()
}

/// What their owner's messages of a transcript say.
fn words(page: &[Value]) -> Vec<String> {
    let own = page.iter().filter(|m| m["role"] == "user");
    own.map(|m| m["html"].as_str().unwrap().trim().replace("<p>", "").replace("</p>", "")).collect()
}

async fn say(app: &App, who: &Person, thread: &str, text: &str) {
    let client = Uuid::new_v4().to_string();
    call(app, who, "send_message", &[("thread", thread), ("client", &client), ("text", text)]).await;
    shown(app, who, thread).await;
}

async fn edit(app: &App, who: &Person, thread: &str, message: &Value, text: &str) {
    let client = Uuid::new_v4().to_string();
    call(app, who, "edit_message", &[("message", id(message)), ("client", &client), ("text", text)]).await;
    shown(app, who, thread).await;
}

async fn file(app: &App, who: &Person, thread: &str, act: &str, folder: &str) {
    call(app, who, "file_threads", &[("threads[0]", thread), ("act", act), ("folder", folder)]).await;
}

async fn exported(app: &App, who: &Person, what: &str) -> String {
    let file = app.page(Some(who), &format!("/export/{what}.json")).await;
    assert_eq!(file.status, 200);
    file.body
}

/// An export with its ids replaced by where they stand.
fn placed(file: &str) -> String {
    let json: Value = serde_json::from_str(file).unwrap();
    let mut text = file.to_owned();
    for (t, thread) in json["threads"].as_array().unwrap().iter().enumerate() {
        text = text.replace(id(thread), &format!("chat {t}"));
        for (m, message) in thread["messages"].as_array().unwrap().iter().enumerate() {
            text = text.replace(id(message), &format!("message {t}.{m}"));
        }
    }
    text
}

/// What holds for every tree, and that nobody is shown a branch that goes on: what comes after it could not be got to.
async fn whole(app: &App) {
    tree::whole(app).await;
    let goes_on =
        "select count(*) from app.threads t where exists (select from app.messages m where m.parent_id = t.leaf_id)";
    assert_eq!(app.count(goes_on).await, 0);
}

async fn make_folder(app: &App, who: &Person, name: &str, instructions: &str) -> String {
    let made =
        app.call(Some(who), "folders/server_fns/make_folder", &[("name", name), ("instructions", instructions)]).await;
    made.json().as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_chat_comes_to_somebody_else_as_it_was_and_goes_out_from_there_the_same() {
    let (app, model) = app_with_model().await;
    model.next(Manner::Say(vec!["An **answer**.".into()]));
    let (ada, bob) = (app.sign_up("a@example.org").await, app.sign_up("b@example.org").await);
    let folder = make_folder(&app, &ada, "Tax 2026", "Name the paragraph.").await;
    make_folder(&app, &ada, "Empty", "").await;
    let one = start(&app, &ada, "one").await;
    call(&app, &ada, "set_options", &[("thread", &one), ("model", "other-model"), ("instructions", "In French.")])
        .await;
    say(&app, &ada, &one, "two").await;
    let old = shown(&app, &ada, &one).await;
    edit(&app, &ada, &one, &old[2], "two, edited").await;
    say(&app, &ada, &one, "three").await;
    call(&app, &ada, "choose_branch", &[("to", id(&old[2]))]).await;
    edit(&app, &ada, &one, &old[0], "uno").await;
    say(&app, &ada, &one, "due").await;
    let due = shown(&app, &ada, &one).await;
    call(&app, &ada, "choose_branch", &[("to", id(&old[0]))]).await;
    say(&app, &ada, &one, "four").await;
    call(&app, &ada, "choose_branch", &[("to", id(&due[0]))]).await;
    assert_eq!(words(&shown(&app, &ada, &one).await), ["uno", "due"], "neither the newest message nor above it");
    call(&app, &ada, "thumb_answer", &[("message", id(&old[1])), ("up", "true")]).await;
    call(&app, &ada, "thumb_answer", &[("message", id(&old[3])), ("up", "false")]).await;
    file(&app, &ada, &one, "pin", "").await;
    file(&app, &ada, &one, "move", &folder).await;
    let two = start(&app, &ada, "to be emptied").await;
    let page = shown(&app, &ada, &two).await;
    call(&app, &ada, "answer_again", &[("message", id(&page[1])), ("client", &Uuid::new_v4().to_string())]).await;
    shown(&app, &ada, &two).await;
    call(&app, &ada, "delete_message", &[("message", id(&page[0]))]).await;
    call(&app, &ada, "delete_message", &[("message", id(&page[1]))]).await;
    sqlx::query("update app.generations set status = 'stopped' where message_id = $1")
        .bind(id(&shown(&app, &ada, &two).await[1]).parse::<Uuid>().unwrap())
        .execute(&mut app.db.superuser().await)
        .await
        .unwrap();
    file(&app, &ada, &two, "archive", "").await;
    start(&app, &ada, "nothing about it").await;

    let hers = exported(&app, &ada, "all").await;
    let json: Value = serde_json::from_str(&hers).unwrap();
    assert_eq!(
        (&json["version"], &json["folders"]),
        (&json!(1), &json!([{ "name": "Empty" }, { "name": "Tax 2026", "instructions": "Name the paragraph." }]))
    );
    let thread = &json["threads"][0];
    for (key, value) in [
        ("folder", json!("Tax 2026")),
        ("pinned", json!(true)),
        ("model", json!("other-model")),
        ("instructions", json!("In French.")),
        ("shown", due[3]["id"].clone()),
    ] {
        assert_eq!(thread[key], value, "{key}");
    }
    assert_eq!(
        (&json["threads"][1]["archived"], &json["threads"][1]["messages"][2]["ended"]),
        (&json!(true), &json!("stopped"))
    );
    let messages = thread["messages"].as_array().unwrap();
    assert_eq!((&messages[1]["thumb"], &messages[3]["thumb"]), (&json!(true), &json!(false)));
    assert_eq!((&messages[1]["model"], &messages[3]["model"]), (&json!("a-model"), &json!("other-model")));
    let left = messages.iter().filter(|m| m["left"].is_string());
    assert_eq!(left.count(), 3, "of four, one that has gone on since");
    // A single one has its own folder, and no other.
    let single: Value = serde_json::from_str(&exported(&app, &ada, &one).await).unwrap();
    assert_eq!((&single["threads"][0], single["folders"].as_array().unwrap().len()), (thread, 1));

    // He has such a folder already: it stays as it is.
    make_folder(&app, &bob, "Tax 2026", "Mine.").await;
    let row = imported(&app, &bob, &hers).await;
    assert_eq!((&row["status"], &row["threads"], &row["why"]), (&json!("done"), &json!(3), &json!("")), "{row}");
    let his = exported(&app, &bob, "all").await;
    assert_eq!(placed(&his), placed(&hers).replace("Name the paragraph.", "Mine."));
    whole(&app).await;
    // What he sees is what she sees, also where he turns.
    let copies: Value = serde_json::from_str(&his).unwrap();
    let copy = &copies["threads"][0];
    let seen = async |who: &Person, thread: &str, to: &Value| {
        call(&app, who, "choose_branch", &[("to", id(to))]).await;
        let page = shown(&app, who, thread).await;
        page.iter()
            .map(|m| ["html", "place", "siblings", "thumb", "deleted"].map(|key| m[key].to_string()))
            .collect::<Vec<_>>()
    };
    for (mine, theirs) in messages.iter().zip(copy["messages"].as_array().unwrap()) {
        assert_eq!(seen(&ada, &one, mine).await, seen(&bob, id(copy), theirs).await);
    }
    let html = app.page(Some(&bob), &format!("/chat/{}", id(copy))).await.body;
    assert!(html.contains("· other-model</span>"), "who answered is told: {html}");
}

fn message(id: &str, parent: Option<&str>) -> Value {
    let role = if id.starts_with('a') { "assistant" } else { "user" };
    json!({ "id": id, "parent": parent, "role": role, "text": id, "at": 1_700_000_000 })
}

/// A chat of an export of ours, with these fields as well.
fn talk(id: &str, messages: &[Value], fields: Value) -> Value {
    let mut talk = json!({ "id": id, "title": id, "created_at": 1, "active_at": 2, "messages": messages });
    talk.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    talk
}

fn ours(folders: &Value, threads: &[Value]) -> String {
    format!(r#"{{"format":"moat","version":1,"folders":{folders},"threads":{}}}"#, json!(threads))
}

#[tokio::test]
async fn what_a_hostile_file_says_is_left_out_and_told() {
    let app = App::new().await;
    let ada = app.sign_up("a@example.org").await;
    let qa = [message("q", None), message("a", Some("q"))];
    let thumbs = |thumb: Value| {
        let mut all = qa.clone();
        all[1]["thumb"] = thumb;
        all
    };
    let with = |id: &str, fields: Value| talk(id, &qa, fields);
    let mut twice = qa.to_vec();
    twice.push(message("q", Some("a")));
    let mut left = qa.to_vec();
    left.extend([message("q2", None), message("a2", Some("q2"))]);
    left[0]["left"] = json!("a2");
    let folders = |n: usize| Value::from((0..n).map(|n| json!({ "name": format!("folder {n}") })).collect::<Vec<_>>());
    for (what, file, status, threads, why) in [
        (
            "wrong types",
            ours(
                &json!([]),
                &[
                    with("1", json!({ "pinned": "yes" })),
                    with("2", json!({ "folder": 5 })),
                    with("3", json!({ "shown": 7 })),
                    with("4", json!({ "instructions": ["x"] })),
                    with("5", json!({ "model": {} })),
                    talk("6", &thumbs(json!("up")), json!({})),
                    with("7", json!({ "messages": {} })),
                    with("fine", json!({})),
                ],
            ),
            "done",
            1,
            "7 conversations could not be read and were left out.",
        ),
        ("folders that are none", ours(&json!({ "name": "x" }), &[]), "failed", 0, "expected a list of folders"),
        (
            "a ring",
            ours(&json!([]), &[talk("ring", &[message("q", Some("a")), message("a", Some("q"))], json!({}))]),
            "done",
            1,
            "1 message has lost what it was said to and begins its chat.",
        ),
        (
            "a message twice",
            ours(&json!([]), &[talk("twice", &twice, json!({}))]),
            "done",
            1,
            "1 message hung on nothing",
        ),
        (
            "a chosen child of nobody's",
            ours(&json!([]), &[with("c", json!({ "shown": "nobody" }))]),
            "done",
            1,
            "1 chat shows its newest branch",
        ),
        (
            "a branch that ends in another one",
            ours(&json!([]), &[talk("l", &left, json!({}))]),
            "done",
            1,
            "1 chat shows its newest branch",
        ),
        (
            "names that are none",
            ours(
                &json!([{ "name": "x".repeat(1_000_000) }, { "name": "a\u{0}b" }, { "name": " " }, 5, { "name": "i", "instructions": "x".repeat(8001) }]),
                &[with("n", json!({ "folder": "x".repeat(1_000_000) })), with("o", json!({ "folder": "a\u{0}b" }))],
            ),
            "done",
            2,
            "5 folders were left out: you have 100, which is all there can be, or they can't be any. 2 chats are in no folder",
        ),
        (
            "options that are none",
            ours(
                &json!([]),
                &[
                    with("p", json!({ "instructions": "x".repeat(8001), "model": "nobody's" })),
                    with("r", json!({ "instructions": "a\u{0}b", "model": "\u{0}" })),
                ],
            ),
            "done",
            2,
            "1 chat has no instructions, as they were longer than 8,000 characters. 2 chats are answered by the usual model",
        ),
        (
            "too many pins",
            ours(
                &json!([]),
                &(0..201).map(|n| with(&format!("pin {n}"), json!({ "pinned": true }))).collect::<Vec<_>>(),
            ),
            "done",
            201,
            "1 chat was not pinned, as 200 is all there can be.",
        ),
        (
            "ten thousand folders",
            ours(
                &folders(10_000),
                &[with("s", json!({ "folder": "folder 9999" })), with("t", json!({ "folder": "folder 5" }))],
            ),
            "done",
            2,
            "9900 folders were left out: you have 100, which is all there can be, or they can't be any. 1 chat is in no folder",
        ),
    ] {
        let row = imported(&app, &ada, file).await;
        let told = row["why"].as_str().unwrap();
        assert_eq!((&row["status"], &row["threads"]), (&json!(status), &json!(threads)), "{what}: {row}");
        assert!(told.contains(why), "{what}: {told}");
        assert!(app.page(Some(&ada), "/import").await.body.contains("Your imports"));
    }
    assert_eq!(app.count("select count(*) from app.folders").await, 100);
    assert_eq!(app.count("select count(*) from app.threads where pinned").await, 200);
    assert_eq!(app.count("select count(*) from app.threads where model <> '' or instructions like 'x%'").await, 0);
    assert_eq!(app.count("select count(*) from app.threads where folder_id is not null").await, 1);
    whole(&app).await;
}

#[tokio::test]
async fn a_file_sets_nothing_that_a_request_may_not_set() {
    let app = App::new().await;
    let (ada, bob) = (app.sign_up("a@example.org").await, app.sign_up("b@example.org").await);
    let bobs = start(&app, &bob, "bob's").await;
    let his = shown(&app, &bob, &bobs).await;
    let mut first = message(id(&his[0]), None);
    let mut second = message("a", Some(id(&his[0])));
    first["role"] = json!("user");
    for message in [&mut first, &mut second] {
        let fields = json!({
            "user_id": bob.id, "seq": 70, "thread_id": bobs, "client_id": his[0]["client_id"], "created_at": 1, "content": { "text": "x" },
            "status": "running", "generation_id": bob.id,
        });
        message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    }
    // What is said of an answer is said of no message.
    for (key, value) in [("thumb", json!(true)), ("ended", json!("stopped")), ("model", json!("m"))] {
        first[key] = value;
    }
    second["deleted"] = json!(true);
    second["text"] = json!("words in a tombstone");
    let fields = json!({
        "user_id": bob.id, "seq": 5, "last_seq": 70, "temporary": true, "unread": true, "deleted_at": 1, "title_by": "auto", "client_id": bobs,
        "workspace": bob.id, "workspace_id": bob.id, "org_id": bob.id, "folder_id": bob.id, "leaf_id": his[1]["id"], "archived": true, "pinned": true,
    });
    let row = imported(&app, &ada, ours(&json!([]), &[talk(&bobs, &[first, second], fields)])).await;
    assert_eq!((&row["status"], &row["threads"], &row["messages"]), (&json!("done"), &json!(1), &json!(2)), "{row}");
    assert_eq!(shown(&app, &bob, &bobs).await, his);
    let mut conn = app.db.superuser().await;
    let odd: Vec<String> = sqlx::query_scalar("select to_jsonb(t)::text from app.threads t where t.user_id = $1 and (t.id = $2 or t.last_seq <> 2 or t.temporary or t.unread or t.deleted_at is not null or t.title_by <> 'user' or t.pinned or not t.archived or t.folder_id is not null)")
        .bind(ada.id)
        .bind(bobs.parse::<Uuid>().unwrap())
        .fetch_all(&mut conn)
        .await
        .unwrap();
    assert!(odd.is_empty(), "{odd:?}");
    let contents: Vec<String> =
        sqlx::query_scalar("select content::text from app.messages where user_id = $1 order by seq")
            .bind(ada.id)
            .fetch_all(&mut conn)
            .await
            .unwrap();
    assert_eq!(contents, [format!("{{\"text\": \"{}\"}}", id(&his[0])), "{\"text\": \"\"}".to_owned()]);
    assert_eq!(app.count("select count(*) from app.thumbs").await, 0);
    whole(&app).await;
}

#[tokio::test]
async fn a_chat_that_has_grown_is_brought_up_to_date_and_what_was_done_here_stays() {
    let app = App::new().await;
    let ada = app.sign_up("a@example.org").await;
    let one = start(&app, &ada, "one").await;
    say(&app, &ada, &one, "two").await;
    let old = shown(&app, &ada, &one).await;
    edit(&app, &ada, &one, &old[2], "two, edited").await;
    call(&app, &ada, "choose_branch", &[("to", id(&old[2]))]).await;
    let before = exported(&app, &ada, "all").await;
    // She goes on in both branches, rates, empties, and begins another chat.
    say(&app, &ada, &one, "three").await;
    let edited = shown(&app, &ada, &one).await[2]["next"].as_str().unwrap().to_owned();
    call(&app, &ada, "choose_branch", &[("to", &edited)]).await;
    say(&app, &ada, &one, "three of the other").await;
    let newest = shown(&app, &ada, &one).await;
    call(&app, &ada, "thumb_answer", &[("message", id(&newest[5])), ("up", "true")]).await;
    call(&app, &ada, "thumb_answer", &[("message", id(&newest[1])), ("up", "true")]).await;
    call(&app, &ada, "delete_message", &[("message", id(&newest[0]))]).await;
    call(&app, &ada, "choose_branch", &[("to", id(&old[2]))]).await;
    start(&app, &ada, "another").await;
    let after = exported(&app, &ada, "all").await;

    let count =
        |row: &Value| ["threads", "messages", "grown", "appended", "known"].map(|key| row[key].as_i64().unwrap());
    let chat = async |who: &Person| {
        let rows = rows(&app, who).await;
        id(rows.iter().find(|row| row["title"] != "another").unwrap()).to_owned()
    };
    // He has gone on by himself, has emptied a message, and named the chat.
    let bob = app.sign_up("b@example.org").await;
    assert_eq!(count(&imported(&app, &bob, &before).await), [1, 6, 0, 0, 0]);
    let his = chat(&bob).await;
    say(&app, &bob, &his, "bob's own").await;
    let page = shown(&app, &bob, &his).await;
    call(&app, &bob, "delete_message", &[("message", id(&page[3]))]).await;
    call(&app, &bob, "thumb_answer", &[("message", id(&page[1])), ("up", "false")]).await;
    call(&app, &bob, "rename_thread", &[("thread", &his), ("title", "His")]).await;
    let page = shown(&app, &bob, &his).await;
    assert_eq!(count(&imported(&app, &bob, &after).await), [1, 2, 1, 4, 0]);
    let now = shown(&app, &bob, &his).await;
    let without_forms = |page: &[Value]| {
        page.iter().map(|m| ["id", "seq", "html", "deleted", "thumb"].map(|key| m[key].to_string())).collect::<Vec<_>>()
    };
    assert_eq!(without_forms(&now), without_forms(&page), "what he sees is what he saw");
    assert_eq!(
        (now[4]["place"].as_i64(), now[4]["siblings"].as_i64()),
        (Some(1), Some(2)),
        "hers stands beside his own"
    );
    let import = app.page(Some(&bob), "/import").await.body;
    assert!(
        import.contains("1 new chat with 2 messages, 1 brought up to date with 4 messages, 0 already here."),
        "{import}"
    );
    call(&app, &bob, "choose_branch", &[("to", now[4]["next"].as_str().unwrap())]).await;
    assert_eq!(words(&shown(&app, &bob, &his).await), ["one", "two", "three"]);
    // The branch that he has not looked at has gone on where it was left, and her thumb has come with its answer.
    call(&app, &bob, "choose_branch", &[("to", now[2]["next"].as_str().unwrap())]).await;
    let other = shown(&app, &bob, &his).await;
    assert_eq!(words(&other), ["one", "two, edited", "three of the other"]);
    assert_eq!((&other[5]["thumb"], &other[1]["thumb"]), (&json!(true), &json!(false)));
    assert_eq!(rows(&app, &bob).await.iter().filter(|row| row["title"] == "His").count(), 1);
    // Neither file adds anything more.
    assert_eq!(count(&imported(&app, &bob, &after).await), [0, 0, 0, 0, 2]);
    assert_eq!(count(&imported(&app, &bob, &before).await), [0, 0, 0, 0, 1]);

    // Who has done nothing here sees what she sees, and so does she when her own chat comes home.
    let eve = app.sign_up("e@example.org").await;
    imported(&app, &eve, &before).await;
    assert_eq!(count(&imported(&app, &eve, &after).await), [1, 2, 1, 4, 0]);
    assert_eq!(words(&shown(&app, &eve, &chat(&eve).await).await), ["one", "two", "three"]);
    assert_eq!(count(&imported(&app, &ada, &before).await), [0, 0, 0, 0, 1]);
    let mut longer: Value = serde_json::from_str(&after).unwrap();
    let last = longer["threads"][0]["shown"].as_str().unwrap().to_owned();
    longer["threads"][0]["messages"].as_array_mut().unwrap().push(message("q of elsewhere", Some(&last)));
    assert_eq!(count(&imported(&app, &ada, longer.to_string()).await), [0, 0, 1, 1, 1]);
    assert_eq!(words(&shown(&app, &ada, &one).await)[1..], ["two", "three", "q of elsewhere"]);
    assert_eq!(count(&imported(&app, &ada, longer.to_string()).await), [0, 0, 0, 0, 2]);
    whole(&app).await;
}

#[tokio::test]
async fn chatgpts_file_brings_up_to_date_what_came_from_an_older_one() {
    let app = App::new().await;
    let ada = app.sign_up("a@example.org").await;
    let mut all = vec![said("user", "q"), said("assistant", "a")];
    let row = imported(&app, &ada, json!([conversation("one", &all)]).to_string()).await;
    assert_eq!((&row["threads"], &row["messages"]), (&json!(1), &json!(2)));
    let one = id(&rows(&app, &ada).await[0]).to_owned();
    say(&app, &ada, &one, "my own").await;
    all.extend([said("user", "q2"), said("assistant", "a2")]);
    let mut put_away = conversation("two", &[said("user", "put away")]);
    put_away["is_archived"] = json!(true);
    put_away["is_starred"] = json!({ "of another shape": 1 });
    let mut starred = conversation("three", &[said("user", "starred")]);
    starred["is_starred"] = json!(true);
    let row = imported(&app, &ada, json!([conversation("one", &all), put_away, starred]).to_string()).await;
    assert_eq!(["threads", "grown", "appended", "known"].map(|key| row[key].as_i64().unwrap()), [2, 1, 2, 0], "{row}");
    let page = shown(&app, &ada, &one).await;
    assert_eq!(words(&page), ["q", "my own"]);
    call(&app, &ada, "choose_branch", &[("to", page[2]["next"].as_str().unwrap())]).await;
    assert_eq!(words(&shown(&app, &ada, &one).await), ["q", "q2"]);
    let archived = call(&app, &ada, "list_threads", &[("shelf", "archived")]).await;
    assert_eq!(archived["rows"][0]["title"], "two");
    assert_eq!(app.count("select count(*) from app.threads where pinned and title = 'three'").await, 1);
    whole(&app).await;
}

#[tokio::test]
async fn two_imports_of_a_file_at_one_moment_add_each_message_once() {
    let app = App::new().await;
    let ada = app.sign_up("a@example.org").await;
    let chats = |messages: &[Value]| {
        ours(
            &json!([{ "name": "F" }]),
            &(0..30).map(|n| talk(&format!("chat {n}"), messages, json!({ "folder": "F" }))).collect::<Vec<_>>(),
        )
    };
    let mut all = vec![message("q", None), message("a", Some("q"))];
    let mut expected = 0;
    for more in ["new chats", "grown chats"] {
        let turns = app.state.imports.acquire_many(2).await.unwrap();
        // The first one seems to have died, and has only waited.
        assert_eq!(upload(&app, &ada, chats(&all)).await.status, StatusCode::SEE_OTHER);
        app.until("it waits", async || {
            (app.count("select count(*) from app.imports where status = 'running' and updated_at > created_at").await
                == 1)
                .then_some(())
        })
        .await;
        let silent = "update app.imports set updated_at = now() - interval '2 minutes' where status = 'running'";
        app.db.superuser().await.execute(silent).await.unwrap();
        assert_eq!(upload(&app, &ada, chats(&all)).await.status, StatusCode::SEE_OTHER);
        let mut other = app.db.superuser().await;
        let mut held = sqlx::Connection::begin(&mut other).await.unwrap();
        held.execute("lock table app.threads in exclusive mode").await.unwrap();
        drop(turns);
        app.until("both want to write", async || (app.waiting().await == 2).then_some(())).await;
        held.rollback().await.unwrap();
        app.until("both ends", async || {
            (app.count("select count(*) from app.imports where status = 'running'").await == 0).then_some(())
        })
        .await;
        assert_eq!(
            app.count("select count(*) from app.imports where status <> 'done' or why <> ''").await,
            0,
            "{more}"
        );
        expected += 60;
        assert_eq!(app.count("select count(*) from app.messages").await, expected, "{more}");
        assert_eq!(app.count("select sum(messages + appended) from app.imports").await, expected, "{more}");
        all.extend([message("q2", Some("a")), message("a2", Some("q2"))]);
    }
    assert_eq!(app.count("select sum(threads) + sum(grown) from app.imports").await, 60);
    assert_eq!(app.count("select sum(known) from app.imports").await, 60);
    assert_eq!(app.count("select count(*) from app.threads").await, 30);
    whole(&app).await;
}

#[tokio::test]
async fn an_import_with_thumbs_and_folders_is_one_event_and_one_that_brings_up_to_date_is_too() {
    let app = App::new().await;
    let ada = app.sign_up("a@example.org").await;
    let mut all = vec![message("q", None), message("a", Some("q"))];
    all[1]["thumb"] = json!(true);
    for n in 1..=2 {
        let file =
            ours(&json!([{ "name": "F" }]), &[talk("t", &all, json!({ "folder": "F", "pinned": true, "shown": "a" }))]);
        assert_eq!(imported(&app, &ada, file).await["status"], "done");
        let told: Vec<String> = app
            .until("the feed", async || {
                let told: Vec<String> = sqlx::query_scalar("select kind from app.feed order by pos")
                    .fetch_all(&mut app.db.superuser().await)
                    .await
                    .unwrap();
                (told.len() >= n).then_some(told)
            })
            .await;
        assert_eq!(told, vec!["resync"; n]);
        all.push(message("a once more", Some("q")));
        all[2]["thumb"] = json!(false);
    }
    assert_eq!(app.count("select count(*) from app.thumbs").await, 2);
}

#[tokio::test]
async fn a_file_of_the_first_form_comes_as_it_did() {
    let app = App::new().await;
    let ada = app.sign_up("a@example.org").await;
    let file = r#"{"format":"moat","version":1,"threads":[
{"id":"019bfb3e-0000-7000-8000-000000000001","title":"Old","created_at":1763742000.5,"active_at":1763742001.25,"messages":[{"at":1763742000.5,"id":"019bfb3e-0000-7000-8000-000000000002","parent":null,"role":"user","text":"q"},
{"at":1763742001.25,"id":"019bfb3e-0000-7000-8000-000000000003","parent":"019bfb3e-0000-7000-8000-000000000002","role":"assistant","text":"a","ended":"stopped"},
{"at":1763742001.5,"id":"019bfb3e-0000-7000-8000-000000000004","parent":"019bfb3e-0000-7000-8000-000000000002","role":"assistant","text":"b"}]}]}
"#;
    let row = imported(&app, &ada, file).await;
    assert_eq!((&row["status"], &row["messages"], &row["why"]), (&json!("done"), &json!(3), &json!("")), "{row}");
    let page = shown(&app, &ada, id(&rows(&app, &ada).await[0])).await;
    assert_eq!((page.len(), &page[1]["html"]), (2, &json!("<p>b</p>\n")), "the newest is shown");
}
