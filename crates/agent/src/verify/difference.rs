//! A wrong verdict in words, and the flow that it comes from.

use dataplane::bridge::layout;
use openflow::interpreter::{Run, Step};

use super::expect::Expected;
use super::{Commit, Difference, table};
use crate::probe::Verdict;

/// Where the run through the installed flows leaves the way that it should take. Who, what and
/// which verdict is for the caller to say.
pub(super) fn between(run: &Run<'_>, should_be: &Run<'_>) -> Difference {
    let (step, other) = parting(run, should_be);
    let flow = |step: Option<&Step<'_>>| step?.flow.map(layout::with_names);
    Difference {
        table: step.or(other).map_or_else(String::new, |step| table(step.table)),
        flow: flow(step),
        should_be: flow(other),
        ..Difference::default()
    }
}

/// Where two runs part: the first lookups that found different flows. Where they never do, the
/// flows are as they should be and decide wrongly; then it is the last lookup that decided.
fn parting<'a>(
    run: &'a Run<'a>,
    should_be: &'a Run<'a>,
) -> (Option<&'a Step<'a>>, Option<&'a Step<'a>>) {
    let does = |step: &Step<'_>| step.flow.map(|flow| (flow.key(), flow.actions.clone()));
    let mut others = should_be.steps.iter();
    for step in &run.steps {
        let other = others.next();
        if other.is_none_or(|other| (step.table, does(step)) != (other.table, does(other))) {
            return (Some(step), other.filter(|other| other.table == step.table));
        }
    }
    match others.next() {
        Some(other) => (None, Some(other)),
        None => {
            let decided = run.steps.iter().rfind(|step| step.table != layout::DROPPED);
            (decided, decided)
        }
    }
}

/// What should become of the packet.
pub(super) fn expected(expected: Expected) -> String {
    match expected {
        Expected::ByRule(rule) => format!("accepted by rule {rule}"),
        Expected::WithoutRule => "accepted without a rule".to_owned(),
        Expected::Unruled => "refused: no rule admits it".to_owned(),
        Expected::Refused => "refused".to_owned(),
    }
}

/// What becomes of it.
pub(super) fn found(verdict: Verdict) -> String {
    match verdict {
        Verdict::Accepted => "accepted".to_owned(),
        Verdict::Refused(Some(reason)) => format!("refused: {}", reason.text()),
        Verdict::Refused(None) => "lost: no flow takes it further".to_owned(),
    }
}

/// What is written to its connection, as it stands behind the verdict.
pub(super) fn commits(commits: &[Commit]) -> String {
    let words = commits.iter().map(|(zone, mark)| match mark {
        None => format!("; its connection is committed in zone {zone}"),
        Some(mark) => format!("; its connection gets mark {mark} in zone {zone}"),
    });
    let words: String = words.collect();
    if words.is_empty() { "; its connection is left as it is".to_owned() } else { words }
}
