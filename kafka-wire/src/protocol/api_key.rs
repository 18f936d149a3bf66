//! API keys: the numbers of the requests.

use super::Message;
use crate::wire::Layout;
use std::fmt;
use std::ops::RangeInclusive;

macro_rules! keys {
    ($($name:ident = $key:literal)*) => {
        /// The API of a request, as its header states it: every key that Apache Kafka has.
        ///
        /// Four keys have no messages: `LeaderAndIsr`, `StopReplica`, `UpdateMetadata` and `ControlledShutdown`,
        /// which Kafka 4 dropped; [`ApiKey::layout`] is `None` for them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        #[expect(missing_docs, reason = "the names are Kafka's, and each is documented at its messages")]
        pub enum ApiKey { $($name = $key,)* }

        impl ApiKey {
            /// Every key, ascending.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The API with the number `key`, if this crate knows it.
            #[must_use]
            pub const fn from_i16(key: i16) -> Option<Self> {
                match key {
                    $($key => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Kafka's name for it, like `Fetch`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

crate::with_api_keys!(keys);

impl ApiKey {
    /// Versions of the request and its response, or `None` if this crate has no such messages.
    #[must_use]
    pub const fn layout(self) -> Option<Layout> {
        macro_rules! row {
            ($api:ident, $request:ty, $response:ty) => {
                if let Self::$api = self {
                    return Some(<$request>::LAYOUT);
                }
            };
        }
        crate::for_each_api!(row);
        None
    }

    /// Versions that a client may pick and a broker should offer: those whose layout is final.
    ///
    /// Empty if this crate has no such messages. `layout()` also has the newest version while that is still unstable.
    #[must_use]
    pub const fn versions(self) -> RangeInclusive<i16> {
        match self.layout() {
            Some(layout) => layout.first..=layout.stable,
            None => Self::NO_VERSIONS,
        }
    }

    /// Version of the request header that precedes version `version` of this request.
    #[must_use]
    pub const fn request_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// Version of the response header that precedes version `version` of the response.
    ///
    /// ApiVersions always answers with the oldest header, because its client does not know the broker's
    /// versions yet (KIP-511).
    #[must_use]
    pub const fn response_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) && !matches!(self, Self::ApiVersions) { 1 } else { 0 }
    }

    #[expect(clippy::reversed_empty_ranges, reason = "it is meant to be empty")]
    const NO_VERSIONS: RangeInclusive<i16> = 0..=-1;

    const fn is_flexible(self, version: i16) -> bool {
        matches!(self.layout(), Some(layout) if layout.is_flexible(version))
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<ApiKey> for i16 {
    fn from(key: ApiKey) -> Self {
        key as Self
    }
}

#[cfg(test)]
mod tests {
    use super::ApiKey;

    #[test]
    fn keys_keep_kafkas_numbers() {
        assert_eq!(ApiKey::from_i16(18), Some(ApiKey::ApiVersions));
        assert_eq!(ApiKey::from_i16(i16::from(ApiKey::TxnOffsetCommit)), Some(ApiKey::TxnOffsetCommit));
        assert_eq!((ApiKey::from_i16(-1), ApiKey::from_i16(1000)), (None, None));
        for key in ApiKey::ALL {
            assert_eq!(ApiKey::from_i16(i16::from(*key)), Some(*key));
        }
    }

    #[test]
    fn clients_are_offered_no_unstable_version() {
        assert_eq!(ApiKey::InitProducerId.versions(), 0..=5);
        assert_eq!(ApiKey::InitProducerId.layout().map(|layout| layout.last), Some(6));
        assert!(ApiKey::LeaderAndIsr.versions().is_empty());
    }

    #[test]
    fn headers_follow_the_flexible_version() {
        assert_eq!((ApiKey::Fetch.request_header_version(11), ApiKey::Fetch.response_header_version(11)), (1, 0));
        assert_eq!((ApiKey::Fetch.request_header_version(12), ApiKey::Fetch.response_header_version(12)), (2, 1));
        let versions = ApiKey::ApiVersions;
        assert_eq!((versions.request_header_version(3), versions.response_header_version(3)), (2, 0));
    }
}
