//! What a screen of the desk shows is a page of the server's; events say when to read it anew. So a screen is right when each action
//! that changes a page is told after it: whatever of that is dropped with the connection, doubled, late or out of order, a screen that
//! has caught up shows what a fresh page shows.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use moat::{
    live,
    server::lanes::{Reason, UserLane},
};
use proptest::prelude::*;
use serde_json::Value;
use sqlx::Executor;
use uuid::Uuid;

use crate::{
    desk::{Desk, Visitor, agent, desk},
    harness::{App, Person},
    workspaces::{at, join, ok},
};

const DESK: &str = "conversations/server_fns";
const VIEWS: [&str; 7] = ["mine", "waiting", "due", "open", "snoozed", "resolved", "mentions"];

/// What is true at one moment alone.
fn still(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for gone in ["pos", "waiting", "due", "left", "next"] {
                // A number of seconds; the count of those who wait is in an object of its own.
                if gone == "pos" || gone == "next" || fields.contains_key("customer") || fields.contains_key("left") {
                    fields.remove(gone);
                }
            }
            fields.values_mut().for_each(still);
        }
        Value::Array(items) => items.iter_mut().for_each(still),
        _ => {}
    }
}

/// Somebody with the desk before them: what they see, and up to where they have heard.
struct Screen<'a> {
    who: &'a Person,
    place: String,
    shows: BTreeMap<String, Value>,
    desk: i64,
    own: i64,
    /// Events that are under way to them.
    late: usize,
}

impl Screen<'_> {
    async fn lane(&self, app: &App) -> UserLane {
        let mut opening = self.who.opening();
        opening.place = Some(self.place.parse().unwrap());
        app.state.lanes.workspace(&opening).await.unwrap()
    }

    /// Reads everything anew, as the page does: first the place in the feed, then the page.
    async fn read(&mut self, app: &App) {
        let mut lane = self.lane(app).await;
        self.own = live::sql::cursor(&mut lane, false).await.unwrap().pos;
        self.desk = live::sql::cursor(&mut lane, true).await.unwrap().pos;
        drop(lane);
        self.shows = self.fresh(app).await;
        self.late = 0;
    }

    async fn fresh(&self, app: &App) -> BTreeMap<String, Value> {
        let mut shows = BTreeMap::new();
        let mut ids = Vec::new();
        for view in VIEWS {
            let mut page =
                ok(app, self.who, &self.place, &format!("{DESK}/list_conversations"), &[("view", view)]).await;
            ids.extend(page["rows"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()));
            still(&mut page);
            shows.insert(view.to_owned(), page);
        }
        ids.sort();
        ids.dedup();
        for id in ids {
            let mut whole =
                ok(app, self.who, &self.place, &format!("{DESK}/read_conversation"), &[("conversation", &id)]).await;
            still(&mut whole);
            shows.insert(id, whole);
        }
        shows
    }

    /// How many events there are that this screen has not heard: what its stream tells it, or tells it again after it broke.
    async fn unheard(&self, app: &App) -> usize {
        let mut lane = self.lane(app).await;
        let mut many = 0;
        for (desk, after) in [(true, self.desk), (false, self.own)] {
            let end = live::sql::cursor(&mut lane, desk).await.unwrap().pos;
            many += live::sql::mine(&mut lane, desk, after, end, 1000).await.unwrap().len();
        }
        many
    }
}

/// Time goes by.
async fn db(app: &App, statement: &'static str) {
    app.db.superuser().await.execute(statement).await.unwrap();
}

async fn sequence(app: &App) {
    let mut lane = app.state.lanes.service(Reason::Live).await.unwrap();
    while live::sql::sequence(&mut lane, 1000).await.unwrap() > 0 {}
    lane.commit().await.unwrap();
}

