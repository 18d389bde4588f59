//! How often netfilter is looked at, where nobody tells what others change there. Pure: it is told the
//! time.

use std::time::Duration;

use tokio::time::Instant;

/// The next look comes after so long at least, and after so many times as long as the last one took.
const FIRST: Duration = Duration::from_secs(1);
/// Where everything has to be read each time, a hundredth of a processor is spent on it.
const BLIND: u32 = 100;
/// Where that is so only after changes by others, they are not left for long.
const TOLD: u32 = 20;
/// But no later than this.
const LAST: Duration = Duration::from_secs(30);

/// When to look again.
#[derive(Debug)]
pub(crate) struct Pace {
    /// When the look began that is under way or was the last.
    began: Instant,
    wait: Duration,
    next: Instant,
}

impl Pace {
    /// Nobody has looked yet; whoever needs it does.
    pub(crate) fn new(now: Instant) -> Self {
        Self { began: now, wait: FIRST, next: now + FIRST }
    }

    /// A look begins.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.began = now;
        self.put_off(now);
    }

    /// It has come to its end. From now on changes by others are told, or are not.
    pub(crate) fn end(&mut self, now: Instant, are_told: bool) {
        let took = now.saturating_duration_since(self.began);
        let share = if are_told { TOLD } else { BLIND };
        self.wait = took.saturating_mul(share).clamp(FIRST, LAST);
        self.put_off(now);
    }

    /// What there is is known at this moment, or is being found out.
    pub(crate) fn put_off(&mut self, now: Instant) {
        self.next = now + self.wait;
    }

    /// When to look again.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_long_is_done_less_often() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        for (took, are_told, wait) in [
            (3, false, 1000),
            (50, false, 5000),
            (50, true, 1000),
            (300, true, 6000),
            (2000, false, 30_000),
            (5, true, 1000),
        ] {
            let at = pace.next();
            pace.begin(at);
            assert!(pace.next() > at, "one look at a time");
            let end = at + Duration::from_millis(took);
            pace.end(end, are_told);
            assert_eq!(pace.next() - end, Duration::from_millis(wait), "{took}");
        }
    }
}
