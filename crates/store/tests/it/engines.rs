//! What every engine owes, told once and run over all of them: order, isolation of units, snapshots, versions of records.
//! What survives a crash is told elsewhere.

use store::{Direction, Disk, Durability, Fault, FaultPlan, Key, Options, Outcome, Read, Store, Table, Write};

const LAMPS: Table<Vec<u8>> = Table::new("lamps");
const LAMPS_BY_ROOM: Table<()> = Table::new("lamps_by_room");

/// Runs `test` on an empty store of each engine.
fn on_every_engine(test: impl Fn(&Store)) {
    test(&Store::in_memory());
    test(&Disk::new(FaultPlan::default()).open(Durability::Durable));
    let directory = tempfile::tempdir().unwrap();
    test(&Store::open(directory.path(), &Options::default()).unwrap());
}

fn key(name: &str) -> Key {
    Key::of(["hall", name])
}

fn put(store: &Store, name: &str, value: &str) {
    store.write(|tx| tx.put(&LAMPS, &key(name), &value.into())).unwrap();
}

fn get(db: &Read, name: &str) -> Option<String> {
    let found = db.get(&LAMPS, &key(name)).unwrap();
    found.map(|bytes| String::from_utf8(bytes).unwrap())
}

/// The names under `prefix`, as `range` gives them.
fn names(db: &Read, prefix: &Key, after: Option<&str>, direction: Direction, limit: usize) -> String {
    let after = after.map(key);
    let found = db.range(&LAMPS, prefix, after.as_ref(), direction, limit).unwrap();
    let names: Vec<_> = found.iter().map(|(key, _)| key.text_at(1).unwrap()).collect();
    names.join(" ")
}

#[test]
fn what_was_put_is_found_and_what_was_deleted_is_not() {
    on_every_engine(|store| {
        assert_eq!(get(&store.read(), "a"), None);
        put(store, "a", "on");
        assert_eq!(get(&store.read(), "a").as_deref(), Some("on"));
        put(store, "a", "off");
        assert_eq!(get(&store.read(), "a").as_deref(), Some("off"));
        store.write(|tx| tx.delete(&LAMPS, &key("a"))).unwrap();
        assert_eq!(get(&store.read(), "a"), None);
        assert!(!store.read().contains(&LAMPS, &key("a")).unwrap());
    });
}

#[test]
fn an_empty_record_is_still_there() {
    on_every_engine(|store| {
        store.write(|tx| tx.put(&LAMPS_BY_ROOM, &key("a"), &())).unwrap();
        assert!(store.read().contains(&LAMPS_BY_ROOM, &key("a")).unwrap());
        assert_eq!(store.read().get(&LAMPS_BY_ROOM, &key("a")).unwrap(), Some(()));
    });
}

#[test]
fn tables_do_not_see_each_other() {
    on_every_engine(|store| {
        put(store, "a", "on");
        assert!(!store.read().contains(&LAMPS_BY_ROOM, &key("a")).unwrap());
        let all = store.read().range(&LAMPS_BY_ROOM, &Key::all(), None, Direction::Ascending, 9);
        assert_eq!(all.unwrap(), []);
    });
}

#[test]
fn a_snapshot_does_not_move() {
    on_every_engine(|store| {
        put(store, "a", "1");
        put(store, "b", "1");
        let before = store.read();
        put(store, "a", "2");
        store.write(|tx| tx.delete(&LAMPS, &key("b"))).unwrap();
        put(store, "c", "2");
        let hall = Key::of(["hall"]);
        assert_eq!(get(&before, "a").as_deref(), Some("1"));
        assert_eq!(names(&before, &hall, None, Direction::Ascending, 9), "a b");
        assert_eq!(get(&store.read(), "a").as_deref(), Some("2"));
        assert_eq!(names(&store.read(), &hall, None, Direction::Ascending, 9), "a c");
    });
}

