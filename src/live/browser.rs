//! The browser's end: views subscribe with the cursor of what they show.

use leptos::prelude::*;
use wasm_bindgen::prelude::*;

use super::model::{Event, LiveStart, Told};
use crate::json;

#[wasm_bindgen(module = "/src/live/browser.js")]
extern "C" {
    fn start(name: &str, after: f64);
    fn subscribe(after: f64, tell: &Closure<dyn FnMut(String)>) -> i32;
    fn unsubscribe(id: i32);
}

/// Calls `tell` with everything that happens after `from`, until the current owner is cleaned up. Call it in an effect:
/// there is no stream on the server. `Event::Resync` means: read anew what you show.
pub fn listen(from: &LiveStart, mut tell: impl FnMut(Told) + 'static) {
    start(&from.channel, from.pos as f64);
    let mut after = from.pos;
    let closure = Closure::<dyn FnMut(String)>::new(move |json: String| match json::read::<Told>(&json) {
        Ok(told) => {
            // What is read anew ends there, even if that is an earlier place than before.
            if told.event == Event::Resync {
                after = told.pos;
                tell(told);
            } else if told.pos > after {
                tell(told);
            }
        }
        Err(_) => tell(Told { pos: after, event: Event::Resync }),
    });
    let id = subscribe(from.pos as f64, &closure);
    let held = StoredValue::new_local(Some(closure));
    if id < 0 {
        // The view is older than what this tab remembers.
        held.update_value(|held| {
            if let Some(closure) = held {
                let function: &js_sys::Function = closure.as_ref().unchecked_ref();
                let json = r#"{"pos":0,"event":{"kind":"resync"}}"#;
                drop(function.call1(&JsValue::NULL, &JsValue::from_str(json)));
            }
        });
    }
    on_cleanup(move || {
        unsubscribe(id);
        held.try_update_value(Option::take);
    });
}
