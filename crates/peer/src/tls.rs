//! TLS from files in PEM form: whom to believe, and what to show.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};

/// Which servers are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Every one: what is said cannot be read on the way, but anybody can be the server. This is
    /// what oslo.messaging does without `ssl_ca_file`.
    Anybody,
    /// Those with a certificate of this authority, whatever its name: oslo.messaging with
    /// `ssl_ca_file`, and Open vSwitch, because `ovs-pki(8)` writes no name that could be compared.
    Authority {
        /// The authority's certificates.
        ca: PathBuf,
    },
    /// Those with a certificate of this authority for this name.
    Named {
        /// The authority's certificates.
        ca: PathBuf,
        /// The name or address that must stand in the certificate.
        name: String,
    },
}

/// The files with which a client says who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The client's certificate, and those between it and its authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why TLS cannot be spoken with what was given.
#[non_exhaustive]
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// A file holds no certificate or key.
    #[error("{} holds no usable certificate or key", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
    },
    /// What was given does not go together.
    #[error("cannot set up TLS")]
    Setup {
        /// Why.
        #[source]
        source: Arc<rustls::Error>,
    },
    /// The host is neither a name nor an address.
    #[error("'{host}' is neither a host name nor an address")]
    Name {
        /// What was given.
        host: String,
    },
}

/// How to speak with a server at this host, and which name to greet it with. The files are read anew
/// each time, so that renewed ones are taken up.
///
/// # Errors
/// When a file cannot be read or used, or the host has no name that could be sent.
pub async fn config(
    trust: &Trust,
    identity: Option<&Identity>,
    host: &str,
) -> Result<(Arc<ClientConfig>, ServerName<'static>), Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let (roots, host, compare_name) = match trust {
        Trust::Anybody => (None, host, false),
        Trust::Authority { ca } => (Some(roots(ca).await?), host, false),
        Trust::Named { ca, name } => (Some(roots(ca).await?), name.as_str(), true),
    };
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|_| Error::Name { host: host.to_owned() })?;
    let verifier = Verifier { roots, compare_name, provider: provider.clone() };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(setup)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { cert, key }) => {
            let chain = certificates(cert).await?;
            let secret = PrivateKeyDer::from_pem_slice(&read(key).await?)
                .map_err(|_| Error::Pem { path: key.clone() })?;
            builder.with_client_auth_cert(chain, secret).map_err(setup)?
        }
    };
    Ok((Arc::new(config), name))
}

async fn roots(ca: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca).await? {
        roots.add(certificate).map_err(setup)?;
    }
    Ok(roots)
}

async fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = read(path).await?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.ok().filter(|certificates| !certificates.is_empty());
    found.ok_or_else(|| Error::Pem { path: path.to_owned() })
}

async fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let content = tokio::fs::read(path).await;
    content.map_err(|source| Error::File { path: path.to_owned(), source: Arc::new(source) })
}

fn setup(source: rustls::Error) -> Error {
    Error::Setup { source: Arc::new(source) }
}

/// Believes as far as [`Trust`] says.
#[derive(Debug)]
struct Verifier {
    /// `None`: everybody is believed.
    roots: Option<RootCertStore>,
    compare_name: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(roots) = &self.roots else { return Ok(ServerCertVerified::assertion()) };
        let certificate = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        if self.compare_name {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
