//! Projections: which parts of an item are asked for, as paths that do not lead to one another.

use super::Placeholders;
use super::parser::{Parser, parse};
use crate::neighbours::tables::path::Path;

/// Reads a projection.
pub(crate) fn read(text: &str, placeholders: &Placeholders) -> Result<Vec<Path>, String> {
    parse("ProjectionExpression", text, placeholders, |parser| {
        let paths = parser.list(Parser::path)?;
        parser.check_clashes(&paths.iter().collect::<Vec<_>>());
        Ok(paths)
    })
}
