//! What can be done with a thread and with one message: plain forms, written on the server beside what they are for. The
//! browser's half keeps no code for them: `actions.js` sends whichever form it finds there and says that something happened.

use std::fmt::Write;

use super::{
    markdown::escape,
    model::{MessageView, Options, ThreadRow},
};
use crate::{
    types::{Act, ClientId, MessageId, Role, Status, ThreadId},
    ui::form::FormBack,
};

/// The row of a message whose text is `source`. Empty while the message is being written. `back`: a form that was refused,
/// with what had been typed into it.
pub fn html(thread: ThreadId, message: &MessageView, source: &str, back: Option<&FormBack>) -> String {
    let mut row = String::new();
    // Writing into a String does not fail.
    let _ = write(&mut row, thread, message, source, back);
    row
}

/// The menu of a thread.
pub fn menu(thread: &ThreadRow, options: &Options, back: Option<&FormBack>) -> String {
    let mut html = String::new();
    let _ = write_menu(&mut html, thread, options, back);
    html
}

/// What the guide has an answer to.
const EXAMPLES: [&str; 3] = ["Who can read my chats?", "How do I find an old chat?", "How do I connect a model?"];

/// Below the box of a new chat.
pub fn beginning(models: &[String]) -> String {
    let mut html = String::new();
    if models == ["embedded"] {
        html.push_str("<p>This server answers from its guide alone. For example:</p>");
        for question in EXAMPLES {
            let client = uuid::Uuid::new_v4();
            let _ = write!(
                html,
                "<form method=\"post\" action=\"/chat?do=start\"><input type=\"hidden\" name=\"client\" value=\"{client}\">\
                 <button class=\"button\" name=\"text\" value=\"{question}\">{question}</button></form>"
            );
        }
    }
    if models.len() > 1 {
        html.push_str("<label>Model ");
        let _ = write_models(&mut html, models, "", " form=\"composer\"");
        html.push_str("</label>");
    }
    html + "<label><input type=\"checkbox\" name=\"temporary\" value=\"true\" form=\"composer\"> \
            Temporary: goes 24 hours after its last message</label>"
}

fn write_models(out: &mut String, models: &[String], chosen: &str, more: &str) -> std::fmt::Result {
    write!(out, "<select id=\"model\" name=\"model\"{more}>")?;
    for model in models {
        out.write_str(if model == chosen { "<option selected>" } else { "<option>" })?;
        escape(out, model)?;
        out.write_str("</option>")?;
    }
    out.write_str("</select>")
}

/// The page of a thread on which a message stands.
pub fn address(thread: ThreadId, message: MessageId) -> String {
    format!("/chat/{thread}?at={message}#m-{message}")
}

fn write_menu(out: &mut String, thread: &ThreadRow, options: &Options, back: Option<&FormBack>) -> std::fmt::Result {
    let id = thread.id;
    let typed = |form: &str, field: &str, now: &str| match back {
        Some(back) if back.form == form => back.typed(field),
        _ => now.to_owned(),
    };
    let begin = |name: &str| {
        format!(
            "<form method=\"post\" action=\"/chat/{id}?do={name}\" data-stay><input type=\"hidden\" name=\"thread\" value=\"{id}\">"
        )
    };
    write_acts(out, thread)?;
    write!(
        out,
        "{}<label for=\"title\">Title</label><input id=\"title\" name=\"title\" required maxlength=\"200\" value=\"",
        begin("rename")
    )?;
    escape(out, &typed("rename", "title", &thread.title))?;
    write!(out, "\"><button class=\"button\">Rename</button></form>{}", begin("options"))?;
    if options.models.len() > 1 {
        out.write_str("<label for=\"model\">Model</label>")?;
        write_models(out, &options.models, &options.model, "")?;
    }
    out.write_str(
        "<label for=\"instructions\">Instructions for this chat</label>\
         <textarea id=\"instructions\" name=\"instructions\" rows=\"3\" maxlength=\"8000\">\n",
    )?;
    escape(out, &typed("options", "instructions", &options.instructions))?;
    write!(
        out,
        "</textarea><button class=\"button\">Save</button></form>{}\
         <p class=\"quiet\">Deleting takes all messages of this chat along. For half a minute the list offers it back.</p>\
         <button class=\"button danger\" name=\"act\" value=\"delete\">Delete this chat</button></form>",
        begin("delete")
    )
}

