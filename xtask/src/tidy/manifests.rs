//! Rules about `Cargo.toml`: versions and lints come from the workspace, and a crate depends on what
//! ARCHITECTURE.md says it may, no more and no less.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use super::Finding;
use super::tree::{File, Tree};

const ARCHITECTURE: &str = "ARCHITECTURE.md";

/// What a package takes from the workspace.
const INHERITED: [&str; 5] = ["version", "edition", "rust-version", "license", "publish"];

/// Tables of dependencies.
const DEPENDENCIES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// Every crate inherits its lints, its own facts and its dependencies' versions.
pub(super) fn inherited(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in members(tree) {
        match file.text.parse::<Table>() {
            Ok(manifest) => {
                found.extend(own_facts(&manifest).into_iter().map(|what| Finding::new(&file.path, 1, what)));
            }
            Err(error) => found.push(Finding::new(&file.path, 1, format!("not TOML: {error}"))),
        }
    }
    found
}

fn own_facts(manifest: &Table) -> Vec<String> {
    let mut own = Vec::new();
    if !inherits(manifest.get("lints")) {
        own.push("own lints; write `[lints]` and `workspace = true`".to_owned());
    }
    let package = manifest.get("package");
    let is_own = |key: &&&str| !inherits(package.and_then(|package| package.get(**key)));
    own.extend(INHERITED.iter().filter(is_own).map(|key| format!("own {key}; write `{key}.workspace = true`")));
    for kind in DEPENDENCIES {
        let dependencies = manifest.get(kind).and_then(Value::as_table).into_iter().flatten();
        let is_own = |(_, how): &(&String, &Value)| !inherits(Some(how));
        let say = |(name, _)| {
            format!("{name} has a version of its own; name it in the workspace and write `{name}.workspace = true`")
        };
        own.extend(dependencies.filter(is_own).map(say));
    }
    own
}

fn inherits(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(Value::as_bool) == Some(true)
}

/// The table of ARCHITECTURE.md is what the manifests say.
pub(super) fn dependency_table(tree: &Tree) -> Vec<Finding> {
    let Some(text) = tree.text(ARCHITECTURE) else {
        return vec![Finding::new(
            ARCHITECTURE,
            1,
            "there is none; it holds the table of crates and what they may use",
        )];
    };
    let table = rows(text);
    let crates = house_crates(tree);
    let names: BTreeSet<&str> = crates.keys().map(String::as_str).collect();
    let mut found = Vec::new();
    for (name, (line, may_use)) in &table {
        let Some((path, manifest)) = crates.get(name) else {
            found.push(Finding::new(ARCHITECTURE, *line, format!("there is no crate `{name}`; take its row out")));
            continue;
        };
        let uses = used(manifest, &["dependencies", "build-dependencies"], &names);
        for extra in uses.difference(may_use) {
            let what = format!(
                "`{name}` uses `{extra}`, which the table of {ARCHITECTURE} does not allow; do without, or change the table"
            );
            found.push(Finding::new(path, 1, what));
        }
        for idle in may_use.difference(&uses) {
            let what = format!("`{name}` does not use `{idle}`; take it out of the table");
            found.push(Finding::new(ARCHITECTURE, *line, what));
        }
        // What a crate may not know, its tests may not know either, or they test something else.
        for extra in used(manifest, &["dev-dependencies"], &names).difference(may_use) {
            found.push(Finding::new(
                path,
                1,
                format!("the tests of `{name}` use `{extra}`, which `{name}` may not; move them"),
            ));
        }
    }
    let missing = crates.iter().filter(|(name, _)| !table.contains_key(*name));
    found.extend(missing.map(|(name, (path, _))| {
        Finding::new(path, 1, format!("`{name}` has no row in the table of {ARCHITECTURE}; add it"))
    }));
    found
}

