//! The account's own pages: what somebody is called, how they get in, where they are signed in, and leaving.

use leptos::prelude::*;
use leptos_meta::Title;

use super::{
    model::{Account, LANGUAGES, SessionRow, ago, device, done},
    page::asked,
    server_fns::{list_sessions, my_account, ways_in},
    zones,
};
use crate::ui::{
    form::{Choice, Done, Field, FormBack, FormError, form_back},
    keys::Keys,
    notice::Failed,
};

/// Draws a page for the caller's account, or says why it can't.
fn with_account<V: IntoView + 'static>(draw: impl FnOnce(Account) -> V + Send + 'static) -> impl IntoView {
    view! {
        <Suspense>
            {Suspend::new(async move {
                match my_account().await {
                    Ok(account) => draw(account).into_any(),
                    Err(error) => view! { <Failed error/> }.into_any(),
                }
            })}
        </Suspense>
    }
}

/// The way up from each of these pages.
#[component]
fn Up() -> impl IntoView {
    view! { <p><a class="link" href="/account">"Your account"</a></p> }
}

/// Profile, and the way to everything else.
#[component]
pub fn AccountPage() -> impl IntoView {
    let back = form_back(&["profile"]);
    let refused = form_back(&["ask-confirmation"]).and_then(|b| b.error);
    view! {
        <Title text="Your account"/>
        <main class="page">
            <p class="row"><a class="link" href="/chat">"Your chats"</a><a class="link" href="/workspaces">"Workspaces"</a></p>
            <h1>"Your account"</h1>
            <Done what=done(&asked("done"))/>
            <FormError error=refused fields=&[]/>
            {with_account(move |account| view! { <Profile account=account.clone() back/><Overview account/> })}
        </main>
    }
}

#[component]
fn Profile(account: Account, back: Option<FormBack>) -> impl IntoView {
    let typed = |field: &str, stored: String| back.as_ref().map_or(stored, |b| b.typed(field));
    let name = typed("name", account.name);
    let language = typed("language", account.language);
    let zone = typed("time_zone", account.time_zone.unwrap_or_default());
    let error = back.as_ref().and_then(|b| b.error.clone());
    let zones = std::iter::once(("", "The browser's")).chain(zones::all().map(|zone| (zone, zone))).collect();
    view! {
        <form method="post" action="/account?do=profile">
            <FormError error=error.clone() fields=&["name", "language", "time_zone"]/>
            <Field name="name" label="What you want to be called" autocomplete="name" required=false value=name error=error.clone()/>
            <Choice name="language" label="Language" options=LANGUAGES.to_vec() value=language error=error.clone()/>
            <Choice name="time_zone" label="Time zone" options=zones value=zone error/>
            <button type="submit" class="button primary">"Save"</button>
        </form>
    }
}

#[component]
fn Overview(account: Account) -> impl IntoView {
    let unproven = account.email.is_some() && !account.confirmed;
    let password = if account.has_password { "Set" } else { "None" };
    let keys = use_context::<Keys>().unwrap_or_default();
    let (state, switch) = match keys {
        Keys::On => ("On", "Turn keys of one letter off"),
        Keys::Off => ("Off", "Turn keys of one letter on"),
    };
    view! {
        <dl class="facts">
            <div>
                <dt>"E-mail"</dt>
                <dd>
                    {account.email.unwrap_or_else(|| "None".into())}
                    {unproven.then(|| view! { <span class="quiet">" · not confirmed"</span> })}
                </dd>
                <dd><a class="link" href="/account/address">"Change e-mail"</a></dd>
            </div>
            <div>
                <dt>"Password"</dt><dd>{password}</dd>
                <dd><a class="link" href="/account/password">"Change password"</a></dd>
            </div>
            <div>
                <dt>"Telephone"</dt><dd>{account.phone.unwrap_or_else(|| "None".into())}</dd>
                <dd><a class="link" href="/account/phone">"Change telephone"</a></dd>
            </div>
            <div>
                <dt>"Sessions"</dt><dd>"Where you are signed in"</dd>
                <dd><a class="link" href="/account/sessions">"Show sessions"</a></dd>
            </div>
            <div>
                <dt>"Keys"</dt><dd>{state}" in this browser. "<a class="link" href="/guide/keys">"What they do"</a></dd>
                <dd>
                    <form method="post" action="/account?do=keys">
                        <button class="link" name="keys" value=keys.other().as_str()>{switch}</button>
                    </form>
                </dd>
            </div>
            <div>
                <dt>"Leaving"</dt><dd>"Close the account, or erase it"</dd>
                <dd><a class="link" href="/account/leave">"Leave"</a></dd>
            </div>
        </dl>
    }
}

