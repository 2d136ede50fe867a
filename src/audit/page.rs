//! The page of the trail: filters that only ask, and a line for each event with what it changed.

use leptos::prelude::*;
use leptos_router::{hooks::use_query_map, location::Url};

use super::{
    model::{Actor, Event, EventPage, NOUNS, Wanted},
    server_fns::list_events,
};
use crate::{
    ui::notice::Failed,
    workspaces::page::{place, with_workspace},
};

#[component]
pub fn AuditTrail() -> impl IntoView {
    let query = use_query_map();
    let wanted = query.with_untracked(|query| Wanted::of(|name| query.get(name)));
    with_workspace("Audit trail", move |workspace| {
        let place = place();
        let whole = workspace.role.manages() && wanted.project.is_none();
        let project = wanted.project.map(|id| format!("/w/{place}/projects/{id}"));
        view! {
            {project.map(|href| view! { <p>"What is about one project alone. "<a class="link" href=href>"Go to the project"</a></p> })}
            {whole.then(|| view! {
                <p><a class="button" href=format!("/w/{place}/audit.jsonl") download>"Export all of it"</a></p>
            })}
            <Filters wanted=wanted.clone()/>
            <Suspense>
                {Suspend::new(async move {
                    match list_events(wanted.clone()).await {
                        Ok(page) => view! { <Events page wanted place/> }.into_any(),
                        Err(error) => view! { <Failed error/> }.into_any(),
                    }
                })}
            </Suspense>
        }
    })
}

#[component]
fn Filters(wanted: Wanted) -> impl IntoView {
    let Wanted { person, about, from, to, project, .. } = wanted;
    view! {
        <form method="get" class="filters" role="search">
            <label>"Person"<input type="email" name="person" placeholder="E-mail address" value=person/></label>
            <label>"About"<select name="about">
                <option value="">"All"</option>
                {NOUNS.into_iter().map(|(noun, called)| view! { <option value=noun selected=noun == about>{called}</option> }).collect_view()}
            </select></label>
            <label>"From"<input type="date" name="from" value=from/></label>
            <label>"To"<input type="date" name="to" value=to/></label>
            {project.map(|project| view! { <input type="hidden" name="project" value=project.to_string()/> })}
            <button type="submit" class="button">"Show"</button>
        </form>
    }
}

#[component]
fn Events(page: EventPage, wanted: Wanted, place: String) -> impl IntoView {
    if page.events.is_empty() {
        return view! { <p class="quiet">"Nothing in the trail fits that. "<a class="link" href=format!("/w/{place}/audit")>"Show everything"</a></p> }
            .into_any();
    }
    let next = page.next.map(|before| {
        let fields = wanted.fields().into_iter().chain([("before", before.to_string())]);
        view! {
            <form method="get">
                {fields.map(|(name, value)| view! { <input type="hidden" name=name value=value/> }).collect_view()}
                <button type="submit" class="button">"Older"</button>
            </form>
        }
    });
    view! {
        <ol class="trail-list">{page.events.into_iter().map(|event| line(event, &place)).collect_view()}</ol>
        {next}
    }
    .into_any()
}

fn line(event: Event, place: &str) -> impl IntoView {
    let (said, fields, called) = (event.said(), event.fields(), event.by.called());
    let (from, more) = match &event.by {
        Actor::Person(who) => (who.email.clone(), [who.ip.clone(), who.user_agent.clone()]),
        _ => Default::default(),
    };
    let only = (!from.is_empty()).then(|| (format!("/w/{place}/audit?person={}", Url::escape(&from)), from));
    let rest = more.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" · ");
    let Event { seq, time, .. } = event;
    let readers = format!("/w/{place}/audit/{seq}/readers");
    view! {
        <li>
            <p><strong>{called}</strong>" "{said}"."</p>
            <p class="quiet">
                {format!("{seq} · {time}")}
                {only.map(|(href, email)| view! { " · "<a class="link" href=href aria-label=format!("Only what {email} did, or what was done to them")>{email.clone()}</a> })}
            </p>
            <details>
                <summary aria-label=format!("Details of event {seq}")>"Details"</summary>
                {(!fields.is_empty()).then(|| view! {
                    <dl>{fields.into_iter().map(|(name, old, new)| {
                        let arrow = (!old.is_empty() && !new.is_empty()).then_some(" → ");
                        view! {
                            <dt>{name}</dt>
                            <dd>{(!old.is_empty()).then(|| view! { <del>{old.clone()}</del> })}{arrow}{(!new.is_empty()).then(|| view! { <ins>{new.clone()}</ins> })}</dd>
                        }
                    }).collect_view()}</dl>
                })}
                {(!rest.is_empty()).then(|| view! { <p class="quiet">{rest}</p> })}
                <p><a class="link" href=readers>"Who can see this?"</a></p>
            </details>
        </li>
    }
}
