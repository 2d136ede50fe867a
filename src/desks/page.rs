//! Setting up the desk: what customers read, who answers, and the web pages that show the widget.

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use super::{
    model::{Colleague, Desk, WidgetKey},
    server_fns::read_desk,
};
use crate::{
    bot::model::Bot,
    error::AppError,
    replies::page::Replies,
    targets::page::TargetsForm,
    types::{KeyId, MemberId},
    ui::{
        form::{Done, Field, FormBack, FormError, NotRemoved, Paragraph, form_back},
        notice::Failed,
        raw_text::raw_text,
    },
    workspaces::page::{place, with_workspace},
};

#[component]
pub fn SetUp() -> impl IntoView {
    let (saying, adding, keyed) = (form_back(&["set-desk"]), form_back(&["put-agent"]), form_back(&["put-widget-key"]));
    let (bot, replies) = (form_back(&["set-bot"]), form_back(&["put-reply"]));
    let query = use_query_map();
    let asked = |name: &str| query.with_untracked(|query| query.get(name)).unwrap_or_default();
    let (done, changed) = (asked("done"), asked("reply"));
    with_workspace("Desk", move |workspace| {
        if workspace.personal || !workspace.role.manages() {
            return view! { <Failed error=AppError::Forbidden/> }.into_any();
        }
        let place = place();
        view! {
            <Suspense>
                {Suspend::new(async move {
                    match read_desk().await {
                        Ok(desk) => view! { <Parts desk place company=workspace.company saying adding keyed bot replies done changed/> }.into_any(),
                        Err(error) => view! { <Failed error/> }.into_any(),
                    }
                })}
            </Suspense>
        }
        .into_any()
    })
}

