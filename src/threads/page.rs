//! The chat's screens: the list with a pane beside it, a new chat, an open one. One file, since the three are one frame
//! and share what the stream tells.

use leptos::{
    html::Textarea,
    prelude::*,
    task::spawn_local,
    wasm_bindgen::JsCast,
    web_sys::{HtmlInputElement, HtmlSelectElement},
};
use leptos_meta::Title;
use leptos_router::{
    components::Outlet,
    hooks::{use_location, use_navigate, use_params_map, use_query_map},
};

use super::{
    listed::LiveList,
    model::{TRANSCRIPT_PAGE, Transcript},
    parts::{Composer, MessageBlock, PendingBlock, ThreadHead},
    server_fns::{open_thread, send_message, show_beginning, show_list, start_thread, stop_answer},
    stay::stay,
    transcript::{Part, catch_up, put_above, read_again, rows, runs, show},
    unsent::{self, Unsent, Whose},
};
use crate::{
    error::AppError,
    json,
    live::{
        browser::listen,
        model::{Event, LiveStart},
    },
    types::{ClientId, FolderId, MessageId, Status, ThreadId},
    ui::{
        form::{FormBack, form_back},
        icon::Icon,
        notice::Failed,
    },
};

/// The frame of the signed-in: the list, and the pane that the address names.
#[component]
pub fn Chats() -> impl IntoView {
    let params = use_params_map();
    let open = Memo::new(move |_| params.read().get("id").and_then(|id| id.parse::<ThreadId>().ok()));
    let (query, beside) = (use_location().search.get_untracked(), open.get_untracked());
    let list = json::resource(|| (), move |()| show_list(query.clone(), beside));
    // Here and not in the list, which is made when it has come: what travels in the page is numbered in the order in which it
    // is asked for, and that order has to be the same in the browser. An open chat shows it itself.
    let problem = RwSignal::new(form_back(&["file"]).filter(|_| beside.is_none()).and_then(|back| back.error));
    provide_context(Whose(RwSignal::new(false)));
    view! {
        <div class="frame" class:open=move || open.get().is_some()>
            <a class="skip" href="#composer" rel="external">"Skip to the box to write in"</a>
            <nav class="side" aria-label="Chats">
                <Suspense>
                    {move || Suspend::new(async move {
                        match list.await {
                            Ok(listed) => view! { <LiveList listed open problem/> }.into_any(),
                            Err(error) => view! { <Failed error/> }.into_any(),
                        }
                    })}
                </Suspense>
            </nav>
            <main class="pane"><Outlet/></main>
        </div>
    }
}

