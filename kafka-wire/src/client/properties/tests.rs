//! Files as users have them, mistakes in them, and secrets that must not be shown.

mod services;

use std::time::Duration;

use super::*;
use crate::client::Sasl;
use crate::consumer::ResetPolicy;
use crate::group::Assignor;

fn client(text: &str) -> Result<ClientConfig, PropertiesError> {
    ClientConfig::from_properties(text)
}

#[test]
fn a_file_of_javas_client_is_read() {
    let config = client(
        r#"# A comment
! another
bootstrap.servers = a:1, \
                    b:2
client.id: caf\u00e9
security.protocol=SASL_SSL
sasl.mechanism SCRAM-SHA-256
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \
  username="alice" \
  password="p=\\"w;d";
ssl.endpoint.identification.algorithm=
key.serializer=org.apache.kafka.common.serialization.StringSerializer
"#,
    )
    .unwrap();
    assert_eq!(config.bootstrap_servers, ["a:1", "b:2"]);
    assert_eq!(&*config.client_id, "caf\u{e9}");
    assert_eq!(config.sasl.as_ref().map(|sasl| sasl.mechanism().to_string()).as_deref(), Some("SCRAM-SHA-256"));
    assert!(!config.tls.as_ref().unwrap().checks_name);
    for (value, checks_name) in [("NONE", false), ("none", false), ("HTTPS", true)] {
        let text = format!("security.protocol=SSL\nssl.endpoint.identification.algorithm={value}");
        assert_eq!(client(&text).unwrap().tls.unwrap().checks_name, checks_name, "{value}");
    }
    assert!(!format!("{config:?}").contains("w;d"));
}

#[test]
fn names_of_librdkafka_are_aliases() {
    let properties = Properties::parse(
        "metadata.broker.list=h:1\nsasl.mechanisms=PLAIN\nsecurity.protocol=sasl_plaintext\nsasl.username=a\nsasl.password=b\n\
         socket.timeout.ms=7000\nqueue.buffering.max.ms=9\nfetch.wait.max.ms=11\ncompression.codec=lz4",
    )
    .unwrap();
    let config = properties.client().unwrap();
    assert_eq!(config.request_timeout, Duration::from_secs(7));
    assert_eq!(config.sasl.as_ref().map(Sasl::mechanism).as_deref(), Some("PLAIN"));
    assert_eq!(properties.producer().unwrap().linger, Duration::from_millis(9));
    assert_eq!(properties.consumer().unwrap().max_wait, Duration::from_millis(11));
    assert_eq!(properties.get("bootstrap.servers"), Some("h:1"));
}

#[test]
fn javas_greatest_number_is_a_long_time_where_java_takes_it() {
    let properties = |key: &str| Properties::parse(&format!("{key}=9223372036854775807"));
    let producer = |key: &str| properties(key).unwrap().producer().unwrap();
    let client = |key: &str| properties(key).unwrap().client().unwrap();
    let times = [
        producer("max.block.ms").max_block,
        producer("linger.ms").linger,
        client("metadata.max.age.ms").metadata_max_age,
        client("retry.backoff.ms").retry_backoff_min,
        client("retry.backoff.max.ms").retry_backoff_max,
    ];
    assert!(times.iter().all(|time| *time > Duration::from_secs(365 * 86_400)), "{times:?}");
    properties("session.timeout.ms").unwrap_err();
}

#[test]
fn every_key_is_known_once_takes_its_default_and_refuses_nonsense() {
    let mut seen = std::collections::BTreeSet::new();
    for key in Properties::keys() {
        for name in std::iter::once(&key.name).chain(key.aliases) {
            assert!(seen.insert(*name), "{name} is there twice");
            assert!(!remedy::IGNORED.contains(name), "{name} is ignored and not");
            let begins = |prefix: &&str| name.starts_with(prefix);
            assert!(!remedy::IGNORED_PREFIXES.iter().any(begins), "{name} is ignored and not");
        }
        if !key.default.is_empty() {
            Properties::new().set(key.name, key.default).unwrap();
        }
        let takes_any = key.default.is_empty() || key.name == "client.id";
        assert_eq!(
            Properties::new().set(key.name, "\u{1}nonsense").is_err(),
            !takes_any || is_closed(key.name),
            "{}",
            key.name
        );
    }
    /// Returns whether the key has no default, and takes only a few words or texts of a certain form.
    fn is_closed(name: &str) -> bool {
        matches!(
            name,
            "sasl.mechanism"
                | "sasl.oauthbearer.extensions"
                | "sasl.login.callback.handler.class"
                | "queue.buffering.max.kbytes"
                | "queued.max.messages.kbytes"
        )
    }
}

