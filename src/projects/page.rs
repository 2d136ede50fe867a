//! A project's page: for people of its workspace, and for a guest who sees nothing but it.

use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_params_map;

use super::{
    model::{PROJECT_ROLES, PersonRow, Project},
    server_fns::{list_people, read_guest_project, read_project},
};
use crate::{
    error::AppError,
    types::ProjectRole,
    ui::{
        form::{Field, FormBack, FormError, Paragraph, form_back},
        notice::Failed,
    },
    workspaces::page::place,
};

#[component]
pub fn ProjectPage() -> impl IntoView {
    let id = use_params_map().read_untracked().get("id").and_then(|id| id.parse().ok());
    let place = place();
    view! {
        <main class="page">
            <p><a class="link" href=format!("/w/{place}")>"The workspace"</a></p>
            <Suspense>
                {Suspend::new(async move {
                    let project = match id {
                        Some(id) => read_project(id).await,
                        None => Err(AppError::NotFound),
                    };
                    match project {
                        Ok(project) => {
                            let here = format!("/w/{place}/projects/{}", project.id);
                            view! { <Whole project here place/> }.into_any()
                        }
                        Err(error) => view! { <Failed error/> }.into_any(),
                    }
                })}
            </Suspense>
        </main>
    }
}

/// The one page of a guest.
#[component]
pub fn GuestProject() -> impl IntoView {
    let place = place();
    view! {
        <main class="page">
            <p><a class="link" href="/workspaces">"Workspaces"</a></p>
            <Suspense>
                {Suspend::new(async move {
                    let project = match place.parse() {
                        Ok(id) => read_guest_project(id).await,
                        Err(_) => Err(AppError::NotFound),
                    };
                    match project {
                        Ok(project) => {
                            let here = format!("/p/{place}");
                            view! { <Whole project here place/> }.into_any()
                        }
                        Err(error) => view! { <Failed error/> }.into_any(),
                    }
                })}
            </Suspense>
        </main>
    }
}

#[component]
fn Whole(project: Project, here: String, place: String) -> impl IntoView {
    let refused = form_back(&["set-person-role", "remove-person", "archive-project"]).and_then(|b| b.error);
    let (changing, deleting) = (form_back(&["change-project"]), form_back(&["delete-project"]));
    let putting = form_back(&["put-person"]);
    let (id, managed, owned) = (project.id, project.managed, project.owned);
    let people_at = here.clone();
    view! {
        <Title text=project.name.clone()/>
        <h1>{project.name.clone()}</h1>
        {project.archived.then(|| view! { <p class="quiet">"This project is archived."</p> })}
        {(!project.description.is_empty()).then(|| view! { <p class="said">{project.description.clone()}</p> })}
        <FormError error=refused fields=&[]/>
        <section>
            <h2>"People"</h2>
            <Suspense>
                {Suspend::new(async move {
                    match list_people(id).await {
                        Ok(people) => view! {
                            <ul class="facts">{people.into_iter().map(|row| person(row, managed, owned, &people_at)).collect_view()}</ul>
                        }.into_any(),
                        Err(error) => view! { <Failed error/> }.into_any(),
                    }
                })}
            </Suspense>
            {(managed && here.starts_with("/w/")).then(|| view! { <Putter project=id.to_string() here=here.clone() owned back=putting/> })}
        </section>
        {here.starts_with("/w/").then(|| view! {
            <p class="row">
                <a class="link" href=format!("{here}/readers")>"Who can see this?"</a>
                {managed.then(|| view! { <a class="link" href=format!("/w/{place}/audit?project={id}")>"Audit trail of this project"</a> })}
            </p>
        })}
        {managed.then(|| view! { <Keeper project here place changing deleting/> })}
    }
}

