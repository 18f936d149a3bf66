//! The error of an operation of administration, or of its part for one broker or one item.

use std::fmt;

use super::{CoordinatorError, MetadataError, RequestError};
use crate::admin::ItemError;

/// The reason why an operation of administration failed: as a whole, for one broker, or for one item.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum AdminError {
    /// The broker did not answer, or was not reached.
    Request(RequestError),
    /// The coordinator was not found, did not answer or refused.
    Coordinator(CoordinatorError),
    /// The leader of a partition was not found, did not answer or refused.
    Metadata(MetadataError),
    /// The broker refused, with this code.
    Refused(ItemError),
}

impl AdminError {
    /// Returns whether the same operation may succeed later. A repetition has to be harmless if the request
    /// [may have been carried out](Self::is_possibly_written).
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        match self {
            Self::Request(error) => error.is_retriable(),
            Self::Coordinator(error) => error.is_retriable(),
            Self::Metadata(error) => error.is_retriable(),
            Self::Refused(error) => error.code.is_retriable(),
        }
    }

    /// Returns whether the same operation must fail in the same way, unless the cluster or a permission changes.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        !self.is_retriable()
    }

    /// Returns whether the operation may have been carried out although no answer tells.
    #[must_use]
    pub const fn is_possibly_written(&self) -> bool {
        match self {
            Self::Request(error)
            | Self::Coordinator(CoordinatorError::Request(error))
            | Self::Metadata(MetadataError::Request(error)) => error.is_possibly_written(),
            Self::Coordinator(_) | Self::Metadata(_) | Self::Refused(_) => false,
        }
    }
}

impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(error) => error.fmt(f),
            Self::Coordinator(error) => error.fmt(f),
            Self::Metadata(error) => error.fmt(f),
            Self::Refused(error) => write!(f, "the broker refuses: {error}"),
        }
    }
}

debug_as_text!(AdminError);

impl std::error::Error for AdminError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Request(error) => Some(error),
            Self::Coordinator(error) => Some(error),
            Self::Metadata(error) => Some(error),
            Self::Refused(error) => Some(error),
        }
    }
}

impl From<RequestError> for AdminError {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

impl From<CoordinatorError> for AdminError {
    fn from(error: CoordinatorError) -> Self {
        Self::Coordinator(error)
    }
}

impl From<MetadataError> for AdminError {
    fn from(error: MetadataError) -> Self {
        Self::Metadata(error)
    }
}

impl From<ItemError> for AdminError {
    fn from(error: ItemError) -> Self {
        Self::Refused(error)
    }
}
