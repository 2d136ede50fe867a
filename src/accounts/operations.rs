//! The page of a super user: accounts, and who gets in. It shows nothing that is in them.

use leptos::prelude::*;
use leptos_meta::Title;

use super::{
    model::{AccountRow, STATUSES},
    page::asked,
    server_fns::find_accounts,
};
use crate::ui::{
    form::{FormError, form_back},
    notice::Failed,
};

#[component]
pub fn Operations() -> impl IntoView {
    let (search, status) = (asked("q"), asked("status"));
    let refused = form_back(&["set-account-status"]).and_then(|b| b.error);
    let (typed, chosen) = (search.clone(), status.clone());
    view! {
        <Title text="Accounts"/>
        <main class="page">
            <p><a class="link" href="/chat">"Your chats"</a></p>
            <h1>"Accounts"</h1>
            <FormError error=refused fields=&[]/>
            <Suspense>
                {Suspend::new(async move {
                    let known = STATUSES.into_iter().find(|s| s.as_str() == status);
                    match find_accounts(search, known).await {
                        Ok(rows) => view! {
                            <form method="get" class="filters" role="search">
                                <label>"Search"<input type="search" name="q" value=typed/></label>
                                <label>"Status"<select name="status">
                                    <option value="">"All"</option>
                                    {STATUSES.into_iter().map(|s| view! { <option value=s.as_str() selected=s.as_str() == chosen>{s.called()}</option> }).collect_view()}
                                </select></label>
                                <button type="submit" class="button">"Show"</button>
                            </form>
                            {rows.is_empty().then(|| view! { <p class="quiet">"No account fits that."</p> })}
                            <ul class="facts">{rows.into_iter().map(|row| view! { <Line row/> }).collect_view()}</ul>
                        }.into_any(),
                        Err(error) => view! { <Failed error/> }.into_any(),
                    }
                })}
            </Suspense>
        </main>
    }
}

#[component]
fn Line(row: AccountRow) -> impl IntoView {
    let called = if row.name.is_empty() { row.email.clone() } else { row.name.clone() };
    let choice = (!row.superuser).then(|| {
        view! {
            <form method="post" action="/operations?do=set-account-status" class="row">
                <input type="hidden" name="user" value=row.id.to_string()/>
                <select name="status" aria-label=format!("Status of {called}")>
                    {STATUSES.into_iter().map(|s| view! { <option value=s.as_str() selected=s == row.status>{s.called()}</option> }).collect_view()}
                </select>
                <button type="submit" class="button" aria-label=format!("Save the status of {called}")>"Save"</button>
            </form>
        }
    });
    view! {
        <li>
            <div><p>{called.clone()}</p><p class="quiet">{row.email}" · "{row.status.called()}{row.superuser.then_some(" · super user")}</p></div>
            {choice}
        </li>
    }
}
