use leptos::prelude::*;

use super::model::{Relay, Shown};
use crate::{
    error::AppError,
    types::{DeliveryId, SecretId, WebhookId},
};

/// What is set up for programs that bring customers' words and take answers.
#[server]
pub async fn read_relay() -> Result<Relay, AppError> {
    use super::sql;
    use crate::{
        server::{lanes, state},
        workspaces,
    };
    let mut lane = lanes::workspace().await?;
    workspaces::sql::managed(&mut lane).await?;
    let relay = sql::relay(&mut lane, &state::current()?.config.origin()).await?;
    lane.commit().await?;
    Ok(relay)
}

/// A secret for a program. It is shown once and stored as a hash.
#[server]
pub async fn make_relay_secret(name: String) -> Result<Shown, AppError> {
    use super::sql;
    use crate::{
        desks::model,
        server::{db_error::internal, keys::RelayToken, lanes},
        workspaces,
    };
    let name = model::name(&name)?;
    let token = RelayToken::fresh().map_err(internal)?;
    let mut lane = lanes::changing().await?;
    workspaces::sql::managed(&mut lane).await?;
    sql::make_secret(&mut lane, &name, &token.hash()).await?;
    lane.commit().await?;
    Ok(Shown { secret: token.as_bearer() })
}

#[server]
pub async fn remove_relay_secret(secret: SecretId) -> Result<(), AppError> {
    use super::sql;
    use crate::{server::lanes, workspaces};
    let mut lane = lanes::changing().await?;
    workspaces::sql::managed(&mut lane).await?;
    sql::remove_secret(&mut lane, secret).await?;
    lane.commit().await
}

/// An address that answers go to, and what they are signed with, which is shown once.
#[server]
pub async fn make_webhook(url: String) -> Result<Shown, AppError> {
    use super::{model, send, sql};
    use crate::{server::lanes, workspaces};
    let url = model::url(&url)?;
    let secret = send::fresh_secret()?;
    let mut lane = lanes::changing().await?;
    workspaces::sql::managed(&mut lane).await?;
    sql::make_webhook(&mut lane, &url, &secret).await?;
    lane.commit().await?;
    Ok(Shown { secret: send::shown(&secret) })
}

#[server]
pub async fn remove_webhook(webhook: WebhookId) -> Result<(), AppError> {
    use super::sql;
    use crate::{server::lanes, workspaces};
    let mut lane = lanes::changing().await?;
    workspaces::sql::managed(&mut lane).await?;
    sql::remove_webhook(&mut lane, webhook).await?;
    lane.commit().await
}

/// Sends something again that was given up.
#[server]
pub async fn resend_delivery(delivery: DeliveryId) -> Result<(), AppError> {
    use super::sql;
    use crate::{
        server::{lanes, state},
        workspaces,
    };
    let mut lane = lanes::changing().await?;
    workspaces::sql::managed(&mut lane).await?;
    sql::resend(&mut lane, delivery).await?;
    lane.commit().await?;
    state::current()?.due.notify_one();
    Ok(())
}