/// The pane without a thread: ask something, and there is one.
#[component]
pub fn NewChat() -> impl IntoView {
    let back = form_back(&["start"]);
    let typed = back.as_ref().map(|b| b.typed("text")).unwrap_or_default();
    let client = back.as_ref().and_then(kept_id);
    let client = json::shared(move || client.unwrap_or_else(ClientId::fresh));
    let client = RwSignal::new(client);
    let problem = RwSignal::new(back.and_then(|b| b.error));
    // The id of a first try stays with the draft: if only its confirmation was lost, sending the draft again after a reload
    // finds the chat that it made.
    let whose = use_context::<Whose>();
    Effect::new(move |_| {
        if whose.is_some_and(|Whose(known)| known.get())
            && let Some(id) = unsent::draft("new-id").and_then(|id| id.parse().ok())
        {
            client.set(id);
        }
    });
    let folder = use_query_map().with_untracked(|q| q.get("folder")).and_then(|id| id.parse::<FolderId>().ok());
    let begin = json::resource(|| (), |()| show_beginning());
    let sending = RwSignal::new(false);
    let navigate = use_navigate();
    let send = move |text: String, accepted: Callback<()>| {
        if sending.get_untracked() {
            return;
        }
        sending.set(true);
        unsent::keep_draft("new-id", &client.get_untracked().to_string());
        let navigate = navigate.clone();
        spawn_local(async move {
            let (goes, model) = chosen();
            match start_thread(client.get_untracked(), text, Some(goes), folder, model).await {
                Ok(posted) => {
                    accepted.run(());
                    unsent::keep_draft("new-id", "");
                    navigate(&format!("/chat/{}", posted.thread), Default::default());
                }
                // The text stays in the box, and the id with it: sending again can't make a second thread.
                Err(error @ AppError::Conflict { .. }) => {
                    client.set(ClientId::fresh());
                    unsent::keep_draft("new-id", "");
                    problem.set(Some(error));
                }
                Err(error) => problem.set(Some(error)),
            }
            sending.try_set(false);
        });
    };
    view! {
        <Title text="New chat"/>
        <div class="conversation">
            <div class="welcome">
                <h1>"What would you like to know?"</h1>
                <p>"Only you can read what you write here. "<a class="link" href="/guide/privacy" rel="external">"How that is kept"</a></p>
            </div>
            <Composer action="/chat?do=start" draft="new" client thread=None typed problem busy=sending area=NodeRef::new() send/>
            {folder.map(|id| view! { <input type="hidden" name="folder" value=id.to_string() form="composer"/> })}
            <Suspense>
                {move || Suspend::new(async move {
                    let html = begin.await.unwrap_or_default();
                    view! { <div class="begin" inner_html=html></div> }
                })}
            </Suspense>
        </div>
    }
}

/// What stands below the box of a new chat: whether it is temporary, and which model answers. Browser only.
fn chosen() -> (bool, Option<String>) {
    let find = |what| document().query_selector(what).ok().flatten();
    let temporary: Option<HtmlInputElement> = find("[name=temporary]").and_then(|found| found.dyn_into().ok());
    let model: Option<HtmlSelectElement> = find(".begin [name=model]").and_then(|found| found.dyn_into().ok());
    (temporary.is_some_and(|box_| box_.checked()), model.map(|select| select.value()))
}

/// An address that leads to a message shows that one's branch at each reload. Whoever has chosen another branch since
/// would lose the choice by it, so the address is the chat's own from then on. Browser only.
fn led_to_is_over(thread: ThreadId) {
    if let Ok(history) = window().history() {
        let state = history.state().unwrap_or_default();
        drop(history.replace_state_with_url(&state, "", Some(&format!("/chat/{thread}"))));
    }
}

/// The pane with a thread.
#[component]
pub fn OpenChat() -> impl IntoView {
    let params = use_params_map();
    let query = use_query_map();
    let wanted = move || {
        let message = |name| query.read().get(name).and_then(|id| id.parse().ok());
        (params.read().get("id").and_then(|id| id.parse().ok()), message("before"), message("at"))
    };
    type Wanted = (Option<ThreadId>, Option<MessageId>, Option<MessageId>);
    let transcript = json::resource(wanted, |(thread, before, at): Wanted| async move {
        match thread {
            Some(thread) => open_thread(thread, before, at).await.map(|t| (t, Part { thread, before, at })),
            None => Err(AppError::NotFound),
        }
    });
    view! {
        <Transition fallback=|| view! { <div class="loading" aria-busy="true"></div> }>
            {move || Suspend::new(async move {
                match transcript.await {
                    Ok(page) => view! {
                        // Keyed, so that another chat is drawn anew: what was typed into one's menu must not stand in the next.
                        <For each=move || Some(page.clone()) key=|(t, part)| (*part, t.messages.first().map(|m| m.id)) let((transcript, part))>
                            <Conversation transcript part/>
                        </For>
                    }.into_any(),
                    Err(error) => view! { <Failed error/> }.into_any(),
                }
            })}
        </Transition>
    }
}

