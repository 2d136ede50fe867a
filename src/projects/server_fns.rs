use leptos::prelude::*;

use super::model::{PersonRow, Project, ProjectPage};
use crate::{
    error::AppError,
    types::{ClientId, MemberId, PlaceId, ProjectId, ProjectRole},
};

/// A page of the caller's projects in the workspace that the request is in.
#[server]
pub async fn list_projects(
    #[server(default)] search: String,
    #[server(default)] archived: bool,
    after: Option<String>,
) -> Result<ProjectPage, AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::workspace().await?;
    let page = sql::list(&mut lane, &search.replace('\0', ""), archived, after.as_deref()).await?;
    lane.commit().await?;
    Ok(page)
}

#[server]
pub async fn read_project(project: ProjectId) -> Result<Project, AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::workspace().await?;
    let found = sql::project(&mut lane, project).await?;
    lane.commit().await?;
    Ok(found)
}

/// The project that a guest's place is in.
#[server]
pub async fn read_guest_project(place: PlaceId) -> Result<Project, AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::workspace().await?;
    let project = sql::of_place(&mut lane, place).await?;
    let found = sql::project(&mut lane, project).await?;
    lane.commit().await?;
    Ok(found)
}

/// A new project, whose owner the caller is. `client` is made by whoever asks, so that asking twice makes one.
#[server]
pub async fn make_project(client: ClientId, name: String) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::server::lanes;
    let name = model::name(&name)?;
    let mut lane = lanes::changing().await?;
    // A guest is in no workspace, and is told so before the policy refuses.
    crate::workspaces::sql::workspace(&mut lane).await?;
    sql::make(&mut lane, client, &name).await?;
    lane.commit().await
}

#[server]
pub async fn change_project(
    project: ProjectId,
    name: String,
    #[server(default)] description: String,
) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::server::lanes;
    let (name, description) = (model::name(&name)?, model::description(&description)?);
    let mut lane = lanes::changing().await?;
    sql::change(&mut lane, project, &name, &description).await?;
    lane.commit().await
}

/// Puts a project away, or takes it out again.
#[server]
pub async fn archive_project(project: ProjectId, archived: bool) -> Result<(), AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::changing().await?;
    sql::archive(&mut lane, project, archived).await?;
    lane.commit().await
}

/// Deletes a project for good; its name has to be typed.
#[server]
pub async fn delete_project(project: ProjectId, place: PlaceId, name: String) -> Result<(), AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::changing().await?;
    if sql::project(&mut lane, project).await?.name != name.trim() {
        return Err(AppError::invalid("name", "This is not the name of the project."));
    }
    sql::delete(&mut lane, project).await?;
    lane.commit().await?;
    leptos_axum::redirect(&format!("/w/{place}"));
    Ok(())
}

/// Who is in a project.
#[server]
pub async fn list_people(project: ProjectId) -> Result<Vec<PersonRow>, AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::workspace().await?;
    let people = sql::people(&mut lane, project).await?;
    lane.commit().await?;
    Ok(people)
}

/// Puts a member of the workspace into a project.
#[server]
pub async fn put_person(project: ProjectId, email: String, role: ProjectRole) -> Result<(), AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::changing().await?;
    match sql::put(&mut lane, project, &email.trim().to_lowercase().replace('\0', ""), role).await? {
        Some(true) => lane.commit().await,
        Some(false) => Err(AppError::invalid("email", "This person is in the project.")),
        None => Err(AppError::invalid("email", "Nobody in this workspace has that address.")),
    }
}

#[server]
pub async fn set_person_role(member: MemberId, role: ProjectRole) -> Result<(), AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::changing().await?;
    sql::set_role(&mut lane, member, role).await?;
    lane.commit().await
}

/// Takes somebody out of a project, or the caller themselves, who then goes on where they still are.
#[server]
pub async fn remove_person(member: MemberId) -> Result<(), AppError> {
    use super::sql;
    use crate::server::{lanes, state};
    let mut lane = lanes::changing().await?;
    let me = sql::remove(&mut lane, member).await?;
    let is_member = me && crate::workspaces::sql::workspace(&mut lane).await.is_ok();
    lane.commit().await?;
    match (me, is_member, state::place()) {
        (true, true, Some(place)) => leptos_axum::redirect(&format!("/w/{place}")),
        (true, false, _) => leptos_axum::redirect("/workspaces"),
        _ => {}
    }
    Ok(())
}
