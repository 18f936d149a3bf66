//! The formats of certificates and keys: encodings, line breaks, passwords, keystores of Java, and certificates that
//! are trusted by themselves. `tls/make.sh` made the files. No error may show anything of a key.

use std::path::PathBuf;
use std::sync::Arc;

use kafka_wire::client::{
    Connector, DialError, Keystore, Pem, TlsConfig, TlsConnector, TlsProblem, Transport, Truststore,
};
use kafka_wire::wire::Str;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls");

fn read(name: &str) -> String {
    std::fs::read_to_string(format!("{DIRECTORY}/{name}")).expect("make.sh has made it")
}

fn text(pem: &str) -> Pem {
    Pem::Bytes(pem.into())
}

fn shows(chain: &str, key: &str, password: Option<&str>) -> TlsConfig {
    let mut config = TlsConfig::new(text(&read("authority.pem")));
    let mut keystore = Keystore::new(text(chain), text(key));
    keystore.key_password = password.map(Into::into);
    config.keystore = Some(keystore);
    config
}

/// The ways in which line breaks get lost.
fn line_breaks(pem: &str) -> [String; 6] {
    [
        pem.to_owned(),
        pem.replace('\n', "\r\n"),
        pem.replace('\n', " "),
        pem.replace('\n', "\\n"),
        pem.replace('\n', "\\\n"),
        pem.replace('\n', ""),
    ]
}

const KEYS: [(&str, &str); 6] = [
    ("p256", "p256"),
    ("p256", "p256-sec1"),
    ("p384", "p384"),
    ("ed25519", "ed25519"),
    ("rsa2048", "rsa2048"),
    ("rsa2048", "rsa2048-pkcs1"),
];

#[test]
fn keys_of_every_form_are_read_however_their_lines_are_broken() {
    for (certificate, key) in KEYS {
        let (certificate, key_text) = (read(&format!("forms/{certificate}.pem")), read(&format!("forms/{key}.key")));
        for (chain, key_text) in line_breaks(&certificate).iter().zip(line_breaks(&key_text)) {
            TlsConnector::new(&shows(chain, &key_text, None)).unwrap_or_else(|error| panic!("{key}: {error}"));
        }
        // One text holds both, in either order.
        for both in [format!("{certificate}{key_text}"), format!("{key_text}{certificate}")] {
            for both in line_breaks(&both) {
                TlsConnector::new(&shows(&both, &both, None)).unwrap_or_else(|error| panic!("{key}: {error}"));
            }
        }
    }
}

fn error(config: &TlsConfig) -> String {
    let error = TlsConnector::new(config).expect_err("it cannot be used");
    format!("{error} {error:?}")
}

#[test]
fn kinds_of_keys_that_cannot_be_used_are_named() {
    for (key, kind) in [
        ("p521", "an EC key on P-521"),
        ("p521-sec1", "an EC key on P-521"),
        ("rsa1024", "an RSA key of 1024 bits"),
        ("rsa1024-pkcs1", "an RSA key of 1024 bits"),
    ] {
        let error = error(&shows(&read("forms/p256.pem"), &read(&format!("forms/{key}.key")), None));
        assert!(error.contains(kind) && error.contains("RSA of 2048 bits or more"), "{error}");
    }
    let error = error(&shows(&read("forms/p256.pem"), &read("forms/p384.key"), None));
    assert!(error.contains("not the key of the first certificate"), "{error}");
}

