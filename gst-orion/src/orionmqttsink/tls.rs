// SPDX-License-Identifier: MPL-2.0
//! From the files that properties name to a TLS configuration.

use std::{fs, io, sync::Arc};

use rumqttc::{
    TlsConfiguration, TlsError,
    tokio_rustls::rustls::{
        self, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem, pem::PemObject},
        sign::{CertifiedKey, SingleCertAndKey},
    },
};
use thiserror::Error;

/// Why there can be no TLS.
#[derive(Debug, Error)]
pub(super) enum TlsFileError {
    #[error("{0} is set, but the connection would not be encrypted; set uri to mqtts://host")]
    Plain(&'static str),
    #[error("{0} is set without {1}; a client certificate needs both")]
    Half(&'static str, &'static str),
    #[error("{property} {file:?} cannot be read: {source}")]
    Unreadable { property: &'static str, file: String, source: io::Error },
    #[error("{property} {file:?} holds no {what} in PEM format")]
    Without { property: &'static str, file: String, what: &'static str },
    #[error("{property} {file:?} is damaged: {reason}")]
    Damaged { property: &'static str, file: String, reason: String },
    #[error("the key in tls-key-file {key:?} does not belong to the certificate in tls-cert-file {cert:?}")]
    Mismatch { cert: String, key: String },
    #[error("the system's root certificates cannot be used: {0}; set tls-ca-file")]
    SystemRoots(TlsError),
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] rustls::Error),
}

/// The properties; an empty file name = none.
#[derive(Debug, Clone, Default)]
pub(super) struct TlsSettings {
    pub(super) ca_file: String,
    pub(super) cert_file: String,
    pub(super) key_file: String,
    /// Whether the broker may be anybody.
    pub(super) insecure: bool,
}

const CA: &str = "tls-ca-file";
const CERT: &str = "tls-cert-file";
const KEY: &str = "tls-key-file";

impl TlsSettings {
    /// What the client library needs for a connection that is `encrypted` or not; reads the files.
    ///
    /// # Errors
    /// [`TlsFileError`] names property, file and reason.
    pub(super) fn configuration(&self, encrypted: bool) -> Result<Option<TlsConfiguration>, TlsFileError> {
        if !encrypted {
            let set = [
                (CA, !self.ca_file.is_empty()),
                (CERT, !self.cert_file.is_empty()),
                (KEY, !self.key_file.is_empty()),
                ("tls-insecure", self.insecure),
            ];
            return match set.iter().find(|(_, set)| *set) {
                Some((property, _)) => Err(TlsFileError::Plain(property)),
                None => Ok(None),
            };
        }
        let provider = Arc::new(ring::default_provider());
        let mut config = self.trust(&provider)?;
        if let Some(key) = self.identity(&provider)? {
            config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(key));
        }
        Ok(Some(TlsConfiguration::Rustls(Arc::new(config))))
    }

    /// Whom to trust.
    fn trust(&self, provider: &Arc<CryptoProvider>) -> Result<ClientConfig, TlsFileError> {
        if self.ca_file.is_empty() && !self.insecure {
            return match TlsConfiguration::try_default_rustls().map_err(TlsFileError::SystemRoots)? {
                TlsConfiguration::Rustls(system) => Ok(Arc::unwrap_or_clone(system)),
                _ => Err(TlsFileError::Library(rustls::Error::General("no rustls configuration".into()))),
            };
        }
        let mut roots = RootCertStore::empty();
        if !self.ca_file.is_empty() {
            // Read with tls-insecure as well, so that a mistake is found before that is taken away.
            for certificate in certificates(CA, &self.ca_file)? {
                roots.add(certificate).map_err(|error| damaged(CA, &self.ca_file, &error))?;
            }
        }
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(provider)).with_safe_default_protocol_versions()?;
        Ok(if self.insecure {
            let anybody = Arc::new(Anybody(Arc::clone(provider)));
            builder.dangerous().with_custom_certificate_verifier(anybody).with_no_client_auth()
        } else {
            builder.with_root_certificates(roots).with_no_client_auth()
        })
    }

    /// Who we are; none = nobody in particular.
    fn identity(&self, provider: &CryptoProvider) -> Result<Option<CertifiedKey>, TlsFileError> {
        match (self.cert_file.is_empty(), self.key_file.is_empty()) {
            (true, true) => return Ok(None),
            (false, true) => return Err(TlsFileError::Half(CERT, KEY)),
            (true, false) => return Err(TlsFileError::Half(KEY, CERT)),
            (false, false) => {}
        }
        let chain = certificates(CERT, &self.cert_file)?;
        let file = || self.key_file.clone();
        let key = PrivateKeyDer::from_pem_slice(&read(KEY, &self.key_file)?).map_err(|error| match error {
            pem::Error::NoItemsFound => TlsFileError::Without { property: KEY, file: file(), what: "private key" },
            error => damaged(KEY, &self.key_file, &error),
        })?;
        match CertifiedKey::from_der(chain, key, provider) {
            Ok(key) => Ok(Some(key)),
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(TlsFileError::Mismatch { cert: self.cert_file.clone(), key: file() })
            }
            Err(error @ rustls::Error::InvalidCertificate(_)) => Err(damaged(CERT, &self.cert_file, &error)),
            Err(error) => Err(damaged(KEY, &self.key_file, &error)),
        }
    }
}

