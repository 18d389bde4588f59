//! Weir's agent and Neutron's take turns on hosts where machines talk: nothing is lost, and nothing
//! gets through that no rule allows.
//!
//! `WEIR_TEST_ROUNDS` says how often they do; twice if it is not set.

use std::{ops::RangeInclusive, time::Instant};

use testkit::{Delivery, Outcome, Pace, Probe, Question, Steady, Switch, eventually, probe_all};

use crate::cloud::{Cloud, Machine, WAIT};

/// What every machine serves, and may be asked.
const ECHO: u16 = 7;
/// What every machine serves, and may not be asked.
const CLOSED: u16 = 9;
/// What is opened in one round after the other, beginning with this.
const OPENED: u16 = 1000;
/// What a third party has put where neither agent has anything, and Neutron's would keep it.
const FOREIGN: &str = "cookie=0xfee1, table=200, priority=7,dl_type=0x88b5 actions=drop";

/// Two machines on one host and one on the other, in one network.
type Trio = [Machine; 3];

#[test]
fn agents_take_turns_and_nothing_is_lost() {
    let rounds = std::env::var("WEIR_TEST_ROUNDS").map_or(2, |rounds| rounds.parse().unwrap());
    let mut cloud = Cloud::start(2);
    for host in 0..2 {
        cloud.start_neutron_agent(host);
    }
    cloud.wait_alive();
    let trios = machines(&cloud);
    for host in &cloud.hosts {
        for bridge in ["br-int", "br-tun"] {
            host.switch
                .ofctl(&["add-flow", bridge, &FOREIGN.replace(" actions", ",actions")])
                .unwrap();
        }
    }
    let talks = Talk::start(&trios);
    assert_verdicts(&trios);

    let mut windows = Vec::new();
    for round in 0..rounds {
        windows.push((
            format!("{round}: Weir's takes over"),
            change(&mut cloud, Cloud::start_weir_agent),
        ));
        for host in &cloud.hosts {
            for bridge in ["br-int", "br-phys", "br-tun"] {
                let flows = || flows(&host.switch, bridge);
                let theirs = || flows().any(|flow| !is_weirs(&flow) && flow != FOREIGN);
                eventually(WAIT, || !theirs())
                    .unwrap_or_else(|_| panic!("{bridge}: {:#?}", flows().collect::<Vec<_>>()));
            }
        }
        cloud.verify();
        cloud.assert_foreign_flows();
        assert_verdicts(&trios);

        windows.push((
            format!("{round}: Neutron's takes over"),
            change(&mut cloud, Cloud::start_neutron_agent),
        ));
        assert_verdicts(&trios);
        // With the first change it takes away what Weir has left where it looks.
        let begin = Instant::now();
        let port = OPENED + round;
        cloud
            .openstack
            .one(&format!("security group rule create --protocol tcp --dst-port {port} echo"));
        for [one, beside, beyond] in &trios {
            beyond.vm.listen_tcp(port).unwrap();
            for from in [one, beside] {
                let to = beyond.vm.v4(port).unwrap();
                let opened = || from.vm.connect_tcp(to, testkit::PATIENCE) == Outcome::Reached;
                eventually(WAIT, opened).unwrap();
            }
        }
        for host in &cloud.hosts {
            for bridge in ["br-int", "br-phys", "br-tun"] {
                let decides = |flow: &String| is_weirs(flow) && is_neutrons_table(flow);
                let left = || flows(&host.switch, bridge).filter(decides).collect::<Vec<_>>();
                eventually(WAIT, || left().is_empty())
                    .unwrap_or_else(|_| panic!("{bridge}: {:#?}", left()));
            }
        }
        windows.push((format!("{round}: Neutron's cleans"), begin..=Instant::now()));
        cloud.assert_foreign_flows();
        assert_verdicts(&trios);
    }

    let mut lost = 0;
    for (what, delivery) in talks.stop() {
        eprintln!("{what}: {delivery}");
        for gap in &delivery.gaps {
            for at in &gap.lost {
                let window = windows.iter().find(|(_, window)| window.contains(at));
                let within = window.map_or_else(
                    || "at another time".to_owned(),
                    |(name, window)| format!("{name}, {:?} after its begin", *at - *window.start()),
                );
                eprintln!("    {within}");
            }
        }
        lost += delivery.lost;
    }
    for (what, window) in &windows {
        eprintln!("{what}: {:?}", *window.end() - *window.start());
    }
    assert_eq!(lost, 0);
}

/// Networks of two kinds, with three machines each that talk.
fn machines(cloud: &Cloud) -> Vec<Trio> {
    cloud.openstack.all([
        "security group create echo",
        "security group rule create --protocol icmp echo",
        "security group rule create --protocol tcp --dst-port 7 echo",
        "security group rule create --protocol udp --dst-port 7 echo",
    ]);
    let trios: Vec<Trio> = ["vlan", "vxlan"]
        .into_iter()
        .map(|kind| {
            let network = format!("network create {kind} --provider-network-type {kind}");
            let subnet =
                format!("subnet create {kind} --network {kind} --subnet-range 10.0.0.0/24");
            let port = |host: u8, name: &str| {
                format!(
                    "port create --network {kind} --host host{host} --device-owner compute:nova \
                     --security-group echo {kind}-{name}"
                )
            };
            let ports = [port(1, "one"), port(1, "beside"), port(2, "beyond")];
            let [one, beside, beyond] = ports.each_ref().map(String::as_str);
            let [.., one, beside, beyond] =
                cloud.openstack.all([&network, &subnet, one, beside, beyond]);
            [one, beside, beyond].map(|port| cloud.plug(&port))
        })
        .collect();
    cloud.wait_active(&trios.iter().flatten().collect::<Vec<_>>());
    for machine in trios.iter().flatten() {
        machine.vm.listen_udp(CLOSED).unwrap();
        machine.vm.listen_tcp(CLOSED).unwrap();
    }
    trios
}

