// SPDX-License-Identifier: MPL-2.0
//! Visitors who have entered the token, and those who have entered something else.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// How long a visitor stays known.
pub(super) const LIFE: Duration = Duration::from_secs(12 * 3600);
/// Visitors that are known at a time, at most; then the oldest has to enter the token again.
const MOST: usize = 64;
/// After so many wrong tokens in a row from one address...
const TRIES: u32 = 5;
/// ...nothing is heard from it for so long.
const PAUSE: Duration = Duration::from_secs(30);
/// Addresses that are remembered, at most.
const ADDRESSES: usize = 1024;

/// What a visitor shows, and since when it is known; who has failed, how often and when last.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    known: BTreeMap<String, Instant>,
    failures: BTreeMap<IpAddr, (u32, Instant)>,
}

/// Visitors of one IPv6 network are taken for one.
fn place(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => std::net::Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into(),
    }
}

/// An id that nobody can guess, 32 hexadecimal digits.
///
/// # Errors
/// The system gives no random numbers.
pub(super) fn random_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

impl Sessions {
    /// How long this address has to wait until it may try a token (again); none = not at all.
    pub(super) fn wait(&self, ip: IpAddr, now: Instant) -> Option<Duration> {
        let (failures, last) = self.failures.get(&place(ip))?;
        let left = PAUSE.checked_sub(now.saturating_duration_since(*last))?;
        (*failures >= TRIES && !left.is_zero()).then_some(left)
    }

    /// It has tried a wrong one.
    pub(super) fn failed(&mut self, ip: IpAddr, now: Instant) {
        self.failures.retain(|_, (_, last)| now.saturating_duration_since(*last) < 10 * PAUSE);
        if self.failures.len() >= ADDRESSES
            && let Some(oldest) = self.failures.iter().min_by_key(|(_, (_, last))| *last).map(|(ip, _)| *ip)
        {
            self.failures.remove(&oldest);
        }
        let entry = self.failures.entry(place(ip)).or_insert((0, now));
        *entry = (entry.0.saturating_add(1), now);
    }

    /// A visitor who had the right one is known by this id from now on.
    pub(super) fn begin(&mut self, id: String, ip: IpAddr, now: Instant) {
        self.failures.remove(&place(ip));
        self.known.retain(|_, since| now.saturating_duration_since(*since) < LIFE);
        if self.known.len() >= MOST
            && let Some(oldest) = self.known.iter().min_by_key(|(_, since)| **since).map(|(id, _)| id.clone())
        {
            self.known.remove(&oldest);
        }
        self.known.insert(id, now);
    }

    /// Whether a visitor is known by this id, which was drawn at random: nothing can be learned from how long that takes.
    pub(super) fn knows(&self, id: &str, now: Instant) -> bool {
        self.known.get(id).is_some_and(|since| now.saturating_duration_since(*since) < LIFE)
    }

    /// It is known no longer.
    pub(super) fn end(&mut self, id: &str) {
        self.known.remove(id);
    }
}

/// The value of a cookie in a `Cookie` header.
pub(super) fn cookie<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visitor_is_known_for_a_while() {
        let (mut sessions, start) = (Sessions::default(), Instant::now());
        let ip = "127.0.0.1".parse().unwrap();
        let id = random_id().unwrap();
        assert!(id.len() == 32 && id != random_id().unwrap() && !sessions.knows(&id, start));
        sessions.begin(id.clone(), ip, start);
        assert!(
            sessions.knows(&id, start + LIFE / 2) && !sessions.knows("", start) && !sessions.knows(&id, start + LIFE)
        );
        sessions.end(&id);
        assert!(!sessions.knows(&id, start));
        for n in 0..MOST as u64 + 1 {
            sessions.begin(n.to_string(), ip, start + Duration::from_secs(n));
        }
        assert!(sessions.known.len() == MOST && !sessions.knows("0", start) && sessions.knows("1", start));
    }

    #[test]
    fn who_guesses_has_to_wait() {
        let (mut sessions, start) = (Sessions::default(), Instant::now());
        let (guesser, other): (IpAddr, IpAddr) = ("2001:db8::1".parse().unwrap(), "2001:db8:0:1::1".parse().unwrap());
        let neighbour = "2001:db8::2".parse().unwrap();
        for _ in 0..TRIES {
            assert_eq!(sessions.wait(guesser, start), None);
            sessions.failed(guesser, start);
        }
        assert_eq!((sessions.wait(guesser, start), sessions.wait(neighbour, start)), (Some(PAUSE), Some(PAUSE)));
        assert_eq!((sessions.wait(other, start), sessions.wait(guesser, start + PAUSE)), (None, None));
        sessions.failed(guesser, start + PAUSE);
        assert_eq!(sessions.wait(guesser, start + PAUSE), Some(PAUSE), "once more is once too often");
        sessions.begin("id".into(), guesser, start + 2 * PAUSE);
        assert_eq!(sessions.wait(guesser, start + PAUSE), None);
        for n in 0..2 * ADDRESSES as u32 {
            sessions.failed(std::net::Ipv4Addr::from_bits(n).into(), start);
        }
        assert!(sessions.failures.len() <= ADDRESSES);
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        assert_eq!(cookie("a=1; orion=x; b=2", "orion"), Some("x"));
        assert_eq!((cookie("orion2=x", "orion"), cookie("", "orion")), (None, None));
    }
}
