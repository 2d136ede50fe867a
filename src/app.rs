//! The page's frame in HTML, and the pages. Every page is rendered whole on the server, so that it reads without a script
//! and has its status before its first byte. Two tables: [`App`] wakes up in the browser, [`Plain`] never does and
//! so costs no script at all.

use leptos::prelude::*;
use leptos_meta::{HashedStylesheet, MetaTags, Title, provide_meta_context};
use leptos_router::{
    SsrMode,
    components::{ParentRoute, Route, Router, Routes},
    path,
};

use crate::{
    accounts::{
        operations::Operations,
        page::{Home, Link, Outbox, Reset, Sent, SignIn, SignInByCode, SignInByLink, SignInByPhone, SignUp, Waiting},
        settings::{AccountPage, Address, Leave, Password, Phone, Sessions},
    },
    articles::page::{ArticlePage, Articles, HelpIndex, HelpReader},
    audit::page::AuditTrail,
    conversations::{
        escalate::Escalate,
        page::{Desk, DeskConversation},
    },
    desks::page::SetUp,
    domains::page::Domains,
    error::AppError,
    folders::page::{FolderPage, Folders},
    guide::page::{GuideIndex, GuideReader},
    invitations::page::{Invitation, Invitations},
    projects::page::{GuestProject, ProjectPage},
    readers::page::{ReadersOfEvent, ReadersOfProject, ReadersOfThread},
    relay::page::RelayPage,
    targets::page::FiguresPage,
    threads::page::{Chats, NewChat, OpenChat},
    transfer::page::Transfer,
    ui::{
        notice::{Elsewhere, Failed},
        raw_text::raw_text,
        theme,
    },
    widget::page::Widget,
    workspaces::page::{Members, Settings, WorkspaceHome, Workspaces},
};

/// The document around a page of [`App`]; `sheet` stands beside the page and waits to be opened.
pub fn shell(options: LeptosOptions, sheet: String) -> impl IntoView {
    // Chats are nobody's to find.
    let scripts = view! { <meta name="robots" content="noindex"/><HydrationScripts options=options.clone()/> };
    document(options, scripts.into_any(), view! { <App/> <div inner_html=sheet></div> }.into_any())
}

/// The document around a page of [`Plain`].
pub fn plain_shell(options: LeptosOptions) -> impl IntoView {
    document(options, ().into_any(), view! { <Plain/> }.into_any())
}

fn document(options: LeptosOptions, scripts: AnyView, body: AnyView) -> impl IntoView {
    let theme = use_context::<theme::Theme>().unwrap_or_default();
    view! {
        <!DOCTYPE html>
        <html lang="en" data-theme=theme.as_str()>
            <head>
                <meta charset="utf-8"/>
                <meta name="viewport" content="width=device-width, initial-scale=1, interactive-widget=resizes-content"/>
                <meta name="color-scheme" content="light dark"/>
                <meta name="description" content="Private AI chat. The database itself is the wall between people."/>
                <link rel="icon" href="/favicon.svg" type="image/svg+xml"/>
                <HashedStylesheet options id="leptos"/>
                {scripts}
                <MetaTags/>
            </head>
            <body>{body}</body>
        </html>
    }
}

/// The pages that wake up.
#[component]
pub fn App() -> impl IntoView {
    provide_meta_context();
    view! {
        <PageTitle/>
        <Router>
            <Routes fallback=Elsewhere>
                <ParentRoute path=path!("/chat") view=Chats ssr=SsrMode::Async>
                    <Route path=path!("") view=NewChat/>
                    <Route path=path!(":id") view=OpenChat/>
                </ParentRoute>
            </Routes>
        </Router>
    }
}

