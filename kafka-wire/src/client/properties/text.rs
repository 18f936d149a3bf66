//! The text of a Java properties file. Source: the documentation of `java.util.Properties.load`.

use std::str::Chars;

use super::PropertiesError;

/// Returns the pairs of a text, in order.
///
/// A pair is `key=value`, `key:value` or `key value`; `#` and `!` begin comments; a backslash at the end of a line
/// joins the next one to it; `\t`, `\n`, `\r`, `\f`, `\uXXXX` and any other escaped character stand for one
/// character. White space is a space, a tab or a form feed. A byte order mark at the beginning is left out.
pub(super) fn pairs(text: &str) -> Result<Vec<(String, String)>, PropertiesError> {
    let mut found = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let mut lines = text.split(['\n', '\r']).enumerate();
    while let Some((index, line)) = lines.next() {
        let mut line = line.trim_start_matches(WHITE).to_owned();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        while is_continued(&line) {
            line.pop();
            let Some((_, next)) = lines.next() else { break };
            line.push_str(next.trim_start_matches(WHITE));
        }
        let syntax = |why| PropertiesError::Syntax { line: index + 1, why };
        let (key, value) = split(&line);
        let key = unescape(key).ok_or_else(|| syntax(BAD_ESCAPE))?;
        if key.is_empty() {
            return Err(syntax("there is no key before the `=`"));
        }
        found.push((key, unescape(value).ok_or_else(|| syntax(BAD_ESCAPE))?));
    }
    Ok(found)
}

/// Reads the bytes of a file: UTF-8, or else ISO 8859-1, which is all that Java reads.
pub(super) fn decode(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect())
}

/// Returns whether the line ends with a backslash that is not itself escaped.
fn is_continued(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// Splits a line behind the key: at the first `=`, `:` or white space that is not escaped.
fn split(line: &str) -> (&str, &str) {
    let mut is_escaped = false;
    let end = line.find(|character: char| {
        let is_end = !is_escaped && (matches!(character, '=' | ':') || WHITE.contains(&character));
        is_escaped = character == '\\' && !is_escaped;
        is_end
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start_matches(WHITE);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, rest.trim_start_matches(WHITE))
}

fn unescape(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut left = text.chars();
    while let Some(character) = left.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        plain.push(match left.next()? {
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'f' => '\u{c}',
            'u' => {
                let first = unit(&mut left)?;
                match char::from_u32(first) {
                    Some(character) => character,
                    // Java writes a character beyond U+FFFF as two.
                    None => {
                        left = left.as_str().strip_prefix("\\u")?.chars();
                        let units = [first, unit(&mut left)?].map(|unit| u16::try_from(unit).unwrap_or_default());
                        char::decode_utf16(units).next()?.ok()?
                    }
                }
            }
            other => other,
        });
    }
    Some(plain)
}

/// Reads four hexadecimal digits.
fn unit(left: &mut Chars<'_>) -> Option<u32> {
    let (digits, rest) = left.as_str().split_at_checked(4)?;
    *left = rest.chars();
    let is_number = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if is_number { u32::from_str_radix(digits, 16).ok() } else { None }
}

const WHITE: [char; 3] = [' ', '\t', '\u{c}'];
const BAD_ESCAPE: &str = "a backslash is followed by nothing, or by no four digits after `u`";
