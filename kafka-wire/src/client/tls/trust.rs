//! The decision whether a broker's certificate is trusted.
//!
//! The rules are webpki's, with two of Java's on top: a certificate that is itself in the truststore is trusted,
//! even if its extensions do not make it one for a server, as those made by `openssl req -x509`; and the check of the
//! name can be turned off.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};

use super::der::{
    BOOLEAN, CONTEXT_0, CONTEXT_3, Der, GENERALIZED_TIME, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, SET,
    UTC_TIME,
};
use super::key::{KeyKind, USABLE};

#[derive(Debug)]
pub(super) struct Trust {
    pub(super) authorities: Arc<WebPkiServerVerifier>,
    /// The certificates of the truststore themselves.
    pub(super) pinned: Vec<CertificateDer<'static>>,
    pub(super) checks_name: bool,
}

/// Returns whether a certificate of the truststore may sign others: an authority by its basic constraints, or one of
/// before version 3, which has none. The certificate of a broker is trusted for itself alone, as in Java: its key must
/// not be able to pose as every broker.
pub(super) fn may_sign(certificate: &[u8]) -> bool {
    let Some(extensions) = extensions(certificate) else { return true };
    let Some(constraints) = extension(extensions, BASIC_CONSTRAINTS) else { return false };
    let is_authority = Der(constraints).enter(SEQUENCE).and_then(|mut fields| fields.take(BOOLEAN));
    is_authority.is_some_and(|value| value.iter().any(|byte| *byte != 0))
}

/// Returns an authority that has signed nothing, for a truststore that has none: without any, no name of a certificate
/// could be checked.
pub(super) fn no_authority() -> TrustAnchor<'static> {
    TrustAnchor {
        subject: rustls::pki_types::Der::from_slice(&[]),
        subject_public_key_info: rustls::pki_types::Der::from_slice(&[]),
        name_constraints: None,
    }
}

/// Returns the extensions of a certificate; `None` before version 3, and if the bytes are not a certificate.
fn extensions(certificate: &[u8]) -> Option<Der<'_>> {
    let mut fields = Der(certificate).enter(SEQUENCE)?.enter(SEQUENCE)?;
    std::iter::from_fn(|| fields.next()).find(|(tag, _)| *tag == CONTEXT_3).map(|(_, contents)| Der(contents))
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        use CertificateError as Bad;
        let facts = Facts::read(certificate);
        if let Some(kind) = facts.as_ref().and_then(|facts| facts.key).filter(|kind| !kind.is_usable()) {
            let unusable = OtherError(Arc::new(UnusableKey(kind)));
            return Err(Error::InvalidCertificate(Bad::Other(unusable)));
        }
        match self.authorities.verify_server_cert(certificate, intermediates, name, ocsp_response, now) {
            // The name is checked last, so the rest is valid.
            Err(Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }))
                if !self.checks_name =>
            {
                Ok(ServerCertVerified::assertion())
            }
            Err(error) => match facts.filter(|_| self.pinned.iter().any(|pinned| pinned == certificate)) {
                Some(facts) => self.check_pinned(certificate, &facts, name, now),
                None => Err(error),
            },
            Ok(verified) => Ok(verified),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

impl Trust {
    /// Checks the time and the name of a certificate that is in the truststore itself. Without alternative names,
    /// its common name counts, as in Java.
    fn check_pinned(
        &self,
        certificate: &CertificateDer<'_>,
        facts: &Facts,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if seconds < facts.not_before {
            return Err(Error::InvalidCertificate(CertificateError::NotValidYet));
        }
        if seconds > facts.not_after {
            return Err(Error::InvalidCertificate(CertificateError::Expired));
        }
        let is_common_name = !facts.has_alternative_names
            && facts.common_name.as_deref().is_some_and(|common| common.eq_ignore_ascii_case(&name.to_str()));
        if self.checks_name && !is_common_name {
            verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }
}

/// The fields of a certificate that are checked.
struct Facts {
    key: Option<KeyKind>,
    common_name: Option<String>,
    has_alternative_names: bool,
    /// Start of its validity, in seconds since 1970.
    not_before: i64,
    not_after: i64,
}

impl Facts {
    /// Reads a certificate; `None` if the bytes are not one.
    fn read(certificate: &[u8]) -> Option<Self> {
        let mut fields = Der(certificate).enter(SEQUENCE)?.enter(SEQUENCE)?;
        fields.take(CONTEXT_0);
        fields.take(INTEGER)?;
        fields.take(SEQUENCE)?;
        fields.take(SEQUENCE)?;
        let mut validity = fields.enter(SEQUENCE)?;
        let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
        let common_name = common_name(fields.enter(SEQUENCE)?);
        let key = KeyKind::of_public(fields.enter(SEQUENCE)?);
        while let Some((tag, contents)) = fields.next() {
            if tag == CONTEXT_3 {
                let has_alternative_names = has_extension(Der(contents), ALTERNATIVE_NAMES);
                return Some(Self { key, common_name, has_alternative_names, not_before, not_after });
            }
        }
        Some(Self { key, common_name, has_alternative_names: false, not_before, not_after })
    }
}

fn has_extension(extensions: Der<'_>, identifier: &[u8]) -> bool {
    extension(extensions, identifier).is_some()
}

/// Returns the contents of an extension.
fn extension<'a>(mut extensions: Der<'a>, identifier: &[u8]) -> Option<&'a [u8]> {
    let mut list = extensions.enter(SEQUENCE)?;
    let mut found = std::iter::from_fn(|| list.enter(SEQUENCE))
        .filter_map(|mut one| (one.take(OBJECT_IDENTIFIER)? == identifier).then_some(one));
    let mut found = found.next()?;
    found.take(BOOLEAN);
    found.take(OCTET_STRING)
}

fn common_name(mut names: Der<'_>) -> Option<String> {
    let mut found = None;
    while let Some(mut set) = names.enter(SET) {
        let mut pair = set.enter(SEQUENCE)?;
        if pair.take(OBJECT_IDENTIFIER) == Some(COMMON_NAME) {
            let (_, text) = pair.next()?;
            found = String::from_utf8(text.to_vec()).ok();
        }
    }
    found
}

/// Reads `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`, as seconds since 1970.
fn time(validity: &mut Der<'_>) -> Option<i64> {
    let (tag, text) = validity.next()?;
    let digits = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year: i64 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = digits.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<i64>().ok();
    let days = days_since_1970(year, part(0)?, part(2)?);
    Some(((days * 24 + part(4)?) * 60 + part(6)?) * 60 + part(8)?)
}

/// Counts years from March on, so that a leap day is the last day of its year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - DAYS_TO_1970
}

/// The reason why a certificate cannot be used: its key.
#[derive(Debug)]
struct UnusableKey(KeyKind);

impl fmt::Display for UnusableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it has {}, which this client cannot check: {USABLE}", self.0)
    }
}

impl std::error::Error for UnusableKey {}

const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// Days from the first of March of the year 0.
const DAYS_TO_1970: i64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_certificates_are_read() {
        let date = |tag: u8, text: &str| {
            let element = [&[tag, text.len().try_into().unwrap()][..], text.as_bytes()].concat();
            time(&mut Der(&element))
        };
        assert_eq!(date(UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(date(UTC_TIME, "240229123456Z"), Some(1_709_210_096));
        assert_eq!(date(GENERALIZED_TIME, "21260101000000Z"), Some(4_922_899_200));
        assert_eq!(date(GENERALIZED_TIME, "2126"), None);
    }
}
