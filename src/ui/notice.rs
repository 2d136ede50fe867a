use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering},
};

use leptos::prelude::*;

use crate::error::AppError;

/// The HTTP status of the page that is being rendered; 0 is for "as it comes". Only there on the server.
#[derive(Clone, Default)]
pub struct PageStatus(Arc<AtomicU16>);

impl PageStatus {
    pub fn get(&self) -> u16 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Gives the page that is being rendered the status of an error.
pub fn page_status(status: u16) {
    if let Some(page) = use_context::<PageStatus>() {
        page.0.store(status, Ordering::Relaxed);
    }
}

/// What went wrong, where it did. Read aloud when it appears.
#[component]
pub fn Problem(#[prop(into)] text: String) -> impl IntoView {
    view! { <p class="problem" role="alert">{text}</p> }
}

/// In place of a pane that could not be loaded: what happened, and what to do.
#[component]
pub fn Failed(error: AppError) -> impl IntoView {
    page_status(error.status());
    let missing = error == AppError::NotFound;
    view! {
        <div class="empty" role="alert">
            <h1>{if missing { "Nothing here" } else { "This did not load" }}</h1>
            <p>{error.to_string()}</p>
            <p>
                {(!missing).then(|| view! { <a class="link" href="" rel="external">"Try again"</a> " or " })}
                <a class="link" href="/" rel="external">"Go to the start page"</a>
            </p>
        </div>
    }
}

/// For an address that this page's own table does not have: the server has it, or says that nobody does. Browser only.
#[component]
pub fn Elsewhere() -> impl IntoView {
    Effect::new(|_| drop(window().location().reload()));
}