/// The same as in the list, for this one.
fn write_acts(out: &mut String, thread: &ThreadRow) -> std::fmt::Result {
    let id = thread.id;
    let act = |act: Act, name: &str| {
        let act = act.as_str();
        format!("<button class=\"button\" name=\"act\" value=\"{act}\">{name}</button>")
    };
    let pin = if thread.pinned { act(Act::Unpin, "Unpin") } else { act(Act::Pin, "Pin") };
    let archive = if thread.archived { act(Act::Unarchive, "Unarchive") } else { act(Act::Archive, "Archive") };
    write!(
        out,
        "<form method=\"post\" action=\"/chat/{id}?do=file\" class=\"row\" data-stay>\
         <input type=\"hidden\" name=\"threads[]\" value=\"{id}\">{pin}{archive}{}\
         <a class=\"button\" href=\"/folders?thread={id}\" rel=\"external\">Move…</a>\
         <a class=\"button\" href=\"/export/{id}.md\" rel=\"external\" download>Markdown file</a>\
         <a class=\"button\" href=\"/export/{id}.json\" rel=\"external\" download>JSON file</a>\
         <a class=\"button\" href=\"/chat/{id}/ask\" rel=\"external\">Ask people…</a>\
         <a class=\"button\" href=\"/chat/{id}/readers\" rel=\"external\">Who can see this?</a></form>",
        act(Act::Unread, "Mark unread")
    )?;
    if thread.goes.is_some() {
        out.write_str("<p class=\"quiet\">A temporary chat: it goes 24 hours after its last message.</p>")?;
    }
    Ok(())
}

