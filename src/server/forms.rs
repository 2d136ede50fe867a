//! Forms without JavaScript, and forms that are sent before the page has woken up. A form posts to the page it stands on,
//! naming what to do (`/sign-in?do=sign-in`); the same server function runs as from a script. Done: 303 to the next page.
//! Refused: the page comes back with the reason and with what was typed, which a redirect would lose.

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};

use super::{router, state::AppState, wire};
use crate::{
    error::AppError,
    ui::form::{FormAnswer, FormBack},
};

/// What a form may ask for, and the server function that does it.
pub const FORMS: &[(&str, &str)] = &[
    ("sign-in", "/api/moat/accounts/server_fns/sign_in"),
    ("sign-up", "/api/moat/accounts/server_fns/sign_up"),
    ("sign-out", "/api/moat/accounts/server_fns/sign_out"),
    ("reset", "/api/moat/accounts/server_fns/ask_reset"),
    ("magic", "/api/moat/accounts/server_fns/ask_magic"),
    ("code", "/api/moat/accounts/server_fns/ask_code"),
    ("sign-in-by-code", "/api/moat/accounts/server_fns/sign_in_by_code"),
    ("finish-sign-up", "/api/moat/accounts/server_fns/finish_sign_up"),
    ("new-password", "/api/moat/accounts/server_fns/reset_password"),
    ("sign-in-by-link", "/api/moat/accounts/server_fns/sign_in_by_link"),
    ("confirm-address", "/api/moat/accounts/server_fns/confirm_address"),
    ("profile", "/api/moat/accounts/server_fns/save_profile"),
    ("ask-confirmation", "/api/moat/accounts/server_fns/ask_confirmation"),
    ("change-address", "/api/moat/accounts/server_fns/change_address"),
    ("change-password", "/api/moat/accounts/server_fns/change_password"),
    ("link-phone", "/api/moat/accounts/server_fns/ask_phone"),
    ("confirm-phone", "/api/moat/accounts/server_fns/link_phone"),
    ("unlink-phone", "/api/moat/accounts/server_fns/unlink_phone"),
    ("revoke", "/api/moat/accounts/server_fns/revoke_session"),
    ("revoke-others", "/api/moat/accounts/server_fns/revoke_others"),
    ("close", "/api/moat/accounts/server_fns/close_account"),
    ("erase", "/api/moat/accounts/server_fns/erase_account"),
    ("set-account-status", "/api/moat/accounts/server_fns/set_account_status"),
    ("theme", "/api/moat/accounts/server_fns/choose_theme"),
    ("keys", "/api/moat/accounts/server_fns/choose_keys"),
    ("start", "/api/moat/threads/server_fns/start_thread"),
    ("send", "/api/moat/threads/server_fns/send_message"),
    ("stop", "/api/moat/threads/server_fns/stop_answer"),
    ("again", "/api/moat/threads/server_fns/answer_again"),
    ("edit", "/api/moat/threads/server_fns/edit_message"),
    ("choose", "/api/moat/threads/server_fns/choose_branch"),
    ("remove", "/api/moat/threads/server_fns/delete_message"),
    ("fork", "/api/moat/threads/server_fns/fork_thread"),
    ("thumb", "/api/moat/threads/server_fns/thumb_answer"),
    ("options", "/api/moat/threads/server_fns/set_options"),
    ("rename", "/api/moat/threads/server_fns/rename_thread"),
    ("delete", "/api/moat/threads/server_fns/delete_thread"),
    ("file", "/api/moat/threads/server_fns/file_threads"),
    ("make-folder", "/api/moat/folders/server_fns/make_folder"),
    ("change-folder", "/api/moat/folders/server_fns/change_folder"),
    ("delete-folder", "/api/moat/folders/server_fns/delete_folder"),
    ("make-workspace", "/api/moat/workspaces/server_fns/make_workspace"),
    ("change-workspace", "/api/moat/workspaces/server_fns/change_workspace"),
    ("delete-workspace", "/api/moat/workspaces/server_fns/delete_workspace"),
    ("restore-workspace", "/api/moat/workspaces/server_fns/restore_workspace"),
    ("leave-workspace", "/api/moat/workspaces/server_fns/leave_workspace"),
    ("set-role", "/api/moat/workspaces/server_fns/set_member_role"),
    ("remove-member", "/api/moat/workspaces/server_fns/remove_member"),
    ("invite", "/api/moat/invitations/server_fns/invite"),
    ("resend-invitation", "/api/moat/invitations/server_fns/resend_invitation"),
    ("set-invited-role", "/api/moat/invitations/server_fns/set_invited_role"),
    ("revoke-invitation", "/api/moat/invitations/server_fns/revoke_invitation"),
    ("accept-invitation", "/api/moat/invitations/server_fns/accept_invitation"),
    ("accept-as-new", "/api/moat/invitations/server_fns/accept_as_new"),
    ("add-domain", "/api/moat/domains/server_fns/add_domain"),
    ("check-domain", "/api/moat/domains/server_fns/check_domain"),
    ("remove-domain", "/api/moat/domains/server_fns/remove_domain"),
    ("join-by-domain", "/api/moat/domains/server_fns/join_by_domain"),
    ("make-project", "/api/moat/projects/server_fns/make_project"),
    ("change-project", "/api/moat/projects/server_fns/change_project"),
    ("archive-project", "/api/moat/projects/server_fns/archive_project"),
    ("delete-project", "/api/moat/projects/server_fns/delete_project"),
    ("put-person", "/api/moat/projects/server_fns/put_person"),
    ("set-person-role", "/api/moat/projects/server_fns/set_person_role"),
    ("remove-person", "/api/moat/projects/server_fns/remove_person"),
    ("take-next", "/api/moat/conversations/server_fns/take_next"),
    ("take-conversation", "/api/moat/conversations/server_fns/take_conversation"),
    ("answer-conversation", "/api/moat/conversations/server_fns/answer_conversation"),
    ("set-conversation", "/api/moat/conversations/server_fns/set_conversation"),
    ("hand-conversation", "/api/moat/conversations/server_fns/hand_conversation"),
    ("block-customer", "/api/moat/conversations/server_fns/block_customer"),
    ("set-desk", "/api/moat/desks/server_fns/set_desk"),
    ("put-agent", "/api/moat/desks/server_fns/put_agent"),
    ("remove-agent", "/api/moat/desks/server_fns/remove_agent"),
    ("put-widget-key", "/api/moat/desks/server_fns/put_widget_key"),
    ("remove-widget-key", "/api/moat/desks/server_fns/remove_widget_key"),
    ("name-customer", "/api/moat/conversations/server_fns/name_customer"),
    ("describe-conversation", "/api/moat/conversations/server_fns/describe_conversation"),
    ("put-reply", "/api/moat/replies/server_fns/put_reply"),
    ("remove-reply", "/api/moat/replies/server_fns/remove_reply"),
    ("save-view", "/api/moat/conversations/server_fns/save_view"),
    ("remove-view", "/api/moat/conversations/server_fns/remove_view"),
    ("make-relay-secret", "/api/moat/relay/server_fns/make_relay_secret"),
    ("remove-relay-secret", "/api/moat/relay/server_fns/remove_relay_secret"),
    ("make-webhook", "/api/moat/relay/server_fns/make_webhook"),
    ("remove-webhook", "/api/moat/relay/server_fns/remove_webhook"),
    ("resend-delivery", "/api/moat/relay/server_fns/resend_delivery"),
    ("run-reply", "/api/moat/replies/server_fns/run_reply"),
    ("change-conversations", "/api/moat/conversations/server_fns/change_conversations"),
    ("join-conversation", "/api/moat/conversations/server_fns/join_conversation"),
    ("erase-customer", "/api/moat/conversations/server_fns/erase_customer"),
    ("set-available", "/api/moat/conversations/server_fns/set_available"),
    ("take-back", "/api/moat/later/server_fns/take_back"),
    ("set-targets", "/api/moat/targets/server_fns/set_targets"),
    ("escalate", "/api/moat/conversations/server_fns/escalate"),
    ("ask-on", "/api/moat/conversations/server_fns/ask_on"),
    ("set-bot", "/api/moat/bot/server_fns/set_bot"),
    ("make-article", "/api/moat/articles/server_fns/make_article"),
    ("change-article", "/api/moat/articles/server_fns/change_article"),
    ("move-article", "/api/moat/articles/server_fns/move_article"),
    ("delete-article", "/api/moat/articles/server_fns/delete_article"),
];