/// The rows of the first table headed `crate` and `may use`: line, and the crates in the second column.
fn rows(text: &str) -> BTreeMap<String, (usize, BTreeSet<String>)> {
    let cells = |line: &str| -> Vec<String> {
        line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let is_head = |line: &str| matches!(&cells(line)[..], [first, second, ..] if first == "crate" && second.starts_with("may use"));
    let lines = text.lines().enumerate().skip_while(|(_, line)| !is_head(line)).skip(2);
    let lines = lines.take_while(|(_, line)| line.trim_start().starts_with('|'));
    let rows = lines.filter_map(|(index, line)| {
        let cells = cells(line);
        let name = ticked(cells.first()?).into_iter().next()?;
        Some((name, (index + 1, ticked(cells.get(1)?).into_iter().collect())))
    });
    rows.collect()
}

/// What stands between backticks.
fn ticked(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The crates below `crates/`: name, path of the manifest, manifest.
fn house_crates(tree: &Tree) -> BTreeMap<String, (String, Table)> {
    let below = members(tree).filter_map(|file| {
        let name = file.house_crate()?.to_owned();
        Some((name, (file.path.clone(), file.text.parse().ok()?)))
    });
    below.collect()
}

fn used(manifest: &Table, kinds: &[&str], names: &BTreeSet<&str>) -> BTreeSet<String> {
    let tables = kinds.iter().filter_map(|kind| manifest.get(*kind)?.as_table());
    tables.flat_map(Table::keys).filter(|name| names.contains(name.as_str())).cloned().collect()
}

/// The manifests of the workspace's members; one that opens a workspace of its own is none.
fn members(tree: &Tree) -> impl Iterator<Item = &File> {
    let is_apart = |file: &File| file.text.lines().any(|line| line.trim() == "[workspace]");
    tree.files().filter(move |file| file.path.ends_with("/Cargo.toml") && !is_apart(file))
}

#[cfg(test)]
mod tests {
    use super::super::found;
    use super::*;

    const GOOD: &str = "[package]\nname = \"a\"\nversion.workspace = true\nedition.workspace = true\n\
        rust-version.workspace = true\nlicense.workspace = true\npublish.workspace = true\n[lints]\nworkspace = true\n";

    #[test]
    fn what_a_crate_does_not_inherit_is_found() {
        let with = |from: &str, to: &str| GOOD.replace(from, to);
        for (manifest, expected) in [
            (GOOD.to_owned(), 0),
            (with("[lints]\nworkspace = true", ""), 1),
            (with("edition.workspace = true", "edition = \"2024\""), 1),
            (with("publish.workspace = true\n", ""), 1),
            (format!("{GOOD}[dependencies]\nbytes = \"1\"\n"), 1),
            (format!("{GOOD}[dev-dependencies]\nbytes = {{ version = \"1\" }}\n"), 1),
            (format!("{GOOD}[dependencies]\nbytes = {{ workspace = true, features = [\"x\"] }}\n"), 0),
            ("[package".to_owned(), 1),
            ("[package]\nversion = \"1\"\n[workspace]\n".to_owned(), 0),
        ] {
            assert_eq!(found(inherited, &[("crates/a/Cargo.toml", &manifest)]).len(), expected, "{manifest}");
        }
    }

    fn table(rows: &str) -> String {
        format!("# Rooms\n\n| crate | may use | what |\n|---|---|---|\n{rows}\n| `z` | outside |\n")
    }

    #[test]
    fn a_table_that_is_not_what_the_manifests_say_is_found() {
        let (a, b) = ("[dependencies]\nb.workspace = true\nbytes.workspace = true\n", "[dependencies]\n");
        for (rows, expected) in [
            ("| `a` | `b` | x |\n| `b` | | x |\n", vec![]),
            ("| `a` | | x |\n| `b` | | x |\n", vec!["crates/a/Cargo.toml:1"]),
            ("| `a` | `b` | x |\n| `b` | `a` | x |\n", vec!["ARCHITECTURE.md:6"]),
            ("| `a` | `b` | x |\n", vec!["crates/b/Cargo.toml:1"]),
            ("| `a` | `b` | x |\n| `b` | | x |\n| `c` | | x |\n", vec!["ARCHITECTURE.md:7"]),
        ] {
            let table = table(rows);
            let files = [(ARCHITECTURE, table.as_str()), ("crates/a/Cargo.toml", a), ("crates/b/Cargo.toml", b)];
            assert_eq!(found(dependency_table, &files), expected, "{rows}");
        }
        assert_eq!(found(dependency_table, &[("crates/a/Cargo.toml", a)]), ["ARCHITECTURE.md:1"]);
    }

    #[test]
    fn tests_that_look_up_are_found() {
        let table = table("| `a` | | x |\n| `b` | | x |\n");
        let files = [
            (ARCHITECTURE, table.as_str()),
            ("crates/a/Cargo.toml", "[dev-dependencies]\nb.workspace = true\n"),
            ("crates/b/Cargo.toml", ""),
        ];
        assert_eq!(found(dependency_table, &files), ["crates/a/Cargo.toml:1"]);
    }
}
