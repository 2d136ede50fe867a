//! The desk: the queue, and the conversation that is open. Forms and links that work by themselves; a script sends them in
//! place and reads the page anew when something has happened.

use leptos::{nonce::use_nonce, prelude::*};
use leptos_meta::Title;
use leptos_router::hooks::{use_params_map, use_query_map};

use super::{
    model::{COUNT_MAX, Conversation, Narrow, PRIORITIES, Queue, QueueRow, Reply, View, address, waited},
    parts::{Lines, Standing},
    server_fns::{list_conversations, read_conversation},
};
use crate::{
    error::AppError,
    types::{ClientId, ConversationId, ConversationStatus, MemberId, ViewId},
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
    let draft = asked("draft").or_else(|| asked("reply"));
    let of = |name: &str| asked(name).unwrap_or_default();
    let narrow = Narrow {
        words: of("words"),
        label: of("label"),
        priority: of("priority"),
        agent: of("agent"),
        channel: of("channel"),
        minutes: of("minutes"),
    };
    view! {
        <Suspense>
            {Suspend::new(async move {
                let (workspace, queue) = match (read_workspace().await, list_conversations(view, narrow.clone(), after).await) {
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
                let query = address(view, &narrow);
                let (agent, pos, is_open) = (queue.agent, queue.pos, conversation.is_some());
                let pane = match conversation {
                    Some(conversation) => view! { <Talk conversation query=query.clone() agent newest=before.is_none() place=place.clone() draft/> }.into_any(),
                    None => view! { <p class="quiet nothing">"Choose a conversation, or take the next one that waits."</p> }.into_any(),
                };
                view! {
                    <Title text=title/>
                    <link rel="stylesheet" href="/desk.css"/>
                    <main class="desk" class:open=is_open data-place=place.clone() data-agent=agent.then_some("") data-open=chosen.map(|id| id.to_string()) data-pos=pos>
                        <div class="desk-top">
                            <Trail place=place.clone() name here="Desk" manages/>
                            <div class="row">
                                <a class="link" href=format!("/w/{place}/desk/help")>"Help articles"</a>
                                {manages.then(|| view! { <a class="link" href=format!("/w/{place}/desk/set-up")>"Set up"</a> })}
                                <Standing/>
                            </div>
                        </div>
                        <QueueList queue view narrow query chosen place=place.clone()/>
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
fn QueueList(
    queue: Queue,
    view: View,
    narrow: Narrow,
    /// This list's part of an address.
    query: String,
    chosen: Option<ConversationId>,
    place: String,
) -> impl IntoView {
    let refused = form_back(&["take-next", "remove-view"]).and_then(|b| b.error);
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
        view! { <p><a class="button" href=format!("/w/{place}/desk?{query}&after={after}")>"Next page"</a></p> }
    });
    let take = queue.agent.then(|| {
        view! {
            <form method="post" action=format!("{base}?{query}&do=take-next") data-send="">
                <input type="hidden" name="place" value=place.clone()/>
                <button type="submit" class="button primary">"Take the next one"</button>
            </form>
        }
    });
    let saved = (!queue.saved.is_empty()).then(|| {
        let one = |(_, name, to): (ViewId, String, String)| {
            view! { <a href=format!("{base}?{to}") aria-current=(to == query).then_some("true")>{name}</a> }
        };
        view! { <nav class="views" aria-label="Saved lists">{queue.saved.clone().into_iter().map(one).collect_view()}</nav> }
    });
    let searching = !narrow.words.is_empty();
    let narrowed = !narrow.fields().is_empty();
    let empty = if narrowed { "Nothing here fits that." } else { view.empty() };
    let rows = queue.rows;
    view! {
        <aside class="queue" aria-label="Queue">
            {take}
            <FormError error=refused fields=&[]/>
            <Narrower narrow view query=query.clone() base=base.clone() agents=queue.agents labels=queue.labels saved=queue.saved narrowed/>
            <div id="queue" data-region="" data-waiting=counts.waiting>
                <nav class="views" aria-label="Views">{tabs}</nav>
                {saved}
                {searching.then(|| view! { <p class="quiet">"Found in all conversations, the best first."</p> })}
                {if rows.is_empty() {
                    view! { <p class="quiet nothing">{empty}</p> }.into_any()
                } else {
                    view! { <ul class="rows">{rows.into_iter().map(|row| queue_row(row, &query, chosen, &place)).collect_view()}</ul> }.into_any()
                }}
                {next}
            </div>
        </aside>
    }
}

/// Searching, narrowing the list, and keeping what it was narrowed to.
#[component]
fn Narrower(
    narrow: Narrow,
    view: View,
    query: String,
    base: String,
    agents: Vec<(MemberId, String)>,
    labels: Vec<String>,
    saved: Vec<(ViewId, String, String)>,
    narrowed: bool,
) -> impl IntoView {
    let more = narrow.fields().iter().any(|(name, _)| *name != "words");
    let back = form_back(&["save-view"]);
    let error = back.as_ref().and_then(|b| b.error.clone());
    let choice = |name: &'static str, label: &'static str, now: String, options: Vec<(String, String)>| {
        let options = options
            .into_iter()
            .map(|(value, called)| view! { <option value=value.clone() selected=value == now>{called}</option> })
            .collect_view();
        view! {
            <div class="narrow-field">
                <label for=format!("narrow-{name}")>{label}</label>
                <select id=format!("narrow-{name}") name=name><option value="">"Any"</option>{options}</select>
            </div>
        }
    };
    let numbered = |(n, name): (usize, &&str)| (n.to_string(), (*name).to_owned());
    let urgencies = PRIORITIES.iter().enumerate().map(numbered).collect();
    let labels = labels.into_iter().map(|label| (label.clone(), label)).collect();
    let agents = agents.into_iter().map(|(id, name)| (id.to_string(), name)).collect();
    let channels = vec![("web".to_owned(), "Web page".to_owned()), ("relay".to_owned(), "Relay".to_owned())];
    let waits = [("15", "15 minutes"), ("60", "An hour"), ("240", "4 hours"), ("1440", "A day")]
        .map(|(value, called)| (value.to_owned(), called.to_owned()))
        .to_vec();
    let kept = saved.iter().find(|(_, _, to)| *to == query).map(|(id, name, _)| (*id, name.clone()));
    let fields = narrow.fields().into_iter().map(|(name, value)| (format!("narrow[{name}]"), value.to_owned()));
    let fields: Vec<_> = fields.chain([("view".to_owned(), view.as_str().to_owned())]).collect();
    let keep = match kept {
        Some((id, name)) => view! {
            <form method="post" action=format!("{base}?{query}&do=remove-view")>
                <input type="hidden" name="saved" value=id.to_string()/>
                <button type="submit" class="button">{format!("Forget “{name}”")}</button>
            </form>
        }
        .into_any(),
        None => view! {
            <form method="post" action=format!("{base}?{query}&do=save-view") class="row">
                <FormError error fields=&[]/>
                {fields.into_iter().map(|(name, value)| view! { <input type="hidden" name=name value=value/> }).collect_view()}
                <label class="unseen" for="list-name">"Name of this list"</label>
                <input id="list-name" name="name" required maxlength="40" placeholder="Name of this list"/>
                <button type="submit" class="button">"Keep"</button>
            </form>
        }
        .into_any(),
    };
    view! {
        <form method="get" action=base.clone() class="narrower" role="search">
            <input type="hidden" name="view" value=view.as_str()/>
            <div class="row">
                <label class="unseen" for="words">"Search conversations"</label>
                <input id="words" name="words" type="search" value=narrow.words.clone() placeholder="Search" maxlength="200"/>
                <button type="submit" class="button">"Search"</button>
            </div>
            <details class="more" open=more>
                <summary class="link">"Filter"</summary>
                {choice("label", "Label", narrow.label.clone(), labels)}
                {choice("priority", "Priority", narrow.priority.clone(), urgencies)}
                {choice("agent", "Who has it", narrow.agent.clone(), agents)}
                {choice("channel", "Channel", narrow.channel.clone(), channels)}
                {choice("minutes", "Has waited", narrow.minutes.clone(), waits)}
                <button type="submit" class="button">"Show"</button>
            </details>
            {narrowed.then(|| view! { <p><a class="link" href=format!("{base}?view={}", view.as_str())>"Show all again"</a></p> })}
        </form>
        {more.then_some(keep)}
    }
}

fn queue_row(row: QueueRow, query: &str, chosen: Option<ConversationId>, place: &str) -> impl IntoView {
    let QueueRow { id, customer, said, status, priority, waiting, agent, mine, labels, unread } = row;
    let who = match (mine, agent) {
        (true, _) => Some("You".to_owned()),
        (false, Some(agent)) => Some(agent),
        (false, None) => (status != ConversationStatus::Waiting).then(|| status.called().to_owned()),
    };
    let urgency = PRIORITIES.get(usize::try_from(priority).unwrap_or(1)).filter(|_| priority != 1);
    let tags: Vec<String> = urgency.map(|name| (*name).to_owned()).into_iter().chain(labels).collect();
    let said = said
        .into_iter()
        .map(|(hit, text)| if hit { view! { <mark>{text}</mark> }.into_any() } else { text.into_any() })
        .collect_view();
    view! {
        <li id=format!("q-{id}")>
            <a href=format!("/w/{place}/desk/{id}?{query}") aria-current=(chosen == Some(id)).then_some("page") class:urgent=priority == 3 class:has-news=unread>
                <span class="top">
                    <strong>{customer}{unread.then(|| view! { <span class="unseen">", unread"</span> })}</strong>
                    {waiting.map(|seconds| view! { <span class="waits" title="Since the customer waits for an answer">{waited(seconds)}</span> })}
                </span>
                <span class="said">{said}</span>
                {(!tags.is_empty()).then(|| view! { <span class="tags">{tags.into_iter().map(|tag| view! { <span class="tag">{tag}</span> }).collect_view()}</span> })}
                {who.map(|who| view! { <span class="who">{who}</span> })}
            </a>
        </li>
    }
}

#[component]
fn Talk(
    conversation: Conversation,
    /// The list's part of an address.
    query: String,
    agent: bool,
    newest: bool,
    place: String,
    /// The assistant's words that somebody wants to answer with, by the id of the draft.
    draft: Option<String>,
) -> impl IntoView {
    let Conversation {
        id,
        customer,
        email,
        status,
        agent: has,
        mine,
        blocked,
        bot,
        messages,
        earlier,
        seen,
        colleagues,
        subject,
        asked,
        priority,
        labels,
        rating,
        looking,
        replies,
        others,
    } = conversation;
    // The box is filled with a draft of the assistant's, or with words that are sent often: whichever the address names.
    let drafts = messages.iter().filter(|m| m.draft).map(|m| (m.id.to_string(), &m.text));
    let draft = drafts
        .chain(replies.iter().map(|r| (r.id.to_string(), &r.text)))
        .find(|(id, _)| Some(id) == draft.as_ref())
        .map(|(_, text)| text.clone());
    let back = form_back(&["answer-conversation", "ask-on"]);
    let refused = form_back(&[
        "take-conversation",
        "set-conversation",
        "hand-conversation",
        "block-customer",
        "describe-conversation",
    ])
    .and_then(|b| b.error);
    let list = format!("/w/{place}/desk?{query}");
    let here = format!("/w/{place}/desk/{id}?{query}");
    let newer = here.clone();
    let draft_at = (agent && (mine || has.is_none())).then(|| format!("{here}&draft="));
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
                {mine.then(|| button("set-conversation", vec![("status", "resolved".to_owned()), ("seen", seen.to_string()), ("next", place.clone())], "Resolve, next", false))}
                {(mine || matches!(status, ConversationStatus::Snoozed | ConversationStatus::Resolved)).then(|| set(ConversationStatus::Waiting, if mine { "Give back" } else { "Open again" }))}
            </div>
        }
    });
    let put_off = (agent && (mine || open)).then(|| {
        let until = [("1", "an hour"), ("4", "4 hours"), ("24", "a day"), ("72", "3 days"), ("168", "a week"), ("", "until they write")];
        view! {
            <form method="post" action=action("set-conversation") class="row" data-send="">
                <input type="hidden" name="conversation" value=id.to_string()/>
                <input type="hidden" name="status" value="snoozed"/>
                <input type="hidden" name="seen" value=seen.to_string()/>
                <label class="quiet" for="hours">"Put off"</label>
                <select id="hours" name="hours">{until.map(|(value, called)| view! { <option value=value selected=value == "24">{called}</option> }).collect_view()}</select>
                <button type="submit" class="button">"Put off"</button>
            </form>
        }
    });
    let about = agent.then(|| {
        let now = labels.join(", ");
        view! {
            <form method="post" action=action("describe-conversation") class="about" data-send="">
                <input type="hidden" name="conversation" value=id.to_string()/>
                <div class="narrow-field"><label for="subject">"Subject"</label><input id="subject" name="subject" maxlength="200" value=subject.clone()/></div>
                <div class="narrow-field">
                    <label for="priority">"Priority"</label>
                    <select id="priority" name="priority">
                        {PRIORITIES.iter().enumerate().map(|(n, name)| view! { <option value=n.to_string() selected=n == usize::try_from(priority).unwrap_or(1)>{*name}</option> }).collect_view()}
                    </select>
                </div>
                <div class="narrow-field"><label for="labels">"Labels"</label><input id="labels" name="labels" value=now placeholder="billing, bug"/></div>
                <button type="submit" class="button">"Save"</button>
            </form>
        }
    });
    let tags: Vec<String> = PRIORITIES
        .get(usize::try_from(priority).unwrap_or(1))
        .filter(|_| priority != 1)
        .map(|name| (*name).to_owned())
        .into_iter()
        .chain(labels)
        .collect();
    let looking: Vec<String> = looking
        .into_iter()
        .map(|(name, typing)| format!("{name} {}", if typing { "is typing" } else { "looks at this" }))
        .collect();
    let other_talks = (!others.is_empty()).then(|| {
        let one = |row: QueueRow| {
            let words: String = row.said.into_iter().map(|(_, text)| text).collect();
            let words = if words.is_empty() { row.status.called().to_owned() } else { format!("{words}, {}", row.status.called()) };
            view! { <li><a class="link" href=format!("/w/{place}/desk/{}", row.id)>{words}</a></li> }
        };
        view! { <div><p class="quiet">"Their other conversations"</p><ul class="plain-list">{others.into_iter().map(one).collect_view()}</ul></div> }
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
    let to_bot = (agent && bot && status != ConversationStatus::Bot && (mine || free))
        .then(|| set(ConversationStatus::Bot, "Give to the assistant"));
    let block = agent.then(|| {
        let (value, text) = if blocked { ("false", "Let them write again") } else { ("true", "Block this customer") };
        button("block-customer", vec![("blocked", value.to_owned())], text, false)
    });
    view! {
        <header id="talk-head" class="talk-head" data-region="">
            <p class="back"><a class="link" href=list>"Queue"</a></p>
            <h1>{customer.clone()}</h1>
            {(!email.is_empty() && email != customer).then(|| view! { <p class="quiet">{email}</p> })}
            {(!subject.is_empty()).then(|| view! { <p class="quiet">{subject.clone()}</p> })}
            {(!tags.is_empty()).then(|| view! { <p class="tags">{tags.into_iter().map(|tag| view! { <span class="tag">{tag}</span> }).collect_view()}</p> })}
            <p class="is" class:mine=mine>{is}{blocked.then_some(" They are blocked.")}</p>
            {(!looking.is_empty()).then(|| view! { <p class="looking">{format!("{}.", looking.join(", "))}</p> })}
            {rating.map(|(good, words)| view! { <p class="quiet">{format!("The customer {}{}", if good { "was helped." } else { "was not helped." }, if words.is_empty() { String::new() } else { format!(" “{words}”") })}</p> })}
            {actions}
            <details class="more"><summary class="button">"More"</summary>{about}<div class="row">{put_off}{hand}{to_bot}{block}</div>{other_talks}</details>
        </header>
        <div id="problem"><FormError error=refused fields=&[]/></div>
        <p id="earlier" class="earlier" data-region="">
            {earlier.map(|seq| view! { <a class="link" href=format!("{newer}&before={seq}")>"Earlier messages"</a> })}
        </p>
        <Lines lines=messages seen label="What was said" customer help=format!("/w/{place}/desk/help") draft=draft_at/>
        {if newest {
            view! { <Composer id seen agent=agent && !asked asked back draft replies use_at=format!("{newer}&reply=") action=action(if asked { "ask-on" } else { "answer-conversation" })/> }.into_any()
        } else {
            view! { <p class="earlier"><a class="link" href=newer>"Newest messages"</a></p> }.into_any()
        }}
    }
}

/// Where one writes. What was typed stays when it was not sent, under the id that it has had, so that it is stored once.
#[component]
fn Composer(
    id: ConversationId,
    seen: i64,
    agent: bool,
    /// Whether it is the question of whoever reads.
    asked: bool,
    back: Option<FormBack>,
    draft: Option<String>,
    replies: Vec<Reply>,
    /// This page with words that are sent often in the box, but for their id.
    use_at: String,
    action: String,
) -> impl IntoView {
    let typed = |field: &str| back.as_ref().map(|b| b.typed(field)).unwrap_or_default();
    let (text, client) = (typed("text"), typed("client"));
    let text = if text.is_empty() { draft.unwrap_or_default() } else { text };
    let error = back.as_ref().and_then(|b| b.error.clone());
    let words = match (agent, asked) {
        (true, _) => "Your answer",
        (false, true) => "Say more",
        (false, false) => "A note for the team",
    };
    // What was held is stored under no id, and an id that was used for another text is spent.
    let spent = client.is_empty() || matches!(error, Some(AppError::Conflict { .. }));
    let client = if spent { ClientId::fresh().to_string() } else { client };
    view! {
        <form id="composer" class="composer-plain" method="post" action=action data-send="text">
            <div id="composer-error"><FormError error fields=&[]/></div>
            <input type="hidden" name="conversation" value=id.to_string()/>
            <input type="hidden" name="client" value=client/>
            <input type="hidden" name="seen" value=seen.to_string()/>
            <label class="unseen" for="text">{words}</label>
            <textarea id="text" name="text" rows="3" maxlength="32000" required placeholder=if agent { "Answer the customer" } else { words }>{raw_text()(&text)}</textarea>
            <div class="row">
                {(agent && !replies.is_empty()).then(|| view! {
                    <details class="replies" id="replies">
                        <summary class="button">"Saved replies"</summary>
                        <ul class="plain-list">{replies.into_iter().map(|r| view! { <li><a class="link" href=format!("{use_at}{}", r.id) data-draft=r.text>{r.name}</a></li> }).collect_view()}</ul>
                    </details>
                })}
                {(agent || asked).then(|| view! { <button type="submit" class="button primary">"Send"</button> })}
                {(!asked).then(|| view! { <button type="submit" class="button" name="note" value="true">"Keep as a note"</button> })}
            </div>
        </form>
    }
}
