//! The ApiVersions exchange at the start of a connection.

use bytes::Bytes;

use super::versions::lower_version;
use super::{BrokerVersions, CloseCause};
use crate::protocol::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use crate::protocol::header::ResponseHeader;
use crate::protocol::{ApiKey, ErrorCode, Message};
use crate::time::Moment;
use crate::wire::{Reader, Str};

/// Finds the versions of a broker: asks at the highest version of this crate, and at a lower one if that is refused.
/// Source: KIP-35, KIP-511.
///
/// Since version 5 a client may state which node of which cluster it means (KIP-1242). This one does not yet:
/// if another node has taken the address, its errors (not leader, not coordinator) lead to new metadata.
#[derive(Debug)]
pub(super) struct Negotiation {
    version: i16,
    deadline: Moment,
    /// Correlation id of the open request; `None` if the next one is still to be sent.
    open: Option<i32>,
}

impl Negotiation {
    pub(super) fn new(version_max: Option<i16>, deadline: Moment) -> Self {
        let ours = *ApiKey::ApiVersions.versions().end();
        Self { version: version_max.map_or(ours, |max| max.clamp(0, ours)), deadline, open: None }
    }

    pub(super) const fn deadline(&self) -> Moment {
        self.deadline
    }

    pub(super) const fn version(&self) -> i16 {
        self.version
    }

    /// Whether a request waits for its answer.
    pub(super) const fn is_sent(&self) -> bool {
        self.open.is_some()
    }

    /// The request to send now, if there is one.
    pub(super) fn next_request(&self) -> Option<ApiVersionsRequest> {
        self.open.is_none().then(|| ApiVersionsRequest {
            client_software_name: Str::from_static("waterwheel"),
            client_software_version: Str::from_static(env!("CARGO_PKG_VERSION")),
            ..Default::default()
        })
    }

    pub(super) const fn sent(&mut self, correlation_id: i32) {
        self.open = Some(correlation_id);
    }

    /// Decodes an answer: the versions, or `None` if a lower version has to be tried.
    pub(super) fn handle_answer(&mut self, frame: Bytes) -> Result<Option<BrokerVersions>, CloseCause> {
        let mut reader = Reader::new(&frame);
        // The header is that of v0 at every version, so that a client can read the refusal of a version that the
        // broker does not know.
        let header = ResponseHeader::decode(&mut reader, 0).map_err(CloseCause::Decode)?;
        let expected = self.open.take();
        if expected != Some(header.correlation_id) {
            return Err(CloseCause::UnknownCorrelation { expected, received: header.correlation_id });
        }
        let code = reader.clone().message::<i16>(0).map_err(CloseCause::Decode)?;
        match ErrorCode(code) {
            ErrorCode::NONE => {
                let answer = ApiVersionsResponse::decode(&mut reader, self.version).map_err(CloseCause::Decode)?;
                Ok(Some(BrokerVersions::from_response(&answer)))
            }
            ErrorCode::UNSUPPORTED_VERSION => {
                let refusal = ApiVersionsResponse::decode(&mut reader, 0).map_err(CloseCause::Decode)?;
                self.version = lower_version(&refusal, self.version).ok_or(CloseCause::Refused(ErrorCode(code)))?;
                Ok(None)
            }
            refused => Err(CloseCause::Refused(refused)),
        }
    }
}
