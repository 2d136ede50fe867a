//! The queue: a list of conversations, what it is narrowed to, and what is done with many at once.

use leptos::prelude::*;

use super::{
    model::{COUNT_MAX, Change, Changed, Narrow, PRIORITIES, Queue, QueueRow, View, waited},
    parts::due,
};
use crate::{
    types::{ClientId, ConversationId, ConversationStatus, MemberId, ViewId},
    ui::form::{FormBack, FormError, form_answer, form_back},
};

#[component]
pub fn QueueList(
    queue: Queue,
    view: View,
    narrow: Narrow,
    /// This list's part of an address.
    query: String,
    chosen: Option<ConversationId>,
    place: String,
) -> impl IntoView {
    let refused =
        form_back(&["take-next", "remove-view", "change-conversations", "set-available"]).and_then(|b| b.error);
    let told = form_answer::<Vec<Changed>>(&["change-conversations"]);
    let base = chosen.map_or(format!("/w/{place}/desk"), |id| format!("/w/{place}/desk/{id}"));
    let counts = queue.counts;
    let tab = |one: View| {
        // Of what is due, how much is late.
        let late = (one == View::Due).then_some(" late");
        let many = counts
            .of(one)
            .filter(|n| *n > 0 || late.is_none())
            .map(|n| if n >= COUNT_MAX { format!("{}+", COUNT_MAX - 1) } else { n.to_string() });
        view! {
            <a href=format!("{base}?view={}", one.as_str()) aria-current=(one == view).then_some("true")>
                {one.called()}{many.map(|many| view! { " "<span class="many">{many}{late}</span> })}
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
                <input type="hidden" name="client" value=ClientId::fresh().to_string()/>
                <button type="submit" class="button primary">"Take the next one"</button>
            </form>
        }
    });
    // One that was refused has its ticks and choices still.
    let many_back = form_back(&["change-conversations"]);
    let kept: Vec<String> = many_back
        .iter()
        .flat_map(|b| b.fields.iter().filter(|(name, _)| name == "conversations[]").map(|(_, value)| value.clone()))
        .collect();
    let many =
        queue.agent.then(|| view! { <Many back=many_back action=format!("{base}?{query}&do=change-conversations")/> });
    let ticks = queue.agent;
    let away = (queue.agent && queue.away).then(|| {
        view! { <p class="quiet">"You are away: nobody is handed or given to you."</p> }
    });
    let presence = queue.agent.then(|| {
        let (value, text) = if queue.away { ("true", "I am here") } else { ("false", "Go away for a while") };
        view! {
            <form method="post" action=format!("{base}?{query}&do=set-available") data-send="">
                <input type="hidden" name="available" value=value/>
                <button type="submit" class="button" data-key="presence">{text}</button>
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
    let found = if narrow.fields().len() > 1 {
        "Found in all conversations that the filter lets through, the best first."
    } else {
        "Found in all conversations, the best first."
    };
    let empty = if narrowed { "Nothing here fits that." } else { view.empty() };
    let rows = queue.rows;
    view! {
        <aside class="queue" aria-label="Queue">
            {take}
            <FormError error=refused fields=&[]/>
            {told.map(|told| view! { <Told told place=place.clone()/> })}
            <Narrower narrow view query=query.clone() base=base.clone() agents=queue.agents labels=queue.labels saved=queue.saved narrowed/>
            <div id="queue" data-region="" data-waiting=counts.waiting data-owed=counts.owed data-new=format!("{} {}", counts.newest.0, counts.newest.1)>
                <nav class="views" aria-label="Views">{tabs}</nav>
                {saved}
                {searching.then(|| view! { <p class="quiet">{found}</p> })}
                {if rows.is_empty() {
                    view! { <p class="quiet nothing">{empty}</p> }.into_any()
                } else {
                    view! { <ul class="rows">{rows.into_iter().map(|row| queue_row(row, &query, chosen, &place, ticks.then_some(&kept[..]))).collect_view()}</ul> }.into_any()
                }}
                {next}
                {away}
                {presence}
            </div>
            {many}
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
    let filtered = narrow.fields().iter().any(|(name, _)| *name != "words");
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
    let labels = labels.into_iter().map(|label| view! { <option value=label></option> }).collect_view();
    let agents = agents.into_iter().map(|(id, name)| (id.to_string(), name)).collect();
    let channels = vec![("web".to_owned(), "Web page".to_owned()), ("relay".to_owned(), "Relay".to_owned())];
    let waits = [("15", "15 minutes"), ("60", "An hour"), ("240", "4 hours"), ("1440", "A day")]
        .map(|(value, called)| (value.to_owned(), called.to_owned()))
        .to_vec();
    let kept = saved.iter().find(|(_, _, to)| *to == query).map(|(id, name, _)| (*id, name.clone()));
    let is_kept = kept.is_some();
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
            <details class="more" open=filtered && !is_kept>
                <summary class="link">"Filter"</summary>
                // Any label: those of what is open are offered.
                <div class="narrow-field">
                    <label for="narrow-label">"Label"</label>
                    <input id="narrow-label" name="label" list="labels-in-use" maxlength="30" autocomplete="off" placeholder="Any" value=narrow.label.clone()/>
                    <datalist id="labels-in-use">{labels}</datalist>
                </div>
                {choice("priority", "Priority", narrow.priority.clone(), urgencies)}
                {choice("agent", "Who has it", narrow.agent.clone(), agents)}
                {choice("channel", "Channel", narrow.channel.clone(), channels)}
                {choice("minutes", "Has waited", narrow.minutes.clone(), waits)}
                <button type="submit" class="button">"Show"</button>
            </details>
            {narrowed.then(|| view! { <p><a class="link" href=format!("{base}?view={}", view.as_str())>"Show all again"</a></p> })}
        </form>
        {filtered.then_some(keep)}
    }
}

fn queue_row(
    row: QueueRow,
    query: &str,
    chosen: Option<ConversationId>,
    place: &str,
    ticks: Option<&[String]>,
) -> impl IntoView {
    let QueueRow { id, customer, said, status, priority, waiting, agent, mine, labels, unread, due: due_in, seq } = row;
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
        <li id=format!("q-{id}") class:ticks=ticks.is_some()>
            {ticks.map(|kept| view! { <input type="checkbox" form="many" name="conversations[]" value=format!("{id}.{seq}") checked=kept.contains(&format!("{id}.{seq}")) aria-label=format!("Tick {customer}")/> })}
            <a href=format!("/w/{place}/desk/{id}?{query}") aria-current=(chosen == Some(id)).then_some("page") class:urgent=priority == 3 class:has-news=unread>
                <span class="top">
                    <strong>{customer}{unread.then(|| view! { <span class="unseen">", unread"</span> })}</strong>
                    {waiting.map(|seconds| view! { <span class="waits" title="Since the customer waits for an answer">{waited(seconds)}</span> })}
                </span>
                <span class="said">{said}</span>
                {due(due_in)}
                {(!tags.is_empty()).then(|| view! { <span class="tags">{tags.into_iter().map(|tag| view! { <span class="tag">{tag}</span> }).collect_view()}</span> })}
                {who.map(|who| view! { <span class="who">{who}</span> })}
            </a>
        </li>
    }
}

/// One thing for all that are ticked in the list.
#[component]
fn Many(back: Option<FormBack>, action: String) -> impl IntoView {
    let typed = |field: &str| back.as_ref().map(|b| b.typed(field)).unwrap_or_default();
    let (chosen, label, open) = (typed("change"), typed("label"), back.is_some());
    let choices =
        Change::ALL.map(|(value, called)| view! { <option value=value selected=value == chosen>{called}</option> });
    view! {
        <details class="more" id="many-more" open=open>
            <summary class="link">"Do something for all ticked ones"</summary>
            // Of no use without the script, which shows it.
            <button type="button" id="tick-all" class="button" hidden>"Tick all that are shown"</button>
            <form id="many" method="post" action=action>
                <div class="narrow-field">
                    <label for="change">"Do"</label>
                    <select id="change" name="change">{choices.collect_view()}</select>
                </div>
                <div class="narrow-field"><label for="label">"Label"</label><input id="label" name="label" maxlength="30" value=label/></div>
                <button type="submit" class="button">"Do it for all"</button>
            </form>
        </details>
    }
}

/// A line for each that was to be changed.
#[component]
fn Told(told: Vec<Changed>, place: String) -> impl IntoView {
    let done = told.iter().filter(|one| one.problem.is_none()).count();
    let line = |Changed { id, customer, problem }: Changed| {
        let bad = problem.is_some();
        view! { <li><a class="link" href=format!("/w/{place}/desk/{id}")>{customer}</a>" "<span class="field-note" class:bad=bad>{problem.unwrap_or_else(|| "Done.".to_owned())}</span></li> }
    };
    view! {
        <div class="told" role="status">
            <p>{format!("{done} of {} done.", told.len())}</p>
            <ul class="plain-list">{told.into_iter().map(line).collect_view()}</ul>
        </div>
    }
}
