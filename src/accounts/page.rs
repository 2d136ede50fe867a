use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;

use super::{
    model::{LinkView, Reader, Ways, done},
    server_fns::{read_link, read_outbox, ways_in, whoami},
};
use crate::{
    types::{LinkState, Purpose},
    ui::{
        form::{Done, Field, FormError, form_back},
        notice::{Failed, page_status},
    },
};

/// What the address asks for: `?name=…`.
pub(super) fn asked(name: &str) -> String {
    use_query_map().read_untracked().get(name).unwrap_or_default()
}

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
    let error = back.and_then(|b| b.error);
    view! {
        <Title text="Sign in"/>
        <main class="page narrow">
            <h1>"Sign in"</h1>
            <Done what=done(&asked("done"))/>
            <form method="post" action="/sign-in?do=sign-in">
                <FormError error=error.clone() fields=&["email", "password"]/>
                <Field name="email" label="E-mail" kind="email" autocomplete="username" value=email error=error.clone()/>
                <Field name="password" label="Password" kind="password" autocomplete="current-password" error/>
                <input type="hidden" name="next" value=next/>
                <button type="submit" class="button primary wide">"Sign in"</button>
            </form>
            <Suspense>
                {Suspend::new(async move {
                    let Ways { mail, phone, .. } = ways_in().await.unwrap_or_default();
                    view! {
                        {mail.then(|| view! {
                            <p><a class="link" href="/reset">"Forgotten your password?"</a></p>
                            <p><a class="link" href="/sign-in/link">"Sign in by a link in a mail"</a></p>
                        })}
                        {phone.then(|| view! { <p><a class="link" href="/sign-in/phone">"Sign in by telephone"</a></p> })}
                    }
                })}
            </Suspense>
            <p>"New here? "<a class="link" href="/sign-up">"Create an account"</a></p>
        </main>
    }
}

