//! Ports.

pub(crate) mod bindings;
mod report;

use std::collections::{BTreeSet, HashMap};

use model::MacAddr;
use neutron::object::{self, Object, ResourceType};
use neutron::rest;
use serde_json::{Map, Value};
use sqlx::types::Json;
use sqlx::{FromRow, SqliteConnection};
use uuid::Uuid;

use self::bindings::Inactive;
pub(crate) use self::report::{Report, report};
use crate::binding;
use crate::error::ApiError;
use crate::ipam;
use crate::l2pop;
use crate::network;
use crate::qos_policy;
use crate::quota;
use crate::resource::{Resource, Selection};
use crate::security_group;
use crate::segment::{self, Segment};
use crate::store::{Unit, json_list};
use crate::subnet;
use crate::time::Timestamp;
use crate::trunk;

/// The first half of MAC addresses that the server makes (`base_mac`).
const BASE_MAC: [u8; 3] = [0xfa, 0x16, 0x3e];

/// What in the details of an interface says which bridge it is plugged into.
const BRIDGE_NAME: &str = "bridge_name";

/// Whether the agent of its host has wired a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Active,
    Down,
}

/// A port with its addresses, groups and segment.
#[derive(Debug, Clone)]
pub(crate) struct Port {
    row: Row,
    fixed_ips: Vec<rest::FixedIp>,
    groups: Vec<String>,
    segment: Option<Segment>,
    /// The QoS policy of its network.
    network_qos_policy: Option<String>,
    /// The trunk that it is the parent of.
    trunk: Option<rest::TrunkDetails>,
    /// On other hosts, with their segments.
    inactive: Vec<(Inactive, Option<Segment>)>,
}

#[derive(Debug, Clone, FromRow)]
struct Row {
    id: String,
    project_id: String,
    network_id: String,
    name: String,
    description: String,
    admin_state_up: bool,
    status: String,
    mac_address: String,
    port_security_enabled: bool,
    allowed_address_pairs: Json<Vec<rest::AddressPair>>,
    device_id: String,
    device_owner: String,
    host: String,
    vnic_type: String,
    profile: Json<Map<String, Value>>,
    vif_type: String,
    vif_details: Json<Map<String, Value>>,
    segment_id: Option<String>,
    announced: bool,
    qos_policy_id: Option<String>,
    tags: Json<Vec<String>>,
    revision_number: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl Resource for Port {
    const REST: &'static rest::Resource = &rest::PORT;
    const INDEXED: &'static [&'static str] =
        &["id", "mac_address", "device_id", "network_id", "name", "project_id"];
    type Body = rest::Port;
    type Create = rest::PortCreate;
    type Update = rest::PortUpdate;