/// Those whose page shows what came of them, which may be a secret that no address should carry.
const SHOWN: &[&str] = &["invite", "resend-invitation", "make-relay-secret", "make-webhook", "change-conversations"];

/// Those that take along what is being typed for another one: it comes back with the page.
const KEPT: &[&str] = &["stop", "take-back"];

/// Those whose page says that it was done, by the `done` of its address, where nothing else on it would show that.
const TOLD: &[&str] = &[
    "set-desk",
    "put-agent",
    "remove-agent",
    "put-widget-key",
    "remove-widget-key",
    "set-bot",
    "put-reply",
    "remove-reply",
    "set-targets",
    "change-article",
];

/// Says that a script sends the form and stays on the page.
const BY_SCRIPT: &str = "x-moat-form";

/// Larger forms are refused before they are read.
pub const BODY_MAX: usize = 1024 * 1024;

/// Answers a form that was posted to a page.
pub async fn post(State(state): State<AppState>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let wanted = query_value(&parts.uri, "do");
    let Some((name, path)) = FORMS.iter().find(|(name, _)| Some(*name) == wanted.as_deref()) else {
        return AppError::NotFound.into_response();
    };
    let Ok(bytes) = to_bytes(body, BODY_MAX).await else {
        return AppError::TooLarge.into_response();
    };

    // The page's own address stays in the request: the function then knows where the form stood.
    let mut call = Request::new(Body::from(bytes.clone()));
    *call.method_mut() = Method::POST;
    *call.uri_mut() = Uri::from_static(path);
    *call.headers_mut() = parts.headers.clone();
    *call.extensions_mut() = parts.extensions.clone();
    let answer = wire::error_of(router::run_server_fn(&state, call).await).await;
    if parts.headers.contains_key(BY_SCRIPT) {
        return to_script(answer);
    }

    match answer {
        Ok(answer) if answer.status().is_success() && SHOWN.contains(name) => {
            let Ok(json) = to_bytes(answer.into_body(), BODY_MAX).await else {
                return AppError::TooLarge.into_response();
            };
            let mut page = page_again(parts);
            let json = String::from_utf8_lossy(&json).into_owned();
            page.extensions_mut().insert(FormAnswer { form: name, json });
            router::render_page(&state, page).await
        }
        Ok(answer) if answer.status().is_success() && KEPT.contains(name) && written(&bytes).is_some() => {
            let mut page = page_again(parts);
            page.extensions_mut().insert(FormBack { form: (*name).to_owned(), error: None, fields: typed(&bytes) });
            router::render_page(&state, page).await
        }
        Ok(answer) if answer.status().is_success() || answer.status().is_redirection() => {
            let mut here = here(&parts.uri);
            if TOLD.contains(name) {
                here = format!("{here}{}done={name}", if here.contains('?') { '&' } else { '?' });
            }
            let here = HeaderValue::from_str(&here).unwrap_or(HeaderValue::from_static("/"));
            let next = answer.headers().get(header::LOCATION).cloned().unwrap_or(here);
            let mut response = StatusCode::SEE_OTHER.into_response();
            response.headers_mut().insert(header::LOCATION, next);
            copy_cookies(answer.headers(), response.headers_mut());
            response
        }
        Ok(answer) => answer,
        Err((AppError::Unauthenticated, gone)) if *name != "sign-in" => {
            let mut response = signed_out(parts.uri.path(), &bytes);
            copy_cookies(&gone.headers, response.headers_mut());
            response
        }
        Err((error, _)) => {
            let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let retry = error.retry_after();
            let back = FormBack { form: (*name).to_owned(), error: Some(error), fields: typed(&bytes) };
            let mut page = page_again(parts);
            page.extensions_mut().insert(back);
            let mut response = router::render_page(&state, page).await;
            if response.status() == StatusCode::OK {
                *response.status_mut() = status;
            }
            if let Some(seconds) = retry {
                response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            }
            response
        }
    }
}

