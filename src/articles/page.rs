//! Writing the help articles, and reading them. Plain pages: forms and text.

use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::{use_params_map, use_query_map};

use super::{
    model::{Article, ArticleRow},
    server_fns::{list_articles, list_help, read_article, read_help},
};
use crate::{
    error::AppError,
    types::ArticleId,
    ui::{
        form::{Done, Field, FormError, Paragraph, form_back},
        notice::Failed,
    },
    workspaces::page::{place, with_workspace},
};

fn article() -> Result<ArticleId, AppError> {
    use_params_map().read_untracked().get("id").and_then(|id| id.parse().ok()).ok_or(AppError::NotFound)
}

/// All articles of the workspace, and a form for a new one.
#[component]
pub fn Articles() -> impl IntoView {
    let back = form_back(&["make-article"]);
    let title = back.as_ref().map(|b| b.typed("title")).unwrap_or_default();
    let error = back.and_then(|b| b.error);
    let refused = form_back(&["move-article", "delete-article"]).and_then(|b| b.error);
    with_workspace("Help articles", move |workspace| {
        let (place, manages) = (place(), workspace.role.manages());
        let here = format!("/w/{place}/desk/help");
        let list = here.clone();
        view! {
            <p><a class="link" href=format!("/w/{place}/desk")>"To the queue"</a></p>
            <p>"What is published here, the assistant answers customers from, and they can read it themselves."</p>
            <FormError error=refused fields=&[]/>
            <Suspense>
                {Suspend::new(async move {
                    match list_articles().await {
                        Ok(rows) if rows.is_empty() => view! { <p class="quiet">"Nothing is written yet."</p> }.into_any(),
                        Ok(rows) => {
                            let last = rows.len() - 1;
                            let row = |(n, row)| line(row, &list, manages, n == 0, n == last);
                            view! { <ul class="facts">{rows.into_iter().enumerate().map(row).collect_view()}</ul> }.into_any()
                        }
                        Err(error) => view! { <Failed error/> }.into_any(),
                    }
                })}
            </Suspense>
            {manages.then(|| view! {
                <section>
                    <h2>"New article"</h2>
                    <form method="post" action=format!("{here}?do=make-article")>
                        <FormError error=error.clone() fields=&["title"]/>
                        <input type="hidden" name="place" value=place.clone()/>
                        <Field name="title" label="Title" value=title hint="As customers would ask it: How long does a parcel take?" error/>
                        <button type="submit" class="button primary">"Write it"</button>
                    </form>
                </section>
            })}
        }
        .into_any()
    })
}

fn line(row: ArticleRow, here: &str, manages: bool, first: bool, last: bool) -> impl IntoView {
    let ArticleRow { id, title, published } = row;
    let shift = |up: bool, text: &'static str, off: bool| {
        view! {
            <form method="post" action=format!("{here}?do=move-article")>
                <input type="hidden" name="article" value=id.to_string()/>
                <input type="hidden" name="up" value=up.to_string()/>
                <button type="submit" class="button" disabled=off aria-label=format!("{text}: {title}")>{text}</button>
            </form>
        }
    };
    let shifts =
        manages.then(|| view! { <div class="row">{shift(true, "Up", first)}{shift(false, "Down", last)}</div> });
    view! {
        <li>
            <div>
                <p><a class="link" href=format!("{here}/{id}")>{title.clone()}</a></p>
                <p class="quiet">{if published { "Published" } else { "Draft" }}</p>
            </div>
            {shifts}
        </li>
    }
}