    async fn create(unit: &mut Unit, request: rest::PortCreate) -> Result<String, ApiError> {
        quota::check(unit, "port", &request.project_id).await?;
        binding::check_profile(&request.profile)?;
        let network = network::get(unit.connection(), &request.network_id).await?;
        // Neutron's own ports are trusted, whatever is asked for.
        let trusted = request.device_owner.starts_with("network:");
        let asked = request.port_security_enabled.unwrap_or(network.row.port_security_enabled);
        let secured = asked && !trusted;
        let id = Uuid::new_v4().to_string();
        let mac = match &request.mac_address {
            Some(text) => text.clone(),
            None => free_mac(unit, &request.network_id).await?.to_string(),
        };
        let most = unit.config().limits.allowed_address_pairs;
        let pairs = pairs(&request.allowed_address_pairs, &mac, most)?;
        if !secured {
            let asked = request.security_groups.as_deref().unwrap_or_default();
            refuse_unsecured(asked, &[], &pairs)?;
        }
        qos_policy::refuse_missing(unit, request.qos_policy_id.as_deref()).await?;
        let binding = binding::bind(unit, &network, &request.host, &request.vnic_type).await?;
        let inserted = sqlx::query(
            "INSERT INTO ports (id, project_id, network_id, name, description, admin_state_up,
                status, mac_address, port_security_enabled, allowed_address_pairs, device_id,
                device_owner, host, vnic_type, profile, vif_type, vif_details, segment_id,
                qos_policy_id, tags, revision_number, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
                ?18, ?19, '[]', 1, ?20, ?20)
             ON CONFLICT (network_id, mac_address) DO NOTHING",
        )
        .bind(&id)
        .bind(&request.project_id)
        .bind(&request.network_id)
        .bind(&request.name)
        .bind(&request.description)
        .bind(request.admin_state_up)
        .bind(Status::Down.name())
        .bind(&mac)
        .bind(secured)
        .bind(Json(&pairs))
        .bind(&request.device_id)
        .bind(&request.device_owner)
        .bind(&request.host)
        .bind(&request.vnic_type)
        .bind(Json(&request.profile))
        .bind(binding.vif_type)
        .bind(Json(&binding.vif_details))
        .bind(&binding.segment)
        .bind(&request.qos_policy_id)
        .bind(Timestamp::now())
        .execute(unit.connection())
        .await?;
        if inserted.rows_affected() == 0 {
            return Err(mac_in_use(&request.network_id, &mac));
        }
        let subnets = subnet::of_network(unit.connection(), &request.network_id).await?;
        let (network, wanted) = (&request.network_id, request.fixed_ips.as_deref());
        ipam::allocate(unit, &id, network, &subnets, parse_mac(&mac)?, wanted).await?;
        let groups = match request.security_groups {
            Some(groups) => groups,
            None if !secured => Vec::new(),
            None => vec![security_group::ensure_default(unit, &request.project_id).await?],
        };
        set_groups(unit, &id, &groups).await?;
        tell(unit, std::slice::from_ref(&id)).await?;
        Ok(id)
    }

    async fn update(unit: &mut Unit, id: &str, request: rest::PortUpdate) -> Result<(), ApiError> {
        let Self { row, groups, .. } = get(unit.connection(), id).await?;
        let known = l2pop::entries(unit.connection(), std::slice::from_ref(&row.id)).await?;
        let wanted_groups = request.security_groups.map(Option::unwrap_or_default);
        let mac = request.mac_address.unwrap_or_else(|| row.mac_address.clone());
        binding::refuse_new_mac(id, &row.vif_type, &row.mac_address, &mac)?;
        let pairs = match &request.allowed_address_pairs {
            Some(wanted) => pairs(wanted, &mac, unit.config().limits.allowed_address_pairs)?,
            None => row.allowed_address_pairs.0,
        };
        let secured = request.port_security_enabled.unwrap_or(row.port_security_enabled);
        if !secured {
            match &wanted_groups {
                Some(asked) => refuse_unsecured(asked, &[], &pairs)?,
                None => refuse_unsecured(&[], &groups, &pairs)?,
            }
        }
        if let Some(profile) = &request.profile {
            binding::check_profile(profile)?;
        }
        let host = request.host.unwrap_or_else(|| row.host.clone());
        let vnic_type = request.vnic_type.unwrap_or_else(|| row.vnic_type.clone());
        let qos_policy = request.qos_policy_id.unwrap_or_else(|| row.qos_policy_id.clone());
        qos_policy::refuse_missing(unit, qos_policy.as_deref()).await?;
        let updated = sqlx::query(
            "UPDATE OR IGNORE ports SET name = ?2, description = ?3, admin_state_up = ?4,
                mac_address = ?5, port_security_enabled = ?6, allowed_address_pairs = ?7,
                device_id = ?8, device_owner = ?9, host = ?10, vnic_type = ?11, profile = ?12,
                qos_policy_id = ?13
             WHERE id = ?1",
        )
        .bind(id)
        .bind(request.name.unwrap_or(row.name))
        .bind(request.description.unwrap_or(row.description))
        .bind(request.admin_state_up.unwrap_or(row.admin_state_up))
        .bind(&mac)
        .bind(secured)
        .bind(Json(pairs))
        .bind(request.device_id.unwrap_or(row.device_id))
        .bind(request.device_owner.unwrap_or(row.device_owner))
        .bind(&host)
        .bind(&vnic_type)
        .bind(Json(request.profile.unwrap_or(row.profile.0)))
        .bind(&qos_policy)
        .execute(unit.connection())
        .await?;
        if updated.rows_affected() == 0 {
            return Err(mac_in_use(&row.network_id, &mac));
        }
        if host != row.host {
            bindings::forget(unit, id, &host).await?;
        }
        let moved = host != row.host || vnic_type != row.vnic_type;
        if moved || !binding::is_bound(&row.vif_type) {
            let network = network::get(unit.connection(), &row.network_id).await?;
            let binding = binding::bind(unit, &network, &host, &vnic_type).await?;
            binding::store(unit, std::slice::from_ref(&row.id), &binding).await?;
        }
        if moved {
            sqlx::query("UPDATE ports SET status = ?2, announced = FALSE WHERE id = ?1")
                .bind(id)
                .bind(Status::Down.name())
                .execute(unit.connection())
                .await?;
        }
        let subnets = subnet::of_network(unit.connection(), &row.network_id).await?;
        match &request.fixed_ips {
            Some(wanted) => {
                sqlx::query("DELETE FROM ip_allocations WHERE port_id = ?")
                    .bind(id)
                    .execute(unit.connection())
                    .await?;
                let (network, mac) = (&row.network_id, parse_mac(&mac)?);
                ipam::allocate(unit, id, network, &subnets, mac, Some(wanted)).await?;
            }
            None => ipam::follow(unit, id, &subnets, parse_mac(&mac)?).await?,
        }
        if let Some(groups) = &wanted_groups {
            set_groups(unit, id, groups).await?;
        }
        if host.is_empty() && !row.host.is_empty() {
            trunk::binding::unbound(unit, &row.id).await?;
        }
        l2pop::follow(unit, std::slice::from_ref(&row.id), &known).await?;
        touch(unit, std::slice::from_ref(&row.id)).await
    }

    async fn delete(unit: &mut Unit, id: &str) -> Result<(), ApiError> {
        let ids = [get(unit.connection(), id).await?.row.id];
        let [id] = &ids;
        trunk::binding::refuse_needed(unit, id).await?;
        let known = l2pop::entries(unit.connection(), &ids).await?;
        unit.remove("ports", id).await?;
        l2pop::follow(unit, &ids, &known).await?;
        unit.deleted(ResourceType::Port, id);
        Ok(())
    }

    async fn find(
        connection: &mut SqliteConnection,
        selection: Selection<'_>,
    ) -> Result<Vec<rest::Port>, ApiError> {
        Ok(load(connection, selection).await?.into_iter().map(Port::body).collect())
    }

    fn not_found(id: &str) -> rest::Error {
        rest::Error::PortNotFound { id: id.to_owned() }
    }
}

