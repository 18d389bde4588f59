//! What many measurements of one thing come to.

/// The middle one, the lower of two; the default where there is none.
pub(super) fn median<T: Copy + Default + PartialOrd>(values: impl IntoIterator<Item = T>) -> T {
    quantile(values, 50)
}

/// The value that `percent` of a hundred do not exceed; the default where there is none.
pub(super) fn quantile<T: Copy + Default + PartialOrd>(
    values: impl IntoIterator<Item = T>,
    percent: usize,
) -> T {
    let mut sorted: Vec<T> = values.into_iter().collect();
    sorted.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks() {
        assert_eq!(median([0.9, 0.5, 0.7]), 0.7);
        assert_eq!(median([4, 1]), 1);
        assert_eq!(median::<u64>([]), 0);
        assert_eq!(quantile(1..=200, 99), 198);
        assert_eq!(quantile(1..=10, 99), 10);
        assert_eq!(quantile([7], 99), 7);
    }
}
