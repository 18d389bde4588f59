//! `ofproto/trace` over the control socket of ovs-vswitchd, and what its text says.

use openflow::{CtState, Field, interpreter::Packet};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    io::{BufReader, Write},
    net::{Ipv4Addr, Ipv6Addr},
    os::unix::net::UnixStream,
    path::Path,
};

/// The fields that a frame carries to the outside, without its VLAN tags.
const HEADERS: [Field; 29] = [
    Field::ETH_SRC,
    Field::ETH_DST,
    Field::ETH_TYPE,
    Field::IPV4_SRC,
    Field::IPV4_DST,
    Field::IPV6_SRC,
    Field::IPV6_DST,
    Field::IP_DSCP,
    Field::IP_ECN,
    Field::IP_TTL,
    Field::IP_PROTO,
    Field::TCP_SRC,
    Field::TCP_DST,
    Field::UDP_SRC,
    Field::UDP_DST,
    Field::SCTP_SRC,
    Field::SCTP_DST,
    Field::ICMPV4_TYPE,
    Field::ICMPV4_CODE,
    Field::ICMPV6_TYPE,
    Field::ICMPV6_CODE,
    Field::ND_TARGET,
    Field::ND_SLL,
    Field::ND_TLL,
    Field::ARP_OP,
    Field::ARP_SPA,
    Field::ARP_TPA,
    Field::ARP_SHA,
    Field::ARP_THA,
];

/// A connection to the control socket: one process for each of ten thousand traces would take
/// most of the time.
pub(crate) struct Tracer {
    stream: UnixStream,
    answers: serde_json::StreamDeserializer<
        'static,
        serde_json::de::IoRead<BufReader<UnixStream>>,
        Value,
    >,
    bridge: String,
    /// From the datapath's numbers to OpenFlow's.
    ports: HashMap<u32, u32>,
}

/// What the switch says of one packet.
pub(crate) struct Trace {
    /// Table, and cookie of the flow found there.
    pub(crate) steps: Vec<(u8, Option<u64>)>,
    /// What the datapath would do.
    pub(crate) done: Vec<Done>,
    /// How often it came to `learn`, which a trace does not carry out.
    pub(crate) learns: usize,
    /// The translation of a pass was given up.
    pub(crate) failed: bool,
    pub(crate) text: String,
}

#[derive(Debug)]
pub(crate) enum Done {
    Output(u32, Box<Frame>),
    Commit(Commit),
    Controller,
}

#[derive(Debug, Default)]
pub(crate) struct Commit {
    pub(crate) zone: u16,
    pub(crate) mark: Option<(u128, u128)>,
    pub(crate) label: Option<(u128, u128)>,
    pub(crate) force: bool,
}

/// A frame as the datapath has it.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    headers: Packet,
    /// VLAN number and priority, the outer tag last.
    tags: Vec<(u128, u128)>,
}

impl Frame {
    pub(crate) fn is(&self, packet: &Packet) -> bool {
        let tag = packet.vlan_vid().map(|vlan| (vlan.into(), packet.get(Field::VLAN_PCP)));
        tag == self.tags.last().copied()
            && HEADERS.iter().all(|field| self.headers.get(*field) == packet.get(*field))
    }
}

