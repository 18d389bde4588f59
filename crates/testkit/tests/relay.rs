//! A relay lets a namespace reach one server outside, until it is cut.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use testkit::{Namespace, Relay, eventually};

#[test]
fn reaches_the_server_until_it_is_cut() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    thread::spawn(move || {
        for connection in server.incoming() {
            let mut connection = connection.unwrap();
            thread::spawn(move || {
                let _closed = connection.write_all(b"hello");
                let _closed = connection.read(&mut [0]);
            });
        }
    });
    let namespace = Namespace::create("relay").unwrap();
    let connect = || namespace.inside(|| TcpStream::connect(address)).unwrap();
    assert!(connect().is_err(), "the namespace has a way out by itself");

    let relay = Relay::start(&namespace, address).unwrap();
    let greeted = |connection: &mut TcpStream| {
        let mut bytes = [0; 5];
        connection.read_exact(&mut bytes).is_ok_and(|()| bytes == *b"hello")
    };
    let mut connection = connect().unwrap();
    assert!(greeted(&mut connection));

    relay.cut();
    assert_eq!(connection.read(&mut [0]).unwrap_or(0), 0, "a connection outlives the cable");
    assert!(!greeted(&mut connect().unwrap()));

    relay.mend();
    let within = Duration::from_secs(10);
    eventually(within, || connect().is_ok_and(|mut it| greeted(&mut it))).unwrap();
}
