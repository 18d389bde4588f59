//! Subnets. What can be one is in [`check`].

mod check;

use ipnet::IpNet;
use neutron::object::{self, Object, ResourceType};
use neutron::rest;
use sqlx::types::Json;
use sqlx::{FromRow, SqliteConnection};
use uuid::Uuid;

use crate::error::ApiError;
use crate::ipam::{self, Range};
use crate::mtu;
use crate::network;
use crate::quota;
use crate::resource::{Resource, Selection};
use crate::store::Unit;
use crate::time::Timestamp;

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
        let network = network::get(unit.connection(), &request.network_id).await?;
        let net = check::net(&request)?;
        mtu::refuse_too_small(&request.network_id, network.row.mtu, [check::version(net)])?;
        refuse_overlap(unit, net, &request.network_id).await?;
        check::refuse_modes(net, &request)?;
        check::refuse_dhcp(net, request.enable_dhcp)?;
        let gateway = match &request.gateway_ip {
            None => Some(ipam::default_gateway(net)),
            Some(None) => None,
            Some(Some(text)) => Some(check::gateway(net, text)?),
        };
        let pools = match &request.allocation_pools {
            None => ipam::default_pools(net, gateway),
            Some(given) => check::pools(net, given)?,
        };
        if request.allocation_pools.is_some() {
            check::refuse_gateway_in_pools(gateway, &pools)?;
        }
        check::refuse_extras(net, "new subnet", &request.dns_nameservers, &request.host_routes)?;
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
            Some(given) => check::pools(subnet.net, given)?,
        };
        let Self { row, net } = subnet;
        let gateway = match &request.gateway_ip {
            None => row.gateway_ip.as_deref().and_then(|text| text.parse().ok()),
            Some(None) => None,
            Some(Some(text)) => Some(check::gateway(net, text)?),
        };
        if request.gateway_ip.is_some() || request.allocation_pools.is_some() {
            check::refuse_gateway_in_pools(gateway, &pools)?;
        }
        let enable_dhcp = request.enable_dhcp.unwrap_or(was_dhcp);
        check::refuse_dhcp(net, enable_dhcp && !was_dhcp)?;
        let dns_nameservers = request.dns_nameservers.unwrap_or(row.dns_nameservers.0);
        let host_routes = request.host_routes.unwrap_or(row.host_routes.0);
        check::refuse_extras(net, id, &dns_nameservers, &host_routes)?;
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
        unit.remove("subnets", id).await?;
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

async fn refuse_overlap(unit: &mut Unit, net: IpNet, network: &str) -> Result<(), ApiError> {
    let others = of_network(unit.connection(), network).await?;
    match others.iter().any(|other| other.net.contains(&net) || net.contains(&other.net)) {
        true => Err(check::invalid(format!(
            "Requested subnet with cidr: {net} for network: {network} overlaps with another subnet"
        ))),
        false => Ok(()),
    }
}

fn shown(pools: &[Range]) -> Vec<rest::Pool> {
    let pool =
        |range: &Range| rest::Pool { start: range.first.to_string(), end: range.last.to_string() };
    pools.iter().map(pool).collect()
}

impl Subnet {
    pub(crate) fn id(&self) -> &str {
        &self.row.id
    }

    pub(crate) fn net(&self) -> IpNet {
        self.net
    }

    pub(crate) fn version(&self) -> u8 {
        check::version(self.net)
    }

    /// Whether stations form their own addresses.
    pub(crate) fn is_automatic(&self) -> bool {
        check::is_automatic(&self.row.ipv6_ra_mode, &self.row.ipv6_address_mode)
    }

    /// What addresses are taken from.
    pub(crate) fn pools(&self) -> Result<Vec<Range>, ApiError> {
        check::pools(self.net, &self.row.allocation_pools)
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
            ip_version: check::version(net),
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
            ip_version: check::version(net),
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
