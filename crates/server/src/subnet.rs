//! Subnets.

use std::net::IpAddr;

use ipnet::IpNet;
use neutron::object::{self, Object, ResourceType};
use neutron::rest;
use sqlx::types::Json;
use sqlx::{FromRow, SqliteConnection};
use uuid::Uuid;

use crate::error::ApiError;
use crate::ipam::{self, Range};
use crate::network;
use crate::quota;
use crate::resource::{Resource, Selection};
use crate::store::Unit;
use crate::time::Timestamp;

/// Neutron's limits of name servers and routes of one subnet.
const MOST_NAME_SERVERS: usize = 5;
const MOST_ROUTES: usize = 20;

/// A subnet.
#[derive(Debug, Clone)]
pub(crate) struct Subnet {
    row: Row,
    net: IpNet,
}

#[derive(Debug, Clone, FromRow)]
struct Row {
    id: String,
    project_id: String,
    network_id: String,
    name: String,
    description: String,
    cidr: String,
    gateway_ip: Option<String>,
    allocation_pools: Json<Vec<rest::Pool>>,
    dns_nameservers: Json<Vec<String>>,
    host_routes: Json<Vec<rest::HostRoute>>,
    enable_dhcp: bool,
    ipv6_ra_mode: Option<String>,
    ipv6_address_mode: Option<String>,
    tags: Json<Vec<String>>,
    revision_number: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl Resource for Subnet {
    const REST: &'static rest::Resource = &rest::SUBNET;
    const INDEXED: &'static [&'static str] = &["id", "network_id", "name", "project_id"];
    type Body = rest::Subnet;
    type Create = rest::SubnetCreate;
    type Update = rest::SubnetUpdate;

    async fn create(unit: &mut Unit, request: rest::SubnetCreate) -> Result<String, ApiError> {
        quota::check(unit, "subnet", &request.project_id).await?;
        network::get(unit.connection(), &request.network_id).await?;
        let net = net(&request)?;
        refuse_overlap(unit, net, &request.network_id).await?;
        refuse_modes(net, &request)?;
        refuse_dhcp(net, request.enable_dhcp)?;
        let gateway = match &request.gateway_ip {
            None => Some(ipam::default_gateway(net)),
            Some(None) => None,
            Some(Some(text)) => Some(gateway(net, text)?),
        };
        let pools = match &request.allocation_pools {
            None => ipam::default_pools(net, gateway),
            Some(given) => pools(net, given)?,
        };
        if request.allocation_pools.is_some() {
            refuse_gateway_in_pools(gateway, &pools)?;
        }
        refuse_extras(net, "new subnet", &request.dns_nameservers, &request.host_routes)?;
        let id = Uuid::new_v4().to_string();
        sqlx::query(
            "INSERT INTO subnets (id, project_id, network_id, name, description, ip_version, cidr,
                gateway_ip, allocation_pools, dns_nameservers, host_routes, enable_dhcp,
                ipv6_ra_mode, ipv6_address_mode, tags, revision_number, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, '[]', 0, ?15,
                ?15)",
        )
        .bind(&id)
        .bind(&request.project_id)
        .bind(&request.network_id)
        .bind(&request.name)
        .bind(&request.description)
        .bind(request.ip_version)
        .bind(net.to_string())
        .bind(gateway.map(|address| address.to_string()))
        .bind(Json(shown(&pools)))
        .bind(Json(&request.dns_nameservers))
        .bind(Json(&request.host_routes))
        .bind(request.enable_dhcp)
        .bind(&request.ipv6_ra_mode)
        .bind(&request.ipv6_address_mode)
        .bind(Timestamp::now())
        .execute(unit.connection())
        .await?;
        tell(unit, &id).await?;
        network::touch(unit, &request.network_id).await?;
        Ok(id)
    }

    async fn update(
        unit: &mut Unit,
        id: &str,
        request: rest::SubnetUpdate,
    ) -> Result<(), ApiError> {
        let subnet = get(unit.connection(), id).await?;
        let was_dhcp = subnet.row.enable_dhcp;
        let pools = match &request.allocation_pools {
            None => subnet.pools()?,
            Some(given) => pools(subnet.net, given)?,
        };
        let Self { row, net } = subnet;
        let gateway = match &request.gateway_ip {
            None => row.gateway_ip.as_deref().and_then(|text| text.parse().ok()),
            Some(None) => None,
            Some(Some(text)) => Some(gateway(net, text)?),
        };
        if request.gateway_ip.is_some() || request.allocation_pools.is_some() {
            refuse_gateway_in_pools(gateway, &pools)?;
        }
        let enable_dhcp = request.enable_dhcp.unwrap_or(was_dhcp);
        refuse_dhcp(net, enable_dhcp && !was_dhcp)?;
        let dns_nameservers = request.dns_nameservers.unwrap_or(row.dns_nameservers.0);
        let host_routes = request.host_routes.unwrap_or(row.host_routes.0);
        refuse_extras(net, id, &dns_nameservers, &host_routes)?;
        sqlx::query(
            "UPDATE subnets SET name = ?2, description = ?3, gateway_ip = ?4,
                allocation_pools = ?5, dns_nameservers = ?6, host_routes = ?7, enable_dhcp = ?8,
                revision_number = revision_number + 1, updated_at = ?9
             WHERE id = ?1",
        )
        .bind(id)
        .bind(request.name.unwrap_or(row.name))
        .bind(request.description.unwrap_or(row.description))
        .bind(gateway.map(|address| address.to_string()))
        .bind(Json(shown(&pools)))
        .bind(Json(dns_nameservers))
        .bind(Json(host_routes))
        .bind(enable_dhcp)
        .bind(Timestamp::now())
        .execute(unit.connection())
        .await?;
        tell(unit, id).await
    }

    async fn delete(unit: &mut Unit, id: &str) -> Result<(), ApiError> {
        let subnet = get(unit.connection(), id).await?;
        let used: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM ip_allocations WHERE subnet_id = ?)")
                .bind(id)
                .fetch_one(unit.connection())
                .await?;
        if used {
            return Err(rest::Error::SubnetInUse { id: id.to_owned() }.into());
        }
        sqlx::query("DELETE FROM subnets WHERE id = ?").bind(id).execute(unit.connection()).await?;
        unit.deleted(ResourceType::Subnet, id);
        network::touch(unit, &subnet.row.network_id).await
    }

    async fn find(
        connection: &mut SqliteConnection,
        selection: Selection<'_>,
    ) -> Result<Vec<rest::Subnet>, ApiError> {
        Ok(load(connection, selection).await?.into_iter().map(Subnet::body).collect())
    }

    fn not_found(id: &str) -> rest::Error {
        rest::Error::SubnetNotFound { id: id.to_owned() }
    }
}