#[test]
fn defaults_of_the_reference_are_those_of_the_types() {
    let defaults = Properties::keys().filter(|key| !key.default.is_empty());
    let text: String = defaults.map(|key| format!("{}={}\n", key.name, key.default)).collect();
    let properties = Properties::parse(&text).unwrap();
    let (read, fresh) = (properties.client().unwrap(), ClientConfig::new(""));
    let shown = |config: &ClientConfig| format!("{:?}", ClientConfig { seed: 0, ..config.clone() });
    assert_eq!(shown(&read), shown(&fresh));
    assert_eq!(properties.producer().unwrap(), ProducerConfig::default());
    assert_eq!(properties.consumer().unwrap(), ConsumerConfig::default());
}

#[test]
fn an_unknown_key_names_one_that_is_near_and_no_other() {
    let said = |key: &str| Properties::new().set(key, "1").unwrap_err().to_string();
    assert!(said("sasl.mecanism").ends_with("did you mean `sasl.mechanism`?"));
    assert!(said("linger").contains("docs/reference/client-config.md"), "{}", said("linger"));
    assert!(said("state.dir").contains("docs/reference/client-config.md"));
}

#[test]
fn values_out_of_range_say_what_is_taken() {
    let said = |key: &str, value: &str| Properties::new().set(key, value).unwrap_err().to_string();
    assert_eq!(
        said("request.timeout.ms", "0"),
        "`request.timeout.ms` takes a whole number of milliseconds, 1 or more, not `0`"
    );
    assert!(said("linger.ms", "-1").contains("not `-1`"));
    assert!(said("auto.offset.reset", "first").contains("`earliest`, `latest`, `none` or `by_duration:`"));
    assert!(said("ssl.keystore.type", "JKS").contains("keytool -importkeystore"));
    assert!(said("security.protocol", "TLS").contains("SASL_SSL"));
    let mut properties = Properties::new();
    properties.set("fetch.max.bytes", "0").unwrap();
    assert_eq!(properties.consumer().unwrap().max_bytes, 1, "Java takes 0, and a broker then sends one batch");
}

#[test]
fn tokens_come_from_the_endpoint_that_is_named() {
    let common = "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=OAUTHBEARER\n\
                  sasl.oauthbearer.token.endpoint.url=https://issuer.example/token\n";
    for keys in [
        "sasl.oauthbearer.client.credentials.client.id=a\nsasl.oauthbearer.client.credentials.client.secret=hush",
        "sasl.oauthbearer.method=oidc\nsasl.oauthbearer.client.id=a\nsasl.oauthbearer.client.secret=hush\n\
         sasl.oauthbearer.extensions=logicalCluster=lkc-1,identityPoolId=pool-2",
        "sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required clientId=\"a\" \
         clientSecret=\"hush\" scope=\"s\" extension_logicalCluster=\"lkc-1\";\n\
         sasl.login.callback.handler.class=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler",
    ] {
        let config = client(&format!("{common}{keys}")).unwrap();
        assert_eq!(config.sasl.as_ref().map(|sasl| sasl.mechanism().to_string()).as_deref(), Some("OAUTHBEARER"));
        assert!(!format!("{config:?} {:?}", Properties::parse(keys)).contains("hush"));
    }
    let said = |keys: &str| client(&format!("{common}{keys}")).unwrap_err().to_string();
    assert!(said("").contains("`sasl.oauthbearer.client.credentials.client.id` is not set"));
    assert!(said("sasl.jaas.config=PlainLoginModule required;").contains("not that of sasl.mechanism"));
    assert!(
        said(
            "sasl.oauthbearer.token.endpoint.url=http://issuer.example/\nsasl.oauthbearer.client.id=a\n\
                  sasl.oauthbearer.client.secret=hush"
        )
        .contains("use https")
    );
}

#[test]
fn keys_of_security_have_to_go_together() {
    let said = |text: &str| client(text).unwrap_err().to_string();
    let of = |rest: &str| said(&format!("security.protocol=SASL_PLAINTEXT\n{rest}"));
    assert!(said("sasl.mechanism=PLAIN").contains("`security.protocol` is not set"));
    assert!(of("").contains("`sasl.mechanism` is not set"));
    assert!(of("sasl.mechanism=PLAIN\nsasl.password=hush").contains("`sasl.username` is not set"));
    assert!(of("sasl.mechanism=OAUTHBEARER").contains("Sasl::oauthbearer"));
    assert!(said("security.protocol=SSL\nssl.keystore.key=hush").contains("without its certificate"));
    client("security.protocol=PLAINTEXT\nsasl.mechanism=PLAIN").unwrap();
}

