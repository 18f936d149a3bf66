//! PEM in the forms that users have: from a file, from an environment variable, or from one line of a properties file,
//! in which line breaks have become spaces, the two characters `\n`, or nothing. Java reads all of these.
//!
//! A reason names the mistake and quotes nothing, since a text that cannot be read may be a private key.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// The text between `-----BEGIN LABEL-----` and `-----END LABEL-----`.
pub(super) struct Section {
    pub(super) label: String,
    pub(super) der: Vec<u8>,
}

/// Returns every section, in order; text between them is ignored.
pub(super) fn sections(text: &[u8]) -> Result<Vec<Section>, String> {
    let mut found = Vec::new();
    let mut left = text;
    while let Some((_, rest)) = split_at(left, BEGIN) {
        let (label, rest) = split_at(rest, DASHES).ok_or("a -----BEGIN line is not closed by five dashes")?;
        let label = std::str::from_utf8(label).ok().filter(|label| is_label(label));
        let label = label.ok_or("the label of a -----BEGIN line is not one of PEM")?;
        let end = format!("-----END {label}-----");
        let (body, rest) = split_at(rest, end.as_bytes())
            .ok_or_else(|| format!("there is a -----BEGIN {label}----- without its {end}"))?;
        left = rest;
        found.push(Section { label: label.to_owned(), der: decode(label, body)? });
    }
    Ok(found)
}

/// Returns whether a label consists of letters, digits and spaces and is not longer than any that exists.
/// Without this check, a missing dash would make a label of a key.
fn is_label(label: &str) -> bool {
    label.len() <= LABEL_MAX
        && label.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ')
}

fn decode(label: &str, body: &[u8]) -> Result<Vec<u8>, String> {
    if split_at(body, b"Proc-Type:").is_some() {
        return Err(format!(
            "the {label} is encrypted in OpenSSL's old way: `openssl pkcs8 -topk8 -in OLD -out NEW` makes the standard form of it"
        ));
    }
    let mut text = Vec::with_capacity(body.len());
    let mut left = body.iter().copied().peekable();
    while let Some(byte) = left.next() {
        match byte {
            b'\\' if matches!(left.peek(), Some(b'n' | b'r' | b't')) => drop(left.next()),
            b'\\' | b'"' => {}
            byte if byte.is_ascii_whitespace() => {}
            byte => text.push(byte),
        }
    }
    let engine = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    engine.decode(text).map_err(|_| format!("what stands in the {label} section is not base64"))
}

/// Returns the text before and behind the first `separator`.
pub(super) fn split_at<'a>(text: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(separator.len()).position(|window| window == separator)?;
    Some((text.get(..at)?, text.get(at + separator.len()..)?))
}

const BEGIN: &[u8] = b"-----BEGIN ";
const DASHES: &[u8] = b"-----";
const LABEL_MAX: usize = 40;
