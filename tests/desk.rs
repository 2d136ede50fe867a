//! What tests of the desk stand on: a desk, somebody who answers there, a customer, and what each of them does.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use serde_json::Value;
use sqlx::Executor;
use uuid::Uuid;

use crate::{
    harness::{Answer, App, Person, post},
    workspaces::{at, make, ok},
};

const DESK: &str = "conversations/server_fns";

/// What a desk needs: its owner, their place, and the key of a page.
pub struct Desk {
    pub ada: Person,
    pub place: String,
    pub key: String,
}

/// A workspace with a desk at which its owner answers.
pub async fn desk(app: &App, email: &str, name: &'static str) -> Desk {
    let ada = app.sign_up(email).await;
    let place = make(app, &ada, name).await;
    ok(app, &ada, &place, "desks/server_fns/set_desk", &[("name", name)]).await;
    ok(app, &ada, &place, "desks/server_fns/put_widget_key", &[("name", "shop")]).await;
    agent(app, &ada, &place, &place, "Ada", "5").await;
    let read = ok(app, &ada, &place, "desks/server_fns/read_desk", &[]).await;
    Desk { key: read["keys"][0]["key"].as_str().unwrap().to_owned(), ada, place }
}

pub async fn agent(app: &App, by: &Person, place: &str, member: &str, name: &str, capacity: &str) {
    let fields = [("member", member), ("name", name), ("capacity", capacity)];
    ok(app, by, place, "desks/server_fns/put_agent", &fields).await;
}

/// A customer with a token of their own.
pub struct Visitor(pub String);

impl Visitor {
    pub async fn new(app: &App, key: &str) -> Self {
        let answer = app.call(None, "widget/server_fns/begin_visit", &[("key", key)]).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        Self(answer.json().as_str().unwrap().to_owned())
    }

    pub async fn call(&self, app: &App, function: &str, fields: &[(&str, &str)]) -> Answer {
        let mut request = post(&format!("/api/moat/{function}"), fields);
        request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {}", self.0).parse().unwrap());
        app.send(request).await
    }

    pub async fn say(&self, app: &App, text: &str) {
        let answer = self.say_as(app, &Uuid::new_v4().to_string(), text).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }

    pub async fn say_as(&self, app: &App, client: &str, text: &str) -> Answer {
        self.call(app, "widget/server_fns/say", &[("client", client), ("text", text)]).await
    }

    pub async fn own(&self, app: &App) -> Value {
        let answer = self.call(app, "widget/server_fns/read_own", &[]).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.json()
    }

    /// What they read, oldest first.
    pub async fn reads(&self, app: &App) -> Vec<String> {
        let own = self.own(app).await;
        own["lines"].as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap().to_owned()).collect()
    }
}

pub async fn queue(app: &App, person: &Person, place: &str, view: &str) -> Vec<Value> {
    let page = ok(app, person, place, &format!("{DESK}/list_conversations"), &[("view", view)]).await;
    page["rows"].as_array().unwrap().clone()
}

/// What a line of the queue says.
pub fn said(row: &Value) -> String {
    row["said"].as_array().unwrap().iter().map(|part| part[1].as_str().unwrap()).collect()
}

/// The one conversation of a view.
pub async fn only(app: &App, person: &Person, place: &str, view: &str) -> String {
    let rows = queue(app, person, place, view).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0]["id"].as_str().unwrap().to_owned()
}

pub async fn read(app: &App, person: &Person, place: &str, conversation: &str) -> Value {
    ok(app, person, place, &format!("{DESK}/read_conversation"), &[("conversation", conversation)]).await
}

/// The newest that is said there, as forms send it.
pub async fn seen(app: &App, person: &Person, place: &str, conversation: &str) -> String {
    read(app, person, place, conversation).await["seen"].to_string()
}

/// An answer to all that there is, unless `seen` says what its writer had before them.
pub async fn answer(
    app: &App,
    person: &Person,
    place: &str,
    conversation: &str,
    text: &str,
    seen: Option<i64>,
) -> Answer {
    let seen = match seen {
        Some(known) => known.to_string(),
        None => self::seen(app, person, place, conversation).await,
    };
    let client = Uuid::new_v4().to_string();
    let fields = [("conversation", conversation), ("client", &client), ("text", text), ("seen", &seen)];
    at(app, person, place, &format!("{DESK}/answer_conversation"), &fields).await
}

pub async fn note(app: &App, person: &Person, place: &str, conversation: &str, text: &str) {
    let client = Uuid::new_v4().to_string();
    let fields = [("conversation", conversation), ("client", &client), ("text", text), ("note", "true")];
    ok(app, person, place, &format!("{DESK}/answer_conversation"), &fields).await;
}

pub async fn take(app: &App, person: &Person, place: &str, conversation: &str) -> Answer {
    at(app, person, place, &format!("{DESK}/take_conversation"), &[("conversation", conversation)]).await
}

/// Takes the next one, as a request of that id.
pub async fn take_next(app: &App, person: &Person, place: &str, client: &str) -> Answer {
    at(app, person, place, &format!("{DESK}/take_next"), &[("place", place), ("client", client)]).await
}

/// The next one, which there is.
pub async fn next(app: &App, person: &Person, place: &str) -> String {
    let answer = take_next(app, person, place, &Uuid::new_v4().to_string()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.json().as_str().unwrap().to_owned()
}

pub async fn set(app: &App, person: &Person, place: &str, conversation: &str, status: &str) -> Answer {
    let fields =
        [("conversation", conversation), ("status", status), ("seen", &seen(app, person, place, conversation).await)];
    at(app, person, place, &format!("{DESK}/set_conversation"), &fields).await
}

pub async fn behind(app: &App, sql: &'static str) {
    app.db.superuser().await.execute(sql).await.unwrap();
}

/// The stream of somebody who has a desk open.
pub struct Feed {
    pub body: axum::body::BodyDataStream,
    pub rest: String,
    pub heard: String,
}

impl Feed {
    pub async fn open(app: &App, who: &Person, place: &str) -> Self {
        let request = Request::get(format!("/live?desks={place}.0")).header(header::COOKIE, who.cookie());
        let response = app.open(request.body(Body::empty()).unwrap()).await;
        let mut feed = Self::of(response);
        // What had happened before is told first: a word of the caller's own says that it is over.
        feed.heard.clear();
        feed
    }

    pub fn of(response: axum::response::Response) -> Self {
        assert_eq!(response.status(), 200);
        Self { body: response.into_body().into_data_stream(), rest: String::new(), heard: String::new() }
    }

    /// The data of the next event; `None` when there is no more.
    pub async fn line(&mut self) -> Option<String> {
        use futures::StreamExt;
        let deadline = tokio::time::Instant::now() + crate::harness::DEADLINE;
        loop {
            if let Some((event, rest)) = self.rest.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.rest = rest;
                if event.starts_with("event: alive") {
                    continue;
                }
                if let Some(data) = event.lines().find_map(|line| line.strip_prefix("data: ")) {
                    self.heard.push_str(data);
                    return Some(data.to_owned());
                }
                continue;
            }
            let piece = tokio::time::timeout_at(deadline, self.body.next()).await.expect("an event")?;
            self.rest.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
        }
    }

    pub async fn next(&mut self) -> Value {
        serde_json::from_str(&self.line().await.expect("the stream goes on")).unwrap()
    }

    pub async fn until(&mut self, kind: &str) -> Value {
        loop {
            let told = self.next().await;
            if told["event"]["kind"] == kind {
                return told;
            }
        }
    }
}
