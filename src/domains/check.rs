//! Asking DNS whether a domain is its workspace's. Server only. No lane is open meanwhile: an answer may take seconds.

use super::{
    model,
    sql::{self, Asked},
};
use crate::{
    error::AppError,
    server::{lanes::Reason, state::AppState},
};

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Proven,
    /// There is no such record.
    Missing,
    /// There is one that says something else.
    Other,
    /// It is there, and the domain is proven for another workspace.
    Taken,
    /// The domain was removed meanwhile, or its workspace.
    Gone,
    /// DNS did not say: that is neither a proof nor a failure, and nothing is written.
    NoAnswer,
}

/// Asks once, and writes down what was answered.
pub async fn check(state: &AppState, asked: &Asked) -> Result<Seen, AppError> {
    let texts = match state.resolver.txt(&format!("{}.", model::record(&asked.domain))).await {
        Ok(texts) => texts,
        Err(error) => {
            tracing::info!(%error, domain = asked.domain, "DNS can't be asked");
            return Ok(Seen::NoAnswer);
        }
    };
    let wanted = model::value(&asked.token);
    let found = texts.iter().any(|text| text.trim() == wanted);
    let mut lane = state.lanes.service(Reason::Domains).await?;
    let outcome = sql::checked(&mut lane, asked, found).await?;
    lane.commit().await?;
    Ok(match outcome.as_str() {
        "proven" => Seen::Proven,
        "taken" => Seen::Taken,
        "gone" => Seen::Gone,
        _ if texts.iter().any(|text| text.trim().starts_with("moat-verify=")) => Seen::Other,
        _ => Seen::Missing,
    })
}

/// In words for the owner who asked.
pub fn told(seen: Seen, domain: &str) -> Result<(), AppError> {
    let name = model::record(domain);
    let what = match seen {
        Seen::Proven => return Ok(()),
        Seen::Gone => return Err(AppError::NotFound),
        Seen::Missing => {
            format!("There is no TXT record at {name} yet. New records can take an hour to be seen everywhere.")
        }
        Seen::Other => format!("The TXT record at {name} says something else. Compare it with the value below."),
        Seen::Taken => {
            format!("{domain} is proven for another workspace. Its owners have to remove it there first.")
        }
        Seen::NoAnswer => {
            format!("DNS gives no answer about {name} at the moment. Nothing is changed. Try again later.")
        }
    };
    Err(AppError::Conflict { what })
}
