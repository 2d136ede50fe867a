//! The desk: the queue, and the conversation that is open. Forms and links that work by themselves; a script sends them in
//! place and reads the page anew when something has happened.

use leptos::{nonce::use_nonce, prelude::*};
use leptos_meta::Title;
use leptos_router::hooks::{use_params_map, use_query_map};

use super::{
    model::{COUNT_MAX, Conversation, Queue, QueueRow, View, waited},
    parts::{Lines, Standing},
    server_fns::{list_conversations, read_conversation},
};
use crate::{
    error::AppError,
    types::{ClientId, ConversationId, ConversationStatus},
    ui::{
        form::{FormBack, FormError, form_back},
        notice::Failed,
        raw_text::raw_text,
    },
    workspaces::{
        page::{Trail, place},
        server_fns::read_workspace,
    },
};

/// The queue alone.
#[component]
pub fn Desk() -> impl IntoView {
    view! { <Whole open=None/> }
}

/// The queue, and a conversation beside it.
#[component]
pub fn DeskConversation() -> impl IntoView {
    let id = use_params_map().read_untracked().get("id").map(|id| id.parse().map_err(|_| AppError::NotFound));
    view! { <Whole open=id/> }
}

#[component]
fn Whole(open: Option<Result<ConversationId, AppError>>) -> impl IntoView {
    let place = place();
    let query = use_query_map();
    let asked = |name: &str| query.with_untracked(|query| query.get(name));
    let (view, after, before) = (View::of(asked("view").as_deref()), asked("after"), asked("before"));
    view! {
        <Suspense>
            {Suspend::new(async move {
                let (workspace, queue) = match (read_workspace().await, list_conversations(view, after).await) {
                    (Ok(workspace), Ok(queue)) => (workspace, queue),
                    (Err(error), _) | (_, Err(error)) => return view! { <main class="page"><Failed error/></main> }.into_any(),
                };
                let (name, manages) = (workspace.name.clone(), workspace.role.manages());
                let title = format!("Desk · {name}");
                if !queue.open {
                    return view! {
                        <Title text=title/>
                        <main class="page"><Trail place=place.clone() name here="Desk" manages/><NoDesk place manages personal=workspace.personal/></main>
                    }.into_any();
                }
                let before: Option<i64> = before.and_then(|seq| seq.parse().ok());
                let conversation = match open {
                    Some(Ok(id)) => read_conversation(id, before).await.map(Some),
                    Some(Err(error)) => Err(error),
                    None => Ok(None),
                };
                let conversation = match conversation {
                    Ok(conversation) => conversation,
                    // Without the script: there is nothing to keep up to date.
                    Err(error) => {
                        return view! { <main class="page"><Trail place name here="Desk" manages/><Failed error/></main> }.into_any();
                    }
                };
                let chosen = conversation.as_ref().map(|c| c.id);
                let (agent, pos, is_open) = (queue.agent, queue.pos, conversation.is_some());
                let pane = match conversation {
                    Some(conversation) => view! { <Talk conversation view agent newest=before.is_none() place=place.clone()/> }.into_any(),
                    None => view! { <p class="quiet nothing">"Choose a conversation, or take the next one that waits."</p> }.into_any(),
                };
                view! {
                    <Title text=title/>
                    <link rel="stylesheet" href="/desk.css"/>
                    <main class="desk" class:open=is_open data-place=place.clone() data-agent=agent.then_some("") data-pos=pos>
                        <div class="desk-top">
                            <Trail place=place.clone() name here="Desk" manages/>
                            <div class="row">{manages.then(|| view! { <a class="link" href=format!("/w/{place}/desk/set-up")>"Set up"</a> })}<Standing/></div>
                        </div>
                        <QueueList queue view chosen place=place.clone()/>
                        <section class="talk" aria-label="Conversation">
                            {pane}
                        </section>
                    </main>
                    <script type="module" src="/desk.js" nonce=use_nonce()></script>
                }.into_any()
            })}
        </Suspense>
    }
}

#[component]
fn NoDesk(place: String, manages: bool, personal: bool) -> impl IntoView {
    view! {
        <h1>"Desk"</h1>
        {match (personal, manages) {
            (true, _) => view! { <p>"A personal workspace has no desk. "<a class="link" href="/workspaces">"Make one to share"</a></p> }.into_any(),
            (false, true) => view! {
                <p>"Customers write to you from your web pages, and whoever you choose answers."</p>
                <p><a class="button primary" href=format!("/w/{place}/desk/set-up")>"Set up the desk"</a></p>
            }.into_any(),
            (false, false) => view! { <p class="quiet">"This workspace has no desk yet. Its owners and admins can set one up."</p> }.into_any(),
        }}
    }
}

