//! The words of a command line: `--flag`, `--name value`. It does not know what they mean.

use std::str::FromStr;

use crate::Failure;

pub(crate) struct Words<'a> {
    words: &'a [&'a str],
}

impl<'a> Words<'a> {
    /// Fails on what is neither a flag nor a name with a value.
    pub(crate) fn new(words: &'a [&'a str], flags: &[&str], names: &[&str]) -> Result<Self, Failure> {
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            let bare = word.strip_prefix("--").unwrap_or_default();
            let is_known = flags.contains(&bare) || names.contains(&bare) && rest.next().is_some();
            if !is_known {
                let names = names.join(" VALUE --");
                return Err(
                    format!("{word} is not understood; there are --{} --{names} VALUE", flags.join(" --")).into()
                );
            }
        }
        Ok(Self { words })
    }

    pub(crate) fn has(&self, flag: &str) -> bool {
        self.words.iter().any(|word| word.strip_prefix("--") == Some(flag))
    }

    pub(crate) fn value(&self, name: &str) -> Option<&'a str> {
        let at = self.words.iter().position(|word| word.strip_prefix("--") == Some(name))?;
        self.words.get(at + 1).copied()
    }

    /// The value, or what it is when nothing is said.
    pub(crate) fn number<T: FromStr>(&self, name: &str, usual: T) -> Result<T, Failure> {
        let Some(word) = self.value(name) else { return Ok(usual) };
        word.parse().map_err(|_| format!("--{name} {word} is not a number").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_means_nothing_is_named() {
        let words = ["--all", "--rows", "a,b"];
        let parsed = Words::new(&words, &["all"], &["rows"]).expect("both are known");
        assert!(parsed.has("all") && parsed.value("rows") == Some("a,b"));
        assert_eq!(parsed.number("rounds", 3).ok(), Some(3));
        assert!(Words::new(&["--rows"], &[], &["rows"]).is_err());
        assert!(Words::new(&["--none"], &["all"], &["rows"]).is_err_and(|error| error.to_string().contains("--none")));
    }
}
