use leptos::prelude::*;

use super::icon::Icon;

/// A button that is an icon; `label` is read aloud and shown as a tooltip.
#[component]
pub fn IconButton(icon: &'static icondata_core::IconData, #[prop(into)] label: String) -> impl IntoView {
    view! {
        <button type="submit" class="icon-button" title=label.clone() aria-label=label>
            <Icon of=icon/>
        </button>
    }
}
