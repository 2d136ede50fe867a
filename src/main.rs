//! The program: see `moat --help`.

use std::process::ExitCode;

use clap::Parser;
use moat::server::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
