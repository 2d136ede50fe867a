//! The page's frame in HTML, and the pages. Every page is rendered whole on the server, so that it reads without a script
//! and has its status before its first byte.

use leptos::prelude::*;
use leptos_meta::{HashedStylesheet, MetaTags, Title, provide_meta_context};
use leptos_router::{
    SsrMode,
    components::{ParentRoute, Route, Router, Routes},
    path,
};

use crate::{
    accounts::page::{Home, SignIn, SignUp},
    error::AppError,
    guide::page::{GuideIndex, GuideReader},
    threads::page::{Chats, NewChat, OpenChat},
    ui::{notice::Failed, raw_text::raw_text, theme},
};

/// The document around every page.
pub fn shell(options: LeptosOptions) -> impl IntoView {
    let theme = use_context::<theme::Theme>().unwrap_or_default();
    view! {
        <!DOCTYPE html>
        <html lang="en" data-theme=theme.as_str()>
            <head>
                <meta charset="utf-8"/>
                <meta name="viewport" content="width=device-width, initial-scale=1, interactive-widget=resizes-content"/>
                <meta name="color-scheme" content="light dark"/>
                <link rel="icon" href="/favicon.svg" type="image/svg+xml"/>
                <HashedStylesheet options=options.clone() id="leptos"/>
                <HydrationScripts options/>
                <MetaTags/>
            </head>
            <body>
                <App/>
            </body>
        </html>
    }
}

#[component]
pub fn App() -> impl IntoView {
    provide_meta_context();
    let safe = raw_text();
    view! {
        <Title formatter=move |title: String| {
            if title.is_empty() { "moat".to_owned() } else { safe(&format!("{title} · moat")) }
        }/>
        <Router>
            <Routes fallback=|| view! { <main class="page"><Failed error=AppError::NotFound/></main> }>
                <Route path=path!("/") view=Home ssr=SsrMode::Async/>
                <Route path=path!("/sign-in") view=SignIn ssr=SsrMode::Async/>
                <Route path=path!("/sign-up") view=SignUp ssr=SsrMode::Async/>
                <Route path=path!("/guide") view=GuideIndex ssr=SsrMode::Async/>
                <Route path=path!("/guide/:page") view=GuideReader ssr=SsrMode::Async/>
                <ParentRoute path=path!("/chat") view=Chats ssr=SsrMode::Async>
                    <Route path=path!("") view=NewChat/>
                    <Route path=path!(":id") view=OpenChat/>
                </ParentRoute>
            </Routes>
        </Router>
    }
}
