//! Every error that the API answers with: status, Neutron's type of it, and what it says.
//!
//! Messages are Neutron's, with the name of the attribute added where Neutron leaves it out.

use serde::{Deserialize, Serialize};

/// The body of an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The error.
    #[serde(rename = "NeutronError")]
    pub error: ErrorDetail,
}

/// An error as the client sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// The name of Neutron's exception.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it says.
    pub message: String,
    /// Always empty.
    pub detail: String,
}

macro_rules! errors {
    ($($(#[$doc:meta])* $status:literal $kind:literal $name:ident { $($field:ident: $type:ty),* }
       $message:literal;)*) => {
        /// Why a request is refused.
        #[non_exhaustive]
        #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
        #[allow(missing_docs, reason = "the fields are the words that the message leaves open")]
        pub enum Error {
            $($(#[$doc])* #[error($message)] $name { $($field: $type),* },)*
        }

        impl Error {
            /// The HTTP status.
            pub const fn status(&self) -> u16 {
                match self {
                    $(Self::$name { .. } => $status,)*
                }
            }

            /// The name of Neutron's exception.
            pub const fn kind(&self) -> &'static str {
                match self {
                    $(Self::$name { .. } => $kind,)*
                }
            }
        }
    };
}

impl Error {
    /// The body that says so.
    pub fn body(&self) -> ErrorBody {
        ErrorBody {
            error: ErrorDetail {
                kind: self.kind().to_owned(),
                message: self.to_string(),
                detail: String::new(),
            },
        }
    }
}

errors! {
    // Of the request itself.
    400 "HTTPBadRequest" BodyRequired {} "Resource body required";
    400 "HTTPBadRequest" InvalidBody { reason: String } "Body contains invalid data: {reason}";
    400 "HTTPBadRequest" ResourcesRequired {} "Resources required";
    400 "HTTPBadRequest" NotInBody { resource: &'static str }
        "Unable to find '{resource}' in request body";
    400 "HTTPBadRequest" InvalidObject { resource: &'static str }
        "Object '{resource}' contains invalid data";
    400 "HTTPBadRequest" Unrecognized { attributes: String }
        "Unrecognized attribute(s) '{attributes}'";
    400 "HTTPBadRequest" NotAllowedInPost { attribute: &'static str }
        "Attribute '{attribute}' not allowed in POST";
    400 "HTTPBadRequest" Required { attribute: &'static str }
        "Failed to parse request. Required attribute '{attribute}' not specified";
    400 "HTTPBadRequest" ReadOnly { attribute: &'static str }
        "Cannot update read-only attribute {attribute}";
    400 "HTTPBadRequest" Invalid { attribute: &'static str, reason: String }
        "Invalid input for {attribute}. Reason: {reason}.";
    400 "HTTPBadRequest" ProjectMismatch {} "'project_id' and 'tenant_id' do not match";
    400 "HTTPBadRequest" InvalidFilter { keys: String }
        "[{keys}] is invalid attribute for filtering";
    400 "HTTPBadRequest" InvalidSortKey { keys: String }
        "[{keys}] is invalid attribute for sort_keys";
    400 "HTTPBadRequest" InvalidSortDirection { direction: String }
        "{direction} is invalid value for sort_dirs, valid value is 'asc' and 'desc'";
    400 "HTTPBadRequest" SortPairs {} "The number of sort_keys and sort_dirs must be same";
    400 "BadRequest" InvalidLimit { limit: String }
        "Bad limit request: Limit must be an integer 0 or greater and not '{limit}'.";
    400 "InvalidInput" InvalidInput { reason: String } "Invalid input for operation: {reason}.";
    404 "HTTPNotFound" NotFound {} "The resource could not be found.";
    404 "HTTPNotFound" ExtensionNotFound { alias: String }
        "Extension with alias {alias} does not exist";
    405 "HTTPMethodNotAllowed" MethodNotAllowed {}
        "The method is not allowed for this resource.";
    413 "HTTPRequestEntityTooLarge" BodyTooLarge {} "The request body is too large.";
    500 "HTTPInternalServerError" Internal {}
        "Request Failed: internal server error while processing your request.";
    503 "HTTPServiceUnavailable" StoreUnavailable {}
        "The store cannot be written now; nothing was changed.";

    // Networks and segments.
    404 "NetworkNotFound" NetworkNotFound { id: String } "Network {id} could not be found.";
    409 "NetworkInUse" NetworkInUse { id: String, ports: String }
        "Unable to complete operation on network {id}. There are one or more ports still in use on the network, id for these ports is: {ports}.";
    409 "VlanIdInUse" VlanIdInUse { vlan: i64, physical_network: String }
        "Unable to create the network. The VLAN {vlan} on physical network {physical_network} is in use.";
    409 "FlatNetworkInUse" FlatNetworkInUse { physical_network: String }
        "Unable to create the flat network. Physical network {physical_network} is in use.";
    409 "TunnelIdInUse" TunnelIdInUse { number: u32 }
        "Unable to create the network. The tunnel ID {number} is in use.";
    503 "NoNetworkAvailable" NoNetworkAvailable { why: String }
        "Unable to create the network. No project network is available for allocation. ({why})";
    409 "NetworkMTUSubnetConflict" NetworkMtuSubnetConflict { id: String, least: u32 }
        "MTU of {id} is not valid, subnet requires a minimum of {least}";
    400 "SegmentsSetInConjunctionWithProviders" SegmentsSetInConjunctionWithProviders {}
        "Segments and provider values cannot both be set.";
    400 "SegmentsContainDuplicateEntry" SegmentsContainDuplicateEntry {}
        "Duplicate segment entry in request.";
    404 "SegmentNotFound" SegmentNotFound { id: String } "Segment {id} could not be found.";
    409 "SegmentInUse" SegmentInUse { id: String, reason: String }
        "Segment '{id}' cannot be deleted: {reason}.";

    // Subnets and addresses.
    404 "SubnetNotFound" SubnetNotFound { id: String } "Subnet {id} could not be found.";
    409 "SubnetInUse" SubnetInUse { id: String }
        "Unable to complete operation on subnet {id}: One or more ports have an IP allocation from this subnet.";
    400 "InvalidAllocationPool" InvalidAllocationPool { pool: String }
        "The allocation pool {pool} is not valid.";
    400 "OutOfBoundsAllocationPool" OutOfBoundsAllocationPool { pool: String, cidr: String }
        "The allocation pool {pool} spans beyond the subnet cidr {cidr}.";
    409 "OverlappingAllocationPools" OverlappingAllocationPools { first: String, second: String, cidr: String }
        "Found overlapping allocation pools: {first} {second} for subnet {cidr}.";
    409 "GatewayConflictWithAllocationPools" GatewayConflictWithAllocationPools { address: String, pool: String }
        "Gateway ip {address} conflicts with allocation pool {pool}.";
    400 "DNSNameServersExhausted" DnsNameServersExhausted { subnet: String, quota: usize }
        "Unable to complete operation for {subnet}. The number of DNS nameservers (dns_nameservers) exceeds the limit {quota}.";
    400 "HostRoutesExhausted" HostRoutesExhausted { subnet: String, quota: usize }
        "Unable to complete operation for {subnet}. The number of host routes (host_routes) exceeds the limit {quota}.";
    400 "InvalidIpForNetwork" InvalidIpForNetwork { address: String }
        "IP address {address} (fixed_ips) is not a valid IP for any of the subnets on the specified network.";
    400 "InvalidIpForSubnet" InvalidIpForSubnet { address: String }
        "IP address {address} (fixed_ips) is not a valid IP for the specified subnet.";
    409 "IpAddressAlreadyAllocated" IpAddressAlreadyAllocated { address: String, subnet: String }
        "IP address {address} (fixed_ips) already allocated in subnet {subnet}";
    409 "IpAddressGenerationFailure" IpAddressGenerationFailure { network: String }
        "No more IP addresses available on network {network}.";
    400 "AllocationOnAutoAddressSubnet" AllocationOnAutoAddressSubnet { address: String, subnet: String }
        "IPv6 address {address} (fixed_ips) cannot be directly assigned to a port on subnet {subnet} as the subnet is configured for automatic addresses";

    // Ports.
    404 "PortNotFound" PortNotFound { id: String } "Port {id} could not be found.";
    409 "MacAddressInUse" MacAddressInUse { network: String, mac: String }
        "Unable to complete operation for network {network}. The mac address {mac} (mac_address) is in use.";
    409 "PortBound" PortBound { id: String, vif_type: String, old: String, new: String }
        "Unable to complete operation on port {id}, port is already bound, port type: {vif_type}, old_mac {old}, new_mac {new}.";
    400 "PortSecurityAndIPRequiredForSecurityGroups" PortSecurityAndIpRequired {}
        "Port security (port_security_enabled) must be enabled and port must have an IP address in order to use security groups.";
    409 "PortSecurityPortHasSecurityGroup" PortSecurityPortHasSecurityGroup {}
        "Port has security group associated. Cannot disable port security (port_security_enabled) or IP address until security group is removed.";
    409 "AddressPairAndPortSecurityRequired" AddressPairAndPortSecurityRequired {}
        "Port Security must be enabled in order to have allowed address pairs (allowed_address_pairs) on a port.";
    400 "AllowedAddressPairsMissingIP" AllowedAddressPairsMissingIp {}
        "AllowedAddressPair (allowed_address_pairs) must contain ip_address.";
    400 "DuplicateAddressPairInRequest" DuplicateAddressPair { mac: String, address: String }
        "Request contains duplicate address pair (allowed_address_pairs): mac_address {mac} ip_address {address}.";
    400 "AllowedAddressPairExhausted" AllowedAddressPairExhausted { quota: usize }
        "The number of allowed address pair (allowed_address_pairs) exceeds the maximum {quota}.";

    404 "PortBindingNotFound" PortBindingNotFound { port: String, host: String }
        "Binding for port {port} for host {host} could not be found.";
    409 "PortBindingAlreadyExists" PortBindingAlreadyExists { port: String, host: String }
        "Binding for port {port} on host {host} already exists.";
    409 "PortBindingAlreadyActive" PortBindingAlreadyActive { port: String, host: String }
        "Binding for port {port} on host {host} is already active.";
    500 "PortBindingError" PortBindingError { port: String, host: String }
        "Binding for port {port} on host {host} could not be created or updated.";
    400 "BadRequest" SingleBinding { port: String }
        "Bad port request: Invalid port {port}. Operation only valid on compute and shared filesystem ports.";

    // Security groups and their rules.
    404 "SecurityGroupNotFound" SecurityGroupNotFound { id: String }
        "Security group {id} does not exist";
    409 "SecurityGroupInUse" SecurityGroupInUse { id: String } "Security Group {id} in use.";
    409 "SecurityGroupCannotRemoveDefault" SecurityGroupCannotRemoveDefault {}
        "Insufficient rights for removing default security group.";
    409 "SecurityGroupCannotUpdateDefault" SecurityGroupCannotUpdateDefault {}
        "Updating default security group not allowed.";
    409 "SecurityGroupDefaultAlreadyExists" SecurityGroupDefaultAlreadyExists {}
        "Default security group already exists (name).";
    409 "SecurityGroupConflict" SecurityGroupConflict { reason: String }
        "Error {reason} while attempting the operation.";
    404 "SecurityGroupRuleNotFound" SecurityGroupRuleNotFound { id: String }
        "Security group rule {id} does not exist";
    409 "SecurityGroupRuleExists" SecurityGroupRuleExists { id: String }
        "Security group rule already exists. Rule id is {id}.";
    400 "SecurityGroupInvalidPortRange" SecurityGroupInvalidPortRange {}
        "For TCP/UDP protocols, port_range_min must be <= port_range_max";
    400 "SecurityGroupInvalidPortValue" SecurityGroupInvalidPortValue { attribute: &'static str, port: String }
        "Invalid value for port {port} ({attribute})";
    400 "SecurityGroupInvalidIcmpValue" SecurityGroupInvalidIcmpValue { field: &'static str, attribute: &'static str, value: i64 }
        "Invalid value for ICMP {field} ({attribute}) {value}. It must be 0 to 255.";
    400 "SecurityGroupMissingIcmpType" SecurityGroupMissingIcmpType { value: i64 }
        "ICMP code (port-range-max) {value} is provided but ICMP type (port-range-min) is missing.";
    400 "SecurityGroupProtocolRequiredWithPorts" SecurityGroupProtocolRequiredWithPorts {}
        "Must also specify protocol if port range is given.";
    400 "SecurityGroupInvalidProtocolForPort" SecurityGroupInvalidProtocolForPort { protocol: String }
        "Ports cannot be specified for protocol {protocol}. Ports are only supported for DCCP, SCTP, TCP, UDP, UDPLITE.";
    400 "SecurityGroupEthertypeConflictWithProtocol" SecurityGroupEthertypeConflictWithProtocol { ethertype: String, protocol: String }
        "Invalid ethertype {ethertype} for protocol {protocol}.";
    400 "SecurityGroupRuleInvalidProtocol" SecurityGroupRuleInvalidProtocol { protocol: String }
        "Security group rule protocol {protocol} not supported. Only protocol names and integer representations [0 to 255] are supported.";
    400 "SecurityGroupRuleInvalidEtherType" SecurityGroupRuleInvalidEtherType { ethertype: String }
        "Security group rule for ethertype '{ethertype}' not supported. Allowed values are ['IPv4', 'IPv6'].";
    400 "SecurityGroupRuleParameterConflict" SecurityGroupRuleParameterConflict { ethertype: String, cidr: String }
        "Conflicting value ethertype {ethertype} for CIDR {cidr} (remote_ip_prefix)";
    400 "SecurityGroupMultipleRemoteEntites" SecurityGroupMultipleRemoteEntities {}
        "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided.";
    400 "InvalidCIDR" InvalidCIDR { input: String }
        "Invalid CIDR {input} given as IP prefix (remote_ip_prefix).";
    404 "DefaultSecurityGroupRuleNotFound" DefaultSecurityGroupRuleNotFound { id: String }
        "Default Security Group rule {id} does not exist";
    409 "DefaultSecurityGroupRuleExists" DefaultSecurityGroupRuleExists { id: String }
        "Default Security group rule already exists. Rule id is {id}.";

    // Address groups.
    404 "AddressGroupNotFound" AddressGroupNotFound { id: String }
        "Address group {id} could not be found.";
    409 "AddressGroupInUse" AddressGroupInUse { id: String }
        "Address group {id} is in use on one or more security group rules.";
    404 "AddressesNotFound" AddressesNotFound { addresses: String, id: String }
        "Addresses [{addresses}] not found in the address group {id}.";
    400 "AddressesAlreadyExist" AddressesAlreadyExist { addresses: String, id: String }
        "Addresses [{addresses}] already exist in the address group {id}.";

    // QoS policies and their rules.
    404 "QosPolicyNotFound" QosPolicyNotFound { id: String }
        "QoS policy {id} could not be found.";
    404 "QosRuleNotFound" QosRuleNotFound { id: String, policy: String }
        "QoS rule {id} for policy {policy} could not be found.";
    404 "QosRuleTypeNotFound" QosRuleTypeNotFound { name: String }
        "Rule type {name} could not be found.";
    409 "QoSPolicyDefaultAlreadyExists" QosPolicyDefaultAlreadyExists { project: String }
        "A default QoS policy exists for project {project}.";
    409 "QosPolicyInUse" QosPolicyInUse { id: String, kind: &'static str, user: String }
        "QoS Policy {id} is used by {kind} {user}.";
    409 "QoSRuleParameterConflict" QosRuleParameterConflict { value: String, policy: String, kind: &'static str, existing: String }
        "Unable to add the rule with value {value} to the policy {policy} as the existing rule of type {kind} has value {existing}.";
    409 "QoSRulesConflict" QosRulesConflict { kind: &'static str, rule: String, policy: String }
        "Rule {kind} conflicts with rule {rule} which already exists in QoS Policy {policy}.";

    // Trunks and their subports.
    404 "TrunkNotFound" TrunkNotFound { id: String } "Trunk {id} could not be found.";
    404 "SubPortNotFound" SubPortNotFound { port: String, trunk: String }
        "SubPort {port} on trunk {trunk} could not be found.";
    409 "TrunkPortInUse" TrunkPortInUse { port: String }
        "Port {port} is in use by another trunk.";
    409 "ParentPortInUse" ParentPortInUse { port: String }
        "Port {port} is currently in use and is not eligible for use as a parent port.";
    409 "DuplicateSubPort" DuplicateSubPort { kind: String, number: i64, trunk: String }
        "segmentation_type {kind} and segmentation_id {number} already in use on trunk {trunk}.";
    409 "SubPortMtuGreaterThanTrunkPortMtu" SubPortMtuGreaterThanTrunkPortMtu { mtu: u32, port: String, trunk_mtu: u32, trunk: String }
        "MTU {mtu} of subport {port} cannot be greater than MTU {trunk_mtu} of trunk {trunk}.";
    409 "PortInUseAsTrunkParent" PortInUseAsTrunkParent { port: String, trunk: String }
        "Port {port} is currently a parent port for trunk {trunk}.";
    409 "PortInUseAsSubPort" PortInUseAsSubPort { port: String, trunk: String }
        "Port {port} is currently a subport for trunk {trunk}.";
    409 "PortInUse" PortInUse { port: String, network: String, device: String }
        "Unable to complete operation on port {port} for network {network}. Port already has an attached device {device}.";
    409 "TrunkInUse" TrunkInUse { id: String } "Trunk {id} is currently in use.";
    409 "TrunkDisabled" TrunkDisabled { id: String } "Trunk {id} is currently disabled.";
    409 "TrunkInErrorState" TrunkInErrorState { id: String }
        "Trunk {id} is in error state. Attempt to resolve the error condition before proceeding.";

    // Agents and quotas.
    404 "AgentNotFound" AgentNotFound { id: String } "Agent {id} could not be found.";
    409 "OverQuota" OverQuota { resource: &'static str }
        "Quota exceeded for resources: ['{resource}'].";
}
