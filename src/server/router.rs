//! Every door there is: the table below and the server functions. A door is for the signed-in unless it says otherwise.
//! One file, so that who gets in can be read from top to bottom.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, DefaultBodyLimit, MatchedPath, Path, Request, State},
    http::{HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
    routing::{MethodRouter, any, get, post},
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use leptos::prelude::provide_context;
use tower::ServiceExt;
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer, CompressionLevel,
        predicate::{NotForContentType, Predicate, SizeAbove},
    },
    csrf::CsrfLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer},
    services::ServeDir,
    timeout::TimeoutLayer,
    trace::TraceLayer,
};

use super::{
    caller::{self, Caller},
    forms, headers,
    lanes::Opening,
    mailer, misses,
    state::AppState,
    wire,
};
use crate::{
    accounts::model::next_page,
    app, audit,
    error::AppError,
    guide, live, relay, targets, transfer,
    transfer::model::FILE_MAX,
    ui::{
        form::{FormAnswer, FormBack},
        keys::Keys,
        notice::PageStatus,
        raw_text::WritesHtml,
        theme::Theme,
    },
    widget, workspaces,
};

/// What stands behind a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    /// A page that wakes up in the browser: GET renders it, POST takes its forms.
    App,
    /// The same without a script.
    Plain,
    /// The event stream.
    Live,
    /// A customer's page, in a frame of whatever page may show it.
    Widget,
    /// The event stream of a customer.
    WidgetLive,
    /// What such pages load besides.
    Beside,
    /// Chats as a file.
    Export,
    /// The trail of a workspace as a file.
    Audit,
    /// Its conversations as a file.
    Table,
    /// Takes a file of chats.
    Import,
    /// Takes what customers say by other ways.
    Relay,
    /// Alive: answers without the database.
    Health,
    /// Able to serve: the database answers.
    Ready,
    /// Scripts, styles and icons.
    Files,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Door {
    pub path: &'static str,
    pub serves: Serves,
    /// For those who are not signed in as well.
    pub open: bool,
}

const fn door(path: &'static str, serves: Serves, open: bool) -> Door {
    Door { path, serves, open }
}

const OUTBOX: &str = "/dev/outbox";
/// Pages that whoever is signed in has no use for.
const PAST_WHEN_SIGNED_IN: [&str; 2] = ["/sign-in", "/sign-up"];

/// With `server_fn_paths()`, all there is.
pub static ROUTES: &[Door] = &[
    door("/", Serves::Plain, true),
    door("/sign-in", Serves::Plain, true),
    door("/sign-up", Serves::Plain, true),
    door("/sign-in/link", Serves::Plain, true),
    door("/sign-in/phone", Serves::Plain, true),
    door("/sign-in/code", Serves::Plain, true),
    door("/reset", Serves::Plain, true),
    door("/sent", Serves::Plain, true),
    door("/waiting", Serves::Plain, true),
    door("/link", Serves::Plain, true),
    door("/invitation", Serves::Plain, true),
    door("/account", Serves::Plain, false),
    door("/account/address", Serves::Plain, false),
    door("/account/password", Serves::Plain, false),
    door("/account/phone", Serves::Plain, false),
    door("/account/sessions", Serves::Plain, false),
    door("/account/leave", Serves::Plain, false),
    door(OUTBOX, Serves::Plain, true),
    door("/guide", Serves::Plain, true),
    door("/guide/{page}", Serves::Plain, true),
    door("/help/{key}", Serves::Plain, true),
    door("/help/{key}/{id}", Serves::Plain, true),
    door("/chat", Serves::App, false),
    door("/chat/{id}", Serves::App, false),
    door("/chat/{id}/ask", Serves::Plain, false),
    door("/chat/{id}/readers", Serves::Plain, false),
    door("/folders", Serves::Plain, false),
    door("/folders/{id}", Serves::Plain, false),
    door("/import", Serves::Plain, false),
    door("/operations", Serves::Plain, false),
    door("/workspaces", Serves::Plain, false),
    door("/w/{place}", Serves::Plain, false),
    door("/w/{place}/members", Serves::Plain, false),
    door("/w/{place}/invitations", Serves::Plain, false),
    door("/w/{place}/domains", Serves::Plain, false),
    door("/w/{place}/settings", Serves::Plain, false),
    door("/w/{place}/audit", Serves::Plain, false),
    door("/w/{place}/audit.jsonl", Serves::Audit, false),
    door("/w/{place}/projects/{id}", Serves::Plain, false),
    door("/w/{place}/projects/{id}/readers", Serves::Plain, false),
    door("/w/{place}/audit/{id}/readers", Serves::Plain, false),
    door("/w/{place}/desk", Serves::Plain, false),
    door("/w/{place}/desk/set-up", Serves::Plain, false),
    door("/w/{place}/desk/figures", Serves::Plain, false),
    door("/w/{place}/desk/conversations.csv", Serves::Table, false),
    door("/w/{place}/desk/relay", Serves::Plain, false),
    door("/w/{place}/desk/help", Serves::Plain, false),
    door("/w/{place}/desk/help/{id}", Serves::Plain, false),
    door("/w/{place}/desk/{id}", Serves::Plain, false),
    door("/p/{place}", Serves::Plain, false),
    door("/widget/{key}", Serves::Widget, true),
    door("/orchestrator/message", Serves::Relay, true),
    door("/widget-live", Serves::WidgetLive, true),
    door("/widget.js", Serves::Beside, true),
    door("/desk.js", Serves::Beside, true),
    door("/alerts.js", Serves::Beside, true),
    door("/desk.css", Serves::Beside, true),
    door("/import/file", Serves::Import, false),
    door("/export/{id}", Serves::Export, false),
    door("/live", Serves::Live, false),
    door("/healthz", Serves::Health, true),
    door("/readyz", Serves::Ready, true),
    door("/pkg/{*path}", Serves::Files, true),
    door("/favicon.svg", Serves::Files, true),
];

