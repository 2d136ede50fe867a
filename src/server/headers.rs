//! The headers that tell a browser what it may do with our pages.

use axum::{
    extract::{Request, State},
    http::{HeaderValue, header},
    middleware::Next,
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use leptos::nonce::Nonce;

use super::{db_error::internal, state::AppState};
use crate::error::AppError;
use axum::response::IntoResponse;

/// One for each request: only script tags that carry it run.
#[derive(Clone)]
pub struct ScriptNonce(pub Nonce);

/// Of an answer: pages of these origins may show it in a frame; of none: any page.
#[derive(Clone)]
pub struct Framed(pub Vec<String>);

/// Of an answer: pages of others load it.
#[derive(Clone)]
pub struct Elsewheres;

/// Who somebody is does not belong into an address, where logs and histories keep it; and a number that a query names proves
/// nothing. Refused aloud, so that a client that was written for such a thing is noticed.
pub async fn no_phone_in_query(request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    if form_urlencoded::parse(query.as_bytes()).any(|(key, _)| key.trim().eq_ignore_ascii_case("phone")) {
        return AppError::invalid("phone", "A telephone number in an address is not accepted.").into_response();
    }
    next.run(request).await
}

/// Puts a nonce into the request and the security headers on the answer.
pub async fn secure(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let mut bytes = [0u8; 16];
    if let Err(error) = aws_lc_rs::rand::fill(&mut bytes) {
        return internal(error).into_response();
    }
    let nonce = STANDARD_NO_PAD.encode(bytes);
    request.extensions_mut().insert(ScriptNonce(Nonce::from_value(nonce.clone())));
    let mut response = next.run(request).await;
    let framed = response.extensions().get::<Framed>().cloned();
    let elsewheres = response.extensions().get::<Elsewheres>().is_some();
    let ancestors = match &framed {
        Some(Framed(origins)) if origins.is_empty() => "*".to_owned(),
        Some(Framed(origins)) => format!("'self' {}", origins.join(" ")),
        None => "'none'".to_owned(),
    };
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}' 'strict-dynamic' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; \
         connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors {ancestors}"
    );
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if framed.is_none() {
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    }
    // Not no-referrer: that turns the Origin of our own forms into null.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    let whose = if elsewheres || framed.is_some() { "cross-origin" } else { "same-origin" };
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static(whose));
    headers.insert("permissions-policy", HeaderValue::from_static("camera=(), microphone=(), geolocation=()"));
    // A year in which the browser asks for nothing in clear, not even for the first page.
    if state.config.origin().starts_with("https://") {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    // What is somebody's own is kept by no cache on the way, nor by the back button of whoever sits there next.
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}
