//! Scripted exchanges: the vectors of the RFCs, and peers that cheat.

use super::*;

fn say(exchange: &mut dyn Exchange, heard: Option<&str>) -> Result<String, SaslError> {
    match exchange.step(heard.map(str::as_bytes))? {
        Step::Send(bytes) => Ok(String::from_utf8(bytes).unwrap()),
        Step::Done => Ok("done".to_owned()),
    }
}

#[test]
fn plain_says_name_and_password_once() {
    let mut plain = Plain::new("alice", "secret");
    assert_eq!(say(&mut plain, None).unwrap(), "\0alice\0secret");
    assert_eq!(say(&mut plain, Some("")).unwrap(), "done");
    say(&mut plain, None).unwrap_err();
}

#[test]
fn a_token_is_shown_with_its_extensions() {
    let token = OAuthToken::new("ey.x.y").with_extension("traceId", "7");
    let mut exchange = OAuthBearer::new(&token).unwrap();
    assert_eq!(say(&mut exchange, None).unwrap(), "n,,\u{1}auth=Bearer ey.x.y\u{1}traceId=7\u{1}\u{1}");
    assert_eq!(say(&mut exchange, Some("")).unwrap(), "done");
}

#[test]
fn a_refused_token_is_acknowledged_so_that_the_broker_says_its_code() {
    let mut exchange = OAuthBearer::new(&OAuthToken::new("t")).unwrap();
    say(&mut exchange, None).unwrap();
    assert_eq!(say(&mut exchange, Some("{\"status\":\"invalid_token\"}")).unwrap(), "\u{1}");
    say(&mut exchange, Some("")).unwrap_err();
}

#[test]
fn tokens_that_cannot_be_sent_are_named_without_being_shown() {
    for token in [
        OAuthToken::new(""),
        OAuthToken::new("hush\n"),
        OAuthToken::new("hush").with_extension("auth", "hush"),
        OAuthToken::new("hush").with_extension("a", "hush\u{1}"),
    ] {
        let error = OAuthBearer::new(&token).unwrap_err();
        assert!(!format!("{error} {error:?} {token:?}").contains("hush"), "{error}");
    }
}

#[test]
fn what_a_refusal_says_names_the_settings_to_look_at() {
    let reason = Some(Str::from_static("Authentication failed"));
    let error = SaslError::Refused { mechanism: "PLAIN".into(), code: ErrorCode::SASL_AUTHENTICATION_FAILED, reason };
    let text = error.to_string();
    assert!(text.contains("SASL_AUTHENTICATION_FAILED (Authentication failed)"), "{text}");
    assert!(text.contains("sasl.username"), "{text}");
    let enabled = vec![Str::from_static("PLAIN"), Str::from_static("SCRAM-SHA-512")];
    let error = SaslError::UnsupportedMechanism { mechanism: "SCRAM-SHA-256".into(), enabled };
    assert!(error.to_string().ends_with("it takes PLAIN, SCRAM-SHA-512"), "{error}");
}

#[cfg(feature = "sasl")]
mod scram {
    use super::*;

    /// RFC 7677, section 3.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn begun() -> Scram {
        let mut scram = Scram::new(ScramHash::Sha256, "user", "pencil", NONCE);
        assert_eq!(say(&mut scram, None).unwrap(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        scram
    }

    #[test]
    fn the_exchange_of_rfc_7677_comes_out_as_printed_there() {
        let mut scram = begun();
        assert_eq!(
            say(&mut scram, Some(SERVER_FIRST)).unwrap(),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(say(&mut scram, Some(SERVER_FINAL)).unwrap(), "done");
        say(&mut scram, Some(SERVER_FINAL)).unwrap_err();
    }

    #[test]
    fn hashes_are_those_of_the_rfcs() {
        let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        // RFC 4231, test case 2.
        let mac = |hash: ScramHash| hex(hash.hmac(b"Jefe", b"what do ya want for nothing?"));
        assert_eq!(mac(ScramHash::Sha256), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert!(mac(ScramHash::Sha512).starts_with("164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"));
        // RFC 7914, section 11.
        let salted = hex(ScramHash::Sha256.salted_password("passwd", b"salt", 1));
        assert_eq!(salted, "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc");
        assert!(hex(ScramHash::Sha512.hash(b"abc")).starts_with("ddaf35a193617abacc417349ae204131"));
    }

    #[test]
    fn a_broker_that_lies_is_found_out() {
        for (heard, why) in [
            ("r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "nonce"),
            ("r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "nonce"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4095", "iterations"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1000001", "iterations"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=many", "iterations"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=,i=4096", "salt"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=?,i=4096", "salt"),
            ("m=x,r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "nonce"),
            ("", "nonce"),
        ] {
            let error = say(&mut begun(), Some(heard)).unwrap_err();
            assert!(error.to_string().contains(why), "{heard}: {error}");
        }
        for (heard, is_impostor) in [
            ("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=", false),
            ("v=AAAATRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", true),
            ("v=", true),
            ("e=invalid-proof", false),
            ("", false),
        ] {
            let mut scram = begun();
            say(&mut scram, Some(SERVER_FIRST)).unwrap();
            let error = say(&mut scram, Some(heard)).unwrap_err();
            assert_eq!(matches!(error, SaslError::Impostor { .. }), is_impostor, "{heard}: {error}");
            assert!(!format!("{error:?}{scram:?}").contains("pencil"));
        }
    }

    #[test]
    fn names_with_the_characters_of_the_messages_are_escaped() {
        for name in ["user", "a=b", "a,b", "=,=", "müller", "=2C"] {
            assert_eq!(unescape_name(&escape_name(name)).as_deref(), Some(name));
        }
        for broken in ["a=", "a=2", "a=2c", "=41"] {
            assert_eq!(unescape_name(broken), None, "{broken}");
        }
    }
}
