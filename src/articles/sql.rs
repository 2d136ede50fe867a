use super::model::{ARTICLES_MAX, Article, ArticleRow};
use crate::{error::AppError, server::lanes::UserLane, types::ArticleId};

/// All articles, in their order.
pub async fn list(lane: &mut UserLane) -> Result<Vec<ArticleRow>, AppError> {
    let rows: Vec<(ArticleId, String, bool)> =
        sqlx::query_as("select a.id, a.title, a.published from app.articles a order by a.position, a.id limit $1")
            .bind(ARTICLES_MAX)
            .fetch_all(lane.conn())
            .await?;
    Ok(rows.into_iter().map(|(id, title, published)| ArticleRow { id, title, published }).collect())
}

/// One article, without its HTML.
pub async fn article(lane: &mut UserLane, id: ArticleId) -> Result<Article, AppError> {
    let (title, body, published): (String, String, bool) =
        sqlx::query_as("select a.title, a.body, a.published from app.articles a where a.id = $1")
            .bind(id)
            .fetch_one(lane.conn())
            .await?;
    Ok(Article { id, title, body, html: String::new(), published })
}

/// A draft behind all the others.
pub async fn make(lane: &mut UserLane, title: &str) -> Result<ArticleId, AppError> {
    let made: Option<ArticleId> = sqlx::query_scalar(
        "insert into app.articles (title, position)
           select $1, coalesce(max(a.position), 0) + 1 from app.articles a having count(*) < $2 returning id",
    )
    .bind(title)
    .bind(ARTICLES_MAX)
    .fetch_optional(lane.conn())
    .await?;
    made.ok_or_else(|| AppError::Conflict { what: "There are 500 articles, which is all there can be.".into() })
}

pub async fn change(
    lane: &mut UserLane,
    id: ArticleId,
    title: &str,
    body: &str,
    published: bool,
) -> Result<(), AppError> {
    let done =
        sqlx::query("update app.articles set title = $2, body = $3, published = $4, updated_at = now() where id = $1")
            .bind(id)
            .bind(title)
            .bind(body)
            .bind(published)
            .execute(lane.conn())
            .await?;
    if done.rows_affected() > 0 { Ok(()) } else { Err(AppError::NotFound) }
}

/// Before the one above it, or behind the one below it.
pub async fn shift(lane: &mut UserLane, id: ArticleId, up: bool) -> Result<(), AppError> {
    sqlx::query(
        "update app.articles a set position = n.n
           from (select x.id, row_number() over (order by y.n + case when x.id = $1 then $2 else 0 end) as n
                   from app.articles x
                   join (select z.id, row_number() over (order by z.position, z.id) as n from app.articles z) y on y.id = x.id) n
          where a.id = n.id and a.position <> n.n",
    )
    .bind(id)
    .bind(if up { -1.5 } else { 1.5 })
    .execute(lane.conn())
    .await?;
    Ok(())
}

pub async fn delete(lane: &mut UserLane, id: ArticleId) -> Result<(), AppError> {
    let done = sqlx::query("delete from app.articles where id = $1").bind(id).execute(lane.conn()).await?;
    if done.rows_affected() > 0 { Ok(()) } else { Err(AppError::NotFound) }
}
