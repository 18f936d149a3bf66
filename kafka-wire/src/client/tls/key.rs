//! Private keys: their formats, their kinds, and the decryption of those that have a password.

use std::fmt;

use aes::{Aes128, Aes192, Aes256};
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use sha2::{Sha256, Sha384, Sha512};

use super::der::{BIT_STRING, CONTEXT_0, Der, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, magnitude};
use super::pem::Section;

/// The kind of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    Rsa {
        bits: usize,
    },
    /// Elliptic curves of NIST.
    Ec(&'static str),
    Ed25519,
    /// A kind that TLS cannot use here.
    Other(&'static str),
}

impl KeyKind {
    /// Returns whether the TLS of this build can sign with such a key, and verify its signatures.
    pub(super) const fn is_usable(self) -> bool {
        match self {
            Self::Rsa { bits } => bits >= RSA_BITS_MIN,
            Self::Ec(curve) => matches!(curve.as_bytes(), b"P-256" | b"P-384"),
            Self::Ed25519 => true,
            Self::Other(_) => false,
        }
    }

    /// Returns the kind by the algorithm of a key and its numbers.
    fn of(algorithm: &[u8], mut parameters: Der<'_>, rsa_modulus: Option<&[u8]>) -> Option<Self> {
        Some(match algorithm {
            RSA | RSA_PSS => Self::Rsa { bits: bit_length(rsa_modulus?) },
            EC => curve(parameters.take(OBJECT_IDENTIFIER)?),
            ED25519 => Self::Ed25519,
            ED448 => Self::Other("an Ed448 key"),
            DSA => Self::Other("a DSA key"),
            _ => return None,
        })
    }

    /// Returns the kind of a SubjectPublicKeyInfo, which certificates contain.
    pub(super) fn of_public(mut info: Der<'_>) -> Option<Self> {
        let mut algorithm = info.enter(SEQUENCE)?;
        let identifier = algorithm.take(OBJECT_IDENTIFIER)?;
        // The first byte is the number of unused bits.
        let key = info.take(BIT_STRING)?.get(1..)?;
        let modulus = Der(key).enter(SEQUENCE).and_then(|mut key| key.take(INTEGER));
        Self::of(identifier, algorithm, modulus)
    }

    fn of_pkcs8(der: &[u8]) -> Option<Self> {
        let mut key = Der(der).enter(SEQUENCE)?;
        key.take(INTEGER)?;
        let mut algorithm = key.enter(SEQUENCE)?;
        let identifier = algorithm.take(OBJECT_IDENTIFIER)?;
        let modulus = key.take(OCTET_STRING).and_then(rsa_modulus);
        Self::of(identifier, algorithm, modulus)
    }

    fn of_sec1(der: &[u8]) -> Option<Self> {
        let mut key = Der(der).enter(SEQUENCE)?;
        key.take(INTEGER)?;
        key.take(OCTET_STRING)?;
        Some(curve(key.enter(CONTEXT_0)?.take(OBJECT_IDENTIFIER)?))
    }
}

/// As in "it is {}".
impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa { bits } => write!(f, "an RSA key of {bits} bits"),
            Self::Ec(curve) => write!(f, "an EC key on {curve}"),
            Self::Ed25519 => f.write_str("an Ed25519 key"),
            Self::Other(kind) => f.write_str(kind),
        }
    }
}

fn rsa_modulus(der: &[u8]) -> Option<&[u8]> {
    let mut key = Der(der).enter(SEQUENCE)?;
    key.take(INTEGER)?;
    key.take(INTEGER)
}

fn bit_length(integer: &[u8]) -> usize {
    let magnitude = magnitude(integer);
    let unused = magnitude.first().map_or(0, |first| first.leading_zeros() as usize);
    magnitude.len() * 8 - unused
}

fn curve(identifier: &[u8]) -> KeyKind {
    KeyKind::Ec(match identifier {
        P256 => "P-256",
        P384 => "P-384",
        P521 => "P-521",
        SECP256K1 => "secp256k1",
        _ => "a curve that this client does not know",
    })
}

/// Returns the one private key among the sections, decrypted with `password` if it is encrypted.
///
/// The reason of a failure contains nothing of the key.
pub(super) fn private_key(sections: Vec<Section>, password: Option<&str>) -> Result<PrivateKeyDer<'static>, String> {
    let mut found = sections.into_iter().filter(|section| LABELS.contains(&&*section.label));
    let Section { label, der } = found.next().ok_or(
        "there is no section -----BEGIN PRIVATE KEY-----, RSA PRIVATE KEY, EC PRIVATE KEY or ENCRYPTED PRIVATE KEY",
    )?;
    match found.count() {
        0 => {}
        others => return Err(format!("there are {} private keys: leave the one that counts", others + 1)),
    }
    let (key, kind): (PrivateKeyDer<'static>, _) = match &*label {
        RSA_LABEL => {
            let kind = rsa_modulus(&der).map(|modulus| KeyKind::Rsa { bits: bit_length(modulus) });
            (PrivatePkcs1KeyDer::from(der).into(), kind)
        }
        EC_LABEL => {
            let kind = KeyKind::of_sec1(&der);
            (PrivateSec1KeyDer::from(der).into(), kind)
        }
        label => {
            let der = match (label, password) {
                (ENCRYPTED_LABEL, Some(password)) => decrypt(&der, password.as_bytes())?,
                (ENCRYPTED_LABEL, None) => return Err("the key is encrypted: set ssl.key.password".to_owned()),
                _ => der,
            };
            let kind = KeyKind::of_pkcs8(&der);
            (PrivatePkcs8KeyDer::from(der).into(), kind)
        }
    };
    match kind {
        Some(kind) if !kind.is_usable() => Err(format!("it is {kind}, which this client cannot use: {USABLE}")),
        _ => Ok(key),
    }
}

