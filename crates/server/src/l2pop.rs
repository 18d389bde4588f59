//! `l2population`: agents are told what is behind the tunnels that lead to other hosts.
//!
//! A port that is announced on its host, on a segment that tunnels carry, has an entry for each of
//! its addresses, under the address that the tunnels of the host end at. The first such port of a
//! network on a host brings the flood entry of the host, and the last one takes it away; the host
//! of the first one gets the entries of all other hosts. Whoever changes ports asks for their
//! [`entries`] before, and says [`follow`] after: what is different is what agents are told, in the
//! order in which they must do it.
//!
//! Facts: Neutron's mechanism driver `l2population`. It sends everything twice, for the report of
//! the agent and for the status that follows from it.

use std::collections::{BTreeMap, BTreeSet};

use neutron::rpc::{Cast, FdbEntries, FdbUpdate, NetworkFdb, PortInfo};
use sqlx::{FromRow, SqliteConnection};

use crate::error::ApiError;
use crate::store::{Unit, json_list};

/// What is known of the ports in a JSON list of ids.
const ENTRIES: &str = "
    SELECT ports.id, ports.mac_address, ports.network_id, segments.id AS segment_id,
        segments.network_type, segments.segmentation_id, ports.host,
        json_extract(agents.configurations, '$.tunneling_ip') AS tunnel_ip
    FROM json_each(?) AS wanted
    CROSS JOIN ports ON ports.id = wanted.value AND ports.announced
    JOIN segments ON segments.id = ports.segment_id
        AND segments.network_type IN ('vxlan', 'gre', 'geneve')
    JOIN agents ON agents.agent_type = 'Open vSwitch agent' AND agents.host = ports.host
    WHERE tunnel_ip <> ''";

/// The places that ports in a JSON list of ids may move to on a host.
const AHEAD: &str = "
    SELECT DISTINCT ports.network_id, segments.id AS segment_id, segments.network_type,
        segments.segmentation_id, ahead.host,
        json_extract(agents.configurations, '$.tunneling_ip') AS tunnel_ip
    FROM json_each(?1) AS wanted
    CROSS JOIN inactive_bindings AS ahead ON ahead.port_id = wanted.value AND ahead.host = ?2
    JOIN ports ON ports.id = ahead.port_id
    JOIN segments ON segments.id = ahead.segment_id
        AND segments.network_type IN ('vxlan', 'gre', 'geneve')
    JOIN agents ON agents.agent_type = 'Open vSwitch agent' AND agents.host = ahead.host
    WHERE tunnel_ip <> ''";

const ADDRESSES: &str = "
    SELECT port_id, ip_address FROM ip_allocations
    WHERE port_id IN (SELECT value FROM json_each(?))";

/// Whether a network has ports on a segment and host, beside those in a JSON list of ids.
const HAS_OTHERS: &str = "
    SELECT EXISTS (
        SELECT 1 FROM ports
        WHERE announced AND network_id = ?1 AND segment_id = ?2 AND host = ?3
            AND id NOT IN (SELECT value FROM json_each(?4)))";

/// Where the tunnels of each host but one end that has ports of a network and segment, and their
/// entries as a JSON list. Packed, as there can be very many.
const TABLE: &str = "
    SELECT json_extract(agents.configurations, '$.tunneling_ip') AS tunnel_ip, infos
    FROM (
        SELECT host, json_group_array(json_array(mac_address, ip_address))
                FILTER (WHERE ip_address IS NOT NULL) AS infos
        FROM ports LEFT JOIN ip_allocations ON ip_allocations.port_id = ports.id
        WHERE announced AND network_id = ?1 AND segment_id = ?2 AND host <> ?3
        GROUP BY host) AS others
    JOIN agents ON agents.agent_type = 'Open vSwitch agent' AND agents.host = others.host
    WHERE tunnel_ip <> ''";

/// The ports that are announced on a host.
const ANNOUNCED: &str = "SELECT id FROM ports WHERE host = ? AND announced";

/// What others know of some ports, by port.
pub(crate) type Entries = BTreeMap<String, Entry>;

/// What others know of a port.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    place: Place,
    mac: String,
    ips: BTreeSet<String>,
}

/// Where a port is. What is known of a network on a host is known of this.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, FromRow)]
pub(crate) struct Place {
    network_id: String,
    segment_id: String,
    network_type: String,
    segmentation_id: Option<u32>,
    host: String,
    /// The address that the tunnels of the host end at.
    tunnel_ip: String,
}

#[derive(Debug, FromRow)]
struct Row {
    id: String,
    mac_address: String,
    #[sqlx(flatten)]
    place: Place,
}

