//! The unmodified `openstack` client, in the versions of `scripts/openstack-client`, against a
//! real server: what the README and the bench promise works, command by command.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use std::process::{Command, Output};

use serde_json::{Value, json};
use support::Fixture;

/// The client, told where the server is.
struct Openstack {
    program: String,
    endpoint: String,
}

impl Openstack {
    fn new(fixture: &Fixture) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/openstack-client");
        let made = Command::new(script).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let directory = String::from_utf8(made.stdout).unwrap();
        Self {
            program: format!("{}/openstack", directory.trim()),
            endpoint: format!("http://{}", fixture.address()),
        }
    }

    /// Runs a command that prints JSON.
    fn json(&self, command: &str) -> Value {
        let output = self.run(&format!("{command} -f json"));
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Runs a command that prints nothing.
    fn quiet(&self, command: &str) {
        let output = self.run(command);
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Runs a command that is refused; gives what it says.
    fn refused(&self, command: &str) -> String {
        let output = self.run(command);
        assert!(!output.status.success(), "{command}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Words are parted by blanks; none here has one inside.
    fn run(&self, command: &str) -> Output {
        Command::new(&self.program)
            .args(command.split_whitespace())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", std::env::temp_dir())
            .env("OS_AUTH_TYPE", "none")
            .env("OS_ENDPOINT", &self.endpoint)
            .output()
            .unwrap()
    }
}

#[test]
fn networks_and_subnets() {
    let fixture = Fixture::new();
    let openstack = Openstack::new(&fixture);
    let blue = openstack.json("network create blue");
    assert_eq!((&blue["name"], &blue["provider:segmentation_id"]), (&json!("blue"), &json!(100)));
    let red = openstack.json(
        "network create red --provider-network-type vlan --provider-physical-network physnet1 \
         --provider-segment 102 --mtu 1400 --description d --disable-port-security --tag t",
    );
    assert_eq!(red["provider:physical_network"], "physnet1");
    assert_eq!((&red["provider:segmentation_id"], &red["mtu"]), (&json!(102), &json!(1400)));
    assert_eq!(openstack.json("network show red")["tags"], json!(["t"]));
    let taken = openstack.refused(
        "network create x --provider-network-type vlan --provider-physical-network physnet1 \
         --provider-segment 102",
    );
    assert!(taken.contains("The VLAN 102 on physical network physnet1 is in use"), "{taken}");

    let subnet = openstack.json("subnet create s4 --network blue --subnet-range 10.0.0.0/24");
    assert_eq!(
        (&subnet["gateway_ip"], &subnet["cidr"]),
        (&json!("10.0.0.1"), &json!("10.0.0.0/24"))
    );
    let subnet = openstack.json(
        "subnet create s6 --network blue --subnet-range fd00::/64 --ip-version 6 \
         --ipv6-ra-mode slaac --ipv6-address-mode slaac",
    );
    assert_eq!(subnet["ipv6_address_mode"], "slaac");
    let subnet = openstack.json(
        "subnet create s5 --network red --subnet-range 10.5.0.0/24 --gateway none --no-dhcp \
         --allocation-pool start=10.5.0.9,end=10.5.0.19 --dns-nameserver 10.5.0.3",
    );
    assert_eq!(subnet["allocation_pools"], json!([{ "start": "10.5.0.9", "end": "10.5.0.19" }]));
    assert_eq!((&subnet["gateway_ip"], &subnet["enable_dhcp"]), (&Value::Null, &json!(false)));

    let listed = openstack.json("network list --long");
    assert_eq!(listed[0]["Name"], "blue");
    assert_eq!(listed[0]["Subnets"].as_array().unwrap().len(), 2);
    assert_eq!(openstack.json("subnet list --network blue").as_array().unwrap().len(), 2);
    assert_eq!(openstack.json("subnet list --ip-version 6")[0]["Name"], "s6");

    openstack.quiet("network set blue --name azure --share --enable-port-security --disable");
    let shown = openstack.json("network show azure");
    assert_eq!((&shown["shared"], &shown["admin_state_up"]), (&json!(true), &json!(false)));
    openstack.quiet("subnet set s4 --name four --dns-nameserver 9.9.9.9 --gateway none");
    let shown = openstack.json("subnet show four");
    assert_eq!(
        (&shown["gateway_ip"], &shown["dns_nameservers"]),
        (&Value::Null, &json!(["9.9.9.9"]))
    );

    openstack.quiet("subnet delete four s6");
    openstack.quiet("network delete azure red");
    assert_eq!(openstack.json("network list"), json!([]));
}

#[test]
fn network_types_and_segments() {
    let fixture = Fixture::with(|config| {
        config.segments.vxlan_vni_ranges = vec!["70:79".parse().unwrap()];
    });
    let openstack = Openstack::new(&fixture);
    let mut types = Vec::new();
    for (name, options) in [
        ("l", "--provider-network-type local"),
        ("f", "--provider-network-type flat --provider-physical-network physnet3"),
        (
            "v",
            "--provider-network-type vlan --provider-physical-network physnet2 \
               --provider-segment 7",
        ),
        ("x", "--provider-network-type vxlan"),
        ("g", "--provider-network-type gre --provider-segment 4294967295"),
        ("n", "--provider-network-type geneve --provider-segment 9"),
    ] {
        let made = openstack.json(&format!("network create {name} {options}"));
        types.push(format!(
            "{} {} {}",
            made["provider:network_type"], made["provider:segmentation_id"], made["mtu"]
        ));
    }
    assert_eq!(
        types,
        [
            "\"local\" null 1500",
            "\"flat\" null 1500",
            "\"vlan\" 7 1500",
            "\"vxlan\" 70 1450",
            "\"gre\" 4294967295 1458",
            "\"geneve\" 9 1450",
        ]
    );
    let listed = openstack.json("network list --provider-segment 9");
    assert_eq!(listed[0]["Name"], "n");
    openstack.quiet("network set v --provider-segment 8");
    assert_eq!(openstack.json("network show v")["provider:segmentation_id"], 8);

    let made = openstack.json(
        "network segment create wire --network x --network-type vlan \
         --physical-network physnet2 --segment 9 --description d",
    );
    assert_eq!((&made["segmentation_id"], &made["description"]), (&json!(9), &json!("d")));
    assert_eq!(openstack.json("network segment list --network x").as_array().unwrap().len(), 2);
    openstack.quiet("network segment set wire --name cable");
    assert_eq!(openstack.json("network segment show cable")["physical_network"], "physnet2");
    openstack.quiet("network segment delete cable");
    assert_eq!(openstack.json("network segment list --network x")[0]["Segment"], 70);
    openstack.quiet("network delete l f v x g n");
    assert_eq!(openstack.json("network segment list"), json!([]));
}

#[test]
fn security_groups_and_their_rules() {
    let fixture = Fixture::new();
    let openstack = Openstack::new(&fixture);
    let web = openstack.json("security group create web --description shops");
    assert_eq!((&web["name"], &web["description"]), (&json!("web"), &json!("shops")));
    let tcp = openstack.json(
        "security group rule create web --protocol tcp --dst-port 3000:3999 \
         --remote-ip 10.0.0.0/8",
    );
    assert_eq!((&tcp["port_range_min"], &tcp["port_range_max"]), (&json!(3000), &json!(3999)));
    assert_eq!(
        (&tcp["direction"], &tcp["remote_ip_prefix"]),
        (&json!("ingress"), &json!("10.0.0.0/8"))
    );
    let ping = openstack
        .json("security group rule create web --protocol icmp --icmp-type 8 --remote-group web");
    assert_eq!((&ping["port_range_min"], &ping["remote_group_id"]), (&json!(8), &web["id"]));
    let six = openstack
        .json("security group rule create web --egress --ethertype IPv6 --protocol ipv6-icmp");
    assert_eq!(six["direction"], "egress");
    let again = openstack.refused(
        "security group rule create web --protocol 6 --dst-port 3000:3999 --remote-ip 10.0.0.0/8",
    );
    assert!(again.contains("Security group rule already exists"), "{again}");

    let rules = openstack.json("security group rule list web --long");
    assert_eq!(rules.as_array().unwrap().len(), 5);
    let id = tcp["id"].as_str().unwrap();
    assert_eq!(openstack.json(&format!("security group rule show {id}"))["protocol"], "tcp");
    openstack.quiet(&format!("security group rule delete {id}"));
    assert_eq!(openstack.json("security group rule list web").as_array().unwrap().len(), 4);

    let names = |listed: Value| -> Vec<Value> {
        listed.as_array().unwrap().iter().map(|group| group["Name"].clone()).collect()
    };
    let mut listed = names(openstack.json("security group list"));
    listed.sort_by_key(Value::to_string);
    assert_eq!(listed, ["default", "web"]);
    openstack.quiet("security group set web --name shop --description new");
    let shown = openstack.json("security group show shop");
    assert_eq!(shown["description"], "new");
    assert_eq!(shown["rules"].as_array().unwrap().len(), 4);
    let kept = openstack.refused("security group delete default");
    assert!(kept.contains("Insufficient rights for removing default security group"), "{kept}");
    openstack.quiet("security group delete shop");
}

#[test]
fn ports_and_agents() {
    let fixture = Fixture::new();
    let openstack = Openstack::new(&fixture);
    let agent = fixture.agent("host-a");
    agent.report(&["physnet1"]);
    openstack.json("network create net");
    openstack.json("subnet create sub --network net --subnet-range 10.0.0.0/24");
    openstack.json("security group create web");
    let port = openstack.json(
        "port create p --network net --security-group web --device-owner compute:test \
         --host host-a --device vm",
    );
    assert_eq!(
        (&port["binding_vif_type"], &port["binding_host_id"]),
        (&json!("ovs"), &json!("host-a"))
    );
    assert_eq!((&port["status"], &port["device_owner"]), (&json!("DOWN"), &json!("compute:test")));
    assert_eq!(port["fixed_ips"][0]["ip_address"], "10.0.0.2");
    let other = openstack.json(
        "port create q --network net --fixed-ip subnet=sub,ip-address=10.0.0.9 \
         --mac-address fa:16:3e:00:00:09 --no-security-group --disable-port-security",
    );
    assert_eq!(
        (&other["port_security_enabled"], &other["mac_address"]),
        (&json!(false), &json!("fa:16:3e:00:00:09"))
    );
    let third = openstack
        .json("port create r --network net --allowed-address ip-address=10.0.0.0/28 --no-fixed-ip");
    assert_eq!(third["allowed_address_pairs"][0]["ip_address"], "10.0.0.0/28");

    assert_eq!(openstack.json("port list").as_array().unwrap().len(), 3);
    let found = openstack.json("port list --fixed-ip ip-address=10.0.0.9");
    assert_eq!(found[0]["Name"], "q");
    assert_eq!(openstack.json("port list --host host-a --long")[0]["Name"], "p");
    let web = port["security_group_ids"][0].as_str().unwrap();
    assert_eq!(openstack.json(&format!("port list --security-group {web}"))[0]["Name"], "p");

    // On a slow machine the commands so far take longer than an agent may be silent.
    agent.report(&["physnet1"]);
    openstack.quiet("port set q --name s --host host-a --disable --description d --device vm2");
    let shown = openstack.json("port show s");
    assert_eq!(
        (&shown["binding_vif_type"], &shown["admin_state_up"]),
        (&json!("ovs"), &json!(false))
    );
    openstack.quiet("port set p --no-security-group --security-group default");
    openstack.quiet("port set r --fixed-ip subnet=sub");
    openstack.quiet("port unset p --security-group default");
    assert_eq!(openstack.json("port show p")["security_group_ids"], json!([]));
    let used = openstack.refused("network delete net");
    assert!(used.contains("There are one or more ports still in use on the network"), "{used}");

    agent.report(&["physnet1"]);
    let agents = openstack.json("network agent list");
    assert_eq!((&agents[0]["Host"], &agents[0]["Alive"]), (&json!("host-a"), &json!(true)));
    let id = agents[0]["ID"].as_str().unwrap();
    assert_eq!(openstack.json(&format!("network agent show {id}"))["host"], "host-a");
    openstack.quiet(&format!("network agent set {id} --disable"));
    assert_eq!(openstack.json("network agent list")[0]["State"], false);
    openstack.quiet(&format!("network agent delete {id}"));
    assert_eq!(openstack.json("network agent list"), json!([]));

    openstack.quiet("port delete p s r");
    openstack.quiet("subnet delete sub");
    openstack.quiet("network delete net");
    openstack.quiet("security group delete web");
    assert!(openstack.json("extension list --network").as_array().unwrap().len() > 10);
}

/// The client has no command for bindings; the library that it is made of has.
#[test]
fn bindings_of_a_port() {
    let mut fixture = Fixture::new();
    for host in ["host-a", "host-b"] {
        fixture.agent(host).report(&["physnet1"]);
    }
    let network = fixture.network(json!({}));
    let port = json!({ "binding:host_id": "host-a", "device_owner": "compute:nova" });
    let port = support::id(&fixture.port(&network, port));
    let script = "
import json, openstack, sys
network = openstack.connect(auth_type='none', endpoint=sys.argv[1]).network
said = []
def say():
    bindings = network.port_bindings(port=sys.argv[2])
    said.append(sorted(' '.join((it.host, it.status, it.vif_type)) for it in bindings))
made = network.create_port_binding(sys.argv[2], host='host-b', profile={'x': 1})
said.append([made.host, made.status, made.profile])
say()
said.append([network.activate_port_binding(sys.argv[2], host='host-b').status])
say()
network.delete_port_binding(sys.argv[2], host='host-a')
say()
print(json.dumps(said))
";
    let python = Openstack::new(&fixture).program.replace("/bin/openstack", "/bin/python");
    let arguments = ["-c", script, &format!("http://{}", fixture.address()), &port];
    let output = Command::new(python).args(arguments).env_clear().output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        said,
        json!([
            ["host-b", "INACTIVE", { "x": 1 }],
            ["host-a ACTIVE ovs", "host-b INACTIVE ovs"],
            ["ACTIVE"],
            ["host-a INACTIVE unbound", "host-b ACTIVE ovs"],
            ["host-b ACTIVE ovs"],
        ])
    );
}

#[test]
fn address_groups_and_default_rules() {
    let fixture = Fixture::new();
    let openstack = Openstack::new(&fixture);
    let made = openstack.json("address group create dns --address 10.0.0.9 --description d");
    assert_eq!(made["addresses"], json!(["10.0.0.9/32"]));
    openstack.quiet("address group set dns --name names --address 10.1.0.0/16 --address fd00::/64");
    openstack.quiet("address group unset names --address 10.0.0.9");
    let shown = openstack.json("address group show names");
    assert_eq!(
        (&shown["addresses"], &shown["description"]),
        (&json!(["10.1.0.0/16", "fd00::/64"]), &json!("d"))
    );
    assert_eq!(openstack.json("address group list")[0]["Name"], "names");

    let id = shown["id"].as_str().unwrap();
    let rule = openstack.json(&format!(
        "default security group rule create --protocol udp --dst-port 53 --for-custom-sg \
         --remote-address-group {id}"
    ));
    assert_eq!(rule["remote_address_group_id"], id);
    let rules = openstack.json("default security group rule list");
    assert_eq!(rules.as_array().unwrap().len(), 5);
    let group = openstack.json("security group create fast --stateless");
    assert_eq!(group["stateful"], false);
    let used = openstack.refused("address group delete names");
    assert!(used.contains("is in use on one or more security group rules"), "{used}");
    openstack.quiet("security group delete fast");
    let rule = rule["id"].as_str().unwrap();
    openstack.quiet(&format!("default security group rule delete {rule}"));
    openstack.quiet("address group delete names");
    assert_eq!(openstack.json("address group list"), json!([]));
}

#[test]
fn qos_policies() {
    let fixture = Fixture::new();
    let openstack = Openstack::new(&fixture);
    let gold = openstack.json("network qos policy create gold --share --description best");
    assert_eq!((&gold["shared"], &gold["is_default"]), (&json!(true), &json!(false)));
    let limit = openstack.json(
        "network qos rule create gold --type bandwidth-limit --max-kbps 3000 \
         --max-burst-kbits 300 --ingress",
    );
    assert_eq!((&limit["max_kbps"], &limit["direction"]), (&json!(3000), &json!("ingress")));
    openstack.json("network qos rule create gold --type dscp-marking --dscp-mark 26");
    openstack.json("network qos rule create gold --type minimum-bandwidth --min-kbps 100 --egress");
    openstack.json("network qos rule create gold --type minimum-packet-rate --min-kpps 2 --any");
    let rules = openstack.json("network qos rule list gold");
    assert_eq!(rules.as_array().unwrap().len(), 4, "{rules}");
    let id = limit["id"].as_str().unwrap();
    openstack.quiet(&format!("network qos rule set gold {id} --max-kbps 4000"));
    let shown = openstack.json(&format!("network qos rule show gold {id}"));
    assert_eq!((&shown["max_kbps"], &shown["max_burst_kbps"]), (&json!(4000), &json!(300)));
    let again = openstack.refused("network qos rule create gold --type dscp-marking --dscp-mark 8");
    assert!(again.contains("Rule dscp_marking conflicts with rule"), "{again}");

    let types = openstack.json("network qos rule type list");
    assert_eq!(types.as_array().unwrap().len(), 5, "{types}");
    let details = openstack.json("network qos rule type show bandwidth_limit");
    assert_eq!(details["rule_type_name"], "bandwidth_limit", "{details}");

    let blue = openstack.json("network create blue --qos-policy gold");
    assert_eq!(blue["qos_policy_id"], gold["id"]);
    let port = openstack.json("port create p --network blue --qos-policy gold");
    assert_eq!(port["qos_policy_id"], gold["id"]);
    assert_eq!(port["qos_network_policy_id"], gold["id"]);
    openstack.quiet("port unset p --qos-policy");
    assert_eq!(openstack.json("port show p")["qos_policy_id"], Value::Null);
    let used = openstack.refused("network qos policy delete gold");
    assert!(used.contains("is used by network"), "{used}");
    openstack.quiet("network set blue --no-qos-policy");
    openstack.quiet("network qos policy set gold --name silver --default --no-share");
    let listed = openstack.json("network qos policy list");
    assert_eq!((&listed[0]["Name"], &listed[0]["Default"]), (&json!("silver"), &json!(true)));
    openstack.quiet(&format!("network qos rule delete silver {id}"));
    openstack.quiet("network qos policy delete silver");
    assert_eq!(openstack.json("network qos policy list"), json!([]));
}

#[test]
fn trunks() {
    let fixture = Fixture::new();
    let openstack = Openstack::new(&fixture);
    for name in ["untagged", "red", "blue"] {
        openstack.json(&format!("network create {name}"));
        openstack.json(&format!("port create {name} --network {name}"));
    }
    let trunk = openstack.json(
        "network trunk create t --parent-port untagged \
         --subport port=red,segmentation-type=vlan,segmentation-id=101",
    );
    assert_eq!((&trunk["name"], &trunk["status"]), (&json!("t"), &json!("DOWN")));
    openstack.quiet(
        "network trunk set t --description d --subport \
         port=blue,segmentation-type=vlan,segmentation-id=102",
    );
    let subports = openstack.json("network subport list --trunk t");
    let tags: Vec<_> =
        subports.as_array().unwrap().iter().map(|it| it["Segmentation ID"].clone()).collect();
    assert_eq!(tags, [101, 102]);
    let port = openstack.json("port show untagged");
    assert_eq!(port["trunk_details"]["trunk_id"], trunk["id"]);
    let used = openstack.refused("port delete red");
    assert!(used.contains("is currently a subport for trunk"), "{used}");
    let taken = openstack.refused("network trunk create u --parent-port red");
    assert!(taken.contains("is in use by another trunk"), "{taken}");
    openstack.quiet("network trunk unset t --subport blue");
    openstack.quiet("network trunk set t --disable");
    let shown = openstack.json("network trunk show t");
    assert_eq!(shown["sub_ports"].as_array().unwrap().len(), 1, "{shown}");
    assert_eq!((&shown["description"], &shown["is_admin_state_up"]), (&json!("d"), &json!(false)));
    assert_eq!(openstack.json("network trunk list")[0]["Name"], "t");
    openstack.quiet("network trunk set t --enable");
    openstack.quiet("network trunk delete t");
    assert_eq!(openstack.json("network trunk list"), json!([]));
    openstack.quiet("port delete red");
}
