//! Logs: one line an event, with the request's id in it.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, filter::ParseError};

use super::config::{BadSetting, Config, LogFormat};

/// Starts logging to standard error, so that standard output carries only what a command was asked for.
pub fn start(config: &Config) -> Result<(), BadSetting> {
    let filter = EnvFilter::try_new(&config.log).map_err(|e| BadSetting { setting: "MOAT_LOG", why: e.to_string() })?;
    // The listener's connection is looked at once more when it is let go. That the database was away by then is told by whoever
    // needed it, and on the way out by nobody.
    let quiet = "sqlx_core::pool=error"
        .parse()
        .map_err(|e: ParseError| BadSetting { setting: "MOAT_LOG", why: e.to_string() })?;
    let filter = filter.add_directive(quiet);
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match config.log_format {
        LogFormat::Text => logs.compact().init(),
        LogFormat::Json => logs.json().init(),
    }
    Ok(())
}
