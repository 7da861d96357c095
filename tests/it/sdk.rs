//! The real, unmodified Python SDKs run their users' stories against this binary (`tests/sdk/`, by pytest).
//!
//! Without Python 3.11, or where packages can't be installed, the suite says so and is skipped, except under `CI`
//! or `TENURE_TEST_NO_SKIP`, where a skip is a failure. `TENURE_TEST_SDK_ARGS` goes to pytest (`-k stream -n 1`).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::skip;

#[test]
fn the_real_python_sdks_run_unchanged_against_this_server() {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk");
    let venvs = match virtual_environments(&suite) {
        Ok(venvs) => venvs,
        Err(reason) => return skip(&format!("the SDK suite: {reason}")),
    };
    let arguments = std::env::var("TENURE_TEST_SDK_ARGS").unwrap_or_default();
    let status = Command::new(venvs.join("pytest/bin/python"))
        .args(["-m", "pytest", "-q", "-n", "3"])
        .args(arguments.split_whitespace())
        .current_dir(&suite)
        .env("TENURE_BIN", env!("CARGO_BIN_EXE_tenure"))
        .env("TENURE_TEST_VENVS", &venvs)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .status()
        .expect("the python that venvs.sh has just made");
    assert!(status.success(), "the SDK suite failed ({status}); pytest's report is above");
}

/// Makes the environments of the suite, or says why this machine can't.
pub fn virtual_environments(suite: &Path) -> Result<PathBuf, String> {
    let probe = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))";
    match Command::new("python3").args(["-c", probe]).stderr(Stdio::null()).status() {
        Err(error) => return Err(format!("python3 can't be run: {error}")),
        Ok(status) if !status.success() => {
            return Err(
                "python3 is older than 3.11 or lacks venv (Debian: apt install python3-venv)".to_owned()
            );
        }
        Ok(_) => {}
    }
    let root = std::env::var_os("TENURE_TEST_VENVS")
        .map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("sdk-venvs"), PathBuf::from);
    let made = Command::new(suite.join("venvs.sh"))
        .env("TENURE_TEST_VENVS", &root)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(|error| format!("tests/sdk/venvs.sh can't be run: {error}"))?;
    if made.success() {
        Ok(root)
    } else {
        Err("tests/sdk/venvs.sh could not install the SDKs; pip's reason is above".to_owned())
    }
}
