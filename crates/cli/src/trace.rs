//! `weir trace`: what becomes of one packet, and which rule or check decides it.

use std::{net::IpAddr, process::ExitCode};

use agent::{
    State,
    trace::{Filtering, Question, Trace, Transport, Way},
};
use model::IpProtocol;

use crate::{
    output::{Format, pairs},
    state_dir::StateDir,
};

/// Which packet, whom to ask, and how to print.
#[derive(Debug, clap::Args)]
#[command(after_help = "Without a protocol it is an echo request. The packet is not sent.\n\n\
                  Exit status: 0 whatever becomes of the packet, 1 if the agent cannot be asked \
                  or does not have the port.")]
pub(crate) struct Options {
    /// The port that sends the packet, or is to receive it
    #[arg(value_name = "PORT")]
    port: model::PortId,
    #[command(flatten)]
    other: Other,
    #[command(flatten)]
    transport: Carried,
    /// What connection tracking says of it: new, established, reply, related or invalid
    #[arg(long, default_value = "new")]
    state: State,
    #[command(flatten)]
    state_dir: StateDir,
    #[command(flatten)]
    format: Format,
}

/// The other side.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Other {
    /// The port sends it to this address
    #[arg(long, value_name = "ADDRESS")]
    to: Option<IpAddr>,
    /// It comes to the port from this address
    #[arg(long, value_name = "ADDRESS")]
    from: Option<IpAddr>,
}

/// What follows the IP header.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct Carried {
    /// TCP to this port
    #[arg(long, value_name = "PORT")]
    tcp: Option<u16>,
    /// UDP to this port
    #[arg(long, value_name = "PORT")]
    udp: Option<u16>,
    /// ICMP, or ICMPv6, of this type and code
    #[arg(long, value_name = "TYPE[/CODE]", value_parser = icmp)]
    icmp: Option<Transport>,
    /// Another IP protocol, by number or Neutron's name
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<IpProtocol>,
}

/// Prints the way of the packet.
///
/// # Errors
/// When the agent cannot be asked, or does not have the port.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let Options { port, other, transport, state, state_dir, format } = options;
    let way = match other {
        Other { to: Some(address), .. } => Way::To(address),
        Other { from: Some(address), .. } => Way::From(address),
        Other { to: None, from: None } => anyhow::bail!("either --to or --from is needed"),
    };
    let transport = match transport {
        Carried { tcp: Some(port), .. } => Transport::Tcp(port),
        Carried { udp: Some(port), .. } => Transport::Udp(port),
        Carried { icmp: Some(icmp), .. } => icmp,
        Carried { protocol: Some(protocol), .. } => Transport::Protocol(protocol.0),
        _ => Transport::Echo,
    };
    let question = Question { port: port.to_string(), way, transport, state };
    let trace = agent::admin::trace(&state_dir.admin_socket(), question).await?;
    format.print(&trace, text)?;
    Ok(ExitCode::SUCCESS)
}

fn icmp(text: &str) -> Result<Transport, &'static str> {
    let number = |text: &str| text.parse().map_err(|_| "type and code are numbers from 0 to 255");
    let (kind, code) = text.split_once('/').unwrap_or((text, "0"));
    Ok(Transport::Icmp { kind: number(kind)?, code: number(code)? })
}

fn text(trace: &Trace) -> String {
    let mut text = format!("{}\n{}\n\n", trace.packet, trace.state);
    text += &trace.sent.as_ref().map(filtering).unwrap_or_default();
    for step in &trace.steps {
        let flow = step.flow.as_deref().unwrap_or("no flow");
        let mark = if step.tracked { "tracked  " } else { "" };
        let registers = step.registers.join(" ");
        text += &format!("{}\n    {flow}\n", step.table);
        if !registers.is_empty() || step.tracked {
            text += &format!("    {}\n", format!("{mark}{registers}").trim_end());
        }
    }
    text += &trace.received.as_ref().map(filtering).unwrap_or_default();
    let outcome = if trace.accepted {
        format!("leaves by {}", trace.outputs.join(", "))
    } else {
        "refused".to_owned()
    };
    let mut rows = vec![["the packet".to_owned(), outcome]];
    rows.extend(trace.reason.iter().map(|reason| ["because".to_owned(), reason.clone()]));
    for rule in &trace.rules {
        let group = match &rule.group_name {
            Some(name) => format!("{name} ({})", rule.group),
            None => rule.group.clone(),
        };
        rows.push(["admitted by".to_owned(), format!("{} (rule {})", rule.says, rule.rule)]);
        rows.push([String::new(), format!("of group {group}, which port {} has", rule.port)]);
    }
    text + "\n" + &pairs(rows)
}

