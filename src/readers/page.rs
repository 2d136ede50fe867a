//! The answer to "Who can see this?": plain pages, fifty people at a time.

use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::{use_params_map, use_query_map};

use super::{
    model::{Reader, ReadersPage},
    server_fns::who_can_see,
};
use crate::{types::Subject, ui::notice::Failed, workspaces::page::place};

#[component]
pub fn ReadersOfThread() -> impl IntoView {
    let id = id();
    let back = format!("/chat/{id}");
    view! { <Readers subject=Subject::Thread id back=(back, "Back to the chat")/> }
}

#[component]
pub fn ReadersOfProject() -> impl IntoView {
    let id = id();
    let back = format!("/w/{}/projects/{id}", place());
    view! { <Readers subject=Subject::Project id back=(back, "Back to the project")/> }
}

#[component]
pub fn ReadersOfEvent() -> impl IntoView {
    let id = id();
    let back = format!("/w/{}/audit", place());
    view! { <Readers subject=Subject::Event id back=(back, "Back to the audit trail")/> }
}

fn id() -> String {
    use_params_map().read_untracked().get("id").unwrap_or_default()
}

#[component]
fn Readers(subject: Subject, id: String, back: (String, &'static str)) -> impl IntoView {
    let after = use_query_map().read_untracked().get("after");
    let first = after.is_none();
    let (href, label) = back;
    view! {
        <main class="page">
            <p><a class="link" href=href rel="external">{label}</a></p>
            <Suspense>
                {Suspend::new(async move {
                    match who_can_see(subject, id, after).await {
                        Ok(page) => view! { <Answer subject page first/> }.into_any(),
                        Err(error) => view! { <Failed error/> }.into_any(),
                    }
                })}
            </Suspense>
        </main>
    }
}

#[component]
fn Answer(subject: Subject, page: ReadersPage, first: bool) -> impl IntoView {
    let ReadersPage { name, readers, people, all, next } = page;
    let name = if name.is_empty() { "New chat".to_owned() } else { name };
    let (able, unable): (Vec<_>, Vec<_>) = readers.into_iter().partition(|reader| reader.sees);
    let odd = able.iter().filter(|reader| reader.why.is_empty()).count();
    let who = match subject {
        Subject::Thread => "who shares a workspace with you",
        _ => "in this workspace",
    };
    let nobody = able.is_empty();
    view! {
        <Title text=format!("Who can see {name}?")/>
        <h1>"Who can see this?"</h1>
        <p class="said">{name}</p>
        <p>{format!("For each person {who} the database was asked just now, as that person, whether it shows them this.")}</p>
        {(odd > 0).then(|| view! {
            <p class="problem" role="alert">"Somebody below can see this, and nothing says why they should. Tell whoever runs this server."</p>
        })}
        {if nobody {
            view! { <p class="quiet">{if first { "Nobody can see it." } else { "None of these people can see it." }}</p> }.into_any()
        } else {
            view! { <ul class="facts">{able.into_iter().map(line).collect_view()}</ul> }.into_any()
        }}
        {(!unable.is_empty()).then(|| view! {
            <section>
                <h2>"Could, but can't now"</h2>
                <ul class="facts">{unable.into_iter().map(line).collect_view()}</ul>
            </section>
        })}
        {people.map(|people| view! { <p class="quiet">{counted(people, all, next.is_some())}</p> })}
        {next.map(|after| view! {
            <form method="get">
                <input type="hidden" name="after" value=after/>
                <button type="submit" class="button">"Ask for the next 50"</button>
            </form>
        })}
        <p class="quiet">"This is about moat. Whoever has the database itself, or a copy of it, can read all that is in it."</p>
    }
}

fn counted(people: i64, all: bool, more: bool) -> String {
    let people = if people == 1 { "1 person".to_owned() } else { format!("{people} people") };
    let others = if all { "" } else { ", and whoever is a guest of projects that are not yours" };
    let first = if more { " Those who have a reason to see it come first, fifty on a page." } else { "" };
    format!("Asked for: {people}{others}.{first}")
}

fn line(reader: Reader) -> impl IntoView {
    let Reader { name, email, me, why, .. } = reader;
    let (called, address) = if name.is_empty() { (email, String::new()) } else { (name, format!("{email} · ")) };
    let why = if why.is_empty() { "Nothing says why.".to_owned() } else { why.join(" ") };
    view! { <li><div><p>{called}{me.then_some(" (you)")}</p><p class="quiet">{address}{why}</p></div></li> }
}
