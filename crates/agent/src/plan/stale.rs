//! Which flows may go although what should come in their place has been refused. Pure.
//!
//! A permission that was taken away must not outlive that because of another one that the switch
//! does not take. But a flow whose packets are still wanted, only in other words (two ranges that
//! became one, a prefix that became a longer one), stays until the new words are there.

use dataplane::FlowSet;
use dataplane::bridge::layout::{Kind, Owner};
use openflow::{Field, Flow, Match};

/// The fields that rules cut into several matches.
const PORTS: [Field; 3] = [Field::TCP_DST, Field::UDP_DST, Field::SCTP_DST];

/// Whether what this flow does is not wanted any more. Of other kinds than policies and ports that
/// is never said: their flows refuse as well as admit.
pub(super) fn is_stale(flow: &Flow, desired: &FlowSet) -> bool {
    let owner = Owner::of(flow.cookie);
    if !owner.is_some_and(|owner| matches!(owner.kind, Kind::Policy | Kind::Port)) {
        return false;
    }
    let does_the_same = |other: &&Flow| {
        (other.table, other.cookie, &other.actions) == (flow.table, flow.cookie, &flow.actions)
    };
    let others: Vec<&Match> = desired
        .iter()
        .map(AsRef::as_ref)
        .filter(does_the_same)
        .map(|other| &other.matches)
        .collect();
    !is_covered(&flow.matches, &others)
}

/// Whether the others match every packet that this matches.
fn is_covered(one: &Match, others: &[&Match]) -> bool {
    if others.iter().any(|other| covers(other, one, None)) {
        return true;
    }
    let Some((field, value, mask)) = PORTS
        .into_iter()
        .find_map(|field| one.get(field).map(|(value, mask)| (field, value, mask)))
    else {
        return false;
    };
    let here = others.iter().filter(|other| covers(other, one, Some(field)));
    let ports: Vec<(u128, u128)> = here.map(|other| other.get(field).unwrap_or((0, 0))).collect();
    are_covered((value, mask), &ports)
}

/// Whether these matches of ports together match all ports that the first one does.
fn are_covered((value, mask): (u128, u128), others: &[(u128, u128)]) -> bool {
    let meets = |(v, m): &&(u128, u128)| (v ^ value) & m & mask == 0;
    let others: Vec<(u128, u128)> = others.iter().filter(meets).copied().collect();
    if others.iter().any(|(_, m)| m & mask == *m) {
        return true;
    }
    let free = !mask & 0xffff;
    if others.is_empty() || free == 0 {
        return false;
    }
    // One more bit that counts, set and not set.
    let bit = 1 << (127 - free.leading_zeros());
    [value, value | bit].into_iter().all(|value| are_covered((value, mask | bit), &others))
}

/// Whether `wide` matches every packet that `narrow` matches, one field left aside.
fn covers(wide: &Match, narrow: &Match, aside: Option<Field>) -> bool {
    wide.foreign() == narrow.foreign()
        && wide.iter().filter(|term| Some(term.field) != aside).all(|term| {
            let found = narrow.get(term.field);
            found.is_some_and(|(value, mask)| {
                mask & term.mask == term.mask && value & term.mask == term.value
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOKIE: &str = "cookie=0x3e17030000000005, table=182, priority=50";

    fn flow(matches: &str) -> Flow {
        format!("{COOKIE},{matches} actions=goto_table:185").parse().unwrap()
    }

    fn stays(matches: &str, desired: &[&str]) -> bool {
        let desired = desired.iter().map(|matches| flow(matches)).collect();
        !is_stale(&flow(matches), &desired)
    }

    #[test]
    fn what_is_wanted_in_other_words_stays() {
        for (one, desired) in [
            ("tcp,reg7=5,tp_dst=80", &["tcp,reg7=5,tp_dst=80/0xfffe"][..]),
            ("tcp,reg7=5,tp_dst=80/0xfffe", &["tcp,reg7=5,tp_dst=80", "tcp,reg7=5,tp_dst=81"]),
            ("tcp,reg7=5,tp_dst=80/0xfffe", &["tcp,reg7=5"]),
            ("tcp,reg7=5,tp_dst=80", &["ip,reg7=5"]),
            ("tcp,reg7=5,nw_src=10.1.0.0/16,tp_dst=80", &["tcp,reg7=5,nw_src=10.0.0.0/8"]),
            (
                "tcp,reg7=5,tp_dst=0/0xfff0",
                &["tcp,reg7=5,tp_dst=0/0xfff8", "tcp,reg7=5,tp_dst=8/0xfff8"],
            ),
            // Odd and even.
            ("tcp,reg7=5", &["tcp,reg7=5,tp_dst=0/0x1", "tcp,reg7=5,tp_dst=1/0x1", "tcp,reg7=5"]),
        ] {
            assert!(stays(one, desired), "{one}");
        }
    }

    #[test]
    fn what_is_not_wanted_is_stale() {
        for (one, desired) in [
            ("tcp,reg7=5,tp_dst=80", &[][..]),
            ("tcp,reg7=5,tp_dst=80", &["tcp,reg7=5,tp_dst=81"]),
            ("tcp,reg7=5,tp_dst=80/0xfffe", &["tcp,reg7=5,tp_dst=80"]),
            ("tcp,reg7=5,tp_dst=80", &["udp,reg7=5,tp_dst=80", "tcp,reg7=6"]),
            ("tcp,reg7=5,nw_src=10.0.0.0/8", &["tcp,reg7=5,nw_src=10.1.0.0/16"]),
            ("tcp,reg7=5", &["tcp,reg7=5,tp_dst=80"]),
        ] {
            assert!(!stays(one, desired), "{one}");
        }
    }

    #[test]
    fn flows_that_do_something_else_do_not_count_and_others_than_permissions_stay() {
        let other = "cookie=0x3e17030000000005, table=172, priority=50,tcp actions=goto_table:173";
        let desired: FlowSet = [other.parse::<Flow>().unwrap()].into_iter().collect();
        assert!(is_stale(&flow("tcp,reg7=5"), &desired));
        let base = "cookie=0x3e17010000000000, table=193, priority=100,reg9=0x1 actions=drop";
        assert!(!is_stale(&base.parse().unwrap(), &FlowSet::new()));
    }
}
