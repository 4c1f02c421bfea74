//! Random units, groups, restarts and crashes on every engine, beside a plain map that says what must come
//! out. The map's keys are lists of parts, so that the order of encoded keys is checked with everything else.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use store::{Direction, Disk, Durability, Edge, FaultPlan, Key, Options, Outcome, Read, Store, Table, Work, Write};

const TABLES: [Table<Vec<u8>>; 2] = [Table::new("t"), Table::new("t1")];

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Text(Vec<u8>),
    Number(u64),
}

type Path = Vec<Part>;
type Model = BTreeMap<(usize, Path), Vec<u8>>;

#[derive(Debug, Clone)]
enum Op {
    Put(usize, Path, Vec<u8>),
    Delete(usize, Path),
    Get(usize, Path),
    Range { table: usize, prefix: Path, after: Option<Path>, direction: Direction, limit: usize },
    Visit { table: usize, from: End, to: End, direction: Direction, limit: usize },
}

/// An edge: whether it is past its path.
type End = (bool, Path);

#[derive(Debug, Clone)]
enum Step {
    Group(Vec<(Vec<Op>, Outcome)>),
    Restart,
    Crash,
}

fn key(path: &[Part]) -> Key {
    path.iter().fold(Key::all(), |key, part| match part {
        Part::Text(text) => key.and(text),
        Part::Number(number) => key.and_u64(*number),
    })
}

fn a_path(parts: std::ops::Range<usize>) -> impl Strategy<Value = Path> {
    let texts: [&[u8]; 7] = [b"", b"\0", b"\0\xFF", b"a", b"a\0", b"ab", b"\xFF"];
    let text = prop::sample::select(texts.to_vec()).prop_map(|text| Part::Text(text.to_vec()));
    let number = prop::sample::select(vec![0, 1, 255, 256, u64::MAX]).prop_map(Part::Number);
    prop::collection::vec(prop_oneof![3 => text, 1 => number], parts)
}

fn an_op() -> impl Strategy<Value = Op> {
    let table = 0..TABLES.len();
    let direction = prop::sample::select(vec![Direction::Ascending, Direction::Descending]);
    let bytes = prop::collection::vec(any::<u8>(), 0..4);
    let range = (table.clone(), a_path(0..2), prop::option::of(a_path(0..3)), direction.clone(), 0..6_usize);
    let end = || (any::<bool>(), a_path(0..3));
    let visit = (table.clone(), end(), end(), direction.clone(), 1..6_usize);
    prop_oneof![
        6 => (table.clone(), a_path(0..3), bytes).prop_map(|(table, path, bytes)| Op::Put(table, path, bytes)),
        3 => (table.clone(), a_path(0..3)).prop_map(|(table, path)| Op::Delete(table, path)),
        2 => (table, a_path(0..3)).prop_map(|(table, path)| Op::Get(table, path)),
        3 => range.prop_map(|(table, prefix, after, direction, limit)| {
            Op::Range { table, prefix, after, direction, limit }
        }),
        3 => visit.prop_map(|(table, from, to, direction, limit)| Op::Visit { table, from, to, direction, limit }),
    ]
}

