use leptos::prelude::*;

/// Marks that HTML is being written: the server provides it, the browser does not.
#[derive(Clone, Copy)]
pub struct WritesHtml;

/// What goes into a `<title>` or a `<textarea>`. Both are written into the page as they are, so that a text with a closing
/// tag in it would become a part of the page; the browser, which sets them as text, must not see the escapes.
pub fn raw_text() -> impl Fn(&str) -> String + Clone + Send + Sync + 'static {
    let html = use_context::<WritesHtml>().is_some();
    move |text| if html { text.replace('&', "&amp;").replace('<', "&lt;") } else { text.to_owned() }
}
