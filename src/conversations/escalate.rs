//! Asking the people of a desk out of a chat of one's own: what is ticked on this page is copied, word for word, and nothing else.

use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_params_map;

use super::{model::Escalation, server_fns::read_escalation};
use crate::{
    error::AppError,
    types::{ClientId, ThreadId},
    ui::{
        form::{FormError, Paragraph, form_back},
        notice::Failed,
    },
};

#[component]
pub fn Escalate() -> impl IntoView {
    let id = use_params_map().read_untracked().get("id").and_then(|id| id.parse::<ThreadId>().ok());
    let back = form_back(&["escalate"]);
    view! {
        <Title text="Ask people"/>
        <main class="page">
            {id.map(|id| view! { <p><a class="link" href=format!("/chat/{id}") rel="external">"Back to the chat"</a></p> })}
            <h1>"Ask people"</h1>
            <Suspense>
                {Suspend::new(async move {
                    let Some(id) = id else { return view! { <Failed error=AppError::NotFound/> }.into_any() };
                    let Escalation { title, turns, desks } = match read_escalation(id).await {
                        Ok(found) => found,
                        Err(error) => return view! { <Failed error/> }.into_any(),
                    };
                    if desks.is_empty() {
                        return view! { <p class="quiet">"None of your workspaces has a desk yet. Their owners and admins can open one."</p> }.into_any();
                    }
                    let typed = |field: &str| back.as_ref().map(|b| b.typed(field)).unwrap_or_default();
                    let (text, client, place) = (typed("text"), typed("client"), typed("place"));
                    let client = if client.is_empty() { ClientId::fresh().to_string() } else { client };
                    let error = back.and_then(|b| b.error);
                    let turn = |(message, mine, text): (crate::types::MessageId, bool, String)| view! {
                        <li class="pick">
                            <label>
                                <input type="checkbox" name="messages[]" value=message.to_string() checked/>
                                <span class="quiet">{if mine { "You" } else { "Answer" }}</span>
                                <span class="pick-words">{text}</span>
                            </label>
                        </li>
                    };
                    view! {
                        <p>{format!("From “{title}”. What is ticked here is copied, word for word, to a conversation that every member of that workspace reads. Nothing else of the chat is shown to anybody.")}</p>
                        <form method="post" action=format!("/chat/{id}/ask?do=escalate")>
                            <FormError error=error.clone() fields=&["text"]/>
                            <input type="hidden" name="thread" value=id.to_string()/>
                            <input type="hidden" name="client" value=client/>
                            <ul class="picks">{turns.into_iter().map(turn).collect_view()}</ul>
                            <div class="field">
                                <label for="place">"Whom"</label>
                                <select id="place" name="place">
                                    {desks.into_iter().map(|(id, workspace, desk)| view! { <option value=id.to_string() selected=id.to_string() == place>{format!("{desk} ({workspace})")}</option> }).collect_view()}
                                </select>
                            </div>
                            <Paragraph name="text" label="Your question" rows="3" hint="Comes behind what is ticked. May stay empty." value=text error/>
                            <button type="submit" class="button primary">"Send this"</button>
                        </form>
                    }.into_any()
                })}
            </Suspense>
        </main>
    }
}