#[component]
pub fn SignUp() -> impl IntoView {
    let back = form_back(&["sign-up"]);
    let email = back.as_ref().map(|b| b.typed("email")).unwrap_or_default();
    let error = back.and_then(|b| b.error);
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

/// A form that asks for an address to mail something to.
#[component]
fn AskMail(
    title: &'static str,
    lead: &'static str,
    form: &'static str,
    action: &'static str,
    button: &'static str,
) -> impl IntoView {
    let back = form_back(&[form]);
    let email = back.as_ref().map(|b| b.typed("email")).unwrap_or_default();
    let error = back.and_then(|b| b.error);
    view! {
        <Title text=title/>
        <main class="page narrow">
            <h1>{title}</h1>
            <p>{lead}</p>
            <form method="post" action=action>
                <FormError error=error.clone() fields=&["email"]/>
                <Field name="email" label="E-mail" kind="email" autocomplete="username" value=email error/>
                <button type="submit" class="button primary wide">{button}</button>
            </form>
            <p><a class="link" href="/sign-in">"Back to sign-in"</a></p>
        </main>
    }
}

/// For a forgotten password.
#[component]
pub fn Reset() -> impl IntoView {
    view! {
        <AskMail title="Set a new password" form="reset" action="/reset?do=reset" button="Send the link"
            lead="We send a link to your address. There you choose a new password."/>
    }
}

/// Signing in without a password.
#[component]
pub fn SignInByLink() -> impl IntoView {
    view! {
        <AskMail title="Sign in by a link" form="magic" action="/sign-in/link?do=magic" button="Send the link"
            lead="We send a link to your address. It signs you in, without a password."/>
    }
}

/// For whoever has shown who they are and is not let in yet. It is the same page for everybody.
#[component]
pub fn Waiting() -> impl IntoView {
    view! {
        <Title text="You are on the waiting list"/>
        <main class="page narrow">
            <h1>"You are on the waiting list"</h1>
            <p>"Your account is made, and waits to be let in. Whoever runs this server does that. Then sign in again."</p>
            <p>"If somebody invites you to their workspace, you need not wait: open the link of the invitation and sign in from there."</p>
            <Suspense>
                {Suspend::new(async move {
                    ways_in().await.is_ok_and(|ways| ways.mail).then(|| view! {
                        <p>"If your address is at a workspace's own domain, confirm it: "<a class="link" href="/sign-in/link">"sign in by a link in a mail"</a></p>
                    })
                })}
            </Suspense>
            <p><a class="link" href="/sign-in">"Go to sign-in"</a></p>
        </main>
    }
}

/// After something was mailed, or would have been.
#[component]
pub fn Sent() -> impl IntoView {
    view! {
        <Title text="Check your mail"/>
        <main class="page narrow">
            <h1>"Check your mail"</h1>
            <p>"If there is something to send to this address, it is on its way. It can take a minute; look among the spam too."</p>
            <p class="quiet">"Whether an address has an account is told to its owner alone."</p>
            <OutboxLink/>
            <p><a class="link" href="/sign-in">"Back to sign-in"</a></p>
        </main>
    }
}

/// For a developer, whose mail goes nowhere.
#[component]
fn OutboxLink() -> impl IntoView {
    view! {
        <Suspense>
            {Suspend::new(async move {
                ways_in().await.is_ok_and(|ways| ways.outbox)
                    .then(|| view! { <p><a class="link" href="/dev/outbox">"Open the developer's outbox"</a></p> })
            })}
        </Suspense>
    }
}

/// The page of a mailed link: says what it does, and has the button that does it.
#[component]
pub fn Link() -> impl IntoView {
    let back = form_back(&["finish-sign-up", "new-password", "sign-in-by-link", "confirm-address"]);
    let token = back.as_ref().map_or_else(|| asked("t"), |b| b.typed("token"));
    let error = back.and_then(|b| b.error);
    view! {
        <Title text="Your link"/>
        <main class="page narrow">
            <Suspense>
                {Suspend::new(async move {
                    match read_link(token.clone()).await {
                        Ok(LinkView { purpose, state: LinkState::Good, reader: Reader::SignedOut, .. }) => {
                            let next: String = format!("/link?t={token}").replace('/', "%2F").replace('?', "%3F").replace('=', "%3D");
                            view! {
                                <h1>{doing(purpose).0}</h1>
                                <p>"Sign in first, to the account that asked for this link. If you have none, do nothing: then nobody gets your address."</p>
                                <p><a class="button primary" href=format!("/sign-in?next={next}")>"Sign in"</a></p>
                            }.into_any()
                        }
                        Ok(LinkView { purpose, state: LinkState::Good, reader: Reader::Other, .. }) => view! {
                            <h1>{doing(purpose).0}</h1>
                            <p>"You are signed in to another account than the one that asked for this link. Sign in to that one, and open the link again."</p>
                            <p><a class="link" href="/account">"Your account"</a></p>
                        }.into_any(),
                        Ok(LinkView { purpose, state: LinkState::Good, address, first, .. }) => {
                            let (title, text, form, button, field) = doing(purpose);
                            view! {
                                <h1>{title}</h1>
                                <p>{text}" "<strong>{address.clone()}</strong></p>
                                {first.then(|| view! {
                                    <p>"Nobody has confirmed this address before. The account becomes yours alone: its old password stops working, its sessions end, and a linked telephone number is removed."</p>
                                })}
                                <form method="post" action=format!("/link?do={form}")>
                                    <FormError error=error.clone() fields=&["password"]/>
                                    <input type="hidden" name="token" value=token/>
                                    {field.map(|(label, autocomplete, hint, min_length)| view! {
                                        <input type="hidden" autocomplete="username" value=address/>
                                        <Field name="password" label kind="password" autocomplete hint min_length error/>
                                    })}
                                    <button type="submit" class="button primary wide">{button}</button>
                                </form>
                            }.into_any()
                        }
                        Ok(LinkView { purpose, state, .. }) => {
                            page_status(410);
                            let what = if state == LinkState::Used { "This link was used already" } else { "This link has run out" };
                            view! { <h1>{what}</h1>{instead(purpose)} }.into_any()
                        }
                        Err(crate::error::AppError::NotFound) => {
                            page_status(404);
                            view! {
                                <h1>"This link is not valid"</h1>
                                <p>"A part of it may be missing: open it from the mail, or copy the whole line."</p>
                                <p><a class="link" href="/sign-in">"Go to sign-in"</a></p>
                            }.into_any()
                        }
                        Err(error) => view! { <Failed error/> }.into_any(),
                    }
                })}
            </Suspense>
        </main>
    }
}

type PasswordField = (&'static str, &'static str, &'static str, &'static str);

/// Title, text, form, button and password field of a link's page.
fn doing(purpose: Purpose) -> (&'static str, &'static str, &'static str, &'static str, Option<PasswordField>) {
    let chosen =
        ("The password that you chose", "current-password", "So that nobody else's sign-up becomes yours.", "0");
    let fresh = ("New password", "new-password", "At least 10 characters.", "10");
    match purpose {
        Purpose::SignUp => {
            ("Finish your account", "Make the account of", "finish-sign-up", "Create account", Some(chosen))
        }
        Purpose::Reset => ("Set a new password", "For the account of", "new-password", "Set password", Some(fresh)),
        Purpose::Magic => ("Sign in", "Sign in as", "sign-in-by-link", "Sign in", None),
        Purpose::Confirm => {
            ("Confirm your address", "This is the address of your account:", "confirm-address", "Confirm", None)
        }
        Purpose::Change => ("Your new address", "Use for your account:", "confirm-address", "Use this address", None),
    }
}

/// What to do about a link that is over.
fn instead(purpose: Purpose) -> AnyView {
    let (text, href, link) = match purpose {
        Purpose::SignUp => ("If your account is made, sign in. Else sign up once more.", "/sign-in", "Go to sign-in"),
        Purpose::Reset => ("If your password is not set, ask for a new link.", "/reset", "Send a new link"),
        Purpose::Magic => ("If you are not signed in, ask for a new link.", "/sign-in/link", "Send a new link"),
        Purpose::Confirm | Purpose::Change => (
            "Your account shows which address it has. There you can ask for a new link.",
            "/account/address",
            "Go to your address",
        ),
    };
    view! { <p>{text}</p><p><a class="link" href=href>{link}</a></p> }.into_any()
}

/// Signing in by telephone: the number.
#[component]
pub fn SignInByPhone() -> impl IntoView {
    let back = form_back(&["code"]);
    let number = back.as_ref().map(|b| b.typed("number")).unwrap_or_default();
    let error = back.and_then(|b| b.error);
    view! {
        <Title text="Sign in by telephone"/>
        <main class="page narrow">
            <h1>"Sign in by telephone"</h1>
            <form method="post" action="/sign-in/phone?do=code">
                <FormError error=error.clone() fields=&["number"]/>
                <Field name="number" label="Telephone number" kind="tel" autocomplete="tel"
                    hint="The country first: +49 30 1234567." value=number error/>
                <button type="submit" class="button primary wide">"Send a code"</button>
            </form>
            <p><a class="link" href="/sign-in">"Back to sign-in"</a></p>
        </main>
    }
}

/// Signing in by telephone: the code.
#[component]
pub fn SignInByCode() -> impl IntoView {
    let back = form_back(&["sign-in-by-code"]);
    let ask = back.as_ref().map_or_else(|| asked("ask"), |b| b.typed("ask"));
    let error = back.and_then(|b| b.error);
    view! {
        <Title text="Enter the code"/>
        <main class="page narrow">
            <h1>"Enter the code"</h1>
            <p>"If this number can sign in here, a text message is on its way."</p>
            <form method="post" action="/sign-in/code?do=sign-in-by-code">
                <FormError error=error.clone() fields=&["code"]/>
                <input type="hidden" name="ask" value=ask/>
                <Field name="code" label="Code" autocomplete="one-time-code" input_mode="numeric"
                    hint="6 digits. The code works for 10 minutes." error/>
                <button type="submit" class="button primary wide">"Sign in"</button>
            </form>
            <p><a class="link" href="/sign-in/phone">"Send another code"</a></p>
            <OutboxLink/>
        </main>
    }
}

/// The developer's outbox: mail and text messages that had nowhere to go.
#[component]
pub fn Outbox() -> impl IntoView {
    view! {
        <Title text="Outbox"/>
        <main class="page">
            <h1>"Outbox"</h1>
            <Suspense>
                {Suspend::new(async move {
                    match read_outbox().await {
                        Ok(letters) if letters.is_empty() => view! { <p class="quiet">"Nothing was sent since this server started."</p> }.into_any(),
                        Ok(letters) => letters.into_iter().map(|letter| view! {
                            <article class="card">
                                <h2>{letter.subject}</h2>
                                <p class="quiet">"To "{letter.to}</p>
                                <p class="letter">{linked(&letter.text)}</p>
                            </article>
                        }).collect_view().into_any(),
                        Err(error) => view! { <Failed error/> }.into_any(),
                    }
                })}
            </Suspense>
        </main>
    }
}

/// A text whose lines that are addresses can be followed.
fn linked(text: &str) -> Vec<AnyView> {
    text.split_inclusive('\n')
        .map(|line| match line.trim() {
            address if address.starts_with("http") => {
                view! { <a class="link" href=address.to_owned()>{line.to_owned()}</a> }.into_any()
            }
            _ => line.to_owned().into_any(),
        })
        .collect()
}