#[component]
fn QueueList(queue: Queue, view: View, chosen: Option<ConversationId>, place: String) -> impl IntoView {
    let refused = form_back(&["take-next"]).and_then(|b| b.error);
    let base = chosen.map_or(format!("/w/{place}/desk"), |id| format!("/w/{place}/desk/{id}"));
    let counts = queue.counts;
    let tab = |one: View| {
        let many = counts.of(one).map(|n| if n >= COUNT_MAX { format!("{}+", COUNT_MAX - 1) } else { n.to_string() });
        view! {
            <a href=format!("{base}?view={}", one.as_str()) aria-current=(one == view).then_some("true")>
                {one.called()}{many.map(|many| view! { " "<span class="many">{many}</span> })}
            </a>
        }
    };
    let tabs = View::ALL.map(tab).collect_view();
    let next = queue.next.map(|after| {
        view! { <p><a class="button" href=format!("/w/{place}/desk?view={}&after={after}", view.as_str())>"Next page"</a></p> }
    });
    let take = queue.agent.then(|| {
        view! {
            <form method="post" action=format!("{base}?view={}&do=take-next", view.as_str()) data-send="">
                <input type="hidden" name="place" value=place.clone()/>
                <button type="submit" class="button primary">"Take the next one"</button>
            </form>
        }
    });
    let rows = queue.rows;
    view! {
        <aside class="queue" aria-label="Queue">
            {take}
            <FormError error=refused fields=&[]/>
            <div id="queue" data-region="" data-waiting=counts.waiting>
                <nav class="views" aria-label="Views">{tabs}</nav>
                {if rows.is_empty() {
                    view! { <p class="quiet nothing">{view.empty()}</p> }.into_any()
                } else {
                    view! { <ul class="rows">{rows.into_iter().map(|row| queue_row(row, view, chosen, &place)).collect_view()}</ul> }.into_any()
                }}
                {next}
            </div>
        </aside>
    }
}

fn queue_row(row: QueueRow, view: View, chosen: Option<ConversationId>, place: &str) -> impl IntoView {
    let QueueRow { id, customer, said, status, priority, waiting, agent, mine } = row;
    let who = match (mine, agent) {
        (true, _) => Some("You".to_owned()),
        (false, Some(agent)) => Some(agent),
        (false, None) => (status != ConversationStatus::Waiting).then(|| status.called().to_owned()),
    };
    view! {
        <li id=format!("q-{id}")>
            <a href=format!("/w/{place}/desk/{id}?view={}", view.as_str()) aria-current=(chosen == Some(id)).then_some("page") class:urgent=priority == 3>
                <span class="top"><strong>{customer}</strong>{waiting.map(|seconds| view! { <span class="waits" title="Since the customer waits for an answer">{waited(seconds)}</span> })}</span>
                <span class="said">{said}</span>
                {who.map(|who| view! { <span class="who">{who}</span> })}
            </a>
        </li>
    }
}

