//! moat: private AI chat in which Postgres itself is the wall between people.
//!
//! A request, hop by hop: the browser calls a server function (`<room>/server_fns.rs`), which opens a lane
//! (`server/lanes.rs`) as its caller, runs a query (`<room>/sql.rs`) under the policies of `migrations/`, and gives back
//! what a screen shows (`<room>/model.rs`), which a component draws (`<room>/page.rs`, `<room>/parts.rs`).
//!
//! Rooms: [`accounts`] (who somebody is), [`threads`] (private chats), [`answers`] (who writes the answers), [`folders`]
//! (what chats are sorted into), [`transfer`] (export and import), [`workspaces`],
//! [`projects`], [`invitations`] and [`domains`] (what people share, who belongs, and how they come), [`audit`] (what happened there), [`readers`] (who can see
//! something), [`desks`] (who answers customers, and where they ask), [`conversations`] (customers, as the staff has them) and [`widget`]
//! (as they see it themselves), [`replies`] (what is sent often), [`bot`] (the assistant that answers them first) and [`articles`] (what it
//! answers from), [`relay`] (customers who come by other ways), [`later`] (answers that leave later), [`targets`] (by when customers are
//! answered, and figures), [`live`] (what changed, told to every window), [`guide`] (the help). Below them, in the server build alone:
//! `server`. Beside them: [`ui`], and [`json`] (how the browser reads it).

#![recursion_limit = "256"]

#[macro_use]
pub mod types;

pub mod accounts;
pub mod answers;
pub mod app;
pub mod articles;
pub mod audit;
pub mod bot;
pub mod conversations;
pub mod desks;
pub mod domains;
pub mod error;
pub mod folders;
pub mod guide;
pub mod invitations;
pub mod json;
pub mod later;
pub mod live;
pub mod projects;
pub mod readers;
pub mod relay;
pub mod replies;
#[cfg(feature = "ssr")]
pub mod server;
pub mod targets;
pub mod threads;
pub mod transfer;
pub mod ui;
pub mod widget;
pub mod workspaces;

/// The browser's entry: makes the page that the server rendered come alive.
#[cfg(feature = "hydrate")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn hydrate() {
    console_error_panic_hook::set_once();
    leptos::mount::hydrate_body(app::App);
}