/// The pages that are HTML and forms. The browser's build does not contain them.
#[component]
pub fn Plain() -> impl IntoView {
    provide_meta_context();
    view! {
        <PageTitle/>
        <Router>
            <Routes fallback=|| view! { <Title text="Nothing here"/><main class="page"><Failed error=AppError::NotFound/></main> }>
                <Route path=path!("/") view=Home ssr=SsrMode::Async/>
                <Route path=path!("/sign-in") view=SignIn ssr=SsrMode::Async/>
                <Route path=path!("/sign-up") view=SignUp ssr=SsrMode::Async/>
                <Route path=path!("/sign-in/link") view=SignInByLink ssr=SsrMode::Async/>
                <Route path=path!("/sign-in/phone") view=SignInByPhone ssr=SsrMode::Async/>
                <Route path=path!("/sign-in/code") view=SignInByCode ssr=SsrMode::Async/>
                <Route path=path!("/reset") view=Reset ssr=SsrMode::Async/>
                <Route path=path!("/sent") view=Sent ssr=SsrMode::Async/>
                <Route path=path!("/waiting") view=Waiting ssr=SsrMode::Async/>
                <Route path=path!("/link") view=Link ssr=SsrMode::Async/>
                <Route path=path!("/invitation") view=Invitation ssr=SsrMode::Async/>
                <Route path=path!("/account") view=AccountPage ssr=SsrMode::Async/>
                <Route path=path!("/account/address") view=Address ssr=SsrMode::Async/>
                <Route path=path!("/account/password") view=Password ssr=SsrMode::Async/>
                <Route path=path!("/account/phone") view=Phone ssr=SsrMode::Async/>
                <Route path=path!("/account/sessions") view=Sessions ssr=SsrMode::Async/>
                <Route path=path!("/account/leave") view=Leave ssr=SsrMode::Async/>
                <Route path=path!("/dev/outbox") view=Outbox ssr=SsrMode::Async/>
                <Route path=path!("/folders") view=Folders ssr=SsrMode::Async/>
                <Route path=path!("/folders/:id") view=FolderPage ssr=SsrMode::Async/>
                <Route path=path!("/import") view=Transfer ssr=SsrMode::Async/>
                <Route path=path!("/operations") view=Operations ssr=SsrMode::Async/>
                <Route path=path!("/workspaces") view=Workspaces ssr=SsrMode::Async/>
                <Route path=path!("/w/:place") view=WorkspaceHome ssr=SsrMode::Async/>
                <Route path=path!("/w/:place/members") view=Members ssr=SsrMode::Async/>
                <Route path=path!("/w/:place/invitations") view=Invitations ssr=SsrMode::Async/>
                <Route path=path!("/w/:place/domains") view=Domains ssr=SsrMode::Async/>
                <Route path=path!("/w/:place/settings") view=Settings ssr=SsrMode::Async/>
                <Route path=path!("/w/:place/audit") view=AuditTrail ssr=SsrMode::Async/>
                <Route path=path!("/w/:place/projects/:id") view=ProjectPage ssr=SsrMode::Async/>
                <Route path=path!("/w/:place/projects/:id/readers") view=ReadersOfProject ssr=SsrMode::Async/>
                <Route path=path!("/w/:place/audit/:id/readers") view=ReadersOfEvent ssr=SsrMode::Async/>
                <Route path=path!("/w/:place/desk") view=Desk ssr=SsrMode::Async/>
                <Route path=path!("/w/:place/desk/set-up") view=SetUp ssr=SsrMode::Async/>
                <Route path=path!("/w/:place/desk/figures") view=FiguresPage ssr=SsrMode::Async/>
                <Route path=path!("/w/:place/desk/relay") view=RelayPage ssr=SsrMode::Async/>
                <Route path=path!("/w/:place/desk/help") view=Articles ssr=SsrMode::Async/>
                <Route path=path!("/w/:place/desk/help/:id") view=ArticlePage ssr=SsrMode::Async/>
                <Route path=path!("/w/:place/desk/:id") view=DeskConversation ssr=SsrMode::Async/>
                <Route path=path!("/widget/:key") view=Widget ssr=SsrMode::Async/>
                <Route path=path!("/help/:key") view=HelpIndex ssr=SsrMode::Async/>
                <Route path=path!("/help/:key/:id") view=HelpReader ssr=SsrMode::Async/>
                <Route path=path!("/chat/:id/ask") view=Escalate ssr=SsrMode::Async/>
                <Route path=path!("/chat/:id/readers") view=ReadersOfThread ssr=SsrMode::Async/>
                <Route path=path!("/p/:place") view=GuestProject ssr=SsrMode::Async/>
                <Route path=path!("/guide") view=GuideIndex ssr=SsrMode::Async/>
                <Route path=path!("/guide/:page") view=GuideReader ssr=SsrMode::Async/>
            </Routes>
        </Router>
    }
}

#[component]
fn PageTitle() -> impl IntoView {
    let safe = raw_text();
    view! {
        <Title formatter=move |title: String| {
            if title.is_empty() { "moat".to_owned() } else { safe(&format!("{title} · moat")) }
        }/>
    }
}
