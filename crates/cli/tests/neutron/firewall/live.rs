//! Every kind of change that Neutron's API can make to what a port may do, made with the client
//! while a TCP stream runs through the firewall: a permission that goes cuts it, one that comes
//! back revives it.

use std::{io, net::UdpSocket};

use serde_json::Value;
use testkit::{Outcome, PATIENCE, Stream, eventually};

use crate::cloud::{Cloud, Machine, WAIT};

/// An address that the machine which asks has, and its port at first may not use.
const PAIR: &str = "10.0.0.200";

/// What allows the stream.
const RULE: &str = "security group rule create --protocol tcp --dst-port 7 serving";

/// Two machines, on a host each, and what lies between.
struct Talk {
    asking: Machine,
    serving: Machine,
    stream: Stream,
    cloud: Cloud,
}

#[test]
fn what_changes_is_followed_while_machines_talk() {
    let (mut talk, rule) = Talk::start();
    let rule = talk.rule_goes_and_comes_back(&rule);
    talk.port_changes_its_groups();
    talk.port_is_disabled_and_enabled();
    talk.port_security_is_switched_off_and_on();
    talk.address_pair_comes_and_goes();
    talk.port_becomes_stateless();
    // While a port was not tracked, either side may have spoken first afterwards, and what a machine
    // begins by itself needs no rule. A new stream is begun by who asks.
    talk.stream = open(&talk.asking, &talk.serving);
    // From here on the stream has no other permission than what is tried.
    talk.quiet(&[&format!("security group rule delete {rule}")]);
    talk.cut("no rule is left");
    talk.member_joins_and_leaves();
    talk.address_group_changes();
}

impl Talk {
    /// The machines, a stream between them, and the rule that allows it. What would allow more is
    /// there, but allows it to nobody yet.
    fn start() -> (Self, String) {
        let mut cloud = Cloud::start(2);
        for host in 0..2 {
            cloud.start_weir_agent(host);
        }
        cloud.wait_alive();
        let port = |host: u8, name: &str| {
            format!(
                "port create --network talk --host host{host} --device-owner compute:nova \
                 --security-group {name} {name}"
            )
        };
        let [_, _, _, _, rule, asking, serving, ..] = cloud.openstack.all([
            "security group create serving",
            "security group create asking",
            "network create talk --provider-network-type vxlan",
            "subnet create talk --network talk --subnet-range 10.0.0.0/24",
            RULE,
            &port(1, "asking"),
            &port(2, "serving"),
            "security group create shut",
            "security group create udp",
            "security group rule create --protocol udp --dst-port 7 udp",
            "security group create --stateless stateless",
            "security group create friends",
            "security group rule create --protocol tcp --dst-port 7 --remote-group friends serving",
            "address group create --address 192.0.2.7/32 addresses",
            "security group rule create --protocol tcp --dst-port 7 --remote-address-group addresses \
             serving",
        ]);
        let [asking, serving] = [&asking, &serving].map(|port| cloud.plug(port));
        cloud.wait_active(&[&asking, &serving]);
        let stream = open(&asking, &serving);
        (Self { asking, serving, stream, cloud }, id(&rule))
    }

    /// The id of the rule that has come back.
    fn rule_goes_and_comes_back(&mut self, rule: &str) -> String {
        self.quiet(&[&format!("security group rule delete {rule}")]);
        self.cut("the rule has gone");
        let rule = self.cloud.openstack.one(RULE);
        self.revived("the rule is back");
        id(&rule)
    }

    fn port_changes_its_groups(&mut self) {
        self.quiet(&["port set --no-security-group --security-group shut serving"]);
        self.cut("the port has another group");
        self.quiet(&["port set --security-group serving serving"]);
        self.revived("the port has its group back, beside the other");
    }

    fn port_is_disabled_and_enabled(&mut self) {
        self.quiet(&["port set --disable serving"]);
        self.cut("the port is disabled");
        let down = || self.cloud.port(&self.serving)["status"] == "DOWN";
        self.until("the disabled port is not down", down);
        self.quiet(&["port set --enable serving"]);
        self.cloud.wait_active(&[&self.serving]);
        self.revived("the port is enabled");
    }

