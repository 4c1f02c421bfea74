//! The binary `ombra`: starts what the command line asks for. Everything it does is in the modules.

mod banner;
mod ca;
mod data_dir;
mod log;
mod settings;
mod tls;

fn main() {}