fn damaged(property: &'static str, file: &str, reason: &dyn ToString) -> TlsFileError {
    TlsFileError::Damaged { property, file: file.to_owned(), reason: reason.to_string() }
}

fn read(property: &'static str, file: &str) -> Result<Vec<u8>, TlsFileError> {
    fs::read(file).map_err(|source| TlsFileError::Unreadable { property, file: file.to_owned(), source })
}

fn certificates(property: &'static str, file: &str) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let text = read(property, file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| damaged(property, file, &error))?;
    if found.is_empty() {
        return Err(TlsFileError::Without { property, file: file.to_owned(), what: "certificate" });
    }
    Ok(found)
}

/// Takes any certificate for good. The signatures are still checked, so that at least it is the peer's own.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(settings: &TlsSettings) -> String {
        settings.configuration(true).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn only_an_encrypted_connection_takes_them() {
        let plain = |settings: TlsSettings| settings.configuration(false).err().map(|error| error.to_string());
        assert_eq!(plain(TlsSettings::default()), None);
        for (settings, property) in [
            (TlsSettings { ca_file: "x".into(), ..TlsSettings::default() }, "tls-ca-file is set"),
            (TlsSettings { cert_file: "x".into(), ..TlsSettings::default() }, "tls-cert-file is set"),
            (TlsSettings { key_file: "x".into(), ..TlsSettings::default() }, "tls-key-file is set"),
            (TlsSettings { insecure: true, ..TlsSettings::default() }, "tls-insecure is set"),
        ] {
            let why = plain(settings).unwrap();
            assert!(why.starts_with(property) && why.contains("mqtts://"), "{why}");
        }
    }

    #[test]
    fn names_the_file_and_what_is_wrong_with_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let mut settings = TlsSettings { ca_file: "/nowhere/ca.pem".into(), ..TlsSettings::default() };
        assert!(refused(&settings).starts_with("tls-ca-file \"/nowhere/ca.pem\" cannot be read: No such file"));
        settings.ca_file.clone_from(&path);
        assert!(refused(&settings).contains("holds no certificate in PEM format"));
        settings.insecure = true;
        assert!(refused(&settings).contains("holds no certificate"), "also where it would not be needed");
        fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        settings.insecure = false;
        let why = refused(&settings);
        assert!(why.contains("is damaged") && why.contains(&path), "{why}");
        let mut settings = TlsSettings { insecure: true, cert_file: path.clone(), ..TlsSettings::default() };
        assert_eq!(refused(&settings), "tls-cert-file is set without tls-key-file; a client certificate needs both");
        settings = TlsSettings { insecure: true, key_file: path.clone(), ..TlsSettings::default() };
        assert!(refused(&settings).starts_with("tls-key-file is set without tls-cert-file"));
        settings.cert_file.clone_from(&path);
        assert!(refused(&settings).contains("tls-key-file") && refused(&settings).contains("holds no private key"));
        settings = TlsSettings { insecure: true, ..TlsSettings::default() };
        assert!(settings.configuration(true).unwrap().is_some());
    }
}
