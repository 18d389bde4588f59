//! Local VLANs: which network has which tag on this node. Pure.
//!
//! The database is the memory: a port of br-int carries its network and tag in `other_config`,
//! under Neutron's keys, so tags, conntrack zones and connections survive a restart and a change
//! of agent in either direction.

use std::collections::{BTreeMap, BTreeSet};

use model::{NetworkId, Segment, VlanTag};

/// The keys of `Port.other_config`, as Neutron's agent writes them.
const NET_UUID: &str = "net_uuid";
const NETWORK_TYPE: &str = "network_type";
const PHYSICAL_NETWORK: &str = "physical_network";
const SEGMENTATION_ID: &str = "segmentation_id";
const TAG: &str = "tag";

/// What a wired port of this network carries in `other_config`.
pub fn record(network: NetworkId, segment: &Segment, tag: VlanTag) -> BTreeMap<String, String> {
    let mut record = BTreeMap::from([
        (NET_UUID.to_owned(), network.to_string()),
        (NETWORK_TYPE.to_owned(), segment.network_type.to_string()),
        (TAG.to_owned(), tag.to_string()),
    ]);
    if let Some(name) = &segment.physical_network {
        record.insert(PHYSICAL_NETWORK.to_owned(), name.clone());
    }
    if let Some(id) = segment.segmentation_id {
        record.insert(SEGMENTATION_ID.to_owned(), id.to_string());
    }
    record
}

/// The network and tag that a port's `other_config` records.
pub fn recorded(other_config: &BTreeMap<String, String>) -> Option<(NetworkId, VlanTag)> {
    let network = other_config.get(NET_UUID)?.parse().ok()?;
    let tag = other_config.get(TAG)?.parse().ok()?;
    Some((network, VlanTag::new(tag).ok()?))
}

/// The tag of each wanted network: the recorded one, else the lowest that nobody has. Networks
/// that come away empty-handed, because all 4094 are taken, are left out.
pub fn assign(
    recorded: impl IntoIterator<Item = (NetworkId, VlanTag)>,
    wanted: &BTreeSet<NetworkId>,
) -> BTreeMap<NetworkId, VlanTag> {
    let mut assigned = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for (network, tag) in recorded {
        // Two networks on one tag, or two tags of one network: the first keeps it.
        if !assigned.contains_key(&network) && taken.insert(tag) {
            assigned.insert(network, tag);
        }
    }
    let mut free = (VlanTag::MIN.get()..=VlanTag::MAX.get())
        .filter_map(|tag| VlanTag::new(tag.into()).ok())
        .filter(|tag| !taken.contains(tag));
    for network in wanted {
        if !assigned.contains_key(network)
            && let Some(tag) = free.next()
        {
            assigned.insert(*network, tag);
        }
    }
    assigned.retain(|network, _| wanted.contains(network));
    assigned
}

#[cfg(test)]
mod tests {
    use model::NetworkType;

    use super::*;

    fn tag(tag: u32) -> VlanTag {
        VlanTag::new(tag).unwrap()
    }

    #[test]
    fn record_round_trips() {
        let network = NetworkId::random();
        let segment = Segment {
            network_type: NetworkType::Vlan,
            physical_network: Some("physnet1".to_owned()),
            segmentation_id: Some(model::SegmentationId::new(117)),
        };
        let written = record(network, &segment, tag(3));
        assert_eq!(written.len(), 5);
        assert_eq!(recorded(&written), Some((network, tag(3))));
        assert_eq!(recorded(&BTreeMap::new()), None);
    }

    #[test]
    fn recorded_tags_stay_and_gaps_are_filled() {
        let [a, b, c] = [(); 3].map(|()| NetworkId::random());
        let known = [(a, tag(1)), (b, tag(3))];
        let assigned = assign(known, &BTreeSet::from([a, c]));
        assert_eq!(assigned, BTreeMap::from([(a, tag(1)), (c, tag(2))]));
    }

    #[test]
    fn one_tag_for_one_network() {
        let [a, b] = [(); 2].map(|()| NetworkId::random());
        let assigned = assign([(a, tag(1)), (b, tag(1)), (a, tag(2))], &BTreeSet::from([a, b]));
        assert_eq!(assigned, BTreeMap::from([(a, tag(1)), (b, tag(2))]));
    }

    #[test]
    fn all_tags_taken() {
        let wanted: BTreeSet<_> = (0..4095).map(|_| NetworkId::random()).collect();
        assert_eq!(assign([], &wanted).len(), 4094);
    }
}