#[component]
pub fn Address() -> impl IntoView {
    let back = form_back(&["change-address"]);
    let typed = back.as_ref().map(|b| b.typed("email")).unwrap_or_default();
    let error = back.or(form_back(&["ask-confirmation"])).and_then(|b| b.error);
    view! {
        <Title text="E-mail"/>
        <main class="page narrow">
            <Up/>
            <h1>"E-mail"</h1>
            {with_account(move |account| view! {
                <Suspense>
                    {Suspend::new(async move {
                        let mail = ways_in().await.unwrap_or_default().mail;
                        let unproven = account.email.is_some() && !account.confirmed;
                        let now = account.email.clone().unwrap_or_else(|| "None".into());
                        view! {
                            <p>"Your address: "<strong>{now}</strong></p>
                            {(mail && unproven).then(|| view! {
                                <form method="post" action="/account/address?do=ask-confirmation">
                                    <p>"Nobody has confirmed yet that it is yours."</p>
                                    <button type="submit" class="button">"Send a link to confirm it"</button>
                                </form>
                            })}
                            {if mail {
                                view! {
                                    <form method="post" action="/account/address?do=change-address">
                                        <FormError error=error.clone() fields=&["email", "password"]/>
                                        <Field name="email" label="New address" kind="email" autocomplete="email" value=typed
                                            hint="We send a link there. Until it is used, nothing changes." error=error.clone()/>
                                        <OldPassword has=account.has_password id="password" error/>
                                        <button type="submit" class="button primary wide">"Send the link"</button>
                                    </form>
                                }.into_any()
                            } else {
                                view! { <p class="quiet">"This server sends no mail, so an address can't be changed or confirmed."</p> }.into_any()
                            }}
                        }
                    })}
                </Suspense>
            })}
        </main>
    }
}

/// The password as a proof that it is still the same person who sits there. An account without one sends none.
#[component]
fn OldPassword(has: bool, id: &'static str, error: Option<crate::error::AppError>) -> impl IntoView {
    if has {
        view! { <Field name="password" id label="Your password" kind="password" autocomplete="current-password" error/> }.into_any()
    } else {
        view! { <input type="hidden" name="password" value=""/> }.into_any()
    }
}

#[component]
pub fn Password() -> impl IntoView {
    let error = form_back(&["change-password"]).and_then(|b| b.error);
    view! {
        <Title text="Password"/>
        <main class="page narrow">
            <Up/>
            <h1>"Password"</h1>
            <p>"A new password signs you out everywhere but here."</p>
            {with_account(move |account| view! {
                <form method="post" action="/account/password?do=change-password">
                    <FormError error=error.clone() fields=&["password", "new_password"]/>
                    <input type="hidden" autocomplete="username" value=account.email.unwrap_or_default()/>
                    <OldPassword has=account.has_password id="password" error=error.clone()/>
                    <Field name="new_password" label="New password" kind="password" autocomplete="new-password" min_length="10"
                        hint="At least 10 characters." error/>
                    <button type="submit" class="button primary wide">"Change password"</button>
                </form>
            })}
        </main>
    }
}

#[component]
pub fn Phone() -> impl IntoView {
    let asking = form_back(&["link-phone"]);
    let answering = form_back(&["confirm-phone"]);
    let removing = form_back(&["unlink-phone"]).and_then(|b| b.error);
    let number = asking.as_ref().map(|b| b.typed("number")).unwrap_or_default();
    let ask = answering.as_ref().map_or_else(|| asked("ask"), |b| b.typed("ask"));
    let error = asking.or(answering).and_then(|b| b.error);
    view! {
        <Title text="Telephone"/>
        <main class="page narrow">
            <Up/>
            <h1>"Telephone"</h1>
            {with_account(move |account| view! {
                <p>"Your number: "<strong>{account.phone.clone().unwrap_or_else(|| "None".into())}</strong></p>
                {account.phone.is_some().then(|| view! {
                    <form method="post" action="/account/phone?do=unlink-phone">
                        <FormError error=removing fields=&[]/>
                        <button type="submit" class="button">"Remove it"</button>
                    </form>
                })}
                {if ask.is_empty() {
                    view! {
                        <form method="post" action="/account/phone?do=link-phone">
                            <p>"You can sign in by a code that we send to a linked number."</p>
                            <FormError error=error.clone() fields=&["number"]/>
                            <Field name="number" label="New number" kind="tel" autocomplete="tel"
                                hint="The country first: +49 30 1234567." value=number error/>
                            <button type="submit" class="button primary wide">"Send a code"</button>
                        </form>
                    }.into_any()
                } else {
                    view! {
                        <form method="post" action="/account/phone?do=confirm-phone">
                            <p>"A text message is on its way to your new number."</p>
                            <FormError error=error.clone() fields=&["code"]/>
                            <input type="hidden" name="ask" value=ask/>
                            <Field name="code" label="Code" autocomplete="one-time-code" input_mode="numeric"
                                hint="6 digits. The code works for 10 minutes." error/>
                            <button type="submit" class="button primary wide">"Link this number"</button>
                        </form>
                        <p><a class="link" href="/account/phone">"Send another code"</a></p>
                    }.into_any()
                }}
            })}
        </main>
    }
}