/// Stops the agents of all hosts, starts others, and says when it was.
fn change(cloud: &mut Cloud, start: fn(&mut Cloud, usize)) -> RangeInclusive<Instant> {
    let begin = Instant::now();
    for host in 0..2 {
        cloud.stop_agent(host);
        start(cloud, host);
    }
    cloud.wait_ready();
    begin..=Instant::now()
}

/// The machines may ask each other what they may, and nothing else. On a busy machine an answer may
/// take longer than a probe waits; what is lost is counted elsewhere, so it is asked again.
fn assert_verdicts(trios: &[Trio]) {
    use Outcome::{Filtered, Reached};
    let each = [Reached, Reached, Reached, Filtered, Filtered];
    let right = || verdicts(trios).chunks(each.len()).all(|found| found == each);
    eventually(WAIT, right).unwrap_or_else(|_| panic!("{:?}", verdicts(trios)));
}

/// What comes of everything that the machines may ask each other, and of what they may not.
fn verdicts(trios: &[Trio]) -> Vec<Outcome> {
    let probes: Vec<Probe<'_>> = trios
        .iter()
        .flat_map(pairs)
        .flat_map(|(from, to)| {
            let at = |port| to.vm.v4(port).unwrap();
            let questions = [
                Question::Ping(at(0).ip()),
                Question::Tcp(at(ECHO)),
                Question::Udp(at(ECHO)),
                Question::Tcp(at(CLOSED)),
                Question::Udp(at(CLOSED)),
            ];
            questions.map(|question| Probe { from: &from.vm, question })
        })
        .collect();
    probe_all(&probes)
}

/// Who talks to whom.
fn pairs([one, beside, beyond]: &Trio) -> [(&Machine, &Machine); 3] {
    [(one, beside), (one, beyond), (beyond, one)]
}

/// What they say to each other all the time.
struct Talk {
    allowed: Vec<(String, Steady)>,
    refused: Vec<Steady>,
}

impl Talk {
    fn start(trios: &[Trio]) -> Self {
        let pace = Pace::HUNDRED_PER_SECOND;
        let (mut allowed, mut refused) = (Vec::new(), Vec::new());
        for (from, to) in trios.iter().flat_map(pairs) {
            let at = |port| to.vm.v4(port).unwrap();
            eventually(WAIT, || from.vm.ask_udp(at(ECHO), testkit::PATIENCE).passed()).unwrap();
            let streams = [
                ("UDP", from.vm.steady_udp(at(ECHO), pace)),
                ("TCP", from.vm.steady_tcp(at(ECHO), pace)),
                ("ping", from.vm.steady_ping(at(0).ip(), pace)),
            ];
            for (kind, stream) in streams {
                allowed.push((format!("{kind} {} to {}", from.port, to.port), stream.unwrap()));
            }
            refused.push(from.vm.steady_udp(at(CLOSED), pace).unwrap());
        }
        Self { allowed, refused }
    }

    /// Ends it. Nothing that no rule allows may have got through.
    fn stop(self) -> Vec<(String, Delivery)> {
        for refused in self.refused {
            let delivery = refused.stop();
            assert_eq!(delivery.lost, delivery.sent, "{delivery}");
        }
        self.allowed.into_iter().map(|(what, steady)| (what, steady.stop())).collect()
    }
}

/// The flows of a bridge as they are written.
fn flows(switch: &Switch, bridge: &str) -> std::vec::IntoIter<String> {
    let dump = switch.ofctl(&["--no-stats", "dump-flows", bridge]).unwrap();
    let flows = dump.lines().filter(|line| line.contains("cookie=0x"));
    flows.map(|line| line.trim().to_owned()).collect::<Vec<_>>().into_iter()
}

fn is_weirs(flow: &str) -> bool {
    flow.contains("cookie=0x3e17")
}

/// Whether packets that Neutron's agent has taken over may meet the flow.
fn is_neutrons_table(flow: &str) -> bool {
    let table = flow.split_once("table=").map_or("0", |(_, rest)| rest);
    let number = table.split(',').next().unwrap();
    number.parse::<u8>().unwrap_or(0) < 100
}

impl Cloud {
    /// `weir verify` on every host says that nothing differs.
    pub(crate) fn verify(&self) {
        for host in &self.hosts {
            let mut command = host.switch.namespace().command(env!("CARGO_BIN_EXE_weir"));
            command.args(["verify", "--state-dir"]).arg(host.switch.run_dir().join("weir"));
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains(" 0 differ"), "{output:?}");
            eprint!("{}: {said}", host.name);
        }
    }

    fn assert_foreign_flows(&self) {
        for host in &self.hosts {
            for bridge in ["br-int", "br-tun"] {
                assert!(flows(&host.switch, bridge).any(|flow| flow == FOREIGN), "{bridge}");
            }
        }
    }
}
