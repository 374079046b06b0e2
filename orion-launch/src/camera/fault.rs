// SPDX-License-Identifier: MPL-2.0
//! What GStreamer's errors say about a camera.

use orion_core::camera::LossCause;

/// What an error within the source means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is the camera's: it may come back.
    Camera(LossCause),
    /// It is the installation's.
    Installation,
}

/// The meaning of an error with these details.
pub(crate) fn fault(error: &gst::glib::Error, details: &str) -> Fault {
    use gst::{CoreError, ResourceError, StreamError};
    let cause = match (error.kind::<ResourceError>(), error.kind::<StreamError>(), error.kind::<CoreError>()) {
        (Some(ResourceError::NotAuthorized), ..) => LossCause::Unauthorised,
        // There is no kind of error for 403.
        (Some(_), ..) if details.contains("Forbidden") => LossCause::Unauthorised,
        (Some(ResourceError::NotFound), ..) => LossCause::NotFound,
        (Some(_), ..) => LossCause::Refused,
        (_, Some(StreamError::CodecNotFound | StreamError::WrongType), _) => LossCause::WrongCodec,
        (.., Some(CoreError::MissingPlugin)) => return Fault::Installation,
        _ => LossCause::Lost,
    };
    Fault::Camera(cause)
}

#[cfg(test)]
mod tests {
    use gst::{CoreError, ResourceError, StreamError, glib};

    use super::*;

    #[test]
    fn each_error_has_its_cause() {
        let camera = Fault::Camera;
        for (error, details, expected) in [
            (glib::Error::new(ResourceError::NotAuthorized, ""), "", camera(LossCause::Unauthorised)),
            (glib::Error::new(ResourceError::Read, ""), "Forbidden (403)", camera(LossCause::Unauthorised)),
            (glib::Error::new(ResourceError::NotFound, ""), "", camera(LossCause::NotFound)),
            (glib::Error::new(ResourceError::OpenReadWrite, ""), "", camera(LossCause::Refused)),
            (glib::Error::new(StreamError::CodecNotFound, ""), "", camera(LossCause::WrongCodec)),
            (glib::Error::new(StreamError::Decode, ""), "", camera(LossCause::Lost)),
            (glib::Error::new(CoreError::MissingPlugin, ""), "", Fault::Installation),
        ] {
            assert_eq!(fault(&error, details), expected, "{error:?}");
        }
    }
}