#[component]
fn Parts(
    desk: Option<Desk>,
    place: String,
    company: String,
    saying: Option<FormBack>,
    adding: Option<FormBack>,
    keyed: Option<FormBack>,
    bot: Option<FormBack>,
    replies: Option<FormBack>,
    /// The form that was done, if this is its answer.
    done: String,
    /// The reply that is to be changed, by its id.
    changed: String,
) -> impl IntoView {
    // Each leads back to its own part of the page, whether it was done or refused.
    let action = {
        let place = place.clone();
        move |what: &str| {
            let part = match what {
                "set-desk" => "said",
                "put-agent" | "remove-agent" => "agents",
                "put-widget-key" | "remove-widget-key" => "pages",
                "set-bot" => "assistant",
                "put-reply" | "remove-reply" => "replies",
                _ => "targets",
            };
            format!("/w/{place}/desk/set-up?do={what}#{part}")
        }
    };
    let told =
        move |forms: &[(&str, &'static str)]| forms.iter().find(|(form, _)| *form == done).map(|(_, says)| *says);
    let keys_told = told(&[("put-widget-key", "Saved. Its line is below."), ("remove-widget-key", "Removed.")]);
    let agents_told = told(&[("put-agent", "Saved."), ("remove-agent", "Removed.")]);
    let replies_told = told(&[("put-reply", "Kept."), ("remove-reply", "Removed.")]);
    let (bot_told, targets_told) = (told(&[("set-bot", "Saved.")]), told(&[("set-targets", "Saved.")]));
    let typed = |field: &str, stored: &str| saying.as_ref().map_or(stored.to_owned(), |b| b.typed(field));
    let (name, welcome) = match &desk {
        Some(desk) => (typed("name", &desk.name), typed("welcome", &desk.welcome)),
        None => (typed("name", &company), typed("welcome", "")),
    };
    let error = saying.as_ref().and_then(|b| b.error.clone());
    let there = desk.is_some();
    view! {
        {there.then(|| view! { <p><a class="link" href=format!("/w/{place}/desk")>"To the queue"</a>" · "<a class="link" href=format!("/w/{place}/desk/relay")>"Relay"</a></p> })}
        <section id="said">
            <h2>"What customers read"</h2>
            <Done what=told(&[("set-desk", "Saved.")])/>
            <form method="post" action=action("set-desk")>
                <FormError error=error.clone() fields=&["name", "welcome"]/>
                <Field name="name" id="desk-name" label="Name" value=name hint="Above their conversation." error=error.clone()/>
                <Paragraph name="welcome" label="First words" rows="2" hint="Before anybody has said something. May be empty." value=welcome error/>
                <button type="submit" class="button primary">{if there { "Save" } else { "Open the desk" }}</button>
            </form>
        </section>
        {desk.map(|desk| view! { <People agents=desk.agents others=desk.others back=adding told=agents_told action=action.clone()/><Keys keys=desk.keys origin=desk.origin back=keyed told=keys_told action=action.clone()/><Assistant bot=desk.bot place=place.clone() back=bot told=bot_told action=action("set-bot")/><Replies back=replies told=replies_told changed here=format!("/w/{place}/desk/set-up") action=action.clone()/><TargetsForm action=action("set-targets") told=targets_told/> })}
    }
}

#[component]
fn Assistant(
    bot: Bot,
    place: String,
    back: Option<FormBack>,
    told: Option<&'static str>,
    action: String,
) -> impl IntoView {
    let typed = |field: &str, stored: String| back.as_ref().map_or(stored, |b| b.typed(field));
    let (name, words) = (typed("name", bot.name), typed("words", bot.words.join("\n")));
    let on = back.as_ref().map_or(bot.on, |b| !b.typed("on").is_empty());
    let error = back.and_then(|b| b.error);
    view! {
        <section id="assistant">
            <h2>"The assistant"</h2>
            <Done what=told/>
            <p>
                "It answers new conversations first, from the "
                <a class="link" href=format!("/w/{place}/desk/help")>"help articles"</a>
                " alone, and hands over to people when it is asked to or finds nothing. Once somebody has a conversation, it is silent there."
            </p>
            <form method="post" action=action>
                <FormError error=error.clone() fields=&["name", "words"]/>
                <p><label><input type="checkbox" name="on" value="true" checked=on/>" It answers customers first"</label></p>
                <Field name="name" id="bot-name" label="Its name" value=name error=error.clone()/>
                <Paragraph name="words" label="Words for people" rows="2" hint="Whoever writes one of these is for people at once: refund, complaint. One below the other." value=words error/>
                <button type="submit" class="button primary">"Save"</button>
            </form>
        </section>
    }
}

#[component]
fn People(
    agents: Vec<Colleague>,
    others: Vec<(MemberId, String)>,
    back: Option<FormBack>,
    told: Option<&'static str>,
    action: impl Fn(&str) -> String + Clone + Send + 'static,
) -> impl IntoView {
    // What was refused stands in the row that it is about, or at the form for a new one.
    let whose = |member: &MemberId| back.as_ref().filter(|b| b.typed("member") == member.to_string()).cloned();
    let rows: Vec<_> = agents.into_iter().map(|c| (whose(&c.member), c)).collect();
    let of_row = rows.iter().any(|(back, _)| back.is_some());
    let error = back.filter(|_| !of_row).and_then(|b| b.error);
    let (add, change) = (action("put-agent"), action("put-agent"));
    let agent = move |(back, c): (Option<FormBack>, Colleague)| {
        let Colleague { member, name, here, has, capacity, .. } = c;
        let typed = |field: &str, now: String| back.as_ref().map_or(now, |b| b.typed(field));
        let (public, many) = (typed("name", name.clone()), typed("capacity", capacity.to_string()));
        let open = back.is_some();
        let error = back.and_then(|b| b.error);
        view! {
            <li>
                <div><p>{name.clone()}</p><p class="quiet">{format!("{}. Has {has} of {capacity}.", if here { "Here" } else { "Away" })}</p></div>
                <details class="sure" open=open>
                    <summary class="button" aria-label=format!("Change {name}")>"Change"</summary>
                    <form method="post" action=change.clone()>
                        <FormError error fields=&[]/>
                        <input type="hidden" name="member" value=member.to_string()/>
                        <div class="field"><label for=format!("name-{member}")>"Name for customers"</label><input id=format!("name-{member}") name="name" maxlength="80" value=public/></div>
                        <div class="field"><label for=format!("capacity-{member}")>"Conversations at once"</label><input id=format!("capacity-{member}") name="capacity" type="number" min="1" max="100" required value=many/></div>
                        <button type="submit" class="button primary">"Save"</button>
                    </form>
                </details>
                <details class="sure">
                    <summary class="button danger" aria-label=format!("Remove {name}")>"Remove"</summary>
                    <form method="post" action=action("remove-agent")>
                        <input type="hidden" name="member" value=member.to_string()/>
                        <p class="quiet">"They answer no more. What they have goes back to the queue, and what they had not sent yet is a draft there."</p>
                        <button type="submit" class="button danger">"Remove this agent"</button>
                    </form>
                </details>
            </li>
        }
    };
    view! {
        <section id="agents">
            <h2>"Who answers"</h2>
            <Done what=told/>
            <NotRemoved form="remove-agent"/>
            <p>"Every member reads the conversations and can leave notes. Whoever is on this list takes them and answers."</p>
            {if rows.is_empty() {
                view! { <p class="quiet">"Nobody answers yet."</p> }.into_any()
            } else {
                view! { <ul class="facts">{rows.into_iter().map(agent).collect_view()}</ul> }.into_any()
            }}
            {(!others.is_empty()).then(|| view! {
                <form method="post" action=add>
                    <FormError error=error.clone() fields=&["name", "capacity"]/>
                    <div class="field">
                        <label for="member">"Member"</label>
                        <select id="member" name="member">
                            {others.into_iter().map(|(id, name)| view! { <option value=id.to_string()>{name}</option> }).collect_view()}
                        </select>
                    </div>
                    <Field name="name" id="agent-name" label="Name for customers" required=false hint="Empty: as colleagues know them." error=error.clone()/>
                    <Field name="capacity" label="Conversations at once" kind="number" value="5" error/>
                    <button type="submit" class="button primary">"Add"</button>
                </form>
            })}
        </section>
    }
}

#[component]
fn Keys(
    keys: Vec<WidgetKey>,
    origin: String,
    back: Option<FormBack>,
    told: Option<&'static str>,
    action: impl Fn(&str) -> String + Clone + Send + 'static,
) -> impl IntoView {
    // What was refused stands in the row that it is about, or at the form for a new one.
    let whose = |key: &KeyId| back.as_ref().filter(|b| b.typed("key") == key.to_string()).cloned();
    let rows: Vec<_> = keys.into_iter().map(|k| (whose(&k.id), k)).collect();
    let back = back.filter(|_| rows.iter().all(|(back, _)| back.is_none()));
    let typed = |field: &str| back.as_ref().map(|b| b.typed(field)).unwrap_or_default();
    let (name, origins) = (typed("name"), typed("origins"));
    let error = back.as_ref().and_then(|b| b.error.clone());
    let (make, change) = (action("put-widget-key"), action("put-widget-key"));
    let key = move |(back, k): (Option<FormBack>, WidgetKey)| {
        let WidgetKey { id, key, name, origins } = k;
        let typed = |field: &str, now: String| back.as_ref().map_or(now, |b| b.typed(field));
        let (called, pages) = (typed("name", name.clone()), typed("origins", origins.join("\n")));
        let open = back.is_some();
        let error = back.and_then(|b| b.error);
        let on =
            if origins.is_empty() { "Any page may show it.".to_owned() } else { format!("On {}.", origins.join(", ")) };
        view! {
            <li>
                <div>
                    <p>{name.clone()}</p>
                    <p class="quiet">{on}" "<a class="link" href=format!("/widget/{key}")>"Try it"</a></p>
                    <p class="quiet">"Put this line at the end of the page:"</p>
                    <p><code class="snippet">{format!("<script src=\"{origin}/widget.js\" data-key=\"{key}\" async></script>")}</code></p>
                </div>
                <details class="sure" open=open>
                    <summary class="button" aria-label=format!("Change {name}")>"Change"</summary>
                    <form method="post" action=change.clone()>
                        <FormError error fields=&[]/>
                        <input type="hidden" name="key" value=id.to_string()/>
                        <div class="field"><label for=format!("page-{id}")>"What you call it"</label><input id=format!("page-{id}") name="name" maxlength="80" required value=called/></div>
                        <div class="field">
                            <label for=format!("origins-{id}")>"Addresses"</label>
                            <textarea id=format!("origins-{id}") name="origins" rows="2" aria-describedby=format!("origins-{id}-hint")>{raw_text()(&pages)}</textarea>
                            <p class="field-note" id=format!("origins-{id}-hint")>"One below the other. Empty: any page may show it."</p>
                        </div>
                        <button type="submit" class="button primary">"Save"</button>
                    </form>
                </details>
                <details class="sure">
                    <summary class="button danger" aria-label=format!("Remove {name}")>"Remove"</summary>
                    <form method="post" action=action("remove-widget-key")>
                        <input type="hidden" name="key" value=id.to_string()/>
                        <p class="quiet">"Whoever opens it on its pages finds nothing any more: take the line off them as well. What was said stays."</p>
                        <button type="submit" class="button danger">"Remove this page"</button>
                    </form>
                </details>
            </li>
        }
    };
    view! {
        <section id="pages">
            <h2>"Your web pages"</h2>
            <Done what=told/>
            <NotRemoved form="remove-widget-key"/>
            <ul class="facts">{rows.into_iter().map(key).collect_view()}</ul>
            <form method="post" action=make>
                <FormError error=error.clone() fields=&["name", "origins"]/>
                <Field name="name" id="key-name" label="Page" value=name hint="What you call it: our shop, the help pages." error=error.clone()/>
                <Paragraph name="origins" label="Addresses that may show it" rows="2" hint="https://www.example.org, one below the other. Empty: any." value=origins error/>
                <button type="submit" class="button primary">"Add"</button>
            </form>
        </section>
    }
}
