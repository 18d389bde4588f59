//! MAC addresses and IP prefixes.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

use crate::EtherType;

/// A 48-bit Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr([u8; 6]);

/// Text that is not a MAC address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a MAC address")]
pub struct ParseMacError {
    /// What was given.
    pub text: String,
}

impl MacAddr {
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// The address with these octets, in transmission order.
    pub const fn new(octets: [u8; 6]) -> Self {
        Self(octets)
    }

    /// The octets in transmission order.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Whether it is a broadcast or multicast address.
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// The IPv6 link-local address that SLAAC forms from it (RFC 4291 appendix A).
    pub const fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0;
        Ipv6Addr::from_octets([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(out, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for MacAddr {
    type Err = ParseMacError;

    /// Six pairs of hexadecimal digits with `:` or `-` between them.
    fn from_str(text: &str) -> Result<Self, ParseMacError> {
        let error = || ParseMacError { text: text.to_owned() };
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut octets = [0; 6];
        let mut parts = text.split(separator);
        for octet in &mut octets {
            let part = parts.next().ok_or_else(error)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(error());
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| error())?;
        }
        if parts.next().is_some() { Err(error()) } else { Ok(Self(octets)) }
    }
}

/// An IPv4 or IPv6 prefix with all host bits zero: `10.0.0.1/24` becomes `10.0.0.0/24`, an
/// address without a length is a prefix of its full length.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(IpNet);

/// Text that is not an IP prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not an IP address or prefix")]
pub struct ParsePrefixError {
    /// What was given.
    pub text: String,
}

impl Prefix {
    /// The prefix of this address and length in bits; `None` where the length is more than the
    /// family has (32 or 128).
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        IpNet::new(address, length).ok().map(|net| Self(net.trunc()))
    }

    /// The prefix that holds this address alone.
    pub fn host(address: IpAddr) -> Self {
        Self(IpNet::from(address))
    }

    /// The lowest address.
    pub fn address(&self) -> IpAddr {
        self.0.addr()
    }

    /// The length in bits, 0 to 32 or 0 to 128.
    pub fn length(&self) -> u8 {
        self.0.prefix_len()
    }

    /// The EtherType of its family.
    pub fn ethertype(&self) -> EtherType {
        match self.0 {
            IpNet::V4(_) => EtherType::Ipv4,
            IpNet::V6(_) => EtherType::Ipv6,
        }
    }

    /// Whether it is 0.0.0.0/0 or ::/0.
    pub fn is_any(&self) -> bool {
        self.length() == 0
    }

    /// Whether the address lies in it; never for the other family.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }

    /// Whether every address of `other` lies in it; never for the other family.
    pub fn covers(&self, other: &Self) -> bool {
        self.0.contains(&other.0)
    }
}

impl From<IpNet> for Prefix {
    fn from(net: IpNet) -> Self {
        Self(net.trunc())
    }
}

impl From<Prefix> for IpNet {
    fn from(prefix: Prefix) -> Self {
        prefix.0
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Prefix {
    type Err = ParsePrefixError;

    fn from_str(text: &str) -> Result<Self, ParsePrefixError> {
        text.parse::<IpNet>()
            .map(Self::from)
            .or_else(|_| text.parse::<IpAddr>().map(Self::host))
            .map_err(|_| ParsePrefixError { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_text() {
        let mac: MacAddr = "FA-16-3e-00-00-0f".parse().unwrap();
        assert_eq!(mac.to_string(), "fa:16:3e:00:00:0f");
        for bad in
            ["", "fa:16:3e:00:00", "fa:16:3e:00:00:0f:11", "fa:16:3e:00:00:+f", "g0:0:0:0:0:0"]
        {
            assert!(bad.parse::<MacAddr>().is_err(), "{bad}");
        }
    }

    #[test]
    fn link_local_is_eui_64() {
        let mac: MacAddr = "fa:16:3e:12:34:56".parse().unwrap();
        assert_eq!(mac.link_local().to_string(), "fe80::f816:3eff:fe12:3456");
    }

    #[test]
    fn prefix_is_canonical() {
        let prefix: Prefix = "10.1.2.3/8".parse().unwrap();
        assert_eq!(prefix.to_string(), "10.0.0.0/8");
        assert_eq!("10.0.0.1".parse::<Prefix>().unwrap().to_string(), "10.0.0.1/32");
        assert_eq!("fe80::1".parse::<Prefix>().unwrap().length(), 128);
        assert!("0.0.0.0/0".parse::<Prefix>().unwrap().is_any());
        assert!(!"::/0".parse::<Prefix>().unwrap().covers(&prefix));
        for bad in ["", "10.0.0.0/33", "10.0.0", "::/129", "x"] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        }
    }
}
