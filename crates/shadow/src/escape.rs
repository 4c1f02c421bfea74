//! One spelling for every JSON string, so that strings are equal exactly when their texts are.
//!
//! Escapes are kept only where JSON requires them, in their shortest form; the rest becomes plain UTF-8. Most texts
//! hold no backslash and pass through untouched. This file does not check the grammar outside strings.

use std::borrow::Cow;

/// Rewrites the escapes of all strings of a JSON text; `None` if one is malformed or stands outside a string.
///
/// unconfirmed: half a surrogate pair, which no UTF-8 text can hold, is malformed.
pub(crate) fn canonical(text: &str) -> Option<Cow<'_, str>> {
    if !text.as_bytes().contains(&b'\\') {
        return Some(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\\']) {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        if let Some(after) = special.strip_prefix('"') {
            out.push('"');
            inside = !inside;
            rest = after;
        } else {
            let (character, after) = read(special).filter(|_| inside)?;
            push(&mut out, character);
            rest = after;
        }
    }
    out.push_str(rest);
    Some(Cow::Owned(out))
}

/// Writes a string as JSON, with its quotes.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    text.chars().for_each(|character| push(&mut out, character));
    out.push('"');
    out
}

/// What a canonical JSON string, with its quotes, says.
pub(crate) fn unquote(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut rest = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(&text);
    let mut out = String::with_capacity(rest.len());
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let Some((character, after)) = read(&rest[at..]) else {
            break;
        };
        out.push(character);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Reads the escape that `text` begins with; gives its character and the text after it.
fn read(text: &str) -> Option<(char, &str)> {
    let escape = text.strip_prefix('\\')?;
    let character = match escape.as_bytes().first()? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return read_unicode(escape),
        _ => return None,
    };
    Some((character, &escape[1..]))
}

/// Reads `uXXXX`, and `\uXXXX` after it if the two are a surrogate pair.
fn read_unicode(text: &str) -> Option<(char, &str)> {
    let (unit, rest) = read_unit(text)?;
    if let Some(character) = char::from_u32(unit) {
        return Some((character, rest));
    }
    let (low, rest) = read_unit(rest.strip_prefix('\\')?)?;
    let pair = char::decode_utf16([u16::try_from(unit).ok()?, u16::try_from(low).ok()?]).next()?;
    Some((pair.ok()?, rest))
}

fn read_unit(text: &str) -> Option<(u32, &str)> {
    let digits = text.strip_prefix('u')?.get(..4)?;
    let all_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let unit = u32::from_str_radix(digits, 16).ok().filter(|_| all_hex)?;
    Some((unit, &text[5..]))
}

/// Writes a character as it stands in a canonical string.
fn push(out: &mut String, character: char) {
    match character {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\0'..' ' => {
            let unit = u32::from(character);
            out.push_str("\\u00");
            out.extend([unit >> 4, unit & 15].into_iter().filter_map(|digit| char::from_digit(digit, 16)));
        }
        _ => out.push(character),
    }
}

#[cfg(test)]
mod tests {
    use super::{canonical, quote, unquote};

    #[test]
    fn every_string_has_one_spelling() {
        for (text, expected) in [
            (r#"{"a":1}"#, Some(r#"{"a":1}"#)),
            (r#""\u0061\/\u00e9""#, Some("\"a/é\"")),
            (r#""\u0022\u005C\u000A\u0008""#, Some(r#""\"\\\n\b""#)),
            (r#""\u001F""#, Some(r#""\u001f""#)),
            (r#""\ud83d\ude00""#, Some("\"😀\"")),
            (r#"["\\","\""]"#, Some(r#"["\\","\""]"#)),
            (r#""\ud83d""#, None),
            (r#""\ud83dx""#, None),
            (r#""\ude00\ud83d""#, None),
            (r#""\u+123""#, None),
            (r#""\u00é""#, None),
            (r#""\q""#, None),
            (r#""\"#, None),
            (r"tru\u0065", None),
            (r#"{\u0022a":1}"#, None),
        ] {
            assert_eq!(canonical(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_quoted_string_says_what_it_said() {
        for text in ["", "a", "\"", "\\", "\u{0}\u{1f}\u{7f}", "é😀\n", "\\u0041"] {
            assert_eq!(unquote(quote(text).as_bytes()), text);
            assert_eq!(canonical(&quote(text)).as_deref(), Some(quote(text).as_str()));
        }
    }
}
