//! The topics that an input reads.

use kafka_wire::client::TopicPattern;

use super::BuildError;
use super::error::check_name;

/// The topics that an input reads: one, a list, or all whose names match a pattern.
///
/// Made by `into()` of a name, of names, or of a [`TopicPattern`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Topics {
    /// The topics with these names.
    Named(Vec<String>),
    /// The topics whose names match.
    Matching(TopicPattern),
}

impl Topics {
    /// The names under which a topology knows the input before it runs: those of its topics, or the pattern between
    /// slashes, which no topic can have in its name.
    pub(super) fn declared(&self) -> Vec<String> {
        match self {
            Self::Named(topics) => topics.clone(),
            Self::Matching(pattern) => vec![format!("/{}/", pattern.text())],
        }
    }

    pub(super) fn check(&self) -> Vec<BuildError> {
        match self {
            Self::Named(topics) if topics.is_empty() => vec![BuildError::NoTopic],
            Self::Named(topics) => topics.iter().filter_map(|topic| check_name("topic", topic)).collect(),
            Self::Matching(_) => Vec::new(),
        }
    }

    /// The text for `describe()`.
    pub(super) fn describe(&self) -> String {
        let declared = self.declared().join(", ");
        match self {
            Self::Named(topics) if topics.len() == 1 => format!("topic: {declared}"),
            Self::Named(_) | Self::Matching(_) => format!("topics: {declared}"),
        }
    }
}

impl From<&str> for Topics {
    fn from(topic: &str) -> Self {
        Self::Named(vec![topic.to_owned()])
    }
}

impl From<&String> for Topics {
    fn from(topic: &String) -> Self {
        Self::from(topic.as_str())
    }
}

impl From<String> for Topics {
    fn from(topic: String) -> Self {
        Self::Named(vec![topic])
    }
}

impl<T: AsRef<str>, const N: usize> From<[T; N]> for Topics {
    fn from(topics: [T; N]) -> Self {
        Self::from(&topics[..])
    }
}

impl<T: AsRef<str>> From<&[T]> for Topics {
    fn from(topics: &[T]) -> Self {
        Self::Named(topics.iter().map(|topic| topic.as_ref().to_owned()).collect())
    }
}

impl<T: AsRef<str>> From<Vec<T>> for Topics {
    fn from(topics: Vec<T>) -> Self {
        Self::from(&topics[..])
    }
}

impl From<TopicPattern> for Topics {
    fn from(pattern: TopicPattern) -> Self {
        Self::Matching(pattern)
    }
}
