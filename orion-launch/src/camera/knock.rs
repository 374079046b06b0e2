// SPDX-License-Identifier: MPL-2.0
//! Asks a camera that was lost whether it is there again: cheaper, and more often, than to connect.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long an answer may take, the connection included.
const LIMIT: Duration = Duration::from_secs(1);
/// What every answer begins with.
const ANSWER: &[u8] = b"RTSP/1.0 ";

/// Where to knock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Door {
    host: String,
    port: u16,
    path: String,
    /// Encrypted: that it accepts connections has to do.
    closed: bool,
}

impl Door {
    /// The door of this address; none if it has none.
    pub(super) fn of(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let server = authority.rsplit_once('@').map_or(authority, |(_, server)| server);
        let (host, port) = match server.strip_prefix('[') {
            Some(v6) => v6.split_once(']')?,
            None => server.split_at(server.find(':').unwrap_or(server.len())),
        };
        let closed = scheme == "rtsps";
        let default = if closed { 322 } else { 554 };
        let port = if port.is_empty() { default } else { port.strip_prefix(':')?.parse().ok()? };
        (!host.is_empty()).then(|| Self { host: host.to_owned(), port, path: path.to_owned(), closed })
    }

    /// Whether somebody answers.
    pub(super) async fn knock(self) -> bool {
        matches!(timeout(LIMIT, self.ask()).await, Ok(Ok(true)))
    }

    async fn ask(&self) -> std::io::Result<bool> {
        let mut stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        if self.closed {
            return Ok(true);
        }
        stream.write_all(self.request().as_bytes()).await?;
        let mut answer = [0; ANSWER.len()];
        stream.read_exact(&mut answer).await?;
        Ok(answer == ANSWER)
    }

    fn request(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("OPTIONS rtsp://{host}:{}{} RTSP/1.0\r\nCSeq: 1\r\n\r\n", self.port, self.path)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn the_door_is_host_and_port() {
        let door =
            |host: &str, port, path: &str, closed| Some(Door { host: host.into(), port, path: path.into(), closed });
        assert_eq!(Door::of("rtsp://me:p@ss@cam/x?y=@"), door("cam", 554, "/x?y=@", false));
        assert_eq!(Door::of("rtsps://cam"), door("cam", 322, "", true));
        assert_eq!(Door::of("rtspt://[::1]:8554/a"), door("::1", 8554, "/a", false));
        for wrong in ["cam", "rtsp://", "rtsp://cam:x/", "rtsp://cam:70000"] {
            assert_eq!(Door::of(wrong), None, "{wrong}");
        }
        let request = Door::of("rtsp://me:secret@[::1]:8554/a").unwrap().request();
        assert_eq!(request, "OPTIONS rtsp://[::1]:8554/a RTSP/1.0\r\nCSeq: 1\r\n\r\n");
    }

    fn knocked(answer: Option<&'static [u8]>) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let door = Door::of(&format!("rtsp://{}/x", listener.local_addr().unwrap())).unwrap();
            let server = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                match answer {
                    Some(answer) => stream.write_all(answer).await.unwrap(),
                    None => std::future::pending().await,
                }
                std::future::pending::<bool>().await
            };
            tokio::select! {
                answers = door.knock() => answers,
                never = server => never,
            }
        })
    }

    #[test]
    fn whoever_answers_in_rtsp_is_there() {
        assert!(knocked(Some(b"RTSP/1.0 401 Unauthorized\r\n\r\n")));
        assert!(!knocked(Some(b"HTTP/1.1 400 Bad Request\r\n\r\n")));
        assert!(!knocked(None), "frozen");
    }
}
