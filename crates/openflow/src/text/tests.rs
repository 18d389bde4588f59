//! What is read and printed beyond what the switch test shows, and what is refused.

use crate::{
    Action, Cookie, Ct, CtState, Field, Flow, Match, ParseFlowError, Priority, Subfield, TableId,
};

fn canonical(text: &str) -> String {
    text.parse::<Flow>().unwrap_or_else(|error| panic!("{text}: {error}")).to_string()
}

#[test]
fn a_flow_made_of_values_is_the_one_made_of_text() {
    const ZONE: Subfield = Subfield::new(Field::reg(6), 0, 15);
    let flow = Flow {
        table: TableId(72),
        priority: Priority(77),
        cookie: Cookie(0x5),
        matches: Match::new()
            .eth_type(0x0800)
            .ip_proto(6)
            .reg(7, 3)
            .reg_masked(8, 1, 0xf)
            .ipv4_src("10.1.2.3".parse().unwrap(), 8)
            .tp_dst(6, 80, 0xfff0)
            .ct_state(CtState::TRK | CtState::NEW, CtState::RPL)
            .ct_mark(0)
            .vlan_vid(5)
            .in_port(0xffff_fffe),
        actions: vec![
            Ct::commit(ZONE).exec(Action::set(Field::CT_MARK, 1)).into(),
            Ct::track(ZONE, TableId(74)).into(),
            Action::set_mac(Field::ETH_SRC, [0xfa, 0x16, 0x3e, 0, 0, 1]),
            Action::PushVlan(0x8100),
            Action::set_vlan(7),
            Action::SetField { dst: ZONE, value: 9 },
            Action::Resubmit(TableId(73)),
        ]
        .into(),
    };
    let text = "cookie=0x5, table=72, priority=77,ct_state=+new-rpl+trk,ct_mark=0,tcp,reg7=0x3,\
        reg8=0x1/0xf,in_port=LOCAL,dl_vlan=5,nw_src=10.0.0.0/8,tp_dst=0x50/0xfff0 \
        actions=ct(commit,zone=NXM_NX_REG6[0..15],exec(set_field:0x1->ct_mark)),\
        ct(table=74,zone=NXM_NX_REG6[0..15]),set_field:fa:16:3e:00:00:01->eth_src,\
        push_vlan:0x8100,set_field:4103->vlan_vid,load:0x9->NXM_NX_REG6[0..15],resubmit(,73)";
    assert_eq!(flow.to_string(), text);
    assert_eq!(text.parse::<Flow>().unwrap(), flow);
}

#[test]
fn other_spellings_are_understood() {
    let cases = [
        ("actions=", "actions=drop"),
        ("priority=32768 actions=drop", "actions=drop"),
        (
            "tcp tp_dst=22,nw_src=1.2.3.4/255.255.0.0 actions=2",
            "tcp,nw_src=1.2.0.0/16,tp_dst=22 actions=output:2",
        ),
        (
            "tp_dst=22,udp,actions=normal,controller",
            "udp,tp_dst=22 actions=NORMAL,CONTROLLER:65535",
        ),
        ("dl_type=0x0800,nw_proto=6,tcp_src=5,actions=strip_vlan", "tcp,tp_src=5 actions=pop_vlan"),
        (
            "dl_vlan=0xffff,actions=mod_dl_src:00:00:00:00:00:01",
            "vlan_tci=0x0000/0x1fff actions=set_field:00:00:00:00:00:01->eth_src",
        ),
        ("vlan_vid=0x1005,actions=set_tunnel:5", "dl_vlan=5 actions=set_field:0x5->tun_id"),
        (
            "reg1=5/0,actions=load:5->reg1,load:7->reg2[0..3]",
            "actions=set_field:0x5->reg1,load:0x7->NXM_NX_REG2[0..3]",
        ),
        (
            "xxreg0=5/0xf00000000ff,actions=set_field:0x30/0xf0->reg1",
            "reg2=0/0xf00,reg3=0x5/0xff actions=load:0x3->NXM_NX_REG1[4..7]",
        ),
        (
            "cookie=0x1, duration=5.1s, table=1, n_packets=5, n_bytes=7, idle_age=3, actions=note:01",
            "cookie=0x1, table=1, actions=note:01.00.00.00.00.00",
        ),
        ("ip,nw_tos=0x10,ip_dscp=5,actions=dec_ttl(0)", "ip,nw_tos=20 actions=dec_ttl"),
    ];
    for (text, expected) in cases {
        assert_eq!(canonical(text), expected);
        assert_eq!(canonical(expected), expected);
    }
}

#[test]
fn what_is_wrong_is_named() {
    let error = |text: &str| text.parse::<Flow>().unwrap_err().to_string();
    let cases = [
        ("table=1,reg5=1", "no 'actions=' in 'table=1,reg5=1'"),
        ("reg16=1,actions=drop", "'reg16' is not a field"),
        ("foo,actions=drop", "'foo' is not a field"),
        ("tp_dst=1,actions=drop", "'tp_dst' needs a match on a protocol that has it"),
        ("table=256,actions=drop", "'256' is not a value for 'table'"),
        ("ip,nw_src=1.2.3.4/33,actions=drop", "'1.2.3.4/33' is not a value for 'nw_src'"),
        ("reg5=0x100000000,actions=drop", "'0x100000000' is not a value for 'reg5'"),
        ("dl_vlan=4096,actions=drop", "'4096' is not a value for 'dl_vlan'"),
        ("in_port=1/1,actions=drop", "'1/1' is not a value for 'in_port'"),
        ("ct_state=+foo,actions=drop", "'+foo' is not a value for 'ct_state'"),
        ("dl_src=00:00:00:00:00,actions=drop", "'00:00:00:00:00' is not a value for 'dl_src'"),
        ("actions=fly", "'fly' is not an action"),
        ("actions=ct(commit", "unbalanced parentheses in 'ct(commit'"),
        ("actions=output:1)", "unbalanced parentheses in 'output:1)'"),
        ("actions=load:16->NXM_NX_REG1[0..3]", "'16->NXM_NX_REG1[0..3]' is not a value for 'load'"),
        (
            "actions=load:1->NXM_NX_REG1[0..32]",
            "'NXM_NX_REG1[0..32]' is not a value for 'NXM_NX_REG1'",
        ),
        ("actions=set_field:5/0x5->reg1", "'5/0x5->reg1' is not a value for 'set_field'"),
        (
            "actions=move:NXM_NX_REG1[]->NXM_NX_REG2[0..3]",
            "'NXM_NX_REG1[]->NXM_NX_REG2[0..3]' is not a value for 'move'",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(error(text), expected, "{text}");
    }
    let error = "actions=resubmit(1,2)".parse::<Flow>().unwrap_err();
    assert!(matches!(error, ParseFlowError::Value { .. }));
}

#[test]
fn every_field_is_found_by_its_names() {
    for field in Field::all() {
        assert_eq!(Field::from_name(field.name()), Some(field));
        assert_eq!(Field::from_name(field.subfield_name()), Some(field));
        assert!(field.match_bits() >= field.bits());
    }
}
