//! What the staff's pages and the customer's draw alike.

use leptos::prelude::*;

use super::model::Said;
use crate::{targets::model::span, types::ConversationRole};

/// What was said, oldest first. Each line has an id, by which a script that reads the page anew knows what it has already.
#[component]
pub fn Lines(
    lines: Vec<Said>,
    seen: i64,
    label: &'static str,
    #[prop(optional)] customer: String,
    /// Where the help articles are read, which the assistant quotes.
    help: String,
    /// This page, with a draft of the assistant's in the box, but for the draft's id.
    #[prop(default = None)]
    draft: Option<String>,
    /// The newest answer of an agent: drafts before it are of no use any more.
    #[prop(default = 0)]
    answered: i64,
) -> impl IntoView {
    view! {
        <div id="log" class="log" role="log" aria-label=label tabindex="0">
            <ol id="lines" class="lines" data-region="" data-seen=seen>
                {lines.into_iter().map(|said| { let draft = draft.as_deref().filter(|_| said.seq > answered); line(said, &customer, &help, draft) }).collect_view()}
            </ol>
        </div>
    }
}

fn line(said: Said, customer: &str, help: &str, draft_at: Option<&str>) -> impl IntoView {
    let Said { id, role, author, text, html, at, mine, client, sources, draft, late, .. } = said;
    if role == ConversationRole::System {
        return view! { <li id=format!("m-{id}") class="turn deed">{format!("{author} {text}")}" "<time>{at}</time></li> }
            .into_any();
    }
    let aside = role == ConversationRole::Note;
    // To the staff, what any of them or the assistant said stands on one side, and the customer on the other.
    let ours = !customer.is_empty() && role != ConversationRole::Customer;
    let kind = match (late, draft) {
        (true, _) => ", was not sent",
        (false, true) => ", a draft for you",
        (false, false) => ", note for the team",
    };
    let who = match role {
        _ if mine => "You".to_owned(),
        ConversationRole::Customer => customer.to_owned(),
        _ => author,
    };
    view! {
        <li id=format!("m-{id}") class="turn" class:mine=mine class:ours=ours class:aside=aside data-client=client.map(|id| id.to_string())>
            <p class="turn-by">{who}{aside.then_some(kind)}" "<time>{at}</time></p>
            {if html.is_empty() {
                view! { <p class="turn-words">{text.clone()}</p> }.into_any()
            } else {
                view! { <div class="turn-words" class:prose=role == ConversationRole::Bot inner_html=html></div> }.into_any()
            }}
            {(!sources.is_empty()).then(|| view! {
                <p class="turn-from">
                    "From: "
                    {sources.into_iter().enumerate().map(|(n, s)| {
                        let words = if s.section.is_empty() { s.title } else { format!("{}, {}", s.title, s.section) };
                        view! { {(n > 0).then_some(" · ")}<a class="link" href=format!("{help}/{}#{}", s.article, s.anchor) target="_blank" rel="noopener">{words}</a> }
                    }).collect_view()}
                </p>
            })}
            {draft_at.filter(|_| draft).map(|at| view! { <p class="turn-from"><a class="link" href=format!("{at}{id}") data-draft=text>"Use it"</a></p> })}
        </li>
    }
    .into_any()
}

/// By when something is due, or since when it is late.
pub fn due(seconds: Option<i64>) -> impl IntoView {
    seconds.map(|left| {
        // It is read anew once a minute, and counts no seconds.
        let span = if left.abs() < 60 { "under a minute".to_owned() } else { span(left) };
        let words = if left < 0 { format!("Late by {span}") } else { format!("Due in {span}") };
        view! { <span class="due" class:late=left.is_negative()>{words}</span> }
    })
}

/// Whether what one sees is up to date; the script keeps it. Without one it says nothing.
#[component]
pub fn Standing() -> impl IntoView {
    view! { <p id="standing" class="standing" role="status"></p> }
}
