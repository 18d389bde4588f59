//! Identifiers: one type for each kind of object, so that one cannot stand for another.
//!
//! Each is a UUID, kept as the two halves of its number: many of them are keys of maps, and two
//! numbers are compared without a call. Their order is that of the UUID's bytes.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// Text that is not a UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a UUID")]
pub struct ParseIdError {
    /// What was given.
    pub text: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64, u64);

        impl $name {
            /// The identifier with this UUID.
            pub const fn new(uuid: Uuid) -> Self {
                let (high, low) = uuid.as_u64_pair();
                Self(high, low)
            }

            /// A new random identifier.
            pub fn random() -> Self {
                Self::new(Uuid::new_v4())
            }

            /// The UUID.
            pub const fn uuid(self) -> Uuid {
                Uuid::from_u64_pair(self.0, self.1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.uuid().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.uuid())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                Uuid::try_parse(text)
                    .map(Self::new)
                    .map_err(|_| ParseIdError { text: text.to_owned() })
            }
        }
    };
}

id!(
    /// A Neutron port.
    PortId
);
id!(
    /// A Neutron network.
    NetworkId
);
id!(
    /// A Neutron subnet.
    SubnetId
);
id!(
    /// A security group.
    SecurityGroupId
);
id!(
    /// A rule of a security group.
    SecurityGroupRuleId
);
id!(
    /// An address group.
    AddressGroupId
);
id!(
    /// A QoS policy.
    QosPolicyId
);
id!(
    /// A trunk.
    TrunkId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_show_and_compare_as_their_uuid() {
        let texts = [
            "00000000-0000-0000-0000-000000000000",
            "00000000-0000-0001-8000-000000000000",
            "00000000-0000-0001-ffff-000000000001",
            "80000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
        ];
        let ids = texts.map(|text| text.parse::<PortId>().unwrap());
        assert_eq!(ids.map(|id| id.to_string()), texts);
        assert_eq!(ids.map(|id| PortId::new(id.uuid())), ids);
        assert!(ids.is_sorted() && ids.map(PortId::uuid).is_sorted());
    }
}
