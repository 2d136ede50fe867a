//! Inviting people, and the page that an invitation's link opens. Plain pages.

use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;

use super::{
    model::{InvitationRow, Invited, Offer, OfferState, Outcome, Reader},
    server_fns::{list_invitations, read_invitation},
};
use crate::{
    error::AppError,
    projects::{model::PROJECT_ROLES, server_fns::list_projects},
    types::{MemberRole, ProjectRole},
    ui::{
        form::{Field, FormBack, FormError, Paragraph, form_answer, form_back},
        notice::{Failed, page_status},
    },
    workspaces::{
        model::{MEMBER_ROLES, Workspace},
        page::{place, with_workspace},
    },
};

/// Whom somebody may invite, and who is invited.
#[component]
pub fn Invitations() -> impl IntoView {
    let told = form_answer::<Vec<Invited>>(&["invite", "resend-invitation"]);
    let back = form_back(&["invite"]);
    let refused = form_back(&["resend-invitation", "set-invited-role", "revoke-invitation"]).and_then(|b| b.error);
    with_workspace("Invitations", move |workspace| {
        if workspace.personal {
            return view! { <p>"Nobody else can be in a personal workspace. "<a class="link" href="/workspaces">"Make one to share"</a></p> }.into_any();
        }
        if !workspace.role.manages() {
            return view! { <Failed error=AppError::Forbidden/> }.into_any();
        }
        let place = place();
        let wrong = told.iter().flatten().filter(|one| one.outcome == Outcome::Wrong).map(|one| one.email.clone());
        let wrong = wrong.collect::<Vec<_>>().join("\n");
        view! {
            {told.map(|told| view! { <Told told/> })}
            <FormError error=refused fields=&[]/>
            <Inviter workspace=workspace.clone() place=place.clone() back wrong/>
            <section>
                <h2>"Open invitations"</h2>
                <Suspense>
                    {Suspend::new(async move {
                        match list_invitations().await {
                            Ok(rows) if rows.is_empty() => view! { <p class="quiet">"Nobody is invited at the moment."</p> }.into_any(),
                            Ok(rows) => view! {
                                <ul class="facts">{rows.into_iter().map(|row| open(row, workspace.role, &place)).collect_view()}</ul>
                            }.into_any(),
                            Err(error) => view! { <Failed error/> }.into_any(),
                        }
                    })}
                </Suspense>
            </section>
        }
        .into_any()
    })
}

/// A line for each address.
#[component]
fn Told(told: Vec<Invited>) -> impl IntoView {
    let line = |Invited { email, outcome }: Invited| {
        let bad = outcome == Outcome::Wrong;
        let text = outcome.called();
        let link = match outcome {
            Outcome::Link(link) => Some(view! { <p><code class="secret">{link}</code></p> }),
            _ => None,
        };
        view! { <li><div><p>{email}</p><p class="field-note" class:bad=bad>{text}</p>{link}</div></li> }
    };
    view! {
        <section role="status">
            <h2>"What came of it"</h2>
            <ul class="facts">{told.into_iter().map(line).collect_view()}</ul>
        </section>
    }
}