/// The selected ports. Eight queries at most, however many ports there are.
pub(crate) async fn load(
    connection: &mut SqliteConnection,
    selection: Selection<'_>,
) -> Result<Vec<Port>, ApiError> {
    let rows: Vec<Row> = selection.rows(connection, "SELECT * FROM ports").await?;
    let list: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
    let mut trunks = trunk::details(connection, &list).await?;
    let ids = json_list(list.iter().map(String::as_str));
    let networks: BTreeSet<_> = rows.iter().map(|row| row.network_id.as_str()).collect();
    let networks = json_list(networks);
    let segments = segment::of_networks(connection, &networks).await?;
    let network_policies = qos_policy::of_networks(connection, &networks).await?;
    let segments: HashMap<_, _> =
        segments.into_values().flatten().map(|segment| (segment.id.clone(), segment)).collect();
    let mut fixed_ips: HashMap<String, Vec<rest::FixedIp>> = HashMap::new();
    let allocations: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT port_id, subnet_id, ip_address FROM ip_allocations
         WHERE port_id IN (SELECT value FROM json_each(?))",
    )
    .bind(&ids)
    .fetch_all(&mut *connection)
    .await?;
    for (port, subnet_id, ip_address) in allocations {
        fixed_ips.entry(port).or_default().push(rest::FixedIp { subnet_id, ip_address });
    }
    let mut groups: HashMap<String, Vec<String>> = HashMap::new();
    let memberships: Vec<(String, String)> = sqlx::query_as(
        "SELECT port_id, security_group_id FROM port_security_groups
         WHERE port_id IN (SELECT value FROM json_each(?))",
    )
    .bind(&ids)
    .fetch_all(&mut *connection)
    .await?;
    for (port, group) in memberships {
        groups.entry(port).or_default().push(group);
    }
    let segment = |id: &Option<String>| id.as_ref().and_then(|id| segments.get(id)).cloned();
    let mut inactive: HashMap<String, Vec<_>> = HashMap::new();
    for binding in bindings::inactive(connection, &ids).await? {
        let segment = segment(&binding.segment_id);
        inactive.entry(binding.port_id.clone()).or_default().push((binding, segment));
    }
    let port = |row: Row| Port {
        fixed_ips: fixed_ips.remove(&row.id).unwrap_or_default(),
        groups: groups.remove(&row.id).unwrap_or_default(),
        segment: segment(&row.segment_id),
        network_qos_policy: network_policies.get(&row.network_id).cloned(),
        trunk: trunks.remove(&row.id),
        inactive: inactive.remove(&row.id).unwrap_or_default(),
        row,
    };
    Ok(rows.into_iter().map(port).map(Port::in_its_bridge).collect())
}