/// The server functions that need no one to be signed in.
pub static OPEN_SERVER_FNS: &[&str] = &[
    "/api/moat/accounts/server_fns/sign_in",
    "/api/moat/accounts/server_fns/sign_up",
    "/api/moat/accounts/server_fns/sign_out",
    "/api/moat/accounts/server_fns/choose_theme",
    "/api/moat/accounts/server_fns/choose_keys",
    "/api/moat/accounts/server_fns/whoami",
    "/api/moat/accounts/server_fns/ways_in",
    "/api/moat/accounts/server_fns/ask_reset",
    "/api/moat/accounts/server_fns/ask_magic",
    "/api/moat/accounts/server_fns/ask_code",
    "/api/moat/accounts/server_fns/sign_in_by_code",
    "/api/moat/accounts/server_fns/read_link",
    "/api/moat/accounts/server_fns/finish_sign_up",
    "/api/moat/accounts/server_fns/reset_password",
    "/api/moat/accounts/server_fns/sign_in_by_link",
    "/api/moat/accounts/server_fns/read_outbox",
    "/api/moat/invitations/server_fns/read_invitation",
    "/api/moat/invitations/server_fns/accept_as_new",
    "/api/moat/guide/server_fns/list_pages",
    "/api/moat/guide/server_fns/read_page",
    "/api/moat/widget/server_fns/read_welcome",
    "/api/moat/widget/server_fns/begin_visit",
    "/api/moat/widget/server_fns/read_own",
    "/api/moat/widget/server_fns/say",
    "/api/moat/widget/server_fns/introduce",
    "/api/moat/widget/server_fns/ask_person",
    "/api/moat/widget/server_fns/rate",
    "/api/moat/articles/server_fns/list_help",
    "/api/moat/articles/server_fns/read_help",
];

/// Everything but the event stream answers within this time or not at all.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// A large file over a slow line takes its time.
const UPLOAD: Duration = Duration::from_secs(900);

