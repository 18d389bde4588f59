//! `weir verify`: whether the flows of this machine's switch, and the chains of netfilter, do what the
//! security groups say.

use std::process::ExitCode;

use agent::verify::{Difference, Filtered, Report, TraceDifference, Traced};

use crate::{
    output::{Format, pairs},
    state_dir::StateDir,
};

/// Something differs.
const DIFFERS: u8 = 4;

/// Whom to ask, and how to print.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "One packet of every kind that the rules tell apart is sent, in thought, through \
                  the flows that the switch holds now: from and to every port, new, established, \
                  reply, related and invalid. Some of them the switch is asked to trace, too. Where \
                  netfilter filters ports, the same is asked of its chains. No traffic is \
                  disturbed.\n\n\
                  Exit status: 0 if every verdict is right, 4 if one is not or netfilter cannot be \
                  read, 1 if the agent cannot be asked."
)]
pub(crate) struct Options {
    #[command(flatten)]
    state_dir: StateDir,
    #[command(flatten)]
    format: Format,
}

/// Prints what was found. The exit code tells whether every verdict is right.
///
/// # Errors
/// When the agent cannot be asked.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let report = agent::admin::verify(&options.state_dir.admin_socket()).await?;
    options.format.print(&report, text)?;
    Ok(if report.is_right() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERS) })
}

fn text(report: &Report) -> String {
    let Report { checked, of, differ, differences, flows, ports, policies, .. } = report;
    let Report { ports_checked, policies_checked, .. } = report;
    let sample = if checked < of { format!(" of {of}") } else { String::new() };
    let mut text = format!(
        "{checked}{sample} verdicts checked, {differ} differ ({}, {}, {flows} flows)\n",
        share(ports_checked, ports, "ports"),
        share(policies_checked, policies, "policies"),
    );
    let Traced { traced, differ: traced_differ, differences: traces, trouble } = &report.switch;
    text += &format!("{traced} of the packets traced by the switch, {traced_differ} differ\n");
    if let Some(trouble) = trouble {
        text += &format!("the switch does not trace: {trouble}\n");
    }
    text += &report.netfilter.as_ref().map(summary).unwrap_or_default();
    text += &all_of(differences, *differ, ["in table", "flow"]);
    for difference in traces {
        text = text + "\n" + &pairs(trace_rows(difference));
    }
    if let Some(Filtered { differences, differ, .. }) = &report.netfilter {
        text += &all_of(differences, *differ, ["in chain", "rule"]);
    }
    text
}

/// What netfilter does, in a line.
fn summary(filtered: &Filtered) -> String {
    let Filtered { checked, of, differ, rules, trouble, .. } = filtered;
    let Filtered { ports, ports_checked, policies, policies_checked, .. } = filtered;
    if let Some(trouble) = trouble {
        return format!("{ports} ports that netfilter is to filter are not checked: {trouble}\n");
    }
    let sample = if checked < of { format!(" of {of}") } else { String::new() };
    format!(
        "{checked}{sample} verdicts of netfilter checked, {differ} differ ({}, {}, {rules} rules)\n",
        share(ports_checked, ports, "ports"),
        share(policies_checked, policies, "policies"),
    )
}

fn share(checked: &usize, all: &usize, what: &str) -> String {
    match checked < all {
        true => format!("{checked} of {all} {what}"),
        false => format!("{all} {what}"),
    }
}

/// The differences that are told, and how many there are besides.
fn all_of(differences: &[Difference], differ: u64, names: [&str; 2]) -> String {
    let mut text = String::new();
    for difference in differences {
        text = text + "\n" + &pairs(rows(difference, names));
    }
    let told = u64::try_from(differences.len()).unwrap_or(u64::MAX);
    if told < differ {
        text += &format!("\nand {} more\n", differ - told);
    }
    text
}

/// Where the switch finds other flows than the interpreter, on which all verdicts rest.
fn trace_rows(difference: &TraceDifference) -> Vec<[String; 2]> {
    let TraceDifference { packet, state, interpreter, switch } = difference;
    let row = |name: &str, value: &str| [name.to_owned(), value.to_owned()];
    let mut rows = vec![row("packet", packet), row("state", state)];
    let alike = interpreter.iter().zip(switch).take_while(|(ours, theirs)| ours == theirs).count();
    let next = |steps: &[String]| steps.get(alike).map_or("nothing", String::as_str).to_owned();
    rows.push(row("weir expects", &next(interpreter)));
    rows.push(row("the switch", &next(switch)));
    rows
}

