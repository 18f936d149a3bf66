//! Files as services and their documents hand them out, those of librdkafka, and what cannot be followed.

use super::*;
use crate::client::{Keystore, Pem, Truststore};
use crate::producer::Partitioning;

#[test]
fn a_file_of_confluent_cloud_is_taken_whole() {
    let text = "# Required connection configs for Kafka producer, consumer, and admin
bootstrap.servers=pkc-1.eu-central-1.aws.confluent.example:9092
security.protocol=SASL_SSL
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username='KEY' password='hush';
sasl.mechanism=PLAIN
client.dns.lookup=use_all_dns_ips
session.timeout.ms=45000
acks=all
client.id=ccloud-java-client-1
# Required connection configs for Confluent Cloud Schema Registry
schema.registry.url=https://psrc-1.confluent.example
basic.auth.credentials.source=USER_INFO
basic.auth.user.info=SRKEY:hush
auto.register.schemas=false
use.latest.version=true
";
    let properties = Properties::parse(text).unwrap();
    let config = properties.client().unwrap();
    assert_eq!(config.sasl.as_ref().map(Sasl::mechanism).as_deref(), Some("PLAIN"));
    assert!(!format!("{properties:?} {config:?}").contains("hush"));
}

#[test]
fn a_connection_string_of_event_hubs_is_a_password() {
    let secret = "Endpoint=sb://ns.servicebus.example/;SharedAccessKeyName=Root;SharedAccessKey=aB+/c=";
    let java = format!(
        "security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.jaas.config=org.apache.kafka.common.security.plain.\
         PlainLoginModule required username=\"$ConnectionString\" password=\"{secret}\";\nmax.request.size=1000000"
    );
    let librdkafka = format!(
        "security.protocol=SASL_SSL\nsasl.mechanisms=PLAIN\nsasl.username=$ConnectionString\nsasl.password={secret}\n\
         broker.version.fallback=1.0.0\napi.version.request=true\nsocket.keepalive.enable=true\nlog.connection.close=false"
    );
    for text in [java, librdkafka] {
        let properties = Properties::parse(&text).unwrap();
        let config = properties.client().unwrap();
        assert!(config.sasl.is_some() && config.tls.is_some());
        assert!(!format!("{properties:?} {config:?}").contains("SharedAccessKey="));
    }
}

#[test]
fn pem_files_are_named_as_librdkafka_names_them() {
    let text = "security.protocol=ssl\nssl.ca.location=ca.pem\nssl.certificate.location=service.cert\n\
                ssl.key.location=service.key\nssl.key.password=hush";
    let tls = client(text).unwrap().tls.unwrap();
    let file = |path: &str| Pem::File(path.into());
    assert_eq!(tls.truststore, Truststore::Certificates(file("ca.pem")));
    let Keystore { certificate_chain, key, .. } = tls.keystore.unwrap();
    assert_eq!((certificate_chain, key), (file("service.cert"), file("service.key")));
}

#[test]
fn what_cannot_be_followed_says_what_to_do_and_shows_no_secret() {
    for (text, key, remedy) in [
        ("sasl.mechanism=AWS_MSK_IAM", "sasl.mechanism", "SCRAM-SHA-512"),
        (
            "sasl.client.callback.handler.class=software.amazon.msk.auth.iam.IAMClientCallbackHandler",
            "sasl.client.callback.handler.class",
            "Sasl::oauthbearer",
        ),
        (
            "sasl.login.callback.handler.class=software.amazon.msk.auth.iam.IAMOAuthBearerLoginCallbackHandler",
            "sasl.login.callback.handler.class",
            "Sasl::oauthbearer",
        ),
        ("sasl.client.callback.handler.class=x.Mine", "sasl.client.callback.handler.class", "Sasl::custom"),
        ("sasl.mechanisms=GSSAPI", "sasl.mechanisms", "Kerberos (GSSAPI) is not supported"),
        ("ssl.truststore.type=pkcs12", "ssl.truststore.type", "keytool -list -rfc"),
        ("ssl.truststore.password=hush", "ssl.truststore.password", "keytool -list -rfc"),
        ("ssl.keystore.type=PKCS12", "ssl.keystore.type", "openssl pkcs12"),
        ("ssl.keystore.password=hush", "ssl.keystore.password", "openssl pkcs12"),
        ("enable.auto.offset.store=false", "enable.auto.offset.store", "commit_offsets"),
        ("partitioner=consistent", "partitioner", "`consistent_random`"),
        ("batch.size=1 MB", "batch.size", "a whole number of bytes, not `1 MB`"),
        ("client.rack=", "client.rack", "has no value: leave it out"),
        ("sasl.password=", "sasl.password", "has no value: leave it out"),
    ] {
        let said = Properties::parse(text).unwrap_err().to_string();
        assert!(said.starts_with(&format!("`{key}`")) && said.contains(remedy), "{said}");
        assert!(!said.contains("hush"), "{said}");
    }
    // Stores whose type is not given are told from PEM when they are read; these ask for nothing.
    for text in ["ssl.truststore.password=", "enable.auto.offset.store=true", "sasl.kerberos.service.name=kafka"] {
        assert_eq!(Properties::parse(text).unwrap(), Properties::new(), "{text}");
    }
}

#[test]
fn partitioners_and_buffers_have_the_names_of_librdkafka_and_java() {
    let producer = |text: &str| Properties::parse(text).unwrap().producer().unwrap();
    for (text, partitioning) in [
        ("partitioner=consistent_random", Partitioning::ByCrc32),
        ("partitioner=fnv1a_random", Partitioning::ByFnv1a),
        ("partitioner=murmur2_random", Partitioning::ByKey),
        ("partitioner.class=org.apache.kafka.clients.producer.RoundRobinPartitioner", Partitioning::RoundRobin),
        ("partitioner.ignore.keys=true", Partitioning::Sticky),
        ("partitioner=consistent_random\npartitioner.ignore.keys=false", Partitioning::ByCrc32),
    ] {
        assert_eq!(producer(text).partitioning, partitioning, "{text}");
    }
    assert_eq!(producer("queue.buffering.max.kbytes=1024").buffer_limit_bytes, 1 << 20);
    let consumer = Properties::parse("queued.max.messages.kbytes=2").unwrap().consumer().unwrap();
    assert_eq!(consumer.buffer_limit_bytes, 2_048);
}