/// The whole server.
pub fn router(state: AppState) -> Router {
    // Also makes tokio the executor of reactive code, without which no page renders.
    let pages = leptos_axum::generate_route_list(app::App).len() + leptos_axum::generate_route_list(app::Plain).len();
    tracing::debug!(pages, "pages");
    let mut router = Router::new();
    for door in ROUTES {
        let mut methods: MethodRouter<AppState> = match door.serves {
            // Every method of it: even "not allowed" would tell that there is something.
            Serves::Plain if door.path == OUTBOX => any(outbox),
            Serves::App | Serves::Plain => get(page).post(forms::post),
            Serves::Live => get(live::stream::live),
            Serves::Widget => get(widget_page),
            Serves::WidgetLive => get(widget::stream::live),
            Serves::Beside => get(beside),
            Serves::Export => get(transfer::export::export),
            Serves::Audit => get(audit::export::export),
            Serves::Table => get(targets::export::export),
            Serves::Import => post(transfer::import::import).layer(DefaultBodyLimit::max(FILE_MAX + 64 * 1024)),
            Serves::Relay => post(relay::receive::receive).layer(DefaultBodyLimit::max(relay::receive::BODY_MAX)),
            Serves::Health => get(|| async { "ok" }),
            Serves::Ready => get(ready),
            Serves::Files => get(file),
        };
        if !door.open {
            methods = match door.serves {
                Serves::App | Serves::Plain => methods.layer(middleware::from_fn(signed_in_page)),
                _ => methods.layer(middleware::from_fn(signed_in_fetch)),
            };
        }
        if PAST_WHEN_SIGNED_IN.contains(&door.path) {
            methods = methods.layer(middleware::from_fn_with_state(state.clone(), signed_in_already));
        }
        if !matches!(door.serves, Serves::Live | Serves::WidgetLive) {
            let time = if door.serves == Serves::Import { UPLOAD } else { TIMEOUT };
            methods = methods.layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, time));
        }
        router = router.route(door.path, methods);
    }
    for (path, _method) in leptos::server_fn::axum::server_fn_paths() {
        let mut method: MethodRouter<AppState> = post(server_fn).layer(middleware::from_fn(wire::statuses));
        if !OPEN_SERVER_FNS.contains(&path) {
            method = method.layer(middleware::from_fn(signed_in_fetch));
        }
        router =
            router.route(path, method.layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, TIMEOUT)));
    }
    let csrf = CsrfLayer::new().with_rejection_response(|_| AppError::Forbidden.into_response());
    let csrf = match csrf.clone().add_trusted_origin(state.config.origin()) {
        Ok(csrf) => csrf,
        Err(error) => {
            tracing::warn!(%error, "MOAT_ORIGIN is not understood as an origin");
            csrf
        }
    };
    router
        .fallback(not_found)
        .layer(
            // One more than the default: a page is a tenth smaller for a quarter of a millisecond. The next ones cost more than
            // they give.
            CompressionLayer::new()
                .quality(CompressionLevel::Precise(5))
                .compress_when(SizeAbove::new(512).and(NotForContentType::SSE).and(NotForContentType::IMAGES)),
        )
        .layer(middleware::from_fn_with_state(state.clone(), misses::note))
        .layer(middleware::from_fn_with_state(state.clone(), caller::identify))
        .layer(csrf)
        .layer(middleware::from_fn(headers::no_phone_in_query))
        // Inside of the headers: what a panic is answered with has them too.
        .layer(CatchPanicLayer::custom(|panic: Box<dyn std::any::Any + Send>| {
            let cause =
                panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            super::db_error::internal(cause.unwrap_or("panic")).into_response()
        }))
        .layer(middleware::from_fn_with_state(state.clone(), headers::secure))
        .layer(TraceLayer::new_for_http().make_span_with(|request: &Request| {
            let id = request
                .extensions()
                .get::<RequestId>()
                .and_then(|id| id.header_value().to_str().ok())
                .unwrap_or_default();
            // The path without its query: what people search and type does not belong into logs.
            tracing::info_span!("request", id, method = %request.method(), path = request.uri().path())
        }))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        // The id is ours: what a client sends as one would go into the logs.
        .layer(middleware::map_request(|mut request: Request| async {
            request.headers_mut().remove("x-request-id");
            request
        }))
        .with_state(state)
}

/// A connection that asks for nothing, or does not finish asking, is closed after this. Longer than proxies in front keep one, which is
/// ten minutes at most: they would ask on one that is being closed.
const IDLE: Duration = Duration::from_secs(620);
/// What is under way when the server is told to stop has this long. A client that reads no more would hold it for ever.
const LAST: Duration = Duration::from_secs(30);

/// Serves until told to stop, then lets what is under way come to its end: answers for a while, streams at once, since
/// their clients come back with a cursor. HTTP/1.1 alone, which needs two thirds of the memory for each stream that is open; a proxy
/// in front speaks what browsers like.
pub async fn serve(listener: tokio::net::TcpListener, state: AppState) -> std::io::Result<()> {
    let stopping = state.stopping.clone();
    let router = router(state);
    let open = GracefulShutdown::new();
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(IDLE);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // One that has gone again is nothing; without room for more files the next try would fail at once, again and again.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Without this, Nagle's algorithm holds back the end of every streamed page for 40 ms.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no delay");
        }
        let router = router.clone();
        let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            router.clone().oneshot(request.map(Body::new))
        });
        let connection = open.watch(server.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::trace!(%error, "a connection broke off");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(LAST, open.shutdown()).await.is_err() {
        tracing::warn!("requests that were still under way are cut off");
    }
    Ok(())
}

