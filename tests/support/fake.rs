// SPDX-License-Identifier: MPL-2.0
//! A broker that does what a test wants, byte by byte.

use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
};

use super::broker::PATIENCE;

/// First half of a packet's first byte.
pub const CONNECT: u8 = 1;
pub const PUBLISH: u8 = 3;
pub const PINGREQ: u8 = 12;
pub const DISCONNECT: u8 = 14;

/// A packet: its first byte and what follows the length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    pub first: u8,
    pub body: Vec<u8>,
}

impl Packet {
    pub fn kind(&self) -> u8 {
        self.first >> 4
    }

    /// Of a PUBLISH.
    pub fn qos(&self) -> u8 {
        self.first >> 1 & 3
    }

    /// Of a PUBLISH.
    pub fn retain(&self) -> bool {
        self.first & 1 == 1
    }

    /// Of a PUBLISH.
    pub fn topic(&self) -> String {
        String::from_utf8(self.body[2..2 + self.topic_len()].to_vec()).unwrap()
    }

    /// Of a PUBLISH at QoS 1 or 2.
    pub fn id(&self) -> [u8; 2] {
        let at = 2 + self.topic_len();
        [self.body[at], self.body[at + 1]]
    }

    fn topic_len(&self) -> usize {
        usize::from(u16::from_be_bytes([self.body[0], self.body[1]]))
    }

    /// The flags of a CONNECT.
    pub fn connect_flags(&self) -> u8 {
        self.body[7]
    }

    /// Whether the payload is this text.
    pub fn ends_with(&self, text: &str) -> bool {
        self.body.ends_with(text.as_bytes())
    }
}

/// Listens on a port of its own.
pub struct Fake {
    listener: TcpListener,
}

impl Fake {
    pub fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    pub fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// The next connection, with its CONNECT.
    pub fn accept(&self) -> (Peer, Packet) {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut peer = Peer { stream };
        let connect = peer.read();
        assert_eq!(connect.kind(), CONNECT);
        (peer, connect)
    }

    /// The next connection, which is accepted with these properties of MQTT 5.
    pub fn welcome(&self, properties: &[u8]) -> Peer {
        let (mut peer, _) = self.accept();
        peer.connack(0, properties);
        peer
    }
}

/// One connection.
pub struct Peer {
    stream: TcpStream,
}

impl Peer {
    pub fn read(&mut self) -> Packet {
        let first = self.byte();
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        Packet { first, body }
    }

    fn byte(&mut self) -> u8 {
        let mut byte = [0];
        self.stream.read_exact(&mut byte).expect("no packet");
        byte[0]
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Reads until the other side closes; returns what kinds of packets came.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut kinds = Vec::new();
        loop {
            match self.stream.peek(&mut [0]) {
                Ok(0) => return kinds,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return kinds,
                Ok(_) => kinds.push(self.read().kind()),
                Err(error) => panic!("not closed: {error}"),
            }
        }
    }

    /// CONNACK of MQTT 5.
    pub fn connack(&mut self, code: u8, properties: &[u8]) {
        let mut packet = vec![0x20, 3 + properties.len() as u8, 0, code, properties.len() as u8];
        packet.extend_from_slice(properties);
        self.send(&packet);
    }

    /// CONNACK of MQTT 5 by a broker that knows the session.
    pub fn resume(&mut self, properties: &[u8]) {
        let mut packet = vec![0x20, 3 + properties.len() as u8, 1, 0, properties.len() as u8];
        packet.extend_from_slice(properties);
        self.send(&packet);
    }

    /// PUBACK of MQTT 5.
    pub fn puback(&mut self, id: [u8; 2], reason: u8) {
        self.send(&[0x40, 3, id[0], id[1], reason]);
    }

    /// DISCONNECT of MQTT 5 with a reason string.
    pub fn disconnect(mut self, reason: u8, text: &str) {
        let length = text.len() as u8;
        let mut packet = vec![0xE0, 5 + length, reason, 3 + length, 0x1F, 0, length];
        packet.extend_from_slice(text.as_bytes());
        self.send(&packet);
    }
}