/// What somebody does: which thing, to which conversation, by whom.
async fn act(app: &App, what: u8, which: usize, people: &[(&Person, &str)], customers: &[Visitor]) {
    let customer = &customers[which % customers.len()];
    let (who, place) = people[which / 3 % people.len()];
    let open = ok(app, who, place, &format!("{DESK}/list_conversations"), &[("view", "open")]).await;
    let mut rows = open["rows"].as_array().unwrap().clone();
    for view in ["snoozed", "resolved"] {
        let page = ok(app, who, place, &format!("{DESK}/list_conversations"), &[("view", view)]).await;
        rows.extend(page["rows"].as_array().unwrap().iter().cloned());
    }
    rows.sort_by_key(|row| row["id"].as_str().unwrap().to_owned());
    let Some(row) = rows.get(which % rows.len().max(1)) else {
        customer.say(app, "hello").await;
        return;
    };
    let id = row["id"].as_str().unwrap();
    let whole = ok(app, who, place, &format!("{DESK}/read_conversation"), &[("conversation", id)]).await;
    let (seen, client) = (whole["seen"].to_string(), Uuid::new_v4().to_string());
    let other = rows[(which + 1) % rows.len()]["id"].as_str().unwrap();
    let colleague = people[(which / 3 + 1) % people.len()].1;
    let reply =
        whole["replies"].as_array().unwrap().first().map_or(String::new(), |r| r["id"].as_str().unwrap().to_owned());
    let mark =
        whole["replies"].as_array().unwrap().first().map_or(String::new(), |r| r["mark"].as_str().unwrap().to_owned());
    let base = [("conversation", id), ("seen", seen.as_str()), ("client", client.as_str())];
    let call = async |function: &str, more: &[(&str, &str)]| {
        let fields = [&base[..], more].concat();
        // Some are refused: somebody else has it. That is no change, and no event is owed.
        let room = if function.ends_with("_reply") { "replies/server_fns" } else { DESK };
        let answer = at(app, who, place, &format!("{room}/{function}"), &fields).await;
        assert!(!answer.status.is_server_error(), "{function}: {}", answer.status);
        // What is not there says so as everything does: another answer is a door that does not exist.
        assert!(
            answer.status != StatusCode::NOT_FOUND || answer.body.contains("not_found"),
            "{function}: {}",
            answer.body
        );
    };
    match what {
        0 => customer.say(app, "more").await,
        1 => {
            customer.call(app, "widget/server_fns/introduce", &[("name", "Vi"), ("email", "vi@example.org")]).await;
        }
        2 => {
            customer.call(app, "widget/server_fns/rate", &[("helped", "true"), ("words", "fine")]).await;
        }
        3 => call("take_conversation", &[]).await,
        4 => call("take_next", &[("place", place), ("client", &Uuid::new_v4().to_string())]).await,
        5 => call("answer_conversation", &[("text", "an answer")]).await,
        6 => call("answer_conversation", &[("text", "@Bob, a note"), ("note", "true")]).await,
        7 => call("answer_conversation", &[("text", "later"), ("wait", "3600")]).await,
        8 => call("set_conversation", &[("status", "resolved")]).await,
        9 => call("set_conversation", &[("status", "snoozed"), ("hours", "1")]).await,
        10 => call("set_conversation", &[("status", "waiting")]).await,
        11 => call("set_conversation", &[("status", "bot")]).await,
        12 => call("hand_conversation", &[("member", colleague)]).await,
        13 => call("describe_conversation", &[("subject", "parcels"), ("priority", "3"), ("labels", "a, b")]).await,
        14 => call("describe_conversation", &[("subject", ""), ("priority", "1"), ("labels", "")]).await,
        15 => call("block_customer", &[("blocked", "true")]).await,
        16 => call("block_customer", &[("blocked", "false")]).await,
        17 => call("join_conversation", &[("other", other)]).await,
        18 => call("run_reply", &[("reply", &reply), ("mark", &mark)]).await,
        19 => call("look_at", &[("typing", "true")]).await,
        20 => call("look_at", &[]).await,
        21 => call("set_available", &[("available", if which.is_multiple_of(2) { "true" } else { "false" })]).await,
        22 => {
            let change = [("reply", reply.as_str()), ("name", "Bye"), ("text", &*client), ("next", "resolved")];
            call("put_reply", &change).await
        }
        23 => {
            call("save_view", &[("name", if which.is_multiple_of(2) { "one" } else { "two" }), ("view", "open")]).await
        }
        24 => {
            db(app, "update app.agents set here_until = now() - interval '1 s'").await;
            call("be_here", &[]).await;
        }
        25 => {
            db(app, "update app.later_answers set send_at = now() - interval '1 s'").await;
            moat::server::jobs::send_later(&app.state).await.unwrap();
        }
        26 => {
            db(app, "update app.conversations set snoozed_until = now() - interval '1 s' where status = 'snoozed' and snoozed_until is not null").await;
            moat::server::jobs::sweep_desks(&app.state).await.unwrap();
        }
        27 => {
            let minutes = if which.is_multiple_of(2) { "30" } else { "" };
            at(
                app,
                people[0].0,
                people[0].1,
                "targets/server_fns/set_targets",
                &[("zone", "UTC"), ("reply", minutes), ("deals", "true")],
            )
            .await;
        }
        28 => moat::server::jobs::deal(&app.state).await.unwrap(),
        29 => {
            let text = if which.is_multiple_of(2) { "Acme" } else { "Acme and sons" };
            at(app, people[0].0, people[0].1, "desks/server_fns/set_desk", &[("name", text)]).await;
        }
        30 => {
            let later = whole["later"][0]["id"].as_str().unwrap_or("00000000-0000-4000-8000-000000000000");
            at(app, who, place, "later/server_fns/take_back", &[("answer", later)]).await;
        }
        31 => call("name_customer", &[("name", "Vivian"), ("email", &format!("v{which}@example.org"))]).await,
        _ => {
            if which.is_multiple_of(5) {
                call("erase_customer", &[("place", place)]).await;
            }
        }
    }
}

