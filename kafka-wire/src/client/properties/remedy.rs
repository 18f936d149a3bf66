//! Keys and values of other clients that this one cannot follow, each with what to do instead; and keys that have no
//! effect here, so that an existing file can be used as it is.

/// Keys, one of their values or any, and the remedy.
struct Remedy {
    keys: &'static [&'static str],
    /// The end of the value, in any case; empty for any value.
    value: &'static str,
    why: &'static str,
}

/// Returns the key and the remedy, if the key or its value is one that cannot be followed. A key without a value asks
/// for nothing.
pub(super) fn of(key: &str, value: &str) -> Option<(&'static str, &'static str)> {
    let value = value.to_ascii_lowercase();
    if value.is_empty() {
        return None;
    }
    REMEDIES.iter().filter(|row| value.ends_with(&row.value.to_ascii_lowercase())).find_map(|row| {
        let key = row.keys.iter().find(|known| **known == key)?;
        Some((*key, row.why))
    })
}

/// Returns whether the key belongs to something else than this client, such as a serializer of Java.
pub(super) fn is_ignored(key: &str) -> bool {
    IGNORED.contains(&key)
        || IGNORED_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
        || REMEDIES.iter().any(|row| row.keys.contains(&key))
}

const REMEDIES: &[Remedy] = &[
    Remedy {
        keys: &["sasl.mechanism", "sasl.mechanisms"],
        value: "GSSAPI",
        why: "Kerberos (GSSAPI) is not supported: use a listener of the brokers that has SCRAM, OAUTHBEARER, or TLS with a \
              certificate of the client",
    },
    Remedy { keys: &["sasl.mechanism", "sasl.mechanisms"], value: "AWS_MSK_IAM", why: IAM },
    Remedy {
        keys: &["sasl.login.callback.handler.class", "sasl.client.callback.handler.class"],
        value: "IAMOAuthBearerLoginCallbackHandler",
        why: IAM,
    },
    Remedy { keys: &["sasl.client.callback.handler.class"], value: "IAMClientCallbackHandler", why: IAM },
    Remedy {
        keys: &["sasl.client.callback.handler.class", "sasl.login.class"],
        value: "",
        why: "a class of Java cannot run here: leave it out for PLAIN, SCRAM and OAUTHBEARER; a program brings other ways to \
              log in by Sasl::custom",
    },
    Remedy { keys: &["ssl.truststore.type"], value: "JKS", why: TRUSTSTORE },
    Remedy { keys: &["ssl.truststore.type"], value: "PKCS12", why: TRUSTSTORE },
    Remedy { keys: &["ssl.truststore.password"], value: "", why: TRUSTSTORE },
    Remedy { keys: &["ssl.keystore.type"], value: "JKS", why: KEYSTORE },
    Remedy { keys: &["ssl.keystore.type"], value: "PKCS12", why: KEYSTORE },
    Remedy { keys: &["ssl.keystore.password"], value: "", why: KEYSTORE },
    Remedy {
        keys: &["enable.auto.offset.store"],
        value: "false",
        why: "there is no store of offsets beside the commits: set enable.auto.commit=false, and commit what is processed by \
              `commit_offsets`; with automatic commits a record counts as processed when the next one is asked for",
    },
];

const IAM: &str = "Amazon's IAM is not built in: log in by SCRAM-SHA-512 with a secret of the cluster (port 9096), by a \
                   certificate of the client (port 9094), or by OAUTHBEARER, for which a program takes tokens from \
                   Amazon's signer and gives them by Sasl::oauthbearer (port 9098)";

const TRUSTSTORE: &str = "only PEM is read here, which has no password. `keytool -list -rfc -keystore FILE` prints the certificates of \
                          a truststore (JKS or PKCS#12) as PEM; name the result in ssl.truststore.location, and leave \
                          ssl.truststore.type and ssl.truststore.password out";

const KEYSTORE: &str = "only PEM is read here. `openssl pkcs12 -in FILE -nodes -out FILE.pem` makes PEM of a keystore of PKCS#12, and \
                        `keytool -importkeystore -srckeystore FILE -destkeystore FILE.p12 -deststoretype PKCS12` makes PKCS#12 of \
                        JKS; name the result in ssl.keystore.location, and leave ssl.keystore.type and ssl.keystore.password \
                        out. A key that is encrypted has its password in ssl.key.password";

/// Beginnings of keys that have no effect here: those of serializers, of Kerberos and of monitoring.
pub(super) const IGNORED_PREFIXES: &[&str] = &[
    "avro.",
    "basic.auth.",
    "bearer.auth.",
    "config.providers",
    "confluent.",
    "json.",
    "key.subject.name.",
    "sasl.kerberos.",
    "sasl.login.refresh.",
    "sasl.oauthbearer.jwks.",
    "schema.registry.",
    "specific.",
    "value.subject.name.",
];

/// Keys of Java's client and of librdkafka that have no effect here.
pub(super) const IGNORED: &[&str] = &[
    "allow.auto.create.topics",
    "api.version.fallback.ms",
    "api.version.request",
    "api.version.request.timeout.ms",
    "auto.include.jmx.reporter",
    "auto.register.schemas",
    "batch.num.messages",
    "broker.address.family",
    "broker.address.ttl",
    "broker.version.fallback",
    "check.crcs",
    "client.dns.lookup",
    "compression.gzip.level",
    "compression.level",
    "compression.lz4.level",
    "compression.zstd.level",
    "connections.max.idle.ms",
    "coordinator.query.interval.ms",
    "debug",
    "default.api.timeout.ms",
    "delivery.report.only.error",
    "enable.metrics.push",
    "enable.partition.eof",
    "enable.random.seed",
    "exclude.internal.topics",
    "fetch.error.backoff.ms",
    "fetch.queue.backoff.ms",
    "group.protocol.type",
    "interceptor.classes",
    "key.deserializer",
    "key.serializer",
    "log.connection.close",
    "log.queue",
    "log.thread.name",
    "log_level",
    "max.poll.records",
    "message.copy.max.bytes",
    "message.max.bytes",
    "message.send.max.retries",
    "metadata.max.idle.ms",
    "metadata.recovery.rebootstrap.trigger.ms",
    "metadata.recovery.strategy",
    "metric.reporters",
    "metrics.num.samples",
    "metrics.recording.level",
    "metrics.sample.window.ms",
    "normalize.schemas",
    "partitioner.availability.timeout.ms",
    "plugin.library.paths",
    "queue.buffering.backpressure.threshold",
    "queue.buffering.max.messages",
    "queued.min.messages",
    "receive.buffer.bytes",
    "reconnect.backoff.jitter.ms",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "retries",
    "security.providers",
    "send.buffer.bytes",
    "serializer.encoding",
    "socket.blocking.max.ms",
    "socket.connection.setup.timeout.max.ms",
    "socket.keepalive.enable",
    "socket.max.fails",
    "socket.nagle.disable",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "ssl.cipher.suites",
    "ssl.curves.list",
    "ssl.enabled.protocols",
    "ssl.keymanager.algorithm",
    "ssl.protocol",
    "ssl.provider",
    "ssl.providers",
    "ssl.secure.random.implementation",
    "ssl.sigalgs.list",
    "ssl.trustmanager.algorithm",
    "statistics.interval.ms",
    "sticky.partitioning.linger.ms",
    "topic.metadata.propagation.max.ms",
    "topic.metadata.refresh.fast.interval.ms",
    "topic.metadata.refresh.sparse",
    "use.latest.version",
    "value.deserializer",
    "value.serializer",
];
