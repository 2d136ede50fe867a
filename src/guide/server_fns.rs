use leptos::prelude::*;

use super::model::{GuidePage, PageRow};
use crate::error::AppError;

/// All pages, in reading order.
#[server]
pub async fn list_pages() -> Result<Vec<PageRow>, AppError> {
    Ok(crate::server::state::current()?.guide.rows())
}

#[server]
pub async fn read_page(name: String) -> Result<GuidePage, AppError> {
    crate::server::state::current()?.guide.page(&name).ok_or(AppError::NotFound)
}
