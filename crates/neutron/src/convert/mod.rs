//! From what the wire said to the model's values.
//!
//! Every conversion is a method of the wire type. What does not convert is refused with the
//! object, the field and the value, never guessed: a rule that was read too widely would open a
//! firewall.

mod port;
mod qos;
mod security_group;
#[cfg(test)]
mod tests;
mod trunk;

use std::fmt::Display;
use std::net::AddrParseError;

pub use self::port::{MemberAddress, Membership};
pub use self::qos::QosChoice;
use crate::object::NetworkSegment;
use crate::rpc::NetworkDetails;

/// An object that does not make a value of the model.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// One field has a value that it cannot have.
    #[error("{kind} {id}: {field} is '{value}'")]
    Field {
        /// The type of the object.
        kind: &'static str,
        /// The id of the object.
        id: String,
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        #[source]
        source: FieldError,
    },
    /// The fields of a rule do not make a rule together.
    #[error("SecurityGroupRule {id} is no rule")]
    Rule {
        /// The id of the rule.
        id: String,
        /// Why not.
        #[source]
        source: model::RuleError,
    },
}

/// What is wrong with a value.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each is the error of the value's own type")]
pub enum FieldError {
    #[error(transparent)]
    Id(#[from] model::ParseIdError),
    #[error(transparent)]
    Mac(#[from] model::ParseMacError),
    #[error(transparent)]
    Prefix(#[from] model::ParsePrefixError),
    #[error(transparent)]
    Address(#[from] AddrParseError),
    #[error(transparent)]
    NetworkType(#[from] model::ParseNetworkTypeError),
    #[error(transparent)]
    TrunkStatus(#[from] model::ParseTrunkStatusError),
    #[error(transparent)]
    RuleValue(#[from] model::ParseRuleValueError),
    /// A number that is out of the range of its field.
    #[error("it must lie between 0 and {high}")]
    Range {
        /// The highest legal number.
        high: u32,
    },
    /// A kind of tag that no switch here has.
    #[error("only vlan can be wired")]
    Segmentation,
    /// A value that must be there once.
    #[error("it is there twice")]
    Repeated,
    /// A field that is there without the one that gives it its meaning.
    #[error("it means nothing without {needs}")]
    Alone {
        /// The other field.
        needs: &'static str,
    },
    /// A field that is there beside one that excludes it.
    #[error("{other} is there too")]
    Conflict {
        /// The other field.
        other: &'static str,
    },
    /// A protocol of the other family.
    #[error("with a type it is not for {ethertype}")]
    Family {
        /// The family of the rule.
        ethertype: model::EtherType,
    },
}

/// The object that is being converted, for its errors.
#[derive(Clone, Copy)]
struct Subject<'a> {
    kind: &'static str,
    id: &'a str,
}

impl Subject<'_> {
    /// The value of a text field.
    fn parse<T>(self, field: &'static str, text: &str) -> Result<T, ConvertError>
    where
        T: std::str::FromStr,
        FieldError: From<T::Err>,
    {
        text.parse().map_err(|error: T::Err| self.error(field, text, error))
    }

    fn error(
        self,
        field: &'static str,
        value: impl Display,
        source: impl Into<FieldError>,
    ) -> ConvertError {
        ConvertError::Field {
            kind: self.kind,
            id: self.id.to_owned(),
            field,
            value: value.to_string(),
            source: source.into(),
        }
    }

    fn segment(
        self,
        network_type: &str,
        physical_network: Option<&str>,
        segmentation_id: Option<u32>,
    ) -> Result<model::Segment, ConvertError> {
        Ok(model::Segment {
            network_type: self.parse("network_type", network_type)?,
            physical_network: physical_network.map(str::to_owned),
            segmentation_id: segmentation_id.map(model::SegmentationId::new),
        })
    }
}

impl NetworkSegment {
    /// The segment as the model has it.
    ///
    /// # Errors
    ///
    /// A network type that is not known.
    pub fn to_model(&self) -> Result<model::Segment, ConvertError> {
        Subject { kind: "NetworkSegment", id: &self.id }.segment(
            &self.network_type,
            self.physical_network.as_deref(),
            self.segmentation_id,
        )
    }
}

impl NetworkDetails {
    /// The segment that carries the network, as the model has it.
    ///
    /// # Errors
    ///
    /// A network type that is not known.
    pub fn segment(&self) -> Result<model::Segment, ConvertError> {
        Subject { kind: "Network", id: &self.id }.segment(
            &self.network_type,
            self.physical_network.as_deref(),
            self.segmentation_id,
        )
    }
}
