//! Remotes as `ovs-vsctl` and operators write them.

use super::*;

#[track_caller]
fn check(text: &str, remote: &Remote, canonical: &str) {
    assert_eq!(text.parse().as_ref(), Ok(remote));
    assert_eq!(remote.to_string(), canonical);
}

#[test]
fn every_method_is_read() {
    let tcp = |host: &str, port| Remote::Tcp(host.to_owned(), port);
    let unix = Remote::Unix("/run/openvswitch/db.sock".into());
    check("unix:/run/openvswitch/db.sock", &unix, "unix:/run/openvswitch/db.sock");
    check("tcp:1.2.3.4:6641", &tcp("1.2.3.4", 6641), "tcp:1.2.3.4:6641");
    check("tcp:1.2.3.4", &tcp("1.2.3.4", 6640), "tcp:1.2.3.4:6640");
    check("tcp:[::1]:65535", &tcp("::1", 65535), "tcp:[::1]:65535");
    check("tcp:[::1]", &tcp("::1", 6640), "tcp:[::1]:6640");
    check("tcp:node-1.example:1", &tcp("node-1.example", 1), "tcp:node-1.example:1");
    let tls = Remote::Tls { host: "::1".to_owned(), port: 6640, files: TlsFiles::conventional() };
    check("ssl:[::1]:6640", &tls, "ssl:[::1]:6640");
}

#[test]
fn what_names_no_database_is_refused() {
    for text in ["", "/run/db.sock", "http:1.2.3.4", "punix:/x", "unix"] {
        let error = ParseRemoteError::Method { text: text.to_owned() };
        assert_eq!(text.parse::<Remote>(), Err(error));
    }
    for text in ["unix:", "tcp:", "tcp::6640", "ssl:[]:1", "tcp:::1:6640"] {
        assert_eq!(text.parse::<Remote>(), Err(ParseRemoteError::Empty { text: text.to_owned() }));
    }
    for text in ["tcp:a:0", "tcp:a:65536", "tcp:a:", "tcp:[::1]x", "tcp:[::1]6640"] {
        assert_eq!(text.parse::<Remote>(), Err(ParseRemoteError::Port { text: text.to_owned() }));
    }
}

#[test]
fn tls_files_go_where_tls_is() {
    let files = TlsFiles { ca: "a".into(), cert: "b".into(), key: "c".into() };
    let tls: Remote = "ssl:host:1".parse().unwrap();
    let expected = Remote::Tls { host: "host".to_owned(), port: 1, files: files.clone() };
    assert_eq!(tls.with_tls_files(files.clone()), expected);
    let tcp: Remote = "tcp:host:1".parse().unwrap();
    assert_eq!(tcp.clone().with_tls_files(files), tcp);
}