#[test]
fn a_key_with_a_password_is_opened_by_it_alone() {
    let chain = read("forms/p256.pem");
    for key in ["aes-128-cbc", "aes-192-cbc", "aes-256-cbc", "sha512"] {
        let key = read(&format!("forms/p256-{key}.key"));
        for key in line_breaks(&key) {
            TlsConnector::new(&shows(&chain, &key, Some("secret"))).expect("as the test has it");
        }
        let wrong = error(&shows(&chain, &key, Some("hush")));
        assert!(wrong.contains("ssl.key.password does not open the key") && !wrong.contains("hush"), "{wrong}");
        let none = error(&shows(&chain, &key, None));
        assert!(none.contains("the key is encrypted: set ssl.key.password"), "{none}");
    }
    for (key, why) in [
        ("p256-sha1", "hashed with SHA-1"),
        ("p256-scrypt", "not hashed by PBKDF2"),
        ("rsa2048-old", "encrypted in OpenSSL's old way"),
    ] {
        let error = error(&shows(&chain, &read(&format!("forms/{key}.key")), Some("secret")));
        assert!(error.contains(why) && error.contains("openssl pkcs8 -topk8"), "{error}");
    }
}

/// A key is broken in every usual way, and no error may show twelve characters of it.
#[test]
fn no_error_shows_a_part_of_a_key() {
    for (certificate, key) in KEYS {
        let (chain, key) = (read(&format!("forms/{certificate}.pem")), read(&format!("forms/{key}.key")));
        let body: String = key.lines().filter(|line| !line.starts_with("-----")).collect();
        let mut broken = Vec::new();
        for pem in line_breaks(&key) {
            let end = pem.find("-----END").expect("as the test has it");
            let middle = end / 2;
            broken.extend([
                pem[..end].to_owned(),
                pem[..middle].to_owned(),
                pem.replace("-----END", "----END"),
                pem.replace("-----BEGIN", "BEGIN"),
                pem.replace("KEY-----", "KEY"),
                pem.replace("-----BEGIN", "-----BEGIN-----"),
                pem.replace("PRIVATE KEY", ""),
                pem.replace("PRIVATE KEY", "CERTIFICATE"),
                format!("{}?{}", &pem[..middle], &pem[middle..]),
                format!("{}{}", &pem[..middle], &pem[middle + 5..]),
                pem.replacen("-----\n", "", 1),
                pem.replacen('-', "", 3),
                body.clone(),
            ]);
        }
        for pem in broken {
            let configs = [
                shows(&chain, &pem, None),
                shows(&pem, &pem, None),
                shows(&chain, &pem, Some(&body)),
                TlsConfig::new(text(&pem)),
            ];
            for config in configs {
                if let Err(error) = TlsConnector::new(&config) {
                    let said = format!("{error} {error:?} {config:?}");
                    let is_shown = body
                        .as_bytes()
                        .windows(12)
                        .any(|part| said.contains(std::str::from_utf8(part).expect("as the test has it")));
                    assert!(!is_shown, "an error shows a part of a key: {said}");
                }
            }
        }
    }
}