/// What netfilter does on the Linux bridge of a port: each rule below its chain.
fn filtering(filtering: &Filtering) -> String {
    let Filtering { port, direction, tracking, rules, verdict, .. } = filtering;
    let tracking = match tracking.as_str() {
        "" => String::new(),
        tracking => format!(", {tracking}"),
    };
    let mut text = format!("netfilter, {direction} of port {port}{tracking}\n");
    let mut last = "";
    for rule in rules {
        if last != rule.chain {
            text += &format!("    {}\n", rule.chain);
        }
        text += &format!("        {}\n", rule.rule);
        last = &rule.chain;
    }
    text + &format!("    {verdict}\n")
}

#[cfg(test)]
mod tests {
    use agent::trace::{Admission, Met, Step};

    use super::*;

    #[test]
    fn for_people() {
        let trace = Trace {
            packet: "tcp,tp_dst=80".to_owned(),
            state: State::New,
            sent: None,
            received: None,
            steps: vec![Step {
                table: "160 TRANSIENT".to_owned(),
                flow: Some("in_port=1".to_owned()),
                registers: vec!["PORT=0x1".to_owned()],
                tracked: false,
            }],
            accepted: true,
            outputs: vec!["port 2".to_owned()],
            rules: vec![Admission {
                port: "p1".to_owned(),
                direction: "egress".to_owned(),
                rule: "r1".to_owned(),
                says: "egress IPv4 any protocol to anybody".to_owned(),
                group: "g1".to_owned(),
                group_name: Some("web".to_owned()),
            }],
            reason: None,
        };
        expect_test::expect![[r#"
            tcp,tp_dst=80
            new

            160 TRANSIENT
                in_port=1
                PORT=0x1

            the packet   leaves by port 2
            admitted by  egress IPv4 any protocol to anybody (rule r1)
                         of group web (g1), which port p1 has
        "#]]
        .assert_eq(&text(&trace));
    }

    #[test]
    fn netfilter_for_people() {
        let met = |chain: &str, rule: &str| Met { chain: chain.to_owned(), rule: rule.to_owned() };
        let sent = Filtering {
            port: "p1".to_owned(),
            direction: "egress".to_owned(),
            tracking: "zone 4097".to_owned(),
            rules: vec![
                met("neutron-openvswi-sg-chain", "-j neutron-openvswi-op1"),
                met("neutron-openvswi-op1", "-j neutron-openvswi-sp1"),
                met("neutron-openvswi-sp1", "-j DROP"),
            ],
            verdict: "dropped".to_owned(),
            reason: "spoofed".to_owned(),
        };
        let trace = Trace {
            packet: "tcp,tp_dst=80".to_owned(),
            state: State::New,
            sent: Some(sent),
            steps: Vec::new(),
            received: None,
            accepted: false,
            outputs: Vec::new(),
            rules: Vec::new(),
            reason: Some("spoofed".to_owned()),
        };
        expect_test::expect![[r#"
            tcp,tp_dst=80
            new

            netfilter, egress of port p1, zone 4097
                neutron-openvswi-sg-chain
                    -j neutron-openvswi-op1
                neutron-openvswi-op1
                    -j neutron-openvswi-sp1
                neutron-openvswi-sp1
                    -j DROP
                dropped

            the packet  refused
            because     spoofed
        "#]]
        .assert_eq(&text(&trace));
    }

    #[test]
    fn icmp_types_and_codes() {
        assert_eq!(icmp("8"), Ok(Transport::Icmp { kind: 8, code: 0 }));
        assert_eq!(icmp("3/4"), Ok(Transport::Icmp { kind: 3, code: 4 }));
        assert!(icmp("256").is_err() && icmp("x").is_err());
    }
}
