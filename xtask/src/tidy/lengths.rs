//! How long a function and a file may be. What is longer today stands in `xtask/tidy.toml` with its length,
//! which is a ratchet: entries shrink or go, and a new one needs its reason beside it.

use toml::Table;

use super::Finding;
use super::source::Source;
use super::tree::Tree;

const EXCEPTIONS: &str = "xtask/tidy.toml";
const FUNCTION: usize = 70;
const FILE: usize = 1000;

/// Something that has a length.
struct Measured {
    /// Its name in the list of exceptions.
    key: String,
    path: String,
    line: usize,
    length: usize,
}

/// Lengths within bounds, exceptions exact.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let exceptions: Table = match tree.text(EXCEPTIONS).unwrap_or_default().parse() {
        Ok(exceptions) => exceptions,
        Err(error) => return vec![Finding::new(EXCEPTIONS, 1, format!("not TOML: {error}"))],
    };
    let unknown = exceptions.keys().filter(|key| !["files", "functions"].contains(&key.as_str()));
    let unknown = unknown.map(|key| Finding::new(EXCEPTIONS, 1, format!("`{key}` is neither [files] nor [functions]")));
    let files = ratchet(&files(tree), FILE, exceptions.get("files").and_then(toml::Value::as_table));
    let functions = ratchet(&functions(tree), FUNCTION, exceptions.get("functions").and_then(toml::Value::as_table));
    unknown.chain(files).chain(functions).collect()
}

fn files(tree: &Tree) -> Vec<Measured> {
    let measured = tree.rust().map(|file| {
        let length = file.text.lines().count();
        Measured { key: file.path.clone(), path: file.path.clone(), line: 1, length }
    });
    measured.collect()
}

fn functions(tree: &Tree) -> Vec<Measured> {
    let measured = tree.rust().flat_map(|file| {
        let functions = Source::new(&file.text).functions().into_iter();
        functions.map(|function| Measured {
            key: format!("{}::{}", file.path, function.name),
            path: file.path.clone(),
            line: function.line,
            length: function.length,
        })
    });
    measured.collect()
}

fn ratchet(all: &[Measured], bound: usize, exceptions: Option<&Table>) -> Vec<Finding> {
    let allowed = |key: &str| exceptions?.get(key)?.as_integer().and_then(|length| usize::try_from(length).ok());
    let mut found = Vec::new();
    for Measured { key, path, line, length } in all.iter().filter(|one| one.length > bound) {
        let what = match allowed(key) {
            Some(entry) if entry >= *length => continue,
            Some(entry) => format!("{key} grew from {entry} to {length} lines; split it, it may only shrink"),
            None => format!("{key} has {length} lines, {bound} fit; split it"),
        };
        found.push(Finding::new(path, *line, what));
    }
    for key in exceptions.into_iter().flat_map(Table::keys) {
        let longest = all.iter().filter(|one| one.key == *key).map(|one| one.length).max();
        let what = match longest {
            Some(length) if length > bound && allowed(key).is_some_and(|entry| entry <= length) => continue,
            Some(length) if length > bound => format!("{key} has {length} lines now; lower its entry"),
            _ => format!("{key} needs no exception any more; remove its entry"),
        };
        found.push(Finding::new(EXCEPTIONS, 1, what));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::found;
    use super::*;

    fn function(lines: usize) -> String {
        format!("fn long() {{\n{}}}\n", "    x();\n".repeat(lines - 2))
    }

    #[test]
    fn what_is_too_long_is_found() {
        let (long, fits) = (function(FUNCTION + 1), function(FUNCTION));
        assert_eq!(found(check, &[("a/b.rs", &long), ("a/c.rs", &fits)]), ["a/b.rs:1"]);
        let (long, fits) = ("x;\n".repeat(FILE + 1), "x;\n".repeat(FILE));
        assert_eq!(found(check, &[("a/b.rs", &long), ("a/c.rs", &fits)]), ["a/b.rs:1"]);
    }

    #[test]
    fn an_exception_is_exact_and_goes_when_it_is_not_needed() {
        let (long, short) = (function(80), function(10));
        let entry = |length: usize| format!("[functions]\n\"a/b.rs::long\" = {length} # Because.\n");
        for (length, text, expected) in [
            (80, &long, vec![]),
            (79, &long, vec!["a/b.rs:1"]),
            (81, &long, vec!["xtask/tidy.toml:1"]),
            (80, &short, vec!["xtask/tidy.toml:1"]),
        ] {
            assert_eq!(found(check, &[("a/b.rs", text), (EXCEPTIONS, &entry(length))]), expected, "{length}");
        }
    }

    #[test]
    fn a_list_that_cannot_be_read_is_found() {
        assert_eq!(found(check, &[(EXCEPTIONS, "[files")]), ["xtask/tidy.toml:1"]);
        assert_eq!(found(check, &[(EXCEPTIONS, "[filse]\n")]), ["xtask/tidy.toml:1"]);
    }
}
