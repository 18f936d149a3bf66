//! `sasl.jaas.config`: Java's format for a name and a password.
//!
//! ```text
//! org.apache.kafka.common.security.plain.PlainLoginModule required username="alice" password="secret";
//! ```

/// The entry of a login module.
#[derive(PartialEq, Eq)]
pub(super) struct Jaas {
    /// Class of the module, without its package.
    pub(super) module: String,
    options: Vec<(String, String)>,
}

impl Jaas {
    /// Reads one entry. The reason of a failure quotes nothing, since there may be a password in the text.
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        let mut words = words(text)?.into_iter();
        let module = words.next().ok_or("it is empty")?;
        let module = module.rsplit('.').next().unwrap_or_default().to_owned();
        let flag = words.next().unwrap_or_default().to_ascii_lowercase();
        if !matches!(flag.as_str(), "required" | "requisite" | "sufficient" | "optional") {
            return Err("`required` has to follow the name of the module");
        }
        let mut options = Vec::new();
        while let Some(key) = words.next() {
            let (Some("="), Some(value)) = (words.next().as_deref(), words.next()) else {
                return Err("an option is not of the form key=\"value\"");
            };
            if !key.chars().all(|character| character.is_alphanumeric() || "_-$.".contains(character)) {
                return Err("an option is not of the form key=\"value\": the name has other characters than letters");
            }
            options.push((key, value));
        }
        Ok(Self { module, options })
    }

    pub(super) fn options(&self) -> impl Iterator<Item = (&str, &str)> {
        self.options.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub(super) fn option(&self, name: &str) -> Option<&str> {
        // Java keeps the last of several.
        self.options.iter().rfind(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Splits a text into words and quoted texts up to the semicolon; `=` is a word of its own. Comments are those of Java.
///
/// Source: `java.io.StreamTokenizer`, by which Kafka reads the entry. An unquoted word may have more characters here.
fn words(text: &str) -> Result<Vec<String>, &'static str> {
    let mut found = Vec::new();
    let mut is_over = false;
    let mut left = text;
    while let Some(first) = left.chars().next() {
        if let Some(rest) = behind_comment(left) {
            left = rest;
            continue;
        }
        left = left.get(first.len_utf8()..).unwrap_or_default();
        if first.is_whitespace() {
            continue;
        }
        if is_over {
            return Err("something follows the semicolon");
        }
        match first {
            ';' => is_over = true,
            '=' => found.push("=".to_owned()),
            '"' | '\'' => {
                let (word, rest) = quoted(left, first).ok_or("a quotation mark is not closed")?;
                found.push(word);
                left = rest;
            }
            _ => {
                let ends = |(_, next): &(usize, char)| next.is_whitespace() || matches!(next, '=' | ';' | '"');
                let is_end = |at: &(usize, char)| ends(at) || left.get(at.0..).is_some_and(starts_comment);
                let end = left.char_indices().find(is_end).map_or(left.len(), |(at, _)| at);
                let (word, rest) = left.split_at(end);
                found.push(format!("{first}{word}"));
                left = rest;
            }
        }
    }
    if is_over { Ok(found) } else { Err("a semicolon has to end it") }
}

fn starts_comment(text: &str) -> bool {
    text.starts_with("//") || text.starts_with("/*")
}

/// Returns the text behind a comment; `None` if it does not begin with one.
fn behind_comment(text: &str) -> Option<&str> {
    if let Some(comment) = text.strip_prefix("//") {
        return Some(comment.find(['\n', '\r']).and_then(|end| comment.get(end..)).unwrap_or_default());
    }
    let comment = text.strip_prefix("/*")?;
    Some(comment.split_once("*/").map_or("", |(_, rest)| rest))
}

/// Returns the text up to the quotation mark, without its escapes, and the rest.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut word = String::new();
    let mut left = text.chars();
    loop {
        match left.next()? {
            '\\' => {
                let (character, rest) = escaped(left.as_str())?;
                word.push(character);
                left = rest.chars();
            }
            character if character == quote => return Some((word, left.as_str())),
            character => word.push(character),
        }
    }
}

/// Returns the character that the text behind a backslash stands for, and the rest: up to three octal digits, a letter
/// for a control character, or any other character for itself.
fn escaped(text: &str) -> Option<(char, &str)> {
    let first = text.chars().next()?;
    let most = if first <= '3' { 3 } else { 2 };
    let digits = text.bytes().take(most).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
    if digits > 0 {
        let (digits, rest) = text.split_at(digits);
        return Some((char::from(u8::from_str_radix(digits, 8).ok()?), rest));
    }
    let character = match first {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        other => other,
    };
    Some((character, text.get(first.len_utf8()..)?))
}
