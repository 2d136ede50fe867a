use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use super::server_fns::list_projects;
use crate::{
    types::ClientId,
    ui::{
        form::{Field, FormError, form_back},
        notice::Failed,
    },
    workspaces::page::place,
};

/// The projects of the workspace in the page's address, with a search and a form for a new one.
#[component]
pub fn ProjectList() -> impl IntoView {
    let query = use_query_map();
    let asked = |name: &str| query.read_untracked().get(name).unwrap_or_default();
    let (search, archived, after) = (asked("q"), asked("view") == "archived", query.read_untracked().get("after"));
    let back = form_back(&["make-project"]);
    let typed = back.as_ref().map(|b| b.typed("name")).unwrap_or_default();
    // A form that came back keeps its id: the first try may have made the project.
    let id = back.as_ref().map(|b| b.typed("client")).filter(|id| id.parse::<ClientId>().is_ok());
    let id = id.unwrap_or_else(|| ClientId::fresh().to_string());
    let error = back.and_then(|b| b.error);
    let place = place();
    let action = format!("/w/{place}?do=make-project");
    let looked_for = search.clone();
    view! {
        <h2>{if archived { "Archived projects" } else { "Projects" }}</h2>
        <form method="get" class="filters" role="search">
            <label>"Search projects"<input type="search" name="q" value=search.clone()/></label>
            <button type="submit" class="button">"Search"</button>
        </form>
        <Suspense>
            {Suspend::new(async move {
                match list_projects(search, archived, after).await {
                    Ok(page) if page.rows.is_empty() => {
                        let none = match (looked_for.is_empty(), archived) {
                            (false, _) => "No project of yours is called that.",
                            (true, true) => "No project is archived.",
                            (true, false) => "You are in no project yet.",
                        };
                        view! { <p class="quiet">{none}</p> }.into_any()
                    }
                    Ok(page) => view! {
                        <ul class="facts">{page.rows.into_iter().map(|row| view! {
                            <li><div>
                                <a class="link" href=format!("/w/{place}/projects/{}", row.id)>{row.name}</a>
                                {(row.archived && !archived).then_some(" · archived")}
                            </div></li>
                        }).collect_view()}</ul>
                        {page.next.map(|after| view! {
                            <form method="get">
                                <input type="hidden" name="view" value=if archived { "archived" } else { "" }/>
                                <input type="hidden" name="after" value=after/>
                                <button type="submit" class="button">"Next page"</button>
                            </form>
                        })}
                    }.into_any(),
                    Err(error) => view! { <Failed error/> }.into_any(),
                }
            })}
        </Suspense>
        <p>{if archived {
            view! { <a class="link" href="?">"Show the other projects"</a> }
        } else {
            view! { <a class="link" href="?view=archived">"Show archived projects"</a> }
        }}</p>
        <section>
            <h2>"New project"</h2>
            <form method="post" action=action>
                <FormError error=error.clone() fields=&["name"]/>
                <input type="hidden" name="client" value=id/>
                <Field name="name" label="Name" value=typed error/>
                <button type="submit" class="button primary">"Make project"</button>
            </form>
        </section>
    }
}
