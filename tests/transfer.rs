//! Export and import, by the doors that people use.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use serde_json::{Value, json};
use sqlx::Executor;
use uuid::Uuid;

use crate::harness::{Answer, App, Person};

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
    assert!(page.contains("120 chats with 240 messages added, 0 there already."), "{page}");
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
