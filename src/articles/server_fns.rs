use leptos::prelude::*;

use super::model::{Article, ArticleRow, Help, HelpArticle};
use crate::{
    error::AppError,
    types::{ArticleId, PlaceId},
};

/// The help articles of the workspace that the request is in, drafts among them.
#[server]
pub async fn list_articles() -> Result<Vec<ArticleRow>, AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::workspace().await?;
    let rows = sql::list(&mut lane).await?;
    lane.commit().await?;
    Ok(rows)
}

#[server]
pub async fn read_article(article: ArticleId) -> Result<Article, AppError> {
    use super::sql;
    use crate::{server::lanes, threads::markdown};
    let mut lane = lanes::workspace().await?;
    let found = sql::article(&mut lane, article).await?;
    lane.commit().await?;
    let html = markdown::guide_html(found.body.clone()).await?;
    Ok(Article { html, ..found })
}

/// A new draft, and its page.
#[server]
pub async fn make_article(place: PlaceId, title: String) -> Result<ArticleId, AppError> {
    use super::{model, sql};
    use crate::server::lanes;
    let title = model::title(&title)?;
    let mut lane = lanes::changing().await?;
    crate::workspaces::sql::managed(&mut lane).await?;
    let made = sql::make(&mut lane, &title).await?;
    lane.commit().await?;
    leptos_axum::redirect(&format!("/w/{place}/desk/help/{made}"));
    Ok(made)
}

/// What an article says, and whether customers and the assistant read it.
#[server]
pub async fn change_article(
    article: ArticleId,
    title: String,
    #[server(default)] body: String,
    #[server(default)] published: bool,
) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::server::lanes;
    let (title, body) = (model::title(&title)?, model::body(&body)?);
    let mut lane = lanes::changing().await?;
    crate::workspaces::sql::managed(&mut lane).await?;
    sql::change(&mut lane, article, &title, &body, published).await?;
    lane.commit().await
}

/// Moves an article by one.
#[server]
pub async fn move_article(article: ArticleId, #[server(default)] up: bool) -> Result<(), AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::changing().await?;
    crate::workspaces::sql::managed(&mut lane).await?;
    sql::shift(&mut lane, article, up).await?;
    lane.commit().await
}

#[server]
pub async fn delete_article(place: PlaceId, article: ArticleId) -> Result<(), AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::changing().await?;
    crate::workspaces::sql::managed(&mut lane).await?;
    sql::delete(&mut lane, article).await?;
    lane.commit().await?;
    leptos_axum::redirect(&format!("/w/{place}/desk/help"));
    Ok(())
}

/// The published articles of the desk that a web page's key leads to.
#[server]
pub async fn list_help(key: String) -> Result<Help, AppError> {
    use crate::server::state;
    let lanes = &state::current()?.lanes;
    let key = key.replace('\0', "");
    let desk = lanes.read_desk(&key, "UTC").await?.name;
    let articles = lanes.read_help(&key, None).await?;
    let articles = articles.into_iter().map(|(id, title, _)| ArticleRow { id, title, published: true }).collect();
    Ok(Help { desk, articles })
}

/// One of them.
#[server]
pub async fn read_help(key: String, article: ArticleId) -> Result<HelpArticle, AppError> {
    use crate::{server::state, threads::markdown};
    let found = state::current()?.lanes.read_help(&key.replace('\0', ""), Some(article)).await?;
    let (_, title, body) = found.into_iter().next().ok_or(AppError::NotFound)?;
    Ok(HelpArticle { title, html: markdown::guide_html(body.unwrap_or_default()).await? })
}
