//! Rules about the crates: which may use which, as ARCHITECTURE.md draws it, and what they inherit from the workspace.
//! They know manifests, and nothing of the code behind them.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use super::{File, Tree, Violation};

const ARCHITECTURE: &str = "ARCHITECTURE.md";
const DEPENDENCIES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// The table in ARCHITECTURE.md says which crate uses which, and the manifests agree.
pub(super) fn rooms(tree: &Tree) -> Vec<Violation> {
    let text = tree.get(ARCHITECTURE).map(|file| file.text.as_str()).unwrap_or_default();
    let drawn = drawn(text);
    if drawn.is_empty() {
        return vec![Violation::new(
            ARCHITECTURE,
            1,
            "draw the crates: a table `| crate | may use | …`, names in backticks",
        )];
    }
    let built = built(tree);
    let mut found = Vec::new();
    for (name, (line, may_use)) in &drawn {
        match built.get(name) {
            None => found.push(Violation::new(ARCHITECTURE, *line, format!("remove `{name}`, which is no crate"))),
            Some(uses) if uses != may_use => {
                let uses: Vec<_> = uses.iter().map(|name| format!("`{name}`")).collect();
                found.push(Violation::new(
                    ARCHITECTURE,
                    *line,
                    format!("`{name}` uses [{}]; draw or undo it", uses.join(", ")),
                ));
            }
            Some(_) => {}
        }
    }
    let missing = built.keys().filter(|name| !drawn.contains_key(*name));
    found.extend(missing.map(|name| Violation::new(ARCHITECTURE, 1, format!("draw `{name}`"))));
    found
}

/// The rows of the table: each crate with its line and the crates it may use.
fn drawn(text: &str) -> BTreeMap<String, (usize, BTreeSet<String>)> {
    let lines = (1..).zip(text.lines());
    let table = lines.skip_while(|(_, line)| cells(line)[..2] != ["crate", "may use"]);
    let rows = table.skip(2).take_while(|(_, line)| line.starts_with('|'));
    let row = |(number, line): (usize, &str)| {
        let [name, may_use] = cells(line).map(names);
        Some((name.into_iter().next()?, (number, may_use)))
    };
    rows.filter_map(row).collect()
}

/// The first two cells of a row.
fn cells(line: &str) -> [&str; 2] {
    let mut cells = line.split('|').skip(1).map(str::trim);
    [cells.next().unwrap_or_default(), cells.next().unwrap_or_default()]
}

/// The words in backticks.
fn names(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The crates of the house with those they use, by their manifests.
fn built(tree: &Tree) -> BTreeMap<String, BTreeSet<String>> {
    let name = |file: &File| Some(file.room()?.to_owned());
    let all: BTreeSet<String> = manifests(tree).filter_map(|(file, _)| name(file)).collect();
    let uses = |manifest: &Table| -> BTreeSet<String> {
        let dependencies = manifest.get("dependencies").and_then(Value::as_table);
        let names = dependencies.into_iter().flat_map(Table::keys);
        names.filter(|name| all.contains(*name)).cloned().collect()
    };
    manifests(tree).filter_map(|(file, manifest)| Some((name(file)?, uses(&manifest)))).collect()
}

/// Every crate takes version, edition, lints, and the versions of its dependencies from the workspace.
pub(super) fn inherits(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (file, manifest) in manifests(tree) {
        let mut wanted = vec![("lints", "lints")];
        for key in ["version", "edition"] {
            wanted.push(("package", key));
        }
        for (table, key) in wanted {
            let holder = if table == key { Some(&manifest) } else { manifest.get(table).and_then(Value::as_table) };
            if !holder.and_then(|holder| holder.get(key)).is_some_and(is_inherited) {
                found.push(violation(file, key));
            }
        }
        let own = dependencies(&manifest).filter(|(_, dependency)| !is_inherited(dependency));
        found.extend(own.map(|(name, _)| violation(file, name)));
    }
    found
}

fn is_inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

fn violation(file: &File, key: &str) -> Violation {
    let line = file.text.lines().position(|line| line.starts_with(key)).unwrap_or_default() + 1;
    Violation::new(&file.path, line, format!("inherit `{key}`: workspace = true"))
}

/// Dependencies of every kind, those for one target too.
fn dependencies(manifest: &Table) -> impl Iterator<Item = (&String, &Value)> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let holders = targets.filter_map(Value::as_table).chain([manifest]);
    let tables = holders.flat_map(|holder| DEPENDENCIES.iter().filter_map(|kind| holder.get(*kind)?.as_table()));
    tables.flatten()
}

/// The manifests of the members of the workspace.
fn manifests(tree: &Tree) -> impl Iterator<Item = (&File, Table)> {
    let members = tree.0.iter().filter(|file| file.path.ends_with("/Cargo.toml"));
    // One that is not TOML has no keys, so `inherits` asks for them.
    members.map(|file| (file, file.text.parse().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::super::found;
    use super::*;

    const GOOD: &str = "[package]\nversion.workspace = true\nedition.workspace = true\n[lints]\nworkspace = true\n";

    #[test]
    fn the_drawing_and_the_manifests_agree() {
        let a = ("crates/a/Cargo.toml", "[dependencies]\nb.workspace = true\nserde.workspace = true\n");
        let b = ("crates/b/Cargo.toml", "[dev-dependencies]\na.workspace = true\n");
        let check = |rows: &str| {
            let text = format!("# Rooms\n\n| crate | may use | why |\n|---|---|---|\n{rows}\n");
            found(rooms, &[a, b, (ARCHITECTURE, &text)])
        };
        assert_eq!(check("| `a` | `b` | |\n| `b` | - | |"), [""; 0]);
        assert_eq!(check("| `a` | - | |\n| `b` | - | |"), ["ARCHITECTURE.md:5"]);
        assert_eq!(check("| `a` | `b` | |\n| `b` | `a` | |"), ["ARCHITECTURE.md:6"]);
        assert_eq!(check("| `a` | `b` | |"), ["ARCHITECTURE.md:1"]);
        assert_eq!(check("| `a` | `b` | |\n| `b` | - | |\n| `c` | - | |"), ["ARCHITECTURE.md:7"]);
        assert_eq!(found(rooms, &[a, b]), ["ARCHITECTURE.md:1"]);
    }

    #[test]
    fn a_crate_inherits() {
        let check = |more: &str| found(inherits, &[("crates/a/Cargo.toml", &format!("{GOOD}{more}"))]);
        assert_eq!(check("[dependencies]\nb.workspace = true\nc = { workspace = true, features = [] }\n"), [""; 0]);
        assert_eq!(check("[dependencies]\nb = \"1\"\n"), ["crates/a/Cargo.toml:7"]);
        assert_eq!(check("[target.x.dev-dependencies]\nb = { path = \"c\" }\n"), ["crates/a/Cargo.toml:7"]);
        let bare = [("xtask/Cargo.toml", "[package]\nversion = \"1\"\nedition.workspace = true\n")];
        assert_eq!(found(inherits, &bare), ["xtask/Cargo.toml:1", "xtask/Cargo.toml:2"]);
    }
}
