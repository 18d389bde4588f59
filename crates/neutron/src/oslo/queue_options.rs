//! What the options of oslo.messaging make of exchanges and queues. All processes of a cloud must
//! have the same: a broker refuses what is declared with other flags than it has.

use std::time::Duration;

/// The options of `[oslo_messaging_rabbit]` that decide how exchanges and queues are declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueOptions {
    /// `control_exchange` of `[DEFAULT]`, which Neutron sets to its own name.
    pub control_exchange: String,
    /// `amqp_durable_queues`: whether queues of topics and the control exchange outlive a broker.
    pub durable: bool,
    /// `amqp_auto_delete`: whether queues of topics and the control exchange go when unused.
    pub auto_delete: bool,
    /// `rabbit_quorum_queue`: whether queues of topics are replicated logs, and so durable.
    pub quorum: bool,
    /// `rabbit_transient_quorum_queue`: whether those of fanouts and replies are.
    pub transient_quorum: bool,
    /// What quorum queues may use.
    pub memory: Memory,
    /// `rabbit_stream_fanout`: whether each fanout is one stream that everybody reads.
    pub stream_fanout: bool,
    /// `rabbit_ha_queues`: whether queues ask to be mirrored.
    pub mirrored: bool,
    /// `rabbit_transient_queues_ttl`: how long queues of fanouts and replies stay without a
    /// consumer, and messages in a stream. Zero for ever.
    pub transient_ttl: Duration,
    /// `rabbit_qos_prefetch_count`: how many messages may come without acknowledgement, 0 for any
    /// number.
    pub prefetch: u16,
    /// `enable_cancel_on_failover`: whether consumers are told when a mirrored queue fails over.
    pub cancel_on_failover: bool,
    /// What the queues that are a process's own are called.
    pub names: QueueNames,
}

/// What quorum queues may use; 0 where there is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// `rabbit_quorum_delivery_limit`: how often a message is delivered before it is dropped.
    pub delivery_limit: u32,
    /// `rabbit_quorum_max_memory_length`: how many messages are in memory.
    pub max_length: u32,
    /// `rabbit_quorum_max_memory_bytes`: how many bytes are in memory.
    pub max_bytes: u64,
}

/// What the queues that are a process's own are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueNames {
    /// By chance.
    Random,
    /// `use_queue_manager`: by the process, so that the next one has the same.
    Managed {
        /// `hostname`.
        host: String,
        /// `processname`.
        process: String,
    },
}

/// Options that contradict each other.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueueOptionsError {
    /// A queue is one or the other.
    #[error(
        "rabbit_ha_queues cannot be true where rabbit_quorum_queue or \
         rabbit_transient_quorum_queue is"
    )]
    MirroredQuorum,
    /// Streams are read with a limit.
    #[error("rabbit_stream_fanout needs rabbit_qos_prefetch_count to be more than 0")]
    StreamWithoutPrefetch,
    /// Streams are declared like quorum queues.
    #[error("rabbit_stream_fanout needs rabbit_transient_quorum_queue to be true")]
    StreamWithoutQuorum,
}

impl QueueOptions {
    /// The defaults of oslo.messaging and of Neutron.
    pub fn neutron() -> Self {
        Self {
            control_exchange: "neutron".to_owned(),
            durable: false,
            auto_delete: false,
            quorum: false,
            transient_quorum: false,
            memory: Memory::default(),
            stream_fanout: false,
            mirrored: false,
            transient_ttl: Duration::from_mins(30),
            prefetch: 0,
            cancel_on_failover: false,
            names: QueueNames::Random,
        }
    }

    /// Whether they go together.
    ///
    /// # Errors
    ///
    /// See [`QueueOptionsError`].
    pub fn check(&self) -> Result<(), QueueOptionsError> {
        if self.mirrored && (self.quorum || self.transient_quorum) {
            return Err(QueueOptionsError::MirroredQuorum);
        }
        if self.stream_fanout && self.prefetch == 0 {
            return Err(QueueOptionsError::StreamWithoutPrefetch);
        }
        if self.stream_fanout && !self.transient_quorum {
            return Err(QueueOptionsError::StreamWithoutQuorum);
        }
        Ok(())
    }
}
