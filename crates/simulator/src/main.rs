//! `simulator`: a simulated vLLM server on one address, until SIGTERM or SIGINT.

use std::net::SocketAddr;

use clap::Parser;
use simulator::{Simulator, SimulatorSettings, serve};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// A model server without a model, that answers like vLLM.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Address to listen on
    #[arg(long, default_value_t = SimulatorSettings::default().bind)]
    bind: SocketAddr,
    /// A served model name; repeat it for more
    #[arg(long = "model", default_values_t = SimulatorSettings::default().models)]
    models: Vec<String>,
    /// Prompt tokens per second and sequence; 0 = no delay
    #[arg(long, default_value_t = SimulatorSettings::default().prefill_tokens_per_sec)]
    prefill_tokens_per_sec: f64,
    /// Generated tokens per second and sequence; 0 = no delay
    #[arg(long, default_value_t = SimulatorSettings::default().decode_tokens_per_sec)]
    decode_tokens_per_sec: f64,
    /// Sequences that run at once
    #[arg(long, default_value_t = SimulatorSettings::default().max_num_seqs)]
    max_num_seqs: usize,
    /// Sequences that may wait; without it there is no limit
    #[arg(long)]
    max_num_queued: Option<usize>,
    /// KV-cache size in tokens
    #[arg(long, default_value_t = SimulatorSettings::default().kv_tokens)]
    kv_tokens: usize,
    /// Longest prompt plus answer, in tokens
    #[arg(long, default_value_t = SimulatorSettings::default().max_model_len)]
    max_model_len: usize,
    /// Seed of every text
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Length of an answer whose request has no max_tokens
    #[arg(long, default_value_t = SimulatorSettings::default().default_max_tokens)]
    default_max_tokens: usize,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let settings = Args::parse().settings();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listener = TcpListener::bind(settings.bind).await?;
    info!(address = %listener.local_addr()?, models = ?settings.models, "the simulator listens");
    let shutdown = CancellationToken::new();
    tokio::select! {
        () = serve(listener, Simulator::new(settings), shutdown.clone()) => {}
        _ = terminate.recv() => shutdown.cancel(),
        _ = interrupt.recv() => shutdown.cancel(),
    }
    Ok(())
}

impl Args {
    fn settings(self) -> SimulatorSettings {
        SimulatorSettings {
            bind: self.bind,
            models: self.models,
            prefill_tokens_per_sec: self.prefill_tokens_per_sec,
            decode_tokens_per_sec: self.decode_tokens_per_sec,
            max_num_seqs: self.max_num_seqs,
            max_num_queued: self.max_num_queued,
            kv_tokens: self.kv_tokens,
            max_model_len: self.max_model_len,
            seed: self.seed,
            default_max_tokens: self.default_max_tokens,
        }
    }
}