/// One article: what it says, how it is read, and the way to take it away.
#[component]
pub fn ArticlePage() -> impl IntoView {
    let (saved, refused) = (form_back(&["change-article"]), form_back(&["delete-article"]).and_then(|b| b.error));
    let id = article();
    let done = use_query_map().with_untracked(|query| query.get("done")).as_deref() == Some("change-article");
    with_workspace("Help articles", move |workspace| {
        let (place, manages) = (place(), workspace.role.manages());
        view! {
            <p><a class="link" href=format!("/w/{place}/desk/help")>"All articles"</a></p>
            <FormError error=refused fields=&[]/>
            <Suspense>
                {Suspend::new(async move {
                    let found = match id {
                        Ok(id) => read_article(id).await,
                        Err(error) => Err(error),
                    };
                    let Article { id, title, body, html, published } = match found {
                        Ok(article) => article,
                        Err(error) => return view! { <Failed error/> }.into_any(),
                    };
                    let read = view! {
                        <section>
                            <h2>{title.clone()}</h2>
                            {if html.is_empty() {
                                view! { <p class="quiet">"It says nothing yet."</p> }.into_any()
                            } else {
                                view! { <article class="prose" inner_html=html></article> }.into_any()
                            }}
                        </section>
                    };
                    if !manages {
                        return read.into_any();
                    }
                    let here = format!("/w/{place}/desk/help/{id}");
                    let typed = |field: &str, stored: String| saved.as_ref().map_or(stored, |b| b.typed(field));
                    let (title, body) = (typed("title", title), typed("body", body));
                    let is_on = saved.as_ref().map_or(published, |b| !b.typed("published").is_empty());
                    let error = saved.and_then(|b| b.error);
                    let told = match published {
                        true => "Saved. Customers and the assistant read it so from now on.",
                        false => "Saved as a draft: nobody but the team reads it.",
                    };
                    view! {
                        <Done what=Some(told).filter(|_| done && error.is_none())/>
                        <form method="post" action=format!("{here}?do=change-article")>
                            <FormError error=error.clone() fields=&["title", "body"]/>
                            <input type="hidden" name="article" value=id.to_string()/>
                            <Field name="title" label="Title" value=title error=error.clone()/>
                            <Paragraph name="body" label="Text" rows="16" hint="Markdown. Headings (## Like this) make sections, which the assistant quotes one by one." value=body error/>
                            <p><label><input type="checkbox" name="published" value="true" checked=is_on/>" Published: customers and the assistant read it"</label></p>
                            <button type="submit" class="button primary">"Save"</button>
                        </form>
                        {read}
                        <details class="sure">
                            <summary class="button danger">"Delete"</summary>
                            <form method="post" action=format!("{here}?do=delete-article")>
                                <input type="hidden" name="place" value=place.clone()/>
                                <input type="hidden" name="article" value=id.to_string()/>
                                <p class="quiet">"The assistant answers from it no more, and links to it lead nowhere."</p>
                                <button type="submit" class="button danger">"Delete this article"</button>
                            </form>
                        </details>
                    }.into_any()
                })}
            </Suspense>
        }
        .into_any()
    })
}

/// What is published, for customers.
#[component]
pub fn HelpIndex() -> impl IntoView {
    let key = use_params_map().read_untracked().get("key").unwrap_or_default();
    view! {
        <main class="page guide">
            <Suspense>
                {Suspend::new(async move {
                    match list_help(key.clone()).await {
                        Ok(help) => view! {
                            <Title text=format!("Help · {}", help.desk)/>
                            <h1>{help.desk}</h1>
                            {if help.articles.is_empty() { Some(view! { <p class="quiet">"Nothing is published yet."</p> }) } else { None }}
                            <ul class="guide-list">
                                {help.articles.into_iter().map(|a| view! { <li><a class="link" href=format!("/help/{key}/{}", a.id)>{a.title}</a></li> }).collect_view()}
                            </ul>
                        }.into_any(),
                        Err(error) => view! { <Failed error/> }.into_any(),
                    }
                })}
            </Suspense>
        </main>
    }
}

/// One of them.
#[component]
pub fn HelpReader() -> impl IntoView {
    let key = use_params_map().read_untracked().get("key").unwrap_or_default();
    let id = article();
    view! {
        <main class="page guide">
            <p><a class="link" href=format!("/help/{key}")>"All help"</a></p>
            <Suspense>
                {Suspend::new(async move {
                    let found = match id {
                        Ok(id) => read_help(key, id).await,
                        Err(error) => Err(error),
                    };
                    match found {
                        Ok(article) => view! {
                            <Title text=article.title.clone()/>
                            <h1>{article.title}</h1>
                            <article class="prose" inner_html=article.html></article>
                        }.into_any(),
                        Err(error) => view! { <Failed error/> }.into_any(),
                    }
                })}
            </Suspense>
        </main>
    }
}
