//! A policy's text as it is written: literal text, wildcards and variables `${…}`. A [`Template`] is read once
//! with its document and bound to a [`Context`] once per connection. It does not know whether it is a resource
//! or the value of a condition.

use crate::context::{Context, Empty, Key};
use crate::pattern::{Pattern, Token};

/// What means something in a text beside itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Syntax {
    /// Whether `*` and `?` are wildcards.
    pub(crate) wildcards: bool,
    /// Whether `${…}` is a variable or an escape.
    pub(crate) variables: bool,
}

/// Text with wildcards and variables.
#[derive(Debug)]
pub(crate) struct Template {
    source: Box<str>,
    parts: Box<[Part]>,
    /// What it binds to in every context, if it has no variables.
    fixed: Option<Pattern>,
}

#[derive(Debug)]
enum Part {
    Tokens(Box<[Token]>),
    Variable(Key),
}

impl Template {
    /// Reads a text. Every text is a template: `$` that opens nothing, and `${` that nothing closes, are
    /// themselves (unconfirmed: AWS may refuse an unclosed `${`).
    pub(crate) fn new(source: &str, syntax: Syntax) -> Template {
        let mut parts = Vec::new();
        let mut tokens = Vec::new();
        let mut rest = source;
        while let Some(first) = rest.chars().next() {
            if let Some((name, after)) = variable(rest).filter(|_| syntax.variables) {
                rest = after;
                match name {
                    "*" | "?" | "$" => tokens.extend(name.bytes().map(Token::Byte)),
                    _ => {
                        parts.push(Part::Tokens(std::mem::take(&mut tokens).into()));
                        parts.push(Part::Variable(Key::new(name)));
                    }
                }
                continue;
            }
            let (text, after) = rest.split_at(first.len_utf8());
            rest = after;
            match first {
                '*' if syntax.wildcards => tokens.push(Token::Many),
                '?' if syntax.wildcards => tokens.push(Token::One),
                _ => tokens.extend(text.bytes().map(Token::Byte)),
            }
        }
        let fixed = parts.is_empty().then(|| Pattern::new(&tokens));
        parts.push(Part::Tokens(tokens.into()));
        Template { source: source.into(), parts: parts.into(), fixed }
    }

    /// The pattern in which every variable is replaced by its value, taken literally: a `*` in a client id is
    /// no wildcard (unconfirmed: as IAM does). The first variable without a value stops it.
    pub(crate) fn bind(&self, context: &Context) -> Result<Pattern, Empty> {
        if let Some(fixed) = &self.fixed {
            return Ok(fixed.clone());
        }
        let mut tokens = Vec::new();
        for part in &self.parts {
            match part {
                Part::Tokens(literal) => tokens.extend_from_slice(literal),
                Part::Variable(key) => tokens.extend(context.text(key)?.bytes().map(Token::Byte)),
            }
        }
        Ok(Pattern::new(&tokens))
    }

    /// The text as the policy has it.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// The variables in it, in order.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &Key> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(key) => Some(key),
            Part::Tokens(_) => None,
        })
    }
}

/// How a policy spells this very text, so that it matches nothing else: wildcards and variables lose their meaning.
pub fn literal(text: &str) -> String {
    text.replace("${", "${$}{").replace('*', "${*}").replace('?', "${?}")
}

/// The name in `${name}` and what follows it, if `text` begins with one.
fn variable(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix("${")?.split_once('}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(source: &str, wildcards: bool) -> Result<String, Empty> {
        let mut context = Context::new();
        context.set("iot:ClientId", "lamp*");
        Template::new(source, Syntax { wildcards, variables: true }).bind(&context).map(|p| p.to_string())
    }

    #[test]
    fn variables_are_replaced_and_escapes_are_themselves() {
        assert_eq!(bound("a/${iot:ClientId}/b", true), Ok("a/lamp*/b".to_owned()));
        assert_eq!(bound("${*}${?}${$}$aws$", true), Ok("*?$$aws$".to_owned()));
        assert_eq!(bound("a${b", true), Ok("a${b".to_owned()));
        assert_eq!(bound("${iot:Nothing}", true), Err(Empty::Absent));
    }

    #[test]
    fn a_literal_matches_itself_and_nothing_else() {
        for text in ["a/b", "$aws/things/+/#", "a*b", "what?", "${iot:ClientId}", "$${*}", "{}$"] {
            assert_eq!(bound(&literal(text), true), Ok(text.to_owned()));
            let pattern = Template::new(&literal(text), Syntax { wildcards: true, variables: true });
            let pattern = pattern.bind(&Context::new()).unwrap();
            assert_eq!(pattern.as_exact(), Some(text), "{text}");
        }
    }

    #[test]
    fn a_star_is_a_wildcard_only_where_it_is_written_as_one() {
        let context = Context::new();
        let matches = |source, wildcards, text: &str| {
            let template = Template::new(source, Syntax { wildcards, variables: true });
            template.bind(&context).unwrap().matches(text.into())
        };
        assert!(matches("a*", true, "ab"));
        assert!(!matches("a*", false, "ab"));
        assert!(matches("a*", false, "a*"));
        assert!(!matches("a${*}", true, "ab"));
        assert!(matches("a${*}", true, "a*"));
    }
}