#[component]
fn Inviter(
    workspace: Workspace,
    place: String,
    back: Option<FormBack>,
    /// What was no address the last time, to be mended.
    wrong: String,
) -> impl IntoView {
    let typed = |field: &str| back.as_ref().map(|b| b.typed(field)).unwrap_or_default();
    let (mut emails, role, project_role) = (typed("emails"), typed("role"), typed("project_role"));
    if back.is_none() {
        emails = wrong;
    }
    let role = if back.is_some() { role } else { MemberRole::ProjectCreator.as_str().to_owned() };
    let chosen: Vec<String> = back
        .iter()
        .flat_map(|b| b.fields.iter().filter(|(name, _)| name == "projects[]").map(|(_, value)| value.clone()))
        .collect();
    let error = back.as_ref().and_then(|b| b.error.clone());
    let wrong_role = match &error {
        Some(AppError::Invalid { field, why }) if field == "role" => Some(why.clone()),
        _ => None,
    };
    let bad_role = wrong_role.is_some();
    let roles =
        MEMBER_ROLES.into_iter().rev().filter(|&r| workspace.role == MemberRole::Owner || r != MemberRole::Owner);
    view! {
        <form method="post" action=format!("/w/{place}/invitations?do=invite")>
            <FormError error=error.clone() fields=&["emails", "role"]/>
            <Paragraph name="emails" label="E-mail addresses" value=emails hint="One or many, as you would paste them into a mail. 100 at most." error/>
            <div class="field">
                <label for="role">"As"</label>
                <select id="role" name="role" aria-describedby="role-note">
                    {roles.map(|r| view! { <option value=r.as_str() selected=r.as_str() == role>{r.called()}</option> }).collect_view()}
                    <option value="" selected=role.is_empty()>"Guest of projects alone"</option>
                </select>
                <p id="role-note" class="field-note" class:bad=bad_role>
                    {wrong_role.unwrap_or_else(|| "A guest sees the projects chosen below and nothing else.".to_owned())}
                </p>
            </div>
            <Suspense>
                {Suspend::new(async move {
                    let projects = list_projects(String::new(), false, None).await.map(|page| page.rows).unwrap_or_default();
                    (!projects.is_empty()).then(|| view! {
                        <fieldset class="field">
                            <legend>"Into these projects"</legend>
                            {projects.into_iter().map(|row| {
                                let id = row.id.to_string();
                                let checked = chosen.contains(&id);
                                view! { <label class="tick"><input type="checkbox" name="projects[]" value=id checked=checked/>{row.name}</label> }
                            }).collect_view()}
                            <label>"As "<select name="project_role">
                                {PROJECT_ROLES.into_iter().filter(|r| *r != ProjectRole::Owner).map(|r| {
                                    let selected = if project_role.is_empty() { r == ProjectRole::Contributor } else { r.as_str() == project_role };
                                    view! { <option value=r.as_str() selected=selected>{r.called()}</option> }
                                }).collect_view()}
                            </select></label>
                        </fieldset>
                    })
                })}
            </Suspense>
            <button type="submit" class="button primary">"Invite"</button>
        </form>
    }
}

fn open(row: InvitationRow, mine: MemberRole, place: &str) -> impl IntoView {
    let InvitationRow { id, email, role, projects, days } = row;
    let action = |what: &str| format!("/w/{place}/invitations?do={what}");
    let is = role.map_or("Guest", MemberRole::called);
    let into = if projects.is_empty() { String::new() } else { format!(" · {}", projects.join(", ")) };
    let until = match days {
        Some(1) => " · its link works for a day".to_owned(),
        Some(days) => format!(" · its link works for {days} days"),
        None => " · its link has run out".to_owned(),
    };
    let choice = role.map(|role| {
        let roles = MEMBER_ROLES.into_iter().filter(|&r| r == role || mine.may(role, Some(r)));
        view! {
            <form method="post" action=action("set-invited-role") class="row">
                <input type="hidden" name="invitation" value=id.to_string()/>
                <select name="role" aria-label=format!("Role for {email}")>
                    {roles.map(|r| view! { <option value=r.as_str() selected=r == role>{r.called()}</option> }).collect_view()}
                </select>
                <button type="submit" class="button" aria-label=format!("Save the role for {email}")>"Save"</button>
            </form>
        }
    });
    let (again, revoke) = (action("resend-invitation"), action("revoke-invitation"));
    view! {
        <li>
            <div><p>{email.clone()}</p><p class="quiet">{is}{into}{until}</p></div>
            {choice}
            <form method="post" action=again>
                <input type="hidden" name="invitation" value=id.to_string()/>
                <button type="submit" class="button" aria-label=format!("Invite {email} again")>"Invite again"</button>
            </form>
            <form method="post" action=revoke>
                <input type="hidden" name="invitation" value=id.to_string()/>
                <button type="submit" class="button danger" aria-label=format!("Take back the invitation of {email}")>"Take back"</button>
            </form>
        </li>
    }
}