/// The id of a form that came back, so that sending it again can't double it; not one that was spent on another text.
fn kept_id(back: &FormBack) -> Option<ClientId> {
    if matches!(back.error, Some(AppError::Conflict { .. })) { None } else { back.typed("client").parse().ok() }
}

/// The forms of an open chat; why one was refused is shown above the box.
const FORMS: &[&str] =
    &["send", "rename", "delete", "stop", "again", "edit", "choose", "remove", "fork", "thumb", "options", "file"];

#[component]
fn Conversation(transcript: Transcript, part: Part) -> impl IntoView {
    let (thread, older) = (part.thread, transcript.older);
    let looked_for = part.at;
    // Of a page around a message that is among the newest, the newest are read again.
    let part = if older { part } else { Part { before: None, at: None, ..part } };
    let head = RwSignal::new(transcript.thread);
    let more = RwSignal::new(transcript.more);
    let shown = RwSignal::new(show(transcript.messages));
    let unsent = RwSignal::new(Vec::<Unsent>::new());
    let problem = RwSignal::new(None::<AppError>);
    let deleted = RwSignal::new(false);
    let live: LiveStart = transcript.live;
    // In this branch or in another.
    let answering = Memo::new(move |_| {
        // An answer that is being written has nothing below it.
        head.read().answering || shown.read().last().is_some_and(|s| s.view.read().status == Some(Status::Running))
    });
    // Read aloud, and so not a word for each piece: that it begins, and that it is over.
    let told = Memo::new(move |before: Option<&&str>| match (answering.get(), before) {
        (true, _) => "moat is writing…",
        (false, None | Some(&"")) => "",
        (false, Some(_)) => "The answer has ended.",
    });
    let menu = RwSignal::new(transcript.menu);

    let navigate = use_navigate();
    // A message that has to be on screen, and the page on which it is.
    let wanted = StoredValue::new(None::<(MessageId, String)>);
    let catch_up = {
        let navigate = navigate.clone();
        catch_up(part, head, menu, more, shown, unsent, move || {
            deleted.try_set(false);
            if let Some((message, page)) = wanted.try_update_value(Option::take).flatten()
                && shown.with_untracked(|all| all.iter().all(|s| s.id != message))
            {
                navigate(&page, Default::default());
            }
        })
    };
    {
        let catch_up = catch_up.clone();
        Effect::new(move |_| {
            let catch_up = catch_up.clone();
            unsent::belong_to(&live.channel);
            // Further up nothing is sent but what is written there: it leads away to the newest.
            if !older {
                unsent::load(thread, unsent, &shown.read_untracked());
                unsent::follow(thread, unsent);
            }
            listen(&live, move |told| match told.event {
                Event::AnswerChunk { thread: of, message, n, text } if of == thread => {
                    let known = shown.with_untracked(|all| all.iter().find(|s| s.id == message).cloned());
                    // One that is not shown is on another branch: nothing here changes by it.
                    if known.is_some_and(|shown| shown.hear(n, text) != Some(false)) {
                        catch_up();
                    }
                }
                Event::MessagePosted { thread: of } | Event::AnswerEnded { thread: of } if of == thread => catch_up(),
                Event::ThreadChanged { thread: of, message } if of == thread => {
                    catch_up();
                    if let Some(message) = message {
                        read_again(thread, message, shown);
                    }
                }
                Event::ThreadGone { thread: of } if of == thread => deleted.set(true),
                Event::Resync => {
                    // Above the page that is read again nothing tells what has changed.
                    shown.update(|all| {
                        let above = all.len().saturating_sub(TRANSCRIPT_PAGE as usize);
                        all.drain(..above);
                    });
                    catch_up();
                }
                _ => {}
            });
        });
    }

    let (area, scroller) = (NodeRef::<Textarea>::new(), NodeRef::<leptos::html::Div>::new());
    // Where somebody goes on whose button has gone.
    let to_area = move || {
        if let Some(area) = area.get_untracked() {
            drop(area.focus());
        }
    };
    let post = {
        let (catch_up, navigate) = (catch_up.clone(), navigate.clone());
        move |message: Unsent| {
            let (catch_up, navigate) = (catch_up.clone(), navigate.clone());
            let message = Unsent { failed: None, waiting: false, ..message };
            unsent::put(thread, unsent, message.clone());
            spawn_local(async move {
                match send_message(thread, message.client, message.text.clone(), message.after).await {
                    Ok(_) => {
                        unsent::change(thread, unsent, Unsent { sent: true, ..message });
                        if older {
                            navigate(&format!("/chat/{thread}"), Default::default());
                        }
                        catch_up();
                    }
                    Err(error) => {
                        // Another machine has asked something meanwhile: it waits for that answer.
                        let waiting =
                            matches!(error, AppError::Conflict { .. }) && answering.try_get_untracked() == Some(true);
                        let failed = Some(error).filter(|_| !waiting);
                        unsent::change(thread, unsent, Unsent { failed, waiting, ..message });
                        catch_up();
                    }
                }
            });
        }
    };
    let retry = {
        let post = post.clone();
        move |message: Unsent| {
            post(message);
            to_area();
        }
    };
    // What is sent while an answer is written waits for its end; one goes after the other, and none past one that failed.
    let send = move |text: String, accepted: Callback<()>| match super::model::message_text(&text) {
        Ok(text) => {
            problem.set(None);
            accepted.run(());
            let after = shown.with_untracked(|all| all.last().map(|s| s.id)).filter(|_| !older);
            let client = ClientId::fresh();
            unsent::put(
                thread,
                unsent,
                Unsent { client, text, failed: None, waiting: true, sent: false, at: js_sys::Date::now(), after },
            );
            // Whoever sends something wants to see it there.
            if let Some(scroller) = scroller.get_untracked() {
                scroller.set_scroll_top(0);
            }
        }
        Err(error) => problem.set(Some(error)),
    };
    {
        let post = post.clone();
        Effect::new(move |_| {
            let next = unsent.with(|all| all.first().filter(|first| first.waiting && first.failed.is_none()).cloned());
            if let Some(next) = next
                && !answering.get()
            {
                post(next);
            }
        });
    }
    let forget = move |client: ClientId| {
        unsent::drop_one(thread, unsent, client);
        to_area();
    };
    let reading = StoredValue::new(false);
    let earlier = move || {
        let Some(first) = shown.with_untracked(|all| all.first().map(|s| s.id)) else {
            return;
        };
        if reading.get_value() {
            return;
        }
        reading.set_value(true);
        spawn_local(async move {
            let page = open_thread(thread, Some(first), None).await;
            reading.try_set_value(false);
            match page {
                // The branch has been changed meanwhile: what stood above it has gone with it.
                Ok(_) if shown.try_with_untracked(|all| all.first().map(|s| s.id)) != Some(Some(first)) => {}
                Ok(page) => {
                    more.set(page.more);
                    shown.update(|all| put_above(all, page.messages));
                }
                Err(error) => problem.set(Some(error)),
            }
        });
    };
    let stop = move || {
        spawn_local(async move {
            if let Err(error) = stop_answer(thread).await {
                problem.set(Some(error));
            }
        });
    };
    let edit = move |client: ClientId, text: String| {
        forget(client);
        if let Some(area) = area.get_untracked() {
            let area: &leptos::web_sys::HtmlTextAreaElement = &area;
            // What is being typed there stays, behind it.
            let text = if area.value().is_empty() { text } else { format!("{text}\n{}", area.value()) };
            area.set_value(&text);
            drop(area.focus());
            unsent::keep_draft(&thread.to_string(), &text);
        }
    };
    let last = shown.with_untracked(|all| all.last().map(|s| s.id)).filter(|_| !older);
    let root = NodeRef::new();
    stay(root, {
        let catch_up = catch_up.clone();
        move |done| match done {
            Ok(next) => {
                problem.set(None);
                // The page of a message may be this one.
                let at = |next: &str| next.split_once("?at=")?.1.split_once('#')?.0.parse().ok();
                match next {
                    Some(next) if next.starts_with(&format!("/chat/{thread}?")) => {
                        if !older {
                            led_to_is_over(thread);
                        }
                        wanted.set_value(at(&next).map(|at| (at, next)));
                        catch_up();
                    }
                    Some(next) => navigate(&next, Default::default()),
                    None => catch_up(),
                }
            }
            Err(error) => problem.set(Some(error)),
        }
    });

    let back = form_back(FORMS);
    // Stopping gives back what stands in the box.
    let sent = back.as_ref().filter(|back| ["send", "stop"].contains(&back.form.as_str()));
    let in_menu = back.as_ref().is_some_and(|back| ["options", "rename"].contains(&back.form.as_str()));
    let typed = sent.map(|b| b.typed("text")).unwrap_or_default();
    let client = sent.and_then(kept_id);
    let client = RwSignal::new(json::shared(move || client.unwrap_or_else(ClientId::fresh)));
    if let Some(back) = back {
        problem.set(back.error);
    }
    // The server asks for it once more when the page's head is written, and what belongs to this part may be gone by then:
    // this one signal is held by whoever asks.
    let title = ArcRwSignal::new(head.with_untracked(|head| head.title.clone()));
    let now = title.clone();
    Effect::new(move |_| now.set(head.read().title.clone()));
    view! {
        <Title text=move || title.get()/>
        <div class="conversation" node_ref=root data-at=looked_for.map(|id| id.to_string())>
            <ThreadHead head menu open=in_menu/>
            <Show when=move || deleted.get()>
                <p class="problem" role="alert">"This chat was deleted in another window. "<a class="link" href="/chat">"Go to your chats"</a></p>
            </Show>
            <div class="scroller" tabindex="0" role="region" aria-label="Messages" node_ref=scroller>
                <div class="messages">
                    <Show when=move || more.get()>
                        <p class="earlier">
                            <a class="button" href=move || shown.with(|all| all.first().map(|s| format!("?before={}", s.id)).unwrap_or_default())
                                on:click=move |event| { event.prevent_default(); earlier(); }>"Earlier messages"</a>
                        </p>
                    </Show>
                    <For each=move || runs(&shown.read()) key=|run| *run let:run>
                        <div class="run">
                            <For each=move || rows(&shown.read(), run) key=|s| s.id let:item>
                                <MessageBlock view=item.view/>
                            </For>
                        </div>
                    </For>
                    <For each=move || unsent.get() key=|u| (u.client, u.failed.clone(), u.waiting) let:item>
                        <PendingBlock item retry=retry.clone() edit forget now=stop/>
                    </For>
                    {older.then(|| view! { <p class="earlier"><a class="button" href=format!("/chat/{thread}")>"Newest messages"</a></p> })}
                </div>
            </div>
            <div class="status">
                <p class="quiet" class:unseen=move || !answering.get() role="status">{told}</p>
                <p class="quiet used">{move || if answering.get() { String::new() } else { head.read().used.clone() }}</p>
                <Show when=move || answering.get()>
                    // Of the form below, so that what is typed there is sent along and comes back.
                    <button form="composer" formaction=format!("/chat/{thread}?do=stop") formnovalidate=true class="button" on:click=move |event| {
                        event.prevent_default();
                        stop();
                        // The button goes, and with it the focus.
                        if let Some(scroller) = scroller.get_untracked() {
                            drop(scroller.focus());
                        }
                    }><Icon of=icondata_lu::LuSquare/>"Stop"</button>
                </Show>
            </div>
            <Composer action=format!("/chat/{thread}?do=send") draft=thread.to_string() client thread=Some(thread) after=last typed problem
                busy=false area send/>
        </div>
    }
}
