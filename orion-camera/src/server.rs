// SPDX-License-Identifier: MPL-2.0
//! The RTSP server.

use std::net::{IpAddr, SocketAddr};

use gst::{glib, prelude::*};
use gst_app::AppSrc;
use gst_rtsp_server::{RTSPAuth, RTSPMediaFactory, RTSPServer, RTSPToken, gst_rtsp, prelude::*};
use thiserror::Error;

use crate::{clip::Clip, picture::Picture};

/// Where the stream is found.
const PATH: &str = "/camera";
/// What a user who has logged in is.
const ROLE: &str = "viewer";
/// How often sessions of clients that vanished are swept, seconds.
const SWEEP_S: u32 = 5;

/// Why nothing is served.
#[derive(Debug, Error)]
pub(crate) enum ServerError {
    #[error("cannot listen on {address}: is the port taken? Choose another --address or --port (0 = any free port)")]
    Listen { address: SocketAddr },
    #[error("the RTSP server has no place for streams")]
    Mounts,
}

/// What the camera shows.
pub(crate) enum Content {
    /// A clip in a loop.
    Clip(Clip),
    /// The moving test picture.
    Picture(Picture),
}

/// A server that listens.
pub(crate) struct Server {
    server: RTSPServer,
    main_loop: glib::MainLoop,
    source: Option<glib::SourceId>,
    url: String,
}

impl Server {
    /// Listens on `address`, any free port where `port` is 0.
    ///
    /// With a `login` (user and password) nobody else is served.
    pub(crate) fn start(
        content: Content,
        address: IpAddr,
        port: u16,
        login: Option<(String, String)>,
    ) -> Result<Self, ServerError> {
        let server = RTSPServer::new();
        server.set_address(&address.to_string());
        server.set_service(&port.to_string());
        let factory = RTSPMediaFactory::new();
        // All clients see the same stream, as with a camera.
        factory.set_shared(true);
        match content {
            Content::Picture(picture) => {
                factory.set_launch(picture.launch());
                factory.connect_media_configure(move |_, media| picture.configure(&media.element()));
            }
            Content::Clip(clip) => {
                factory.set_launch(clip.launch());
                factory.connect_media_configure(move |_, media| feed(&clip, &media.element()));
            }
        }
        if let Some((user, password)) = login {
            protect(&server, &factory, &user, &password);
        }
        server.mount_points().ok_or(ServerError::Mounts)?.add_factory(PATH, factory);
        let listen = ServerError::Listen { address: SocketAddr::new(address, port) };
        let Ok(source) = server.attach(None) else {
            return Err(listen);
        };
        let port = u16::try_from(server.bound_port()).map_err(|_| listen)?;
        if let Some(sessions) = server.session_pool() {
            glib::timeout_add_seconds(SWEEP_S, move || {
                sessions.cleanup();
                glib::ControlFlow::Continue
            });
        }
        let url = format!("rtsp://{}{PATH}", SocketAddr::new(address, port));
        Ok(Self { server, main_loop: glib::MainLoop::new(None, false), source: Some(source), url })
    }

    /// The stream's address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The loop that [`Server::serve`] runs; to quit it ends the service.
    pub(crate) fn main_loop(&self) -> &glib::MainLoop {
        &self.main_loop
    }

    /// Serves until the main loop is quit.
    pub(crate) fn serve(mut self) {
        self.main_loop.run();
        if let Some(source) = self.source.take() {
            source.remove();
        }
        self.server.client_filter(Some(&mut |_, client| {
            client.close();
            gst_rtsp_server::RTSPFilterResult::Remove
        }));
    }
}

/// Serves this user only, who logs in by digest, as most cameras want it.
fn protect(server: &RTSPServer, factory: &RTSPMediaFactory, user: &str, password: &str) {
    let role = gst::Structure::builder(ROLE)
        .field(gst_rtsp_server::RTSP_PERM_MEDIA_FACTORY_ACCESS, true)
        .field(gst_rtsp_server::RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, true)
        .build();
    factory.add_role_from_structure(&role);
    let token = RTSPToken::builder().field(gst_rtsp_server::RTSP_TOKEN_MEDIA_FACTORY_ROLE, ROLE).build();
    let auth = RTSPAuth::new();
    auth.set_supported_methods(gst_rtsp::RTSPAuthMethod::Digest);
    auth.add_digest(user, password, &token);
    server.set_auth(Some(&auth));
}

/// Starts a thread that feeds the clip to a new media; it ends with the media.
fn feed(clip: &Clip, element: &gst::Element) {
    let source = element.downcast_ref::<gst::Bin>().and_then(|bin| bin.by_name("clip"));
    let Some(source) = source.and_then(|source| source.downcast::<AppSrc>().ok()) else {
        return;
    };
    let clip = clip.clone();
    let spawned = std::thread::Builder::new().name("clip".into()).spawn(move || {
        if let Err(error) = clip.feed(&source) {
            // The clip was readable at the start: it was changed or removed since.
            gst::element_error!(source, gst::ResourceError::Read, ("{error}"));
            let _ = source.end_of_stream();
        }
    });
    if let Err(error) = spawned {
        gst::warning!(gst::CAT_RUST, "no thread to feed the clip: {error}");
    }
}