#[test]
fn a_group_consumer_has_its_keys_and_those_of_reading() {
    let topics = || Subscription::Topics(vec!["t".into()]);
    let config = |text: &str| Properties::parse(text).unwrap().group_consumer(topics());
    let read = config("group.id=g\nenable.auto.commit=false\nauto.commit.interval.ms=100\nauto.offset.reset=earliest")
        .unwrap();
    assert_eq!((&*read.group_id, read.auto_commit_interval), ("g", None));
    assert_eq!(read.auto_offset_reset, ResetPolicy::Earliest);
    assert!(config("session.timeout.ms=6000").unwrap_err().to_string().contains("`group.id` is not set"));
    let read = config(
        "group.id=g\npartition.assignment.strategy=\
        org.apache.kafka.clients.consumer.RoundRobinAssignor, cooperative-sticky",
    )
    .unwrap();
    assert_eq!(read.assignors, [Assignor::RoundRobin, Assignor::CooperativeSticky]);
    let refused = |text: &str| Properties::parse(text).unwrap_err().to_string();
    assert!(refused("partition.assignment.strategy=fair").contains("`cooperative-sticky`"));
    // The defaults of the reference are those of the type.
    let of_group = Properties::keys().filter(|key| key.group == "group consumer" && !key.default.is_empty());
    let of_group = of_group.filter(|key| !keys::OF_CONSUMER_PROTOCOL.contains(&key.name));
    let defaults: String = of_group.map(|key| format!("{}={}\n", key.name, key.default)).collect();
    let read = config(&format!("group.id=g\n{defaults}")).unwrap();
    assert_eq!(format!("{read:?}"), format!("{:?}", GroupConsumerConfig::new("g", topics())));
}

#[test]
fn keys_of_a_group_belong_to_its_protocol() {
    let config = |text: &str| {
        Properties::parse(&format!("group.id=g\n{text}")).unwrap().group_consumer(Subscription::Topics(Vec::new()))
    };
    let read = config("group.protocol=CONSUMER\ngroup.remote.assignor=range\nmax.poll.interval.ms=5000").unwrap();
    assert_eq!((read.group_protocol, read.remote_assignor.as_deref()), (GroupProtocol::Consumer, Some("range")));
    for key in ["session.timeout.ms=6000", "heartbeat.interval.ms=300", "partition.assignment.strategy=range"] {
        let refused = config(&format!("group.protocol=consumer\n{key}")).unwrap_err().to_string();
        assert!(refused.contains(key.split('=').next().unwrap()) && refused.contains("the broker's"), "{refused}");
        config(key).unwrap();
    }
    assert!(config("group.remote.assignor=range").unwrap_err().to_string().contains("group.protocol=consumer"));
    // Its session would end before the first heartbeat.
    for late in ["session.timeout.ms=6000\nheartbeat.interval.ms=6000", "session.timeout.ms=3000"] {
        let refused = config(late).unwrap_err().to_string();
        assert!(refused.contains("heartbeat.interval.ms") && refused.contains("session.timeout.ms"), "{refused}");
    }
}

#[test]
fn a_reset_policy_may_be_an_age() {
    let policy = |text: &str| {
        let properties = Properties::parse(&format!("auto.offset.reset=by_duration:{text}")).ok()?;
        Some(properties.consumer().unwrap().reset)
    };
    let table = [
        ("PT1H", 3_600_000),
        ("pt90m", 5_400_000),
        ("P2DT3H4M5.25S", 183_845_250),
        ("P1D", 86_400_000),
        ("PT0S", 0),
        ("PT0.001S", 1),
    ];
    for (text, millis) in table {
        assert_eq!(policy(text), Some(ResetPolicy::ByDuration(Duration::from_millis(millis))), "{text}");
    }
    for text in ["", "P", "PT", "P1DT", "1H", "PT-1H", "-PT1H", "PT1", "PT1M1H", "PT1.S", "PT1.5H", "P1H", "PT 1H"] {
        assert_eq!(policy(text), None, "{text}");
    }
}

#[test]
fn one_request_in_flight_is_one() {
    let producer = |text: &str| Properties::parse(text).unwrap().producer().unwrap();
    assert_eq!(producer("acks=1\nmax.in.flight.requests.per.connection=1").in_flight_max, 1);
    // The default of librdkafka.
    assert_eq!(producer("max.in.flight=1000000").in_flight_max, 1_000_000);
}

