use leptos::prelude::*;
use serde::{Deserialize, Serialize};

use leptos::{ev::SubmitEvent, form::FromFormData, server_fn::ServerFn};
use serde::de::DeserializeOwned;

use crate::error::AppError;

/// Sends a form by its server function instead of loading a page; the plain form stays for when there is no script.
pub trait FormSubmit {
    fn submit(&self, event: SubmitEvent);
}

impl<S> FormSubmit for ServerAction<S>
where
    S: ServerFn + DeserializeOwned + Clone + Send + Sync + 'static,
    S::Output: Send + Sync + 'static,
    S::Error: Send + Sync + 'static,
{
    fn submit(&self, event: SubmitEvent) {
        if let Ok(input) = S::from_event(&event) {
            event.prevent_default();
            self.dispatch(input);
        }
    }
}

/// A form that came back: which one, why, and what was typed into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormBack {
    pub form: String,
    pub error: AppError,
    pub fields: Vec<(String, String)>,
}

impl FormBack {
    /// What was typed into a field.
    pub fn typed(&self, field: &str) -> String {
        self.fields.iter().find(|(name, _)| name == field).map(|(_, value)| value.clone()).unwrap_or_default()
    }
}

/// The form that came back to this page, if it is this one. Travels in the page, so that waking up changes nothing.
pub fn form_back(form: &'static str) -> Option<FormBack> {
    SharedValue::new(use_context::<FormBack>).into_inner().filter(|back| back.form == form)
}

/// A labelled input with its own error below it.
#[component]
pub fn Field(
    name: &'static str,
    label: &'static str,
    #[prop(default = "text")] kind: &'static str,
    #[prop(optional)] autocomplete: &'static str,
    #[prop(optional)] hint: &'static str,
    #[prop(optional)] min_length: Option<&'static str>,
    #[prop(into, default = String::new())] value: String,
    #[prop(into)] error: Signal<Option<AppError>>,
) -> impl IntoView {
    let why = move || match error.get() {
        Some(AppError::Invalid { field, why }) if field == name => Some(why),
        _ => None,
    };
    let note = format!("{name}-note");
    view! {
        <div class="field">
            <label for=name>{label}</label>
            <input id=name name=name type=kind autocomplete=autocomplete value=value required=true minlength=min_length
                aria-describedby=note.clone() aria-invalid=move || why().map(|_| "true")/>
            <p id=note class="field-note" class:bad=move || why().is_some() aria-live="polite">
                {move || why().unwrap_or_else(|| hint.to_owned())}
            </p>
        </div>
    }
}

/// What went wrong with a form as a whole, above its button. What belongs to a field stands at the field.
#[component]
pub fn FormError(#[prop(into)] error: Signal<Option<AppError>>, fields: &'static [&'static str]) -> impl IntoView {
    move || {
        error.get().and_then(|error| match &error {
            AppError::Invalid { field, .. } if fields.contains(&field.as_str()) => None,
            _ => Some(view! { <p class="problem" role="alert">{error.to_string()}</p> }),
        })
    }
}
