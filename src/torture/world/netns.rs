//! A network of its own for a process, and the one cable that leads there.
//!
//! ```text
//!  this network                          its network
//!  10.x.y.1 ── link ════ cable ════ link ── 10.x.y.2
//!              down: nothing passes, and nobody is told
//! ```
//!
//! The network lives as long as a holder process, which ends with this one; nothing stays behind.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Stdio;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

/// See the module.
#[derive(Debug)]
pub struct Network {
    holder: Child,
    link: String,
    here: Ipv4Addr,
}

impl Network {
    /// A new network, its cable plugged in.
    ///
    /// # Errors
    ///
    /// This process may not make one: it takes root, `unshare`, `nsenter` and `ip`.
    pub async fn make() -> io::Result<Self> {
        static COUNT: AtomicU8 = AtomicU8::new(0);
        let (id, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo ready && exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let mut said = [0; 8];
        if let Some(out) = &mut holder.stdout {
            let _ = out.read(&mut said).await;
        }
        if !said.starts_with(b"ready") {
            return Err(io::Error::other("this takes root and `unshare`"));
        }
        let [.., b, c] = id.to_be_bytes();
        let net = |host| Ipv4Addr::new(10, 64 + (b & 0x7f), c, (count % 60) * 4 + host);
        let link = format!("tn{id}n{count}");
        let network = Self { holder, link: link.clone(), here: net(1) };
        let pid = network.holder.id().unwrap_or_default().to_string();
        let (here, there) = (format!("{}/30", net(1)), format!("{}/30", net(2)));
        ip(&["link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &pid]).await?;
        ip(&["addr", "add", &here, "dev", &link]).await?;
        ip(&["link", "set", &link, "up"]).await?;
        for inside in [
            &["addr", "add", &there, "dev", "eth0"][..],
            &["link", "set", "eth0", "up"],
            &["link", "set", "lo", "up"],
        ] {
            let mut command = Command::from(network.command("ip"));
            done(command.args(inside)).await?;
        }
        Ok(network)
    }

    /// The address of this side of the cable.
    #[must_use]
    pub fn here(&self) -> IpAddr {
        IpAddr::V4(self.here)
    }

    /// A command that runs in it.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> std::process::Command {
        let mut command = std::process::Command::new("nsenter");
        let holder = self.holder.id().unwrap_or_default();
        command.arg(format!("--net=/proc/{holder}/ns/net")).arg("--").arg(program);
        command
    }

    /// Pull the cable.
    ///
    /// # Errors
    ///
    /// `ip` fails.
    pub async fn unplug(&self) -> io::Result<()> {
        ip(&["link", "set", &self.link, "down"]).await
    }

    /// Plug it in again.
    ///
    /// # Errors
    ///
    /// `ip` fails.
    pub async fn plug(&self) -> io::Result<()> {
        ip(&["link", "set", &self.link, "up"]).await
    }
}

async fn ip(arguments: &[&str]) -> io::Result<()> {
    done(Command::new("ip").args(arguments)).await
}

async fn done(command: &mut Command) -> io::Result<()> {
    let output = command.stdin(Stdio::null()).output().await?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