    fn port_security_is_switched_off_and_on(&mut self) {
        let asks = || self.asks_udp();
        assert!(!asks(), "no rule allows it");
        self.quiet(&["port set --no-security-group --disable-port-security serving"]);
        self.until("without port security rules are still obeyed", asks);
        self.revived("rules do not matter");
        self.quiet(&["port set --enable-port-security --security-group serving serving"]);
        self.until("with port security no rule is obeyed", || !self.asks_udp());
        self.revived("the rule allows it all the time");
    }

    fn address_pair_comes_and_goes(&self) {
        let add = format!("address add {PAIR}/24 dev {}\n", self.asking.vm.device());
        self.asking.vm.namespace().ip(&add).unwrap();
        let asks = || self.asks_udp_from(PAIR);
        self.quiet(&["port set --security-group udp serving"]);
        self.until("a second group allows nothing", || self.asks_udp());
        assert!(!asks(), "the address is not the port's");
        self.quiet(&[&format!("port set --allowed-address ip-address={PAIR} asking")]);
        self.until("the pair is not allowed", asks);
        self.quiet(&["port set --no-allowed-address asking"]);
        self.until("the pair is still allowed", || !asks());
    }

    fn port_becomes_stateless(&mut self) {
        self.quiet(&["port set --no-security-group --security-group stateless asking"]);
        self.cut("answers need a rule of their own");
        self.cloud.openstack.one("security group rule create --protocol tcp stateless");
        self.revived("answers have a rule");
        self.quiet(&["port set --no-security-group --security-group asking asking"]);
        self.until("answers that need no rule are refused", || self.asks_udp());
        self.revived("the port is stateful again");
    }

    fn member_joins_and_leaves(&mut self) {
        self.quiet(&["port set --security-group friends asking"]);
        self.revived("a member has come");
        self.quiet(&["port unset --security-group friends asking"]);
        self.cut("the member has left");
    }

    fn address_group_changes(&mut self) {
        let address = format!("{}/32", self.asking.served().ip());
        self.quiet(&[&format!("address group set --address {address} addresses")]);
        self.revived("the address is in the group");
        self.quiet(&[&format!("address group unset --address {address} addresses")]);
        self.cut("the address has left the group");
    }

    fn quiet(&self, commands: &[&str]) {
        self.cloud.openstack.quiet(commands);
    }

    /// Waits until the stream is silent, and not because the machine is slow.
    fn cut(&mut self, why: &str) {
        let mut silent = || (0..3).all(|_| self.stream.exchange(PATIENCE) == Outcome::Filtered);
        let cut = eventually(WAIT, &mut silent);
        assert!(cut.is_ok(), "not cut: {why}\n{}", self.logs());
    }

    /// Waits until the stream goes on.
    fn revived(&mut self, why: &str) {
        let mut answered = || self.stream.exchange(PATIENCE) == Outcome::Reached;
        let revived = eventually(WAIT, &mut answered);
        assert!(revived.is_ok(), "not revived: {why}\n{}", self.logs());
    }

    fn until(&self, else_what: &str, condition: impl Fn() -> bool) {
        let held = eventually(WAIT, condition);
        assert!(held.is_ok(), "{else_what}\n{}", self.logs());
    }

    fn asks_udp(&self) -> bool {
        self.asking.vm.ask_udp(self.serving.served(), PATIENCE).passed()
    }

    /// Whether a datagram from this address of the machine is echoed.
    fn asks_udp_from(&self, address: &str) -> bool {
        let ask = || {
            let socket = UdpSocket::bind((address, 0))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.send_to(b"weir?", self.serving.served())?;
            socket.recv(&mut [0; 8])
        };
        match self.asking.vm.namespace().inside(ask).unwrap() {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => panic!("{address}: {error}"),
        }
    }

    fn logs(&self) -> String {
        self.cloud.hosts.iter().map(|host| host.log()).collect()
    }
}

fn open(asking: &Machine, serving: &Machine) -> Stream {
    eventually(WAIT, || asking.vm.open_stream(serving.served(), PATIENCE).ok()).unwrap()
}

fn id(object: &Value) -> String {
    object["id"].as_str().unwrap().to_owned()
}
