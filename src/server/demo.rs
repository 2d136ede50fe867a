//! Demo people and chats, made the way everybody's are: through the lanes, with answers by the embedded answerer.

use std::sync::Arc;

use super::{
    lanes::{Opening, Reason},
    state::AppState,
};
use crate::{
    accounts,
    answers::{
        self,
        answerer::{Metadata, Said, Talk, Turn},
        embedded::Embedded,
        run,
    },
    error::AppError,
    threads::{self, title::auto_title},
    types::{ClientId, UserId},
};

/// Who the demo sign-in is.
pub const EMAIL: &str = "demo@moat.example";

/// The people of `moat seed`, and what they ask.
const PEOPLE: [(&str, &[&[&str]]); 2] = [
    (
        "ada@moat.example",
        &[
            &["Who can read my chats?", "What is sent to a model server?"],
            &["How do I stop an answer?"],
            &["How do I rename a chat?", "And how do I delete one?"],
        ],
    ),
    ("grace@moat.example", &[&["How do I make a backup?"], &["What does moat check do?"]]),
];

/// Whether the demo user has been made.
pub async fn exists(state: &AppState) -> Result<bool, AppError> {
    let mut lane = state.lanes.service(Reason::SignIn).await?;
    let known = accounts::sql::credential(&mut lane, EMAIL).await?;
    lane.commit().await?;
    Ok(known.is_some())
}

/// The demo user of a data folder; made once.
pub async fn ensure(state: &AppState, password: &str) -> Result<UserId, AppError> {
    account(state, EMAIL, password).await
}

/// Makes the demo people with their chats; says how to sign in. Repeating it adds nothing.
pub async fn seed(state: &AppState) -> Result<String, AppError> {
    let mut state = state.clone();
    state.answerer = Arc::new(Embedded::at_once(state.guide.clone()));
    let mut said = String::new();
    let hub = tokio::spawn(state.hub.clone().run(state.stopping.clone()));
    for (email, chats) in PEOPLE {
        let password = format!("{}-demo-1", email.split('@').next().unwrap_or_default());
        let user = account(&state, email, &password).await?;
        for (i, chat) in chats.iter().enumerate() {
            talk(&state, user, email, i, chat).await?;
        }
        said.push_str(&format!("{email} / {password}: {} chats\n", chats.len()));
    }
    state.hub.sequence().await?;
    state.stopping.cancel();
    drop(hub.await);
    Ok(said.trim_end().to_owned())
}

async fn account(state: &AppState, email: &str, password: &str) -> Result<UserId, AppError> {
    let mut lane = state.lanes.service(Reason::SignIn).await?;
    let known = accounts::sql::credential(&mut lane, email).await?;
    if let Some(known) = known {
        lane.commit().await?;
        return Ok(known.user);
    }
    let phc = state.passwords.hash(password.to_owned()).await?;
    let user = accounts::sql::sign_up(&mut lane, email, &phc).await?;
    lane.commit().await?;
    user.ok_or(AppError::NotFound)
}

async fn talk(state: &AppState, user: UserId, email: &str, chat: usize, texts: &[&str]) -> Result<(), AppError> {
    // The same ids each time: seeding twice finds what it made.
    let id = |i: usize| ClientId(uuid::Uuid::from_u128(u128::from_be_bytes(seed_bytes(email, chat, i))));
    let opening = Opening {
        user,
        session: None,
        issued_at: super::caller::now(),
        ip: String::new(),
        user_agent: "moat seed".into(),
        place: None,
        workspace: None,
    };
    let model = state.answerer.model().to_owned();
    let mut thread = None;
    for (i, text) in texts.iter().enumerate() {
        let mut lane = state.lanes.user(&opening).await?;
        let (posted, new) = match thread {
            None => threads::sql::start(&mut lane, id(i), &auto_title(text), text, &model).await?,
            Some(thread) => threads::sql::post(&mut lane, thread, id(i), None, text, &model).await?,
        };
        thread = Some(posted.thread);
        let said = answers::sql::history(&mut lane, posted.thread, posted.answer, 100).await?;
        lane.commit().await?;
        if let (true, Some(generation)) = (new, posted.generation) {
            let history = said.into_iter().map(|(role, text)| Said { role, text }).collect();
            let metadata = Metadata { user_id: user, talk: Talk::Thread(posted.thread) };
            run::write(
                state,
                generation,
                Turn {
                    history,
                    metadata,
                    model: String::new(),
                    instructions: String::new(),
                    begun: String::new(),
                    material: None,
                },
            )
            .await;
        }
    }
    Ok(())
}

fn seed_bytes(email: &str, chat: usize, message: usize) -> [u8; 16] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("{email} {chat} {message}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_ref()[..16]);
    bytes
}
