//! The `tandem` command: the whole platform in one process (`up`), and what an operator needs beside it.
#![expect(clippy::print_stdout, reason = "a command line speaks on standard output")]

mod api;
mod batch;
mod bench;
mod cli;
mod dlq;
mod doctor;
mod keys;
mod migrate;
mod settings;
mod up;
mod usage;
mod webhooks;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(run(cli)));
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tandem: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let load = || settings::load(cli.settings.as_deref());
    match cli.command {
        Command::Up(args) => up::run(load()?, args).await?,
        Command::Migrate(args) => migrate::run(&load()?, args).await?,
        Command::Keys(args) => keys::run(&load()?, args).await?,
        Command::Dlq(args) => dlq::run(&load()?, args).await?,
        Command::Batch(args) => return batch::run(args).await,
        Command::Webhooks(args) => webhooks::run(args).await?,
        Command::Usage(args) => return usage::run(args, &load).await,
        Command::Bench(args) => bench::run(args).await?,
        Command::Doctor => return doctor::run(&load()?).await,
    }
    Ok(ExitCode::SUCCESS)
}