/// What others know of these ports now.
pub(crate) async fn entries(
    connection: &mut SqliteConnection,
    ports: &[String],
) -> Result<Entries, ApiError> {
    let ports = json_list(ports.iter().map(String::as_str));
    let rows: Vec<Row> = sqlx::query_as(ENTRIES).bind(&ports).fetch_all(&mut *connection).await?;
    if rows.is_empty() {
        return Ok(Entries::new());
    }
    let mut ips: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let addresses: Vec<(String, String)> =
        sqlx::query_as(ADDRESSES).bind(&ports).fetch_all(connection).await?;
    for (port, ip) in addresses {
        ips.entry(port).or_default().insert(ip);
    }
    let entry = |Row { id, mac_address: mac, place }: Row| {
        let ips = ips.remove(&id).unwrap_or_default();
        (id, Entry { place, mac, ips })
    };
    Ok(rows.into_iter().map(entry).collect())
}

/// Tells agents what is different of these ports from what it was before. Gives the places whose
/// hosts have been told what others have.
pub(crate) async fn follow(
    unit: &mut Unit,
    ports: &[String],
    before: &Entries,
) -> Result<BTreeSet<Place>, ApiError> {
    let after = entries(unit.connection(), ports).await?;
    let mut told = BTreeSet::new();
    if *before == after {
        return Ok(told);
    }
    let leave = by_place(before.iter().filter(|(port, entry)| !entry.stays(port, &after)));
    let come = by_place(after.iter().filter(|(port, entry)| !entry.stays(port, before)));
    let places_before: BTreeSet<_> = before.values().map(|entry| &entry.place).collect();
    let places_after: BTreeSet<_> = after.values().map(|entry| &entry.place).collect();

    let mut removed = Vec::new();
    for (place, mut infos) in leave {
        if !places_after.contains(&place) && !has_others(unit, &place, ports).await? {
            infos.insert(0, PortInfo::flood());
        }
        removed.push((place, infos));
    }
    let mut added = Vec::new();
    for (place, mut infos) in come {
        if !places_before.contains(&place) && !has_others(unit, &place, ports).await? {
            infos.insert(0, PortInfo::flood());
            table(unit, &place).await?;
            told.insert(place.clone());
        }
        added.push((place, infos));
    }
    for entries in pack(removed) {
        unit.cast(Cast::RemoveFdbEntries(entries));
    }
    for entries in pack(added) {
        unit.cast(Cast::AddFdbEntries(entries));
    }
    let update = changes(before, &after);
    if !update.chg_ip.is_empty() {
        unit.cast(Cast::UpdateFdbEntries(update));
    }
    Ok(told)
}

/// This host has wired these ports. It is told what others have of their networks, but for what it
/// has just been told: of all if it asks for that, and else where a port that may move there would
/// be the first of its network, so that it can speak at once when it comes.
pub(crate) async fn wired(
    unit: &mut Unit,
    host: &str,
    ports: &[String],
    refresh_tunnels: bool,
    told: &BTreeSet<Place>,
) -> Result<(), ApiError> {
    let mut places = BTreeSet::new();
    if refresh_tunnels {
        let known = entries(unit.connection(), ports).await?;
        let known = known.into_values().map(|entry| entry.place);
        places.extend(known.filter(|place| place.host == host));
    }
    let ahead: Vec<Place> = sqlx::query_as(AHEAD)
        .bind(json_list(ports.iter().map(String::as_str)))
        .bind(host)
        .fetch_all(unit.connection())
        .await?;
    for place in ahead {
        if refresh_tunnels || !has_others(unit, &place, &[]).await? {
            places.insert(place);
        }
    }
    for place in places.difference(told) {
        table(unit, place).await?;
    }
    Ok(())
}

/// The ports that are announced on this host.
pub(crate) async fn announced(
    connection: &mut SqliteConnection,
    host: &str,
) -> Result<Vec<String>, ApiError> {
    Ok(sqlx::query_scalar(ANNOUNCED).bind(host).fetch_all(connection).await?)
}

/// Tells a host what all others have of a network.
async fn table(unit: &mut Unit, place: &Place) -> Result<(), ApiError> {
    let rows: Vec<(String, String)> = sqlx::query_as(TABLE)
        .bind(&place.network_id)
        .bind(&place.segment_id)
        .bind(&place.host)
        .fetch_all(unit.connection())
        .await?;
    let mut ports: BTreeMap<String, Vec<PortInfo>> = BTreeMap::new();
    for (tunnel_ip, infos) in rows {
        let mut infos: Vec<PortInfo> = serde_json::from_str(&infos)
            .map_err(|_| ApiError::Broken { what: "addresses", value: infos.clone() })?;
        infos.sort();
        ports.entry(tunnel_ip).or_insert_with(|| vec![PortInfo::flood()]).extend(infos);
    }
    if !ports.is_empty() {
        let fdb_entries = [(place.network_id.clone(), place.fdb(ports))].into();
        unit.cast_to(&place.host, Cast::AddFdbEntries(FdbEntries { fdb_entries }));
    }
    Ok(())
}

