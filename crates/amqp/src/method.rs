//! The methods that a client of RabbitMQ needs, as values and as bytes (section 1 of the reference
//! `amqp0-9-1.extended.xml`, with RabbitMQ's own: confirm, nack, blocked).

use crate::{
    Fault, Table,
    wire::{Field, Flags, LongString, Reader, ShortString},
};

/// Declares each method once: name, class, number, and its fields in their order.
macro_rules! methods {
    ($( $name:ident = $class:literal $id:literal { $($field:ident: $kind:ty),* $(,)? } )*) => {
        /// A method with its fields. `reserved` fields have no meaning.
        #[derive(Debug, Clone, PartialEq)]
        pub(crate) enum Method {
            $( $name { $($field: $kind),* }, )*
        }

        impl Method {
            /// Class and number of each.
            #[cfg(test)]
            pub(crate) const KEYS: &[(u16, u16)] = &[$( ($class, $id) ),*];

            /// Appends class, number and fields.
            pub(crate) fn encode(&self, out: &mut Vec<u8>) {
                let (class, id) = self.key();
                class.encode(out);
                id.encode(out);
                match self {
                    $( Self::$name { $($field),* } => { $($field.encode(out);)* } )*
                }
            }

            /// Reads the payload of a method frame.
            pub(crate) fn decode(payload: &[u8]) -> Result<Self, Fault> {
                let mut from = Reader::new(payload);
                let key = (u16::decode(&mut from)?, u16::decode(&mut from)?);
                let method = match key {
                    $( ($class, $id) => Self::$name {
                        $($field: Field::decode(&mut from)?),*
                    }, )*
                    (class, method) => return Err(Fault::Method { class, method }),
                };
                from.finish()?;
                Ok(method)
            }

            /// Class and number.
            pub(crate) fn key(&self) -> (u16, u16) {
                match self {
                    $( Self::$name { .. } => ($class, $id), )*
                }
            }

            /// For messages.
            pub(crate) fn name(&self) -> &'static str {
                match self {
                    $( Self::$name { .. } => stringify!($name), )*
                }
            }
        }
    };
}

methods! {
    ConnectionStart = 10 10 {
        version_major: u8,
        version_minor: u8,
        server_properties: Table,
        mechanisms: LongString,
        locales: LongString,
    }
    ConnectionStartOk = 10 11 {
        client_properties: Table,
        mechanism: ShortString,
        response: LongString,
        locale: ShortString,
    }
    ConnectionTune = 10 30 { channel_max: u16, frame_max: u32, heartbeat: u16 }
    ConnectionTuneOk = 10 31 { channel_max: u16, frame_max: u32, heartbeat: u16 }
    ConnectionOpen = 10 40 { virtual_host: ShortString, reserved_1: ShortString, reserved_2: Flags }
    ConnectionOpenOk = 10 41 { reserved: ShortString }
    ConnectionClose = 10 50 { code: u16, text: ShortString, class: u16, method: u16 }
    ConnectionCloseOk = 10 51 {}
    ConnectionBlocked = 10 60 { reason: ShortString }
    ConnectionUnblocked = 10 61 {}

    ChannelOpen = 20 10 { reserved: ShortString }
    ChannelOpenOk = 20 11 { reserved: LongString }
    ChannelClose = 20 40 { code: u16, text: ShortString, class: u16, method: u16 }
    ChannelCloseOk = 20 41 {}

    // Passive, durable, auto-delete, internal, no-wait.
    ExchangeDeclare = 40 10 {
        reserved: u16,
        exchange: ShortString,
        kind: ShortString,
        flags: Flags,
        arguments: Table,
    }
    ExchangeDeclareOk = 40 11 {}
    // If unused, no-wait.
    ExchangeDelete = 40 20 { reserved: u16, exchange: ShortString, flags: Flags }
    ExchangeDeleteOk = 40 21 {}

    // Passive, durable, exclusive, auto-delete, no-wait.
    QueueDeclare = 50 10 { reserved: u16, queue: ShortString, flags: Flags, arguments: Table }
    QueueDeclareOk = 50 11 { queue: ShortString, messages: u32, consumers: u32 }
    // No-wait.
    QueueBind = 50 20 {
        reserved: u16,
        queue: ShortString,
        exchange: ShortString,
        routing_key: ShortString,
        flags: Flags,
        arguments: Table,
    }
    QueueBindOk = 50 21 {}
    // No-wait.
    QueuePurge = 50 30 { reserved: u16, queue: ShortString, flags: Flags }
    QueuePurgeOk = 50 31 { messages: u32 }
    // If unused, if empty, no-wait.
    QueueDelete = 50 40 { reserved: u16, queue: ShortString, flags: Flags }
    QueueDeleteOk = 50 41 { messages: u32 }
    QueueUnbind = 50 50 {
        reserved: u16,
        queue: ShortString,
        exchange: ShortString,
        routing_key: ShortString,
        arguments: Table,
    }
    QueueUnbindOk = 50 51 {}

    // Global.
    BasicQos = 60 10 { prefetch_size: u32, prefetch_count: u16, flags: Flags }
    BasicQosOk = 60 11 {}
    // No-local, no-ack, exclusive, no-wait.
    BasicConsume = 60 20 {
        reserved: u16,
        queue: ShortString,
        tag: ShortString,
        flags: Flags,
        arguments: Table,
    }
    BasicConsumeOk = 60 21 { tag: ShortString }
    // No-wait.
    BasicCancel = 60 30 { tag: ShortString, flags: Flags }
    BasicCancelOk = 60 31 { tag: ShortString }
    // Mandatory, immediate.
    BasicPublish = 60 40 {
        reserved: u16,
        exchange: ShortString,
        routing_key: ShortString,
        flags: Flags,
    }
    BasicReturn = 60 50 {
        code: u16,
        text: ShortString,
        exchange: ShortString,
        routing_key: ShortString,
    }
    // Redelivered.
    BasicDeliver = 60 60 {
        tag: ShortString,
        delivery: u64,
        flags: Flags,
        exchange: ShortString,
        routing_key: ShortString,
    }
    // Multiple.
    BasicAck = 60 80 { delivery: u64, flags: Flags }
    // Requeue.
    BasicReject = 60 90 { delivery: u64, flags: Flags }
    // Multiple, requeue.
    BasicNack = 60 120 { delivery: u64, flags: Flags }

    // No-wait.
    ConfirmSelect = 85 10 { flags: Flags }
    ConfirmSelectOk = 85 11 {}
}

impl Method {
    /// Whether this is the answer to that method.
    pub(crate) fn answers(&self, method: &Self) -> bool {
        match (self, method) {
            (Self::BasicConsumeOk { tag }, Self::BasicConsume { tag: asked, .. })
            | (Self::BasicCancelOk { tag }, Self::BasicCancel { tag: asked, .. }) => tag == asked,
            _ => {
                let (class, id) = method.key();
                self.key() == (class, id + 1)
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