#[test]
fn a_keystore_of_java_comes_with_the_line_that_converts_it() {
    let directory = std::env::temp_dir().join(format!("kafka-wire-jks-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("as the test has it");
    let jks = directory.join("client.jks");
    std::fs::write(&jks, [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2]).expect("as the test has it");
    let text = error(&TlsConfig::new(Pem::File(jks)));
    assert!(text.contains("keytool -importkeystore -srckeystore") && text.contains("client.jks"), "{text}");
    let text = error(&TlsConfig::new(Pem::File(format!("{DIRECTORY}/forms/p256.p12").into())));
    assert!(text.contains("is a PKCS#12 file") && text.contains("openssl pkcs12 -in"), "{text}");
    let text = error(&TlsConfig::new(Pem::File(format!("{DIRECTORY}/forms/p256.der").into())));
    assert!(text.contains("is binary (DER)") && text.contains("openssl x509 -inform der"), "{text}");
    std::fs::remove_dir_all(directory).expect("as the test has it");
}

/// OpenSSL writes lines of its own before and between sections, and editors add theirs.
#[test]
fn text_around_the_sections_does_not_matter() {
    let bag =
        "Bag Attributes\n    friendlyName: client\n    localKeyID: 54 69 6D 65\nKey Attributes: <No Attributes>\n";
    let issuer = "subject=CN = localhost\r\n\r\nissuer=CN = localhost\r\n";
    let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    let (certificate, key) = (read("forms/p256.pem"), read("forms/p256-sec1.key"));
    let both = format!("\u{feff}{bag}{issuer}{certificate}\n\t{bag}{parameters}{key}\n{issuer}");
    for both in [both.clone(), both.replace('\n', "\r\n"), both.replace('\n', "\n\t"), both.replace('\n', " \n")] {
        TlsConnector::new(&shows(&both, &both, None)).unwrap_or_else(|error| panic!("{error}"));
    }
    let trusted = read("forms/p256-trusted.pem");
    TlsConnector::new(&shows(&trusted, &key, None)).expect("it is a certificate with words behind it");
    TlsConnector::new(&TlsConfig::new(text(&trusted))).expect("as the test has it");
}

#[test]
fn the_key_that_counts_is_one_and_that_of_the_first_certificate() {
    let (certificate, key) = (read("forms/p256.pem"), read("forms/p256.key"));
    let several = error(&shows(&certificate, &format!("{}{key}", read("forms/p384.key")), None));
    assert!(several.contains("there are 2 private keys"), "{several}");
    let chain = format!("{}{}", read("authority.pem"), read("client.pem"));
    let reversed = error(&shows(&chain, &read("client.key"), None));
    assert!(reversed.contains("but of number 2") && reversed.contains("has to stand first"), "{reversed}");
}

#[test]
fn what_is_no_pem_is_told_and_a_key_in_place_of_a_name_is_not_shown() {
    let directory = std::env::temp_dir().join(format!("kafka-wire-files-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("as the test has it");
    let file = |name: &str, contents: &[u8]| {
        let path = directory.join(name);
        std::fs::write(&path, contents).expect("as the test has it");
        Pem::File(path)
    };
    let certificate = read("forms/p256.pem");
    let utf16: Vec<u8> = std::iter::once(0xfeff).chain(certificate.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    for (pem, expected) in [
        (file("empty.pem", b" \n"), "empty.pem is empty"),
        (file("utf16.pem", &utf16), "utf16.pem is text in UTF-16"),
        (file("words.pem", b"no PEM at all"), "there is no section -----BEGIN CERTIFICATE-----"),
        (Pem::File(directory.clone()), "cannot read"),
        (Pem::File(directory.join("missing.pem")), "missing.pem: entity not found"),
        (text("/etc/kafka/authority.pem"), "seems to name a file: ssl.truststore.location"),
    ] {
        let error = error(&TlsConfig::new(pem));
        assert!(error.contains(expected), "{error}");
    }
    std::fs::remove_dir_all(&directory).expect("as the test has it");
    let key = read("forms/p256.key");
    let mut config = TlsConfig::new(text(&certificate));
    config.keystore = Some(Keystore::new(text(&certificate), Pem::File(key.clone().into())));
    let said = format!("{} {config:?}", error(&config));
    assert!(said.contains("was given the PEM itself"), "{said}");
    assert!(key.lines().all(|line| line.starts_with("-----") || !said.contains(line)), "{said}");
}

/// The key of a broker must not be able to pose as another one, whoever trusts its certificate. Java, too, takes only
/// an authority for one.
#[tokio::test]
async fn a_certificate_that_is_no_authority_is_trusted_for_itself_alone() {
    let config = TlsConfig::new(text(&read("forms/no-authority.pem")));
    let port = serve("forms/no-authority.pem", "forms/p384.key").await;
    dial(&config, "localhost", port).await.expect("it is the certificate itself");
    let port = serve("forms/posing.pem", "forms/p256.key").await;
    assert_eq!(problem(&config, "localhost", port).await, TlsProblem::UnknownAuthority);
}

/// Starts a server that shows this certificate and accepts every client. Returns its port.
async fn serve(certificate: &str, key: &str) -> u16 {
    let chain = vec![CertificateDer::from_pem_slice(read(certificate).as_bytes()).expect("as the test has it")];
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls_graviola::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("as the test has it")
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(read(key).as_bytes()).expect("as the test has it"))
        .expect("as the test has it");
    let acceptor: tokio_rustls::TlsAcceptor = Arc::new(config).into();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("as the test has it");
    let port = listener.local_addr().expect("as the test has it").port();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Err((_, mut tcp)) = acceptor.accept(tcp).into_fallible().await {
                    drop(tcp.read_to_end(&mut Vec::new()).await);
                }
            });
        }
    });
    port
}

