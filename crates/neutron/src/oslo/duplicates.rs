//! Which messages came before. A broker delivers again what it was not told to have arrived, and a
//! sender that is not sure sends again; both with the same id.

use std::collections::{HashSet, VecDeque};

/// How many ids are remembered. oslo.messaging remembers 16 for each consumer; but all that was
/// not acknowledged when a connection broke comes again, and that can be more.
const REMEMBERED: usize = 1024;

/// The ids of the last messages.
#[derive(Debug, Default)]
pub struct Duplicates {
    order: VecDeque<String>,
    ids: HashSet<String>,
}

impl Duplicates {
    /// Takes note of an id. Tells whether it came before.
    pub fn is_repeated(&mut self, id: &str) -> bool {
        if self.ids.contains(id) {
            return true;
        }
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        self.ids.insert(id.to_owned());
        self.order.push_back(id.to_owned());
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_is_known_for_as_long_as_it_is_remembered() {
        let mut duplicates = Duplicates::default();
        assert!(!duplicates.is_repeated("first"));
        assert!(duplicates.is_repeated("first"));
        for n in 1..REMEMBERED {
            assert!(!duplicates.is_repeated(&n.to_string()));
        }
        assert!(duplicates.is_repeated("first"), "as many are remembered");
        assert!(!duplicates.is_repeated("one more"));
        assert!(!duplicates.is_repeated("first"), "one more is not");
        assert_eq!((duplicates.order.len(), duplicates.ids.len()), (REMEMBERED, REMEMBERED));
    }
}
