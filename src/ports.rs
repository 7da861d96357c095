//! Ports for servers that are started to be used at once: by the demo, the torture, the benchmark and the tests.
//!
//! A port that was free a moment ago may be somebody else's by the time its server binds it, or while its server is
//! dead, and then a client speaks to the wrong server. So ports are *claimed*, with a lock on a file of that name that
//! all such processes of this user share, and are taken from below those that systems give to outgoing connections.

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::ops::Range;
use std::sync::Mutex;

const PORTS: Range<u16> = 10_000..30_000;

static CLAIMED: Mutex<Vec<File>> = Mutex::new(vec![]);

/// A port of 127.0.0.1 that nobody listens on, and that no other caller gets while this process lives.
///
/// # Errors
///
/// The directory of the locks can't be written, or every port is in use.
pub fn claim() -> io::Result<u16> {
    let locks = std::env::temp_dir().join(format!("tenure-ports-{}", rustix::process::geteuid().as_raw()));
    std::fs::create_dir_all(&locks)?;
    let many = PORTS.end - PORTS.start;
    let first = u16::try_from(std::process::id() % u32::from(many)).unwrap_or_default();
    for step in 0..many {
        // Processes start at different places; 7,919 is prime to how many there are, so that every port is tried.
        let place = (u32::from(first) * 7_919 + u32::from(step)) % u32::from(many);
        let port = PORTS.start + u16::try_from(place).unwrap_or_default();
        let lock = File::options().create(true).append(true).open(locks.join(port.to_string()))?;
        if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            if let Ok(mut claimed) = CLAIMED.lock() {
                claimed.push(lock);
            }
            return Ok(port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "every port from 10,000 to 29,999 is in use"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_port_is_nobody_elses_although_nobody_listens_on_it() {
        let claims: Vec<_> = (0..8)
            .map(|_| std::thread::spawn(|| (0..20).map(|_| claim().unwrap()).collect::<Vec<_>>()))
            .collect();
        let mut ports: Vec<_> = claims.into_iter().flat_map(|claim| claim.join().unwrap()).collect();
        assert!(ports.iter().all(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()));
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 160, "no port was given twice");
    }
}
