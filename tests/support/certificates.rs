// SPDX-License-Identifier: MPL-2.0
//! Files for TLS, made by openssl.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// For many years.
    Now,
    /// Until some years ago.
    Over,
}

/// A certificate and its key, in PEM files.
pub struct Pair {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// Who signs certificates.
pub struct Authority {
    dir: PathBuf,
    name: String,
    /// What those who trust it need.
    pub cert: PathBuf,
    key: PathBuf,
}

const EC: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

impl Authority {
    /// Makes one in `dir`; `name` tells several apart.
    pub fn make(dir: &Path, name: &str) -> Self {
        let file = |suffix: &str| dir.join(format!("{name}.{suffix}"));
        let (cert, key) = (file("ca.pem"), file("ca.key"));
        let subject = format!("/CN={name}");
        let mut args = vec!["req", "-x509", "-days", "3650", "-subj", &subject];
        args.extend(EC);
        openssl(&args, &[("-keyout", &key), ("-out", &cert)]);
        // What `openssl ca` wants; unlike others it takes any dates.
        let path = dir.display();
        let config = format!(
            "[ca]\ndefault_ca=x\n[x]\nnew_certs_dir={path}\ndatabase={path}/{name}.index\nrand_serial=yes\n\
             default_md=sha256\npolicy=p\nunique_subject=no\nemail_in_dn=no\n[p]\ncommonName=supplied\n"
        );
        fs::write(file("conf"), config).unwrap();
        fs::write(file("index"), "").unwrap();
        Self { dir: dir.to_owned(), name: name.to_owned(), cert, key }
    }

    /// Signs a certificate for `names`, such as `IP:127.0.0.1,DNS:localhost`.
    pub fn issue(&self, name: &str, names: &str, validity: Validity) -> Pair {
        let file = |suffix: &str| self.dir.join(format!("{}-{name}.{suffix}", self.name));
        let (cert, key, request, extensions) = (file("pem"), file("key"), file("req"), file("ext"));
        let subject = format!("/CN={name}");
        let mut args = vec!["req", "-subj", &subject];
        args.extend(EC);
        openssl(&args, &[("-keyout", &key), ("-out", &request)]);
        fs::write(&extensions, format!("subjectAltName={names}\n")).unwrap();
        let end = match validity {
            Validity::Now => "20450101000000Z",
            Validity::Over => "20210101000000Z",
        };
        openssl(
            &["ca", "-batch", "-notext", "-startdate", "20200101000000Z", "-enddate", end],
            &[
                ("-config", &self.dir.join(format!("{}.conf", self.name))),
                ("-cert", &self.cert),
                ("-keyfile", &self.key),
                ("-in", &request),
                ("-extfile", &extensions),
                ("-out", &cert),
            ],
        );
        Pair { cert, key }
    }
}

fn openssl(args: &[&str], files: &[(&str, &Path)]) {
    let mut command = Command::new("openssl");
    command.args(args);
    for (option, path) in files {
        command.arg(option).arg(path);
    }
    let output = command.output().expect("openssl is needed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
