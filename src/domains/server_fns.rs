use leptos::prelude::*;

use super::model::{DomainOffer, DomainRow};
use crate::{error::AppError, types::DomainId};

/// The e-mail domains of the request's workspace, for its owners and admins.
#[server]
pub async fn list_domains() -> Result<Vec<DomainRow>, AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::workspace().await?;
    let rows = sql::all(&mut lane).await?;
    lane.commit().await?;
    Ok(rows)
}

/// Names a domain. It lets nobody in until it is proven.
#[server]
pub async fn add_domain(domain: String) -> Result<(), AppError> {
    use super::{named, sql};
    use crate::{server::lanes, types::MemberRole};
    let mut lane = lanes::changing().await?;
    // The policies hold it too, in words that are for nobody's eyes.
    if crate::workspaces::sql::workspace(&mut lane).await?.role != MemberRole::Owner {
        return Err(AppError::Forbidden);
    }
    if !sql::add(&mut lane, &named::domain(&domain)?).await? {
        return Err(AppError::invalid("domain", "This domain is in the list already."));
    }
    lane.commit().await
}

/// Asks DNS whether the domain is proven. Nothing is open in the database meanwhile.
#[server]
pub async fn check_domain(domain: DomainId) -> Result<(), AppError> {
    use super::{check, sql};
    use crate::{
        server::{lanes, session, state},
        types::MemberRole,
    };
    let state = state::current()?;
    let mut lane = lanes::workspace().await?;
    let asked = sql::asked(&mut lane, domain).await?;
    if crate::workspaces::sql::workspace(&mut lane).await?.role != MemberRole::Owner {
        return Err(AppError::Forbidden);
    }
    let me = lane.user();
    lane.commit().await?;
    session::limit(&state, &[("domain-by", &me.to_string(), 20, 10.0)]).await?;
    check::told(check::check(&state, &asked).await?, &asked.domain)
}

/// Takes a domain off the list. Whoever came by it stays.
#[server]
pub async fn remove_domain(domain: DomainId) -> Result<(), AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::changing().await?;
    sql::remove(&mut lane, domain).await?;
    lane.commit().await
}

/// The workspaces that the caller's confirmed address lets them into.
#[server]
pub async fn list_offers() -> Result<Vec<DomainOffer>, AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::user().await?;
    let offers = sql::offers(&mut lane).await?;
    lane.commit().await?;
    Ok(offers)
}

/// Joins a workspace by the caller's address, as it is at this moment.
#[server]
pub async fn join_by_domain(domain: DomainId) -> Result<(), AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::user().await?;
    let place = sql::join(&mut lane, Some(domain)).await?.ok_or(AppError::NotFound)?;
    lane.commit().await?;
    leptos_axum::redirect(&format!("/w/{place}"));
    Ok(())
}
