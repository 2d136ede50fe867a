//! The pages of a workspace: the list of them, one's own page, its members, its settings. Plain pages: tables and forms.

use leptos::{nonce::use_nonce, prelude::*};
use leptos_meta::Title;
use leptos_router::{
    hooks::{use_params_map, use_query_map},
    location::Url,
};

use super::{
    model::{COLOURS, MEMBER_ROLES, MemberPage, MemberRow, Place, STATUSES, Sort, Wanted, Workspace},
    server_fns::{count_members, list_members, list_places, read_workspace},
};
use crate::{
    accounts::model::ago,
    conversations::parts::Standing,
    domains::page::Offers,
    projects::parts::ProjectList,
    types::{MemberRole, UserStatus},
    ui::{
        form::{Field, FormError, Paragraph, form_back},
        notice::Failed,
    },
};

/// The place in this page's address, as it stands there.
pub fn place() -> String {
    use_params_map().read_untracked().get("place").unwrap_or_default()
}

/// Everywhere that somebody belongs, and a form for a new workspace.
#[component]
pub fn Workspaces() -> impl IntoView {
    let back = form_back(&["make-workspace"]);
    let name = back.as_ref().map(|b| b.typed("name")).unwrap_or_default();
    let error = back.and_then(|b| b.error);
    let refused = form_back(&["restore-workspace"]).and_then(|b| b.error);
    view! {
        <Title text="Workspaces"/>
        <main class="page">
            <p><a class="link" href="/chat">"Your chats"</a></p>
            <h1>"Workspaces"</h1>
            <FormError error=refused fields=&[]/>
            <Offers/>
            <Suspense>
                {Suspend::new(async move {
                    match list_places().await {
                        Ok(places) => view! { <ul class="facts">{places.into_iter().map(line).collect_view()}</ul> }.into_any(),
                        Err(error) => view! { <Failed error/> }.into_any(),
                    }
                })}
            </Suspense>
            <section>
                <h2>"New workspace"</h2>
                <p>"People whom you invite see what is in it. Your chats stay yours alone."</p>
                <form method="post" action="/workspaces?do=make-workspace">
                    <FormError error=error.clone() fields=&["name"]/>
                    <Field name="name" label="Name" value=name error/>
                    <button type="submit" class="button primary">"Make workspace"</button>
                </form>
            </section>
        </main>
    }
}

fn line(place: Place) -> impl IntoView {
    let (href, is) = (place.href(), place.is.called());
    let what = if place.personal { "Yours alone".to_owned() } else { is };
    if place.deleted {
        return view! {
            <li>
                <div><p>{place.workspace.clone()}</p><p class="quiet">"Deleted. It goes for good 30 days after that."</p></div>
                <form method="post" action="/workspaces?do=restore-workspace">
                    <input type="hidden" name="place" value=place.id.to_string()/>
                    <button type="submit" class="button" aria-label=format!("Take {} back", place.workspace)>"Take back"</button>
                </form>
            </li>
        }
        .into_any();
    }
    view! { <li><div><p><a class="link" href=href>{place.workspace}</a></p><p class="quiet">{what}</p></div></li> }
        .into_any()
}

/// Draws a page for the workspace in its address, under its name.
pub fn with_workspace<V: IntoView + 'static>(
    title: &'static str,
    draw: impl FnOnce(Workspace) -> V + Send + 'static,
) -> impl IntoView {
    let place = place();
    view! {
        <main class="page">
            <Suspense>
                {Suspend::new(async move {
                    match read_workspace().await {
                        Ok(workspace) => {
                            let (name, colour) = (workspace.name.clone(), workspace.colour.as_str());
                            view! {
                                <Title text=if title.is_empty() { name.clone() } else { format!("{title} · {name}") }/>
                                <div class="looks" data-colour=colour>
                                    <Trail place name here=title manages=workspace.role.manages()/>
                                    <h1>{if title.is_empty() { workspace.name.clone() } else { title.to_owned() }}</h1>
                                    {draw(workspace)}
                                </div>
                            }.into_any()
                        }
                        Err(error) => view! { <Failed error/> }.into_any(),
                    }
                })}
            </Suspense>
        </main>
    }
}