#[component]
fn Talk(conversation: Conversation, view: View, agent: bool, newest: bool, place: String) -> impl IntoView {
    let Conversation { id, customer, email, status, agent: has, mine, blocked, messages, earlier, seen, colleagues } =
        conversation;
    let back = form_back(&["answer-conversation"]);
    let refused = form_back(&["take-conversation", "set-conversation", "hand-conversation", "block-customer"])
        .and_then(|b| b.error);
    let here = format!("/w/{place}/desk/{id}?view={}", view.as_str());
    let action = move |what: &str| format!("{here}&do={what}");
    let button = {
        let action = action.clone();
        move |what: &str, fields: Vec<(&'static str, String)>, text: &'static str, primary: bool| {
            let fields = fields.into_iter().chain([("conversation", id.to_string())]);
            view! {
                <form method="post" action=action(what) data-send="">
                    {fields.map(|(name, value)| view! { <input type="hidden" name=name value=value/> }).collect_view()}
                    <button type="submit" class="button" class:primary=primary>{text}</button>
                </form>
            }
        }
    };
    let set = |to: ConversationStatus, text| {
        let fields = vec![("status", to.as_str().to_owned()), ("seen", seen.to_string())];
        button("set-conversation", fields, text, false)
    };
    let open = matches!(status, ConversationStatus::Waiting | ConversationStatus::Bot);
    let free = has.is_none();
    let is = match (mine, &has) {
        (true, _) => "You have this conversation.".to_owned(),
        (false, Some(name)) if name.is_empty() => "Somebody has this conversation.".to_owned(),
        (false, Some(name)) => format!("{name} has this conversation."),
        (false, None) => status.called().to_owned(),
    };
    let actions = agent.then(|| {
        view! {
            <div class="row">
                {(free).then(|| button("take-conversation", vec![], "Take", open))}
                {(mine || open).then(|| set(ConversationStatus::Resolved, "Resolve"))}
                {(mine || open).then(|| button("set-conversation", vec![("status", "snoozed".to_owned()), ("hours", "24".to_owned()), ("seen", seen.to_string())], "Put off a day", false))}
                {(mine || matches!(status, ConversationStatus::Snoozed | ConversationStatus::Resolved)).then(|| set(ConversationStatus::Waiting, if mine { "Give back" } else { "Open again" }))}
            </div>
        }
    });
    let others: Vec<_> = colleagues.into_iter().filter(|c| !c.me).collect();
    let hand = (agent && (mine || free) && !others.is_empty()).then(|| {
        view! {
            <form method="post" action=action("hand-conversation") class="row" data-send="">
                <input type="hidden" name="conversation" value=id.to_string()/>
                <label class="quiet" for="hand-to">"Hand to"</label>
                <select id="hand-to" name="member">
                    {others.into_iter().map(|c| {
                        let is = if c.here { "" } else { ", away" };
                        view! { <option value=c.member.to_string()>{format!("{} ({} of {}{is})", c.name, c.has, c.capacity)}</option> }
                    }).collect_view()}
                </select>
                <button type="submit" class="button">"Hand over"</button>
            </form>
        }
    });
    let block = agent.then(|| {
        let (value, text) = if blocked { ("false", "Let them write again") } else { ("true", "Block this customer") };
        button("block-customer", vec![("blocked", value.to_owned())], text, false)
    });
    view! {
        <header id="talk-head" class="talk-head" data-region="">
            <p class="back"><a class="link" href=format!("/w/{place}/desk?view={}", view.as_str())>"Queue"</a></p>
            <h1>{customer.clone()}</h1>
            {(!email.is_empty() && email != customer).then(|| view! { <p class="quiet">{email}</p> })}
            <p class="is" class:mine=mine>{is}{blocked.then_some(" They are blocked.")}</p>
            {actions}
            <details class="more"><summary class="button">"More"</summary><div class="row">{hand}{block}</div></details>
        </header>
        <div id="problem"><FormError error=refused fields=&[]/></div>
        <p id="earlier" class="earlier" data-region="">
            {earlier.map(|seq| view! { <a class="link" href=format!("/w/{place}/desk/{id}?view={}&before={seq}", view.as_str())>"Earlier messages"</a> })}
        </p>
        <Lines lines=messages seen label="What was said" customer/>
        {if newest {
            view! { <Composer id seen agent back action=action("answer-conversation")/> }.into_any()
        } else {
            view! { <p class="earlier"><a class="link" href=format!("/w/{place}/desk/{id}?view={}", view.as_str())>"Newest messages"</a></p> }.into_any()
        }}
    }
}

/// Where one writes. What was typed stays when it was not sent, under the id that it has had, so that it is stored once.
#[component]
fn Composer(id: ConversationId, seen: i64, agent: bool, back: Option<FormBack>, action: String) -> impl IntoView {
    let typed = |field: &str| back.as_ref().map(|b| b.typed(field)).unwrap_or_default();
    let (text, client) = (typed("text"), typed("client"));
    let error = back.as_ref().and_then(|b| b.error.clone());
    // What was held is stored under no id, and an id that was used for another text is spent.
    let spent = client.is_empty() || matches!(error, Some(AppError::Conflict { .. }));
    let client = if spent { ClientId::fresh().to_string() } else { client };
    view! {
        <form id="composer" class="composer-plain" method="post" action=action data-send="text">
            <div id="composer-error"><FormError error fields=&[]/></div>
            <input type="hidden" name="conversation" value=id.to_string()/>
            <input type="hidden" name="client" value=client/>
            <input type="hidden" name="seen" value=seen.to_string()/>
            <label class="unseen" for="text">{if agent { "Your answer" } else { "A note for the team" }}</label>
            <textarea id="text" name="text" rows="3" maxlength="32000" required placeholder=if agent { "Answer the customer" } else { "A note for the team" }>{raw_text()(&text)}</textarea>
            <div class="row">
                {agent.then(|| view! { <button type="submit" class="button primary">"Send"</button> })}
                <button type="submit" class="button" name="note" value="true">"Keep as a note"</button>
            </div>
        </form>
    }
}
