//! `weir unplug`: undoes `weir plug`, also for a port that the API no longer knows.

use std::process::ExitCode;

use agent::LinuxBridge;
use model::{HybridDevices, PortId};
use serde::Serialize;
use uuid::Uuid;

use super::{database::Database, device::Cable, place::PlaceOptions};
use crate::output::Format;

/// Which port.
#[derive(Debug, clap::Args)]
#[command(after_help = "Unplugging a port that is not plugged is no error.")]
pub(crate) struct Options {
    /// The port's id
    port_id: Uuid,
    #[command(flatten)]
    place: PlaceOptions,
    #[command(flatten)]
    format: Format,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Unplugged {
    port_id: String,
    /// The interfaces that were removed: none if it was not plugged.
    interfaces: Vec<String>,
}

/// Unplugs the port.
///
/// # Errors
/// When a part of it fails.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let port_id = options.port_id.to_string();
    let database = Database::connect(&options.place.ovsdb()?).await?;
    let mut interfaces = database.interfaces_of(&port_id);
    for interface in &interfaces {
        database.remove(interface).await?;
    }
    let devices = HybridDevices::of(PortId::new(options.port_id));
    let mut deleted = Vec::new();
    if let Some(cable) = Cable::find(&devices.tap).await? {
        cable.delete().await?;
        deleted.push(devices.tap.clone());
    }
    if let Some(hybrid) = LinuxBridge::find(devices).await? {
        deleted.extend(hybrid.delete().await?);
    }
    deleted.retain(|name| !interfaces.contains(name));
    interfaces.extend(deleted);
    options.format.print(&Unplugged { port_id, interfaces }, text)?;
    Ok(ExitCode::SUCCESS)
}

fn text(unplugged: &Unplugged) -> String {
    match unplugged.interfaces.join(", ").as_str() {
        "" => format!("port {} is not plugged", unplugged.port_id),
        interfaces => format!("port {} is unplugged; removed {interfaces}", unplugged.port_id),
    }
}