/// The way up, and to the other pages of the workspace.
#[component]
pub fn Trail(place: String, name: String, here: &'static str, manages: bool) -> impl IntoView {
    let to = move |path: &str, text: &'static str| {
        let current = (text == here || (here.is_empty() && path.is_empty())).then_some("page");
        view! { <a class="link" href=format!("/w/{place}{path}") aria-current=current>{text}</a> }
    };
    let (overview, desk) = (to("", "Overview"), to("/desk", "Desk"));
    let (members, settings) = (to("/members", "Members"), to("/settings", "Settings"));
    let audit = manages.then(|| to("/audit", "Audit trail"));
    view! {
        <nav class="trail" aria-label="Workspace">
            <a class="link" href="/workspaces">"Workspaces"</a>
            <span class="quiet">{name}</span>
            {overview}{desk}{members}{settings}{audit}
        </nav>
    }
}

/// A workspace's own page: what it is for, and its projects.
#[component]
pub fn WorkspaceHome() -> impl IntoView {
    with_workspace("", |workspace| {
        let people = async |personal: bool| match (personal, count_members().await) {
            (true, _) => "Nobody else can be in it.".to_owned(),
            (false, Ok(1)) => "You alone are in it.".to_owned(),
            (false, Ok(many)) => format!("{many} people are in it."),
            (false, Err(error)) => error.to_string(),
        };
        view! {
            {(!workspace.company.is_empty()).then(|| view! { <p class="quiet">{workspace.company.clone()}</p> })}
            {(!workspace.description.is_empty()).then(|| view! { <p class="said">{workspace.description.clone()}</p> })}
            <p class="quiet"><Suspense>{Suspend::new(people(workspace.personal))}</Suspense></p>
            <ProjectList/>
        }
    })
}

/// The members, narrowed and sorted by a form that only asks.
#[component]
pub fn Members() -> impl IntoView {
    let query = use_query_map();
    let wanted = query.with_untracked(|query| Wanted::of(|name| query.get(name)));
    let error = form_back(&["set-role", "remove-member"]).and_then(|b| b.error);
    with_workspace("Members", move |workspace| {
        let place = place();
        view! {
            <FormError error fields=&[]/>
            {(workspace.role.manages() && !workspace.personal).then(|| view! {
                <p><a class="button primary" href=format!("/w/{place}/invitations")>"Invite people"</a></p>
            })}
            <form method="get" class="filters" role="search">
                <label>"Search"<input type="search" name="q" value=wanted.search.clone()/></label>
                <label>"Role"<select name="role">
                    <option value="">"All"</option>
                    {MEMBER_ROLES.into_iter().map(|r| view! { <option value=r.as_str() selected=wanted.role == Some(r)>{r.called()}</option> }).collect_view()}
                </select></label>
                <label>"Status"<select name="status">
                    <option value="">"All"</option>
                    {STATUSES.into_iter().map(|s| view! { <option value=s.as_str() selected=wanted.status == Some(s)>{s.called()}</option> }).collect_view()}
                </select></label>
                <label>"Sort by"<select name="sort">
                    {Sort::ALL.into_iter().map(|s| view! {
                        <option value=s.as_str() selected=wanted.sort == s>{match s {
                            Sort::Name => "Name",
                            Sort::Joined => "Joined last",
                            Sort::Seen => "Seen last",
                        }}</option>
                    }).collect_view()}
                </select></label>
                <button type="submit" class="button">"Show"</button>
            </form>
            <Suspense>
                {Suspend::new(async move {
                    let Wanted { search, role, status, sort, after } = wanted.clone();
                    match list_members(search, role, status, sort, after).await {
                        Ok(page) => {
                            let (pos, at) = (page.pos, place.clone());
                            view! {
                            <div data-place=at data-pos=pos>
                                <Standing/>
                                <div id="members" data-region=""><MemberTable page wanted mine=workspace.role place/></div>
                            </div>
                            {pos.is_some().then(|| view! {
                                <link rel="stylesheet" href="/desk.css"/>
                                <script type="module" src="/desk.js" nonce=use_nonce()></script>
                            })}
                        }
                        .into_any()
                        }
                        Err(error) => view! { <Failed error/> }.into_any(),
                    }
                })}
            </Suspense>
        }
    })
}

