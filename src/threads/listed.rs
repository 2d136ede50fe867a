//! The browser's end of the list: see `list.js`.

use leptos::{html::Div, prelude::*};
use leptos_router::hooks::use_navigate;
use wasm_bindgen::prelude::*;

use super::{
    model::Listed,
    stay::stay,
    unsent::{self, Whose},
};
use crate::{
    error::AppError,
    live::{browser::listen, model::Event},
    types::ThreadId,
    ui::notice::Problem,
};

#[wasm_bindgen(module = "/src/threads/list.js")]
extern "C" {
    type Lines;
    #[wasm_bindgen(js_name = list)]
    fn begin(root: &JsValue) -> Lines;
    #[wasm_bindgen(method)]
    fn tell(this: &Lines, thread: String, what: &str);
    #[wasm_bindgen(method)]
    fn open(this: &Lines, thread: String);
    #[wasm_bindgen(method)]
    fn end(this: &Lines);
}

#[wasm_bindgen(module = "/src/threads/keys.js")]
extern "C" {
    fn attend_keys();
}

/// The list, kept up to date by the stream.
#[component]
pub fn LiveList(listed: Listed, open: Memo<Option<ThreadId>>, problem: RwSignal<Option<AppError>>) -> impl IntoView {
    let Listed { html, live } = listed;
    let root = NodeRef::<Div>::new();
    let whose = use_context::<Whose>();
    // All of it in an effect: what belongs to the browser must not be made in a thread of the server and dropped in another.
    Effect::new(move |_| {
        let Some(root) = root.get() else { return };
        unsent::belong_to(&live.channel);
        if let Some(Whose(known)) = whose {
            known.set(true);
        }
        let lines = StoredValue::new_local(begin(&root));
        attend_keys();
        let tell = move |thread: String, what: &str| {
            lines.try_with_value(|lines| lines.tell(thread, what));
        };
        listen(&live, move |told| match told.event {
            Event::ThreadChanged { thread, .. } => tell(thread.to_string(), "changed"),
            Event::AnswerEnded { thread } => tell(thread.to_string(), "ended"),
            Event::ThreadGone { thread } => tell(thread.to_string(), "gone"),
            Event::Resync => tell(String::new(), "gone"),
            _ => {}
        });
        // The open chat has been seen when it is opened, when its answer ends before somebody's eyes, and when they come back.
        Effect::new(move |_| {
            let thread = open.get().map(|id| id.to_string()).unwrap_or_default();
            lines.try_with_value(|lines| lines.open(thread));
        });
        on_cleanup(move || {
            lines.try_with_value(Lines::end);
        });
    });
    let navigate = use_navigate();
    stay(root, move |done| match done {
        Ok(next) => {
            problem.set(None);
            if let Some(next) = next {
                navigate(&next, Default::default());
            }
        }
        Err(error) => problem.set(Some(error)),
    });
    view! {
        {move || problem.get().map(|error| view! { <Problem text=error.to_string()/> })}
        <div class="listed" node_ref=root inner_html=html></div>
    }
}
