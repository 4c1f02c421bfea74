//! Rules about the Rust that people write: how a file opens, and what it may not call.

use super::Finding;
use super::source::Source;
use super::tree::{File, Tree};

/// A file says in its first paragraph what it is for; this many characters on one line are a paragraph too.
const PARAGRAPH: usize = 80;

/// What nobody may call below the door crates, and what to do instead.
const AMBIENT: [(&str, &str); 13] = [
    ("Instant::now", "take the time as an argument"),
    ("SystemTime::now", "take the time as an argument"),
    ("std::env", "take settings as arguments"),
    ("env::var", "take settings as arguments"),
    ("thread::spawn", "let crate server decide what runs when"),
    ("thread::sleep", "return, and be called again"),
    ("rand::", "take entropy as an argument"),
    ("tokio", "be synchronous; crate server has the sockets"),
    ("fastrand", "take entropy as an argument"),
    ("getrandom", "take entropy as an argument"),
    ("println!", "return what there is to say; crate server has the log"),
    ("eprintln!", "return what there is to say; crate server has the log"),
    ("print!(", "return what there is to say; crate server has the log"),
];

/// What nobody may call at all outside tests.
const PANICS: [(&str, &str); 5] = [
    (".unwrap()", "return a refusal or a fault"),
    (".expect(\"", "return a refusal or a fault"),
    ("panic!", "return a fault, or restructure so that it cannot happen"),
    ("todo!", "do it, or refuse by name"),
    ("unimplemented!", "do it, or refuse by name"),
];

/// Crates that stand at the doors and may look at the world.
const DOORS: [&str; 1] = ["server"];

/// Every file begins with a paragraph on what it is for.
pub(super) fn opening_paragraphs(tree: &Tree) -> Vec<Finding> {
    let lacking = tree.rust().filter(|file| !opens_well(&file.text));
    let what =
        "no opening paragraph; begin with `//!` and say in two lines what the file is for and what it does not know";
    lacking.map(|file| Finding::new(&file.path, 1, what)).collect()
}

fn opens_well(text: &str) -> bool {
    let opening = text.lines().map_while(|line| line.strip_prefix("//!")).filter(|line| !line.is_empty());
    let (lines, length) = opening.fold((0, 0), |(lines, length), line| (lines + 1, length + line.chars().count()));
    lines >= 2 || length + 3 >= PARAGRAPH
}

/// No clock, environment, thread, randomness or terminal below the doors, and nothing that panics anywhere.
pub(super) fn forbidden_calls(tree: &Tree) -> Vec<Finding> {
    let files = tree.rust().filter(|file| !file.is_apart() && !file.path.ends_with("build.rs"));
    files.flat_map(forbidden_in).collect()
}

fn forbidden_in(file: &File) -> Vec<Finding> {
    let is_below = file.house_crate().is_some_and(|name| !DOORS.contains(&name));
    let ambient = AMBIENT.iter().filter(|_| is_below);
    let forbidden: Vec<_> = ambient.chain(&PANICS).collect();
    let mut found = Vec::new();
    for (number, line) in Source::new(&file.text).lines_outside_tests() {
        if let Some((call, instead)) = forbidden.iter().find(|(call, _)| contains_word(&line, call)) {
            found.push(Finding::new(&file.path, number, format!("`{call}` does not belong here; {instead}")));
        }
    }
    found
}

