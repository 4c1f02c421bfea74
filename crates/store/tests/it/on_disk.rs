//! What only the engine on disk has to show: that it is there the next time, and nobody else's meanwhile.

use std::fs;

use store::{Durability, Key, Options, Store, Table};

const LAMPS: Table<Vec<u8>> = Table::new("lamps");

fn open(path: &std::path::Path) -> Store {
    Store::open(path, &Options::default()).unwrap()
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    for durability in [Durability::Durable, Durability::Relaxed] {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { durability, ..Options::default() };
        for round in 0..4_u64 {
            let store = Store::open(directory.path(), &options).unwrap();
            for past in 0..round {
                assert!(store.read().contains(&LAMPS, &Key::all().and_u64(past)).unwrap());
            }
            store.write(|tx| tx.put(&LAMPS, &Key::all().and_u64(round), &b"on".to_vec())).unwrap();
        }
    }
}

#[test]
fn a_directory_already_open_is_a_clear_fault() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let fault = Store::open(directory.path(), &Options::default()).err().unwrap();
    assert!(fault.to_string().contains("already open"), "{fault}");
    drop(store);
    open(directory.path());
}

#[test]
fn a_view_keeps_the_directory_taken_until_it_goes() {
    let directory = tempfile::tempdir().unwrap();
    let view = open(directory.path()).read();
    assert!(Store::open(directory.path(), &Options::default()).is_err());
    assert!(!view.contains(&LAMPS, &Key::of(["a"])).unwrap());
    drop(view);
    open(directory.path());
}

#[test]
fn a_creation_that_was_cut_short_is_done_again() {
    for marker in [None, Some("")] {
        let directory = tempfile::tempdir().unwrap();
        // What a process killed between the first journal and the end of the version marker leaves behind.
        for name in ["0.jnl", "lock", "store.lock"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        fs::create_dir(directory.path().join("keyspaces")).unwrap();
        if let Some(text) = marker {
            fs::write(directory.path().join("version"), text).unwrap();
        }
        open(directory.path()).write(|tx| tx.put(&LAMPS, &Key::of(["a"]), &Vec::new())).unwrap();
        assert!(open(directory.path()).read().contains(&LAMPS, &Key::of(["a"])).unwrap());
    }
}

#[test]
fn a_store_that_lost_its_version_marker_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).write(|tx| tx.put(&LAMPS, &Key::of(["a"]), &Vec::new())).unwrap();
    let (marker, aside) = (directory.path().join("version"), directory.path().join("aside"));
    fs::rename(&marker, &aside).unwrap();
    assert!(Store::open(directory.path(), &Options::default()).is_err());
    fs::rename(&aside, &marker).unwrap();
    assert!(open(directory.path()).read().contains(&LAMPS, &Key::of(["a"])).unwrap());
}

#[test]
fn a_path_that_cannot_be_a_directory_is_a_fault() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let fault = Store::open(&file, &Options::default()).err().unwrap();
    assert!(fault.to_string().starts_with("open "), "{fault}");
}

#[test]
fn more_than_the_write_buffer_holds_is_flushed_and_found() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { durability: Durability::Relaxed, write_buffer: 1 << 20, cache: 1 << 20 };
    let count = 6_000_u64;
    {
        let store = Store::open(directory.path(), &options).unwrap();
        for start in (0..count).step_by(100) {
            store
                .write(|tx| {
                    (start..start + 100).try_for_each(|n| tx.put(&LAMPS, &Key::all().and_u64(n), &vec![7; 1024]))
                })
                .unwrap();
        }
    }
    let store = Store::open(directory.path(), &options).unwrap();
    let found = store.read().range(&LAMPS, &Key::all(), None, store::Direction::Descending, usize::MAX).unwrap();
    assert_eq!(found.len(), 6_000);
    assert!(found.iter().rev().map(|(key, _)| key.u64_at(0).unwrap()).eq(0..count));
}
