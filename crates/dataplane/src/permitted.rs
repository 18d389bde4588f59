//! EtherTypes that pass managed ports without any check.

use std::fmt;
use std::str::FromStr;

/// An EtherType that managed ports may send, from whatever source MAC address, and receive.
///
/// Never one that the firewall judges itself (IPv4, IPv6, ARP, RARP), nor that of VLAN tags.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PermittedEtherType(u16);

/// An EtherType that cannot be permitted.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PermittedError {
    /// The text is no number.
    #[error("'{text}' is not an EtherType; write it as 0x88cc")]
    Number {
        /// What was given.
        text: String,
    },
    /// The number is a length and not an EtherType.
    #[error("{number:#06x} is not an EtherType: the lowest is 0x0600")]
    Length {
        /// What was given.
        number: u16,
    },
    /// The firewall judges frames of this EtherType by other means.
    #[error("{number:#06x} cannot be permitted: the firewall judges IP, ARP and VLAN tags itself")]
    Judged {
        /// What was given.
        number: u16,
    },
}

impl PermittedEtherType {
    /// # Errors
    ///
    /// Numbers below 0x0600, and EtherTypes that the firewall judges itself.
    pub const fn new(number: u16) -> Result<Self, PermittedError> {
        match number {
            0..0x0600 => Err(PermittedError::Length { number }),
            0x0800 | 0x0806 | 0x8035 | 0x86dd | 0x8100 | 0x88a8 => {
                Err(PermittedError::Judged { number })
            }
            _ => Ok(Self(number)),
        }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl FromStr for PermittedEtherType {
    type Err = PermittedError;

    /// A hexadecimal number with or without `0x`, as Neutron's option has it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let number = u16::from_str_radix(digits, 16)
            .map_err(|_| PermittedError::Number { text: text.to_owned() })?;
        Self::new(number)
    }
}

impl fmt::Display for PermittedEtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

impl fmt::Debug for PermittedEtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_firewall_judges_is_not_permitted() {
        let parse = |text: &str| text.parse::<PermittedEtherType>();
        assert_eq!(parse("0x88cc").unwrap().get(), 0x88cc);
        assert_eq!(parse("4008").unwrap().to_string(), "0x4008");
        for judged in ["0x0800", "0806", "8035", "86dd", "8100", "88a8"] {
            assert!(matches!(parse(judged), Err(PermittedError::Judged { .. })), "{judged}");
        }
        assert_eq!(parse("5ff"), Err(PermittedError::Length { number: 0x05ff }));
        assert!(parse("600").is_ok() && parse("ffff").is_ok());
        for text in ["", "0x", "10000", "lldp"] {
            assert_eq!(parse(text), Err(PermittedError::Number { text: text.to_owned() }));
        }
    }
}
