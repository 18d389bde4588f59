//! Subnets: the core resource with its pools, routes and IPv6 modes.

use serde::{Deserialize, Serialize};

use super::{Attribute, Resource, check, present, yes};

/// The attributes of a subnet.
pub const SUBNET: Resource = Resource {
    name: "subnet",
    plural: "subnets",
    path: "subnets",
    attributes: &[
        Attribute::shown("id"),
        Attribute::fixed("project_id", check::text),
        Attribute::given("network_id", check::uuid),
        Attribute::given("ip_version", check::ip_version),
        Attribute::given("cidr", check::subnet),
        Attribute::open("name", check::text),
        Attribute::open("description", check::text_or_null),
        Attribute::open("gateway_ip", check::address_or_null),
        Attribute::open("allocation_pools", check::pools),
        Attribute::open("dns_nameservers", check::addresses),
        Attribute::open("host_routes", check::routes),
        Attribute::open("enable_dhcp", check::boolean),
        Attribute::fixed("ipv6_ra_mode", check::ipv6_mode),
        Attribute::fixed("ipv6_address_mode", check::ipv6_mode),
        Attribute::shown("subnetpool_id"),
        Attribute::shown("service_types"),
        Attribute::shown("segment_id"),
        Attribute::shown("dns_publish_fixed_ip"),
        Attribute::shown("tags"),
        Attribute::shown("revision_number"),
        Attribute::shown("created_at"),
        Attribute::shown("updated_at"),
    ],
};

/// Addresses from `start` to `end`, both included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// The first address.
    pub start: String,
    /// The last address.
    pub end: String,
}

/// A route that hosts of the subnet are told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRoute {
    /// The prefix.
    pub destination: String,
    /// The address of the router.
    pub nexthop: String,
}

/// A subnet as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subnet {
    /// UUID.
    pub id: String,
    /// The owner.
    pub project_id: String,
    /// UUID of its network.
    pub network_id: String,
    /// The name, which need not be unique.
    pub name: String,
    /// Free text.
    pub description: String,
    /// 4 or 6.
    pub ip_version: u8,
    /// Its prefix.
    pub cidr: String,
    /// The address of the gateway.
    pub gateway_ip: Option<String>,
    /// What addresses are taken from.
    pub allocation_pools: Vec<Pool>,
    /// Addresses of name servers.
    pub dns_nameservers: Vec<String>,
    /// Routes that hosts are told of.
    pub host_routes: Vec<HostRoute>,
    /// Whether it has DHCP.
    pub enable_dhcp: bool,
    /// Who announces the prefix.
    pub ipv6_ra_mode: Option<String>,
    /// How hosts get their IPv6 addresses.
    pub ipv6_address_mode: Option<String>,
    /// Null.
    pub subnetpool_id: Option<String>,
    /// Empty.
    pub service_types: Vec<String>,
    /// Null.
    pub segment_id: Option<String>,
    /// Whether DNS names of ports are published; never.
    pub dns_publish_fixed_ip: bool,
    /// Words that a user has put on it.
    pub tags: Vec<String>,
    /// Counts the changes.
    pub revision_number: u64,
    /// `YYYY-MM-DDThh:mm:ssZ`.
    pub created_at: String,
    /// `YYYY-MM-DDThh:mm:ssZ`.
    pub updated_at: String,
}

/// A subnet as it is asked for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SubnetCreate {
    /// The owner.
    pub project_id: String,
    /// UUID of its network.
    pub network_id: String,
    /// 4 or 6.
    pub ip_version: u8,
    /// Its prefix.
    pub cidr: String,
    /// The name.
    #[serde(default)]
    pub name: String,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// The gateway; null for none, the first address where it is missing.
    #[serde(default, deserialize_with = "present")]
    pub gateway_ip: Option<Option<String>>,
    /// What addresses are taken from; everything but the gateway where it is missing.
    pub allocation_pools: Option<Vec<Pool>>,
    /// Addresses of name servers.
    #[serde(default)]
    pub dns_nameservers: Vec<String>,
    /// Routes that hosts are told of.
    #[serde(default)]
    pub host_routes: Vec<HostRoute>,
    /// Whether it has DHCP.
    #[serde(default = "yes")]
    pub enable_dhcp: bool,
    /// Who announces the prefix.
    pub ipv6_ra_mode: Option<String>,
    /// How hosts get their IPv6 addresses.
    pub ipv6_address_mode: Option<String>,
}

/// What is to change of a subnet; what is missing stays.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SubnetUpdate {
    /// The name.
    pub name: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// The gateway; null for none.
    #[serde(default, deserialize_with = "present")]
    pub gateway_ip: Option<Option<String>>,
    /// What addresses are taken from.
    pub allocation_pools: Option<Vec<Pool>>,
    /// Addresses of name servers.
    pub dns_nameservers: Option<Vec<String>>,
    /// Routes that hosts are told of.
    pub host_routes: Option<Vec<HostRoute>>,
    /// Whether it has DHCP.
    pub enable_dhcp: Option<bool>,
}
