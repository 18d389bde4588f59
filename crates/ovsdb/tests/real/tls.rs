//! TLS with certificates made on the spot, which carry no host name, as those of `ovs-pki`.

use std::fs;
use std::path::Path;

use ovsdb::{Remote, TlsFiles, Transaction};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::server::{Database, Server, add_bridge, add_port, connected, disconnected};

#[tokio::test]
async fn a_server_of_the_right_authority_is_trusted_whatever_its_name() {
    let dir = Directory::new();
    let authority = Authority::new("ours");
    let server = start(&authority, &dir).await;
    let remote = remote(&server, authority.issue(&dir.0, "client"));
    let (client, mut events) = server.client(remote);
    connected(&mut events).await;
    let bridge = add_bridge(&client, "br0").await;
    // More than one TLS record can hold, in both directions.
    let many =
        (0..500).fold(Transaction::new(), |all, port| add_port(all, bridge, &format!("tap{port}")));
    client.transact(many).await.unwrap();
    assert_eq!(client.replica().ports.len(), 501);
}

#[tokio::test]
async fn a_server_of_another_authority_is_refused() {
    let dir = Directory::new();
    let authority = Authority::new("ours");
    let server = start(&authority, &dir).await;
    let mut files = authority.issue(&dir.0, "client");
    files.ca = Authority::new("theirs").issue(&dir.0, "stranger").ca;
    let (_client, mut events) = server.client(remote(&server, files));
    let reason = disconnected(&mut events).await;
    assert!(reason.contains("invalid peer certificate"), "{reason}");
}

#[tokio::test]
async fn a_client_of_another_authority_is_refused() {
    let dir = Directory::new();
    let authority = Authority::new("ours");
    let server = start(&authority, &dir).await;
    let mut files = Authority::new("theirs").issue(&dir.0, "stranger");
    files.ca = authority.issue(&dir.0, "client").ca;
    let (_client, mut events) = server.client(remote(&server, files));
    disconnected(&mut events).await;
}

#[tokio::test]
async fn a_missing_key_is_named() {
    let dir = Directory::new();
    let authority = Authority::new("ours");
    let server = start(&authority, &dir).await;
    let mut files = authority.issue(&dir.0, "client");
    files.key = "/nonexistent/key.pem".into();
    let (_client, mut events) = server.client(remote(&server, files));
    let reason = disconnected(&mut events).await;
    assert!(reason.starts_with("cannot read /nonexistent/key.pem: "), "{reason}");
}

/// A server that speaks TLS with a certificate of this authority.
async fn start(authority: &Authority, dir: &Directory) -> Server {
    let TlsFiles { ca, cert, key } = authority.issue(&dir.0, "server");
    let arguments = [
        "--remote=pssl:0:127.0.0.1".to_owned(),
        format!("--ca-cert={}", ca.display()),
        format!("--certificate={}", cert.display()),
        format!("--private-key={}", key.display()),
    ];
    Server::start_with(Database::Standalone, &arguments).await
}

fn remote(server: &Server, files: TlsFiles) -> Remote {
    let remote: Remote = format!("ssl:127.0.0.1:{}", server.tcp_port()).parse().unwrap();
    remote.with_tls_files(files)
}

/// A directory for the files, removed at the end.
struct Directory(std::path::PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("ovsdb-tls-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// Writes a key and its certificate, and the authority's.
    fn issue(&self, dir: &Path, name: &str) -> TlsFiles {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        let write = |what: &str, pem: &str| {
            let path = dir.join(format!("{name}-{what}.pem"));
            fs::write(&path, pem).unwrap();
            path
        };
        TlsFiles {
            ca: write("ca", &self.certificate),
            cert: write("cert", &certificate),
            key: write("key", &key.serialize_pem()),
        }
    }
}
