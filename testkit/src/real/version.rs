//! The releases of Apache Kafka that can be started, and their differences.

use std::fmt::{self, Display};
use std::str::FromStr;

/// A release of Apache Kafka. All from 2.1 on can be started; the methods answer in what they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KafkaVersion {
    major: u16,
    minor: u16,
    patch: u16,
}

impl KafkaVersion {
    /// The newest release, whose protocol kafka-wire has in full; suites run on it unless they say otherwise.
    pub const LATEST: Self = Self::new(4, 4, 0);

    /// The release `major.minor.patch`.
    #[must_use]
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }

    /// Whether the feature `transaction.version` can be set. Source: KIP-890, in Kafka 4.0.
    #[must_use]
    pub fn has_transaction_version(self) -> bool {
        self >= Self::new(4, 0, 0)
    }

    /// Whether it keeps its metadata in ZooKeeper: KRaft is meant for production since 3.3.1.
    pub(super) fn needs_zookeeper(self) -> bool {
        self < Self::new(3, 3, 1)
    }

    /// The Maven project whose dependencies are the class path of this version.
    pub(super) fn pom(self) -> String {
        let scala = if self < Self::new(2, 4, 0) { "2.12" } else { "2.13" };
        let mut others = String::new();
        if self == Self::LATEST {
            others += TOOLS;
        }
        // The ZooKeeper of older versions cannot connect on JDK 14 and later (ZOOKEEPER-3779).
        if self < Self::new(2, 8, 0) {
            others += ZOOKEEPER;
        }
        include_str!("pom.xml")
            .replace("${others}", &others)
            .replace("${scala}", scala)
            .replace("${kafka}", &self.to_string())
    }
}

impl Default for KafkaVersion {
    fn default() -> Self {
        Self::LATEST
    }
}

impl Display for KafkaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { major, minor, patch } = self;
        write!(f, "{major}.{minor}.{patch}")
    }
}

impl FromStr for KafkaVersion {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let numbers = text.split('.').map(str::parse).collect::<Result<Vec<u16>, _>>();
        match numbers.as_deref() {
            Ok([major, minor, patch]) => Ok(Self::new(*major, *minor, *patch)),
            _ => Err(NotAVersion { text: text.to_owned() }),
        }
    }
}

/// The error for a text that names no release of Apache Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAVersion {
    text: String,
}

impl Display for NotAVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no version of Kafka like {}", self.text, KafkaVersion::LATEST)
    }
}

impl std::error::Error for NotAVersion {}

/// The artifacts of Kafka's console tools, without Connect and its web server (50 jars).
const TOOLS: &str = "
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka-tools</artifactId>
      <version>${kafka}</version>
      <exclusions>
        <exclusion><groupId>org.apache.kafka</groupId><artifactId>connect-runtime</artifactId></exclusion>
        <exclusion><groupId>org.apache.kafka</groupId><artifactId>connect-api</artifactId></exclusion>
        <exclusion><groupId>org.apache.kafka</groupId><artifactId>connect-json</artifactId></exclusion>
      </exclusions>
    </dependency>";

const ZOOKEEPER: &str = "
    <dependency>
      <groupId>org.apache.zookeeper</groupId>
      <artifactId>zookeeper</artifactId>
      <version>3.5.9</version>
      <exclusions>
        <exclusion><groupId>log4j</groupId><artifactId>log4j</artifactId></exclusion>
        <exclusion><groupId>org.slf4j</groupId><artifactId>slf4j-log4j12</artifactId></exclusion>
      </exclusions>
    </dependency>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_three_numbers() {
        assert_eq!("3.9.1".parse(), Ok(KafkaVersion::new(3, 9, 1)));
        assert_eq!(KafkaVersion::new(3, 9, 1).to_string(), "3.9.1");
        for text in ["", "4.4", "4.4.0.1", "4.4.x", "-1.0.0"] {
            assert!(text.parse::<KafkaVersion>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_project_of_a_version_names_it() {
        assert!(KafkaVersion::LATEST.pom().contains("kafka-tools"));
        let old = KafkaVersion::new(2, 1, 0).pom();
        assert!(old.contains("kafka_2.12") && old.contains("<version>2.1.0</version>") && old.contains("zookeeper"));
        assert!(!old.contains("${") && !old.contains("kafka-tools"), "{old}");
    }
}
