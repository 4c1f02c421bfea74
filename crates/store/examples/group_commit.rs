//! Raw group commits per second: batches of 1, 16 and 128 records of 1 KB, each batch durable before the
//! next. The anchor that the figures of the whole server are divided by.
//!
//! `cargo run --release -p store --example group_commit [directory]`; the directory should be on the disk in
//! question, since a memory file system makes every sync free.

use std::error::Error;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use store::{Fault, Key, Options, Store, Table};

const DOCUMENTS: Table<Vec<u8>> = Table::new("documents");
const RUN: Duration = Duration::from_secs(2);

fn main() -> Result<(), Box<dyn Error>> {
    let base = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let directory = tempfile::tempdir_in(base)?;
    let opening = Instant::now();
    let store = Store::open(directory.path(), &Options::default())?;
    let mut out = io::stdout();
    writeln!(out, "create             {:>9.1} ms", opening.elapsed().as_secs_f64() * 1e3)?;
    for size in [1, 16, 128] {
        let commits = commits_per_second(&store, size)?;
        let records = commits * f64::from(size);
        writeln!(out, "batches of {size:>3}     {commits:>9.0} commits/s {records:>9.0} records/s")?;
    }
    drop(store);
    reopen(directory.path(), &mut out)
}

fn commits_per_second(store: &Store, size: u32) -> Result<f64, Fault> {
    let (start, mut commits) = (Instant::now(), 0_u32);
    while start.elapsed() < RUN {
        store
            .write(|tx| (0..size).try_for_each(|n| tx.put(&DOCUMENTS, &scattered(commits * size + n), &document(n))))?;
        commits += 1;
    }
    Ok(f64::from(commits) / start.elapsed().as_secs_f64())
}

/// Keys without order, as devices report.
fn scattered(n: u32) -> Key {
    let name = format!("{:08x}", n.wrapping_mul(0x9E37_79B1));
    Key::of(["000000000000", "us-east-1", &name])
}

/// Bytes that do not compress to nothing.
fn document(n: u32) -> Vec<u8> {
    let bytes = (0..256_u32).flat_map(|at| (n + at).wrapping_mul(0x85EB_CA6B).rotate_left(at).to_le_bytes());
    bytes.collect()
}

fn reopen(path: &Path, out: &mut impl io::Write) -> Result<(), Box<dyn Error>> {
    let opening = Instant::now();
    let store = Store::open(path, &Options::default())?;
    store.read().get(&DOCUMENTS, &scattered(0))?;
    writeln!(out, "open, first read   {:>9.1} ms", opening.elapsed().as_secs_f64() * 1e3)?;
    Ok(())
}
