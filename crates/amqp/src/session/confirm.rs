//! What was published and not yet confirmed.

use std::collections::BTreeMap;

use crate::{Confirmation, Error, Refusal, method::Method, session::Reply};

/// A message in the form in which it goes out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) properties: Vec<u8>,
    pub(crate) body: Vec<u8>,
    /// It is sent back if it reaches no queue.
    pub(crate) mandatory: bool,
}

/// The messages that were published on a channel and not confirmed.
#[derive(Debug, Default)]
pub(super) struct Confirms {
    /// The number of the last one; the first has 1.
    last: u64,
    pending: BTreeMap<u64, Pending>,
}

#[derive(Debug)]
struct Pending {
    reply: Reply<Confirmation>,
    /// What a mandatory message is known by when it is sent back.
    mandatory: Option<(Method, Vec<u8>)>,
    returned: Option<Refusal>,
}

impl Confirms {
    pub(super) fn published(&mut self, message: Outgoing, reply: Reply<Confirmation>) {
        self.last += 1;
        let mandatory = message.mandatory.then_some((message.method, message.body));
        self.pending.insert(self.last, Pending { reply, mandatory, returned: None });
    }

    /// A mandatory message came back. The broker does not say which, and confirms it later, with
    /// others perhaps; but those that are alike may stand for each other.
    pub(super) fn returned(
        &mut self,
        exchange: &str,
        routing_key: &str,
        body: &[u8],
        refusal: Refusal,
    ) {
        let same = |pending: &&mut Pending| {
            let Some((Method::BasicPublish { exchange: to, routing_key: key, .. }, sent)) =
                &pending.mandatory
            else {
                return false;
            };
            pending.returned.is_none()
                && to.as_str() == exchange
                && key.as_str() == routing_key
                && sent == body
        };
        if let Some(pending) = self.pending.values_mut().find(same) {
            pending.returned = Some(refusal);
        }
    }

    /// The broker has the message of that number, or `multiple`: it and all before; zero: all.
    pub(super) fn acked(&mut self, number: u64, multiple: bool) {
        for pending in self.settle(number, multiple) {
            let outcome = pending.returned.map_or(Confirmation::Acked, Confirmation::Returned);
            // Who published may have gone.
            let _gone = pending.reply.send(Ok(outcome));
        }
    }

    /// The broker has not been able to take them.
    pub(super) fn nacked(&mut self, number: u64, multiple: bool) {
        for pending in self.settle(number, multiple) {
            let _gone = pending.reply.send(Ok(Confirmation::Nacked));
        }
    }

    /// Nobody will be told any more.
    pub(super) fn end(self, error: &Error) {
        for pending in self.pending.into_values() {
            let _gone = pending.reply.send(Err(error.clone()));
        }
    }

    fn settle(&mut self, number: u64, multiple: bool) -> impl Iterator<Item = Pending> + use<> {
        let settled = if multiple {
            let up_to = if number == 0 { u64::MAX } else { number };
            let after = up_to.checked_add(1).map(|next| self.pending.split_off(&next));
            std::mem::replace(&mut self.pending, after.unwrap_or_default())
        } else {
            self.pending.remove_entry(&number).into_iter().collect()
        };
        settled.into_values()
    }
}
