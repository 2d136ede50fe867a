//! The e-mail domains of a workspace, and what somebody's own address lets them into. Plain pages.

use leptos::prelude::*;

use super::{
    model::{DomainOffer, DomainRow, record},
    server_fns::{list_domains, list_offers},
};
use crate::{
    accounts::model::ago,
    error::AppError,
    types::MemberRole,
    ui::{
        form::{Field, FormError, form_back},
        notice::Failed,
    },
    workspaces::page::{place, with_workspace},
};

/// The list, with what to set in DNS for each.
#[component]
pub fn Domains() -> impl IntoView {
    let back = form_back(&["add-domain"]);
    let refused = form_back(&["check-domain", "remove-domain"]).and_then(|b| b.error);
    with_workspace("E-mail domains", move |workspace| {
        if workspace.personal {
            return view! { <p>"Nobody else can be in a personal workspace. "<a class="link" href="/workspaces">"Make one to share"</a></p> }.into_any();
        }
        if !workspace.role.manages() {
            return view! { <Failed error=AppError::Forbidden/> }.into_any();
        }
        let place = place();
        let owner = workspace.role == MemberRole::Owner;
        let typed = back.as_ref().map(|b| b.typed("domain")).unwrap_or_default();
        let error = back.and_then(|b| b.error);
        let add = format!("/w/{place}/domains?do=add-domain");
        view! {
            <p>"Whoever has a confirmed address at a proven domain can join this workspace as a member. Addresses below it, like those at mail.acme.example for acme.example, do not count."</p>
            <p class="quiet">"Whoever is in stays in when a domain is removed or its proof ends."</p>
            <FormError error=refused fields=&[]/>
            <Suspense>
                {Suspend::new(async move {
                    match list_domains().await {
                        Ok(rows) if rows.is_empty() => view! { <p class="quiet">"No domain is named yet."</p> }.into_any(),
                        Ok(rows) => view! {
                            <ul class="facts">{rows.into_iter().map(|row| line(row, owner, &place)).collect_view()}</ul>
                        }.into_any(),
                        Err(error) => view! { <Failed error/> }.into_any(),
                    }
                })}
            </Suspense>
            {if owner {
                view! {
                    <section>
                        <h2>"Add a domain"</h2>
                        <form method="post" action=add>
                            <FormError error=error.clone() fields=&["domain"]/>
                            <Field name="domain" label="Domain" value=typed hint="As it stands behind the @ of your addresses: acme.example" error/>
                            <button type="submit" class="button primary">"Add"</button>
                        </form>
                    </section>
                }.into_any()
            } else {
                view! { <p class="quiet">"Owners add and remove domains."</p> }.into_any()
            }}
        }
        .into_any()
    })
}

fn line(row: DomainRow, owner: bool, place: &str) -> impl IntoView {
    let DomainRow { id, domain, value, proven, checked, days } = row;
    let action = |what: &str| format!("/w/{place}/domains?do={what}");
    let (check, remove) = (action("check-domain"), action("remove-domain"));
    let is = match (proven, days) {
        (true, Some(1)) => "Proven. The record has gone: the proof ends within a day.".to_owned(),
        (true, Some(days)) => format!("Proven. The record has gone: the proof ends in {days} days."),
        (true, None) => "Proven".to_owned(),
        (false, _) => "Not proven".to_owned(),
    };
    let worry = proven && days.is_some();
    let looked = checked.map(|seconds| format!("Looked {}", ago(seconds)));
    let buttons = owner.then(|| {
        view! {
            <div class="row buttons">
                <form method="post" action=check>
                    <input type="hidden" name="domain" value=id.to_string()/>
                    <button type="submit" class="button" aria-label=format!("Check {domain} now")>"Check now"</button>
                </form>
                <details class="sure">
                    <summary class="button danger" aria-label=format!("Remove {domain}")>"Remove"</summary>
                    <form method="post" action=remove>
                        <input type="hidden" name="domain" value=id.to_string()/>
                        <p class="quiet">"Nobody joins by it any more. Whoever is in stays."</p>
                        <button type="submit" class="button danger">"Remove this domain"</button>
                    </form>
                </details>
            </div>
        }
    });
    view! {
        <li>
            <div>
                <p><strong>{domain.clone()}</strong></p>
                <p class="field-note" class:bad=worry>{is}</p>
                {looked.map(|looked| view! { <p class="quiet">{looked}</p> })}
                <p class="quiet">{if proven { "Keep this record in its DNS:" } else { "To prove it, set this record in its DNS:" }}</p>
                <dl class="record">
                    <dt>"Type"</dt><dd><code>"TXT"</code></dd>
                    <dt>"Name"</dt><dd><code>{record(&domain)}</code></dd>
                    <dt>"Value"</dt><dd><code>{value}</code></dd>
                </dl>
                {buttons}
            </div>
        </li>
    }
}

/// What the reader's own address lets them into, on the page of their workspaces.
#[component]
pub fn Offers() -> impl IntoView {
    let refused = form_back(&["join-by-domain"]).and_then(|b| b.error);
    let offer = |DomainOffer { id, workspace, domain }: DomainOffer| {
        view! {
            <li>
                <div><p>{format!("You can join {workspace}")}</p><p class="quiet">{format!("Your address is at {domain}")}</p></div>
                <form method="post" action="/workspaces?do=join-by-domain">
                    <input type="hidden" name="domain" value=id.to_string()/>
                    <button type="submit" class="button primary" aria-label=format!("Join {workspace}")>"Join"</button>
                </form>
            </li>
        }
    };
    view! {
        <FormError error=refused fields=&[]/>
        <Suspense>
            {Suspend::new(async move {
                let offers = list_offers().await.unwrap_or_default();
                (!offers.is_empty()).then(|| view! { <ul class="facts">{offers.into_iter().map(offer).collect_view()}</ul> })
            })}
        </Suspense>
    }
}
