//! The numbers that an operator gives to networks whose creator does not say, as a set.

/// A set of numbers: runs from low to high, in order, with something missing between any two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ranges(Vec<(u32, u32)>);

impl Ranges {
    /// The numbers of all these runs, which may overlap.
    pub(super) fn new(runs: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let mut sorted: Vec<_> = runs.into_iter().filter(|(low, high)| low <= high).collect();
        sorted.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::new();
        for (low, high) in sorted {
            match merged.last_mut() {
                Some((_, last)) if low <= last.saturating_add(1) => *last = high.max(*last),
                _ => merged.push((low, high)),
            }
        }
        Self(merged)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, number: u32) -> bool {
        self.0.iter().any(|(low, high)| (*low..=*high).contains(&number))
    }

    /// All runs, in the order in which numbers are given: what is above `last`, then from the
    /// start again.
    pub(super) fn after(&self, last: u32) -> Vec<(u32, u32)> {
        let first = last.checked_add(1);
        let above = self.0.iter().filter_map(|(low, high)| {
            let low = first?.max(*low);
            (low <= *high).then_some((low, *high))
        });
        let below = self.0.iter().filter_map(|(low, high)| {
            let high = last.min(*high);
            (*low <= high).then_some((*low, high))
        });
        above.chain(below).collect()
    }

    /// The runs that are left when these numbers, which are in order, are taken.
    pub(super) fn without(&self, taken: &[u32]) -> Vec<(u32, u32)> {
        let mut free = Vec::new();
        for (low, high) in &self.0 {
            let mut next = Some(*low);
            for number in taken.iter().filter(|number| (*low..=*high).contains(number)) {
                if let Some(first) = next.filter(|first| first < number) {
                    free.push((first, number - 1));
                }
                next = number.checked_add(1);
            }
            if let Some(first) = next.filter(|first| first <= high) {
                free.push((first, *high));
            }
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u32 = u32::MAX;

    #[test]
    fn runs_are_merged() {
        for (runs, merged) in [
            (vec![], vec![]),
            (vec![(5, 9), (1, 4)], vec![(1, 9)]),
            (vec![(1, 9), (3, 4), (11, 12)], vec![(1, 9), (11, 12)]),
            (vec![(9, 8)], vec![]),
            (vec![(1, MAX), (MAX, MAX)], vec![(1, MAX)]),
        ] {
            assert_eq!(Ranges::new(runs).0, merged);
        }
        let ranges = Ranges::new([(3, 4), (7, MAX)]);
        assert_eq!(
            [2, 3, 5, MAX].map(|number| ranges.contains(number)),
            [false, true, false, true]
        );
    }

    #[test]
    fn numbers_go_round() {
        let ranges = Ranges::new([(1, 4), (7, MAX)]);
        for (last, order) in [
            (0, vec![(1, 4), (7, MAX)]),
            (2, vec![(3, 4), (7, MAX), (1, 2)]),
            (4, vec![(7, MAX), (1, 4)]),
            (5, vec![(7, MAX), (1, 4)]),
            (8, vec![(9, MAX), (1, 4), (7, 8)]),
            (MAX, vec![(1, 4), (7, MAX)]),
        ] {
            assert_eq!(ranges.after(last), order, "{last}");
        }
    }

    #[test]
    fn what_is_free() {
        let ranges = Ranges::new([(1, 4), (7, MAX)]);
        for (taken, free) in [
            (vec![], vec![(1, 4), (7, MAX)]),
            (vec![1, 2, 3, 4], vec![(7, MAX)]),
            (vec![2, 6, 7, 9], vec![(1, 1), (3, 4), (8, 8), (10, MAX)]),
            (vec![4, MAX], vec![(1, 3), (7, MAX - 1)]),
        ] {
            assert_eq!(ranges.without(&taken), free, "{taken:?}");
        }
        assert_eq!(Ranges::new([(MAX, MAX)]).without(&[MAX]), []);
    }
}