/// The ids of the members of these security groups.
pub(crate) async fn members(
    connection: &mut SqliteConnection,
    groups: &[String],
) -> Result<Vec<String>, ApiError> {
    let members = sqlx::query_scalar(
        "SELECT DISTINCT port_id FROM port_security_groups
         WHERE security_group_id IN (SELECT value FROM json_each(?))",
    )
    .bind(json_list(groups.iter().map(String::as_str)))
    .fetch_all(connection)
    .await?;
    Ok(members)
}

/// Counts a change of these ports, and tells agents of it.
pub(crate) async fn touch(unit: &mut Unit, ids: &[String]) -> Result<(), ApiError> {
    sqlx::query(
        "UPDATE ports SET revision_number = revision_number + 1, updated_at = ?2
         WHERE id IN (SELECT value FROM json_each(?1))",
    )
    .bind(json_list(ids.iter().map(String::as_str)))
    .bind(Timestamp::now())
    .execute(unit.connection())
    .await?;
    tell(unit, ids).await
}

/// The port with this id, as the API shows it.
pub(crate) async fn show(
    connection: &mut SqliteConnection,
    id: &str,
) -> Result<rest::Port, ApiError> {
    get(connection, id).await.map(Port::body)
}

async fn get(connection: &mut SqliteConnection, id: &str) -> Result<Port, ApiError> {
    let found = load(connection, Selection::id(&id.to_owned())).await?;
    found.into_iter().next().ok_or_else(|| Port::not_found(id).into())
}

async fn tell(unit: &mut Unit, ids: &[String]) -> Result<(), ApiError> {
    let ports = load(unit.connection(), Selection::ids(ids)).await?;
    unit.updated(ports.into_iter().map(|port| Object::Port(port.object())).collect());
    Ok(())
}

