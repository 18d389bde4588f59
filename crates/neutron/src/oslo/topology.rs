//! The exchanges, queues, bindings and consumers of a process, with exactly the flags that
//! oslo.messaging gives them.
//!
//! A stock process has three queues for each topic: one that all who serve it share, one of its
//! host, one for fanouts. Here only those are declared that somebody sends to: of an agent the
//! fanouts, and its host's queue for addresses behind tunnels; of a server the shared ones.

use std::collections::BTreeMap;

use super::queue_options::{QueueNames, QueueOptions};
use crate::object::ResourceType;

/// The topics of the server.
const SERVER_TOPICS: [&str; 3] = ["q-plugin", "q-reports-plugin", "trunk"];
/// The topics of what an agent with tunnels is told.
const TUNNEL_TOPICS: [&str; 2] =
    ["q-agent-notifier-tunnel-update", "q-agent-notifier-tunnel-delete"];
const POPULATION_TOPIC: &str = "q-agent-notifier-l2population-update";

/// All that a process declares, in the order in which it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// Exchanges.
    pub exchanges: Vec<Exchange>,
    /// Queues.
    pub queues: Vec<Queue>,
    /// Which queue gets what of which exchange.
    pub bindings: Vec<Binding>,
    /// The queues that are read.
    pub consumed: Vec<Consumed>,
    /// The queue that answers to calls come to, of those who make calls.
    pub reply_queue: Option<String>,
}

/// An exchange.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exchange {
    /// Its name.
    pub name: String,
    /// How it picks queues.
    pub kind: ExchangeKind,
    /// Whether it outlives the broker.
    pub durable: bool,
    /// Whether it goes with its last binding.
    pub auto_delete: bool,
}

/// How an exchange picks queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExchangeKind {
    /// By the words of the routing key.
    Topic,
    /// It takes all.
    Fanout,
}

/// A queue. None is exclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Whether it outlives the broker.
    pub durable: bool,
    /// Whether it goes with its last consumer.
    pub auto_delete: bool,
    /// What else is asked of it.
    pub arguments: BTreeMap<&'static str, Argument>,
    /// Whether it is this process's own, so that nobody misses it when the process ends.
    pub own: bool,
}

/// The value of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// A number.
    Number(u64),
    /// Text.
    Text(String),
    /// A truth value.
    Bool(bool),
}

/// A binding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binding {
    /// Who gets it.
    pub queue: String,
    /// From where.
    pub exchange: String,
    /// What: the routing key.
    pub routing_key: String,
}

/// A queue that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumed {
    /// Its name.
    pub queue: String,
    /// What its reader asks for.
    pub arguments: BTreeMap<&'static str, Argument>,
}

/// What an agent wants to hear of besides objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interests {
    /// Where tunnels end.
    pub tunnels: bool,
    /// What is behind them.
    pub population: bool,
}

/// What the agent of this host declares. `unique` gives names that nobody else has.
pub fn agent(
    options: &QueueOptions,
    host: &str,
    interests: Interests,
    unique: impl FnMut() -> String,
) -> Topology {
    let mut topology = Builder::new(options, unique);
    topology.replies();
    if interests.tunnels {
        TUNNEL_TOPICS.into_iter().for_each(|topic| topology.fanout(topic));
    }
    if interests.population {
        topology.topic(&format!("{POPULATION_TOPIC}.{host}"));
        topology.fanout(POPULATION_TOPIC);
    }
    // Whatever the server speaks, it pushes that.
    for resource in ResourceType::ALL {
        resource.versions().for_each(|version| topology.fanout(&resource.topic(&version)));
    }
    topology.built
}

/// What a server declares.
pub fn server(options: &QueueOptions) -> Topology {
    let mut topology = Builder::new(options, String::new);
    SERVER_TOPICS.into_iter().for_each(|topic| topology.topic(topic));
    topology.built
}

/// The exchange of what is told to everybody who listens to a topic. It is declared by whoever
/// tells, too.
pub fn fanout_exchange(options: &QueueOptions, topic: &str) -> Exchange {
    Exchange {
        name: format!("{topic}_fanout"),
        kind: ExchangeKind::Fanout,
        durable: options.transient_quorum || options.stream_fanout,
        auto_delete: true,
    }
}

struct Builder<'a, F> {
    options: &'a QueueOptions,
    unique: F,
    /// How many names have been given away.
    named: u32,
    built: Topology,
}