impl Tracer {
    pub(crate) fn new(socket: &Path, bridge: &str) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        let answers = serde_json::Deserializer::from_reader(reader).into_iter();
        let mut tracer = Self { stream, answers, bridge: bridge.to_owned(), ports: HashMap::new() };
        for line in tracer.ask("dpif/show", &[]).lines() {
            // "    p1 1/2: (tap)"
            let numbers = line.split_whitespace().nth(1).and_then(|word| word.strip_suffix(':'));
            if let Some((openflow, datapath)) = numbers.and_then(|word| word.split_once('/')) {
                let openflow: u32 = openflow.parse().unwrap();
                let openflow = if openflow == 65534 { openflow | 0xffff_0000 } else { openflow };
                tracer.ports.insert(datapath.parse().unwrap(), openflow);
            }
        }
        tracer
    }

    pub(crate) fn trace(&mut self, packet: &Packet, states: &[CtState]) -> Trace {
        let mut arguments = vec![self.bridge.clone(), packet.to_string()];
        for state in states {
            arguments.push("--ct-next".to_owned());
            arguments.push(state_text(*state));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let text = self.ask("ofproto/trace", &arguments);
        self.read(packet, text)
    }

    /// Sends the packet for real, so that flows learn from it.
    pub(crate) fn send(&mut self, packet: &Packet) {
        let bridge = self.bridge.clone();
        self.ask("ofproto/trace", &[&bridge, &packet.to_string(), "-generate"]);
    }

    fn ask(&mut self, method: &str, params: &[&str]) -> String {
        let request = json!({ "id": 0, "method": method, "params": params });
        self.stream.write_all(request.to_string().as_bytes()).unwrap();
        let answer = self.answers.next().unwrap().unwrap();
        match answer["result"].as_str() {
            Some(text) => text.to_owned(),
            None => panic!("{request}: {answer}"),
        }
    }

    fn read(&self, packet: &Packet, text: String) -> Trace {
        let mut trace = Trace {
            steps: Vec::new(),
            done: Vec::new(),
            learns: 0,
            failed: text.contains("Translation failed"),
            text: String::new(),
        };
        let tag = packet.vlan_vid().map(|vlan| (vlan.into(), packet.get(Field::VLAN_PCP)));
        let first = Frame { headers: packet.clone(), tags: tag.into_iter().collect() };
        // The passes that the datapath is to make, by recirculation number. Two that are alike
        // have one number.
        let mut passes: Vec<(&str, Frame)> = Vec::new();
        let mut pass = Some(first);
        for line in text.lines() {
            if let Some(resumed) = line.strip_prefix("recirc(") {
                let id = resumed.split(')').next().unwrap();
                let next = passes.iter().position(|(waiting, _)| *waiting == id);
                pass = next.map(|at| passes.remove(at).1);
            }
            let Some(frame) = &mut pass else { continue };
            if let Some(step) = step(line) {
                trace.steps.push(step);
            } else if line.contains("so learn action ignored") {
                trace.learns += 1;
            } else if let Some(actions) = line.strip_prefix("Datapath actions: ") {
                for action in split(actions) {
                    match action.strip_prefix("recirc(").and_then(|id| id.strip_suffix(')')) {
                        Some(id) => passes.push((id, frame.clone())),
                        None => trace.done.extend(self.act(action, frame)),
                    }
                }
            }
        }
        assert!(passes.is_empty(), "a pass is missing: {text}");
        trace.text = text;
        trace
    }

    fn act(&self, action: &str, frame: &mut Frame) -> Option<Done> {
        if let Ok(port) = action.parse::<u32>() {
            return Some(Done::Output(self.ports[&port], Box::new(frame.clone())));
        }
        let (name, arguments) = action.split_once('(').unwrap_or((action, ""));
        let arguments = arguments.strip_suffix(')').unwrap_or_default();
        match name {
            "drop" | "ct_clear" | "ct" if !arguments.contains("commit") => None,
            "ct" => Some(Done::Commit(commit(arguments))),
            "userspace" if arguments.contains("controller(") => Some(Done::Controller),
            "push_vlan" => {
                let value =
                    |key| pairs(arguments).find(|(k, _)| *k == key).map_or(0, |(_, v)| number(v));
                frame.tags.push((value("vid"), value("pcp")));
                None
            }
            "pop_vlan" => {
                frame.tags.pop().unwrap();
                None
            }
            "set" => {
                set(arguments, &mut frame.headers);
                None
            }
            _ => panic!("the datapath action {action} is not expected"),
        }
    }
}

/// `trk,new` and so on.
fn state_text(state: CtState) -> String {
    let names = [
        (CtState::NEW, "new"),
        (CtState::EST, "est"),
        (CtState::REL, "rel"),
        (CtState::RPL, "rpl"),
        (CtState::INV, "inv"),
    ];
    let set = names.iter().filter(|(bit, _)| state.0 & bit.0 != 0);
    set.fold("trk".to_owned(), |text, (_, name)| format!("{text},{name}"))
}