#[test]
fn an_error_undoes_the_unit_and_reaches_the_caller() {
    #[derive(Debug, PartialEq)]
    enum No {
        Refused,
        Failed(Fault),
    }
    impl From<Fault> for No {
        fn from(fault: Fault) -> Self {
            Self::Failed(fault)
        }
    }
    on_every_engine(|store| {
        put(store, "a", "on");
        let answer = store.write(|tx| {
            tx.put(&LAMPS, &key("a"), &b"off".to_vec())?;
            tx.put(&LAMPS, &key("b"), &b"off".to_vec())?;
            Err::<(), No>(No::Refused)
        });
        assert_eq!(answer, Err(No::Refused));
        assert_eq!(get(&store.read(), "a").as_deref(), Some("on"));
        assert_eq!(get(&store.read(), "b"), None);
    });
}

#[test]
fn a_unit_reads_its_own_writes() {
    on_every_engine(|store| {
        for name in ["b", "d", "f"] {
            put(store, name, "old");
        }
        store
            .write(|tx| {
                for name in ["a", "b", "c", "g"] {
                    tx.put(&LAMPS, &key(name), &b"new".to_vec())?;
                }
                tx.delete(&LAMPS, &key("d"))?;
                tx.delete(&LAMPS, &key("x"))?;
                assert_eq!(get(tx, "b").as_deref(), Some("new"));
                assert_eq!(get(tx, "d"), None);
                check_ranges(tx);
                Ok::<(), Fault>(())
            })
            .unwrap();
        check_ranges(&store.read());
    });
}

/// Of the hall that holds a b c f g.
fn check_ranges(db: &Read) {
    use Direction::{Ascending, Descending};
    let hall = Key::of(["hall"]);
    let cases = [
        (None, Ascending, 9, "a b c f g"),
        (None, Descending, 9, "g f c b a"),
        (None, Ascending, 0, ""),
        (None, Ascending, 1, "a"),
        (None, Ascending, 3, "a b c"),
        (None, Descending, 2, "g f"),
        (Some("b"), Ascending, 9, "c f g"),
        (Some("b"), Descending, 9, "a"),
        (Some("d"), Ascending, 9, "f g"),
        (Some("d"), Descending, 2, "c b"),
        (Some("g"), Ascending, 9, ""),
        (Some("a"), Descending, 9, ""),
    ];
    for (after, direction, limit, expected) in cases {
        let found = names(db, &hall, after, direction, limit);
        assert_eq!(found, expected, "after {after:?}, {direction:?}, limit {limit}");
    }
}

#[test]
fn a_prefix_takes_whole_parts_and_nothing_beside_them() {
    on_every_engine(|store| {
        let keys = [
            Key::of(["hall"]),
            Key::of(["hall", "a"]),
            Key::of(["hall", "a", "deep"]),
            Key::of(["hall"]).and_u64(u64::MAX),
            Key::of(["hall\0"]),
            Key::of(["hall\0a"]),
            Key::of(["halls", "a"]),
            Key::of(["hal", "l"]),
            Key::of([b"hall\xFF"]),
        ];
        for key in &keys {
            store.write(|tx| tx.put(&LAMPS_BY_ROOM, key, &())).unwrap();
        }
        let found = store.read().range(&LAMPS_BY_ROOM, &keys[0], None, Direction::Ascending, 99);
        let found: Vec<_> = found.unwrap().into_iter().map(|(key, ())| key).collect();
        assert_eq!(found, keys[..4]);
        let all = store.read().range(&LAMPS_BY_ROOM, &Key::all(), None, Direction::Descending, 99);
        assert_eq!(all.unwrap().len(), keys.len());
    });
}

#[test]
fn a_page_that_starts_outside_its_prefix_stays_inside() {
    on_every_engine(|store| {
        let (other, hall) = (Key::of(["attic", "a"]), Key::of(["hall", "a"]));
        for key in [&other, &hall] {
            store.write(|tx| tx.put(&LAMPS_BY_ROOM, key, &())).unwrap();
        }
        let page = |prefix: &str, after: &Key, direction| {
            let found = store.read().range(&LAMPS_BY_ROOM, &Key::of([prefix]), Some(after), direction, 9);
            found.unwrap().into_iter().map(|(key, ())| key).collect::<Vec<_>>()
        };
        assert_eq!(page("hall", &other, Direction::Ascending), std::slice::from_ref(&hall));
        assert_eq!(page("hall", &other, Direction::Descending), []);
        assert_eq!(page("attic", &hall, Direction::Ascending), []);
        assert_eq!(page("attic", &hall, Direction::Descending), std::slice::from_ref(&other));
    });
}