/// What an invitation leads to, and the one way in for whoever looks.
#[component]
pub fn Invitation() -> impl IntoView {
    let back = form_back(&["accept-invitation", "accept-as-new"]);
    let token = match &back {
        Some(back) => back.typed("token"),
        None => use_query_map().read_untracked().get("t").unwrap_or_default(),
    };
    let error = back.and_then(|b| b.error);
    view! {
        <Title text="Your invitation"/>
        <main class="page narrow">
            <Suspense>
                {Suspend::new(async move {
                    match read_invitation(token.clone()).await {
                        Ok(offer) if offer.state == OfferState::Good => view! { <Offered offer token error/> }.into_any(),
                        Ok(offer) => {
                            page_status(410);
                            let what = if offer.state == OfferState::Used { "This invitation was used already" } else { "This invitation has run out" };
                            view! {
                                <h1>{what}</h1>
                                {match offer.place {
                                    Some(place) => view! { <p><a class="button primary" href=format!("/w/{place}")>{format!("Go to {}", offer.workspace)}</a></p> }.into_any(),
                                    None => view! { <p>"Ask whoever invited you for another one."</p> }.into_any(),
                                }}
                            }.into_any()
                        }
                        Err(AppError::NotFound) => {
                            page_status(404);
                            view! {
                                <h1>"This invitation is not valid"</h1>
                                <p>"It may have been taken back, or sent again since: then the newest link works. Or a part of the link is missing."</p>
                                <p><a class="link" href="/">"Go to the start page"</a></p>
                            }.into_any()
                        }
                        Err(error) => view! { <Failed error/> }.into_any(),
                    }
                })}
            </Suspense>
        </main>
    }
}

#[component]
fn Offered(offer: Offer, token: String, error: Option<AppError>) -> impl IntoView {
    let Offer { workspace, projects, role, inviter, email, reader, place, .. } = offer;
    let by = inviter.map_or_else(|| "You are invited".to_owned(), |name| format!("{name} invites you"));
    let into = match role {
        Some(MemberRole::Owner) => format!("{by} to the workspace as an owner."),
        Some(MemberRole::Admin) => format!("{by} to the workspace as an admin."),
        Some(MemberRole::ProjectCreator) => format!("{by} to the workspace as a member."),
        None => format!("{by} as a guest. You will see nothing else of the workspace."),
    };
    let many = !projects.is_empty();
    let here = format!("/invitation?t={token}").replace('/', "%2F").replace('?', "%3F").replace('=', "%3D");
    view! {
        <h1>{workspace.clone()}</h1>
        <p>{into}</p>
        {many.then(|| view! { <p>"Projects: "<strong>{projects.join(", ")}</strong></p> })}
        <p class="quiet">"The invitation is for "<strong>{email.clone()}</strong></p>
        {place.map(|place| view! { <p>"You are in this workspace already. "<a class="link" href=format!("/w/{place}")>"Go there"</a></p> })}
        {match reader {
            Reader::Invited => view! {
                <form method="post" action="/invitation?do=accept-invitation">
                    <FormError error fields=&[]/>
                    <input type="hidden" name="token" value=token/>
                    <button type="submit" class="button primary wide">{format!("Join {workspace}")}</button>
                </form>
            }.into_any(),
            Reader::Other(mine) => view! {
                <p>"You are signed in as "<strong>{mine}</strong>". Sign out to come in as whom it is for."</p>
                <form method="post" action="/chat?do=sign-out">
                    <input type="hidden" name="next" value=format!("/invitation?t={token}")/>
                    <button type="submit" class="button wide">"Sign out"</button>
                </form>
            }.into_any(),
            Reader::HasAccount => view! {
                <p>"This address has an account. Sign in to it first."</p>
                <p><a class="button primary wide" href=format!("/sign-in?next={here}")>"Sign in"</a></p>
            }.into_any(),
            Reader::New => view! {
                <form method="post" action="/invitation?do=accept-as-new">
                    <FormError error=error.clone() fields=&["password"]/>
                    <input type="hidden" name="token" value=token/>
                    <input type="hidden" autocomplete="username" value=email/>
                    <Field name="password" label="Choose a password" kind="password" autocomplete="new-password" hint="At least 10 characters." min_length="10" error/>
                    <button type="submit" class="button primary wide">{format!("Create an account and join {workspace}")}</button>
                </form>
            }.into_any(),
        }}
    }
}
