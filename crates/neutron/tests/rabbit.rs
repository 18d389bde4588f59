//! Both ends of the bus over a real RabbitMQ, and what becomes of calls and casts when it fails.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::time::Duration;

use amqp::{Connection, Consume, Endpoint, Login, Mechanism, Options, Publication, Queue};
use neutron::bus::local::LocalBus;
use neutron::bus::rabbit::{self, Member, RabbitOptions};
use neutron::bus::{AgentEnd, CallError, Caller, Caster, Casts};
use neutron::object::{Object, ResourceType};
use neutron::oslo::{self, Interests, QueueNames, QueueOptions, ReplyTo};
use neutron::rpc::{
    AgentState, AgentStatus, BulkPull, Cast, Configurations, DeviceDown, EventType, Failure,
    HasAliveNeutronServer, Message, ReportState, Request, UpdateDeviceDown, agent_id,
};
use testkit::Broker;
use tokio::sync::mpsc;
use tokio::time::timeout;
use uuid::Uuid;

/// How long anything may take that should happen.
const PATIENCE: Duration = Duration::from_secs(60);
const PORT: &str = "0b6f3c1e-6a54-4b0f-9c36-5d1f4b8a7e01";

fn options(broker: &Broker) -> RabbitOptions {
    RabbitOptions {
        first_retry: Duration::from_millis(100),
        retry_step: Duration::from_millis(100),
        longest_retry: Duration::from_millis(500),
        ..RabbitOptions::new(broker.url().parse().unwrap(), "test")
    }
}

/// A server that answers, and says what it was asked.
struct Server {
    bus: LocalBus,
    caster: Caster,
    asked: mpsc::Receiver<String>,
    member: Option<Member>,
}

impl Server {
    async fn start(broker: &Broker) -> Self {
        Self::start_with(options(broker)).await
    }

    async fn start_with(options: RabbitOptions) -> Self {
        let (bus, mut end) = LocalBus::new();
        let caster = end.caster();
        let (sender, asked) = mpsc::channel(1000);
        tokio::spawn(async move {
            while let Some(request) = end.next_request().await {
                // Before the answer, so that whoever has that can count on it.
                let _ = sender.send(request.method().to_owned()).await;
                match request {
                    Request::HasAliveNeutronServer(_, responder) => responder.reply(true),
                    Request::ReportState(_, responder) => responder.reply(AgentStatus::Alive),
                    Request::BulkPull(pull, responder) => {
                        let wanted = pull.filter.into_values().flatten();
                        responder
                            .reply(wanted.map(|id| Object::deleted(pull.resource, id)).collect());
                    }
                    Request::UpdateDeviceDown(call, responder) if call.device == "none" => {
                        responder.fail(Failure::new("PortNotFound", "no port"));
                    }
                    Request::UpdateDeviceDown(call, responder) => {
                        responder.reply(DeviceDown { device: call.device, exists: true });
                    }
                    other => panic!("{other:?}"),
                }
            }
        });
        let member = Some(rabbit::serve(options, &bus).unwrap());
        Self { bus, caster, asked, member }
    }

    /// How often it was asked since the last time.
    fn asked(&mut self) -> usize {
        std::iter::from_fn(|| self.asked.try_recv().ok()).count()
    }
}

struct Agent {
    host: String,
    caller: Caller,
    casts: Casts,
    member: Member,
}

impl Agent {
    /// Joins, and waits until it is answered.
    async fn join(broker: &Broker, host: &str) -> Self {
        Self::join_with(options(broker), host).await
    }

    async fn join_with(options: RabbitOptions, host: &str) -> Self {
        let interests = Interests { tunnels: true, population: true };
        let (end, member): (AgentEnd, _) = rabbit::join(options, host, interests).unwrap();
        let (caller, casts) = end.split();
        let agent = Self { host: host.to_owned(), caller, casts, member };
        agent.is_answered().await;
        agent
    }