/// The address of the page that a form stood on: what its own address says besides the form's name, and what was done before.
fn here(uri: &Uri) -> String {
    let rest = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .filter(|(name, _)| name != "do" && name != "done");
    let rest = form_urlencoded::Serializer::new(String::new()).extend_pairs(rest).finish();
    if rest.is_empty() { uri.path().to_owned() } else { format!("{}?{rest}", uri.path()) }
}

/// A request for the page that a form stood on.
fn page_again(parts: axum::http::request::Parts) -> Request {
    let mut page = Request::new(Body::empty());
    *page.uri_mut() = here(&parts.uri).parse().unwrap_or_default();
    *page.headers_mut() = parts.headers;
    *page.extensions_mut() = parts.extensions;
    page
}

/// The same for a form that a script sent in the page's place: where to go next, if anywhere, or the error, as JSON.
fn to_script(answer: Result<Response, (AppError, axum::http::response::Parts)>) -> Response {
    let (headers, mut response) = match answer {
        Ok(answer) => {
            let next = answer.headers().get(header::LOCATION).and_then(|v| v.to_str().ok()).map(str::to_owned);
            (answer.headers().clone(), axum::Json(next).into_response())
        }
        Err((error, parts)) => (parts.headers, error.into_response()),
    };
    copy_cookies(&headers, response.headers_mut());
    response
}

