//! A cloud of two hosts in which two networks talk, watched: the common ground of all tests.

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
    steady: Vec<Steady>,
    watch: Option<Watch>,
}

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
        Self { cloud, networks, machines, steady: Vec::new(), watch: None }
    }

    /// From now on everybody is watched, these too, and machines talk.
    pub(crate) fn begin(&mut self, more: &[Machine]) {
        let everybody: Vec<&Machine> = self.machines.iter().chain(more).collect();
        self.watch = Some(Watch::start(&self.cloud, &everybody));
        for [asking, answering] in self.pairs() {
            eventually(WAIT, || answering.is_reached_from(asking))
                .unwrap_or_else(|_| panic!("{:#?}", self.cloud.hosts[1].status()));
        }
        let steady = self.pairs().map(|[asking, answering]| {
            asking.vm.steady_udp(answering.served(), Pace::HUNDRED_PER_SECOND).unwrap()
        });
        self.steady = steady.collect();
    }

    /// Has those who talk remember each other's MAC addresses. Their kernels forget them after half a
    /// minute without an answer, and then ask once a second, which takes longer than a host needs.
    pub(crate) fn remember(&self) {
        for [one, other] in self.pairs() {
            for (machine, peer) in [(one, other), (other, one)] {
                let mac = peer.mac.map(|byte| format!("{byte:02x}")).join(":");
                let (address, device) = (peer.served().ip(), machine.vm.device());
                let entry = format!("{address} lladdr {mac} dev {device} nud permanent");
                machine.vm.namespace().ip(&format!("neighbour replace {entry}\n")).unwrap();
            }
        }
    }

    /// Lets them talk for a while: until each has said what takes so long.
    pub(crate) fn go_on(&self, time: Duration) {
        let messages = time.div_duration_f64(Pace::HUNDRED_PER_SECOND.every).ceil() as usize;
        let goals: Vec<_> = self.steady.iter().map(|steady| steady.sent() + messages).collect();
        let said = || self.steady.iter().zip(&goals).all(|(steady, goal)| steady.sent() >= *goal);
        eventually(time + WAIT, said).unwrap();
    }

    /// Ends it. Of what they said nothing may be lost but what was said within these windows, or
    /// was under way when one began; and no frame may have been where it must not be.
    pub(crate) fn end(mut self, windows: &[RangeInclusive<Instant>]) -> Vec<Delivery> {
        let steady = std::mem::take(&mut self.steady);
        let deliveries: Vec<Delivery> = steady.into_iter().map(Steady::stop).collect();
        for delivery in &deliveries {
            eprintln!("{delivery}");
            assert!(delivery.sent > 0);
            let under_way = delivery.slowest;
            let windows: Vec<_> =
                windows.iter().map(|it| *it.start() - under_way..=*it.end()).collect();
            assert_eq!(delivery.lost_outside(&windows), 0, "{delivery}: {:#?}", delivery.gaps);
        }
        self.watch.take().unwrap().verify();
        deliveries
    }

    fn pairs(&self) -> impl Iterator<Item = [&Machine; 2]> {
        self.machines.chunks_exact(3).map(|machines| [&machines[0], &machines[1]])
    }
}