#[component]
fn MemberTable(page: MemberPage, wanted: Wanted, mine: MemberRole, place: String) -> impl IntoView {
    if page.rows.is_empty() {
        return view! { <p class="quiet">"Nobody here fits that. "<a class="link" href=format!("/w/{place}/members")>"Show everybody"</a></p> }
            .into_any();
    }
    let next = page.next.map(|after| {
        let fields = wanted.fields().into_iter().chain([("after", after)]);
        view! {
            <form method="get">
                {fields.map(|(name, value)| view! { <input type="hidden" name=name value=value/> }).collect_view()}
                <button type="submit" class="button">"Next page"</button>
            </form>
        }
    });
    // What was searched for, and the page, are still there when a form has been sent.
    let asked = wanted.fields().into_iter().chain([("after", wanted.after.clone().unwrap_or_default())]);
    let asked = asked.filter(|(_, value)| !value.is_empty());
    let asked: String = asked.map(|(name, value)| format!("{name}={}&", Url::escape(&value))).collect();
    let here = format!("/w/{place}/members?{asked}");
    view! {
        <div class="table">
            // With roles, since a phone shows the lines as blocks, and those have none of their own.
            <table role="table">
                <thead><tr role="row"><th scope="col">"Name"</th><th scope="col">"Role"</th><th scope="col">"Status"</th><th scope="col">"Last seen"</th><th scope="col"><span class="unseen">"Actions"</span></th></tr></thead>
                <tbody role="rowgroup">{page.rows.into_iter().map(|row| member(row, mine, &here)).collect_view()}</tbody>
            </table>
        </div>
        {next}
    }
    .into_any()
}

fn member(row: MemberRow, mine: MemberRole, here: &str) -> impl IntoView {
    let MemberRow { id, name, email, role, status, seen, me } = row;
    let called = if name.is_empty() { email.clone() } else { name.clone() };
    let below = (!name.is_empty()).then_some(email);
    let roles: Vec<_> = MEMBER_ROLES.into_iter().filter(|&r| r == role || mine.may(role, Some(r))).collect();
    let action = |what: &str| format!("{here}do={what}");
    let change = action("set-role");
    let remove = (mine.may(role, None) && !me).then(|| action("remove-member"));
    let choice = if roles.len() > 1 {
        view! {
            <form method="post" action=change class="row">
                <input type="hidden" name="member" value=id.to_string()/>
                <select name="role" aria-label=format!("Role of {called}")>
                    {roles.into_iter().map(|r| view! { <option value=r.as_str() selected=r == role>{r.called()}</option> }).collect_view()}
                </select>
                <button type="submit" class="button" aria-label=format!("Save the role of {called}")>"Save"</button>
            </form>
        }
        .into_any()
    } else {
        role.called().into_any()
    };
    view! {
        <tr role="row">
            <td role="cell"><p>{called.clone()}{me.then_some(" (you)")}</p>{below.map(|email| view! { <p class="quiet">{email}</p> })}</td>
            <td role="cell">{choice}</td>
            <td role="cell" class:bad=status == UserStatus::Banned>{status.called()}</td>
            <td role="cell">{ago(seen)}</td>
            <td role="cell">{remove.map(|action| view! {
                <details class="sure">
                    <summary class="button danger" aria-label=format!("Remove {called}")>"Remove"</summary>
                    <form method="post" action=action>
                        <input type="hidden" name="member" value=id.to_string()/>
                        <p class="quiet">"They lose this workspace and its projects at once."</p>
                        <button type="submit" class="button danger">{format!("Remove {called}")}</button>
                    </form>
                </details>
            })}</td>
        </tr>
    }
}

