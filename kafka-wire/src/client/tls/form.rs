//! Files that are not PEM, and settings that name a file in place of its text or hold a text in place of its name.

use std::path::Path;

use super::pem;

/// Returns whether the name of a file is a text of PEM by mistake.
pub(super) fn is_pem(path: &Path) -> bool {
    path.to_string_lossy().contains("-----")
}

/// Returns the format of a file that is not PEM, and the way to convert it.
pub(super) fn other_form(bytes: &[u8], path: Option<&Path>) -> Option<String> {
    let name = path.map_or_else(|| "FILE".to_owned(), |path| path.display().to_string());
    let to_pem = |file: &str| {
        format!(
            "`openssl pkcs12 -in {file} -nodes -out {name}.pem` makes PEM of its key and certificates (then ssl.keystore.type=PEM), and \
             `keytool -list -rfc -keystore {name}` prints the certificates of a truststore as PEM"
        )
    };
    let is_name = path.is_none() && bytes.len() < NAME_MAX && !bytes.contains(&b'-') && bytes.contains(&b'/');
    match bytes {
        _ if bytes.trim_ascii().is_empty() => Some(format!("{} is empty", path.map_or("it", |_| &*name))),
        _ if is_name => Some(
            "it is to hold the PEM itself, and seems to name a file: ssl.truststore.location, ssl.keystore.location, \
             ssl.certificate.location and ssl.key.location name files"
                .to_owned(),
        ),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some(format!("{name} is text in UTF-16: save it in ASCII or UTF-8")),
        [0xfe, 0xed, 0xfe, 0xed, ..] | [0xce, 0xce, 0xce, 0xce, ..] => Some(format!(
            "{name} is a keystore of Java (JKS), which only Java reads. `keytool -importkeystore -srckeystore {name} -destkeystore \
             {name}.p12 -deststoretype PKCS12` makes PKCS#12 of it, and {}",
            to_pem(&format!("{name}.p12"))
        )),
        // PKCS#12 begins with its version, which is 3.
        [0x30, 0x80..=0xff, rest @ ..] if pem::split_at(rest.get(..8).unwrap_or(rest), &[2, 1, 3]).is_some() => {
            Some(format!("{name} is a PKCS#12 file. {}", to_pem(&name)))
        }
        [0x30, 0x80..=0xff, ..] => Some(format!(
            "{name} is binary (DER). `openssl x509 -inform der -in {name}` prints a certificate as PEM, `openssl pkey` a key"
        )),
        _ => None,
    }
}

/// More than the name of a file has.
const NAME_MAX: usize = 256;
