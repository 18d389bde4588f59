//! TLS to a broker: whom to believe, and what to show.

use std::{path::Path, sync::Arc};

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

use crate::{Error, Identity, Result, Tls, Trust};

/// Reads the files anew, so that renewed ones are taken up, and says which name to greet with.
pub(super) async fn config(
    tls: &Tls,
    host: &str,
) -> Result<(Arc<ClientConfig>, ServerName<'static>)> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let (roots, host, compare_name) = match &tls.trust {
        Trust::Anybody => (None, host, false),
        Trust::Authority { ca } => (Some(roots(ca).await?), host, false),
        Trust::Named { ca, name } => (Some(roots(ca).await?), name.as_str(), true),
    };
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|_| Error::TlsName { host: host.to_owned() })?;
    let verifier = Verifier { roots, compare_name, provider: provider.clone() };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(setup)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some(Identity { cert, key }) => {
            let chain = certificates(cert).await?;
            let secret = PrivateKeyDer::from_pem_slice(&read(key).await?)
                .map_err(|_| Error::TlsPem { path: key.clone() })?;
            builder.with_client_auth_cert(chain, secret).map_err(setup)?
        }
    };
    Ok((Arc::new(config), name))
}

async fn roots(ca: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca).await? {
        roots.add(certificate).map_err(setup)?;
    }
    Ok(roots)
}

async fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = read(path).await?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.ok().filter(|certificates| !certificates.is_empty());
    found.ok_or_else(|| Error::TlsPem { path: path.to_owned() })
}

async fn read(path: &Path) -> Result<Vec<u8>> {
    let content = tokio::fs::read(path).await;
    content.map_err(|source| Error::TlsFile { path: path.to_owned(), source: Arc::new(source) })
}

fn setup(source: rustls::Error) -> Error {
    Error::TlsSetup { source: Arc::new(source) }
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
