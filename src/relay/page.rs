//! Setting up the relay: secrets of the programs that bring customers' words, addresses that answers go to, and what could not be
//! delivered. A plain page.

use leptos::prelude::*;

use super::{
    model::{Dead, Relay, Shown},
    server_fns::read_relay,
};
use crate::{
    accounts::model::ago,
    error::AppError,
    types::{SecretId, WebhookId},
    ui::{
        form::{Field, FormError, form_answer, form_back},
        notice::Failed,
    },
    workspaces::page::{place, with_workspace},
};

#[component]
pub fn RelayPage() -> impl IntoView {
    let refused = form_back(&["remove-relay-secret", "remove-webhook", "resend-delivery"]).and_then(|b| b.error);
    with_workspace("Relay", move |workspace| {
        if workspace.personal || !workspace.role.manages() {
            return view! { <Failed error=AppError::Forbidden/> }.into_any();
        }
        let place = place();
        view! {
            <p><a class="link" href=format!("/w/{place}/desk/set-up")>"Set up the desk"</a></p>
            <p>"For customers who write by other ways than the bubble: mail, a messenger, an app of yours. A program brings what they say, and what is answered goes to an address of yours."</p>
            <FormError error=refused fields=&[]/>
            <Suspense>
                {Suspend::new(async move {
                    match read_relay().await {
                        Ok(relay) => view! { <Parts relay place/> }.into_any(),
                        Err(error) => view! { <Failed error/> }.into_any(),
                    }
                })}
            </Suspense>
        }
        .into_any()
    })
}

/// What can be read at this moment alone.
fn once(forms: &'static [&'static str], what: &'static str) -> impl IntoView {
    form_answer::<Shown>(forms).map(|shown| {
        view! { <div class="done" role="status"><p>{what}</p><p><code class="snippet">{shown.secret}</code></p></div> }
    })
}

#[component]
fn Parts(relay: Relay, place: String) -> impl IntoView {
    let Relay { secrets, webhooks, dead, waiting, origin } = relay;
    let (named, addressed) = (form_back(&["make-relay-secret"]), form_back(&["make-webhook"]));
    let name = named.as_ref().map(|b| b.typed("name")).unwrap_or_default();
    let url = addressed.as_ref().map(|b| b.typed("url")).unwrap_or_default();
    let (name_error, url_error) = (named.and_then(|b| b.error), addressed.and_then(|b| b.error));
    let here = format!("/w/{place}/desk/relay");
    let action = move |what: &str| format!("{here}?do={what}");
    let remove = {
        let action = action.clone();
        move |what: &str, field: &'static str, id: String, called: String| {
            view! {
                <form method="post" action=action(what)>
                    <input type="hidden" name=field value=id/>
                    <button type="submit" class="button danger" aria-label=format!("Remove {called}")>"Remove"</button>
                </form>
            }
        }
    };
    let drop_hook = remove.clone();
    let secret = move |(id, name, used): (SecretId, String, Option<i64>)| {
        let used = used.map_or_else(|| "Not used yet".to_owned(), |seconds| format!("Used {}", ago(seconds)));
        view! { <li><div><p>{name.clone()}</p><p class="quiet">{used}</p></div>{remove("remove-relay-secret", "secret", id.to_string(), name)}</li> }
    };
    let hook = move |(id, url): (WebhookId, String)| {
        view! { <li><div><p>{url.clone()}</p></div>{drop_hook("remove-webhook", "webhook", id.to_string(), url)}</li> }
    };
    let resend = action("resend-delivery");
    let lost = move |d: Dead| {
        view! {
            <li>
                <div><p>{d.url}</p><p class="quiet">{format!("{} tries, given up {}. {}", d.tries, ago(d.since), d.why)}</p></div>
                <form method="post" action=resend.clone()>
                    <input type="hidden" name="delivery" value=d.id.to_string()/>
                    <button type="submit" class="button">"Send again"</button>
                </form>
            </li>
        }
    };
    let example = format!(
        "curl {origin}/orchestrator/message -H 'Authorization: Bearer relay.…' -H 'Content-Type: application/json' \\\n  -d '{{\"message_id\": \"1\", \"customer\": {{\"id\": \"ada@example.org\", \"name\": \"Ada\"}}, \"text\": \"Hello\"}}'"
    );
    view! {
        <section>
            <h2>"Programs"</h2>
            {once(&["make-relay-secret"], "This is its secret. It is shown once, now:")}
            <ul class="facts">{secrets.into_iter().map(secret).collect_view()}</ul>
            <form method="post" action=action("make-relay-secret")>
                <FormError error=name_error.clone() fields=&["name"]/>
                <Field name="name" label="Program" value=name hint="What you call it. To change a secret, add another one and remove this." error=name_error/>
                <button type="submit" class="button primary">"Make a secret"</button>
            </form>
            <details class="more"><summary class="link">"How it posts"</summary><pre class="snippet" tabindex="0">{example}</pre></details>
        </section>
        <section>
            <h2>"Where answers go"</h2>
            {once(&["make-webhook"], "Answers are signed with this, as Standard Webhooks has it. It is shown once, now:")}
            <ul class="facts">{webhooks.into_iter().map(hook).collect_view()}</ul>
            {(waiting > 0).then(|| view! { <p class="quiet">{format!("{waiting} still to be sent.")}</p> })}
            <form method="post" action=action("make-webhook")>
                <FormError error=url_error.clone() fields=&["url"]/>
                <Field name="url" label="Address" value=url hint="https://www.example.org/hook" error=url_error/>
                <button type="submit" class="button primary">"Add"</button>
            </form>
        </section>
        {(!dead.is_empty()).then(|| view! {
            <section>
                <h2>"Not delivered"</h2>
                <ul class="facts">{dead.into_iter().map(lost).collect_view()}</ul>
            </section>
        })}
    }
}
