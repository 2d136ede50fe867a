use leptos::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{error::AppError, json};

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

/// The form that came back to this page, if it is one of these. Travels in the page, so that waking up changes nothing.
pub fn form_back(forms: &[&str]) -> Option<FormBack> {
    json::shared(use_context::<FormBack>).filter(|back| forms.contains(&back.form.as_str()))
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
    error: Option<AppError>,
) -> impl IntoView {
    let why = match error {
        Some(AppError::Invalid { field, why }) if field == name => Some(why),
        _ => None,
    };
    let bad = why.is_some();
    let note = format!("{name}-note");
    view! {
        <div class="field">
            <label for=name>{label}</label>
            <input id=name name=name type=kind autocomplete=autocomplete value=value required=true minlength=min_length
                aria-describedby=note.clone() aria-invalid=bad.then_some("true")/>
            <p id=note class="field-note" class:bad=bad>{why.unwrap_or_else(|| hint.to_owned())}</p>
        </div>
    }
}

/// What went wrong with a form as a whole, above its button. What belongs to a field stands at the field.
#[component]
pub fn FormError(error: Option<AppError>, fields: &'static [&'static str]) -> impl IntoView {
    error.and_then(|error| match &error {
        AppError::Invalid { field, .. } if fields.contains(&field.as_str()) => None,
        _ => Some(view! { <p class="problem" role="alert">{error.to_string()}</p> }),
    })
}
