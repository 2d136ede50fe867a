//! What an [`AppError`] is over HTTP: the status, the JSON, and Retry-After where there is one.

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::error::AppError;

/// Marks an answer of a server function as an error; its value is the function's path.
const ERROR_HEADER: HeaderName = HeaderName::from_static("serverfnerror");
/// Larger than any error we make.
const ERROR_MAX: usize = 64 * 1024;

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&self)).into_response();
        if let Some(retry_after) = self.retry_after() {
            response.headers_mut().insert(header::RETRY_AFTER, retry_after.into());
        }
        response
    }
}

/// Server functions answer 500 for every error; this gives each its own status. A layer and not a call in each function,
/// because some errors (a missing argument) arise before any of our code runs.
pub async fn statuses(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    match error_of(response).await {
        Ok(response) => response,
        Err((error, mut parts)) => {
            let fresh = error.into_response();
            parts.status = fresh.status();
            let (fresh_parts, body) = fresh.into_parts();
            parts.headers.remove(header::CONTENT_LENGTH);
            parts.headers.extend(fresh_parts.headers);
            Response::from_parts(parts, body)
        }
    }
}

/// An error from before the server function, to be read like one of its own.
pub fn marked(error: AppError) -> Response {
    let mut response = error.into_response();
    response.headers_mut().insert(ERROR_HEADER, HeaderValue::from_static("request"));
    response
}

/// The error that a server function's answer carries, or the answer itself.
pub async fn error_of(response: Response) -> Result<Response, (AppError, axum::http::response::Parts)> {
    if !response.headers().contains_key(&ERROR_HEADER) {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, ERROR_MAX).await.unwrap_or_default();
    match serde_json::from_slice(&bytes) {
        Ok(error) => Err((error, parts)),
        Err(_) => Ok(Response::from_parts(parts, Body::from(bytes))),
    }
}
