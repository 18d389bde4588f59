//! Sets of numbers, held as ranges. Knows nothing of what the numbers mean.

/// The numbers from `low` to `high`, both included; never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Range {
    pub(crate) low: u32,
    pub(crate) high: u32,
}

/// A set of numbers: sorted ranges that neither overlap nor touch, so equal sets are equal values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RangeSet(Vec<Range>);

impl FromIterator<Range> for RangeSet {
    fn from_iter<I: IntoIterator<Item = Range>>(ranges: I) -> Self {
        let mut ranges: Vec<Range> = ranges.into_iter().collect();
        // Often two sorted runs (a union): the stable sort merges those in linear time.
        ranges.sort();
        ranges.dedup_by(|next, last| {
            let joins = next.low <= last.high.saturating_add(1);
            if joins {
                last.high = last.high.max(next.high);
            }
            joins
        });
        Self(ranges)
    }
}

impl RangeSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Range> {
        self.0.iter().copied()
    }

    /// Whether every number of the range is in the set.
    pub(crate) fn holds(&self, range: Range) -> bool {
        self.from(range.low).next().is_some_and(|r| r.low <= range.low && range.high <= r.high)
    }

    /// The numbers that are in the range too.
    pub(crate) fn within(&self, range: Range) -> impl Iterator<Item = Range> {
        self.from(range.low)
            .take_while(move |r| r.low <= range.high)
            .map(move |r| Range { low: r.low.max(range.low), high: r.high.min(range.high) })
    }

    /// From the first to the last number of the set that is in the range.
    pub(crate) fn span(&self, range: Range) -> Option<Range> {
        let first = self.from(range.low).next().filter(|first| first.low <= range.high)?;
        let behind = self.0.partition_point(|r| r.low <= range.high);
        let last = self.0.get(behind.checked_sub(1)?)?;
        Some(Range { low: first.low.max(range.low), high: last.high.min(range.high) })
    }

    /// The numbers of either.
    pub(crate) fn union(&self, other: &Self) -> Self {
        self.iter().chain(other.iter()).collect()
    }

    /// The numbers that are not in `other`.
    pub(crate) fn minus(&self, other: &Self) -> Self {
        let mut left = Vec::with_capacity(self.0.len());
        for range in self.iter() {
            let mut low = Some(range.low);
            for hole in other.within(range) {
                if let Some(low) = low.filter(|low| *low < hole.low) {
                    left.push(Range { low, high: hole.low - 1 });
                }
                low = hole.high.checked_add(1).filter(|next| *next <= range.high);
            }
            left.extend(low.map(|low| Range { low, high: range.high }));
        }
        Self(left)
    }

    /// The ranges that end at the number or later.
    fn from(&self, low: u32) -> impl Iterator<Item = Range> {
        let first = self.0.partition_point(|range| range.high < low);
        self.0.iter().skip(first).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn ranges() -> impl Strategy<Value = Vec<Range>> {
        let range = (0..40_u32, 0..8_u32).prop_map(|(low, more)| Range { low, high: low + more });
        proptest::collection::vec(range, 0..8)
    }

    fn numbers(ranges: impl IntoIterator<Item = Range>) -> BTreeSet<u32> {
        ranges.into_iter().flat_map(|range| range.low..=range.high).collect()
    }

    fn set(ranges: &[Range]) -> RangeSet {
        ranges.iter().copied().collect()
    }

    #[test]
    fn neighbours_are_merged_up_to_the_end() {
        let set = set(&[
            Range { low: u32::MAX, high: u32::MAX },
            Range { low: 5, high: u32::MAX - 1 },
            Range { low: 0, high: 3 },
        ]);
        assert!(set.iter().eq([Range { low: 0, high: 3 }, Range { low: 5, high: u32::MAX }]));
    }

    proptest! {
        #[test]
        fn sets_of_ranges_are_sets_of_numbers(one in ranges(), other in ranges()) {
            let (a, b) = (set(&one), set(&other));
            let (x, y) = (numbers(one), numbers(other));
            prop_assert_eq!(numbers(a.iter()), x.clone());
            prop_assert_eq!(numbers(a.union(&b).iter()), x.union(&y).copied().collect());
            prop_assert_eq!(numbers(a.minus(&b).iter()), x.difference(&y).copied().collect());
            for range in b.iter() {
                let inside = numbers([range]);
                prop_assert_eq!(a.holds(range), inside.is_subset(&x));
                let both: Vec<u32> = x.intersection(&inside).copied().collect();
                let ends = both.first().zip(both.last());
                let ends = ends.map(|(low, high)| Range { low: *low, high: *high });
                prop_assert_eq!(a.span(range), ends);
                prop_assert_eq!(
                    numbers(a.within(range)),
                    x.intersection(&inside).copied().collect()
                );
            }
            // One form: what was taken out and put back is the same value.
            prop_assert_eq!(a.minus(&b).union(&a), a);
        }
    }
}
