//! From one list of lines to another, keeping as many as can stay.

use std::collections::{HashMap, VecDeque};

/// One step. Positions count from 1, in the list as it is when the step is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// Takes away the line at this position.
    Delete(usize),
    /// Puts a line at this position, before what is there.
    Insert(usize, &'a str),
    /// Puts a line behind the last one.
    Append(&'a str),
}

/// The steps that make `before` into `after`: first away, from the end; then in, from the front.
pub(super) fn steps<'a>(before: &[&str], after: &[&'a str]) -> Vec<Step<'a>> {
    let kept = kept(before, after);
    let mut stay = vec![false; before.len()];
    for (old, _) in &kept {
        if let Some(stay) = stay.get_mut(*old) {
            *stay = true;
        }
    }
    let mut steps: Vec<Step<'a>> = Vec::new();
    let gone = stay.iter().enumerate().rev().filter(|(_, stay)| !**stay);
    steps.extend(gone.map(|(at, _)| Step::Delete(at + 1)));
    let mut length = kept.len();
    let mut kept = kept.into_iter().map(|(_, new)| new).peekable();
    for (at, line) in after.iter().enumerate() {
        if kept.next_if_eq(&at).is_some() {
            continue;
        }
        steps.push(if at == length { Step::Append(line) } else { Step::Insert(at + 1, line) });
        length += 1;
    }
    steps
}

/// Positions of lines that are in both lists, ascending in both. Lines that are the same are
/// paired in their order; of the pairs, the longest ascending sequence stays.
fn kept(before: &[&str], after: &[&str]) -> Vec<(usize, usize)> {
    let mut places: HashMap<&str, VecDeque<usize>> = HashMap::new();
    for (at, line) in before.iter().enumerate() {
        places.entry(line).or_default().push_back(at);
    }
    let pairs: Vec<(usize, usize)> = after
        .iter()
        .enumerate()
        .filter_map(|(new, line)| Some((places.get_mut(line)?.pop_front()?, new)))
        .collect();
    ascending(&pairs)
}

/// The longest sequence of pairs, in their order, whose first numbers ascend.
fn ascending(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    // For each length, the pair that a sequence of that length ends with, the lowest there is.
    let mut ends: Vec<usize> = Vec::new();
    let mut previous: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    let old = |at: usize| pairs.get(at).map(|(old, _)| *old);
    for (at, (first, _)) in pairs.iter().enumerate() {
        let length = ends.partition_point(|end| old(*end).is_some_and(|old| old < *first));
        previous.push(length.checked_sub(1).and_then(|shorter| ends.get(shorter).copied()));
        match ends.get_mut(length) {
            Some(end) => *end = at,
            None => ends.push(at),
        }
    }
    let mut sequence: Vec<(usize, usize)> =
        std::iter::successors(ends.last().copied(), |at| previous.get(*at).copied().flatten())
            .filter_map(|at| pairs.get(at).copied())
            .collect();
    sequence.reverse();
    sequence
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn apply(before: &[&str], steps: &[Step<'_>]) -> Vec<String> {
        let mut lines: Vec<String> = before.iter().map(|line| (*line).to_owned()).collect();
        for step in steps {
            match step {
                Step::Delete(at) => {
                    lines.remove(at - 1);
                }
                Step::Insert(at, line) => lines.insert(at - 1, (*line).to_owned()),
                Step::Append(line) => lines.push((*line).to_owned()),
            }
        }
        lines
    }

    #[test]
    fn what_stays_is_not_touched() {
        let steps = steps(&["a", "b", "c", "d"], &["a", "x", "c", "d", "y"]);
        assert_eq!(steps, [Step::Delete(2), Step::Insert(2, "x"), Step::Append("y")]);
        assert!(super::steps(&["a", "b"], &["a", "b"]).is_empty());
    }

    proptest! {
        #[test]
        fn any_list_becomes_any_other(
            before in proptest::collection::vec("[a-d]", 0..8),
            after in proptest::collection::vec("[a-d]", 0..8),
        ) {
            let before: Vec<&str> = before.iter().map(String::as_str).collect();
            let after: Vec<&str> = after.iter().map(String::as_str).collect();
            let made = steps(&before, &after);
            prop_assert_eq!(apply(&before, &made), after.clone());
            // A list is never written anew where one line is more or less.
            if before.len() == after.len() + 1 && before.starts_with(&after) {
                prop_assert_eq!(made, [Step::Delete(before.len())]);
            }
        }
    }
}