    /// Calls until it is answered, as an agent does.
    async fn is_answered(&self) {
        let answered = async {
            while self.caller.call(HasAliveNeutronServer).await != Ok(true) {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, answered).await.unwrap();
    }

    async fn hear(&mut self) -> Cast {
        let cast = timeout(PATIENCE, self.casts.recv()).await;
        cast.unwrap_or_else(|_| panic!("{} hears nothing", self.host)).unwrap()
    }

    /// Hears these, in this order, and nothing else.
    async fn hears(&mut self, ids: &[&str]) {
        for id in ids {
            assert_eq!(self.hear().await, deletion(id), "{}", self.host);
        }
    }
}

fn deletion(id: &str) -> Cast {
    let objects = vec![Object::deleted(ResourceType::Port, id)];
    Cast::Push { event: EventType::Deleted, objects }
}

/// As `deletion`, of a type of which there is one version, so that it comes once.
fn group(id: &str) -> Cast {
    let objects = vec![Object::deleted(ResourceType::SecurityGroup, id)];
    Cast::Push { event: EventType::Deleted, objects }
}

fn pull(ids: &[&str]) -> BulkPull {
    let ids = ids.iter().map(|id| (*id).to_owned()).collect();
    BulkPull { resource: ResourceType::Port, filter: BTreeMap::from([("id".to_owned(), ids)]) }
}

fn down(device: &str, host: &str) -> UpdateDeviceDown {
    let (device, host) = (device.to_owned(), host.to_owned());
    UpdateDeviceDown { device, agent_id: agent_id(&host), host }
}

fn heartbeat(host: &str) -> ReportState {
    let agent_state = AgentState {
        agent_type: AgentState::OPEN_VSWITCH.to_owned(),
        binary: "neutron-openvswitch-agent".to_owned(),
        host: host.to_owned(),
        topic: AgentState::NO_TOPIC.to_owned(),
        configurations: Configurations::default(),
        start_flag: false,
        resource_versions: BTreeMap::new(),
        uuid: None,
    };
    ReportState { agent_state, time: "2026-01-02T03:04:05.6".to_owned() }
}

/// A client that knows nothing of Weir's.
async fn client(broker: &Broker) -> Connection {
    let address = broker.address();
    let endpoint = Endpoint { host: address.ip().to_string(), port: address.port(), tls: None };
    let login = Login {
        user: broker.user().to_owned(),
        password: broker.password().into(),
        vhost: broker.vhost().to_owned(),
        mechanism: Mechanism::AmqPlain,
    };
    Connection::open(&endpoint, &login, &Options::default()).await.unwrap()
}

/// The names of the queues, sorted.
fn queues(broker: &Broker) -> Vec<String> {
    let list = broker.ctl(&["list_queues", "-p", broker.vhost(), "--no-table-headers", "name"]);
    let mut names: Vec<_> = list.unwrap().lines().map(str::to_owned).collect();
    names.sort_unstable();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_casts_cross_the_broker() {
    let broker = Broker::start().unwrap();
    let mut server = Server::start(&broker).await;
    let mut first = Agent::join(&broker, "node1").await;
    let mut second = Agent::join(&broker, "node2").await;

    let objects = first.caller.call(pull(&[PORT, "other"])).await.unwrap();
    let ids: Vec<_> = objects.iter().map(Object::id).collect();
    assert_eq!(ids, [PORT, "other"]);
    let refused = first.caller.call(down("none", "node1")).await.unwrap_err();
    let failure = Failure::new("PortNotFound", "no port");
    assert_eq!(refused, CallError::Failure { method: "update_device_down", failure });

    // Many at once, each with its own answer, each asked once.
    server.asked();
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..200 {
        let caller = [&first, &second][n % 2].caller.clone();
        calls.spawn(async move {
            let device = format!("device{n}");
            assert_eq!(caller.call(down(&device, "node")).await.unwrap().device, device);
        });
    }
    calls.join_all().await;
    assert_eq!(server.asked(), 200);

    // What is for all reaches all in its order, what is for one its agent alone.
    let ids: Vec<_> = (0..100).map(|n| format!("group{n}")).collect();
    ids.iter().for_each(|id| server.caster.cast(group(id)));
    for agent in [&mut first, &mut second] {
        for id in &ids {
            assert_eq!(agent.hear().await, group(id));
        }
    }
    let entries = Cast::AddFdbEntries(Default::default());
    server.caster.cast_to("node2", entries.clone());
    assert_eq!(second.hear().await, entries);
    // A port is told in every version, and somebody who listens to all hears it as often.
    server.caster.cast(deletion(PORT));
    first.hears(&[PORT, PORT, PORT]).await;

    // Only what is their own goes with agents, and all of it.
    let left = ["neutron", "q-agent-notifier-l2population-update.node1"];
    assert!(queues(&broker).len() > 20);
    first.member.leave().await;
    second.member.leave().await;
    let queues = queues(&broker);
    assert!(queues.contains(&left[1].to_owned()), "{queues:?}");
    // One of each agent, and three of the server: for calls, reports and trunks.
    assert_eq!(queues.len(), 5, "{queues:?}");

    // Exchanges of fanouts went with their queues; the next agent is told all the same.
    let mut third = Agent::join(&broker, "node3").await;
    server.caster.cast(group("later"));
    assert_eq!(third.hear().await, group("later"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_loses_nothing_and_a_lost_broker_is_told() {
    let broker = Broker::start().unwrap();
    let mut server = Server::start(&broker).await;
    let mut agent = Agent::join(&broker, "node1").await;

    // Both connections are cut; the queues stay, and what is told meanwhile comes.
    broker.ctl(&["close_all_connections", "test"]).unwrap();
    for n in 0..50 {
        server.caster.cast(group(&format!("cut{n}")));
    }
    for n in 0..50 {
        assert_eq!(agent.hear().await, group(&format!("cut{n}")));
    }
    agent.is_answered().await;

    // The broker forgets everything. The agent is told, and then hears again.
    let before = queues(&broker);
    broker.stop().unwrap();
    broker.run().unwrap();
    assert_eq!(agent.hear().await, Cast::Lagged);
    agent.is_answered().await;
    assert_eq!(queues(&broker), before, "the same names");
    server.asked();
    assert!(agent.caller.call(down("device", "node1")).await.unwrap().exists);
    assert_eq!(server.asked(), 1, "nothing twice");
    server.caster.cast(group("after"));
    while agent.hear().await != group("after") {}

    // The same for a crash.
    broker.kill();
    let waiting = agent.caller.call(down("device", "node1"));
    let run = async { broker.run().unwrap() };
    let (_, ()) = tokio::join!(waiting, run);
    while agent.hear().await != Cast::Lagged {}
    agent.is_answered().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_nobody_takes_fails_at_once() {
    let broker = Broker::start().unwrap();
    // Of two hosts the first does not answer.
    let mut hosts = options(&broker);
    let dead = amqp::TransportHost { port: 1, ..hosts.url.hosts[0].clone() };
    hosts.url.hosts.insert(0, dead);
    let (end, member) = rabbit::join(hosts, "node1", Interests::default()).unwrap();
    let (caller, _casts) = end.split();
    let gone = CallError::Disconnected { method: "has_alive_neutron_server" };
    let alive = || async { timeout(PATIENCE / 2, caller.call(HasAliveNeutronServer)).await };
    assert_eq!(alive().await.unwrap(), Err(gone));

    // As soon as there is a server, it is found.
    let mut server = Server::start(&broker).await;
    let found = async { while alive().await.unwrap() != Ok(true) {} };
    timeout(PATIENCE, found).await.unwrap();

    // While the server is away, calls wait for it in its queue, which stays.
    server.member.take().unwrap().leave().await;
    let back = async {
        tokio::task::yield_now().await;
        server.member = Some(rabbit::serve(options(&broker), &server.bus).unwrap());
    };
    let (answer, ()) = tokio::join!(caller.call(HasAliveNeutronServer), back);
    assert_eq!(answer, Ok(true));
    member.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_or_came_before_is_dropped() {
    let broker = Broker::start().unwrap();
    let mut server = Server::start(&broker).await;
    let agent = Agent::join(&broker, "node1").await;
    server.asked();

    let stranger = client(&broker).await;
    let channel = stranger.channel().await.unwrap();
    channel.declare_queue(&Queue::new("reply_stranger")).await.unwrap();
    let mut answers = channel.consume(&Consume::new("reply_stranger", "1")).await.unwrap();
    let publisher = stranger.channel().await.unwrap().confirm().await.unwrap();
    let send = async |body: &[u8]| {
        let (exchange, routing_key) = ("neutron".to_owned(), "q-plugin".to_owned());
        let body = body.to_vec();
        let message = Publication { exchange, routing_key, body, ..Publication::default() };
        publisher.publish(message).await.unwrap();
    };
    for garbage in ["", "not JSON", "{\"oslo.version\": \"9.0\", \"oslo.message\": \"{}\"}"] {
        send(garbage.as_bytes()).await;
    }
    let call = |method: &str, msg_id: &str, unique_id: u128| {
        let args = serde_json::Map::new();
        let (namespace, version) = (None, "1.0".to_owned());
        let message = Message { namespace, method: method.to_owned(), version, args };
        let queue = "reply_stranger".to_owned();
        let reply_to = ReplyTo { msg_id: msg_id.to_owned(), queue };
        oslo::call(message, &reply_to, Uuid::from_u128(unique_id))
    };
    // The same message three times, then one of which nobody knows the method.
    for _ in 0..3 {
        send(&call("has_alive_neutron_server", "first", 1)).await;
    }
    send(&call("no_such_method", "second", 2)).await;
    let mut answer = async || {
        let delivery = timeout(PATIENCE, answers.next()).await.unwrap().unwrap();
        oslo::Reply::read(&delivery.body).unwrap()
    };
    // They may come in any order.
    let mut both = [answer().await, answer().await];
    both.sort_by(|one, other| one.msg_id.cmp(&other.msg_id));
    let [first, second] = both;
    assert_eq!((first.msg_id.as_str(), first.result), ("first", Ok(true.into())));
    assert_eq!(second.msg_id, "second");
    assert_eq!(second.result.unwrap_err().class, "NoSuchMethod");
    send(&call("has_alive_neutron_server", "third", 3)).await;
    assert_eq!(answer().await.msg_id, "third", "the repeats were not answered");
    assert_eq!(server.asked(), 2);

    // Garbage does no harm to an agent either, and answers that nobody waits for.
    let queues = queues(&broker);
    let reply_queue =
        queues.iter().find(|name| name.starts_with("reply_") && !name.ends_with("er"));
    for body in [b"garbage".to_vec(), oslo::reply("late", Uuid::nil(), Ok(1.into())).unwrap()] {
        let routing_key = reply_queue.unwrap().clone();
        let message = Publication { routing_key, body, ..Publication::default() };
        publisher.publish(message).await.unwrap();
    }
    agent.is_answered().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_do_to_the_queues_is_mended() {
    let broker = Broker::start().unwrap();
    // Somebody has declared the control exchange otherwise.
    let stranger = client(&broker).await;
    let channel = stranger.channel().await.unwrap();
    let durable = amqp::Exchange {
        durable: true,
        ..amqp::Exchange::new("neutron", amqp::ExchangeKind::TOPIC)
    };
    channel.declare_exchange(&durable).await.unwrap();
    let server = Server::start(&broker).await;
    let mut agent = Agent::join(&broker, "node1").await;

    // An operator deletes a queue: its consumer is cancelled, and the agent cannot know what it
    // has missed.
    let queues = queues(&broker);
    let fanout = |name: &&String| name.starts_with("neutron-vo-SecurityGroup-1.6_fanout_");
    channel.delete_queue(queues.iter().find(fanout).unwrap()).await.unwrap();
    assert_eq!(agent.hear().await, Cast::Lagged);
    server.caster.cast(group("mended"));
    assert_eq!(agent.hear().await, group("mended"));

    // One deletes the queue of the servers.
    channel.delete_queue("q-plugin").await.unwrap();
    let answered = async { while agent.caller.call(pull(&[PORT])).await.is_err() {} };
    timeout(PATIENCE, answered).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_of_every_kind_carry_the_bus() {
    let broker = Broker::start().unwrap();
    let neutron = QueueOptions::neutron();
    let quorum = QueueOptions {
        control_exchange: "quorum".to_owned(),
        quorum: true,
        transient_quorum: true,
        names: QueueNames::Managed { host: "node1".to_owned(), process: "agent".to_owned() },
        ..neutron.clone()
    };
    let durable = QueueOptions {
        control_exchange: "durable".to_owned(),
        durable: true,
        auto_delete: true,
        prefetch: 1,
        transient_ttl: Duration::ZERO,
        ..neutron.clone()
    };
    let stream = QueueOptions {
        control_exchange: "stream".to_owned(),
        stream_fanout: true,
        transient_quorum: true,
        prefetch: 10,
        ..neutron
    };
    for queues in [quorum, durable, stream] {
        // Each kind has a virtual host of its own, for names are the same.
        let name = queues.control_exchange.clone();
        broker.ctl(&["add_vhost", &name]).unwrap();
        broker.ctl(&["set_permissions", "-p", &name, broker.user(), ".*", ".*", ".*"]).unwrap();
        let mut options = RabbitOptions { queues, ..options(&broker) };
        options.url.virtual_host.clone_from(&name);
        let server = Server::start_with(options.clone()).await;
        let mut agent = Agent::join_with(options, "node1").await;
        let objects = agent.caller.call(pull(&[PORT])).await.unwrap();
        assert_eq!(objects.len(), 1, "{name}");
        for n in 0..20 {
            server.caster.cast(group(&format!("group{n}")));
        }
        for n in 0..20 {
            assert_eq!(agent.hear().await, group(&format!("group{n}")), "{name}");
        }
        agent.member.leave().await;
        server.member.unwrap().leave().await;
    }
}

/// What a server could not tell before it ended, and what is too much while there is no broker, is
/// made up for by the answer to a heartbeat.
#[tokio::test(flavor = "multi_thread")]
async fn agents_hear_that_casts_were_lost() {
    let broker = Broker::start().unwrap();
    let server = Server::start(&broker).await;
    let agent = Agent::join(&broker, "node1").await;
    let report = || agent.caller.call(heartbeat("node1"));
    assert_eq!(report().await, Ok(AgentStatus::Revived));
    assert_eq!(report().await, Ok(AgentStatus::Alive));
    broker.stop().unwrap();
    for n in 0..10_000 {
        server.caster.cast(group(&n.to_string()));
    }
    broker.run().unwrap();
    agent.is_answered().await;
    let told = async {
        while report().await != Ok(AgentStatus::Revived) {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, told).await.unwrap();
    assert_eq!(report().await, Ok(AgentStatus::Alive), "once is enough");
}