/// Renders a page with what the request carries.
pub async fn render_page(state: &AppState, mut request: Request) -> Response {
    // The framework shows errors that it finds in an address: anybody could put words into our mouth by a link.
    if request.uri().query().is_some_and(|query| query.contains("__err") || query.contains("__path")) {
        *request.uri_mut() = request.uri().path().parse().unwrap_or_default();
    }
    let options = state.leptos.clone();
    let context = context_of(state, &request);
    let status = PageStatus::default();
    let page_status = status.clone();
    let context = move || {
        context();
        provide_context(page_status.clone());
    };
    let route = request.extensions().get::<MatchedPath>();
    let wakes = route.is_some_and(|route| ROUTES.iter().any(|d| d.path == route.as_str() && d.serves == Serves::App));
    let mut response = if wakes {
        let sheet = guide::sheet::html(&state.guide);
        leptos_axum::render_app_async_with_context(context, move || app::shell(options.clone(), sheet.clone()))(request)
            .await
    } else {
        leptos_axum::render_app_async_with_context(context, move || app::plain_shell(options.clone()))(request).await
    };
    if let (StatusCode::OK, Ok(status)) = (response.status(), StatusCode::from_u16(status.get())) {
        *response.status_mut() = status;
    }
    response
}

/// Runs the server function that the request's path names. Its body is read here, so that one that is too long or no text
/// is refused in words; serde would make a wrong byte into a question mark and store it.
pub async fn run_server_fn(state: &AppState, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    // With these the framework would send a browser back to wherever its request says it came from.
    parts.headers.remove(header::REFERER);
    parts.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let Ok(bytes) = to_bytes(body, forms::BODY_MAX).await else { return AppError::TooLarge.into_response() };
    if percent_encoding::percent_decode(&bytes).decode_utf8().is_err() {
        return wire::marked(AppError::invalid("request", "This is not text in UTF-8."));
    }
    if is_deep(&bytes) {
        return wire::marked(AppError::invalid("request", "A field's name is nested too deep."));
    }
    let request = Request::from_parts(parts, Body::from(bytes));
    let context = context_of(state, &request);
    leptos_axum::handle_server_fns_with_context(context, request).await.into_response()
}

/// Whether a form names a field deeper than any of ours is. The parser's own limit counts fields that came before, and its recursion
/// would then go as deep as the body is long, and end the process.
fn is_deep(form: &[u8]) -> bool {
    form.split(|byte| *byte == b'&').any(|field| {
        let name = field.split(|byte| *byte == b'=').next().unwrap_or_default();
        let coded = name.windows(3).filter(|part| part.eq_ignore_ascii_case(b"%5b")).count();
        name.iter().filter(|byte| **byte == b'[').count() + coded > 4
    })
}

fn context_of(state: &AppState, request: &Request) -> impl Fn() + Clone + Send + 'static {
    let state = state.clone();
    let nonce = request.extensions().get::<headers::ScriptNonce>().cloned();
    let back = request.extensions().get::<FormBack>().cloned();
    let answer = request.extensions().get::<FormAnswer>().cloned();
    let cookies = request.headers().get(header::COOKIE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let (theme, keys) = (Theme::from_cookies(cookies), Keys::from_cookies(cookies));
    move || {
        provide_context(state.clone());
        provide_context(theme);
        provide_context(keys);
        provide_context(WritesHtml);
        if let Some(nonce) = &nonce {
            provide_context(nonce.0.clone());
        }
        if let Some(back) = &back {
            provide_context(back.clone());
        }
        if let Some(answer) = &answer {
            provide_context(answer.clone());
        }
    }
}

async fn page(State(state): State<AppState>, request: Request) -> Response {
    let caller = request.extensions().get::<Caller>().cloned();
    let uri = request.uri().clone();
    let response = render_page(&state, request).await;
    let (StatusCode::NOT_FOUND, Some(Caller::User(opening))) = (response.status(), caller) else { return response };
    match in_own_place(&state, &opening, &uri).await {
        Some(there) => Redirect::to(&there).into_response(),
        None => response,
    }
}

/// The page in the bubble's frame. Which pages may show it is the key's to say.
async fn widget_page(State(state): State<AppState>, Path(key): Path<String>, request: Request) -> Response {
    let desk = state.lanes.read_desk(&key.replace('\0', ""), "UTC").await;
    let mut response = render_page(&state, request).await;
    // That there is nothing is said in the frame as well: the bubble is still on the page.
    response.extensions_mut().insert(headers::Framed(desk.map(|desk| desk.origins).unwrap_or_default()));
    response
}