#[test]
fn less_than_all_acknowledgements_turn_idempotence_off_as_in_java() {
    let producer = |text: &str| Properties::parse(text).unwrap().producer();
    assert!(!producer("acks=1").unwrap().idempotence);
    assert!(producer("acks=-1").unwrap().idempotence);
    producer("acks=1\nenable.idempotence=true").unwrap_err();
    producer("acks=0\ntransactional.id=t").unwrap_err();
    producer("enable.idempotence=false\ntransactional.id=t").unwrap_err();
}

#[test]
fn no_mistake_shows_a_secret() {
    let jaas =
        |entry: &str| format!("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config={entry}");
    let plain = "org.apache.kafka.common.security.plain.PlainLoginModule";
    let mut texts = vec![
        "sasl.password=hush\\u12".to_owned(),
        "=hush".to_owned(),
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.password=hush".to_owned(),
    ];
    for entry in [
        format!("{plain} required username=\"a\" password=\"hush\""),
        format!("{plain} required username=\"a\" password=\"hush;"),
        format!("{plain} required username=\"a\" password hush;"),
        format!("{plain} username=\"a\" password=\"hush\";"),
        format!("{plain} required user=\"a\" password=\"hush\";"),
        format!("{plain} required username=\"a\" password=\"hush\"; hush"),
        "com.sun.security.auth.module.Krb5LoginModule required password=\"hush\";".to_owned(),
        "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"a\" password=\"hush\";".to_owned(),
        "hush".to_owned(),
    ] {
        texts.push(jaas(&entry));
    }
    for text in texts {
        let error = client(&text).unwrap_err();
        let properties = Properties::parse(&text);
        assert!(!format!("{error} {error:?} {properties:?}").contains("hush"), "{error}");
    }
}

/// The pairs are those that `java.util.Properties` reads, which takes an empty key, too.
#[test]
fn files_are_read_as_java_reads_them() {
    let check = |text: &str, expected: &[(&str, &str)]| {
        let expected: Vec<_> = expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        assert_eq!(text::pairs(text), Ok(expected), "{text:?}");
    };
    for text in ["a=b", "a:b", "a b", "a\tb", "a\u{c}b", "a : b", "a  b", "  a = b", "a\\\n =b", "\u{feff}a=b"] {
        check(text, &[("a", "b")]);
    }
    check("a = b ", &[("a", "b ")]);
    for text in ["a=b\\\n  c", "a=b\\\r\n  c", "a=b\\\r  c", "a=\\\n\\\r\n  bc"] {
        check(text, &[("a", "bc")]);
    }
    check("a=b\rc=d\r\ne=f\n\n", &[("a", "b"), ("c", "d"), ("e", "f")]);
    check("a\\ b=c\na\\=b=c\na\\:b:c", &[("a b", "c"), ("a=b", "c"), ("a:b", "c")]);
    check("a=\\u0041\\u00fc\\ud83d\\ude00", &[("a", "A\u{fc}\u{1f600}")]);
    check("a=b\\q\\\\", &[("a", "bq\\")]);
    check("# c\\\n! c\n  # c\na=1", &[("a", "1")]);
    check("a=1\\\n#x", &[("a", "1#x")]);
    check("a\nb=", &[("a", ""), ("b", "")]);
    check("a==b\nc=:d\ne: =f", &[("a", "=b"), ("c", ":d"), ("e", "=f")]);
    check("a=\u{a0}b\u{2028}\na\u{b}b=c", &[("a", "\u{a0}b\u{2028}"), ("a\u{b}b", "c")]);
    check("a=x\\", &[("a", "x")]);
    check("a=\\  b", &[("a", "  b")]);
    check("a=1\\\\\nb=2", &[("a", "1\\"), ("b", "2")]);
    check("a=\\ \\t\\n\\r\\f|", &[("a", " \t\n\r\u{c}|")]);
    for text in ["a=\\u00e", "a=\\u+0e1", "a=\\ud83d", "a=\\ud83dx", "a=\\ude00"] {
        assert!(text::pairs(text).is_err(), "{text}");
    }
    let properties = Properties::parse("linger.ms=1\nlinger.ms=2").unwrap();
    assert_eq!(properties.get("linger.ms"), Some("2"), "the last one counts");
    assert_eq!(text::decode(b"a=\xfc".to_vec()), "a=\u{fc}");
    assert_eq!(text::decode("a=\u{fc}".into()), "a=\u{fc}");
}

