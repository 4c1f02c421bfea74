//! The rule about sizes: a function fits on a screen, a file can be read in one sitting. What is longer stands in
//! `xtask/tidy.toml` with its length, which may only shrink. It knows nothing about what the lines say.

use std::collections::BTreeMap;

use super::{Tree, Violation};

const LONGEST_FUNCTION: usize = 70;
const LONGEST_FILE: usize = 1000;

/// The exceptions: tables `functions`, by `path::name`, and `files`, by path.
const RATCHET: &str = "xtask/tidy.toml";

/// Something that has a length.
struct Measured {
    path: String,
    line: usize,
    length: usize,
}

/// Nothing is longer than the limits, or than it was.
pub(super) fn sizes(tree: &Tree) -> Vec<Violation> {
    let written = tree.get(RATCHET).map(|file| file.text.as_str()).unwrap_or_default();
    let Ok(ratchet) = written.parse::<toml::Table>() else {
        return vec![Violation::new(RATCHET, 1, "write it as TOML")];
    };
    let mut found = compare(&ratchet, "files", LONGEST_FILE, &files(tree));
    found.extend(compare(&ratchet, "functions", LONGEST_FUNCTION, &functions(tree)));
    found
}

fn files(tree: &Tree) -> BTreeMap<String, Measured> {
    let measure = |path: &str, text: &str| Measured { path: path.to_owned(), line: 1, length: text.lines().count() };
    tree.rust().map(|(file, _)| (file.path.clone(), measure(&file.path, &file.text))).collect()
}

/// Functions by path and name; of those that share a name, the longest.
fn functions(tree: &Tree) -> BTreeMap<String, Measured> {
    let mut all = BTreeMap::new();
    for (file, source) in tree.rust() {
        for function in source.functions() {
            let measured = Measured { path: file.path.clone(), line: function.line, length: function.length };
            let known: &mut Measured = all.entry(format!("{}::{}", file.path, function.name)).or_insert(measured);
            if function.length > known.length {
                (known.line, known.length) = (function.line, function.length);
            }
        }
    }
    all
}

/// Compares what there is with what was written down, in both directions.
fn compare(ratchet: &toml::Table, kind: &str, limit: usize, all: &BTreeMap<String, Measured>) -> Vec<Violation> {
    let none = toml::Table::new();
    let recorded = ratchet.get(kind).and_then(toml::Value::as_table).unwrap_or(&none);
    let length = |name: &str| recorded.get(name)?.as_integer().and_then(|length| usize::try_from(length).ok());
    let mut found = Vec::new();
    for (name, measured) in all {
        let allowed = length(name).unwrap_or(limit).max(limit);
        if measured.length > allowed {
            let fix = format!("{} lines where {allowed} may be: split it", measured.length);
            found.push(Violation::new(&measured.path, measured.line, fix));
        }
    }
    for name in recorded.keys() {
        let now = all.get(name).map_or(0, |measured| measured.length);
        if now <= limit {
            found.push(Violation::new(RATCHET, 1, format!("remove {name} from {kind}: it is short now, or gone")));
        } else if length(name).is_none_or(|length| now < length) {
            found.push(Violation::new(RATCHET, 1, format!("lower {name} in {kind} to {now}")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::found;
    use super::*;

    fn function(lines: usize) -> String {
        format!("fn f() {{\n{}}}\n", "\n".repeat(lines - 2))
    }

    #[test]
    fn a_function_fits_on_a_screen() {
        assert_eq!(found(sizes, &[("a/b.rs", &function(70))]), [""; 0]);
        assert_eq!(found(sizes, &[("a/b.rs", &function(71))]), ["a/b.rs:1"]);
        assert_eq!(found(sizes, &[("a/generated/b.rs", &function(71))]), [""; 0]);
    }

    #[test]
    fn a_file_can_be_read_in_one_sitting() {
        assert_eq!(found(sizes, &[("a.rs", &"\n".repeat(1000))]), [""; 0]);
        assert_eq!(found(sizes, &[("a.rs", &"\n".repeat(1001))]), ["a.rs:1"]);
    }

    #[test]
    fn an_exception_may_only_shrink() {
        let ratchet = (RATCHET, "[functions]\n\"a.rs::f\" = 80\n");
        assert_eq!(found(sizes, &[ratchet, ("a.rs", &function(80))]), [""; 0]);
        assert_eq!(found(sizes, &[ratchet, ("a.rs", &function(81))]), ["a.rs:1"]);
        for shorter in [79, 70] {
            assert_eq!(found(sizes, &[ratchet, ("a.rs", &function(shorter))]), ["xtask/tidy.toml:1"]);
        }
        assert_eq!(found(sizes, &[ratchet]), ["xtask/tidy.toml:1"]);
    }
}
