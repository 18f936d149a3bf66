//! The versions of a message.

use std::ops::RangeInclusive;

use super::{DecodeCause, EncodeCause, EncodeError, Malformed, Reader, Writer};

/// The versions of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The message, by its name in Kafka's schema.
    pub name: &'static str,
    /// The oldest version.
    pub first: i16,
    /// The newest version.
    pub last: i16,
    /// The newest version whose layout will not change any more; a client chooses no newer one by itself.
    pub stable: i16,
    /// The first version with compact lengths and tagged fields, if there is one. Source: KIP-482.
    pub flexible: Option<i16>,
}

impl Layout {
    /// Every version, oldest to newest.
    #[must_use]
    pub const fn versions(&self) -> RangeInclusive<i16> {
        self.first..=self.last
    }

    /// Whether `version` has compact lengths and tagged fields.
    #[must_use]
    pub const fn is_flexible(&self, version: i16) -> bool {
        matches!(self.flexible, Some(since) if version >= since)
    }

    const fn knows(&self, version: i16) -> bool {
        self.first <= version && version <= self.last
    }
}

impl Reader<'_> {
    /// Begins a message: from here on, lengths are read as `version` encodes them.
    ///
    /// # Errors
    /// `UnknownVersion`.
    pub fn begin(&mut self, layout: &Layout, version: i16) -> Result<(), Malformed> {
        self.set_flexible(layout.is_flexible(version));
        if layout.knows(version) {
            return Ok(());
        }
        Err(self.fail(layout.name, DecodeCause::UnknownVersion(version)))
    }
}

impl Writer {
    /// Begins a message: from here on, lengths are written as `version` encodes them.
    ///
    /// # Errors
    /// `UnknownVersion`.
    pub fn begin(&mut self, layout: &Layout, version: i16) -> Result<(), EncodeError> {
        self.set_flexible(layout.is_flexible(version));
        if layout.knows(version) {
            return Ok(());
        }
        Err(EncodeError { what: layout.name, cause: EncodeCause::UnknownVersion(version) })
    }
}
