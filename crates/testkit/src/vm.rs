//! A namespace with one interface that plays a virtual machine.

use std::{
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use ipnet::IpNet;

use crate::{
    Error, Namespace, Outcome, Pace, Question, Result, Steady, Stream, Switch, daemon::run,
    echo::Servers, icmp::Pinger, probe, stream::Line,
};

/// How a virtual machine's interface is configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nic {
    /// Its MAC address, or whatever it has.
    pub mac: Option<String>,
    /// Its addresses with their prefix lengths.
    pub addresses: Vec<IpNet>,
    /// Default routes, at most one per address family.
    pub gateways: Vec<IpAddr>,
    /// Its MTU, or whatever it has.
    pub mtu: Option<u16>,
}

/// A network namespace with one configured interface, servers that echo, and sockets that ask.
#[derive(Debug)]
pub struct Vm {
    servers: Servers,
    namespace: Namespace,
    device: String,
    nic: Nic,
}

impl Vm {
    /// A virtual machine whose interface `eth0` is cabled to the switch but not yet plugged into
    /// a bridge: the other end is called `port` and waits in the switch's namespace.
    ///
    /// It is as a switch makes its ports, promiscuous, so that nothing of it changes when it is
    /// plugged in. Whenever a link of its machine changes, ovs-vswitchd reads the machine's routes
    /// again, and meanwhile knows none: a tunnel of the userspace datapath loses packets then.
    ///
    /// # Errors
    /// When `port` exists there already or has more than 15 characters, or the interface cannot
    /// be configured.
    pub fn cabled(switch: &Switch, port: &str, nic: &Nic) -> Result<Self> {
        Self::cabled_in(Namespace::create(port)?, switch, port, nic)
    }

    pub(crate) fn cabled_in(
        namespace: Namespace,
        switch: &Switch,
        port: &str,
        nic: &Nic,
    ) -> Result<Self> {
        switch.namespace().ip(&format!(
            // The switch's machine must not speak to the virtual machine by itself.
            "link add name {port} type veth peer name eth0 netns {}\n\
             link set dev {port} addrgenmode none promisc on\n\
             link set dev {port} up\n",
            namespace.name()
        ))?;
        Self::adopt(namespace, "eth0", nic)
    }

    /// As [`Vm::cabled`], with `port` plugged into a bridge.
    ///
    /// # Errors
    /// As [`Vm::cabled`], or when there is no such bridge.
    pub fn plugged(switch: &Switch, bridge: &str, port: &str, nic: &Nic) -> Result<Self> {
        let vm = Self::cabled(switch, port, nic)?;
        switch.vsctl(&["add-port", bridge, port])?;
        Ok(vm)
    }

    /// A virtual machine behind a Linux bridge, where netfilter sees its packets, as Nova plugs it on a
    /// host that wants so; see [`Switch::add_linux_bridge`]. `qvo` and the suffix is what waits to be
    /// plugged into a bridge of the switch.
    ///
    /// # Errors
    /// As [`Vm::cabled`].
    pub fn behind_bridge(switch: &Switch, suffix: &str, nic: &Nic) -> Result<Self> {
        let vm = Self::cabled(switch, &format!("tap{suffix}"), nic)?;
        switch.add_linux_bridge(suffix, nic.mtu)?;
        Ok(vm)
    }

    /// A virtual machine around an interface that somebody else has put into the namespace, which
    /// is configured here; what is configured already stays.
    ///
    /// # Errors
    /// When there is no such interface or it refuses its configuration.
    pub fn adopt(namespace: Namespace, device: &str, nic: &Nic) -> Result<Self> {
        // The userspace datapath passes packets on as they are, so their checksums must be there.
        run("ip", &["netns", "exec", namespace.name(), "ethtool", "-K", device, "tx", "off"])?;
        let mut batch = String::new();
        if let Some(mac) = &nic.mac {
            batch += &format!("link set dev {device} address {mac}\n");
        }
        if let Some(mtu) = nic.mtu {
            batch += &format!("link set dev {device} mtu {mtu}\n");
        }
        batch += &format!("link set dev {device} up\n");
        for address in &nic.addresses {
            let nodad = if address.addr().is_ipv6() { " nodad" } else { "" };
            batch += &format!("address replace {address} dev {device}{nodad}\n");
        }
        for gateway in &nic.gateways {
            let family = if gateway.is_ipv6() { "-6 " } else { "" };
            batch += &format!("{family}route replace default via {gateway} dev {device}\n");
        }
        namespace.ip(&batch)?;
        let servers = Servers::default();
        Ok(Self { servers, namespace, device: device.to_owned(), nic: nic.clone() })
    }