/// What the workspace is called, leaving it, and taking it away.
#[component]
pub fn Settings() -> impl IntoView {
    let back = form_back(&["change-workspace"]);
    let leaving = form_back(&["leave-workspace"]).and_then(|b| b.error);
    let deleting = form_back(&["delete-workspace"]);
    with_workspace("Settings", move |workspace| {
        let place = place();
        let action = |what: &str| format!("/w/{place}/settings?do={what}");
        let (change, leave, delete) =
            (action("change-workspace"), action("leave-workspace"), action("delete-workspace"));
        let typed = |field: &str, stored: &str| back.as_ref().map_or(stored.to_owned(), |b| b.typed(field));
        let (name, description) = (typed("name", &workspace.name), typed("description", &workspace.description));
        let (company, colour) = (typed("company", &workspace.company), typed("colour", workspace.colour.as_str()));
        let error = back.as_ref().and_then(|b| b.error.clone());
        let confirmed = deleting.as_ref().map(|b| b.typed("name")).unwrap_or_default();
        let owner = workspace.role == MemberRole::Owner;
        view! {
            {workspace.role.manages().then(|| view! {
                <form method="post" action=change>
                    <FormError error=error.clone() fields=&["name", "company", "description"]/>
                    <Field name="name" label="Name" value=name error=error.clone()/>
                    <Field name="company" label="Company" required=false value=company hint="Members read it below the name." error=error.clone()/>
                    <Paragraph name="description" label="What it is for" value=description hint="Members read it on the workspace's page." error/>
                    <div class="field">
                        <label for="colour">"Colour of its pages"</label>
                        <select id="colour" name="colour">
                            {COLOURS.into_iter().map(|(one, called)| view! { <option value=one.as_str() selected=one.as_str() == colour>{called}</option> }).collect_view()}
                        </select>
                    </div>
                    <button type="submit" class="button primary">"Save"</button>
                </form>
            })}
            {(owner && !workspace.personal).then(|| view! {
                <section>
                    <h2>"E-mail domains"</h2>
                    <p>"Let everybody with an address at your own domain join by themselves."</p>
                    <p><a class="button" href=format!("/w/{place}/domains")>"Set up domains"</a></p>
                </section>
            })}
            {(!workspace.personal).then(|| view! {
                <section>
                    <h2>"Leave"</h2>
                    <p>"Once you have left, you see nothing of this workspace and are out of its projects. What you wrote in it stays."</p>
                    <FormError error=leaving fields=&[]/>
                    <details class="sure">
                        <summary class="button danger">"Leave"</summary>
                        <form method="post" action=leave>
                            <p class="quiet">"Others have to let you in again."</p>
                            <button type="submit" class="button danger">"Leave this workspace"</button>
                        </form>
                    </details>
                </section>
            })}
            {(owner && !workspace.personal).then(|| view! {
                <section>
                    <h2>"Delete"</h2>
                    <p>"Everybody loses the workspace at once. For 30 days an owner can take it back; then it is deleted for good."</p>
                    <form method="post" action=delete>
                        <FormError error=deleting.as_ref().and_then(|b| b.error.clone()) fields=&["name"]/>
                        <p>"To go on, type "<strong>{workspace.name.clone()}</strong></p>
                        <Field name="name" id="delete-name" label="Name of the workspace" value=confirmed error=deleting.and_then(|b| b.error)/>
                        <button type="submit" class="button danger">"Delete this workspace"</button>
                    </form>
                </section>
            })}
        }
    })
}
