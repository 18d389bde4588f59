//! What a server tells agents without being asked.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{FdbEntries, FdbUpdate, Message, MessageError};
use crate::object::{Object, set_version};

const PUSH_VERSION: &str = "1.1";
const TUNNEL_VERSION: &str = "1.0";
const FDB_VERSION: &str = "1.0";
const FDB_TOPIC: &str = "q-agent-notifier-l2population-update";

/// What a server tells agents without being asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Cast {
    /// Objects have changed.
    Push {
        /// How.
        event: EventType,
        /// The objects as they are now, all of one type. Of deleted ones only the id counts
        /// ([`Object::deleted`]).
        objects: Vec<Object>,
    },
    /// There is a new tunnel end.
    TunnelUpdate(TunnelAddress),
    /// A tunnel end has gone.
    TunnelDelete(TunnelAddress),
    /// There are new addresses behind tunnels.
    AddFdbEntries(FdbEntries),
    /// Addresses behind tunnels have gone.
    RemoveFdbEntries(FdbEntries),
    /// Ports behind tunnels have other addresses.
    UpdateFdbEntries(FdbUpdate),
    /// Casts were lost because this agent took them too slowly: everything that it knows may be
    /// out of date. The bus says so itself; it never crosses a wire.
    Lagged,
}

/// How objects have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventType {
    /// They are new. Neutron says `updated` of new objects of all types that are here.
    Created,
    /// They are new or have new values.
    Updated,
    /// They have gone.
    Deleted,
}

/// Where tunnels end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelAddress {
    /// The address.
    pub tunnel_ip: String,
    /// vxlan, gre or geneve.
    pub tunnel_type: String,
}

#[derive(Serialize, Deserialize)]
struct PushArgs {
    resource_list: Vec<Value>,
    event_type: EventType,
}

impl Cast {
    /// Reads a cast from the wire.
    ///
    /// # Errors
    ///
    /// The method, its version or its arguments are not known here.
    pub fn from_message(message: Message) -> Result<Self, MessageError> {
        match message.method.as_str() {
            "push" => {
                let method = message.method.clone();
                let args: PushArgs = message.arguments(PUSH_VERSION)?;
                let event = args.event_type;
                let read = match event {
                    EventType::Deleted => Object::from_deleted,
                    EventType::Created | EventType::Updated => serde_json::from_value,
                };
                let objects = args.resource_list.into_iter().map(read).collect::<Result<_, _>>();
                let objects =
                    objects.map_err(|source| MessageError::Arguments { method, source })?;
                Ok(Self::Push { event, objects })
            }
            "tunnel_update" => message.arguments(TUNNEL_VERSION).map(Self::TunnelUpdate),
            "tunnel_delete" => message.arguments(TUNNEL_VERSION).map(Self::TunnelDelete),
            "add_fdb_entries" => message.arguments(FDB_VERSION).map(Self::AddFdbEntries),
            "remove_fdb_entries" => message.arguments(FDB_VERSION).map(Self::RemoveFdbEntries),
            "update_fdb_entries" => message.arguments(FDB_VERSION).map(Self::UpdateFdbEntries),
            _ => Err(MessageError::Method { method: message.method }),
        }
    }

    /// The wire form: topics, and the message for each. A cast to one host goes to that topic with a
    /// dot and the host added, one to everybody to the fanout exchange of that topic. Objects go out
    /// in every version that is spoken, each with a topic of its own. Nothing for [`Cast::Lagged`]
    /// and for a push of no objects.
    ///
    /// # Errors
    ///
    /// [`MessageError::Encode`].
    pub fn to_messages(&self) -> Result<Vec<(String, Message)>, MessageError> {
        let (topic, message) = match self {
            Self::Push { event, objects } => return push(*event, objects),
            Self::TunnelUpdate(address) => (
                "q-agent-notifier-tunnel-update".to_owned(),
                Message::new("tunnel_update", TUNNEL_VERSION, address)?,
            ),
            Self::TunnelDelete(address) => (
                "q-agent-notifier-tunnel-delete".to_owned(),
                Message::new("tunnel_delete", TUNNEL_VERSION, address)?,
            ),
            Self::AddFdbEntries(entries) => {
                (FDB_TOPIC.to_owned(), Message::new("add_fdb_entries", FDB_VERSION, entries)?)
            }
            Self::RemoveFdbEntries(entries) => {
                (FDB_TOPIC.to_owned(), Message::new("remove_fdb_entries", FDB_VERSION, entries)?)
            }
            Self::UpdateFdbEntries(update) => {
                (FDB_TOPIC.to_owned(), Message::new("update_fdb_entries", FDB_VERSION, update)?)
            }
            Self::Lagged => return Ok(Vec::new()),
        };
        Ok(vec![(topic, message)])
    }
}

fn push(event: EventType, objects: &[Object]) -> Result<Vec<(String, Message)>, MessageError> {
    let Some(first) = objects.first() else { return Ok(Vec::new()) };
    let write = match event {
        EventType::Deleted => Object::to_deleted,
        EventType::Created | EventType::Updated => Object::to_value,
    };
    let objects = objects.iter().map(write).collect::<Result<_, _>>();
    let resource_list =
        objects.map_err(|source| MessageError::Encode { method: "push", source })?;
    let mut args = PushArgs { resource_list, event_type: event };
    let resource = first.resource();
    let of_version = |version: String| {
        args.resource_list.iter_mut().for_each(|object| set_version(object, &version));
        Ok((resource.topic(&version), Message::new("push", PUSH_VERSION, &args)?))
    };
    resource.versions().map(of_version).collect()
}