/// Decrypts an EncryptedPrivateKeyInfo: PBES2 with PBKDF2 and AES, as `openssl pkcs8 -topk8` and `keytool` make
/// it. Source: RFC 8018.
fn decrypt(der: &[u8], password: &[u8]) -> Result<Vec<u8>, String> {
    const BROKEN: &str = "the encrypted key is not a well-formed PKCS#8";
    let advice = "`openssl pkcs8 -topk8 -in OLD -out NEW` of OpenSSL 3 encrypts it in a form that is known";
    let mut info = Der(der).enter(SEQUENCE).ok_or(BROKEN)?;
    let mut algorithm = info.enter(SEQUENCE).ok_or(BROKEN)?;
    let encrypted = info.take(OCTET_STRING).ok_or(BROKEN)?;
    if algorithm.take(OBJECT_IDENTIFIER) != Some(PBES2) {
        return Err(format!("the key is not encrypted by PBES2: {advice}"));
    }
    let mut parameters = algorithm.enter(SEQUENCE).ok_or(BROKEN)?;
    let mut derivation = parameters.enter(SEQUENCE).ok_or(BROKEN)?;
    if derivation.take(OBJECT_IDENTIFIER) != Some(PBKDF2) {
        return Err(format!("the password of the key is not hashed by PBKDF2: {advice}"));
    }
    let mut derivation = derivation.enter(SEQUENCE).ok_or(BROKEN)?;
    let salt = derivation.take(OCTET_STRING).ok_or(BROKEN)?;
    let iterations = derivation.take(INTEGER).and_then(small).filter(|count| *count <= ITERATIONS_MAX).ok_or(BROKEN)?;
    derivation.take(INTEGER);
    let hash = derivation.enter(SEQUENCE).and_then(|mut hash| hash.take(OBJECT_IDENTIFIER));
    let mut cipher = parameters.enter(SEQUENCE).ok_or(BROKEN)?;
    let identifier = cipher.take(OBJECT_IDENTIFIER).ok_or(BROKEN)?;
    let iv = cipher.take(OCTET_STRING).ok_or(BROKEN)?;
    let key_bytes = match identifier {
        AES128_CBC => 16,
        AES192_CBC => 24,
        AES256_CBC => 32,
        _ => return Err(format!("the key is not encrypted with AES-CBC: {advice}")),
    };
    let mut key = vec![0; key_bytes];
    match hash {
        Some(HMAC_SHA256) => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut key),
        Some(HMAC_SHA384) => pbkdf2::pbkdf2_hmac::<Sha384>(password, salt, iterations, &mut key),
        Some(HMAC_SHA512) => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations, &mut key),
        _ => return Err(format!("the password of the key is hashed with SHA-1: {advice}")),
    }
    let opened = match key_bytes {
        16 => open::<Decryptor<Aes128>>(&key, iv, encrypted),
        24 => open::<Decryptor<Aes192>>(&key, iv, encrypted),
        _ => open::<Decryptor<Aes256>>(&key, iv, encrypted),
    };
    let opened = opened.filter(|opened| Der(opened).enter(SEQUENCE).is_some());
    opened.ok_or_else(|| "ssl.key.password does not open the key".to_owned())
}

fn open<D: KeyIvInit + BlockModeDecrypt>(key: &[u8], iv: &[u8], encrypted: &[u8]) -> Option<Vec<u8>> {
    D::new_from_slices(key, iv).ok()?.decrypt_padded_vec::<Pkcs7>(encrypted).ok()
}

fn small(integer: &[u8]) -> Option<u32> {
    let magnitude = magnitude(integer);
    (magnitude.len() <= 4).then(|| magnitude.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

pub(super) const USABLE: &str = "use RSA of 2048 bits or more, EC on P-256 or P-384, or Ed25519";
const LABELS: &[&str] = &["PRIVATE KEY", RSA_LABEL, EC_LABEL, ENCRYPTED_LABEL];
const RSA_LABEL: &str = "RSA PRIVATE KEY";
const EC_LABEL: &str = "EC PRIVATE KEY";
const ENCRYPTED_LABEL: &str = "ENCRYPTED PRIVATE KEY";
const RSA_BITS_MIN: usize = 2048;
/// More iterations would take minutes at the start; OpenSSL uses 2,048, `keytool` 10,000.
const ITERATIONS_MAX: u32 = 10_000_000;

// Object identifiers in DER.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const DSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const ED448: &[u8] = &[0x2b, 0x65, 0x71];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const P521: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];
const SECP256K1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x0a];
const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c];
const HMAC_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x09];
const HMAC_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x0a];
const HMAC_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x0b];
const AES128_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x02];
const AES192_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x16];
const AES256_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a];
