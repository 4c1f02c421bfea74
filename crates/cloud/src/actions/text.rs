//! A text of an action, in which templates may stand, and what is made of one once it is rendered. Which member it was is
//! known by whoever asks.

use sql::{ParseError, Template, Version};

use super::effect::Failure;
use super::{Prepared, Unprepared};

/// A text with its templates parsed.
pub(super) struct Text {
    written: String,
    template: Template,
}

impl Text {
    pub(super) fn parse(written: &str, version: Version) -> Result<Self, ParseError> {
        Ok(Self { written: written.to_owned(), template: Template::parse(written, version)? })
    }

    /// The text itself, if nothing in it is replaced.
    pub(super) fn literal(&self) -> Option<&str> {
        self.template.is_literal().then_some(self.written.as_str())
    }

    /// The text as it was written.
    pub(super) fn written(&self) -> &str {
        &self.written
    }

    /// The text with everything replaced.
    pub(super) fn render(&self, cx: &mut Prepared<'_>) -> Result<String, Unprepared> {
        if self.template.is_literal() {
            return Ok(self.written.clone());
        }
        Ok(self.template.render(cx.message, &cx.selected.variables, cx.world)?)
    }

    /// The same where an empty text is of no use.
    pub(super) fn render_some(&self, name: &str, cx: &mut Prepared<'_>) -> Result<String, Unprepared> {
        let text = self.render(cx)?;
        if text.is_empty() {
            let written = &self.written;
            return Err(
                Failure::unusable(format!("The {name} is empty: {written} gave nothing for this message.")).into()
            );
        }
        Ok(text)
    }

    /// The same where it must be one of a few.
    pub(super) fn render_choice(
        &self,
        name: &str,
        choices: &[&'static str],
        cx: &mut Prepared<'_>,
    ) -> Result<&'static str, Unprepared> {
        let text = self.render(cx)?;
        let choice = choices.iter().copied().find(|choice| *choice == text);
        choice.ok_or_else(|| {
            Failure::unusable(format!("The {name} is {text:?}, and must be one of {}.", choices.join(", "))).into()
        })
    }
}

/// A text that may not be there, rendered.
pub(super) fn render(text: Option<&Text>, cx: &mut Prepared<'_>) -> Result<Option<String>, Unprepared> {
    text.map(|text| text.render(cx)).transpose()
}
