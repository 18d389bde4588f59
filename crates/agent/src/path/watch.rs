//! Has the kernel tell of devices, in the network namespace of this thread.
//!
//! The one task here lists them, and goes on with what the kernel tells. Where the kernel had to drop
//! something, it begins anew; what was known before stays known until then.

use std::io;
use std::time::Duration;

use nix::sys::socket::SockProtocol;
use tokio::sync::mpsc;

use super::Sight;
use super::link::{self, Links};
use crate::event::Event;
use crate::netlink::{DUMP_INTERRUPTED, Listener, Message, NLMSG_DONE, NLMSG_ERROR};

/// Tells of devices.
const GROUP: u32 = 1;
const SEQUENCE: u32 = 1;
const RETRY: Duration = Duration::from_millis(500);

/// Why a list has come to its end.
enum End {
    /// Something was missed.
    Missed,
    /// Nobody listens any more.
    Alone,
}

/// Tells of them until nobody listens any more.
pub(crate) async fn watch(events: mpsc::Sender<Event>) {
    let mut said = None;
    loop {
        match follow(&events).await {
            Ok(End::Missed) => tracing::debug!("listing the network devices anew"),
            Ok(End::Alone) => return,
            Err(error) => {
                let reason = error.to_string();
                if said.as_ref() != Some(&reason) {
                    tracing::warn!(reason, "cannot tell which network devices there are");
                    said = Some(reason.clone());
                    if events.send(Event::Devices(Sight::Blind(reason))).await.is_err() {
                        return;
                    }
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn follow(events: &mpsc::Sender<Event>) -> io::Result<End> {
    let mut listener = Listener::open(SockProtocol::NetlinkRoute, GROUP)?;
    listener.ask(&link::list(SEQUENCE)).await?;
    let mut links = Links::default();
    let mut told = None;
    let (mut is_listed, mut is_missing) = (false, false);
    loop {
        let mut take = |message: Message<'_>| {
            match message.kind {
                NLMSG_DONE => is_listed = true,
                NLMSG_ERROR => is_missing = true,
                _ => links.take(message),
            }
            is_missing |= message.flags & DUMP_INTERRUPTED != 0;
        };
        is_missing |= !listener.listen(&mut take).await?;
        if is_missing {
            return Ok(End::Missed);
        }
        let devices = links.devices();
        if is_listed && told.as_ref() != Some(&devices) {
            told = Some(devices.clone());
            if events.send(Event::Devices(Sight::Seen(devices))).await.is_err() {
                return Ok(End::Alone);
            }
        }
    }
}
