//! The RPC endpoint: one task that answers the calls of agents in the order they come.
//!
//! In: requests from the bus, until it closes or the server stops. Out: answers, and what changes
//! cause agents to be told. Facts: the calls that Neutron's own Open vSwitch agent makes.

use neutron::bus::ServerEnd;
use neutron::object::{Object, ResourceType};
use neutron::rest;
use neutron::rpc::{
    BoundSubports, BulkPull, DeviceDown, DeviceListResult, Failure, GetFirewallDriver,
    GetNetworkDetails, NetworkDetails, Pull, Request, TunnelSync, Tunnels, UpdateDeviceDown,
    UpdateDeviceList, UpdateSubportBindings, UpdateTrunkStatus,
};
use tokio::sync::oneshot;

use crate::address_group;
use crate::agent;
use crate::error::ApiError;
use crate::network;
use crate::port::{self, Report};
use crate::qos_policy;
use crate::resource::Selection;
use crate::security_group;
use crate::security_group_rule;
use crate::store::{Store, View};
use crate::subnet;
use crate::trunk;
use crate::tunnel;

/// Answers calls until nobody can make one any more, or until it is to stop: then the next call is
/// left to whoever has the bus next.
pub(crate) async fn serve(
    mut bus: ServerEnd,
    store: Store,
    mut stop: oneshot::Receiver<()>,
) -> ServerEnd {
    loop {
        let request = tokio::select! {
            biased;
            _ = &mut stop => break,
            request = bus.next_request() => request,
        };
        let Some(request) = request else { break };
        answer(&store, request).await;
    }
    bus
}

async fn answer(store: &Store, request: Request) {
    let method = request.method();
    match request {
        Request::HasAliveNeutronServer(_, responder) => responder.reply(true),
        Request::ReportState(report, responder) => {
            let status = async {
                let mut unit = store.unit().await?;
                let status = agent::report(&mut unit, report.agent_state).await?;
                unit.commit().await?;
                Ok(status)
            };
            responder.send(status.await.map_err(|error| failure(method, error)));
        }
        Request::TunnelSync(call, responder) => {
            let tunnels = tunnel_sync(store, call).await;
            responder.send(tunnels.map_err(|error| failure(method, error)));
        }
        Request::BulkPull(pull, responder) => {
            responder.send(bulk_pull(store, pull).await.map_err(|error| failure(method, error)));
        }
        Request::Pull(call, responder) => {
            responder.send(pull(store, call).await.map_err(|error| failure(method, error)));
        }
        Request::GetNetworkDetails(call, responder) => {
            let details = network_details(store, call).await;
            responder.send(details.map_err(|error| failure(method, error)));
        }
        Request::UpdateDeviceList(call, responder) => {
            let result = update_device_list(store, call).await;
            responder.send(result.map_err(|error| failure(method, error)));
        }
        Request::UpdateDeviceDown(call, responder) => {
            let result = update_device_down(store, call).await;
            responder.send(result.map_err(|error| failure(method, error)));
        }
        Request::UpdateSubportBindings(call, responder) => {
            let bound = update_subport_bindings(store, call).await;
            responder.send(bound.map_err(|error| failure(method, error)));
        }
        Request::UpdateTrunkStatus(call, responder) => {
            let updated = update_trunk_status(store, call).await;
            responder.send(updated.map_err(|error| failure(method, error)));
        }
        Request::GetFirewallDriver(GetFirewallDriver { host }, responder) => {
            let firewall_driver = store.config().firewall_driver.clone();
            tracing::info!(host, firewall_driver, "an agent takes the firewall of the server");
            responder.reply(firewall_driver);
        }
    }
}

fn failure(method: &'static str, error: ApiError) -> Failure {
    if let ApiError::Refused(error) = error {
        tracing::warn!(method, error = &error as &dyn std::error::Error, "call refused");
        return Failure::new(error.kind(), error.to_string());
    }
    tracing::error!(method, error = &error as &dyn std::error::Error, "call failed");
    let message = match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    Failure::new("ServerError", message)
}

async fn tunnel_sync(store: &Store, call: TunnelSync) -> Result<Tunnels, ApiError> {
    let mut unit = store.unit().await?;
    let tunnels = tunnel::sync(&mut unit, call).await?;
    unit.commit().await?;
    Ok(tunnels)
}

/// The objects whose field has one of the values. Agents filter by one field at a time.
async fn bulk_pull(store: &Store, pull: BulkPull) -> Result<Vec<Object>, ApiError> {
    let BulkPull { resource, filter } = pull;
    let mut view = store.view().await?;
    let mut fields = filter.iter();
    let (field, values) = match (fields.next(), fields.next()) {
        (None, _) => return load(&mut view, resource, Selection::All).await,
        (Some((field, values)), None) => (field.as_str(), values),
        (Some(_), Some(_)) => return Err(ApiError::Filter { resource, filter }),
    };
    let members;
    let selection = match (resource, field) {
        (_, "id") => Selection::ids(values),
        (ResourceType::Port, "security_group_ids") => {
            members = port::members(&mut view, values).await?;
            Selection::ids(&members)
        }
        (ResourceType::Port | ResourceType::Subnet, "network_id") => {
            Selection::Where { column: "network_id", values }
        }
        (ResourceType::SecurityGroupRule, "security_group_id") => {
            Selection::Where { column: "security_group_id", values }
        }
        (ResourceType::SecurityGroupRule, "remote_group_id") => {
            Selection::Where { column: "remote_group_id", values }
        }
        (ResourceType::SecurityGroupRule, "remote_address_group_id") => {
            Selection::Where { column: "remote_address_group_id", values }
        }
        _ => return Err(ApiError::Filter { resource, filter }),
    };
    load(&mut view, resource, selection).await
}

