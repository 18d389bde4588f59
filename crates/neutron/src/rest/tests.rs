//! Bodies against the tables of attributes: what is refused, in which words, and what defaults
//! are filled in.

use serde_json::{Value, json};

use super::*;

fn network(body: &str) -> Result<Body<NetworkCreate>, Error> {
    NETWORK.create(body.as_bytes(), "p")
}

#[test]
fn defaults_are_filled_in() {
    let Body::One(made) = network(r#"{"network": {}}"#).unwrap() else { panic!("one") };
    assert_eq!((made.project_id.as_str(), made.name.as_str()), ("p", ""));
    assert!(made.admin_state_up && made.port_security_enabled && !made.shared);
    let Body::Many(made) = network(r#"{"networks": [{"name": "a"}, {"tenant_id": "q"}]}"#).unwrap()
    else {
        panic!("many")
    };
    assert_eq!((made[0].name.as_str(), made[1].project_id.as_str()), ("a", "q"));
}

#[test]
fn bodies_of_another_form_are_refused() {
    for (body, message) in [
        ("", "Resource body required"),
        ("{", "Body contains invalid data: EOF while parsing an object at line 1 column 1"),
        ("{}", "Unable to find 'network' in request body"),
        (r#"{"network": 1}"#, "Object 'network' contains invalid data"),
        (r#"{"networks": []}"#, "Resources required"),
        (r#"{"network": {"colour": 1, "x": 2}}"#, "Unrecognized attribute(s) 'colour, x'"),
        (r#"{"network": {"id": "x"}}"#, "Attribute 'id' not allowed in POST"),
        (
            r#"{"network": {"tenant_id": "a", "project_id": "b"}}"#,
            "'project_id' and 'tenant_id' do not match",
        ),
        (r#"{"network": {"mtu": "a"}}"#, "Invalid input for mtu. Reason: 'a' is not an integer."),
    ] {
        let error = network(body).unwrap_err();
        assert_eq!(
            (error.status(), error.kind(), error.to_string().as_str()),
            (400, "HTTPBadRequest", message)
        );
    }
    let error = PORT.create::<PortCreate>(br#"{"port": {}}"#, "p").unwrap_err();
    assert_eq!(
        error.to_string(),
        "Failed to parse request. Required attribute 'network_id' not specified"
    );
    let error =
        SUBNET.update::<SubnetUpdate>(br#"{"subnet": {"cidr": "10.0.0.0/8"}}"#).unwrap_err();
    assert_eq!(error.to_string(), "Cannot update read-only attribute cidr");
}

#[test]
fn values_are_checked_and_made_canonical() {
    let good: [(attribute::Check, Value, Value); 17] = [
        (check::boolean, json!("True"), json!(true)),
        (check::boolean, json!(0), json!(false)),
        (check::integer, json!("42"), json!(42)),
        (check::mac, json!("FA-16-3E-00-00-01"), json!("fa:16:3e:00:00:01")),
        (check::subnet, json!("10.0.0.9/24"), json!("10.0.0.0/24")),
        (check::address, json!("2001:DB8:0::1"), json!("2001:db8::1")),
        (check::rule_prefix, json!("10.0.0.9/24"), json!("10.0.0.9/24")),
        (check::rule_prefix, json!("10.0.0.9"), json!("10.0.0.9/32")),
        (check::ethertype, json!("ipv6"), json!("IPv6")),
        (check::protocol, json!(6), json!("6")),
        (check::protocol, json!("any"), json!(null)),
        (check::uuids_or_null, json!(null), json!(null)),
        (check::prefixes, json!(["10.0.0.9/24", "10.0.0.0/24"]), json!(["10.0.0.0/24"])),
        (
            check::addresses_or_prefixes,
            json!(["10.0.0.9", "2001:db8::/16", "10.0.0.9/32"]),
            json!(["10.0.0.9/32", "2001::/16"]),
        ),
        (
            check::address_pairs,
            json!([{"ip_address": "::/0"}, {"ip_address": "0.0.0.0/0"}]),
            json!([{"ip_address": "::/0"}, {"ip_address": "0.0.0.0/0"}]),
        ),
        (check::group_or_parent, json!("PARENT"), json!("PARENT")),
        (
            check::segments,
            json!([
                {"provider:network_type": "vlan", "provider:segmentation_id": "7"},
                {"provider:network_type": "gre", "provider:segmentation_id": 0},
            ]),
            json!([
                {"provider:network_type": "vlan", "provider:segmentation_id": 7},
                {"provider:network_type": "gre"},
            ]),
        ),
    ];
    for (check, value, wanted) in good {
        assert_eq!(check("x", value), Ok(wanted));
    }
    let bad: [(attribute::Check, Value, &str); 25] = [
        (check::boolean, json!("maybe"), "'maybe' cannot be converted to boolean"),
        (check::integer, json!(1.5), "'1.5' is not an integer"),
        (check::text, json!("a".repeat(256)), "exceeds maximum length of 255"),
        (check::mtu, json!(-1), "'-1' should be non-negative"),
        (check::mtu, json!(65536), "'65536' is too large"),
        (check::network_type, json!("a".repeat(33)), "exceeds maximum length of 32"),
        (check::physical_network, json!("a".repeat(65)), "exceeds maximum length of 64"),
        (check::segments, json!({}), "'{}' is not a list"),
        (check::segments, json!(["x"]), "'x' is not a dictionary"),
        (check::segments, json!([{"provider:segmentation_id": "x"}]), "'x' is not an integer"),
        (check::mac, json!("01:00:5e:00:00:01"), "is not a valid MAC address"),
        (check::subnet, json!("10.0.0.0"), "'10.0.0.0' is not a valid IP subnet"),
        (check::pools, json!([{"start": "10.0.0.1"}]), "'end' is missing"),
        (check::pools, json!([{"start": "10.0.0.1", "end": "10.0.0.2", "x": 1}]), "keys"),
        (check::fixed_ips, json!([{"ip_address": "x"}]), "'x' is not a valid IP address"),
        (check::uuids, json!("x"), "'x' is not a list"),
        (check::address_pairs, json!([{"ip_address": "x"}]), "not a valid IP address"),
        (check::address_pairs, json!([{"ip_address": "224.0.0.9"}]), "multicast range 224.0.0.0/4"),
        (check::address_pairs, json!([{"ip_address": "128.0.0.0/1"}]), "multicast range"),
        (check::address_pairs, json!([{"ip_address": "ff02::/16"}]), "multicast range ff00::/8"),
        (check::prefixes, json!(["10.0.0.1"]), "'10.0.0.1' is not a valid IP subnet"),
        (check::prefixes, json!(["10.0.0.0/8", "10.0.0.0/8"]), "Duplicate items in the list"),
        (check::addresses_or_prefixes, json!(["123456"]), "'123456' is not a valid IP subnet"),
        (check::group_or_parent, json!("parent"), "'parent' is not a valid UUID"),
        (check::ipv6_mode, json!("x"), "'x' is not in"),
    ];
    for (check, value, reason) in bad {
        let error = check("some_name", value).unwrap_err().to_string();
        assert!(error.contains("Invalid input for some_name"), "{error}");
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn refusals_of_rules_have_their_own_types() {
    for (body, kind) in [
        (json!({"protocol": "nonsense"}), "SecurityGroupRuleInvalidProtocol"),
        (json!({"protocol": 256}), "SecurityGroupRuleInvalidProtocol"),
        (json!({"port_range_max": 65536}), "SecurityGroupInvalidPortValue"),
        (json!({"port_range_min": -1}), "SecurityGroupInvalidPortValue"),
        (json!({"remote_ip_prefix": "10.0.0.0/33"}), "InvalidCIDR"),
        (json!({"ethertype": "ARP"}), "SecurityGroupRuleInvalidEtherType"),
    ] {
        let mut rule = json!({
            "security_group_id": "5b9cd421-2a55-4a5b-9a36-6d2a2ba9b4e4",
            "direction": "ingress",
        });
        rule.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let body = json!({ "security_group_rule": rule }).to_string();
        let error = SECURITY_GROUP_RULE
            .create::<SecurityGroupRuleCreate>(body.as_bytes(), "p")
            .unwrap_err();
        assert_eq!((error.status(), error.kind()), (400, kind));
    }
}

#[test]
fn null_is_not_missing() {
    let update = |body: &str| SUBNET.update::<SubnetUpdate>(body.as_bytes()).unwrap().gateway_ip;
    assert_eq!(update(r#"{"subnet": {"gateway_ip": null}}"#), Some(None));
    assert_eq!(update(r#"{"subnet": {}}"#), None);
}