async fn set_groups(unit: &mut Unit, id: &str, groups: &[String]) -> Result<(), ApiError> {
    security_group::refuse_unusable(unit, groups).await?;
    sqlx::query("DELETE FROM port_security_groups WHERE port_id = ?")
        .bind(id)
        .execute(unit.connection())
        .await?;
    sqlx::query(
        "INSERT INTO port_security_groups (port_id, security_group_id)
         SELECT ?, value FROM json_each(?)",
    )
    .bind(id)
    .bind(json_list(groups.iter().map(String::as_str)))
    .execute(unit.connection())
    .await?;
    Ok(())
}

/// Without port security there is nothing that groups or address pairs could say.
fn refuse_unsecured(
    asked_groups: &[String],
    kept_groups: &[String],
    pairs: &[rest::AddressPair],
) -> Result<(), ApiError> {
    if !pairs.is_empty() {
        return Err(rest::Error::AddressPairAndPortSecurityRequired {}.into());
    }
    if !asked_groups.is_empty() {
        return Err(rest::Error::PortSecurityAndIpRequired {}.into());
    }
    if !kept_groups.is_empty() {
        return Err(rest::Error::PortSecurityPortHasSecurityGroup {}.into());
    }
    Ok(())
}

/// The pairs that are asked for, with the port's own MAC address where none is given.
fn pairs(
    wanted: &[rest::RequestedPair],
    mac: &str,
    most: usize,
) -> Result<Vec<rest::AddressPair>, ApiError> {
    if wanted.len() > most {
        return Err(rest::Error::AllowedAddressPairExhausted { quota: most }.into());
    }
    let mut pairs = Vec::new();
    for rest::RequestedPair { mac_address, ip_address } in wanted {
        let mac_address = mac_address.clone().unwrap_or_else(|| mac.to_owned());
        let pair = rest::AddressPair { mac_address, ip_address: ip_address.clone() };
        if pairs.contains(&pair) {
            let rest::AddressPair { mac_address: mac, ip_address: address } = pair;
            return Err(rest::Error::DuplicateAddressPair { mac, address }.into());
        }
        pairs.push(pair);
    }
    Ok(pairs)
}

/// A MAC address that no port of the network has.
async fn free_mac(unit: &mut Unit, network: &str) -> Result<MacAddr, ApiError> {
    loop {
        let [a, b, c] = BASE_MAC;
        let [d, e, f, ..] = *Uuid::new_v4().as_bytes();
        let mac = MacAddr::new([a, b, c, d, e, f]);
        let taken: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM ports WHERE network_id = ? AND mac_address = ?)",
        )
        .bind(network)
        .bind(mac.to_string())
        .fetch_one(unit.connection())
        .await?;
        if !taken {
            return Ok(mac);
        }
    }
}

fn parse_mac(text: &str) -> Result<MacAddr, ApiError> {
    text.parse().map_err(|_| ApiError::Broken { what: "mac_address", value: text.to_owned() })
}

fn mac_in_use(network: &str, mac: &str) -> ApiError {
    rest::Error::MacAddressInUse { network: network.to_owned(), mac: mac.to_owned() }.into()
}

impl Status {
    const fn name(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Down => "DOWN",
        }
    }
}

impl Port {
    /// The device of a virtual machine with a trunk is plugged into the bridge of the trunk.
    fn in_its_bridge(mut self) -> Self {
        if let Some(trunk) = &self.trunk {
            let name = model::trunk_bridge(&trunk.trunk_id);
            let inactive = self.inactive.iter_mut().map(|(binding, _)| binding.vif_details());
            let bindings = std::iter::once(&mut self.row.vif_details.0).chain(inactive);
            for details in bindings.filter(|details| details.contains_key(BRIDGE_NAME)) {
                details.insert(BRIDGE_NAME.to_owned(), name.clone().into());
            }
        }
        self
    }