fn write(
    out: &mut String,
    thread: ThreadId,
    m: &MessageView,
    source: &str,
    back: Option<&FormBack>,
) -> std::fmt::Result {
    if m.status == Some(Status::Running) {
        return Ok(());
    }
    let id = m.id;
    let client = once(id, m.siblings, Kind::Answer);
    let act = |name: &str| format!("formaction=\"/chat/{thread}?do={name}\" data-key=\"{name}-{id}\"");
    write!(
        out,
        "<form method=\"post\" data-stay><input type=\"hidden\" name=\"message\" value=\"{id}\">\
         <input type=\"hidden\" name=\"client\" value=\"{client}\">"
    )?;
    // Named by their place, so that the focus finds the same button again when the branch has changed.
    let place = m.parent.map_or_else(|| "root".to_owned(), |p| p.to_string());
    if m.siblings > 1 {
        let step = |sign: &str, label: &str, to: Option<MessageId>| {
            let to = to.map_or_else(|| "disabled".to_owned(), |to| format!("value=\"{to}\""));
            format!(
                "<button name=\"to\" {to} formaction=\"/chat/{thread}?do=choose\" data-key=\"{label}-{place}\" \
                 aria-label=\"{label} version\" title=\"{label} version\">{sign}</button>"
            )
        };
        let (previous, next) = (step("‹", "Previous", m.previous), step("›", "Next", m.next));
        write!(out, "<span class=\"versions\">{previous}<span>{} of {}</span>{next}</span>", m.place, m.siblings)?;
    }
    if m.deleted {
        return out.write_str("</form>");
    }
    write_when(out, m)?;
    write!(out, "<button type=\"button\" data-copy=\"{id}\">Copy</button>")?;
    if m.role == Role::Assistant {
        for (up, label) in [(true, "Good"), (false, "Bad")] {
            let pressed = m.thumb == Some(up);
            // Pressed again, it says nothing, which takes back what was said.
            let says = if pressed { String::new() } else { format!("name=\"up\" value=\"{up}\"") };
            let key = act("thumb").replace("thumb-", &format!("{label}-"));
            write!(out, "<button {says} {key} aria-pressed=\"{pressed}\">{label}</button>")?;
        }
        let whole = matches!(m.status, None | Some(Status::Done));
        let (class, label) = if whole { ("", "Again") } else { ("button", "Try again") };
        write!(
            out,
            "<button class=\"{class}\" {} title=\"Another answer beside this one\">{label}</button>",
            act("again")
        )?;
        if !whole && !source.is_empty() {
            write!(
                out,
                "<button name=\"go_on\" value=\"true\" {}>Go on</button>",
                act("again").replace("again-", "on-")
            )?;
        }
        // Below answers alone: a chat that ends with a question nobody would answer.
        write!(
            out,
            "<button data-fresh {} title=\"A new chat that begins with everything down to here\">Fork</button>",
            act("fork")
        )?;
    }
    write!(
        out,
        "<details><summary>Delete</summary><button class=\"bad\" {}>Delete this message for good</button></details></form>",
        act("remove")
    )?;
    if m.role == Role::User {
        let back = back.filter(|back| back.form == "edit" && back.typed("message") == id.to_string());
        let (open, text) = match back {
            Some(back) => (" open", back.typed("text")),
            None => ("", source.to_owned()),
        };
        write!(
            out,
            "<details class=\"edit\"{open}><summary data-key=\"edit-{id}\">Edit</summary>\
             <form method=\"post\" action=\"/chat/{thread}?do=edit\" data-stay>\
             <input type=\"hidden\" name=\"message\" value=\"{id}\"><input type=\"hidden\" name=\"client\" value=\"{}\">\
             <textarea name=\"text\" aria-label=\"Edited text\" required maxlength=\"32000\" rows=\"3\">",
            once(id, m.siblings, Kind::Edit)
        )?;
        // The parser of HTML drops the first line end of a textarea.
        out.write_char('\n')?;
        escape(out, &text)?;
        // With the new version there is one before it: there the focus goes.
        write!(
            out,
            "</textarea><button class=\"button primary\" data-next=\"Previous-{place}\">Send as a new version</button></form></details>"
        )?;
    }
    Ok(())
}

/// When it was sent, and on asking by whom an answer was written and what it cost.
fn write_when(out: &mut String, m: &MessageView) -> std::fmt::Result {
    let facts = &m.facts;
    let at = if facts.day.is_empty() { facts.time.clone() } else { format!("{}, {}", facts.day, facts.time) };
    if m.role == Role::User {
        return write!(out, "<span class=\"when\">Sent {at}</span>");
    }
    out.write_str("<span class=\"when\" title=\"")?;
    escape(out, &facts.model)?;
    if let Some((read, written)) = facts.tokens {
        write!(out, " · {read} tokens read, {written} written")?;
    }
    write!(out, "\">{at}")?;
    // Where nothing can be chosen there is nothing to tell.
    if !matches!(facts.model.as_str(), "" | "embedded") {
        out.write_str(" · ")?;
        escape(out, &facts.model)?;
    }
    out.write_str("</span>")
}

#[derive(Clone, Copy)]
enum Kind {
    Answer = 1,
    Edit = 2,
}

/// The client id of the next version of a message: the same each time that the row is written, so that a form which is sent
/// twice is stored once, until there is that version; and so that a row in which nothing has changed stays the same text.
fn once(message: MessageId, siblings: i32, kind: Kind) -> ClientId {
    ClientId(uuid::Uuid::from_u128(message.0.as_u128() ^ (u128::from(siblings.unsigned_abs()) << 8) ^ kind as u128))
}
