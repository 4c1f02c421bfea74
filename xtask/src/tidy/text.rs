//! Rules about every text file: white space, words that do not belong to the product, decisions in order.

use super::Finding;
use super::tree::Tree;

/// The only file that may hold the words below, because it names them.
const HERE: &str = "xtask/src/tidy/text.rs";

/// Beginnings of paths that exist on one machine only.
const MACHINE: [&str; 6] = ["/home/", "/root/", "/Users/", "/work/", "/tmp/", "/opt/"];

/// Words about who writes and with what, where files speak of the product. Whole words, in any case.
const ASIDE: [&str; 10] = [
    "AI",
    "LLM",
    "claude",
    "subagent",
    "agent",
    "agents",
    "chatbot",
    "co-authored-by",
    "coding session",
    "language model",
];

/// Registries by host: tools know them, and a mirror has another name.
const REGISTRIES: [&str; 4] = ["crates.io", "pypi.org", "pythonhosted.org", "npmjs"];

/// The longest decision that is still read.
const DECISION: usize = 40;

/// Where packages come from; anything else is somebody's mirror.
const SOURCES: [&str; 2] =
    ["registry+https://github.com/rust-lang/crates.io-index", "registry+https://index.crates.io/"];

/// No trailing white space, no tabs in Rust, and a line end at the end.
pub(super) fn white_space(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.files() {
        for (index, line) in file.text.split('\n').enumerate() {
            if file.has_extension("rs") && line.contains('\t') {
                found.push(Finding::new(&file.path, index + 1, "a tab; write spaces, or `\\t` in a literal"));
            }
            if line.ends_with([' ', '\t', '\r']) {
                found.push(Finding::new(&file.path, index + 1, "white space at the end of the line; remove it"));
            }
        }
        if !file.text.is_empty() && !file.text.ends_with('\n') {
            found.push(Finding::new(
                &file.path,
                file.text.lines().count(),
                "no line end at the end of the file; add one",
            ));
        }
    }
    found
}

/// Files speak of the product: not of one machine, nor of who wrote them.
pub(super) fn words(tree: &Tree) -> Vec<Finding> {
    let files = tree.files().filter(|file| file.path != HERE && file.path != "LICENSE");
    let lines = files.flat_map(|file| file.text.lines().enumerate().map(move |(index, line)| (file, index + 1, line)));
    lines
        .filter_map(|(file, number, line)| Some(Finding::new(&file.path, number, misplaced(&file.path, line)?)))
        .collect()
}

fn misplaced(path: &str, line: &str) -> Option<String> {
    if path == "Cargo.lock" {
        let source = line.strip_prefix("source = \"")?;
        let is_known = SOURCES.iter().any(|known| source.starts_with(known));
        return (!is_known).then(|| "a package that does not come from crates.io; use one that does".to_owned());
    }
    if path.ends_with("requirements.txt") && line.starts_with("--") {
        return Some("an option of pip, such as a mirror; leave it to the machine".to_owned());
    }
    if let Some(machine) = MACHINE.iter().find(|machine| begins_a_path(line, machine)) {
        return Some(format!("`{machine}` is on one machine only; name a relative path or ask the system"));
    }
    if let Some(registry) = REGISTRIES.iter().find(|registry| line.contains(**registry)) {
        return Some(format!("`{registry}` is the business of cargo or pip; say it without"));
    }
    let word = ASIDE.iter().find(|word| has_word(line, word))?;
    Some(format!("`{word}` is not about the product; say it without"))
}

/// Whether a path in the line begins so, rather than only containing it as a topic or an URL may.
fn begins_a_path(line: &str, beginning: &str) -> bool {
    let mut found = line.match_indices(beginning);
    found.any(|(at, _)| {
        line[..at].chars().next_back().is_none_or(|before| before.is_whitespace() || "\"'`(=:,".contains(before))
    })
}

fn has_word(line: &str, word: &str) -> bool {
    // An abbreviation is one in capitals only; `ai` may be a variable.
    let capitals = word.chars().all(char::is_uppercase);
    let line = if capitals { line.to_owned() } else { line.to_ascii_lowercase() };
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let joins = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        !before.is_some_and(joins) && !after.is_some_and(joins)
    })
}

