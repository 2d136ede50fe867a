use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;

use super::server_fns::{SignIn as SignInCall, SignUp as SignUpCall, whoami};
use crate::{
    error::AppError,
    ui::form::{Field, FormError, FormSubmit, form_back},
};

/// The front door: what this is, and the two ways in.
#[component]
pub fn Home() -> impl IntoView {
    let me = Resource::new_blocking(|| (), |()| whoami());
    view! {
        <Title text=""/>
        <main class="page narrow">
            <h1 class="brand">"moat"</h1>
            <p class="lead">"A private AI chat. What you write here is yours: the database itself shows it to nobody else."</p>
            <Suspense>
                {move || Suspend::new(async move {
                    match me.await {
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
    let call = ServerAction::<SignInCall>::new();
    let back = form_back("sign-in");
    let query = use_query_map();
    let email = back.as_ref().map(|b| b.typed("email")).unwrap_or_default();
    let typed_next = back.as_ref().map(|b| b.typed("next")).filter(|next| !next.is_empty());
    let next = move || typed_next.clone().or_else(|| query.read().get("next")).unwrap_or_default();
    let error = failure(call, back.map(|b| b.error));
    view! {
        <Title text="Sign in"/>
        <main class="page narrow">
            <h1>"Sign in"</h1>
            <form method="post" action="/sign-in?do=sign-in" on:submit=move |event| call.submit(event)>
                <FormError error fields=&["email", "password"]/>
                <Field name="email" label="E-mail" kind="email" autocomplete="username" value=email error/>
                <Field name="password" label="Password" kind="password" autocomplete="current-password" error/>
                <input type="hidden" name="next" value=next/>
                <button type="submit" class="button primary wide" disabled=call.pending()>"Sign in"</button>
            </form>
            <p>"New here? "<a class="link" href="/sign-up">"Create an account"</a></p>
        </main>
    }
}

#[component]
pub fn SignUp() -> impl IntoView {
    let call = ServerAction::<SignUpCall>::new();
    let back = form_back("sign-up");
    let email = back.as_ref().map(|b| b.typed("email")).unwrap_or_default();
    let error = failure(call, back.map(|b| b.error));
    view! {
        <Title text="Create an account"/>
        <main class="page narrow">
            <h1>"Create an account"</h1>
            <form method="post" action="/sign-up?do=sign-up" on:submit=move |event| call.submit(event)>
                <FormError error fields=&["email", "password"]/>
                <Field name="email" label="E-mail" kind="email" autocomplete="username" value=email error/>
                <Field name="password" label="Password" kind="password" autocomplete="new-password" min_length="10"
                    hint="At least 10 characters." error/>
                <button type="submit" class="button primary wide" disabled=call.pending()>"Create account"</button>
            </form>
            <p>"You have one? "<a class="link" href="/sign-in">"Sign in"</a></p>
        </main>
    }
}

/// Why a form was refused: by the last try in this page, or by the one that came back with it.
fn failure<S>(call: ServerAction<S>, back: Option<AppError>) -> Signal<Option<AppError>>
where
    S: leptos::server_fn::ServerFn<Output = (), Error = AppError> + Clone + Send + Sync + 'static,
{
    Signal::derive(move || match call.value().get() {
        Some(Err(error)) => Some(error),
        Some(Ok(())) => None,
        None => back.clone(),
    })
}
