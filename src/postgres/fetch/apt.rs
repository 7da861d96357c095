//! Server binaries from Debian packages, unpacked for us alone. Needs no root and installs nothing.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use tokio::process::Command;

use super::{Report, Unfinished, run};
use crate::postgres::{OLDEST_MAJOR, binaries::LIBRARY_PATH};

/// What a copy from here is called in the cache.
pub(super) const NAME: &str = "debian";

/// Fetches this release's Postgres and the libraries that it lacks. The copy's directory, or why
/// there is none.
pub(super) async fn fetch(copies: &Path, report: Report<'_>) -> Result<PathBuf, String> {
    let unfinished = Unfinished::new(copies)?;
    let apt = Apt::new(&unfinished.0).await?;
    let major = apt.newest_major().await?;
    if major < OLDEST_MAJOR {
        return Err(format!(
            "this release has Postgres {major}, and {OLDEST_MAJOR} is the oldest that works"
        ));
    }
    let server = format!("postgresql-{major}");
    let mut packages = apt.missing_libraries(&server).await?;
    packages.extend([format!("postgresql-client-{major}"), server]);
    report(&format!("fetching Postgres {major} once, by apt-get: {} packages", packages.len()));

    let downloads = unfinished.0.join("downloads");
    std::fs::create_dir(&downloads).map_err(|e| e.to_string())?;
    run(apt.command("apt-get").current_dir(&downloads).arg("download").args(&packages)).await?;
    let root = unfinished.0.join("root");
    for package in std::fs::read_dir(&downloads).map_err(|e| e.to_string())?.flatten() {
        run(Command::new("dpkg").arg("-x").arg(package.path()).arg(&root)).await?;
    }
    for part in [downloads, unfinished.0.join("apt")] {
        let _ = std::fs::remove_dir_all(part);
    }

    let home = format!("root/usr/lib/postgresql/{major}");
    let name = format!("{NAME}-{major}");
    let libraries = library_directories(&unfinished.0).into_iter().map(|path| copies.join(&name).join(path));
    let libraries: Vec<_> = libraries.map(|path| path.display().to_string()).collect();
    std::fs::write(unfinished.0.join(&home).join(LIBRARY_PATH), libraries.join(":"))
        .map_err(|e| e.to_string())?;
    unfinished.finish(copies, &name, &Path::new(&home).join("bin"))
}

/// Where the unpacked libraries are, relative to `copy`.
fn library_directories(copy: &Path) -> Vec<PathBuf> {
    let triplets = |parent: &str| {
        let entries = std::fs::read_dir(copy.join(parent)).into_iter().flatten().flatten();
        let parent = PathBuf::from(parent);
        entries.map(move |entry| parent.join(entry.file_name())).collect::<Vec<_>>()
    };
    let all = ["root/usr/lib", "root/lib"].into_iter().flat_map(triplets);
    all.filter(|path| path.to_string_lossy().ends_with("-linux-gnu")).collect()
}

/// The package client, with package lists that know Postgres.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    /// Uses the system's package lists, or fetches some for us alone if it has none.
    async fn new(directory: &Path) -> Result<Self, String> {
        let system = Self { options: Vec::new() };
        if system.can_download().await.is_ok() {
            return Ok(system);
        }
        let own = directory.join("apt");
        std::fs::create_dir_all(own.join("lists/partial")).map_err(|e| e.to_string())?;
        std::fs::create_dir_all(own.join("cache/archives/partial")).map_err(|e| e.to_string())?;
        let set = |key: &str, path: &str| format!("-o{key}={}", own.join(path).display());
        let options = vec![set("Dir::State::Lists", "lists"), set("Dir::Cache", "cache")];
        let apt = Self { options };
        run(apt.command("apt-get").args(["update", "-qq"])).await?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(&self.options).env("LC_ALL", "C");
        command
    }

    /// The major version that this release's package `postgresql` stands for.
    async fn newest_major(&self) -> Result<u32, String> {
        let text = run(self.command("apt-cache").args(["depends", "postgresql"])).await?;
        let major =
            text.lines().find_map(|line| line.trim().strip_prefix("Depends: postgresql-")?.parse().ok());
        major.ok_or_else(|| "apt-cache knows no package `postgresql`".to_owned())
    }

    /// Whether its lists tell where Postgres is; what is installed is known without any.
    async fn can_download(&self) -> Result<(), String> {
        let server = format!("postgresql-{}", self.newest_major().await?);
        run(self.command("apt-get").args(["download", "--print-uris", &server])).await?;
        Ok(())
    }

    /// The libraries that `package` needs and this system doesn't have.
    async fn missing_libraries(&self, package: &str) -> Result<Vec<String>, String> {
        let hard_only = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"];
        let hard_only = hard_only.map(|kind| format!("--no-{kind}"));
        let tree = run(self.command("apt-cache").args(["depends", "--recurse"]).args(hard_only).arg(package))
            .await?;
        let shown =
            Command::new("dpkg-query").args(["-W", "-f=${db:Status-Abbrev} ${Package}\n"]).output().await;
        let shown = shown.map_err(|e| format!("dpkg-query can't be run: {e}"))?.stdout;
        let shown = String::from_utf8_lossy(&shown).into_owned();
        let installed: BTreeSet<_> = shown.lines().filter_map(|line| line.strip_prefix("ii  ")).collect();
        let needed = tree.lines().filter(|name| name.starts_with("lib") && !installed.contains(name));
        // The compiler of `jit` is large, and we switch it off; the others belong to the installation.
        let unused = ["libllvm", "libz3", "libperl", "libpam-", "libelogind", "libdebian-installer", "libc-"];
        Ok(needed
            .filter(|name| !unused.iter().any(|start| name.starts_with(start)))
            .map(str::to_owned)
            .collect())
    }
}
