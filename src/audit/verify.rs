//! `moat audit verify`: that no trail of this server was changed, and that a copy of one is whole and still a part of it.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use super::{
    chain::{Broken, Chain, Copy, check},
    sql,
};
use crate::{
    error::AppError,
    server::{lanes::Reason, state::AppState},
};

/// Trails, and events of one, that are read at once.
const PAGE: i32 = 500;

/// What a check found, in lines for a person.
#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    pub holds: bool,
    pub text: String,
}

/// A file by itself.
pub fn copy(path: &Path) -> Result<Copy, String> {
    let file = File::open(path).map_err(|error| format!("{} can't be read: {error}", path.display()))?;
    check(BufReader::new(file).lines()).map_err(|broken| format!("{}: {broken}.", path.display()))
}

pub fn about(copy: &Copy) -> String {
    let Chain { seq, hash } = &copy.end;
    format!(
        "The copy is whole: {seq} events of \u{201c}{}\u{201d}; the last has the hash {}.",
        copy.workspace,
        hex::encode(hash)
    )
}

/// All trails of the server; and, if there is a copy, that the trail which it is of has all that is in it.
pub async fn server(state: &AppState, copy: Option<&Copy>) -> Result<Report, AppError> {
    let (mut trails, mut events, mut broken) = (0, 0, Vec::new());
    let mut found = false;
    let mut after = None;
    loop {
        let mut lane = state.lanes.service(Reason::Operate).await?;
        let page = sql::trails(&mut lane, after, PAGE).await?;
        lane.commit().await?;
        let Some(last) = page.last() else { break };
        after = Some(last.workspace);
        for trail in &page {
            let copy = copy.filter(|copy| copy.begins == trail.begins);
            found |= copy.is_some();
            let (seen, outcome) = follow(state, trail, copy).await?;
            trails += 1;
            events += seen;
            if let Err(what) = outcome {
                broken.push(format!("  \u{201c}{}\u{201d} ({}): {what}", trail.name, trail.workspace));
            }
        }
    }
    if copy.is_some() && !found {
        broken.push("  The workspace of the copy is not on this server any more.".to_owned());
    }
    let holds = broken.is_empty();
    let text = if holds {
        let also = if copy.is_some() { " The copy is a part of its trail." } else { "" };
        format!("{trails} audit trails with {events} events: each is whole.{also}")
    } else {
        format!("Not as they were written:\n{}", broken.join("\n"))
    };
    Ok(Report { holds, text })
}

async fn follow(
    state: &AppState,
    trail: &sql::Trail,
    copy: Option<&Copy>,
) -> Result<(i64, Result<(), String>), AppError> {
    let mut chain = Chain::beginning(trail.begins.clone());
    let mut met = copy.is_none_or(|copy| copy.end.seq == 0);
    loop {
        let mut lane = state.lanes.service(Reason::Operate).await?;
        let links = sql::links_of(&mut lane, trail.workspace, chain.seq, PAGE).await?;
        lane.commit().await?;
        for link in &links {
            if let Err(broken) = chain.follow(link) {
                return Ok((chain.seq, Err(broken.to_string())));
            }
            if chain.seq == trail.seq && chain.hash != trail.hash {
                return Ok((chain.seq, Err(Broken::Cut(chain.seq).to_string())));
            }
            met |= copy.is_some_and(|copy| copy.end == chain);
        }
        if links.is_empty() {
            break;
        }
    }
    // More may have been written since its end was read.
    let outcome = if chain.seq < trail.seq {
        Err(Broken::Cut(chain.seq).to_string())
    } else if met {
        Ok(())
    } else {
        Err("it does not have all that is in the copy".to_owned())
    };
    Ok((chain.seq, outcome))
}