async fn pull(store: &Store, call: Pull) -> Result<Option<Object>, ApiError> {
    let mut view = store.view().await?;
    let values = std::slice::from_ref(&call.id);
    // Agents know a trunk by its parent.
    let column = if call.resource == ResourceType::Trunk { "port_id" } else { "id" };
    let found = load(&mut view, call.resource, Selection::Where { column, values }).await?;
    Ok(found.into_iter().next())
}

async fn load(
    view: &mut View,
    resource: ResourceType,
    selection: Selection<'_>,
) -> Result<Vec<Object>, ApiError> {
    Ok(match resource {
        ResourceType::Port => {
            let ports = port::load(view, selection).await?;
            ports.into_iter().map(|port| Object::Port(port.object())).collect()
        }
        ResourceType::Network => {
            let networks = network::load(view, selection).await?;
            networks.into_iter().map(|network| Object::Network(network.object())).collect()
        }
        ResourceType::Subnet => {
            let subnets = subnet::load(view, selection).await?;
            subnets.into_iter().map(|subnet| Object::Subnet(subnet.object())).collect()
        }
        ResourceType::SecurityGroup => security_group::objects(view, selection).await?,
        ResourceType::SecurityGroupRule => security_group_rule::objects(view, selection).await?,
        ResourceType::AddressGroup => {
            let groups = address_group::load(view, selection).await?;
            groups.into_iter().map(|group| Object::AddressGroup(group.object())).collect()
        }
        ResourceType::QosPolicy => {
            let policies = qos_policy::load(view, selection).await?;
            policies.into_iter().map(|policy| Object::QosPolicy(policy.object())).collect()
        }
        ResourceType::Trunk => {
            let trunks = trunk::load(view, selection).await?;
            trunks.into_iter().map(|trunk| Object::Trunk(trunk.object())).collect()
        }
        // They come with their trunk.
        ResourceType::SubPort => Vec::new(),
    })
}

async fn network_details(
    store: &Store,
    call: GetNetworkDetails,
) -> Result<Option<NetworkDetails>, ApiError> {
    let mut view = store.view().await?;
    let found = network::load(&mut view, Selection::id(&call.network)).await?;
    let Some(network) = found.into_iter().next() else { return Ok(None) };
    let ability = agent::of_host(&mut view, &call.host).await?;
    network.details(ability.as_ref())
}

/// All of the list is one change; if it fails the agent sends it again.
async fn update_device_list(
    store: &Store,
    call: UpdateDeviceList,
) -> Result<DeviceListResult, ApiError> {
    let UpdateDeviceList { devices_up, devices_down, host, refresh_tunnels, .. } = call;
    let mut unit = store.unit().await?;
    port::report(&mut unit, &devices_up, &host, Report::Up { refresh_tunnels }).await?;
    let known = port::report(&mut unit, &devices_down, &host, Report::Down).await?;
    unit.commit().await?;
    let down = |device: String| DeviceDown { exists: known.contains(&device), device };
    let devices_down = devices_down.into_iter().map(down).collect();
    Ok(DeviceListResult { devices_up, devices_down, ..Default::default() })
}

async fn update_device_down(store: &Store, call: UpdateDeviceDown) -> Result<DeviceDown, ApiError> {
    let UpdateDeviceDown { device, host, .. } = call;
    let mut unit = store.unit().await?;
    let devices = std::slice::from_ref(&device);
    let known = port::report(&mut unit, devices, &host, Report::Down).await?;
    unit.commit().await?;
    Ok(DeviceDown { exists: known.contains(&device), device })
}

async fn update_subport_bindings(
    store: &Store,
    call: UpdateSubportBindings,
) -> Result<BoundSubports, ApiError> {
    let mut unit = store.unit().await?;
    let bound = trunk::binding::bind(&mut unit, call.subports).await?;
    unit.commit().await?;
    Ok(bound)
}

/// A trunk that has gone meanwhile needs no status.
async fn update_trunk_status(store: &Store, call: UpdateTrunkStatus) -> Result<(), ApiError> {
    let UpdateTrunkStatus { trunk_id, status } = call;
    let refused = |_| rest::Error::InvalidInput { reason: format!("'{status}' is no status") };
    let status = status.parse().map_err(refused)?;
    let mut unit = store.unit().await?;
    trunk::set_status(&mut unit, &trunk_id, status).await?;
    unit.commit().await
}
