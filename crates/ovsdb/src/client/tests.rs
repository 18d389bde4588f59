//! Events that nobody has read yet are merged.

use super::*;

/// The events that come of these changes of the state, read all at the end.
fn events(changes: &[fn(&mut State)]) -> Vec<Event> {
    let (publisher, state) = watch::channel(State::default());
    let mut events = Events { state, seen: Counts::default() };
    for change in changes {
        publisher.send_modify(change);
    }
    std::iter::from_fn(|| events.unseen()).collect()
}

fn connect(state: &mut State) {
    state.connected = true;
    state.counts.connections += 1;
}

fn lose(state: &mut State) {
    state.connected = false;
    state.reason = format!("loss {}", state.counts.losses);
    state.counts.losses += 1;
}

fn change(state: &mut State) {
    state.counts.changes += 1;
}

fn lost(reason: &str) -> Event {
    Event::Disconnected { reason: reason.to_owned(), retry_in: Duration::ZERO }
}

#[test]
fn nothing_happened_at_first() {
    assert_eq!(events(&[]), []);
}

#[test]
fn many_changes_are_one_event() {
    assert_eq!(events(&[connect, change, change, change]), [Event::Connected, Event::Changed]);
}

#[test]
fn the_last_word_is_how_the_connection_stands() {
    assert_eq!(events(&[lose, lose, lose]), [lost("loss 2")]);
    assert_eq!(events(&[lose, connect]), [lost("loss 0"), Event::Connected]);
    assert_eq!(events(&[connect, lose]), [Event::Connected, lost("loss 0")]);
    assert_eq!(events(&[connect, lose, connect]), [lost("loss 0"), Event::Connected]);
    assert_eq!(events(&[connect, lose, connect, lose]), [Event::Connected, lost("loss 1")]);
}
