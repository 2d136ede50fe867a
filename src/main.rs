//! The program: see `moat --help`.

use std::process::ExitCode;

use clap::Parser;
use moat::server::cli::Cli;

/// A page is many short strings, made on one thread and dropped on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Cli::parse().run()
}