#[test]
fn in_a_group_a_refusal_undoes_itself_alone_and_later_units_see_earlier_ones() {
    on_every_engine(|store| {
        put(store, "kept", "0");
        let mut first = |tx: &mut Write| append(tx, "1", Outcome::Keep);
        let mut second = |tx: &mut Write| append(tx, "2", Outcome::Undo);
        let mut third = |tx: &mut Write| append(tx, "3", Outcome::Keep);
        let mut fourth = |tx: &mut Write| {
            tx.delete(&LAMPS, &key("kept")).unwrap();
            tx.put(&LAMPS, &key("undone"), &Vec::new()).unwrap();
            Outcome::Undo
        };
        store.write_all(&mut [&mut first, &mut second, &mut third, &mut fourth]).unwrap();
        assert_eq!(get(&store.read(), "kept").as_deref(), Some("013"));
        assert_eq!(get(&store.read(), "undone"), None);
    });
}

fn append(tx: &mut Write, digit: &str, outcome: Outcome) -> Outcome {
    let longer = get(tx, "kept").unwrap_or_default() + digit;
    // Twice, so that undoing has to go back over both.
    tx.put(&LAMPS, &key("kept"), &b"?".to_vec()).unwrap();
    tx.put(&LAMPS, &key("kept"), &longer.into_bytes()).unwrap();
    outcome
}

#[test]
fn a_group_costs_one_sync_and_an_undone_group_none() {
    let disk = Disk::new(FaultPlan::default());
    let store = disk.open(Durability::Durable);
    let mut first = |tx: &mut Write| append(tx, "1", Outcome::Keep);
    let mut second = |tx: &mut Write| append(tx, "2", Outcome::Keep);
    store.write_all(&mut [&mut first, &mut second]).unwrap();
    assert_eq!(disk.syncs(), 1);
    let mut undone = |tx: &mut Write| append(tx, "3", Outcome::Undo);
    store.write_all(&mut [&mut undone]).unwrap();
    store.write_all(&mut []).unwrap();
    assert_eq!(disk.syncs(), 1);
}

#[test]
fn a_group_that_fails_to_commit_leaves_nothing_to_see() {
    let plans = [
        FaultPlan { seed: 1, refuse_one_in: 1, ..FaultPlan::default() },
        FaultPlan { seed: 1, break_one_in: 1, ..FaultPlan::default() },
    ];
    for plan in plans {
        let store = Disk::new(plan).open(Durability::Durable);
        let mut first = |tx: &mut Write| append(tx, "1", Outcome::Keep);
        let mut second = |tx: &mut Write| append(tx, "2", Outcome::Keep);
        assert!(store.write_all(&mut [&mut first, &mut second]).is_err());
        assert_eq!(get(&store.read(), "kept"), None);
    }
}

#[test]
fn a_key_too_long_for_an_engine_is_a_fault_not_a_panic() {
    on_every_engine(|store| {
        let long = Key::of(["x".repeat(70_000)]);
        assert!(store.read().get(&LAMPS, &long).is_err());
        assert!(store.write(|tx| tx.put(&LAMPS, &long, &Vec::new())).is_err());
        let longest = Key::of(["x".repeat(65_534 - "lamps\0".len() - 2)]);
        store.write(|tx| tx.put(&LAMPS, &longest, &Vec::new())).unwrap();
        let found = store.read().range(&LAMPS, &longest, None, Direction::Ascending, 1);
        assert_eq!(found.unwrap().len(), 1);
    });
}

#[test]
fn writers_in_many_threads_lose_no_update() {
    on_every_engine(|store| {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let mut unit = |tx: &mut Write| append(tx, "+", Outcome::Keep);
                        store.write_all(&mut [&mut unit]).unwrap();
                    }
                });
            }
        });
        assert_eq!(get(&store.read(), "kept").unwrap().len(), 40);
    });
}
