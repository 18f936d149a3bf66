//! The text of a Java properties file. Source: the documentation of `java.util.Properties.load`.

use super::PropertiesError;

/// Returns the pairs of a text, in order.
///
/// A pair is `key=value`, `key:value` or `key value`; `#` and `!` begin comments; a backslash at the end of a line
/// joins the next one to it; `\t`, `\n`, `\r`, `\f`, `\uXXXX` and any other escaped character stand for one
/// character.
pub(super) fn pairs(text: &str) -> Result<Vec<(String, String)>, PropertiesError> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let mut line = line.trim_start().to_owned();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        while is_continued(&line) {
            line.pop();
            let Some((_, next)) = lines.next() else { break };
            line.push_str(next.trim_start());
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

/// Returns whether the line ends with a backslash that is not itself escaped.
fn is_continued(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// Splits a line behind the key: at the first `=`, `:` or white space that is not escaped.
fn split(line: &str) -> (&str, &str) {
    let mut is_escaped = false;
    let end = line.find(|character: char| {
        let is_end = !is_escaped && (matches!(character, '=' | ':') || character.is_whitespace());
        is_escaped = character == '\\' && !is_escaped;
        is_end
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start();
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, rest.trim_start())
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
                let (digits, rest) = left.as_str().split_at_checked(4)?;
                left = rest.chars();
                char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
            }
            other => other,
        });
    }
    Some(plain)
}

const BAD_ESCAPE: &str = "a backslash is followed by nothing, or by no four digits after `u`";