impl<'a, F: FnMut() -> String> Builder<'a, F> {
    fn new(options: &'a QueueOptions, unique: F) -> Self {
        let control = Exchange {
            name: options.control_exchange.clone(),
            kind: ExchangeKind::Topic,
            durable: options.durable || options.quorum,
            auto_delete: options.auto_delete,
        };
        let built = Topology {
            exchanges: vec![control],
            queues: Vec::new(),
            bindings: Vec::new(),
            consumed: Vec::new(),
            reply_queue: None,
        };
        Self { options, unique, named: 0, built }
    }

    /// A queue of the control exchange, with the name of the topic.
    fn topic(&mut self, topic: &str) {
        let options = self.options;
        self.consume(Queue {
            name: topic.to_owned(),
            durable: options.durable || options.quorum,
            auto_delete: options.auto_delete,
            arguments: self.kind(options.quorum),
            own: false,
        });
        self.bind(topic, options.control_exchange.clone(), topic);
    }

    /// A queue for what is told to everybody who listens to the topic.
    fn fanout(&mut self, topic: &str) {
        let options = self.options;
        let exchange = fanout_exchange(options, topic);
        let name = match options.stream_fanout {
            true => exchange.name.clone(),
            false => format!("{topic}_fanout_{}", self.name()),
        };
        let arguments = match options.stream_fanout {
            true => self.stream(),
            false => self.transient(),
        };
        let durable = exchange.durable;
        let own = !options.stream_fanout;
        self.consume(Queue { name: name.clone(), durable, auto_delete: false, arguments, own });
        self.bind(&name, exchange.name.clone(), topic);
        self.built.exchanges.push(exchange);
    }

    /// A queue for answers, which the default exchange knows by its name.
    fn replies(&mut self) {
        let name = format!("reply_{}", self.name());
        self.built.reply_queue = Some(name.clone());
        let durable = self.options.transient_quorum;
        let arguments = self.transient();
        self.consume(Queue { name, durable, auto_delete: false, arguments, own: true });
    }

    fn consume(&mut self, queue: Queue) {
        let options = self.options;
        let is_stream = options.stream_fanout && queue.name.ends_with("_fanout");
        let mut arguments = BTreeMap::new();
        if is_stream {
            // Nothing that was told before this process asked for all of it is news.
            arguments.insert("x-stream-offset", Argument::Text("next".to_owned()));
        } else if options.cancel_on_failover {
            arguments.insert("x-cancel-on-ha-failover", Argument::Bool(true));
        }
        self.built.consumed.push(Consumed { queue: queue.name.clone(), arguments });
        self.built.queues.push(queue);
    }

    fn bind(&mut self, queue: &str, exchange: String, routing_key: &str) {
        let (queue, routing_key) = (queue.to_owned(), routing_key.to_owned());
        self.built.bindings.push(Binding { queue, exchange, routing_key });
    }

    /// A name that is this process's own.
    fn name(&mut self) -> String {
        self.named = self.named.saturating_add(1);
        match &self.options.names {
            QueueNames::Random => (self.unique)(),
            QueueNames::Managed { host, process } => format!("{host}:{process}:{}", self.named),
        }
    }

    /// The arguments of a queue that goes when nobody has read it for a while.
    fn transient(&self) -> BTreeMap<&'static str, Argument> {
        let mut arguments = self.kind(self.options.transient_quorum);
        let ttl = self.options.transient_ttl;
        if !ttl.is_zero() {
            let milliseconds = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
            arguments.insert("x-expires", Argument::Number(milliseconds));
        }
        arguments
    }

    fn stream(&self) -> BTreeMap<&'static str, Argument> {
        let mut arguments = BTreeMap::from([("x-queue-type", Argument::Text("stream".to_owned()))]);
        let seconds = self.options.transient_ttl.as_secs();
        if seconds > 0 {
            arguments.insert("x-max-age", Argument::Text(format!("{seconds}s")));
        }
        arguments
    }

    fn kind(&self, is_quorum: bool) -> BTreeMap<&'static str, Argument> {
        let mut arguments = BTreeMap::new();
        if self.options.mirrored {
            arguments.insert("x-ha-policy", Argument::Text("all".to_owned()));
        }
        if is_quorum {
            arguments.insert("x-queue-type", Argument::Text("quorum".to_owned()));
            let memory = &self.options.memory;
            let limits = [
                ("x-delivery-limit", u64::from(memory.delivery_limit)),
                ("x-max-in-memory-length", u64::from(memory.max_length)),
                ("x-max-in-memory-bytes", memory.max_bytes),
            ];
            let set = limits.into_iter().filter(|(_, limit)| *limit > 0);
            arguments.extend(set.map(|(name, limit)| (name, Argument::Number(limit))));
        }
        arguments
    }
}
