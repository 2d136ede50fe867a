//! What the chat's screens are drawn with.

use leptos::{html::Textarea, prelude::*};

use super::{
    model::{Head, MessageView, bare, open_code},
    unsent::{self, Unsent, Whose},
};
use crate::{
    error::AppError,
    types::{ClientId, MessageId, Role, Status, ThreadId},
    ui::{icon::Icon, notice::Problem, raw_text::raw_text},
};

/// Above a transcript: its title, and what can be done with the whole of it.
#[component]
pub fn ThreadHead(
    head: RwSignal<Head>,
    menu: RwSignal<String>,
    /// A form in the menu was refused.
    open: bool,
) -> impl IntoView {
    view! {
        <header class="pane-head">
            <a class="icon-button back" href="/chat" title="Back to the list" aria-label="Back to the list"><Icon of=icondata_lu::LuChevronLeft/></a>
            <h1 title=move || head.read().title.clone()>{move || head.read().title.clone()}</h1>
            <details class="menu" open=open>
                <summary class="icon-button" title="Rename, instructions, delete" aria-label="Rename, instructions, delete"><Icon of=icondata_lu::LuPencil/></summary>
                <div class="menu-body" inner_html=menu></div>
            </details>
        </header>
    }
}

/// One message. While an answer is being written it is shown as it comes; when it is whole, the server has rendered it.
#[component]
pub fn MessageBlock(view: ArcRwSignal<MessageView>) -> impl IntoView {
    let (id, role) = view.with_untracked(|v| (v.id, v.role));
    let status = {
        let view = view.clone();
        Memo::new(move |_| view.read().status)
    };
    // Parts, each with a memo of its own: a piece that arrives touches the tail alone.
    let part = |of: fn(&MessageView) -> String| {
        let view = view.clone();
        Memo::new(move |_| of(&view.read()))
    };
    let html = part(|v| v.html.clone());
    let tail = part(|v| bare(&v.text[..open_code(&v.text)]));
    // Up to its last fence: what comes after that is shown when the block is.
    let code = part(|v| {
        let code = v.text[open_code(&v.text)..].split_once('\n').unwrap_or_default().1;
        code.split("\n```").next().unwrap_or_default().trim_end_matches('`').to_owned()
    });
    let actions = part(|v| v.actions.clone());
    let running = move || status.get() == Some(Status::Running);
    let body = view! {
        <div class="prose" inner_html=html></div>
        // Made anew below each new block: what is there already must not be seen to jump.
        <For each=move || running().then(|| html.with(String::len)) key=|below| *below let:_below>
            <div class="streaming">{tail}<pre hidden=move || code.with(String::is_empty)>{code}</pre><span class="caret" aria-hidden="true"></span></div>
        </For>
    };
    let note = move || {
        let text = match status.get()? {
            Status::Running | Status::Done => return None,
            Status::Stopped => "You stopped this answer.".to_owned(),
            Status::Interrupted => "This answer was interrupted: the server stopped while it was written.".to_owned(),
            Status::Failed => view.read().why.clone(),
        };
        Some(view! { <div class="note"><p>{text}</p></div> })
    };
    view! {
        <article class="message" id=format!("m-{id}") data-role=role.as_str() data-message=id.to_string()>
            <h2 class="said-by">{if role == Role::User { "You" } else { "moat" }}</h2>
            {body}
            {note}
            <div class="actions" inner_html=actions></div>
        </article>
    }
}

