use leptos::prelude::*;
use leptos_meta::Title;

use super::{model::ImportRow, server_fns::list_imports};
use crate::ui::notice::Failed;

/// Where chats come from and go to.
#[component]
pub fn Transfer() -> impl IntoView {
    view! {
        <Title text="Import and export"/>
        <main class="page">
            <p><a class="link" href="/chat">"Your chats"</a></p>
            <h1>"Import and export"</h1>
            <h2>"Export"</h2>
            <p>"All your chats in one file. Temporary chats are not in it. A single chat is exported from its own menu."</p>
            <p class="row">
                <a class="button" href="/export/all.md" download="">"All chats as Markdown"</a>
                <a class="button" href="/export/all.json" download="">"All chats as JSON"</a>
            </p>
            <h2>"Import"</h2>
            <p>"The file "<code>"conversations.json"</code>" of a ChatGPT export, or a JSON export of moat. 100 MB at most. Importing a file twice adds nothing twice. A newer file of the same chats adds what was said in them since; what you wrote or deleted here stays so."</p>
            <form method="post" action="/import/file" enctype="multipart/form-data">
                <div class="field">
                    <label for="file">"File"</label>
                    <input id="file" type="file" name="file" accept=".json,application/json" required=true/>
                </div>
                <button type="submit" class="button primary">"Import"</button>
            </form>
            <Suspense>
                {Suspend::new(async move {
                    match list_imports().await {
                        Ok(rows) if rows.is_empty() => ().into_any(),
                        Ok(rows) => view! {
                            <h2>"Your imports"</h2>
                            <ul class="plain-list">{rows.into_iter().map(row).collect_view()}</ul>
                            <p><a class="link" href="/import">"Look again"</a></p>
                        }.into_any(),
                        Err(error) => view! { <Failed error/> }.into_any(),
                    }
                })}
            </Suspense>
        </main>
    }
}

fn row(row: ImportRow) -> impl IntoView {
    let state = match row.status.as_str() {
        "running" => "Under way".to_owned(),
        "done" if row.why.is_empty() => "Done".to_owned(),
        "done" => format!("Done. {}", row.why),
        "interrupted" => "Interrupted. Import the file again to go on.".to_owned(),
        _ => format!("Stopped. {}", row.why),
    };
    let sum = row.sum();
    view! {
        <li>
            <div>
                <p>{row.name}</p>
                <p class="quiet">{format!("{sum} {}", row.at)}</p>
                <p>{state}</p>
            </div>
        </li>
    }
}
