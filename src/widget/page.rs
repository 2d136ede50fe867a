//! The page in the bubble's frame. Rendered whole on the server; a small script sends its forms with the visitor's token and
//! reads it anew when something has been said.

use leptos::{nonce::use_nonce, prelude::*};
use leptos_meta::Title;
use leptos_router::hooks::use_params_map;

use super::{
    model::{OwnConversation, Welcome},
    server_fns::{read_own, read_welcome},
};
use crate::{
    conversations::{
        model::was,
        parts::{Lines, Standing},
    },
    types::{ClientId, ConversationStatus},
    ui::notice::Failed,
};

#[component]
pub fn Widget() -> impl IntoView {
    let key = use_params_map().read_untracked().get("key").unwrap_or_default();
    view! {
        <Suspense>
            {Suspend::new(async move {
                let (welcome, own) = match (read_welcome(key.clone()).await, read_own().await) {
                    (Ok(welcome), Ok(own)) => (welcome, own),
                    (Err(error), _) | (_, Err(error)) => return view! { <main class="page"><Failed error/></main> }.into_any(),
                };
                view! { <Talk key=key welcome own/> }.into_any()
            })}
        </Suspense>
    }
}

#[component]
fn Talk(key: String, welcome: Welcome, own: Option<OwnConversation>) -> impl IntoView {
    let own = own.unwrap_or_default();
    let back = |words: &str| welcome.opens.as_ref().map(|at| format!("{words} {at}")).unwrap_or_default();
    let is = match own.status {
        Some(ConversationStatus::Claimed) => match own.agent {
            Some(name) if own.typing => format!("{name} is typing."),
            Some(name) => format!("{name} is answering."),
            None => "Somebody has your question.".to_owned(),
        },
        Some(ConversationStatus::Bot) if own.writing => format!("{} is writing.", own.bot),
        Some(ConversationStatus::Bot) => format!("{} answers, from the help articles.", own.bot),
        Some(ConversationStatus::Resolved) if own.elsewhere => {
            // Nothing of another conversation: who left that address here is not known.
            "The team has your question. Write here to add to it.".to_owned()
        }
        Some(ConversationStatus::Resolved) => "This is resolved. Write again and it is open once more.".to_owned(),
        Some(_) if welcome.open => "Your question is with the team.".to_owned(),
        Some(_) => {
            format!("Nobody is here at this moment. Your question waits for the team{}.", back(", who are back"))
        }
        None if welcome.bot.is_some() => format!("{} answers at once.", welcome.bot.as_deref().unwrap_or_default()),
        None if welcome.open => "Somebody is here to answer.".to_owned(),
        None => {
            format!("Nobody is here at this moment. Write, and you are answered later{}.", back(": the team is back"))
        }
    };
    // Of what they said last; once it is answered, the answer says it.
    let state = own.lines.last().filter(|line| line.mine).map(|line| match own.status {
        _ if own.read == Some(line.id) => "Read",
        Some(ConversationStatus::Claimed | ConversationStatus::Bot) => "Delivered",
        _ => "Sent",
    });
    let name = welcome.name;
    let by_bot = own.status == Some(ConversationStatus::Bot);
    // Asked for when nobody is there; otherwise there for whoever has to go, or left another one than they meant.
    let ask = own.status.is_some() && !by_bot;
    let urgent = own.email.is_empty() && !welcome.open && own.status != Some(ConversationStatus::Claimed);
    let left = if own.email.is_empty() {
        "Leave an e-mail address".to_owned()
    } else {
        format!("We can write to {}", own.email)
    };
    let help = format!("/help/{key}");
    view! {
        <Title text=name.clone()/>
        <link rel="stylesheet" href="/desk.css"/>
        <main class="visit" data-widget=key aria-label=name.clone()>
            <header><h1>{name.clone()}</h1><p id="is" class="quiet" data-region="">{is}</p><Standing/></header>
            {(!welcome.welcome.is_empty()).then(|| view! { <p class="welcome-words">{welcome.welcome.clone()}</p> })}
            <Lines lines=own.lines seen=0 label="Your conversation" help/>
            <div id="problem"></div>
            <p id="state" class="state" data-region="">{state}</p>
            <div id="rate" data-region="">
                {(own.status == Some(ConversationStatus::Resolved) && !own.elsewhere).then(|| view! {
                    <form method="post" action="/api/moat/widget/server_fns/rate" data-send="" class="ask">
                        <label for="rate-words">{match own.rating { None => "Were you helped?", Some(true) => "You said that you were helped.", Some(false) => "You said that you were not helped." }}</label>
                        // Enter in the field is neither yes nor no.
                        <button type="submit" disabled hidden></button>
                        <div class="row">
                            <input id="rate-words" name="words" maxlength="1000" placeholder="Anything to add?"/>
                            <button type="submit" class="button" name="helped" value="true">"Yes"</button>
                            <button type="submit" class="button" name="helped" value="false">"No"</button>
                        </div>
                    </form>
                })}
            </div>
            <div id="person" data-region="">
                {by_bot.then(|| view! {
                    <form method="post" action="/api/moat/widget/server_fns/ask_person" data-send="" class="ask">
                        <button type="submit" class="button">"Talk to a person"</button>
                    </form>
                })}
            </div>
            <div id="ask" data-region="">
                {ask.then(|| view! {
                    <details class="ask" open=urgent>
                        <summary class="link">{left}</summary>
                        <form method="post" action="/api/moat/widget/server_fns/introduce" data-send="">
                            <input type="hidden" name="was" value=was(&(&own.name, &own.email))/>
                            <label for="name">"Your name, if you like"</label>
                            <input id="name" name="name" autocomplete="name" maxlength="80" value=own.name/>
                            <label for="email">"Where can we write to you when you have gone?"</label>
                            <div class="row">
                                <input id="email" name="email" type="email" autocomplete="email" required=true placeholder="you@example.org" value=own.email/>
                                <button type="submit" class="button">"Leave address"</button>
                            </div>
                        </form>
                    </details>
                })}
            </div>
            <form id="composer" class="composer-plain" method="post" action="/api/moat/widget/server_fns/say" data-send="text">
                <div id="composer-error"></div>
                <input type="hidden" name="client" value=ClientId::fresh().to_string()/>
                <label class="unseen" for="text">"Your message"</label>
                <textarea id="text" name="text" rows="2" maxlength="8000" required=true placeholder="Write a message"></textarea>
                <div class="row"><button type="submit" class="button primary">"Send"</button></div>
            </form>
            <noscript><p class="quiet">"This needs a script, which this browser does not run."</p></noscript>
        </main>
        <script type="module" src="/desk.js" nonce=use_nonce()></script>
    }
}
