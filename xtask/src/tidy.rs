//! `cargo xtask tidy`: the rules of the house as checks, each naming file, line, what is wrong and the way out.
//! It reads files and knows nothing of compilers; what clippy and rustfmt check is left to them.

use std::fmt;
use std::path::Path;

use crate::Failed;
use tree::Tree;

mod code;
mod lengths;
mod manifests;
mod source;
mod text;
mod tree;

/// What finds the breaches of a rule.
type Rule = fn(&Tree) -> Vec<Finding>;

/// Every rule, by name.
const RULES: [(&str, Rule); 10] = [
    ("opening paragraph", code::opening_paragraphs),
    ("forbidden calls", code::forbidden_calls),
    ("silenced lints", code::silenced_lints),
    ("no mod.rs", code::no_mod_rs),
    ("lengths", lengths::check),
    ("manifests", manifests::inherited),
    ("dependency table", manifests::dependency_table),
    ("white space", text::white_space),
    ("words", text::words),
    ("decisions", text::decisions),
];

/// Holds every rule against the repository.
pub(crate) fn run(root: &Path) -> Result<(), Failed> {
    let tree = Tree::read(root)?;
    let findings = RULES.iter().flat_map(|(rule, check)| check(&tree).into_iter().map(move |finding| (rule, finding)));
    let mut count = 0_usize;
    for (rule, finding) in findings {
        eprintln!("{finding} [{rule}]");
        count += 1;
    }
    if count == 0 { Ok(()) } else { Err(Failed::new(format!("keep the house rules: {count} findings above"))) }
}

/// One breach of a rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    line: usize,
    /// What is wrong, and after a semicolon what to do.
    what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Where the rules find fault in a small repository, as `path:line` in order.
#[cfg(test)]
fn found(rule: Rule, files: &[(&str, &str)]) -> Vec<String> {
    let found = rule(&Tree::of(files));
    found.iter().map(|finding| format!("{}:{}", finding.path, finding.line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_can_be_clicked() {
        let finding = Finding::new("a/b.rs", 7, "bad; do better");
        assert_eq!(finding.to_string(), "a/b.rs:7: bad; do better");
    }
}
