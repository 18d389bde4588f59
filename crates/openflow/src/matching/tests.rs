//! Equal where the same packets match field by field.

use super::{CtState, Match};
use crate::{field::Field, subfield::Subfield};

#[test]
fn order_does_not_count_and_the_last_word_does() {
    let one = Match::new().reg(5, 1).in_port(3).ip_proto(6).eth_type(0x0800);
    let two = Match::new().eth_type(0x0800).ip_proto(17).in_port(3).reg(5, 1).ip_proto(6);
    assert_eq!(one, two);
    let fields: Vec<Field> = one.iter().map(|term| term.field).collect();
    assert_eq!(fields, [Field::IN_PORT, Field::ETH_TYPE, Field::IP_PROTO, Field::reg(5)]);
}

#[test]
fn masks_are_brought_to_one_form() {
    assert_eq!(Match::new().reg_masked(5, 7, 0), Match::new());
    assert_eq!(Match::new().reg(5, 7).reg_masked(5, 7, 0), Match::new());
    assert_eq!(Match::new().reg_masked(5, 7, u32::MAX), Match::new().reg(5, 7));
    assert_eq!(Match::new().reg_masked(5, 0xff, 0xf), Match::new().reg_masked(5, 0xf, 0xf));
    assert_eq!(Match::new().with(Field::IP_PROTO, 0x106), Match::new().ip_proto(6));
    let address = "10.1.2.3".parse().unwrap();
    let prefix = Match::new().ipv4_src(address, 8);
    assert_eq!(prefix.get(Field::IPV4_SRC), Some((0x0a00_0000, 0xff00_0000)));
    assert_eq!(Match::new().ipv4_src(address, 0), Match::new());
    assert_eq!(Match::new().ipv4_src(address, 32).exact(Field::IPV4_SRC), Some(0x0a01_0203));
    let address = "fe80::1".parse().unwrap();
    assert_eq!(Match::new().ipv6_dst(address, 0), Match::new());
    let whole = Match::new().ipv6_dst(address, 128);
    assert!(whole.iter().all(|term| term.is_exact()));
    assert_eq!(Match::new().ct_state(CtState::NONE, CtState::NONE), Match::new());
}

#[test]
fn parts_of_a_register_add_up() {
    const LOW: Subfield = Subfield::new(Field::reg(7), 0, 15);
    const HIGH: Subfield = Subfield::new(Field::reg(7), 16, 31);
    let both = Match::new().field(HIGH, 0x1234).field(LOW, 0x5678);
    assert_eq!(both, Match::new().reg(7, 0x1234_5678));
    assert_eq!(Match::new().field(HIGH, 1), Match::new().reg_masked(7, 0x1_0000, 0xffff_0000));
    assert_eq!(both.field(LOW, 0), Match::new().reg(7, 0x1234_0000));
}

#[test]
fn joined_registers_are_single_ones() {
    let joined = Match::new().with(Field::xxreg(1), 0x1_0000_0002_0000_0003_0000_0004);
    assert_eq!(joined, Match::new().reg(4, 1).reg(5, 2).reg(6, 3).reg(7, 4));
    let joined = Match::new().with_masked(Field::xreg(1), 5, 0xff);
    assert_eq!(joined, Match::new().reg_masked(3, 5, 0xff));
}

#[test]
fn tags_are_numbers_with_a_bit_for_being_there() {
    assert_eq!(Match::new().vlan_vid(5).get(Field::VLAN_VID), Some((0x1005, 0x1fff)));
    assert_eq!(Match::new().vlan_present().get(Field::VLAN_VID), Some((0x1000, 0x1000)));
    assert_eq!(Match::new().vlan_absent().get(Field::VLAN_VID), Some((0, 0x1fff)));
    let whole = Match::new().with(Field::VLAN_TCI, 0x7005);
    assert_eq!(whole, Match::new().vlan_vid(5).with(Field::VLAN_PCP, 3));
}

#[test]
fn the_widest_values_fit() {
    for field in Field::all() {
        let exact = Match::new().with(field, u128::MAX);
        assert!(exact.iter().all(|term| term.is_exact()), "{field}");
        let masked = Match::new().with_masked(field, u128::MAX, 1);
        assert_eq!(masked.iter().count(), 1, "{field}");
    }
}