/// The selected subnets.
pub(crate) async fn load(
    connection: &mut SqliteConnection,
    selection: Selection<'_>,
) -> Result<Vec<Subnet>, ApiError> {
    let rows: Vec<Row> = selection.rows(connection, "SELECT * FROM subnets").await?;
    let subnet = |row: Row| match row.cidr.parse() {
        Ok(net) => Ok(Subnet { row, net }),
        Err(_) => Err(ApiError::Broken { what: "subnet", value: row.cidr }),
    };
    rows.into_iter().map(subnet).collect()
}

/// The subnets of a network.
pub(crate) async fn of_network(
    connection: &mut SqliteConnection,
    network: &str,
) -> Result<Vec<Subnet>, ApiError> {
    let values = &[network.to_owned()];
    load(connection, Selection::Where { column: "network_id", values }).await
}

async fn get(connection: &mut SqliteConnection, id: &str) -> Result<Subnet, ApiError> {
    let found = load(connection, Selection::id(&id.to_owned())).await?;
    found.into_iter().next().ok_or_else(|| Subnet::not_found(id).into())
}

async fn tell(unit: &mut Unit, id: &str) -> Result<(), ApiError> {
    let subnet = get(unit.connection(), id).await?;
    unit.updated(vec![Object::Subnet(subnet.object())]);
    Ok(())
}

/// The prefix that is asked for.
fn net(request: &rest::SubnetCreate) -> Result<IpNet, ApiError> {
    let broken = || ApiError::Broken { what: "cidr", value: request.cidr.clone() };
    let net: IpNet = request.cidr.parse().map_err(|_| broken())?;
    if version(net) != request.ip_version {
        return Err(invalid(format!(
            "cidr '{net}' does not match the ip_version '{}'",
            request.ip_version
        )));
    }
    if net.prefix_len() == 0 {
        return Err(invalid("0 is not allowed as CIDR prefix length (cidr)"));
    }
    if let IpNet::V6(v6) = net
        && v6.network().is_unspecified()
    {
        return Err(invalid("IPv6 subnet '::' is not supported (cidr)"));
    }
    Ok(net)
}

async fn refuse_overlap(unit: &mut Unit, net: IpNet, network: &str) -> Result<(), ApiError> {
    let others = of_network(unit.connection(), network).await?;
    match others.iter().any(|other| other.net.contains(&net) || net.contains(&other.net)) {
        true => Err(invalid(format!(
            "Requested subnet with cidr: {net} for network: {network} overlaps with another subnet"
        ))),
        false => Ok(()),
    }
}

