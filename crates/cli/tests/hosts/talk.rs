//! A cloud of two hosts in which two networks talk by IPv4 and IPv6, watched: the common ground of
//! all tests.

use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use testkit::{Delivery, Pace, Steady, eventually};

use crate::{
    cloud::{Cloud, Machine, Network, WAIT},
    scene::Kind,
    watch::Watch,
};

/// Machines that talk.
pub(crate) struct Talk {
    pub(crate) cloud: Cloud,
    pub(crate) networks: Vec<Network>,
    /// Who asks and who answers in each network, on the first and the second host; then one who
    /// is silent, on the first.
    pub(crate) machines: Vec<Machine>,
    streams: Streams,
    watch: Option<Watch>,
}

/// Messages under way between machines, a hundred per second from each who asks, by IPv4 and by
/// IPv6.
#[derive(Default)]
pub(crate) struct Streams(Vec<Steady>);

impl Talk {
    /// Two networks whose machines reach each other.
    pub(crate) fn start(kind: Kind) -> Self {
        let cloud = Cloud::start(kind, 2);
        let networks: Vec<_> = (0..2).map(|number| cloud.network(number)).collect();
        let machines: Vec<Machine> = networks
            .iter()
            .flat_map(|network| [0, 1, 0].map(|host| cloud.machine(network, host)))
            .collect();
        cloud.wait_active(&machines.iter().collect::<Vec<_>>());
        let (streams, watch) = (Streams::default(), None);
        Self { cloud, networks, machines, streams, watch }
    }

    /// From now on everybody is watched, these too, and machines talk.
    pub(crate) fn begin(&mut self, more: &[Machine]) {
        let everybody: Vec<&Machine> = self.machines.iter().chain(more).collect();
        self.watch = Some(Watch::start(&self.cloud, &everybody));
        for [asking, answering] in self.pairs() {
            eventually(WAIT, || answering.is_reached_twice_from(asking))
                .unwrap_or_else(|_| panic!("{:#?}", self.cloud.hosts[1].status()));
        }
        self.streams = Streams::start(self.pairs());
    }

    /// Has those who talk remember each other's MAC addresses. Their kernels forget them after half a
    /// minute without an answer, and then ask once a second, which takes longer than a host needs.
    pub(crate) fn remember(&self) {
        for [one, other] in self.pairs() {
            for (machine, peer) in [(one, other), (other, one)] {
                let mac = peer.mac.map(|byte| format!("{byte:02x}")).join(":");
                let device = machine.vm.device();
                for address in peer.vm.addresses() {
                    let entry = format!("{address} lladdr {mac} dev {device} nud permanent");
                    machine.vm.namespace().ip(&format!("neighbour replace {entry}\n")).unwrap();
                }
            }
        }
    }

    /// Lets them talk for a while: until each has said what takes so long.
    pub(crate) fn go_on(&self, time: Duration) {
        self.streams.go_on(time);
    }

    /// Ends it. Of what they said nothing may be lost but what was said within these windows, or
    /// was under way when one began; and no frame may have been where it must not be.
    pub(crate) fn end(mut self, windows: &[RangeInclusive<Instant>]) -> Vec<Delivery> {
        let deliveries = std::mem::take(&mut self.streams).end(windows);
        self.watch.take().unwrap().verify();
        deliveries
    }

    fn pairs(&self) -> impl Iterator<Item = [&Machine; 2]> {
        self.machines.chunks_exact(3).map(|machines| [&machines[0], &machines[1]])
    }
}

impl Streams {
    /// Of each pair, the first asks and the second answers.
    pub(crate) fn start<'a>(pairs: impl Iterator<Item = [&'a Machine; 2]>) -> Self {
        let steady = pairs.flat_map(|[asking, answering]| {
            let served = answering.served().into_iter();
            served.map(|to| asking.vm.steady_udp(to, Pace::HUNDRED_PER_SECOND).unwrap())
        });
        Self(steady.collect())
    }

    /// Lets them go on for a while: until each has said what takes so long.
    pub(crate) fn go_on(&self, time: Duration) {
        let messages = time.div_duration_f64(Pace::HUNDRED_PER_SECOND.every).ceil() as usize;
        let goals: Vec<_> = self.0.iter().map(|steady| steady.sent() + messages).collect();
        let said = || self.0.iter().zip(&goals).all(|(steady, goal)| steady.sent() >= *goal);
        eventually(time + WAIT, said).unwrap();
    }

    /// Ends them. Nothing may be lost but what was said within these windows, or was under way when
    /// one began.
    pub(crate) fn end(self, windows: &[RangeInclusive<Instant>]) -> Vec<Delivery> {
        let deliveries: Vec<Delivery> = self.0.into_iter().map(Steady::stop).collect();
        for delivery in &deliveries {
            eprintln!("{delivery}");
            assert!(delivery.sent > 0);
            let under_way = delivery.slowest;
            let windows: Vec<_> =
                windows.iter().map(|it| *it.start() - under_way..=*it.end()).collect();
            assert_eq!(delivery.lost_outside(&windows), 0, "{delivery}: {:#?}", delivery.gaps);
        }
        deliveries
    }
}