/// The passwords are those that Kafka's `JaasContext` reads.
#[test]
fn login_modules_are_read_as_java_reads_them() {
    let read = |options: &str| {
        let jaas = jaas::Jaas::read(&format!("x.PlainLoginModule required {options}"))?;
        Ok::<_, &str>(jaas.option("password").map(str::to_owned))
    };
    let check = |options: &str, password: &str| {
        assert_eq!(read(options), Ok(Some(password.to_owned())), "{options}");
    };
    for options in [
        "username=\"a\" password=\"b\";",
        "username='a' password='b';",
        "username=a password=b;",
        "username=\"a\"\n password=\"b\" ;",
        "/* x */ username=\"a\" // y\n password=\"b\";",
        "username=\"a\" password=\"b\"; // end",
        "username=\"a\" password=\"b\" /* end */; ",
        "username=\"a\" password=b//c\n;",
        "username=\"a\" password=\"b\" user_x=\"y\";",
        "\"username\"=\"a\" 'password'=\"b\";",
        "username=\"a\" password=\"c\" password=\"b\";",
        "username = \"a\" password = \"b\";",
    ] {
        check(options, "b");
    }
    check(r#"password="b\"c";"#, "b\"c");
    check(r#"password="b\\c";"#, "b\\c");
    check(r#"password="b\nc\t\r\a\b\f\v";"#, "b\nc\t\r\u{7}\u{8}\u{c}\u{b}");
    check(r#"password="b\101c\7\400\18";"#, "bAc\u{7} 0\u{1}8");
    check(r#"password="b'c";"#, "b'c");
    check(r#"password='b"c';"#, "b\"c");
    check(r#"password="b;c=d";"#, "b;c=d");
    check(r#"password=b-c_d$e;"#, "b-c_d$e");
    check(r#"password=b1.2;"#, "b1.2");
    check(r#"password="";"#, "");
    check("password=\"\u{fc}\u{20ac}\";", "\u{fc}\u{20ac}");
    check("password=\u{20ac}b;", "\u{20ac}b");
    check(r#"password="b//c/*d*/";"#, "b//c/*d*/");
    check(r#"password="b\u0041\x\'";"#, "bu0041x'");
    for options in [
        "password=\"b\"",
        "password=\"b;",
        "username=\"a\",password=\"b\";",
        "username:\"a\" password=\"b\";",
        "password=\"b\";;",
        "; password=\"b\";",
        "password=\"b\"; x.PlainLoginModule required;",
        "password=\"b\" /* open",
    ] {
        assert!(read(options).is_err(), "{options}");
    }
}

#[test]
fn a_value_that_goes_on_without_a_backslash_is_not_shown() {
    let line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
    let login = "username=\"alice\" password=\"hush\";";
    for text in [
        format!("ssl.keystore.key=-----BEGIN PRIVATE KEY-----\n{line}\n-----END PRIVATE KEY-----"),
        format!("linger.ms=1\n{line}=="),
        format!("sasl.jaas.config=x.PlainLoginModule required\n\\\"{login}"),
    ] {
        let error = Properties::parse(&text).unwrap_err();
        let said = format!("{error} {error:?}");
        assert!(said.contains("ends with a backslash"), "{said}");
        assert!(!said.contains("MIIE") && !said.contains("hush") && !said.contains("alice"), "{said}");
    }
    let error = Properties::parse("bootstrapServers=a:1").unwrap_err();
    assert!(error.to_string().contains("`bootstrapServers`: did you mean `bootstrap.servers`"), "{error}");
}

#[test]
fn the_environment_has_keys_in_capitals() {
    let variables =
        [("KAFKA_BOOTSTRAP_SERVERS", "h:1"), ("KAFKA_HOME", "/opt"), ("PATH", "x"), ("KAFKA_LINGER_MS", "3")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let properties = Properties::from_variables("KAFKA_", variables.clone().into_iter()).unwrap();
    assert_eq!(properties.client().unwrap().bootstrap_servers, ["h:1"]);
    assert_eq!(properties.producer().unwrap().linger, Duration::from_millis(3));
    let wrong = [("KAFKA_LINGER_MS".to_owned(), "soon".to_owned())];
    let error = Properties::from_variables("KAFKA_", wrong.into_iter()).unwrap_err();
    assert!(error.to_string().starts_with("KAFKA_LINGER_MS in the environment: `linger.ms` takes"), "{error}");
}
