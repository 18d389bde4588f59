//! Sniffers on every machine's port and on every host's wire, and what they have found.

use std::{collections::BTreeMap, net::IpAddr};

use testkit::{Sighting, Sniffer, Underlay, Way, frame};

use crate::{
    cloud::{Cloud, Machine, TRUNK},
    scene::{Inhabitant, Scene},
};

/// Listens until it is asked what it has found.
pub(crate) struct Watch {
    scene: Scene,
    ports: Vec<(Inhabitant, Sniffer)>,
    /// By the number of the host.
    trunks: Vec<Sniffer>,
    /// The same, of the wires between the ends of tunnels, where there are any.
    underlays: Vec<(IpAddr, Sniffer)>,
}

impl Watch {
    /// Listens in on these machines and on the wires of all hosts. Nobody else may be heard.
    pub(crate) fn start(cloud: &Cloud, machines: &[&Machine]) -> Self {
        let ports: Vec<_> = machines
            .iter()
            .map(|machine| {
                let inhabitant = Inhabitant {
                    mac: machine.mac,
                    segment: machine.network.segment,
                    host: machine.host,
                };
                let namespace = cloud.hosts[machine.host].switch.namespace();
                (inhabitant, Sniffer::start(namespace, &machine.device).unwrap())
            })
            .collect();
        let trunks = cloud.hosts.iter().map(|host| {
            let sniffer = Sniffer::start(host.switch.namespace(), TRUNK);
            sniffer.unwrap()
        });
        let underlays = (1..).zip(&cloud.hosts).filter(|_| cloud.kind.is_tunnel());
        let underlays = underlays.map(|(number, host)| {
            let underlay = Underlay::of_host(number);
            let sniffer = Sniffer::start(host.switch.namespace(), &underlay.wire);
            (cloud.kind.end(&underlay), sniffer.unwrap())
        });
        let underlays = underlays.collect();
        let inhabitants = ports.iter().map(|(inhabitant, _)| inhabitant.clone()).collect();
        Self { scene: Scene { inhabitants }, trunks: trunks.collect(), underlays, ports }
    }

    /// Fails if a frame was seen where it must not be, or if nothing was seen at all.
    pub(crate) fn verify(self) {
        let mut found: BTreeMap<String, usize> = BTreeMap::new();
        let mut note = |place: &str, frame: &frame::Read, verdict: Result<(), &str>| {
            if let Err(wrong) = verdict {
                let sender =
                    frame.tunnelled.as_ref().map_or(frame.source, |inner| inner.frame.source);
                let home = self.scene.inhabitants.iter().find(|it| it.mac == sender);
                *found.entry(format!("{place}: {wrong}: {frame}, from {home:?}")).or_default() += 1;
            }
        };
        let mut judged = 0;
        for (number, sniffer) in self.trunks.into_iter().enumerate() {
            for frame in out(&sniffer.stop()) {
                judged += 1;
                note(
                    &format!("wire of host {number}"),
                    &frame,
                    self.scene.on_trunk(number, &frame),
                );
            }
        }
        let (ends, underlays): (Vec<IpAddr>, Vec<Sniffer>) = self.underlays.into_iter().unzip();
        for (number, sniffer) in underlays.into_iter().enumerate() {
            for frame in out(&sniffer.stop()) {
                judged += usize::from(frame.tunnelled.is_some());
                let place = format!("underlay of host {number}");
                note(&place, &frame, self.scene.on_underlay(number, &ends, &frame));
            }
        }
        assert!(judged > 0, "no frame was seen on a wire");
        for (inhabitant, sniffer) in self.ports {
            for frame in out(&sniffer.stop()) {
                judged += 1;
                let place = format!("port on host {}", inhabitant.host);
                note(&place, &frame, self.scene.at_port(&inhabitant, &frame));
            }
        }
        eprintln!("{judged} frames were where they may be, but {}", found.len());
        assert!(found.is_empty(), "of {judged} frames: {found:#?}");
    }
}

/// What left by the interface.
fn out(sightings: &[Sighting]) -> impl Iterator<Item = frame::Read> {
    let left = sightings.iter().filter(|sighting| sighting.way == Way::Out);
    left.map(|sighting| frame::read(&sighting.frame).expect("a whole frame"))
}
