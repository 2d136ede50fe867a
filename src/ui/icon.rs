use leptos::prelude::*;

/// A Lucide icon, 16 px, drawn in the text's colour. It says nothing to a screen reader: the label beside it does.
#[component]
pub fn Icon(of: &'static icondata_core::IconData) -> impl IntoView {
    view! {
        <svg class="icon" viewBox="0 0 24 24" width="16" height="16" fill="none" stroke="currentColor" stroke-width="2"
            stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" inner_html=of.data></svg>
    }
}