fn a_step() -> impl Strategy<Value = Step> {
    let outcome = prop::sample::select(vec![Outcome::Keep, Outcome::Keep, Outcome::Undo]);
    let unit = (prop::collection::vec(an_op(), 0..8), outcome);
    prop_oneof![
        8 => prop::collection::vec(unit, 0..4).prop_map(Step::Group),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(a_step(), 1..25)
}

fn range_of_model(
    model: &Model,
    (table, prefix): (usize, &Path),
    after: Option<&Path>,
    direction: Direction,
    limit: usize,
) -> Vec<(Key, Vec<u8>)> {
    let under = model.iter().filter(|((its_table, path), _)| *its_table == table && path.starts_with(prefix));
    let beyond = |path: &Path| match (after, direction) {
        (None, _) => true,
        (Some(after), Direction::Ascending) => path > after,
        (Some(after), Direction::Descending) => path < after,
    };
    let mut found: Vec<_> = under.filter(|((_, path), _)| beyond(path)).collect();
    if direction == Direction::Descending {
        found.reverse();
    }
    found.into_iter().take(limit).map(|((_, path), bytes)| (key(path), bytes.clone())).collect()
}

fn edge((past, path): &End) -> Edge {
    if *past { Edge::Past(key(path)) } else { Edge::Before(key(path)) }
}

/// Whether a path lies beyond an edge.
fn is_beyond((past, end): &End, path: &Path) -> bool {
    if *past { path > end && !path.starts_with(end) } else { path >= end }
}

fn visit_of_model(
    model: &Model,
    (table, from, to): (usize, &End, &End),
    direction: Direction,
    limit: usize,
) -> Vec<(Key, Vec<u8>)> {
    let all = model.iter().filter(|((its_table, _), _)| *its_table == table);
    let mut found: Vec<_> = all.filter(|((_, path), _)| is_beyond(from, path) && !is_beyond(to, path)).collect();
    if direction == Direction::Descending {
        found.reverse();
    }
    found.into_iter().take(limit).map(|((_, path), bytes)| (key(path), bytes.clone())).collect()
}

/// Does `op` to both, and compares what they say.
fn apply(op: &Op, tx: &mut Write, model: &mut Model) {
    match op {
        Op::Put(table, path, bytes) => {
            tx.put(&TABLES[*table], &key(path), bytes).unwrap();
            model.insert((*table, path.clone()), bytes.clone());
        }
        Op::Delete(table, path) => {
            tx.delete(&TABLES[*table], &key(path)).unwrap();
            model.remove(&(*table, path.clone()));
        }
        Op::Get(table, path) => {
            let expected = model.get(&(*table, path.clone()));
            assert_eq!(tx.get(&TABLES[*table], &key(path)).unwrap().as_ref(), expected);
            assert_eq!(tx.contains(&TABLES[*table], &key(path)).unwrap(), expected.is_some());
        }
        Op::Range { table, prefix, after, direction, limit } => {
            let after_key = after.as_deref().map(key);
            let found = tx.range(&TABLES[*table], &key(prefix), after_key.as_ref(), *direction, *limit);
            let expected = range_of_model(model, (*table, prefix), after.as_ref(), *direction, *limit);
            assert_eq!(found.unwrap(), expected);
        }
        Op::Visit { table, from, to, direction, limit } => {
            let mut found = Vec::new();
            tx.visit(&TABLES[*table], (&edge(from), &edge(to)), *direction, &mut |key, record| {
                found.push((key, record));
                if found.len() == *limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .unwrap();
            assert_eq!(found, visit_of_model(model, (*table, from, to), *direction, *limit));
        }
    }
}

/// Runs the group on the store and on a copy of the model; the copy is what a commit must have made.
fn run_group(store: &Store, group: &[(Vec<Op>, Outcome)], model: &Model) -> (Model, bool) {
    let next = RefCell::new(model.clone());
    let mut units: Vec<_> = group
        .iter()
        .map(|(ops, outcome)| {
            let next = &next;
            move |tx: &mut Write| {
                let mut own = next.borrow().clone();
                for op in ops {
                    apply(op, tx, &mut own);
                }
                if *outcome == Outcome::Keep {
                    next.replace(own);
                }
                *outcome
            }
        })
        .collect();
    let mut units: Vec<&mut dyn Work> = units.iter_mut().map(|unit| unit as _).collect();
    let committed = store.write_all(&mut units).is_ok();
    (next.into_inner(), committed)
}

fn contents(db: &Read) -> Vec<Vec<(Key, Vec<u8>)>> {
    let all = |table| db.range(table, &Key::all(), None, Direction::Ascending, usize::MAX).unwrap();
    TABLES.iter().map(all).collect()
}

fn contents_of_model(model: &Model) -> Vec<Vec<(Key, Vec<u8>)>> {
    let all = |table| range_of_model(model, (table, &Vec::new()), None, Direction::Ascending, usize::MAX);
    (0..TABLES.len()).map(all).collect()
}

/// Runs the steps; `again` closes the store, if it can be closed, and opens it again. `Break` comes back
/// when commits may have been lost, and then any state since the last one known to be safe may be found.
fn run(
    steps: &[Step],
    durability: Durability,
    mut again: impl FnMut(Option<Store>, &Step) -> (Store, ControlFlow<()>),
) {
    let (mut store, _) = again(None, &Step::Restart);
    let mut model = Model::new();
    let mut possible = vec![Model::new()];
    for step in steps {
        if let Step::Group(group) = step {
            let before = store.read();
            let (next, committed) = run_group(&store, group, &model);
            assert_eq!(contents(&before), contents_of_model(&model), "a snapshot moved");
            if committed {
                if durability == Durability::Durable && next != model {
                    possible.clear();
                }
                model = next.clone();
            }
            possible.push(next);
        } else {
            let (opened, loss) = again(Some(store), step);
            store = opened;
            let found = contents(&store.read());
            if loss.is_break() {
                let survivor = possible.iter().find(|state| contents_of_model(state) == found);
                model = survivor.unwrap_or_else(|| panic!("{found:?} never was")).clone();
            }
            possible = vec![model.clone()];
        }
        assert_eq!(contents(&store.read()), contents_of_model(&model));
    }
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(20), failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(250))]

    #[test]
    fn in_memory_every_history_agrees_with_the_model(steps in steps()) {
        run(&steps, Durability::Durable, |store, _| {
            (store.unwrap_or_else(Store::in_memory), ControlFlow::Continue(()))
        });
    }

    #[test]
    fn on_a_faulty_disk_every_history_agrees_with_the_model(steps in steps(), seed: u64, relaxed: bool) {
        let disk = Disk::new(FaultPlan { seed, refuse_one_in: 5, break_one_in: 9, fail_read_one_in: 0 });
        let durability = if relaxed { Durability::Relaxed } else { Durability::Durable };
        run(&steps, durability, |_, step| {
            if matches!(step, Step::Crash) {
                disk.crash();
            }
            // A commit that failed half-way may surface at a restart, too.
            (disk.open(durability), ControlFlow::Break(()))
        });
    }
}

proptest! {
    #![proptest_config(config(25))]

    #[test]
    fn on_disk_every_history_agrees_with_the_model(steps in steps()) {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { durability: Durability::Relaxed, write_buffer: 1 << 10, cache: 1 << 20 };
        run(&steps, Durability::Relaxed, |store, _| {
            drop(store);
            (Store::open(directory.path(), &options).unwrap(), ControlFlow::Continue(()))
        });
    }
}

#[test]
fn after_a_crash_a_durable_store_has_every_commit_and_a_relaxed_one_the_oldest() {
    let mut lost = 0;
    for seed in 0..20 {
        for durability in [Durability::Durable, Durability::Relaxed] {
            let disk = Disk::new(FaultPlan { seed, ..FaultPlan::default() });
            let store = disk.open(durability);
            for n in 0..10 {
                store.write(|tx| tx.put(&TABLES[0], &Key::all().and_u64(n), &Vec::new())).unwrap();
            }
            disk.crash();
            assert!(store.read().contains(&TABLES[0], &Key::all().and_u64(0)).is_err());
            let [found, _] = &contents(&disk.open(durability).read())[..] else { panic!("two tables") };
            assert!((0..).zip(found).all(|(n, (key, _))| key.u64_at(0) == Ok(n)));
            match durability {
                Durability::Durable => assert_eq!(found.len(), 10),
                Durability::Relaxed => lost += 10 - found.len(),
            }
        }
    }
    assert!(lost > 0, "no crash lost anything");
}

#[test]
fn a_disk_that_fails_to_read_says_so() {
    let store = Disk::new(FaultPlan { fail_read_one_in: 1, ..FaultPlan::default() }).open(Durability::Durable);
    assert!(store.read().get(&TABLES[0], &Key::all()).is_err());
    assert!(store.read().range(&TABLES[0], &Key::all(), None, Direction::Ascending, 1).is_err());
    assert!(store.write(|tx| tx.contains(&TABLES[0], &Key::all())).is_err());
}
