//! The desk: the conversation that is open, beside the queue. Forms and links that work by themselves; a script sends them in
//! place and reads the page anew when something has happened.

use leptos::{nonce::use_nonce, prelude::*};
use leptos_meta::Title;
use leptos_router::hooks::{use_params_map, use_query_map};

use super::{
    model::{Conversation, Narrow, PRIORITIES, QueueRow, View, address, was},
    parts::{Lines, Standing, due},
    queue::QueueList,
    server_fns::{list_conversations, read_conversation},
};
use crate::{
    error::AppError,
    later::model::{Later, WAITS},
    replies::model::Reply,
    types::{ClientId, ConversationId, ConversationRole, ConversationStatus},
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
                    None => view! { <h1 class="unseen">"Desk"</h1><p class="quiet nothing">"Choose a conversation, or take the next one that waits."</p> }.into_any(),
                };
                view! {
                    <Title text=title/>
                    <link rel="stylesheet" href="/desk.css"/>
                    <main class="desk" class:open=is_open data-place=place.clone() data-agent=agent.then_some("") data-open=chosen.map(|id| id.to_string()) data-pos=pos>
                        <div class="desk-top">
                            <Trail place=place.clone() name here="Desk" manages/>
                            <div class="row">
                                <a class="link" href=format!("/w/{place}/desk/figures")>"Figures"</a>
                                <a class="link" href=format!("/w/{place}/desk/help")>"Help articles"</a>
                                <a class="link" href="/guide/desk">"How it works"</a>
                                {manages.then(|| view! { <a class="link" href=format!("/w/{place}/desk/set-up")>"Set up"</a> })}
                                <button type="button" id="alerts" class="button" hidden aria-pressed="false">"Tell me of news"</button>
                                <Standing/>
                            </div>
                        </div>
                        <QueueList queue view narrow query chosen place=place.clone()/>
                        <section class="talk" aria-label="Conversation">
                            {pane}
                        </section>
                    </main>
                    <script type="module" src="/desk.js" nonce=use_nonce()></script>
                    <script type="module" src="/alerts.js" nonce=use_nonce()></script>
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
        known,
        email,
        status,
        agent: has,
        mine,
        blocked,
        visitor,
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
        due: due_in,
        until,
        keeper,
        later,
        undo,
        merged,
        manages,
    } = conversation;
    // The box is filled with a draft of the assistant's, or with words that are sent often: whichever the address names.
    let drafts = messages.iter().filter(|m| m.draft).map(|m| (m.id.to_string(), &m.text));
    let draft = drafts
        .chain(replies.iter().map(|r| (r.id.to_string(), &r.text)))
        .find(|(id, _)| Some(id) == draft.as_ref())
        .map(|(_, text)| text.clone());
    // An answer that was taken back is in the box again.
    let back = form_back(&["answer-conversation", "ask-on", "take-back"]);
    // One that had left by then is not: it would be said twice.
    let (back, gone) = match back {
        Some(FormBack { form, error: Some(error), .. }) if form == "take-back" => (None, Some(error)),
        back => (back, None),
    };
    let refused = form_back(&[
        "take-conversation",
        "set-conversation",
        "hand-conversation",
        "block-customer",
        "name-customer",
        "describe-conversation",
        "run-reply",
        "join-conversation",
        "erase-customer",
    ])
    .and_then(|b| b.error)
    .or(gone);
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
    let theirs = has.clone().filter(|_| agent && !mine && !asked);
    let back_to = keeper.map(|who| format!(" It comes back to {who}.")).unwrap_or_default();
    let is = match (mine, &has) {
        _ if !until.is_empty() => format!("Put off until {until}.{back_to}"),
        _ if status == ConversationStatus::Snoozed => format!("Put off until they write.{back_to}"),
        (true, _) => "You have this conversation.".to_owned(),
        (false, Some(name)) if name.is_empty() => "Somebody has this conversation.".to_owned(),
        (false, Some(name)) => format!("{name} has this conversation."),
        (false, None) if blocked => format!("{}.", status.called()),
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
                <label class="unseen" for="hours">"Put off for"</label>
                <select id="hours" name="hours">{until.map(|(value, called)| view! { <option value=value selected=value == "24">{called}</option> }).collect_view()}</select>
                <button type="submit" class="button">"Put off"</button>
            </form>
        }
    });
    // What was refused without a script is in its fields again.
    let (naming, telling) = (form_back(&["name-customer"]), form_back(&["describe-conversation"]));
    let typed =
        |back: &Option<FormBack>, field: &str, now: &str| back.as_ref().map_or(now.to_owned(), |b| b.typed(field));
    let refused_here = naming.is_some() || telling.is_some();
    let about = agent.then(|| {
        let now = labels.join(", ");
        // What each field was when it was shown: what nobody changed in it is not written over what came since.
        let was = (was(&(&known, &email)), was(&(&subject, priority, &now)));
        let (name, address) = (typed(&naming, "name", &known), typed(&naming, "email", &email));
        let (about, now) = (typed(&telling, "subject", &subject), typed(&telling, "labels", &now));
        let priority = typed(&telling, "priority", &priority.to_string());
        view! {
            <form method="post" action=action("name-customer") class="about" data-send="">
                <h2>"Customer"</h2>
                <input type="hidden" name="conversation" value=id.to_string()/>
                <input type="hidden" name="was" value=was.0/>
                <div class="narrow-field"><label for="customer-name">"Name"</label><input id="customer-name" name="name" maxlength="80" autocomplete="off" value=name/></div>
                <div class="narrow-field"><label for="customer-email">"E-mail"</label><input id="customer-email" name="email" type="email" maxlength="320" autocomplete="off" value=address/></div>
                <button type="submit" class="button" data-key="name-customer">"Save"<span class="unseen">" who it is"</span></button>
            </form>
            <form method="post" action=action("describe-conversation") class="about" data-send="">
                <h2>"About"</h2>
                <input type="hidden" name="conversation" value=id.to_string()/>
                <input type="hidden" name="was" value=was.1/>
                <div class="narrow-field"><label for="subject">"Subject"</label><input id="subject" name="subject" maxlength="200" value=about/></div>
                <div class="narrow-field">
                    <label for="priority">"Priority"</label>
                    <select id="priority" name="priority">
                        {PRIORITIES.iter().enumerate().map(|(n, name)| view! { <option value=n.to_string() selected=n.to_string() == priority>{*name}</option> }).collect_view()}
                    </select>
                </div>
                <div class="narrow-field"><label for="labels">"Labels"</label><input id="labels" name="labels" value=now placeholder="billing, bug"/></div>
                <button type="submit" class="button" data-key="describe">"Save"</button>
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
        let one = |(row, joined): (QueueRow, bool)| {
            let words: String = row.said.into_iter().map(|(_, text)| text).collect();
            let is = if joined { "Joined to this one" } else { row.status.called() };
            let words = if words.is_empty() { is.to_owned() } else { format!("{words}, {is}") };
            let other = row.id;
            let named = words.clone();
            let join = (agent && !joined).then(|| {
                let fields = [("conversation", id.to_string()), ("other", other.to_string())];
                view! {
                    <details class="sure">
                        <summary class="button">"Join to this one"<span class="unseen">{format!(": {named}")}</span></summary>
                        <form method="post" action=action("join-conversation") data-send="">
                            {fields.map(|(name, value)| view! { <input type="hidden" name=name value=value/> }).collect_view()}
                            <p class="quiet">"What was said there stands here as a note, and it is resolved. They can't be parted again."</p>
                            <button type="submit" class="button" data-key=format!("join-{other}")>"Join them"</button>
                        </form>
                    </details>
                }
            });
            view! { <li><a class="link" href=format!("/w/{place}/desk/{other}")>{words}</a>{join}</li> }
        };
        view! { <div><h2>"Their other conversations"</h2><ul class="plain-list">{others.into_iter().map(one).collect_view()}</ul></div> }
    });
    let deeds: Vec<_> = replies.iter().filter(|r| r.acts()).cloned().collect();
    let macros = (agent && (mine || has.is_none()) && !deeds.is_empty()).then(|| {
        let one = |r: Reply| {
            let fields = [
                ("conversation", id.to_string()),
                ("reply", r.id.to_string()),
                ("seen", seen.to_string()),
                ("mark", r.mark.clone()),
                ("client", r.client.map(|id| id.to_string()).unwrap_or_default()),
            ];
            let says = if r.text.is_empty() { "" } else { "say it, " };
            let text = (!r.text.is_empty()).then(|| view! { <p class="quoted" tabindex="0">{r.text.clone()}</p> });
            view! {
                <li>
                    <form method="post" action=action("run-reply") class="row" data-send="">
                        {fields.map(|(name, value)| view! { <input type="hidden" name=name value=value/> }).collect_view()}
                        <button type="submit" class="button">{r.name.clone()}</button>
                        <span class="quiet">{format!("{says}{}", r.deeds())}</span>
                    </form>
                    {text}
                </li>
            }
        };
        view! { <div><h2>"In one step"</h2><ul class="plain-list">{deeds.into_iter().map(one).collect_view()}</ul></div> }
    });
    let waits_to_leave = (!later.is_empty()).then(|| {
        let one = |l: Later| {
            let back = l.mine.then(|| {
                let fields = [("answer", l.id.to_string()), ("text", l.text.clone())];
                view! {
                    <form method="post" action=action("take-back") data-send="" data-back="">
                        {fields.map(|(name, value)| view! { <input type="hidden" name=name value=value/> }).collect_view()}
                        <button type="submit" class="button">{if l.left > 60 { "Take back" } else { "Undo" }}</button>
                    </form>
                }
            });
            let when = if l.stale {
                "Will not leave: something has been said since".to_owned()
            } else if l.left > 60 { format!("Leaves {}", l.at) } else { "Leaves in a moment".to_owned() };
            let by = if l.mine { String::new() } else { format!(", by {}", l.author) };
            view! {
                <li id=format!("later-{}", l.id) class="turn mine later" class:soon=l.left <= 60>
                    <p class="turn-by">{when}{by}</p>
                    <p class="turn-words">{l.text}</p>
                    {back}
                </li>
            }
        };
        view! { <h2>"Not sent yet"</h2><ol class="lines">{later.into_iter().map(one).collect_view()}</ol> }
    });
    let erase = manages.then(|| {
        let all = (!email.is_empty()).then(|| {
            view! { <p><label><input type="checkbox" name="all" value="true"/>{format!(" And everything else of {email}")}</label></p> }
        });
        view! {
            <details class="sure">
                <summary class="button danger">"Erase this customer"</summary>
                <form method="post" action=action("erase-customer")>
                    <input type="hidden" name="conversation" value=id.to_string()/>
                    <input type="hidden" name="place" value=place.clone()/>
                    <p class="quiet">"What they said and what was answered goes for good, notes and all. The audit trail keeps who did this and when, and no word of it. If they were blocked, they no longer are."</p>
                    {all}
                    <button type="submit" class="button danger">"Erase for good"</button>
                </form>
            </details>
        }
    });
    let joined = merged.map(|into| {
        view! { <p class="quiet">"Joined to "<a class="link" href=format!("/w/{place}/desk/{into}")>"another conversation"</a>"."</p> }
    });
    // Managers take over what somebody else has.
    let over = manages && !mine && !free;
    let people: Vec<String> = colleagues.iter().filter(|c| !c.me).map(|c| c.name.clone()).collect();
    let others: Vec<_> = colleagues.into_iter().filter(|c| !c.me || over).collect();
    let hand = ((agent && (mine || free) || over) && !others.is_empty()).then(|| {
        view! {
            <form method="post" action=action("hand-conversation") class="steps" data-send="">
                <input type="hidden" name="conversation" value=id.to_string()/>
                <input type="hidden" name="seen" value=seen.to_string()/>
                <div class="row">
                    <label class="unseen" for="hand-to">"Hand to"</label>
                    <select id="hand-to" name="member">
                        {others.into_iter().map(|c| {
                            let is = if c.here { "" } else { ", away" };
                            let who = if c.me { "Me, taking it over".to_owned() } else { c.name };
                            view! { <option value=c.member.to_string()>{format!("{who} ({} of {}{is})", c.has, c.capacity)}</option> }
                        }).collect_view()}
                    </select>
                    <button type="submit" class="button">"Hand over"</button>
                </div>
                <label class="unseen" for="hand-note">"Note for them"</label>
                <input id="hand-note" name="note" maxlength="2000" autocomplete="off" placeholder="A note for them"/>
            </form>
        }
    });
    let to_bot = (agent && bot && status != ConversationStatus::Bot && (mine || free))
        .then(|| set(ConversationStatus::Bot, "Give to the assistant"));
    let block = (agent && visitor).then(|| match blocked {
        true => {
            button("block-customer", vec![("blocked", "false".to_owned())], "Let them write again", false).into_any()
        }
        false => view! {
            <details class="sure">
                <summary class="button">"Block this customer"</summary>
                <form method="post" action=action("block-customer") data-send="">
                    <input type="hidden" name="conversation" value=id.to_string()/>
                    <input type="hidden" name="blocked" value="true"/>
                    <p class="quiet">{if mine || free { "They can write here no more, and this is resolved. You can let them in again." } else { "They can write here no more. Whoever has this keeps it. You can let them in again." }}</p>
                    <button type="submit" class="button danger" data-key="block">"Block them"</button>
                </form>
            </details>
        }
        .into_any(),
    });
    let steps = (agent || over).then(|| view! { <div class="steps">{put_off}{hand}{to_bot}</div> });
    let answered = messages.iter().filter(|m| m.role == ConversationRole::Agent).map(|m| m.seq).max().unwrap_or(0);
    let beside = (agent || manages || other_talks.is_some()).then(|| {
        view! { <details class="more" open=refused_here><summary class="button">"More"</summary><div class="beside-body">{about}{steps}{macros}<div class="steps">{block}{erase}</div>{other_talks}</div></details> }
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
            {due(due_in)}
            {joined}
            {rating.map(|(good, words)| view! { <p class="quiet">{format!("The customer {}{}", if good { "was helped." } else { "was not helped." }, if words.is_empty() { String::new() } else { format!(" “{words}”") })}</p> })}
            {actions}
        </header>
        <aside id="beside" class="beside" aria-label="About this conversation" data-region="">{beside}</aside>
        <div id="problem"><FormError error=refused fields=&[]/></div>
        <p id="earlier" class="earlier" data-region="">
            {earlier.map(|seq| view! { <a class="link" href=format!("{newer}&before={seq}")>"Earlier messages"</a> })}
        </p>
        <Lines lines=messages seen label="What was said" customer help=format!("/w/{place}/desk/help") draft=draft_at answered/>
        <div id="later" data-region="">{waits_to_leave.filter(|_| newest)}</div>
        {if newest {
            view! { <Composer id seen agent=agent && !asked asked set_up=(manages && !agent).then(|| format!("/w/{place}/desk/set-up")) back draft replies people undo theirs blocked use_at=format!("{newer}&reply=") action=action(if asked { "ask-on" } else { "answer-conversation" })/> }.into_any()
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
    /// Where somebody who does not answer here can have that changed.
    set_up: Option<String>,
    back: Option<FormBack>,
    draft: Option<String>,
    replies: Vec<Reply>,
    /// Colleagues whom a note can name.
    people: Vec<String>,
    /// Seconds for which an answer waits when nothing else is chosen.
    undo: i32,
    /// The colleague who has it.
    theirs: Option<String>,
    /// Whether its customer is shut out.
    blocked: bool,
    /// This page with words that are sent often in the box, but for their id.
    use_at: String,
    action: String,
) -> impl IntoView {
    let typed = |field: &str| back.as_ref().map(|b| b.typed(field)).unwrap_or_default();
    let (text, client) = (typed("text"), typed("client"));
    let text = if text.is_empty() { draft.unwrap_or_default() } else { text };
    let wait = typed("wait");
    let now = if undo > 0 { format!("in {undo} seconds") } else { "now".to_owned() };
    let waits = std::iter::once((undo.to_string(), now))
        .chain(WAITS.map(|(value, called)| (value.to_owned(), called.to_owned())));
    let waits: Vec<_> = waits.collect();
    let replies: Vec<_> = replies.into_iter().filter(|r| !r.text.is_empty()).collect();
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
            <div id="whose" data-region="">
                {blocked.then(|| view! { <p class="quiet">"They are blocked: no answer reaches them. A note is kept."</p> })}
                {theirs.map(|name| view! { <p class="quiet">{format!("An answer of yours would be held, as {} has this. A note is kept.", if name.is_empty() { "somebody" } else { &name })}</p> })}
            </div>
            <input type="hidden" name="conversation" value=id.to_string()/>
            <input type="hidden" name="client" value=client/>
            <input type="hidden" name="seen" value=seen.to_string()/>
            <label class="unseen" for="text">{words}</label>
            <textarea id="text" name="text" rows="3" maxlength="32000" required placeholder=if agent { "Answer the customer" } else { words }>{raw_text()(&text)}</textarea>
            <div class="row">
                // Of no use without the script, which shows it.
                {(!asked && !people.is_empty()).then(|| view! {
                    <details class="replies" id="people" hidden>
                        <summary class="button">"@"<span class="unseen">" Name somebody in a note"</span></summary>
                        <ul id="names" class="plain-list" data-region="">{people.into_iter().map(|name| view! { <li><a class="link" href="#text">{name}</a></li> }).collect_view()}</ul>
                    </details>
                })}
                {(agent && !replies.is_empty()).then(|| view! {
                    <details class="replies" id="replies">
                        <summary class="button">"Saved replies"</summary>
                        <ul id="saved" class="plain-list" data-region="">{replies.into_iter().map(|r| view! { <li><a class="link" href=format!("{use_at}{}", r.id) data-draft=r.text>{r.name}</a></li> }).collect_view()}</ul>
                    </details>
                })}
                {agent.then(|| view! {
                    <label class="unseen" for="wait">"When it leaves"</label>
                    <select id="wait" name="wait">
                        {waits.into_iter().map(|(value, called)| view! { <option value=value.clone() selected=value == wait>{called}</option> }).collect_view()}
                    </select>
                })}
                {(agent || asked).then(|| view! { <button type="submit" class="button primary">"Send"</button> })}
                {(!asked).then(|| view! { <button type="submit" class="button" name="note" value="true">"Keep as a note"</button> })}
            </div>
            {(!agent && !asked).then(|| view! {
                <p class="quiet">"You read here and leave notes. Agents answer customers."{set_up.map(|at| view! { " "<a class="link" href=at>"Become one"</a> })}</p>
            })}
        </form>
    }
}