#[component]
pub fn Sessions() -> impl IntoView {
    let error = form_back(&["revoke"]).or(form_back(&["revoke-others"])).and_then(|b| b.error);
    view! {
        <Title text="Sessions"/>
        <main class="page">
            <Up/>
            <h1>"Sessions"</h1>
            <p>"Where you are signed in. A session that you end hears and reads nothing from that moment on."</p>
            <Done what=done(&asked("done"))/>
            <FormError error fields=&[]/>
            <Suspense>
                {Suspend::new(async move {
                    match list_sessions().await {
                        Ok(rows) => {
                            let others = rows.iter().any(|row| !row.here);
                            view! {
                                <ul class="facts">{rows.into_iter().map(|row| view! { <Session row/> }).collect_view()}</ul>
                                {others.then(|| view! {
                                    <form method="post" action="/account/sessions?do=revoke-others">
                                        <button type="submit" class="button danger">"End all other sessions"</button>
                                    </form>
                                })}
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
fn Session(row: SessionRow) -> impl IntoView {
    let name = device(&row.device);
    let from = if row.ip.is_empty() { "unknown address".to_owned() } else { row.ip };
    view! {
        <li>
            <div>
                <p title=row.device><strong>{name.clone()}</strong>{row.here.then_some(" · this one")}</p>
                <p class="quiet">{from}" · last used "<time title=row.at>{ago(row.ago)}</time></p>
            </div>
            {(!row.here).then(|| view! {
                <form method="post" action="/account/sessions?do=revoke">
                    <input type="hidden" name="session" value=row.id.to_string()/>
                    <button type="submit" class="button" aria-label=format!("End the session of {name}")>"End"</button>
                </form>
            })}
        </li>
    }
}

#[component]
pub fn Leave() -> impl IntoView {
    let (closing, erasing) = (form_back(&["close"]).and_then(|b| b.error), form_back(&["erase"]));
    let name = erasing.as_ref().map(|b| b.typed("name")).unwrap_or_default();
    let erasing = erasing.and_then(|b| b.error);
    view! {
        <Title text="Leave"/>
        <main class="page narrow">
            <Up/>
            <h1>"Leave"</h1>
            {with_account(move |account| {
                let called = account.typed_name().to_owned();
                let has = account.has_password;
                view! {
                    <section>
                        <h2>"Close your account"</h2>
                        <p>"You are signed out everywhere, and nobody can sign in. Your chats are kept. Whoever runs this server can open it again."</p>
                        <form method="post" action="/account/leave?do=close">
                            <FormError error=closing.clone() fields=&["password"]/>
                            <OldPassword has id="close-password" error=closing/>
                            <button type="submit" class="button wide">"Close my account"</button>
                        </form>
                    </section>
                    <section>
                        <h2>"Erase your account"</h2>
                        <p>"Your chats, messages, sessions and profile are deleted for good. It can't be undone."</p>
                        <form method="post" action="/account/leave?do=erase">
                            <FormError error=erasing.clone() fields=&["name", "password"]/>
                            <p>"To go on, type "<strong>{called}</strong></p>
                            <Field name="name" label="Name of the account" value=name error=erasing.clone()/>
                            <OldPassword has id="erase-password" error=erasing/>
                            <button type="submit" class="button danger wide">"Erase my account"</button>
                        </form>
                    </section>
                }
            })}
        </main>
    }
}