async fn has_others(unit: &mut Unit, place: &Place, ports: &[String]) -> Result<bool, ApiError> {
    let found = sqlx::query_scalar(HAS_OTHERS)
        .bind(&place.network_id)
        .bind(&place.segment_id)
        .bind(&place.host)
        .bind(json_list(ports.iter().map(String::as_str)))
        .fetch_one(unit.connection())
        .await?;
    Ok(found)
}

/// The ports that stay where they are and have other addresses.
fn changes(before: &Entries, after: &Entries) -> FdbUpdate {
    let mut update = FdbUpdate::default();
    for (port, new) in after {
        let Some(old) =
            before.get(port).filter(|old| new.stays(port, before) && old.ips != new.ips)
        else {
            continue;
        };
        let hosts = update.chg_ip.entry(new.place.network_id.clone()).or_default();
        let changed = hosts.entry(new.place.tunnel_ip.clone()).or_default();
        let info = |ip: &String| PortInfo::new(&new.mac, ip);
        changed.before.extend(old.ips.difference(&new.ips).map(info));
        changed.after.extend(new.ips.difference(&old.ips).map(info));
    }
    update
}

fn by_place<'a>(
    entries: impl Iterator<Item = (&'a String, &'a Entry)>,
) -> BTreeMap<Place, Vec<PortInfo>> {
    let mut places: BTreeMap<Place, Vec<PortInfo>> = BTreeMap::new();
    for (_, entry) in entries {
        let infos = places.entry(entry.place.clone()).or_default();
        infos.extend(entry.ips.iter().map(|ip| PortInfo::new(&entry.mac, ip)));
    }
    places.values_mut().for_each(|infos| infos.sort());
    places
}

/// As few messages as can say it. A message has one segment for each network.
fn pack(places: Vec<(Place, Vec<PortInfo>)>) -> Vec<FdbEntries> {
    let mut messages: Vec<(BTreeMap<String, String>, FdbEntries)> = Vec::new();
    for (place, infos) in places {
        if infos.is_empty() {
            continue;
        }
        let fits = |segments: &BTreeMap<String, String>| {
            segments.get(&place.network_id).is_none_or(|segment| *segment == place.segment_id)
        };
        let index = messages.iter().position(|(segments, _)| fits(segments));
        let (mut segments, mut message) = match index {
            Some(index) => messages.swap_remove(index),
            None => Default::default(),
        };
        segments.insert(place.network_id.clone(), place.segment_id.clone());
        let network = message.fdb_entries.entry(place.network_id.clone());
        let network = network.or_insert_with(|| place.fdb(BTreeMap::new()));
        network.ports.entry(place.tunnel_ip).or_default().extend(infos);
        messages.push((segments, message));
    }
    messages.into_iter().map(|(_, message)| message).collect()
}

impl Entry {
    /// Whether the port has the same MAC address in the same place in the other entries.
    fn stays(&self, port: &str, others: &Entries) -> bool {
        others.get(port).is_some_and(|it| (&it.place, &it.mac) == (&self.place, &self.mac))
    }
}

impl Place {
    fn fdb(&self, ports: BTreeMap<String, Vec<PortInfo>>) -> NetworkFdb {
        NetworkFdb {
            segment_id: self.segmentation_id,
            network_type: self.network_type.clone(),
            ports,
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection as _};

    use super::*;

    /// What one port costs does not grow with the ports that there are: no query of this module
    /// reads a whole table.
    #[tokio::test]
    async fn no_query_reads_a_whole_table() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        sqlx::migrate!().run(&mut connection).await.unwrap();
        for query in [ENTRIES, AHEAD, ADDRESSES, HAS_OTHERS, TABLE, ANNOUNCED] {
            let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}"));
            let plan: Vec<(i64, i64, i64, String)> =
                sqlx::query_as(explain).fetch_all(&mut connection).await.unwrap();
            let tables = ["ports", "inactive", "ahead", "ip_allocations", "segments", "agents"];
            let scans = |step: &String| {
                tables.iter().any(|table| step.starts_with(&format!("SCAN {table}")))
            };
            let steps: Vec<_> = plan.into_iter().map(|(.., step)| step).collect();
            assert!(!steps.is_empty() && !steps.iter().any(scans), "{query}\n{steps:#?}");
        }
    }
}
