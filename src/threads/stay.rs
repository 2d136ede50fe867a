//! The browser's end of the forms that are written below messages: see `actions.js`.

use leptos::{html::Div, prelude::*};
use wasm_bindgen::prelude::*;

use crate::{error::AppError, json};

#[wasm_bindgen(module = "/src/threads/actions.js")]
extern "C" {
    fn attend(root: &JsValue, done: &Closure<dyn FnMut(bool, String)>);
}

/// Calls `done` after each form with `data-stay` inside `root` has been answered: with where to go next, if anywhere, or
/// with what went wrong.
pub fn stay(root: NodeRef<Div>, done: impl FnMut(Result<Option<String>, AppError>) + 'static) {
    let mut done = Some(done);
    // In an effect, since there are no closures of the browser's on the server.
    Effect::new(move |_| {
        let (Some(root), Some(mut done)) = (root.get(), done.take()) else { return };
        let closure = Closure::<dyn FnMut(bool, String)>::new(move |ok: bool, body: String| {
            done(if ok {
                Ok(json::read(&body).unwrap_or_default())
            } else {
                Err(json::read(&body).unwrap_or(AppError::Unavailable))
            });
        });
        attend(&root, &closure);
        // As long as the element that calls it.
        StoredValue::new_local(closure);
    });
}