/// Whether `call` stands in the line and is not the tail of a longer word.
fn contains_word(line: &str, call: &str) -> bool {
    line.match_indices(call).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !call.starts_with(char::is_alphanumeric) || !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

/// Whoever silences a lint says why.
pub(super) fn silenced_lints(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.files().filter(|file| file.has_extension("rs")) {
        for (line, attribute) in Source::new(&file.text).attributes() {
            let silences = contains_word(&attribute, "allow(") || contains_word(&attribute, "expect(");
            if silences && !contains_word(&attribute, "reason") {
                found.push(Finding::new(&file.path, line, "a lint silenced without a reason; add `reason = \"…\"`"));
            }
        }
    }
    found
}

/// `foo.rs` with an optional `foo/`, so that a tab in an editor says which module it is.
pub(super) fn no_mod_rs(tree: &Tree) -> Vec<Finding> {
    let named = tree.files().filter(|file| file.path.ends_with("/mod.rs"));
    named
        .map(|file| Finding::new(&file.path, 1, "a mod.rs; name the file after its module, beside the directory"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::found;
    use super::*;

    #[test]
    fn a_file_without_a_paragraph_is_found() {
        let long = format!("//! {}\n", "x".repeat(PARAGRAPH - 4));
        let files = [
            ("crates/a/src/none.rs", "use b;\n"),
            ("crates/a/src/short.rs", "//! Short.\n\nuse b;\n"),
            ("crates/a/src/two.rs", "//! Two lines\n//!\n//! are enough.\n"),
            ("crates/a/src/long.rs", &long),
            ("crates/a/src/generated/x.rs", "use b;\n"),
            ("crates/a/notes.md", "nothing\n"),
        ];
        assert_eq!(found(opening_paragraphs, &files), ["crates/a/src/none.rs:1", "crates/a/src/short.rs:1"]);
    }

    #[test]
    fn the_world_is_found_below_the_doors() {
        for (call, _) in AMBIENT {
            let text = format!("fn f() {{\n    {call};\n}}\n");
            let files =
                [("crates/mqtt/src/a.rs", text.as_str()), ("crates/server/src/a.rs", &text), ("xtask/src/a.rs", &text)];
            assert_eq!(found(forbidden_calls, &files), ["crates/mqtt/src/a.rs:2"], "{call}");
        }
    }

    #[test]
    fn every_way_to_panic_is_found() {
        for call in [".unwrap()", ".expect(\"x\")", "panic!()", "todo!()", "unimplemented!()"] {
            assert_eq!(
                found(
                    forbidden_calls,
                    &[(
                        "xtask/src/a.rs",
                        &format!("fn f() {{ x{}{call}; }}\n", if call.starts_with('.') { "" } else { "; " })
                    )]
                ),
                ["xtask/src/a.rs:1"],
                "{call}"
            );
        }
    }

    #[test]
    fn panics_are_found_everywhere_but_in_tests() {
        let text =
            "fn f() { x.unwrap(); }\nfn g() { x.expect(\"y\"); }\n#[cfg(test)]\nmod tests { fn h() { x.unwrap(); } }\n";
        let files = [("crates/server/src/a.rs", text), ("crates/server/tests/it/a.rs", text)];
        assert_eq!(found(forbidden_calls, &files), ["crates/server/src/a.rs:1", "crates/server/src/a.rs:2"]);
    }

    #[test]
    fn words_that_only_look_like_it_are_not_found() {
        let text = "//! Instant::now\nfn f() { operand::x(); \"println!\"; MyInstant::now(); self.expect(b'x'); }\n";
        assert!(found(forbidden_calls, &[("crates/mqtt/src/a.rs", text)]).is_empty());
    }

    #[test]
    fn a_lint_silenced_without_a_reason_is_found() {
        let bare =
            ["#[allow(dead_code)]", "#![allow(a,\n b)]", "#[cfg_attr(test, expect(a))]", "#[allow(a)] // reason"];
        for text in bare {
            assert_eq!(found(silenced_lints, &[("a.rs", text)]), ["a.rs:1"], "{text}");
        }
        let fine = "#[allow(\n    a,\n    reason = \"]\"\n)]\nfn allow() {}\n#[disallow(a)]\n// #[allow(a)]\n";
        assert!(found(silenced_lints, &[("a.rs", fine)]).is_empty());
    }

    #[test]
    fn a_mod_rs_is_found() {
        let files = [("crates/a/src/b/mod.rs", ""), ("crates/a/src/b.rs", "")];
        assert_eq!(found(no_mod_rs, &files), ["crates/a/src/b/mod.rs:1"]);
    }
}
