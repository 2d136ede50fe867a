use leptos::prelude::*;

use super::model::{MemberPage, Place, Sort, Workspace};
use crate::{
    error::AppError,
    types::{Colour, MemberId, MemberRole, PlaceId, UserStatus},
};

/// Everywhere that the caller belongs.
#[server]
pub async fn list_places() -> Result<Vec<Place>, AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::user().await?;
    let places = sql::places(&mut lane).await?;
    lane.commit().await?;
    Ok(places)
}

/// A new workspace, whose owner the caller is.
#[server]
pub async fn make_workspace(name: String) -> Result<PlaceId, AppError> {
    use super::{model, sql};
    use crate::server::lanes;
    let name = model::name(&name)?;
    let mut lane = lanes::user().await?;
    let place = sql::make(&mut lane, &name).await?;
    lane.commit().await?;
    leptos_axum::redirect(&format!("/w/{place}"));
    Ok(place)
}

/// The workspace that the request is in.
#[server]
pub async fn read_workspace() -> Result<Workspace, AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::workspace().await?;
    let found = sql::workspace(&mut lane).await?;
    lane.commit().await?;
    Ok(found)
}

/// How many people are in it.
#[server]
pub async fn count_members() -> Result<i64, AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::workspace().await?;
    let many = sql::size(&mut lane).await?;
    lane.commit().await?;
    Ok(many)
}

#[server]
pub async fn change_workspace(
    name: String,
    #[server(default)] description: String,
    #[server(default)] company: String,
    colour: Option<Colour>,
) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::server::lanes;
    let (name, description) = (model::name(&name)?, model::description(&description)?);
    let (company, colour) = (model::company(&company)?, colour.unwrap_or(Colour::Usual));
    let mut lane = lanes::changing().await?;
    sql::change(&mut lane, &name, &description, &company, colour).await?;
    lane.commit().await
}

/// Takes the workspace away from everybody in it. Its name has to be typed; an owner can take it back for a month.
#[server]
pub async fn delete_workspace(name: String) -> Result<(), AppError> {
    use super::sql;
    use crate::server::{lanes, state};
    let place = state::place().ok_or(AppError::Forbidden)?;
    let mut lane = lanes::changing().await?;
    let workspace = sql::workspace(&mut lane).await?;
    if name.trim() != workspace.name {
        return Err(AppError::invalid("name", "This is not the name of the workspace."));
    }
    sql::delete(&mut lane, place, true).await?;
    lane.commit().await?;
    leptos_axum::redirect("/workspaces");
    Ok(())
}

/// Takes a deleted workspace back. No lane opens in it until then.
#[server]
pub async fn restore_workspace(place: PlaceId) -> Result<(), AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::user().await?;
    sql::delete(&mut lane, place, false).await?;
    lane.commit().await
}

/// A page of the members.
#[server]
pub async fn list_members(
    #[server(default)] search: String,
    role: Option<MemberRole>,
    status: Option<UserStatus>,
    #[server(default)] sort: Sort,
    after: Option<String>,
) -> Result<MemberPage, AppError> {
    use super::{model::Wanted, sql};
    use crate::server::lanes;
    let search = search.replace('\0', "");
    let mut lane = lanes::workspace().await?;
    let page = sql::members(&mut lane, &Wanted { search, role, status, sort, after }).await?;
    lane.commit().await?;
    Ok(page)
}

#[server]
pub async fn set_member_role(member: MemberId, role: MemberRole) -> Result<(), AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::changing().await?;
    sql::set_role(&mut lane, member, role).await?;
    lane.commit().await
}

#[server]
pub async fn remove_member(member: MemberId) -> Result<(), AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::changing().await?;
    sql::remove(&mut lane, member).await?;
    lane.commit().await
}

/// Ends the caller's own membership.
#[server]
pub async fn leave_workspace() -> Result<(), AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::changing().await?;
    sql::leave(&mut lane).await?;
    lane.commit().await?;
    leptos_axum::redirect("/workspaces");
    Ok(())
}