fn person(row: PersonRow, managed: bool, owned: bool, here: &str) -> impl IntoView {
    let PersonRow { id, name, email, role, me } = row;
    let called = if name.is_empty() { email.clone() } else { name };
    let may = managed && (owned || role != ProjectRole::Owner);
    let choice = may.then(|| {
        let roles = PROJECT_ROLES.into_iter().filter(|&r| owned || r != ProjectRole::Owner);
        view! {
            <form method="post" action=format!("{here}?do=set-person-role") class="row">
                <input type="hidden" name="member" value=id.to_string()/>
                <select name="role" aria-label=format!("Role of {called}")>
                    {roles.map(|r| view! { <option value=r.as_str() selected=r == role>{r.called()}</option> }).collect_view()}
                </select>
                <button type="submit" class="button" aria-label=format!("Save the role of {called}")>"Save"</button>
            </form>
        }
    });
    let (word, label) =
        if me { ("Leave", "Leave this project".to_owned()) } else { ("Remove", format!("Remove {called}")) };
    let remove = (may || me).then(|| {
        view! {
            <details class="sure">
                <summary class="button danger" aria-label=label.clone()>{word}</summary>
                <form method="post" action=format!("{here}?do=remove-person")>
                    <input type="hidden" name="member" value=id.to_string()/>
                    <p class="quiet">{if me { "Then others have to let you in again." } else { "They lose this project at once." }}</p>
                    <button type="submit" class="button danger">{label}</button>
                </form>
            </details>
        }
    });
    view! {
        <li>
            <div><p>{called.clone()}{me.then_some(" (you)")}</p><p class="quiet">{role.called()}" · "{email}</p></div>
            {choice}{remove}
        </li>
    }
}

/// Puts somebody in.
#[component]
fn Putter(project: String, here: String, owned: bool, back: Option<FormBack>) -> impl IntoView {
    let email = back.as_ref().map(|b| b.typed("email")).unwrap_or_default();
    let role = back.as_ref().map(|b| b.typed("role")).unwrap_or_else(|| ProjectRole::Contributor.as_str().to_owned());
    let error = back.and_then(|b| b.error);
    let roles = PROJECT_ROLES.into_iter().filter(|&r| owned || r != ProjectRole::Owner);
    view! {
        <form method="post" action=format!("{here}?do=put-person")>
            <FormError error=error.clone() fields=&["email"]/>
            <input type="hidden" name="project" value=project/>
            <Field name="email" label="Add a member of the workspace" kind="email" hint="Their e-mail address." value=email error/>
            <div class="field">
                <label for="role">"Role"</label>
                <select id="role" name="role">
                    {roles.map(|r| view! { <option value=r.as_str() selected=r.as_str() == role>{r.called()}</option> }).collect_view()}
                </select>
            </div>
            <button type="submit" class="button">"Add"</button>
        </form>
    }
}

/// Name, archive, deletion.
#[component]
fn Keeper(
    project: Project,
    here: String,
    place: String,
    changing: Option<FormBack>,
    deleting: Option<FormBack>,
) -> impl IntoView {
    let typed = |field: &str, stored: &str| changing.as_ref().map_or(stored.to_owned(), |b| b.typed(field));
    let (name, description) = (typed("name", &project.name), typed("description", &project.description));
    let error = changing.as_ref().and_then(|b| b.error.clone());
    let confirmed = deleting.as_ref().map(|b| b.typed("name")).unwrap_or_default();
    let deletion = deleting.and_then(|b| b.error);
    let id = project.id.to_string();
    let (to, word) =
        if project.archived { ("false", "Take it out of the archive") } else { ("true", "Archive this project") };
    view! {
        <section>
            <h2>"Name and description"</h2>
            <form method="post" action=format!("{here}?do=change-project")>
                <FormError error=error.clone() fields=&["name", "description"]/>
                <input type="hidden" name="project" value=id.clone()/>
                <Field name="name" label="Name" value=name error=error.clone()/>
                <Paragraph name="description" label="What it is for" value=description hint="Everybody in the project reads it." error/>
                <button type="submit" class="button primary">"Save"</button>
            </form>
        </section>
        <section>
            <h2>"Archive"</h2>
            <p>"An archived project stands in a list of its own. Nothing of it is lost."</p>
            <form method="post" action=format!("{here}?do=archive-project")>
                <input type="hidden" name="project" value=id.clone()/>
                <button type="submit" class="button" name="archived" value=to>{word}</button>
            </form>
        </section>
        <section>
            <h2>"Delete"</h2>
            <p>"The project and everything in it are deleted for good. It can't be undone."</p>
            <form method="post" action=format!("{here}?do=delete-project")>
                <FormError error=deletion.clone() fields=&["name"]/>
                <input type="hidden" name="project" value=id/>
                <input type="hidden" name="place" value=place/>
                <p>"To go on, type "<strong>{project.name}</strong></p>
                <Field name="name" id="delete-name" label="Name of the project" value=confirmed error=deletion/>
                <button type="submit" class="button danger">"Delete this project"</button>
            </form>
        </section>
    }
}
