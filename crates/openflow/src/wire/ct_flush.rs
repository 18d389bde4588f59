//! Forgetting one connection, `NXT_CT_FLUSH` of Open vSwitch 3.1 and later, and all of a zone,
//! `NXT_CT_FLUSH_ZONE` of 2.6 and later.
//!
//! Facts from Open vSwitch's nicira-ext.h (`struct nx_ct_flush`, `struct nx_zone_id`). The messages
//! have no reply.

use std::net::IpAddr;

use super::{Write, action::NICIRA};
use crate::conntrack::{CtTransport, CtTuple};

const CT_FLUSH_ZONE: u32 = 29;
const CT_FLUSH: u32 = 32;

const ORIGINAL_DIRECTION: u16 = 0;
const ZONE: u16 = 2;

const TUPLE_SRC: u16 = 0;
const TUPLE_DST: u16 = 1;
const TUPLE_SRC_PORT: u16 = 2;
const TUPLE_DST_PORT: u16 = 3;
const TUPLE_ICMP_ID: u16 = 4;
const TUPLE_ICMP_TYPE: u16 = 5;
const TUPLE_ICMP_CODE: u16 = 6;

/// Appends the body of the message: the connection whose original direction this is.
pub(crate) fn encode(out: &mut Vec<u8>, zone: u16, original: &CtTuple) {
    out.put_u32(NICIRA);
    out.put_u32(CT_FLUSH);
    out.put_u8(original.protocol);
    out.put_zeros(7);
    property(out, ORIGINAL_DIRECTION, |out| {
        out.put_zeros(4);
        property(out, TUPLE_SRC, |out| address(out, original.src));
        property(out, TUPLE_DST, |out| address(out, original.dst));
        match original.transport {
            CtTransport::Ports { src, dst } => {
                property(out, TUPLE_SRC_PORT, |out| padded(out, src));
                property(out, TUPLE_DST_PORT, |out| padded(out, dst));
            }
            CtTransport::Icmp { id, kind, code } => {
                property(out, TUPLE_ICMP_ID, |out| padded(out, id));
                property(out, TUPLE_ICMP_TYPE, |out| out.put_u8(kind));
                property(out, TUPLE_ICMP_CODE, |out| out.put_u8(code));
            }
            CtTransport::None => {}
        }
    });
    property(out, ZONE, |out| padded(out, zone));
}

/// Appends the body of the message: everything in the zone.
pub(crate) fn encode_zone(out: &mut Vec<u8>, zone: u16) {
    out.put_u32(NICIRA);
    out.put_u32(CT_FLUSH_ZONE);
    out.put_zeros(6);
    out.put_u16(zone);
}

fn property(out: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.put_u16(kind);
    out.put_u16(0);
    body(out);
    out.write_len(start);
    out.pad_from(start);
}

/// The length of a property with a 16-bit value counts its padding.
fn padded(out: &mut Vec<u8>, value: u16) {
    out.put_u16(value);
    out.put_zeros(2);
}

/// As an IPv6 address, an IPv4 address mapped.
fn address(out: &mut Vec<u8>, address: IpAddr) {
    let octets = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    out.extend_from_slice(&octets);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn encoded(src: &str, dst: &str, protocol: u8, transport: CtTransport) -> String {
        let (src, dst) = (src.parse().unwrap(), dst.parse().unwrap());
        let mut out = Vec::new();
        encode(&mut out, 5, &CtTuple { src, dst, protocol, transport });
        hex(&out)
    }

    /// What `ovs-ofctl ct-flush BRIDGE zone=5 ...` of Open vSwitch 3.1.0 sends.
    #[test]
    fn as_ovs_ofctl_says_it() {
        let ports = CtTransport::Ports { src: 1000, dst: 53 };
        assert_eq!(
            encoded("10.0.0.1", "10.0.0.2", 17, ports),
            "0000232000000020110000000000000000000048000000000000001400000000000000000000ffff\
             0a000001000000000001001400000000000000000000ffff0a000002000000000002000803e80000\
             00030008003500000002000800050000"
        );
        let ports = CtTransport::Ports { src: 1000, dst: 80 };
        assert_eq!(
            encoded("2001:db8::1", "2001:db8::2", 6, ports),
            "0000232000000020060000000000000000000048000000000000001420010db80000000000000000\
             00000001000000000001001420010db8000000000000000000000002000000000002000803e80000\
             00030008005000000002000800050000"
        );
        assert_eq!(
            encoded("10.0.0.1", "10.0.0.2", 47, CtTransport::None),
            "00002320000000202f0000000000000000000038000000000000001400000000000000000000ffff\
             0a000001000000000001001400000000000000000000ffff0a000002000000000002000800050000"
        );
    }

    /// What `ovs-ofctl ct-flush-zone BRIDGE 5` of Open vSwitch 3.1.0 sends.
    #[test]
    fn all_of_a_zone() {
        let mut out = Vec::new();
        encode_zone(&mut out, 5);
        assert_eq!(hex(&out), "000023200000001d0000000000000005");
    }

    /// Of ICMP it sends the identifier of the reply besides, which nobody gave it.
    #[test]
    fn icmp_without_the_reply() {
        assert_eq!(
            encoded("10.0.0.1", "10.0.0.2", 1, CtTransport::Icmp { id: 77, kind: 8, code: 0 }),
            "0000232000000020010000000000000000000050000000000000001400000000000000000000ffff\
             0a000001000000000001001400000000000000000000ffff0a0000020000000000040008004d0000\
             000500050800000000060005000000000002000800050000"
        );
    }
}
