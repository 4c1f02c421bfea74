//! The binary `ombra`: starts what the command line asks for. Everything it does is in the modules.

mod api;
mod banner;
mod ca;
mod cli;
mod data_dir;
mod desk;
mod domains;
mod effects;
mod events;
#[cfg(target_os = "linux")]
mod functions;
#[cfg(not(target_os = "linux"))]
#[path = "functions/elsewhere.rs"]
mod functions;
mod gzip;
mod http;
mod identify;
mod listeners;
mod log;
mod metrics;
mod mqtt;
mod objects;
mod operator;
mod refusals;
mod reload;
mod rules;
mod serve;
mod server;
mod settings;
mod tls;
mod trial;
mod vault;
mod websocket;
mod why;
mod workers;

fn main() -> std::process::ExitCode {
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == functions::WORD) {
        return functions::child(words);
    }
    cli::run()
}