/// ` 5. ip, priority 1, cookie 0x2` or ` 9. No match.`
fn step(line: &str) -> Option<(u8, Option<u64>)> {
    let (table, rest) = line.trim_start().split_once(". ")?;
    let table = table.parse().ok()?;
    if rest == "No match." {
        return Some((table, None));
    }
    let (_, cookie) = rest.split_once("cookie 0x")?;
    Some((table, Some(u64::from_str_radix(cookie, 16).unwrap())))
}

fn commit(arguments: &str) -> Commit {
    let mut commit = Commit { force: arguments.contains("force_commit"), ..Commit::default() };
    for (key, value) in pairs(arguments) {
        let (bits, mask) = value.split_once('/').unwrap_or((value, "0xffffffffffffffff"));
        match key {
            "zone" => commit.zone = value.parse().unwrap(),
            "mark" => commit.mark = Some((number(bits), number(mask))),
            "label" => commit.label = Some((number(bits), number(mask))),
            _ => {}
        }
    }
    commit
}

/// `ipv4(dst=1.2.3.4,tos=0/0xfc)`.
fn set(text: &str, headers: &mut Packet) {
    let (family, arguments) = text.strip_suffix(')').unwrap().split_once('(').unwrap();
    for (key, value) in pairs(arguments) {
        let field = match (family, key) {
            ("eth", "src") => Field::ETH_SRC,
            ("eth", "dst") => Field::ETH_DST,
            ("ipv4", "src") => Field::IPV4_SRC,
            ("ipv4", "dst") => Field::IPV4_DST,
            ("ipv4", "ttl") | ("ipv6", "hlimit") => Field::IP_TTL,
            ("ipv6", "src") => Field::IPV6_SRC,
            ("ipv6", "dst") => Field::IPV6_DST,
            ("tcp", "src") => Field::TCP_SRC,
            ("tcp", "dst") => Field::TCP_DST,
            ("udp", "src") => Field::UDP_SRC,
            ("udp", "dst") => Field::UDP_DST,
            ("sctp", "src") => Field::SCTP_SRC,
            ("sctp", "dst") => Field::SCTP_DST,
            ("arp", "sip") => Field::ARP_SPA,
            ("arp", "tip") => Field::ARP_TPA,
            ("arp", "sha") => Field::ARP_SHA,
            ("arp", "tha") => Field::ARP_THA,
            ("arp", "op") => Field::ARP_OP,
            ("ipv4", "tos") | ("ipv6", "tclass") => {
                let (bits, mask) = value.split_once('/').unwrap_or((value, "0xff"));
                let old = headers.get(Field::IP_DSCP) << 2 | headers.get(Field::IP_ECN);
                let new = old & !number(mask) | number(bits);
                headers.set(Field::IP_DSCP, new >> 2);
                headers.set(Field::IP_ECN, new & 3);
                continue;
            }
            _ => panic!("the datapath action set({text}) is not expected"),
        };
        assert!(!value.contains('/'), "set({text})");
        headers.set(field, number(value));
    }
}

/// `a=1,b=2`
fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    split(text).into_iter().filter_map(|part| part.split_once('='))
}

/// A number, an IP address or an Ethernet address.
fn number(text: &str) -> u128 {
    if let Some(hex) = text.strip_prefix("0x") {
        u128::from_str_radix(hex, 16).unwrap()
    } else if let Ok(number) = text.parse() {
        number
    } else if let Ok(address) = text.parse::<Ipv4Addr>() {
        address.to_bits().into()
    } else if let Ok(address) = text.parse::<Ipv6Addr>() {
        address.to_bits()
    } else {
        u128::from_str_radix(&text.replace(':', ""), 16).unwrap()
    }
}

/// Parts between commas that are not within parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0;
    text.split(|c| {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        c == ',' && depth == 0
    })
    .collect()
}
