use leptos::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{error::AppError, json, ui::raw_text::raw_text};

/// A form that came back: which one, why if it was refused, and what was typed into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormBack {
    pub form: String,
    pub error: Option<AppError>,
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

/// What a form's server function gave back, where its page shows that: the form, and the answer's JSON.
#[derive(Clone)]
pub struct FormAnswer {
    pub form: &'static str,
    pub json: String,
}

/// What came back from one of these forms. Plain pages alone show it.
pub fn form_answer<T: serde::de::DeserializeOwned>(forms: &[&str]) -> Option<T> {
    let answer = use_context::<FormAnswer>().filter(|answer| forms.contains(&answer.form))?;
    serde_json::from_str(&answer.json).ok()
}

/// A labelled input with its own error below it.
#[component]
pub fn Field(
    name: &'static str,
    /// Its id in the page, where two forms have a field of this name.
    #[prop(optional)]
    id: Option<&'static str>,
    label: &'static str,
    #[prop(default = "text")] kind: &'static str,
    #[prop(optional)] autocomplete: &'static str,
    #[prop(optional)] hint: &'static str,
    #[prop(optional)] min_length: Option<&'static str>,
    #[prop(default = true)] required: bool,
    #[prop(optional)] input_mode: Option<&'static str>,
    #[prop(into, default = String::new())] value: String,
    error: Option<AppError>,
) -> impl IntoView {
    let why = match error {
        Some(AppError::Invalid { field, why }) if field == name => Some(why),
        _ => None,
    };
    let bad = why.is_some();
    let id = id.unwrap_or(name);
    let note = format!("{id}-note");
    view! {
        <div class="field">
            <label for=id>{label}</label>
            <input id=id name=name type=kind autocomplete=autocomplete value=value required=required minlength=min_length inputmode=input_mode
                aria-describedby=note.clone() aria-invalid=bad.then_some("true")/>
            <p id=note class="field-note" class:bad=bad>{why.unwrap_or_else(|| hint.to_owned())}</p>
        </div>
    }
}

/// A labelled field for some sentences, with its own error below it.
#[component]
pub fn Paragraph(
    name: &'static str,
    label: &'static str,
    hint: &'static str,
    #[prop(default = "4")] rows: &'static str,
    #[prop(into)] value: String,
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
            <textarea id=name name=name rows=rows aria-describedby=note.clone() aria-invalid=bad.then_some("true")>{raw_text()(&value)}</textarea>
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

/// A labelled choice of one: the values, and what each is called.
#[component]
pub fn Choice(
    name: &'static str,
    label: &'static str,
    options: Vec<(&'static str, &'static str)>,
    #[prop(into)] value: String,
    error: Option<AppError>,
) -> impl IntoView {
    let why = match error {
        Some(AppError::Invalid { field, why }) if field == name => Some(why),
        _ => None,
    };
    let note = format!("{name}-note");
    let options = options
        .into_iter()
        .map(|(of, called)| view! { <option value=of selected=of == value>{called}</option> })
        .collect_view();
    view! {
        <div class="field">
            <label for=name>{label}</label>
            <select id=name name=name aria-describedby=note.clone()>{options}</select>
            <p id=note class="field-note bad">{why}</p>
        </div>
    }
}

/// Why something of a list was not removed, at the list.
#[component]
pub fn NotRemoved(form: &'static str) -> impl IntoView {
    view! { <FormError error=form_back(&[form]).and_then(|b| b.error) fields=&[]/> }
}

/// What was done, above the page that one was sent back to.
#[component]
pub fn Done(what: Option<&'static str>) -> impl IntoView {
    what.map(|what| view! { <p class="done" role="status">{what}</p> })
}
