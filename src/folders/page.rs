use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::{use_params_map, use_query_map};

use super::{
    model::Folder,
    server_fns::{list_folders, read_folder},
};
use crate::{
    error::AppError,
    threads::server_fns::read_thread,
    types::{Act, ThreadId},
    ui::{
        form::{Field, FormError, Paragraph, form_back},
        notice::Failed,
    },
};

/// All folders and a form for a new one. With `?thread=`, where to put that chat.
#[component]
pub fn Folders() -> impl IntoView {
    let thread = use_query_map().read_untracked().get("thread").and_then(|id| id.parse::<ThreadId>().ok());
    let back = form_back(&["make-folder"]);
    let typed = |field: &str| back.as_ref().map(|b| b.typed(field)).unwrap_or_default();
    let (name, instructions) = (typed("name"), typed("instructions"));
    let error = back.and_then(|b| b.error).or(form_back(&["file"]).and_then(|b| b.error));
    view! {
        <Title text="Folders"/>
        <main class="page">
            <p><a class="link" href="/chat">"Your chats"</a></p>
            <h1>"Folders"</h1>
            {thread.map(|thread| view! { <Suspense>{Suspend::new(Mover::of(thread))}</Suspense> })}
            <Suspense>
                {Suspend::new(async move {
                    match list_folders().await {
                        Ok(folders) if folders.is_empty() => view! { <p class="quiet">"You have no folders yet."</p> }.into_any(),
                        Ok(folders) => view! {
                            <ul class="plain-list">
                                {folders.into_iter().map(|folder| view! {
                                    <li>
                                        <a class="link" href=format!("/chat?folder={}", folder.id)>{folder.name.clone()}</a>
                                        <a class="button" href=format!("/folders/{}", folder.id) aria-label=format!("Change {}", folder.name)>"Change"</a>
                                    </li>
                                }).collect_view()}
                            </ul>
                        }.into_any(),
                        Err(error) => view! { <Failed error/> }.into_any(),
                    }
                })}
            </Suspense>
            <h2>"New folder"</h2>
            <form method="post" action="/folders?do=make-folder">
                <FormError error=error.clone() fields=&["name", "instructions"]/>
                <FolderFields name instructions error/>
                <button type="submit" class="button primary">"Make folder"</button>
            </form>
        </main>
    }
}

/// Where a chat goes.
struct Mover;

impl Mover {
    async fn of(thread: ThreadId) -> impl IntoView {
        let (row, folders) = (read_thread(thread).await, list_folders().await.unwrap_or_default());
        let Ok(row) = row else { return view! { <Failed error=AppError::NotFound/> }.into_any() };
        let action = format!("/chat/{thread}?do=file");
        let to = |folder: String, name: String, here: bool| {
            view! {
                <button type="submit" class="button" name="folder" value=folder disabled=here>{name}{here.then_some(" (it is here)")}</button>
            }
        };
        view! {
            <h2>{format!("Where does “{}” go?", row.title)}</h2>
            <form method="post" action=action class="row">
                <input type="hidden" name="threads[]" value=thread.to_string()/>
                <input type="hidden" name="act" value=Act::Move.as_str()/>
                {folders.into_iter().map(|f| to(f.id.to_string(), f.name, row.folder == Some(f.id))).collect_view()}
                {to(String::new(), "No folder".to_owned(), row.folder.is_none())}
            </form>
        }
        .into_any()
    }
}

/// One folder: its name, what it says to whoever answers, and the way to take it away.
#[component]
pub fn FolderPage() -> impl IntoView {
    let params = use_params_map();
    let id = params.read_untracked().get("id").and_then(|id| id.parse().ok());
    let back = form_back(&["change-folder"]);
    view! {
        <Title text="Folder"/>
        <main class="page">
            <p><a class="link" href="/folders">"Folders"</a></p>
            <Suspense>
                {Suspend::new(async move {
                    let folder = match id {
                        Some(id) => read_folder(id).await,
                        None => Err(AppError::NotFound),
                    };
                    match folder {
                        Ok(Folder { id, name, instructions }) => {
                            let typed = |field: &str, stored: &str| back.as_ref().map_or_else(|| stored.to_owned(), |b| b.typed(field));
                            let (now, then) = (typed("name", &name), typed("instructions", &instructions));
                            let error = back.and_then(|b| b.error);
                            view! {
                                <h1>{name}</h1>
                                <form method="post" action=format!("/folders/{id}?do=change-folder")>
                                    <input type="hidden" name="folder" value=id.to_string()/>
                                    <FormError error=error.clone() fields=&["name", "instructions"]/>
                                    <FolderFields name=now instructions=then error/>
                                    <button type="submit" class="button primary">"Save"</button>
                                </form>
                                <form method="post" action=format!("/folders/{id}?do=delete-folder")>
                                    <input type="hidden" name="folder" value=id.to_string()/>
                                    <p class="quiet">"Deleting a folder keeps its chats. They are in no folder then, and its instructions are gone."</p>
                                    <button type="submit" class="button danger">"Delete this folder"</button>
                                </form>
                            }.into_any()
                        }
                        Err(error) => view! { <Failed error/> }.into_any(),
                    }
                })}
            </Suspense>
        </main>
    }
}

#[component]
fn FolderFields(name: String, instructions: String, error: Option<AppError>) -> impl IntoView {
    view! {
        <Field name="name" label="Name" value=name error=error.clone()/>
        <Paragraph name="instructions" label="Instructions" rows="6" value=instructions
            hint="Sent ahead of every chat in this folder to whoever answers. May stay empty." error/>
    }
}