fn refuse_modes(net: IpNet, request: &rest::SubnetCreate) -> Result<(), ApiError> {
    let modes = [
        ("ipv6_ra_mode", &request.ipv6_ra_mode),
        ("ipv6_address_mode", &request.ipv6_address_mode),
    ];
    let Some((name, _)) = modes.iter().find(|(_, mode)| mode.is_some()) else { return Ok(()) };
    if version(net) == 4 {
        return Err(invalid(format!("{name} is not valid when ip_version is 4")));
    }
    if !request.enable_dhcp {
        return Err(invalid(format!("{name} cannot be set when enable_dhcp is set to False")));
    }
    if let (Some(ra), Some(address)) = (&request.ipv6_ra_mode, &request.ipv6_address_mode)
        && ra != address
    {
        return Err(invalid(format!(
            "ipv6_ra_mode set to '{ra}' with ipv6_address_mode set to '{address}' is not valid. \
             If both attributes are set, they must be the same value"
        )));
    }
    if is_automatic(&request.ipv6_ra_mode, &request.ipv6_address_mode) && net.prefix_len() != 64 {
        return Err(invalid(format!(
            "Invalid CIDR {net} for IPv6 address mode. OpenStack uses the EUI-64 address format, \
             which requires the prefix to be /64 (cidr)"
        )));
    }
    Ok(())
}

/// What cannot be served by DHCP.
fn refuse_dhcp(net: IpNet, enable_dhcp: bool) -> Result<(), ApiError> {
    let most = if version(net) == 4 { 30 } else { 126 };
    let reason = match net.network() {
        _ if !enable_dhcp => return Ok(()),
        _ if net.prefix_len() > most => {
            "Subnet has a prefix length (cidr) that is incompatible with DHCP service enabled"
        }
        address if address.is_multicast() => {
            "Multicast IP subnet (cidr) is not supported if enable_dhcp is True"
        }
        address if address.is_loopback() => {
            "Loopback IP subnet (cidr) is not supported if enable_dhcp is True"
        }
        IpAddr::V4(address) if address.is_unspecified() => {
            "First IP '0.0.0.0' of network (cidr) is not supported if enable_dhcp is True."
        }
        _ => return Ok(()),
    };
    Err(invalid(reason))
}

fn gateway(net: IpNet, text: &str) -> Result<IpAddr, ApiError> {
    let broken = || ApiError::Broken { what: "gateway_ip", value: text.to_owned() };
    let address: IpAddr = text.parse().map_err(|_| broken())?;
    refuse_version(net, "gateway_ip", address)?;
    let inside_but_no_host = net.contains(&address)
        && address.is_ipv4()
        && [net.network(), net.broadcast()].contains(&address);
    match inside_but_no_host && net.prefix_len() <= 30 {
        true => Err(invalid("Gateway is not valid on subnet (gateway_ip)")),
        false => Ok(address),
    }
}

fn pools(net: IpNet, given: &[rest::Pool]) -> Result<Vec<Range>, ApiError> {
    let hosts = ipam::hosts(net);
    let mut pools: Vec<Range> = Vec::new();
    for rest::Pool { start, end } in given {
        let text = format!("{start}-{end} (allocation_pools)");
        let range = match (start.parse(), end.parse()) {
            (Ok(first), Ok(last)) => Range::new(first, last),
            _ => None,
        };
        let Some(range) = range.filter(|range| range.first.is_ipv4() == hosts.first.is_ipv4())
        else {
            return Err(rest::Error::InvalidAllocationPool { pool: text }.into());
        };
        if !hosts.contains(range.first) || !hosts.contains(range.last) {
            let cidr = net.to_string();
            return Err(rest::Error::OutOfBoundsAllocationPool { pool: text, cidr }.into());
        }
        if let Some(other) = pools.iter().find(|other| other.overlaps(&range)) {
            return Err(rest::Error::OverlappingAllocationPools {
                first: other.to_string(),
                second: text,
                cidr: net.to_string(),
            }
            .into());
        }
        pools.push(range);
    }
    Ok(pools)
}

fn refuse_gateway_in_pools(gateway: Option<IpAddr>, pools: &[Range]) -> Result<(), ApiError> {
    let Some(gateway) = gateway else { return Ok(()) };
    match pools.iter().find(|pool| pool.contains(gateway)) {
        Some(pool) => Err(rest::Error::GatewayConflictWithAllocationPools {
            address: gateway.to_string(),
            pool: pool.to_string(),
        }
        .into()),
        None => Ok(()),
    }
}

