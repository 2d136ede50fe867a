//! Saved replies where the desk is set up.

use leptos::prelude::*;

use super::{model::Reply, server_fns::list_replies};
use crate::{
    error::AppError,
    ui::{
        form::{Choice, Done, Field, FormBack, FormError, NotRemoved, Paragraph},
        notice::Failed,
    },
};

#[component]
pub fn Replies(
    back: Option<FormBack>,
    told: Option<&'static str>,
    changed: String,
    /// This page.
    here: String,
    action: impl Fn(&str) -> String + Clone + Send + 'static,
) -> impl IntoView {
    view! {
        <section id="replies">
            <h2>"Saved replies"</h2>
            <p>"Words that are sent often. Agents find them below the box, or by typing / into it. With labels, a priority or a next step they are done in one go, beside the conversation."</p>
            <Done what=told/>
            <NotRemoved form="remove-reply"/>
            <Suspense>
                {
                    let (back, changed, here, action) = (back.clone(), changed.clone(), here.clone(), action.clone());
                    Suspend::new(async move {
                        match list_replies().await {
                            Ok(replies) => {
                                let of = replies.iter().find(|r| r.id.to_string() == changed).cloned();
                                let one = {
                                    let (action, here) = (action.clone(), here.clone());
                                    move |r: Reply| view! {
                                        <li>
                                            <div><p>{r.name.clone()}</p><p class="quiet">{r.text.clone()}</p>{r.acts().then(|| view! { <p class="quiet">{format!("Then: {}", r.deeds())}</p> })}</div>
                                            <a class="button" href=format!("{here}?reply={}#reply-name", r.id) aria-label=format!("Change {}", r.name)>"Change"</a>
                                            <details class="sure">
                                                <summary class="button danger" aria-label=format!("Remove {}", r.name)>"Remove"</summary>
                                                <form method="post" action=action("remove-reply")>
                                                    <input type="hidden" name="reply" value=r.id.to_string()/>
                                                    <p class="quiet">"Nobody finds it any more. What was said with it stays."</p>
                                                    <button type="submit" class="button danger">"Remove this reply"</button>
                                                </form>
                                            </details>
                                        </li>
                                    }
                                };
                                view! { <ul class="facts">{replies.into_iter().map(one).collect_view()}</ul><ReplyForm back of here action=action("put-reply")/> }.into_any()
                            }
                            Err(error) => view! { <Failed error/> }.into_any(),
                        }
                    })
                }
            </Suspense>
        </section>
    }
}

/// A new reply, or another text for the one that is kept.
#[component]
fn ReplyForm(back: Option<FormBack>, of: Option<Reply>, here: String, action: String) -> impl IntoView {
    let typed = |field: &str, kept: fn(&Reply) -> String| match &back {
        Some(back) => back.typed(field),
        None => of.as_ref().map(kept).unwrap_or_default(),
    };
    let (name, text) = (typed("name", |r| r.name.clone()), typed("text", |r| r.text.clone()));
    let labels = typed("labels", |r| r.labels.join(", "));
    let priority = typed("priority", |r| r.priority.map(|n| n.to_string()).unwrap_or_default());
    let next = typed("next", |r| r.next.map(|next| next.as_str().to_owned()).unwrap_or_default());
    let error = back.as_ref().and_then(|b| b.error.clone());
    // One that a colleague has removed meanwhile is kept as a new one.
    let id = if error == Some(AppError::NotFound) { String::new() } else { typed("reply", |r| r.id.to_string()) };
    let acts = !labels.is_empty() || !priority.is_empty() || !next.is_empty();
    let old = !id.is_empty();
    let urgencies = vec![("", "As it is"), ("0", "Low"), ("1", "Normal"), ("2", "High"), ("3", "Urgent")];
    let ways = vec![
        ("", "Nothing"),
        ("resolved", "Resolve"),
        ("snoozed", "Put off until they write"),
        ("waiting", "Give back to the queue"),
    ];
    view! {
        <form method="post" action=action>
            <h3>{if old { "Change this reply" } else { "A new one" }}</h3>
            {old.then(|| view! { <input type="hidden" name="reply" value=id/> })}
                <FormError error=error.clone() fields=&["name", "text", "labels", "priority", "next"]/>
                <Field name="name" id="reply-name" label="Short name" value=name hint="By which agents find it." error=error.clone()/>
                <Paragraph name="text" label="Words" rows="3" hint="{{customer}}, {{agent}} and {{desk}} are filled in. May be empty where something else is done." value=text error=error.clone()/>
                <details class="more" open=acts>
                    <summary class="link">"What else it does"</summary>
                    <Field name="labels" id="reply-labels" label="Add labels" required=false value=labels hint="Commas between them." error=error.clone()/>
                    <Choice name="priority" label="Priority" options=urgencies value=priority error=error.clone()/>
                    <Choice name="next" label="Then" options=ways value=next error/>
                </details>
                <div class="row">
                    <button type="submit" class="button primary">{if old { "Save" } else { "Keep" }}</button>
                    {old.then(|| view! { <a class="button" href=format!("{here}#replies")>"Leave it as it is"</a> })}
                </div>
        </form>
    }
}
