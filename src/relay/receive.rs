//! `POST /orchestrator/message`: what a customer said, brought by a program of the workspace's.

use aws_lc_rs::digest;
use axum::{
    Extension, Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::model::Incoming;
use crate::{
    error::AppError,
    server::{caller::Relaying, session, state::AppState},
    types::{ClientId, MessageId},
    widget,
};

/// Bytes of a request.
pub const BODY_MAX: usize = 64 * 1024;

/// 200 with the message's id, also for one that is there already; 401 without a secret; 409 for an id that was used for another
/// text; 403 for a customer who was shut out.
pub async fn receive(
    State(state): State<AppState>,
    relaying: Option<Extension<Relaying>>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Ok(body) = body else { return AppError::TooLarge.into_response() };
    match store(&state, relaying, &body).await {
        Ok(message) => (StatusCode::OK, Json(json!({ "message": message }))).into_response(),
        Err(error) => error.into_response(),
    }
}

async fn store(state: &AppState, relaying: Option<Extension<Relaying>>, body: &[u8]) -> Result<MessageId, AppError> {
    let Some(Extension(Relaying(hash))) = relaying else { return Err(AppError::Unauthenticated) };
    session::limit_relay(state, &hash).await?;
    let incoming: Incoming =
        serde_json::from_slice(body).map_err(|error| AppError::invalid("body", &error.to_string()))?;
    let Incoming { message_id, customer, text } = incoming.checked()?;
    let say = async || {
        let mut lane = state.lanes.relay(&hash, &customer.id, &customer.name, &customer.email).await?;
        match widget::sql::say(&mut lane, client(&customer.id, &message_id), &text).await {
            // Erased since the lane was opened: said again, it is the first word of a customer whom nobody knows.
            Err(AppError::Unauthenticated) => Ok(None),
            said => {
                lane.commit().await?;
                said.map(Some)
            }
        }
    };
    let message = match say().await? {
        Some(message) => message,
        None => say().await?.ok_or(AppError::Unavailable)?,
    };
    state.hub.wake();
    state.owed.notify_one();
    Ok(message)
}

/// The sender's id as one of ours. Two senders' ids never meet: it is compared within one customer's conversation.
fn client(customer: &str, message: &str) -> ClientId {
    let digest = digest::digest(&digest::SHA256, format!("{}\0{customer}\0{message}", customer.len()).as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_ref()[..16]);
    ClientId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}
