//! A relay lets a namespace reach one server outside, until it is cut.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use testkit::{Namespace, Relay, Toward, eventually};

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

#[test]
fn who_looks_on_is_told_of_everything_in_both_directions() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    thread::spawn(move || {
        for connection in server.incoming() {
            let mut connection = connection.unwrap();
            let mut asked = Vec::new();
            connection.read_to_end(&mut asked).unwrap();
            asked.reverse();
            connection.write_all(&asked).unwrap();
        }
    });
    let namespace = Namespace::create("watched").unwrap();
    let (told, carried) = mpsc::sync_channel(1000);
    let _relay = Relay::watched(&namespace, address, move |it| told.send(it).unwrap()).unwrap();
    let begin = Instant::now();
    let question: Vec<u8> = (0..=u8::MAX).cycle().take(100_000).collect();
    for _ in 0..2 {
        let mut connection = namespace.inside(|| TcpStream::connect(address)).unwrap().unwrap();
        connection.write_all(&question).unwrap();
        connection.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).unwrap();
        assert!(answer.iter().eq(question.iter().rev()));
    }
    let carried: Vec<_> = carried.try_iter().collect();
    assert!(carried.is_sorted_by_key(|it| it.at) && carried[0].at >= begin);
    let all = |number: u64, toward| {
        let of = carried.iter().filter(|it| (it.connection, it.toward) == (number, toward));
        of.flat_map(|it| it.bytes.iter().copied()).collect::<Vec<_>>()
    };
    let answer: Vec<u8> = question.iter().rev().copied().collect();
    for number in [1, 2] {
        assert!(all(number, Toward::Server) == question && all(number, Toward::Client) == answer);
    }
}
