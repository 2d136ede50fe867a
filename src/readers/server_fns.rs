use leptos::prelude::*;

use super::model::ReadersPage;
use crate::{error::AppError, types::Subject};

/// Who can see something, as the live policies say it to each person around it: for whoever sees it themselves, and in a workspace
/// for its members alone, since the answer names them. `id` is a chat's or a project's, or an event's number.
#[server]
pub async fn who_can_see(subject: Subject, id: String, after: Option<String>) -> Result<ReadersPage, AppError> {
    use super::{
        model::{self, Reader},
        sql,
    };
    use crate::server::{lanes, session, state};
    let id = model::id(subject, &id)?;
    let mut lane = if subject == Subject::Thread { lanes::user().await? } else { lanes::workspace().await? };
    let (name, project) = sql::called(&mut lane, subject, &id).await?;
    let (mut parts, mut all) = (Vec::new(), false);
    if subject == Subject::Thread {
        parts = sql::answers(&mut lane, &id).await?;
    } else {
        // A guest sees a project, and nobody else of the workspace that it is in.
        crate::workspaces::sql::workspace(&mut lane).await?;
        all = sql::knows_all(&mut lane).await?;
    }
    session::limit(&state::current()?, &[("look-by", &lane.user().to_string(), 60, 2.0)]).await?;
    let (people, many, next) = sql::around(&mut lane, project, &state::zone(), after.as_deref()).await?;
    lane.commit().await?;
    // Whoever asks is one of them, unless they have been removed since the lines above.
    if people.is_empty() && after.is_none() {
        return Err(AppError::NotFound);
    }
    // Somebody in several places is one person, who sees it if they do in any of these.
    let mut asked = Vec::new();
    let mut answers: Vec<Reader> = Vec::new();
    for person in people {
        let sees = lanes::look(person.user, person.place, sql::question(subject), &id, &parts).await?;
        let why = model::why(subject, &person.standing);
        match asked.iter().position(|user| *user == person.user) {
            Some(at) => {
                answers[at].sees |= sees;
                answers[at].why.extend(why);
            }
            None => {
                asked.push(person.user);
                answers.push(Reader { name: person.name, email: person.email, me: person.standing.me, sees, why });
            }
        }
    }
    answers.retain(|reader| reader.sees || !reader.why.is_empty());
    // What nobody can explain comes first.
    answers.sort_by_key(|reader| (!reader.why.is_empty(), format!("{}{}", reader.name, reader.email).to_lowercase()));
    Ok(ReadersPage { name, readers: answers, people: many, all, next })
}
