// SPDX-License-Identifier: MPL-2.0
//! Where the camera is and who logs in there.

use crate::config::{self, masked};

/// An address with its credentials; the password never leaves it but for the camera.
#[derive(Clone)]
pub(super) struct Login {
    pub(super) url: String,
    pub(super) username: String,
    pub(super) password: String,
}

impl Login {
    /// Reads the password anew: it may have been changed.
    ///
    /// # Errors
    /// The file cannot be read; names the key and the file.
    pub(super) fn read(camera: &config::Camera) -> Result<Self, String> {
        let path = &camera.password_file;
        let password = match path.as_str() {
            "" => String::new(),
            _ => std::fs::read_to_string(path).map_err(|error| format!("camera.password_file {path}: {error}"))?,
        };
        let password = password.lines().next().unwrap_or_default().to_owned();
        Ok(Self { url: camera.rtsp_url.clone(), username: camera.username.clone(), password })
    }

    /// A text that may repeat the address or the password, without the latter.
    pub(super) fn mask(&self, text: &str) -> String {
        let text = text.replace(&self.url, &masked(&self.url));
        let inline = password(&self.url).unwrap_or_default();
        [self.password.as_str(), inline]
            .into_iter()
            .filter(|secret| !secret.is_empty())
            .fold(text, |text, secret| text.replace(secret, "***"))
    }
}

/// The password in an address.
fn password(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    authority.rsplit_once('@')?.0.split_once(':').map(|(_, password)| password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_password_and_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        let mut camera = config::Camera {
            rtsp_url: "rtsp://cam/x".into(),
            username: "me".into(),
            password_file: path.display().to_string(),
            ..config::Camera::default()
        };
        let Err(error) = Login::read(&camera) else { panic!("there is no file") };
        assert!(error.starts_with("camera.password_file /") && error.contains("No such file"), "{error}");
        std::fs::write(&path, "s3cret \r\nanother\n").unwrap();
        let login = Login::read(&camera).unwrap();
        assert_eq!((login.username.as_str(), login.password.as_str()), ("me", "s3cret "));
        assert_eq!(login.mask("bad password 's3cret ' for rtsp://cam/x"), "bad password '***' for rtsp://cam/x");
        camera.password_file.clear();
        camera.rtsp_url = "rtsp://me:hunter2@cam:554/x".into();
        let login = Login::read(&camera).unwrap();
        assert_eq!(login.mask("no rtsp://me:hunter2@cam:554/x, hunter2"), "no rtsp://me:***@cam:554/x, ***");
    }
}
