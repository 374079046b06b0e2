// SPDX-License-Identifier: MPL-2.0
//! Who may come in: so many connections at a time, and each has to say soon what it wants.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use nix::sys::socket::{setsockopt, sockopt::TcpUserTimeout};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// Who takes nothing for so long is gone, ms: a page that is left open elsewhere must not keep its place for ever.
const GONE_MS: u32 = 30_000;
/// Pause after the system gave no connection, for want of descriptors most likely.
const PAUSE: Duration = Duration::from_secs(1);

/// How many come in, and how long they may be silent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Door {
    /// Connections at a time; others wait. Each takes a descriptor that workers and cameras may need.
    pub(super) most: usize,
    /// From the connection, or the answer before, to the end of a request's head.
    pub(super) patience: Duration,
}

impl Default for Door {
    /// Room for the viewers of a page with the connections that a browser makes for each, and for others besides.
    fn default() -> Self {
        Self { most: 128, patience: Duration::from_secs(30) }
    }
}

impl Door {
    /// Lets visitors in, for ever; with the end of this future all of them are gone.
    pub(super) async fn keep(self, listener: TcpListener, router: Router) {
        let (free, router) = (Arc::new(Semaphore::new(self.most)), TowerToHyperService::new(router));
        let mut visits = tokio::task::JoinSet::new();
        loop {
            let Ok(place) = Arc::clone(&free).acquire_owned().await else { return };
            while visits.try_join_next().is_some() {}
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    if !is_theirs(&error) {
                        tracing::error!("no connection over HTTP: {error}");
                        tokio::time::sleep(PAUSE).await;
                    }
                    continue;
                }
            };
            let visit = self.visit(stream, peer, router.clone());
            visits.spawn(async move {
                visit.await;
                drop(place);
            });
        }
    }

    async fn visit(self, stream: TcpStream, peer: SocketAddr, router: TowerToHyperService<Router>) {
        if let Err(error) = setsockopt(&stream, TcpUserTimeout, &GONE_MS) {
            tracing::debug!("who takes nothing keeps its connection: {error}");
        }
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            router.call(request)
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(self.patience);
        if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
            tracing::debug!("the connection of {peer} has ended: {error}");
        }
    }
}

/// Whether it is the visitor who has gone already.
fn is_theirs(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn who_says_nothing_is_sent_away_and_keeps_nobody_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router =
            Router::new().route("/", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }));
        let door = Door { most: 2, patience: Duration::from_millis(200) };
        let kept = tokio::spawn(door.keep(listener, router));
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").await.unwrap();
        // They have the only two places until they are sent away.
        let mut third = TcpStream::connect(address).await.unwrap();
        let name = third.local_addr().unwrap().to_string();
        third.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        let all = async {
            third.read_to_string(&mut answer).await.unwrap();
            (silent.read(&mut [0; 1]).await.unwrap(), slow.read_to_end(&mut Vec::new()).await.unwrap())
        };
        let (silent, _) = tokio::time::timeout(Duration::from_secs(20), all).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with(&name), "{answer}");
        assert_eq!(silent, 0);
        kept.abort();
    }

    #[tokio::test]
    async fn there_are_no_more_connections_than_places() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "here" }));
        let door = Door { most: 1, patience: Duration::from_secs(60) };
        let kept = tokio::spawn(door.keep(listener, router));
        let ask = async |stream: &mut TcpStream| {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            stream.read(&mut [0; 4096]).await.unwrap()
        };
        let mut first = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut first).await > 0);
        let mut second = TcpStream::connect(address).await.unwrap();
        let early = tokio::time::timeout(Duration::from_millis(100), ask(&mut second)).await;
        assert!(early.is_err(), "the only place is taken");
        drop(first);
        assert!(second.read(&mut [0; 4096]).await.unwrap() > 0);
        kept.abort();
        assert!(kept.await.unwrap_err().is_cancelled());
        assert_eq!(second.read(&mut [0; 1]).await.unwrap_or(0), 0, "with the door all are gone");
    }
}
