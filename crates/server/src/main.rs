//! The binary `ombra`: starts what the command line asks for. Everything it does is in the modules.

mod ca;
mod data_dir;
mod tls;

fn main() {}