#[test]
fn a_screen_that_has_caught_up_shows_what_a_fresh_page_shows_whatever_happened_to_its_events() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let cases = std::env::var("STORM").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
    // A run is forty actions, each of which some screens hear of at once, twice, late, or not before they come back.
    let run = proptest::collection::vec((0u8..33, 0usize..60, proptest::array::uniform3(0u8..4)), 40);
    let config = ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 20, ..ProptestConfig::default() };
    proptest!(config, |(run in run)| {
        let told: Result<(), String> = runtime.block_on(async {
            let app = App::new().await;
            let Desk { ada, place, key } = desk(&app, "ada@example.org", "Acme").await;
            let bob = app.sign_up("bob@example.org").await;
            let bobs = join(&app, &place, &bob, "project_creator").await;
            agent(&app, &ada, &place, &bobs, "Bob", "3").await;
            ok(&app, &ada, &place, "bot/server_fns/set_bot", &[("on", "true"), ("name", "Botty")]).await;
            let mut customers = Vec::new();
            for _ in 0..4 {
                customers.push(Visitor::new(&app, &key).await);
            }
            // Who is erased or shut out comes back as somebody else.
            for customer in &customers {
                customer.say(&app, "hello").await;
                customer.call(&app, "widget/server_fns/ask_person", &[]).await;
            }
            let people = [(&ada, place.as_str()), (&bob, bobs.as_str())];
            let mut screens: Vec<Screen> = [(&ada, &place), (&bob, &bobs), (&ada, &place)]
                .map(|(who, place)| Screen { who, place: place.clone(), shows: BTreeMap::new(), desk: 0, own: 0, late: 0 })
                .into();
            sequence(&app).await;
            for screen in &mut screens {
                screen.read(&app).await;
            }
            for (what, which, fates) in &run {
                for customer in &mut customers {
                    if customer.call(&app, "widget/server_fns/read_own", &[]).await.status != 200 {
                        *customer = Visitor::new(&app, &key).await;
                    }
                }
                act(&app, *what, *which, &people, &customers).await;
                sequence(&app).await;
                for (screen, fate) in screens.iter_mut().zip(fates) {
                    let unheard = screen.unheard(&app).await;
                    if unheard == 0 {
                        // Nobody told it anything: then nothing may have changed.
                        let fresh = screen.fresh(&app).await;
                        if screen.shows != fresh {
                            let differ: Vec<_> = fresh.iter().filter(|(name, page)| screen.shows.get(*name) != Some(*page)).collect();
                            return Err(format!("action {what} of {which} is told to nobody: {differ:#?}\nbefore {:#?}", screen.shows.get(differ[0].0)));
                        }
                    }
                    match fate {
                        // At once, and another time.
                        0 if unheard > 0 => screen.read(&app).await,
                        1 if unheard > 0 => {
                            screen.read(&app).await;
                            screen.read(&app).await;
                        }
                        // What was late comes after what is new, and says no more than that something happened.
                        2 if screen.late > 0 => screen.read(&app).await,
                        2 => screen.late = unheard,
                        // The connection is gone.
                        _ => {}
                    }
                }
            }
            for screen in &mut screens {
                if screen.unheard(&app).await > 0 {
                    screen.read(&app).await;
                }
                if screen.shows != screen.fresh(&app).await {
                    return Err("at the end".to_owned());
                }
            }
            Ok(())
        });
        prop_assert!(told.is_ok(), "{}", told.unwrap_err());
    });
}
