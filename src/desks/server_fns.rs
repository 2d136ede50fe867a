use leptos::prelude::*;

use super::model::Desk;
use crate::{
    error::AppError,
    types::{KeyId, MemberId},
};

/// The desk of the workspace that the request is in, if it has one.
#[server]
pub async fn read_desk() -> Result<Option<Desk>, AppError> {
    use super::sql;
    use crate::server::{lanes, state};
    let mut lane = lanes::workspace().await?;
    crate::workspaces::sql::workspace(&mut lane).await?;
    let desk = sql::desk(&mut lane, &state::current()?.config.origin()).await?;
    lane.commit().await?;
    Ok(desk)
}

/// Opens a desk, or changes what customers read of it.
#[server]
pub async fn set_desk(name: String, #[server(default)] welcome: String) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::server::lanes;
    let (name, welcome) = (model::name(&name)?, model::welcome(&welcome)?);
    let mut lane = lanes::changing().await?;
    crate::workspaces::sql::managed(&mut lane).await?;
    sql::set_desk(&mut lane, &name, &welcome).await?;
    lane.commit().await
}

/// Makes a member an agent, or changes what customers read beside their answers and how many conversations they have at once.
#[server]
pub async fn put_agent(
    member: MemberId,
    #[server(default)] name: String,
    capacity: Option<i32>,
) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::server::lanes;
    let name = if name.trim().is_empty() { String::new() } else { model::name(&name)? };
    let capacity = capacity.unwrap_or(5);
    if !(1..=100).contains(&capacity) {
        return Err(AppError::invalid("capacity", "An agent has 1 to 100 conversations at once."));
    }
    let mut lane = lanes::changing().await?;
    crate::workspaces::sql::managed(&mut lane).await?;
    sql::put_agent(&mut lane, member, &name, capacity).await?;
    lane.commit().await
}

#[server]
pub async fn remove_agent(member: MemberId) -> Result<(), AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::changing().await?;
    crate::workspaces::sql::managed(&mut lane).await?;
    sql::remove_agent(&mut lane, member).await?;
    lane.commit().await
}

/// A key for a web page, or another name and other addresses for the one that is kept. `origins`: the addresses that may show the widget,
/// one below the other; none for any.
#[server]
pub async fn put_widget_key(
    key: Option<KeyId>,
    name: String,
    #[server(default)] origins: String,
) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::server::lanes;
    let (name, origins) = (model::name(&name)?, model::origins(&origins)?);
    let mut lane = lanes::changing().await?;
    crate::workspaces::sql::managed(&mut lane).await?;
    sql::put_key(&mut lane, key, &name, &origins).await?;
    lane.commit().await
}

/// Pages with this key show no widget any more. What was said stays.
#[server]
pub async fn remove_widget_key(key: KeyId) -> Result<(), AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::changing().await?;
    crate::workspaces::sql::managed(&mut lane).await?;
    sql::remove_key(&mut lane, key).await?;
    lane.commit().await
}
