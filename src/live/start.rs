use super::{model::LiveStart, sql};
use crate::{
    error::AppError,
    server::{lanes::UserLane, state},
};

/// What a page needs to go on by the stream. Call it before the page's own rows are read.
pub async fn start(lane: &mut UserLane) -> Result<LiveStart, AppError> {
    let state = state::current()?;
    let pos = sql::cursor(lane, false).await?.pos;
    Ok(LiveStart { pos, channel: state.keys.live_channel(lane.user()) })
}