/// For a form whose sender is not signed in any more. What was written comes back in a page of its own, since neither the
/// page that it stood on nor a redirect could show it.
pub fn signed_out(path: &str, body: &[u8]) -> Response {
    let next: String = form_urlencoded::byte_serialize(path.as_bytes()).collect();
    let Some(text) = written(body) else {
        return (StatusCode::SEE_OTHER, [(header::LOCATION, format!("/sign-in?next={next}"))]).into_response();
    };
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let page = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>You are signed out · moat</title></head><body><main>\
         <h1>You are signed out</h1><p>Your message was not sent. Copy it before you <a href=\"/sign-in?next={next}\">sign in</a>.</p>\
         <p><label for=\"text\">What you wrote</label></p><textarea id=\"text\" readonly rows=\"12\" cols=\"60\">\n{text}</textarea>\
         </main></body></html>"
    );
    (StatusCode::UNAUTHORIZED, axum::response::Html(page)).into_response()
}

fn copy_cookies(from: &HeaderMap, to: &mut HeaderMap) {
    for name in [header::SET_COOKIE, HeaderName::from_static("clear-site-data")] {
        for value in from.get_all(&name) {
            to.append(name.clone(), value.clone());
        }
    }
}

/// What somebody typed, to be shown to them again. Passwords are typed again.
fn typed(body: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(body)
        .filter(|(name, _)| !name.contains("password"))
        .map(|(name, value)| (name.into_owned(), value.replace('\0', "")))
        .collect()
}

/// The message that somebody wrote, if they did.
fn written(body: &[u8]) -> Option<String> {
    typed(body).into_iter().find(|(name, text)| name == "text" && !text.is_empty()).map(|(_, text)| text)
}

/// A parameter of an address.
pub fn query_value(uri: &Uri, key: &str) -> Option<String> {
    form_urlencoded::parse(uri.query()?.as_bytes()).find(|(k, _)| k == key).map(|(_, v)| v.into_owned())
}