async fn dial(config: &TlsConfig, host: &str, port: u16) -> Result<Box<dyn Transport>, DialError> {
    TlsConnector::new(config).expect("as the test has it").connect(Str::from(host), port).await
}

async fn problem(config: &TlsConfig, host: &str, port: u16) -> TlsProblem {
    match dial(config, host, port).await.err() {
        Some(DialError::Tls { problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_certificate_in_the_truststore_is_trusted_by_itself() {
    for kind in ["p256", "p384", "rsa2048", "ed25519"] {
        let (certificate, key) = (format!("forms/{kind}.pem"), format!("forms/{kind}.key"));
        let port = serve(&certificate, &key).await;
        let config = TlsConfig::new(text(&read(&certificate)));
        dial(&config, "localhost", port).await.unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(problem(&config, "127.0.0.1", port).await, TlsProblem::NameMismatch);
        let strange = TlsConfig::new(text(&read("stranger.pem")));
        assert_ne!(problem(&strange, "localhost", port).await, TlsProblem::Other);
    }
    // The certificate is signed by an authority, and only the certificate itself is in the truststore.
    let port = serve("broker.pem", "broker.key").await;
    dial(&TlsConfig::new(text(&read("broker.pem"))), "localhost", port).await.expect("as the test has it");
    let port = serve("expired.pem", "expired.key").await;
    let config = TlsConfig::new(text(&read("expired.pem")));
    assert_eq!(problem(&config, "localhost", port).await, TlsProblem::Expired);
}

#[tokio::test]
async fn the_check_of_the_name_alone_can_be_turned_off() {
    let port = serve("elsewhere.pem", "elsewhere.key").await;
    let mut config = TlsConfig::new(text(&read("authority.pem")));
    assert_eq!(problem(&config, "localhost", port).await, TlsProblem::NameMismatch);
    config.checks_name = false;
    dial(&config, "localhost", port).await.expect("as the test has it");
    config.truststore = Truststore::Certificates(text(&read("stranger.pem")));
    assert_eq!(problem(&config, "localhost", port).await, TlsProblem::UnknownAuthority);
}

#[tokio::test]
async fn built_in_authorities_are_there_and_do_not_trust_everybody() {
    let port = serve("broker.pem", "broker.key").await;
    for truststore in [Truststore::BuiltIn, Truststore::System] {
        let mut config = TlsConfig::default();
        config.truststore = truststore;
        assert_eq!(problem(&config, "localhost", port).await, TlsProblem::UnknownAuthority);
    }
}

#[tokio::test]
async fn changed_files_are_read_for_the_next_connection() {
    let port = serve("broker.pem", "broker.key").await;
    let file: PathBuf = std::env::temp_dir().join(format!("kafka-wire-reload-{}.pem", std::process::id()));
    std::fs::write(&file, read("stranger.pem")).expect("as the test has it");
    let connector = TlsConnector::new(&TlsConfig::new(Pem::File(file.clone()))).expect("as the test has it");
    let dial = || connector.connect(Str::from("localhost"), port);
    dial().await.err().expect("the stranger has not signed it");
    std::fs::write(&file, read("authority.pem")).expect("as the test has it");
    dial().await.expect("the new file is read");
    std::fs::write(&file, "half a fi").expect("as the test has it");
    dial().await.expect("what cannot be used changes nothing");
    std::fs::remove_file(&file).expect("as the test has it");
    dial().await.expect("nor does a file that is gone");
}