/// Decisions are numbered from 001 without gaps, so that a missing one is noticed, and have a title.
pub(super) fn decisions(tree: &Tree) -> Vec<Finding> {
    let mut files: Vec<_> = tree.files().filter(|file| file.path.starts_with("docs/decisions/")).collect();
    files.sort_unstable_by_key(|file| file.path.as_str());
    let mut found = Vec::new();
    for (file, expected) in files.iter().zip(1..) {
        let name = file.path.trim_start_matches("docs/decisions/");
        let is_next = name.starts_with(&format!("{expected:03}-")) && file.has_extension("md");
        if !is_next {
            found.push(Finding::new(&file.path, 1, format!("not {expected:03}-title.md, which comes next; rename it")));
        }
        let length = file.text.lines().count();
        if length > DECISION {
            found.push(Finding::new(&file.path, length, format!("{length} lines, {DECISION} are read; shorten it")));
        }
        if !file.text.starts_with("# ") {
            found.push(Finding::new(&file.path, 1, "no title; begin with `# ` and what was decided"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::found;
    use super::*;

    #[test]
    fn white_space_at_ends_is_found() {
        let files = [("a.md", "x \ny\n\tz\t\n"), ("b.md", "x"), ("c.md", "x\n"), ("d.md", "")];
        assert_eq!(found(white_space, &files), ["a.md:1", "a.md:3", "b.md:1"]);
        assert_eq!(found(white_space, &[("a.rs", "\tx\n"), ("b.rs", "    x\n")]), ["a.rs:1"]);
    }

    #[test]
    fn words_about_the_writers_are_found() {
        for word in ASIDE {
            let line = format!("Made by {word}.\n");
            assert_eq!(found(words, &[("a.md", &line)]), ["a.md:1"], "{word}");
        }
        for line in ["user-agent: x\n", "let ai = 1; // EMAIL\n", "an MQTT session\n", "reagents\n"] {
            assert!(found(words, &[("a.rs", line)]).is_empty(), "{line}");
        }
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        for machine in MACHINE {
            assert_eq!(found(words, &[("a.rs", &format!("open(\"{machine}x\")\n"))]), ["a.rs:1"], "{machine}");
        }
        assert!(found(words, &[("a.rs", "topic(\"factory/home/x\"); \"https://x.example/work/\"\n")]).is_empty());
    }

    #[test]
    fn registries_are_found() {
        for registry in REGISTRIES {
            assert_eq!(
                found(words, &[("a.md", &format!("get it from https://{registry}/x\n"))]),
                ["a.md:1"],
                "{registry}"
            );
        }
        assert!(found(words, &[("a.md", "crates of iron, pypi\n")]).is_empty());
    }

    #[test]
    fn a_long_decision_is_found() {
        let lines = |count: usize| format!("# One\n{}", "x\n".repeat(count - 1));
        assert_eq!(found(decisions, &[("docs/decisions/001-a.md", &lines(41))]), ["docs/decisions/001-a.md:41"]);
        assert!(found(decisions, &[("docs/decisions/001-a.md", &lines(40))]).is_empty());
    }

    #[test]
    fn packages_from_elsewhere_are_found() {
        let lock =
            "source = \"registry+https://github.com/rust-lang/crates.io-index\"\nsource = \"git+https://x.example\"\n";
        let files = [("Cargo.lock", lock), ("e2e/requirements.txt", "--index-url https://x.example\nboto3==1\n")];
        assert_eq!(found(words, &files), ["Cargo.lock:2", "e2e/requirements.txt:1"]);
    }

    #[test]
    fn decisions_with_gaps_or_without_titles_are_found() {
        let files = [
            ("docs/decisions/001-one.md", "# One\n"),
            ("docs/decisions/002-two.md", "Two\n"),
            ("docs/decisions/004-four.md", "# Four\n"),
        ];
        assert_eq!(found(decisions, &files), ["docs/decisions/002-two.md:1", "docs/decisions/004-four.md:1"]);
    }
}
