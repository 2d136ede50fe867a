use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_params_map;

use super::server_fns::{list_pages, read_page};
use crate::ui::notice::Failed;

/// All pages of the guide.
#[component]
pub fn GuideIndex() -> impl IntoView {
    view! {
        <Title text="Guide"/>
        <main class="page guide">
            <p><a class="link" href="/">"moat"</a></p>
            <h1>"Guide"</h1>
            <Suspense>
                {Suspend::new(async move {
                    match list_pages().await {
                        Ok(pages) => view! {
                            <ul class="guide-list">
                                {pages.into_iter().map(|page| view! {
                                    <li><a class="link" href=format!("/guide/{}", page.name)>{page.title}</a><p>{page.lead}</p></li>
                                }).collect_view()}
                            </ul>
                        }.into_any(),
                        Err(error) => view! { <Failed error/> }.into_any(),
                    }
                })}
            </Suspense>
        </main>
    }
}

/// One page of the guide.
#[component]
pub fn GuideReader() -> impl IntoView {
    let params = use_params_map();
    let page = params.read_untracked().get("page").unwrap_or_default();
    view! {
        <main class="page guide">
            <p><a class="link" href="/guide">"Guide"</a></p>
            <Suspense>
                {Suspend::new(async move {
                    match read_page(page).await {
                        Ok(page) => view! { <Title text=page.title/><article class="prose" inner_html=page.html></article> }.into_any(),
                        Err(error) => view! { <Failed error/> }.into_any(),
                    }
                })}
            </Suspense>
        </main>
    }
}
