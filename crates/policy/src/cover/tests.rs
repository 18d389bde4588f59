use proptest::prelude::*;

use super::*;

fn set(bits: u32) -> RangeSet {
    (0..32).filter(|n| bits >> n & 1 == 1).map(|n| Range { low: n, high: n }).collect()
}

/// The numbers of `width` bits that a pair holds, as bits.
fn held(pair: Masked, width: u32) -> u32 {
    (0..1 << width).filter(|n| n & pair.mask == pair.value).map(|n| 1 << n).sum()
}

/// All prefixes of `width` bits, as the numbers that they hold.
fn prefixes(width: u32) -> Vec<u32> {
    (0..=width)
        .flat_map(|free| (0..1_u32 << (width - free)).map(move |n| (free, n)))
        .map(|(free, n)| {
            let mask = ones(width) & !ones(free);
            held(Masked { value: n << free, mask }, width)
        })
        .collect()
}

/// How many of the candidates are needed at least to reach each union of them.
fn fewest(candidates: &[u32], width: u32) -> Vec<Option<usize>> {
    let mut fewest = vec![None; 1 << (1 << width)];
    fewest[0] = Some(0);
    let mut edge = vec![0_u32];
    for steps in 1.. {
        let mut next = Vec::new();
        for reached in edge {
            for candidate in candidates {
                let union = reached | candidate;
                let place = &mut fewest[usize::try_from(union).unwrap()];
                if place.is_none() {
                    *place = Some(steps);
                    next.push(union);
                }
            }
        }
        if next.is_empty() {
            break;
        }
        edge = next;
    }
    fewest
}

/// Every pair of sets of numbers of three bits, against a search through all covers.
#[test]
fn no_prefix_cover_is_smaller() {
    for allowed in 0..=0xff_u32 {
        let inside: Vec<u32> =
            prefixes(3).into_iter().filter(|held| held & !allowed == 0).collect();
        let fewest = fewest(&inside, 3);
        for required in (0..=0xff).filter(|required| required & !allowed == 0) {
            let pairs = cover(&set(required), &set(allowed), 0, 3);
            let union = pairs.iter().fold(0, |all, pair| all | held(*pair, 3));
            assert_eq!(required & !union, 0, "all that is required");
            assert_eq!(union & !allowed, 0, "nothing that is not allowed");
            let best = (0_u32..).zip(&fewest).filter(|(union, _)| required & !union == 0);
            let best = best.filter_map(|(_, steps)| *steps).min().unwrap();
            assert_eq!(pairs.len(), best, "{required:#b} in {allowed:#b}");
        }
    }
}

/// Every set of numbers of four bits.
#[test]
fn no_exact_prefix_cover_is_smaller() {
    let fewest = fewest(&prefixes(4), 4);
    for (required, fewest) in (0_u32..).zip(&fewest) {
        let pairs = cover(&set(required), &set(required), 0, 4);
        assert_eq!(Some(pairs.len()), *fewest, "{required:#b}");
    }
}

#[test]
fn the_widest_range_is_thirty_prefixes() {
    let range: RangeSet = [Range { low: 1, high: 0xfffe }].into_iter().collect();
    assert_eq!(cover(&range, &range, 0, 16).len(), 30);
    let all: RangeSet = [Range { low: 0, high: 0xffff }].into_iter().collect();
    assert_eq!(cover(&all, &all, 0, 16), [Masked { value: 0, mask: 0 }]);
    assert_eq!(cover(&range, &all, 0, 16), [Masked { value: 0, mask: 0 }]);
}

proptest! {
    #[test]
    fn covers_exactly(edges in proptest::collection::vec(any::<u16>(), 2..40), port: u16) {
        let ranges: RangeSet = edges
            .chunks_exact(2)
            .map(|pair| (u32::from(pair[0]), u32::from(pair[1])))
            .map(|(one, other)| Range { low: one.min(other), high: one.max(other) })
            .collect();
        let port = u32::from(port);
        let pairs = cover(&ranges, &ranges, 0, 16);
        let held = pairs.iter().any(|pair| port & pair.mask == pair.value);
        prop_assert_eq!(held, ranges.holds(Range { low: port, high: port }));
    }
}
