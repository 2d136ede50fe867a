use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;

use super::server_fns::whoami;
use crate::ui::form::{Field, FormError, form_back};

/// The front door: what this is, and the two ways in.
#[component]
pub fn Home() -> impl IntoView {
    view! {
        <Title text=""/>
        <main class="page narrow">
            <h1 class="brand">"moat"</h1>
            <p class="lead">"A private AI chat. What you write here is yours: the database itself shows it to nobody else."</p>
            <Suspense>
                {Suspend::new(async move {
                    match whoami().await {
                        Ok(Some(_)) => view! { <p><a class="button primary" href="/chat">"Go to your chats"</a></p> }.into_any(),
                        _ => view! {
                            <p class="row">
                                <a class="button primary" href="/sign-up">"Create an account"</a>
                                <a class="button" href="/sign-in">"Sign in"</a>
                            </p>
                        }.into_any(),
                    }
                })}
            </Suspense>
            <p><a class="link" href="/guide">"Read the guide"</a></p>
        </main>
    }
}

#[component]
pub fn SignIn() -> impl IntoView {
    let back = form_back(&["sign-in"]);
    let query = use_query_map();
    let email = back.as_ref().map(|b| b.typed("email")).unwrap_or_default();
    let typed_next = back.as_ref().map(|b| b.typed("next")).filter(|next| !next.is_empty());
    let next = typed_next.or_else(|| query.read_untracked().get("next")).unwrap_or_default();
    let error = back.map(|b| b.error);
    view! {
        <Title text="Sign in"/>
        <main class="page narrow">
            <h1>"Sign in"</h1>
            <form method="post" action="/sign-in?do=sign-in">
                <FormError error=error.clone() fields=&["email", "password"]/>
                <Field name="email" label="E-mail" kind="email" autocomplete="username" value=email error=error.clone()/>
                <Field name="password" label="Password" kind="password" autocomplete="current-password" error/>
                <input type="hidden" name="next" value=next/>
                <button type="submit" class="button primary wide">"Sign in"</button>
            </form>
            <p>"New here? "<a class="link" href="/sign-up">"Create an account"</a></p>
        </main>
    }
}

#[component]
pub fn SignUp() -> impl IntoView {
    let back = form_back(&["sign-up"]);
    let email = back.as_ref().map(|b| b.typed("email")).unwrap_or_default();
    let error = back.map(|b| b.error);
    view! {
        <Title text="Create an account"/>
        <main class="page narrow">
            <h1>"Create an account"</h1>
            <form method="post" action="/sign-up?do=sign-up">
                <FormError error=error.clone() fields=&["email", "password"]/>
                <Field name="email" label="E-mail" kind="email" autocomplete="username" value=email error=error.clone()/>
                <Field name="password" label="Password" kind="password" autocomplete="new-password" min_length="10"
                    hint="At least 10 characters." error/>
                <button type="submit" class="button primary wide">"Create account"</button>
            </form>
            <p>"You have one? "<a class="link" href="/sign-in">"Sign in"</a></p>
        </main>
    }
}