/// `place` is what the table, or the chain, is called, and `what` what decides there.
fn rows(difference: &Difference, [place, what]: [&str; 2]) -> Vec<[String; 2]> {
    let Difference { port, direction, packet, state, expected, found, table, flow, should_be } =
        difference;
    let no_flow = || "none".to_owned();
    let row = |name: &str, value: &str| [name.to_owned(), value.to_owned()];
    vec![
        row("port", &format!("{port}, {direction}")),
        row("packet", packet),
        row("state", state),
        row("should be", expected),
        row("is", found),
        row(place, table),
        row(what, &flow.clone().unwrap_or_else(no_flow)),
        row("should be", &should_be.clone().unwrap_or_else(no_flow)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netfilter_for_people() {
        let mut filtered = Filtered {
            checked: 12,
            of: 12,
            differ: 1,
            rules: 90,
            ports: 2,
            ports_checked: 2,
            policies: 2,
            policies_checked: 2,
            ..Filtered::default()
        };
        filtered.differences.push(Difference {
            port: "p1".to_owned(),
            direction: "ingress".to_owned(),
            packet: "tcp,tp_dst=23".to_owned(),
            state: "new".to_owned(),
            expected: "refused: no rule admits it".to_owned(),
            found: "accepted".to_owned(),
            table: "filter neutron-openvswi-gi-1".to_owned(),
            flow: Some("-p tcp -j RETURN".to_owned()),
            should_be: Some("-j neutron-openvswi-sg-fallback".to_owned()),
        });
        let netfilter = Some(filtered);
        expect_test::expect![[r#"
            0 verdicts checked, 0 differ (0 ports, 0 policies, 0 flows)
            0 of the packets traced by the switch, 0 differ
            12 verdicts of netfilter checked, 1 differ (2 ports, 2 policies, 90 rules)

            port       p1, ingress
            packet     tcp,tp_dst=23
            state      new
            should be  refused: no rule admits it
            is         accepted
            in chain   filter neutron-openvswi-gi-1
            rule       -p tcp -j RETURN
            should be  -j neutron-openvswi-sg-fallback
        "#]]
        .assert_eq(&text(&Report { netfilter, ..Report::default() }));
        let trouble = Some("it sees nothing".to_owned());
        let netfilter = Some(Filtered { ports: 2, trouble, ..Filtered::default() });
        let report = Report { netfilter, ..Report::default() };
        assert!(!report.is_right());
        let line = "2 ports that netfilter is to filter are not checked: it sees nothing\n";
        assert!(text(&report).ends_with(line));
    }

    #[test]
    fn for_people() {
        let mut report = Report {
            checked: 210,
            of: 210,
            flows: 90,
            ports: 2,
            ports_checked: 2,
            policies: 4,
            policies_checked: 4,
            ..Report::default()
        };
        report.switch.traced = 64;
        let printed = "210 verdicts checked, 0 differ (2 ports, 4 policies, 90 flows)\n\
                       64 of the packets traced by the switch, 0 differ\n";
        assert_eq!(text(&report), printed);
        report.switch = Traced {
            traced: 3,
            differ: 1,
            differences: vec![TraceDifference {
                packet: "tcp".to_owned(),
                state: "new".to_owned(),
                interpreter: vec!["0".to_owned(), "160: priority 1".to_owned()],
                switch: vec!["0".to_owned()],
            }],
            trouble: Some("/run/x.ctl: ovs-vswitchd does not answer".to_owned()),
        };
        report.of = 400;
        report.policies_checked = 3;
        report.differ = 3;
        report.differences.push(Difference {
            port: "p1".to_owned(),
            direction: "ingress".to_owned(),
            packet: "tcp,tp_dst=80".to_owned(),
            state: "new".to_owned(),
            expected: "accepted by rule r1".to_owned(),
            found: "refused: no ingress rule allows it".to_owned(),
            table: "182 RULES_INGRESS".to_owned(),
            flow: None,
            should_be: Some("table=RULES_INGRESS".to_owned()),
        });
        expect_test::expect![[r#"
            210 of 400 verdicts checked, 3 differ (2 ports, 3 of 4 policies, 90 flows)
            3 of the packets traced by the switch, 1 differ
            the switch does not trace: /run/x.ctl: ovs-vswitchd does not answer

            port       p1, ingress
            packet     tcp,tp_dst=80
            state      new
            should be  accepted by rule r1
            is         refused: no ingress rule allows it
            in table   182 RULES_INGRESS
            flow       none
            should be  table=RULES_INGRESS

            and 2 more

            packet        tcp
            state         new
            weir expects  160: priority 1
            the switch    nothing
        "#]]
        .assert_eq(&text(&report));
    }
}
