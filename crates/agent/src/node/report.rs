//! Telling the server of ports: a few in each call, because it takes long for each, and a few calls
//! at a time, or none of them would be answered in time by a server that is slow.

use model::PortId;
use neutron::bus::{CallError, Caller};
use neutron::rpc::{UpdateDeviceList, agent_id};
use tokio::task::JoinSet;

use crate::event::Reported;

/// How many ports are reported in one call. Neutron's agent does the same.
const REPORTED: usize = 20;
/// How many calls are under way at a time: as many as a server of some size has workers.
const CALLS: usize = 4;

/// Tells the server of ports. Gives those that it could not take note of.
///
/// # Errors
///
/// No call was answered; what the last one met.
pub(super) async fn send_report(
    caller: &Caller,
    host: &str,
    reported: &Reported,
) -> Result<Vec<PortId>, CallError> {
    let Reported { up, gone, down, refresh, .. } = reported;
    let call = |up: &[PortId], down: &[PortId]| UpdateDeviceList {
        devices_up: up.iter().map(ToString::to_string).collect(),
        devices_down: down.iter().map(ToString::to_string).collect(),
        agent_id: agent_id(host),
        host: host.to_owned(),
        refresh_tunnels: !refresh.is_empty(),
    };
    let down = [gone.as_slice(), down.as_slice()].concat();
    let calls = up.chunks(REPORTED).map(|up| (up.to_vec(), call(up, &[])));
    let calls = calls.chain(down.chunks(REPORTED).map(|down| (down.to_vec(), call(&[], down))));
    let mut calls = calls.map(|(ports, call)| {
        let caller = caller.clone();
        async move { (ports, caller.call(call).await) }
    });
    let mut under_way: JoinSet<_> = calls.by_ref().take(CALLS).collect();
    let (mut failed, mut answered, mut trouble) = (Vec::new(), false, None);
    while let Some(ended) = under_way.join_next().await {
        if let Some(next) = calls.next() {
            under_way.spawn(next);
        }
        // It neither panics nor is aborted.
        let Ok((ports, result)) = ended else { continue };
        match result {
            Ok(result) => {
                answered = true;
                let ids = result.failed_devices_up.iter().chain(&result.failed_devices_down);
                failed.extend(ids.filter_map(|id| id.parse::<PortId>().ok()));
            }
            Err(error) => {
                failed.extend(ports);
                trouble = Some(error);
            }
        }
    }
    match trouble {
        Some(error) if !answered => Err(error),
        _ => Ok(failed),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use neutron::bus::ServerEnd;
    use neutron::bus::local::LocalBus;
    use neutron::rpc::{DeviceListResult, Failure, Request};

    use super::*;

    fn port(n: usize) -> PortId {
        format!("00000000-0000-4000-8000-{n:012x}").parse().unwrap()
    }

    fn reported(up: usize, gone: usize) -> Reported {
        Reported {
            up: (0..up).map(port).collect(),
            gone: (up..up + gone).map(port).collect(),
            down: Vec::new(),
            refresh: BTreeSet::new(),
            result: Ok(Vec::new()),
        }
    }

    /// Answers a call when as many are there as may be, the one with port 0 as told. Gives how many
    /// ports each call had.
    async fn serve(end: &mut ServerEnd, calls: usize, first: Result<&str, &str>) -> Vec<usize> {
        let (mut waiting, mut sizes) = (Vec::new(), Vec::new());
        while sizes.len() < calls {
            while waiting.len() < CALLS.min(calls - sizes.len()) {
                match end.next_request().await {
                    Some(Request::UpdateDeviceList(call, responder)) => {
                        waiting.push((call, responder));
                    }
                    other => panic!("{other:?}"),
                }
            }
            for _ in 0..calls {
                tokio::task::yield_now().await;
            }
            tokio::select! {
                biased;
                more = end.next_request() => panic!("too many at a time: {more:?}"),
                () = std::future::ready(()) => {}
            }
            let (call, responder): (UpdateDeviceList, _) = waiting.remove(0);
            sizes.push(call.devices_up.len() + call.devices_down.len());
            let failed = match first {
                _ if !call.devices_up.contains(&port(0).to_string()) => Vec::new(),
                Ok(failed) => vec![failed.to_owned()],
                Err(error) => {
                    responder.fail(Failure::new("ServerError", error));
                    continue;
                }
            };
            let result = DeviceListResult { failed_devices_up: failed, ..Default::default() };
            responder.reply(result);
        }
        sizes.sort_unstable();
        sizes
    }

    #[tokio::test]
    async fn many_ports_are_reported_a_few_at_a_time_in_a_few_calls_at_a_time() {
        let (bus, mut end) = LocalBus::new();
        let (caller, _casts) = bus.join("node1").split();
        let reported = reported(50, 21);
        let third = port(3).to_string();
        let (failed, sizes) = tokio::join!(
            send_report(&caller, "node1", &reported),
            serve(&mut end, 5, Ok(third.as_str()))
        );
        assert_eq!((failed.unwrap(), sizes), (vec![port(3)], vec![1, 10, 20, 20, 20]));
    }

    #[tokio::test]
    async fn the_ports_of_a_call_that_fails_have_failed() {
        let (bus, mut end) = LocalBus::new();
        let (caller, _casts) = bus.join("node1").split();
        let two = reported(25, 0);
        let (failed, _) =
            tokio::join!(send_report(&caller, "node1", &two), serve(&mut end, 2, Err("broken")));
        let mut failed = failed.unwrap();
        failed.sort_unstable();
        assert_eq!(failed, (0..20).map(port).collect::<Vec<_>>());

        let one = reported(20, 0);
        let (failed, _) =
            tokio::join!(send_report(&caller, "node1", &one), serve(&mut end, 1, Err("broken")));
        assert!(matches!(failed, Err(CallError::Failure { .. })));
    }
}