/// Scripts and styles that no chat needs, from the program itself.
async fn beside(uri: Uri) -> Response {
    let (kind, text) = match uri.path() {
        "/desk.js" => ("text/javascript", include_str!("../conversations/desk.js")),
        "/alerts.js" => ("text/javascript", include_str!("../conversations/alerts.js")),
        "/desk.css" => ("text/css", include_str!("../../style/desk.css")),
        _ => ("text/javascript", include_str!("../widget/widget.js")),
    };
    let mut response =
        ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=300")], text).into_response();
    if uri.path() == "/widget.js" {
        response.extensions_mut().insert(headers::Elsewheres);
    }
    response
}

/// The same page of a workspace where its address has the place of a colleague, who has passed the link on.
async fn in_own_place(state: &AppState, opening: &Opening, uri: &Uri) -> Option<String> {
    let rest = uri.path_and_query()?.as_str().strip_prefix("/w/")?;
    let place = opening.place?;
    let rest = rest.strip_prefix(&place.to_string())?;
    let mut lane = state.lanes.user(opening).await.ok()?;
    let own = workspaces::sql::place_beside(&mut lane, place).await.ok()??;
    lane.commit().await.ok()?;
    Some(format!("/w/{own}{rest}"))
}

async fn server_fn(State(state): State<AppState>, request: Request) -> Response {
    run_server_fn(&state, request).await
}

async fn not_found(State(state): State<AppState>, request: Request) -> Response {
    let wants_page = *request.method() == Method::GET
        && request.headers().get(header::ACCEPT).and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains("text/html"));
    if !wants_page {
        return AppError::NotFound.into_response();
    }
    let mut response = render_page(&state, request).await;
    if response.status() == StatusCode::OK {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}

/// To whoever may not see the outbox, the page for an address that leads nowhere.
async fn outbox(State(state): State<AppState>, mut request: Request) -> Response {
    let shown = state.outbox.is_some() && mailer::is_local(request.extensions(), request.headers());
    if shown && matches!(*request.method(), Method::GET | Method::HEAD) {
        return render_page(&state, request).await;
    }
    *request.uri_mut() = Uri::from_static("/dev");
    not_found(State(state), request).await
}

async fn ready(State(state): State<AppState>) -> Response {
    if state.lanes.ready().await {
        "ready".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer").into_response()
    }
}

async fn file(State(state): State<AppState>, request: Request) -> Response {
    let hashed = state.leptos.hash_files && is_hashed(request.uri().path());
    // A longer name than a disk knows is no fault of ours.
    if request.uri().path().split('/').any(|name| name.len() > 200) {
        return AppError::NotFound.into_response();
    }
    let files = ServeDir::new(&*state.leptos.site_root).precompressed_br().precompressed_gzip();
    let mut response = match files.oneshot(request).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    };
    if response.status() == StatusCode::NOT_FOUND {
        return AppError::NotFound.into_response();
    }
    let cache = if hashed { "public, max-age=31536000, immutable" } else { "no-cache" };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}

/// Whether a file's name carries a hash of its content: `/pkg/moat.<hash>.wasm`.
fn is_hashed(path: &str) -> bool {
    let name = path.strip_prefix("/pkg/").unwrap_or_default();
    !name.contains('/') && name.split('.').count() == 3 && name.split('.').nth(1).is_some_and(|hash| hash.len() >= 16)
}

fn is_somebody(request: &Request) -> bool {
    matches!(request.extensions().get::<Caller>(), Some(Caller::User(_)))
}

/// Looks whether the session lives: with one that has ended, the chat would send them back here, and so on.
async fn signed_in_already(State(state): State<AppState>, request: Request, next: Next) -> Response {
    if let (&Method::GET, Some(Caller::User(opening))) = (request.method(), request.extensions().get::<Caller>())
        && state.lanes.user(opening).await.is_ok()
    {
        let wanted = forms::query_value(request.uri(), "next");
        let to = next_page(wanted.as_deref()).to_owned();
        return (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response();
    }
    next.run(request).await
}

async fn signed_in_page(request: Request, next: Next) -> Response {
    if is_somebody(&request) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    match to_bytes(body, forms::BODY_MAX).await {
        Ok(bytes) => forms::signed_out(parts.uri.path(), &bytes),
        Err(_) => AppError::TooLarge.into_response(),
    }
}

async fn signed_in_fetch(request: Request, next: Next) -> Response {
    if is_somebody(&request) { next.run(request).await } else { AppError::Unauthenticated.into_response() }
}