/// A message on its way, one that waits its turn, or one that did not arrive.
#[component]
pub fn PendingBlock(
    item: Unsent,
    retry: impl Fn(Unsent) + Clone + Send + Sync + 'static,
    /// Puts it back into the box.
    edit: impl Fn(ClientId, String) + Copy + Send + Sync + 'static,
    forget: impl Fn(ClientId) + Copy + Send + Sync + 'static,
    /// Stops the answer that it waits for.
    now: impl Fn() + Copy + Send + Sync + 'static,
) -> impl IntoView {
    let again = item.clone();
    let Unsent { client, text, failed, waiting, .. } = item;
    let back = text.clone();
    let waits = waiting && failed.is_none();
    let what = match failed {
        Some(error) => view! {
            <p role="alert">"Not sent. "{error.to_string()}</p>
            <button type="button" class="button" on:click=move |_| retry(again.clone())>"Send again"</button>
        }
        .into_any(),
        None if waits => view! {
            <p>"Waits until the answer is there."</p>
            <button type="button" class="button" on:click=move |_| now()>"Stop the answer and send now"</button>
            <button type="button" class="button" on:click=move |_| edit(client, back.clone())>"Edit"</button>
        }
        .into_any(),
        None => return view! { <PendingFrame text><p class="quiet">"Sending…"</p></PendingFrame> }.into_any(),
    };
    view! {
        <PendingFrame text>
            <div class="note">
                {what}
                <button type="button" class="button" on:click=move |_| forget(client)>"Discard"</button>
            </div>
        </PendingFrame>
    }
    .into_any()
}

#[component]
fn PendingFrame(text: String, children: Children) -> impl IntoView {
    view! {
        <article class="message" data-role="user" data-unsent="">
            <h2 class="said-by">"You"</h2>
            <div class="streaming">{text}</div>
            {children()}
        </article>
    }
}

/// Where one writes. Without a script it is a plain form; with one, Enter sends and Shift+Enter makes a new line.
#[component]
pub fn Composer(
    #[prop(into)] action: String,
    /// Under which name the draft is kept.
    #[prop(into)]
    draft: String,
    client: RwSignal<ClientId>,
    thread: Option<ThreadId>,
    /// What stands last above the box: it is said to that.
    #[prop(default = None)]
    after: Option<MessageId>,
    typed: String,
    problem: RwSignal<Option<AppError>>,
    /// Nothing can be sent now.
    #[prop(into)]
    busy: Signal<bool>,
    area: NodeRef<Textarea>,
    /// Is given the text, and a call that empties the box.
    send: impl Fn(String, Callback<()>) + Clone + 'static,
) -> impl IntoView {
    let of = StoredValue::new(draft);
    let whose = use_context::<Whose>();
    Effect::new(move |_| {
        if whose.is_some_and(|Whose(known)| known.get())
            && let Some(area) = area.get()
            && area.value().is_empty()
            && let Some(text) = unsent::draft(&of.read_value())
        {
            area.set_value(&text);
        }
    });
    let submit = move || {
        let Some(element) = area.get_untracked() else {
            return;
        };
        if busy.get_untracked() {
            return;
        }
        let accepted = Callback::new(move |()| {
            if let Some(Some(element)) = area.try_get_untracked() {
                element.set_value("");
            }
            unsent::keep_draft(&of.read_value(), "");
        });
        send(element.value(), accepted);
    };
    let on_key = {
        let submit = submit.clone();
        move |event: leptos::ev::KeyboardEvent| {
            if event.key() == "Enter" && !event.shift_key() && !event.is_composing() {
                event.prevent_default();
                submit();
            }
        }
    };
    view! {
        <div class="composer">
            {move || problem.get().map(|error| view! { <Problem text=error.to_string()/> })}
            <form id="composer" method="post" action=action on:submit=move |event| { event.prevent_default(); submit(); }>
                <input type="hidden" name="client" value=move || client.get().to_string()/>
                {thread.map(|thread| view! { <input type="hidden" name="thread" value=thread.to_string()/> })}
                {after.map(|after| view! { <input type="hidden" name="after" value=after.to_string()/> })}
                <textarea name="text" aria-label="Your message" placeholder="Ask anything" rows="3" required=true node_ref=area
                    on:keydown=on_key on:input=move |event| unsent::keep_draft(&of.read_value(), &event_target_value(&event))>{raw_text()(&typed)}</textarea>
                <button type="submit" class="button primary send" disabled=busy title="Send (Enter)" aria-label="Send"><Icon of=icondata_lu::LuArrowUp/></button>
            </form>
        </div>
    }
}
