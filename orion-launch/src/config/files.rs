// SPDX-License-Identifier: MPL-2.0
//! The files that a configuration names: those that the daemon will certainly read must be there when it is checked.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use rumqttc::tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::{
    Config, Detector, Worker,
    fleet::{self, Problems},
    mask,
};
use crate::page::Token;

/// Larger ones are no configuration.
const MAX_BYTES: u64 = 1024 * 1024;

/// The content of a text file; what is wrong begins with `:` and can follow the file's name.
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    let bytes = read(path).map_err(|reason| format!(": {reason}"))?;
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = good.len() - good.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1) + 1;
        format!(":{line}:{column}: expected UTF-8 text")
    })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        return Err("is a directory, expected a file".into());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| reason(&error))?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| reason(&error))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err("is larger than 1 MiB, expected less".into());
    }
    Ok(bytes)
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".into(),
        io::ErrorKind::PermissionDenied => "may not be read (permissions)".into(),
        _ => error.to_string(),
    }
}

/// All that names a file.
pub(super) fn named(config: &Config) -> Vec<&str> {
    let mqtt = &config.mqtt;
    let mut names = vec![mqtt.password_file.as_str(), &mqtt.buffer_directory, &mqtt.uri, &config.http.page.token_file];
    names.extend(mqtt.tls.files().map(|(_, path)| path));
    names.extend([&*config.camera.password_file, &config.camera.file, &config.pipeline, &config.pipeline_file]);
    let workers = config.models.others.values().chain([&*config.models.person_detector]);
    for worker in workers {
        names.extend([&*worker.model_dir, &worker.model_path, &worker.model_path_320, &worker.worker_command]);
    }
    names
}

/// What is wrong with the files: the key to blame and why.
pub(super) fn problems(config: &Config) -> Problems {
    let mut found = Vec::new();
    look(&mut found, "mqtt.password_file", &config.mqtt.password_file, password);
    look(&mut found, "http.page.token_file", &config.http.page.token_file, |path| Token::read(path).map(|_| ()));
    if config.mqtt.is_encrypted() {
        for (key, path) in config.mqtt.tls.files() {
            look(&mut found, key, path, if key.ends_with("key_file") { private_key } else { certificate });
        }
    }
    look(&mut found, "mqtt.buffer_directory", &config.mqtt.buffer_directory, folder_or_nothing);
    // What follows is for the built pipeline.
    if config.pipeline.is_empty() && config.pipeline_file.is_empty() {
        found.extend(fleet::each(config, sensor));
    }
    found
}

/// The same for the files of one camera.
fn sensor(config: &Config) -> Problems {
    let mut found = Vec::new();
    look(&mut found, "camera.password_file", &config.camera.password_file, password);
    look(&mut found, "camera.file", &config.camera.file, readable);
    let detector = &config.models.person_detector;
    let others = config.models.others.iter().map(|(name, worker)| (name.as_str(), worker));
    for (name, worker) in std::iter::once(("person_detector", &**detector)).chain(others) {
        if reads_models(worker) {
            for (key, path) in [("model_path", &worker.model_path), ("model_path_320", &worker.model_path_320)] {
                look(&mut found, &format!("models.{name}.{key}"), path, readable);
            }
            look(&mut found, &format!("models.{name}.model_dir"), &worker.model_dir, folder);
        }
    }
    found
}

/// Notes what is wrong with a file, if one is named.
fn look(found: &mut Problems, key: &str, path: &str, check: fn(&Path) -> Result<(), String>) {
    if !path.is_empty()
        && let Err(why) = check(Path::new(path))
    {
        found.push((key.to_owned(), format!("{:?}: {why}", mask::text(path))));
    }
}

/// Whether it is the shipped worker with a model: what another one makes of these texts is its own affair.
fn reads_models(worker: &Worker) -> bool {
    worker.worker_command.is_empty() && worker.detector != Detector::Motion
}

/// The content of a file that is read again and again, which a pipe does not allow.
pub(crate) fn content(path: &Path) -> Result<Vec<u8>, String> {
    regular(path)?;
    read(path)
}

/// Only a regular file is read without waiting for anybody.
pub(super) fn regular(path: &Path) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => Err("is no regular file, expected one".into()),
        _ => Ok(()),
    }
}

fn password(path: &Path) -> Result<(), String> {
    let bytes = content(path)?;
    let text = String::from_utf8(bytes).map_err(|_| "expected a password as UTF-8 text".to_owned())?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err("is empty, expected a password".into());
    }
    if password.contains(['\n', '\0']) {
        return Err("expected a password, one line".into());
    }
    Ok(())
}

fn certificate(path: &Path) -> Result<(), String> {
    let bytes = content(path)?;
    match CertificateDer::pem_slice_iter(&bytes).next() {
        Some(Ok(_)) => Ok(()),
        _ => Err("holds no certificate in PEM format".into()),
    }
}

fn private_key(path: &Path) -> Result<(), String> {
    let bytes = content(path)?;
    PrivateKeyDer::from_pem_slice(&bytes)
        .map(|_| ())
        .map_err(|_| "holds no private key in PEM format that is not encrypted".into())
}

fn readable(path: &Path) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err("is a directory, expected a file".into()),
        // Opening a pipe would wait for somebody who writes.
        Ok(metadata) if !metadata.is_file() => Ok(()),
        _ => File::open(path).map(|_| ()).map_err(|error| reason(&error)),
    }
}

fn folder(path: &Path) -> Result<(), String> {
    match fs::read_dir(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err("there is no such directory".into()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err("is a file, expected a directory".into()),
        Err(error) => Err(reason(&error)),
    }
}

/// One that the sink makes if it is not there.
fn folder_or_nothing(path: &Path) -> Result<(), String> {
    if path.exists() { folder(path) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, good) in [("secret\n", true), ("secret\r\n", true), ("", false), ("\n", false), ("a\nb\n", false)] {
            fs::write(file.path(), text).unwrap();
            assert_eq!(password(file.path()).is_ok(), good, "{text:?}");
        }
        fs::write(file.path(), b"\xff").unwrap();
        assert!(password(file.path()).unwrap_err().contains("UTF-8"));
        assert!(password(Path::new("/")).unwrap_err().contains("directory"));
        assert!(certificate(file.path()).unwrap_err().contains("PEM"));
    }

    #[test]
    fn what_is_no_text_is_told_with_its_place() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), b"a: 1\nb: \xff").unwrap();
        assert_eq!(read_text(file.path()).unwrap_err(), ":2:4: expected UTF-8 text");
        fs::write(file.path(), vec![b' '; MAX_BYTES as usize + 1]).unwrap();
        assert!(read_text(file.path()).unwrap_err().contains("1 MiB"));
    }
}