    /// Its namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Its interface's name inside.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Its addresses, in the order given.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.nic.addresses.iter().map(IpNet::addr)
    }

    /// Its first IPv4 address, on that port.
    pub fn v4(&self, port: u16) -> Option<SocketAddr> {
        self.addresses().find(IpAddr::is_ipv4).map(|address| SocketAddr::new(address, port))
    }

    /// Its first IPv6 address, on that port.
    pub fn v6(&self, port: u16) -> Option<SocketAddr> {
        self.addresses().find(IpAddr::is_ipv6).map(|address| SocketAddr::new(address, port))
    }

    /// Serves a TCP port on all its addresses until it is dropped: sends back what comes.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn listen_tcp(&self, port: u16) -> Result<()> {
        let bound = self.namespace.inside(|| self.servers.tcp(port))?;
        bound.map_err(|source| self.socket_error(format!("listen on tcp port {port}"), source))
    }

    /// Serves a UDP port on all its addresses until it is dropped: sends back what comes.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn listen_udp(&self, port: u16) -> Result<()> {
        let bound = self.namespace.inside(|| self.servers.udp(port))?;
        bound.map_err(|source| self.socket_error(format!("listen on udp port {port}"), source))
    }

    /// Opens a TCP connection and closes it at once.
    pub fn connect_tcp(&self, to: SocketAddr, timeout: Duration) -> Outcome {
        probe::ask(self, Question::Tcp(to), timeout)
    }

    /// Sends a UDP datagram and waits for its echo.
    pub fn ask_udp(&self, to: SocketAddr, timeout: Duration) -> Outcome {
        probe::ask(self, Question::Udp(to), timeout)
    }

    /// Sends an ICMP or ICMPv6 echo request and waits for the reply.
    pub fn ping(&self, to: IpAddr, timeout: Duration) -> Outcome {
        probe::ask(self, Question::Ping(to), timeout)
    }

    /// Opens a TCP connection to an echoing server and keeps it.
    ///
    /// # Errors
    /// When the connection does not come about within the timeout.
    pub fn open_stream(&self, to: SocketAddr, timeout: Duration) -> Result<Stream> {
        Ok(Stream::new(Line::Tcp(self.connect(to, timeout)?)))
    }

    /// Opens a UDP socket towards an echoing server and keeps it. Of a [`Stream`] like this a message
    /// that was lost is not sent again.
    ///
    /// # Errors
    /// When no socket can be opened towards that address.
    pub fn open_datagrams(&self, to: SocketAddr) -> Result<Stream> {
        let socket = self.namespace.inside(|| connected_udp(to))?;
        let socket = socket.map_err(|source| self.socket_error(format!("send to {to}"), source))?;
        Ok(Stream::new(Line::Udp(socket)))
    }

    /// Sends numbered messages through one TCP connection, from now on, in the background.
    ///
    /// # Errors
    /// When the connection does not come about within [`probe::PATIENCE`].
    pub fn steady_tcp(&self, to: SocketAddr, pace: Pace) -> Result<Steady> {
        Ok(Steady::start(Line::Tcp(self.connect(to, probe::PATIENCE)?), pace))
    }

    /// Sends numbered UDP datagrams, from now on, in the background. Unlike TCP it does not mend
    /// what gets lost on the way.
    ///
    /// # Errors
    /// When no socket can be opened towards that address.
    pub fn steady_udp(&self, to: SocketAddr, pace: Pace) -> Result<Steady> {
        let socket = self.namespace.inside(|| connected_udp(to))?;
        let socket = socket.map_err(|source| self.socket_error(format!("send to {to}"), source))?;
        Ok(Steady::start(Line::Udp(socket), pace))
    }

    /// Sends numbered echo requests, from now on, in the background.
    ///
    /// # Errors
    /// When no socket can be opened towards that address.
    pub fn steady_ping(&self, to: IpAddr, pace: Pace) -> Result<Steady> {
        let pinger = self.namespace.inside(|| Pinger::open(to))?;
        let pinger = pinger.map_err(|source| self.socket_error(format!("ping {to}"), source))?;
        Ok(Steady::start(Line::Ping(pinger), pace))
    }

    fn connect(&self, to: SocketAddr, timeout: Duration) -> Result<TcpStream> {
        let stream = self.namespace.inside(|| TcpStream::connect_timeout(&to, timeout))?;
        stream.map_err(|source| self.socket_error(format!("connect to {to}"), source))
    }

    fn socket_error(&self, action: String, source: std::io::Error) -> Error {
        Error::Socket { action, name: self.namespace.name().to_owned(), source }
    }
}

pub(crate) fn connected_udp(to: SocketAddr) -> std::io::Result<UdpSocket> {
    let any = if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(to)?;
    Ok(socket)
}