    /// As the API shows it.
    fn body(self) -> rest::Port {
        let Self { row, fixed_ips, groups, network_qos_policy, trunk, .. } = self;
        rest::Port {
            id: row.id,
            project_id: row.project_id,
            network_id: row.network_id,
            name: row.name,
            description: row.description,
            admin_state_up: row.admin_state_up,
            status: row.status,
            mac_address: row.mac_address,
            fixed_ips,
            security_groups: groups,
            port_security_enabled: row.port_security_enabled,
            allowed_address_pairs: row.allowed_address_pairs.0,
            device_id: row.device_id,
            device_owner: row.device_owner,
            host: row.host,
            vnic_type: row.vnic_type,
            profile: row.profile.0,
            vif_type: row.vif_type,
            vif_details: row.vif_details.0,
            extra_dhcp_opts: Vec::new(),
            qos_policy_id: row.qos_policy_id,
            qos_network_policy_id: network_qos_policy,
            trunk_details: trunk,
            tags: row.tags.0,
            revision_number: row.revision_number.unsigned_abs(),
            created_at: row.created_at.to_string(),
            updated_at: row.updated_at.to_string(),
        }
    }

    /// As agents are told of it.
    pub(crate) fn object(self) -> object::Port {
        let Self { row, fixed_ips, groups, segment, network_qos_policy, inactive, .. } = self;
        let fixed_ip = |ip: rest::FixedIp| object::IpAllocation {
            port_id: Some(row.id.clone()),
            subnet_id: ip.subnet_id,
            network_id: row.network_id.clone(),
            ip_address: ip.ip_address,
            ..Default::default()
        };
        let pair = |pair: &rest::AddressPair| object::AllowedAddressPair {
            port_id: row.id.clone(),
            mac_address: pair.mac_address.clone(),
            ip_address: pair.ip_address.clone(),
            ..Default::default()
        };
        let level = |host: &str, segment: Segment| object::PortBindingLevel {
            port_id: row.id.clone(),
            host: host.to_owned(),
            level: 0,
            driver: Some("openvswitch".to_owned()),
            segment_id: Some(segment.id.clone()),
            segment: Some(segment.object()),
            ..Default::default()
        };
        let security = object::PortSecurity {
            id: row.id.clone(),
            port_security_enabled: row.port_security_enabled,
            ..Default::default()
        };
        let mut levels: Vec<_> =
            segment.into_iter().map(|segment| level(&row.host, segment)).collect();
        for (binding, segment) in &inactive {
            levels.extend(segment.clone().map(|segment| level(&binding.host, segment)));
        }
        let binding = object::PortBinding {
            port_id: row.id.clone(),
            host: row.host.clone(),
            profile: row.profile.0,
            vif_details: Some(row.vif_details.0).filter(|_| binding::is_bound(&row.vif_type)),
            vif_type: row.vif_type,
            vnic_type: row.vnic_type,
            status: Some(object::PortBinding::ACTIVE.to_owned()),
            ..Default::default()
        };
        object::Port {
            allowed_address_pairs: row.allowed_address_pairs.iter().map(pair).collect(),
            bindings: std::iter::once(binding)
                .chain(inactive.into_iter().map(|(binding, _)| binding.object()))
                .collect(),
            fixed_ips: fixed_ips.into_iter().map(fixed_ip).collect(),
            security: Some(security),
            security_group_ids: groups,
            qos_policy_id: row.qos_policy_id,
            qos_network_policy_id: network_qos_policy,
            binding_levels: levels,
            id: row.id.clone(),
            project_id: Some(row.project_id),
            name: Some(row.name),
            network_id: row.network_id.clone(),
            mac_address: row.mac_address,
            admin_state_up: row.admin_state_up,
            device_id: row.device_id,
            device_owner: row.device_owner,
            status: row.status,
            revision_number: row.revision_number.unsigned_abs(),
            description: Some(row.description),
            created_at: Some(row.created_at.to_string()),
            updated_at: Some(row.updated_at.to_string()),
            ..Default::default()
        }
    }
}