fn refuse_extras(
    net: IpNet,
    subnet: &str,
    name_servers: &[String],
    routes: &[rest::HostRoute],
) -> Result<(), ApiError> {
    let subnet = subnet.to_owned();
    if name_servers.len() > MOST_NAME_SERVERS {
        let quota = MOST_NAME_SERVERS;
        return Err(rest::Error::DnsNameServersExhausted { subnet, quota }.into());
    }
    if routes.len() > MOST_ROUTES {
        return Err(rest::Error::HostRoutesExhausted { subnet, quota: MOST_ROUTES }.into());
    }
    for address in name_servers.iter().filter_map(|text| text.parse().ok()) {
        refuse_version(net, "dns_nameservers", address)?;
    }
    for route in routes {
        let destination = route.destination.parse().ok().map(|net: IpNet| net.network());
        for address in destination.into_iter().chain(route.nexthop.parse().ok()) {
            refuse_version(net, "host_routes", address)?;
        }
    }
    Ok(())
}

fn refuse_version(net: IpNet, name: &str, address: IpAddr) -> Result<(), ApiError> {
    match address.is_ipv4() == (version(net) == 4) {
        true => Ok(()),
        false => Err(invalid(format!(
            "{name} '{address}' does not match the ip_version '{}'",
            version(net)
        ))),
    }
}

fn version(net: IpNet) -> u8 {
    match net {
        IpNet::V4(_) => 4,
        IpNet::V6(_) => 6,
    }
}

/// Whether stations form their own addresses.
fn is_automatic(ra_mode: &Option<String>, address_mode: &Option<String>) -> bool {
    [ra_mode, address_mode]
        .into_iter()
        .any(|mode| matches!(mode.as_deref(), Some("slaac" | "dhcpv6-stateless")))
}

fn shown(pools: &[Range]) -> Vec<rest::Pool> {
    let pool =
        |range: &Range| rest::Pool { start: range.first.to_string(), end: range.last.to_string() };
    pools.iter().map(pool).collect()
}

fn invalid(reason: impl Into<String>) -> ApiError {
    rest::Error::InvalidInput { reason: reason.into() }.into()
}

impl Subnet {
    pub(crate) fn id(&self) -> &str {
        &self.row.id
    }

    pub(crate) fn net(&self) -> IpNet {
        self.net
    }

    pub(crate) fn version(&self) -> u8 {
        version(self.net)
    }

    /// Whether stations form their own addresses.
    pub(crate) fn is_automatic(&self) -> bool {
        is_automatic(&self.row.ipv6_ra_mode, &self.row.ipv6_address_mode)
    }

    /// What addresses are taken from.
    pub(crate) fn pools(&self) -> Result<Vec<Range>, ApiError> {
        pools(self.net, &self.row.allocation_pools)
    }

    /// As the API shows it.
    fn body(self) -> rest::Subnet {
        let Self { row, net } = self;
        rest::Subnet {
            id: row.id,
            project_id: row.project_id,
            network_id: row.network_id,
            name: row.name,
            description: row.description,
            ip_version: version(net),
            cidr: row.cidr,
            gateway_ip: row.gateway_ip,
            allocation_pools: row.allocation_pools.0,
            dns_nameservers: row.dns_nameservers.0,
            host_routes: row.host_routes.0,
            enable_dhcp: row.enable_dhcp,
            ipv6_ra_mode: row.ipv6_ra_mode,
            ipv6_address_mode: row.ipv6_address_mode,
            subnetpool_id: None,
            service_types: Vec::new(),
            segment_id: None,
            dns_publish_fixed_ip: false,
            tags: row.tags.0,
            revision_number: row.revision_number.unsigned_abs(),
            created_at: row.created_at.to_string(),
            updated_at: row.updated_at.to_string(),
        }
    }

    /// As agents are told of it.
    pub(crate) fn object(self) -> object::Subnet {
        let Self { row, net } = self;
        let pool = |pool: &rest::Pool| object::IpAllocationPool {
            subnet_id: row.id.clone(),
            start: pool.start.clone(),
            end: pool.end.clone(),
            ..Default::default()
        };
        object::Subnet {
            id: row.id.clone(),
            project_id: Some(row.project_id),
            name: Some(row.name),
            network_id: row.network_id,
            ip_version: version(net),
            cidr: row.cidr,
            gateway_ip: row.gateway_ip,
            allocation_pools: row.allocation_pools.iter().map(pool).collect(),
            enable_dhcp: Some(row.enable_dhcp),
            revision_number: row.revision_number.unsigned_abs(),
            description: Some(row.description),
            created_at: Some(row.created_at.to_string()),
            updated_at: Some(row.updated_at.to_string()),
            ..Default::default()
        }
    }
}
